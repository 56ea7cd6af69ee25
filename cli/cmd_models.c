/* `weir models list|show|promote`: the versions in the model registry and the aliases that serve them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/table.h"
#include "features/pipeline.h"
#include "models/registry.h"

typedef struct models_options {
    char *action, *pipeline, *model, *alias, *reason, *actor;
    int64_t version;
    int output;
} models_options;

#define FIELD(member) .offset = offsetof(models_options, member)

static const weir_conf_item models_table[] = {
    {.name = "action", .type = WEIR_CONF_STRING, FIELD(action), .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED, .doc = "list, show or promote"},
    WEIR_PIPELINE_ITEM(models_options, pipeline),
    {.name = "model", .type = WEIR_CONF_STRING, FIELD(model), .flags = WEIR_CONF_POSITIONAL, .doc = "name of a model; list: only its versions"},
    {.name = "version", .type = WEIR_CONF_INT, FIELD(version), .min = 0, .max = 1e9, .doc = "its version; 0: the newest"},
    {.name = "alias", .type = WEIR_CONF_STRING, FIELD(alias), .fallback = "champion", .doc = "promote: which alias moves, champion or challenger"},
    {.name = "reason", .type = WEIR_CONF_STRING, FIELD(reason), .fallback = "by hand", .doc = "promote: kept in the history"},
    {.name = "actor", .type = WEIR_CONF_STRING, FIELD(actor), .doc = "promote: who does it; not given: the user's name"},
    WEIR_OUTPUT_ITEM(models_options, output),
    {.name = NULL},
};

static const weir_table_column list_columns[] = {
    {"model", "MODEL"},
    {"version", "VERSION"},
    {"algorithm", "ALGORITHM"},
    {"aliases", "ALIASES"},
    {"metrics.auc_roc", "AUC ROC"},
    {"metrics.average_precision", "AVG PRECISION"},
    {"metrics.card_precision_100", "CP@100"},
    {"created_at", "CREATED"},
    {"digest_short", "DIGEST"},
    {NULL, NULL},
};

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

static weir_status list_versions(cJSON *versions, const models_options *o, weir_err *err) {
    if (o->output == WEIR_OUTPUT_JSON) return weir_json_print(versions, stdout, err);
    cJSON *row;
    cJSON_ArrayForEach(row, versions) {
        char digest[13];
        snprintf(digest, sizeof digest, "%s", text_of(row, "digest"));
        if (!cJSON_AddStringToObject(row, "digest_short", digest)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the table");
    }
    if (!cJSON_GetArraySize(versions)) fprintf(stderr, "no model versions of %s are registered\n", o->pipeline);
    return weir_table_print(versions, list_columns, WEIR_OUTPUT_TABLE, stdout, err);
}

static weir_status find_version(const cJSON *versions, const models_options *o, const cJSON **ret_version, weir_err *err) {
    if (!o->model || !*o->model) return WEIR_FAIL(err, WEIR_EINVAL, "%s needs the name of a model", o->action);
    const cJSON *row;
    cJSON_ArrayForEach(row, versions) { /* newest first */
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(row, "version");
        if (strcmp(text_of(row, "model"), o->model) || (o->version && (!cJSON_IsNumber(number) || (int64_t)number->valuedouble != o->version))) continue;
        *ret_version = row;
        return WEIR_OK;
    }
    if (o->version) return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no version %lld of model %s", o->pipeline, (long long)o->version, o->model);
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no model %s", o->pipeline, o->model);
}

/* Members one below the other; what is nested as JSON. */
static weir_status show_version(const cJSON *version, const models_options *o, weir_err *err) {
    if (o->output == WEIR_OUTPUT_JSON) return weir_json_print(version, stdout, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, version) {
        char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
        printf("%-16s %s\n", item->string, cJSON_IsString(item) ? item->valuestring : text ? text : "");
        cJSON_free(text);
    }
    return WEIR_OK;
}

static const char *actor_of(const models_options *o) {
    const char *user = getenv("USER");
    return o->actor && *o->actor ? o->actor : user && *user ? user : "operator";
}

/* What the alias pointed at a moment ago is what it must still point at: of two people who promote at once, one is told. */
static weir_status promote(weir_pg *pg, const cJSON *version, const models_options *o, weir_err *err) {
    static const char *const aliases_known[] = {"champion", "challenger", NULL};
    cJSON *aliases = NULL;
    const cJSON *row;
    const char *expected = NULL;
    int at = 0, number = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version"));
    weir_status st = weir_action_find(o->alias, aliases_known, &at, err);
    if (!st) st = weir_alias_list(pg, o->pipeline, &aliases, err);
    cJSON_ArrayForEach(row, aliases) {
        if (!strcmp(text_of(row, "alias"), o->alias)) expected = text_of(row, "digest");
    }
    if (!st) st = weir_alias_move(pg, o->pipeline, o->alias, expected, o->model, number, actor_of(o), o->reason, err);
    if (!st) fprintf(stderr, "%s of %s is now %s version %d\n", o->alias, o->pipeline, o->model, number);
    cJSON_Delete(aliases);
    return st;
}

static weir_status act(const weir_settings *settings, const models_options *o, weir_err *err) {
    enum { LIST, SHOW, PROMOTE };
    static const char *const actions[] = {"list", "show", "promote", NULL};
    weir_pg *pg = NULL;
    cJSON *versions = NULL;
    const cJSON *version = NULL;
    int action = 0;
    weir_status st = weir_action_find(o->action, actions, &action, err);
    if (!st) st = weir_pg_new(settings->pg_url, &pg, err);
    if (!st) st = weir_version_list(pg, o->pipeline, o->model && *o->model ? o->model : NULL, &versions, err);
    if (!st && action != LIST) st = find_version(versions, o, &version, err);
    if (!st && action == LIST) st = list_versions(versions, o, err);
    if (!st && action == SHOW) st = show_version(version, o, err);
    if (!st && action == PROMOTE) st = promote(pg, version, o, err);
    cJSON_Delete(versions);
    weir_pg_free(pg);
    return st;
}

/* "catalog.schema", the space of models that were registered by register_model, has a dot too. */
static bool is_path(const char *name) {
    size_t len = strlen(name);
    return strchr(name, '/') || (len > 5 && !strcmp(name + len - 5, ".json"));
}

/* A path stands for the pipeline of that file, here as for every command; of a name no file is needed: models outlive files. */
static weir_status run_models(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)ret_exit;
    models_options o = *(const models_options *)options;
    weir_pipeline *pipeline = NULL;
    if (is_path(o.pipeline)) {
        weir_status st = weir_pipeline_load(o.pipeline, &pipeline, err);
        if (st) return st;
        o.pipeline = pipeline->name;
    }
    weir_status st = act(settings, &o, err);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_models = {
    .name = "models",
    .args = "list|show|promote PIPELINE [MODEL] [--version N] [--alias A] [--reason TEXT]",
    .doc = "Lists the registered model versions, shows one with its lineage, or makes one champion or challenger.",
    .options = models_table,
    .options_size = sizeof(models_options),
    .run = run_models,
};
