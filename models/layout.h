/* A folder of models that other programs read without a database:
 *
 *     model_registry.json            every model: its latest version, and of each version where it is, its digest, algorithm, metrics, files
 *     global_metrics.json            over all versions: of each metric how many have it, the mean, the least and the greatest and whose they are
 *     fraud-xgb/
 *         v1.0.0/
 *             model.weirmodel        the model
 *             metadata.json          what is known of the version; size and SHA-256 of each file
 *             model.onnx  model.pmml  model.json
 *             artifacts/             reports and whatever else belongs to it
 *         v1.1.0/
 *         latest -> v1.1.0
 *
 * A version appears whole or not at all, and never changes: it is written beside, synced, and renamed. Writers of one folder wait for each other; readers need
 * no lock. */
#ifndef WEIR_MODELS_LAYOUT_H
#define WEIR_MODELS_LAYOUT_H

#include <cjson/cJSON.h>

#include "core/mem.h"
#include "models/semver.h"

#define WEIR_LAYOUT_MODEL_FILE "model.weirmodel"

/* A file of a version. Borrowed. */
typedef struct weir_layout_file {
    const char *name; /* WEIR_LAYOUT_MODEL_FILE, "model.onnx", "artifacts/report.html" */
    const weir_buf *bytes;
} weir_layout_file;

typedef struct weir_layout_version {
    const char *model; /* letters, digits, '_', '-', '.'; does not begin with '.' */
    const char *version; /* "1.0.0" */
    const cJSON *metadata; /* an object; algorithm, metrics and created_at also go into model_registry.json. May be NULL */
    const weir_layout_file *files; /* one is WEIR_LAYOUT_MODEL_FILE */
    size_t file_count;
} weir_layout_version;

/** Writes a version, moves `latest` to the highest one, and brings both summaries up to date. The same files again change nothing but the summaries.
 *  Errors: WEIR_ECONFLICT (the version is there with another model), WEIR_EINVAL (a name or version that is none), WEIR_EIO with the path, WEIR_ENOMEM. */
weir_status weir_model_layout_write(const char *dir, const weir_layout_version *version, weir_err *err) WEIR_MUST_CHECK;

/* A version that was found. */
typedef struct weir_layout_found {
    char version[WEIR_SEMVER_TEXT_MAX]; /* "1.1.0" */
    char folder[4096]; /* dir/model/v1.1.0 */
    char model_path[4096]; /* its model, whose bytes are those that metadata.json tells of */
    cJSON *metadata;
} weir_layout_found;

/** A version of a model by "1.0.0", "v1.0.0" or "latest" (NULL too). Errors: WEIR_ENOTFOUND names what there is, WEIR_EDATA (damaged), WEIR_EIO.
 *  weir_layout_found_done frees it. */
weir_status weir_model_layout_find(const char *dir, const char *model, const char *version, weir_layout_found *ret_found, weir_err *err) WEIR_MUST_CHECK;
void weir_layout_found_done(weir_layout_found *found);

#endif
