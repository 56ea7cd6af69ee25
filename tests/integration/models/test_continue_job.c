/* A version that goes on learning, on a real PostgreSQL: which rows it learns, what is registered and logged, what is refused, and memory that runs out anywhere. WEIR_PG_URL names a server
 * where this test may make a database of its own. Skipped without. The same through the program, with the fraud simulator, is test_continue.py. */
#include "payments.h"

#include "models/continue_job.h"
#include "models/tracking.h"
#include "models/training.h"
#include "tests/unit/starve.h"

#define TRAINING_OF(columns)                                                                                                                                   \
    "{\"task\": \"binary\", \"target\": \"fraud\", \"columns\": [" columns "],"                                                                                \
    " \"split\": {\"train\": \"4d\", \"delay\": \"2d\", \"test\": \"2d\", \"exclude_known\": false}, \"seed\": 1, \"champion\": \"online\","                   \
    " \"preprocessing\": [{\"scale\": \"standard\"}], \"candidates\": [{\"name\": \"online\", \"algorithm\": \"sgd\"}, {\"name\": \"flat\", \"algorithm\": "   \
    "\"logistic\"}]}"
#define TRAINING TRAINING_OF("\"amount\", \"customer_tx_count_1d\"")

static weir_recipe recipe;
static char folder[] = "/tmp/weir-continue-XXXXXX";

static weir_continue_job job_of(const char *version) {
    return (weir_continue_job){.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .version = version, .as_of_us = INT64_MAX};
}

static const cJSON *at(const cJSON *json, const char *outer, const char *inner) {
    return cJSON_GetObjectItem(cJSON_GetObjectItem(json, outer), inner);
}

static void expect_text(const cJSON *json, const char *outer, const char *inner, const char *expected) {
    const char *found = cJSON_GetStringValue(at(json, outer, inner));
    assert_string_equal(found ? found : "(none)", expected);
}

static cJSON *go_on(const weir_continue_job *job) {
    cJSON *detail = NULL;
    ok(weir_continue_job_run(job, &detail, &err));
    return detail;
}

/* Fits both candidates on the first four days. */
static void train(void) {
    weir_run run;
    cJSON *detail = cJSON_CreateObject();
    weir_training t = {.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .as_of_us = INT64_MAX};
    ok(weir_run_start(pg, pipeline->name, NULL, &run, &err));
    t.run_id = run.id;
    ok(weir_training_window(pipeline, &recipe, url, T0, &t.window, &err));
    ok(weir_training_fit(&t, pg, detail, &err));
    ok(weir_run_update(pg, run.id, "succeeded", detail, &err));
    cJSON_Delete(detail);
}

/* The labels of the twelfth day came on the fourteenth, whose end is not known: so far the days 5 to 11 can be learnt. */
static void it_learns_the_days_that_are_labelled_and_no_others(void **state) {
    (void)state;
    weir_continue_job job = job_of("champion");
    cJSON *detail = go_on(&job);
    expect_text(detail, "continues", "model", "online");
    expect_text(detail, "continues", "from", "2024-03-05T00:00:00.000000Z");
    expect_text(detail, "continues", "to", "2024-03-12T00:00:00.000000Z");
    expect_text(detail, "continues", "as_of", "2024-03-14T00:00:00.000000Z");
    assert_true(cJSON_GetNumberValue(at(detail, "continues", "rows")) == 7 * ROWS_A_DAY && cJSON_GetNumberValue(at(detail, "continues", "days")) == 7);
    assert_true(cJSON_GetNumberValue(at(detail, "prequential", "rows")) == 7 * ROWS_A_DAY);
    expect_text(detail, "window", "train_from", "2024-03-01T00:00:00.000000Z");
    cJSON *run = NULL;
    ok(weir_track_read(pg, cJSON_GetStringValue(cJSON_GetObjectItem(detail, "run")), &run, &err));
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(run, "status")), "succeeded");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(run, "experiment")), "/fraud/training");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(run, "model")), "online");
    expect_text(run, "params", "continues.version", "1");
    expect_text(run, "params", "continues.rows", "420");
    assert_true(cJSON_IsNumber(at(run, "metrics", "prequential.auc_roc")) && cJSON_IsNumber(at(run, "metrics", "online.auc_roc")));
    cJSON_Delete(run);
    cJSON_Delete(detail);
}

static void a_second_time_there_is_nothing_new(void **state) {
    (void)state;
    weir_continue_job job = job_of("champion"); /* still the first version */
    int versions = count_of("SELECT count(*) FROM weir.model_versions"), runs = count_of("SELECT count(*) FROM weir.runs");
    cJSON *detail = go_on(&job);
    assert_non_null(strstr(cJSON_GetStringValue(cJSON_GetObjectItem(detail, "nothing_new")), "nothing new for version 2 of online"));
    assert_null(cJSON_GetObjectItem(detail, "versions"));
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions"), versions);
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs"), runs);
    cJSON_Delete(detail);
}

/* By hand: version 2 is deleted, so version 1 goes on again. With what was known on the 10th at noon, the labels of the 8th are not all there. */
static void what_became_known_later_is_not_learnt(void **state) {
    (void)state;
    weir_continue_job job = job_of("online:1");
    weir_artifact_fate fate;
    ok(weir_version_delete(pg, folder, pipeline->name, "online", 2, "test", "test", &fate, &err));
    job.as_of_us = T0 + 9 * WEIR_DAY_US + WEIR_DAY_US / 2;
    cJSON *detail = go_on(&job);
    expect_text(detail, "continues", "to", "2024-03-08T00:00:00.000000Z");
    assert_true(cJSON_GetNumberValue(at(detail, "continues", "rows")) == 3 * ROWS_A_DAY);
    cJSON_Delete(detail);
    job.as_of_us = T0 + 7 * WEIR_DAY_US; /* before that */
    detail = go_on(&job);
    assert_non_null(strstr(cJSON_GetStringValue(cJSON_GetObjectItem(detail, "nothing_new")), "as of 2024-03-08T00:00:00.000000Z"));
    cJSON_Delete(detail);
}

/* A day without all of its labels is waited for until the missing ones are a day overdue. */
static void a_day_that_lacks_a_label_is_waited_for(void **state) {
    (void)state;
    weir_continue_job job = job_of("online:1");
    /* of the eleventh day */
    const char *const hide =
        "CREATE TABLE hidden AS SELECT * FROM \"fraud\".labels WHERE transaction_id = 'tx650'; DELETE FROM \"fraud\".labels WHERE transaction_id = 'tx650'";
    const char *const show = "INSERT INTO \"fraud\".labels SELECT * FROM hidden; DROP TABLE hidden";
    ok(weir_pg_script(pg, hide, &err));
    cJSON *detail = go_on(&job);
    expect_text(detail, "continues", "to", "2024-03-11T00:00:00.000000Z");
    cJSON_Delete(detail);
    ok(weir_pg_script(pg, show, &err));
    detail = go_on(&job);
    expect_text(detail, "continues", "from", "2024-03-11T00:00:00.000000Z");
    expect_text(detail, "continues", "to", "2024-03-12T00:00:00.000000Z");
    cJSON_Delete(detail);
}

static void expect_refusal(const weir_continue_job *job, const char *part) {
    cJSON *detail = NULL;
    assert_int_equal(weir_continue_job_run(job, &detail, &err), WEIR_EINVAL);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_null(detail);
}

static void what_cannot_go_on_is_refused(void **state) {
    (void)state;
    int runs = count_of("SELECT count(*) FROM weir.runs");
    weir_continue_job job = job_of("flat:1");
    expect_refusal(&job, "version 1 of flat: algorithm logistic cannot go on learning; those that can are sgd, ftrl, hoeffding_tree");
    job.version = "1";
    expect_refusal(&job, "of which model is it the version? Say MODEL:1 with one of ");
    job.version = "online:77";
    expect_refusal(&job, "77");
    job.version = "none:1";
    expect_refusal(&job, "none");
    job.version = "online:1";
    ok(weir_pg_script(pg, "UPDATE weir.model_versions SET lineage = jsonb_set(lineage, '{request}', '{\"kind\": \"tenants\"}') WHERE model = 'online'", &err));
    expect_refusal(&job, "made to compare tenants");
    ok(weir_pg_script(pg, "UPDATE weir.model_versions SET lineage = jsonb_set(lineage, '{request}', '{\"use_case\": \"other\"}') WHERE model = 'online'",
                      &err));
    expect_refusal(&job, "--use-case");
    ok(weir_pg_script(pg, "UPDATE weir.model_versions SET lineage = lineage - 'request' - 'window' WHERE model = 'online'", &err));
    expect_refusal(&job, "does not say where its training data ends");
    ok(weir_pg_script(pg, "UPDATE weir.model_versions SET feature_hash = 'other' WHERE model = 'online'", &err));
    expect_refusal(&job, "other features");
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs"), runs);
}

static void begin_anew(void) {
    ok(weir_pg_script(pg, "DELETE FROM weir.alias_history; DELETE FROM weir.aliases; DELETE FROM weir.model_versions; DELETE FROM weir.runs", &err));
    train();
}

static void stop_at_the_second_day(void *context, const char *step) {
    *(_Atomic bool *)context = !strcmp(step, "day 2 of 7");
}

static void it_stops_between_days_and_registers_nothing(void **state) {
    (void)state;
    _Atomic bool cancel = false;
    cJSON *detail = NULL;
    begin_anew();
    weir_continue_job job = job_of("online:latest");
    job.cancel = &cancel;
    job.tell = stop_at_the_second_day;
    job.context = &cancel;
    assert_int_equal(weir_continue_job_run(&job, &detail, &err), WEIR_ETIMEOUT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions WHERE model = 'online'"), 1);
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs WHERE status = 'failed' AND detail->>'error' LIKE '%asked to stop after 1 of 7 days%'"), 1);
}

static void a_run_that_is_the_callers_is_left_to_it(void **state) {
    (void)state;
    weir_run run;
    ok(weir_run_start(pg, pipeline->name, NULL, &run, &err));
    weir_continue_job job = job_of("champion");
    job.run_id = run.id;
    cJSON *detail = go_on(&job);
    assert_null(cJSON_GetObjectItem(detail, "run"));
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs WHERE status = 'running'"), 1);
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions v JOIN weir.runs r ON r.id = v.run_id WHERE v.version = 2 AND r.status = 'running'"),
                     1);
    ok(weir_run_update(pg, run.id, "succeeded", detail, &err));
    cJSON_Delete(detail);
}

/* Until it works: an error each time, no run is left as if it went on, and in the end there is the one version. */
static void memory_that_runs_out_anywhere_is_an_error(void **state) {
    (void)state;
    const weir_continue_job job = job_of("online:1");
    weir_allocator usual = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0, largest = 0;
    begin_anew();
    for (int n = 0; status; n += 1 + n / 12, tries++) {
        cJSON *detail = NULL;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_continue_job_run(&job, &detail, &err);
        weir_mem = usual;
        if (status && status != WEIR_ENOMEM) fail_msg("after %d allocations: %d, %s", n, status, err.message);
        assert_true((status == WEIR_OK) == (detail != NULL));
        cJSON_Delete(detail);
        largest = n;
    }
    print_message("%d tries, the last with %d allocations\n", tries, largest);
    assert_true(tries > 30);
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs WHERE status NOT IN ('succeeded', 'failed')"), 0);
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions WHERE model = 'online'"), 2);
}

static int make_all(void **state) {
    (void)state;
    if (make_database_named("continue") || !mkdtemp(folder)) return 1;
    pipeline = make_pipeline(TRAINING);
    write_payments();
    ok(weir_recipe_load(pipeline, &recipe, &err));
    train();
    return 0;
}

static int drop_all(void **state) {
    char command[128];
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return drop_database(state) || system(command) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_the_days_that_are_labelled_and_no_others),
        cmocka_unit_test(a_second_time_there_is_nothing_new),
        cmocka_unit_test(what_became_known_later_is_not_learnt),
        cmocka_unit_test(a_day_that_lacks_a_label_is_waited_for),
        cmocka_unit_test(what_cannot_go_on_is_refused),
        cmocka_unit_test(it_stops_between_days_and_registers_nothing),
        cmocka_unit_test(a_run_that_is_the_callers_is_left_to_it),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_an_error),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
