/* What the files of the serve worker share; used by serve*.c only. */
#ifndef WEIR_CONSUMERS_SERVE_PARTS_H
#define WEIR_CONSUMERS_SERVE_PARTS_H

#include <pthread.h>
#include <string.h>

#include "consumers/infer_json.h"
#include "consumers/shared.h"
#include "core/http.h"
#include "core/metrics.h"
#include "features/tenants.h"

typedef enum serve_endpoint { ENDPOINT_HEALTH, ENDPOINT_METADATA, ENDPOINT_INFER, ENDPOINT_FEATURES, ENDPOINT_PUSH, ENDPOINT_COUNT } serve_endpoint;
enum { OUTCOME_COUNT = 3 /* 2xx, 4xx, 5xx */, SERVE_FEEDS = 2, SERVE_PARAMETER_MAX = 96 };

/* What one thread of the HTTP server needs for itself. Made on its first request, freed with the worker. */
typedef struct serve_thread {
    weir_serving_reader *reader;
    weir_serde *serdes[SERVE_FEEDS]; /* by weir_feed; made on first push */
    weir_grant grant; /* of the request's caller */
    weir_arena arena; /* one request */
    weir_buf buf;
    struct serve_thread *next;
} serve_thread;

typedef struct serve {
    uint64_t id; /* of this object among all that the process made; from 1 */
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_shared *shared;
    weir_serving *serving;
    int entity_columns[WEIR_VIEWS_MAX][WEIR_KEY_COLUMNS_MAX]; /* of each view, in the events' schema */
    char age_names[WEIR_VIEWS_MAX][SERVE_PARAMETER_MAX],
        missing_names[WEIR_VIEWS_MAX][SERVE_PARAMETER_MAX]; /* "VIEW.age_seconds", "VIEW.missing": parameters of answers */
    weir_tokens *tokens; /* NULL: the API is open to whoever reaches it */
    int64_t tokens_at_us; /* monotonic: when they are read again */
    bool routed;
    pthread_mutex_t threads_lock;
    serve_thread *threads;
    pthread_mutex_t push_lock; /* a flush answers for what everybody sent: one push at a time */
    weir_producer *producer;
    weir_metric *requests[ENDPOINT_COUNT][OUTCOME_COUNT], *seconds[ENDPOINT_COUNT];
} serve;

/* Endpoints answer into response, or return an error that becomes one. */
weir_status serve_infer(serve *s, serve_thread *thread, const weir_model_path *path, const weir_http_request *request, weir_http_response *response,
                        weir_err *err) WEIR_MUST_CHECK;
weir_status serve_online_features(serve *s, serve_thread *thread, const weir_http_request *request, weir_http_response *response,
                                  weir_err *err) WEIR_MUST_CHECK;
weir_status serve_push(serve *s, serve_thread *thread, const weir_http_request *request, weir_http_response *response, weir_err *err) WEIR_MUST_CHECK;

/** What a path means: the version of a model, by its number or alias, or any that serves; by the pipeline's own name and no version the champion. Errors: WEIR_ENOTFOUND saying what
 *  is served. */
weir_status serve_find(const serve *s, const weir_arms *arms, const weir_model_path *path, const weir_served **ret_served, weir_err *err) WEIR_MUST_CHECK;
/** Whether a path means the pipeline with its split, rather than one model. */
static inline bool serve_is_split(const serve *s, const weir_model_path *path) {
    return !path->version && !path->alias[0] && !strcmp(path->name, s->pipeline->name);
}
/** Rows of the request belong to the caller's tenant: a row that names another one is refused, one that names none gets it. table: what the rows were made from. Errors:
 *  WEIR_EDENIED REJECT. */
weir_status serve_own_rows(const weir_grant *grant, const weir_json_table *table, const weir_feed_def *feed, weir_datum *rows, weir_err *err) WEIR_MUST_CHECK;
weir_status serve_no_memory(weir_err *err);

#endif
