/* A compiled view: entity state and its features. Pure computation: no Kafka, no stores.
 *
 * The state of an entity is the set of its records within the view's horizon (longest delay + window), ordered by
 * (event time, source partition, source offset); each record carries the columns that the features aggregate. Applying a record is a set union keyed by its source,
 * so replays and duplicates change nothing, and values depend on event time only, not on the order of arrival. */
#ifndef WEIR_FEATURES_VIEW_H
#define WEIR_FEATURES_VIEW_H

#include "core/mem.h"
#include "features/pipeline.h"

typedef struct weir_view weir_view;

/* Where a record came from. */
typedef struct weir_source {
    int32_t partition;
    int64_t offset;
} weir_source;

/** Borrowed: pipeline and def outlive the view. */
weir_status weir_view_new(const weir_pipeline *pipeline, const weir_view_def *def, weir_view **ret_view, weir_err *err) WEIR_MUST_CHECK;
void weir_view_free(weir_view *view);
const weir_view_def *weir_view_def_of(const weir_view *view);
const weir_feed_def *weir_view_feed(const weir_view *view);
const int *weir_view_entity_columns(const weir_view *view); /* [def->entity_count] columns of the feed's schema */
int64_t weir_view_horizon_us(const weir_view *view);
int weir_view_column_count(const weir_view *view); /* aggregated columns */
const int *weir_view_columns(const weir_view *view); /* their columns in the feed's schema */

/* Decoded, mutable state of one entity. Zero-initialised is empty. */
typedef struct weir_state {
    int count, capacity;
    int64_t *time; /* [capacity] event times, ascending */
    weir_source *source; /* [capacity] */
    double *values; /* [capacity][column_count] row-major; NaN: null */
    int64_t max_time; /* newest event time ever applied; INT64_MIN when none */
} weir_state;
void weir_state_done(weir_state *state);
void weir_state_clear(weir_state *state); /* empty, keeps memory */

typedef enum weir_applied { WEIR_APPLIED, WEIR_DUPLICATE, WEIR_LATE } weir_applied;
enum { WEIR_STATE_RECORDS_MAX = 1 << 16 }; /* with up to 4 columns, its bytes fit a Kafka message of 4 MiB */

/** Adds one record (columns taken from row) and drops what left the horizon. LATE: event time is more than allowed_lateness behind state->max_time; nothing changed.
 *  Errors: WEIR_ELIMIT REJECT when the entity has WEIR_STATE_RECORDS_MAX records; WEIR_ENOMEM. */
weir_status weir_view_apply(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const weir_datum *row,
                            weir_applied *ret_applied, weir_err *err) WEIR_MUST_CHECK;

/** Adds one record without regard to lateness, horizon or WEIR_STATE_RECORDS_MAX, as retrieval from history does; values [column_count]. One that is there already changes
 *  nothing. Errors: WEIR_ENOMEM; WEIR_ELIMIT beyond 2^28 records. */
weir_status weir_state_add(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *values,
                           weir_err *err) WEIR_MUST_CHECK;

/** Features at time t. Shapes: out [feature_count]; NaN: null.
 *  upto: records at exactly t count only if their (partition, offset) is not after *upto (NULL: all of them), as when they are computed record by record.
 *  row: the record itself, for `op` features (NULL: these are NaN). O(records in the horizon); no allocation; thread-safe on a state nobody changes.
 *  Sums run from the newest record to the oldest, so equal sets give equal bits. */
void weir_view_eval(const weir_view *view, const weir_state *state, int64_t t_us, const weir_source *upto, const weir_datum *row, double *out);

/** Appends the state's bytes: format in view.c. Equal sets give equal bytes. */
bool weir_state_encode(const weir_view *view, const weir_state *state, weir_buf *out) WEIR_MUST_CHECK;
/** Replaces *state. Errors: WEIR_EDATA for damaged bytes. */
weir_status weir_state_decode(const weir_view *view, const void *bytes, size_t len, weir_state *state, weir_err *err) WEIR_MUST_CHECK;
/** Newest source and event time in the state, for "what did this read"; false when empty. */
bool weir_state_newest(const weir_state *state, weir_source *ret_source, int64_t *ret_time_us);

#endif
