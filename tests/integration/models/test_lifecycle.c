/* Tables as models take them: names, signatures, rows; and memory that runs out at every step. Needs a PostgreSQL: WEIR_PG_URL. Everything happens in the schema "weir_test.lifecycle". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "models/lifecycle.h"
#include "models/lifecycle_frame.h"
#include "tests/unit/starve.h"

static const char space[] = "weir_test.lifecycle";
static weir_pg *pg;
static weir_err err;

static void must(weir_status status) {
    if (status) fail_msg("%s", err.message);
}

static int open_database(void **state) {
    (void)state;
    const char *url = getenv("WEIR_PG_URL");
    if (!url) return 0;
    must(weir_pg_new(url, &pg, &err));
    must(weir_lifecycle_open(pg, &err));
    must(weir_pg_script(
        pg,
        "DELETE FROM weir.dataset_versions WHERE space = 'weir_test.lifecycle'; DROP SCHEMA IF EXISTS \"weir_test.lifecycle\" CASCADE; CREATE SCHEMA "
        "\"weir_test.lifecycle\";"
        "CREATE TABLE \"weir_test.lifecycle\".rows (number numeric, flag boolean, at timestamptz, word text, \"a \"\"b\"\"\" bigint, target integer);"
        "INSERT INTO \"weir_test.lifecycle\".rows VALUES (1.5, true, '1970-01-01 00:01Z', 'b', 7, 1), ('NaN', NULL, NULL, 'é', -1, 0), (NULL, false, "
        "'1969-12-31Z', 'B', NULL, 1),"
        " (2, true, '1970-01-01Z', NULL, 0, NULL)",
        &err));
    return 0;
}

static int close_database(void **state) {
    (void)state;
    if (pg)
        must(weir_pg_script(pg, "DELETE FROM weir.dataset_versions WHERE space = 'weir_test.lifecycle'; DROP SCHEMA \"weir_test.lifecycle\" CASCADE", &err));
    weir_pg_free(pg);
    return 0;
}

static void need_database(void) {
    if (!pg) skip();
}

static void names_are_of_two_or_three_parts(void **state) {
    (void)state;
    char made[WEIR_NAME_MAX + 1], full[128] = "cat.schema.t";
    weir_table_name name;
    must(weir_space_make("cat-1", "_schema", made, &err));
    assert_string_equal(made, "cat-1._schema");
    static const char *const bad[] = {"", "1a", "a.b", "a b", "a\"", "é", "-a", "../a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weir_space_make(bad[i], "s", made, &err), WEIR_EINVAL);
        assert_int_equal(weir_space_make("c", bad[i], made, &err), WEIR_EINVAL);
    }
    assert_int_equal(weir_space_make("a234567890123456789012345678901", "b2345678901234567890123456789012", made, &err),
                     WEIR_EINVAL); /* one byte too long together */
    must(weir_table_name_parse("t", "cat.schema", &name, &err));
    assert_string_equal(name.full, "cat.schema.t");
    must(weir_table_name_parse("other.one.t", "cat.schema", &name, &err));
    assert_string_equal(name.space, "other.one");
    static const char *const wrong[] = {"", "a.b", ".b.c", "a..c", "a.b.", "a.b.c.d", "..", "."};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_int_equal(weir_table_name_parse(wrong[i], "cat.schema", &name, &err), WEIR_EINVAL);
    memset(full + 11, 'x', WEIR_NAME_MAX + 1);
    assert_int_equal(weir_table_name_parse(full, "cat.schema", &name, &err), WEIR_EINVAL);
}

static weir_status read_rows(weir_table *table, cJSON **signature, weir_frame *frame) {
    weir_table_name name;
    weir_status status = weir_table_name_parse("rows", space, &name, &err);
    if (!status) status = weir_tables_begin(pg, true, &err);
    if (!status) status = weir_table_open(pg, &name, table, &err);
    if (!status) status = weir_signature_make(pg, table, "target", NULL, signature, &err);
    if (!status) status = weir_frame_read(pg, table, *signature, true, 0, frame, &err);
    weir_pg_rollback(pg);
    return status;
}

static void free_rows(weir_table *table, cJSON *signature, weir_frame *frame) {
    weir_frame_done(frame);
    weir_table_done(table);
    cJSON_Delete(signature);
}

/* The row with this flag, as the boolean's code. */
static const double *row_with(const weir_frame *frame, double flag) {
    for (int64_t r = 0; r < frame->matrix.row_count; r++) {
        const double *row = frame->matrix.values + r * frame->matrix.column_count;
        if (row[1] == flag || (isnan(row[1]) && isnan(flag))) return row;
    }
    fail();
    return NULL;
}

static void columns_become_numbers_by_their_type(void **state) {
    (void)state;
    need_database();
    weir_table table = {0};
    weir_frame frame = {0};
    cJSON *signature = NULL;
    must(read_rows(&table, &signature, &frame));
    assert_int_equal(frame.matrix.row_count, 3);
    assert_int_equal(frame.without_target, 1);
    assert_string_equal(frame.matrix.column_names[4], "a \"b\"");
    const double *row = row_with(&frame, 1); /* words in order of their bytes: B, b, é */
    assert_true(row[0] == 1.5 && row[2] == 60 && row[3] == 1 && row[4] == 7);
    row = row_with(&frame, NAN);
    assert_true(isnan(row[0]) && isnan(row[2]) && row[3] == 2 && row[4] == -1);
    row = row_with(&frame, 0);
    assert_true(isnan(row[0]) && row[2] == -86400 && row[3] == 0 && isnan(row[4]));
    free_rows(&table, signature, &frame);
}

static void memory_that_runs_out_is_said_and_nothing_leaks(void **state) {
    (void)state;
    need_database();
    weir_allocator usual = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int steps = 0;
    for (; status == WEIR_ENOMEM && steps < 1000; steps++) {
        weir_table table = {0};
        weir_frame frame = {0};
        cJSON *signature = NULL;
        allocations_left = steps;
        weir_mem.realloc = failing_realloc;
        status = read_rows(&table, &signature, &frame);
        weir_mem = usual;
        free_rows(&table, signature, &frame);
    }
    must(status);
    assert_true(steps > 10);
}

static void a_version_is_what_was_selected_or_nothing(void **state) {
    (void)state;
    need_database();
    weir_table_name name;
    weir_table written = {0}, found = {0};
    cJSON *source = cJSON_CreateObject();
    int64_t rows = 0;
    char digest[33];
    must(weir_table_name_parse("set", space, &name, &err));
    for (int version = 1; version <= 2; version++) {
        must(weir_tables_begin(pg, false, &err));
        must(weir_space_ensure(pg, space, &err));
        must(weir_dataset_write(pg, &name, version == 1 ? "SELECT 1 AS a, 'x' AS b" : "SELECT 2.5 AS other", source, &written, &err));
        assert_int_equal(written.version, version);
        weir_table_done(&written);
        must(weir_pg_commit(pg, &err));
    }
    must(weir_tables_begin(pg, false, &err));
    must(weir_space_ensure(pg, space, &err));
    assert_int_equal(weir_dataset_write(pg, &name, "SELECT no_such_column", source, &written, &err), WEIR_EINTERNAL);
    weir_pg_rollback(pg);
    must(weir_table_open(pg, &name, &found, &err));
    assert_int_equal(found.version, 2);
    assert_string_equal(found.relation, "set__v2");
    assert_int_equal(found.column_count, 1);
    must(weir_table_digest(pg, &found, &rows, digest, &err));
    assert_int_equal(rows, 1);
    weir_table_done(&found);
    cJSON_Delete(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_of_two_or_three_parts),
        cmocka_unit_test(columns_become_numbers_by_their_type),
        cmocka_unit_test(memory_that_runs_out_is_said_and_nothing_leaks),
        cmocka_unit_test(a_version_is_what_was_selected_or_nothing),
    };
    return cmocka_run_group_tests(tests, open_database, close_database);
}
