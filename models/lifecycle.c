#include "models/lifecycle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "models/pg_json.h"
#include "models/tracking.h"

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(weir_pg *pg, weir_status status, weir_err *err) {
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    return status;
}

weir_status weir_lifecycle_open(weir_pg *pg, weir_err *err) {
    /* May this login change the schema weir (or make it), and if not: is it ready, and may the login use it? */
    static const char sql[] =
        "SELECT coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'weir'), true),"
        " coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT, INSERT') FROM pg_namespace n"
        "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'dataset_versions' WHERE n.nspname = 'weir'), false), quote_literal(current_user)";
    PGresult *row = NULL;
    weir_status status = weir_pg_exec(pg, sql, 0, NULL, &row, err);
    if (status) return status;
    if (*PQgetvalue(row, 0, 0) == 't')
        status = weir_pg_migrate(pg, err);
    else if (*PQgetvalue(row, 0, 1) != 't')
        status = WEIR_FAIL(
            err, WEIR_EDENIED,
            "PermissionDenied: this user may not log datasets and runs in schema weir; its owner runs `weir migrate`, then SELECT weir.grant_lifecycle(%s)",
            PQgetvalue(row, 0, 2));
    PQclear(row);
    return status;
}

/* ---- runs ---- */

/* A run's session holds a lock while it lives, taken before others can see the run. A run of the model that is said to be running and whose lock is free was left by a process
 * that went away. */
static weir_status bury_dead_runs(weir_pg *pg, const char *space, const char *model, const char *run_id, weir_err *err) {
    weir_status status = weir_pg_exec(pg, "SELECT pg_advisory_lock(hashtextextended($1, 0))", 1, &run_id, NULL, err);
    const char *const params[] = {space, model, run_id};
    return status ? status
                  : weir_pg_exec(
                        pg,
                        "UPDATE weir.runs r SET status = 'failed', ended_at = clock_timestamp(), detail = detail || '{\"message\": \"its process went away\"}'"
                        " FROM weir.experiment_runs e WHERE e.run_id = r.id AND r.pipeline = $1 AND e.model = $2 AND r.id <> $3 AND r.status = 'running'"
                        " AND pg_try_advisory_xact_lock(hashtextextended(r.id, 0))",
                        3, params, NULL, err);
}

weir_status weir_lifecycle_run_start(weir_pg *pg, const char *space, const char *model, const char *experiment, const cJSON *request, weir_run *ret_run,
                                     weir_err *err) {
    weir_run run = {0};
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_run_start(pg, space, request, &run, err);
    if (!status) status = weir_track_attach(pg, run.id, experiment, model, err);
    if (!status) status = bury_dead_runs(pg, space, model, run.id, err);
    status = end(pg, status, err);
    if (!status) *ret_run = run;
    return status;
}

static weir_status log_dataset(weir_track *track, const char *context, const weir_run_dataset *dataset, weir_err *err) {
    const weir_table *table = dataset->table;
    const weir_track_dataset logged = {.context = context,
                                       .space = table->name.space,
                                       .name = table->version ? table->dataset : table->relation,
                                       .version = table->version ? table->version : WEIR_DATASET_UNVERSIONED,
                                       .digest = dataset->digest,
                                       .rows = dataset->row_count};
    return weir_track_dataset_add(track, &logged, err);
}

static weir_status log_model(weir_pg *pg, const char *run_id, const weir_run_result *result, weir_err *err) {
    char *signature = cJSON_PrintUnformatted(result->signature);
    if (!signature) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    const char *const params[] = {run_id, result->algorithm, result->digest, result->artifact_path, signature, result->beats_baseline ? "true" : "false"};
    weir_status status = weir_pg_exec(pg,
                                      "UPDATE weir.experiment_runs SET algorithm = $2, digest = $3, artifact_path = $4, signature = $5::jsonb, beats_baseline "
                                      "= $6::boolean WHERE run_id = $1",
                                      6, params, NULL, err);
    cJSON_free(signature);
    return status;
}

static weir_status log_result(weir_track *track, const weir_run_result *result, weir_err *err) {
    weir_status status = weir_track_params(track, NULL, result->params, err);
    if (!status) status = weir_track_metrics(track, NULL, result->metrics, err);
    if (!status) status = weir_track_tags(track, result->tags, err);
    if (!status) status = log_dataset(track, "train", &result->train, err);
    if (!status) status = log_dataset(track, "test", &result->test, err);
    return status ? status : weir_track_artifact(track, "model", result->artifact_path, result->digest, -1, err);
}

weir_status weir_lifecycle_run_finish(weir_pg *pg, const char *run_id, const weir_run_result *result, weir_err *err) {
    weir_track *track = NULL;
    weir_status status = weir_track_new(run_id, &track, err);
    if (!status) status = log_result(track, result, err);
    if (!status) status = weir_pg_begin(pg, err);
    if (!status) {
        status = weir_track_write(track, pg, err);
        if (!status) status = log_model(pg, run_id, result, err);
        if (!status) status = weir_run_update(pg, run_id, "succeeded", NULL, err);
        status = end(pg, status, err);
    }
    weir_track_free(track);
    return status;
}

static weir_status require_experiment(weir_pg *pg, const char *experiment, weir_err *err) {
    PGresult *row = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT FROM weir.experiments WHERE name = $1", 1, &experiment, &row, err);
    if (!status && !PQntuples(row)) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "Experiment '%s' not found; train_model makes it with its first run", experiment);
    PQclear(row);
    return status;
}

/* Why no run was found: the newest of the model says it best. */
static weir_status explain_no_run(weir_pg *pg, const char *space, const char *model, const char *experiment, weir_err *err) {
    PGresult *row = NULL;
    const char *const params[] = {experiment, model, space};
    weir_status status = weir_pg_exec(
        pg,
        "SELECT r.id, r.status, round(m.value::numeric, 4), p.value FROM weir.experiment_runs e JOIN weir.runs r ON r.id = e.run_id"
        " LEFT JOIN weir.run_metrics m ON m.run_id = r.id AND m.name = 'test_f1' LEFT JOIN weir.run_params p ON p.run_id = r.id AND p.name = 'baseline_f1'"
        " WHERE e.experiment = $1 AND e.model = $2 AND r.pipeline = $3 ORDER BY r.started_at DESC, r.id DESC LIMIT 1",
        3, params, &row, err);
    if (status) return status;
    if (!PQntuples(row))
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "experiment '%s' has no run of model %s.%s", experiment, space, model);
    else if (strcmp(PQgetvalue(row, 0, 1), "succeeded") != 0)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "experiment '%s' has no successful run of model %s.%s; the newest, %s, is %s", experiment, space, model,
                           PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
    else
        status = WEIR_FAIL(err, WEIR_ENOTFOUND,
                           "experiment '%s' has no run of model %s.%s that beat its baseline; the newest, %s, has F1 %s with baseline %s: --run-id %s "
                           "registers it all the same",
                           experiment, space, model, PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 2), PQgetvalue(row, 0, 3), PQgetvalue(row, 0, 0));
    PQclear(row);
    return status;
}

static const char run_sql[] =
    "SELECT coalesce((SELECT json_build_object('id', r.id, 'experiment', e.experiment, 'model', e.model, 'space', r.pipeline, 'status', r.status, "
    "'started_at', " WEIR_PG_TIME(
        "r.started_at") ","
                        " 'algorithm', e.algorithm, 'digest', e.digest, 'artifact_path', e.artifact_path, 'signature', e.signature, 'beats_baseline', "
                        "e.beats_baseline,"
                        " 'params', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_params WHERE run_id = r.id),"
                        " 'metrics', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_metrics WHERE run_id = r.id),"
                        " 'tags', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_tags WHERE run_id = r.id),"
                        " 'datasets', (SELECT coalesce(json_agg(json_build_object('context', context, 'dataset', space || '.' || table_name, 'version', "
                        "version, 'rows', row_count, 'digest', digest)"
                        "   ORDER BY context DESC), '[]') FROM weir.run_datasets WHERE run_id = r.id))"
                        " FROM weir.experiment_runs e JOIN weir.runs r ON r.id = e.run_id"
                        " WHERE CASE WHEN $1::text IS NOT NULL THEN r.id = $1 ELSE e.experiment = $2 AND e.model = $3 AND r.pipeline = $4 AND r.status = "
                        "'succeeded' AND e.beats_baseline END"
                        " ORDER BY r.started_at DESC, r.id DESC LIMIT 1), 'null')";

static weir_status judge_named_run(const cJSON *run, const char *space, const char *model, const char *run_id, weir_err *err) {
    if (cJSON_IsNull(run)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no run '%s' of train_model", run_id);
    if (strcmp(weir_json_text(run, "space"), space) != 0 || strcmp(weir_json_text(run, "model"), model) != 0)
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "run '%s' is of model %s.%s, not of %s.%s", run_id, weir_json_text(run, "space"), weir_json_text(run, "model"),
                         space, model);
    if (strcmp(weir_json_text(run, "status"), "succeeded") != 0)
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "run '%s' did not succeed: it is %s", run_id, weir_json_text(run, "status"));
    return WEIR_OK;
}

weir_status weir_lifecycle_run_find(weir_pg *pg, const char *space, const char *model, const char *experiment, const char *run_id, cJSON **ret_run,
                                    weir_err *err) {
    cJSON *run = NULL;
    weir_status status = run_id ? WEIR_OK : require_experiment(pg, experiment, err);
    if (!status) status = weir_pg_query_json(pg, run_sql, 4, (const char *const[]){run_id, experiment, model, space}, &run, err);
    if (!status && run_id) status = judge_named_run(run, space, model, run_id, err);
    if (!status && cJSON_IsNull(run)) status = explain_no_run(pg, space, model, experiment, err);
    if (status)
        cJSON_Delete(run);
    else
        *ret_run = run;
    return status;
}

/* ---- registered models ---- */

/* The lock is the row of the model: two who register it wait for each other. */
static weir_status lock_model(weir_pg *pg, const char *const model[2], weir_err *err) {
    weir_status status = weir_pg_exec(pg, "INSERT INTO weir.registered_models (space, model) VALUES ($1, $2) ON CONFLICT DO NOTHING", 2, model, NULL, err);
    return status ? status : weir_pg_exec(pg, "SELECT FROM weir.registered_models WHERE space = $1 AND model = $2 FOR UPDATE", 2, model, NULL, err);
}

/* The event is in the outbox when the alias moved. */
static weir_status move_alias(weir_pg *pg, const char *space, const char *model, const char *version, const char *alias, weir_err *err) {
    static const char sql[] =
        "WITH old AS (SELECT version FROM weir.model_aliases WHERE pipeline = $1 AND model = $2 AND alias = $3),"
        " moved AS (INSERT INTO weir.model_aliases (pipeline, model, alias, version) VALUES ($1, $2, $3, $4::int)"
        "  ON CONFLICT (pipeline, model, alias) DO UPDATE SET version = excluded.version, moved_at = clock_timestamp()"
        "  WHERE model_aliases.version <> excluded.version RETURNING version),"
        " kept AS (INSERT INTO weir.model_alias_history (pipeline, model, alias, from_version, to_version) SELECT $1, $2, $3, (SELECT version "
        "FROM old), version FROM moved RETURNING *)"
        " INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, alias, artifact_path, payload)"
        " SELECT $1, 'alias.moved', $1, $2, v.version, v.digest, $3, v.artifact_path, jsonb_build_object('from_model', CASE WHEN k.from_version IS NULL"
        " THEN NULL ELSE $2 END, 'from_version', k.from_version, 'algorithm', v.algorithm, 'actor', k.actor)"
        " FROM kept k JOIN weir.model_versions v ON v.pipeline = $1 AND v.model = $2 AND v.version = k.to_version";
    return weir_pg_exec(pg, sql, 4, (const char *const[]){space, model, alias, version}, NULL, err);
}

static weir_status set_tags(weir_pg *pg, const char *space, const char *model, const char *version, const cJSON *tags, weir_err *err) {
    char *text = cJSON_PrintUnformatted(tags);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    weir_status status =
        weir_pg_exec(pg,
                     "INSERT INTO weir.version_tags (pipeline, model, version, name, value) SELECT $1, $2, $3::int, key, value FROM jsonb_each_text($4::jsonb)"
                     " ON CONFLICT (pipeline, model, version, name) DO UPDATE SET value = excluded.value",
                     4, (const char *const[]){space, model, version, text}, NULL, err);
    cJSON_free(text);
    return status;
}

weir_status weir_lifecycle_version_describe(weir_pg *pg, const char *space, const char *model, int version, const char *alias, const cJSON *tags,
                                            const char *description, const char *generated, weir_err *err) {
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_registry_lock(pg, err);
    if (!status) status = lock_model(pg, (const char *const[2]){space, model}, err);
    if (!status) status = set_tags(pg, space, model, number, tags, err);
    const char *const params[] = {space, model, number, description, generated};
    if (!status)
        status = weir_pg_exec(pg,
                              "INSERT INTO weir.version_descriptions AS d (pipeline, model, version, description) VALUES ($1, $2, $3::int, coalesce($4, $5))"
                              " ON CONFLICT (pipeline, model, version) DO UPDATE SET description = coalesce($4, d.description)",
                              5, params, NULL, err);
    if (!status)
        status =
            weir_pg_exec(pg,
                         "INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, artifact_path, payload)"
                         " SELECT pipeline, 'version.described', pipeline, model, version, digest, artifact_path, jsonb_build_object('tags', (SELECT "
                         "coalesce(jsonb_object_agg(name,"
                         " value), '{}') FROM weir.version_tags t WHERE (t.pipeline, t.model, t.version) = (v.pipeline, v.model, v.version)), 'description',"
                         " (SELECT description FROM weir.version_descriptions d WHERE (d.pipeline, d.model, d.version) = (v.pipeline, v.model, v.version)))"
                         " FROM weir.model_versions v WHERE pipeline = $1 AND model = $2 AND version = $3::int",
                         3, params, NULL, err);
    if (!status && alias) status = move_alias(pg, space, model, number, alias, err);
    return end(pg, status, err);
}

weir_status weir_lifecycle_spaces(weir_pg *pg, const char *model, const char *catalog, const char *schema, cJSON **ret_spaces, weir_err *err) {
    return weir_pg_query_json(pg,
                              "SELECT coalesce(json_agg(space ORDER BY space), '[]') FROM weir.registered_models WHERE model = $1"
                              " AND ($2::text IS NULL OR split_part(space, '.', 1) = $2) AND ($3::text IS NULL OR split_part(space, '.', 2) = $3)",
                              3, (const char *const[]){model, catalog, schema}, ret_spaces, err);
}

static weir_status explain_no_version(weir_pg *pg, const char *space, const char *model, int version, const char *alias, weir_err *err) {
    cJSON *has = NULL;
    weir_status status = weir_pg_query_json(
        pg,
        "SELECT json_build_object('versions', (SELECT string_agg(version::text, ', ' ORDER BY version) FROM weir.model_versions WHERE pipeline = $1 AND"
        " model = $2 AND deleted_at IS NULL), 'aliases', (SELECT string_agg(alias, ', ' ORDER BY alias) FROM weir.model_aliases WHERE pipeline = $1 AND model "
        "= $2))",
        2, (const char *const[]){space, model}, &has, err);
    if (status) return status;
    if (!*weir_json_text(has, "versions"))
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "no model %s.%s is registered", space, model);
    else if (version)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "model %s.%s has no version %d; it has %s", space, model, version, weir_json_text(has, "versions"));
    else
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "model %s.%s has no alias '%s'; it has %s", space, model, alias, weir_json_text(has, "aliases"));
    cJSON_Delete(has);
    return status;
}

weir_status weir_lifecycle_version_find(weir_pg *pg, const char *space, const char *model, int version, const char *alias, cJSON **ret_version, weir_err *err) {
    static const char sql[] = "SELECT coalesce((SELECT json_build_object('version', v.version, 'run_id', v.run_id, 'algorithm', v.algorithm, 'digest', "
                              "v.digest, 'artifact_path', v.artifact_path,"
                              " 'signature', v.signature, 'metrics', v.metrics, 'lineage', v.lineage, 'created_at', " WEIR_PG_TIME(
                                  "v.created_at") ", 'run_status', r.status,"
                                                  " 'description', (SELECT description FROM weir.version_descriptions d WHERE (d.pipeline, d.model, d.version) "
                                                  "= (v.pipeline, v.model, v.version)),"
                                                  " 'tags', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.version_tags t WHERE "
                                                  "(t.pipeline, t.model, t.version) = (v.pipeline, v.model, v.version)),"
                                                  " 'aliases', (SELECT coalesce(json_agg(alias ORDER BY alias), '[]') FROM weir.model_aliases a WHERE "
                                                  "(a.pipeline, a.model, a.version) = (v.pipeline, v.model, v.version)))"
                                                  " FROM weir.model_versions v LEFT JOIN weir.runs r ON r.id = v.run_id WHERE v.pipeline = $1 AND v.model = $2 "
                                                  "AND v.deleted_at IS NULL AND v.version = coalesce($3::int,"
                                                  "  (SELECT version FROM weir.model_aliases WHERE pipeline = $1 AND model = $2 AND alias = $4))), 'null')";
    char number[16];
    cJSON *found = NULL;
    snprintf(number, sizeof number, "%d", version);
    weir_status status = weir_pg_query_json(pg, sql, 4, (const char *const[]){space, model, version ? number : NULL, alias}, &found, err);
    if (!status && cJSON_IsNull(found)) status = explain_no_version(pg, space, model, version, alias, err);
    if (status)
        cJSON_Delete(found);
    else
        *ret_version = found;
    return status;
}
