/* The model version that made a prediction, also when it was deleted since, and its artifact if that is still there. */
#ifndef WEIR_MODELS_PAST_MODEL_H
#define WEIR_MODELS_PAST_MODEL_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "models/model.h"

/** The version as JSON, the caller deletes it: {model, version, semver, algorithm, digest, artifact_path, feature_hash, dataset_digest, created_at, deleted_at, lineage, signature, run_id, run};
 *  run is null or {status, request, detail, code_version, started_at, ended_at}. digest NULL: whichever has that number now. JSON null when the registry does not know it (any more). */
weir_status weir_past_version(weir_pg *pg, const char *pipeline, const char *model, int version, const char *digest, cJSON **ret_version,
                              weir_err *err) WEIR_MUST_CHECK;
/** The model of such a version, the one with its digest. WEIR_ENOTFOUND when there is no version or no artifact any more, saying which; WEIR_EDATA when the artifact is another one. */
weir_status weir_past_model(const char *objects_dir, const cJSON *version, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;

#endif
