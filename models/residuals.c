/* Tests of residuals. Sums are kept in long double: moments of a million rows lose no digit of the result. */
#include "models/residuals.h"

#include <math.h>

#include "core/distributions.h"
#include "models/memory.h"

enum { ROWS_MIN = 3 };

static weir_status collect(const double *label, const double *prediction, int64_t row_count, double *residual, double *kept, int64_t *ret_rows, weir_err *err) {
    int64_t n = 0;
    for (int64_t r = 0; r < row_count; r++) {
        if (isnan(label[r])) continue;
        if (!isfinite(prediction[r]) || !isfinite(label[r]) || !isfinite(label[r] - prediction[r]))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has label %g and prediction %g, expected finite numbers", (long long)r, label[r], prediction[r]);
        residual[n] = label[r] - prediction[r];
        kept[n++] = prediction[r];
    }
    if (n < ROWS_MIN) return WEIR_FAIL(err, WEIR_EDATA, "%lld rows have a label, expected at least %d", (long long)n, ROWS_MIN);
    *ret_rows = n;
    return WEIR_OK;
}

static long double mean_of(const double *x, int64_t n) {
    long double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static double durbin_watson(const double *e, int64_t n) {
    long double steps = 0, squares = (long double)e[0] * e[0];
    for (int64_t i = 1; i < n; i++) {
        long double step = (long double)e[i] - e[i - 1];
        steps += step * step;
        squares += (long double)e[i] * e[i];
    }
    return (double)(steps / squares);
}

/* Q = n (n + 2) Σ r_k² / (n − k), r_k the autocorrelation of the residuals less their mean. */
static weir_test ljung_box(const double *e, int64_t n, int lags, long double mean, long double squares) {
    long double q = 0;
    for (int64_t k = 1; k <= lags; k++) {
        long double product = 0;
        for (int64_t i = k; i < n; i++) product += (e[i] - mean) * (e[i - k] - mean);
        q += product / squares * (product / squares) / (n - k);
    }
    double statistic = (double)(q * n * (n + 2));
    return (weir_test){statistic, weir_chi_square_tail(statistic, lags)};
}

/* n R² of the regression of squared residuals on predictions, which with one regressor is n times their squared correlation. */
static weir_test breusch_pagan(const double *e, const double *prediction, int64_t n) {
    long double square_mean = 0, prediction_mean = mean_of(prediction, n), both = 0, squares = 0, predictions = 0;
    for (int64_t i = 0; i < n; i++) square_mean += (long double)e[i] * e[i];
    square_mean /= n;
    for (int64_t i = 0; i < n; i++) {
        long double x = prediction[i] - prediction_mean, y = (long double)e[i] * e[i] - square_mean;
        both += x * y;
        predictions += x * x;
        squares += y * y;
    }
    if (predictions == 0 || squares == 0) return (weir_test){NAN, NAN};
    double statistic = (double)(n * (both / predictions) * (both / squares));
    return (weir_test){statistic, weir_chi_square_tail(statistic, 1)};
}

static void add_moments(const double *e, int64_t n, long double mean, weir_residuals *t) {
    long double second = 0, third = 0, fourth = 0;
    for (int64_t i = 0; i < n; i++) {
        long double d = e[i] - mean, square = d * d;
        second += square;
        third += square * d;
        fourth += square * square;
    }
    second /= n;
    t->skewness = (double)(third / n / (second * sqrtl(second)));
    t->excess_kurtosis = (double)(fourth / n / (second * second) - 3);
    double statistic = (double)n / 6 * (t->skewness * t->skewness + t->excess_kurtosis * t->excess_kurtosis / 4);
    t->jarque_bera = (weir_test){statistic, weir_chi_square_tail(statistic, 2)};
}

static weir_residuals test_residuals(const double *e, const double *prediction, int64_t n, int lags) {
    static const weir_test nothing = {NAN, NAN};
    weir_residuals t = {.rows = n, .skewness = NAN, .excess_kurtosis = NAN, .durbin_watson = NAN, nothing, nothing, nothing};
    long double mean = mean_of(e, n), squares = 0;
    bool constant = true;
    for (int64_t i = 0; i < n; i++) {
        squares += (e[i] - mean) * (e[i] - mean);
        constant = constant && e[i] == e[0];
    }
    t.mean = (double)mean;
    t.deviation = constant ? 0 : (double)sqrtl(squares / (n - 1));
    if (!constant || e[0] != 0) t.durbin_watson = durbin_watson(e, n);
    if (constant) return t;
    add_moments(e, n, mean, &t);
    t.ljung_box = ljung_box(e, n, lags, mean, squares);
    t.breusch_pagan = breusch_pagan(e, prediction, n);
    return t;
}

weir_status weir_residuals_test(const double *label, const double *prediction, int64_t row_count, int lags, weir_residuals *ret_residuals, weir_err *err) {
    size_t room = row_count > 0 ? (size_t)row_count : 0;
    double *residual = weir_models_calloc(room, sizeof *residual), *kept = weir_models_calloc(room, sizeof *kept);
    int64_t n = 0;
    weir_status status = WEIR_OK;
    if (!residual || !kept)
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld residuals", (long long)row_count);
    else
        status = collect(label, prediction, row_count, residual, kept, &n, err);
    if (status == WEIR_OK && (lags < 1 || lags >= n))
        status = WEIR_FAIL(err, WEIR_EINVAL, "%d lags, expected 1 to %lld: fewer than there are rows", lags, (long long)n - 1);
    if (status == WEIR_OK) *ret_residuals = test_residuals(residual, kept, n, lags);
    weir_models_free(kept);
    weir_models_free(residual);
    return status;
}
