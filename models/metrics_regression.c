/* Metrics of predicted values. Sums are kept in long double, so that a million rows lose no digit of the result. */
#include <stdlib.h>

#include "models/memory.h"
#include "models/outcomes.h"

typedef struct weighted {
    double value, weight;
} weighted;

typedef struct sums {
    long double weight, label, error, square, absolute, relative, relative_weight, symmetric;
} sums;

static int by_value(const void *left, const void *right) {
    const weighted *a = left, *b = right;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return (a->weight > b->weight) - (a->weight < b->weight);
}

/* The mean of the smallest value with at least half of the weight up to it, and the smallest with more than half. */
static double weighted_median(weighted *values, int64_t n, long double total) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    long double below = 0;
    int64_t i = 0;
    while (i < n - 1 && 2 * (below + values[i].weight) < total) below += values[i++].weight;
    double lower = values[i].value;
    while (i < n - 1 && 2 * (below + values[i].weight) <= total) below += values[i++].weight;
    return (lower + values[i].value) / 2;
}

static sums add_rows(const weir_outcomes *o, weighted *errors, weir_metrics_regression *m) {
    sums s = {0};
    int64_t n = 0;
    for (int64_t r = 0; r < o->row_count; r++) {
        if (!weir_outcomes_counts(o, r)) continue;
        double label = o->label[r], error = label - o->score[r], absolute = fabs(error);
        long double weight = weir_outcomes_weight(o, r), size = (long double)fabs(label) + fabs(o->score[r]);
        s.weight += weight;
        s.label += weight * label;
        s.error += weight * error;
        s.square += weight * error * error;
        s.absolute += weight * absolute;
        if (size > 0) s.symmetric += weight * 2 * absolute / size;
        if (label != 0) {
            s.relative += weight * absolute / fabs(label);
            s.relative_weight += weight;
        }
        m->rows_of_zero += label == 0;
        m->max_error = fmax(m->max_error, absolute);
        errors[n++] = (weighted){absolute, (double)weight};
    }
    return s;
}

/* 1 − residual / total, with scikit-learn's word for a total of 0. */
static double explained(long double residual, long double total, int64_t rows) {
    if (rows < 2) return NAN;
    if (total == 0) return residual == 0;
    return (double)(1 - residual / total);
}

static void add_variances(const weir_outcomes *o, const sums *s, weir_metrics_regression *m) {
    long double label_mean = s->label / s->weight, error_mean = s->error / s->weight, label_square = 0, error_square = 0;
    for (int64_t r = 0; r < o->row_count; r++) {
        if (!weir_outcomes_counts(o, r)) continue;
        long double weight = weir_outcomes_weight(o, r), label = o->label[r] - label_mean, error = o->label[r] - o->score[r] - error_mean;
        label_square += weight * label * label;
        error_square += weight * error * error;
    }
    m->r2 = explained(s->square, label_square, m->rows);
    m->explained_variance = explained(error_square, label_square, m->rows);
}

weir_status weir_measure_regression(const weir_outcomes *o, weir_metrics_regression *ret_metrics, weir_err *err) {
    weir_metrics_regression m = {0};
    weir_status status = weir_outcomes_check(o, WEIR_TASK_REGRESSION, &m.rows, err);
    if (status != WEIR_OK) return status;
    weighted *errors = weir_models_calloc((size_t)m.rows, sizeof *errors);
    if (!errors) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld errors", (long long)m.rows);
    sums s = add_rows(o, errors, &m);
    if (isinf(m.max_error)) {
        weir_models_free(errors);
        return WEIR_FAIL(err, WEIR_ENUMERIC, "an error is larger than a double can be");
    }
    m.rmse = (double)sqrtl(s.square / s.weight);
    m.mae = (double)(s.absolute / s.weight);
    m.mape = s.relative_weight > 0 ? (double)(s.relative / s.relative_weight) : NAN;
    m.smape = (double)(s.symmetric / s.weight);
    m.median_absolute_error = weighted_median(errors, m.rows, s.weight);
    add_variances(o, &s, &m);
    weir_models_free(errors);
    *ret_metrics = m;
    return WEIR_OK;
}
