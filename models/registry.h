/* The model registry in PostgreSQL (schema weir): runs, datasets, versions, aliases moved by compare-and-set, and an outbox of events for weir.models. */
#ifndef WEIR_MODELS_REGISTRY_H
#define WEIR_MODELS_REGISTRY_H

#include <cjson/cJSON.h>

#include "core/pg.h"

typedef struct weir_run {
    char id[40]; /* "run-" + time-ordered hex */
} weir_run;

/** Starts a run: pipeline, request JSON (parameters, window), code version. status: "running". */
weir_status weir_run_start(weir_pg *pg, const char *pipeline, const cJSON *request, weir_run *ret_run, weir_err *err) WEIR_MUST_CHECK;
/** status: "queued", "running", "awaiting_labels", "succeeded", "failed", "cancelled"; detail JSON (durations, dataset digest, message; may be NULL) is merged in, key by key. */
weir_status weir_run_update(weir_pg *pg, const char *run_id, const char *status, const cJSON *detail, weir_err *err) WEIR_MUST_CHECK;
/** Runs of a pipeline with this status (NULL: all), newest first: JSON array of {id, status, request, detail, code_version, started_at, ended_at}; ended_at is null until it succeeded, failed or was cancelled. */
weir_status weir_run_list(weir_pg *pg, const char *pipeline, const char *status, cJSON **ret_runs, weir_err *err) WEIR_MUST_CHECK;

/* A version to be registered. Strings are borrowed. */
typedef struct weir_version_new {
    const char *pipeline;
    const char *model; /* name: "fraud-logistic" */
    const char *algorithm;
    const char *run_id;
    const char *digest; /* of the artifact */
    const char *artifact_path; /* relative to the objects directory */
    const char *feature_hash;
    const char *dataset_digest;
    const cJSON *lineage; /* dataset query, offsets, window, parameters, seed, code version */
    const cJSON *signature; /* columns and types */
    const cJSON *metrics; /* may be NULL; set later by weir_version_metrics */
    const char *semver; /* "1.2.0"; NULL: by the rule of models/semver.h after the highest one of the model, 1.0.0 when it is the first */
} weir_version_new;

/** Sequential version number per model, and its semantic version. The same digest again gives the version it already has. Writes an outbox event in the same
 *  transaction.
 *  WEIR_ECONFLICT: another version has that semantic version. */
weir_status weir_version_register(weir_pg *pg, const weir_version_new *version, int *ret_version, weir_err *err) WEIR_MUST_CHECK;
/** The threshold that a version was registered with and decides by, which is that of its first registration; NaN when its signature has none.
 *  WEIR_ENOTFOUND when there is no such version. */
weir_status weir_version_threshold(weir_pg *pg, const char *pipeline, const char *model, int version, double *ret_threshold, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_version_metrics(weir_pg *pg, const char *pipeline, const char *model, int version, const cJSON *metrics, weir_err *err) WEIR_MUST_CHECK;
/** JSON array of {pipeline, model, version, semver, algorithm, digest, artifact_path, run_id, feature_hash, dataset_digest, created_at, metrics, lineage,
 *  signature, aliases[]}, newest
 *  first, without those that were deleted; model may be NULL. */
weir_status weir_version_list(weir_pg *pg, const char *pipeline, const char *model, cJSON **ret_versions, weir_err *err) WEIR_MUST_CHECK;
/** The number of a version by what a person calls it: "3", "1.2.0", "v1.2.0", an alias of the pipeline, or "latest" (NULL too). WEIR_ENOTFOUND names what
 *  there is. */
weir_status weir_version_resolve(weir_pg *pg, const char *pipeline, const char *model, const char *name, int *ret_version, weir_err *err) WEIR_MUST_CHECK;

/* Where a version's artifact went when the version was deleted. */
typedef enum weir_artifact_fate { WEIR_ARTIFACT_REMOVED, WEIR_ARTIFACT_KEPT, WEIR_ARTIFACT_ABSENT } weir_artifact_fate;
/** Deletes a version: its row stays, marked; its artifact goes from objects_dir, but is kept while another version has it or somebody has just written it
 *  anew. WEIR_ECONFLICT while an
 *  alias points at it or its run is not over; WEIR_ENOTFOUND when there is no such version (any more). Writes an outbox event in the same transaction. */
weir_status weir_version_delete(weir_pg *pg, const char *objects_dir, const char *pipeline, const char *model, int version, const char *actor,
                                const char *reason, weir_artifact_fate *ret_fate, weir_err *err) WEIR_MUST_CHECK;

/** Moves an alias ("champion", "challenger") of a pipeline to model/version. expected_digest: what it must point at now (NULL: nothing), otherwise WEIR_ECONFLICT.
 *  model NULL removes it. Writes history and an outbox event in the same transaction; a move to where it points already changes nothing. Unknown version: WEIR_ENOTFOUND. */
weir_status weir_alias_move(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *model, int version,
                            const char *actor, const char *reason, weir_err *err) WEIR_MUST_CHECK;
/** The same, and keeps with the move what was checked before it (models/stage.h); verdict may be NULL. */
weir_status weir_alias_promote(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *model, int version,
                               const char *actor, const char *reason, const cJSON *verdict, weir_err *err) WEIR_MUST_CHECK;
/** Takes back the newest move of an alias that was not taken back yet: it points again at what it left. Doing it twice goes back two moves. expected_digest as
 *  of weir_alias_move.
 *  WEIR_ENOTFOUND when there is nothing before, WEIR_ECONFLICT when that was deleted. */
weir_status weir_alias_rollback(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *actor, const char *reason,
                                weir_err *err) WEIR_MUST_CHECK;
/** JSON array of {alias, model, version, digest, artifact_path, algorithm, run_id, moved_at}. */
weir_status weir_alias_list(weir_pg *pg, const char *pipeline, cJSON **ret_aliases, weir_err *err) WEIR_MUST_CHECK;

/** Takes up to 100 unsent outbox events in order: JSON array of {id, key, type ("version.registered", "version.evaluated", "version.described",
 *  "version.deleted", "alias.moved"), time_us, pipeline, model, version, digest, alias, artifact_path, payload (text)}.
 *  weir_outbox_done marks them sent (in order, up to id). */
weir_status weir_outbox_take(weir_pg *pg, cJSON **ret_events, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_outbox_done(weir_pg *pg, int64_t up_to_id, weir_err *err) WEIR_MUST_CHECK;
/** Inside a transaction, before events are taken to be sent: of several who carry them, of other pipelines too, one does at a time, until its transaction ends. *ret_mine false:
 *  somebody else does just now. */
weir_status weir_outbox_lock(weir_pg *pg, bool *ret_mine, weir_err *err) WEIR_MUST_CHECK;

/** All who change the registry hold this lock from before they write to the outbox until their transaction ends. Inside a transaction. */
weir_status weir_registry_lock(weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;

#endif
