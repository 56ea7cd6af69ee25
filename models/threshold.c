#include "models/threshold.h"

#include <math.h>

#include "models/curves.h"
#include "models/evaluate.h"
#include "models/memory.h"

static weir_status choose(const weir_threshold *threshold, const double *score, const double *label, int64_t count, double *ret_threshold, weir_err *err) {
    if (threshold->rule == WEIR_THRESHOLD_BEST_F1) return weir_best_f1_threshold(score, label, count, ret_threshold, err);
    const weir_outcomes outcomes = {.row_count = count, .label = label, .score = score};
    weir_cost_choice choice;
    weir_status status = weir_threshold_by_cost(&outcomes, threshold->cost_false_positive, threshold->cost_false_negative, &choice, err);
    if (!status) *ret_threshold = choice.threshold;
    return status;
}

weir_status weir_threshold_choose(const weir_threshold *threshold, const double *score, const double *label, int64_t row_count, double *ret_threshold,
                                  weir_err *err) {
    if (!weir_threshold_learns(threshold)) {
        *ret_threshold = threshold->value;
        return WEIR_OK;
    }
    double *scored = weir_models_calloc((size_t)row_count, 2 * sizeof *scored), *known = scored + row_count;
    if (!scored) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld scores", (long long)row_count);
    int64_t count = 0;
    for (int64_t r = 0; r < row_count; r++) {
        if (isnan(score[r])) continue;
        scored[count] = score[r];
        known[count++] = label[r];
    }
    weir_status status = choose(threshold, scored, known, count, ret_threshold, err);
    weir_models_free(scored);
    return status;
}
