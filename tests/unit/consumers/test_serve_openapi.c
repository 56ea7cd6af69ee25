#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "consumers/serve_openapi.h"

static const serve_operation table[] = {
    {"GET", "/alive", NULL, "alive", "Does it live?", NULL, "Live", .open = true},
    {"GET", "/models/{model_name}", NULL, "model", "A model.", NULL, "Model"},
    {"GET", "/models/{model_name}/versions/{model_version}", NULL, "version", "A version.", NULL, "Model"},
    {"POST", "/models/{model_name}/infer", NULL, "infer", "Scores.", "InferRequest", "InferResponse", .binary = true},
};
enum { COUNT = sizeof table / sizeof *table };

static void routes_are_paths_up_to_their_first_parameter_each_once(void **state) {
    (void)state;
    char route[SERVE_ROUTE_MAX];
    serve_operation_route(&table[0], route);
    assert_string_equal(route, "/alive");
    serve_operation_route(&table[2], route);
    assert_string_equal(route, "/models/*");
    assert_false(serve_operation_is_routed(table, 1));
    assert_true(serve_operation_is_routed(table, 2));
    assert_false(serve_operation_is_routed(table, 3)); /* another method */
}

static cJSON *document_of(bool tokens) {
    weir_buf out = {0};
    weir_err err = {0};
    if (serve_openapi(table, COUNT, "a title", tokens, &out, &err)) fail_msg("%s", err.message);
    cJSON *document = cJSON_ParseWithLength(out.data, out.len);
    assert_non_null(document);
    weir_buf_done(&out);
    return document;
}

static const cJSON *at(const cJSON *json, const char *const *names) {
    for (; json && *names; names++) json = cJSON_GetObjectItemCaseSensitive(json, *names);
    return json;
}
#define AT(json, ...) at(json, (const char *const[]){__VA_ARGS__, NULL})

static void operations_say_what_they_take_and_give(void **state) {
    (void)state;
    cJSON *document = document_of(false);
    assert_string_equal(AT(document, "info", "title")->valuestring, "a title");
    const cJSON *infer = AT(document, "paths", "/models/{model_name}/infer", "post");
    assert_string_equal(AT(infer, "requestBody", "content", "application/json", "schema", "$ref")->valuestring, "#/components/schemas/InferRequest");
    assert_non_null(AT(infer, "requestBody", "content", "application/octet-stream"));
    assert_non_null(AT(infer, "responses", "429", "headers", "Retry-After"));
    assert_null(AT(infer, "responses", "401"));
    assert_int_equal(cJSON_GetArraySize(AT(infer, "parameters")), 2);
    const cJSON *version = AT(document, "paths", "/models/{model_name}/versions/{model_version}", "get");
    assert_int_equal(cJSON_GetArraySize(AT(version, "parameters")), 2);
    assert_null(AT(version, "requestBody"));
    assert_non_null(AT(document, "components", "schemas", "Error"));
    assert_null(AT(document, "security"));
    cJSON_Delete(document);
}

static void tokens_are_asked_for_but_by_those_that_are_open(void **state) {
    (void)state;
    cJSON *document = document_of(true);
    assert_string_equal(AT(document, "components", "securitySchemes", "token", "scheme")->valuestring, "bearer");
    assert_int_equal(cJSON_GetArraySize(AT(document, "security")), 1);
    const cJSON *open = AT(document, "paths", "/alive", "get", "security");
    assert_true(cJSON_IsArray(open) && cJSON_GetArraySize(open) == 0);
    assert_null(AT(document, "paths", "/alive", "get", "responses", "401"));
    assert_non_null(AT(document, "paths", "/models/{model_name}", "get", "responses", "401"));
    assert_null(AT(document, "paths", "/models/{model_name}", "get", "security"));
    cJSON_Delete(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_paths_up_to_their_first_parameter_each_once),
        cmocka_unit_test(operations_say_what_they_take_and_give),
        cmocka_unit_test(tokens_are_asked_for_but_by_those_that_are_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
