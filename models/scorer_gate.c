#include "models/scorer_gate.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/hoeffding.h"
#include "models/lightgbm.h"
#include "models/memory.h"
#include "models/model_parts.h"
#include "models/random.h"
#include "models/scorer/internal.h"

enum { BLOCK = 512, TRIES = 4 /* values at a split */ };

/* One model of the whole, and where rows of it are gathered. */
typedef struct gate {
    weir_model *model;
    const weirscore *scorer; /* of the whole */
    const score_model *compiled; /* this model's part of it */
    bool fitted; /* rows are those behind the preprocessing: they go to the algorithm as they are */
    size_t columns, outputs, count; /* of the rows that wait */
    double *rows; /* [BLOCK][columns] */
    double *library, *own; /* [BLOCK][outputs] each */
} gate;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to compare compiled scores");
}

static void gate_done(gate *g) {
    weir_models_free(g->rows);
    weir_models_free(g->library);
    weir_models_free(g->own);
}

static weir_status gate_init(gate *g, weir_model *model, const weirscore *scorer, const score_model *compiled, bool fitted, weir_err *err) {
    *g = (gate){.model = model, .scorer = scorer, .compiled = compiled, .fitted = fitted};
    g->columns = fitted ? compiled->fitted_count : compiled->input_count;
    g->outputs = compiled->output_count;
    g->rows = weir_models_calloc(BLOCK * g->columns, sizeof *g->rows);
    g->library = weir_models_calloc(BLOCK * g->outputs, sizeof *g->library);
    g->own = weir_models_calloc(BLOCK * g->outputs, sizeof *g->own);
    if (g->rows && g->library && g->own) return WEIR_OK;
    gate_done(g);
    return no_memory(err);
}

/* ---- comparing ---- */

static weir_status by_library(const gate *g, const double *rows, size_t n, weir_err *err) {
    if (!g->fitted) return weir_model_predict_by_library(g->model, rows, (int64_t)n, g->library, err);
    weir_model_parts parts = weir_model_inside(g->model);
    void *predictor = NULL;
    weir_status status = weir_model_predictor(g->model, &predictor, err);
    return status ? status : parts.algorithm->predict(predictor, rows, (int64_t)n, &parts.fitted, g->library, err);
}

static void by_scorer(const gate *g, const double *rows, size_t n, double *out) {
    if (g->fitted)
        score_fitted_rows(g->scorer, g->compiled, rows, n, out);
    else
        score_model_rows(g->scorer, g->compiled, rows, n, out);
}

/* The columns of a row as far as a message has room for them. */
static void describe_row(const gate *g, size_t row, char *text, size_t size) {
    size_t used = 0;
    for (size_t c = 0; c < g->columns && used + 32 < size; c++)
        used += (size_t)snprintf(text + used, size - used, "%s%.17g", c ? ", " : "", g->rows[row * g->columns + c]);
}

static weir_status refuse(const gate *g, size_t row, size_t output, double own, const char *how, weir_err *err) {
    char text[256];
    describe_row(g, row, text, sizeof text);
    return WEIR_FAIL(err, WEIR_EDATA, "the compiled model gives %.17g for a row, %s, where %s itself gives %.17g: it is not used. The row: %s", own, how,
                     weir_model_algorithm(g->model), g->library[row * g->outputs + output], text);
}

static weir_status compare(const gate *g, size_t from, size_t n, const char *how, weir_err *err) {
    for (size_t i = 0; i < n * g->outputs; i++) {
        size_t at = from * g->outputs + i;
        if (memcmp(&g->own[at], &g->library[at], sizeof *g->own) != 0) return refuse(g, from + i / g->outputs, i % g->outputs, g->own[at], how, err);
    }
    return WEIR_OK;
}

/* Rows alone, a few at a time and all together take different ways through a compiled model. A score that is not finite is one that neither gives. */
static weir_status flush(gate *g, weir_err *err) {
    static const size_t sizes[] = {BLOCK, 1, 11};
    static const char *const hows[] = {"among others", "alone", "among a few"};
    size_t n = g->count;
    g->count = 0;
    if (!n) return WEIR_OK;
    weir_status status = by_library(g, g->rows, n, err);
    for (size_t s = 0; !status && s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t from = 0; from < n; from += sizes[s])
            by_scorer(g, g->rows + from * g->columns, n - from < sizes[s] ? n - from : sizes[s], g->own + from * g->outputs);
        status = compare(g, 0, n, hows[s], err);
    }
    return status;
}

/* How many of `most` are tried: fewer where there are thousands of trees, so that a gate takes seconds whatever the model. */
static int64_t affordable(const weirscore *scorer, int64_t most) {
    int64_t trees = 0, fit;
    for (uint32_t i = 0; i < scorer->head->model_count; i++) trees += (int64_t)scorer->models[i].trees.count;
    fit = most * WEIR_GATE_TREES / (trees > WEIR_GATE_TREES ? trees : WEIR_GATE_TREES);
    return fit > most / 20 ? fit : most / 20;
}

/* Room for the next row. */
static weir_status next_row(gate *g, double **ret_row, weir_err *err) {
    weir_status status = g->count == BLOCK ? flush(g, err) : WEIR_OK;
    *ret_row = g->rows + g->count * g->columns;
    g->count += !status;
    return status;
}

/* ---- rows ---- */

static double uniform(uint64_t *random) {
    return (double)(weir_models_random(random) >> 11) * 0x1p-53;
}

static weir_status training_rows(gate *g, const double *rows, int64_t row_count, int64_t *ret_count, weir_err *err) {
    int64_t most = affordable(g->scorer, WEIR_GATE_ROWS_MAX), n = row_count < most ? row_count : most;
    weir_status status = WEIR_OK;
    for (int64_t i = 0; !status && i < n; i++) {
        double *row;
        status = next_row(g, &row, err);
        if (!status) memcpy(row, rows + (int64_t)((double)i / (double)n * (double)row_count) * (int64_t)g->columns, g->columns * sizeof *row);
    }
    *ret_count = n;
    return status ? status : flush(g, err);
}

/* Now and then what nobody expects; else near a value of the column, if there are any rows, or anything of any size. */
static double random_value(uint64_t *random, const double *rows, int64_t row_count, size_t columns, size_t column) {
    static const double odd[] = {0, -0.0, 1, -1, NAN, NAN, DBL_MAX, -DBL_MAX, FLT_MAX, -FLT_MAX, 3.5e38, -3.5e38, 1e-310, -1e-310, 1e-40, FLT_MIN};
    double kind = uniform(random), x = uniform(random);
    if (kind < 0.2) return odd[(size_t)(x * (sizeof odd / sizeof *odd))];
    if (kind < 0.3 || !row_count) return ldexp(2 * x - 1, (int)(uniform(random) * 80) - 40);
    double value = rows[(int64_t)(x * (double)row_count) * (int64_t)columns + (int64_t)column];
    return kind < 0.8 ? value : value * (0.5 + uniform(random));
}

/* Rows whose score is not finite (a linear form of the largest numbers) are none that can be compared. */
static bool scores_are_finite(const gate *g, const double *row) {
    double scores[SCORE_OUTPUTS_MAX];
    bool finite = true;
    by_scorer(g, row, 1, scores);
    for (size_t k = 0; k < g->outputs; k++) finite = finite && isfinite(scores[k]);
    return finite;
}

static weir_status random_rows(gate *g, const double *rows, int64_t row_count, int64_t *ret_count, weir_err *err) {
    uint64_t random = 17;
    weir_status status = WEIR_OK;
    int64_t n = 0;
    for (int i = 0; !status && i < WEIR_GATE_RANDOM_ROWS; i++) {
        double *row;
        if ((status = next_row(g, &row, err))) break;
        for (size_t c = 0; c < g->columns; c++) row[c] = random_value(&random, rows, row_count, g->columns, c);
        if (scores_are_finite(g, row))
            n++;
        else
            g->count--;
    }
    *ret_count = n;
    return status ? status : flush(g, err);
}

/* ---- thresholds ---- */

static float neighbour(float threshold, int which) {
    return which == 0 ? nextafterf(threshold, -FLT_MAX) : which == 1 ? threshold : nextafterf(threshold, FLT_MAX);
}

static double wide_neighbour(double threshold, int which) {
    return which == 0 ? nextafter(threshold, -DBL_MAX) : which == 1 ? threshold : nextafter(threshold, DBL_MAX);
}

/* Those of column c are [first[c], first[c + 1]) of either float32 or float64. */
typedef struct edges {
    const size_t *first; /* [columns + 1] */
    const float *narrow;
    const double *wide; /* NULL: narrow */
} edges;

static double edge_at(const edges *e, size_t at, int which) {
    return e->wide ? wide_neighbour(e->wide[at], which) : (double)neighbour(e->narrow[at], which);
}

/* In row i every column is at its i-th threshold, or at a random one when it has fewer. */
static weir_status every_threshold(gate *g, const edges *e, int64_t *count, weir_err *err) {
    uint64_t random = 29;
    size_t most = 0;
    weir_status status = WEIR_OK;
    for (size_t c = 0; c < g->columns; c++)
        if (e->first[c + 1] - e->first[c] > most) most = e->first[c + 1] - e->first[c];
    for (size_t i = 0; !status && i < 3 * most; i++) {
        double *row;
        if ((status = next_row(g, &row, err))) break;
        for (size_t c = 0; c < g->columns; c++) {
            size_t own = e->first[c + 1] - e->first[c], at = i / 3 < own ? i / 3 : (size_t)(uniform(&random) * (double)own);
            row[c] = own ? edge_at(e, e->first[c] + at, (int)(i % 3)) : 0;
        }
    }
    *count += (int64_t)e->first[g->columns];
    return status;
}

/* The number above the largest category that each column's sets know; 0: it has no sets. */
static void category_ends(const weir_trees *trees, uint32_t *ends) {
    for (int t = 0; t < trees->tree_count; t++) {
        for (int i = 0; i < trees->trees[t].node_count; i++) {
            const weir_tree_node *n = &trees->trees[t].nodes[i];
            if (n->set && 32 * n->set->word_count > ends[n->column]) ends[n->column] = 32 * n->set->word_count;
        }
    }
}

/* In row i every column of categories is at its i-th, in the last one beyond all; the others are random. Of many categories not all. */
static weir_status every_category(gate *g, const weir_trees *trees, weir_err *err) {
    uint64_t random = 41;
    uint32_t *ends = weir_models_calloc(g->columns, sizeof *ends), most = 0;
    if (!ends) return no_memory(err);
    category_ends(trees, ends);
    for (size_t c = 0; c < g->columns; c++) most = ends[c] > most ? ends[c] : most;
    uint32_t step = most / (uint32_t)affordable(g->scorer, WEIR_GATE_ROWS_MAX) + 1;
    weir_status status = WEIR_OK;
    for (uint32_t i = 0; !status && most && i <= most; i += step) {
        double *row;
        if ((status = next_row(g, &row, err))) break;
        for (size_t c = 0; c < g->columns; c++)
            row[c] = !ends[c] ? random_value(&random, NULL, 0, g->columns, c) : i <= ends[c] ? i : floor(uniform(&random) * ends[c]);
    }
    weir_models_free(ends);
    return status;
}

/* The way to a node: values [low, high) of each column lead there that also take the sides of the splits by sets. */
typedef struct way {
    float *low, *high; /* [columns] */
    const weir_tree_node *sets[WEIR_TREES_DEPTH_MAX];
    bool right[WEIR_TREES_DEPTH_MAX];
    int set_count;
    uint64_t random;
    int64_t every, seen, *count; /* of the splits that are met each `every`-th is tried */
} way;

static bool is_on_way(const way *w, size_t column, double x) {
    bool on_way = isnan(x) ? w->low[column] == -FLT_MAX && w->high[column] == FLT_MAX : x >= (double)w->low[column] && x < (double)w->high[column];
    for (int i = 0; on_way && i < w->set_count; i++)
        if ((size_t)w->sets[i]->column == column) on_way = (weir_tree_child(w->sets[i], (float)x) == w->sets[i]->right) == w->right[i];
    return on_way;
}

/* A category that leads on, of those that the sets on the way know and the first ones; -1, which all sets have on their left, where there is none. */
static double category_on_way(const way *w, size_t column) {
    for (int i = 0; i < w->set_count; i++) {
        const weir_tree_set *set = w->sets[i]->set;
        for (uint32_t c = 0; (size_t)w->sets[i]->column == column && c < 32 * set->word_count; c++) {
            if (set->words[c / 32] == 0) c |= 31;
            if (is_on_way(w, column, c)) return c;
        }
    }
    return -1;
}

static double value_on_way(way *w, size_t column) {
    float low = w->low[column], high = w->high[column];
    for (int i = 0; i < w->set_count; i++)
        if ((size_t)w->sets[i]->column == column) return category_on_way(w, column);
    if (low == -FLT_MAX && high == FLT_MAX) return uniform(&w->random) < 0.1 ? NAN : 2 * uniform(&w->random) - 1;
    if (low == -FLT_MAX) return (double)nextafterf(high, -FLT_MAX);
    return (double)low; /* the least that is not below the threshold */
}

/* tried [TRIES]; of a set a category that is in it and one that is not, found at random, and what is none. */
static void values_at_split(way *w, const weir_tree_node *split, double *tried) {
    for (int k = 0; k < TRIES; k++) tried[k] = k == 3 ? NAN : (double)neighbour(split->value, k);
    if (!split->set) return;
    double end = 32.0 * split->set->word_count;
    tried[0] = tried[1] = floor(uniform(&w->random) * (end + 1));
    for (int k = 0; k < 64 && weir_tree_in_set(split->set, (float)tried[0]) == weir_tree_in_set(split->set, (float)tried[1]); k++)
        tried[1] = floor(uniform(&w->random) * end);
    tried[2] = uniform(&w->random) < 0.5 ? -1 : tried[1] + 0.5;
}

static weir_status try_split(gate *g, way *w, const weir_tree_node *split, weir_err *err) {
    weir_status status = WEIR_OK;
    double tried[TRIES];
    values_at_split(w, split, tried);
    for (int k = 0; !status && k < TRIES; k++) {
        double *row;
        if (!is_on_way(w, (size_t)split->column, tried[k])) continue;
        if ((status = next_row(g, &row, err))) break;
        for (size_t c = 0; c < g->columns; c++) row[c] = value_on_way(w, c);
        row[split->column] = tried[k];
    }
    ++*w->count;
    return status;
}

static weir_status walk(gate *g, way *w, const weir_tree *tree, const weir_tree_node *node, weir_err *err);

static weir_status walk_set(gate *g, way *w, const weir_tree *tree, const weir_tree_node *node, weir_err *err) {
    int own = w->set_count++;
    w->sets[own] = node;
    w->right[own] = false;
    weir_status status = walk(g, w, tree, tree->nodes + node->left, err);
    w->right[own] = true;
    if (!status) status = walk(g, w, tree, tree->nodes + node->right, err);
    w->set_count = own;
    return status;
}

/* No deeper than WEIR_TREES_DEPTH_MAX. */
static weir_status walk(gate *g, way *w, const weir_tree *tree, const weir_tree_node *node, weir_err *err) {
    if (weir_tree_is_leaf(node)) return WEIR_OK;
    float *low = &w->low[node->column], *high = &w->high[node->column], low_before = *low, high_before = *high;
    weir_status status = w->seen++ % w->every == 0 ? try_split(g, w, node, err) : WEIR_OK;
    if (node->set) return status ? status : walk_set(g, w, tree, node, err);
    *high = fminf(*high, node->value);
    if (!status) status = walk(g, w, tree, tree->nodes + node->left, err);
    *high = high_before;
    *low = fmaxf(*low, node->value);
    if (!status) status = walk(g, w, tree, tree->nodes + node->right, err);
    *low = low_before;
    return status;
}

static weir_status every_split(gate *g, const weir_trees *trees, int64_t *count, weir_err *err) {
    way w = {.low = weir_models_calloc(2 * g->columns, sizeof *w.low), .random = 31, .count = count};
    int64_t splits = 0;
    if (!w.low) return no_memory(err);
    w.high = w.low + g->columns;
    for (size_t c = 0; c < g->columns; c++) {
        w.low[c] = -FLT_MAX;
        w.high[c] = FLT_MAX;
    }
    for (int t = 0; t < trees->tree_count; t++) splits += trees->trees[t].node_count / 2;
    w.every = splits / affordable(g->scorer, WEIR_GATE_SPLITS_MAX) + 1;
    weir_status status = WEIR_OK;
    for (int t = 0; !status && t < trees->tree_count; t++) status = walk(g, &w, &trees->trees[t], trees->trees[t].nodes, err);
    weir_models_free(w.low);
    return status;
}

static weir_status gate_trees(gate *g, weir_gate_count *count, weir_err *err) {
    const weir_trees *trees;
    weir_trees_thresholds thresholds;
    weir_status status = weir_model_trees(g->model, &trees, err);
    if (!status) status = weir_trees_thresholds_of(trees, &thresholds, err);
    if (status) return status;
    const edges e = {.first = thresholds.first, .narrow = thresholds.values};
    status = every_threshold(g, &e, &count->thresholds, err);
    weir_trees_thresholds_done(&thresholds);
    if (!status) status = every_category(g, trees, err);
    if (!status) status = every_split(g, trees, &count->splits, err);
    return status ? status : flush(g, err);
}

/* Splits of LightGBM's trees, with numbers of float64: at the threshold, next to it on both sides, missing, and a category; other columns are random. */
static weir_status gate_lightgbm(gate *g, const weir_lgb *lgb, weir_gate_count *count, weir_err *err) {
    uint64_t random = 37;
    int64_t splits = 0;
    weir_status status = WEIR_OK;
    for (int t = 0; t < lgb->tree_count; t++) splits += lgb->trees[t].leaf_count - 1;
    int64_t every = splits / affordable(g->scorer, WEIR_GATE_SPLITS_MAX) + 1, seen = 0;
    for (int t = 0; !status && t < lgb->tree_count; t++) {
        const weir_lgb_tree *tree = &lgb->trees[t];
        for (int i = 0; !status && i < tree->leaf_count - 1; i++) {
            if (seen++ % every) continue;
            const double tried[] = {fmin(fmax(tree->threshold[i], -DBL_MAX), DBL_MAX), nextafter(tree->threshold[i], 0), nextafter(tree->threshold[i], DBL_MAX),
                                    NAN, floor(64 * uniform(&random))};
            for (size_t k = 0; !status && k < sizeof tried / sizeof *tried; k++) {
                double *row;
                if ((status = next_row(g, &row, err))) break;
                for (size_t c = 0; c < g->columns; c++) row[c] = random_value(&random, NULL, 0, g->columns, c);
                row[tree->column[i]] = tried[k];
            }
            count->splits++;
        }
    }
    return status ? status : flush(g, err);
}

/* ---- Hoeffding trees ---- */

/* As they stand in the tree: one that is there twice is tried twice. */
static weir_status hoeffding_thresholds(gate *g, const weir_hoeffding *t, int64_t *count, weir_err *err) {
    size_t *first = weir_models_calloc(g->columns + 2, sizeof *first);
    double *values = weir_models_calloc((size_t)t->count, sizeof *values);
    weir_status status = first && values ? WEIR_OK : no_memory(err);
    for (int i = 0; !status && i < t->count; i++)
        if (t->nodes[i].left > 0) first[(size_t)t->nodes[i].column + 2]++;
    for (size_t c = 0; !status && c < g->columns; c++) first[c + 2] += first[c + 1];
    for (int i = 0; !status && i < t->count; i++) /* first[c + 1] grows from where column c begins to where it ends */
        if (t->nodes[i].left > 0) values[first[(size_t)t->nodes[i].column + 1]++] = t->nodes[i].threshold;
    const edges e = {.first = first, .wide = values};
    if (!status) status = every_threshold(g, &e, count, err);
    weir_models_free(first);
    weir_models_free(values);
    return status;
}

/* The way to a node: values of each column in (low, high] lead there. */
typedef struct wide_way {
    const weir_hoeffding *tree;
    double *low, *high; /* [columns] */
    int *parent; /* [nodes] */
    uint64_t random;
} wide_way;

static weir_status way_init(wide_way *w, const weir_hoeffding *t, weir_err *err) {
    *w = (wide_way){.tree = t, .low = weir_models_calloc(2 * (size_t)t->p, sizeof *w->low), .random = 43};
    w->parent = weir_models_calloc((size_t)t->count, sizeof *w->parent);
    if (!w->low || !w->parent) {
        weir_models_free(w->low);
        weir_models_free(w->parent);
        return no_memory(err);
    }
    w->high = w->low + t->p;
    for (int i = 0; i < t->count; i++)
        if (t->nodes[i].left > 0) w->parent[(int)t->nodes[i].left] = w->parent[(int)t->nodes[i].right] = i;
    return WEIR_OK;
}

/* From the node up to the root. */
static void find_way(wide_way *w, int node) {
    for (int c = 0; c < w->tree->p; c++) {
        w->low[c] = -INFINITY;
        w->high[c] = INFINITY;
    }
    for (int i = node; i > 0; i = w->parent[i]) {
        const weir_hoeffding_node *n = &w->tree->nodes[w->parent[i]];
        int c = (int)n->column;
        if ((int)n->left == i)
            w->high[c] = fmin(w->high[c], n->threshold);
        else
            w->low[c] = fmax(w->low[c], n->threshold);
    }
}

static bool leads_on(const wide_way *w, int column, double x) {
    return isnan(x) ? isinf(w->low[column]) && isinf(w->high[column]) : x > w->low[column] && x <= w->high[column];
}

/* wanted, where it leads on; else a value at an end, or anything. */
static double value_near(wide_way *w, int column, double wanted) {
    if (leads_on(w, column, wanted)) return wanted;
    if (w->high[column] < INFINITY) return w->high[column];
    return w->low[column] > -INFINITY ? nextafter(w->low[column], INFINITY) : 2 * uniform(&w->random) - 1;
}

static weir_status split_rows(gate *g, wide_way *w, const weir_hoeffding_node *split, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int k = 0; !status && k < TRIES; k++) {
        double *row, tried = k == 3 ? NAN : wide_neighbour(split->threshold, k);
        if (!leads_on(w, (int)split->column, tried)) continue;
        if ((status = next_row(g, &row, err))) break;
        for (int c = 0; c < w->tree->p; c++) row[c] = value_near(w, c, uniform(&w->random) < 0.1 ? NAN : 2 * uniform(&w->random) - 1);
        row[(int)split->column] = tried;
    }
    return status;
}

/* At the means of one class, next to them, at those of any classes, and some missing. */
static weir_status leaf_rows(gate *g, wide_way *w, const weir_hoeffding_leaf *leaf, weir_err *err) {
    weir_status status = WEIR_OK;
    int k = w->tree->k, class = (int)(uniform(&w->random) * k);
    for (int i = 0; !status && i < TRIES; i++) {
        double *row;
        if ((status = next_row(g, &row, err))) break;
        for (int c = 0; c < w->tree->p; c++) {
            int of = i < 2 ? class : (int)(uniform(&w->random) * k);
            double mean = leaf->observed[(size_t)c * (size_t)k + (size_t)of].mean;
            bool missing = i == 3 && uniform(&w->random) < 0.3;
            row[c] = value_near(w, c, missing ? NAN : i == 1 ? nextafter(mean, DBL_MAX) : mean);
        }
    }
    return status;
}

static weir_status gate_hoeffding(gate *g, const weir_hoeffding *t, weir_gate_count *count, weir_err *err) {
    wide_way w;
    int every = t->count / (2 * (int)affordable(g->scorer, WEIR_GATE_SPLITS_MAX)) + 1; /* of which one more than half are leaves */
    weir_status status = hoeffding_thresholds(g, t, &count->thresholds, err);
    if (!status) status = way_init(&w, t, err);
    if (status) return status;
    for (int i = 0; !status && i < t->count; i += every) {
        const weir_hoeffding_node *n = &t->nodes[i];
        find_way(&w, i);
        if (n->left > 0) {
            status = split_rows(g, &w, n, err);
            count->splits++;
        } else {
            weir_hoeffding_leaf leaf = weir_hoeffding_leaf_of(t, n);
            status = leaf_rows(g, &w, &leaf, err);
        }
    }
    weir_models_free(w.low);
    weir_models_free(w.parent);
    return status ? status : flush(g, err);
}

/* The trees of a model and of its members, each behind its preprocessing. */
static weir_status gate_parts(weir_model *model, const weirscore *scorer, const score_model *compiled, weir_gate_count *count, weir_err *err) {
    weir_status status = WEIR_OK;
    uint32_t members = (uint32_t)weir_model_member_count(model), all = members + (weir_model_meta(model) != NULL);
    for (uint32_t i = 0; !status && i < all; i++)
        status = gate_parts(i < members ? weir_model_member(model, (int)i) : weir_model_meta(model), scorer, &scorer->models[compiled->first_member + i], count,
                            err);
    weir_model_parts parts = weir_model_inside(model);
    bool lightgbm = parts.algorithm == &weir_algorithm_lightgbm, hoeffding = parts.algorithm == &weir_algorithm_hoeffding;
    if (status || all || (!weir_model_has_trees(model) && !lightgbm && !hoeffding)) return status;
    gate g;
    status = gate_init(&g, model, scorer, compiled, true, err);
    if (status) return status;
    status = lightgbm    ? gate_lightgbm(&g, weir_lgb_of(parts.predictor), count, err)
             : hoeffding ? gate_hoeffding(&g, parts.predictor, count, err)
                         : gate_trees(&g, count, err);
    gate_done(&g);
    return status;
}

weir_status weir_scorer_gate(weir_model *model, const double *rows, int64_t row_count, weir_gate_count *ret_count, weir_err *err) {
    const weirscore *scorer = weir_model_scorer(model);
    weir_gate_count count = {0};
    gate g;
    *ret_count = count;
    if (!scorer) return WEIR_OK;
    weir_status status = gate_init(&g, model, scorer, &scorer->models[0], false, err);
    if (status) return status;
    status = training_rows(&g, rows, rows ? row_count : 0, &count.training_rows, err);
    if (!status) status = random_rows(&g, rows, rows ? row_count : 0, &count.random_rows, err);
    gate_done(&g);
    if (!status) status = gate_parts(model, scorer, &scorer->models[0], &count, err);
    if (!status) *ret_count = count;
    return status;
}

bool weir_gate_describe(cJSON *lineage, const weir_gate_count *compared) {
    cJSON *json = cJSON_AddObjectToObject(lineage, "gate");
    return json && cJSON_AddNumberToObject(json, "training_rows", (double)compared->training_rows) &&
           cJSON_AddNumberToObject(json, "random_rows", (double)compared->random_rows) &&
           cJSON_AddNumberToObject(json, "thresholds", (double)compared->thresholds) && cJSON_AddNumberToObject(json, "splits", (double)compared->splits);
}
