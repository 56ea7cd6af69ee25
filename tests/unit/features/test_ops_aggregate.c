/* Aggregates: hand-worked cases, nulls, empty windows, and numbers that a naive sum would lose. */
#include "operators.h"

#define N NAN
static const records some = {6, {0, 1 * SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND, 8 * SECOND}, {{2, 4, N, 4, 0, 5}, {1, 1, 3, N, 2, 4}}};
static const records none = {0};
static const records nulls = {2, {0, SECOND}, {{N, N}, {1, 1}}};
static const records single = {1, {SECOND}, {{7}, {2}}};

static setting aggregate(const char *name) {
    return use(weir_ops_aggregate, name);
}

/* Of the window, of all records, and of two tiles. */
static void assert_every_form(const char *name, const records *r, double expected) {
    setting s = aggregate(name);
    double values[3] = {eval(&s, r), NAN, NAN};
    int forms = 1;
    if (s.op->acc_size) {
        values[forms++] = fold(&s, r, 10 * SECOND);
        values[forms++] = merged(&s, r, r->count / 2, 10 * SECOND);
    }
    for (int i = 0; i < forms; i++) {
        if (isnan(expected) ? !isnan(values[i]) : !(fabs(values[i] - expected) <= 1e-12 * fabs(expected)))
            fail_msg("%s, form %d: %.17g is not %.17g", name, i, values[i], expected);
    }
}

static void every_operator_is_described_bounded_and_deterministic(void **state) {
    (void)state;
    check_family(weir_ops_aggregate, &some);
}

static void values_are_those_of_the_formulas(void **state) {
    (void)state;
    assert_every_form("count", &some, 5);
    assert_every_form("sum", &some, 15);
    assert_every_form("mean", &some, 3);
    assert_every_form("min", &some, 0);
    assert_every_form("max", &some, 5);
    assert_every_form("range", &some, 5);
    assert_every_form("variance", &some, 4); /* 1 + 1 + 1 + 9 + 4, over 4 */
    assert_every_form("std", &some, 2);
    assert_every_form("ratio", &some, (2 + 4 + 0 + 5) / 8.0);
    assert_every_form("weighted_mean", &some, (2 * 1 + 4 * 1 + 0 * 2 + 5 * 4) / 8.0);
    assert_every_form("share_true", &some, 0.8);
    assert_every_form("null_share", &some, 1 / 6.0);
    assert_every_form("rate", &some, 5 / 8.0);
}

static void windows_with_little_or_nothing_have_their_values(void **state) {
    static const struct {
        const char *name;
        double of_none, of_nulls, of_single;
    } cases[] = {
        {"count", 0, 0, 1}, {"sum", N, N, 7},      {"mean", N, N, 7},    {"min", N, N, 7},           {"max", N, N, 7},        {"range", N, N, 0},
        {"std", N, N, N},   {"variance", N, N, N}, {"ratio", N, N, 3.5}, {"weighted_mean", N, N, 7}, {"share_true", N, N, 1}, {"null_share", N, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_every_form(cases[i].name, &none, cases[i].of_none);
        assert_every_form(cases[i].name, &nulls, cases[i].of_nulls);
        assert_every_form(cases[i].name, &single, cases[i].of_single);
    }
    setting rate = aggregate("rate");
    assert_nan(eval(&rate, &single)); /* no length */
}

static void parameters_change_the_divisor_and_the_time(void **state) {
    (void)state;
    setting variance = aggregate("variance"), rate = aggregate("rate");
    set(&variance, "ddof", 0);
    assert_value(eval(&variance, &some), 3.2);
    assert_value(fold(&variance, &some, 0), 3.2);
    assert_value(eval(&variance, &single), 0);
    set(&rate, "per", 60 * SECOND);
    assert_value(eval(&rate, &some), 37.5);
}

static void without_an_input_records_are_counted(void **state) {
    (void)state;
    setting count = aggregate("count");
    double acc;
    const weir_window window = {.count = 6, .time_us = some.time_us};
    assert_value(count.op->eval(&window, &count.params), 6);
    count.op->init(&acc, &count.params);
    for (int i = 0; i < 6; i++) count.op->add(&acc, i, NULL, &count.params);
    assert_value(count.op->value(&acc, 0, &count.params), 6);
}

static void sums_and_deviations_keep_what_rounding_would_lose(void **state) {
    (void)state;
    records large = {5, {0, 1, 2, 3, 4}, {{1e16, 1, 1, -1e16, 1}}}, apart = {4, {0, 1, 2, 3}, {{1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}}};
    setting sum = aggregate("sum"), variance = aggregate("variance");
    assert_value(fold(&sum, &large, 0), 3);
    assert_value(merged(&sum, &large, 3, 0), 3);
    assert_value(eval(&variance, &apart), 30);
    assert_value(fold(&variance, &apart, 0), 30);
    assert_value(merged(&variance, &apart, 1, 0), 30);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_is_described_bounded_and_deterministic),
        cmocka_unit_test(values_are_those_of_the_formulas),
        cmocka_unit_test(windows_with_little_or_nothing_have_their_values),
        cmocka_unit_test(parameters_change_the_divisor_and_the_time),
        cmocka_unit_test(without_an_input_records_are_counted),
        cmocka_unit_test(sums_and_deviations_keep_what_rounding_would_lose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
