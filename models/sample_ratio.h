/* Did the arms get the shares of traffic that they should? When not, what is compared are different populations, and no test of outcomes means anything. */
#ifndef WEIR_MODELS_SAMPLE_RATIO_H
#define WEIR_MODELS_SAMPLE_RATIO_H

#include "core/err.h"

enum { WEIR_RATIO_ARMS_MAX = 16 };

typedef struct weir_ratio_test {
    double statistic, degrees, p;
} weir_ratio_test;

/** Chi-squared goodness of fit of counts [arms] to shares [arms] (sum 1 within 1e-9), for one look. p is NaN while an expected count is below 5.
 *  Errors: WEIR_EDATA for counts that are negative or not whole, or none at all; WEIR_EINVAL for shares that are not positive or do not sum to 1, or arms out
 *  of range. */
weir_status weir_ratio_chi_squared(const double *counts, const double *shares, int arms, weir_ratio_test *ret_test, weir_err *err) WEIR_MUST_CHECK;

/** ln e against "requests go to the arms by these shares", valid at every look: the Dirichlet mixture of multinomials centred at the shares against the shares,
 *  Γ(c) / Γ(c + n) ∏ Γ(c s_j + n_j) / Γ(c s_j) s_j^−n_j. Raise an alarm when it has reached ln(1 / α), α small: 0.001. concentration c > 0: how near the
 *  alternatives lie to the shares; 100 looks for deviations of a tenth, 10 000 of a hundredth. When shares change during a rollout, count each step by itself
 *  and add the logarithms; when they change with every request, give (challenger ? 1 : 0) − propensity to weir_evidence_add with bounds ±1 instead. O(arms).
 *  Errors: as above, without the demand for any count; WEIR_EINVAL for a concentration out of range.
 *  Source: M. Lindon, A. Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022, section 3. */
weir_status weir_ratio_log_e(const double *counts, const double *shares, int arms, double concentration, double *ret_log_e, weir_err *err) WEIR_MUST_CHECK;

#endif
