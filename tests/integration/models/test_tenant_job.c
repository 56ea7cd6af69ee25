/* One model for all tenants and one for each, on a real PostgreSQL: what is registered and logged, what a tenant without a model leaves, and memory that runs out anywhere. WEIR_PG_URL names a
 * server where this test may make a database of its own. Skipped without. */
#include "payments.h"

#include "models/tenant_job.h"
#include "tests/unit/starve.h"

#define TRAINING                                                                                                                                               \
    "{\"task\": \"binary\", \"target\": \"fraud\", \"columns\": [\"amount\", \"customer_tx_count_1d\"],"                                                       \
    " \"split\": {\"train\": \"6d\", \"delay\": \"2d\", \"test\": \"2d\", \"exclude_known\": false}, \"seed\": 1, \"experiment\": "                            \
    "\"/{pipeline}/{tenant}/{use_case}\","                                                                                                                     \
    " \"validation\": {\"scheme\": \"k_fold\", \"folds\": 3}, \"candidates\": [{\"name\": \"flat\", \"algorithm\": \"logistic\"}]}"

static weir_recipe recipe;
static char folder[] = "/tmp/weir-tenants-XXXXXX";

static weir_tenant_job job_of(void) {
    return (weir_tenant_job){.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .train_from_us = T0, .as_of_us = INT64_MAX};
}

static const cJSON *model_of(const cJSON *json, const char *tenant) {
    const cJSON *model;
    cJSON_ArrayForEach(model,
                       cJSON_GetObjectItem(json, "models")) if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(model, "tenant")), tenant)) return model;
    fail_msg("tenant %s has no model", tenant);
    return NULL;
}

static double number(const cJSON *json, const char *name) {
    return cJSON_GetNumberValue(cJSON_GetObjectItem(json, name));
}

static void every_tenant_and_all_of_them_have_a_model_and_a_run(void **state) {
    (void)state;
    const weir_tenant_job job = job_of();
    cJSON *json = NULL;
    weir_buf text = {0};
    ok(weir_tenant_job_run(&job, &json, &text, &err));
    const cJSON *all = model_of(json, "all"), *one = model_of(json, "acme"), *other = model_of(json, "o'hara");
    assert_true(number(all, "rows") == 6 * ROWS_A_DAY && number(one, "rows") == 3 * ROWS_A_DAY && number(other, "rows") == 3 * ROWS_A_DAY);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(other, "model")), "fraud-default-o~27hara");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(one, "experiment")), "/fraud/acme/default");
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs WHERE status = 'succeeded'"), 3);
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions"), 3);
    assert_int_equal(count_of("SELECT count(DISTINCT experiment) FROM weir.experiment_runs"), 3);
    assert_int_equal(count_of("SELECT count(*) FROM weir.run_tags WHERE name = 'training_mode' AND value = 'tenant'"), 2);
    assert_non_null(memmem(text.data, text.len, "fraud-default-acme", 18));
    cJSON_Delete(json);
    weir_buf_done(&text);
}

/* Until it works: an error each time, nothing half made is handed out, and no run is left as if it went on. */
static void memory_that_runs_out_anywhere_is_an_error(void **state) {
    (void)state;
    const weir_tenant_job job = job_of();
    weir_allocator usual = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0, largest = 0;
    for (int n = 0; status; n += 1 + n / 12, tries++) {
        cJSON *json = NULL;
        weir_buf text = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_tenant_job_run(&job, &json, &text, &err);
        weir_mem = usual;
        if (status && status != WEIR_ENOMEM) fail_msg("after %d allocations: %d, %s", n, status, err.message);
        assert_true((status == WEIR_OK) == (json != NULL));
        cJSON_Delete(json);
        weir_buf_done(&text);
        largest = n;
    }
    print_message("%d tries, the last with %d allocations\n", tries, largest);
    assert_true(tries > 30);
    assert_int_equal(count_of("SELECT count(*) FROM weir.runs WHERE status NOT IN ('succeeded', 'failed')"), 0);
    assert_int_equal(count_of("SELECT count(*) FROM weir.model_versions"), 3); /* the same rows: the same versions */
}

static void a_candidate_that_is_not_there_is_wrong_use(void **state) {
    (void)state;
    weir_tenant_job job = job_of();
    cJSON *json = NULL;
    weir_buf text = {0};
    job.candidate = "none";
    assert_int_equal(weir_tenant_job_run(&job, &json, &text, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "has no candidate 'none'; there are flat"));
    assert_null(json);
}

static void it_stops_when_it_is_asked_to(void **state) {
    (void)state;
    _Atomic bool cancel = true;
    weir_tenant_job job = job_of();
    cJSON *json = NULL;
    weir_buf text = {0};
    job.cancel = &cancel;
    assert_int_equal(weir_tenant_job_run(&job, &json, &text, &err), WEIR_ETIMEOUT);
    assert_null(json);
    weir_buf_done(&text);
}

static int make_all(void **state) {
    (void)state;
    if (make_database_named("tenants") || !mkdtemp(folder)) return 1;
    pipeline = make_pipeline(TRAINING);
    write_payments();
    ok(weir_recipe_load(pipeline, &recipe, &err));
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
        cmocka_unit_test(every_tenant_and_all_of_them_have_a_model_and_a_run),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_an_error),
        cmocka_unit_test(a_candidate_that_is_not_there_is_wrong_use),
        cmocka_unit_test(it_stops_when_it_is_asked_to),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
