/* The `training` section of a pipeline file: window, columns, candidates. */
#ifndef WEIR_MODELS_RECIPE_H
#define WEIR_MODELS_RECIPE_H

#include "features/pipeline.h"

enum { WEIR_CANDIDATES_MAX = 32 };

typedef struct weir_candidate {
    const char *name; /* model name: "fraud-logistic" */
    const char *algorithm;
    const cJSON *params; /* may be NULL */
} weir_candidate;

typedef struct weir_recipe {
    const char *target; /* label column */
    const char **columns; /* inputs: features and event columns; NULL-terminated */
    int column_count;
    const cJSON *preprocessing; /* steps for every candidate (models/prep.h); may be NULL */
    int64_t train_us, delay_us, test_us; /* default 7 days each */
    int card_k; /* default 100 */
    bool exclude_known; /* handbook protocol on the test days; default true */
    uint64_t seed;
    int threads;
    weir_candidate candidates[WEIR_CANDIDATES_MAX];
    int candidate_count;
    const char *champion, *challenger; /* candidates that first take the aliases; default first and second; challenger is NULL with one candidate */
} weir_recipe;

/** Reads pipeline->json's `training`; strings are borrowed from it. Errors: WEIR_EINVAL with path. */
weir_status weir_recipe_load(const weir_pipeline *pipeline, weir_recipe *ret_recipe, weir_err *err) WEIR_MUST_CHECK;
void weir_recipe_done(weir_recipe *recipe);

#endif
