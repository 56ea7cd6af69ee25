/* What there is to say about models that were judged on rows they had not seen: one JSON document, which is the report, and what its page is made of. */
#ifndef WEIR_MODELS_ASSESSMENT_H
#define WEIR_MODELS_ASSESSMENT_H

#include "models/automl.h"
#include "models/backtest.h"

enum { WEIR_ASSESSED_MAX = 64 };

/* One contender of the report. */
typedef struct weir_assessed {
    const char *name;
    int version; /* 0: not registered */
    const cJSON *spec;
    weir_model *model; /* fitted on `train` */
    const weir_crossval *validation; /* its folds on `train`, with a score for each of its rows; may be NULL */
    bool decides; /* binary: it has a threshold of its own; else that of the assessment */
    double threshold; /* what its versions decide by */
    const char *threshold_how; /* how that was found, for people; NULL: "given" */
} weir_assessed;

typedef struct weir_assessment {
    const char *title; /* "traffic: volume one hour ahead" */
    const weir_trainset *train, *test;
    const weir_assessed *models; /* [model_count], the chosen one first */
    int model_count;
    const weir_model_metric *metric; /* by which they were chosen */
    double threshold; /* binary, of models that have none of their own; NaN: the one that costs least by the two costs below */
    double cost_false_positive, cost_false_negative; /* 1 and 1 when 0 */
    double interval_level; /* of prediction intervals; 0: 0.9. Intervals of metrics are at 95 % */
    const char *const *slices; /* columns whose values make slices; NULL-terminated; NULL: none but tenants */
    bool learning_curve; /* fits the chosen spec on 10, 20, 40, 70 and 100 % of train */
    bool permutation; /* importance by permutation on test, beside gain */
    bool market; /* scores are what a market's positions are taken by: adds "backtest" over test_returns, with the test rows' times and entities as symbols */
    const double *test_returns; /* [test rows] simple return of the period that the label is about; NaN: not known */
    weir_backtest_rule rule; /* all 0: long above 0.5, else out; 5 basis points of costs and 5 of slippage */
    const weir_leaderboard *board; /* may be NULL */
    const cJSON *run; /* {"id", "pipeline", "started_at", "seconds", "steps": […], "seed", "code_version", …}; copied; may be NULL */
    int64_t k; /* of precision@k; 0: 100 */
    uint64_t seed;
    int threads; /* 0: 1 */
    const _Atomic bool *cancel; /* may be NULL; once true: WEIR_ETIMEOUT, RETRY, before the next section */
} weir_assessment;

/** What metrics.h, curves.h, residuals.h, significance.h, conformal.h, explain.h and backtest.h have to say about the models on the test rows, as far as it
 *  fits the task, in the layout
 *  that docs/evaluation.md describes. Weights of rows are not looked at. A part for which there is too little (one class, few rows, no times) is {"none": why}.
 *  Errors: those of predictions and metrics, with the model's name. The caller deletes *ret_json. */
weir_status weir_assess(const weir_assessment *assessment, cJSON **ret_json, weir_err *err) WEIR_MUST_CHECK;

/** One self-contained page from such a document: no script, no request, light and dark, prints well. Errors: WEIR_EDATA naming what the document lacks. */
weir_status weir_assessment_page(const cJSON *json, weir_buf *ret_html, weir_err *err) WEIR_MUST_CHECK;

#endif
