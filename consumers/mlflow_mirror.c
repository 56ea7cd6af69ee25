#include "consumers/mlflow_mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/json.h"
#include "core/log.h"
#include "models/artifact_file.h"
#include "models/pg_json.h"
#include "models/tracking.h"

enum { PARAMS_MAX = 100, METRICS_MAX = 1000, TAGS_MAX = 100 /* of one log-batch */, VALUE_MAX = 4900, DIGEST_MAX = 36, KEY_SIZE = 251 };

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the mirror of MLflow");
}

/* {"key": …, "value": …} at the end of a list. Values that are longer than MLflow takes end with "…". */
static bool add_pair(cJSON *list, const char *name, const char *value) {
    char key[KEY_SIZE], text[VALUE_MAX + 8];
    size_t len = strlen(value);
    weir_mlflow_key(name, key);
    if (len > VALUE_MAX) { /* not in the middle of a character */
        len = VALUE_MAX;
        while (len && ((unsigned char)value[len] & 0xc0) == 0x80) len--;
    }
    snprintf(text, sizeof text, "%.*s%s", (int)len, value, value[len] ? "…" : "");
    cJSON *pair = cJSON_CreateObject();
    if (pair && cJSON_AddStringToObject(pair, "key", key) && cJSON_AddStringToObject(pair, "value", text) && cJSON_AddItemToArray(list, pair)) return true;
    cJSON_Delete(pair);
    return false;
}

/* Posts body, which it deletes; NULL is what memory that ran out left. */
static weir_status post(const weir_mirror *m, const char *path, cJSON *body, cJSON **ret_answer, weir_err *err) {
    if (!body) return no_memory(err);
    weir_status status = weir_mlflow_call(&m->api, "POST", path, body, ret_answer, err);
    cJSON_Delete(body);
    return status;
}

/* GET path?name=value */
static weir_status get_by(const weir_mirror *m, const char *path, const char *name, const char *value, cJSON **ret_answer, weir_err *err) {
    weir_buf text = {0};
    bool fits = weir_buf_printf(&text, "%s?%s=", path, name) && weir_mlflow_escape(&text, value, false) && weir_buf_append(&text, "", 1);
    weir_status status = fits ? weir_mlflow_call(&m->api, "GET", text.data, NULL, ret_answer, err) : no_memory(err);
    weir_buf_done(&text);
    return status;
}

/* {name: value, …} of texts; a NULL name ends. The last is the caller's to delete. */
static cJSON *object_of(const char *const *pairs) {
    cJSON *object = cJSON_CreateObject();
    bool made = object;
    for (; made && *pairs; pairs += 2) made = cJSON_AddStringToObject(object, pairs[0], pairs[1]);
    if (made) return object;
    cJSON_Delete(object);
    return NULL;
}
#define OBJECT(...) object_of((const char *const[]){__VA_ARGS__, NULL})

/* ---- runs ---- */

static weir_status find_experiment(const weir_mirror *m, const char *name, char id[64], weir_err *err) {
    cJSON *answer = NULL;
    weir_status status = get_by(m, "experiments/get-by-name", "experiment_name", name, &answer, err);
    if (!status) snprintf(id, 64, "%s", weir_json_text(weir_json_at(answer, "experiment"), "experiment_id"));
    cJSON_Delete(answer);
    return status;
}

static weir_status ensure_experiment(const weir_mirror *m, const char *name, char id[64], weir_err *err) {
    weir_status status = find_experiment(m, name, id, err);
    if (status != WEIR_ENOTFOUND) return status;
    cJSON *answer = NULL;
    status = post(m, "experiments/create", OBJECT("name", name), &answer, err);
    if (!status) snprintf(id, 64, "%s", weir_json_text(answer, "experiment_id"));
    cJSON_Delete(answer);
    return status == WEIR_ECONFLICT ? find_experiment(m, name, id, err) : status; /* somebody made it meanwhile */
}

/* The run as MLflow knows it. */
typedef struct mirrored_run {
    char id[64], artifact_uri[1024];
    bool deleted; /* by somebody who did not want to see it */
} mirrored_run;

static void take_info(const cJSON *run, mirrored_run *ret_run) {
    const cJSON *info = weir_json_at(run, "info");
    snprintf(ret_run->id, sizeof ret_run->id, "%s", weir_json_text(info, "run_id"));
    snprintf(ret_run->artifact_uri, sizeof ret_run->artifact_uri, "%s", weir_json_text(info, "artifact_uri"));
    ret_run->deleted = !strcmp(weir_json_text(info, "lifecycle_stage"), "deleted");
}

/* id stays empty when there is none. */
static weir_status find_run(const weir_mirror *m, const char *experiment_id, const char *run_id, mirrored_run *ret_run, weir_err *err) {
    char filter[128];
    cJSON *answer = NULL;
    snprintf(filter, sizeof filter, "tags.`weir.run_id` = '%.60s'", run_id);
    cJSON *body = OBJECT("filter", filter, "run_view_type", "ALL"), *experiments = body ? cJSON_AddArrayToObject(body, "experiment_ids") : NULL;
    bool made = experiments && cJSON_AddItemToArray(experiments, cJSON_CreateString(experiment_id)) && cJSON_AddNumberToObject(body, "max_results", 1);
    if (!made) {
        cJSON_Delete(body);
        return no_memory(err);
    }
    weir_status status = post(m, "runs/search", body, &answer, err);
    if (!status) take_info(cJSON_GetArrayItem(weir_json_at(answer, "runs"), 0), ret_run);
    cJSON_Delete(answer);
    return status;
}

/* As the user the one who asked is not known; the tag makes a repeat find the run. */
static weir_status create_run(const weir_mirror *m, const char *experiment_id, const cJSON *run, mirrored_run *ret_run, weir_err *err) {
    cJSON *answer = NULL, *body = OBJECT("experiment_id", experiment_id, "run_name", weir_json_text(run, "id")),
          *tags = body ? cJSON_AddArrayToObject(body, "tags") : NULL;
    bool made = tags && cJSON_AddNumberToObject(body, "start_time", (double)(int64_t)(weir_json_number(run, "started_us", 0) / 1000)) &&
                add_pair(tags, "weir.run_id", weir_json_text(run, "id")) && add_pair(tags, "weir.pipeline", weir_json_text(run, "pipeline")) &&
                add_pair(tags, "mlflow.source.name", "weir") && add_pair(tags, "weir.code_version", weir_json_text(run, "code_version"));
    if (!made) {
        cJSON_Delete(body);
        return no_memory(err);
    }
    weir_status status = post(m, "runs/create", body, &answer, err);
    if (!status) take_info(weir_json_at(answer, "run"), ret_run);
    cJSON_Delete(answer);
    return status;
}

static weir_status ensure_run(const weir_mirror *m, const cJSON *run, mirrored_run *ret_run, weir_err *err) {
    char fallback[WEIR_EXPERIMENT_NAME_MAX + 1], experiment_id[64] = "";
    const char *experiment = weir_json_text(run, "experiment");
    *ret_run = (mirrored_run){0};
    weir_status status =
        ensure_experiment(m, *experiment ? experiment : weir_track_default_experiment(weir_json_text(run, "pipeline"), fallback), experiment_id, err);
    if (!status) status = find_run(m, experiment_id, weir_json_text(run, "id"), ret_run, err);
    if (!status && !*ret_run->id) status = create_run(m, experiment_id, run, ret_run, err);
    return status;
}

/* One kind of a run's values, in as many requests as MLflow's limit asks for. */
typedef struct batch {
    const weir_mirror *m;
    const char *mlflow_id, *kind; /* "params", "metrics", "tags" */
    int max, count;
    cJSON *body, *list;
} batch;

static weir_status batch_flush(batch *b, weir_err *err) {
    cJSON *body = b->body;
    b->body = b->list = NULL;
    b->count = 0;
    return body ? post(b->m, "runs/log-batch", body, NULL, err) : WEIR_OK;
}

static weir_status batch_room(batch *b, weir_err *err) {
    weir_status status = b->count == b->max ? batch_flush(b, err) : WEIR_OK;
    if (status || b->list) return status;
    b->body = OBJECT("run_id", b->mlflow_id);
    b->list = b->body ? cJSON_AddArrayToObject(b->body, b->kind) : NULL;
    return b->list ? WEIR_OK : no_memory(err);
}

static weir_status log_texts(const weir_mirror *m, const char *mlflow_id, const char *kind, int max, const cJSON *values, weir_err *err) {
    batch b = {.m = m, .mlflow_id = mlflow_id, .kind = kind, .max = max};
    const cJSON *item;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(item, values) {
        if ((status = batch_room(&b, err))) break;
        b.count++;
        if (!add_pair(b.list, item->string, weir_json_text(values, item->string))) {
            status = no_memory(err);
            break;
        }
    }
    if (!status) status = batch_flush(&b, err);
    cJSON_Delete(b.body);
    return status;
}

static bool add_metric(cJSON *list, const cJSON *step) {
    char key[KEY_SIZE];
    weir_mlflow_key(weir_json_text(step, "name"), key);
    cJSON *metric = cJSON_CreateObject();
    if (metric && cJSON_AddStringToObject(metric, "key", key) && cJSON_AddNumberToObject(metric, "value", weir_json_number(step, "value", 0)) &&
        cJSON_AddNumberToObject(metric, "timestamp", (double)(int64_t)(weir_json_number(step, "at_us", 0) / 1000)) &&
        cJSON_AddNumberToObject(metric, "step", weir_json_number(step, "step", 0)) && cJSON_AddItemToArray(list, metric))
        return true;
    cJSON_Delete(metric);
    return false;
}

static weir_status log_metrics(const weir_mirror *m, const char *mlflow_id, const cJSON *steps, weir_err *err) {
    batch b = {.m = m, .mlflow_id = mlflow_id, .kind = "metrics", .max = METRICS_MAX};
    const cJSON *step;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(step, steps) {
        if (!cJSON_IsNumber(weir_json_at(step, "value"))) continue; /* not defined here */
        if ((status = batch_room(&b, err))) break;
        b.count++;
        if (!add_metric(b.list, step)) {
            status = no_memory(err);
            break;
        }
    }
    if (!status) status = batch_flush(&b, err);
    cJSON_Delete(b.body);
    return status;
}

/* {"dataset": {…}, "tags": […]}. source and profile are JSON texts. */
static cJSON *input_of(const cJSON *dataset) {
    char digest[DIGEST_MAX + 1];
    cJSON *input = cJSON_CreateObject(), *source = cJSON_CreateObject(), *profile = cJSON_CreateObject();
    snprintf(digest, sizeof digest, "%.*s", DIGEST_MAX, weir_json_text(dataset, "digest"));
    bool made = input && cJSON_AddStringToObject(source, "query", weir_json_text(dataset, "query")) &&
                cJSON_AddNumberToObject(source, "version", weir_json_number(dataset, "version", 0)) &&
                cJSON_AddStringToObject(source, "digest", weir_json_text(dataset, "digest")) &&
                cJSON_AddNumberToObject(profile, "num_rows", weir_json_number(dataset, "rows", 0));
    char *source_text = made ? cJSON_PrintUnformatted(source) : NULL, *profile_text = made ? cJSON_PrintUnformatted(profile) : NULL;
    cJSON *inner = source_text && profile_text ? OBJECT("name", weir_json_text(dataset, "name"), "digest", digest, "source_type", "weir", "source", source_text,
                                                        "profile", profile_text)
                                               : NULL;
    cJSON *tags = inner ? cJSON_AddArrayToObject(input, "tags") : NULL;
    made = tags && add_pair(tags, "mlflow.data.context", weir_json_text(dataset, "context"));
    if (!inner || !cJSON_AddItemToObject(input, "dataset", inner) || !made) {
        cJSON_Delete(input);
        input = NULL;
    }
    cJSON_free(source_text);
    cJSON_free(profile_text);
    cJSON_Delete(source);
    cJSON_Delete(profile);
    return input;
}

static weir_status log_inputs(const weir_mirror *m, const char *mlflow_id, const cJSON *datasets, weir_err *err) {
    const cJSON *dataset;
    if (!cJSON_GetArraySize(datasets)) return WEIR_OK;
    cJSON *body = OBJECT("run_id", mlflow_id), *list = body ? cJSON_AddArrayToObject(body, "datasets") : NULL;
    bool made = list;
    cJSON_ArrayForEach(dataset, datasets) {
        cJSON *input = made ? input_of(dataset) : NULL;
        made = input && cJSON_AddItemToArray(list, input);
    }
    if (made) return post(m, "runs/log-inputs", body, NULL, err);
    cJSON_Delete(body);
    return no_memory(err);
}

/* MLflow lists the files of a folder, with paths below the run's artifacts. A file of the same size is the same: names of models have digests in them. */
static weir_status is_uploaded(const weir_mirror *m, const char *mlflow_id, const char *path, int64_t size, bool *ret_there, weir_err *err) {
    weir_buf text = {0};
    cJSON *answer = NULL;
    const cJSON *file;
    char folder[1024];
    const char *slash = strrchr(path, '/');
    *ret_there = false;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    bool fits =
        weir_buf_printf(&text, "artifacts/list?run_id=%s&path=", mlflow_id) && weir_mlflow_escape(&text, folder, false) && weir_buf_append(&text, "", 1);
    weir_status status = fits ? weir_mlflow_call(&m->api, "GET", text.data, NULL, &answer, err) : no_memory(err);
    if (!status) cJSON_ArrayForEach(file, weir_json_at(answer, "files")) {
            const cJSON *found = weir_json_at(file, "file_size"); /* a 64-bit number: as text, or not */
            int64_t bytes = cJSON_IsNumber(found) ? (int64_t)found->valuedouble : cJSON_IsString(found) ? atoll(found->valuestring) : -1;
            *ret_there = *ret_there || (!strcmp(weir_json_text(file, "path"), path) && bytes == size);
        }
    weir_buf_done(&text);
    cJSON_Delete(answer);
    return status;
}

static weir_status upload(const weir_mirror *m, const mirrored_run *run, const char *relative, weir_err *err) {
    char path[4096];
    struct stat st;
    weir_buf bytes = {0};
    bool there = false;
    if (snprintf(path, sizeof path, "%s/%s", m->objects_dir, relative) >= (int)sizeof path || stat(path, &st)) return WEIR_OK; /* gone with its version */
    weir_status status = is_uploaded(m, run->id, relative, st.st_size, &there, err);
    if (status || there) return status;
    if ((status = weir_artifact_read_file(path, &bytes, err))) {
        if (status == WEIR_ENOTFOUND) return WEIR_OK;
        if (err) err->action = WEIR_ACTION_RETRY;
        return status;
    }
    status = weir_mlflow_put(&m->api, run->artifact_uri, relative, &bytes, err);
    weir_buf_done(&bytes);
    return status;
}

/* A server that keeps artifacts elsewhere shows all but these. */
static weir_status upload_all(const weir_mirror *m, const mirrored_run *run, const cJSON *artifacts, weir_err *err) {
    const cJSON *artifact;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(artifact, artifacts) {
        weir_err why;
        status = upload(m, run, weir_json_text(artifact, "path"), &why);
        if (status && why.action == WEIR_ACTION_REJECT) {
            weir_log_err(WEIR_LOG_WARN, "an artifact is not shown in MLflow", &why);
            status = WEIR_OK;
        } else if (status) {
            *err = why;
            break;
        }
    }
    return status;
}

static weir_status set_status(const weir_mirror *m, const char *mlflow_id, const cJSON *run, weir_err *err) {
    const char *run_status = weir_json_text(run, "status");
    bool failed = !strcmp(run_status, "failed"), killed = !strcmp(run_status, "cancelled"), over = failed || killed || !strcmp(run_status, "succeeded");
    cJSON *body = OBJECT("run_id", mlflow_id, "status", failed ? "FAILED" : killed ? "KILLED" : over ? "FINISHED" : "RUNNING");
    if (body && over && !cJSON_AddNumberToObject(body, "end_time", (double)(int64_t)(weir_json_number(run, "ended_us", 0) / 1000))) {
        cJSON_Delete(body);
        body = NULL;
    }
    return post(m, "runs/update", body, NULL, err);
}

/* ret_run: where it is in MLflow; its id is empty when it is not to be there. */
static weir_status mirror_run(const weir_mirror *m, const char *run_id, mirrored_run *ret_run, weir_err *err) {
    cJSON *run = NULL;
    *ret_run = (mirrored_run){0};
    weir_status status = weir_track_read(m->pg, run_id, &run, err);
    if (status == WEIR_ENOTFOUND) return WEIR_OK;
    if (status) return status;
    if (!strcmp(weir_json_text(run, "status"), "queued")) {
        cJSON_Delete(run);
        return WEIR_OK;
    }
    status = ensure_run(m, run, ret_run, err);
    if (!status && !ret_run->deleted) {
        status = log_texts(m, ret_run->id, "params", PARAMS_MAX, weir_json_at(run, "params"), err);
        if (!status) status = log_metrics(m, ret_run->id, weir_json_at(run, "steps"), err);
        if (!status) status = log_texts(m, ret_run->id, "tags", TAGS_MAX, weir_json_at(run, "tags"), err);
        if (!status) status = log_inputs(m, ret_run->id, weir_json_at(run, "datasets"), err);
        if (!status) status = upload_all(m, ret_run, weir_json_at(run, "artifacts"), err);
        if (!status) status = set_status(m, ret_run->id, run, err);
    }
    cJSON_Delete(run);
    return status;
}

weir_status weir_mirror_run(const weir_mirror *m, const char *run_id, weir_err *err) {
    mirrored_run run;
    return mirror_run(m, run_id, &run, err);
}

/* ---- versions ---- */

static void model_name(const char *pipeline, const char *model, char name[256]) {
    char *out = name;
    snprintf(name, 256, "%.120s.%.120s", pipeline, model);
    for (; *out; out++)
        if (*out == '/' || *out == ':') *out = '_'; /* which MLflow takes apart */
}

/* The model version with this tag; *ret_found is NULL when there is none. */
static weir_status find_version(const weir_mirror *m, const char *name, int version, cJSON **ret_found, weir_err *err) {
    char filter[400];
    cJSON *answer = NULL;
    *ret_found = NULL;
    snprintf(filter, sizeof filter, "name='%s' and tags.`weir.version`='%d'", name, version);
    weir_status status = get_by(m, "model-versions/search", "filter", filter, &answer, err);
    if (!status) *ret_found = cJSON_DetachItemFromArray(cJSON_GetObjectItemCaseSensitive(answer, "model_versions"), 0);
    cJSON_Delete(answer);
    return status;
}

static weir_status ensure_model(const weir_mirror *m, const char *name, weir_err *err) {
    weir_status status = get_by(m, "registered-models/get", "name", name, NULL, err);
    if (status != WEIR_ENOTFOUND) return status;
    status = post(m, "registered-models/create", OBJECT("name", name), NULL, err);
    return status == WEIR_ECONFLICT ? WEIR_OK : status;
}

/* The folder of the artifact within the run's. */
static weir_status create_version(const weir_mirror *m, const char *name, const cJSON *row, int version, const mirrored_run *run, cJSON **ret_found,
                                  weir_err *err) {
    char source[2200], number[16], description[400];
    const char *path = weir_json_text(row, "artifact_path"), *slash = strrchr(path, '/');
    cJSON *answer = NULL;
    snprintf(source, sizeof source, "%s/%.*s", *run->id ? run->artifact_uri : "mlflow-artifacts:/weir", slash ? (int)(slash - path) : 0, path);
    snprintf(number, sizeof number, "%d", version);
    snprintf(description, sizeof description, "Version %d (%s) of %s", version, weir_json_text(row, "semver"), name);
    cJSON *body = OBJECT("name", name, "source", source, "description", description), *tags = body ? cJSON_AddArrayToObject(body, "tags") : NULL;
    bool made = tags && (!*run->id || cJSON_AddStringToObject(body, "run_id", run->id)) && add_pair(tags, "weir.version", number);
    if (!made) {
        cJSON_Delete(body);
        return no_memory(err);
    }
    weir_status status = post(m, "model-versions/create", body, &answer, err);
    if (!status) *ret_found = cJSON_DetachItemFromObjectCaseSensitive(answer, "model_version");
    cJSON_Delete(answer);
    return status;
}

static const char *tag_of(const cJSON *found, const char *key) {
    const cJSON *tag;
    cJSON_ArrayForEach(tag, weir_json_at(found, "tags")) if (!strcmp(weir_json_text(tag, "key"), key)) return weir_json_text(tag, "value");
    return NULL;
}

/* Sets a tag unless it is what the server has. */
static weir_status set_tag(const weir_mirror *m, const char *name, const cJSON *found, const char *tag, const char *value, weir_err *err) {
    char key[KEY_SIZE];
    weir_mlflow_key(tag, key);
    const char *now = tag_of(found, key);
    if (!*value || (now && !strcmp(now, value))) return WEIR_OK;
    return post(m, "model-versions/set-tag", OBJECT("name", name, "version", weir_json_text(found, "version"), "key", key, "value", value), NULL, err);
}

static weir_status set_tags(const weir_mirror *m, const char *name, const cJSON *found, const cJSON *row, weir_err *err) {
    static const char *const facts[] = {"semver", "digest", "algorithm", "feature_hash", "dataset_digest"};
    const cJSON *item;
    char key[KEY_SIZE + 16], value[64];
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < sizeof facts / sizeof *facts; i++) {
        snprintf(key, sizeof key, "weir.%s", facts[i]);
        status = set_tag(m, name, found, key, weir_json_text(row, facts[i]), err);
    }
    if (!status) cJSON_ArrayForEach(item, weir_json_at(row, "metrics")) {
            if (!cJSON_IsNumber(item)) continue;
            snprintf(key, sizeof key, "metric.%.200s", item->string);
            snprintf(value, sizeof value, "%.17g", item->valuedouble);
            if ((status = set_tag(m, name, found, key, value, err))) break;
        }
    if (!status)
        cJSON_ArrayForEach(item, weir_json_at(row, "tags")) if ((status = set_tag(m, name, found, item->string,
                                                                                  weir_json_text(weir_json_at(row, "tags"), item->string), err))) break;
    return status;
}

static weir_status read_version(const weir_mirror *m, const char *pipeline, const char *model, int version, cJSON **ret_row, weir_err *err) {
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    return weir_pg_query_json(
        m->pg,
        "SELECT coalesce((SELECT json_build_object('semver', array_to_string(semver, '.'), 'digest', digest, 'algorithm', algorithm, 'feature_hash', "
        "feature_hash,"
        " 'dataset_digest', dataset_digest, 'run_id', run_id, 'artifact_path', artifact_path, 'metrics', metrics, 'deleted', deleted_at IS NOT NULL,"
        " 'tags', (SELECT coalesce(json_object_agg(name, value), '{}') FROM weir.version_tags t WHERE (t.pipeline, t.model, t.version) = (v.pipeline, v.model, "
        "v.version)))"
        " FROM weir.model_versions v WHERE pipeline = $1 AND model = $2 AND version = $3::int), 'null')",
        3, (const char *const[]){pipeline, model, number}, ret_row, err);
}

static weir_status delete_version(const weir_mirror *m, const char *name, const cJSON *found, weir_err *err) {
    cJSON *body = found ? OBJECT("name", name, "version", weir_json_text(found, "version")) : NULL;
    if (!found) return WEIR_OK;
    weir_status status = body ? weir_mlflow_call(&m->api, "DELETE", "model-versions/delete", body, NULL, err) : no_memory(err);
    cJSON_Delete(body);
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

/* mlflow_version [16]: its number there; "" when it is not there. */
static weir_status mirror_version(const weir_mirror *m, const char *pipeline, const char *model, int version, char *mlflow_version, weir_err *err) {
    char name[256];
    cJSON *row = NULL, *found = NULL;
    mirrored_run run = {0};
    *mlflow_version = 0;
    model_name(pipeline, model, name);
    weir_status status = read_version(m, pipeline, model, version, &row, err);
    if (status) return status;
    bool gone = !cJSON_IsObject(row), deleted = cJSON_IsTrue(weir_json_at(row, "deleted"));
    if (!gone && !deleted) status = ensure_model(m, name, err);
    if (!gone && !status) status = find_version(m, name, version, &found, err);
    if (deleted && status == WEIR_ENOTFOUND) status = WEIR_OK; /* nor is the model */
    if (!gone && !status && deleted) {
        status = delete_version(m, name, found, err);
    } else if (!gone && !status) {
        if (!found && *weir_json_text(row, "run_id")) status = mirror_run(m, weir_json_text(row, "run_id"), &run, err);
        if (!found && !status) status = create_version(m, name, row, version, &run, &found, err);
        if (!status) status = set_tags(m, name, found, row, err);
        if (!status) snprintf(mlflow_version, 16, "%s", weir_json_text(found, "version"));
    }
    cJSON_Delete(found);
    cJSON_Delete(row);
    return status;
}

weir_status weir_mirror_version(const weir_mirror *m, const char *pipeline, const char *model, int version, weir_err *err) {
    char mlflow_version[16];
    return mirror_version(m, pipeline, model, version, mlflow_version, err);
}

/* ---- aliases ---- */

static weir_status drop_alias(const weir_mirror *m, const char *pipeline, const char *model, const char *alias, weir_err *err) {
    char name[256];
    model_name(pipeline, model, name);
    cJSON *body = OBJECT("name", name, "alias", alias);
    weir_status status = body ? weir_mlflow_call(&m->api, "DELETE", "registered-models/alias", body, NULL, err) : no_memory(err);
    cJSON_Delete(body);
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

/* {model, version} where it points (absent: nowhere), others[] models that it pointed at once. */
static weir_status read_alias(const weir_mirror *m, const char *pipeline, const char *model, const char *alias, cJSON **ret_row, weir_err *err) {
    static const char of_pipeline[] =
        "SELECT json_build_object('model', a.model, 'version', a.version, 'others', (SELECT coalesce(json_agg(DISTINCT h.was), '[]') FROM"
        " (SELECT from_model AS was FROM weir.alias_history WHERE pipeline = $1 AND alias = $2 UNION SELECT to_model FROM weir.alias_history WHERE pipeline = "
        "$1 AND alias = $2) h"
        " WHERE h.was IS NOT NULL AND h.was IS DISTINCT FROM a.model)) FROM (SELECT 1) one LEFT JOIN weir.aliases a ON a.pipeline = $1 AND a.alias = $2";
    static const char of_model[] = "SELECT json_build_object('model', a.model, 'version', a.version, 'others', '[]'::json) FROM (SELECT 1) one"
                                   " LEFT JOIN weir.model_aliases a ON a.pipeline = $1 AND a.alias = $2 AND a.model = $3";
    return weir_pg_query_json(m->pg, model ? of_model : of_pipeline, model ? 3 : 2, (const char *const[]){pipeline, alias, model}, ret_row, err);
}

weir_status weir_mirror_alias(const weir_mirror *m, const char *pipeline, const char *model, const char *alias, weir_err *err) {
    char name[256], mlflow_version[16] = "";
    const cJSON *other;
    cJSON *row = NULL;
    weir_status status = read_alias(m, pipeline, model, alias, &row, err);
    if (status) return status;
    const char *target = weir_json_text(row, "model");
    if (*target) status = mirror_version(m, pipeline, target, (int)weir_json_number(row, "version", 0), mlflow_version, err);
    if (!status && *mlflow_version) {
        model_name(pipeline, target, name);
        status = post(m, "registered-models/alias", OBJECT("name", name, "alias", alias, "version", mlflow_version), NULL, err);
    }
    if (!status) cJSON_ArrayForEach(other, weir_json_at(row, "others")) {
            if ((status = drop_alias(m, pipeline, cJSON_GetStringValue(other), alias, err))) break;
        }
    cJSON_Delete(row);
    return status;
}
