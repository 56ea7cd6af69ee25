/* Universal Binary JSON: every way in which XGBoost, or anybody, may write a value, and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "models/ubjson.h"

static weir_ubjson open_bytes(const char *bytes, size_t len) {
    weir_ubjson value;
    assert_true(weir_ubjson_open(bytes, len, &value));
    return value;
}
#define OPEN(bytes) open_bytes(bytes, sizeof(bytes) - 1)

static double number_at(weir_ubjson object, const char *name) {
    weir_ubjson value;
    double number;
    assert_true(weir_ubjson_find(object, name, &value));
    assert_true(weir_ubjson_number(value, &number));
    return number;
}

static void numbers_of_every_type_are_read(void **state) {
    (void)state;
    weir_ubjson object = OPEN("{i\1ai\xfeU\1bU\xfei\1cI\xff\xfei\1dl\xff\xff\xff\xfei\1eL\0\0\0\1\0\0\0\0i\1fd\x3f\x80\0\0i\1gD\xbf\xf0\0\0\0\0\0\0}");
    assert_true(number_at(object, "a") == -2);
    assert_true(number_at(object, "b") == 254);
    assert_true(number_at(object, "c") == -2);
    assert_true(number_at(object, "d") == -2);
    assert_true(number_at(object, "e") == 4294967296.0);
    assert_true(number_at(object, "f") == 1);
    assert_true(number_at(object, "g") == -1);
    weir_ubjson none;
    assert_false(weir_ubjson_find(object, "h", &none));
    assert_int_equal(none.type, 0);
}

static int count_elements(weir_ubjson array, double *sum) {
    weir_ubjson_array rest;
    weir_ubjson element;
    double number;
    int count = 0;
    assert_true(weir_ubjson_begin(array, &rest));
    for (*sum = 0; weir_ubjson_next(&rest, &element); count++)
        if (weir_ubjson_number(element, &number)) *sum += number;
    return count;
}

static void arrays_are_read_however_they_are_written(void **state) {
    (void)state;
    double sum;
    assert_int_equal(count_elements(OPEN("[i\1i\2i\3]"), &sum), 3);
    assert_true(sum == 6);
    assert_int_equal(count_elements(OPEN("[#i\2U\1U\4"), &sum), 2);
    assert_true(sum == 5);
    assert_int_equal(count_elements(OPEN("[$U#i\3\1\2\4"), &sum), 3);
    assert_true(sum == 7);
    assert_int_equal(count_elements(OPEN("[[i\1]{i\1ai\1}Si\2]]ZTFi\11]"), &sum), 7); /* the brackets of a text are text */
    assert_true(sum == 9);
    assert_int_equal(count_elements(OPEN("[$[#i\2i\1]i\2]"), &sum), 2);
    assert_int_equal(count_elements(OPEN("[NNi\1N]"), &sum), 1); /* N stands for nothing */
    assert_int_equal(count_elements(OPEN("[#i\0"), &sum), 0);
}

static void members_behind_containers_are_found(void **state) {
    (void)state;
    weir_ubjson object = OPEN("{i\1a[$d#i\2\0\0\0\0\0\0\0\0i\1b{$i#i\1i\1x\7i\1c[i\1[Si\1]]]i\1dSi\2hii\1ei\5}"), value;
    const char *text;
    size_t len;
    assert_true(number_at(object, "e") == 5);
    assert_true(weir_ubjson_find(object, "d", &value));
    assert_true(weir_ubjson_text(value, &text, &len));
    assert_int_equal(len, 2);
    assert_memory_equal(text, "hi", 2);
    assert_true(weir_ubjson_find(object, "b", &value));
    assert_true(number_at(value, "x") == 7);
}

static void what_is_of_another_type_is_refused(void **state) {
    (void)state;
    weir_ubjson text = OPEN("Si\1a"), number = OPEN("i\1"), value;
    weir_ubjson_array array;
    const char *bytes;
    size_t len;
    double x;
    assert_false(weir_ubjson_number(text, &x));
    assert_false(weir_ubjson_text(number, &bytes, &len));
    assert_false(weir_ubjson_begin(number, &array));
    assert_false(weir_ubjson_find(number, "a", &value));
    assert_false(weir_ubjson_number(OPEN("T"), &x));
    assert_false(weir_ubjson_open("", 0, &value));
    assert_false(weir_ubjson_open("N", 1, &value));
}

/* Counts and lengths that the bytes cannot hold, or that are negative. */
static void false_counts_are_refused(void **state) {
    (void)state;
    weir_ubjson value;
    double sum;
    assert_false(weir_ubjson_find(OPEN("{i\1a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0i\1bi\1}"), "b", &value));
    assert_false(weir_ubjson_find(OPEN("{i\1a[$d#i\xff\0\0\0\0i\1bi\1}"), "b", &value));
    assert_false(weir_ubjson_find(OPEN("{i\1aSL\x7f\xff\xff\xff\xff\xff\xff\xffxi\1bi\1}"), "b", &value));
    assert_false(weir_ubjson_find(OPEN("{i\1a[$d\0i\1bi\1}"), "b", &value)); /* a type without a count */
    assert_false(weir_ubjson_find(OPEN("{i\1ax"), "b", &value)); /* no such marker */
    assert_int_equal(count_elements(OPEN("[$d#i\3\0\0\0\0"), &sum), 1);
}

static void nesting_has_a_limit(void **state) {
    (void)state;
    enum { DEEP = 100000 };
    char *bytes = malloc(DEEP + 8);
    weir_ubjson value;
    assert_non_null(bytes);
    memcpy(bytes, "{i\1a", 4);
    memset(bytes + 4, '[', DEEP);
    assert_true(weir_ubjson_open(bytes, DEEP + 4, &value));
    assert_false(weir_ubjson_find(value, "b", &value));
    free(bytes);
}

static weir_ubjson of_json(const char *text, weir_buf *bytes) {
    weir_err err;
    if (weir_ubjson_of_json(text, strlen(text), bytes, &err)) fail_msg("%s: %s", text, err.message);
    return open_bytes(bytes->data, bytes->len);
}

static void json_is_read_as_well(void **state) {
    (void)state;
    weir_buf bytes = {0};
    weir_ubjson value,
        object = of_json(" {\"a\": [1, -2.5e1 ,3,[],{}],\"q\\\"\":\"x\\\\\",\"b\":{\"n\":NaN,\"i\":-Infinity,\"t\":true,\"z\":null},\"c\":7E0}", &bytes);
    const char *text;
    size_t len;
    double sum;
    assert_true(weir_ubjson_find(object, "a", &value));
    assert_int_equal(count_elements(value, &sum), 5);
    assert_true(sum == -21);
    assert_int_equal(weir_ubjson_count_numbers(value, 10), 3);
    assert_true(weir_ubjson_find(object, "q\\\"", &value) && weir_ubjson_text(value, &text, &len) && len == 3);
    assert_true(weir_ubjson_find(object, "b", &value));
    assert_true(number_at(value, "n") != number_at(value, "n"));
    assert_true(number_at(value, "i") < -1e308);
    assert_true(number_at(object, "c") == 7);
    weir_buf_done(&bytes);
}

static void what_is_not_json_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "[1",
                                        "[1,",
                                        "[1 2]",
                                        "[,1]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{a:1}",
                                        "{\"a\":1,}",
                                        "\"a",
                                        "\"a\\",
                                        "\"a\\\"",
                                        "[1x]",
                                        "nul",
                                        "1e",
                                        "[+]",
                                        "[111111111111111111111111111111111111111111111111111111111111]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        weir_buf bytes = {0};
        char *own = malloc(strlen(texts[i]) + 1); /* of just so many bytes, so that reading on is seen */
        assert_non_null(own);
        memcpy(own, texts[i], strlen(texts[i]));
        char *exact = realloc(own, strlen(texts[i]) ? strlen(texts[i]) : 1);
        weir_err err;
        if (weir_ubjson_of_json(exact, strlen(texts[i]), &bytes, &err) != WEIR_EDATA) fail_msg("%s was taken", texts[i]);
        weir_buf_done(&bytes);
        free(exact);
    }
}

static void json_nests_no_deeper_than_can_be_read(void **state) {
    (void)state;
    char deep[200];
    weir_buf bytes = {0};
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    weir_err err;
    assert_int_equal(weir_ubjson_of_json(deep + 40, 120, &bytes, &err), WEIR_OK);
    size_t len;
    assert_true(weir_ubjson_length(open_bytes(bytes.data, bytes.len), &len));
    assert_int_equal(len, bytes.len - 1);
    assert_int_equal(weir_ubjson_of_json(deep, 200, &bytes, &err), WEIR_EDATA);
    weir_buf_done(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_type_are_read),
        cmocka_unit_test(arrays_are_read_however_they_are_written),
        cmocka_unit_test(members_behind_containers_are_found),
        cmocka_unit_test(what_is_of_another_type_is_refused),
        cmocka_unit_test(false_counts_are_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(json_is_read_as_well),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(json_nests_no_deeper_than_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
