/* Drift: does a window of values still look like the reference? Profiles of columns, which are of fixed size and are merged, and tests between two of them.
 *
 * What a profile holds of a column, in one pass:
 *   exact over all records   count, missing, zeros, min, max, mean, M2
 *   sketches                 quantiles, distinct values, most frequent values (features/sketch.h)
 *   a uniform sample         WEIR_DRIFT_SAMPLE values, each equally likely to be among them however profiles were merged
 *
 * Tests compare distributions from what is exact: the counts of all values while a column has no more than WEIR_DRIFT_VALUES different ones, the values themselves while
 * the window has no more than WEIR_DRIFT_SAMPLE of them, else the sample. Then a statistic is that of the samples, p-values are for the samples' sizes, so they hold as
 * they are, and what is lost is power against differences that are below every threshold here: a distribution function is known to within 0.8 % (one standard error).
 * Sources and calibration: docs/drift.md. */
#ifndef WEIR_FEATURES_DRIFT_H
#define WEIR_FEATURES_DRIFT_H

#include "core/mem.h"
#include "core/row.h"

enum {
    WEIR_DRIFT_SAMPLE = 4096,
    WEIR_DRIFT_VALUES = 128, /* different values that are counted exactly */
    WEIR_DRIFT_COLUMNS_MAX = 4096,
    WEIR_DRIFT_NAME_MAX = 255, /* bytes of a column's name */
    WEIR_DRIFT_TEXT_MAX = 31, /* bytes of a category's text that are kept */
    WEIR_DRIFT_BINS_MAX = 64
};

typedef enum weir_drift_type { WEIR_DRIFT_NUMBER, WEIR_DRIFT_BOOL, WEIR_DRIFT_CATEGORY } weir_drift_type;
extern const char *const weir_drift_type_names[]; /* "number", "boolean", "category" */
/* Only features count to the share of drifted columns; prediction scores and labels are judged beside them. */
typedef enum weir_drift_role { WEIR_DRIFT_FEATURE, WEIR_DRIFT_SCORE, WEIR_DRIFT_LABEL } weir_drift_role;
extern const char *const weir_drift_role_names[]; /* "feature", "score", "label" */

/* --- a column --- */

typedef struct weir_drift_profile weir_drift_profile;

/** seed: of the sample's random numbers; profiles that will be merged have different ones (a partition, an hour). NULL when memory ran out. About 90 kB. */
weir_drift_profile *weir_drift_profile_new(weir_drift_type type, weir_drift_role role, uint64_t seed);
void weir_drift_profile_free(weir_drift_profile *profile);
/** As new; type and role stay. */
void weir_drift_profile_clear(weir_drift_profile *profile, uint64_t seed);
/** One record's value: a number, 0 or 1, a category's code or weir_text_number. What is not finite is missing. No allocation. */
void weir_drift_profile_add(weir_drift_profile *profile, double value);
/** The same of values[0], values[stride] …, [count] of them: what one by one would give, but for the last digits of mean and standard deviation; several times as fast. */
void weir_drift_profile_add_many(weir_drift_profile *profile, const double *values, int64_t count, int64_t stride);
/** A category that is a text, so that reports can show it: the first 192 different ones are remembered, to WEIR_DRIFT_TEXT_MAX bytes. No allocation. */
void weir_drift_profile_add_text(weir_drift_profile *profile, const char *text, size_t len);
/** profile := both together. Errors: WEIR_EINVAL for another type or role. */
weir_status weir_drift_profile_merge(weir_drift_profile *profile, const weir_drift_profile *other, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_drift_summary {
    weir_drift_type type;
    weir_drift_role role;
    int64_t count, missing, zeros; /* count: records, missing ones with them */
    double min, max, mean, std; /* std with n - 1; NaN when there are no (for std: fewer than two) values */
    double distinct, distinct_error; /* relative standard error; 0: exact */
    double quantile_error; /* relative error of weir_drift_profile_quantile; 0: exact */
    int sampled; /* values in the sample */
    bool exact; /* tests see all values, not a sample of them */
} weir_drift_summary;
weir_drift_summary weir_drift_profile_summary(const weir_drift_profile *profile);
/** The q-quantile of all values; NaN without values. Linear interpolation (type 7 of Hyndman and Fan). */
double weir_drift_profile_quantile(const weir_drift_profile *profile, double q);
/** The text of a category in buffer [WEIR_DRIFT_TEXT_MAX + 1]; of one that is not remembered, its number. Returns buffer. */
char *weir_drift_profile_text(const weir_drift_profile *profile, double value, char *buffer);

/** Appends bytes that decode reads, on any machine: format number, contents, checksum. False when memory ran out; out is then as it was. */
bool weir_drift_profile_encode(const weir_drift_profile *profile, weir_buf *out) WEIR_MUST_CHECK;
/** Errors: WEIR_EDATA for bytes that are not a profile's; WEIR_ENOMEM. */
weir_status weir_drift_profile_decode(const void *bytes, size_t len, weir_drift_profile **ret_profile, weir_err *err) WEIR_MUST_CHECK;
/** Appends a JSON object: the summary, quantiles, most frequent values. What is not known is null. False as encode. */
bool weir_drift_profile_json(const weir_drift_profile *profile, const char *name, weir_buf *out) WEIR_MUST_CHECK;

/* --- the columns of a set --- */

typedef struct weir_drift_field {
    const char *name; /* UTF-8, 1 to WEIR_DRIFT_NAME_MAX bytes */
    weir_drift_type type;
    weir_drift_role role;
} weir_drift_field;

typedef struct weir_drift_table weir_drift_table;

/** fields [count] are copied. Errors: WEIR_EINVAL for a name twice, none, or too long, for more columns than the maximum; WEIR_ENOMEM. */
weir_status weir_drift_table_new(const weir_drift_field *fields, int count, uint64_t seed, weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;
void weir_drift_table_free(weir_drift_table *table);
void weir_drift_table_clear(weir_drift_table *table, uint64_t seed);
int weir_drift_table_count(const weir_drift_table *table);
/** name and profile are the table's. */
weir_drift_field weir_drift_table_field(const weir_drift_table *table, int column);
weir_drift_profile *weir_drift_table_profile(const weir_drift_table *table, int column);
/** A column by name; -1: there is none. */
int weir_drift_table_find(const weir_drift_table *table, const char *name);
/** One record: values [count] as weir_drift_profile_add, or datums [count], of which texts go to weir_drift_profile_add_text. No allocation. */
void weir_drift_table_add(weir_drift_table *table, const double *values);
void weir_drift_table_add_row(weir_drift_table *table, const weir_datum *row);
/** Records [row_count][count], row by row, as weir_drift_profile_add_many. Fastest with hundreds of rows or more, as each column's profile is then at hand once. */
void weir_drift_table_add_block(weir_drift_table *table, const double *rows, int64_t row_count);
/** table := both together, column by column by name. Errors: WEIR_EINVAL when names, types or roles differ; table is then as it was. */
weir_status weir_drift_table_merge(weir_drift_table *table, const weir_drift_table *other, weir_err *err) WEIR_MUST_CHECK;
/** As weir_drift_profile_encode, _decode and _json, of all columns with their names. */
bool weir_drift_table_encode(const weir_drift_table *table, weir_buf *out) WEIR_MUST_CHECK;
weir_status weir_drift_table_decode(const void *bytes, size_t len, weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;
bool weir_drift_table_json(const weir_drift_table *table, weir_buf *out) WEIR_MUST_CHECK;

/* --- tests --- */

typedef enum weir_drift_statistic {
    WEIR_DRIFT_AUTO, /* by type and size: see weir_drift_choose */
    WEIR_DRIFT_KS, /* numbers: largest distance between the distribution functions */
    WEIR_DRIFT_WASSERSTEIN, /* numbers: area between the distribution functions, in the column's unit */
    WEIR_DRIFT_PSI, /* numbers in bins by quantiles of the reference; categories */
    WEIR_DRIFT_JENSEN_SHANNON, /* distance, base 2, over the same bins or categories: 0 the same, 1 nothing in common */
    WEIR_DRIFT_CHI_SQUARED, /* categories, also those of numbers with few different values; rare ones are pooled */
    WEIR_DRIFT_PROPORTION, /* booleans: two-proportion z */
    WEIR_DRIFT_MISSING, /* any column: two-proportion z of what is missing. Made for every column, not chosen */
    WEIR_DRIFT_UNSEEN, /* categories: share of values that the reference has not. Made for every category, not chosen */
    WEIR_DRIFT_STATISTICS
} weir_drift_statistic;
/* "auto", "ks", "wasserstein", "psi", "jensen_shannon", "chi_squared", "proportion", "missing", "unseen" */
extern const char *const weir_drift_statistic_names[];
/** A statistic that may be chosen, by name; -1: none. */
int weir_drift_statistic_find(const char *name);
/** Whether a column of this type may be judged by it. */
bool weir_drift_statistic_fits(weir_drift_statistic statistic, weir_drift_type type);

/* Start from weir_drift_defaults and change what you like. */
typedef struct weir_drift_settings {
    double alpha; /* [0.05] bound of the false discovery rate over all tests of a comparison */
    double threshold[WEIR_DRIFT_STATISTICS]; /* effect sizes below which nothing is called drift, however sure it is; see weir_drift_test */
    double high_share, critical_share; /* [0.3, 0.5] of features drifted; above them severity is high, critical */
    int64_t values_min; /* [30] fewer values on either side are not compared; ≥ 1 */
    int64_t small; /* [1000] up to as many values on the smaller side, auto is the classical test; beyond, the distance */
    int bins; /* [10] of numbers for PSI and Jensen-Shannon, fewer when the smaller side has under 20 values a bin; 2 to WEIR_DRIFT_BINS_MAX */
    int permutations; /* [1999] at most, for Wasserstein and unseen; ≥ 19 */
    uint64_t seed; /* of permutations */
} weir_drift_settings;
extern const weir_drift_settings weir_drift_defaults;

/** What auto stands for. Numbers: KS while small, else Wasserstein; with at most 5 different values on both sides as categories. Categories: chi-squared while small, else
 *  Jensen-Shannon. Booleans: proportion. */
weir_drift_statistic weir_drift_choose(const weir_drift_profile *reference, const weir_drift_profile *current, const weir_drift_settings *settings);

typedef struct weir_drift_test {
    weir_drift_statistic statistic;
    double value; /* the statistic: D, W1, PSI, distance, χ², z, share unseen */
    double p; /* of so large a value or a larger one when both sides are from one distribution */
    double adjusted_p; /* after Benjamini and Hochberg over all tests of the comparison; by weir_drift_test_columns only: NaN */
    /* What is compared with the threshold. KS, PSI, Jensen-Shannon, unseen: the value. Wasserstein: over the standard deviation of the reference. χ²: Cohen's w,
     * √(χ² (1/n + 1/m)). Proportion, missing: Cohen's h. */
    double effect, threshold;
    int64_t reference_count, current_count; /* n and m that value and p are for */
    bool sampled; /* they are sizes of samples of larger windows */
    bool drifted; /* adjusted_p ≤ alpha and effect ≥ threshold */
} weir_drift_test;

/** Compares two columns by one statistic. Errors: WEIR_EINVAL for a statistic that does not fit or settings out of range; WEIR_EDATA for fewer values than values_min on a
 *  side; WEIR_ENOMEM. O(n log n) and permutations × n. */
weir_status weir_drift_test_columns(const weir_drift_profile *reference, const weir_drift_profile *current, weir_drift_statistic statistic,
                                    const weir_drift_settings *settings, weir_drift_test *ret_test, weir_err *err) WEIR_MUST_CHECK;

/* --- a comparison --- */

typedef enum weir_drift_severity { WEIR_DRIFT_NONE, WEIR_DRIFT_SOME, WEIR_DRIFT_HIGH, WEIR_DRIFT_CRITICAL } weir_drift_severity;
extern const char *const weir_drift_severity_names[]; /* "none", "some", "high", "critical" */

enum { WEIR_DRIFT_TESTS = 3, WEIR_DRIFT_REASON_MAX = 320 };
typedef struct weir_drift_column {
    char *name;
    weir_drift_type type;
    weir_drift_role role;
    weir_drift_test tests[WEIR_DRIFT_TESTS]; /* [test_count]: that of the distribution first, when there is one; missing; unseen */
    int test_count; /* 0: nothing could be tested, reason says why */
    bool drifted; /* one of the tests is, or the column is gone */
    bool tested; /* counts to the share: it has a test, or is gone */
    char reason[WEIR_DRIFT_REASON_MAX]; /* a sentence for people */
} weir_drift_column;

typedef struct weir_drift_report {
    weir_drift_column *columns; /* those of the reference, in its order; then those that only the current table has (never drifted) */
    int column_count;
    int64_t reference_records, current_records;
    double alpha;
    int features, drifted_features; /* tested ones */
    double share; /* drifted_features / features; 0 without features */
    weir_drift_severity severity; /* none: no feature has drifted */
    bool score_drifted, label_drifted;
} weir_drift_report;

/** Judges all columns. statistics: [columns of the reference] of those that may be chosen, NULL: auto for all. A column of another type or role than the reference's is an error.
 *  Errors: WEIR_EINVAL (as weir_drift_test_columns; the message names the column), WEIR_ENOMEM. */
weir_status weir_drift_compare(const weir_drift_table *reference, const weir_drift_table *current, const weir_drift_statistic *statistics,
                               const weir_drift_settings *settings, weir_drift_report **ret_report, weir_err *err) WEIR_MUST_CHECK;
/** alpha for each of `comparisons` of one window (its tenants), so that the chance of a false alarm in any of them is at most rate, whatever they have in common. Source: Bonferroni. */
double weir_drift_share_of_rate(double rate, int comparisons);
void weir_drift_report_free(weir_drift_report *report);
/** Appends a JSON object with everything in the report. False when memory ran out; out is then as it was. */
bool weir_drift_report_json(const weir_drift_report *report, weir_buf *out) WEIR_MUST_CHECK;

/* --- for pictures --- */

enum { WEIR_DRIFT_SPREAD_MAX = 32 };
/* Shares of both sides' values in the same bins. */
typedef struct weir_drift_spread {
    bool categories;
    int count; /* bins; 0: a side has no values */
    double low, high; /* numbers: equal bins between these; what lies outside counts to the first or last */
    double values[WEIR_DRIFT_SPREAD_MAX]; /* categories: most frequent on either side first; with `rest` the last bin is for all others */
    bool rest;
    double reference[WEIR_DRIFT_SPREAD_MAX], current[WEIR_DRIFT_SPREAD_MAX];
} weir_drift_spread;
/** bins: 2 to WEIR_DRIFT_SPREAD_MAX. Errors: WEIR_ENOMEM. */
weir_status weir_drift_spread_of(const weir_drift_profile *reference, const weir_drift_profile *current, int bins, weir_drift_spread *ret_spread,
                                 weir_err *err) WEIR_MUST_CHECK;

#endif
