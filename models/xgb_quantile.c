/* Boosting towards a quantile with a library that has no such objective: the library is given gradients and second derivatives, and what it builds is a model of squared error, whose
 * scores are sums of leaves.
 *
 * The pinball loss ρ(e) = e (a − [e < 0]) of e = y − score has no curvature of its own. The expected loss has: its second derivative is the density of e at its a-quantile, the inverse
 * of the sparsity s = dQ/da. Newton's step for a leaf is then s · (a − share of its rows below their score); with gradient s ([e < 0] − a) and second derivative 1 that is what the
 * library puts into a leaf. s is estimated anew in each round from the residuals so far: (Q(a + h) − Q(a − h)) / 2h with h half the distance of a to 0 or 1.
 * Source: Koenker, Quantile regression, 2005, 3.4.1 (sparsity) and 4.10.1; Koenker, Bassett, Regression quantiles, Econometrica 1978. */
#include <math.h>
#include <stdlib.h>

#include "models/memory.h"
#include "models/xgb_common.h"

enum { SAMPLE_MAX = 4096 }; /* residuals that the sparsity is estimated from */

typedef struct weighed {
    double value, weight;
} weighed;

static int by_value(const void *a, const void *b) {
    double x = ((const weighed *)a)->value, y = ((const weighed *)b)->value;
    return (x > y) - (x < y);
}

static double weight_of(const weir_matrix *train, int64_t row) {
    return train->weight ? train->weight[row] : 1;
}

/* Of sorted values; total > 0 is their weight. */
static double quantile_of(const weighed *sorted, int64_t count, double total, double quantile) {
    double below = 0;
    for (int64_t i = 0; i < count; i++) {
        below += sorted[i].weight / total;
        if (below >= quantile && sorted[i].weight > 0) return sorted[i].value;
    }
    return sorted[count - 1].value;
}

weir_status weir_xgb_label_quantile(const weir_matrix *train, int64_t from, int64_t to, double quantile, double *ret_value, weir_err *err) {
    weighed *labels = weir_models_calloc((size_t)(to - from), sizeof *labels);
    double total = 0;
    if (!labels) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld labels", (long long)(to - from));
    for (int64_t r = from; r < to; r++) {
        labels[r - from] = (weighed){train->label[r], weight_of(train, r)};
        total += weight_of(train, r);
    }
    qsort(labels, (size_t)(to - from), sizeof *labels, by_value);
    *ret_value = quantile_of(labels, to - from, total, quantile);
    weir_models_free(labels);
    return WEIR_OK;
}

/* From every n-th row, so that many rows cost no more than SAMPLE_MAX. Where residuals are equal around the quantile, their mean size says how far apart they are. */
static weir_status sparsity(const weir_matrix *train, int64_t from, int64_t to, double quantile, const float *score, double *ret_sparsity, weir_err *err) {
    int64_t step = (to - from + SAMPLE_MAX - 1) / SAMPLE_MAX, count = 0;
    weighed *residuals = weir_models_calloc(SAMPLE_MAX, sizeof *residuals);
    double total = 0, sizes = 0, h = fmin(quantile, 1 - quantile) / 2;
    if (!residuals) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d residuals", SAMPLE_MAX);
    for (int64_t r = from; r < to; r += step) {
        residuals[count] = (weighed){train->label[r] - (double)score[r - from], weight_of(train, r)};
        total += residuals[count].weight;
        sizes += residuals[count].weight * fabs(residuals[count].value);
        count++;
    }
    *ret_sparsity = 0;
    if (total > 0) {
        qsort(residuals, (size_t)count, sizeof *residuals, by_value);
        double spread = quantile_of(residuals, count, total, quantile + h) - quantile_of(residuals, count, total, quantile - h);
        *ret_sparsity = spread > 0 ? spread / (2 * h) : sizes / total;
    }
    weir_models_free(residuals);
    return WEIR_OK;
}

weir_status weir_xgb_quantile_gradients(const weir_matrix *train, int64_t from, int64_t to, double quantile, const float *score, float *gradient, float *second,
                                        weir_err *err) {
    double s = 0;
    weir_status status = sparsity(train, from, to, quantile, score, &s, err);
    for (int64_t r = from; !status && r < to; r++) {
        float label = (float)train->label[r];
        double weight = weight_of(train, r), slope = label < score[r - from] ? 1 - quantile : label > score[r - from] ? -quantile : 0;
        gradient[r - from] = (float)(weight * s * slope);
        second[r - from] = (float)weight;
        if (!isfinite(gradient[r - from]) || !isfinite(second[r - from]))
            status = WEIR_FAIL(err, WEIR_ENUMERIC, "the gradient of row %lld is not finite: labels or weights are too large", (long long)r);
    }
    return status;
}

double weir_xgb_quantile_loss(const weir_matrix *train, int64_t from, int64_t to, double quantile, const float *score) {
    double sum = 0, total = 0;
    for (int64_t r = from; r < to; r++) {
        double away = train->label[r] - (double)score[r - from];
        sum += weight_of(train, r) * fmax(quantile * away, (quantile - 1) * away);
        total += weight_of(train, r);
    }
    return sum / total;
}
