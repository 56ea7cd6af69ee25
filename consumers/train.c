/* train: requests in, registered model versions out.
 *
 *   weir.training.requests ──> run "queued" ──> "running" ──> "awaiting_labels" ──> "succeeded"
 *                                 ^      └────────┤   └──────────────┬──> "failed", "cancelled"
 *                                 └──(a wait)─────┘                  └──> "succeeded" where a version went on learning (models/continue_job.h)
 *
 * Any number of train workers of any pipelines share one queue in PostgreSQL (consumers/train_queue.h): the one that holds the requests' partition puts runs in, each takes what its pipeline has to
 * do as long as the limits leave room, and carries it out in a process (consumers/train_process.h). What a worker that dies had taken is another's when its lease is over, or at once where another
 * sees that it is gone: fitting is deterministic and registering the same digest twice gives the same version, so it is done again and comes to the same; what awaits labels goes on awaiting.
 * Events of the registry (outbox) are carried to weir.models by the one that holds the partition. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "consumers/train_jobs.h"
#include "consumers/train_queue.h"
#include "consumers/trials.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/training.h"

enum { FLUSH_TIMEOUT_MS = 30000, VERSION_NAME_MAX = 300, RUN_ID_MAX = 40, REQUEST_ID_MAX = 128 };
#define LOOK_EVERY_US (WEIR_SECOND_US / 4)
#define LABELS_EVERY_US (2 * WEIR_SECOND_US)

typedef struct train {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_recipe recipe;
    weir_pg *pg;
    weir_event_codec requests, models;
    weir_train_jobs *jobs;
    weir_trial_helper *trials; /* of searches that others lead, while there is no job */
    bool leads; /* holds the partition of the requests */
    int64_t look_at_us, labels_at_us;
} train;

/* Microseconds since 1970 fit a double's 53 bits until the year 2255. */
static int64_t time_at(const cJSON *json, const char *name, int64_t fallback) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : fallback;
}

/* ---- labels ---- */

static weir_status evaluate_if_labelled(train *t, const cJSON *run, weir_err *err) {
    weir_training training = {.pipeline = t->pipeline, .recipe = &t->recipe, .pg_url = t->env->pg_url, .objects_dir = t->env->objects_dir};
    int64_t from;
    bool complete = false;
    weir_status status =
        weir_time_parse(weir_json_text(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run, "detail"), "window"), "train_from"), &from, err);
    if (!status) status = weir_training_window(t->pipeline, &t->recipe, t->env->pg_url, from, &training.window, err);
    if (!status) status = weir_training_labels_complete(&training, &complete, err);
    return status || !complete ? status : weir_train_queue_evaluate(t->pg, weir_json_text(run, "id"), err);
}

/* A run that cannot be gone on with must not stop the others. */
static weir_status look_for_labels(train *t, weir_err *err) {
    cJSON *list = NULL;
    const cJSON *run;
    weir_status status = weir_train_queue_awaiting(t->pg, t->pipeline->name, &list, err);
    cJSON_ArrayForEach(run, list) {
        weir_err why;
        if (status) break;
        status = evaluate_if_labelled(t, run, &why);
        if (status && why.action == WEIR_ACTION_FATAL) {
            weir_log_err(WEIR_LOG_ERROR, "a training run failed", &why);
            status = weir_train_queue_give_up(t->pg, weir_json_text(run, "id"), why.message, err);
            if (!status) weir_metric_add(WEIR_METRIC("weir_train_runs_total", t->pipeline->name, "failed"), 1);
        } else if (status && err) {
            *err = why;
        }
    }
    cJSON_Delete(list);
    return status;
}

/* ---- outbox ---- */

static weir_datum text_or_null(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? weir_text(text) : weir_null();
}

static weir_status send_event(train *t, const cJSON *event, int64_t id, weir_err *err) {
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(event, "version");
    int64_t time_us = time_at(event, "time_us", 0);
    char text[32], type[64];
    snprintf(text, sizeof text, "%lld", (long long)id);
    snprintf(type, sizeof type, "weir.model.%s", weir_json_text(event, "type"));
    weir_datum row[MOD_COUNT] = {
        [MOD_ID] = weir_i64(id),
        [MOD_TYPE] = weir_text(weir_json_text(event, "type")),
        [MOD_PIPELINE] = weir_text(weir_json_text(event, "pipeline")),
        [MOD_AT] = weir_i64(time_us),
        [MOD_MODEL] = text_or_null(event, "model"),
        [MOD_VERSION] = cJSON_IsNumber(version) ? weir_i64((int64_t)version->valuedouble) : weir_null(),
        [MOD_DIGEST] = text_or_null(event, "digest"),
        [MOD_ALIAS] = text_or_null(event, "alias"),
        [MOD_ARTIFACT] = text_or_null(event, "artifact_path"),
        [MOD_PAYLOAD] = weir_text(*weir_json_text(event, "payload") ? weir_json_text(event, "payload") : "{}"),
    };
    return weir_event_send(&t->models, weir_worker_producer(t->worker), WEIR_TOPIC_MODELS, weir_json_text(event, "key"), type, text, time_us, row, err);
}

static weir_status send_outbox(train *t, weir_err *err) {
    cJSON *events = NULL;
    const cJSON *event;
    int64_t last = 0;
    weir_status status = weir_outbox_take(t->pg, &events, err);
    if (!status) cJSON_ArrayForEach(event, events) {
            int64_t id = (int64_t)weir_json_number(event, "id", 0);
            status = send_event(t, event, id, err);
            if (status) break;
            last = id;
        }
    cJSON_Delete(events);
    if (status || !last) return status;
    status = weir_producer_flush(weir_worker_producer(t->worker), FLUSH_TIMEOUT_MS, err);
    return status ? status : weir_outbox_done(t->pg, last, err);
}

/* Workers of all pipelines do this, and the outbox is one: without the lock several would send the same, and one of them late, behind what came after. */
static weir_status carry_outbox(train *t, weir_err *err) {
    cJSON *events = NULL;
    bool mine = false;
    weir_status status = weir_outbox_take(t->pg, &events, err); /* mostly there is nothing, for which no transaction is needed */
    bool any = cJSON_GetArraySize(events) > 0;
    cJSON_Delete(events);
    if (status || !any) return status;
    status = weir_pg_begin(t->pg, err);
    if (!status) status = weir_outbox_lock(t->pg, &mine, err);
    if (!status && mine) status = send_outbox(t, err);
    if (!status) status = weir_pg_commit(t->pg, err);
    if (status) weir_pg_rollback(t->pg);
    return status;
}

/* ---- requests ---- */

static weir_status check_time(const weir_datum *time, const char *name, weir_err *err) {
    if (time->type != WEIR_T_I64 || (time->i >= WEIR_TIME_MIN_US && time->i <= WEIR_TIME_MAX_US)) return WEIR_OK;
    return WEIR_REJECT(err, WEIR_EDATA, "%s is %lld microseconds, which is no time from year 1 to 9999", name, (long long)time->i);
}

/* Null, or a text of 1 to most − 1 bytes. */
static weir_status check_text(const weir_datum *text, const char *name, size_t most, weir_err *err) {
    if (text->type != WEIR_T_STR || (text->len && text->len < most && !memchr(text->p, 0, text->len))) return WEIR_OK;
    return WEIR_REJECT(err, WEIR_EDATA, "%s has %zu bytes, expected 1 to %zu without a NUL", name, (size_t)text->len, most - 1);
}

static weir_status check_request(const weir_datum *row, weir_err *err) {
    weir_status status = check_text(&row[REQ_ID], "the id of a request", REQUEST_ID_MAX, err);
    if (!status) status = check_text(&row[REQ_CONTINUE], "continue_version", VERSION_NAME_MAX, err);
    if (!status) status = check_text(&row[REQ_CANCEL], "cancel_run", RUN_ID_MAX, err);
    if (!status) status = check_time(&row[REQ_TRAIN_FROM], "train_from", err);
    return status ? status : check_time(&row[REQ_AS_OF], "as_of", err);
}

/* As a run keeps it; NULL: no memory. */
static cJSON *request_of(const weir_datum *row) {
    char id[REQUEST_ID_MAX], reason[64], version[VERSION_NAME_MAX];
    snprintf(id, sizeof id, "%.*s", (int)row[REQ_ID].len, row[REQ_ID].p);
    snprintf(reason, sizeof reason, "%.*s", (int)row[REQ_REASON].len, row[REQ_REASON].p);
    cJSON *request = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(request, "request_id", id) && cJSON_AddStringToObject(request, "reason", reason);
    if (row[REQ_TRAIN_FROM].type == WEIR_T_I64) ok = ok && cJSON_AddNumberToObject(request, "train_from_us", (double)row[REQ_TRAIN_FROM].i);
    if (row[REQ_AS_OF].type == WEIR_T_I64) ok = ok && cJSON_AddNumberToObject(request, "as_of_us", (double)row[REQ_AS_OF].i);
    if (row[REQ_CONTINUE].type == WEIR_T_STR) {
        snprintf(version, sizeof version, "%.*s", (int)row[REQ_CONTINUE].len, row[REQ_CONTINUE].p);
        ok = ok && cJSON_AddStringToObject(request, "continue_version", version);
    }
    if (ok) return request;
    cJSON_Delete(request);
    return NULL;
}

static weir_status cancel_run(train *t, const weir_datum *row, weir_err *err) {
    char run_id[RUN_ID_MAX], by[REQUEST_ID_MAX + 16], reason[64];
    weir_train_cancelled how;
    snprintf(run_id, sizeof run_id, "%.*s", (int)row[REQ_CANCEL].len, row[REQ_CANCEL].p);
    snprintf(by, sizeof by, "request %.*s", (int)row[REQ_ID].len, row[REQ_ID].p);
    snprintf(reason, sizeof reason, "%.*s", (int)row[REQ_REASON].len, row[REQ_REASON].p);
    weir_status status = weir_train_queue_cancel(t->pg, t->pipeline->name, run_id, by, reason, &how, err);
    if (status == WEIR_ENOTFOUND) err->action = WEIR_ACTION_REJECT;
    if (!status && how == WEIR_TRAIN_CANCELLED_NOW) weir_metric_add(WEIR_METRIC("weir_train_runs_total", t->pipeline->name, "cancelled"), 1);
    return status;
}

static weir_status accept_request(train *t, const weir_datum *row, weir_err *err) {
    weir_status status = check_request(row, err);
    if (status) return status;
    if (row[REQ_CANCEL].type == WEIR_T_STR) return cancel_run(t, row, err);
    cJSON *request = request_of(row);
    status = request ? weir_train_queue_add(t->pg, t->pipeline->name, request, err) : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a request");
    cJSON_Delete(request);
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
    t->leads = false;
    return WEIR_OK;
}

static weir_status train_tick(void *context, int64_t mono_us, weir_err *err) {
    train *t = context;
    weir_status status = weir_train_jobs_tend(t->jobs, mono_us, err);
    if (!status) status = weir_trial_helper_tick(t->trials, !weir_train_jobs_count(t->jobs), err);
    if (status || mono_us < t->look_at_us) return status;
    t->look_at_us = mono_us + LOOK_EVERY_US;
    status = weir_train_jobs_look(t->jobs, err);
    if (!status && t->leads) status = carry_outbox(t, err);
    if (status || !t->leads || mono_us < t->labels_at_us) return status;
    t->labels_at_us = mono_us + LABELS_EVERY_US;
    return look_for_labels(t, err);
}

/* ---- life ---- */

static void train_done(void *context) {
    train *t = context;
    if (!t) return;
    weir_train_jobs_free(t->jobs);
    if (!weir_trial_helper_free(t->trials, t->env->drain_ms)) { /* what it uses stays until the process ends */
        weir_worker_abandon(t->worker);
        return;
    }
    weir_event_codec_done(&t->requests);
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
    weir_status status = weir_recipe_load(t->pipeline, &t->recipe, err);
    if (!status) status = weir_pg_new(env->pg_url, &t->pg, err);
    if (!status) status = weir_event_codec_init(&t->requests, shared->registry, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS, err);
    if (!status) status = weir_event_codec_init(&t->models, shared->registry, "schemas/model_event.avsc", WEIR_TOPIC_MODELS, err);
    if (!status) status = weir_train_jobs_new(worker, t->pg, &t->recipe, &t->jobs, err);
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
