#include "consumers/serve_openapi.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pg.h"

void serve_operation_route(const serve_operation *operation, char route[SERVE_ROUTE_MAX]) {
    size_t len = strcspn(operation->path, "{");
    snprintf(route, SERVE_ROUTE_MAX, "%.*s%s", (int)len, operation->path, operation->path[len] ? "*" : "");
}

bool serve_operation_is_routed(const serve_operation *table, size_t index) {
    char route[SERVE_ROUTE_MAX], before[SERVE_ROUTE_MAX];
    serve_operation_route(&table[index], route);
    for (size_t i = 0; i < index; i++) {
        serve_operation_route(&table[i], before);
        if (!strcmp(before, route) && !strcmp(table[i].method, table[index].method)) return true;
    }
    return false;
}

static cJSON *schema_ref(const char *name) {
    char path[96];
    snprintf(path, sizeof path, "#/components/schemas/%.60s", name);
    cJSON *ref = cJSON_CreateObject();
    cJSON_AddStringToObject(ref, "$ref", path);
    return ref;
}

/* {"application/json": {"schema": …}}, and bytes where they may follow the JSON */
static cJSON *content(const char *schema, bool binary) {
    cJSON *types = cJSON_CreateObject(), *json = cJSON_AddObjectToObject(types, "application/json");
    cJSON_AddItemToObject(json, "schema", schema_ref(schema));
    if (binary) cJSON_AddObjectToObject(types, "application/octet-stream");
    return types;
}

static cJSON *add_answer(cJSON *answers, const char *status, const char *doc, const char *schema, bool binary) {
    cJSON *answer = cJSON_AddObjectToObject(answers, status);
    cJSON_AddStringToObject(answer, "description", doc);
    cJSON_AddItemToObject(answer, "content", content(schema, binary));
    return answer;
}

static void add_header(cJSON *answer, const char *name, const char *doc) {
    cJSON *header = cJSON_AddObjectToObject(cJSON_AddObjectToObject(answer, "headers"), name);
    cJSON_AddStringToObject(header, "description", doc);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(header, "schema"), "type", "integer");
}

static void add_parameter(cJSON *parameters, const char *name, const char *in, const char *type, const char *doc) {
    cJSON *parameter = cJSON_CreateObject();
    cJSON_AddStringToObject(parameter, "name", name);
    cJSON_AddStringToObject(parameter, "in", in);
    cJSON_AddBoolToObject(parameter, "required", !strcmp(in, "path"));
    cJSON_AddStringToObject(parameter, "description", doc);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(parameter, "schema"), "type", type);
    cJSON_AddItemToArray(parameters, parameter);
}

static void add_parameters(cJSON *operation, const serve_operation *spec) {
    bool model = strstr(spec->path, "{model_name}"), version = strstr(spec->path, "{model_version}");
    if (!model && !version && !spec->binary) return;
    cJSON *parameters = cJSON_AddArrayToObject(operation, "parameters");
    if (model) add_parameter(parameters, "model_name", "path", "string", "A served model, or the pipeline.");
    if (version) add_parameter(parameters, "model_version", "path", "string", "A number, or an alias: champion, challenger, …");
    if (spec->binary)
        add_parameter(parameters, "Inference-Header-Content-Length", "header", "integer", "Bytes of JSON at the start of the body, where tensors follow it.");
}

static void add_answers(cJSON *operation, const serve_operation *spec, bool tokens) {
    static const char busy[] = "Too many requests at once.";
    cJSON *answers = cJSON_AddObjectToObject(operation, "responses");
    cJSON *good = add_answer(answers, "200", "The answer.", spec->answer, spec->binary);
    if (spec->binary) add_header(good, "Inference-Header-Content-Length", "Bytes of JSON, where outputs follow it as bytes.");
    if (spec->request) {
        add_answer(answers, "400", "The request is wrong; the error says where, and what was expected.", "Error", false);
        add_answer(answers, "413", "The body is too long.", "Error", false);
        add_header(add_answer(answers, "429", busy, "Error", false), "Retry-After", "Seconds.");
    }
    if (tokens && !spec->open) {
        add_answer(answers, "401", "A token is missing or not valid.", "Error", false);
        add_answer(answers, "403", "The token does not go so far.", "Error", false);
    }
    add_answer(answers, "default", "Something else kept it from being answered.", "Error", false);
}

static void add_operation(cJSON *paths, const serve_operation *spec, bool tokens) {
    char method[8];
    size_t len = 0;
    for (; spec->method[len] && len + 1 < sizeof method; len++) method[len] = (char)(spec->method[len] | 0x20); /* lower case */
    method[len] = 0;
    cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, spec->path);
    if (!path) path = cJSON_AddObjectToObject(paths, spec->path);
    cJSON *operation = cJSON_AddObjectToObject(path, method);
    cJSON_AddStringToObject(operation, "operationId", spec->id);
    cJSON_AddStringToObject(operation, "summary", spec->doc);
    add_parameters(operation, spec);
    if (spec->request) {
        cJSON *body = cJSON_AddObjectToObject(operation, "requestBody");
        cJSON_AddBoolToObject(body, "required", true);
        cJSON_AddItemToObject(body, "content", content(spec->request, spec->binary));
    }
    add_answers(operation, spec, tokens);
    if (tokens && spec->open) cJSON_AddArrayToObject(operation, "security");
}

static void add_tokens(cJSON *document, cJSON *components) {
    cJSON *scheme = cJSON_AddObjectToObject(cJSON_AddObjectToObject(components, "securitySchemes"), "token");
    cJSON_AddStringToObject(scheme, "type", "http");
    cJSON_AddStringToObject(scheme, "scheme", "bearer");
    cJSON *needed = cJSON_CreateObject();
    cJSON_AddArrayToObject(needed, "token");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(document, "security"), needed);
}

weir_status serve_openapi(const serve_operation *table, size_t count, const char *title, bool tokens, weir_buf *out, weir_err *err) {
    cJSON *document = cJSON_CreateObject(), *info = cJSON_AddObjectToObject(document, "info");
    cJSON_AddStringToObject(document, "openapi", "3.1.0");
    cJSON_AddStringToObject(info, "title", title);
    cJSON_AddStringToObject(info, "version", WEIR_VERSION);
    cJSON *paths = cJSON_AddObjectToObject(document, "paths"), *components = cJSON_AddObjectToObject(document, "components");
    for (size_t i = 0; i < count; i++) add_operation(paths, &table[i], tokens);
    cJSON *schemas = cJSON_Parse(weir_embedded_find("schemas/http_api.json")->data);
    bool ok = schemas && cJSON_AddItemToObject(components, "schemas", schemas);
    if (!ok) cJSON_Delete(schemas);
    if (tokens) add_tokens(document, components);
    char *text = ok ? cJSON_PrintUnformatted(document) : NULL;
    ok = text && weir_buf_append(out, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(document);
    return ok ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the API's document");
}
