/* What the measurements share: time, the fraud pipeline under names of its own, a worker on a thread. Any failure ends the program with its message. */
#ifndef WEIR_TESTS_BENCH_HARNESS_H
#define WEIR_TESTS_BENCH_HARNESS_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "core/pg.h"
#include "core/worker.h"
#include "features/pipeline.h"

static inline void die_on(weir_status status, const weir_err *err) {
    if (!status) return;
    fprintf(stderr, "bench: %s\n", err->message);
    exit(weir_status_exit(status));
}

static inline double now_s(void) {
    return (double)weir_clock_mono_us(weir_clock_system()) / 1e6;
}

/* Of the whole process, threads of librdkafka included. */
static inline double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static inline int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Takes the text of a pipeline file over as JSON, frees it. */
static inline weir_pipeline *pipeline_from(cJSON *json) {
    char *text = cJSON_PrintUnformatted(json);
    weir_pipeline *pipeline = NULL;
    weir_err err;
    die_on(weir_pipeline_parse(text, NULL, &pipeline, &err), &err);
    cJSON_free(text);
    cJSON_Delete(json);
    return pipeline;
}

/* The fraud pipeline under another name, so that a bench never touches a user's topics, with its events and labels in NAME.events and NAME.labels of two names. customer_only:
 * without the view of terminals, and so without training, which names features of terminals. */
static inline weir_pipeline *fraud_pipeline(const char *name, const char *events, const char *labels, bool customer_only) {
    cJSON *json = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data);
    char topic[2][128];
    snprintf(topic[0], sizeof topic[0], "%s.events", events);
    snprintf(topic[1], sizeof topic[1], "%s.labels", labels);
    cJSON_ReplaceItemInObjectCaseSensitive(json, "pipeline", cJSON_CreateString(name));
    cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "source"), "topic", cJSON_CreateString(topic[0]));
    cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "labels"), "topic", cJSON_CreateString(topic[1]));
    if (customer_only) {
        cJSON_DeleteItemFromArray(cJSON_GetObjectItemCaseSensitive(json, "views"), 1);
        cJSON_DeleteItemFromObjectCaseSensitive(json, "training");
    }
    return pipeline_from(json);
}

typedef struct running {
    weir_worker *worker;
    pthread_t thread;
    weir_status status;
    weir_err err;
} running;

static inline void *run_worker(void *context) {
    running *r = context;
    r->status = weir_worker_run(r->worker, &r->err);
    return NULL;
}

static inline void start_worker(const weir_worker_ops *ops, const weir_worker_env *env, const char *pipeline, running *r) {
    weir_err err;
    *r = (running){0};
    die_on(weir_worker_new(ops, env, pipeline, NULL, &r->worker, &err), &err);
    if (pthread_create(&r->thread, NULL, run_worker, r)) exit(3);
}

static inline void stop_worker(running *r) {
    weir_worker_stop(r->worker);
    pthread_join(r->thread, NULL);
    weir_worker_free(r->worker);
    die_on(r->status, &r->err);
}

#endif
