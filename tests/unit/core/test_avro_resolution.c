/* Schema resolution: what one schema wrote, read with another. Rules as in the specification's "Schema Resolution". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/avro.h"

#define RECORD(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define FIELD(name, rest) "{\"name\":\"" name "\",\"type\":" rest "}"

typedef struct pair {
    weir_schema *writer, *reader;
    weir_avro_plan *plan;
    weir_datum row[8];
} pair;

static weir_status open_pair(pair *p, const char *writer, const char *reader, weir_err *err) {
    *p = (pair){0};
    assert_int_equal(weir_schema_parse(writer, strlen(writer), &p->writer, err), WEIR_OK);
    assert_int_equal(weir_schema_parse(reader, strlen(reader), &p->reader, err), WEIR_OK);
    assert_true(weir_schema_field_count(p->reader) <= 8);
    return weir_avro_plan_new(p->writer, p->reader, &p->plan, err);
}

static void close_pair(pair *p) {
    weir_avro_plan_free(p->plan);
    weir_schema_free(p->writer);
    weir_schema_free(p->reader);
}

static weir_status decode(pair *p, const char *bytes, size_t len, weir_err *err) {
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    weir_status status = weir_avro_decode(p->plan, copy, len, p->row, err);
    for (int i = 0; !status && i < weir_schema_field_count(p->reader); i++)
        if (p->row[i].type >= WEIR_T_STR && p->row[i].p >= copy && p->row[i].p <= copy + len) p->row[i].p = bytes + (p->row[i].p - copy);
    free(copy);
    return status;
}

/* Every prefix is refused, the whole is taken. */
static void decodes(pair *p, const char *bytes, size_t len) {
    weir_err err = {0};
    for (size_t cut = 0; cut < len; cut++) assert_int_equal(decode(p, bytes, cut, &err), WEIR_EDATA);
    if (decode(p, bytes, len, &err)) fail_msg("%s", err.message);
}
#define DECODES(p, bytes) decodes((p), (bytes), sizeof(bytes) - 1)

static void does_not_resolve(const char *writer, const char *reader, const char *field) {
    pair p;
    weir_err err = {0};
    assert_int_equal(open_pair(&p, writer, reader, &err), WEIR_EDATA);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    if (!strstr(err.message, field)) fail_msg("\"%s\" does not name %s", err.message, field);
    close_pair(&p);
}

static void fields_are_matched_by_name_whatever_their_order(void **state) {
    (void)state;
    pair p;
    assert_int_equal(
        open_pair(&p, RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"string\"")), RECORD(FIELD("b", "\"string\"") "," FIELD("a", "\"int\"")), NULL), WEIR_OK);
    DECODES(&p, "\x02\x02x");
    assert_int_equal(p.row[1].i, 1);
    assert_memory_equal(p.row[0].p, "x", 1);
    close_pair(&p);
}

static void missing_fields_take_their_defaults(void **state) {
    (void)state;
    pair p;
    assert_int_equal(
        open_pair(
            &p, RECORD(FIELD("a", "\"int\"")),
            RECORD(FIELD("s", "\"string\",\"default\":\"hé\"") "," FIELD("a", "\"int\"") "," FIELD("d", "\"double\",\"default\":1") "," FIELD(
                "n",
                "[\"null\",\"int\"],\"default\":null") "," FIELD("b",
                                                                 "\"bytes\",\"default\":\"\\u00ff\"") "," FIELD("t",
                                                                                                                "{\"type\":\"long\",\"logicalType\":"
                                                                                                                "\"timestamp-millis\"},\"default\":"
                                                                                                                "2") "," FIELD("e",
                                                                                                                               "{\"type\":\"enum\","
                                                                                                                               "\"name\":\"E\","
                                                                                                                               "\"symbols\":[\"A\","
                                                                                                                               "\"B\"]},\"default\":"
                                                                                                                               "\"B\"") "," FIELD("o",
                                                                                                                                                  "\"boolean\","
                                                                                                                                                  "\"default\":"
                                                                                                                                                  "true")),
            NULL),
        WEIR_OK);
    DECODES(&p, "\x0a");
    assert_int_equal(p.row[0].len, 3);
    assert_memory_equal(p.row[0].p, "hé", 3);
    assert_int_equal(p.row[1].i, 5);
    assert_int_equal(p.row[2].type, WEIR_T_F64);
    assert_true(p.row[2].f == 1.0);
    assert_int_equal(p.row[3].type, WEIR_T_NULL);
    assert_int_equal(p.row[4].len, 1);
    assert_memory_equal(p.row[4].p, "\xff", 1);
    assert_int_equal(p.row[5].i, 2000);
    assert_memory_equal(p.row[6].p, "B", 1);
    assert_int_equal(p.row[7].i, 1);
    close_pair(&p);
}

static void missing_fields_without_default_are_named(void **state) {
    (void)state;
    does_not_resolve(RECORD(FIELD("a", "\"int\"")), RECORD(FIELD("a", "\"int\"") "," FIELD("b", "\"int\"")), "\"b\"");
    does_not_resolve(RECORD(FIELD("a", "\"int\"")), RECORD(FIELD("p", "{\"type\":\"record\",\"name\":\"P\",\"fields\":[" FIELD("x", "\"int\"") "]}")),
                     "\"p.x\"");
}

static void numbers_are_promoted_and_never_narrowed(void **state) {
    (void)state;
    static const char *const kinds[] = {"\"int\"", "\"long\"", "\"float\"", "\"double\""};
    static const char *const three[] = {"\x06", "\x06", "\x00\x00\x40\x40", "\x00\x00\x00\x00\x00\x00\x08\x40"};
    static const size_t sizes[] = {1, 1, 4, 8};
    for (int w = 0; w < 4; w++) {
        for (int r = 0; r < 4; r++) {
            char writer[200], reader[200];
            (void)snprintf(writer, sizeof writer, RECORD(FIELD("a", "%s")), kinds[w]);
            (void)snprintf(reader, sizeof reader, RECORD(FIELD("a", "%s")), kinds[r]);
            if (w > r) {
                does_not_resolve(writer, reader, "\"a\"");
                continue;
            }
            pair p;
            assert_int_equal(open_pair(&p, writer, reader, NULL), WEIR_OK);
            decodes(&p, three[w], sizes[w]);
            assert_int_equal(p.row[0].type, r < 2 ? WEIR_T_I64 : WEIR_T_F64);
            assert_true(weir_datum_number(&p.row[0]) == 3.0);
            close_pair(&p);
        }
    }
}

static void text_and_bytes_read_each_other_and_text_stays_utf8(void **state) {
    (void)state;
    pair p;
    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "\"bytes\"")), RECORD(FIELD("a", "\"string\"")), NULL), WEIR_OK);
    DECODES(&p, "\x02x");
    assert_int_equal(p.row[0].type, WEIR_T_STR);
    assert_int_equal(decode(&p, "\x02\xff", 2, NULL), WEIR_EDATA);
    close_pair(&p);
    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "\"string\"")), RECORD(FIELD("a", "\"bytes\"")), NULL), WEIR_OK);
    DECODES(&p, "\x02\xff");
    assert_int_equal(p.row[0].type, WEIR_T_BYTES);
    close_pair(&p);
}

static void nullable_and_plain_read_each_other(void **state) {
    (void)state;
    pair p;
    weir_err err = {0};
    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "\"int\"")), RECORD(FIELD("a", "[\"null\",\"double\"]")), NULL), WEIR_OK);
    DECODES(&p, "\x06");
    assert_true(p.row[0].type == WEIR_T_F64 && p.row[0].f == 3.0);
    close_pair(&p);

    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "[\"int\",\"null\"]")), RECORD(FIELD("a", "\"int\"")), NULL), WEIR_OK);
    DECODES(&p, "\x00\x06");
    assert_int_equal(p.row[0].i, 3);
    assert_int_equal(decode(&p, "\x02", 1, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "null, which the reader does not take"));
    close_pair(&p);

    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "\"null\"")), RECORD(FIELD("a", "[\"null\",\"int\"]")), NULL), WEIR_OK);
    DECODES(&p, "");
    assert_int_equal(p.row[0].type, WEIR_T_NULL);
    close_pair(&p);
}

static void wide_unions_resolve_branch_by_branch(void **state) {
    (void)state;
    pair p;
    weir_err err = {0};
    assert_int_equal(open_pair(&p, RECORD(FIELD("a", "[\"null\",\"int\",\"string\",\"float\"]")), RECORD(FIELD("a", "[\"null\",\"double\"]")), NULL), WEIR_OK);
    DECODES(&p, "\x02\x06");
    assert_true(p.row[0].f == 3.0);
    DECODES(&p, "\x06\x00\x00\xc0\x3f");
    assert_true(p.row[0].f == 1.5);
    assert_int_equal(decode(&p, "\x04\x02x", 3, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "a union branch that the reader does not take"));
    close_pair(&p);
    does_not_resolve(RECORD(FIELD("a", "[\"string\",\"boolean\"]")), RECORD(FIELD("a", "\"int\"")), "\"a\"");
}

/* Everything between a and z is skipped: array, map, union, enum, fixed, nested record, recursive list. */
static void what_the_reader_does_not_have_is_skipped(void **state) {
    (void)state;
    static const char writer[] = RECORD(FIELD("a", "\"int\"") "," FIELD("arr", "{\"type\":\"array\",\"items\":\"string\"}") "," FIELD(
        "map",
        "{\"type\":\"map\",\"values\":"
        "\"double\"}") "," FIELD("uni",
                                 "[\"nul"
                                 "l\","
                                 "\"stri"
                                 "ng\",{"
                                 "\"type"
                                 "\":"
                                 "\"arra"
                                 "y\","
                                 "\"item"
                                 "s\":"
                                 "\"int"
                                 "\"}]") "," FIELD("enu",
                                                   "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}") "," FIELD("fix",
                                                                                                                             "{\"type\":\"fixed\","
                                                                                                                             "\"name\":\"F\",\"size\":"
                                                                                                                             "2}") "," FIELD("rec",
                                                                                                                                             "{\"type\""
                                                                                                                                             ":\"record"
                                                                                                                                             "\","
                                                                                                                                             "\"name\":"
                                                                                                                                             "\"P\","
                                                                                                                                             "\"fields"
                                                                                                                                             "\":"
                                                                                                                                             "[" FIELD(
                                                                                                                                                 "x",
                                                                                                                                                 "\""
                                                                                                                                                 "fl"
                                                                                                                                                 "oa"
                                                                                                                                                 "t"
                                                                                                                                                 "\"") "," FIELD("y",
                                                                                                                                                                 "\"boo"
                                                                                                                                                                 "lean"
                                                                                                                                                                 "\"") "]}") "," FIELD("list",
                                                                                                                                                                                       "[\"null\",{\"type\":\"record\",\"name\":\"L\","
                                                                                                                                                                                       "\"fields\":[" FIELD("v", "\"int\"") "," FIELD(
                                                                                                                                                                                           "next",
                                                                                                                                                                                           "[\"null\",\"L\"]") "]}]") "," FIELD("z",
                                                                                                                                                                                                                                "\"int"
                                                                                                                                                                                                                                "\""));
    static const char bytes[] = "\x02" /* a = 1 */
                                "\x04\x02p\x02q\x01\x04\x02r\x00" /* two strings; a sized block (-1, 2 bytes) of one; end */
                                "\x02\x02k\x00\x00\x00\x00\x00\x00\x00\x00\x00" /* one entry; end */
                                "\x04\x02\x06\x00" /* branch 2: one int */
                                "\x02" /* B */
                                "ff" /* fixed */
                                "\x00\x00\x00\x00\x01" /* x, y */
                                "\x02\x02\x02\x04\x00" /* 1 → 2 → null */
                                "\x12"; /* z = 9 */
    pair p;
    assert_int_equal(open_pair(&p, writer, RECORD(FIELD("z", "\"int\"") "," FIELD("a", "\"int\"")), NULL), WEIR_OK);
    assert_string_equal(weir_schema_opaque(p.writer), "arr");
    decodes(&p, bytes, sizeof bytes - 1);
    assert_int_equal(p.row[0].i, 9);
    assert_int_equal(p.row[1].i, 1);
    close_pair(&p);

    /* The same schema on both sides: what is no column is skipped too. */
    assert_int_equal(open_pair(&p, writer, writer, NULL), WEIR_OK);
    assert_int_equal(weir_schema_field_count(p.reader), 8);
    decodes(&p, bytes, sizeof bytes - 1);
    assert_true(p.row[5].i && p.row[6].i == 1); /* "list" is there, and its "v"; what it links to has no end */
    assert_int_equal(p.row[7].i, 9);
    close_pair(&p);
}

static void hostile_counts_and_nesting_end_at_once(void **state) {
    (void)state;
    pair p;
    weir_err err = {0};
    /* 2^62 nulls take no bytes: neither time nor an error. */
    assert_int_equal(
        open_pair(&p, RECORD(FIELD("n", "{\"type\":\"array\",\"items\":\"null\"}") "," FIELD("a", "\"int\"")), RECORD(FIELD("a", "\"int\"")), NULL), WEIR_OK);
    DECODES(&p, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00\x02");
    assert_int_equal(p.row[0].i, 1);
    /* A block that says it is larger than the input, and one of negative size. */
    assert_int_equal(decode(&p, "\x01\x7e\x00\x02", 4, &err), WEIR_EDATA);
    assert_int_equal(decode(&p, "\x01\x01\x00\x02", 4, &err), WEIR_EDATA);
    close_pair(&p);
    /* A list that never ends. */
    assert_int_equal(open_pair(&p, RECORD(FIELD("l", "[\"null\",{\"type\":\"record\",\"name\":\"L\",\"fields\":[" FIELD("next", "[\"null\",\"L\"]") "]}]")),
                               RECORD(""), NULL),
                     WEIR_OK);
    char deep[100000];
    memset(deep, 2, sizeof deep);
    assert_int_equal(decode(&p, deep, sizeof deep, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "nested too deeply"));
    close_pair(&p);
}

#define INNER "{\"type\":\"record\",\"name\":\"Q\",\"fields\":[" FIELD("x", "\"int\"") "]}"

static void a_record_may_become_nullable_and_be_missing(void **state) {
    (void)state;
    pair p;
    weir_err err = {0};
    static const char plain[] = RECORD(FIELD("r", INNER) "," FIELD("z", "\"int\""));
    static const char nullable[] = RECORD(FIELD("r", "[" INNER ",\"null\"]") "," FIELD("z", "\"int\""));
    static const char missing[] = RECORD(FIELD("z", "\"int\""));
    static const char with_default[] = RECORD(FIELD("r", "[\"null\"," INNER "],\"default\":null") "," FIELD("z", "\"int\""));
    assert_int_equal(open_pair(&p, plain, nullable, &err), WEIR_OK);
    DECODES(&p, "\x06\x08");
    assert_true(p.row[0].type == WEIR_T_BOOL && p.row[0].i && p.row[1].i == 3 && p.row[2].i == 4);
    close_pair(&p);
    assert_int_equal(open_pair(&p, nullable, with_default, &err), WEIR_OK); /* the branches stand the other way round */
    DECODES(&p, "\x00\x06\x08");
    assert_true(p.row[0].i && p.row[1].i == 3 && p.row[2].i == 4);
    DECODES(&p, "\x02\x08");
    assert_true(!p.row[0].i && p.row[1].type == WEIR_T_NULL && p.row[2].i == 4);
    close_pair(&p);
    assert_int_equal(open_pair(&p, nullable, plain, &err), WEIR_OK); /* only a null cannot be taken */
    DECODES(&p, "\x00\x06\x08");
    assert_true(p.row[0].i == 3 && p.row[1].i == 4);
    assert_int_equal(decode(&p, "\x02\x08", 2, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "field \"r\" at byte 0: null"));
    close_pair(&p);
    assert_int_equal(open_pair(&p, missing, with_default, &err), WEIR_OK);
    DECODES(&p, "\x08");
    assert_true(p.row[0].type == WEIR_T_BOOL && !p.row[0].i && p.row[1].type == WEIR_T_NULL && p.row[2].i == 4);
    close_pair(&p);
    assert_int_equal(open_pair(&p, with_default, missing, &err), WEIR_OK);
    DECODES(&p, "\x02\x06\x08");
    assert_int_equal(p.row[0].i, 4);
    close_pair(&p);
    does_not_resolve(missing, nullable, "\"r\"");
    does_not_resolve(RECORD(FIELD("r", "\"int\"") "," FIELD("z", "\"int\"")), nullable, "\"r\"");
}

static void aliases_find_renamed_fields(void **state) {
    (void)state;
    pair p;
    assert_int_equal(open_pair(&p, RECORD(FIELD("TX_AMOUNT", "\"double\"") "," FIELD("b", "\"int\"")),
                               RECORD(FIELD("amount", "\"double\",\"aliases\":[\"TX_AMOUNT\"]") "," FIELD("b", "\"int\",\"aliases\":[\"c\"]")), NULL),
                     WEIR_OK);
    DECODES(&p, "\x00\x00\x00\x00\x00\x00\x00\x40\x06");
    assert_true(p.row[0].f == 2.0);
    assert_int_equal(p.row[1].i, 3);
    close_pair(&p);
}

static void enums_resolve_by_symbol_with_default(void **state) {
    (void)state;
    static const char writer[] = RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\",\"C\"]}"));
    pair p;
    weir_err err = {0};
    assert_int_equal(open_pair(&p, writer, RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"C\",\"A\"]}")), NULL), WEIR_OK);
    DECODES(&p, "\x04");
    assert_memory_equal(p.row[0].p, "C", 1);
    assert_int_equal(decode(&p, "\x02", 1, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "the reader does not know"));
    close_pair(&p);
    assert_int_equal(open_pair(&p, writer, RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"U\",\"A\"],\"default\":\"U\"}")), NULL),
                     WEIR_OK);
    DECODES(&p, "\x02");
    assert_memory_equal(p.row[0].p, "U", 1);
    close_pair(&p);
    does_not_resolve(writer, RECORD(FIELD("e", "\"string\"")), "\"e\"");
}

static void timestamps_of_both_units_become_microseconds(void **state) {
    (void)state;
    static const char millis[] = RECORD(FIELD("t", "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"));
    static const char micros[] = RECORD(FIELD("t", "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}"));
    static const char plain[] = RECORD(FIELD("t", "\"long\""));
    static const struct {
        const char *writer, *reader;
        int64_t expected;
    } cases[] = {{millis, micros, 3000}, {micros, millis, 3},   {millis, millis, 3000}, {micros, micros, 3},
                 {plain, micros, 3},     {plain, millis, 3000}, {millis, plain, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pair p;
        assert_int_equal(open_pair(&p, cases[i].writer, cases[i].reader, NULL), WEIR_OK);
        DECODES(&p, "\x06");
        assert_int_equal(p.row[0].i, cases[i].expected);
        close_pair(&p);
    }
}

static void nested_records_resolve_member_by_member(void **state) {
    (void)state;
#define POINT(fields) FIELD("p", "{\"type\":\"record\",\"name\":\"P\",\"fields\":[" fields "]}")
    pair p;
    assert_int_equal(open_pair(&p, RECORD(POINT(FIELD("x", "\"int\"") "," FIELD("old", "\"string\""))),
                               RECORD(POINT(FIELD("y", "\"int\",\"default\":4") "," FIELD("x", "\"long\""))), NULL),
                     WEIR_OK);
    DECODES(&p, "\x06\x02o");
    assert_int_equal(p.row[0].i, 4);
    assert_int_equal(p.row[1].i, 3);
    close_pair(&p);
    /* The whole record is missing: its default comes first, the members' own after it. */
    assert_int_equal(open_pair(&p, RECORD(""),
                               RECORD(FIELD("p", "{\"type\":\"record\",\"name\":\"P\",\"fields\":[" FIELD("x", "\"int\"") "," FIELD(
                                                     "y", "\"int\",\"default\":4") "]},\"default\":{\"x\":8}")),
                               NULL),
                     WEIR_OK);
    DECODES(&p, "");
    assert_int_equal(p.row[0].i, 8);
    assert_int_equal(p.row[1].i, 4);
    close_pair(&p);
    does_not_resolve(RECORD(FIELD("p", "\"int\"")), RECORD(POINT(FIELD("x", "\"int\""))), "\"p\"");
}

static void fixed_needs_the_same_size(void **state) {
    (void)state;
    pair p;
    assert_int_equal(open_pair(&p, RECORD(FIELD("f", "{\"type\":\"fixed\",\"name\":\"A\",\"size\":2}")),
                               RECORD(FIELD("f", "{\"type\":\"fixed\",\"name\":\"B\",\"size\":2}")), NULL),
                     WEIR_OK);
    DECODES(&p, "ab");
    assert_int_equal(p.row[0].len, 2);
    close_pair(&p);
    does_not_resolve(RECORD(FIELD("f", "{\"type\":\"fixed\",\"name\":\"A\",\"size\":3}")), RECORD(FIELD("f", "{\"type\":\"fixed\",\"name\":\"A\",\"size\":2}")),
                     "\"f\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_matched_by_name_whatever_their_order),
        cmocka_unit_test(missing_fields_take_their_defaults),
        cmocka_unit_test(missing_fields_without_default_are_named),
        cmocka_unit_test(numbers_are_promoted_and_never_narrowed),
        cmocka_unit_test(text_and_bytes_read_each_other_and_text_stays_utf8),
        cmocka_unit_test(nullable_and_plain_read_each_other),
        cmocka_unit_test(wide_unions_resolve_branch_by_branch),
        cmocka_unit_test(what_the_reader_does_not_have_is_skipped),
        cmocka_unit_test(hostile_counts_and_nesting_end_at_once),
        cmocka_unit_test(aliases_find_renamed_fields),
        cmocka_unit_test(a_record_may_become_nullable_and_be_missing),
        cmocka_unit_test(enums_resolve_by_symbol_with_default),
        cmocka_unit_test(timestamps_of_both_units_become_microseconds),
        cmocka_unit_test(nested_records_resolve_member_by_member),
        cmocka_unit_test(fixed_needs_the_same_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
