/* Gradient-boosted trees: XGBoost's gbtree.
 *
 * Objectives, by task: binary:logistic (logistic loss), multi:softprob (softmax loss; a tree a class and round); of a regression what `objective` says:
 *   squared_error   reg:squarederror, beginning at the mean label
 *   absolute_error  reg:absoluteerror, from the median: scores are medians
 *   huber           reg:pseudohubererror, d² (√(1 + (e/d)²) − 1) of an error e, from the median: squared for small errors, absolute for large ones
 *   quantile        the pinball loss, from that quantile of the labels; models/xgb_quantile.c
 *   poisson         count:poisson, tweedie reg:tweedie, gamma reg:gamma: deviances of counts and amounts, of e^margin, from the mean label
 * Weights multiply a row's loss.
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
    int objective; /* objective */
    double quantile, huber_slope, tweedie_power;
} boosted_params;

typedef enum objective {
    SQUARED_ERROR,
    ABSOLUTE_ERROR,
    HUBER,
    QUANTILE,
    POISSON,
    TWEEDIE,
    GAMMA,
} objective;
static const char *const objectives[] = {[SQUARED_ERROR] = "squared_error",
                                         [ABSOLUTE_ERROR] = "absolute_error",
                                         [HUBER] = "huber",
                                         [QUANTILE] = "quantile",
                                         [POISSON] = "poisson",
                                         [TWEEDIE] = "tweedie",
                                         [GAMMA] = "gamma",
                                         NULL};
static const char *const library_names[] = {
    [SQUARED_ERROR] = "reg:squarederror",
    [ABSOLUTE_ERROR] = "reg:absoluteerror",
    [HUBER] = "reg:pseudohubererror",
    [QUANTILE] = "reg:squarederror", /* what is done with a score, not how it is learnt */
    [POISSON] = "count:poisson",
    [TWEEDIE] = "reg:tweedie",
    [GAMMA] = "reg:gamma",
};
#define NO_QUANTILE 0.5 /* the parameters' defaults, with which they say nothing */
#define NO_SLOPE 1.0
#define NO_POWER 1.5

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
    {.name = "objective",
     .type = WEIR_CONF_ENUM,
     .offset = AT(objective),
     .choices = objectives,
     .fallback = "squared_error",
     .doc = "loss of a regression; poisson is of counts, tweedie of amounts that are often 0, gamma of amounts above 0"},
    {.name = "quantile",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(quantile),
     .min = 0.001,
     .max = 0.999,
     .fallback = "0.5",
     .doc = "share of labels below the score; of objective quantile only"},
    {.name = "huber_slope",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(huber_slope),
     .min = 1e-6,
     .max = 1e9,
     .fallback = "1",
     .doc = "error from which on the loss grows in a line, in units of the label; of objective huber only"},
    {.name = "tweedie_power",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(tweedie_power),
     .min = 1.001,
     .max = 1.999,
     .fallback = "1.5",
     .doc = "the variance is the mean to this power: near 1 Poisson, near 2 gamma; of objective tweedie only"},
    {.name = NULL},
};

/* A parameter that would say nothing is a mistake. */
static weir_status check_objective(const boosted_params *p, weir_task task, weir_err *err) {
    if (task != WEIR_TASK_REGRESSION && p->objective != SQUARED_ERROR)
        return WEIR_FAIL(err, WEIR_EINVAL, "objective is %s, expected none: a %s task has its own", objectives[p->objective], weir_task_name(task));
    if (p->quantile != NO_QUANTILE && p->objective != QUANTILE)
        return WEIR_FAIL(err, WEIR_EINVAL, "quantile is %g with objective %s, expected objective quantile", p->quantile, objectives[p->objective]);
    if (p->huber_slope != NO_SLOPE && p->objective != HUBER)
        return WEIR_FAIL(err, WEIR_EINVAL, "huber_slope is %g with objective %s, expected objective huber", p->huber_slope, objectives[p->objective]);
    if (p->tweedie_power != NO_POWER && p->objective != TWEEDIE)
        return WEIR_FAIL(err, WEIR_EINVAL, "tweedie_power is %g with objective %s, expected objective tweedie", p->tweedie_power, objectives[p->objective]);
    return WEIR_OK;
}

/* Counts and amounts: none below 0, of gamma none at 0, and not all 0, whose logarithm trees would begin at. */
static weir_status check_amounts(const boosted_params *p, const weir_matrix *train, weir_err *err) {
    bool any = false;
    if (p->objective != POISSON && p->objective != TWEEDIE && p->objective != GAMMA) return WEIR_OK;
    for (int64_t r = 0; r < train->row_count; r++) {
        double y = train->label[r];
        any = any || (y > 0 && (!train->weight || train->weight[r] > 0));
        if (y < 0 || (y == 0 && p->objective == GAMMA))
            return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a number %s 0: objective is %s", (long long)r, y,
                             p->objective == GAMMA ? "above" : "from", objectives[p->objective]);
    }
    return any ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "no label is above 0, expected some: objective is %s", objectives[p->objective]);
}

static void put_regression(weir_xgb_plan *plan, const boosted_params *p) {
    weir_xgb_put(&plan->params, "objective", "%s", library_names[p->objective]);
    if (p->objective == HUBER) weir_xgb_put(&plan->params, "huber_slope", "%.9g", p->huber_slope);
    if (p->objective == TWEEDIE) weir_xgb_put(&plan->params, "tweedie_variance_power", "%.9g", p->tweedie_power);
    if (p->objective == ABSOLUTE_ERROR || p->objective == HUBER) plan->begin = 0.5;
    if (p->objective == QUANTILE) plan->begin = plan->quantile = p->quantile;
}

static void put_objective(weir_xgb_plan *plan, const boosted_params *p, const weir_matrix *train) {
    weir_xgb_params *params = &plan->params;
    switch (train->task) {
    case WEIR_TASK_BINARY:
        weir_xgb_put(params, "objective", "binary:logistic");
        plan->base = 0.5; /* what 1.7 takes by default, 2.x estimates from the data */
        weir_xgb_put(params, "scale_pos_weight", "%.9g", p->scale_pos_weight);
        break;
    case WEIR_TASK_MULTICLASS:
        weir_xgb_put(params, "objective", "multi:softprob");
        plan->base = 0.5; /* of each class, so that it does not matter */
        weir_xgb_put(params, "num_class", "%d", train->class_count);
        break;
    case WEIR_TASK_REGRESSION: put_regression(plan, p); break;
    }
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    const boosted_params *p = object;
    if (train->task != WEIR_TASK_BINARY && p->scale_pos_weight != 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "scale_pos_weight is %g, expected 1: a %s task has no positive rows", p->scale_pos_weight,
                         weir_task_name(train->task));
    weir_status status = check_objective(p, train->task, err);
    if (status == WEIR_OK) status = check_amounts(p, train, err);
    if (status != WEIR_OK) return status;
    weir_xgb_plan plan = {.rounds = (int)p->rounds, .early_stopping_rounds = (int)p->early_stopping_rounds, .validation_share = p->validation_share};
    put_objective(&plan, p, train);
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
