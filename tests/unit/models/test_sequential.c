#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/random.h"
#include "models/sequential.h"

static const weir_evidence_settings BETS = {.method = WEIR_BETTING, .low = -1, .high = 1};
static const weir_evidence_settings LIMIT = {.method = WEIR_ASYMPTOTIC, .first_look = 20, .tuned_count = 100};
static const weir_arms_settings LOSSES = {.evidence = {.method = WEIR_BETTING, .low = 0, .high = 1}, .smaller_is_better = true};

static double uniform(uint64_t *random) {
    return (double)(weir_models_random(random) >> 11) * 0x1p-53;
}

static weir_evidence evidence_of(const weir_evidence_settings *settings, const double *values, int count) {
    weir_evidence evidence;
    assert_int_equal(weir_evidence_init(settings, &evidence, NULL), WEIR_OK);
    for (int i = 0; i < count; i++) assert_int_equal(weir_evidence_add(settings, &evidence, values[i], NULL), WEIR_OK);
    return evidence;
}

/* 0.5 over a range from −1: every bet grows by half of its fraction upwards, and falls by as much downwards; one bet risks 0.5 of the stake. */
static void a_bet_grows_by_its_fraction(void **state) {
    (void)state;
    const double half = 0.5;
    weir_evidence evidence = evidence_of(&BETS, &half, 1);
    weir_e_values e = weir_evidence_e(&BETS, &evidence);
    assert_float_equal(evidence.wealth[0][1], 1.25, 1e-15);
    assert_float_equal(evidence.wealth[1][1], 0.75, 1e-15);
    assert_true(e.better > 1 && e.worse < 1 && e.better_peak == e.better && e.worse_peak == 1);
    assert_true(evidence.count == 1 && evidence.mean == 0.5);
}

static void a_steady_difference_decides_in_its_direction(void **state) {
    (void)state;
    const weir_evidence_settings *both[] = {&BETS, &LIMIT};
    for (int m = 0; m < 2; m++)
        for (int sign = -1; sign <= 1; sign += 2) {
            double values[200];
            for (int i = 0; i < 200; i++) values[i] = sign * (0.3 + (i % 2 ? 0.2 : -0.2));
            weir_evidence evidence = evidence_of(both[m], values, 200);
            weir_e_values e = weir_evidence_e(both[m], &evidence);
            weir_sequence_interval interval;
            assert_int_equal(weir_evidence_verdict(&e, 0.025, 0.025), sign > 0 ? WEIR_BETTER : WEIR_WORSE);
            assert_int_equal(weir_evidence_interval(both[m], &evidence, 0.05, &interval, NULL), WEIR_OK);
            assert_true(interval.low < sign * 0.3 && interval.high > sign * 0.3 && (sign > 0 ? interval.low > 0 : interval.high < 0));
        }
}

static void margins_move_the_hypotheses(void **state) {
    (void)state;
    const weir_evidence_settings margin = {.method = WEIR_BETTING, .low = -1, .high = 1, .better_than = 0.5, .worse_than = -0.5};
    double values[300];
    for (int i = 0; i < 300; i++) values[i] = 0.2;
    weir_evidence plain = evidence_of(&BETS, values, 300), strict = evidence_of(&margin, values, 300);
    weir_e_values easy = weir_evidence_e(&BETS, &plain), hard = weir_evidence_e(&margin, &strict);
    assert_int_equal(weir_evidence_verdict(&easy, 0.05, 0.05), WEIR_BETTER);
    assert_int_equal(weir_evidence_verdict(&hard, 0.05, 0.05), WEIR_UNDECIDED);
    assert_true(hard.better < 1 && hard.worse < 1);
}

static void a_decision_stays_though_evidence_falls_again(void **state) {
    (void)state;
    double values[200];
    for (int i = 0; i < 200; i++) values[i] = i < 50 ? 1 : -1;
    weir_evidence evidence = evidence_of(&BETS, values, 50);
    weir_e_values e = weir_evidence_e(&BETS, &evidence);
    assert_int_equal(weir_evidence_verdict(&e, 0.05, 0.05), WEIR_BETTER);
    evidence = evidence_of(&BETS, values, 60);
    e = weir_evidence_e(&BETS, &evidence);
    assert_true(e.better < e.better_peak);
    assert_int_equal(weir_evidence_verdict(&e, 0.05, 0.05), WEIR_BETTER);
    evidence = evidence_of(&BETS, values, 200); /* the world turned round: the safe side wins */
    e = weir_evidence_e(&BETS, &evidence);
    assert_int_equal(weir_evidence_verdict(&e, 0.05, 0.05), WEIR_WORSE);
    assert_int_equal(weir_evidence_verdict(&e, 0, 0.05), WEIR_UNDECIDED);
    assert_int_equal(weir_evidence_verdict(&e, 0.05, NAN), WEIR_UNDECIDED);
}

static void values_beyond_the_bounds_are_clipped_and_counted(void **state) {
    (void)state;
    const double wild[] = {5, -7, 0.5}, tame[] = {1, -1, 0.5};
    weir_evidence clipped = evidence_of(&BETS, wild, 3), plain = evidence_of(&BETS, tame, 3);
    assert_true(clipped.clipped == 2 && plain.clipped == 0);
    clipped.clipped = 0;
    assert_memory_equal(&clipped, &plain, sizeof plain);
}

static void wealth_stays_finite_over_a_long_run(void **state) {
    (void)state;
    weir_evidence evidence = evidence_of(&BETS, NULL, 0);
    for (int i = 0; i < 20000; i++) assert_int_equal(weir_evidence_add(&BETS, &evidence, 1, NULL), WEIR_OK);
    weir_e_values e = weir_evidence_e(&BETS, &evidence);
    weir_sequence_interval interval;
    assert_true(isfinite(e.better) && e.better > 1e200 && e.worse >= 0 && e.worse < 1e-3);
    assert_int_equal(weir_evidence_interval(&BETS, &evidence, 0.05, &interval, NULL), WEIR_OK);
    assert_true(interval.low > 0.99 && interval.high == 1);
}

static void the_limit_says_nothing_before_its_first_look(void **state) {
    (void)state;
    double values[40];
    for (int i = 0; i < 40; i++) values[i] = 100 + i % 2;
    weir_evidence evidence = evidence_of(&LIMIT, values, 19);
    weir_e_values e = weir_evidence_e(&LIMIT, &evidence);
    weir_sequence_interval interval;
    assert_true(e.better == 1 && e.worse == 1 && e.better_peak == 1);
    assert_int_equal(weir_evidence_interval(&LIMIT, &evidence, 0.05, &interval, NULL), WEIR_OK);
    assert_true(isinf(interval.low) && isinf(interval.high));
    evidence = evidence_of(&LIMIT, values, 40);
    e = weir_evidence_e(&LIMIT, &evidence);
    assert_true(e.better > 1e6 && e.better_peak == e.better);
}

/* 1 in 100: about four effective values for each, however many zeros there are. */
static void rare_values_count_for_few(void **state) {
    (void)state;
    double values[2000] = {0};
    for (int i = 50; i < 2000; i += 100) values[i] = 1;
    weir_evidence evidence = evidence_of(&LIMIT, values, 300), all = evidence_of(&LIMIT, values, 2000), none = evidence_of(&LIMIT, NULL, 0);
    assert_true(weir_evidence_effective(&none) == 0);
    assert_true(weir_evidence_effective(&evidence) < 20 && weir_evidence_e(&LIMIT, &evidence).better == 1);
    assert_float_equal(weir_evidence_effective(&all), 80, 10);
    const weir_arms_settings settings = {.evidence = LIMIT};
    weir_arms_test test;
    assert_int_equal(weir_arms_init(&settings, &test, NULL), WEIR_OK);
    assert_true(weir_arms_effective(&test) == 0);
    for (int i = 0; i < 2000; i++) {
        weir_arm_outcome outcome = {.challenger = i % 10 == 5, .propensity = 0.1, .value = values[i], .expected = NAN};
        assert_int_equal(weir_arms_add(&settings, &test, &outcome, NULL), WEIR_OK);
    }
    assert_true(test.mean[1] == 0 && weir_arms_effective(&test) < 10); /* none of the 20 fell to the challenger, and nothing is made of that */
    assert_true(weir_arms_e(&settings, &test).worse == 1);
}

static void the_largest_values_stay_finite(void **state) {
    (void)state;
    const weir_arms_settings settings = {.evidence = LIMIT};
    weir_arms_test test, back;
    uint8_t bytes[WEIR_ARMS_TEST_BYTES];
    assert_int_equal(weir_arms_init(&settings, &test, NULL), WEIR_OK);
    for (int i = 0; i < 100; i++) {
        weir_arm_outcome outcome = {.challenger = i % 2, .propensity = i % 2 ? 0.001 : 0.999, .value = i % 4 < 2 ? 1e140 : -1e140, .expected = NAN};
        assert_int_equal(weir_arms_add(&settings, &test, &outcome, NULL), WEIR_OK);
    }
    weir_arms_encode(&test, bytes);
    assert_int_equal(weir_arms_decode(bytes, sizeof bytes, &back, NULL), WEIR_OK); /* which refuses what is not finite */
}

static void equal_values_prove_nothing_in_the_limit(void **state) {
    (void)state;
    double values[50] = {0};
    weir_evidence evidence = evidence_of(&LIMIT, values, 50);
    weir_e_values e = weir_evidence_e(&LIMIT, &evidence);
    assert_true(e.better == 1 && e.worse == 1);
}

static void nothing_seen_leaves_the_whole_range(void **state) {
    (void)state;
    weir_evidence evidence = evidence_of(&BETS, NULL, 0);
    weir_sequence_interval interval;
    assert_int_equal(weir_evidence_interval(&BETS, &evidence, 0.05, &interval, NULL), WEIR_OK);
    assert_true(isnan(interval.value) && interval.low == -1 && interval.high == 1);
}

/* ---- arms ---- */

static weir_arm_outcome draw(uint64_t *random, double share, double champion, double challenger) {
    bool arm = uniform(random) < share;
    return (weir_arm_outcome){.challenger = arm, .propensity = share, .value = uniform(random) < (arm ? challenger : champion), .expected = NAN};
}

/* The first outcome: centre ½; challenger 1 at ¼: (1 − ½) / ¼ = 2 above, and as losses 2 below. */
static void the_first_score_is_as_worked_by_hand(void **state) {
    (void)state;
    const weir_arm_outcome outcome = {.challenger = true, .propensity = 0.25, .value = 1, .expected = NAN};
    for (int smaller = 0; smaller < 2; smaller++) {
        weir_arms_settings settings = LOSSES;
        settings.smaller_is_better = smaller;
        weir_arms_test test;
        assert_int_equal(weir_arms_init(&settings, &test, NULL), WEIR_OK);
        assert_int_equal(weir_arms_add(&settings, &test, &outcome, NULL), WEIR_OK);
        assert_float_equal(test.evidence.mean, smaller ? -2 : 2, 1e-15);
        assert_float_equal(test.evidence.wealth[0][1], smaller ? 0.5 : 1.5, 1e-15); /* the bounds are ∓2, at which half is at risk */
        assert_true(test.count[1] == 1 && test.count[0] == 0 && test.mean[1] == 1);
    }
}

static void fewer_losses_are_better(void **state) {
    (void)state;
    weir_arms_test test;
    weir_sequence_interval interval;
    uint64_t random = 5;
    assert_int_equal(weir_arms_init(&LOSSES, &test, NULL), WEIR_OK);
    for (int i = 0; i < 4000; i++) {
        weir_arm_outcome outcome = draw(&random, i < 2000 ? 0.1 : 0.5, 0.5, 0.2);
        assert_int_equal(weir_arms_add(&LOSSES, &test, &outcome, NULL), WEIR_OK);
    }
    weir_e_values e = weir_arms_e(&LOSSES, &test);
    assert_int_equal(weir_evidence_verdict(&e, 0.025, 0.025), WEIR_BETTER);
    assert_int_equal(weir_arms_interval(&LOSSES, &test, 0.05, &interval, NULL), WEIR_OK);
    assert_true(interval.low > 0 && interval.low < 0.3 && interval.high > 0.3 && interval.high < 0.5);
    assert_float_equal(interval.value, 0.3, 0.06);
}

/* An expectation that knows most of the outcome leaves little to chance. */
static void what_was_expected_takes_variance_away(void **state) {
    (void)state;
    const weir_arms_settings settings = {.evidence = {.method = WEIR_BETTING, .low = 0, .high = 1}};
    weir_arms_test plain, informed;
    uint64_t random = 6;
    assert_int_equal(weir_arms_init(&settings, &plain, NULL), WEIR_OK);
    assert_int_equal(weir_arms_init(&settings, &informed, NULL), WEIR_OK);
    for (int i = 0; i < 1000; i++) {
        double base = uniform(&random) * 0.9;
        bool arm = uniform(&random) < 0.5;
        weir_arm_outcome outcome = {.challenger = arm, .propensity = 0.5, .value = base + (arm ? 0.05 : 0), .expected = NAN};
        assert_int_equal(weir_arms_add(&settings, &plain, &outcome, NULL), WEIR_OK);
        outcome.expected = base;
        assert_int_equal(weir_arms_add(&settings, &informed, &outcome, NULL), WEIR_OK);
    }
    assert_true(informed.evidence.deviations < plain.evidence.deviations / 20);
    assert_true(weir_arms_e(&settings, &informed).better > weir_arms_e(&settings, &plain).better);
}

/* ---- wrong input ---- */

/* Losses of 0 to 1, least propensity 0.1, nothing seen: centre 0.5, so scores lie within ± 5. Who answered with 0.2 and lost nothing has 0.5 / 0.2. */
static void a_score_in_context_is_as_worked_by_hand(void **state) {
    (void)state;
    const weir_arms_settings settings = {.evidence = {.method = WEIR_BETTING, .low = 0, .high = 1}, .smaller_is_better = true};
    static const struct {
        weir_context_outcome outcome;
        double score;
    } cases[] = {{{.arm = 1, .propensity = 0.2, .least = 0.1, .value = 0}, 2.5},
                 {{.arm = 0, .propensity = 0.8, .least = 0.1, .value = 0}, -0.625},
                 {{.arm = 1, .propensity = 0.1, .least = 0.1, .value = 1}, -5},
                 {{.arm = -1, .least = 0.1, .value = 1}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_arms_test test;
        uint8_t bytes[WEIR_ARMS_TEST_BYTES];
        assert_int_equal(weir_arms_init(&settings, &test, NULL), WEIR_OK);
        assert_int_equal(weir_arms_add_in_context(&settings, &test, &cases[i].outcome, NULL), WEIR_OK);
        assert_true(fabs(test.evidence.mean - cases[i].score) < 1e-12 && test.evidence.count == 1);
        assert_true(test.count[0] == (cases[i].outcome.arm == 0) && test.count[1] == (cases[i].outcome.arm == 1));
        const weir_e_values e = weir_arms_e(&settings, &test);
        double up = 0, down = 0; /* the stakes: whatever the propensity, 5 */
        for (int k = 0; k < WEIR_BETS; k++) {
            up += test.evidence.wealth[0][k] / WEIR_BETS;
            down += test.evidence.wealth[1][k] / WEIR_BETS;
        }
        assert_true(cases[i].score == 0 ? fabs(e.better - 1) < 1e-12 && fabs(e.worse - 1) < 1e-12
                                        : (up > 1) == (cases[i].score > 0) && (down > 1) == (cases[i].score < 0));
        assert_true(fabs((test.evidence.wealth[0][0] - 1) * 5 + (test.evidence.wealth[1][0] - 1) * 5) < 1e-12);
        weir_arms_encode(&test, bytes);
        assert_int_equal(weir_arms_decode(bytes, sizeof bytes, &test, NULL), WEIR_OK);
    }
}

static void what_is_wrong_in_context_is_refused(void **state) {
    (void)state;
    const weir_arms_settings settings = {.evidence = {.method = WEIR_BETTING, .low = 0, .high = 1}};
    static const struct {
        weir_context_outcome outcome;
        weir_status status;
    } cases[] = {{{.arm = 2, .propensity = 0.2, .least = 0.1}, WEIR_EDATA},
                 {{.arm = 1, .propensity = 0.09, .least = 0.1}, WEIR_EDATA},
                 {{.arm = 0, .propensity = 1.1, .least = 0.1}, WEIR_EDATA},
                 {{.arm = 0, .propensity = NAN, .least = 0.1}, WEIR_EDATA},
                 {{.arm = -1, .least = 0}, WEIR_EDATA},
                 {{.arm = -1, .least = 0.6}, WEIR_EDATA},
                 {{.arm = 1, .propensity = 0.5, .least = 0.1, .value = NAN}, WEIR_ENUMERIC}};
    weir_arms_test test, before;
    assert_int_equal(weir_arms_init(&settings, &test, NULL), WEIR_OK);
    before = test;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(weir_arms_add_in_context(&settings, &test, &cases[i].outcome, NULL), cases[i].status);
    assert_memory_equal(&test, &before, sizeof test);
}

static void a_refused_outcome_leaves_the_state(void **state) {
    (void)state;
    weir_arms_test test, before;
    weir_err err;
    assert_int_equal(weir_arms_init(&LOSSES, &test, NULL), WEIR_OK);
    memcpy(&before, &test, sizeof test);
    const weir_arm_outcome bad[] = {{true, 0.5, NAN, NAN}, {true, 0.5, INFINITY, NAN}, {true, -0.1, 1, NAN},     {true, 0, 1, NAN},
                                    {false, 1, 1, NAN},    {true, NAN, 1, NAN},        {true, 0.5, 1, INFINITY}, {true, 0.5, -1e141, NAN}};
    const weir_status statuses[] = {WEIR_ENUMERIC, WEIR_ENUMERIC, WEIR_EDATA, WEIR_EDATA, WEIR_EDATA, WEIR_EDATA, WEIR_EDATA, WEIR_ENUMERIC};
    for (int i = 0; i < 8; i++) assert_int_equal(weir_arms_add(&LOSSES, &test, &bad[i], &err), statuses[i]);
    assert_memory_equal(&before, &test, sizeof test);
    weir_evidence evidence = evidence_of(&BETS, NULL, 0), unchanged = evidence;
    assert_int_equal(weir_evidence_add(&BETS, &evidence, NAN, &err), WEIR_ENUMERIC);
    assert_memory_equal(&evidence, &unchanged, sizeof evidence);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    const weir_evidence_settings bad[] = {
        {.method = WEIR_BETTING, .low = 1, .high = 1},
        {.method = WEIR_BETTING, .low = NAN, .high = 1},
        {.method = WEIR_BETTING, .low = -INFINITY, .high = 1},
        {.method = WEIR_BETTING, .low = -1, .high = 1, .better_than = 1},
        {.method = WEIR_BETTING, .low = -1, .high = 1, .worse_than = -1},
        {.method = WEIR_BETTING, .low = -1, .high = 1, .worse_than = 0.1},
        {.method = WEIR_BETTING, .low = -1, .high = 1, .better_than = NAN},
        {.method = WEIR_ASYMPTOTIC, .first_look = 1, .tuned_count = 10},
        {.method = WEIR_ASYMPTOTIC, .first_look = 10, .tuned_count = 0},
        {.method = (weir_evidence_method)9, .low = -1, .high = 1},
    };
    weir_evidence evidence;
    weir_arms_test test;
    weir_sequence_interval interval;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(weir_evidence_init(&bad[i], &evidence, NULL), WEIR_EINVAL);
    const weir_arms_settings wide = {.evidence = {.method = WEIR_BETTING, .low = 0, .high = 1, .better_than = 1}};
    assert_int_equal(weir_arms_init(&wide, &test, NULL), WEIR_EINVAL);
    evidence = evidence_of(&BETS, NULL, 0);
    assert_int_equal(weir_evidence_interval(&BETS, &evidence, 0, &interval, NULL), WEIR_EINVAL);
    assert_int_equal(weir_evidence_interval(&BETS, &evidence, NAN, &interval, NULL), WEIR_EINVAL);
}

/* ---- at rest ---- */

static void a_state_comes_back_as_it_was_and_goes_on_the_same(void **state) {
    (void)state;
    weir_arms_test test, restored;
    weir_evidence back;
    uint8_t bytes[WEIR_ARMS_TEST_BYTES], few[WEIR_EVIDENCE_BYTES];
    uint64_t random = 7;
    assert_int_equal(weir_arms_init(&LOSSES, &test, NULL), WEIR_OK);
    for (int i = 0; i < 500; i++) {
        weir_arm_outcome outcome = draw(&random, 0.2, 0.3, 0.25);
        assert_int_equal(weir_arms_add(&LOSSES, &test, &outcome, NULL), WEIR_OK);
    }
    weir_arms_encode(&test, bytes);
    assert_int_equal(weir_arms_decode(bytes, sizeof bytes, &restored, NULL), WEIR_OK);
    assert_memory_equal(&test, &restored, sizeof test);
    weir_evidence_encode(&test.evidence, few);
    assert_int_equal(weir_evidence_decode(few, sizeof few, &back, NULL), WEIR_OK);
    assert_memory_equal(&back, &test.evidence, sizeof back);
    assert_memory_equal(bytes, "WSQ1a\0\0\0", 8);
}

static void a_damaged_state_is_refused(void **state) {
    (void)state;
    weir_arms_test test;
    weir_evidence evidence = evidence_of(&BETS, NULL, 0), out;
    uint8_t bytes[WEIR_ARMS_TEST_BYTES], few[WEIR_EVIDENCE_BYTES];
    assert_int_equal(weir_arms_init(&LOSSES, &test, NULL), WEIR_OK);
    weir_arms_encode(&test, bytes);
    weir_evidence_encode(&evidence, few);
    assert_int_equal(weir_arms_decode(bytes, sizeof bytes - 1, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_evidence_decode(bytes, sizeof few, &out, NULL), WEIR_EDATA);
    bytes[0] = 'X';
    assert_int_equal(weir_arms_decode(bytes, sizeof bytes, &test, NULL), WEIR_EDATA);
    weir_evidence broken = evidence;
    broken.wealth[1][3] = NAN;
    weir_evidence_encode(&broken, few);
    assert_int_equal(weir_evidence_decode(few, sizeof few, &out, NULL), WEIR_EDATA);
    assert_int_equal(weir_evidence_merge(&BETS, &evidence, &broken, NULL), WEIR_EDATA);
    weir_arms_test odd;
    assert_int_equal(weir_arms_init(&LOSSES, &odd, NULL), WEIR_OK);
    odd.count[0] = 3;
    weir_arms_encode(&odd, bytes);
    assert_int_equal(weir_arms_decode(bytes, sizeof bytes, &test, NULL), WEIR_EDATA);
    assert_int_equal(weir_arms_merge(&LOSSES, &test, &odd, NULL), WEIR_EDATA);
}

/* Bets that do not depend on what came before make the merged wealth that of the whole stream. */
static void parts_of_a_stream_merge_into_its_evidence(void **state) {
    (void)state;
    double values[100];
    uint64_t random = 8;
    for (int i = 0; i < 100; i++) values[i] = 2 * uniform(&random) - 1;
    weir_evidence whole = evidence_of(&BETS, values, 100), first = evidence_of(&BETS, values, 60), second = evidence_of(&BETS, values + 60, 40);
    assert_int_equal(weir_evidence_merge(&BETS, &first, &second, NULL), WEIR_OK);
    assert_true(first.count == 100);
    weir_e_values e = weir_evidence_e(&BETS, &first);
    assert_true(e.better_peak == fmax(1, e.better) && e.worse_peak == fmax(1, e.worse));
    assert_float_equal(first.mean, whole.mean, 1e-14);
    assert_float_equal(first.deviations, whole.deviations, 1e-12);
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < WEIR_BETS; k++) assert_true(fabs(first.wealth[side][k] - whole.wealth[side][k]) <= 1e-12 * whole.wealth[side][k]);
    weir_arms_test left, right;
    assert_int_equal(weir_arms_init(&LOSSES, &left, NULL), WEIR_OK);
    right = left;
    for (int i = 0; i < 200; i++) {
        weir_arm_outcome outcome = draw(&random, 0.5, 0.5, 0.1);
        assert_int_equal(weir_arms_add(&LOSSES, i % 2 ? &left : &right, &outcome, NULL), WEIR_OK);
    }
    double alone = weir_arms_e(&LOSSES, &left).better;
    assert_int_equal(weir_arms_merge(&LOSSES, &left, &right, NULL), WEIR_OK);
    assert_true(left.evidence.count == 200 && left.count[0] + left.count[1] == 200 && weir_arms_e(&LOSSES, &left).better > alone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bet_grows_by_its_fraction),
        cmocka_unit_test(a_steady_difference_decides_in_its_direction),
        cmocka_unit_test(margins_move_the_hypotheses),
        cmocka_unit_test(a_decision_stays_though_evidence_falls_again),
        cmocka_unit_test(values_beyond_the_bounds_are_clipped_and_counted),
        cmocka_unit_test(wealth_stays_finite_over_a_long_run),
        cmocka_unit_test(the_limit_says_nothing_before_its_first_look),
        cmocka_unit_test(rare_values_count_for_few),
        cmocka_unit_test(the_largest_values_stay_finite),
        cmocka_unit_test(equal_values_prove_nothing_in_the_limit),
        cmocka_unit_test(nothing_seen_leaves_the_whole_range),
        cmocka_unit_test(the_first_score_is_as_worked_by_hand),
        cmocka_unit_test(fewer_losses_are_better),
        cmocka_unit_test(what_was_expected_takes_variance_away),
        cmocka_unit_test(a_score_in_context_is_as_worked_by_hand),
        cmocka_unit_test(what_is_wrong_in_context_is_refused),
        cmocka_unit_test(a_refused_outcome_leaves_the_state),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(a_state_comes_back_as_it_was_and_goes_on_the_same),
        cmocka_unit_test(a_damaged_state_is_refused),
        cmocka_unit_test(parts_of_a_stream_merge_into_its_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
