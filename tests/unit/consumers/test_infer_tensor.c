#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/infer_tensor.h"

/* A buffer of just these bytes: one read beyond them is seen. */
static weir_status read_bytes(const char *type, const void *bytes, size_t len, int64_t count, weir_datum *values, weir_err *err) {
    char *exact = malloc(len + !len);
    memcpy(exact, bytes, len);
    weir_status status = weir_tensor_of_bytes(weir_tensor_type_find(type), exact, len, count, values, err);
    free(exact);
    return status;
}

static weir_datum one(const char *type, const void *bytes, size_t len) {
    weir_datum value = {0};
    weir_err err = {0};
    if (read_bytes(type, bytes, len, 1, &value, &err)) fail_msg("%s: %s", type, err.message);
    return value;
}

static void elements_are_little_endian_and_exact(void **state) {
    (void)state;
    assert_true(one("UINT8", "\xff", 1).i == 255 && one("INT8", "\xff", 1).i == -1);
    assert_true(one("UINT16", "\x01\x80", 2).i == 0x8001 && one("INT16", "\x01\x80", 2).i == 0x8001 - 65536);
    assert_true(one("UINT32", "\1\0\0\x80", 4).i == 0x80000001 && one("INT32", "\1\0\0\x80", 4).i == INT32_MIN + 1);
    assert_true(one("INT64", "\0\0\0\0\0\0\0\x80", 8).i == INT64_MIN);
    assert_true(one("UINT64", "\xff\xff\xff\xff\xff\xff\xff\x7f", 8).i == INT64_MAX);
    assert_true(one("FP64", "\0\0\0\0\0\0\xf8\x3f", 8).f == 1.5);
    assert_true(one("FP32", "\xcd\xcc\xcc\x3d", 4).f == (double)0.1f);
    assert_true(one("BF16", "\xc0\xbf", 2).f == -1.5);
    assert_true(one("BOOL", "\1", 1).type == WEIR_T_BOOL && one("BOOL", "\1", 1).i == 1 && one("BOOL", "\0", 1).i == 0);
}

/* Against the compiler's own conversion, every bit pattern. */
static void every_half_has_its_value(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        weir_datum value;
        weir_err err;
        _Float16 oracle;
        memcpy(&oracle, &half, sizeof oracle);
        double expected = (double)oracle;
        weir_status status = read_bytes("FP16", &half, 2, 1, &value, &err);
        if (isinf(expected))
            assert_int_equal(status, WEIR_EDATA);
        else if (isnan(expected))
            assert_true(status == WEIR_OK && value.type == WEIR_T_NULL);
        else
            assert_true(status == WEIR_OK && value.f == expected && signbit(value.f) == signbit(expected));
    }
}

static void assert_refused(const char *type, const void *bytes, size_t len, int64_t count, const char *words) {
    weir_datum values[4];
    weir_err err = {0};
    assert_int_equal(read_bytes(type, bytes, len, count, values, &err), WEIR_EDATA);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void what_a_type_cannot_hold_is_refused(void **state) {
    (void)state;
    assert_refused("FP64", "1234567", 7, 1, "7 bytes of binary data: 1 values of FP64 are 8 bytes");
    assert_refused("FP64", "12345678", 8, 2, "2 values of FP64 are 16 bytes");
    assert_refused("INT32", "12345678", 8, 1, "1 values of INT32 are 4 bytes");
    assert_refused("BOOL", "\1\2", 2, 2, "value 1: found the byte 2, expected 0 or 1");
    assert_refused("UINT64", "\0\0\0\0\0\0\0\x80", 8, 1, "found 9223372036854775808, expected at most 9223372036854775807");
    assert_refused("FP64", "\0\0\0\0\0\0\xf0\x7f", 8, 1, "value 0: it is infinite");
    assert_refused("FP32", "\0\0\x80\xff", 4, 1, "value 0: it is infinite");
}

static void a_nan_is_the_missing_value(void **state) {
    (void)state;
    assert_true(one("FP64", "\0\0\0\0\0\0\xf8\x7f", 8).type == WEIR_T_NULL);
    assert_true(one("FP32", "\0\0\xc0\x7f", 4).type == WEIR_T_NULL);
}

static void texts_have_their_lengths_before_them(void **state) {
    (void)state;
    static const char bytes[] = "\2\0\0\0ab\0\0\0\0\3\0\0\0\xe2\x82\xac";
    weir_datum values[3];
    weir_err err = {0};
    if (weir_tensor_of_bytes(weir_tensor_type_find("BYTES"), bytes, sizeof bytes - 1, 3, values, &err)) fail_msg("%s", err.message);
    assert_true(values[0].len == 2 && values[0].p == bytes + 4 && values[1].len == 0 && values[2].len == 3);
}

static void texts_that_end_early_or_are_none_are_refused(void **state) {
    (void)state;
    assert_refused("BYTES", "\2\0\0", 3, 1, "value 0: it goes on after the end of the 3 bytes");
    assert_refused("BYTES", "\2\0\0\0a", 5, 1, "value 0: it goes on after the end");
    assert_refused("BYTES",
                   "\xff\xff\xff\xff"
                   "abc",
                   7, 1, "value 0: it goes on after the end");
    assert_refused("BYTES", "\1\0\0\0a", 5, 2, "value 1: it goes on after the end");
    assert_refused("BYTES", "\1\0\0\0ab", 6, 1, "take 5 bytes of binary data, but there are 6");
    static const struct {
        const char *bytes;
        size_t len;
    } none[] = {{"\1\0\0\0\0", 5},           {"\1\0\0\0\xff", 5},         {"\2\0\0\0\xc0\xaf", 6},
                {"\3\0\0\0\xe0\x80\xaf", 7}, {"\3\0\0\0\xed\xa0\x80", 7}, {"\4\0\0\0\xf4\x90\x80\x80", 8},
                {"\1\0\0\0\xe2", 5},         {"\2\0\0\0\xe2\x82", 6}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_refused("BYTES", none[i].bytes, none[i].len, 1, "expected UTF-8 without NUL");
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    const weir_datum numbers[] = {weir_f64(0.1), weir_null(), weir_f64(-1e300)}, wholes[] = {weir_i64(INT64_MIN), weir_i64(7)},
                     texts[] = {weir_text(""), weir_text("x")}, flags[] = {weir_bool(true), weir_bool(false)}, holes[] = {weir_bool(true), weir_null()};
    const struct {
        const char *type;
        const weir_datum *values;
        int64_t count;
    } cases[] = {{"FP64", numbers, 3}, {"INT64", wholes, 2}, {"BYTES", texts, 2}, {"BOOL", flags, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const weir_tensor_type *type = weir_tensor_type_find(cases[i].type);
        weir_buf out = {0};
        weir_datum back[3];
        weir_err err = {0};
        assert_true(weir_tensor_has_bytes(type, cases[i].values, cases[i].count));
        assert_true(weir_tensor_put_bytes(type, cases[i].values, cases[i].count, &out));
        if (weir_tensor_of_bytes(type, out.data, out.len, cases[i].count, back, &err)) fail_msg("%s: %s", cases[i].type, err.message);
        for (int64_t v = 0; v < cases[i].count; v++) {
            const weir_datum *value = &cases[i].values[v];
            assert_int_equal(back[v].type, value->type);
            if (value->type == WEIR_T_STR)
                assert_true(back[v].len == value->len && !memcmp(back[v].p, value->p, value->len));
            else if (value->type != WEIR_T_NULL)
                assert_true(value->type == WEIR_T_F64 ? back[v].f == value->f : back[v].i == value->i);
        }
        weir_buf_done(&out);
    }
    assert_false(weir_tensor_has_bytes(weir_tensor_type_find("BOOL"), holes, 2));
    assert_null(weir_tensor_type_find("FP8"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_little_endian_and_exact), cmocka_unit_test(every_half_has_its_value),
        cmocka_unit_test(what_a_type_cannot_hold_is_refused),   cmocka_unit_test(a_nan_is_the_missing_value),
        cmocka_unit_test(texts_have_their_lengths_before_them), cmocka_unit_test(texts_that_end_early_or_are_none_are_refused),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
