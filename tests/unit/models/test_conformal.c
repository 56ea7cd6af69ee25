#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/conformal.h"
#include "tests/unit/starve.h"

static double radius_of(const double *label, const double *prediction, int64_t n, double level) {
    double radius;
    weir_err err;
    if (weir_conformal_radius(label, prediction, n, level, &radius, &err) != WEIR_OK) fail_msg("%s", err.message);
    return radius;
}

/* Residuals 1 … 9 in some order: of ten, the eighth place holds at least 80 of 100, the ninth 90; a tenth place does not exist. */
static void the_radius_is_the_order_statistic_with_one_row_more(void **state) {
    (void)state;
    const double label[] = {5, -3, 1, NAN, 9, -7, 2, 8, -4, 6}, prediction[10] = {0};
    assert_true(radius_of(label, prediction, 10, 0.8) == 8);
    assert_true(radius_of(label, prediction, 10, 0.9) == 9);
    assert_true(radius_of(label, prediction, 10, 0.1) == 1);
    assert_true(radius_of(label, prediction, 10, 0.71) == 8);
    assert_true(isinf(radius_of(label, prediction, 10, 0.91)));
    assert_true(radius_of(label, prediction, 10, 0.7) == 7); /* 10 · 0.7 may not be rounded past 7 */
}

static void coverage_counts_weights_and_ends(void **state) {
    (void)state;
    const double label[] = {1, 2, 3, NAN, 4}, prediction[] = {0, 0, 0, 0, 0}, weight[] = {1, 2, 3, 9, 0};
    double coverage;
    assert_int_equal(weir_conformal_coverage(label, prediction, NULL, 5, 2, &coverage, NULL), WEIR_OK);
    assert_float_equal(coverage, 0.5, 1e-15);
    assert_int_equal(weir_conformal_coverage(label, prediction, weight, 5, 2, &coverage, NULL), WEIR_OK);
    assert_float_equal(coverage, 0.5, 1e-15);
    assert_int_equal(weir_conformal_coverage(label, prediction, weight, 5, INFINITY, &coverage, NULL), WEIR_OK);
    assert_true(coverage == 1);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double label[] = {1, 2}, prediction[] = {0, 0}, broken[] = {0, INFINITY}, none[] = {NAN, NAN}, negative[] = {1, -1}, zero[] = {0, 0};
    double result = 77;
    weir_err err;
    assert_int_equal(weir_conformal_radius(label, prediction, 2, 0, &result, &err), WEIR_EINVAL);
    assert_int_equal(weir_conformal_radius(label, prediction, 2, 1, &result, &err), WEIR_EINVAL);
    assert_int_equal(weir_conformal_radius(label, prediction, 2, NAN, &result, &err), WEIR_EINVAL);
    assert_int_equal(weir_conformal_radius(label, broken, 2, 0.5, &result, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "row 1 has label 2 and prediction inf"));
    assert_int_equal(weir_conformal_radius(none, prediction, 2, 0.5, &result, &err), WEIR_EDATA);
    assert_int_equal(weir_conformal_radius(label, prediction, 0, 0.5, &result, &err), WEIR_EDATA);
    assert_int_equal(weir_conformal_coverage(label, broken, NULL, 2, 1, &result, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_conformal_coverage(label, prediction, NULL, 2, -1, &result, &err), WEIR_EINVAL);
    assert_int_equal(weir_conformal_coverage(label, prediction, NULL, 2, NAN, &result, &err), WEIR_EINVAL);
    assert_int_equal(weir_conformal_coverage(label, prediction, negative, 2, 1, &result, &err), WEIR_EDATA);
    assert_int_equal(weir_conformal_coverage(label, prediction, zero, 2, 1, &result, &err), WEIR_EDATA);
    assert_int_equal(weir_conformal_coverage(none, prediction, NULL, 2, 1, &result, &err), WEIR_EDATA);
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    weir_status status = weir_conformal_radius(label, prediction, 2, 0.5, &result, NULL);
    weir_mem = before;
    assert_int_equal(status, WEIR_ENOMEM);
    assert_true(result == 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_radius_is_the_order_statistic_with_one_row_more),
        cmocka_unit_test(coverage_counts_weights_and_ends),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
