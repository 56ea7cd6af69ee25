/* Metrics of binary decisions that models/evaluate.c does not have. */
#include "models/memory.h"
#include "models/outcomes.h"

/* Mean share of positives among the first k of the ranking, over all orders of the rows that tie. */
static double precision_at(const weir_ranked *rows, int64_t n, int64_t k) {
    if (k > n) k = n;
    double hits = 0;
    for (int64_t from = 0, end; from < k; from = end) {
        int64_t positives = 0;
        for (end = from; end < n && rows[end].score == rows[from].score; end++) positives += rows[end].positive;
        int64_t taken = end <= k ? end - from : k - from;
        hits += (double)positives * (double)taken / (double)(end - from);
    }
    return hits / (double)k;
}

static void count_decisions(const weir_outcomes *o, weir_metrics_decisions *m) {
    for (int64_t r = 0; r < o->row_count; r++) {
        if (!weir_outcomes_counts(o, r)) continue;
        bool called = o->score[r] >= o->threshold, positive = o->label[r] == 1;
        *(called ? positive ? &m->true_positive : &m->false_positive : positive ? &m->false_negative : &m->true_negative) += weir_outcomes_weight(o, r);
    }
}

weir_status weir_measure_decisions(const weir_outcomes *o, weir_metrics_decisions *ret_metrics, weir_err *err) {
    weir_metrics_decisions m = {0};
    if (isnan(o->threshold)) return WEIR_FAIL(err, WEIR_EINVAL, "threshold is %g, expected a number", o->threshold);
    if (o->k < 0) return WEIR_FAIL(err, WEIR_EINVAL, "k is %lld, expected a count", (long long)o->k);
    weir_status status = weir_outcomes_check(o, WEIR_TASK_BINARY, &m.rows, err);
    if (status != WEIR_OK) return status;
    weir_ranked *rows = weir_models_calloc((size_t)m.rows, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %lld scores", (long long)m.rows);
    count_decisions(o, &m);
    m.precision_at_k = o->k ? precision_at(rows, weir_ranked_fill(o, rows), o->k) : NAN;
    weir_models_free(rows);
    double positive = m.true_positive + m.false_negative, negative = m.true_negative + m.false_positive;
    double called = m.true_positive + m.false_positive, passed = m.true_negative + m.false_negative;
    m.balanced_accuracy = positive > 0 && negative > 0 ? (m.true_positive / positive + m.true_negative / negative) / 2 : NAN;
    double determinant = m.true_positive * m.true_negative - m.false_positive * m.false_negative;
    m.mcc = positive > 0 && negative > 0 && called > 0 && passed > 0 ? determinant / (sqrt(positive * negative) * sqrt(called * passed)) : 0;
    *ret_metrics = m;
    return WEIR_OK;
}
