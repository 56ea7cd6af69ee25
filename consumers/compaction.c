#include "consumers/compaction.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/log.h"
#include "core/metrics.h"
#include "features/compact.h"

/* Writers of a table wait as long as we do for its lock, so that is short: who reads for long is met again at the next try. */
enum { LOCK_TIMEOUT_MS = 500 };
#define LOOK_EVERY_US (60 * 60 * WEIR_SECOND_US)
#define RETRY_AFTER_US (5 * 60 * WEIR_SECOND_US)

struct weir_compaction {
    const weir_pipeline *pipeline;
    const weir_worker_env *env;
    int64_t next_us; /* monotonic: not before */
    pthread_t thread;
    bool active; /* until it was joined */
    _Atomic bool finished, stop;
    /* The thread's until finished: */
    weir_compacted done;
    weir_status status;
    weir_err err;
    weir_metric *days, *rows, *errors;
};

weir_status weir_compaction_new(const weir_pipeline *pipeline, const weir_worker_env *env, weir_compaction **ret_compaction, weir_err *err) {
    *ret_compaction = NULL;
    if (pipeline->compact_after_us < 0) return WEIR_OK;
    weir_compaction *c = calloc(1, sizeof *c);
    if (!c) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for compaction");
    c->pipeline = pipeline;
    c->env = env;
    c->days = WEIR_METRIC("weir_store_compacted_partitions_total", pipeline->name);
    c->rows = WEIR_METRIC("weir_store_compacted_rows_total", pipeline->name);
    c->errors = WEIR_METRIC("weir_store_compaction_errors_total", pipeline->name);
    *ret_compaction = c;
    return WEIR_OK;
}

static void *work(void *context) {
    weir_compaction *c = context;
    const weir_compact_conf conf = {
        .pg_url = c->env->pg_url,
        .objects_dir = c->env->objects_dir,
        .before_us = weir_clock_wall_us(c->env->clock) - c->pipeline->compact_after_us,
        .lock_timeout_ms = LOCK_TIMEOUT_MS,
        .stop = &c->stop,
    };
    c->status = weir_compact(c->pipeline, &conf, &c->done, &c->err);
    c->finished = true;
    return NULL;
}

/* A run has ended. That another process is at it, or that rows still come for a day, is nothing wrong. */
static void take_account(weir_compaction *c, int64_t mono_us) {
    (void)pthread_join(c->thread, NULL);
    c->active = false;
    weir_metric_add(c->days, (double)c->done.days);
    weir_metric_add(c->rows, (double)c->done.rows);
    if (c->done.days)
        WEIR_INFO("closed days were moved to files", WEIR_I("days", c->done.days), WEIR_I("rows", c->done.rows), WEIR_I("files", c->done.files),
                  WEIR_I("bytes", c->done.bytes));
    if (c->status && c->err.code != WEIR_ECONFLICT) {
        weir_metric_add(c->errors, 1);
        weir_log_err(WEIR_LOG_WARN, "compaction failed and will be tried again", &c->err);
    }
    c->next_us = mono_us + (c->status ? RETRY_AFTER_US : LOOK_EVERY_US);
}

void weir_compaction_tick(weir_compaction *c, int64_t mono_us) {
    if (!c) return;
    if (c->active && c->finished) take_account(c, mono_us);
    if (c->active || mono_us < c->next_us) return;
    c->finished = false;
    if (pthread_create(&c->thread, NULL, work, c)) {
        WEIR_WARN("no thread for compaction; it will be tried again");
        weir_metric_add(c->errors, 1);
        c->next_us = mono_us + RETRY_AFTER_US;
    } else {
        c->active = true;
    }
}

bool weir_compaction_free(weir_compaction *c) {
    struct timespec deadline;
    if (c && c->active) {
        c->stop = true;
        (void)clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += c->env->drain_ms / 1000;
        if (pthread_timedjoin_np(c->thread, NULL, &deadline) == ETIMEDOUT) {
            (void)pthread_detach(c->thread);
            return false;
        }
    }
    free(c);
    return true;
}
