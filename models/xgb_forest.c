/* A random forest on XGBoost: one round of parallel trees.
 *
 * With squared error, base score 0, learning rate 1 and no penalty the value of a leaf is the mean of its 0/1 labels, and the gain of a split is the decrease
 * of n·p(1 − p), which is the decrease of the Gini impurity: the estimator of Breiman's forest for two classes. What differs, and what the defaults do about
 * it:
 *   rows     a tree's rows are drawn without replacement. A bootstrap sample of n rows holds n(1 − 1/e) ≈ 0.632 n different ones on average, hence `subsample`.
 *   columns  where none of the drawn columns splits a node, it stays a leaf; other libraries go on drawing. A third of the columns, Breiman's choice for
 *            regression, leaves few such nodes (the square root where that is more).
 *   depth    trees grow until leaves are pure, as Breiman's do; `max_depth` only bounds them.
 *   bins     thresholds come from quantiles of a column; 4096 of them leave next to nothing of the difference to trying all, which takes several times as long.
 * Several classes: each has trees of its own that fit its 0/1 indicator; their shares, divided by their sum, are the probabilities. A regression's leaf is the
 * mean label of its rows (less the mean of all, which every score begins with).
 * Sources: Breiman, Random Forests, 2001; Liaw and Wiener, Classification and Regression by randomForest, 2002 (columns); Friedman and Hall, On bagging and
 * nonlinear estimation, 2007 (sampling without replacement). */
#include <inttypes.h>
#include <math.h>

#include "models/algorithms.h"
#include "models/xgb_common.h"

typedef struct forest_params {
    int64_t trees, max_depth;
    double min_child_weight, subsample, colsample_bynode;
    int64_t max_bin;
} forest_params;

#define AT(field) offsetof(forest_params, field)
static const weir_conf_item params_table[] = {
    {.name = "trees",
     .type = WEIR_CONF_INT,
     .offset = AT(trees),
     .min = 1,
     .max = 10000,
     .fallback = "100",
     .doc = "trees that are averaged, of several classes for each of them"},
    {.name = "max_depth", .type = WEIR_CONF_INT, .offset = AT(max_depth), .min = 1, .max = 100, .fallback = "50", .doc = "levels of a tree"},
    {.name = "min_child_weight",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(min_child_weight),
     .min = 1,
     .max = 1e9,
     .fallback = "1",
     .unit = "rows",
     .doc = "least rows in a leaf"},
    {.name = "subsample",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(subsample),
     .min = 0.01,
     .max = 1,
     .fallback = "0.632",
     .doc = "share of the rows that a tree sees, drawn without replacement"},
    {.name = "colsample_bynode",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(colsample_bynode),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .doc = "share of the columns tried at a split; 0: a third or the square root of their number, whichever is more"},
    {.name = "max_bin", .type = WEIR_CONF_INT, .offset = AT(max_bin), .min = 2, .max = 65536, .fallback = "4096", .doc = "thresholds tried a column"},
    {.name = NULL},
};

/* XGBoost rounds share × columns down; half a column more keeps float32 from losing one. */
static double columns_by_node(const forest_params *p, int column_count) {
    if (p->colsample_bynode > 0) return p->colsample_bynode;
    return fmin(1, (fmax(floor(sqrt(column_count)), ceil(column_count / 3.0)) + 0.5) / column_count);
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    const forest_params *p = object;
    weir_xgb_plan plan = {.rounds = 1, .one_target_a_class = train->task == WEIR_TASK_MULTICLASS};
    weir_xgb_put(&plan.params, "objective", "reg:squarederror");
    if (train->task != WEIR_TASK_REGRESSION) weir_xgb_put(&plan.params, "base_score", "0");
    weir_xgb_put(&plan.params, "learning_rate", "1");
    weir_xgb_put(&plan.params, "reg_lambda", "0");
    weir_xgb_put(&plan.params, "tree_method", "hist");
    weir_xgb_put(&plan.params, "max_bin", "%" PRId64, p->max_bin);
    weir_xgb_put(&plan.params, "num_parallel_tree", "%" PRId64, p->trees);
    weir_xgb_put(&plan.params, "max_depth", "%" PRId64, p->max_depth);
    weir_xgb_put(&plan.params, "min_child_weight", "%.9g", p->min_child_weight);
    weir_xgb_put(&plan.params, "subsample", "%.9g", p->subsample);
    weir_xgb_put(&plan.params, "colsample_bynode", "%.9g", columns_by_node(p, train->column_count));
    return weir_xgb_train(&plan, train, seed, threads, ret_body, err);
}

const weir_algorithm weir_algorithm_forest = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "random_forest",
    .doc = "Random forest: parallel trees on samples of rows and columns (XGBoost)",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table,
    .params_size = sizeof(forest_params),
    .fit = fit,
    .load = weir_xgb_load,
    .predict = weir_xgb_predict,
    .unload = weir_xgb_unload,
    .preprocessing = "values become float32; missing values go the way that each split learned",
};
