/* Point-in-time retrieval: the events of a time range, each with its label (if known) and the features of every view as of its event time, computed by
 * the same operators that run live, from the rows of the offline store. */
#ifndef WEIR_FEATURES_HISTORY_H
#define WEIR_FEATURES_HISTORY_H

#include "features/offline.h"
#include "features/view.h"

typedef struct weir_history_query {
    int64_t from_us, to_us; /* event time, [from, to) */
    int64_t as_of_us; /* what was not available by then does not exist; INT64_MAX: everything */
    const char *tenant; /* NULL: all */
    const char *const *columns; /* feature names, or names of event columns; NULL-terminated */
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
    char *query_text; /* what was asked, for lineage */
    char *digest; /* hex SHA-256 of the values, labels and times */
} weir_history;
void weir_history_free(weir_history *history);

/** A record of another view counts for an event at t when its event time is in the operator's window and its available time is ≤ t. Rows are ordered by
 *  (event time, source partition, source offset). Errors: WEIR_EINVAL for an unknown column, naming the nearest; WEIR_ENOTFOUND when the range holds no event. */
weir_status weir_history_read(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, weir_history **ret_history,
                              weir_err *err) WEIR_MUST_CHECK;

/** First and last event time and the newest available time of labels in the store; any pointer may be NULL; INT64_MIN when there is nothing. */
weir_status weir_history_span(const char *pg_url, const weir_pipeline *pipeline, int64_t *ret_first_us, int64_t *ret_last_us, int64_t *ret_labels_until_us,
                              weir_err *err) WEIR_MUST_CHECK;

/** Events with event time in [from, to), and label rows of the same events (a label has its event's time). */
weir_status weir_history_coverage(const char *pg_url, const weir_pipeline *pipeline, int64_t from_us, int64_t to_us, int64_t *ret_events, int64_t *ret_labelled,
                                  weir_err *err) WEIR_MUST_CHECK;

#endif
