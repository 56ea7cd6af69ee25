/* Outliers of numbers: values outside of bounds fitted on the training rows. What lies on a bound is inside; a missing value is none.
 *
 *   iqr      [q1 − factor · (q3 − q1), q3 + factor · (q3 − q1)], quartiles linear between order statistics    Tukey, Exploratory Data Analysis, 1977, 2D
 *   zscore   [mean − threshold · deviation, mean + threshold · deviation], divisor n                           scipy.stats.zscore
 *
 * and what becomes of them:
 *
 *   clip        the bound
 *   null        missing, for an imputation that follows
 *   mark        they stay, and a column NAME=<outlier> is 1 where they are
 *   drop_rows   their rows are left out of the training set; nothing happens to a row that is scored
 *
 * Of a column that does not vary every other value is an outlier; of one without values none is. */
#include <float.h>

#include "models/prep_internal.h"

enum { IQR, ZSCORE };
enum { CLIP, NULL_OUT, MARK, DROP_ROWS };
static const char *const methods[] = {"iqr", "zscore", NULL};
static const char *const actions[] = {"clip", "null", "mark", "drop_rows", NULL};

typedef struct outliers_params {
    weir_prep_common common;
    int method, action;
    double factor, threshold;
} outliers_params;

static const weir_conf_item params_table[] = {
    WEIR_PREP_COLUMNS_ITEM,
    {.name = "outliers", .type = WEIR_CONF_ENUM, .offset = offsetof(outliers_params, method), .choices = methods, .doc = "how the bounds are found"},
    {.name = "factor",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(outliers_params, factor),
     .min = 0,
     .max = 1e6,
     .fallback = "1.5",
     .doc = "of iqr: how many quartile ranges beyond the quartiles"},
    {.name = "threshold",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(outliers_params, threshold),
     .min = 0,
     .max = 1e6,
     .fallback = "3",
     .doc = "of zscore: how many deviations from the mean"},
    {.name = "action",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(outliers_params, action),
     .choices = actions,
     .fallback = "clip",
     .doc = "what becomes of outliers"},
    {0},
};

static weir_status check(const void *params, const cJSON *given, const char *path, weir_err *err) {
    const outliers_params *p = params;
    weir_status status = weir_prep_only(given, path, "factor", p->method == IQR, "\"iqr\"", err);
    return status == WEIR_OK ? weir_prep_only(given, path, "threshold", p->method == ZSCORE, "\"zscore\"", err) : status;
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

/* values [n] ascending. A mean may differ from equal values by rounding, hence they are asked first. */
static void find_bounds(const outliers_params *p, const double *values, int n, double *ret_low, double *ret_high) {
    double low = -DBL_MAX, high = DBL_MAX;
    if (n && values[0] == values[n - 1]) {
        low = high = values[0];
    } else if (n && p->method == IQR) {
        double q1 = weir_prep_quantile(values, n, 0.25), q3 = weir_prep_quantile(values, n, 0.75);
        low = q1 - p->factor * (q3 - q1);
        high = q3 + p->factor * (q3 - q1);
    } else if (n) {
        double mean = weir_prep_mean(values, n), deviation = sqrt(weir_prep_variance(values, n, mean));
        low = mean - p->threshold * deviation;
        high = mean + p->threshold * deviation;
    }
    *ret_low = low;
    *ret_high = high;
}

static void drop_rows(weir_prep_fitting *f, int node, double low, double high) {
    weir_prep_gather(f, node, f->values);
    for (int i = 0; i < f->kept_count; i++)
        if (f->values[i] < low || f->values[i] > high) f->dropped[f->kept[i]] = true;
}

static weir_status fit(weir_prep_fitting *f, const void *params, int node, weir_err *err) {
    const outliers_params *p = params;
    weir_prep_node bounded = {.op = p->action == CLIP ? WEIR_PREP_CLIP : WEIR_PREP_NULL, .kind = WEIR_PREP_NUMBER, .parent = node, .levels = -1};
    int n = weir_prep_present(f, node, f->values);
    find_bounds(p, f->values, n, &bounded.a, &bounded.b);
    if (!isfinite(bounded.a) || !isfinite(bounded.b))
        return WEIR_FAIL(err, WEIR_ENUMERIC, "column '%s': its values are too large to find outliers", f->prep->nodes[node].name);
    if (p->action == DROP_ROWS) drop_rows(f, node, bounded.a, bounded.b);
    if (p->action == CLIP || p->action == NULL_OUT) return weir_prep_emit_new(f, bounded, err);
    weir_status status = weir_prep_emit(f, node, err);
    if (status != WEIR_OK || p->action == DROP_ROWS) return status;
    bounded.op = WEIR_PREP_OUTSIDE;
    bounded.kind = WEIR_PREP_FLAG;
    status = weir_prep_name(f->prep, f->prep->nodes[node].name, "<outlier>", &bounded.name, err);
    return status == WEIR_OK ? weir_prep_emit_new(f, bounded, err) : status;
}

const weir_prep_step weir_prep_outliers = {
    .key = "outliers", .params = params_table, .params_size = sizeof(outliers_params), .check = check, .takes = takes, .becomes = becomes, .fit = fit};
