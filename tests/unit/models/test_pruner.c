#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/study.h"
#include "tests/unit/starve.h"

static weir_study *study_of(const char *pruner, const char *settings_text, bool maximise) {
    cJSON *space = cJSON_Parse("{\"x\": {\"float\": [0, 1]}}"), *settings = settings_text ? cJSON_Parse(settings_text) : NULL;
    weir_study *study = NULL;
    weir_err err;
    weir_study_settings s = {.space = space, .sampler = "random", .pruner = pruner, .pruner_settings = settings, .maximise = {maximise}};
    if (weir_study_new(&s, "$", &study, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(space);
    cJSON_Delete(settings);
    return study;
}

static int ask(weir_study *study) {
    int number;
    cJSON *params;
    assert_int_equal(weir_study_ask(study, &number, &params, NULL), WEIR_OK);
    cJSON_Delete(params);
    return number;
}

static bool report(weir_study *study, int number, int64_t step, double value) {
    bool prune;
    assert_int_equal(weir_study_report(study, number, step, value, NULL), WEIR_OK);
    assert_int_equal(weir_study_judge(study, number, &prune, NULL), WEIR_OK);
    return prune;
}

static void end(weir_study *study, int number, weir_trial_state trial_state) {
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = trial_state, .values = {1}}, NULL), WEIR_OK);
}

/* A complete trial that told these values at steps 0, 1, 2. */
static void add_complete(weir_study *study, double at_0, double at_1, double at_2) {
    int number = ask(study);
    (void)report(study, number, 0, at_0);
    (void)report(study, number, 1, at_1);
    (void)report(study, number, 2, at_2);
    end(study, number, WEIR_TRIAL_COMPLETE);
}

static void the_median_by_hand(void **state) {
    (void)state;
    for (int maximise = 0; maximise < 2; maximise++) {
        double sign = maximise ? -1 : 1;
        weir_study *study = study_of("median", "{\"startup_trials\": 4}", maximise);
        add_complete(study, sign * 1, sign * 10, NAN);
        add_complete(study, sign * 2, sign * 20, NAN);
        add_complete(study, sign * 4, sign * 40, NAN);
        int early = ask(study);
        assert_false(report(study, early, 0, sign * 100)); /* three complete trials are fewer than four */
        end(study, early, WEIR_TRIAL_FAILED);
        add_complete(study, sign * 8, sign * 80, NAN);
        /* medians: 3 at step 0, 30 at step 1, none at steps 2 and 3 */
        int bad = ask(study), even = ask(study), good = ask(study);
        assert_true(report(study, bad, 0, sign * 3.001));
        assert_false(report(study, even, 0, sign * 3));
        assert_false(report(study, even, 1, sign * 31)); /* its best is 3 */
        assert_true(report(study, good, 1, sign * 30.5));
        assert_false(report(study, good, 2, sign * 1e9)); /* only NaN was told there */
        assert_false(report(study, good, 3, sign * 1e9)); /* nothing was */
        weir_study_free(study);
    }
}

/* Means up to a step: complete trials have 1, 5.5, 5.5 | 2, 11, 11 | 4, 22, 22 (NaN passed over), medians 2, 11, 11. */
static void the_median_of_means_by_hand(void **state) {
    (void)state;
    weir_study *study = study_of("median", "{\"startup_trials\": 3, \"compare\": \"mean\"}", false);
    add_complete(study, 1, 10, NAN);
    add_complete(study, 2, 20, NAN);
    add_complete(study, 4, 40, NAN);
    int lucky = ask(study), steady = ask(study), unheard = ask(study);
    assert_false(report(study, lucky, 0, 0));
    assert_false(report(study, lucky, 1, 22)); /* mean 11 is not worse than 11 */
    assert_true(report(study, lucky, 2, 12)); /* mean 11.33; its best, 0, would have gone on */
    assert_true(report(study, steady, 0, 2.5));
    assert_true(report(study, unheard, 0, NAN));
    weir_study_free(study);
}

/* Rungs at steps 1 and 2, factor 2. Means at step 2: 1.5, 4, then 3, which is not among the best 3 / 2 = 1. Its last value, 1, would be. */
static void halving_of_means_by_hand(void **state) {
    (void)state;
    for (int mean = 0; mean < 2; mean++) {
        weir_study *study = study_of("halving", mean ? "{\"reduction_factor\": 2, \"compare\": \"mean\"}" : "{\"reduction_factor\": 2}", false);
        int first = ask(study), second = ask(study), third = ask(study);
        assert_false(report(study, first, 1, 1));
        assert_false(report(study, first, 2, 2));
        (void)report(study, second, 1, 4);
        (void)report(study, second, 2, 4);
        (void)report(study, third, 1, 5);
        assert_int_equal(report(study, third, 2, 1), mean);
        weir_study_free(study);
    }
}

static void the_median_waits_and_judges_once_an_interval(void **state) {
    (void)state;
    weir_study *study = study_of("median", "{\"startup_trials\": 1, \"warmup_steps\": 2, \"interval_steps\": 3}", false);
    int first = ask(study);
    for (int step = 0; step < 10; step++) assert_false(report(study, first, step, 1));
    end(study, first, WEIR_TRIAL_COMPLETE);
    int second = ask(study);
    for (int step = 0; step < 10; step++) assert_int_equal(report(study, second, step, 2), step == 2 || step == 5 || step == 8);
    int third = ask(study); /* reports at steps 4 and 6: the first ones of [2, 5) and [5, 8) */
    assert_true(report(study, third, 4, 2));
    assert_true(report(study, third, 6, 2));
    assert_false(report(study, third, 7, 2));
    weir_study_free(study);
}

static void the_median_needs_enough_values_at_the_step(void **state) {
    (void)state;
    weir_study *study = study_of("median", "{\"startup_trials\": 1, \"min_trials\": 2}", false);
    add_complete(study, 1, 1, 1);
    int number = ask(study);
    assert_false(report(study, number, 0, 5));
    add_complete(study, NAN, 1, 1);
    assert_true(report(study, number, 1, 5));
    int other = ask(study);
    assert_true(report(study, other, 0, 5)); /* NaN is told, too; the median is of the rest */
    weir_study_free(study);
}

static void a_trial_that_only_told_nan_is_pruned(void **state) {
    (void)state;
    const char *pruners[] = {"median", "halving"};
    for (int p = 0; p < 2; p++) {
        weir_study *study = study_of(pruners[p], p ? NULL : "{\"startup_trials\": 1}", false);
        add_complete(study, 1, 1, 1);
        assert_true(report(study, ask(study), 1, NAN));
        weir_study_free(study);
    }
}

/* min_resource 1, factor 2: rungs at steps 1, 2, 4, 8. */
static void halving_by_hand(void **state) {
    (void)state;
    for (int maximise = 0; maximise < 2; maximise++) {
        double sign = maximise ? -1 : 1;
        weir_study *study = study_of("halving", "{\"reduction_factor\": 2}", maximise);
        int a = ask(study), b = ask(study), c = ask(study), d = ask(study);
        assert_false(report(study, a, 0, sign * 9)); /* before the first rung */
        assert_false(report(study, a, 1, sign * 5)); /* alone: the best of {5} */
        assert_true(report(study, b, 1, sign * 6)); /* {5, 6}: one goes on */
        end(study, b, WEIR_TRIAL_PRUNED);
        assert_false(report(study, c, 1, sign * 4)); /* {4, 5, 6}: one goes on */
        assert_false(report(study, d, 1, sign * 5)); /* {4, 5, 5, 6}: two go on, and 5 is the second */
        assert_false(report(study, a, 2, sign * 3)); /* rung 1: alone */
        assert_true(report(study, c, 2, sign * 3.5)); /* rung 1: {3, 3.5} */
        assert_false(report(study, d, 3, sign * 2)); /* rung 1, with its first report there: {2, 3, 3.5} */
        weir_study_free(study);
    }
}

static void halving_passes_several_rungs_at_once(void **state) {
    (void)state;
    weir_study *study = study_of("halving", "{\"min_resource\": 2, \"reduction_factor\": 3, \"min_early_stopping_rate\": 1}", false); /* rungs at 6, 18, 54 */
    int a = ask(study), b = ask(study), c = ask(study), d = ask(study);
    assert_false(report(study, a, 5, 9));
    assert_false(report(study, a, 20, 9)); /* rungs 0 and 1 */
    assert_false(report(study, b, 6, 8)); /* {8, 9} */
    assert_false(report(study, b, 17, 99)); /* between rungs */
    assert_true(report(study, b, 18, 10)); /* rung 1: {9, 10} */
    assert_true(report(study, c, 100, 8.5)); /* rung 0: {8, 8.5, 9}, the best third is 8 */
    assert_false(report(study, d, 60, 1)); /* the best at rungs 0, 1 and 2 */
    weir_study_free(study);
}

static void pruners_need_one_objective_and_a_known_name(void **state) {
    (void)state;
    cJSON *space = cJSON_Parse("{\"x\": {\"float\": [0, 1]}}"), *odd = cJSON_Parse("{\"reduction_factor\": 1}");
    weir_study *study = NULL;
    weir_err err;
    assert_int_equal(weir_study_new(&(weir_study_settings){.space = space, .pruner = "median", .objective_count = 2}, "$", &study, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "$.pruner: found 'median' with 2 objectives, expected 'none': trials are pruned by one objective");
    assert_int_equal(weir_study_new(&(weir_study_settings){.space = space, .pruner = "medain"}, "$", &study, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "$.pruner: there is no 'medain'; did you mean 'median'?");
    assert_int_equal(weir_study_new(&(weir_study_settings){.space = space, .pruner = "halving", .pruner_settings = odd}, "$", &study, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "reduction_factor"));
    cJSON_Delete(space);
    cJSON_Delete(odd);
}

static void every_registered_pruner_keeps_the_contract(void **state) {
    (void)state;
    weir_allocator before = weir_mem;
    for (const weir_pruner *const *p = weir_pruners(); *p; p++) {
        assert_int_equal((*p)->abi, WEIR_PRUNER_ABI);
        assert_ptr_equal(weir_pruner_find((*p)->name), *p);
        weir_study *study = study_of((*p)->name, NULL, false);
        bool prune = true;
        int number = ask(study);
        assert_int_equal(weir_study_judge(study, number, &prune, NULL), WEIR_OK);
        assert_false(prune); /* nothing was reported */
        for (int i = 0; i < 5; i++) add_complete(study, 1, 1, 1);
        assert_int_equal(weir_study_report(study, number, 4, 2, NULL), WEIR_OK);
        allocations_left = 0;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_study_judge(study, number, &prune, NULL);
        weir_mem = before;
        assert_int_equal(status, strcmp((*p)->name, "none") == 0 ? WEIR_OK : WEIR_ENOMEM);
        assert_false(prune);
        weir_study_free(study);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_by_hand),
        cmocka_unit_test(the_median_of_means_by_hand),
        cmocka_unit_test(halving_of_means_by_hand),
        cmocka_unit_test(the_median_waits_and_judges_once_an_interval),
        cmocka_unit_test(the_median_needs_enough_values_at_the_step),
        cmocka_unit_test(a_trial_that_only_told_nan_is_pruned),
        cmocka_unit_test(halving_by_hand),
        cmocka_unit_test(halving_passes_several_rungs_at_once),
        cmocka_unit_test(pruners_need_one_objective_and_a_known_name),
        cmocka_unit_test(every_registered_pruner_keeps_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
