/* An ensemble of trees in memory, as the bodies of xgboost and random_forest hold one: what explanations and exports are made from. */
#ifndef WEIR_MODELS_TREES_H
#define WEIR_MODELS_TREES_H

#include <math.h>

#include "core/mem.h"
#include "models/model.h"
#include "models/ubjson.h"

/* What becomes of the margins, the sums of leaves, of a row. */
typedef enum weir_trees_link {
    WEIR_LINK_VALUE, /* they are the score */
    WEIR_LINK_LOGISTIC, /* 1 / (1 + e^−margin) */
    WEIR_LINK_SOFTMAX, /* e^margin over its sum */
    WEIR_LINK_SHARES, /* clamped to [0, 1]; of several classes divided by their sum, and equal where that is 0 */
    WEIR_LINK_EXP, /* e^margin: regressions of counts and other positive labels */
} weir_trees_link;

/* Of a split by categories: bit c of the words, category c is in it and goes right. */
typedef struct weir_tree_set {
    uint32_t number; /* in the order of trees and nodes */
    uint32_t word_count;
    uint32_t words[];
} weir_tree_set;

/* A leaf has left 0: that is the root, which is nobody's child. */
typedef struct weir_tree_node {
    int32_t left, right; /* places in the tree; the left child stands right behind its parent, further down than the parent both */
    int32_t column; /* of a split */
    float value; /* of a split by a threshold what that is: what is less goes left; of a leaf what it adds to the margin */
    float cover; /* weight of the training rows that came here (sum of second derivatives), from 0 */
    float gain; /* of a split: decrease of the loss */
    bool missing_left; /* the side of missing values */
    const weir_tree_set *set; /* of a split by categories; NULL: by a threshold */
} weir_tree_node;

typedef struct weir_tree {
    int node_count, depth; /* depth: edges down to the deepest leaf */
    int output; /* the margin that it adds to */
    bool explainable; /* covers and gains are finite, which huge weights of rows may leave */
    double mean; /* of its leaves, each weighing its cover, branch by branch: the value of a row of which nothing is known */
    const weir_tree_node *nodes; /* the first is the root */
} weir_tree;

typedef struct weir_trees {
    weir_arena arena; /* everything below */
    int column_count, output_count, tree_count, depth;
    weir_trees_link link;
    float base; /* every margin begins with it */
    uint32_t set_count; /* splits by categories */
    uint64_t set_words; /* of all of them */
    weir_tree *trees;
} weir_trees;

enum { WEIR_TREES_DEPTH_MAX = 256, WEIR_TREES_CATEGORY_END = 1 << 24 /* what is not less is no category: float32 does not tell such numbers apart */ };

/** Reads XGBoost's UBJSON. Errors: WEIR_EDATA naming what is damaged, of another shape, or not to be had here (leaves of several values, other boosters or
 *  objectives); WEIR_ENOMEM. */
weir_status weir_trees_parse(const void *body, size_t len, const weir_model_shape *shape, weir_trees **ret_trees, weir_err *err) WEIR_MUST_CHECK;
void weir_trees_free(weir_trees *trees);
/** Before the library reads a file, which it does without looking: whether each tree's arrays are there, and as long as they should be. Errors as of weir_trees_parse. */
weir_status weir_trees_check_arrays(weir_ubjson root, weir_err *err) WEIR_MUST_CHECK;

/** WEIR_EDATA for trees that score but whose covers and gains mean nothing: before anything is made of those. */
weir_status weir_trees_check_explainable(const weir_trees *trees, weir_err *err) WEIR_MUST_CHECK;

static inline bool weir_tree_is_leaf(const weir_tree_node *node) {
    return node->left == 0;
}

/** XGBoost cuts a value to a whole number; one that is no category is in no set. */
static inline bool weir_tree_in_set(const weir_tree_set *set, float x) {
    if (!(x >= 0 && x < (float)WEIR_TREES_CATEGORY_END)) return false;
    uint32_t category = (uint32_t)x;
    return category / 32 < set->word_count && (set->words[category / 32] >> category % 32 & 1);
}

/** Which child of a split x goes to. */
static inline int weir_tree_child(const weir_tree_node *node, float x) {
    bool left = isnan(x) ? node->missing_left : node->set ? !weir_tree_in_set(node->set, x) : x < node->value;
    return left ? node->left : node->right;
}

/** Share of a split's training rows that went left. */
static inline double weir_tree_left_share(const weir_tree *tree, const weir_tree_node *node) {
    double left = (double)tree->nodes[node->left].cover, right = (double)tree->nodes[node->right].cover;
    return left + right > 0 ? left / (left + right) : 0.5;
}

/** margin [output_count] of row [column_count] (NaN: missing), in float32 and tree by tree: XGBoost's bits. */
void weir_trees_margin(const weir_trees *trees, const float *row, float *margin);

/* The thresholds of every column, ascending and distinct (splits by categories have none): those of column c are values [first[c], first[c + 1]). */
typedef struct weir_trees_thresholds {
    float *values;
    size_t *first; /* [column_count + 1] */
} weir_trees_thresholds;
weir_status weir_trees_thresholds_of(const weir_trees *trees, weir_trees_thresholds *ret_thresholds, weir_err *err) WEIR_MUST_CHECK;
void weir_trees_thresholds_done(weir_trees_thresholds *thresholds);

/** Exact Shapley values of the margins of a row; "a column is not known" means that both branches of its splits are taken, each by its share of the training rows.
 *  contributions [output_count][column_count + 1]: the last is the mean; they sum to the margin. O(leaves · depth²). WEIR_ENOMEM.
 *  Source: Lundberg, Erion, Lee, Consistent Individualized Feature Attribution for Tree Ensembles, 2018, algorithm 2. */
weir_status weir_trees_contributions(const weir_trees *trees, const float *row, double *contributions, weir_err *err) WEIR_MUST_CHECK;

#endif
