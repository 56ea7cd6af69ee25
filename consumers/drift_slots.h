/* What the drift worker counts: profiles of each stream's records by slot of event time, first in memory, then in weir.drift_slots, where parts are merged.
 *
 * Slots and offsets are one PostgreSQL transaction, so the offsets that PostgreSQL has are the truth: whoever gets a partition starts there. What a killed worker had in memory
 * comes again; who lost a partition without noticing finds another offset than its own, and counts nothing.
 *
 * A slot has a table for each partition and, where tenants are told apart, for each of them (consumers/drift_tenants.h) and one for the rest: a record is added to one of them, and what is
 * asked about all tenants is merged. */
#ifndef WEIR_CONSUMERS_DRIFT_SLOTS_H
#define WEIR_CONSUMERS_DRIFT_SLOTS_H

#include "consumers/drift_windows.h"
#include "core/bus.h"
#include "core/pg.h"
#include "features/drift.h"

enum { WEIR_DRIFT_STREAMS_MAX = 20 };

/* One topic's columns. Texts are borrowed. */
typedef struct weir_drift_stream {
    const char *name; /* "features/customer", "predictions", "labels" */
    const char *topic;
    const weir_drift_field *fields; /* [field_count] */
    int field_count;
} weir_drift_stream;

typedef struct weir_drift_slots weir_drift_slots;

/** streams [count] are copied, not what they name. tenants: how many are told apart, 0: none. memory_bytes: for profiles that are not in PostgreSQL yet. Errors: WEIR_ENOMEM. */
weir_status weir_drift_slots_new(weir_pg *pg, const char *pipeline, const weir_drift_stream *streams, int count, int partitions, int64_t every_us, int tenants,
                                 int64_t memory_bytes, weir_drift_slots **ret_slots, weir_err *err) WEIR_MUST_CHECK;
void weir_drift_slots_free(weir_drift_slots *slots);

/** The partition is this worker's now, from where PostgreSQL says: *ret_next, -1 when nobody has counted it. What memory holds of it is forgotten. */
weir_status weir_drift_slots_take(weir_drift_slots *slots, int stream, int32_t partition, int64_t *ret_next, weir_err *err) WEIR_MUST_CHECK;
/** It is somebody else's; what is not flushed is forgotten. */
void weir_drift_slots_drop(weir_drift_slots *slots, int stream, int32_t partition);
/** Next offset to be counted, -1: none was. */
int64_t weir_drift_slots_next(const weir_drift_slots *slots, int stream, int32_t partition);
/** Epoch of the features' writer, below which records are void; rises with what is given. */
int64_t weir_drift_slots_epoch(weir_drift_slots *slots, int stream, int32_t partition, int64_t epoch);

/** Counts a record: the table of its slot, to which the caller adds it. tenant: its text; NULL, or anything else: it has none. Errors: those of a flush, when memory was full, and of naming
 *  a new tenant. */
weir_status weir_drift_slots_add(weir_drift_slots *slots, int stream, int32_t partition, int64_t event_us, const weir_datum *tenant,
                                 weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;
/** Records before next_offset are done, whether they were added or not. now_us: by the clock. */
void weir_drift_slots_advance(weir_drift_slots *slots, int stream, int32_t partition, int64_t next_offset, int64_t now_us);
/** Everything before end_offset was counted at now_us? Then the partition has caught up. */
void weir_drift_slots_look(weir_drift_slots *slots, int stream, int32_t partition, int64_t end_offset, int64_t now_us);
/** One transaction: slots and offsets. OK: durable. WEIR_ECONFLICT RETRY: another worker has counted one of the partitions; take all again. Other errors: nothing happened,
 *  memory still has it. */
weir_status weir_drift_slots_flush(weir_drift_slots *slots, weir_err *err) WEIR_MUST_CHECK;

/* --- for whoever judges; in a transaction that holds the lock --- */

/** Until the transaction ends nobody else changes slots of the pipeline. */
weir_status weir_drift_slots_lock(weir_pg *pg, const char *pipeline, weir_err *err) WEIR_MUST_CHECK;
/** table += all slots of the stream in [from, to), of one tenant or (NULL) of all. *ret_records += their records. */
weir_status weir_drift_slots_read(weir_pg *pg, const char *pipeline, const char *stream, int64_t from_us, int64_t to_us, const char *tenant,
                                  weir_drift_table *table, int64_t *ret_records, weir_err *err) WEIR_MUST_CHECK;
/** Parts of slots that ended before to_us become one, of each tenant. */
weir_status weir_drift_slots_join(weir_pg *pg, const char *pipeline, const weir_drift_stream *stream, int64_t to_us, weir_err *err) WEIR_MUST_CHECK;

#endif
