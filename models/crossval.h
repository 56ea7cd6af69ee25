/* Cross-validation: a spec fitted and judged fold by fold, preprocessing and selection inside the fold. */
#ifndef WEIR_MODELS_CROSSVAL_H
#define WEIR_MODELS_CROSSVAL_H

#include "models/metrics.h"
#include "models/spec.h"

typedef struct weir_crossval_fold {
    weir_fold rows; /* how many of which kind */
    double value; /* of the metric, on the fold's test rows; NaN when it has none there */
    double fit_s, predict_s;
    char digest[65]; /* of the artifact that was fitted in the fold */
} weir_crossval_fold;

typedef struct weir_crossval {
    int fold_count;
    weir_crossval_fold *folds; /* [fold_count] */
    int done_count; /* folds that were done: fewer when on_fold stopped it */
    double mean, deviation; /* of value over the folds done that have one; deviation of the sample, NaN with fewer than two */
    double test_to_train; /* mean of test rows / training rows: for weir_paired_t_test */
    int output_count;
    double *scores; /* [row_count][output_count] out of fold; NaN where a row was in no test part; where in several, the last one's */
} weir_crossval;

typedef struct weir_crossval_options {
    weir_fit_options fit; /* its split is what members of ensembles use inside a fold */
    const weir_model_metric
        *metric; /* NULL: scores are wanted only, values are NaN. With weights where it takes them. Of several targets: the mean over them */
    double threshold; /* binary metrics that decide; 0: 0.5 */
    /** After each fold; false stops, and what was done so far is the result. May be NULL. */
    bool (*on_fold)(void *context, int fold, const weir_crossval *so_far);
    void *context;
} weir_crossval_options;

/** Errors: as weir_spec_fit, with the fold's number; those of the plan. Folds whose test rows have no value for the metric are kept, with NaN. */
weir_status weir_crossval_run(const cJSON *spec, const weir_trainset *set, const weir_split_plan *plan, const weir_crossval_options *options,
                              weir_crossval *ret_result, weir_err *err) WEIR_MUST_CHECK;
/** Measures folds that were done once more, by their scores: with another threshold, once one is chosen. Rows that a later fold tested too count there only.
 *  Errors: those of the metric and of the plan; WEIR_ENOMEM. *result is then as it was. */
weir_status weir_crossval_measure(const weir_trainset *set, const weir_split_plan *plan, const weir_model_metric *metric, double threshold,
                                  weir_crossval *result, weir_err *err) WEIR_MUST_CHECK;
void weir_crossval_done(weir_crossval *result);

#endif
