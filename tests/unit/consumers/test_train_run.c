/* The order of a training run: a pipeline that is read from it is the pipeline that was put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/train_run.h"

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static cJSON *order_for(const char *name, weir_pipeline **ret_pipeline) {
    weir_err err;
    const weir_train_limits limits = {.lease_us = 30000000, .memory_bytes = INT64_C(5) << 30, .threads = 2, .nice = 10};
    const weir_train_identity identity = {.host = "east", .process = "boot/namespace/7/8"};
    weir_train_claim claim = {
        .run_id = "run-1", .attempt = 3, .evaluates = true, .request = cJSON_Parse("{\"train_from_us\": 1709251200000000}"), .detail = cJSON_CreateObject()};
    assert_int_equal(weir_pipeline_load(name, ret_pipeline, &err), WEIR_OK);
    cJSON *order = weir_train_order(*ret_pipeline, &claim, &limits, &identity, 60000000);
    weir_train_claim_done(&claim);
    weir_train_claim_done(&claim); /* nothing is left of it */
    assert_non_null(order);
    return order;
}

static void a_pipeline_comes_out_as_it_went_in(void **state) {
    (void)state;
    static const char *const names[] = {"fraud", "maritime", "traffic", "churn", "market", "engine"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        weir_pipeline *before, *after = NULL;
        weir_err err;
        cJSON *order = order_for(names[i], &before);
        char *sent = cJSON_PrintUnformatted(order);
        cJSON *received = cJSON_Parse(sent);
        char *text = cJSON_PrintUnformatted(member(received, "pipeline"));
        assert_int_equal(weir_pipeline_parse(text, "pipelines", &after, &err), WEIR_OK);
        assert_string_equal(after->name, before->name);
        assert_string_equal(after->feature_hash, before->feature_hash);
        assert_true(cJSON_Compare(after->json, before->json, true));
        assert_string_equal(cJSON_GetStringValue(member(received, "path")), before->path);
        cJSON_free(text);
        cJSON_free(sent);
        cJSON_Delete(received);
        cJSON_Delete(order);
        weir_pipeline_free(before);
        weir_pipeline_free(after);
    }
}

static void an_order_says_what_is_to_be_done_within_what(void **state) {
    (void)state;
    weir_pipeline *pipeline;
    cJSON *order = order_for("fraud", &pipeline);
    assert_string_equal(cJSON_GetStringValue(member(order, "run_id")), "run-1");
    assert_string_equal(cJSON_GetStringValue(member(order, "host")), "east");
    assert_string_equal(cJSON_GetStringValue(member(order, "process")), "boot/namespace/7/8");
    assert_true(cJSON_IsTrue(member(order, "evaluates")));
    assert_int_equal((int64_t)member(member(order, "request"), "train_from_us")->valuedouble, INT64_C(1709251200000000));
    static const struct {
        const char *name;
        double value;
    } numbers[] = {{"attempt", 3}, {"lease_us", 3e7}, {"time_us", 6e7}, {"memory_bytes", 5368709120.0}, {"threads", 2}, {"nice", 10}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) assert_true(member(order, numbers[i].name)->valuedouble == numbers[i].value);
    cJSON_Delete(order);
    weir_pipeline_free(pipeline);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_comes_out_as_it_went_in),
        cmocka_unit_test(an_order_says_what_is_to_be_done_within_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
