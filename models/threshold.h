/* From which score on a row of a binary task is called positive. */
#ifndef WEIR_MODELS_THRESHOLD_H
#define WEIR_MODELS_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

typedef enum weir_threshold_rule {
    WEIR_THRESHOLD_SERVING, /* the pipeline's, for all versions: `serving.threshold` */
    WEIR_THRESHOLD_FIXED,
    WEIR_THRESHOLD_BEST_F1, /* for each model the one that is best on scores out of fold of its training rows */
    WEIR_THRESHOLD_COST, /* the same, by cost */
} weir_threshold_rule;

typedef struct weir_threshold {
    weir_threshold_rule rule;
    double value; /* of WEIR_THRESHOLD_SERVING and _FIXED */
    double cost_false_positive, cost_false_negative; /* of WEIR_THRESHOLD_COST */
} weir_threshold;

/** Whether the rule looks at scores. */
static inline bool weir_threshold_learns(const weir_threshold *threshold) {
    return threshold->rule == WEIR_THRESHOLD_BEST_F1 || threshold->rule == WEIR_THRESHOLD_COST;
}

/** The threshold by the rule. score, label [row_count]: of rows that the model was not fitted on; rows whose score is NaN are left out. Neither is looked at, and may be NULL, unless the rule
 *  learns. Errors: those of weir_best_f1_threshold and weir_threshold_by_cost; WEIR_ENOMEM. */
weir_status weir_threshold_choose(const weir_threshold *threshold, const double *score, const double *label, int64_t row_count, double *ret_threshold,
                                  weir_err *err) WEIR_MUST_CHECK;

#endif
