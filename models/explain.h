/* Why a score is what it is: exact contributions of each input to one prediction, and how much a model uses each input. */
#ifndef WEIR_MODELS_EXPLAIN_H
#define WEIR_MODELS_EXPLAIN_H

#include "models/model.h"

/** Contributions of the inputs of one row: contributions [output_count][column_count + 1]; the last is the expected value; they sum to the margin (log odds of binary and multiclass tree
 *  models and of logistic ones; the value of a regression). Trees: TreeSHAP, path dependent, as XGBoost's pred_contribs; linear models: coefficient × (value − training mean). A chain of
 *  preprocessing gives what its outputs contribute to the inputs they are made from. Ensembles: by the weights of their members.
 *  Errors: WEIR_EINVAL for an algorithm that has no exact contributions (kernels, stacking of trees), naming it. */
weir_status weir_explain_row(weir_model *model, const double *row, double *contributions, weir_err *err) WEIR_MUST_CHECK;

/** How much the model uses each input, [column_count], summing to 1: gain of trees, |coefficient| × deviation of linear ones, by the chain given to its inputs. WEIR_EINVAL: it has none. */
weir_status weir_explain_importance(weir_model *model, double *ret_importance, weir_err *err) WEIR_MUST_CHECK;

/** How much worse the metric gets when a column is shuffled, mean and deviation over `repeats`, [column_count] each. In units of the metric, positive: the column helps. */
struct weir_model_metric;
weir_status weir_explain_permutation(weir_model *model, const weir_matrix *test, const struct weir_model_metric *metric, int repeats, uint64_t seed,
                                     double *ret_mean, double *ret_deviation, weir_err *err) WEIR_MUST_CHECK;

#endif
