/* Exports: names of formats, what JSON holds, refusals, and memory that runs out. That other programs score the same is tests/integration/models/test_export.py's. */
#include "fixture.h"

#include <stdlib.h>

#include "models/export.h"
#include "models/prep.h"
#include "tests/unit/starve.h"

static fixture data;

static weir_buf export_model(const weir_model *model, weir_export_format format) {
    weir_buf bytes = {0};
    weir_err err;
    if (weir_model_export(model, format, &bytes, &err) != WEIR_OK) fail_msg("%s", err.message);
    return bytes;
}

static void formats_have_names(void **state) {
    (void)state;
    weir_export_format format = WEIR_EXPORT_PMML;
    for (int f = 0; f < WEIR_EXPORT_FORMAT_COUNT; f++) {
        assert_true(weir_export_format_find(weir_export_format_name((weir_export_format)f), &format));
        assert_int_equal(format, f);
    }
    assert_false(weir_export_format_find("pickle", &format));
}

/* What is there already stays in front, and a failure leaves it as it was. */
static void native_is_the_artifact(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_buf artifact = fit_artifact("logistic", NULL, &matrix, 1, 1), bytes = {0};
    weir_model *model = load_artifact(&artifact);
    weir_err err;
    assert_true(weir_buf_append(&bytes, "front", 5));
    assert_int_equal(weir_model_export(model, WEIR_EXPORT_NATIVE, &bytes, &err), WEIR_OK);
    assert_int_equal(bytes.len, artifact.len + 5);
    assert_memory_equal(bytes.data + 5, artifact.data, artifact.len);
    weir_buf_done(&bytes);
    weir_buf_done(&artifact);
    weir_model_free(model);
}

static double element(const cJSON *array, int i) {
    return cJSON_GetNumberValue(cJSON_GetArrayItem(array, i));
}

/* Scored from the JSON alone: the same bits, as the numbers are. */
static void json_of_a_line_scores_the_same(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("ridge", NULL, &matrix);
    weir_buf bytes = export_model(model, WEIR_EXPORT_JSON);
    cJSON *json = cJSON_Parse(bytes.data);
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(json, "model"), *header = cJSON_GetObjectItemCaseSensitive(json, "header");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, "kind")), "linear");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "algorithm")), "ridge");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "digest")), weir_model_digest(model));
    const cJSON *mean = cJSON_GetObjectItemCaseSensitive(body, "mean"), *scale = cJSON_GetObjectItemCaseSensitive(body, "scale");
    const cJSON *coefficient = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(body, "coefficient"), 0);
    for (int r = 0; r < 20; r++) {
        const double *x = matrix.values + r * COLUMNS;
        double score = element(cJSON_GetObjectItemCaseSensitive(body, "intercept"), 0), expected;
        weir_err err;
        for (int c = 0; c < COLUMNS; c++)
            if (!isnan(x[c])) score += element(coefficient, c) * ((x[c] - element(mean, c)) / element(scale, c));
        assert_int_equal(weir_model_predict(model, x, 1, &expected, &err), WEIR_OK);
        assert_true(score == expected);
    }
    cJSON_Delete(json);
    weir_buf_done(&bytes);
    weir_model_free(model);
}

static void equal_models_give_equal_files(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    for (int f = 0; f < WEIR_EXPORT_FORMAT_COUNT; f++) {
        weir_model *one = fit_model("xgboost", quick("xgboost"), &matrix), *two = fit_model("xgboost", quick("xgboost"), &matrix);
        weir_buf first = export_model(one, (weir_export_format)f), second = export_model(two, (weir_export_format)f);
        assert_int_equal(first.len, second.len);
        assert_memory_equal(first.data, second.data, first.len);
        weir_buf_done(&first);
        weir_buf_done(&second);
        weir_model_free(one);
        weir_model_free(two);
    }
}

static void names_that_xml_cannot_hold_are_refused(void **state) {
    (void)state;
    static const struct { const char *name, *part; } bad[] = {{"bell\a", "character 7"}, {"weir.z0", "begins with 'weir.'"}};
    for (int i = 0; i < 2; i++) {
        const char *names[COLUMNS] = {"a", "b", bad[i].name, "d", "e"};
        weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
        weir_buf bytes = {0};
        weir_err err;
        matrix.column_names = names;
        weir_model *model = fit_model("linear", NULL, &matrix);
        assert_int_equal(weir_model_export(model, WEIR_EXPORT_PMML, &bytes, &err), WEIR_EINVAL);
        assert_non_null(strstr(err.message, bad[i].part));
        assert_int_equal(bytes.len, 0);
        assert_int_equal(weir_model_export(model, WEIR_EXPORT_ONNX, &bytes, &err), WEIR_OK);
        weir_buf_done(&bytes);
        weir_model_free(model);
    }
}

static weir_buf artifact_with_chain(const char *algorithm, weir_task task) {
    static const char chain[] = "[{\"impute\": \"median\", \"indicator\": true}, {\"encode\": \"ordinal\", \"columns\": [\"constant\"]}]";
    static const char *const names[COLUMNS] = {"amount", "rate", "noise", "gaps", "constant"};
    weir_prep_column kinds[COLUMNS];
    weir_matrix matrix = fixture_matrix(&data, task);
    weir_buf artifact = {0};
    weir_err err;
    cJSON *steps = cJSON_Parse(chain), *params = cJSON_Parse(!strcmp(algorithm, "xgboost") ? "{\"rounds\": 1, \"max_depth\": 1}" : "{}");
    for (int c = 0; c < COLUMNS; c++) kinds[c] = (weir_prep_column){.name = names[c], .kind = c == 4 ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER};
    matrix.kinds = kinds;
    matrix.row_count = 100;
    if (weir_model_fit(algorithm, params, steps, &matrix, "", 1, 1, &artifact, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(steps);
    cJSON_Delete(params);
    return artifact;
}

static int starve(const weir_model *model, weir_export_format format) {
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0;
    for (; status != WEIR_OK && tries < 5000; tries++) {
        weir_buf bytes = {0};
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = tries;
        status = weir_model_export(model, format, &bytes, &err);
        if (status != WEIR_OK) assert_int_equal(bytes.len, 0);
        weir_buf_done(&bytes);
        weir_mem = kept;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
    }
    assert_int_equal(status, WEIR_OK);
    return tries;
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const char *const algorithms[] = {"xgboost", "ridge", "svr"};
    for (int a = 0; a < 3; a++) {
        weir_buf artifact = artifact_with_chain(algorithms[a], WEIR_TASK_REGRESSION);
        weir_model *model = load_artifact(&artifact);
        for (int f = 0; f < WEIR_EXPORT_FORMAT_COUNT; f++) assert_true(starve(model, (weir_export_format)f) > 1);
        weir_model_free(model);
        weir_buf_done(&artifact);
    }
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_names),
        cmocka_unit_test(native_is_the_artifact),
        cmocka_unit_test(json_of_a_line_scores_the_same),
        cmocka_unit_test(equal_models_give_equal_files),
        cmocka_unit_test(names_that_xml_cannot_hold_are_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
