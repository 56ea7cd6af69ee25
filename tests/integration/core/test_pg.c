/* Needs a PostgreSQL: WEIR_PG_URL names a database in which the role may create schemas. Everything happens in the schema weir_test_pg and, for migrations, in weir. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pg.h"

static weir_pg *pg;

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail_msg("%s", err->message);
}

static void script(const char *sql) {
    weir_err err;
    must(weir_pg_script(pg, sql, &err), &err);
}

/* The only value of the only row. */
static void select_text(const char *sql, char *text, size_t size) {
    weir_err err;
    PGresult *result = NULL;
    must(weir_pg_exec(pg, sql, 0, NULL, &result, &err), &err);
    assert_int_equal(PQntuples(result), 1);
    snprintf(text, size, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
}

static void assert_select(const char *sql, const char *expected) {
    char text[200];
    select_text(sql, text, sizeof text);
    assert_string_equal(text, expected);
}

static int start(void **state) {
    (void)state;
    const char *url = getenv("WEIR_PG_URL");
    if (!url || !*url) return 0;
    weir_err err;
    must(weir_pg_new(url, &pg, &err), &err);
    script("DROP SCHEMA IF EXISTS weir_test_pg CASCADE; CREATE SCHEMA weir_test_pg; CREATE TABLE weir_test_pg.t (k bigint PRIMARY KEY, v text)");
    return 0;
}

static int finish(void **state) {
    (void)state;
    if (!pg) return 0;
    weir_pg_rollback(pg);
    script("DROP SCHEMA IF EXISTS weir_test_pg CASCADE");
    weir_pg_free(pg);
    pg = NULL;
    return 0;
}

#define NEED_PG()                                                                                                                                              \
    do {                                                                                                                                                       \
        if (!pg) {                                                                                                                                             \
            print_message("WEIR_PG_URL is not set\n");                                                                                                         \
            skip();                                                                                                                                            \
        }                                                                                                                                                      \
    } while (0)

static void session_is_named_utc_and_durable(void **state) {
    (void)state;
    NEED_PG();
    assert_select("SHOW application_name", "weir");
    assert_select("SHOW timezone", "UTC");
    assert_select("SHOW synchronous_commit", "on");
    assert_select("SHOW client_encoding", "UTF8");
}

static void parameters_and_nulls_pass(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    PGresult *result = NULL;
    must(weir_pg_exec(pg, "SELECT $1 || '!', $2::text IS NULL", 2, (const char *const[]){"it's é", NULL}, &result, &err), &err);
    assert_string_equal(PQgetvalue(result, 0, 0), "it's é!");
    assert_string_equal(PQgetvalue(result, 0, 1), "t");
    PQclear(result);
}

static void errors_name_sqlstate_and_keep_the_connection(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    PGresult *result = NULL;
    assert_int_equal(weir_pg_exec(pg, "SELECT 1/0", 0, NULL, &result, &err), WEIR_EINTERNAL);
    assert_null(result);
    assert_int_equal(err.action, WEIR_ACTION_FATAL);
    assert_string_equal(err.message, "PostgreSQL: SQLSTATE 22012: division by zero");
    assert_int_equal(weir_pg_exec(pg, "SELEC", 0, NULL, NULL, &err), WEIR_EINTERNAL);
    assert_non_null(strstr(err.message, "42601"));
    assert_int_equal(weir_pg_exec(pg, "COPY weir_test_pg.t TO STDOUT", 0, NULL, NULL, &err), WEIR_EINTERNAL);
    assert_select("SELECT 1", "1");
}

static void repeated_key_is_a_conflict(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    script("INSERT INTO weir_test_pg.t VALUES (1, 'a')");
    assert_int_equal(weir_pg_script(pg, "INSERT INTO weir_test_pg.t VALUES (1, 'b')", &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "23505"));
    script("TRUNCATE weir_test_pg.t");
}

static void serialisation_failure_is_retriable(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    /* Raised by hand: the mapping is what is tested. */
    assert_int_equal(weir_pg_script(pg, "DO $$ BEGIN RAISE EXCEPTION 'serialise' USING ERRCODE = '40001'; END $$", &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(weir_pg_script(pg, "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$", &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
}

static void commit_keeps_and_rollback_drops(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    must(weir_pg_begin(pg, &err), &err);
    assert_int_equal(weir_pg_begin(pg, &err), WEIR_EINTERNAL);
    script("INSERT INTO weir_test_pg.t VALUES (1, 'a')");
    must(weir_pg_commit(pg, &err), &err);
    assert_int_equal(weir_pg_commit(pg, &err), WEIR_EINTERNAL);
    must(weir_pg_begin(pg, &err), &err);
    script("INSERT INTO weir_test_pg.t VALUES (2, 'b')");
    weir_pg_rollback(pg);
    weir_pg_rollback(pg);
    assert_select("SELECT count(*) FROM weir_test_pg.t", "1");
    script("TRUNCATE weir_test_pg.t");
}

static void commit_of_a_failed_transaction_is_an_error(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    must(weir_pg_begin(pg, &err), &err);
    script("INSERT INTO weir_test_pg.t VALUES (1, 'a')");
    assert_int_equal(weir_pg_script(pg, "SELECT 1/0", &err), WEIR_EINTERNAL);
    assert_int_equal(weir_pg_commit(pg, &err), WEIR_EINTERNAL);
    assert_select("SELECT count(*) FROM weir_test_pg.t", "0");
}

/* Ends the backend of `victim` from a second connection. */
static void kill_backend(weir_pg *victim) {
    weir_err err;
    PGresult *result = NULL;
    must(weir_pg_exec(victim, "SELECT pg_backend_pid()::text", 0, NULL, &result, &err), &err);
    weir_pg *killer = NULL;
    must(weir_pg_new(getenv("WEIR_PG_URL"), &killer, &err), &err);
    must(weir_pg_exec(killer, "SELECT pg_terminate_backend($1::int, 5000)", 1, (const char *const[]){PQgetvalue(result, 0, 0)}, NULL, &err), &err);
    PQclear(result);
    weir_pg_free(killer);
}

static void lost_connection_is_renewed_by_the_next_call(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    kill_backend(pg);
    assert_int_equal(weir_pg_exec(pg, "SELECT 1", 0, NULL, NULL, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_select("SELECT 1", "1");
    /* BEGIN changes nothing, so it may be said again at once. */
    kill_backend(pg);
    must(weir_pg_begin(pg, &err), &err);
    must(weir_pg_commit(pg, &err), &err);
}

static void connection_lost_in_a_transaction_stays_lost_until_rollback(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    must(weir_pg_begin(pg, &err), &err);
    script("INSERT INTO weir_test_pg.t VALUES (1, 'a')");
    kill_backend(pg);
    assert_int_equal(weir_pg_script(pg, "INSERT INTO weir_test_pg.t VALUES (2, 'b')", &err), WEIR_ENET);
    /* On a new connection this would be half of the transaction. */
    assert_int_equal(weir_pg_script(pg, "INSERT INTO weir_test_pg.t VALUES (3, 'c')", &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_pg_rollback(pg);
    assert_select("SELECT count(*) FROM weir_test_pg.t", "0");

    must(weir_pg_begin(pg, &err), &err);
    kill_backend(pg);
    assert_int_equal(weir_pg_commit(pg, &err), WEIR_ENET);
    assert_select("SELECT 1", "1");
}

#define COPY_TABLE "weir_test_pg.c (b, i4, i8, f8, s, raw, at)"

static void make_copy_table(void) {
    script(
        "DROP TABLE IF EXISTS weir_test_pg.c; CREATE TABLE weir_test_pg.c (b bool, i4 int, i8 bigint, f8 double precision, s text, raw bytea, at timestamptz)");
}

static void put_row(weir_buf *rows, int64_t i, const char *text, size_t text_len) {
    assert_true(weir_pg_put_tuple(rows, 7) && weir_pg_put_bool(rows, i % 2) && weir_pg_put_int4(rows, (int32_t)i) &&
                weir_pg_put_int8(rows, i * INT64_C(1000000007)) && weir_pg_put_float8(rows, (double)i / 3) && weir_pg_put_bytes(rows, text, text_len) &&
                (i % 5 ? weir_pg_put_bytes(rows, "\0\xFF", 2) : weir_pg_put_null(rows)) && weir_pg_put_timestamptz(rows, INT64_C(1526378400000000) + i));
}

static void copied_rows_are_what_sql_sees(void **state) {
    (void)state;
    NEED_PG();
    make_copy_table();
    weir_buf rows = {0};
    put_row(&rows, 4, "é", 2);
    weir_err err;
    must(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), &err);
    weir_buf_done(&rows);
    assert_select("SELECT concat_ws('|', b, i4, i8, f8, s, raw, at) FROM weir_test_pg.c",
                  "f|4|4000000028|1.3333333333333333|é|\\x00ff|2018-05-15 10:00:00.000004+00");
    /* No rows at all are fine. */
    must(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), &err);
    assert_select("SELECT count(*) FROM weir_test_pg.c", "1");
}

typedef struct check {
    int64_t rows, stop_at;
    size_t text_len;
    const char *text;
} check;

static weir_status check_row(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    check *c = context;
    int64_t i = c->rows++;
    if (c->rows == c->stop_at) return WEIR_REJECT(err, WEIR_ELIMIT, "enough");
    bool same = field_count == 7 && weir_pg_get_int8(&fields[0]) == i % 2 && weir_pg_get_int4(&fields[1]) == (int32_t)i &&
                weir_pg_get_int8(&fields[2]) == i * INT64_C(1000000007) && weir_pg_get_float8(&fields[3]) == (double)i / 3 &&
                fields[4].len == (int32_t)c->text_len && !memcmp(fields[4].data, c->text, c->text_len) && fields[5].len == (i % 5 ? 2 : -1) &&
                weir_pg_get_timestamptz(&fields[6]) == INT64_C(1526378400000000) + i;
    return same ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "row %" PRId64 " differs", i);
}

enum { MANY = 20000 };

static void many_rows_go_in_and_out_unchanged(void **state) {
    (void)state;
    NEED_PG();
    make_copy_table();
    char text[300];
    memset(text, 'x', sizeof text);
    weir_buf rows = {0};
    for (int64_t i = 0; i < MANY; i++) put_row(&rows, i, text, sizeof text);
    weir_err err;
    must(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), &err);
    weir_buf_done(&rows);
    check c = {.text = text, .text_len = sizeof text};
    must(weir_pg_copy_out(pg, "COPY (SELECT * FROM weir_test_pg.c ORDER BY i4) TO STDOUT (FORMAT binary)", check_row, &c, &err), &err);
    assert_int_equal(c.rows, MANY);
    must(weir_pg_copy_out(pg, "COPY (SELECT * FROM weir_test_pg.c WHERE false) TO STDOUT (FORMAT binary)", check_row, &c, &err), &err);
    assert_int_equal(c.rows, MANY);

    /* A reader that stops leaves a connection that works. */
    c = (check){.text = text, .text_len = sizeof text, .stop_at = 10};
    assert_int_equal(weir_pg_copy_out(pg, "COPY (SELECT * FROM weir_test_pg.c ORDER BY i4) TO STDOUT (FORMAT binary)", check_row, &c, &err), WEIR_ELIMIT);
    assert_string_equal(err.message, "enough");
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_int_equal(c.rows, 10);
    assert_select("SELECT 1", "1");
}

static void failed_copies_say_why_and_keep_the_connection(void **state) {
    (void)state;
    NEED_PG();
    make_copy_table();
    weir_err err;
    weir_buf rows = {0};
    assert_true(weir_pg_put_tuple(&rows, 1) && weir_pg_put_int4(&rows, 1));
    assert_int_equal(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), WEIR_EINTERNAL);
    assert_non_null(strstr(err.message, "22P04")); /* bad_copy_file_format: row field count is 1, expected 7 */
    assert_int_equal(weir_pg_copy_in(pg, "COPY weir_test_pg.none FROM STDIN (FORMAT binary)", &rows, &err), WEIR_EINTERNAL);
    assert_non_null(strstr(err.message, "42P01"));
    assert_int_equal(weir_pg_copy_in(pg, "COPY weir_test_pg.c FROM STDIN", &rows, &err), WEIR_EINTERNAL);
    assert_int_equal(weir_pg_copy_in(pg, "SELECT 1", &rows, &err), WEIR_EINTERNAL);
    check c = {0};
    assert_int_equal(weir_pg_copy_out(pg, "COPY weir_test_pg.c TO STDOUT", check_row, &c, &err), WEIR_EINTERNAL);
    assert_int_equal(weir_pg_copy_out(pg, "COPY (SELECT 1/0) TO STDOUT (FORMAT binary)", check_row, &c, &err), WEIR_EINTERNAL);
    assert_non_null(strstr(err.message, "22012"));
    weir_buf_done(&rows);
    assert_select("SELECT count(*) FROM weir_test_pg.c", "0");
}

static void copy_in_meets_a_lost_connection(void **state) {
    (void)state;
    NEED_PG();
    make_copy_table();
    weir_buf rows = {0};
    put_row(&rows, 1, "x", 1);
    kill_backend(pg);
    weir_err err;
    assert_int_equal(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    must(weir_pg_copy_in(pg, "COPY " COPY_TABLE " FROM STDIN (FORMAT binary)", &rows, &err), &err);
    weir_buf_done(&rows);
    assert_select("SELECT count(*) FROM weir_test_pg.c", "1");
}

/* ---- migrations: numbers 990 up, so that they never meet real ones ---- */

#define FILE_OF(path, sql)                                                                                                                                     \
    { (path), (sql), sizeof(sql) - 1 }

static void forget_test_migrations(void) {
    script("DROP TABLE IF EXISTS weir_test_pg.m; CREATE SCHEMA IF NOT EXISTS weir;"
           "CREATE TABLE IF NOT EXISTS weir.migrations (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());"
           "DELETE FROM weir.migrations WHERE name LIKE '99%'");
}

static void migrations_are_applied_once_in_order(void **state) {
    (void)state;
    NEED_PG();
    forget_test_migrations();
    const weir_embedded_file files[] = {
        FILE_OF("pipelines/fraud.json", "{not sql}"),
        FILE_OF("schemas/sql/990_first.sql", "CREATE TABLE weir_test_pg.m (k int); INSERT INTO weir_test_pg.m VALUES (1);"),
        FILE_OF("schemas/sql/991_second.sql", "-- é\nINSERT INTO weir_test_pg.m SELECT k + 1 FROM weir_test_pg.m;"),
        {NULL, NULL, 0},
    };
    weir_err err;
    for (int i = 0; i < 2; i++) must(weir_pg_migrate_files(pg, files, &err), &err);
    assert_select("SELECT string_agg(k::text, ',' ORDER BY k) FROM weir_test_pg.m", "1,2");
    assert_select("SELECT string_agg(name, ',' ORDER BY name) FROM weir.migrations WHERE name LIKE '99%'", "990_first.sql,991_second.sql");
    assert_select("SELECT sha256 = encode(sha256(convert_to(E'-- é\\nINSERT INTO weir_test_pg.m SELECT k + 1 FROM weir_test_pg.m;', 'UTF8')), 'hex')::text "
                  "FROM weir.migrations "
                  "WHERE name = '991_second.sql'",
                  "t");
}

static void changed_migration_is_refused(void **state) {
    (void)state;
    NEED_PG();
    forget_test_migrations();
    const weir_embedded_file before[] = {FILE_OF("schemas/sql/990_first.sql", "CREATE TABLE weir_test_pg.m (k int);"), {NULL, NULL, 0}};
    const weir_embedded_file after[] = {FILE_OF("schemas/sql/990_first.sql", "CREATE TABLE weir_test_pg.m (k bigint);"), {NULL, NULL, 0}};
    weir_err err;
    must(weir_pg_migrate_files(pg, before, &err), &err);
    assert_int_equal(weir_pg_migrate_files(pg, after, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "990_first.sql"));
    must(weir_pg_migrate_files(pg, before, &err), &err);
}

static void failed_migration_leaves_nothing(void **state) {
    (void)state;
    NEED_PG();
    forget_test_migrations();
    const weir_embedded_file files[] = {
        FILE_OF("schemas/sql/990_first.sql", "CREATE TABLE weir_test_pg.m (k int); SELECT 1/0;"),
        FILE_OF("schemas/sql/991_second.sql", "CREATE TABLE weir_test_pg.m (k int);"),
        {NULL, NULL, 0},
    };
    weir_err err;
    assert_int_equal(weir_pg_migrate_files(pg, files, &err), WEIR_EINTERNAL);
    assert_string_equal(err.message, "migration 990_first.sql: PostgreSQL: SQLSTATE 22012: division by zero");
    assert_select("SELECT to_regclass('weir_test_pg.m') IS NULL", "t");
    assert_select("SELECT count(*) FROM weir.migrations WHERE name LIKE '99%'", "0");

    /* One that commits by itself could not be undone. */
    const weir_embedded_file wild[] = {FILE_OF("schemas/sql/990_wild.sql", "COMMIT"), {NULL, NULL, 0}};
    assert_int_equal(weir_pg_migrate_files(pg, wild, &err), WEIR_EINTERNAL);
    assert_non_null(strstr(err.message, "ended the transaction"));
    assert_select("SELECT count(*) FROM weir.migrations WHERE name LIKE '99%'", "0");
}

static void *migrate_alone(void *files) {
    weir_pg *own = NULL;
    weir_err err;
    weir_status status = weir_pg_new(getenv("WEIR_PG_URL"), &own, &err);
    if (status == WEIR_OK) status = weir_pg_migrate_files(own, files, &err);
    if (status != WEIR_OK) print_message("%s\n", err.message);
    weir_pg_free(own);
    return status == WEIR_OK ? files : NULL;
}

static void workers_that_start_together_migrate_once(void **state) {
    (void)state;
    NEED_PG();
    forget_test_migrations();
    static const weir_embedded_file files[] = {FILE_OF("schemas/sql/990_first.sql", "SELECT pg_sleep(0.1); CREATE TABLE weir_test_pg.m (k int);"),
                                               {NULL, NULL, 0}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, migrate_alone, (void *)files), 0);
    for (int i = 0; i < 4; i++) {
        void *done;
        pthread_join(threads[i], &done);
        assert_non_null(done);
    }
    forget_test_migrations();
}

static void embedded_migrations_apply(void **state) {
    (void)state;
    NEED_PG();
    weir_err err;
    for (int i = 0; i < 2; i++) must(weir_pg_migrate(pg, &err), &err);
    int embedded = 0;
    for (const weir_embedded_file *file = weir_embedded_files; file->path; file++) embedded += !strncmp(file->path, "schemas/sql/", 12);
    char expected[20];
    snprintf(expected, sizeof expected, "%d", embedded);
    assert_select("SELECT count(*) FROM weir.migrations WHERE name NOT LIKE '99%'", expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_named_utc_and_durable),
        cmocka_unit_test(parameters_and_nulls_pass),
        cmocka_unit_test(errors_name_sqlstate_and_keep_the_connection),
        cmocka_unit_test(repeated_key_is_a_conflict),
        cmocka_unit_test(serialisation_failure_is_retriable),
        cmocka_unit_test(commit_keeps_and_rollback_drops),
        cmocka_unit_test(commit_of_a_failed_transaction_is_an_error),
        cmocka_unit_test(lost_connection_is_renewed_by_the_next_call),
        cmocka_unit_test(connection_lost_in_a_transaction_stays_lost_until_rollback),
        cmocka_unit_test(copied_rows_are_what_sql_sees),
        cmocka_unit_test(many_rows_go_in_and_out_unchanged),
        cmocka_unit_test(failed_copies_say_why_and_keep_the_connection),
        cmocka_unit_test(copy_in_meets_a_lost_connection),
        cmocka_unit_test(migrations_are_applied_once_in_order),
        cmocka_unit_test(changed_migration_is_refused),
        cmocka_unit_test(failed_migration_leaves_nothing),
        cmocka_unit_test(workers_that_start_together_migrate_once),
        cmocka_unit_test(embedded_migrations_apply),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
