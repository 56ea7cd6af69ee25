/* Reads the models of XGBoost 1.7, of which this is used:
 *
 *   {"learner": {
 *     "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "3", …},   numbers are texts here
 *     "objective": {"name": "binary:logistic", …},
 *     "gradient_booster": {"name": "gbtree", "model": {
 *       "tree_info": [0, …],                                  the output of each tree
 *       "trees": [{"left_children": [1, -1, -1],              -1: a leaf
 *                  "right_children", "split_indices",         children, columns
 *                  "split_conditions",                        thresholds, and the values of leaves
 *                  "default_left", "sum_hessian", "loss_changes", "split_type": 0, or 1 for sets of categories, which are in models/trees_categories.c
 *                  "tree_param": {…}}, …]}}}}
 *
 * Nodes that pruning cut off stay behind in the arrays; what is kept here is what the root leads to, each node before its children. */
#include "models/trees.h"

#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/trees_categories.h"

enum { TREES_MAX = 1 << 24, NODES_MAX = 1 << 26 };
#define ARENA_BYTES_MAX ((size_t)16 << 30)

typedef enum field { LEFT, RIGHT, COLUMN, VALUE, MISSING_LEFT, COVER, GAIN, SPLIT_TYPE, FIELD_COUNT } field;
static const char *const field_names[FIELD_COUNT] = {"left_children", "right_children", "split_indices", "split_conditions",
                                                     "default_left",  "sum_hessian",    "loss_changes",  "split_type"};

/* A tree as the body has it. */
typedef struct raw_tree {
    int count;
    double *of[FIELD_COUNT]; /* [count] each */
    bool *seen; /* [count] */
    weir_raw_sets sets;
} raw_tree;

/* A node that is to be placed: a child of `parent`, or the root. */
typedef struct pending {
    int raw, parent, depth;
    bool is_right;
} pending;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an ensemble of trees");
}

/* ---- the front ---- */

/* A path of names, NULL-terminated. */
static bool find_path(weir_ubjson value, const char *const *path, weir_ubjson *ret_value) {
    for (; *path; path++)
        if (!weir_ubjson_find(value, *path, &value)) return false;
    *ret_value = value;
    return true;
}

static bool number_text(weir_ubjson object, const char *name, double *ret_number) {
    weir_ubjson value;
    const char *text;
    size_t len;
    char copy[64], *end;
    if (!weir_ubjson_find(object, name, &value) || !weir_ubjson_text(value, &text, &len) || !len || len >= sizeof copy) return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    *ret_number = strtod(copy, &end);
    return !*end && isfinite(*ret_number);
}

static bool is_text(weir_ubjson value, const char *wanted) {
    const char *text;
    size_t len;
    return weir_ubjson_text(value, &text, &len) && len == strlen(wanted) && !memcmp(text, wanted, len);
}

/* What is done with margins, by objective; WEIR_TASK_COUNT: any task. */
typedef struct objective {
    const char *name;
    int task;
    weir_trees_link link;
} objective;
static const objective objectives[] = {{"binary:logistic", WEIR_TASK_BINARY, WEIR_LINK_LOGISTIC},
                                       {"multi:softprob", WEIR_TASK_MULTICLASS, WEIR_LINK_SOFTMAX},
                                       {"reg:squarederror", WEIR_TASK_REGRESSION, WEIR_LINK_VALUE},
                                       {"reg:squarederror", WEIR_TASK_COUNT, WEIR_LINK_SHARES},
                                       {"reg:absoluteerror", WEIR_TASK_REGRESSION, WEIR_LINK_VALUE},
                                       {"reg:pseudohubererror", WEIR_TASK_REGRESSION, WEIR_LINK_VALUE},
                                       {"count:poisson", WEIR_TASK_REGRESSION, WEIR_LINK_EXP},
                                       {"reg:tweedie", WEIR_TASK_REGRESSION, WEIR_LINK_EXP},
                                       {"reg:gamma", WEIR_TASK_REGRESSION, WEIR_LINK_EXP}};

/* The margin that base_score stands for, in float32 as the library works it out. */
static float base_margin(weir_trees_link link, float base_score) {
    if (link == WEIR_LINK_LOGISTIC) return -logf(1.0f / base_score - 1.0f);
    return link == WEIR_LINK_EXP ? logf(base_score) : base_score;
}

static weir_status read_link(weir_trees *t, weir_ubjson value, double base_score, const weir_model_shape *shape, weir_err *err) {
    enum { OBJECTIVES = sizeof objectives / sizeof *objectives };
    weir_ubjson name;
    int o = 0;
    if (!weir_ubjson_find(value, "name", &name)) return WEIR_FAIL(err, WEIR_EDATA, "trees: the objective has no name");
    while (o < OBJECTIVES && !(is_text(name, objectives[o].name) && (objectives[o].task == (int)shape->task || objectives[o].task == WEIR_TASK_COUNT))) o++;
    if (o == OBJECTIVES) return WEIR_FAIL(err, WEIR_EDATA, "trees: the objective is none that a %s model of this kind has", weir_task_name(shape->task));
    t->link = objectives[o].link;
    t->base = base_margin(t->link, (float)base_score);
    return isfinite(t->base) ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "trees: base_score %g does not give a finite margin", base_score);
}

static bool is_gbtree(weir_ubjson learner) {
    weir_ubjson booster;
    return find_path(learner, (const char *const[]){"gradient_booster", "name", NULL}, &booster) && is_text(booster, "gbtree");
}

static weir_status read_front(weir_trees *t, weir_ubjson learner, const weir_model_shape *shape, weir_err *err) {
    weir_ubjson params, goal;
    double base_score, columns;
    if (!weir_ubjson_find(learner, "learner_model_param", &params) || !number_text(params, "base_score", &base_score) ||
        !number_text(params, "num_feature", &columns) || !weir_ubjson_find(learner, "objective", &goal))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: the body has no base_score, num_feature or objective");
    if (columns != shape->column_count) return WEIR_FAIL(err, WEIR_EDATA, "trees: the body has %g columns, the header %d", columns, shape->column_count);
    if (!is_gbtree(learner)) return WEIR_FAIL(err, WEIR_EDATA, "trees: the booster is not gbtree");
    t->column_count = shape->column_count;
    t->output_count = shape->output_count;
    return read_link(t, goal, base_score, shape, err);
}

/* ---- one tree ---- */

static void raw_done(raw_tree *raw) {
    for (int f = 0; f < FIELD_COUNT; f++) weir_models_free(raw->of[f]);
    weir_models_free(raw->seen);
    weir_raw_sets_done(&raw->sets);
    *raw = (raw_tree){0};
}

static weir_status read_raw(weir_ubjson tree, int number, uint64_t *set_words, raw_tree *raw, weir_err *err) {
    weir_ubjson value;
    raw->count = weir_ubjson_find(tree, field_names[LEFT], &value) ? weir_ubjson_count_numbers(value, NODES_MAX) : 0;
    if (raw->count < 1 || raw->count > NODES_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "trees: tree %d has %d nodes, expected 1 to %d", number, raw->count, NODES_MAX);
    if (!(raw->seen = weir_models_calloc((size_t)raw->count, sizeof *raw->seen))) return no_memory(err);
    for (int f = 0; f < FIELD_COUNT; f++) {
        if (!(raw->of[f] = weir_models_calloc((size_t)raw->count, sizeof *raw->of[f]))) return no_memory(err);
        if (!weir_ubjson_find(tree, field_names[f], &value) || !weir_ubjson_read_numbers(value, raw->of[f], raw->count))
            return WEIR_FAIL(err, WEIR_EDATA, "trees: tree %d has no %s of %d numbers", number, field_names[f], raw->count);
    }
    return weir_raw_sets_read(tree, number, raw->of[SPLIT_TYPE], raw->count, set_words, &raw->sets, err);
}

static bool is_place(double x, int count) {
    return x >= 0 && x < count && x == floor(x);
}

/* What is wrong with node i of a raw tree, or NULL. */
static const char *fault(const raw_tree *raw, int i, int column_count) {
    double left = raw->of[LEFT][i], right = raw->of[RIGHT][i];
    if (raw->seen[i]) return "is reached twice";
    if (!isfinite(raw->of[VALUE][i]) && (left == -1 || raw->of[SPLIT_TYPE][i] == 0)) return "has a value that is not finite";
    if (left == -1) return right == -1 ? NULL : "has one child";
    if (!is_place(left, raw->count) || !is_place(right, raw->count)) return "has a child that is not there";
    return is_place(raw->of[COLUMN][i], column_count) ? NULL : "splits a column that is not there";
}

static bool is_set_split(const raw_tree *raw, int i) {
    return raw->of[LEFT][i] != -1 && raw->of[SPLIT_TYPE][i] != 0;
}

static weir_tree_node make_node(const raw_tree *raw, int i) {
    return (weir_tree_node){.column = raw->of[LEFT][i] == -1 ? 0 : (int32_t)raw->of[COLUMN][i],
                            .value = is_set_split(raw, i) ? 0 : (float)raw->of[VALUE][i],
                            .cover = (float)raw->of[COVER][i],
                            .gain = (float)raw->of[GAIN][i],
                            .missing_left = raw->of[MISSING_LEFT][i] != 0};
}

/* The set of a node that splits by one. */
static weir_status add_set(weir_trees *t, const raw_tree *raw, int i, weir_tree_node *node, weir_err *err) {
    weir_tree_set *set = weir_raw_sets_make(&raw->sets, weir_raw_sets_find(&raw->sets, i), &t->arena);
    if (!set) return no_memory(err);
    set->number = t->set_count++;
    t->set_words += set->word_count;
    node->set = set;
    return WEIR_OK;
}

/* Places every node that the root leads to, depth first. stack: one entry a level and one more. */
static weir_status place_nodes(weir_trees *t, raw_tree *raw, int number, weir_tree *tree, weir_tree_node *nodes, weir_err *err) {
    pending stack[WEIR_TREES_DEPTH_MAX + 2];
    int waiting = 0;
    tree->explainable = true;
    stack[waiting++] = (pending){.raw = 0, .parent = -1};
    while (waiting) {
        pending p = stack[--waiting];
        const char *wrong = p.depth > WEIR_TREES_DEPTH_MAX ? "lies too deep" : fault(raw, p.raw, t->column_count);
        if (wrong) return WEIR_FAIL(err, WEIR_EDATA, "trees: node %d of tree %d %s", p.raw, number, wrong);
        int place = tree->node_count++;
        raw->seen[p.raw] = true;
        nodes[place] = make_node(raw, p.raw);
        if (is_set_split(raw, p.raw) && add_set(t, raw, p.raw, &nodes[place], err)) return WEIR_ENOMEM;
        tree->explainable = tree->explainable && nodes[place].cover >= 0 && isfinite(nodes[place].cover) && isfinite(nodes[place].gain);
        if (p.depth > tree->depth) tree->depth = p.depth;
        if (p.parent >= 0) *(p.is_right ? &nodes[p.parent].right : &nodes[p.parent].left) = place;
        if (raw->of[LEFT][p.raw] == -1) continue;
        stack[waiting++] = (pending){(int)raw->of[RIGHT][p.raw], place, p.depth + 1, true};
        stack[waiting++] = (pending){(int)raw->of[LEFT][p.raw], place, p.depth + 1, false};
    }
    return WEIR_OK;
}

/* Children come after their parents: from the last node on, both are known. mean [node_count]. */
static double mean_of(const weir_tree *tree, double *mean) {
    for (int i = tree->node_count - 1; i >= 0; i--) {
        const weir_tree_node *n = &tree->nodes[i];
        double share = weir_tree_is_leaf(n) ? 0 : weir_tree_left_share(tree, n);
        mean[i] = weir_tree_is_leaf(n) ? (double)n->value : share * mean[n->left] + (1 - share) * mean[n->right];
    }
    return mean[0];
}

static weir_status read_tree(weir_trees *t, weir_ubjson value, int number, weir_err *err) {
    raw_tree raw = {0};
    weir_tree *tree = &t->trees[number];
    uint64_t set_words = t->set_words;
    weir_status status = read_raw(value, number, &set_words, &raw, err);
    weir_tree_node *nodes = status == WEIR_OK ? weir_arena_alloc(&t->arena, (size_t)raw.count * sizeof *nodes) : NULL;
    if (status == WEIR_OK && !nodes) status = no_memory(err);
    if (status == WEIR_OK) status = place_nodes(t, &raw, number, tree, nodes, err);
    if (status == WEIR_OK) {
        tree->nodes = nodes;
        tree->mean = mean_of(tree, raw.of[VALUE]); /* which nobody needs any more */
        if (tree->depth > t->depth) t->depth = tree->depth;
    }
    raw_done(&raw);
    return status;
}

/* ---- all of them ---- */

static weir_status read_outputs(weir_trees *t, weir_ubjson model, weir_err *err) {
    weir_ubjson info;
    double *outputs = weir_models_calloc((size_t)t->tree_count, sizeof *outputs);
    if (!outputs) return no_memory(err);
    bool ok = weir_ubjson_find(model, "tree_info", &info) && weir_ubjson_read_numbers(info, outputs, t->tree_count);
    for (int i = 0; ok && i < t->tree_count; i++) {
        ok = is_place(outputs[i], t->output_count);
        if (ok) t->trees[i].output = (int)outputs[i];
    }
    weir_models_free(outputs);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "trees: the body does not say which of the %d outputs each tree is for", t->output_count);
}

static weir_status read_trees(weir_trees *t, weir_ubjson learner, weir_err *err) {
    weir_ubjson model, list, value;
    weir_ubjson_array array;
    if (!find_path(learner, (const char *const[]){"gradient_booster", "model", NULL}, &model) || !weir_ubjson_find(model, "trees", &list) ||
        !weir_ubjson_begin(list, &array))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: the body has no trees");
    for (weir_ubjson_array rest = array; t->tree_count <= TREES_MAX && weir_ubjson_next(&rest, &value) && value.type == '{';) t->tree_count++;
    if (t->tree_count > TREES_MAX || (array.left >= 0 && array.left != t->tree_count))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: %d of the body's trees can be read, expected all, and at most %d", t->tree_count, TREES_MAX);
    t->trees = weir_arena_alloc(&t->arena, ((size_t)t->tree_count + 1) * sizeof *t->trees);
    if (!t->trees) return no_memory(err);
    memset(t->trees, 0, ((size_t)t->tree_count + 1) * sizeof *t->trees);
    weir_status status = read_outputs(t, model, err);
    for (int i = 0; status == WEIR_OK && i < t->tree_count; i++)
        if (weir_ubjson_next(&array, &value)) status = read_tree(t, value, i, err);
    return status;
}

weir_status weir_trees_parse(const void *body, size_t len, const weir_model_shape *shape, weir_trees **ret_trees, weir_err *err) {
    weir_ubjson root, learner;
    if (!len) return WEIR_FAIL(err, WEIR_EDATA, "trees: the body is empty");
    if (!weir_ubjson_open(body, len, &root) || !weir_ubjson_find(root, "learner", &learner))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: the body of %zu bytes is not a model of XGBoost in UBJSON", len);
    weir_trees *t = weir_models_calloc(1, sizeof *t);
    if (!t) return no_memory(err);
    weir_arena_init(&t->arena, ARENA_BYTES_MAX);
    weir_status status = read_front(t, learner, shape, err);
    if (status == WEIR_OK) status = read_trees(t, learner, err);
    if (status != WEIR_OK) {
        weir_trees_free(t);
        return status;
    }
    *ret_trees = t;
    return WEIR_OK;
}

weir_status weir_trees_check_arrays(weir_ubjson root, weir_err *err) {
    weir_ubjson learner, list, value;
    weir_ubjson_array array;
    uint64_t set_words = 0;
    if (!weir_ubjson_find(root, "learner", &learner)) return WEIR_FAIL(err, WEIR_EDATA, "trees: the file has no learner: it is not a model of XGBoost");
    if (!is_gbtree(learner)) return WEIR_FAIL(err, WEIR_EDATA, "trees: the booster is not gbtree");
    if (!find_path(learner, (const char *const[]){"gradient_booster", "model", "trees", NULL}, &list) || !weir_ubjson_begin(list, &array))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: the file has no trees");
    weir_status status = WEIR_OK;
    for (int i = 0; !status && weir_ubjson_next(&array, &value); i++) {
        raw_tree raw = {0};
        status = read_raw(value, i, &set_words, &raw, err);
        raw_done(&raw);
    }
    return status;
}

void weir_trees_free(weir_trees *trees) {
    if (!trees) return;
    weir_arena_done(&trees->arena);
    weir_models_free(trees);
}

weir_status weir_trees_check_explainable(const weir_trees *trees, weir_err *err) {
    for (int t = 0; t < trees->tree_count; t++)
        if (!trees->trees[t].explainable)
            return WEIR_FAIL(err, WEIR_EDATA, "trees: tree %d has a cover or gain that is not finite: it scores, but what moves its scores is not known", t);
    return WEIR_OK;
}

void weir_trees_margin(const weir_trees *trees, const float *row, float *margin) {
    for (int k = 0; k < trees->output_count; k++) margin[k] = trees->base;
    for (int t = 0; t < trees->tree_count; t++) {
        const weir_tree_node *nodes = trees->trees[t].nodes, *n = nodes;
        while (!weir_tree_is_leaf(n)) n = nodes + weir_tree_child(n, row[n->column]);
        margin[trees->trees[t].output] += n->value;
    }
}

/* ---- thresholds ---- */

static int by_float(const void *a, const void *b) {
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool has_threshold(const weir_tree_node *node) {
    return !weir_tree_is_leaf(node) && !node->set;
}

/* first [column_count + 2]: how many of column c come before first[c + 1]. */
static void count_thresholds(const weir_trees *trees, size_t *first) {
    for (int t = 0; t < trees->tree_count; t++) {
        const weir_tree *tree = &trees->trees[t];
        for (int i = 0; i < tree->node_count; i++) first[tree->nodes[i].column + 2] += has_threshold(&tree->nodes[i]);
    }
    for (int c = 0; c < trees->column_count; c++) first[c + 2] += first[c + 1];
}

/* Moves what follows an equal one; first is then where each column's begin. */
static void keep_distinct(float *values, size_t *first, int column_count) {
    size_t kept = 0, from = 0;
    for (int c = 0; c < column_count; c++) {
        size_t to = first[c + 1], begin = kept;
        qsort(values + from, to - from, sizeof *values, by_float);
        for (size_t i = from; i < to; i++)
            if (kept == begin || values[kept - 1] != values[i]) values[kept++] = values[i];
        first[c] = begin;
        from = to;
    }
    first[column_count] = kept;
}

weir_status weir_trees_thresholds_of(const weir_trees *trees, weir_trees_thresholds *ret_thresholds, weir_err *err) {
    size_t *first = weir_models_calloc((size_t)trees->column_count + 2, sizeof *first);
    if (!first) return no_memory(err);
    count_thresholds(trees, first);
    float *values = weir_models_calloc(first[trees->column_count + 1], sizeof *values);
    if (!values) {
        weir_models_free(first);
        return no_memory(err);
    }
    for (int t = 0; t < trees->tree_count; t++) {
        const weir_tree *tree = &trees->trees[t];
        for (int i = 0; i < tree->node_count; i++)
            if (has_threshold(&tree->nodes[i])) values[first[tree->nodes[i].column + 1]++] = tree->nodes[i].value;
    }
    keep_distinct(values, first, trees->column_count); /* each place has moved to where the next column's begin */
    *ret_thresholds = (weir_trees_thresholds){values, first};
    return WEIR_OK;
}

void weir_trees_thresholds_done(weir_trees_thresholds *thresholds) {
    weir_models_free(thresholds->values);
    weir_models_free(thresholds->first);
    *thresholds = (weir_trees_thresholds){0};
}
