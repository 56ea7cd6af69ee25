/* The workers of a process: a thread each, signals, health over HTTP, and an end with a deadline. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/worker_internal.h"

enum { WATCH_MS = 100, CLOSE_GRACE_MS = 15000, DRAIN_MS = 10000 };

typedef struct run {
    weir_worker *worker;
    pthread_t thread;
    bool started, joined;
    _Atomic bool ended;
    weir_status status;
    weir_err err;
} run;

typedef struct group {
    run *runs;
    size_t count;
} group;

static void *run_thread(void *context) {
    run *r = context;
    r->status = weir_worker_run(r->worker, &r->err);
    atomic_store(&r->ended, true);
    return NULL;
}

static void answer_health(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    if (!weir_buf_printf(&response->body, "{\"status\":\"ok\"}\n")) response->status = 500;
}

static void answer_ready(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request;
    const group *g = context;
    bool all = true, ok = true;
    for (size_t i = 0; i < g->count; i++) all = all && weir_worker_ready(g->runs[i].worker);
    response->status = all ? 200 : 503;
    ok = weir_buf_printf(&response->body, "{\"status\":\"%s\",\"workers\":{", all ? "ready" : "not ready");
    for (size_t i = 0; ok && i < g->count; i++) {
        const weir_worker *w = g->runs[i].worker;
        ok = weir_buf_printf(&response->body, "%s\"", i ? "," : "") && weir_buf_json_escape(&response->body, w->pipeline, strlen(w->pipeline)) &&
             weir_buf_printf(&response->body, "/%s\":%s", w->ops->name, weir_worker_ready(w) ? "true" : "false");
    }
    if (!ok || !weir_buf_printf(&response->body, "}}\n")) response->status = 500;
}

static weir_status serve_health(weir_http_server *http, group *g, weir_err *err) {
    if (!http) return WEIR_OK;
    weir_status status = weir_http_server_route(http, &(weir_http_route){"GET", "/healthz", answer_health, g}, err);
    return status ? status : weir_http_server_route(http, &(weir_http_route){"GET", "/readyz", answer_ready, g}, err);
}

static bool any_ended(const group *g) {
    for (size_t i = 0; i < g->count; i++)
        if (atomic_load(&g->runs[i].ended)) return true;
    return false;
}

/* A signal to the process goes to any thread that does not block it, and threads of libraries that are older than the workers may not. */
static _Atomic int signal_seen;

static void note_signal(int number) {
    atomic_store(&signal_seen, number);
}

/* What the process did about signals before. */
typedef struct signals {
    sigset_t wanted, mask;
    struct sigaction term, interrupt;
} signals;

static void take_signals(signals *s) {
    struct sigaction note = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&s->wanted);
    (void)sigaddset(&s->wanted, SIGTERM);
    (void)sigaddset(&s->wanted, SIGINT);
    atomic_store(&signal_seen, 0);
    (void)pthread_sigmask(SIG_BLOCK, &s->wanted, &s->mask);
    (void)sigaction(SIGTERM, &note, &s->term);
    (void)sigaction(SIGINT, &note, &s->interrupt);
}

/* A second signal that came while draining has had its effect; let through now, it would kill the process at its clean end. */
static void give_signals_back(const signals *s) {
    const struct timespec now = {0};
    while (sigtimedwait(&s->wanted, NULL, &now) > 0) continue;
    (void)sigaction(SIGTERM, &s->term, NULL);
    (void)sigaction(SIGINT, &s->interrupt, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

/* Returns when a signal came or a worker ended. */
static void watch(const group *g, const signals *s) {
    const struct timespec step = {.tv_nsec = WATCH_MS * 1000000L};
    while (!any_ended(g)) {
        int number = sigtimedwait(&s->wanted, NULL, &step);
        if (number <= 0) number = atomic_load(&signal_seen);
        if (number <= 0) continue;
        WEIR_INFO("stopping", WEIR_S("signal", strsignal(number)));
        return;
    }
}

static weir_status join_until(run *r, const struct timespec *deadline, weir_err *err) {
    if (pthread_timedjoin_np(r->thread, NULL, deadline)) {
        /* It is stuck in a call; the process is about to end, and what it held is not durable, so it will be done again. */
        (void)pthread_detach(r->thread);
        r->worker->abandoned = true;
        return WEIR_FAIL(err, WEIR_ETIMEOUT, "worker %s of %s did not stop in time", r->worker->ops->name, r->worker->pipeline);
    }
    r->joined = true;
    if (r->status && err) *err = r->err;
    return r->status;
}

/* All are told at once, the last first, and have the same deadline. */
static weir_status stop_all(group *g, int drain_ms, weir_err *err) {
    weir_status first = WEIR_OK;
    for (size_t i = g->count; i-- > 0;) weir_worker_stop(g->runs[i].worker);
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += (drain_ms + CLOSE_GRACE_MS) / 1000;
    for (int ended = 1; ended >= 0; ended--) {
        /* Those that ended by themselves come first: their error is the cause. */
        for (size_t i = g->count; i-- > 0;) {
            run *r = &g->runs[i];
            if (!r->started || r->joined || (ended && !atomic_load(&r->ended))) continue;
            weir_err failed = {0};
            weir_status status = join_until(r, &deadline, &failed);
            if (!status || first) continue;
            first = status;
            if (err) *err = failed;
        }
    }
    return first;
}

weir_status weir_workers_run(weir_worker *const *workers, size_t count, weir_err *err) {
    if (!count) return WEIR_OK;
    const weir_worker_env *env = workers[0]->env;
    group g = {.runs = weir_mem.realloc(NULL, count * sizeof *g.runs), .count = count};
    if (!g.runs) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for workers");
    memset(g.runs, 0, count * sizeof *g.runs);
    for (size_t i = 0; i < count; i++) g.runs[i].worker = workers[i];
    signals taken;
    take_signals(&taken);
    weir_status status = serve_health(env->http, &g, err);
    for (size_t i = 0; !status && i < count; i++) {
        int failed = pthread_create(&g.runs[i].thread, NULL, run_thread, &g.runs[i]);
        g.runs[i].started = !failed;
        if (failed) status = WEIR_FAIL(err, WEIR_EINTERNAL, "no thread for worker %s: %s", workers[i]->ops->name, strerror(failed));
    }
    if (!status) watch(&g, &taken);
    weir_err stop_err = {0};
    weir_status stopped = stop_all(&g, env->drain_ms > 0 ? env->drain_ms : DRAIN_MS, &stop_err);
    if (!status && stopped) {
        status = stopped;
        if (err) *err = stop_err;
    }
    if (env->http) weir_http_server_unroute(env->http, &g);
    /* A thread that is still stuck uses its run until the process ends. */
    bool all_joined = true;
    for (size_t i = 0; i < count; i++) all_joined = all_joined && (!g.runs[i].started || g.runs[i].joined);
    if (all_joined) (void)weir_mem.realloc(g.runs, 0);
    give_signals_back(&taken);
    return status;
}
