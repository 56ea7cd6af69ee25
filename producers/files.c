/* Files of the user as a source of records: Parquet, CSV and JSON lines, and tables of PostgreSQL's, several together, in any row order. A table is copied as it is at that moment
 * and is a file from then on.
 *
 * DuckDB converts and sorts all of it once into a table of its own (which spills to disk), with the columns of both schemas; two streams then read the table:
 *
 *     file ─┐                       ┌─> events, by event time ──────────────────┐
 *     file ─┼─> convert ─> sort ─> table                                        ├─> merged by the time at which each becomes known
 *     file ─┘                       └─> labels, by event time + max_delay ──────┘
 *
 * A column that a file lacks can be computed from those it has, by an SQL expression of the pipeline's (`source.derive`) or the user's; see "derived columns" below.
 *
 * Text formats are read as text and converted here, so that an id "007" stays what it is and a value that cannot be converted can be shown. A value that does not convert
 * fails the whole: nothing is dropped. Where the label column is null (or a file has none) the outcome is not known, and there is no label record. A file that has the labels'
 * `available` column itself says when each label became known. */
#include "producers/records.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/convert.h"
#include "features/pg_table.h"

enum { COLUMNS_MAX = 512, FILE_COLUMNS_MAX = 4096, FILES_MAX = 10000 };

typedef struct file_column {
    char *name;
    weir_stored stored;
} file_column;

/* A column of the table c0, c1, …; a column that both schemas have alike is kept once. */
typedef struct column {
    const weir_schema_field *field;
    int event_index, label_index; /* -1: not in that schema */
} column;

typedef struct file {
    const char *path;
    weir_sql reader; /* read_csv('…', …) */
    file_column *columns;
    int column_count;
    int *source; /* [plan column count] → columns, -1: the file has none */
} file;

/* "TX_AMOUNT=amount" of the user, or from the pipeline's aliases */
typedef struct pairing {
    char *from;
    const char *to;
    bool by_user, used;
} pairing;

/* split = close / 2: an SQL expression over the rows of a file, whose columns it names as the pipeline does. */
typedef struct derivation {
    const char *to; /* column of the schemas, borrowed from these */
    const char *expression;
    bool by_user; /* then it also replaces a column that the file has */
} derivation;

typedef struct plan {
    const weir_pipeline *pipeline;
    const char *pg_url; /* where tables are; NULL: files only */
    weir_duck *duck;
    column columns[COLUMNS_MAX];
    int column_count;
    int time, label, available; /* columns; label and available -1 without labels */
    pairing *pairings;
    int pairing_count;
    derivation *derivations; /* in the order in which they are computed: a later one may use an earlier one's column */
    int derivation_count;
    file *files;
    int file_count;
    bool any_label, own_available; /* some file has the label column; has the available column */
} plan;

/* One of the two streams; the current row is a look-ahead unless `emitted`. */
typedef struct stream {
    weir_duck_cursor *cursor; /* NULL: no such stream. Columns: those of the schema, then known_at */
    weir_datum *row;
    int count;
    bool has_row, emitted;
    int64_t at_us;
} stream;

typedef struct source {
    weir_duck *duck;
    stream events, labels;
} source;

static void *zeroed(size_t count, size_t size) {
    void *p = weir_mem.realloc(NULL, count * size + 1);
    if (p) memset(p, 0, count * size + 1);
    return p;
}

static char *copy_text(const char *text, size_t len) {
    char *copy = zeroed(len + 1, 1);
    if (copy) memcpy(copy, text, len);
    return copy;
}

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for reading files");
}

/* ---- which columns ---- */

static bool same_column(const weir_schema_field *a, const weir_schema_field *b) {
    return !strcmp(a->name, b->name) && a->type == b->type && a->is_timestamp == b->is_timestamp && a->nullable == b->nullable &&
           a->has_default == b->has_default;
}

static int event_column(const plan *p, int event_index) {
    for (int i = 0; i < p->column_count; i++)
        if (p->columns[i].event_index == event_index) return i;
    return -1;
}

static weir_status plan_columns(plan *p, weir_err *err) {
    const weir_pipeline *pipeline = p->pipeline;
    int event_count = weir_schema_field_count(pipeline->events.schema),
        label_count = pipeline->labels.topic ? weir_schema_field_count(pipeline->labels.schema) : 0;
    if (event_count + label_count > COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "the schemas have %d columns, files are read up to %d", event_count + label_count, COLUMNS_MAX);
    for (int i = 0; i < event_count; i++) p->columns[p->column_count++] = (column){weir_schema_field_at(pipeline->events.schema, i), i, -1};
    p->label = p->available = -1;
    for (int i = 0; i < label_count; i++) {
        const weir_schema_field *field = weir_schema_field_at(pipeline->labels.schema, i);
        int at = weir_schema_find(pipeline->events.schema, field->name);
        bool special = i == pipeline->label_column || i == pipeline->labels.available_index;
        if (at >= 0 && !special && same_column(p->columns[at].field, field)) {
            p->columns[at].label_index = i;
            continue;
        }
        if (i == pipeline->label_column) p->label = p->column_count;
        if (i == pipeline->labels.available_index) p->available = p->column_count;
        p->columns[p->column_count++] = (column){field, -1, i};
    }
    p->time = event_column(p, pipeline->events.time_index);
    return WEIR_OK;
}

static const char *plan_name(const plan *p, const char *name) {
    for (int i = 0; i < p->column_count; i++)
        if (!strcasecmp(p->columns[i].field->name, name)) return p->columns[i].field->name;
    return NULL;
}

static weir_status unknown_target(const plan *p, const char *what, const char *pair, const char *name, weir_err *err) {
    const char *names[COLUMNS_MAX + 1] = {NULL};
    for (int i = 0; i < p->column_count; i++) names[i] = p->columns[i].field->name;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s '%s': neither events nor labels of pipeline %s have a column '%s'%s%s%s", what, pair, p->pipeline->name, name,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static weir_status add_pairing(plan *p, const char *from, size_t from_len, const char *to, bool by_user, weir_err *err) {
    pairing *pair = &p->pairings[p->pairing_count];
    pair->from = copy_text(from, from_len);
    if (!pair->from) return no_memory(err);
    pair->to = to;
    pair->by_user = by_user;
    p->pairing_count++;
    return WEIR_OK;
}

/* What the user says comes first and so wins. */
static weir_status plan_pairings(plan *p, const char *const *column_map, weir_err *err) {
    const cJSON *aliases = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(p->pipeline->json, "source"), "aliases"), *alias;
    size_t count = (size_t)cJSON_GetArraySize(aliases);
    for (size_t i = 0; column_map && column_map[i]; i++) count++;
    p->pairings = zeroed(count, sizeof *p->pairings);
    if (!p->pairings) return no_memory(err);
    weir_status st = WEIR_OK;
    for (size_t i = 0; !st && column_map && column_map[i]; i++) {
        const char *equals = strchr(column_map[i], '=');
        if (!equals || equals == column_map[i] || !equals[1])
            return WEIR_FAIL(err, WEIR_EINVAL, "column map '%s': expected COLUMN=name, a column of the file and one of the schema", column_map[i]);
        const char *name = plan_name(p, equals + 1);
        if (!name) return unknown_target(p, "column map", column_map[i], equals + 1, err);
        st = add_pairing(p, column_map[i], (size_t)(equals - column_map[i]), name, true, err);
    }
    cJSON_ArrayForEach(alias, aliases) {
        const char *name = !st && cJSON_IsString(alias) ? plan_name(p, alias->valuestring) : NULL;
        if (name) st = add_pairing(p, alias->string, strlen(alias->string), name, false, err);
    }
    return st;
}

/* "COLUMN=expression" */
static weir_status add_user_derivation(plan *p, const char *text, weir_err *err) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s': expected COLUMN=EXPRESSION, a column of the schema and SQL over the columns of the file", text);
    char *name = copy_text(text, (size_t)(equals - text));
    if (!name) return no_memory(err);
    const char *to = plan_name(p, name);
    weir_status st = to ? WEIR_OK : unknown_target(p, "set", text, name, err);
    weir_mem.realloc(name, 0);
    if (st) return st;
    for (int i = 0; i < p->pairing_count; i++)
        if (p->pairings[i].by_user && !strcmp(p->pairings[i].to, to))
            return WEIR_FAIL(err, WEIR_EINVAL, "column '%s' is both taken from '%s' and set by an expression; say one of them", to, p->pairings[i].from);
    for (int i = 0; i < p->derivation_count; i++)
        if (!strcmp(p->derivations[i].to, to)) return WEIR_FAIL(err, WEIR_EINVAL, "column '%s' is set twice", to);
    p->derivations[p->derivation_count++] = (derivation){to, equals + 1, true};
    return WEIR_OK;
}

/* What the user sets comes first, so that the pipeline's own expressions see it. */
static weir_status plan_derivations(plan *p, const char *const *set, weir_err *err) {
    const cJSON *derive = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(p->pipeline->json, "source"), "derive"), *own;
    size_t count = (size_t)cJSON_GetArraySize(derive);
    for (size_t i = 0; set && set[i]; i++) count++;
    p->derivations = zeroed(count, sizeof *p->derivations);
    if (!p->derivations) return no_memory(err);
    for (size_t i = 0; set && set[i]; i++) {
        weir_status st = add_user_derivation(p, set[i], err);
        if (st) return st;
    }
    int by_user = p->derivation_count;
    cJSON_ArrayForEach(own, derive) {
        const char *name = cJSON_IsString(own) ? plan_name(p, own->string) : NULL;
        for (int i = 0; name && i < by_user; i++)
            if (!strcmp(p->derivations[i].to, name)) name = NULL;
        if (name) p->derivations[p->derivation_count++] = (derivation){name, own->valuestring, false};
    }
    return WEIR_OK;
}

/* ---- a file and its columns ---- */

static weir_status describe(plan *p, file *f, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_sql_add(&sql, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM %s)", f->reader.text.data ? f->reader.text.data : "");
    weir_status st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_query(p->duck, sql.text.data, &cursor, err);
    bool more = false;
    while (!st && !(st = weir_duck_next(cursor, &more, err)) && more) {
        if (f->column_count == FILE_COLUMNS_MAX) {
            st = WEIR_FAIL(err, WEIR_ELIMIT, "more than %d columns", FILE_COLUMNS_MAX);
            break;
        }
        file_column *grown = weir_mem.realloc(f->columns, ((size_t)f->column_count + 1) * sizeof *grown);
        if (grown) f->columns = grown;
        weir_datum name = weir_duck_get(cursor, 0), type = weir_duck_get(cursor, 1);
        char *copy = grown ? copy_text(name.p, name.len) : NULL;
        if (!copy) {
            st = no_memory(err);
            break;
        }
        f->columns[f->column_count++] = (file_column){copy, weir_stored_of(type.p, type.len)};
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return st;
}

/* JSON lines: once DuckDB has told the keys, every one is read as text. */
static weir_status read_json_as_text(file *f, weir_err *err) {
    weir_sql_done(&f->reader);
    f->reader = (weir_sql){0};
    weir_sql_add(&f->reader, "read_json(");
    weir_sql_literal(&f->reader, f->path, strlen(f->path));
    weir_sql_add(&f->reader, ", columns={");
    for (int i = 0; i < f->column_count; i++) {
        if (i) weir_sql_add(&f->reader, ", ");
        weir_sql_name(&f->reader, f->columns[i].name);
        weir_sql_add(&f->reader, ": 'VARCHAR'");
    }
    weir_sql_add(&f->reader, "})");
    return weir_sql_end(&f->reader, err);
}

static weir_status open_table(plan *p, file *f, weir_err *err) {
    char to[32];
    weir_pg *pg = NULL;
    snprintf(to, sizeof to, "copied_%d", (int)(f - p->files));
    weir_sql_add(&f->reader, "%s", to);
    weir_status st = weir_sql_end(&f->reader, err);
    if (!st) st = weir_pg_new(p->pg_url, &pg, err);
    if (!st) st = weir_pg_table_copy(pg, f->path, p->duck, to, err);
    weir_pg_free(pg);
    if (st) return st;
    st = describe(p, f, err);
    return st ? weir_err_prefix(err, "%s", f->path) : WEIR_OK;
}

static weir_status open_file(plan *p, file *f, weir_err *err) {
    weir_file_format form = weir_file_format_of(f->path);
    if (form == WEIR_FILE_UNKNOWN && p->pg_url) return open_table(p, f, err);
    if (form == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, f->path);
    if (access(f->path, R_OK)) return WEIR_FAIL(err, WEIR_EINVAL, "cannot read %s: %s", f->path, strerror(errno));
    weir_sql_add(&f->reader, form == WEIR_FILE_PARQUET ? "read_parquet(" : form == WEIR_FILE_CSV ? "read_csv(" : "read_json(");
    weir_sql_literal(&f->reader, f->path, strlen(f->path));
    weir_sql_add(&f->reader, form == WEIR_FILE_PARQUET ? ")"
                             : form == WEIR_FILE_CSV   ? ", all_varchar=true, header=true)"
                                                       : ", sample_size=-1, maximum_depth=1)");
    weir_status st = weir_sql_end(&f->reader, err);
    if (!st) st = describe(p, f, err);
    if (!st && form == WEIR_FILE_JSON) st = read_json_as_text(f, err);
    if (st) (void)weir_err_prefix(err, "%s", f->path);
    return st;
}

static int find_column(const file *f, const char *name) {
    for (int i = 0; i < f->column_count; i++)
        if (!strcasecmp(f->columns[i].name, name)) return i;
    return -1;
}

/* The user's pairing, then the column of that name, then the pipeline's alias. */
static int find_source(plan *p, const file *f, const char *name) {
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < p->pairing_count; i++) {
            pairing *pair = &p->pairings[i];
            int at = pair->by_user == !pass && !strcmp(pair->to, name) ? find_column(f, pair->from) : -1;
            if (at < 0) continue;
            pair->used = true;
            return at;
        }
        int direct = pass ? -1 : find_column(f, name);
        if (direct >= 0) return direct;
    }
    return -1;
}

static const char *expected(const weir_schema_field *field) {
    if (field->is_timestamp) return "a time: ISO 8601, or seconds, ms, us or ns since 1970";
    switch (field->type) {
    case WEIR_T_BOOL: return "true or false, 1 or 0";
    case WEIR_T_I64: return "a whole number";
    case WEIR_T_F64: return "a number";
    case WEIR_T_BYTES: return "bytes";
    default: return "text";
    }
}

static weir_status missing_column(const file *f, const weir_schema_field *field, weir_err *err) {
    char names[256];
    size_t n = 0;
    names[0] = 0;
    for (int i = 0; i < f->column_count && n < sizeof names - 1; i++) {
        int wrote = snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", f->columns[i].name);
        n = (size_t)wrote < sizeof names - n ? n + (size_t)wrote : sizeof names - 1;
    }
    return WEIR_FAIL(err, WEIR_EDATA, "%s has no column for '%s' (%s); it has %s: name one with COLUMN=%s", f->path, field->name, expected(field), names,
                     field->name);
}

static bool is_label_only(const column *c) {
    return c->event_index < 0;
}

static weir_status resolve_file(plan *p, file *f, weir_err *err) {
    f->source = zeroed((size_t)p->column_count, sizeof *f->source);
    if (!f->source) return no_memory(err);
    for (int i = 0; i < p->column_count; i++) f->source[i] = find_source(p, f, p->columns[i].field->name);
    bool has_label = p->label >= 0 && f->source[p->label] >= 0;
    p->any_label |= has_label;
    p->own_available |= has_label && p->available >= 0 && f->source[p->available] >= 0;
    for (int i = 0; i < p->column_count; i++) {
        const column *c = &p->columns[i];
        bool needed = i == p->time || (!c->field->nullable && !c->field->has_default);
        if (is_label_only(c) && (!has_label || i == p->available)) needed = false;
        if (needed && f->source[i] < 0) return missing_column(f, c->field, err);
    }
    return WEIR_OK;
}

static weir_status derive_columns(plan *p, file *f, weir_err *err);

static weir_status plan_files(plan *p, const char *const *files, weir_err *err) {
    while (files && files[p->file_count]) p->file_count++;
    if (!p->file_count) return WEIR_FAIL(err, WEIR_EINVAL, "no file to read");
    if (p->file_count > FILES_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "%d files, at most %d are read together", p->file_count, FILES_MAX);
    p->files = zeroed((size_t)p->file_count, sizeof *p->files);
    if (!p->files) {
        p->file_count = 0;
        return no_memory(err);
    }
    weir_status st = WEIR_OK;
    for (int i = 0; !st && i < p->file_count; i++) {
        p->files[i].path = files[i];
        st = open_file(p, &p->files[i], err);
        if (!st) st = derive_columns(p, &p->files[i], err);
        if (!st) st = resolve_file(p, &p->files[i], err);
    }
    for (int i = 0; !st && i < p->pairing_count; i++)
        if (p->pairings[i].by_user && !p->pairings[i].used)
            st = WEIR_FAIL(err, WEIR_EDATA, "no file has a column '%s', which is to be '%s'", p->pairings[i].from, p->pairings[i].to);
    return st;
}

/* ---- conversion ---- */

/* ---- derived columns ----
 *
 * The reader of a file with columns "Day" (mapped to time), "Close" and "note", and {"close_time": E} becomes
 *     (SELECT raw0 AS "Day", raw1 AS "Close", raw2 AS "note", "close_time" FROM
 *         (SELECT *, (E) AS "close_time" FROM
 *             (SELECT "Day" AS raw0, …, make_timestamp(to_time(raw0)) AS "time", to_number("Close") AS "close", "note" FROM read_csv(…))))
 * so that expressions see columns of the schemas with their types, others as the file has them, and what comes out is the file with a column more. */

static bool is_wanted(plan *p, const file *f, const derivation *d) {
    return d->by_user || find_source(p, f, d->to) < 0;
}

static void add_typed(weir_sql *sql, const weir_schema_field *field, const file_column *from) {
    weir_sql_add(sql, field->is_timestamp ? ", make_timestamp(to_%d_%d(" : ", to_%d_%d(", weir_target_of(field), from->stored);
    weir_sql_name(sql, from->name);
    weir_sql_add(sql, field->is_timestamp ? ")) AS " : ") AS ");
    weir_sql_name(sql, field->name);
}

/* The innermost SELECT. Two columns of one name (an event's and a label's of different types) are one here: the event's. */
static void add_typed_columns(weir_sql *sql, plan *p, const file *f) {
    weir_sql_add(sql, "(SELECT ");
    for (int i = 0; i < f->column_count; i++) {
        weir_sql_add(sql, i ? ", " : "");
        weir_sql_name(sql, f->columns[i].name);
        weir_sql_add(sql, " AS weir_raw_%d", i);
    }
    for (int c = 0; c < p->column_count; c++) {
        const char *name = p->columns[c].field->name;
        int at = plan_name(p, name) == name ? find_source(p, f, name) : -1;
        if (at >= 0) add_typed(sql, p->columns[c].field, &f->columns[at]);
    }
    for (int i = 0; i < f->column_count; i++) {
        if (plan_name(p, f->columns[i].name)) continue;
        weir_sql_add(sql, ", ");
        weir_sql_name(sql, f->columns[i].name);
    }
    weir_sql_add(sql, " FROM %s)", f->reader.text.data);
}

/* One expression around what is there so far; a column that is there already is replaced. */
static weir_status wrap(plan *p, const file *f, const derivation *d, weir_sql *sql, weir_err *err) {
    weir_sql outer = {0};
    bool there = find_source(p, f, d->to) >= 0;
    weir_sql_add(&outer, there ? "(SELECT * REPLACE ((%s) AS " : "(SELECT *, (%s) AS ", d->expression);
    weir_sql_name(&outer, d->to);
    weir_sql_add(&outer, there ? ") FROM %s)" : " FROM %s)", sql->text.data ? sql->text.data : "");
    weir_sql_done(sql);
    *sql = outer;
    return weir_sql_end(sql, err);
}

static void add_outermost(weir_sql *outer, plan *p, const file *f, const weir_sql *inner) {
    weir_sql_add(outer, "(SELECT ");
    const char *comma = "";
    for (int i = 0; i < f->column_count; i++) {
        bool replaced = false;
        for (int k = 0; k < p->derivation_count; k++) replaced |= p->derivations[k].by_user && !strcasecmp(p->derivations[k].to, f->columns[i].name);
        if (replaced) continue;
        weir_sql_add(outer, "%sweir_raw_%d AS ", comma, i);
        weir_sql_name(outer, f->columns[i].name);
        comma = ", ";
    }
    for (int k = 0; k < p->derivation_count; k++) {
        if (!is_wanted(p, f, &p->derivations[k])) continue;
        weir_sql_add(outer, "%s", comma);
        weir_sql_name(outer, p->derivations[k].to);
        comma = ", ";
    }
    weir_sql_add(outer, " FROM %s)", inner->text.data);
}

static void forget_columns(file *f) {
    for (int i = 0; i < f->column_count; i++) weir_mem.realloc(f->columns[i].name, 0);
    weir_mem.realloc(f->columns, 0);
    f->columns = NULL;
    f->column_count = 0;
}

/* Does the expression hold for this file? DuckDB says so while it plans the query; no row is read. */
static weir_status try_derivation(const plan *p, const file *f, const derivation *d, const weir_sql *reader, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(&sql, "DESCRIBE SELECT * FROM %s", reader->text.data);
    weir_status st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_exec(p->duck, sql.text.data, err);
    weir_sql_done(&sql);
    return st ? weir_err_prefix(err, "%s has no column '%s', and it cannot be computed as %s", f->path, d->to, d->expression) : WEIR_OK;
}

static weir_status derive_columns(plan *p, file *f, weir_err *err) {
    bool any = false;
    for (int k = 0; k < p->derivation_count; k++) any |= is_wanted(p, f, &p->derivations[k]);
    if (!any) return WEIR_OK;
    weir_sql inner = {0}, outer = {0};
    add_typed_columns(&inner, p, f);
    weir_status st = weir_sql_end(&inner, err);
    for (int k = 0; !st && k < p->derivation_count; k++) {
        const derivation *d = &p->derivations[k];
        if (!is_wanted(p, f, d)) continue;
        st = wrap(p, f, d, &inner, err);
        if (!st) st = try_derivation(p, f, d, &inner, err);
    }
    if (!st) {
        add_outermost(&outer, p, f, &inner);
        st = weir_sql_end(&outer, err);
    }
    weir_sql_done(&inner);
    if (st) {
        weir_sql_done(&outer);
        return st;
    }
    weir_sql_done(&f->reader);
    f->reader = outer;
    forget_columns(f);
    st = describe(p, f, err);
    return st ? weir_err_prefix(err, "%s", f->path) : WEIR_OK;
}

static void add_datum(weir_sql *sql, const weir_datum *d) {
    switch ((weir_type)d->type) {
    case WEIR_T_NULL: weir_sql_add(sql, "NULL"); break;
    case WEIR_T_BOOL: weir_sql_add(sql, d->i ? "true" : "false"); break;
    case WEIR_T_I64: weir_sql_add(sql, "%lld", (long long)d->i); break;
    case WEIR_T_F64: weir_sql_add(sql, "'%.17g'", d->f); break; /* quoted, so that nan and inf are values too */
    case WEIR_T_STR: weir_sql_literal(sql, d->p, d->len); break;
    case WEIR_T_BYTES:
        weir_sql_add(sql, "unhex('");
        for (uint32_t i = 0; i < d->len; i++) weir_sql_add(sql, "%02X", (unsigned char)d->p[i]);
        weir_sql_add(sql, "')");
        break;
    }
}

/* What stands for a missing value; a missing label stays unknown. */
static void add_fallback(weir_sql *sql, const plan *p, int i) {
    const weir_schema_field *field = p->columns[i].field;
    weir_datum null = weir_null();
    weir_sql_add(sql, "CAST(");
    add_datum(sql, field->has_default && i != p->label ? &field->fallback : &null);
    weir_sql_add(sql, " AS %s)", weir_sql_type(field->type));
}

static bool is_required(const plan *p, int i) {
    const weir_schema_field *field = p->columns[i].field;
    return i == p->time || (i != p->label && i != p->available && !field->nullable && !field->has_default);
}

/* Of a file: r3 is its column for column 3 as it is, v3 is converted.
 *     (SELECT *, to_4_0(r0) AS v0, … FROM (SELECT "A" AS r0, … FROM read_csv('…'))) */
static void add_from_file(weir_sql *sql, const plan *p, const file *f) {
    weir_sql_add(sql, "(SELECT *");
    for (int i = 0; i < p->column_count; i++)
        if (f->source[i] >= 0) weir_sql_add(sql, ", to_%d_%d(r%d) AS v%d", weir_target_of(p->columns[i].field), f->columns[f->source[i]].stored, i, i);
    weir_sql_add(sql, " FROM (SELECT ");
    const char *comma = "";
    for (int i = 0; i < p->column_count; i++) {
        if (f->source[i] < 0) continue;
        weir_sql_add(sql, "%s", comma);
        weir_sql_name(sql, f->columns[f->source[i]].name);
        weir_sql_add(sql, " AS r%d", i);
        comma = ", ";
    }
    weir_sql_add(sql, " FROM %s))", f->reader.text.data);
}

/* Is the value of a column that the file has unusable? A column that only labels have may be null where the label is. */
static void add_is_bad(weir_sql *sql, const plan *p, int i) {
    weir_sql_add(sql, "(r%d IS NOT NULL AND v%d IS NULL", i, i);
    if (is_required(p, i)) weir_sql_add(sql, " OR r%d IS NULL", i);
    if (is_required(p, i) && is_label_only(&p->columns[i])) weir_sql_add(sql, " AND r%d IS NOT NULL", p->label);
    weir_sql_add(sql, ")");
}

static void add_value(weir_sql *sql, const plan *p, const file *f, int i) {
    if (i == p->available) { /* computed for every row; the file's own word wins */
        weir_sql_add(sql, f->source[i] >= 0 ? "coalesce(CASE WHEN " : "");
        if (f->source[i] >= 0) {
            add_is_bad(sql, p, i);
            weir_sql_add(sql, " THEN error('bad value') ELSE v%d END, ", i);
        }
        weir_sql_add(sql, "v%d + %lld%s", p->time, (long long)p->pipeline->max_delay_us, f->source[i] >= 0 ? ")" : "");
    } else if (f->source[i] < 0) {
        add_fallback(sql, p, i);
    } else {
        weir_sql_add(sql, "CASE WHEN ");
        add_is_bad(sql, p, i);
        weir_sql_add(sql, " THEN error('bad value') ELSE coalesce(v%d, ", i);
        add_fallback(sql, p, i);
        weir_sql_add(sql, ") END");
    }
}

/* By event time; then tenant, key and the column that joins labels, so that the order of rows in the files does not matter. */
static void add_order(weir_sql *sql, const plan *p) {
    const weir_feed_def *feed = &p->pipeline->events;
    weir_sql_add(sql, "c%d", p->time);
    if (feed->tenant_index >= 0) weir_sql_add(sql, ", c%d", event_column(p, feed->tenant_index));
    for (int i = 0; i < feed->key_count; i++) weir_sql_add(sql, ", c%d", event_column(p, feed->key_index[i]));
    if (p->pipeline->labels.topic && p->pipeline->label_join[0] >= 0) weir_sql_add(sql, ", c%d", event_column(p, p->pipeline->label_join[0]));
}

/* ---- loading ---- */

/* When the load failed: which column of which file, how often, and one of the values. */
static weir_status diagnose(const plan *p, const file *f, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_sql_add(&sql, "SELECT count(*)");
    for (int i = 0; i < p->column_count; i++) {
        if (f->source[i] < 0) continue;
        weir_sql_add(&sql, ", count(*) FILTER (WHERE ");
        add_is_bad(&sql, p, i);
        weir_sql_add(&sql, "), CAST(first(CAST(r%d AS VARCHAR)) FILTER (WHERE ", i);
        add_is_bad(&sql, p, i);
        weir_sql_add(&sql, ") AS VARCHAR)");
    }
    weir_sql_add(&sql, " FROM ");
    add_from_file(&sql, p, f);
    weir_err ignored;
    bool more = false;
    weir_status st = weir_sql_end(&sql, &ignored);
    if (!st) st = weir_duck_query(p->duck, sql.text.data, &cursor, &ignored);
    if (!st) st = weir_duck_next(cursor, &more, &ignored);
    weir_status found = WEIR_OK;
    for (int i = 0, at = 1; !st && more && !found && i < p->column_count; i++) {
        if (f->source[i] < 0) continue;
        weir_datum bad = weir_duck_get(cursor, at), value = weir_duck_get(cursor, at + 1);
        at += 2;
        if (!bad.i) continue;
        bool null = value.type == WEIR_T_NULL;
        int shown = value.len > 80 ? 80 : (int)value.len;
        found = WEIR_FAIL(err, WEIR_EDATA, "%s: column %s (for '%s'): %lld of %lld rows hold what cannot be used, such as %s%.*s%s; expected %s", f->path,
                          f->columns[f->source[i]].name, p->columns[i].field->name, (long long)bad.i, (long long)weir_duck_get(cursor, 0).i,
                          null ? "no value" : "'", null ? 0 : shown, null ? "" : value.p, null ? "" : "'", expected(p->columns[i].field));
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return found;
}

static weir_status load_table(const plan *p, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(&sql, "CREATE TABLE records AS SELECT * FROM (");
    for (int k = 0; k < p->file_count; k++) {
        weir_sql_add(&sql, k ? " UNION ALL SELECT " : "SELECT ");
        for (int i = 0; i < p->column_count; i++) {
            if (i) weir_sql_add(&sql, ", ");
            add_value(&sql, p, &p->files[k], i);
            weir_sql_add(&sql, " AS c%d", i);
        }
        weir_sql_add(&sql, " FROM ");
        add_from_file(&sql, p, &p->files[k]);
    }
    weir_sql_add(&sql, ") ORDER BY ");
    add_order(&sql, p);
    weir_status st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_exec(p->duck, sql.text.data, err);
    weir_sql_done(&sql);
    if (st != WEIR_EDATA) return st;
    for (int k = 0; k < p->file_count; k++) {
        weir_status found = diagnose(p, &p->files[k], err);
        if (found) return found;
    }
    return st;
}

static weir_status measure(const plan *p, weir_records *records, weir_err *err) {
    char sql[128];
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    snprintf(sql, sizeof sql, "SELECT count(*), min(c%d), max(c%d) FROM records", p->time, p->time);
    weir_status st = weir_duck_query(p->duck, sql, &cursor, err);
    if (!st) st = weir_duck_next(cursor, &more, err);
    if (!st && more) {
        records->event_count = weir_duck_get(cursor, 0).i;
        if (records->event_count) records->first_us = weir_duck_get(cursor, 1).i, records->last_us = weir_duck_get(cursor, 2).i;
    }
    weir_duck_cursor_free(cursor);
    return st;
}

/* ---- the streams ---- */

static weir_status stream_init(const plan *p, bool labels, stream *s, weir_err *err) {
    const weir_feed_def *feed = labels ? &p->pipeline->labels : &p->pipeline->events;
    s->count = weir_schema_field_count(feed->schema);
    s->row = zeroed((size_t)s->count, sizeof *s->row);
    if (!s->row) return no_memory(err);
    weir_sql sql = {0};
    weir_sql_add(&sql, "SELECT ");
    for (int k = 0; k < s->count; k++) {
        int at = -1;
        for (int i = 0; at < 0 && i < p->column_count; i++)
            if ((labels ? p->columns[i].label_index : p->columns[i].event_index) == k) at = i;
        weir_sql_add(&sql, "c%d, ", at);
    }
    char at[64];
    if (!labels)
        snprintf(at, sizeof at, "c%d", p->time);
    else if (p->available >= 0)
        snprintf(at, sizeof at, "c%d", p->available);
    else
        snprintf(at, sizeof at, "c%d + %lld", p->time, (long long)p->pipeline->max_delay_us);
    weir_sql_add(&sql, "%s AS known_at FROM records", at);
    if (labels) weir_sql_add(&sql, " WHERE c%d IS NOT NULL", p->label);
    if (labels && p->own_available) { /* the table is in another order than theirs */
        weir_sql_add(&sql, " ORDER BY known_at, ");
        add_order(&sql, p);
    }
    weir_status st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_query(p->duck, sql.text.data, &s->cursor, err);
    weir_sql_done(&sql);
    if (!st) s->emitted = true; /* so that the first look fetches */
    return st;
}

static weir_status stream_look(stream *s, weir_err *err) {
    if (!s->cursor || !s->emitted) return WEIR_OK;
    int64_t before = s->at_us;
    bool first = !s->has_row; /* before the first row, or past the last */
    weir_status st = weir_duck_next(s->cursor, &s->has_row, err);
    if (st) return st;
    if (!s->has_row) return WEIR_OK; /* stays `emitted`: asked again, the cursor says again that it has ended */
    s->emitted = false;
    for (int i = 0; i < s->count; i++) s->row[i] = weir_duck_get(s->cursor, i);
    s->at_us = weir_duck_get(s->cursor, s->count).i;
    if (!first && s->at_us < before) return WEIR_FAIL(err, WEIR_EINTERNAL, "sorted rows came out of order");
    return WEIR_OK;
}

/* A label that is due before (or at the same time as) the next event goes first: what is known at t counts for an event at t. */
static weir_status source_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    source *src = context;
    weir_status st = stream_look(&src->events, err);
    if (!st) st = stream_look(&src->labels, err);
    if (st) return st;
    stream *e = &src->events, *l = &src->labels;
    *ret_more = e->has_row || l->has_row;
    if (!*ret_more) return WEIR_OK;
    bool label = l->has_row && (!e->has_row || l->at_us <= e->at_us);
    stream *s = label ? l : e;
    s->emitted = true;
    *ret_record = (weir_record){.feed = label ? WEIR_FROM_LABELS : WEIR_FROM_EVENTS, .at_us = s->at_us, .row = s->row};
    return WEIR_OK;
}

static void source_done(void *context) {
    source *src = context;
    if (!src) return;
    weir_duck_cursor_free(src->events.cursor);
    weir_duck_cursor_free(src->labels.cursor);
    weir_mem.realloc(src->events.row, 0);
    weir_mem.realloc(src->labels.row, 0);
    weir_duck_free(src->duck);
    weir_mem.realloc(src, 0);
}

static const weir_records_ops source_ops = {.next = source_next, .done = source_done};

static void plan_free(plan *p) {
    if (!p) return;
    for (int k = 0; k < p->file_count; k++) {
        file *f = &p->files[k];
        forget_columns(f);
        weir_mem.realloc(f->source, 0);
        weir_sql_done(&f->reader);
    }
    for (int i = 0; i < p->pairing_count; i++) weir_mem.realloc(p->pairings[i].from, 0);
    weir_mem.realloc(p->pairings, 0);
    weir_mem.realloc(p->derivations, 0);
    weir_mem.realloc(p->files, 0);
    weir_mem.realloc(p, 0);
}

weir_status weir_records_from_files(const weir_pipeline *pipeline, const char *const *files, const char *const *column_map, const char *const *set,
                                    weir_records **ret_records, weir_err *err) {
    return weir_records_from_tables(pipeline, NULL, files, column_map, set, ret_records, err);
}

weir_status weir_records_from_tables(const weir_pipeline *pipeline, const char *pg_url, const char *const *files, const char *const *column_map,
                                     const char *const *set, weir_records **ret_records, weir_err *err) {
    plan *p = zeroed(1, sizeof *p);
    source *src = zeroed(1, sizeof *src);
    weir_records *records = zeroed(1, sizeof *records);
    weir_status st = p && src && records ? WEIR_OK : no_memory(err);
    if (!st) st = weir_duck_new(&src->duck, err);
    if (!st) {
        p->pipeline = pipeline;
        p->pg_url = pg_url;
        p->duck = src->duck;
        st = weir_convert_setup(p->duck, err);
    }
    if (!st) st = plan_columns(p, err);
    if (!st) st = plan_pairings(p, column_map, err);
    if (!st) st = plan_derivations(p, set, err);
    if (!st) st = plan_files(p, files, err);
    if (!st) st = load_table(p, err);
    if (!st) st = measure(p, records, err);
    if (!st) st = stream_init(p, false, &src->events, err);
    if (!st && p->any_label) st = stream_init(p, true, &src->labels, err);
    plan_free(p);
    if (st) {
        source_done(src);
        weir_mem.realloc(records, 0);
        return st;
    }
    records->ops = &source_ops;
    records->context = src;
    *ret_records = records;
    return WEIR_OK;
}
