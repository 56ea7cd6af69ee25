/* Metrics of test rows with bootstrap intervals that respect which rows belong together; see assess_internal.h.
 * Sources: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals); A. C. Cameron, J. Gelbach, D. Miller, Review
 * of Economics and Statistics 90
 * (2008), for entities as units; D. Politis, J. Romano, A Circular Block-Resampling Procedure for Stationary Data, 1992, for runs of times. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/assess_internal.h"
#include "models/curves.h"
#include "models/evaluate.h"
#include "models/memory.h"
#include "models/random.h"

/* Metrics of a task are measured together; offset: where their number stands in the result. */
typedef struct measured {
    const char *name;
    enum { REGRESSION, CLASSES, BINARY, DECISIONS, CALIBRATION } of;
    size_t offset;
} measured;

static const measured of_regression[] = {
    {"rmse", REGRESSION, offsetof(weir_metrics_regression, rmse)},
    {"mae", REGRESSION, offsetof(weir_metrics_regression, mae)},
    {"r2", REGRESSION, offsetof(weir_metrics_regression, r2)},
    {"mape", REGRESSION, offsetof(weir_metrics_regression, mape)},
    {"smape", REGRESSION, offsetof(weir_metrics_regression, smape)},
    {"explained_variance", REGRESSION, offsetof(weir_metrics_regression, explained_variance)},
    {"median_absolute_error", REGRESSION, offsetof(weir_metrics_regression, median_absolute_error)},
    {"max_error", REGRESSION, offsetof(weir_metrics_regression, max_error)},
    {NULL},
};
static const measured of_binary[] = {
    {"roc_auc", BINARY, offsetof(weir_metrics_binary, auc_roc)},
    {"average_precision", BINARY, offsetof(weir_metrics_binary, average_precision)},
    {"f1", BINARY, offsetof(weir_metrics_binary, f1)},
    {"precision", BINARY, offsetof(weir_metrics_binary, precision)},
    {"recall", BINARY, offsetof(weir_metrics_binary, recall)},
    {"accuracy", BINARY, offsetof(weir_metrics_binary, accuracy)},
    {"balanced_accuracy", DECISIONS, offsetof(weir_metrics_decisions, balanced_accuracy)},
    {"mcc", DECISIONS, offsetof(weir_metrics_decisions, mcc)},
    {"log_loss", BINARY, offsetof(weir_metrics_binary, log_loss)},
    {"brier", BINARY, offsetof(weir_metrics_binary, brier)},
    {"expected_calibration_error", CALIBRATION, offsetof(weir_calibration, expected_error)},
    {"precision_at_k", DECISIONS, offsetof(weir_metrics_decisions, precision_at_k)},
    {NULL},
};
static const measured of_multiclass[] = {
    {"accuracy", CLASSES, offsetof(weir_metrics_classes, accuracy)},
    {"f1_macro", CLASSES, offsetof(weir_metrics_classes, f1_macro)},
    {"f1_weighted", CLASSES, offsetof(weir_metrics_classes, f1_weighted)},
    {"precision_macro", CLASSES, offsetof(weir_metrics_classes, precision_macro)},
    {"recall_macro", CLASSES, offsetof(weir_metrics_classes, recall_macro)},
    {"log_loss", CLASSES, offsetof(weir_metrics_classes, log_loss)},
    {"auc_ovr_macro", CLASSES, offsetof(weir_metrics_classes, auc_macro)},
    {"cohen_kappa", CLASSES, offsetof(weir_metrics_classes, cohen_kappa)},
    {NULL},
};

static const measured *table_of(weir_task task) {
    return task == WEIR_TASK_REGRESSION ? of_regression : task == WEIR_TASK_BINARY ? of_binary : of_multiclass;
}

void weir_assess_metrics(weir_assess_state *s) {
    s->metric = -1;
    for (const measured *m = table_of(s->task); m->name; m++) {
        if (!strcmp(m->name, s->a->metric->name)) s->metric = s->metric_count;
        s->metric_name[s->metric_count] = m->name;
        s->greater[s->metric_count++] = weir_model_metric_find(s->task, m->name)->greater_is_better;
    }
    if (s->metric >= 0) return;
    assert(s->metric_count < WEIR_ASSESS_METRICS);
    s->metric = s->metric_count; /* one that is measured by itself: a plugin's, or f1_micro */
    s->metric_name[s->metric_count] = s->a->metric->name;
    s->greater[s->metric_count++] = s->a->metric->greater_is_better;
}

static void take(const measured *table, int of, const void *result, double *values) {
    for (int i = 0; table[i].name; i++)
        if ((int)table[i].of == of) values[i] = *(const double *)((const char *)result + table[i].offset);
}

static weir_status measure_binary(const weir_outcomes *o, double *values, weir_err *err) {
    weir_metrics_binary binary;
    weir_metrics_decisions decisions;
    weir_eval_input input = {.row_count = o->row_count, .score = o->score, .label = o->label, .threshold = o->threshold};
    weir_status status = weir_evaluate_binary(&input, &binary, err);
    if (!status) status = weir_measure_decisions(o, &decisions, err);
    if (status) return status;
    take(of_binary, BINARY, &binary, values);
    take(of_binary, DECISIONS, &decisions, values);
    if (isnan(binary.brier)) return WEIR_OK; /* scores are no probabilities: nothing to calibrate */
    weir_calibration *c = weir_models_calloc(1, sizeof *c);
    if (!c) return weir_assess_no_memory(err);
    status = weir_calibrate(o, WEIR_BINS_EQUAL_WIDTH, 10, c, err);
    if (!status) take(of_binary, CALIBRATION, c, values);
    weir_models_free(c);
    return status;
}

weir_status weir_assess_measure(const weir_assess_state *s, const double *label, const double *score, int64_t rows, double threshold, double *values,
                                weir_err *err) {
    weir_outcomes o = {.row_count = rows, .class_count = s->width, .label = label, .score = score, .threshold = threshold, .k = s->a->k > 0 ? s->a->k : 100};
    for (int i = 0; i < s->metric_count; i++) values[i] = NAN;
    if (rows < 1) return WEIR_OK;
    weir_status status;
    if (s->task == WEIR_TASK_REGRESSION) {
        weir_metrics_regression m;
        status = weir_measure_regression(&o, &m, err);
        if (!status) take(of_regression, REGRESSION, &m, values);
    } else if (s->task == WEIR_TASK_BINARY) {
        status = measure_binary(&o, values, err);
    } else {
        weir_metrics_classes m;
        status = weir_measure_classes(&o, &m, err);
        if (!status) {
            take(of_multiclass, CLASSES, &m, values);
            weir_metrics_classes_done(&m);
        }
    }
    bool own = !table_of(s->task)[s->metric].name; /* the one behind the table's */
    return !status && own ? weir_model_metric_measure(s->a->metric, &o, &values[s->metric], err) : status;
}

/* ---- units ---- */

static void units_of_times(weir_assess_state *s) {
    uint32_t unit = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        if (r > 0 && s->test->time_us[r] != s->test->time_us[r - 1]) unit++;
        s->units.of_row[r] = unit;
    }
    s->units.count = unit + 1;
    s->units.block = (uint32_t)ceil(cbrt(s->units.count));
    s->units.name = "times";
}

/* Entities that occur get dense numbers. False: no entity has two rows, or there are too few entities to draw from. */
static bool units_of_entities(weir_assess_state *s, uint32_t *number) {
    uint32_t unit = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        uint32_t *n = &number[s->test->entity[r]];
        if (!*n) *n = ++unit;
        s->units.of_row[r] = *n - 1;
    }
    s->units.count = unit;
    s->units.block = 1;
    s->units.name = "entities";
    return unit < s->rows && unit >= 2 * WEIR_ASSESS_UNITS_MIN;
}

/* Entities that repeat are what is independent of each other; where there are few of them and rows have times, neighbours in time are not. */
weir_status weir_assess_units_choose(weir_assess_state *s, weir_err *err) {
    s->units = (weir_assess_units){.name = "rows", .count = (uint32_t)s->rows, .block = 1};
    s->units.of_row = weir_models_calloc((size_t)s->rows, sizeof *s->units.of_row);
    if (!s->units.of_row) return weir_assess_no_memory(err);
    bool entities = false, repeat = false;
    if (s->test->entity && s->rows > 0) {
        uint32_t *number = weir_models_calloc(s->test->entity_count, sizeof *number);
        if (!number) return weir_assess_no_memory(err);
        entities = units_of_entities(s, number);
        repeat = s->units.count < s->rows;
        weir_models_free(number);
    }
    if (!entities && s->test->time_us && s->rows > 0 && (repeat || !s->test->entity)) {
        units_of_times(s);
    } else if (!entities) {
        s->units.name = "rows";
        s->units.count = (uint32_t)s->rows;
        for (int64_t r = 0; r < s->rows; r++) s->units.of_row[r] = (uint32_t)r;
    }
    double work = 1.2e7 / fmax((double)(s->rows * s->a->model_count * s->width), 1);
    s->replicates = s->units.count < WEIR_ASSESS_UNITS_MIN ? 0 : (int)fmin(fmax(work, 100), 1000);
    return WEIR_OK;
}

void weir_assess_units_done(weir_assess_state *s) {
    weir_models_free(s->units.of_row);
    for (int m = 0; m < s->a->model_count; m++) weir_models_free(s->replicate[m]);
}

void weir_assess_draw(const weir_assess_state *s, int k, uint32_t *times) {
    uint64_t random = s->a->seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)k * UINT64_C(0xd1342543de82ef95);
    memset(times, 0, s->units.count * sizeof *times);
    for (uint32_t done = 0; done < s->units.count;) {
        uint32_t at = (uint32_t)weir_models_random_below(&random, s->units.count);
        for (uint32_t i = 0; i < s->units.block && done < s->units.count; i++, done++) times[(at + i) % s->units.count]++;
    }
}

/* ---- replicates ---- */

typedef struct sample {
    uint32_t *times; /* [units] */
    double *label, *score; /* room for `room` rows */
    int64_t room, rows;
} sample;

static bool sample_grow(sample *x, int64_t rows, int width) {
    if (rows <= x->room) return true;
    weir_models_free(x->label);
    weir_models_free(x->score);
    x->room = rows + rows / 8;
    x->label = weir_models_calloc((size_t)x->room, sizeof *x->label);
    x->score = weir_models_calloc((size_t)(x->room * width), sizeof *x->score);
    if (!x->label || !x->score) x->room = 0;
    return x->label && x->score;
}

static void sample_done(sample *x) {
    weir_models_free(x->times);
    weir_models_free(x->label);
    weir_models_free(x->score);
}

/* Rows as often as their units were drawn. */
static void sample_fill(const weir_assess_state *s, int model, sample *x) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rows; r++)
        for (uint32_t t = 0; t < x->times[s->units.of_row[r]]; t++, n++) {
            x->label[n] = weir_assess_label(s, r);
            memcpy(x->score + n * s->width, s->score[model] + r * s->width, (size_t)s->width * sizeof *x->score);
        }
    x->rows = n;
}

static weir_status replicate_all(weir_assess_state *s, sample *x, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int k = 0; !status && k < s->replicates; k++) {
        int64_t rows = 0;
        weir_assess_draw(s, k, x->times);
        for (int64_t r = 0; r < s->rows; r++) rows += x->times[s->units.of_row[r]];
        if (!sample_grow(x, rows, s->width)) return weir_assess_no_memory(err);
        for (int m = 0; !status && m < s->a->model_count; m++) {
            sample_fill(s, m, x);
            status = weir_assess_measure(s, x->label, x->score, x->rows, s->threshold[m], s->replicate[m] + (size_t)k * (size_t)s->metric_count, err);
        }
        if (!status && k % 16 == 0) status = weir_assess_cancelled(s, err);
    }
    return status;
}

weir_status weir_assess_measure_all(weir_assess_state *s, weir_err *err) {
    sample x = {.times = weir_models_calloc(s->units.count, sizeof *x.times)};
    weir_status status = x.times ? WEIR_OK : weir_assess_no_memory(err);
    for (int m = 0; !status && m < s->a->model_count; m++) {
        status = weir_assess_measure(s, s->test->matrix.label, s->score[m], s->rows, s->threshold[m], s->value[m], err);
        if (status) weir_err_prefix(err, "model %s", s->a->models[m].name);
        if (status) break;
        s->replicate[m] = weir_models_calloc((size_t)s->replicates * (size_t)s->metric_count, sizeof(double));
        if (!s->replicate[m]) status = weir_assess_no_memory(err);
    }
    if (!status) status = replicate_all(s, &x, err);
    sample_done(&x);
    return status;
}

void weir_assess_ends(double *values, int count, double *ret_low, double *ret_high) {
    int finite = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(values[i])) values[finite++] = values[i];
    *ret_low = *ret_high = NAN;
    if (finite * 2 <= count || finite < 20) return;
    qsort(values, (size_t)finite, sizeof *values, weir_assess_by_value);
    *ret_low = weir_assess_quantile(values, finite, 0.025);
    *ret_high = weir_assess_quantile(values, finite, 0.975);
}

weir_status weir_assess_mean_interval(const weir_assess_state *s, const double *value, int64_t rows, const int64_t *row, double *ret_low, double *ret_high,
                                      weir_err *err) {
    uint32_t *times = weir_models_calloc(s->units.count, sizeof *times);
    double *means = weir_models_calloc((size_t)s->replicates, sizeof *means);
    weir_status status = times && means ? WEIR_OK : weir_assess_no_memory(err);
    for (int k = 0; !status && k < s->replicates; k++) {
        double sum = 0, weight = 0;
        weir_assess_draw(s, k, times);
        for (int64_t i = 0; i < rows; i++) {
            double w = times[s->units.of_row[row ? row[i] : i]];
            sum += w * value[i];
            weight += w;
        }
        means[k] = weight > 0 ? sum / weight : NAN;
    }
    if (!status) weir_assess_ends(means, s->replicates, ret_low, ret_high);
    weir_models_free(times);
    weir_models_free(means);
    return status;
}
