/* The "models" section of a training file: models and hyperparameters under the names that scikit-learn and XGBoost give them, and what each becomes here. */
#ifndef WEIR_MODELS_TRAINING_MODELS_H
#define WEIR_MODELS_TRAINING_MODELS_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "core/err.h"
#include "models/model.h"

enum { WEIR_TRAINING_MODELS_MAX = 32 };

typedef struct weir_training_candidate {
    char *name; /* as the file calls it: "random_forest" */
    const weir_algorithm *algorithm;
    cJSON *params; /* of the algorithm */
    cJSON *grid; /* {"trees": [50, 100, 200]}: a space of models/space.h; NULL: nothing is searched */
    bool seeded; /* random_state was there */
    uint64_t seed;
} weir_training_candidate;

typedef struct weir_training_models {
    weir_training_candidate items[WEIR_TRAINING_MODELS_MAX]; /* the enabled ones */
    int count;
} weir_training_models;

/** Reads {"random_forest": {"enabled": true, "hyperparameters": {…}, "hyperparameter_tuning": true, "hyperparameter_grid": {"max_depth": [5, null]}}, …}.
 *  What a file does not say is the default of the library that the name comes from. notes is an array to which sentences are added about what has no effect
 *  here.
 *  Errors: WEIR_EINVAL with the path: an unknown model or parameter (with the nearest), a value that the algorithm does not take, a parameter that nothing
 *  here stands for. */
weir_status weir_training_models_read(const cJSON *section, const char *path, cJSON *notes, weir_training_models *ret_models, weir_err *err) WEIR_MUST_CHECK;
void weir_training_models_done(weir_training_models *models);

/** Replaces what depends on the number of columns: "sqrt" and "log2" of max_features, "auto" of gamma. params is changed. */
weir_status weir_training_params_settle(cJSON *params, int column_count, weir_err *err) WEIR_MUST_CHECK;

/** A Markdown table of models and parameters and what they become, for docs. */
weir_status weir_training_models_markdown(weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
