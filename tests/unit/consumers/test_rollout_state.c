/* The state machine of a rollout: each transition, and how often rollouts between equals end wrongly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/rollout_state.h"

#define DAY_US (INT64_C(86400) * 1000000)

static const weir_rollout_def usual = {
    .steps = {0.1, 0.5, 1}, .step_count = 3, .loss = WEIR_LOSS_BRIER, .alpha = 0.05, .min_rows = 50, .patience_us = 14 * DAY_US, .automatic = true};

static uint64_t drawn = 1;
static double draw(void) { /* xorshift64*, D. Knuth would ask for no more here */
    drawn ^= drawn >> 12;
    drawn ^= drawn << 25;
    drawn ^= drawn >> 27;
    return (double)((drawn * UINT64_C(2685821657736338717)) >> 11) * 0x1.0p-53;
}

static weir_rollout begin(const weir_rollout_def *def) {
    weir_rollout rollout;
    weir_err err = {0};
    if (weir_rollout_begin(def, 1, false, 0, &rollout, &err)) fail_msg("%s", err.message);
    return rollout;
}

/* A draw among the champion and the challengers; bucket: of a context. */
static weir_rollout_row draw_arm_in(const weir_rollout *rollout, int bucket) {
    bool alike = bucket == WEIR_ROLLOUT_NO_BUCKET;
    weir_rollout_row row = {.arm = WEIR_ROLLOUT_NOBODY, .bucket = bucket};
    row.champion_share = alike ? weir_rollout_champion_share(rollout) : weir_rollout_bucket_share(rollout, bucket, WEIR_ROLLOUT_NOBODY);
    double point = draw(), upto = 0;
    for (int a = 0; a < rollout->arm_count; a++) {
        row.shares[a] = alike ? rollout->arms[a].share : weir_rollout_bucket_share(rollout, bucket, a);
        if (point >= upto && point < upto + row.shares[a]) row.arm = a;
        upto += row.shares[a];
    }
    return row;
}

static weir_rollout_row draw_arm(const weir_rollout *rollout) {
    return draw_arm_in(rollout, WEIR_ROLLOUT_NO_BUCKET);
}

static double score_of(double skill, double label) {
    return 0.2 * (1 - skill) + skill * label;
}

/* Payments of which one in five is fraud; an arm of this skill gives frauds that much more than others. */
static void feed_arms(const weir_rollout_def *def, weir_rollout *rollout, int rows, double champion_skill, const double *skills) {
    weir_err err = {0};
    for (int i = 0; i < rows; i++) {
        weir_rollout_row row = draw_arm(rollout);
        row.label = draw() < 0.2;
        row.answer.score = score_of(row.arm == WEIR_ROLLOUT_NOBODY ? champion_skill : skills[row.arm], row.label);
        row.answer.decision = row.answer.score >= 0.5;
        if (weir_rollout_add(def, rollout, &row, &err)) fail_msg("%s", err.message);
    }
}

static void feed(const weir_rollout_def *def, weir_rollout *rollout, int rows, double champion_skill, double challenger_skill) {
    feed_arms(def, rollout, rows, champion_skill, &challenger_skill);
}

static void feed_pairs(const weir_rollout_def *def, weir_rollout *rollout, int arm, int rows, double champion_skill, double challenger_skill) {
    weir_err err = {0};
    for (int i = 0; i < rows; i++) {
        weir_rollout_pair pair = {.arm = arm, .label = draw() < 0.2};
        pair.champion.score = score_of(champion_skill, pair.label);
        pair.challenger.score = score_of(challenger_skill, pair.label);
        if (weir_rollout_add_pair(def, rollout, &pair, &err)) fail_msg("%s", err.message);
    }
}

static void a_better_challenger_takes_each_step_and_is_promoted(void **state) {
    (void)state;
    weir_rollout rollout = begin(&usual);
    const char *seen[8];
    int count = 0;
    for (int i = 0; i < 2000 && weir_rollout_active(&rollout); i++) {
        feed(&usual, &rollout, 50, 0, 0.8);
        weir_rollout_change change = weir_rollout_decide(&usual, &rollout, 1);
        if (change.type) seen[count++] = change.type;
    }
    assert_int_equal(count, 2);
    assert_string_equal(seen[0], "stepped");
    assert_string_equal(seen[1], "promoted");
    assert_int_equal(rollout.state, WEIR_ROLLOUT_PROMOTED);
    assert_true(rollout.arms[0].share == 1);
}

static void a_worse_challenger_is_rolled_back_even_while_paused(void **state) {
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        weir_rollout rollout = begin(&usual);
        if (paused) assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_PAUSE, WEIR_ROLLOUT_NOBODY, "a look").type, "paused");
        weir_rollout_change change = {0};
        for (int i = 0; i < 2000 && !change.type; i++) {
            feed(&usual, &rollout, 50, 0.8, 0);
            change = weir_rollout_decide(&usual, &rollout, 1);
        }
        assert_string_equal(change.type, "rolled_back");
        assert_non_null(strstr(change.reason, "worse"));
        assert_true(rollout.arms[0].share == 0 && rollout.step == 0);
    }
}

static void a_step_needs_rows_at_the_present_share(void **state) {
    (void)state;
    weir_rollout rollout = begin(&usual);
    weir_err err = {0};
    weir_rollout_row row = {.arm = 0, .champion_share = 0.5, .shares = {0.5}, .answer.score = 0.5, .label = 1};
    for (int i = 0; i < 100; i++) assert_int_equal(weir_rollout_add(&usual, &rollout, &row, &err), WEIR_OK);
    assert_true(rollout.arms[0].step_rows == 0);
    rollout = begin(&usual);
    feed(&usual, &rollout, 300, 0.8, 0.8); /* about 30 */
    assert_null(weir_rollout_decide(&usual, &rollout, 1).type);
    while (rollout.arms[0].step_rows < 50) feed(&usual, &rollout, 1, 0.5, 0.8);
    assert_string_equal(weir_rollout_decide(&usual, &rollout, 1).type, "stepped");
    assert_true(rollout.arms[0].share == 0.5 && rollout.arms[0].step_rows == 0 && rollout.step == 1);
    assert_null(weir_rollout_decide(&usual, &rollout, 1).type);
}

static void the_champion_is_kept_when_patience_is_over(void **state) {
    (void)state;
    weir_rollout rollout = begin(&usual);
    assert_null(weir_rollout_decide(&usual, &rollout, usual.patience_us - 1).type);
    assert_string_equal(weir_rollout_decide(&usual, &rollout, usual.patience_us).type, "kept");
    assert_true(rollout.state == WEIR_ROLLOUT_KEPT && rollout.arms[0].share == 0);
    assert_null(weir_rollout_decide(&usual, &rollout, usual.patience_us).type);
}

static void what_is_no_number_is_an_error_and_changes_nothing(void **state) {
    (void)state;
    weir_err err = {0};
    const weir_rollout_row rows[] = {{.arm = 0, .champion_share = 0.9, .shares = {0.1}, .answer.score = NAN, .label = 1},
                                     {.arm = 0, .champion_share = 0.9, .shares = {0.1}, .answer.score = 0.5, .label = NAN},
                                     {.arm = -1, .champion_share = 0.9, .shares = {0.1}, .answer.score = INFINITY, .label = 1},
                                     {.arm = -1, .champion_share = 0.9, .shares = {0.1}, .answer.score = 1.5, .label = 0}};
    for (int loss = WEIR_LOSS_LOG; loss <= WEIR_LOSS_ABSOLUTE; loss++) {
        weir_rollout_def def = usual;
        def.loss = (weir_loss)loss;
        weir_rollout rollout = begin(&def), before = rollout;
        for (size_t i = 0; i < (loss == WEIR_LOSS_LOG ? 4 : 3); i++) assert_int_not_equal(weir_rollout_add(&def, &rollout, &rows[i], &err), WEIR_OK);
        for (size_t i = 0; i < (loss == WEIR_LOSS_LOG ? 4 : 3); i++) {
            const weir_rollout_pair pair = {.champion = rows[i].answer, .challenger = {.score = 0.5}, .label = rows[i].label};
            assert_int_not_equal(weir_rollout_add_pair(&def, &rollout, &pair, &err), WEIR_OK);
        }
        assert_memory_equal(&rollout, &before, sizeof rollout);
        assert_string_equal(weir_rollout_hold(&rollout, err.message).type, "paused");
        assert_null(weir_rollout_hold(&rollout, err.message).type);
        feed(&def, &rollout, 20000, 0, 0.9);
        assert_null(weir_rollout_decide(&def, &rollout, 1).type); /* whatever the evidence says: not promoted */
    }
}

static void losses_are_those_of_the_field(void **state) {
    (void)state;
    const weir_rollout_score answer = {.score = 0.25, .decision = false}, sure = {.score = 0, .decision = false};
    const double expected[] = {
        [WEIR_LOSS_LOG] = 1.3862943611198906, [WEIR_LOSS_BRIER] = 0.5625, [WEIR_LOSS_ERROR] = 1, [WEIR_LOSS_SQUARED] = 0.5625, [WEIR_LOSS_ABSOLUTE] = 0.75};
    double loss;
    for (int i = WEIR_LOSS_LOG; i <= WEIR_LOSS_ABSOLUTE; i++) {
        assert_int_equal(weir_rollout_loss((weir_loss)i, &answer, 1, &loss, NULL), WEIR_OK);
        assert_true(fabs(loss - expected[i]) < 1e-15);
    }
    assert_int_equal(weir_rollout_loss(WEIR_LOSS_LOG, &sure, 1, &loss, NULL), WEIR_OK);
    assert_true(fabs(loss - log(1000)) < 1e-12);
}

static void rows_whose_arm_was_not_drawn_are_left_out(void **state) {
    (void)state;
    weir_rollout rollout = begin(&usual);
    const weir_rollout_row row = {.arm = WEIR_ROLLOUT_NOBODY, .champion_share = 1, .answer.score = 0.5, .label = 1};
    assert_int_equal(weir_rollout_add(&usual, &rollout, &row, NULL), WEIR_OK);
    assert_true(rollout.arms[0].left_out == 1 && rollout.arms[0].test.evidence.count == 0);
}

static void a_wrong_split_pauses_until_somebody_resumes(void **state) {
    (void)state;
    weir_rollout rollout = begin(&usual);
    weir_rollout_row row = {.champion_share = 0.9, .shares = {0.1}, .answer.score = 0.2};
    for (int i = 0; i < 3000; i++) { /* a third of what the challenger should have */
        row.arm = i % 30 == 0 ? 0 : WEIR_ROLLOUT_NOBODY;
        assert_int_equal(weir_rollout_add(&usual, &rollout, &row, NULL), WEIR_OK);
    }
    weir_rollout_change change = weir_rollout_decide(&usual, &rollout, 1);
    assert_string_equal(change.type, "paused");
    assert_non_null(strstr(change.reason, "shares"));
    assert_true(rollout.arms[0].share == 0.1);
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_RESUME, WEIR_ROLLOUT_NOBODY, "").type, "resumed");
    weir_rollout_change after = weir_rollout_decide(&usual, &rollout, 1);
    assert_true(!after.type || strcmp(after.type, "paused"));
}

static void commands_hold_where_they_make_sense(void **state) {
    (void)state;
    /* [state][command]: where it leads; -1: refused */
    static const int leads[WEIR_ROLLOUT_STATES][WEIR_ROLLOUT_COMMANDS] = {
        [WEIR_ROLLOUT_RUNNING] = {WEIR_ROLLOUT_PAUSED, -1, WEIR_ROLLOUT_PROMOTED, WEIR_ROLLOUT_ABORTED, WEIR_ROLLOUT_ROLLED_BACK},
        [WEIR_ROLLOUT_PAUSED] = {-1, WEIR_ROLLOUT_RUNNING, WEIR_ROLLOUT_PROMOTED, WEIR_ROLLOUT_ABORTED, WEIR_ROLLOUT_ROLLED_BACK},
        [WEIR_ROLLOUT_PROMOTED] = {-1, -1, -1, -1, WEIR_ROLLOUT_ROLLED_BACK},
        [WEIR_ROLLOUT_ROLLED_BACK] = {-1, -1, -1, -1, -1},
        [WEIR_ROLLOUT_ABORTED] = {-1, -1, -1, -1, -1},
        [WEIR_ROLLOUT_KEPT] = {-1, -1, -1, -1, -1},
    };
    for (int from = 0; from < WEIR_ROLLOUT_STATES; from++) {
        for (int command = 0; command < WEIR_ROLLOUT_COMMANDS; command++) {
            weir_rollout rollout = begin(&usual);
            rollout.state = (weir_rollout_state)from;
            weir_rollout_change change = weir_rollout_do(&rollout, (weir_rollout_command)command, WEIR_ROLLOUT_NOBODY, "because");
            int to = leads[from][command];
            assert_int_equal(rollout.state, to < 0 ? from : to);
            assert_int_equal(change.type == NULL, to < 0);
            assert_non_null(strstr(change.reason, to < 0 ? "is refused" : "because"));
            if (to >= WEIR_ROLLOUT_PROMOTED) assert_true(rollout.arms[0].share == (to == WEIR_ROLLOUT_PROMOTED));
        }
    }
}

static void evidence_survives_a_restart_bit_for_bit(void **state) {
    (void)state;
    enum { BEFORE_PAIRS = WEIR_ARMS_TEST_BYTES + WEIR_EVIDENCE_BYTES };
    uint8_t bytes[WEIR_ROLLOUT_ARM_BYTES];
    weir_rollout rollout = begin(&usual), other = rollout, old = rollout;
    weir_rollout_arm *arm = &rollout.arms[0], *restored = &other.arms[0];
    feed(&usual, &rollout, 500, 0.2, 0.3);
    feed_pairs(&usual, &rollout, 0, 100, 0.2, 0.3);
    weir_rollout_encode(arm, bytes);
    assert_int_equal(weir_rollout_decode(bytes, sizeof bytes, restored, NULL), WEIR_OK);
    assert_memory_equal(&arm->test, &restored->test, sizeof arm->test);
    assert_memory_equal(&arm->ratio, &restored->ratio, sizeof arm->ratio);
    assert_memory_equal(&arm->pairs, &restored->pairs, sizeof arm->pairs);
    assert_memory_equal(&arm->all, &restored->all, sizeof arm->all);
    /* As it was written before there were pairs. */
    assert_int_equal(weir_rollout_decode(bytes, BEFORE_PAIRS, &old.arms[0], NULL), WEIR_OK);
    assert_memory_equal(&arm->test, &old.arms[0].test, sizeof arm->test);
    assert_true(old.arms[0].pairs.count == 0 && old.arms[0].all.count == 0);
    assert_int_equal(weir_rollout_decode(bytes, sizeof bytes - 1, restored, NULL), WEIR_EDATA);
    memset(bytes + sizeof bytes - 8, 0xff, 8);
    assert_int_equal(weir_rollout_decode(bytes, sizeof bytes, restored, NULL), WEIR_EDATA);
    bytes[0] = 'X';
    assert_int_equal(weir_rollout_decode(bytes, sizeof bytes, restored, NULL), WEIR_EDATA);
}

static void a_margin_beyond_every_loss_is_refused(void **state) {
    (void)state;
    weir_rollout_def def = usual;
    weir_rollout rollout;
    def.margin = 2;
    assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_EINVAL);
}

/* 400 rollouts of 3000 outcomes between equals, looked at after every tenth: false promotions and rollbacks together stay below alpha. */
static void equals_are_seldom_told_apart(void **state) {
    (void)state;
    enum { RUNS = 400, ROWS = 3000, EVERY = 10 };
    int wrong = 0;
    for (int run = 0; run < RUNS; run++) {
        weir_rollout rollout = begin(&usual);
        for (int i = 0; i < ROWS / EVERY && weir_rollout_active(&rollout); i++) {
            feed(&usual, &rollout, EVERY, 0.5, 0.5);
            (void)weir_rollout_decide(&usual, &rollout, 1);
        }
        wrong += rollout.state == WEIR_ROLLOUT_PROMOTED || rollout.state == WEIR_ROLLOUT_ROLLED_BACK;
    }
    print_message("%d of %d rollouts between equals were decided\n", wrong, RUNS);
    assert_true(wrong <= RUNS * usual.alpha);
}

/* Equals that are split by entity. An entity is a victim of fraud often or hardly ever, keeps its arm, and comes with `each` requests, of which `counted` are fed. Returns how many of the runs were decided. */
static int decided_by_entity(int runs, int entities, int each, int counted) {
    int wrong = 0;
    weir_err err = {0};
    for (int run = 0; run < runs; run++) {
        weir_rollout rollout = begin(&usual);
        for (int e = 0; e < entities && weir_rollout_active(&rollout); e++) {
            double rate = draw() < 0.2 ? 0.9 : 0.02;
            weir_rollout_row row = draw_arm(&rollout);
            for (int i = 0; i < each; i++) {
                row.label = draw() < rate;
                row.answer.score = 0.2;
                if (i < counted && weir_rollout_add(&usual, &rollout, &row, &err)) fail_msg("%s", err.message);
            }
            (void)weir_rollout_decide(&usual, &rollout, 1);
        }
        wrong += rollout.state == WEIR_ROLLOUT_PROMOTED || rollout.state == WEIR_ROLLOUT_ROLLED_BACK;
    }
    return wrong;
}

/* The arm of an entity's second outcome was not drawn: counted as if it had been, equals are told apart. So the first counts and no other. */
static void of_an_entity_that_keeps_its_arm_only_the_first_outcome_is_evidence(void **state) {
    (void)state;
    enum { RUNS = 200, ENTITIES = 3000, EACH = 10 };
    int first = decided_by_entity(RUNS, ENTITIES, EACH, 1), all = decided_by_entity(RUNS, ENTITIES, EACH, EACH);
    print_message("split by entity: %d of %d rollouts between equals were decided; with all outcomes counted %d\n", first, RUNS, all);
    assert_true(first <= RUNS * usual.alpha && all > RUNS * usual.alpha);
}

/* ---- shadows ---- */

static void a_shadow_gets_no_traffic_before_it_has_enough_pairs_without_harm(void **state) {
    (void)state;
    weir_rollout rollout;
    assert_int_equal(weir_rollout_begin(&usual, 1, true, 0, &rollout, NULL), WEIR_OK);
    assert_true(rollout.arms[0].share == 0 && weir_rollout_champion_share(&rollout) == 1 && weir_rollout_shadows(&rollout, 0));
    feed_pairs(&usual, &rollout, 0, 49, 0.2, 0.4);
    assert_null(weir_rollout_decide(&usual, &rollout, 1).type);
    feed_pairs(&usual, &rollout, 0, 1, 0.2, 0.4);
    assert_string_equal(weir_rollout_decide(&usual, &rollout, 1).type, "stepped");
    assert_true(rollout.arms[0].share == 0.1 && rollout.step == 0 && !weir_rollout_shadows(&rollout, 0));
    feed_pairs(&usual, &rollout, 0, 1000, 0.2, 0.9); /* pairs promote nobody */
    assert_null(weir_rollout_decide(&usual, &rollout, 1).type);
}

static void a_harmful_shadow_never_gets_traffic(void **state) {
    (void)state;
    weir_rollout rollout;
    assert_int_equal(weir_rollout_begin(&usual, 1, true, 0, &rollout, NULL), WEIR_OK);
    for (int i = 0; i < 200 && weir_rollout_active(&rollout); i++) {
        feed_pairs(&usual, &rollout, 0, 50, 0.8, 0);
        weir_rollout_change change = weir_rollout_decide(&usual, &rollout, 1);
        assert_true(!change.type || !strcmp(change.type, "rolled_back"));
        assert_true(rollout.arms[0].share == 0);
        if (change.type) assert_non_null(strstr(change.reason, "in shadow"));
    }
    assert_int_equal(rollout.state, WEIR_ROLLOUT_ROLLED_BACK);
    assert_false(weir_rollout_shadows(&rollout, 0));
}

/* Pairs of equals: 400 shadows of 1500 pairs, looked at after every tenth; only "worse" is claimed, with a quarter of alpha. */
static void equal_shadows_are_seldom_stopped(void **state) {
    (void)state;
    enum { RUNS = 400, ROWS = 1500, EVERY = 10 };
    int wrong = 0;
    weir_err err = {0};
    for (int run = 0; run < RUNS; run++) {
        weir_rollout rollout;
        assert_int_equal(weir_rollout_begin(&usual, 1, true, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < ROWS && weir_rollout_active(&rollout); i++) {
            weir_rollout_pair pair = {.label = draw() < 0.2, .champion = {.score = draw()}, .challenger = {.score = draw()}};
            assert_int_equal(weir_rollout_add_pair(&usual, &rollout, &pair, &err), WEIR_OK);
            if (i % EVERY == 0) (void)weir_rollout_decide(&usual, &rollout, 1);
        }
        wrong += rollout.state == WEIR_ROLLOUT_ROLLED_BACK;
    }
    print_message("%d of %d shadows that are as good were stopped\n", wrong, RUNS);
    assert_true(wrong <= RUNS * usual.alpha / 4 + 3);
}

/* ---- several challengers ---- */

static void the_best_of_several_is_promoted_and_losers_are_stopped(void **state) {
    (void)state;
    static const double skills[] = {0.3, 0.45, 0};
    weir_rollout rollout;
    int stopped = 0;
    assert_int_equal(weir_rollout_begin(&usual, 3, false, 0, &rollout, NULL), WEIR_OK);
    assert_true(fabs(rollout.arms[2].share - 0.1 / 3) < 1e-12 && fabs(weir_rollout_champion_share(&rollout) - 0.9) < 1e-12);
    assert_true(weir_rollout_better_needed(&usual, &rollout) == 120 && weir_rollout_worse_needed(&usual, &rollout) == 120);
    for (int i = 0; i < 4000 && weir_rollout_active(&rollout); i++) {
        feed_arms(&usual, &rollout, 50, 0.3, skills);
        weir_rollout_change change = weir_rollout_decide(&usual, &rollout, 1);
        if (!change.type || strcmp(change.type, "stopped") != 0) continue;
        assert_non_null(strstr(change.reason, "challenger-3"));
        assert_true(rollout.arms[2].stopped && rollout.arms[2].share == 0 && weir_rollout_compared(&rollout) == 2);
        stopped++;
    }
    assert_int_equal(rollout.state, WEIR_ROLLOUT_PROMOTED);
    assert_int_equal(rollout.winner, 1);
    assert_int_equal(stopped, 1);
    assert_true(rollout.arms[1].share == 1 && rollout.arms[0].share == 0 && rollout.arms[2].share == 0);
}

static void with_the_last_of_several_the_rollout_is_rolled_back(void **state) {
    (void)state;
    static const double skills[] = {0, 0};
    weir_rollout rollout;
    const char *seen[4];
    int count = 0;
    assert_int_equal(weir_rollout_begin(&usual, 2, false, 0, &rollout, NULL), WEIR_OK);
    for (int i = 0; i < 6000 && weir_rollout_active(&rollout); i++) {
        feed_arms(&usual, &rollout, 50, 0.8, skills);
        weir_rollout_change change = weir_rollout_decide(&usual, &rollout, 1);
        if (change.type && strcmp(change.type, "stepped") != 0) seen[count++] = change.type;
    }
    assert_int_equal(count, 2);
    assert_string_equal(seen[0], "stopped");
    assert_string_equal(seen[1], "rolled_back");
}

/* 200 rollouts of two challengers that are as good as the champion: any false promotion or stop counts. */
static void several_equals_are_seldom_told_apart(void **state) {
    (void)state;
    enum { RUNS = 200, ROWS = 3000, EVERY = 10 };
    static const double skills[] = {0.5, 0.5};
    int wrong = 0;
    for (int run = 0; run < RUNS; run++) {
        weir_rollout rollout;
        assert_int_equal(weir_rollout_begin(&usual, 2, false, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < ROWS / EVERY && weir_rollout_active(&rollout); i++) {
            feed_arms(&usual, &rollout, EVERY, 0.5, skills);
            (void)weir_rollout_decide(&usual, &rollout, 1);
        }
        wrong += !weir_rollout_active(&rollout) || weir_rollout_compared(&rollout) < 2;
    }
    print_message("%d of %d rollouts of two equals came to a decision\n", wrong, RUNS);
    assert_true(wrong <= RUNS * usual.alpha);
}

static void shares_of_several_never_move_keys_between_challengers(void **state) {
    (void)state;
    static const double skills[] = {0.35, 0.5, 0};
    weir_rollout rollout;
    weir_split_map before, now;
    double shares[3];
    assert_int_equal(weir_rollout_begin(&usual, 3, false, 0, &rollout, NULL), WEIR_OK);
    for (int i = 0; i < 3000 && weir_rollout_active(&rollout); i++) {
        for (int a = 0; a < 3; a++) shares[a] = rollout.arms[a].share;
        assert_int_equal(weir_split_map_init(&before, shares, 3, NULL), WEIR_OK);
        feed_arms(&usual, &rollout, 50, 0.3, skills);
        if (!weir_rollout_decide(&usual, &rollout, 1).type || !weir_rollout_active(&rollout)) continue;
        for (int a = 0; a < 3; a++) shares[a] = rollout.arms[a].share;
        assert_int_equal(weir_split_map_init(&now, shares, 3, NULL), WEIR_OK);
        for (double point = 0.0005; point < 1; point += 0.001) {
            int from = weir_split_map_at(&before, point), to = weir_split_map_at(&now, point);
            assert_true(from == to || from < 0 || to < 0);
        }
    }
}

static void commands_can_mean_one_of_several(void **state) {
    (void)state;
    weir_rollout rollout;
    assert_int_equal(weir_rollout_begin(&usual, 3, false, 0, &rollout, NULL), WEIR_OK);
    weir_rollout_change change = weir_rollout_do(&rollout, WEIR_ROLLOUT_PROMOTE, WEIR_ROLLOUT_NOBODY, "because");
    assert_null(change.type);
    assert_non_null(strstr(change.reason, "which"));
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_ROLLBACK, 1, "a guard").type, "stopped");
    assert_true(rollout.arms[1].stopped && rollout.arms[0].share > 0);
    assert_null(weir_rollout_do(&rollout, WEIR_ROLLOUT_PROMOTE, 1, "because").type);
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_ROLLBACK, 0, "a guard").type, "stopped");
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_PROMOTE, WEIR_ROLLOUT_NOBODY, "because").type, "promoted");
    assert_int_equal(rollout.winner, 2);
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_ROLLBACK, WEIR_ROLLOUT_NOBODY, "because").type, "rolled_back");
    assert_int_equal(weir_rollout_begin(&usual, 0, false, 0, &rollout, NULL), WEIR_EINVAL);
    assert_int_equal(weir_rollout_begin(&usual, WEIR_CHALLENGERS_MAX + 1, false, 0, &rollout, NULL), WEIR_EINVAL);
}

/* ---- routing ---- */

static weir_rollout_def routed(weir_loss loss) {
    weir_rollout_def def = usual;
    def.thompson = true;
    def.by_request = true;
    def.floor = 0.05;
    def.loss = loss;
    return def;
}

static void routing_sends_traffic_where_losses_are_least(void **state) {
    (void)state;
    static const weir_loss losses[] = {WEIR_LOSS_BRIER, WEIR_LOSS_ERROR, WEIR_LOSS_SQUARED};
    static const double skills[] = {0.9, 0};
    weir_err err = {0};
    for (size_t l = 0; l < sizeof losses / sizeof *losses; l++) {
        const weir_rollout_def def = routed(losses[l]);
        weir_rollout rollout;
        weir_rollout_change change;
        int events = 0;
        assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
        assert_true(fabs(rollout.arms[0].share - 1.0 / 3) < 1e-12);
        for (int batch = 0; batch < 40; batch++) {
            feed_arms(&def, &rollout, 50, 0.1, skills);
            weir_rollout again = rollout;
            weir_rollout_change repeated;
            if (weir_rollout_route(&def, &rollout, &change, &err)) fail_msg("%s", err.message);
            assert_int_equal(weir_rollout_route(&def, &again, &repeated, &err), WEIR_OK);
            assert_memory_equal(&rollout, &again, sizeof again); /* the same evidence, the same shares */
            events += change.type != NULL;
            for (int a = 0; a < 2; a++) assert_true(rollout.arms[a].share >= 0.05 - 1e-12);
            assert_true(weir_rollout_champion_share(&rollout) >= 0.05 - 1e-9);
        }
        assert_true(rollout.arms[0].share > 0.8 && events > 0 && events < 40);
    }
}

/* By what was routed, what each arm alone would have lost, and nothing of it wrong by more than its interval says. */
static void estimates_of_routed_traffic_are_those_of_each_arm_alone(void **state) {
    (void)state;
    const weir_rollout_def def = routed(WEIR_LOSS_BRIER);
    static const double skills[] = {0.4, 0};
    weir_rollout rollout;
    weir_rollout_change change;
    assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
    for (int batch = 0; batch < 100; batch++) {
        feed_arms(&def, &rollout, 100, 0.2, skills);
        assert_int_equal(weir_rollout_route(&def, &rollout, &change, NULL), WEIR_OK);
    }
    const weir_offpolicy *sums[] = {&rollout.champion, &rollout.arms[0].all, &rollout.arms[1].all};
    static const double all_skills[] = {0.2, 0.4, 0};
    for (int a = 0; a < 3; a++) {
        double skill = all_skills[a], gap = 1 - skill,
               loss = 0.2 * 0.8 * gap * gap; /* the loss of score_of: a fifth errs by 0.8 of the gap, the others by 0.2 of it */
        weir_offpolicy_report report;
        assert_int_equal(weir_offpolicy_report_of(sums[a], 0.95, &report, NULL), WEIR_OK);
        assert_true(fabs(report.ips.value - loss) < 4 * report.ips.standard_error);
        assert_true(fabs(report.snips.value - loss) < 4 * report.snips.standard_error);
        assert_true(fabs(report.robust.value - loss) < 4 * report.robust.standard_error);
        assert_true(fabs(report.weight_mean - 1) < 0.25);
    }
}

static void routing_waits_where_there_is_nothing_to_route(void **state) {
    (void)state;
    const weir_rollout_def def = routed(WEIR_LOSS_BRIER);
    weir_rollout rollout;
    weir_rollout_change change;
    assert_int_equal(weir_rollout_begin(&def, 2, true, 0, &rollout, NULL), WEIR_OK);
    assert_int_equal(weir_rollout_route(&def, &rollout, &change, NULL), WEIR_OK);
    assert_null(change.type); /* in shadow */
    assert_int_equal(weir_rollout_begin(&usual, 2, false, 0, &rollout, NULL), WEIR_OK);
    assert_int_equal(weir_rollout_route(&usual, &rollout, &change, NULL), WEIR_OK);
    assert_null(change.type); /* by steps */
}

/* ---- routing by a context ---- */

static weir_rollout_def contextual(weir_loss loss) {
    weir_rollout_def def = routed(loss);
    def.context = "place";
    def.buckets = 2;
    return def;
}

enum { CONTEXT_ARMS = 3 };

/* Requests of buckets 1 and 2 in turn, none without a value; skills [bucket − 1]: of the champion and the challengers. Routed after every 50. */
static int feed_buckets(const weir_rollout_def *def, weir_rollout *rollout, int rows, const double skills[2][CONTEXT_ARMS]) {
    weir_err err = {0};
    weir_rollout_change change;
    int moved = 0;
    for (int i = 0; i < rows; i++) {
        weir_rollout_row row = draw_arm_in(rollout, 1 + i % 2);
        row.label = draw() < 0.2;
        row.answer.score = score_of(skills[i % 2][1 + row.arm], row.label);
        row.answer.decision = row.answer.score >= 0.5;
        if (weir_rollout_add(def, rollout, &row, &err)) fail_msg("%s", err.message);
        if (i % 50 == 49 && weir_rollout_route(def, rollout, &change, &err)) fail_msg("%s", err.message);
        moved += i % 50 == 49 && change.type;
    }
    return moved;
}

static void shares_go_apart_where_another_arm_is_best(void **state) {
    (void)state;
    static const weir_loss losses[] = {WEIR_LOSS_BRIER, WEIR_LOSS_ERROR, WEIR_LOSS_SQUARED};
    static const double skills[2][CONTEXT_ARMS] = {{0.9, 0.2, 0}, {0.2, 0.9, 0}};
    for (size_t l = 0; l < sizeof losses / sizeof *losses; l++) {
        const weir_rollout_def def = contextual(losses[l]);
        weir_rollout rollout;
        assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
        assert_int_equal(rollout.bucket_count, 3);
        for (int b = 0; b < 3; b++) assert_true(fabs(weir_rollout_bucket_share(&rollout, b, 0) - 1.0 / 3) < 1e-12);
        int moved = feed_buckets(&def, &rollout, 4000, skills);
        assert_true(moved > 0 && moved < 80);
        assert_true(weir_rollout_bucket_share(&rollout, 1, WEIR_ROLLOUT_NOBODY) > 0.8 && weir_rollout_bucket_share(&rollout, 2, 0) > 0.8);
        assert_true(fabs(weir_rollout_bucket_share(&rollout, 0, 0) - 1.0 / 3) < 1e-6); /* nobody came without a value */
        for (int b = 0; b < 3; b++) {
            for (int a = WEIR_ROLLOUT_NOBODY; a < 2; a++) assert_true(weir_rollout_bucket_share(&rollout, b, a) >= 0.05 - 1e-9);
        }
        /* Both buckets came as often. */
        double half = (rollout.buckets[1].shares[0] + rollout.buckets[2].shares[0]) / 2;
        assert_true(fabs(rollout.arms[0].share - half) < 0.001);
        double outcomes = 0;
        for (int a = WEIR_ROLLOUT_NOBODY; a < 2; a++) outcomes += weir_rollout_bucket_outcomes(&rollout, 1, a);
        assert_true(outcomes == 2000);
        assert_true(weir_rollout_bucket_loss(&def, &rollout, 1, WEIR_ROLLOUT_NOBODY) < weir_rollout_bucket_loss(&def, &rollout, 1, 0));
        assert_true(weir_rollout_bucket_loss(&def, &rollout, 2, 0) >= 0 && isnan(weir_rollout_bucket_loss(&def, &rollout, 0, 0)));
    }
}

/* The same evidence, the same shares; and with one bucket in use what is known of it is what all is known of. */
static void routing_by_a_context_is_a_function_of_the_evidence(void **state) {
    (void)state;
    const weir_rollout_def def = contextual(WEIR_LOSS_BRIER), plain = routed(WEIR_LOSS_BRIER);
    weir_rollout rollout, alike;
    weir_rollout_change change;
    assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_OK);
    assert_int_equal(weir_rollout_begin(&plain, 1, false, 0, &alike, NULL), WEIR_OK);
    for (int batch = 0; batch < 20; batch++) {
        for (int i = 0; i < 50; i++) {
            weir_rollout_row row = draw_arm_in(&rollout, 2);
            row.label = draw() < 0.2;
            row.answer.score = score_of(row.arm == 0 ? 0.6 : 0.2, row.label);
            assert_int_equal(weir_rollout_add(&def, &rollout, &row, NULL), WEIR_OK);
            assert_int_equal(weir_rollout_add(&plain, &alike, &row, NULL), WEIR_OK);
        }
        weir_rollout again = rollout;
        assert_int_equal(weir_rollout_route(&def, &rollout, &change, NULL), WEIR_OK);
        assert_int_equal(weir_rollout_route(&def, &again, &change, NULL), WEIR_OK);
        assert_memory_equal(&rollout, &again, sizeof again);
        assert_int_equal(weir_rollout_route(&plain, &alike, &change, NULL), WEIR_OK);
        assert_true(fabs(rollout.arms[0].share - alike.arms[0].share) < 1e-9);
    }
    assert_memory_equal(rollout.arms[0].test.mean, alike.arms[0].test.mean, sizeof alike.arms[0].test.mean);
    assert_true(alike.bucket_count == 0 && rollout.arms[0].share > 0.7);
}

/* A prediction whose bucket is not known, or was of another file's buckets, is evidence all the same; one whose arm was not drawn is none of a bucket either. */
static void what_has_no_bucket_is_evidence_of_the_arms_alone(void **state) {
    (void)state;
    const weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
    weir_rollout rollout;
    weir_rollout_row row = {.arm = 0, .champion_share = 0.5, .shares = {0.5}, .answer.score = 0.5, .label = 1};
    assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_OK);
    const weir_rollout before = rollout;
    static const int buckets[] = {WEIR_ROLLOUT_NO_BUCKET, 3, 1000000};
    for (size_t i = 0; i < 3; i++) {
        row.bucket = buckets[i];
        assert_int_equal(weir_rollout_add(&def, &rollout, &row, NULL), WEIR_OK);
    }
    assert_true(rollout.arms[0].test.count[1] == 3);
    row = (weir_rollout_row){.arm = WEIR_ROLLOUT_NOBODY, .bucket = 1, .champion_share = 1, .answer.score = 0.5, .label = 1};
    assert_int_equal(weir_rollout_add(&def, &rollout, &row, NULL), WEIR_OK);
    row = (weir_rollout_row){.arm = 0, .bucket = 1, .champion_share = 0.5, .shares = {0.5}, .answer.score = NAN, .label = 1};
    assert_int_not_equal(weir_rollout_add(&def, &rollout, &row, NULL), WEIR_OK);
    assert_memory_equal(rollout.buckets, before.buckets, sizeof before.buckets);
}

/* The challenger is worse over all, by far, but best of a bucket: with the context it is kept there, without one stopped. And the other way round: not promoted. */
static void a_claim_waits_while_a_bucket_speaks_against_it(void **state) {
    (void)state;
    static const double worse[2][CONTEXT_ARMS] = {{0.9, 0}, {0.2, 0.5}}, better[2][CONTEXT_ARMS] = {{0, 0.9}, {0.5, 0.2}};
    for (int is_better = 0; is_better < 2; is_better++) {
        const weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
        weir_rollout_def plain = def;
        weir_rollout rollout;
        plain.context = NULL;
        assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < 40; i++) {
            feed_buckets(&def, &rollout, 500, is_better ? better : worse);
            if (i > 1) assert_null(weir_rollout_decide(&def, &rollout, 1).type); /* by then each bucket knows its best */
        }
        weir_rollout without = rollout;
        without.bucket_count = 0;
        assert_string_equal(weir_rollout_decide(&plain, &without, 1).type, is_better ? "promoted" : "rolled_back");
        assert_string_equal(weir_rollout_decide(&def, &rollout, def.patience_us).type, "kept");
        for (int b = 0; b < 3; b++) assert_true(weir_rollout_bucket_share(&rollout, b, WEIR_ROLLOUT_NOBODY) == 1);
    }
}

static void a_claim_is_acted_on_where_all_buckets_agree(void **state) {
    (void)state;
    static const double skills[2][2][CONTEXT_ARMS] = {{{0.9, 0}, {0.8, 0.1}}, {{0, 0.9}, {0.1, 0.8}}};
    static const char *const ends[] = {"rolled_back", "promoted"};
    for (int e = 0; e < 2; e++) {
        const weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
        weir_rollout rollout;
        weir_rollout_change change = {0};
        assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < 100 && !change.type; i++) {
            feed_buckets(&def, &rollout, 100, skills[e]);
            change = weir_rollout_decide(&def, &rollout, 1);
        }
        assert_string_equal(change.type, ends[e]);
        for (int b = 0; b < 3; b++) assert_true(weir_rollout_bucket_share(&rollout, b, 0) == e);
    }
}

static void one_of_several_that_is_stopped_leaves_every_bucket(void **state) {
    (void)state;
    static const double skills[2][CONTEXT_ARMS] = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
    const weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
    weir_rollout rollout;
    assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
    assert_string_equal(weir_rollout_do(&rollout, WEIR_ROLLOUT_ROLLBACK, 0, "a guard").type, "stopped");
    feed_buckets(&def, &rollout, 1000, skills);
    for (int b = 0; b < 3; b++) assert_true(weir_rollout_bucket_share(&rollout, b, 0) == 0);
    assert_true(rollout.arms[0].share == 0 && weir_rollout_bucket_outcomes(&rollout, 1, 0) == 0 && weir_rollout_bucket_share(&rollout, 0, 1) > 0.3);
}

static void buckets_survive_a_restart_bit_for_bit(void **state) {
    (void)state;
    static const double skills[2][CONTEXT_ARMS] = {{0.9, 0.2, 0}, {0.2, 0.9, 0}};
    weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
    uint8_t bytes[WEIR_ROLLOUT_BUCKETS_BYTES];
    weir_rollout rollout, other = {0};
    def.buckets = 16;
    assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
    feed_buckets(&def, &rollout, 500, skills);
    size_t len = weir_rollout_encode_buckets(&rollout, bytes);
    assert_int_equal(len, WEIR_ROLLOUT_BUCKETS_BYTES);
    assert_int_equal(weir_rollout_decode_buckets(bytes, len, &other, NULL), WEIR_OK);
    assert_int_equal(other.bucket_count, 17);
    assert_memory_equal(rollout.buckets, other.buckets, sizeof other.buckets);
    assert_int_equal(weir_rollout_decode_buckets(bytes, len - 8, &other, NULL), WEIR_EDATA);
    assert_int_equal(weir_rollout_decode_buckets(bytes, len + WEIR_ROLLOUT_BUCKET_BYTES, &other, NULL), WEIR_EDATA);
    memset(bytes + len - 8, 0xff, 8);
    assert_int_equal(weir_rollout_decode_buckets(bytes, len, &other, NULL), WEIR_EDATA);
    assert_int_equal(weir_rollout_decode_buckets(bytes, 0, &other, NULL), WEIR_OK);
    assert_true(other.bucket_count == 0 && weir_rollout_encode_buckets(&other, bytes) == 0);
}

/* Two challengers that over all err as often as the champion: in one bucket more often, in the other less. Routing sends each where it is good, yet that must not look like a gain, nor a loss:
 * of 200 rollouts the e-values of few ever pass what a claim takes. */
static void what_differs_by_bucket_but_not_over_all_is_no_evidence(void **state) {
    (void)state;
    enum { RUNS = 200, ROWS = 3000, EVERY = 50 };
    static const double rates[2][CONTEXT_ARMS] = {{0.3, 0.1, 0.5}, {0.3, 0.5, 0.1}};
    weir_rollout_def def = contextual(WEIR_LOSS_ERROR);
    weir_err err = {0};
    int wrong = 0;
    for (int run = 0; run < RUNS; run++) {
        weir_rollout rollout;
        weir_rollout_change change;
        bool is_wrong = false;
        assert_int_equal(weir_rollout_begin(&def, 2, false, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < ROWS; i++) {
            int bucket = draw() < 0.5 ? 1 : 2;
            weir_rollout_row row = draw_arm_in(&rollout, bucket);
            row.label = 1;
            row.answer.score = row.answer.decision = draw() >= rates[bucket - 1][1 + row.arm];
            if (weir_rollout_add(&def, &rollout, &row, &err)) fail_msg("%s", err.message);
            if (i % EVERY == EVERY - 1 && weir_rollout_route(&def, &rollout, &change, &err)) fail_msg("%s", err.message);
        }
        const weir_arms_settings settings = weir_rollout_settings(&def);
        for (int a = 0; a < 2; a++) {
            const weir_e_values e = weir_arms_e(&settings, &rollout.arms[a].test);
            assert_true(rollout.arms[a].test.evidence.count == ROWS && fabs(rollout.arms[a].test.evidence.mean) < 0.2);
            is_wrong |= e.better_peak >= weir_rollout_better_needed(&def, &rollout) || e.worse_peak >= weir_rollout_worse_needed(&def, &rollout);
        }
        assert_true(weir_rollout_bucket_share(&rollout, 1, 0) > 0.5 && weir_rollout_bucket_share(&rollout, 2, 1) > 0.5);
        wrong += is_wrong;
    }
    print_message("%d of %d rollouts whose arms differ by bucket only would have been decided\n", wrong, RUNS);
    assert_true(wrong <= RUNS * def.alpha);
}

/* 200 rollouts of an equal challenger, routed by a context and looked at after every 50: false promotions and rollbacks together stay below alpha. */
static void equals_are_seldom_told_apart_by_a_context(void **state) {
    (void)state;
    enum { RUNS = 200, ROWS = 2000, EVERY = 50 };
    static const double skills[2][CONTEXT_ARMS] = {{0.5, 0.5}, {0.3, 0.3}};
    const weir_rollout_def def = contextual(WEIR_LOSS_BRIER);
    int wrong = 0;
    for (int run = 0; run < RUNS; run++) {
        weir_rollout rollout;
        assert_int_equal(weir_rollout_begin(&def, 1, false, 0, &rollout, NULL), WEIR_OK);
        for (int i = 0; i < ROWS / EVERY && weir_rollout_active(&rollout); i++) {
            feed_buckets(&def, &rollout, EVERY, skills);
            (void)weir_rollout_decide(&def, &rollout, 1);
        }
        wrong += rollout.state == WEIR_ROLLOUT_PROMOTED || rollout.state == WEIR_ROLLOUT_ROLLED_BACK;
    }
    print_message("%d of %d rollouts between equals that were routed by a context were decided\n", wrong, RUNS);
    assert_true(wrong <= RUNS * usual.alpha);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_entity_that_keeps_its_arm_only_the_first_outcome_is_evidence),
        cmocka_unit_test(a_shadow_gets_no_traffic_before_it_has_enough_pairs_without_harm),
        cmocka_unit_test(a_harmful_shadow_never_gets_traffic),
        cmocka_unit_test(equal_shadows_are_seldom_stopped),
        cmocka_unit_test(the_best_of_several_is_promoted_and_losers_are_stopped),
        cmocka_unit_test(with_the_last_of_several_the_rollout_is_rolled_back),
        cmocka_unit_test(several_equals_are_seldom_told_apart),
        cmocka_unit_test(shares_of_several_never_move_keys_between_challengers),
        cmocka_unit_test(commands_can_mean_one_of_several),
        cmocka_unit_test(routing_sends_traffic_where_losses_are_least),
        cmocka_unit_test(estimates_of_routed_traffic_are_those_of_each_arm_alone),
        cmocka_unit_test(routing_waits_where_there_is_nothing_to_route),
        cmocka_unit_test(shares_go_apart_where_another_arm_is_best),
        cmocka_unit_test(routing_by_a_context_is_a_function_of_the_evidence),
        cmocka_unit_test(what_has_no_bucket_is_evidence_of_the_arms_alone),
        cmocka_unit_test(a_claim_waits_while_a_bucket_speaks_against_it),
        cmocka_unit_test(a_claim_is_acted_on_where_all_buckets_agree),
        cmocka_unit_test(one_of_several_that_is_stopped_leaves_every_bucket),
        cmocka_unit_test(buckets_survive_a_restart_bit_for_bit),
        cmocka_unit_test(what_differs_by_bucket_but_not_over_all_is_no_evidence),
        cmocka_unit_test(equals_are_seldom_told_apart_by_a_context),
        cmocka_unit_test(a_better_challenger_takes_each_step_and_is_promoted),
        cmocka_unit_test(a_worse_challenger_is_rolled_back_even_while_paused),
        cmocka_unit_test(a_step_needs_rows_at_the_present_share),
        cmocka_unit_test(the_champion_is_kept_when_patience_is_over),
        cmocka_unit_test(what_is_no_number_is_an_error_and_changes_nothing),
        cmocka_unit_test(losses_are_those_of_the_field),
        cmocka_unit_test(rows_whose_arm_was_not_drawn_are_left_out),
        cmocka_unit_test(a_wrong_split_pauses_until_somebody_resumes),
        cmocka_unit_test(commands_hold_where_they_make_sense),
        cmocka_unit_test(evidence_survives_a_restart_bit_for_bit),
        cmocka_unit_test(a_margin_beyond_every_loss_is_refused),
        cmocka_unit_test(equals_are_seldom_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
