#include "consumers/train_jobs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "consumers/lineage.h"
#include "consumers/shared.h"
#include "consumers/train_process.h"
#include "consumers/train_queue.h"
#include "consumers/train_run.h"
#include "consumers/train_tell.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/tracking.h"

enum { DRAIN_STEP_US = 20000 };
#define OVERTIME_US (30 * WEIR_SECOND_US) /* that a process has to end by itself after its time limit */

/* An attempt at a run that this worker has taken. Times are monotonic. */
typedef struct train_job {
    bool active; /* until its outcome is stored */
    weir_train_claim claim;
    weir_train_process *process;
    int64_t started_us, limit_us;
    bool overdue, stopping; /* it was killed because of its time limit; it was asked to end because the worker does */
    bool ended, logged;
    /* once ended: */
    weir_train_outcome outcome;
    weir_train_next next;
    cJSON *detail;
    weir_err err;
    double wait_s;
} train_job;

struct weir_train_jobs {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    const weir_train_service *service;
    const weir_recipe *recipe;
    weir_pg *pg;
    weir_train_identity identity;
    char experiment[WEIR_EXPERIMENT_NAME_MAX + 1]; /* of its runs */
    weir_event_codec lineage;
    weir_train_teller teller;
    train_job jobs[WEIR_TRAIN_RUNS_MAX];
};

int weir_train_jobs_count(const weir_train_jobs *t) {
    int count = 0;
    for (int i = 0; i < WEIR_TRAIN_RUNS_MAX; i++) count += t->jobs[i].active;
    return count;
}

static void show_running(const weir_train_jobs *t) {
    weir_metric_set(WEIR_METRIC("weir_train_running_runs", t->pipeline->name), weir_train_jobs_count(t));
}

/* ---- an attempt ends ---- */

/* In units of the target, which no ratio is. */
static bool is_error(const char *metric) {
    static const char *const errors[] = {"rmse", "mae", "median_absolute_error", "max_error"};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (!strcmp(metric, errors[i])) return true;
    }
    return false;
}

/* Every metric of every version, for the dashboard. */
static void show_metrics(const weir_train_jobs *t, const cJSON *detail) {
    const cJSON *version, *metric;
    cJSON_ArrayForEach(version, cJSON_GetObjectItemCaseSensitive(detail, "versions")) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)weir_json_number(version, "version", 0));
        cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(version, "metrics")) {
            if (!cJSON_IsNumber(metric)) continue;
            weir_metric_set(is_error(metric->string)
                                ? WEIR_METRIC("weir_train_error_value", t->pipeline->name, weir_json_text(version, "name"), number, metric->string)
                                : WEIR_METRIC("weir_train_metric_ratio", t->pipeline->name, weir_json_text(version, "name"), number, metric->string),
                            metric->valuedouble);
        }
    }
}

/* In [0, 1). */
static double draw(void) {
    uint32_t bits = 0;
    (void)!getrandom(&bits, sizeof bits, 0);
    return (double)bits / 4294967296.0;
}

/* What has become of it, from its process, which is no more. */
static void conclude(weir_train_jobs *t, train_job *job, int64_t mono_us) {
    const weir_train_limits *limits = &t->service->limits;
    const cJSON *report = weir_train_process_report(job->process, &job->err);
    if (report) {
        job->err =
            (weir_err){.code = (weir_status)weir_json_number(report, "code", WEIR_EINTERNAL), .action = (weir_action)weir_json_number(report, "action", 0)};
        snprintf(job->err.message, sizeof job->err.message, "%s", weir_json_text(report, "message"));
        job->detail = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(report, "detail"), true);
    }
    const char *asked = weir_json_text(report, "asked");
    const weir_train_ending ending = {.cancelled = !strcmp(asked, "cancel"),
                                      .timed_out = !strcmp(asked, "time") || job->overdue,
                                      .stopping = job->stopping,
                                      .reported = report != NULL,
                                      .err = &job->err};
    job->outcome = weir_train_judge(&ending);
    job->next = weir_train_next_of(limits, job->outcome, job->claim.failures);
    if (job->outcome == WEIR_TRAIN_TIMED_OUT)
        (void)WEIR_FAIL(&job->err, WEIR_ETIMEOUT, "it was not done within its time limit of %.4g minutes", (double)(job->limit_us - job->started_us) / 60e6);
    if (job->outcome == WEIR_TRAIN_TRANSIENT) job->wait_s = (double)weir_train_backoff_us(limits, job->claim.failures + 1, draw()) / 1e6;
    const weir_train_usage usage = weir_train_process_usage(job->process);
    weir_metric_observe(WEIR_METRIC("weir_train_run_seconds", t->pipeline->name), (double)(mono_us - job->started_us) / 1e6);
    weir_metric_add(WEIR_METRIC("weir_train_cpu_seconds_total", t->pipeline->name), usage.cpu_s);
    weir_metric_set(WEIR_METRIC("weir_train_peak_memory_bytes", t->pipeline->name), usage.peak_bytes);
    if (job->outcome == WEIR_TRAIN_TIMED_OUT) weir_metric_add(WEIR_METRIC("weir_train_timeouts_total", t->pipeline->name), 1);
    if (job->outcome != WEIR_TRAIN_DONE && job->outcome != WEIR_TRAIN_CANCELLED)
        weir_log_err(job->next == WEIR_TRAIN_AGAIN ? WEIR_LOG_WARN : WEIR_LOG_ERROR,
                     job->next == WEIR_TRAIN_AGAIN ? "a training run will be tried again" : "a training run failed", &job->err);
    show_metrics(t, job->detail);
    weir_train_process_free(job->process);
    job->process = NULL;
    job->ended = true;
}

static bool is_last_step(const train_job *job) {
    return job->claim.evaluates || *weir_json_text(job->claim.request, "continue_version"); /* one that goes on was measured on what it learnt, before it did */
}

/* Before the status is told, so that who hears of it finds all of the run. What cannot be logged must not stop the training of models. */
static weir_status log_job(weir_train_jobs *t, train_job *job, weir_err *err) {
    weir_err why;
    if (job->logged || !job->detail || job->next == WEIR_TRAIN_AGAIN || job->next == WEIR_TRAIN_IS_CANCELLED) return WEIR_OK;
    weir_status status = weir_track_pipeline_run(t->pg, t->pipeline->name, job->claim.run_id, t->experiment, job->claim.request, job->detail, &why);
    if (status && why.action == WEIR_ACTION_RETRY) {
        *err = why;
        return status;
    }
    if (status) weir_log_err(WEIR_LOG_ERROR, "a training run could not be logged", &why);
    job->logged = true;
    return WEIR_OK;
}

/* What cannot be told must not stop the training of models: `weir lineage track` tells it again. */
static void tell_lineage(weir_train_jobs *t, const char *run_id) {
    weir_err why;
    if (weir_lineage_send(t->pg, t->pipeline, t->env->brokers, run_id, &t->lineage, weir_worker_producer(t->worker), NULL, &why))
        weir_log_err(WEIR_LOG_WARN, "the lineage of a training run could not be told", &why);
}

static void count_end(const weir_train_jobs *t, const train_job *job, weir_train_next next) {
    const char *outcome = next == WEIR_TRAIN_FAILS ? "failed" : next == WEIR_TRAIN_IS_CANCELLED ? "cancelled" : "succeeded";
    if (next == WEIR_TRAIN_AGAIN && job->outcome == WEIR_TRAIN_TRANSIENT) weir_metric_add(WEIR_METRIC("weir_train_retries_total", t->pipeline->name), 1);
    if (next == WEIR_TRAIN_AGAIN || (next == WEIR_TRAIN_GOES_ON && !is_last_step(job))) return;
    weir_metric_add(WEIR_METRIC("weir_train_runs_total", t->pipeline->name, outcome), 1);
}

static void drop_job(train_job *job) {
    weir_train_process_free(job->process);
    weir_train_claim_done(&job->claim);
    cJSON_Delete(job->detail);
    *job = (train_job){0};
}

/* The job stays until what became of it is stored: the database may be away just now. */
static weir_status settle_job(weir_train_jobs *t, train_job *job, bool tells_lineage, weir_err *err) {
    const weir_train_settlement settlement = {
        .run_id = job->claim.run_id,
        .attempt = job->claim.attempt,
        .outcome = job->outcome,
        .error = job->outcome == WEIR_TRAIN_DONE ? NULL : job->err.message,
        .goes_on_as = is_last_step(job) ? "succeeded" : "awaiting_labels",
        .detail = job->detail,
        .wait_s = job->wait_s,
    };
    weir_train_next next;
    bool held;
    weir_status status = log_job(t, job, err);
    if (!status) status = weir_train_queue_settle(t->pg, &t->service->limits, &t->identity, &settlement, &held, &next, err);
    if (status) return status;
    if (held) count_end(t, job, next);
    if (!held) WEIR_WARN("a training run was taken over by another worker", WEIR_S("run", job->claim.run_id));
    bool is_over = held && next != WEIR_TRAIN_AGAIN && (next != WEIR_TRAIN_GOES_ON || is_last_step(job));
    if (is_over && tells_lineage) tell_lineage(t, job->claim.run_id);
    drop_job(job);
    show_running(t);
    return WEIR_OK;
}

/* ---- an attempt is under way ---- */

static weir_status tend_job(weir_train_jobs *t, train_job *job, int64_t mono_us, weir_err *err) {
    bool ended = false;
    if (!job->ended) {
        weir_status status = weir_train_process_poll(job->process, &ended, err);
        if (status) return status;
        if (ended) {
            conclude(t, job, mono_us);
        } else if (mono_us >= job->limit_us + OVERTIME_US) { /* it looks at the clock itself, if it can */
            job->overdue = true;
            weir_train_process_kill(job->process);
        }
    }
    return job->ended ? settle_job(t, job, true, err) : WEIR_OK;
}

weir_status weir_train_jobs_tend(weir_train_jobs *t, int64_t mono_us, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_err why;
    for (int i = 0; i < WEIR_TRAIN_RUNS_MAX; i++) {
        if (!t->jobs[i].active || !tend_job(t, &t->jobs[i], mono_us, &why)) continue;
        status = why.code; /* the others are tended all the same */
        *err = why;
    }
    return status;
}

/* ---- an attempt begins ---- */

static weir_status start_job(weir_train_jobs *t, weir_train_claim *claim, int64_t time_us, weir_err *err) {
    const weir_train_service *service = t->service;
    train_job *job = t->jobs;
    while (job->active) job++;
    int64_t now_us = weir_clock_mono_us(t->env->clock);
    *job = (train_job){
        .active = true,
        .claim = *claim,
        .started_us = now_us,
        .limit_us = now_us + time_us,
    };
    *claim = (weir_train_claim){0};
    cJSON *order = weir_train_order(t->pipeline, &job->claim, &service->limits, &t->identity, time_us);
    weir_status status =
        order ? weir_train_process_start(service, order, &job->process, &job->err) : WEIR_RETRY(&job->err, WEIR_ENOMEM, "no memory for the order of a run");
    cJSON_Delete(order);
    show_running(t);
    if (!status) {
        weir_metric_observe(WEIR_METRIC("weir_train_wait_seconds", t->pipeline->name), job->claim.waited_s);
        return WEIR_OK;
    }
    weir_log_err(WEIR_LOG_WARN, "a training run could not be started", &job->err);
    job->ended = true;
    job->outcome = WEIR_TRAIN_TRANSIENT;
    job->next = weir_train_next_of(&service->limits, job->outcome, job->claim.failures);
    job->wait_s = (double)weir_train_backoff_us(&service->limits, job->claim.failures + 1, draw()) / 1e6;
    return settle_job(t, job, true, err);
}

static weir_status take_runs(weir_train_jobs *t, int ready, weir_err *err) {
    const weir_train_limits *limits = &t->service->limits;
    int64_t time_us = t->recipe->max_training_s > 0 ? (int64_t)(t->recipe->max_training_s * 1e6) : limits->time_us;
    weir_status status = WEIR_OK;
    for (; !status && ready > 0 && weir_train_jobs_count(t) < WEIR_TRAIN_RUNS_MAX; ready--) {
        weir_train_claim claim = {0};
        status = weir_train_queue_claim(t->pg, t->pipeline->name, limits, &t->identity, time_us, &claim, err);
        if (status || !*claim.run_id) return status;
        status = start_job(t, &claim, time_us, err);
    }
    return status;
}

static weir_status settle_lost(weir_train_jobs *t, weir_err *err) {
    weir_train_lost lost;
    const char *name = t->pipeline->name;
    weir_status status = weir_train_queue_settle_lost(t->pg, name, &t->service->limits, &lost, err);
    if (lost.attempts) WEIR_WARN("training runs lost their workers", WEIR_I("runs", lost.attempts));
    weir_metric_add(WEIR_METRIC("weir_train_lost_total", name), lost.attempts);
    weir_metric_add(WEIR_METRIC("weir_train_runs_total", name, "failed"), lost.failed);
    weir_metric_add(WEIR_METRIC("weir_train_runs_total", name, "cancelled"), lost.cancelled);
    return status;
}

weir_status weir_train_jobs_look(weir_train_jobs *t, weir_err *err) {
    const weir_train_limits *limits = &t->service->limits;
    weir_train_look look;
    weir_status status = weir_train_queue_look(t->pg, t->pipeline->name, &t->identity, &look, err);
    if (status) return status;
    weir_metric_set(WEIR_METRIC("weir_train_queued_runs", t->pipeline->name), look.waiting);
    if (look.lost) status = settle_lost(t, err);
    int slots = weir_train_free_slots(limits, look.running_host, look.running_overall);
    if (!status && look.ready && slots) status = take_runs(t, look.ready < slots ? look.ready : slots, err);
    if (!status && look.untold) status = weir_train_tell(&t->teller, err);
    return status;
}

/* ---- life ---- */

static bool any_lives(weir_train_jobs *t) {
    weir_err err;
    bool lives = false, ended;
    for (int i = 0; i < WEIR_TRAIN_RUNS_MAX; i++) {
        train_job *job = &t->jobs[i];
        if (!job->active || job->ended) continue;
        if (!weir_train_process_poll(job->process, &ended, &err) && ended)
            conclude(t, job, weir_clock_mono_us(t->env->clock));
        else
            lives = true;
    }
    return lives;
}

/* They stop between two steps of their work; one step of a large run may take longer than anybody wants to wait. What is not done is put back, for whoever takes it next. */
static void stop_jobs(weir_train_jobs *t) {
    weir_clock *clock = t->env->clock;
    int64_t deadline_us = weir_clock_mono_us(clock) + t->env->drain_ms * INT64_C(1000);
    weir_err err;
    for (int i = 0; i < WEIR_TRAIN_RUNS_MAX; i++) {
        if (!t->jobs[i].active || t->jobs[i].ended) continue;
        t->jobs[i].stopping = true;
        weir_train_process_stop(t->jobs[i].process);
    }
    while (any_lives(t) && weir_clock_mono_us(clock) < deadline_us) weir_clock_sleep_us(clock, DRAIN_STEP_US);
    for (int i = 0; i < WEIR_TRAIN_RUNS_MAX; i++) {
        train_job *job = &t->jobs[i];
        if (!job->active) continue;
        if (!job->ended) {
            weir_train_process_free(job->process); /* ends it */
            job->process = NULL;
            job->outcome = WEIR_TRAIN_INTERRUPTED;
            snprintf(job->err.message, sizeof job->err.message, "its worker stopped, and it did not in time");
        }
        if (settle_job(t, job, false, &err))
            weir_log_err(WEIR_LOG_WARN, "a training run could not be put back; another worker takes it when its lease is over", &err);
        drop_job(job);
    }
}

void weir_train_jobs_free(weir_train_jobs *t) {
    if (!t) return;
    stop_jobs(t);
    weir_event_codec_done(&t->lineage);
    weir_train_teller_done(&t->teller);
    free(t);
}

weir_status weir_train_jobs_new(weir_worker *worker, weir_pg *pg, const weir_recipe *recipe, weir_train_jobs **ret_jobs, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    weir_shared *shared = env->shared;
    assert(shared->training);
    weir_train_jobs *t = calloc(1, sizeof *t);
    if (!t) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the train worker");
    *t = (weir_train_jobs){.worker = worker, .env = env, .pipeline = shared->pipeline, .service = shared->training, .recipe = recipe, .pg = pg};
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(t->pipeline->json, "training");
    weir_status status = weir_train_identity_init(&t->identity, t->service->limits.host, env->instance, err);
    if (!status) status = weir_track_experiment(training, t->pipeline->name, recipe->use_case, t->experiment, err);
    if (!status) status = weir_event_codec_init(&t->lineage, shared->registry, "schemas/lineage.avsc", WEIR_TOPIC_LINEAGE, err);
    if (!status) status = weir_train_teller_init(&t->teller, pg, t->pipeline->name, shared->registry, err);
    t->teller.producer = weir_worker_producer(worker);
    if (status)
        weir_train_jobs_free(t);
    else
        *ret_jobs = t;
    return status;
}
