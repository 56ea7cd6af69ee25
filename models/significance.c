/* Paired tests and Holm's correction. */
#include "models/significance.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/distributions.h"
#include "models/memory.h"

static weir_status check_pairs(const double *base, const double *other, int64_t count, weir_err *err) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(other[i] - base[i]))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "pair %lld is %g and %g, expected finite numbers", (long long)i, base[i], other[i]);
    return WEIR_OK;
}

weir_status weir_paired_t_test(const double *base, const double *other, int64_t count, double test_to_train, weir_paired_t *ret_test, weir_err *err) {
    if (!(test_to_train >= 0 && isfinite(test_to_train)))
        return WEIR_FAIL(err, WEIR_EINVAL, "test_to_train is %g, expected a finite number that is not negative", test_to_train);
    if (count < 2) return WEIR_FAIL(err, WEIR_EDATA, "%lld pairs, expected at least 2", (long long)count);
    weir_status status = check_pairs(base, other, count, err);
    if (status != WEIR_OK) return status;
    long double mean = 0, squares = 0;
    bool constant = true;
    for (int64_t i = 0; i < count; i++) {
        mean += other[i] - base[i];
        constant = constant && other[i] - base[i] == other[0] - base[0];
    }
    mean = constant ? other[0] - base[0] : mean / count;
    for (int64_t i = 0; i < count; i++) {
        long double deviation = other[i] - base[i] - mean;
        squares += deviation * deviation;
    }
    weir_paired_t test = {.mean = (double)mean, .degrees = (double)(count - 1)};
    test.standard_error = (double)sqrtl(squares / (count - 1) * (1.0L / count + test_to_train));
    test.t = test.mean == 0 ? 0 : test.mean / test.standard_error;
    test.p = weir_student_two_sided(test.t, test.degrees);
    *ret_test = test;
    return WEIR_OK;
}

/* A difference's size and twice its rank, which is whole even where ties share a rank. */
typedef struct difference {
    double size;
    int64_t rank_twice;
    bool positive;
} difference;

static int by_size(const void *left, const void *right) {
    const difference *a = left, *b = right;
    return (a->size > b->size) - (a->size < b->size);
}

/* *ret_ties: Σ (t³ − t) over runs of t equal sizes. */
static void rank_differences(difference *d, int64_t n, double *ret_ties) {
    double ties = 0;
    qsort(d, (size_t)n, sizeof *d, by_size);
    for (int64_t from = 0, end; from < n; from = end) {
        for (end = from; end < n && d[end].size == d[from].size;) end++;
        for (int64_t i = from; i < end; i++) d[i].rank_twice = from + 1 + end;
        double run = (double)(end - from);
        ties += run * run * run - run;
    }
    *ret_ties = ties;
}

/* Of the 2^n equally likely ways to give signs, the share whose positive ranks sum to at most `smaller_twice`, twice over. Counts are exact: below 2^53. */
static double exact_p(const difference *d, int64_t n, int64_t smaller_twice) {
    enum { SUMS = WEIR_WILCOXON_EXACT_MAX * (WEIR_WILCOXON_EXACT_MAX + 1) + 1 };
    double ways[SUMS] = {1}, as_small = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t sum = SUMS - 1; sum >= d[i].rank_twice; sum--) ways[sum] += ways[sum - d[i].rank_twice];
    for (int64_t sum = 0; sum <= smaller_twice; sum++) as_small += ways[sum];
    return fmin(1, 2 * ldexp(as_small, -(int)n));
}

static double approximate_p(int64_t pairs, double positive_ranks, double ties) {
    double n = (double)pairs, mean = n * (n + 1) / 4, variance = (n * (n + 1) * (2 * n + 1) - ties / 2) / 24;
    return weir_normal_two_sided((positive_ranks - mean) / sqrt(variance));
}

weir_status weir_wilcoxon_test(const double *base, const double *other, int64_t count, weir_wilcoxon *ret_test, weir_err *err) {
    if (count < 0) return WEIR_FAIL(err, WEIR_EINVAL, "%lld pairs, expected a count", (long long)count);
    weir_status status = check_pairs(base, other, count, err);
    if (status != WEIR_OK) return status;
    difference *d = weir_models_calloc((size_t)count, sizeof *d);
    if (!d) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld pairs", (long long)count);
    weir_wilcoxon test = {.p = 1};
    double ties;
    int64_t positive_twice = 0, negative_twice = 0;
    for (int64_t i = 0; i < count; i++) {
        double size = other[i] - base[i];
        if (size != 0) d[test.pairs++] = (difference){.size = fabs(size), .positive = size > 0};
    }
    rank_differences(d, test.pairs, &ties);
    for (int64_t i = 0; i < test.pairs; i++) *(d[i].positive ? &positive_twice : &negative_twice) += d[i].rank_twice;
    test.positive_ranks = (double)positive_twice / 2;
    test.negative_ranks = (double)negative_twice / 2;
    if (test.pairs > WEIR_WILCOXON_EXACT_MAX)
        test.p = approximate_p(test.pairs, test.positive_ranks, ties);
    else if (test.pairs > 0)
        test.p = exact_p(d, test.pairs, positive_twice < negative_twice ? positive_twice : negative_twice);
    weir_models_free(d);
    *ret_test = test;
    return WEIR_OK;
}
