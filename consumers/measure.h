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
    weir_metrics_binary metrics; /* over the labelled ones, at the version's own threshold; of a regression NaN and 0 */
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

enum { WEIR_MEASURE_TENANTS_MAX = 64, WEIR_MEASURE_COLUMNS_MAX = 32 };

/* The labelled predictions of an arm, in the order of their entities. */
typedef struct weir_arm_rows {
    int64_t count;
    const double *score, *label; /* [count] */
    const int64_t *time_us, *known_us; /* [count] of the event; when the label became known */
    const uint32_t *entity; /* [count] dense numbers below entity_count */
    uint32_t entity_count;
    const int32_t *tenant; /* [count] index into tenants; −1: of one beyond WEIR_MEASURE_TENANTS_MAX */
    const char *const *tenants; /* [tenant_count] */
    int tenant_count;
    const char *const *column_names; /* [column_count] */
    const double *const *columns; /* [column_count][count]; NaN where the prediction had no value */
    int column_count;
    double threshold; /* what the arm's version decides by */
} weir_arm_rows;

/** Called for each arm that has labelled predictions, outside of a transaction. What it is given is borrowed for the call. */
typedef weir_status (*weir_on_arm)(void *context, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err);

typedef struct weir_measure_options {
    weir_task task; /* of the models; of those of several classes labelled predictions are counted and no metric is measured */
    /* Decisions (f1, precision, recall, accuracy) are those at each version's own threshold, that of its signature in the registry; this is for versions without one. */
    double threshold;
    int card_k; /* for card precision */
    const char *const *columns; /* features whose values rows are to have, NULL-terminated; NULL: none. Those that no prediction has yet are left out */
    weir_on_arm on_arm; /* may be NULL */
    void *context;
} weir_measure_options;

/** Reads <pipeline>.predictions and .labels of the offline store, and weir.model_versions where there is a registry. Hands on the rows of each arm when it was
 *  measured; an error of on_arm is returned. */
weir_status weir_measure_arms(weir_pg *pg, const weir_pipeline *pipeline, const weir_measure_options *options, weir_measure *ret_measure,
                              weir_err *err) WEIR_MUST_CHECK;
/** The metrics of rows, which may be a part of an arm's: labelled, metrics and errors of *measure. */
weir_status weir_measure_rows(const weir_arm_rows *rows, weir_task task, int card_k, weir_arm_measure *measure, weir_err *err) WEIR_MUST_CHECK;

#endif
