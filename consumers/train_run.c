#include "consumers/train_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "consumers/train_process.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "models/continue_job.h"
#include "models/interrupt.h"
#include "models/training.h"

enum { ORDER_MAX = 64 << 20, WATCH_EVERY_MS = 50, OOM_SCORE_MOST = 1000, NICE_MOST = 19 };
enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_BEST_EFFORT = 2, IOPRIO_CLASS_SHIFT = 13, IOPRIO_LEAST = 7 }; /* linux/ioprio.h */

#define RENEW_EVERY_US WEIR_SECOND_US
#define NEWS_EVERY_US (5 * WEIR_SECOND_US)
#define GRACE_US (10 * WEIR_SECOND_US) /* from being asked to end to the process's end */

/* It works in one thread; one keeps the lease, one watches the worker and the clock. */
typedef struct train_run {
    const char *pg_url;
    cJSON *order;
    weir_pipeline *pipeline;
    weir_recipe recipe;
    weir_training training;
    cJSON *detail; /* of the run, so far */
    _Atomic bool cancel, time_over;
    pthread_mutex_t lock; /* guards what follows; times are monotonic */
    const char *asked; /* "cancel", "time", "stop": it is to end; NULL: not yet */
    int64_t lease_until_us, limit_us, kill_at_us;
    cJSON *progress; /* that is to be stored; NULL: as before */
    pthread_mutex_t reporting; /* held for good by who reports the end */
} train_run;

static int64_t now_us(void) {
    return weir_clock_mono_us(weir_clock_system());
}

/* Microseconds since 1970 fit a double's 53 bits until the year 2255. */
static int64_t whole_at(const cJSON *object, const char *name, int64_t fallback) {
    const cJSON *item = weir_json_at(object, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : fallback;
}

/* ---- the order ---- */

cJSON *weir_train_order(const weir_pipeline *pipeline, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                        int64_t time_us) {
    cJSON *order = cJSON_CreateObject(),
          *copies[] = {cJSON_Duplicate(claim->request, true), cJSON_Duplicate(claim->detail, true), cJSON_Duplicate(pipeline->json, true)};
    static const char *const names[] = {"request", "detail", "pipeline"};
    bool ok = cJSON_AddStringToObject(order, "run_id", claim->run_id) && cJSON_AddNumberToObject(order, "attempt", claim->attempt) &&
              cJSON_AddStringToObject(order, "host", identity->host) && cJSON_AddStringToObject(order, "process", identity->process) &&
              cJSON_AddNumberToObject(order, "time_us", (double)time_us) && cJSON_AddBoolToObject(order, "evaluates", claim->evaluates) &&
              cJSON_AddStringToObject(order, "path", pipeline->path ? pipeline->path : "") &&
              cJSON_AddNumberToObject(order, "lease_us", (double)limits->lease_us) &&
              cJSON_AddNumberToObject(order, "memory_bytes", (double)limits->memory_bytes) && cJSON_AddNumberToObject(order, "threads", limits->threads) &&
              cJSON_AddNumberToObject(order, "nice", limits->nice);
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        if (ok && copies[i] && cJSON_AddItemToObject(order, names[i], copies[i])) continue;
        cJSON_Delete(copies[i]);
        ok = false;
    }
    if (ok) return order;
    cJSON_Delete(order);
    return NULL;
}

static weir_status read_order(cJSON **ret_order, weir_err *err) {
    weir_buf text = {0};
    char bytes[16384];
    ssize_t n = 1;
    while (n > 0 && text.len < ORDER_MAX) {
        n = read(WEIR_TRAIN_ORDER_FD, bytes, sizeof bytes);
        if (n > 0 && !weir_buf_append(&text, bytes, (size_t)n)) n = -1;
    }
    *ret_order = n == 0 && text.len ? cJSON_Parse(text.data) : NULL;
    weir_buf_done(&text);
    return *ret_order ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "there is no order on standard input: a train worker starts this for each of its runs");
}

/* As the worker read it, whatever has become of its file since. Schemas lie beside a file, as weir_pipeline_load has it. */
static weir_status read_pipeline(train_run *r, weir_err *err) {
    char *text = cJSON_PrintUnformatted(weir_json_at(r->order, "pipeline")), *path = strdup(weir_json_text(r->order, "path")),
         *dir = path ? strdup(path) : NULL;
    weir_status status = text && dir ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the pipeline");
    char *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash) *slash = 0;
    if (!status) status = weir_pipeline_parse(text, access(path, F_OK) ? NULL : slash ? dir : ".", &r->pipeline, err);
    if (!status) {
        r->pipeline->path = path;
        path = NULL;
    }
    cJSON_free(text);
    free(path);
    free(dir);
    return status;
}

/* ---- limits ---- */

static void write_number(const char *path, int number) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!dprintf(fd, "%d", number);
    close(fd);
}

/* 0: the calling thread. */
static void lower_thread(pid_t thread, int nice) {
    const struct sched_param none = {0};
    int now = getpriority(PRIO_PROCESS, (id_t)thread);
    (void)setpriority(PRIO_PROCESS, (id_t)thread, now + nice < NICE_MOST ? now + nice : NICE_MOST);
    (void)sched_setscheduler(thread, SCHED_BATCH, &none); /* longer slices, and whoever wakes up goes first */
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, IOPRIO_CLASS_BEST_EFFORT << IOPRIO_CLASS_SHIFT | IOPRIO_LEAST);
}

void weir_train_lower_priority(int nice) {
    lower_thread(0, nice);
}

/* All threads that there are: libraries start theirs before main. */
static void lower_process(int nice) {
    struct dirent *entry;
    DIR *threads = opendir("/proc/self/task");
    if (!threads) {
        lower_thread(0, nice);
        return;
    }
    while ((entry = readdir(threads)))
        if (atoi(entry->d_name) > 0) lower_thread(atoi(entry->d_name), nice);
    closedir(threads);
}

/* When the machine has no memory left, this is what goes, and not what serves. */
static void lower_claims(const train_run *r) {
    write_number("/proc/self/oom_score_adj", OOM_SCORE_MOST);
    lower_process((int)whole_at(r->order, "nice", 0));
}

/* Resident memory that is not of files, in bytes; 0 when it is not known. */
static int64_t memory_now(void) {
    long long resident = 0, of_files = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool known = file && fscanf(file, "%*d %lld %lld", &resident, &of_files) == 2;
    if (file) fclose(file);
    return known ? (resident - of_files) * sysconf(_SC_PAGESIZE) : 0;
}

/* ---- reporting ---- */

static weir_status write_line(const cJSON *json, weir_err *err) {
    char *text = cJSON_PrintUnformatted(json);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a report");
    size_t len = strlen(text), done = 0;
    ssize_t n = 1;
    while (done < len && (n > 0 || errno == EINTR)) {
        n = write(WEIR_TRAIN_REPORT_FD, text + done, len - done);
        if (n > 0) done += (size_t)n;
    }
    cJSON_free(text);
    return done == len ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "nobody takes the report: %s", strerror(errno));
}

/* detail, which may be NULL, is taken. */
static weir_status report(train_run *r, weir_status result, const weir_err *why, cJSON *detail, weir_err *err) {
    pthread_mutex_lock(&r->lock);
    const char *asked = r->asked ? r->asked : "";
    pthread_mutex_unlock(&r->lock);
    cJSON *json = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(json, "code", result) && cJSON_AddNumberToObject(json, "action", result ? why->action : 0) &&
              cJSON_AddStringToObject(json, "message", result ? why->message : "") && cJSON_AddStringToObject(json, "asked", asked);
    if (!detail || !ok || !cJSON_AddItemToObject(json, "detail", detail)) {
        ok = ok && !detail;
        cJSON_Delete(detail);
    }
    weir_status status = ok ? write_line(json, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a report");
    cJSON_Delete(json);
    return status;
}

/* From another thread than the one that works: it does not come to an end by itself. Unless it is just reporting. */
static _Noreturn void leave(train_run *r, weir_status code, const char *message) {
    weir_err why = {.code = code, .action = WEIR_ACTION_RETRY}, ignored;
    snprintf(why.message, sizeof why.message, "%s", message);
    bool reported = !pthread_mutex_trylock(&r->reporting) && !report(r, why.code, &why, NULL, &ignored);
    _exit(reported ? 0 : weir_status_exit(why.code));
}

/* Takes the place of what nobody has stored yet. */
static void report_progress(void *context, const char *what, int done, int of) {
    train_run *r = context;
    cJSON *progress = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(progress, "what", what) &&
              (!of || (cJSON_AddNumberToObject(progress, "done", done) && cJSON_AddNumberToObject(progress, "of", of)));
    pthread_mutex_lock(&r->lock);
    cJSON *before = ok ? r->progress : progress;
    if (ok) r->progress = progress;
    pthread_mutex_unlock(&r->lock);
    cJSON_Delete(before);
}

static void report_step(void *context, const char *what) {
    report_progress(context, what, 0, 0);
}

/* ---- the lease ---- */

/* The first wish holds. */
static void ask_to_end(train_run *r, const char *asked) {
    pthread_mutex_lock(&r->lock);
    if (!r->asked) {
        r->asked = asked;
        r->kill_at_us = now_us() + GRACE_US;
        if (!strcmp(asked, "time")) r->time_over = true;
        r->cancel = true;
    }
    pthread_mutex_unlock(&r->lock);
}

static weir_status renew(train_run *r, weir_pg *pg, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                         int64_t *news_at_us, weir_err *err) {
    int64_t asked_us = now_us();
    bool held = true, cancel = false;
    pthread_mutex_lock(&r->lock);
    cJSON *progress = r->progress;
    r->progress = NULL;
    pthread_mutex_unlock(&r->lock);
    bool is_news = progress && asked_us >= *news_at_us;
    weir_status status = weir_train_queue_renew(pg, claim, limits, identity, progress, is_news, &held, &cancel, err);
    cJSON_Delete(progress);
    if (status) return status;
    if (is_news) *news_at_us = asked_us + NEWS_EVERY_US;
    if (!held) leave(r, WEIR_ETIMEOUT, "its lease was over, and it is another's");
    pthread_mutex_lock(&r->lock);
    r->lease_until_us = asked_us + limits->lease_us; /* from before we asked, so that ours is over first */
    pthread_mutex_unlock(&r->lock);
    if (cancel) ask_to_end(r, "cancel");
    return WEIR_OK;
}

/* While the database is away the lease runs on, and out. */
static void *keep_lease(void *context) {
    train_run *r = context;
    weir_train_claim claim = {.attempt = (int)whole_at(r->order, "attempt", 0), .evaluates = cJSON_IsTrue(weir_json_at(r->order, "evaluates"))};
    const weir_train_limits limits = {.lease_us = whole_at(r->order, "lease_us", 0)};
    weir_train_identity identity = {0};
    weir_pg *pg = NULL;
    weir_err err;
    int64_t news_at_us = 0;
    snprintf(claim.run_id, sizeof claim.run_id, "%s", weir_json_text(r->order, "run_id"));
    snprintf(identity.host, sizeof identity.host, "%s", weir_json_text(r->order, "host"));
    snprintf(identity.process, sizeof identity.process, "%s", weir_json_text(r->order, "process"));
    for (;;) {
        weir_status status = pg ? WEIR_OK : weir_pg_new(r->pg_url, &pg, &err);
        if (!status) status = renew(r, pg, &claim, &limits, &identity, &news_at_us, &err);
        if (status) weir_log_err(WEIR_LOG_WARN, "the lease of a training run could not be renewed", &err);
        weir_clock_sleep_us(weir_clock_system(), RENEW_EVERY_US);
    }
    return NULL;
}

/* ---- the watch ---- */

/* False: the worker is no more. */
static bool hear_worker(train_run *r, int timeout_ms) {
    char text[64];
    struct pollfd fd = {.fd = WEIR_TRAIN_LEASH_FD, .events = POLLIN};
    if (poll(&fd, 1, timeout_ms) <= 0) return true;
    ssize_t n = read(WEIR_TRAIN_LEASH_FD, text, sizeof text);
    if (n > 0) ask_to_end(r, "stop"); /* it says nothing else */
    return n > 0 || (n < 0 && errno == EINTR);
}

/* Looked at, and not forbidden by setrlimit(2): not every library bears that an allocation fails (OpenBLAS tries again for ever), and what is reserved without being used does not count. */
static void watch_memory(train_run *r, int64_t most) {
    char message[128];
    int64_t now = memory_now();
    if (now <= most) return;
    snprintf(message, sizeof message, "it had %lld MiB of memory, more than the %lld that it may have", (long long)(now >> 20), (long long)(most >> 20));
    leave(r, WEIR_ENOMEM, message);
}

/* Nobody may work on a run without a lease, or for a worker that is no more: another goes on from what is kept. */
static void *watch(void *context) {
    train_run *r = context;
    int64_t memory_most = whole_at(r->order, "memory_bytes", 0);
    while (hear_worker(r, WATCH_EVERY_MS)) {
        if (memory_most) watch_memory(r, memory_most);
        pthread_mutex_lock(&r->lock);
        int64_t lease_until_us = r->lease_until_us, limit_us = r->limit_us, kill_at_us = r->kill_at_us;
        pthread_mutex_unlock(&r->lock);
        int64_t at_us = now_us();
        if (at_us >= lease_until_us) leave(r, WEIR_ETIMEOUT, "its lease is over: the database was away for too long");
        if (at_us >= kill_at_us) leave(r, WEIR_ETIMEOUT, "it did not stop when it was asked to");
        if (at_us >= limit_us) ask_to_end(r, "time");
    }
    _exit(weir_status_exit(WEIR_ETIMEOUT));
}

static weir_status start_threads(train_run *r, weir_err *err) {
    pthread_t thread;
    void *(*const bodies[])(void *) = {watch, keep_lease};
    r->lease_until_us = now_us() + whole_at(r->order, "lease_us", 0);
    r->limit_us = now_us() + whole_at(r->order, "time_us", 0);
    r->kill_at_us = INT64_MAX;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        if (pthread_create(&thread, NULL, bodies[i], r)) return WEIR_RETRY(err, WEIR_ENOMEM, "cannot start a thread");
        (void)pthread_detach(thread); /* until the process ends */
    }
    return WEIR_OK;
}

/* ---- the work ---- */

static weir_status window_of_run(train_run *r, weir_err *err) {
    int64_t from;
    weir_training *t = &r->training;
    weir_status status = weir_time_parse(weir_json_text(weir_json_at(r->detail, "window"), "train_from"), &from, err);
    return status ? status : weir_training_window(r->pipeline, &r->recipe, t->pg_url, from, &t->window, err);
}

static weir_status fit(train_run *r, weir_pg *pg, weir_err *err) {
    weir_training *t = &r->training;
    weir_status status =
        weir_training_window(r->pipeline, &r->recipe, t->pg_url, whole_at(weir_json_at(r->order, "request"), "train_from_us", INT64_MIN), &t->window, err);
    return status ? status : weir_training_fit(t, pg, r->detail, err);
}

static weir_status evaluate(train_run *r, weir_pg *pg, weir_err *err) {
    report_progress(r, "evaluation", 0, 1);
    weir_status status = window_of_run(r, err);
    return status ? status : weir_training_evaluate(&r->training, pg, r->detail, err);
}

static weir_status go_on(train_run *r, const char *version, weir_err *err) {
    const weir_training *t = &r->training;
    const weir_continue_job on = {.pipeline = r->pipeline,
                                  .recipe = &r->recipe,
                                  .pg_url = t->pg_url,
                                  .objects_dir = t->objects_dir,
                                  .version = version,
                                  .as_of_us = t->as_of_us,
                                  .run_id = t->run_id,
                                  .cancel = &r->cancel,
                                  .tell = report_step,
                                  .context = r};
    cJSON *detail = NULL;
    weir_status status = weir_continue_job_run(&on, &detail, err);
    if (status) return status;
    cJSON_Delete(r->detail);
    r->detail = detail;
    return WEIR_OK;
}

static weir_status work(train_run *r, const char *objects_dir, weir_err *err) {
    const cJSON *request = weir_json_at(r->order, "request");
    bool evaluates = cJSON_IsTrue(weir_json_at(r->order, "evaluates"));
    const char *version = weir_json_text(request, "continue_version");
    int threads = (int)whole_at(r->order, "threads", 0);
    weir_pg *pg = NULL;
    if (threads && r->recipe.threads > threads) r->recipe.threads = threads;
    r->detail = evaluates ? cJSON_Duplicate(weir_json_at(r->order, "detail"), true) : cJSON_CreateObject();
    if (!r->detail) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for what is known of the run");
    r->training = (weir_training){
        .pipeline = r->pipeline,
        .recipe = &r->recipe,
        .pg_url = r->pg_url,
        .objects_dir = objects_dir,
        .run_id = weir_json_text(r->order, "run_id"),
        .as_of_us = whole_at(request, "as_of_us", INT64_MAX),
        .cancel = &r->cancel,
        .time_over = &r->time_over,
        .tell = report_progress,
        .context = r,
    };
    weir_interrupt_set(&r->cancel);
    weir_status status = weir_pg_new(r->pg_url, &pg, err);
    if (!status) status = evaluates ? evaluate(r, pg, err) : *version ? go_on(r, version, err) : fit(r, pg, err);
    weir_interrupt_set(NULL);
    weir_pg_free(pg);
    return status;
}

weir_status weir_train_run(const char *pg_url, const char *objects_dir, weir_err *err) {
    static train_run r = {.lock = PTHREAD_MUTEX_INITIALIZER, .reporting = PTHREAD_MUTEX_INITIALIZER}; /* the other threads use it until the process ends */
    weir_err why = {0};
    /* Those go to all of a terminal's or a service's processes at once; it is the worker who says when this one ends. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    r.pg_url = pg_url;
    weir_status status = read_order(&r.order, err);
    if (status) return status;
    lower_claims(&r);
    status = start_threads(&r, &why);
    if (!status) status = read_pipeline(&r, &why);
    if (!status) status = weir_recipe_load(r.pipeline, &r.recipe, &why);
    if (!status) {
        const weir_log_field fields[] = {WEIR_S("worker", "train"), WEIR_S("pipeline", r.pipeline->name), WEIR_S("run", weir_json_text(r.order, "run_id"))};
        weir_log_context(fields, 3);
        status = work(&r, objects_dir, &why);
    }
    pthread_mutex_lock(&r.reporting);
    status = report(&r, status, &why, r.detail, err);
    _exit(status ? weir_status_exit(status) : 0); /* the other threads go with it; nothing is left to be written */
}
