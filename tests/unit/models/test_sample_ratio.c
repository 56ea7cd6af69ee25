#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/sample_ratio.h"

static const double HALVES[] = {0.5, 0.5};

/* 60 to 40 of 100: 100 / 50 + 100 / 50 = 4, p = erfc(√2). */
static void chi_squared_is_as_worked_by_hand(void **state) {
    (void)state;
    const double counts[] = {60, 40}, few[] = {3, 4};
    weir_ratio_test test;
    assert_int_equal(weir_ratio_chi_squared(counts, HALVES, 2, &test, NULL), WEIR_OK);
    assert_true(test.degrees == 1);
    assert_float_equal(test.statistic, 4, 1e-14);
    assert_float_equal(test.p, erfc(sqrt(2)), 1e-12);
    assert_int_equal(weir_ratio_chi_squared(few, HALVES, 2, &test, NULL), WEIR_OK);
    assert_true(isnan(test.p));
}

/* One request by a mixture centred at the shares is as likely as by the shares; two of the same arm by Beta(1, 1): 1/3 against 1/4. */
static void the_mixture_is_as_worked_by_hand(void **state) {
    (void)state;
    const double none[] = {0, 0}, one[] = {1, 0}, two[] = {2, 0}, split[] = {1, 1};
    double log_e;
    assert_int_equal(weir_ratio_log_e(none, HALVES, 2, 2, &log_e, NULL), WEIR_OK);
    assert_float_equal(log_e, 0, 1e-15);
    assert_int_equal(weir_ratio_log_e(one, HALVES, 2, 2, &log_e, NULL), WEIR_OK);
    assert_float_equal(log_e, 0, 1e-15);
    assert_int_equal(weir_ratio_log_e(two, HALVES, 2, 2, &log_e, NULL), WEIR_OK);
    assert_float_equal(log_e, log(4.0 / 3), 1e-14);
    assert_int_equal(weir_ratio_log_e(split, HALVES, 2, 2, &log_e, NULL), WEIR_OK);
    assert_float_equal(log_e, log(2.0 / 3), 1e-14);
}

static void a_wrong_split_is_found_and_a_right_one_is_not(void **state) {
    (void)state;
    const double shares[] = {0.9, 0.1}, right[] = {90100, 9900}, wrong[] = {91500, 8500};
    double log_e;
    assert_int_equal(weir_ratio_log_e(right, shares, 2, 1000, &log_e, NULL), WEIR_OK);
    assert_true(log_e < 0);
    assert_int_equal(weir_ratio_log_e(wrong, shares, 2, 1000, &log_e, NULL), WEIR_OK);
    assert_true(log_e > log(1000));
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    const double counts[] = {1, 2}, none[] = {0, 0}, negative[] = {-1, 2}, part[] = {0.5, 2}, nan[] = {NAN, 2}, more[] = {0.6, 0.5}, whole[] = {1, 0};
    const double *bad_counts[] = {negative, part, nan};
    weir_ratio_test test;
    double log_e;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_ratio_chi_squared(bad_counts[i], HALVES, 2, &test, NULL), WEIR_EDATA);
        assert_int_equal(weir_ratio_log_e(bad_counts[i], HALVES, 2, 1, &log_e, NULL), WEIR_EDATA);
    }
    assert_int_equal(weir_ratio_chi_squared(none, HALVES, 2, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_ratio_chi_squared(counts, more, 2, &test, NULL), WEIR_EINVAL);
    assert_int_equal(weir_ratio_chi_squared(counts, whole, 2, &test, NULL), WEIR_EINVAL);
    assert_int_equal(weir_ratio_chi_squared(counts, HALVES, 1, &test, NULL), WEIR_EINVAL);
    assert_int_equal(weir_ratio_log_e(counts, HALVES, WEIR_RATIO_ARMS_MAX + 1, 1, &log_e, NULL), WEIR_EINVAL);
    assert_int_equal(weir_ratio_log_e(counts, HALVES, 2, 0, &log_e, NULL), WEIR_EINVAL);
    assert_int_equal(weir_ratio_log_e(counts, HALVES, 2, NAN, &log_e, NULL), WEIR_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chi_squared_is_as_worked_by_hand),
        cmocka_unit_test(the_mixture_is_as_worked_by_hand),
        cmocka_unit_test(a_wrong_split_is_found_and_a_right_one_is_not),
        cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
