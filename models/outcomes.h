/* What the metrics share: one checked pass over rows, and rows in order of their scores. Not for use outside of models/. */
#ifndef WEIR_MODELS_OUTCOMES_H
#define WEIR_MODELS_OUTCOMES_H

#include <math.h>

#include "models/metrics.h"

static inline double weir_outcomes_weight(const weir_outcomes *o, int64_t row) {
    return o->weight ? o->weight[row] : 1;
}

static inline bool weir_outcomes_counts(const weir_outcomes *o, int64_t row) {
    return !isnan(o->label[row]) && weir_outcomes_weight(o, row) > 0;
}

/** Checks labels, scores and weights for a task. *ret_rows: how many rows count, at least 1. */
weir_status weir_outcomes_check(const weir_outcomes *outcomes, weir_task task, int64_t *ret_rows, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_ranked {
    double score, weight;
    bool positive;
} weir_ranked;

/** Sorts the highest score first; the order of equals follows from their values. */
void weir_ranked_sort(weir_ranked *rows, int64_t count);
/** Where the rows of equal score that begin at `from` end, and the weights of their classes. */
int64_t weir_ranked_group(const weir_ranked *rows, int64_t count, int64_t from, double *ret_positive, double *ret_negative);
/** The rows that count of checked binary outcomes, sorted; rows [row_count]. Returns how many. */
int64_t weir_ranked_fill(const weir_outcomes *outcomes, weir_ranked *rows);
/** Of all pairs of a positive and a negative row, the weight of those in which the positive one scores higher, ties counting a half; NaN without pairs. */
double weir_ranked_auc(const weir_ranked *rows, int64_t count);

#endif
