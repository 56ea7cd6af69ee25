/* Point-in-time retrieval. The rows of the primary view in the range are the spine; labels are joined to it, and every view that is asked for is evaluated at each of its
 * rows, from the records that were available then.
 *
 * A view's records are streamed once; those of entities that the spine does not have are dropped on the way. Then, an entity at a time, records join a state in the order in
 * which they became available while the spine's rows are walked in the order of their cut-off, so a state only ever grows and each row sees exactly what it may. */
#include "features/history.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/intern.h"

enum { COLUMNS_MAX = 1024, ROWS_MAX = 1 << 30 };

/* Fields that every query of the tables begins with. */
enum { F_TENANT, F_ENTITY, F_TIME, F_AVAILABLE, F_PARTITION, F_OFFSET, F_COUNT };
static const char common_fields[] = "tenant, entity, event_time, available_time, source_partition, source_offset";

/* A row of the training set before its features are known. */
typedef struct spine_row {
    int64_t time_us, available_us;
    weir_source source;
    uint32_t cells; /* row of reader->cells */
    uint32_t join; /* number of what labels are joined by */
    uint32_t key[WEIR_VIEWS_MAX]; /* number of the entity in each view that is used */
} spine_row;

/* A record of a view's history. */
typedef struct record {
    int64_t time_us, available_us;
    weir_source source;
    uint32_t values; /* row of view_use->values */
    uint32_t key;
} record;

/* A view that some requested column comes from, and the primary one. */
typedef struct view_use {
    const weir_view_def *def;
    weir_view *view;
    bool primary, evaluated;
    int event_columns[WEIR_KEY_COLUMNS_MAX]; /* the entity's columns in the events */
    weir_intern keys;
    record *records;
    double *values; /* [record_count][slot_count] */
    weir_datum *row; /* of the feed, while records come in */
    uint32_t record_count, record_capacity;
} view_use;

/* Where a column of the set comes from. */
typedef struct source_column {
    int use, feature; /* a feature of a view; use -1: */
    int cell; /* a column of the event */
} source_column;

typedef struct reader {
    const weir_pipeline *pipeline;
    const weir_history_query *query;
    weir_pg *pg;
    int64_t from_us, to_us, as_of_us; /* within what PostgreSQL holds */
    view_use uses[WEIR_VIEWS_MAX];
    int use_count, reading; /* reading: the use whose records come in */
    source_column columns[COLUMNS_MAX];
    int column_count;
    int *cell_columns; /* columns of the events that are kept: asked for */
    int cell_count;
    weir_intern joins;
    spine_row *rows;
    weir_datum *cells; /* [row_count][cell_count] */
    uint32_t row_count, row_capacity;
    int64_t *label_available; /* [row_count] while labels are read: of the label that was taken */
    weir_source *label_source;
    uint32_t *next_of_join, *first_of_join; /* rows by what labels are joined by */
    weir_buf scratch;
    weir_history *history;
} reader;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the training set; ask for a shorter range");
}

static void *alloc(size_t count, size_t size) {
    void *p = weir_mem.realloc(NULL, count ? count * size : 1);
    return p ? memset(p, 0, count ? count * size : 1) : NULL;
}

/* The array with room for one more element (arrays double), or NULL: it is then as it was. */
static void *more(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return array;
    uint32_t wanted = *capacity ? 2 * *capacity : 4096;
    void *p = weir_mem.realloc(array, wanted * size);
    if (p) *capacity = wanted;
    return p;
}

/* --- what is asked for --- */

static int cell_of(reader *r, int column) {
    for (int i = 0; i < r->cell_count; i++) {
        if (r->cell_columns[i] == column) return i;
    }
    r->cell_columns[r->cell_count] = column;
    return r->cell_count++;
}

static weir_status use_view(reader *r, int index, int *ret_use, weir_err *err) {
    const weir_view_def *def = &r->pipeline->views[index];
    for (*ret_use = 0; *ret_use < r->use_count; ++*ret_use) {
        if (r->uses[*ret_use].def == def) return WEIR_OK;
    }
    view_use *use = &r->uses[*ret_use];
    *use = (view_use){.def = def, .primary = index == r->pipeline->primary_view};
    weir_status status = weir_view_new(r->pipeline, def, &use->view, err);
    if (status) return status;
    r->use_count++;
    for (int i = 0; i < def->entity_count; i++) use->event_columns[i] = weir_schema_find(r->pipeline->events.schema, def->entity[i]);
    return WEIR_OK;
}

static weir_status unknown_column(const reader *r, const char *name, weir_err *err) {
    const char *names[WEIR_FEATURES_MAX + 1];
    int n = 0;
    for (int v = 0; v < r->pipeline->view_count; v++) {
        for (int f = 0; f < r->pipeline->views[v].feature_count; f++) names[n++] = r->pipeline->views[v].features[f].name;
    }
    names[n] = NULL;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "\"%.64s\" is no feature of pipeline %s and no number in its events%s%s%s", name, r->pipeline->name,
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static weir_status resolve_column(reader *r, const char *name, weir_err *err) {
    source_column *column = &r->columns[r->column_count];
    for (int v = 0; v < r->pipeline->view_count; v++) {
        const weir_view_def *def = &r->pipeline->views[v];
        for (int f = 0; f < def->feature_count; f++) {
            if (strcmp(def->features[f].name, name)) continue;
            weir_status status = use_view(r, v, &column->use, err);
            if (status) return status;
            r->uses[column->use].evaluated = true;
            column->feature = f;
            r->column_count++;
            return WEIR_OK;
        }
    }
    int index = weir_schema_find(r->pipeline->events.schema, name);
    weir_type type = index < 0 ? WEIR_T_NULL : weir_schema_field_at(r->pipeline->events.schema, index)->type;
    if (type != WEIR_T_BOOL && type != WEIR_T_I64 && type != WEIR_T_F64) return unknown_column(r, name, err);
    *column = (source_column){.use = -1, .cell = cell_of(r, index)};
    r->column_count++;
    return WEIR_OK;
}

static weir_status resolve(reader *r, weir_err *err) {
    int primary;
    weir_status status = use_view(r, r->pipeline->primary_view, &primary, err);
    r->cell_columns = alloc((size_t)weir_schema_field_count(r->pipeline->events.schema), sizeof(*r->cell_columns));
    if (!status && !r->cell_columns) status = no_memory(err);
    for (const char *const *name = r->query->columns; !status && *name; name++) {
        if (r->column_count == COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "more than %d columns are asked for", COLUMNS_MAX);
        status = resolve_column(r, *name, err);
    }
    if (!status && !r->column_count) return WEIR_FAIL(err, WEIR_EINVAL, "no columns are asked for");
    return status;
}

/* --- SQL --- */

/* Column of a features table that holds a column of the record: as features/offline.h names them. */
static bool put_record_column(weir_buf *sql, const weir_schema *schema, int column) {
    bool ok = weir_buf_printf(sql, ", \"record_");
    for (const char *p = weir_schema_field_at(schema, column)->name; ok && *p; p++) ok = weir_buf_append(sql, *p == '.' ? "_" : p, 1);
    return ok && weir_buf_printf(sql, "\"");
}

static bool put_plain_column(weir_buf *sql, const weir_schema *schema, int column) {
    bool ok = weir_buf_printf(sql, ", \"");
    for (const char *p = weir_schema_field_at(schema, column)->name; ok && *p; p++) ok = weir_buf_append(sql, *p == '.' ? "_" : p, 1);
    return ok && weir_buf_printf(sql, "\"");
}

/* " FROM table WHERE …) TO STDOUT": COPY takes no parameters, so values are literals. */
static bool put_range(weir_buf *sql, const reader *r, const char *table, const char *suffix, int64_t from_us, int64_t to_us) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], as_of[WEIR_TIME_TEXT_MAX];
    bool ok = weir_buf_printf(sql, " FROM \"%s\".\"%s%s\" WHERE event_time >= '%s' AND event_time < '%s' AND available_time <= '%s'", r->pipeline->name, table,
                              suffix, weir_time_format(from_us, from), weir_time_format(to_us, to), weir_time_format(r->as_of_us, as_of));
    if (r->query->tenant) {
        ok = ok && weir_buf_printf(sql, " AND tenant = '");
        for (const char *p = r->query->tenant; ok && *p; p++) ok = weir_buf_append(sql, "''", *p == '\'' ? 2 : 0) && (*p == '\'' || weir_buf_append(sql, p, 1));
        ok = ok && weir_buf_printf(sql, "'");
    }
    return ok && weir_buf_printf(sql, ") TO STDOUT (FORMAT binary)");
}

static weir_status has_features(const reader *r, const weir_view_def *def, bool *ret_has, weir_err *err) {
    char name[64];
    snprintf(name, sizeof(name), "features_%s", def->name);
    return weir_offline_has_table(r->pg, r->pipeline, name, ret_has, err);
}

/* --- rows that come in --- */

static weir_datum read_cell(const weir_pg_field *field, const weir_schema_field *column) {
    if (field->len < 0) return weir_null();
    if (column->is_timestamp) return weir_i64(weir_pg_get_timestamptz(field));
    switch (column->type) {
    case WEIR_T_BOOL: return weir_bool(field->data[0] != 0);
    case WEIR_T_I64: return weir_i64(weir_pg_get_int8(field));
    case WEIR_T_F64: return weir_f64(weir_pg_get_float8(field));
    default: return weir_str(field->data, (size_t)field->len);
    }
}

/* Starts a key with the tenant, as weir_key_make does. */
static bool start_key(weir_buf *key, const weir_pg_field *tenant) {
    weir_buf_clear(key);
    return weir_buf_append(key, tenant->data, (size_t)tenant->len);
}

static bool add_part(weir_buf *key, char apart, const weir_pg_field *field, const weir_schema_field *column) {
    weir_datum value = read_cell(field, column);
    if (!weir_buf_append(key, &apart, 1)) return false;
    return value.type == WEIR_T_I64 ? weir_buf_printf(key, "%" PRId64, value.i) : weir_buf_append(key, value.p, value.len);
}

/* Numbers of the row's entities, *at is moved over the fields. An entity with a null has no state. */
static bool number_entities(reader *r, const weir_pg_field *fields, int *at, spine_row *row) {
    for (int u = 0; u < r->use_count; u++) {
        view_use *use = &r->uses[u];
        bool ok = start_key(&r->scratch, &fields[F_TENANT]), null = false;
        if (use->primary) {
            ok = ok && weir_buf_append(&r->scratch, "/", 1) && weir_buf_append(&r->scratch, fields[F_ENTITY].data, (size_t)fields[F_ENTITY].len);
        } else {
            for (int i = 0; i < use->def->entity_count; i++, ++*at) {
                null |= fields[*at].len < 0;
                ok =
                    ok && (null || add_part(&r->scratch, i ? '|' : '/', &fields[*at], weir_schema_field_at(r->pipeline->events.schema, use->event_columns[i])));
            }
        }
        row->key[u] = ok && !null ? weir_intern_add(&use->keys, r->scratch.data, r->scratch.len) : WEIR_INTERN_NONE;
        if (!ok || (!null && row->key[u] == WEIR_INTERN_NONE)) return false;
    }
    return true;
}

static weir_status on_spine(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    reader *r = context;
    (void)field_count;
    const weir_schema *schema = r->pipeline->events.schema;
    if (r->row_count == ROWS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "the range holds more than %d events", ROWS_MAX);
    uint32_t capacity = r->row_capacity;
    spine_row *rows = more(r->rows, r->row_count, &r->row_capacity, sizeof(*rows));
    if (!rows) return no_memory(err);
    r->rows = rows;
    if (r->row_capacity != capacity) {
        weir_datum *cells = weir_mem.realloc(r->cells, (size_t)r->row_capacity * (size_t)(r->cell_count + 1) * sizeof(*cells));
        if (!cells) return no_memory(err);
        r->cells = cells;
    }
    spine_row *row = &r->rows[r->row_count];
    *row = (spine_row){.time_us = weir_pg_get_timestamptz(&fields[F_TIME]),
                       .available_us = weir_pg_get_timestamptz(&fields[F_AVAILABLE]),
                       .source = {weir_pg_get_int4(&fields[F_PARTITION]), weir_pg_get_int8(&fields[F_OFFSET])},
                       .cells = r->row_count,
                       .join = WEIR_INTERN_NONE};
    int at = F_COUNT;
    if (!number_entities(r, fields, &at, row)) return no_memory(err);
    if (r->pipeline->labels.topic) {
        if (fields[at].len >= 0) {
            if (!start_key(&r->scratch, &fields[F_TENANT]) ||
                !add_part(&r->scratch, '/', &fields[at], weir_schema_field_at(schema, r->pipeline->label_join[0])))
                return no_memory(err);
            row->join = weir_intern_add(&r->joins, r->scratch.data, r->scratch.len);
            if (row->join == WEIR_INTERN_NONE) return no_memory(err);
        }
        at++;
    }
    for (int c = 0; c < r->cell_count; c++)
        r->cells[(size_t)r->row_count * (size_t)r->cell_count + (size_t)c] = read_cell(&fields[at + c], weir_schema_field_at(schema, r->cell_columns[c]));
    r->row_count++;
    return WEIR_OK;
}

static int compare_source(const weir_source *a, const weir_source *b) {
    if (a->partition != b->partition) return a->partition < b->partition ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int compare_rows(const void *a, const void *b) {
    const spine_row *x = a, *y = b;
    if (x->time_us != y->time_us) return x->time_us < y->time_us ? -1 : 1;
    return compare_source(&x->source, &y->source);
}

static weir_status read_spine(reader *r, weir_err *err) {
    const weir_schema *schema = r->pipeline->events.schema;
    const weir_view_def *primary = &r->pipeline->views[r->pipeline->primary_view];
    bool there;
    weir_status status = has_features(r, primary, &there, err);
    if (status) return status;
    if (!there) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no features of pipeline %s yet", r->pipeline->name);
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "COPY (SELECT %s", common_fields);
    for (int u = 0; u < r->use_count; u++) {
        for (int i = 0; ok && !r->uses[u].primary && i < r->uses[u].def->entity_count; i++) ok = put_record_column(&sql, schema, r->uses[u].event_columns[i]);
    }
    if (r->pipeline->labels.topic) ok = ok && put_record_column(&sql, schema, r->pipeline->label_join[0]);
    for (int c = 0; ok && c < r->cell_count; c++) ok = put_record_column(&sql, schema, r->cell_columns[c]);
    ok = ok && put_range(&sql, r, "features_", primary->name, r->from_us, r->to_us);
    status = ok ? weir_pg_copy_out(r->pg, sql.data, on_spine, r, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    if (!r->row_count) {
        char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no events from %s to %s", r->pipeline->name, weir_time_format(r->from_us, from),
                         weir_time_format(r->to_us, to));
    }
    qsort(r->rows, r->row_count, sizeof(*r->rows), compare_rows);
    return WEIR_OK;
}

/* --- labels --- */

enum { L_TENANT, L_AVAILABLE, L_PARTITION, L_OFFSET, L_JOIN, L_LABEL };

/* The label that became known last counts. */
static weir_status on_label(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    reader *r = context;
    (void)field_count;
    const weir_schema *schema = r->pipeline->labels.schema;
    if (fields[L_JOIN].len < 0) return WEIR_OK;
    if (!start_key(&r->scratch, &fields[L_TENANT]) || !add_part(&r->scratch, '/', &fields[L_JOIN], weir_schema_field_at(schema, r->pipeline->label_join[1])))
        return no_memory(err);
    uint32_t join = weir_intern_find(&r->joins, r->scratch.data, r->scratch.len);
    if (join == WEIR_INTERN_NONE) return WEIR_OK;
    int64_t available = weir_pg_get_timestamptz(&fields[L_AVAILABLE]);
    weir_source source = {weir_pg_get_int4(&fields[L_PARTITION]), weir_pg_get_int8(&fields[L_OFFSET])};
    weir_datum label = read_cell(&fields[L_LABEL], weir_schema_field_at(schema, r->pipeline->label_column));
    for (uint32_t i = r->first_of_join[join]; i != WEIR_INTERN_NONE; i = r->next_of_join[i]) {
        if (available < r->label_available[i] || (available == r->label_available[i] && compare_source(&source, &r->label_source[i]) <= 0)) continue;
        r->label_available[i] = available;
        r->label_source[i] = source;
        r->history->label[i] = weir_datum_number(&label);
    }
    return WEIR_OK;
}

static bool start_labels(reader *r) {
    r->label_available = alloc(r->row_count, sizeof(*r->label_available));
    r->label_source = alloc(r->row_count, sizeof(*r->label_source));
    r->next_of_join = alloc(r->row_count, sizeof(*r->next_of_join));
    r->first_of_join = alloc(r->joins.count, sizeof(*r->first_of_join));
    if (!r->label_available || !r->label_source || !r->next_of_join || !r->first_of_join) return false;
    for (uint32_t j = 0; j < r->joins.count; j++) r->first_of_join[j] = WEIR_INTERN_NONE;
    for (uint32_t i = 0; i < r->row_count; i++) {
        uint32_t join = r->rows[i].join;
        r->label_available[i] = INT64_MIN;
        r->next_of_join[i] = WEIR_INTERN_NONE;
        if (join == WEIR_INTERN_NONE) continue;
        r->next_of_join[i] = r->first_of_join[join];
        r->first_of_join[join] = i;
    }
    return true;
}

static weir_status read_labels(reader *r, weir_err *err) {
    const weir_pipeline *p = r->pipeline;
    bool there = false;
    for (uint32_t i = 0; i < r->row_count; i++) r->history->label[i] = NAN;
    weir_status status = p->labels.topic ? weir_offline_has_table(r->pg, p, "labels", &there, err) : WEIR_OK;
    if (status || !there) return status;
    if (!start_labels(r)) return no_memory(err);
    /* A label's own time lies between the event and max_delay after it. */
    int64_t until = r->to_us > WEIR_TIME_MAX_US - p->max_delay_us ? WEIR_TIME_MAX_US : r->to_us + p->max_delay_us;
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "COPY (SELECT tenant, available_time, source_partition, source_offset") &&
              put_plain_column(&sql, p->labels.schema, p->label_join[1]) && put_plain_column(&sql, p->labels.schema, p->label_column) &&
              put_range(&sql, r, "labels", "", r->from_us, until);
    status = ok ? weir_pg_copy_out(r->pg, sql.data, on_label, r, err) : no_memory(err);
    weir_buf_done(&sql);
    return status;
}

/* --- features --- */

static weir_status on_record(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    reader *r = context;
    (void)field_count;
    view_use *use = &r->uses[r->reading];
    int columns;
    const int *column = weir_view_columns(use->view, &columns);
    size_t slots = (size_t)weir_view_slot_count(use->view);
    const weir_schema *schema = weir_view_feed(use->view)->schema;
    if (!start_key(&r->scratch, &fields[F_TENANT]) || !weir_buf_append(&r->scratch, "/", 1) ||
        !weir_buf_append(&r->scratch, fields[F_ENTITY].data, (size_t)fields[F_ENTITY].len))
        return no_memory(err);
    uint32_t key = weir_intern_find(&use->keys, r->scratch.data, r->scratch.len);
    if (key == WEIR_INTERN_NONE) return WEIR_OK;
    if (use->record_count == ROWS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "view %s: the range holds more than %d records", use->def->name, ROWS_MAX);
    uint32_t capacity = use->record_capacity;
    record *records = more(use->records, use->record_count, &use->record_capacity, sizeof(*records));
    if (!records) return no_memory(err);
    use->records = records;
    if (use->record_capacity != capacity) {
        double *values = weir_mem.realloc(use->values, (size_t)use->record_capacity * (slots + 1) * sizeof(*values));
        if (!values) return no_memory(err);
        use->values = values;
    }
    use->records[use->record_count] = (record){.time_us = weir_pg_get_timestamptz(&fields[F_TIME]),
                                               .available_us = weir_pg_get_timestamptz(&fields[F_AVAILABLE]),
                                               .source = {weir_pg_get_int4(&fields[F_PARTITION]), weir_pg_get_int8(&fields[F_OFFSET])},
                                               .values = use->record_count,
                                               .key = key};
    for (int c = 0; c < columns; c++) use->row[column[c]] = read_cell(&fields[F_COUNT + c], weir_schema_field_at(schema, column[c]));
    weir_view_slots(use->view, use->row, use->values + use->record_count * slots);
    use->record_count++;
    return WEIR_OK;
}

/* By entity, then by when it became available. */
static int compare_records(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->available_us != y->available_us) return x->available_us < y->available_us ? -1 : 1;
    if (x->time_us != y->time_us) return x->time_us < y->time_us ? -1 : 1;
    return compare_source(&x->source, &y->source);
}

static weir_status read_records(reader *r, int index, weir_err *err) {
    view_use *use = &r->uses[index];
    bool there;
    weir_status status = has_features(r, use->def, &there, err);
    if (status || !there) return status; /* nothing was ever known of this view */
    int64_t horizon = weir_view_horizon_us(use->view), from = r->from_us < WEIR_TIME_MIN_US + horizon ? WEIR_TIME_MIN_US : r->from_us - horizon;
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "COPY (SELECT %s", common_fields);
    int columns;
    const int *column = weir_view_columns(use->view, &columns);
    for (int c = 0; ok && c < columns; c++) ok = put_record_column(&sql, weir_view_feed(use->view)->schema, column[c]);
    use->row = alloc((size_t)weir_schema_field_count(weir_view_feed(use->view)->schema), sizeof(*use->row));
    ok = ok && put_range(&sql, r, "features_", use->def->name, from, r->to_us);
    r->reading = index;
    status = ok && use->row ? weir_pg_copy_out(r->pg, sql.data, on_record, r, err) : no_memory(err);
    weir_buf_done(&sql);
    if (!status && use->record_count) qsort(use->records, use->record_count, sizeof(*use->records), compare_records);
    return status;
}

/* A row of the spine as a view sees it: entity, and until when records count. */
typedef struct visit {
    uint32_t key, row;
    int64_t cutoff_us;
} visit;

static int compare_visits(const void *a, const void *b) {
    const visit *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->cutoff_us != y->cutoff_us) return x->cutoff_us < y->cutoff_us ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* The primary view saw the event itself and what had arrived before it; another view what was available at the event's time. */
static visit *plan_visits(const reader *r, int index) {
    visit *visits = alloc(r->row_count, sizeof(*visits));
    if (!visits) return NULL;
    for (uint32_t i = 0; i < r->row_count; i++) {
        const spine_row *row = &r->rows[i];
        visits[i] = (visit){.key = row->key[index], .row = i, .cutoff_us = r->uses[index].primary ? row->available_us : row->time_us};
    }
    qsort(visits, r->row_count, sizeof(*visits), compare_visits);
    return visits;
}

static void put_features(reader *r, int index, uint32_t row, const double *out) {
    for (int c = 0; c < r->column_count; c++) {
        if (r->columns[c].use == index) r->history->values[(size_t)c * r->row_count + row] = out[r->columns[c].feature];
    }
}

static weir_status walk(reader *r, int index, const visit *visits, weir_err *err) {
    view_use *use = &r->uses[index];
    size_t slots = (size_t)weir_view_slot_count(use->view);
    double out[WEIR_FEATURES_MAX];
    weir_state state = {0};
    weir_status status = WEIR_OK;
    uint32_t next = 0;
    for (uint32_t i = 0; !status && i < r->row_count; i++) {
        const visit *v = &visits[i];
        const spine_row *row = &r->rows[v->row];
        if (!i || v->key != visits[i - 1].key) {
            weir_state_clear(&state);
            while (next < use->record_count && use->records[next].key < v->key) next++;
        }
        for (; !status && next < use->record_count && use->records[next].key == v->key && use->records[next].available_us <= v->cutoff_us; next++) {
            const record *rec = &use->records[next];
            status = weir_state_add(use->view, &state, rec->time_us, rec->source, use->values + rec->values * slots, err);
        }
        weir_view_eval(use->view, &state, weir_view_read_time(use->view, &state, row->time_us), use->primary ? &row->source : NULL, out);
        put_features(r, index, v->row, out);
    }
    weir_state_done(&state);
    return status;
}

static weir_status evaluate(reader *r, int index, weir_err *err) {
    view_use *use = &r->uses[index];
    weir_status status = read_records(r, index, err);
    if (status) return status;
    visit *visits = plan_visits(r, index);
    status = visits ? walk(r, index, visits, err) : no_memory(err);
    free(visits);
    free(use->records);
    free(use->values);
    free(use->row);
    use->records = NULL;
    use->values = NULL;
    use->row = NULL;
    return status;
}

/* --- the result --- */

static weir_status start_history(reader *r, weir_err *err) {
    size_t n = r->row_count;
    weir_history *h = r->history = alloc(1, sizeof(*h));
    if (!h) return no_memory(err);
    h->row_count = r->row_count;
    h->column_count = r->column_count;
    h->values = alloc(n * (size_t)r->column_count, sizeof(*h->values));
    h->event_time_us = alloc(n, sizeof(*h->event_time_us));
    h->label = alloc(n, sizeof(*h->label));
    h->source = alloc(n, sizeof(*h->source));
    h->entity = alloc(n, sizeof(*h->entity));
    h->column_names = alloc((size_t)r->column_count + 1, sizeof(*h->column_names));
    if (!h->values || !h->event_time_us || !h->label || !h->source || !h->entity || !h->column_names) return no_memory(err);
    for (int c = 0; c < r->column_count; c++) {
        weir_buf name = {0};
        if (!weir_buf_append(&name, r->query->columns[c], strlen(r->query->columns[c]))) return no_memory(err);
        h->column_names[c] = name.data;
    }
    return WEIR_OK;
}

/* What is known from the spine alone. Entities are numbered by their first row, whatever order PostgreSQL sent them in. */
static weir_status put_spine(reader *r, weir_err *err) {
    weir_history *h = r->history;
    int primary = 0; /* resolve() took it first */
    uint32_t *number = alloc(r->uses[primary].keys.count, sizeof(*number));
    if (!number) return no_memory(err);
    for (uint32_t i = 0; i < r->row_count; i++) {
        const spine_row *row = &r->rows[i];
        h->event_time_us[i] = row->time_us;
        h->source[i] = row->source;
        if (!number[row->key[primary]]) number[row->key[primary]] = ++h->entity_count;
        h->entity[i] = number[row->key[primary]] - 1;
        for (int c = 0; c < r->column_count; c++) {
            if (r->columns[c].use < 0)
                h->values[(size_t)c * r->row_count + i] = weir_datum_number(&r->cells[(size_t)row->cells * (size_t)r->cell_count + (size_t)r->columns[c].cell]);
        }
    }
    free(number);
    return WEIR_OK;
}

static weir_status describe(reader *r, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], as_of[WEIR_TIME_TEXT_MAX];
    weir_buf text = {0};
    bool all = r->query->as_of_us >= WEIR_TIME_MAX_US;
    bool ok = weir_buf_printf(&text, "pipeline %s, features %.12s, events from %s to %s, as of %s, tenant %s, columns", r->pipeline->name,
                              r->pipeline->feature_hash, weir_time_format(r->from_us, from), weir_time_format(r->to_us, to),
                              all ? "now" : weir_time_format(r->as_of_us, as_of), r->query->tenant ? r->query->tenant : "(all)");
    for (int c = 0; ok && c < r->column_count; c++) ok = weir_buf_printf(&text, "%s %s", c ? "," : "", r->query->columns[c]);
    r->history->query_text = text.data;
    return ok ? WEIR_OK : no_memory(err);
}

/* One NaN for all, so that equal sets have equal digests. */
static bool digest_doubles(EVP_MD_CTX *context, double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (isnan(values[i])) values[i] = NAN;
    }
    return EVP_DigestUpdate(context, values, count * sizeof(*values));
}

static weir_status digest(weir_history *h, weir_err *err) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    int64_t shape[2] = {h->row_count, h->column_count};
    size_t n = (size_t)h->row_count;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) && EVP_DigestUpdate(context, shape, sizeof(shape));
    for (int c = 0; ok && c < h->column_count; c++) ok = EVP_DigestUpdate(context, h->column_names[c], strlen(h->column_names[c]) + 1);
    ok = ok && digest_doubles(context, h->values, n * (size_t)h->column_count) && digest_doubles(context, h->label, n) &&
         EVP_DigestUpdate(context, h->event_time_us, n * sizeof(*h->event_time_us)) && EVP_DigestFinal_ex(context, bytes, NULL);
    EVP_MD_CTX_free(context);
    h->digest = alloc(65, 1);
    if (!ok || !h->digest) return no_memory(err);
    for (size_t i = 0; i < 32; i++) snprintf(h->digest + 2 * i, 3, "%02x", bytes[i]);
    return WEIR_OK;
}

void weir_history_free(weir_history *history) {
    if (!history) return;
    for (int c = 0; history->column_names && c < history->column_count; c++) free(history->column_names[c]);
    free(history->column_names);
    free(history->values);
    free(history->event_time_us);
    free(history->label);
    free(history->source);
    free(history->entity);
    free(history->query_text);
    free(history->digest);
    free(history);
}

static void done(reader *r) {
    for (int u = 0; u < r->use_count; u++) {
        weir_view_free(r->uses[u].view);
        weir_intern_done(&r->uses[u].keys);
        free(r->uses[u].records);
        free(r->uses[u].values);
        free(r->uses[u].row);
    }
    weir_intern_done(&r->joins);
    weir_buf_done(&r->scratch);
    free(r->cell_columns);
    free(r->rows);
    free(r->cells);
    free(r->label_available);
    free(r->label_source);
    free(r->next_of_join);
    free(r->first_of_join);
    weir_history_free(r->history);
    if (r->pg) weir_pg_rollback(r->pg);
    weir_pg_free(r->pg);
}

static weir_status read_all(reader *r, weir_err *err) {
    weir_status status;
    /* One snapshot for all the queries, so that a label or record that is written meanwhile is in none of them. */
    if ((status = weir_pg_begin(r->pg, err)) || (status = weir_pg_script(r->pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", err)) ||
        (status = read_spine(r, err)) || (status = start_history(r, err)) || (status = put_spine(r, err)) || (status = read_labels(r, err)))
        return status;
    for (int u = 0; u < r->use_count; u++) {
        if (r->uses[u].evaluated && (status = evaluate(r, u, err))) return status;
    }
    if ((status = describe(r, err))) return status;
    return digest(r->history, err);
}

static int64_t clamp(int64_t us) {
    return us < WEIR_TIME_MIN_US ? WEIR_TIME_MIN_US : us > WEIR_TIME_MAX_US ? WEIR_TIME_MAX_US : us;
}

weir_status weir_history_read(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, weir_history **ret_history, weir_err *err) {
    if (query->tenant && !weir_text_valid(query->tenant, strlen(query->tenant))) return WEIR_FAIL(err, WEIR_EINVAL, "the tenant is no UTF-8 text");
    reader *r = alloc(1, sizeof(*r));
    if (!r) return no_memory(err);
    r->pipeline = pipeline;
    r->query = query;
    r->from_us = clamp(query->from_us);
    r->to_us = clamp(query->to_us);
    r->as_of_us = clamp(query->as_of_us);
    weir_status status = resolve(r, err);
    if (!status) status = weir_pg_new(pg_url, &r->pg, err);
    if (!status) status = read_all(r, err);
    if (!status) {
        *ret_history = r->history;
        r->history = NULL;
    }
    done(r);
    free(r);
    return status;
}
