/* Schemas that are made from a pipeline: their columns are where the workers expect them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/events.h"
#include "models/recipe.h"

static weir_pipeline *load_named(const char *name) {
    weir_err err;
    weir_pipeline *pipeline = NULL;
    if (weir_pipeline_load(name, &pipeline, &err)) fail_msg("%s", err.message);
    return pipeline;
}

static weir_pipeline *load(void) {
    return load_named("fraud");
}

static weir_registry *registry(void) {
    weir_err err;
    weir_registry *r = NULL;
    assert_int_equal(weir_registry_new("http://127.0.0.1:1", &r, &err), WEIR_OK); /* never asked: registration is lazy */
    return r;
}

static const char *column(const weir_schema *schema, int i) {
    return weir_schema_field_at(schema, i)->name;
}

static void features_of_every_view_have_their_columns_in_order(void **state) {
    (void)state;
    weir_pipeline *p = load();
    weir_registry *r = registry();
    for (int v = 0; v < p->view_count; v++) {
        weir_features_codec codec;
        weir_err err;
        if (weir_features_codec_init(&codec, r, p, &p->views[v], &err)) fail_msg("%s", err.message);
        const weir_schema *schema = codec.codec.schema;
        const weir_schema *feed = p->views[v].from == WEIR_FROM_EVENTS ? p->events.schema : p->labels.schema;
        assert_string_equal(column(schema, FEAT_TENANT), "tenant");
        assert_string_equal(column(schema, FEAT_ENTITY), "entity");
        assert_string_equal(column(schema, FEAT_EVENT_TIME), "event_time");
        assert_string_equal(column(schema, FEAT_AVAILABLE_TIME), "available_time");
        assert_string_equal(column(schema, FEAT_SOURCE_PARTITION), "source_partition");
        assert_string_equal(column(schema, FEAT_SOURCE_OFFSET), "source_offset");
        assert_string_equal(column(schema, FEAT_SEQ), "seq");
        assert_string_equal(column(schema, FEAT_VERSION), "version");
        assert_string_equal(column(schema, FEAT_EPOCH), "epoch");
        assert_string_equal(column(schema, FEAT_HAS_RECORD), "record");
        for (int i = 0; i < codec.record_count; i++) {
            char name[256];
            snprintf(name, sizeof name, "record.%s", column(feed, i));
            assert_string_equal(column(schema, FEAT_RECORD + i), name);
        }
        for (int i = 0; i < codec.feature_count; i++) {
            char name[256];
            snprintf(name, sizeof name, "features.%s", p->views[v].features[i].name);
            assert_string_equal(column(schema, codec.feature_base + i), name);
            assert_true(weir_schema_field_at(schema, codec.feature_base + i)->nullable);
        }
        assert_string_equal(column(schema, codec.state_index), "state");
        weir_features_codec_done(&codec);
    }
    weir_registry_free(r);
    weir_pipeline_free(p);
}

static void predictions_have_their_columns_in_order(void **state) {
    (void)state;
    weir_pipeline *p = load();
    weir_registry *r = registry();
    weir_recipe recipe;
    weir_prediction_codec codec;
    weir_err err;
    if (weir_recipe_load(p, &recipe, &err)) fail_msg("%s", err.message);
    if (weir_prediction_codec_init(&codec, r, p, recipe.columns, recipe.column_count, &err)) fail_msg("%s", err.message);
    const weir_schema *schema = codec.codec.schema;
    const char *const names[PRED_VIEWS] = {"prediction_id", "tenant",       "entity",   "join_id",      "event_time",  "source_partition",
                                           "source_offset", "predicted_at", "model",    "version",      "digest",      "arm",
                                           "propensity",    "score",        "decision", "feature_hash", "policy",      "bucket",
                                           "class",         "scores",       "outcome",  "reason",       "age_seconds", "request_id"};
    for (int i = 0; i < PRED_VIEWS; i++) assert_string_equal(column(schema, i), names[i]);
    assert_string_equal(column(schema, PRED_VIEWS), "views.customer.source_partition");
    assert_string_equal(column(schema, PRED_VIEWS + PRED_VIEW_COLUMNS + PRED_VIEW_VERSION), "views.terminal.version");
    assert_string_equal(column(schema, codec.input_base), "features.amount");
    assert_int_equal(weir_schema_field_count(schema), codec.column_count);
    weir_prediction_codec_done(&codec);
    weir_recipe_done(&recipe);
    weir_registry_free(r);
    weir_pipeline_free(p);
}

/* A score may be missing, and a decision with it: who abstains says neither. */
static void scores_and_decisions_may_be_missing(void **state) {
    (void)state;
    static const char *const names[] = {"fraud", "traffic"};
    for (int i = 0; i < 2; i++) {
        weir_pipeline *p = load_named(names[i]);
        weir_registry *r = registry();
        weir_prediction_codec codec;
        weir_err err;
        if (weir_prediction_codec_init(&codec, r, p, (const char *const[]){"x"}, 1, &err)) fail_msg("%s", err.message);
        assert_int_equal(weir_schema_field_at(codec.codec.schema, PRED_DECISION)->type, WEIR_T_BOOL);
        assert_true(weir_schema_field_at(codec.codec.schema, PRED_DECISION)->nullable && weir_schema_field_at(codec.codec.schema, PRED_SCORE)->nullable);
        weir_prediction_codec_done(&codec);
        weir_registry_free(r);
        weir_pipeline_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_of_every_view_have_their_columns_in_order),
        cmocka_unit_test(predictions_have_their_columns_in_order),
        cmocka_unit_test(scores_and_decisions_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
