/* Ranges of a training set in a signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_input_has_the_range_of_its_column),
        cmocka_unit_test(what_has_no_rows_or_no_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
