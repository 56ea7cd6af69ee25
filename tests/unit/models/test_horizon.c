#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/horizon.h"
#include "tests/unit/starve.h"

/* 1, 2, 3 and 2, 4, 6: variances 1 and 4, standard error √(1/3 + 4/3), degrees (5/3)² / ((1/3)² / 2 + (4/3)² / 2) = 50 / 17. */
static void welch_is_as_worked_by_hand(void **state) {
    (void)state;
    const weir_moments base = {3, 2, 1}, other = {3, 4, 4};
    weir_two_sample test;
    assert_int_equal(weir_welch_test(&base, &other, 0.95, &test, NULL), WEIR_OK);
    assert_true(test.difference == 2);
    assert_float_equal(test.standard_error, sqrt(5.0 / 3), 1e-15);
    assert_float_equal(test.degrees, 50.0 / 17, 1e-13);
    assert_float_equal((test.low + test.high) / 2, 2, 1e-12);
    assert_true(test.low < 0 && test.p > 0.05 && test.p < 1);
}

static void arms_without_variance_are_certain(void **state) {
    (void)state;
    const weir_moments two = {5, 2, 0}, three = {9, 3, 0};
    weir_two_sample test;
    assert_int_equal(weir_welch_test(&two, &two, 0.9, &test, NULL), WEIR_OK);
    assert_true(test.p == 1 && test.statistic == 0 && test.low == 0 && test.high == 0);
    assert_int_equal(weir_welch_test(&two, &three, 0.9, &test, NULL), WEIR_OK);
    assert_true(test.p == 0 && isinf(test.statistic) && test.low == 1 && test.high == 1);
}

/* 10 and 20 of 100: pooled 0.15, z = 0.1 / √(0.15 · 0.85 · 0.02). */
static void proportions_are_as_worked_by_hand(void **state) {
    (void)state;
    weir_two_sample test;
    assert_int_equal(weir_proportions_test(10, 100, 20, 100, 0.95, &test, NULL), WEIR_OK);
    assert_float_equal(test.statistic, 0.1 / sqrt(0.15 * 0.85 * 0.02), 1e-14);
    assert_true(test.p < 0.05 && test.low < 0.1 && test.high > 0.1);
    assert_int_equal(weir_proportions_test(0, 10, 0, 20, 0.95, &test, NULL), WEIR_OK);
    assert_true(test.p == 1 && test.low < 0 && test.high > 0);
    assert_int_equal(weir_proportions_test(0, 10, 10, 10, 0.95, &test, NULL), WEIR_OK);
    assert_true(test.difference == 1 && test.high == 1);
}

/* (1.96 + 0.8416)² · 2 / 0.5² = 62.8 */
static void sizes_are_those_of_the_books(void **state) {
    (void)state;
    const weir_power power = {0.05, 0.8, 1}, tenth = {0.05, 0.8, 1.0 / 9};
    weir_sample_size size, uneven;
    assert_int_equal(weir_size_for_means(1, 1, 0.5, &power, &size, NULL), WEIR_OK);
    assert_true(size.base == 63 && size.other == 63);
    assert_int_equal(weir_size_for_means(1, 1, -0.5, &tenth, &uneven, NULL), WEIR_OK);
    assert_true(uneven.base == 314 && uneven.other == 35);
    assert_int_equal(weir_size_for_proportions(0.1, 0.02, &power, &size, NULL), WEIR_OK);
    assert_true(size.base == 3841 && size.other == 3841);
}

static void planned_looks_keep_the_last_near_one_look(void **state) {
    (void)state;
    const double one[] = {1}, three[] = {0.25, 0.5, 1};
    double bound, bounds[3];
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, one, 1, &bound, NULL), WEIR_OK);
    assert_float_equal(bound, 1.959963984540054, 1e-9);
    assert_int_equal(weir_spending_bounds(WEIR_OBRIEN_FLEMING, 0.05, three, 3, bounds, NULL), WEIR_OK);
    assert_true(bounds[0] > 4 && bounds[1] < bounds[0] && bounds[2] < bounds[1] && bounds[2] > bound && bounds[2] < 2);
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, three, 3, bounds, NULL), WEIR_OK);
    assert_true(bounds[0] < 2.5 && bounds[2] > 2.1);
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    const weir_moments good = {3, 2, 1}, one = {1, 2, 1}, half = {2.5, 2, 1}, nan_mean = {3, NAN, 1}, negative = {3, 2, -1}, far = {3, 1e308, 1},
                       away = {3, -1e308, 1};
    const weir_moments *bad[] = {&one, &half, &nan_mean, &negative};
    const weir_status statuses[] = {WEIR_EDATA, WEIR_EDATA, WEIR_ENUMERIC, WEIR_ENUMERIC};
    weir_two_sample test;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(weir_welch_test(bad[i], &good, 0.95, &test, NULL), statuses[i]);
        assert_int_equal(weir_welch_test(&good, bad[i], 0.95, &test, NULL), statuses[i]);
    }
    assert_int_equal(weir_welch_test(&far, &away, 0.95, &test, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_welch_test(&good, &good, 1, &test, NULL), WEIR_EINVAL);
    assert_int_equal(weir_proportions_test(1, 2, 3, 2, 0.95, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_proportions_test(1, 2, 0.5, 2, 0.95, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_proportions_test(NAN, 2, 1, 2, 0.95, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_proportions_test(0, 0, 1, 2, 0.95, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_proportions_test(1, 2, 1, 2, NAN, &test, NULL), WEIR_EINVAL);
}

static void wrong_plans_are_refused(void **state) {
    (void)state;
    const weir_power good = {0.05, 0.8, 1}, bad[] = {{0, 0.8, 1}, {0.05, 0.01, 1}, {0.05, 1, 1}, {0.05, 0.8, 0}, {NAN, 0.8, 1}, {0.05, 0.8, INFINITY}};
    weir_sample_size size;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(weir_size_for_means(1, 1, 1, &bad[i], &size, NULL), WEIR_EINVAL);
        assert_int_equal(weir_size_for_proportions(0.1, 0.1, &bad[i], &size, NULL), WEIR_EINVAL);
    }
    assert_int_equal(weir_size_for_means(1, 1, 0, &good, &size, NULL), WEIR_EINVAL);
    assert_int_equal(weir_size_for_means(-1, 1, 1, &good, &size, NULL), WEIR_EINVAL);
    assert_int_equal(weir_size_for_means(1, 1, 1e-9, &good, &size, NULL), WEIR_ELIMIT);
    assert_int_equal(weir_size_for_proportions(0.95, 0.1, &good, &size, NULL), WEIR_EINVAL);
    assert_int_equal(weir_size_for_proportions(0.95, 0, &good, &size, NULL), WEIR_EINVAL);
    const double falling[] = {0.5, 0.4}, beyond[] = {0.5, 1.1}, none[] = {0, 1}, two[] = {0.5, 1};
    double bounds[2];
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, falling, 2, bounds, NULL), WEIR_EINVAL);
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, beyond, 2, bounds, NULL), WEIR_EINVAL);
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, none, 2, bounds, NULL), WEIR_EINVAL);
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.6, two, 2, bounds, NULL), WEIR_EINVAL);
    assert_int_equal(weir_spending_bounds(WEIR_POCOCK, 0.05, two, 0, bounds, NULL), WEIR_EINVAL);
    assert_int_equal(weir_spending_bounds((weir_spending)7, 0.05, two, 2, bounds, NULL), WEIR_EINVAL);
}

static void bounds_without_memory_say_so(void **state) {
    (void)state;
    const double two[] = {0.5, 1};
    double bounds[2];
    void *(*kept)(void *, size_t) = weir_mem.realloc;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    weir_status status = weir_spending_bounds(WEIR_POCOCK, 0.05, two, 2, bounds, NULL);
    weir_mem.realloc = kept;
    assert_int_equal(status, WEIR_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(welch_is_as_worked_by_hand),
        cmocka_unit_test(arms_without_variance_are_certain),
        cmocka_unit_test(proportions_are_as_worked_by_hand),
        cmocka_unit_test(sizes_are_those_of_the_books),
        cmocka_unit_test(planned_looks_keep_the_last_near_one_look),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(wrong_plans_are_refused),
        cmocka_unit_test(bounds_without_memory_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
