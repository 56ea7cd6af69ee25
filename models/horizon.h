/* Tests of two independent samples whose sizes were fixed beforehand, and what sizes they need. Looking at them earlier breaks them: see models/sequential.h. */
#ifndef WEIR_MODELS_HORIZON_H
#define WEIR_MODELS_HORIZON_H

#include "core/err.h"

/* One arm as sums. Counts are whole. */
typedef struct weir_moments {
    double count, mean, variance; /* variance with count − 1 below */
} weir_moments;

typedef struct weir_two_sample {
    double difference; /* of other − base */
    double standard_error; /* that the statistic divides by */
    double statistic; /* t or z; infinite when a difference has no error */
    double degrees; /* of Welch and Satterthwaite; ∞ for a z-test */
    double p; /* two-sided */
    double low, high; /* confidence interval of the difference */
} weir_two_sample;

/** Welch's t-test. level: of the interval, e.g. 0.95. Two arms without variance: p = 1 when they are equal, else 0, and an interval of no width.
 *  Errors: WEIR_EDATA for an arm of fewer than 2 or a count that is not whole; WEIR_ENUMERIC for a mean or variance that is not finite, or a negative
 *  variance; WEIR_EINVAL for a level outside (0, 1). Source: B. L. Welch, Biometrika 34 (1947). */
weir_status weir_welch_test(const weir_moments *base, const weir_moments *other, double level, weir_two_sample *ret_test, weir_err *err) WEIR_MUST_CHECK;

/** z-test of two proportions with the variance pooled, and Newcombe's interval (his method 10, from Wilson's intervals of both), which does not leave [−1, 1]
 *  and holds near 0 and 1; test and interval may disagree at the edge. p = 1 when all or none succeeded.
 *  Errors: WEIR_EDATA unless 0 ≤ successes ≤ trials, both whole, trials ≥ 1; WEIR_EINVAL for a level outside (0, 1).
 *  Source: R. G. Newcombe, Statistics in Medicine 17 (1998), 873–890. */
weir_status weir_proportions_test(double base_successes, double base_trials, double other_successes, double other_trials, double level,
                                  weir_two_sample *ret_test, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_power {
    double alpha; /* two-sided, in (0, 1) */
    double power; /* in (alpha / 2, 1) */
    double ratio; /* rows of the other arm for one of base, > 0: 1/9 for a split of 90 to 10 */
} weir_power;

typedef struct weir_sample_size {
    double base, other; /* rows, whole */
} weir_sample_size;

/** Rows to find a difference of means of `effect` (units of the outcome, of either sign). Normal approximation: n = (z₁₋α/₂ + z_power)² (σ²_base + σ²_other / ratio) / effect².
 *  Errors: WEIR_EINVAL for an effect of 0, a negative variance, what is not finite, or a power out of range; WEIR_ELIMIT for more than 2^53 rows. */
weir_status weir_size_for_means(double base_variance, double other_variance, double effect, const weir_power *power, weir_sample_size *ret_size,
                                weir_err *err) WEIR_MUST_CHECK;

/** Rows to find the proportions base and base + effect apart by the pooled z-test. Errors: as above, and WEIR_EINVAL for a proportion outside [0, 1].
 *  Source: J. L. Fleiss, B. Levin, M. C. Paik, Statistical Methods for Rates and Proportions, 3rd ed., section 4.2 (without continuity correction). */
weir_status weir_size_for_proportions(double base, double effect, const weir_power *power, weir_sample_size *ret_size, weir_err *err) WEIR_MUST_CHECK;

/* ---- a few planned looks ---- */

enum { WEIR_LOOKS_MAX = 64 };
#define WEIR_LOOK_STEP_MIN 0.004 /* fractions nearer to each other are beyond the quadrature */

typedef enum weir_spending {
    WEIR_OBRIEN_FLEMING, /* α(t) = 4 (1 − Φ(z₁₋α/₄ / √t)): hardly anything early. Each side spends α / 2 by 2 (1 − Φ(z₁₋α/₄ / √t)) */
    WEIR_POCOCK, /* α(t) = α ln(1 + (e − 1) t): about as much at every look */
} weir_spending;

/** Bounds for |z| at looks planned by information fraction: crossing at any of them has probability alpha without a difference. fractions [looks] rise by at
 *  least WEIR_LOOK_STEP_MIN to at most 1 (rows so far / rows planned); looks may be any, but must not depend on the results. bounds [looks].
 *  By recursive integration of the density that is still inside (Simpson, relative error of the exit probability below 1e-6).
 *  Errors: WEIR_EINVAL for an alpha outside (0, 0.5], fractions that do not rise so, or looks out of range; WEIR_ENOMEM.
 *  Source: K. K. G. Lan, D. L. DeMets, Biometrika 70 (1983); P. Armitage, C. K. McPherson, B. C. Rowe, JRSS A 132 (1969). */
weir_status weir_spending_bounds(weir_spending spending, double alpha, const double *fractions, int looks, double *bounds, weir_err *err) WEIR_MUST_CHECK;

#endif
