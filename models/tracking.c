#include "models/tracking.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/memory.h"
#include "models/pg_json.h"
#include "models/use_cases.h"

_Static_assert((int)WEIR_EXPERIMENT_NAME_MAX == (int)WEIR_EXPERIMENT_MAX, "what a use case names is the name of an experiment");

typedef enum part { PARAMS, METRICS, TAGS, ARTIFACTS, DATASETS, PART_COUNT } part;

/* Rows of each table as a JSON array, which one statement takes apart. */
struct weir_track {
    char run_id[sizeof(((weir_run *)NULL)->id)];
    cJSON *rows[PART_COUNT];
    int count;
};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the log of a run");
}

/* ---- collecting ---- */

static bool clear(weir_track *track) {
    bool made = true;
    for (int p = 0; p < PART_COUNT; p++) {
        cJSON_Delete(track->rows[p]);
        track->rows[p] = cJSON_CreateArray();
        made = made && track->rows[p];
    }
    track->count = 0;
    return made;
}

weir_status weir_track_new(const char *run_id, weir_track **ret_track, weir_err *err) {
    weir_track *track = weir_models_calloc(1, sizeof *track);
    if (!track) return no_memory(err);
    snprintf(track->run_id, sizeof track->run_id, "%s", run_id);
    if (!clear(track)) {
        weir_track_free(track);
        return no_memory(err);
    }
    *ret_track = track;
    return WEIR_OK;
}

void weir_track_free(weir_track *track) {
    if (!track) return;
    for (int p = 0; p < PART_COUNT; p++) cJSON_Delete(track->rows[p]);
    weir_models_free(track);
}

/* A row with its name; the caller adds the rest. */
static weir_status add_row(weir_track *track, part where, const char *name, cJSON **ret_row, weir_err *err) {
    size_t len = strlen(name);
    if (!len || len > WEIR_TRACK_NAME_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%.40s%s' cannot be logged: a name has 1 to %d bytes, this one %zu", name, len > 40 ? "…" : "", WEIR_TRACK_NAME_MAX,
                         len);
    if (track->count >= WEIR_TRACK_ROWS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "a run logs at most %d values between two writes", WEIR_TRACK_ROWS_MAX);
    cJSON *row = cJSON_CreateObject();
    if (!row || !cJSON_AddStringToObject(row, "name", name) || !cJSON_AddItemToArray(track->rows[where], row)) {
        cJSON_Delete(row);
        return no_memory(err);
    }
    track->count++;
    *ret_row = row;
    return WEIR_OK;
}

static weir_status add_text(weir_track *track, part where, const char *name, const char *value, weir_err *err) {
    cJSON *row = NULL;
    weir_status status = add_row(track, where, name, &row, err);
    return status ? status : cJSON_AddStringToObject(row, "value", value) ? WEIR_OK : no_memory(err);
}

weir_status weir_track_param(weir_track *track, const char *name, const char *value, weir_err *err) {
    return add_text(track, PARAMS, name, value, err);
}

weir_status weir_track_tag(weir_track *track, const char *name, const char *value, weir_err *err) {
    return add_text(track, TAGS, name, value, err);
}

weir_status weir_track_metric(weir_track *track, const char *name, int64_t step, double value, weir_err *err) {
    cJSON *row = NULL;
    if (step < 0 || step > (int64_t)1 << 53) return WEIR_FAIL(err, WEIR_EINVAL, "metric '%s': step %lld, expected 0 to 2^53", name, (long long)step);
    weir_status status = add_row(track, METRICS, name, &row, err);
    if (status) return status;
    bool made = cJSON_AddNumberToObject(row, "step", (double)step) && (!isfinite(value) || cJSON_AddNumberToObject(row, "value", value));
    return made ? WEIR_OK : no_memory(err);
}

static weir_status add_scalar(weir_track *track, part where, const char *name, const cJSON *value, weir_err *err) {
    if (where == METRICS)
        return cJSON_IsNumber(value) ? weir_track_metric(track, name, 0, value->valuedouble, err)
               : cJSON_IsNull(value) ? weir_track_metric(track, name, 0, NAN, err)
                                     : WEIR_OK;
    if (cJSON_IsString(value)) return add_text(track, where, name, value->valuestring, err);
    char *text = cJSON_PrintUnformatted(value);
    weir_status status = text ? add_text(track, where, name, text, err) : no_memory(err);
    cJSON_free(text);
    return status;
}

/* Depth first; an array is a value. cJSON reads no deeper than 1000, and what is logged here was read or made by us. */
static weir_status add_members(weir_track *track, part where, const char *prefix, const cJSON *values, weir_err *err) {
    const cJSON *item;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(item, values) {
        char name[2 * WEIR_TRACK_NAME_MAX];
        int len = snprintf(name, sizeof name, "%s%s%s", prefix ? prefix : "", prefix ? "." : "", item->string);
        if (len >= (int)sizeof name)
            return WEIR_FAIL(err, WEIR_EINVAL, "'%.40s…' cannot be logged: a name has 1 to %d bytes, this one %d", name, WEIR_TRACK_NAME_MAX, len);
        status = cJSON_IsObject(item) ? add_members(track, where, name, item, err) : add_scalar(track, where, name, item, err);
        if (status) break;
    }
    return status;
}

weir_status weir_track_params(weir_track *track, const char *prefix, const cJSON *values, weir_err *err) {
    return add_members(track, PARAMS, prefix, values, err);
}

weir_status weir_track_metrics(weir_track *track, const char *prefix, const cJSON *values, weir_err *err) {
    return add_members(track, METRICS, prefix, values, err);
}

weir_status weir_track_tags(weir_track *track, const cJSON *values, weir_err *err) {
    return add_members(track, TAGS, NULL, values, err);
}

static bool add_optional(cJSON *row, const char *name, const char *value) {
    return !value || cJSON_AddStringToObject(row, name, value);
}

weir_status weir_track_artifact(weir_track *track, const char *kind, const char *path, const char *digest, int64_t bytes, weir_err *err) {
    cJSON *row = NULL;
    weir_status status = add_row(track, ARTIFACTS, path, &row, err);
    if (status) return status;
    bool made = cJSON_AddStringToObject(row, "kind", kind) && add_optional(row, "digest", digest) &&
                (bytes < 0 || cJSON_AddNumberToObject(row, "bytes", (double)bytes));
    return made ? WEIR_OK : no_memory(err);
}

weir_status weir_track_dataset_add(weir_track *track, const weir_track_dataset *d, weir_err *err) {
    cJSON *row = NULL;
    weir_status status = add_row(track, DATASETS, d->name, &row, err);
    if (status) return status;
    bool made = cJSON_AddStringToObject(row, "context", d->context) && cJSON_AddStringToObject(row, "space", d->space) &&
                cJSON_AddNumberToObject(row, "version", d->version) && cJSON_AddStringToObject(row, "digest", d->digest) &&
                cJSON_AddNumberToObject(row, "rows", (double)d->rows) && add_optional(row, "query", d->query);
    return made ? WEIR_OK : no_memory(err);
}

/* ---- writing ---- */

/* Each takes the run and the rows; of rows with one key the last counts. */
static const char *const write_sql[PART_COUNT] = {
    [PARAMS] = "INSERT INTO weir.run_params (run_id, name, value) SELECT DISTINCT ON (r->>'name') $1, r->>'name', r->>'value'"
               " FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e (r, n) ORDER BY r->>'name', n DESC"
               " ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value",
    [METRICS] = "INSERT INTO weir.run_metric_steps (run_id, name, step, value) SELECT DISTINCT ON (r->>'name', (r->>'step')::bigint) $1, r->>'name', "
                "(r->>'step')::bigint,"
                " (r->>'value')::float8 FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e (r, n) ORDER BY r->>'name', (r->>'step')::bigint, n DESC"
                " ON CONFLICT (run_id, name, step) DO UPDATE SET value = excluded.value, at = clock_timestamp()"
                " WHERE run_metric_steps.value IS DISTINCT FROM excluded.value",
    [TAGS] = "INSERT INTO weir.run_tags (run_id, name, value) SELECT DISTINCT ON (r->>'name') $1, r->>'name', r->>'value'"
             " FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e (r, n) ORDER BY r->>'name', n DESC"
             " ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value",
    [ARTIFACTS] = "INSERT INTO weir.run_artifacts (run_id, path, kind, digest, bytes) SELECT DISTINCT ON (r->>'name') $1, r->>'name', r->>'kind', r->>'digest',"
                  " (r->>'bytes')::bigint FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e (r, n) ORDER BY r->>'name', n DESC"
                  " ON CONFLICT (run_id, path) DO UPDATE SET kind = excluded.kind, digest = excluded.digest, bytes = excluded.bytes",
    [DATASETS] =
        "INSERT INTO weir.run_datasets (run_id, context, space, table_name, version, row_count, digest, query)"
        " SELECT DISTINCT ON (r->>'context') $1, r->>'context', r->>'space', r->>'name', CASE (r->>'version')::int WHEN 0 THEN NULL WHEN -1 THEN"
        "  coalesce((SELECT max(d.version) FROM weir.run_datasets d WHERE d.space = r->>'space' AND d.table_name = r->>'name' AND d.digest = r->>'digest'),"
        "   (SELECT 1 + coalesce(max(d.version), 0) FROM weir.run_datasets d WHERE d.space = r->>'space' AND d.table_name = r->>'name')) ELSE "
        "(r->>'version')::int END,"
        " (r->>'rows')::bigint, r->>'digest', r->>'query' FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e (r, n) ORDER BY r->>'context', n DESC"
        " ON CONFLICT (run_id, context) DO UPDATE SET space = excluded.space, table_name = excluded.table_name, version = excluded.version, row_count = "
        "excluded.row_count,"
        " digest = excluded.digest, query = excluded.query",
};

static const char last_metrics_sql[] =
    "INSERT INTO weir.run_metrics (run_id, name, value) SELECT DISTINCT ON (s.name) s.run_id, s.name, s.value FROM weir.run_metric_steps s"
    " WHERE s.run_id = $1 AND s.name IN (SELECT r->>'name' FROM jsonb_array_elements($2::jsonb) e (r)) ORDER BY s.name, s.step DESC"
    " ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value";

/* Who numbers versions of data sets waits for who does so too. Any fixed number; "weirdata" in ASCII. */
static const char dataset_lock_sql[] = "SELECT pg_advisory_xact_lock(8603398602730730593)";

weir_status weir_track_write(weir_track *track, weir_pg *pg, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int p = 0; !status && p < PART_COUNT; p++) {
        if (!cJSON_GetArraySize(track->rows[p])) continue;
        char *text = cJSON_PrintUnformatted(track->rows[p]);
        const char *const params[] = {track->run_id, text};
        if (!text) return no_memory(err);
        if (p == DATASETS) status = weir_pg_exec(pg, dataset_lock_sql, 0, NULL, NULL, err);
        if (!status) status = weir_pg_exec(pg, write_sql[p], 2, params, NULL, err);
        if (!status && p == METRICS) status = weir_pg_exec(pg, last_metrics_sql, 2, params, NULL, err);
        cJSON_free(text);
    }
    if (status) return status;
    return clear(track) ? WEIR_OK : no_memory(err);
}

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(weir_pg *pg, weir_status status, weir_err *err) {
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    return status;
}

weir_status weir_track_flush(weir_track *track, weir_pg *pg, weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_track_write(track, pg, err);
    return end(pg, status, err);
}

/* ---- runs ---- */

const char *weir_track_default_experiment(const char *pipeline, char *text) {
    snprintf(text, WEIR_EXPERIMENT_NAME_MAX + 1, "/%s/training", pipeline);
    return text;
}

weir_status weir_track_experiment(const cJSON *training, const char *pipeline, const char *use_case, char *text, weir_err *err) {
    if (weir_json_at(training, "experiment") || strcmp(use_case, weir_use_case_default(training)) != 0)
        return weir_use_case_experiment(training, pipeline, WEIR_TENANTS_ALL, use_case, text, err);
    (void)weir_track_default_experiment(pipeline, text);
    return WEIR_OK;
}

weir_status weir_track_attach(weir_pg *pg, const char *run_id, const char *experiment, const char *model, weir_err *err) {
    size_t len = strlen(experiment);
    if (!len || len > WEIR_EXPERIMENT_NAME_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%.60s' is no name of an experiment; expected 1 to %d bytes", experiment, WEIR_EXPERIMENT_NAME_MAX);
    const char *const params[] = {run_id, experiment, model};
    weir_status status = weir_pg_exec(pg, "INSERT INTO weir.experiments (name) VALUES ($1) ON CONFLICT DO NOTHING", 1, &experiment, NULL, err);
    if (status) return status;
    return weir_pg_exec(pg, "INSERT INTO weir.experiment_runs (run_id, experiment, model) VALUES ($1, $2, $3) ON CONFLICT (run_id) DO NOTHING", 3, params, NULL,
                        err);
}

weir_status weir_track_start(weir_pg *pg, const char *pipeline, const char *experiment, const char *model, const cJSON *request, weir_run *ret_run,
                             weir_err *err) {
    weir_run run = {0};
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_run_start(pg, pipeline, request, &run, err);
    if (!status) status = weir_track_attach(pg, run.id, experiment, model, err);
    status = end(pg, status, err);
    if (!status) *ret_run = run;
    return status;
}

/* ---- runs of pipelines ---- */

static weir_status add_pipeline_dataset(weir_track *track, const char *pipeline, const char *context, const char *name, const cJSON *dataset, weir_err *err) {
    const cJSON *rows = weir_json_at(dataset, "rows");
    if (!*weir_json_text(dataset, "digest")) return WEIR_OK;
    const weir_track_dataset d = {.context = context,
                                  .space = pipeline,
                                  .name = name,
                                  .version = WEIR_DATASET_BY_DIGEST,
                                  .query = weir_json_text(dataset, "query"),
                                  .digest = weir_json_text(dataset, "digest"),
                                  .rows = cJSON_IsNumber(rows) ? (int64_t)rows->valuedouble : 0};
    return weir_track_dataset_add(track, &d, err);
}

static weir_status add_versions(weir_track *track, const cJSON *detail, weir_err *err) {
    const cJSON *version;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(version, weir_json_at(detail, "versions")) {
        const char *name = weir_json_text(version, "name");
        const cJSON *fit = weir_json_at(version, "fit_seconds");
        char key[2 * WEIR_TRACK_NAME_MAX];
        if (!*name) continue;
        status = weir_track_metrics(track, name, weir_json_at(version, "metrics"), err);
        snprintf(key, sizeof key, "%s.fit_seconds", name);
        if (!status && cJSON_IsNumber(fit)) status = weir_track_metric(track, key, 0, fit->valuedouble, err);
        if (!status && *weir_json_text(version, "artifact_path"))
            status = weir_track_artifact(track, "model", weir_json_text(version, "artifact_path"), weir_json_text(version, "digest"), -1, err);
        if (status) break;
    }
    return status;
}

/* What the versions that the run registered were fitted with. */
static weir_status add_lineage(weir_track *track, weir_pg *pg, weir_err *err) {
    static const char *const members[] = {"params", "preprocessing", "spec", "seed"};
    cJSON *versions = NULL;
    const cJSON *version;
    const char *run_id = track->run_id;
    weir_status status = weir_pg_query_json(pg,
                                            "SELECT coalesce(json_agg(json_build_object('model', model, 'algorithm', algorithm, 'lineage', lineage)), '[]') "
                                            "FROM weir.model_versions WHERE run_id = $1",
                                            1, &run_id, &versions, err);
    if (!status) cJSON_ArrayForEach(version, versions) {
            char key[2 * WEIR_TRACK_NAME_MAX];
            snprintf(key, sizeof key, "%.120s.algorithm", weir_json_text(version, "model"));
            status = weir_track_param(track, key, weir_json_text(version, "algorithm"), err);
            for (size_t m = 0; !status && m < sizeof members / sizeof *members; m++) {
                const cJSON *values = weir_json_at(weir_json_at(version, "lineage"), members[m]);
                snprintf(key, sizeof key, "%.120s%s%s", weir_json_text(version, "model"), m ? "." : "", m ? members[m] : "");
                if (cJSON_IsObject(values))
                    status = weir_track_params(track, key, values, err);
                else if (values && !cJSON_IsNull(values))
                    status = add_scalar(track, PARAMS, key, values, err);
            }
            if (status) break;
        }
    cJSON_Delete(versions);
    return status;
}

/* Of a run that went on learning from a version: which one, with how many rows of when, and how well it did on them. */
static weir_status add_continued(weir_track *track, const cJSON *detail, weir_err *err) {
    static const char *const evaluations[] = {"prequential", "delayed", "unchanged"};
    weir_status status = weir_track_params(track, "continues", weir_json_at(detail, "continues"), err);
    for (size_t i = 0; !status && i < sizeof evaluations / sizeof *evaluations; i++)
        status = weir_track_metrics(track, evaluations[i], weir_json_at(detail, evaluations[i]), err);
    return status;
}

/* Times that the run took: members of the detail itself. */
static weir_status add_times(weir_track *track, const cJSON *detail, weir_err *err) {
    const cJSON *item;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(item, detail) {
        if (cJSON_IsNumber(item) && (status = weir_track_metric(track, item->string, 0, item->valuedouble, err))) break;
    }
    return status;
}

static weir_status collect(weir_track *track, weir_pg *pg, const char *pipeline, const cJSON *request, const cJSON *detail, weir_err *err) {
    weir_status status = weir_track_params(track, "request", request, err);
    if (!status) status = weir_track_params(track, "window", weir_json_at(detail, "window"), err);
    if (!status) status = add_lineage(track, pg, err);
    if (!status) status = add_times(track, detail, err);
    if (!status) status = add_versions(track, detail, err);
    if (!status) status = add_continued(track, detail, err);
    if (!status) status = add_pipeline_dataset(track, pipeline, "train", "training_set", weir_json_at(detail, "dataset"), err);
    if (!status) status = add_pipeline_dataset(track, pipeline, "test", "test_set", weir_json_at(detail, "test_dataset"), err);
    if (!status) status = weir_track_tag(track, "pipeline", pipeline, err);
    if (!status) status = weir_track_tag(track, "code_version", WEIR_VERSION, err);
    if (!status && *weir_json_text(request, "reason")) status = weir_track_tag(track, "reason", weir_json_text(request, "reason"), err);
    if (!status && *weir_json_text(detail, "error")) status = weir_track_tag(track, "error", weir_json_text(detail, "error"), err);
    return status;
}

weir_status weir_track_pipeline_run(weir_pg *pg, const char *pipeline, const char *run_id, const char *experiment, const cJSON *request, const cJSON *detail,
                                    weir_err *err) {
    weir_track *track = NULL;
    char fallback[WEIR_EXPERIMENT_NAME_MAX + 1];
    weir_status status = weir_track_new(run_id, &track, err);
    if (!status) status = weir_pg_begin(pg, err);
    if (!status) status = weir_track_attach(pg, run_id, experiment ? experiment : weir_track_default_experiment(pipeline, fallback), NULL, err);
    if (!status) status = collect(track, pg, pipeline, request, detail, err);
    if (!status) status = weir_track_write(track, pg, err);
    status = end(pg, status, err);
    weir_track_free(track);
    return status;
}

/* ---- searches ---- */

static const cJSON *step_of(const cJSON *record, const char *name) {
    const cJSON *step;
    cJSON_ArrayForEach(step, weir_json_at(record, "steps")) if (!strcmp(weir_json_text(step, "name"), name)) return step;
    return NULL;
}

/* How long each step took, and the numbers that its result has: rows, trials, what was pruned. */
static weir_status add_steps(weir_track *track, const char *pipeline, const cJSON *record, weir_err *err) {
    const cJSON *step, *data = weir_json_at(step_of(record, "data"), "result");
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(step, weir_json_at(record, "steps")) {
        char key[WEIR_TRACK_NAME_MAX];
        const cJSON *seconds = weir_json_at(step, "seconds");
        snprintf(key, sizeof key, "%.100s.seconds", weir_json_text(step, "name"));
        if (cJSON_IsNumber(seconds) && (status = weir_track_metric(track, key, 0, seconds->valuedouble, err))) break;
    }
    if (!status) status = weir_track_metrics(track, "search", weir_json_at(step_of(record, "search"), "result"), err);
    if (!status) status = add_pipeline_dataset(track, pipeline, "train", "training_set", weir_json_at(data, "train"), err);
    return status ? status : add_pipeline_dataset(track, pipeline, "test", "test_set", weir_json_at(data, "test"), err);
}

/* Every trial with a value is a step of the metric that was searched by; weir.trials has its parameters, under the run's id as the study's name. */
static weir_status add_trials(weir_track *track, weir_pg *pg, const char *pipeline, const char *metric, weir_err *err) {
    const char *const params[] = {pipeline, track->run_id};
    cJSON *trials = NULL;
    const cJSON *trial;
    char key[WEIR_TRACK_NAME_MAX];
    weir_status status =
        weir_pg_query_json(pg,
                           "SELECT coalesce(json_agg(json_build_object('number', number, 'value', objectives[1], 'cost', cost) ORDER BY number), '[]') "
                           "FROM weir.trials WHERE pipeline = $1 AND study = $2 AND state = 'complete'",
                           2, params, &trials, err);
    snprintf(key, sizeof key, "trial.%.200s", metric);
    if (!status) cJSON_ArrayForEach(trial, trials) {
            int64_t number = (int64_t)cJSON_GetNumberValue(weir_json_at(trial, "number"));
            status = weir_track_metric(track, key, number, cJSON_GetNumberValue(weir_json_at(trial, "value")), err);
            if (!status) status = weir_track_metric(track, "trial.cost", number, cJSON_GetNumberValue(weir_json_at(trial, "cost")), err);
            if (status) break;
        }
    cJSON_Delete(trials);
    return status;
}

/* What the search registered: its metrics on the test days, and its artifact. */
static weir_status add_winner(weir_track *track, weir_pg *pg, weir_err *err) {
    const char *run_id = track->run_id;
    cJSON *versions = NULL;
    const cJSON *version;
    weir_status status = weir_pg_query_json(pg,
                                            "SELECT coalesce(json_agg(json_build_object('path', artifact_path, 'digest', digest, 'metrics', metrics)), '[]') "
                                            "FROM weir.model_versions WHERE run_id = $1",
                                            1, &run_id, &versions, err);
    if (!status) cJSON_ArrayForEach(version, versions) {
            status = weir_track_metrics(track, NULL, weir_json_at(version, "metrics"), err);
            if (!status) status = weir_track_artifact(track, "model", weir_json_text(version, "path"), weir_json_text(version, "digest"), -1, err);
            if (status) break;
        }
    cJSON_Delete(versions);
    return status;
}

static weir_status collect_search(weir_track *track, weir_pg *pg, const weir_track_search *s, weir_err *err) {
    weir_status status = weir_track_params(track, "request", s->request, err);
    if (!status) status = add_lineage(track, pg, err);
    if (!status) status = add_steps(track, s->pipeline, s->record, err);
    if (!status) status = add_trials(track, pg, s->pipeline, s->metric, err);
    if (!status) status = add_winner(track, pg, err);
    if (!status) status = weir_track_tag(track, "pipeline", s->pipeline, err);
    if (!status) status = weir_track_tag(track, "use_case", s->use_case, err);
    if (!status) status = weir_track_tag(track, "reason", "search", err);
    if (!status) status = weir_track_tag(track, "code_version", WEIR_VERSION, err);
    if (!status && s->report) status = weir_track_artifact(track, "report", s->report, NULL, -1, err);
    return status || !s->error ? status : weir_track_tag(track, "error", s->error, err);
}

weir_status weir_track_search_run(weir_pg *pg, const weir_track_search *search, weir_err *err) {
    weir_track *track = NULL;
    weir_status status = weir_track_new(search->run_id, &track, err);
    if (!status) status = weir_pg_begin(pg, err);
    if (!status) status = weir_track_attach(pg, search->run_id, search->experiment, search->model, err);
    if (!status) status = collect_search(track, pg, search, err);
    if (!status) status = weir_track_write(track, pg, err);
    status = end(pg, status, err);
    weir_track_free(track);
    return status;
}

/* ---- reading ---- */

#define US(column) "(extract(epoch FROM " column ") * 1000000)::bigint"

weir_status weir_track_read(weir_pg *pg, const char *run_id, cJSON **ret_run, weir_err *err) {
    static const char sql[] =
        "SELECT coalesce((SELECT json_build_object('id', r.id, 'pipeline', r.pipeline, 'experiment', e.experiment, 'model', e.model, 'status', r.status, "
        "'code_version',"
        " r.code_version, 'started_us', " US("r.started_at") ", 'ended_us', " US(
            "r.ended_at") ", 'request', r.request, 'detail', r.detail,"
                          " 'params', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_params WHERE run_id = r.id),"
                          " 'metrics', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_metrics WHERE run_id = r.id),"
                          " 'steps', (SELECT coalesce(json_agg(json_build_object('name', name, 'step', step, 'value', value, 'at_us', " US(
                              "at") ") ORDER BY name, step), '[]')"
                                    "  FROM weir.run_metric_steps WHERE run_id = r.id),"
                                    " 'tags', (SELECT coalesce(json_object_agg(name, value ORDER BY name), '{}') FROM weir.run_tags WHERE run_id = r.id),"
                                    " 'datasets', (SELECT coalesce(json_agg(json_build_object('context', context, 'name', space || '.' || table_name, "
                                    "'version', version, 'query', query, 'digest', digest,"
                                    "  'rows', row_count) ORDER BY context DESC), '[]') FROM weir.run_datasets WHERE run_id = r.id),"
                                    " 'artifacts', (SELECT coalesce(json_agg(json_build_object('kind', kind, 'path', path, 'digest', digest, 'bytes', bytes) "
                                    "ORDER BY path), '[]')"
                                    "  FROM weir.run_artifacts WHERE run_id = r.id),"
                                    " 'versions', (SELECT coalesce(json_agg(json_build_object('model', model, 'version', version, 'semver', "
                                    "array_to_string(semver, '.')) ORDER BY model, version), '[]')"
                                    "  FROM weir.model_versions WHERE run_id = r.id AND deleted_at IS NULL))"
                                    " FROM weir.runs r LEFT JOIN weir.experiment_runs e ON e.run_id = r.id WHERE r.id = $1), 'null')";
    cJSON *run = NULL;
    weir_status status = weir_pg_query_json(pg, sql, 1, &run_id, &run, err);
    if (status) return status;
    if (!cJSON_IsObject(run)) {
        cJSON_Delete(run);
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no run '%s'", run_id);
    }
    *ret_run = run;
    return WEIR_OK;
}
