/* Point-in-time retrieval: the events of a time range, each with its label (if known) and the features of every view as of its event time, computed by
 * the same operators that run live, from the rows of the offline store. */
#ifndef WEIR_FEATURES_HISTORY_H
#define WEIR_FEATURES_HISTORY_H

#include "features/offline.h"
#include "features/view.h"

/* Members that are not named are zero, which means what is said in brackets. */
typedef struct weir_history_query {
    int64_t from_us, to_us; /* event time (of the labels, when there are some), [from, to) */
    int64_t as_of_us; /* what was not available by then does not exist; INT64_MAX: everything */
    const char *tenant; /* NULL: all */
    const char *const *columns; /* feature names, or (without labels) names of event columns; NULL-terminated; [every feature of every view] */
    const char *label; /* column of the pipeline's labels [the pipeline's]; a record of theirs in which it is null gives no label */
    const char *const *label_classes; /* of a text: what stands at place i is label i, other texts are none; NULL-terminated [it is a number or boolean] */
    const char *objects_dir; /* where compacted days are [there are none] */
    const char *labels; /* a file, or "schema.table" in PostgreSQL: rows of entity columns and a time; [the events themselves, each with its label] */
    const char *time_column; /* of the labels [the events' time column, else event_time, event_timestamp, time] */
    int64_t
        memory_bytes; /* [1 GiB] rows beyond it spill to $TMPDIR. Not in it: 60 bytes and its name for each entity of the labels; thread_count times the rows of the
                             largest 256th of the entities */
    int thread_count; /* [2] */
    void (*progress)(void *context, const char *step, int64_t rows, int64_t total); /* from time to time; total -1: not known; may be NULL */
    void *progress_context;
} weir_history_query;

/* A training set, column-major for the trainers' sake: values[c * row_count + r]. NaN: missing. */
typedef struct weir_history {
    int64_t row_count;
    int column_count;
    char **column_names;
    double *values;
    int64_t *event_time_us; /* [row_count], ascending */
    double *label; /* [row_count]; NaN: not known by as_of */
    weir_source *source; /* [row_count] of the event */
    uint32_t *entity; /* [row_count] dense number of the events' key (customer), for grouping */
    uint32_t entity_count;
    uint32_t *tenant; /* [row_count] place in tenant_names */
    uint32_t tenant_count;
    char **tenant_names; /* [tenant_count] in the order of their first row */
    char *query_text; /* what was asked, for lineage */
    char *digest; /* hex SHA-256 of the values, labels and times */
} weir_history;
void weir_history_free(weir_history *history);

/** The same in memory, of events. A record of another view counts for an event at t when its event time is in the operator's window and its available time is ≤ t. Rows are ordered by
 *  (event time, source partition, source offset). Errors: WEIR_EINVAL for an unknown column, naming the nearest; WEIR_ENOTFOUND when the range holds no event. */
weir_status weir_history_read(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, weir_history **ret_history,
                              weir_err *err) WEIR_MUST_CHECK;

/** Writes the labels with their columns, each beside the features as of its time, in the order of the labels, to a Parquet, CSV or JSON lines file (by extension). The file
 *  appears when it is whole. A feature is null where no record of its entity was known, and where the newest is older than the view's ttl. Views that are "at": "event" give
 *  the values stored with the newest record (of corrections, the newest one that was available); others are computed at the label's time.
 *  Errors: WEIR_EINVAL (columns, extension), WEIR_EDATA (a label without a time), WEIR_ENOTFOUND (no labels), WEIR_EIO, WEIR_ENET. */
weir_status weir_history_write(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, const char *path, int64_t *ret_rows,
                               weir_err *err) WEIR_MUST_CHECK;

/** First and last event time and the newest available time of labels in the store; any pointer may be NULL; INT64_MIN when there is nothing. */
weir_status weir_history_span(const char *pg_url, const weir_pipeline *pipeline, int64_t *ret_first_us, int64_t *ret_last_us, int64_t *ret_labels_until_us,
                              weir_err *err) WEIR_MUST_CHECK;

/** Events with event time in [from, to), and those of them that have a label. objects_dir: as in a query. */
weir_status weir_history_coverage(const char *pg_url, const weir_pipeline *pipeline, const char *objects_dir, int64_t from_us, int64_t to_us,
                                  int64_t *ret_events, int64_t *ret_labelled, weir_err *err) WEIR_MUST_CHECK;

#endif
