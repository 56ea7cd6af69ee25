/* Importance by permutation: how much worse a metric gets when a column's values are dealt out to other rows; see explain.h.
 * Source: L. Breiman, Random Forests, Machine Learning 45 (2001), section 10; A. Fisher, C. Rudin, F. Dominici, All Models are Wrong, but Many are Useful,
 * JMLR 20 (2019). */
#include <math.h>
#include <string.h>

#include "models/explain.h"
#include "models/memory.h"
#include "models/metrics.h"
#include "models/random.h"

typedef struct shuffler {
    weir_model *model;
    const weir_matrix *test;
    const weir_model_metric *metric;
    double *rows, *score, *column;
} shuffler;

static weir_status measure(const shuffler *s, double *ret_value, weir_err *err) {
    const weir_matrix *m = s->test;
    weir_outcomes outcomes = {.row_count = m->row_count, .class_count = m->class_count, .label = m->label, .score = s->score, .threshold = 0.5, .k = 100};
    weir_status status = weir_model_predict(s->model, s->rows, m->row_count, s->score, err);
    return status ? status : weir_model_metric_measure(s->metric, &outcomes, ret_value, err);
}

/* Deals the column out by Fisher and Yates and measures; puts it back. */
static weir_status measure_shuffled(const shuffler *s, int column, uint64_t *random, double *ret_value, weir_err *err) {
    int64_t n = s->test->row_count;
    int width = s->test->column_count;
    for (int64_t r = 0; r < n; r++) s->column[r] = s->rows[r * width + column];
    for (int64_t r = n - 1; r > 0; r--) {
        int64_t other = (int64_t)weir_models_random_below(random, (uint64_t)r + 1);
        double value = s->column[r];
        s->column[r] = s->column[other];
        s->column[other] = value;
    }
    for (int64_t r = 0; r < n; r++) s->rows[r * width + column] = s->column[r];
    weir_status status = measure(s, ret_value, err);
    for (int64_t r = 0; r < n; r++) s->rows[r * width + column] = s->test->values[r * width + column];
    return status;
}

static weir_status all_columns(const shuffler *s, int repeats, uint64_t seed, double *ret_mean, double *ret_deviation, weir_err *err) {
    double base = 0;
    weir_status status = measure(s, &base, err);
    for (int c = 0; !status && c < s->test->column_count; c++) {
        uint64_t random = seed + (uint64_t)c * UINT64_C(0xd1342543de82ef95); /* of its own: a column's numbers do not depend on which others there are */
        double mean = 0, squares = 0;
        for (int k = 0; !status && k < repeats; k++) {
            double value = 0;
            status = measure_shuffled(s, c, &random, &value, err);
            double drop = s->metric->greater_is_better ? base - value : value - base, before = drop - mean;
            mean += before / (k + 1);
            squares += before * (drop - mean);
        }
        ret_mean[c] = mean;
        ret_deviation[c] = repeats > 1 ? sqrt(squares / (repeats - 1)) : NAN;
    }
    return status;
}

weir_status weir_explain_permutation(weir_model *model, const weir_matrix *test, const struct weir_model_metric *metric, int repeats, uint64_t seed,
                                     double *ret_mean, double *ret_deviation, weir_err *err) {
    if (repeats < 1 || repeats > 1000) return WEIR_FAIL(err, WEIR_EINVAL, "%d repeats of a permutation; expected 1 to 1000", repeats);
    if (!test->label || test->column_count != weir_model_column_count(model))
        return WEIR_FAIL(err, WEIR_EINVAL, "permutation needs labelled rows of %d columns, got %d", weir_model_column_count(model), test->column_count);
    if (metric->task != weir_model_task(model))
        return WEIR_FAIL(err, WEIR_EINVAL, "metric %s is of %s, the model of %s", metric->name, weir_task_name(metric->task),
                         weir_task_name(weir_model_task(model)));
    size_t cells = (size_t)test->row_count * (size_t)test->column_count, scores = (size_t)test->row_count * (size_t)weir_model_output_count(model);
    size_t outputs = (size_t)test->column_count;
    shuffler s = {.model = model, .test = test, .metric = metric, .rows = weir_models_calloc(cells, sizeof *s.rows)};
    s.score = weir_models_calloc(scores, sizeof *s.score);
    s.column = weir_models_calloc((size_t)test->row_count, sizeof *s.column);
    double *mean = weir_models_calloc(outputs, sizeof *mean), *deviation = weir_models_calloc(outputs, sizeof *deviation);
    weir_status status = WEIR_OK;
    if (!s.rows || !s.score || !s.column || !mean || !deviation) {
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to permute %lld rows", (long long)test->row_count);
    } else {
        memcpy(s.rows, test->values, cells * sizeof *s.rows);
        status = all_columns(&s, repeats, seed, mean, deviation, err);
    }
    if (!status) {
        memcpy(ret_mean, mean, outputs * sizeof *mean);
        memcpy(ret_deviation, deviation, outputs * sizeof *deviation);
    }
    weir_models_free(s.rows);
    weir_models_free(s.score);
    weir_models_free(s.column);
    weir_models_free(mean);
    weir_models_free(deviation);
    return status;
}
