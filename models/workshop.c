#include "models/workshop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/artifact_file.h"
#include "models/folds.h"
#include "models/json_file.h"
#include "models/memory.h"
#include "models/quality.h"

enum { FOLDS = 5, FINALISTS = 2, PATH_ROOM = 4096 + 32, NAME_ROOM = 256 };
/* What of the budget is the search's. The rest is for fitting, judging and writing: these take about a cross-validation's time for each finalist. */
#define SEARCH_SHARE 0.75

/* A job while it runs. */
typedef struct bench {
    const weir_workshop *w;
    weir_clock *clock;
    int64_t started_us;
    weir_trainset train, test;
    bool has_sets;
    weir_folds folds;
    cJSON *board, *report, *metrics;
    weir_finalist finalists[WEIR_FINALISTS_MAX];
    weir_crossval validation[WEIR_FINALISTS_MAX];
    char names[WEIR_FINALISTS_MAX][NAME_ROOM], paths[WEIR_FINALISTS_MAX][PATH_ROOM];
    int finalist_count;
    weir_job *job;
} bench;

static double seconds_left(const bench *b) {
    return b->w->budget_s - (double)(weir_clock_mono_us(b->clock) - b->started_us) / 1e6;
}

static weir_status may_go_on(const bench *b, weir_err *err) {
    return b->w->abort && *b->w->abort ? WEIR_FAIL(err, WEIR_ETIMEOUT, "it was asked to stop") : WEIR_OK;
}

/* ---- data ---- */

static void describe_set(cJSON *result, const char *name, const weir_trainset *set) {
    cJSON *json = cJSON_AddObjectToObject(result, name);
    cJSON_AddNumberToObject(json, "rows", (double)set->matrix.row_count);
    cJSON_AddNumberToObject(json, "columns", set->matrix.column_count);
    cJSON_AddNumberToObject(json, "without_label", (double)set->without_label);
    if (set->source) cJSON_AddStringToObject(json, "source", set->source);
    if (set->query) cJSON_AddStringToObject(json, "query", set->query);
    cJSON_AddStringToObject(json, "digest", set->digest);
    if (!set->time_us || !set->matrix.row_count) return;
    char text[WEIR_TIME_TEXT_MAX];
    cJSON_AddStringToObject(json, "from", weir_time_format(set->time_us[0], text));
    cJSON_AddStringToObject(json, "to", weir_time_format(set->time_us[set->matrix.row_count - 1], text));
}

/* A job that goes on must see the rows that it began with: its trials were judged by them. */
static weir_status check_same(const cJSON *before, const cJSON *now, const char *name, weir_err *err) {
    const char *old = weir_json_text(cJSON_GetObjectItemCaseSensitive(before, name), "digest");
    const char *new = weir_json_text(cJSON_GetObjectItemCaseSensitive(now, name), "digest");
    if (!*old || !strcmp(old, new)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ECONFLICT, "the %s rows are not those that the job began with (digest %.12s, then %.12s)", name, old, new);
}

static void note(const bench *b, const char *words) {
    if (b->w->note && *words) b->w->note(b->w->watch_context, words);
}

/* How test rows and folds came about, for the record and whoever watches; folds that are those that were asked for go without saying. */
static weir_status describe_splits(const bench *b, cJSON *result, weir_err *err) {
    cJSON *json = cJSON_AddObjectToObject(result, "folds");
    if (!json || !cJSON_AddStringToObject(json, "scheme", weir_split_schemes()[b->folds.split.scheme].name) ||
        !cJSON_AddNumberToObject(json, "count", b->folds.count) || !cJSON_AddBoolToObject(json, "as_asked", b->folds.as_asked) ||
        !cJSON_AddStringToObject(json, "words", b->folds.words))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe the folds");
    note(b, weir_json_text(cJSON_GetObjectItemCaseSensitive(result, "split"), "words"));
    if (!b->folds.as_asked) note(b, b->folds.words);
    return WEIR_OK;
}

static weir_status read_sets(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    const cJSON *before =
        weir_job_result(b->job, "quality"); /* its result keeps what the first reading found: a step that is done every time has its own overwritten */
    if (b->has_sets) {
        weir_trainset_done(&b->train);
        weir_trainset_done(&b->test);
        b->has_sets = false;
    }
    weir_status status = b->w->source.read(b->w->source.context, &b->train, &b->test, result, err);
    if (status) return status;
    b->has_sets = true;
    describe_set(result, "train", &b->train);
    describe_set(result, "test", &b->test);
    status = check_same(before, result, "train", err);
    if (!status) status = check_same(before, result, "test", err);
    if (status) return status;
    status = weir_folds_choose(&b->train, b->w->validation, FOLDS, b->w->search.seed, &b->folds, err);
    return status ? status : describe_splits(b, result, err);
}

static weir_status judge_quality(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    cJSON *json = NULL;
    weir_status status = weir_quality_report(&b->train, &json, err);
    if (!status) status = weir_json_file_write(b->w->folder, "quality.json", json, err);
    cJSON_Delete(json);
    describe_set(result, "train", &b->train);
    describe_set(result, "test", &b->test);
    return status;
}

/* ---- search ---- */

static void tell_open(void *context) {
    const bench *b = context;
    b->w->opened(b->w->opened_context, &b->train);
}

static weir_status search(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    weir_automl_settings settings = b->w->search;
    if (b->w->opened) {
        settings.opened = tell_open;
        settings.opened_context = b;
    }
    weir_leaderboard board = {0};
    settings.set = &b->train;
    settings.split = &b->folds.split;
    settings.budget_s = b->w->budget_s * SEARCH_SHARE;
    weir_status status = may_go_on(b, err);
    if (status) return status;
    status = b->w->source.search ? b->w->source.search(b->w->source.context, &settings, &board, err) : weir_automl_run(&settings, &board, err);
    if (status) return status;
    cJSON *json = weir_leaderboard_json(&board);
    status = json ? weir_json_file_write(b->w->folder, "leaderboard.json", json, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the leaderboard");
    cJSON_Delete(json);
    cJSON_AddNumberToObject(result, "trials", board.trials);
    cJSON_AddNumberToObject(result, "seconds", board.elapsed_s);
    cJSON_AddNumberToObject(result, "failed", board.failed);
    cJSON_AddNumberToObject(result, "pruned", board.pruned);
    cJSON_AddStringToObject(result, "ended", board.ended ? board.ended : "");
    if (board.count) cJSON_AddStringToObject(result, "winner", board.leaders[board.winner].name);
    weir_leaderboard_done(&board);
    return status;
}

/* ---- fit ---- */

/* What is taken once: an algorithm, a kind of ensemble (two averages say the same), or a name. */
static const char *kind_of(const bench *b, const cJSON *spec) {
    const cJSON *each = cJSON_GetObjectItemCaseSensitive(spec, "targets");
    if (b->w->by_name) return weir_json_text(spec, "name");
    if (each) spec = each;
    return *weir_json_text(spec, "algorithm") ? weir_json_text(spec, "algorithm") : weir_json_text(spec, "ensemble");
}

static bool is_taken(const bench *b, const cJSON *spec) {
    const char *kind = kind_of(b, spec);
    for (int i = 0; i < b->finalist_count; i++)
        if (cJSON_Compare(b->finalists[i].spec, spec, true) || (*kind && !strcmp(kind_of(b, b->finalists[i].spec), kind))) return true;
    return false;
}

static void take_finalist(bench *b, const cJSON *leader) {
    int i = b->finalist_count++;
    weir_finalist *f = &b->finalists[i];
    snprintf(b->names[i], sizeof b->names[i], "%s", weir_json_text(leader, "name"));
    snprintf(b->paths[i], sizeof b->paths[i], "%s/%d.weirmodel", b->w->folder, i + 1);
    *f = (weir_finalist){.name = b->names[i],
                         .path = b->paths[i],
                         .spec = cJSON_GetObjectItemCaseSensitive(leader, "spec"),
                         .threshold = NAN,
                         .validation_mean = weir_json_number(leader, "mean", NAN),
                         .validation_deviation = weir_json_number(leader, "deviation", NAN),
                         .fit_s = weir_json_number(leader, "fit_seconds", NAN)};
}

/* It may have been written by another hand since. */
static weir_status check_board(const bench *b, weir_err *err) {
    const cJSON *leader;
    int winners = 0, entry = 0;
    cJSON_ArrayForEach(leader, b->board) {
        if (!*weir_json_text(leader, "name") || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(leader, "spec")))
            return WEIR_FAIL(err, WEIR_EDATA, "%s/leaderboard.json: entry %d has no \"name\" or no \"spec\"", b->w->folder, entry);
        winners += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(leader, "winner"));
        entry++;
    }
    return winners ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "%s/leaderboard.json names no winner", b->w->folder);
}

/* The winner, then the best of other kinds: a second xgboost would tell a reader less than the best linear model does. */
static weir_status choose_finalists(bench *b, weir_err *err) {
    const cJSON *leader;
    int wanted = b->w->finalists ? b->w->finalists : FINALISTS;
    b->finalist_count = 0;
    if (!b->board) {
        weir_status status = weir_json_file_read(b->w->folder, "leaderboard.json", &b->board, err);
        if (status) return status;
    }
    weir_status status = check_board(b, err);
    if (status) return status;
    cJSON_ArrayForEach(leader, b->board) if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(leader, "winner")) && !b->finalist_count) take_finalist(b, leader);
    cJSON_ArrayForEach(leader, b->board) if (b->finalist_count < wanted && !is_taken(b, cJSON_GetObjectItemCaseSensitive(leader, "spec")))
        take_finalist(b, leader);
    return WEIR_OK;
}

static weir_fit_options fit_options(const bench *b, const cJSON *spec) {
    const weir_workshop_source *source = &b->w->source;
    return (weir_fit_options){.split = &b->folds.split,
                              .feature_hash = b->w->feature_hash,
                              .seed = source->seed ? source->seed(source->context, spec) : b->w->search.seed,
                              .threads = b->w->search.threads,
                              .cancel = b->w->abort};
}

/* models: what the step tells of them; NULL: nothing. */
static weir_status fit_finalist(bench *b, int i, cJSON *models, weir_err *err) {
    weir_finalist *f = &b->finalists[i];
    const weir_fit_options options = fit_options(b, f->spec);
    weir_buf artifact = {0};
    char name[32], digest[65];
    int64_t started = weir_clock_mono_us(b->clock);
    weir_status status = weir_spec_fit(f->spec, &b->train, &options, &artifact, err);
    f->fit_s = (double)(weir_clock_mono_us(b->clock) - started) / 1e6;
    snprintf(name, sizeof name, "%d.weirmodel", i + 1);
    if (!status) status = weir_artifact_write(b->w->folder, name, &artifact, err);
    if (!status && models) {
        cJSON *model = cJSON_CreateObject();
        weir_sha256_hex(artifact.data, artifact.len, digest);
        cJSON_AddItemToArray(models, model);
        cJSON_AddStringToObject(model, "name", f->name);
        cJSON_AddStringToObject(model, "file", name);
        cJSON_AddStringToObject(model, "digest", digest);
        cJSON_AddNumberToObject(model, "bytes", (double)artifact.len);
        cJSON_AddNumberToObject(model, "seconds", f->fit_s);
    }
    weir_buf_done(&artifact);
    if (status == WEIR_EINVAL) return weir_err_prefix(err, "%s/leaderboard.json: %s", b->w->folder, f->name); /* what the search wrote can be fitted */
    return status ? weir_err_prefix(err, "%s", f->name) : WEIR_OK;
}

static weir_status fit(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    cJSON *models = cJSON_AddArrayToObject(result, "models");
    weir_status status = choose_finalists(b, err);
    for (int i = 0; !status && i < b->finalist_count; i++) {
        /* The others are for comparison: a job that has used its time up does without them. */
        if (i && seconds_left(b) < 2 * b->finalists[i].fit_s) {
            b->finalist_count = i;
            break;
        }
        status = may_go_on(b, err);
        if (!status) status = fit_finalist(b, i, models, err);
    }
    return status;
}

/* ---- assess ---- */

static void forget_finalists(bench *b) {
    for (int i = 0; i < WEIR_FINALISTS_MAX; i++) {
        weir_model_free(b->finalists[i].model);
        weir_crossval_done(&b->validation[i]);
        b->finalists[i].model = NULL;
    }
}

/* The model that was fitted and no other: the report tells of that one. */
static weir_status load_finalist(bench *b, int i, const cJSON *fitted, weir_err *err) {
    weir_finalist *f = &b->finalists[i];
    const char *digest = weir_json_text(fitted, "digest");
    weir_status status = weir_model_load_file(f->path, &f->model, err);
    if (status || !*digest || !strcmp(weir_model_digest(f->model), digest)) return status;
    status = WEIR_FAIL(err, WEIR_EDATA, "%s has digest %.12s…, expected %.12s… that step fit left", f->path, weir_model_digest(f->model), digest);
    weir_model_free(f->model);
    f->model = NULL;
    return status;
}

/* One that is lost or damaged is made again: fitting is deterministic, and the digest says that it came to the same. */
static weir_status load_or_fit_finalist(bench *b, int i, const cJSON *fitted, weir_err *err) {
    weir_status status = load_finalist(b, i, fitted, err);
    if (status != WEIR_EDATA && status != WEIR_ENOTFOUND) return status;
    status = fit_finalist(b, i, NULL, err);
    return status ? status : load_finalist(b, i, fitted, err);
}

/* As fit left them, which may have been in a process that is no more. */
static weir_status load_finalists(bench *b, weir_err *err) {
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(weir_job_result(b->job, "fit"), "models");
    forget_finalists(b);
    weir_status status = choose_finalists(b, err);
    if (status) return status;
    if (cJSON_GetArraySize(models) < b->finalist_count) b->finalist_count = cJSON_GetArraySize(models);
    if (!b->finalist_count) return WEIR_FAIL(err, WEIR_EDATA, "step fit has left no model");
    for (int i = 0; !status && i < b->finalist_count; i++) {
        const cJSON *fitted = cJSON_GetArrayItem(models, i);
        status = load_or_fit_finalist(b, i, fitted, err);
        b->finalists[i].fit_s = weir_json_number(fitted, "seconds", NAN);
    }
    return status;
}

/* Cross-validates a finalist for the comparison and its threshold, where there is time. */
static weir_status validate_finalist(bench *b, int i, const weir_split_plan *plan, weir_err *err) {
    weir_finalist *f = &b->finalists[i];
    double expected_s = f->fit_s * weir_split_plan_folds(plan);
    const weir_trainset *set = &b->train;
    bool binary = set->matrix.task == WEIR_TASK_BINARY, needed = !i && binary && weir_threshold_learns(&b->w->threshold);
    if (binary) f->threshold = b->w->threshold.value;
    f->threshold_how = !weir_threshold_learns(&b->w->threshold) ? "as the training section says" : "no time to choose one of its own";
    if (!needed && seconds_left(b) < 2 * expected_s) return WEIR_OK;
    weir_crossval_options options = {.fit = fit_options(b, f->spec), .metric = b->w->search.metric, .threshold = b->w->threshold.value};
    /* The default folds are those of all rows, with windows of their size: an ensemble that is fitted inside a fold has fewer, and folds by the same rule. */
    if (!b->folds.as_asked) options.fit.split = NULL;
    weir_status status = weir_crossval_run(f->spec, &b->train, plan, &options, &b->validation[i], err);
    if (status == WEIR_EDATA && !needed) return WEIR_OK; /* too few rows of a class inside a fold: the report does without, the model is fitted on all rows */
    if (status) return weir_err_prefix(err, "%s", f->name);
    f->validation_mean = b->validation[i].mean;
    f->validation_deviation = b->validation[i].deviation;
    return WEIR_OK;
}

/* Of a binary task. Metrics that decide are then those of the folds at that threshold, as they are on the test rows. */
static weir_status choose_threshold(bench *b, int i, const weir_split_plan *plan, weir_err *err) {
    weir_finalist *f = &b->finalists[i];
    weir_crossval *v = &b->validation[i];
    const weir_matrix *m = &b->train.matrix;
    if (m->task != WEIR_TASK_BINARY || !v->fold_count || !weir_threshold_learns(&b->w->threshold)) return WEIR_OK;
    weir_status status = weir_threshold_choose(&b->w->threshold, v->scores, m->label, m->row_count, &f->threshold, err);
    if (!status) status = weir_crossval_measure(&b->train, plan, b->w->search.metric, f->threshold, v, err);
    if (status) return weir_err_prefix(err, "%s", f->name);
    f->threshold_how =
        b->w->threshold.rule == WEIR_THRESHOLD_COST ? "least cost on the training rows, out of fold" : "best F1 on the training rows, out of fold";
    f->validation_mean = v->mean;
    f->validation_deviation = v->deviation;
    return WEIR_OK;
}

static weir_status validate_finalists(bench *b, weir_err *err) {
    const weir_split_rows rows = weir_trainset_split_rows(&b->train);
    weir_split_plan *plan = NULL;
    weir_status status = weir_split_plan_new(&b->folds.split, &rows, &plan, err);
    for (int i = 0; !status && i < b->finalist_count; i++) {
        status = validate_finalist(b, i, plan, err);
        if (!status) status = choose_threshold(b, i, plan, err);
    }
    weir_split_plan_free(plan);
    return status;
}

/* The search as the report shows it: what it did, and its board. */
static weir_status add_leaderboard(const bench *b, weir_err *err) {
    const cJSON *found = weir_job_result(b->job, "search"), *folds = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(b->board, 0), "folds");
    cJSON *part = cJSON_Duplicate(found, true), *leaders = cJSON_Duplicate(b->board, true);
    if (!part || !leaders || !cJSON_AddNumberToObject(part, "folds", cJSON_GetArraySize(folds)) || !cJSON_AddItemToObject(part, "leaders", leaders)) {
        cJSON_Delete(part);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the leaderboard");
    }
    cJSON_AddItemToObject(b->report, "leaderboard", part);
    return WEIR_OK;
}

/* How the test rows and the folds came about. */
static weir_status add_splits(const bench *b, weir_err *err) {
    const cJSON *data = weir_job_result(b->job, "data"), *split = cJSON_GetObjectItemCaseSensitive(data, "split");
    cJSON *part = cJSON_AddObjectToObject(b->report, "split"), *test = split ? cJSON_Duplicate(split, true) : NULL,
          *folds = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(data, "folds"), true);
    bool ok = part && folds && cJSON_AddItemToObject(part, "folds", folds);
    if (!ok) cJSON_Delete(folds);
    if (ok && split) ok = test && cJSON_AddItemToObject(part, "test", test);
    if (ok) return WEIR_OK;
    cJSON_Delete(test);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe the splits");
}

/* What takes long and can be done without is left out where there is no time for it: further fits for a learning curve, and scoring the test rows once a shuffled column. */
static void fit_into_time(const bench *b, weir_assessment *assessment) {
    enum { CURVE_FITS = 3, REPEATS = 5 };
    const weir_crossval *cv = &b->validation[0];
    double left_s = seconds_left(b), curve_s = CURVE_FITS * b->finalists[0].fit_s, row_s = 0;
    for (int fold = 0; fold < cv->fold_count; fold++)
        if (cv->folds[fold].rows.test_count) row_s = fmax(row_s, cv->folds[fold].predict_s / (double)cv->folds[fold].rows.test_count);
    double permutation_s = row_s * (double)b->test.matrix.row_count * b->test.matrix.column_count * REPEATS;
    assessment->permutation = assessment->permutation && permutation_s < left_s / 2;
    assessment->learning_curve = assessment->learning_curve && curve_s < left_s / 2;
}

static weir_status write_report(bench *b, weir_err *err) {
    weir_assessed models[WEIR_FINALISTS_MAX];
    weir_assessment assessment = b->w->assess;
    for (int i = 0; i < b->finalist_count; i++)
        models[i] = (weir_assessed){.name = b->finalists[i].name,
                                    .spec = b->finalists[i].spec,
                                    .model = b->finalists[i].model,
                                    .validation = b->validation[i].fold_count ? &b->validation[i] : NULL,
                                    .decides = isfinite(b->finalists[i].threshold),
                                    .threshold = b->finalists[i].threshold,
                                    .threshold_how = b->finalists[i].threshold_how};
    assessment.train = &b->train;
    assessment.test = &b->test;
    assessment.models = models;
    assessment.model_count = b->finalist_count;
    assessment.metric = b->w->search.metric;
    assessment.threshold = NAN;
    assessment.run = weir_job_record(b->job);
    assessment.seed = b->w->search.seed;
    assessment.threads = b->w->search.threads;
    assessment.cancel = b->w->abort;
    fit_into_time(b, &assessment);
    cJSON_Delete(b->report);
    b->report = NULL;
    weir_status status = weir_assess(&assessment, &b->report, err);
    if (status) return status;
    cJSON *quality = NULL;
    status = add_splits(b, err);
    if (!status) status = add_leaderboard(b, err);
    if (!status) status = weir_json_file_read(b->w->folder, "quality.json", &quality, err);
    if (!status) cJSON_AddItemToObject(b->report, "quality", quality);
    if (!status && b->w->source.trim) status = b->w->source.trim(b->w->source.context, b->report, err);
    return status ? status : weir_json_file_write(b->w->folder, "report.json", b->report, err);
}

static weir_status assess(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    weir_status status = may_go_on(b, err);
    if (!status) status = load_finalists(b, err);
    if (!status) status = validate_finalists(b, err);
    if (!status) status = write_report(b, err);
    if (!status && isfinite(b->finalists[0].threshold)) cJSON_AddNumberToObject(result, "threshold", b->finalists[0].threshold);
    return status;
}

/* ---- persist, report ---- */

/* Nothing is registered by the metrics of a report that is none. */
static weir_status check_report(bench *b, weir_err *err) {
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(b->report, "models");
    bool good = cJSON_GetArraySize(models) >= b->finalist_count;
    for (int i = 0; good && i < b->finalist_count; i++) {
        const cJSON *model = cJSON_GetArrayItem(models, i);
        good = !strcmp(weir_json_text(model, "name"), b->finalists[i].name) && cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(model, "metrics"));
    }
    if (good) return WEIR_OK;
    cJSON_Delete(b->report);
    b->report = NULL;
    return WEIR_FAIL(err, WEIR_EDATA, "%s/report.json is not the report of these %d models that step assess left", b->w->folder, b->finalist_count);
}

/* Models and report in memory, whichever step the job goes on at. */
static weir_status recall(bench *b, weir_err *err) {
    if (b->report) return WEIR_OK;
    weir_status status = load_finalists(b, err);
    if (!status) status = weir_json_file_read(b->w->folder, "report.json", &b->report, err);
    if (!status) status = check_report(b, err);
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(b->report, "models");
    for (int i = 0; !status && i < b->finalist_count; i++) b->finalists[i].threshold = weir_json_number(cJSON_GetArrayItem(models, i), "threshold", NAN);
    return status;
}

/* {"rmse": {"value": 1.5, "low": …}} of the report as {"rmse": 1.5}. */
static weir_status take_metrics(bench *b, weir_err *err) {
    const cJSON *models = cJSON_GetObjectItemCaseSensitive(b->report, "models"), *metric;
    cJSON_Delete(b->metrics);
    if (!(b->metrics = cJSON_CreateArray())) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the metrics");
    for (int i = 0; i < b->finalist_count; i++) {
        cJSON *plain = cJSON_CreateObject();
        cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(models, i), "metrics"))
            cJSON_AddItemToObject(plain, metric->string, cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(metric, "value"), true));
        cJSON_AddItemToArray(b->metrics, plain);
        b->finalists[i].metrics = plain;
    }
    return WEIR_OK;
}

static weir_status persist(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    weir_status status = may_go_on(b, err);
    if (!status) status = recall(b, err);
    if (status) return status;
    status = take_metrics(b, err);
    if (status) return status;
    return b->w->source.persist(b->w->source.context, b->finalists, b->finalist_count, b->report, result, err);
}

static weir_status write_page(void *context, cJSON *result, weir_err *err) {
    bench *b = context;
    weir_buf html = {0};
    weir_status status = recall(b, err);
    const cJSON *kept = weir_job_result(b->job, "persist");
    cJSON *copy = !status && kept ? cJSON_Duplicate(kept, true) : NULL;
    if (copy) {
        cJSON_DeleteItemFromObjectCaseSensitive(b->report, "kept");
        cJSON_AddItemToObject(b->report, "kept", copy);
        status = weir_json_file_write(b->w->folder, "report.json", b->report, err);
    }
    if (!status && !b->w->no_page) {
        status = weir_assessment_page(b->report, &html, err);
        if (!status) status = weir_artifact_write(b->w->folder, "report.html", &html, err);
        if (!status) cJSON_AddStringToObject(result, "page", "report.html");
    }
    weir_buf_done(&html);
    return status;
}

/* ---- the job ---- */

static const weir_job_step steps[] = {
    {.name = "data", .every_time = true, .run = read_sets, .advice = "Check where the rows come from, then run the job again."},
    {.name = "quality", .run = judge_quality},
    {.name = "search", .run = search, .advice = "Run the job again: trials that are done are not done again."},
    {.name = "fit", .run = fit, .advice = "Run the job again: the search is not repeated."},
    {.name = "assess", .run = assess, .advice = "Run the job again: models that were fitted are used as they are."},
    {.name = "persist", .run = persist, .advice = "Run the job again: models and report are there already."},
    {.name = "report", .run = write_page, .advice = "Run the job again: only the page is missing."},
    {0},
};

static void tell(void *context, const char *step, int number, int count, double seconds, const weir_err *error) {
    const bench *b = context;
    if (b->w->watch) b->w->watch(b->w->watch_context, step, number, count, seconds, error);
}

weir_status weir_workshop_run(const weir_workshop *workshop, cJSON **ret_record, weir_err *err) {
    *ret_record = NULL;
    bench *b = weir_models_calloc(1, sizeof *b);
    if (!b) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a job");
    b->w = workshop;
    b->clock = weir_clock_system();
    b->started_us = weir_clock_mono_us(b->clock);
    weir_status status = weir_job_open(workshop->folder, workshop->id, workshop->request, steps, b->clock, &b->job, err);
    if (!status) {
        status = weir_job_run(b->job, b, workshop->abort, tell, err);
        *ret_record = cJSON_Duplicate(weir_job_record(b->job), true);
    }
    forget_finalists(b);
    if (b->has_sets) {
        weir_trainset_done(&b->train);
        weir_trainset_done(&b->test);
    }
    cJSON_Delete(b->board);
    cJSON_Delete(b->report);
    cJSON_Delete(b->metrics);
    weir_job_close(b->job);
    weir_models_free(b);
    return status;
}
