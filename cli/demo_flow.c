/* What the metrics of running workers say about a pipeline; see demo_flow.h.
 *
 * Each topic has somebody who knows how many records it must have: the publisher for events and labels, ingest for the features, score for the predictions. A worker
 * that took fewer is not done yet, whatever its lag gauge says, because lag is only known of what the broker has told. */
#include "cli/demo_flow.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/http.h"

/* Workers whose work on a record must have ended before a phase has. Training is waited for by itself, serve does nothing by itself. */
static const char *const movers[] = {"ingest", "store", "score", "experiment"};
enum { MOVER_COUNT = sizeof movers / sizeof *movers };

double weir_flow_taken(const weir_watch *watch, const weir_pipeline *pipeline, const char *worker, const char *topic) {
    return weir_watch_sum(watch, "weir_worker_records_total", WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"worker", worker}, {"topic", topic}));
}

static double sum_of(const weir_watch *watch, const weir_pipeline *pipeline, const char *name) {
    return weir_watch_sum(watch, name, WEIR_WATCH_WITH({"pipeline", pipeline->name}));
}

static double features_of(const weir_watch *watch, const weir_pipeline *pipeline, const char *view) {
    return weir_watch_sum(watch, "weir_ingest_features_total", WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"view", view}));
}

/* How many records the topic was given; −1: nobody knows. */
static double records_of(const weir_watch *watch, const weir_pipeline *pipeline, const weir_published *published, const char *topic) {
    size_t len = strlen(pipeline->name);
    if (!strcmp(topic, pipeline->events.topic)) return (double)published->events;
    if (pipeline->labels.topic && !strcmp(topic, pipeline->labels.topic)) return (double)published->labels;
    if (strncmp(topic, pipeline->name, len) != 0 || topic[len] != '.') return -1;
    if (!strcmp(topic + len + 1, "predictions")) return sum_of(watch, pipeline, "weir_score_predictions_total");
    if (!strncmp(topic + len + 1, "features.", 9)) return features_of(watch, pipeline, topic + len + 10);
    return -1;
}

static bool has_taken(const weir_watch *watch, const weir_pipeline *pipeline, const weir_published *published, const char *worker, const char *topic,
                      char why[WEIR_WAITING_MAX]) {
    double missing = records_of(watch, pipeline, published, topic) - weir_flow_taken(watch, pipeline, worker, topic);
    if (missing < 0.5) return true;
    snprintf(why, WEIR_WAITING_MAX, "%s has still to take %.0f records of %s", worker, missing, topic);
    return false;
}

/* Some pairs must be there even before a worker has taken its first record. */
static bool all_taken(const weir_watch *watch, const weir_pipeline *pipeline, const weir_published *published, char why[WEIR_WAITING_MAX]) {
    if (!has_taken(watch, pipeline, published, "ingest", pipeline->events.topic, why)) return false;
    if (pipeline->labels.topic && !has_taken(watch, pipeline, published, "ingest", pipeline->labels.topic, why)) return false;
    for (int v = 0; v < pipeline->view_count; v++) {
        char topic[256];
        snprintf(topic, sizeof topic, "%s.features.%s", pipeline->name, pipeline->views[v].name);
        if (!has_taken(watch, pipeline, published, "store", topic, why)) return false;
    }
    for (int m = 0; m < MOVER_COUNT; m++)
        for (const weir_series *s = NULL;
             (s = weir_watch_next(watch, "weir_worker_records_total", WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"worker", movers[m]}), s));)
            if (!has_taken(watch, pipeline, published, movers[m], weir_series_label(s, "topic"), why)) return false;
    return true;
}

static bool none_behind(const weir_watch *watch, const weir_pipeline *pipeline, char why[WEIR_WAITING_MAX]) {
    for (int m = 0; m < MOVER_COUNT; m++) {
        const weir_watch_label *labels = WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"worker", movers[m]});
        for (const weir_series *s = NULL; (s = weir_watch_next(watch, "weir_worker_ready", labels, s));)
            if (s->value < 1) {
                snprintf(why, WEIR_WAITING_MAX, "%s is not ready", movers[m]);
                return false;
            }
        double lag = weir_watch_sum(watch, "weir_worker_lag_records", labels);
        if (lag >= 0.5) {
            snprintf(why, WEIR_WAITING_MAX, "%s is %.0f records behind", movers[m], lag);
            return false;
        }
    }
    return true;
}

bool weir_flow_idle(const weir_watch *watch, const weir_pipeline *pipeline, const weir_published *published, bool scoring, char why[WEIR_WAITING_MAX]) {
    if (published && !all_taken(watch, pipeline, published, why)) return false;
    if (!none_behind(watch, pipeline, why)) return false;
    if (published && scoring) {
        double vectors = features_of(watch, pipeline, pipeline->views[pipeline->primary_view].name);
        double scored = sum_of(watch, pipeline, "weir_score_predictions_total") + sum_of(watch, pipeline, "weir_score_errors_total") +
                        sum_of(watch, pipeline, "weir_score_unserved_total");
        if (vectors - scored >= 0.5) {
            snprintf(why, WEIR_WAITING_MAX, "score has still to score %.0f records", vectors - scored);
            return false;
        }
    }
    why[0] = 0;
    return true;
}

int64_t weir_flow_lag(const weir_watch *watch, const weir_pipeline *pipeline) {
    double lag = 0;
    for (int m = 0; m < MOVER_COUNT; m++)
        lag += weir_watch_sum(watch, "weir_worker_lag_records", WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"worker", movers[m]}));
    return lag > 0 ? llround(lag) : 0;
}

int64_t weir_flow_event_time(const weir_watch *watch, const weir_pipeline *pipeline) {
    double newest = 0;
    const weir_watch_label *labels = WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"topic", pipeline->events.topic});
    for (const weir_series *s = NULL; (s = weir_watch_next(watch, "weir_ingest_event_time_seconds", labels, s));) newest = fmax(newest, s->value);
    return newest > 0 && newest < 1e11 ? llround(newest * 1e6) : INT64_MIN;
}

static double arm_metric(const weir_watch *watch, const weir_pipeline *pipeline, const weir_live_view *view, int arm, const char *metric) {
    char version[16];
    snprintf(version, sizeof version, "%d", view->arms[arm].version);
    const weir_series *s = weir_watch_next(
        watch, "weir_experiment_metric_ratio",
        WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"arm", view->arms[arm].arm}, {"model", view->arms[arm].model}, {"version", version}, {"metric", metric}),
        NULL);
    return s ? s->value : NAN;
}

void weir_flow_show(const weir_watch *watch, const weir_pipeline *pipeline, weir_live_view *view) {
    view->events = llround(weir_flow_taken(watch, pipeline, "ingest", pipeline->events.topic));
    view->labels = pipeline->labels.topic ? llround(weir_flow_taken(watch, pipeline, "ingest", pipeline->labels.topic)) : 0;
    view->features = llround(sum_of(watch, pipeline, "weir_ingest_features_total"));
    view->dead_letters = llround(sum_of(watch, pipeline, "weir_worker_deadletters_total"));
    view->lag = weir_flow_lag(watch, pipeline);
    view->event_time_us = weir_flow_event_time(watch, pipeline);
    for (int a = 0; a < WEIR_LIVE_ARMS; a++) {
        const weir_watch_label *labels = WEIR_WATCH_WITH({"pipeline", pipeline->name}, {"arm", view->arms[a].arm});
        const weir_series *info = weir_watch_next(watch, "weir_score_model_info", labels, NULL);
        if (info) {
            snprintf(view->arms[a].model, sizeof view->arms[a].model, "%s", weir_series_label(info, "model"));
            sscanf(weir_series_label(info, "version"), "%d", &view->arms[a].version);
        }
        view->arms[a].predictions = llround(weir_watch_sum(watch, "weir_score_predictions_total", labels));
        view->arms[a].labelled = llround(weir_watch_sum(watch, "weir_experiment_predictions_joined_total", labels));
        view->arms[a].auc = arm_metric(watch, pipeline, view, a, "auc_roc");
        view->arms[a].average_precision = arm_metric(watch, pipeline, view, a, "average_precision");
    }
}

/* ---- waiting ---- */

weir_status weir_flow_ready(const char *host, int64_t port, bool *ret_ready, char why[WEIR_WAITING_MAX], weir_err *err) {
    char url[160];
    weir_buf body = {0};
    int http_status = 0;
    snprintf(url, sizeof url, "http://%s:%lld/readyz", host, (long long)port);
    weir_status status = weir_http_call("GET", url, NULL, NULL, 0, 2000, &http_status, &body, err);
    weir_buf_done(&body);
    *ret_ready = !status && http_status == 200;
    snprintf(why, WEIR_WAITING_MAX, "waiting for the workers at %s", url);
    return status && err->action != WEIR_ACTION_RETRY ? status : WEIR_OK;
}

bool weir_patience_over(weir_patience *patience, const char *why, int64_t now_us, int64_t patience_us) {
    if (!patience->since_us || strcmp(why, patience->why) != 0) {
        snprintf(patience->why, sizeof patience->why, "%s", why);
        patience->since_us = now_us;
    }
    return now_us - patience->since_us > patience_us;
}
