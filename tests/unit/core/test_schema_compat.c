/* Compatibility of schemas, rule by rule of the specification's "Schema Resolution". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/registry_server.h"

#define RECORD(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define FIELD(name, rest) "{\"name\":\"" name "\",\"type\":" rest "}"

static bool can_read(const char *reader, const char *writer, weir_buf *reason) {
    weir_err err = {0};
    bool compatible = false;
    if (weir_schema_can_read(reader, writer, &compatible, reason, &err)) fail_msg("%s", err.message);
    return compatible;
}

static void reads(const char *reader, const char *writer) {
    weir_buf reason = {0};
    if (!can_read(reader, writer, &reason)) fail_msg("%s does not read %s: %s", reader, writer, reason.data);
    weir_buf_done(&reason);
}

static void does_not_read(const char *reader, const char *writer, const char *words) {
    weir_buf reason = {0};
    if (can_read(reader, writer, &reason)) fail_msg("%s reads %s", reader, writer);
    if (!reason.data || !strstr(reason.data, words)) fail_msg("\"%s\" does not say \"%s\"", reason.data ? reason.data : "", words);
    weir_buf_done(&reason);
}

static void primitives_promote_one_way(void **state) {
    (void)state;
    static const char *const names[] = {"\"null\"", "\"boolean\"", "\"int\"", "\"long\"", "\"float\"", "\"double\"", "\"bytes\"", "\"string\""};
    /* Rows: reader; columns: writer. From the table of promotions in the specification. */
    static const char *const table[] = {"x.......", ".x......", "..x.....", "..xx....", "..xxx...", "..xxxx..", "......xx", "......xx"};
    for (int r = 0; r < 8; r++)
        for (int w = 0; w < 8; w++)
            if (can_read(names[r], names[w], NULL) != (table[r][w] == 'x')) fail_msg("%s reading %s", names[r], names[w]);
}

static void fields_may_be_added_with_default_and_removed(void **state) {
    (void)state;
    reads(RECORD(FIELD("a", "\"int\"")), RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"int\"")));
    reads(RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"int\",\"default\":1")), RECORD(FIELD("a", "\"int\"")));
    does_not_read(RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"int\"")), RECORD(FIELD("a", "\"int\"")), "field b");
    reads(RECORD(FIELD("n", "\"int\",\"aliases\":[\"o\"]")), RECORD(FIELD("o", "\"int\"")));
    does_not_read(RECORD(FIELD("a", "\"int\"")), RECORD(FIELD("a", "\"string\"")), "a: the reader's int cannot read the writer's string");
}

static void names_count_without_namespace_or_by_alias(void **state) {
    (void)state;
    reads("{\"type\":\"record\",\"name\":\"x.R\",\"fields\":[]}", "{\"type\":\"record\",\"name\":\"y.R\",\"fields\":[]}");
    does_not_read("{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}", "{\"type\":\"record\",\"name\":\"B\",\"fields\":[]}", "called A");
    reads("{\"type\":\"record\",\"name\":\"x.A\",\"aliases\":[\"B\"],\"fields\":[]}", "{\"type\":\"record\",\"name\":\"x.B\",\"fields\":[]}");
    does_not_read("{\"type\":\"record\",\"name\":\"x.A\",\"aliases\":[\"B\"],\"fields\":[]}", "{\"type\":\"record\",\"name\":\"y.B\",\"fields\":[]}", "called");
}

static void enums_need_the_symbols_or_a_default(void **state) {
    (void)state;
    static const char ab[] = "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}";
    reads("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"C\",\"A\"]}", ab);
    does_not_read("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", ab, "symbol B");
    reads("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"A\"}", ab);
    does_not_read("{\"type\":\"enum\",\"name\":\"F\",\"symbols\":[\"A\",\"B\"]}", ab, "called F");
    does_not_read("\"string\"", ab, "cannot read the writer's enum");
}

static void fixed_needs_name_and_size(void **state) {
    (void)state;
    static const char two[] = "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}";
    reads(two, two);
    does_not_read("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", two, "size");
    does_not_read("{\"type\":\"fixed\",\"name\":\"G\",\"size\":2}", two, "called G");
}

static void unions_are_compared_branch_by_branch(void **state) {
    (void)state;
    reads("[\"null\",\"int\"]", "\"int\"");
    reads("[\"null\",\"int\"]", "\"null\"");
    reads("[\"null\",\"long\"]", "[\"int\",\"null\"]");
    reads("\"double\"", "[\"int\",\"float\"]");
    does_not_read("\"int\"", "[\"null\",\"int\"]", "cannot read the writer's null");
    does_not_read("[\"null\",\"int\"]", "[\"null\",\"int\",\"string\"]", "string is in no branch");
    does_not_read("[\"null\",\"int\"]", "\"long\"", "long is in no branch");
}

static void containers_are_compared_by_what_they_hold(void **state) {
    (void)state;
    reads("{\"type\":\"array\",\"items\":\"long\"}", "{\"type\":\"array\",\"items\":\"int\"}");
    does_not_read("{\"type\":\"array\",\"items\":\"int\"}", "{\"type\":\"array\",\"items\":\"long\"}", "int cannot read");
    reads("{\"type\":\"map\",\"values\":\"long\"}", "{\"type\":\"map\",\"values\":\"int\"}");
    does_not_read("{\"type\":\"map\",\"values\":\"int\"}", "{\"type\":\"array\",\"items\":\"int\"}", "map cannot read");
}

static void recursive_schemas_end(void **state) {
    (void)state;
#define LIST(value, more) "{\"type\":\"record\",\"name\":\"L\",\"fields\":[" FIELD("v", value) more "," FIELD("next", "[\"null\",\"L\"]") "]}"
    reads(LIST("\"long\"", ""), LIST("\"int\"", ""));
    does_not_read(LIST("\"int\"", ""), LIST("\"long\"", ""), "v: ");
    /* What is wrong lies behind the recursive field. */
    does_not_read("{\"type\":\"record\",\"name\":\"L\",\"fields\":[" FIELD("next", "[\"null\",\"L\"]") "," FIELD("v", "\"int\"") "]}", LIST("\"string\"", ""),
                  "v: ");
    /* Two types that hold each other, many times. */
    char reader[20000], writer[20000], names[12000] = "";
    for (int i = 0; i < 150; i++) {
        char one[80];
        (void)snprintf(one, sizeof one, "," FIELD("f%d", "[\"null\",\"L\"]"), i);
        strcat(names, one);
    }
    (void)snprintf(reader, sizeof reader, LIST("\"long\"", "%s"), names);
    (void)snprintf(writer, sizeof writer, LIST("\"int\"", "%s"), names);
    reads(reader, writer);
    does_not_read(writer, reader, "v: ");
}

static void what_is_no_schema_is_an_error(void **state) {
    (void)state;
    weir_err err = {0};
    bool compatible;
    assert_int_equal(weir_schema_can_read("{", "\"int\"", &compatible, NULL, &err), WEIR_EINVAL);
    assert_int_equal(weir_schema_can_read("\"int\"", "\"nothing\"", &compatible, NULL, &err), WEIR_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitives_promote_one_way),
        cmocka_unit_test(fields_may_be_added_with_default_and_removed),
        cmocka_unit_test(names_count_without_namespace_or_by_alias),
        cmocka_unit_test(enums_need_the_symbols_or_a_default),
        cmocka_unit_test(fixed_needs_name_and_size),
        cmocka_unit_test(unions_are_compared_branch_by_branch),
        cmocka_unit_test(containers_are_compared_by_what_they_hold),
        cmocka_unit_test(recursive_schemas_end),
        cmocka_unit_test(what_is_no_schema_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
