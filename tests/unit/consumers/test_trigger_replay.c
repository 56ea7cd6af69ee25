/* Triggers replayed over made histories: what each policy decides and costs, and that nothing looks ahead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/trigger_replay.h"
#include "core/clock.h"
#include "features/pipeline.h"
#include "producers/random.h"
#include "tests/unit/starve.h"

enum { DAYS = 45, A_DAY = 200, ROWS = DAYS * A_DAY, ENTITIES = 40, TURN = 25, LEAD = 5 + 2 + 3 + 2 };
#define MONDAY_US (INT64_C(17623) * WEIR_DAY_US) /* 2018-04-02 */

/* From the day TURN on amounts are larger, and those that were signs of fraud are signs of none. */
typedef struct history {
    double amount[ROWS], night[ROWS], label[ROWS];
    int64_t time_us[ROWS], until_us[ROWS];
    uint32_t entity[ROWS];
} history;
static history made;

static weir_pipeline *pipeline;
static weir_recipe recipe;

static void make_history(int turn) {
    weir_random random;
    weir_random_init(&random, 7);
    for (int r = 0; r < ROWS; r++) {
        int day = r / A_DAY;
        bool turned = day >= turn;
        double x = weir_random_normal(&random, 0, 1), score = (turned ? -2 : 2) * x - 1;
        made.amount[r] = 100 + 20 * x + (turned ? 60 : 0);
        made.night[r] = weir_random_unit(&random) < (turned ? 0.6 : 0.2);
        made.label[r] = weir_random_unit(&random) < 1 / (1 + exp(-score));
        made.time_us[r] = MONDAY_US + day * WEIR_DAY_US + r % A_DAY * (WEIR_DAY_US / A_DAY);
        made.until_us[r] = made.time_us[r] + 2 * WEIR_DAY_US;
        made.entity[r] = (uint32_t)(r % ENTITIES);
    }
}

static weir_trainset make_rows(void) {
    const weir_prep_column columns[] = {{.name = "amount", .kind = WEIR_PREP_NUMBER}, {.name = "tx_during_night", .kind = WEIR_PREP_NUMBER}};
    const double *values[] = {made.amount, made.night}, *targets[] = {made.label};
    const char *target = "fraud";
    weir_trainset rows;
    weir_err err;
    const weir_trainset_source source = {.row_count = ROWS,
                                         .column_count = 2,
                                         .columns = columns,
                                         .values = values,
                                         .task = WEIR_TASK_BINARY,
                                         .target_count = 1,
                                         .target_names = &target,
                                         .targets = targets,
                                         .time_us = made.time_us,
                                         .label_until_us = made.until_us,
                                         .entity = made.entity,
                                         .entity_count = ENTITIES};
    if (weir_trainset_make(&source, &rows, &err)) fail_msg("%s", err.message);
    return rows;
}

/* The fraud pipeline with two inputs, short periods, these triggers and this rollout. */
static void read_rollout(const char *triggers, const char *rollout) {
    cJSON *json = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data), *training = cJSON_GetObjectItemCaseSensitive(json, "training");
    weir_err err;
    cJSON_ReplaceItemInObjectCaseSensitive(json, "triggers", cJSON_Parse(triggers));
    cJSON_ReplaceItemInObjectCaseSensitive(json, "rollout", cJSON_Parse(rollout));
    cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "labels"), "max_delay", cJSON_CreateString("2d"));
    cJSON_ReplaceItemInObjectCaseSensitive(training, "columns", cJSON_Parse("[\"amount\", \"tx_during_night\"]"));
    cJSON_ReplaceItemInObjectCaseSensitive(training, "metric", cJSON_CreateString("roc_auc"));
    cJSON_ReplaceItemInObjectCaseSensitive(training, "split",
                                           cJSON_Parse("{\"train\": \"5d\", \"delay\": \"2d\", \"test\": \"3d\", \"exclude_known\": false}"));
    char *text = cJSON_PrintUnformatted(json);
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    pipeline = NULL;
    if (weir_pipeline_parse(text, NULL, &pipeline, &err) || weir_recipe_load(pipeline, &recipe, &err)) fail_msg("%s", err.message);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void read_pipeline(const char *triggers) {
    read_rollout(triggers, "{\"automatic\": false}");
}

static weir_status run(weir_replay_result *ret_result, weir_err *err) {
    weir_trainset rows = make_rows();
    const weir_trigger_replay replay = {.pipeline = pipeline, .recipe = &recipe, .rows = &rows, .from_us = INT64_MIN, .to_us = INT64_MAX};
    weir_status status = weir_trigger_replay_run(&replay, ret_result, err);
    weir_trainset_done(&rows);
    return status;
}

static weir_replay_result replayed(void) {
    weir_replay_result result;
    weir_err err;
    if (run(&result, &err)) fail_msg("%s", err.message);
    return result;
}

#define EVERYTHING                                                                                                                                             \
    "{\"schedule\": \"0 2 * * 0\", \"drift\": {\"min_rows\": 100, \"false_alarm_rate\": 0.0001}, \"performance\": {\"drop\": 0.05, \"min_rows\": 300},"        \
    "\"policy\": {\"cool_down\": \"2d\", \"max_runs\": 4, \"per\": \"7d\", \"training_cost\": 5, \"metric_value\": 1000}}"

/* ---- what it decides and what that costs ---- */

static void the_first_day_is_the_first_for_which_a_model_could_be_fitted(void **state) {
    (void)state;
    make_history(DAYS);
    weir_replay_result result = replayed();
    assert_int_equal(result.from_us, MONDAY_US + LEAD * WEIR_DAY_US);
    assert_int_equal(result.day_count, DAYS - LEAD);
    for (int d = 0; d < result.day_count; d++) assert_int_equal(result.predictions[d], A_DAY);
    weir_replay_result_done(&result);
}

static void a_calm_world_costs_weekly_runs_and_nothing_else(void **state) {
    (void)state;
    make_history(DAYS);
    weir_replay_result result = replayed();
    const weir_replay_outcome *never = &result.outcomes[WEIR_REPLAY_NEVER], *weekly = &result.outcomes[WEIR_REPLAY_WEEKLY];
    assert_int_equal(never->retrains, 0);
    assert_int_equal(result.outcomes[WEIR_REPLAY_DRIFT].retrains, 0);
    assert_int_equal(weekly->retrains, 5); /* the 33 days begin on Saturday 14 April; Sundays from 15 April to 13 May */
    assert_true(weekly->training == 5 * weekly->retrains && never->training == 0);
    weir_replay_result_done(&result);
}

static void costs_add_up(void **state) {
    (void)state;
    make_history(TURN);
    weir_replay_result result = replayed();
    double best = -INFINITY, least = INFINITY;
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        const weir_replay_outcome *o = &result.outcomes[p];
        double sum = 0;
        for (int d = 0; d < result.day_count; d++) sum += o->daily[d] / result.day_count; /* days are alike */
        assert_true(fabs(sum - o->metric) < 1e-12);
        best = fmax(best, o->metric);
        least = fmin(least, o->total);
    }
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        const weir_replay_outcome *o = &result.outcomes[p];
        assert_true(fabs(o->lost - (best - o->metric) * 1000 * A_DAY / 1000 * result.day_count) < 1e-6);
        assert_true(fabs(o->total - o->training - o->lost) < 1e-9 && fabs(o->regret - (o->total - least)) < 1e-9);
    }
    weir_replay_result_done(&result);
}

static void when_the_world_turns_the_model_that_stays_is_lost_and_the_others_come_back(void **state) {
    (void)state;
    make_history(TURN);
    weir_replay_result result = replayed();
    int last = result.day_count - 1;
    assert_true(result.outcomes[WEIR_REPLAY_NEVER].daily[last] < 0.3);
    for (int p = WEIR_REPLAY_WEEKLY; p < WEIR_REPLAY_POLICIES; p++) {
        if (result.outcomes[p].daily[last] < 0.8) fail_msg("%s: %g", weir_replay_policy_names[p], result.outcomes[p].daily[last]);
        assert_true(result.outcomes[p].regret < result.outcomes[WEIR_REPLAY_NEVER].regret);
    }
    weir_replay_result_done(&result);
}

static const weir_replay_decision *first_of(const weir_replay_outcome *o, weir_cause cause) {
    for (int i = 0; i < o->decision_count; i++)
        if (o->decisions[i].cause == cause) return &o->decisions[i];
    fail_msg("no decision because of %s", weir_cause_names[cause]);
    return NULL;
}

static void each_cause_asks_and_the_policy_of_the_pipeline_holds(void **state) {
    (void)state;
    make_history(TURN);
    weir_replay_result result = replayed();
    const weir_replay_outcome *own = &result.outcomes[WEIR_REPLAY_PIPELINE];
    int64_t turn_us = MONDAY_US + TURN * WEIR_DAY_US;
    assert_int_equal(first_of(own, WEIR_CAUSE_DRIFT)->at_us, turn_us + WEIR_DAY_US); /* the first window that is of the new world */
    assert_true(first_of(own, WEIR_CAUSE_SCHEDULE)->decision.train);
    for (int i = 0; i < own->decision_count; i++) {
        const weir_replay_decision *d = &own->decisions[i];
        int runs = 0;
        for (int k = 0; k < i; k++) runs += own->decisions[k].decision.train && own->decisions[k].at_us > d->at_us - 7 * WEIR_DAY_US;
        if (d->decision.train) assert_true(runs < 4);
    }
    assert_true(own->retrains < result.outcomes[WEIR_REPLAY_DRIFT].retrains);
    weir_replay_result_done(&result);
}

static void a_degradation_asks_once_with_the_drop_that_was_measured(void **state) {
    (void)state;
    read_pipeline("{\"performance\": {\"drop\": 0.05, \"min_rows\": 300}, \"policy\": {\"training_cost\": 5, \"metric_value\": 1000}}");
    make_history(TURN);
    weir_replay_result result = replayed();
    const weir_replay_decision *d = first_of(&result.outcomes[WEIR_REPLAY_PIPELINE], WEIR_CAUSE_PERFORMANCE);
    int64_t turn_us = MONDAY_US + TURN * WEIR_DAY_US;
    assert_true(d->at_us > turn_us + 2 * WEIR_DAY_US && d->at_us <= turn_us + 20 * WEIR_DAY_US); /* labels are known two days later */
    assert_true(d->decision.train && d->decision.gain > d->decision.cost && d->decision.cost == 5);
    weir_replay_result_done(&result);
    read_pipeline(EVERYTHING);
}

static void so_many_labels_are_a_cause(void **state) {
    (void)state;
    read_pipeline("{\"volume\": 2000, \"policy\": {\"training_cost\": 5, \"metric_value\": 1000}}");
    make_history(DAYS);
    weir_replay_result result = replayed();
    const weir_replay_outcome *own = &result.outcomes[WEIR_REPLAY_PIPELINE];
    assert_int_equal(own->retrains, (DAYS - LEAD - 1) / 10); /* 200 labels a day */
    for (int i = 0; i < own->decision_count; i++) assert_int_equal(own->decisions[i].at_us, result.from_us + (i + 1) * 10 * WEIR_DAY_US);
    weir_replay_result_done(&result);
    read_pipeline(EVERYTHING);
}

/* ---- rollouts ---- */

#define IN_STEPS "{\"steps\": [0.5, 1], \"split\": \"request\", \"loss\": \"brier\", \"min_rows\": 50}"

static void a_version_is_rolled_out_and_promoted_when_it_is_better(void **state) {
    (void)state;
    read_rollout(EVERYTHING, IN_STEPS);
    make_history(TURN);
    weir_replay_result result = replayed();
    const weir_replay_outcome *own = &result.outcomes[WEIR_REPLAY_PIPELINE];
    bool waited = false;
    for (int i = 0; i < own->decision_count; i++) waited |= strstr(own->decisions[i].decision.why, "being rolled out") != NULL;
    assert_true(waited);
    assert_true(own->promoted >= 1 && own->promoted <= own->retrains);
    assert_true(own->daily[result.day_count - 1] > 0.6 && result.outcomes[WEIR_REPLAY_NEVER].daily[result.day_count - 1] < 0.3);
    assert_int_equal(result.outcomes[WEIR_REPLAY_NEVER].promoted, 0);
    weir_replay_result_done(&result);
    read_pipeline(EVERYTHING);
}

/* ---- no look-ahead ---- */

/* What is after the cut changes: inputs of rows after it, and labels that become known after it. */
static void change_after(int64_t cut_us) {
    for (int r = 0; r < ROWS; r++) {
        if (made.time_us[r] >= cut_us) {
            made.amount[r] = 1000 - made.amount[r] * made.amount[r] / 50;
            made.night[r] = 1 - made.night[r];
        }
        if (made.until_us[r] > cut_us) made.label[r] = 1 - made.label[r];
    }
}

static void compare_with_other_futures(void) {
    make_history(TURN);
    weir_replay_result before = replayed();
    for (int cut = LEAD + 1; cut < DAYS; cut += 4) {
        int64_t cut_us = MONDAY_US + cut * WEIR_DAY_US;
        make_history(TURN);
        change_after(cut_us);
        weir_replay_result after = replayed();
        for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
            const weir_replay_outcome *a = &before.outcomes[p], *b = &after.outcomes[p];
            for (int i = 0; i < a->decision_count && a->decisions[i].at_us <= cut_us; i++) {
                assert_true(i < b->decision_count && a->decisions[i].at_us == b->decisions[i].at_us);
                assert_int_equal(a->decisions[i].decision.train, b->decisions[i].decision.train);
                assert_string_equal(a->decisions[i].decision.why, b->decisions[i].decision.why);
            }
            /* of days whose labels were all known by then, the metric: scores and models are the same */
            for (int d = 0; d + LEAD + 3 <= cut; d++) assert_true(a->daily[d] == b->daily[d]);
        }
        weir_replay_result_done(&after);
    }
    weir_replay_result_done(&before);
}

static void nothing_that_comes_later_changes_a_decision_or_a_score(void **state) {
    (void)state;
    compare_with_other_futures();
    read_rollout(EVERYTHING, IN_STEPS);
    compare_with_other_futures();
    read_pipeline(EVERYTHING);
}

static void what_comes_later_does_change_what_is_later(void **state) {
    (void)state;
    make_history(TURN);
    weir_replay_result before = replayed();
    change_after(MONDAY_US + 20 * WEIR_DAY_US);
    weir_replay_result after = replayed();
    assert_true(before.outcomes[WEIR_REPLAY_WEEKLY].daily[before.day_count - 1] != after.outcomes[WEIR_REPLAY_WEEKLY].daily[before.day_count - 1]);
    weir_replay_result_done(&before);
    weir_replay_result_done(&after);
}

/* ---- what cannot be done ---- */

static void refusals_say_why(void **state) {
    (void)state;
    weir_replay_result result;
    weir_err err;
    make_history(DAYS);
    read_pipeline("{\"schedule\": \"0 2 * * 0\"}");
    assert_int_equal(run(&result, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "metric_value"));
    read_pipeline(EVERYTHING);
    for (int r = 0; r < ROWS; r++) made.time_us[r] = MONDAY_US + r % (LEAD * 10) * (WEIR_DAY_US / 10), made.until_us[r] = made.time_us[r];
    assert_int_equal(run(&result, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "12 days"));
}

static void running_out_of_memory_is_told_and_nothing_leaks(void **state) {
    (void)state;
    weir_replay_result result;
    weir_err err;
    make_history(TURN);
    weir_trainset rows = make_rows();
    const weir_trigger_replay replay = {
        .pipeline = pipeline, .recipe = &recipe, .rows = &rows, .from_us = INT64_MIN, .to_us = MONDAY_US + (LEAD + 3) * WEIR_DAY_US};
    bool done = false;
    for (int n = 0; n < 3000 && !done; n += n < 60 ? 1 : 17) {
        const weir_allocator own = weir_mem;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_trigger_replay_run(&replay, &result, &err);
        weir_mem = own;
        done = !status;
        if (!done && status != WEIR_ENOMEM) fail_msg("%d allocations: %s", n, err.message);
    }
    assert_true(done);
    weir_replay_result_done(&result);
    weir_trainset_done(&rows);
}

static void json_has_every_decision_and_day(void **state) {
    (void)state;
    make_history(TURN);
    weir_replay_result result = replayed();
    cJSON *json = weir_replay_result_json(&result, pipeline), *policies = cJSON_GetObjectItemCaseSensitive(json, "policies");
    assert_int_equal(cJSON_GetArraySize(policies), WEIR_REPLAY_POLICIES);
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        const cJSON *of = cJSON_GetArrayItem(policies, p);
        assert_string_equal(cJSON_GetObjectItemCaseSensitive(of, "policy")->valuestring, weir_replay_policy_names[p]);
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(of, "daily")), result.day_count);
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(of, "decisions")), result.outcomes[p].decision_count);
    }
    cJSON_Delete(json);
    weir_replay_result_done(&result);
}

static int begin(void **state) {
    (void)state;
    read_pipeline(EVERYTHING);
    return 0;
}

static int end(void **state) {
    (void)state;
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_day_is_the_first_for_which_a_model_could_be_fitted),
        cmocka_unit_test(a_calm_world_costs_weekly_runs_and_nothing_else),
        cmocka_unit_test(costs_add_up),
        cmocka_unit_test(when_the_world_turns_the_model_that_stays_is_lost_and_the_others_come_back),
        cmocka_unit_test(each_cause_asks_and_the_policy_of_the_pipeline_holds),
        cmocka_unit_test(a_degradation_asks_once_with_the_drop_that_was_measured),
        cmocka_unit_test(so_many_labels_are_a_cause),
        cmocka_unit_test(a_version_is_rolled_out_and_promoted_when_it_is_better),
        cmocka_unit_test(nothing_that_comes_later_changes_a_decision_or_a_score),
        cmocka_unit_test(what_comes_later_does_change_what_is_later),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(running_out_of_memory_is_told_and_nothing_leaks),
        cmocka_unit_test(json_has_every_decision_and_day),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
