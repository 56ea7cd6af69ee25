/* Client of a schema registry that speaks Confluent's REST API. Schemas never change under an id, so both directions are cached for ever.
 * Source: Confluent Platform documentation, "Schema Registry API Reference". */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/avro.h"
#include "core/http.h"

#define CONTENT_TYPE "application/vnd.schemaregistry.v1+json"

enum { TIMEOUT_MS = 5000, CACHE_MAX = 65536, URL_MAX = 2048 };

/* The text of a schema by id (subject NULL), or the id of a text registered under a subject. */
typedef struct entry {
    struct entry *next;
    uint32_t id;
    char *subject;
    char *json;
} entry;

struct weir_registry {
    char *url; /* without a slash at its end */
    pthread_mutex_t lock;
    entry *entries;
    int entry_count;
};

static char *copy_text(const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = weir_mem.realloc(NULL, len);
    return copy ? memcpy(copy, text, len) : NULL;
}

static void free_entry(entry *e) {
    if (!e) return;
    (void)weir_mem.realloc(e->subject, 0);
    (void)weir_mem.realloc(e->json, 0);
    (void)weir_mem.realloc(e, 0);
}

weir_status weir_registry_new(const char *url, weir_registry **ret_registry, weir_err *err) {
    size_t len = strlen(url);
    while (len && url[len - 1] == '/') len--;
    if (len > URL_MAX || (strncmp(url, "http://", 7) && strncmp(url, "https://", 8)))
        return WEIR_FAIL(err, WEIR_EINVAL, "\"%.100s\" is not the URL of a schema registry, expected http://host:port", url);
    weir_registry *registry = weir_mem.realloc(NULL, sizeof *registry);
    if (!registry) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a registry client");
    *registry = (weir_registry){.url = copy_text(url)};
    if (!registry->url) {
        (void)weir_mem.realloc(registry, 0);
        return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a registry client");
    }
    registry->url[len] = 0;
    (void)pthread_mutex_init(&registry->lock, NULL);
    *ret_registry = registry;
    return WEIR_OK;
}

void weir_registry_free(weir_registry *registry) {
    if (!registry) return;
    while (registry->entries) {
        entry *e = registry->entries;
        registry->entries = e->next;
        free_entry(e);
    }
    (void)pthread_mutex_destroy(&registry->lock);
    (void)weir_mem.realloc(registry->url, 0);
    (void)weir_mem.realloc(registry, 0);
}

static const entry *find_id(const weir_registry *registry, uint32_t id) {
    for (const entry *e = registry->entries; e; e = e->next)
        if (!e->subject && e->id == id) return e;
    return NULL;
}

static const entry *find_registered(const weir_registry *registry, const char *subject, const char *json) {
    for (const entry *e = registry->entries; e; e = e->next)
        if (e->subject && !strcmp(e->subject, subject) && !strcmp(e->json, json)) return e;
    return NULL;
}

/* A cache that cannot grow is only slower, so its failure is none. */
static void remember(weir_registry *registry, const char *subject, const char *json, uint32_t id) {
    entry *e = weir_mem.realloc(NULL, sizeof *e);
    if (!e) return;
    *e = (entry){.id = id, .subject = subject ? copy_text(subject) : NULL, .json = copy_text(json)};
    (void)pthread_mutex_lock(&registry->lock);
    bool known = subject ? find_registered(registry, subject, json) != NULL : find_id(registry, id) != NULL;
    bool keep = !known && e->json && (!subject || e->subject) && registry->entry_count < CACHE_MAX;
    if (keep) {
        e->next = registry->entries;
        registry->entries = e;
        registry->entry_count++;
    }
    (void)pthread_mutex_unlock(&registry->lock);
    if (!keep) free_entry(e);
}

/* What a registry's error means to a worker; its own words are kept. */
static weir_status refused(const weir_registry *registry, int status, const cJSON *answer, weir_err *err) {
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(answer, "message");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(answer, "error_code");
    const char *words = cJSON_IsString(message) ? message->valuestring : "no message";
    if (status == 404 && cJSON_IsNumber(code) && code->valueint / 100 == 404)
        return WEIR_REJECT(err, WEIR_ENOTFOUND, "the schema registry says: %.300s", words);
    if (status == 409) return WEIR_FAIL(err, WEIR_ECONFLICT, "the schema registry says: %.300s", words);
    if (status == 422) return WEIR_FAIL(err, WEIR_EINVAL, "the schema registry says: %.300s", words);
    if (status == 401 || status == 403) return WEIR_FAIL(err, WEIR_ENET, "the schema registry at %.100s refuses access (%d)", registry->url, status);
    return WEIR_RETRY(err, WEIR_ENET, "the schema registry at %.100s answered %d: %.200s", registry->url, status, words);
}

/* One call whose answer is JSON; *ret_answer is the caller's to delete. */
static weir_status call(weir_registry *registry, const char *method, const char *url, const char *body, cJSON **ret_answer, weir_err *err) {
    weir_buf answer = {0};
    int http = 0;
    weir_status status = weir_http_call(method, url, body ? CONTENT_TYPE : NULL, body, body ? strlen(body) : 0, TIMEOUT_MS, &http, &answer, err);
    if (status) {
        weir_buf_done(&answer);
        return err ? weir_err_prefix(err, "schema registry") : status;
    }
    cJSON *json = cJSON_ParseWithLength(answer.data ? answer.data : "", answer.len);
    weir_buf_done(&answer);
    if (http >= 200 && http < 300 && json) {
        *ret_answer = json;
        return WEIR_OK;
    }
    status = refused(registry, http, json, err);
    cJSON_Delete(json);
    return status;
}

static bool append_escaped(weir_buf *out, const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool plain = isalnum(*c) || strchr("-._~", *c);
        if (!(plain ? weir_buf_append(out, c, 1) : weir_buf_printf(out, "%%%02X", *c))) return false;
    }
    return true;
}

static weir_status post_schema(weir_registry *registry, const char *subject, const char *json, uint32_t *ret_id, weir_err *err) {
    weir_buf url = {0}, body = {0};
    cJSON *answer = NULL;
    weir_status status;
    if (!weir_buf_printf(&url, "%s/subjects/", registry->url) || !append_escaped(&url, subject) || !weir_buf_printf(&url, "/versions") ||
        !weir_buf_printf(&body, "{\"schema\":\"") || !weir_buf_json_escape(&body, json, strlen(json)) || !weir_buf_printf(&body, "\"}"))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a request");
    else
        status = call(registry, "POST", url.data, body.data, &answer, err);
    if (!status) {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(answer, "id");
        if (cJSON_IsNumber(id) && id->valuedouble >= 0 && id->valuedouble <= UINT32_MAX)
            *ret_id = (uint32_t)id->valuedouble;
        else
            status = WEIR_RETRY(err, WEIR_ENET, "the schema registry at %.100s answered without an id", registry->url);
    }
    cJSON_Delete(answer);
    weir_buf_done(&url);
    weir_buf_done(&body);
    return status;
}

weir_status weir_registry_register(weir_registry *registry, const char *subject, const char *schema_json, uint32_t *ret_id, weir_err *err) {
    (void)pthread_mutex_lock(&registry->lock);
    const entry *known = find_registered(registry, subject, schema_json);
    uint32_t id = known ? known->id : 0;
    (void)pthread_mutex_unlock(&registry->lock);
    if (!known) {
        weir_status status = post_schema(registry, subject, schema_json, &id, err);
        if (status) return err ? weir_err_prefix(err, "subject \"%s\"", subject) : status;
        remember(registry, subject, schema_json, id);
    }
    *ret_id = id;
    return WEIR_OK;
}

/* Text of an Avro schema without references out of the registry's answer; it stays the answer's. */
static weir_status schema_text(const cJSON *answer, uint32_t id, const char **ret_text, weir_err *err) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(answer, "schemaType");
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(answer, "schema");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "AVRO"))
        return WEIR_REJECT(err, WEIR_EDATA, "schema %u is of type %.20s, expected AVRO", id, type->valuestring);
    if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer, "references")) > 0)
        return WEIR_REJECT(err, WEIR_EDATA, "schema %u refers to other schemas, which is not supported", id);
    if (!cJSON_IsString(schema)) return WEIR_RETRY(err, WEIR_ENET, "the schema registry answered without a schema for id %u", id);
    *ret_text = schema->valuestring;
    return WEIR_OK;
}

static weir_status get_schema(weir_registry *registry, uint32_t id, char **ret_json, weir_err *err) {
    weir_buf url = {0};
    cJSON *answer = NULL;
    weir_status status;
    if (!weir_buf_printf(&url, "%s/schemas/ids/%u", registry->url, id))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a request");
    else
        status = call(registry, "GET", url.data, NULL, &answer, err);
    weir_buf_done(&url);
    const char *text = NULL;
    if (!status) status = schema_text(answer, id, &text, err);
    if (!status) {
        remember(registry, NULL, text, id);
        *ret_json = copy_text(text);
        if (!*ret_json) status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    }
    cJSON_Delete(answer);
    return status;
}

weir_status weir_registry_schema(weir_registry *registry, uint32_t id, char **ret_json, weir_err *err) {
    (void)pthread_mutex_lock(&registry->lock);
    const entry *known = find_id(registry, id);
    char *json = known ? copy_text(known->json) : NULL;
    (void)pthread_mutex_unlock(&registry->lock);
    if (known && !json) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    if (!json) {
        weir_status status = get_schema(registry, id, &json, err);
        if (status) return err ? weir_err_prefix(err, "schema id %u", id) : status;
    }
    *ret_json = json;
    return WEIR_OK;
}
