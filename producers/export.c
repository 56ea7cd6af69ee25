/* Records to a file. Events and labels go into a table each (which spill to disk), are joined again as the pipeline says, and are written in order of event time. */
#include "producers/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/duck.h"

typedef struct export {
    const weir_pipeline *pipeline;
    weir_duck *duck;
    weir_duck_appender *tables[2]; /* by weir_feed */
    int counts[2]; /* columns */
    int64_t events;
}
export;

static const char *const table_names[2] = {[WEIR_FROM_EVENTS] = "events", [WEIR_FROM_LABELS] = "labels"};

static const weir_feed_def *feed_of(const export *x, int feed) {
    return feed == WEIR_FROM_EVENTS ? &x->pipeline->events : &x->pipeline->labels;
}

static weir_status open_table(export *x, int which, weir_err *err) {
    const weir_schema *schema = feed_of(x, which)->schema;
    weir_sql sql = {0};
    x->counts[which] = weir_schema_field_count(schema);
    weir_sql_add(&sql, "CREATE TABLE %s (", table_names[which]);
    for (int i = 0; i < x->counts[which]; i++) {
        const weir_schema_field *field = weir_schema_field_at(schema, i);
        weir_sql_add(&sql, i ? ", " : "");
        weir_sql_name(&sql, field->name);
        weir_sql_add(&sql, " %s", field->is_timestamp ? "TIMESTAMP" : weir_sql_type(field->type));
    }
    weir_sql_add(&sql, ")");
    weir_status st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_exec(x->duck, sql.text.data, err);
    if (!st) st = weir_duck_append_to(x->duck, table_names[which], &x->tables[which], err);
    weir_sql_done(&sql);
    return st;
}

static weir_status fill_tables(export *x, weir_records *records, weir_err *err) {
    weir_record record;
    bool more = true;
    weir_status st = WEIR_OK;
    while (!st && !(st = weir_records_next(records, &record, &more, err)) && more) {
        x->events += record.feed == WEIR_FROM_EVENTS;
        st = weir_duck_append(x->tables[record.feed], record.row, x->counts[record.feed], err);
    }
    for (int which = 0; which < 2; which++) {
        weir_err late;
        weir_status ended = x->tables[which] ? weir_duck_append_end(x->tables[which], st ? &late : err) : WEIR_OK;
        x->tables[which] = NULL;
        if (!st) st = ended;
    }
    return st;
}

static void add_column(weir_sql *sql, char table, const weir_feed_def *feed, int index) {
    weir_sql_add(sql, "%c.", table);
    weir_sql_name(sql, weir_schema_field_at(feed->schema, index)->name);
}

/* COPY (SELECT e.*, the columns that only labels have FROM events e LEFT JOIN labels l …) TO … */
static void add_copy(weir_sql *sql, const export *x, const char *path, const char *final_path) {
    const weir_feed_def *events = &x->pipeline->events, *labels = &x->pipeline->labels;
    weir_sql_add(sql, "COPY (SELECT e.*");
    for (int i = 0; labels->topic && i < x->counts[WEIR_FROM_LABELS]; i++) {
        if (weir_schema_find(events->schema, weir_schema_field_at(labels->schema, i)->name) >= 0) continue;
        weir_sql_add(sql, ", ");
        add_column(sql, 'l', labels, i);
    }
    weir_sql_add(sql, " FROM events e");
    if (labels->topic) {
        weir_sql_add(sql, " LEFT JOIN labels l ON ");
        add_column(sql, 'e', events, x->pipeline->label_join[0]);
        weir_sql_add(sql, " = ");
        add_column(sql, 'l', labels, x->pipeline->label_join[1]);
        if (events->tenant_index >= 0 && labels->tenant_index >= 0) {
            weir_sql_add(sql, " AND ");
            add_column(sql, 'e', events, events->tenant_index);
            weir_sql_add(sql, " = ");
            add_column(sql, 'l', labels, labels->tenant_index);
        }
    }
    weir_sql_add(sql, " ORDER BY ");
    add_column(sql, 'e', events, events->time_index);
    weir_sql_add(sql, ", e.rowid) TO ");
    weir_sql_literal(sql, path, strlen(path));
    weir_sql_add(sql, " (");
    weir_sql_copy_options(sql, final_path);
    weir_sql_add(sql, ")");
}

static weir_status write_file(const export *x, const char *path, weir_err *err) {
    weir_buf part = {0};
    weir_sql sql = {0};
    weir_status st = weir_buf_printf(&part, "%s.part", path) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a path");
    if (!st) {
        add_copy(&sql, x, part.data, path);
        st = weir_sql_end(&sql, err);
    }
    if (!st) st = weir_duck_exec(x->duck, sql.text.data, err);
    if (!st && rename(part.data, path)) st = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", path, strerror(errno));
    if (st && part.data) (void)remove(part.data);
    weir_sql_done(&sql);
    weir_buf_done(&part);
    return st;
}

weir_status weir_records_to_file(const weir_pipeline *pipeline, weir_records *records, const char *path, int64_t *ret_events, weir_err *err) {
    if (weir_file_format_of(path) == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, path);
    export x = {.pipeline = pipeline};
    weir_status st = weir_duck_new(&x.duck, err);
    if (!st) st = open_table(&x, WEIR_FROM_EVENTS, err);
    if (!st && pipeline->labels.topic) st = open_table(&x, WEIR_FROM_LABELS, err);
    if (st) {
        weir_err late;
        for (int which = 0; which < 2; which++)
            if (x.tables[which]) (void)!weir_duck_append_end(x.tables[which], &late);
    } else {
        st = fill_tables(&x, records, err);
    }
    if (!st) st = write_file(&x, path, err);
    if (!st) *ret_events = x.events;
    weir_duck_free(x.duck);
    return st;
}
