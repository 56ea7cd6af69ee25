#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/bandit.h"
#include "models/random.h"

static const weir_bandit_settings PAIR = {.reward = WEIR_REWARD_BERNOULLI, .arms = 2, .floor = 0.01};
static const weir_bandit_settings AMOUNTS = {.reward = WEIR_REWARD_GAUSSIAN, .arms = 3, .floor = 0.05, .prior_mean = 0, .prior_deviation = 1};

static double uniform(uint64_t *random) {
    return (double)(weir_models_random(random) >> 11) * 0x1p-53;
}

static void add(const weir_bandit_settings *settings, weir_bandit *bandit, int arm, double reward) {
    assert_int_equal(weir_bandit_add(settings, bandit, arm, reward, NULL), WEIR_OK);
}

/* Beta(1, 1) against Beta(2, 1), whose density is 2x: ∫ 2x · x = 2/3. */
static void one_success_is_as_worked_by_hand(void **state) {
    (void)state;
    weir_bandit bandit = {0};
    double found[2];
    add(&PAIR, &bandit, 1, 1);
    assert_int_equal(weir_bandit_propensities(&PAIR, &bandit, found, NULL), WEIR_OK);
    assert_float_equal(found[1], 0.01 + 0.98 * 2 / 3, 1e-9);
    assert_float_equal(found[0] + found[1], 1, 1e-12);
}

static void arms_that_know_the_same_share_alike(void **state) {
    (void)state;
    weir_bandit bandit = {0};
    double found[3];
    assert_int_equal(weir_bandit_propensities(&AMOUNTS, &bandit, found, NULL), WEIR_OK);
    for (int a = 0; a < 3; a++) assert_float_equal(found[a], 1.0 / 3, 1e-6);
}

static void no_arm_falls_below_the_floor(void **state) {
    (void)state;
    weir_bandit bandit = {0};
    double found[3];
    for (int i = 0; i < 1000; i++)
        for (int a = 0; a < 3; a++) add(&AMOUNTS, &bandit, a, 10 * a + i % 2);
    assert_int_equal(weir_bandit_propensities(&AMOUNTS, &bandit, found, NULL), WEIR_OK);
    assert_float_equal(found[0], 0.05, 1e-9);
    assert_float_equal(found[1], 0.05, 1e-9);
    assert_float_equal(found[2], 0.9, 1e-9);
}

static void a_million_rewards_are_still_integrated(void **state) {
    (void)state;
    weir_bandit bandit = {.count = {1e6, 1e6}, .mean = {0.1, 0.1002}};
    double found[2], z = 0.0002 / sqrt((0.1 * 0.9 + 0.1002 * 0.8998) / 1e6);
    assert_int_equal(weir_bandit_propensities(&PAIR, &bandit, found, NULL), WEIR_OK);
    assert_float_equal(found[1], 0.01 + 0.98 * 0.5 * erfc(-z / sqrt(2)), 1e-4);
}

static void old_rewards_fade_to_the_memory(void **state) {
    (void)state;
    weir_bandit_settings fading = PAIR;
    weir_bandit bandit = {0};
    fading.memory = 50;
    for (int i = 0; i < 500; i++) add(&fading, &bandit, 0, 1);
    assert_float_equal(bandit.count[0], 50, 1e-9);
    for (int i = 0; i < 500; i++) add(&fading, &bandit, 0, 0);
    assert_true(bandit.mean[0] < 1e-3 && bandit.count[0] < 50.001);
}

static void requests_go_by_the_propensities(void **state) {
    (void)state;
    const double propensities[] = {0.2, 0.5, 0.3};
    assert_int_equal(weir_bandit_route(propensities, 3, 0), 0);
    assert_int_equal(weir_bandit_route(propensities, 3, 0.2), 1);
    assert_int_equal(weir_bandit_route(propensities, 3, 0.69), 1);
    assert_int_equal(weir_bandit_route(propensities, 3, 0.7000001), 2);
    assert_int_equal(weir_bandit_route(propensities, 3, 0.9999999), 2);
}

/* Two buckets in which different arms are best: each finds its own. */
static void buckets_learn_by_themselves(void **state) {
    (void)state;
    weir_bandit buckets[2] = {0};
    uint64_t random = 3;
    double found[2];
    for (int i = 0; i < 4000; i++) {
        int bucket = i % 2;
        assert_int_equal(weir_bandit_propensities(&PAIR, &buckets[bucket], found, NULL), WEIR_OK);
        int arm = weir_bandit_route(found, 2, uniform(&random));
        add(&PAIR, &buckets[bucket], arm, uniform(&random) < (arm == bucket ? 0.6 : 0.3));
    }
    for (int bucket = 0; bucket < 2; bucket++) {
        assert_int_equal(weir_bandit_propensities(&PAIR, &buckets[bucket], found, NULL), WEIR_OK);
        assert_true(found[bucket] > 0.98);
    }
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    const weir_bandit_settings bad[] = {{WEIR_REWARD_BERNOULLI, 1, 0.1},        {WEIR_REWARD_BERNOULLI, 9, 0.01},         {WEIR_REWARD_BERNOULLI, 2, 0},
                                        {WEIR_REWARD_BERNOULLI, 2, 0.5},        {WEIR_REWARD_BERNOULLI, 2, NAN},          {WEIR_REWARD_GAUSSIAN, 2, 0.1, 0, 0},
                                        {WEIR_REWARD_GAUSSIAN, 2, 0.1, NAN, 1}, {WEIR_REWARD_BERNOULLI, 2, 0.1, 0, 0, 5}, {(weir_reward)4, 2, 0.1}};
    weir_bandit bandit = {0}, before = {0};
    double found[2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weir_bandit_add(&bad[i], &bandit, 0, 1, NULL), WEIR_EINVAL);
        assert_int_equal(weir_bandit_propensities(&bad[i], &bandit, found, NULL), WEIR_EINVAL);
    }
    assert_int_equal(weir_bandit_add(&PAIR, &bandit, 2, 1, NULL), WEIR_EINVAL);
    assert_int_equal(weir_bandit_add(&PAIR, &bandit, -1, 1, NULL), WEIR_EINVAL);
    assert_int_equal(weir_bandit_add(&PAIR, &bandit, 0, NAN, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_bandit_add(&PAIR, &bandit, 0, 1.5, NULL), WEIR_EDATA);
    assert_memory_equal(&bandit, &before, sizeof bandit);
    bandit.count[0] = NAN;
    assert_int_equal(weir_bandit_propensities(&PAIR, &bandit, found, NULL), WEIR_ENUMERIC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_success_is_as_worked_by_hand), cmocka_unit_test(arms_that_know_the_same_share_alike),
        cmocka_unit_test(no_arm_falls_below_the_floor),     cmocka_unit_test(a_million_rewards_are_still_integrated),
        cmocka_unit_test(old_rewards_fade_to_the_memory),   cmocka_unit_test(requests_go_by_the_propensities),
        cmocka_unit_test(buckets_learn_by_themselves),      cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
