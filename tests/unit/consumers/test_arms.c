/* Who answers a request, with which probability, and who scores it in shadow: of arms as a scorer holds them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/rollout_rows.h"
#include "consumers/serving.h"

enum { KEYS = 50000, ARMS = 3 };

static weir_served served[1 + ARMS];

static weir_arms arms_of(const double shares[ARMS], bool by_request) {
    weir_arms arms = {.champion = &served[0], .by_request = by_request, .salt = "arms"};
    double all[WEIR_CHALLENGERS_MAX] = {0};
    for (int c = 0; c < ARMS; c++) {
        arms.challengers[c] = &served[1 + c];
        all[c] = shares[c];
    }
    assert_int_equal(weir_arms_split_init(&arms.splits[0], all, ARMS, NULL), WEIR_OK);
    return arms;
}

static const weir_served *ask(const weir_arms *arms, int key, int64_t t_us, double *ret_propensity) {
    char text[32];
    return weir_arms_choose(arms, 0, text, (size_t)snprintf(text, sizeof text, "default/%d", key), t_us, ret_propensity);
}

static bool shadowed(const weir_arms *arms, int challenger, int key) {
    char text[32];
    return weir_arms_shadows(arms, challenger, text, (size_t)snprintf(text, sizeof text, "default/%d", key), 0);
}

static void the_propensity_is_how_often_an_arm_answers(void **state) {
    (void)state;
    const double shares[ARMS] = {0.2, 0.05, 0};
    const weir_arms arms = arms_of(shares, false);
    int count[1 + ARMS] = {0};
    for (int k = 0; k < KEYS; k++) {
        double propensity;
        long arm = ask(&arms, k, 0, &propensity) - served;
        assert_true(fabs(propensity - (arm ? shares[arm - 1] : 0.75)) < 1e-12);
        count[arm]++;
    }
    for (int a = 0; a <= ARMS; a++) {
        double expected = KEYS * (a ? shares[a - 1] : 0.75);
        assert_true(fabs(count[a] - expected) <= 4.5 * sqrt(expected));
    }
}

static void an_entity_keeps_its_arm_and_a_request_does_not(void **state) {
    (void)state;
    const double shares[ARMS] = {0.3, 0.3, 0.3};
    const weir_arms by_entity = arms_of(shares, false), by_request = arms_of(shares, true);
    double propensity;
    int moved = 0;
    for (int k = 0; k < 1000; k++) {
        assert_ptr_equal(ask(&by_entity, k, 1, &propensity), ask(&by_entity, k, 2, &propensity));
        assert_ptr_equal(ask(&by_request, k, 1, &propensity), ask(&by_request, k, 1, &propensity));
        moved += ask(&by_request, k, 1, &propensity) != ask(&by_request, k, 2, &propensity);
    }
    assert_true(moved > 600);
}

static void without_challengers_the_champion_answers(void **state) {
    (void)state;
    weir_arms arms = {.champion = &served[0], .splits = {{.champion_share = 1}}};
    double propensity = 0;
    assert_ptr_equal(ask(&arms, 1, 0, &propensity), &served[0]);
    assert_true(propensity == 1);
    arms.champion = NULL;
    assert_null(ask(&arms, 1, 0, &propensity));
}

/* A shadow is drawn by its own share, whoever answers. */
static void shadows_score_their_share_independently_of_the_arm(void **state) {
    (void)state;
    const double shares[ARMS] = {0.3, 0, 0};
    weir_arms arms = arms_of(shares, false);
    int shadows = 0, challenged = 0, both = 0;
    arms.shadows[1] = 0.4;
    arms.shadows[2] = 1;
    for (int k = 0; k < KEYS; k++) {
        double propensity;
        bool challenger = ask(&arms, k, 0, &propensity) != arms.champion, shadow = shadowed(&arms, 1, k);
        assert_true(shadowed(&arms, 2, k) && !shadowed(&arms, 0, k));
        shadows += shadow;
        challenged += challenger;
        both += challenger && shadow;
    }
    assert_true(fabs(shadows - 0.4 * KEYS) < 4.5 * sqrt(0.24 * KEYS));
    assert_true(fabs(both - (double)shadows * challenged / KEYS) < 4.5 * sqrt(0.12 * KEYS));
    arms.challengers[2] = NULL;
    assert_false(shadowed(&arms, 2, 1));
}

/* Each bucket has a split of its own: how often its arms answer, what is logged as their propensity, and what its policy says are the same. */
static void in_each_bucket_of_a_context_arms_answer_as_its_policy_says(void **state) {
    (void)state;
    enum { BUCKETS = 4 };
    static const double shares[1 + BUCKETS][WEIR_CHALLENGERS_MAX] = {{0.25, 0.25, 0.25}, {0.05, 0.05, 0.85}, {0.85, 0.05, 0.05}, {0.3}, {0.4, 0.35, 0.2}};
    weir_arms arms = {
        .champion = &served[0], .by_request = true, .salt = "arms", .context_salt = "arms/context", .context_index = 1, .bucket_count = 1 + BUCKETS};
    int count[1 + BUCKETS][1 + ARMS] = {{0}}, requests[1 + BUCKETS] = {0};
    for (int c = 0; c < ARMS; c++) arms.challengers[c] = &served[1 + c];
    for (int b = 0; b <= BUCKETS; b++) assert_int_equal(weir_arms_split_init(&arms.splits[b], shares[b], ARMS, NULL), WEIR_OK);
    for (int k = 0; k < 4 * KEYS; k++) {
        char text[32], place[16];
        double propensity;
        const weir_datum event[] = {weir_i64(k), k % 10 ? weir_str(place, (size_t)snprintf(place, sizeof place, "place %d", k % 37)) : weir_null()};
        int bucket = weir_arms_bucket(&arms, event);
        assert_int_equal(bucket, weir_split_bucket("arms/context", &event[1], BUCKETS));
        long arm = weir_arms_choose(&arms, bucket, text, (size_t)snprintf(text, sizeof text, "default/%d", k % 500), k, &propensity) - served;
        weir_rollout_row row = {0};
        weir_rollout_read_policy((int)arm - 1, propensity, arms.splits[bucket].policy, &row);
        assert_true(fabs(propensity - (arm ? row.shares[arm - 1] : row.champion_share)) < 1e-8);
        for (int c = 0; c < ARMS && *arms.splits[bucket].policy; c++) assert_true(fabs(row.shares[c] - shares[bucket][c]) < 1e-8);
        requests[bucket]++;
        count[bucket][arm]++;
    }
    for (int b = 0; b <= BUCKETS; b++) {
        assert_true(requests[b] > 2000);
        for (int a = 0; a <= ARMS; a++) {
            double share = a ? shares[b][a - 1] : arms.splits[b].champion_share;
            assert_true(fabs(count[b][a] - share * requests[b]) <= 4.5 * sqrt(share * (1 - share) * requests[b]));
        }
    }
}

static void shares_that_are_too_much_are_scaled_down_and_wrong_ones_leave_the_champion_alone(void **state) {
    (void)state;
    weir_arms_split split;
    const double much[WEIR_CHALLENGERS_MAX] = {1, 0.6}, wrong[WEIR_CHALLENGERS_MAX] = {NAN, 0.5};
    assert_int_equal(weir_arms_split_init(&split, much, 2, NULL), WEIR_OK);
    assert_true(split.champion_share == 0 && fabs(split.shares[0] - 0.625) < 1e-12 && fabs(split.shares[1] - 0.375) < 1e-12);
    assert_int_equal(weir_arms_split_init(&split, wrong, 2, NULL), WEIR_EINVAL);
    assert_true(split.champion_share == 1 && !split.map.count && !*split.policy && split.shares[1] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_propensity_is_how_often_an_arm_answers),
        cmocka_unit_test(an_entity_keeps_its_arm_and_a_request_does_not),
        cmocka_unit_test(without_challengers_the_champion_answers),
        cmocka_unit_test(shadows_score_their_share_independently_of_the_arm),
        cmocka_unit_test(in_each_bucket_of_a_context_arms_answer_as_its_policy_says),
        cmocka_unit_test(shares_that_are_too_much_are_scaled_down_and_wrong_ones_leave_the_champion_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
