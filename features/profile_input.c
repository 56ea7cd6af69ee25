/* Where the rows of a profile come from: a data file, or the offline store of a pipeline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/convert.h"
#include "features/profile.h"
#include "features/rows.h"

struct weir_profile_input {
    weir_profile_source source;
    weir_profile_field *fields;
    int field_count;
    weir_datum *row; /* [field_count] */
    weir_duck *duck;
    weir_sql select; /* file: all rows */
    /* store: */
    weir_pg *pg;
    weir_rows_query query;
    char *table;
    weir_wanted *wanted; /* [field_count - 2], behind entity and event time */
    char *entity; /* scratch: tenant/entity */
    size_t entity_size;
    weir_profile_row_fn on_row; /* while it scans */
    void *row_context;
};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the rows to be profiled");
}

static weir_status add_field(weir_profile_input *in, const char *name, size_t len, weir_profile_type type, weir_err *err) {
    if (in->field_count == WEIR_PROFILE_COLUMNS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "more than %d columns; say which", WEIR_PROFILE_COLUMNS_MAX);
    char *copy = weir_mem.realloc(NULL, len + 1);
    if (!copy) return no_memory(err);
    memcpy(copy, name, len);
    copy[len] = 0;
    in->fields[in->field_count++] = (weir_profile_field){copy, type};
    return WEIR_OK;
}

static int find_field(const weir_profile_input *in, const char *name) {
    for (int i = 0; i < in->field_count; i++) {
        if (!strcasecmp(in->fields[i].name, name)) return i;
    }
    return -1;
}

static weir_status need_field(const weir_profile_input *in, const char *name, int *ret_field, weir_err *err) {
    const char *names[WEIR_PROFILE_COLUMNS_MAX + 1];
    if ((*ret_field = find_field(in, name)) >= 0) return WEIR_OK;
    for (int i = 0; i < in->field_count; i++) names[i] = in->fields[i].name;
    names[in->field_count] = NULL;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no column \"%s\"%s%s%s", name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static bool is_asked(const weir_profile_query *q, const char *name, size_t len) {
    for (int i = 0; q->columns && q->columns[i]; i++) {
        if (strlen(q->columns[i]) == len && !strncasecmp(q->columns[i], name, len)) return true;
    }
    return !q->columns || !*q->columns;
}

static weir_status open_input(weir_profile_input **ret_input, weir_err *err) {
    weir_profile_input *in = weir_mem.realloc(NULL, sizeof(*in));
    if (!in) return no_memory(err);
    *in = (weir_profile_input){0};
    in->fields = weir_mem.realloc(NULL, WEIR_PROFILE_COLUMNS_MAX * sizeof(*in->fields));
    in->row = weir_mem.realloc(NULL, WEIR_PROFILE_COLUMNS_MAX * sizeof(*in->row));
    if (in->fields && in->row) {
        *ret_input = in;
        return WEIR_OK;
    }
    weir_profile_input_free(in);
    return no_memory(err);
}

void weir_profile_input_free(weir_profile_input *in) {
    if (!in) return;
    for (int i = 0; i < in->field_count; i++) free(in->fields[i].name);
    free(in->fields);
    free(in->row);
    weir_sql_done(&in->select);
    weir_duck_free(in->duck);
    if (in->pg) weir_pg_rollback(in->pg);
    weir_pg_free(in->pg);
    free(in->table);
    free(in->wanted);
    free(in->entity);
    free(in);
}

const weir_profile_source *weir_profile_input_source(const weir_profile_input *in) {
    return &in->source;
}

void weir_profile_input_set_progress(weir_profile_input *in, void (*progress)(void *context, const char *step, int64_t rows), void *context) {
    in->source.progress = progress;
    in->source.progress_context = context;
}

static void finish(weir_profile_input *in, int time, int entity, weir_status (*scan)(void *, weir_profile_row_fn, void *, weir_err *)) {
    in->source.fields = in->fields;
    in->source.field_count = in->field_count;
    in->source.time = time;
    in->source.entity = entity;
    in->source.scan = scan;
    in->source.context = in;
}

/* --- a file --- */

static weir_status scan_file(void *context, weir_profile_row_fn on_row, void *row_context, weir_err *err) {
    weir_profile_input *in = context;
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_status status = weir_duck_query(in->duck, in->select.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        for (int i = 0; i < in->field_count; i++) in->row[i] = weir_duck_get(cursor, i);
        status = on_row(row_context, in->row, err);
    }
    weir_duck_cursor_free(cursor);
    return status;
}

static const char *const casts[] = {
    [WEIR_PROFILE_NUMBER] = "DOUBLE", [WEIR_PROFILE_BOOL] = "BOOLEAN", [WEIR_PROFILE_TEXT] = "VARCHAR", [WEIR_PROFILE_TIME] = "TIMESTAMP"};

static weir_profile_type type_of(weir_stored stored) {
    switch (stored) {
    case WEIR_STORED_WHOLE:
    case WEIR_STORED_REAL: return WEIR_PROFILE_NUMBER;
    case WEIR_STORED_BOOL: return WEIR_PROFILE_BOOL;
    case WEIR_STORED_TIME:
    case WEIR_STORED_DATE: return WEIR_PROFILE_TIME;
    default: return WEIR_PROFILE_TEXT;
    }
}

/* All columns, then those that were asked for and what time and entity need. */
static weir_status describe(weir_profile_input *in, const char *reader, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_sql_add(&sql, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM %s)", reader);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(in->duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        weir_datum name = weir_duck_get(cursor, 0), type = weir_duck_get(cursor, 1);
        status = add_field(in, name.p, name.len, type_of(weir_stored_of(type.p, type.len)), err);
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

static weir_status choose_fields(weir_profile_input *in, const weir_profile_query *q, int *ret_time, int *ret_entity, weir_err *err) {
    weir_status status = WEIR_OK;
    int found, kept = 0, time = -1, entity = -1;
    for (int i = 0; !status && q->columns && q->columns[i]; i++) status = need_field(in, q->columns[i], &found, err);
    if (!status && q->time_column) status = need_field(in, q->time_column, &time, err);
    if (!status && q->entity_column) status = need_field(in, q->entity_column, &entity, err);
    if (status) return status;
    if (time >= 0 && in->fields[time].type != WEIR_PROFILE_TIME)
        return WEIR_FAIL(err, WEIR_EINVAL, "column \"%s\" holds a %s, expected times", q->time_column, weir_profile_type_names[in->fields[time].type]);
    for (int i = 0; time < 0 && i < in->field_count; i++) time = in->fields[i].type == WEIR_PROFILE_TIME ? i : -1;
    *ret_time = *ret_entity = -1;
    for (int i = 0; i < in->field_count; i++) {
        if (i != time && i != entity && !is_asked(q, in->fields[i].name, strlen(in->fields[i].name))) {
            free(in->fields[i].name);
            continue;
        }
        if (i == time) *ret_time = kept;
        if (i == entity) *ret_entity = kept;
        in->fields[kept++] = in->fields[i];
    }
    in->field_count = kept;
    return WEIR_OK;
}

static weir_status make_select(weir_profile_input *in, const char *reader, const weir_profile_query *q, int time, weir_err *err) {
    weir_sql *sql = &in->select;
    for (int i = 0; i < in->field_count; i++) {
        weir_sql_add(sql, i ? ", CAST(" : "SELECT CAST(");
        weir_sql_name(sql, in->fields[i].name);
        weir_sql_add(sql, " AS %s)", casts[in->fields[i].type]);
    }
    weir_sql_add(sql, " FROM %s", reader);
    if (q->from_us || q->to_us) {
        if (time < 0) return WEIR_FAIL(err, WEIR_EINVAL, "the file has no column of times to choose rows by; name one with --time");
        weir_sql_add(sql, " WHERE epoch_us(CAST(");
        weir_sql_name(sql, in->fields[time].name);
        weir_sql_add(sql, " AS TIMESTAMP)) >= %lld AND epoch_us(CAST(", (long long)(q->from_us ? q->from_us : WEIR_TIME_MIN_US));
        weir_sql_name(sql, in->fields[time].name);
        weir_sql_add(sql, " AS TIMESTAMP)) < %lld", (long long)(q->to_us ? q->to_us : WEIR_TIME_MAX_US));
    }
    return weir_sql_end(sql, err);
}

static weir_status open_file(weir_profile_input *in, const char *path, const weir_profile_query *q, weir_err *err) {
    weir_file_format format = weir_file_format_of(path);
    weir_sql reader = {0};
    int time = -1, entity = -1;
    if (format == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, path);
    if (access(path, R_OK)) return WEIR_FAIL(err, WEIR_EINVAL, "cannot read %s: %s", path, strerror(errno));
    weir_status status = weir_duck_new(&in->duck, err);
    if (status) return status;
    weir_sql_add(&reader, format == WEIR_FILE_PARQUET ? "read_parquet(" : format == WEIR_FILE_CSV ? "read_csv(" : "read_json(");
    weir_sql_literal(&reader, path, strlen(path));
    weir_sql_add(&reader, format == WEIR_FILE_PARQUET ? ")"
                          : format == WEIR_FILE_CSV   ? ", header=true, sample_size=-1)"
                                                      : ", sample_size=-1, maximum_depth=1)");
    status = weir_sql_end(&reader, err);
    if (!status) status = describe(in, reader.text.data, err);
    if (!status) status = choose_fields(in, q, &time, &entity, err);
    if (!status) status = make_select(in, reader.text.data, q, time, err);
    if (!status) finish(in, time, entity, scan_file);
    weir_sql_done(&reader);
    return status ? weir_err_prefix(err, "%s", path) : WEIR_OK;
}

weir_status weir_profile_open_file(const char *path, const weir_profile_query *query, weir_profile_input **ret_input, weir_err *err) {
    weir_profile_input *in = NULL;
    weir_status status = open_input(&in, err);
    if (!status && !(status = open_file(in, path, query, err))) {
        *ret_input = in;
        return WEIR_OK;
    }
    weir_profile_input_free(in);
    return status;
}

/* --- the offline store --- */

enum { STORE_ENTITY, STORE_TIME, STORE_FIXED };

static weir_status on_stored(void *context, const weir_stored_row *stored, weir_err *err) {
    weir_profile_input *in = context;
    size_t len = stored->tenant_len + 1 + stored->entity_len;
    if (len > in->entity_size) {
        char *grown = weir_mem.realloc(in->entity, 2 * len);
        if (!grown) return no_memory(err);
        in->entity = grown;
        in->entity_size = 2 * len;
    }
    memcpy(in->entity, stored->tenant, stored->tenant_len);
    in->entity[stored->tenant_len] = '/';
    memcpy(in->entity + stored->tenant_len + 1, stored->entity, stored->entity_len);
    in->row[STORE_ENTITY] = weir_str(in->entity, len);
    in->row[STORE_TIME] = weir_i64(stored->event_us);
    memcpy(in->row + STORE_FIXED, stored->values, (size_t)in->query.wanted_count * sizeof(*in->row));
    return in->on_row(in->row_context, in->row, err);
}

static weir_status scan_store(void *context, weir_profile_row_fn on_row, void *row_context, weir_err *err) {
    weir_profile_input *in = context;
    weir_sql files = {0};
    int64_t rows;
    in->on_row = on_row;
    in->row_context = row_context;
    weir_status status = weir_rows_files(in->pg, &in->query, &files, &rows, err);
    if (!status && files.text.len) status = weir_rows_scan_files(in->duck, files.text.data, in->query.wanted_count, on_stored, in, err);
    if (!status) status = weir_rows_scan_table(in->pg, &in->query, on_stored, in, err);
    weir_sql_done(&files);
    return status;
}

static weir_profile_type type_of_field(const weir_schema_field *f) {
    if (f->is_timestamp) return WEIR_PROFILE_TIME;
    return f->type == WEIR_T_BOOL ? WEIR_PROFILE_BOOL : f->type == WEIR_T_STR ? WEIR_PROFILE_TEXT : WEIR_PROFILE_NUMBER;
}

/* Columns of the record, but its time, which every row has; then features. */
static weir_status want_columns(weir_profile_input *in, const weir_pipeline *p, const weir_view_def *view, const weir_profile_query *q, weir_err *err) {
    const weir_schema *schema = p->events.schema;
    int columns = weir_schema_field_count(schema);
    weir_status status;
    if (!(in->wanted = weir_mem.realloc(NULL, (size_t)(columns + view->feature_count) * sizeof(*in->wanted)))) return no_memory(err);
    if ((status = add_field(in, "entity", 6, WEIR_PROFILE_TEXT, err)) || (status = add_field(in, "event_time", 10, WEIR_PROFILE_TIME, err))) return status;
    for (int i = 0; i < columns; i++) {
        const weir_schema_field *f = weir_schema_field_at(schema, i);
        if (i == p->events.time_index || f->type == WEIR_T_BYTES || !is_asked(q, f->name, strlen(f->name))) continue;
        if ((status = weir_wanted_field(f, "record_", &in->wanted[in->query.wanted_count++], err)) ||
            (status = add_field(in, f->name, strlen(f->name), type_of_field(f), err)))
            return status;
    }
    for (int i = 0; i < view->feature_count; i++) {
        const weir_feature_def *f = &view->features[i];
        if (f->hidden || !is_asked(q, f->name, strlen(f->name))) continue;
        if ((status = weir_wanted_feature(f, &in->wanted[in->query.wanted_count++], err)) ||
            (status = add_field(in, f->name, strlen(f->name), WEIR_PROFILE_NUMBER, err)))
            return status;
    }
    int found;
    for (int i = 0; q->columns && q->columns[i]; i++) {
        if (strcmp(q->columns[i], weir_schema_field_at(schema, p->events.time_index)->name) && (status = need_field(in, q->columns[i], &found, err)))
            return status;
    }
    return WEIR_OK;
}

static weir_status open_store(weir_profile_input *in, const char *pg_url, const char *objects_dir, const weir_pipeline *p, const weir_profile_query *q,
                              weir_err *err) {
    const weir_view_def *view = &p->views[p->primary_view];
    size_t size = strlen(view->name) + sizeof("features_");
    if (q->time_column || q->entity_column) return WEIR_FAIL(err, WEIR_EINVAL, "--time and --entity are for files: a pipeline says what they are");
    if (!(in->table = weir_mem.realloc(NULL, size))) return no_memory(err);
    snprintf(in->table, size, "features_%s", view->name);
    weir_status status = want_columns(in, p, view, q, err);
    if (status) return status;
    in->query.pipeline = p;
    in->query.table = in->table;
    in->query.objects_dir = objects_dir;
    in->query.from_us = q->from_us ? q->from_us : WEIR_TIME_MIN_US;
    in->query.to_us = q->to_us ? q->to_us : WEIR_TIME_MAX_US;
    in->query.as_of_us = INT64_MAX; /* whenever it became known */
    in->query.records_only = true;
    in->query.wanted = in->wanted;
    const char *const tables[] = {in->table, NULL};
    if ((status = weir_duck_new(&in->duck, err)) || (status = weir_pg_new(pg_url, &in->pg, err)) || (status = weir_rows_snapshot(in->pg, p, tables, err)))
        return status;
    finish(in, STORE_TIME, STORE_ENTITY, scan_store);
    return WEIR_OK;
}

weir_status weir_profile_open_store(const char *pg_url, const char *objects_dir, const weir_pipeline *pipeline, const weir_profile_query *query,
                                    weir_profile_input **ret_input, weir_err *err) {
    weir_profile_input *in = NULL;
    weir_status status = open_input(&in, err);
    if (!status && !(status = open_store(in, pg_url, objects_dir, pipeline, query, err))) {
        *ret_input = in;
        return WEIR_OK;
    }
    weir_profile_input_free(in);
    return status;
}
