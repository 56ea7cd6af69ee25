/* Runs made again from their records: one that fitted candidates and one in which a version went on learning; what is refused, what differs, memory that runs out, and the graph of a version
 * that went on. WEIR_PG_URL names a server where this test may make a database of its own. Skipped without. */
#include "payments.h"

#include "models/continue_job.h"
#include "models/lineage.h"
#include "models/reproduce.h"
#include "models/training.h"
#include "tests/unit/starve.h"

#define TRAINING                                                                                                                                               \
    "{\"task\": \"binary\", \"target\": \"fraud\", \"columns\": [\"amount\", \"customer_tx_count_1d\"],"                                                       \
    " \"split\": {\"train\": \"4d\", \"delay\": \"2d\", \"test\": \"2d\", \"exclude_known\": false}, \"seed\": 1, \"champion\": \"online\","                   \
    " \"preprocessing\": [{\"scale\": \"standard\"}], \"candidates\": [{\"name\": \"online\", \"algorithm\": \"sgd\"}, {\"name\": \"forest\", \"algorithm\": " \
    "\"random_forest\", \"params\": {\"trees\": 5}}, {\"name\": \"stack\", \"ensemble\": \"stacking\", \"folds\": 3, \"members\": ["                           \
    "{\"algorithm\": \"logistic\"}, {\"algorithm\": \"sgd\"}]}]}"

static char folder[] = "/tmp/weir-reproduce-XXXXXX", fitted[40], continued[40];

static cJSON *reproduce(const char *run) {
    cJSON *report = NULL;
    ok(weir_reproduce(url, folder, pipeline, run, &report, &err));
    return report;
}

static void expect_equal(const char *run, int versions) {
    cJSON *report = reproduce(run), *v;
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(report, "equal")) && cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(report, "dataset"), "equal")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(report, "versions")), versions);
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(report, "versions"))
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(v, "recorded")), cJSON_GetStringValue(cJSON_GetObjectItem(v, "again")));
    cJSON_Delete(report);
}

static int make_all(void **state) {
    (void)state;
    weir_recipe recipe;
    weir_run run;
    cJSON *detail = cJSON_CreateObject();
    if (make_database_named("reproduce") || !mkdtemp(folder)) return 1;
    pipeline = make_pipeline(TRAINING);
    write_payments();
    ok(weir_recipe_load(pipeline, &recipe, &err));
    weir_training t = {.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .as_of_us = INT64_MAX};
    ok(weir_run_start(pg, pipeline->name, NULL, &run, &err));
    t.run_id = run.id;
    ok(weir_training_window(pipeline, &recipe, url, T0, &t.window, &err));
    ok(weir_training_fit(&t, pg, detail, &err));
    ok(weir_run_update(pg, run.id, "succeeded", detail, &err));
    cJSON_Delete(detail);
    strcpy(fitted, run.id);
    const weir_continue_job job = {.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .version = "champion", .as_of_us = INT64_MAX};
    ok(weir_continue_job_run(&job, &detail, &err));
    snprintf(continued, sizeof continued, "%s", cJSON_GetStringValue(cJSON_GetObjectItem(detail, "run")));
    cJSON_Delete(detail);
    weir_recipe_done(&recipe);
    return 0;
}

static int drop_all(void **state) {
    char command[128];
    weir_pipeline_free(pipeline);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return drop_database(state) || system(command) != 0;
}

static void a_run_gives_the_same_digests_again(void **state) {
    (void)state;
    int versions = count_of("SELECT count(*) FROM weir.model_versions"), told = count_of("SELECT count(*) FROM weir.audit_log");
    expect_equal(fitted, 3);
    expect_equal(continued, 1);
    assert_true(count_of("SELECT count(*) FROM weir.model_versions") == versions &&
                count_of("SELECT count(*) FROM weir.audit_log") == told); /* nothing is written */
}

static void other_rows_and_other_definitions_are_noticed(void **state) {
    (void)state;
    ok(weir_pg_script(pg, "UPDATE fraud.features_customer SET record_amount = record_amount + 1 WHERE source_offset = 10", &err));
    cJSON *report = reproduce(fitted);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(report, "equal")) && cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetObjectItem(report, "dataset"), "equal")));
    cJSON_Delete(report);
    ok(weir_pg_script(pg, "UPDATE fraud.features_customer SET record_amount = record_amount - 1 WHERE source_offset = 10", &err));
    char *hash = pipeline->feature_hash;
    pipeline->feature_hash = (char[]){"of other definitions"};
    report = reproduce(fitted);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(report, "equal")) && cJSON_IsString(cJSON_GetObjectItem(report, "why")));
    cJSON_Delete(report);
    pipeline->feature_hash = hash;
}

static void runs_that_cannot_be_made_again_are_refused(void **state) {
    (void)state;
    weir_run run;
    cJSON *report = NULL, *detail = cJSON_Parse("{\"versions\": [{\"name\": \"online\", \"version\": 1}]}");
    assert_int_equal(weir_reproduce(url, folder, pipeline, "run-that-never-was", &report, &err), WEIR_ENOTFOUND);
    ok(weir_run_start(pg, pipeline->name, NULL, &run, &err));
    assert_int_equal(weir_reproduce(url, folder, pipeline, run.id, &report, &err), WEIR_ENOTFOUND); /* made nothing */
    ok(weir_run_update(pg, run.id, "succeeded", detail, &err));
    assert_int_equal(weir_reproduce(url, folder, pipeline, run.id, &report, &err), WEIR_ENOTFOUND); /* has no window */
    assert_null(report);
    cJSON_Delete(detail);
}

static void the_graph_of_a_version_that_went_on_has_the_one_before(void **state) {
    (void)state;
    const weir_lineage_query query = {.run = continued};
    cJSON *graph = NULL, *item;
    int versions = 0, runs = 0, back = 0;
    ok(weir_lineage_read(pg, pipeline, &query, &graph, &err));
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(graph, "nodes")) {
        versions += !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "kind")), "version");
        runs += !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "kind")), "run");
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(graph, "edges")) back +=
        !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "from")), "version:online/1") &&
        strstr(cJSON_GetStringValue(cJSON_GetObjectItem(item, "to")), continued);
    assert_true(versions == 2 && runs == 2 && back == 1);
    cJSON_Delete(graph);
}

/* What keeps one version from being made again is told of it, so that memory that runs out may also be an answer that is no. */
static void memory_that_runs_out_is_said(void **state) {
    (void)state;
    weir_allocator before = weir_mem;
    bool equal = false;
    for (int n = 0; !equal; n = n < 400 ? n + 7 : n * 2) {
        cJSON *report = NULL;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_reproduce(url, folder, pipeline, continued, &report, &err);
        weir_mem = before;
        if (status && status != WEIR_ENOMEM) fail_msg("allocation %d: %s", n, err.message);
        equal = !status && cJSON_IsTrue(cJSON_GetObjectItem(report, "equal"));
        cJSON_Delete(report);
        assert_true(n < 1 << 24);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_gives_the_same_digests_again),
        cmocka_unit_test(other_rows_and_other_definitions_are_noticed),
        cmocka_unit_test(runs_that_cannot_be_made_again_are_refused),
        cmocka_unit_test(the_graph_of_a_version_that_went_on_has_the_one_before),
        cmocka_unit_test(memory_that_runs_out_is_said),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
