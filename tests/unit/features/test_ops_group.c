/* Operators on two columns and on members of a group: hand-worked cases and edges. */
#include "operators.h"

#define N NAN
enum { A = 1, B, C };
/* Newest values: A 6, B 4, C 10; nulls do not count. The newest record is A's. */
static const records group = {8, {0, 0, 0, 1, 2, 3, 3, 4}, {{2, 1, 10, 3, N, 4, 5, 6}, {A, B, C, A, B, B, N, A}}};
static const records bars = {9, {0, 0, 0, 1, 1, 1, 2, 2, 2}, {{10, 20, 40, 11, 24, 44, 22, 12, 66}, {A, B, C, A, B, C, A, B, C}}};
static const records none = {0};
static const records nulls = {2, {0, 1}, {{N, 3}, {A, N}}};
static const records alone = {1, {0}, {{5}, {A}}};

static setting of(const char *name) {
    return use(weir_ops_group, name);
}

static void every_operator_is_described_bounded_and_deterministic(void **state) {
    (void)state;
    check_family(weir_ops_group, &group);
}

static void columns_pair_records_in_which_both_are_there(void **state) {
    (void)state;
    static const records r = {6, {0, 1, 2, 3, 4, 5}, {{1, N, 2, 4, 3, INFINITY}, {2, 9, 4, 8, N, 1}}};
    setting correlation = of("correlation"), covariance = of("covariance"), beta = of("beta"), slope = of("slope");
    for (int split = 0; split <= r.count; split++) {
        assert_value(merged(&correlation, &r, split, 0), 1);
        assert_value(merged(&covariance, &r, split, 0), 14 / 3.0);
        assert_value(merged(&slope, &r, split, 0), 0.5);
    }
    assert_value(fold(&correlation, &r, 0), 1);
    assert_nan(fold(&beta, &r, 0)); /* both returns of y are 1 */
    set(&beta, "on", 0);
    assert_value(fold(&beta, &r, 0), 0.5);
}

static void returns_go_from_tile_to_tile(void **state) {
    (void)state;
    static const records r = {6, {0, 1, 2, 3, 4, 5}, {{10, 11, N, 22, 11, 0}, {20, 24, 5, 30, 60, 30}}}; /* x: .1 1 -.5 -1; y: .2 .25 1 -.5 */
    setting covariance = of("covariance"), beta = of("beta");
    set(&covariance, "on", 1);
    double mx = -0.1, my = 0.2375, x[] = {0.1, 1, -0.5, -1}, y[] = {0.2, 0.25, 1, -0.5}, xy = 0, yy = 0;
    for (int i = 0; i < 4; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        yy += (y[i] - my) * (y[i] - my);
    }
    assert_value(fold(&covariance, &r, 0), xy / 3);
    for (int split = 0; split <= r.count; split++) {
        assert_value(merged(&covariance, &r, split, 0), xy / 3);
        assert_value(merged(&beta, &r, split, 0), xy / yy);
    }
}

static void columns_that_do_not_vary_have_no_correlation(void **state) {
    (void)state;
    static const records flat = {4, {0, 1, 2, 3}, {{1, 2, 3, 5}, {0.1, 0.1, 0.1, 0.1}}};
    setting correlation = of("correlation"), slope = of("slope"), covariance = of("covariance");
    assert_nan(fold(&correlation, &flat, 0));
    assert_nan(fold(&slope, &flat, 0));
    assert_value(fold(&covariance, &flat, 0), 0);
    assert_nan(fold(&covariance, &alone, 0));
}

static void rank_and_share_among_newest_values(void **state) {
    (void)state;
    setting rank = of("group_rank"), share = of("group_share"), members = of("group_members");
    assert_value(eval(&rank, &group), 2);
    set(&rank, "member", B);
    assert_value(eval(&rank, &group), 3);
    set(&rank, "output", 1);
    assert_value(eval(&rank, &group), 1);
    set(&rank, "output", 2);
    assert_value(eval(&rank, &group), 1 / 3.0);
    set(&rank, "member", 77);
    assert_nan(eval(&rank, &group));
    assert_value(eval(&share, &group), 0.3);
    set(&share, "by", 1);
    assert_value(eval(&share, &group), 11 / 26.0);
    assert_nan(eval(&share, &(records){2, {0, 1}, {{-3, 3}, {A, B}}}));
    assert_value(eval(&members, &group), 3);
}

/* Few members are dealt out, many are sorted: every number of them, in every order, with nulls between. */
static void any_number_of_members(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 63, 255, 256, 257, 400};
    setting members = of("group_members"), share = of("group_share");
    set(&share, "by", 1);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        records r = {.count = 3 * counts[c]};
        double total = 0, own = 0, last = NAN;
        for (int k = 0; k < r.count; k++) {
            double member = (double)((k * 7919) % counts[c]) * 1.25 - 100;
            bool null = k % 5 == 3 && k >= counts[c];
            r.time_us[k] = k;
            r.in[0][k] = null ? N : k;
            r.in[1][k] = member == 0 && k % 2 ? -0.0 : member;
            if (null) continue;
            total += k;
            last = member;
        }
        for (int k = 0; k < r.count; k++)
            if (isfinite(r.in[0][k]) && r.in[1][k] == last) own += k;
        assert_value(eval(&members, &r), counts[c]);
        assert_value(eval(&share, &r), own / total);
    }
}

static void equal_values_share_a_rank(void **state) {
    (void)state;
    static const records r = {4, {0, 0, 0, 0}, {{5, 7, 5, 1}, {A, B, C, 4}}};
    setting rank = of("group_rank");
    set(&rank, "member", C);
    assert_value(eval(&rank, &r), 2);
    set(&rank, "output", 2);
    assert_value(eval(&rank, &r), 2.5 / 4);
}

static void the_member_against_the_others(void **state) {
    (void)state;
    setting mean = of("group_mean"), z = of("group_zscore"), spread = of("group_spread"), dispersion = of("group_dispersion");
    assert_value(eval(&mean, &group), 20 / 3.0);
    set(&mean, "over", 1);
    assert_value(eval(&mean, &group), 7);
    assert_value(eval(&z, &group), -1 / sqrt(18));
    assert_value(eval(&spread, &group), 6);
    assert_value(eval(&dispersion, &group), sqrt((4 + 64 + 100) / 9.0 / 2));
    assert_nan(eval(&z, &(records){3, {0, 1, 2}, {{5, 5, 9}, {A, B, C}}}));
}

static void members_are_aligned_by_time(void **state) {
    (void)state; /* returns: A .1 1, B .2 -.5, C .1 .5; the newest record is C's */
    setting beta = of("group_beta"), correlation = of("group_correlation");
    assert_value(eval(&correlation, &bars), 1);
    assert_value(eval(&beta, &bars), 0.4 / 0.1); /* mean of A and B: .15 .25 */
    set(&beta, "member", A);
    set(&beta, "with", B);
    assert_value(eval(&beta, &bars), 0.9 / -0.7);
    set(&beta, "on", 0);
    assert_value(eval(&beta, &bars), (10 * 20 + 11 * 24 + 22 * 12 - 43 * 56 / 3.0) / (400 + 576 + 144 - 56 * 56 / 3.0));
    set(&correlation, "with", C);
    assert_value(eval(&correlation, &bars), 1); /* with itself */
    set(&correlation, "with", 77);
    assert_nan(eval(&correlation, &bars));
}

static void of_records_at_the_same_time_the_newest_counts(void **state) {
    (void)state;
    static const records r = {7, {0, 0, 1, 1, 1, 2, 2}, {{1, 1, 99, 2, 3, 3, 6}, {A, B, A, A, B, A, B}}};
    setting beta = of("group_beta");
    set(&beta, "on", 0);
    assert_value(eval(&beta, &r), 2.5); /* B 1 3 6 on A 1 2 3: covariance 2.5, variance 1 */
}

static void without_records_that_take_part_there_is_nothing(void **state) {
    (void)state;
    for (const weir_operator *op = weir_ops_group; op->name; op++) {
        setting s = setting_of(op);
        bool counts = !strcmp(op->name, "group_members");
        for (int i = 0; i < 2; i++) {
            const records *r = i ? &nulls : &none;
            double value = op->eval ? eval(&s, r) : fold(&s, r, 0);
            assert_true(counts ? value == 0 : isnan(value));
            if (op->merge) assert_nan(merged(&s, r, 0, 0));
        }
    }
    setting rank = of("group_rank"), spread = of("group_spread"), z = of("group_zscore");
    assert_value(eval(&rank, &alone), 1);
    assert_value(eval(&spread, &alone), 0);
    assert_nan(eval(&z, &alone));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_is_described_bounded_and_deterministic),
        cmocka_unit_test(columns_pair_records_in_which_both_are_there),
        cmocka_unit_test(returns_go_from_tile_to_tile),
        cmocka_unit_test(columns_that_do_not_vary_have_no_correlation),
        cmocka_unit_test(rank_and_share_among_newest_values),
        cmocka_unit_test(any_number_of_members),
        cmocka_unit_test(equal_values_share_a_rank),
        cmocka_unit_test(the_member_against_the_others),
        cmocka_unit_test(members_are_aligned_by_time),
        cmocka_unit_test(of_records_at_the_same_time_the_newest_counts),
        cmocka_unit_test(without_records_that_take_part_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
