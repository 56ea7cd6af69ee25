#include "cli/models_export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/json.h"
#include "models/artifact_file.h"
#include "models/layout.h"
#include "models/tracking.h"

enum { FILES_MAX = 64 };

/* The model that was registered, wherever artifacts are kept. */
static weir_status load(const char *objects_dir, const cJSON *version, weir_model **ret_model, weir_err *err) {
    const char *path = weir_json_text(version, "artifact_path"), *digest = weir_json_text(version, "digest");
    weir_model *model = NULL;
    weir_status status = weir_artifact_load(objects_dir, path, &model, err);
    if (!status && strcmp(weir_model_digest(model), digest) != 0)
        status = WEIR_FAIL(err, WEIR_EDATA, "%s/%s is another model: it has digest %.12s…, the registry says %.12s…", objects_dir, path,
                           weir_model_digest(model), digest);
    if (status)
        weir_model_free(model);
    else
        *ret_model = model;
    return status;
}

/* A pipe or a device, also behind a link, is written to; renaming a file over it would take it away. */
static bool is_stream(const char *out) {
    struct stat st;
    return !lstat(out, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static weir_status write_stream(const char *out, const weir_buf *bytes, weir_err *err) {
    FILE *file = fopen(out, "we");
    bool written = file && fwrite(bytes->data, 1, bytes->len, file) == bytes->len;
    if (file) written = !fclose(file) && written;
    return written ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", out, strerror(errno));
}

static weir_status write_file(const char *out, const weir_buf *bytes, weir_err *err) {
    char folder[4096];
    const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
    struct stat st;
    if (!*name || (!stat(out, &st) && S_ISDIR(st.st_mode))) return WEIR_FAIL(err, WEIR_EINVAL, "--out %s is a folder, expected a file", out);
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - out) : 1, slash ? out : ".") >= (int)sizeof folder)
        return WEIR_FAIL(err, WEIR_EINVAL, "--out: the name of the file is too long");
    return weir_artifact_write(slash == out ? "/" : folder, name, bytes, err);
}

weir_status weir_models_export_file(const char *objects_dir, const cJSON *version, weir_export_format format, const char *out, weir_err *err) {
    weir_model *model = NULL;
    weir_buf bytes = {0};
    weir_status status = load(objects_dir, version, &model, err);
    if (!status) status = weir_model_export(model, format, &bytes, err);
    if (!status) status = is_stream(out) ? write_stream(out, &bytes, err) : write_file(out, &bytes, err);
    weir_model_free(model);
    weir_buf_done(&bytes);
    return status;
}

/* ---- the folder of models ---- */

typedef struct files {
    weir_layout_file list[FILES_MAX];
    weir_buf bytes[FILES_MAX];
    char names[FILES_MAX][140];
    size_t count;
} files;

static weir_buf *add_file(files *f, const char *format, const char *name) {
    if (f->count == FILES_MAX) return NULL;
    snprintf(f->names[f->count], sizeof f->names[0], format, name);
    f->list[f->count] = (weir_layout_file){.name = f->names[f->count], .bytes = &f->bytes[f->count]};
    return &f->bytes[f->count++];
}

/* A format that cannot hold the model is not worth failing for: the others can. */
static weir_status export_all(const weir_model *model, files *f, cJSON *not_exported, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int format = 0; !status && format < WEIR_EXPORT_FORMAT_COUNT; format++) {
        const char *name = weir_export_format_name((weir_export_format)format);
        weir_buf *bytes = add_file(f, "model.%s", format == WEIR_EXPORT_NATIVE ? "weirmodel" : name);
        weir_err why;
        status = weir_model_export(model, (weir_export_format)format, bytes, &why);
        if (status == WEIR_EINVAL && format != WEIR_EXPORT_NATIVE) {
            fprintf(stderr, "no %s: %s\n", name, why.message);
            weir_buf_done(bytes);
            f->count--;
            status = cJSON_AddStringToObject(not_exported, name, why.message) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for metadata");
        } else if (status) {
            *err = why;
        }
    }
    return status;
}

/* Reports and the like; a file that is gone by now is left out. */
static weir_status add_artifacts(weir_pg *pg, const char *objects_dir, const char *run_id, files *f, weir_err *err) {
    cJSON *run = NULL;
    const cJSON *artifact;
    weir_status status = *run_id ? weir_track_read(pg, run_id, &run, err) : WEIR_OK;
    if (!status) cJSON_ArrayForEach(artifact, cJSON_GetObjectItemCaseSensitive(run, "artifacts")) {
            const char *relative = weir_json_text(artifact, "path"), *slash = strrchr(relative, '/');
            if (!strcmp(weir_json_text(artifact, "kind"), "model")) continue;
            weir_buf *bytes = add_file(f, "artifacts/%.120s", slash ? slash + 1 : relative);
            if (!bytes) break;
            if ((status = weir_artifact_read(objects_dir, relative, bytes, err)) == WEIR_ENOTFOUND) {
                f->count--;
                status = WEIR_OK;
            }
            if (status) break;
        }
    cJSON_Delete(run);
    return status;
}

static bool add_column_names(cJSON *metadata, const cJSON *signature) {
    const cJSON *input;
    const char *target = weir_json_text(cJSON_GetObjectItemCaseSensitive(signature, "target"), "name");
    cJSON *names = cJSON_AddArrayToObject(metadata, "feature_columns"), *targets = cJSON_AddArrayToObject(metadata, "target_columns");
    bool added = names && targets && (!*target || cJSON_AddItemToArray(targets, cJSON_CreateString(target)));
    cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(signature, "inputs")) added =
        added && cJSON_AddItemToArray(names, cJSON_CreateString(weir_json_text(input, "name")));
    return added;
}

static weir_status describe(const cJSON *version, cJSON **ret_metadata, cJSON **ret_not_exported, weir_err *err) {
    static const char *const members[] = {"pipeline",  "algorithm", "created_at",   "run_id",         "metrics",
                                          "signature", "lineage",   "feature_hash", "dataset_digest", "aliases"};
    cJSON *metadata = cJSON_CreateObject();
    bool made = metadata;
    for (size_t i = 0; made && i < sizeof members / sizeof *members; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(version, members[i]);
        made = !item || cJSON_AddItemToObject(metadata, members[i], cJSON_Duplicate(item, true));
    }
    made = made && cJSON_AddNumberToObject(metadata, "number", cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version"))) &&
           add_column_names(metadata, cJSON_GetObjectItemCaseSensitive(version, "signature")) &&
           (*ret_not_exported = cJSON_AddObjectToObject(metadata, "not_exported"));
    *ret_metadata = metadata;
    return made ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for metadata");
}

weir_status weir_models_export_layout(weir_pg *pg, const char *objects_dir, const cJSON *version, const char *dir, weir_err *err) {
    files f = {0};
    weir_model *model = NULL;
    cJSON *metadata = NULL, *not_exported = NULL;
    weir_status status = load(objects_dir, version, &model, err);
    if (!status) status = describe(version, &metadata, &not_exported, err);
    if (!status) status = export_all(model, &f, not_exported, err);
    if (!status) status = add_artifacts(pg, objects_dir, weir_json_text(version, "run_id"), &f, err);
    if (!status) {
        const weir_layout_version written = {.model = weir_json_text(version, "model"),
                                             .version = weir_json_text(version, "semver"),
                                             .metadata = metadata,
                                             .files = f.list,
                                             .file_count = f.count};
        status = weir_model_layout_write(dir, &written, err);
    }
    for (size_t i = 0; i < FILES_MAX; i++) weir_buf_done(&f.bytes[i]);
    cJSON_Delete(metadata);
    weir_model_free(model);
    return status;
}
