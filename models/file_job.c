#include "models/file_job.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/assessment_page.h"
#include "models/json_file.h"
#include "models/memory.h"
#include "models/training_search.h"

enum { NAME_ROOM = 256, TRIES_MAX = 1000, REPORTS = 4 };
#define ID_PREFIX "ml_pipeline_"

/* A job while it runs. */
typedef struct running {
    const weir_file_job *job;
    const weir_training_file *file;
    weir_file_job_end *end;
    weir_training_sets sets; /* without fit and test, which are the workshop's */
    weir_trainset test; /* borrowed from the workshop */
    weir_split split;
    weir_workshop workshop;
    cJSON *request;
    char title[NAME_ROOM];
} running;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what came of the training file");
}

/* An item that is NULL becomes null. */
static bool add_copy(cJSON *object, const char *name, const cJSON *item) {
    cJSON *copy = item ? cJSON_Duplicate(item, true) : cJSON_CreateNull();
    if (copy && cJSON_AddItemToObject(object, name, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

/* ---- rows ---- */

static bool describe_data(const running *r, cJSON *result) {
    static const char *const keys[] = {
        "source", "format", "files", "task", "targets", "classes", "inputs", "left_out", "rows_without_label", "rows_without_place", "infinite"};
    bool ok = cJSON_AddNumberToObject(result, "rows", (double)r->sets.whole.matrix.row_count) &&
              cJSON_AddNumberToObject(result, "train_rows", (double)r->sets.train.matrix.row_count) &&
              cJSON_AddNumberToObject(result, "validation_rows", (double)r->sets.validation.matrix.row_count) &&
              cJSON_AddNumberToObject(result, "test_rows", (double)r->test.matrix.row_count) && add_copy(result, "notes", r->file->notes);
    for (size_t i = 0; ok && i < sizeof keys / sizeof *keys; i++)
        if (weir_json_at(r->sets.schema, keys[i])) ok = add_copy(result, keys[i], weir_json_at(r->sets.schema, keys[i]));
    return ok;
}

/* The models that are kept are fitted on training and validation rows together. */
static weir_status read_sets(void *context, weir_trainset *ret_train, weir_trainset *ret_test, cJSON *result, weir_err *err) {
    running *r = context;
    weir_training_sets_done(&r->sets);
    weir_status status = weir_training_file_sets(r->file, &r->sets, err);
    if (status) return status;
    *ret_train = r->sets.fit;
    *ret_test = r->test = r->sets.test;
    r->sets.fit = r->sets.test = (weir_trainset){0};
    /* What depends on the task, which only the rows tell. */
    weir_task task = r->sets.whole.matrix.task;
    r->workshop.search.metric = r->sets.metric;
    r->split = weir_training_file_split(r->file, task);
    r->workshop.validation = r->file->validation.enabled ? &r->split : NULL;
    if (describe_data(r, result)) return WEIR_OK;
    weir_trainset_done(ret_train);
    weir_trainset_done(ret_test);
    return no_memory(err);
}

/* ---- search ---- */

static weir_status search(void *context, const weir_automl_settings *settings, weir_leaderboard *ret_board, weir_err *err) {
    const running *r = context;
    const weir_training_search search = {.budget_s = settings->budget_s,
                                         .folder = r->end->folder,
                                         .cancel = settings->cancel,
                                         .progress = settings->progress,
                                         .progress_context = settings->progress_context};
    return weir_training_file_search(r->file, &r->sets, &search, ret_board, err);
}

static uint64_t seed_of(void *context, const cJSON *spec) {
    const running *r = context;
    const char *name = cJSON_GetStringValue(weir_json_at(spec, "name"));
    for (int i = 0; name && i < r->file->models.count; i++)
        if (!strcmp(r->file->models.items[i].name, name)) return weir_training_file_seed(r->file, i);
    return (uint64_t)r->file->training.random_state;
}

/* ---- report ---- */

static bool leave_out(cJSON *part, const char *name) {
    cJSON *none = cJSON_CreateObject();
    cJSON_DeleteItemFromObjectCaseSensitive(part, name);
    bool ok = none && cJSON_AddStringToObject(none, "none", "the training file does not ask for it") && cJSON_AddItemToObject(part, name, none);
    if (!ok) cJSON_Delete(none);
    return ok;
}

static weir_status trim(void *context, cJSON *report, weir_err *err) {
    const running *r = context;
    const weir_training_evaluation *e = &r->file->evaluation;
    cJSON *regression = cJSON_GetObjectItemCaseSensitive(report, "regression");
    bool ok = true;
    if (!e->model_comparison) cJSON_DeleteItemFromObjectCaseSensitive(report, "comparisons");
    if (!e->residual_analysis) cJSON_DeleteItemFromObjectCaseSensitive(regression, "residuals");
    if (!e->prediction_intervals && regression) ok = leave_out(regression, "intervals");
    return ok ? WEIR_OK : no_memory(err);
}

/* ---- metrics ---- */

/* {"rmse": 1.5, "rmse_speed": 2} by the model on the test rows: of several targets the mean and each. A metric without a value is null. */
static weir_status measure(const running *r, const weir_finalist *f, cJSON *metrics, weir_err *err) {
    const weir_training_sets *sets = &r->sets;
    int count = sets->metric_count ? sets->metric_count : 1, targets = r->test.target_count;
    double each[WEIR_TRAINSET_TARGETS_MAX], mean;
    double *scores = weir_models_calloc((size_t)r->test.matrix.row_count * (size_t)weir_model_output_count(f->model), sizeof *scores);
    weir_status status = scores ? weir_model_predict(f->model, r->test.matrix.values, r->test.matrix.row_count, scores, err) : no_memory(err);
    for (int i = 0; !status && i < count; i++) {
        const weir_model_metric *metric = sets->metric_count ? sets->metrics[i] : sets->metric;
        char name[NAME_ROOM];
        status = weir_training_file_measure(metric, &r->test, scores, each, &mean, err);
        if (status == WEIR_ENOMEM) break;
        bool ok = status ? cJSON_AddNullToObject(metrics, metric->name) != NULL : cJSON_AddNumberToObject(metrics, metric->name, mean) != NULL;
        for (int t = 0; ok && !status && targets > 1 && t < targets; t++) {
            snprintf(name, sizeof name, "%s_%s", metric->name, r->test.target_names[t]);
            ok = cJSON_AddNumberToObject(metrics, name, each[t]);
        }
        status = ok ? WEIR_OK : no_memory(err);
    }
    weir_models_free(scores);
    return status;
}

/* ---- versions ---- */

/* What lies beside every version: the report as it is then. */
typedef struct reports {
    weir_buf bytes[REPORTS];
    weir_layout_file files[REPORTS];
    size_t count;
} reports;

static weir_status add_file(const running *r, reports *all, const char *name, const char *artifact, weir_err *err) {
    char path[sizeof r->end->folder + 32];
    snprintf(path, sizeof path, "%s/%s", r->end->folder, name);
    all->files[all->count] = (weir_layout_file){artifact, &all->bytes[all->count]};
    return weir_artifact_read_file(path, &all->bytes[all->count++], err);
}

static weir_status collect_reports(const running *r, const cJSON *report, reports *all, weir_err *err) {
    weir_status status = add_file(r, all, "report.json", "artifacts/report.json", err);
    if (!status) status = add_file(r, all, "quality.json", "artifacts/quality.json", err);
    if (!status) status = add_file(r, all, "leaderboard.json", "artifacts/leaderboard.json", err);
    if (status || !r->file->evaluation.generate_plots) return status;
    all->files[all->count] = (weir_layout_file){"artifacts/report.html", &all->bytes[all->count]};
    return weir_assessment_page(report, &all->bytes[all->count++], err);
}

/* What the folder of versions says of the version now. */
static weir_status describe_version(const running *r, const char *name, const char *version, cJSON *entry, weir_err *err) {
    static const char *const keys[] = {"digest", "version_reason", "exports_left_out"};
    weir_layout_found found = {0};
    const char *store = weir_training_file_store(r->file);
    weir_status status = weir_model_layout_find(store, name, version, &found, err);
    if (status) return status;
    bool ok = cJSON_AddStringToObject(entry, "version", version) && cJSON_AddStringToObject(entry, "folder", found.folder);
    for (size_t i = 0; ok && i < sizeof keys / sizeof *keys; i++)
        if (weir_json_at(found.metadata, keys[i])) ok = add_copy(entry, keys[i], weir_json_at(found.metadata, keys[i]));
    cJSON *formats = ok ? cJSON_AddArrayToObject(entry, "formats") : NULL;
    for (int f = 0; formats && f < WEIR_EXPORT_FORMAT_COUNT; f++) {
        const char *format = weir_export_format_name((weir_export_format)f);
        char file[sizeof found.folder + 32];
        snprintf(file, sizeof file, "%s/model.%s", found.folder, f == WEIR_EXPORT_NATIVE ? "weirmodel" : format);
        if (!access(file, R_OK)) cJSON_AddItemToArray(formats, cJSON_CreateString(format));
    }
    weir_layout_found_done(&found);
    return formats ? WEIR_OK : no_memory(err);
}

static weir_status keep(const running *r, const weir_finalist *f, const cJSON *metrics, const reports *all, cJSON *entry, weir_err *err) {
    char version[WEIR_SEMVER_TEXT_MAX];
    const char *name = cJSON_GetStringValue(weir_json_at(f->spec, "name"));
    weir_buf artifact = {0};
    cJSON *more = cJSON_CreateObject();
    const cJSON *description = weir_json_at(r->file->json, "description");
    bool ok = more && (!description || add_copy(more, "description", description));
    const weir_training_kept kept = {.name = name,
                                     .artifact = &artifact,
                                     .spec = f->spec,
                                     .schema = r->sets.schema,
                                     .metrics = metrics,
                                     .dataset_digest = r->sets.whole.digest,
                                     .run_id = r->end->id,
                                     .more = more,
                                     .files = all->files,
                                     .file_count = all->count};
    weir_status status = ok ? weir_artifact_read_file(f->path, &artifact, err) : no_memory(err);
    if (!status) status = weir_training_file_persist(r->file, &kept, version, err);
    if (!status) status = describe_version(r, name, version, entry, err);
    weir_buf_done(&artifact);
    cJSON_Delete(more);
    return status;
}

static weir_status persist(void *context, const weir_finalist *finalists, int count, const cJSON *report, cJSON *result, weir_err *err) {
    running *r = context;
    const char *store = weir_training_file_store(r->file);
    reports all = {0};
    cJSON *models = cJSON_AddArrayToObject(result, "models"), *versions = cJSON_AddArrayToObject(result, "versions");
    bool ok = models && versions && (store ? cJSON_AddStringToObject(result, "store", store) : cJSON_AddNullToObject(result, "store"));
    weir_status status = !ok ? no_memory(err) : store ? collect_reports(r, report, &all, err) : WEIR_OK;
    for (int i = 0; !status && i < count; i++) {
        cJSON *model = cJSON_CreateObject(), *entry = cJSON_CreateObject();
        cJSON_AddItemToArray(models, model);
        if (store)
            cJSON_AddItemToArray(versions, entry);
        else
            cJSON_Delete(entry);
        cJSON *metrics = cJSON_AddStringToObject(model, "model", finalists[i].name) ? cJSON_AddObjectToObject(model, "metrics") : NULL;
        status = metrics ? measure(r, &finalists[i], metrics, err) : no_memory(err);
        if (!status && store && !cJSON_AddStringToObject(entry, "model", finalists[i].name)) status = no_memory(err);
        if (!status && store) status = keep(r, &finalists[i], metrics, &all, entry, err);
        if (status) (void)weir_err_prefix(err, "%s", finalists[i].name);
    }
    for (size_t i = 0; i < REPORTS; i++) weir_buf_done(&all.bytes[i]);
    return status;
}

/* ---- results ---- */

static const cJSON *result_of(const cJSON *record, const char *step) {
    const cJSON *item;
    cJSON_ArrayForEach(item, weir_json_at(record, "steps")) {
        const char *name = cJSON_GetStringValue(weir_json_at(item, "name")), *status = cJSON_GetStringValue(weir_json_at(item, "status"));
        if (name && status && !strcmp(name, step) && !strcmp(status, "done")) return weir_json_at(item, "result");
    }
    return NULL;
}

static bool add_path(const running *r, cJSON *object, const char *key, const char *file) {
    char path[sizeof r->end->folder + 32];
    snprintf(path, sizeof path, "%s/%s", r->end->folder, file);
    return cJSON_AddStringToObject(object, key, path);
}

static bool add_training(const running *r, cJSON *results, const cJSON *record) {
    cJSON *part = cJSON_Duplicate(result_of(record, "search"), true), *board = NULL;
    weir_err ignored;
    if (!part) return cJSON_AddNullToObject(results, "model_training");
    bool ok = cJSON_AddItemToObject(results, "model_training", part);
    if (weir_json_file_read(r->end->folder, "leaderboard.json", &board, &ignored) == WEIR_OK) ok = ok && cJSON_AddItemToObject(part, "leaderboard", board);
    return ok && add_copy(part, "models", weir_json_at(result_of(record, "fit"), "models"));
}

static bool add_evaluation(const running *r, cJSON *results, const cJSON *record) {
    const cJSON *persisted = result_of(record, "persist"), *models = weir_json_at(persisted, "models");
    if (!persisted) return cJSON_AddNullToObject(results, "model_evaluation") && cJSON_AddNullToObject(results, "model_persistence");
    cJSON *evaluation = cJSON_AddObjectToObject(results, "model_evaluation"), *persistence = cJSON_AddObjectToObject(results, "model_persistence");
    return evaluation && persistence && cJSON_AddStringToObject(evaluation, "primary_metric", r->file->training.primary_metric) &&
           add_copy(evaluation, "best_model", weir_json_at(cJSON_GetArrayItem(models, 0), "model")) && add_copy(evaluation, "models", models) &&
           add_copy(persistence, "store", weir_json_at(persisted, "store")) && add_copy(persistence, "versions", weir_json_at(persisted, "versions"));
}

static bool add_final(const running *r, cJSON *results, const cJSON *record) {
    if (!result_of(record, "report")) return cJSON_AddNullToObject(results, "final_report");
    cJSON *part = cJSON_AddObjectToObject(results, "final_report");
    bool page = weir_json_at(result_of(record, "report"), "page");
    return part && (!page || add_path(r, part, "page", "report.html")) && add_path(r, part, "document", "report.json") &&
           add_path(r, part, "quality", "quality.json") && add_path(r, part, "job", "job.json");
}

static weir_status write_results(running *r, weir_err *err) {
    const cJSON *record = r->end->record;
    const char *status = cJSON_GetStringValue(weir_json_at(record, "status"));
    cJSON *results = r->end->results = cJSON_CreateObject();
    bool ok = results && cJSON_AddStringToObject(results, "pipeline_id", r->end->id) &&
              cJSON_AddStringToObject(results, "status", status && strcmp(status, "succeeded") != 0 ? status : "completed") &&
              (!weir_json_at(record, "error") || add_copy(results, "error", weir_json_at(record, "error"))) &&
              add_copy(results, "data_preparation", result_of(record, "data")) && add_training(r, results, record) && add_evaluation(r, results, record) &&
              add_final(r, results, record) && add_copy(results, "pipeline_duration", weir_json_at(record, "seconds"));
    return ok ? weir_json_file_write(r->end->folder, "results.json", results, err) : no_memory(err);
}

/* ---- the job ---- */

bool weir_file_job_is(const char *path) {
    weir_buf text = {0};
    weir_err ignored;
    struct stat about;
    if (stat(path, &about) || !S_ISREG(about.st_mode) || weir_artifact_read_file(path, &text, &ignored)) return false;
    cJSON *json = text.len ? cJSON_ParseWithLength(text.data, text.len) : NULL;
    bool is = cJSON_IsObject(json) && (weir_json_at(json, "data") || weir_json_at(json, "models")) && !weir_json_at(json, "pipeline");
    cJSON_Delete(json);
    weir_buf_done(&text);
    return is;
}

static weir_status name_folder(running *r, const char *dir, const char *id, weir_err *err) {
    weir_file_job_end *end = r->end;
    int n = snprintf(end->folder, sizeof end->folder, "%s/%s", dir, id);
    if (n >= (int)sizeof end->folder || snprintf(end->id, sizeof end->id, "%s", id) >= (int)sizeof end->id)
        return WEIR_FAIL(err, WEIR_EINVAL, "the name of the job's folder is too long");
    return WEIR_OK;
}

/* Jobs that begin within a second get _2, _3, … */
static weir_status begin_folder(running *r, const char *dir, weir_err *err) {
    long long now_s = (long long)(weir_clock_wall_us(weir_clock_system()) / WEIR_SECOND_US);
    weir_status status = weir_folder_make(dir, err);
    for (int i = 1; !status && i <= TRIES_MAX; i++) {
        char id[sizeof r->end->id];
        snprintf(id, sizeof id, i > 1 ? ID_PREFIX "%lld_%d" : ID_PREFIX "%lld", now_s, i);
        status = name_folder(r, dir, id, err);
        if (!status && !mkdir(r->end->folder, 0777)) return WEIR_OK;
        if (!status && errno != EEXIST) return WEIR_FAIL(err, WEIR_EIO, "cannot make the folder %s: %s", r->end->folder, strerror(errno));
    }
    return status ? status : WEIR_FAIL(err, WEIR_ECONFLICT, "%d jobs were begun in %s within this second", TRIES_MAX, dir);
}

static weir_status find_folder(running *r, const char *dir, weir_err *err) {
    char latest[NAME_ROOM] = "";
    const char *wanted = r->job->go_on;
    if (strchr(wanted, '/') || *wanted == '.')
        return WEIR_FAIL(err, WEIR_EINVAL, "'%.60s' is no name of a job; expected " ID_PREFIX "… as it was printed, or latest", wanted);
    DIR *folder = !strcmp(wanted, "latest") ? opendir(dir) : NULL;
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        if (!strncmp(entry->d_name, ID_PREFIX, strlen(ID_PREFIX)) && strverscmp(entry->d_name, latest) > 0)
            snprintf(latest, sizeof latest, "%s", entry->d_name);
    if (folder) closedir(folder);
    if (!strcmp(wanted, "latest") && !*latest) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no job in %s to go on with", dir);
    weir_status status = name_folder(r, dir, *latest ? latest : wanted, err);
    char path[sizeof r->end->folder + 16];
    snprintf(path, sizeof path, "%s/job.json", r->end->folder);
    if (!status && access(path, R_OK)) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no job '%s' to go on with: no %s", wanted, path);
    return status;
}

static void write_title(running *r) {
    const weir_training_data *d = &r->file->data;
    const char *name = cJSON_GetStringValue(weir_json_at(r->file->json, "name"));
    size_t used = (size_t)snprintf(r->title, sizeof r->title, "%.100s%s", name ? name : "", name ? ": " : "");
    for (int t = 0; d->target_columns[t] && used < sizeof r->title; t++)
        used += (size_t)snprintf(r->title + used, sizeof r->title - used, "%s%s", t ? ", " : "", d->target_columns[t]);
    if (d->target_columns[1] && used < sizeof r->title) snprintf(r->title + used, sizeof r->title - used, " (charts and intervals: %s)", d->target_columns[0]);
}

static void plan(running *r) {
    const weir_training_file *file = r->file;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int models = file->models.count + file->ensemble_count;
    bool compare = file->evaluation.model_comparison || file->persistence.save_models;
    write_title(r);
    r->workshop = (weir_workshop){
        .id = r->end->id,
        .folder = r->end->folder,
        .request = r->request,
        .source = {.read = read_sets, .search = search, .persist = persist, .seed = seed_of, .trim = trim, .context = r},
        .budget_s = file->training.max_training_time_minutes * 60,
        .search = {.seed = (uint64_t)file->training.random_state,
                   .threads = file->training.parallel_training && processors > 1 ? (int)processors : 1,
                   .cancel = r->job->end_search,
                   .progress = r->job->progress,
                   .progress_context = r->job->context},
        .assess = {.title = r->title, .learning_curve = true, .permutation = true},
        .threshold = {.rule = WEIR_THRESHOLD_FIXED, .value = 0.5}, /* what predictions of the kept versions decide by */
        .finalists = !compare                      ? 1
                     : models < WEIR_FINALISTS_MAX ? models
                                                   : WEIR_FINALISTS_MAX,
        .by_name = true,
        .no_page = !file->evaluation.generate_plots,
        .abort = r->job->abort,
        .watch = r->job->watch,
        .watch_context = r->job->context,
    };
}

weir_status weir_file_job_run(const weir_file_job *job, weir_file_job_end *ret_end, weir_err *err) {
    weir_err why;
    running r = {.job = job, .file = job->file, .end = ret_end, .request = cJSON_CreateObject()};
    const char *dir = job->out_dir && *job->out_dir ? job->out_dir : WEIR_FILE_JOB_FOLDER;
    *ret_end = (weir_file_job_end){0};
    bool ok = r.request && cJSON_AddStringToObject(r.request, "kind", "training_file") && add_copy(r.request, "file", job->file->json);
    weir_status status = !ok ? no_memory(err) : job->go_on && *job->go_on ? find_folder(&r, dir, err) : begin_folder(&r, dir, err);
    if (!status) {
        plan(&r);
        status = weir_workshop_run(&r.workshop, &ret_end->record, err);
    }
    weir_status written = ret_end->record ? write_results(&r, &why) : WEIR_OK;
    if (!status && written) {
        status = written;
        *err = why;
    }
    weir_training_sets_done(&r.sets);
    cJSON_Delete(r.request);
    return status;
}
