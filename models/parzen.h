/* Parzen estimators over a search space: the densities l(x) and g(x) of the tree-structured Parzen estimator. A mixture of one kernel an observation and a
 * wide one, the prior. */
#ifndef WEIR_MODELS_PARZEN_H
#define WEIR_MODELS_PARZEN_H

#include "core/mem.h"
#include "models/sampler.h"

typedef struct weir_parzen weir_parzen;

/** Estimates over the parameters params [param_count] jointly from points [point_count], each a whole point of the space with these parameters active.
 *  weight [point_count]: how much each counts, ≥ 0; prior_weight > 0: how much the prior does. The result lives in the arena. Errors: WEIR_ENOMEM.
 *  Numbers: truncated Gaussians at the observation, on the parameter's scale; the bandwidth is the larger gap to a neighbour, at least range / min(100,
 *  observations + 2), at most the range; with steps the kernel's mass within half a step. Choices: 1 + prior_weight / kernels for what was observed,
 *  prior_weight / kernels for the others, normalised. Source: Bergstra, Bardenet, Bengio, Kégl, Algorithms for hyper-parameter optimization, 2011, section
 *  4; details as in Optuna 5.0.0's TPESampler. */
weir_status weir_parzen_new(const weir_space *space, const int *params, int param_count, const double *const *points, const double *weight, int point_count,
                            double prior_weight, weir_arena *arena, const weir_parzen **ret_parzen, weir_err *err) WEIR_MUST_CHECK;
/** One draw of the parameters: sets point[params[…]], within bounds and on steps. */
void weir_parzen_sample(const weir_parzen *parzen, weir_draw *draw, double *point);
/** The logarithm of the density (of the probability, where there are steps or choices) of each of points [point_count], up to a constant that is the same
 *  for every estimator over the same parameters. O(points · kernels · parameters). Errors: WEIR_ENOMEM. */
weir_status weir_parzen_log_density(const weir_parzen *parzen, const double *const *points, int point_count, weir_arena *arena, double *ret_log_density,
                                    weir_err *err) WEIR_MUST_CHECK;

#endif
