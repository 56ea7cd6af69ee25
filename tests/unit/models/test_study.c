#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/pareto.h"
#include "models/study.h"
#include "tests/unit/starve.h"

static const char mixed[] = "{\"k\": [\"p\", \"q\"], \"n\": {\"int\": [1, 99], \"log\": true, \"when\": {\"k\": [\"p\"]}}, \"x\": {\"float\": [0.001, 1], "
                            "\"log\": true}, \"y\": {\"float\": [0, 1]}}";

static weir_study *study_of(const char *space_text, weir_study_settings settings) {
    weir_study *study = NULL;
    weir_err err;
    cJSON *space = cJSON_Parse(space_text);
    settings.space = space;
    if (weir_study_new(&settings, "$.tuning", &study, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(space);
    return study;
}

static weir_study *small(int objective_count) {
    return study_of("{\"x\": {\"float\": [0, 1]}}", (weir_study_settings){.sampler = "random", .objective_count = objective_count});
}

static int ask(weir_study *study) {
    int number;
    cJSON *params;
    assert_int_equal(weir_study_ask(study, &number, &params, NULL), WEIR_OK);
    cJSON_Delete(params);
    return number;
}

static int add(weir_study *study, double a, double b, double c) {
    int number = ask(study);
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {a, b, c}}, NULL), WEIR_OK);
    return number;
}

static int best_of(const weir_study *study) {
    int number = -1;
    weir_err err;
    weir_status status = weir_study_best(study, &number, &err);
    assert_true(status == WEIR_OK || status == WEIR_ENOTFOUND);
    return number;
}

static const char first_points[] = "[{\"k\": \"q\", \"x\": 0.5, \"y\": 0.25}, {\"k\": \"p\", \"n\": 7, \"x\": 0.1, \"y\": 1}]";

static void first_trials_are_as_told_then_the_sampler_is_asked(void **state) {
    (void)state;
    cJSON *first = cJSON_Parse(first_points), *params;
    weir_study *study = study_of(mixed, (weir_study_settings){.sampler = "random", .seed = 3, .first = first}),
               *without = study_of(mixed, (weir_study_settings){.sampler = "random", .seed = 3});
    for (int i = 0; i < 4; i++) {
        cJSON *other;
        int number;
        assert_int_equal(weir_study_ask(study, &number, &params, NULL), WEIR_OK);
        assert_int_equal(weir_study_ask(without, &number, &other, NULL), WEIR_OK);
        assert_true(cJSON_Compare(params, i < 2 ? cJSON_GetArrayItem(first, i) : other, true));
        if (i < 2) assert_false(cJSON_Compare(params, other, true));
        cJSON_Delete(params);
        cJSON_Delete(other);
    }
    weir_study_free(study);
    weir_study_free(without);
    cJSON_Delete(first);
}

static void first_trials_outside_the_space_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *first, *sampler, *message;
    } bad[] = {
        {"[{\"k\": \"q\", \"x\": 0.5, \"y\": 0.25}, {\"k\": \"q\", \"x\": 0.5}]", "tpe", "$.first[1]: $.y: found nothing, expected a value"},
        {"[{\"k\": \"q\", \"x\": 5, \"y\": 0.25}]", "tpe", "$.first[0]: $.x: found 5, expected 0.001 to 1"},
        {"{}", "tpe", "$.first: found an object, expected an array of parameters"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *space = cJSON_Parse(mixed), *first = cJSON_Parse(bad[i].first);
        weir_study *study = NULL;
        weir_err err;
        weir_study_settings s = {.space = space, .sampler = bad[i].sampler, .first = first};
        assert_int_equal(weir_study_new(&s, "$", &study, &err), WEIR_EINVAL);
        assert_string_equal(err.message, bad[i].message);
        cJSON_Delete(space);
        cJSON_Delete(first);
    }
    cJSON *space = cJSON_Parse("{\"k\": [1, 2]}"), *first = cJSON_Parse("[{\"k\": 1}]");
    weir_study *study = NULL;
    weir_err err;
    assert_int_equal(weir_study_new(&(weir_study_settings){.space = space, .sampler = "grid", .first = first}, "$", &study, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "$.first: found 1, expected none: the sampler 'grid' goes through every point");
    cJSON_Delete(space);
    cJSON_Delete(first);
}

static void trials_go_from_running_to_one_end(void **state) {
    (void)state;
    weir_study *study = small(1);
    weir_err err;
    bool prune;
    assert_int_equal(best_of(study), -1);
    int number = ask(study);
    const weir_outcome complete = {.state = WEIR_TRIAL_COMPLETE, .values = {2}}, running = {.state = WEIR_TRIAL_RUNNING};
    assert_int_equal(weir_study_tell(study, number, &running, &err), WEIR_EINVAL);
    assert_int_equal(weir_study_tell(study, 1, &complete, &err), WEIR_ENOTFOUND);
    assert_int_equal(weir_study_tell(study, -1, &complete, &err), WEIR_ENOTFOUND);
    assert_int_equal(weir_study_report(study, number, -1, 0, &err), WEIR_EINVAL);
    assert_int_equal(weir_study_report(study, number, 3, 0, &err), WEIR_OK);
    assert_int_equal(weir_study_report(study, number, 3, 0, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "trial 0 reports step 3, expected at least 4");
    assert_int_equal(weir_study_tell(study, number, &complete, &err), WEIR_OK);
    assert_int_equal(weir_study_tell(study, number, &complete, &err), WEIR_ECONFLICT);
    assert_string_equal(err.message, "trial 0 is complete, expected a running one");
    assert_int_equal(weir_study_report(study, number, 4, 0, &err), WEIR_ECONFLICT);
    assert_int_equal(weir_study_judge(study, number, &prune, &err), WEIR_ECONFLICT);
    assert_int_equal(best_of(study), 0);
    weir_study_free(study);
}

static void values_that_are_not_finite_are_failures(void **state) {
    (void)state;
    weir_study *study = small(2);
    add(study, 1, NAN, 0);
    add(study, INFINITY, 1, 0);
    add(study, 1, -INFINITY, 0);
    int number = ask(study);
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {1, 1}, .cost = NAN}, NULL), WEIR_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(weir_study_history(study)->trials[i].state, WEIR_TRIAL_FAILED);
        assert_string_equal(weir_study_history(study)->trials[i].note, "a value is not finite");
    }
    assert_int_equal(best_of(study), -1);
    number = ask(study);
    char long_note[100];
    memset(long_note, 'n', sizeof long_note);
    long_note[99] = 0;
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_FAILED, .note = long_note}, NULL), WEIR_OK);
    assert_int_equal(strlen(weir_study_history(study)->trials[number].note), 63);
    weir_study_free(study);
}

static void the_best_is_the_earliest_of_the_smallest_or_largest(void **state) {
    (void)state;
    for (int maximise = 0; maximise < 2; maximise++) {
        weir_study *study = study_of("{\"x\": [1, 2]}", (weir_study_settings){.sampler = "random", .maximise = {maximise}});
        add(study, 3, 0, 0);
        add(study, 1, 0, 0);
        add(study, 1, 0, 0);
        add(study, 3, 0, 0);
        assert_int_equal(best_of(study), maximise ? 0 : 1);
        weir_study_free(study);
    }
}

static void cost_is_weighed_against_the_score(void **state) {
    (void)state;
    for (int maximise = 0; maximise < 2; maximise++) {
        double sign = maximise ? 1 : -1;
        weir_study *study = study_of("{\"x\": [1, 2]}", (weir_study_settings){.sampler = "random", .maximise = {maximise}, .cost_weight = 0.01});
        const double scores[] = {0.90, 0.93, 0.80}, costs[] = {10, 14, 1}; /* 0.90 − 0.10 = 0.80, 0.93 − 0.14 = 0.79, 0.80 − 0.01 = 0.79 */
        for (int i = 0; i < 3; i++) {
            int number = ask(study);
            assert_int_equal(
                weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {sign * scores[i]}, .cost = costs[i]}, NULL), WEIR_OK);
        }
        assert_int_equal(best_of(study), 0);
        assert_float_equal(weir_study_history(study)->trials[0].loss[0], -0.80, 1e-12);
        assert_true(weir_study_history(study)->trials[1].values[0] == sign * 0.93);
        weir_study_free(study);
    }
}

static void budgets_end_a_study(void **state) {
    (void)state;
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 5 * WEIR_DAY_US);
    weir_study *study =
        study_of("{\"x\": [1, 2]}",
                 (weir_study_settings){
                     .sampler = "random", .trial_max = 3, .time_max_us = 10 * WEIR_SECOND_US, .trial_time_max_us = 2 * WEIR_SECOND_US, .clock = &clock.base});
    weir_clock_sleep_us(&clock.base, 100 * WEIR_SECOND_US); /* time runs from the first ask */
    assert_null(weir_study_over(study));
    int number = ask(study);
    assert_false(weir_study_overdue(study, number) || weir_study_overdue(study, 7));
    weir_clock_sleep_us(&clock.base, 2 * WEIR_SECOND_US);
    assert_false(weir_study_overdue(study, number));
    weir_clock_sleep_us(&clock.base, 1);
    assert_true(weir_study_overdue(study, number));
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_FAILED, .note = "timeout"}, NULL), WEIR_OK);
    assert_false(weir_study_overdue(study, number));
    weir_clock_sleep_us(&clock.base, 8 * WEIR_SECOND_US - 2);
    assert_null(weir_study_over(study));
    weir_clock_sleep_us(&clock.base, 1);
    assert_string_equal(weir_study_over(study), "time");
    weir_study_began(study, 0);
    (void)ask(study);
    (void)ask(study);
    assert_string_equal(weir_study_over(study), "trials");
    cJSON *params;
    weir_err err;
    assert_int_equal(weir_study_ask(study, &number, &params, &err), WEIR_ELIMIT);
    assert_string_equal(err.message, "the study is over after 3 trials: its budget of trials is spent");
    weir_study_free(study);
}

/* Some trials complete, some pruned, failed and running; told in another order than asked. */
static void act(weir_study *study, int trials, double *random) {
    for (int i = 0; i < trials; i++) {
        int number = ask(study);
        const weir_trial *t = &weir_study_history(study)->trials[number];
        *random += t->point[2];
        if (number % 11 == 7) continue;
        for (int step = 0; step < number % 4; step++) assert_int_equal(weir_study_report(study, number, step, t->point[3] + step, NULL), WEIR_OK);
        weir_outcome outcome = {.state = number % 5 == 1    ? WEIR_TRIAL_PRUNED
                                         : number % 13 == 3 ? WEIR_TRIAL_FAILED
                                                            : WEIR_TRIAL_COMPLETE,
                                .values = {fabs(t->point[3] - 0.3) / 3, t->point[2] / 7, -t->point[3]},
                                .cost = 0.1 * number};
        assert_int_equal(weir_study_tell(study, number, &outcome, NULL), WEIR_OK);
    }
}

/* The same trials by way of JSON text. */
static weir_study *restored(const weir_study *study, const char *space_text, weir_study_settings settings) {
    weir_study *copy = study_of(space_text, settings);
    const weir_trials *h = weir_study_history(study);
    for (int i = 0; i < h->trial_count; i++) {
        const weir_trial *t = &h->trials[i];
        weir_outcome outcome = {.state = t->state, .cost = t->cost};
        weir_report reports[8];
        memcpy(outcome.values, t->values, sizeof t->values);
        for (int r = 0; r < t->report_count; r++)
            reports[r] = (weir_report){t->reports[r].step, settings.maximise[0] ? -t->reports[r].loss : t->reports[r].loss};
        cJSON *params = weir_space_params(h->space, t->point);
        char *text = cJSON_Print(params);
        cJSON *parsed = cJSON_Parse(text);
        weir_err err;
        if (weir_study_restore(copy, i, parsed, reports, t->report_count, t->state == WEIR_TRIAL_RUNNING ? NULL : &outcome, &err) != WEIR_OK)
            fail_msg("%s", err.message);
        cJSON_Delete(params);
        cJSON_Delete(parsed);
        cJSON_free(text);
    }
    return copy;
}

static void a_restored_study_asks_what_the_first_would_have(void **state) {
    (void)state;
    const char *reordered = "{\"y\": {\"float\": [0, 1]}, \"n\": {\"when\": {\"k\": [\"p\"]}, \"int\": [1, 99], \"log\": true}, \"x\": {\"log\": true, "
                            "\"float\": [0.001, 1]}, \"k\": [\"p\", \"q\"]}";
    for (int objectives = 1; objectives <= 3; objectives++) {
        weir_study_settings settings = {
            .seed = 17, .objective_count = objectives, .maximise = {objectives == 1, true}, .cost_weight = objectives == 1 ? 0.5 : 0};
        weir_study *study = study_of(mixed, settings);
        double a = 0, b = 0;
        act(study, 61, &a);
        weir_study *copy = restored(study, reordered, settings);
        act(study, 40, &a);
        act(copy, 40, &b);
        for (int i = 0; i < 101; i++)
            assert_memory_equal(weir_study_history(study)->trials[i].point, weir_study_history(copy)->trials[i].point, 4 * sizeof(double));
        weir_study_free(study);
        weir_study_free(copy);
    }
}

static void what_cannot_be_restored_is_refused(void **state) {
    (void)state;
    weir_study *study = small(1);
    cJSON *good = cJSON_Parse("{\"x\": 0.5}"), *bad = cJSON_Parse("{\"x\": 1.5}");
    const weir_report descending[] = {{2, 0}, {1, 0}};
    const weir_outcome running = {.state = WEIR_TRIAL_RUNNING};
    weir_err err;
    assert_int_equal(weir_study_restore(study, 1, good, NULL, 0, NULL, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "found trial 1, expected trial 0: trials are restored in their order");
    assert_int_equal(weir_study_restore(study, 0, bad, NULL, 0, NULL, &err), WEIR_EDATA);
    assert_string_equal(err.message, "trial 0: $.x: found 1.5, expected 0 to 1");
    assert_int_equal(weir_study_restore(study, 0, good, descending, 2, NULL, &err), WEIR_EINVAL);
    assert_int_equal(weir_study_restore(study, 0, good, NULL, 0, &running, &err), WEIR_EINVAL);
    assert_int_equal(weir_study_history(study)->trial_count, 0);
    assert_int_equal(weir_study_restore(study, 0, good, NULL, 0, NULL, &err), WEIR_OK);
    cJSON_Delete(good);
    cJSON_Delete(bad);
    weir_study_free(study);
}

static bool dominates(const double *a, const double *b, int width) {
    bool better = false;
    for (int m = 0; m < width; m++) {
        if (a[m] > b[m]) return false;
        better = better || a[m] < b[m];
    }
    return better;
}

static void ranks_and_fronts_against_brute_force(void **state) {
    (void)state;
    enum { ROWS = 120 };
    weir_draw draw = weir_draw_of(1, 0);
    for (int round = 0; round < 30; round++) {
        int width = 1 + round % 4, rank[ROWS], expected[ROWS], numbers[ROWS], count;
        double loss[ROWS * 4];
        weir_study *study =
            study_of("{\"x\": [1, 2]}", (weir_study_settings){.sampler = "random", .objective_count = width, .maximise = {round % 2, false, true, false}});
        for (int i = 0; i < ROWS; i++) {
            double values[4] = {0};
            for (int m = 0; m < width; m++) values[m] = floor(weir_draw_uniform(&draw) * (round < 15 ? 5 : 1000)); /* many ties, or few */
            int number = ask(study);
            weir_outcome outcome = {.state = i % 10 == 4 ? WEIR_TRIAL_FAILED : WEIR_TRIAL_COMPLETE};
            memcpy(outcome.values, values, sizeof values);
            assert_int_equal(weir_study_tell(study, number, &outcome, NULL), WEIR_OK);
            for (int m = 0; m < width; m++) loss[i * width + m] = (round % 2 && m == 0) || m == 2 ? -values[m] : values[m];
        }
        assert_int_equal(weir_pareto_rank(loss, ROWS, width, rank, NULL), WEIR_OK);
        for (int i = 0; i < ROWS; i++) expected[i] = -1;
        for (int r = 0, left = ROWS; left > 0; r++) { /* peel off front after front */
            bool peel[ROWS] = {false};
            for (int i = 0; i < ROWS; i++) {
                peel[i] = expected[i] < 0;
                for (int j = 0; j < ROWS && peel[i]; j++) peel[i] = !(expected[j] < 0 && dominates(&loss[j * width], &loss[i * width], width));
            }
            for (int i = 0; i < ROWS; i++) {
                if (!peel[i]) continue;
                expected[i] = r;
                left--;
            }
        }
        assert_memory_equal(rank, expected, sizeof rank);
        assert_int_equal(weir_study_front(study, numbers, &count, NULL), WEIR_OK);
        int at = 0;
        for (int i = 0; i < ROWS; i++) {
            bool front = i % 10 != 4;
            for (int j = 0; j < ROWS && front; j++) front = j % 10 == 4 || !dominates(&loss[j * width], &loss[i * width], width);
            if (front) assert_int_equal(numbers[at++], i);
        }
        assert_int_equal(at, count);
        weir_study_free(study);
    }
}

/* The front (0, 4), (1, 2), (3, 1), (4, 0) with reference (4.4, 4.4): areas 1.76, 8.16, 4.76, 1.76: (1, 2) first; then (0, 4) adds 1 · 0.4, (3, 1) adds 1.4
 * · 1, (4, 0) adds 0.4 · 2. */
static void a_spread_of_two_objectives_by_hand(void **state) {
    (void)state;
    const double loss[] = {4, 0, 1, 2, 3, 1, 0, 4};
    const int order[] = {1, 2};
    for (int want = 0; want <= 2; want++) {
        bool chosen[4];
        assert_int_equal(weir_pareto_spread(loss, 4, 2, want, chosen, NULL), WEIR_OK);
        for (int i = 0; i < 4; i++) {
            bool expected = false;
            for (int k = 0; k < want; k++) expected = expected || order[k] == i;
            assert_int_equal(chosen[i], expected);
        }
    }
    bool chosen[4];
    assert_int_equal(weir_pareto_spread(loss, 4, 2, 4, chosen, NULL), WEIR_OK);
    for (int i = 0; i < 4; i++) assert_true(chosen[i]);
}

/* On the simplex: the corners are outermost; of the inner ones the crowded pair's members come last. */
static void a_spread_of_three_objectives_prefers_the_uncrowded(void **state) {
    (void)state;
    const double loss[] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.34, 0.33, 0.33, 0.35, 0.33, 0.32, 0.05, 0.15, 0.8};
    bool chosen[6];
    assert_int_equal(weir_pareto_spread(loss, 6, 3, 4, chosen, NULL), WEIR_OK);
    assert_true(chosen[0] && chosen[1] && chosen[2] && chosen[3] + chosen[4] + chosen[5] == 1);
    const double same[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(weir_pareto_spread(same, 3, 3, 2, chosen, NULL), WEIR_OK);
    assert_true(chosen[0] && chosen[1] && !chosen[2]);
}

static int select_one(const weir_study *study, weir_selection selection) {
    int number = -1;
    weir_err err;
    if (weir_study_select(study, &selection, &number, &err) != WEIR_OK) fail_msg("%s", err.message);
    return number;
}

/* Accuracy up, latency down. Front: 0 (0.90, 10), 1 (0.95, 30), 2 (0.96, 110), 4 (0.80, 5); 3 is dominated. */
static void one_of_the_front_is_selected_by_rule(void **state) {
    (void)state;
    weir_study *study = study_of("{\"x\": [1, 2]}", (weir_study_settings){.sampler = "random", .objective_count = 2, .maximise = {true, false}});
    weir_err err;
    int number;
    assert_int_equal(weir_study_select(study, &(weir_selection){.rule = WEIR_SELECT_KNEE}, &number, &err), WEIR_ENOTFOUND);
    add(study, 0.90, 10, 0);
    add(study, 0.95, 30, 0);
    add(study, 0.96, 110, 0);
    add(study, 0.89, 10, 0);
    add(study, 0.80, 5, 0);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_KNEE}), 1); /* scaled: 0.375 + 0.048, 0.0625 + 0.238, 0 + 1, 1 + 0 */
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_WEIGHTS, .weights = {1, 1}}), 1);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_WEIGHTS, .weights = {1, 0}}), 2);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_WEIGHTS, .weights = {1, 2}}), 0); /* 0.470, 0.539, 2, 1 */
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {0, 1}}), 2);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {0, 1}, .tolerance = {0.02, 0}}), 1);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {1, 0}, .tolerance = {0, 6}}), 0);
    assert_int_equal(select_one(study, (weir_selection){.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {1, 0}}), 4);
    const weir_selection bad[] = {{.rule = WEIR_SELECT_WEIGHTS},
                                  {.rule = WEIR_SELECT_WEIGHTS, .weights = {-1, 2}},
                                  {.rule = WEIR_SELECT_WEIGHTS, .weights = {NAN, 2}},
                                  {.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {1, 1}},
                                  {.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {0, 2}},
                                  {.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {0, 1}, .tolerance = {0, -1}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(weir_study_select(study, &bad[i], &number, &err), WEIR_EINVAL);
    weir_study_free(study);
}

static void bad_settings_are_refused(void **state) {
    (void)state;
    cJSON *space = cJSON_Parse("{\"x\": {\"float\": [0, 1]}}"), *settings = cJSON_Parse("{\"candidats\": 3}");
    const struct {
        weir_study_settings settings;
        const char *message;
    } cases[] = {
        {{.space = NULL}, "$.tuning.space: found nothing of 0"},
        {{.space = space, .sampler = "tpa"}, "$.tuning.sampler: there is no 'tpa'; did you mean 'tpe'?"},
        {{.space = space, .sampler_settings = settings}, "$.tuning.sampler_settings"},
        {{.space = space, .objective_count = 5}, "$.tuning: found 5 objectives, expected 1 to 4"},
        {{.space = space, .cost_weight = -1}, "$.tuning.cost_weight: found -1, expected a number from 0"},
        {{.space = space, .cost_weight = NAN}, "$.tuning.cost_weight: found nan"},
        {{.space = space, .cost_weight = 1, .objective_count = 2}, "$.tuning.cost_weight: found 1 with 2 objectives, expected 0"},
        {{.space = space, .trial_max = -1}, "$.tuning: found a budget below 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_study *study = NULL;
        weir_err err;
        assert_int_equal(weir_study_new(&cases[i].settings, "$.tuning", &study, &err), WEIR_EINVAL);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s", err.message);
        assert_null(study);
    }
    cJSON_Delete(space);
    cJSON_Delete(settings);
}

static void a_section_of_a_file_makes_a_study(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"space\": {\"x\": {\"float\": [0, 1]}}, \"sampler\": \"tpe\", \"sampler_settings\": {\"startup_trials\": 3, \"multivariate\": "
                              "\"no\"}, \"pruner\": \"median\","
                              " \"pruner_settings\": {\"startup_trials\": 0}, \"directions\": [\"maximise\"], \"cost_weight\": 0.5, \"seed\": 42, \"trials\": "
                              "2, \"time\": \"30m\", \"trial_time\": \"2m\"}");
    weir_clock_manual clock;
    const cJSON *sampler_settings = cJSON_GetObjectItem(json, "sampler_settings");
    weir_study *study, *same = study_of("{\"x\": {\"float\": [0, 1]}}", (weir_study_settings){.seed = 42, .sampler_settings = sampler_settings});
    weir_err err;
    weir_clock_manual_init(&clock, 0);
    if (weir_study_from_json(json, "$.tuning", &clock.base, &study, &err) != WEIR_OK) fail_msg("%s", err.message);
    int number = ask(study);
    assert_int_equal(ask(same), number);
    assert_true(weir_study_history(study)->trials[number].point[0] == weir_study_history(same)->trials[number].point[0]);
    weir_clock_sleep_us(&clock.base, 120 * WEIR_SECOND_US);
    assert_false(weir_study_overdue(study, number));
    weir_clock_sleep_us(&clock.base, 1);
    assert_true(weir_study_overdue(study, number));
    assert_int_equal(weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {3}, .cost = 2}, NULL), WEIR_OK);
    assert_true(weir_study_history(study)->trials[number].loss[0] == -2);
    weir_clock_sleep_us(&clock.base, 1680 * WEIR_SECOND_US);
    assert_string_equal(weir_study_over(study), "time");
    weir_study_free(study);
    weir_study_free(same);
    cJSON_Delete(json);
}

static void a_bad_section_is_refused_with_path_found_and_expected(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "$.tuning: found an array, expected an object"},
        {"{}", "$.tuning.space: found nothing of 0, expected an object of 1 to 64 parameters"},
        {"{\"spaec\": {}}", "$.tuning.spaec: unknown key; did you mean 'space'?"},
        {"{\"seed\": 1, \"seed\": 2}", "$.tuning.seed: the key is there twice"},
        {"{\"sampler\": 5}", "$.tuning.sampler: found a number, expected a string"},
        {"{\"directions\": \"maximise\"}", "$.tuning.directions: found a string of 0, expected an array of 1 to 4"},
        {"{\"directions\": [\"maximise\", \"up\"]}", "$.tuning.directions[1]: found up, expected 'minimise' or 'maximise'"},
        {"{\"cost_weight\": -1}", "$.tuning.cost_weight: found -1, expected a number from 0 to 1e+300"},
        {"{\"seed\": 1.5}", "$.tuning.seed: found 1.5, expected a whole number from 0 to 9.0072e+15"},
        {"{\"trials\": null}", "$.tuning.trials: found null, expected a whole number"},
        {"{\"time\": 30}", "$.tuning.time: found a number, expected a duration, such as \"30m\""},
        {"{\"trial_time\": \"soon\"}", "$.tuning.trial_time: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(cases[i].text);
        weir_study *study = NULL;
        weir_err err;
        assert_int_equal(weir_study_from_json(json, "$.tuning", NULL, &study, &err), WEIR_EINVAL);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0) fail_msg("%s", err.message);
        assert_null(study);
        cJSON_Delete(json);
    }
}

static weir_status do_everything(const cJSON *space, weir_study **ret_study) {
    int number, numbers[4], count;
    cJSON *params = NULL;
    weir_status status = weir_study_new(&(weir_study_settings){.space = space, .objective_count = 2}, "$", ret_study, NULL);
    if (status == WEIR_OK) status = weir_study_ask(*ret_study, &number, &params, NULL);
    if (status == WEIR_OK) status = weir_study_report(*ret_study, number, 0, 1, NULL);
    if (status == WEIR_OK) status = weir_study_tell(*ret_study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE}, NULL);
    if (status == WEIR_OK) status = weir_study_restore(*ret_study, 1, params, &(weir_report){0, 0}, 1, NULL, NULL);
    if (status == WEIR_OK) status = weir_study_front(*ret_study, numbers, &count, NULL);
    if (status == WEIR_OK) status = weir_study_select(*ret_study, &(weir_selection){.rule = WEIR_SELECT_KNEE}, &number, NULL);
    cJSON_Delete(params);
    return status;
}

static void memory_that_runs_out_leaves_nothing_behind(void **state) {
    (void)state;
    cJSON *space = cJSON_Parse(mixed);
    weir_allocator before = weir_mem;
    int tries = 0;
    for (weir_status status = WEIR_ENOMEM; status != WEIR_OK; tries++) {
        weir_study *study = NULL;
        allocations_left = tries;
        weir_mem.realloc = failing_realloc;
        status = do_everything(space, &study);
        weir_mem = before;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        weir_study_free(study);
    }
    assert_true(tries > 10);
    cJSON_Delete(space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_trials_are_as_told_then_the_sampler_is_asked),
        cmocka_unit_test(first_trials_outside_the_space_are_refused),
        cmocka_unit_test(trials_go_from_running_to_one_end),
        cmocka_unit_test(values_that_are_not_finite_are_failures),
        cmocka_unit_test(the_best_is_the_earliest_of_the_smallest_or_largest),
        cmocka_unit_test(cost_is_weighed_against_the_score),
        cmocka_unit_test(budgets_end_a_study),
        cmocka_unit_test(a_restored_study_asks_what_the_first_would_have),
        cmocka_unit_test(what_cannot_be_restored_is_refused),
        cmocka_unit_test(ranks_and_fronts_against_brute_force),
        cmocka_unit_test(a_spread_of_two_objectives_by_hand),
        cmocka_unit_test(a_spread_of_three_objectives_prefers_the_uncrowded),
        cmocka_unit_test(one_of_the_front_is_selected_by_rule),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(a_section_of_a_file_makes_a_study),
        cmocka_unit_test(a_bad_section_is_refused_with_path_found_and_expected),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
