/* What the parts of the worker skeleton share. Internal to core. */
#ifndef WEIR_CORE_WORKER_INTERNAL_H
#define WEIR_CORE_WORKER_INTERNAL_H

#include "core/metrics.h"
#include "core/worker.h"

enum { WEIR_WORKER_NAME_MAX = 200, WEIR_REJECT_KINDS_MAX = 32 };

/* Rejects of the batch under way; they count when the batch is durable. */
typedef struct weir_reject_count {
    const char *topic; /* the consumer's */
    char class[32];
    uint64_t count;
} weir_reject_count;

/* Where a partition has to be read again from. */
typedef struct weir_rewind {
    char topic[WEIR_WORKER_NAME_MAX];
    int32_t partition;
    int64_t offset;
} weir_rewind;

/* What was handed out of a partition since the last checkpoint: [first, next). */
typedef struct weir_progress {
    const char *topic; /* the consumer's */
    int topic_index;
    int32_t partition;
    int64_t first, next, records, timestamp_ms;
} weir_progress;

typedef struct weir_lag {
    char topic[WEIR_WORKER_NAME_MAX];
    int32_t partition;
    int64_t timestamp_ms; /* of the record handled last; 0 before the first */
    weir_metric *records, *seconds;
} weir_lag;

struct weir_worker {
    const weir_worker_ops *ops;
    const weir_worker_env *env;
    char pipeline[WEIR_WORKER_NAME_MAX], deadletter[WEIR_WORKER_NAME_MAX];
    void *setup, *context;
    char **topics;
    size_t topic_count;
    weir_metric **records_total; /* [topic_count] */
    weir_consumer *consumer;
    weir_producer *producer;
    weir_arena scratch;
    weir_bus_record *batch;
    size_t batch_max;
    _Atomic bool stopping, ready;
    _Atomic bool abandoned; /* a thread did not end in time and may use it still */
    bool initialised, joined;

    /* Trying again: back-off in force until resume_us; partitions are paused and go back to their rewind offsets. */
    bool retrying;
    int64_t backoff_us, resume_us;
    weir_rewind *rewinds;
    size_t rewind_count, rewind_capacity;

    /* Checkpoints. */
    bool checkpoint_soon, needs_reset;
    int64_t checkpoint_due_us, checkpoint_begun_us; /* begun: the first batch since the last one */
    weir_progress *progress;
    size_t progress_count, progress_capacity;

    int64_t alive_us; /* until then the thread came round again and again, or the group said that it is a member; see weir_worker_confirm */
    int64_t tick_due_us, tick_backoff_us, lag_due_us, reject_log_us;
    uint64_t rejects_unlogged;
    weir_reject_count rejects[WEIR_REJECT_KINDS_MAX];
    size_t reject_kinds;
    weir_lag *lags;
    size_t lag_count, lag_capacity;
    weir_metric *metric_ready, *metric_batch_seconds, *metric_retries;
};

/** Counts the rejects of a batch that is durable, or forgets those of one that is delivered again. */
void weir_worker_settle_rejects(weir_worker *worker, bool durable);

/* Checkpoints: worker_checkpoint.c. */
/** Remembers that the records were handed out. */
weir_status weir_worker_progress_note(weir_worker *worker, const weir_bus_record *records, size_t count, weir_err *err) WEIR_MUST_CHECK;
/** Is there something to make durable, and is it time? */
bool weir_worker_checkpoint_due(const weir_worker *worker);
/** Makes durable what was handed out and stores its offsets. After a RETRY: weir_worker_progress of the worker says from where to read again. */
weir_status weir_worker_checkpoint(weir_worker *worker, weir_err *err) WEIR_MUST_CHECK;
void weir_worker_progress_forget(weir_worker *worker);

/* Lag gauges: worker_lag.c. */
void weir_worker_lag_note(weir_worker *worker, const char *topic, int32_t partition, int64_t timestamp_ms);
void weir_worker_lag_publish(weir_worker *worker);
void weir_worker_lag_clear(weir_worker *worker);

#endif
