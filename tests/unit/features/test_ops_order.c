/* Order operators: hand-worked cases, edges, and what the oracle test cannot see. Expected values stand in the tests. */
#include "operators.h"

#define N NAN
static const records seven = {7, {0, 1 * SECOND, 1 * SECOND, 4 * SECOND, 9 * SECOND, 10 * SECOND, 12 * SECOND}, {{3, 5, N, 5, 8, N, 6}}};
static const records none = {0};
static const records nulls = {3, {0, 1, 2}, {{N, INFINITY, N}}};
static const records single = {1, {2 * SECOND}, {{4}}};
enum { T = 15 };

static setting order(const char *name) {
    return use(weir_ops_order, name);
}

static void every_operator_is_described_bounded_and_deterministic(void **state) {
    (void)state;
    check_family(weir_ops_order, &seven);
}

static void first_last_and_nth_skip_nulls_unless_told(void **state) {
    (void)state;
    setting first = order("first"), last = order("last"), nth = order("nth");
    assert_value(eval(&first, &seven), 3);
    assert_value(fold(&first, &seven, 0), 3);
    assert_value(eval(&last, &seven), 6);
    records ends = {3, {0, 1, 2}, {{N, 7, N}}};
    assert_value(eval(&first, &ends), 7);
    assert_value(fold(&last, &ends, 0), 7);
    set(&first, "nulls", 1);
    set(&last, "nulls", 1);
    assert_nan(eval(&first, &ends));
    assert_nan(fold(&last, &ends, 0));
    set(&nth, "n", 2);
    assert_value(eval(&nth, &seven), 8);
    set(&nth, "nulls", 1);
    assert_nan(eval(&nth, &seven));
    set(&nth, "from", 1);
    assert_value(eval(&nth, &seven), 5);
    set(&nth, "n", 8);
    assert_nan(eval(&nth, &seven));
}

static void lag_counts_null_records_unless_told(void **state) {
    (void)state;
    setting lag = order("lag"), difference = order("difference");
    assert_nan(fold(&lag, &seven, 0));
    set(&lag, "n", 2);
    assert_value(fold(&lag, &seven, 0), 8);
    set(&lag, "nulls", 0);
    assert_value(fold(&lag, &seven, 0), 5);
    set(&lag, "n", 4);
    assert_value(fold(&lag, &seven, 0), 3);
    set(&lag, "n", 5);
    assert_nan(fold(&lag, &seven, 0));
    set(&difference, "n", 6);
    assert_value(fold(&difference, &seven, 0), 3);
    set(&difference, "n", 7);
    assert_nan(fold(&difference, &seven, 0));
}

static void changes_relative_and_per_time(void **state) {
    (void)state;
    setting relative = order("relative_change"), rate = order("rate_of_change");
    set(&relative, "nulls", 0);
    assert_value(fold(&relative, &seven, 0), -0.25);
    assert_nan(fold(&relative, &(records){2, {0, 1}, {{0, 5}}}, 0));
    set(&rate, "nulls", 0);
    assert_value(fold(&rate, &seven, 0), -2 / 3.0);
    set(&rate, "per", 60e6);
    assert_value(fold(&rate, &seven, 0), -40);
    assert_nan(fold(&rate, &(records){2, {7, 7}, {{1, 5}}}, 0));
}

static void ages_reach_to_the_time_of_the_value(void **state) {
    (void)state;
    setting since = order("time_since"), max = order("time_since_max"), min = order("time_since_min"), change = order("time_since_change");
    assert_value(fold(&since, &seven, T * SECOND), 3);
    assert_value(fold(&since, &(records){3, {0, SECOND, 2 * SECOND}, {{1, 0, N}}}, T * SECOND), 15);
    assert_nan(fold(&since, &(records){2, {0, 1}, {{0, N}}}, T * SECOND));
    assert_value(fold(&max, &seven, T * SECOND), 6);
    assert_value(fold(&min, &seven, T * SECOND), 15);
    assert_value(fold(&max, &(records){3, {0, SECOND, 2 * SECOND}, {{4, 4, 1}}}, T * SECOND), 14);
    assert_value(fold(&change, &seven, T * SECOND), 3);
    records r = {6, {0, SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND, 5 * SECOND}, {{1, 2, 2, 3, 3, 3}}};
    for (int split = 0; split <= r.count; split++) {
        assert_value(merged(&change, &r, split, T * SECOND), 12);
        assert_value(merged(&max, &r, split, T * SECOND), 10);
        assert_value(merged(&min, &r, split, T * SECOND), 15);
        assert_value(merged(&since, &r, split, T * SECOND), 10);
    }
    assert_value(fold(&change, &(records){3, {0, SECOND, 2 * SECOND}, {{4, N, 4}}}, T * SECOND), 15);
}

static void time_since_without_a_condition_counts_every_record(void **state) {
    (void)state;
    setting since = order("time_since"), between = order("time_between");
    double mark[8], gaps[16];
    since.op->init(mark, &since.params);
    since.op->add(mark, SECOND, NULL, &since.params);
    assert_value(since.op->value(mark, T * SECOND, &since.params), 14);
    assert_true(between.op->acc_size(&between.params) <= sizeof(gaps));
    between.op->init(gaps, &between.params);
    for (int64_t t = 1; t <= 4; t *= 2) between.op->add(gaps, t * SECOND, NULL, &between.params);
    assert_value(between.op->value(gaps, T * SECOND, &between.params), 1.5);
}

static void gaps_between_records(void **state) {
    (void)state;
    static const double want[] = {2.75, 0, 5}; /* of gaps 1, 0, 5, 5: mean, min, max */
    setting between = order("time_between");
    records r = {5, {0, 1 * SECOND, 1 * SECOND, 6 * SECOND, 11 * SECOND}, {{1, 1, 1, 1, 1}}};
    for (int output = 0; output < 3; output++) {
        set(&between, "output", output);
        assert_value(fold(&between, &r, 0), want[output]);
        for (int split = 0; split <= r.count; split++) assert_value(merged(&between, &r, split, 0), want[output]);
    }
    set(&between, "output", 3);
    assert_value(fold(&between, &r, 0), sqrt((1.75 * 1.75 + 2.75 * 2.75 + 2 * 2.25 * 2.25) / 3));
    assert_nan(fold(&between, &(records){2, {0, 1}, {{1, 1}}}, 0));
}

static void streaks_end_at_false_and_null(void **state) {
    (void)state;
    setting streak = order("streak");
    records r = {5, {0, 1 * SECOND, 2 * SECOND, 5 * SECOND, 9 * SECOND}, {{1, N, 1, -2, 1}}};
    assert_value(eval(&streak, &r), 3);
    assert_value(fold(&streak, &r, 0), 3);
    set(&streak, "output", 1);
    assert_value(eval(&streak, &r), 7);
    for (int split = 0; split <= r.count; split++) assert_value(merged(&streak, &r, split, 0), 7);
    r.in[0][4] = 0;
    assert_value(eval(&streak, &r), 0);
    assert_value(fold(&streak, &r, 0), 0);
}

static void order_statistics(void **state) {
    (void)state;
    setting q = order("quantile"), median = order("median"), iqr = order("iqr"), rank = order("percent_rank"); /* of 3 5 5 6 8 */
    set(&q, "q", 0.9);
    assert_value(eval(&q, &seven), 7.2);
    assert_value(fold(&q, &seven, 0), 7.2);
    assert_value(eval(&median, &seven), 5);
    assert_value(eval(&iqr, &seven), 1);
    assert_value(merged(&iqr, &seven, 3, 0), 1);
    assert_value(eval(&rank, &seven), 0.8);
    set(&median, "bins", 65);
    assert_non_null(median.op->prepare(&median.params));
    set(&median, "bins", 64);
    assert_null(median.op->prepare(&median.params));
}

static void counts_of_values(void **state) {
    (void)state;
    setting distinct = order("distinct_count"), changes = order("change_count"), above = order("count_above"), below = order("count_below");
    assert_value(eval(&distinct, &seven), 4);
    assert_value(fold(&distinct, &seven, 0), 4);
    assert_value(eval(&distinct, &(records){2, {0, 1}, {{0.0, -0.0}}}), 1);
    assert_value(eval(&changes, &seven), 3);
    for (int split = 0; split <= seven.count; split++) assert_value(merged(&changes, &seven, split, 0), 3);
    set(&above, "threshold", 5);
    set(&below, "threshold", 5);
    assert_value(eval(&above, &seven), 2);
    assert_value(eval(&below, &seven), 1);
    set(&above, "output", 1);
    assert_value(fold(&above, &seven, 0), 0.4);
}

static void most_frequent_breaks_ties_by_the_newest(void **state) {
    (void)state;
    setting most = order("most_frequent");
    records r = {6, {0, 1, 2, 3, 4, 5}, {{7, 2, 7, 2, 9, N}}};
    assert_value(eval(&most, &r), 2);
    for (int split = 0; split <= r.count; split++) assert_value(merged(&most, &r, split, 0), 2);
    records other = {4, {0, 1, 2, 3}, {{2, 7, 2, 7}}};
    assert_value(eval(&most, &other), 7);
    for (int split = 0; split <= other.count; split++) assert_value(merged(&most, &other, split, 0), 7);
    set(&most, "output", 1);
    assert_value(eval(&most, &r), 2);
    set(&most, "output", 2);
    assert_value(eval(&most, &r), 0.4);
    assert_value(fold(&most, &r, 0), 0.4);
}

static bool counts(const char *name) {
    static const char *const names[] = {"streak", "change_count", "count_above", "count_below", "distinct_count"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static void without_values_counts_are_0_and_the_rest_is_null(void **state) {
    (void)state;
    for (const weir_operator *op = weir_ops_order; op->name; op++) {
        setting s = setting_of(op);
        set_required(&s);
        for (int i = 0; i < 2; i++) {
            double values[] = {op->eval ? eval(&s, i ? &nulls : &none) : NAN, op->acc_size ? fold(&s, i ? &nulls : &none, T) : NAN,
                               op->merge ? merged(&s, i ? &nulls : &none, 0, T) : NAN};
            print_message("%s\n", op->name);
            if (op->eval) assert_true(counts(op->name) ? values[0] == 0 : isnan(values[0]));
            if (op->acc_size) assert_true(counts(op->name) ? values[1] == 0 : isnan(values[1]));
            if (op->merge) assert_true(counts(op->name) ? values[2] == 0 : isnan(values[2]));
        }
    }
    setting last = order("last"), q = order("quantile");
    set(&q, "q", 0.3);
    assert_value(eval(&last, &single), 4);
    assert_value(eval(&q, &single), 4);
    assert_value(fold(&q, &single, 0), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_is_described_bounded_and_deterministic),
        cmocka_unit_test(first_last_and_nth_skip_nulls_unless_told),
        cmocka_unit_test(lag_counts_null_records_unless_told),
        cmocka_unit_test(changes_relative_and_per_time),
        cmocka_unit_test(ages_reach_to_the_time_of_the_value),
        cmocka_unit_test(time_since_without_a_condition_counts_every_record),
        cmocka_unit_test(gaps_between_records),
        cmocka_unit_test(streaks_end_at_false_and_null),
        cmocka_unit_test(order_statistics),
        cmocka_unit_test(counts_of_values),
        cmocka_unit_test(most_frequent_breaks_ties_by_the_newest),
        cmocka_unit_test(without_values_counts_are_0_and_the_rest_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
