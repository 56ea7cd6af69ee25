/* Why a prediction is what it is: everything that its record, the registry and the offline store know of it, and what each input contributed to the score. */
#ifndef WEIR_MODELS_WHY_H
#define WEIR_MODELS_WHY_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "features/pipeline.h"

/* An id says where its event was, "PIPELINE-PARTITION-OFFSET", or its request, "PIPELINE-request-PARTITION-OFFSET". */
typedef struct weir_prediction_id {
    char pipeline[128];
    int32_t partition;
    int64_t offset;
    bool of_request;
} weir_prediction_id;
/** As it stands in source_partition of the prediction: requests count theirs from -1 down. */
static inline int32_t weir_prediction_id_source(const weir_prediction_id *id) {
    return id->of_request ? -1 - id->partition : id->partition;
}
/** WEIR_EINVAL for a text that is none. */
weir_status weir_prediction_id_parse(const char *text, weir_prediction_id *ret_id, weir_err *err) WEIR_MUST_CHECK;

/** Looks the prediction up and gathers (the caller deletes *ret_why):
 *    prediction   id, pipeline, tenant, entity, join_id, event_time, predicted_at, arm, propensity, score, decision, threshold
 *    source       topic, partition, offset of the event
 *    views[]      view, topic, partition, offset, version, event_time, age_seconds of the state that was read; "found": false where there was none
 *    inputs[]     name, value, from ("event" or the view), age_seconds, contribution; by size of the contribution
 *    explanation  base, sum, unit ("score", "log odds", "logarithm", "margin"); or "none": why there is none
 *    reproduced   whether the artifact gives the recorded score again, bit for bit; null without an artifact
 *    model        name, version, semver, algorithm, digest, feature_hash, same_definitions, created_at, deleted_at; artifact: "loaded", or why not
 *    training     run_id, run_status, code_version, started_at, query, dataset_digest, rows, window, seed, params, spec; null where the registry does not know
 *    label        value, available_time; null where none is known
 *  objects_dir: where artifacts are. Errors: WEIR_ENOTFOUND when the store does not have the prediction; WEIR_ENET, WEIR_ENOMEM. Reads one row by an index, and one artifact. */
weir_status weir_why(weir_pg *pg, const weir_pipeline *pipeline, const char *objects_dir, const char *prediction_id, cJSON **ret_why,
                     weir_err *err) WEIR_MUST_CHECK;

#endif
