/* Exponentially weighted operators whose weights halve with time, not with records: a record of age a weighs 2^(-a / half_life).
 *
 * They reach over everything that came and are kept by recursion. All weights are relative to the newest record's, so ages only ever shrink them and nothing overflows;
 * means and variances do not depend on the time of the value, sums, counts and rates decay on to it. Values that are not finite count as null and change nothing.
 * Where the input may be left out, `in` of a fold is NULL then. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "features/operator.h"

enum { HALF_LIFE };
enum { CORRECTION = 1, PER = 1 };
enum { RELIABILITY, NONE };
#define HALF_LIFE_PARAM                                                                                                                                        \
    { "half_life", WEIR_PARAM_DURATION, .required = true, .min = 1, .max = 1e16, .doc = "age at which a record weighs half as much as a new one" }
static const char *const correction_choices[] = {"reliability", "none", NULL};
static const weir_param_def mean_params[] = {HALF_LIFE_PARAM, {NULL}};
static const weir_param_def variance_params[] = {
    HALF_LIFE_PARAM,
    {"correction", WEIR_PARAM_CHOICE, .choices = correction_choices,
     .doc = "reliability: unbiased for weights that say how reliable a value is, W^2 / (W^2 - sum w^2); none: the weighted mean of squares"},
    {NULL},
};
static const weir_param_def rate_params[] = {
    HALF_LIFE_PARAM,
    {"per", WEIR_PARAM_DURATION, .fallback = 1e6, .min = 1, .max = 1e16, .doc = "unit of time of the result"},
    {NULL},
};

/* --- Sums: ewm_sum, ewm_count, ewm_rate --- */

typedef struct sums {
    double weight, sum; /* of records that count, as of last_us */
    int64_t last_us;
    uint64_t seen;
} sums;

/** 2^(-age / half_life). */
static double decay(int64_t age_us, const weir_params *params) {
    return exp2(-(double)age_us / params->value[HALF_LIFE]);
}

static size_t sums_size(const weir_params *params) {
    (void)params;
    return sizeof(sums);
}

static void sums_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(sums));
}

static void sums_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    sums *s = acc;
    double value = in ? in[0] : 1;
    if (!isfinite(value)) return;
    double kept = s->seen ? decay(time_us - s->last_us, params) : 0;
    *s = (sums){s->weight * kept + 1, s->sum * kept + value, time_us, 1};
}

static double sum_value(const void *acc, int64_t t_us, const weir_params *params) {
    const sums *s = acc;
    return s->seen ? s->sum * decay(t_us - s->last_us, params) : 0;
}

static double count_value(const void *acc, int64_t t_us, const weir_params *params) {
    const sums *s = acc;
    return s->seen ? s->weight * decay(t_us - s->last_us, params) : 0;
}

static double rate_value(const void *acc, int64_t t_us, const weir_params *params) {
    return sum_value(acc, t_us, params) * log(2) / params->value[HALF_LIFE] * params->value[PER];
}

/* --- Moments: ewm_mean, ewm_variance, ewm_std --- */

typedef struct moments {
    double weight, mean;
    double squares; /* sum of w (x - mean)^2 */
    double pairs; /* (sum of w)^2 - sum of w^2, kept as such since the difference of the two would cancel */
    int64_t last_us;
    uint64_t seen;
} moments;

static size_t moments_size(const weir_params *params) {
    (void)params;
    return sizeof(moments);
}

static void moments_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(moments));
}

/* West, Updating mean and variance estimates: an improved method (1979), with the older weights shrunk first. */
static void moments_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    moments *m = acc;
    if (!isfinite(in[0])) return;
    double kept = m->seen ? decay(time_us - m->last_us, params) : 0;
    double older = m->weight * kept, delta = in[0] - m->mean;
    m->weight = older + 1;
    m->pairs = m->pairs * kept * kept + 2 * older;
    m->squares = m->squares * kept + delta * delta * (older / m->weight);
    m->mean =
        older < 1 ? in[0] - delta * (older / m->weight) : m->mean + delta / m->weight; /* from the nearer end: a large old mean leaves no rounding behind */
    m->last_us = time_us;
    m->seen = 1;
}

static double mean_value(const void *acc, int64_t t_us, const weir_params *params) {
    const moments *m = acc;
    (void)t_us;
    (void)params;
    return m->seen ? m->mean : NAN;
}

static double variance_value(const void *acc, int64_t t_us, const weir_params *params) {
    const moments *m = acc;
    (void)t_us;
    if (!m->seen) return NAN;
    if (params->value[CORRECTION] == NONE) return m->squares / m->weight;
    return m->pairs > 0 ? m->squares * m->weight / m->pairs : NAN;
}

static double std_value(const void *acc, int64_t t_us, const weir_params *params) {
    return sqrt(variance_value(acc, t_us, params));
}

#define WINDOW_ALL_ONLY (1u << WEIR_WINDOW_ALL)

const weir_operator weir_ops_decay[] = {
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_mean",
     .doc = "Exponentially weighted mean whose weights halve every half_life.",
     .formula = "sum w_i x_i / sum w_i, w_i = 2^(-(t - t_i) / half_life)",
     .unit = "as the column",
     .edges = "No value: null. A single value: that. Nulls are passed over.",
     .source = "pandas ewm(halflife, times, adjust=True).mean()",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = mean_params,
     .acc_size = moments_size,
     .init = moments_init,
     .add = moments_add,
     .value = mean_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_variance",
     .doc = "Exponentially weighted variance whose weights halve every half_life.",
     .formula = "sum w_i (x_i - m)^2 / (W - sum w_i^2 / W), W = sum w_i, m = ewm_mean; without correction: / W",
     .unit = "square of the column",
     .edges = "No value: null. A single value, or all others too old to weigh anything: null, without correction 0. Nulls are passed over.",
     .source = "West (1979); correction as pandas ewm.var(bias=False), for reliability weights",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = variance_params,
     .acc_size = moments_size,
     .init = moments_init,
     .add = moments_add,
     .value = variance_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_std",
     .doc = "Exponentially weighted standard deviation whose weights halve every half_life.",
     .formula = "sqrt(ewm_variance)",
     .unit = "as the column",
     .edges = "As ewm_variance.",
     .source = "West (1979); correction as pandas ewm.std(bias=False)",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = variance_params,
     .acc_size = moments_size,
     .init = moments_init,
     .add = moments_add,
     .value = std_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_sum",
     .doc = "Sum of values that halve every half_life, as of the time of the value.",
     .formula = "sum x_i 2^(-(t - t_i) / half_life)",
     .unit = "as the column",
     .edges = "No value: 0. Nulls are passed over.",
     .source = "Cormode, Shkapenyuk, Srivastava, Xu, Forward decay (ICDE 2009): exponential decay",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = mean_params,
     .acc_size = sums_size,
     .init = sums_init,
     .add = sums_add,
     .value = sum_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_count",
     .doc = "Count of records, or of values that are not null, that halve every half_life, as of the time of the value.",
     .formula = "sum 2^(-(t - t_i) / half_life)",
     .unit = "count",
     .edges = "No record: 0. Nulls are passed over.",
     .source = "Cormode, Shkapenyuk, Srivastava, Xu, Forward decay (ICDE 2009): exponential decay",
     .inputs_min = 0,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = mean_params,
     .acc_size = sums_size,
     .init = sums_init,
     .add = sums_add,
     .value = count_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ewm_rate",
     .doc = "Records, or the sum of a column, per time, as of the time of the value: a kernel estimate of the current rate.",
     .formula = "(ln 2 / half_life) sum x_i 2^(-(t - t_i) / half_life), x_i = 1 without a column",
     .unit = "as the column (or 1), per `per`",
     .edges = "No record: 0. Too low by the factor 1 - 2^(-a / half_life) when records began only a ago. Nulls are passed over.",
     .source = "exponential kernel estimate of the intensity of a point process",
     .inputs_min = 0,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = rate_params,
     .acc_size = sums_size,
     .init = sums_init,
     .add = sums_add,
     .value = rate_value},
    {.name = NULL},
};
