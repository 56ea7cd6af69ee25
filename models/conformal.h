/* Prediction intervals that hold at a stated rate whatever the model and the distribution: split conformal prediction. */
#ifndef WEIR_MODELS_CONFORMAL_H
#define WEIR_MODELS_CONFORMAL_H

#include <stdint.h>

#include "core/err.h"

/** The radius r such that [prediction − r, prediction + r] holds a new row's value with probability at least `level` (0.9, say), if it comes from the same
 *  distribution as these rows and the model was not fitted on them: the ⌈(n + 1) level⌉-th smallest |label − prediction|; infinite when n is too small for the
 *  level.
 *  Shapes: [row_count]; rows whose label is NaN are left out. In units of the label. O(n log n), 8 bytes a row.
 *  Errors: WEIR_EINVAL for a level that is not between 0 and 1; WEIR_ENUMERIC for a prediction or label that is not finite; WEIR_EDATA without a labelled row;
 *  WEIR_ENOMEM.
 *  Source: J. Lei, M. G'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, Distribution-Free Predictive Inference for Regression, JASA 113 (2018), algorithm 2. */
weir_status weir_conformal_radius(const double *label, const double *prediction, int64_t row_count, double level, double *ret_radius,
                                  weir_err *err) WEIR_MUST_CHECK;

/** The share of rows, by weight (NULL: 1 each), whose value is within the radius (ends included). Errors as weir_conformal_radius; WEIR_EDATA for a weight that
 *  is negative or not finite, or none above 0; WEIR_EINVAL for a radius that is negative or NaN. */
weir_status weir_conformal_coverage(const double *label, const double *prediction, const double *weight, int64_t row_count, double radius, double *ret_coverage,
                                    weir_err *err) WEIR_MUST_CHECK;

#endif
