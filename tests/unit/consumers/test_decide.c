/* To train or not: each rule of the policy, and their order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/decide.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define NOW_US (INT64_C(1800000000) * 1000000)

static const weir_trigger_policy policy = {.cool_down_us = 6 * HOUR_US, .max_runs = 3, .per_us = 168 * HOUR_US, .training_cost = 10, .metric_value = 2};
static const weir_decision_state calm = {
    .now_us = NOW_US, .asked_us = NOW_US, .last_asked_us = INT64_MIN, .expected_drop = NAN, .predictions_ahead = NAN, .changed_us = INT64_MIN};

static void check(weir_cause cause, weir_decision_state state, bool train, const char *says) {
    weir_decision d = weir_decide_training(&policy, cause, &state);
    if (d.train != train || !strstr(d.why, says)) fail_msg("%s: %s: %s", weir_cause_names[cause], d.train ? "train" : "wait", d.why);
}

static void whatever_asks_trains_when_nothing_objects(void **state) {
    (void)state;
    for (int cause = WEIR_CAUSE_SCHEDULE; cause <= WEIR_CAUSE_EVENT; cause++)
        check((weir_cause)cause, calm, true, cause == WEIR_CAUSE_MANUAL ? "somebody" : "does not object");
}

static void a_pending_run_is_enough_but_for_a_person(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.pending = true;
    for (int cause = WEIR_CAUSE_SCHEDULE; cause <= WEIR_CAUSE_EVENT; cause++)
        check((weir_cause)cause, s, cause == WEIR_CAUSE_MANUAL, cause == WEIR_CAUSE_MANUAL ? "somebody" : "not been fitted");
}

static void a_rollout_is_not_ended_by_another_run_but_for_schedules_and_people(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.rolling_out = true;
    for (int cause = WEIR_CAUSE_SCHEDULE; cause <= WEIR_CAUSE_EVENT; cause++) {
        bool may = cause == WEIR_CAUSE_MANUAL || cause == WEIR_CAUSE_SCHEDULE;
        check((weir_cause)cause, s, may, may ? "" : "being rolled out");
    }
}

static void the_cool_down_ends_to_the_microsecond_and_not_for_schedules(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.last_asked_us = NOW_US - 6 * HOUR_US + 1;
    check(WEIR_CAUSE_DRIFT, s, false, "cool_down is 6.0 hours");
    check(WEIR_CAUSE_SCHEDULE, s, true, "");
    s.last_asked_us--;
    check(WEIR_CAUSE_DRIFT, s, true, "");
}

static void the_budget_holds_for_schedules_too(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.runs_in_period = 3;
    check(WEIR_CAUSE_SCHEDULE, s, false, "max_runs is 3");
    check(WEIR_CAUSE_MANUAL, s, true, "");
    s.runs_in_period = 2;
    check(WEIR_CAUSE_VOLUME, s, true, "");
}

static void drift_waits_until_half_of_what_is_learnt_comes_after_it(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.train_from_us = NOW_US - 20 * 24 * HOUR_US;
    s.train_to_us = NOW_US - 10 * 24 * HOUR_US;
    s.changed_us = NOW_US - 15 * 24 * HOUR_US + 1;
    check(WEIR_CAUSE_DRIFT, s, false, "it began on 2026-12-31, and labels are known for training on 2026-12-26 to 2027-01-05");
    check(WEIR_CAUSE_MANUAL, s, true, "somebody");
    s.changed_us--;
    check(WEIR_CAUSE_DRIFT, s, true, "");
    s.changed_us = INT64_MIN;
    check(WEIR_CAUSE_DRIFT, s, true, "");
}

static void gain_is_weighed_against_cost_where_it_is_known(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.expected_drop = 0.05;
    s.predictions_ahead = 100000; /* 0.05 × 2 × 100 = 10: the cost */
    check(WEIR_CAUSE_PERFORMANCE, s, false, "does not exceed the cost, 10");
    s.predictions_ahead = 100001;
    check(WEIR_CAUSE_PERFORMANCE, s, true, "exceeds the cost, 10");
    s.expected_drop = -0.1;
    check(WEIR_CAUSE_SCHEDULE, s, false, "does not exceed");
    s.expected_drop = NAN;
    weir_decision d = weir_decide_training(&policy, WEIR_CAUSE_DRIFT, &s);
    assert_true(d.train && isnan(d.gain) && isnan(d.cost));
}

static void what_is_old_is_over(void **state) {
    (void)state;
    weir_decision_state s = calm;
    s.asked_us = NOW_US - WEIR_CAUSE_MAX_AGE_US;
    check(WEIR_CAUSE_MANUAL, s, true, "");
    s.asked_us--;
    for (int cause = WEIR_CAUSE_SCHEDULE; cause <= WEIR_CAUSE_EVENT; cause++) check((weir_cause)cause, s, false, "24.0 hours old");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_asks_trains_when_nothing_objects),
        cmocka_unit_test(a_pending_run_is_enough_but_for_a_person),
        cmocka_unit_test(a_rollout_is_not_ended_by_another_run_but_for_schedules_and_people),
        cmocka_unit_test(the_cool_down_ends_to_the_microsecond_and_not_for_schedules),
        cmocka_unit_test(the_budget_holds_for_schedules_too),
        cmocka_unit_test(drift_waits_until_half_of_what_is_learnt_comes_after_it),
        cmocka_unit_test(gain_is_weighed_against_cost_where_it_is_known),
        cmocka_unit_test(what_is_old_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
