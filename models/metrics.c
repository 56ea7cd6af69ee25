/* The table of metrics by name. Metrics of a task are measured together; each entry knows where its number stands in the result. */
#include "models/metrics.h"

#include <assert.h>
#include <string.h>

#include "core/plugin.h"
#include "models/curves.h"
#include "models/evaluate.h"
#include "models/memory.h"
#include "models/outcomes.h"

enum { CALIBRATION_BINS = 10 };

static double number_at(const void *metrics, size_t field) {
    return *(const double *)((const char *)metrics + field);
}

static weir_status measure_regression(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    weir_metrics_regression m;
    weir_status status = weir_measure_regression(o, &m, err);
    if (status == WEIR_OK) *ret_value = number_at(&m, self->field);
    return status;
}

static weir_status measure_classes(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    weir_metrics_classes m;
    weir_status status = weir_measure_classes(o, &m, err);
    if (status != WEIR_OK) return status;
    *ret_value = number_at(&m, self->field);
    weir_metrics_classes_done(&m);
    return WEIR_OK;
}

static weir_status measure_decisions(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    weir_metrics_decisions m;
    weir_status status = weir_measure_decisions(o, &m, err);
    if (status == WEIR_OK) *ret_value = number_at(&m, self->field);
    return status;
}

/* Those of models/evaluate.h. */
static weir_status measure_binary(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    weir_metrics_binary m;
    int64_t rows = 0;
    weir_eval_input input = {.row_count = o->row_count, .score = o->score, .label = o->label, .threshold = o->threshold};
    weir_status status = weir_outcomes_check(o, WEIR_TASK_BINARY, &rows, err);
    if (status == WEIR_OK) status = weir_evaluate_binary(&input, &m, err);
    if (status == WEIR_OK) *ret_value = number_at(&m, self->field);
    return status;
}

static weir_status measure_calibration(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    weir_calibration *c = weir_models_calloc(1, sizeof *c);
    if (!c) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d bins", CALIBRATION_BINS);
    weir_status status = weir_calibrate(o, WEIR_BINS_EQUAL_WIDTH, CALIBRATION_BINS, c, err);
    if (status == WEIR_OK) *ret_value = number_at(c, self->field);
    weir_models_free(c);
    return status;
}

#define REGRESSION(field_)                                                                                                                                     \
    .abi = WEIR_METRIC_ABI, .task = WEIR_TASK_REGRESSION, .weighted = true, .measure = measure_regression, .field = offsetof(weir_metrics_regression, field_)
#define CLASSES(field_)                                                                                                                                        \
    .abi = WEIR_METRIC_ABI, .task = WEIR_TASK_MULTICLASS, .weighted = true, .measure = measure_classes, .field = offsetof(weir_metrics_classes, field_)
#define BINARY(field_) .abi = WEIR_METRIC_ABI, .task = WEIR_TASK_BINARY, .measure = measure_binary, .field = offsetof(weir_metrics_binary, field_)
#define DECISIONS(field_) .abi = WEIR_METRIC_ABI, .task = WEIR_TASK_BINARY, .measure = measure_decisions, .field = offsetof(weir_metrics_decisions, field_)

static const weir_model_metric metrics[] = {
    {.name = "rmse", REGRESSION(rmse), .doc = "square root of the mean squared error"},
    {.name = "mae", REGRESSION(mae), .doc = "mean absolute error"},
    {.name = "mape", REGRESSION(mape), .doc = "mean absolute error as a fraction of the true value; rows whose true value is 0 are left out"},
    {.name = "smape", REGRESSION(smape), .doc = "mean absolute error as a fraction of the mean size of true and predicted value, 0 to 2"},
    {.name = "r2", REGRESSION(r2), .greater_is_better = true, .doc = "1 − squared errors / squared deviations of the true values from their mean"},
    {.name = "median_absolute_error", REGRESSION(median_absolute_error), .doc = "median of absolute errors"},
    {.name = "max_error", REGRESSION(max_error), .doc = "largest absolute error"},
    {.name = "explained_variance",
     REGRESSION(explained_variance),
     .greater_is_better = true,
     .doc = "1 − variance of the errors / variance of the true values"},
    {.name = "accuracy", CLASSES(accuracy), .greater_is_better = true, .doc = "share of rows whose class is called"},
    {.name = "precision_macro", CLASSES(precision_macro), .greater_is_better = true, .doc = "mean over classes of the share of rows called so that are"},
    {.name = "recall_macro", CLASSES(recall_macro), .greater_is_better = true, .doc = "mean over classes of the share of their rows that are called so"},
    {.name = "f1_macro", CLASSES(f1_macro), .greater_is_better = true, .doc = "mean over classes of the harmonic mean of precision and recall"},
    {.name = "f1_micro", CLASSES(accuracy), .greater_is_better = true, .doc = "F1 from the counts of all classes; of rows with one class it is the accuracy"},
    {.name = "precision_weighted", CLASSES(precision_weighted), .greater_is_better = true, .doc = "mean of the classes' precision by their rows"},
    {.name = "recall_weighted", CLASSES(recall_weighted), .greater_is_better = true, .doc = "mean of the classes' recall by their rows"},
    {.name = "f1_weighted", CLASSES(f1_weighted), .greater_is_better = true, .doc = "mean of the classes' F1 by their rows"},
    {.name = "log_loss", CLASSES(log_loss), .doc = "mean of −log of the probability given to the true class"},
    {.name = "auc_ovr_macro",
     CLASSES(auc_macro),
     .greater_is_better = true,
     .doc = "mean over classes of the area below the ROC curve of one against the rest"},
    {.name = "cohen_kappa", CLASSES(cohen_kappa), .greater_is_better = true, .doc = "agreement of labels and predictions beyond what chance gives"},
    {.name = "roc_auc", BINARY(auc_roc), .greater_is_better = true, .doc = "area below the ROC curve"},
    {.name = "average_precision", BINARY(average_precision), .greater_is_better = true, .doc = "area below the precision–recall curve, by steps"},
    {.name = "f1", BINARY(f1), .greater_is_better = true, .doc = "harmonic mean of precision and recall at the threshold"},
    {.name = "precision", BINARY(precision), .greater_is_better = true, .doc = "share of rows called positive that are"},
    {.name = "recall", BINARY(recall), .greater_is_better = true, .doc = "share of positive rows that are called positive"},
    {.name = "accuracy", BINARY(accuracy), .greater_is_better = true, .doc = "share of rows called what they are"},
    {.name = "log_loss", BINARY(log_loss), .doc = "mean of −log of the probability given to what happened"},
    {.name = "brier", BINARY(brier), .doc = "mean squared difference of probability and what happened"},
    {.name = "balanced_accuracy", DECISIONS(balanced_accuracy), .weighted = true, .greater_is_better = true, .doc = "mean of the recalls of both classes"},
    {.name = "mcc", DECISIONS(mcc), .weighted = true, .greater_is_better = true, .doc = "Matthews' correlation of label and decision"},
    {.name = "precision_at_k", DECISIONS(precision_at_k), .greater_is_better = true, .doc = "share of positives among the k highest scores"},
    {.name = "expected_calibration_error",
     .abi = WEIR_METRIC_ABI,
     .task = WEIR_TASK_BINARY,
     .weighted = true,
     .doc = "mean difference of probability and share of positives over ten bins of equal width",
     .measure = measure_calibration,
     .field = offsetof(weir_calibration, expected_error)},
    {.name = NULL},
};

const weir_model_metric *weir_model_metrics(void) {
    return metrics;
}

static weir_plugin_kind plugins;

const weir_model_metric *weir_model_metric_at(int index) {
    for (int t = -1; t < plugins.count; t++)
        for (const weir_model_metric *m = t < 0 ? metrics : plugins.tables[t]; m->name; m++)
            if (!index--) return m;
    return NULL;
}

const weir_model_metric *weir_model_metric_find(weir_task task, const char *name) {
    const weir_model_metric *m;
    for (int i = 0; (m = weir_model_metric_at(i)); i++)
        if (m->task == task && !strcmp(m->name, name)) return m;
    return NULL;
}

weir_status weir_model_metric_measure(const weir_model_metric *metric, const weir_outcomes *outcomes, double *ret_value, weir_err *err) {
    assert(metric->abi == WEIR_METRIC_ABI);
    if (outcomes->weight && !metric->weighted) return WEIR_FAIL(err, WEIR_EINVAL, "metric %s takes no weights", metric->name);
    return metric->measure(metric, outcomes, ret_value, err);
}

/* What is missing in a metric; NULL when it is complete. */
static const char *incomplete(const weir_model_metric *m) {
    if (!m->doc) return "a doc";
    if ((int)m->task < 0 || (int)m->task >= WEIR_TASK_COUNT) return "a valid task";
    return m->measure ? NULL : "a method (measure)";
}

static weir_status check_metrics(const char *path, const void *table, weir_err *err) {
    const weir_model_metric *first = table;
    for (const weir_model_metric *m = first; m->name; m++) {
        const char *missing;
        if (m->abi != WEIR_METRIC_ABI)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: metric %s has ABI %d, expected %d", path, m->name, m->abi, WEIR_METRIC_ABI);
        if ((missing = incomplete(m))) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: metric %s lacks %s", path, m->name, missing);
        if (weir_model_metric_find(m->task, m->name))
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: there is a metric %s of a %s task already", path, m->name, weir_task_name(m->task));
        for (const weir_model_metric *other = first; other < m; other++)
            if (other->task == m->task && !strcmp(other->name, m->name))
                return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: it has two metrics %s of a %s task", path, m->name, weir_task_name(m->task));
    }
    return WEIR_OK;
}

static const void *call(void *function) {
    const weir_model_metric *(*table)(void);
    *(void **)&table = function; /* as POSIX has it */
    return table();
}

static weir_plugin_kind plugins = {.function = WEIR_PLUGIN_METRICS, .call = call, .check = check_metrics};

__attribute__((constructor)) static void name_kind(void) {
    weir_plugin_kind_add(&plugins);
}
