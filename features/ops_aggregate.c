/* Aggregates: counts, sums, means, extremes, spread, shares. Nulls are skipped. Windows that are at hand are summed from the newest record to the oldest. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "features/operator.h"
#include "features/ops_window.h"

/* --- count --- */

static double count_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    if (!w->in[0]) return w->count;
    int n = 0;
    for (int i = 0; i < w->count; i++) n += !isnan(w->in[0][i]);
    return n;
}

static size_t number_size(const weir_params *params) {
    (void)params;
    return sizeof(double);
}

static void count_init(void *acc, const weir_params *params) {
    (void)params;
    *(double *)acc = 0;
}

static void count_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    *(double *)acc += !in || !isnan(in[0]);
}

static void count_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    *(double *)acc += *(const double *)later;
}

static double number_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return *(const double *)acc;
}

/* --- sums of one or two things: sum, mean, ratio, weighted_mean, share_true, null_share --- */

/* A sum that keeps what rounding loses. Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54 (1974), algorithm IV. */
typedef struct exact_sum {
    double sum, lost;
} exact_sum;

static void sum_up(exact_sum *s, double v) {
    double sum = s->sum + v;
    s->lost += fabs(s->sum) >= fabs(v) ? (s->sum - sum) + v : (v - sum) + s->sum;
    s->sum = sum;
}

static double total(const exact_sum *s) {
    return s->sum + s->lost;
}

typedef struct sums {
    exact_sum a, b;
    double count;
} sums;

static size_t sums_size(const weir_params *params) {
    (void)params;
    return sizeof(sums);
}

static void sums_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(sums));
}

static void sums_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    sums *s = acc;
    const sums *l = later;
    sum_up(&s->a, l->a.sum);
    sum_up(&s->a, l->a.lost);
    sum_up(&s->b, l->b.sum);
    sum_up(&s->b, l->b.lost);
    s->count += l->count;
}

/* What a record adds to the two sums; false: nothing, and it does not count. */
typedef bool (*terms_fn)(const double *in, double *ret_a, double *ret_b);

static void add_terms(sums *s, const double *in, terms_fn terms) {
    double a, b;
    if (!terms(in, &a, &b)) return;
    sum_up(&s->a, a);
    sum_up(&s->b, b);
    s->count++;
}

static sums sum_window(const weir_window *w, int inputs, terms_fn terms) {
    sums s = {0};
    double in[WEIR_INPUTS_MAX], a, b;
    for (int i = w->count - 1; i >= 0; i--) {
        for (int k = 0; k < inputs; k++) in[k] = w->in[k][i];
        if (!terms(in, &a, &b)) continue;
        s.a.sum += a;
        s.b.sum += b;
        s.count++;
    }
    return s;
}

static bool value_terms(const double *in, double *ret_a, double *ret_b) {
    *ret_a = in[0];
    *ret_b = 0;
    return !isnan(in[0]);
}

static bool pair_terms(const double *in, double *ret_a, double *ret_b) {
    *ret_a = in[0];
    *ret_b = in[1];
    return !isnan(in[0]) && !isnan(in[1]);
}

static bool weighted_terms(const double *in, double *ret_a, double *ret_b) {
    *ret_a = in[0] * in[1];
    *ret_b = in[1];
    return !isnan(in[0]) && !isnan(in[1]);
}

static bool true_terms(const double *in, double *ret_a, double *ret_b) {
    *ret_a = in[0] != 0;
    *ret_b = 0;
    return !isnan(in[0]);
}

static bool null_terms(const double *in, double *ret_a, double *ret_b) {
    *ret_a = isnan(in[0]);
    *ret_b = 0;
    return true;
}

static double sum_of(const sums *s) {
    return s->count > 0 ? total(&s->a) : NAN;
}

static double mean_of(const sums *s) {
    return s->count > 0 ? total(&s->a) / s->count : NAN;
}

static double ratio_of(const sums *s) {
    double b = total(&s->b);
    return b != 0 ? total(&s->a) / b : NAN;
}

static void value_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    add_terms(acc, in, value_terms);
}
static void pair_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    add_terms(acc, in, pair_terms);
}
static void weighted_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    add_terms(acc, in, weighted_terms);
}
static void true_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    add_terms(acc, in, true_terms);
}
static void null_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    add_terms(acc, in, null_terms);
}

static double sum_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return sum_of(acc);
}
static double mean_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return mean_of(acc);
}
static double ratio_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return ratio_of(acc);
}

static double sum_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 1, value_terms);
    return sum_of(&s);
}
static double mean_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 1, value_terms);
    return mean_of(&s);
}
static double ratio_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 2, pair_terms);
    return ratio_of(&s);
}
static double weighted_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 2, weighted_terms);
    return ratio_of(&s);
}
static double true_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 1, true_terms);
    return mean_of(&s);
}
static double null_eval(const weir_window *w, const weir_params *params) {
    (void)params;
    sums s = sum_window(w, 1, null_terms);
    return mean_of(&s);
}

/* --- extremes: min, max, range --- */

typedef struct extremes {
    double min, max; /* NaN: none yet */
} extremes;

static size_t extremes_size(const weir_params *params) {
    (void)params;
    return sizeof(extremes);
}

static void extremes_init(void *acc, const weir_params *params) {
    (void)params;
    *(extremes *)acc = (extremes){NAN, NAN};
}

static void extremes_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    extremes *e = acc;
    if (isnan(in[0])) return;
    if (!(e->min <= in[0])) e->min = in[0];
    if (!(e->max >= in[0])) e->max = in[0];
}

static void extremes_merge(void *acc, const void *later, const weir_params *params) {
    const extremes *l = later;
    extremes_add(acc, 0, &l->min, params);
    extremes_add(acc, 0, &l->max, params);
}

static extremes extremes_of(const weir_window *w) {
    extremes e = {NAN, NAN};
    for (int i = w->count - 1; i >= 0; i--) extremes_add(&e, 0, &w->in[0][i], NULL);
    return e;
}

static double min_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return ((const extremes *)acc)->min;
}
static double max_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return ((const extremes *)acc)->max;
}
static double range_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    return ((const extremes *)acc)->max - ((const extremes *)acc)->min;
}
static double min_eval(const weir_window *w, const weir_params *params) {
    extremes e = extremes_of(w);
    return min_value(&e, 0, params);
}
static double max_eval(const weir_window *w, const weir_params *params) {
    extremes e = extremes_of(w);
    return max_value(&e, 0, params);
}
static double range_eval(const weir_window *w, const weir_params *params) {
    extremes e = extremes_of(w);
    return range_value(&e, 0, params);
}

/* --- spread: variance, std --- */

enum { DDOF };
static const weir_param_def spread_params[] = {
    {"ddof", WEIR_PARAM_WHOLE, .fallback = 1, .min = 0, .max = 1000,
     .doc = "what is taken from the number of values in the divisor: 1 for a sample, 0 for all there is"},
    {NULL},
};

/* Source: B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4 (1962). */
typedef struct spread {
    double count, mean, m2;
} spread;

static size_t spread_size(const weir_params *params) {
    (void)params;
    return sizeof(spread);
}

static void spread_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(spread));
}

static void spread_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    spread *s = acc;
    if (isnan(in[0])) return;
    double from_mean = in[0] - s->mean;
    s->mean += from_mean / ++s->count;
    s->m2 += from_mean * (in[0] - s->mean);
}

/* Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", COMPSTAT 1982. */
static void spread_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    spread *s = acc;
    const spread *l = later;
    double count = s->count + l->count, between = l->mean - s->mean;
    if (l->count == 0) return;
    s->m2 += l->m2 + between * between * s->count * (l->count / count);
    s->mean += between * (l->count / count);
    s->count = count;
}

static double variance_of(double count, double m2, const weir_params *params) {
    double divisor = count - params->value[DDOF];
    return count > 0 && divisor > 0 ? m2 / divisor : NAN;
}

static double variance_value(const void *acc, int64_t t_us, const weir_params *params) {
    const spread *s = acc;
    (void)t_us;
    return variance_of(s->count, s->m2, params);
}

static double std_value(const void *acc, int64_t t_us, const weir_params *params) {
    return sqrt(variance_value(acc, t_us, params));
}

static double variance_eval(const weir_window *w, const weir_params *params) {
    int n = weir_window_values(w, 0);
    return n ? variance_of(n, weir_moments_of(w->scratch, n).m2, params) : NAN;
}

static double std_eval(const weir_window *w, const weir_params *params) {
    return sqrt(variance_eval(w, params));
}

/* --- rate --- */

enum { PER };
static const weir_param_def rate_params[] = {
    {"per", WEIR_PARAM_DURATION, .fallback = (double)WEIR_SECOND_US, .min = 1, .max = 3652500.0 * (double)WEIR_DAY_US, .doc = "the time that is counted per"},
    {NULL},
};

static double rate_eval(const weir_window *w, const weir_params *params) {
    double length_us = (double)w->end_us - (double)w->start_us;
    return length_us > 0 ? count_eval(w, params) / (length_us / params->value[PER]) : NAN;
}

#define ONE_INPUT .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = WEIR_WINDOWS_EVERY
#define TWO_INPUTS .abi = WEIR_OPERATOR_ABI, .inputs_min = 2, .inputs_max = 2, .windows = WEIR_WINDOWS_EVERY
#define SUMS .acc_size = sums_size, .init = sums_init, .merge = sums_merge
#define EXTREMES .acc_size = extremes_size, .init = extremes_init, .add = extremes_add, .merge = extremes_merge
#define SPREAD .params = spread_params, .acc_size = spread_size, .init = spread_init, .add = spread_add, .merge = spread_merge

const weir_operator weir_ops_aggregate[] = {
    {.abi = WEIR_OPERATOR_ABI,
     .name = "count",
     .doc = "Number of records, or of values that are not null.",
     .formula = "n",
     .unit = "records",
     .edges = "An empty window gives 0.",
     .source = "SQL:2016, COUNT",
     .inputs_min = 0,
     .inputs_max = 1,
     .texts = true,
     .windows = WEIR_WINDOWS_EVERY,
     .eval = count_eval,
     .acc_size = number_size,
     .init = count_init,
     .add = count_add,
     .value = number_value,
     .merge = count_merge},
    {ONE_INPUT, .name = "sum", .doc = "Sum of the values.", .formula = "Σ x", .unit = "as the column", .edges = "Nulls are skipped; no value gives null.",
     .source = "SQL:2016, SUM", .eval = sum_eval, SUMS, .add = value_add, .value = sum_value},
    {ONE_INPUT, .name = "mean", .doc = "Arithmetic mean of the values.", .formula = "Σ x / n", .unit = "as the column",
     .edges = "Nulls are skipped; no value gives null.", .source = "SQL:2016, AVG", .eval = mean_eval, SUMS, .add = value_add, .value = mean_value},
    {ONE_INPUT, .name = "min", .doc = "Smallest value.", .formula = "min x", .unit = "as the column", .edges = "Nulls are skipped; no value gives null.",
     .source = "SQL:2016, MIN", .eval = min_eval, EXTREMES, .value = min_value},
    {ONE_INPUT, .name = "max", .doc = "Largest value.", .formula = "max x", .unit = "as the column", .edges = "Nulls are skipped; no value gives null.",
     .source = "SQL:2016, MAX", .eval = max_eval, EXTREMES, .value = max_value},
    {ONE_INPUT, .name = "range", .doc = "Distance between the largest and the smallest value.", .formula = "max x - min x", .unit = "as the column",
     .edges = "Nulls are skipped; one value gives 0, none gives null.", .source = "NumPy, ptp", .eval = range_eval, EXTREMES, .value = range_value},
    {ONE_INPUT, .name = "variance", .doc = "Variance of the values.", .formula = "Σ (x - mean)² / (n - ddof)", .unit = "the column's, squared",
     .edges = "Nulls are skipped; ddof values or fewer give null.", .source = "pandas, var; Welford 1962, merged after Chan, Golub and LeVeque 1982",
     .eval = variance_eval, SPREAD, .value = variance_value},
    {ONE_INPUT, .name = "std", .doc = "Standard deviation of the values.", .formula = "sqrt(Σ (x - mean)² / (n - ddof))", .unit = "as the column",
     .edges = "Nulls are skipped; ddof values or fewer give null.", .source = "pandas, std; Welford 1962, merged after Chan, Golub and LeVeque 1982",
     .eval = std_eval, SPREAD, .value = std_value},
    {TWO_INPUTS, .name = "ratio", .doc = "Sum of the first column over the sum of the second.", .formula = "Σ a / Σ b",
     .unit = "the first column's over the second's", .edges = "Records where either is null are skipped; a sum of 0 below gives null.",
     .source = "Cochran, Sampling Techniques, 3rd ed., 2.11 (ratio of totals)", .eval = ratio_eval, SUMS, .add = pair_add, .value = ratio_value},
    {TWO_INPUTS, .name = "weighted_mean", .doc = "Mean of the first column, weighted with the second.", .formula = "Σ x w / Σ w", .unit = "as the first column",
     .edges = "Records where either is null are skipped; weights that sum to 0 give null.", .source = "NumPy, average with weights", .eval = weighted_eval,
     SUMS, .add = weighted_add, .value = ratio_value},
    {ONE_INPUT, .name = "share_true", .doc = "Share of the values that are true (not 0).", .formula = "|{x ≠ 0}| / n", .unit = "ratio",
     .edges = "Nulls are skipped; no value gives null.", .source = "SQL:2016, AVG of a condition", .eval = true_eval, SUMS, .add = true_add,
     .value = mean_value},
    {ONE_INPUT, .name = "null_share", .doc = "Share of the records whose value is null.", .formula = "|{x is null}| / records", .unit = "ratio",
     .edges = "No record gives null.", .source = "Breck et al., Data Validation for Machine Learning, SysML 2019 (completeness)", .texts = true,
     .eval = null_eval, SUMS, .add = null_add, .value = mean_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "rate",
     .doc = "Records, or values that are not null, per time.",
     .formula = "n / (length of the window / per)",
     .unit = "1/per; 1/s when none is given",
     .edges = "An empty window gives 0, one without length (the very start of a period) null.",
     .source = "Prometheus, rate, without extrapolation",
     .inputs_min = 0,
     .inputs_max = 1,
     .texts = true,
     .windows = 1u << WEIR_WINDOW_SLIDING | 1u << WEIR_WINDOW_TUMBLING | 1u << WEIR_WINDOW_HOPPING | 1u << WEIR_WINDOW_TO_DATE,
     .params = rate_params,
     .eval = rate_eval},
    {.name = NULL},
};
