#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/http.h"

enum { BODY_MAX = 100000, TIMEOUT_MS = 20000 };

static weir_http_server *server;
static weir_buf answer;

/* ---- handlers ---- */

/* "method path query=q header=X-Test body" */
static void echo(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)context;
    const char *query = weir_http_query(request, "q"), *header = weir_http_header(request, "x-test");
    response->content_type = "text/plain";
    bool ok =
        weir_buf_printf(&response->body, "%s %s query=%s header=%s ", request->method, request->path, query ? query : "(none)", header ? header : "(none)") &&
        weir_buf_append(&response->body, request->body, request->body_len);
    if (!ok || strlen(request->body) > request->body_len) weir_http_error(response, 500, "echo failed");
}

static void say(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request;
    if (!weir_buf_printf(&response->body, "%s", (const char *)context)) weir_http_error(response, 500, "no memory");
}

static void fail_with_quotes(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    if (!weir_buf_printf(&response->body, "half an answer")) return;
    weir_http_error(response, 503, "not \"%s\"", "ready");
}

static void deny(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    weir_http_error(response, 401, "who are you?");
}

static void forget_the_status(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    response->status = 0;
}

static void empty(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    response->status = 204;
}

typedef struct gate {
    atomic_int entered, open, left;
} gate;

static void wait_at_gate(const weir_http_request *request, weir_http_response *response, void *context) {
    gate *g = context;
    atomic_store(&g->entered, 1);
    while (!atomic_load(&g->open)) usleep(1000);
    atomic_store(&g->left, 1);
    say(request, response, "through");
}

/* ---- helpers ---- */

static void add_route(const char *method, const char *path, weir_http_handler handler, void *context) {
    weir_err err;
    weir_http_route route = {.method = method, .path = path, .handler = handler, .context = context};
    if (weir_http_server_route(server, &route, &err) != WEIR_OK) fail_msg("%s", err.message);
}

static int start(void **state) {
    (void)state;
    weir_err err;
    if (weir_http_server_start("127.0.0.1", 0, 2, BODY_MAX, &server, &err) != WEIR_OK) fail_msg("%s", err.message);
    return 0;
}

static int stop(void **state) {
    (void)state;
    weir_http_server_stop(server);
    server = NULL;
    weir_buf_done(&answer);
    return 0;
}

static int call_body(const char *method, const char *path, const void *body, size_t body_len) {
    char url[512];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", weir_http_server_port(server), path);
    int http_status = 0;
    weir_err err;
    if (weir_http_call(method, url, body ? "text/plain" : NULL, body, body_len, TIMEOUT_MS, &http_status, &answer, &err) != WEIR_OK)
        fail_msg("%s", err.message);
    return http_status;
}

static int call(const char *method, const char *path) {
    return call_body(method, path, NULL, 0);
}

static int connect_raw(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)weir_http_server_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends text and reads until the peer closes or `until` was seen. */
static void talk_raw(int fd, const char *text, const char *until, char *got, size_t size) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    size_t len = 0;
    ssize_t n;
    got[0] = 0;
    while (!strstr(got, until) && len + 1 < size && (n = recv(fd, got + len, size - len - 1, 0)) > 0) {
        len += (size_t)n;
        got[len] = 0;
    }
}

/* ---- tests ---- */

static void request_reaches_its_handler_whole(void **state) {
    (void)state;
    add_route("POST", "/echo", echo, NULL);
    assert_int_equal(call_body("POST", "/echo?q=a%20b%26c", "hello\0world", 11), 200);
    static const char expected[] = "POST /echo query=a b&c header=(none) hello\0world";
    assert_int_equal(answer.len, sizeof expected - 1);
    assert_memory_equal(answer.data, expected, sizeof expected - 1);
    assert_int_equal(call_body("POST", "/echo?q", "", 0), 200);
    assert_string_equal(answer.data, "POST /echo query= header=(none) ");
}

static void path_is_decoded_once(void **state) {
    (void)state;
    add_route("GET", "/subjects/*", echo, NULL);
    assert_int_equal(call("GET", "/subjects/a%2Fb%20%25%c3%a9/versions"), 200);
    assert_string_equal(answer.data, "GET /subjects/a/b %é/versions query=(none) header=(none) ");
    /* What is no escape stays; a decoded NUL would cut the path. */
    assert_int_equal(call("GET", "/subjects/100%25%zz%00x%"), 200);
    assert_string_equal(answer.data, "GET /subjects/100%%zz%00x% query=(none) header=(none) ");
}

static void most_specific_route_wins(void **state) {
    (void)state;
    add_route("GET", "/a/*", say, "short");
    add_route("GET", "/a/b/*", say, "long");
    add_route("GET", "/a/b/c", say, "exact");
    add_route("*", "/a/b/c", say, "any");
    call("GET", "/a/x");
    assert_string_equal(answer.data, "short");
    call("GET", "/a/b/x");
    assert_string_equal(answer.data, "long");
    call("DELETE", "/a/b/c");
    assert_string_equal(answer.data, "any");
    weir_http_server_unroute(server, "any");
    call("GET", "/a/b/c");
    assert_string_equal(answer.data, "exact");
}

static void unknown_paths_and_methods_are_told(void **state) {
    (void)state;
    add_route("GET", "/thing", say, "x");
    add_route("PUT", "/thing", say, "y");
    assert_int_equal(call("GET", "/nothing"), 404);
    assert_string_equal(answer.data, "{\"error\":\"there is nothing at /nothing\"}\n");
    assert_int_equal(call("DELETE", "/thing"), 405);
    assert_string_equal(answer.data, "{\"error\":\"/thing takes PUT, GET, HEAD, not DELETE\"}\n");
    char got[2000];
    int fd = connect_raw();
    talk_raw(fd, "DELETE /thing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "not DELETE", got, sizeof got);
    close(fd);
    assert_non_null(strcasestr(got, "\r\nAllow: PUT, GET, HEAD\r\n"));
    assert_non_null(strcasestr(got, "\r\nContent-Type: application/json\r\n"));
}

static void who_is_refused_is_told_what_is_asked_for(void **state) {
    (void)state;
    static const struct {
        const char *header, *challenge;
    } cases[] = {{"", "\r\nWWW-Authenticate: Bearer realm=\"weir\"\r\n"},
                 {"Authorization: Bearer x\r\n", "\r\nWWW-Authenticate: Bearer realm=\"weir\", error=\"invalid_token\"\r\n"}};
    add_route("GET", "/mine", deny, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[200], got[2000];
        snprintf(request, sizeof request, "GET /mine HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n", cases[i].header);
        int fd = connect_raw();
        talk_raw(fd, request, "who are you?", got, sizeof got);
        close(fd);
        assert_non_null(strstr(got, " 401 "));
        assert_non_null(strcasestr(got, cases[i].challenge));
    }
}

static void same_route_twice_is_refused(void **state) {
    (void)state;
    weir_err err;
    weir_http_route route = {.method = "GET", .path = "/metrics", .handler = say, .context = "x"};
    assert_int_equal(weir_http_server_route(server, &route, &err), WEIR_ECONFLICT);
    route.path = "metrics";
    assert_int_equal(weir_http_server_route(server, &route, &err), WEIR_EINVAL);
    route.path = "";
    assert_int_equal(weir_http_server_route(server, &route, &err), WEIR_EINVAL);
}

static void head_is_get_without_the_body(void **state) {
    (void)state;
    add_route("GET", "/hello", say, "hello");
    assert_int_equal(call("HEAD", "/hello"), 200);
    assert_int_equal(answer.len, 0);
    assert_int_equal(call("GET", "/hello"), 200);
    assert_string_equal(answer.data, "hello");
    char got[2000];
    int fd = connect_raw();
    talk_raw(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n", got, sizeof got);
    close(fd);
    assert_non_null(strcasestr(got, "Content-Length: 5\r\n"));
}

static void bodies_above_the_limit_get_413_and_the_connection_lives(void **state) {
    (void)state;
    add_route("POST", "/echo", echo, NULL);
    char *large = calloc(1, BODY_MAX + 1);
    memset(large, 'x', BODY_MAX + 1);
    assert_int_equal(call_body("POST", "/echo", large, BODY_MAX), 200);
    assert_int_equal(answer.len, strlen("POST /echo query=(none) header=(none) ") + BODY_MAX);
    assert_int_equal(call_body("POST", "/echo", large, BODY_MAX + 1), 413);
    assert_string_equal(answer.data, "{\"error\":\"the body has 100001 bytes; at most 100000 are taken\"}\n");
    free(large);
    assert_int_equal(call_body("POST", "/echo", "again", 5), 200);
}

static void client_that_asks_first_is_refused_at_once(void **state) {
    (void)state;
    add_route("POST", "/echo", echo, NULL);
    char got[2000];
    int fd = connect_raw();
    talk_raw(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n", "too long", got, sizeof got);
    close(fd);
    assert_memory_equal(got, "HTTP/1.1 413", 12);
}

static void handler_errors_are_json(void **state) {
    (void)state;
    add_route("GET", "/fail", fail_with_quotes, NULL);
    add_route("GET", "/forget", forget_the_status, NULL);
    add_route("GET", "/empty", empty, NULL);
    assert_int_equal(call("GET", "/fail"), 503);
    assert_string_equal(answer.data, "{\"error\":\"not \\\"ready\\\"\"}\n");
    assert_int_equal(call("GET", "/forget"), 500);
    assert_string_equal(answer.data, "{\"error\":\"the handler gave no answer\"}\n");
    assert_int_equal(call("GET", "/empty"), 204);
    assert_int_equal(answer.len, 0);
}

static void one_connection_serves_many_requests(void **state) {
    (void)state;
    add_route("GET", "/hello", say, "hello");
    char got[2000];
    int fd = connect_raw();
    for (int i = 0; i < 3; i++) {
        talk_raw(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\nhello", got, sizeof got);
        assert_memory_equal(got, "HTTP/1.1 200 OK", 15);
    }
    close(fd);
}

static void metrics_are_built_in(void **state) {
    (void)state;
    assert_int_equal(call("GET", "/metrics"), 200);
    assert_string_equal(answer.data + answer.len - 6, "# EOF\n");
    assert_non_null(strstr(answer.data, "process_resident_memory_bytes"));
    char got[4000];
    int fd = connect_raw();
    talk_raw(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "# EOF", got, sizeof got);
    close(fd);
    assert_non_null(strcasestr(got, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
}

static void busy_port_is_named(void **state) {
    (void)state;
    weir_http_server *second = NULL;
    weir_err err;
    int port = weir_http_server_port(server);
    assert_int_equal(weir_http_server_start("127.0.0.1", port, 1, BODY_MAX, &second, &err), WEIR_ECONFLICT);
    assert_null(second);
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    assert_non_null(strstr(err.message, number));
    assert_int_equal(weir_http_server_start("127.0.0.1", 70000, 1, BODY_MAX, &second, &err), WEIR_EINVAL);
    assert_int_equal(weir_http_server_start("no such host", 0, 1, BODY_MAX, &second, &err), WEIR_EINVAL);
}

static void *call_gate(void *unused) {
    (void)unused;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/gate", weir_http_server_port(server));
    weir_buf body = {0};
    int http_status = 0;
    weir_err err;
    weir_status status = weir_http_call("GET", url, NULL, NULL, 0, TIMEOUT_MS, &http_status, &body, &err);
    bool through = status == WEIR_OK && http_status == 200 && !strcmp(body.data, "through");
    weir_buf_done(&body);
    return through ? "through" : NULL;
}

static void *open_later(void *context) {
    usleep(50000);
    atomic_store(&((gate *)context)->open, 1);
    return NULL;
}

static void unroute_waits_for_the_handler(void **state) {
    (void)state;
    gate g = {0};
    add_route("GET", "/gate", wait_at_gate, &g);
    pthread_t caller, opener;
    assert_int_equal(pthread_create(&caller, NULL, call_gate, NULL), 0);
    while (!atomic_load(&g.entered)) usleep(1000);
    assert_int_equal(pthread_create(&opener, NULL, open_later, &g), 0);
    weir_http_server_unroute(server, &g);
    assert_int_equal(atomic_load(&g.left), 1);
    void *result;
    pthread_join(caller, &result);
    pthread_join(opener, NULL);
    assert_non_null(result);
    assert_int_equal(call("GET", "/gate"), 404);
}

static void stop_lets_running_requests_finish(void **state) {
    (void)state;
    gate g = {0};
    add_route("GET", "/gate", wait_at_gate, &g);
    pthread_t caller, opener;
    assert_int_equal(pthread_create(&caller, NULL, call_gate, NULL), 0);
    while (!atomic_load(&g.entered)) usleep(1000);
    assert_int_equal(pthread_create(&opener, NULL, open_later, &g), 0);
    weir_http_server_stop(server);
    server = NULL;
    assert_int_equal(atomic_load(&g.left), 1);
    void *result;
    pthread_join(caller, &result);
    pthread_join(opener, NULL);
    assert_non_null(result);
}

static void client_tells_transport_failures(void **state) {
    (void)state;
    weir_err err;
    int http_status = 7;
    char url[100];
    snprintf(url, sizeof url, "http://user:secret@127.0.0.1:%d/gone", weir_http_server_port(server));
    weir_http_server_stop(server);
    server = NULL;
    assert_int_equal(weir_http_call("GET", url, NULL, NULL, 0, TIMEOUT_MS, &http_status, &answer, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(http_status, 7);
    assert_int_equal(weir_http_call("GET", "ftp://127.0.0.1/", NULL, NULL, 0, TIMEOUT_MS, &http_status, &answer, &err), WEIR_EINVAL);
    assert_int_equal(weir_http_call("GET", "not a url", NULL, NULL, 0, TIMEOUT_MS, &http_status, &answer, &err), WEIR_EINVAL);
}

static void client_gives_up_in_time(void **state) {
    (void)state;
    gate g = {0};
    add_route("GET", "/gate", wait_at_gate, &g);
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/gate", weir_http_server_port(server));
    weir_err err;
    int http_status;
    weir_clock *clock = weir_clock_system();
    int64_t before = weir_clock_mono_us(clock);
    assert_int_equal(weir_http_call("GET", url, NULL, NULL, 0, 100, &http_status, &answer, &err), WEIR_ETIMEOUT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_true(weir_clock_mono_us(clock) - before < 5 * WEIR_SECOND_US);
    atomic_store(&g.open, 1);
    weir_http_server_unroute(server, &g);
}

enum { CALLERS = 4, CALLS = 200 };

static void *call_often(void *unused) {
    (void)unused;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/echo", weir_http_server_port(server));
    weir_buf body = {0};
    intptr_t good = 0;
    for (int i = 0; i < CALLS; i++) {
        int http_status = 0;
        char text[20], expected[100];
        int len = snprintf(text, sizeof text, "body %d", i);
        snprintf(expected, sizeof expected, "POST /echo query=(none) header=(none) %s", text);
        good += weir_http_call("POST", url, NULL, text, (size_t)len, TIMEOUT_MS, &http_status, &body, NULL) == WEIR_OK && http_status == 200 &&
                !strcmp(body.data, expected);
    }
    weir_buf_done(&body);
    return (void *)good;
}

static void threads_call_and_routes_change_at_once(void **state) {
    (void)state;
    add_route("POST", "/echo", echo, NULL);
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_often, NULL), 0);
    for (int i = 0; i < 200; i++) {
        add_route("GET", "/passing", say, "passing");
        weir_http_server_unroute(server, "passing");
    }
    for (int i = 0; i < CALLERS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, CALLS);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(request_reaches_its_handler_whole),
        TEST(path_is_decoded_once),
        TEST(most_specific_route_wins),
        TEST(unknown_paths_and_methods_are_told),
        TEST(who_is_refused_is_told_what_is_asked_for),
        TEST(same_route_twice_is_refused),
        TEST(head_is_get_without_the_body),
        TEST(bodies_above_the_limit_get_413_and_the_connection_lives),
        TEST(client_that_asks_first_is_refused_at_once),
        TEST(handler_errors_are_json),
        TEST(one_connection_serves_many_requests),
        TEST(metrics_are_built_in),
        TEST(busy_port_is_named),
        TEST(unroute_waits_for_the_handler),
        TEST(stop_lets_running_requests_finish),
        TEST(client_tells_transport_failures),
        TEST(client_gives_up_in_time),
        TEST(threads_call_and_routes_change_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
