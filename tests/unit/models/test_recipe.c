/* The `training` section: what a good one says, and what is said about bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "../starve.h"
#include "core/clock.h"
#include "core/mem.h"
#include "models/recipe.h"
#include "models/use_cases.h"

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
    assert_non_null(cJSON_GetObjectItemCaseSensitive(r.candidates[0].spec, "params"));
    assert_null(cJSON_GetObjectItemCaseSensitive(r.candidates[0].spec, "name"));
    assert_int_equal(r.task, WEIR_TASK_BINARY);
    assert_string_equal(r.metric->name, "average_precision");
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
    assert_null(cJSON_GetObjectItemCaseSensitive(r.candidates[0].spec, "params"));
    assert_true(r.task == WEIR_TASK_BINARY && !r.classes && !r.has_validation && !r.tuning && !r.slices && r.max_training_s == 0);
    assert_true(isnan(r.baseline[0]) && isnan(r.baseline[2]) && r.threshold.rule == WEIR_THRESHOLD_SERVING && r.threshold.value == 0.5);
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

static void load(sketch *s, const char *training, weir_recipe *ret_recipe) {
    weir_err err;
    sketch_init(s, training);
    if (weir_recipe_load(&s->pipeline, ret_recipe, &err) != WEIR_OK) fail_msg("%s", err.message);
}

static const char *spec_text(const weir_recipe *r, int candidate, char text[1024]) {
    assert_true(cJSON_PrintPreallocated(r->candidates[candidate].spec, text, 1024, false));
    return text;
}

static void a_regression_has_its_own_metric_and_no_known_positives(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    load(&s,
         "{\"task\": \"regression\", \"target\": \"y\", \"columns\": [\"amount\"], \"candidates\": [{\"name\": \"a\", \"algorithm\": \"ridge\"}],"
         " \"baseline\": {\"aut\": 3.5}, \"max_training_time_minutes\": 1.5, \"tuning\": {\"trials\": 5}, \"slices\": [\"count_1d\", \"amount\"],"
         " \"validation\": {\"scheme\": \"k_fold\", \"folds\": 4}}",
         &r);
    assert_int_equal(r.task, WEIR_TASK_REGRESSION);
    assert_string_equal(r.metric->name, "rmse");
    assert_false(r.exclude_known);
    assert_true(isnan(r.baseline[0]) && r.baseline[1] == 3.5 && isnan(r.baseline[2]) && r.max_training_s == 90);
    assert_non_null(r.tuning);
    assert_string_equal(r.slices[1], "amount");
    assert_null(r.slices[2]);
    assert_true(r.has_validation && r.validation.scheme == WEIR_SPLIT_K_FOLD && r.validation.folds == 4);
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void a_multiclass_task_names_its_classes(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    load(&s,
         "{\"task\": \"multiclass\", \"classes\": [\"low\", \"high\", \"none\"], \"metric\": \"log_loss\", \"target\": \"y\", \"columns\": [\"amount\"],"
         " \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}]}",
         &r);
    assert_int_equal(r.task, WEIR_TASK_MULTICLASS);
    assert_int_equal(r.class_count, 3);
    assert_string_equal(r.classes[2], "none");
    assert_null(r.classes[3]);
    assert_true(r.metric == weir_model_metric_find(WEIR_TASK_MULTICLASS, "log_loss"));
    weir_recipe_done(&r);
    sketch_done(&s);
}

/* The recipe's preprocessing is for candidates that have none of their own. */
static void candidates_are_specs(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    char text[1024];
    load(&s,
         "{\"target\": \"y\", \"columns\": [\"amount\"], \"metric\": \"auc_roc\", \"preprocessing\": [{\"impute\": \"mean\"}], \"candidates\": ["
         "{\"name\": \"a\", \"algorithm\": \"logistic\"}, {\"name\": \"b\", \"algorithm\": \"logistic\", \"preprocessing\": []}]}",
         &r);
    assert_string_equal(r.metric->name, "roc_auc");
    assert_string_equal(spec_text(&r, 0, text), "{\"algorithm\":\"logistic\",\"preprocessing\":[{\"impute\":\"mean\"}]}");
    assert_string_equal(spec_text(&r, 1, text), "{\"algorithm\":\"logistic\",\"preprocessing\":[]}");
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void a_threshold_is_a_number_or_a_rule(void **state) {
    (void)state;
    static const struct {
        const char *json;
        weir_threshold_rule rule;
        double threshold, fp, fn;
    } cases[] = {
        {"0.25", WEIR_THRESHOLD_FIXED, 0.25, 0, 0},
        {"\"best_f1\"", WEIR_THRESHOLD_BEST_F1, 0.5, 0, 0},
        {"{\"cost\": [1, 20]}", WEIR_THRESHOLD_COST, 0.5, 1, 20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sketch s;
        weir_recipe r;
        char training[512];
        snprintf(training, sizeof training,
                 "{\"target\": \"y\", \"columns\": [\"amount\"], \"threshold\": %s, \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}]}",
                 cases[i].json);
        load(&s, training, &r);
        assert_int_equal(r.threshold.rule, cases[i].rule);
        assert_true(r.threshold.value == cases[i].threshold && r.threshold.cost_false_positive == cases[i].fp &&
                    r.threshold.cost_false_negative == cases[i].fn);
        weir_recipe_done(&r);
        sketch_done(&s);
    }
}

static void without_a_threshold_it_is_that_of_serving(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init(&s, "{\"target\": \"y\", \"columns\": [\"amount\"], \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}]}");
    cJSON_AddItemToObject(s.pipeline.json, "serving", cJSON_Parse("{\"threshold\": 0.3}"));
    if (weir_recipe_load(&s.pipeline, &r, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_true(r.threshold.rule == WEIR_THRESHOLD_SERVING && r.threshold.value == 0.3);
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
        {"{" GOOD ", " CANDIDATE ", \"task\": \"regresion\"}", "$.training.task", "'regression'"},
        {"{" GOOD ", " CANDIDATE ", \"task\": 1}", "$.training.task", "a number"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"regression\"}", "$.training.candidates[0].algorithm", "cannot do a regression task"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"regression\", \"split\": {\"exclude_known\": true}}", "$.training.split.exclude_known", "regression"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"multiclass\"}", "$.training.classes", "2 classes or more"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"multiclass\", \"classes\": [\"a\"]}", "$.training.classes", "found 1"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"multiclass\", \"classes\": [\"a\", \"a\"]}", "$.training.classes[1]", "twice"},
        {"{" GOOD ", " CANDIDATE ", \"task\": \"multiclass\", \"classes\": [\"a\", 2]}", "$.training.classes[1]", "a number"},
        {"{" GOOD ", " CANDIDATE ", \"classes\": [\"a\", \"b\"]}", "$.training.classes", "the task is binary"},
        {"{" GOOD ", " CANDIDATE ", \"metric\": \"rmse\"}", "$.training.metric", "rmse"},
        {"{" GOOD ", " CANDIDATE ", \"metric\": \"average_precison\"}", "$.training.metric", "'average_precision'"},
        {"{" GOOD ", " CANDIDATE ", \"validation\": {\"scheme\": \"k_fold\", \"folds\": 1}}", "$.training.validation.folds", "1"},
        {"{" GOOD ", " CANDIDATE ", \"tuning\": [1]}", "$.training.tuning", "an array"},
        {"{" GOOD ", " CANDIDATE ", \"baseline\": {\"prd\": 1}}", "$.training.baseline.prd", "'prod'"},
        {"{" GOOD ", " CANDIDATE ", \"baseline\": {\"dev\": \"high\"}}", "$.training.baseline.dev", "roc_auc"},
        {"{" GOOD ", " CANDIDATE ", \"slices\": [\"amount\", \"amuont\"]}", "$.training.slices[1]", "amuont"},
        {"{" GOOD ", " CANDIDATE ", \"max_training_time_minutes\": 0}", "$.training.max_training_time_minutes", "above 0"},
        {"{" GOOD ", " CANDIDATE ", \"threshold\": 1.5}", "$.training.threshold", "1.5"},
        {"{" GOOD ", " CANDIDATE ", \"threshold\": \"best\"}", "$.training.threshold", "found best"},
        {"{" GOOD ", " CANDIDATE ", \"threshold\": {\"cost\": [1]}}", "$.training.threshold", "an object"},
        {"{" GOOD ", " CANDIDATE ", \"threshold\": {\"costs\": [1, 2]}}", "$.training.threshold.costs", "cost"},
        {"{" GOOD ", " CANDIDATE ", \"threshold\": {\"cost\": [0, 0]}}", "$.training.threshold", "not both 0"},
        {"{" GOOD ", \"task\": \"regression\", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"ridge\"}], \"threshold\": 0.5}", "$.training.threshold",
         "a regression task has none"},
        {"{" GOOD
         ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\"}, {\"name\": \"b\", \"ensemble\": \"average\", \"members\": [\"a\", \"z\"]}]}",
         "$.training.candidates[1].members[1]", "'z'"},
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistic\", \"preprocessing\": [{\"scale\": \"huge\"}]}]}",
         "$.training.candidates[0].preprocessing[0].scale", "huge"},
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
        {"{" GOOD ", \"candidates\": [{\"name\": \"a\", \"algorithm\": \"logistics\"}]}", "$.training.candidates[0].algorithm", "there are logistic"},
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

/* ---- use cases ---- */

#define OUTCOMES                                                                                                                                               \
    "{\"type\": \"record\", \"name\": \"Out\", \"fields\": [{\"name\": \"y\", \"type\": \"boolean\"}, {\"name\": \"rate\", \"type\": [\"null\", "              \
    "\"double\"]}, "                                                                                                                                           \
    "{\"name\": \"state\", \"type\": [\"null\", \"string\"]}, {\"name\": \"at\", \"type\": {\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}}]}"
#define FLEET                                                                                                                                                  \
    "{\"use_case\": \"repair\", \"target\": \"y\", \"columns\": [\"mean_1d\", \"amount\"], \"metric\": \"average_precision\", \"baseline\": {\"dev\": 0.5}, "  \
    "\"threshold\": 0.25, \"seed\": 7, \"split\": {\"train\": \"14d\", \"exclude_known\": true}, \"preprocessing\": [{\"impute\": \"median\"}], "              \
    "\"candidates\": [{\"name\": \"a\", \"algorithm\": \"xgboost\"}, {\"name\": \"b\", \"algorithm\": \"logistic\"}], \"champion\": \"b\", \"use_cases\": "

static void sketch_init_fleet(sketch *s, const char *use_cases) {
    char training[2000];
    weir_err err;
    snprintf(training, sizeof training, FLEET "%s}", use_cases);
    sketch_init(s, training);
    weir_schema_free(s->pipeline.labels.schema);
    assert_int_equal(weir_schema_parse(OUTCOMES, strlen(OUTCOMES), &s->pipeline.labels.schema, &err), WEIR_OK);
}

static void a_use_case_has_what_it_says_and_else_what_training_says(void **state) {
    (void)state;
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init_fleet(&s, "{\"fuel\": {\"task\": \"regression\", \"target\": \"rate\", \"columns\": [\"amount\"], \"candidates\": [{\"name\": \"c\", "
                          "\"algorithm\": \"ridge\"}]}, \"again\": {\"seed\": 8}, \"state\": {\"task\": \"multiclass\", \"target\": \"state\", "
                          "\"classes\": [\"good\", \"bad\"], \"split\": {\"train\": \"3d\"}}}");
    if (weir_recipe_load_use_case(&s.pipeline, "fuel", &r, &err)) fail_msg("%s", err.message);
    assert_string_equal(r.use_case, "fuel");
    assert_false(r.is_default || r.label_is_text);
    assert_non_null(r.section);
    assert_int_equal(r.task, WEIR_TASK_REGRESSION);
    assert_string_equal(r.target, "rate");
    assert_int_equal(r.column_count, 1);
    assert_int_equal(r.candidate_count, 1);
    assert_string_equal(r.champion, "c"); /* training's names none of its candidates */
    assert_string_equal(r.metric->name, "rmse"); /* training's is of another task */
    assert_true(isnan(r.baseline[0]));
    assert_int_equal(r.threshold.rule, WEIR_THRESHOLD_SERVING);
    assert_true(r.seed == 7 && r.train_us == 14 * WEIR_DAY_US && !r.exclude_known);
    assert_non_null(cJSON_GetObjectItemCaseSensitive(r.candidates[0].spec, "preprocessing"));
    weir_recipe_done(&r);
    if (weir_recipe_load_use_case(&s.pipeline, "again", &r, &err)) fail_msg("%s", err.message);
    assert_false(r.is_default);
    assert_string_equal(r.target, "y");
    assert_string_equal(r.metric->name, "average_precision"); /* the same target: all that is said of it holds */
    assert_string_equal(r.champion, "b");
    assert_true(r.seed == 8 && r.baseline[0] == 0.5 && r.exclude_known);
    weir_recipe_done(&r);
    if (weir_recipe_load_use_case(&s.pipeline, "state", &r, &err)) fail_msg("%s", err.message);
    assert_true(r.label_is_text && r.class_count == 2 && r.train_us == 3 * WEIR_DAY_US);
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void training_itself_is_a_use_case_by_its_name(void **state) {
    (void)state;
    const char *const names[] = {NULL, "repair"};
    sketch s;
    weir_recipe r;
    weir_err err;
    sketch_init_fleet(&s, "{\"fuel\": {\"task\": \"regression\", \"target\": \"rate\"}}");
    for (int i = 0; i < 2; i++) {
        if (weir_recipe_load_use_case(&s.pipeline, names[i], &r, &err)) fail_msg("%s", err.message);
        assert_true(r.is_default && !r.section && r.threshold.value == 0.25);
        assert_string_equal(r.use_case, "repair");
        weir_recipe_done(&r);
    }
    assert_int_equal(weir_recipe_load_use_case(&s.pipeline, "feul", &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "repair, fuel"));
    assert_non_null(strstr(err.message, "did you mean 'fuel'"));
    sketch_done(&s);
}

static void what_is_wrong_with_a_use_case_is_named(void **state) {
    (void)state;
    static const struct {
        const char *use_cases, *name, *part;
    } cases[] = {
        {"[]", "repair", "$.training.use_cases: found an array"},
        {"{\"Fuel\": {}}", "repair", "'Fuel'"},
        {"{\"a/b\": {}}", "repair", "'a/b'"},
        {"{\"repair\": {}}", "repair", "the name of the training section itself"},
        {"{\"x\": 3}", "repair", "$.training.use_cases.x: found a number"},
        {"{\"x\": {\"use_cases\": {}}}", "repair", "in $.training only"},
        {"{\"x\": {\"seeds\": 3}}", "x", "$.training.use_cases.x"},
        {"{\"x\": {\"target\": \"amount\"}}", "x", "'amount' is no column of the labels"},
        {"{\"x\": {\"target\": \"at\"}}", "x", "'at' is neither"},
        {"{\"x\": {\"target\": \"state\"}}", "x", "is a text, which a binary task cannot learn"},
        {"{\"x\": {\"task\": \"multiclass\", \"target\": \"state\"}}", "x", "expected the names of 2 classes"},
        {"{\"x\": {\"task\": \"regression\", \"target\": \"rate\"}}", "x", "cannot do a regression task"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sketch s;
        weir_recipe r = {.card_k = -1};
        weir_err err;
        sketch_init_fleet(&s, cases[i].use_cases);
        if (weir_recipe_load_use_case(&s.pipeline, cases[i].name, &r, &err) != WEIR_EINVAL) fail_msg("case %zu was accepted", i);
        if (!strstr(err.message, cases[i].part)) fail_msg("case %zu: '%s' lacks '%s'", i, err.message, cases[i].part);
        assert_int_equal(r.card_k, -1);
        sketch_done(&s);
    }
}

/* Both allocators: cJSON's and that of the models. */
static void *failing_malloc(size_t size) {
    return failing_realloc(NULL, size);
}

static void loading_a_use_case_survives_any_allocation_failure(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    cJSON_Hooks hooks = {failing_malloc, free};
    sketch s;
    weir_recipe r;
    weir_err err;
    int failures = 0;
    bool done = false;
    sketch_init_fleet(&s, "{\"state\": {\"task\": \"multiclass\", \"target\": \"state\", \"classes\": [\"good\", \"bad\"]}}");
    for (int allowed = 0; !done && allowed < 2000; allowed++) {
        allocations_left = allowed;
        weir_mem.realloc = failing_realloc;
        cJSON_InitHooks(&hooks);
        weir_status status = weir_recipe_load_use_case(&s.pipeline, "state", &r, &err);
        weir_mem.realloc = real;
        cJSON_InitHooks(NULL);
        done = !status;
        failures += status == WEIR_ENOMEM;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", allowed, err.message);
    }
    assert_true(done && failures > 0);
    weir_recipe_done(&r);
    sketch_done(&s);
}

static void an_experiment_is_named_by_its_template(void **state) {
    (void)state;
    char text[WEIR_EXPERIMENT_MAX + 1], tenant[400];
    weir_err err;
    cJSON *training = cJSON_CreateObject();
    assert_int_equal(weir_use_case_experiment(training, "maritime", "acme", "eta", text, &err), WEIR_OK);
    assert_string_equal(text, "/maritime/eta");
    cJSON_AddStringToObject(training, "experiment", "/fleet_{pipeline}/{tenant}/{use_case}/{tenant}");
    assert_int_equal(weir_use_case_experiment(training, "maritime", "{use_case}", "eta", text, &err), WEIR_OK);
    assert_string_equal(text, "/fleet_maritime/{use_case}/eta/{use_case}"); /* what a tenant is called is not read as a template */
    memset(tenant, 'x', sizeof tenant - 1);
    tenant[sizeof tenant - 1] = '\0';
    assert_int_equal(weir_use_case_experiment(training, "maritime", tenant, "eta", text, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "longer"));
    cJSON_ReplaceItemInObjectCaseSensitive(training, "experiment", cJSON_CreateString("/{tenants}"));
    assert_int_equal(weir_use_case_experiment(training, "maritime", "acme", "eta", text, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "'{tenants}'"));
    cJSON_ReplaceItemInObjectCaseSensitive(training, "experiment", cJSON_CreateNumber(3));
    assert_int_equal(weir_use_case_experiment(training, "maritime", "acme", "eta", text, &err), WEIR_EINVAL);
    cJSON_Delete(training);
}

static void the_fleet_learns_four_things(void **state) {
    (void)state;
    static const struct {
        const char *name, *target;
        weir_task task;
    } cases[] = {{"maintenance", "maintenance_needed", WEIR_TASK_BINARY},
                 {"fuel", "optimal_fuel_rate", WEIR_TASK_REGRESSION},
                 {"eta", "actual_hours_remaining", WEIR_TASK_REGRESSION},
                 {"anomaly", "anomaly_class", WEIR_TASK_MULTICLASS}};
    weir_pipeline *pipeline = NULL;
    weir_err err;
    char text[WEIR_EXPERIMENT_MAX + 1];
    if (weir_pipeline_load("maritime", &pipeline, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_recipe r;
        if (weir_recipe_load_use_case(pipeline, cases[i].name, &r, &err)) fail_msg("%s", err.message);
        assert_string_equal(r.target, cases[i].target);
        assert_int_equal(r.task, cases[i].task);
        assert_true(r.is_default == !i && r.train_us == 14 * WEIR_DAY_US && !r.exclude_known && r.label_is_text == (i == 3));
        weir_recipe_done(&r);
    }
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(pipeline->json, "training");
    assert_int_equal(weir_use_case_experiment(training, "maritime", "acme", "eta", text, &err), WEIR_OK);
    assert_string_equal(text, "/maritime_fleet_guardian/acme/eta");
    weir_pipeline_free(pipeline);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fraud_pipeline_has_a_good_recipe),
        cmocka_unit_test(what_is_not_said_has_a_default),
        cmocka_unit_test(what_is_said_is_taken),
        cmocka_unit_test(a_regression_has_its_own_metric_and_no_known_positives),
        cmocka_unit_test(a_multiclass_task_names_its_classes),
        cmocka_unit_test(candidates_are_specs),
        cmocka_unit_test(a_threshold_is_a_number_or_a_rule),
        cmocka_unit_test(without_a_threshold_it_is_that_of_serving),
        cmocka_unit_test(what_is_wrong_is_named_with_its_path),
        cmocka_unit_test(without_labels_nothing_is_learnt),
        cmocka_unit_test(a_use_case_has_what_it_says_and_else_what_training_says),
        cmocka_unit_test(training_itself_is_a_use_case_by_its_name),
        cmocka_unit_test(what_is_wrong_with_a_use_case_is_named),
        cmocka_unit_test(loading_a_use_case_survives_any_allocation_failure),
        cmocka_unit_test(an_experiment_is_named_by_its_template),
        cmocka_unit_test(the_fleet_learns_four_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
