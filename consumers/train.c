/* train: requests in, registered model versions out.
 *
 *   weir.training.requests ──> run "queued" ──> "running" ──> "awaiting_labels" ──> "succeeded"
 *                                                   └────────────────┴──> "failed"
 *
 * A run lives in PostgreSQL, so a restart goes on where it was: what was running is run again (fitting is deterministic and registering the same digest twice gives the
 * same version), what awaits labels goes on awaiting. The work itself is done by a thread, one run at a time, while the loop keeps polling. Events of the registry
 * (outbox) are carried to weir.models from here. Of several train workers of a pipeline the one that holds the requests' partition does all this. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "consumers/trials.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/training.h"

enum { FLUSH_TIMEOUT_MS = 30000 };
#define LOOK_EVERY_US (WEIR_SECOND_US / 4)
#define LABELS_EVERY_US (2 * WEIR_SECOND_US)
#define RETRY_AFTER_US (5 * WEIR_SECOND_US)

typedef enum train_step { STEP_FIT, STEP_EVALUATE } train_step;

/* The run that the thread works on. */
typedef struct train_job {
    bool active; /* until its outcome is stored */
    bool joined;
    pthread_t thread;
    _Atomic bool finished, cancel;
    train_step step;
    const char *next; /* status of the run, once joined */
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
    weir_trial_helper *trials; /* of searches that others lead, while there is no job */
    double threshold;
    bool leads; /* holds the partition of the requests */
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

static weir_status window_of_run(const train *t, const cJSON *detail, weir_training_periods *ret_window, weir_err *err) {
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
        .cancel = &job->cancel,
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

/* Waits for the thread and says what becomes of the run. */
static void join_job(train *t, int64_t mono_us) {
    train_job *job = &t->job;
    pthread_join(job->thread, NULL);
    job->joined = true;
    job->next = job->step == STEP_FIT ? "awaiting_labels" : "succeeded";
    if (job->status && job->err.action == WEIR_ACTION_RETRY) {
        weir_log_err(WEIR_LOG_WARN, "a training run was interrupted and will be tried again", &job->err);
        job->next = job->step == STEP_FIT ? "queued" : "awaiting_labels";
        t->look_at_us = t->labels_at_us = mono_us + RETRY_AFTER_US;
    } else if (job->status) {
        weir_log_err(WEIR_LOG_ERROR, "a training run failed", &job->err);
        cJSON_AddStringToObject(job->detail, "error", job->err.message);
        job->next = "failed";
    }
    if (!strcmp(job->next, "succeeded") || !strcmp(job->next, "failed")) weir_metric_add(WEIR_METRIC("weir_train_runs_total", t->pipeline->name, job->next), 1);
    show_metrics(t, job->detail);
}

/* What the thread left behind becomes the run's next status. The job stays until that is stored: the database may be away just now. */
static weir_status finish_job(train *t, int64_t mono_us, weir_err *err) {
    train_job *job = &t->job;
    if (!job->joined) join_job(t, mono_us);
    weir_status status = set_status(t, job->run_id, job->request_id, job->next, job->detail, err);
    if (status) return status;
    job->active = false;
    cJSON_Delete(job->detail);
    job->detail = NULL;
    return WEIR_OK;
}

/* The oldest run with this status, or NULL. The list is the caller's. */
static weir_status oldest_run(train *t, const char *run_status, cJSON **ret_list, const cJSON **ret_run, weir_err *err) {
    weir_status status = weir_run_list(t->pg, t->pipeline->name, run_status, ret_list, err);
    if (!status) *ret_run = cJSON_GetArrayItem(*ret_list, cJSON_GetArraySize(*ret_list) - 1);
    return status;
}

/* One run is worked on at a time, so a "running" one without a job was left by a worker that ended, or its start was told to the database and then failed. */
static weir_status look_for_fit(train *t, weir_err *err) {
    static const char *const to_fit[] = {"running", "queued"};
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && !t->job.active && i < sizeof to_fit / sizeof *to_fit; i++) {
        cJSON *list = NULL;
        const cJSON *run = NULL;
        status = oldest_run(t, to_fit[i], &list, &run, err);
        if (!status && run) status = start_job(t, run, STEP_FIT, err);
        cJSON_Delete(list);
    }
    return status;
}

static weir_status evaluate_if_labelled(train *t, const cJSON *run, weir_err *err) {
    weir_training training = {.pipeline = t->pipeline, .recipe = &t->recipe, .pg_url = t->env->pg_url};
    bool complete = false;
    weir_status status = window_of_run(t, cJSON_GetObjectItemCaseSensitive(run, "detail"), &training.window, err);
    if (!status) status = weir_training_labels_complete(&training, &complete, err);
    return status || !complete ? status : start_job(t, run, STEP_EVALUATE, err);
}

/* A run that cannot be gone on with must not stop the others. */
static weir_status give_up(train *t, const cJSON *run, const weir_err *why, weir_err *err) {
    cJSON *detail = cJSON_CreateObject();
    weir_log_err(WEIR_LOG_ERROR, "a training run failed", why);
    cJSON_AddStringToObject(detail, "error", why->message);
    weir_status status = set_status(t, text_at(run, "id"), text_at(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"), "failed", detail, err);
    cJSON_Delete(detail);
    return status;
}

static weir_status look_for_labels(train *t, weir_err *err) {
    cJSON *list = NULL;
    const cJSON *run;
    weir_status status = weir_run_list(t->pg, t->pipeline->name, "awaiting_labels", &list, err);
    if (!status) cJSON_ArrayForEach(run, list) {
            weir_err why;
            status = evaluate_if_labelled(t, run, &why);
            if (status && why.action == WEIR_ACTION_FATAL) {
                status = give_up(t, run, &why, err);
            } else if (status && err) {
                *err = why;
            }
            if (status || t->job.active) break;
        }
    cJSON_Delete(list);
    return status;
}

static weir_status look_for_work(train *t, int64_t mono_us, weir_err *err) {
    weir_status status = look_for_fit(t, err);
    if (status || t->job.active || mono_us < t->labels_at_us) return status;
    t->labels_at_us = mono_us + LABELS_EVERY_US;
    return look_for_labels(t, err);
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

/* The run that a request has already. The list is the caller's. */
static weir_status run_of_request(train *t, const char *request_id, cJSON **ret_list, const cJSON **ret_run, weir_err *err) {
    const cJSON *run;
    *ret_run = NULL;
    weir_status status = weir_run_list(t->pg, t->pipeline->name, NULL, ret_list, err);
    if (!status)
        cJSON_ArrayForEach(run, *ret_list) if (!strcmp(text_at(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"), request_id)) *ret_run = run;
    return status;
}

static weir_status check_time(const weir_datum *time, const char *name, weir_err *err) {
    if (time->type != WEIR_T_I64 || (time->i >= WEIR_TIME_MIN_US && time->i <= WEIR_TIME_MAX_US)) return WEIR_OK;
    return WEIR_REJECT(err, WEIR_EDATA, "%s is %lld microseconds, which is no time from year 1 to 9999", name, (long long)time->i);
}

static weir_status check_request(const weir_datum *row, weir_err *err) {
    if (!row[REQ_ID].len || row[REQ_ID].len >= sizeof((train_job *)NULL)->request_id || memchr(row[REQ_ID].p, 0, row[REQ_ID].len))
        return WEIR_REJECT(err, WEIR_EDATA, "the id of a request has %zu bytes, expected 1 to %zu without a NUL", (size_t)row[REQ_ID].len,
                           sizeof((train_job *)NULL)->request_id - 1);
    weir_status status = check_time(&row[REQ_TRAIN_FROM], "train_from", err);
    return status ? status : check_time(&row[REQ_AS_OF], "as_of", err);
}

static weir_status add_run(train *t, const weir_datum *row, const char *id, weir_err *err) {
    weir_run run;
    char reason[64];
    snprintf(reason, sizeof reason, "%.*s", (int)row[REQ_REASON].len, row[REQ_REASON].p);
    cJSON *request = cJSON_CreateObject();
    cJSON_AddStringToObject(request, "request_id", id);
    cJSON_AddStringToObject(request, "reason", reason);
    if (row[REQ_TRAIN_FROM].type == WEIR_T_I64) cJSON_AddNumberToObject(request, "train_from_us", (double)row[REQ_TRAIN_FROM].i);
    if (row[REQ_AS_OF].type == WEIR_T_I64) cJSON_AddNumberToObject(request, "as_of_us", (double)row[REQ_AS_OF].i);
    weir_status status = weir_run_start(t->pg, t->pipeline->name, request, &run, err);
    cJSON_Delete(request);
    return status ? status : set_status(t, run.id, id, "queued", NULL, err);
}

static weir_status accept_request(train *t, const weir_datum *row, weir_err *err) {
    char id[sizeof t->job.request_id];
    cJSON *list = NULL;
    const cJSON *run;
    weir_status status = check_request(row, err);
    if (status) return status;
    snprintf(id, sizeof id, "%.*s", (int)row[REQ_ID].len, row[REQ_ID].p);
    status = run_of_request(t, id, &list, &run, err);
    if (!status && !run) status = add_run(t, row, id, err);
    cJSON_Delete(list);
    return status;
}

static bool is_for(const weir_datum *row, const weir_pipeline *pipeline) {
    return row[REQ_PIPELINE].len == strlen(pipeline->name) && !memcmp(row[REQ_PIPELINE].p, pipeline->name, row[REQ_PIPELINE].len);
}

static weir_status take_request(train *t, const weir_bus_record *record, weir_err *err) {
    weir_datum row[REQ_COUNT];
    weir_err why;
    const char *error_class = "decode";
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(t->requests.serde, record->value, record->value_len, row, NULL, &why);
    if (!status) {
        if (!is_for(row, t->pipeline)) return WEIR_OK;
        error_class = "check";
        status = accept_request(t, row, &why);
    }
    if (status && why.action == WEIR_ACTION_REJECT) return weir_worker_reject(t->worker, record, error_class, &why, err);
    if (status && err) *err = why;
    return status;
}

static weir_status train_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) status = take_request(context, &records[i], err);
    return status;
}

static weir_status train_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    train *t = context;
    (void)partitions, (void)err;
    t->leads = count > 0;
    return WEIR_OK;
}

static weir_status train_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    train *t = context;
    (void)partitions, (void)count, (void)err;
    weir_err why = {0};
    /* Else what was decided last is told when somebody leads again, which after a stop may be much later. */
    if (t->leads && !lost && carry_outbox(t, &why)) weir_log_err(WEIR_LOG_WARN, "events of models were not sent; the next to lead sends them", &why);
    t->leads = false; /* a run that is under way is finished and told all the same: the next one to lead repeats it and comes to the same */
    return WEIR_OK;
}

static weir_status train_tick(void *context, int64_t mono_us, weir_err *err) {
    train *t = context;
    weir_status status = WEIR_OK;
    if (t->job.active && t->job.finished) status = finish_job(t, mono_us, err);
    if (!status) status = weir_trial_helper_tick(t->trials, !t->job.active, err);
    if (status || !t->leads || mono_us < t->look_at_us) return status;
    t->look_at_us = mono_us + LOOK_EVERY_US;
    status = carry_outbox(t, err);
    if (!status && !t->job.active) status = look_for_work(t, mono_us, err);
    return status;
}

/* ---- life ---- */

/* The thread stops between two steps of its work; one step of a large run may take longer than anybody wants to wait. False: it runs still. */
static bool stop_job(train *t) {
    struct timespec deadline;
    if (!t->job.active || t->job.joined) return true;
    t->job.cancel = true;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += t->env->drain_ms / 1000;
    if (pthread_timedjoin_np(t->job.thread, NULL, &deadline) != ETIMEDOUT) return true;
    (void)pthread_detach(t->job.thread);
    return false;
}

static void train_done(void *context) {
    train *t = context;
    if (!t) return;
    bool helped = weir_trial_helper_free(t->trials, t->env->drain_ms);
    if (!helped || !stop_job(t)) { /* what it uses stays until the process ends */
        WEIR_WARN("a training run did not stop in time; it will be done again", WEIR_S("run", t->job.run_id));
        weir_worker_abandon(t->worker);
        return;
    }
    if (t->job.active) cJSON_Delete(t->job.detail); /* its run stays "running" and is run again at the next start */
    weir_event_codec_done(&t->requests);
    weir_event_codec_done(&t->runs);
    weir_event_codec_done(&t->models);
    weir_recipe_done(&t->recipe);
    weir_pg_free(t->pg);
    free(t);
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
    if (status) return status;
    if ((status = weir_shared_set_deadletter(shared, worker, err))) return status;
    if ((status = weir_trial_helper_new(worker, t->pipeline, &t->recipe, shared->registry, &t->trials, err))) return status;
    return weir_worker_subscribe(worker, (const char *const[]){WEIR_TOPIC_REQUESTS}, 1, err);
}

const weir_worker_ops weir_train_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "train",
    .doc = "trains, evaluates and registers model versions on request",
    .init = train_init,
    .assigned = train_assigned,
    .revoked = train_revoked,
    .batch = train_batch,
    .tick = train_tick,
    .done = train_done,
    .needs_training = true,
};
