/* What control topics say, in words, and what a scenario leaves behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "cli/demo_scenario.h"
#include "cli/demo_story.h"
#include "cli/scenario_report.h"
#include "consumers/events.h"
#include "core/clock.h"
#include "tests/unit/starve.h"

#define AT_US INT64_C(1528329600000000) /* 2018-06-07 */
enum { ROW_MAX = 32 };

static weir_story_entry read_row(weir_story_kind kind, const weir_datum *row) {
    weir_story_entry e;
    assert_true(weir_story_read(kind, "fraud", row, &e));
    assert_int_equal(e.kind, kind);
    assert_int_equal(e.at_us, AT_US);
    return e;
}

static void test_drift_names_columns_that_drifted(void **state) {
    (void)state;
    weir_datum row[ROW_MAX] = {[DRIFT_PIPELINE] = weir_text("fraud"),
                               [DRIFT_AT] = weir_i64(AT_US),
                               [DRIFT_KIND] = weir_text("features"),
                               [DRIFT_WINDOW_TO] = weir_i64(AT_US),
                               [DRIFT_COLUMNS] = weir_i64(15),
                               [DRIFT_DRIFTED] = weir_i64(5),
                               [DRIFT_SHARE] = weir_f64(5.0 / 15),
                               [DRIFT_SEVERITY] = weir_text("high"),
                               [DRIFT_DETAIL] = weir_text("{\"columns\": [{\"name\": \"a\", \"drifted\": true}, {\"name\": \"b\", \"drifted\": false}, "
                                                          "{\"name\": \"c\", \"drifted\": true}, {\"name\": \"d\", \"drifted\": true}, {\"name\": \"e\", "
                                                          "\"drifted\": true}, {\"name\": \"f\", \"drifted\": true}]}")};
    weir_story_entry e = read_row(WEIR_STORY_DRIFT, row);
    assert_string_equal(e.state, "high");
    assert_string_equal(e.about, "features");
    assert_string_equal(e.text, "high until 7 Jun 2018: 5 of 15 columns drifted: a, c, d, e and 1 more");
    row[DRIFT_DETAIL] = weir_text("not JSON");
    assert_string_equal(read_row(WEIR_STORY_DRIFT, row).text, "high until 7 Jun 2018: 5 of 15 columns drifted");
    row[DRIFT_TENANT] = weir_text("acme"); /* what one tenant's stream is like is not what the pipeline's is like */
    e = read_row(WEIR_STORY_DRIFT, row);
    assert_string_equal(e.about, "features of a tenant");
    assert_string_equal(e.subject, "acme");
    assert_string_equal(e.text, "tenant acme: high until 7 Jun 2018: 5 of 15 columns drifted");
}

static void test_others_pipelines_are_none_of_ours(void **state) {
    (void)state;
    weir_story_entry e;
    const weir_datum row[ROW_MAX] = {[ALERT_PIPELINE] = weir_text("fraud2"), [ALERT_AT] = weir_i64(AT_US)};
    assert_false(weir_story_read(WEIR_STORY_ALERT, "fraud", row, &e));
}

static void test_a_decision_says_why_and_which_request(void **state) {
    (void)state;
    weir_datum row[ROW_MAX] = {[DECIDE_PIPELINE] = weir_text("fraud"), [DECIDE_AT] = weir_i64(AT_US),       [DECIDE_CAUSE] = weir_text("drift"),
                               [DECIDE_TRAIN] = weir_bool(true),       [DECIDE_WHY] = weir_text("it pays"), [DECIDE_REQUEST_ID] = weir_text("decision-1")};
    weir_story_entry e = read_row(WEIR_STORY_DECISION, row);
    assert_string_equal(e.state, "train");
    assert_string_equal(e.subject, "decision-1");
    assert_string_equal(e.text, "train: it pays");
    row[DECIDE_TRAIN] = weir_bool(false);
    row[DECIDE_REQUEST_ID] = weir_null();
    e = read_row(WEIR_STORY_DECISION, row);
    assert_string_equal(e.state, "wait");
    assert_string_equal(e.subject, "");
}

static void test_requests_and_runs(void **state) {
    (void)state;
    weir_datum row[ROW_MAX] = {[REQ_PIPELINE] = weir_text("fraud"),
                               [REQ_ID] = weir_text("decision-1"),
                               [REQ_REASON] = weir_text("drift"),
                               [REQ_REQUESTED_AT] = weir_i64(AT_US),
                               [REQ_TRAIN_FROM] = weir_i64(AT_US)};
    assert_string_equal(read_row(WEIR_STORY_REQUEST, row).text, "a run is asked for that learns from 7 Jun 2018 on");
    row[REQ_TRAIN_FROM] = weir_null();
    assert_string_equal(read_row(WEIR_STORY_REQUEST, row).text, "a run is asked for");
    weir_datum run[ROW_MAX] = {[RUN_PIPELINE] = weir_text("fraud"),        [RUN_ID] = weir_text("run-1"),
                               [RUN_STATUS] = weir_text("failed"),         [RUN_AT] = weir_i64(AT_US),
                               [RUN_REQUEST_ID] = weir_text("decision-1"), [RUN_DETAIL] = weir_text("{\"error\": \"no rows\"}")};
    weir_story_entry e = read_row(WEIR_STORY_RUN, run);
    assert_string_equal(e.subject, "decision-1");
    assert_non_null(strstr(e.text, "failed: no rows"));
    run[RUN_STATUS] = weir_text("awaiting_labels");
    run[RUN_DETAIL] = weir_text("{\"dataset\": {\"rows\": 5460}, \"fit_seconds\": 0.34}");
    assert_non_null(strstr(read_row(WEIR_STORY_RUN, run).text, "fitted on 5460 rows in 0.3 s"));
    run[RUN_DETAIL] = weir_text("{\"step\": \"measure\"}");
    assert_string_equal(read_row(WEIR_STORY_RUN, run).text, "run-1… is measured: the outcomes of its test days are known");
}

static void test_models_and_aliases(void **state) {
    (void)state;
    weir_datum row[ROW_MAX] = {[MOD_PIPELINE] = weir_text("fraud"),      [MOD_AT] = weir_i64(AT_US),  [MOD_TYPE] = weir_text("alias.moved"),
                               [MOD_MODEL] = weir_text("fraud-boosted"), [MOD_VERSION] = weir_i64(2), [MOD_ALIAS] = weir_text("challenger")};
    weir_story_entry e = read_row(WEIR_STORY_MODEL, row);
    assert_string_equal(e.subject, "fraud-boosted/2");
    assert_string_equal(e.text, "fraud-boosted/2 is challenger");
    row[MOD_MODEL] = weir_null();
    assert_string_equal(read_row(WEIR_STORY_MODEL, row).text, "nobody is challenger");
}

static void test_a_rollout_tells_shares_losses_and_evidence(void **state) {
    (void)state;
    weir_datum row[ROW_MAX] = {
        [ROLL_PIPELINE] = weir_text("fraud"),
        [ROLL_AT] = weir_i64(AT_US),
        [ROLL_TYPE] = weir_text("stepped"),
        [ROLL_ACTOR] = weir_text("weir"),
        [ROLL_CHALLENGER] = weir_text("fraud-boosted/2"),
        [ROLL_SHARE] = weir_f64(0.5),
        [ROLL_REASON] = weir_text("no harm is seen"),
        [ROLL_EVIDENCE] = weir_text("{\"arms\": {\"champion\": {\"outcomes\": 90, \"loss\": 0.2}, \"challenger\": {\"outcomes\": 10, \"loss\": null}}, "
                                    "\"e_values\": {\"better\": 3, \"worse\": 0.1}}")};
    weir_story_entry e = read_row(WEIR_STORY_ROLLOUT, row);
    assert_string_equal(e.text, "fraud-boosted/2 gets 50 % of the traffic: no harm is seen");
    assert_true(e.outcomes[0] == 90 && e.loss[0] == 0.2 && e.outcomes[1] == 10 && isnan(e.loss[1]) && e.better == 3);
    row[ROLL_TYPE] = weir_text("ask.rollback");
    row[ROLL_ACTOR] = weir_text("guard");
    row[ROLL_EVIDENCE] = weir_text("{}");
    assert_string_equal(read_row(WEIR_STORY_ROLLOUT, row).text, "guard asks for rollback of fraud-boosted/2: no harm is seen");
    row[ROLL_TYPE] = weir_text("promoted");
    assert_string_equal(read_row(WEIR_STORY_ROLLOUT, row).text, "fraud-boosted/2 promoted: no harm is seen");
}

/* ---- the report ---- */

static weir_scenario_report made_report(weir_scenario_told *told) {
    *told = (weir_scenario_told){.wall_s = 12.5, .stream_us = AT_US, .entry = {.kind = WEIR_STORY_ROLLOUT, .at_us = AT_US, .share = 0.1, .better = NAN}};
    snprintf(told->entry.text, sizeof told->entry.text, "a <challenger>");
    weir_scenario_report r = {.pipeline = "fraud",
                              .scenario = "drift",
                              .outcome = "promoted",
                              .source = "simulated",
                              .first_us = AT_US - 50 * WEIR_DAY_US,
                              .live_us = AT_US - 10 * WEIR_DAY_US,
                              .changed_us = AT_US - 5 * WEIR_DAY_US,
                              .last_us = AT_US + WEIR_DAY_US,
                              .complete = true,
                              .told = told,
                              .told_count = 1,
                              .step_count = 2};
    r.steps[0] = (weir_scenario_step){.name = "drift is judged", .done = true, .told = *told};
    r.steps[1] = (weir_scenario_step){.name = "it is promoted"};
    return r;
}

static char *read_file(const char *folder, const char *name) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 100000);
    assert_true(fread(text, 1, 99999, file) > 0);
    fclose(file);
    unlink(path);
    return text;
}

static void test_the_report_has_steps_and_timeline(void **state) {
    (void)state;
    char folder[] = "/tmp/weir_scenario_XXXXXX";
    weir_scenario_told told;
    weir_err err;
    assert_non_null(mkdtemp(folder));
    const weir_scenario_report r = made_report(&told);
    assert_int_equal(weir_scenario_report_write(&r, folder, &err), WEIR_OK);
    char *json = read_file(folder, "report.json"), *html = read_file(folder, "report.html");
    cJSON *parsed = cJSON_Parse(json);
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(parsed, "steps"), *timeline = cJSON_GetObjectItemCaseSensitive(parsed, "timeline");
    assert_int_equal(cJSON_GetArraySize(steps), 2);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(steps, 1), "done")));
    const cJSON *first = cJSON_GetArrayItem(timeline, 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(first, "event_time")), "2018-06-07T00:00:00.000000Z");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(first, "e_values"), "better")));
    assert_non_null(strstr(html, "a &lt;challenger&gt;"));
    assert_non_null(strstr(html, "did not happen"));
    assert_non_null(strstr(html, "<svg"));
    cJSON_Delete(parsed);
    free(json);
    free(html);
    rmdir(folder);
}

static void test_a_report_without_memory_is_an_error(void **state) {
    (void)state;
    char folder[] = "/tmp/weir_scenario_XXXXXX";
    weir_scenario_told told;
    weir_err err;
    weir_allocator before = weir_mem;
    assert_non_null(mkdtemp(folder));
    const weir_scenario_report r = made_report(&told);
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status == WEIR_ENOMEM; n++) {
        weir_mem.realloc = failing_realloc;
        allocations_left = n;
        status = weir_scenario_report_write(&r, folder, &err);
        weir_mem = before;
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 2);
    free(read_file(folder, "report.json"));
    free(read_file(folder, "report.html"));
    rmdir(folder);
}

/* ---- the pipeline file ---- */

static void check_prepared(const char *pipeline, weir_scenario_kind kind, const char *candidate) {
    char path[] = "/tmp/weir_scenario_XXXXXX.json";
    weir_pipeline *p = NULL;
    weir_err err;
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    if (weir_scenario_prepare(pipeline, kind, path, &err) || weir_pipeline_load(path, &p, &err)) fail_msg("%s: %s", pipeline, err.message);
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(p->json, "training");
    assert_string_equal(p->name, pipeline);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(training, "candidates")), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(training, "champion")), candidate);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(training, "challenger")), candidate);
    assert_int_equal(p->triggers.drift.enabled, kind == WEIR_SCENARIO_DRIFT);
    assert_true(p->rollout.automatic && p->rollout.by_request && p->rollout.loss == WEIR_LOSS_BRIER);
    assert_true(p->rollout.step_count == 3 && p->rollout.steps[0] == 0.1 && p->rollout.challenger_share == 0.1);
    assert_int_equal(p->triggers.schedule_count, 1); /* what else the file says stays */
    weir_pipeline_free(p);
    unlink(path);
}

static void test_a_scenarios_pipeline_drifts_and_rolls_out(void **state) {
    (void)state;
    check_prepared("fraud", WEIR_SCENARIO_DRIFT, "fraud-boosted");
    check_prepared("maritime", WEIR_SCENARIO_DRIFT, "maintenance-boosted");
    check_prepared("maritime", WEIR_SCENARIO_HARM, "maintenance-boosted");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drift_names_columns_that_drifted),
        cmocka_unit_test(test_others_pipelines_are_none_of_ours),
        cmocka_unit_test(test_a_decision_says_why_and_which_request),
        cmocka_unit_test(test_requests_and_runs),
        cmocka_unit_test(test_models_and_aliases),
        cmocka_unit_test(test_a_rollout_tells_shares_losses_and_evidence),
        cmocka_unit_test(test_the_report_has_steps_and_timeline),
        cmocka_unit_test(test_a_report_without_memory_is_an_error),
        cmocka_unit_test(test_a_scenarios_pipeline_drifts_and_rolls_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
