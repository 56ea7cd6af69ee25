/* `weir run PIPELINE`: all workers of a pipeline in one process; `weir ingest PIPELINE` and so on: one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/training_service.h"
#include "cli/workers.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/clock.h"
#include "core/disk.h"
#include "core/log.h"
#include "core/pg.h"
#include "core/worker.h"

enum { TIMEOUT_LEAST_MS = 1000, TIMEOUT_MOST_MS = 86400000, KINDS_MAX = 16, BACKOFF_FIRST_US = 250 * 1000, BACKOFF_MOST_US = 10 * 1000 * 1000 };

typedef struct run_options {
    char *pipeline;
} run_options;

static const weir_conf_item run_table[] = {
    WEIR_PIPELINE_ITEM(run_options, pipeline),
    {0},
};

/* Creates what the workers stand on where it is absent; every step may be done by several processes at once. */
static weir_status prepare(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_pg_migrate(pg, err);
    weir_pg_free(pg);
    if (!status) status = weir_pipeline_create_topics(pipeline, settings->brokers, err);
    return status;
}

/* A service may be started before what it depends on: as its workers do, it waits until that is there. SIGTERM ends it meanwhile, there is nothing to finish yet. */
static weir_status prepare_patiently(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    for (int64_t backoff_us = BACKOFF_FIRST_US;; backoff_us = backoff_us >= BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : 2 * backoff_us) {
        weir_status status = prepare(settings, pipeline, err);
        if (!status || err->action != WEIR_ACTION_RETRY) return status;
        weir_log_err(WEIR_LOG_WARN, "cannot start yet, will try again", err);
        weir_clock_sleep_us(weir_clock_system(), backoff_us);
    }
}

/* A thread that did not end in time uses what we would free now, so nothing is freed and nobody's exit handlers run. What it worked on is done again at the next start. */
static void leave_with_abandoned(weir_worker *const *workers, size_t count, weir_status status, const weir_err *err) {
    bool abandoned = false;
    for (size_t i = 0; i < count; i++) abandoned = abandoned || weir_worker_abandoned(workers[i]);
    if (!abandoned) return;
    if (status) weir_log_err(WEIR_LOG_ERROR, "stopped", err);
    (void)fflush(NULL);
    _exit(status ? weir_status_exit(status) : 0);
}

static weir_status run_kinds(const weir_worker_env *env, const weir_pipeline *pipeline, const weir_worker_ops *const *kinds, size_t count, weir_err *err) {
    weir_worker *workers[KINDS_MAX] = {0};
    weir_status status = WEIR_OK;
    size_t made = 0;
    for (; !status && made < count; made++) status = weir_worker_new(kinds[made], env, pipeline->name, NULL, &workers[made], err);
    if (!status) {
        status = weir_workers_run(workers, count, err);
        leave_with_abandoned(workers, count, status, err);
    }
    for (size_t i = made; i-- > 0;) weir_worker_free(workers[i]);
    return status;
}

/* Whether `weir run` starts this kind: it has something to do for this pipeline. */
static bool has_work(const weir_worker_ops *kind, const weir_settings *settings, const weir_pipeline *pipeline) {
    if (kind->needs_training && !weir_pipeline_trains(pipeline)) return false;
    if (kind == &weir_mlflow_ops) return settings->mlflow_tracking_uri && *settings->mlflow_tracking_uri;
    if (kind == &weir_schedule_ops) return pipeline->triggers.schedule_count > 0 || pipeline->batch_count > 0;
    if (kind == &weir_drift_ops) return pipeline->triggers.drift.enabled;
    if (kind == &weir_trigger_ops) return cJSON_HasObjectItem(pipeline->json, "triggers");
    return true;
}

/* The views that workers look up. A feature record brings the primary view's values to who scores it: only where anything else is scored need they be looked up. */
static unsigned looked_up_views(const weir_worker_ops *const *kinds, size_t count, const weir_pipeline *pipeline) {
    bool all = pipeline->serving.requests;
    for (size_t i = 0; i < count; i++) all |= kinds[i] == &weir_serve_ops;
    return all ? ~0u : ~(1u << pipeline->primary_view);
}

/* At least a second, at most a day. */
static int timeout_ms(int64_t timeout_us) {
    int64_t ms = timeout_us / 1000;
    return (int)(ms < TIMEOUT_LEAST_MS ? TIMEOUT_LEAST_MS : ms > TIMEOUT_MOST_MS ? TIMEOUT_MOST_MS : ms);
}

static weir_status start_http(const weir_settings *settings, weir_http_server **ret_http, weir_err *err) {
    const weir_http_options options = {
        .host = settings->http_host,
        .port = (int)settings->http_port,
        .threads = (unsigned)settings->http_threads,
        .max_body_bytes = (size_t)settings->http_body_mib << 20,
        .connections_max = (int)settings->http_connections,
        .address_connections_max = (int)settings->http_connections_per_address,
        .requests_max = (int)settings->http_requests,
        .body_bytes_max = settings->http_bodies_mib << 20,
        .request_timeout_ms = timeout_ms(settings->http_request_timeout),
        .idle_timeout_ms = timeout_ms(settings->http_idle_timeout),
        .tls_certificate = settings->http_tls_cert,
        .tls_key = settings->http_tls_key,
        .access_log = settings->http_access_log,
    };
    return weir_http_server_start_with(&options, ret_http, err);
}

weir_status weir_run_workers(const weir_settings *settings, const char *name, const char *only, weir_err *err) {
    const weir_worker_ops *kinds[KINDS_MAX];
    size_t count = 0;
    weir_pipeline *pipeline = NULL;
    weir_http_server *http = NULL;
    weir_disk_watch *disk = NULL;
    weir_shared shared = {0};
    weir_training_service service = {0};
    weir_status status = weir_training_service_init(&service, settings, err);
    if (!status) status = weir_pipeline_load(name, &pipeline, err);
    if (status) {
        weir_training_service_done(&service);
        return status;
    }
    for (const weir_worker_ops *const *kind = weir_worker_kinds(); *kind; kind++) {
        bool idle = (*kind)->needs_training && !weir_pipeline_trains(pipeline);
        bool wanted = only ? !strcmp((*kind)->name, only) : has_work(*kind, settings, pipeline);
        if (count < KINDS_MAX && wanted) kinds[count++] = *kind;
        if (only && idle && !strcmp((*kind)->name, only))
            status = WEIR_FAIL(err, WEIR_EINVAL, "%s has no training section: there is nothing for %s to do", pipeline->path, only);
    }
    if (status) {
        weir_training_service_done(&service);
        weir_pipeline_free(pipeline);
        return status;
    }
    status = start_http(settings, &http, err);
    const weir_disk_place places[] = {{"state", settings->state_dir}, {"objects", settings->objects_dir}};
    int place_count = strstr(settings->objects_dir, "://") ? 1 : 2; /* a plugin's store is no folder */
    if (!status) status = weir_disk_watch_start(places, place_count, &disk, err);
    if (!status) status = prepare_patiently(settings, pipeline, err);
    if (!status) status = weir_shared_init(&shared, pipeline, settings->registry_url, only ? only : "serving", err); /* score and serve may be two processes */
    shared.replicated = looked_up_views(kinds, count, pipeline);
    shared.training = &service.service;
    shared.mlflow_uri = settings->mlflow_tracking_uri;
    shared.mlflow_token = settings->mlflow_token;
    if (!status) {
        const weir_worker_env env = {
            .brokers = settings->brokers,
            .registry_url = settings->registry_url,
            .pg_url = settings->pg_url,
            .state_dir = settings->state_dir,
            .objects_dir = settings->objects_dir,
            .instance = settings->instance,
            .clock = weir_clock_system(),
            .http = http,
            .batch_max = (int)settings->batch_max,
            .poll_ms = (int)settings->poll_ms,
            .http_tokens = settings->http_auth == 1,
            .http_linger_ms = (int)settings->http_linger_ms,
            .drain_ms = (int)settings->drain_ms,
            .checkpoint_ms = (int)settings->checkpoint_ms,
            .memory_bytes = settings->memory_mib << 20,
            .shared = &shared,
        };
        WEIR_INFO("starting", WEIR_S("pipeline", pipeline->name), WEIR_S("workers", only ? only : "all"), WEIR_I("http_port", weir_http_server_port(http)));
        status = run_kinds(&env, pipeline, kinds, count, err);
    }
    weir_shared_done(&shared);
    weir_disk_watch_stop(disk);
    weir_http_server_stop(http);
    weir_training_service_done(&service);
    weir_pipeline_free(pipeline);
    return status;
}

static weir_status run_all(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)ret_exit;
    return weir_run_workers(settings, ((const run_options *)options)->pipeline, NULL, err);
}

const weir_command weir_command_run = {
    .name = "run",
    .args = "PIPELINE",
    .doc =
        "Runs all workers of a pipeline in this process.\n"
        "These are ingest, store, train, score, serve, experiment, rollout, parity; mlflow where --mlflow-tracking-uri names a server; schedule and trigger\n"
        "where the pipeline has triggers, drift where it has triggers.drift.",
    .options = run_table,
    .options_size = sizeof(run_options),
    .is_service = true,
    .run = run_all,
};

#define WORKER_COMMAND(kind, text)                                                                                                                             \
    static weir_status run_##kind(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {                                          \
        (void)ret_exit;                                                                                                                                        \
        return weir_run_workers(settings, ((const run_options *)options)->pipeline, #kind, err);                                                               \
    }                                                                                                                                                          \
    const weir_command weir_command_##kind = {                                                                                                                 \
        .name = #kind,                                                                                                                                         \
        .args = "PIPELINE",                                                                                                                                    \
        .doc = text,                                                                                                                                           \
        .options = run_table,                                                                                                                                  \
        .options_size = sizeof(run_options),                                                                                                                   \
        .is_service = true,                                                                                                                                    \
        .run = run_##kind,                                                                                                                                     \
    }

WORKER_COMMAND(ingest, "Runs the ingest worker: validates records, keeps entity states, produces features.");
WORKER_COMMAND(store, "Runs the store worker: writes features, labels and predictions to the offline store.");
WORKER_COMMAND(serve, "Runs the serve worker: the HTTP API for predictions and online features.");
WORKER_COMMAND(experiment, "Runs the experiment worker: joins labels to predictions, compares the arms.");
WORKER_COMMAND(parity, "Runs the parity worker: computes samples of what was served again from history and compares, bit for bit.");
WORKER_COMMAND(mlflow, "Runs the mlflow worker: shows runs and model versions in the MLflow server that --mlflow-tracking-uri names.");
