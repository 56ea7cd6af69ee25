/* How far a worker is behind, per partition, from what the consumer knows without asking the broker. */
#include <stdio.h>
#include <string.h>

#include "core/worker_internal.h"

enum { PARTITIONS_MAX = 4096 };

static weir_lag *find_lag(weir_worker *worker, const char *topic, int32_t partition) {
    for (size_t i = 0; i < worker->lag_count; i++)
        if (worker->lags[i].partition == partition && !strcmp(worker->lags[i].topic, topic)) return &worker->lags[i];
    return NULL;
}

/* A gauge that cannot be made is left out: measuring must not stop the work. */
static weir_lag *lag_of(weir_worker *worker, const char *topic, int32_t partition) {
    weir_lag *lag = find_lag(worker, topic, partition);
    if (lag) return lag;
    if (worker->lag_count == worker->lag_capacity) {
        size_t capacity = worker->lag_capacity ? 2 * worker->lag_capacity : 16;
        weir_lag *lags = capacity <= PARTITIONS_MAX ? weir_mem.realloc(worker->lags, capacity * sizeof *lags) : NULL;
        if (!lags) return NULL;
        worker->lags = lags;
        worker->lag_capacity = capacity;
    }
    char number[16];
    (void)snprintf(number, sizeof number, "%d", partition);
    lag = &worker->lags[worker->lag_count++];
    *lag = (weir_lag){.partition = partition};
    (void)snprintf(lag->topic, sizeof lag->topic, "%s", topic);
    lag->records = WEIR_METRIC("weir_worker_lag_records", worker->pipeline, worker->ops->name, topic, number);
    lag->seconds = WEIR_METRIC("weir_worker_lag_seconds", worker->pipeline, worker->ops->name, topic, number);
    return lag;
}

void weir_worker_lag_note(weir_worker *worker, const char *topic, int32_t partition, int64_t timestamp_ms) {
    weir_lag *lag = lag_of(worker, topic, partition);
    if (lag) lag->timestamp_ms = timestamp_ms;
}

void weir_worker_lag_publish(weir_worker *worker) {
    enum { SHOWN_MAX = 256 };
    weir_partition held[SHOWN_MAX];
    size_t count = weir_consumer_assignment(worker->consumer, held, SHOWN_MAX);
    int64_t wall_ms = weir_clock_wall_us(worker->env->clock) / 1000;
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
        int64_t end = weir_consumer_end_cached(worker->consumer, held[i].topic, held[i].partition);
        weir_lag *lag = lag_of(worker, held[i].topic, held[i].partition);
        if (!lag || end < 0) continue;
        int64_t position = held[i].offset < 0 ? 0 : held[i].offset;
        bool behind = end > position;
        weir_metric_set(lag->records, behind ? (double)(end - position) : 0);
        weir_metric_set(lag->seconds, behind && lag->timestamp_ms > 0 && wall_ms > lag->timestamp_ms ? (double)(wall_ms - lag->timestamp_ms) / 1000 : 0);
    }
}

void weir_worker_lag_clear(weir_worker *worker) {
    for (size_t i = 0; i < worker->lag_count; i++) {
        weir_metric_hide(worker->lags[i].records);
        weir_metric_hide(worker->lags[i].seconds);
    }
    (void)weir_mem.realloc(worker->lags, 0);
    worker->lags = NULL;
    worker->lag_count = worker->lag_capacity = 0;
}
