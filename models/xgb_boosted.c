/* Gradient-boosted trees for a probability: XGBoost's gbtree with the logistic loss.
 *
 * The defaults are those of a cautious first model on tens of thousands of rows with rare positives: shallow trees, a small learning rate, rows and columns sampled, and fine bins, because a
 * rule such as "amount over 220" is lost between coarse ones. */
#include <inttypes.h>

#include "models/algorithms.h"
#include "models/xgb_common.h"

typedef struct boosted_params {
    int64_t rounds, max_depth;
    double eta, min_child_weight, subsample, colsample_bytree, l2, gamma;
    int64_t max_bin;
} boosted_params;

#define AT(field) offsetof(boosted_params, field)
static const weir_conf_item params_table[] = {
    {.name = "rounds", .type = WEIR_CONF_INT, .offset = AT(rounds), .min = 1, .max = 10000, .fallback = "150", .doc = "trees"},
    {.name = "max_depth", .type = WEIR_CONF_INT, .offset = AT(max_depth), .min = 1, .max = 30, .fallback = "4", .doc = "levels of a tree"},
    {.name = "eta",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(eta),
     .min = 1e-4,
     .max = 1,
     .fallback = "0.1",
     .doc = "share of each tree that is kept: the learning rate"},
    {.name = "min_child_weight",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(min_child_weight),
     .min = 0,
     .max = 1e9,
     .fallback = "2",
     .doc = "least sum of p(1 - p) in a leaf"},
    {.name = "subsample",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(subsample),
     .min = 0.01,
     .max = 1,
     .fallback = "0.8",
     .doc = "share of the rows that a tree sees"},
    {.name = "colsample_bytree",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(colsample_bytree),
     .min = 0.01,
     .max = 1,
     .fallback = "0.8",
     .doc = "share of the columns that a tree sees"},
    {.name = "l2", .type = WEIR_CONF_NUMBER, .offset = AT(l2), .min = 0, .max = 1e9, .fallback = "1", .doc = "penalty on squared leaf values"},
    {.name = "gamma", .type = WEIR_CONF_NUMBER, .offset = AT(gamma), .min = 0, .max = 1e9, .fallback = "0", .doc = "least gain of a split"},
    {.name = "max_bin", .type = WEIR_CONF_INT, .offset = AT(max_bin), .min = 2, .max = 65536, .fallback = "1024", .doc = "thresholds tried a column"},
    {.name = NULL},
};

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    const boosted_params *p = object;
    weir_xgb_params params = {0};
    weir_xgb_put(&params, "objective", "binary:logistic");
    weir_xgb_put(&params, "base_score", "0.5"); /* what 1.7 takes by default, 2.x estimates from the data */
    weir_xgb_put(&params, "tree_method", "hist");
    weir_xgb_put(&params, "max_bin", "%" PRId64, p->max_bin);
    weir_xgb_put(&params, "max_depth", "%" PRId64, p->max_depth);
    weir_xgb_put(&params, "learning_rate", "%.9g", p->eta);
    weir_xgb_put(&params, "min_child_weight", "%.9g", p->min_child_weight);
    weir_xgb_put(&params, "subsample", "%.9g", p->subsample);
    weir_xgb_put(&params, "colsample_bytree", "%.9g", p->colsample_bytree);
    weir_xgb_put(&params, "reg_lambda", "%.9g", p->l2);
    weir_xgb_put(&params, "gamma", "%.9g", p->gamma);
    return weir_xgb_train(&params, (int)p->rounds, train, seed, threads, ret_body, err);
}

const weir_algorithm weir_algorithm_xgboost = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "xgboost",
    .doc = "Gradient-boosted trees with the logistic loss (XGBoost)",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY),
    .params = params_table,
    .params_size = sizeof(boosted_params),
    .fit = fit,
    .load = weir_xgb_load,
    .predict = weir_xgb_predict,
    .unload = weir_xgb_unload,
    .preprocessing = "values become float32; missing values go the way that each split learned",
};
