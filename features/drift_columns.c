/* The watched columns of a pipeline, and one reading of the offline store or of a file for their profiles. */
#include "features/drift_columns.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/conf.h"
#include "features/rows.h"

enum { PROGRESS_ROWS = 8192 };

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the columns that are watched for drift");
}

/* --- which --- */

static bool is_asked(const char *const *names, const char *name) {
    for (; *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

static bool can_watch(const weir_schema_field *f) {
    return !f->is_timestamp && f->type != WEIR_T_BYTES;
}

static weir_drift_type type_of(const weir_schema_field *f) {
    return f->type == WEIR_T_BOOL ? WEIR_DRIFT_BOOL : f->type == WEIR_T_STR ? WEIR_DRIFT_CATEGORY : WEIR_DRIFT_NUMBER;
}

static void add_view(weir_drift_columns *c, int v, const char *const *names) {
    const weir_pipeline *p = c->pipeline;
    const weir_view_def *view = &p->views[v];
    c->first[v] = c->count;
    for (int i = 0; i < view->feature_count; i++) {
        const weir_feature_def *f = &view->features[i];
        if (f->hidden || (names && !is_asked(names, f->name))) continue;
        c->places[c->count] = (weir_drift_place){i, -1};
        c->fields[c->count++] = (weir_drift_field){f->name, WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE};
    }
    for (int i = 0; names && v == p->primary_view && i < weir_schema_field_count(p->events.schema); i++) {
        const weir_schema_field *f = weir_schema_field_at(p->events.schema, i);
        if (!can_watch(f) || !is_asked(names, f->name)) continue;
        c->places[c->count] = (weir_drift_place){-1, i};
        c->fields[c->count++] = (weir_drift_field){f->name, type_of(f), WEIR_DRIFT_FEATURE};
    }
    c->first[v + 1] = c->count;
}

static bool has_name(const weir_drift_columns *c, const char *name) {
    for (int i = 0; i < c->count; i++)
        if (!strcmp(c->fields[i].name, name)) return true;
    return false;
}

/* A name that no column has is a time, or a mistake. */
static weir_status check_name(const weir_drift_columns *c, const char *name, weir_err *err) {
    const weir_schema *schema = c->pipeline->events.schema;
    const char *known[WEIR_FEATURES_MAX + 1];
    int count = 0;
    if (has_name(c, name)) return WEIR_OK;
    for (int i = 0; i < weir_schema_field_count(schema); i++)
        if (!strcmp(weir_schema_field_at(schema, i)->name, name)) return WEIR_OK;
    for (int v = 0; v < c->pipeline->view_count; v++)
        for (int i = 0; i < c->pipeline->views[v].feature_count && count < WEIR_FEATURES_MAX; i++) known[count++] = c->pipeline->views[v].features[i].name;
    known[count] = NULL;
    const char *near = weir_conf_nearest(name, known);
    return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no feature or column \"%s\"%s%s%s", c->pipeline->name, name, near ? "; did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
}

weir_status weir_drift_columns_init(const weir_pipeline *pipeline, const char *const *names, weir_drift_columns *ret_columns, weir_err *err) {
    weir_drift_columns c = {.pipeline = pipeline};
    size_t room = (size_t)weir_schema_field_count(pipeline->events.schema);
    weir_status status = WEIR_OK;
    if (names && !*names) names = NULL;
    for (int v = 0; v < pipeline->view_count; v++) room += (size_t)pipeline->views[v].feature_count;
    c.fields = weir_mem.realloc(NULL, room * sizeof *c.fields);
    c.places = weir_mem.realloc(NULL, room * sizeof *c.places);
    if (!c.fields || !c.places) status = no_memory(err);
    for (int v = 0; !status && v < pipeline->view_count; v++) add_view(&c, v, names);
    for (int i = 0; !status && names && names[i]; i++) status = check_name(&c, names[i], err);
    if (!status && !c.count) status = WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no column to watch for drift", pipeline->name);
    if (status)
        weir_drift_columns_done(&c);
    else
        *ret_columns = c;
    return status;
}

void weir_drift_columns_done(weir_drift_columns *c) {
    weir_mem.realloc(c->fields, 0);
    weir_mem.realloc(c->places, 0);
    *c = (weir_drift_columns){0};
}

weir_status weir_drift_columns_table(const weir_drift_columns *c, int view, uint64_t seed, weir_drift_table **ret_table, weir_err *err) {
    int from = view < 0 ? 0 : c->first[view], to = view < 0 ? c->count : c->first[view + 1];
    return weir_drift_table_new(c->fields + from, to - from, seed, ret_table, err);
}

/* --- the offline store --- */

typedef struct scan {
    const weir_drift_query *query;
    weir_drift_table *table;
    int first, count; /* columns of the view */
    int64_t rows;
} scan;

static void add_value(weir_drift_table *table, int column, const weir_datum *value) {
    weir_drift_profile *profile = weir_drift_table_profile(table, column);
    if (value->type == WEIR_T_STR)
        weir_drift_profile_add_text(profile, value->p, value->len);
    else
        weir_drift_profile_add(profile, weir_datum_number(value));
}

static weir_status on_stored(void *context, const weir_stored_row *row, weir_err *err) {
    scan *s = context;
    (void)err;
    for (int i = 0; i < s->count; i++) add_value(s->table, s->first + i, &row->values[i]);
    if (++s->rows % PROGRESS_ROWS == 0 && s->query->progress) s->query->progress(s->query->progress_context, s->rows);
    return WEIR_OK;
}

static weir_status want(const weir_drift_columns *c, int v, weir_wanted *wanted, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = c->first[v]; !status && i < c->first[v + 1]; i++) {
        const weir_drift_place *at = &c->places[i];
        weir_wanted *w = &wanted[i - c->first[v]];
        status = at->feature >= 0 ? weir_wanted_feature(&c->pipeline->views[v].features[at->feature], w, err)
                                  : weir_wanted_field(weir_schema_field_at(c->pipeline->events.schema, at->event), "record_", w, err);
    }
    return status;
}

static weir_status scan_view(const weir_drift_columns *c, int v, weir_pg *pg, weir_duck *duck, const char *table, scan *s, weir_err *err) {
    const weir_drift_query *q = s->query;
    weir_sql files = {0};
    int64_t rows;
    s->first = c->first[v];
    s->count = c->first[v + 1] - c->first[v];
    weir_wanted *wanted = weir_mem.realloc(NULL, (size_t)s->count * sizeof *wanted);
    if (!wanted) return no_memory(err);
    const weir_rows_query query = {
        .pipeline = c->pipeline,
        .table = table,
        .objects_dir = q->objects_dir,
        .from_us = q->from_us,
        .to_us = q->to_us,
        .as_of_us = q->as_of_us,
        .tenant = q->tenant,
        .records_only = true,
        .wanted = wanted,
        .wanted_count = s->count,
    };
    const char *const tables[] = {table, NULL};
    weir_status status = want(c, v, wanted, err);
    if (!status) status = weir_rows_snapshot(pg, c->pipeline, tables, err);
    if (!status) status = weir_rows_files(pg, &query, &files, &rows, err);
    if (!status && files.text.len) status = weir_rows_scan_files(duck, files.text.data, s->count, on_stored, s, err);
    if (!status) status = weir_rows_scan_table(pg, &query, on_stored, s, err);
    weir_pg_rollback(pg);
    weir_sql_done(&files);
    weir_mem.realloc(wanted, 0);
    return status;
}

weir_status weir_drift_columns_scan(const weir_drift_columns *c, const weir_drift_query *query, weir_drift_table **ret_table, int64_t *ret_rows,
                                    weir_err *err) {
    scan s = {.query = query};
    weir_pg *pg = NULL;
    weir_duck *duck = NULL;
    weir_status status = weir_drift_columns_table(c, -1, (uint64_t)query->from_us, &s.table, err);
    if (!status) status = weir_pg_new(query->pg_url, &pg, err);
    if (!status) status = weir_duck_new(&duck, err);
    *ret_rows = 0;
    for (int v = 0; !status && v < c->pipeline->view_count; v++) {
        char table[128];
        if (c->first[v] == c->first[v + 1]) continue;
        snprintf(table, sizeof table, "features_%s", c->pipeline->views[v].name);
        s.rows = 0;
        status = scan_view(c, v, pg, duck, table, &s, err);
        if (v == c->pipeline->primary_view || s.rows > *ret_rows) *ret_rows = s.rows;
    }
    weir_duck_free(duck);
    weir_pg_free(pg);
    if (status)
        weir_drift_table_free(s.table);
    else
        *ret_table = s.table;
    return status;
}

/* --- any source --- */

typedef struct source_scan {
    weir_drift_table *table;
    int fields[WEIR_PROFILE_COLUMNS_MAX]; /* of the source, of each column */
    int64_t rows;
} source_scan;

static weir_status on_row(void *context, const weir_datum *row, weir_err *err) {
    source_scan *s = context;
    (void)err;
    for (int i = 0; i < weir_drift_table_count(s->table); i++) add_value(s->table, i, &row[s->fields[i]]);
    s->rows++;
    return WEIR_OK;
}

weir_status weir_drift_table_choose(const weir_drift_table *table, const bool *keep, weir_drift_table **ret_table, weir_err *err) {
    int count = weir_drift_table_count(table), kept = 0;
    weir_drift_field *fields = weir_mem.realloc(NULL, ((size_t)count + 1) * sizeof *fields);
    weir_drift_table *chosen = NULL;
    if (!fields) return no_memory(err);
    for (int i = 0; i < count; i++)
        if (keep[i]) fields[kept++] = weir_drift_table_field(table, i);
    weir_status status = weir_drift_table_new(fields, kept, 1, &chosen, err);
    for (int i = 0, k = 0; !status && i < count; i++)
        if (keep[i]) status = weir_drift_profile_merge(weir_drift_table_profile(chosen, k++), weir_drift_table_profile(table, i), err);
    weir_mem.realloc(fields, 0);
    if (status)
        weir_drift_table_free(chosen);
    else
        *ret_table = chosen;
    return status;
}

/* Another text in more than half of the records. */
static bool is_identifier(const weir_drift_table *table, const char *name) {
    int at = weir_drift_table_find(table, name);
    if (at < 0) return false;
    weir_drift_summary s = weir_drift_profile_summary(weir_drift_table_profile(table, at));
    int64_t values = s.count - s.missing;
    return s.type == WEIR_DRIFT_CATEGORY && values > 1 && s.distinct > (double)values / 2;
}

static weir_status leave_out(weir_drift_table **table, const weir_drift_table *one, const weir_drift_table *other, int *ret_left, weir_err *err) {
    bool keep[WEIR_DRIFT_COLUMNS_MAX];
    weir_drift_table *chosen = NULL;
    int count = weir_drift_table_count(*table);
    *ret_left = 0;
    for (int i = 0; i < count; i++) {
        const char *name = weir_drift_table_field(*table, i).name;
        keep[i] = !is_identifier(one, name) && !is_identifier(other, name);
        *ret_left += !keep[i];
    }
    if (*ret_left == count) return WEIR_FAIL(err, WEIR_EINVAL, "every column is an identifier, another text in each row: say which to compare");
    weir_status status = *ret_left ? weir_drift_table_choose(*table, keep, &chosen, err) : WEIR_OK;
    if (!chosen) return status;
    *table = chosen;
    return WEIR_OK;
}

weir_status weir_drift_leave_identifiers(weir_drift_table **reference, weir_drift_table **current, int *ret_left, weir_err *err) {
    weir_drift_table *before = *reference, *now = *current;
    int left;
    weir_status status = leave_out(reference, before, now, ret_left, err);
    if (!status) status = leave_out(current, before, now, &left, err);
    if (*reference != before) weir_drift_table_free(before);
    if (*current != now) weir_drift_table_free(now);
    return status;
}

weir_status weir_drift_scan_source(const weir_profile_source *source, weir_drift_table **ret_table, int64_t *ret_rows, weir_err *err) {
    static const weir_drift_type types[] = {
        [WEIR_PROFILE_NUMBER] = WEIR_DRIFT_NUMBER, [WEIR_PROFILE_BOOL] = WEIR_DRIFT_BOOL, [WEIR_PROFILE_TEXT] = WEIR_DRIFT_CATEGORY};
    source_scan s = {0};
    int count = 0;
    weir_drift_field *fields = weir_mem.realloc(NULL, ((size_t)source->field_count + 1) * sizeof *fields);
    if (!fields) return no_memory(err);
    for (int i = 0; i < source->field_count; i++) {
        if (source->fields[i].type == WEIR_PROFILE_TIME || i == source->entity) continue;
        s.fields[count] = i;
        fields[count++] = (weir_drift_field){source->fields[i].name, types[source->fields[i].type], WEIR_DRIFT_FEATURE};
    }
    weir_status status = count ? weir_drift_table_new(fields, count, 1, &s.table, err) : WEIR_FAIL(err, WEIR_EINVAL, "there is no column to compare but times");
    weir_mem.realloc(fields, 0);
    if (!status) status = source->scan(source->context, on_row, &s, err);
    if (status) {
        weir_drift_table_free(s.table);
        return status;
    }
    *ret_table = s.table;
    *ret_rows = s.rows;
    return WEIR_OK;
}

const char *weir_drift_severity_word(weir_drift_severity severity) {
    return severity == WEIR_DRIFT_SOME ? "low" : weir_drift_severity_names[severity];
}
