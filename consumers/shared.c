/* The process's share: one pipeline, one registry client, at most one serving state; and the table of worker kinds. */
#include "consumers/shared.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/kinds.h"

weir_status weir_shared_init(weir_shared *shared, const weir_pipeline *pipeline, const char *registry_url, const char *serving_name, weir_err *err) {
    *shared = (weir_shared){.pipeline = pipeline, .serving_name = serving_name, .replicated = ~0u};
    pthread_mutex_init(&shared->lock, NULL);
    return weir_registry_new(registry_url, &shared->registry, err);
}

void weir_shared_done(weir_shared *shared) {
    if (shared->serving) weir_serving_stop(shared->serving);
    weir_registry_free(shared->registry);
    pthread_mutex_destroy(&shared->lock);
    *shared = (weir_shared){0};
}

weir_status weir_shared_take_serving(weir_shared *shared, const weir_worker_env *env, weir_serving **ret_serving, weir_err *err) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&shared->lock);
    if (!shared->serving) status = weir_serving_start(env, shared->pipeline, shared->registry, shared->replicated, shared->serving_name, &shared->serving, err);
    if (!status) {
        shared->serving_users++;
        *ret_serving = shared->serving;
    }
    pthread_mutex_unlock(&shared->lock);
    return status;
}

void weir_shared_drop_serving(weir_shared *shared, weir_serving **serving) {
    if (!*serving) return;
    *serving = NULL;
    pthread_mutex_lock(&shared->lock);
    if (--shared->serving_users == 0) {
        weir_serving_stop(shared->serving);
        shared->serving = NULL;
    }
    pthread_mutex_unlock(&shared->lock);
}

weir_status weir_shared_set_deadletter(const weir_shared *shared, weir_worker *worker, weir_err *err) {
    char *topic = weir_topic_of(shared->pipeline, "deadletter");
    if (!topic) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a topic name");
    weir_worker_set_deadletter(worker, topic);
    free(topic);
    return WEIR_OK;
}

/* In the order in which `weir run` starts them; they stop in reverse. */
static const weir_worker_ops *const kinds[] = {&weir_store_ops,
                                               &weir_mlflow_ops,
                                               &weir_train_ops,
                                               &weir_score_ops,
                                               &weir_serve_ops,
                                               &weir_experiment_ops,
                                               &weir_rollout_ops,
                                               &weir_parity_ops,
                                               &weir_trigger_ops,
                                               &weir_drift_ops,
                                               &weir_schedule_ops,
                                               &weir_ingest_ops,
                                               NULL};

const weir_worker_ops *const *weir_worker_kinds(void) {
    return kinds;
}

const weir_worker_ops *weir_worker_kind_find(const char *name) {
    for (const weir_worker_ops *const *kind = kinds; *kind; kind++)
        if (!strcmp((*kind)->name, name)) return *kind;
    return NULL;
}
