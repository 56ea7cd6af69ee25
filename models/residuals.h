/* What is left in the errors of a regression: do they follow on each other, does their size depend on the prediction, are they normal? */
#ifndef WEIR_MODELS_RESIDUALS_H
#define WEIR_MODELS_RESIDUALS_H

#include <stdint.h>

#include "core/err.h"

/* A test's statistic, and the probability of one at least as large if its null hypothesis holds. Both NaN where there is nothing to test. */
typedef struct weir_test {
    double statistic, p;
} weir_test;

typedef struct weir_residuals {
    int64_t rows;
    double mean, deviation; /* deviation: of the sample, divided by n − 1 */
    double skewness, excess_kurtosis; /* third and fourth standardised moments, divided by n; the normal distribution has 0 and 0 */
    double durbin_watson; /* 0 … 4; about 2 when neighbours do not follow on each other. No p: its distribution depends on the model's inputs; see ljung_box */
    weir_test ljung_box; /* autocorrelation up to `lags` rows apart; chi-square with `lags` degrees of freedom */
    weir_test breusch_pagan; /* variance that goes with the prediction: n R² of squared residuals on it (Koenker); chi-square with one degree of freedom */
    weir_test jarque_bera; /* skewness or kurtosis of no normal distribution; chi-square with two degrees of freedom */
} weir_residuals;

/** Residuals label − prediction of rows in order of time. Shapes: [row_count]. Rows whose label is NaN are left out, their neighbours become neighbours.
 *  1 ≤ lags < rows. When all residuals are equal, only rows, mean, deviation and (unless they are 0) Durbin–Watson have values. O(n · lags), 16 bytes a row.
 *  Errors: WEIR_ENUMERIC for a prediction or label that is not finite; WEIR_EDATA for fewer than 3 rows; WEIR_EINVAL for lags out of range; WEIR_ENOMEM.
 *  Sources: J. Durbin, G. Watson, Biometrika 37 (1950); G. Ljung, G. Box, Biometrika 65 (1978); T. Breusch, A. Pagan, Econometrica 47 (1979) with R. Koenker,
 *  Journal of Econometrics 17 (1981); C. Jarque, A. Bera, Economics Letters 6 (1980). */
weir_status weir_residuals_test(const double *label, const double *prediction, int64_t row_count, int lags, weir_residuals *ret_residuals,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
