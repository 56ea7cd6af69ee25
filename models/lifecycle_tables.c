#include "models/lifecycle_tables.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "features/duck.h"
#include "models/memory.h"

enum { VERSION_ROOM = 10 /* "__v" and a number */ };

/* ---- names ---- */

static bool is_plain_name(const char *name) {
    if (!isalpha((unsigned char)*name) && *name != '_') return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '-') return false;
    return true;
}

weir_status weir_space_make(const char *catalog, const char *schema, char space[WEIR_NAME_MAX + 1], weir_err *err) {
    const char *parts[] = {catalog, schema};
    for (int i = 0; i < 2; i++)
        if (!is_plain_name(parts[i]))
            return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no name of a %s; expected a letter, then letters, digits, '_' or '-'", parts[i],
                             i ? "schema" : "catalog");
    if (snprintf(space, WEIR_NAME_MAX + 1, "%s.%s", catalog, schema) > WEIR_NAME_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s is longer than the %d bytes that PostgreSQL has for a schema's name", catalog, schema, WEIR_NAME_MAX);
    return WEIR_OK;
}

static void complete_name(weir_table_name *name) {
    snprintf(name->full, sizeof name->full, "%s.%s", name->space, name->table);
}

weir_status weir_table_name_parse(const char *text, const char *space, weir_table_name *ret_name, weir_err *err) {
    weir_table_name name = {0};
    const char *first = strchr(text, '.'), *last = strrchr(text, '.');
    size_t space_len = last ? (size_t)(last - text) : strlen(space);
    const char *table = last ? last + 1 : text;
    bool three = last && first != last && first != text && first + 1 != last && !memchr(first + 1, '.', (size_t)(last - first - 1));
    if ((last && !three) || !*table) return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no name of a table; expected table or catalog.schema.table", text);
    if (space_len > WEIR_NAME_MAX || strlen(table) > WEIR_NAME_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s': a name is longer than the %d bytes that PostgreSQL has for it", text, WEIR_NAME_MAX);
    snprintf(name.space, sizeof name.space, "%.*s", (int)space_len, last ? text : space);
    snprintf(name.table, sizeof name.table, "%s", table);
    complete_name(&name);
    *ret_name = name;
    return WEIR_OK;
}

static void add_relation(weir_sql *sql, const char *space, const char *relation) {
    weir_sql_name(sql, space);
    weir_sql_add(sql, ".");
    weir_sql_name(sql, relation);
}

/* ---- what is there ---- */

/* One row: may the schema be used, does the relation exist, its kind, may it be read, and the names as SQL writes them. */
static const char find_sql[] =
    "SELECT has_schema_privilege(n.oid, 'USAGE'), c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT'), quote_ident(current_user),"
    " quote_ident(n.nspname), quote_ident(c.relname) FROM pg_namespace n"
    " LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2 AND c.relkind IN ('r', 'v', 'm', 'f', 'p') WHERE n.nspname = $1";

static bool is_true(const PGresult *result, int column) {
    return *PQgetvalue(result, 0, column) == 't';
}

static weir_status judge_relation(const PGresult *found, const char *full, const char *space, weir_err *err) {
    if (!PQntuples(found)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "Table '%s' not found: there is no schema \"%s\"", full, space);
    if (!is_true(found, 0))
        return WEIR_FAIL(err, WEIR_EDENIED, "PermissionDenied: user %s does not have USAGE on schema %s; GRANT USAGE ON SCHEMA %s TO %s helps",
                         PQgetvalue(found, 0, 4), PQgetvalue(found, 0, 5), PQgetvalue(found, 0, 5), PQgetvalue(found, 0, 4));
    if (PQgetisnull(found, 0, 1)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "Table '%s' not found: schema \"%s\" has no such table or view", full, space);
    if (!is_true(found, 3))
        return WEIR_FAIL(err, WEIR_EDENIED, "PermissionDenied: user %s does not have SELECT on %s; GRANT SELECT ON %s.%s TO %s helps", PQgetvalue(found, 0, 4),
                         full, PQgetvalue(found, 0, 5), PQgetvalue(found, 0, 6), PQgetvalue(found, 0, 4));
    return WEIR_OK;
}

static weir_status find_relation(weir_pg *pg, const char *space, const char *relation, PGresult **ret_found, weir_err *err) {
    char full[2 * WEIR_NAME_MAX + 2];
    PGresult *found = NULL;
    snprintf(full, sizeof full, "%s.%s", space, relation);
    weir_status status = weir_pg_exec(pg, find_sql, 2, (const char *const[]){space, relation}, &found, err);
    if (!status) status = judge_relation(found, full, space, err);
    if (status)
        PQclear(found);
    else
        *ret_found = found;
    return status;
}

static weir_column_kind kind_of(const char *type) {
    static const struct {
        const char *type;
        weir_column_kind kind;
    } kinds[] = {{"int2", WEIR_COLUMN_NUMBER},    {"int4", WEIR_COLUMN_NUMBER},      {"int8", WEIR_COLUMN_NUMBER},  {"float4", WEIR_COLUMN_NUMBER},
                 {"float8", WEIR_COLUMN_NUMBER},  {"numeric", WEIR_COLUMN_NUMBER},   {"bool", WEIR_COLUMN_BOOLEAN}, {"date", WEIR_COLUMN_TIME},
                 {"timestamp", WEIR_COLUMN_TIME}, {"timestamptz", WEIR_COLUMN_TIME}, {"text", WEIR_COLUMN_TEXT},    {"varchar", WEIR_COLUMN_TEXT},
                 {"bpchar", WEIR_COLUMN_TEXT},    {"uuid", WEIR_COLUMN_TEXT},        {"name", WEIR_COLUMN_TEXT}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(type, kinds[i].type)) return kinds[i].kind;
    return WEIR_COLUMN_OTHER;
}

/* An enumeration's values are texts; of a domain the type below it counts. */
static weir_status read_columns(weir_pg *pg, const char *oid, weir_table *table, weir_err *err) {
    PGresult *rows = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT a.attname, CASE WHEN t.typtype = 'e' THEN 'text' ELSE coalesce(b.typname, t.typname) END FROM pg_attribute a "
                                      "JOIN pg_type t ON t.oid = a.atttypid"
                                      " LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT "
                                      "a.attisdropped ORDER BY a.attnum",
                                      1, &oid, &rows, err);
    if (status) return status;
    table->column_count = PQntuples(rows);
    table->columns = weir_models_calloc((size_t)table->column_count, sizeof *table->columns);
    if (!table->columns) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", table->column_count);
    for (int c = 0; !status && c < table->column_count; c++) {
        weir_table_column *column = &table->columns[c];
        snprintf(column->name, sizeof column->name, "%s", PQgetvalue(rows, c, 0));
        snprintf(column->type, sizeof column->type, "%s", PQgetvalue(rows, c, 1));
        column->kind = kind_of(column->type);
    }
    PQclear(rows);
    return status;
}

/* Of the view of a versioned table the newest version; of the table of a version that one. */
static weir_status find_version(weir_pg *pg, weir_table *table, const char *relkind, weir_err *err) {
    PGresult *row = NULL;
    const char *const params[] = {table->name.space, table->name.table, relkind};
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT table_name, version, relation FROM weir.dataset_versions WHERE space = $1 AND (table_name = $2 AND $3 = 'v' OR relation = $2)"
                     " ORDER BY version DESC LIMIT 1",
                     3, params, &row, err);
    if (status) return status;
    if (PQntuples(row)) {
        snprintf(table->dataset, sizeof table->dataset, "%s", PQgetvalue(row, 0, 0));
        table->version = atoi(PQgetvalue(row, 0, 1));
        snprintf(table->relation, sizeof table->relation, "%s", PQgetvalue(row, 0, 2));
    }
    PQclear(row);
    return WEIR_OK;
}

weir_status weir_table_open(weir_pg *pg, const weir_table_name *name, weir_table *ret_table, weir_err *err) {
    weir_table table = {.name = *name};
    PGresult *found = NULL;
    snprintf(table.relation, sizeof table.relation, "%s", name->table);
    weir_status status = find_relation(pg, name->space, name->table, &found, err);
    if (!status) status = find_version(pg, &table, PQgetvalue(found, 0, 2), err);
    if (!status && strcmp(table.relation, name->table) != 0) {
        PQclear(found);
        found = NULL;
        status = find_relation(pg, name->space, table.relation, &found, err);
    }
    if (!status) status = read_columns(pg, PQgetvalue(found, 0, 1), &table, err);
    PQclear(found);
    if (status)
        weir_table_done(&table);
    else
        *ret_table = table;
    return status;
}

void weir_table_done(weir_table *table) {
    weir_models_free(table->columns);
    table->columns = NULL;
    table->column_count = 0;
}

weir_status weir_table_find(const weir_table *table, const char *column, const weir_table_column **ret_column, weir_err *err) {
    for (int c = 0; c < table->column_count; c++) {
        if (strcmp(table->columns[c].name, column) != 0) continue;
        *ret_column = &table->columns[c];
        return WEIR_OK;
    }
    const char **names = weir_models_calloc((size_t)table->column_count + 1, sizeof *names);
    for (int c = 0; names && c < table->column_count; c++) names[c] = table->columns[c].name;
    const char *near = names ? weir_conf_nearest(column, names) : NULL;
    weir_status status = WEIR_FAIL(err, WEIR_ENOTFOUND, "Column '%s' not found in table '%s', which has %d columns%s%s%s", column, table->name.full,
                                   table->column_count, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    weir_models_free(names);
    return status;
}

/* Rows are hashed as texts; sums of the two halves of their hashes do not depend on their order. */
weir_status weir_table_digest(weir_pg *pg, const weir_table *table, int64_t *ret_rows, char digest[33], weir_err *err) {
    weir_sql sql = {0};
    PGresult *row = NULL;
    weir_sql_add(&sql, "SELECT count(*), md5(count(*) || ':' || coalesce(sum(('x' || substr(h, 1, 16))::bit(64)::bigint::numeric), 0) || ':' ||"
                       " coalesce(sum(('x' || substr(h, 17))::bit(64)::bigint::numeric), 0)) FROM (SELECT md5(\"weir row\"::text) AS h FROM ");
    add_relation(&sql, table->name.space, table->relation);
    weir_sql_add(&sql, " \"weir row\") hashes");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_exec(pg, sql.text.data, 0, NULL, &row, err);
    if (!status) {
        *ret_rows = atoll(PQgetvalue(row, 0, 0));
        snprintf(digest, 33, "%s", PQgetvalue(row, 0, 1));
    }
    PQclear(row);
    weir_sql_done(&sql);
    return status;
}

/* ---- writing ---- */

weir_status weir_tables_begin(weir_pg *pg, bool to_read, weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    if (!status && to_read) status = weir_pg_script(pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", err);
    if (!status)
        status = weir_pg_script(
            pg, "SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'",
            err);
    return status;
}

static weir_status create_space(weir_pg *pg, const char *space, weir_err *err) {
    weir_sql sql = {0};
    PGresult *row = NULL;
    weir_status status = weir_pg_exec(
        pg, "SELECT has_database_privilege(current_database(), 'CREATE'), quote_ident(current_user), quote_ident(current_database())", 0, NULL, &row, err);
    if (!status && !is_true(row, 0))
        status =
            WEIR_FAIL(err, WEIR_EDENIED, "PermissionDenied: there is no schema \"%s\" and user %s may not make it; GRANT CREATE ON DATABASE %s TO %s helps",
                      space, PQgetvalue(row, 0, 1), PQgetvalue(row, 0, 2), PQgetvalue(row, 0, 1));
    PQclear(row);
    weir_sql_add(&sql, "CREATE SCHEMA IF NOT EXISTS ");
    weir_sql_name(&sql, space);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_exec(pg, sql.text.data, 0, NULL, NULL, err);
    weir_sql_done(&sql);
    return status;
}

weir_status weir_space_ensure(weir_pg *pg, const char *space, weir_err *err) {
    PGresult *row = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT pg_advisory_xact_lock(hashtextextended('weir datasets of ' || $1, 0))", 1, &space, NULL, err);
    if (!status)
        status =
            weir_pg_exec(pg, "SELECT has_schema_privilege(oid, 'CREATE'), quote_ident(nspname), quote_ident(current_user) FROM pg_namespace WHERE nspname = $1",
                         1, &space, &row, err);
    if (status) return status;
    if (!PQntuples(row))
        status = create_space(pg, space, err);
    else if (!is_true(row, 0))
        status = WEIR_FAIL(err, WEIR_EDENIED, "PermissionDenied: user %s does not have CREATE on schema %s; GRANT USAGE, CREATE ON SCHEMA %s TO %s helps",
                           PQgetvalue(row, 0, 2), PQgetvalue(row, 0, 1), PQgetvalue(row, 0, 1), PQgetvalue(row, 0, 2));
    PQclear(row);
    return status;
}

/* After the newest that is logged, and after tables of that form which are there for whatever reason. */
static weir_status next_version(weir_pg *pg, weir_table *table, weir_err *err) {
    const weir_table_name *name = &table->name;
    const char *const params[] = {name->space, name->table};
    PGresult *row = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT 1 + greatest((SELECT coalesce(max(version), 0) FROM weir.dataset_versions WHERE space = $1 AND table_name = $2),"
                     " (SELECT coalesce(max(substring(c.relname FROM length($2) + 4)::int), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                     "  WHERE n.nspname = $1 AND starts_with(c.relname, $2 || '__v') AND substring(c.relname FROM length($2) + 4) ~ '^[0-9]{1,7}$'))",
                     2, params, &row, err);
    if (!status) {
        table->version = atoi(PQgetvalue(row, 0, 0));
        snprintf(table->dataset, sizeof table->dataset, "%s", name->table);
        snprintf(table->relation, sizeof table->relation, "%.*s__v%d", WEIR_NAME_MAX - VERSION_ROOM, name->table, table->version);
    }
    PQclear(row);
    return status;
}

/* What has the table's name now: nothing, our view, or something that is not ours to replace. *ret_same: the view has the columns of the new version, so it can stay, with its grants. */
static weir_status look_at_view(weir_pg *pg, const weir_table *table, bool *ret_there, bool *ret_same, weir_err *err) {
    static const char sql[] = "SELECT c.relkind = 'v' AND EXISTS (SELECT FROM weir.dataset_versions WHERE space = $1 AND table_name = $2),"
                              " (SELECT array_agg(row(attname, atttypid, atttypmod)::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum "
                              "> 0 AND NOT attisdropped) ="
                              " (SELECT array_agg(row(attname, atttypid, atttypmod)::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = v.oid AND attnum "
                              "> 0 AND NOT attisdropped)"
                              " FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2 JOIN pg_class v ON v.relnamespace = n.oid AND "
                              "v.relname = $3 WHERE n.nspname = $1";
    PGresult *row = NULL;
    const char *const params[] = {table->name.space, table->name.table, table->relation};
    weir_status status = weir_pg_exec(pg, sql, 3, params, &row, err);
    if (status) return status;
    *ret_there = PQntuples(row);
    *ret_same = *ret_there && is_true(row, 1);
    if (*ret_there && !is_true(row, 0))
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "'%s' is there already and was not written by prepare_data, which does not replace it; choose another name",
                           table->name.full);
    PQclear(row);
    return status;
}

static weir_status show_version(weir_pg *pg, const weir_table *table, weir_err *err) {
    bool there = false, same = false;
    weir_sql sql = {0};
    weir_status status = look_at_view(pg, table, &there, &same, err);
    if (there && !same) {
        weir_sql_add(&sql, "DROP VIEW ");
        add_relation(&sql, table->name.space, table->name.table);
        weir_sql_add(&sql, "; ");
    }
    weir_sql_add(&sql, "CREATE OR REPLACE VIEW ");
    add_relation(&sql, table->name.space, table->name.table);
    weir_sql_add(&sql, " AS SELECT * FROM ");
    add_relation(&sql, table->name.space, table->relation);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_script(pg, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status log_version(weir_pg *pg, const weir_table *table, const cJSON *source, weir_err *err) {
    int64_t row_count = 0;
    char digest[33], version[16], rows[24], columns[16], *text = cJSON_PrintUnformatted(source);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    weir_status status = weir_table_digest(pg, table, &row_count, digest, err);
    snprintf(version, sizeof version, "%d", table->version);
    snprintf(rows, sizeof rows, "%lld", (long long)row_count);
    snprintf(columns, sizeof columns, "%d", table->column_count);
    const char *const params[] = {table->name.space, table->name.table, version, table->relation, rows, columns, digest, text};
    if (!status)
        status = weir_pg_exec(pg,
                              "INSERT INTO weir.dataset_versions (space, table_name, version, relation, row_count, column_count, digest, source)"
                              " VALUES ($1, $2, $3::int, $4, $5::bigint, $6::int, $7, $8::jsonb)",
                              8, params, NULL, err);
    cJSON_free(text);
    return status;
}

weir_status weir_dataset_write(weir_pg *pg, const weir_table_name *name, const char *select, const cJSON *source, weir_table *ret_table, weir_err *err) {
    weir_table table = {.name = *name};
    PGresult *found = NULL;
    weir_sql sql = {0};
    if (!is_plain_name(name->table) || strlen(name->table) > WEIR_NAME_MAX - VERSION_ROOM)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s' cannot be the name of a versioned table; expected a letter, then letters, digits, '_' or '-', at most %d",
                         name->table, WEIR_NAME_MAX - VERSION_ROOM);
    weir_status status = next_version(pg, &table, err);
    weir_sql_add(&sql, "CREATE TABLE ");
    add_relation(&sql, name->space, table.relation);
    weir_sql_add(&sql, " AS %s", select);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_exec(pg, sql.text.data, 0, NULL, NULL, err);
    if (!status) status = find_relation(pg, name->space, table.relation, &found, err);
    if (!status) status = read_columns(pg, PQgetvalue(found, 0, 1), &table, err);
    if (!status) status = show_version(pg, &table, err);
    if (!status) status = log_version(pg, &table, source, err);
    PQclear(found);
    weir_sql_done(&sql);
    if (status)
        weir_table_done(&table);
    else
        *ret_table = table;
    return status;
}
