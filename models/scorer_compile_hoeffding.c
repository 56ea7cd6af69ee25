/* Hoeffding trees: of every leaf what its scores need, worked out by the calls that score rows in models/hoeffding.c, so that scores have the same bits. */
#include <math.h>

#include "models/scorer_compile_internal.h"

static bool is_leaf(const weir_hoeffding_node *n) {
    return !(n->left > 0);
}

/* The columns that a leaf looks at; columns may be NULL. */
static uint32_t columns_of(const weir_hoeffding *t, const weir_hoeffding_leaf *l, uint32_t *columns) {
    uint32_t count = 0;
    for (int c = 0; weir_hoeffding_is_bayes(l) && c < t->p; c++) {
        if (!weir_hoeffding_varies(l, c)) continue;
        if (columns) columns[count] = (uint32_t)c;
        count++;
    }
    return count;
}

static weir_status put_nodes(weir_score_writer *w, const weir_hoeffding *t, score_model *m, weir_err *err) {
    uint32_t leaves = 0;
    void *room = NULL;
    weir_status status = weir_score_room(w, (uint64_t)t->count, sizeof(score_bayes_node), &m->nodes, &room, err);
    score_bayes_node *out = room;
    for (int i = 0; !status && i < t->count; i++) {
        const weir_hoeffding_node *n = &t->nodes[i];
        if (is_leaf(n))
            out[i].leaf = leaves++;
        else
            out[i] = (score_bayes_node){.threshold = n->threshold,
                                        .column = (uint32_t)n->column,
                                        .left = (uint32_t)n->left,
                                        .right = (uint32_t)n->right,
                                        .missing = (uint32_t)(n->missing_left > 0 ? n->left : n->right)};
    }
    return status;
}

/* What all leaves together need. */
typedef struct needed {
    uint64_t columns, numbers;
} needed;

static weir_status put_leaves(weir_score_writer *w, const weir_hoeffding *t, score_model *m, needed *ret_needed, weir_err *err) {
    uint64_t k = (uint64_t)t->k, count = 0;
    void *room = NULL;
    for (int i = 0; i < t->count; i++) count += is_leaf(&t->nodes[i]);
    weir_status status = weir_score_room(w, count, sizeof(score_bayes_leaf), &m->leaves, &room, err);
    score_bayes_leaf *out = room;
    needed sum = {0};
    for (int i = 0; !status && i < t->count; i++) {
        if (!is_leaf(&t->nodes[i])) continue;
        weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, &t->nodes[i]);
        bool bayes = weir_hoeffding_is_bayes(&l);
        uint32_t columns = columns_of(t, &l, NULL);
        *out++ = (score_bayes_leaf){.first_number = sum.numbers, .first_column = sum.columns, .column_count = columns, .bayes = bayes};
        sum.columns += columns;
        sum.numbers += bayes ? k * (2 + 3 * (uint64_t)columns) : k;
    }
    if (!status) *ret_needed = sum;
    return status;
}

static weir_status put_columns(weir_score_writer *w, const weir_hoeffding *t, uint64_t count, score_model *m, weir_err *err) {
    void *room = NULL;
    weir_status status = weir_score_room(w, count, sizeof(uint32_t), &m->columns, &room, err);
    uint32_t *out = room;
    for (int i = 0; !status && i < t->count; i++) {
        if (!is_leaf(&t->nodes[i])) continue;
        weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, &t->nodes[i]);
        out += columns_of(t, &l, out);
    }
    return status;
}

/* mean, variance and logarithm of the variance [k] */
static void put_normals(const weir_hoeffding_normal *normals, int k, double *out) {
    for (int i = 0; i < k; i++) {
        bool seen = normals[i].weight > 0;
        double variance = seen ? weir_hoeffding_variance(&normals[i]) : 0;
        out[i] = seen ? normals[i].mean : INFINITY;
        out[k + i] = variance;
        out[2 * k + i] = variance > 0 ? log(variance) : 0;
    }
}

/* Returns where the next leaf's begin. */
static double *put_leaf(const weir_hoeffding *t, const weir_hoeffding_leaf *l, double *out) {
    int k = t->k;
    weir_hoeffding_shares(t, l, out);
    if (!weir_hoeffding_is_bayes(l)) return out + k;
    for (int i = 0; i < k; i++) out[k + i] = log(out[i]);
    out += 2 * k;
    for (int c = 0; c < t->p; c++) {
        if (!weir_hoeffding_varies(l, c)) continue;
        put_normals(l->observed + (size_t)c * (size_t)k, k, out);
        out += 3 * k;
    }
    return out;
}

static weir_status put_numbers(weir_score_writer *w, const weir_hoeffding *t, uint64_t count, score_model *m, weir_err *err) {
    void *room = NULL;
    weir_status status = weir_score_room(w, count, sizeof(double), &m->numbers, &room, err);
    double *out = room;
    for (int i = 0; !status && i < t->count; i++) {
        if (!is_leaf(&t->nodes[i])) continue;
        weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, &t->nodes[i]);
        out = put_leaf(t, &l, out);
    }
    return status;
}

weir_status weir_score_put_hoeffding(weir_score_writer *w, const weir_hoeffding *tree, score_model *m, weir_err *err) {
    needed all = {0};
    m->kind = SCORE_BAYES;
    weir_status status = put_nodes(w, tree, m, err);
    if (!status) status = put_leaves(w, tree, m, &all, err);
    if (!status) status = put_columns(w, tree, all.columns, m, err);
    return status ? status : put_numbers(w, tree, all.numbers, m, err);
}
