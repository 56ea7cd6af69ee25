/* The `training` section: what a good one says, and what is said about bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/clock.h"
#include "models/recipe.h"

/* A pipeline around a training section, without the rest that weir_pipeline_load wants. */
typedef struct sketch {
    weir_pipeline pipeline;
    weir_view_def view;
    weir_feature_def features[2];
} sketch;

static void sketch_init(sketch *s, const char *training) {
    static const char schema[] =
        "{\"type\": \"record\", \"name\": \"Tx\", \"fields\": [{\"name\": \"y\", \"type\": \"long\"}, {\"name\": \"amount\", \"type\": \"double\"}]}";
    static char topic[] = "labels";
    weir_err err;
    *s = (sketch){.features = {{.name = "count_1d"}, {.name = "mean_1d"}}};
    s->view = (weir_view_def){.name = "customer", .features = s->features, .feature_count = 2};
    s->pipeline.views = &s->view;
    s->pipeline.view_count = 1;
    assert_int_equal(weir_schema_parse(schema, strlen(schema), &s->pipeline.events.schema, &err), WEIR_OK);
    assert_int_equal(weir_schema_parse(schema, strlen(schema), &s->pipeline.labels.schema, &err), WEIR_OK);
    s->pipeline.labels.topic = topic; /* its first column, y, is the label */
    s->pipeline.json = cJSON_CreateObject();
    if (!training) return;
    cJSON *section = cJSON_Parse(training);
    assert_non_null(section);
    cJSON_AddItemToObject(s->pipeline.json, "training", section);
}

static void sketch_done(sketch *s) {
    weir_schema_free(s->pipeline.events.schema);
    weir_schema_free(s->pipeline.labels.schema);
    cJSON_Delete(s->pipeline.json);
}

static void the_fraud_pipeline_has_a_good_recipe(void **state) {
    (void)state;
    weir_pipeline *pipeline = NULL;
    weir_recipe r;
    weir_err err;
    if (weir_pipeline_load("fraud", &pipeline, &err) != WEIR_OK) fail_msg("%s", err.message);
    if (weir_recipe_load(pipeline, &r, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_string_equal(r.target, "fraud");
    assert_int_equal(r.column_count, 15);
    assert_string_equal(r.columns[0], "amount");
    assert_string_equal(r.columns[14], "terminal_fraud_rate_30d");
    assert_null(r.columns[15]);
    assert_true(r.train_us == 7 * WEIR_DAY_US && r.delay_us == 7 * WEIR_DAY_US && r.test_us == 7 * WEIR_DAY_US && r.exclude_known);
    assert_int_equal(r.card_k, 100);
    assert_int_equal(r.candidate_count, 3);
    assert_string_equal(r.candidates[0].algorithm, "logistic");
    assert_non_null(r.candidates[0].params);
    assert_string_equal(r.champion, "fraud-logistic");
    assert_string_equal(r.challenger, "fraud-boosted");
    weir_recipe_done(&r);
    assert_null(r.columns);
    weir_pipeline_free(pipeline);
}

static void what_is_not_said_has_a_default(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init(&s, "{\"target\": \"y\", \"columns\": [\"mean_1d\", \"amount\"], \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}]}");
    if (weir_recipe_load(&s.pipeline, &r, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_true(r.train_us == 7 * WEIR_DAY_US && r.delay_us == 7 * WEIR_DAY_US && r.test_us == 7 * WEIR_DAY_US && r.exclude_known);
    assert_true(r.card_k == 100 && r.seed == 42 && r.threads == 1);
    assert_string_equal(r.champion, "a");
    assert_null(r.challenger);
    assert_null(r.candidates[0].params);
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void what_is_said_is_taken(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init(
        &s,
        "{\"task\": \"binary\", \"target\": \"y\", \"columns\": [\"amount\"], \"split\": {\"train\": \"14d\", \"delay\": \"0d\", \"test\": \"24h\", "
        "\"exclude_known\": false},"
        " \"card_k\": 0, \"seed\": 9007199254740992, \"threads\": 4,"
        " \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}, {\"name\": \"b\", \"algorithm\": \"random_forest\", \"params\": {\"trees\": 50}}],"
        " \"champion\": \"b\", \"challenger\": \"a\"}");
    if (weir_recipe_load(&s.pipeline, &r, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_true(r.train_us == 14 * WEIR_DAY_US && r.delay_us == 0 && r.test_us == WEIR_DAY_US && !r.exclude_known);
    assert_true(r.card_k == 0 && r.seed == UINT64_C(9007199254740992) && r.threads == 4);
    assert_string_equal(r.champion, "b");
    assert_string_equal(r.challenger, "a");
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void what_is_wrong_is_named_with_its_path(void **state) {
    (void)state;
#define GOOD "\"target\": \"y\", \"columns\": [\"amount\"]"
#define CANDIDATE "\"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}]"
    static const struct {
        const char *training, *path, *part;
    } cases[] = {
        {NULL, "$.training", "found nothing"},
        {"[]", "$.training", "an array"},
        {"{" GOOD ", " CANDIDATE ", \"colums\": []}", "$.training.colums", "columns"},
        {"{\"columns\": [\"amount\"], " CANDIDATE "}", "$.training.target", "nothing"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"regression\"}", "$.training.task", "regression"},
        {"{\"target\": \"y\", " CANDIDATE "}", "$.training.columns", "nothing"},
        {"{\"target\": \"y\", \"columns\": [], " CANDIDATE "}", "$.training.columns", "array of 0"},
        {"{\"target\": \"y\", \"columns\": [\"amount\", 3], " CANDIDATE "}", "$.training.columns[1]", "a number"},
        {"{\"target\": \"y\", \"columns\": [\"amount\", \"amuont\"], " CANDIDATE "}", "$.training.columns[1]", "amuont"},
        {"{\"target\": \"y\", \"columns\": [\"amount\", \"amount\"], " CANDIDATE "}", "$.training.columns[1]", "twice"},
        {"{\"target\": \"y\", \"columns\": [\"amount\", \"y\"], " CANDIDATE "}", "$.training.columns[1]", "target"},
        {"{\"target\": \"amount\", \"columns\": [\"mean_1d\"], " CANDIDATE "}", "$.training.target", "'y'"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"train\": 7}}", "$.training.split.train", "a number"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"train\": \"0d\"}}", "$.training.split.train", "whole days"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"delay\": \"36h\"}}", "$.training.split.delay", "whole days"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"test\": \"soon\"}}", "$.training.split.test", "soon"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"exclude_known\": 1}}", "$.training.split.exclude_known", "a number"},
        {"{" GOOD ", " CANDIDATE ", \"split\": {\"tests\": \"7d\"}}", "$.training.split.tests", "test"},
        {"{" GOOD ", " CANDIDATE ", \"preprocessing\": [{\"impute\": \"mean\"}, {\"scale\": \"huge\"}]}", "$.training.preprocessing[1].scale", "huge"},
        {"{" GOOD ", " CANDIDATE ", \"preprocessing\": [{\"impute\": \"mean\", \"columns\": [\"amuont\"]}]}", "$.training.preprocessing[0]", "amuont"},
        {"{" GOOD ", " CANDIDATE ", \"card_k\": 1.5}", "$.training.card_k", "1.5"},
        {"{" GOOD ", " CANDIDATE ", \"seed\": -1}", "$.training.seed", "-1"},
        {"{" GOOD ", " CANDIDATE ", \"threads\": \"two\"}", "$.training.threads", "a string"},
        {"{" GOOD "}", "$.training.candidates", "nothing"},
        {"{" GOOD ", \"candidates\": [7]}", "$.training.candidates[0]", "a number"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"\", \"algorithm\": \"logistic\"}]}", "$.training.candidates[0].name", "empty"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"ridge\"}]}", "$.training.candidates[0].algorithm", "cannot do a binary task"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistics\"}]}", "$.training.candidates[0].algorithm", "'logistic'"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}, {\"name\": \"a\", \"algorithm\": \"xgboost\"}]}",
         "$.training.candidates[1].name", "twice"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\", \"params\": {\"l3\": 1}}]}", "$.training.candidates[0].params", "l3"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"xgboost\", \"params\": {\"rounds\": 0}}]}", "$.training.candidates[0].params",
         "rounds"},
        {"{" GOOD ", " CANDIDATE ", \"champion\": \"z\"}", "$.training.champion", "'z'"},
        {"{" GOOD ", " CANDIDATE ", \"challenger\": \"z\"}", "$.training.challenger", "'z'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sketch s;
        weir_recipe r = {.card_k = -1};
        weir_err err;
        sketch_init(&s, cases[i].training);
        if (weir_recipe_load(&s.pipeline, &r, &err) != WEIR_EINVAL) fail_msg("case %zu was accepted", i);
        if (!strstr(err.message, cases[i].path) || !strstr(err.message, cases[i].part))
            fail_msg("case %zu: '%s' lacks '%s' or '%s'", i, err.message, cases[i].path, cases[i].part);
        assert_int_equal(r.card_k, -1);
        sketch_done(&s);
    }
}

static void without_labels_nothing_is_learnt(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init(&s, "{" GOOD ", " CANDIDATE "}");
    s.pipeline.labels.topic = NULL;
    assert_int_equal(weir_recipe_load(&s.pipeline, &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "$.training.target"));
    assert_non_null(strstr(err.message, "no labels"));
    sketch_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fraud_pipeline_has_a_good_recipe), cmocka_unit_test(what_is_not_said_has_a_default),   cmocka_unit_test(what_is_said_is_taken),
        cmocka_unit_test(what_is_wrong_is_named_with_its_path), cmocka_unit_test(without_labels_nothing_is_learnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
