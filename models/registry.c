/* The registry's statements. Lists are made into JSON by PostgreSQL; every change runs in one transaction with its row of the outbox. */
#include "models/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/pg_json.h"
#include "models/semver.h"

enum { REWRITTEN_WITHIN_S = 60, CLOCKS_APART_S = 10 };

/* All writers of the registry take this lock first and hold it until they commit: version numbers have no gaps and outbox ids become visible in order. They are few and short.
 * Any fixed number; "weirmods" in ASCII. */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(8603398603344405619)"

/* Number of rows that a statement with RETURNING or UPDATE touched. */
static weir_status execute(weir_pg *pg, const char *sql, int param_count, const char *const *params, int *ret_rows, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, param_count, params, &result, err);
    if (status != WEIR_OK) return status;
    if (ret_rows) *ret_rows = atoi(PQcmdTuples(result));
    PQclear(result);
    return WEIR_OK;
}

static weir_status print_json(const cJSON *json, char **ret_text, weir_err *err) {
    *ret_text = json ? cJSON_PrintUnformatted(json) : NULL;
    return json && !*ret_text ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text") : WEIR_OK;
}

weir_status weir_registry_lock(weir_pg *pg, weir_err *err) {
    return weir_pg_exec(pg, LOCK_SQL, 0, NULL, NULL, err);
}

static weir_status begin_locked(weir_pg *pg, weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    return status == WEIR_OK ? weir_registry_lock(pg, err) : status;
}

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(weir_pg *pg, weir_status status, weir_err *err) {
    if (status == WEIR_OK) status = weir_pg_commit(pg, err);
    if (status != WEIR_OK) weir_pg_rollback(pg);
    return status;
}

/* ---- runs ---- */

static weir_status make_run_id(weir_run *run, weir_err *err) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) return WEIR_FAIL(err, WEIR_EIO, "the system has no random numbers");
    snprintf(run->id, sizeof run->id, "run-%016llx%016llx", (unsigned long long)weir_clock_wall_us(weir_clock_system()), (unsigned long long)random);
    return WEIR_OK;
}

weir_status weir_run_start(weir_pg *pg, const char *pipeline, const cJSON *request, weir_run *ret_run, weir_err *err) {
    weir_run run;
    char *request_text = NULL;
    weir_status status = make_run_id(&run, err);
    if (status == WEIR_OK) status = print_json(request, &request_text, err);
    if (status == WEIR_OK) {
        const char *const params[] = {run.id, pipeline, request_text ? request_text : "{}", WEIR_VERSION};
        status = execute(pg, "INSERT INTO weir.runs (id, pipeline, status, request, code_version) VALUES ($1, $2, 'running', $3, $4)", 4, params, NULL, err);
    }
    cJSON_free(request_text);
    if (status == WEIR_OK) *ret_run = run;
    return status;
}

static bool is_run_status(const char *status) {
    static const char *const known[] = {"queued", "running", "awaiting_labels", "succeeded", "failed", "cancelled"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(status, known[i])) return true;
    return false;
}

weir_status weir_run_update(weir_pg *pg, const char *run_id, const char *run_status, const cJSON *detail, weir_err *err) {
    char *text = NULL;
    int rows = 0;
    if (!is_run_status(run_status))
        return WEIR_FAIL(err, WEIR_EINVAL, "a run cannot be '%s'; expected queued, running, awaiting_labels, succeeded, failed or cancelled", run_status);
    weir_status status = print_json(detail, &text, err);
    if (status == WEIR_OK) {
        const char *const params[] = {run_id, run_status, text ? text : "{}"};
        status = execute(pg,
                         "UPDATE weir.runs SET status = $2, detail = detail || $3::jsonb,"
                         " ended_at = CASE WHEN $2 IN ('succeeded', 'failed', 'cancelled') THEN clock_timestamp() END WHERE id = $1",
                         3, params, &rows, err);
    }
    cJSON_free(text);
    if (status == WEIR_OK && rows == 0) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no run '%s'", run_id);
    return status;
}

weir_status weir_run_list(weir_pg *pg, const char *pipeline, const char *run_status, cJSON **ret_runs, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('id', id, 'status', status, 'request', request, 'detail', detail, 'code_version', code_version,"
        " 'started_at', " WEIR_PG_TIME("started_at") ", 'ended_at', " WEIR_PG_TIME(
            "ended_at") ") ORDER BY started_at DESC, id DESC), '[]')"
                        " FROM weir.runs WHERE pipeline = $1 AND ($2::text IS NULL OR status = $2)",
        2, (const char *const[]){pipeline, run_status}, ret_runs, err);
}

/* ---- versions ---- */

/* The version that has this digest already, or 0. */
static weir_status find_digest(weir_pg *pg, const weir_version_new *v, int *ret_version, weir_err *err) {
    PGresult *result = NULL;
    const char *const params[] = {v->pipeline, v->model, v->digest};
    weir_status status = weir_pg_exec(pg, "SELECT version FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND digest = $3 AND deleted_at IS NULL",
                                      3, params, &result, err);
    if (status != WEIR_OK) return status;
    *ret_version = PQntuples(result) ? atoi(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return WEIR_OK;
}

/* The semantic version that was asked for, unless it is taken. */
static weir_status take_semver(weir_pg *pg, const weir_version_new *v, char semver[WEIR_SEMVER_TEXT_MAX], weir_err *err) {
    weir_semver asked;
    int rows = 0;
    if (!weir_semver_parse(v->semver, &asked)) return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no version; expected MAJOR.MINOR.PATCH", v->semver);
    weir_semver_format(&asked, semver);
    const char *const params[] = {v->pipeline, v->model, semver};
    weir_status status =
        execute(pg, "SELECT 1 FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND semver = string_to_array($3, '.')::int[]", 3, params, &rows, err);
    if (status == WEIR_OK && rows) status = WEIR_FAIL(err, WEIR_ECONFLICT, "model '%s' of '%s' has a version %s already", v->model, v->pipeline, semver);
    return status;
}

/* The one that follows from what differs between the highest version so far and this one. Numbers of deleted versions are not used again. */
static weir_status choose_semver(weir_pg *pg, const weir_version_new *v, char semver[WEIR_SEMVER_TEXT_MAX], const char **ret_why, weir_err *err) {
    cJSON *last = NULL;
    weir_semver next = {1, 0, 0};
    *ret_why = "the first";
    weir_status status = weir_pg_query_json(
        pg,
        "SELECT coalesce((SELECT json_build_object('semver', array_to_string(semver, '.'), 'algorithm', algorithm, 'feature_hash', feature_hash,"
        " 'signature', signature, 'lineage', lineage) FROM weir.model_versions WHERE pipeline = $1 AND model = $2 ORDER BY semver DESC LIMIT 1), 'null')",
        2, (const char *const[]){v->pipeline, v->model}, &last, err);
    if (status != WEIR_OK) return status;
    weir_semver before;
    if (cJSON_IsObject(last) && weir_semver_parse(weir_json_text(last, "semver"), &before)) {
        const weir_semver_facts was = {weir_json_text(last, "algorithm"), weir_json_text(last, "feature_hash"), weir_json_at(last, "signature"),
                                       weir_json_at(last, "lineage")};
        const weir_semver_facts is = {v->algorithm, v->feature_hash, v->signature, v->lineage};
        next = weir_semver_next(&before, weir_semver_change_of(&was, &is, ret_why));
    }
    cJSON_Delete(last);
    weir_semver_format(&next, semver);
    return WEIR_OK;
}

/* Inserts the version and its event in one statement. */
static weir_status insert_version(weir_pg *pg, const weir_version_new *v, const char *lineage, const char *signature, const char *metrics, int *ret_version,
                                  weir_err *err) {
    static const char sql[] =
        "WITH added AS (INSERT INTO weir.model_versions (pipeline, model, version, algorithm, run_id, digest, artifact_path, "
        "feature_hash, dataset_digest, lineage, signature, metrics, semver)"
        " SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb, $11::jsonb, string_to_array($12, '.')::int[] FROM "
        "weir.model_versions WHERE pipeline = $1 AND model = $2"
        " RETURNING *)"
        " INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, artifact_path, payload)"
        " SELECT pipeline, 'version.registered', pipeline, model, version, digest, artifact_path,"
        " jsonb_build_object('algorithm', algorithm, 'run_id', run_id, 'feature_hash', feature_hash, 'dataset_digest', dataset_digest, "
        "'lineage', lineage, 'signature', signature,"
        " 'metrics', metrics, 'semver', $12::text, 'semver_why', $13::text) FROM added RETURNING version";
    char semver[WEIR_SEMVER_TEXT_MAX];
    const char *why = "asked for";
    weir_status status = v->semver ? take_semver(pg, v, semver, err) : choose_semver(pg, v, semver, &why, err);
    if (status != WEIR_OK) return status;
    const char *const params[] = {v->pipeline,
                                  v->model,
                                  v->algorithm,
                                  v->run_id,
                                  v->digest,
                                  v->artifact_path,
                                  v->feature_hash ? v->feature_hash : "",
                                  v->dataset_digest ? v->dataset_digest : "",
                                  lineage ? lineage : "{}",
                                  signature ? signature : "{}",
                                  metrics,
                                  semver,
                                  why};
    PGresult *result = NULL;
    status = weir_pg_exec(pg, sql, 13, params, &result, err);
    if (status != WEIR_OK) return status;
    *ret_version = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_version_register(weir_pg *pg, const weir_version_new *version, int *ret_version, weir_err *err) {
    char *lineage = NULL, *signature = NULL, *metrics = NULL;
    int number = 0;
    weir_status status = print_json(version->lineage, &lineage, err);
    if (status == WEIR_OK) status = print_json(version->signature, &signature, err);
    if (status == WEIR_OK) status = print_json(version->metrics, &metrics, err);
    if (status == WEIR_OK) {
        status = begin_locked(pg, err);
        if (status == WEIR_OK) status = find_digest(pg, version, &number, err);
        if (status == WEIR_OK && number == 0) status = insert_version(pg, version, lineage, signature, metrics, &number, err);
        status = end(pg, status, err);
    }
    cJSON_free(lineage);
    cJSON_free(signature);
    cJSON_free(metrics);
    if (status == WEIR_OK) *ret_version = number;
    return status;
}

weir_status weir_version_threshold(weir_pg *pg, const char *pipeline, const char *model, int version, double *ret_threshold, weir_err *err) {
    char number[16];
    PGresult *result = NULL;
    snprintf(number, sizeof number, "%d", version);
    const char *const params[] = {pipeline, model, number};
    weir_status status = weir_pg_exec(pg,
                                      "SELECT CASE jsonb_typeof(signature -> 'threshold') WHEN 'number' THEN signature ->> 'threshold' ELSE 'NaN' END"
                                      " FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND version = $3::int",
                                      3, params, &result, err);
    if (status) return status;
    if (PQntuples(result) == 0)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no version %d of model '%s' in pipeline '%s'", version, model, pipeline);
    else
        *ret_threshold = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    return status;
}

weir_status weir_version_metrics(weir_pg *pg, const char *pipeline, const char *model, int version, const cJSON *metrics, weir_err *err) {
    char *text = NULL, number[16];
    int rows = 0;
    snprintf(number, sizeof number, "%d", version);
    weir_status status = print_json(metrics, &text, err);
    if (status != WEIR_OK) return status;
    const char *const params[] = {pipeline, model, number, text};
    status = begin_locked(pg, err);
    if (status == WEIR_OK)
        status = execute(
            pg,
            "WITH changed AS (UPDATE weir.model_versions SET metrics = $4::jsonb WHERE pipeline = $1 AND model = $2 AND version = $3::int AND deleted_at IS "
            "NULL RETURNING *)"
            " INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, artifact_path, payload)"
            " SELECT pipeline, 'version.evaluated', pipeline, model, version, digest, artifact_path, jsonb_build_object('metrics', metrics) FROM changed",
            4, params, &rows, err);
    if (status == WEIR_OK && rows == 0)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no version %d of model '%s' in pipeline '%s'", version, model, pipeline);
    cJSON_free(text);
    return end(pg, status, err);
}

weir_status weir_version_list(weir_pg *pg, const char *pipeline, const char *model, cJSON **ret_versions, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('pipeline', pipeline, 'model', model, 'version', version, 'semver', array_to_string(semver, '.'),"
        " 'algorithm', algorithm, 'digest', digest, 'artifact_path', artifact_path, 'run_id', run_id, 'feature_hash', feature_hash, 'dataset_digest', "
        "dataset_digest,"
        " 'created_at', " WEIR_PG_TIME(
            "created_at") ", 'metrics', metrics, 'lineage', lineage, 'signature', signature,"
                          " 'aliases', (SELECT coalesce(json_agg(a.alias ORDER BY a.alias), '[]') FROM weir.aliases a"
                          "             WHERE a.pipeline = v.pipeline AND a.model = v.model AND a.version = v.version))"
                          " ORDER BY created_at DESC, version DESC, model), '[]')"
                          " FROM weir.model_versions v WHERE pipeline = $1 AND ($2::text IS NULL OR model = $2) AND deleted_at IS NULL",
        2, (const char *const[]){pipeline, model}, ret_versions, err);
}

static weir_status explain_no_version(weir_pg *pg, const char *pipeline, const char *model, const char *name, weir_err *err) {
    cJSON *has = NULL;
    weir_status status =
        weir_pg_query_json(pg,
                           "SELECT json_build_object('versions', string_agg(version || ' (' || array_to_string(semver, '.') || ')', ', ' ORDER BY version))"
                           " FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND deleted_at IS NULL",
                           2, (const char *const[]){pipeline, model}, &has, err);
    if (status != WEIR_OK) return status;
    if (*weir_json_text(has, "versions"))
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no version '%s' of model %s; it has %.300s", pipeline, name, model,
                           weir_json_text(has, "versions"));
    else
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no model %s", pipeline, model);
    cJSON_Delete(has);
    return status;
}

weir_status weir_version_resolve(weir_pg *pg, const char *pipeline, const char *model, const char *name, int *ret_version, weir_err *err) {
    static const char sql[] =
        "SELECT max(version) FROM weir.model_versions v WHERE pipeline = $1 AND model = $2 AND deleted_at IS NULL AND (version = $3::int"
        " OR semver = string_to_array($4, '.')::int[] OR version IN (SELECT a.version FROM weir.aliases a WHERE a.pipeline = $1 AND a.model = $2"
        " AND a.alias = $5 UNION ALL SELECT m.version FROM weir.model_aliases m WHERE m.pipeline = $1 AND m.model = $2 AND m.alias = $5)"
        " OR ($3::int IS NULL AND $4::text IS NULL AND $5::text IS NULL))";
    PGresult *result = NULL;
    weir_semver semver;
    char text[WEIR_SEMVER_TEXT_MAX];
    const char *params[] = {pipeline, model, NULL, NULL, NULL};
    if (name && strcmp(name, "latest") != 0) {
        size_t len = strlen(name);
        if (len && len < 10 && strspn(name, "0123456789") == len)
            params[2] = name;
        else if (weir_semver_parse(name, &semver))
            params[3] = weir_semver_format(&semver, text);
        else
            params[4] = name;
    }
    weir_status status = weir_pg_exec(pg, sql, 5, params, &result, err);
    if (status != WEIR_OK) return status;
    int found = PQgetisnull(result, 0, 0) ? 0 : atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    if (!found) return explain_no_version(pg, pipeline, model, name ? name : "latest", err);
    *ret_version = found;
    return WEIR_OK;
}

/* ---- deleting ---- */

/* What speaks against it, and what is needed to remove the artifact. */
static weir_status look_at_doomed(weir_pg *pg, const char *const version[3], cJSON **ret_facts, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce((SELECT json_build_object('artifact_path', v.artifact_path, 'created_s', extract(epoch FROM v.created_at), 'run_id', v.run_id, "
        "'run_status',"
        " (SELECT status FROM weir.runs r WHERE r.id = v.run_id AND status NOT IN ('succeeded', 'failed', 'cancelled')),"
        " 'aliases', (SELECT string_agg(alias, ', ' ORDER BY alias) FROM (SELECT alias FROM weir.aliases a WHERE (a.pipeline, a.model, a.version) = "
        "(v.pipeline, v.model, v.version)"
        "  UNION SELECT alias FROM weir.model_aliases m WHERE (m.pipeline, m.model, m.version) = (v.pipeline, v.model, v.version)) both_kinds))"
        " FROM weir.model_versions v WHERE pipeline = $1 AND model = $2 AND version = $3::int AND deleted_at IS NULL), 'null')",
        3, version, ret_facts, err);
}

static weir_status judge_doomed(const cJSON *facts, const char *const version[3], weir_err *err) {
    if (cJSON_IsNull(facts)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no version %s of model '%s' in pipeline '%s'", version[2], version[1], version[0]);
    if (*weir_json_text(facts, "aliases"))
        return WEIR_FAIL(err, WEIR_ECONFLICT, "version %s of model '%s' is %s of '%s'; move the alias first", version[2], version[1],
                         weir_json_text(facts, "aliases"), version[0]);
    if (*weir_json_text(facts, "run_status"))
        return WEIR_FAIL(err, WEIR_ECONFLICT, "version %s of model '%s' belongs to run %s, which is %s; wait until it is over", version[2], version[1],
                         weir_json_text(facts, "run_id"), weir_json_text(facts, "run_status"));
    return WEIR_OK;
}

/* Whoever fits the same model again writes its file first and registers it then: a file that is much younger than the version that had it is on its way into
 * the registry. */
static bool is_rewritten(const struct stat *st, double created_s) {
    double age_s = (double)weir_clock_wall_us(weir_clock_system()) / 1e6 - (double)st->st_mtime;
    return (double)st->st_mtime > created_s + CLOCKS_APART_S && age_s < REWRITTEN_WITHIN_S;
}

/* Of a folder: what became of the file. */
static weir_status remove_file(const char *path, bool keep, weir_artifact_fate *ret_fate, weir_err *err) {
    *ret_fate = keep ? WEIR_ARTIFACT_KEPT : WEIR_ARTIFACT_REMOVED;
    if (!keep && unlink(path) && errno != ENOENT)
        return WEIR_FAIL(err, WEIR_EIO, "the version is deleted, but its artifact %s cannot be removed: %s", path, strerror(errno));
    return WEIR_OK;
}

/* Of a store that a plugin brings, which does not say when it was written. */
static weir_status remove_stored(const char *objects_dir, const char *relative, weir_artifact_fate *ret_fate, weir_err *err) {
    weir_status status = weir_artifact_remove(objects_dir, relative, err);
    *ret_fate = status == WEIR_ENOTFOUND ? WEIR_ARTIFACT_ABSENT : WEIR_ARTIFACT_REMOVED;
    if (!status || status == WEIR_ENOTFOUND) return WEIR_OK;
    return weir_err_prefix(err, "the version is deleted, but its artifact cannot be removed");
}

/* After the deletion is committed, so that at no time a version is without its file; under the lock, so that none is registered meanwhile. */
static weir_status remove_artifact(weir_pg *pg, const char *objects_dir, const cJSON *facts, weir_artifact_fate *ret_fate, weir_err *err) {
    const char *relative = weir_json_text(facts, "artifact_path");
    char path[4096];
    struct stat st;
    int users = 0;
    if (snprintf(path, sizeof path, "%s/%s", objects_dir, relative) >= (int)sizeof path)
        return WEIR_FAIL(err, WEIR_EINVAL, "the objects directory's name is too long");
    weir_status status = begin_locked(pg, err);
    if (status == WEIR_OK) status = execute(pg, "SELECT 1 FROM weir.model_versions WHERE artifact_path = $1 AND deleted_at IS NULL", 1, &relative, &users, err);
    if (status == WEIR_OK && strstr(objects_dir, "://")) {
        *ret_fate = WEIR_ARTIFACT_KEPT;
        if (!users) status = remove_stored(objects_dir, relative, ret_fate, err);
    } else if (status == WEIR_OK) {
        *ret_fate = WEIR_ARTIFACT_ABSENT;
        if (!stat(path, &st)) status = remove_file(path, users || is_rewritten(&st, cJSON_GetNumberValue(weir_json_at(facts, "created_s"))), ret_fate, err);
    }
    return end(pg, status, err);
}

weir_status weir_version_delete(weir_pg *pg, const char *objects_dir, const char *pipeline, const char *model, int version, const char *actor,
                                const char *reason, weir_artifact_fate *ret_fate, weir_err *err) {
    cJSON *facts = NULL;
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    const char *const params[] = {pipeline, model, number, actor ? actor : "", reason ? reason : ""};
    weir_status status = begin_locked(pg, err);
    if (status == WEIR_OK) status = look_at_doomed(pg, params, &facts, err);
    if (status == WEIR_OK) status = judge_doomed(facts, params, err);
    if (status == WEIR_OK)
        status = execute(
            pg,
            "WITH gone AS (UPDATE weir.model_versions SET deleted_at = clock_timestamp() WHERE pipeline = $1 AND model = $2 AND version = $3::int RETURNING *)"
            " INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, artifact_path, payload)"
            " SELECT pipeline, 'version.deleted', pipeline, model, version, digest, artifact_path, jsonb_build_object('semver', array_to_string(semver, '.'),"
            " 'actor', $4::text, 'reason', $5::text) FROM gone",
            5, params, NULL, err);
    status = end(pg, status, err);
    if (status == WEIR_OK) status = remove_artifact(pg, objects_dir, facts, ret_fate, err);
    cJSON_Delete(facts);
    return status;
}

/* ---- aliases ---- */

/* Where an alias points, before a move. model is empty when it points nowhere. */
typedef struct alias_target {
    char digest[65];
    char model[256], version[16];
} alias_target;

static weir_status read_alias(weir_pg *pg, const char *pipeline, const char *alias, alias_target *ret_target, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT v.digest, v.model, v.version FROM weir.aliases a JOIN weir.model_versions v USING (pipeline, model, version)"
                                      " WHERE a.pipeline = $1 AND a.alias = $2",
                                      2, (const char *const[]){pipeline, alias}, &result, err);
    if (status != WEIR_OK) return status;
    *ret_target = (alias_target){0};
    if (PQntuples(result) == 1) {
        snprintf(ret_target->digest, sizeof ret_target->digest, "%s", PQgetvalue(result, 0, 0));
        snprintf(ret_target->model, sizeof ret_target->model, "%s", PQgetvalue(result, 0, 1));
        snprintf(ret_target->version, sizeof ret_target->version, "%s", PQgetvalue(result, 0, 2));
    }
    PQclear(result);
    return WEIR_OK;
}

/* $1 pipeline, $2 alias, $3 and $4 the model and version that it leaves, $5 and $6 those that it goes to, $7 actor, $8 reason, $9 verdict, $10 the move that
 * this one takes back; null:
 * none. */
static weir_status write_move(weir_pg *pg, const char *const params[10], weir_err *err) {
    weir_status status;
    if (params[4])
        status = execute(pg,
                         "INSERT INTO weir.aliases (pipeline, alias, model, version) VALUES ($1, $2, $3, $4::int)"
                         " ON CONFLICT (pipeline, alias) DO UPDATE SET model = excluded.model, version = excluded.version, moved_at = clock_timestamp()",
                         4, (const char *const[]){params[0], params[1], params[4], params[5]}, NULL, err);
    else
        status = execute(pg, "DELETE FROM weir.aliases WHERE pipeline = $1 AND alias = $2", 2, params, NULL, err);
    if (status == WEIR_OK)
        status = execute(pg,
                         "INSERT INTO weir.alias_history (pipeline, alias, from_model, from_version, to_model, to_version, actor, reason, verdict, undoes)"
                         " VALUES ($1, $2, $3, $4::int, $5, $6::int, $7, $8, $9::jsonb, $10::bigint)",
                         10, params, NULL, err);
    if (status == WEIR_OK)
        status = execute(pg,
                         "INSERT INTO weir.outbox (key, type, pipeline, model, version, digest, alias, artifact_path, payload)"
                         " SELECT $1, 'alias.moved', $1, $5, $6::int, v.digest, $2, v.artifact_path,"
                         " jsonb_build_object('from_model', $3::text, 'from_version', $4::int, 'algorithm', v.algorithm, 'actor', $7::text, 'reason', "
                         "$8::text, 'signature', v.signature)"
                         " || CASE WHEN $9::jsonb IS NULL THEN '{}' ELSE jsonb_build_object('verdict', $9::jsonb) END"
                         " || CASE WHEN $10::bigint IS NULL THEN '{}' ELSE '{\"rollback\": true}'::jsonb END"
                         " FROM (SELECT 1) one LEFT JOIN weir.model_versions v ON v.pipeline = $1 AND v.model = $5 AND v.version = $6::int",
                         10, params, NULL, err);
    return status;
}

static weir_status require_version(weir_pg *pg, const char *pipeline, const char *model, const char *version, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT deleted_at IS NOT NULL FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND version = $3::int", 3,
                                      (const char *const[]){pipeline, model, version}, &result, err);
    if (status != WEIR_OK) return status;
    if (!PQntuples(result))
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no version %s of model '%s' in pipeline '%s'", version, model, pipeline);
    else if (*PQgetvalue(result, 0, 0) == 't')
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "version %s of model '%s' in pipeline '%s' was deleted", version, model, pipeline);
    PQclear(result);
    return status;
}

/* Under the lock: where the alias points, which must be where the caller saw it. */
static weir_status expect_alias(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, alias_target *ret_now, weir_err *err) {
    weir_status status = read_alias(pg, pipeline, alias, ret_now, err);
    if (status == WEIR_OK && strcmp(ret_now->digest, expected_digest ? expected_digest : "") != 0)
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "alias '%s' of pipeline '%s' points at %s, expected %s", alias, pipeline,
                           *ret_now->digest ? ret_now->digest : "nothing", expected_digest ? expected_digest : "nothing");
    return status;
}

weir_status weir_alias_move(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *model, int version,
                            const char *actor, const char *reason, weir_err *err) {
    return weir_alias_promote(pg, pipeline, alias, expected_digest, model, version, actor, reason, NULL, err);
}

weir_status weir_alias_promote(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *model, int version,
                               const char *actor, const char *reason, const cJSON *verdict, weir_err *err) {
    alias_target now = {0};
    char number[16], *verdict_text = NULL;
    snprintf(number, sizeof number, "%d", version);
    weir_status status = print_json(verdict, &verdict_text, err);
    if (status != WEIR_OK) return status;
    status = begin_locked(pg, err);
    if (status == WEIR_OK) status = expect_alias(pg, pipeline, alias, expected_digest, &now, err);
    if (status == WEIR_OK && model) status = require_version(pg, pipeline, model, number, err);
    bool moves = model ? strcmp(now.model, model) != 0 || strcmp(now.version, number) != 0 : *now.model != 0;
    if (status == WEIR_OK && moves) {
        const char *const params[10] = {pipeline,
                                        alias,
                                        *now.model ? now.model : NULL,
                                        *now.model ? now.version : NULL,
                                        model,
                                        model ? number : NULL,
                                        actor ? actor : "",
                                        reason ? reason : "",
                                        verdict_text,
                                        NULL};
        status = write_move(pg, params, err);
    }
    cJSON_free(verdict_text);
    return end(pg, status, err);
}

/* History is a stack: a move puts where the alias went on top, taking it back removes that. The top is the newest move that neither takes one back nor was
 * taken back. */
static weir_status find_move(weir_pg *pg, const char *pipeline, const char *alias, PGresult **ret_move, weir_err *err) {
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT h.id, h.from_model, h.from_version FROM weir.alias_history h WHERE pipeline = $1 AND alias = $2 AND undoes IS NULL"
                     " AND NOT EXISTS (SELECT FROM weir.alias_history u WHERE u.undoes = h.id) ORDER BY id DESC LIMIT 1",
                     2, (const char *const[]){pipeline, alias}, ret_move, err);
    if (status != WEIR_OK) return status;
    if (PQntuples(*ret_move) && !PQgetisnull(*ret_move, 0, 1)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "alias '%s' of pipeline '%s' has nothing to go back to: it %s", alias, pipeline,
                     PQntuples(*ret_move) ? "points at its first version" : "was never moved");
}

weir_status weir_alias_rollback(weir_pg *pg, const char *pipeline, const char *alias, const char *expected_digest, const char *actor, const char *reason,
                                weir_err *err) {
    alias_target now = {0};
    PGresult *move = NULL;
    weir_status status = begin_locked(pg, err);
    if (status == WEIR_OK) status = expect_alias(pg, pipeline, alias, expected_digest, &now, err);
    if (status == WEIR_OK) status = find_move(pg, pipeline, alias, &move, err);
    if (status == WEIR_OK) status = require_version(pg, pipeline, PQgetvalue(move, 0, 1), PQgetvalue(move, 0, 2), err);
    if (status == WEIR_OK) {
        const char *const params[10] = {pipeline,
                                        alias,
                                        *now.model ? now.model : NULL,
                                        *now.model ? now.version : NULL,
                                        PQgetvalue(move, 0, 1),
                                        PQgetvalue(move, 0, 2),
                                        actor ? actor : "",
                                        reason ? reason : "",
                                        NULL,
                                        PQgetvalue(move, 0, 0)};
        status = write_move(pg, params, err);
    }
    PQclear(move);
    return end(pg, status, err);
}

weir_status weir_alias_list(weir_pg *pg, const char *pipeline, cJSON **ret_aliases, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('alias', alias, 'model', model, 'version', version, 'digest', digest, 'artifact_path', artifact_path,"
        " 'algorithm', algorithm, 'run_id', run_id, 'moved_at', " WEIR_PG_TIME(
            "moved_at") ") ORDER BY alias), '[]')"
                        " FROM weir.aliases JOIN weir.model_versions USING (pipeline, model, version) WHERE pipeline = $1",
        1, &pipeline, ret_aliases, err);
}

/* ---- outbox ---- */

weir_status weir_outbox_take(weir_pg *pg, cJSON **ret_events, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('id', id, 'key', key, 'type', type, 'time_us', (extract(epoch FROM at) * 1000000)::bigint, 'pipeline', "
        "pipeline,"
        " 'model', model, 'version', version, 'digest', digest, 'alias', alias, 'artifact_path', artifact_path, 'payload', payload::text) ORDER BY id), '[]')"
        " FROM (SELECT * FROM weir.outbox WHERE sent_at IS NULL ORDER BY id LIMIT 100) unsent",
        0, NULL, ret_events, err);
}

weir_status weir_outbox_done(weir_pg *pg, int64_t up_to_id, weir_err *err) {
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)up_to_id);
    return execute(pg, "UPDATE weir.outbox SET sent_at = clock_timestamp() WHERE id <= $1::bigint AND sent_at IS NULL", 1, (const char *const[]){id}, NULL,
                   err);
}

/* Any fixed number; "weirsend" in ASCII. */
weir_status weir_outbox_lock(weir_pg *pg, bool *ret_mine, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT pg_try_advisory_xact_lock(8603398603444416100)", 0, NULL, &result, err);
    if (status != WEIR_OK) return status;
    *ret_mine = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return WEIR_OK;
}
