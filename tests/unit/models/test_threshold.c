/* The rules by which a threshold is chosen: what each takes, and that rows without a score do not count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/mem.h"
#include "models/threshold.h"
#include "tests/unit/starve.h"

static const double score[] = {0.9, 0.8, NAN, 0.6, 0.4, 0.3, NAN, 0.1};
static const double label[] = {1, 1, 0, 0, 1, 0, 1, 0};
enum { ROWS = 8 };

static double chosen(weir_threshold rule) {
    double threshold = NAN;
    weir_err err;
    assert_int_equal(weir_threshold_choose(&rule, score, label, ROWS, &threshold, &err), WEIR_OK);
    return threshold;
}

static void a_fixed_threshold_looks_at_no_scores(void **state) {
    (void)state;
    const weir_threshold fixed = {.rule = WEIR_THRESHOLD_FIXED, .value = 0.7};
    double threshold = 0;
    weir_err err;
    assert_int_equal(weir_threshold_choose(&fixed, NULL, NULL, 0, &threshold, &err), WEIR_OK);
    assert_float_equal(threshold, 0.7, 0);
    assert_false(weir_threshold_learns(&fixed));
    assert_float_equal(chosen((weir_threshold){.rule = WEIR_THRESHOLD_SERVING, .value = 0.25}), 0.25, 0);
}

/* Of the six scored rows three are positive. From 0.4 on: 3 of 4 called are right, none is missed, F1 6/7; from 0.8 on: 2 of 2, one missed, F1 4/5. */
static void the_best_f1_is_that_of_the_scored_rows(void **state) {
    (void)state;
    assert_float_equal(chosen((weir_threshold){.rule = WEIR_THRESHOLD_BEST_F1}), 0.4, 0);
}

static void a_cost_says_which_error_is_worse(void **state) {
    (void)state;
    assert_float_equal(chosen((weir_threshold){.rule = WEIR_THRESHOLD_COST, .cost_false_positive = 10, .cost_false_negative = 1}), 0.8, 0);
    assert_float_equal(chosen((weir_threshold){.rule = WEIR_THRESHOLD_COST, .cost_false_positive = 1, .cost_false_negative = 10}), 0.4, 0);
}

static void no_memory_and_no_positive_row_are_said(void **state) {
    (void)state;
    const weir_threshold rule = {.rule = WEIR_THRESHOLD_BEST_F1};
    static const double none[ROWS] = {0};
    double threshold = -1;
    weir_err err;
    assert_int_equal(weir_threshold_choose(&rule, score, none, ROWS, &threshold, &err), WEIR_EDATA);
    weir_allocator before = weir_mem;
    allocations_left = 0;
    weir_mem.realloc = failing_realloc;
    weir_status status = weir_threshold_choose(&rule, score, label, ROWS, &threshold, &err);
    weir_mem = before;
    assert_int_equal(status, WEIR_ENOMEM);
    assert_float_equal(threshold, -1, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fixed_threshold_looks_at_no_scores),
        cmocka_unit_test(the_best_f1_is_that_of_the_scored_rows),
        cmocka_unit_test(a_cost_says_which_error_is_worse),
        cmocka_unit_test(no_memory_and_no_positive_row_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
