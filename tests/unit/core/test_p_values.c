/* Benjamini and Hochberg's correction: a hand-worked case, ties, bad input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/p_values.h"
#include "tests/unit/starve.h"

/* Sorted 0.01 0.02 0.03 0.5 times 4 / rank: 0.04 0.04 0.04 0.5; in the order given. */
static void adjusted_is_as_worked_by_hand(void **state) {
    (void)state;
    double p[] = {0.03, 0.5, 0.01, 0.02};
    const double expected[] = {0.04, 0.5, 0.04, 0.04};
    assert_int_equal(weir_benjamini_hochberg_adjust(p, 4, p, NULL), WEIR_OK);
    for (int i = 0; i < 4; i++) assert_float_equal(p[i], expected[i], 1e-15);
}

static void later_tests_pull_earlier_ones_down_and_one_is_the_most(void **state) {
    (void)state;
    const double p[] = {0.04, 0.04, 1, 0.9}, expected[] = {0.08, 0.08, 1, 1};
    double adjusted[4];
    assert_int_equal(weir_benjamini_hochberg_adjust(p, 4, adjusted, NULL), WEIR_OK);
    for (int i = 0; i < 4; i++) assert_float_equal(adjusted[i], expected[i], 1e-15);
    assert_int_equal(weir_benjamini_hochberg_adjust(p, 1, adjusted, NULL), WEIR_OK);
    assert_true(adjusted[0] == 0.04);
    assert_int_equal(weir_benjamini_hochberg_adjust(NULL, 0, NULL, NULL), WEIR_OK);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double outside[] = {0.5, 1.5}, broken[] = {NAN, 0.5}, negative[] = {0.5, -0.1};
    double adjusted[] = {7, 7};
    assert_int_equal(weir_benjamini_hochberg_adjust(outside, 2, adjusted, NULL), WEIR_EDATA);
    assert_int_equal(weir_benjamini_hochberg_adjust(broken, 2, adjusted, NULL), WEIR_EDATA);
    assert_int_equal(weir_benjamini_hochberg_adjust(negative, 2, adjusted, NULL), WEIR_EDATA);
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    weir_status starved = weir_benjamini_hochberg_adjust((const double[]){0.1, 0.2}, 2, adjusted, NULL);
    weir_mem = before;
    assert_int_equal(starved, WEIR_ENOMEM);
    assert_true(adjusted[0] == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjusted_is_as_worked_by_hand),
        cmocka_unit_test(later_tests_pull_earlier_ones_down_and_one_is_the_most),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
