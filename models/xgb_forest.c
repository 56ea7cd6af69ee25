/* A random forest on XGBoost: rounds of one tree, of several classes one for each of them, that all fit the same gradients.
 *
 * With squared error, base score 0 and no penalty the value of a leaf, before it is multiplied by the learning rate, is the mean of its 0/1 labels, and the gain
 * of a split is the decrease of n·p(1 − p), which is the decrease of the Gini impurity: the estimator of Breiman's forest for two classes. The learning rate
 * 1/trees makes the sum of the trees their mean. The library can grow a forest in one round too (num_parallel_tree), with the same trees, but nothing can stop
 * such a round: of deep trees on many rows it takes minutes.
 *
 * What differs, and what the defaults do about it:
 *   rows     a tree's rows are drawn without replacement. A bootstrap sample of n rows holds n(1 − 1/e) ≈ 0.632 n different ones on average, hence `subsample`.
 *   columns  where none of the drawn columns splits a node, it stays a leaf; other libraries go on drawing. A third of the columns, Breiman's choice for
 *            regression, leaves few such nodes (the square root where that is more).
 *   depth    trees grow until leaves are pure, as Breiman's do; `max_depth` only bounds them.
 *   bins     thresholds come from quantiles of a column; 4096 of them leave next to nothing of the difference to trying all, which takes several times as long.
 *            The library keeps a histogram of every node of a tree until the tree is done: of tens of thousands of rows, pure leaves and so many bins that was
 *            20 GB. Where they would take more than HISTOGRAM_BYTES_MAX there are fewer bins, though not fewer than BINS_MIN.
 * Several classes: each has trees of its own that fit its 0/1 indicator; their shares, divided by their sum, are the probabilities. A regression's leaf is the
 * mean label of its rows (less the mean of all, which every score begins with).
 * Sources: Breiman, Random Forests, 2001; Liaw and Wiener, Classification and Regression by randomForest, 2002 (columns); Friedman and Hall, On bagging and
 * nonlinear estimation, 2007 (sampling without replacement). */
#include <inttypes.h>
#include <math.h>

#include "models/algorithms.h"
#include "models/xgb_common.h"

#define HISTOGRAM_BYTES_MAX 4e9
enum { BINS_MIN = 256, BIN_BYTES = 16, LEAVES_A_RARE_ROW = 3 };

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
    {.name = "max_bin",
     .type = WEIR_CONF_INT,
     .offset = AT(max_bin),
     .min = 2,
     .max = 65536,
     .fallback = "4096",
     .doc = "thresholds tried a column; fewer, but 256, where histograms of the nodes of a tree would take more than 4 GB"},
    {.name = NULL},
};

/* XGBoost rounds share × columns down; half a column more keeps float32 from losing one. */
static double columns_by_node(const forest_params *p, int column_count) {
    if (p->colsample_bynode > 0) return p->colsample_bynode;
    return fmin(1, (fmax(floor(sqrt(column_count)), ceil(column_count / 3.0)) + 0.5) / column_count);
}

/* Rows of a class or of all others, whichever are fewer; of the class where that is most. */
static double rarer_rows(const weir_matrix *train) {
    int64_t most = 0;
    for (int k = 0; k < (train->task == WEIR_TASK_MULTICLASS ? train->class_count : 1); k++) {
        int64_t count = 0;
        for (int64_t r = 0; r < train->row_count; r++) count += train->label[r] == k;
        int64_t fewer = count < train->row_count - count ? count : train->row_count - count;
        if (fewer > most) most = fewer;
    }
    return (double)most;
}

/* About the most leaves of a tree. No more than it has rows, than leaves of the least weight where rows weigh 1 each, and than its depth has room for; and where it
 * tells one class from the others, LEAVES_A_RARE_ROW for each of the rarer ones, because a leaf of one class is not split (measured: 0.4 to 2.3). */
static double leaves(const forest_params *p, const weir_matrix *train) {
    double rarest = (double)train->row_count;
    if (train->task != WEIR_TASK_REGRESSION) rarest = LEAVES_A_RARE_ROW * rarer_rows(train);
    double rows = ceil(p->subsample * (double)train->row_count), rare = ceil(p->subsample * rarest);
    return fmax(1, fmin(fmin(rows, rare), fmin(exp2((double)p->max_depth), train->weight ? rows : rows / p->min_child_weight)));
}

static int64_t bins(const forest_params *p, const weir_matrix *train) {
    double fit = HISTOGRAM_BYTES_MAX / (BIN_BYTES * 2 * leaves(p, train) * train->column_count);
    return (int64_t)fmin((double)p->max_bin, fmax(BINS_MIN, floor(fit)));
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    const forest_params *p = object;
    weir_xgb_plan plan = {.rounds = (int)p->trees, .one_target_a_class = train->task == WEIR_TASK_MULTICLASS, .forest = true};
    weir_xgb_put(&plan.params, "objective", "reg:squarederror");
    weir_xgb_put(&plan.params, "learning_rate", "%.9g", 1.0 / (double)p->trees);
    weir_xgb_put(&plan.params, "reg_lambda", "0");
    weir_xgb_put(&plan.params, "tree_method", "hist");
    weir_xgb_put(&plan.params, "max_bin", "%" PRId64, bins(p, train));
    weir_xgb_put(&plan.params, "max_depth", "%" PRId64, p->max_depth);
    weir_xgb_put(&plan.params, "min_child_weight", "%.9g", p->min_child_weight);
    weir_xgb_put(&plan.params, "subsample", "%.9g", p->subsample);
    weir_xgb_put(&plan.params, "colsample_bynode", "%.9g", columns_by_node(p, train->column_count));
    return weir_xgb_train(&plan, train, seed, threads, ret_body, err);
}

const weir_algorithm weir_algorithm_forest = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "random_forest",
    .doc = "Random forest: trees on samples of rows and columns (XGBoost)",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table,
    .params_size = sizeof(forest_params),
    .fit = fit,
    .load = weir_xgb_load,
    .predict = weir_xgb_predict,
    .unload = weir_xgb_unload,
    .preprocessing = "values become float32; missing values go the way that each split learned",
};
