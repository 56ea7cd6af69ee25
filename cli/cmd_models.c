/* `weir models …`: the versions in the model registry and the aliases that serve them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/models_compare.h"
#include "cli/models_export.h"
#include "cli/models_import.h"
#include "cli/table.h"
#include "core/json.h"
#include "features/pipeline.h"
#include "models/registry.h"
#include "models/stage.h"

enum { METRICS_SHOWN = 6, NAME_MAX_SHOWN = 80, IMPORT_COLUMNS_MAX = 1024 };

typedef struct models_options {
    char *action, *pipeline, *model, *version, *with, *alias, *environment, *reason, *actor, *out, *layout, *file, *threshold;
    char **columns;
    bool force;
    int format, output;
} models_options;

#define FIELD(member) .offset = offsetof(models_options, member)

static const char *const formats[] = {"native", "json", "onnx", "pmml", "score", NULL}; /* as weir_export_format */

static const weir_conf_item models_table[] = {
    {.name = "action",
     .type = WEIR_CONF_STRING,
     FIELD(action),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "list, show, compare, promote, rollback, export, import or delete"},
    WEIR_PIPELINE_ITEM(models_options, pipeline),
    {.name = "model", .type = WEIR_CONF_STRING, FIELD(model), .flags = WEIR_CONF_POSITIONAL, .doc = "name of a model; list: only its versions"},
    {.name = "version", .type = WEIR_CONF_STRING, FIELD(version), .fallback = "latest", .doc = "its version: 3, 1.2.0, an alias, or latest"},
    {.name = "with",
     .type = WEIR_CONF_STRING,
     FIELD(with),
     .fallback = "champion",
     .doc = "compare: the other version, of the same model, or MODEL:VERSION; champion: what that alias points at"},
    {.name = "alias",
     .type = WEIR_CONF_STRING,
     FIELD(alias),
     .doc = "promote, rollback: champion, challenger, challenger-2 to challenger-7, fallback, dev, aut, prod, or tenant:NAME; not given: the environment, else "
            "champion"},
    {.name = "environment",
     .type = WEIR_CONF_STRING,
     FIELD(environment),
     .doc = "promote: dev, aut or prod, whose baseline (training.baseline of the pipeline) the version must reach"},
    {.name = "force", .type = WEIR_CONF_BOOL, FIELD(force), .doc = "promote: though the baseline is not reached; kept in the history"},
    {.name = "reason", .type = WEIR_CONF_STRING, FIELD(reason), .fallback = "by hand", .doc = "promote, rollback, delete: kept in the history"},
    {.name = "actor", .type = WEIR_CONF_STRING, FIELD(actor), .doc = "promote, rollback, delete: who does it; not given: the user's name"},
    {.name = "format", .type = WEIR_CONF_ENUM, FIELD(format), .choices = formats, .fallback = "native", .doc = "export: form of the file"},
    {.name = "out", .type = WEIR_CONF_STRING, FIELD(out), .doc = "export: file to write"},
    {.name = "layout", .type = WEIR_CONF_STRING, FIELD(layout), .doc = "export: folder of models to add the version to, in every format"},
    {.name = "file", .type = WEIR_CONF_STRING, FIELD(file), .doc = "import: a model that XGBoost saved, in JSON or UBJSON, or LightGBM as text"},
    {.name = "columns",
     .type = WEIR_CONF_LIST,
     FIELD(columns),
     .doc = "import: its inputs in their order, where the file does not name them, or names them otherwise"},
    {.name = "threshold",
     .type = WEIR_CONF_STRING,
     FIELD(threshold),
     .doc = "import: score from which on a binary model says yes, 0 to 1; not given: serving.threshold of the pipeline"},
    WEIR_OUTPUT_ITEM(models_options, output),
    {.name = NULL},
};

/* One call of the command. */
typedef struct call {
    const weir_settings *settings;
    const models_options *o;
    const char *given; /* the pipeline as it was given: a path or a name */
    weir_pg *pg;
    cJSON *versions; /* of the model, or of all */
    const cJSON *version; /* the one that is meant */
    int *ret_exit;
} call;

static int number_of(const cJSON *version) {
    return (int)cJSON_GetNumberValue(weir_json_at(version, "version"));
}

static bool is_given(const char *text) {
    return text && *text;
}

/* ---- list ---- */

typedef struct metric_column {
    char path[NAME_MAX_SHOWN], title[NAME_MAX_SHOWN];
} metric_column;

/* What says how much there was to measure, or took how long, is not how good it is. */
static bool is_quality(const cJSON *metric) {
    static const char *const others[] = {"rows", "positives", "threshold", "log_loss_baseline"};
    size_t len = strlen(metric->string);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(metric->string, others[i])) return false;
    return cJSON_IsNumber(metric) && len < NAME_MAX_SHOWN - 8 && !strchr(metric->string, '.') && !(len > 8 && !strcmp(metric->string + len - 8, "_seconds"));
}

/* The metrics that these versions have, in the order in which the newest have them. */
static int find_metrics(const cJSON *versions, metric_column shown[METRICS_SHOWN]) {
    const cJSON *version, *metric;
    int count = 0;
    cJSON_ArrayForEach(version, versions) {
        cJSON_ArrayForEach(metric, weir_json_at(version, "metrics")) {
            char path[NAME_MAX_SHOWN];
            bool known = !is_quality(metric);
            snprintf(path, sizeof path, "metrics.%.70s", metric->string);
            for (int i = 0; i < count; i++) known = known || !strcmp(shown[i].path, path);
            if (known || count == METRICS_SHOWN) continue;
            snprintf(shown[count].path, sizeof path, "%s", path);
            char *title = shown[count++].title;
            snprintf(title, NAME_MAX_SHOWN, "%.70s", metric->string);
            for (; *title; title++) *title = *title == '_' ? ' ' : (char)(*title >= 'a' && *title <= 'z' ? *title - 'a' + 'A' : *title);
        }
    }
    return count;
}

static weir_status list_versions(call *c, weir_err *err) {
    weir_table_column columns[8 + METRICS_SHOWN] = {
        {"model", "MODEL"}, {"version", "VERSION"}, {"semver", "SEMVER"}, {"algorithm", "ALGORITHM"}, {"aliases", "ALIASES"}};
    metric_column shown[METRICS_SHOWN];
    int count = 5;
    if (c->o->output == WEIR_OUTPUT_JSON) return weir_json_print(c->versions, stdout, err);
    cJSON *row;
    cJSON_ArrayForEach(row, c->versions) {
        char digest[13];
        snprintf(digest, sizeof digest, "%s", weir_json_text(row, "digest"));
        if (!cJSON_AddStringToObject(row, "digest_short", digest)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the table");
    }
    int metrics = find_metrics(c->versions, shown);
    for (int i = 0; i < metrics; i++) columns[count++] = (weir_table_column){shown[i].path, shown[i].title};
    columns[count++] = (weir_table_column){"created_at", "CREATED"};
    columns[count++] = (weir_table_column){"digest_short", "DIGEST"};
    columns[count] = (weir_table_column){NULL, NULL};
    if (!cJSON_GetArraySize(c->versions)) fprintf(stderr, "no model versions of %s are registered\n", c->o->pipeline);
    return weir_table_print(c->versions, columns, WEIR_OUTPUT_TABLE, stdout, err);
}

/* ---- one version ---- */

static weir_status find_version(call *c, const char *model, const char *name, cJSON **versions, const cJSON **ret_version, weir_err *err) {
    int number = 0;
    const cJSON *row;
    weir_status st = weir_version_resolve(c->pg, c->o->pipeline, model, name, &number, err);
    if (!st && !*versions) st = weir_version_list(c->pg, c->o->pipeline, model, versions, err);
    if (st) return st;
    cJSON_ArrayForEach(row, *versions) {
        if (strcmp(weir_json_text(row, "model"), model) || number_of(row) != number) continue;
        *ret_version = row;
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "version %d of model %s was deleted just now", number, model);
}

/* Members one below the other; what is nested as JSON. */
static weir_status show_version(call *c, weir_err *err) {
    if (c->o->output == WEIR_OUTPUT_JSON) return weir_json_print(c->version, stdout, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, c->version) {
        char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
        printf("%-16s %s\n", item->string, cJSON_IsString(item) ? item->valuestring : text ? text : "");
        cJSON_free(text);
    }
    return WEIR_OK;
}

/* ---- compare ---- */

static double bytes_of(const call *c, const cJSON *version) {
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", c->settings->objects_dir, weir_json_text(version, "artifact_path"));
    return stat(path, &st) ? -1 : (double)st.st_size;
}

/* "VERSION", "MODEL:VERSION", or an alias, which may point at another model. */
static weir_status find_other(call *c, cJSON **versions, const cJSON **ret_version, weir_err *err) {
    const char *with = c->o->with, *colon = strchr(with, ':');
    char model[256];
    cJSON *aliases = NULL;
    const cJSON *alias;
    snprintf(model, sizeof model, "%.*s", colon ? (int)(colon - with) : 255, colon ? with : c->o->model);
    weir_status st = colon ? WEIR_OK : weir_alias_list(c->pg, c->o->pipeline, &aliases, err);
    cJSON_ArrayForEach(alias, aliases) if (!strcmp(weir_json_text(alias, "alias"), with)) snprintf(model, sizeof model, "%s", weir_json_text(alias, "model"));
    if (!st) st = find_version(c, model, colon ? colon + 1 : with, versions, ret_version, err);
    cJSON_Delete(aliases);
    return st;
}

static void name_side(const cJSON *side, char title[NAME_MAX_SHOWN]) {
    snprintf(title, NAME_MAX_SHOWN, "%.40s %d (%s)", weir_json_text(side, "model"), number_of(side), weir_json_text(side, "semver"));
}

static weir_status compare(call *c, weir_err *err) {
    cJSON *others = NULL, *comparison = NULL;
    const cJSON *other = NULL;
    char a[NAME_MAX_SHOWN], b[NAME_MAX_SHOWN];
    weir_status st = find_other(c, &others, &other, err);
    if (!st) st = weir_models_compare(other, c->version, bytes_of(c, other), bytes_of(c, c->version), &comparison, err);
    if (!st && c->o->output == WEIR_OUTPUT_JSON) {
        st = weir_json_print(comparison, stdout, err);
    } else if (!st) {
        name_side(weir_json_at(comparison, "a"), a);
        name_side(weir_json_at(comparison, "b"), b);
        const weir_table_column columns[] = {{"what", "WHAT"}, {"name", "NAME"}, {"a", a}, {"b", b}, {"change", "CHANGE"}, {NULL, NULL}};
        st = weir_table_print(weir_json_at(comparison, "rows"), columns, WEIR_OUTPUT_TABLE, stdout, err);
    }
    cJSON_Delete(comparison);
    cJSON_Delete(others);
    return st;
}

/* ---- aliases ---- */

static const char *actor_of(const models_options *o) {
    const char *user = getenv("USER");
    return is_given(o->actor) ? o->actor : user && *user ? user : "operator";
}

static weir_status alias_of(const models_options *o, const char **ret_alias, weir_err *err) {
    static const char *const known[] = {
        "champion", "challenger", "challenger-2", "challenger-3", "challenger-4", "challenger-5", "challenger-6", "challenger-7", "fallback", "dev", "aut",
        "prod",     NULL};
    int at = 0;
    *ret_alias = is_given(o->alias) ? o->alias : is_given(o->environment) ? o->environment : "champion";
    bool of_tenant = !strncmp(*ret_alias, "tenant:", 7) && (*ret_alias)[7]; /* serving.tenants */
    return of_tenant ? WEIR_OK : weir_action_find(*ret_alias, known, &at, err);
}

/* The digest of what an alias points at, "" when nothing: what it must still point at when it is moved. Of two people who move it at once, one is told. */
static weir_status see_alias(const call *c, const char *alias, char digest[65], weir_err *err) {
    cJSON *aliases = NULL;
    const cJSON *row;
    digest[0] = 0;
    weir_status st = weir_alias_list(c->pg, c->o->pipeline, &aliases, err);
    cJSON_ArrayForEach(row, aliases) if (!strcmp(weir_json_text(row, "alias"), alias)) snprintf(digest, 65, "%s", weir_json_text(row, "digest"));
    cJSON_Delete(aliases);
    return st;
}

/* What the rule of the environment says. Models of the lifecycle commands ("catalog.schema") have no pipeline file. */
static weir_status judge(const call *c, const char *environment, cJSON **ret_verdict, weir_err *err) {
    weir_pipeline *pipeline = NULL;
    bool has_file = strchr(c->o->pipeline, '.') == NULL;
    weir_status st = has_file ? weir_pipeline_load(c->given, &pipeline, err) : WEIR_OK;
    if (st) return weir_err_prefix(err, "the rule of %s", environment);
    const cJSON *training = has_file ? weir_json_at(pipeline->json, "training") : NULL;
    cJSON *none = has_file && !training ? cJSON_CreateObject() : NULL;
    st = weir_stage_check(training ? training : none, environment, weir_json_at(c->version, "metrics"), ret_verdict, err);
    cJSON_Delete(none);
    weir_pipeline_free(pipeline);
    return st;
}

/* *ret_may: the version may take the alias. verdict is NULL where nothing was to be checked. */
static weir_status check_stage(const call *c, const char *alias, cJSON **ret_verdict, bool *ret_may, weir_err *err) {
    const models_options *o = c->o;
    const char *environment = is_given(o->environment) ? o->environment : NULL;
    char text[200];
    *ret_may = true;
    for (int e = 0; weir_stage_environments[e] && !environment; e++)
        if (!strcmp(alias, weir_stage_environments[e])) environment = alias;
    if (!environment) return WEIR_OK;
    weir_status st = judge(c, environment, ret_verdict, err);
    if (st || weir_stage_passed(*ret_verdict)) return st;
    weir_stage_describe(*ret_verdict, text, sizeof text);
    *ret_may = o->force;
    fprintf(stderr, "version %d of %s: %s%s\n", number_of(c->version), o->model, text,
            o->force ? "; --force moves the alias all the same" : "; --force would override that");
    if (o->force && !cJSON_AddTrueToObject(*ret_verdict, "forced")) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a verdict");
    return WEIR_OK;
}

static weir_status promote(call *c, weir_err *err) {
    const models_options *o = c->o;
    const char *alias;
    char expected[65];
    cJSON *verdict = NULL;
    bool may = false;
    int number = number_of(c->version);
    weir_status st = alias_of(o, &alias, err);
    if (!st) st = see_alias(c, alias, expected, err);
    if (!st) st = check_stage(c, alias, &verdict, &may, err);
    if (!st && may) st = weir_alias_promote(c->pg, o->pipeline, alias, *expected ? expected : NULL, o->model, number, actor_of(o), o->reason, verdict, err);
    if (!st && may) fprintf(stderr, "%s of %s is now %s version %d\n", alias, o->pipeline, o->model, number);
    if (!st && !may) *c->ret_exit = 1;
    cJSON_Delete(verdict);
    return st;
}

static weir_status roll_back(call *c, weir_err *err) {
    const models_options *o = c->o;
    const char *alias;
    char expected[65];
    cJSON *aliases = NULL;
    const cJSON *row;
    weir_status st = alias_of(o, &alias, err);
    if (!st) st = see_alias(c, alias, expected, err);
    if (!st) st = weir_alias_rollback(c->pg, o->pipeline, alias, *expected ? expected : NULL, actor_of(o), o->reason, err);
    if (!st) st = weir_alias_list(c->pg, o->pipeline, &aliases, err);
    cJSON_ArrayForEach(row, aliases) {
        if (!strcmp(weir_json_text(row, "alias"), alias))
            fprintf(stderr, "%s of %s is again %s version %d\n", alias, o->pipeline, weir_json_text(row, "model"), number_of(row));
    }
    cJSON_Delete(aliases);
    return st;
}

/* ---- export, delete ---- */

static weir_status export_version(call *c, weir_err *err) {
    const models_options *o = c->o;
    const char *objects_dir = c->settings->objects_dir;
    if (is_given(o->out) == is_given(o->layout)) return WEIR_FAIL(err, WEIR_EINVAL, "export needs either --out FILE or --layout FOLDER");
    weir_status st = is_given(o->out) ? weir_models_export_file(objects_dir, c->version, (weir_export_format)o->format, o->out, err)
                                      : weir_models_export_layout(c->pg, objects_dir, c->version, o->layout, err);
    if (!st)
        fprintf(stderr, "version %d (%s) of %s is in %s\n", number_of(c->version), weir_json_text(c->version, "semver"), o->model,
                is_given(o->out) ? o->out : o->layout);
    return st;
}

/* NaN: none is given. */
static weir_status read_threshold(const char *text, double *ret_threshold, weir_err *err) {
    char *end = NULL;
    *ret_threshold = is_given(text) ? strtod(text, &end) : NAN;
    if (!is_given(text) || (end != text && !*end && *ret_threshold >= 0 && *ret_threshold <= 1)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "--threshold: found \"%s\", expected a number from 0 to 1", text);
}

static weir_status import_version(call *c, weir_err *err) {
    const models_options *o = c->o;
    double threshold;
    const char *columns[IMPORT_COLUMNS_MAX + 1] = {NULL};
    weir_pipeline *pipeline = NULL;
    int version = 0;
    if (!is_given(o->file)) return WEIR_FAIL(err, WEIR_EINVAL, "import needs --file FILE, a model that XGBoost or LightGBM saved");
    weir_status st = read_threshold(o->threshold, &threshold, err);
    if (!st) st = weir_names_split(o->columns, columns, IMPORT_COLUMNS_MAX, err);
    if (!st) st = weir_pipeline_load(c->given, &pipeline, err);
    const weir_models_import import = {.pipeline = pipeline, .model = o->model, .file = o->file, .columns = *columns ? columns : NULL, .threshold = threshold};
    if (!st) st = weir_models_import_file(c->settings, c->pg, &import, &version, err);
    weir_pipeline_free(pipeline);
    if (!st) printf("version %d of %s is registered\n", version, o->model);
    return st;
}

static weir_status delete_version(call *c, weir_err *err) {
    static const char *const fates[] = {[WEIR_ARTIFACT_REMOVED] = "its artifact is removed",
                                        [WEIR_ARTIFACT_KEPT] = "its artifact is kept: another version has it",
                                        [WEIR_ARTIFACT_ABSENT] = "its artifact was not there"};
    const models_options *o = c->o;
    weir_artifact_fate fate;
    if (!strcmp(o->version, "latest")) return WEIR_FAIL(err, WEIR_EINVAL, "delete needs --version: the latest one is not deleted by default");
    weir_status st = weir_version_delete(c->pg, c->settings->objects_dir, o->pipeline, o->model, number_of(c->version), actor_of(o), o->reason, &fate, err);
    if (!st) fprintf(stderr, "version %d of %s is deleted; %s\n", number_of(c->version), o->model, fates[fate]);
    return st;
}

/* ---- the command ---- */

static weir_status act(call *c, weir_err *err) {
    static const char *const actions[] = {"list", "show", "compare", "promote", "rollback", "export", "delete", "import", NULL};
    static weir_status (*const does[])(call *, weir_err *) = {list_versions, show_version,   compare,        promote,
                                                              roll_back,     export_version, delete_version, import_version};
    const models_options *o = c->o;
    const char *model = is_given(o->model) ? o->model : NULL;
    int action = 0;
    weir_status st = weir_action_find(o->action, actions, &action, err);
    bool lists = does[action] == list_versions, imports = does[action] == import_version;
    bool needs_version = !lists && !imports && does[action] != roll_back;
    if (!st && (needs_version || imports) && !model) st = WEIR_FAIL(err, WEIR_EINVAL, "%s needs the name of a model", o->action);
    if (!st) st = weir_pg_new(c->settings->pg_url, &c->pg, err);
    if (!st && lists) st = weir_version_list(c->pg, o->pipeline, model, &c->versions, err);
    if (!st && needs_version) st = find_version(c, model, o->version, &c->versions, &c->version, err);
    if (!st) st = does[action](c, err);
    cJSON_Delete(c->versions);
    weir_pg_free(c->pg);
    return st;
}

/* "catalog.schema", the space of models that were registered by register_model, has a dot too. */
static bool is_path(const char *name) {
    size_t len = strlen(name);
    return strchr(name, '/') || (len > 5 && !strcmp(name + len - 5, ".json"));
}

/* A path stands for the pipeline of that file, here as for every command; of a name no file is needed: models outlive files. */
static weir_status run_models(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    models_options o = *(const models_options *)options;
    call c = {.settings = settings, .o = &o, .given = o.pipeline, .ret_exit = ret_exit};
    weir_pipeline *pipeline = NULL;
    if (is_path(o.pipeline)) {
        weir_status st = weir_pipeline_load(o.pipeline, &pipeline, err);
        if (st) return st;
        o.pipeline = pipeline->name;
    }
    weir_status st = act(&c, err);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_models = {
    .name = "models",
    .args = "list|show|compare|promote|rollback|export|import|delete PIPELINE [MODEL] [--version V]",
    .doc = "Model versions: lists, shows or compares them, moves an alias to one or back again, exports, imports or deletes one.\n"
           "Exit code 1: a version has not reached the baseline of the environment, and no alias moved. docs/registry.md tells more.",
    .options = models_table,
    .options_size = sizeof(models_options),
    .run = run_models,
};
