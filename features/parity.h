/* Parity: is what was served what history says? Every prediction names, for each view, the version of the entity's state that it read; the vector is computed again from the
 * records of the offline store up to exactly there, by the operators that run live, and compared bit for bit. */
#ifndef WEIR_FEATURES_PARITY_H
#define WEIR_FEATURES_PARITY_H

#include "features/offline.h"
#include "features/view.h"

typedef struct weir_parity_query {
    int64_t from_us, to_us; /* event time of the predictions, [from, to) */
    int64_t predicted_from_us, predicted_to_us; /* when they were made, [from, to) */
    const char *tenant; /* NULL: all */
    uint32_t one_in, which; /* only entities whose hash is `which` modulo one_in; 1, 0: all */
    const char *const *inputs; /* columns of the predictions; those that are features are checked; NULL-terminated */
    const char *objects_dir; /* where files of compacted days are; may be NULL as long as there are none */
    int64_t memory_bytes; /* about what may be held at a time: more is read in passes by entity; 0: 1 GiB */
} weir_parity_query;

/* One value that differs. */
typedef struct weir_parity_difference {
    const char *prediction, *view, *entity, *feature; /* borrowed until the call ends */
    int64_t event_time_us, version;
    double served, recomputed; /* NaN: null */
} weir_parity_difference;

typedef struct weir_parity_result {
    int64_t vectors; /* a prediction's features of one view, compared */
    int64_t values; /* in them */
    int64_t mismatches; /* values whose bits differ */
    int64_t
        incomplete; /* vectors not compared: the offline store does not have all records up to the version (it lags), or, of a view of another entity than the prediction's,
                         * the record that says which entity is not in PostgreSQL (its day was compacted) */
    int64_t other_definitions; /* predictions not compared: made under other feature definitions */
} weir_parity_result;

/** on_difference may be NULL. Errors: WEIR_ENOTFOUND when there are no predictions in the store yet; WEIR_ENET RETRY; WEIR_ENOMEM. */
weir_status weir_parity_run(const char *pg_url, const weir_pipeline *pipeline, const weir_parity_query *query,
                            void (*on_difference)(void *context, const weir_parity_difference *difference), void *context, weir_parity_result *ret_result,
                            weir_err *err) WEIR_MUST_CHECK;

/** How many predictions the query's ranges and tenant hold, sampling apart. Errors as weir_parity_run's. */
weir_status weir_parity_count(const char *pg_url, const weir_pipeline *pipeline, const weir_parity_query *query, int64_t *ret_predictions,
                              weir_err *err) WEIR_MUST_CHECK;

#endif
