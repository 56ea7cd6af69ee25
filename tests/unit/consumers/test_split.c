/* The split of traffic: stable, fair, independent between salts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/split.h"

static double point_of(const char *salt, int i) {
    char key[32];
    int len = snprintf(key, sizeof key, "default/%d", i);
    return weir_split_point(salt, key, (size_t)len);
}

static void same_key_and_salt_give_the_same_point(void **state) {
    (void)state;
    assert_true(weir_split_point("s", "default/1", 9) == weir_split_point("s", "default/1", 9));
    assert_true(weir_split_point("s", "default/1", 9) != weir_split_point("s", "default/2", 9));
    assert_true(weir_split_point("ab", "c", 1) != weir_split_point("a", "bc", 2));
}

/* Chi-squared over 20 cells of 100 000 keys: 99.9 % quantile with 19 degrees of freedom is 43.8. */
static void points_of_consecutive_keys_are_uniform(void **state) {
    (void)state;
    enum { KEYS = 100000, CELLS = 20 };
    int counts[CELLS] = {0};
    double chi2 = 0;
    for (int i = 0; i < KEYS; i++) {
        double u = point_of("fraud-1", i);
        assert_true(u >= 0 && u < 1);
        counts[(int)(u * CELLS)]++;
    }
    for (int c = 0; c < CELLS; c++) chi2 += pow(counts[c] - (double)KEYS / CELLS, 2) / ((double)KEYS / CELLS);
    assert_true(chi2 < 43.8);
}

/* Whoever was challenged in one experiment is challenged in the next as often as anybody. */
static void another_salt_splits_independently(void **state) {
    (void)state;
    enum { KEYS = 100000 };
    int both = 0, first = 0, second = 0;
    for (int i = 0; i < KEYS; i++) {
        int a = point_of("one", i) < 0.3, b = point_of("two", i) < 0.3;
        first += a;
        second += b;
        both += a && b;
    }
    double expected = (double)first * second / KEYS;
    assert_true(fabs(both - expected) < 4 * sqrt(expected));
}

static int bucket_of(const char *salt, const char *text, int buckets) {
    const weir_datum value = weir_text(text);
    return weir_split_bucket(salt, &value, buckets);
}

static void values_of_a_context_have_buckets(void **state) {
    (void)state;
    const weir_datum nothing = weir_null(), yes = weir_bool(true), no = weir_bool(false);
    for (int buckets = 2; buckets <= 16; buckets++) {
        assert_int_equal(weir_split_bucket("s/context", &nothing, buckets), 0);
        assert_true(weir_split_bucket("s/context", &no, buckets) == 1 && weir_split_bucket("s/context", &yes, buckets) == 2);
        for (int64_t i = -40; i < 40; i++) {
            const weir_datum number = weir_i64(i);
            char text[24];
            snprintf(text, sizeof text, "%lld", (long long)i);
            int bucket = weir_split_bucket("s/context", &number, buckets);
            assert_int_equal(bucket, i >= 0 && i < buckets ? 1 + (int)i : bucket_of("s/context", text, buckets));
        }
    }
    /* Bytes may not change: a rollout would go on with other buckets. */
    assert_int_equal(bucket_of("s/context", "shop", 8), 1 + (int)(weir_split_point("s/context", "shop", 4) * 8));
}

/* Chi-squared over 16 buckets of 100 000 values: 99.9 % quantile with 15 degrees of freedom is 37.7. And which bucket a key falls into says nothing of its arm. */
static void many_values_share_the_buckets_evenly_and_independently_of_the_arms(void **state) {
    (void)state;
    enum { VALUES = 100000, BUCKETS = 16 };
    int counts[1 + BUCKETS] = {0}, challenged[1 + BUCKETS] = {0};
    double chi2 = 0, chi2_arms = 0;
    for (int i = 0; i < VALUES; i++) {
        char text[32];
        snprintf(text, sizeof text, "default/%d", i);
        int bucket = bucket_of("fraud-1/context", text, BUCKETS);
        assert_true(bucket >= 1 && bucket <= BUCKETS);
        counts[bucket]++;
        challenged[bucket] += point_of("fraud-1", i) < 0.5;
    }
    for (int b = 1; b <= BUCKETS; b++) {
        chi2 += pow(counts[b] - (double)VALUES / BUCKETS, 2) / ((double)VALUES / BUCKETS);
        chi2_arms += pow(challenged[b] - counts[b] * 0.5, 2) / (counts[b] * 0.25);
    }
    assert_true(chi2 < 37.7 && chi2_arms < 37.7);
}

/* How many of 100 000 keys each arm has: [0] champion. */
static void count_arms(const double *shares, int count, int *arms) {
    weir_split_map map;
    for (int a = 0; a <= count; a++) arms[a] = 0;
    assert_int_equal(weir_split_map_init(&map, shares, count, NULL), WEIR_OK);
    for (int i = 0; i < 100000; i++) arms[weir_split_map_at(&map, point_of("arms", i)) + 1]++;
}

static void every_arm_gets_its_share(void **state) {
    (void)state;
    static const double cases[][3] = {{0.1, 0.25, 0}, {0.3, 0.3, 0.3}, {0.9, 0, 0.02}, {0, 0.9, 0.1}, {0.05, 0.05, 0.9}, {0, 0, 0}, {0, 1, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int count = 1; count <= 3; count++) {
            int arms[4];
            double rest = 1;
            count_arms(cases[c], count, arms);
            for (int a = 0; a < count; a++) {
                double n = 100000 * cases[c][a];
                rest -= cases[c][a];
                assert_true(fabs(arms[a + 1] - n) <= 4.5 * sqrt(n * (1 - cases[c][a])));
            }
            assert_true(fabs(arms[0] - 100000 * rest) <= 4.5 * sqrt(100000 * fabs(rest * (1 - rest))) + 1e-3);
        }
    }
}

/* The measured split of 10 000 events is the plan's within 5 % of it. */
static void ten_thousand_events_are_split_as_planned(void **state) {
    (void)state;
    const double shares[] = {0.3, 0.3};
    weir_split_map map;
    int arms[3] = {0};
    assert_int_equal(weir_split_map_init(&map, shares, 2, NULL), WEIR_OK);
    for (int i = 0; i < 10000; i++) arms[weir_split_map_at(&map, point_of("plan", i)) + 1]++;
    assert_true(abs(arms[0] - 4000) <= 200 && abs(arms[1] - 3000) <= 150 && abs(arms[2] - 3000) <= 150);
}

/* Along a rollout: three challengers grow together, two are stopped one after the other, the last one grows on. */
static void growing_a_share_moves_nobody_between_other_arms(void **state) {
    (void)state;
    static const double steps[][3] = {{0, 0, 0},          {0.03, 0.03, 0.03}, {0.2, 0.03, 0.2}, {0.2, 0.1, 0.2}, {1.0 / 3, 0.1, 0.25},
                                      {1.0 / 3, 0, 0.25}, {0, 0, 0.25},       {0, 0, 0.5},      {0, 0, 0.9},     {0, 0, 1}};
    for (size_t step = 1; step < sizeof steps / sizeof *steps; step++) {
        weir_split_map before, now;
        assert_int_equal(weir_split_map_init(&before, steps[step - 1], 3, NULL), WEIR_OK);
        assert_int_equal(weir_split_map_init(&now, steps[step], 3, NULL), WEIR_OK);
        for (int i = 0; i < 20000; i++) {
            double point = point_of("nested", i);
            int from = weir_split_map_at(&before, point), to = weir_split_map_at(&now, point);
            if (from == to) continue;
            assert_true(from < 0 || to < 0); /* always between the champion and one challenger */
            int moved = from < 0 ? to : from;
            assert_true(from < 0 ? steps[step][moved] > steps[step - 1][moved] : steps[step][moved] < steps[step - 1][moved]);
        }
    }
}

static void a_single_challenger_has_the_points_below_its_share(void **state) {
    (void)state;
    const double alone = 0.37, first_of_three[] = {0.37, 0, 0};
    weir_split_map one, three;
    assert_int_equal(weir_split_map_init(&one, &alone, 1, NULL), WEIR_OK);
    assert_int_equal(weir_split_map_init(&three, first_of_three, 3, NULL), WEIR_OK);
    for (int i = 0; i < 20000; i++) {
        double point = point_of("one", i);
        assert_int_equal(weir_split_map_at(&one, point), point < 0.37 ? 0 : -1);
        assert_int_equal(weir_split_map_at(&three, point), weir_split_map_at(&one, point));
    }
}

static void shares_that_are_none_are_refused(void **state) {
    (void)state;
    static const double cases[][2] = {{-0.1, 0}, {0.6, 0.5}, {NAN, 0}, {1.1, 0}};
    weir_split_map map;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) assert_int_equal(weir_split_map_init(&map, cases[c], 2, NULL), WEIR_EINVAL);
    assert_int_equal(weir_split_map_init(&map, cases[1], 0, NULL), WEIR_EINVAL);
    assert_int_equal(weir_split_map_init(&map, cases[1], WEIR_CHALLENGERS_MAX + 1, NULL), WEIR_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_key_and_salt_give_the_same_point),
        cmocka_unit_test(points_of_consecutive_keys_are_uniform),
        cmocka_unit_test(another_salt_splits_independently),
        cmocka_unit_test(values_of_a_context_have_buckets),
        cmocka_unit_test(many_values_share_the_buckets_evenly_and_independently_of_the_arms),
        cmocka_unit_test(every_arm_gets_its_share),
        cmocka_unit_test(ten_thousand_events_are_split_as_planned),
        cmocka_unit_test(growing_a_share_moves_nobody_between_other_arms),
        cmocka_unit_test(a_single_challenger_has_the_points_below_its_share),
        cmocka_unit_test(shares_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
