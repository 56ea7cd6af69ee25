/* What checks of the pipeline file are made of: patterns, rules, bins of a profile; and the checks of a stream. Checks of single records: features/pipeline.h. */
#ifndef WEIR_FEATURES_CHECKS_H
#define WEIR_FEATURES_CHECKS_H

#include <math.h>

#include "features/expr.h"
#include "features/pipeline.h"

/* --- values --- */

/** A column as rules and views see it: text as weir_text_number; NaN for null and for what is not finite, which would stay in every sum for ever. */
static inline double weir_check_number(const weir_datum *d) {
    double v = d->type == WEIR_T_STR || d->type == WEIR_T_BYTES ? weir_text_number(d->p, d->len) : weir_datum_number(d);
    return isfinite(v) ? v : NAN;
}

/* Variables of a rule over a schema of n columns: [0, n) columns of the record, [n, 2n) of the one before, then the two event times. */
static inline int weir_check_variable(int columns, bool previous, int column) {
    return (previous ? columns : 0) + column;
}
static inline int weir_check_time_variable(int columns, bool previous) {
    return 2 * columns + previous;
}
enum { WEIR_CHECK_VARIABLES_MAX = 2 * 1024 + 2 };

/** Whether a rule's value is good: true, or null where that is allowed. */
static inline bool weir_check_is_good(const weir_check_def *check, double value) {
    return value != value ? !check->not_null : value != 0;
}
/** The complaint of a rule that was not met, with the values that it read: vars as for the expression. Always a REJECT. */
weir_status weir_check_rule_failed(const weir_check_def *check, const weir_schema *schema, const double *vars, weir_err *err);

/* --- patterns --- */

/* A POSIX extended regular expression that a whole text must match. */
typedef struct weir_pattern weir_pattern;
/** Errors: WEIR_EINVAL, the message says what is wrong with it; back-references are refused, for matching them takes exponential time. */
weir_status weir_pattern_new(const char *text, weir_pattern **ret_pattern, weir_err *err) WEIR_MUST_CHECK;
void weir_pattern_free(weir_pattern *pattern);
/** Thread-safe. text needs no NUL and holds none. The C library's matcher allocates as it sees fit. */
bool weir_pattern_matches(const weir_pattern *pattern, const char *text, size_t len);
const char *weir_pattern_text(const weir_pattern *pattern);

/* --- distributions --- */

enum { WEIR_BINS_MAX = 64 };
/* How a column's values were spread when it was profiled. Bin `count` is for null. */
typedef struct weir_bins {
    bool texts;
    int count; /* bins of values */
    double edges
        [WEIR_BINS_MAX]; /* numbers: [count - 1] ascending; bin i holds edges[i - 1] < v ≤ edges[i]. Texts: [count - 1] weir_text_number; the last bin is for all others */
    double expected[WEIR_BINS_MAX + 1]; /* [count + 1] shares, sum 1 */
} weir_bins;
/** The bins of a column in a quality.json of `weir features profile`. Errors: WEIR_EINVAL (no such column, no bins, damaged), WEIR_ENOTFOUND, WEIR_EIO. */
weir_status weir_bins_read(const char *path, const char *column, bool texts, weir_bins **ret_bins, weir_err *err) WEIR_MUST_CHECK;
int weir_bins_of(const weir_bins *bins, const weir_datum *value);
/** Population stability index: Σ (a - e) ln(a / e) over bins, a and e being shares of at least 10⁻⁴. 0: the same; above 0.25 is by convention a shift.
 *  Source: Yurdakul, Statistical properties of population stability index (2018), eq. 1. */
double weir_bins_psi(const weir_bins *bins, const int64_t *counts);

/* --- the stream --- */

/* What the stream's checks know of the records that one worker took in from one feed. */
typedef struct weir_stream_checks weir_stream_checks;

/* What a check found at the end of its window. */
typedef struct weir_stream_finding {
    int check; /* of the pipeline */
    bool failed;
    double value; /* seconds behind; share; index */
    char message[200]; /* of a failure */
} weir_stream_finding;
typedef void (*weir_stream_finding_fn)(void *context, const weir_stream_finding *finding);

/** *ret_checks is NULL when the pipeline has no such checks. now_us: the clock. */
weir_status weir_stream_checks_new(const weir_pipeline *pipeline, int64_t now_us, weir_stream_checks **ret_checks, weir_err *err) WEIR_MUST_CHECK;
void weir_stream_checks_free(weir_stream_checks *checks);
/** One accepted record. No allocation. */
void weir_stream_checks_add(weir_stream_checks *checks, weir_feed feed, const weir_datum *row, weir_stream_finding_fn on_finding, void *context);
/** Ends windows whose time has come, and judges freshness. */
void weir_stream_checks_tick(weir_stream_checks *checks, int64_t now_us, weir_stream_finding_fn on_finding, void *context);

#endif
