/* What the labels say of the predictions so far, by arm; used by the experiment worker, the API and the report. */
#ifndef WEIR_CONSUMERS_MEASURE_H
#define WEIR_CONSUMERS_MEASURE_H

#include "core/pg.h"
#include "features/pipeline.h"
#include "models/evaluate.h"
#include "models/metrics.h"

enum { WEIR_ARMS_MAX = 16 };

typedef struct weir_arm_measure {
    char arm[16], model[64], digest[65];
    int version;
    int64_t predictions, labelled; /* labelled ≤ predictions */
    weir_metrics_binary metrics; /* over the labelled ones; of a regression NaN and 0 */
    weir_metrics_regression errors; /* the same of a regression; of other tasks NaN and 0 */
} weir_arm_measure;

typedef struct weir_measure {
    int arm_count;
    weir_arm_measure arms[WEIR_ARMS_MAX]; /* by arm, then version */
    bool has_difference; /* both a champion and a challenger have labelled positives and negatives */
    /* challenger − champion of the versions served last, with a 95 % interval by the Poisson bootstrap */
    double auc_difference, auc_low, auc_high;
    double ap_difference, ap_low, ap_high;
    bool has_error_difference; /* of a regression: both have two labelled predictions or more */
    double mse_difference, mse_low, mse_high; /* mean squared error of challenger − champion, with a 95 % interval for two independent samples (Welch) */
} weir_measure;

/** task: of the models; those of several classes are not served, so nothing is measured of them. card_k for card precision; threshold for f1, precision, recall.
 *  Reads <pipeline>.predictions and .labels of the offline store. */
weir_status weir_measure_arms(weir_pg *pg, const weir_pipeline *pipeline, weir_task task, double threshold, int card_k, weir_measure *ret_measure,
                              weir_err *err) WEIR_MUST_CHECK;

#endif
