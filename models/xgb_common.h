/* What the two algorithms on XGBoost share: training to a buffer, loading, scoring. */
#ifndef WEIR_MODELS_XGB_COMMON_H
#define WEIR_MODELS_XGB_COMMON_H

#include <float.h>

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

/* How a model is trained. */
typedef struct weir_xgb_plan {
    /* All but base_score: of a regression it is the mean label of the rows that are fitted, or the quantile `begin` of them; of others `base`. */
    weir_xgb_params params;
    double base;
    double begin; /* 0: the mean */
    double quantile; /* of a regression: the quantile that is learnt (models/xgb_quantile.c), not the objective of params; 0: none */
    int rounds;
    int early_stopping_rounds; /* rounds without a better score of the held-out rows after which training ends; 0: no rows are held out */
    double validation_share; /* of the rows, the last of them, that are held out */
    bool one_target_a_class; /* the labels are class_count indicators, and a tree of each class fits one of them */
    bool forest; /* every round fits the errors of base_score, not what the rounds before left: scores are sums of trees that know nothing of each other */
} weir_xgb_plan;

/** Trains, looking at models/interrupt.h before every round, and appends the model in XGBoost's UBJSON to *ret_body; after early stopping it holds the trees up to the best round only. Values and labels become
 *  float32; finite values beyond its range become its largest, such labels are WEIR_ENUMERIC. WEIR_EDATA when nothing is left to fit or to measure by. A
 *  library failure is WEIR_EINTERNAL with the library's message. */
weir_status weir_xgb_train(const weir_xgb_plan *plan, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;

/** The `quantile` of the labels of rows [from, to), each weighing what it weighs: the least label with at least that share of the weight at or below it. */
weir_status weir_xgb_label_quantile(const weir_matrix *train, int64_t from, int64_t to, double quantile, double *ret_value, weir_err *err) WEIR_MUST_CHECK;
/** A round of boosting towards a quantile: gradients and second derivatives [to − from] of rows [from, to) at their predictions `score`. Sums of squares of nothing are none: labels that are
 *  met exactly pull nowhere. */
weir_status weir_xgb_quantile_gradients(const weir_matrix *train, int64_t from, int64_t to, double quantile, const float *score, float *gradient, float *second,
                                        weir_err *err) WEIR_MUST_CHECK;
/** Mean pinball loss of rows [from, to). */
double weir_xgb_quantile_loss(const weir_matrix *train, int64_t from, int64_t to, double quantile, const float *score);

/* The one place where values become float32, for training and scoring alike. XGBoost refuses infinity, so what float32 cannot hold becomes its largest number:
 * on the same side of every threshold. */
static inline float weir_xgb_narrow(double value) {
    if (value > FLT_MAX) return FLT_MAX;
    if (value < -FLT_MAX) return -FLT_MAX;
    return (float)value;
}

/* load, predict and unload of weir_algorithm. Probabilities are clamped to [0, 1], those of several classes made to sum to 1. */
weir_status weir_xgb_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_xgb_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) WEIR_MUST_CHECK;
void weir_xgb_unload(void *predictor);

#endif
