/* `register_model`: makes the model of a run the next version of a registered model, with tags, a description and an alias. */
#include <math.h>
#include <string.h>

#include "cli/lifecycle.h"
#include "core/clock.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/scorer_gate.h"

typedef struct register_options {
    char *catalog, *schema, *environment, *model_name;
    char *run_id, *alias, *description, *git_sha, *experiment_name, *version;
} register_options;

#define FIELD(member) .offset = offsetof(register_options, member)

static const weir_conf_item register_table[] = {
    WEIR_CATALOG_ITEM(register_options, catalog, WEIR_CONF_REQUIRED),
    WEIR_SCHEMA_ITEM(register_options, schema, WEIR_CONF_REQUIRED),
    WEIR_MODEL_NAME_ITEM(register_options, model_name),
    {.name = "run_id",
     .type = WEIR_CONF_STRING,
     FIELD(run_id),
     .doc = "run of train_model; not given: the newest of the model that succeeded and beat its baseline"},
    {.name = "alias",
     .type = WEIR_CONF_STRING,
     FIELD(alias),
     .fallback = "latest-model",
     .doc = "alias of the model that then stands for this version: latest-model, champion, challenger, …"},
    {.name = "description", .type = WEIR_CONF_STRING, FIELD(description), .doc = "what people read of this version; not given: one with its metrics"},
    {.name = "git_sha", .type = WEIR_CONF_STRING, FIELD(git_sha), .doc = "commit that the tag git_sha names"},
    WEIR_ENVIRONMENT_ITEM(register_options, environment, 0),
    {.name = "experiment_name",
     .type = WEIR_CONF_STRING,
     FIELD(experiment_name),
     .doc = "experiment in which runs are looked for; not given: /Shared/CATALOG/SCHEMA/training"},
    {.name = "version",
     .type = WEIR_CONF_STRING,
     FIELD(version),
     .doc = "semantic version, MAJOR.MINOR.PATCH; not given: by what differs from the version before"},
    {.name = NULL},
};

static double metric_of(const cJSON *run, const char *name) {
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run, "metrics"), name));
}

static const cJSON *train_dataset(const cJSON *run) {
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(run, "datasets"), 0); /* "train" comes first */
}

/* "fraud_detector of run …: xgboost on mlops_dev.fraud.train_set version 3 (4000 rows); on the test table F1 0.9123, …" */
static void describe(const register_options *o, const cJSON *run, char *text, size_t size) {
    const cJSON *dataset = train_dataset(run), *version = cJSON_GetObjectItemCaseSensitive(dataset, "version");
    char table_version[32] = "", auc[32] = "not defined";
    if (!isnan(metric_of(run, "test_roc_auc"))) snprintf(auc, sizeof auc, "%.4f", metric_of(run, "test_roc_auc"));
    if (cJSON_IsNumber(version)) snprintf(table_version, sizeof table_version, " version %d", (int)cJSON_GetNumberValue(version));
    snprintf(text, size, "%s of %s: %s on %s%s (%.0f rows); on the test table F1 %.4f, accuracy %.4f, precision %.4f, recall %.4f, ROC AUC %s", o->model_name,
             weir_json_text(run, "id"), weir_json_text(run, "algorithm"), weir_json_text(dataset, "dataset"), table_version,
             cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(dataset, "rows")), metric_of(run, "test_f1"), metric_of(run, "test_accuracy"),
             metric_of(run, "test_precision"), metric_of(run, "test_recall"), auc);
}

static cJSON *make_lineage(const cJSON *run) {
    static const char *const members[] = {"experiment", "datasets", "params"};
    cJSON *lineage = cJSON_CreateObject();
    cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        cJSON_AddItemToObject(lineage, members[i], cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(run, members[i]), true));
    return lineage;
}

static weir_status register_run(weir_pg *pg, const char *space, const register_options *o, const cJSON *run, int *ret_version, weir_err *err) {
    cJSON *lineage = make_lineage(run);
    const weir_version_new new = {
        .pipeline = space,
        .model = o->model_name,
        .algorithm = weir_json_text(run, "algorithm"),
        .run_id = weir_json_text(run, "id"),
        .digest = weir_json_text(run, "digest"),
        .artifact_path = weir_json_text(run, "artifact_path"),
        .dataset_digest = weir_json_text(train_dataset(run), "digest"),
        .lineage = lineage,
        .signature = cJSON_GetObjectItemCaseSensitive(run, "signature"),
        .metrics = cJSON_GetObjectItemCaseSensitive(run, "metrics"),
        .semver = o->version && *o->version ? o->version : NULL,
    };
    weir_status status = weir_version_register(pg, &new, ret_version, err);
    cJSON_Delete(lineage);
    return status;
}

/* The environment is that of the run when it is not said. */
static cJSON *make_tags(const register_options *o, const cJSON *run) {
    char now[WEIR_TIME_TEXT_MAX], f1[32];
    const char *environment = o->environment ? o->environment : weir_json_text(cJSON_GetObjectItemCaseSensitive(run, "tags"), "environment");
    cJSON *tags = cJSON_CreateObject();
    if (*environment) cJSON_AddStringToObject(tags, "environment", environment);
    if (o->git_sha) cJSON_AddStringToObject(tags, "git_sha", o->git_sha);
    cJSON_AddStringToObject(tags, "registered_at", weir_time_format(weir_clock_wall_us(weir_clock_system()), now));
    snprintf(f1, sizeof f1, "%.6f", metric_of(run, "test_f1"));
    cJSON_AddStringToObject(tags, "f1_score", f1);
    return tags;
}

static weir_status register_and_describe(weir_pg *pg, const char *space, const register_options *o, const cJSON *run, weir_err *err) {
    char generated[1024];
    int version = 0;
    cJSON *tags = make_tags(o, run);
    describe(o, run, generated, sizeof generated);
    weir_status status = register_run(pg, space, o, run, &version, err);
    if (!status) status = weir_lifecycle_version_describe(pg, space, o->model_name, version, o->alias, tags, o->description, generated, err);
    cJSON_Delete(tags);
    if (!status)
        printf("registered %s.%s version %d from %s as %s\n%s\nREGISTERED_VERSION=%d\n", space, o->model_name, version, weir_json_text(run, "id"), o->alias,
               o->description ? o->description : generated, version);
    return status;
}

/* The run outlives its model, whose file goes when the version that it became is deleted. */
static weir_status check_artifact(const weir_settings *settings, const cJSON *run, weir_err *err) {
    weir_model *model = NULL;
    weir_gate_count compared;
    weir_status status = weir_artifact_load(settings->objects_dir, weir_json_text(run, "artifact_path"), &model, err);
    if (!status && strcmp(weir_model_digest(model), weir_json_text(run, "digest")) != 0)
        status = WEIR_FAIL(err, WEIR_EDATA, "%s has digest %.12s, expected %.12s", weir_json_text(run, "artifact_path"), weir_model_digest(model),
                           weir_json_text(run, "digest"));
    if (!status) status = weir_scorer_gate(model, NULL, 0, &compared, err);
    weir_model_free(model);
    return status ? weir_err_prefix(err, "the model of run %s", weir_json_text(run, "id")) : WEIR_OK;
}

static weir_status run_register(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const register_options *o = options;
    char space[WEIR_NAME_MAX + 1], default_experiment[WEIR_NAME_MAX + 32];
    weir_pg *pg = NULL;
    cJSON *run = NULL;
    (void)ret_exit;
    weir_status status = weir_space_make(o->catalog, o->schema, space, err);
    if (!status) status = weir_environment_check(o->environment, err);
    if (!status) status = weir_model_name_check(o->model_name, err);
    if (!status && !*o->alias) status = WEIR_FAIL(err, WEIR_EINVAL, "--alias: found \"\", expected a name");
    if (!status) status = weir_lifecycle_connect(settings, &pg, err);
    if (!status)
        status = weir_lifecycle_run_find(pg, space, o->model_name, o->experiment_name ? o->experiment_name : weir_default_experiment(space, default_experiment),
                                         o->run_id, &run, err);
    if (!status) status = check_artifact(settings, run, err);
    if (!status) status = register_and_describe(pg, space, o, run, err);
    cJSON_Delete(run);
    weir_pg_free(pg);
    return weir_lifecycle_failed(status, err);
}

const weir_command weir_command_register_model = {
    .name = "register_model",
    .args = "--catalog C --schema S --model-name M [--run-id RUN] [--alias A] [--description TEXT] [--git-sha SHA] [--environment E]",
    .doc = "Makes the model of a run the next version of catalog.schema.model; the last line is REGISTERED_VERSION=N.\n"
           "A model that is a version already (the same bytes) stays that version; its tags and the alias are set again.",
    .options = register_table,
    .options_size = sizeof(register_options),
    .run = run_register,
};
