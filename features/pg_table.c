#include "features/pg_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/rows.h"

enum { TABLE_COLUMNS_MAX = 2048, NAME_BYTES = 128 };

typedef struct copied {
    weir_duck_appender *appender;
    weir_wanted columns[TABLE_COLUMNS_MAX];
    weir_datum row[TABLE_COLUMNS_MAX];
    int count;
} copied;

static weir_status copy_row(void *context, const weir_pg_field *fields, int count, weir_err *err) {
    copied *c = context;
    for (int i = 0; i < count; i++) c->row[i] = weir_wanted_read(&c->columns[i], &fields[i]);
    return weir_duck_append(c->appender, c->row, count, err);
}

/* "schema.table", to be quoted for SQL. */
static weir_status split_name(const char *name, char schema[NAME_BYTES], char table[NAME_BYTES], weir_err *err) {
    const char *dot = strchr(name, '.');
    if (!dot || dot == name || !dot[1] || strchr(dot + 1, '.') || strpbrk(name, "\"/") || strlen(name) >= NAME_BYTES)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s': expected a file named " WEIR_FILE_FORMATS ", or schema.table in PostgreSQL", name);
    snprintf(schema, NAME_BYTES, "%.*s", (int)(dot - name), name);
    snprintf(table, NAME_BYTES, "%s", dot + 1);
    return WEIR_OK;
}

static weir_status list_columns(weir_pg *pg, const char *name, const char *schema, const char *table, PGresult **ret_columns, weir_err *err) {
    const char *params[] = {schema, table};
    weir_status status = weir_pg_exec(
        pg,
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        2, params, ret_columns, err);
    if (status) return status;
    if (!PQntuples(*ret_columns)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no table %s", name);
    if (PQntuples(*ret_columns) > TABLE_COLUMNS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "%s has more than %d columns", name, TABLE_COLUMNS_MAX);
    return WEIR_OK;
}

static weir_status copy(weir_pg *pg, const char *schema, const char *table, const PGresult *columns, weir_duck *duck, const char *to, copied *c,
                        weir_err *err) {
    weir_sql create = {0}, select = {0};
    c->count = PQntuples(columns);
    weir_sql_add(&create, "CREATE TABLE ");
    weir_sql_name(&create, to);
    weir_sql_add(&create, " (");
    weir_sql_add(&select, "COPY (SELECT ");
    for (int i = 0; i < c->count; i++) {
        c->columns[i] = weir_wanted_carried(PQgetvalue(columns, i, 1));
        weir_sql_add(&create, i ? ", " : "");
        weir_sql_name(&create, PQgetvalue(columns, i, 0));
        weir_sql_add(&create, " %s", c->columns[i].is_timestamp ? "TIMESTAMP" : weir_sql_type(c->columns[i].type));
        weir_sql_add(&select, i ? ", CAST(" : "CAST(");
        weir_sql_name(&select, PQgetvalue(columns, i, 0));
        weir_sql_add(&select, " AS %s)", weir_wanted_type(&c->columns[i]));
    }
    weir_sql_add(&create, ")");
    weir_sql_add(&select, " FROM \"%s\".\"%s\") TO STDOUT (FORMAT binary)", schema, table);
    weir_status status = weir_sql_end(&create, err), ended;
    if (!status) status = weir_sql_end(&select, err);
    if (!status) status = weir_duck_exec(duck, create.text.data, err);
    if (!status) status = weir_duck_append_to(duck, to, &c->appender, err);
    if (!status) status = weir_pg_copy_out(pg, select.text.data, copy_row, c, err);
    weir_err late;
    if (c->appender && (ended = weir_duck_append_end(c->appender, status ? &late : err)) && !status) status = ended;
    weir_sql_done(&create);
    weir_sql_done(&select);
    return status;
}

weir_status weir_pg_table_copy(weir_pg *pg, const char *name, weir_duck *duck, const char *to, weir_err *err) {
    char schema[NAME_BYTES], table[NAME_BYTES];
    PGresult *columns = NULL;
    weir_status status = split_name(name, schema, table, err);
    if (!status) status = list_columns(pg, name, schema, table, &columns, err);
    copied *c = status ? NULL : calloc(1, sizeof *c);
    if (!status) status = c ? copy(pg, schema, table, columns, duck, to, c, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read %s", name);
    free(c);
    PQclear(columns);
    return status;
}
