/* Checkpoints of a worker: what was handed out since the last one, and making it durable. */
#include "core/worker_internal.h"

enum { FLUSH_TIMEOUT_MS = 30000, DEFAULT_CHECKPOINT_MS = 1000, SHARE_OF_TIME = 4 };

void weir_worker_checkpoint_soon(weir_worker *worker) {
    worker->checkpoint_soon = true;
}

static weir_progress *progress_of(weir_worker *worker, const weir_bus_record *r, weir_err *err) {
    for (size_t i = 0; i < worker->progress_count; i++)
        if (worker->progress[i].topic_index == r->topic_index && worker->progress[i].partition == r->partition) return &worker->progress[i];
    if (worker->progress_count == worker->progress_capacity) {
        size_t capacity = worker->progress_capacity ? 2 * worker->progress_capacity : 16;
        weir_progress *progress = weir_mem.realloc(worker->progress, capacity * sizeof *progress);
        if (!progress) {
            (void)WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for offsets");
            return NULL;
        }
        worker->progress = progress;
        worker->progress_capacity = capacity;
    }
    weir_progress *p = &worker->progress[worker->progress_count++];
    *p = (weir_progress){.topic = r->topic, .topic_index = r->topic_index, .partition = r->partition, .first = r->offset};
    return p;
}

weir_status weir_worker_progress_note(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_progress *p = NULL;
    if (!worker->progress_count) worker->checkpoint_begun_us = weir_clock_mono_us(worker->env->clock);
    for (size_t i = 0; i < count; i++) {
        const weir_bus_record *r = &records[i];
        if (!p || p->topic_index != r->topic_index || p->partition != r->partition) p = progress_of(worker, r, err);
        if (!p) return WEIR_ENOMEM;
        p->next = r->offset + 1;
        p->timestamp_ms = r->timestamp_ms;
        p->records++;
    }
    return WEIR_OK;
}

void weir_worker_progress_forget(weir_worker *worker) {
    worker->progress_count = 0;
    worker->checkpoint_soon = false;
    worker->checkpoint_due_us = 0;
}

bool weir_worker_checkpoint_due(const weir_worker *worker) {
    if (worker->checkpoint_soon) return true;
    if (!worker->progress_count) return false;
    int64_t every_us = (worker->env->checkpoint_ms > 0 ? worker->env->checkpoint_ms : DEFAULT_CHECKPOINT_MS) * INT64_C(1000);
    int64_t due_us = worker->checkpoint_begun_us + every_us;
    if (due_us < worker->checkpoint_due_us) due_us = worker->checkpoint_due_us;
    return weir_clock_mono_us(worker->env->clock) >= due_us;
}

weir_status weir_worker_checkpoint(weir_worker *worker, weir_err *err) {
    int64_t start_us = weir_clock_mono_us(worker->env->clock);
    weir_status status = worker->ops->checkpoint(worker->context, err);
    if (!status) status = weir_producer_flush(worker->producer, FLUSH_TIMEOUT_MS, err); /* rejects */
    for (size_t i = 0; !status && i < worker->progress_count; i++) {
        const weir_progress *p = &worker->progress[i];
        status = weir_consumer_store(worker->consumer, p->topic, p->partition, p->next, err);
    }
    weir_worker_settle_rejects(worker, !status);
    if (status) return status;
    for (size_t i = 0; i < worker->progress_count; i++) {
        const weir_progress *p = &worker->progress[i];
        weir_metric_add(worker->records_total[p->topic_index], (double)p->records);
        weir_worker_lag_note(worker, p->topic, p->partition, p->timestamp_ms);
    }
    weir_worker_progress_forget(worker);
    /* One that takes long must not take all of the time. */
    int64_t now_us = weir_clock_mono_us(worker->env->clock);
    worker->checkpoint_due_us = now_us + (SHARE_OF_TIME - 1) * (now_us - start_us);
    return WEIR_OK;
}
