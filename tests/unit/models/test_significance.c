#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/p_values.h"
#include "models/significance.h"
#include "tests/unit/starve.h"

/* Differences 1, 2, 3: mean 2, s² = 1, standard error √(1/3), with half as many rows tested as trained on √(1/3 + 1/2). Two degrees: p = 1 − t / √(2 + t²). */
static void paired_t_is_as_worked_by_hand(void **state) {
    (void)state;
    const double base[] = {1, 1, 1}, other[] = {2, 3, 4};
    weir_paired_t test;
    for (int corrected = 0; corrected < 2; corrected++) {
        double t = 2 / sqrt(1.0 / 3 + corrected * 0.5);
        assert_int_equal(weir_paired_t_test(base, other, 3, corrected * 0.5, &test, NULL), WEIR_OK);
        assert_true(test.mean == 2 && test.degrees == 2);
        assert_float_equal(test.t, t, 1e-14);
        assert_float_equal(test.standard_error, 2 / t, 1e-14);
        assert_float_equal(test.p, 1 - t / sqrt(2 + t * t), 1e-14);
    }
    assert_int_equal(weir_paired_t_test(other, base, 3, 0.5, &test, NULL), WEIR_OK);
    assert_true(test.mean == -2 && test.t < 0 && test.p < 0.3);
}

static void equal_differences_are_certain(void **state) {
    (void)state;
    const double base[] = {0.1, 0.2, 0.3}, other[] = {1.1, 1.2, 1.3}, exact[] = {1, 1, 1}, above[] = {2, 2, 2};
    weir_paired_t test;
    assert_int_equal(weir_paired_t_test(base, base, 3, 0.1, &test, NULL), WEIR_OK);
    assert_true(test.t == 0 && test.p == 1);
    assert_int_equal(weir_paired_t_test(exact, above, 3, 0.1, &test, NULL), WEIR_OK);
    assert_true(isinf(test.t) && test.p == 0);
    assert_int_equal(weir_paired_t_test(base, other, 3, 0.1, &test, NULL), WEIR_OK);
    assert_true(test.p < 1e-12);
}

/* Differences 1, 2, 3, −4 and an equal pair: ranks 1 2 3 | 4. Sums of at most 4: {}, 1, 2, 3, 4, 1+2, 1+3 of 16. */
static void wilcoxon_is_as_worked_by_hand(void **state) {
    (void)state;
    const double base[] = {0, 0, 5, 0, 4}, other[] = {1, 2, 5, 3, 0};
    weir_wilcoxon test;
    assert_int_equal(weir_wilcoxon_test(base, other, 5, &test, NULL), WEIR_OK);
    assert_true(test.pairs == 4 && test.positive_ranks == 6 && test.negative_ranks == 4);
    assert_float_equal(test.p, 14.0 / 16, 1e-15);
    /* 1, 1, −1, 2: ranks 2 2 2 4; sums of at most 2: {}, three single ones of 16 */
    const double tied[] = {1, 1, -1, 2}, zero[] = {0, 0, 0, 0};
    assert_int_equal(weir_wilcoxon_test(zero, tied, 4, &test, NULL), WEIR_OK);
    assert_true(test.positive_ranks == 8 && test.negative_ranks == 2);
    assert_float_equal(test.p, 8.0 / 16, 1e-15);
    assert_int_equal(weir_wilcoxon_test(zero, zero, 4, &test, NULL), WEIR_OK);
    assert_true(test.pairs == 0 && test.p == 1);
    assert_int_equal(weir_wilcoxon_test(zero, zero, 0, &test, NULL), WEIR_OK);
    assert_true(test.p == 1);
}

static void exact_wilcoxon_is_near_the_normal_approximation_where_it_ends(void **state) {
    (void)state;
    double base[WEIR_WILCOXON_EXACT_MAX + 1] = {0}, other[WEIR_WILCOXON_EXACT_MAX + 1];
    for (int i = 0; i <= WEIR_WILCOXON_EXACT_MAX; i++) other[i] = (i % 3 ? 1 : -1) * (i + 1.5);
    for (double n = WEIR_WILCOXON_EXACT_MAX; n <= WEIR_WILCOXON_EXACT_MAX + 1; n++) {
        weir_wilcoxon test;
        assert_int_equal(weir_wilcoxon_test(base, other, (int64_t)n, &test, NULL), WEIR_OK);
        double z = (test.positive_ranks - n * (n + 1) / 4) / sqrt(n * (n + 1) * (2 * n + 1) / 24), normal = erfc(fabs(z) / sqrt(2));
        assert_true(fabs(test.p - normal) < (n > WEIR_WILCOXON_EXACT_MAX ? 1e-14 : 0.01));
    }
}

/* 20 times 1 and 10 times −1: all ranks are 15.5, so the variance is 30 · 15.5² / 4 and z = 10 / √30. */
static void ties_beyond_the_exact_range_take_part_in_the_variance(void **state) {
    (void)state;
    double base[30] = {0}, other[30];
    for (int i = 0; i < 30; i++) other[i] = i % 3 ? 1 : -1;
    weir_wilcoxon test;
    assert_int_equal(weir_wilcoxon_test(base, other, 30, &test, NULL), WEIR_OK);
    assert_float_equal(test.p, erfc(10 / sqrt(30) / sqrt(2)), 1e-14);
}

static void holm_is_as_worked_by_hand(void **state) {
    (void)state;
    double p[] = {0.01, 0.04, 0.03, 0.005, 0.9}, before[5];
    memcpy(before, p, sizeof p);
    const double expected[] = {0.04, 0.09, 0.09, 0.025, 0.9}; /* 5 · 0.005, 4 · 0.01, 3 · 0.03, then never less: 2 · 0.04 = 0.08 → 0.09 */
    assert_int_equal(weir_holm_adjust(p, 5, p, NULL), WEIR_OK);
    for (int i = 0; i < 5; i++) assert_float_equal(p[i], expected[i], 1e-15);
    const double high[] = {0.6, 0.7};
    double adjusted[2];
    assert_int_equal(weir_holm_adjust(high, 2, adjusted, NULL), WEIR_OK);
    assert_true(adjusted[0] == 1 && adjusted[1] == 1);
    assert_int_equal(weir_holm_adjust(high, 0, adjusted, NULL), WEIR_OK);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double base[] = {1, 2, 3}, other[] = {2, 1, 5}, broken[] = {1, NAN, 3}, endless[] = {1, 2, INFINITY}, outside[] = {0.5, 1.5, 0},
                 negative[] = {0.5, -1, 0};
    double adjusted[3] = {7, 7, 7};
    weir_paired_t t;
    weir_wilcoxon w;
    weir_err err;
    assert_int_equal(weir_paired_t_test(base, other, 1, 0, &t, &err), WEIR_EDATA);
    assert_int_equal(weir_paired_t_test(base, broken, 3, 0, &t, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "pair 1 is 2 and nan"));
    assert_int_equal(weir_paired_t_test(base, other, 3, -0.1, &t, &err), WEIR_EINVAL);
    assert_int_equal(weir_paired_t_test(base, other, 3, NAN, &t, &err), WEIR_EINVAL);
    assert_int_equal(weir_wilcoxon_test(endless, other, 3, &w, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_wilcoxon_test(base, other, -1, &w, &err), WEIR_EINVAL);
    assert_int_equal(weir_holm_adjust(outside, 3, adjusted, &err), WEIR_EDATA);
    assert_int_equal(weir_holm_adjust(negative, 3, adjusted, &err), WEIR_EDATA);
    assert_int_equal(weir_holm_adjust(broken, 3, adjusted, &err), WEIR_EDATA);
    assert_true(adjusted[0] == 7);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    const double base[] = {0.1, 0.2}, other[] = {0.3, 0.1};
    double adjusted[2];
    weir_wilcoxon w;
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    weir_status wilcoxon = weir_wilcoxon_test(base, other, 2, &w, NULL), holm = weir_holm_adjust(base, 2, adjusted, NULL);
    weir_mem = before;
    assert_true(wilcoxon == WEIR_ENOMEM && holm == WEIR_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paired_t_is_as_worked_by_hand),
        cmocka_unit_test(equal_differences_are_certain),
        cmocka_unit_test(wilcoxon_is_as_worked_by_hand),
        cmocka_unit_test(exact_wilcoxon_is_near_the_normal_approximation_where_it_ends),
        cmocka_unit_test(ties_beyond_the_exact_range_take_part_in_the_variance),
        cmocka_unit_test(holm_is_as_worked_by_hand),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
