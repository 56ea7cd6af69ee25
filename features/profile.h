/* The profile of a table: what its columns hold, what is missing, odd or repeated. Rows are read twice from start to end; memory is bounded however many there are:
 * the first reading takes moments and sketches, the second counts exactly what depends on them (histogram, outliers, most frequent values, bins). One reading would have to
 * keep all values until quartiles, moments and candidates are known, in memory or in a copy on disk, or give up exact counts for sketched ones; a second reading needs neither. */
#ifndef WEIR_FEATURES_PROFILE_H
#define WEIR_FEATURES_PROFILE_H

#include "core/row.h"
#include "features/checks.h"
#include "features/duck.h"

enum {
    WEIR_PROFILE_COLUMNS_MAX = 1024,
    WEIR_PROFILE_HISTOGRAM = 24,
    WEIR_PROFILE_TOP = 10,
    WEIR_PROFILE_QUANTILES = 7,
    WEIR_PROFILE_PAIRS_MAX = 64,
    WEIR_PROFILE_GAPS_MAX = 10
};
extern const double weir_profile_quantiles[WEIR_PROFILE_QUANTILES]; /* 0.01 … 0.99 */

typedef enum weir_profile_type { WEIR_PROFILE_NUMBER, WEIR_PROFILE_BOOL, WEIR_PROFILE_TEXT, WEIR_PROFILE_TIME } weir_profile_type;
extern const char *const weir_profile_type_names[]; /* "number", "boolean", "text", "time" */

typedef struct weir_profile_field {
    char *name;
    weir_profile_type type;
} weir_profile_field;

typedef weir_status (*weir_profile_row_fn)(void *context, const weir_datum *row, weir_err *err);

/* Where rows come from. */
typedef struct weir_profile_source {
    const weir_profile_field *fields; /* [field_count] */
    int field_count;
    int time, entity; /* fields; -1: there is none */
    /** All rows [field_count], in the same order each time. Times are µs since 1970. */
    weir_status (*scan)(void *context, weir_profile_row_fn on_row, void *row_context, weir_err *err);
    void *context;
    void (*progress)(void *context, const char *step, int64_t rows); /* from time to time; may be NULL */
    void *progress_context;
} weir_profile_source;

typedef struct weir_profile_value {
    char *text; /* of a text; else NULL */
    double number;
    int64_t count;
} weir_profile_value;

typedef struct weir_profile_column {
    weir_profile_field field; /* name is the source's */
    int64_t missing; /* null, or NaN */
    double distinct, distinct_error; /* relative standard error; 0: exact */
    /* numbers (booleans as 0 and 1); min and max of times, too; NaN when there is no value */
    double min, max, mean, std; /* std with n - 1 */
    double quantiles[WEIR_PROFILE_QUANTILES], quantile_error; /* relative error; 0: exact */
    int64_t zeros, iqr_outliers, z_outliers; /* outside [q1 - 1.5 iqr, q3 + 1.5 iqr]; further than 3 std from the mean */
    double histogram_low, histogram_high; /* equal bins; what lies outside counts to the first or last */
    int64_t histogram[WEIR_PROFILE_HISTOGRAM];
    /* texts: characters */
    int64_t min_length, max_length;
    weir_profile_value top[WEIR_PROFILE_TOP]; /* most frequent first; count 0: no more */
    /* what "distribution" checks compare with: count 0: none */
    weir_bins bins; /* of texts: edges are places in top */
    int64_t bin_counts[WEIR_BINS_MAX + 1];
} weir_profile_column;

typedef struct weir_profile_gap {
    char *entity;
    int64_t from_us, to_us;
} weir_profile_gap;

typedef struct weir_profile_coverage {
    bool known; /* there is a time column with values */
    int64_t entities, first_us, last_us;
    int64_t fewest, most; /* records of an entity */
    double median_records;
    int64_t repeated_times; /* records at a time that their entity has already */
    double step_s; /* median of the times between records of an entity, repeats left out; NaN: none has two times */
    double regular; /* share of these times that are within a tenth of the step; NaN */
    /* where at least half are; else 0 and NaN */
    int64_t gap_count; /* more than 5 steps without a record */
    double coverage; /* times with a record over those there would be at every step, over all entities, at most 1 */
    weir_profile_gap gaps[WEIR_PROFILE_GAPS_MAX]; /* longest first */
    int gaps_shown;
} weir_profile_coverage;

typedef struct weir_profile {
    int64_t rows;
    weir_profile_column *columns;
    int column_count;
    int64_t duplicates; /* rows that are like an earlier one in every column */
    bool duplicates_exact; /* else estimated */
    /* correlations of the first numeric columns, over rows where both have a value; NaN where one does not vary */
    int pair_columns[WEIR_PROFILE_PAIRS_MAX], pair_count;
    int64_t sample_rows; /* that they were computed from: all, or a uniform sample */
    double *pearson, *spearman; /* [pair_count × pair_count] */
    weir_profile_coverage coverage;
    char **verdicts; /* what stands out, one sentence each */
    int verdict_count;
} weir_profile;

/** Errors: the source's; WEIR_ENOMEM; WEIR_EDATA when there are no rows. */
weir_status weir_profile_make(const weir_profile_source *source, weir_profile **ret_profile, weir_err *err) WEIR_MUST_CHECK;
void weir_profile_free(weir_profile *profile);
/** quality.json: what was profiled (name), rows, columns with their bins, correlations, coverage, verdicts. */
weir_status weir_profile_json(const weir_profile *profile, const char *name, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

/* --- sources --- */

typedef struct weir_profile_input weir_profile_input;
/* What of it; members that are not named are zero, which means everything. */
typedef struct weir_profile_query {
    const char *const *columns; /* NULL-terminated */
    const char *time_column, *entity_column; /* [the first time; none] of files */
    int64_t from_us, to_us; /* of the time column, [from, to) */
} weir_profile_query;
/** A data file. */
weir_status weir_profile_open_file(const char *path, const weir_profile_query *query, weir_profile_input **ret_input, weir_err *err) WEIR_MUST_CHECK;
/** The offline store of a pipeline: the records of its primary view and their features, as they were first computed. */
weir_status weir_profile_open_store(const char *pg_url, const char *objects_dir, const weir_pipeline *pipeline, const weir_profile_query *query,
                                    weir_profile_input **ret_input, weir_err *err) WEIR_MUST_CHECK;
const weir_profile_source *weir_profile_input_source(const weir_profile_input *input);
void weir_profile_input_set_progress(weir_profile_input *input, void (*progress)(void *context, const char *step, int64_t rows), void *context);
void weir_profile_input_free(weir_profile_input *input);

#endif
