#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pg_binary.h"

#define HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"

/* What on_row saw, as text: one line a row, fields as length:bytes. */
typedef struct seen {
    weir_buf text;
    int rows, fail_at;
} seen;

static weir_status note(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    seen *s = context;
    if (++s->rows == s->fail_at) return WEIR_REJECT(err, WEIR_EDATA, "row %d is unwanted", s->rows);
    bool ok = true;
    for (int i = 0; i < field_count; i++) {
        ok = ok && weir_buf_printf(&s->text, "%d:", (int)fields[i].len);
        if (fields[i].len > 0) ok = ok && weir_buf_append(&s->text, fields[i].data, (size_t)fields[i].len);
        if (fields[i].len < 0) ok = ok && !fields[i].data;
    }
    return ok && weir_buf_append(&s->text, "\n", 1) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory");
}

static weir_pg_copy_parser *new_parser(seen *s) {
    weir_pg_copy_parser *parser = calloc(1, sizeof *parser);
    assert_non_null(parser);
    parser->on_row = note;
    parser->context = s;
    return parser;
}

static void free_parser(weir_pg_copy_parser *parser) {
    weir_pg_copy_parser_done(parser);
    free(parser);
}

static void fields_have_postgresqls_bytes(void **state) {
    (void)state;
    weir_buf rows = {0};
    assert_true(weir_pg_put_tuple(&rows, 7));
    assert_true(weir_pg_put_null(&rows));
    assert_true(weir_pg_put_bool(&rows, true));
    assert_true(weir_pg_put_int4(&rows, -2));
    assert_true(weir_pg_put_int8(&rows, INT64_C(0x0102030405060708)));
    assert_true(weir_pg_put_float8(&rows, 1.5));
    assert_true(weir_pg_put_bytes(&rows, "a\0b", 3));
    assert_true(weir_pg_put_timestamptz(&rows, INT64_C(946684800000001))); /* a microsecond into 2000 */
    static const char expected[] = "\0\7"
                                   "\377\377\377\377"
                                   "\0\0\0\1\1"
                                   "\0\0\0\4\377\377\377\376"
                                   "\0\0\0\10\1\2\3\4\5\6\7\10"
                                   "\0\0\0\10\77\370\0\0\0\0\0\0"
                                   "\0\0\0\3a\0b"
                                   "\0\0\0\10\0\0\0\0\0\0\0\1";
    assert_int_equal(rows.len, sizeof expected - 1);
    assert_memory_equal(rows.data, expected, rows.len);
    weir_buf_done(&rows);
}

static weir_pg_field field_of(weir_buf *rows) {
    return (weir_pg_field){.len = (int32_t)rows->len - 4, .data = rows->data + 4};
}

static void values_come_back(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1526378400000000};
    static const double floats[] = {0, -0.0, 0.1, INFINITY, -INFINITY, 5e-324};
    weir_buf rows = {0};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        weir_buf_clear(&rows);
        assert_true(weir_pg_put_int8(&rows, numbers[i]));
        weir_pg_field field = field_of(&rows);
        assert_true(weir_pg_get_int8(&field) == numbers[i]);
        weir_buf_clear(&rows);
        assert_true(weir_pg_put_timestamptz(&rows, numbers[i]));
        field = field_of(&rows);
        assert_true(weir_pg_get_timestamptz(&field) == numbers[i]);
        weir_buf_clear(&rows);
        assert_true(weir_pg_put_int4(&rows, (int32_t)numbers[i]));
        field = field_of(&rows);
        assert_int_equal(weir_pg_get_int4(&field), (int32_t)numbers[i]);
    }
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        weir_buf_clear(&rows);
        assert_true(weir_pg_put_float8(&rows, floats[i]));
        weir_pg_field field = field_of(&rows);
        double back = weir_pg_get_float8(&field);
        assert_memory_equal(&back, &floats[i], sizeof back);
    }
    weir_buf_clear(&rows);
    assert_true(weir_pg_put_float8(&rows, NAN));
    weir_pg_field nan_field = field_of(&rows);
    assert_true(isnan(weir_pg_get_float8(&nan_field)));
    weir_buf_done(&rows);
}

static void narrower_columns_and_nulls_are_read(void **state) {
    (void)state;
    const weir_pg_field null_field = {.len = -1}, int2 = {.len = 2, .data = "\377\376"}, float4 = {.len = 4, .data = "\77\300\0\0"},
                        yes = {.len = 1, .data = "\1"};
    assert_int_equal(weir_pg_get_int8(&null_field), 0);
    assert_true(isnan(weir_pg_get_float8(&null_field)));
    assert_int_equal(weir_pg_get_int4(&int2), -2);
    assert_true(weir_pg_get_float8(&float4) == 1.5);
    assert_int_equal(weir_pg_get_int4(&yes), 1);
}

static void make_stream(weir_buf *stream, const char *header, size_t header_len) {
    assert_true(weir_buf_append(stream, header, header_len));
    for (int i = 0; i < 20; i++) {
        char text[40];
        int len = snprintf(text, sizeof text, "%.*s", i, "abcdefghijklmnopqrst");
        assert_true(weir_pg_put_tuple(stream, 2) && weir_pg_put_bytes(stream, text, (size_t)len) && weir_pg_put_null(stream));
    }
    assert_true(weir_pg_put_tuple(stream, 0));
    assert_true(weir_buf_append(stream, WEIR_PG_COPY_TRAILER, WEIR_PG_COPY_TRAILER_LEN));
}

static void streams_cut_anywhere_give_the_same_rows(void **state) {
    (void)state;
    weir_buf stream = {0};
    make_stream(&stream, HEADER, sizeof HEADER - 1);
    seen whole = {0};
    for (size_t piece = 1; piece <= stream.len; piece++) {
        seen s = {0};
        weir_pg_copy_parser *parser = new_parser(&s);
        for (size_t at = 0; at < stream.len; at += piece) {
            /* A copy of the exact size lets AddressSanitizer see a step over the border. */
            size_t len = stream.len - at < piece ? stream.len - at : piece;
            char *bytes = malloc(len);
            memcpy(bytes, stream.data + at, len);
            weir_err err;
            if (weir_pg_copy_parser_feed(parser, bytes, len, &err) != WEIR_OK) fail_msg("%s", err.message);
            free(bytes);
            assert_int_equal(weir_pg_copy_parser_finish(parser, NULL) == WEIR_OK, at + len == stream.len);
        }
        assert_int_equal(s.rows, 21);
        if (piece == 1) {
            whole = s;
        } else {
            assert_string_equal(s.text.data, whole.text.data);
            weir_buf_done(&s.text);
        }
        free_parser(parser);
    }
    assert_non_null(strstr(whole.text.data, "\n3:abc-1:\n4:abcd-1:\n"));
    weir_buf_done(&whole.text);
    weir_buf_done(&stream);
}

static void header_extension_is_skipped(void **state) {
    (void)state;
    weir_buf stream = {0};
    make_stream(&stream, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\3xyz", 22);
    seen s = {0};
    weir_pg_copy_parser *parser = new_parser(&s);
    assert_int_equal(weir_pg_copy_parser_feed(parser, stream.data, stream.len, NULL), WEIR_OK);
    assert_int_equal(weir_pg_copy_parser_finish(parser, NULL), WEIR_OK);
    assert_int_equal(s.rows, 21);
    free_parser(parser);
    weir_buf_done(&s.text);
    weir_buf_done(&stream);
}

static void wrong_bytes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"PGCOPX\n\377\r\n\0\0\0\0\0\0\0\0\0", 19}, /* signature */
        {"PGCOPY\n\377\r\n\0\0\1\0\0\0\0\0\0", 19}, /* with OIDs */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\377\377\377\377", 19}, /* extension of -1 bytes */
        {HEADER "\377\376", 21}, /* -2 fields */
        {HEADER "\7\0", 21}, /* 1792 fields */
        {HEADER "\0\1\377\377\377\376", 25}, /* field of -2 bytes */
        {HEADER "\377\377x", 22}, /* bytes after the trailer */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        seen s = {0};
        weir_pg_copy_parser *parser = new_parser(&s);
        weir_err err;
        assert_int_equal(weir_pg_copy_parser_feed(parser, cases[i].bytes, cases[i].len, &err), WEIR_EDATA);
        assert_int_equal(s.rows, 0);
        free_parser(parser);
    }
}

static void error_of_the_reader_is_passed_on(void **state) {
    (void)state;
    weir_buf stream = {0};
    make_stream(&stream, HEADER, sizeof HEADER - 1);
    seen s = {.fail_at = 3};
    weir_pg_copy_parser *parser = new_parser(&s);
    weir_err err;
    assert_int_equal(weir_pg_copy_parser_feed(parser, stream.data, stream.len, &err), WEIR_EDATA);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_string_equal(err.message, "row 3 is unwanted");
    assert_int_equal(s.rows, 3);
    free_parser(parser);
    weir_buf_done(&s.text);
    weir_buf_done(&stream);
}

static void urls_are_checked_without_quoting_them(void **state) {
    (void)state;
    weir_pg *pg = NULL;
    weir_err err;
    assert_int_equal(weir_pg_new("postgresql://user:secret@[broken", &pg, &err), WEIR_EINVAL);
    assert_null(pg);
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(weir_pg_new("nonsense secret", &pg, &err), WEIR_EINVAL);
    assert_null(strstr(err.message, "secret"));
    /* Nothing is connected before it is needed. */
    assert_int_equal(weir_pg_new("postgresql://127.0.0.1:1/none", &pg, &err), WEIR_OK);
    weir_pg_rollback(pg);
    weir_pg_free(pg);
    weir_pg_free(NULL);
}

static void unreachable_server_is_retriable(void **state) {
    (void)state;
    weir_pg *pg = NULL;
    weir_err err;
    assert_int_equal(weir_pg_new("postgresql://nobody:secret@127.0.0.1:1/none", &pg, &err), WEIR_OK);
    assert_int_equal(weir_pg_begin(pg, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_null(strstr(err.message, "secret"));
    assert_null(strchr(err.message, '\n'));
    assert_int_equal(weir_pg_commit(pg, &err), WEIR_EINTERNAL);
    weir_pg_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_have_postgresqls_bytes),       cmocka_unit_test(values_come_back),
        cmocka_unit_test(narrower_columns_and_nulls_are_read), cmocka_unit_test(streams_cut_anywhere_give_the_same_rows),
        cmocka_unit_test(header_extension_is_skipped),         cmocka_unit_test(wrong_bytes_are_refused),
        cmocka_unit_test(error_of_the_reader_is_passed_on),    cmocka_unit_test(urls_are_checked_without_quoting_them),
        cmocka_unit_test(unreachable_server_is_retriable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
