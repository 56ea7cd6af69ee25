#include "models/past_model.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/artifact_file.h"
#include "models/pg_json.h"

weir_status weir_past_version(weir_pg *pg, const char *pipeline, const char *model, int version, const char *digest, cJSON **ret_version, weir_err *err) {
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    return weir_pg_query_json(
        pg,
        "SELECT coalesce((SELECT json_build_object('model', v.model, 'version', v.version, 'semver', array_to_string(v.semver, '.'), 'algorithm', v.algorithm,"
        " 'digest', v.digest, 'artifact_path', v.artifact_path, 'feature_hash', v.feature_hash, 'dataset_digest', v.dataset_digest,"
        " 'created_at', " WEIR_PG_TIME("v.created_at") ", 'deleted_at', " WEIR_PG_TIME(
            "v.deleted_at") ", 'lineage', v.lineage, 'signature', v.signature, 'run_id', v.run_id,"
                            " 'run', CASE WHEN r.id IS NOT NULL THEN json_build_object('status', r.status, 'request', r.request, 'detail', r.detail,"
                            " 'code_version', r.code_version, 'started_at', " WEIR_PG_TIME("r.started_at") ", 'ended_at', " WEIR_PG_TIME(
                                "r.ended_at") ") END)"
                                              " FROM weir.model_versions v LEFT JOIN weir.runs r ON r.id = v.run_id"
                                              " WHERE v.pipeline = $1 AND v.model = $2 AND v.version = $3::int AND ($4::text IS NULL OR v.digest = $4)), "
                                              "'null')",
        4, (const char *const[]){pipeline, model, number, digest}, ret_version, err);
}

weir_status weir_past_model(const char *objects_dir, const cJSON *version, weir_model **ret_model, weir_err *err) {
    weir_model *model = NULL;
    if (!cJSON_IsObject(version)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the registry does not know this version (any more)");
    weir_status status = weir_artifact_load(objects_dir, weir_json_text(version, "artifact_path"), &model, err);
    if (status == WEIR_ENOTFOUND && *weir_json_text(version, "deleted_at"))
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "the version was deleted on %.19s, and its artifact with it", weir_json_text(version, "deleted_at"));
    if (!status && strcmp(weir_model_digest(model), weir_json_text(version, "digest")) != 0) {
        status = WEIR_FAIL(err, WEIR_EDATA, "the artifact %s has digest %.12s…, the version was registered with %.12s…",
                           weir_json_text(version, "artifact_path"), weir_model_digest(model), weir_json_text(version, "digest"));
        weir_model_free(model);
        model = NULL;
    }
    *ret_model = model;
    return status;
}
