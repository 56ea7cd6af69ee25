/* The one loop. A worker runs on one thread:
 *
 *   init (again and again while it says RETRY) → join the group → ┌ poll ─> batch ─> flush ─> store offsets ┐ → commit, leave the group → done
 *                                                                 └──────── tick <──────────────────────────┘
 *
 * A batch that says RETRY is given back: seek to the first record of each partition, pause, go on polling (so that the group keeps us) until the back-off is over. */
#include "core/worker.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metrics.h"

enum { FLUSH_TIMEOUT_MS = 30000, TICK_MS = 100, SCRATCH_BYTES_MAX = 1 << 30, TOPICS_MAX = 64, LAGS_MAX = 4096, HEADERS_MAX = 64, NAP_MS = 50 };
#define BACKOFF_FIRST_US INT64_C(100000)
#define BACKOFF_LAST_US (10 * WEIR_SECOND_US)
#define LAG_EVERY_US (WEIR_SECOND_US / 2)

/* What is shown of one held partition. */
typedef struct lag {
    int topic_index;
    int32_t partition;
    bool held;
    int64_t timestamp_ms; /* of the record handled last; 0: none */
    weir_metric *records, *seconds;
} lag;

/* Waits that grow while something keeps failing. */
typedef struct backoff {
    int64_t wait_us, until_us; /* until_us 0: nothing has failed */
} backoff;

struct weir_worker {
    const weir_worker_ops *ops;
    const weir_worker_env *env;
    char *pipeline, *group, *deadletter;
    void *setup, *context;
    char *topics[TOPICS_MAX];
    size_t topic_count;
    weir_metric *records_total[TOPICS_MAX], *batch_seconds, *retries_total, *ready_gauge;
    weir_producer *producer;
    weir_consumer *consumer;
    weir_bus_record *records; /* [batch_max] */
    weir_arena scratch;
    lag *lags; /* [LAGS_MAX] */
    int lag_count;
    backoff batch_backoff, tick_backoff;
    bool paused, joined;
    int64_t tick_at_us, lag_at_us;
    _Atomic bool stop, ready;
};

/* ---- making ---- */

weir_status weir_worker_new(const weir_worker_ops *ops, const weir_worker_env *env, const char *pipeline, void *setup, weir_worker **ret_worker,
                            weir_err *err) {
    if (ops->abi != WEIR_WORKER_ABI) return WEIR_FAIL(err, WEIR_EINVAL, "worker %s has ABI %d, this program has %d", ops->name, ops->abi, WEIR_WORKER_ABI);
    weir_worker *w = calloc(1, sizeof *w);
    char group[256];
    snprintf(group, sizeof group, "weir.%s.%s", ops->name, pipeline);
    if (w) {
        w->ops = ops;
        w->env = env;
        w->setup = setup;
        w->pipeline = strdup(pipeline);
        w->group = strdup(group);
        w->records = calloc((size_t)env->batch_max, sizeof *w->records);
        w->lags = calloc(LAGS_MAX, sizeof *w->lags);
        weir_arena_init(&w->scratch, SCRATCH_BYTES_MAX);
    }
    if (!w || !w->pipeline || !w->group || !w->records || !w->lags) {
        weir_worker_free(w);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for worker %s", ops->name);
    }
    w->batch_seconds = WEIR_METRIC("weir_worker_batch_seconds", pipeline, ops->name);
    w->retries_total = WEIR_METRIC("weir_worker_retries_total", pipeline, ops->name);
    w->ready_gauge = WEIR_METRIC("weir_worker_ready", pipeline, ops->name);
    *ret_worker = w;
    return WEIR_OK;
}

static void forget_topics(weir_worker *w) {
    for (size_t i = 0; i < w->topic_count; i++) free(w->topics[i]);
    w->topic_count = 0;
    free(w->deadletter);
    w->deadletter = NULL;
}

void weir_worker_free(weir_worker *w) {
    if (!w) return;
    assert(!w->context && !w->consumer && "a worker is freed after its run");
    forget_topics(w);
    weir_arena_done(&w->scratch);
    free(w->lags);
    free(w->records);
    free(w->group);
    free(w->pipeline);
    free(w);
}

void weir_worker_stop(weir_worker *w) {
    w->stop = true;
}
bool weir_worker_stopping(const weir_worker *w) {
    return w->stop;
}
bool weir_worker_ready(const weir_worker *w) {
    return w->ready;
}
const weir_worker_env *weir_worker_env_of(const weir_worker *w) {
    return w->env;
}
const char *weir_worker_pipeline(const weir_worker *w) {
    return w->pipeline;
}
void *weir_worker_setup(const weir_worker *w) {
    return w->setup;
}
weir_producer *weir_worker_producer(weir_worker *w) {
    return w->producer;
}
weir_arena *weir_worker_scratch(weir_worker *w) {
    return &w->scratch;
}
weir_consumer *weir_worker_consumer(weir_worker *w) {
    return w->consumer;
}

weir_status weir_worker_subscribe(weir_worker *w, const char *const *topics, size_t count, weir_err *err) {
    if (w->topic_count + count > TOPICS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "a worker consumes at most %d topics", TOPICS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!(w->topics[w->topic_count] = strdup(topics[i]))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for topic names");
        w->records_total[w->topic_count++] = WEIR_METRIC("weir_worker_records_total", w->pipeline, w->ops->name, topics[i]);
    }
    return WEIR_OK;
}

void weir_worker_set_deadletter(weir_worker *w, const char *topic) {
    free(w->deadletter);
    w->deadletter = topic ? strdup(topic) : NULL;
}

/* ---- dead letters ---- */

static bool is_ours(const char *name) {
    static const char *const ours[] = {"weir.error.class",   "weir.error.message", "weir.source.topic",     "weir.source.partition",
                                       "weir.source.offset", "weir.source.key",    "weir.source.timestamp", "weir.attempt"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(name, ours[i])) return true;
    return false;
}

static int attempt_of(const weir_bus_record *record) {
    weir_bus_header header;
    char text[16] = "";
    if (!weir_bus_header_get(record, "weir.attempt", &header) || !header.len || header.len >= sizeof text) return 1;
    memcpy(text, header.value, header.len);
    int before = atoi(text);
    return before > 0 && before < 1000000 ? before + 1 : 1;
}

weir_status weir_worker_reject(weir_worker *w, const weir_bus_record *record, const char *error_class, const weir_err *why, weir_err *err) {
    if (!w->deadletter) return WEIR_FAIL(err, WEIR_EINTERNAL, "worker %s has no topic for rejected records: %s", w->ops->name, why->message);
    char partition[16], offset[24], timestamp[24], attempt[16];
    weir_bus_header headers[HEADERS_MAX] = {
        {"weir.error.class", error_class, strlen(error_class)},
        {"weir.error.message", why->message, strlen(why->message)},
        {"weir.source.topic", record->topic, strlen(record->topic)},
        {"weir.source.partition", partition, (size_t)snprintf(partition, sizeof partition, "%d", (int)record->partition)},
        {"weir.source.offset", offset, (size_t)snprintf(offset, sizeof offset, "%" PRId64, record->offset)},
        {"weir.source.timestamp", timestamp, (size_t)snprintf(timestamp, sizeof timestamp, "%" PRId64, record->timestamp_ms)},
        {"weir.attempt", attempt, (size_t)snprintf(attempt, sizeof attempt, "%d", attempt_of(record))},
    };
    size_t count = 7;
    weir_bus_header header;
    for (size_t i = 0; count < HEADERS_MAX && weir_bus_header_at(record, i, &header); i++)
        if (!is_ours(header.name)) headers[count++] = header;
    weir_metric_add(WEIR_METRIC("weir_worker_deadletters_total", w->pipeline, w->ops->name, record->topic, error_class), 1);
    return weir_producer_send(w->producer, w->deadletter, -1, record->key, record->key_len, record->value, record->value_len, headers, count, 0, err);
}

/* ---- waiting ---- */

static int64_t now_us(const weir_worker *w) {
    return weir_clock_mono_us(w->env->clock);
}

static void fall_back(const weir_worker *w, backoff *b) {
    b->wait_us = b->wait_us ? b->wait_us * 2 : BACKOFF_FIRST_US;
    if (b->wait_us > BACKOFF_LAST_US) b->wait_us = BACKOFF_LAST_US;
    b->until_us = now_us(w) + b->wait_us;
}

static void recover(backoff *b) {
    *b = (backoff){0};
}

/* Sleeps, but not past a stop. */
static void nap(const weir_worker *w, int64_t until_us) {
    for (int64_t left; !w->stop && (left = until_us - now_us(w)) > 0;) weir_clock_sleep_us(w->env->clock, left < NAP_MS * 1000 ? left : NAP_MS * 1000);
}

static void show_ready(weir_worker *w) {
    bool ready = w->context && !w->stop && (!w->topic_count || w->joined) && !w->batch_backoff.until_us && !w->tick_backoff.until_us;
    w->ready = ready;
    weir_metric_set(w->ready_gauge, ready);
}

/* RETRY: logged, waited for. FATAL (and REJECT, which nobody may return from here): the worker's end. */
static weir_status may_retry(weir_worker *w, backoff *b, const char *what, weir_status status, const weir_err *why, weir_err *err) {
    if (why->action != WEIR_ACTION_RETRY) {
        if (err) *err = *why;
        return status;
    }
    weir_metric_add(w->retries_total, 1);
    fall_back(w, b);
    weir_log_err(WEIR_LOG_WARN, what, why);
    show_ready(w);
    return WEIR_OK;
}

/* ---- lag ---- */

static lag *lag_of(weir_worker *w, int topic_index, int32_t partition) {
    for (int i = 0; i < w->lag_count; i++)
        if (w->lags[i].partition == partition && w->lags[i].topic_index == topic_index) return &w->lags[i];
    if (w->lag_count == LAGS_MAX || topic_index < 0) return NULL;
    char number[16];
    snprintf(number, sizeof number, "%d", (int)partition);
    lag *l = &w->lags[w->lag_count++];
    *l = (lag){.topic_index = topic_index, .partition = partition};
    l->records = WEIR_METRIC("weir_worker_lag_records", w->pipeline, w->ops->name, w->topics[topic_index], number);
    l->seconds = WEIR_METRIC("weir_worker_lag_seconds", w->pipeline, w->ops->name, w->topics[topic_index], number);
    return l;
}

static void hide_lags(weir_worker *w) {
    for (int i = 0; i < w->lag_count; i++) {
        weir_metric_hide(w->lags[i].records);
        weir_metric_hide(w->lags[i].seconds);
        w->lags[i].timestamp_ms = 0;
    }
}

static void show_lags(weir_worker *w) {
    int64_t mono_us = now_us(w);
    if (mono_us < w->lag_at_us) return;
    w->lag_at_us = mono_us + LAG_EVERY_US;
    weir_partition held[256];
    size_t count = weir_consumer_assignment(w->consumer, held, sizeof held / sizeof *held);
    for (size_t i = 0; i < count && i < sizeof held / sizeof *held; i++) {
        int64_t end = weir_consumer_end_cached(w->consumer, held[i].topic, held[i].partition);
        lag *l = lag_of(w, held[i].topic_index, held[i].partition);
        if (!l || end < 0 || held[i].offset < 0) continue;
        int64_t behind = end > held[i].offset ? end - held[i].offset : 0;
        weir_metric_set(l->records, (double)behind);
        weir_metric_set(l->seconds, behind && l->timestamp_ms ? (double)(weir_clock_wall_us(w->env->clock) / 1000 - l->timestamp_ms) / 1e3 : 0);
    }
}

/* ---- a batch ---- */

/* After the last record of each run of a partition; within a partition records come in order, so the last call has the largest offset. */
static weir_status store_offsets(weir_worker *w, size_t count, weir_err *err) {
    for (size_t i = 0; i < count; i++) {
        const weir_bus_record *r = &w->records[i], *next = i + 1 < count ? r + 1 : NULL;
        weir_metric_add(w->records_total[r->topic_index], 1);
        if (next && next->topic_index == r->topic_index && next->partition == r->partition) continue;
        lag *l = lag_of(w, r->topic_index, r->partition);
        if (l) l->timestamp_ms = r->timestamp_ms;
        weir_status status = weir_consumer_store(w->consumer, r->topic, r->partition, r->offset + 1, err);
        if (status) return status;
    }
    return WEIR_OK;
}

/* Back to the first record of each partition: going from the last record to the first, the earliest seek is the one that stays. */
static weir_status give_back(weir_worker *w, size_t count, weir_err *err) {
    weir_status status = weir_consumer_pause_all(w->consumer, err);
    if (status) return status;
    w->paused = true;
    for (size_t i = count; i-- > 0;) {
        const weir_bus_record *r = &w->records[i];
        if (i && w->records[i - 1].topic_index == r->topic_index && w->records[i - 1].partition == r->partition) continue;
        if ((status = weir_consumer_seek(w->consumer, r->topic, r->partition, r->offset, err))) return status;
    }
    return WEIR_OK;
}

static weir_status handle_batch(weir_worker *w, size_t count, weir_err *err) {
    weir_err why = {0};
    int64_t start = now_us(w);
    weir_arena_reset(&w->scratch);
    weir_status status = w->ops->batch(w->context, w->records, count, &why);
    if (!status) status = weir_producer_flush(w->producer, FLUSH_TIMEOUT_MS, &why);
    if (!status) status = store_offsets(w, count, &why);
    if (!status) {
        recover(&w->batch_backoff);
        weir_metric_observe(w->batch_seconds, (double)(now_us(w) - start) / 1e6);
        return WEIR_OK;
    }
    if ((status = may_retry(w, &w->batch_backoff, "a batch failed and will be tried again", status, &why, err))) return status;
    return give_back(w, count, err);
}

/* One turn: resume when the back-off is over, poll, handle. */
static weir_status turn(weir_worker *w, weir_err *err) {
    weir_err why = {0};
    size_t count = 0;
    int wait_ms = w->env->poll_ms;
    if (w->paused) {
        if (now_us(w) >= w->batch_backoff.until_us) {
            weir_status status = weir_consumer_resume_all(w->consumer, &why);
            if (status) return may_retry(w, &w->batch_backoff, "the partitions could not be resumed", status, &why, err);
            w->paused = false;
        } else {
            wait_ms = NAP_MS;
        }
    }
    weir_status status = weir_consumer_poll(w->consumer, w->records, (size_t)w->env->batch_max, wait_ms, &count, &why);
    if (status) {
        weir_consumer_release(w->consumer, w->records, count);
        status = may_retry(w, &w->batch_backoff, "polling failed and will be tried again", status, &why, err);
        if (!status && !w->paused) nap(w, w->batch_backoff.until_us);
        return status;
    }
    if (count)
        status = handle_batch(w, count, err);
    else if (!w->paused && w->batch_backoff.until_us && w->joined)
        recover(&w->batch_backoff); /* a poll that failed works again, and there is nothing to do */
    weir_consumer_release(w->consumer, w->records, count);
    if (!status) show_lags(w);
    return status;
}

static weir_status run_tick(weir_worker *w, bool handled, weir_err *err) {
    int64_t mono_us = now_us(w);
    if (!w->ops->tick || mono_us < w->tick_backoff.until_us || (!handled && mono_us < w->tick_at_us)) return WEIR_OK;
    w->tick_at_us = mono_us + 1000 * (w->ops->tick_ms ? w->ops->tick_ms : TICK_MS);
    weir_err why = {0};
    weir_status status = w->ops->tick(w->context, mono_us, &why);
    if (status) return may_retry(w, &w->tick_backoff, "a timer failed and will be tried again", status, &why, err);
    recover(&w->tick_backoff);
    return WEIR_OK;
}

/* ---- life ---- */

static weir_status on_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    weir_worker *w = context;
    weir_status status = w->ops->assigned ? w->ops->assigned(w->context, partitions, count, err) : WEIR_OK;
    if (status) return status;
    w->joined = true;
    WEIR_INFO("partitions assigned", WEIR_I("count", (int64_t)count));
    return WEIR_OK;
}

static weir_status on_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    weir_worker *w = context;
    w->joined = false;
    hide_lags(w);
    WEIR_INFO(lost ? "partitions lost" : "partitions revoked", WEIR_I("count", (int64_t)count));
    return w->ops->revoked ? w->ops->revoked(w->context, partitions, count, lost, err) : WEIR_OK;
}

/* init and the consumer, again and again while what they need is away. */
static weir_status begin(weir_worker *w, weir_err *err) {
    backoff b = {0};
    while (!w->stop) {
        weir_err why = {0};
        const weir_consumer_events events = {.assigned = on_assigned, .revoked = on_revoked, .context = w};
        weir_status status = w->producer ? WEIR_OK : weir_producer_new(w->env->brokers, w->group, &w->producer, &why);
        if (!status) status = w->ops->init(w, &w->context, &why);
        if (!status && w->topic_count)
            status = weir_consumer_new(w->env->brokers, w->group, (const char *const *)w->topics, w->topic_count, &events, &w->consumer, &why);
        if (!status) return WEIR_OK;
        w->ops->done(w->context);
        w->context = NULL;
        forget_topics(w);
        if ((status = may_retry(w, &b, "start failed and will be tried again", status, &why, err))) return status;
        nap(w, b.until_us);
    }
    return WEIR_OK;
}

/* Offsets first, then the group (which calls revoked), then the worker's own. */
static weir_status end(weir_worker *w, weir_status status, weir_err *err) {
    w->ready = false;
    weir_metric_set(w->ready_gauge, 0);
    if (w->consumer) {
        weir_err why = {0};
        if (weir_consumer_commit(w->consumer, &why))
            weir_log_err(WEIR_LOG_WARN, "the last offsets could not be committed; their records will come again", &why);
        weir_consumer_free(w->consumer);
        w->consumer = NULL;
    }
    if (!status && w->producer) status = weir_producer_flush(w->producer, w->env->drain_ms, err);
    w->ops->done(w->context);
    w->context = NULL;
    weir_producer_free(w->producer);
    w->producer = NULL;
    return status;
}

weir_status weir_worker_run(weir_worker *w, weir_err *err) {
    const weir_log_field fields[] = {WEIR_S("worker", w->ops->name), WEIR_S("pipeline", w->pipeline)};
    weir_log_context(fields, 2);
    weir_status status = begin(w, err);
    if (!status && w->context) WEIR_INFO("started");
    while (!status && !w->stop) {
        bool handled = false;
        if (w->consumer) {
            double before = weir_metric_value(w->batch_seconds);
            status = turn(w, err);
            handled = weir_metric_value(w->batch_seconds) != before;
        } else {
            nap(w, w->tick_at_us);
        }
        if (!status) status = run_tick(w, handled, err);
        show_ready(w);
    }
    status = end(w, status, err);
    if (status)
        weir_log_err(WEIR_LOG_ERROR, "stopped by a failure", err);
    else
        WEIR_INFO("stopped");
    return status;
}

/* ---- several workers ---- */

typedef struct crew_member {
    weir_worker *worker;
    pthread_t thread;
    bool started;
    _Atomic bool ended;
    weir_status status;
    weir_err err;
} crew_member;

typedef struct crew {
    crew_member *members;
    size_t count;
} crew;

static void *run_member(void *context) {
    crew_member *m = context;
    m->status = weir_worker_run(m->worker, &m->err);
    m->ended = true;
    return NULL;
}

static void answer_healthz(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    if (!weir_buf_printf(&response->body, "{\"status\":\"ok\"}")) response->status = 500;
}

static void answer_readyz(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request;
    const crew *c = context;
    bool all = true, ok = weir_buf_printf(&response->body, "{\"workers\":{");
    for (size_t i = 0; ok && i < c->count; i++) {
        bool ready = weir_worker_ready(c->members[i].worker);
        all = all && ready;
        ok = weir_buf_printf(&response->body, "%s\"%s\":%s", i ? "," : "", c->members[i].worker->ops->name, ready ? "true" : "false");
    }
    ok = ok && weir_buf_printf(&response->body, "},\"ready\":%s}", all ? "true" : "false");
    response->status = !ok ? 500 : all ? 200 : 503;
}

static weir_status add_health_routes(weir_http_server *http, crew *c, weir_err *err) {
    if (!http) return WEIR_OK;
    const weir_http_route healthz = {"GET", "/healthz", answer_healthz, c}, readyz = {"GET", "/readyz", answer_readyz, c};
    weir_status status = weir_http_server_route(http, &healthz, err);
    return status ? status : weir_http_server_route(http, &readyz, err);
}

/* Until a signal comes or a member ends. */
static void wait_for_end(const crew *c, const sigset_t *signals) {
    for (;;) {
        const struct timespec pause = {0, 100000000};
        if (sigtimedwait(signals, NULL, &pause) > 0) return;
        for (size_t i = 0; i < c->count; i++)
            if (c->members[i].ended) return;
    }
}

/* In reverse order. Everything is safe against being killed, so a worker that does not finish in time is left to that. */
static void stop_members(crew *c, const weir_worker_env *env) {
    int64_t deadline_us = weir_clock_mono_us(weir_clock_system()) + 1000 * (int64_t)(env->drain_ms + FLUSH_TIMEOUT_MS);
    for (size_t i = c->count; i-- > 0;) {
        crew_member *m = &c->members[i];
        if (!m->started) continue;
        weir_worker_stop(m->worker);
        while (!m->ended && weir_clock_mono_us(weir_clock_system()) < deadline_us) usleep(2000);
        if (!m->ended) {
            WEIR_ERROR("a worker did not stop in time; what it had not finished will be done again", WEIR_S("worker", m->worker->ops->name));
            _exit(3);
        }
        pthread_join(m->thread, NULL);
        m->started = false;
    }
}

weir_status weir_workers_run(weir_worker *const *workers, size_t count, weir_err *err) {
    crew c = {.members = calloc(count + 1, sizeof *c.members), .count = count};
    if (!c.members) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu workers", count);
    for (size_t i = 0; i < count; i++) c.members[i].worker = workers[i];
    const weir_worker_env *env = workers[0]->env;
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, &before); /* inherited by every thread from here on */
    weir_status status = add_health_routes(env->http, &c, err);
    for (size_t i = 0; !status && i < count; i++) {
        if (pthread_create(&c.members[i].thread, NULL, run_member, &c.members[i]))
            status = WEIR_FAIL(err, WEIR_ELIMIT, "cannot start a thread for worker %s: %s", workers[i]->ops->name, strerror(errno));
        else
            c.members[i].started = true;
    }
    if (!status) wait_for_end(&c, &signals);
    stop_members(&c, env);
    for (size_t i = 0; !status && i < count; i++) {
        status = c.members[i].status;
        if (status && err) *err = c.members[i].err;
    }
    if (env->http) weir_http_server_unroute(env->http, &c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(c.members);
    return status;
}
