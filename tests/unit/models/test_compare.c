#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/compare.h"
#include "tests/unit/starve.h"

enum { ROWS = 400 };

/* Two samples of the same make: base's scores say little, other's say much. */
static void make_samples(double *base_score, double *other_score, double *label) {
    uint32_t x = 12345;
    for (int i = 0; i < ROWS; i++) {
        x = x * 1664525u + 1013904223u;
        double noise = (x >> 8) / 16777216.0;
        label[i] = i % 5 == 0;
        base_score[i] = noise + 0.1 * label[i];
        other_score[i] = noise + 0.8 * label[i];
    }
}

static void by_hand_point_differences(void **state) {
    (void)state;
    /* base, descending: 0.9 −, 0.8 +, 0.7 −, 0.6 +.  Pairs (+ above −): (0.8 over 0.7) = 1 of 4, AUC 0.25;  AP = ½·(1/2) + ½·(2/4) = 0.5
     * other: a tie of one + and one − at 0.5, one + above, one − below: AUC = (1 + 1 + ½ + 1) / 4 = 0.875;  AP = ½·1 + ½·(2/3) = 5/6 */
    const double base_score[] = {0.9, 0.8, 0.7, 0.6}, base_label[] = {0, 1, 0, 1};
    const double other_score[] = {0.5, 0.1, 0.5, 0.9, 0.3}, other_label[] = {0, 0, 1, 1, NAN};
    weir_comparison c;
    weir_err err;
    assert_int_equal(weir_compare_independent(&(weir_sample){4, base_score, base_label}, &(weir_sample){5, other_score, other_label}, 100, 1, 0.95, &c, &err),
                     WEIR_OK);
    assert_float_equal(c.auc.value, 0.875 - 0.25, 1e-15);
    assert_float_equal(c.ap.value, 5.0 / 6 - 0.5, 1e-15);
}

static void same_seed_same_bits_and_other_seed_other_bits(void **state) {
    (void)state;
    double base[ROWS], other[ROWS], label[ROWS];
    make_samples(base, other, label);
    weir_sample a = {ROWS, base, label}, b = {ROWS, other, label};
    weir_comparison first, again, reseeded;
    assert_int_equal(weir_compare_independent(&a, &b, 300, 7, 0.95, &first, NULL), WEIR_OK);
    assert_int_equal(weir_compare_independent(&a, &b, 300, 7, 0.95, &again, NULL), WEIR_OK);
    assert_int_equal(weir_compare_independent(&a, &b, 300, 8, 0.95, &reseeded, NULL), WEIR_OK);
    assert_memory_equal(&first.auc, &again.auc, sizeof first.auc);
    assert_memory_equal(&first.ap, &again.ap, sizeof first.ap);
    assert_true(first.auc.low != reseeded.auc.low);
    assert_true(first.auc.value == reseeded.auc.value);
}

static void interval_holds_the_value_and_excludes_zero_when_one_is_clearly_better(void **state) {
    (void)state;
    double base[ROWS], other[ROWS], label[ROWS];
    make_samples(base, other, label);
    weir_sample a = {ROWS, base, label}, b = {ROWS, other, label};
    weir_comparison better, worse, equal;
    assert_int_equal(weir_compare_independent(&a, &b, 500, 7, 0.95, &better, NULL), WEIR_OK);
    assert_true(better.auc.low > 0 && better.auc.low < better.auc.value && better.auc.value < better.auc.high);
    assert_true(better.ap.low > 0 && better.ap.low < better.ap.value && better.ap.value < better.ap.high);
    assert_int_equal(better.counted, 500);
    assert_int_equal(weir_compare_independent(&b, &a, 500, 7, 0.95, &worse, NULL), WEIR_OK);
    assert_float_equal(worse.auc.value, -better.auc.value, 1e-15);
    assert_true(worse.auc.high < 0);
    assert_int_equal(weir_compare_independent(&a, &a, 500, 7, 0.95, &equal, NULL), WEIR_OK);
    assert_true(equal.auc.value == 0 && equal.auc.low < 0 && equal.auc.high > 0);
}

static void a_wider_level_gives_a_wider_interval(void **state) {
    (void)state;
    double base[ROWS], other[ROWS], label[ROWS];
    make_samples(base, other, label);
    weir_sample a = {ROWS, base, label}, b = {ROWS, other, label};
    weir_comparison narrow, wide;
    assert_int_equal(weir_compare_independent(&a, &b, 500, 7, 0.5, &narrow, NULL), WEIR_OK);
    assert_int_equal(weir_compare_independent(&a, &b, 500, 7, 0.99, &wide, NULL), WEIR_OK);
    assert_true(wide.auc.low < narrow.auc.low && narrow.auc.high < wide.auc.high);
}

static void perfect_scores_leave_no_width(void **state) {
    (void)state;
    double score[ROWS], label[ROWS];
    for (int i = 0; i < ROWS; i++) score[i] = label[i] = i % 2;
    weir_sample a = {ROWS, score, label};
    weir_comparison c;
    assert_int_equal(weir_compare_independent(&a, &a, 200, 7, 0.95, &c, NULL), WEIR_OK);
    assert_true(c.auc.low == 0 && c.auc.high == 0 && c.ap.low == 0 && c.ap.high == 0);
}

static void one_positive_each_is_too_little_for_an_interval(void **state) {
    (void)state;
    const double score[] = {1, 2, 3}, label[] = {0, 1, 0};
    weir_sample a = {3, score, label};
    weir_comparison c;
    /* both samples keep their positive with probability (1 − 1/e)² ≈ 0.40, and their negatives with less than 1 */
    assert_int_equal(weir_compare_independent(&a, &a, 1000, 7, 0.95, &c, NULL), WEIR_OK);
    assert_true(c.counted > 200 && c.counted < 400);
    assert_true(c.auc.value == 0 && isnan(c.auc.low) && isnan(c.auc.high) && isnan(c.ap.low));
}

static void bad_input_is_refused_and_leaves_the_result_alone(void **state) {
    (void)state;
    const double score[] = {1, 2, 3}, label[] = {0, 1, 0}, ones[] = {1, 1, NAN}, odd[] = {0, 1, 2}, holes[] = {1, INFINITY, 3};
    weir_sample good = {3, score, label};
    weir_comparison c = {.counted = -1};
    weir_err err;
    assert_int_equal(weir_compare_independent(&good, &(weir_sample){3, score, ones}, 100, 1, 0.95, &c, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "other sample has 2 positives among 2 rows"));
    assert_int_equal(weir_compare_independent(&(weir_sample){0}, &good, 100, 1, 0.95, &c, &err), WEIR_EDATA);
    assert_int_equal(weir_compare_independent(&(weir_sample){3, score, odd}, &good, 100, 1, 0.95, &c, &err), WEIR_EDATA);
    assert_int_equal(weir_compare_independent(&(weir_sample){3, holes, label}, &good, 100, 1, 0.95, &c, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_compare_independent(&good, &good, 99, 1, 0.95, &c, &err), WEIR_EINVAL);
    assert_int_equal(weir_compare_independent(&good, &good, 100, 1, 1, &c, &err), WEIR_EINVAL);
    assert_int_equal(weir_compare_independent(&good, &good, 100, 1, NAN, &c, &err), WEIR_EINVAL);
    assert_int_equal(c.counted, -1);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    const double score[] = {1, 2, 3, 4}, label[] = {0, 1, 0, 1};
    weir_sample good = {4, score, label};
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    weir_comparison c;
    int failures = 0;
    for (int n = 0;; n++) {
        allocations_left = n;
        weir_status status = weir_compare_independent(&good, &good, 100, 1, 0.95, &c, NULL);
        if (status == WEIR_OK) break;
        failures++;
        if (status != WEIR_ENOMEM) failures = -1000;
    }
    weir_mem = before;
    assert_int_equal(failures, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand_point_differences),
        cmocka_unit_test(same_seed_same_bits_and_other_seed_other_bits),
        cmocka_unit_test(interval_holds_the_value_and_excludes_zero_when_one_is_clearly_better),
        cmocka_unit_test(a_wider_level_gives_a_wider_interval),
        cmocka_unit_test(perfect_scores_leave_no_width),
        cmocka_unit_test(one_positive_each_is_too_little_for_an_interval),
        cmocka_unit_test(bad_input_is_refused_and_leaves_the_result_alone),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
