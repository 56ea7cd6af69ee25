/* schemas/pipeline.schema.json says of each algorithm's hyperparameters what the program's own tables say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/model.h"

static cJSON *schema;

static int read_schema(void **state) {
    (void)state;
    static char text[1 << 18];
    FILE *file = fopen("schemas/pipeline.schema.json", "rb");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_in_range(len, 1, sizeof text - 2);
    schema = cJSON_Parse(text);
    return schema ? 0 : -1;
}

static int free_schema(void **state) {
    (void)state;
    cJSON_Delete(schema);
    return 0;
}

static cJSON *member(const cJSON *json, const char *name) {
    cJSON *found = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!found) fail_msg("there is no %s", name);
    return found;
}

/* In a pipeline file the environment goes into texts only, so a number's schema is of numbers only. */
static void want_plain_number(cJSON *property) {
    cJSON *type = member(property, "type");
    if (!cJSON_IsArray(type)) return;
    char *first = strdup(cJSON_GetStringValue(cJSON_GetArrayItem(type, 0)));
    cJSON_DeleteItemFromObject(property, "pattern");
    cJSON_ReplaceItemInObject(property, "type", cJSON_CreateString(first));
    free(first);
}

static void hyperparameters_are_those_of_the_tables(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        char name[64];
        snprintf(name, sizeof name, "params_%s", (*a)->name);
        cJSON *wanted = weir_conf_json_schema((*a)->params), *property;
        assert_non_null(wanted);
        cJSON_ArrayForEach(property, member(wanted, "properties")) want_plain_number(property);
        if (!cJSON_Compare(wanted, member(member(schema, "$defs"), name), true)) {
            char *text = cJSON_Print(wanted);
            fail_msg("$defs.%s of schemas/pipeline.schema.json should be\n%s", name, text);
        }
        cJSON_Delete(wanted);
    }
}

static void each_algorithm_is_named_and_no_other(void **state) {
    (void)state;
    const cJSON *algorithm = member(member(member(member(schema, "$defs"), "known_algorithm"), "properties"), "algorithm");
    const cJSON *names = member(cJSON_GetArrayItem(member(algorithm, "anyOf"), 0), "enum");
    int count = 0;
    for (; weir_algorithms()[count]; count++) assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(names, count)), weir_algorithms()[count]->name);
    assert_int_equal(cJSON_GetArraySize(names), count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hyperparameters_are_those_of_the_tables),
        cmocka_unit_test(each_algorithm_is_named_and_no_other),
    };
    return cmocka_run_group_tests(tests, read_schema, free_schema);
}
