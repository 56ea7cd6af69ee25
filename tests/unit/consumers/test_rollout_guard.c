/* The guards of a challenger: when each is broken, over which rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/rollout_guard.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

static const weir_rollout_def def = {.guard_rows = 100, .max_error_rate = 0.02, .max_nan_rate = 0, .max_latency_s = 0.005};
static weir_guard guard;

static int setup(void **state) {
    (void)state;
    return weir_guard_init(&guard, &def, NULL) != WEIR_OK;
}
static int teardown(void **state) {
    (void)state;
    weir_guard_done(&guard);
    return 0;
}

static const char *add(bool challenger, int64_t rows, int64_t failed, int64_t nan, int64_t took_us) {
    return weir_guard_add(&guard, challenger, &(weir_guard_rows){rows, failed, nan, took_us});
}

static void the_first_nan_breaks_a_guard_that_allows_none(void **state) {
    (void)state;
    assert_null(add(true, 5, 0, 0, 10));
    assert_string_equal(add(true, 3, 0, 1, 10), "nan");
}

static void errors_are_counted_over_the_newest_rows(void **state) {
    (void)state;
    assert_null(add(true, 2, 2, 0, 10)); /* 2 of 100 are allowed, also at the start */
    assert_null(add(true, 98, 0, 0, 10));
    assert_null(add(true, 2, 2, 0, 10)); /* the first two have left */
    assert_string_equal(add(true, 1, 1, 0, 10), "errors");
    assert_string_equal(add(true, 50, 0, 0, 10), "errors");
    assert_null(add(true, 97, 0, 0, 10));
}

static void of_a_batch_longer_than_the_window_the_bad_rows_count(void **state) {
    (void)state;
    assert_string_equal(add(true, 1000, 3, 0, 10), "errors");
    assert_string_equal(add(true, 1000, 0, 1, 10), "nan");
    assert_null(add(true, 1000, 0, 0, 10));
}

static void latency_is_compared_when_both_arms_have_enough_rows(void **state) {
    (void)state;
    assert_null(add(true, 100, 0, 0, 700000)); /* 7 ms a row, and nothing to compare with */
    assert_null(add(false, 99, 0, 0, 99));
    assert_null(add(false, 1, 0, 0, 300000)); /* the champion's mean is 3 ms */
    assert_null(add(true, 50, 0, 0, 350000));
    assert_null(add(false, 100, 0, 0, 201000)); /* 4.99 ms over */
    assert_string_equal(add(false, 100, 0, 0, 199000), "latency"); /* 5.01 */
}

static void failures_of_the_champion_break_nothing(void **state) {
    (void)state;
    assert_null(add(false, 100, 100, 0, 10));
    assert_null(add(true, 100, 0, 0, 10));
}

static void another_challenger_begins_anew(void **state) {
    (void)state;
    assert_string_equal(add(true, 10, 5, 5, 10), "errors");
    weir_guard_reset(&guard);
    assert_null(add(true, 10, 0, 0, 10));
}

static void a_call_that_failed_is_told_from_scores_that_are_no_number(void **state) {
    (void)state;
    const double fine[] = {0.5, 0}, bad[] = {0.5, NAN, INFINITY};
    weir_guard_rows rows = weir_guard_rows_of(WEIR_OK, fine, 2, 7);
    assert_true(rows.rows == 2 && !rows.failed && !rows.nan && rows.took_us == 7);
    rows = weir_guard_rows_of(WEIR_ENUMERIC, bad, 3, 7);
    assert_true(rows.rows == 3 && !rows.failed && rows.nan == 2);
    rows = weir_guard_rows_of(WEIR_ENUMERIC, fine, 2, 7);
    assert_true(rows.rows == 2 && rows.failed == 2 && !rows.nan);
}

static void without_memory_there_is_an_error_and_nothing_leaks(void **state) {
    (void)state;
    const weir_allocator usual = weir_mem;
    weir_mem.realloc = failing_realloc;
    for (int n = 0; n < 4; n++) {
        weir_guard starved;
        allocations_left = n;
        assert_int_equal(weir_guard_init(&starved, &def, NULL), WEIR_ENOMEM);
    }
    weir_mem = usual;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_nan_breaks_a_guard_that_allows_none, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_counted_over_the_newest_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(of_a_batch_longer_than_the_window_the_bad_rows_count, setup, teardown),
        cmocka_unit_test_setup_teardown(latency_is_compared_when_both_arms_have_enough_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_of_the_champion_break_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(another_challenger_begins_anew, setup, teardown),
        cmocka_unit_test(a_call_that_failed_is_told_from_scores_that_are_no_number),
        cmocka_unit_test(without_memory_there_is_an_error_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
