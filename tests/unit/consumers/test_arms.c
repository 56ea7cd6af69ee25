/* Who answers a request, with which probability, and who scores it in shadow: of arms as a scorer holds them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/serving.h"

enum { KEYS = 50000, ARMS = 3 };

static weir_served served[1 + ARMS];

static weir_arms arms_of(const double shares[ARMS], bool by_request) {
    weir_arms arms = {.champion = &served[0], .champion_share = 1, .by_request = by_request, .salt = "arms"};
    for (int c = 0; c < ARMS; c++) {
        arms.challengers[c] = &served[1 + c];
        arms.shares[c] = shares[c];
        arms.champion_share -= shares[c];
    }
    assert_int_equal(weir_split_map_init(&arms.split, arms.shares, ARMS, NULL), WEIR_OK);
    return arms;
}

static const weir_served *ask(const weir_arms *arms, int key, int64_t t_us, double *ret_propensity) {
    char text[32];
    return weir_arms_choose(arms, text, (size_t)snprintf(text, sizeof text, "default/%d", key), t_us, ret_propensity);
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
    weir_arms arms = {.champion = &served[0], .champion_share = 1};
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_propensity_is_how_often_an_arm_answers),
        cmocka_unit_test(an_entity_keeps_its_arm_and_a_request_does_not),
        cmocka_unit_test(without_challengers_the_champion_answers),
        cmocka_unit_test(shadows_score_their_share_independently_of_the_arm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
