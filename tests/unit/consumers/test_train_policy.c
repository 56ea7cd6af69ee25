/* What the training service decides: limits, waits, outcomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/train_policy.h"

static const weir_train_limits limits = {.runs_host = 2, .runs_overall = 3, .failures_max = 3, .retry_first_us = 1000, .retry_most_us = 10000};

static void as_many_begin_as_both_limits_leave(void **state) {
    (void)state;
    static const struct { int host, overall, free; } cases[] = {{0, 0, 2}, {1, 1, 1}, {2, 2, 0}, {0, 2, 1}, {0, 3, 0}, {1, 2, 1}, {3, 3, 0}, {0, 9, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(weir_train_free_slots(&limits, cases[i].host, cases[i].overall), cases[i].free);
}

static void waits_double_up_to_the_most(void **state) {
    (void)state;
    static const int64_t whole[] = {1000, 2000, 4000, 8000, 10000, 10000};
    for (int failures = 1; failures <= 6; failures++) {
        assert_int_equal(weir_train_backoff_us(&limits, failures, 0), whole[failures - 1] / 2);
        assert_int_equal(weir_train_backoff_us(&limits, failures, 0.5), whole[failures - 1] * 3 / 4);
        assert_true(weir_train_backoff_us(&limits, failures, 0.999999) <= whole[failures - 1]);
    }
}

static void waits_do_not_overflow(void **state) {
    (void)state;
    const weir_train_limits long_ones = {.retry_first_us = 3, .retry_most_us = INT64_MAX};
    assert_true(weir_train_backoff_us(&long_ones, 1000000, 0) >= INT64_MAX / 2);
    const weir_train_limits none = {0};
    assert_int_equal(weir_train_backoff_us(&none, 5, 0.5), 0);
    const weir_train_limits turned = {.retry_first_us = 100, .retry_most_us = 10};
    assert_int_equal(weir_train_backoff_us(&turned, 1, 0), 5);
}

static weir_train_outcome judge(weir_status code, weir_action action, const char *message, bool cancelled, bool timed_out, bool stopping) {
    weir_err err = {.code = code, .action = action};
    strcpy(err.message, message);
    return weir_train_judge(&(weir_train_ending){.cancelled = cancelled, .timed_out = timed_out, .stopping = stopping, .reported = true, .err = &err});
}

static void trouble_that_may_pass_is_told_from_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        weir_status code;
        weir_action action;
        const char *message;
        weir_train_outcome outcome;
    } cases[] = {
        {WEIR_OK, WEIR_ACTION_FATAL, "", WEIR_TRAIN_DONE},
        {WEIR_ENET, WEIR_ACTION_RETRY, "the connection to PostgreSQL was lost", WEIR_TRAIN_TRANSIENT},
        {WEIR_EIO, WEIR_ACTION_FATAL, "cannot write objects/x: Permission denied", WEIR_TRAIN_TRANSIENT},
        {WEIR_ENOMEM, WEIR_ACTION_FATAL, "no memory for 5 rows", WEIR_TRAIN_TRANSIENT},
        {WEIR_EINTERNAL, WEIR_ACTION_FATAL, "XGBoost: a round: std::bad_alloc", WEIR_TRAIN_TRANSIENT},
        {WEIR_EINTERNAL, WEIR_ACTION_FATAL, "DuckDB: Out of Memory Error", WEIR_TRAIN_TRANSIENT},
        {WEIR_ETIMEOUT, WEIR_ACTION_RETRY, "fitting was asked to stop", WEIR_TRAIN_TRANSIENT},
        {WEIR_ECONFLICT, WEIR_ACTION_FATAL, "somebody moved the alias", WEIR_TRAIN_TRANSIENT},
        {WEIR_EINTERNAL, WEIR_ACTION_FATAL, "PostgreSQL: SQLSTATE 42601", WEIR_TRAIN_FAILED},
        {WEIR_ENOTFOUND, WEIR_ACTION_FATAL, "none of the 0 events has a label", WEIR_TRAIN_FAILED},
        {WEIR_EINVAL, WEIR_ACTION_FATAL, "cannot go on learning", WEIR_TRAIN_FAILED},
        {WEIR_EDATA, WEIR_ACTION_FATAL, "one class only", WEIR_TRAIN_FAILED},
        {WEIR_ENUMERIC, WEIR_ACTION_FATAL, "did not converge", WEIR_TRAIN_FAILED},
        {WEIR_EDENIED, WEIR_ACTION_FATAL, "permission denied", WEIR_TRAIN_FAILED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(judge(cases[i].code, cases[i].action, cases[i].message, false, false, false), cases[i].outcome);
}

static void who_was_asked_to_end_did_not_fail(void **state) {
    (void)state;
    assert_int_equal(judge(WEIR_ETIMEOUT, WEIR_ACTION_RETRY, "", true, false, false), WEIR_TRAIN_CANCELLED);
    assert_int_equal(judge(WEIR_ETIMEOUT, WEIR_ACTION_RETRY, "", false, true, false), WEIR_TRAIN_TIMED_OUT);
    assert_int_equal(judge(WEIR_ETIMEOUT, WEIR_ACTION_RETRY, "", false, false, true), WEIR_TRAIN_INTERRUPTED);
    assert_int_equal(judge(WEIR_ETIMEOUT, WEIR_ACTION_RETRY, "", true, true, true), WEIR_TRAIN_CANCELLED);
    /* too late to be stopped, or wrong anyway */
    assert_int_equal(judge(WEIR_OK, WEIR_ACTION_FATAL, "", true, true, true), WEIR_TRAIN_DONE);
    assert_int_equal(judge(WEIR_EDATA, WEIR_ACTION_FATAL, "", false, false, true), WEIR_TRAIN_FAILED);
}

static void a_process_that_died_is_tried_again(void **state) {
    (void)state;
    weir_err unset = {0};
    assert_int_equal(weir_train_judge(&(weir_train_ending){.err = &unset}), WEIR_TRAIN_TRANSIENT);
    assert_int_equal(weir_train_judge(&(weir_train_ending){.err = &unset, .stopping = true}), WEIR_TRAIN_INTERRUPTED);
    assert_int_equal(weir_train_judge(&(weir_train_ending){.err = &unset, .timed_out = true}), WEIR_TRAIN_TIMED_OUT);
}

static void a_run_is_tried_so_often_and_no_more(void **state) {
    (void)state;
    assert_int_equal(weir_train_next_of(&limits, WEIR_TRAIN_DONE, 2), WEIR_TRAIN_GOES_ON);
    for (int outcome = WEIR_TRAIN_TRANSIENT; outcome <= WEIR_TRAIN_LOST; outcome += WEIR_TRAIN_LOST - WEIR_TRAIN_TRANSIENT) {
        assert_int_equal(weir_train_next_of(&limits, outcome, 0), WEIR_TRAIN_AGAIN);
        assert_int_equal(weir_train_next_of(&limits, outcome, 1), WEIR_TRAIN_AGAIN);
        assert_int_equal(weir_train_next_of(&limits, outcome, 2), WEIR_TRAIN_FAILS);
        assert_true(weir_train_counts(outcome));
    }
    assert_int_equal(weir_train_next_of(&limits, WEIR_TRAIN_INTERRUPTED, 99), WEIR_TRAIN_AGAIN);
    assert_int_equal(weir_train_next_of(&limits, WEIR_TRAIN_FAILED, 0), WEIR_TRAIN_FAILS);
    assert_int_equal(weir_train_next_of(&limits, WEIR_TRAIN_TIMED_OUT, 0), WEIR_TRAIN_FAILS);
    assert_int_equal(weir_train_next_of(&limits, WEIR_TRAIN_CANCELLED, 0), WEIR_TRAIN_IS_CANCELLED);
    assert_false(weir_train_counts(WEIR_TRAIN_INTERRUPTED) || weir_train_counts(WEIR_TRAIN_DONE) || weir_train_counts(WEIR_TRAIN_FAILED));
    for (int outcome = 0; outcome < WEIR_TRAIN_OUTCOMES; outcome++) assert_non_null(weir_train_outcome_name(outcome));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_begin_as_both_limits_leave),
        cmocka_unit_test(waits_double_up_to_the_most),
        cmocka_unit_test(waits_do_not_overflow),
        cmocka_unit_test(trouble_that_may_pass_is_told_from_what_is_wrong),
        cmocka_unit_test(who_was_asked_to_end_did_not_fail),
        cmocka_unit_test(a_process_that_died_is_tried_again),
        cmocka_unit_test(a_run_is_tried_so_often_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
