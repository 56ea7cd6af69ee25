#include "models/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "models/artifact_file.h"
#include "models/evaluate.h"
#include "models/model.h"

enum { ALIAS_ATTEMPTS = 5 };

static int64_t day_floor(int64_t time_us) {
    int64_t day = time_us / WEIR_DAY_US;
    return (time_us % WEIR_DAY_US < 0 ? day - 1 : day) * WEIR_DAY_US;
}

weir_status weir_training_window(const weir_pipeline *pipeline, const weir_recipe *recipe, const char *pg_url, int64_t train_from_us,
                                 weir_training_periods *ret_window, weir_err *err) {
    if (train_from_us == INT64_MIN) {
        int64_t first, last, labels_until;
        weir_status status = weir_history_span(pg_url, pipeline, &first, &last, &labels_until, err);
        if (status) return status;
        if (labels_until == INT64_MIN) return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no labels yet, nothing can be learnt", pipeline->name);
        train_from_us = day_floor(labels_until - pipeline->max_delay_us) - recipe->train_us - recipe->delay_us - recipe->test_us;
    }
    *ret_window = (weir_training_periods){
        .train_from_us = train_from_us,
        .train_to_us = train_from_us + recipe->train_us,
        .deploy_us = train_from_us + recipe->train_us + recipe->delay_us,
        .test_to_us = train_from_us + recipe->train_us + recipe->delay_us + recipe->test_us,
    };
    return WEIR_OK;
}

static weir_status may_go_on(const weir_training *t, weir_err *err) {
    return t->cancel && *t->cancel ? WEIR_RETRY(err, WEIR_ETIMEOUT, "training was asked to stop") : WEIR_OK;
}

/* ---- matrices ---- */

/* Rows [0, n) chosen by keep, row-major, with labels. */
typedef struct chosen {
    weir_matrix matrix;
    double *values, *label;
    int64_t *time;
    uint32_t *entity;
} chosen;

static void chosen_done(chosen *c) {
    free(c->values);
    free(c->label);
    free(c->time);
    free(c->entity);
}

static weir_status choose_rows(const weir_history *h, const bool *keep, chosen *ret_rows, weir_err *err) {
    chosen c = {0};
    int64_t n = 0;
    for (int64_t r = 0; r < h->row_count; r++) n += keep[r];
    size_t rows = (size_t)n + 1, columns = (size_t)h->column_count;
    c.values = malloc(rows * columns * sizeof *c.values);
    c.label = malloc(rows * sizeof *c.label);
    c.time = malloc(rows * sizeof *c.time);
    c.entity = malloc(rows * sizeof *c.entity);
    if (!c.values || !c.label || !c.time || !c.entity) {
        chosen_done(&c);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows of %d columns", (long long)n, h->column_count);
    }
    int64_t out = 0;
    for (int64_t r = 0; r < h->row_count; r++) {
        if (!keep[r]) continue;
        for (size_t j = 0; j < columns; j++) c.values[(size_t)out * columns + j] = h->values[j * (size_t)h->row_count + (size_t)r];
        c.label[out] = h->label[r];
        c.time[out] = h->event_time_us[r];
        c.entity[out++] = h->entity[r];
    }
    c.matrix = (weir_matrix){n, h->column_count, c.values, c.label, (const char *const *)h->column_names};
    *ret_rows = c;
    return WEIR_OK;
}

/* ---- fit ---- */

static void add_time(cJSON *json, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    cJSON_AddStringToObject(json, name, weir_time_format(time_us, text));
}

static double seconds_since(int64_t mono_us) {
    return (double)(weir_clock_mono_us(weir_clock_system()) - mono_us) / 1e6;
}

static void describe_window(const weir_training *t, cJSON *detail) {
    cJSON *window = cJSON_AddObjectToObject(detail, "window");
    add_time(window, "train_from", t->window.train_from_us);
    add_time(window, "train_to", t->window.train_to_us);
    add_time(window, "test_from", t->window.deploy_us);
    add_time(window, "test_to", t->window.test_to_us);
}

static cJSON *describe_dataset(const weir_history *h, const chosen *rows) {
    cJSON *dataset = cJSON_CreateObject();
    double positives = 0;
    for (int64_t r = 0; r < rows->matrix.row_count; r++) positives += rows->label[r];
    cJSON_AddStringToObject(dataset, "query", h->query_text);
    cJSON_AddStringToObject(dataset, "digest", h->digest);
    cJSON_AddNumberToObject(dataset, "rows", (double)rows->matrix.row_count);
    cJSON_AddNumberToObject(dataset, "positives", positives);
    cJSON_AddNumberToObject(dataset, "rows_without_label", (double)(h->row_count - rows->matrix.row_count));
    return dataset;
}

static cJSON *describe_signature(const weir_matrix *matrix) {
    cJSON *signature = cJSON_CreateObject(), *inputs = cJSON_AddArrayToObject(signature, "inputs");
    for (int j = 0; j < matrix->column_count; j++) {
        cJSON *input = cJSON_CreateObject();
        cJSON_AddStringToObject(input, "name", matrix->column_names[j]);
        cJSON_AddStringToObject(input, "type", "double");
        cJSON_AddItemToArray(inputs, input);
    }
    return signature;
}

static cJSON *describe_lineage(const weir_training *t, const weir_candidate *candidate, const cJSON *dataset) {
    cJSON *lineage = cJSON_CreateObject();
    cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION);
    cJSON_AddStringToObject(lineage, "feature_hash", t->pipeline->feature_hash);
    cJSON_AddItemToObject(lineage, "dataset", cJSON_Duplicate(dataset, true));
    describe_window(t, lineage);
    cJSON_AddItemToObject(lineage, "params", candidate->params ? cJSON_Duplicate(candidate->params, true) : cJSON_CreateObject());
    if (t->recipe->preprocessing) cJSON_AddItemToObject(lineage, "preprocessing", cJSON_Duplicate(t->recipe->preprocessing, true));
    cJSON_AddNumberToObject(lineage, "seed", (double)t->recipe->seed);
    return lineage;
}

/* Fits one candidate and registers it. Adds {name, version, digest, artifact_path, algorithm, fit_seconds} to versions. */
static weir_status fit_candidate(const weir_training *t, weir_pg *pg, const weir_candidate *candidate, const chosen *rows, const cJSON *dataset,
                                 cJSON *versions, weir_err *err) {
    weir_buf artifact = {0};
    weir_model *model = NULL;
    int64_t started = weir_clock_mono_us(weir_clock_system());
    char path[512];
    int version = 0;
    weir_status status = may_go_on(t, err);
    if (!status)
        status = weir_model_fit(candidate->algorithm, candidate->params, t->recipe->preprocessing, &rows->matrix, t->pipeline->feature_hash, t->recipe->seed,
                                t->recipe->threads, &artifact, err);
    double fit_s = seconds_since(started);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err); /* what is registered has been read back */
    if (!status) {
        snprintf(path, sizeof path, "models/%s/%s/%s.weirmodel", t->pipeline->name, candidate->name, weir_model_digest(model));
        status = weir_artifact_write(t->objects_dir, path, &artifact, err);
    }
    if (!status) {
        cJSON *lineage = describe_lineage(t, candidate, dataset), *signature = describe_signature(&rows->matrix);
        const weir_version_new new = {
            .pipeline = t->pipeline->name,
            .model = candidate->name,
            .algorithm = candidate->algorithm,
            .run_id = t->run_id,
            .digest = weir_model_digest(model),
            .artifact_path = path,
            .feature_hash = t->pipeline->feature_hash,
            .dataset_digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(dataset, "digest")),
            .lineage = lineage,
            .signature = signature,
        };
        status = weir_version_register(pg, &new, &version, err);
        cJSON_Delete(lineage);
        cJSON_Delete(signature);
    }
    if (!status) {
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", candidate->name);
        cJSON_AddNumberToObject(entry, "version", version);
        cJSON_AddStringToObject(entry, "algorithm", candidate->algorithm);
        cJSON_AddStringToObject(entry, "digest", weir_model_digest(model));
        cJSON_AddStringToObject(entry, "artifact_path", path);
        cJSON_AddNumberToObject(entry, "fit_seconds", fit_s);
        cJSON_AddItemToArray(versions, entry);
    }
    weir_model_free(model);
    weir_buf_done(&artifact);
    return status ? weir_err_prefix(err, "candidate %s", candidate->name) : WEIR_OK;
}

static const cJSON *find_named(const cJSON *array, const char *key, const char *value) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));
        if (text && !strcmp(text, value)) return item;
    }
    return NULL;
}

/* Points the alias at the version that this run made of a candidate. only_if_free: leave it where somebody has it. */
static weir_status give_alias(const weir_training *t, weir_pg *pg, const cJSON *aliases, const cJSON *versions, const char *alias, const char *candidate,
                              bool only_if_free, weir_err *err) {
    const cJSON *now = find_named(aliases, "alias", alias), *version = candidate ? find_named(versions, "name", candidate) : NULL;
    if (!version || (now && only_if_free)) return WEIR_OK;
    const char *digest = now ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(now, "digest")) : NULL;
    const char *new_digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "digest"));
    if (digest && !strcmp(digest, new_digest)) return WEIR_OK;
    return weir_alias_move(pg, t->pipeline->name, alias, digest, candidate, (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version")),
                           t->run_id, only_if_free ? "first champion" : "newly trained", err);
}

static weir_status give_aliases(const weir_training *t, weir_pg *pg, const cJSON *versions, weir_err *err) {
    weir_status status = WEIR_ECONFLICT;
    /* Somebody may move one between our look and our move. */
    for (int attempt = 0; status == WEIR_ECONFLICT && attempt < ALIAS_ATTEMPTS; attempt++) {
        cJSON *aliases = NULL;
        status = weir_alias_list(pg, t->pipeline->name, &aliases, err);
        /* The challenger first: from the champion's event on, scorers that know both split at once. */
        if (!status) status = give_alias(t, pg, aliases, versions, "challenger", t->recipe->challenger, false, err);
        if (!status) status = give_alias(t, pg, aliases, versions, "champion", t->recipe->champion, true, err);
        cJSON_Delete(aliases);
    }
    return status;
}

weir_status weir_training_fit(const weir_training *t, weir_pg *pg, cJSON *detail, weir_err *err) {
    int64_t started = weir_clock_mono_us(weir_clock_system());
    weir_history *history = NULL;
    chosen rows = {0};
    bool *keep = NULL;
    cJSON *dataset = NULL, *versions = NULL;
    const weir_history_query query = {
        .from_us = t->window.train_from_us,
        .to_us = t->window.train_to_us,
        .as_of_us = t->as_of_us < t->window.deploy_us ? t->as_of_us : t->window.deploy_us,
        .columns = t->recipe->columns,
        .objects_dir = t->objects_dir,
    };
    describe_window(t, detail);
    weir_status status = weir_history_read(t->pg_url, t->pipeline, &query, &history, err);
    if (status) return weir_err_prefix(err, "training set");
    if (!(keep = malloc((size_t)history->row_count))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)history->row_count);
    for (int64_t r = 0; !status && r < history->row_count; r++) keep[r] = !isnan(history->label[r]);
    if (!status) status = choose_rows(history, keep, &rows, err);
    if (!status && !rows.matrix.row_count)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "none of the %lld events of the training days has a label", (long long)history->row_count);
    cJSON_AddNumberToObject(detail, "dataset_seconds", seconds_since(started));
    if (!status) {
        dataset = describe_dataset(history, &rows);
        cJSON_AddItemToObject(detail, "dataset", dataset);
        versions = cJSON_AddArrayToObject(detail, "versions");
    }
    for (int i = 0; !status && i < t->recipe->candidate_count; i++) status = fit_candidate(t, pg, &t->recipe->candidates[i], &rows, dataset, versions, err);
    if (!status) status = give_aliases(t, pg, versions, err);
    cJSON_AddNumberToObject(detail, "fit_seconds", seconds_since(started));
    chosen_done(&rows);
    free(keep);
    weir_history_free(history);
    return status;
}

/* ---- evaluate ---- */

weir_status weir_training_labels_complete(const weir_training *t, bool *ret_complete, weir_err *err) {
    int64_t first, last, labels_until, events, labelled;
    weir_status status = weir_history_span(t->pg_url, t->pipeline, &first, &last, &labels_until, err);
    if (status) return status;
    *ret_complete = false;
    /* The last day may have ended early: a stream that stops has no event at its very end. */
    if (labels_until < t->window.test_to_us + t->pipeline->max_delay_us - WEIR_DAY_US) return WEIR_OK;
    status = weir_history_coverage(t->pg_url, t->pipeline, t->objects_dir, t->window.deploy_us, t->window.test_to_us, &events, &labelled, err);
    if (status) return status;
    /* A label that was rejected never comes: a day after the last one was due, those that are there have to do. */
    bool overdue = labels_until >= t->window.test_to_us + t->pipeline->max_delay_us + WEIR_DAY_US;
    *ret_complete = events > 0 && (labelled >= events || (overdue && labelled > 0));
    return WEIR_OK;
}

static void add_metric(cJSON *json, const char *name, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(json, name, value);
    else
        cJSON_AddNullToObject(json, name);
}

static cJSON *metrics_json(const weir_metrics_binary *m) {
    cJSON *json = cJSON_CreateObject();
    char card[40];
    snprintf(card, sizeof card, "card_precision_%d", m->card_k);
    add_metric(json, "auc_roc", m->auc_roc);
    add_metric(json, "average_precision", m->average_precision);
    if (m->card_k) add_metric(json, card, m->card_precision);
    add_metric(json, "f1", m->f1);
    add_metric(json, "precision", m->precision);
    add_metric(json, "recall", m->recall);
    add_metric(json, "accuracy", m->accuracy);
    add_metric(json, "log_loss", m->log_loss);
    add_metric(json, "brier", m->brier);
    add_metric(json, "threshold", m->threshold);
    cJSON_AddNumberToObject(json, "rows", (double)m->rows);
    cJSON_AddNumberToObject(json, "positives", (double)m->positives);
    return json;
}

static weir_status evaluate_version(const weir_training *t, weir_pg *pg, cJSON *version, const chosen *rows, uint32_t entity_count, double *scores,
                                    weir_err *err) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "name"));
    const char *artifact = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "artifact_path"));
    if (!name || !artifact) return WEIR_FAIL(err, WEIR_EDATA, "a version of the run has no name or no artifact");
    weir_model *model = NULL;
    weir_metrics_binary metrics;
    weir_status status = may_go_on(t, err);
    if (!status) status = weir_artifact_load(t->objects_dir, artifact, &model, err);
    if (!status) status = weir_model_check_single_output(model, err);
    if (!status) status = weir_model_predict(model, rows->values, rows->matrix.row_count, scores, err);
    const weir_eval_input input = {
        .row_count = rows->matrix.row_count,
        .score = scores,
        .label = rows->label,
        .event_time_us = rows->time,
        .entity = rows->entity,
        .entity_count = entity_count,
        .threshold = t->threshold,
        .card_k = t->recipe->card_k,
    };
    if (!status) status = weir_evaluate_binary(&input, &metrics, err);
    if (!status) {
        cJSON *json = metrics_json(&metrics);
        status = weir_version_metrics(pg, t->pipeline->name, name, (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version")), json, err);
        cJSON_DeleteItemFromObjectCaseSensitive(version, "metrics");
        cJSON_AddItemToObject(version, "metrics", json);
    }
    weir_model_free(model);
    return status ? weir_err_prefix(err, "evaluating %s", name) : WEIR_OK;
}

/* Rows of the test days that count: labelled, and by the handbook's protocol where the recipe asks for it. */
static weir_status test_rows(const weir_training *t, const weir_history *h, chosen *ret_rows, weir_err *err) {
    const weir_training_periods *w = &t->window;
    bool *keep = malloc((size_t)h->row_count);
    if (!keep) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)h->row_count);
    weir_status status = WEIR_OK;
    if (t->recipe->exclude_known) {
        int delay_days = (int)(t->recipe->delay_us / WEIR_DAY_US);
        status = weir_exclude_known_positives(h->event_time_us, h->label, h->entity, h->row_count, h->entity_count, w->train_from_us, w->train_to_us,
                                              delay_days, w->deploy_us, w->test_to_us, keep, err);
    } else {
        for (int64_t r = 0; r < h->row_count; r++) keep[r] = h->event_time_us[r] >= w->deploy_us;
    }
    for (int64_t r = 0; !status && r < h->row_count; r++) keep[r] = keep[r] && h->event_time_us[r] >= w->deploy_us && !isnan(h->label[r]);
    if (!status) status = choose_rows(h, keep, ret_rows, err);
    free(keep);
    return status;
}

weir_status weir_training_evaluate(const weir_training *t, weir_pg *pg, cJSON *detail, weir_err *err) {
    int64_t started = weir_clock_mono_us(weir_clock_system());
    cJSON *version, *versions = cJSON_GetObjectItemCaseSensitive(detail, "versions");
    weir_history *history = NULL;
    chosen rows = {0};
    double *scores = NULL;
    const weir_history_query query = {
        .from_us = t->window.train_from_us,
        .to_us = t->window.test_to_us,
        .as_of_us = INT64_MAX, /* what happened since is what the versions are measured by, whatever the fit was allowed to know */
        .columns = t->recipe->columns,
        .objects_dir = t->objects_dir,
    };
    weir_status status = weir_history_read(t->pg_url, t->pipeline, &query, &history, err);
    if (status) return weir_err_prefix(err, "test set");
    status = test_rows(t, history, &rows, err);
    if (!status && !rows.matrix.row_count) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "no labelled event in the test days");
    if (!status && !(scores = malloc(sizeof *scores * (size_t)rows.matrix.row_count))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for scores");
    if (!status) cJSON_ArrayForEach(version, versions) {
            if ((status = evaluate_version(t, pg, version, &rows, history->entity_count, scores, err))) break;
        }
    if (!status) cJSON_AddItemToObject(detail, "test_dataset", describe_dataset(history, &rows));
    cJSON_AddNumberToObject(detail, "evaluate_seconds", seconds_since(started));
    free(scores);
    chosen_done(&rows);
    weir_history_free(history);
    return status;
}
