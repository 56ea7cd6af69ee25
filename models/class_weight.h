/* Weights by class, for tasks whose classes are rare to different degrees. */
#ifndef WEIR_MODELS_CLASS_WEIGHT_H
#define WEIR_MODELS_CLASS_WEIGHT_H

#include <stdint.h>

#include "core/err.h"

/** What a row of each class is to weigh so that all classes weigh the same, and together what they weigh now: Σv / (classes · Σ_{rows of the class} v).
 *  label [row_count] whole numbers from 0 to class_count − 1; weight [row_count] or NULL: every row weighs 1; ret_weight [class_count], untouched on failure. Without weights that is
 *  scikit-learn's class_weight="balanced". King and Zeng, Logistic regression in rare events data, 2001.
 *  Errors: WEIR_EDATA for a label that is none, a weight that is negative or not finite, a class that weighs nothing; WEIR_EINVAL for class_count < 2; WEIR_ENUMERIC for a sum
 *  that is larger than a double; WEIR_ENOMEM. O(n), one number a class. */
weir_status weir_class_weights(const double *label, const double *weight, int64_t row_count, int class_count, double *ret_weight,
                               weir_err *err) WEIR_MUST_CHECK;

/** The weights of rows for a matrix: weight (NULL: 1) times that of the row's class. ret_row_weight [row_count] may be weight itself, and is untouched on failure. Errors: as above. */
weir_status weir_class_weight_rows(const double *label, const double *weight, int64_t row_count, int class_count, double *ret_row_weight,
                                   weir_err *err) WEIR_MUST_CHECK;

#endif
