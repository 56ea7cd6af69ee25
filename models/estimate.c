#include "models/estimate.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"

/* ---- calibration ---- */

/* A score with the mean of something over the rows that have it. */
typedef struct point {
    double score, value;
} point;

static int by_score(const void *a, const void *b) {
    double x = ((const point *)a)->score, y = ((const point *)b)->score;
    return (x > y) - (x < y);
}

static weir_status no_memory(int64_t rows, weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to estimate from %lld rows", (long long)rows);
}

/* Rows in the order of their scores. */
static weir_status sorted_points(const double *score, const double *value, int64_t count, bool is_label, point **ret_points, weir_err *err) {
    if (count < 1) return WEIR_FAIL(err, WEIR_EDATA, "no rows to estimate from");
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(score[i])) return WEIR_FAIL(err, WEIR_ENUMERIC, "the score of row %lld is not finite", (long long)i);
        if (is_label ? value[i] != 0 && value[i] != 1 : !(value[i] >= 0 && value[i] <= 1))
            return WEIR_FAIL(err, WEIR_EDATA, "row %lld has %g, expected %s", (long long)i, value[i], is_label ? "0 or 1" : "a probability");
    }
    point *points = weir_models_calloc((size_t)count, sizeof *points);
    if (!points) return no_memory(count, err);
    for (int64_t i = 0; i < count; i++) points[i] = (point){score[i], value[i]};
    qsort(points, (size_t)count, sizeof *points, by_score);
    *ret_points = points;
    return WEIR_OK;
}

/* Neighbours whose mean is the same in the fit. */
typedef struct block {
    double first, last; /* scores */
    double sum, weight;
} block;

static double mean_of(const block *b) {
    return b->sum / b->weight;
}

/* Blocks of ascending means; returns how many. */
static int64_t pool(const point *points, int64_t count, block *blocks) {
    int64_t made = 0;
    for (int64_t from = 0, to; from < count; from = to) {
        block b = {.first = points[from].score, .last = points[from].score};
        for (to = from; to < count && points[to].score == points[from].score; to++) {
            b.sum += points[to].value;
            b.weight++;
        }
        while (made && mean_of(&blocks[made - 1]) >= mean_of(&b)) {
            const block *before = &blocks[--made];
            b = (block){before->first, b.last, before->sum + b.sum, before->weight + b.weight};
        }
        blocks[made++] = b;
    }
    return made;
}

weir_status weir_isotonic_fit(const double *score, const double *label, int64_t row_count, weir_isotonic *ret_isotonic, weir_err *err) {
    point *points = NULL;
    weir_status status = sorted_points(score, label, row_count, true, &points, err);
    if (status) return status;
    block *blocks = weir_models_calloc((size_t)row_count, sizeof *blocks);
    int64_t count = blocks ? pool(points, row_count, blocks) : 0;
    double *knots = blocks ? weir_models_calloc(4 * (size_t)count, sizeof *knots) : NULL;
    if (knots) {
        weir_isotonic made = {.score = knots, .probability = knots + 2 * count};
        for (int64_t b = 0; b < count; b++) {
            for (int end = 0; end < (blocks[b].first < blocks[b].last ? 2 : 1); end++) {
                made.score[made.count] = end ? blocks[b].last : blocks[b].first;
                made.probability[made.count++] = mean_of(&blocks[b]);
            }
        }
        *ret_isotonic = made;
    }
    weir_models_free(blocks);
    weir_models_free(points);
    return knots ? WEIR_OK : no_memory(row_count, err);
}

double weir_isotonic_probability(const weir_isotonic *isotonic, double score) {
    const double *x = isotonic->score, *p = isotonic->probability;
    int64_t low = 0, high = isotonic->count - 1;
    if (score <= x[low]) return p[low];
    if (score >= x[high]) return p[high];
    while (high - low > 1) { /* x[low] ≤ score < x[high] */
        int64_t middle = low + (high - low) / 2;
        if (x[middle] <= score)
            low = middle;
        else
            high = middle;
    }
    return p[low] + (p[high] - p[low]) * ((score - x[low]) / (x[high] - x[low]));
}

void weir_isotonic_done(weir_isotonic *isotonic) {
    weir_models_free(isotonic->score);
    *isotonic = (weir_isotonic){0};
}

/* ---- estimates ---- */

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

/* Pairs of a positive row i and a negative row j ≠ i: of p_i (1 − p_j), what has score i above score j, ties half. */
static double expected_auc(const point *points, int64_t count) {
    double below = 0, in_order = 0, positive = 0, negative = 0, self = 0;
    for (int64_t from = 0, to; from < count; from = to) {
        double p = 0, n = 0, same = 0;
        for (to = from; to < count && points[to].score == points[from].score; to++) {
            p += points[to].value;
            n += 1 - points[to].value;
            same += points[to].value * (1 - points[to].value);
        }
        in_order += p * below + (p * n - same) / 2;
        below += n;
        positive += p;
        negative += n;
        self += same;
    }
    double pairs = positive * negative - self;
    return pairs > 0 ? in_order / pairs : NAN;
}

/* A positive row i adds the precision of the k rows whose score is not below its own: of these it is positive itself and the others are so by their chances. */
static double expected_average_precision(const point *points, int64_t count) {
    double sum = 0, above = 0; /* positives so far, from the highest score */
    for (int64_t to = count, from; to > 0; to = from) {
        double p = 0, same = 0;
        for (from = to; from > 0 && points[from - 1].score == points[to - 1].score; from--) {
            p += points[from - 1].value;
            same += points[from - 1].value * (1 - points[from - 1].value);
        }
        above += p;
        sum += (p * above + same) / (double)(count - from);
    }
    return above > 0 ? sum / above : NAN;
}

/* As of weir_evaluate_binary: clipped by one unit in the last place of 1. */
static double log_loss_of(double score, double p) {
    double q = fmin(fmax(score, DBL_EPSILON), 1 - DBL_EPSILON);
    return -(p * log(q) + (1 - p) * log1p(-q));
}

static void add_row(weir_estimate *e, const point *row, double threshold) {
    bool called = row->score >= threshold, is_probability = row->score >= 0 && row->score <= 1;
    *(called ? &e->true_positive : &e->false_negative) += row->value;
    *(called ? &e->false_positive : &e->true_negative) += 1 - row->value;
    e->log_loss += is_probability ? log_loss_of(row->score, row->value) : NAN;
    e->brier += is_probability ? row->value * (1 - row->score) * (1 - row->score) + (1 - row->value) * row->score * row->score : NAN;
}

weir_status weir_estimate_binary(const double *score, const double *probability, int64_t row_count, double threshold, weir_estimate *ret_estimate,
                                 weir_err *err) {
    point *points = NULL;
    weir_estimate e = {.rows = row_count};
    weir_status status = sorted_points(score, probability, row_count, false, &points, err);
    if (status) return status;
    for (int64_t i = 0; i < row_count; i++) add_row(&e, &points[i], threshold);
    e.accuracy = (e.true_positive + e.true_negative) / (double)row_count;
    e.precision = ratio(e.true_positive, e.true_positive + e.false_positive);
    e.recall = ratio(e.true_positive, e.true_positive + e.false_negative);
    e.f1 = ratio(2 * e.true_positive, 2 * e.true_positive + e.false_positive + e.false_negative);
    e.log_loss /= (double)row_count;
    e.brier /= (double)row_count;
    e.auc_roc = expected_auc(points, row_count);
    e.average_precision = expected_average_precision(points, row_count);
    weir_models_free(points);
    *ret_estimate = e;
    return WEIR_OK;
}

double weir_estimate_of(const weir_estimate *estimate, const char *metric) {
    const struct {
        const char *name;
        double value;
    } all[] = {
        {"roc_auc", estimate->auc_roc},
        {"accuracy", estimate->accuracy},
        {"precision", estimate->precision},
        {"recall", estimate->recall},
        {"f1", estimate->f1},
        {"average_precision", estimate->average_precision},
        {"log_loss", estimate->log_loss},
        {"brier", estimate->brier},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!strcmp(all[i].name, metric)) return all[i].value;
    }
    return NAN;
}
