/* Numbers in JSON with all their digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/json.h"

static void every_double_reads_back_as_it_was(void **state) {
    (void)state;
    const double values[] = {0, -0.0, 1, 0.1, 1.0 / 3, nextafter(0.5, 1), -1e300, DBL_MIN, DBL_TRUE_MIN, DBL_MAX, 123456789012345678.0, 0.0270352};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cJSON *item = weir_json_exact(values[i]);
        char *text = cJSON_PrintUnformatted(item);
        assert_true(strtod(text, NULL) == values[i]);
        assert_true(weir_json_value(item) == values[i]);
        cJSON_free(text);
        cJSON_Delete(item);
    }
}

static void what_is_not_finite_is_null(void **state) {
    (void)state;
    const double values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cJSON *item = weir_json_exact(values[i]);
        assert_true(cJSON_IsNull(item) && isnan(weir_json_value(item)));
        cJSON_Delete(item);
    }
    assert_true(isnan(weir_json_value(NULL)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_double_reads_back_as_it_was), cmocka_unit_test(what_is_not_finite_is_null)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
