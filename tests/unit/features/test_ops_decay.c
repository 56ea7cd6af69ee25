/* Decay operators: weights of powers of two, so that expected values can be written down; edges; gaps beyond any weight. */
#include "operators.h"

#define HALF (10 * SECOND)
static const records four = {4, {0, HALF, 2 * HALF, 2 * HALF}, {{8, NAN, 2, 4}}}; /* weights 1/4, -, 1, 1 at the newest */

static setting decay(const char *name) {
    setting s = use(weir_ops_decay, name);
    set(&s, "half_life", (double)HALF);
    return s;
}

static void every_operator_is_described_bounded_and_deterministic(void **state) {
    (void)state;
    check_family(weir_ops_decay, &four);
}

static void weights_halve_with_time(void **state) {
    (void)state;
    setting mean = decay("ewm_mean"), variance = decay("ewm_variance"), std = decay("ewm_std");
    double m = 8 / 2.25, squares = 0.25 * (8 - m) * (8 - m) + (2 - m) * (2 - m) + (4 - m) * (4 - m);
    assert_value(fold(&mean, &four, 2 * HALF), m);
    assert_value(fold(&mean, &four, 9 * HALF), m);
    assert_value(fold(&variance, &four, 9 * HALF), squares * 2.25 / (2.25 * 2.25 - 2.0625));
    assert_value(fold(&std, &four, 9 * HALF), sqrt(squares * 2.25 / (2.25 * 2.25 - 2.0625)));
    static const records steps = {3, {0, HALF, 2 * HALF}, {{9, 2, 4}}}; /* weights 1/4, 1/2, 1; mean 29/7 */
    double apart = 0.25 * pow(9 - 29 / 7.0, 2) + 0.5 * pow(2 - 29 / 7.0, 2) + pow(4 - 29 / 7.0, 2);
    assert_value(fold(&variance, &steps, 2 * HALF), apart * 1.75 / (1.75 * 1.75 - 1.3125));
    set(&variance, "correction", 1);
    assert_value(fold(&variance, &four, 2 * HALF), squares / 2.25);
}

static void sums_decay_on_to_the_time_of_the_value(void **state) {
    (void)state;
    setting sum = decay("ewm_sum"), count = decay("ewm_count"), rate = decay("ewm_rate");
    assert_value(fold(&sum, &four, 2 * HALF), 8);
    assert_value(fold(&sum, &four, 3 * HALF), 4);
    assert_value(fold(&count, &four, 2 * HALF), 2.25);
    assert_value(fold(&count, &four, 4 * HALF), 0.5625);
    assert_value(fold(&rate, &four, 3 * HALF), 4 * log(2) / 10);
    set(&rate, "per", 60e6);
    assert_value(fold(&rate, &four, 3 * HALF), 24 * log(2));
}

static void a_steady_stream_has_its_rate(void **state) {
    (void)state;
    setting rate = decay("ewm_rate");
    double acc[8];
    assert_true(rate.op->acc_size(&rate.params) <= sizeof(acc));
    rate.op->init(acc, &rate.params);
    int64_t t = 0;
    for (int i = 0; i < 100000; i++, t += SECOND / 20) rate.op->add(acc, t, NULL, &rate.params); /* 20 a second */
    assert_float_equal(rate.op->value(acc, t - SECOND / 40, &rate.params), 20, 1e-3);
}

static void without_values_sums_are_0_and_moments_null(void **state) {
    (void)state;
    static const records none = {0}, nulls = {2, {0, 1}, {{NAN, INFINITY}}}, single = {1, {0}, {{5}}};
    for (const weir_operator *op = weir_ops_decay; op->name; op++) {
        setting s = decay(op->name);
        bool sums = !strcmp(op->name, "ewm_sum") || !strcmp(op->name, "ewm_count") || !strcmp(op->name, "ewm_rate");
        for (int i = 0; i < 2; i++) {
            double value = fold(&s, i ? &nulls : &none, HALF);
            assert_true(sums ? value == 0 : isnan(value));
        }
    }
    setting mean = decay("ewm_mean"), variance = decay("ewm_variance");
    assert_value(fold(&mean, &single, HALF), 5);
    assert_nan(fold(&variance, &single, HALF));
    set(&variance, "correction", 1);
    assert_value(fold(&variance, &single, HALF), 0);
}

static void after_a_gap_beyond_any_weight_only_the_new_counts(void **state) {
    (void)state;
    static const records r = {3, {0, 1, 2000 * HALF}, {{1e300, 3, 7}}};
    setting mean = decay("ewm_mean"), variance = decay("ewm_variance"), sum = decay("ewm_sum");
    assert_value(fold(&mean, &r, 2000 * HALF), 7);
    assert_nan(fold(&variance, &r, 2000 * HALF));
    assert_value(fold(&sum, &r, 2000 * HALF), 7);
    assert_value(fold(&sum, &r, 9000 * HALF), 0);
}

static void variance_keeps_its_digits_when_old_records_hardly_weigh(void **state) {
    (void)state;
    static const records r = {2, {0, 60 * HALF}, {{3, 7}}}; /* weights 2^-60 and 1: W^2 - sum w^2 would be 0 in doubles */
    setting variance = decay("ewm_variance");
    assert_value(fold(&variance, &r, 60 * HALF), 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_is_described_bounded_and_deterministic),
        cmocka_unit_test(weights_halve_with_time),
        cmocka_unit_test(sums_decay_on_to_the_time_of_the_value),
        cmocka_unit_test(a_steady_stream_has_its_rate),
        cmocka_unit_test(without_values_sums_are_0_and_moments_null),
        cmocka_unit_test(after_a_gap_beyond_any_weight_only_the_new_counts),
        cmocka_unit_test(variance_keeps_its_digits_when_old_records_hardly_weigh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
