/* Shapley values of trees in polynomial time.
 *
 * On the way down to a node, `path` holds for each column that was split so far
 *
 *   zero   the share of training rows that goes on this way when the column is not known
 *   one    1 when the row itself goes on this way, else 0
 *
 * and weight[i], the sum over all subsets of i of these columns that are known, of the product of the fractions, weighted as Shapley weighs a subset of that size. EXTEND adds a
 * column to the subsets, UNWIND takes one out again: at a leaf, each column gets what its being known changes there; and where a column is split a second time, what it
 * contributed first is taken out, and both splits count as one.
 *
 * Source: Lundberg, Erion, Lee, Consistent Individualized Feature Attribution for Tree Ensembles, 2018, algorithm 2. */
#include <string.h>

#include "models/memory.h"
#include "models/trees.h"

typedef struct step {
    int column; /* -1: the empty path */
    double zero, one, weight;
} step;

/* What the walk carries along. */
typedef struct walk {
    const weir_tree *tree;
    const float *row;
    double *phi; /* [column_count + 1] */
} walk;

/* path [length] → [length + 1]. */
static void extend(step *path, int length, double zero, double one, int column) {
    path[length] = (step){column, zero, one, length == 0 ? 1 : 0};
    for (int i = length - 1; i >= 0; i--) {
        path[i + 1].weight += one * path[i].weight * (i + 1) / (length + 1);
        path[i].weight = zero * path[i].weight * (length - i) / (length + 1);
    }
}

/* path [length] → [length − 1], without step `out`. */
static void unwind(step *path, int length, int out) {
    int last = length - 1;
    double one = path[out].one, zero = path[out].zero, next = path[last].weight;
    for (int i = last - 1; i >= 0; i--) {
        if (one != 0) {
            double before = path[i].weight;
            path[i].weight = next * length / ((i + 1) * one);
            next = before - path[i].weight * zero * (last - i) / length;
        } else {
            path[i].weight = zero == 0 ? 0 : path[i].weight * length / (zero * (last - i));
        }
    }
    for (int i = out; i < last; i++) {
        path[i].column = path[i + 1].column;
        path[i].zero = path[i + 1].zero;
        path[i].one = path[i + 1].one;
    }
}

/* The sum of the weights that unwinding step `out` would leave. */
static double unwound_sum(const step *path, int length, int out) {
    int last = length - 1;
    double one = path[out].one, zero = path[out].zero, next = path[last].weight, sum = 0;
    for (int i = last - 1; i >= 0; i--) {
        if (one != 0) {
            double weight = next * length / ((i + 1) * one);
            sum += weight;
            next = path[i].weight - weight * zero * (last - i) / length;
        } else if (zero != 0) {
            sum += path[i].weight * length / (zero * (last - i));
        }
    }
    return sum;
}

/* before [length]: the path to the parent; the room behind it is free. No deeper than WEIR_TREES_DEPTH_MAX. */
static void descend(const walk *w, int place, const step *before, int length, double zero, double one, int column) {
    step *path = (step *)before + length;
    const weir_tree_node *n = &w->tree->nodes[place];
    if (length) memcpy(path, before, (size_t)length * sizeof *path);
    extend(path, length++, zero, one, column);
    if (weir_tree_is_leaf(n)) {
        for (int i = 1; i < length; i++) w->phi[path[i].column] += unwound_sum(path, length, i) * (path[i].one - path[i].zero) * (double)n->value;
        return;
    }
    int hot = weir_tree_child(n, w->row[n->column]), cold = hot == n->left ? n->right : n->left;
    double left_share = weir_tree_left_share(w->tree, n), hot_share = hot == n->left ? left_share : 1 - left_share;
    double before_zero = 1, before_one = 1;
    for (int i = 1; i < length; i++) {
        if (path[i].column != n->column) continue;
        before_zero = path[i].zero;
        before_one = path[i].one;
        unwind(path, length--, i);
        break;
    }
    descend(w, hot, path, length, before_zero * hot_share, before_one, n->column);
    descend(w, cold, path, length, before_zero * (1 - hot_share), 0, n->column);
}

weir_status weir_trees_contributions(const weir_trees *trees, const float *row, double *contributions, weir_err *err) {
    size_t levels = (size_t)trees->depth + 2, width = (size_t)trees->column_count + 1;
    step *room = weir_models_calloc(levels * (levels + 1), sizeof *room);
    if (!room) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to explain trees of depth %d", trees->depth);
    memset(contributions, 0, (size_t)trees->output_count * width * sizeof *contributions);
    for (int k = 0; k < trees->output_count; k++) contributions[(size_t)k * width + width - 1] = (double)trees->base;
    for (int t = 0; t < trees->tree_count; t++) {
        const walk w = {&trees->trees[t], row, contributions + (size_t)trees->trees[t].output * width};
        w.phi[width - 1] += w.tree->mean;
        descend(&w, 0, room, 0, 1, 1, -1);
    }
    weir_models_free(room);
    return WEIR_OK;
}
