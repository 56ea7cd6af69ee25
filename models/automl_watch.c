/* The thread beside a search: it ends what takes too long, gives signs of life for the trial and the leader, and tells about progress. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "models/automl_internal.h"
#include "models/memory.h"

#define LOOK_EVERY_S 0.02
#define TELL_EVERY_S 1.0

struct weir_watch {
    const weir_automl_settings *settings;
    weir_trial_source *source; /* NULL: none */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_mutex_t telling; /* progress comes from one thread at a time */
    pthread_cond_t wake;
    bool ending;
    bool busy;
    int number; /* of the trial under way; −1 */
    double began_s, limit_s;
    weir_stop stop; /* of what is under way */
    weir_automl_progress told;
    char now[WEIR_AUTOML_NAME_MAX], best_name[WEIR_AUTOML_NAME_MAX];
    double start_s; /* of the search, on the monotonic clock, as if processes before had run just before this one */
    _Atomic bool cancel; /* of what is under way */
    _Atomic int stopped; /* weir_stop of the whole search */
};

static double now_s(void) {
    return (double)weir_clock_mono_us(weir_clock_system()) / 1e6;
}

static void tell(weir_watch *w) {
    if (!w->settings->progress) return;
    char now[sizeof w->now], best_name[sizeof w->best_name];
    pthread_mutex_lock(&w->telling);
    pthread_mutex_lock(&w->lock);
    weir_automl_progress p = w->told;
    memcpy(now, w->now, sizeof now);
    memcpy(best_name, w->best_name, sizeof best_name);
    p.trials_running = w->busy && w->number >= 0;
    pthread_mutex_unlock(&w->lock);
    p.now = now;
    p.best_name = best_name;
    p.elapsed_s = weir_watch_elapsed_s(w);
    p.left_s = fmax(0, w->settings->budget_s - p.elapsed_s);
    w->settings->progress(w->settings->progress_context, &p);
    pthread_mutex_unlock(&w->telling);
}

/* With the lock. The first reason stays. */
static void stop_with(weir_watch *w, weir_stop stop) {
    if (stop == WEIR_GO_ON) return;
    if (w->busy && w->stop == WEIR_GO_ON) w->stop = stop;
    if (w->busy) w->cancel = true;
    if (stop == WEIR_STOP_CANCELLED || stop == WEIR_STOP_OVER) {
        int none = WEIR_GO_ON;
        (void)atomic_compare_exchange_strong(&w->stopped, &none, (int)stop);
    }
}

static void look(weir_watch *w) {
    pthread_mutex_lock(&w->lock);
    if (w->settings->cancel && *w->settings->cancel) stop_with(w, WEIR_STOP_CANCELLED);
    if (w->busy && w->limit_s > 0 && now_s() - w->began_s > w->limit_s) stop_with(w, WEIR_STOP_TOO_LONG);
    pthread_mutex_unlock(&w->lock);
}

static void beat(weir_watch *w) {
    pthread_mutex_lock(&w->lock);
    int number = w->busy ? w->number : -1;
    pthread_mutex_unlock(&w->lock);
    weir_stop stop = weir_trial_source_beat(w->source, number, weir_watch_elapsed_s(w));
    pthread_mutex_lock(&w->lock);
    bool same = number < 0 || (w->busy && w->number == number); /* a trial that ended meanwhile was not lost */
    if (stop != WEIR_STOP_LOST || same) stop_with(w, stop);
    pthread_mutex_unlock(&w->lock);
}

/* Until the time has passed or the watch ends. */
static bool rest(weir_watch *w) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(LOOK_EVERY_S * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&w->lock);
    while (!w->ending && pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT) continue;
    bool ending = w->ending;
    pthread_mutex_unlock(&w->lock);
    return !ending;
}

static void *run(void *context) {
    weir_watch *w = context;
    double beat_s = w->source ? weir_trial_source_beat_s(w->source) : 0, told_s = now_s(), beaten_s = told_s;
    while (rest(w)) {
        look(w);
        if (beat_s > 0 && now_s() - beaten_s >= beat_s) {
            beat(w);
            beaten_s = now_s();
        }
        if (now_s() - told_s < TELL_EVERY_S) continue;
        tell(w);
        told_s = now_s();
    }
    return NULL;
}

weir_status weir_watch_start(const weir_automl_settings *settings, weir_trial_source *source, weir_watch **ret_watch, weir_err *err) {
    weir_watch *w = weir_models_calloc(1, sizeof *w);
    pthread_condattr_t monotonic;
    if (!w) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search");
    *w = (weir_watch){.settings = settings, .source = source, .number = -1, .told = {.best = NAN}};
    w->start_s = now_s() - (source ? weir_trial_source_spent(source) : 0);
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->telling, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->thread, NULL, run, w)) {
        weir_models_free(w);
        return WEIR_RETRY(err, WEIR_ELIMIT, "cannot start a thread beside the search");
    }
    *ret_watch = w;
    return WEIR_OK;
}

void weir_watch_stop(weir_watch *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->telling);
    pthread_mutex_destroy(&w->lock);
    weir_models_free(w);
}

void weir_watch_begin(weir_watch *w, const char *now, int number, double limit_s) {
    pthread_mutex_lock(&w->lock);
    snprintf(w->now, sizeof w->now, "%s", now);
    w->busy = true;
    w->number = number;
    w->began_s = now_s();
    w->limit_s = limit_s;
    w->stop = (weir_stop)w->stopped;
    w->cancel = w->stop != WEIR_GO_ON;
    pthread_mutex_unlock(&w->lock);
    look(w);
}

double weir_watch_end(weir_watch *w, weir_stop *ret_stop) {
    pthread_mutex_lock(&w->lock);
    double took_s = now_s() - w->began_s;
    w->busy = false;
    w->number = -1;
    *ret_stop = w->stop;
    w->cancel = false;
    pthread_mutex_unlock(&w->lock);
    return took_s;
}

const _Atomic bool *weir_watch_cancel(const weir_watch *w) {
    return &w->cancel;
}

weir_stop weir_watch_stopped(const weir_watch *w) {
    if (w->settings->cancel && *w->settings->cancel) return WEIR_STOP_CANCELLED;
    return (weir_stop)w->stopped;
}

void weir_watch_tell(weir_watch *w, const weir_automl_progress *counts) {
    pthread_mutex_lock(&w->lock);
    w->told = *counts;
    if (counts->best_name) snprintf(w->best_name, sizeof w->best_name, "%s", counts->best_name);
    pthread_mutex_unlock(&w->lock);
    tell(w);
}

double weir_watch_elapsed_s(const weir_watch *w) {
    return now_s() - w->start_s;
}
