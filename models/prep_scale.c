/* Scaling of numbers; missing values are left out of the fit and stay missing.
 *
 *   standard   (x − mean) / deviation, divisor n                                          scikit-learn's StandardScaler
 *   minmax     x · k + d that takes the smallest value to "min" and the largest to "max"; "clip" keeps later values within
 *                                                                                        MinMaxScaler
 *   robust     (x − median) / (upper quartile − lower quartile)                           RobustScaler
 *
 * A column that does not vary has scale 1: it becomes 0 (of minmax: "min"). What counts as not varying is scikit-learn's too: a spread below 10 ε, for standard a
 * variance within the rounding of its computation. */
#include <float.h>

#include "models/prep_internal.h"

enum { STANDARD, MINMAX, ROBUST };
static const char *const methods[] = {"standard", "minmax", "robust", NULL};

typedef struct scale_params {
    weir_prep_common common;
    int method;
    double min, max;
    bool clip;
} scale_params;

static const weir_conf_item params_table[] = {
    WEIR_PREP_COLUMNS_ITEM,
    {.name = "scale", .type = WEIR_CONF_ENUM, .offset = offsetof(scale_params, method), .choices = methods, .doc = "how numbers are brought to one scale"},
    {.name = "min", .type = WEIR_CONF_NUMBER, .offset = offsetof(scale_params, min), .fallback = "0", .doc = "of minmax: what the smallest value becomes"},
    {.name = "max", .type = WEIR_CONF_NUMBER, .offset = offsetof(scale_params, max), .fallback = "1", .doc = "of minmax: what the largest value becomes"},
    {.name = "clip",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(scale_params, clip),
     .fallback = "false",
     .doc = "of minmax: keep later values within min and max"},
    {0},
};

static weir_status check(const void *params, const cJSON *given, const char *path, weir_err *err) {
    const scale_params *p = params;
    static const char *const keys[] = {"min", "max", "clip"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        weir_status status = weir_prep_only(given, path, keys[i], p->method == MINMAX, "\"minmax\"", err);
        if (status != WEIR_OK) return status;
    }
    return p->min < p->max ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "%s.max: found %g, expected more than min, %g", path, p->max, p->min);
}

static bool takes(const void *params, weir_prep_kind kind, bool named) {
    (void)params;
    (void)named;
    return kind == WEIR_PREP_NUMBER;
}

static weir_prep_kind becomes(const void *params, weir_prep_kind kind) {
    (void)params;
    return kind;
}

/* values [n] ascending, n ≥ 1. */
static void standard(const double *values, int n, weir_prep_node *node) {
    double mean = weir_prep_mean(values, n), variance = weir_prep_variance(values, n, mean), rounding = n * mean * DBL_EPSILON;
    bool varies = variance > n * DBL_EPSILON * variance + rounding * rounding;
    node->a = values[0] == values[n - 1] ? values[0] : mean;
    node->b = varies || !isfinite(variance) ? sqrt(variance) : 1;
}

static double or_one(double spread) {
    return spread < 10 * DBL_EPSILON ? 1 : spread;
}

static weir_status fit_minmax(weir_prep_fitting *f, const scale_params *p, int parent, int n, weir_err *err) {
    double smallest = n ? f->values[0] : 0, range = or_one(n ? f->values[n - 1] - smallest : 0);
    double k = isfinite(range) ? (p->max - p->min) / range : NAN; /* which no step may have: everything would become the same */
    weir_prep_node node = {.op = WEIR_PREP_STRETCH, .kind = WEIR_PREP_NUMBER, .parent = parent, .levels = -1, .a = k, .b = p->min - smallest * k};
    if (!p->clip) return weir_prep_emit_new(f, node, err);
    weir_prep_node within = {.op = WEIR_PREP_CLIP, .kind = WEIR_PREP_NUMBER, .levels = -1, .a = p->min, .b = p->max};
    weir_status status = weir_prep_add(f->prep, node, &within.parent, err);
    return status == WEIR_OK ? weir_prep_emit_new(f, within, err) : status;
}

static weir_status fit(weir_prep_fitting *f, const void *params, int parent, weir_err *err) {
    const scale_params *p = params;
    int n = weir_prep_present(f, parent, f->values);
    if (p->method == MINMAX) return fit_minmax(f, p, parent, n, err);
    weir_prep_node node = {.op = WEIR_PREP_SCALE, .kind = WEIR_PREP_NUMBER, .parent = parent, .levels = -1, .a = 0, .b = 1};
    if (n && p->method == STANDARD) {
        standard(f->values, n, &node);
    } else if (n) {
        node.a = weir_prep_quantile(f->values, n, 0.5);
        node.b = or_one(weir_prep_quantile(f->values, n, 0.75) - weir_prep_quantile(f->values, n, 0.25));
    }
    return weir_prep_emit_new(f, node, err);
}

const weir_prep_step weir_prep_scale = {
    .key = "scale", .params = params_table, .params_size = sizeof(scale_params), .check = check, .takes = takes, .becomes = becomes, .fit = fit};
