/* Gradient-boosted trees: XGBoost's gbtree.
 *
 * Objectives, by task: binary:logistic (logistic loss), multi:softprob (softmax loss; a tree a class and round), reg:squarederror (squared error, beginning at
 * the mean label). Weights multiply a row's loss.
 *
 * With early_stopping_rounds the last validation_share of the rows, which come in the order of time, is held out; training ends when its loss has not become
 * less for so many rounds, and the trees up to the round with the least are kept. The held-out rows are not fitted afterwards.
 *
 * Source: Chen and Guestrin, XGBoost: a scalable tree boosting system, 2016, 2.1–2.3.
 *
 * The defaults are those of a cautious first model on tens of thousands of rows with rare positives: shallow trees, a small learning rate, rows and columns
 * sampled, and fine bins, because a rule such as "amount over 220" is lost between coarse ones. */
#include <inttypes.h>

#include "models/algorithms.h"
#include "models/xgb_common.h"

typedef struct boosted_params {
    int64_t rounds, max_depth;
    double eta, min_child_weight, subsample, colsample_bytree, l2, gamma;
    int64_t max_bin;
    double scale_pos_weight;
    int64_t early_stopping_rounds;
    double validation_share;
} boosted_params;

#define AT(field) offsetof(boosted_params, field)
static const weir_conf_item params_table[] = {
    {.name = "rounds",
     .type = WEIR_CONF_INT,
     .offset = AT(rounds),
     .min = 1,
     .max = 10000,
     .fallback = "150",
     .doc = "trees, of several classes for each of them"},
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
     .doc = "least sum of second derivatives in a leaf: p(1 - p) a row, of a regression 1"},
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
    {.name = "scale_pos_weight",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(scale_pos_weight),
     .min = 1e-6,
     .max = 1e6,
     .fallback = "1",
     .doc = "what a positive row weighs more than a negative one; of binary tasks only"},
    {.name = "early_stopping_rounds",
     .type = WEIR_CONF_INT,
     .offset = AT(early_stopping_rounds),
     .min = 0,
     .max = 10000,
     .fallback = "0",
     .doc = "rounds without a lower loss of the held-out rows after which training ends; 0: none are held out"},
    {.name = "validation_share",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(validation_share),
     .min = 0.01,
     .max = 0.9,
     .fallback = "0.1",
     .doc = "share of the rows, the last of them, held out for early stopping"},
    {.name = NULL},
};

static void put_objective(weir_xgb_params *params, const boosted_params *p, const weir_matrix *train) {
    switch (train->task) {
    case WEIR_TASK_BINARY:
        weir_xgb_put(params, "objective", "binary:logistic");
        weir_xgb_put(params, "base_score", "0.5"); /* what 1.7 takes by default, 2.x estimates from the data */
        weir_xgb_put(params, "scale_pos_weight", "%.9g", p->scale_pos_weight);
        break;
    case WEIR_TASK_MULTICLASS:
        weir_xgb_put(params, "objective", "multi:softprob");
        weir_xgb_put(params, "base_score", "0.5"); /* of each class, so that it does not matter */
        weir_xgb_put(params, "num_class", "%d", train->class_count);
        break;
    case WEIR_TASK_REGRESSION: weir_xgb_put(params, "objective", "reg:squarederror"); break;
    }
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    const boosted_params *p = object;
    if (train->task != WEIR_TASK_BINARY && p->scale_pos_weight != 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "scale_pos_weight is %g, expected 1: a %s task has no positive rows", p->scale_pos_weight,
                         weir_task_name(train->task));
    weir_xgb_plan plan = {.rounds = (int)p->rounds, .early_stopping_rounds = (int)p->early_stopping_rounds, .validation_share = p->validation_share};
    put_objective(&plan.params, p, train);
    weir_xgb_put(&plan.params, "tree_method", "hist");
    weir_xgb_put(&plan.params, "max_bin", "%" PRId64, p->max_bin);
    weir_xgb_put(&plan.params, "max_depth", "%" PRId64, p->max_depth);
    weir_xgb_put(&plan.params, "learning_rate", "%.9g", p->eta);
    weir_xgb_put(&plan.params, "min_child_weight", "%.9g", p->min_child_weight);
    weir_xgb_put(&plan.params, "subsample", "%.9g", p->subsample);
    weir_xgb_put(&plan.params, "colsample_bytree", "%.9g", p->colsample_bytree);
    weir_xgb_put(&plan.params, "reg_lambda", "%.9g", p->l2);
    weir_xgb_put(&plan.params, "gamma", "%.9g", p->gamma);
    return weir_xgb_train(&plan, train, seed, threads, ret_body, err);
}

const weir_algorithm weir_algorithm_xgboost = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "xgboost",
    .doc = "Gradient-boosted trees (XGBoost)",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table,
    .params_size = sizeof(boosted_params),
    .fit = fit,
    .load = weir_xgb_load,
    .predict = weir_xgb_predict,
    .unload = weir_xgb_unload,
    .preprocessing = "values become float32; missing values go the way that each split learned",
};
