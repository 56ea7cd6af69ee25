/* Models of training files as versions in a folder, and predictions by them. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "models/memory.h"
#include "models/scorer_gate.h"
#include "models/training_file.h"

enum { WRITES_MAX = 8, FILES_MAX = 32 };

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what is known of a model");
}

static const char *folder_of(const char *path) {
    return !strncmp(path, "file://", 7) ? path + 7 : path;
}

const char *weir_training_file_store(const weir_training_file *file) {
    const weir_training_persistence *p = &file->persistence;
    if (!p->save_models) return NULL;
    return folder_of(p->hdfs_model_path && *p->hdfs_model_path ? p->hdfs_model_path : p->model_registry_path);
}

/* ---- metadata ---- */

static bool add_copy(cJSON *object, const char *key, const cJSON *item) {
    cJSON *copy = item ? cJSON_Duplicate(item, true) : cJSON_CreateNull();
    if (copy && cJSON_AddItemToObject(object, key, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

/* What callers of the model see, for models/semver.h. */
static bool add_signature(cJSON *metadata, const cJSON *schema) {
    cJSON *signature = cJSON_AddObjectToObject(metadata, "signature"), *target = signature ? cJSON_AddObjectToObject(signature, "target") : NULL,
          *output = target ? cJSON_AddObjectToObject(signature, "output") : NULL;
    return output && add_copy(signature, "inputs", cJSON_GetObjectItemCaseSensitive(schema, "inputs")) &&
           add_copy(target, "names", cJSON_GetObjectItemCaseSensitive(schema, "targets")) &&
           add_copy(target, "classes", cJSON_GetObjectItemCaseSensitive(schema, "classes")) &&
           add_copy(output, "task", cJSON_GetObjectItemCaseSensitive(schema, "task"));
}

static bool add_lineage(cJSON *metadata, const weir_training_kept *kept) {
    cJSON *lineage = cJSON_AddObjectToObject(metadata, "lineage"), *dataset = lineage ? cJSON_AddObjectToObject(lineage, "dataset") : NULL;
    return dataset && add_copy(dataset, "name", cJSON_GetObjectItemCaseSensitive(kept->schema, "source")) &&
           cJSON_AddStringToObject(dataset, "digest", kept->dataset_digest ? kept->dataset_digest : "") && add_copy(lineage, "spec", kept->spec) &&
           (!kept->run_id || cJSON_AddStringToObject(lineage, "run_id", kept->run_id));
}

static cJSON *make_metadata(const weir_training_kept *kept) {
    char algorithm[160], when[WEIR_TIME_TEXT_MAX];
    cJSON *metadata = cJSON_CreateObject();
    const cJSON *item;
    weir_spec_describe(kept->spec, algorithm, sizeof algorithm);
    bool ok = metadata && cJSON_AddStringToObject(metadata, "algorithm", algorithm) &&
              cJSON_AddStringToObject(metadata, "created_at", weir_time_format(weir_clock_wall_us(weir_clock_system()), when)) &&
              add_copy(metadata, "spec", kept->spec) && add_copy(metadata, "data_schema", kept->schema) && add_copy(metadata, "metrics", kept->metrics) &&
              add_signature(metadata, kept->schema) && add_lineage(metadata, kept);
    cJSON_ArrayForEach(item, kept->more) {
        if (ok && !cJSON_GetObjectItemCaseSensitive(metadata, item->string)) ok = add_copy(metadata, item->string, item);
    }
    if (ok) return metadata;
    cJSON_Delete(metadata);
    return NULL;
}

/* ---- the version ---- */

static weir_semver_facts facts_of(const cJSON *metadata) {
    return (weir_semver_facts){.algorithm = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "algorithm")),
                               .signature = cJSON_GetObjectItemCaseSensitive(metadata, "signature"),
                               .lineage = cJSON_GetObjectItemCaseSensitive(metadata, "lineage")};
}

/* *ret_why NULL: this very model is the latest version already. */
static weir_status next_version(const weir_training_file *file, const weir_training_kept *kept, const cJSON *metadata, char *version, const char **ret_why,
                                weir_err *err) {
    weir_layout_found latest = {0};
    weir_semver before = {0};
    char digest[65];
    weir_status status = weir_model_layout_find(weir_training_file_store(file), kept->name, NULL, &latest, err);
    if (status == WEIR_ENOTFOUND) {
        strcpy(version, "1.0.0");
        *ret_why = "the first version";
        return WEIR_OK;
    }
    if (status) return status;
    weir_sha256_hex(kept->artifact->data, kept->artifact->len, digest);
    const char *held = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(latest.metadata, "digest"));
    if (held && !strcmp(held, digest)) {
        strcpy(version, latest.version);
        *ret_why = NULL;
    } else if (!weir_semver_parse(latest.version, &before)) {
        status = WEIR_FAIL(err, WEIR_EDATA, "the latest version of %s is '%s', expected three numbers", kept->name, latest.version);
    } else {
        const weir_semver_facts old = facts_of(latest.metadata), now = facts_of(metadata);
        bool counted = file->persistence.versioning_strategy == WEIR_VERSIONING_SEQUENTIAL;
        weir_semver_change change = weir_semver_change_of(&old, &now, ret_why);
        weir_semver next = weir_semver_next(&before, counted ? WEIR_SEMVER_MAJOR : change);
        weir_semver_format(&next, version);
    }
    weir_layout_found_done(&latest);
    return status;
}

/* ---- exports ---- */

/* What is written as a version: the model, its exports, and what the caller brought. */
typedef struct parcel {
    weir_layout_file files[FILES_MAX + WEIR_EXPORT_FORMAT_COUNT];
    size_t count;
    weir_buf exports[WEIR_EXPORT_FORMAT_COUNT];
    char names[WEIR_EXPORT_FORMAT_COUNT][32];
} parcel;

static bool add_left_out(cJSON *metadata, weir_export_format format, const weir_err *why) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(metadata, "exports_left_out"), *item = cJSON_CreateObject();
    if (!list) list = cJSON_AddArrayToObject(metadata, "exports_left_out");
    bool ok = item && list && cJSON_AddStringToObject(item, "format", weir_export_format_name(format)) && cJSON_AddStringToObject(item, "why", why->message) &&
              cJSON_AddItemToArray(list, item);
    if (!ok) cJSON_Delete(item);
    return ok;
}

/* A format that cannot hold the model exactly is no reason not to keep the model: metadata says so. */
static weir_status export_all(const weir_training_file *file, const weir_training_kept *kept, cJSON *metadata, parcel *p, weir_err *err) {
    weir_model *model = NULL;
    weir_gate_count compared;
    weir_status status = weir_model_load(kept->artifact->data, kept->artifact->len, &model, err);
    if (!status) status = weir_scorer_gate(model, NULL, 0, &compared, err);
    for (int f = 0; !status && f < WEIR_EXPORT_FORMAT_COUNT; f++) {
        weir_err why;
        if (!file->exports[f] || f == WEIR_EXPORT_NATIVE) continue;
        weir_status exported = weir_model_export(model, (weir_export_format)f, &p->exports[f], &why);
        snprintf(p->names[f], sizeof p->names[f], "model.%s", weir_export_format_name((weir_export_format)f));
        if (!exported)
            p->files[p->count++] = (weir_layout_file){p->names[f], &p->exports[f]};
        else if (exported != WEIR_EINVAL)
            status = WEIR_FAIL(err, exported, "%s: %s", p->names[f], why.message);
        else if (!add_left_out(metadata, (weir_export_format)f, &why))
            status = no_memory(err);
    }
    weir_model_free(model);
    return status;
}

/* ---- keeping ---- */

static weir_status write_next(const weir_training_file *file, const weir_training_kept *kept, cJSON *metadata, parcel *p, char *version, weir_err *err) {
    const char *why = NULL;
    for (int i = 0;; i++) { /* another writer may have taken the version */
        weir_status status = next_version(file, kept, metadata, version, &why, err);
        if (status || !why) return status;
        if (!i) status = export_all(file, kept, metadata, p, err);
        cJSON_DeleteItemFromObjectCaseSensitive(metadata, "version_reason");
        if (!status && !cJSON_AddStringToObject(metadata, "version_reason", why)) status = no_memory(err);
        const weir_layout_version written = {.model = kept->name, .version = version, .metadata = metadata, .files = p->files, .file_count = p->count};
        if (!status) status = weir_model_layout_write(weir_training_file_store(file), &written, err);
        if (status != WEIR_ECONFLICT || i == WRITES_MAX) return status;
    }
}

weir_status weir_training_file_persist(const weir_training_file *file, const weir_training_kept *kept, char *version, weir_err *err) {
    parcel p = {.files = {{WEIR_LAYOUT_MODEL_FILE, kept->artifact}}, .count = 1};
    if (!weir_training_file_store(file)) return WEIR_FAIL(err, WEIR_EINVAL, "persistence.save_models is false: there is no folder for versions");
    if (kept->file_count >= FILES_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%zu files beside a model, expected fewer than %d", kept->file_count, FILES_MAX);
    for (size_t i = 0; i < kept->file_count; i++) p.files[p.count++] = kept->files[i];
    cJSON *metadata = make_metadata(kept);
    weir_status status = metadata ? write_next(file, kept, metadata, &p, version, err) : no_memory(err);
    for (int f = 0; f < WEIR_EXPORT_FORMAT_COUNT; f++) weir_buf_done(&p.exports[f]);
    cJSON_Delete(metadata);
    return status;
}

weir_status weir_training_file_infer(const char *dir, const char *model, const char *version, const char *data_path, const char *format, const char *out_path,
                                     int64_t *ret_rows, weir_err *err) {
    weir_layout_found found = {0};
    weir_model *loaded = NULL;
    weir_status status = weir_model_layout_find(folder_of(dir), model, version, &found, err);
    if (status) return status;
    if (!(status = weir_model_load_file(found.model_path, &loaded, err)))
        status = weir_file_predict(cJSON_GetObjectItemCaseSensitive(found.metadata, "data_schema"), loaded, data_path, format, out_path, ret_rows, err);
    if (status && status != WEIR_ENOMEM) (void)weir_err_prefix(err, "%s %s", model, found.version);
    weir_model_free(loaded);
    weir_layout_found_done(&found);
    return status;
}
