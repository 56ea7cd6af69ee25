/* Checking predictions and ranking them. */
#include "models/outcomes.h"

#include <stdlib.h>

static weir_status check_scores(const weir_outcomes *o, int64_t row, int scores, weir_err *err) {
    for (int s = 0; s < scores; s++) {
        double score = o->score[row * scores + s];
        if (!isfinite(score)) return WEIR_FAIL(err, WEIR_ENUMERIC, "score of row %lld is %g, expected a finite number", (long long)row, score);
    }
    return WEIR_OK;
}

weir_status weir_outcomes_check(const weir_outcomes *o, weir_task task, int64_t *ret_rows, weir_err *err) {
    bool classes = task == WEIR_TASK_MULTICLASS;
    int64_t rows = 0;
    if (classes && (o->class_count < 2 || o->class_count > WEIR_METRIC_CLASSES_MAX))
        return WEIR_FAIL(err, WEIR_EINVAL, "%d classes, expected 2 to %d", o->class_count, WEIR_METRIC_CLASSES_MAX);
    for (int64_t r = 0; r < o->row_count; r++) {
        double weight = weir_outcomes_weight(o, r), label = o->label[r];
        if (!(weight >= 0 && isfinite(weight)))
            return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number that is not negative", (long long)r, weight);
        if (!weir_outcomes_counts(o, r)) continue;
        int classes_expected = classes ? o->class_count : 2;
        if (task == WEIR_TASK_REGRESSION ? !isfinite(label) : !(label >= 0 && label < classes_expected && label == floor(label)))
            return task == WEIR_TASK_REGRESSION
                       ? WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a finite number", (long long)r, label)
                       : WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a whole number from 0 to %d", (long long)r, label, classes_expected - 1);
        weir_status status = check_scores(o, r, classes ? o->class_count : 1, err);
        if (status != WEIR_OK) return status;
        rows++;
    }
    if (!rows) return WEIR_FAIL(err, WEIR_EDATA, "none of the %lld rows has a label and a weight", (long long)o->row_count);
    *ret_rows = rows;
    return WEIR_OK;
}

/* Rows that are equal in all they hold are the same row, so the order is one whatever the sort does. */
static int by_score_descending(const void *left, const void *right) {
    const weir_ranked *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    if (a->positive != b->positive) return a->positive ? -1 : 1;
    return (a->weight > b->weight) - (a->weight < b->weight);
}

void weir_ranked_sort(weir_ranked *rows, int64_t count) {
    qsort(rows, (size_t)count, sizeof *rows, by_score_descending);
}

int64_t weir_ranked_group(const weir_ranked *rows, int64_t count, int64_t from, double *ret_positive, double *ret_negative) {
    long double positive = 0, negative = 0;
    int64_t end = from;
    for (; end < count && rows[end].score == rows[from].score; end++) *(rows[end].positive ? &positive : &negative) += rows[end].weight;
    *ret_positive = (double)positive;
    *ret_negative = (double)negative;
    return end;
}

int64_t weir_ranked_fill(const weir_outcomes *o, weir_ranked *rows) {
    int64_t n = 0;
    for (int64_t r = 0; r < o->row_count; r++)
        if (weir_outcomes_counts(o, r)) rows[n++] = (weir_ranked){o->score[r], weir_outcomes_weight(o, r), o->label[r] == 1};
    weir_ranked_sort(rows, n);
    return n;
}

double weir_ranked_auc(const weir_ranked *rows, int64_t count) {
    long double above = 0, negatives = 0, pairs = 0;
    for (int64_t i = 0; i < count;) {
        double positive, negative;
        i = weir_ranked_group(rows, count, i, &positive, &negative);
        pairs += negative * (above + positive / 2.0L);
        above += positive;
        negatives += negative;
    }
    return above > 0 && negatives > 0 ? (double)(pairs / (above * negatives)) : NAN;
}
