#include "models/continue_job.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "features/history.h"
#include "models/artifact_file.h"
#include "models/learn_on.h"
#include "models/memory.h"
#include "models/model_parts.h"
#include "models/scorer_gate.h"
#include "models/tracking.h"
#include "models/training.h"

enum { NAMES_MAX = 600 };

/* A job while it runs. */
typedef struct working {
    const weir_continue_job *job;
    weir_pg *pg;
    cJSON *versions; /* of the pipeline */
    const cJSON *parent; /* of them */
    weir_buf artifact; /* the parent's */
    weir_model *model; /* the same */
    weir_recipe recipe; /* the job's, with the columns of the model */
    weir_training training; /* its window: the rows that are new */
    int64_t train_from_us, label_events; /* of the parent; rows of the window that have a label */
    weir_trainset set;
    weir_learnt learnt;
    weir_run run;
    char experiment[WEIR_EXPERIMENT_NAME_MAX + 1];
    cJSON *request, *detail;
} working;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to go on learning");
}

static int number_of(const cJSON *version) {
    return (int)cJSON_GetNumberValue(weir_json_at(version, "version"));
}

static bool add_time(cJSON *json, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    return cJSON_AddStringToObject(json, name, weir_time_format(time_us, text));
}

static bool add_copy(cJSON *json, const char *name, const cJSON *item) {
    cJSON *copy = item ? cJSON_Duplicate(item, true) : NULL;
    if (!item || (copy && cJSON_AddItemToObject(json, name, copy))) return true;
    cJSON_Delete(copy);
    return false;
}

static double seconds_since(int64_t mono_us) {
    return (double)(weir_clock_mono_us(weir_clock_system()) - mono_us) / 1e6;
}

static void tell(const working *w, const char *step) {
    if (w->job->tell) w->job->tell(w->job->context, step);
}

/* ---- the version ---- */

static const cJSON *find_version(const working *w, const char *model, int number) {
    const cJSON *version;
    cJSON_ArrayForEach(version, w->versions) if (!strcmp(weir_json_text(version, "model"), model) && number_of(version) == number) return version;
    return NULL;
}

/* The model that a version without a model's name is of: where there is one only. */
static weir_status only_model(const working *w, char model[256], weir_err *err) {
    const cJSON *version;
    char names[NAMES_MAX] = "";
    size_t used = 0;
    *model = '\0';
    for (version = w->versions ? w->versions->child : NULL; version; version = version->next) {
        const char *name = weir_json_text(version, "model");
        bool seen = false;
        for (const cJSON *before = w->versions->child; before != version && !seen; before = before->next) seen = !strcmp(weir_json_text(before, "model"), name);
        if (seen) continue;
        if (!*model) snprintf(model, 256, "%s", name);
        if (used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
    }
    if (!*model) return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no versions to go on from", w->job->pipeline->name);
    if (strcmp(model, names) != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%.80s' is no alias of the pipeline; of which model is it the version? Say MODEL:%.80s with one of %s",
                         w->job->version, w->job->version, names);
    return WEIR_OK;
}

/* The model and the number of what the job names. */
static weir_status resolve(const working *w, char model[256], int *ret_number, weir_err *err) {
    const char *pipeline = w->job->pipeline->name, *name = w->job->version, *colon = strchr(name, ':');
    cJSON *aliases = NULL;
    const cJSON *alias;
    *model = '\0';
    weir_status status = colon ? WEIR_OK : weir_alias_list(w->pg, pipeline, &aliases, err);
    cJSON_ArrayForEach(alias, aliases) if (!strcmp(weir_json_text(alias, "alias"), name)) {
        snprintf(model, 256, "%s", weir_json_text(alias, "model"));
        *ret_number = number_of(alias);
    }
    cJSON_Delete(aliases);
    if (status || *model) return status;
    if (colon)
        snprintf(model, 256, "%.*s", (int)(colon - name), name);
    else
        status = only_model(w, model, err);
    if (!status) status = weir_version_resolve(w->pg, pipeline, model, colon ? colon + 1 : name, ret_number, err);
    if (status == WEIR_ENOTFOUND && err) err->code = status = WEIR_EINVAL; /* what was asked for is not there: wrong use */
    return status;
}

/* The newest version that went on from this one: going on from that gives what going on from this would. */
static const cJSON *newest_of_line(const working *w, const cJSON *from) {
    const cJSON *version, *next = from;
    while (next) {
        const cJSON *now = next;
        next = NULL;
        cJSON_ArrayForEach(version, w->versions) {
            bool follows = !strcmp(weir_json_text(version, "model"), weir_json_text(now, "model")) && number_of(version) > number_of(now) &&
                           !strcmp(weir_json_text(weir_json_at(weir_json_at(version, "lineage"), "continues"), "digest"), weir_json_text(now, "digest"));
            if (follows && (!next || number_of(version) > number_of(next))) next = version;
        }
        from = now;
    }
    return from;
}

static weir_status find_parent(working *w, weir_err *err) {
    char model[256];
    int number = 0;
    weir_status status = weir_version_list(w->pg, w->job->pipeline->name, NULL, &w->versions, err);
    if (!status) status = resolve(w, model, &number, err);
    if (status) return status;
    const cJSON *found = find_version(w, model, number);
    if (!found) return WEIR_FAIL(err, WEIR_ENOTFOUND, "version %d of %s was deleted just now", number, model);
    w->parent = newest_of_line(w, found);
    return WEIR_OK;
}

/* ---- may it go on? ---- */

static weir_status refuse(const working *w, weir_err *err, const char *why) {
    return WEIR_FAIL(err, WEIR_EINVAL, "version %d of %s cannot go on: %s", number_of(w->parent), weir_json_text(w->parent, "model"), why);
}

static weir_status check_classes(const working *w, weir_err *err) {
    const char *const *kept = weir_model_class_names(w->model), *const *given = w->recipe.classes;
    int count = weir_model_task(w->model) == WEIR_TASK_BINARY ? 2 : weir_model_output_count(w->model);
    if (weir_model_task(w->model) != w->recipe.task) return refuse(w, err, "the pipeline's file has another task for it");
    for (int k = 0; kept && given && k < count; k++)
        if (!given[k] || strcmp(kept[k], given[k]) != 0) return refuse(w, err, "the pipeline's file has other classes for it");
    return WEIR_OK;
}

/* The algorithm first: it is what the caller can least change. */
static weir_status check_parent(const working *w, weir_err *err) {
    const cJSON *lineage = weir_json_at(w->parent, "lineage"), *request = weir_json_at(lineage, "request");
    const weir_recipe *recipe = w->job->recipe;
    const char *use_case = recipe->section ? recipe->use_case : "";
    if (weir_learn_on_check(w->model, err)) return weir_err_prefix(err, "version %d of %s", number_of(w->parent), weir_json_text(w->parent, "model"));
    if (!strcmp(weir_json_text(request, "kind"), "tenants")) return refuse(w, err, "it was made to compare tenants; a model of the pipeline's rows can");
    if (strcmp(weir_json_text(request, "use_case"), use_case) != 0)
        return refuse(w, err,
                      *weir_json_text(request, "use_case") ? "it is of another use case, which --use-case names"
                                                           : "it is of the pipeline's own use case; leave --use-case out");
    if (strcmp(weir_json_text(w->parent, "feature_hash"), w->job->pipeline->feature_hash) != 0)
        return refuse(w, err, "it was trained with other features than the pipeline's file has now");
    if (weir_json_at(weir_json_at(lineage, "spec"), "class_weight"))
        return refuse(w, err, "it weighs classes as they were among its training rows (class_weight), and later rows have others");
    return check_classes(w, err);
}

static weir_status load_parent(working *w, weir_err *err) {
    weir_status status = weir_artifact_read(w->job->objects_dir, weir_json_text(w->parent, "artifact_path"), &w->artifact, err);
    if (!status) status = weir_model_load(w->artifact.data, w->artifact.len, &w->model, err);
    return status ? weir_err_prefix(err, "version %d of %s", number_of(w->parent), weir_json_text(w->parent, "model")) : WEIR_OK;
}

/* ---- the rows ---- */

static int64_t day_floor(int64_t time_us) {
    int64_t since = time_us % WEIR_DAY_US;
    return time_us - since - (since < 0 ? WEIR_DAY_US : 0);
}

static weir_status find_end_of_data(const working *w, int64_t *ret_from_us, int64_t *ret_end_us, weir_err *err) {
    const cJSON *window = weir_json_at(weir_json_at(w->parent, "lineage"), "window");
    int64_t as_of_us = INT64_MAX;
    weir_err none;
    if (!*weir_json_text(window, "train_to") || weir_time_parse(weir_json_text(window, "train_from"), ret_from_us, &none) ||
        weir_time_parse(weir_json_text(window, "train_to"), ret_end_us, &none) ||
        (*weir_json_text(window, "as_of") && weir_time_parse(weir_json_text(window, "as_of"), &as_of_us, &none)))
        return refuse(w, err, "its lineage does not say where its training data ends");
    if (as_of_us < *ret_end_us) *ret_end_us = as_of_us;
    return WEIR_OK;
}

static weir_status say_nothing_new(working *w, int64_t from_us, weir_err *err) {
    char text[400], from[WEIR_TIME_TEXT_MAX], as_of[WEIR_TIME_TEXT_MAX] = "now";
    if (w->job->as_of_us != INT64_MAX) (void)weir_time_format(w->job->as_of_us, as_of);
    snprintf(text, sizeof text, "nothing new for version %d of %.120s: as of %s there is no whole day from %s on whose labels are known", number_of(w->parent),
             weir_json_text(w->parent, "model"), as_of, weir_time_format(from_us, from));
    return cJSON_AddStringToObject(w->detail, "nothing_new", text) ? WEIR_OK : no_memory(err);
}

/* How far the rows go: whole days, of which every label is there, or is missing for a day longer than labels take (a label that was rejected never comes). */
static weir_status find_window(working *w, weir_err *err) {
    const weir_pipeline *p = w->job->pipeline;
    weir_training_periods *window = &w->training.window;
    int64_t labels_until, known_until, events;
    weir_status status = find_end_of_data(w, &w->train_from_us, &window->train_from_us, err);
    if (!status) status = weir_history_span(w->job->pg_url, p, NULL, NULL, &labels_until, err);
    window->train_to_us = window->deploy_us = window->train_from_us;
    if (status || labels_until == INT64_MIN) return status;
    known_until = labels_until < w->job->as_of_us ? labels_until : w->job->as_of_us;
    int64_t to_us = day_floor(known_until - p->max_delay_us);
    if (to_us <= window->train_from_us) return WEIR_OK;
    status = weir_history_coverage(w->job->pg_url, p, w->job->objects_dir, window->train_from_us, to_us, &events, &w->label_events, err);
    if (status) return status;
    if (w->label_events < events && known_until < to_us + p->max_delay_us + WEIR_DAY_US) to_us -= WEIR_DAY_US;
    if (to_us > window->train_from_us) window->train_to_us = to_us;
    window->deploy_us = window->test_to_us = window->train_to_us + p->max_delay_us;
    return WEIR_OK;
}

/* *ret_new: there are rows. */
static weir_status read_rows(working *w, bool *ret_new, weir_err *err) {
    const weir_training_periods *window = &w->training.window;
    *ret_new = false;
    tell(w, "new rows");
    weir_status status = find_window(w, err);
    if (status || !w->label_events || window->train_to_us <= window->train_from_us) return status;
    status = weir_training_set(&w->training, false, &w->set, err);
    if (status == WEIR_ENOTFOUND) return WEIR_OK; /* the labels were all of the day that was left out */
    *ret_new = !status;
    return status;
}

/* ---- the new version ---- */

static double threshold_of(const working *w) {
    const cJSON *kept = weir_json_at(weir_json_at(w->parent, "signature"), "threshold");
    return cJSON_IsNumber(kept) ? kept->valuedouble : w->recipe.threshold.value;
}

static cJSON *describe_dataset(const working *w) {
    cJSON *dataset = cJSON_CreateObject();
    bool ok = dataset && cJSON_AddStringToObject(dataset, "query", w->set.query) && cJSON_AddStringToObject(dataset, "digest", w->set.digest) &&
              cJSON_AddNumberToObject(dataset, "rows", (double)w->set.matrix.row_count) &&
              cJSON_AddNumberToObject(dataset, "rows_without_label", (double)w->set.without_label);
    if (ok) return dataset;
    cJSON_Delete(dataset);
    return NULL;
}

static bool describe_parent(const working *w, cJSON *json) {
    const weir_training_periods *window = &w->training.window;
    return cJSON_AddStringToObject(json, "model", weir_json_text(w->parent, "model")) && cJSON_AddNumberToObject(json, "version", number_of(w->parent)) &&
           cJSON_AddStringToObject(json, "digest", weir_json_text(w->parent, "digest")) &&
           cJSON_AddStringToObject(json, "algorithm", weir_model_algorithm(w->model)) && add_time(json, "from", window->train_from_us) &&
           add_time(json, "to", window->train_to_us) && add_time(json, "as_of", window->deploy_us) &&
           cJSON_AddNumberToObject(json, "rows", (double)w->set.matrix.row_count);
}

static bool describe_window(const working *w, cJSON *json) {
    cJSON *window = cJSON_AddObjectToObject(json, "window");
    return window && add_time(window, "train_from", w->train_from_us) && add_time(window, "train_to", w->training.window.train_to_us);
}

/* What the version was fitted with is the parent's; what it has seen is longer. */
static cJSON *describe_lineage(const working *w) {
    static const char *const kept[] = {"feature_hash", "task", "spec", "params", "preprocessing", "seed", "request"};
    const cJSON *lineage = weir_json_at(w->parent, "lineage");
    cJSON *json = cJSON_CreateObject();
    bool ok = json && cJSON_AddStringToObject(json, "code_version", WEIR_VERSION);
    for (size_t i = 0; ok && i < sizeof kept / sizeof *kept; i++) ok = add_copy(json, kept[i], weir_json_at(lineage, kept[i]));
    ok = ok && describe_window(w, json) && add_copy(json, "dataset", weir_json_at(w->detail, "dataset")) &&
         add_copy(json, "continues", weir_json_at(w->detail, "continues"));
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

/* A model that was written has been read back. */
static weir_status write_artifact(const working *w, char digest[65], char path[1024], cJSON *lineage, weir_err *err) {
    weir_model *model = NULL;
    weir_gate_count compared;
    weir_status status = weir_model_load(w->learnt.artifact.data, w->learnt.artifact.len, &model, err);
    if (status) return status;
    memcpy(digest, weir_model_digest(model), 65);
    status = weir_scorer_gate(model, w->set.matrix.values, w->set.matrix.row_count, &compared, err);
    weir_model_free(model);
    if (status) return status;
    if (!weir_gate_describe(lineage, &compared)) return no_memory(err);
    snprintf(path, 1024, "models/%s/%s/%s.weirmodel", w->job->pipeline->name, weir_json_text(w->parent, "model"), digest);
    return weir_artifact_write(w->job->objects_dir, path, &w->learnt.artifact, err);
}

static bool add_version(working *w, int number, const char *digest, const char *path) {
    cJSON *versions = cJSON_AddArrayToObject(w->detail, "versions"), *entry = cJSON_CreateObject();
    if (!versions || !entry || !cJSON_AddItemToArray(versions, entry)) {
        cJSON_Delete(entry);
        return false;
    }
    return cJSON_AddStringToObject(entry, "name", weir_json_text(w->parent, "model")) && cJSON_AddNumberToObject(entry, "version", number) &&
           cJSON_AddStringToObject(entry, "algorithm", weir_model_algorithm(w->model)) && cJSON_AddStringToObject(entry, "digest", digest) &&
           cJSON_AddStringToObject(entry, "artifact_path", path) &&
           (w->recipe.task != WEIR_TASK_BINARY || cJSON_AddNumberToObject(entry, "threshold", threshold_of(w))) &&
           add_copy(entry, "metrics", weir_json_at(w->detail, "prequential"));
}

static weir_status register_version(working *w, weir_err *err) {
    const char *pipeline = w->job->pipeline->name, *model = weir_json_text(w->parent, "model");
    char digest[65], path[1024];
    int number = 0;
    cJSON *lineage = describe_lineage(w);
    weir_status status = lineage ? write_artifact(w, digest, path, lineage, err) : no_memory(err);
    const weir_version_new version = {
        .pipeline = pipeline,
        .model = model,
        .algorithm = weir_model_algorithm(w->model),
        .run_id = w->job->run_id ? w->job->run_id : w->run.id,
        .digest = digest,
        .artifact_path = path,
        .feature_hash = w->job->pipeline->feature_hash,
        .dataset_digest = w->set.digest,
        .lineage = lineage,
        .signature = weir_json_at(w->parent, "signature"),
    };
    if (!status) status = weir_version_register(w->pg, &version, &number, err);
    if (!status) status = weir_version_metrics(w->pg, pipeline, model, number, weir_json_at(w->detail, "prequential"), err);
    cJSON_Delete(lineage);
    if (status) return status;
    return add_version(w, number, digest, path) ? WEIR_OK : no_memory(err);
}

/* ---- learning ---- */

static weir_status measure(working *w, const char *name, const double *scores, weir_err *err) {
    cJSON *json = cJSON_AddObjectToObject(w->detail, name);
    weir_status status = json ? weir_training_measure(&w->training, &w->set, scores, threshold_of(w), json, err) : no_memory(err);
    return status ? weir_err_prefix(err, "%s evaluation", name) : WEIR_OK;
}

static void tell_day(void *context, int day, int days) {
    char text[64];
    snprintf(text, sizeof text, "day %d of %d", day, days);
    tell(context, text);
}

static weir_status learn(working *w, weir_err *err) {
    int64_t started = weir_clock_mono_us(weir_clock_system());
    cJSON *continues = cJSON_GetObjectItemCaseSensitive(w->detail, "continues");
    const weir_learn_settings settings = {.label_delay_us = w->job->pipeline->max_delay_us, .cancel = w->job->cancel, .tell = tell_day, .context = w};
    weir_status status = weir_learn_on(w->artifact.data, w->artifact.len, &w->set, &settings, &w->learnt, err);
    if (!status && !cJSON_AddNumberToObject(continues, "days", w->learnt.day_count)) status = no_memory(err);
    if (!status) status = measure(w, "prequential", w->learnt.prequential, err);
    if (!status) status = measure(w, "delayed", w->learnt.delayed, err);
    if (!status) status = measure(w, "unchanged", w->learnt.unchanged, err);
    if (!status && !cJSON_AddNumberToObject(w->detail, "learn_seconds", seconds_since(started))) status = no_memory(err);
    return status;
}

/* ---- the run ---- */

static weir_status start_run(working *w, weir_err *err) {
    const weir_continue_job *job = w->job;
    const char *pipeline = job->pipeline->name;
    if (job->run_id) return WEIR_OK;
    w->request = cJSON_CreateObject();
    bool ok = w->request && cJSON_AddStringToObject(w->request, "pipeline", pipeline) && cJSON_AddStringToObject(w->request, "kind", "continue") &&
              cJSON_AddStringToObject(w->request, "version", job->version) && cJSON_AddStringToObject(w->request, "use_case", job->recipe->use_case) &&
              (job->as_of_us == INT64_MAX || add_time(w->request, "as_of", job->as_of_us));
    weir_status status =
        ok ? weir_track_experiment(weir_json_at(job->pipeline->json, "training"), pipeline, job->recipe->use_case, w->experiment, err) : no_memory(err);
    if (!status) status = weir_track_start(w->pg, pipeline, w->experiment, weir_json_text(w->parent, "model"), w->request, &w->run, err);
    return status || cJSON_AddStringToObject(w->detail, "run", w->run.id) ? status : no_memory(err);
}

/* The job's own error goes first. What cannot be logged must not leave a run without its end. */
static weir_status end_run(working *w, weir_status status, weir_err *err) {
    weir_err late, later;
    if (!*w->run.id) return status;
    if (status) (void)cJSON_AddStringToObject(w->detail, "error", err->message);
    weir_status tracked = weir_track_pipeline_run(w->pg, w->job->pipeline->name, w->run.id, w->experiment, w->request, w->detail, &late);
    weir_status ended = weir_run_update(w->pg, w->run.id, status ? "failed" : "succeeded", w->detail, &later);
    if (status || (!tracked && !ended)) return status;
    *err = ended ? later : late;
    return weir_err_prefix(err, "the version is registered, but what is known of run %s could not be kept", w->run.id);
}

static weir_status make_version(working *w, weir_err *err) {
    weir_status status = start_run(w, err);
    if (!status) status = learn(w, err);
    if (!status) status = register_version(w, err);
    return end_run(w, status, err);
}

static weir_status describe_rows(working *w, bool is_new, double seconds, weir_err *err) {
    cJSON *continues = cJSON_AddObjectToObject(w->detail, "continues"), *dataset;
    if (!continues || !describe_parent(w, continues)) return no_memory(err);
    if (!is_new) return say_nothing_new(w, w->training.window.train_from_us, err);
    if (!(dataset = describe_dataset(w)) || !cJSON_AddItemToObject(w->detail, "dataset", dataset)) {
        cJSON_Delete(dataset);
        return no_memory(err);
    }
    return describe_window(w, w->detail) && cJSON_AddNumberToObject(w->detail, "dataset_seconds", seconds) ? WEIR_OK : no_memory(err);
}

static weir_status prepare(working *w, weir_err *err) {
    weir_status status = (w->detail = cJSON_CreateObject()) ? weir_pg_new(w->job->pg_url, &w->pg, err) : no_memory(err);
    if (!status) status = find_parent(w, err);
    if (!status) status = load_parent(w, err);
    if (!status) status = check_parent(w, err);
    if (status) return status;
    w->recipe.columns = (const char **)weir_model_columns(w->model);
    w->recipe.column_count = weir_model_column_count(w->model);
    return WEIR_OK;
}

weir_status weir_continue_job_run(const weir_continue_job *job, cJSON **ret_detail, weir_err *err) {
    working w = {.job = job, .recipe = *job->recipe};
    bool is_new = false;
    w.training = (weir_training){.pipeline = job->pipeline,
                                 .recipe = &w.recipe,
                                 .pg_url = job->pg_url,
                                 .objects_dir = job->objects_dir,
                                 .as_of_us = INT64_MAX, /* the window ends where all is known */
                                 .cancel = job->cancel};
    *ret_detail = NULL;
    weir_status status = prepare(&w, err);
    int64_t started = weir_clock_mono_us(weir_clock_system());
    if (!status) status = read_rows(&w, &is_new, err);
    if (!status) status = describe_rows(&w, is_new, seconds_since(started), err);
    if (!status && is_new) status = make_version(&w, err);
    if (!status) {
        *ret_detail = w.detail;
        w.detail = NULL;
    }
    cJSON_Delete(w.detail);
    cJSON_Delete(w.request);
    cJSON_Delete(w.versions);
    weir_learnt_done(&w.learnt);
    weir_trainset_done(&w.set);
    weir_model_free(w.model);
    weir_buf_done(&w.artifact);
    weir_pg_free(w.pg);
    return status;
}
