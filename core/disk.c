#include "core/disk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "core/mem.h"
#include "core/metrics.h"

enum { NAME_ROOM = 4096, PLACES_MAX = 4, EVERY_S = 10 };

struct weir_disk_watch {
    weir_disk_place places[PLACES_MAX];
    int count;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stopping */
    pthread_cond_t stopped;
    bool stopping;
};

/* "a/b" to "a", "a" to ".", "/a" to "/"; false at the top. */
static bool go_up(char *path) {
    char *slash = strrchr(path, '/');
    if (!strcmp(path, "/") || !strcmp(path, ".")) return false;
    if (!slash) {
        memcpy(path, ".", 2);
    } else if (slash == path) {
        path[1] = 0;
    } else {
        *slash = 0;
    }
    return true;
}

weir_status weir_disk_free(const char *folder, double *ret_free_ratio, weir_err *err) {
    char path[NAME_ROOM];
    struct statvfs fs;
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path) return WEIR_FAIL(err, WEIR_EINVAL, "the name of the folder %.60s… is too long", folder);
    while (statvfs(path, &fs)) {
        if (errno == EINTR) continue;
        if (errno != ENOENT || !go_up(path)) return WEIR_FAIL(err, WEIR_EIO, "cannot tell how full the file system of %s is: %s", folder, strerror(errno));
    }
    /* As df: blocks kept for root are neither used nor to be had. */
    double used = (double)(fs.f_blocks - fs.f_bfree), free_blocks = (double)fs.f_bavail;
    *ret_free_ratio = used + free_blocks > 0 ? free_blocks / (used + free_blocks) : 1; /* some file systems have no size */
    return WEIR_OK;
}

static void look(const weir_disk_watch *watch) {
    for (int i = 0; i < watch->count; i++) {
        double ratio;
        weir_metric *gauge = WEIR_METRIC("weir_disk_free_ratio", watch->places[i].name);
        if (weir_disk_free(watch->places[i].folder, &ratio, NULL)) {
            weir_metric_hide(gauge);
        } else {
            weir_metric_set(gauge, ratio);
        }
    }
}

static void *watching(void *context) {
    weir_disk_watch *watch = context;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        pthread_mutex_unlock(&watch->lock);
        look(watch);
        next.tv_sec += EVERY_S;
        pthread_mutex_lock(&watch->lock);
        while (!watch->stopping && !pthread_cond_timedwait(&watch->stopped, &watch->lock, &next)) {
        }
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

weir_status weir_disk_watch_start(const weir_disk_place *places, int count, weir_disk_watch **ret_watch, weir_err *err) {
    pthread_condattr_t monotonic;
    sigset_t all, before;
    weir_disk_watch *watch = count <= PLACES_MAX ? weir_mem.realloc(NULL, sizeof *watch) : NULL;
    if (!watch) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to watch the disk");
    *watch = (weir_disk_watch){.count = count};
    memcpy(watch->places, places, (size_t)count * sizeof *places);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all); /* signals are for the threads that wait for them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&watch->thread, NULL, watching, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        pthread_cond_destroy(&watch->stopped);
        pthread_mutex_destroy(&watch->lock);
        free(watch);
        return WEIR_FAIL(err, WEIR_EIO, "no thread to watch the disk: %s", strerror(failed));
    }
    *ret_watch = watch;
    return WEIR_OK;
}

void weir_disk_watch_stop(weir_disk_watch *watch) {
    if (!watch) return;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_signal(&watch->stopped);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->stopped);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}
