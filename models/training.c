#include "models/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "models/artifact_file.h"
#include "models/crossval.h"
#include "models/curves.h"
#include "models/evaluate.h"
#include "models/memory.h"
#include "models/model.h"
#include "models/scorer_gate.h"
#include "models/signature.h"
#include "models/spec.h"

enum { ALIAS_ATTEMPTS = 5, THRESHOLD_FOLDS = 5 };

static int64_t day_floor(int64_t time_us) {
    int64_t day = time_us / WEIR_DAY_US;
    return (time_us % WEIR_DAY_US < 0 ? day - 1 : day) * WEIR_DAY_US;
}

/* The end of the days whose labels can all be known. */
static weir_status labelled_until(const weir_pipeline *pipeline, const char *pg_url, int64_t *ret_us, weir_err *err) {
    int64_t first, last, labels_until;
    weir_status status = weir_history_span(pg_url, pipeline, &first, &last, &labels_until, err);
    if (status) return status;
    if (labels_until == INT64_MIN) return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no labels yet, nothing can be learnt", pipeline->name);
    int64_t end_us = labels_until - pipeline->max_delay_us;
    /* Rows that are stamped by the day, all of them labelled: the last day is over, though nothing came after its first moment. */
    if (last == end_us && day_floor(last) == last) end_us += WEIR_DAY_US;
    *ret_us = day_floor(end_us);
    return WEIR_OK;
}

static weir_training_periods periods_from(const weir_recipe *recipe, int64_t train_from_us) {
    return (weir_training_periods){
        .train_from_us = train_from_us,
        .train_to_us = train_from_us + recipe->train_us,
        .deploy_us = train_from_us + recipe->train_us + recipe->delay_us,
        .test_to_us = train_from_us + recipe->train_us + recipe->delay_us + recipe->test_us,
    };
}

weir_training_periods weir_training_periods_until(const weir_recipe *recipe, int64_t known_us) {
    return periods_from(recipe, day_floor(known_us) - recipe->train_us - recipe->delay_us - recipe->test_us);
}

weir_status weir_training_window(const weir_pipeline *pipeline, const weir_recipe *recipe, const char *pg_url, int64_t train_from_us,
                                 weir_training_periods *ret_window, weir_err *err) {
    if (train_from_us == INT64_MIN) {
        int64_t end_us = 0;
        weir_status status = labelled_until(pipeline, pg_url, &end_us, err);
        if (!status) *ret_window = weir_training_periods_until(recipe, end_us);
        return status;
    }
    *ret_window = periods_from(recipe, train_from_us);
    return WEIR_OK;
}

weir_status weir_training_window_newest(const weir_pipeline *pipeline, const weir_recipe *recipe, const char *pg_url, weir_training_periods *ret_window,
                                        weir_err *err) {
    int64_t end_us = 0;
    weir_status status = labelled_until(pipeline, pg_url, &end_us, err);
    if (!status) *ret_window = periods_from(recipe, end_us - recipe->train_us);
    return status;
}

static weir_status may_go_on(const weir_training *t, weir_err *err) {
    return t->cancel && *t->cancel ? WEIR_RETRY(err, WEIR_ETIMEOUT, "training was asked to stop") : WEIR_OK;
}

/* ---- rows ---- */

/* Which rows of the test days count: by the handbook's protocol where the recipe asks for it. */
static weir_status keep_test_rows(const weir_training *t, const weir_history *h, bool *keep, weir_err *err) {
    const weir_training_periods *w = &t->window;
    weir_status status = WEIR_OK;
    for (int64_t r = 0; r < h->row_count; r++) keep[r] = true;
    if (t->recipe->exclude_known) {
        int delay_days = (int)(t->recipe->delay_us / WEIR_DAY_US);
        status = weir_exclude_known_positives(h->event_time_us, h->label, h->entity, h->row_count, h->entity_count, w->train_from_us, w->train_to_us,
                                              delay_days, w->deploy_us, w->test_to_us, keep, err);
    }
    for (int64_t r = 0; r < h->row_count; r++) keep[r] = keep[r] && h->event_time_us[r] >= w->deploy_us;
    return status;
}

/* The rows that are kept and have a label, as columns of their history. */
static weir_status make_set(const weir_training *t, const weir_history *h, const bool *keep, weir_trainset *ret_set, weir_err *err) {
    size_t rows = (size_t)h->row_count, count = (size_t)h->column_count;
    weir_prep_column *columns = weir_models_calloc(count, sizeof *columns);
    const double **values = weir_models_calloc(count, sizeof *values);
    double *label = weir_models_calloc(rows, sizeof *label);
    int64_t *until = t->pipeline->max_delay_us ? weir_models_calloc(rows, sizeof *until) : NULL;
    weir_status status = WEIR_OK;
    if (!columns || !values || !label || (t->pipeline->max_delay_us && !until))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows of %d columns", (long long)h->row_count, h->column_count);
    for (size_t c = 0; !status && c < count; c++) {
        columns[c] = (weir_prep_column){.name = h->column_names[c], .kind = WEIR_PREP_NUMBER};
        values[c] = h->values + c * rows;
    }
    for (size_t r = 0; !status && r < rows; r++) {
        label[r] = !keep || keep[r] ? h->label[r] : NAN;
        if (until) until[r] = h->event_time_us[r] + t->pipeline->max_delay_us;
    }
    const weir_trainset_source source = {
        .row_count = h->row_count,
        .column_count = h->column_count,
        .columns = columns,
        .values = values,
        .task = t->recipe->task,
        .class_count = t->recipe->class_count,
        .class_names = t->recipe->classes,
        .target_count = 1,
        .target_names = &t->recipe->target,
        .targets = &(const double *){label},
        .time_us = h->event_time_us,
        .label_until_us = until,
        .entity = h->entity,
        .entity_count = h->entity_count,
        .tenant = t->tenants ? h->tenant : NULL,
        .tenant_count = t->tenants ? h->tenant_count : 0,
        .tenant_names = t->tenants ? (const char *const *)h->tenant_names : NULL,
        .source = t->pipeline->name,
        .query = h->query_text,
    };
    if (!status) status = weir_trainset_make(&source, ret_set, err);
    weir_models_free(columns);
    weir_models_free(values);
    weir_models_free(label);
    weir_models_free(until);
    return status;
}

weir_status weir_training_set(const weir_training *t, bool test, weir_trainset *ret_set, weir_err *err) {
    weir_history *history = NULL;
    bool *keep = NULL;
    const weir_history_query query = {
        .from_us = t->window.train_from_us,
        .to_us = test ? t->window.test_to_us : t->window.train_to_us,
        /* What happened since is what versions are measured by, whatever the fit was allowed to know. */
        .as_of_us = test                                ? INT64_MAX
                    : t->as_of_us < t->window.deploy_us ? t->as_of_us
                                                        : t->window.deploy_us,
        .columns = t->recipe->columns,
        .label = t->recipe->is_default ? NULL : t->recipe->target,
        .label_classes = t->recipe->label_is_text ? t->recipe->classes : NULL,
        .objects_dir = t->objects_dir,
    };
    const char *what = test ? "test set" : "training set";
    weir_status status = weir_history_read(t->pg_url, t->pipeline, &query, &history, err);
    if (status) return weir_err_prefix(err, "%s", what);
    if (test && !(keep = weir_models_calloc((size_t)history->row_count, sizeof *keep)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)history->row_count);
    if (!status && test) status = keep_test_rows(t, history, keep, err);
    if (!status) status = make_set(t, history, keep, ret_set, err);
    if (status == WEIR_ENOTFOUND)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND,
                           test ? "no labelled event in the test days, of %lld from the first training day on"
                                : "none of the %lld events of the training days has a label",
                           (long long)history->row_count);
    weir_models_free(keep);
    weir_history_free(history);
    return status ? weir_err_prefix(err, "%s", what) : WEIR_OK;
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
    if (t->as_of_us != INT64_MAX) add_time(window, "as_of", t->as_of_us);
}

static cJSON *describe_dataset(const weir_trainset *set) {
    cJSON *dataset = cJSON_CreateObject();
    double sum = 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++) sum += set->matrix.label[r];
    cJSON_AddStringToObject(dataset, "query", set->query);
    cJSON_AddStringToObject(dataset, "digest", set->digest);
    cJSON_AddNumberToObject(dataset, "rows", (double)set->matrix.row_count);
    if (set->matrix.task == WEIR_TASK_BINARY) cJSON_AddNumberToObject(dataset, "positives", sum);
    if (set->matrix.task == WEIR_TASK_REGRESSION) cJSON_AddNumberToObject(dataset, "target_mean", sum / (double)set->matrix.row_count);
    cJSON_AddNumberToObject(dataset, "rows_without_label", (double)set->without_label);
    return dataset;
}

static cJSON *describe_lineage(const weir_training *t, const weir_candidate *candidate, const cJSON *dataset) {
    cJSON *lineage = cJSON_CreateObject();
    const cJSON *params = cJSON_GetObjectItemCaseSensitive(candidate->spec, "params");
    cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION);
    cJSON_AddStringToObject(lineage, "feature_hash", t->pipeline->feature_hash);
    cJSON_AddStringToObject(lineage, "task", weir_task_name(t->recipe->task));
    cJSON_AddItemToObject(lineage, "dataset", cJSON_Duplicate(dataset, true));
    describe_window(t, lineage);
    cJSON_AddItemToObject(lineage, "spec", cJSON_Duplicate(candidate->spec, true));
    if (weir_spec_workers(candidate->spec)) cJSON_AddNumberToObject(lineage, "workers", weir_spec_workers(candidate->spec));
    cJSON_AddItemToObject(lineage, "params", params ? cJSON_Duplicate(params, true) : cJSON_CreateObject());
    if (t->recipe->preprocessing) cJSON_AddItemToObject(lineage, "preprocessing", cJSON_Duplicate(t->recipe->preprocessing, true));
    cJSON_AddNumberToObject(lineage, "seed", (double)t->recipe->seed);
    return lineage;
}

weir_fit_options weir_training_fit_options(const weir_training *t) {
    return (weir_fit_options){
        .split = t->recipe->has_validation ? &t->recipe->validation : NULL,
        .feature_hash = t->pipeline->feature_hash,
        .seed = t->recipe->seed,
        .threads = t->recipe->threads,
        .cancel = t->cancel,
    };
}

weir_status weir_training_threshold(const weir_training *t, const weir_candidate *candidate, const weir_trainset *set, double *ret_threshold, weir_err *err) {
    const weir_recipe *r = t->recipe;
    if (!weir_threshold_learns(&r->threshold)) return weir_threshold_choose(&r->threshold, NULL, NULL, 0, ret_threshold, err);
    weir_split split = r->has_validation ? r->validation : weir_trainset_default_split(set, THRESHOLD_FOLDS, r->seed);
    weir_split_rows rows = weir_trainset_split_rows(set);
    weir_split_plan *plan = NULL;
    weir_crossval result = {0};
    const weir_crossval_options options = {.fit = weir_training_fit_options(t), .metric = r->metric};
    weir_status status = weir_split_plan_new(&split, &rows, &plan, err);
    if (!status) status = weir_crossval_run(candidate->spec, set, plan, &options, &result, err);
    if (!status) status = weir_threshold_choose(&r->threshold, result.scores, set->matrix.label, set->matrix.row_count, ret_threshold, err);
    weir_crossval_done(&result);
    weir_split_plan_free(plan);
    return status ? weir_err_prefix(err, "choosing a threshold") : WEIR_OK;
}

/* What is registered of a candidate. */
typedef struct fitted {
    weir_model *model;
    char path[512];
    double threshold, fit_s;
    int version;
    weir_gate_count compared;
} fitted;

static weir_status register_version(const weir_training *t, weir_pg *pg, const weir_candidate *candidate, const weir_matrix *train, fitted *f,
                                    const cJSON *dataset, weir_err *err) {
    cJSON *lineage = describe_lineage(t, candidate, dataset), *signature = weir_recipe_signature(t->recipe, f->threshold);
    const weir_version_new new = {
        .pipeline = t->pipeline->name,
        .model = candidate->name,
        .algorithm = candidate->algorithm,
        .run_id = t->run_id,
        .digest = weir_model_digest(f->model),
        .artifact_path = f->path,
        .feature_hash = t->pipeline->feature_hash,
        .dataset_digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(dataset, "digest")),
        .lineage = lineage,
        .signature = signature,
    };
    double own = NAN;
    (void)weir_gate_describe(lineage, &f->compared); /* as of all that describe_lineage adds: a version with less of it is better than none */
    weir_status status = weir_signature_add_ranges(signature, train, err);
    if (!status) status = weir_version_register(pg, &new, &f->version, err);
    if (!status) status = weir_version_threshold(pg, t->pipeline->name, candidate->name, f->version, &own, err);
    if (!status && !isnan(own)) f->threshold = own; /* the same bytes as before: it decides as it did, and is measured so */
    cJSON_Delete(lineage);
    cJSON_Delete(signature);
    return status;
}

static void add_version(const weir_training *t, const weir_candidate *candidate, const fitted *f, cJSON *versions) {
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "name", candidate->name);
    cJSON_AddNumberToObject(entry, "version", f->version);
    cJSON_AddStringToObject(entry, "algorithm", candidate->algorithm);
    cJSON_AddStringToObject(entry, "digest", weir_model_digest(f->model));
    cJSON_AddStringToObject(entry, "artifact_path", f->path);
    if (t->recipe->task == WEIR_TASK_BINARY) cJSON_AddNumberToObject(entry, "threshold", f->threshold);
    cJSON_AddNumberToObject(entry, "fit_seconds", f->fit_s);
    cJSON_AddItemToArray(versions, entry);
}

/* Fits one candidate and registers it. Adds {name, version, algorithm, digest, artifact_path, threshold, fit_seconds} to versions. */
static weir_status fit_candidate(const weir_training *t, weir_pg *pg, const weir_candidate *candidate, const weir_trainset *set, const cJSON *dataset,
                                 cJSON *versions, weir_err *err) {
    weir_buf artifact = {0};
    fitted f = {0};
    int64_t started = weir_clock_mono_us(weir_clock_system());
    const weir_distributed here = {.objects_dir = t->objects_dir};
    weir_fit_options options = weir_training_fit_options(t);
    options.distributed = t->distributed ? t->distributed : &here;
    weir_status status = may_go_on(t, err);
    if (!status) status = weir_spec_fit(candidate->spec, set, &options, &artifact, err);
    f.fit_s = seconds_since(started);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &f.model, err); /* what is registered has been read back */
    if (!status) status = weir_scorer_gate(f.model, set->matrix.values, set->matrix.row_count, &f.compared, err);
    if (!status) status = weir_training_threshold(t, candidate, set, &f.threshold, err);
    if (!status) {
        snprintf(f.path, sizeof f.path, "models/%s/%s/%s.weirmodel", t->pipeline->name, candidate->name, weir_model_digest(f.model));
        status = weir_artifact_write(t->objects_dir, f.path, &artifact, err);
    }
    if (!status) status = register_version(t, pg, candidate, &set->matrix, &f, dataset, err);
    if (!status) add_version(t, candidate, &f, versions);
    weir_model_free(f.model);
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

/* Ids are ordered by when runs were asked for. Runs go on side by side, and one may be tried again, so an earlier one may be done last. */
static bool is_of_later_run(const weir_training *t, const cJSON *alias) {
    const char *run = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(alias, "run_id"));
    return run && t->run_id && strcmp(run, t->run_id) > 0;
}

/* Points the alias at the version that this run made of a candidate. only_if_free: leave it where somebody has it. */
static weir_status give_alias(const weir_training *t, weir_pg *pg, const cJSON *aliases, const cJSON *versions, const char *alias, const char *candidate,
                              bool only_if_free, weir_err *err) {
    const cJSON *now = find_named(aliases, "alias", alias), *version = candidate ? find_named(versions, "name", candidate) : NULL;
    if (!version || (now && (only_if_free || is_of_later_run(t, now)))) return WEIR_OK;
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
        /* The challenger first: from the champion's event on, scorers that know both split at once. A first champion has nobody to be compared with but another candidate. */
        bool alone = t->recipe->task == WEIR_TASK_MULTICLASS; /* no loss tells which of two such models is better for the stream */
        alone |= !find_named(aliases, "alias", "champion") && t->recipe->challenger && !strcmp(t->recipe->challenger, t->recipe->champion);
        if (!status && !alone) status = give_alias(t, pg, aliases, versions, "challenger", t->recipe->challenger, false, err);
        if (!status) status = give_alias(t, pg, aliases, versions, "champion", t->recipe->champion, true, err);
        cJSON_Delete(aliases);
    }
    return status;
}

static void tell(const weir_training *t, const char *what, int done) {
    if (t->tell) t->tell(t->context, what, done, 1 + t->recipe->candidate_count);
}

static bool is_late(const weir_training *t, int64_t started) {
    return (t->time_over && *t->time_over) || (t->recipe->max_training_s > 0 && seconds_since(started) > t->recipe->max_training_s);
}

/* The first one is fitted in any case; when the time is over the others are named in not_fitted, with the one that was stopped. */
static weir_status fit_candidates(const weir_training *t, weir_pg *pg, const weir_trainset *set, const cJSON *dataset, int64_t started, cJSON *detail,
                                  weir_err *err) {
    cJSON *versions = cJSON_AddArrayToObject(detail, "versions"), *late = NULL;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < t->recipe->candidate_count; i++) {
        bool fits = !i || !is_late(t, started);
        if (fits) {
            tell(t, t->recipe->candidates[i].name, 1 + i);
            status = fit_candidate(t, pg, &t->recipe->candidates[i], set, dataset, versions, err);
        }
        if (!fits || (status == WEIR_ETIMEOUT && i && is_late(t, started))) {
            status = WEIR_OK;
            if (!late) late = cJSON_AddArrayToObject(detail, "not_fitted");
            cJSON_AddItemToArray(late, cJSON_CreateString(t->recipe->candidates[i].name));
        }
    }
    return status ? status : give_aliases(t, pg, versions, err);
}

weir_status weir_training_fit(const weir_training *t, weir_pg *pg, cJSON *detail, weir_err *err) {
    int64_t started = weir_clock_mono_us(weir_clock_system());
    weir_trainset set = {0};
    describe_window(t, detail);
    tell(t, "training rows", 0);
    weir_status status = weir_training_set(t, false, &set, err);
    if (status) return status;
    cJSON *dataset = describe_dataset(&set);
    cJSON_AddNumberToObject(detail, "dataset_seconds", seconds_since(started));
    cJSON_AddItemToObject(detail, "dataset", dataset);
    status = fit_candidates(t, pg, &set, dataset, started, detail, err);
    cJSON_AddNumberToObject(detail, "fit_seconds", seconds_since(started));
    weir_trainset_done(&set);
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

/* The metrics of the table that are not there yet. */
static weir_status add_table_metrics(weir_task task, const weir_outcomes *outcomes, cJSON *json, weir_err *err) {
    for (const weir_model_metric *m = weir_model_metrics(); m->name; m++) {
        double value;
        if (m->task != task || cJSON_GetObjectItemCaseSensitive(json, m->name)) continue;
        if (task == WEIR_TASK_BINARY && !strcmp(m->name, "roc_auc")) continue; /* is there as auc_roc */
        weir_status status = weir_model_metric_measure(m, outcomes, &value, err);
        if (status) return weir_err_prefix(err, "metric %s", m->name);
        add_metric(json, m->name, value);
    }
    return WEIR_OK;
}

static weir_status add_binary_metrics(const weir_training *t, const weir_trainset *set, const weir_outcomes *outcomes, cJSON *json, weir_err *err) {
    weir_metrics_binary m;
    char card[40];
    const weir_eval_input input = {
        .row_count = outcomes->row_count,
        .score = outcomes->score,
        .label = outcomes->label,
        .event_time_us = set->time_us,
        .entity = set->entity,
        .entity_count = set->entity_count,
        .threshold = outcomes->threshold,
        .card_k = t->recipe->card_k,
    };
    weir_status status = weir_evaluate_binary(&input, &m, err);
    if (status) return status;
    snprintf(card, sizeof card, "card_precision_%d", m.card_k);
    add_metric(json, "auc_roc", m.auc_roc);
    add_metric(json, "average_precision", m.average_precision);
    if (m.card_k) add_metric(json, card, m.card_precision);
    add_metric(json, "f1", m.f1);
    add_metric(json, "precision", m.precision);
    add_metric(json, "recall", m.recall);
    add_metric(json, "accuracy", m.accuracy);
    add_metric(json, "log_loss", m.log_loss);
    add_metric(json, "brier", m.brier);
    add_metric(json, "threshold", m.threshold);
    cJSON_AddNumberToObject(json, "positives", (double)m.positives);
    return WEIR_OK;
}

weir_status weir_training_measure(const weir_training *t, const weir_trainset *set, const double *scores, double threshold, cJSON *json, weir_err *err) {
    const weir_outcomes outcomes = {
        .row_count = set->matrix.row_count,
        .class_count = set->matrix.class_count,
        .label = set->matrix.label,
        .score = scores,
        .threshold = threshold,
        .k = t->recipe->card_k,
    };
    cJSON_AddNumberToObject(json, "rows", (double)set->matrix.row_count);
    weir_status status = t->recipe->task == WEIR_TASK_BINARY ? add_binary_metrics(t, set, &outcomes, json, err) : WEIR_OK;
    return status ? status : add_table_metrics(t->recipe->task, &outcomes, json, err);
}

static weir_status predict_set(weir_model *model, const weir_trainset *set, double **ret_scores, weir_err *err) {
    int outputs = weir_model_output_count(model), expected = set->matrix.task == WEIR_TASK_MULTICLASS ? set->matrix.class_count : 1;
    if (weir_model_task(model) != set->matrix.task || outputs != expected)
        return WEIR_FAIL(err, WEIR_EDATA, "a %s model with %d outputs, expected a %s model with %d", weir_task_name(weir_model_task(model)), outputs,
                         weir_task_name(set->matrix.task), expected);
    *ret_scores = weir_models_calloc((size_t)set->matrix.row_count * (size_t)outputs, sizeof **ret_scores);
    if (!*ret_scores) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the scores of %lld rows", (long long)set->matrix.row_count);
    return weir_model_predict(model, set->matrix.values, set->matrix.row_count, *ret_scores, err);
}

static weir_status evaluate_version(const weir_training *t, weir_pg *pg, cJSON *version, const weir_trainset *set, weir_err *err) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "name"));
    const char *artifact = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "artifact_path"));
    const cJSON *chosen = cJSON_GetObjectItemCaseSensitive(version, "threshold");
    if (!name || !artifact) return WEIR_FAIL(err, WEIR_EDATA, "a version of the run has no name or no artifact");
    weir_model *model = NULL;
    double *scores = NULL;
    cJSON *json = cJSON_CreateObject();
    weir_status status = may_go_on(t, err);
    if (!status) status = weir_artifact_load(t->objects_dir, artifact, &model, err);
    if (!status) status = predict_set(model, set, &scores, err);
    if (!status) status = weir_training_measure(t, set, scores, cJSON_IsNumber(chosen) ? chosen->valuedouble : t->recipe->threshold.value, json, err);
    if (!status)
        status = weir_version_metrics(pg, t->pipeline->name, name, (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version")), json, err);
    if (!status) {
        cJSON_DeleteItemFromObjectCaseSensitive(version, "metrics");
        cJSON_AddItemToObject(version, "metrics", json);
    } else {
        cJSON_Delete(json);
    }
    weir_models_free(scores);
    weir_model_free(model);
    return status ? weir_err_prefix(err, "evaluating %s", name) : WEIR_OK;
}

weir_status weir_training_evaluate(const weir_training *t, weir_pg *pg, cJSON *detail, weir_err *err) {
    int64_t started = weir_clock_mono_us(weir_clock_system());
    cJSON *version, *versions = cJSON_GetObjectItemCaseSensitive(detail, "versions");
    weir_trainset set = {0};
    weir_status status = weir_training_set(t, true, &set, err);
    if (status) return status;
    cJSON_ArrayForEach(version, versions) {
        if ((status = evaluate_version(t, pg, version, &set, err))) break;
    }
    if (!status) cJSON_AddItemToObject(detail, "test_dataset", describe_dataset(&set));
    cJSON_AddNumberToObject(detail, "evaluate_seconds", seconds_since(started));
    weir_trainset_done(&set);
    return status;
}
