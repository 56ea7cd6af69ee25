#include "cli/demo_harm.h"

#include <stdio.h>
#include <string.h>

#include "models/artifact_file.h"
#include "models/memory.h"
#include "models/model.h"
#include "models/scorer_gate.h"
#include "models/spec.h"

/* Deviations of columns are then so small that what is served, less the mean, over the deviation, is infinite; and of two infinite terms of different sign the sum is no number. Still within what
 * a double resolves to 13 digits, so that the fit sees what it would see otherwise. */
#define TINY 1e-310

const char *const weir_harm_docs[] = {"learnt from numbers in another unit: its scores are no numbers", "learnt from labels with yes and no exchanged"};
static const char *const names[] = {"units", "labels"};
/* A linear model standardises its inputs, and so shows what a unit does; how labels are learnt does not matter. */
static const char *const specs[] = {"{\"algorithm\": \"logistic\", \"params\": {\"l2\": 0.001}}", "{\"algorithm\": \"xgboost\"}"};
static const char *const algorithms[] = {"logistic", "xgboost"};

/* Copies of what is spoiled; the rest of the set stays its own. */
typedef struct spoiled {
    weir_trainset set;
    double *values, *label;
} spoiled;

static weir_status spoil(const weir_trainset *set, weir_harm harm, spoiled *ret_spoiled, weir_err *err) {
    size_t rows = (size_t)set->matrix.row_count, cells = rows * (size_t)set->matrix.column_count;
    spoiled s = {.set = *set, .values = weir_models_calloc(cells, sizeof(double)), .label = weir_models_calloc(rows, sizeof(double))};
    *ret_spoiled = s;
    if (!s.values || !s.label) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu rows", rows);
    for (size_t i = 0; i < cells; i++) s.values[i] = harm == WEIR_HARM_UNITS ? set->matrix.values[i] * TINY : set->matrix.values[i];
    for (size_t i = 0; i < rows; i++) s.label[i] = harm == WEIR_HARM_LABELS ? 1 - set->matrix.label[i] : set->matrix.label[i];
    ret_spoiled->set.matrix.values = s.values;
    ret_spoiled->set.matrix.label = ret_spoiled->set.targets = s.label;
    return WEIR_OK;
}

static weir_status register_it(const weir_training *t, weir_harm harm, const weir_model *model, const char *path, const char *dataset, weir_pg *pg,
                               char ret_version[160], weir_err *err) {
    char name[96];
    int version = 0;
    cJSON *lineage = cJSON_CreateObject(), *signature = weir_recipe_signature(t->recipe, t->recipe->threshold.value);
    snprintf(name, sizeof name, "%.64s-%s", t->pipeline->name, names[harm]);
    const weir_version_new new = {
        .pipeline = t->pipeline->name,
        .model = name,
        .algorithm = algorithms[harm],
        .digest = weir_model_digest(model),
        .artifact_path = path,
        .feature_hash = t->pipeline->feature_hash,
        .dataset_digest = dataset,
        .lineage = lineage,
        .signature = signature,
    };
    weir_status status = lineage && signature && cJSON_AddStringToObject(lineage, "made_for", weir_harm_docs[harm])
                             ? weir_version_register(pg, &new, &version, err)
                             : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a version of %s", name);
    snprintf(ret_version, 160, "%s/%d", name, version);
    cJSON_Delete(lineage);
    cJSON_Delete(signature);
    return status;
}

static weir_status fit(const weir_training *t, weir_harm harm, const weir_trainset *set, weir_buf *artifact, weir_err *err) {
    cJSON *spec = cJSON_Parse(specs[harm]);
    const weir_fit_options options = {.feature_hash = t->pipeline->feature_hash, .seed = t->recipe->seed, .threads = t->recipe->threads};
    weir_status status = spec ? weir_spec_fit(spec, set, &options, artifact, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a spec");
    cJSON_Delete(spec);
    return status;
}

weir_status weir_harm_register(const weir_training *t, weir_harm harm, weir_pg *pg, char ret_version[160], weir_err *err) {
    weir_trainset set = {0};
    spoiled bad = {0};
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_gate_count compared;
    char path[512];
    if (t->recipe->task != WEIR_TASK_BINARY)
        return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s learns no yes or no: there are no labels to exchange", t->pipeline->name);
    weir_status status = weir_training_set(t, false, &set, err);
    if (status) return status;
    status = spoil(&set, harm, &bad, err);
    if (!status) status = fit(t, harm, &bad.set, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    if (!status) status = weir_scorer_gate(model, bad.set.matrix.values, bad.set.matrix.row_count, &compared, err);
    if (!status) {
        snprintf(path, sizeof path, "models/%s/%s-%s/%s.weirmodel", t->pipeline->name, t->pipeline->name, names[harm], weir_model_digest(model));
        status = weir_artifact_write(t->objects_dir, path, &artifact, err);
    }
    if (!status) status = register_it(t, harm, model, path, set.digest, pg, ret_version, err);
    weir_model_free(model);
    weir_buf_done(&artifact);
    weir_models_free(bad.values);
    weir_models_free(bad.label);
    weir_trainset_done(&set);
    return status ? weir_err_prefix(err, "a version %s", weir_harm_docs[harm]) : WEIR_OK;
}
