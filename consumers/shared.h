/* What the workers of one process share above core: the pipeline, and the serving state that score and serve both read. */
#ifndef WEIR_CONSUMERS_SHARED_H
#define WEIR_CONSUMERS_SHARED_H

#include <pthread.h>

#include "consumers/serving.h"
#include "core/worker.h"
#include "features/pipeline.h"

/* Under which PostgreSQL keeps what of a topic partition is in the offline store, and the highest epoch met there. */
#define WEIR_STORE_SINK "store"
#define WEIR_STORE_EPOCH_SINK "store.epoch"

/* The `shared` of weir_worker_env. One per process and pipeline; the caller owns the pipeline. */
typedef struct weir_shared {
    const weir_pipeline *pipeline;
    weir_registry *registry;
    pthread_mutex_t lock; /* guards serving and serving_users */
    const char *serving_name; /* of the serving state's folder */
    unsigned replicated; /* a bit for each view that the serving state has; all, unless set otherwise after weir_shared_init */
    const struct weir_train_service *training; /* of train workers (consumers/train_service.h); set after weir_shared_init. Borrowed */
    const char *mlflow_uri, *mlflow_token; /* of the server in which runs are shown; set after weir_shared_init, NULL or "": none. Borrowed */
    weir_serving *serving;
    int serving_users;
} weir_shared;

/** serving_name: see weir_serving_start; borrowed. */
weir_status weir_shared_init(weir_shared *shared, const weir_pipeline *pipeline, const char *registry_url, const char *serving_name,
                             weir_err *err) WEIR_MUST_CHECK;
void weir_shared_done(weir_shared *shared);
/** The process's serving state, started on first use. Give it back with weir_shared_drop_serving. */
weir_status weir_shared_take_serving(weir_shared *shared, const weir_worker_env *env, weir_serving **ret_serving, weir_err *err) WEIR_MUST_CHECK;
void weir_shared_drop_serving(weir_shared *shared, weir_serving **serving);

/** Rejects of the worker go to the pipeline's dead letters. For use in init. */
weir_status weir_shared_set_deadletter(const weir_shared *shared, weir_worker *worker, weir_err *err) WEIR_MUST_CHECK;

/** The kinds of worker, NULL-terminated: ingest, store, score, serve, train, experiment, rollout, parity, mlflow, trigger, schedule. */
const weir_worker_ops *const *weir_worker_kinds(void);
const weir_worker_ops *weir_worker_kind_find(const char *name); /* NULL when there is none */

#endif
