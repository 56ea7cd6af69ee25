/* The features topic of a view as the changelog of its states: what ingest restores from and the serving replica follows.
 *
 * Values are applied one after the other (the record in them is the change), snapshots replace a state that is older, corrections change nothing, and what a former owner of
 * the partition wrote behind the fence of its successor is void. States are in memory as far as they are worked on and in the online store otherwise. */
#ifndef WEIR_CONSUMERS_CHANGELOG_H
#define WEIR_CONSUMERS_CHANGELOG_H

#include "consumers/events.h"
#include "features/entities.h"
#include "features/online.h"

typedef struct weir_changelog weir_changelog;

/* Told of a value that has just been applied at a place that is not the last; row is its record's. */
typedef weir_status (*weir_changelog_late_fn)(void *context, int index, weir_entity *entity, int position, const weir_datum *row, weir_err *err);

/** Follows one view. Everything but late is borrowed and outlives it; entities may be used by others between two batches. index: of the view in the online store.
 *  late may be NULL. */
weir_status weir_changelog_new(weir_view *view, weir_features_codec *codec, weir_online *online, int index, weir_entities *entities, int partitions,
                               weir_changelog_late_fn late, void *context, weir_changelog **ret_log, weir_err *err) WEIR_MUST_CHECK;
void weir_changelog_free(weir_changelog *log);

/** Takes in records of the topic, in the order of the log, inside an open batch of the online store, into which snapshots go. Entities whose newest value came after their
 *  newest snapshot are dirty afterwards. A record that cannot be read is passed over with a line in the log. */
weir_status weir_changelog_apply(weir_changelog *log, const weir_bus_record *records, size_t count, weir_err *err) WEIR_MUST_CHECK;

/** The entity with its state, from memory or from the online store (its own open batch, or a reader); new ones are empty. */
weir_status weir_changelog_load(weir_changelog *log, uint32_t hash, const void *key, size_t len, int32_t partition, weir_online_reader *reader,
                                weir_entity **ret_entity, weir_err *err) WEIR_MUST_CHECK;
/** From now on what is written to the online store has the features as of the entity's newest record with it. id: of their definitions (weir_online_value.features_id). */
weir_status weir_changelog_keep_features(weir_changelog *log, uint32_t id, weir_err *err) WEIR_MUST_CHECK;
/** Writes an entity's state into the open batch of the online store. *ret_state (may be NULL): its bytes, until the next call. */
weir_status weir_changelog_put(weir_changelog *log, weir_entity *entity, const weir_buf **ret_state, weir_err *err) WEIR_MUST_CHECK;

/** Highest epoch met so far in the partition; 0 before the first. set raises it. */
int32_t weir_changelog_epoch(const weir_changelog *log, int32_t partition);
void weir_changelog_set_epoch(weir_changelog *log, int32_t partition, int32_t epoch);
/** put keeps the partition's epoch in the open batch of the online store, get begins again with what was kept: together with an offset before which every record is
 *  in the stored states. It may be lower than the epoch at that offset: the first record read from there, which was valid, raises it. */
weir_status weir_changelog_put_epoch(const weir_changelog *log, const char *topic, int32_t partition, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_changelog_get_epoch(weir_changelog *log, const char *topic, int32_t partition, weir_err *err) WEIR_MUST_CHECK;

#endif
