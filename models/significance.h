/* Is one model better than another beyond chance? Paired tests over folds or rows; for many comparisons at once: core/p_values.h. */
#ifndef WEIR_MODELS_SIGNIFICANCE_H
#define WEIR_MODELS_SIGNIFICANCE_H

#include <stdint.h>

#include "core/err.h"

typedef struct weir_paired_t {
    double mean; /* of other − base */
    double standard_error; /* of that mean, corrected */
    double t, degrees;
    double p; /* two-sided */
} weir_paired_t;

/** Paired t-test of a metric of two models over the same folds. base, other [count].
 *  test_to_train: rows tested / rows trained on in a fold (1 / (k − 1) for k-fold), which corrects the variance for training sets that overlap: (1 / n +
 *  test_to_train) s²; 0 for independent pairs is the plain test. Differences that are all the same give t = 0 and p = 1 when they are 0, else an infinite t and
 *  p = 0.
 *  Errors: WEIR_EDATA for fewer than 2 pairs; WEIR_ENUMERIC for a value that is not finite; WEIR_EINVAL for a ratio that is negative or not finite.
 *  Source: C. Nadeau, Y. Bengio, Inference for the Generalization Error, Machine Learning 52 (2003), section 4. */
weir_status weir_paired_t_test(const double *base, const double *other, int64_t count, double test_to_train, weir_paired_t *ret_test,
                               weir_err *err) WEIR_MUST_CHECK;

enum { WEIR_WILCOXON_EXACT_MAX = 25 };

typedef struct weir_wilcoxon {
    int64_t pairs; /* that differ; equal ones are left out */
    double positive_ranks, negative_ranks; /* sums of the ranks of |other − base| where other is greater, and where base is; ties share their mean rank */
    double p; /* two-sided; 1 without pairs */
} weir_wilcoxon;

/** Wilcoxon's signed-rank test. Up to WEIR_WILCOXON_EXACT_MAX differing pairs p is exact, by counting the signs that give such ranks, ties included; beyond it
 *  is from the normal approximation with the variance corrected for ties, without continuity correction. O(n log n), 16 bytes a pair.
 *  Errors: WEIR_ENUMERIC for a value that is not finite; WEIR_EINVAL for a negative count; WEIR_ENOMEM.
 *  Source: F. Wilcoxon, Biometrics Bulletin 1 (1945); M. Hollander, D. Wolfe, E. Chicken, Nonparametric Statistical Methods, 3rd ed., section 3.1. */
weir_status weir_wilcoxon_test(const double *base, const double *other, int64_t count, weir_wilcoxon *ret_test, weir_err *err) WEIR_MUST_CHECK;

#endif
