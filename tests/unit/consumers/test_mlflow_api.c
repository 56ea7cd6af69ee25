/* What the client of MLflow makes of a server's answers, against a server of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/mlflow_api.h"
#include "core/http.h"

static weir_http_server *server;
static char url[64];
static int answer_status;
static const char *answer_body;
static char seen[512]; /* method, path, body, token */
static weir_err err;

static void answer(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)context;
    const char *token = weir_http_header(request, "Authorization"), *experiment = weir_http_query(request, "experiment_name");
    snprintf(seen, sizeof seen, "%s %s|%s|%s|%s", request->method, request->path, request->body_len ? request->body : "", token ? token : "",
             experiment ? experiment : "");
    response->status = answer_status;
    assert_true(weir_buf_printf(&response->body, "%s", answer_body));
}

static int start(void **state) {
    (void)state;
    const weir_http_route route = {"*", "/api/2.0/*", answer, NULL};
    if (weir_http_server_start("127.0.0.1", 0, 1, 1 << 20, &server, &err) || weir_http_server_route(server, &route, &err)) return -1;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", weir_http_server_port(server));
    return 0;
}

static int stop(void **state) {
    (void)state;
    weir_http_server_stop(server);
    return 0;
}

static weir_status call_with(int status, const char *body) {
    const weir_mlflow mlflow = {.url = url};
    answer_status = status;
    answer_body = body;
    return weir_mlflow_call(&mlflow, "POST", "runs/create", NULL, NULL, &err);
}

static void what_may_succeed_later_is_tried_again_and_the_rest_is_not(void **state) {
    (void)state;
    static const struct {
        int http;
        const char *body;
        weir_status status;
        weir_action action;
    } rows[] = {
        {200, "{}", WEIR_OK, 0},
        {404, "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\", \"message\": \"no\"}", WEIR_ENOTFOUND, WEIR_ACTION_REJECT},
        {400, "{\"error_code\": \"RESOURCE_ALREADY_EXISTS\"}", WEIR_ECONFLICT, WEIR_ACTION_REJECT},
        {400, "{\"error_code\": \"INVALID_PARAMETER_VALUE\", \"message\": \"Changing param values is not allowed\"}", WEIR_EINVAL, WEIR_ACTION_REJECT},
        {404, "<html>not MLflow</html>", WEIR_ENET, WEIR_ACTION_RETRY}, /* the address is wrong: nothing is lost meanwhile */
        {401, "{}", WEIR_EDENIED, WEIR_ACTION_RETRY},
        {403, "{\"error_code\": \"PERMISSION_DENIED\"}", WEIR_EDENIED, WEIR_ACTION_RETRY},
        {429, "{\"error_code\": \"REQUEST_LIMIT_EXCEEDED\"}", WEIR_ENET, WEIR_ACTION_RETRY},
        {500, "{\"error_code\": \"INTERNAL_ERROR\"}", WEIR_EINTERNAL, WEIR_ACTION_RETRY},
        {500, "oops", WEIR_ENET, WEIR_ACTION_RETRY},
        {503, "{\"error_code\": \"TEMPORARILY_UNAVAILABLE\"}", WEIR_ENET, WEIR_ACTION_RETRY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        weir_status status = call_with(rows[i].http, rows[i].body);
        if (status != rows[i].status || (status && err.action != rows[i].action)) fail_msg("row %zu: %d, %s", i, status, err.message);
    }
    (void)call_with(400, "{\"error_code\": \"INVALID_PARAMETER_VALUE\", \"message\": \"Changing param values is not allowed\"}");
    assert_non_null(strstr(err.message, "Changing param"));
    assert_non_null(strstr(err.message, "runs/create"));
}

static void a_server_that_is_away_is_tried_again(void **state) {
    (void)state;
    const weir_mlflow mlflow = {.url = "http://user:secret@127.0.0.1:1"};
    assert_int_equal(weir_mlflow_call(&mlflow, "GET", "x", NULL, NULL, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_null(strstr(err.message, "secret"));
}

static void requests_carry_what_they_are_given(void **state) {
    (void)state;
    const weir_mlflow mlflow = {.url = url, .token = "t0"};
    cJSON *body = cJSON_Parse("{\"a\": 1}"), *got = NULL;
    weir_buf path = {0};
    answer_status = 200;
    answer_body = "{\"x\": 2}";
    assert_true(weir_buf_printf(&path, "experiments/get-by-name?experiment_name=") && weir_mlflow_escape(&path, "/a b/ü&c=d", false) &&
                weir_buf_append(&path, "", 1));
    assert_string_equal(path.data, "experiments/get-by-name?experiment_name=%2Fa%20b%2F%C3%BC%26c%3Dd");
    assert_int_equal(weir_mlflow_call(&mlflow, "GET", path.data, NULL, &got, &err), WEIR_OK);
    assert_string_equal(seen, "GET /api/2.0/mlflow/experiments/get-by-name||Bearer t0|/a b/ü&c=d");
    assert_true(cJSON_GetObjectItem(got, "x")->valuedouble == 2);
    cJSON_Delete(got);
    assert_int_equal(weir_mlflow_call(&mlflow, "DELETE", "registered-models/alias", body, NULL, &err), WEIR_OK);
    assert_string_equal(seen, "DELETE /api/2.0/mlflow/registered-models/alias|{\"a\":1}|Bearer t0|");
    answer_body = "no JSON";
    assert_int_equal(weir_mlflow_call(&mlflow, "POST", "x", body, &got, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    cJSON_Delete(body);
    weir_buf_done(&path);
}

static void artifacts_go_through_the_proxy_or_not_at_all(void **state) {
    (void)state;
    const weir_mlflow mlflow = {.url = url};
    const weir_buf bytes = {.data = (char *)(uintptr_t) "abc", .len = 3};
    static const char *const uris[] = {"mlflow-artifacts:/1/run/artifacts", "mlflow-artifacts://host:5000/1/run/artifacts"};
    answer_status = 200;
    answer_body = "{}";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_mlflow_put(&mlflow, uris[i], "models/p/m 1.bin", &bytes, &err), WEIR_OK);
        assert_string_equal(seen, "PUT /api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/models/p/m 1.bin|abc||");
    }
    static const char *const elsewhere[] = {"s3://bucket/1/run/artifacts", "/mlruns/1", "mlflow-artifacts://host", ""};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        assert_int_equal(weir_mlflow_put(&mlflow, elsewhere[i], "x", &bytes, &err), WEIR_EINVAL);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
    }
}

static void names_are_made_such_as_mlflow_takes(void **state) {
    (void)state;
    char out[251], longer[400];
    weir_mlflow_key("m0=CLASS.auc roc/x:y-z", out);
    assert_string_equal(out, "m0_CLASS.auc roc/x:y-z");
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    weir_mlflow_key(longer, out);
    assert_int_equal(strlen(out), 250);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_succeed_later_is_tried_again_and_the_rest_is_not),
        cmocka_unit_test(a_server_that_is_away_is_tried_again),
        cmocka_unit_test(requests_carry_what_they_are_given),
        cmocka_unit_test(artifacts_go_through_the_proxy_or_not_at_all),
        cmocka_unit_test(names_are_made_such_as_mlflow_takes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
