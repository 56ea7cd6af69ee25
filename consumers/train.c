/* train: requests in, registered model versions out.
 *
 *   weir.training.requests ──> run "queued" ──> "running" ──> "awaiting_labels" ──> "succeeded"
 *                                                   └────────────────┴──> "failed"
 *
 * A run lives in PostgreSQL, so a restart goes on where it was: what was running is queued again (fitting is deterministic and registering the same digest twice gives the
 * same version), what awaits labels goes on awaiting. The work itself is done by a thread, one run at a time, while the loop keeps polling. Events of the registry
 * (outbox) are carried to weir.models from here. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/training.h"

enum { FLUSH_TIMEOUT_MS = 30000 };
#define LOOK_EVERY_US (WEIR_SECOND_US / 4)
#define LABELS_EVERY_US (2 * WEIR_SECOND_US)

typedef enum train_step { STEP_FIT, STEP_EVALUATE } train_step;

/* The run that the thread works on. */
typedef struct train_job {
    bool active;
    pthread_t thread;
    _Atomic bool finished;
    train_step step;
    char run_id[40], request_id[128];
    weir_training training;
    int64_t train_from_us;
    cJSON *detail; /* the thread's until finished */
    weir_status status;
    weir_err err;
} train_job;

typedef struct train {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_recipe recipe;
    weir_pg *pg;
    weir_event_codec requests, runs, models;
    train_job job;
    double threshold;
    int64_t look_at_us, labels_at_us;
} train;

/* ---- the thread ---- */

static void *work(void *context) {
    train_job *job = context;
    weir_training *t = &job->training;
    weir_pg *pg = NULL;
    int64_t started = weir_clock_mono_us(weir_clock_system());
    const weir_log_field fields[] = {WEIR_S("worker", "train"), WEIR_S("pipeline", t->pipeline->name), WEIR_S("run", job->run_id)};
    weir_log_context(fields, 3);
    job->status = weir_pg_new(t->pg_url, &pg, &job->err);
    if (!job->status && job->step == STEP_FIT) {
        job->status = weir_training_window(t->pipeline, t->recipe, t->pg_url, job->train_from_us, &t->window, &job->err);
        if (!job->status) job->status = weir_training_fit(t, pg, job->detail, &job->err);
    } else if (!job->status) {
        job->status = weir_training_evaluate(t, pg, job->detail, &job->err);
    }
    weir_pg_free(pg);
    weir_metric_observe(WEIR_METRIC("weir_train_run_seconds", t->pipeline->name), (double)(weir_clock_mono_us(weir_clock_system()) - started) / 1e6);
    job->finished = true;
    return NULL;
}

/* ---- runs ---- */

/* Stores the status and tells the world. */
static weir_status set_status(train *t, const char *run_id, const char *request_id, const char *run_status, const cJSON *detail, weir_err *err) {
    weir_status status = weir_run_update(t->pg, run_id, run_status, detail, err);
    if (status) return status;
    char *text = detail ? cJSON_PrintUnformatted(detail) : NULL, id[80];
    int64_t now_us = weir_clock_wall_us(t->env->clock);
    weir_datum row[RUN_COUNT] = {
        [RUN_ID] = weir_text(run_id),
        [RUN_PIPELINE] = weir_text(t->pipeline->name),
        [RUN_STATUS] = weir_text(run_status),
        [RUN_AT] = weir_i64(now_us),
        [RUN_REQUEST_ID] = request_id && *request_id ? weir_text(request_id) : weir_null(),
        [RUN_DETAIL] = weir_text(text ? text : "{}"),
    };
    snprintf(id, sizeof id, "%s-%s", run_id, run_status);
    status = weir_event_send(&t->runs, weir_worker_producer(t->worker), WEIR_TOPIC_RUNS, run_id, "weir.training.run", id, now_us, row, err);
    cJSON_free(text);
    if (!status) status = weir_producer_flush(weir_worker_producer(t->worker), FLUSH_TIMEOUT_MS, err);
    WEIR_INFO("training run", WEIR_S("run", run_id), WEIR_S("status", run_status));
    return status;
}

static double number_at(const cJSON *json, const char *name, double fallback) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? item->valuedouble : fallback;
}

static const char *text_at(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? text : "";
}

/* Microseconds since 1970 fit a double's 53 bits until the year 2255. */
static int64_t time_at(const cJSON *json, const char *name, int64_t fallback) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : fallback;
}

static weir_status window_of_run(const train *t, const cJSON *detail, weir_window *ret_window, weir_err *err) {
    int64_t from;
    weir_status status = weir_time_parse(text_at(cJSON_GetObjectItemCaseSensitive(detail, "window"), "train_from"), &from, err);
    return status ? status : weir_training_window(t->pipeline, &t->recipe, t->env->pg_url, from, ret_window, err);
}

static void fill_job(train *t, const cJSON *run, train_step step) {
    const cJSON *request = cJSON_GetObjectItemCaseSensitive(run, "request"), *detail = cJSON_GetObjectItemCaseSensitive(run, "detail");
    t->job = (train_job){.step = step, .train_from_us = time_at(request, "train_from_us", INT64_MIN)};
    train_job *job = &t->job;
    snprintf(job->run_id, sizeof job->run_id, "%s", text_at(run, "id"));
    snprintf(job->request_id, sizeof job->request_id, "%s", text_at(request, "request_id"));
    job->detail = step == STEP_EVALUATE && cJSON_IsObject(detail) ? cJSON_Duplicate(detail, true) : cJSON_CreateObject();
    job->training = (weir_training){
        .pipeline = t->pipeline,
        .recipe = &t->recipe,
        .pg_url = t->env->pg_url,
        .objects_dir = t->env->objects_dir,
        .run_id = job->run_id,
        .as_of_us = time_at(request, "as_of_us", INT64_MAX),
        .threshold = t->threshold,
    };
}

static weir_status start_job(train *t, const cJSON *run, train_step step, weir_err *err) {
    fill_job(t, run, step);
    train_job *job = &t->job;
    weir_status status =
        step == STEP_FIT ? set_status(t, job->run_id, job->request_id, "running", NULL, err) : window_of_run(t, job->detail, &job->training.window, err);
    if (!status && pthread_create(&job->thread, NULL, work, job)) status = WEIR_RETRY(err, WEIR_ELIMIT, "cannot start a training thread");
    if (status)
        cJSON_Delete(job->detail);
    else
        job->active = true;
    return status;
}

/* Every metric of every version, for the dashboard. */
static void show_metrics(const train *t, const cJSON *detail) {
    const cJSON *version, *metric;
    cJSON_ArrayForEach(version, cJSON_GetObjectItemCaseSensitive(detail, "versions")) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)number_at(version, "version", 0));
        cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(version, "metrics")) {
            if (cJSON_IsNumber(metric))
                weir_metric_set(WEIR_METRIC("weir_train_metric_ratio", t->pipeline->name, text_at(version, "name"), number, metric->string),
                                metric->valuedouble);
        }
    }
}

/* What the thread left behind becomes the run's next status. */
static weir_status finish_job(train *t, weir_err *err) {
    train_job *job = &t->job;
    const char *next = job->step == STEP_FIT ? "awaiting_labels" : "succeeded";
    pthread_join(job->thread, NULL);
    job->active = false;
    if (job->status && job->err.action == WEIR_ACTION_RETRY) {
        weir_log_err(WEIR_LOG_WARN, "a training run was interrupted and will be tried again", &job->err);
        next = job->step == STEP_FIT ? "queued" : "awaiting_labels";
    } else if (job->status) {
        weir_log_err(WEIR_LOG_ERROR, "a training run failed", &job->err);
        cJSON_AddStringToObject(job->detail, "error", job->err.message);
        next = "failed";
    }
    if (!strcmp(next, "succeeded") || !strcmp(next, "failed")) weir_metric_add(WEIR_METRIC("weir_train_runs_total", t->pipeline->name, next), 1);
    show_metrics(t, job->detail);
    weir_status status = set_status(t, job->run_id, job->request_id, next, job->detail, err);
    cJSON_Delete(job->detail);
    job->detail = NULL;
    return status;
}

/* The oldest run with this status, or NULL. The list is the caller's. */
static weir_status oldest_run(train *t, const char *run_status, cJSON **ret_list, const cJSON **ret_run, weir_err *err) {
    weir_status status = weir_run_list(t->pg, t->pipeline->name, run_status, ret_list, err);
    if (!status) *ret_run = cJSON_GetArrayItem(*ret_list, cJSON_GetArraySize(*ret_list) - 1);
    return status;
}

static weir_status look_for_work(train *t, int64_t mono_us, weir_err *err) {
    cJSON *list = NULL;
    const cJSON *run = NULL;
    weir_status status = oldest_run(t, "queued", &list, &run, err);
    if (!status && run) status = start_job(t, run, STEP_FIT, err);
    cJSON_Delete(list);
    if (status || t->job.active || mono_us < t->labels_at_us) return status;

    t->labels_at_us = mono_us + LABELS_EVERY_US;
    list = NULL;
    status = weir_run_list(t->pg, t->pipeline->name, "awaiting_labels", &list, err);
    if (!status) cJSON_ArrayForEach(run, list) {
            weir_training training = {.pipeline = t->pipeline, .recipe = &t->recipe, .pg_url = t->env->pg_url};
            bool complete = false;
            status = window_of_run(t, cJSON_GetObjectItemCaseSensitive(run, "detail"), &training.window, err);
            if (!status) status = weir_training_labels_complete(&training, &complete, err);
            if (!status && complete) status = start_job(t, run, STEP_EVALUATE, err);
            if (status || t->job.active) break;
        }
    cJSON_Delete(list);
    return status;
}

/* ---- outbox ---- */

static weir_datum text_or_null(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? weir_text(text) : weir_null();
}

static weir_status carry_outbox(train *t, weir_err *err) {
    cJSON *events = NULL;
    const cJSON *event;
    int64_t last = 0;
    weir_status status = weir_outbox_take(t->pg, &events, err);
    if (!status) cJSON_ArrayForEach(event, events) {
            int64_t id = (int64_t)number_at(event, "id", 0), time_us = time_at(event, "time_us", 0);
            const cJSON *version = cJSON_GetObjectItemCaseSensitive(event, "version");
            char text[32], type[64];
            snprintf(text, sizeof text, "%lld", (long long)id);
            snprintf(type, sizeof type, "weir.model.%s", text_at(event, "type"));
            weir_datum row[MOD_COUNT] = {
                [MOD_ID] = weir_i64(id),
                [MOD_TYPE] = weir_text(text_at(event, "type")),
                [MOD_PIPELINE] = weir_text(text_at(event, "pipeline")),
                [MOD_AT] = weir_i64(time_us),
                [MOD_MODEL] = text_or_null(event, "model"),
                [MOD_VERSION] = cJSON_IsNumber(version) ? weir_i64((int64_t)version->valuedouble) : weir_null(),
                [MOD_DIGEST] = text_or_null(event, "digest"),
                [MOD_ALIAS] = text_or_null(event, "alias"),
                [MOD_ARTIFACT] = text_or_null(event, "artifact_path"),
                [MOD_PAYLOAD] = weir_text(*text_at(event, "payload") ? text_at(event, "payload") : "{}"),
            };
            status = weir_event_send(&t->models, weir_worker_producer(t->worker), WEIR_TOPIC_MODELS, text_at(event, "key"), type, text, time_us, row, err);
            if (status) break;
            last = id;
        }
    cJSON_Delete(events);
    if (status || !last) return status;
    status = weir_producer_flush(weir_worker_producer(t->worker), FLUSH_TIMEOUT_MS, err);
    return status ? status : weir_outbox_done(t->pg, last, err);
}

/* ---- requests ---- */

static weir_status known_request(train *t, const char *request_id, bool *ret_known, weir_err *err) {
    cJSON *runs = NULL;
    const cJSON *run;
    *ret_known = false;
    weir_status status = weir_run_list(t->pg, t->pipeline->name, NULL, &runs, err);
    if (!status)
        cJSON_ArrayForEach(run, runs) if (!strcmp(text_at(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"), request_id)) *ret_known = true;
    cJSON_Delete(runs);
    return status;
}

static weir_status accept_request(train *t, const weir_datum *row, weir_err *err) {
    char id[128];
    bool known;
    weir_run run;
    snprintf(id, sizeof id, "%.*s", (int)row[REQ_ID].len, row[REQ_ID].p);
    weir_status status = known_request(t, id, &known, err);
    if (status || known) return status;
    char reason[64];
    snprintf(reason, sizeof reason, "%.*s", (int)row[REQ_REASON].len, row[REQ_REASON].p);
    cJSON *request = cJSON_CreateObject();
    cJSON_AddStringToObject(request, "request_id", id);
    cJSON_AddStringToObject(request, "reason", reason);
    if (row[REQ_TRAIN_FROM].type == WEIR_T_I64) cJSON_AddNumberToObject(request, "train_from_us", (double)row[REQ_TRAIN_FROM].i);
    if (row[REQ_AS_OF].type == WEIR_T_I64) cJSON_AddNumberToObject(request, "as_of_us", (double)row[REQ_AS_OF].i);
    status = weir_run_start(t->pg, t->pipeline->name, request, &run, err);
    cJSON_Delete(request);
    return status ? status : set_status(t, run.id, id, "queued", NULL, err);
}

static weir_status train_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    train *t = context;
    for (size_t i = 0; i < count; i++) {
        weir_datum row[REQ_COUNT];
        weir_err why;
        if (!records[i].value) continue;
        weir_status status = weir_serde_decode(t->requests.serde, records[i].value, records[i].value_len, row, NULL, &why);
        if (status && why.action == WEIR_ACTION_REJECT) {
            if ((status = weir_worker_reject(t->worker, &records[i], "decode", &why, err))) return status;
            continue;
        }
        if (!status && (row[REQ_PIPELINE].len != strlen(t->pipeline->name) || memcmp(row[REQ_PIPELINE].p, t->pipeline->name, row[REQ_PIPELINE].len))) continue;
        if (!status) status = accept_request(t, row, &why);
        if (status) {
            if (err) *err = why;
            return status;
        }
    }
    return WEIR_OK;
}

static weir_status train_tick(void *context, int64_t mono_us, weir_err *err) {
    train *t = context;
    weir_status status = WEIR_OK;
    if (t->job.active && t->job.finished) status = finish_job(t, err);
    if (status || mono_us < t->look_at_us) return status;
    t->look_at_us = mono_us + LOOK_EVERY_US;
    status = carry_outbox(t, err);
    if (!status && !t->job.active) status = look_for_work(t, mono_us, err);
    return status;
}

/* ---- life ---- */

static void train_done(void *context) {
    train *t = context;
    if (!t) return;
    if (t->job.active) { /* its run stays "running" and is queued again at the next start */
        pthread_join(t->job.thread, NULL);
        cJSON_Delete(t->job.detail);
    }
    weir_event_codec_done(&t->requests);
    weir_event_codec_done(&t->runs);
    weir_event_codec_done(&t->models);
    weir_recipe_done(&t->recipe);
    weir_pg_free(t->pg);
    free(t);
}

/* Runs that a killed worker left behind. */
static weir_status requeue_orphans(train *t, weir_err *err) {
    cJSON *runs = NULL;
    const cJSON *run;
    weir_status status = weir_run_list(t->pg, t->pipeline->name, "running", &runs, err);
    if (!status)
        cJSON_ArrayForEach(run, runs) if ((status = set_status(t, text_at(run, "id"), text_at(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"),
                                                               "queued", NULL, err))) break;
    cJSON_Delete(runs);
    return status;
}

static weir_status train_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    weir_shared *shared = env->shared;
    train *t = calloc(1, sizeof *t);
    if (!t) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the train worker");
    *ret_context = t;
    t->worker = worker;
    t->env = env;
    t->pipeline = shared->pipeline;
    const cJSON *serving = cJSON_GetObjectItemCaseSensitive(t->pipeline->json, "serving");
    t->threshold = number_at(serving, "threshold", 0.5);
    weir_status status = weir_recipe_load(t->pipeline, &t->recipe, err);
    if (!status) status = weir_pg_new(env->pg_url, &t->pg, err);
    if (!status) status = weir_event_codec_init(&t->requests, shared->registry, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS, err);
    if (!status) status = weir_event_codec_init(&t->runs, shared->registry, "schemas/training_run.avsc", WEIR_TOPIC_RUNS, err);
    if (!status) status = weir_event_codec_init(&t->models, shared->registry, "schemas/model_event.avsc", WEIR_TOPIC_MODELS, err);
    uint32_t id;
    if (!status) status = weir_registry_register(shared->registry, WEIR_TOPIC_REQUESTS "-value", weir_schema_json(t->requests.schema), &id, err);
    if (!status) status = requeue_orphans(t, err);
    if (status) return status;
    char *deadletter = weir_topic_of(t->pipeline, "deadletter");
    weir_worker_set_deadletter(worker, deadletter);
    free(deadletter);
    return weir_worker_subscribe(worker, (const char *const[]){WEIR_TOPIC_REQUESTS}, 1, err);
}

const weir_worker_ops weir_train_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "train",
    .doc = "trains, evaluates and registers model versions on request",
    .init = train_init,
    .batch = train_batch,
    .tick = train_tick,
    .done = train_done,
};
