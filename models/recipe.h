/* The `training` section of a pipeline file: task, window, columns, candidates, and how they are judged. */
#ifndef WEIR_MODELS_RECIPE_H
#define WEIR_MODELS_RECIPE_H

#include "features/pipeline.h"
#include "models/metrics.h"
#include "models/split.h"
#include "models/task.h"
#include "models/threshold.h"

enum { WEIR_CANDIDATES_MAX = 32, WEIR_ENVIRONMENTS = 3, WEIR_SLICES_MAX = 32 };
extern const char *const weir_environments[WEIR_ENVIRONMENTS]; /* "dev", "aut", "prod" */

typedef struct weir_candidate {
    const char *name; /* model name: "fraud-logistic" */
    const char *algorithm; /* or the kind of ensemble: "stacking" */
    cJSON *spec; /* what is fitted (models/spec.h), with the recipe's preprocessing where a spec has none of its own; the recipe's */
} weir_candidate;

typedef struct weir_recipe {
    const char *use_case; /* its name (models/use_cases.h) */
    bool is_default; /* what is served: `training` itself */
    cJSON *section; /* of another use case: its own `training`, which the strings are borrowed from; NULL: the pipeline's */
    bool label_is_text; /* the target is a text, whose place among the classes is the label */
    weir_task task;
    const char **classes; /* names of a multiclass task's classes, label 0 first; NULL-terminated; NULL: none */
    int class_count;
    const char *target; /* label column */
    const char **columns; /* inputs: features and event columns; NULL-terminated */
    int column_count;
    const cJSON *preprocessing; /* steps for every candidate (models/prep.h); may be NULL */
    int64_t train_us, delay_us, test_us; /* default 7 days each */
    int card_k; /* default 100 */
    bool exclude_known; /* handbook protocol on the test days; default true for binary tasks; false for others */
    uint64_t seed;
    int threads;
    const weir_model_metric *metric; /* by which models are chosen; default roc_auc, f1_macro, rmse */
    bool has_validation;
    weir_split validation; /* folds of the training rows; without: weir_trainset_default_split */
    const cJSON *tuning; /* settings of a search; may be NULL */
    double baseline[WEIR_ENVIRONMENTS]; /* value of the metric that a version has to reach there; NaN: none */
    const char **slices; /* columns by whose values results are told apart; NULL-terminated; NULL: none */
    double max_training_s; /* 0: no limit */
    weir_threshold threshold; /* of a binary task */
    weir_candidate candidates[WEIR_CANDIDATES_MAX];
    int candidate_count;
    const char *champion, *challenger; /* candidates that first take the aliases; default first and second; challenger is NULL with one candidate */
} weir_recipe;

/** Reads pipeline->json's `training` and serving.threshold; strings are borrowed from it. Errors: WEIR_EINVAL with path. */
weir_status weir_recipe_load(const weir_pipeline *pipeline, weir_recipe *ret_recipe, weir_err *err) WEIR_MUST_CHECK;
/** The same of one of `training.use_cases`, or (NULL, or its name) of `training` itself. The target of a use case may be any number or boolean of the labels, or
 *  a text with the `classes` of a multiclass task. WEIR_EINVAL names the use cases that there are. */
weir_status weir_recipe_load_use_case(const weir_pipeline *pipeline, const char *use_case, weir_recipe *ret_recipe, weir_err *err) WEIR_MUST_CHECK;
void weir_recipe_done(weir_recipe *recipe);
/** The signature of a version: {"inputs": [{"name", "type"}], "task", "classes", "threshold"}. Serving reads task, classes and threshold from it. The caller deletes it; NULL: no memory. */
cJSON *weir_recipe_signature(const weir_recipe *recipe, double threshold) WEIR_MUST_CHECK;

#endif
