/* Requests: the schema that is made of a pipeline, whom a request is about by its event or its key, its time, and what it gives itself. What comes off the wire is a double: the row that the test lays down. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/requests.h"
#include "core/clock.h"

#define NOW_US (INT64_C(1700000000) * WEIR_SECOND_US)
enum { COLUMNS_MAX = 64, AMOUNT_INPUT = 5, COUNT_INPUT = 20, MEAN_INPUT = 21 };

static weir_pipeline *pipeline;
static weir_requests requests;
static weir_datum wire[COLUMNS_MAX]; /* what the next record decodes to */
static weir_status decoding;

weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) {
    (void)registry, (void)reader, (void)err;
    assert_string_equal(subject, "fraud.requests-value");
    *ret_serde = NULL;
    return WEIR_OK;
}
void weir_serde_free(weir_serde *serde) {
    (void)serde;
}
weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) {
    (void)serde, (void)row, (void)out, (void)err;
    return WEIR_EINTERNAL;
}
weir_status weir_serde_decode(weir_serde *serde, const void *data, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) {
    (void)serde, (void)data, (void)len, (void)ret_id;
    if (decoding) return WEIR_REJECT(err, decoding, "no magic byte");
    memcpy(row, wire, sizeof *row * (size_t)weir_schema_field_count(requests.codec.schema));
    return WEIR_OK;
}

static int at(const char *column) {
    int index = weir_schema_find(requests.codec.schema, column);
    if (index < 0) fail_msg("the schema has no %s", column);
    return index;
}

static void say(const char *column, weir_datum value) {
    wire[at(column)] = value;
}

static int setup(void **state) {
    (void)state;
    static const char *const columns[] = {"amount", "customer_tx_count_1d", "customer_amount_mean_1d"};
    static const int inputs[] = {AMOUNT_INPUT, COUNT_INPUT, MEAN_INPUT};
    weir_err err;
    if (weir_requests_init(&requests, NULL, pipeline, columns, inputs, 3, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < COLUMNS_MAX; i++) wire[i] = weir_null();
    say("request_id", weir_text("r"));
    decoding = WEIR_OK;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weir_requests_done(&requests);
    return 0;
}

static weir_datum event[COLUMNS_MAX];
static char key[WEIR_KEY_MAX];
static weir_request request;
static weir_err why;
static const char *class;

static weir_status ask(const char *record_key, const char *value) {
    const weir_bus_record record = {.topic = "fraud.requests",
                                    .timestamp_ms = 1234567,
                                    .key = record_key,
                                    .key_len = record_key ? strlen(record_key) : 0,
                                    .value = value,
                                    .value_len = value ? strlen(value) : 0};
    request = (weir_request){0};
    return weir_requests_read(&requests, &record, NOW_US, event, key, &request, &class, &why);
}

/* A record that was written at this time, as its writer says. */
static weir_status ask_at(int64_t timestamp_ms) {
    const weir_bus_record record = {.topic = "fraud.requests", .timestamp_ms = timestamp_ms, .key = "acme/7", .key_len = 6, .value = "x", .value_len = 1};
    return weir_requests_read(&requests, &record, NOW_US, event, key, &request, &class, &why);
}

static void a_time_that_no_clock_shows_is_refused(void **state) {
    (void)state;
    assert_int_equal(ask_at(1234567), WEIR_OK);
    assert_true(request.t_us == INT64_C(1234567000));
    assert_int_equal(ask_at(INT64_MIN), WEIR_OK); /* none is given: now */
    assert_true(request.t_us == NOW_US);
    assert_int_equal(ask_at(INT64_MAX), WEIR_EDATA);
    assert_true(why.action == WEIR_ACTION_REJECT && !strcmp(class, "future"));
}

static void refused(const char *record_key, const char *as, const char *words) {
    assert_int_not_equal(ask(record_key, "x"), WEIR_OK);
    assert_int_equal(why.action, WEIR_ACTION_REJECT);
    assert_string_equal(class, as);
    if (!strstr(why.message, words)) fail_msg("\"%s\" does not say \"%s\"", why.message, words);
}

static const weir_datum *column(const char *name) {
    return &event[weir_schema_find(pipeline->events.schema, name)];
}

static bool is(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static void the_schema_has_the_columns_and_what_features_are_not_columns(void **state) {
    (void)state;
    static const char *const there[] = {"request_id",        "time",         "model",    "event",
                                        "event.customer_id", "event.amount", "features", "features.customer_tx_count_1d"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) assert_true(at(there[i]) >= 0);
    assert_int_equal(weir_schema_find(requests.codec.schema, "features.amount"), -1);
    assert_true(requests.event_count == weir_schema_field_count(pipeline->events.schema) && requests.feature_count == 2);
    for (int i = 1; i < weir_schema_field_count(requests.codec.schema); i++) assert_true(weir_schema_field_at(requests.codec.schema, i)->has_default || i > 3);
}

static void a_key_alone_says_whom_it_is_about(void **state) {
    (void)state;
    assert_int_equal(ask("acme/c|7/x", "x"), WEIR_OK);
    assert_true(is(column("tenant"), "acme") && is(column("customer_id"), "c|7/x") && column("amount")->type == WEIR_T_NULL);
    assert_true(request.key_len == 10 && request.tenant_len == 4 && !memcmp(key, "acme/c|7/x", 10) && is(&request.id, "r"));
    assert_true(request.model.type == WEIR_T_NULL && !request.is_event && request.t_us == INT64_C(1234567000));
}

static void an_event_says_it_and_must_have_come_under_its_key(void **state) {
    (void)state;
    say("event", weir_bool(true));
    say("event.tenant", weir_text("acme"));
    say("event.customer_id", weir_text("7"));
    assert_int_equal(ask("acme/7", "x"), WEIR_OK);
    assert_true(!request.is_event && is(column("customer_id"), "7"));
    refused("acme/8", "key", "about 'acme/7' and came under the key 'acme/8'");
    refused("", "key", "came under the key ''");
    refused(NULL, "key", "acme/7");
    say("event.customer_id", weir_null());
    refused("acme/7", "key", "customer_id");
    say("event.customer_id", weir_text("7"));
    say("event.transaction_id", weir_text("t"));
    say("event.terminal_id", weir_text("3"));
    say("event.amount", weir_f64(2));
    assert_int_equal(ask("acme/7", "x"), WEIR_OK);
    assert_true(request.is_event);
}

static void keys_that_name_nobody_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {NULL, "", "7", "acme/", "/7"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_int_not_equal(ask(keys[i], "x"), WEIR_OK);
        assert_true(why.action == WEIR_ACTION_REJECT && !strcmp(class, "key"));
    }
}

static void times_come_from_the_request_then_the_event_then_the_record(void **state) {
    (void)state;
    say("event", weir_bool(true));
    say("event.tx_time", weir_i64(77));
    assert_int_equal(ask("a/7", "x"), WEIR_OK);
    assert_true(request.t_us == 77 && column("tx_time")->i == 77);
    say("time", weir_i64(99));
    assert_int_equal(ask("a/7", "x"), WEIR_OK);
    assert_true(request.t_us == 99 && column("tx_time")->i == 99);
    say("time", weir_i64(NOW_US + pipeline->events.max_future_us + 1));
    refused("a/7", "future", "max_future");
    say("time", weir_i64(INT64_MIN));
    refused("a/7", "check", "years 1 to 9999");
}

static void ids_and_models_have_their_limits(void **state) {
    (void)state;
    static char much[300];
    memset(much, 'x', sizeof much);
    say("request_id", weir_str(much, WEIR_REQUEST_ID_MAX));
    say("model", weir_str(much, WEIR_REQUEST_MODEL_MAX));
    assert_int_equal(ask("a/7", "x"), WEIR_OK);
    say("model", weir_str(much, WEIR_REQUEST_MODEL_MAX + 1));
    refused("a/7", "decode", "model: expected 1 to 95 bytes");
    say("model", weir_text(""));
    refused("a/7", "decode", "model: expected");
    say("model", weir_null());
    const weir_datum wrong[] = {weir_str(much, WEIR_REQUEST_ID_MAX + 1), weir_text(""), weir_text("\xff"), weir_null()};
    for (int i = 0; i < 4; i++) {
        say("request_id", wrong[i]);
        refused("a/7", "decode", "request_id: expected 1 to 255 bytes");
    }
}

static void what_cannot_be_read_is_refused(void **state) {
    (void)state;
    assert_int_not_equal(ask("a/7", NULL), WEIR_OK);
    assert_true(why.action == WEIR_ACTION_REJECT && !strcmp(class, "decode"));
    decoding = WEIR_EDATA;
    refused("a/7", "decode", "no magic byte");
}

static void what_is_given_goes_over_the_inputs(void **state) {
    (void)state;
    double inputs[40];
    bool given[40] = {false};
    for (int i = 0; i < 40; i++) inputs[i] = i;
    assert_int_equal(ask("a/7", "x"), WEIR_OK);
    assert_int_equal(weir_requests_override(&requests, inputs, given), 0);
    say("features", weir_bool(true));
    say("features.customer_amount_mean_1d", weir_f64(-4));
    assert_int_equal(ask("a/7", "x"), WEIR_OK);
    assert_int_equal(weir_requests_override(&requests, inputs, given), 1);
    for (int i = 0; i < 40; i++) assert_true(inputs[i] == (i == MEAN_INPUT ? -4 : i) && given[i] == (i == MEAN_INPUT));
}

static int load(void **state) {
    (void)state;
    weir_err err;
    if (weir_pipeline_load("pipelines/fraud.json", &pipeline, &err)) fail_msg("%s", err.message);
    return 0;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_schema_has_the_columns_and_what_features_are_not_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_alone_says_whom_it_is_about, setup, teardown),
        cmocka_unit_test_setup_teardown(a_time_that_no_clock_shows_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_event_says_it_and_must_have_come_under_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_name_nobody_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(times_come_from_the_request_then_the_event_then_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_and_models_have_their_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_given_goes_over_the_inputs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
