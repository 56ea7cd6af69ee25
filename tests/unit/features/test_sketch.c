/* Sketches and sorting: equal bytes in every order, merge is union, exact while few, stated errors, hard inputs. Their errors on distributions: the oracle test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "features/operator.h"
#include "features/sketch.h"
#include "features/sort.h"

enum { MANY = 5000 };

/* A 64-bit linear congruential generator (Knuth's MMIX constants): values in [0, 1). */
static double next_uniform(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*seed >> 11) * 0x1p-53;
}

/* Of both signs, with zeros, over six powers of e. */
static void fill(double *values, int n, uint64_t seed) {
    for (int i = 0; i < n; i++) values[i] = i % 10 == 7 ? 0 : exp(6 * next_uniform(&seed)) * (next_uniform(&seed) < 0.3 ? -1 : 1);
}

static void *sketch_of(size_t size, int garbage) {
    void *sketch = malloc(size);
    assert_non_null(sketch);
    memset(sketch, garbage, size);
    return sketch;
}

static weir_distinct *distinct_of(const double *values, int n, int step, int garbage) {
    weir_distinct *sketch = sketch_of(weir_distinct_size(8), garbage);
    weir_distinct_init(sketch, 8);
    for (int i = 0; i < n; i++) weir_distinct_add(sketch, values[(int)((int64_t)i * step % n)]);
    return sketch;
}

static weir_quantiles *quantiles_of(const double *values, int n, int step, int garbage) {
    weir_quantiles *sketch = sketch_of(weir_quantiles_size(128), garbage);
    weir_quantiles_init(sketch, 128, 0.01);
    for (int i = 0; i < n; i++) weir_quantiles_add(sketch, values[(int)((int64_t)i * step % n)]);
    return sketch;
}

static void order_and_merging_leave_no_trace(void **state) {
    (void)state;
    static double values[MANY];
    static const int sizes[] = {0, 1, 20, 40, 70, 500, MANY - 1}; /* 40 exact distinct values and more: 32 fit; 70: 64 exact values fit */
    fill(values, MANY, 11);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        int n = sizes[s];
        weir_distinct *d = distinct_of(values, n, 1, 0xAA), *other_d = distinct_of(values, n, 7919, 0x55);
        weir_quantiles *q = quantiles_of(values, n, 1, 0xAA), *other_q = quantiles_of(values, n, 7919, 0x55);
        assert_memory_equal(d, other_d, weir_distinct_size(8));
        assert_memory_equal(q, other_q, weir_quantiles_size(128));
        for (int split = 0; split <= n; split += n / 5 + 1) {
            weir_distinct *head_d = distinct_of(values, split, 1, 0), *tail_d = distinct_of(values + split, n - split, 1, 0);
            weir_quantiles *head_q = quantiles_of(values, split, 1, 0), *tail_q = quantiles_of(values + split, n - split, 1, 0);
            weir_distinct_merge(head_d, tail_d);
            weir_quantiles_merge(head_q, tail_q);
            assert_float_equal(weir_distinct_value(head_d), weir_distinct_value(d), 0);
            assert_memory_equal(head_d, d, weir_distinct_size(8));
            assert_memory_equal(head_q, q, weir_quantiles_size(128));
            free(head_d);
            free(tail_d);
            free(head_q);
            free(tail_q);
        }
        free(d);
        free(other_d);
        free(q);
        free(other_q);
    }
}

static void distinct_is_exact_to_its_room_and_knows_repeats(void **state) {
    (void)state;
    static double values[64];
    for (int i = 0; i < 64; i++) values[i] = i % 32 - 16;
    weir_distinct *d = distinct_of(values, 64, 1, 0);
    assert_float_equal(weir_distinct_value(d), 32, 0);
    assert_int_equal(d->sketched, 0);
    weir_distinct_add(d, -0.0);
    assert_float_equal(weir_distinct_value(d), 32, 0);
    weir_distinct_add(d, 99);
    assert_int_equal(d->sketched, 1);
    assert_float_equal(weir_distinct_value(d), 33, 33 * 5 * 1.04 / 16);
    free(d);
}

static void quantiles_are_exact_to_their_room(void **state) {
    (void)state;
    static double values[64];
    for (int i = 0; i < 64; i++) values[i] = 63 - i;
    weir_quantiles *q = quantiles_of(values, 64, 1, 0);
    assert_float_equal(weir_quantiles_value(q, 0.25), 15.75, 0);
    assert_float_equal(weir_quantiles_error(q), 0, 0);
    weir_quantiles_add(q, 64);
    assert_float_equal(weir_quantiles_error(q), 2 * 0.01 / (1 + 0.01 * 0.01), 1e-15); /* ln 64 / 0.02 = 208 bins do not fit 128 */
    assert_float_equal(weir_quantiles_value(q, 0.5), 32, 32 * weir_quantiles_error(q));
    assert_float_equal(weir_quantiles_value(q, 0), 0, 0);
    assert_float_equal(weir_quantiles_value(q, 1), 64, 0);
    free(q);
}

static void quantiles_take_the_whole_range_of_doubles(void **state) {
    (void)state;
    static const double extremes[] = {-1.7e308, 1.7e308, 2.3e-308, -2.3e-308, 4.9e-324, 0.0, -0.0, 1, -1};
    static double values[900];
    for (int i = 0; i < 900; i++) values[i] = extremes[i % 9];
    weir_quantiles *q = quantiles_of(values, 900, 7, 0);
    double error = weir_quantiles_error(q);
    assert_true(error > 0.99 && error <= 1);
    for (int i = 0; i <= 20; i++) assert_true(isfinite(weir_quantiles_value(q, i / 20.0)));
    assert_float_equal(weir_quantiles_value(q, 0.5), 0, 0);
    assert_float_equal(weir_quantiles_value(q, 0), -1.7e308, 0);
    assert_float_equal(weir_quantiles_value(q, 1), 1.7e308, 0);
    free(q);
}

static void quantiles_of_one_repeated_value_are_that_value(void **state) {
    (void)state;
    static double values[1000];
    for (int i = 0; i < 1000; i++) values[i] = 17.3;
    weir_quantiles *q = quantiles_of(values, 1000, 1, 0);
    assert_float_equal(weir_quantiles_value(q, 0.37), 17.3, 0);
    free(q);
}

static weir_frequent *frequent_of(const double *values, int n, int garbage) {
    weir_frequent *sketch = sketch_of(weir_frequent_size(8), garbage);
    weir_frequent_init(sketch, 8);
    for (int i = 0; i < n; i++) weir_frequent_add(sketch, values[i]);
    return sketch;
}

static void frequent_values_are_exact_while_few(void **state) {
    (void)state;
    static double values[400];
    uint64_t seed = 5;
    for (int i = 0; i < 400; i++) values[i] = floor(8 * next_uniform(&seed));
    weir_frequent *f = frequent_of(values, 400, 0xAA);
    for (int split = 0; split <= 400; split += 50) {
        weir_frequent *head = frequent_of(values, split, 0x55), *tail = frequent_of(values + split, 400 - split, 0);
        weir_frequent_merge(head, tail);
        assert_memory_equal(head, f, weir_frequent_size(8));
        free(head);
        free(tail);
    }
    free(f);
}

static void frequent_values_beyond_the_slots_stay_within_the_bound(void **state) {
    (void)state;
    static double values[MANY];
    uint64_t seed = 9;
    int count = 0;
    for (int i = 0; i < MANY; i++) values[i] = next_uniform(&seed) < 0.25 ? 42 : floor(1000 * next_uniform(&seed)) + 100;
    for (int i = 0; i < MANY; i++) count += values[i] == 42;
    for (int split = 0; split <= MANY; split += MANY / 4) {
        weir_frequent *head = frequent_of(values, split, 0), *tail = frequent_of(values + split, MANY - split, 0);
        weir_frequent_merge(head, tail);
        const weir_frequent_slot *top = weir_frequent_top(head);
        assert_non_null(top);
        assert_float_equal(top->value, 42, 0);
        assert_in_range(top->count, count - MANY / 9, count);
        assert_int_equal(head->records, MANY);
        free(head);
        free(tail);
    }
    weir_frequent *none = frequent_of(values, 0, 0xAA);
    assert_null(weir_frequent_top(none));
    free(none);
}

static void every_sketch_fits_an_accumulator(void **state) {
    (void)state;
    assert_true(weir_distinct_size(WEIR_DISTINCT_PRECISION_MAX) <= WEIR_ACC_MAX);
    assert_true(weir_quantiles_size(WEIR_QUANTILES_BINS_MAX) <= WEIR_ACC_MAX);
    assert_true(weir_frequent_size(WEIR_FREQUENT_SLOTS_MAX) <= WEIR_ACC_MAX);
}

static void many_at_once_are_one_after_the_other(void **state) {
    (void)state;
    static double values[MANY];
    static const int sizes[] = {0, 1, 7, 127, 128, 129, 511, 513, MANY};
    enum { PRECISION = 10, BINS = 1024 };
    weir_distinct *distinct[2] = {malloc(weir_distinct_size(PRECISION)), malloc(weir_distinct_size(PRECISION))};
    weir_quantiles *quantiles[2] = {malloc(weir_quantiles_size(BINS)), malloc(weir_quantiles_size(BINS))};
    fill(values, MANY, 11);
    for (int i = 0; i < MANY; i += 5) values[i] = i % 3 ? -values[i] * 1e-3 : -0.0; /* both signs, and a range that makes bins unite */
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        for (int side = 0; side < 2; side++) {
            weir_distinct_init(distinct[side], PRECISION);
            weir_quantiles_init(quantiles[side], BINS, 0.005);
        }
        for (int i = 0; i < sizes[s]; i++) {
            weir_distinct_add(distinct[0], values[i]);
            weir_quantiles_add(quantiles[0], values[i]);
        }
        int cut = sizes[s] / 3;
        weir_distinct_add_many(distinct[1], values, cut);
        weir_distinct_add_many(distinct[1], values + cut, sizes[s] - cut);
        weir_quantiles_add_many(quantiles[1], values, cut);
        weir_quantiles_add_many(quantiles[1], values + cut, sizes[s] - cut);
        assert_memory_equal(distinct[0], distinct[1], weir_distinct_size(PRECISION));
        assert_memory_equal(quantiles[0], quantiles[1], weir_quantiles_size(BINS));
    }
    for (int side = 0; side < 2; side++) {
        free(distinct[side]);
        free(quantiles[side]);
    }
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Values for which the median of the first, the middle and the last is always a bad pivot. Source: Musser (1997). */
static double bad_for_medians_of_three(int i, int n) {
    return i >= n / 2 ? 2 * (i + 1 - n / 2) : i % 2 ? n / 2 + i : i + 1;
}

static void sorting_and_selection_agree_with_the_library(void **state) {
    (void)state;
    static double values[MANY], sorted[MANY], selected[MANY];
    static weir_pair pairs[MANY];
    static const int sizes[] = {1, 2, 3, 10, 1000, MANY};
    for (int shape = 0; shape < 5; shape++) {
        fill(values, MANY, 3);
        for (int i = 0; i < MANY; i++)
            values[i] = shape == 1   ? i
                        : shape == 2 ? MANY - i
                        : shape == 3 ? floor(values[i] / 20)
                        : shape == 4 ? bad_for_medians_of_three(i, MANY)
                                     : values[i];
        for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
            int n = sizes[s];
            memcpy(sorted, values, sizeof(sorted));
            qsort(sorted, (size_t)n, sizeof(*sorted), compare_doubles);
            memcpy(selected, values, sizeof(selected));
            weir_sort(selected, n);
            assert_memory_equal(selected, sorted, (size_t)n * sizeof(*sorted));
            for (int k = n - 1; k >= 0; k -= n / 7 + 1) {
                memcpy(selected, values, sizeof(selected));
                weir_select(selected, n, k);
                assert_float_equal(selected[k], sorted[k], 0);
                for (int i = 0; i < n; i++) assert_true(i < k ? selected[i] <= selected[k] : selected[i] >= selected[k]);
            }
            for (int i = 0; i < n; i++) pairs[i] = (weir_pair){values[i], n - i};
            weir_sort_pairs(pairs, n);
            for (int i = 0; i < n; i++) assert_float_equal(pairs[i].key, sorted[i], 0);
            for (int i = 1; i < n; i++) assert_true(pairs[i - 1].key < pairs[i].key || pairs[i - 1].with < pairs[i].with);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_merging_leave_no_trace),
        cmocka_unit_test(distinct_is_exact_to_its_room_and_knows_repeats),
        cmocka_unit_test(quantiles_are_exact_to_their_room),
        cmocka_unit_test(quantiles_take_the_whole_range_of_doubles),
        cmocka_unit_test(quantiles_of_one_repeated_value_are_that_value),
        cmocka_unit_test(frequent_values_are_exact_while_few),
        cmocka_unit_test(frequent_values_beyond_the_slots_stay_within_the_bound),
        cmocka_unit_test(every_sketch_fits_an_accumulator),
        cmocka_unit_test(many_at_once_are_one_after_the_other),
        cmocka_unit_test(sorting_and_selection_agree_with_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
