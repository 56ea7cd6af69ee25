/* Whether a version degraded is a row of weir.degradations; events are sent from the rows. So a restart tells nothing twice, and of several experiment workers one tells.
 *
 * Judged are the newest labelled predictions in the order in which their labels became known, as many as WEIR_DEGRADATION_WINDOW times min_rows: older ones would hide
 * what changed. Where outcomes of one kind become known sooner than others the newest are not a fair sample; metrics of ranking (roc_auc) do not mind. */
#include "consumers/degrade.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/alert.h"
#include "consumers/estimation.h"
#include "consumers/shared.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/degradation.h"
#include "models/model.h"

enum { ALERT_ID_MAX = 200, SUMMARY_MAX = 256, FLUSH_MS = 10000 };
#define ALPHA 0.05 /* false alarms of a version over all its life */

/* The last look at a version, and what was estimated of it last. */
typedef struct watched {
    char arm[16], digest[65];
    int64_t look, estimated_at; /* in min_rows of labels, of predictions */
    weir_estimation estimation;
} watched;

struct weir_degrade {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    const weir_degradation_def *def;
    weir_clock *clock;
    weir_pg *pg;
    const weir_model_metric *metric;
    weir_event_codec codec;
    bool codec_ready;
    watched watched[WEIR_ARMS_MAX];
    int watched_count;
};

/* ---- life ---- */

/* As the versions' metrics call it. */
static const char *stored_name(const weir_model_metric *metric) {
    return metric->task == WEIR_TASK_BINARY && !strcmp(metric->name, "roc_auc") ? "auc_roc" : metric->name;
}

static weir_status find_metric(const weir_degradation_def *def, const weir_recipe *recipe, const weir_model_metric **ret_metric, weir_err *err) {
    const char *name = def->metric && !strcmp(def->metric, "auc_roc") ? "roc_auc" : def->metric;
    *ret_metric = name ? weir_model_metric_find(recipe->task, name) : recipe->metric;
    if (!*ret_metric) return WEIR_FAIL(err, WEIR_EINVAL, "triggers.performance.metric: a %s model has no metric %s", weir_task_name(recipe->task), name);
    if (!weir_degradation_comparable(*ret_metric))
        return WEIR_FAIL(err, WEIR_EINVAL, "triggers.performance.metric: %s depends on the number of rows, so live and test values cannot be compared",
                         (*ret_metric)->name);
    return WEIR_OK;
}

void weir_degrade_free(weir_degrade *degrade) {
    if (!degrade) return;
    if (degrade->codec_ready) weir_event_codec_done(&degrade->codec);
    free(degrade);
}

weir_status weir_degrade_new(weir_worker *worker, weir_pg *pg, const weir_recipe *recipe, weir_degrade **ret_degrade, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    const weir_degradation_def *def = &shared->pipeline->triggers.performance;
    const weir_model_metric *metric;
    *ret_degrade = NULL;
    if (!def->enabled) return WEIR_OK;
    weir_status status = find_metric(def, recipe, &metric, err);
    if (status) return status;
    weir_degrade *d = weir_mem.realloc(NULL, sizeof *d);
    if (!d) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to watch for degradation");
    *d = (weir_degrade){.worker = worker, .pipeline = shared->pipeline, .def = def, .clock = env->clock, .pg = pg, .metric = metric};
    status = weir_alert_codec_init(&d->codec, shared->registry, err);
    d->codec_ready = !status;
    if (status) {
        weir_degrade_free(d);
        return status;
    }
    *ret_degrade = d;
    return WEIR_OK;
}

/* ---- judging ---- */

/* The place of the version's last look; a version that is new takes the oldest place. */
static watched *watched_of(weir_degrade *d, const weir_arm_measure *arm) {
    for (int i = 0; i < d->watched_count; i++) {
        if (!strcmp(d->watched[i].digest, arm->digest) && !strcmp(d->watched[i].arm, arm->arm)) return &d->watched[i];
    }
    if (d->watched_count == WEIR_ARMS_MAX) memmove(d->watched, d->watched + 1, (size_t)--d->watched_count * sizeof *d->watched);
    watched *w = &d->watched[d->watched_count++];
    *w = (watched){.estimation = {.value = NAN, .error = NAN}};
    memcpy(w->arm, arm->arm, sizeof w->arm);
    memcpy(w->digest, arm->digest, sizeof w->digest);
    return w;
}

/* The test metrics of a version while an alias points at it; NULL when none does, or it has none yet. The caller deletes them. */
static weir_status read_metrics(weir_degrade *d, const weir_arm_measure *arm, cJSON **ret_metrics, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {d->pipeline->name, arm->arm, arm->model, arm->digest};
    weir_status status =
        weir_pg_exec(d->pg,
                     "SELECT v.metrics FROM weir.model_versions v JOIN weir.aliases a USING (pipeline, model, version) WHERE v.pipeline = $1 AND "
                     "a.alias = $2 AND v.model = $3 AND v.digest = $4 AND v.metrics IS NOT NULL",
                     4, params, &result, err);
    *ret_metrics = NULL;
    if (status) return status;
    if (PQntuples(result) == 1) *ret_metrics = cJSON_Parse(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

typedef struct dated {
    int64_t known_us, index;
} dated;

static int newest_first(const void *a, const void *b) {
    const dated *x = a, *y = b;
    if (x->known_us != y->known_us) return (x->known_us < y->known_us) - (x->known_us > y->known_us);
    return (x->index > y->index) - (x->index < y->index);
}

/* The newest rows as columns; one block, which the caller frees by `score`. */
typedef struct window {
    int64_t count, newest_us; /* the latest event of all rows */
    double *score, *label;
    uint32_t *entity;
} window;

static weir_status window_make(const weir_arm_rows *rows, int64_t most, window *ret_window, weir_err *err) {
    int64_t count = rows->count < most ? rows->count : most;
    dated *order = weir_mem.realloc(NULL, (size_t)rows->count * sizeof *order);
    double *block = weir_mem.realloc(NULL, (size_t)count * (2 * sizeof(double) + sizeof(uint32_t)));
    if (!order || !block) {
        free(order);
        free(block);
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the newest of %lld rows", (long long)rows->count);
    }
    for (int64_t i = 0; i < rows->count; i++) order[i] = (dated){rows->known_us[i], i};
    qsort(order, (size_t)rows->count, sizeof *order, newest_first);
    *ret_window = (window){count, INT64_MIN, block, block + count, (uint32_t *)(void *)(block + 2 * count)};
    for (int64_t i = 0; i < rows->count; i++) {
        if (rows->time_us[i] > ret_window->newest_us) ret_window->newest_us = rows->time_us[i];
    }
    for (int64_t i = 0; i < count; i++) {
        ret_window->score[i] = rows->score[order[i].index];
        ret_window->label[i] = rows->label[order[i].index];
        ret_window->entity[i] = rows->entity[order[i].index];
    }
    free(order);
    return WEIR_OK;
}

static weir_status judge(weir_degrade *d, const cJSON *metrics, const window *w, int64_t look, weir_degradation *ret_degradation, weir_err *err) {
    const weir_degradation_settings settings = {
        .metric = d->metric,
        .threshold = weir_json_number(metrics, "threshold", 0.5),
        .reference = weir_json_number(metrics, stored_name(d->metric), NAN),
        .reference_count = weir_json_number(metrics, d->metric->task == WEIR_TASK_BINARY ? "positives" : "rows", 0),
        .drop = d->def->drop,
        .min_rows = d->def->min_rows,
        .alpha = ALPHA,
    };
    const weir_outcomes outcomes = {.row_count = w->count, .label = w->label, .score = w->score};
    return weir_degradation_judge(&settings, &outcomes, w->entity, look, ret_degradation, err);
}

static void set_or_hide(weir_metric *gauge, double value) {
    if (isfinite(value)) {
        weir_metric_set(gauge, value);
    } else {
        weir_metric_hide(gauge);
    }
}

static weir_status estimate(weir_degrade *d, const weir_arm_measure *arm, const cJSON *metrics, const window *w, weir_estimation *ret_estimation,
                            weir_err *err) {
    char version[16];
    const char *pipeline = d->pipeline->name, *name = stored_name(d->metric);
    const weir_estimation_input input = {
        .metric = d->metric,
        .threshold = weir_json_number(metrics, "threshold", 0.5),
        .min_rows = d->def->min_rows,
        .max_rows = WEIR_DEGRADATION_WINDOW * d->def->min_rows,
        .count = w->count,
        .score = w->score,
        .label = w->label,
        .labelled_until_us = w->newest_us,
    };
    weir_status status = weir_estimation_make(d->pg, d->pipeline, arm, &input, ret_estimation, err);
    if (status) return status;
    snprintf(version, sizeof version, "%d", arm->version);
    set_or_hide(WEIR_METRIC("weir_experiment_estimated_ratio", pipeline, arm->model, version, arm->arm, name), ret_estimation->value);
    set_or_hide(WEIR_METRIC("weir_experiment_estimate_error_ratio", pipeline, arm->model, version, arm->arm, name), ret_estimation->error);
    return WEIR_OK;
}

/* ---- what is remembered ---- */

static weir_status detail_of(const weir_degrade *d, const weir_arm_measure *arm, const cJSON *metrics, const weir_degradation *found,
                             const weir_estimation *estimation, char **ret_text, weir_err *err) {
    cJSON *detail = cJSON_CreateObject();
    double reference = weir_json_number(metrics, stored_name(d->metric), NAN);
    cJSON_AddStringToObject(detail, "metric", stored_name(d->metric));
    cJSON_AddStringToObject(detail, "model", arm->model);
    cJSON_AddNumberToObject(detail, "version", arm->version);
    cJSON_AddStringToObject(detail, "arm", arm->arm);
    cJSON_AddNumberToObject(detail, "value", found->value);
    cJSON_AddNumberToObject(detail, "reference", reference);
    cJSON_AddNumberToObject(detail, "low", found->low);
    cJSON_AddNumberToObject(detail, "high", found->high);
    cJSON_AddNumberToObject(detail, "limit", found->limit);
    cJSON_AddNumberToObject(detail, "rows", (double)found->rows);
    cJSON_AddNumberToObject(detail, "drop", found->share);
    cJSON_AddNumberToObject(detail, "expected_drop", found->share * fabs(reference)); /* in the metric's unit, as the trigger worker weighs it */
    if (isfinite(estimation->value)) {
        cJSON_AddNumberToObject(detail, "estimated", estimation->value);
        cJSON_AddNumberToObject(detail, "estimated_rows", (double)estimation->rows);
    }
    if (isfinite(estimation->error)) cJSON_AddNumberToObject(detail, "estimate_error", estimation->error);
    *ret_text = detail ? cJSON_PrintUnformatted(detail) : NULL;
    cJSON_Delete(detail);
    return *ret_text ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the details of a degradation");
}

/* Changes the row when there is something to change; what changed is to be told. */
static weir_status remember(weir_degrade *d, const weir_arm_measure *arm, bool firing, const char *summary, const char *detail, weir_err *err) {
    char id[ALERT_ID_MAX], version[16], at[WEIR_TIME_TEXT_MAX];
    snprintf(id, sizeof id, "%s/degradation/%s/%s/%d", d->pipeline->name, arm->arm, arm->model, arm->version);
    snprintf(version, sizeof version, "%d", arm->version);
    const char *params[] = {id, weir_time_format(weir_clock_wall_us(d->clock), at), summary, detail, d->pipeline->name, arm->model, version, arm->arm};
    return firing ? weir_pg_exec(
                        d->pg,
                        "INSERT INTO weir.degradations AS d (alert_id, changed_at, summary, detail, pipeline, model, version, arm, firing) VALUES "
                        "($1, $2::timestamptz, $3, $4::jsonb, $5, $6, $7::int, $8, true) ON CONFLICT (alert_id) DO UPDATE SET firing = true, changed_at = "
                        "excluded.changed_at, summary = excluded.summary, detail = excluded.detail, sent_at = NULL WHERE NOT d.firing",
                        8, params, NULL, err)
                  : weir_pg_exec(
                        d->pg,
                        "UPDATE weir.degradations SET firing = false, changed_at = $2::timestamptz, summary = $3, detail = $4::jsonb, sent_at = NULL WHERE "
                        "alert_id = $1 AND firing",
                        4, params, NULL, err);
}

/* Fires when the whole interval is beyond the limit; is over when the value itself is back: between the two nothing changes, so that it does not flap. */
static weir_status conclude(weir_degrade *d, const weir_arm_measure *arm, const cJSON *metrics, const weir_degradation *found,
                            const weir_estimation *estimation, weir_err *err) {
    char version[16], summary[SUMMARY_MAX], *detail = NULL;
    bool is_back = d->metric->greater_is_better ? found->value >= found->limit : found->value <= found->limit;
    snprintf(version, sizeof version, "%d", arm->version);
    weir_metric_set(WEIR_METRIC("weir_experiment_degradation_ratio", d->pipeline->name, arm->model, version, arm->arm), found->share);
    if (!found->worse && !is_back) return WEIR_OK;
    snprintf(summary, sizeof summary, "%s of %s version %d (%s) is %.4g on %lld labelled predictions; it was %.4g on its test rows", stored_name(d->metric),
             arm->model, arm->version, arm->arm, found->value, (long long)found->rows, weir_json_number(metrics, stored_name(d->metric), NAN));
    weir_status status = detail_of(d, arm, metrics, found, estimation, &detail, err);
    if (!status) status = remember(d, arm, found->worse, summary, detail, err);
    cJSON_free(detail);
    return status;
}

/* Labels may be due for another look; new predictions without labels only for another estimate. */
static weir_status look_at(weir_degrade *d, watched *seen, const weir_arm_measure *arm, const weir_arm_rows *rows, int64_t look, const cJSON *metrics,
                           weir_err *err) {
    window w = {0};
    weir_degradation found = {.value = NAN};
    weir_status status = window_make(rows, WEIR_DEGRADATION_WINDOW * d->def->min_rows, &w, err);
    if (!status) status = estimate(d, arm, metrics, &w, &seen->estimation, err);
    if (!status && look > seen->look) status = judge(d, metrics, &w, look, &found, err);
    free(w.score);
    if (!status && isfinite(found.value)) status = conclude(d, arm, metrics, &found, &seen->estimation, err);
    return status;
}

weir_status weir_degrade_arm(void *degrade, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err) {
    weir_degrade *d = degrade;
    if (!d) return WEIR_OK;
    watched *seen = watched_of(d, arm);
    int64_t look = weir_degradation_look(rows->count, d->def->min_rows), predicted = arm->predictions / d->def->min_rows;
    cJSON *metrics = NULL;
    if (look < 1 || (look <= seen->look && predicted <= seen->estimated_at)) return WEIR_OK;
    weir_status status = read_metrics(d, arm, &metrics, err);
    if (!status && isfinite(weir_json_number(metrics, stored_name(d->metric), NAN))) {
        status = look_at(d, seen, arm, rows, look, metrics, err);
        if (!status) {
            seen->look = look;
            seen->estimated_at = predicted;
        }
    }
    cJSON_Delete(metrics);
    return status;
}

/* ---- telling ---- */

/* A version that is not served any more degrades nobody. */
static weir_status end_what_left(weir_degrade *d, weir_err *err) {
    char at[WEIR_TIME_TEXT_MAX];
    const char *params[] = {d->pipeline->name, weir_time_format(weir_clock_wall_us(d->clock), at)};
    return weir_pg_exec(
        d->pg,
        "UPDATE weir.degradations d SET firing = false, changed_at = $2::timestamptz, summary = d.model || ' version ' || d.version || ' is not ' || "
        "d.arm || ' any more', sent_at = NULL WHERE pipeline = $1 AND firing AND NOT EXISTS (SELECT FROM weir.aliases a WHERE a.pipeline = $1 AND "
        "a.alias = d.arm AND a.model = d.model AND a.version = d.version)",
        2, params, NULL, err);
}

/* The columns of the rows that are to be told. */
enum { ROW_ID, ROW_FIRING, ROW_AT, ROW_SUMMARY, ROW_DETAIL };

static weir_status send_one(weir_degrade *d, const PGresult *rows, int i, weir_err *err) {
    cJSON *detail = cJSON_Parse(PQgetvalue(rows, i, ROW_DETAIL));
    if (!detail) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the details of a degradation");
    const weir_alert alert = {
        .id = PQgetvalue(rows, i, ROW_ID),
        .name = "WeirDegradation",
        .summary = PQgetvalue(rows, i, ROW_SUMMARY),
        .runbook = "degradation.md",
        .firing = *PQgetvalue(rows, i, ROW_FIRING) == 't',
        .detail = detail,
    };
    weir_status status = weir_alert_send(&d->codec, weir_worker_producer(d->worker), d->pipeline->name, &alert, atoll(PQgetvalue(rows, i, ROW_AT)), err);
    if (!status) WEIR_WARN(alert.firing ? "a version degraded" : "a degradation is over", WEIR_S("alert", alert.id), WEIR_S("why", alert.summary));
    cJSON_Delete(detail);
    return status;
}

/* A step of a transaction; context is the weir_degrade. */
static weir_status tell_changes(void *context, weir_err *err) {
    weir_degrade *d = context;
    PGresult *rows = NULL;
    const char *params[] = {d->pipeline->name};
    weir_status status = end_what_left(d, err);
    if (!status)
        status = weir_pg_exec(d->pg,
                              "SELECT alert_id, firing, (extract(epoch FROM changed_at) * 1000000)::int8, summary, detail FROM weir.degradations WHERE "
                              "pipeline = $1 AND sent_at IS NULL ORDER BY changed_at FOR UPDATE SKIP LOCKED",
                              1, params, &rows, err);
    if (status) return status;
    int count = PQntuples(rows);
    for (int i = 0; !status && i < count; i++) status = send_one(d, rows, i, err);
    if (!status && count) status = weir_producer_flush(weir_worker_producer(d->worker), FLUSH_MS, err);
    for (int i = 0; !status && i < count; i++) {
        const char *id[] = {PQgetvalue(rows, i, ROW_ID)};
        status = weir_pg_exec(d->pg, "UPDATE weir.degradations SET sent_at = clock_timestamp() WHERE alert_id = $1", 1, id, NULL, err);
    }
    PQclear(rows);
    return status;
}

static weir_status show(weir_degrade *d, weir_err *err) {
    PGresult *rows = NULL;
    const char *params[] = {d->pipeline->name};
    weir_status status = weir_pg_exec(d->pg, "SELECT model, version, arm, firing FROM weir.degradations WHERE pipeline = $1", 1, params, &rows, err);
    if (status) return status;
    for (int i = 0; i < PQntuples(rows); i++) {
        weir_metric *gauge = WEIR_METRIC("weir_experiment_degraded", d->pipeline->name, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2));
        weir_metric_set(gauge, *PQgetvalue(rows, i, 3) == 't');
    }
    PQclear(rows);
    return WEIR_OK;
}

weir_status weir_degrade_tell(weir_degrade *degrade, weir_err *err) {
    if (!degrade) return WEIR_OK;
    weir_status status = weir_pg_transaction(degrade->pg, tell_changes, degrade, err);
    return status ? status : show(degrade, err);
}
