/* The inside of a Hoeffding tree (models/hoeffding.c), for what compiles it. */
#ifndef WEIR_MODELS_HOEFFDING_H
#define WEIR_MODELS_HOEFFDING_H

#include "models/model.h"

typedef struct weir_hoeffding_normal {
    double weight, mean, squares; /* squares: sum about the mean */
} weir_hoeffding_normal;

/* The numbers of a leaf, borrowed from its tree; k classes, p columns. */
typedef struct weir_hoeffding_leaf {
    double *tried; /* [1] weight when a split was last looked for */
    double *right; /* [2] weight that was called right by shares, by naive Bayes */
    double *inherited; /* [k] of each class, from the parent's estimate */
    double *own; /* [k] of each class, seen here */
    double *range; /* [p][2] least and largest value */
    weir_hoeffding_normal *observed; /* [p][k] */
} weir_hoeffding_leaf;

typedef struct weir_hoeffding_node {
    double column, threshold, left, right, missing_left, depth; /* left 0: a leaf; x ≤ threshold goes left; missing_left above 0: so do missing values */
    double *numbers; /* of a leaf */
} weir_hoeffding_node;

/* What the algorithm loads. Children stand behind their parent; columns, children and numbers are whole and in range, all numbers finite. */
typedef struct weir_hoeffding {
    int p, k; /* columns, classes */
    int count, capacity, leaves;
    weir_hoeffding_node *nodes;
    double *scratch; /* [2 · k] */
} weir_hoeffding;

weir_hoeffding_leaf weir_hoeffding_leaf_of(const weir_hoeffding *t, const weir_hoeffding_node *n);

/** out [k] sums to 1; equal shares in a leaf that has seen nothing. */
void weir_hoeffding_shares(const weir_hoeffding *t, const weir_hoeffding_leaf *l, double *out);

/** 0: of values that never vary, and of a single one. */
double weir_hoeffding_variance(const weir_hoeffding_normal *n);

/** Does the leaf score by naive Bayes? */
static inline bool weir_hoeffding_is_bayes(const weir_hoeffding_leaf *l) {
    return l->right[1] > l->right[0];
}

/** Does naive Bayes look at the column? Not where it never varied. */
static inline bool weir_hoeffding_varies(const weir_hoeffding_leaf *l, int column) {
    return l->range[2 * column] < l->range[2 * column + 1];
}

#endif
