#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/estimate.h"
#include "tests/unit/starve.h"

/* Scores 1 1 2 3 4 with labels 0 1 0 1 1: means ½, 0, 1, 1; the first two blocks violate and pool to ⅓, the last two are equal and pool. */
static void violators_are_pooled(void **state) {
    (void)state;
    const double score[] = {3, 1, 4, 2, 1}, label[] = {1, 0, 1, 0, 1};
    weir_isotonic isotonic;
    assert_int_equal(weir_isotonic_fit(score, label, 5, &isotonic, NULL), WEIR_OK);
    assert_true(isotonic.count == 4);
    assert_float_equal(weir_isotonic_probability(&isotonic, 1), 1.0 / 3, 1e-15);
    assert_float_equal(weir_isotonic_probability(&isotonic, 1.7), 1.0 / 3, 1e-15);
    assert_float_equal(weir_isotonic_probability(&isotonic, 2.5), 2.0 / 3, 1e-6);
    assert_true(weir_isotonic_probability(&isotonic, 3) == 1 && weir_isotonic_probability(&isotonic, 99) == 1);
    assert_float_equal(weir_isotonic_probability(&isotonic, -99), 1.0 / 3, 1e-15);
    weir_isotonic_done(&isotonic);
}

/* Rows .9 (p 1), .6 (p ½), .2 (p ½): called are two. Pairs i ≠ j: 1·½ + 1·½ in order, ½·½ in order, ½·½ not, 0 from the first as negative: 1.25 / 1.5.
 * Precision at a positive row: of the first 1, of the second (1 + 1) / 2, of the third (1 + ½ + 1) / 3. */
static void expectations_are_as_worked_by_hand(void **state) {
    (void)state;
    const double score[] = {0.9, 0.6, 0.2}, probability[] = {1, 0.5, 0.5};
    weir_estimate e;
    assert_int_equal(weir_estimate_binary(score, probability, 3, 0.5, &e, NULL), WEIR_OK);
    assert_true(e.true_positive == 1.5 && e.false_positive == 0.5 && e.false_negative == 0.5 && e.true_negative == 0.5);
    assert_float_equal(e.accuracy, 2.0 / 3, 1e-15);
    assert_true(e.precision == 0.75 && e.recall == 0.75 && e.f1 == 0.75);
    assert_float_equal(e.auc_roc, 1.25 / 1.5, 1e-15);
    assert_float_equal(e.average_precision, (1 + 0.5 * 1 + 0.5 * 2.5 / 3) / 2, 1e-15);
    assert_float_equal(e.brier, (0.01 + 0.5 * (0.16 + 0.36) + 0.5 * (0.64 + 0.04)) / 3, 1e-12);
    assert_float_equal(e.log_loss, -(log(0.9) + 0.5 * (log(0.6) + log(0.4)) + 0.5 * (log(0.2) + log(0.8))) / 3, 1e-12);
    assert_true(weir_estimate_of(&e, "f1") == 0.75 && isnan(weir_estimate_of(&e, "mcc")));
}

/* With certain probabilities the estimate is the metric: ties at half, one class has no AUC, a score above 1 no log loss. */
static void certainty_gives_the_metric_itself(void **state) {
    (void)state;
    const double tied[] = {0.5, 0.5, 0.1}, certain[] = {1, 0, 0}, none[] = {0, 0, 0}, beyond[] = {2, 0.5, 0.1};
    weir_estimate e;
    assert_int_equal(weir_estimate_binary(tied, certain, 3, 0.3, &e, NULL), WEIR_OK);
    assert_float_equal(e.auc_roc, 0.75, 1e-15);
    assert_float_equal(e.average_precision, 0.5, 1e-15); /* two rows at the highest score, one of them positive */
    assert_int_equal(weir_estimate_binary(tied, none, 3, 0.9, &e, NULL), WEIR_OK);
    assert_true(isnan(e.auc_roc) && isnan(e.average_precision) && e.precision == 0 && e.recall == 0 && e.f1 == 0 && e.accuracy == 1);
    assert_int_equal(weir_estimate_binary(beyond, certain, 3, 0.3, &e, NULL), WEIR_OK);
    assert_true(isnan(e.log_loss) && isnan(e.brier) && e.auc_roc == 1);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double score[] = {0.5, NAN}, label[] = {1, 0.5}, beyond[] = {1.1, 0}, not [] = {NAN, 0};
    weir_isotonic isotonic;
    weir_estimate e;
    assert_int_equal(weir_isotonic_fit(score, label, 0, &isotonic, NULL), WEIR_EDATA);
    assert_int_equal(weir_isotonic_fit(score, (const double[]){1, 0}, 2, &isotonic, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_isotonic_fit(label, label, 2, &isotonic, NULL), WEIR_EDATA);
    assert_int_equal(weir_estimate_binary(label, beyond, 2, 0.5, &e, NULL), WEIR_EDATA);
    assert_int_equal(weir_estimate_binary(label, not, 2, 0.5, &e, NULL), WEIR_EDATA);
    assert_int_equal(weir_estimate_binary(score, (const double[]){1, 0}, 2, 0.5, &e, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_estimate_binary(score, label, 0, 0.5, &e, NULL), WEIR_EDATA);
}

static void without_memory_it_says_so(void **state) {
    (void)state;
    const double score[] = {0.1, 0.5, 0.7}, label[] = {0, 1, 1};
    const weir_allocator before = weir_mem;
    weir_isotonic isotonic;
    weir_estimate e;
    int failures = 0;
    weir_mem.realloc = failing_realloc;
    for (int n = 0; n < 4; n++) {
        allocations_left = n;
        weir_status status = weir_isotonic_fit(score, label, 3, &isotonic, NULL);
        failures += status == WEIR_ENOMEM;
        if (!status) weir_isotonic_done(&isotonic);
    }
    allocations_left = 0;
    weir_status starved = weir_estimate_binary(score, label, 3, 0.5, &e, NULL);
    weir_mem = before;
    assert_int_equal(failures, 3);
    assert_int_equal(starved, WEIR_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(violators_are_pooled), cmocka_unit_test(expectations_are_as_worked_by_hand), cmocka_unit_test(certainty_gives_the_metric_itself),
        cmocka_unit_test(bad_input_is_refused), cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
