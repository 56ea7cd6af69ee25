/* Predictions and records of one view come in by COPY, records of compacted days from their files, are sorted by entity, and one walk adds records to a state in the order of their arrival, while predictions are
 * evaluated at the version that they read. Views, and passes over the entities when memory asks for them, come one after the other, in one snapshot of the database. */
#include "features/parity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/pg.h"
#include "features/intern.h"
#include "features/rows.h"

enum { PASSES_MAX = 4096 };
#define DEFAULT_MEMORY_BYTES (INT64_C(1) << 30)

/* A prediction's features of the view. */
typedef struct served {
    uint32_t entity, id; /* numbers in parity->entities, parity->ids */
    int64_t time_us, version; /* version 0: the entity was not there */
    weir_source source;
    size_t values; /* where its values start in parity->served_values */
} served;

typedef struct record {
    uint32_t entity, seq;
    int64_t time_us;
    weir_source source;
    size_t slots; /* where they start in parity->slots */
} record;

/* A growing array. */
typedef struct list {
    void *data;
    size_t count, capacity;
} list;

typedef struct parity {
    const weir_pipeline *pipeline;
    const weir_parity_query *query;
    void (*on_difference)(void *context, const weir_parity_difference *difference);
    void *context;
    weir_parity_result *result;
    weir_pg *pg;
    weir_duck *duck; /* once there are files */
    int pass, passes;

    /* The view that is being checked. */
    const weir_view_def *def;
    bool primary;
    weir_view *view;
    int features[WEIR_FEATURES_MAX], feature_count; /* those that are inputs */
    weir_datum *row; /* [fields of the feed's schema] */
    weir_sql files; /* SELECT of the records in files; empty: there are none */
    int64_t file_rows;
    weir_intern entities, ids;
    list served, served_values, records, slots;
} parity;

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to compare what was served with history");
}

/* Room for n more elements; NULL when there is none. */
static void *push(list *l, size_t n, size_t size) {
    if (l->count + n > l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 4096;
        while (capacity < l->count + n) capacity *= 2;
        void *data = weir_mem.realloc(l->data, capacity * size);
        if (!data) return NULL;
        l->data = data;
        l->capacity = capacity;
    }
    void *at = (char *)l->data + l->count * size;
    l->count += n;
    return at;
}

/* --- SQL --- */

static bool put_name(weir_buf *sql, const char *prefix, const char *name) {
    bool ok = weir_buf_printf(sql, "%s", prefix);
    for (const char *p = name; ok && *p; p++) ok = weir_buf_append(sql, *p == '.' ? "_" : p, 1);
    return ok && weir_buf_printf(sql, "\"");
}

static bool put_literal(weir_buf *sql, const char *text) {
    bool ok = weir_buf_printf(sql, "'");
    for (const char *p = text; ok && *p; p++) ok = weir_buf_append(sql, "'", *p == '\'') && weir_buf_append(sql, p, 1);
    return ok && weir_buf_printf(sql, "'");
}

/* Of the hash of an entity: the sample, and the pass. */
static bool put_share(weir_buf *sql, const parity *p, const char *entity) {
    const weir_parity_query *q = p->query;
    bool ok = true;
    if (q->one_in > 1) ok = weir_buf_printf(sql, " AND mod(hashtext(%s)::int8 + 2147483648, %" PRIu32 ") = %" PRIu32, entity, q->one_in, q->which);
    if (p->passes > 1) ok = ok && weir_buf_printf(sql, " AND mod(hashtext('pass' || %s)::int8 + 2147483648, %d) = %d", entity, p->passes, p->pass);
    return ok;
}

/* Conditions on predictions p. */
static bool put_predictions_where(weir_buf *sql, const parity *p, bool same_definitions) {
    const weir_parity_query *q = p->query;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], made_from[WEIR_TIME_TEXT_MAX], made_to[WEIR_TIME_TEXT_MAX];
    bool ok = weir_buf_printf(sql,
                              " WHERE p.source_partition >= 0 AND p.event_time >= '%s' AND p.event_time < '%s' AND p.predicted_at >= '%s' AND p.predicted_at < "
                              "'%s' AND p.feature_hash %s '%s'",
                              weir_time_format(q->from_us, from), weir_time_format(q->to_us, to), weir_time_format(q->predicted_from_us, made_from),
                              weir_time_format(q->predicted_to_us, made_to), same_definitions ? "=" : "<>", p->pipeline->feature_hash);
    return ok && (!q->tenant || (weir_buf_printf(sql, " AND p.tenant = ") && put_literal(sql, q->tenant)));
}

/* The entity of the view, as text, from the record that was scored (r) or the prediction itself. */
static bool put_entity(weir_buf *entity, const parity *p) {
    if (p->primary) return weir_buf_printf(entity, "p.entity");
    bool ok = true;
    for (int i = 0; ok && i < p->def->entity_count; i++)
        ok = weir_buf_printf(entity, "%s", i ? " || '|' || " : "") && put_name(entity, "r.\"record_", p->def->entity[i]) && weir_buf_printf(entity, "::text");
    return ok;
}

static weir_status read_served(parity *p, weir_pg_row_fn on_row, weir_err *err) {
    const weir_view_def *primary = &p->pipeline->views[p->pipeline->primary_view];
    weir_buf sql = {0}, entity = {0}, version = {0};
    bool ok = put_entity(&entity, p) && weir_buf_printf(&version, "p.\"views_%s_version\"", p->def->name);
    ok = ok &&
         weir_buf_printf(&sql, "COPY (SELECT p.prediction_id, p.tenant, %s, p.event_time, p.source_partition, p.source_offset, %s", entity.data, version.data);
    for (int i = 0; ok && i < p->feature_count; i++) ok = put_name(&sql, ", p.\"features_", p->def->features[p->features[i]].name);
    ok = ok && weir_buf_printf(&sql, " FROM \"%s\".predictions p", p->pipeline->name);
    if (!p->primary)
        ok = ok && weir_buf_printf(&sql,
                                   " JOIN \"%s\".\"features_%s\" r ON r.event_time = p.event_time AND r.source_partition = p.source_partition"
                                   " AND r.source_offset = p.source_offset AND r.seq = r.version",
                                   p->pipeline->name, primary->name);
    ok = ok && put_predictions_where(&sql, p, true) && put_share(&sql, p, entity.data) && weir_buf_printf(&sql, ") TO STDOUT (FORMAT binary)");
    weir_status status = ok ? weir_pg_copy_out(p->pg, sql.data, on_row, p, err) : no_memory(err);
    weir_buf_done(&sql);
    weir_buf_done(&entity);
    weir_buf_done(&version);
    return status;
}

static weir_status read_records(parity *p, weir_pg_row_fn on_row, weir_err *err) {
    int column_count;
    const int *columns = weir_view_columns(p->view, &column_count);
    const weir_schema *schema = weir_view_feed(p->view)->schema;
    weir_buf sql = {0};
    bool ok = weir_buf_printf(&sql, "COPY (SELECT tenant, entity, event_time, source_partition, source_offset, seq");
    for (int i = 0; ok && i < column_count; i++) ok = put_name(&sql, ", \"record_", weir_schema_field_at(schema, columns[i])->name);
    ok = ok && weir_buf_printf(&sql, " FROM \"%s\".\"features_%s\" WHERE seq = version", p->pipeline->name, p->def->name);
    if (p->query->tenant) ok = ok && weir_buf_printf(&sql, " AND tenant = ") && put_literal(&sql, p->query->tenant);
    ok = ok && put_share(&sql, p, "entity") && weir_buf_printf(&sql, ") TO STDOUT (FORMAT binary)");
    weir_status status = ok ? weir_pg_copy_out(p->pg, sql.data, on_row, p, err) : no_memory(err);
    weir_buf_done(&sql);
    return status;
}

/* --- rows that come in --- */

/* The number of tenant/entity. */
static uint32_t number_entity(parity *p, const char *tenant, size_t tenant_len, const char *entity, size_t entity_len, bool add) {
    char key[WEIR_KEY_MAX];
    size_t len = tenant_len + 1 + entity_len;
    if (len > sizeof key) return WEIR_INTERN_NONE;
    memcpy(key, tenant, tenant_len);
    key[tenant_len] = '/';
    memcpy(key + tenant_len + 1, entity, entity_len);
    return add ? weir_intern_add(&p->entities, key, len) : weir_intern_find(&p->entities, key, len);
}

static uint32_t number_of(parity *p, const weir_pg_field *tenant, const weir_pg_field *entity, bool add) {
    return number_entity(p, tenant->data, (size_t)tenant->len, entity->data, (size_t)entity->len, add);
}

static weir_status on_served(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    enum { ID, TENANT, ENTITY, TIME, PARTITION, OFFSET, VERSION, VALUES };
    parity *p = context;
    (void)field_count;
    if (fields[ENTITY].len < 0) return WEIR_OK; /* a payment without a terminal read no terminal */
    served *row = push(&p->served, 1, sizeof *row);
    double *values = push(&p->served_values, (size_t)p->feature_count, sizeof *values);
    if (!row || !values) return no_memory(err);
    *row = (served){
        .entity = number_of(p, &fields[TENANT], &fields[ENTITY], true),
        .id = weir_intern_add(&p->ids, fields[ID].data, (size_t)fields[ID].len),
        .time_us = weir_pg_get_timestamptz(&fields[TIME]),
        .version = fields[VERSION].len < 0 ? 0 : weir_pg_get_int8(&fields[VERSION]),
        .source = {weir_pg_get_int4(&fields[PARTITION]), weir_pg_get_int8(&fields[OFFSET])},
        .values = p->served_values.count - (size_t)p->feature_count,
    };
    if (row->entity == WEIR_INTERN_NONE || row->id == WEIR_INTERN_NONE) return no_memory(err);
    for (int i = 0; i < p->feature_count; i++) values[i] = fields[VALUES + i].len < 0 ? NAN : weir_pg_get_float8(&fields[VALUES + i]);
    return WEIR_OK;
}

static weir_datum cell(const weir_pg_field *field, const weir_schema_field *column) {
    if (field->len < 0) return weir_null();
    if (column->is_timestamp) return weir_i64(weir_pg_get_timestamptz(field));
    switch (column->type) {
    case WEIR_T_BOOL: return weir_bool(field->data[0] != 0);
    case WEIR_T_I64: return weir_i64(weir_pg_get_int8(field));
    case WEIR_T_F64: return weir_f64(weir_pg_get_float8(field));
    default: return weir_str(field->data, (size_t)field->len);
    }
}

/* The record whose columns are in p->row. */
static weir_status keep_record(parity *p, const record *found, weir_err *err) {
    size_t slot_count = (size_t)weir_view_slot_count(p->view);
    record *r = push(&p->records, 1, sizeof *r);
    double *slots = push(&p->slots, slot_count, sizeof *slots);
    if (!r || (slot_count && !slots)) return no_memory(err);
    weir_view_slots(p->view, p->row, slots);
    *r = *found;
    r->slots = p->slots.count - slot_count;
    return WEIR_OK;
}

static weir_status on_record(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    enum { TENANT, ENTITY, TIME, PARTITION, OFFSET, SEQ, COLUMNS };
    parity *p = context;
    (void)field_count;
    const record found = {
        .entity = number_of(p, &fields[TENANT], &fields[ENTITY], false),
        .seq = (uint32_t)weir_pg_get_int8(&fields[SEQ]),
        .time_us = weir_pg_get_timestamptz(&fields[TIME]),
        .source = {weir_pg_get_int4(&fields[PARTITION]), weir_pg_get_int8(&fields[OFFSET])},
    };
    if (found.entity == WEIR_INTERN_NONE) return WEIR_OK; /* nothing was served from it */
    int column_count;
    const int *columns = weir_view_columns(p->view, &column_count);
    for (int i = 0; i < column_count; i++) p->row[columns[i]] = cell(&fields[COLUMNS + i], weir_schema_field_at(weir_view_feed(p->view)->schema, columns[i]));
    return keep_record(p, &found, err);
}

static weir_status on_file_record(void *context, const weir_stored_row *row, weir_err *err) {
    parity *p = context;
    const record found = {
        .entity = number_entity(p, row->tenant, row->tenant_len, row->entity, row->entity_len, false),
        .seq = (uint32_t)row->version, /* of a value both are one */
        .time_us = row->event_us,
        .source = row->source,
    };
    if (found.entity == WEIR_INTERN_NONE) return WEIR_OK;
    int column_count;
    const int *columns = weir_view_columns(p->view, &column_count);
    for (int i = 0; i < column_count; i++) p->row[columns[i]] = row->values[i];
    return keep_record(p, &found, err);
}

static weir_status read_files(parity *p, weir_err *err) {
    int column_count;
    (void)weir_view_columns(p->view, &column_count);
    if (!p->files.text.len) return WEIR_OK;
    weir_status status = p->duck ? WEIR_OK : weir_duck_new(&p->duck, err);
    return status ? status : weir_rows_scan_files(p->duck, p->files.text.data, column_count, on_file_record, p, err);
}

/* --- the walk --- */

static int compare_served(const void *a, const void *b) {
    const served *x = a, *y = b;
    if (x->entity != y->entity) return x->entity < y->entity ? -1 : 1;
    return (x->version > y->version) - (x->version < y->version);
}

static int compare_records(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->entity != y->entity) return x->entity < y->entity ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static bool same_bits(double a, double b) {
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

static void tell(const parity *p, const served *s, int feature, double was, double is) {
    if (!p->on_difference) return;
    size_t id_len, entity_len;
    char id[256], entity[WEIR_KEY_MAX];
    const char *id_text = weir_intern_text(&p->ids, s->id, &id_len), *entity_text = weir_intern_text(&p->entities, s->entity, &entity_len);
    snprintf(id, sizeof id, "%.*s", (int)id_len, id_text);
    snprintf(entity, sizeof entity, "%.*s", (int)entity_len, entity_text);
    const weir_parity_difference difference = {.prediction = id,
                                               .view = p->def->name,
                                               .entity = entity,
                                               .feature = p->def->features[feature].name,
                                               .event_time_us = s->time_us,
                                               .version = s->version,
                                               .served = was,
                                               .recomputed = is};
    p->on_difference(p->context, &difference);
}

static void compare(parity *p, weir_state *state, const served *s) {
    double out[WEIR_FEATURES_MAX];
    const double *values = (const double *)p->served_values.data + s->values;
    int64_t newest_us;
    (void)weir_view_ask(p->view, state, s->time_us, p->primary ? &s->source : NULL, out, &newest_us);
    p->result->vectors++;
    for (int i = 0; i < p->feature_count; i++) {
        p->result->values++;
        if (same_bits(values[i], out[p->features[i]])) continue;
        p->result->mismatches++;
        tell(p, s, p->features[i], values[i], out[p->features[i]]);
    }
}

/* Records and predictions of all entities, each sorted by entity and version. */
static weir_status walk(parity *p, weir_err *err) {
    const served *rows = p->served.data;
    const record *records = p->records.data;
    weir_state state = {0};
    weir_status status = WEIR_OK;
    size_t r = 0;
    int64_t added = 0;
    for (size_t i = 0; !status && i < p->served.count; i++) {
        if (!i || rows[i].entity != rows[i - 1].entity) {
            weir_state_clear(&state);
            added = 0;
            while (r < p->records.count && records[r].entity < rows[i].entity) r++;
        }
        for (; !status && r < p->records.count && records[r].entity == rows[i].entity && records[r].seq <= rows[i].version; r++) {
            if (r && records[r - 1].entity == records[r].entity && records[r - 1].seq == records[r].seq) continue; /* in a file, and come again after it */
            status = weir_state_add(p->view, &state, records[r].time_us, records[r].source, (const double *)p->slots.data + records[r].slots, err);
            added++;
        }
        if (status) break;
        if (added == rows[i].version)
            compare(p, &state, &rows[i]);
        else
            p->result->incomplete++; /* arrival numbers have no gaps: some records are not here */
    }
    weir_state_done(&state);
    return status;
}

/* --- one view --- */

static void clear_view(parity *p) {
    list *lists[] = {&p->served, &p->served_values, &p->records, &p->slots};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) lists[i]->count = 0;
    weir_intern_done(&p->entities);
    weir_intern_done(&p->ids);
    p->entities = p->ids = (weir_intern){0};
}

static weir_status check_pass(parity *p, weir_err *err) {
    clear_view(p);
    weir_status status = read_served(p, on_served, err);
    if (!status && p->served.count) status = read_records(p, on_record, err);
    if (!status && p->served.count) status = read_files(p, err);
    if (status || !p->served.count) return status;
    qsort(p->served.data, p->served.count, sizeof(served), compare_served);
    if (p->records.count) qsort(p->records.data, p->records.count, sizeof(record), compare_records);
    return walk(p, err);
}

static void choose_features(parity *p) {
    p->feature_count = 0;
    for (const char *const *input = p->query->inputs; *input; input++) {
        for (int f = 0; f < p->def->feature_count; f++)
            if (!strcmp(p->def->features[f].name, *input)) p->features[p->feature_count++] = f;
    }
}

/* Passes so that what one holds stays within memory_bytes, by PostgreSQL's own count of the rows. */
static weir_status count_passes(parity *p, weir_err *err) {
    weir_buf sql = {0};
    PGresult *result = NULL;
    bool ok = weir_buf_printf(&sql, "SELECT (SELECT count(*) FROM \"%s\".predictions p", p->pipeline->name) && put_predictions_where(&sql, p, true) &&
              weir_buf_printf(&sql, "), (SELECT count(*) FROM \"%s\".\"features_%s\" WHERE seq = version)", p->pipeline->name, p->def->name);
    weir_status status = ok ? weir_pg_exec(p->pg, sql.data, 0, NULL, &result, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    double of_served = (double)(sizeof(served) + 64) + 8.0 * p->feature_count, of_record = (double)sizeof(record) + 8.0 * weir_view_slot_count(p->view);
    double records = atof(PQgetvalue(result, 0, 1)) + (double)p->file_rows;
    double bytes = (atof(PQgetvalue(result, 0, 0)) * of_served + records * of_record) / (p->query->one_in > 1 ? p->query->one_in : 1);
    PQclear(result);
    double passes = ceil(2 * bytes / (double)(p->query->memory_bytes ? p->query->memory_bytes : DEFAULT_MEMORY_BYTES)); /* arrays double as they grow */
    p->passes = passes < 1 ? 1 : passes > PASSES_MAX ? PASSES_MAX : (int)passes;
    return WEIR_OK;
}

/* Where the view's records are that are in files. */
static weir_status find_files(parity *p, weir_err *err) {
    char table[WEIR_COLUMN_NAME_MAX + 1];
    int column_count;
    const int *columns = weir_view_columns(p->view, &column_count);
    weir_wanted *wanted = weir_mem.realloc(NULL, ((size_t)column_count + 1) * sizeof *wanted);
    weir_status status = wanted ? WEIR_OK : no_memory(err);
    for (int i = 0; !status && i < column_count; i++)
        status = weir_wanted_field(weir_schema_field_at(weir_view_feed(p->view)->schema, columns[i]), "record_", &wanted[i], err);
    snprintf(table, sizeof table, "features_%s", p->def->name);
    const weir_rows_query query = {.pipeline = p->pipeline,
                                   .table = table,
                                   .objects_dir = p->query->objects_dir,
                                   .from_us = WEIR_TIME_MIN_US,
                                   .to_us = WEIR_TIME_MAX_US,
                                   .as_of_us = WEIR_TIME_MAX_US,
                                   .tenant = p->query->tenant,
                                   .records_only = true,
                                   .wanted = wanted,
                                   .wanted_count = column_count};
    if (!status) status = weir_rows_files(p->pg, &query, &p->files, &p->file_rows, err);
    free(wanted);
    return status;
}

/* Predictions whose entity of the view nobody can tell, because PostgreSQL does not have the record that was scored. */
static weir_status count_unknown(parity *p, weir_err *err) {
    weir_buf sql = {0};
    PGresult *result = NULL;
    p->passes = 1;
    bool ok =
        weir_buf_printf(&sql, "SELECT count(*) FROM \"%s\".predictions p", p->pipeline->name) && put_predictions_where(&sql, p, true) &&
        put_share(&sql, p, "p.entity") &&
        weir_buf_printf(&sql,
                        " AND NOT EXISTS (SELECT FROM \"%s\".\"features_%s\" r WHERE r.event_time = p.event_time AND r.source_partition = p.source_partition"
                        " AND r.source_offset = p.source_offset AND r.seq = r.version)",
                        p->pipeline->name, p->pipeline->views[p->pipeline->primary_view].name);
    weir_status status = ok ? weir_pg_exec(p->pg, sql.data, 0, NULL, &result, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    p->result->incomplete += atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

static weir_status check_view(parity *p, int index, weir_err *err) {
    p->def = &p->pipeline->views[index];
    p->primary = index == p->pipeline->primary_view;
    choose_features(p);
    if (!p->feature_count) return WEIR_OK;
    weir_status status = weir_view_new(p->pipeline, p->def, &p->view, err);
    if (status) return status;
    size_t fields = (size_t)weir_schema_field_count(weir_view_feed(p->view)->schema);
    p->row = weir_mem.realloc(NULL, fields * sizeof *p->row);
    if (!p->row) {
        status = no_memory(err);
    } else {
        for (size_t i = 0; i < fields; i++) p->row[i] = weir_null();
        status = find_files(p, err);
        if (!status && !p->primary) status = count_unknown(p, err);
        if (!status) status = count_passes(p, err);
    }
    for (p->pass = 0; !status && p->pass < p->passes; p->pass++) status = check_pass(p, err);
    free(p->row);
    weir_view_free(p->view);
    weir_sql_done(&p->files);
    p->row = NULL;
    p->view = NULL;
    p->files = (weir_sql){0};
    return status ? weir_err_prefix(err, "view %s", p->def->name) : WEIR_OK;
}

/* Predictions of the query, made under the present feature definitions or under others. */
static weir_status count_predictions(parity *p, bool same_definitions, int64_t *ret_count, weir_err *err) {
    weir_buf sql = {0};
    PGresult *result = NULL;
    bool ok = weir_buf_printf(&sql, "SELECT count(*) FROM \"%s\".predictions p", p->pipeline->name) && put_predictions_where(&sql, p, same_definitions);
    weir_status status = ok ? weir_pg_exec(p->pg, sql.data, 0, NULL, &result, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    *ret_count = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

static weir_status need_predictions(parity *p, weir_err *err) {
    bool there;
    weir_status status = weir_offline_has_table(p->pg, p->pipeline, "predictions", &there, err);
    if (!status && !there) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no predictions of pipeline %s yet", p->pipeline->name);
    return status;
}

static weir_status check_all(parity *p, weir_err *err) {
    weir_status status = need_predictions(p, err);
    if (!status) status = count_predictions(p, false, &p->result->other_definitions, err);
    for (int v = 0; !status && v < p->pipeline->view_count; v++) status = check_view(p, v, err);
    return status;
}

/* Predictions, records in PostgreSQL and files as of one moment. */
static weir_status take_snapshot(parity *p, weir_err *err) {
    char names[WEIR_VIEWS_MAX][WEIR_COLUMN_NAME_MAX + 1];
    const char *tables[WEIR_VIEWS_MAX + 2] = {"predictions"};
    for (int v = 0; v < p->pipeline->view_count; v++) {
        snprintf(names[v], sizeof names[v], "features_%s", p->pipeline->views[v].name);
        tables[v + 1] = names[v];
    }
    return weir_rows_snapshot(p->pg, p->pipeline, tables, err);
}

weir_status weir_parity_count(const char *pg_url, const weir_pipeline *pipeline, const weir_parity_query *query, int64_t *ret_predictions, weir_err *err) {
    parity p = {.pipeline = pipeline, .query = query};
    weir_status status = weir_pg_new(pg_url, &p.pg, err);
    if (!status) status = need_predictions(&p, err);
    if (!status) status = count_predictions(&p, true, ret_predictions, err);
    weir_pg_free(p.pg);
    return status;
}

weir_status weir_parity_run(const char *pg_url, const weir_pipeline *pipeline, const weir_parity_query *query,
                            void (*on_difference)(void *context, const weir_parity_difference *difference), void *context, weir_parity_result *ret_result,
                            weir_err *err) {
    parity p = {.pipeline = pipeline, .query = query, .on_difference = on_difference, .context = context, .result = ret_result};
    *ret_result = (weir_parity_result){0};
    weir_status status = weir_pg_new(pg_url, &p.pg, err);
    if (!status) status = take_snapshot(&p, err);
    if (!status) status = check_all(&p, err);
    if (p.pg) weir_pg_rollback(p.pg);
    clear_view(&p);
    free(p.served.data);
    free(p.served_values.data);
    free(p.records.data);
    free(p.slots.data);
    weir_duck_free(p.duck);
    weir_pg_free(p.pg);
    return status;
}
