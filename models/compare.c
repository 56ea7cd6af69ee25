/* Poisson bootstrap of AUC and average precision.
 *
 * Both metrics depend on a sample only through the order of its scores, so each sample is sorted once, descending, and reduced to one byte a row:
 *
 *     bit 0  the row is positive
 *     bit 1  the row is the last one of its score (a run of ties ends here)
 *
 * A replicate is then one pass over these bytes with a fresh weight for every row. */
#include "models/compare.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/random.h"

enum { POSITIVE = 1, RUN_ENDS = 2, WEIGHT_BITS = 16, WEIGHT_COUNT = 1 << WEIGHT_BITS };

typedef struct ranked {
    int64_t count;
    uint8_t *rows; /* [count] flags, by descending score */
} ranked;

typedef struct scored {
    double score;
    uint8_t positive;
} scored;

typedef struct pair {
    double auc, ap;
} pair;

/* Inverse distribution function of Poisson(1) at (i + ½) / 65536. */
static void fill_weights(uint8_t table[WEIGHT_COUNT]) {
    double mass = exp(-1), cumulative = mass;
    int k = 0;
    for (int i = 0; i < WEIGHT_COUNT; i++) {
        while ((i + 0.5) / WEIGHT_COUNT > cumulative) {
            mass /= ++k;
            cumulative += mass;
        }
        table[i] = (uint8_t)k;
    }
}

static int by_score_descending(const void *a, const void *b) {
    double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

static weir_status collect(const weir_sample *sample, const char *name, scored *rows, int64_t *ret_count, weir_err *err) {
    int64_t count = 0, positives = 0;
    for (int64_t i = 0; i < sample->row_count; i++) {
        double label = sample->label[i];
        if (isnan(label)) continue;
        if (label != 0 && label != 1) return WEIR_FAIL(err, WEIR_EDATA, "label %g in row %lld of the %s sample: expected 0 or 1", label, (long long)i, name);
        if (!isfinite(sample->score[i])) return WEIR_FAIL(err, WEIR_ENUMERIC, "score of row %lld of the %s sample is not finite", (long long)i, name);
        rows[count++] = (scored){sample->score[i], label == 1};
        positives += label == 1;
    }
    if (!positives || positives == count) {
        return WEIR_FAIL(err, WEIR_EDATA, "the %s sample has %lld positives among %lld rows: expected both classes", name, (long long)positives,
                         (long long)count);
    }
    *ret_count = count;
    return WEIR_OK;
}

static weir_status rank(const weir_sample *sample, const char *name, ranked *ret_ranked, weir_err *err) {
    size_t room = sample->row_count > 0 ? (size_t)sample->row_count : 1;
    int64_t count = 0;
    weir_status status = WEIR_OK;
    scored *rows = weir_mem.realloc(NULL, room * sizeof *rows);
    uint8_t *flags = rows ? weir_mem.realloc(NULL, room) : NULL;
    if (!flags) {
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %lld scores", (long long)sample->row_count);
        goto out;
    }
    status = collect(sample, name, rows, &count, err);
    if (status) goto out;
    qsort(rows, (size_t)count, sizeof *rows, by_score_descending);
    for (int64_t i = 0; i < count; i++) {
        bool run_ends = i + 1 == count || rows[i + 1].score != rows[i].score;
        flags[i] = (uint8_t)((rows[i].positive ? POSITIVE : 0) | (run_ends ? RUN_ENDS : 0));
    }
    *ret_ranked = (ranked){count, flags};
    flags = NULL;
out:
    free(flags);
    free(rows);
    return status;
}

/* One pass; weights NULL: every row weighs 1. False when a class has no weight. Counts are whole numbers, so nothing is rounded before the divisions. */
static bool measure(const ranked *sample, const uint8_t *weights, uint64_t *random, pair *ret_pair) {
    uint64_t positive = 0, negative = 0, run_positive = 0, run_negative = 0, concordant_twice = 0, bits = 0;
    double precision_sum = 0;
    for (int64_t i = 0; i < sample->count; i++) {
        uint64_t weight = 1;
        if (weights) {
            bits = (i & 3) ? bits >> WEIGHT_BITS : weir_models_random(random);
            weight = weights[bits & (WEIGHT_COUNT - 1)];
        }
        uint8_t flags = sample->rows[i];
        uint64_t of_class = weight * (flags & POSITIVE);
        run_positive += of_class;
        run_negative += weight - of_class;
        if (!(flags & RUN_ENDS)) continue;
        concordant_twice += run_negative * (2 * positive + run_positive);
        positive += run_positive;
        negative += run_negative;
        if (run_positive) precision_sum += (double)run_positive * (double)positive / (double)(positive + negative);
        run_positive = run_negative = 0;
    }
    if (!positive || !negative) return false;
    *ret_pair = (pair){(double)concordant_twice / (2 * (double)positive * (double)negative), precision_sum / (double)positive};
    return true;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between order statistics. values is ascending. */
static double quantile(const double *values, int count, double q) {
    double at = q * (count - 1);
    int below = (int)at;
    if (below + 1 >= count) return values[count - 1];
    return values[below] + (at - below) * (values[below + 1] - values[below]);
}

static weir_interval interval(double value, double *differences, int counted, int replicates, double level) {
    if (counted * 2 < replicates) return (weir_interval){value, NAN, NAN};
    qsort(differences, (size_t)counted, sizeof *differences, by_value);
    return (weir_interval){value, quantile(differences, counted, (1 - level) / 2), quantile(differences, counted, (1 + level) / 2)};
}

/* weights [WEIGHT_COUNT], differences [2][replicates] */
static void bootstrap(const ranked *base, const ranked *other, int replicates, uint64_t seed, double level, uint8_t *weights, double *differences,
                      weir_comparison *ret_comparison) {
    pair b, o;
    uint64_t random = seed;
    int counted = 0;
    fill_weights(weights);
    for (int r = 0; r < replicates; r++) {
        bool base_counts = measure(base, weights, &random, &b), other_counts = measure(other, weights, &random, &o);
        if (!base_counts || !other_counts) continue;
        differences[counted] = o.auc - b.auc;
        differences[replicates + counted] = o.ap - b.ap;
        counted++;
    }
    bool whole = measure(base, NULL, NULL, &b) && measure(other, NULL, NULL, &o);
    if (!whole) b = o = (pair){NAN, NAN};
    ret_comparison->auc = interval(o.auc - b.auc, differences, counted, replicates, level);
    ret_comparison->ap = interval(o.ap - b.ap, differences + replicates, counted, replicates, level);
    ret_comparison->counted = counted;
}

weir_status weir_compare_independent(const weir_sample *base, const weir_sample *other, int replicates, uint64_t seed, double level,
                                     weir_comparison *ret_comparison, weir_err *err) {
    if (replicates < WEIR_REPLICATES_MIN || replicates > WEIR_REPLICATES_MAX) {
        return WEIR_FAIL(err, WEIR_EINVAL, "%d replicates: expected %d to %d", replicates, WEIR_REPLICATES_MIN, WEIR_REPLICATES_MAX);
    }
    if (!(level > 0 && level < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "level %g: expected a number between 0 and 1", level);
    ranked base_ranked = {0}, other_ranked = {0};
    uint8_t *weights = weir_mem.realloc(NULL, WEIGHT_COUNT);
    double *differences = weir_mem.realloc(NULL, 2 * (size_t)replicates * sizeof *differences);
    weir_status status = WEIR_OK;
    if (!weights || !differences) {
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d replicates", replicates);
        goto out;
    }
    if ((status = rank(base, "base", &base_ranked, err)) || (status = rank(other, "other", &other_ranked, err))) goto out;
    bootstrap(&base_ranked, &other_ranked, replicates, seed, level, weights, differences, ret_comparison);
out:
    free(base_ranked.rows);
    free(other_ranked.rows);
    free(differences);
    free(weights);
    return status;
}
