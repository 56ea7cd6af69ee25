/* The experiment worker: as labels arrive, says how good each arm is. It consumes nothing; it watches the offline store's offsets, and measures when predictions or labels
 * were added. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/degrade.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/measure.h"
#include "consumers/shared.h"
#include "consumers/slices.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/pg.h"
#include "models/recipe.h"

enum {
    TICK_MS = 2000,
    REST_FACTOR = 4, /* measuring takes at most one part in five of the time */
    METRICS_MAX = 13,
    GAUGES_MAX = WEIR_ARMS_MAX * METRICS_MAX,
    SLICE_GAUGES_MAX = 2 * WEIR_SLICES_LIST_MAX,
    FLUSH_MS = 10000,
};

/* What was counted and said of one version so far. */
typedef struct announced {
    char arm[16], digest[65];
    int version;
    int64_t labelled, outcome;
} announced;

typedef struct experiment {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    weir_event_codec codec;
    bool codec_ready;
    weir_recipe recipe;
    weir_degrade *degrade;
    int64_t seen; /* sum of the store's offsets at the last measurement; -1: none yet */
    int64_t next_us; /* monotonic: not before */
    weir_slices slices; /* of the measurement at hand */
    weir_metric *gauges[GAUGES_MAX], *slice_gauges[SLICE_GAUGES_MAX];
    int gauge_count, slice_gauge_count;
    announced said[WEIR_ARMS_MAX];
    int said_count;
} experiment;

/* ---- what changed ---- */

/* Grows with every prediction and label that the store has written, and costs a look at a few rows. */
static weir_status read_progress(experiment *e, int64_t *ret_progress, weir_err *err) {
    char *predictions = weir_topic_of(e->pipeline, "predictions");
    if (!predictions) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a topic name");
    const char *params[] = {e->pipeline->name, predictions, e->pipeline->labels.topic ? e->pipeline->labels.topic : predictions};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(e->pg, "SELECT coalesce(sum(next_offset), 0)::int8 FROM weir.sink_offsets WHERE pipeline = $1 AND topic IN ($2, $3)", 3,
                                      params, &result, err);
    free(predictions);
    if (status) return status;
    *ret_progress = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

/* ---- metrics ---- */

typedef struct metric_value {
    const char *name;
    double value;
    bool is_error; /* in units of the target */
} metric_value;

/* What the task does not have is NaN. */
static void metric_values(const weir_arm_measure *arm, metric_value values[METRICS_MAX]) {
    const weir_metrics_binary *m = &arm->metrics;
    const weir_metrics_regression *r = &arm->errors;
    const metric_value all[METRICS_MAX] = {
        {"auc_roc", m->auc_roc},
        {"average_precision", m->average_precision},
        {"f1", m->f1},
        {"precision", m->precision},
        {"recall", m->recall},
        {"brier", m->brier},
        {"card_precision", m->card_precision},
        {"r2", r->r2},
        {"mape", r->mape},
        {"rmse", r->rmse, true},
        {"mae", r->mae, true},
        {"median_absolute_error", r->median_absolute_error, true},
        {"max_error", r->max_error, true},
    };
    memcpy(values, all, sizeof all);
}

static bool holds(weir_metric *const *gauges, int count, const weir_metric *gauge) {
    for (int i = 0; i < count; i++) {
        if (gauges[i] == gauge) return true;
    }
    return false;
}

/* Hides what is not known any more. */
static void replace_gauges(weir_metric **shown, int *shown_count, weir_metric *const *now, int count) {
    for (int g = 0; g < *shown_count; g++) {
        if (!holds(now, count, shown[g])) weir_metric_hide(shown[g]);
    }
    memcpy(shown, now, (size_t)count * sizeof *now);
    *shown_count = count;
}

static void set_gauges(experiment *e, const weir_measure *measure) {
    weir_metric *now[GAUGES_MAX];
    int count = 0;
    for (int a = 0; a < measure->arm_count; a++) {
        const weir_arm_measure *arm = &measure->arms[a];
        char version[16];
        metric_value values[METRICS_MAX];
        snprintf(version, sizeof version, "%d", arm->version);
        metric_values(arm, values);
        for (int m = 0; m < METRICS_MAX; m++) {
            if (!isfinite(values[m].value)) continue;
            now[count] = values[m].is_error ? WEIR_METRIC("weir_experiment_error_value", e->pipeline->name, arm->model, version, arm->arm, values[m].name)
                                            : WEIR_METRIC("weir_experiment_metric_ratio", e->pipeline->name, arm->model, version, arm->arm, values[m].name);
            weir_metric_set(now[count++], values[m].value);
        }
    }
    replace_gauges(e->gauges, &e->gauge_count, now, count);
}

/* The metric that models are chosen by; NaN: it is none of those that are measured live. */
static double chosen_metric(const experiment *e, const weir_arm_measure *arm) {
    const char *wanted = strcmp(e->recipe.metric->name, "roc_auc") ? e->recipe.metric->name : "auc_roc";
    metric_value values[METRICS_MAX];
    metric_values(arm, values);
    for (int m = 0; m < METRICS_MAX; m++)
        if (!strcmp(values[m].name, wanted)) return values[m].value;
    return NAN;
}

static void set_slice_gauges(experiment *e) {
    weir_metric *now[SLICE_GAUGES_MAX];
    int count = 0;
    for (int i = 0; i < e->slices.count; i++) {
        const weir_slice *slice = &e->slices.list[i];
        const weir_arm_measure *arm = &slice->measure;
        char version[16];
        double value = chosen_metric(e, arm);
        snprintf(version, sizeof version, "%d", arm->version);
        weir_metric *rows = WEIR_METRIC("weir_experiment_slice_predictions", e->pipeline->name, arm->model, version, arm->arm, slice->name);
        weir_metric_set(rows, (double)arm->labelled);
        now[count++] = rows;
        if (!isfinite(value)) continue;
        now[count] = WEIR_METRIC("weir_experiment_slice_value", e->pipeline->name, arm->model, version, arm->arm, slice->name);
        weir_metric_set(now[count++], value);
    }
    replace_gauges(e->slice_gauges, &e->slice_gauge_count, now, count);
}

static void set_shares(const experiment *e, const weir_measure *measure) {
    int64_t total = 0;
    for (int a = 0; a < measure->arm_count; a++) total += measure->arms[a].predictions;
    for (int a = 0; a < measure->arm_count; a++) {
        int64_t of_arm = 0;
        for (int b = 0; b < measure->arm_count; b++) of_arm += strcmp(measure->arms[a].arm, measure->arms[b].arm) ? 0 : measure->arms[b].predictions;
        weir_metric_set(WEIR_METRIC("weir_experiment_share_ratio", e->pipeline->name, measure->arms[a].arm), total ? (double)of_arm / (double)total : 0);
    }
}

/* ---- events ---- */

static weir_datum number_or_null(double value) {
    return isfinite(value) ? weir_f64(value) : weir_null();
}

/* NULL: nothing yet. */
static const announced *said_of(const experiment *e, const weir_arm_measure *arm) {
    for (int s = 0; s < e->said_count; s++) {
        const announced *said = &e->said[s];
        if (said->version == arm->version && !strcmp(said->arm, arm->arm) && !strcmp(said->digest, arm->digest)) return said;
    }
    return NULL;
}

/* Another number when a label was corrected: the positives, or of a regression its squared error. */
static int64_t outcome_of(const experiment *e, const weir_arm_measure *arm) {
    return e->recipe.task == WEIR_TASK_REGRESSION && isfinite(arm->errors.rmse) && arm->errors.rmse < 1e12 ? llround(arm->errors.rmse * 1e6)
                                                                                                           : arm->metrics.positives;
}

/* New labels, or labels that were corrected. */
static bool has_news(const experiment *e, const weir_arm_measure *arm) {
    const announced *said = said_of(e, arm);
    return said ? said->labelled != arm->labelled || said->outcome != outcome_of(e, arm) : arm->labelled > 0;
}

/* slice NULL: of all the arm's rows. */
static weir_status send_performance(experiment *e, const weir_arm_measure *arm, const char *slice, int64_t at_us, weir_err *err) {
    const weir_metrics_binary *m = &arm->metrics;
    char id[160 + WEIR_SLICE_NAME_MAX];
    weir_datum row[PERF_COUNT];
    row[PERF_PIPELINE] = weir_text(e->pipeline->name);
    row[PERF_AT] = weir_i64(at_us);
    row[PERF_ARM] = weir_text(arm->arm);
    row[PERF_MODEL] = weir_text(arm->model);
    row[PERF_VERSION] = weir_i64(arm->version);
    row[PERF_DIGEST] = weir_text(arm->digest);
    row[PERF_ROWS] = weir_i64(arm->labelled);
    row[PERF_POSITIVES] = weir_i64(m->positives);
    row[PERF_AUC] = number_or_null(m->auc_roc);
    row[PERF_AP] = number_or_null(m->average_precision);
    row[PERF_F1] = number_or_null(m->f1);
    row[PERF_PRECISION] = number_or_null(m->precision);
    row[PERF_RECALL] = number_or_null(m->recall);
    row[PERF_BRIER] = number_or_null(m->brier);
    row[PERF_CARD] = number_or_null(m->card_precision);
    row[PERF_RMSE] = number_or_null(arm->errors.rmse);
    row[PERF_MAE] = number_or_null(arm->errors.mae);
    row[PERF_R2] = number_or_null(arm->errors.r2);
    row[PERF_SLICE] = slice ? weir_text(slice) : weir_null();
    snprintf(id, sizeof id, "%.64s-%s-%.16s-%lld-%lld%s%s", e->pipeline->name, arm->arm, arm->digest, (long long)arm->labelled, (long long)outcome_of(e, arm),
             slice ? "-" : "", slice ? slice : "");
    return weir_event_send(&e->codec, weir_worker_producer(e->worker), WEIR_TOPIC_PERFORMANCE, e->pipeline->name, "weir.performance.measured", id, at_us, row,
                           err);
}

static bool is_of(const weir_slice *slice, const weir_arm_measure *arm) {
    const weir_arm_measure *of = &slice->measure;
    return of->version == arm->version && !strcmp(of->arm, arm->arm) && !strcmp(of->digest, arm->digest);
}

static weir_status send_slices(experiment *e, const weir_arm_measure *arm, int64_t at_us, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < e->slices.count; i++) {
        const weir_slice *slice = &e->slices.list[i];
        if (is_of(slice, arm)) status = send_performance(e, &slice->measure, slice->name, at_us, err);
    }
    return status;
}

/* One event for each version that has news, and one for each of its slices; counted and remembered when all are acknowledged. */
static weir_status announce(experiment *e, const weir_measure *measure, weir_err *err) {
    weir_status status = WEIR_OK;
    int64_t at_us = weir_clock_wall_us(e->clock);
    bool any = false;
    for (int a = 0; !status && a < measure->arm_count; a++) {
        if (!has_news(e, &measure->arms[a])) continue;
        status = send_performance(e, &measure->arms[a], NULL, at_us, err);
        if (!status) status = send_slices(e, &measure->arms[a], at_us, err);
        any = true;
    }
    if (!status && any) status = weir_producer_flush(weir_worker_producer(e->worker), FLUSH_MS, err);
    if (status) return status;
    announced said[WEIR_ARMS_MAX];
    for (int a = 0; a < measure->arm_count; a++) {
        const weir_arm_measure *arm = &measure->arms[a];
        const announced *before = said_of(e, arm);
        int64_t more = arm->labelled - (before ? before->labelled : 0);
        if (more > 0) weir_metric_add(WEIR_METRIC("weir_experiment_predictions_joined_total", e->pipeline->name, arm->arm), (double)more);
        said[a] = (announced){.version = arm->version, .labelled = arm->labelled, .outcome = outcome_of(e, arm)};
        memcpy(said[a].arm, arm->arm, sizeof said[a].arm);
        memcpy(said[a].digest, arm->digest, sizeof said[a].digest);
    }
    memcpy(e->said, said, (size_t)measure->arm_count * sizeof *said);
    e->said_count = measure->arm_count;
    return WEIR_OK;
}

/* ---- the worker ---- */

static void experiment_done(void *context) {
    experiment *e = context;
    if (!e) return;
    if (e->codec_ready) weir_event_codec_done(&e->codec);
    weir_degrade_free(e->degrade);
    weir_slices_done(&e->slices);
    weir_pg_free(e->pg);
    weir_recipe_done(&e->recipe);
    free(e);
}

static weir_status experiment_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    experiment *e = weir_mem.realloc(NULL, sizeof *e);
    if (!e) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the experiment worker");
    *e = (experiment){.worker = worker, .pipeline = shared->pipeline, .clock = env->clock, .seen = -1};
    *ret_context = e;
    weir_status status = weir_recipe_load(e->pipeline, &e->recipe, err);
    if (status) return status;
    if ((status = weir_pg_new(env->pg_url, &e->pg, err)) || (status = weir_pg_migrate(e->pg, err))) return status;
    if ((status = weir_event_codec_init(&e->codec, shared->registry, "schemas/performance.avsc", WEIR_TOPIC_PERFORMANCE, err))) return status;
    e->codec_ready = true;
    return weir_degrade_new(worker, e->pg, &e->recipe, &e->degrade, err);
}

static weir_status on_arm(void *context, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err) {
    experiment *e = context;
    if (e->recipe.task == WEIR_TASK_MULTICLASS)
        return WEIR_OK; /* labelled predictions are counted; metrics of several classes are those of the test days only */
    weir_status status = weir_degrade_arm(e->degrade, arm, rows, err);
    return status ? status : weir_slices_add(&e->slices, arm, rows, e->recipe.task, e->recipe.card_k, err);
}

static weir_status experiment_tick(void *context, int64_t mono_us, weir_err *err) {
    experiment *e = context;
    int64_t progress = 0;
    weir_measure measure;
    if (mono_us < e->next_us) return WEIR_OK;
    weir_status status = read_progress(e, &progress, err);
    if (status || progress == e->seen) return status;
    int64_t began_us = weir_clock_mono_us(e->clock);
    const weir_measure_options options = {.task = e->recipe.task,
                                          .threshold = e->recipe.threshold.value,
                                          .card_k = e->recipe.card_k,
                                          .columns = e->recipe.slices,
                                          .on_arm = on_arm,
                                          .context = e};
    weir_slices_done(&e->slices);
    if ((status = weir_measure_arms(e->pg, e->pipeline, &options, &measure, err))) return status;
    if (e->slices.left_out)
        WEIR_WARN("not all slices are measured", WEIR_S("pipeline", e->pipeline->name), WEIR_I("measured", e->slices.count),
                  WEIR_I("left_out", e->slices.left_out));
    set_gauges(e, &measure);
    set_slice_gauges(e);
    set_shares(e, &measure);
    if ((status = announce(e, &measure, err)) || (status = weir_degrade_tell(e->degrade, err))) return status;
    int64_t now_us = weir_clock_mono_us(e->clock);
    e->seen = progress;
    e->next_us = now_us + REST_FACTOR * (now_us - began_us);
    return WEIR_OK;
}

const weir_worker_ops weir_experiment_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "experiment",
    .doc = "joins labels to predictions and measures each arm",
    .init = experiment_init,
    .tick = experiment_tick,
    .done = experiment_done,
    .needs_training = true,
    .tick_ms = TICK_MS,
};
