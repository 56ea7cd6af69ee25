/* The REST API of a schema registry, as Confluent's clients use it. Avro only, no references, always writable.
 * Source: Confluent Platform documentation, "Schema Registry API Reference": paths, answers, error codes. */
#include "core/registry_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/avro_type.h"
#include "core/metrics.h"
#include "core/registry_store.h"

enum { SEGMENTS_MAX = 6, SEGMENT_BYTES_MAX = 512 };

struct weir_registry_server {
    weir_http_server *http;
    weir_pg *pg;
    pthread_mutex_t lock; /* of pg */
};

/* One request: its path in segments, and where the answer goes. */
typedef struct call {
    weir_pg *pg;
    const weir_http_request *request;
    weir_http_response *response;
    int count;
    char segments[SEGMENTS_MAX][SEGMENT_BYTES_MAX];
    weir_err *err;
} call;

static const char *const levels[] = {"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", NULL};

/* ---- answers ---- */

/* An answer that is an error of the client's is no error of ours: returns OK. */
WEIR_PRINTF(3, 4) static weir_status refuse(call *c, int code, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->response->status = code >= 1000 ? code / 100 : code;
    weir_buf *body = &c->response->body;
    weir_buf_clear(body);
    if (!weir_buf_printf(body, "{\"error_code\":%d,\"message\":\"", code) || !weir_buf_json_escape(body, text, strlen(text)) ||
        !weir_buf_append(body, "\"}", 2))
        return WEIR_FAIL(c->err, WEIR_ENOMEM, "out of memory for an answer");
    return WEIR_OK;
}

/* Takes json. */
static weir_status answer(call *c, cJSON *json) {
    char *text = cJSON_PrintUnformatted(json);
    bool ok = text && weir_buf_append(&c->response->body, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(json);
    return ok ? WEIR_OK : WEIR_FAIL(c->err, WEIR_ENOMEM, "out of memory for an answer");
}

static weir_status answer_list(call *c, const char *sql, int param_count, const char *const *params) {
    cJSON *array;
    weir_status status = weir_registry_list(c->pg, sql, param_count, params, &array, c->err);
    return status ? status : answer(c, array);
}

static weir_status answer_text(call *c, const char *key, const char *value) {
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, key, value);
    return answer(c, json);
}

static weir_status answer_entry(call *c, const char *subject, const weir_registry_entry *entry) {
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, "subject", subject);
    (void)cJSON_AddNumberToObject(json, "version", atoi(entry->version));
    (void)cJSON_AddNumberToObject(json, "id", atoi(entry->id));
    (void)cJSON_AddStringToObject(json, "schema", entry->schema);
    return answer(c, json);
}

static weir_status answer_raw(call *c, const char *text) {
    return weir_buf_append(&c->response->body, text, strlen(text)) ? WEIR_OK : WEIR_FAIL(c->err, WEIR_ENOMEM, "out of memory for an answer");
}

static bool is(const call *c, const char *method) {
    return !strcmp(c->request->method, method);
}

static bool asks(const call *c, const char *name) {
    const char *value = weir_http_query(c->request, name);
    return value && !strcmp(value, "true");
}

static weir_status no_subject(call *c, const char *subject) {
    return refuse(c, 40401, "Subject '%s' not found.", subject);
}
static weir_status not_there(call *c) {
    return refuse(c, 404, "HTTP 404 Not Found");
}
static weir_status no_method(call *c) {
    return refuse(c, 405, "HTTP 405 Method Not Allowed");
}

/* ---- what is asked ---- */

/* Schema of the body's {"schema": …}, heap. Refuses (and leaves it NULL) what is no Avro schema by itself. */
static weir_status read_schema(call *c, char **ret_schema, char fingerprint[65]) {
    cJSON *body = cJSON_ParseWithLength(c->request->body ? c->request->body : "", c->request->body_len);
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(body, "schema"), *type = cJSON_GetObjectItemCaseSensitive(body, "schemaType");
    const cJSON *references = cJSON_GetObjectItemCaseSensitive(body, "references");
    weir_avro_doc *doc = NULL;
    weir_err why = {0};
    weir_status status;
    if (!body)
        status = refuse(c, 400, "The body is not JSON.");
    else if (cJSON_IsString(type) && strcmp(type->valuestring, "AVRO"))
        status = refuse(c, 422, "Schema type %s is not supported; this registry takes AVRO.", type->valuestring);
    else if (cJSON_GetArraySize(references) > 0)
        status = refuse(c, 422, "References to other schemas are not supported; put the types into the schema.");
    else if (!cJSON_IsString(schema) || !*schema->valuestring)
        status = refuse(c, 42201, "The body has no schema.");
    else if (weir_avro_doc_parse(schema->valuestring, strlen(schema->valuestring), &doc, &why))
        status = why.code == WEIR_ENOMEM ? WEIR_FAIL(c->err, WEIR_ENOMEM, "%s", why.message) : refuse(c, 42201, "Invalid schema: %s", why.message);
    else {
        status = weir_registry_fingerprint(schema->valuestring, fingerprint, c->err);
        size_t len = strlen(schema->valuestring) + 1;
        char *copy = status ? NULL : weir_mem.realloc(NULL, len);
        if (!status && !copy) status = WEIR_FAIL(c->err, WEIR_ENOMEM, "out of memory for a schema");
        if (copy) *ret_schema = memcpy(copy, schema->valuestring, len);
    }
    weir_avro_doc_free(doc);
    cJSON_Delete(body);
    return status;
}

/* "latest", "-1" or a positive number. False: refused. */
static bool read_version(call *c, const char *text, int *ret_version, weir_status *status) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (!strcmp(text, "latest") || !strcmp(text, "-1"))
        *ret_version = WEIR_REGISTRY_LATEST;
    else if (!*text || *end || errno || number < 1 || number > INT32_MAX) {
        *status =
            refuse(c, 42202, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text);
        return false;
    } else
        *ret_version = (int)number;
    return true;
}

static weir_status subject_exists(call *c, const char *subject, bool with_deleted, bool *ret_exists) {
    weir_registry_entry entry = {0};
    weir_status status = weir_registry_version(c->pg, subject, WEIR_REGISTRY_LATEST, with_deleted, &entry, c->err);
    weir_registry_entry_done(&entry);
    *ret_exists = !status;
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

/* The version named in the path. Not there: refused, and *ret_found false. */
static weir_status find_version(call *c, const char *subject, const char *text, bool with_deleted, weir_registry_entry *ret_entry, bool *ret_found) {
    int version;
    weir_status status = WEIR_OK;
    *ret_found = false;
    if (!read_version(c, text, &version, &status)) return status;
    status = weir_registry_version(c->pg, subject, version, with_deleted, ret_entry, c->err);
    *ret_found = !status;
    if (status != WEIR_ENOTFOUND) return status;
    bool exists;
    status = subject_exists(c, subject, with_deleted, &exists);
    if (status) return status;
    return exists ? refuse(c, 40402, "Version %s not found.", text) : no_subject(c, subject);
}

/* ---- /subjects ---- */

static weir_status list_subjects(call *c) {
    const char *prefix = weir_http_query(c->request, "subjectPrefix");
    if (prefix && !strcmp(prefix, ":*:")) prefix = NULL;
    return answer_list(c, "SELECT DISTINCT subject FROM weir.subjects WHERE (NOT deleted OR $1::bool) AND starts_with(subject, $2) ORDER BY 1", 2,
                       (const char *const[]){asks(c, "deleted") ? "t" : "f", prefix ? prefix : ""});
}

static weir_status look_up(call *c, const char *subject) {
    char *schema = NULL, fingerprint[65];
    bool exists;
    weir_status status = subject_exists(c, subject, asks(c, "deleted"), &exists);
    if (status) return status;
    if (!exists) return no_subject(c, subject);
    status = read_schema(c, &schema, fingerprint);
    if (status || !schema) return status;
    weir_registry_entry entry = {0};
    status = weir_registry_same(c->pg, subject, fingerprint, asks(c, "deleted"), &entry, c->err);
    if (!status)
        status = answer_entry(c, subject, &entry);
    else if (status == WEIR_ENOTFOUND)
        status = refuse(c, 40403, "Schema not found");
    weir_registry_entry_done(&entry);
    (void)weir_mem.realloc(schema, 0);
    return status;
}

static weir_status register_schema(call *c, const char *subject) {
    char *schema = NULL, fingerprint[65];
    weir_status status = read_schema(c, &schema, fingerprint);
    if (status || !schema) return status;
    weir_registry_entry entry = {0};
    weir_buf reason = {0};
    bool compatible = true;
    status = weir_registry_add(c->pg, subject, schema, fingerprint, &entry, &compatible, &reason, c->err);
    if (!status && !compatible)
        status =
            refuse(c, 409, "Schema being registered is incompatible with an earlier schema for subject \"%s\": %s", subject, reason.data ? reason.data : "");
    else if (!status) {
        cJSON *json = cJSON_CreateObject();
        (void)cJSON_AddNumberToObject(json, "id", atoi(entry.id));
        status = answer(c, json);
    }
    weir_registry_entry_done(&entry);
    weir_buf_done(&reason);
    (void)weir_mem.realloc(schema, 0);
    return status;
}

static weir_status list_versions(call *c, const char *subject) {
    bool exists;
    weir_status status = subject_exists(c, subject, asks(c, "deleted"), &exists);
    if (status) return status;
    if (!exists) return no_subject(c, subject);
    return answer_list(c, "SELECT version FROM weir.subjects WHERE subject = $1 AND (NOT deleted OR $2::bool) ORDER BY 1", 2,
                       (const char *const[]){subject, asks(c, "deleted") ? "t" : "f"});
}

/* First softly, then (permanent=true) for good. The answer lists the versions that went. */
static weir_status delete_subject(call *c, const char *subject) {
    bool known, live, permanent = asks(c, "permanent");
    weir_status status = subject_exists(c, subject, true, &known);
    if (!status) status = subject_exists(c, subject, false, &live);
    if (status) return status;
    if (!known) return no_subject(c, subject);
    if (permanent && live) return refuse(c, 40405, "Subject '%s' was not deleted first before being permanently deleted", subject);
    if (!permanent && !live) return refuse(c, 40404, "Subject '%s' was soft deleted. Set permanent=true to delete permanently", subject);
    return answer_list(
        c,
        permanent
            ? "WITH gone AS (DELETE FROM weir.subjects WHERE subject = $1 RETURNING version) SELECT version FROM gone ORDER BY 1"
            : "WITH gone AS (UPDATE weir.subjects SET deleted = true WHERE subject = $1 AND NOT deleted RETURNING version) SELECT version FROM gone ORDER BY 1",
        1, (const char *const[]){subject});
}

static weir_status delete_version(call *c, const char *subject, const char *text) {
    weir_registry_entry entry = {0};
    bool found, permanent = asks(c, "permanent");
    weir_status status = find_version(c, subject, text, true, &entry, &found);
    if (status || !found) return status;
    if (permanent && !entry.deleted)
        status = refuse(c, 40407, "Subject '%s' Version %s was not deleted first before being permanently deleted", subject, entry.version);
    else if (!permanent && entry.deleted)
        status = refuse(c, 40406, "Subject '%s' Version %s was soft deleted. Set permanent=true to delete permanently", subject, entry.version);
    else {
        status = weir_pg_exec(c->pg,
                              permanent ? "DELETE FROM weir.subjects WHERE subject = $1 AND version = $2::int"
                                        : "UPDATE weir.subjects SET deleted = true WHERE subject = $1 AND version = $2::int",
                              2, (const char *const[]){subject, entry.version}, NULL, c->err);
        if (!status) status = answer_raw(c, entry.version);
    }
    weir_registry_entry_done(&entry);
    return status;
}

static weir_status get_version(call *c, const char *subject, const char *text, bool raw) {
    weir_registry_entry entry = {0};
    bool found;
    weir_status status = find_version(c, subject, text, asks(c, "deleted"), &entry, &found);
    if (!status && found) status = raw ? answer_raw(c, entry.schema) : answer_entry(c, subject, &entry);
    weir_registry_entry_done(&entry);
    return status;
}

static weir_status serve_subjects(call *c) {
    const char *subject = c->segments[1];
    bool versions = c->count >= 3 && !strcmp(c->segments[2], "versions");
    if (c->count == 1) return is(c, "GET") ? list_subjects(c) : no_method(c);
    if (c->count == 2) return is(c, "POST") ? look_up(c, subject) : is(c, "DELETE") ? delete_subject(c, subject) : no_method(c);
    if (!versions) return not_there(c);
    if (c->count == 3) return is(c, "POST") ? register_schema(c, subject) : is(c, "GET") ? list_versions(c, subject) : no_method(c);
    if (c->count == 4)
        return is(c, "GET") ? get_version(c, subject, c->segments[3], false) : is(c, "DELETE") ? delete_version(c, subject, c->segments[3]) : no_method(c);
    if (c->count == 5 && !strcmp(c->segments[4], "schema")) return is(c, "GET") ? get_version(c, subject, c->segments[3], true) : no_method(c);
    return not_there(c);
}

/* ---- /schemas ---- */

static weir_status serve_id(call *c, const char *id) {
    char *schema = NULL;
    char *end;
    errno = 0;
    long number = strtol(id, &end, 10);
    weir_status status = !*id || *end || errno || number < 1 || number > INT32_MAX ? WEIR_ENOTFOUND : weir_registry_text(c->pg, id, &schema, c->err);
    if (status == WEIR_ENOTFOUND) return refuse(c, 40403, "Schema %s not found", id);
    if (status) return status;
    const char *part = c->count == 4 ? c->segments[3] : "";
    if (c->count == 3)
        status = answer_text(c, "schema", schema);
    else if (!strcmp(part, "schema"))
        status = answer_raw(c, schema);
    else if (!strcmp(part, "versions"))
        status = answer_list(c, "SELECT subject, version FROM weir.subjects WHERE schema_id = $1::int AND (NOT deleted OR $2::bool) ORDER BY 1, 2", 2,
                             (const char *const[]){id, asks(c, "deleted") ? "t" : "f"});
    else if (!strcmp(part, "subjects"))
        status = answer_list(c, "SELECT DISTINCT subject FROM weir.subjects WHERE schema_id = $1::int AND (NOT deleted OR $2::bool) ORDER BY 1", 2,
                             (const char *const[]){id, asks(c, "deleted") ? "t" : "f"});
    else
        status = not_there(c);
    (void)weir_mem.realloc(schema, 0);
    return status;
}

static weir_status serve_schemas(call *c) {
    if (!is(c, "GET")) return no_method(c);
    if (c->count == 2 && !strcmp(c->segments[1], "types")) return answer_raw(c, "[\"AVRO\"]");
    if ((c->count == 3 || c->count == 4) && !strcmp(c->segments[1], "ids")) return serve_id(c, c->segments[2]);
    return not_there(c);
}

/* ---- /config, /mode, /compatibility ---- */

static weir_status put_level(call *c, const char *subject) {
    cJSON *body = cJSON_ParseWithLength(c->request->body ? c->request->body : "", c->request->body_len);
    const cJSON *level = cJSON_GetObjectItemCaseSensitive(body, "compatibility");
    int known = 0;
    while (cJSON_IsString(level) && levels[known] && strcmp(levels[known], level->valuestring)) known++;
    weir_status status;
    if (!cJSON_IsString(level) || !levels[known])
        status =
            refuse(c, 42203,
                   "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive");
    else {
        status = weir_pg_exec(c->pg,
                              "INSERT INTO weir.subject_config (subject, compatibility) VALUES ($1, $2)"
                              " ON CONFLICT (subject) DO UPDATE SET compatibility = excluded.compatibility",
                              2, (const char *const[]){subject, levels[known]}, NULL, c->err);
        if (!status) status = answer_text(c, "compatibility", levels[known]);
    }
    cJSON_Delete(body);
    return status;
}

static weir_status serve_config(call *c) {
    const char *subject = c->count == 2 ? c->segments[1] : "";
    char level[32];
    if (c->count > 2) return not_there(c);
    if (is(c, "PUT")) return put_level(c, subject);
    if (!is(c, "GET") && !is(c, "DELETE")) return no_method(c);
    weir_status status = is(c, "GET") && asks(c, "defaultToGlobal") ? weir_registry_level_for(c->pg, subject, level, c->err)
                                                                    : weir_registry_level(c->pg, subject, level, c->err);
    if (status == WEIR_ENOTFOUND) return refuse(c, 40408, "Subject '%s' does not have subject-level compatibility configured", subject);
    if (status) return status;
    if (is(c, "GET")) return answer_text(c, "compatibilityLevel", level);
    status = weir_pg_exec(c->pg, "DELETE FROM weir.subject_config WHERE subject = $1", 1, (const char *const[]){subject}, NULL, c->err);
    return status ? status : answer_text(c, "compatibility", level);
}

static weir_status serve_mode(call *c) {
    return is(c, "GET") && c->count <= 2 ? answer_text(c, "mode", "READWRITE") : no_method(c);
}

/* /compatibility/subjects/S/versions/V: with that version; /compatibility/subjects/S/versions: with those that the level names. */
static weir_status serve_compatibility(call *c) {
    if (c->count < 4 || c->count > 5 || strcmp(c->segments[1], "subjects") || strcmp(c->segments[3], "versions")) return not_there(c);
    if (!is(c, "POST")) return no_method(c);
    const char *subject = c->segments[2];
    char *schema = NULL, fingerprint[65];
    weir_registry_entry entry = {0};
    weir_buf reason = {0};
    bool found = true, compatible = true;
    weir_status status = read_schema(c, &schema, fingerprint);
    if (!status && schema && c->count == 5) status = find_version(c, subject, c->segments[4], false, &entry, &found);
    if (!status && schema && found) {
        status = weir_registry_compatible(c->pg, subject, schema, c->count == 5 ? &entry : NULL, &compatible, &reason, c->err);
        cJSON *json = cJSON_CreateObject(), *messages = NULL;
        (void)cJSON_AddBoolToObject(json, "is_compatible", compatible);
        if (asks(c, "verbose")) messages = cJSON_AddArrayToObject(json, "messages");
        if (messages && reason.len) (void)cJSON_AddItemToArray(messages, cJSON_CreateString(reason.data));
        if (status)
            cJSON_Delete(json);
        else
            status = answer(c, json);
    }
    weir_registry_entry_done(&entry);
    weir_buf_done(&reason);
    (void)weir_mem.realloc(schema, 0);
    return status;
}

/* ---- requests ---- */

static const struct {
    const char *name;
    weir_status (*serve)(call *c);
} endpoints[] = {
    {"subjects", serve_subjects}, {"schemas", serve_schemas}, {"config", serve_config}, {"mode", serve_mode}, {"compatibility", serve_compatibility}};

enum { ENDPOINT_COUNT = sizeof endpoints / sizeof *endpoints };

/* False when a segment is longer than any subject may be, or there are too many. */
static bool split_path(call *c, const char *path) {
    for (const char *p = path; *p;) {
        size_t len = strcspn(++p, "/");
        if (len >= SEGMENT_BYTES_MAX || (len && c->count == SEGMENTS_MAX)) return false;
        if (len) (void)snprintf(c->segments[c->count++], SEGMENT_BYTES_MAX, "%.*s", (int)len, p);
        p += len;
    }
    return c->count > 0;
}

static weir_status serve(weir_registry_server *server, const weir_http_request *request, weir_http_response *response, const char **ret_endpoint,
                         weir_err *err) {
    call c = {.pg = server->pg, .request = request, .response = response, .err = err};
    if (!split_path(&c, request->path)) return not_there(&c);
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        if (strcmp(endpoints[i].name, c.segments[0])) continue;
        *ret_endpoint = endpoints[i].name;
        (void)pthread_mutex_lock(&server->lock);
        weir_status status = endpoints[i].serve(&c);
        if (status && err->action == WEIR_ACTION_RETRY) {
            /* The connection was lost since the last request: the second attempt has a new one. */
            weir_buf_clear(&response->body);
            response->status = 200;
            status = endpoints[i].serve(&c);
        }
        (void)pthread_mutex_unlock(&server->lock);
        return status;
    }
    return not_there(&c);
}

static void handle(const weir_http_request *request, weir_http_response *response, void *context) {
    weir_err err = {0};
    const char *endpoint = "other";
    response->content_type = "application/vnd.schemaregistry.v1+json";
    if (serve(context, request, response, &endpoint, &err)) {
        call c = {.response = response, .err = &err};
        char text[WEIR_ERR_MESSAGE_MAX];
        (void)snprintf(text, sizeof text, "%s", err.message);
        if (refuse(&c, 50001, "Error in the backend data store: %s", text)) response->status = 500;
    }
    char outcome[8];
    (void)snprintf(outcome, sizeof outcome, "%dxx", response->status / 100 % 10);
    weir_metric_add(WEIR_METRIC("weir_registry_requests_total", endpoint, outcome), 1);
}

weir_status weir_registry_server_new(weir_http_server *http, const char *pg_url, weir_registry_server **ret_server, weir_err *err) {
    weir_registry_server *server = weir_mem.realloc(NULL, sizeof *server);
    if (!server) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema registry");
    *server = (weir_registry_server){.http = http};
    (void)pthread_mutex_init(&server->lock, NULL);
    weir_status status = weir_pg_new(pg_url, &server->pg, err);
    if (!status) status = weir_pg_migrate(server->pg, err);
    for (int i = 0; !status && i < ENDPOINT_COUNT; i++) {
        char exact[32], below[32];
        (void)snprintf(exact, sizeof exact, "/%s", endpoints[i].name);
        (void)snprintf(below, sizeof below, "/%s/*", endpoints[i].name);
        status = weir_http_server_route(http, &(weir_http_route){"*", exact, handle, server}, err);
        if (!status) status = weir_http_server_route(http, &(weir_http_route){"*", below, handle, server}, err);
    }
    if (status) {
        weir_registry_server_free(server);
        return status;
    }
    *ret_server = server;
    return WEIR_OK;
}

void weir_registry_server_free(weir_registry_server *server) {
    if (!server) return;
    weir_http_server_unroute(server->http, server);
    weir_pg_free(server->pg);
    (void)pthread_mutex_destroy(&server->lock);
    (void)weir_mem.realloc(server, 0);
}
