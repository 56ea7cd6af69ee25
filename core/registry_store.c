#include "core/registry_store.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/registry_server.h"

/* Registrations take turns, in all processes: any fixed number, "weirregi" in ASCII. */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(8603398679688800105)"

static char *copy_text(const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = weir_mem.realloc(NULL, len);
    return copy ? memcpy(copy, text, len) : NULL;
}

void weir_registry_entry_done(weir_registry_entry *entry) {
    (void)weir_mem.realloc(entry->schema, 0);
    *entry = (weir_registry_entry){0};
}

/* ---- queries ---- */

static cJSON *cell(const PGresult *result, int row, int column) {
    const char *text = PQgetvalue(result, row, column);
    enum { INT4_OID = 23 };
    return PQftype(result, column) == INT4_OID ? cJSON_CreateNumber(atoi(text)) : cJSON_CreateString(text);
}

weir_status weir_registry_list(weir_pg *pg, const char *sql, int param_count, const char *const *params, cJSON **ret_array, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, param_count, params, &result, err);
    if (status) return status;
    cJSON *array = cJSON_CreateArray();
    bool ok = array != NULL;
    for (int i = 0; ok && i < PQntuples(result); i++) {
        cJSON *item = PQnfields(result) == 1 ? cell(result, i, 0) : cJSON_CreateObject();
        for (int k = 0; PQnfields(result) > 1 && k < PQnfields(result); k++) ok = ok && cJSON_AddItemToObject(item, PQfname(result, k), cell(result, i, k));
        ok = ok && cJSON_AddItemToArray(array, item);
    }
    PQclear(result);
    if (!ok) {
        cJSON_Delete(array);
        return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for an answer");
    }
    *ret_array = array;
    return WEIR_OK;
}

/* Row: id, version, deleted, schema. */
static weir_status one_entry(weir_pg *pg, const char *sql, int param_count, const char *const *params, weir_registry_entry *ret_entry, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, param_count, params, &result, err);
    if (status) return status;
    if (PQntuples(result) == 0)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "no such version");
    else {
        weir_registry_entry entry = {.deleted = PQgetvalue(result, 0, 2)[0] == 't', .schema = copy_text(PQgetvalue(result, 0, 3))};
        (void)snprintf(entry.id, sizeof entry.id, "%s", PQgetvalue(result, 0, 0));
        (void)snprintf(entry.version, sizeof entry.version, "%s", PQgetvalue(result, 0, 1));
        if (entry.schema)
            *ret_entry = entry;
        else
            status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    }
    PQclear(result);
    return status;
}

#define ENTRY_SQL "SELECT s.id, v.version, v.deleted, s.schema FROM weir.subjects v JOIN weir.schemas s ON s.id = v.schema_id WHERE v.subject = $1"

weir_status weir_registry_version(weir_pg *pg, const char *subject, int version, bool with_deleted, weir_registry_entry *ret_entry, weir_err *err) {
    char number[16];
    (void)snprintf(number, sizeof number, "%d", version);
    return one_entry(pg, ENTRY_SQL " AND ($2::int = 0 OR v.version = $2::int) AND (NOT v.deleted OR $3::bool) ORDER BY v.version DESC LIMIT 1", 3,
                     (const char *const[]){subject, number, with_deleted ? "t" : "f"}, ret_entry, err);
}

weir_status weir_registry_same(weir_pg *pg, const char *subject, const char *fingerprint, bool with_deleted, weir_registry_entry *ret_entry, weir_err *err) {
    return one_entry(pg, ENTRY_SQL " AND s.fingerprint = $2 AND (NOT v.deleted OR $3::bool) ORDER BY v.version DESC LIMIT 1", 3,
                     (const char *const[]){subject, fingerprint, with_deleted ? "t" : "f"}, ret_entry, err);
}

/* The one text that the query answers with, heap. */
static weir_status one_text(weir_pg *pg, const char *sql, int param_count, const char *const *params, char **ret_text, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, param_count, params, &result, err);
    if (status) return status;
    if (PQntuples(result) == 0)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "not found");
    else if (!(*ret_text = copy_text(PQgetvalue(result, 0, 0))))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for an answer");
    PQclear(result);
    return status;
}

weir_status weir_registry_text(weir_pg *pg, const char *id, char **ret_schema, weir_err *err) {
    return one_text(pg, "SELECT schema FROM weir.schemas WHERE id = $1::int", 1, (const char *const[]){id}, ret_schema, err);
}

weir_status weir_registry_level(weir_pg *pg, const char *subject, char ret_level[32], weir_err *err) {
    char *text = NULL;
    weir_status status = one_text(pg, "SELECT compatibility FROM weir.subject_config WHERE subject = $1", 1, (const char *const[]){subject}, &text, err);
    if (!status)
        (void)snprintf(ret_level, 32, "%s", text);
    else if (status == WEIR_ENOTFOUND && !*subject) {
        (void)snprintf(ret_level, 32, "BACKWARD");
        status = WEIR_OK;
    }
    (void)weir_mem.realloc(text, 0);
    return status;
}

weir_status weir_registry_level_for(weir_pg *pg, const char *subject, char ret_level[32], weir_err *err) {
    weir_status status = weir_registry_level(pg, subject, ret_level, err);
    return status == WEIR_ENOTFOUND ? weir_registry_level(pg, "", ret_level, err) : status;
}

/* ---- compatibility ---- */

static weir_status compare(const char *level, const char *schema, const char *old, const char *version, bool *ret_compatible, weir_buf *reason, weir_err *err) {
    bool backward = !strncmp(level, "BACKWARD", 8) || !strncmp(level, "FULL", 4), forward = !strncmp(level, "FORWARD", 7) || !strncmp(level, "FULL", 4);
    weir_buf why = {0};
    bool compatible = true;
    weir_status status = WEIR_OK;
    if (backward) status = weir_schema_can_read(schema, old, &compatible, &why, err);
    if (!status && forward && compatible) status = weir_schema_can_read(old, schema, &compatible, &why, err);
    if (!status && !compatible && !weir_buf_printf(reason, "%sversion %s, %s: %s", reason->len ? "; " : "", version, level, why.data ? why.data : ""))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a reason");
    weir_buf_done(&why);
    *ret_compatible = compatible;
    return status;
}

weir_status weir_registry_compatible(weir_pg *pg, const char *subject, const char *schema, const weir_registry_entry *version, bool *ret_compatible,
                                     weir_buf *reason, weir_err *err) {
    char level[32];
    weir_status status = weir_registry_level_for(pg, subject, level, err);
    *ret_compatible = true;
    if (status || !strcmp(level, "NONE")) return status;
    if (version) return compare(level, schema, version->schema, version->version, ret_compatible, reason, err);
    PGresult *result = NULL;
    bool all = strstr(level, "TRANSITIVE") != NULL;
    status = weir_pg_exec(pg, ENTRY_SQL " AND NOT v.deleted ORDER BY v.version DESC LIMIT $2::int", 2, (const char *const[]){subject, all ? NULL : "1"},
                          &result, err);
    for (int i = 0; !status && *ret_compatible && i < PQntuples(result); i++)
        status = compare(level, schema, PQgetvalue(result, i, 3), PQgetvalue(result, i, 1), ret_compatible, reason, err);
    PQclear(result);
    return status;
}

/* ---- registration ---- */

static weir_status schema_id(weir_pg *pg, const char *schema, const char *fingerprint, char ret_id[16], weir_err *err) {
    char *id = NULL;
    weir_status status = one_text(pg, "SELECT id FROM weir.schemas WHERE fingerprint = $1", 1, (const char *const[]){fingerprint}, &id, err);
    if (status == WEIR_ENOTFOUND)
        status = one_text(pg, "INSERT INTO weir.schemas (fingerprint, schema) VALUES ($1, $2) RETURNING id", 2, (const char *const[]){fingerprint, schema}, &id,
                          err);
    if (!status) (void)snprintf(ret_id, 16, "%s", id);
    (void)weir_mem.realloc(id, 0);
    return status;
}

static weir_status add_version(weir_pg *pg, const char *subject, const char *schema, const char *fingerprint, weir_registry_entry *entry, weir_err *err) {
    char *version = NULL;
    weir_status status = schema_id(pg, schema, fingerprint, entry->id, err);
    if (!status)
        status = one_text(pg,
                          "INSERT INTO weir.subjects (subject, version, schema_id)"
                          " SELECT $1, coalesce(max(version), 0) + 1, $2::int FROM weir.subjects WHERE subject = $1 RETURNING version",
                          2, (const char *const[]){subject, entry->id}, &version, err);
    if (!status) (void)snprintf(entry->version, sizeof entry->version, "%s", version);
    (void)weir_mem.realloc(version, 0);
    return status;
}

static weir_status add_locked(weir_pg *pg, const char *subject, const char *schema, const char *fingerprint, weir_registry_entry *entry, bool *ret_compatible,
                              weir_buf *reason, weir_err *err) {
    weir_status status = weir_pg_exec(pg, LOCK_SQL, 0, NULL, NULL, err);
    if (status) return status;
    status = weir_registry_same(pg, subject, fingerprint, false, entry, err);
    if (status != WEIR_ENOTFOUND) return status;
    status = weir_registry_compatible(pg, subject, schema, NULL, ret_compatible, reason, err);
    return status || !*ret_compatible ? status : add_version(pg, subject, schema, fingerprint, entry, err);
}

weir_status weir_registry_add(weir_pg *pg, const char *subject, const char *schema, const char *fingerprint, weir_registry_entry *ret_entry,
                              bool *ret_compatible, weir_buf *reason, weir_err *err) {
    weir_registry_entry entry = {0};
    *ret_compatible = true;
    weir_status status = weir_pg_begin(pg, err);
    if (status) return status;
    status = add_locked(pg, subject, schema, fingerprint, &entry, ret_compatible, reason, err);
    if (!status) status = weir_pg_commit(pg, err);
    if (status) {
        weir_pg_rollback(pg);
        weir_registry_entry_done(&entry);
        return status;
    }
    *ret_entry = entry;
    return WEIR_OK;
}

/* ---- fingerprints ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

static bool canonical(const cJSON *json, weir_buf *out);

static bool canonical_object(const cJSON *json, weir_buf *out) {
    size_t count = (size_t)cJSON_GetArraySize(json), n = 0;
    const cJSON *item;
    if (count == 1 && !strcmp(json->child->string, "type")) return canonical(json->child, out);
    const cJSON **members = weir_mem.realloc(NULL, count * sizeof(cJSON *) + 1);
    if (!members) return false;
    cJSON_ArrayForEach(item, json) members[n++] = item;
    qsort(members, n, sizeof *members, by_name);
    bool ok = weir_buf_append(out, "{", 1);
    for (size_t i = 0; ok && i < n; i++)
        ok = weir_buf_printf(out, "%s\"", i ? "," : "") && weir_buf_json_escape(out, members[i]->string, strlen(members[i]->string)) &&
             weir_buf_append(out, "\":", 2) && canonical(members[i], out);
    (void)weir_mem.realloc(members, 0);
    return ok && weir_buf_append(out, "}", 1);
}

static bool canonical(const cJSON *json, weir_buf *out) {
    if (cJSON_IsObject(json)) return canonical_object(json, out);
    if (cJSON_IsArray(json)) {
        const cJSON *item;
        bool ok = weir_buf_append(out, "[", 1);
        cJSON_ArrayForEach(item, json) ok = ok && (item == json->child || weir_buf_append(out, ",", 1)) && canonical(item, out);
        return ok && weir_buf_append(out, "]", 1);
    }
    char *text = cJSON_PrintUnformatted(json);
    bool ok = text && weir_buf_append(out, text, strlen(text));
    cJSON_free(text);
    return ok;
}

weir_status weir_registry_fingerprint(const char *schema, char ret_text[65], weir_err *err) {
    cJSON *json = cJSON_Parse(schema);
    weir_buf text = {0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok = json && canonical(json, &text) && EVP_Digest(text.data, text.len, digest, &len, EVP_sha256(), NULL) == 1 && len == 32;
    for (unsigned i = 0; ok && i < len; i++) (void)snprintf(ret_text + 2 * (size_t)i, 3, "%02x", digest[i]);
    cJSON_Delete(json);
    weir_buf_done(&text);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no fingerprint of the schema");
}
