/* The one loop that drives every worker: poll a batch → handle → effects durable → store offsets → commit; retry with back-off; due timers; draining.
 * Effects are durable after each batch, or, for a worker with a checkpoint function, after each checkpoint. */
#ifndef WEIR_CORE_WORKER_H
#define WEIR_CORE_WORKER_H

#include <stdatomic.h>

#include "core/bus.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/http.h"
#include "core/mem.h"

#define WEIR_WORKER_ABI 2

typedef struct weir_worker weir_worker;

/* A kind of worker. All callbacks run on the worker's own thread. context is what init returned. */
typedef struct weir_worker_ops {
    int abi;
    const char *name; /* "ingest" */
    const char *doc;
    /** Opens stores, declares topics through weir_worker_subscribe. RETRY errors are retried with back-off until stop. */
    weir_status (*init)(weir_worker *worker, void **ret_context, weir_err *err);
    /** Partitions arrive (offsets may be changed) or leave; may be NULL. lost: somebody else may own them already. */
    weir_status (*assigned)(void *context, weir_partition *partitions, size_t count, weir_err *err);
    weir_status (*revoked)(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err);
    /** Handles records[0..count). On OK every effect is durable and the loop stores the offsets of all of them. On RETRY nothing counts as done: the loop seeks back to the
     *  first record of each partition, backs off, and delivers them again. A single bad record is no error: weir_worker_reject it and go on. NULL: worker without topics. */
    weir_status (*batch)(void *context, const weir_bus_record *records, size_t count, weir_err *err);
    /** Called at least every tick_ms and after each batch; may be NULL. */
    weir_status (*tick)(void *context, int64_t mono_us, weir_err *err);
    /** Frees the context; accepts a half-built one and NULL. */
    void (*done)(void *context);
    int tick_ms; /* 0: 100 */
    bool needs_training; /* has nothing to do for a pipeline without a `training` section */
    bool is_aside; /* the pipeline works without it: /readyz tells how it is, but does not depend on it */
    /** Both or neither. With them batch() only begins: it queues records to the producer and keeps what it knows in memory, and does not return REJECT.
     *  checkpoint makes durable everything that batch() was given so far; the loop then flushes the producer and stores the offsets. It is called every
     *  env->checkpoint_ms while there is something to make durable, when weir_worker_checkpoint_soon was called, before partitions leave (unless they are lost) and at stop.
     *  reset forgets everything since the last checkpoint and makes the held partitions as that left them: called after batch, checkpoint or flush gave RETRY, before the
     *  same records come again. A RETRY of its own is tried again. */
    weir_status (*checkpoint)(void *context, weir_err *err);
    weir_status (*reset)(void *context, weir_err *err);
} weir_worker_ops;

/* What every worker of a process shares. Borrowed; outlives the workers. */
typedef struct weir_worker_env {
    const char *brokers;
    const char *registry_url;
    const char *pg_url;
    const char *state_dir; /* each worker makes its own folder below it */
    const char *objects_dir; /* models and other artifacts */
    const char *instance; /* name of this instance among others on the same machine; "0" */
    weir_clock *clock;
    weir_http_server *http; /* may be NULL in tests */
    bool http_tokens; /* the API asks for tokens */
    int http_linger_ms; /* the API goes on answering so long after a stop, while it says that it is not ready */
    int batch_max; /* records a poll hands over at most */
    int poll_ms; /* longest wait for the first record */
    int drain_ms; /* deadline for draining at stop */
    int checkpoint_ms; /* between two checkpoints; 0: 1000 */
    int64_t memory_bytes; /* for states in memory, of one worker; 0: 1 GiB */
    void *shared; /* process-wide object of the upper layers (consumers/shared.h) */
} weir_worker_env;

/* How long a worker's thread may be away before weir_worker_confirm asks the group. */
enum { WEIR_WORKER_AWAY_MS = 2000 };

weir_status weir_worker_new(const weir_worker_ops *ops, const weir_worker_env *env, const char *pipeline, void *setup, weir_worker **ret_worker,
                            weir_err *err) WEIR_MUST_CHECK;
void weir_worker_free(weir_worker *worker);
/** Runs until weir_worker_stop, then drains: returns OK after a clean end, the error of a FATAL otherwise. */
weir_status weir_worker_run(weir_worker *worker, weir_err *err) WEIR_MUST_CHECK;
/** Async-signal-safe and thread-safe. */
void weir_worker_stop(weir_worker *worker);
bool weir_worker_stopping(const weir_worker *worker);
/** A thread still uses what the worker was given (its env, its setup, what those name): the process must end without freeing any of it. */
bool weir_worker_abandoned(const weir_worker *worker);
/** Ready: init done, partitions assigned, nothing being retried. Read by /readyz. */
bool weir_worker_ready(const weir_worker *worker);

/* For use in init: */
const weir_worker_env *weir_worker_env_of(const weir_worker *worker);
const char *weir_worker_pipeline(const weir_worker *worker);
void *weir_worker_setup(const weir_worker *worker); /* what weir_worker_new was given */
/** Topics to consume in group "weir.<worker>.<pipeline>"; copied. Without a call the worker has no consumer. */
weir_status weir_worker_subscribe(weir_worker *worker, const char *const *topics, size_t count, weir_err *err) WEIR_MUST_CHECK;
/** Topic for rejects. */
void weir_worker_set_deadletter(weir_worker *worker, const char *topic);
/* For use in batch, tick: */
weir_producer *weir_worker_producer(weir_worker *worker);
/** The next checkpoint comes after this batch. */
void weir_worker_checkpoint_soon(weir_worker *worker);
weir_arena *weir_worker_scratch(weir_worker *worker); /* reset before each batch */
weir_consumer *weir_worker_consumer(weir_worker *worker); /* NULL without topics */
/** Before what a batch leads to is written for good: a process that was stopped in the meantime may have lost its partitions, and somebody else did the same work. Costs a look at the
 *  clock, and where this thread was away for WEIR_WORKER_AWAY_MS an answer of the group (weir_consumer_confirm). first: the batch's first record. */
weir_status weir_worker_confirm(weir_worker *worker, const weir_bus_record *first, weir_err *err) WEIR_MUST_CHECK;
/** Queues the record, key and value unchanged, to the dead letter topic with the contract's headers; error_class is a short stable word ("decode", "schema", "check",
 *  "future", "late", "oversize"). Counted in weir_<worker>_deadletters_total. Durable with the batch: the loop flushes the producer after batch() returns OK and before
 *  offsets are stored. */
weir_status weir_worker_reject(weir_worker *worker, const weir_bus_record *record, const char *error_class, const weir_err *why, weir_err *err) WEIR_MUST_CHECK;

/** For use in done: a thread of the worker's own could not be stopped in time. */
void weir_worker_abandon(weir_worker *worker);

/** Runs several workers, each on a thread, until SIGTERM/SIGINT or until one fails; then stops all in reverse order. Serves /healthz and /readyz on env->http.
 *  Returns the first failure. */
weir_status weir_workers_run(weir_worker *const *workers, size_t count, weir_err *err) WEIR_MUST_CHECK;

#endif
