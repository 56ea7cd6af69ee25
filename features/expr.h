/* Expressions over columns and features: parsed and checked once, evaluated over batches, null-aware.
 *
 *   literals   1  2.5  1e-3  "text"  'text'  true  false  null
 *   names      columns and features; `in backquotes` when they are words of the language
 *   operators  or  and  not  = == != <> < <= > >=  + -  * / %  unary -  ^ (power)  x in ("a", "b")  x not in list  x is null  x is not null  parentheses
 *   functions  the table of expr_functions.c: null handling, mathematics, calendar, geodesy
 *
 * Binding, loosest first: or; and; not; comparisons, in, is (these do not chain); + -; * / %; unary -; ^ (from the right, -2^2 is -4).
 *
 * Values are doubles; NaN is null; true is 1, false 0, and as a condition every number but 0 is true. Arithmetic, comparisons and functions of null are null, unless the
 * function's text says otherwise; `and`, `or`, `not` have SQL's three values; `if` takes null as false. What has no finite value (1 / 0, log(0), sqrt(-1), overflow) is null.
 * % is the remainder with the sign of the divisor. Texts are compared (= != in) as weir_text_number. Times are µs since 1970, UTC (exact in a double until 2255). */
#ifndef WEIR_FEATURES_EXPR_H
#define WEIR_FEATURES_EXPR_H

#include <stdbool.h>

#include "core/err.h"

typedef struct weir_expr weir_expr;

/* What the names in an expression mean. */
typedef struct weir_expr_names {
    void *context;
    /** Index of a variable ≥ 0 (numbered by the caller), or -1 with *ret_hint a near name or NULL. *ret_text: it holds a text (weir_text_number). */
    int (*find)(void *context, const char *name, bool *ret_text, const char **ret_hint);
    /** A named list of the pipeline file, for `x in name`: values ascending, no repeats, copied; false when there is none. May be NULL.
     *  Dates (YYYY-MM-DD) are days since 1970, as day(t) gives them; other texts are weir_text_number, and *ret_texts says so. See weir_pipeline_find_list. */
    bool (*find_list)(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts);
} weir_expr_names;

/** Compiles. Errors: WEIR_EINVAL with the column of the text, what was found, what was expected. */
weir_status weir_expr_new(const char *text, const weir_expr_names *names, weir_expr **ret_expr, weir_err *err) WEIR_MUST_CHECK;
void weir_expr_free(weir_expr *expr);
/** Variables that it reads, ascending, no repeats: [*ret_count]. */
const int *weir_expr_variables(const weir_expr *expr, int *ret_count);
/** The canonical text: equal for expressions that differ in white space and needless parentheses only. */
const char *weir_expr_text(const weir_expr *expr);
bool weir_expr_is_text(const weir_expr *expr); /* its value is a text's number */

/** One value: vars indexed by variable number. No allocation; thread-safe. */
double weir_expr_eval(const weir_expr *expr, const double *vars);
/** Batches: columns[variable] points at n values (only those it reads need be there); out [n]. Same bits as weir_expr_eval. No allocation. */
void weir_expr_eval_batch(const weir_expr *expr, const double *const *columns, int n, double *out);

/* For documentation. */
typedef struct weir_expr_function {
    const char *name, *signature, *doc, *unit, *source;
} weir_expr_function;
const weir_expr_function *weir_expr_function_at(int index); /* NULL after the last */

#endif
