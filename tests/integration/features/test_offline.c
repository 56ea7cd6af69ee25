/* The offline store on a real PostgreSQL: rows, days, repeats, offsets, changed schemas, overtaken writers. Needs WEIR_PG_URL; skipped without. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "features/offline.h"
#include "features/rows.h"

#define NOON (INT64_C(1522584000) * WEIR_SECOND_US) /* 2018-04-01 12:00 */
#define FIELDS_HEAD "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
static const char schema_json[] = FIELDS_HEAD "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-"
                                              "micros\"}},{\"name\":\"n\",\"type\":[\"null\",\"long\"]},"
                                              "{\"name\":\"in\",\"type\":{\"type\":\"record\",\"name\":\"In\",\"fields\":[{\"name\":\"x\",\"type\":\"double\"},"
                                              "{\"name\":\"ok\",\"type\":\"boolean\"},{\"name\":\"raw\",\"type\":\"bytes\"}]}},"
                                              "{\"name\":\"state\",\"type\":\"bytes\"}]}";
enum { ID, AT, N, X, OK, RAW, STATE, FIELD_COUNT };
static const char *const left_out[] = {"state", NULL};

typedef struct fixture {
    weir_pipeline *pipeline;
    weir_schema *schema;
    weir_offline *store;
    weir_offline_table *table;
    weir_pg *pg; /* to look from outside */
} fixture;

static const char *url(void) {
    return getenv("WEIR_PG_URL");
}

static void run(weir_pg *pg, const char *sql) {
    weir_err err = {0};
    if (weir_pg_script(pg, sql, &err)) fail_msg("%s: %s", sql, err.message);
}

/* The only value of a query. */
static char *ask(weir_pg *pg, const char *sql, char text[128]) {
    PGresult *result = NULL;
    weir_err err = {0};
    if (weir_pg_exec(pg, sql, 0, NULL, &result, &err)) fail_msg("%s: %s", sql, err.message);
    snprintf(text, 128, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "(no row)");
    PQclear(result);
    return text;
}

static void assert_answer(weir_pg *pg, const char *sql, const char *expected) {
    char text[128];
    if (strcmp(ask(pg, sql, text), expected)) fail_msg("%s: found %s, expected %s", sql, text, expected);
}

static void open_store(fixture *f, weir_offline **store, weir_offline_table **table) {
    weir_err err = {0};
    if (weir_offline_new(url(), f->pipeline, store, &err)) fail_msg("%s", err.message);
    if (weir_offline_table_open(*store, "t", f->schema, left_out, table, &err)) fail_msg("%s", err.message);
}

static int setup(void **state) {
    char json[1024];
    weir_err err = {0};
    if (!url()) return 0;
    fixture *f = calloc(1, sizeof(*f));
    snprintf(json, sizeof(json),
             "{\"pipeline\":\"offline_test_%d\",\"source\":{\"schema\":\"schemas/transaction.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\"},"
             "\"views\":[{\"name\":\"v\",\"entity\":[\"customer_id\"],\"features\":[{\"name\":\"n\",\"agg\":\"count\",\"window\":\"1d\"}]}]}",
             (int)getpid());
    if (weir_pipeline_parse(json, NULL, &f->pipeline, &err)) fail_msg("%s", err.message);
    if (weir_schema_parse(schema_json, strlen(schema_json), &f->schema, &err)) fail_msg("%s", err.message);
    assert_int_equal(weir_pg_new(url(), &f->pg, NULL), WEIR_OK);
    open_store(f, &f->store, &f->table);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    char sql[256];
    if (!f) return 0;
    weir_offline_free(f->store);
    snprintf(sql, sizeof(sql), "DROP SCHEMA \"%s\" CASCADE; DELETE FROM weir.sink_offsets WHERE pipeline = '%s'", f->pipeline->name, f->pipeline->name);
    run(f->pg, sql);
    weir_pg_free(f->pg);
    weir_schema_free(f->schema);
    weir_pipeline_free(f->pipeline);
    free(f);
    return 0;
}

static void make_row(weir_datum row[FIELD_COUNT], int i) {
    row[ID] = weir_text("Zoë");
    row[AT] = weir_i64(NOON + i);
    row[N] = i % 2 ? weir_null() : weir_i64(INT64_MIN + i);
    row[X] = weir_f64(i / 3.0);
    row[OK] = weir_bool(i % 2);
    row[RAW] = weir_bytes("\0\xff", 2);
    row[STATE] = weir_bytes("big", 3);
}

static weir_status add(weir_offline_table *table, int64_t time, int64_t offset, weir_err *err) {
    weir_datum row[FIELD_COUNT];
    make_row(row, (int)(offset % 1000));
    weir_offline_meta meta = {.tenant = "acme",
                              .tenant_len = 4,
                              .entity = "e|1",
                              .entity_len = 3,
                              .event_time_us = time,
                              .available_time_us = time + 5,
                              .source_partition = 3,
                              .source_offset = offset};
    return weir_offline_add(table, row, &meta, err);
}

static void add_or_fail(weir_offline_table *table, int64_t time, int64_t offset) {
    weir_err err = {0};
    if (add(table, time, offset, &err)) fail_msg("%s", err.message);
}

static void flush_or_fail(weir_offline *store, int64_t rows, int64_t repeats) {
    weir_err err = {0};
    int64_t new_rows = -1, old_rows = -1;
    if (weir_offline_flush(store, &new_rows, &old_rows, &err)) fail_msg("%s", err.message);
    assert_int_equal(new_rows, rows);
    assert_int_equal(old_rows, repeats);
}

static void query(const fixture *f, const char *what, const char *expected) {
    char sql[512];
    snprintf(sql, sizeof(sql), "SELECT %s FROM \"%s\".t", what, f->pipeline->name);
    assert_answer(f->pg, sql, expected);
}

static void rows_come_back_as_they_were_given(void **state) {
    fixture *f = *state;
    if (!f) skip();
    add_or_fail(f->table, NOON, 0);
    flush_or_fail(f->store, 1, 0);
    query(f, "tenant || ' ' || entity || ' ' || source_partition || ' ' || source_offset", "acme e|1 3 0");
    query(f, "event_time || ' ' || available_time || ' ' || at", "2018-04-01 12:00:00+00 2018-04-01 12:00:00.000005+00 2018-04-01 12:00:00+00");
    query(f, "id || ' ' || n || ' ' || in_x || ' ' || in_ok || ' ' || encode(in_raw, 'hex')", "Zoë -9223372036854775808 0 false 00ff");
    query(f, "(SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = t.tableoid AND attnum > 0)",
          "tenant entity event_time available_time source_partition source_offset id at n in_x in_ok in_raw");
    add_or_fail(f->table, NOON, 1);
    flush_or_fail(f->store, 1, 0);
    query(f, "count(*) FILTER (WHERE n IS NULL) || ' ' || max(in_x)", "1 0.3333333333333333");
}

static void every_day_has_its_partition(void **state) {
    fixture *f = *state;
    if (!f) skip();
    static const char *const times[] = {"0001-01-01", "1969-12-31 23:59:59.999999", "1970-01-01", "2018-04-01 23:59:59.999999",
                                        "2018-04-02", "9999-12-31 23:59:59.5"};
    for (int i = 0; i < 6; i++) {
        int64_t time;
        assert_int_equal(weir_time_parse(times[i], &time, NULL), WEIR_OK);
        add_or_fail(f->table, time, i);
    }
    flush_or_fail(f->store, 6, 0);
    query(f, "string_agg(right(tableoid::regclass::text, 10), ' ' ORDER BY event_time)", "_p00010101 _p19691231 _p19700101 _p20180401 _p20180402 _p99991231");
}

static void repeats_are_dropped_by_source(void **state) {
    fixture *f = *state;
    if (!f) skip();
    for (int i = 0; i < 100; i++) add_or_fail(f->table, NOON + i, i);
    flush_or_fail(f->store, 100, 0);
    for (int i = 50; i < 150; i++) add_or_fail(f->table, NOON + i, i);
    flush_or_fail(f->store, 50, 50);
    for (int i = 0; i < 150; i++) add_or_fail(f->table, NOON + i, i); /* now through the staging table at once */
    flush_or_fail(f->store, 0, 150);
    for (int i = 200; i < 210; i++) add_or_fail(f->table, NOON + i, 200); /* the same source at other times is another row */
    add_or_fail(f->table, NOON + 200, 200);
    flush_or_fail(f->store, 10, 1);
    add_or_fail(f->table, NOON + 300, 300);
    flush_or_fail(f->store, 1, 0);
    query(f, "count(*) || ' ' || count(DISTINCT source_offset)", "161 152");
}

static void offsets_are_stored_with_the_rows(void **state) {
    fixture *f = *state;
    if (!f) skip();
    int64_t next = 0;
    assert_int_equal(weir_offline_offset(f->store, "store", "a.b", 3, &next, NULL), WEIR_OK);
    assert_int_equal(next, -1);
    add_or_fail(f->table, NOON, 0);
    assert_int_equal(weir_offline_add_offset(f->store, "store", "a.b", 3, 1, NULL), WEIR_OK);
    assert_int_equal(weir_offline_add_offset(f->store, "store", "a.b", 3, 7, NULL), WEIR_OK);
    assert_int_equal(weir_offline_add_offset(f->store, "st\"o\\re,{}", "a.b", 4, 9, NULL), WEIR_OK);
    flush_or_fail(f->store, 1, 0);
    assert_int_equal(weir_offline_offset(f->store, "store", "a.b", 3, &next, NULL), WEIR_OK);
    assert_int_equal(next, 7);
    assert_int_equal(weir_offline_offset(f->store, "st\"o\\re,{}", "a.b", 4, &next, NULL), WEIR_OK);
    assert_int_equal(next, 9);
    assert_int_equal(weir_offline_add_offset(f->store, "store", "a.b", 3, 8, NULL), WEIR_OK); /* offsets alone: records that were rejected */
    flush_or_fail(f->store, 0, 0);
    assert_int_equal(weir_offline_offset(f->store, "store", "a.b", 3, &next, NULL), WEIR_OK);
    assert_int_equal(next, 8);
    add_or_fail(f->table, NOON, 5);
    weir_offline_discard(f->store);
    flush_or_fail(f->store, 0, 0);
}

static void an_overtaken_writer_writes_nothing(void **state) {
    fixture *f = *state;
    if (!f) skip();
    weir_offline *other;
    weir_offline_table *table;
    weir_err err = {0};
    open_store(f, &other, &table);
    add_or_fail(table, NOON, 1);
    assert_int_equal(weir_offline_add_offset(other, "store", "t", 0, 100, NULL), WEIR_OK);
    flush_or_fail(other, 1, 0);
    add_or_fail(f->table, NOON, 2);
    assert_int_equal(weir_offline_add_offset(f->store, "store", "t", 0, 99, NULL), WEIR_OK);
    assert_int_equal(weir_offline_flush(f->store, NULL, NULL, &err), WEIR_ECONFLICT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    query(f, "string_agg(source_offset::text, ',')", "1");
    add_or_fail(f->table, NOON, 2);
    assert_int_equal(weir_offline_add_offset(f->store, "store", "t", 0, 100, NULL), WEIR_OK);
    flush_or_fail(f->store, 1, 0); /* the same offsets again are fine */
    weir_offline_free(other);
}

typedef struct crowd {
    fixture *f;
    int first;
} crowd;

static void *write_many(void *context) {
    crowd *c = context;
    weir_offline *store = NULL;
    weir_offline_table *table = NULL;
    weir_err err = {0};
    if (weir_offline_new(url(), c->f->pipeline, &store, &err) || weir_offline_table_open(store, "t", c->f->schema, left_out, &table, &err)) {
        weir_offline_free(store);
        return strdup(err.message);
    }
    for (int batch = 0; batch < 20; batch++) {
        weir_status status;
        do { /* as a worker does */
            for (int i = 0; i < 10; i++) {
                int64_t n = c->first + batch * 10 + i;
                if (add(table, NOON + batch * WEIR_DAY_US + n, n, &err)) return strdup(err.message);
            }
            status = weir_offline_flush(store, NULL, NULL, &err);
        } while (status && err.action == WEIR_ACTION_RETRY);
        if (status) return strdup(err.message);
    }
    weir_offline_free(store);
    return NULL;
}

static void writers_at_the_same_time_do_not_disturb_each_other(void **state) {
    fixture *f = *state;
    if (!f) skip();
    enum { WRITERS = 4 };
    pthread_t threads[WRITERS];
    crowd crowds[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        crowds[i] = (crowd){.f = f, .first = i / 2 * 100000}; /* two and two write the same rows */
        pthread_create(&threads[i], NULL, write_many, &crowds[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *message;
        pthread_join(threads[i], &message);
        if (message) fail_msg("%s", (char *)message);
    }
    query(f, "count(*)", "400");
}

static void bad_values_are_rejected_and_leave_the_batch_as_it_was(void **state) {
    fixture *f = *state;
    if (!f) skip();
    weir_err err = {0};
    weir_datum row[FIELD_COUNT];
    weir_offline_meta meta = {.tenant = "a", .tenant_len = 1, .entity = "e", .entity_len = 1, .event_time_us = NOON, .available_time_us = NOON};
    const struct {
        int field;
        weir_datum value;
    } bad[] = {{ID, weir_text("\xff")}, {ID, weir_str("a\0b", 3)}, {ID, weir_i64(1)},     {AT, weir_i64(INT64_MAX)},
               {X, weir_text("1")},     {OK, weir_i64(1)},         {RAW, weir_text("a")}, {N, weir_f64(1)}};
    add_or_fail(f->table, NOON, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        make_row(row, 0);
        row[bad[i].field] = bad[i].value;
        assert_int_equal(weir_offline_add(f->table, row, &meta, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
    }
    make_row(row, 0);
    meta.event_time_us = INT64_MIN;
    assert_int_equal(weir_offline_add(f->table, row, &meta, &err), WEIR_EDATA);
    meta.event_time_us = NOON;
    meta.tenant = "\xc0\x80";
    meta.tenant_len = 2;
    assert_int_equal(weir_offline_add(f->table, row, &meta, &err), WEIR_EDATA);
    assert_int_equal(weir_offline_add(f->table, row, NULL, &err), WEIR_EINTERNAL);
    row[X] = weir_f64(NAN);
    meta.tenant = "";
    meta.tenant_len = 0;
    assert_int_equal(weir_offline_add(f->table, row, &meta, &err), WEIR_OK);
    flush_or_fail(f->store, 2, 0);
    query(f, "count(*) FILTER (WHERE in_x = 'NaN')", "1");
}

static weir_status open_as(fixture *f, const char *json, weir_offline_table **table, weir_err *err) {
    weir_schema *schema = NULL;
    if (weir_schema_parse(json, strlen(json), &schema, err)) fail_msg("%s", err->message);
    weir_status status = weir_offline_table_open(f->store, "t", schema, NULL, table, err);
    weir_schema_free(schema);
    return status;
}

static weir_status reopen(fixture *f, const char *json, weir_err *err) {
    weir_offline_table *table;
    return open_as(f, json, &table, err);
}

static void new_columns_are_added_and_other_changes_refused(void **state) {
    fixture *f = *state;
    if (!f) skip();
    weir_err err = {0};
    add_or_fail(f->table, NOON, 1);
    flush_or_fail(f->store, 1, 0);
    if (reopen(f, FIELDS_HEAD "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"more\",\"type\":[\"null\",\"double\"]}]}", &err)) fail_msg("%s", err.message);
    query(f, "count(*) FILTER (WHERE more IS NULL)", "1");
    add_or_fail(f->table, NOON + WEIR_DAY_US, 2); /* the old shape is still written */
    flush_or_fail(f->store, 1, 0);
    assert_int_equal(reopen(f, FIELDS_HEAD "{\"name\":\"id\",\"type\":\"long\"}]}", &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "column id is text"));
    assert_int_equal(reopen(f,
                            FIELDS_HEAD "{\"name\":\"a_b\",\"type\":\"long\"},{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"A\",\"fields\":[{"
                                        "\"name\":\"b\",\"type\":\"long\"}]}}]}",
                            &err),
                     WEIR_EINVAL);
    assert_non_null(strstr(err.message, "a_b"));
    assert_int_equal(reopen(f, FIELDS_HEAD "{\"name\":\"event_time\",\"type\":\"long\"}]}", &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "event_time"));
    weir_offline_table *table;
    assert_int_equal(weir_offline_table_open(f->store, "t\"; DROP", f->schema, NULL, &table, &err), WEIR_EINVAL);
}

/* A row of two columns, id and n. */
static void add_pair(weir_offline_table *table, int64_t offset, weir_datum id, weir_datum n) {
    const weir_offline_meta meta = {
        .tenant = "acme", .tenant_len = 4, .entity = "e", .entity_len = 1, .event_time_us = NOON, .available_time_us = NOON, .source_offset = offset};
    weir_err err = {0};
    if (weir_offline_add(table, (weir_datum[]){id, n}, &meta, &err)) fail_msg("%s", err.message);
}

/* "first|second;…" of all rows by their offsets, as readers have the columns of a schema. */
typedef struct listing {
    char rows[8][64];
} listing;

static weir_status list_row(void *context, const weir_stored_row *row, weir_err *err) {
    listing *l = context;
    (void)err;
    char *at = l->rows[row->source.offset];
    for (int i = 0; i < 2; i++) {
        const weir_datum *d = &row->values[i];
        size_t n = strlen(at);
        if (d->type == WEIR_T_STR || d->type == WEIR_T_BYTES)
            snprintf(at + n, 64 - n, "%s%.*s|", d->type == WEIR_T_BYTES ? "b:" : "", (int)d->len, d->p);
        else if (d->type == WEIR_T_NULL)
            snprintf(at + n, 64 - n, "null|");
        else
            snprintf(at + n, 64 - n, "%s%g|", d->type == WEIR_T_F64 ? "f:" : "", weir_datum_number(d));
    }
    return WEIR_OK;
}

static void assert_reads(const fixture *f, const char *json, const char *const *expected, int count) {
    listing l = {0};
    weir_err err = {0};
    weir_schema *schema = NULL;
    weir_wanted wanted[2];
    if (weir_schema_parse(json, strlen(json), &schema, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++)
        if (weir_wanted_field(weir_schema_field_at(schema, i), "", &wanted[i], &err)) fail_msg("%s", err.message);
    const weir_rows_query q = {.pipeline = f->pipeline,
                               .table = "t",
                               .from_us = WEIR_TIME_MIN_US,
                               .to_us = WEIR_TIME_MAX_US,
                               .as_of_us = WEIR_TIME_MAX_US,
                               .wanted = wanted,
                               .wanted_count = 2};
    if (weir_rows_scan_table(f->pg, &q, list_row, &l, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < count; i++) assert_string_equal(l.rows[i], expected[i]);
    weir_schema_free(schema);
}

#define PAIR(id_type, n_type) FIELDS_HEAD "{\"name\":\"id\",\"type\":\"" id_type "\"},{\"name\":\"n\",\"type\":[\"null\",\"" n_type "\"]}]}"

static void a_promoted_column_stays_beside_the_new_one(void **state) {
    fixture *f = *state;
    if (!f) skip();
    weir_err err = {0};
    weir_offline_table *table;
    add_or_fail(f->table, NOON, 0);
    flush_or_fail(f->store, 1, 0);
    if (open_as(f, PAIR("string", "long"), &table, &err)) fail_msg("%s", err.message);
    add_pair(table, 1, weir_text("\\x41"), weir_i64(7));
    flush_or_fail(f->store, 1, 0);

    if (open_as(f, PAIR("bytes", "double"), &table, &err)) fail_msg("%s", err.message);
    add_pair(table, 2, weir_bytes("new", 3), weir_f64(0.5));
    add_pair(table, 3, weir_bytes("n", 1), weir_null());
    flush_or_fail(f->store, 2, 0);
    assert_reads(f, PAIR("bytes", "double"), (const char *const[]){"b:Zoë|f:-9.22337e+18|", "b:\\x41|f:7|", "b:new|f:0.5|", "b:n|null|"}, 4);
    query(f, "count(n_was_bigint) || ' ' || count(n)", "2 1");

    /* The old shape would be stored as other numbers. */
    add_or_fail(f->table, NOON, 9);
    assert_int_equal(weir_offline_flush(f->store, NULL, NULL, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "types of its columns"));

    for (int round = 0; round < 2; round++) { /* there and back, as often as anybody likes */
        if (open_as(f, PAIR("string", "double"), &table, &err)) fail_msg("%s", err.message);
        add_pair(table, 4 + 2 * round, weir_text("text"), weir_f64(1));
        flush_or_fail(f->store, 1, 0);
        assert_reads(f, PAIR("string", "double"), (const char *const[]){"Zoë|f:-9.22337e+18|", "\\x41|f:7|", "new|f:0.5|"}, 3);
        if (open_as(f, PAIR("bytes", "double"), &table, &err)) fail_msg("%s", err.message);
        add_pair(table, 5 + 2 * round, weir_bytes("bytes", 5), weir_f64(2));
        flush_or_fail(f->store, 1, 0);
        assert_reads(f, PAIR("bytes", "double"),
                     (const char *const[]){"b:Zoë|f:-9.22337e+18|", "b:\\x41|f:7|", "b:new|f:0.5|", "b:n|null|", "b:text|f:1|", "b:bytes|f:2|"}, 6);
    }
    assert_int_equal(open_as(f, PAIR("bytes", "long"), &table, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "column n is double precision"));
    query(f, "count(*)", "8");
}

static void rows_from_before_a_column_have_its_default(void **state) {
    fixture *f = *state;
    if (!f) skip();
    static const char with_defaults[] = FIELDS_HEAD
        "{\"name\":\"kind\",\"type\":[\"string\",\"null\"],\"default\":\"it's \\\\ old\"},{\"name\":\"weight\",\"type\":\"double\",\"default\":2.5}]}";
    weir_err err = {0};
    weir_offline_table *table;
    add_or_fail(f->table, NOON, 0);
    flush_or_fail(f->store, 1, 0);
    if (open_as(f, with_defaults, &table, &err)) fail_msg("%s", err.message);
    add_pair(table, 1, weir_null(), weir_f64(1));
    flush_or_fail(f->store, 1, 0);
    add_or_fail(f->table, NOON, 2); /* by a worker that does not know the columns */
    flush_or_fail(f->store, 1, 0);
    if (open_as(f, with_defaults, &table, &err)) fail_msg("%s", err.message);
    assert_reads(f, with_defaults, (const char *const[]){"it's \\ old|f:2.5|", "null|f:1|", "it's \\ old|f:2.5|"}, 3);
    query(f, "count(*) FILTER (WHERE kind IS NULL)", "1");
    /* Put aside, it gives nothing to rows that come after. */
    static const char as_bytes[] = FIELDS_HEAD "{\"name\":\"kind\",\"type\":[\"null\",\"bytes\"]},{\"name\":\"weight\",\"type\":\"double\",\"default\":2.5}]}";
    if (open_as(f, as_bytes, &table, &err)) fail_msg("%s", err.message);
    add_pair(table, 3, weir_null(), weir_f64(3));
    flush_or_fail(f->store, 1, 0);
    assert_reads(f, as_bytes, (const char *const[]){"b:it's \\ old|f:2.5|", "null|f:1|", "b:it's \\ old|f:2.5|", "null|f:3|"}, 4);
}

static void too_many_pending_rows_ask_for_a_flush(void **state) {
    fixture *f = *state;
    if (!f) skip();
    static char big[1 << 20];
    weir_datum row[FIELD_COUNT];
    weir_err err = {0};
    weir_status status = WEIR_OK;
    make_row(row, 0);
    row[RAW] = weir_bytes(big, sizeof(big));
    for (int i = 0; !status && i < 100; i++) {
        weir_offline_meta meta = {
            .tenant = "a", .tenant_len = 1, .entity = "e", .entity_len = 1, .event_time_us = NOON, .available_time_us = NOON, .source_offset = i};
        status = weir_offline_add(f->table, row, &meta, &err);
    }
    assert_int_equal(status, WEIR_ELIMIT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_offline_discard(f->store);
    add_or_fail(f->table, NOON, 1);
    flush_or_fail(f->store, 1, 0);
}

static void a_lost_connection_is_for_retry_and_the_next_flush_works(void **state) {
    fixture *f = *state;
    if (!f) skip();
    weir_err err = {0};
    add_or_fail(f->table, NOON, 1);
    flush_or_fail(f->store, 1, 0);
    run(f->pg, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE "
               "'%COMMIT%'");
    weir_status status = WEIR_OK;
    for (int i = 0; i < 3; i++) {
        add_or_fail(f->table, NOON, 2);
        status = weir_offline_flush(f->store, NULL, NULL, &err);
        if (!status) break;
        assert_int_equal(err.action, WEIR_ACTION_RETRY);
    }
    assert_int_equal(status, WEIR_OK);
    query(f, "count(*)", "2");
}

int main(void) {
    if (!url()) fprintf(stderr, "test_offline: WEIR_PG_URL is not set: skipped\n");
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_come_back_as_they_were_given, setup, teardown),
        cmocka_unit_test_setup_teardown(every_day_has_its_partition, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats_are_dropped_by_source, setup, teardown),
        cmocka_unit_test_setup_teardown(offsets_are_stored_with_the_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(an_overtaken_writer_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_at_the_same_time_do_not_disturb_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_values_are_rejected_and_leave_the_batch_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(new_columns_are_added_and_other_changes_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promoted_column_stays_beside_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_from_before_a_column_have_its_default, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_pending_rows_ask_for_a_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_connection_is_for_retry_and_the_next_flush_works, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
