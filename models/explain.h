/* Why a score is what it is: exact contributions of each input to one prediction, and how much a model uses each input. */
#ifndef WEIR_MODELS_EXPLAIN_H
#define WEIR_MODELS_EXPLAIN_H

#include "models/model.h"

/** Contributions of the inputs of one row: contributions [output_count][column_count + 1]; the last is the expected value; they sum to the margin: log odds of xgboost's classes and of
 *  logistic models (before they are made to sum to 1), the value of a regression (of xgboost's poisson, tweedie and gamma its
 *  logarithm), the share of trees for each class of a random forest. Exact Shapley values:
 *    trees      TreeSHAP, path dependent, as XGBoost's pred_contribs (models/trees.h)
 *    linear     coefficient × (value − training mean); also svr with a linear kernel
 *    chains     what its outputs contribute goes to the inputs that they are made from
 *    ensembles  by the weights of their members, where scores are margins (regressions, binary forests); stacking of regressions, where the meta model is linear
 *    targets    one model after the other
 *  Errors: WEIR_EINVAL for what has no exact contributions (other kernels, averages of probabilities, other meta models), naming it; WEIR_ENUMERIC, REJECT, for an infinite value. */
weir_status weir_explain_row(weir_model *model, const double *row, double *contributions, weir_err *err) WEIR_MUST_CHECK;

/** How much the model uses each input, [column_count], summing to 1; all 0 when it uses none. Trees: the gain of all splits of a column; linear ones: |coefficient| × deviation; by a chain
 *  given to its inputs. Ensembles: by the weights of their members, stacking by the meta model's use of them. WEIR_EINVAL: the algorithm has none (svr but for the linear kernel). */
weir_status weir_explain_importance(weir_model *model, double *ret_importance, weir_err *err) WEIR_MUST_CHECK;

/** How much worse the metric gets when a column is shuffled, mean and deviation over `repeats`, [column_count] each. In units of the metric, positive: the column helps. */
struct weir_model_metric;
weir_status weir_explain_permutation(weir_model *model, const weir_matrix *test, const struct weir_model_metric *metric, int repeats, uint64_t seed,
                                     double *ret_mean, double *ret_deviation, weir_err *err) WEIR_MUST_CHECK;

#endif
