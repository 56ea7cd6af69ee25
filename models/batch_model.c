#include "models/batch_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/json_file.h"
#include "models/memory.h"
#include "models/past_model.h"
#include "models/registry.h"
#include "models/trainset_schema.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the inputs of a model");
}

/* As serving takes an event's column: texts by weir_text_number, times in µs. What is no column of the events is a feature, and those are numbers. */
static weir_status inputs_of_pipeline(const weir_pipeline *pipeline, weir_batch_model *m, weir_err *err) {
    int count = weir_model_column_count(m->model);
    if (!(m->inputs = weir_models_calloc((size_t)count, sizeof *m->inputs))) return no_memory(err);
    for (int i = 0; i < count; i++) {
        const char *name = weir_model_columns(m->model)[i];
        int column = pipeline ? weir_schema_find(pipeline->events.schema, name) : -1;
        weir_target target = column < 0 ? WEIR_TARGET_NUMBER : weir_target_of(weir_schema_field_at(pipeline->events.schema, column));
        if (target == WEIR_TARGET_WHOLE || target == WEIR_TARGET_BYTES) target = target == WEIR_TARGET_WHOLE ? WEIR_TARGET_NUMBER : WEIR_TARGET_TEXT;
        m->inputs[i] = (weir_batch_input){.name = name, .target = target, .as_micros = true};
    }
    return WEIR_OK;
}

static void decide(const weir_pipeline *pipeline, double own, weir_batch_model *m) {
    m->threshold = NAN;
    if (weir_model_task(m->model) != WEIR_TASK_BINARY) return;
    m->threshold = !isnan(own) ? own : weir_json_number(weir_json_at(pipeline ? pipeline->json : NULL, "serving"), "threshold", 0.5);
}

/* ---- of a schema ---- */

static weir_status check_model(const cJSON *schema, const weir_model *model, weir_err *err) {
    const cJSON *inputs = weir_json_at(schema, "inputs"), *input;
    int at = 0, count = weir_model_column_count(model);
    if (!cJSON_IsArray(inputs)) return WEIR_FAIL(err, WEIR_EDATA, "the version has no schema of its inputs");
    if (cJSON_GetArraySize(inputs) != count) return WEIR_FAIL(err, WEIR_EDATA, "the schema has %d inputs, the model %d", cJSON_GetArraySize(inputs), count);
    cJSON_ArrayForEach(input, inputs) {
        const char *name = weir_json_text(input, "name");
        if (strcmp(name, weir_model_columns(model)[at]) != 0)
            return WEIR_FAIL(err, WEIR_EDATA, "input %d of the schema is '%s', of the model '%s'", at + 1, name, weir_model_columns(model)[at]);
        at++;
    }
    return WEIR_OK;
}

/* *ret_names stays NULL where the schema lists none, or not as many as the model gives. */
static weir_status names_of(const cJSON *list, int count, const char ***ret_names, weir_err *err) {
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count) return WEIR_OK;
    const char **names = weir_models_calloc((size_t)count + 1, sizeof *names);
    if (!names) return no_memory(err);
    *ret_names = names;
    for (int i = 0; i < count; i++) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(list, i));
        names[i] = name ? name : "";
    }
    return WEIR_OK;
}

static weir_status read_schema(weir_batch_model *m, weir_err *err) {
    weir_task task = weir_model_task(m->model);
    const cJSON *input;
    int i = 0, outputs = weir_model_output_count(m->model);
    weir_status status = check_model(m->schema, m->model, err);
    if (status) return status;
    if (!(m->inputs = weir_models_calloc((size_t)weir_model_column_count(m->model), sizeof *m->inputs))) return no_memory(err);
    cJSON_ArrayForEach(input, weir_json_at(m->schema, "inputs")) {
        m->inputs[i].name = weir_model_columns(m->model)[i];
        if (!weir_schema_type_find(weir_json_text(input, "type"), &m->inputs[i].target))
            return WEIR_FAIL(err, WEIR_EDATA, "input %d of the schema has no known type", i + 1);
        i++;
    }
    if (task != WEIR_TASK_REGRESSION) return names_of(weir_json_at(m->schema, "classes"), task == WEIR_TASK_BINARY ? 2 : outputs, &m->class_names, err);
    return names_of(weir_json_at(m->schema, "targets"), outputs, &m->target_names, err);
}

weir_status weir_batch_model_of_schema(weir_model *model, const cJSON *schema, weir_batch_model *ret_model, weir_err *err) {
    weir_batch_model m = {.model = model, .infinite_is_missing = true};
    weir_status status = WEIR_OK;
    decide(NULL, NAN, &m);
    if (schema && !(m.schema = cJSON_Duplicate(schema, true))) status = no_memory(err);
    if (!status) status = read_schema(&m, err);
    if (status)
        weir_batch_model_done(&m);
    else
        *ret_model = m;
    return status;
}

/* ---- of a file ---- */

/* "boosted" of models/boosted.weirmodel. */
static void name_of_file(const char *path, char name[128]) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = strcspn(base, ".");
    snprintf(name, 128, "%.*s", (int)(len < 127 ? len : 127), base);
}

static weir_status read_metadata(const char *path, cJSON **ret_metadata, weir_err *err) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int len = slash ? snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path) : snprintf(folder, sizeof folder, ".");
    if (len >= (int)sizeof folder) return WEIR_FAIL(err, WEIR_EINVAL, "%.60s…: the path is too long", path);
    weir_status status = weir_json_file_read(folder, "metadata.json", ret_metadata, err);
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

weir_status weir_batch_model_load(const char *path, const weir_pipeline *pipeline, weir_batch_model *ret_model, weir_err *err) {
    weir_batch_model m = {0};
    weir_model *model = NULL;
    cJSON *metadata = NULL;
    weir_status status = weir_model_load_file(path, &model, err);
    if (!status) status = read_metadata(path, &metadata, err);
    const cJSON *schema = weir_json_at(metadata, "data_schema");
    bool own = !status && schema && !strcmp(weir_json_text(metadata, "digest"), weir_model_digest(model));
    if (own) {
        status = weir_batch_model_of_schema(model, schema, &m, err);
    } else if (!status) {
        m.model = model;
        status = inputs_of_pipeline(pipeline, &m, err);
    }
    m.owned = model;
    if (!status) {
        name_of_file(path, m.name);
        if (own && *weir_json_text(metadata, "model")) snprintf(m.name, sizeof m.name, "%s", weir_json_text(metadata, "model"));
        decide(pipeline, NAN, &m);
        *ret_model = m;
    } else {
        weir_batch_model_done(&m);
    }
    cJSON_Delete(metadata);
    return status;
}

/* ---- of the registry ---- */

static weir_status find_alias(weir_pg *pg, const weir_pipeline *pipeline, const char *alias, weir_batch_model *m, weir_err *err) {
    cJSON *aliases = NULL;
    const cJSON *item;
    char there[256] = "";
    weir_status status = weir_alias_list(pg, pipeline->name, &aliases, err);
    cJSON_ArrayForEach(item, aliases) {
        size_t used = strlen(there);
        snprintf(there + used, sizeof there - used, "%s%s", used ? ", " : "; there is ", weir_json_text(item, "alias"));
        if (strcmp(weir_json_text(item, "alias"), alias) != 0) continue;
        snprintf(m->name, sizeof m->name, "%s", weir_json_text(item, "model"));
        m->version = (int)weir_json_number(item, "version", 0);
    }
    if (!status && !m->version)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no %s%s: name a model (and a version of it), or train one", pipeline->name, alias, there);
    cJSON_Delete(aliases);
    return status;
}

weir_status weir_batch_model_find(weir_pg *pg, const char *objects_dir, const weir_pipeline *pipeline, const char *model, const char *version,
                                  weir_batch_model *ret_model, weir_err *err) {
    weir_batch_model m = {0};
    cJSON *found = NULL;
    double threshold = NAN;
    weir_status status;
    if (model) {
        snprintf(m.name, sizeof m.name, "%s", model);
        status = weir_version_resolve(pg, pipeline->name, model, version, &m.version, err);
    } else {
        status = find_alias(pg, pipeline, version ? version : "champion", &m, err);
    }
    if (!status) status = weir_past_version(pg, pipeline->name, m.name, m.version, NULL, &found, err);
    if (!status && !cJSON_IsObject(found)) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "%s has no version %d any more", m.name, m.version);
    if (!status) status = weir_past_model(objects_dir, found, &m.owned, err);
    m.model = m.owned;
    if (!status) status = weir_version_threshold(pg, pipeline->name, m.name, m.version, &threshold, err);
    if (!status) status = inputs_of_pipeline(pipeline, &m, err);
    if (!status) decide(pipeline, threshold, &m);
    cJSON_Delete(found);
    if (status)
        weir_batch_model_done(&m);
    else
        *ret_model = m;
    return status;
}

void weir_batch_model_use(const weir_batch_model *m, weir_batch_job *job) {
    job->model = m->model;
    job->inputs = m->inputs;
    job->class_names = m->class_names;
    job->target_names = m->target_names;
    job->model_name = m->name;
    job->version = m->version;
    job->threshold = m->threshold;
    job->infinite_is_missing = m->infinite_is_missing;
}

void weir_batch_model_done(weir_batch_model *m) {
    weir_model_free(m->owned);
    weir_models_free(m->inputs);
    weir_models_free(m->class_names);
    weir_models_free(m->target_names);
    cJSON_Delete(m->schema);
    *m = (weir_batch_model){0};
}
