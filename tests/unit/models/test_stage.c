/* Which versions may stand for an environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "models/stage.h"

static weir_err err;

/* 1 passed, 0 not, −1 an error. text: what people are told. */
static int judge(const char *training_text, const char *environment, const char *metrics_text, char text[128]) {
    cJSON *training = training_text ? cJSON_Parse(training_text) : NULL, *metrics = cJSON_Parse(metrics_text), *verdict = NULL;
    assert_true(metrics && (training || !training_text));
    weir_status status = weir_stage_check(training, environment, metrics, &verdict, &err);
    int passed = status ? -1 : weir_stage_passed(verdict);
    if (!status) weir_stage_describe(verdict, text, 128);
    cJSON_Delete(training);
    cJSON_Delete(metrics);
    cJSON_Delete(verdict);
    return passed;
}

static void a_pipeline_has_its_own_rule(void **state) {
    (void)state;
    char text[128];
    static const char training[] = "{\"metric\": \"roc_auc\", \"baseline\": {\"aut\": 0.8, \"prod\": 0.85}}";
    assert_int_equal(judge(training, "prod", "{\"roc_auc\": 0.86}", text), 1);
    assert_int_equal(judge(training, "prod", "{\"auc_roc\": 0.85}", text), 1); /* equal is enough; the other name counts */
    assert_int_equal(judge(training, "prod", "{\"auc_roc\": 0.8499999}", text), 0);
    assert_non_null(strstr(text, "prod needs at least 0.85"));
    assert_int_equal(judge(training, "aut", "{\"test_roc_auc\": 0.81}", text), 1);
    assert_int_equal(judge(training, "dev", "{}", text), 1);
    assert_string_equal(text, "dev has no rule");
    assert_int_equal(judge("{}", "prod", "null", text), 1);
}

static void what_was_not_measured_has_not_passed(void **state) {
    (void)state;
    char text[128];
    static const char training[] = "{\"baseline\": {\"dev\": 0.5}}";
    assert_int_equal(judge(training, "dev", "null", text), 0);
    assert_non_null(strstr(text, "roc_auc is not known"));
    assert_int_equal(judge(training, "dev", "{\"roc_auc\": null}", text), 0);
}

static void smaller_is_better_where_the_metric_says_so(void **state) {
    (void)state;
    char text[128];
    static const char training[] = "{\"task\": \"regression\", \"baseline\": {\"prod\": 2}}";
    assert_int_equal(judge(training, "prod", "{\"rmse\": 1.5}", text), 1);
    assert_int_equal(judge(training, "prod", "{\"rmse\": 2.5}", text), 0);
    assert_string_equal(text, "rmse is 2.5; prod needs at most 2");
    assert_int_equal(judge("{\"task\": \"regression\", \"metric\": \"r2\", \"baseline\": {\"prod\": 0.9}}", "prod", "{\"r2\": 0.95}", text), 1);
}

static void without_a_pipeline_f1_counts(void **state) {
    (void)state;
    char text[128];
    static const struct {
        const char *environment, *metrics;
        int passed;
    } rows[] = {{"dev", "{\"test_f1\": 0.7}", 1},  {"dev", "{\"test_f1\": 0.69}", 0}, {"aut", "{\"test_f1\": 0.8}", 1},
                {"aut", "{\"test_f1\": 0.79}", 0}, {"prod", "{\"f1\": 0.85}", 1},     {"prod", "{\"f1\": 0.84}", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(judge(NULL, rows[i].environment, rows[i].metrics, text), rows[i].passed);
}

static void what_is_no_rule_is_said(void **state) {
    (void)state;
    char text[128];
    assert_int_equal(judge("{}", "production", "{}", text), -1);
    assert_int_equal(err.code, WEIR_EINVAL);
    assert_int_equal(judge("{\"baseline\": {\"dev\": \"0.7\"}}", "dev", "{}", text), -1);
    assert_non_null(strstr(err.message, "$.training.baseline.dev"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_has_its_own_rule),
        cmocka_unit_test(what_was_not_measured_has_not_passed),
        cmocka_unit_test(smaller_is_better_where_the_metric_says_so),
        cmocka_unit_test(without_a_pipeline_f1_counts),
        cmocka_unit_test(what_is_no_rule_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
