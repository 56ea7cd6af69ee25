#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/offpolicy.h"

static void add(weir_offpolicy *sums, double propensity, double target, double reward) {
    const weir_logged logged = {propensity, target, reward, 0, 0};
    assert_int_equal(weir_offpolicy_add(sums, &logged, NULL), WEIR_OK);
}

/* Weights 2 and 1, rewards 1 and 0: ips 1 ± 1, snips 2/3 with √(4 / 9 + 4 / 9) / 3. */
static void two_requests_are_as_worked_by_hand(void **state) {
    (void)state;
    weir_offpolicy sums = {0};
    weir_offpolicy_report report;
    add(&sums, 0.5, 1, 1);
    add(&sums, 0.5, 0.5, 0);
    assert_int_equal(weir_offpolicy_report_of(&sums, 0.95, &report, NULL), WEIR_OK);
    assert_float_equal(report.ips.value, 1, 1e-15);
    assert_float_equal(report.ips.standard_error, 1, 1e-15);
    assert_float_equal(report.snips.value, 2.0 / 3, 1e-15);
    assert_float_equal(report.snips.standard_error, sqrt(8.0 / 9) / 3, 1e-14);
    assert_memory_equal(&report.robust, &report.ips, sizeof report.ips);
    assert_float_equal(report.effective_count, 9.0 / 5, 1e-15);
    assert_float_equal(report.weight_mean, 1.5, 1e-15);
    assert_float_equal(report.weight_max_share, 2.0 / 3, 1e-15);
    assert_true(report.extreme);
}

static void the_policy_that_acted_is_estimated_by_its_mean(void **state) {
    (void)state;
    weir_offpolicy sums = {0};
    weir_offpolicy_report report;
    for (int i = 0; i < 100; i++) add(&sums, 0.3, 0.3, i % 4 == 0);
    assert_int_equal(weir_offpolicy_report_of(&sums, 0.95, &report, NULL), WEIR_OK);
    assert_float_equal(report.ips.value, 0.25, 1e-14);
    assert_float_equal(report.snips.value, 0.25, 1e-14);
    assert_float_equal(report.effective_count, 100, 1e-9);
    assert_false(report.extreme);
}

/* A model that knows every reward leaves no error. */
static void a_perfect_model_leaves_no_error(void **state) {
    (void)state;
    weir_offpolicy sums = {0};
    weir_offpolicy_report report;
    for (int i = 0; i < 50; i++) {
        double reward = i % 2 ? 3 : 1;
        const weir_logged logged = {i % 2 ? 0.1 : 0.9, 0.5, reward, reward, 2};
        assert_int_equal(weir_offpolicy_add(&sums, &logged, NULL), WEIR_OK);
    }
    assert_int_equal(weir_offpolicy_report_of(&sums, 0.95, &report, NULL), WEIR_OK);
    assert_true(report.robust.value == 2 && report.robust.standard_error == 0 && report.ips.standard_error > 0);
}

static void weights_that_say_little_are_told(void **state) {
    (void)state;
    weir_offpolicy rare = {0}, wrong = {0};
    weir_offpolicy_report report;
    for (int i = 0; i < 1000; i++) add(&rare, i ? 1 : 0.001, i ? 0.5 : 1, 1); /* one request outweighs the others */
    assert_int_equal(weir_offpolicy_report_of(&rare, 0.95, &report, NULL), WEIR_OK);
    assert_true(report.extreme && report.weight_max_share > 0.5);
    for (int i = 0; i < 1000; i++) add(&wrong, 0.5, i % 2 ? 0.9 : 0.8, 1); /* weights of mean 1.7 */
    assert_int_equal(weir_offpolicy_report_of(&wrong, 0.95, &report, NULL), WEIR_OK);
    assert_true(report.extreme && report.effective_count > 900);
}

static void merging_into_nothing_copies(void **state) {
    (void)state;
    weir_offpolicy sums = {0}, other = {0}, none = {0};
    add(&other, 0.5, 1, 1);
    add(&other, 0.5, 0.5, 4);
    weir_offpolicy_merge(&sums, &other);
    weir_offpolicy_merge(&sums, &none);
    assert_memory_equal(&sums, &other, sizeof sums);
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    const weir_logged bad[] = {{0, 0.5, 1},   {-0.5, 0.5, 1},  {1.5, 0.5, 1},           {NAN, 0.5, 1},    {0.5, -0.1, 1},
                               {0.5, 1.1, 1}, {0.5, 0.5, NAN}, {0.5, 0.5, 1, INFINITY}, {1e-300, 1, 1e10}};
    weir_offpolicy sums = {0}, before = {0};
    weir_offpolicy_report report;
    for (int i = 0; i < 9; i++) assert_int_equal(weir_offpolicy_add(&sums, &bad[i], NULL), i < 6 ? WEIR_EDATA : WEIR_ENUMERIC);
    assert_memory_equal(&sums, &before, sizeof sums);
    assert_int_equal(weir_offpolicy_report_of(&sums, 0.95, &report, NULL), WEIR_EDATA);
    add(&sums, 0.5, 0, 1);
    assert_int_equal(weir_offpolicy_report_of(&sums, 0.95, &report, NULL), WEIR_EDATA);
    add(&sums, 0.5, 0.5, 1);
    assert_int_equal(weir_offpolicy_report_of(&sums, 0, &report, NULL), WEIR_EINVAL);
    weir_offpolicy one = {0};
    add(&one, 0.5, 0.5, 1);
    assert_int_equal(weir_offpolicy_report_of(&one, 0.95, &report, NULL), WEIR_OK);
    assert_true(isnan(report.ips.standard_error) && isnan(report.snips.low));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_requests_are_as_worked_by_hand), cmocka_unit_test(the_policy_that_acted_is_estimated_by_its_mean),
        cmocka_unit_test(a_perfect_model_leaves_no_error),    cmocka_unit_test(weights_that_say_little_are_told),
        cmocka_unit_test(merging_into_nothing_copies),        cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
