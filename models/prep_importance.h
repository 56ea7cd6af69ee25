/* The models that a selection asks how much columns matter. */
#ifndef WEIR_MODELS_PREP_IMPORTANCE_H
#define WEIR_MODELS_PREP_IMPORTANCE_H

#include "models/model.h"

/** A weir_prep_importance; context is the const weir_matrix that a chain is fitted on, of which it takes task and classes. Importances sum to 1, but of
 *  permutation.
 *  Deterministic; one thread.
 *
 *  importance  the gain of a random forest's splits
 *  l1          the coefficients, in standardised units, of a lasso whose penalty is σ √(2 ln p / n): what columns without any relation stay below with high
 *              probability. σ, the deviation of the noise, and the lasso are found in turn. Classes 0 and 1 count as numbers; several classes are WEIR_EINVAL.
 *  permutation a random forest of 32 trees no deeper than 6 is fitted on two rows of three, of each class; importance is what the root of the mean square of its errors on
 *              the third ones (of several classes the log loss) grows by when the column is dealt out (models/explain.h), the mean of two times. Classes 0 and 1 count as
 *              numbers, so that the errors are Brier's.
 *
 *  Sources: Breiman, Random forests, 2001; Sun and Zhang, Scaled sparse linear regression, Biometrika 99, 2012, eq. 3–5. */
weir_status weir_model_column_importance(void *context, const char *method, const double *values, const double *label, const char *const *names,
                                         int64_t row_count, int column_count, double *ret_importance, weir_err *err) WEIR_MUST_CHECK;

#endif
