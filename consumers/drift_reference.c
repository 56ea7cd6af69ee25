/* References for drift: the training period of a version, kept with it. */
#include "consumers/drift_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "features/duck.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the reference of drift");
}

/* ---- which ---- */

static bool time_of(const PGresult *result, int column, int64_t *ret_us) {
    weir_err none;
    return !PQgetisnull(result, 0, column) && !weir_time_parse(PQgetvalue(result, 0, column), ret_us, &none);
}

weir_status weir_drift_training_find(weir_pg *pg, const weir_pipeline *pipeline, weir_drift_training *ret_training, bool *ret_found, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {pipeline->name};
    weir_status status = weir_pg_exec(pg,
                                      "SELECT v.model, v.version, v.lineage #>> '{window,train_from}', v.lineage #>> '{window,train_to}', "
                                      "v.lineage #>> '{window,as_of}' FROM weir.aliases a JOIN weir.model_versions v USING (pipeline, model, version) "
                                      "WHERE a.pipeline = $1 AND a.alias = 'champion'",
                                      1, params, &result, err);
    *ret_found = false;
    if (status) return status;
    weir_drift_training t = {.as_of_us = INT64_MAX};
    if (PQntuples(result) && time_of(result, 2, &t.from_us) && time_of(result, 3, &t.to_us)) {
        (void)time_of(result, 4, &t.as_of_us);
        snprintf(t.model, sizeof t.model, "%s", PQgetvalue(result, 0, 0));
        t.version = atoi(PQgetvalue(result, 0, 1));
        *ret_training = t;
        *ret_found = true;
    }
    PQclear(result);
    return WEIR_OK;
}

/* ---- kept ---- */

static bool put_names(const weir_drift_columns *columns, weir_buf *out) {
    bool ok = true;
    for (int i = 0; ok && i < columns->count; i++) ok = weir_buf_printf(out, "%s%s", i ? "," : "", columns->fields[i].name);
    return ok;
}

typedef struct kept {
    weir_drift_table *table;
    int64_t records;
} kept;

static weir_status on_kept(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    kept *k = context;
    (void)field_count;
    k->records = weir_pg_get_int8(&fields[0]);
    return weir_drift_table_decode(fields[1].data, (size_t)fields[1].len, &k->table, err);
}

/* What is asked for. */
typedef struct wanted {
    const weir_drift_columns *columns;
    const weir_drift_training *training;
    const char *names, *tenant; /* tenant "": all */
} wanted;

static weir_status read_kept(weir_pg *pg, const wanted *w, kept *k, weir_err *err) {
    weir_sql sql = {0};
    const char *pipeline = w->columns->pipeline->name;
    weir_sql_add(&sql, "COPY (SELECT records, bytes FROM weir.drift_references WHERE pipeline = ");
    weir_sql_literal(&sql, pipeline, strlen(pipeline));
    weir_sql_add(&sql, " AND model = ");
    weir_sql_literal(&sql, w->training->model, strlen(w->training->model));
    weir_sql_add(&sql, " AND version = %d AND columns = ", w->training->version);
    weir_sql_literal(&sql, w->names, strlen(w->names));
    weir_sql_add(&sql, " AND tenant = ");
    weir_sql_literal(&sql, w->tenant, strlen(w->tenant));
    weir_sql_add(&sql, ") TO STDOUT (FORMAT binary)");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_copy_out(pg, sql.text.data, on_kept, k, err);
    weir_sql_done(&sql);
    return status;
}

/* Of one tenant takes the place of those of other versions: as many as there are tenants stay. */
static weir_status replace_kept(weir_pg *pg, const wanted *w, const weir_buf *rows, weir_err *err) {
    char version[16];
    snprintf(version, sizeof version, "%d", w->training->version);
    const char *params[] = {w->columns->pipeline->name, w->training->model, version, w->tenant};
    weir_status status = weir_pg_exec(
        pg, "DELETE FROM weir.drift_references WHERE pipeline = $1 AND tenant = $4 AND ($4 <> '' OR (model = $2 AND version = $3::int))", 4, params, NULL, err);
    if (status) return status;
    return weir_pg_copy_in(pg, "COPY weir.drift_references (pipeline, model, version, columns, records, bytes, tenant) FROM STDIN (FORMAT binary)", rows, err);
}

static weir_status write_kept(weir_pg *pg, const wanted *w, const kept *k, weir_err *err) {
    weir_buf bytes = {0}, rows = {0};
    const char *pipeline = w->columns->pipeline->name, *model = w->training->model;
    bool ok = weir_drift_table_encode(k->table, &bytes) && weir_pg_put_tuple(&rows, 7) && weir_pg_put_bytes(&rows, pipeline, strlen(pipeline)) &&
              weir_pg_put_bytes(&rows, model, strlen(model)) && weir_pg_put_int4(&rows, w->training->version) &&
              weir_pg_put_bytes(&rows, w->names, strlen(w->names)) && weir_pg_put_int8(&rows, k->records) && weir_pg_put_bytes(&rows, bytes.data, bytes.len) &&
              weir_pg_put_bytes(&rows, w->tenant, strlen(w->tenant));
    weir_status status = ok ? weir_pg_begin(pg, err) : no_memory(err);
    if (!status) status = replace_kept(pg, w, &rows, err);
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    weir_buf_done(&bytes);
    weir_buf_done(&rows);
    return status;
}

weir_status weir_drift_training_kept(weir_pg *pg, const weir_drift_columns *columns, const weir_drift_training *t, const char *tenant,
                                     weir_drift_table **ret_table, int64_t *ret_records, weir_err *err) {
    weir_buf names = {0};
    kept k = {0};
    weir_status status = put_names(columns, &names) ? WEIR_OK : no_memory(err);
    const wanted w = {columns, t, names.data, tenant ? tenant : ""};
    if (!status) status = read_kept(pg, &w, &k, err);
    weir_buf_done(&names);
    if (status) {
        weir_drift_table_free(k.table);
        return status;
    }
    *ret_table = k.table;
    *ret_records = k.records;
    return WEIR_OK;
}

/* Also that a tenant has no record: a scan finds it once. */
static weir_status make_kept(weir_pg *pg, const wanted *w, const weir_drift_query *query, kept *k, weir_err *err) {
    const weir_drift_training *t = w->training;
    weir_status status = weir_drift_columns_scan(w->columns, query, &k->table, &k->records, err);
    if (!status && !k->records && !*w->tenant)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "history has no record of the period that %s version %d was trained on", t->model, t->version);
    return status ? status : write_kept(pg, w, k, err);
}

weir_status weir_drift_training_table(weir_pg *pg, const char *pg_url, const char *objects_dir, const weir_drift_columns *columns, const weir_drift_training *t,
                                      const char *tenant, weir_drift_table **ret_table, int64_t *ret_records, weir_err *err) {
    const weir_drift_query query = {
        .pg_url = pg_url, .objects_dir = objects_dir, .from_us = t->from_us, .to_us = t->to_us, .as_of_us = t->as_of_us, .tenant = tenant};
    weir_buf names = {0};
    kept k = {0};
    weir_status status = weir_drift_training_kept(pg, columns, t, tenant, &k.table, &k.records, err);
    if (!status && !k.table) {
        status = put_names(columns, &names) ? WEIR_OK : no_memory(err);
        const wanted w = {columns, t, names.data, tenant ? tenant : ""};
        if (!status) status = make_kept(pg, &w, &query, &k, err);
        weir_buf_done(&names);
    }
    if (status) {
        weir_drift_table_free(k.table);
        return status;
    }
    *ret_table = k.table;
    *ret_records = k.records;
    return WEIR_OK;
}
