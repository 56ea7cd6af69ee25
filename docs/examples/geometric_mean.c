/* A plugin: the geometric mean, for ratios and for what is spread over orders of magnitude. An example to begin from; docs/features.md, "Operators of your own", goes through it.
 *
 *   cc -shared -fPIC -O2 -ffp-contract=off -I. -o geometric_mean.so docs/examples/geometric_mean.c -lm
 *
 * It is a fold alone, which serves every window: sums of logarithms can also be put together from tiles, so it has merge. Nothing of Weir is called, only its header is read. */
#include <math.h>
#include <string.h>

#include "features/operator.h"

/* Stored with the entity's state and sent to other workers as it is: no pointers, a multiple of 8 bytes. */
typedef struct logs {
    double sum;
    double count;
    double impossible; /* values that have no logarithm */
} logs;

enum { OFFSET };
static const weir_param_def geometric_mean_params[] = {
    {"offset", WEIR_PARAM_NUMBER, .fallback = 0, .min = 0, .max = 1e12, .doc = "added to every value and taken off the result, so that zeros can be in it"},
    {NULL},
};

static size_t logs_size(const weir_params *params) {
    (void)params;
    return sizeof(logs);
}

static void logs_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(logs));
}

static void logs_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    logs *l = acc;
    if (isnan(in[0])) return; /* a null */
    double shifted = in[0] + params->value[OFFSET];
    if (shifted > 0)
        l->sum += log(shifted);
    else
        l->impossible++;
    l->count++;
}

static void logs_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    logs *l = acc;
    const logs *more = later;
    l->sum += more->sum;
    l->count += more->count;
    l->impossible += more->impossible;
}

static double geometric_mean(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    const logs *l = acc;
    return l->count && !l->impossible ? exp(l->sum / l->count) - params->value[OFFSET] : NAN;
}

static const weir_operator operators[] = {
    {.abi = WEIR_OPERATOR_ABI,
     .name = "geometric_mean",
     .doc = "Geometric mean: the n-th root of the product of n values.",
     .formula = "exp(mean(ln(x + offset))) - offset",
     .unit = "as the column",
     .edges = "empty: null; nulls are skipped; null where a value + offset is not above 0",
     .source = "Kenney and Keeping, Mathematics of Statistics, part 1, 4.10",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_EVERY,
     .params = geometric_mean_params,
     .acc_size = logs_size,
     .init = logs_init,
     .add = logs_add,
     .merge = logs_merge,
     .value = geometric_mean},
    {.name = NULL},
};

const weir_operator *weir_plugin_operators(void) {
    return operators;
}
