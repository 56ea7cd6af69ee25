/* What a server allows its clients: how many, how much, how slowly; and what it tells of them. With raw sockets, because no client library would misbehave so. */
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

#include "core/http.h"
#include "core/metrics.h"

enum { BODY_MAX = 100000, GOT_MAX = 8192 };

static weir_http_server *server;

static void echo(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)context;
    if (!weir_buf_printf(&response->body, "echo %zu %.40s", request->body_len, request->body)) weir_http_error(response, 500, "no memory");
}

static void start(weir_http_options options) {
    weir_err err = {0};
    const weir_http_route routes[] = {{"POST", "/echo", echo, NULL}, {"GET", "/echo", echo, NULL}};
    options.host = "127.0.0.1";
    options.max_body_bytes = BODY_MAX;
    if (!options.threads) options.threads = 2;
    if (weir_http_server_start_with(&options, &server, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++) assert_int_equal(weir_http_server_route(server, &routes[i], &err), WEIR_OK);
}

static int stop(void **state) {
    (void)state;
    weir_http_server_stop(server);
    server = NULL;
    return 0;
}

static int dial(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)weir_http_server_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the peer closes or `until` was seen so many times; returns how often it was. */
static int hear(int fd, const char *until, int times, char got[GOT_MAX]) {
    size_t len = 0;
    int seen = 0;
    got[0] = 0;
    while (seen < times && len + 1 < GOT_MAX) {
        ssize_t n = recv(fd, got + len, GOT_MAX - len - 1, 0);
        if (n <= 0) break;
        len += (size_t)n;
        got[len] = 0;
        seen = 0;
        for (const char *at = got; (at = strstr(at, until)); at += strlen(until)) seen++;
    }
    return seen;
}

/* On connections of their own, until an answer begins so. */
static void ask_until(const char *request, const char *begin) {
    char got[GOT_MAX];
    for (int i = 0;; i++) {
        int fd = dial();
        say(fd, request);
        assert_int_equal(hear(fd, "\r\n\r\n", 1, got), 1);
        close(fd);
        if (!strncmp(got, begin, strlen(begin))) return;
        if (i == 2000) fail_msg("\"%s\" never came: %s", begin, got);
        usleep(10000);
    }
}

/* How many requests were refused for this reason, by all servers of the process. */
static double refused(const char *reason) {
    return weir_metric_value(WEIR_METRIC("weir_http_refused_total", reason));
}

#define GET_ECHO "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST_HEAD(length) "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " length "\r\n\r\n"

static void requests_in_a_pipeline_are_answered_in_their_order(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){0});
    int fd = dial();
    say(fd, POST_HEAD("3") "one" POST_HEAD("3") "two" GET_ECHO POST_HEAD("5") "three");
    assert_int_equal(hear(fd, "echo ", 4, got), 4);
    const char *one = strstr(got, "echo 3 one"), *two = strstr(got, "echo 3 two"), *none = strstr(got, "echo 0 "), *three = strstr(got, "echo 5 three");
    assert_true(one && two > one && none > two && three > none);
    say(fd, GET_ECHO); /* and the connection lives */
    assert_int_equal(hear(fd, "echo 0", 1, got), 1);
    close(fd);
}

static void a_request_in_pieces_is_one_request(void **state) {
    (void)state;
    static const char text[] = POST_HEAD("4") "body";
    char got[GOT_MAX];
    start((weir_http_options){0});
    int fd = dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
        if (i % 8 == 0) usleep(1000);
    }
    assert_int_equal(hear(fd, "echo 4 body", 1, got), 1);
    close(fd);
}

static void too_many_requests_at_once_are_told_to_come_again(void **state) {
    (void)state;
    char got[GOT_MAX];
    double before = refused("busy");
    start((weir_http_options){.requests_max = 2});
    int slow[2] = {dial(), dial()}, fd = dial();
    for (int i = 0; i < 2; i++) say(slow[i], POST_HEAD("4") "bo");
    ask_until(POST_HEAD("4") "body", "HTTP/1.1 429 ");
    say(fd, POST_HEAD("4") "body");
    assert_int_equal(hear(fd, "try again", 1, got), 1);
    assert_non_null(strcasestr(got, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(got, "{\"error\":\"too many requests at once"));
    assert_true(refused("busy") >= before + 2);
    say(fd, GET_ECHO); /* who asks without a body, as a supervisor does, is answered */
    assert_int_equal(hear(fd, "echo 0", 1, got), 1);
    for (int i = 0; i < 2; i++) {
        say(slow[i], "dy");
        assert_int_equal(hear(slow[i], "echo 4 body", 1, got), 1);
        close(slow[i]);
    }
    ask_until(POST_HEAD("4") "body", "HTTP/1.1 200 ");
    close(fd);
}

static void bodies_have_a_bound_together(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){.body_bytes_max = 1000});
    int slow = dial(), fd = dial();
    say(slow, POST_HEAD("900") "x");
    ask_until(POST_HEAD("101") "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901", "HTTP/1.1 429 ");
    say(fd, POST_HEAD("4") "body");
    assert_int_equal(hear(fd, "echo 4 body", 1, got), 1);
    /* one that does not say its length is counted as it comes */
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n12345678901234567890123456789012345678901234567890\r\n"
            "33\r\n123456789012345678901234567890123456789012345678901\r\n0\r\n\r\n");
    assert_int_equal(hear(fd, "try again", 1, got), 1);
    close(slow);
    ask_until(POST_HEAD("101") "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901", "HTTP/1.1 200 ");
    close(fd);
}

typedef struct dripper {
    int fd;
    atomic_bool ended;
} dripper;

/* A byte at a time for ever: never silent. */
static void *drip(void *context) {
    dripper *d = context;
    while (!atomic_load(&d->ended) && send(d->fd, "x", 1, MSG_NOSIGNAL) == 1) usleep(20000);
    return NULL;
}

static void drip_until_ended(const char *head, char got[GOT_MAX]) {
    dripper d = {.fd = dial()};
    pthread_t thread;
    say(d.fd, head);
    assert_int_equal(pthread_create(&thread, NULL, drip, &d), 0);
    hear(d.fd, "never said", 1, got); /* until the server closes */
    atomic_store(&d.ended, true);
    pthread_join(thread, NULL);
    close(d.fd);
}

static void a_dripping_body_is_ended_and_others_do_not_wait(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){.request_timeout_ms = 300, .threads = 1});
    drip_until_ended("POST /echo HTTP/1.1\r\nContent-Length: 90000\r\nHost: x\r\n\r\n", got);
    assert_memory_equal(got, "HTTP/1.1 408 ", 13);
    assert_non_null(strstr(got, "\r\n\r\n{\"error\":\"the request did not arrive whole within time\"}"));
    int fd = dial();
    say(fd, GET_ECHO);
    assert_int_equal(hear(fd, "echo 0", 1, got), 1);
    close(fd);
}

static void dripping_headers_are_ended(void **state) {
    (void)state;
    char got[GOT_MAX];
    double before = refused("late");
    start((weir_http_options){.request_timeout_ms = 300});
    drip_until_ended("GET / HTTP/1.1\r\nX-Long: ", got);
    assert_memory_equal(got, "HTTP/1.1 408 ", 13);
    assert_true(refused("late") == before + 1);
}

static void a_dripping_request_line_and_an_idle_connection_are_closed(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){.idle_timeout_ms = 300});
    drip_until_ended("GET /", got);
    assert_string_equal(got, "");
    int fd = dial();
    say(fd, GET_ECHO);
    assert_int_equal(hear(fd, "echo 0", 1, got), 1);
    assert_int_equal(hear(fd, "anything", 1, got), 0);
    close(fd);
}

static void one_address_has_so_many_connections(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){.address_connections_max = 2, .threads = 1});
    int first = dial(), second = dial();
    say(first, GET_ECHO);
    assert_int_equal(hear(first, "echo 0", 1, got), 1);
    say(second, GET_ECHO);
    assert_int_equal(hear(second, "echo 0", 1, got), 1);
    int third = dial();
    (void)send(third, GET_ECHO, strlen(GET_ECHO), MSG_NOSIGNAL);
    assert_int_equal(hear(third, "echo 0", 1, got), 0);
    close(first), close(second), close(third);
}

static void a_coded_body_is_refused(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){0});
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody");
    assert_int_equal(hear(fd, "send it as it is", 1, got), 1);
    assert_memory_equal(got, "HTTP/1.1 415 ", 13);
    close(fd);
}

static void a_server_that_leaves_says_so(void **state) {
    (void)state;
    char got[GOT_MAX];
    start((weir_http_options){0});
    int fd = dial();
    say(fd, GET_ECHO);
    assert_int_equal(hear(fd, "echo 0", 1, got), 1);
    assert_null(strcasestr(got, "Connection: close"));
    weir_http_server_drain(server);
    say(fd, GET_ECHO);
    assert_int_equal(hear(fd, "anything", 1, got), 0); /* it is closed behind the answer */
    assert_non_null(strcasestr(got, "Connection: close"));
    assert_non_null(strstr(got, "echo 0"));
    close(fd);
    fd = dial();
    say(fd, "GET /gone HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "anything", 1, got);
    assert_memory_equal(got, "HTTP/1.1 503 ", 13);
    assert_non_null(strcasestr(got, "\r\nRetry-After: "));
    close(fd);
}

/* What the access log holds when the server has stopped. */
static void stop_and_read(const char *path, char log[GOT_MAX]) {
    weir_http_server_stop(server);
    server = NULL;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    log[fread(log, 1, GOT_MAX - 1, file)] = 0;
    fclose(file);
    unlink(path);
}

static void every_request_is_a_line_of_the_access_log(void **state) {
    (void)state;
    char path[] = "/tmp/weir-access-XXXXXX", got[GOT_MAX], log[GOT_MAX] = "";
    close(mkstemp(path));
    start((weir_http_options){.access_log = path});
    int fd = dial();
    say(fd, "POST /echo?token=hidden HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hidden\r\ntraceparent: "
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
            "Content-Length: 4\r\n\r\nbody");
    assert_int_equal(hear(fd, "echo 4 body", 1, got), 1);
    say(fd, "GET /no%22such HTTP/1.1\r\nHost: x\r\ntraceparent: nonsense\r\n\r\n");
    assert_int_equal(hear(fd, "there is nothing", 1, got), 1);
    close(fd);
    stop_and_read(path, log);
    char *second = strchr(log, '\n');
    assert_non_null(second);
    *second++ = 0;
    assert_memory_equal(log, "{\"time\":\"20", 11);
    assert_non_null(
        strstr(log, "\"client\":\"127.0.0.1\",\"method\":\"POST\",\"path\":\"/echo\",\"status\":200,\"request_bytes\":4,\"answer_bytes\":11,\"duration_us\":"));
    assert_non_null(strstr(log, ",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"}"));
    assert_non_null(strstr(second, "\"path\":\"/no\\\"such\",\"status\":404,\"request_bytes\":0,"));
    assert_null(strstr(second, "trace_id"));
    assert_null(strstr(log, "hidden"));
}

static void a_request_that_came_too_late_is_in_the_access_log(void **state) {
    (void)state;
    char path[] = "/tmp/weir-access-XXXXXX", got[GOT_MAX], log[GOT_MAX] = "";
    close(mkstemp(path));
    start((weir_http_options){.access_log = path, .request_timeout_ms = 300});
    drip_until_ended("POST /echo HTTP/1.1\r\nContent-Length: 90000\r\nHost: x\r\n\r\n", got);
    stop_and_read(path, log);
    if (!strstr(log, "\"path\":\"/echo\",\"status\":408,")) fail_msg("no 408: %s", log);
}

static void an_access_log_that_cannot_be_written_is_named(void **state) {
    (void)state;
    weir_err err = {0};
    const weir_http_options options = {.host = "127.0.0.1", .threads = 1, .max_body_bytes = 1, .access_log = "/no/such/folder/log"};
    assert_int_equal(weir_http_server_start_with(&options, &server, &err), WEIR_EIO);
    assert_non_null(strstr(err.message, "/no/such/folder/log"));
    assert_null(server);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, stop)
    const struct CMUnitTest tests[] = {
        TEST(requests_in_a_pipeline_are_answered_in_their_order),
        TEST(a_request_in_pieces_is_one_request),
        TEST(too_many_requests_at_once_are_told_to_come_again),
        TEST(bodies_have_a_bound_together),
        TEST(a_dripping_body_is_ended_and_others_do_not_wait),
        TEST(dripping_headers_are_ended),
        TEST(a_dripping_request_line_and_an_idle_connection_are_closed),
        TEST(one_address_has_so_many_connections),
        TEST(a_coded_body_is_refused),
        TEST(a_server_that_leaves_says_so),
        TEST(every_request_is_a_line_of_the_access_log),
        TEST(a_request_that_came_too_late_is_in_the_access_log),
        TEST(an_access_log_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
