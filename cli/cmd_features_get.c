/* `weir features get`: the newest features of some entities, from a running serve worker. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "core/clock.h"
#include "core/http.h"
#include "core/mem.h"
#include "features/pipeline.h"

enum { TIMEOUT_MS = 30000 };

typedef struct get_options {
    char *pipeline, *url, *token;
    char **entities, **features;
    int64_t at_us;
    int output;
} get_options;

#define FIELD(member) .offset = offsetof(get_options, member)

static const weir_conf_item get_table[] = {
    WEIR_PIPELINE_ITEM(get_options, pipeline),
    {.name = "entities",
     .type = WEIR_CONF_LIST,
     FIELD(entities),
     .flags = WEIR_CONF_REQUIRED,
     .doc = "column=value,value…: keys of entities; of several columns, each as often as the others"},
    {.name = "features",
     .type = WEIR_CONF_LIST,
     FIELD(features),
     .doc = "features, NAME or VIEW:NAME; not given: all of the views that these columns are the key of"},
    {.name = "at", .type = WEIR_CONF_TIME, FIELD(at_us), .doc = "as of this time; not given: as of each entity's newest record"},
    {.name = "url", .type = WEIR_CONF_STRING, FIELD(url), .doc = "address of a serve worker; not given: http_port on this machine"},
    {.name = "token", .type = WEIR_CONF_STRING, FIELD(token), .flags = WEIR_CONF_SECRET, .doc = "token of `weir tenants`, where the worker asks for one"},
    WEIR_OUTPUT_ITEM(get_options, output),
    {.name = NULL},
};

/* ---- the question ---- */

/* "customer_id=1,2" and what follows it without a '=' ("3": the flag splits at commas) into {"customer_id": ["1", "2", "3"]}. */
static weir_status add_entities(cJSON *body, char **items, weir_err *err) {
    cJSON *entities = cJSON_AddObjectToObject(body, "entities"), *column = NULL;
    for (; *items; items++) {
        const char *equals = strchr(*items, '='), *values = equals ? equals + 1 : *items;
        if (equals) {
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)(equals - *items), *items);
            column = cJSON_AddArrayToObject(entities, name);
        }
        if (!column) return WEIR_FAIL(err, WEIR_EINVAL, "--entities \"%s\": expected column=value, as in customer_id=1,2,3", *items);
        for (size_t len; *values; values += len + (values[len] == ',')) {
            char value[512];
            len = strcspn(values, ",");
            snprintf(value, sizeof value, "%.*s", (int)len, values);
            cJSON_AddItemToArray(column, cJSON_CreateString(value));
        }
    }
    return WEIR_OK;
}

static bool has_key(const weir_view_def *view, const cJSON *entities) {
    for (int i = 0; i < view->entity_count; i++) {
        if (!cJSON_GetObjectItemCaseSensitive(entities, view->entity[i])) return false;
    }
    return true;
}

static weir_status add_features(cJSON *body, const weir_pipeline *pipeline, char **features, weir_err *err) {
    cJSON *list = cJSON_AddArrayToObject(body, "features");
    for (; features && *features; features++) cJSON_AddItemToArray(list, cJSON_CreateString(*features));
    if (cJSON_GetArraySize(list)) return WEIR_OK;
    for (int v = 0; v < pipeline->view_count; v++) {
        const weir_view_def *view = &pipeline->views[v];
        for (int f = 0; f < view->feature_count && has_key(view, cJSON_GetObjectItemCaseSensitive(body, "entities")); f++) {
            char reference[600];
            snprintf(reference, sizeof reference, "%s:%s", view->name, view->features[f].name);
            if (!view->features[f].hidden) cJSON_AddItemToArray(list, cJSON_CreateString(reference));
        }
    }
    return cJSON_GetArraySize(list) ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "no view of pipeline %s has these columns as its key", pipeline->name);
}

static weir_status make_body(const get_options *o, const weir_pipeline *pipeline, cJSON **ret_body, weir_err *err) {
    cJSON *body = *ret_body = cJSON_CreateObject();
    weir_status status = add_entities(body, o->entities, err);
    if (!status) status = add_features(body, pipeline, o->features, err);
    char time[WEIR_TIME_TEXT_MAX];
    if (!status && o->at_us) cJSON_AddStringToObject(body, "event_timestamp", weir_time_format(o->at_us, time));
    return status;
}

/* ---- the answer ---- */

static weir_status ask(const weir_settings *settings, const get_options *o, const cJSON *body, cJSON **ret_answer, weir_err *err) {
    char url[1024];
    int http_status = 0;
    weir_buf answer = {0};
    if (o->url)
        snprintf(url, sizeof url, "%s/get-online-features", o->url);
    else
        snprintf(url, sizeof url, "http://127.0.0.1:%d/get-online-features", (int)settings->http_port);
    char *text = cJSON_PrintUnformatted(body);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the request");
    weir_status status = weir_http_call_as(o->token, "POST", url, "application/json", text, strlen(text), TIMEOUT_MS, &http_status, &answer, err);
    cJSON_free(text);
    if (status) return status;
    cJSON *json = cJSON_ParseWithLength(answer.data, answer.len);
    weir_buf_done(&answer);
    const cJSON *why = cJSON_GetObjectItemCaseSensitive(json, "error");
    if (!json || http_status != 200) {
        status = WEIR_FAIL(err, http_status >= 400 && http_status < 500 ? WEIR_EINVAL : WEIR_ENET, "%s answered %d: %s", url, http_status,
                           cJSON_IsString(why) ? why->valuestring : "not the answer of a serve worker");
        cJSON_Delete(json);
        return status;
    }
    *ret_answer = json;
    return WEIR_OK;
}

/* One row an entity and feature: columns of the key, feature, value, status, event time. */
static weir_status to_rows(const cJSON *body, const cJSON *answer, cJSON **ret_rows, weir_err *err) {
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(answer, "metadata"), "feature_names");
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(answer, "results"), *entities = cJSON_GetObjectItemCaseSensitive(body, "entities");
    int keys = cJSON_GetArraySize(entities), columns = cJSON_GetArraySize(names);
    cJSON *rows = *ret_rows = cJSON_CreateArray();
    if (columns <= keys || cJSON_GetArraySize(results) != columns)
        return WEIR_FAIL(err, WEIR_EDATA, "the answer has %d columns, expected more than %d", columns, keys);
    for (int row = 0; row < cJSON_GetArraySize(entities->child); row++) {
        for (int c = keys; c < columns; c++) {
            const cJSON *result = cJSON_GetArrayItem(results, c);
            const cJSON *value = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(result, "values"), row);
            const cJSON *status = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(result, "statuses"), row);
            const cJSON *time = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(result, "event_timestamps"), row);
            if (!value || !status || !time) return WEIR_FAIL(err, WEIR_EDATA, "the answer lacks row %d of column %d", row, c);
            cJSON *out = cJSON_CreateObject();
            for (const cJSON *key = entities->child; key; key = key->next)
                cJSON_AddItemToObject(out, key->string, cJSON_Duplicate(cJSON_GetArrayItem(key, row), 1));
            cJSON_AddItemToObject(out, "feature", cJSON_Duplicate(cJSON_GetArrayItem(names, c), 1));
            cJSON_AddItemToObject(out, "value", cJSON_Duplicate(value, 1));
            cJSON_AddItemToObject(out, "status", cJSON_Duplicate(status, 1));
            if (strcmp(status->valuestring, "NOT_FOUND")) cJSON_AddItemToObject(out, "event_time", cJSON_Duplicate(time, 1));
            cJSON_AddItemToArray(rows, out);
        }
    }
    return WEIR_OK;
}

static weir_status print_rows(const cJSON *body, const cJSON *rows, weir_output output, weir_err *err) {
    static const weir_table_column last[] = {{"feature", "FEATURE"}, {"value", "VALUE"}, {"status", "STATUS"}, {"event_time", "EVENT TIME"}, {NULL, NULL}};
    weir_table_column columns[WEIR_KEY_COLUMNS_MAX * WEIR_VIEWS_MAX + sizeof last / sizeof *last];
    size_t count = 0;
    for (const cJSON *key = cJSON_GetObjectItemCaseSensitive(body, "entities")->child; key && count < WEIR_KEY_COLUMNS_MAX * WEIR_VIEWS_MAX; key = key->next)
        columns[count++] = (weir_table_column){key->string, key->string};
    memcpy(columns + count, last, sizeof last);
    return weir_table_print(rows, columns, output, stdout, err);
}

static weir_status run_get(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const get_options *o = options;
    weir_pipeline *pipeline = NULL;
    cJSON *body = NULL, *answer = NULL, *rows = NULL;
    (void)ret_exit;
    weir_status status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status) status = make_body(o, pipeline, &body, err);
    if (!status) status = ask(settings, o, body, &answer, err);
    if (!status) status = to_rows(body, answer, &rows, err);
    if (!status) status = print_rows(body, rows, (weir_output)o->output, err);
    cJSON_Delete(rows);
    cJSON_Delete(answer);
    cJSON_Delete(body);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_features_get = {
    .name = "features get",
    .args = "PIPELINE --entities COLUMN=VALUE,… [--features A,B…] [--at T] [--url URL] [--token T] [--output table|json]",
    .doc = "Reads features of entities as a running `weir serve` (or `weir run`) has them.",
    .options = get_table,
    .options_size = sizeof(get_options),
    .run = run_get,
};
