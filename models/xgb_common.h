/* What the two algorithms on XGBoost share: training to a buffer, loading, scoring. */
#ifndef WEIR_MODELS_XGB_COMMON_H
#define WEIR_MODELS_XGB_COMMON_H

#include "models/model.h"

/* One XGBoost parameter; see weir_xgb_put. */
typedef struct weir_xgb_param {
    const char *name;
    char value[32];
} weir_xgb_param;

enum { WEIR_XGB_PARAMS_MAX = 32 };
typedef struct weir_xgb_params {
    weir_xgb_param items[WEIR_XGB_PARAMS_MAX];
    int count;
} weir_xgb_params;

void weir_xgb_put(weir_xgb_params *params, const char *name, const char *format, ...) WEIR_PRINTF(3, 4);

/** Trains `rounds` rounds and appends the model in XGBoost's UBJSON to *ret_body. Values become float32; finite ones beyond its range become its largest.
 *  A library failure is WEIR_EINTERNAL with the library's message. */
weir_status weir_xgb_train(const weir_xgb_params *params, int rounds, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body,
                           weir_err *err) WEIR_MUST_CHECK;

/* load, predict and unload of weir_algorithm. Scores are clamped to [0, 1]. */
weir_status weir_xgb_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_xgb_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) WEIR_MUST_CHECK;
void weir_xgb_unload(void *predictor);

#endif
