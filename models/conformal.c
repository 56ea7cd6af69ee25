/* Split conformal prediction with absolute residuals. */
#include "models/conformal.h"

#include <math.h>
#include <stdlib.h>

#include "models/memory.h"

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static weir_status residual_of(const double *label, const double *prediction, int64_t row, double *ret_residual, weir_err *err) {
    if (!isfinite(label[row]) || !isfinite(prediction[row]))
        return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has label %g and prediction %g, expected finite numbers", (long long)row, label[row], prediction[row]);
    *ret_residual = fabs(label[row] - prediction[row]);
    return WEIR_OK;
}

/* ⌈(n + 1) level⌉; a product that should be whole may be rounded to just above it, which must not cost a place. */
static double place_of(int64_t n, double level) {
    double exact = (double)(n + 1) * level;
    return ceil(exact - exact * 0x1p-50);
}

weir_status weir_conformal_radius(const double *label, const double *prediction, int64_t row_count, double level, double *ret_radius, weir_err *err) {
    if (!(level > 0 && level < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "level is %g, expected a number between 0 and 1", level);
    double *residual = weir_models_calloc(row_count > 0 ? (size_t)row_count : 0, sizeof *residual);
    if (!residual) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld residuals", (long long)row_count);
    weir_status status = WEIR_OK;
    int64_t n = 0;
    for (int64_t r = 0; status == WEIR_OK && r < row_count; r++)
        if (!isnan(label[r])) status = residual_of(label, prediction, r, &residual[n++], err);
    if (status == WEIR_OK && n == 0) status = WEIR_FAIL(err, WEIR_EDATA, "none of the %lld rows has a label", (long long)row_count);
    if (status == WEIR_OK) {
        qsort(residual, (size_t)n, sizeof *residual, by_value);
        double place = place_of(n, level);
        *ret_radius = place > (double)n ? INFINITY : residual[(int64_t)place - 1];
    }
    weir_models_free(residual);
    return status;
}

weir_status weir_conformal_coverage(const double *label, const double *prediction, const double *weight, int64_t row_count, double radius, double *ret_coverage,
                                    weir_err *err) {
    long double total = 0, covered = 0;
    if (!(radius >= 0)) return WEIR_FAIL(err, WEIR_EINVAL, "radius is %g, expected a number that is not negative", radius);
    for (int64_t r = 0; r < row_count; r++) {
        double w = weight ? weight[r] : 1, residual = 0;
        if (!(w >= 0 && isfinite(w)))
            return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number that is not negative", (long long)r, w);
        if (isnan(label[r]) || w == 0) continue;
        weir_status status = residual_of(label, prediction, r, &residual, err);
        if (status != WEIR_OK) return status;
        total += w;
        if (residual <= radius) covered += w;
    }
    if (total == 0) return WEIR_FAIL(err, WEIR_EDATA, "none of the %lld rows has a label and a weight", (long long)row_count);
    *ret_coverage = (double)(covered / total);
    return WEIR_OK;
}
