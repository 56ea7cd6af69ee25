/* The workers of a process: a thread each, signals, health over HTTP, and an end with a deadline. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
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
    for (size_t i = 0; i < g->count; i++) all = all && (g->runs[i].worker->ops->is_aside || weir_worker_ready(g->runs[i].worker));
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

/* A handler, because blocking the signals is not enough: libraries have threads of their own (OpenBLAS from before main on, microhttpd) that do not block them, and a
 * signal that the process gets while nobody waits for it would go to one of those and end everything at once. */
static sem_t signalled;
static atomic_int signal_number; /* lock-free, so a handler may; another thread reads it than runs the handler */

static void on_signal(int number) {
    int saved = errno;
    signal_number = number;
    (void)sem_post(&signalled);
    errno = saved;
}

typedef struct signal_state {
    struct sigaction term, interrupt;
} signal_state;

static void take_signals(signal_state *before) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    atomic_store(&signal_number, 0);
    (void)sem_init(&signalled, 0, 0);
    (void)sigaction(SIGTERM, &action, &before->term);
    (void)sigaction(SIGINT, &action, &before->interrupt);
}

static void give_signals_back(const signal_state *before) {
    (void)sigaction(SIGTERM, &before->term, NULL);
    (void)sigaction(SIGINT, &before->interrupt, NULL);
}

/* Returns when a signal came or a worker ended. */
static void watch(const group *g) {
    while (!any_ended(g) && !signal_number) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)sem_clockwait(&signalled, CLOCK_MONOTONIC, &until);
    }
    if (signal_number) WEIR_INFO("stopping", WEIR_S("signal", strsignal(signal_number)));
}

static weir_status join_until(run *r, const struct timespec *deadline, weir_err *err) {
    if (pthread_timedjoin_np(r->thread, NULL, deadline)) {
        /* It is stuck in a call; the process is about to end, and what it held is not durable, so it will be done again. */
        (void)pthread_detach(r->thread);
        weir_worker_abandon(r->worker);
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
    signal_state before;
    sigset_t signals, mask;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    take_signals(&before);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &mask); /* the workers' own threads need not be disturbed */
    weir_status status = serve_health(env->http, &g, err);
    for (size_t i = 0; !status && i < count; i++) {
        int failed = pthread_create(&g.runs[i].thread, NULL, run_thread, &g.runs[i]);
        g.runs[i].started = !failed;
        if (failed) status = WEIR_FAIL(err, WEIR_EINTERNAL, "no thread for worker %s: %s", workers[i]->ops->name, strerror(failed));
    }
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!status) watch(&g);
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
    give_signals_back(&before);
    return status;
}
