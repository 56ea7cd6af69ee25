/* Entity states in memory: the working set of one view, over a store that holds the rest.
 *
 * An open-addressing table from key to entity. An entity is *dirty* from the moment its state is newer than what the store has; clean ones are in the store as well, and
 * are evicted by the second-chance rule (CLOCK) when the table is over its limit. Dirty ones are kept by *segment*, a range of hashes, so that they can be written back a
 * part at a time and in the order of the store's keys (features/online.h). Not thread-safe. */
#ifndef WEIR_FEATURES_ENTITIES_H
#define WEIR_FEATURES_ENTITIES_H

#include <stddef.h>

#include "features/view.h"

enum { WEIR_ENTITY_SEGMENTS = 256 };

typedef struct weir_entity {
    uint32_t hash;
    int32_t partition; /* that owns it */
    uint16_t key_len;
    bool dirty, used;
    bool gap; /* records are missing before its newest one: the state is none until a snapshot comes */
    uint32_t dirty_index; /* among the dirty ones of its segment */
    uint32_t value_len, value_room;
    size_t value_at; /* bytes of its newest value, in its segment's buffer; while dirty */
    int64_t event_time_us; /* of the record that was applied last */
    weir_source source; /* its source */
    size_t bytes; /* that the table counts for it */
    weir_state state;
    char key[]; /* key_len bytes and a NUL */
} weir_entity;

typedef struct weir_entities weir_entities;
/** limit_bytes: of all states, keys and values; dirty ones are kept beyond it. */
weir_status weir_entities_new(size_t limit_bytes, weir_entities **ret_table, weir_err *err) WEIR_MUST_CHECK;
void weir_entities_free(weir_entities *table);

uint32_t weir_entities_hash(const void *key, size_t len);
/** Hints that the hash will be looked up soon. */
void weir_entities_prefetch(const weir_entities *table, uint32_t hash);
/** Hints the same of the entity itself, once its slot is near. */
void weir_entities_prefetch_entity(const weir_entities *table, uint32_t hash);
/** Hints the same of both ends of its tail, once the entity is near. */
void weir_entities_prefetch_state(const weir_entities *table, uint32_t hash);
/** Hints that the tail and the newest value of a dirty one will be read soon. */
void weir_entities_prefetch_written(const weir_entities *table, const weir_entity *entity);
/** NULL when it is not in memory. Marks it as used. */
weir_entity *weir_entities_find(weir_entities *table, uint32_t hash, const void *key, size_t len);
/** Adds one that is not there, with an empty state. NULL when memory ran out. */
weir_entity *weir_entities_add(weir_entities *table, uint32_t hash, const void *key, size_t len, int32_t partition);
/** Forgets one that is not dirty. */
void weir_entities_remove(weir_entities *table, weir_entity *entity);
/** To be called after its state was changed: counts the memory. */
void weir_entities_resized(weir_entities *table, weir_entity *entity);
/** Marks it dirty and keeps the bytes of its newest value. since: offset of the record that makes it dirty, ascending in a partition. False when memory ran out. */
bool weir_entities_touch(weir_entities *table, weir_entity *entity, int64_t since, const void *value, size_t len) WEIR_MUST_CHECK;
/** It is in the store as it is: no longer dirty. */
void weir_entities_clean(weir_entities *table, weir_entity *entity);
/** Bytes of its newest value; while it is dirty. */
const void *weir_entities_value(const weir_entities *table, const weir_entity *entity);

/** Of a hash: ascending with it. */
int weir_entities_segment_of(uint32_t hash);
size_t weir_entities_dirty_count(const weir_entities *table);
/* The dirty ones of a segment, in the order in which they became so: until one of them is cleaned, index from 0. */
size_t weir_entities_dirty_in(const weir_entities *table, int segment);
weir_entity *weir_entities_dirty_at(const weir_entities *table, int segment, size_t index);
/** Bytes of them and their values; and of all values since the segment was clean. */
size_t weir_entities_segment_bytes(const weir_entities *table, int segment);
size_t weir_entities_segment_values(const weir_entities *table, int segment);
/** All of the segment are in the store: none is dirty. */
void weir_entities_clean_segment(weir_entities *table, int segment);
void weir_entities_clean_all(weir_entities *table);
/** No dirty entity of the partition became so before this offset; INT64_MAX: there is none. It may be lower than need be while its segment is not clean. */
int64_t weir_entities_since(const weir_entities *table, int32_t partition);

/** Evicts clean ones until the table is within its limit or none is left; a bounded number of steps. */
void weir_entities_evict(weir_entities *table);
/** Forgets everything. */
void weir_entities_clear(weir_entities *table);

size_t weir_entities_count(const weir_entities *table);
size_t weir_entities_bytes(const weir_entities *table); /* of all it holds */
size_t weir_entities_dirty_bytes(const weir_entities *table); /* of dirty entities and their values */
bool weir_entities_full(const weir_entities *table); /* over its limit */

#endif
