/* Ranges of a training set in a signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/signature.h"

static weir_err err;

static void each_input_has_the_range_of_its_column(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    const double values[] = {
        1,    NAN, 0,   NAN, //
        -2.5, NAN, 2,   7, //
        4,    NAN, NAN, 7, //
        0,    NAN, 1,   7, //
    };
    const weir_matrix m = {.row_count = 4, .column_count = 4, .values = values, .column_names = names};
    cJSON *signature = cJSON_Parse("{\"inputs\": [{\"name\": \"d\", \"type\": \"double\", \"min\": 99}, {\"name\": \"a\", \"type\": \"double\"}, {\"name\": "
                                   "\"b\", \"type\": \"double\", \"max\": 3},"
                                   " {\"name\": \"c\", \"type\": \"category\"}, {\"name\": \"elsewhere\", \"type\": \"double\"}]}");
    cJSON *want =
        cJSON_Parse("{\"inputs\": [{\"name\": \"d\", \"type\": \"double\", \"min\": 7, \"max\": 7, \"missing\": 0.25}, {\"name\": \"a\", \"type\": \"double\", "
                    "\"min\": -2.5, \"max\": 4,"
                    " \"missing\": 0}, {\"name\": \"b\", \"type\": \"double\", \"missing\": 1}, {\"name\": \"c\", \"type\": \"category\", \"missing\": 0.25},"
                    " {\"name\": \"elsewhere\", \"type\": \"double\"}]}");
    for (int round = 0; round < 2; round++) { /* again: the same */
        assert_int_equal(weir_signature_add_ranges(signature, &m, &err), WEIR_OK);
        assert_true(cJSON_Compare(signature, want, true));
    }
    cJSON_Delete(signature);
    cJSON_Delete(want);
}

static void what_has_no_rows_or_no_inputs(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    const weir_matrix none = {.column_count = 1, .column_names = names};
    cJSON *signature = cJSON_Parse("{\"inputs\": [{\"name\": \"a\"}]}"), *bare = cJSON_Parse("{}");
    assert_int_equal(weir_signature_add_ranges(signature, &none, &err), WEIR_OK);
    assert_true(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(signature, "inputs"), 0), "missing")->valuedouble == 1);
    assert_int_equal(weir_signature_add_ranges(bare, &none, &err), WEIR_EINVAL);
    cJSON_Delete(signature);
    cJSON_Delete(bare);
}

static void what_a_signature_says_of_an_input(void **state) {
    (void)state;
    cJSON *signature =
        cJSON_Parse("{\"inputs\": [{\"name\": \"a\", \"min\": -2.5, \"max\": 4, \"missing\": 0.25}, 7, {\"name\": \"b\", \"min\": \"low\", \"missing\": 1}]}");
    weir_input_range a = weir_signature_range(signature, "a"), b = weir_signature_range(signature, "b");
    assert_true(a.min == -2.5 && a.max == 4 && a.missing == 0.25);
    assert_true(isnan(b.min) && isnan(b.max) && b.missing == 1);
    cJSON *const nothing[] = {signature, cJSON_Parse("{}"), cJSON_Parse("{\"inputs\": 3}"), cJSON_Parse("[1]"), NULL};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        weir_input_range none = weir_signature_range(nothing[i], "c");
        assert_true(isnan(none.min) && isnan(none.max) && isnan(none.missing));
        cJSON_Delete(nothing[i]);
    }
}

static bool memory_is_gone;

static void *scarce(void *block, size_t size) {
    if (size && memory_is_gone) return NULL;
    if (size) return realloc(block, size);
    free(block);
    return NULL;
}

static void without_memory_the_signature_stays_as_it_is(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    const double value = 1;
    const weir_matrix m = {.row_count = 1, .column_count = 1, .values = &value, .column_names = names};
    cJSON *signature = cJSON_Parse("{\"inputs\": [{\"name\": \"a\"}]}"), *before = cJSON_Duplicate(signature, true);
    weir_allocator whole = weir_mem;
    weir_mem.realloc = scarce;
    memory_is_gone = true;
    assert_int_equal(weir_signature_add_ranges(signature, &m, &err), WEIR_ENOMEM);
    weir_mem = whole;
    assert_true(cJSON_Compare(signature, before, true));
    cJSON_Delete(signature);
    cJSON_Delete(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_input_has_the_range_of_its_column),
        cmocka_unit_test(what_has_no_rows_or_no_inputs),
        cmocka_unit_test(what_a_signature_says_of_an_input),
        cmocka_unit_test(without_memory_the_signature_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
