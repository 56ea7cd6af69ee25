/* Specs: what may be asked for, and what is said of what may not. */
#include "trainset_fixture.h"

static const weir_prep_column columns[] = {{.name = "size"}, {.name = "colour", .kind = WEIR_PREP_CATEGORY}};
#define ENCODE "\"preprocessing\": [{\"encode\": \"one_hot\"}]"
#define RIDGE "{\"algorithm\": \"ridge\", " ENCODE "}"

static void expect_good(const char *text, weir_task task) {
    cJSON *spec = spec_of(text);
    weir_err err;
    if (weir_spec_check(spec, "$", task, columns, 2, &err)) fail_msg("%s: %s", text, err.message);
    cJSON_Delete(spec);
}

static void expect_bad(const char *text, weir_task task, const char *message) {
    cJSON *spec = spec_of(text);
    weir_err err;
    assert_int_equal(weir_spec_check(spec, "$.training.candidates[0]", task, columns, 2, &err), WEIR_EINVAL);
    if (!strstr(err.message, message)) fail_msg("%s: found \"%s\", expected \"%s\"", text, err.message, message);
    if (strncmp(err.message, "$.training.candidates[0]", 24) != 0) fail_msg("\"%s\" does not begin with the path", err.message);
    cJSON_Delete(spec);
}

static void specs_of_every_kind_are_taken(void **state) {
    (void)state;
    expect_good(RIDGE, WEIR_TASK_REGRESSION);
    expect_good("{\"name\": \"plain\", \"algorithm\": \"xgboost\", \"params\": {\"max_depth\": 3}, " ENCODE "}", WEIR_TASK_BINARY);
    expect_good("{\"ensemble\": \"average\", \"members\": [" RIDGE "]}", WEIR_TASK_REGRESSION);
    expect_good("{\"ensemble\": \"weighted\", \"members\": [" RIDGE ", " RIDGE "], \"folds\": 3}", WEIR_TASK_REGRESSION);
    expect_good("{\"ensemble\": \"stacking\", \"members\": [" RIDGE ", " RIDGE
                "], \"meta\": {\"algorithm\": \"linear\", \"preprocessing\": [{\"scale\": \"robust\", \"columns\": [\"m1\"]}]}}",
                WEIR_TASK_REGRESSION);
    expect_good("{\"ensemble\": \"stacking\", \"members\": [{\"algorithm\": \"logistic\", " ENCODE
                "}], \"meta\": {\"algorithm\": \"logistic\", \"preprocessing\": [{\"scale\": \"robust\", "
                "\"columns\": [\"m0=low\"]}]}}",
                WEIR_TASK_MULTICLASS);
    expect_good("{\"algorithm\": \"logistic\", \"class_weight\": \"balanced\", " ENCODE "}", WEIR_TASK_BINARY);
    expect_good("{\"targets\": " RIDGE "}", WEIR_TASK_REGRESSION);
    expect_good("{\"targets\": {\"ensemble\": \"average\", \"members\": [" RIDGE "]}}", WEIR_TASK_REGRESSION);
}

static void what_is_wrong_is_named_with_its_path(void **state) {
    (void)state;
    expect_bad("3", WEIR_TASK_BINARY, "found a number, expected an object");
    expect_bad("{}", WEIR_TASK_BINARY, ".algorithm: found nothing, expected the name of one");
    expect_bad("{\"algorithm\": \"ridge\", \"parms\": {}}", WEIR_TASK_REGRESSION, "parms");
    expect_bad("{\"algorithm\": \"ridg\"}", WEIR_TASK_REGRESSION, ".algorithm: there is no algorithm 'ridg'");
    expect_bad("{\"algorithm\": \"ensemble\"}", WEIR_TASK_REGRESSION, ".algorithm: there is no algorithm 'ensemble'");
    expect_bad("{\"algorithm\": \"ridge\", " ENCODE "}", WEIR_TASK_BINARY, ".algorithm: algorithm ridge cannot do a binary task");
    expect_bad("{\"algorithm\": \"ridge\", \"params\": {\"alpha\": -1}}", WEIR_TASK_REGRESSION, ".params.alpha");
    expect_bad("{\"algorithm\": \"ridge\", \"preprocessing\": [{\"scale\": \"big\"}]}", WEIR_TASK_REGRESSION, ".preprocessing[0].scale");
    expect_bad("{\"algorithm\": \"ridge\", \"class_weight\": \"balanced\", " ENCODE "}", WEIR_TASK_REGRESSION, ".class_weight: a regression has no classes");
    expect_bad("{\"algorithm\": \"logistic\", \"class_weight\": {\"0\": 1}, " ENCODE "}", WEIR_TASK_BINARY, ".class_weight: found an object");
    expect_bad("{\"algorithm\": \"ridge\", \"name\": 3}", WEIR_TASK_REGRESSION, ".name: found a number");
    expect_bad("{\"ensemble\": \"average\"}", WEIR_TASK_REGRESSION, ".members: found nothing of 0");
    expect_bad("{\"ensemble\": \"mean\", \"members\": [" RIDGE "]}", WEIR_TASK_REGRESSION, ".ensemble: found \"mean\"");
    expect_bad("{\"ensemble\": 3, \"members\": [" RIDGE "]}", WEIR_TASK_REGRESSION, ".ensemble: found a number");
    expect_bad("{\"ensemble\": \"average\", \"members\": [" RIDGE ", {\"algorithm\": \"tree\"}]}", WEIR_TASK_REGRESSION, ".members[1].algorithm");
    expect_bad("{\"ensemble\": \"average\", \"members\": [{\"ensemble\": \"average\", \"members\": [" RIDGE "]}]}", WEIR_TASK_REGRESSION,
               ".members[0]: found an ensemble");
    expect_bad("{\"ensemble\": \"average\", \"members\": [{\"targets\": " RIDGE "}]}", WEIR_TASK_REGRESSION, ".members[0]: found an ensemble or targets");
    expect_bad("{\"ensemble\": \"average\", \"members\": [3]}", WEIR_TASK_REGRESSION, ".members[0]: found a number");
    expect_bad("{\"ensemble\": \"weighted\", \"members\": [" RIDGE "], \"meta\": " RIDGE "}", WEIR_TASK_REGRESSION, ".meta: found one with \"weighted\"");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE
               "], \"meta\": {\"algorithm\": \"linear\", \"preprocessing\": [{\"scale\": \"robust\", \"columns\": [\"m1\"]}]}}",
               WEIR_TASK_REGRESSION, ".meta.preprocessing[0].columns");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE "], \"meta\": {\"ensemble\": \"average\"}}", WEIR_TASK_REGRESSION, ".meta");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE "], \"meta\": 3}", WEIR_TASK_REGRESSION, ".meta: found a number");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE "], \"folds\": 1}", WEIR_TASK_REGRESSION, ".folds: found 1");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE "], \"folds\": 2.5}", WEIR_TASK_REGRESSION, ".folds: found 2.5");
    expect_bad("{\"ensemble\": \"stacking\", \"members\": [" RIDGE "], \"folds\": \"5\"}", WEIR_TASK_REGRESSION, ".folds: found a string");
    expect_bad("{\"targets\": {\"targets\": " RIDGE "}}", WEIR_TASK_REGRESSION, ".targets: found targets in targets");
    expect_bad("{\"targets\": {\"algorithm\": \"logistic\"}}", WEIR_TASK_BINARY, ".targets: found with a binary task");
    expect_bad("{\"targets\": " RIDGE ", \"members\": []}", WEIR_TASK_REGRESSION, "members");
}

static void a_category_needs_an_encoder(void **state) {
    (void)state;
    expect_bad("{\"algorithm\": \"ridge\"}", WEIR_TASK_REGRESSION,
               ".preprocessing: column 'colour' is a category, which no algorithm can take as it is: add an encode step");
    expect_bad("{\"algorithm\": \"ridge\", \"preprocessing\": [{\"impute\": \"most_frequent\"}]}", WEIR_TASK_REGRESSION, "column 'colour' is a category");
    /* the same when somebody fits without asking first */
    const double values[] = {1, 100, 2, 101, 3, 100}, label[] = {1, 2, 3};
    const char *const names[] = {"size", "colour"};
    const weir_matrix train = {
        .row_count = 3, .column_count = 2, .values = values, .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION, .kinds = columns};
    weir_buf artifact = {0};
    weir_err err;
    assert_int_equal(weir_model_fit("ridge", NULL, NULL, &train, NULL, 1, 1, &artifact, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "column 'colour' is a category"));
    cJSON *chain = spec_of("[{\"encode\": \"ordinal\"}]");
    assert_int_equal(weir_model_fit("ridge", NULL, chain, &train, NULL, 1, 1, &artifact, &err), WEIR_OK);
    cJSON_Delete(chain);
    weir_buf_done(&artifact);
}

static void expect_description(const char *text, const char *expected) {
    char description[100], cut[9];
    cJSON *spec = spec_of(text);
    weir_spec_describe(spec, description, sizeof description);
    assert_string_equal(description, expected);
    weir_spec_describe(spec, cut, sizeof cut);
    assert_true(strlen(cut) <= 8 && !strncmp(cut, expected, strlen(cut)));
    cJSON_Delete(spec);
}

static void specs_have_names_for_people(void **state) {
    (void)state;
    expect_description(RIDGE, "ridge");
    expect_description("{\"ensemble\": \"stacking\", \"members\": [{\"algorithm\": \"logistic\"}, {\"algorithm\": \"xgboost\"}]}",
                       "stacking of logistic, xgboost");
    expect_description("{\"ensemble\": \"weighted\", \"members\": [{\"algorithm\": \"logistic\"}]}", "weighted average of logistic");
    expect_description("{\"targets\": {\"algorithm\": \"svr\"}}", "svr a target");
    expect_description("{}", "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_of_every_kind_are_taken),
        cmocka_unit_test(what_is_wrong_is_named_with_its_path),
        cmocka_unit_test(a_category_needs_an_encoder),
        cmocka_unit_test(specs_have_names_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
