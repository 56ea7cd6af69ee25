/* What runs log, on a real PostgreSQL: WEIR_PG_URL names a server where this test may make a database of its own. Skipped without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "models/tracking.h"
#include "tests/integration/models/database.h"
#include "tests/unit/starve.h"

static weir_err err;

static void ok(weir_status status) {
    if (status) fail_msg("%s", err.message);
}

static const cJSON *at(const cJSON *json, const char *path) {
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part; json && (part = strsep(&rest, "/"));)
        json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(part)) : cJSON_GetObjectItemCaseSensitive(json, part);
    return json;
}

static const char *text(const cJSON *json, const char *path) {
    const char *found = cJSON_GetStringValue(at(json, path));
    return found ? found : "(none)";
}

static double number(const cJSON *json, const char *path) {
    return cJSON_IsNumber(at(json, path)) ? at(json, path)->valuedouble : -1;
}

static void start(const char *experiment, weir_run *ret_run, weir_track **ret_track) {
    ok(weir_track_start(pg, "p", experiment, "m", NULL, ret_run, &err));
    ok(weir_track_new(ret_run->id, ret_track, &err));
}

static cJSON *read_run(const weir_run *run) {
    cJSON *json = NULL;
    ok(weir_track_read(pg, run->id, &json, &err));
    return json;
}

static void what_is_logged_is_read_back(void **state) {
    (void)state;
    weir_run run;
    weir_track *track;
    cJSON *params = cJSON_Parse("{\"depth\": 3, \"deep\": {\"eta\": 0.1, \"list\": [1, 2]}, \"on\": true, \"name\": \"it's \\\"so\\\"\"}"),
          *metrics = cJSON_Parse("{\"f1\": 0.8951234567890123, \"auc\": null, \"note\": \"passed over\"}");
    start("/maritime_fleet_guardian/acme/eta", &run, &track);
    ok(weir_track_params(track, "model", params, &err));
    ok(weir_track_metrics(track, NULL, metrics, &err));
    ok(weir_track_tag(track, "git", "abc", &err));
    ok(weir_track_artifact(track, "report", "reports/r.html", NULL, 12, &err));
    const weir_track_dataset d = {.context = "train", .space = "p", .name = "set", .version = 7, .query = "SELECT 1", .digest = "dd", .rows = 5};
    ok(weir_track_dataset_add(track, &d, &err));
    ok(weir_track_flush(track, pg, &err));
    ok(weir_run_update(pg, run.id, "succeeded", NULL, &err));
    cJSON *json = read_run(&run);
    assert_string_equal(text(json, "experiment"), "/maritime_fleet_guardian/acme/eta");
    assert_string_equal(text(json, "model"), "m");
    assert_string_equal(text(json, "status"), "succeeded");
    assert_string_equal(text(json, "params/model.depth"), "3");
    assert_string_equal(text(json, "params/model.deep.eta"), "0.1");
    assert_string_equal(text(json, "params/model.deep.list"), "[1,2]");
    assert_string_equal(text(json, "params/model.on"), "true");
    assert_string_equal(text(json, "params/model.name"), "it's \"so\"");
    assert_true(number(json, "metrics/f1") == 0.8951234567890123);
    assert_true(cJSON_IsNull(at(json, "metrics/auc")) && !at(json, "metrics/note"));
    assert_string_equal(text(json, "tags/git"), "abc");
    assert_string_equal(text(json, "artifacts/0/path"), "reports/r.html");
    assert_true(number(json, "artifacts/0/bytes") == 12);
    assert_string_equal(text(json, "datasets/0/name"), "p.set");
    assert_string_equal(text(json, "datasets/0/query"), "SELECT 1");
    assert_true(number(json, "datasets/0/version") == 7 && number(json, "datasets/0/rows") == 5);
    assert_true(number(json, "ended_us") >= number(json, "started_us") && number(json, "started_us") > 1.5e15);
    cJSON_Delete(json);
    cJSON_Delete(params);
    cJSON_Delete(metrics);
    weir_track_free(track);
}

static void a_metric_has_its_steps_and_the_last_one_is_its_value(void **state) {
    (void)state;
    weir_run run;
    weir_track *track;
    start("/e", &run, &track);
    for (int step = 0; step < 500; step++) ok(weir_track_metric(track, "loss", step, 1.0 / (step + 1), &err));
    ok(weir_track_flush(track, pg, &err));
    ok(weir_track_metric(track, "loss", 900, 0.25, &err));
    ok(weir_track_metric(track, "loss", 900, 0.125, &err)); /* the later one counts */
    ok(weir_track_metric(track, "loss", 600, 7, &err)); /* late: not the last step */
    ok(weir_track_metric(track, "loss", 700, NAN, &err));
    ok(weir_track_flush(track, pg, &err));
    ok(weir_track_flush(track, pg, &err)); /* nothing to write */
    cJSON *json = read_run(&run);
    assert_int_equal(cJSON_GetArraySize(at(json, "steps")), 503);
    assert_true(number(json, "steps/499/value") == 1.0 / 500 && number(json, "steps/499/step") == 499);
    assert_true(number(json, "steps/500/step") == 600 && cJSON_IsNull(at(json, "steps/501/value")));
    assert_true(number(json, "metrics/loss") == 0.125);
    cJSON_Delete(json);
    assert_int_equal(weir_track_metric(track, "loss", -1, 0, &err), WEIR_EINVAL);
    weir_track_free(track);
}

static void logging_again_changes_nothing(void **state) {
    (void)state;
    weir_run run;
    weir_track *track;
    char *seen[2];
    start("/e", &run, &track);
    for (int round = 0; round < 2; round++) {
        const weir_track_dataset d = {.context = "train", .space = "again", .name = "set", .version = WEIR_DATASET_BY_DIGEST, .digest = "dd", .rows = 5};
        ok(weir_track_param(track, "a", "1", &err));
        ok(weir_track_metric(track, "f1", 0, 0.5, &err));
        ok(weir_track_tag(track, "t", "x", &err));
        ok(weir_track_artifact(track, "model", "models/m", "dd", -1, &err));
        ok(weir_track_dataset_add(track, &d, &err));
        ok(weir_track_flush(track, pg, &err));
        cJSON *json = read_run(&run); /* times of steps included */
        seen[round] = cJSON_Print(json);
        cJSON_Delete(json);
    }
    assert_string_equal(seen[0], seen[1]);
    free(seen[0]);
    free(seen[1]);
    ok(weir_track_attach(pg, run.id, "/other", NULL, &err));
    cJSON *json = read_run(&run);
    assert_string_equal(text(json, "experiment"), "/e");
    cJSON_Delete(json);
    weir_track_free(track);
}

static double version_of_set(const char *digest) {
    weir_run run;
    weir_track *track;
    start("/e", &run, &track);
    const weir_track_dataset d = {.context = "test", .space = "numbered", .name = "set", .version = WEIR_DATASET_BY_DIGEST, .digest = digest};
    ok(weir_track_dataset_add(track, &d, &err));
    ok(weir_track_flush(track, pg, &err));
    weir_track_free(track);
    cJSON *json = read_run(&run);
    double version = number(json, "datasets/0/version");
    cJSON_Delete(json);
    return version;
}

static void data_sets_are_numbered_by_their_rows(void **state) {
    (void)state;
    assert_true(version_of_set("x") == 1 && version_of_set("y") == 2 && version_of_set("x") == 1 && version_of_set("z") == 3);
}

static void all_of_a_log_is_written_or_nothing(void **state) {
    (void)state;
    weir_run run;
    weir_track *track;
    start("/e", &run, &track);
    ok(weir_track_param(track, "a", "1", &err));
    const weir_track_dataset d = {.context = "nonsense", .space = "p", .name = "set", .digest = "d"};
    ok(weir_track_dataset_add(track, &d, &err));
    assert_int_not_equal(weir_track_flush(track, pg, &err), WEIR_OK);
    cJSON *json = read_run(&run);
    assert_int_equal(cJSON_GetArraySize(at(json, "params")), 0);
    cJSON_Delete(json);
    weir_track_free(track);
    ok(weir_track_new("run-of-nobody", &track, &err));
    ok(weir_track_param(track, "a", "1", &err));
    assert_int_not_equal(weir_track_flush(track, pg, &err), WEIR_OK);
    weir_track_free(track);
    cJSON *none = NULL;
    assert_int_equal(weir_track_read(pg, "run-of-nobody", &none, &err), WEIR_ENOTFOUND);
}

static void names_that_cannot_be_are_refused(void **state) {
    (void)state;
    weir_run run;
    weir_track *track;
    char longest[WEIR_TRACK_NAME_MAX + 2];
    start("/e", &run, &track);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(weir_track_param(track, longest, "1", &err), WEIR_EINVAL);
    ok(weir_track_param(track, longest + 1, "1", &err));
    assert_int_equal(weir_track_tag(track, "", "1", &err), WEIR_EINVAL);
    assert_int_equal(weir_track_attach(pg, run.id, "", NULL, &err), WEIR_EINVAL);
    weir_track_free(track);
}

static void a_pipeline_run_logs_what_its_detail_tells(void **state) {
    (void)state;
    weir_run run;
    int version = 0;
    cJSON *request = cJSON_Parse("{\"request_id\": \"r1\", \"reason\": \"drift\"}"),
          *lineage = cJSON_Parse("{\"params\": {\"max_depth\": 6}, \"seed\": 42, \"preprocessing\": [{\"impute\": 1}]}"),
          *detail = cJSON_Parse(
              "{\"window\": {\"train_from\": \"2024-01-01\"}, \"dataset_seconds\": 1.5, \"dataset\": {\"query\": \"q\", \"digest\": \"d1\", \"rows\": 100},"
              " \"test_dataset\": {\"query\": \"q2\", \"digest\": \"d2\", \"rows\": 20}, \"versions\": [{\"name\": \"fraud-xgb\", \"version\": 1,"
              " \"digest\": \"aa\", \"artifact_path\": \"models/x\", \"fit_seconds\": 2, \"metrics\": {\"auc_roc\": 0.9, \"f1\": null}}]}");
    ok(weir_run_start(pg, "fraud", request, &run, &err));
    const weir_version_new v = {
        .pipeline = "fraud", .model = "fraud-xgb", .algorithm = "xgboost", .run_id = run.id, .digest = "aa", .artifact_path = "models/x", .lineage = lineage};
    ok(weir_version_register(pg, &v, &version, &err));
    for (int round = 0; round < 2; round++) ok(weir_track_pipeline_run(pg, "fraud", run.id, NULL, request, detail, &err));
    cJSON *json = read_run(&run);
    assert_string_equal(text(json, "experiment"), "/fraud/training");
    assert_string_equal(text(json, "params/fraud-xgb.max_depth"), "6");
    assert_string_equal(text(json, "params/fraud-xgb.algorithm"), "xgboost");
    assert_string_equal(text(json, "params/fraud-xgb.seed"), "42");
    assert_string_equal(text(json, "params/fraud-xgb.preprocessing"), "[{\"impute\":1}]");
    assert_string_equal(text(json, "params/window.train_from"), "2024-01-01");
    assert_string_equal(text(json, "tags/reason"), "drift");
    assert_true(number(json, "metrics/fraud-xgb.auc_roc") == 0.9 && number(json, "metrics/dataset_seconds") == 1.5 &&
                number(json, "metrics/fraud-xgb.fit_seconds") == 2);
    assert_true(cJSON_IsNull(at(json, "metrics/fraud-xgb.f1")));
    assert_string_equal(text(json, "datasets/0/name"), "fraud.training_set");
    assert_string_equal(text(json, "datasets/1/query"), "q2");
    assert_string_equal(text(json, "artifacts/0/path"), "models/x");
    assert_string_equal(text(json, "versions/0/semver"), "1.0.0");
    cJSON_Delete(json);
    /* What a run logged goes with it, as `weir reset` deletes runs. */
    const char *id = run.id;
    ok(weir_pg_exec(pg, "DELETE FROM weir.model_versions WHERE run_id = $1", 1, &id, NULL, &err));
    ok(weir_pg_exec(pg, "DELETE FROM weir.runs WHERE id = $1", 1, &id, NULL, &err));
    cJSON_Delete(request);
    cJSON_Delete(lineage);
    cJSON_Delete(detail);
}

static void memory_that_runs_out_is_said(void **state) {
    (void)state;
    weir_allocator usual = weir_mem;
    weir_track *track = NULL;
    allocations_left = 0;
    weir_mem.realloc = failing_realloc;
    weir_status status = weir_track_new("run", &track, &err);
    weir_mem = usual;
    assert_int_equal(status, WEIR_ENOMEM);
    assert_null(track);
}

static int make_database(void **state) {
    (void)state;
    return make_database_named("tracking");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_logged_is_read_back),
        cmocka_unit_test(a_metric_has_its_steps_and_the_last_one_is_its_value),
        cmocka_unit_test(logging_again_changes_nothing),
        cmocka_unit_test(data_sets_are_numbered_by_their_rows),
        cmocka_unit_test(all_of_a_log_is_written_or_nothing),
        cmocka_unit_test(names_that_cannot_be_are_refused),
        cmocka_unit_test(a_pipeline_run_logs_what_its_detail_tells),
        cmocka_unit_test(memory_that_runs_out_is_said),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_database, drop_database);
}
