/* How good a binary model probably is on rows whose labels are not known yet: confidence-based performance estimation.
 *
 * A score that is calibrated is the chance of a positive outcome, so it says by itself how many of the rows called positive will turn out so. Calibration is learned from rows with labels. What this
 * cannot see is concept drift: when the same inputs come to mean something else, scores stay as they are and so does the estimate. Covariate shift it sees.
 * Source: J. Białek, W. Kuberski, N. Perrakis, A. Bifet, Estimating Model Performance Under Covariate Shift Without Labels, 2024 (CBPE); NannyML. */
#ifndef WEIR_MODELS_ESTIMATE_H
#define WEIR_MODELS_ESTIMATE_H

#include <stdint.h>

#include "core/err.h"

/* A monotone step and ramp function from scores to probabilities. */
typedef struct weir_isotonic {
    int64_t count; /* of knots, ≥ 1 */
    double *score, *probability; /* [count] ascending, not descending; `score` is one block with both */
} weir_isotonic;

/** Least-squares fit of non-decreasing probabilities to labels by pool-adjacent-violators; equal scores are pooled first. score, label [row_count], label 0 or 1.
 *  As scikit-learn's IsotonicRegression(out_of_bounds="clip"). O(n log n), 24 bytes a row. Done with weir_isotonic_done.
 *  Errors: WEIR_EDATA without rows or for a label that is neither 0 nor 1, WEIR_ENUMERIC for a score that is not finite, WEIR_ENOMEM.
 *  Source: M. Ayer et al., An Empirical Distribution Function for Sampling with Incomplete Information, 1955. */
weir_status weir_isotonic_fit(const double *score, const double *label, int64_t row_count, weir_isotonic *ret_isotonic, weir_err *err) WEIR_MUST_CHECK;
/** Between knots linear, outside of them as the nearest one. */
double weir_isotonic_probability(const weir_isotonic *isotonic, double score);
void weir_isotonic_done(weir_isotonic *isotonic);

typedef struct weir_estimate {
    int64_t rows;
    double true_positive, false_positive, true_negative, false_negative; /* expected counts */
    double accuracy, precision, recall, f1; /* from these; as of weir_metrics_binary 0 where a ratio has no denominator */
    double auc_roc; /* expected pairs in order / expected pairs, ties at half, no row with itself; NaN when one class is impossible */
    double average_precision; /* expected sum over positive rows of the precision of all scores ≥ theirs / expected positives; NaN when none is possible */
    double log_loss, brier; /* of the scores as they are; NaN when one is no probability */
} weir_estimate;

/** score [row_count] of rows without labels; probability [row_count] of each to be positive, calibrated; threshold: a row is called positive when score ≥ it. Ratios are of expectations, which
 *  differs from the expected ratio by O(1 / n). O(n log n), 16 bytes a row.
 *  Errors: WEIR_EDATA without rows or for a probability outside [0, 1], WEIR_ENUMERIC for a score that is not finite, WEIR_ENOMEM. */
weir_status weir_estimate_binary(const double *score, const double *probability, int64_t row_count, double threshold, weir_estimate *ret_estimate,
                                 weir_err *err) WEIR_MUST_CHECK;
/** The estimate of a metric by its name in models/metrics.h ("roc_auc"); NaN for one that is not estimated. */
double weir_estimate_of(const weir_estimate *estimate, const char *metric);

#endif
