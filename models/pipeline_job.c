#include "models/pipeline_job.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/folds.h"
#include "models/json_file.h"
#include "models/lifecycle.h"
#include "models/registry.h"
#include "models/scorer_gate.h"
#include "models/signature.h"
#include "models/tracking.h"
#include "models/training.h"

enum { ALIAS_ATTEMPTS = 5, TRIALS_MAX = 1000000, ROWS_MIN = 10 };
#define SAME_TIME 0.5 /* from this share of rows with one time on, time orders too few of them */
#define BUDGET_S 1800.0

/* A job while it runs. */
typedef struct running {
    const weir_pipeline_job *job;
    weir_pipeline_job_end *end;
    weir_training training;
    weir_pg *pg;
    cJSON *request, *specs;
    weir_automl_settings search;
    weir_automl_kept kept; /* what search points into */
    char environment[16]; /* "": none */
    const weir_trainset *train; /* the workshop's */
    double baseline; /* that the winner has to reach; NaN: none */
    char model[160]; /* name in the registry */
    char experiment[WEIR_EXPERIMENT_NAME_MAX + 1];
    char digests[2][65]; /* of the rows: training, test */
    cJSON *split; /* how these were told apart */
    weir_training_periods periods; /* of the rows: the window's, or where test rows were drawn all of them twice */
    bool drawn;
} running;

/* ---- what was asked ---- */

static bool add_time(cJSON *json, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    return cJSON_AddStringToObject(json, name, weir_time_format(time_us, text));
}

/* All that decides what the job makes: one that goes on must find the same. */
static weir_status write_request(running *r, weir_err *err) {
    const weir_pipeline *pipeline = r->job->pipeline;
    cJSON *json = r->request = cJSON_CreateObject();
    const cJSON *section = r->job->recipe->section;
    cJSON *recipe = cJSON_Duplicate(section ? section : cJSON_GetObjectItemCaseSensitive(pipeline->json, "training"), true);
    bool ok = json && recipe && cJSON_AddStringToObject(json, "pipeline", pipeline->name) && cJSON_AddStringToObject(json, "kind", "search");
    ok = ok && (!section || cJSON_AddStringToObject(json, "use_case", r->job->recipe->use_case));
    ok = ok && add_time(json, "train_from", r->training.window.train_from_us) && cJSON_AddStringToObject(json, "feature_hash", pipeline->feature_hash);
    ok = ok && (!*r->environment || cJSON_AddStringToObject(json, "environment", r->environment));
    ok = ok && (r->training.as_of_us == INT64_MAX || add_time(json, "as_of", r->training.as_of_us));
    ok = ok && cJSON_AddNumberToObject(json, "budget_seconds", r->search.budget_s) && cJSON_AddNumberToObject(json, "trials", r->search.trial_max);
    if (ok && cJSON_AddItemToObject(json, "training", recipe)) return WEIR_OK;
    cJSON_Delete(recipe);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the request");
}

/* It becomes part of a path. */
static weir_status check_id(const char *id, weir_err *err) {
    size_t len = strlen(id);
    bool good = len < sizeof((weir_run *)NULL)->id && !strncmp(id, "run-", 4) && len > 4 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
    return good ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "'%.60s' is no name of a search; expected run-… as it was printed", id);
}

/* What a person may have changed in job.json goes on being what a command could have asked. */
static weir_status recall_limits(running *r, const cJSON *request, weir_err *err) {
    double budget_s = weir_json_number(request, "budget_seconds", r->search.budget_s), trials = weir_json_number(request, "trials", r->search.trial_max);
    if (!(budget_s > 0) || !(trials >= 0 && trials <= TRIALS_MAX))
        return WEIR_FAIL(err, WEIR_EDATA, "%s/job.json: request has budget_seconds %g and trials %g, expected more than 0 and 0 to %d", r->end->folder,
                         budget_s, trials, TRIALS_MAX);
    r->search.budget_s = budget_s;
    r->search.trial_max = (int)trials;
    return WEIR_OK;
}

/* The choices that a command made when the job began; what the pipeline's file says is compared later. */
static weir_status recall_request(running *r, int64_t *ret_train_from_us, weir_err *err) {
    cJSON *record = NULL;
    weir_status status = weir_json_file_read(r->end->folder, "job.json", &record, err);
    if (status == WEIR_ENOTFOUND) return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no job '%s' to go on with: no %s/job.json", r->end->id, r->end->folder);
    if (status) return status;
    const cJSON *request = cJSON_GetObjectItemCaseSensitive(record, "request");
    if (!cJSON_IsObject(request))
        status = WEIR_FAIL(err, WEIR_EDATA, "%s/job.json: found no object \"request\", expected the record of a job", r->end->folder);
    else if (strcmp(weir_json_text(request, "pipeline"), r->job->pipeline->name) != 0)
        status = WEIR_FAIL(err, WEIR_EINVAL, "job %s is of pipeline '%s', not '%s'", r->end->id, weir_json_text(request, "pipeline"), r->job->pipeline->name);
    const char *asked = r->job->recipe->section ? r->job->recipe->use_case : "", *then = weir_json_text(request, "use_case");
    if (!status && strcmp(then, asked) != 0)
        status = WEIR_FAIL(err, WEIR_EINVAL, "job %s is of %s%s; go on with it %s%s", r->end->id, *then ? "use case " : "the pipeline's own use case", then,
                           *then ? "with --use-case " : "without --use-case", then);
    if (!status) status = weir_time_parse(weir_json_text(request, "train_from"), ret_train_from_us, err);
    if (!status && *weir_json_text(request, "as_of")) status = weir_time_parse(weir_json_text(request, "as_of"), &r->training.as_of_us, err);
    if (!*r->environment) snprintf(r->environment, sizeof r->environment, "%s", weir_json_text(request, "environment"));
    if (!status) status = recall_limits(r, request, err);
    cJSON_Delete(record);
    return status;
}

/* ---- rows ---- */

/* The days of the recipe. */
static weir_status read_days(running *r, weir_trainset *ret_train, weir_trainset *ret_test, weir_err *err) {
    weir_status status = weir_training_set(&r->training, false, ret_train, err);
    if (status) return status;
    status = weir_training_set(&r->training, true, ret_test, err);
    if (status) weir_trainset_done(ret_train);
    return status;
}

/* {"scheme", "drawn", "words"} */
static weir_status describe_split(running *r, const char *scheme, const char *words, weir_err *err) {
    cJSON_Delete(r->split);
    r->split = cJSON_CreateObject();
    if (r->split && cJSON_AddStringToObject(r->split, "scheme", scheme) && cJSON_AddBoolToObject(r->split, "drawn", r->drawn) &&
        cJSON_AddStringToObject(r->split, "words", words))
        return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe the split");
}

static weir_status describe_days(running *r, weir_err *err) {
    const weir_training_periods *w = &r->training.window;
    char times[4][WEIR_TIME_TEXT_MAX], words[256];
    snprintf(words, sizeof words, "training days %.10s to %.10s, test days %.10s to %.10s", weir_time_format(w->train_from_us, times[0]),
             weir_time_format(w->train_to_us - 1, times[1]), weir_time_format(w->deploy_us, times[2]), weir_time_format(w->test_to_us - 1, times[3]));
    return describe_split(r, "days", words, err);
}

/* All rows there are, with what is known by now. */
static weir_status read_all(const running *r, weir_training_periods *ret_periods, weir_trainset *ret_all, weir_err *err) {
    weir_training all = r->training;
    int64_t first_us, last_us;
    weir_status status = weir_history_span(r->job->pg_url, r->job->pipeline, &first_us, &last_us, NULL, err);
    if (status) return status;
    if (first_us == INT64_MIN) return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no events", r->job->pipeline->name);
    all.window = (weir_training_periods){.train_from_us = first_us, .train_to_us = last_us + 1, .deploy_us = INT64_MAX, .test_to_us = INT64_MAX};
    *ret_periods = (weir_training_periods){first_us, last_us + 1, first_us, last_us + 1};
    return weir_training_set(&all, false, ret_all, err);
}

/* Instead of days, where most rows have one time. r->drawn false: they have not, or there are none; then nothing was made. */
static weir_status draw_sets(running *r, weir_trainset *ret_train, weir_trainset *ret_test, weir_err *err) {
    weir_trainset all = {0};
    weir_holdout holdout;
    int64_t time_us;
    weir_status status = read_all(r, &r->periods, &all, err);
    r->drawn = !status && weir_trainset_same_time(&all, &time_us) >= SAME_TIME;
    if (r->drawn) status = weir_holdout_draw(&all, r->job->recipe->seed, ret_train, ret_test, &holdout, err);
    if (r->drawn && !status) status = describe_split(r, weir_split_schemes()[holdout.split.scheme].name, holdout.words, err);
    weir_trainset_done(&all);
    return status;
}

/* By days; where these leave too few rows and time could not do better, by chance. */
static weir_status choose_sets(running *r, weir_trainset *ret_train, weir_trainset *ret_test, weir_err *err) {
    weir_trainset train = {0}, test = {0};
    weir_err of_days = {0};
    weir_status status = read_days(r, &train, &test, &of_days);
    bool few = !status && (train.matrix.row_count < ROWS_MIN || test.matrix.row_count < ROWS_MIN);
    r->drawn = false;
    if (status == WEIR_ENOTFOUND || few) {
        weir_err of_chance = {0};
        weir_status drawing = draw_sets(r, ret_train, ret_test, &of_chance);
        if (r->drawn) {
            weir_trainset_done(&train);
            weir_trainset_done(&test);
            if (drawing && err) *err = of_chance;
            return drawing;
        }
    }
    if (status) { /* says more than why there was nothing to draw from either */
        if (err) *err = of_days;
        return status;
    }
    r->periods = r->training.window;
    *ret_train = train;
    *ret_test = test;
    return describe_days(r, err);
}

static weir_status read_sets(void *context, weir_trainset *ret_train, weir_trainset *ret_test, cJSON *result, weir_err *err) {
    running *r = context;
    const weir_training_periods *w = &r->periods;
    /* Not before: the first step is where it is known that the job may go on and that nobody else runs it. */
    weir_status status = r->job->go_on ? weir_run_update(r->pg, r->end->id, "running", NULL, err) : WEIR_OK;
    if (!status) status = choose_sets(r, ret_train, ret_test, err);
    if (status) return status;
    cJSON *split = cJSON_Duplicate(r->split, true);
    r->train = ret_train;
    snprintf(r->digests[0], sizeof r->digests[0], "%s", ret_train->digest);
    snprintf(r->digests[1], sizeof r->digests[1], "%s", ret_test->digest);
    add_time(result, "train_from", w->train_from_us);
    add_time(result, "train_to", w->train_to_us);
    add_time(result, "test_from", w->deploy_us);
    add_time(result, "test_to", w->test_to_us);
    if (split && cJSON_AddItemToObject(result, "split", split)) return WEIR_OK;
    cJSON_Delete(split);
    weir_trainset_done(ret_train);
    weir_trainset_done(ret_test);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe the split");
}

/* ---- versions ---- */

static cJSON *describe_lineage(const running *r, const weir_finalist *winner) {
    cJSON *lineage = cJSON_CreateObject(), *dataset = cJSON_AddObjectToObject(lineage, "dataset");
    cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION);
    cJSON_AddStringToObject(lineage, "feature_hash", r->job->pipeline->feature_hash);
    cJSON_AddStringToObject(dataset, "digest", r->digests[0]);
    cJSON_AddStringToObject(dataset, "test_digest", r->digests[1]);
    cJSON_AddItemToObject(dataset, "split", cJSON_Duplicate(r->split, true));
    if (!r->drawn) {
        cJSON *window = cJSON_AddObjectToObject(lineage, "window");
        (void)add_time(window, "train_from", r->training.window.train_from_us);
        (void)add_time(window, "train_to", r->training.window.train_to_us);
        if (r->training.as_of_us != INT64_MAX) (void)add_time(window, "as_of", r->training.as_of_us);
    }
    cJSON_AddItemToObject(lineage, "spec", cJSON_Duplicate(winner->spec, true));
    cJSON_AddItemToObject(lineage, "request", cJSON_Duplicate(r->request, true));
    cJSON_AddNumberToObject(lineage, "seed", (double)r->job->recipe->seed);
    cJSON *report = cJSON_AddArrayToObject(lineage, "files");
    char path[80];
    snprintf(path, sizeof path, "runs/%s/report.html", r->end->id);
    cJSON_AddItemToArray(report, cJSON_CreateString(path));
    return lineage;
}

static weir_status copy_artifact(const running *r, const weir_finalist *winner, char path[512], weir_err *err) {
    weir_buf bytes = {0};
    snprintf(path, 512, "models/%s/%s/%s.weirmodel", r->job->pipeline->name, r->model, weir_model_digest(winner->model));
    weir_status status = weir_artifact_read_file(winner->path, &bytes, err);
    if (!status) status = weir_artifact_write(r->job->objects_dir, path, &bytes, err);
    weir_buf_done(&bytes);
    return status;
}

/* By the names that the versions of train workers have, so that versions can be compared. */
static cJSON *name_metrics(const weir_finalist *winner) {
    cJSON *metrics = cJSON_Duplicate(winner->metrics, true), *auc = cJSON_DetachItemFromObjectCaseSensitive(metrics, "roc_auc");
    if (auc) cJSON_AddItemToObject(metrics, "auc_roc", auc);
    if (isfinite(winner->threshold)) cJSON_AddNumberToObject(metrics, "threshold", winner->threshold);
    return metrics;
}

static weir_status register_winner(running *r, const weir_finalist *winner, int *ret_version, weir_err *err) {
    char path[512];
    cJSON *lineage = describe_lineage(r, winner), *signature = weir_recipe_signature(r->job->recipe, winner->threshold);
    const weir_version_new version = {
        .pipeline = r->job->pipeline->name,
        .model = r->model,
        .algorithm = weir_model_algorithm(winner->model),
        .run_id = r->end->id,
        .digest = weir_model_digest(winner->model),
        .artifact_path = path,
        .feature_hash = r->job->pipeline->feature_hash,
        .dataset_digest = r->digests[0],
        .lineage = lineage,
        .signature = signature,
    };
    weir_gate_count compared;
    weir_status status = weir_scorer_gate(winner->model, r->train->matrix.values, r->train->matrix.row_count, &compared, err);
    (void)weir_gate_describe(lineage, &compared);
    if (!status) status = copy_artifact(r, winner, path, err);
    if (!status) status = weir_signature_add_ranges(signature, &r->train->matrix, err);
    if (!status) status = weir_version_register(r->pg, &version, ret_version, err);
    double own = NAN;
    if (!status) status = weir_version_threshold(r->pg, r->job->pipeline->name, r->model, *ret_version, &own, err);
    /* The same bytes as before decide as they did: figures at another threshold are not that version's. */
    bool decides_so = isnan(own) || fabs(own - winner->threshold) <= 1e-12 * fmax(1, fabs(own)); /* text rounds */
    cJSON *metrics = status || !decides_so ? NULL : name_metrics(winner);
    if (metrics) status = weir_version_metrics(r->pg, r->job->pipeline->name, r->model, *ret_version, metrics, err);
    cJSON_Delete(metrics);
    cJSON_Delete(lineage);
    cJSON_Delete(signature);
    return status;
}

static const char *digest_of_alias(const cJSON *aliases, const char *alias) {
    const cJSON *row;
    cJSON_ArrayForEach(row, aliases) if (!strcmp(weir_json_text(row, "alias"), alias)) return weir_json_text(row, "digest");
    return NULL;
}

/* Challenger; champion where there is none. *ret_alias is the one that it got. */
static weir_status give_alias(running *r, const char *digest, int version, const char **ret_alias, weir_err *err) {
    weir_status status = WEIR_ECONFLICT;
    for (int attempt = 0; status == WEIR_ECONFLICT && attempt < ALIAS_ATTEMPTS; attempt++) { /* somebody may move one between our look and our move */
        cJSON *aliases = NULL;
        status = weir_alias_list(r->pg, r->job->pipeline->name, &aliases, err);
        if (!status) {
            const char *champion = digest_of_alias(aliases, "champion");
            *ret_alias = champion && strcmp(champion, digest) != 0 ? "challenger" : "champion";
            status = weir_alias_move(r->pg, r->job->pipeline->name, *ret_alias, digest_of_alias(aliases, *ret_alias), r->model, version, r->end->id,
                                     "won a search", err);
        }
        cJSON_Delete(aliases);
    }
    return status;
}

/* Serving follows the pipeline's aliases, which are of its own use case; models of others have aliases of their own. */
static weir_status give_own_alias(running *r, int version, const char **ret_alias, weir_err *err) {
    const char *space = r->job->pipeline->name;
    cJSON *champion = NULL, *tags = cJSON_CreateObject();
    char text[200];
    weir_err none;
    weir_status status = weir_lifecycle_version_find(r->pg, space, r->model, 0, "champion", &champion, &none);
    if (status && status != WEIR_ENOTFOUND) {
        *err = none;
    } else {
        bool other = !status && (int)weir_json_number(champion, "version", 0) != version;
        *ret_alias = other ? "challenger" : "champion";
        cJSON_AddStringToObject(tags, "use_case", r->job->recipe->use_case);
        snprintf(text, sizeof text, "won a search for %s", r->job->recipe->target);
        status = weir_lifecycle_version_describe(r->pg, space, r->model, version, *ret_alias, tags, NULL, text, err);
    }
    cJSON_Delete(champion);
    cJSON_Delete(tags);
    return status;
}

static weir_status persist(void *context, const weir_finalist *finalists, int count, const cJSON *report, cJSON *result, weir_err *err) {
    running *r = context;
    (void)count, (void)report;
    int version = 0;
    const char *alias = NULL;
    weir_status status = register_winner(r, &finalists[0], &version, err);
    double reached = weir_json_number(finalists[0].metrics, r->job->recipe->metric->name, NAN);
    double baseline = r->baseline;
    r->end->reaches_baseline = isnan(baseline) || (r->job->recipe->metric->greater_is_better ? reached >= baseline : reached <= baseline);
    if (!status && r->end->reaches_baseline)
        status =
            r->job->recipe->is_default ? give_alias(r, weir_model_digest(finalists[0].model), version, &alias, err) : give_own_alias(r, version, &alias, err);
    if (status) return status;
    cJSON *versions = cJSON_AddArrayToObject(result, "versions"), *entry = cJSON_CreateObject();
    cJSON_AddItemToArray(versions, entry);
    cJSON_AddStringToObject(entry, "model", r->model);
    cJSON_AddStringToObject(entry, "use_case", r->job->recipe->use_case);
    cJSON_AddNumberToObject(entry, "version", version);
    cJSON_AddStringToObject(entry, "digest", weir_model_digest(finalists[0].model));
    if (alias) cJSON_AddStringToObject(entry, "alias", alias);
    if (alias && !r->job->recipe->is_default) cJSON_AddBoolToObject(entry, "alias_of_model", true);
    if (!isnan(baseline)) {
        cJSON_AddNumberToObject(result, "baseline", baseline);
        cJSON_AddBoolToObject(result, "reaches_baseline", r->end->reaches_baseline);
    }
    return WEIR_OK;
}

/* ---- the job ---- */

static weir_status find_baseline(running *r, weir_err *err) {
    const char *name = r->environment;
    r->baseline = NAN;
    if (!*name) return WEIR_OK;
    for (int e = 0; e < WEIR_ENVIRONMENTS; e++) {
        if (strcmp(name, weir_environments[e]) != 0) continue;
        r->baseline = r->job->recipe->baseline[e];
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no environment '%s', expected %s, %s or %s", name, weir_environments[0], weir_environments[1],
                     weir_environments[2]);
}

/* The recipe's section "tuning", and over it what the command says. */
static weir_status plan_search(running *r, weir_err *err) {
    const weir_pipeline_job *job = r->job;
    const weir_recipe *recipe = job->recipe;
    r->search = (weir_automl_settings){
        .metric = recipe->metric,
        .budget_s = recipe->max_training_s > 0 ? recipe->max_training_s : BUDGET_S,
        .ensembles = true,
        .seed = recipe->seed,
        .threads = recipe->threads,
        .cancel = job->end_search,
        .progress = job->progress,
        .progress_context = job->context,
        .pg_url = job->pg_url,
        .pipeline = job->pipeline->name,
    };
    if (recipe->tuning) {
        weir_status status = weir_automl_settings_from_json(recipe->tuning, "$.training.tuning", recipe->metric, &r->kept, &r->search, err);
        if (status) return status;
    }
    if (job->budget_s > 0) r->search.budget_s = job->budget_s;
    if (job->trial_max) r->search.trial_max = job->trial_max;
    if (recipe->max_training_s > 0 && r->search.budget_s > recipe->max_training_s) r->search.budget_s = recipe->max_training_s;
    if (!(r->specs = cJSON_CreateArray())) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the candidates");
    for (int i = 0; i < recipe->candidate_count; i++) cJSON_AddItemReferenceToArray(r->specs, recipe->candidates[i].spec);
    r->search.candidates = r->specs;
    return WEIR_OK;
}

static void name_folder(running *r, const char *id) {
    snprintf(r->end->id, sizeof r->end->id, "%s", id);
    snprintf(r->end->folder, sizeof r->end->folder, "%s/runs/%s", r->job->objects_dir, id);
}

static weir_status prepare(running *r, weir_err *err) {
    const weir_pipeline_job *job = r->job;
    weir_run run = {0};
    int64_t train_from_us = job->train_from_us;
    snprintf(r->model, sizeof r->model, "%s%s%s-auto", job->pipeline->name, job->recipe->section ? "-" : "", job->recipe->section ? job->recipe->use_case : "");
    snprintf(r->environment, sizeof r->environment, "%s", job->environment ? job->environment : "");
    weir_status status = plan_search(r, err);
    if (!status)
        status = weir_track_experiment(cJSON_GetObjectItemCaseSensitive(job->pipeline->json, "training"), job->pipeline->name, job->recipe->use_case,
                                       r->experiment, err);
    if (!status) status = weir_pg_new(job->pg_url, &r->pg, err);
    if (!status && job->go_on) status = check_id(job->go_on, err);
    if (!status && job->go_on) {
        name_folder(r, job->go_on);
        status = recall_request(r, &train_from_us, err);
    }
    if (!status) status = find_baseline(r, err);
    if (!status) status = weir_training_window(job->pipeline, job->recipe, job->pg_url, train_from_us, &r->training.window, err);
    if (!status) status = write_request(r, err);
    if (status || job->go_on) return status;
    status = weir_track_start(r->pg, job->pipeline->name, r->experiment, r->model, r->request, &run, err);
    if (!status) name_folder(r, run.id);
    return status;
}

static void tell_open(void *context, const weir_trainset *train) {
    const running *r = context;
    /* Workers would read days: rows that were drawn they cannot have. */
    if (!r->drawn) r->job->opened(r->job->opened_context, &r->training, r->end->id, train);
}

static weir_status run_workshop(running *r, weir_err *err) {
    const weir_pipeline_job *job = r->job;
    const weir_recipe *recipe = job->recipe;
    char title[256], worker[64];
    bool same = !strcmp(job->pipeline->name, recipe->target);
    snprintf(title, sizeof title, "%s%s%s", job->pipeline->name, same ? "" : ": ", same ? "" : recipe->target);
    snprintf(worker, sizeof worker, "leader-%s-%d", r->end->id, (int)getpid());
    r->search.study = r->end->id;
    r->search.worker = worker;
    const weir_workshop workshop = {
        .id = r->end->id,
        .folder = r->end->folder,
        .request = r->request,
        .source = {.read = read_sets, .persist = persist, .context = r},
        .validation = r->search.split          ? r->search.split
                      : recipe->has_validation ? &recipe->validation
                                               : NULL,
        .budget_s = r->search.budget_s,
        .search = r->search,
        .assess = {.title = title,
                   .slices = recipe->slices,
                   .learning_curve = true,
                   .permutation = true,
                   .k = recipe->card_k,
                   .cost_false_positive = recipe->threshold.cost_false_positive,
                   .cost_false_negative = recipe->threshold.cost_false_negative},
        .threshold = recipe->threshold,
        .feature_hash = job->pipeline->feature_hash,
        .abort = job->abort,
        .opened = job->opened ? tell_open : NULL,
        .opened_context = r,
        .watch = job->watch,
        .note = job->note,
        .watch_context = job->context,
    };
    return weir_workshop_run(&workshop, &r->end->record, err);
}

/* Of a job that went on after it had kept its winner. */
static void recall_verdict(running *r) {
    const cJSON *step;
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(r->end->record, "steps")) {
        const cJSON *result = cJSON_GetObjectItemCaseSensitive(step, "result");
        if (!strcmp(weir_json_text(step, "name"), "persist") && cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(result, "reaches_baseline")))
            r->end->reaches_baseline = false;
    }
}

/* What the registry says of the run in the end; the job's own error goes first. */
static weir_status end_run(running *r, weir_status status, weir_err *err) {
    weir_err why;
    cJSON *detail = cJSON_CreateObject(), *record = r->end->record ? cJSON_Duplicate(r->end->record, true) : NULL;
    char path[80];
    snprintf(path, sizeof path, "runs/%s/report.html", r->end->id);
    if (!status) cJSON_AddStringToObject(detail, "report", path);
    if (status) cJSON_AddStringToObject(detail, "error", err->message);
    if (record) cJSON_AddItemToObject(detail, "steps", cJSON_DetachItemFromObjectCaseSensitive(record, "steps"));
    cJSON_Delete(record);
    const weir_track_search search = {.pipeline = r->job->pipeline->name,
                                      .run_id = r->end->id,
                                      .use_case = r->job->recipe->use_case,
                                      .experiment = r->experiment,
                                      .model = r->model,
                                      .metric = r->job->recipe->metric->name,
                                      .report = status ? NULL : path,
                                      .error = status ? err->message : NULL,
                                      .request = r->request,
                                      .record = r->end->record};
    weir_status ended = weir_track_search_run(r->pg, &search, &why);
    /* What cannot be logged must not leave a run without its end. */
    weir_err late;
    weir_status updated = weir_run_update(r->pg, r->end->id, status ? "failed" : "succeeded", detail, &late);
    if (updated) {
        ended = updated;
        why = late;
    }
    cJSON_Delete(detail);
    if (status || !ended) return status;
    *err = why;
    return ended;
}

weir_status weir_pipeline_job_run(const weir_pipeline_job *job, weir_pipeline_job_end *ret_end, weir_err *err) {
    *ret_end = (weir_pipeline_job_end){.reaches_baseline = true};
    running r = {.job = job,
                 .end = ret_end,
                 .training = {.pipeline = job->pipeline,
                              .recipe = job->recipe,
                              .pg_url = job->pg_url,
                              .objects_dir = job->objects_dir,
                              .as_of_us = job->as_of_us,
                              .cancel = job->abort}};
    weir_status status = prepare(&r, err);
    r.training.run_id = ret_end->id;
    if (!status) {
        status = run_workshop(&r, err);
        recall_verdict(&r);
        /* One that was refused is not ours to go on with, and stays as it is. */
        if (ret_end->record || !job->go_on) status = end_run(&r, status, err);
    }
    cJSON_Delete(r.request);
    cJSON_Delete(r.specs);
    cJSON_Delete(r.split);
    weir_pg_free(r.pg);
    return status;
}
