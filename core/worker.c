/* The loop of core/worker.h.
 *
 *            ┌────────────── OK: flush, store offsets ──────────────┐
 *            ▼                                                      │
 *   init ─> poll ──── records ────> batch ──────────────────────────┘
 *            ▲                        │ RETRY (of batch, flush, poll): pause everything, seek back to the first record of each partition
 *            │                        ▼
 *            └─── back-off over ── paused, still polling (so that the group keeps its member); a rebalance forgets what was to be read again,
 *                                  since the next owner starts from what is committed
 *
 * With checkpoints (worker_checkpoint.c) a batch ends after batch(); flushing and storing are done at each checkpoint, for all batches since the last one, and RETRY goes
 * back to where that was, after reset().
 *
 * stop: leave the loop between two batches → checkpoint → flush → commit → leave the group → done. */
#include "core/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/worker_internal.h"

enum {
    BACKOFF_FIRST_US = 100 * 1000,
    BACKOFF_MOST_US = 10 * 1000 * 1000,
    BACKOFF_STEP_US = 20 * 1000, /* between two polls while paused */
    LAG_EVERY_US = 500 * 1000,
    FLUSH_TIMEOUT_MS = 30000, /* longer than the producer's delivery timeout, so that a failure has its reason */
    DEFAULT_BATCH = 1000,
    DEFAULT_POLL_MS = 100,
    DEFAULT_TICK_MS = 100,
    DEFAULT_DRAIN_MS = 10000,
};
#define SCRATCH_MAX ((size_t)1 << 30)

/* ---- life ---- */

weir_status weir_worker_new(const weir_worker_ops *ops, const weir_worker_env *env, const char *pipeline, void *setup, weir_worker **ret_worker,
                            weir_err *err) {
    if (ops->abi != WEIR_WORKER_ABI) return WEIR_FAIL(err, WEIR_EINVAL, "worker %s was built for ABI %d, this is %d", ops->name, ops->abi, WEIR_WORKER_ABI);
    if (strlen(pipeline) >= WEIR_WORKER_NAME_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "a pipeline's name has at most %d bytes", WEIR_WORKER_NAME_MAX - 1);
    weir_worker *worker = weir_mem.realloc(NULL, sizeof *worker);
    if (!worker) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a worker");
    memset(worker, 0, sizeof *worker);
    worker->ops = ops;
    worker->env = env;
    worker->setup = setup;
    worker->batch_max = env->batch_max > 0 ? (size_t)env->batch_max : DEFAULT_BATCH;
    (void)snprintf(worker->pipeline, sizeof worker->pipeline, "%s", pipeline);
    weir_arena_init(&worker->scratch, SCRATCH_MAX);
    worker->batch = weir_mem.realloc(NULL, worker->batch_max * sizeof *worker->batch);
    if (!worker->batch) {
        weir_worker_free(worker);
        return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a worker");
    }
    worker->metric_ready = WEIR_METRIC("weir_worker_ready", worker->pipeline, ops->name);
    worker->metric_batch_seconds = WEIR_METRIC("weir_worker_batch_seconds", worker->pipeline, ops->name);
    worker->metric_retries = WEIR_METRIC("weir_worker_retries_total", worker->pipeline, ops->name);
    weir_metric_set(worker->metric_ready, 0);
    *ret_worker = worker;
    return WEIR_OK;
}

static void forget_topics(weir_worker *worker) {
    for (size_t i = 0; i < worker->topic_count; i++) (void)weir_mem.realloc(worker->topics[i], 0);
    (void)weir_mem.realloc(worker->topics, 0);
    (void)weir_mem.realloc(worker->records_total, 0);
    worker->topics = NULL;
    worker->records_total = NULL;
    worker->topic_count = 0;
}

void weir_worker_free(weir_worker *worker) {
    if (!worker || worker->abandoned) return;
    forget_topics(worker);
    weir_arena_done(&worker->scratch);
    (void)weir_mem.realloc(worker->batch, 0);
    (void)weir_mem.realloc(worker->rewinds, 0);
    (void)weir_mem.realloc(worker->progress, 0);
    (void)weir_mem.realloc(worker->lags, 0);
    (void)weir_mem.realloc(worker, 0);
}

void weir_worker_stop(weir_worker *worker) {
    atomic_store(&worker->stopping, true);
}
bool weir_worker_stopping(const weir_worker *worker) {
    return atomic_load(&worker->stopping);
}
void weir_worker_abandon(weir_worker *worker) {
    atomic_store(&worker->abandoned, true);
}
bool weir_worker_abandoned(const weir_worker *worker) {
    return atomic_load(&worker->abandoned);
}
bool weir_worker_ready(const weir_worker *worker) {
    return atomic_load(&worker->ready);
}
const weir_worker_env *weir_worker_env_of(const weir_worker *worker) {
    return worker->env;
}
const char *weir_worker_pipeline(const weir_worker *worker) {
    return worker->pipeline;
}
void *weir_worker_setup(const weir_worker *worker) {
    return worker->setup;
}
weir_producer *weir_worker_producer(weir_worker *worker) {
    return worker->producer;
}
weir_arena *weir_worker_scratch(weir_worker *worker) {
    return &worker->scratch;
}
weir_consumer *weir_worker_consumer(weir_worker *worker) {
    return worker->consumer;
}

void weir_worker_set_deadletter(weir_worker *worker, const char *topic) {
    (void)snprintf(worker->deadletter, sizeof worker->deadletter, "%s", topic);
}

weir_status weir_worker_subscribe(weir_worker *worker, const char *const *topics, size_t count, weir_err *err) {
    forget_topics(worker);
    worker->topics = weir_mem.realloc(NULL, count * sizeof *worker->topics + 1);
    worker->records_total = weir_mem.realloc(NULL, count * sizeof(weir_metric *) + 1);
    if (!worker->topics || !worker->records_total) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(topics[i]) + 1;
        if (len > WEIR_WORKER_NAME_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "the topic name %.60s… has more than %d bytes", topics[i], WEIR_WORKER_NAME_MAX - 1);
        char *copy = weir_mem.realloc(NULL, len);
        if (!copy) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
        worker->topics[worker->topic_count] = memcpy(copy, topics[i], len);
        worker->records_total[worker->topic_count++] = WEIR_METRIC("weir_worker_records_total", worker->pipeline, worker->ops->name, topics[i]);
    }
    return WEIR_OK;
}

static void update_ready(weir_worker *worker) {
    bool ready = worker->initialised && (!worker->consumer || worker->joined) && !worker->retrying && !worker->tick_backoff_us && !weir_worker_stopping(worker);
    if (ready == atomic_load(&worker->ready)) return;
    atomic_store(&worker->ready, ready);
    weir_metric_set(worker->metric_ready, ready);
    WEIR_INFO(ready ? "ready" : "not ready");
}

/* ---- rebalances ---- */

static weir_status on_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    weir_worker *worker = context;
    if (worker->ops->assigned) {
        weir_status status = worker->ops->assigned(worker->context, partitions, count, err);
        if (status) return status;
    }
    worker->joined = true;
    WEIR_INFO("partitions assigned", WEIR_I("count", (int64_t)count));
    return WEIR_OK;
}

static weir_status on_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    weir_worker *worker = context;
    WEIR_INFO(lost ? "partitions lost" : "partitions revoked", WEIR_I("count", (int64_t)count));
    if (!lost && worker->progress_count) {
        weir_err why = {0};
        if (weir_worker_checkpoint(worker, &why)) weir_log_err(WEIR_LOG_WARN, "last checkpoint failed; the next owner handles its records again", &why);
    }
    worker->joined = false;
    worker->rewind_count = 0;
    worker->needs_reset = false;
    weir_worker_progress_forget(worker);
    weir_worker_lag_clear(worker);
    return worker->ops->revoked ? worker->ops->revoked(worker->context, partitions, count, lost, err) : WEIR_OK;
}

/* ---- trying again ---- */

static void add_rewind(weir_worker *worker, const char *topic, int32_t partition, int64_t offset, weir_err *err, weir_status *status) {
    for (size_t i = 0; i < worker->rewind_count; i++)
        if (worker->rewinds[i].partition == partition && !strcmp(worker->rewinds[i].topic, topic)) return;
    if (worker->rewind_count == worker->rewind_capacity) {
        size_t capacity = worker->rewind_capacity ? 2 * worker->rewind_capacity : 16;
        weir_rewind *rewinds = weir_mem.realloc(worker->rewinds, capacity * sizeof *rewinds);
        if (!rewinds) {
            *status = WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for offsets");
            return;
        }
        worker->rewinds = rewinds;
        worker->rewind_capacity = capacity;
    }
    weir_rewind *rewind = &worker->rewinds[worker->rewind_count++];
    *rewind = (weir_rewind){.partition = partition, .offset = offset};
    (void)snprintf(rewind->topic, sizeof rewind->topic, "%s", topic);
}

static void add_rewinds(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err, weir_status *status) {
    for (size_t i = 0; i < count; i++) add_rewind(worker, records[i].topic, records[i].partition, records[i].offset, err, status);
}

/* Everything since the last checkpoint comes again, to a worker that has forgotten it. */
static weir_status rewind_progress(weir_worker *worker, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < worker->progress_count; i++)
        add_rewind(worker, worker->progress[i].topic, worker->progress[i].partition, worker->progress[i].first, err, &status);
    weir_worker_progress_forget(worker);
    weir_worker_settle_rejects(worker, false);
    worker->needs_reset = true;
    return status;
}

/* Seeks that fail stay on the list: nothing is resumed before they have succeeded. */
static void apply_rewinds(weir_worker *worker) {
    size_t left = 0;
    for (size_t i = 0; i < worker->rewind_count; i++) {
        weir_rewind *rewind = &worker->rewinds[i];
        weir_err err = {0};
        weir_status status = weir_consumer_seek(worker->consumer, rewind->topic, rewind->partition, rewind->offset, &err);
        if (!status || status == WEIR_ENOTFOUND) continue;
        weir_log_err(WEIR_LOG_WARN, "seeking back failed", &err);
        worker->rewinds[left++] = *rewind;
    }
    worker->rewind_count = left;
}

static void begin_retry(weir_worker *worker, const weir_err *why) {
    worker->backoff_us = !worker->backoff_us ? BACKOFF_FIRST_US : worker->backoff_us >= BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : 2 * worker->backoff_us;
    worker->resume_us = weir_clock_mono_us(worker->env->clock) + worker->backoff_us;
    worker->retrying = true;
    weir_metric_add(worker->metric_retries, 1);
    weir_log_err(WEIR_LOG_WARN, "will try again", why);
    weir_err err = {0};
    if (weir_consumer_pause_all(worker->consumer, &err)) weir_log_err(WEIR_LOG_WARN, "pausing failed", &err);
    apply_rewinds(worker);
}

static bool was_away(const weir_worker *worker, int64_t now_us) {
    return now_us - worker->alive_us > WEIR_WORKER_AWAY_MS * INT64_C(1000);
}

/* A process that runs sends heartbeats, on a thread of librdkafka's. One that was stopped finds records that it had fetched before, and hears only later that it is no member any more. */
static weir_status poll_records(weir_worker *worker, int timeout_ms, size_t *ret_count, weir_err *err) {
    int64_t now_us = weir_clock_mono_us(worker->env->clock);
    if (!was_away(worker, now_us)) worker->alive_us = now_us;
    return weir_consumer_poll(worker->consumer, worker->batch, worker->batch_max, timeout_ms, ret_count, err);
}

weir_status weir_worker_confirm(weir_worker *worker, const weir_bus_record *first, weir_err *err) {
    int64_t now_us = weir_clock_mono_us(worker->env->clock);
    if (!was_away(worker, now_us)) return WEIR_OK;
    weir_status status = weir_consumer_confirm(worker->consumer, first, err);
    if (!status) worker->alive_us = now_us;
    return status;
}

/* One step of waiting. Nothing is handed out while paused, but callbacks run. */
static weir_status wait_step(weir_worker *worker, weir_err *err) {
    size_t count = 0;
    weir_status status = poll_records(worker, 0, &count, err);
    weir_err drop = {0};
    add_rewinds(worker, worker->batch, count, &drop, &status); /* a partition whose pausing failed */
    weir_consumer_release(worker->consumer, worker->batch, count);
    if (status && (!err || err->action == WEIR_ACTION_FATAL)) return status;
    int64_t left_us = worker->resume_us - weir_clock_mono_us(worker->env->clock);
    if (left_us > 0) {
        weir_clock_sleep_us(worker->env->clock, left_us < BACKOFF_STEP_US ? left_us : BACKOFF_STEP_US);
        return WEIR_OK;
    }
    if (worker->needs_reset) {
        if ((status = worker->ops->reset(worker->context, err))) {
            if (err->action != WEIR_ACTION_RETRY) return status;
            begin_retry(worker, err);
            return WEIR_OK;
        }
        worker->needs_reset = false;
    }
    apply_rewinds(worker);
    if (worker->rewind_count || weir_consumer_resume_all(worker->consumer, err)) {
        weir_err why = {0};
        (void)WEIR_RETRY(&why, WEIR_ENET, "the consumer could not go back");
        begin_retry(worker, &why);
        return WEIR_OK;
    }
    worker->retrying = false;
    return WEIR_OK;
}

/* ---- batches ---- */

/* Next offset of each partition: the batch holds each partition's records in order, so the last one of each says it. */
static weir_status store_offsets(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err) {
    for (size_t i = 0; i < count; i++) {
        const weir_bus_record *r = &records[i];
        bool last = true;
        for (size_t k = i + 1; k < count && last; k++) last = records[k].partition != r->partition || records[k].topic != r->topic;
        if (!last) continue;
        weir_status status = weir_consumer_store(worker->consumer, r->topic, r->partition, r->offset + 1, err);
        if (status) return status;
        weir_worker_lag_note(worker, r->topic, r->partition, r->timestamp_ms);
    }
    return WEIR_OK;
}

/* The part of a batch that comes before its checkpoint. */
static weir_status handle_begun(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err) {
    int64_t start_us = weir_clock_mono_us(worker->env->clock);
    weir_arena_reset(&worker->scratch);
    weir_status status = weir_worker_progress_note(worker, records, count, err);
    if (!status) status = worker->ops->batch(worker->context, records, count, err);
    if (!status) weir_metric_observe(worker->metric_batch_seconds, (double)(weir_clock_mono_us(worker->env->clock) - start_us) / 1e6);
    return status;
}

static weir_status handle(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err) {
    if (worker->ops->checkpoint) return handle_begun(worker, records, count, err);
    int64_t start_us = weir_clock_mono_us(worker->env->clock);
    weir_arena_reset(&worker->scratch);
    weir_status status = worker->ops->batch(worker->context, records, count, err);
    if (!status) status = weir_producer_flush(worker->producer, FLUSH_TIMEOUT_MS, err);
    if (!status) status = store_offsets(worker, records, count, err);
    weir_worker_settle_rejects(worker, !status);
    if (status) return status;
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && records[i].topic_index == records[first].topic_index) i++;
        weir_metric_add(worker->records_total[records[first].topic_index], (double)(i - first));
    }
    weir_metric_observe(worker->metric_batch_seconds, (double)(weir_clock_mono_us(worker->env->clock) - start_us) / 1e6);
    return WEIR_OK;
}

/* A batch function that returns REJECT blames one record without saying which: alone, each is either handled or goes to the dead letters. */
static weir_status handle_one_by_one(weir_worker *worker, const weir_bus_record *records, size_t count, size_t *ret_done, weir_err *err) {
    for (*ret_done = 0; *ret_done < count; ++*ret_done) {
        const weir_bus_record *record = &records[*ret_done];
        weir_status status = handle(worker, record, 1, err);
        if (status && err->action == WEIR_ACTION_REJECT) {
            weir_err why = *err;
            status = weir_worker_reject(worker, record, weir_status_name(why.code), &why, err);
            if (!status) status = weir_producer_flush(worker->producer, FLUSH_TIMEOUT_MS, err);
            if (!status) status = store_offsets(worker, record, 1, err);
            weir_worker_settle_rejects(worker, !status);
        }
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status batch_step(weir_worker *worker, int timeout_ms, weir_err *err) {
    size_t count = 0, done = 0;
    weir_status status = poll_records(worker, timeout_ms, &count, err);
    if (!status && count) {
        status = handle(worker, worker->batch, count, err);
        if (!status && count < worker->batch_max) weir_producer_push(worker->producer); /* there are no more for now */
        if (status && err->action == WEIR_ACTION_REJECT && !worker->ops->checkpoint) status = handle_one_by_one(worker, worker->batch, count, &done, err);
        if (!status) worker->backoff_us = 0;
    }
    bool again = status && err->action == WEIR_ACTION_RETRY;
    weir_err failed = {0};
    weir_status remembered = WEIR_OK;
    if (again && worker->ops->checkpoint)
        remembered = rewind_progress(worker, &failed);
    else if (again)
        add_rewinds(worker, worker->batch + done, count - done, &failed, &remembered);
    weir_consumer_release(worker->consumer, worker->batch, count);
    if (remembered) {
        *err = failed;
        return remembered;
    }
    if (!again) return status;
    begin_retry(worker, err);
    return WEIR_OK;
}

static weir_status checkpoint_step(weir_worker *worker, weir_err *err) {
    if (!worker->ops->checkpoint || worker->retrying || !weir_worker_checkpoint_due(worker)) return WEIR_OK;
    weir_status status = weir_worker_checkpoint(worker, err);
    if (!status || err->action != WEIR_ACTION_RETRY) return status;
    weir_err why = *err;
    if ((status = rewind_progress(worker, err))) return status;
    begin_retry(worker, &why);
    return WEIR_OK;
}

/* ---- the loop ---- */

static weir_status tick_step(weir_worker *worker, bool after_batch, weir_err *err) {
    int64_t now_us = weir_clock_mono_us(worker->env->clock);
    if (worker->consumer && now_us >= worker->lag_due_us) {
        weir_worker_lag_publish(worker);
        worker->lag_due_us = now_us + LAG_EVERY_US;
    }
    bool due = now_us >= worker->tick_due_us;
    if (!worker->ops->tick || (!due && (!after_batch || worker->tick_backoff_us))) return WEIR_OK;
    int64_t every_us = (worker->ops->tick_ms > 0 ? worker->ops->tick_ms : DEFAULT_TICK_MS) * INT64_C(1000);
    weir_status status = worker->ops->tick(worker->context, now_us, err);
    if (!status && !worker->ops->checkpoint) status = weir_producer_flush(worker->producer, FLUSH_TIMEOUT_MS, err);
    if (!status) {
        worker->tick_backoff_us = 0;
        worker->tick_due_us = now_us + every_us;
        return WEIR_OK;
    }
    if (err->action == WEIR_ACTION_FATAL) return status;
    weir_log_err(WEIR_LOG_WARN, "tick will try again", err);
    weir_metric_add(worker->metric_retries, 1);
    worker->tick_backoff_us = !worker->tick_backoff_us                         ? BACKOFF_FIRST_US
                              : worker->tick_backoff_us >= BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US
                                                                               : 2 * worker->tick_backoff_us;
    worker->tick_due_us = now_us + worker->tick_backoff_us;
    return WEIR_OK;
}

/* How long the loop may wait for records: not past the next tick. */
static int wait_ms(const weir_worker *worker) {
    int64_t most = worker->env->poll_ms > 0 ? worker->env->poll_ms : DEFAULT_POLL_MS;
    if (!worker->ops->tick) return (int)most;
    int64_t left = (worker->tick_due_us - weir_clock_mono_us(worker->env->clock)) / 1000;
    return (int)(left < 0 ? 0 : left < most ? left : most);
}

static weir_status loop(weir_worker *worker, weir_err *err) {
    while (!weir_worker_stopping(worker)) {
        weir_status status = WEIR_OK;
        bool worked = false;
        update_ready(worker);
        if (!worker->consumer) {
            weir_clock_sleep_us(worker->env->clock, (wait_ms(worker) + 1) * INT64_C(1000));
        } else if (worker->retrying) {
            status = wait_step(worker, err);
        } else {
            status = batch_step(worker, wait_ms(worker), err);
            worked = true;
        }
        if (!status) status = checkpoint_step(worker, err);
        if (!status) status = tick_step(worker, worked, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static void undo_init(weir_worker *worker) {
    if (worker->ops->done) worker->ops->done(worker->context);
    worker->context = NULL;
    forget_topics(worker);
}

/* Until it succeeds, stop is asked for, or it fails for good. */
static weir_status init(weir_worker *worker, weir_err *err) {
    for (int64_t backoff_us = BACKOFF_FIRST_US; !weir_worker_stopping(worker);
         backoff_us = backoff_us >= BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : 2 * backoff_us) {
        weir_status status = worker->ops->init(worker, &worker->context, err);
        if (!status && worker->topic_count) {
            char group[2 * WEIR_WORKER_NAME_MAX];
            (void)snprintf(group, sizeof group, "weir.%s.%s", worker->ops->name, worker->pipeline);
            status = weir_consumer_new(worker->env->brokers, group, (const char *const *)worker->topics, worker->topic_count,
                                       &(weir_consumer_events){on_assigned, on_revoked, worker}, &worker->consumer, err);
        }
        if (!status) {
            worker->initialised = true;
            return WEIR_OK;
        }
        undo_init(worker);
        if (err->action != WEIR_ACTION_RETRY) return status;
        weir_log_err(WEIR_LOG_WARN, "cannot start yet, will try again", err);
        for (int64_t slept_us = 0; slept_us < backoff_us && !weir_worker_stopping(worker); slept_us += BACKOFF_STEP_US)
            weir_clock_sleep_us(worker->env->clock, BACKOFF_STEP_US);
    }
    return WEIR_OK;
}

/* Everything that was handled is flushed and stored already, or is so with a last checkpoint; what is left is the last commit. */
static void close_bus(weir_worker *worker, bool failed) {
    weir_err err = {0};
    if (worker->consumer && !failed && worker->progress_count && weir_worker_checkpoint(worker, &err))
        weir_log_err(WEIR_LOG_WARN, "last checkpoint failed; records will be handled again", &err);
    weir_worker_progress_forget(worker);
    if (worker->consumer && weir_consumer_commit(worker->consumer, &err))
        weir_log_err(WEIR_LOG_WARN, "last commit failed; records will be handled again", &err);
    weir_consumer_free(worker->consumer);
    worker->consumer = NULL;
    int drain_ms = worker->env->drain_ms > 0 ? worker->env->drain_ms : DEFAULT_DRAIN_MS;
    if (worker->producer && weir_producer_flush(worker->producer, drain_ms, &err)) weir_log_err(WEIR_LOG_WARN, "last flush failed", &err);
}

weir_status weir_worker_run(weir_worker *worker, weir_err *err) {
    weir_err local = {0};
    if (!err) err = &local;
    weir_log_context((const weir_log_field[]){WEIR_S("worker", worker->ops->name), WEIR_S("pipeline", worker->pipeline)}, 2);
    char client_id[2 * WEIR_WORKER_NAME_MAX];
    (void)snprintf(client_id, sizeof client_id, "weir.%s.%s", worker->ops->name, worker->pipeline);
    weir_status status = weir_producer_new(worker->env->brokers, client_id, &worker->producer, err);
    if (!status) status = init(worker, err);
    if (!status && worker->initialised) status = loop(worker, err);
    if (status) weir_log_err(WEIR_LOG_ERROR, "worker failed", err);
    worker->initialised = false;
    update_ready(worker);
    close_bus(worker, status != WEIR_OK);
    undo_init(worker);
    weir_producer_free(worker->producer);
    worker->producer = NULL;
    weir_worker_lag_clear(worker);
    return status;
}
