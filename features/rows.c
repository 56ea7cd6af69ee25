#include "features/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "features/offline.h"

enum { COLUMNS_MAX = 2048 };

/* --- what is wanted --- */

static weir_status set_name(char to[WEIR_COLUMN_NAME_MAX + 1], const char *prefix, const char *dotted, weir_err *err) {
    int n = snprintf(to, WEIR_COLUMN_NAME_MAX + 1, "%s%s", prefix, dotted);
    if (n > WEIR_COLUMN_NAME_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "column %s%s is longer than the %d bytes that the offline store takes", prefix, dotted, WEIR_COLUMN_NAME_MAX);
    for (char *p = to; *p; p++) *p = *p == '.' ? '_' : *p;
    return WEIR_OK;
}

weir_status weir_wanted_field(const weir_schema_field *field, const char *prefix, weir_wanted *ret_wanted, weir_err *err) {
    *ret_wanted = (weir_wanted){.type = field->type,
                                .is_timestamp = field->is_timestamp,
                                .nullable = field->nullable,
                                .fallback = field->has_default && field->fallback.type != WEIR_T_NULL ? &field->fallback : NULL};
    return set_name(ret_wanted->name, prefix, field->name, err);
}

weir_status weir_wanted_feature(const weir_feature_def *feature, weir_wanted *ret_wanted, weir_err *err) {
    *ret_wanted = (weir_wanted){.type = WEIR_T_F64, .nullable = true};
    weir_status status = set_name(ret_wanted->name, "features_", feature->name, err);
    return status || !feature->was ? status : set_name(ret_wanted->was, "features_", feature->was, err);
}

weir_wanted weir_wanted_carried(const char *type) {
    static const struct {
        const char *prefix;
        weir_wanted as;
    } types[] = {{"boolean", {.type = WEIR_T_BOOL}},
                 {"smallint", {.type = WEIR_T_I64}},
                 {"integer", {.type = WEIR_T_I64}},
                 {"bigint", {.type = WEIR_T_I64}},
                 {"real", {.type = WEIR_T_F64}},
                 {"double", {.type = WEIR_T_F64}},
                 {"numeric", {.type = WEIR_T_F64}},
                 {"bytea", {.type = WEIR_T_BYTES}},
                 {"timestamp", {.type = WEIR_T_I64, .is_timestamp = true}},
                 {"date", {.type = WEIR_T_I64, .is_timestamp = true}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strncmp(type, types[i].prefix, strlen(types[i].prefix))) return types[i].as;
    return (weir_wanted){.type = WEIR_T_STR};
}

/* --- expressions, the same in both dialects --- */

const char *weir_wanted_type(const weir_wanted *w) {
    if (w->is_timestamp) return "timestamptz";
    switch (w->type) {
    case WEIR_T_BOOL: return "boolean";
    case WEIR_T_I64: return "bigint";
    case WEIR_T_F64: return "double precision";
    case WEIR_T_BYTES: return "bytea";
    default: return "text";
    }
}

/* Who runs an expression. */
typedef enum dialect { POSTGRES, DUCKDB } dialect;

/* The type of a column in "name type,name type"; NULL: there is no such column. */
static const char *column_type(const char *columns, const char *name) {
    size_t n = strlen(name);
    for (const char *p = columns; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, name, n) && p[n] == ' ') return p + n + 1;
    }
    return NULL;
}

static bool has_column(const char *columns, const char *name) {
    return column_type(columns, name) != NULL;
}

/* Text and bytes are each other's UTF-8, as Avro has it; their CAST would be another notation. */
static void put_converted(weir_sql *sql, const weir_wanted *w, dialect in, const char *name, const char *type) {
    bool was_text = !strncmp(type, "text", 4), was_bytes = !strncmp(type, "bytea", 5);
    if (w->type == WEIR_T_BYTES && was_text) {
        weir_sql_add(sql, in == DUCKDB ? "encode(" : "convert_to(");
        weir_sql_name(sql, name);
        weir_sql_add(sql, in == DUCKDB ? ")" : ", 'UTF8')");
    } else if (w->type == WEIR_T_STR && was_bytes) {
        weir_sql_add(sql, in == DUCKDB ? "decode(" : "convert_from(");
        weir_sql_name(sql, name);
        weir_sql_add(sql, in == DUCKDB ? ")" : ", 'UTF8')");
    } else {
        weir_sql_add(sql, "CAST(");
        weir_sql_name(sql, name);
        weir_sql_add(sql, " AS %s)", weir_wanted_type(w));
    }
}

static void put_fallback(weir_sql *sql, const weir_wanted *w) {
    const weir_datum *d = w->fallback;
    char text[WEIR_TIME_TEXT_MAX];
    weir_sql_add(sql, "CAST(");
    if (!d) {
        weir_sql_add(sql, "NULL");
    } else if (w->is_timestamp) {
        weir_sql_add(sql, "'%s'", weir_time_format(d->i, text));
    } else {
        switch ((weir_type)d->type) {
        case WEIR_T_BOOL: weir_sql_add(sql, d->i ? "true" : "false"); break;
        case WEIR_T_I64: weir_sql_add(sql, "%" PRId64, d->i); break;
        case WEIR_T_F64: weir_sql_add(sql, "'%.17g'", d->f); break;
        case WEIR_T_STR: weir_sql_literal(sql, d->p, d->len); break;
        default: weir_sql_add(sql, "NULL"); break;
        }
    }
    weir_sql_add(sql, " AS %s)", weir_wanted_type(w));
}

/* The newest name first: an older one holds what was written before. A column whose type changed was set aside under its name and type (see offline.h). */
static void put_wanted(weir_sql *sql, const weir_wanted *w, dialect in, const char *columns) {
    static const char *const asides[] = {"", "_was_bigint", "_was_text", "_was_bytea", NULL};
    const char *names[] = {w->name, w->was, NULL};
    int found = 0;
    weir_sql_add(sql, "COALESCE(");
    for (int n = 0; names[n] && *names[n]; n++) {
        for (int a = 0; asides[a]; a++) {
            char name[2 * WEIR_COLUMN_NAME_MAX];
            snprintf(name, sizeof name, "%s%s", names[n], asides[a]);
            const char *type = column_type(columns, name);
            if (!type) continue;
            weir_sql_add(sql, found++ ? ", " : "");
            put_converted(sql, w, in, name, type);
        }
    }
    if (!found || (w->fallback && !w->nullable)) {
        weir_sql_add(sql, found ? ", " : "");
        put_fallback(sql, w);
    }
    weir_sql_add(sql, ")");
}

static void put_literal(weir_sql *sql, const char *text) {
    weir_sql_literal(sql, text, strlen(text));
}

static void put_where(weir_sql *sql, const weir_rows_query *q, const char *columns) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], as_of[WEIR_TIME_TEXT_MAX];
    weir_sql_add(sql, " WHERE event_time >= '%s' AND event_time < '%s'", weir_time_format(q->from_us, from), weir_time_format(q->to_us, to));
    if (q->as_of_us < WEIR_TIME_MAX_US) weir_sql_add(sql, " AND available_time <= '%s'", weir_time_format(q->as_of_us, as_of));
    if (q->records_only && has_column(columns, "seq")) weir_sql_add(sql, " AND (seq IS NULL OR version = seq)");
    if (q->tenant) {
        weir_sql_add(sql, " AND tenant = ");
        put_literal(sql, q->tenant);
    }
}

/* --- PostgreSQL --- */

weir_status weir_rows_snapshot(weir_pg *pg, const weir_pipeline *pipeline, const char *const *tables, weir_err *err) {
    weir_sql sql = {0};
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_pg_script(pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    /* Locks before the snapshot is taken by the first query: whoever moves a day to a file waits for them, or is done. */
    weir_sql_add(&sql, "DO $weir$ BEGIN ");
    for (; *tables; tables++) {
        weir_sql_add(&sql, "IF to_regclass('\"%s\".\"%s\"') IS NOT NULL THEN LOCK TABLE \"%s\".\"%s\" IN ACCESS SHARE MODE; END IF; ", pipeline->name, *tables,
                     pipeline->name, *tables);
    }
    weir_sql_add(&sql, "END $weir$");
    if (!status) status = weir_sql_end(&sql, err);
    weir_sql_done(&sql);
    return status;
}

/* "name type,name type" of a table; empty when there is none. */
static weir_status table_columns(weir_pg *pg, const weir_rows_query *q, char **ret_columns, weir_err *err) {
    const char *params[] = {q->pipeline->name, q->table};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT coalesce(string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ',' ORDER BY a.attnum), '') "
                                      "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
                                      "WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
                                      2, params, &result, err);
    if (status) return status;
    *ret_columns = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return *ret_columns ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the columns of %s", q->table);
}

typedef struct table_scan {
    const weir_rows_query *query;
    weir_stored_row_fn on_row;
    void *context;
    weir_datum values[COLUMNS_MAX];
} table_scan;

weir_datum weir_wanted_read(const weir_wanted *w, const weir_pg_field *field) {
    if (field->len < 0) return weir_null();
    if (w->is_timestamp) return weir_i64(weir_pg_get_timestamptz(field));
    switch (w->type) {
    case WEIR_T_BOOL: return weir_bool(field->data[0] != 0);
    case WEIR_T_I64: return weir_i64(weir_pg_get_int8(field));
    case WEIR_T_F64: return weir_f64(weir_pg_get_float8(field));
    case WEIR_T_BYTES: return weir_bytes(field->data, (size_t)field->len);
    default: return weir_str(field->data, (size_t)field->len);
    }
}

static weir_status on_fields(void *context, const weir_pg_field *f, int field_count, weir_err *err) {
    table_scan *scan = context;
    (void)field_count;
    for (int i = 0; i < scan->query->wanted_count; i++) scan->values[i] = weir_wanted_read(&scan->query->wanted[i], &f[7 + i]);
    const weir_stored_row row = {
        .tenant = f[0].data,
        .tenant_len = (size_t)f[0].len,
        .entity = f[1].data,
        .entity_len = (size_t)f[1].len,
        .event_us = weir_pg_get_timestamptz(&f[2]),
        .known_us = weir_pg_get_timestamptz(&f[3]),
        .source = {weir_pg_get_int4(&f[4]), weir_pg_get_int8(&f[5])},
        .version = weir_pg_get_int8(&f[6]),
        .values = scan->values,
    };
    return scan->on_row(scan->context, &row, err);
}

weir_status weir_rows_scan_table(weir_pg *pg, const weir_rows_query *query, weir_stored_row_fn on_row, void *context, weir_err *err) {
    if (query->wanted_count > COLUMNS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "more than %d columns are asked for", COLUMNS_MAX);
    char *columns = NULL;
    weir_status status = table_columns(pg, query, &columns, err);
    if (status || !*columns) {
        free(columns);
        return status;
    }
    weir_sql sql = {0};
    weir_sql_add(&sql, "COPY (SELECT tenant, entity, event_time, available_time, source_partition, source_offset, %s",
                 has_column(columns, "version") ? "COALESCE(version, 0)" : "CAST(0 AS bigint)");
    for (int i = 0; i < query->wanted_count; i++) {
        weir_sql_add(&sql, ", ");
        put_wanted(&sql, &query->wanted[i], POSTGRES, columns);
    }
    weir_sql_add(&sql, " FROM \"%s\".\"%s\"", query->pipeline->name, query->table);
    put_where(&sql, query, columns);
    weir_sql_add(&sql, ") TO STDOUT (FORMAT binary)");
    status = weir_sql_end(&sql, err);
    table_scan *scan = status ? NULL : weir_mem.realloc(NULL, sizeof *scan);
    if (!status && !scan) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for reading %s", query->table);
    if (!status) {
        scan->query = query;
        scan->on_row = on_row;
        scan->context = context;
        status = weir_pg_copy_out(pg, sql.text.data, on_fields, scan, err);
    }
    free(scan);
    free(columns);
    weir_sql_done(&sql);
    return status;
}

/* --- files --- */

#define FILE_PLACES (INT64_C(1) << 40) /* a file has fewer rows */

static weir_status read_manifest(weir_pg *pg, const weir_rows_query *q, PGresult **ret_files, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    const char *params[] = {q->pipeline->name, q->table, weir_time_format(q->from_us, from), weir_time_format(q->to_us, to), q->tenant};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT to_regclass('weir.offline_files') IS NOT NULL", 0, NULL, &result, err);
    if (status) return status;
    bool there = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    *ret_files = NULL;
    if (!there) return WEIR_OK;
    return weir_pg_exec(pg,
                        "SELECT columns, path, rows FROM weir.offline_files WHERE pipeline = $1 AND table_name = $2 "
                        "AND day >= ($3::timestamptz AT TIME ZONE 'UTC')::date AND day <= ($4::timestamptz AT TIME ZONE 'UTC')::date "
                        "AND ($5::text IS NULL OR tenant = $5) ORDER BY columns, day, tenant, part",
                        5, params, ret_files, err);
}

/* The files first … last of the manifest, which have the same columns. */
static void put_files(weir_sql *sql, const weir_rows_query *q, PGresult *files, int first, int last) {
    const char *columns = PQgetvalue(files, first, 0);
    weir_sql_add(
        sql, "SELECT tenant, entity, epoch_us(event_time) AS event_us, epoch_us(available_time) AS known_us, source_partition, source_offset, %s AS version",
        has_column(columns, "version") ? "COALESCE(version, 0)" : "CAST(0 AS bigint)");
    for (int i = 0; i < q->wanted_count; i++) {
        weir_sql_add(sql, q->wanted[i].is_timestamp ? ", epoch_us(" : ", ");
        put_wanted(sql, &q->wanted[i], DUCKDB, columns);
        weir_sql_add(sql, "%s AS c%d", q->wanted[i].is_timestamp ? ")" : "", i);
    }
    weir_sql_add(sql, ", (CAST(file_index AS BIGINT) + %d) * %" PRId64 " + file_row_number AS place FROM read_parquet([", first, FILE_PLACES);
    for (int f = first; f <= last; f++) {
        weir_buf path = {0};
        sql->failed |= !weir_buf_printf(&path, "%s/%s", q->objects_dir, PQgetvalue(files, f, 1));
        weir_sql_add(sql, f > first ? ", " : "");
        if (!sql->failed) weir_sql_literal(sql, path.data, path.len);
        weir_buf_done(&path);
    }
    weir_sql_add(sql, "], hive_partitioning=true, hive_types={'tenant': VARCHAR, 'day': DATE})");
    if (!q->every_row) put_where(sql, q, columns);
}

weir_status weir_rows_files(weir_pg *pg, const weir_rows_query *q, weir_sql *sql, int64_t *ret_rows, weir_err *err) {
    PGresult *files = NULL;
    *ret_rows = 0;
    weir_status status = read_manifest(pg, q, &files, err);
    int count = !status && files ? PQntuples(files) : 0;
    if (count && !q->objects_dir) status = WEIR_FAIL(err, WEIR_EINVAL, "days of %s are in files, and the objects folder was not given", q->table);
    for (int first = 0, last; !status && first < count; first = last + 1) {
        for (last = first; last + 1 < count && !strcmp(PQgetvalue(files, first, 0), PQgetvalue(files, last + 1, 0)); last++) {
        }
        weir_sql_add(sql, first ? " UNION ALL " : "");
        put_files(sql, q, files, first, last);
    }
    for (int f = 0; !status && f < count; f++) *ret_rows += strtoll(PQgetvalue(files, f, 2), NULL, 10);
    PQclear(files);
    return status ? status : weir_sql_end(sql, err);
}

weir_status weir_rows_scan_files(weir_duck *duck, const char *select, int wanted_count, weir_stored_row_fn on_row, void *context, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    weir_datum *values = weir_mem.realloc(NULL, ((size_t)wanted_count + 1) * sizeof *values);
    weir_status status = values ? weir_duck_query(duck, select, &cursor, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", wanted_count);
    int64_t rows = 1;
    while (!status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows) {
        for (int64_t r = 0; !status && r < rows; r++) {
            weir_duck_seek(cursor, r);
            weir_datum tenant = weir_duck_get(cursor, 0), entity = weir_duck_get(cursor, 1);
            for (int i = 0; i < wanted_count; i++) values[i] = weir_duck_get(cursor, 7 + i);
            const weir_stored_row row = {
                .tenant = tenant.p,
                .tenant_len = tenant.len,
                .entity = entity.p,
                .entity_len = entity.len,
                .event_us = weir_duck_get(cursor, 2).i,
                .known_us = weir_duck_get(cursor, 3).i,
                .source = {(int32_t)weir_duck_get(cursor, 4).i, weir_duck_get(cursor, 5).i},
                .version = weir_duck_get(cursor, 6).i,
                .values = values,
            };
            status = on_row(context, &row, err);
        }
    }
    weir_duck_cursor_free(cursor);
    free(values);
    return status;
}
