/* head | names | what the models point to, model by model | models. Members of a model stand together, behind it. */
#include "models/scorer_compile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/composite.h"
#include "models/memory.h"
#include "models/model_parts.h"
#include "models/online_linear.h"
#include "models/prep_internal.h"
#include "models/scorer_compile_internal.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a compiled model");
}

weir_status weir_score_room(weir_score_writer *c, uint64_t count, size_t size, score_span *ret_span, void **ret_room, weir_err *err) {
    static const char zeros[SCORE_ALIGN];
    size_t used = c->out->len - c->start, pad = (SCORE_ALIGN - used % SCORE_ALIGN) % SCORE_ALIGN;
    if (count > (SIZE_MAX >> 8) / size || !weir_buf_reserve(c->out, pad + count * size) || !weir_buf_append(c->out, zeros, pad)) return no_memory(err);
    *ret_span = (score_span){used + pad, count};
    *ret_room = memset(c->out->data + c->out->len, 0, count * size);
    c->out->len += count * size;
    return WEIR_OK;
}

static weir_status put(weir_score_writer *c, const void *elements, uint64_t count, size_t size, score_span *ret_span, weir_err *err) {
    void *room = NULL;
    weir_status status = weir_score_room(c, count, size, ret_span, &room, err);
    if (!status && count) memcpy(room, elements, count * size);
    return status;
}

/* ---- preprocessing ---- */

static const score_step_op step_ops[WEIR_PREP_OP_COUNT] = {
    [WEIR_PREP_INPUT] = SCORE_STEP_INPUT,       [WEIR_PREP_FILL] = SCORE_STEP_FILL,
    [WEIR_PREP_FORWARD_FILL] = SCORE_STEP_FILL, /* a row alone has no neighbours in time */
    [WEIR_PREP_INTERPOLATE] = SCORE_STEP_FILL,  [WEIR_PREP_MISSING] = SCORE_STEP_MISSING,
    [WEIR_PREP_CLIP] = SCORE_STEP_CLIP,         [WEIR_PREP_NULL] = SCORE_STEP_NULL,
    [WEIR_PREP_OUTSIDE] = SCORE_STEP_OUTSIDE,   [WEIR_PREP_SCALE] = SCORE_STEP_SCALE,
    [WEIR_PREP_STRETCH] = SCORE_STEP_STRETCH,   [WEIR_PREP_EQUALS] = SCORE_STEP_EQUALS,
    [WEIR_PREP_OTHER] = SCORE_STEP_OTHER,       [WEIR_PREP_CODE] = SCORE_STEP_CODE,
    [WEIR_PREP_BUCKET] = SCORE_STEP_BUCKET,
};

/* All levels one after the other; first [level_count]: where each list begins. */
static weir_status put_levels(weir_score_writer *c, const weir_prep *prep, score_model *m, uint32_t *first, weir_err *err) {
    uint64_t count = 0;
    void *values = NULL, *codes = NULL;
    for (int l = 0; l < prep->level_count; l++) {
        first[l] = (uint32_t)count;
        count += (uint64_t)prep->levels[l].count;
    }
    weir_status status = weir_score_room(c, count, sizeof(double), &m->level_values, &values, err);
    for (int l = 0; !status && l < prep->level_count; l++)
        memcpy((double *)values + first[l], prep->levels[l].sorted, (size_t)prep->levels[l].count * sizeof(double));
    if (!status) status = weir_score_room(c, count, sizeof(uint32_t), &m->level_codes, &codes, err);
    for (int l = 0; !status && l < prep->level_count; l++)
        for (int i = 0; i < prep->levels[l].count; i++) ((uint32_t *)codes)[first[l] + (uint32_t)i] = (uint32_t)prep->levels[l].code[i];
    return status;
}

static weir_status put_steps(weir_score_writer *c, const weir_prep *prep, score_model *m, weir_err *err) {
    uint32_t *first = weir_models_calloc((size_t)prep->level_count + 1, sizeof *first);
    void *room = NULL;
    if (!first) return no_memory(err);
    weir_status status = put_levels(c, prep, m, first, err);
    if (!status) status = weir_score_room(c, (uint64_t)prep->node_count, sizeof(score_step), &m->steps, &room, err);
    for (int i = 0; !status && i < prep->node_count; i++) {
        const weir_prep_node *node = &prep->nodes[i];
        bool levels = node->op == WEIR_PREP_OTHER || node->op == WEIR_PREP_CODE;
        ((score_step *)room)[i] = (score_step){.op = step_ops[node->op],
                                               .parent = node->parent,
                                               .input = (uint32_t)node->input,
                                               .levels = levels ? first[node->levels] : 0,
                                               .level_count = levels ? (uint32_t)prep->levels[node->levels].count : 0,
                                               .a = node->a,
                                               .b = node->b};
    }
    if (!status) status = weir_score_room(c, (uint64_t)prep->output_count, sizeof(uint32_t), &m->step_outputs, &room, err);
    for (int i = 0; !status && i < prep->output_count; i++) ((uint32_t *)room)[i] = (uint32_t)prep->outputs[i];
    weir_models_free(first);
    return status;
}

/* ---- trees ---- */

/* What is known of an ensemble while it is laid out. */
typedef struct forest {
    const weir_trees *trees;
    weir_trees_thresholds thresholds;
    int32_t *place; /* [column_count] among the columns that are split, −1: not among them */
    uint32_t *list; /* [used + 1] the first of its lists of thresholds in sliced trees */
    uint32_t used; /* columns that are split */
    size_t leaf_count;
} forest;

static void forest_done(forest *f) {
    weir_trees_thresholds_done(&f->thresholds);
    weir_models_free(f->place);
    weir_models_free(f->list);
}

static size_t threshold_count(const forest *f, int column) {
    return f->thresholds.first[column + 1] - f->thresholds.first[column];
}

/* Columns that have no thresholds may be split all the same. */
static void mark_set_columns(forest *f) {
    for (int t = 0; t < f->trees->tree_count && f->trees->set_count; t++)
        for (int i = 0; i < f->trees->trees[t].node_count; i++)
            if (f->trees->trees[t].nodes[i].set) f->place[f->trees->trees[t].nodes[i].column] = 1;
}

static weir_status forest_init(forest *f, const weir_trees *trees, weir_err *err) {
    *f = (forest){.trees = trees};
    weir_status status = weir_trees_thresholds_of(trees, &f->thresholds, err);
    if (status) return status;
    f->place = weir_models_calloc((size_t)trees->column_count, sizeof *f->place);
    f->list = weir_models_calloc((size_t)trees->column_count + 1, sizeof *f->list);
    if (!f->place || !f->list) {
        forest_done(f);
        return no_memory(err);
    }
    mark_set_columns(f);
    for (int c = 0; c < trees->column_count; c++) {
        size_t count = threshold_count(f, c);
        bool used = count || f->place[c];
        f->place[c] = used ? (int32_t)f->used++ : -1;
        if (used) f->list[f->used] = f->list[f->used - 1] + (uint32_t)((count + SCORE_RANKS_MAX - 1) / SCORE_RANKS_MAX);
    }
    for (int t = 0; t < trees->tree_count; t++) f->leaf_count += (size_t)trees->trees[t].node_count / 2 + 1; /* every split has two children */
    return WEIR_OK;
}

static uint32_t slot_of(const forest *f, const weir_tree_node *n) {
    return 2 * (uint32_t)f->place[n->column] + !n->missing_left;
}

/* Padding must not make too much of them: trees of six levels are so much faster when perfect that eight times their leaves are worth it. */
static bool is_perfect(const forest *f) {
    int depth = f->trees->depth;
    if (depth > SCORE_PERFECT_DEPTH_MAX || f->trees->set_count) return false;
    size_t padded = (size_t)f->trees->tree_count << depth;
    return padded <= f->leaf_count * (depth > 6 ? 4 : 8);
}

/* Where the nodes of one tree go. nodes and leaves by level; slices, unless NULL, in preorder. */
typedef struct layout {
    const forest *f;
    const weir_tree *tree;
    int depth;
    score_node *nodes;
    float *leaves;
    score_slice *slices;
} layout;

static score_slice slice_of(const forest *f, const weir_tree_node *n) {
    size_t low = f->thresholds.first[n->column], high = f->thresholds.first[n->column + 1], from = low;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (f->thresholds.values[middle] <= n->value)
            low = middle;
        else
            high = middle;
    }
    uint32_t list = f->list[f->place[n->column]] + (uint32_t)((low - from) / SCORE_RANKS_MAX);
    return (score_slice){.slot = (uint16_t)(2 * list + !n->missing_left), .rank = (uint8_t)((low - from) % SCORE_RANKS_MAX)};
}

/* The subtree of a node, or of the leaf that stands for all below it. level ≤ SCORE_PERFECT_DEPTH_MAX. */
static void lay_out(const layout *l, int node, size_t at, size_t preorder, int level) {
    const weir_tree_node *n = &l->tree->nodes[node];
    bool leaf = weir_tree_is_leaf(n);
    if (level == l->depth) {
        l->leaves[at - (((size_t)1 << l->depth) - 1)] = n->value;
        return;
    }
    l->nodes[at] = leaf ? (score_node){.threshold = INFINITY} : (score_node){n->value, slot_of(l->f, n)};
    if (l->slices) l->slices[preorder] = leaf ? (score_slice){0} : slice_of(l->f, n);
    lay_out(l, leaf ? node : n->left, 2 * at + 1, preorder + 1, level + 1);
    lay_out(l, leaf ? node : n->right, 2 * at + 2, preorder + ((size_t)1 << (l->depth - level - 1)), level + 1);
}

/* Worth it where comparing all splits of a tree, and finding the place of every value among the thresholds, costs less than walking: in cycles a row, measured. */
static bool can_slice(const forest *f) {
    uint32_t lists = f->list[f->used];
    double trees = f->trees->tree_count, splits = (double)((1 << f->trees->depth) - 1);
    return lists > 0 && 2 * lists <= SCORE_SLICED_SLOTS_MAX && 5 * lists + trees * splits / 16 < 2 * trees * f->trees->depth;
}

static void fill_ranks(const forest *f, int column, score_ranks *ranks) {
    const float *thresholds = f->thresholds.values + f->thresholds.first[column];
    size_t count = threshold_count(f, column);
    for (size_t from = 0; from < count; from += SCORE_RANKS_MAX, ranks++) {
        ranks->column = (uint32_t)f->place[column];
        ranks->count = (uint32_t)(count - from < SCORE_RANKS_MAX ? count - from : SCORE_RANKS_MAX);
        for (uint32_t k = 0; k < 256; k++) ranks->threshold[k] = k < ranks->count ? thresholds[from + k] : INFINITY;
        for (uint32_t k = 0; k < 16; k++) ranks->pivot[k] = ranks->threshold[16 * k + 15];
    }
}

static weir_status put_ranks(weir_score_writer *c, const forest *f, score_model *m, weir_err *err) {
    void *room = NULL;
    weir_status status = weir_score_room(c, f->list[f->used], sizeof(score_ranks), &m->ranks, &room, err);
    for (int column = 0; !status && column < f->trees->column_count; column++)
        if (f->place[column] >= 0) fill_ranks(f, column, (score_ranks *)room + f->list[f->place[column]]);
    return status;
}

static weir_status put_perfect(weir_score_writer *c, const forest *f, score_model *m, weir_err *err) {
    size_t leaves = (size_t)1 << f->trees->depth, splits = leaves - 1, trees = (size_t)f->trees->tree_count;
    bool sliced = can_slice(f);
    void *room = NULL;
    score_span *spans[] = {&m->nodes, &m->leaves, &m->slices};
    m->perfect = 1;
    m->depth = (uint32_t)f->trees->depth;
    weir_status status = weir_score_room(c, trees * splits, sizeof(score_node), spans[0], &room, err);
    if (!status) status = weir_score_room(c, trees * leaves, sizeof(float), spans[1], &room, err);
    if (!status && sliced) status = weir_score_room(c, trees * splits, sizeof(score_slice), spans[2], &room, err);
    for (size_t t = 0; !status && t < trees; t++) {
        char *file = c->out->data + c->start;
        const layout l = {.f = f,
                          .tree = &f->trees->trees[t],
                          .depth = f->trees->depth,
                          .nodes = (score_node *)(void *)(file + m->nodes.offset) + t * splits,
                          .leaves = (float *)(void *)(file + m->leaves.offset) + t * leaves,
                          .slices = sliced ? (score_slice *)(void *)(file + m->slices.offset) + t * splits : NULL};
        lay_out(&l, 0, 0, 0, 0);
    }
    return !status && sliced ? put_ranks(c, f, m, err) : status;
}

/* A pair of children is placed when their parent is. */
static void link_tree(const forest *f, const weir_tree *tree, score_link_node *out, int *from) {
    uint32_t placed = 1;
    from[0] = 0;
    for (uint32_t i = 0; i < placed; i++) {
        const weir_tree_node *n = &tree->nodes[from[i]];
        if (weir_tree_is_leaf(n)) {
            out[i] = (score_link_node){.threshold = INFINITY, .left = i, .value = n->value};
            continue;
        }
        out[i] = (score_link_node){.threshold = n->set ? NAN : n->value, .slot = slot_of(f, n), .left = placed};
        if (n->set) out[i].set = n->set->number;
        from[placed++] = n->left;
        from[placed++] = n->right;
    }
}

static weir_status put_linked(weir_score_writer *c, const forest *f, score_model *m, const score_tree *trees, weir_err *err) {
    uint64_t count = 0;
    int most = 0;
    void *room = NULL;
    for (int t = 0; t < f->trees->tree_count; t++) {
        count += (uint64_t)f->trees->trees[t].node_count;
        if (f->trees->trees[t].node_count > most) most = f->trees->trees[t].node_count;
    }
    if (count > UINT32_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "the trees have %llu nodes, a compiled model has room for %u", (unsigned long long)count, UINT32_MAX);
    int *from = weir_models_calloc((size_t)most + 1, sizeof *from);
    weir_status status = from ? weir_score_room(c, count, sizeof(score_link_node), &m->nodes, &room, err) : no_memory(err);
    for (int t = 0; !status && t < f->trees->tree_count; t++) link_tree(f, &f->trees->trees[t], (score_link_node *)room + trees[t].first, from);
    weir_models_free(from);
    return status;
}

/* In the order of their numbers, which is that of trees and nodes. */
static weir_status put_sets(weir_score_writer *c, const weir_trees *trees, score_model *m, weir_err *err) {
    void *words = NULL, *sets = NULL;
    uint32_t used = 0;
    if (!trees->set_count) return WEIR_OK;
    weir_status status = weir_score_room(c, trees->set_words, sizeof(uint32_t), &m->words, &words, err);
    if (!status) status = weir_score_room(c, trees->set_count, sizeof(score_slot), &m->slots, &sets, err);
    words = c->out->data + c->start + m->words.offset;
    for (int t = 0; !status && t < trees->tree_count; t++) {
        for (int i = 0; i < trees->trees[t].node_count; i++) {
            const weir_tree_node *n = &trees->trees[t].nodes[i];
            if (!n->set) continue;
            memcpy((uint32_t *)words + used, n->set->words, n->set->word_count * sizeof(uint32_t));
            ((score_slot *)sets)[n->set->number] = (score_slot){SCORE_SLOT_SET, (uint32_t)n->column, used, n->set->word_count};
            used += n->set->word_count;
        }
    }
    return status;
}

static weir_status put_tree_list(weir_score_writer *c, const forest *f, score_model *m, score_tree **ret_trees, weir_err *err) {
    uint32_t first = 0;
    score_tree *trees = weir_models_calloc((size_t)f->trees->tree_count, sizeof *trees);
    if (!trees) return no_memory(err);
    for (int t = 0; t < f->trees->tree_count; t++) {
        const weir_tree *tree = &f->trees->trees[t];
        trees[t] = (score_tree){.output = (uint32_t)tree->output, .first = first, .node_count = (uint32_t)tree->node_count};
        first += (uint32_t)tree->node_count;
    }
    *ret_trees = trees;
    return put(c, trees, (uint64_t)f->trees->tree_count, sizeof *trees, &m->trees, err);
}

static weir_status put_forest(weir_score_writer *c, const forest *f, score_model *m, weir_err *err) {
    score_tree *trees = NULL;
    void *columns = NULL;
    m->kind = SCORE_TREES;
    m->link = (uint32_t)f->trees->link;
    m->base = f->trees->base;
    weir_status status = weir_score_room(c, f->used, sizeof(uint32_t), &m->columns, &columns, err);
    for (int i = 0; !status && i < f->trees->column_count; i++)
        if (f->place[i] >= 0) ((uint32_t *)columns)[f->place[i]] = (uint32_t)i;
    if (!status) status = put_tree_list(c, f, m, &trees, err);
    if (!status) status = is_perfect(f) ? put_perfect(c, f, m, err) : put_linked(c, f, m, trees, err);
    if (!status) status = put_sets(c, f->trees, m, err);
    weir_models_free(trees);
    return status;
}

_Static_assert((int)WEIR_LINK_VALUE == (int)SCORE_LINK_VALUE && (int)WEIR_LINK_LOGISTIC == (int)SCORE_LINK_LOGISTIC &&
                   (int)WEIR_LINK_SOFTMAX == (int)SCORE_LINK_SOFTMAX && (int)WEIR_LINK_SHARES == (int)SCORE_LINK_SHARES &&
                   (int)WEIR_LINK_EXP == (int)SCORE_LINK_EXP,
               "links of trees have the numbers of files");

static weir_status put_trees(weir_score_writer *c, weir_model *model, score_model *m, weir_err *err) {
    const weir_trees *trees;
    forest f;
    weir_status status = weir_model_trees(model, &trees, err);
    if (!status) status = forest_init(&f, trees, err);
    if (status) return status;
    status = put_forest(c, &f, m, err);
    forest_done(&f);
    return status;
}

/* ---- other kinds ---- */

static weir_status put_linear(weir_score_writer *c, const weir_linear_form *form, score_model *m, weir_err *err) {
    size_t p = (size_t)form->column_count, k = (size_t)form->output_count;
    m->kind = SCORE_LINEAR;
    return put(c, form->intercept, k + 2 * p + k * p, sizeof(double), &m->numbers, err);
}

static weir_status put_svr(weir_score_writer *c, const weir_svr *svr, score_model *m, weir_err *err) {
    size_t p = (size_t)svr->form->column_count, n = (size_t)svr->head.count;
    void *room = NULL;
    m->kind = SCORE_SVR;
    m->kernel = (uint32_t)svr->head.kernel;
    m->degree = (uint32_t)svr->head.degree;
    m->gamma = svr->head.gamma;
    m->coef0 = svr->head.coef0;
    m->intercept = svr->head.intercept;
    weir_status status = weir_score_room(c, 2 * p + n + n * p, sizeof(double), &m->numbers, &room, err);
    if (status) return status;
    double *numbers = room;
    memcpy(numbers, svr->form->mean, p * sizeof *numbers);
    memcpy(numbers + p, svr->form->scale, p * sizeof *numbers);
    memcpy(numbers + 2 * p, svr->coefficient, n * sizeof *numbers);
    memcpy(numbers + 2 * p + n, svr->vector, n * p * sizeof *numbers);
    return WEIR_OK;
}

static bool is_online(const weir_algorithm *algorithm) {
    return algorithm == &weir_algorithm_sgd || algorithm == &weir_algorithm_ftrl;
}

static weir_status put_single(weir_score_writer *c, weir_model *model, const weir_model_parts *parts, score_model *m, weir_err *err) {
    const weir_linear_form *form = weir_model_linear_form(model);
    bool classes = parts->shape.task == WEIR_TASK_MULTICLASS, binary = parts->shape.task == WEIR_TASK_BINARY;
    if (weir_model_has_trees(model)) return put_trees(c, model, m, err);
    if (weir_model_svr(model)) return put_svr(c, weir_model_svr(model), m, err);
    if (parts->algorithm == &weir_algorithm_lightgbm) return weir_score_put_lightgbm(c, weir_lgb_of(parts->predictor), m, err);
    if (parts->algorithm == &weir_algorithm_hoeffding) return weir_score_put_hoeffding(c, parts->predictor, m, err);
    m->link = classes ? SCORE_LINK_SOFTMAX : binary ? SCORE_LINK_LOGISTIC : SCORE_LINK_VALUE;
    if (form) return put_linear(c, form, m, err);
    if (!is_online(parts->algorithm)) return WEIR_FAIL(err, WEIR_EINVAL, "algorithm %s has no compiled form", parts->algorithm->name);
    weir_online_scale(parts->predictor, &form, &m->link_a, &m->link_b);
    m->link = classes ? SCORE_LINK_SOFTMAX : binary ? SCORE_LINK_PLAIN_LOGISTIC : SCORE_LINK_AFFINE;
    return put_linear(c, form, m, err);
}

/* ---- models ---- */

static weir_status put_model(weir_score_writer *c, weir_model *model, uint32_t index, weir_err *err);

static weir_status put_members(weir_score_writer *c, weir_model *model, score_model *m, weir_err *err) {
    static const score_kind kinds[] = {
        [WEIR_MODEL_AVERAGE] = SCORE_MEAN, [WEIR_MODEL_WEIGHTED] = SCORE_MEAN, [WEIR_MODEL_STACKING] = SCORE_STACK, [WEIR_MODEL_TARGETS] = SCORE_TARGETS};
    weir_composition composition = weir_model_composition(model);
    uint32_t members = (uint32_t)weir_model_member_count(model), all = members + (composition == WEIR_MODEL_STACKING);
    m->kind = kinds[composition];
    m->member_count = all;
    m->first_member = c->count;
    c->count += all;
    assert(c->count <= c->capacity);
    weir_status status = WEIR_OK;
    if (m->kind == SCORE_MEAN) status = put(c, weir_model_weights(model), members, sizeof(double), &m->numbers, err);
    for (uint32_t i = 0; !status && i < all; i++)
        status = put_model(c, i < members ? weir_model_member(model, (int)i) : weir_model_meta(model), m->first_member + i, err);
    return status;
}

static const score_task tasks[] = {[WEIR_TASK_BINARY] = SCORE_BINARY, [WEIR_TASK_MULTICLASS] = SCORE_CLASSES, [WEIR_TASK_REGRESSION] = SCORE_REGRESSION};

static weir_status put_model(weir_score_writer *c, weir_model *model, uint32_t index, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    score_model *m = &c->models[index];
    if (parts.shape.column_count > SCORE_COLUMNS_MAX || parts.fitted.column_count > SCORE_COLUMNS_MAX || parts.shape.output_count > SCORE_OUTPUTS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "the model has %d columns and %d outputs, a compiled one has room for %d and %d", parts.fitted.column_count,
                         parts.shape.output_count, SCORE_COLUMNS_MAX, SCORE_OUTPUTS_MAX);
    *m = (score_model){.task = tasks[parts.shape.task],
                       .input_count = (uint32_t)parts.shape.column_count,
                       .fitted_count = (uint32_t)parts.fitted.column_count,
                       .output_count = (uint32_t)parts.shape.output_count};
    weir_status status = parts.prep ? put_steps(c, parts.prep, m, err) : WEIR_OK;
    if (status) return status;
    return weir_model_composition(model) == WEIR_MODEL_SINGLE ? put_single(c, model, &parts, m, err) : put_members(c, model, m, err);
}

/* ---- the file ---- */

static const char *output_name(const weir_model *model, int i) {
    const char *const *classes = weir_model_class_names(model), *const *targets = weir_model_target_names(model);
    if (targets) return targets[i];
    if (classes) return classes[weir_model_task(model) == WEIR_TASK_BINARY ? 1 : i];
    return "score";
}

static weir_status put_names(weir_score_writer *c, const weir_model *model, score_span *ret_span, weir_err *err) {
    weir_buf names = {0};
    bool ok = true;
    for (int i = 0; ok && i < weir_model_column_count(model); i++)
        ok = weir_buf_append(&names, weir_model_columns(model)[i], strlen(weir_model_columns(model)[i]) + 1);
    for (int i = 0; ok && i < weir_model_output_count(model); i++) ok = weir_buf_append(&names, output_name(model, i), strlen(output_name(model, i)) + 1);
    weir_status status = ok ? put(c, names.data, names.len, 1, ret_span, err) : no_memory(err);
    weir_buf_done(&names);
    return status;
}

static void read_hex(const char *hex, uint8_t out[32]) {
    for (int i = 0; i < 32; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

/* The first version of the format whose readers know all that is in a model. */
static uint32_t version_of(const score_model *m) {
    if (m->kind == SCORE_BAYES) return SCORE_VERSION_BAYES;
    return m->kind == SCORE_TREES && m->slots.count ? SCORE_VERSION_SETS : SCORE_VERSION;
}

static weir_status put_file(weir_score_writer *c, weir_model *model, weir_err *err) {
    score_head head = {.magic = SCORE_MAGIC, .version = SCORE_VERSION};
    score_span front, models;
    read_hex(weir_model_digest(model), head.source);
    weir_status status = put(c, &head, 1, sizeof head, &front, err);
    if (!status) status = put_names(c, model, &head.names, err);
    c->count = 1;
    if (!status) status = put_model(c, model, 0, err);
    if (!status) status = put(c, c->models, c->count, sizeof *c->models, &models, err);
    if (status) return status;
    for (uint32_t i = 0; i < c->count; i++) head.version = version_of(&c->models[i]) > head.version ? version_of(&c->models[i]) : head.version;
    head.model_count = c->count;
    head.models = models.offset;
    head.length = c->out->len - c->start;
    memcpy(c->out->data + c->start, &head, sizeof head);
    score_digest((const uint8_t *)c->out->data + c->start, head.length, head.digest);
    memcpy(c->out->data + c->start, &head, sizeof head);
    return WEIR_OK;
}

static uint32_t model_count(const weir_model *model) {
    uint32_t count = 1 + (weir_model_meta(model) ? model_count(weir_model_meta(model)) : 0);
    for (int i = 0; i < weir_model_member_count(model); i++) count += model_count(weir_model_member(model, i));
    return count;
}

weir_status weir_scorer_compile(weir_model *model, weir_buf *ret_file, weir_err *err) {
    weir_score_writer c = {.out = ret_file, .start = ret_file->len, .capacity = model_count(model)};
    if (c.capacity > SCORE_MODELS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "the model is made of %u models, a compiled one of at most %d", c.capacity, SCORE_MODELS_MAX);
    c.models = weir_models_calloc(c.capacity, sizeof *c.models);
    weir_status status = c.models ? put_file(&c, model, err) : no_memory(err);
    weir_models_free(c.models);
    if (status) ret_file->len = c.start;
    return status;
}

bool weir_scorer_can(weir_model *model) {
    const weir_algorithm *algorithm = weir_model_inside(model).algorithm;
    if (weir_model_composition(model) == WEIR_MODEL_SINGLE)
        return weir_model_has_trees(model) || weir_model_svr(model) || weir_model_linear_form(model) || is_online(algorithm) ||
               algorithm == &weir_algorithm_lightgbm || algorithm == &weir_algorithm_hoeffding;
    bool can = !weir_model_meta(model) || weir_scorer_can(weir_model_meta(model));
    for (int i = 0; can && i < weir_model_member_count(model); i++) can = weir_scorer_can(weir_model_member(model, i));
    return can;
}

weir_status weir_scorer_make(weir_model *model, weir_scorer *ret_scorer, weir_err *err) {
    weir_buf file = {0};
    char message[WEIRSCORE_MESSAGE_MAX] = "";
    weir_scorer scorer = {0};
    weir_status status = weir_scorer_compile(model, &file, err);
    if (!status && !(scorer.bytes = weir_mem.realloc(file.data, file.len + SCORE_ALIGN))) status = no_memory(err);
    if (!status) {
        /* The buffer itself, cut to its size: a second one would be the peak of memory that a large forest needs. */
        void *aligned = (char *)scorer.bytes + (-(uintptr_t)scorer.bytes & (SCORE_ALIGN - 1));
        memmove(aligned, scorer.bytes, scorer.len = file.len);
        file = (weir_buf){0};
        int code = weirscore_open_memory(aligned, scorer.len, &scorer.model, message, sizeof message);
        if (code) status = WEIR_FAIL(err, code == WEIRSCORE_MEMORY ? WEIR_ENOMEM : WEIR_EINTERNAL, "%s", message);
    }
    weir_buf_done(&file);
    if (status)
        weir_scorer_done(&scorer);
    else
        *ret_scorer = scorer;
    return status;
}

void weir_scorer_done(weir_scorer *scorer) {
    weirscore_close(scorer->model);
    weir_models_free(scorer->bytes);
    *scorer = (weir_scorer){0};
}
