/* How good are predictions: metrics of regression, classes and binary decisions, and the table of metrics by name. Ranking metrics of binary scores are in
 * models/evaluate.h. */
#ifndef WEIR_MODELS_METRICS_H
#define WEIR_MODELS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/task.h"

enum { WEIR_METRIC_CLASSES_MAX = 1000 };

/* Predictions with what happened. Rows whose label is NaN or whose weight is 0 are left out everywhere.
 * Every function below: a score that is not finite, or an error that is too large for a double, is WEIR_ENUMERIC; a label that the task does not allow, or a
 * weight that is negative or not finite, is WEIR_EDATA; no rows left is WEIR_EDATA; memory that ran out is WEIR_ENOMEM. Results are then untouched. A metric
 * without a value (a ratio of nothing) is NaN unless said otherwise. */
typedef struct weir_outcomes {
    int64_t row_count;
    int class_count; /* multiclass, 2 … WEIR_METRIC_CLASSES_MAX; else not looked at */
    const double *label; /* [row_count] */
    const double *score; /* as the task says */
    const double *weight; /* [row_count] NULL: 1 each */
    double threshold; /* binary: a row is called positive when score ≥ threshold */
    int64_t k; /* binary: of precision@k; 0: none */
} weir_outcomes;

typedef struct weir_metrics_regression {
    int64_t rows, rows_of_zero; /* rows counted; those of them whose true value is 0 */
    double rmse, mae; /* in units of the label */
    double mape; /* mean of |y − p| / |y|, a fraction; rows whose true value is 0 are left out, NaN when none is left */
    double smape; /* mean of 2 |y − p| / (|y| + |p|), a fraction from 0 to 2; 0 where both are 0 */
    double r2,
        explained_variance; /* as scikit-learn 1 when labels are constant and errors 0 (or constant), 0 when only labels are constant; NaN with one row */
    double median_absolute_error; /* weighted median: the mean of the lower and the upper one */
    double max_error; /* weights do not matter */
} weir_metrics_regression;

/** O(n log n), 16 bytes a row. */
weir_status weir_measure_regression(const weir_outcomes *outcomes, weir_metrics_regression *ret_metrics, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_class_metrics {
    double support; /* weight of the rows of this class */
    double precision, recall, f1; /* 0 where a ratio has no denominator */
    double auc; /* this class against the rest, ties half; NaN when one of the two is missing */
} weir_class_metrics;

typedef struct weir_metrics_classes {
    int64_t rows;
    int class_count;
    double accuracy; /* also precision, recall and f1 averaged "micro": every row has one class */
    double precision_macro, recall_macro, f1_macro; /* mean over the classes that occur as label or as prediction */
    double precision_weighted, recall_weighted, f1_weighted; /* mean over classes by support */
    double
        log_loss; /* of the label's probability, clipped to [2^−52, 1 − 2^−52]; NaN when a row's scores are no probabilities that add up to 1 (within 1e-5) */
    double auc_macro; /* mean of auc over the classes that have one */
    double cohen_kappa; /* agreement beyond chance; NaN when chance alone agrees always */
    double *confusion; /* [class_count][class_count] weights: row the label, column the prediction */
    weir_class_metrics *classes; /* [class_count] */
} weir_metrics_classes;

/** O(c n log n), 24 bytes a row; what *ret_metrics owns is freed by weir_metrics_classes_done. WEIR_EINVAL for a class_count out of range. */
weir_status weir_measure_classes(const weir_outcomes *outcomes, weir_metrics_classes *ret_metrics, weir_err *err) WEIR_MUST_CHECK;
void weir_metrics_classes_done(weir_metrics_classes *metrics);

typedef struct weir_metrics_decisions {
    int64_t rows;
    double true_positive, false_positive, true_negative, false_negative; /* weights */
    double balanced_accuracy; /* mean of the recalls of both classes; NaN with one class */
    double mcc; /* Matthews' correlation of label and decision; 0 when one of them is constant, as scikit-learn */
    double precision_at_k; /* share of positives among the k highest scores, of all when they are fewer; rows that tie at the k-th place count by their mean */
} weir_metrics_decisions;

/** Decisions at outcomes->threshold. O(n log n), 24 bytes a row. WEIR_EINVAL for a threshold that is NaN or k < 0. */
weir_status weir_measure_decisions(const weir_outcomes *outcomes, weir_metrics_decisions *ret_metrics, weir_err *err) WEIR_MUST_CHECK;

#define WEIR_METRIC_ABI 1
/* One metric. */
typedef struct weir_model_metric {
    int abi; /* WEIR_METRIC_ABI */
    const char *name; /* "f1_macro"; unique within its task */
    weir_task task;
    bool greater_is_better, weighted; /* weighted: it takes weights; one that does not refuses them */
    const char *doc;
    /** The value of the metric; NaN when it has none. Errors as of weir_outcomes; *ret_value is then untouched. Thread-safe. */
    weir_status (*measure)(const struct weir_model_metric *self, const weir_outcomes *outcomes, double *ret_value, weir_err *err);
    size_t field; /* the metric's own: built-in ones keep here where their number stands */
} weir_model_metric;

/** The built-in metrics, ended by one without a name. */
const weir_model_metric *weir_model_metrics(void);
/** Every metric, those of plugins behind the built-in ones: index from 0, NULL after the last. */
const weir_model_metric *weir_model_metric_at(int index);
const weir_model_metric *weir_model_metric_find(weir_task task, const char *name); /* NULL when there is none */
/** WEIR_EINVAL when there are weights that the metric does not take. */
weir_status weir_model_metric_measure(const weir_model_metric *metric, const weir_outcomes *outcomes, double *ret_value, weir_err *err) WEIR_MUST_CHECK;

/** What a plugin with metrics exports (core/plugin.h): an array ended by an entry without a name. docs/examples/pinball.c is one. */
const weir_model_metric *weir_plugin_metrics(void);
#define WEIR_PLUGIN_METRICS "weir_plugin_metrics"

#endif
