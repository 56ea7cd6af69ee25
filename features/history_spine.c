/* The spine of a retrieval: a table with a row for each label, in the order of the labels. Beside what it shows it has the columns SPINE_…, by which views are joined.
 *
 * Labels come from a file or a table of the user's; without them the events are the spine, each with its label as far as it was known. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/convert.h"
#include "features/history_internal.h"
#include "features/pg_table.h"

enum { LABEL_COLUMNS_MAX = 2048 };

/* --- the labels of the user --- */

typedef struct label_column {
    char *name;
    weir_stored stored;
} label_column;

typedef struct labels {
    history_reader *r;
    weir_sql reader; /* what follows FROM */
    label_column columns[LABEL_COLUMNS_MAX];
    int count;
    int tenant, time; /* columns; -1: none */
    int key[WEIR_VIEWS_MAX][WEIR_KEY_COLUMNS_MAX];
} labels;

static weir_status describe(labels *l, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_sql_add(&sql, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM %s)", l->reader.text.data ? l->reader.text.data : "");
    weir_status status = weir_sql_end(&l->reader, err);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(l->r->duck, sql.text.data, &cursor, err);
    bool more = false;
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        if (l->count == LABEL_COLUMNS_MAX) status = WEIR_FAIL(err, WEIR_ELIMIT, "%s has more than %d columns", l->r->query->labels, LABEL_COLUMNS_MAX);
        if (status) break;
        weir_datum name = weir_duck_get(cursor, 0), type = weir_duck_get(cursor, 1);
        char *copy = strndup(name.p, name.len);
        if (!copy) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the columns of the labels");
        if (copy) l->columns[l->count++] = (label_column){copy, weir_stored_of(type.p, type.len)};
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

static int find(const labels *l, const char *name) {
    for (int i = 0; i < l->count; i++)
        if (!strcasecmp(l->columns[i].name, name)) return i;
    return -1;
}

/* The column of that name, else one that the pipeline's aliases call so. */
static int find_aliased(const labels *l, const char *name) {
    int at = find(l, name);
    const cJSON *aliases = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(l->r->pipeline->json, "source"), "aliases"), *alias;
    cJSON_ArrayForEach(alias, aliases) {
        if (at < 0 && cJSON_IsString(alias) && !strcmp(alias->valuestring, name)) at = find(l, alias->string);
    }
    return at;
}

static weir_status missing(const labels *l, const char *name, const char *what, weir_err *err) {
    char names[300] = "";
    size_t n = 0;
    for (int i = 0; i < l->count && n < sizeof names - 1; i++) n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", l->columns[i].name);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s has no column '%s' (%s); it has %s", l->r->query->labels, name, what, names);
}

static weir_status find_time(labels *l, weir_err *err) {
    const weir_feed_def *events = &l->r->pipeline->events;
    const char *own = weir_schema_field_at(events->schema, events->time_index)->name, *asked = l->r->query->time_column;
    const char *const usual[] = {own, "event_time", "event_timestamp", "time", NULL};
    l->time = asked ? find(l, asked) : -1;
    for (int i = 0; !asked && l->time < 0 && usual[i]; i++) l->time = find_aliased(l, usual[i]);
    return l->time < 0 ? missing(l, asked ? asked : own, "the time as of which features are asked for; --time names another", err) : WEIR_OK;
}

static weir_status find_keys(labels *l, weir_err *err) {
    const history_reader *r = l->r;
    const weir_feed_def *events = &r->pipeline->events;
    const char *tenant = events->tenant_index < 0 ? NULL : weir_schema_field_at(events->schema, events->tenant_index)->name;
    l->tenant = tenant ? find_aliased(l, tenant) : -1;
    if (tenant && l->tenant < 0 && !r->query->tenant) return missing(l, tenant, "the tenant; --tenant gives one for all rows", err);
    for (int v = 0; v < r->view_count; v++) {
        const weir_view_def *def = r->views[v].def;
        for (int i = 0; i < def->entity_count; i++) {
            l->key[v][i] = find_aliased(l, def->entity[i]);
            if (l->key[v][i] < 0) return missing(l, def->entity[i], "of the entity of a view that is asked for", err);
        }
    }
    return WEIR_OK;
}

/* What CSV says is read as it stands where it is a key or a time, so that an id "007" stays what it is. */
static void read_as_text(labels *l) {
    bool text[LABEL_COLUMNS_MAX] = {0};
    const char *comma = "";
    text[l->time] = true;
    if (l->tenant >= 0) text[l->tenant] = true;
    for (int v = 0; v < l->r->view_count; v++)
        for (int i = 0; i < l->r->views[v].def->entity_count; i++) text[l->key[v][i]] = true;
    weir_sql_done(&l->reader);
    l->reader = (weir_sql){0};
    weir_sql_add(&l->reader, "read_csv(");
    weir_sql_literal(&l->reader, l->r->query->labels, strlen(l->r->query->labels));
    weir_sql_add(&l->reader, ", header=true, sample_size=-1, types={");
    for (int i = 0; i < l->count; i++) {
        if (!text[i]) continue;
        weir_sql_add(&l->reader, "%s", comma);
        weir_sql_literal(&l->reader, l->columns[i].name, strlen(l->columns[i].name));
        weir_sql_add(&l->reader, ": 'VARCHAR'");
        l->columns[i].stored = WEIR_STORED_TEXT;
        comma = ", ";
    }
    weir_sql_add(&l->reader, "})");
}

static void put_converted(weir_sql *sql, const labels *l, int column, weir_target target) {
    weir_sql_add(sql, "to_%d_%d(", target, l->columns[column].stored);
    weir_sql_name(sql, l->columns[column].name);
    weir_sql_add(sql, ")");
}

static void put_tenant(weir_sql *sql, const labels *l) {
    const history_reader *r = l->r;
    const char *tenant = r->pipeline->events.tenant_index < 0 ? r->pipeline->events.tenant : r->query->tenant;
    if (l->tenant >= 0)
        put_converted(sql, l, l->tenant, WEIR_TARGET_TEXT);
    else
        weir_sql_literal(sql, tenant, strlen(tenant));
}

/* tenant/entity, the entity's columns joined with '|', whole numbers in decimal: as weir_key_make. */
static void put_key(weir_sql *sql, const labels *l, int view) {
    const weir_view_def *def = l->r->views[view].def;
    const weir_schema *schema = (def->from == WEIR_FROM_EVENTS ? &l->r->pipeline->events : &l->r->pipeline->labels)->schema;
    put_tenant(sql, l);
    for (int i = 0; i < def->entity_count; i++) {
        bool whole = weir_schema_field_at(schema, weir_schema_find(schema, def->entity[i]))->type == WEIR_T_I64;
        weir_sql_add(sql, " || '%c' || CAST(", i ? '|' : '/');
        put_converted(sql, l, l->key[view][i], whole ? WEIR_TARGET_WHOLE : WEIR_TARGET_TEXT);
        weir_sql_add(sql, " AS VARCHAR)");
    }
}

static weir_status create_from_labels(labels *l, weir_err *err) {
    history_reader *r = l->r;
    weir_sql sql = {0};
    weir_sql_add(&sql, "CREATE TABLE spine AS SELECT *, ");
    put_converted(&sql, l, l->time, WEIR_TARGET_TIME);
    weir_sql_add(&sql, " AS \"" SPINE_TIME "\", \"" SPINE_TIME "\" AS \"" SPINE_CUTOFF "\", CAST(NULL AS BIGINT) AS \"" SPINE_PARTITION
                       "\", CAST(NULL AS BIGINT) AS \"" SPINE_OFFSET "\"");
    for (int v = 0; v < r->view_count; v++) {
        if (r->views[v].key != v) continue;
        weir_sql_add(&sql, ", ");
        put_key(&sql, l, v);
        weir_sql_add(&sql, " AS \"" SPINE_KEY "\"", v);
    }
    weir_sql_add(&sql, " FROM ");
    sql.failed |= !weir_buf_append(&sql.text, l->reader.text.data, l->reader.text.len);
    weir_sql_add(&sql, " WHERE true");
    if (r->from_us > WEIR_TIME_MIN_US) weir_sql_add(&sql, " AND coalesce(\"" SPINE_TIME "\" >= %" PRId64 ", true)", r->from_us);
    if (r->to_us < WEIR_TIME_MAX_US) weir_sql_add(&sql, " AND coalesce(\"" SPINE_TIME "\" < %" PRId64 ", true)", r->to_us);
    if (r->query->tenant) {
        weir_sql_add(&sql, " AND ");
        put_tenant(&sql, l);
        weir_sql_add(&sql, " = ");
        weir_sql_literal(&sql, r->query->tenant, strlen(r->query->tenant));
    }
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(r->duck, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status show_columns(labels *l, weir_err *err) {
    history_reader *r = l->r;
    for (int i = 0; i < l->count; i++) {
        for (int c = 0; c < r->column_count; c++) {
            if (!strcasecmp(l->columns[i].name, r->columns[c]))
                return WEIR_FAIL(err, WEIR_EINVAL, "%s has a column '%s', and so is a feature called; ask for other features or rename the column",
                                 r->query->labels, l->columns[i].name);
        }
        weir_sql_add(&r->carried, "%ss.", i ? ", " : "");
        weir_sql_name(&r->carried, l->columns[i].name);
    }
    return WEIR_OK;
}

static weir_status open_labels(labels *l, weir_file_format form, weir_err *err) {
    const char *path = l->r->query->labels;
    if (form == WEIR_FILE_UNKNOWN) {
        weir_sql_add(&l->reader, "copied");
        return weir_pg_table_copy(l->r->pg, path, l->r->duck, "copied", err);
    }
    if (access(path, R_OK)) return WEIR_FAIL(err, WEIR_EINVAL, "cannot read %s", path);
    weir_sql_add(&l->reader, form == WEIR_FILE_PARQUET ? "read_parquet(" : form == WEIR_FILE_CSV ? "read_csv(" : "read_json(");
    weir_sql_literal(&l->reader, path, strlen(path));
    weir_sql_add(&l->reader, form == WEIR_FILE_CSV ? ", header=true)" : ")");
    return WEIR_OK;
}

static weir_status spine_of_labels(labels *l, weir_err *err) {
    weir_file_format form = weir_file_format_of(l->r->query->labels);
    weir_status status = weir_convert_setup(l->r->duck, err);
    if (!status) status = open_labels(l, form, err);
    if (!status) status = describe(l, err);
    if (!status) status = find_time(l, err);
    if (!status) status = find_keys(l, err);
    if (status) return status;
    if (form == WEIR_FILE_CSV) read_as_text(l);
    if ((status = weir_sql_end(&l->reader, err)) || (status = show_columns(l, err))) return status;
    return create_from_labels(l, err);
}

/* --- the events --- */

/* Columns of the events that the spine needs. */
typedef struct events {
    history_reader *r;
    weir_wanted wanted[HISTORY_COLUMNS_MAX + WEIR_VIEWS_MAX * WEIR_KEY_COLUMNS_MAX + 1];
    int column[HISTORY_COLUMNS_MAX + WEIR_VIEWS_MAX * WEIR_KEY_COLUMNS_MAX + 1]; /* of the events' schema */
    int count;
    weir_duck_appender *appender;
    weir_datum row[HISTORY_COLUMNS_MAX + WEIR_VIEWS_MAX * WEIR_KEY_COLUMNS_MAX + 8];
} events;

/* Number n of the spine's column cn that holds the events' column. */
static weir_status want(events *e, int column, int *ret_number, weir_err *err) {
    for (*ret_number = 0; *ret_number < e->count; ++*ret_number)
        if (e->column[*ret_number] == column) return WEIR_OK;
    e->column[e->count] = column;
    return weir_wanted_field(weir_schema_field_at(e->r->pipeline->events.schema, column), "record_", &e->wanted[e->count++], err);
}

static weir_status append_event(void *context, const weir_stored_row *row, weir_err *err) {
    events *e = context;
    e->row[0] = weir_str(row->tenant, row->tenant_len);
    e->row[1] = weir_str(row->entity, row->entity_len);
    e->row[2] = weir_i64(row->event_us);
    e->row[3] = weir_i64(row->known_us);
    e->row[4] = weir_i64(row->source.partition);
    e->row[5] = weir_i64(row->source.offset);
    for (int i = 0; i < e->count; i++) e->row[6 + i] = row->values[i];
    return weir_duck_append(e->appender, e->row, 6 + e->count, err);
}

/* Fills table `name` with what a query of the offline store gives. */
static weir_status stage(events *e, const char *name, const weir_rows_query *query, weir_err *err) {
    weir_sql create = {0}, files = {0};
    int64_t rows;
    weir_sql_add(&create, "CREATE TABLE %s (tenant VARCHAR, entity VARCHAR, event_us BIGINT, known_us BIGINT, source_partition BIGINT, source_offset BIGINT",
                 name);
    for (int i = 0; i < query->wanted_count; i++)
        weir_sql_add(&create, ", c%d %s", i, query->wanted[i].is_timestamp ? "BIGINT" : weir_sql_type(query->wanted[i].type));
    weir_sql_add(&create, ")");
    e->count = query->wanted_count;
    weir_status status = weir_sql_end(&create, err), ended;
    if (!status) status = weir_duck_exec(e->r->duck, create.text.data, err);
    if (!status) status = weir_duck_append_to(e->r->duck, name, &e->appender, err);
    if (!status) status = weir_rows_scan_table(e->r->pg, query, append_event, e, err);
    weir_err late;
    if (e->appender && (ended = weir_duck_append_end(e->appender, status ? &late : err)) && !status) status = ended;
    e->appender = NULL;
    if (!status) status = weir_rows_files(e->r->pg, query, &files, &rows, err);
    if (!status && files.text.len) {
        weir_sql insert = {0};
        weir_sql_add(&insert, "INSERT INTO %s SELECT * EXCLUDE (version, place) FROM (", name);
        insert.failed |= !weir_buf_append(&insert.text, files.text.data, files.text.len);
        weir_sql_add(&insert, ")");
        status = weir_sql_end(&insert, err);
        if (!status) status = weir_duck_exec(e->r->duck, insert.text.data, err);
        weir_sql_done(&insert);
    }
    weir_sql_done(&create);
    weir_sql_done(&files);
    return status;
}

static weir_rows_query rows_of(const events *e, const char *table) {
    const history_reader *r = e->r;
    return (weir_rows_query){.pipeline = r->pipeline,
                             .table = table,
                             .objects_dir = r->query->objects_dir,
                             .from_us = r->from_us,
                             .to_us = r->to_us,
                             .as_of_us = r->as_of_us,
                             .tenant = r->query->tenant,
                             .records_only = true};
}

/* What became known of each event last; of a text the place of its class. */
static weir_status make_known_labels(const events *e, weir_err *err) {
    const char *const *classes = e->r->query->label_classes;
    weir_sql sql = {0};
    weir_sql_add(&sql, "CREATE TABLE known_labels AS SELECT tenant, CAST(c0 AS VARCHAR) AS id, ");
    if (classes) weir_sql_add(&sql, "CASE c1");
    for (int i = 0; classes && classes[i]; i++) {
        weir_sql_add(&sql, " WHEN ");
        weir_sql_literal(&sql, classes[i], strlen(classes[i]));
        weir_sql_add(&sql, " THEN %d", i);
    }
    weir_sql_add(&sql,
                 "%s AS label FROM staged_labels QUALIFY row_number() OVER (PARTITION BY tenant, c0 ORDER BY known_us DESC, source_partition DESC, "
                 "source_offset DESC) = 1",
                 classes ? " END" : "c1");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(e->r->duck, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status stage_labels(events *e, weir_err *err) {
    const weir_pipeline *p = e->r->pipeline;
    weir_wanted columns[2];
    weir_rows_query query = rows_of(e, "labels");
    /* A label's own time lies between the event and max_delay after it. */
    query.to_us = query.to_us > WEIR_TIME_MAX_US - p->max_delay_us ? WEIR_TIME_MAX_US : query.to_us + p->max_delay_us;
    query.wanted = columns;
    query.wanted_count = 2;
    weir_status status = weir_wanted_field(weir_schema_field_at(p->labels.schema, p->label_join[1]), "", &columns[0], err);
    if (!status) status = weir_wanted_field(e->r->label, "", &columns[1], err);
    if (!status) status = stage(e, "staged_labels", &query, err);
    return status ? status : make_known_labels(e, err);
}

static weir_status put_event_keys(events *e, weir_sql *sql, weir_err *err) {
    const history_reader *r = e->r;
    const weir_schema *schema = r->pipeline->events.schema;
    for (int v = 0; v < r->view_count; v++) {
        const weir_view_def *def = r->views[v].def;
        if (r->views[v].key != v) continue;
        weir_sql_add(sql, ", e.tenant");
        if (r->views[v].primary) weir_sql_add(sql, " || '/' || e.entity");
        for (int i = 0; !r->views[v].primary && i < def->entity_count; i++) {
            int column = weir_schema_find(schema, def->entity[i]), number;
            if (column < 0)
                return WEIR_FAIL(err, WEIR_EINVAL, "view %s is of %s, which events do not have: it can only be joined to labels that do", def->name,
                                 def->entity[i]);
            weir_status status = want(e, column, &number, err);
            if (status) return status;
            weir_sql_add(sql, " || '%c' || CAST(e.c%d AS VARCHAR)", i ? '|' : '/', number);
        }
        weir_sql_add(sql, " AS \"" SPINE_KEY "\"", v);
    }
    return WEIR_OK;
}

/* Shown of an event: tenant, entity, time, label. */
static weir_status put_event_columns(events *e, weir_sql *sql, weir_err *err) {
    history_reader *r = e->r;
    const weir_pipeline *p = r->pipeline;
    weir_status status = WEIR_OK;
    int number;
    weir_sql_add(&r->carried, "s.tenant");
    for (int i = 0; !status && i < p->events.key_count; i++) {
        status = want(e, p->events.key_index[i], &number, err);
        weir_sql_add(sql, ", e.c%d AS \"weir spine entity %d\"", number, i);
        weir_sql_add(&r->carried, ", s.\"weir spine entity %d\" AS ", i);
        weir_sql_name(&r->carried, p->events.key[i]);
    }
    weir_sql_add(&r->carried, ", make_timestamp(s.\"" SPINE_TIME "\") AS event_time");
    for (int c = 0; !status && c < r->column_count; c++) {
        if (r->cell[c] < 0) continue;
        status = want(e, r->cell[c], &number, err);
        weir_sql_add(sql, ", e.c%d AS \"weir spine cell %d\"", number, c);
    }
    if (!p->labels.topic) return status;
    weir_sql_add(sql, ", l.label AS \"weir spine label\", l.id IS NOT NULL AS \"weir spine labelled\"");
    weir_sql_add(&r->carried, ", s.\"weir spine label\" AS ");
    weir_sql_name(&r->carried, r->label->name);
    return status;
}

static weir_status spine_of_events(events *e, weir_err *err) {
    history_reader *r = e->r;
    const weir_pipeline *p = r->pipeline;
    char table[WEIR_COLUMN_NAME_MAX + 1];
    int join = -1;
    weir_sql sql = {0};
    weir_sql_add(&sql, "CREATE TABLE spine AS SELECT DISTINCT ON (e.event_us, e.source_partition, e.source_offset) e.tenant, e.event_us AS \"" SPINE_TIME
                       "\", e.known_us AS \"" SPINE_CUTOFF "\", e.source_partition AS \"" SPINE_PARTITION "\", e.source_offset AS \"" SPINE_OFFSET "\"");
    weir_status status = put_event_columns(e, &sql, err);
    if (!status) status = put_event_keys(e, &sql, err);
    if (!status && p->labels.topic) status = want(e, p->label_join[0], &join, err);
    weir_sql_add(&sql, " FROM staged e");
    if (join >= 0) weir_sql_add(&sql, " LEFT JOIN known_labels l ON l.tenant = e.tenant AND l.id = CAST(e.c%d AS VARCHAR)", join);
    weir_sql_add(&sql, " ORDER BY e.event_us, e.source_partition, e.source_offset");
    snprintf(table, sizeof table, "features_%s", p->views[p->primary_view].name);
    weir_rows_query query = rows_of(e, table);
    query.wanted = e->wanted;
    query.wanted_count = e->count;
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = stage(e, "staged", &query, err);
    if (!status && join >= 0) status = stage_labels(e, err);
    if (!status) status = weir_duck_exec(r->duck, sql.text.data, err);
    if (!status) status = weir_duck_exec(r->duck, "DROP TABLE staged; DROP TABLE IF EXISTS staged_labels; DROP TABLE IF EXISTS known_labels", err);
    weir_sql_done(&sql);
    return status;
}

/* --- both --- */

static weir_status measure(history_reader *r, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    bool more;
    weir_status status = weir_duck_query(r->duck,
                                         "SELECT count(*), count(*) - count(\"" SPINE_TIME "\"), min(\"" SPINE_TIME "\"), max(\"" SPINE_TIME
                                         "\"), max(\"" SPINE_CUTOFF "\") FROM spine",
                                         &cursor, err);
    if (!status) status = weir_duck_next(cursor, &more, err);
    if (!status) {
        int64_t timeless = weir_duck_get(cursor, 1).i;
        r->row_count = weir_duck_get(cursor, 0).i;
        r->first_us = weir_duck_get(cursor, 2).i;
        r->last_us = weir_duck_get(cursor, 3).i;
        r->cutoff_us = weir_duck_get(cursor, 4).i;
        if (timeless)
            status =
                WEIR_FAIL(err, WEIR_EDATA, "%s: %" PRId64 " rows have no time, or one that is not ISO 8601 or a number since 1970", r->query->labels, timeless);
    }
    weir_duck_cursor_free(cursor);
    if (!status && r->row_count && (r->first_us < WEIR_TIME_MIN_US || r->last_us > WEIR_TIME_MAX_US))
        status = WEIR_FAIL(err, WEIR_EDATA, "%s has times outside the years 1 to 9999", r->query->labels);
    return status;
}

weir_status history_spine(history_reader *r, weir_err *err) {
    weir_status status;
    if (r->query->labels) {
        labels *l = calloc(1, sizeof *l);
        if (!l) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the labels");
        l->r = r;
        status = spine_of_labels(l, err);
        for (int i = 0; i < l->count; i++) free(l->columns[i].name);
        weir_sql_done(&l->reader);
        free(l);
    } else {
        events *e = calloc(1, sizeof *e);
        if (!e) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the events");
        e->r = r;
        status = spine_of_events(e, err);
        free(e);
    }
    return status ? status : measure(r, err);
}
