/* Tests of the split of traffic. */
#include "models/sample_ratio.h"

#include <math.h>
#include <stdbool.h>

#include "core/distributions.h"

static const double SHARES_SLACK = 1e-9, CONCENTRATION_MAX = 1e9, EXPECTED_MIN = 5;

/* lgamma writes the sign of its result to a global; lgamma_r does not. */
static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static weir_status check(const double *counts, const double *shares, int arms, weir_err *err) {
    if (arms < 2 || arms > WEIR_RATIO_ARMS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d arms, expected 2 to %d", arms, WEIR_RATIO_ARMS_MAX);
    double sum = 0;
    for (int j = 0; j < arms; j++) {
        if (!(shares[j] > 0 && shares[j] < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "share of arm %d is %g, expected a number between 0 and 1", j, shares[j]);
        if (!(counts[j] >= 0 && counts[j] <= 0x1p53 && counts[j] == floor(counts[j])))
            return WEIR_FAIL(err, WEIR_EDATA, "arm %d has %g requests, expected a whole number", j, counts[j]);
        sum += shares[j];
    }
    if (fabs(sum - 1) > SHARES_SLACK) return WEIR_FAIL(err, WEIR_EINVAL, "shares sum to %.12g, expected 1", sum);
    return WEIR_OK;
}

static double sum_of(const double *counts, int arms) {
    double sum = 0;
    for (int j = 0; j < arms; j++) sum += counts[j];
    return sum;
}

weir_status weir_ratio_chi_squared(const double *counts, const double *shares, int arms, weir_ratio_test *ret_test, weir_err *err) {
    weir_status status = check(counts, shares, arms, err);
    if (status != WEIR_OK) return status;
    double n = sum_of(counts, arms);
    if (n == 0) return WEIR_FAIL(err, WEIR_EDATA, "no requests to test the split of");
    weir_ratio_test test = {.degrees = arms - 1};
    bool enough = true;
    for (int j = 0; j < arms; j++) {
        double expected = n * shares[j];
        test.statistic += (counts[j] - expected) * (counts[j] - expected) / expected;
        enough = enough && expected >= EXPECTED_MIN;
    }
    test.p = enough ? weir_chi_square_tail(test.statistic, test.degrees) : NAN;
    *ret_test = test;
    return WEIR_OK;
}

weir_status weir_ratio_log_e(const double *counts, const double *shares, int arms, double concentration, double *ret_log_e, weir_err *err) {
    weir_status status = check(counts, shares, arms, err);
    if (status != WEIR_OK) return status;
    if (!(concentration > 0 && concentration <= CONCENTRATION_MAX))
        return WEIR_FAIL(err, WEIR_EINVAL, "concentration is %g, expected above 0 to %g", concentration, CONCENTRATION_MAX);
    double log_e = log_gamma(concentration) - log_gamma(concentration + sum_of(counts, arms));
    for (int j = 0; j < arms; j++) {
        double prior = concentration * shares[j];
        log_e += log_gamma(prior + counts[j]) - log_gamma(prior) - counts[j] * log(shares[j]);
    }
    *ret_log_e = log_e;
    return WEIR_OK;
}
