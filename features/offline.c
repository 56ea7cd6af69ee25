/* The offline store's writer: rows collect in memory as COPY BINARY tuples; a flush is one transaction with the offsets they came from. */
#include "features/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"

enum {
    NAME_MAX_LEN = 63, /* of PostgreSQL's identifiers */
    TABLE_NAME_MAX = 46, /* leaves room for the suffixes of partitions and indexes */
    PENDING_BYTES_MAX = 64 << 20, /* over all tables of a store */
    OFFSETS_MAX = 4096, /* pending */
    TABLES_MAX = 64,
    SQL_MAX = 4096
};

typedef enum kind { KIND_BOOL, KIND_INT4, KIND_INT8, KIND_FLOAT8, KIND_TEXT, KIND_BYTEA, KIND_TIME } kind;
static const char *const kind_names[] = {
    "boolean", "integer", "bigint", "double precision", "text", "bytea", "timestamp with time zone"}; /* as format_type says */

/* What every table has, first and NOT NULL. */
enum { META_TENANT, META_ENTITY, META_EVENT_TIME, META_AVAILABLE_TIME, META_PARTITION, META_OFFSET, META_COUNT };
static const struct {
    const char *name;
    kind kind;
} metas[META_COUNT] = {{"tenant", KIND_TEXT},         {"entity", KIND_TEXT},           {"event_time", KIND_TIME},
                       {"available_time", KIND_TIME}, {"source_partition", KIND_INT4}, {"source_offset", KIND_INT8}};

typedef struct column {
    char name[NAME_MAX_LEN + 1];
    kind kind;
    int field; /* of the schema; -1: of weir_offline_meta */
    weir_datum fallback; /* of the schema, borrowed until the table is open: what rows from before the column have; null: null */
} column;

/* Days since 1970, ascending. */
typedef struct day_set {
    int32_t *days;
    int count, capacity;
} day_set;

struct weir_offline_table {
    weir_offline *store;
    char name[TABLE_NAME_MAX + 1];
    int index; /* in the store */
    int column_count;
    column *columns; /* the first META_COUNT are the metas */
    int version_column; /* of rows that have versions; -1 */
    char *copy_sql, *stage_sql, *stage_copy_sql, *merge_sql;
    char *lock_sql, *shape; /* the shape that rows are encoded for, as an array literal of "name type" */
    weir_buf rows;
    int64_t row_count;
    day_set pending, known; /* days of the rows; days that have a partition */
};

typedef struct offset {
    char *sink, *topic;
    int32_t partition;
    int64_t next;
} offset;

struct weir_offline {
    weir_pg *pg;
    const weir_pipeline *pipeline;
    weir_offline_table *tables[TABLES_MAX];
    int table_count;
    offset *offsets;
    int offset_count;
    bool repeating; /* the last flush met rows that were there already: go through the staging table at once */
};

/* --- days --- */

/* First day of a partition is what days are kept as; the one after it ends it. */
static int32_t civil_day(int year, int month) {
    struct tm first = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = 1};
    return (int32_t)(timegm(&first) / 86400);
}

static int32_t day_of(int64_t us) {
    return (int32_t)(us / WEIR_DAY_US - (us % WEIR_DAY_US < 0));
}

/* First day of the partition that holds the day, and (after = 1) of the one behind it. */
static int32_t period_start(weir_period period, int32_t day, int after) {
    if (period == WEIR_PERIOD_DAY) return day + after;
    struct tm date;
    time_t seconds = (time_t)day * 86400;
    gmtime_r(&seconds, &date);
    return period == WEIR_PERIOD_YEAR ? civil_day(date.tm_year + 1900 + after, 1) : civil_day(date.tm_year + 1900, date.tm_mon + 1 + after);
}

/* Where the day is, or belongs. */
static int day_place(const day_set *set, int32_t day) {
    int low = 0, high = set->count;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (set->days[mid] < day)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool day_has(const day_set *set, int32_t day) {
    int at = day_place(set, day);
    return at < set->count && set->days[at] == day;
}

static bool day_add(day_set *set, int32_t day) {
    int at = day_place(set, day);
    if (at < set->count && set->days[at] == day) return true;
    if (set->count == set->capacity) {
        int capacity = set->capacity ? 2 * set->capacity : 16;
        int32_t *days = weir_mem.realloc(set->days, (size_t)capacity * sizeof(*days));
        if (!days) return false;
        set->days = days;
        set->capacity = capacity;
    }
    memmove(set->days + at + 1, set->days + at, (size_t)(set->count - at) * sizeof(*set->days));
    set->days[at] = day;
    set->count++;
    return true;
}

/* --- the store --- */

weir_status weir_offline_new(const char *pg_url, const weir_pipeline *pipeline, weir_offline **ret_store, weir_err *err) {
    weir_offline *store = weir_mem.realloc(NULL, sizeof(*store));
    if (!store) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the offline store");
    *store = (weir_offline){.pipeline = pipeline};
    weir_status status;
    if ((status = weir_pg_new(pg_url, &store->pg, err)) || (status = weir_pg_migrate(store->pg, err))) {
        weir_offline_free(store);
        return status;
    }
    *ret_store = store;
    return WEIR_OK;
}

static void free_table(weir_offline_table *table) {
    if (!table) return;
    free(table->columns);
    free(table->copy_sql);
    free(table->stage_sql);
    free(table->stage_copy_sql);
    free(table->merge_sql);
    free(table->lock_sql);
    free(table->shape);
    free(table->pending.days);
    free(table->known.days);
    weir_buf_done(&table->rows);
    free(table);
}

void weir_offline_free(weir_offline *store) {
    if (!store) return;
    weir_offline_discard(store);
    for (int i = 0; i < store->table_count; i++) free_table(store->tables[i]);
    free(store->offsets);
    weir_pg_free(store->pg);
    free(store);
}

void weir_offline_discard(weir_offline *store) {
    for (int i = 0; i < store->table_count; i++) {
        weir_buf_clear(&store->tables[i]->rows);
        store->tables[i]->row_count = 0;
        store->tables[i]->pending.count = 0;
    }
    for (int i = 0; i < store->offset_count; i++) {
        free(store->offsets[i].sink);
        free(store->offsets[i].topic);
    }
    store->offset_count = 0;
}

/* --- tables --- */

static kind kind_of(const weir_schema_field *f) {
    if (f->is_timestamp) return KIND_TIME;
    switch (f->type) {
    case WEIR_T_BOOL: return KIND_BOOL;
    case WEIR_T_I64: return KIND_INT8;
    case WEIR_T_F64: return KIND_FLOAT8;
    case WEIR_T_STR: return KIND_TEXT;
    default: return KIND_BYTEA;
    }
}

/* Lower and upper case differ in quoted identifiers, so names are taken as they are. */
static weir_status flatten(const char *dotted, char name[NAME_MAX_LEN + 1], weir_err *err) {
    size_t n = strlen(dotted);
    if (n > NAME_MAX_LEN) return WEIR_FAIL(err, WEIR_EINVAL, "column %s is longer than the %d bytes that PostgreSQL takes", dotted, NAME_MAX_LEN);
    for (size_t i = 0; i <= n; i++) name[i] = dotted[i] == '.' ? '_' : dotted[i];
    return WEIR_OK;
}

static bool is_skipped(const char *name, const char *const *skip) {
    for (; skip && *skip; skip++) {
        if (!strcmp(*skip, name)) return true;
    }
    return false;
}

/* A field of a meta column's name takes its place, if its type does. */
static weir_status place_meta(weir_offline_table *table, const weir_schema_field *f, int field, bool *ret_placed, weir_err *err) {
    *ret_placed = false;
    for (int m = 0; m < META_COUNT; m++) {
        if (strcmp(metas[m].name, f->name)) continue;
        kind found = kind_of(f);
        if (found != metas[m].kind && !(m == META_PARTITION && found == KIND_INT8))
            return WEIR_FAIL(err, WEIR_EINVAL, "table %s: column %s is %s, expected %s", table->name, f->name, kind_names[found], kind_names[metas[m].kind]);
        table->columns[m].field = field;
        *ret_placed = true;
    }
    return WEIR_OK;
}

static weir_status list_columns(weir_offline_table *table, const weir_schema *schema, const char *const *skip, weir_err *err) {
    int n = weir_schema_field_count(schema);
    table->columns = weir_mem.realloc(NULL, sizeof(*table->columns) * (size_t)(META_COUNT + n));
    if (!table->columns) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for table %s", table->name);
    for (int m = 0; m < META_COUNT; m++) {
        table->columns[m] = (column){.kind = metas[m].kind, .field = -1, .fallback = weir_null()};
        memcpy(table->columns[m].name, metas[m].name, strlen(metas[m].name) + 1);
    }
    table->column_count = META_COUNT;
    for (int i = 0; i < n; i++) {
        const weir_schema_field *f = weir_schema_field_at(schema, i);
        bool placed;
        if (is_skipped(f->name, skip)) continue;
        weir_status status = place_meta(table, f, i, &placed, err);
        if (status) return status;
        if (placed) continue;
        column *c = &table->columns[table->column_count];
        *c = (column){.kind = kind_of(f), .field = i, .fallback = f->has_default ? f->fallback : weir_null()};
        if (!strcmp(f->name, "version") && weir_schema_find(schema, "seq") >= 0) table->version_column = table->column_count;
        if ((status = flatten(f->name, c->name, err))) return status;
        for (int j = 0; j < table->column_count; j++) {
            if (!strcmp(table->columns[j].name, c->name))
                return WEIR_FAIL(err, WEIR_EINVAL, "table %s: column %s would be named \"%s\", and so would another; rename one", table->name, f->name,
                                 c->name);
        }
        table->column_count++;
    }
    return WEIR_OK;
}

/* "a","b" */
static bool put_names(weir_buf *sql, const weir_offline_table *table) {
    bool ok = true;
    for (int i = 0; ok && i < table->column_count; i++) ok = weir_buf_printf(sql, "%s\"%s\"", i ? "," : "", table->columns[i].name);
    return ok;
}

/* The statements of a flush, written once. */
static weir_status write_statements(weir_offline_table *table, weir_err *err) {
    const char *schema = table->store->pipeline->name;
    weir_buf copy = {0}, stage = {0}, stage_copy = {0}, merge = {0}, lock = {0}, shape = {0};
    bool ok = weir_buf_printf(&copy, "COPY \"%s\".\"%s\" (", schema, table->name) && put_names(&copy, table) &&
              weir_buf_printf(&copy, ") FROM STDIN (FORMAT binary)");
    ok = ok && weir_buf_printf(&stage, "CREATE TEMP TABLE IF NOT EXISTS weir_stage_%d ON COMMIT DELETE ROWS AS SELECT ", table->index) &&
         put_names(&stage, table) && weir_buf_printf(&stage, " FROM \"%s\".\"%s\" WITH NO DATA", schema, table->name);
    ok = ok && weir_buf_printf(&stage_copy, "COPY pg_temp.weir_stage_%d FROM STDIN (FORMAT binary)", table->index);
    ok = ok && weir_buf_printf(&merge, "INSERT INTO \"%s\".\"%s\" (", schema, table->name) && put_names(&merge, table) &&
         weir_buf_printf(&merge, ") SELECT ") && put_names(&merge, table) &&
         weir_buf_printf(&merge, " FROM pg_temp.weir_stage_%d ON CONFLICT DO NOTHING", table->index);
    ok = ok && weir_buf_printf(&lock, "LOCK TABLE \"%s\".\"%s\" IN ROW EXCLUSIVE MODE", schema, table->name);
    for (int i = 0; ok && i < table->column_count; i++)
        ok = weir_buf_printf(&shape, "%s\"%s %s\"", i ? "," : "{", table->columns[i].name, kind_names[table->columns[i].kind]);
    ok = ok && weir_buf_printf(&shape, "}");
    table->lock_sql = lock.data;
    table->shape = shape.data;
    table->copy_sql = copy.data;
    table->stage_sql = stage.data;
    table->stage_copy_sql = stage_copy.data;
    table->merge_sql = merge.data;
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for table %s", table->name);
}

/* IF NOT EXISTS is not safe against somebody doing the same at this moment; one lock for all changes of shape is. */
static weir_status lock_shape(weir_pg *pg, weir_err *err) {
    return weir_pg_exec(pg, "SELECT pg_advisory_xact_lock(hashtextextended('weir.offline', 0))", 0, NULL, NULL, err);
}

static const char *constraint_of(const weir_offline_table *table, int index) {
    return index < META_COUNT ? " NOT NULL" : index == table->version_column ? " NOT NULL DEFAULT 0" : "";
}

static weir_status create_table(const weir_offline_table *table, weir_err *err) {
    const char *schema = table->store->pipeline->name;
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "CREATE SCHEMA IF NOT EXISTS \"%s\"; CREATE TABLE IF NOT EXISTS \"%s\".\"%s\" (", schema, schema, table->name);
    for (int i = 0; ok && i < table->column_count; i++)
        ok = weir_buf_printf(&sql, "%s\"%s\" %s%s", i ? ", " : "", table->columns[i].name, kind_names[table->columns[i].kind], constraint_of(table, i));
    /* The key starts with event_time because a partitioned table's key must have it, and because rows then go to the right end of the index. There is no
     * index by entity: it takes half of the rows/s away, and retrieval reads whole days. */
    ok = ok && weir_buf_printf(&sql, ") PARTITION BY RANGE (event_time)");
    weir_status status = ok ? weir_pg_script(table->store->pg, sql.data, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for table %s", table->name);
    weir_buf_done(&sql);
    return status;
}

static weir_status create_key(const weir_offline_table *table, weir_err *err) {
    const char *schema = table->store->pipeline->name, *name = table->name;
    char sql[SQL_MAX];
    if (table->version_column < 0) /* Who has only the source finds its row through the other one, which costs next to nothing: offsets come nearly in order. */
        snprintf(sql, sizeof(sql),
                 "CREATE UNIQUE INDEX IF NOT EXISTS \"%s_source_key\" ON \"%s\".\"%s\" (event_time, source_partition, source_offset); "
                 "CREATE INDEX IF NOT EXISTS \"%s_source_range\" ON \"%s\".\"%s\" USING brin (source_offset, source_partition) "
                 "WITH (pages_per_range = 16, autosummarize = on)",
                 name, schema, name, name, schema, name);
    else
        snprintf(sql, sizeof(sql),
                 "CREATE UNIQUE INDEX IF NOT EXISTS \"%s_version_key\" ON \"%s\".\"%s\" (event_time, source_partition, source_offset, version); "
                 "DROP INDEX IF EXISTS \"%s\".\"%s_source_key\"",
                 name, schema, name, schema, name);
    return weir_pg_script(table->store->pg, sql, err);
}

/* What the table has of the column: its type, or NULL. */
static const char *existing_type(const PGresult *result, const char *name) {
    for (int r = 0; r < PQntuples(result); r++) {
        if (!strcmp(PQgetvalue(result, r, 0), name)) return PQgetvalue(result, r, 1);
    }
    return NULL;
}

/* A column's default as a constant of SQL's. */
static bool put_constant(weir_buf *sql, const column *c) {
    const weir_datum *d = &c->fallback;
    char time[WEIR_TIME_TEXT_MAX];
    bool ok = true;
    switch (c->kind) {
    case KIND_BOOL: return weir_buf_printf(sql, "%s", d->i ? "true" : "false");
    case KIND_INT4:
    case KIND_INT8: return weir_buf_printf(sql, "%" PRId64, d->i);
    case KIND_FLOAT8: return weir_buf_printf(sql, "'%.17g'", weir_datum_number(d));
    case KIND_TIME: return weir_buf_printf(sql, "'%s'", weir_time_format(d->i, time));
    case KIND_TEXT:
        ok = weir_buf_append(sql, "E'", 2);
        for (uint32_t i = 0; ok && i < d->len; i++)
            ok = d->p[i] == '\'' || d->p[i] == '\\' ? weir_buf_printf(sql, "\\%c", d->p[i]) : weir_buf_append(sql, d->p + i, 1);
        return ok && weir_buf_append(sql, "'", 1);
    case KIND_BYTEA:
        ok = weir_buf_printf(sql, "'\\x");
        for (uint32_t i = 0; ok && i < d->len; i++) ok = weir_buf_printf(sql, "%02x", (unsigned char)d->p[i]);
        return ok && weir_buf_append(sql, "'", 1);
    }
    return false;
}

/* New columns are nullable, or have a constant default: PostgreSQL rewrites nothing. Rows from before, and of workers that do not know the column yet, have the field's default. */
static weir_status add_column(const weir_offline_table *table, int index, weir_err *err) {
    const char *schema = table->store->pipeline->name;
    const column *c = &table->columns[index];
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "ALTER TABLE \"%s\".\"%s\" ADD COLUMN \"%s\" %s%s", schema, table->name, c->name, kind_names[c->kind],
                              constraint_of(table, index));
    if (ok && c->fallback.type != WEIR_T_NULL && !*constraint_of(table, index)) ok = weir_buf_printf(&sql, " DEFAULT ") && put_constant(&sql, c);
    weir_status status = ok ? weir_pg_script(table->store->pg, sql.data, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for table %s", table->name);
    weir_buf_done(&sql);
    return status;
}

/* Avro's promotions between types that are stored differently: long to double, and between text and bytes. */
static bool may_become(const char *type, kind to) {
    return (to == KIND_FLOAT8 && !strcmp(type, kind_names[KIND_INT8])) || (to == KIND_BYTEA && !strcmp(type, kind_names[KIND_TEXT])) ||
           (to == KIND_TEXT && !strcmp(type, kind_names[KIND_BYTEA]));
}

/* Puts a column of another type aside: it keeps its rows under "<column>_was_<type>", from where readers take them. One that was put aside with the type that is now wanted
 * comes back, else there is a new one. A row has a value in one of them. */
static weir_status retype_column(const weir_offline_table *table, const PGresult *existing, int index, const char *type, weir_err *err) {
    const char *schema = table->store->pipeline->name;
    const column *c = &table->columns[index];
    char aside[2 * NAME_MAX_LEN], back[2 * NAME_MAX_LEN], sql[SQL_MAX];
    if (index < META_COUNT || index == table->version_column || !may_become(type, c->kind))
        return WEIR_FAIL(err, WEIR_ECONFLICT, "table %s.%s: column %s is %s, but the schema now says %s; rows are never rewritten, so give it another name",
                         schema, table->name, c->name, type, kind_names[c->kind]);
    snprintf(aside, sizeof(aside), "%s_was_%s", c->name, type);
    snprintf(back, sizeof(back), "%s_was_%s", c->name, kind_names[c->kind]);
    if (strlen(aside) > NAME_MAX_LEN || existing_type(existing, aside))
        return WEIR_FAIL(err, WEIR_ECONFLICT, "table %s.%s: column %s changes from %s to %s, and cannot be put aside as %s, which %s; give it another name",
                         schema, table->name, c->name, type, kind_names[c->kind], aside, strlen(aside) > NAME_MAX_LEN ? "is too long" : "exists");
    /* Its default is for rows from before; those to come have nothing in it. */
    snprintf(sql, sizeof(sql), "ALTER TABLE \"%s\".\"%s\" ALTER COLUMN \"%s\" DROP DEFAULT; ALTER TABLE \"%s\".\"%s\" RENAME COLUMN \"%s\" TO \"%s\"", schema,
             table->name, c->name, schema, table->name, c->name, aside);
    weir_status status = weir_pg_script(table->store->pg, sql, err);
    if (status) return status;
    const char *kept = existing_type(existing, back);
    if (kept && !strcmp(kept, kind_names[c->kind]))
        snprintf(sql, sizeof(sql), "ALTER TABLE \"%s\".\"%s\" RENAME COLUMN \"%s\" TO \"%s\"", schema, table->name, back, c->name);
    else /* without its default: rows from before have their value aside */
        snprintf(sql, sizeof(sql), "ALTER TABLE \"%s\".\"%s\" ADD COLUMN \"%s\" %s", schema, table->name, c->name, kind_names[c->kind]);
    return weir_pg_script(table->store->pg, sql, err);
}

static weir_status add_columns(const weir_offline_table *table, weir_err *err) {
    const char *params[] = {table->store->pipeline->name, table->name};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(table->store->pg,
                     "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON "
                     "n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
                     2, params, &result, err);
    for (int i = 0; !status && i < table->column_count; i++) {
        const column *c = &table->columns[i];
        const char *type = existing_type(result, c->name);
        if (!type)
            status = add_column(table, i, err);
        else if (strcmp(type, kind_names[c->kind]))
            status = retype_column(table, result, i, type, err);
    }
    PQclear(result);
    return status;
}

static weir_status shape_table(const weir_offline_table *table, weir_err *err) {
    weir_pg *pg = table->store->pg;
    weir_status status = weir_pg_begin(pg, err);
    if (status) return status;
    const char *params[] = {table->store->pipeline->name, table->name};
    if ((status = lock_shape(pg, err)) || (status = create_table(table, err)) || (status = add_columns(table, err)) || (status = create_key(table, err)) ||
        (status = weir_pg_exec(pg, "SELECT weir.protect($1, $2)", 2, params, NULL, err)) || (status = weir_pg_commit(pg, err)))
        weir_pg_rollback(pg);
    return status;
}

weir_status weir_offline_table_open(weir_offline *store, const char *name, const weir_schema *schema, const char *const *skip, weir_offline_table **ret_table,
                                    weir_err *err) {
    size_t n = strlen(name);
    if (!n || n > TABLE_NAME_MAX || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        return WEIR_FAIL(err, WEIR_EINVAL, "table \"%.80s\": expected at most %d lower-case letters, digits and '_'", name, TABLE_NAME_MAX);
    if (store->table_count == TABLES_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "table %s: a store has at most %d tables", name, TABLES_MAX);
    weir_offline_table *table = weir_mem.realloc(NULL, sizeof(*table));
    if (!table) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for table %s", name);
    *table = (weir_offline_table){.store = store, .index = store->table_count, .version_column = -1};
    memcpy(table->name, name, n + 1);
    weir_status status;
    if ((status = list_columns(table, schema, skip, err)) || (status = write_statements(table, err)) || (status = shape_table(table, err))) {
        free_table(table);
        return status;
    }
    store->tables[store->table_count++] = table;
    *ret_table = table;
    return WEIR_OK;
}

/* --- adding --- */

static weir_status wrong_value(const weir_offline_table *table, const column *c, const char *found, weir_err *err) {
    return WEIR_REJECT(err, WEIR_EDATA, "table %s: column %s: found %s, expected %s", table->name, c->name, found, kind_names[c->kind]);
}

static bool fits(kind expected, const weir_datum *d) {
    switch (expected) {
    case KIND_BOOL: return d->type == WEIR_T_BOOL;
    case KIND_FLOAT8: return d->type == WEIR_T_F64 || d->type == WEIR_T_I64;
    case KIND_TEXT: return d->type == WEIR_T_STR && weir_text_valid(d->p, d->len);
    case KIND_BYTEA: return d->type == WEIR_T_BYTES;
    case KIND_TIME: return d->type == WEIR_T_I64 && d->i >= WEIR_TIME_MIN_US && d->i <= WEIR_TIME_MAX_US;
    case KIND_INT4: return d->type == WEIR_T_I64 && d->i >= INT32_MIN && d->i <= INT32_MAX;
    default: return d->type == WEIR_T_I64;
    }
}

static weir_status put_value(weir_offline_table *table, const column *c, const weir_datum *d, weir_err *err) {
    weir_buf *rows = &table->rows;
    bool ok;
    if (d->type == WEIR_T_NULL) {
        if (c < table->columns + META_COUNT || c - table->columns == table->version_column) return wrong_value(table, c, "null", err);
        ok = weir_pg_put_null(rows);
    } else {
        /* One value that PostgreSQL refuses would fail the whole COPY, again and again. */
        if (!fits(c->kind, d)) return wrong_value(table, c, d->type == WEIR_T_STR ? "text that is no UTF-8 without NUL" : "a value that does not fit", err);
        switch (c->kind) {
        case KIND_BOOL: ok = weir_pg_put_bool(rows, d->i != 0); break;
        case KIND_INT4: ok = weir_pg_put_int4(rows, (int32_t)d->i); break;
        case KIND_INT8: ok = weir_pg_put_int8(rows, d->i); break;
        case KIND_FLOAT8: ok = weir_pg_put_float8(rows, weir_datum_number(d)); break;
        case KIND_TIME: ok = weir_pg_put_timestamptz(rows, d->i); break;
        default: ok = weir_pg_put_bytes(rows, d->p, d->len); break;
        }
    }
    return ok ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the pending rows of table %s", table->name);
}

static weir_datum meta_value(const weir_offline_meta *meta, int m) {
    switch (m) {
    case META_TENANT: return weir_str(meta->tenant, meta->tenant_len);
    case META_ENTITY: return weir_str(meta->entity, meta->entity_len);
    case META_EVENT_TIME: return weir_i64(meta->event_time_us);
    case META_AVAILABLE_TIME: return weir_i64(meta->available_time_us);
    case META_PARTITION: return weir_i64(meta->source_partition);
    default: return weir_i64(meta->source_offset);
    }
}

static size_t pending_bytes(const weir_offline *store) {
    size_t n = 0;
    for (int i = 0; i < store->table_count; i++) n += store->tables[i]->rows.len;
    return n;
}

weir_status weir_offline_add(weir_offline_table *table, const weir_datum *row, const weir_offline_meta *meta, weir_err *err) {
    if (pending_bytes(table->store) > PENDING_BYTES_MAX)
        return WEIR_RETRY(err, WEIR_ELIMIT, "%d MiB of rows are pending for the offline store, the most there may be: flush first", PENDING_BYTES_MAX >> 20);
    size_t before = table->rows.len;
    weir_status status = weir_pg_put_tuple(&table->rows, table->column_count) ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for table %s", table->name);
    int64_t time = 0;
    for (int i = 0; !status && i < table->column_count; i++) {
        const column *c = &table->columns[i];
        if (c->field < 0 && !meta) status = WEIR_FAIL(err, WEIR_EINTERNAL, "table %s: the schema has no %s, and no meta was given", table->name, c->name);
        if (status) break;
        weir_datum value = c->field < 0 ? meta_value(meta, i) : row[c->field];
        status = put_value(table, c, &value, err);
        if (i == META_EVENT_TIME) time = value.i;
    }
    if (!status && !day_add(&table->pending, period_start(table->store->pipeline->partition_by, day_of(time), 0)))
        status = WEIR_RETRY(err, WEIR_ENOMEM, "no memory for table %s", table->name);
    if (status) {
        table->rows.len = before;
        return status;
    }
    table->row_count++;
    return WEIR_OK;
}

static char *copy_text(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = weir_mem.realloc(NULL, n);
    return copy ? memcpy(copy, text, n) : NULL;
}

weir_status weir_offline_add_offset(weir_offline *store, const char *sink, const char *topic, int32_t partition, int64_t next_offset, weir_err *err) {
    for (int i = 0; i < store->offset_count; i++) {
        offset *o = &store->offsets[i];
        if (o->partition != partition || strcmp(o->topic, topic) || strcmp(o->sink, sink)) continue;
        if (next_offset > o->next) o->next = next_offset;
        return WEIR_OK;
    }
    if (store->offset_count == OFFSETS_MAX)
        return WEIR_RETRY(err, WEIR_ELIMIT, "offsets of %d partitions are pending, the most there may be: flush first", OFFSETS_MAX);
    if (!store->offsets) store->offsets = weir_mem.realloc(NULL, sizeof(*store->offsets) * OFFSETS_MAX);
    offset o = {.sink = copy_text(sink), .topic = copy_text(topic), .partition = partition, .next = next_offset};
    if (!store->offsets || !o.sink || !o.topic) {
        free(o.sink);
        free(o.topic);
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the offset of %s", topic);
    }
    store->offsets[store->offset_count++] = o;
    return WEIR_OK;
}

/* --- flushing --- */

static void day_text(int32_t day, char text[WEIR_TIME_TEXT_MAX]) {
    weir_time_format(day * WEIR_DAY_US, text)[10] = 0;
}

/* The partition is made beside its parent and then attached: CREATE TABLE … PARTITION OF would lock out, and wait for, whoever reads the parent. */
static bool put_partition(weir_buf *sql, const weir_offline_table *table, int32_t day) {
    const char *schema = table->store->pipeline->name;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], name[NAME_MAX_LEN + 1];
    day_text(day, from);
    int32_t behind = period_start(table->store->pipeline->partition_by, day, 1);
    day_text(behind, to);
    snprintf(name, sizeof(name), "%s_p%.4s%.2s%.2s", table->name, from, from + 5, from + 8);
    const char *upper = day_of(WEIR_TIME_MAX_US) < behind ? "infinity" : to;
    return weir_buf_printf(sql,
                           "IF to_regclass('\"%s\".\"%s\"') IS NULL THEN CREATE TABLE \"%s\".\"%s\" (LIKE \"%s\".\"%s\" INCLUDING ALL); "
                           "ALTER TABLE \"%s\".\"%s\" ATTACH PARTITION \"%s\".\"%s\" FOR VALUES FROM ('%s 00:00:00+00') TO ('%s%s'); END IF; ",
                           schema, name, schema, name, schema, table->name, schema, table->name, schema, name, from, upper,
                           *upper == 'i' ? "" : " 00:00:00+00");
}

/* Makes the partitions that pending rows need, ahead of them and in a transaction of its own, so that its locks are short. */
static weir_status make_partitions(weir_offline_table *table, weir_err *err) {
    weir_pg *pg = table->store->pg;
    weir_buf sql = {0};
    bool needed = false, ok = weir_buf_printf(&sql, "DO $weir$ BEGIN ");
    for (int i = 0; ok && i < table->pending.count; i++) {
        if (day_has(&table->known, table->pending.days[i])) continue;
        needed = true;
        ok = put_partition(&sql, table, table->pending.days[i]);
    }
    ok = ok && weir_buf_printf(&sql, "END $weir$");
    weir_status status = ok ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the partitions of table %s", table->name);
    if (!status && needed && !(status = weir_pg_begin(pg, err))) {
        if ((status = lock_shape(pg, err)) || (status = weir_pg_script(pg, sql.data, err)) || (status = weir_pg_commit(pg, err))) weir_pg_rollback(pg);
    }
    weir_buf_done(&sql);
    for (int i = 0; !status && i < table->pending.count; i++) {
        if (!day_add(&table->known, table->pending.days[i])) status = WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the partitions of table %s", table->name);
    }
    return status;
}

/* Appends an element of a text array literal. */
static bool put_element(weir_buf *array, const char *text) {
    bool ok = weir_buf_append(array, array->len > 1 ? ",\"" : "\"", array->len > 1 ? 2 : 1);
    for (; ok && *text; text++) ok = (*text != '"' && *text != '\\') || weir_buf_append(array, "\\", 1) ? weir_buf_append(array, text, 1) : false;
    return ok && weir_buf_append(array, "\"", 1);
}

/* The rows of the offsets are locked until the end, which makes writers of the same partition take turns; one that was overtaken finds that out here. */
static weir_status write_offsets(weir_offline *store, weir_err *err) {
    weir_buf arrays[4] = {0};
    PGresult *result = NULL;
    bool ok = true;
    if (!store->offset_count) return WEIR_OK;
    for (int a = 0; a < 4; a++) ok = ok && weir_buf_append(&arrays[a], "{", 1);
    for (int i = 0; ok && i < store->offset_count; i++) {
        const offset *o = &store->offsets[i];
        ok = put_element(&arrays[0], o->sink) && put_element(&arrays[1], o->topic) && weir_buf_printf(&arrays[2], "%s%" PRId32, i ? "," : "", o->partition) &&
             weir_buf_printf(&arrays[3], "%s%" PRId64, i ? "," : "", o->next);
    }
    for (int a = 0; a < 4; a++) ok = ok && weir_buf_append(&arrays[a], "}", 1);
    const char *params[] = {store->pipeline->name, arrays[0].data, arrays[1].data, arrays[2].data, arrays[3].data};
    weir_status status = ok ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the offsets");
    if (!status)
        status = weir_pg_exec(store->pg,
                              "INSERT INTO weir.sink_offsets AS o (pipeline, sink, topic, partition, next_offset) "
                              "SELECT $1, s, t, p, n FROM unnest($2::text[], $3::text[], $4::int4[], $5::int8[]) AS u (s, t, p, n) ORDER BY s, t, p "
                              "ON CONFLICT (pipeline, sink, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset, updated_at = now() "
                              "WHERE o.next_offset <= EXCLUDED.next_offset",
                              5, params, &result, err);
    if (!status && atoi(PQcmdTuples(result)) != store->offset_count)
        status = WEIR_RETRY(err, WEIR_ECONFLICT, "another writer of pipeline %s has stored later offsets than these: this one lost its partitions",
                            store->pipeline->name);
    PQclear(result);
    for (int a = 0; a < 4; a++) weir_buf_done(&arrays[a]);
    return status;
}

/* Through a temporary table, from which only rows that are new are taken. */
static weir_status merge_rows(weir_offline_table *table, int64_t *new_rows, weir_err *err) {
    weir_pg *pg = table->store->pg;
    PGresult *result = NULL;
    weir_status status;
    if ((status = weir_pg_script(pg, table->stage_sql, err)) || (status = weir_pg_copy_in(pg, table->stage_copy_sql, &table->rows, err)) ||
        (status = weir_pg_exec(pg, table->merge_sql, 0, NULL, &result, err)))
        return status;
    *new_rows += atoll(PQcmdTuples(result));
    PQclear(result);
    return WEIR_OK;
}

/* A binary long in a column that is double by now would be another number. The lock keeps the shape until the commit. */
static weir_status check_shape(const weir_offline_table *table, weir_err *err) {
    const char *schema = table->store->pipeline->name, *params[] = {schema, table->name, table->shape};
    PGresult *result = NULL;
    weir_status status = weir_pg_script(table->store->pg, table->lock_sql, err);
    if (!status)
        status = weir_pg_exec(
            table->store->pg,
            "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "
            "$1 AND c.relname = $2 AND NOT a.attisdropped AND a.attname || ' ' || format_type(a.atttypid, a.atttypmod) = ANY ($3::text[])",
            3, params, &result, err);
    if (!status && atoi(PQgetvalue(result, 0, 0)) != table->column_count)
        status =
            WEIR_FAIL(err, WEIR_EINVAL, "table %s.%s: the types of its columns were changed by a worker with another schema; this one writes nothing any more",
                      schema, table->name);
    PQclear(result);
    return status;
}

static weir_status write_rows(weir_offline *store, bool staged, int64_t *new_rows, weir_err *err) {
    *new_rows = 0;
    weir_status status = weir_pg_begin(store->pg, err);
    if (status) return status;
    /* A commit that a crash of the server takes back takes its offsets back too, and the rows are read again from there; so nobody need wait for the disk. */
    status = weir_pg_script(store->pg, "SET LOCAL synchronous_commit TO off", err);
    if (!status) status = write_offsets(store, err);
    for (int i = 0; !status && i < store->table_count; i++) {
        weir_offline_table *table = store->tables[i];
        if (!table->row_count) continue;
        if ((status = check_shape(table, err))) break;
        if (staged)
            status = merge_rows(table, new_rows, err);
        else if (!(status = weir_pg_copy_in(store->pg, table->copy_sql, &table->rows, err)))
            *new_rows += table->row_count;
    }
    if (!status) status = weir_pg_commit(store->pg, err);
    if (status) weir_pg_rollback(store->pg);
    return status;
}

/* Compaction may have dropped a partition that was there the last time. */
static void forget_partitions(weir_offline *store) {
    for (int i = 0; i < store->table_count; i++) store->tables[i]->known.count = 0;
}

static weir_status write_pending(weir_offline *store, bool staged, int64_t *new_rows, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < store->table_count; i++)
        if (store->tables[i]->row_count) status = make_partitions(store->tables[i], err);
    return status ? status : write_rows(store, staged, new_rows, err);
}

weir_status weir_offline_flush(weir_offline *store, int64_t *ret_rows, int64_t *ret_repeats, weir_err *err) {
    int64_t rows = 0, new_rows = 0;
    weir_err why = {0};
    weir_status status = WEIR_OK;
    for (int i = 0; i < store->table_count; i++) rows += store->tables[i]->row_count;
    if (rows || store->offset_count) {
        bool staged = store->repeating;
        status = write_pending(store, staged, &new_rows, &why);
        if (status == WEIR_EINTERNAL) {
            forget_partitions(store);
            status = write_pending(store, staged, &new_rows, &why);
        }
        /* A row that is there already fails the COPY. Being overtaken is a conflict too, but one to retry. */
        if (status == WEIR_ECONFLICT && why.action == WEIR_ACTION_FATAL && !staged) status = write_rows(store, true, &new_rows, &why);
        if (!status) store->repeating = new_rows < rows;
    }
    weir_offline_discard(store);
    if (status) {
        forget_partitions(store);
        if (err) *err = why;
        return status;
    }
    if (ret_rows) *ret_rows = new_rows;
    if (ret_repeats) *ret_repeats = rows - new_rows;
    return WEIR_OK;
}

weir_status weir_offline_offset(weir_offline *store, const char *sink, const char *topic, int32_t partition, int64_t *ret_next, weir_err *err) {
    char number[16];
    snprintf(number, sizeof(number), "%" PRId32, partition);
    const char *params[] = {store->pipeline->name, sink, topic, number};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(
        store->pg, "SELECT next_offset FROM weir.sink_offsets WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4", 4, params, &result, err);
    if (status) return status;
    *ret_next = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_offline_has_table(weir_pg *pg, const weir_pipeline *pipeline, const char *name, bool *ret_has, weir_err *err) {
    char quoted[160];
    const char *params[] = {quoted};
    PGresult *result = NULL;
    snprintf(quoted, sizeof(quoted), "\"%s\".\"%s\"", pipeline->name, name);
    weir_status status = weir_pg_exec(pg, "SELECT to_regclass($1) IS NOT NULL", 1, params, &result, err);
    if (status) return status;
    *ret_has = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return WEIR_OK;
}
