/* Runs that nobody chose the days of, on a pipeline with one candidate: which days they learn, and that its later versions challenge the one that serves. WEIR_PG_URL names a server where
 * this test may make a database of its own. Skipped without. */
#include "payments.h"

#include "models/training.h"

#define TRAINING                                                                                                                                               \
    "{\"task\": \"binary\", \"target\": \"fraud\", \"columns\": [\"amount\", \"customer_tx_count_1d\"],"                                                       \
    " \"split\": {\"train\": \"4d\", \"delay\": \"2d\", \"test\": \"2d\", \"exclude_known\": false}, \"seed\": 1, \"champion\": \"line\","                     \
    " \"challenger\": \"line\", \"candidates\": [{\"name\": \"line\", \"algorithm\": \"logistic\"}]}"

static char folder[] = "/tmp/weir-newest-XXXXXX";
static weir_recipe recipe;

static int make_all(void **state) {
    (void)state;
    if (make_database_named("newest") || !mkdtemp(folder)) return 1;
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

/* Payments of 12 days, whose labels come two days later: those of 11 whole days are known. */
static void the_newest_days_are_those_with_labels_and_are_tested_on_days_to_come(void **state) {
    (void)state;
    weir_training_periods tested, newest;
    ok(weir_training_window(pipeline, &recipe, url, INT64_MIN, &tested, &err));
    assert_int_equal(tested.train_from_us, T0 + 3 * WEIR_DAY_US);
    assert_int_equal(tested.test_to_us, T0 + 11 * WEIR_DAY_US);
    ok(weir_training_window_newest(pipeline, &recipe, url, &newest, &err));
    assert_int_equal(newest.train_from_us, T0 + 7 * WEIR_DAY_US);
    assert_int_equal(newest.train_to_us, T0 + 11 * WEIR_DAY_US);
    assert_int_equal(newest.deploy_us, T0 + 13 * WEIR_DAY_US);
    assert_int_equal(newest.test_to_us, T0 + 15 * WEIR_DAY_US);
}

static void without_data_there_is_no_window(void **state) {
    (void)state;
    weir_training_periods window;
    weir_pipeline *other = make_pipeline(TRAINING);
    char *name = other->name;
    other->name = (char[]){"nobodys"};
    assert_int_equal(weir_training_window_newest(other, &recipe, url, &window, &err), WEIR_ENOTFOUND);
    other->name = name;
    weir_pipeline_free(other);
}

static void fit(int from_day) {
    weir_run run;
    cJSON *detail = cJSON_CreateObject();
    weir_training t = {.pipeline = pipeline, .recipe = &recipe, .pg_url = url, .objects_dir = folder, .as_of_us = INT64_MAX};
    ok(weir_run_start(pg, pipeline->name, NULL, &run, &err));
    t.run_id = run.id;
    ok(weir_training_window(pipeline, &recipe, url, T0 + from_day * WEIR_DAY_US, &t.window, &err));
    ok(weir_training_fit(&t, pg, detail, &err));
    cJSON_Delete(detail);
}

static void one_candidate_is_champion_first_and_its_later_versions_challenge_it(void **state) {
    (void)state;
    static const char champion[] = "SELECT coalesce(sum(version), 0) FROM weir.aliases WHERE alias = 'champion'",
                      challenger[] = "SELECT coalesce(sum(version), 0) FROM weir.aliases WHERE alias = 'challenger'";
    fit(1);
    assert_int_equal(count_of(champion), 1);
    assert_int_equal(count_of(challenger), 0); /* with nobody else it is compared with nobody */
    fit(5);
    assert_int_equal(count_of(champion), 1);
    assert_int_equal(count_of(challenger), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_days_are_those_with_labels_and_are_tested_on_days_to_come),
        cmocka_unit_test(without_data_there_is_no_window),
        cmocka_unit_test(one_candidate_is_champion_first_and_its_later_versions_challenge_it),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
