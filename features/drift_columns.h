/* Which columns of a pipeline are watched for drift, and what the offline store holds of them.
 * A column is a feature of a view, or a column of the events, which come with the primary view's records. */
#ifndef WEIR_FEATURES_DRIFT_COLUMNS_H
#define WEIR_FEATURES_DRIFT_COLUMNS_H

#include "features/drift.h"
#include "features/pipeline.h"
#include "features/profile.h"

/* Where a column comes from: one of the two is -1. */
typedef struct weir_drift_place {
    int feature; /* of the view */
    int event; /* column of the events' schema */
} weir_drift_place;

/* Ordered by view; names are the pipeline's. */
typedef struct weir_drift_columns {
    const weir_pipeline *pipeline;
    weir_drift_field *fields; /* [count] */
    weir_drift_place *places; /* [count] */
    int count;
    int first[WEIR_VIEWS_MAX + 1]; /* those of view v are first[v] … first[v + 1] - 1 */
} weir_drift_columns;

/** names: NULL-terminated features and columns of the events; NULL, or none: every feature that is not hidden. Times cannot be watched and are left out.
 *  Errors: WEIR_EINVAL for a name that the pipeline has not; WEIR_ENOMEM. */
weir_status weir_drift_columns_init(const weir_pipeline *pipeline, const char *const *names, weir_drift_columns *ret_columns, weir_err *err) WEIR_MUST_CHECK;
void weir_drift_columns_done(weir_drift_columns *columns);
/** A table of the columns of one view; of all with view -1. */
weir_status weir_drift_columns_table(const weir_drift_columns *columns, int view, uint64_t seed, weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;

/* Records of the offline store. */
typedef struct weir_drift_query {
    const char *pg_url, *objects_dir;
    int64_t from_us, to_us; /* event time, [from, to) */
    int64_t as_of_us; /* nothing that became available later; INT64_MAX: everything */
    const char *tenant; /* NULL: all */
    void (*progress)(void *context, int64_t rows); /* from time to time; may be NULL */
    void *progress_context;
} weir_drift_query;
/** Profiles of every record in the range, as it was first computed: rows of a view's table that carry their record, read once each. *ret_rows: of the primary view. */
weir_status weir_drift_columns_scan(const weir_drift_columns *columns, const weir_drift_query *query, weir_drift_table **ret_table, int64_t *ret_rows,
                                    weir_err *err) WEIR_MUST_CHECK;

/** Profiles of a source's columns but times and the entity: numbers, booleans, and texts as categories. Errors: the source's; WEIR_EINVAL when no column remains. */
weir_status weir_drift_scan_source(const weir_profile_source *source, weir_drift_table **ret_table, int64_t *ret_rows, weir_err *err) WEIR_MUST_CHECK;
/** Takes columns out of both that are identifiers in either: texts, another one in more than half of the records. Such a column says who a record is about, not what it is like.
 *  Errors: WEIR_EINVAL when nothing else is there; WEIR_ENOMEM. Both tables are valid whatever happened. */
weir_status weir_drift_leave_identifiers(weir_drift_table **reference, weir_drift_table **current, int *ret_left, weir_err *err) WEIR_MUST_CHECK;
/** A table with those columns of `table` for which keep [count of its columns] is true. */
weir_status weir_drift_table_choose(const weir_drift_table *table, const bool *keep, weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;

/** How events and people call a severity: that of some drift, too little to be high, is "low". */
const char *weir_drift_severity_word(weir_drift_severity severity);

#endif
