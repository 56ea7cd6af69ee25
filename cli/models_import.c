#include "cli/models_import.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/artifact_file.h"
#include "models/import_model.h"
#include "models/recipe.h"
#include "models/registry.h"
#include "models/scorer_gate.h"
#include "models/signature.h"

static bool has_column(const weir_recipe *recipe, const char *name) {
    for (int i = 0; i < recipe->column_count; i++)
        if (!strcmp(recipe->columns[i], name)) return true;
    return false;
}

/* A pipeline serves models of its task, from the inputs that its training names. */
static weir_status check_fits(const weir_recipe *recipe, const weir_model *model, weir_err *err) {
    if (weir_model_task(model) != recipe->task)
        return WEIR_FAIL(err, WEIR_EINVAL, "the model is %s, the pipeline's training is %s", weir_task_name(weir_model_task(model)),
                         weir_task_name(recipe->task));
    if (recipe->task == WEIR_TASK_MULTICLASS && weir_model_output_count(model) != recipe->class_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "the model has %d classes, the pipeline's training %d", weir_model_output_count(model), recipe->class_count);
    for (int c = 0; c < weir_model_column_count(model); c++)
        if (!has_column(recipe, weir_model_columns(model)[c]))
            return WEIR_FAIL(err, WEIR_EINVAL, "the model takes column '%s', which is none of $.training.columns", weir_model_columns(model)[c]);
    return WEIR_OK;
}

static weir_status register_model(const weir_settings *settings, weir_pg *pg, const weir_models_import *import, const weir_recipe *recipe, weir_model *model,
                                  const weir_buf *artifact, const weir_gate_count *compared, int *ret_version, weir_err *err) {
    char path[512];
    weir_recipe own = *recipe; /* with the columns of the model */
    own.columns = (const char **)weir_model_columns(model);
    own.column_count = weir_model_column_count(model);
    own.threshold.rule = isnan(import->threshold) ? WEIR_THRESHOLD_SERVING : WEIR_THRESHOLD_FIXED;
    cJSON *signature = weir_recipe_signature(&own, import->threshold), *lineage = cJSON_CreateObject();
    bool ok = signature && lineage && cJSON_AddStringToObject(lineage, "imported_from", import->file) &&
              cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION) && weir_gate_describe(lineage, compared);
    snprintf(path, sizeof path, "models/%s/%s/%s.weirmodel", import->pipeline->name, import->model, weir_model_digest(model));
    const weir_version_new version = {.pipeline = import->pipeline->name,
                                      .model = import->model,
                                      .algorithm = weir_model_algorithm(model),
                                      .digest = weir_model_digest(model),
                                      .artifact_path = path,
                                      .feature_hash = import->pipeline->feature_hash,
                                      .lineage = lineage,
                                      .signature = signature};
    weir_status status = ok ? weir_artifact_write(settings->objects_dir, path, artifact, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a version");
    if (!status) status = weir_version_register(pg, &version, ret_version, err);
    cJSON_Delete(signature);
    cJSON_Delete(lineage);
    return status;
}

weir_status weir_models_import_file(const weir_settings *settings, weir_pg *pg, const weir_models_import *import, int *ret_version, weir_err *err) {
    weir_buf file = {0}, artifact = {0};
    weir_recipe recipe = {0};
    weir_model *model = NULL;
    weir_gate_count compared = {0};
    weir_status status = weir_artifact_read_file(import->file, &file, err);
    if (!status) {
        status = weir_import_model(file.data ? file.data : "", file.len, import->columns, import->pipeline->feature_hash, &artifact, err);
        if (status) (void)weir_err_prefix(err, "%s", import->file);
    }
    if (!status) status = weir_recipe_load(import->pipeline, &recipe, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    if (!status) status = check_fits(&recipe, model, err);
    if (!status) status = weir_scorer_gate(model, NULL, 0, &compared, err);
    if (!status) status = register_model(settings, pg, import, &recipe, model, &artifact, &compared, ret_version, err);
    if (!status)
        fprintf(stderr,
                "compiled scores equal %s's to the bit on %" PRId64 " random rows, %" PRId64 " thresholds with their neighbours and %" PRId64 " splits\n",
                weir_model_algorithm(model), compared.random_rows, compared.thresholds, compared.splits);
    weir_model_free(model);
    weir_recipe_done(&recipe);
    weir_buf_done(&artifact);
    weir_buf_done(&file);
    return status;
}
