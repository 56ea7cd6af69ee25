/* The online store: LMDB, one writer in batches, readers in place without locks. Holds entity states by view and key. */
#ifndef WEIR_FEATURES_ONLINE_H
#define WEIR_FEATURES_ONLINE_H

#include "core/err.h"
#include "core/row.h"
#include "features/view.h"

typedef struct weir_online weir_online;
/** Opens (creates) the folder. WEIR_ECONFLICT naming the process when another one writes to it. max_bytes: size of the map.
 *  Commits survive kill -9; after a crash of the whole machine, or by a version with another layout, the store is rebuilt from the features topics. Keys that are written in
 *  the order of their hashes (weir_entities_hash) share pages. */
weir_status weir_online_open(const char *dir, int64_t max_bytes, weir_online **ret_store, weir_err *err) WEIR_MUST_CHECK;
void weir_online_close(weir_online *store);

/* A stored state, with what a prediction must say about it. */
typedef struct weir_online_value {
    int64_t event_time_us; /* of the record that was applied last */
    weir_source source; /* its source */
    int64_t version; /* of the state: how many records were applied */
    /* The features as of the newest record, so that the usual read needs no state. */
    int64_t newest_us; /* its event time */
    uint32_t features_id; /* of the definitions that they were computed by; by others they are of no use */
    int feature_count; /* 0: none are kept */
    const void *features; /* [feature_count] doubles, of any alignment; borrowed until the read ends */
    const void *state; /* bytes for weir_state_decode; borrowed until the read ends */
    size_t state_len;
} weir_online_value;

/* Writing: one thread, one open batch. After an error of put or put_offset (but REJECT) the batch can only be aborted.
 * Errors: WEIR_ELIMIT when the map is full; WEIR_EDATA REJECT for a key that is empty or longer than 507 bytes. */
weir_status weir_online_begin(weir_online *store, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_online_put(weir_online *store, int view, const void *key, size_t key_len, const weir_online_value *value, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_online_put_offset(weir_online *store, const char *topic, int32_t partition, int64_t next_offset, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_online_commit(weir_online *store, weir_err *err) WEIR_MUST_CHECK;
void weir_online_abort(weir_online *store);
/** Reads inside the writer's open batch (sees its own writes); WEIR_ENOTFOUND when absent (no message is made). */
weir_status weir_online_get_own(weir_online *store, int view, const void *key, size_t key_len, weir_online_value *ret_value, weir_err *err) WEIR_MUST_CHECK;

/* Reading: a snapshot per reader, any thread; short-lived. */
typedef struct weir_online_reader weir_online_reader; /* one per thread, reused */
weir_status weir_online_reader_new(weir_online *store, weir_online_reader **ret_reader, weir_err *err) WEIR_MUST_CHECK;
void weir_online_reader_free(weir_online_reader *reader);
weir_status weir_online_read_begin(weir_online_reader *reader, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_online_read(weir_online_reader *reader, int view, const void *key, size_t key_len, weir_online_value *ret_value,
                             weir_err *err) WEIR_MUST_CHECK;
void weir_online_read_end(weir_online_reader *reader);
/** Stored next offset of a topic partition, -1 when there is none. */
weir_status weir_online_offset(weir_online *store, const char *topic, int32_t partition, int64_t *ret_next_offset, weir_err *err) WEIR_MUST_CHECK;
/** Entities of a view (an index, below WEIR_VIEWS_MAX) and bytes of the pages that hold them, as of the last commit. */
weir_status weir_online_stats(weir_online *store, int view, int64_t *ret_entities, int64_t *ret_bytes, weir_err *err) WEIR_MUST_CHECK;

#endif
