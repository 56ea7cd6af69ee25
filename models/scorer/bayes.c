/* Down a Hoeffding tree, whose leaves score by the shares of their classes or by naive Bayes. What depends on no row was worked out when the model was compiled; what is left are the operations
 * of models/hoeffding.c, each class's in the same order. */
#include <math.h>
#include <string.h>

#include "models/scorer/internal.h"

static const score_bayes_leaf *find_leaf(const weirscore *s, const score_model *m, const double *row) {
    const score_bayes_node *nodes = score_at(s, m->nodes), *n = nodes;
    while (n->left) {
        double x = row[n->column];
        n = nodes + (isnan(x) ? n->missing : x <= n->threshold ? n->left : n->right);
    }
    return (const score_bayes_leaf *)score_at(s, m->leaves) + n->leaf;
}

/* Adds the logarithms of the densities of x: mean, variance and logarithm of the variance [k]. */
static void add_densities(const double *mean, uint32_t k, double x, double *scores) {
    const double *variance = mean + k, *log_variance = variance + k;
    for (uint32_t i = 0; i < k; i++) {
        double away = x - mean[i];
        if (variance[i] > 0)
            scores[i] += -0.5 * (log_variance[i] + away * away / variance[i]);
        else if (away != 0)
            scores[i] = scores[i] - INFINITY;
    }
}

/* scores [k]: logarithms, up to what all classes share. False when no class is likely. */
static bool make_shares(double *scores, uint32_t k) {
    double most = -INFINITY, total = 0;
    for (uint32_t i = 0; i < k; i++)
        if (scores[i] > most) most = scores[i];
    if (!isfinite(most)) return false;
    for (uint32_t i = 0; i < k; i++) total += scores[i] = exp(scores[i] - most);
    for (uint32_t i = 0; i < k; i++) scores[i] /= total;
    return true;
}

/* scores [k] */
static void score_leaf(const weirscore *s, const score_model *m, const score_bayes_leaf *leaf, const double *row, uint32_t k, double *scores) {
    const double *shares = (const double *)score_at(s, m->numbers) + leaf->first_number, *normals = shares + 2 * (size_t)k;
    const uint32_t *columns = (const uint32_t *)score_at(s, m->columns) + leaf->first_column;
    if (leaf->bayes) {
        memcpy(scores, shares + k, k * sizeof *scores);
        for (uint32_t c = 0; c < leaf->column_count; c++)
            if (!isnan(row[columns[c]])) add_densities(normals + 3 * (size_t)k * c, k, row[columns[c]], scores);
        if (make_shares(scores, k)) return;
    }
    memcpy(scores, shares, k * sizeof *scores);
}

void score_bayes_row(const weirscore *s, const score_model *m, const double *row, double *out) {
    double both[2];
    const score_bayes_leaf *leaf = find_leaf(s, m, row);
    if (m->task == SCORE_CLASSES) {
        score_leaf(s, m, leaf, row, m->output_count, out);
        return;
    }
    score_leaf(s, m, leaf, row, 2, both);
    out[0] = both[1];
}
