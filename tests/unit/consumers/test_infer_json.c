#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/infer_json.h"
#include "tests/unit/starve.h"

static const char *const columns[] = {"amount", "count_1d"};
static const char schema_json[] = "{\"type\":\"record\",\"name\":\"Payment\",\"fields\":["
                                  "{\"name\":\"tenant\",\"type\":\"string\",\"default\":\"default\"},"
                                  "{\"name\":\"customer_id\",\"type\":\"string\"},"
                                  "{\"name\":\"tx_time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
                                  "{\"name\":\"amount\",\"type\":\"double\"},"
                                  "{\"name\":\"items\",\"type\":[\"null\",\"int\"],\"default\":null},"
                                  "{\"name\":\"online\",\"type\":[\"null\",\"boolean\"],\"default\":null}]}";
enum { TENANT, CUSTOMER, TX_TIME, AMOUNT, ITEMS, ONLINE, FIELDS };

static int make_feed(void **state) {
    static weir_feed_def feed;
    feed = (weir_feed_def){.time_index = TX_TIME};
    if (weir_schema_parse(schema_json, strlen(schema_json), &feed.schema, NULL)) return -1;
    *state = &feed;
    return 0;
}

static int free_feed(void **state) {
    weir_schema_free(((weir_feed_def *)*state)->schema);
    return 0;
}

/* The message of a body that must be refused; static storage. */
static const char *refusal(const char *body) {
    static weir_err err;
    weir_infer_request request;
    weir_status status = weir_infer_parse(body, strlen(body), WEIR_INFER_ALL_JSON, &request, &err);
    assert_int_not_equal(status, WEIR_OK);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    weir_infer_request_done(&request);
    return err.message;
}

static void parse(const char *body, weir_infer_request *request) {
    weir_err err = {0};
    if (weir_infer_parse(body, strlen(body), WEIR_INFER_ALL_JSON, request, &err)) fail_msg("%s", err.message);
}

#define INPUT(name, type, shape, data) "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":" shape ",\"data\":" data "}"
#define INFER(inputs) "{\"inputs\":[" inputs "]}"

/* ---- Open Inference Protocol ---- */

static void one_tensor_per_input_becomes_a_row_major_matrix(void **state) {
    (void)state;
    weir_infer_request request;
    double out[4];
    parse("{\"id\":\"42\",\"outputs\":[{\"name\":\"score\"},{\"name\":\"arm\"}],\"inputs\":[" INPUT("count_1d", "INT64", "[2]", "[3,4]") "," INPUT(
              "amount", "FP64", "[2,1]", "[[10.5],[null]]") "]} \n",
          &request);
    assert_string_equal(request.id, "42");
    assert_int_equal(request.output_count, 2);
    assert_string_equal(request.outputs[0].name, "score");
    assert_string_equal(request.outputs[1].name, "arm");
    assert_false(request.binary || request.outputs[0].binary || request.outputs[1].binary);
    assert_int_equal(request.inputs.row_count, 2);
    assert_int_equal(weir_infer_features(&request.inputs, columns, 2, out, NULL), WEIR_OK);
    assert_true(out[0] == 10.5 && out[1] == 3 && isnan(out[2]) && out[3] == 4);
    weir_infer_request_done(&request);
}

static void a_features_matrix_is_taken_flat_or_nested(void **state) {
    (void)state;
    const char *bodies[] = {INFER(INPUT("features", "FP64", "[2,2]", "[1,2,3,4.5]")), INFER(INPUT("features", "FP64", "[2,2]", "[[1,2],[3,4.5]]"))};
    for (int i = 0; i < 2; i++) {
        weir_infer_request request;
        double out[4];
        parse(bodies[i], &request);
        assert_int_equal(weir_infer_features(&request.inputs, columns, 2, out, NULL), WEIR_OK);
        assert_true(out[0] == 1 && out[1] == 2 && out[2] == 3 && out[3] == 4.5);
        weir_infer_request_done(&request);
    }
}

static void fp32_has_the_value_that_the_client_had(void **state) {
    (void)state;
    weir_infer_request request;
    parse(INFER(INPUT("x", "FP32", "[1]", "[0.1]")), &request);
    assert_true(request.inputs.columns[0].values[0].f == (double)0.1f);
    weir_infer_request_done(&request);
}

static void wrong_bodies_are_refused_with_the_place_and_the_reason(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"", "the body is empty"},
        {"{\"inputs\":[", "the body is not JSON: error at byte"},
        {"[]", "not an object"},
        {"{} x", "there is more"},
        {"{}", "\"inputs\": expected an array"},
        {"{\"inputs\":[]}", "\"inputs\": it is empty"},
        {"{\"inputs\":[7]}", "\"inputs\"[0]: expected an object"},
        {"{\"id\":7,\"inputs\":[]}", "\"id\": expected a string"},
        {INFER(INPUT("a", "FP64", "[2]", "[1]")), "\"inputs\"[0]: \"a\": \"data\" has 1 values: the shape says 2"},
        {INFER(INPUT("a", "FP64", "[2]", "[1,2,3]")), "more values than the 2 of the shape"},
        {INFER(INPUT("a", "FP64", "[1,2]", "[[1],[2]]")), "a row of 1 values: the shape says 2"},
        {INFER(INPUT("a", "FP64", "[2,2,2]", "[1]")), "expected [rows] or [rows, columns]"},
        {INFER(INPUT("a", "FP64", "[-1]", "[1]")), "\"shape\"[0]: expected a whole number"},
        {INFER(INPUT("a", "FP64", "[1.5]", "[1]")), "\"shape\"[0]: expected a whole number"},
        {INFER(INPUT("a", "FP64", "[0]", "[]")), "no rows"},
        {INFER(INPUT("a", "FP64", "[1000000000000]", "[1]")), "at most 10000 in one request"},
        {INFER(INPUT("a", "FP64", "[10000,1000]", "[1]")), "at most 1048576 in one request"},
        {INFER(INPUT("a", "FP8", "[1]", "[1]")), "\"a\": datatype FP8: expected BOOL"},
        {INFER(INPUT("a", "FP16", "[1]", "[1]")), "datatype FP16 has no JSON form"},
        {INFER(INPUT("a", "FP64", "[1]", "[\"1\"]")), "\"data\", value 0: expected a number that fits FP64"},
        {INFER(INPUT("a", "FP64", "[1]", "[1e999]")), "number out of range"},
        {INFER(INPUT("a", "FP32", "[1]", "[1e300]")), "expected a number that fits FP32"},
        {INFER(INPUT("a", "UINT8", "[2]", "[255,256]")), "value 1: expected a number that fits UINT8"},
        {INFER(INPUT("a", "INT32", "[1]", "[1.5]")), "expected a number that fits INT32"},
        {INFER(INPUT("a", "BYTES", "[1]", "[1]")), "expected a string that fits BYTES"},
        {INFER(INPUT("a", "BOOL", "[1]", "[1]")), "expected a boolean that fits BOOL"},
        {INFER(INPUT("a", "FP64", "[1]", "[[[1]]]")), "expected a string, a number, a boolean or null"},
        {INFER(INPUT("a", "FP64", "[1]", "{}")), "\"data\": expected an array"},
        {INFER(INPUT("", "FP64", "[1]", "[1]")), "expected a name"},
        {INFER(INPUT("a", "FP64", "[1]", "[1]") "," INPUT("a", "FP64", "[1]", "[1]")), "\"inputs\"[1]: \"a\" is there twice"},
        {INFER(INPUT("a", "FP64", "[1]", "[1]") "," INPUT("b", "FP64", "[2]", "[1,2]")), "2 rows, but \"a\" has 1"},
        {"{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[1],\"parameters\":{\"binary_data_size\":8}}]}",
         "no header Inference-Header-Content-Length"},
        {"{\"outputs\":[{}],\"inputs\":[" INPUT("a", "FP64", "[1]", "[1]") "]}", "\"outputs\"[0]: expected an object with a name"},
        {"{\"outputs\":[],\"inputs\":[" INPUT("a", "FP64", "[1]", "[1]") "]}", "\"outputs\": expected an array of 1 to"},
        {"{\"parameters\":{\"binary_data_output\":1},\"inputs\":[" INPUT("a", "FP64", "[1]", "[1]") "]}", "\"binary_data_output\": expected a boolean"},
        {"{\"outputs\":[{\"name\":\"score\",\"parameters\":{\"classification\":2}}],\"inputs\":[" INPUT("a", "FP64", "[1]", "[1]") "]}", "not offered"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *message = refusal(cases[i][0]);
        if (!strstr(message, cases[i][1])) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, message, cases[i][1]);
    }
}

static void features_that_do_not_fit_the_model_are_named(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {INFER(INPUT("amount", "FP64", "[1]", "[1]")), "input \"count_1d\" is missing"},
        {INFER(INPUT("features", "FP64", "[1,3]", "[1,2,3]")), "[1, 3]: the model has 2 columns"},
        {INFER(INPUT("amount", "BYTES", "[1]", "[\"x\"]") "," INPUT("count_1d", "FP64", "[1]", "[1]")), "\"amount\" of row 0 is text"},
        {INFER(INPUT("amount", "FP64", "[1,2]", "[1,2]") "," INPUT("count_1d", "FP64", "[1]", "[1]")), "\"amount\" has 2 columns"},
        {INFER(INPUT("amount", "FP64", "[1]", "[1]") "," INPUT("count_1d", "FP64", "[1]", "[1]") "," INPUT("more", "FP64", "[1]", "[1]")), "no input \"more\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_infer_request request;
        weir_err err;
        double out[4];
        parse(cases[i][0], &request);
        assert_int_equal(weir_infer_features(&request.inputs, columns, 2, out, &err), WEIR_EDATA);
        if (!strstr(err.message, cases[i][1])) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.message, cases[i][1]);
        weir_infer_request_done(&request);
    }
}

static void features_are_told_from_events(void **state) {
    const weir_feed_def *feed = *state;
    const char *const own[] = {"amount"};
    const struct {
        const char *body;
        bool both, just_amount; /* for a model of amount and count_1d; for a model of amount */
    } cases[] = {
        {INFER(INPUT("features", "FP64", "[1,2]", "[1,2]")), true, true},
        {INFER(INPUT("count_1d", "FP64", "[1]", "[1]")), true, false},
        {INFER(INPUT("amount", "FP64", "[1]", "[1]")), false, true},
        {INFER(INPUT("amount", "FP64", "[1]", "[1]") "," INPUT("customer_id", "BYTES", "[1]", "[\"7\"]")), false, false},
        {INFER(INPUT("custmer_id", "BYTES", "[1]", "[\"7\"]")), false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_infer_request request;
        parse(cases[i].body, &request);
        assert_int_equal(weir_infer_is_features(&request.inputs, columns, 2, feed->schema), cases[i].both);
        assert_int_equal(weir_infer_is_features(&request.inputs, own, 1, feed->schema), cases[i].just_amount);
        weir_infer_request_done(&request);
    }
}

static void model_paths_are_read_whole(void **state) {
    (void)state;
    weir_model_path path;
    assert_int_equal(weir_model_path_parse("/v2/models/fraud", &path, NULL), WEIR_OK);
    assert_string_equal(path.name, "fraud");
    assert_int_equal(path.version, 0);
    assert_int_equal(path.verb, WEIR_MODEL_METADATA);
    assert_int_equal(weir_model_path_parse("/v2/models/fraud-logistic/versions/12/infer", &path, NULL), WEIR_OK);
    assert_string_equal(path.name, "fraud-logistic");
    assert_int_equal(path.version, 12);
    assert_int_equal(path.verb, WEIR_MODEL_INFER);
    assert_int_equal(weir_model_path_parse("/v2/models/a/ready", &path, NULL), WEIR_OK);
    assert_int_equal(path.verb, WEIR_MODEL_READY);
    assert_string_equal(path.alias, "");
    assert_int_equal(weir_model_path_parse("/v2/models/a/versions/challenger-2/infer", &path, NULL), WEIR_OK);
    assert_string_equal(path.alias, "challenger-2");
    assert_true(path.version == 0 && path.verb == WEIR_MODEL_INFER);
    const char *const wrong[] = {"/v2/models/",
                                 "/v2/models//infer",
                                 "/v2/models/a/",
                                 "/v2/models/a/versions/",
                                 "/v2/models/a/versions/0",
                                 "/v2/models/a/versions/-1",
                                 "/v2/models/a/versions/1x",
                                 "/v2/models/a/versions/99999999999999999999",
                                 "/v2/models/a/versions/99999999999",
                                 "/v2/models/a/versions/Champion",
                                 "/v2/models/a/versions/-champion",
                                 "/v2/models/a/versions/an-alias-of-more-than-15-bytes",
                                 "/v2/models/a/inferx",
                                 "/v2/model/a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_int_equal(weir_model_path_parse(wrong[i], &path, NULL), WEIR_ENOTFOUND);
}

/* ---- rows ---- */

static weir_status rows_of(const char *df, const weir_feed_def *feed, bool complete, weir_push_request *request, weir_datum *rows, weir_err *err) {
    char body[2048];
    snprintf(body, sizeof body, "{\"push_source_name\":\"events\",\"to\":\"online\",\"df\":%s}", df);
    if (weir_push_parse(body, strlen(body), request, err)) fail_msg("%s", err->message);
    return weir_json_rows(&request->df, feed, complete, rows, err);
}

static void rows_take_the_types_of_the_schema(void **state) {
    const weir_feed_def *feed = *state;
    weir_push_request request;
    weir_err err = {0};
    weir_datum rows[2 * FIELDS];
    assert_int_equal(rows_of("{\"customer_id\":[596,\"c|1\"],\"tx_time\":[\"2018-05-15T10:00:00Z\",1526378400000001],\"amount\":[3,4.5],\"online\":[true,0]}",
                             feed, true, &request, rows, &err),
                     WEIR_OK);
    assert_int_equal(rows[CUSTOMER].type, WEIR_T_STR);
    assert_memory_equal(rows[CUSTOMER].p, "596", 3);
    assert_memory_equal(rows[FIELDS + CUSTOMER].p, "c|1", 3);
    assert_true(rows[TX_TIME].type == WEIR_T_I64 && rows[TX_TIME].i == INT64_C(1526378400000000));
    assert_true(rows[FIELDS + TX_TIME].i == INT64_C(1526378400000001));
    assert_true(rows[AMOUNT].type == WEIR_T_F64 && rows[AMOUNT].f == 3 && rows[FIELDS + AMOUNT].f == 4.5);
    assert_true(rows[TENANT].len == 7 && !memcmp(rows[TENANT].p, "default", 7));
    assert_int_equal(rows[ITEMS].type, WEIR_T_NULL);
    assert_true(rows[ONLINE].type == WEIR_T_BOOL && rows[ONLINE].i == 1 && rows[FIELDS + ONLINE].i == 0);
    weir_push_request_done(&request);
}

static void event_timestamp_stands_for_the_time_column_and_created_is_passed_over(void **state) {
    const weir_feed_def *feed = *state;
    weir_push_request request;
    weir_err err = {0};
    weir_datum rows[FIELDS];
    const char *df = "{\"customer_id\":[\"a\"],\"event_timestamp\":[\"2018-05-15 10:00:00\"],\"created\":[\"2018-05-15 10:00:00\"],\"amount\":[1]}";
    assert_int_equal(rows_of(df, feed, true, &request, rows, &err), WEIR_OK);
    assert_true(rows[TX_TIME].i == INT64_C(1526378400000000));
    weir_push_request_done(&request);
}

static void rows_that_do_not_fit_are_refused_with_column_and_row(void **state) {
    const weir_feed_def *feed = *state;
    const char *const cases[][2] = {
        {"{\"customer_id\":[\"a\"],\"tx_time\":[1]}", "column \"amount\" is missing"},
        {"{\"customer_id\":[\"a\",null],\"tx_time\":[1,2],\"amount\":[1,2]}", "\"customer_id\" of row 1 is null"},
        {"{\"customer_id\":[\"a\"],\"tx_time\":[\"yesterday\"],\"amount\":[1]}", "\"tx_time\" of row 0: \"yesterday\": expected ISO 8601"},
        {"{\"customer_id\":[\"a\"],\"tx_time\":[1.5],\"amount\":[1]}", "\"tx_time\" of row 0: expected ISO 8601"},
        {"{\"customer_id\":[1.5],\"tx_time\":[1],\"amount\":[1]}", "\"customer_id\" of row 0: expected text"},
        {"{\"customer_id\":[\"a\"],\"tx_time\":[1],\"amount\":[\"1\"]}", "\"amount\" of row 0: expected a number"},
        {"{\"customer_id\":[\"a\"],\"tx_time\":[1],\"amount\":[1],\"items\":[1.5]}", "\"items\" of row 0: expected a whole number"},
        {"{\"customer_id\":[\"a\"],\"tx_time\":[1],\"amount\":[1],\"online\":[2]}", "\"online\" of row 0: expected a boolean"},
        {"{\"custmer_id\":[\"a\"],\"tx_time\":[1],\"amount\":[1]}", "Payment has no column \"custmer_id\"; did you mean \"customer_id\"?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_push_request request;
        weir_err err = {0};
        weir_datum rows[2 * FIELDS];
        assert_int_equal(rows_of(cases[i][0], feed, true, &request, rows, &err), WEIR_EDATA);
        if (!strstr(err.message, cases[i][1])) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.message, cases[i][1]);
        weir_push_request_done(&request);
    }
}

static void incomplete_rows_are_null_where_nothing_was_given(void **state) {
    const weir_feed_def *feed = *state;
    weir_push_request request;
    weir_err err = {0};
    weir_datum rows[FIELDS];
    assert_int_equal(rows_of("{\"customer_id\":[\"a\"]}", feed, false, &request, rows, &err), WEIR_OK);
    assert_int_equal(rows[AMOUNT].type, WEIR_T_NULL);
    assert_int_equal(rows[TX_TIME].type, WEIR_T_NULL);
    assert_int_equal(rows[TENANT].type, WEIR_T_STR);
    weir_push_request_done(&request);
}

/* ---- Feast ---- */

static void online_feature_requests_are_read(void **state) {
    (void)state;
    const char body[] =
        "{\"features\":[\"customer:count_1d\",\"amount\"],\"full_feature_names\":true,\"entities\":{\"customer_id\":[1,\"2\"],\"note\":[null,true]},"
        "\"event_timestamp\":[\"1970-01-01T00:00:01Z\",7]}";
    weir_features_request request;
    assert_int_equal(weir_features_parse(body, sizeof body - 1, &request, NULL), WEIR_OK);
    assert_string_equal(request.features[0], "customer:count_1d");
    assert_string_equal(request.features[1], "amount");
    assert_null(request.features[2]);
    assert_null(request.service);
    assert_true(request.full_names);
    assert_int_equal(request.entities.row_count, 2);
    assert_true(request.entities.columns[0].values[0].i == 1);
    assert_true(request.at_us[0] == 1000000 && request.at_us[1] == 7);
    weir_features_request_done(&request);
}

static void wrong_online_feature_requests_are_refused(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"{\"entities\":{\"a\":[1]}}", "either \"features\" or \"feature_service\""},
        {"{\"features\":[\"x\"],\"feature_service\":\"y\",\"entities\":{\"a\":[1]}}", "either \"features\" or \"feature_service\""},
        {"{\"features\":\"x\",\"entities\":{\"a\":[1]}}", "\"features\": expected an array"},
        {"{\"features\":[],\"entities\":{\"a\":[1]}}", "\"features\" has 0 members"},
        {"{\"features\":[1],\"entities\":{\"a\":[1]}}", "\"features\"[0]: expected a string"},
        {"{\"features\":[\"x\"]}", "\"entities\": expected an object"},
        {"{\"features\":[\"x\"],\"entities\":{}}", "\"entities\": it is empty"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":1}}", "\"entities\".\"a\": expected an array"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":[[1]]}}", "\"entities\".\"a\"[0]: expected a string"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":[1],\"b\":[1,2]}}", "2 rows, but \"a\" has 1"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":[1]},\"full_feature_names\":1}", "\"full_feature_names\": expected a boolean"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":[1]},\"event_timestamp\":[1,2]}", "\"event_timestamp\" has 2 values"},
        {"{\"features\":[\"x\"],\"entities\":{\"a\":[1]},\"event_timestamp\":\"soon\"}", "\"event_timestamp\": \"soon\": expected ISO 8601"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_features_request request;
        weir_err err = {0};
        assert_int_equal(weir_features_parse(cases[i][0], strlen(cases[i][0]), &request, &err), WEIR_EDATA);
        if (!strstr(err.message, cases[i][1])) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.message, cases[i][1]);
        weir_features_request_done(&request);
    }
}

static void push_needs_a_source_and_a_known_destination(void **state) {
    (void)state;
    weir_push_request request;
    weir_err err = {0};
    const char nowhere[] = "{\"push_source_name\":\"events\",\"to\":\"moon\",\"df\":{\"a\":[1]}}", sourceless[] = "{\"df\":{\"a\":[1]}}";
    assert_int_equal(weir_push_parse(nowhere, sizeof nowhere - 1, &request, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "\"to\" is \"moon\": expected online"));
    weir_push_request_done(&request);
    assert_int_equal(weir_push_parse(sourceless, sizeof sourceless - 1, &request, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "\"push_source_name\""));
    weir_push_request_done(&request);
}

/* ---- answers ---- */

static void answers_are_json_that_reads_back(void **state) {
    (void)state;
    const weir_datum scores[] = {weir_f64(0.1), weir_f64(NAN)}, decisions[] = {weir_bool(true), weir_null()};
    const weir_infer_output outputs[] = {{.name = "score", .datatype = "FP64", .values = scores},
                                         {.name = "decision", .datatype = "BOOL", .values = decisions}};
    const weir_infer_parameter parameters[] = {{"model", weir_text("a\"b")}, {"version", weir_i64(3)}};
    const weir_infer_answer answer = {"m", "3", NULL, 2, 2, 2, outputs, parameters};
    weir_buf out = {0};
    size_t json_len = 0;
    assert_true(weir_infer_encode(&answer, &out, &json_len));
    assert_true(json_len == WEIR_INFER_ALL_JSON);
    assert_string_equal(out.data, "{\"model_name\":\"m\",\"model_version\":\"3\",\"parameters\":{\"model\":\"a\\\"b\",\"version\":3},\"outputs\":["
                                  "{\"name\":\"score\",\"datatype\":\"FP64\",\"shape\":[2],\"data\":[0.1,null]},"
                                  "{\"name\":\"decision\",\"datatype\":\"BOOL\",\"shape\":[2],\"data\":[true,null]}]}");
    weir_buf_done(&out);
}

/* A request with the binary tensor data extension: the JSON, then bytes. */
typedef struct binary_body {
    char bytes[1024];
    size_t json_len, len;
} binary_body;

static binary_body binary_of(const char *json, const void *bytes, size_t len) {
    binary_body body = {.json_len = strlen(json), .len = strlen(json) + len};
    memcpy(body.bytes, json, body.json_len);
    memcpy(body.bytes + body.json_len, bytes, len);
    return body;
}

#define BINARY(name, type, shape, size) "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":" shape ",\"parameters\":{\"binary_data_size\":" size "}}"

static void bytes_after_the_json_belong_to_the_inputs_in_their_order(void **state) {
    (void)state;
    const struct __attribute__((packed)) {
        double amount[2];
        uint32_t first_len;
        char first[2];
        uint32_t second_len;
        char second[3];
    } tail = {{1.5, -2}, 2, {'1', '0'}, 3, {'9', '9', '9'}};
    const char json[] =
        "{\"parameters\":{\"binary_data_output\":true},\"outputs\":[{\"name\":\"score\"},{\"name\":\"arm\",\"parameters\":{\"binary_data\":false}}],"
        "\"inputs\":[" BINARY("amount", "FP64", "[2]", "16") "," INPUT("n", "INT64", "[2]", "[7,8]") "," BINARY("id", "BYTES", "[2]", "13") "]}";
    binary_body body = binary_of(json, &tail, sizeof tail);
    weir_infer_request request;
    weir_err err = {0};
    if (weir_infer_parse(body.bytes, body.len, body.json_len, &request, &err)) fail_msg("%s", err.message);
    const weir_json_column *columns_of = request.inputs.columns;
    assert_true(columns_of[0].values[0].f == 1.5 && columns_of[0].values[1].f == -2);
    assert_true(columns_of[1].values[1].i == 8);
    assert_true(columns_of[2].values[1].len == 3 && !memcmp(columns_of[2].values[1].p, "999", 3));
    assert_true(request.binary && request.outputs[0].binary && !request.outputs[1].binary);
    weir_infer_request_done(&request);
}

static void bytes_that_do_not_fit_the_json_are_refused(void **state) {
    (void)state;
    const double values[4] = {1, 2, 3, 4};
    const struct {
        const char *json, *words;
        size_t bytes;
    } cases[] = {
        {INFER(BINARY("a", "FP64", "[2]", "16")), "only 8 bytes are left", 8},
        {INFER(BINARY("a", "FP64", "[2]", "8")), "2 values of FP64 are 16 bytes", 8},
        {INFER(BINARY("a", "FP64", "[1]", "16")), "\"a\": 16 bytes of binary data: 1 values", 16},
        {INFER(BINARY("a", "FP64", "[2]", "16")), "the inputs take 16 bytes after the JSON, but there are 24", 24},
        {INFER(BINARY("a", "FP64", "[2]", "-16")), "expected a whole number of bytes", 16},
        {INFER(BINARY("a", "FP64", "[2]", "1.5")), "expected a whole number of bytes", 16},
        {INFER(BINARY("a", "FP64", "[2]", "18446744073709551616")), "expected a whole number of bytes", 16},
        {INFER(BINARY("a", "FP64", "[2]", "\"16\"")), "expected a whole number of bytes", 16},
        {INFER(BINARY("a", "FP64", "[4294967297]", "8")), "at most 10000", 8},
        {INFER(BINARY("a", "BYTES", "[3]", "8")), "value 1: it goes on after the end", 8}, /* the bytes of 1.0: an empty text, and a length of a GiB */
        {INFER("{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[1],\"parameters\":{\"binary_data_size\":8}}"), "expected one of them", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        binary_body body = binary_of(cases[i].json, values, cases[i].bytes);
        char *exact = malloc(body.len); /* so that a byte read beyond is seen */
        weir_infer_request request;
        weir_err err = {0};
        memcpy(exact, body.bytes, body.len);
        assert_int_equal(weir_infer_parse(exact, body.len, body.json_len, &request, &err), i == 8 ? WEIR_ELIMIT : WEIR_EDATA);
        if (!strstr(err.message, cases[i].words)) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.message, cases[i].words);
        weir_infer_request_done(&request);
        free(exact);
    }
    weir_infer_request request;
    weir_err err = {0};
    assert_int_equal(weir_infer_parse("{}", 2, 3, &request, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "is 3, but the body has 2 bytes"));
    weir_infer_request_done(&request);
}

static void outputs_are_bytes_after_the_json_where_that_was_asked(void **state) {
    (void)state;
    const weir_datum scores[] = {weir_f64(0.5), weir_f64(NAN), weir_f64(2), weir_f64(3)}, decisions[] = {weir_bool(true), weir_null()},
                     arms[] = {weir_text("a"), weir_text("bc")};
    const weir_infer_output outputs[] = {{.name = "score", .datatype = "FP64", .values = scores, .width = 2, .binary = true},
                                         {.name = "decision", .datatype = "BOOL", .values = decisions, .binary = true}, /* null has no bytes */
                                         {.name = "arm", .datatype = "BYTES", .values = arms, .binary = true}};
    const weir_infer_answer answer = {.model_name = "m", .row_count = 2, .output_count = 3, .outputs = outputs};
    static const char json[] = "{\"model_name\":\"m\",\"parameters\":{},\"outputs\":["
                               "{\"name\":\"score\",\"datatype\":\"FP64\",\"shape\":[2,2],\"parameters\":{\"binary_data_size\":32}},"
                               "{\"name\":\"decision\",\"datatype\":\"BOOL\",\"shape\":[2],\"data\":[true,null]},"
                               "{\"name\":\"arm\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":11}}]}";
    static const char texts[] = "\1\0\0\0a\2\0\0\0bc";
    weir_buf out = {0};
    size_t json_len = 0;
    assert_true(weir_infer_encode(&answer, &out, &json_len));
    assert_int_equal(json_len, sizeof json - 1);
    assert_memory_equal(out.data, json, sizeof json - 1);
    assert_int_equal(out.len, sizeof json - 1 + 32 + 11);
    double numbers[4];
    memcpy(numbers, out.data + json_len, sizeof numbers);
    assert_true(numbers[0] == 0.5 && isnan(numbers[1]) && numbers[2] == 2 && numbers[3] == 3);
    assert_memory_equal(out.data + json_len + 32, texts, 11);
    weir_buf_done(&out);
}

static void a_whole_number_that_a_double_cannot_say_is_refused(void **state) {
    (void)state;
    const int64_t values[2] = {INT64_C(1) << 60, (INT64_C(1) << 53) + 1};
    binary_body body = binary_of(INFER(BINARY("amount", "INT64", "[2]", "16") "," INPUT("count_1d", "FP64", "[2]", "[1,1]")), values, sizeof values);
    weir_infer_request request;
    weir_err err = {0};
    double out[4];
    if (weir_infer_parse(body.bytes, body.len, body.json_len, &request, &err)) fail_msg("%s", err.message);
    assert_int_equal(weir_infer_features(&request.inputs, columns, 2, out, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "\"amount\" of row 1 is 9007199254740993, which FP64 cannot say exactly"));
    weir_infer_request_done(&request);
}

static void a_double_is_told_from_a_whole_number_and_reads_back_to_the_same_bits(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } known[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {35, "35.0"},
                 {-2.5, "-2.5"},
                 {40.81, "40.81"},
                 {1e-6, "0.000001"},
                 {-0.05, "-0.05"},
                 {1e-7, NULL},
                 {1.0 / 3, NULL},
                 {1e9, "1000000000.0"},
                 {1e22, "1e+22"},
                 {123456.789012, NULL},
                 {5e-324, NULL},
                 {1.7976931348623157e308, NULL},
                 {999999999.999999, NULL}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        weir_buf out = {0};
        const weir_datum value = weir_f64(known[i].value);
        assert_true(weir_json_put(&out, &value));
        if (known[i].text) assert_string_equal(out.data, known[i].text);
        double back = strtod(out.data, NULL);
        assert_memory_equal(&back, &known[i].value, sizeof back);
        assert_non_null(strpbrk(out.data, ".e"));
        weir_buf_done(&out);
    }
    const weir_datum whole = weir_i64(INT64_MIN), endless = weir_f64(INFINITY);
    weir_buf out = {0};
    assert_true(weir_json_put(&out, &whole) && weir_json_put(&out, &endless));
    assert_string_equal(out.data, "-9223372036854775808null");
    weir_buf_done(&out);
}

static void online_features_are_answered_column_by_column(void **state) {
    (void)state;
    const weir_datum ids[] = {weir_i64(1), weir_text("x")}, values[] = {weir_f64(2), weir_null()};
    const char *const present[] = {"PRESENT", "PRESENT"}, *const statuses[] = {"PRESENT", "NOT_FOUND"};
    const int64_t never[] = {0, 0}, times[] = {1000000, 0};
    const weir_features_result results[] = {{"customer_id", ids, present, never}, {"count_1d", values, statuses, times}, {"count_7d", values, statuses, times}};
    weir_buf out = {0};
    assert_true(weir_features_encode(results, 3, 2, &out));
    cJSON *json = cJSON_Parse(out.data);
    const cJSON *second = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "results"), 1);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "metadata"), "feature_names"), 1)->valuestring, "count_1d");
    assert_true(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "values"), 0)->valuedouble == 2);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "values"), 1)));
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "statuses"), 1)->valuestring, "NOT_FOUND");
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "event_timestamps"), 0)->valuestring, "1970-01-01T00:00:01.000000Z");
    const cJSON *third = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "results"), 2); /* shares its times with the second */
    assert_true(cJSON_Compare(second, third, true));
    cJSON_Delete(json);
    weir_buf_done(&out);
}

/* ---- memory ---- */

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state) {
    const weir_feed_def *feed = *state;
    const char body[] = "{\"push_source_name\":\"events\",\"df\":{\"customer_id\":[1],\"tx_time\":[1],\"amount\":[1]}}";
    weir_allocator before = weir_mem;
    int failures = 0, strange = 0;
    weir_mem.realloc = failing_realloc;
    for (int n = 0; n < 100; n++) {
        weir_push_request request;
        weir_err err;
        weir_datum rows[FIELDS];
        weir_buf out = {0};
        allocations_left = n;
        weir_status status = weir_push_parse(body, sizeof body - 1, &request, &err);
        if (!status) status = weir_json_rows(&request.df, feed, true, rows, &err);
        if (!status && !weir_json_put(&out, &rows[CUSTOMER])) status = WEIR_ENOMEM;
        weir_buf_done(&out);
        weir_push_request_done(&request);
        if (!status) break;
        failures++;
        strange += status != WEIR_ENOMEM;
    }
    weir_mem = before;
    assert_int_equal(strange, 0);
    assert_in_range(failures, 2, 99);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_tensor_per_input_becomes_a_row_major_matrix),
        cmocka_unit_test(a_features_matrix_is_taken_flat_or_nested),
        cmocka_unit_test(fp32_has_the_value_that_the_client_had),
        cmocka_unit_test(wrong_bodies_are_refused_with_the_place_and_the_reason),
        cmocka_unit_test(features_that_do_not_fit_the_model_are_named),
        cmocka_unit_test(features_are_told_from_events),
        cmocka_unit_test(model_paths_are_read_whole),
        cmocka_unit_test(rows_take_the_types_of_the_schema),
        cmocka_unit_test(event_timestamp_stands_for_the_time_column_and_created_is_passed_over),
        cmocka_unit_test(rows_that_do_not_fit_are_refused_with_column_and_row),
        cmocka_unit_test(incomplete_rows_are_null_where_nothing_was_given),
        cmocka_unit_test(online_feature_requests_are_read),
        cmocka_unit_test(wrong_online_feature_requests_are_refused),
        cmocka_unit_test(push_needs_a_source_and_a_known_destination),
        cmocka_unit_test(answers_are_json_that_reads_back),
        cmocka_unit_test(bytes_after_the_json_belong_to_the_inputs_in_their_order),
        cmocka_unit_test(bytes_that_do_not_fit_the_json_are_refused),
        cmocka_unit_test(outputs_are_bytes_after_the_json_where_that_was_asked),
        cmocka_unit_test(a_whole_number_that_a_double_cannot_say_is_refused),
        cmocka_unit_test(a_double_is_told_from_a_whole_number_and_reads_back_to_the_same_bits),
        cmocka_unit_test(online_features_are_answered_column_by_column),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, make_feed, free_feed);
}
