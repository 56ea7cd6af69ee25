/* Several objectives at once: who dominates whom. loss [count][objective_count] row-major, finite, smaller is better. */
#ifndef WEIR_MODELS_PARETO_H
#define WEIR_MODELS_PARETO_H

#include <stdbool.h>

#include "core/err.h"

/** ret_rank [count]: 0 for the front (nothing dominates it), else one more than the highest rank of what dominates the row. Equal rows share a rank.
 *  A row dominates another when it is nowhere worse and somewhere better. O(count² · objective_count). Errors: WEIR_ENOMEM.
 *  Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, 2002, section III A. */
weir_status weir_pareto_rank(const double *loss, int count, int objective_count, int *ret_rank, weir_err *err) WEIR_MUST_CHECK;

/** Chooses `want` of the rows (0 ≤ want ≤ count) that stand for all of them; the rows should share a rank. ret_chosen [count].
 *  Two objectives: greedily what adds most to the hypervolume below a reference point of 1.1 times the worst losses (0.9 where they are negative), O(count ·
 *  want). More: by crowding distance, the least crowded first, O(objective_count · count log count). Ties: the earlier row. Errors: WEIR_ENOMEM.
 *  Source: Guerreiro, Fonseca, Paquete, Greedy hypervolume subset selection in low dimensions, 2016; crowding: Deb et al. 2002, section III B. */
weir_status weir_pareto_spread(const double *loss, int count, int objective_count, int want, bool *ret_chosen, weir_err *err) WEIR_MUST_CHECK;

#endif
