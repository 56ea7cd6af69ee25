/* The report as JSON. What is not known is null, never NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "core/clock.h"

/* A detached item made by cJSON when memory ran out is NULL; adding NULL fails; this remembers it. */
typedef struct maker {
    bool failed;
} maker;

static void add(maker *m, cJSON *object, const char *name, cJSON *item) {
    if (!item || !cJSON_AddItemToObject(object, name, item)) {
        m->failed = true;
        cJSON_Delete(item);
    }
}

static cJSON *add_object(maker *m, cJSON *object, const char *name) {
    cJSON *child = cJSON_AddObjectToObject(object, name);
    if (!child) m->failed = true;
    return child;
}

static cJSON *add_array(maker *m, cJSON *object, const char *name) {
    cJSON *child = cJSON_AddArrayToObject(object, name);
    if (!child) m->failed = true;
    return child;
}

static void add_number(maker *m, cJSON *object, const char *name, double value) {
    add(m, object, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

static void add_text(maker *m, cJSON *object, const char *name, const char *text) {
    add(m, object, name, text && text[0] ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_time(maker *m, cJSON *object, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    add_text(m, object, name, time_us == INT64_MIN ? NULL : weir_time_format(time_us, text));
}

static cJSON *append_object(maker *m, cJSON *array) {
    cJSON *item = cJSON_CreateObject();
    if (!item || !cJSON_AddItemToArray(array, item)) {
        m->failed = true;
        cJSON_Delete(item);
        return NULL;
    }
    return item;
}

static void add_source(maker *m, cJSON *root, const weir_report *r) {
    cJSON *source = add_object(m, root, "source");
    add_text(m, source, "kind", r->source.kind);
    if (r->source.files) {
        cJSON *files = add_array(m, source, "files");
        for (char **file = r->source.files; *file; file++) {
            cJSON *name = cJSON_CreateString(*file);
            if (!name || !cJSON_AddItemToArray(files, name)) {
                m->failed = true;
                cJSON_Delete(name);
            }
        }
    } else {
        add(m, source, "files", cJSON_CreateArray());
        cJSON *simulator = add_object(m, source, "simulator");
        add_number(m, simulator, "entities", (double)r->source.entities);
        add_number(m, simulator, "days", (double)r->source.days);
        add_number(m, simulator, "seed", (double)r->source.seed);
    }
    add_number(m, source, "events", (double)r->source.events);
    add_number(m, source, "labels", (double)r->source.labels);
    add_time(m, source, "first", r->source.first_us);
    add_time(m, source, "last", r->source.last_us);
}

static void add_split(maker *m, cJSON *root, const weir_report *r) {
    cJSON *split = add_object(m, root, "split");
    int64_t train_to = r->train_from_us + r->train_us, test_from = train_to + r->delay_us;
    bool known = r->train_from_us != INT64_MIN;
    add_time(m, split, "train_from", r->train_from_us);
    add_time(m, split, "train_to", known ? train_to : INT64_MIN);
    add_time(m, split, "test_from", known ? test_from : INT64_MIN);
    add_time(m, split, "test_to", known ? test_from + r->test_us : INT64_MIN);
    add(m, split, "known_compromised_left_out", cJSON_CreateBool(r->exclude_known));
}

static void add_counts(maker *m, cJSON *root, const char *name, const weir_report_counts *counts) {
    cJSON *object = add_object(m, root, name);
    for (int i = 0; i < counts->count; i++) add_number(m, object, counts->items[i].name, (double)counts->items[i].count);
    add_number(m, object, "total", (double)weir_report_total(counts));
}

static void add_models(maker *m, cJSON *root, const weir_report *r) {
    cJSON *models = add_array(m, root, "models");
    for (int i = 0; i < r->model_count; i++) {
        const weir_report_model *model = &r->models[i];
        cJSON *item = append_object(m, models);
        add_text(m, item, "name", model->name);
        add_number(m, item, "version", model->version);
        add_text(m, item, "digest", model->digest);
        add_text(m, item, "algorithm", model->algorithm);
        add_text(m, item, "alias", model->alias);
        add(m, item, "metrics", model->metrics ? cJSON_Duplicate(model->metrics, true) : cJSON_CreateNull());
        add(m, item, "lineage", model->lineage ? cJSON_Duplicate(model->lineage, true) : cJSON_CreateNull());
    }
}

static void add_arm(maker *m, cJSON *arms, const weir_arm_measure *arm) {
    const weir_metrics_binary *k = &arm->metrics;
    cJSON *item = append_object(m, arms);
    add_text(m, item, "arm", arm->arm);
    add_text(m, item, "model", arm->model);
    add_number(m, item, "version", arm->version);
    add_text(m, item, "digest", arm->digest);
    add_number(m, item, "predictions", (double)arm->predictions);
    add_number(m, item, "labelled", (double)arm->labelled);
    cJSON *metrics = add_object(m, item, "metrics");
    char card[48];
    snprintf(card, sizeof card, "card_precision_%d", k->card_k);
    add_number(m, metrics, "rows", (double)k->rows);
    add_number(m, metrics, "positives", (double)k->positives);
    add_number(m, metrics, "auc_roc", k->auc_roc);
    add_number(m, metrics, "average_precision", k->average_precision);
    if (k->card_k > 0) add_number(m, metrics, card, k->card_precision);
    add_number(m, metrics, "f1", k->f1);
    add_number(m, metrics, "precision", k->precision);
    add_number(m, metrics, "recall", k->recall);
    add_number(m, metrics, "accuracy", k->accuracy);
    add_number(m, metrics, "log_loss", k->log_loss);
    add_number(m, metrics, "brier", k->brier);
    add_number(m, metrics, "threshold", k->threshold);
}

static void add_experiment(maker *m, cJSON *root, const weir_report *r) {
    static const char *const better[] = {[WEIR_BETTER_UNKNOWN] = "unknown",
                                         [WEIR_BETTER_NEITHER] = "neither",
                                         [WEIR_BETTER_CHAMPION] = "champion",
                                         [WEIR_BETTER_CHALLENGER] = "challenger",
                                         [WEIR_BETTER_SPLIT] = "split"};
    const weir_measure *e = &r->measure;
    cJSON *experiment = add_object(m, root, "experiment");
    cJSON *arms = add_array(m, experiment, "arms");
    for (int i = 0; i < e->arm_count; i++) add_arm(m, arms, &e->arms[i]);
    if (e->has_difference) {
        cJSON *difference = add_object(m, experiment, "difference");
        add_number(m, difference, "auc", e->auc_difference);
        add_number(m, difference, "low", e->auc_low);
        add_number(m, difference, "high", e->auc_high);
        add_number(m, difference, "ap", e->ap_difference);
        add_number(m, difference, "ap_low", e->ap_low);
        add_number(m, difference, "ap_high", e->ap_high);
    } else {
        add(m, experiment, "difference", cJSON_CreateNull());
    }
    add_text(m, experiment, "better", better[r->better]);
    add_text(m, experiment, "headline", r->headline);
    add_text(m, experiment, "verdict", r->verdict);
}

/* By arm, so that readers need not know how many versions an arm has served. */
static void add_predictions(maker *m, cJSON *root, const weir_report *r) {
    weir_report_counts by_arm = {0};
    weir_report_count(&by_arm, "champion", 0);
    weir_report_count(&by_arm, "challenger", 0);
    for (int i = 0; i < r->measure.arm_count; i++) weir_report_count(&by_arm, r->measure.arms[i].arm, r->measure.arms[i].predictions);
    add_counts(m, root, "predictions", &by_arm);
    add_number(m, root, "unserved", (double)r->unserved);
}

static void add_speed(maker *m, cJSON *root, const weir_report *r) {
    cJSON *rates = add_object(m, root, "rates");
    cJSON *events = add_object(m, rates, "events_per_s");
    add_number(m, events, "peak", r->rates.events_peak);
    add_number(m, events, "mean", r->rates.events_mean);
    add_number(m, rates, "features_per_s", r->rates.features_mean);
    add_number(m, rates, "predictions_per_s", r->rates.predictions_mean);
    cJSON *durations = add_object(m, root, "durations_s");
    add_number(m, durations, "load", r->durations.load);
    add_number(m, durations, "train", r->durations.train);
    add_number(m, durations, "serve", r->durations.serve);
    add_number(m, durations, "evaluate", r->durations.evaluate);
    add_number(m, durations, "total", r->durations.total);
}

weir_status weir_report_json(const weir_report *report, weir_buf *out, weir_err *err) {
    maker m = {0};
    cJSON *root = cJSON_CreateObject();
    add_text(&m, root, "pipeline", report->pipeline);
    add_time(&m, root, "started_at", report->started_us);
    add_time(&m, root, "ended_at", report->ended_us);
    add_source(&m, root, report);
    add_time(&m, root, "train_from", report->train_from_us);
    add_split(&m, root, report);
    add_number(&m, root, "events_in", (double)report->events_in);
    add_number(&m, root, "labels_in", (double)report->labels_in);
    cJSON *features = add_object(&m, root, "features_out");
    for (int i = 0; i < report->features_out.count; i++)
        add_number(&m, features, report->features_out.items[i].name, (double)report->features_out.items[i].count);
    add_counts(&m, root, "dead_letters", &report->dead_letters);
    cJSON *run = add_object(&m, root, "training_run");
    add_text(&m, run, "id", report->run_id);
    add_text(&m, run, "status", report->run_status);
    add_models(&m, root, report);
    add_predictions(&m, root, report);
    add_experiment(&m, root, report);
    add_speed(&m, root, report);
    char *text = m.failed || !root ? NULL : cJSON_Print(root);
    bool ok = text && weir_buf_append(out, text, strlen(text)) && weir_buf_append(out, "\n", 1);
    cJSON_free(text);
    cJSON_Delete(root);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the JSON report");
}
