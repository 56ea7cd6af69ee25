/* Point-in-time retrieval: the spine and, beside it, each view's values at each of its rows; into a file or into memory. See history_internal.h for the parts. */
#include "features/history.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/history_internal.h"
#include "features/intern.h"

#define DEFAULT_MEMORY (INT64_C(1) << 30)

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the training set; ask for a shorter range");
}

static void *alloc(size_t count, size_t size) {
    void *p = weir_mem.realloc(NULL, count * size + 1);
    return p ? memset(p, 0, count * size + 1) : NULL;
}

/* --- what is asked for --- */

static weir_status use_view(history_reader *r, int index, int *ret_use, weir_err *err) {
    const weir_view_def *def = &r->pipeline->views[index];
    for (*ret_use = 0; *ret_use < r->view_count; ++*ret_use)
        if (r->views[*ret_use].def == def) return WEIR_OK;
    history_view *use = &r->views[*ret_use];
    *use = (history_view){.def = def, .primary = index == r->pipeline->primary_view};
    weir_status status = def->at == WEIR_AT_READ ? weir_view_new(r->pipeline, def, &use->view, err) : WEIR_OK;
    if (!status) r->view_count++;
    return status;
}

static weir_status unknown_column(const history_reader *r, const char *name, weir_err *err) {
    const char *names[WEIR_VIEWS_MAX * 64 + 1];
    int n = 0;
    for (int v = 0; v < r->pipeline->view_count; v++)
        for (int f = 0; f < r->pipeline->views[v].feature_count && n < WEIR_VIEWS_MAX * 64; f++) names[n++] = r->pipeline->views[v].features[f].name;
    names[n] = NULL;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "\"%.64s\" is no feature of pipeline %s%s%s%s%s", name, r->pipeline->name,
                     r->query->labels ? "" : " and no number in its events", near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static weir_status add_feature(history_reader *r, int view, int feature, weir_err *err) {
    int use;
    const weir_feature_def *def = &r->pipeline->views[view].features[feature];
    if (def->hidden) return WEIR_FAIL(err, WEIR_EINVAL, "feature \"%s\" is hidden: it is there for other features only", def->name);
    if (r->column_count == HISTORY_COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "more than %d columns are asked for", HISTORY_COLUMNS_MAX);
    weir_status status = use_view(r, view, &use, err);
    if (status) return status;
    history_view *v = &r->views[use];
    for (int i = 0; i < v->count; i++)
        if (v->feature[i] == feature) return WEIR_FAIL(err, WEIR_EINVAL, "feature \"%s\" is asked for twice", def->name);
    v->feature[v->count] = feature;
    v->column[v->count++] = r->column_count;
    r->cell[r->column_count] = -1;
    r->columns[r->column_count++] = def->name;
    return WEIR_OK;
}

static weir_status add_column(history_reader *r, const char *name, weir_err *err) {
    for (int v = 0; v < r->pipeline->view_count; v++) {
        const weir_view_def *def = &r->pipeline->views[v];
        for (int f = 0; f < def->feature_count; f++)
            if (!strcmp(def->features[f].name, name)) return add_feature(r, v, f, err);
    }
    const weir_schema *schema = r->pipeline->events.schema;
    int index = r->query->labels ? -1 : weir_schema_find(schema, name);
    weir_type type = index < 0 ? WEIR_T_NULL : weir_schema_field_at(schema, index)->type;
    if (type != WEIR_T_BOOL && type != WEIR_T_I64 && type != WEIR_T_F64) return unknown_column(r, name, err);
    if (r->column_count == HISTORY_COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "more than %d columns are asked for", HISTORY_COLUMNS_MAX);
    r->cell[r->column_count] = index;
    r->columns[r->column_count++] = name;
    return WEIR_OK;
}

/* Whether two views have one key at every row: of labels it is the entity's columns, each read as its feed has it; of events the primary view has theirs. */
static bool same_key(const history_reader *r, const history_view *a, const history_view *b) {
    if (a->def->from != b->def->from || a->def->entity_count != b->def->entity_count || (!r->query->labels && (a->primary || b->primary))) return false;
    for (int i = 0; i < a->def->entity_count; i++)
        if (strcmp(a->def->entity[i], b->def->entity[i]) != 0) return false;
    return true;
}

static void set_key(history_reader *r, int view) {
    int *key = &r->views[view].key;
    for (*key = 0; *key < view && !same_key(r, &r->views[*key], &r->views[view]);) ++*key;
}

/* The column of the pipeline's labels that is asked for. */
static weir_status resolve_label(history_reader *r, weir_err *err) {
    const weir_pipeline *p = r->pipeline;
    const char *asked = r->query->label;
    if (!p->labels.topic) return asked ? WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no labels, so no '%.64s'", p->name, asked) : WEIR_OK;
    int index = asked ? weir_schema_find(p->labels.schema, asked) : p->label_column;
    if (index < 0) return WEIR_FAIL(err, WEIR_EINVAL, "'%.64s' is no column of the labels of pipeline %s", asked, p->name);
    r->label = weir_schema_field_at(p->labels.schema, index);
    bool text = r->label->type == WEIR_T_STR, number = r->label->type == WEIR_T_BOOL || r->label->type == WEIR_T_I64 || r->label->type == WEIR_T_F64;
    if (text != (r->query->label_classes != NULL) || (!text && !number))
        return WEIR_FAIL(err, WEIR_EINVAL, "label '%.64s' is %s", r->label->name,
                         text     ? "a text: its classes have to be named"
                         : number ? "no text, which alone has classes"
                                  : "neither a number, a boolean nor a text");
    return WEIR_OK;
}

static weir_status resolve(history_reader *r, weir_err *err) {
    int primary;
    const weir_pipeline *p = r->pipeline;
    weir_status status = resolve_label(r, err);
    if (!status && !r->query->labels) status = use_view(r, p->primary_view, &primary, err);
    for (const char *const *name = r->query->columns; !status && name && *name; name++) status = add_column(r, *name, err);
    for (int v = 0; !status && !r->query->columns && v < p->view_count; v++)
        for (int f = 0; !status && f < p->views[v].feature_count; f++)
            if (!p->views[v].features[f].hidden) status = add_feature(r, v, f, err);
    for (int v = 0; !status && v < r->view_count; v++) set_key(r, v);
    if (!status && !r->column_count) return WEIR_FAIL(err, WEIR_EINVAL, "no columns are asked for");
    return status;
}

/* --- the run --- */

static int64_t clamp(int64_t us) {
    return us < WEIR_TIME_MIN_US ? WEIR_TIME_MIN_US : us > WEIR_TIME_MAX_US ? WEIR_TIME_MAX_US : us;
}

static void done(history_reader *r) {
    if (!r) return;
    for (int v = 0; v < r->view_count; v++) weir_view_free(r->views[v].view);
    history_labels_done(r);
    history_values_done(&r->values);
    weir_sql_done(&r->carried);
    weir_duck_free(r->duck);
    if (r->pg) weir_pg_rollback(r->pg);
    weir_pg_free(r->pg);
    free(r);
}

static weir_status open_stores(history_reader *r, const char *pg_url, weir_err *err) {
    char names[WEIR_VIEWS_MAX + 1][WEIR_COLUMN_NAME_MAX + 1];
    const char *tables[WEIR_VIEWS_MAX + 2] = {"labels"};
    for (int v = 0; v < r->pipeline->view_count; v++) {
        snprintf(names[v], sizeof names[v], "features_%s", r->pipeline->views[v].name);
        tables[v + 1] = names[v];
    }
    tables[r->pipeline->view_count + 1] = NULL;
    weir_status status = weir_pg_new(pg_url, &r->pg, err);
    if (!status) status = weir_rows_snapshot(r->pg, r->pipeline, tables, err);
    if (!status) status = weir_duck_new(&r->duck, err);
    return status ? status : weir_duck_set_memory(r->duck, r->budget.max_bytes, err);
}

static void tell(const history_reader *r, const char *step, int64_t rows) {
    if (r->query->progress) r->query->progress(r->query->progress_context, step, rows, r->row_count ? r->row_count : -1);
}

static weir_status nothing(const history_reader *r, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    if (r->query->labels) return WEIR_FAIL(err, WEIR_ENOTFOUND, "%s has no rows that are asked for", r->query->labels);
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no events from %s to %s in the offline store", r->pipeline->name, weir_time_format(r->from_us, from),
                     weir_time_format(r->to_us, to));
}

/* Everything but putting it out. whole: the features are to be in memory. */
static weir_status read_all(history_reader *r, const char *pg_url, bool whole, weir_err *err) {
    const weir_history_query *q = r->query;
    if (q->tenant && !weir_text_valid(q->tenant, strlen(q->tenant))) return WEIR_FAIL(err, WEIR_EINVAL, "the tenant is no UTF-8 text");
    r->from_us = clamp(q->from_us);
    r->to_us = clamp(q->to_us);
    r->as_of_us = clamp(q->as_of_us);
    r->budget.max_bytes = (q->memory_bytes ? q->memory_bytes : DEFAULT_MEMORY) / 2; /* half is DuckDB's */
    weir_status status = resolve(r, err);
    if (!status) status = open_stores(r, pg_url, err);
    tell(r, "labels", 0);
    if (!status) status = history_spine(r, err);
    if (!status && !r->row_count) status = nothing(r, err);
    if (!status) status = history_values_init(&r->values, r, whole, err);
    for (int v = 0; !status && v < r->view_count; v++) {
        tell(r, r->views[v].def->name, r->row_count * v / r->view_count);
        if (r->views[v].count) status = history_join(r, v, err);
    }
    history_labels_done(r);
    return status;
}

static weir_status start(const weir_pipeline *pipeline, const weir_history_query *query, history_reader **ret_reader, weir_err *err) {
    history_reader *r = *ret_reader = alloc(1, sizeof *r);
    if (!r) return no_memory(err);
    r->pipeline = pipeline;
    r->query = query;
    pthread_mutex_init(&r->values.lock, NULL);
    return WEIR_OK;
}

/* --- how much there is --- */

static weir_status count_spine(const history_reader *r, int64_t *ret_events, int64_t *ret_labelled, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    bool more;
    weir_status status = weir_duck_query(r->duck,
                                         r->pipeline->labels.topic ? "SELECT count(*), count(*) FILTER (\"weir spine labelled\") FROM spine"
                                                                   : "SELECT count(*), CAST(0 AS BIGINT) FROM spine",
                                         &cursor, err);
    if (!status) status = weir_duck_next(cursor, &more, err);
    if (!status) {
        *ret_events = weir_duck_get(cursor, 0).i;
        *ret_labelled = weir_duck_get(cursor, 1).i;
    }
    weir_duck_cursor_free(cursor);
    return status;
}

weir_status weir_history_coverage(const char *pg_url, const weir_pipeline *pipeline, const char *objects_dir, int64_t from_us, int64_t to_us,
                                  int64_t *ret_events, int64_t *ret_labelled, weir_err *err) {
    const weir_history_query query = {.objects_dir = objects_dir};
    history_reader *r;
    weir_status status = start(pipeline, &query, &r, err);
    if (status) return status;
    r->from_us = clamp(from_us);
    r->to_us = clamp(to_us);
    r->as_of_us = WEIR_TIME_MAX_US;
    r->budget.max_bytes = DEFAULT_MEMORY / 2;
    status = resolve_label(r, err);
    if (!status) status = open_stores(r, pg_url, err);
    if (!status) status = history_spine(r, err);
    if (!status) status = count_spine(r, ret_events, ret_labelled, err);
    done(r);
    return status;
}

/* --- into a file --- */

static weir_status give_features(void *context, const weir_duck_vectors *in, double *const *results, weir_err *err) {
    history_reader *r = context;
    const int64_t *rows = in->data[0];
    for (int64_t i = 0; i < in->rows; i++) {
        const double *values;
        weir_status status = history_values_row(r, rows[i], &values, err);
        if (status) return status;
        for (int c = 0; c < r->column_count; c++) results[c][i] = values[c];
    }
    return WEIR_OK;
}

static void put_copy(weir_sql *sql, const history_reader *r, const char *part, const char *path) {
    weir_sql_add(sql, "COPY (SELECT ");
    sql->failed |= !weir_buf_append(&sql->text, r->carried.text.data, r->carried.text.len);
    for (int c = 0; c < r->column_count; c++) {
        if (r->cell[c] >= 0)
            weir_sql_add(sql, ", s.\"weir spine cell %d\" AS ", c);
        else
            weir_sql_add(sql, ", s.\"weir spine features\".");
        weir_sql_name(sql, r->columns[c]);
    }
    weir_sql_add(sql, " FROM (SELECT *, weir_features(rowid) AS \"weir spine features\" FROM spine) s) TO ");
    weir_sql_literal(sql, part, strlen(part));
    weir_sql_add(sql, " (");
    weir_sql_copy_options(sql, path);
    weir_sql_add(sql, ")");
}

static weir_status write_file(history_reader *r, const char *path, weir_err *err) {
    const weir_type argument = WEIR_T_I64;
    const weir_duck_function function = {.name = "weir_features",
                                         .arguments = &argument,
                                         .argument_count = 1,
                                         .members = r->columns,
                                         .member_count = r->column_count,
                                         .call = give_features,
                                         .context = r};
    weir_buf part = {0};
    weir_sql sql = {0};
    weir_status status = weir_sql_end(&r->carried, err);
    if (!status && !weir_buf_printf(&part, "%s.part", path)) status = no_memory(err);
    if (!status) {
        put_copy(&sql, r, part.data, path);
        status = weir_sql_end(&sql, err);
    }
    if (!status) status = weir_duck_add_function(r->duck, &function, err);
    /* The joins are done: but for the values, DuckDB may have it all, of which it makes row groups side by side. */
    if (!status) status = weir_duck_set_memory(r->duck, 2 * r->budget.max_bytes - r->budget.used_bytes, err);
    if (!status && !r->values.whole) status = weir_duck_exec(r->duck, "SET threads=1", err); /* blocks are read in the order of rows */
    if (!status) status = weir_duck_exec(r->duck, sql.text.data, err);
    if (!status && rename(part.data, path)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", path, strerror(errno));
    if (status && part.data) (void)unlink(part.data);
    weir_sql_done(&sql);
    weir_buf_done(&part);
    return status;
}

weir_status weir_history_write(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, const char *path, int64_t *ret_rows,
                               weir_err *err) {
    if (weir_file_format_of(path) == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, path);
    history_reader *r;
    weir_status status = start(pipeline, query, &r, err);
    if (!status) status = read_all(r, pg_url, false, err);
    if (!status) {
        tell(r, "writing", r->row_count);
        status = write_file(r, path, err);
    }
    if (!status) *ret_rows = r->row_count;
    done(r);
    return status;
}

/* --- into memory --- */

static weir_status start_history(const history_reader *r, weir_history **ret_history, weir_err *err) {
    size_t n = (size_t)r->row_count;
    weir_history *h = *ret_history = alloc(1, sizeof(*h));
    if (!h) return no_memory(err);
    h->row_count = r->row_count;
    h->column_count = r->column_count;
    h->event_time_us = alloc(n, sizeof(*h->event_time_us));
    h->label = alloc(n, sizeof(*h->label));
    h->source = alloc(n, sizeof(*h->source));
    h->entity = alloc(n, sizeof(*h->entity));
    h->tenant = alloc(n, sizeof(*h->tenant));
    h->column_names = alloc((size_t)r->column_count + 1, sizeof(*h->column_names));
    if (!h->event_time_us || !h->label || !h->source || !h->entity || !h->tenant || !h->column_names) return no_memory(err);
    for (int c = 0; c < r->column_count; c++) {
        if (!(h->column_names[c] = strdup(r->columns[c]))) return no_memory(err);
    }
    return WEIR_OK;
}

static int primary_use(const history_reader *r) {
    int use = 0;
    while (!r->views[use].primary) use++;
    return use;
}

static weir_status name_tenants(const weir_intern *tenants, weir_history *h, weir_err *err) {
    h->tenant_names = alloc(tenants->count, sizeof *h->tenant_names);
    if (!h->tenant_names) return no_memory(err);
    for (; h->tenant_count < tenants->count; h->tenant_count++) {
        size_t len;
        const char *name = weir_intern_text(tenants, h->tenant_count, &len);
        if (!(h->tenant_names[h->tenant_count] = strndup(name, len))) return no_memory(err);
    }
    return WEIR_OK;
}

/* What is known from the spine alone, in its order. Entities are numbered by their first row. */
static weir_status put_spine(const history_reader *r, weir_history *h, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_intern entities = {0}, tenants = {0};
    bool labelled = r->pipeline->labels.topic != NULL, more = true;
    weir_sql_add(&sql, "SELECT \"" SPINE_TIME "\", \"" SPINE_PARTITION "\", \"" SPINE_OFFSET "\", \"" SPINE_KEY "\", %s, tenant", r->views[primary_use(r)].key,
                 labelled ? "CAST(\"weir spine label\" AS DOUBLE)" : "CAST(NULL AS DOUBLE)");
    for (int c = 0; c < r->column_count; c++)
        if (r->cell[c] >= 0) weir_sql_add(&sql, ", CAST(\"weir spine cell %d\" AS DOUBLE)", c);
    weir_sql_add(&sql, " FROM spine");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(r->duck, sql.text.data, &cursor, err);
    for (int64_t i = 0; !status && !(status = weir_duck_next(cursor, &more, err)) && more; i++) {
        weir_datum key = weir_duck_get(cursor, 3), label = weir_duck_get(cursor, 4);
        h->event_time_us[i] = weir_duck_get(cursor, 0).i;
        h->source[i] = (weir_source){(int32_t)weir_duck_get(cursor, 1).i, weir_duck_get(cursor, 2).i};
        h->label[i] = weir_datum_number(&label);
        h->entity[i] = weir_intern_add(&entities, key.p, key.len);
        weir_datum tenant = weir_duck_get(cursor, 5);
        h->tenant[i] = weir_intern_add(&tenants, tenant.p, tenant.len);
        if (h->entity[i] == WEIR_INTERN_NONE || h->tenant[i] == WEIR_INTERN_NONE) status = no_memory(err);
        for (int c = 0, at = 6; c < r->column_count; c++) {
            if (r->cell[c] < 0) continue;
            weir_datum cell = weir_duck_get(cursor, at++);
            r->values.whole[c * r->row_count + i] = weir_datum_number(&cell);
        }
    }
    h->entity_count = entities.count;
    if (!status) status = name_tenants(&tenants, h, err);
    weir_duck_cursor_free(cursor);
    weir_intern_done(&entities);
    weir_intern_done(&tenants);
    weir_sql_done(&sql);
    return status;
}

static weir_status describe(const history_reader *r, weir_history *h, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], as_of[WEIR_TIME_TEXT_MAX];
    weir_buf text = {0};
    bool all = r->query->as_of_us >= WEIR_TIME_MAX_US;
    bool ok = weir_buf_printf(&text, "pipeline %s, features %.12s, events from %s to %s, as of %s, tenant %s, columns", r->pipeline->name,
                              r->pipeline->feature_hash, weir_time_format(r->from_us, from), weir_time_format(r->to_us, to),
                              all ? "now" : weir_time_format(r->as_of_us, as_of), r->query->tenant ? r->query->tenant : "(all)");
    for (int c = 0; ok && c < r->column_count; c++) ok = weir_buf_printf(&text, "%s %s", c ? "," : "", r->columns[c]);
    if (ok && r->query->label) ok = weir_buf_printf(&text, ", label %s", r->query->label);
    h->query_text = text.data;
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
    free(history->tenant);
    for (uint32_t t = 0; t < history->tenant_count; t++) free(history->tenant_names[t]);
    free(history->tenant_names);
    free(history->query_text);
    free(history->digest);
    free(history);
}

weir_status weir_history_read(const char *pg_url, const weir_pipeline *pipeline, const weir_history_query *query, weir_history **ret_history, weir_err *err) {
    if (query->labels) return WEIR_FAIL(err, WEIR_EINVAL, "a training set in memory is of events, not of other labels");
    history_reader *r;
    weir_history *h = NULL;
    weir_status status = start(pipeline, query, &r, err);
    if (!status) status = read_all(r, pg_url, true, err);
    if (!status) status = start_history(r, &h, err);
    if (!status) status = put_spine(r, h, err);
    if (!status) {
        h->values = r->values.whole;
        r->values.whole = NULL;
        status = describe(r, h, err);
    }
    if (!status) status = digest(h, err);
    done(r);
    if (status)
        weir_history_free(h);
    else
        *ret_history = h;
    return status;
}
