/* Names of tenants for drift; see drift_tenants.h. */
#include "consumers/drift_tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_drift_tenants {
    weir_pg *pg;
    const char *pipeline;
    int max, count;
    char (*names)[WEIR_DRIFT_TENANT_NAME_MAX + 1]; /* [count], by number */
    int newest; /* that was asked for: records of one tenant often follow each other */
};

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the tenants of drift");
}

weir_status weir_drift_tenants_new(weir_pg *pg, const char *pipeline, int max, weir_drift_tenants **ret_tenants, weir_err *err) {
    weir_drift_tenants *t = weir_mem.realloc(NULL, sizeof *t);
    if (!t) return no_memory(err);
    *t = (weir_drift_tenants){.pg = pg, .pipeline = pipeline, .max = max};
    t->names = weir_mem.realloc(NULL, ((size_t)max + 1) * sizeof *t->names);
    if (!t->names) {
        weir_drift_tenants_free(t);
        return no_memory(err);
    }
    *ret_tenants = t;
    return WEIR_OK;
}

void weir_drift_tenants_free(weir_drift_tenants *t) {
    if (!t) return;
    weir_mem.realloc(t->names, 0);
    weir_mem.realloc(t, 0);
}

static weir_status give(weir_drift_tenants *t, const char *name, weir_err *err) {
    char max[16];
    snprintf(max, sizeof max, "%d", t->max);
    const char *params[] = {t->pipeline, name, max};
    weir_status status = weir_pg_exec(t->pg, "SELECT pg_advisory_xact_lock(hashtextextended('weir.drift_tenants/' || $1, 0))", 1, params, NULL, err);
    return status ? status
                  : weir_pg_exec(t->pg,
                                 "INSERT INTO weir.drift_tenants (pipeline, number, tenant) SELECT $1, coalesce(max(number) + 1, 0), $2 FROM "
                                 "weir.drift_tenants WHERE pipeline = $1 HAVING count(*) < $3::int AND count(*) FILTER (WHERE tenant = $2) = 0",
                                 3, params, NULL, err);
}

static weir_status read_names(weir_drift_tenants *t, weir_err *err) {
    PGresult *result = NULL;
    char max[16];
    snprintf(max, sizeof max, "%d", t->max);
    const char *params[] = {t->pipeline, max};
    weir_status status =
        weir_pg_exec(t->pg, "SELECT tenant FROM weir.drift_tenants WHERE pipeline = $1 ORDER BY number LIMIT $2::int", 2, params, &result, err);
    if (status) return status;
    for (int i = t->count; i < PQntuples(result); i++) snprintf(t->names[i], sizeof t->names[i], "%s", PQgetvalue(result, i, 0));
    if (PQntuples(result) > t->count) t->count = PQntuples(result);
    PQclear(result);
    return WEIR_OK;
}

/* What others named meanwhile is read with it. */
static weir_status name_tenant(weir_drift_tenants *t, const char *name, weir_err *err) {
    weir_status status = weir_pg_begin(t->pg, err);
    if (!status) status = give(t, name, err);
    if (!status) status = weir_pg_commit(t->pg, err);
    if (status) {
        weir_pg_rollback(t->pg);
        return status;
    }
    return read_names(t, err);
}

static bool is_named(const weir_drift_tenants *t, int number, const char *name, size_t len) {
    return !memcmp(t->names[number], name, len) && !t->names[number][len];
}

static int find(weir_drift_tenants *t, const char *name, size_t len) {
    if (t->newest < t->count && is_named(t, t->newest, name, len)) return t->newest;
    for (int i = 0; i < t->count; i++)
        if (is_named(t, i, name, len)) return t->newest = i;
    return WEIR_DRIFT_TENANT_REST;
}

weir_status weir_drift_tenants_number(weir_drift_tenants *t, const char *name, size_t len, int *ret_number, weir_err *err) {
    char text[WEIR_DRIFT_TENANT_NAME_MAX + 1];
    *ret_number = WEIR_DRIFT_TENANT_REST;
    if (!t->max || !len || len > WEIR_DRIFT_TENANT_NAME_MAX || memchr(name, 0, len)) return WEIR_OK;
    *ret_number = find(t, name, len);
    if (*ret_number != WEIR_DRIFT_TENANT_REST || t->count == t->max) return WEIR_OK;
    snprintf(text, sizeof text, "%.*s", (int)len, name);
    weir_status status = name_tenant(t, text, err);
    if (!status) *ret_number = find(t, name, len);
    return status;
}

const char *weir_drift_tenants_name(const weir_drift_tenants *t, int number) {
    return number == WEIR_DRIFT_TENANT_REST ? "" : t->names[number];
}
