/* What would another policy have earned, from requests that were routed by a known one? */
#ifndef WEIR_MODELS_OFFPOLICY_H
#define WEIR_MODELS_OFFPOLICY_H

#include <stdbool.h>

#include "core/err.h"

/* One request as it was logged. */
typedef struct weir_logged {
    double propensity; /* of the action that was taken, under the policy that took it; in (0, 1] */
    double target; /* of the same action under the policy asked about; in [0, 1] */
    double reward;
    double predicted; /* of the reward of the action taken, by a model; 0 when there is none */
    double predicted_target; /* mean of that model's predictions over the actions by the target's probabilities; 0 when there is none */
} weir_logged;

/* Running sums: plain data, zero-initialised; of disjoint requests they add. */
typedef struct weir_offpolicy {
    double count, weights, weights_squared, weight_max;
    double rewards, rewards_by_square, rewards_squared; /* Σ w r, Σ w² r, Σ w² r² */
    double ips_mean, ips_deviations; /* Welford of w r */
    double robust_mean, robust_deviations; /* Welford of predicted_target + w (r − predicted) */
} weir_offpolicy;

typedef struct weir_estimate {
    double value, standard_error;
    double low, high; /* normal interval for one look; NaN with fewer than 2 requests */
} weir_estimate;

typedef struct weir_offpolicy_report {
    weir_estimate ips; /* inverse propensities: unbiased, widest */
    weir_estimate snips; /* self-normalised: a little biased, does not depend on the reward's origin */
    weir_estimate robust; /* doubly robust: unbiased, narrow when the model predicts well. As ips without a model */
    double effective_count; /* (Σ w)² / Σ w²: as many requests routed by the target itself would say as much */
    double weight_mean; /* 1 in expectation; far from it the propensities are wrong or the target does what was never tried */
    double weight_max_share; /* of the sum, by the largest weight */
    bool
        extreme; /* fewer than a tenth of the requests or than 30 are effective, one weight has a twentieth of the sum, or the mean weight is more than 5 of its standard errors from 1 */
} weir_offpolicy_report;

/** Errors: WEIR_EDATA for a probability out of range; WEIR_ENUMERIC for what is not finite; sums are then unchanged.
 *  Source: D. Horvitz, D. Thompson, JASA 47 (1952); A. Swaminathan, T. Joachims, The self-normalized estimator for counterfactual learning, NIPS 2015;
 *  M. Dudík, J. Langford, L. Li, Doubly robust policy evaluation and learning, ICML 2011. */
weir_status weir_offpolicy_add(weir_offpolicy *sums, const weir_logged *logged, weir_err *err) WEIR_MUST_CHECK;
void weir_offpolicy_merge(weir_offpolicy *sums, const weir_offpolicy *other);
/** level of the intervals, e.g. 0.95. Errors: WEIR_EINVAL for a level outside (0, 1); WEIR_EDATA without requests or when all weights are 0. */
weir_status weir_offpolicy_report_of(const weir_offpolicy *sums, double level, weir_offpolicy_report *ret_report, weir_err *err) WEIR_MUST_CHECK;

#endif
