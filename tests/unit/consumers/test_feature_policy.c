/* What becomes of a prediction by the views that it reads: missing, late, of any age; and how old its oldest feature is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/feature_policy.h"
#include "core/clock.h"

#define T_US (INT64_C(1000) * WEIR_SECOND_US)
enum { VIEWS = 3, ALL = 7 };

static weir_view_def views[VIEWS] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
static weir_view_policy policies[VIEWS];
static weir_pipeline pipeline = {.views = views, .view_count = VIEWS, .serving = {.views = policies}};
static weir_view_read reads[VIEWS];

/* All three are there, 10, 20 and 30 s old. */
static int setup(void **state) {
    (void)state;
    memset(policies, 0, sizeof policies);
    pipeline.serving.views = policies;
    for (int v = 0; v < VIEWS; v++) reads[v] = (weir_view_read){.found = true, .event_time_us = T_US - 10 * (v + 1) * WEIR_SECOND_US};
    return 0;
}

static void check(unsigned used, weir_feature_policy policy, double oldest_s, const char *reason) {
    const weir_policy_verdict verdict = weir_policy_judge(&pipeline, used, reads, T_US);
    assert_int_equal(verdict.policy, policy);
    assert_true(isnan(oldest_s) ? isnan(verdict.oldest_s) : verdict.oldest_s == oldest_s);
    assert_string_equal(verdict.reason, reason);
}

static void without_policies_everything_is_scored_and_told(void **state) {
    (void)state;
    check(ALL, WEIR_POLICY_SCORE, 30, "");
    reads[0].found = false;
    reads[1].answer = WEIR_ANSWER_EXPIRED;
    check(ALL, WEIR_POLICY_SCORE, 30, "a no_record; b expired");
    pipeline.serving.views = NULL; /* of a pipeline that no file made */
    check(ALL, WEIR_POLICY_SCORE, 30, "a no_record; b expired");
}

static void only_views_that_are_read_count(void **state) {
    (void)state;
    for (int v = 0; v < VIEWS; v++) policies[v].missing = WEIR_POLICY_ABSTAIN;
    reads[1].found = false;
    check(5, WEIR_POLICY_SCORE, 30, "");
    check(1, WEIR_POLICY_SCORE, 10, "");
    check(0, WEIR_POLICY_SCORE, NAN, "");
    check(2, WEIR_POLICY_ABSTAIN, NAN, "b no_record");
}

static void the_stronger_word_of_several_views_holds(void **state) {
    (void)state;
    policies[0].missing = WEIR_POLICY_ABSTAIN;
    policies[1].missing = WEIR_POLICY_FALLBACK;
    reads[1].answer = WEIR_ANSWER_OUT_OF_REACH;
    check(ALL, WEIR_POLICY_FALLBACK, 30, "b out_of_reach");
    reads[0].found = false;
    check(ALL, WEIR_POLICY_ABSTAIN, 30, "a no_record; b out_of_reach");
}

static void what_is_older_than_max_age_is_late(void **state) {
    (void)state;
    policies[1] = (weir_view_policy){.late = WEIR_POLICY_FALLBACK, .max_age_us = 20 * WEIR_SECOND_US};
    check(ALL, WEIR_POLICY_SCORE, 30, "");
    reads[1].event_time_us--;
    check(ALL, WEIR_POLICY_FALLBACK, 30, "b 20 s old");
    reads[1].event_time_us = T_US + WEIR_SECOND_US; /* the replica is ahead of the event */
    check(2, WEIR_POLICY_SCORE, 0, "");
}

static void reasons_that_do_not_fit_are_cut(void **state) {
    (void)state;
    static weir_view_def many[WEIR_VIEWS_MAX];
    static weir_view_read none[WEIR_VIEWS_MAX];
    for (int v = 0; v < WEIR_VIEWS_MAX; v++) many[v].name = "a_view_with_a_name_of_forty_eight_bytes_all_of_it";
    const weir_pipeline wide = {.views = many, .view_count = WEIR_VIEWS_MAX};
    const weir_policy_verdict verdict = weir_policy_judge(&wide, 0xffff, none, T_US);
    assert_true(strlen(verdict.reason) == WEIR_REASON_MAX - 1 && !memcmp(verdict.reason, many[0].name, strlen(many[0].name)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_policies_everything_is_scored_and_told, setup),
        cmocka_unit_test_setup(only_views_that_are_read_count, setup),
        cmocka_unit_test_setup(the_stronger_word_of_several_views_holds, setup),
        cmocka_unit_test_setup(what_is_older_than_max_age_is_late, setup),
        cmocka_unit_test_setup(reasons_that_do_not_fit_are_cut, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
