/* Workers take points in turns, a model after the other; a supervisor watches the time. What is tried first, and so what wins a tie, does not depend on how
 * many workers there are. */
#include "models/training_search.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "models/automl_internal.h"
#include "models/interrupt.h"
#include "models/memory.h"
#include "models/training_trials.h"

enum { WORKERS_MAX = 64, MEMBERS_MAX = 5, SUPERVISE_MS = 200, TELL_TURNS = 5 };

/* A point that was taken. */
typedef struct trial {
    int candidate, number; /* number: in the candidate's study; −1: an ensemble */
    weir_contender result;
} trial;

typedef struct searching {
    const weir_training_file *file;
    const weir_training_sets *sets;
    const weir_training_search *options;
    weir_split split;
    weir_split_plan *plan; /* NULL: the validation rows judge */
    weir_study *studies[WEIR_TRAINING_MODELS_MAX]; /* NULL: one point only */
    bool taken[WEIR_TRAINING_MODELS_MAX]; /* that one was taken */
    trial *trials; /* [count] */
    int count, room, running, failed, next; /* next: whose turn it is */
    double best, test_to_train;
    char best_name[WEIR_AUTOML_NAME_MAX], now[WEIR_AUTOML_NAME_MAX];
    weir_training_trials kept;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int workers; /* that have not ended */
    _Atomic bool stop;
    const char *ended;
    int64_t began_us, deadline_us;
    weir_status fatal; /* memory ran out */
    weir_err last; /* why a point failed, or what is fatal */
} searching;

static double seconds_since(int64_t us) {
    return (double)(weir_clock_mono_us(weir_clock_system()) - us) / 1e6;
}

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to search for a model");
}

/* As the file calls it. */
static const char *name_of(const cJSON *spec) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(spec, "name"));
    return name ? name : "";
}

/* ---- judging a spec ---- */

static weir_fit_options fit_options(searching *s, int candidate) {
    uint64_t seed = candidate >= 0 ? weir_training_file_seed(s->file, candidate) : (uint64_t)s->file->training.random_state;
    return (weir_fit_options){.split = &s->split, .seed = seed, .threads = 1, .cancel = &s->stop};
}

static bool may_go_on(void *context, int fold, const weir_crossval *so_far) {
    searching *s = context;
    (void)fold, (void)so_far;
    return !s->stop;
}

static weir_status judge_by_folds(searching *s, int candidate, weir_contender *c, weir_err *err) {
    weir_crossval result = {0};
    const weir_crossval_options options = {.fit = fit_options(s, candidate), .metric = s->sets->metric, .on_fold = may_go_on, .context = s};
    weir_status status = weir_crossval_run(c->spec, &s->sets->train, s->plan, &options, &result, err);
    if (status) return status;
    if (result.done_count < result.fold_count)
        status = WEIR_RETRY(err, WEIR_ETIMEOUT, "time ran out");
    else if (!isfinite(result.mean))
        status = WEIR_FAIL(err, WEIR_EDATA, "no fold has a value of %s", s->sets->metric->name);
    else if (!(c->fold_values = weir_models_calloc((size_t)result.fold_count, sizeof *c->fold_values)))
        status = no_memory(err);
    c->mean = result.mean;
    c->deviation = result.deviation;
    for (int f = 0; !status && f < result.fold_count; f++) {
        c->fold_values[f] = result.folds[f].value;
        c->fit_s += result.folds[f].fit_s / result.fold_count;
        c->predict_s += result.folds[f].predict_s / result.fold_count;
    }
    pthread_mutex_lock(&s->lock);
    s->test_to_train = result.test_to_train;
    pthread_mutex_unlock(&s->lock);
    weir_crossval_done(&result);
    return status;
}

weir_status weir_training_file_measure(const weir_model_metric *metric, const weir_trainset *set, const double *scores, double *each, double *ret_mean,
                                       weir_err *err) {
    int64_t n = set->matrix.row_count;
    double sum = 0, *column = set->target_count > 1 ? weir_models_calloc((size_t)n, sizeof *column) : NULL;
    weir_status status = set->target_count > 1 && !column ? no_memory(err) : WEIR_OK;
    for (int t = 0; !status && t < set->target_count; t++) {
        double value = NAN;
        weir_outcomes outcomes = {.row_count = n, .class_count = set->matrix.class_count, .label = set->targets + t * n, .score = scores, .threshold = 0.5};
        for (int64_t r = 0; column && r < n; r++) column[r] = scores[r * set->target_count + t];
        if (column) outcomes.score = column;
        status = weir_model_metric_measure(metric, &outcomes, &value, err);
        if (each) each[t] = value;
        sum += value;
    }
    weir_models_free(column);
    if (status) return status;
    *ret_mean = sum / set->target_count;
    return isfinite(*ret_mean) ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the rows have no value of %s", metric->name);
}

static weir_status judge_by_validation(searching *s, int candidate, weir_contender *c, weir_err *err) {
    const weir_trainset *set = &s->sets->validation;
    const weir_fit_options options = fit_options(s, candidate);
    size_t rows = (size_t)set->matrix.row_count;
    weir_buf artifact = {0};
    weir_model *model = NULL;
    double *scores = NULL;
    int64_t began_us = weir_clock_mono_us(weir_clock_system());
    weir_status status = weir_spec_fit(c->spec, &s->sets->train, &options, &artifact, err);
    c->fit_s = seconds_since(began_us);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    weir_buf_done(&artifact);
    c->fold_values = weir_models_calloc(1, sizeof *c->fold_values);
    if (!status) scores = weir_models_calloc(rows * (size_t)weir_model_output_count(model), sizeof *scores);
    if (!status && (!scores || !c->fold_values)) status = no_memory(err);
    if (!status) status = weir_model_predict(model, set->matrix.values, set->matrix.row_count, scores, err);
    if (!status) status = weir_training_file_measure(s->sets->metric, set, scores, NULL, &c->mean, err);
    if (!status) c->fold_values[0] = c->mean;
    c->deviation = NAN;
    weir_models_free(scores);
    weir_model_free(model);
    return status;
}

static int fold_count(const searching *s) {
    return s->plan ? weir_split_plan_folds(s->plan) : 1;
}

static weir_status judge(searching *s, int candidate, weir_contender *c, bool *ret_known, weir_err *err) {
    double test_to_train;
    if ((*ret_known = weir_training_trials_recall(&s->kept, c->spec, fold_count(s), c, &test_to_train))) {
        pthread_mutex_lock(&s->lock);
        if (s->plan) s->test_to_train = test_to_train;
        pthread_mutex_unlock(&s->lock);
        return WEIR_OK;
    }
    weir_interrupt_set(&s->stop);
    weir_status status = s->plan ? judge_by_folds(s, candidate, c, err) : judge_by_validation(s, candidate, c, err);
    weir_interrupt_set(NULL);
    return status;
}

/* ---- taking turns ---- */

/* The next point of the candidate; *ret_params NULL: its own parameters. False: there is none. Under the lock. */
static weir_status next_point(searching *s, int candidate, bool *ret_any, int *ret_number, cJSON **ret_params, weir_err *err) {
    weir_study *study = s->studies[candidate];
    *ret_params = NULL;
    *ret_number = 0;
    *ret_any = study ? !weir_study_over(study) : !s->taken[candidate];
    s->taken[candidate] = true;
    return *ret_any && study ? weir_study_ask(study, ret_number, ret_params, err) : WEIR_OK;
}

static weir_status add_trial(searching *s, int candidate, int number, cJSON *spec, weir_err *err) {
    if (s->count == s->room) {
        int room = s->room ? 2 * s->room : 32;
        trial *grown = weir_mem.realloc(s->trials, (size_t)room * sizeof *grown);
        if (!grown) return no_memory(err);
        s->trials = grown;
        s->room = room;
    }
    s->trials[s->count++] = (trial){candidate, number, {.spec = spec, .trial = number < 0 ? -1 : s->count - 1, .failed = true, .mean = NAN, .deviation = NAN}};
    return WEIR_OK;
}

/* *ret_trial −1: nothing is left. Under the lock. */
static weir_status take_turn(searching *s, int *ret_trial, weir_err *err) {
    int models = s->file->models.count;
    *ret_trial = -1;
    for (int i = 0; i < models; i++) {
        int candidate = (s->next + i) % models, number;
        bool any;
        cJSON *params, *spec = NULL;
        weir_status status = next_point(s, candidate, &any, &number, &params, err);
        if (!status && any) status = weir_training_file_spec(s->file, candidate, params, &s->sets->train, &spec, err);
        if (!status && any) status = add_trial(s, candidate, number, spec, err);
        cJSON_Delete(params);
        if (status) {
            cJSON_Delete(spec);
            return status;
        }
        if (!any) continue;
        s->next = (candidate + 1) % models;
        *ret_trial = s->count - 1;
        return WEIR_OK;
    }
    return WEIR_OK;
}

static void tell_progress(searching *s, const char *now) {
    if (!s->options->progress) return;
    if (now != s->now) snprintf(s->now, sizeof s->now, "%s", now);
    const weir_automl_progress progress = {.trials_done = s->count - s->running,
                                           .trials_running = s->running,
                                           .trials_failed = s->failed,
                                           .best = s->best,
                                           .best_name = s->best_name,
                                           .elapsed_s = seconds_since(s->began_us),
                                           .left_s = fmax(0, -seconds_since(s->deadline_us)),
                                           .now = s->now};
    s->options->progress(s->options->progress_context, &progress);
}

/* What came of a point. Under the lock. */
static weir_status conclude(searching *s, int at, weir_contender *c, bool known, weir_status judged, const weir_err *why, weir_err *err) {
    trial *t = &s->trials[at];
    c->failed = judged != WEIR_OK;
    t->result = *c;
    s->running--;
    s->failed += c->failed && !s->stop;
    if (judged) s->last = *why;
    bool better = !judged && (isnan(s->best) || (s->sets->metric->greater_is_better ? c->mean > s->best : c->mean < s->best));
    if (better) {
        s->best = c->mean;
        snprintf(s->best_name, sizeof s->best_name, "%s", name_of(c->spec));
    }
    weir_status status = judged || known ? WEIR_OK : weir_training_trials_keep(&s->kept, c, fold_count(s), s->test_to_train, err);
    weir_study *study = t->number >= 0 ? s->studies[t->candidate] : NULL;
    const weir_outcome outcome = {.state = judged ? WEIR_TRIAL_FAILED : WEIR_TRIAL_COMPLETE, .values = {c->mean}, .note = judged ? why->message : NULL};
    return status || !study ? status : weir_study_tell(study, t->number, &outcome, err);
}

static void *work(void *context) {
    searching *s = context;
    weir_err err;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && !s->fatal) {
        int at;
        char name[WEIR_AUTOML_NAME_MAX];
        weir_status status = take_turn(s, &at, &err);
        if (!status && at < 0) break;
        if (!status) {
            weir_contender c = s->trials[at].result;
            int candidate = s->trials[at].candidate;
            weir_err why = {0}, told;
            s->running++;
            snprintf(name, sizeof name, "%s", name_of(c.spec));
            tell_progress(s, name);
            pthread_mutex_unlock(&s->lock);
            bool known;
            weir_status judged = judge(s, candidate, &c, &known, &why);
            pthread_mutex_lock(&s->lock);
            status = conclude(s, at, &c, known, judged, &why, &told);
            if (status) err = told;
            tell_progress(s, name);
        }
        if (status) {
            s->fatal = status;
            s->last = err;
        }
    }
    s->workers--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Sets stop when the time is over or the caller wants no more. Under the lock. */
static void look_at_the_time(searching *s) {
    bool cancelled = s->options->cancel && *s->options->cancel;
    if (s->stop || (!cancelled && weir_clock_mono_us(weir_clock_system()) < s->deadline_us)) return;
    s->ended = cancelled ? "cancelled" : "budget";
    s->stop = true;
}

static void supervise(searching *s) {
    pthread_mutex_lock(&s->lock);
    for (int turn = 1; s->workers > 0; turn++) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SUPERVISE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (turn % TELL_TURNS == 0) tell_progress(s, s->now); /* long fits show the time, and a caller may look whether it is to cancel */
        look_at_the_time(s);
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
}

static int worker_count(const searching *s) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = !s->file->training.parallel_training ? 1 : s->options->threads > 0 ? s->options->threads : processors;
    return wanted < 1 ? 1 : wanted > WORKERS_MAX ? WORKERS_MAX : (int)wanted;
}

/* One worker at least: a machine that gives no thread is no reason to give up only when it gives none at all. */
static weir_status run_workers(searching *s, weir_err *err) {
    pthread_t threads[WORKERS_MAX];
    int wanted = worker_count(s), started = 0;
    s->workers = wanted;
    while (started < wanted && !pthread_create(&threads[started], NULL, work, s)) started++;
    pthread_mutex_lock(&s->lock);
    s->workers -= wanted - started;
    pthread_mutex_unlock(&s->lock);
    if (!started) return WEIR_FAIL(err, WEIR_ENOMEM, "no thread could be started to search for a model");
    supervise(s);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    if (s->fatal && err) *err = s->last;
    return s->fatal;
}

/* ---- ensembles ---- */

/* The best point of each model, best first. best [WEIR_TRAINING_MODELS_MAX] places in trials. */
static int best_of_each(const searching *s, int *best) {
    int count = 0, of[WEIR_TRAINING_MODELS_MAX];
    double sign = s->sets->metric->greater_is_better ? 1 : -1;
    for (int m = 0; m < s->file->models.count; m++) of[m] = -1;
    for (int i = 0; i < s->count; i++) {
        const trial *t = &s->trials[i];
        if (t->result.failed || t->number < 0) continue;
        if (of[t->candidate] < 0 || sign * t->result.mean > sign * s->trials[of[t->candidate]].result.mean) of[t->candidate] = i;
    }
    for (int m = 0; m < s->file->models.count; m++) {
        int at = count;
        if (of[m] < 0) continue;
        for (; at > 0 && sign * s->trials[of[m]].result.mean > sign * s->trials[best[at - 1]].result.mean; at--) best[at] = best[at - 1];
        best[at] = of[m];
        count++;
    }
    return count;
}

/* {"ensemble": kind, "members": […], "name": kind}, for several targets within {"targets": …}, as the members are. */
static cJSON *ensemble_spec(const searching *s, const char *kind, const int *best, int count) {
    cJSON *spec = cJSON_CreateObject(), *members = spec && cJSON_AddStringToObject(spec, "ensemble", kind) ? cJSON_AddArrayToObject(spec, "members") : NULL;
    bool ok = members;
    for (int i = 0; ok && i < count; i++) {
        const cJSON *member = s->trials[best[i]].result.spec, *inner = cJSON_GetObjectItemCaseSensitive(member, "targets");
        cJSON *copy = cJSON_Duplicate(inner ? inner : member, true);
        ok = copy && cJSON_AddItemToArray(members, copy);
        if (copy && !ok) cJSON_Delete(copy);
    }
    if (ok && s->sets->whole.target_count > 1) {
        cJSON *several = cJSON_CreateObject();
        ok = several && cJSON_AddItemToObject(several, "targets", spec);
        spec = ok ? several : spec;
        if (!ok) cJSON_Delete(several);
    }
    ok = ok && cJSON_AddStringToObject(spec, "name", kind);
    if (ok) return spec;
    cJSON_Delete(spec);
    return NULL;
}

static weir_status judge_ensembles(searching *s, weir_err *err) {
    int best[WEIR_TRAINING_MODELS_MAX], count = best_of_each(s, best);
    weir_status status = WEIR_OK;
    for (int e = 0; !status && count >= 2 && e < s->file->ensemble_count; e++) {
        cJSON *spec = ensemble_spec(s, s->file->ensembles[e], best, count < MEMBERS_MAX ? count : MEMBERS_MAX);
        status = spec ? add_trial(s, 0, -1, spec, err) : no_memory(err);
        if (status) cJSON_Delete(spec);
        if (!status) s->taken[0] = true;
    }
    return status;
}

static void *work_on_ensembles(void *context) {
    searching *s = context;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->count && !s->stop && !s->fatal; i++) {
        if (s->trials[i].number >= 0) continue;
        weir_contender c = s->trials[i].result;
        weir_err why = {0}, err;
        s->running++;
        tell_progress(s, s->file->ensembles[0]);
        pthread_mutex_unlock(&s->lock);
        bool known;
        weir_status judged = judge(s, -1, &c, &known, &why);
        pthread_mutex_lock(&s->lock);
        s->fatal = conclude(s, i, &c, known, judged, &why, &err);
        if (s->fatal) s->last = err;
        tell_progress(s, s->file->ensembles[0]);
    }
    s->workers--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static weir_status run_ensembles(searching *s, weir_err *err) {
    pthread_t thread;
    int before = s->count;
    weir_status status = judge_ensembles(s, err);
    if (status || s->count == before || s->stop) return status;
    s->workers = 1;
    if (pthread_create(&thread, NULL, work_on_ensembles, s)) return WEIR_FAIL(err, WEIR_ENOMEM, "no thread could be started to search for a model");
    supervise(s);
    pthread_join(thread, NULL);
    if (s->fatal && err) *err = s->last;
    return s->fatal;
}

/* ---- all ---- */

static weir_status make_studies(searching *s, weir_err *err) {
    static const char *const samplers[] = {"grid", "random", "tpe"};
    weir_status status = WEIR_OK;
    for (int m = 0; !status && m < s->file->models.count; m++) {
        const weir_training_candidate *c = &s->file->models.items[m];
        char path[160];
        if (!c->grid) continue;
        snprintf(path, sizeof path, "$.models.%s.hyperparameter_grid", c->name);
        weir_study_settings settings = {.space = c->grid,
                                        .sampler = samplers[s->file->training.search],
                                        .maximise = {s->sets->metric->greater_is_better},
                                        .seed = (uint64_t)s->file->training.random_state,
                                        .trial_max = s->file->training.search ? (int)s->file->training.search_iterations : 0};
        status = weir_study_new(&settings, path, &s->studies[m], err);
    }
    return status;
}

weir_split weir_training_file_split(const weir_training_file *file, weir_task task) {
    const weir_training_validation *v = &file->validation;
    return (weir_split){.scheme = task == WEIR_TASK_REGRESSION ? WEIR_SPLIT_K_FOLD : WEIR_SPLIT_STRATIFIED_K_FOLD,
                        .folds = v->folds,
                        .shuffle = v->shuffle,
                        .seed = v->random_state};
}

static weir_status make_plan(searching *s, weir_err *err) {
    s->split = weir_training_file_split(s->file, s->sets->whole.matrix.task);
    if (!s->file->validation.enabled) return WEIR_OK;
    weir_split_rows rows = weir_trainset_split_rows(&s->sets->train);
    return weir_split_plan_new(&s->split, &rows, &s->plan, err);
}

static weir_status name_leaders(weir_leaderboard *board, weir_err *err) {
    for (int i = 0; i < board->count; i++) {
        const char *name = name_of(board->leaders[i].spec);
        char *copy = weir_models_calloc(1, strlen(name) + 1);
        if (!copy) return no_memory(err);
        weir_models_free(board->leaders[i].name);
        board->leaders[i].name = strcpy(copy, name);
    }
    return WEIR_OK;
}

static weir_status make_board(searching *s, weir_leaderboard *ret_board, weir_err *err) {
    weir_automl_settings settings = {.set = &s->sets->train, .metric = s->sets->metric};
    weir_search ranking = {.settings = &settings, .fold_count = fold_count(s), .test_to_train = s->test_to_train};
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < s->count; i++)
        if (!s->trials[i].result.failed) status = weir_search_add(&ranking, &s->trials[i].result, err);
    if (!status && !ranking.count)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "no model could be fitted and judged: %s",
                           s->last.message[0] ? s->last.message : "time ran out before the first was");
    if (!status) status = weir_search_board(&ranking, -1, ret_board, err);
    for (int i = 0; i < ranking.count; i++) weir_contender_done(&ranking.contenders[i]);
    weir_models_free(ranking.contenders);
    if (!status && (status = name_leaders(ret_board, err))) weir_leaderboard_done(ret_board);
    if (status) return status;
    ret_board->winner = 0; /* the best, not one as good that fits faster: times of fits are not the same twice, and the file's model must be */
    ret_board->trials = s->count;
    ret_board->failed = s->failed;
    ret_board->ended = s->ended;
    ret_board->elapsed_s = seconds_since(s->began_us);
    return WEIR_OK;
}

static void searching_done(searching *s) {
    for (int i = 0; i < s->count; i++) weir_contender_done(&s->trials[i].result);
    for (int m = 0; m < WEIR_TRAINING_MODELS_MAX; m++) weir_study_free(s->studies[m]);
    weir_training_trials_done(&s->kept);
    weir_models_free(s->trials);
    weir_split_plan_free(s->plan);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

weir_status weir_training_file_search(const weir_training_file *file, const weir_training_sets *sets, const weir_training_search *search,
                                      weir_leaderboard *ret_board, weir_err *err) {
    searching s = {.file = file, .sets = sets, .options = search, .best = NAN, .ended = "space", .began_us = weir_clock_mono_us(weir_clock_system())};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&s.lock, NULL);
    double budget_s = search->budget_s > 0 ? search->budget_s : file->training.max_training_time_minutes * 60;
    s.deadline_us = s.began_us + (int64_t)(budget_s * 1e6);
    weir_status status = make_plan(&s, err);
    if (!status) status = weir_training_trials_open(search->folder, &s.kept, err);
    if (!status) status = make_studies(&s, err);
    if (!status) status = run_workers(&s, err);
    if (!status) status = run_ensembles(&s, err);
    if (!status) status = make_board(&s, ret_board, err);
    searching_done(&s);
    return status;
}
