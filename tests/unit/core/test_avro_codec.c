/* Avro codec: bytes worked out by hand from the specification's "Binary Encoding", one type at a time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/avro.h"

static weir_schema *parse(const char *json) {
    weir_err err = {0};
    weir_schema *schema = NULL;
    if (weir_schema_parse(json, strlen(json), &schema, &err)) fail_msg("%s", err.message);
    return schema;
}

static void refuses(const char *json, const char *words) {
    weir_err err = {0};
    weir_schema *schema = NULL;
    assert_int_equal(weir_schema_parse(json, strlen(json), &schema, &err), WEIR_EINVAL);
    assert_null(schema);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

/* Decodes with a copy of exactly len bytes, so that a read beyond them is an error of AddressSanitizer's. */
static weir_status decode_exact(const weir_avro_plan *plan, const void *bytes, size_t len, weir_datum *row, weir_err *err) {
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    weir_status status = weir_avro_decode(plan, copy, len, row, err);
    free(copy);
    return status;
}

/* The row encodes to exactly these bytes, which decode to it, and no proper prefix of which decodes. */
static void both_ways(const char *json, const weir_datum *row, const void *bytes, size_t len) {
    weir_schema *schema = parse(json);
    weir_err err = {0};
    weir_buf out = {0};
    weir_avro_plan *plan = NULL;
    int count = weir_schema_field_count(schema);
    weir_datum decoded[16];
    assert_true(count <= 16);
    if (weir_avro_encode(schema, row, &out, &err)) fail_msg("%s", err.message);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, bytes, len);
    if (weir_avro_plan_new(schema, schema, &plan, &err)) fail_msg("%s", err.message);
    if (weir_avro_decode(plan, bytes, len, decoded, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < count; i++) {
        assert_int_equal(decoded[i].type, row[i].type);
        if (row[i].type >= WEIR_T_STR) {
            assert_int_equal(decoded[i].len, row[i].len);
            assert_memory_equal(decoded[i].p, row[i].p, row[i].len);
        } else if (row[i].type != WEIR_T_NULL) {
            assert_memory_equal(&decoded[i].i, &row[i].i, 8); /* bit for bit, NaN too */
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(decode_exact(plan, bytes, cut, decoded, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
    }
    weir_avro_plan_free(plan);
    weir_schema_free(schema);
    weir_buf_done(&out);
}

#define ONE(type) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":" type "}]}"
#define BOTH_WAYS(type, datum, bytes) both_ways(ONE(type), &(weir_datum[]){datum}[0], bytes, sizeof(bytes) - 1)

static void longs_are_zigzag_varints(void **state) {
    (void)state;
    BOTH_WAYS("\"long\"", weir_i64(0), "\x00");
    BOTH_WAYS("\"long\"", weir_i64(-1), "\x01");
    BOTH_WAYS("\"long\"", weir_i64(1), "\x02");
    BOTH_WAYS("\"long\"", weir_i64(-64), "\x7f");
    BOTH_WAYS("\"long\"", weir_i64(64), "\x80\x01");
    BOTH_WAYS("\"long\"", weir_i64(INT64_MAX), "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    BOTH_WAYS("\"long\"", weir_i64(INT64_MIN), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    BOTH_WAYS("\"int\"", weir_i64(INT32_MIN), "\xff\xff\xff\xff\x0f");
}

static void other_primitives_are_as_specified(void **state) {
    (void)state;
    both_ways(ONE("\"null\""), &(weir_datum){.type = WEIR_T_NULL}, "", 0);
    BOTH_WAYS("\"boolean\"", weir_bool(true), "\x01");
    BOTH_WAYS("\"boolean\"", weir_bool(false), "\x00");
    BOTH_WAYS("\"float\"", weir_f64(1.5), "\x00\x00\xc0\x3f");
    BOTH_WAYS("\"double\"", weir_f64(-2.0), "\x00\x00\x00\x00\x00\x00\x00\xc0");
    BOTH_WAYS("\"string\"", weir_text("foo"),
              "\x06"
              "foo");
    BOTH_WAYS("\"string\"", weir_text(""), "\x00");
    BOTH_WAYS("\"string\"", weir_text("Zürich 東京 🚢"),
              "\x26"
              "Zürich 東京 🚢");
    BOTH_WAYS("\"bytes\"", weir_bytes("\xff\x00", 2), "\x04\xff\x00");
}

static void named_types_are_as_specified(void **state) {
    (void)state;
    BOTH_WAYS("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", weir_bytes("abc", 3), "abc");
    BOTH_WAYS("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", weir_text("B"), "\x02");
}

static void nan_and_infinity_keep_their_bits(void **state) {
    (void)state;
    BOTH_WAYS("\"double\"", weir_f64(__builtin_nan("")), "\x00\x00\x00\x00\x00\x00\xf8\x7f");
    BOTH_WAYS("\"double\"", weir_f64(-INFINITY), "\x00\x00\x00\x00\x00\x00\xf0\xff");
    BOTH_WAYS("\"float\"", weir_f64(__builtin_nan("")), "\x00\x00\xc0\x7f");
    BOTH_WAYS("\"float\"", weir_f64(INFINITY), "\x00\x00\x80\x7f");
}

static void nullable_columns_carry_their_branch(void **state) {
    (void)state;
    BOTH_WAYS("[\"null\",\"long\"]", weir_null(), "\x00");
    BOTH_WAYS("[\"null\",\"long\"]", weir_i64(5), "\x02\x0a");
    BOTH_WAYS("[\"long\",\"null\"]", weir_null(), "\x02");
    BOTH_WAYS("[\"long\",\"null\"]", weir_i64(5), "\x00\x0a");
    BOTH_WAYS("[\"string\"]", weir_text("x"), "\x00\x02x");
}

static void timestamps_are_microseconds_in_rows(void **state) {
    (void)state;
    BOTH_WAYS("{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}", weir_i64(1000), "\xd0\x0f");
    BOTH_WAYS("{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}", weir_i64(1000), "\x02");
    BOTH_WAYS("[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}]", weir_i64(-1000), "\x02\x01");
}

static void milliseconds_round_towards_the_past(void **state) {
    (void)state;
    weir_schema *schema = parse(ONE("{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"));
    weir_buf out = {0};
    weir_datum row = weir_i64(-1);
    assert_int_equal(weir_avro_encode(schema, &row, &out, NULL), WEIR_OK);
    assert_memory_equal(out.data, "\x01", 2);
    weir_buf_done(&out);
    weir_schema_free(schema);
}

static const char nested[] = "{\"type\":\"record\",\"name\":\"weir.Outer\",\"fields\":["
                             "{\"name\":\"id\",\"type\":\"string\",\"doc\":\"who\"},"
                             "{\"name\":\"at\",\"type\":{\"type\":\"record\",\"name\":\"Point\",\"fields\":[{\"name\":\"x\",\"type\":\"double\"},{\"name\":"
                             "\"y\",\"type\":[\"null\",\"int\"],\"default\":null}]}},"
                             "{\"name\":\"to\",\"type\":\"Point\"},"
                             "{\"name\":\"n\",\"type\":\"long\",\"default\":7}]}";

static void nested_records_are_flattened(void **state) {
    (void)state;
    weir_schema *schema = parse(nested);
    static const char *const names[] = {"id", "at.x", "at.y", "to.x", "to.y", "n"};
    assert_string_equal(weir_schema_name(schema), "weir.Outer");
    assert_string_equal(weir_schema_json(schema), nested);
    assert_null(weir_schema_opaque(schema));
    assert_int_equal(weir_schema_field_count(schema), 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(weir_schema_field_at(schema, i)->name, names[i]);
        assert_int_equal(weir_schema_find(schema, names[i]), i);
    }
    assert_int_equal(weir_schema_find(schema, "at"), -1);
    assert_null(weir_schema_field_at(schema, 6));
    assert_null(weir_schema_field_at(schema, -1));
    assert_string_equal(weir_schema_field_at(schema, 0)->doc, "who");
    assert_true(weir_schema_field_at(schema, 2)->nullable);
    assert_true(weir_schema_field_at(schema, 5)->has_default);
    assert_int_equal(weir_schema_field_at(schema, 5)->fallback.i, 7);
    weir_schema_free(schema);

    const weir_datum row[] = {weir_text("a"), weir_f64(0), weir_i64(-1), weir_f64(2), weir_null(), weir_i64(3)};
    static const char bytes[] = "\x02"
                                "a"
                                "\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01"
                                "\x00\x00\x00\x00\x00\x00\x00\x40\x00"
                                "\x06";
    both_ways(nested, row, bytes, sizeof bytes - 1);
}

static void values_that_do_not_fit_are_refused_and_leave_the_buffer(void **state) {
    (void)state;
    static const struct {
        const char *json;
        weir_datum datum;
    } cases[] = {
        {ONE("\"int\""), {.type = WEIR_T_I64, .i = INT64_C(1) << 31}},
        {ONE("\"long\""), {.type = WEIR_T_F64, .f = 1}},
        {ONE("\"long\""), {.type = WEIR_T_NULL}},
        {ONE("\"float\""), {.type = WEIR_T_F64, .f = 1e300}},
        {ONE("\"double\""), {.type = WEIR_T_BOOL, .i = 1}},
        {ONE("\"string\""), {.type = WEIR_T_BYTES, .p = "x", .len = 1}},
        {ONE("\"boolean\""), {.type = WEIR_T_I64, .i = 1}},
        {ONE("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}"), {.type = WEIR_T_BYTES, .p = "ab", .len = 2}},
        {ONE("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"AA\"]}"), {.type = WEIR_T_STR, .p = "A", .len = 1}},
        {ONE("[\"null\",\"string\"]"), {.type = WEIR_T_I64, .i = 1}},
        {ONE("{\"type\":\"array\",\"items\":\"int\"}"), {.type = WEIR_T_NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_schema *schema = parse(cases[i].json);
        weir_buf out = {0};
        weir_err err = {0};
        assert_true(weir_buf_append(&out, "keep", 4));
        assert_int_equal(weir_avro_encode(schema, &cases[i].datum, &out, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, "\"a\""));
        assert_string_equal(out.data, "keep");
        weir_buf_done(&out);
        weir_schema_free(schema);
    }
}

static void whole_numbers_are_taken_into_double_columns(void **state) {
    (void)state;
    weir_schema *schema = parse(ONE("\"double\""));
    weir_buf out = {0};
    weir_datum row = weir_i64(2);
    assert_int_equal(weir_avro_encode(schema, &row, &out, NULL), WEIR_OK);
    assert_memory_equal(out.data, "\0\0\0\0\0\0\0\x40", 8);
    weir_buf_done(&out);
    weir_schema_free(schema);
}

static void malformed_input_is_rejected_with_field_and_position(void **state) {
    (void)state;
    static const struct {
        const char *json, *bytes;
        size_t len;
    } cases[] = {
        {ONE("\"boolean\""), "\x02", 1},
        {ONE("\"int\""), "\x80\x80\x80\x80\x10", 5},
        {ONE("\"long\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
        {ONE("\"long\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11},
        {ONE("\"string\""), "\x01", 1},
        {ONE("\"string\""), "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
        {ONE("\"string\""), "\x02\xff", 2},
        {ONE("\"string\""), "\x04\xc0\x80", 3}, /* overlong */
        {ONE("\"string\""), "\x06\xed\xa0\x80", 4}, /* a surrogate */
        {ONE("\"string\""), "\x04\xe6\x9d", 3}, /* cut */
        {ONE("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}"), "\x02", 1},
        {ONE("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}"), "\x01", 1},
        {ONE("[\"null\",\"int\"]"), "\x04", 1},
        {ONE("[\"null\",\"int\"]"), "\x01", 1},
        {ONE("{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"), "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_schema *schema = parse(cases[i].json);
        weir_avro_plan *plan = NULL;
        weir_err err = {0};
        weir_datum row[1];
        assert_int_equal(weir_avro_plan_new(schema, schema, &plan, &err), WEIR_OK);
        assert_int_equal(decode_exact(plan, cases[i].bytes, cases[i].len, row, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        assert_non_null(strstr(err.message, "field \"a\" at byte 0"));
        weir_avro_plan_free(plan);
        weir_schema_free(schema);
    }
}

static void left_over_bytes_are_rejected(void **state) {
    (void)state;
    weir_schema *schema = parse(ONE("\"int\""));
    weir_avro_plan *plan = NULL;
    weir_err err = {0};
    weir_datum row[1];
    assert_int_equal(weir_avro_plan_new(schema, schema, &plan, &err), WEIR_OK);
    assert_int_equal(decode_exact(plan, "\x02\x00", 2, row, &err), WEIR_EDATA);
    assert_string_equal(err.message, "1 bytes are left over after the record's 1");
    weir_avro_plan_free(plan);
    weir_schema_free(schema);
}

static const char maybe[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"r\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Q\","
    "\"fields\":[{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"y\",\"type\":[\"null\",\"int\"]}]}],\"default\":null},{\"name\":\"b\",\"type\":\"int\"}]}";

static void a_record_that_may_be_null_is_a_boolean_and_its_columns(void **state) {
    (void)state;
    weir_schema *schema = parse(maybe);
    weir_avro_plan *plan = NULL;
    weir_err err = {0};
    weir_buf out = {0};
    weir_datum row[5] = {weir_i64(1), weir_bool(true), weir_i64(2), weir_null(), weir_i64(3)}, back[5];
    assert_int_equal(weir_schema_field_count(schema), 5);
    assert_string_equal(weir_schema_field_at(schema, 1)->name, "r");
    assert_int_equal(weir_schema_field_at(schema, 1)->type, WEIR_T_BOOL);
    assert_string_equal(weir_schema_field_at(schema, 2)->name, "r.x");
    assert_true(weir_schema_field_at(schema, 2)->nullable);
    assert_false(weir_schema_field_at(schema, 4)->nullable);
    assert_int_equal(weir_avro_plan_new(schema, schema, &plan, &err), WEIR_OK);

    assert_int_equal(weir_avro_encode(schema, row, &out, &err), WEIR_OK);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "\x02\x02\x04\x00\x06", 5);
    assert_int_equal(decode_exact(plan, out.data, out.len, back, &err), WEIR_OK);
    assert_true(back[1].type == WEIR_T_BOOL && back[1].i && back[2].i == 2 && back[3].type == WEIR_T_NULL && back[4].i == 3);

    weir_buf_clear(&out);
    row[1] = weir_bool(false);
    row[2] = weir_text("whatever stands there is not written");
    assert_int_equal(weir_avro_encode(schema, row, &out, &err), WEIR_OK);
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, "\x02\x00\x06", 3);
    assert_int_equal(decode_exact(plan, out.data, out.len, back, &err), WEIR_OK);
    assert_true(back[1].type == WEIR_T_BOOL && !back[1].i && back[2].type == WEIR_T_NULL && back[3].type == WEIR_T_NULL && back[4].i == 3);

    weir_buf_clear(&out);
    row[1] = weir_bool(true); /* then its members must fit */
    assert_int_equal(weir_avro_encode(schema, row, &out, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "\"r.x\""));
    assert_int_equal(decode_exact(plan, "\x02\x04\x06", 3, back, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "field \"r\" at byte 1: a union branch"));
    weir_buf_done(&out);
    weir_avro_plan_free(plan);
    weir_schema_free(schema);
}

static void wrong_schemas_are_refused_in_words(void **state) {
    (void)state;
    refuses("", "not JSON");
    refuses("{", "not JSON");
    refuses("\"string\"", "expected a record");
    refuses("5", "must be a name");
    refuses("{\"type\":\"record\",\"fields\":[]}", "no valid \"name\"");
    refuses("{\"type\":\"record\",\"name\":\"R\"}", "no \"fields\"");
    refuses(ONE("\"nothing\""), "\"nothing\" is not defined");
    refuses(ONE("[\"null\",\"null\"]"), "null twice");
    refuses(ONE("[\"null\",[\"int\"]]"), "union directly inside");
    refuses(ONE("\"R\""), "in themselves");
    refuses(ONE("{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}"), "\"size\"");
    refuses(ONE("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}"), "twice");
    refuses(ONE("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}"), "not one of its symbols");
    refuses(ONE("{\"type\":\"array\"}"), "without \"items\"");
    refuses(ONE("\"int\",\"default\":1.5"), "default does not fit");
    refuses(ONE("\"int\",\"default\":3000000000"), "default does not fit");
    refuses(ONE("\"int\"},{\"name\":\"a\",\"type\":\"int\""), "is there twice");
    refuses("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"1a\",\"type\":\"int\"}]}", "no valid \"name\"");
}

static int allocations_left;
static void *failing_realloc(void *old, size_t size) {
    if (!size) {
        free(old);
        return NULL;
    }
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}

static void schema_parsing_survives_every_failed_allocation(void **state) {
    (void)state;
    weir_allocator system = weir_mem;
    weir_mem.realloc = failing_realloc;
    int failures = 0;
    for (int n = 0;; n++) {
        allocations_left = n;
        weir_schema *schema = NULL;
        weir_avro_plan *plan = NULL;
        weir_status status = weir_schema_parse(nested, strlen(nested), &schema, NULL);
        if (!status) status = weir_avro_plan_new(schema, schema, &plan, NULL);
        weir_avro_plan_free(plan);
        weir_schema_free(schema);
        if (!status) break;
        assert_int_equal(status, WEIR_ENOMEM);
        failures++;
    }
    weir_mem = system;
    assert_true(failures >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longs_are_zigzag_varints),
        cmocka_unit_test(other_primitives_are_as_specified),
        cmocka_unit_test(named_types_are_as_specified),
        cmocka_unit_test(nan_and_infinity_keep_their_bits),
        cmocka_unit_test(nullable_columns_carry_their_branch),
        cmocka_unit_test(timestamps_are_microseconds_in_rows),
        cmocka_unit_test(milliseconds_round_towards_the_past),
        cmocka_unit_test(nested_records_are_flattened),
        cmocka_unit_test(values_that_do_not_fit_are_refused_and_leave_the_buffer),
        cmocka_unit_test(whole_numbers_are_taken_into_double_columns),
        cmocka_unit_test(malformed_input_is_rejected_with_field_and_position),
        cmocka_unit_test(left_over_bytes_are_rejected),
        cmocka_unit_test(a_record_that_may_be_null_is_a_boolean_and_its_columns),
        cmocka_unit_test(wrong_schemas_are_refused_in_words),
        cmocka_unit_test(schema_parsing_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
