/* Wire format and registry client against a registry that is a few lines of this file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/avro.h"
#include "core/http.h"

#define READER "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{\"name\":\"b\",\"type\":\"string\",\"default\":\"none\"}]}"

typedef struct fake {
    weir_http_server *http;
    char url[64];
    int gets, posts;
    char last_body[512], last_path[128];
} fake;

/* Ids: 7 a writer without b; 8 one that does not resolve; 9 Protobuf; 10 nonsense; 11 with references; 500 an error of the registry; others unknown. */
static void answer_id(const weir_http_request *request, weir_http_response *response, void *context) {
    fake *f = context;
    f->gets++;
    const char *text = NULL;
    int id = 0;
    (void)sscanf(request->path, "/r/schemas/ids/%d", &id);
    if (id == 7)
        text = "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"int\\\"}]}\"}";
    if (id == 8) text = "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[]}\"}";
    if (id == 9) text = "{\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax\"}";
    if (id == 10) text = "{\"schema\":\"nonsense\"}";
    if (id == 11) text = "{\"schema\":\"\\\"int\\\"\",\"references\":[{}]}";
    if (!text) {
        response->status = id == 500 ? 500 : 404;
        text = id == 500 ? "{\"error_code\":50001,\"message\":\"database away\"}" : "{\"error_code\":40403,\"message\":\"Schema not found\"}";
    }
    assert_true(weir_buf_append(&response->body, text, strlen(text)));
}

static void answer_register(const weir_http_request *request, weir_http_response *response, void *context) {
    fake *f = context;
    f->posts++;
    (void)snprintf(f->last_path, sizeof f->last_path, "%s", request->path);
    (void)snprintf(f->last_body, sizeof f->last_body, "%s", request->body);
    bool conflict = strstr(request->path, "conflict") != NULL;
    if (conflict) response->status = 409;
    assert_true(weir_buf_printf(&response->body, conflict ? "{\"error_code\":409,\"message\":\"incompatible\"}" : "{\"id\":258}"));
}

static int open_fake(void **state) {
    static fake f;
    f = (fake){0};
    weir_err err;
    if (weir_http_server_start("127.0.0.1", 0, 1, 4096, &f.http, &err)) return -1;
    if (weir_http_server_route(f.http, &(weir_http_route){"GET", "/r/schemas/ids/*", answer_id, &f}, &err)) return -1;
    if (weir_http_server_route(f.http, &(weir_http_route){"POST", "/r/subjects/*", answer_register, &f}, &err)) return -1;
    (void)snprintf(f.url, sizeof f.url, "http://127.0.0.1:%d/r/", weir_http_server_port(f.http));
    *state = &f;
    return 0;
}

static int close_fake(void **state) {
    weir_http_server_stop(((fake *)*state)->http);
    return 0;
}

static void must(weir_status status, const weir_err *err) {
    if (status) fail_msg("%s: %s", err->where, err->message);
}

typedef struct set {
    weir_registry *registry;
    weir_schema *reader;
    weir_serde *serde;
} set;

static set open_set(const char *url, const char *subject) {
    set s;
    weir_err err;
    must(weir_registry_new(url, &s.registry, &err), &err);
    must(weir_schema_parse(READER, strlen(READER), &s.reader, &err), &err);
    must(weir_serde_new(s.registry, subject, s.reader, &s.serde, &err), &err);
    return s;
}

static void close_set(set *s) {
    weir_serde_free(s->serde);
    weir_schema_free(s->reader);
    weir_registry_free(s->registry);
}

static void record_is_written_under_the_registered_id(void **state) {
    fake *f = *state;
    set s = open_set(f->url, "fraud.events/x-value");
    weir_err err;
    weir_buf out = {0};
    weir_datum row[2] = {weir_i64(1), weir_text("x")};
    for (int i = 0; i < 2; i++) {
        weir_buf_clear(&out);
        must(weir_serde_encode(s.serde, row, &out, &err), &err);
        assert_int_equal(out.len, 8);
        assert_memory_equal(out.data, "\x00\x00\x00\x01\x02\x02\x02x", 8);
    }
    assert_int_equal(f->posts, 1);
    assert_string_equal(f->last_path, "/r/subjects/fraud.events/x-value/versions"); /* decoded by the server; sent as %2F */
    assert_non_null(strstr(f->last_body, "{\"schema\":\"{\\\"type\\\":\\\"record\\\""));
    /* A value that does not fit leaves the buffer as it was. */
    row[0] = weir_f64(1);
    assert_int_equal(weir_serde_encode(s.serde, row, &out, &err), WEIR_EDATA);
    assert_int_equal(out.len, 8);
    weir_buf_done(&out);
    close_set(&s);
}

static void record_of_another_writer_is_resolved_and_its_schema_asked_once(void **state) {
    fake *f = *state;
    set s = open_set(f->url, NULL);
    weir_err err;
    weir_datum row[2];
    uint32_t id = 0;
    for (int i = 0; i < 3; i++) {
        must(weir_serde_decode(s.serde, "\x00\x00\x00\x00\x07\x06", 6, row, &id, &err), &err);
        assert_int_equal(id, 7);
        assert_int_equal(row[0].i, 3);
        assert_memory_equal(row[1].p, "none", 4);
    }
    assert_int_equal(f->gets, 1);
    assert_int_equal(weir_serde_decode(s.serde, "\x00\x00\x00\x00\x07", 5, row, NULL, &err), WEIR_EDATA);
    weir_buf out = {0};
    assert_int_equal(weir_serde_encode(s.serde, row, &out, &err), WEIR_EINVAL);
    weir_buf_done(&out);
    close_set(&s);
}

static void bad_values_are_rejected_in_words(void **state) {
    fake *f = *state;
    set s = open_set(f->url, NULL);
    static const struct {
        const char *bytes;
        size_t len;
        weir_status status;
        const char *words;
    } cases[] = {
        {"", 0, WEIR_EDATA, "too short"},
        {"\x00\x00\x00\x00", 4, WEIR_EDATA, "too short"},
        {"{\"a\": 1}", 8, WEIR_EDATA, "magic byte"},
        {"\x00\x00\x00\x00\x08", 5, WEIR_EDATA, "cannot be read here: field \"a\""},
        {"\x00\x00\x00\x00\x08", 5, WEIR_EDATA, "schema id 8"}, /* from memory */
        {"\x00\x00\x00\x00\x09\x02", 6, WEIR_EDATA, "PROTOBUF"},
        {"\x00\x00\x00\x00\x0a\x02", 6, WEIR_EDATA, "not JSON"},
        {"\x00\x00\x00\x00\x0b\x02", 6, WEIR_EDATA, "refers to other schemas"},
        {"\x00\xff\xff\xff\xff\x02", 6, WEIR_ENOTFOUND, "schema id 4294967295"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_err err = {0};
        weir_datum row[2];
        assert_int_equal(weir_serde_decode(s.serde, cases[i].bytes, cases[i].len, row, NULL, &err), cases[i].status);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        if (!strstr(err.message, cases[i].words)) fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].words);
    }
    close_set(&s);
}

static void registry_in_trouble_or_away_is_retry(void **state) {
    fake *f = *state;
    weir_err err = {0};
    weir_datum row[2];
    set s = open_set(f->url, NULL);
    assert_int_equal(weir_serde_decode(s.serde, "\x00\x00\x00\x01\xf4\x02", 6, row, NULL, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_non_null(strstr(err.message, "database away"));
    close_set(&s);
    s = open_set("http://127.0.0.1:1", "t-value");
    weir_buf out = {0};
    weir_datum one[2] = {weir_i64(1), weir_text("x")};
    assert_int_not_equal(weir_serde_encode(s.serde, one, &out, &err), WEIR_OK);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_buf_done(&out);
    close_set(&s);
}

static void incompatible_schema_is_a_conflict(void **state) {
    fake *f = *state;
    weir_err err = {0};
    weir_registry *registry;
    uint32_t id;
    must(weir_registry_new(f->url, &registry, &err), &err);
    assert_int_equal(weir_registry_register(registry, "conflict-value", READER, &id, &err), WEIR_ECONFLICT);
    assert_int_equal(err.action, WEIR_ACTION_FATAL);
    assert_non_null(strstr(err.message, "incompatible"));
    weir_registry_free(registry);
    assert_int_equal(weir_registry_new("localhost:8081", &registry, &err), WEIR_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, open_fake, close_fake)
        WITH_FAKE(record_is_written_under_the_registered_id), WITH_FAKE(record_of_another_writer_is_resolved_and_its_schema_asked_once),
        WITH_FAKE(bad_values_are_rejected_in_words),          WITH_FAKE(registry_in_trouble_or_away_is_retry),
        WITH_FAKE(incompatible_schema_is_a_conflict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
