/* The search: each algorithm's defaults, candidates after the first few of them, then what the sampler suggests, as long as the budget allows; then ensembles,
 * and the leaderboard.
 *
 *     budget ├─ trials ─┼─ candidates ─┼─ trials ───────────────┼─ ensembles ─┼─ left for the final fit ─┤
 *                                  another one only if a quick trial fits
 *
 * The first trials are quick ones, and whatever a candidate costs, the board is not empty then.
 *
 * One trial runs at a time, with the threads of the settings; more at once is what other workers are for (weir_automl_help). */
#include "models/automl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "models/automl_internal.h"
#include "models/interrupt.h"
#include "models/memory.h"

enum { REPEATS_MAX = 50, SECONDS_KEPT = 21, WAIT_MS = 100, SCORES_AN_ALGORITHM = 2, TRIALS_BEFORE_CANDIDATES = 3, SPENT_TRIALS = 20, PASSED_MAX = 10 };
#define FINAL_FIT_MARGIN 1.2
#define HELP_MAX_S 1e7 /* of one who helps: its leader ends the search */
#define TRIAL_SHARE 0.25 /* of the budget that one trial may take, when nothing is said */
#define RACE_ERRORS 2
#define GAIN_ERRORS 0.1
#define CANDIDATE_SHARE 0.5 /* and one candidate, which somebody thought good */

/* ---- contenders ---- */

void weir_contender_done(weir_contender *c) {
    cJSON_Delete(c->spec);
    if (c->text) cJSON_free(c->text);
    weir_models_free(c->fold_values);
    weir_models_free(c->scores);
    *c = (weir_contender){0};
}

double weir_search_merit(const weir_search *search, const weir_contender *c) {
    double value = search->settings->metric->greater_is_better ? c->mean : -c->mean;
    return value - search->settings->cost_weight * c->fit_s;
}

int weir_search_rank(const weir_search *search, int *order) {
    int count = 0;
    for (int i = 0; i < search->count; i++) {
        const weir_contender *c = &search->contenders[i];
        int at = count;
        if (c->failed) continue;
        for (; at > 0 && weir_search_merit(search, c) > weir_search_merit(search, &search->contenders[order[at - 1]]); at--) order[at] = order[at - 1];
        order[at] = i;
        count++;
    }
    return count;
}

static const char *algorithm_of(const weir_contender *c) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->spec, "algorithm"));
    return name ? name : "";
}

/* Scores are as large as the set: those of the best of each algorithm are kept, which ensembles are made of. */
static void drop_scores(weir_search *search, const weir_contender *of) {
    weir_contender *kept[SCORES_AN_ALGORITHM + 1];
    int count = 0;
    for (int i = 0; i < search->count; i++) {
        weir_contender *c = &search->contenders[i];
        int at = count;
        if (!c->scores || strcmp(algorithm_of(c), algorithm_of(of)) != 0) continue;
        for (; at > 0 && weir_search_merit(search, c) > weir_search_merit(search, kept[at - 1]); at--) kept[at] = kept[at - 1];
        kept[at] = c;
        if (++count <= SCORES_AN_ALGORITHM) continue;
        weir_contender *least = kept[--count];
        weir_models_free(least->scores);
        least->scores = NULL;
    }
}

weir_status weir_search_add(weir_search *search, weir_contender *c, weir_err *err) {
    if (!c->text) c->text = weir_automl_text(c->spec);
    if (c->text && search->count == search->room) {
        int room = search->room ? 2 * search->room : 64;
        weir_contender *grown = weir_mem.realloc(search->contenders, (size_t)room * sizeof *grown);
        if (grown) {
            search->contenders = grown;
            search->room = room;
        }
    }
    if (!c->text || search->count == search->room) {
        weir_contender_done(c);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d models", search->count + 1);
    }
    search->contenders[search->count++] = *c;
    *c = (weir_contender){0};
    drop_scores(search, &search->contenders[search->count - 1]);
    return WEIR_OK;
}

static const weir_contender *find_text(const weir_search *search, const char *text) {
    for (int i = 0; i < search->count; i++)
        if (!strcmp(search->contenders[i].text, text)) return &search->contenders[i];
    return NULL;
}

/* ---- measuring ---- */

void weir_search_summary(const double *values, int count, double *ret_mean, double *ret_deviation) {
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) {
            sum += values[i];
            n++;
        }
    double mean = n ? sum / n : NAN;
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) squares += (values[i] - mean) * (values[i] - mean);
    *ret_mean = mean;
    *ret_deviation = n > 1 ? sqrt(squares / (n - 1)) : NAN;
}

weir_status weir_search_measure(const weir_search *search, const weir_model_metric *metric, const double *scores, double *ret_values, weir_err *err) {
    const weir_matrix *m = &search->settings->set->matrix;
    size_t outputs = (size_t)search->output_count, rows = (size_t)m->row_count;
    double *score = weir_models_calloc(rows * (outputs + 2), sizeof *score), *label = score ? score + rows * outputs : NULL,
           *weight = label ? label + rows : NULL;
    if (!score) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to measure %zu rows", rows);
    bool weighted = m->weight && metric->weighted;
    weir_status status = WEIR_OK;
    for (int f = 0; f < search->fold_count; f++) {
        int64_t n = 0;
        ret_values[f] = NAN;
        for (int64_t r = 0; r < m->row_count; r++) {
            if (search->fold_of[r] != f || isnan(scores[(size_t)r * outputs])) continue;
            memcpy(score + (size_t)n * outputs, scores + (size_t)r * outputs, outputs * sizeof *score);
            label[n] = m->label[r];
            weight[n++] = weighted ? m->weight[r] : 1;
        }
        const weir_outcomes outcomes = {n, m->class_count, label, score, weighted ? weight : NULL, 0.5, 0};
        if (n && status == WEIR_OK) status = weir_model_metric_measure(metric, &outcomes, &ret_values[f], err);
    }
    weir_models_free(score);
    return status;
}

/* ---- one contender ---- */

/* The best, of the algorithm `like` has where that is not NULL. */
static const weir_contender *best_like(const weir_search *search, const weir_contender *like) {
    const weir_contender *best = NULL;
    for (int i = 0; i < search->count; i++) {
        const weir_contender *c = &search->contenders[i];
        if (c->failed || (like && strcmp(algorithm_of(c), algorithm_of(like)) != 0)) continue;
        if (!best || weir_search_merit(search, c) > weir_search_merit(search, best)) best = c;
    }
    return best;
}

/* Folds say more about themselves than about models, so a trial is compared with the best of its algorithm on the same ones: it is out when it was worse on each
 * of them and the mean difference is more than RACE_ERRORS standard errors. Of other algorithms it is not measured by: each is to have its best on the board, and
 * ensembles are made of different ones. Of folds that go forward in time the first ones are the cheap ones. Only where the study may prune. Source of the idea: Maron and Moore, Hoeffding races, 1994; blocking by fold: Birattari and others, A racing algorithm for configuring metaheuristics,
 * 2002. */
static bool is_out_of_the_race(const weir_search *search, const weir_contender *c, const weir_crossval *so_far) {
    const weir_contender *best = best_like(search, c);
    const char *pruner = search->settings->pruner;
    double sum = 0, squares = 0;
    int n = so_far->done_count;
    if (!best || n < WEIR_RACE_FOLDS || search->settings->objectives || (pruner && !strcmp(pruner, "none"))) return false;
    for (int f = 0; f < n; f++) {
        double lost = best->fold_values[f] - so_far->folds[f].value;
        if (!search->settings->metric->greater_is_better) lost = -lost;
        if (!(lost > 0)) return false; /* NaN too */
        sum += lost;
        squares += lost * lost;
    }
    double mean = sum / n, variance = fmax(0, (squares - n * mean * mean) / (n - 1));
    return mean > RACE_ERRORS * sqrt(variance / n);
}

/* ---- algorithms that have given what they have ---- */

/* NULL: there are too many. */
static weir_kind_progress *progress_of(weir_search *search, const weir_contender *c) {
    const char *algorithm = algorithm_of(c);
    for (int k = 0; k < search->kind_count; k++)
        if (!strcmp(search->kinds[k].algorithm, algorithm)) return &search->kinds[k];
    if (search->kind_count == WEIR_TUNING_ALGORITHMS_MAX || strlen(algorithm) >= sizeof search->kinds[0].algorithm) return NULL;
    weir_kind_progress *made = &search->kinds[search->kind_count++];
    *made = (weir_kind_progress){.best = -INFINITY};
    memcpy(made->algorithm, algorithm, strlen(algorithm));
    return made;
}

/* A trial of it ended; with a mean, or stopped early and without. */
static void note_progress(weir_search *search, const weir_contender *c, bool complete) {
    weir_kind_progress *p = progress_of(search, c);
    double error = isfinite(c->deviation) ? c->deviation / sqrt(search->fold_count) : 0;
    if (!p) return;
    if (complete && weir_search_merit(search, c) > p->best + GAIN_ERRORS * error) {
        p->best = weir_search_merit(search, c);
        p->since = 0;
    } else {
        p->since++;
    }
}

/* A sampler goes where good values are, and stays there: of a quick algorithm with one flat optimum it suggests that optimum hundreds of times, while a slower one
 * whose defaults are as good waits. An algorithm whose last SPENT_TRIALS gained nothing is passed over, which tells the sampler to look elsewhere, as long as another
 * had less than half as many; one in PASSED_MAX is run all the same. Where the study may prune. */
static bool is_passed_over(weir_search *search, const weir_contender *c) {
    const weir_kind_progress *p = progress_of(search, c);
    const char *pruner = search->settings->pruner;
    bool fresher = false;
    if (!p || search->settings->objectives || (pruner && !strcmp(pruner, "none"))) return false;
    for (int k = 0; k < search->kind_count; k++) fresher = fresher || (isfinite(search->kinds[k].best) && 2 * search->kinds[k].since < p->since);
    bool is = p->since >= SPENT_TRIALS && fresher && search->passed < PASSED_MAX;
    search->passed = is ? search->passed + 1 : 0;
    return is;
}

/* ---- judging ---- */

/* A contender on its way through the folds. */
typedef struct judging {
    weir_search *search;
    weir_contender *contender;
    bool pruned, lost;
    weir_err report; /* of the study; code WEIR_OK: none */
} judging;

static bool on_fold(void *context, int fold, const weir_crossval *so_far) {
    judging *j = context;
    weir_search *search = j->search;
    bool prune = false, last = fold + 1 == so_far->fold_count;
    if (j->contender->trial >= 0) {
        weir_status status = weir_trial_source_report(search->source, j->contender->trial, fold + 1, so_far->folds[fold].value, &prune, &j->report);
        j->lost = status == WEIR_ECONFLICT;
        if (status != WEIR_OK) return false;
        j->report.code = WEIR_OK;
    }
    j->pruned = !last && (prune || (j->contender->trial >= 0 && is_out_of_the_race(search, j->contender, so_far)));
    return !j->pruned && (last || !*weir_watch_cancel(search->watch));
}

/* What a full run through the folds says. The scores are taken over. */
static weir_status take_result(weir_search *search, weir_contender *c, weir_crossval *result, weir_err *err) {
    c->mean = result->mean;
    c->deviation = result->deviation;
    c->fit_s = c->predict_s = 0;
    for (int f = 0; f < result->fold_count; f++) {
        c->fold_values[f] = result->folds[f].value;
        c->fit_s += result->folds[f].fit_s / result->fold_count;
        c->predict_s += result->folds[f].predict_s / result->fold_count;
    }
    c->scores = result->scores;
    result->scores = NULL;
    search->output_count = result->output_count;
    return isfinite(c->mean) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENUMERIC, "%s has no value on any fold", search->settings->metric->name);
}

static const char *describe_stop(weir_stop stop) {
    static const char *const texts[] = {"", "the search was cancelled", "it took longer than a trial may", "another worker has it now", "the search is over"};
    return texts[stop];
}

static weir_status judge(judging *j, double limit_s, weir_stop *ret_stop, weir_err *err) {
    weir_search *search = j->search;
    const weir_automl_settings *s = search->settings;
    weir_contender *c = j->contender;
    char name[WEIR_AUTOML_NAME_MAX], now[WEIR_AUTOML_NAME_MAX];
    const weir_crossval_options options = {
        .fit = {.split = s->split, .seed = s->seed, .threads = s->threads, .cancel = weir_watch_cancel(search->watch)},
        .metric = s->metric,
        .on_fold = on_fold,
        .context = j,
    };
    weir_crossval result = {0};
    if (!c->fold_values) c->fold_values = weir_models_calloc((size_t)search->fold_count, sizeof *c->fold_values);
    if (!c->fold_values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d folds", search->fold_count);
    weir_spec_describe(c->spec, name, sizeof name);
    if (c->trial >= 0)
        snprintf(now, sizeof now, "trial %d: %.120s", c->trial, name);
    else
        snprintf(now, sizeof now, "%s", name);
    weir_watch_begin(search->watch, now, c->trial, limit_s);
    weir_interrupt_set(weir_watch_cancel(search->watch));
    weir_status status = weir_crossval_run(c->spec, s->set, search->plan, &options, &result, err);
    weir_interrupt_set(NULL);
    double took_s = weir_watch_end(search->watch, ret_stop);
    if (status == WEIR_OK && j->report.code != WEIR_OK) {
        status = j->report.code;
        if (err) *err = j->report;
    } else if (*ret_stop != WEIR_GO_ON && !(status == WEIR_OK && result.done_count == result.fold_count)) {
        status = WEIR_FAIL(err, WEIR_ETIMEOUT, "%s (%.1f s)", describe_stop(*ret_stop), took_s);
    }
    if (status == WEIR_OK && !j->pruned) status = take_result(search, c, &result, err);
    weir_crossval_done(&result);
    if (search->seconds_count == SECONDS_KEPT) memmove(search->seconds, search->seconds + 1, --search->seconds_count * sizeof *search->seconds);
    search->seconds[search->seconds_count++] = took_s;
    return status;
}

weir_status weir_search_judge(weir_search *search, weir_contender *c, double limit_s, weir_err *err) {
    judging j = {.search = search, .contender = c};
    weir_stop stop;
    int trial = c->trial;
    c->trial = -1; /* its folds are not told to the study, or a second time */
    weir_status status = judge(&j, limit_s, &stop, err);
    c->trial = trial;
    return status;
}

/* ---- time ---- */

double weir_search_left_s(const weir_search *search) {
    return search->settings->budget_s - weir_watch_elapsed_s(search->watch);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lower quartile: what takes longer than it may is stopped. */
static double quick_seconds(const weir_search *search) {
    double sorted[SECONDS_KEPT];
    int n = search->seconds_count;
    if (!n) return 0;
    memcpy(sorted, search->seconds, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return sorted[n / 4];
}

/* What is kept back: the best one fitted on all rows, and as much again for its ensembles. */
static double reserve_s(const weir_search *search) {
    const weir_contender *best = best_like(search, NULL);
    double fit_s = best ? FINAL_FIT_MARGIN * best->fit_s / search->train_share : 0;
    return fmin(search->settings->ensembles ? 2 * fit_s : fit_s, search->settings->budget_s / 2);
}

static double trial_limit_s(const weir_search *search, double share) {
    const weir_automl_settings *s = search->settings;
    double own = s->trial_s > 0 ? s->trial_s : share * s->budget_s, left = weir_search_left_s(search) - reserve_s(search);
    return fmax(fmin(own, left), 1e-3);
}

static bool has_time(const weir_search *search) {
    return weir_search_left_s(search) > reserve_s(search) + quick_seconds(search);
}

static void tell(weir_search *search) {
    const weir_contender *best = best_like(search, NULL);
    char name[WEIR_AUTOML_NAME_MAX];
    weir_automl_progress p = {.trials_done = search->done, .trials_failed = search->failed, .trials_pruned = search->pruned, .best = best ? best->mean : NAN};
    if (best) {
        weir_spec_describe(best->spec, name, sizeof name);
        p.best_name = name;
    }
    weir_watch_tell(search->watch, &p);
}

/* ---- trials ---- */

static double objective_of(const weir_search *search, const weir_contender *c, const char *name, double *room, weir_err *err) {
    double mean = NAN, deviation;
    if (!strcmp(name, "fit_seconds")) return c->fit_s;
    if (!strcmp(name, "predict_seconds")) return c->predict_s;
    const weir_model_metric *metric = weir_model_metric_find(search->settings->set->matrix.task, name);
    if (metric && c->scores && weir_search_measure(search, metric, c->scores, room, err) == WEIR_OK)
        weir_search_summary(room, search->fold_count, &mean, &deviation);
    return mean;
}

static weir_status fill_outcome(const weir_search *search, const weir_contender *c, weir_outcome *outcome, weir_err *err) {
    double *room = weir_models_calloc((size_t)search->fold_count, sizeof *room);
    if (!room) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d folds", search->fold_count);
    *outcome = (weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {c->mean}, .cost = c->fit_s};
    for (int i = 1; i < weir_trial_source_objectives(search->source); i++)
        outcome->values[i] = objective_of(search, c, search->settings->objectives[i - 1], room, err);
    weir_models_free(room);
    return WEIR_OK;
}

/* One that was judged before, under this or another number: told again, at no cost. Its folds too, which medians are made of. */
static weir_status repeat(weir_search *search, const weir_contender *before, int number, weir_err *err) {
    weir_outcome outcome = {.state = WEIR_TRIAL_FAILED, .note = before->note};
    weir_status status = WEIR_OK;
    bool prune;
    for (int f = 0; status == WEIR_OK && !before->failed && f < search->fold_count; f++)
        status = weir_trial_source_report(search->source, number, f + 1, before->fold_values[f], &prune, err);
    if (status == WEIR_OK && !before->failed) status = fill_outcome(search, before, &outcome, err);
    if (status == WEIR_OK) status = weir_trial_source_tell(search->source, number, &outcome, err);
    return status;
}

/* Tells what came of a judged trial and keeps it. Takes what c owns. */
static weir_status conclude(weir_search *search, const judging *j, weir_contender *c, weir_status judged, weir_stop stop, weir_err *err) {
    weir_outcome outcome = {.state = WEIR_TRIAL_PRUNED};
    weir_status status = WEIR_OK;
    int number = c->trial;
    if (j->lost || stop == WEIR_STOP_LOST || stop == WEIR_STOP_OVER) {
        weir_err gone;
        weir_contender_done(c);
        if (stop == WEIR_STOP_OVER)
            (void)!weir_trial_source_release(search->source, number, &gone); /* for when its leader comes back; else it ended with the study */
        return WEIR_OK;
    }
    if (stop == WEIR_STOP_CANCELLED && judged != WEIR_OK) {
        weir_contender_done(c);
        return weir_trial_source_release(search->source, number, err);
    }
    if (judged != WEIR_OK) {
        snprintf(c->note, sizeof c->note, "%.63s", search->last.message);
        c->failed = true;
        outcome = (weir_outcome){.state = WEIR_TRIAL_FAILED, .note = c->note};
        search->failed++;
    } else if (j->pruned) {
        search->pruned++;
    } else {
        status = fill_outcome(search, c, &outcome, err);
    }
    search->done++;
    if (judged == WEIR_OK) note_progress(search, c, !j->pruned);
    if (status == WEIR_OK) status = weir_trial_source_tell(search->source, number, &outcome, err);
    if (status == WEIR_OK && !j->pruned) return weir_search_add(search, c, err);
    weir_contender_done(c);
    return status;
}

/* Runs a claimed trial. *ret_repeated: it was known already. Errors: of the study only. */
static weir_status run_trial(weir_search *search, int number, const cJSON *params, bool *ret_repeated, weir_err *err) {
    weir_contender c = {.trial = number};
    weir_stop stop = WEIR_GO_ON;
    judging j = {.search = search, .contender = &c};
    weir_status judged = weir_automl_spec(search->settings->set, params, &c.spec, &search->last);
    *ret_repeated = false;
    if (judged != WEIR_OK && !c.spec) c.spec = cJSON_Duplicate(params, true);
    if (!c.spec || !(c.text = weir_automl_text(c.spec))) {
        weir_contender_done(&c);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a trial");
    }
    const weir_contender *before = find_text(search, c.text);
    if (before) {
        note_progress(search, &c, false);
        weir_contender_done(&c);
        *ret_repeated = true;
        search->done++;
        search->failed += before->failed;
        return repeat(search, before, number, err);
    }
    if (judged == WEIR_OK && is_passed_over(search, &c)) {
        weir_contender_done(&c);
        search->done++;
        search->pruned++;
        return weir_trial_source_tell(search->source, number, &(weir_outcome){.state = WEIR_TRIAL_PRUNED}, err);
    }
    if (judged == WEIR_OK) judged = judge(&j, trial_limit_s(search, TRIAL_SHARE), &stop, &search->last);
    return conclude(search, &j, &c, judged, stop, err);
}

/* Those that no trial was. */
static weir_status judge_candidates(weir_search *search, weir_err *err) {
    const cJSON *spec;
    int i = 0;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(spec, search->settings->candidates) {
        weir_contender c = {.trial = -1, .spec = cJSON_Duplicate(spec, true)};
        if (status != WEIR_OK || weir_watch_stopped(search->watch) != WEIR_GO_ON || (search->count && !has_time(search)) || !c.spec) {
            weir_contender_done(&c);
            continue;
        }
        if (!(c.text = weir_automl_text(c.spec))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a candidate");
        if (status != WEIR_OK || find_text(search, c.text)) {
            weir_contender_done(&c);
            continue;
        }
        if (weir_search_judge(search, &c, trial_limit_s(search, CANDIDATE_SHARE), &search->last) != WEIR_OK) {
            snprintf(c.note, sizeof c.note, "%.63s", search->last.message);
            c.failed = true;
            (void)weir_err_prefix(&search->last, "candidate %d", i);
        }
        status = weir_search_add(search, &c, err);
        if (status == WEIR_OK) tell(search);
        i++;
    }
    return status;
}

static int running_trials(const weir_study *study) {
    const weir_trials *history = weir_study_history(study);
    int running = 0;
    for (int i = 0; i < history->trial_count; i++) running += history->trials[i].state == WEIR_TRIAL_RUNNING;
    return running;
}

/* Nothing more to ask for. Others may still run trials, or die over them. *ret_why NULL: look again. */
static weir_status when_over(weir_search *search, const char **ret_why, weir_err *err) {
    const struct timespec moment = {0, WAIT_MS * 1000000};
    const weir_study *study;
    weir_status status = weir_trial_source_load(search->source, &study, err);
    if (status != WEIR_OK) return status;
    if (running_trials(study)) {
        (void)nanosleep(&moment, NULL);
        return WEIR_OK;
    }
    const char *over = weir_study_over(study);
    *ret_why = over ? over : "trials";
    return WEIR_OK;
}

/* Trials until something ends them: *ret_why. *ret_count: those that were run here. */
static weir_status run_trials(weir_search *search, bool leads, int *ret_count, const char **ret_why, weir_err *err) {
    int repeats = 0;
    bool candidates = leads;
    *ret_why = NULL;
    while (!*ret_why) {
        if (candidates && *ret_count >= TRIALS_BEFORE_CANDIDATES) {
            weir_status status = judge_candidates(search, err);
            if (status != WEIR_OK) return status;
            candidates = false;
        }
        int number;
        cJSON *params = NULL;
        bool repeated = false;
        if (weir_watch_stopped(search->watch) != WEIR_GO_ON) {
            *ret_why = "cancelled";
        } else if (!has_time(search)) {
            *ret_why = "budget";
        } else if (repeats >= REPEATS_MAX) {
            *ret_why = "space";
        }
        if (*ret_why) break;
        weir_status status = weir_trial_source_claim(search->source, &number, &params, err);
        if (status == WEIR_ELIMIT && !leads) {
            *ret_why = "trials";
            break;
        }
        if (status == WEIR_ELIMIT) {
            status = when_over(search, ret_why, err);
        } else if (status == WEIR_OK) {
            status = run_trial(search, number, params, &repeated, err);
            cJSON_Delete(params);
            if (status == WEIR_ECONFLICT) status = WEIR_OK; /* it was another's by then, who tells it */
            repeats = repeated ? repeats + 1 : 0;
            ++*ret_count;
            tell(search);
        }
        if (status != WEIR_OK) return status;
    }
    return candidates ? judge_candidates(search, err) : WEIR_OK;
}

/* ---- what other workers, and processes before this one, found ---- */

static bool is_known(const weir_search *search, int number) {
    for (int i = 0; i < search->count; i++)
        if (search->contenders[i].trial == number) return true;
    return false;
}

static weir_status adopt(weir_search *search, const weir_space *space, const weir_trial *trial, weir_err *err) {
    weir_contender c = {.trial = trial->number, .mean = trial->values[0], .deviation = NAN, .fit_s = trial->cost};
    cJSON *params = weir_space_params(space, trial->point);
    bool greater = search->settings->metric->greater_is_better;
    double mean;
    c.fold_values = weir_models_calloc((size_t)search->fold_count, sizeof *c.fold_values);
    weir_status status = params && c.fold_values ? weir_automl_spec(search->settings->set, params, &c.spec, err)
                                                 : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for trial %d", trial->number);
    cJSON_Delete(params);
    for (int f = 0; c.fold_values && f < search->fold_count; f++) c.fold_values[f] = NAN;
    for (int i = 0; c.fold_values && i < trial->report_count; i++) {
        const weir_report *report = &trial->reports[i];
        if (report->step >= 1 && report->step <= search->fold_count) c.fold_values[report->step - 1] = greater ? -report->loss : report->loss;
    }
    if (status == WEIR_OK && !(c.text = weir_automl_text(c.spec))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for trial %d", trial->number);
    if (status == WEIR_OK) weir_search_summary(c.fold_values, search->fold_count, &mean, &c.deviation);
    if (status == WEIR_OK && !find_text(search, c.text)) return weir_search_add(search, &c, err);
    weir_contender_done(&c);
    return status;
}

/* The counts become those of the whole study. */
static weir_status adopt_all(weir_search *search, weir_err *err) {
    const weir_study *study;
    weir_status status = weir_trial_source_load(search->source, &study, err);
    if (status != WEIR_OK) return status;
    const weir_trials *history = weir_study_history(study);
    search->done = search->failed = search->pruned = 0;
    for (int i = 0; status == WEIR_OK && i < history->trial_count; i++) {
        const weir_trial *trial = &history->trials[i];
        search->done += trial->state != WEIR_TRIAL_RUNNING;
        search->failed += trial->state == WEIR_TRIAL_FAILED;
        search->pruned += trial->state == WEIR_TRIAL_PRUNED;
        if (trial->state == WEIR_TRIAL_COMPLETE && !is_known(search, trial->number)) status = adopt(search, weir_study_space(study), trial, err);
    }
    return status;
}

/* ---- a search ---- */

static weir_status check_objectives(const weir_automl_settings *s, weir_err *err) {
    for (int i = 0; s->objectives && s->objectives[i]; i++) {
        const char *name = s->objectives[i];
        bool seconds = !strcmp(name, "fit_seconds") || !strcmp(name, "predict_seconds");
        if (i + 1 >= WEIR_OBJECTIVES_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "found more than %d objectives beside the metric", WEIR_OBJECTIVES_MAX - 1);
        if (!seconds && (s->set->target_count > 1 || !weir_model_metric_find(s->set->matrix.task, name)))
            return WEIR_FAIL(err, WEIR_EINVAL, "found the objective '%s', expected 'fit_seconds', 'predict_seconds' or a metric of a %s task with one target",
                             name, weir_task_name(s->set->matrix.task));
    }
    return WEIR_OK;
}

static weir_status check_settings(const weir_automl_settings *s, weir_err *err) {
    if (!s->set || !s->split || !s->metric) return WEIR_FAIL(err, WEIR_EINVAL, "a search needs a training set, a split and a metric");
    if (!(s->budget_s > 0) || !isfinite(s->budget_s)) return WEIR_FAIL(err, WEIR_EINVAL, "found a budget of %g s, expected more than 0", s->budget_s);
    if (s->metric->task != s->set->matrix.task)
        return WEIR_FAIL(err, WEIR_EINVAL, "metric %s is of a %s task, the training set is of a %s one", s->metric->name, weir_task_name(s->metric->task),
                         weir_task_name(s->set->matrix.task));
    if (s->trial_max < 0 || s->trial_s < 0 || s->cost_weight < 0 || s->threads < 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "found a negative limit or weight, or no thread");
    if (s->pg_url && (!s->pipeline || !s->study || !s->worker)) return WEIR_FAIL(err, WEIR_EINVAL, "a shared study needs a pipeline, a name and a worker");
    return check_objectives(s, err);
}

static weir_status plan_folds(weir_search *search, weir_err *err) {
    const weir_automl_settings *s = search->settings;
    const weir_split_rows rows = weir_trainset_split_rows(s->set);
    int64_t n = s->set->matrix.row_count;
    double trained = 0, ratio = 0;
    weir_status status = weir_split_plan_new(s->split, &rows, &search->plan, err);
    if (status != WEIR_OK) return status;
    search->fold_count = weir_split_plan_folds(search->plan);
    search->output_count = s->set->matrix.task == WEIR_TASK_MULTICLASS ? s->set->matrix.class_count : s->set->target_count;
    search->by_time = s->split->scheme == WEIR_SPLIT_WALK_FORWARD || s->split->scheme == WEIR_SPLIT_TIME;
    search->fold_of = weir_models_calloc((size_t)n, sizeof *search->fold_of);
    search->seconds = weir_models_calloc(SECONDS_KEPT, sizeof *search->seconds);
    uint8_t *role = weir_models_calloc((size_t)n, sizeof *role);
    if (!search->fold_of || !search->seconds || !role) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for folds of %lld rows", (long long)n);
    for (int64_t r = 0; status == WEIR_OK && r < n; r++) search->fold_of[r] = -1;
    for (int f = 0; status == WEIR_OK && f < search->fold_count; f++) {
        weir_fold fold;
        status = weir_split_plan_roles(search->plan, f, role, &fold, err);
        for (int64_t r = 0; status == WEIR_OK && r < n; r++)
            if (role[r] == WEIR_ROLE_TEST) search->fold_of[r] = f;
        if (status != WEIR_OK) break;
        trained += (double)fold.train_count / search->fold_count;
        ratio += (double)fold.test_count / (double)fold.train_count / search->fold_count;
    }
    search->train_share = fmax(trained / (double)n, 1e-3);
    search->test_to_train = ratio;
    weir_models_free(role);
    return status;
}

static void search_done(weir_search *search) {
    weir_watch_stop(search->watch);
    weir_trial_source_close(search->source);
    for (int i = 0; i < search->count; i++) weir_contender_done(&search->contenders[i]);
    weir_models_free(search->contenders);
    weir_models_free(search->fold_of);
    weir_models_free(search->seconds);
    weir_split_plan_free(search->plan);
}

static weir_status search_init(weir_search *search, const weir_automl_settings *settings, const cJSON *joined, weir_err *err) {
    *search = (weir_search){.settings = settings};
    weir_status status = check_settings(settings, err);
    if (status == WEIR_OK) status = plan_folds(search, err);
    if (status == WEIR_OK) status = weir_trial_source_open(settings, search->fold_count, joined, &search->source, err);
    if (status == WEIR_OK) status = weir_watch_start(settings, search->source, &search->watch, err);
    return status;
}

/* The trial that the selection takes from the front; −1: the rule of the leaderboard decides. */
static weir_status select_trial(weir_search *search, int *ret_number, weir_err *err) {
    const weir_study *study;
    *ret_number = -1;
    if (weir_trial_source_objectives(search->source) < 2) return WEIR_OK;
    weir_status status = weir_trial_source_load(search->source, &study, err);
    if (status == WEIR_OK) status = weir_study_select(study, &search->settings->selection, ret_number, err);
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

static weir_status finish(weir_search *search, const char *why, weir_leaderboard *ret_board, weir_err *err) {
    int chosen = -1;
    weir_status status = adopt_all(search, err);
    if (status == WEIR_OK && search->settings->ensembles && strcmp(why, "cancelled") != 0) {
        status = weir_search_ensembles(search, err);
        if (status == WEIR_OK) tell(search);
    }
    if (status == WEIR_OK) status = select_trial(search, &chosen, err);
    if (status == WEIR_OK) status = weir_search_board(search, chosen, ret_board, err);
    if (status != WEIR_OK) return status;
    ret_board->ended = why;
    ret_board->trials = search->done;
    ret_board->failed = search->failed;
    ret_board->pruned = search->pruned;
    ret_board->elapsed_s = weir_watch_elapsed_s(search->watch);
    if (ret_board->count) return WEIR_OK;
    weir_leaderboard_done(ret_board);
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "nothing could be fitted in %.1f s%s%.300s", search->settings->budget_s,
                     *search->last.message ? "; the last one: " : "", search->last.message);
}

weir_status weir_automl_run(const weir_automl_settings *settings, weir_leaderboard *ret_board, weir_err *err) {
    weir_search search;
    weir_err ending;
    const char *why = "budget";
    int count = 0;
    weir_status status = search_init(&search, settings, NULL, err);
    if (status == WEIR_OK && settings->pg_url && settings->opened) settings->opened(settings->opened_context);
    if (status == WEIR_OK) status = run_trials(&search, true, &count, &why, err);
    /* Workers stop before the ensembles are made; a study whose leader failed ends with its lease. */
    if (status == WEIR_OK) status = weir_trial_source_end(search.source, why, weir_watch_elapsed_s(search.watch), err);
    if (status == WEIR_ECONFLICT) status = WEIR_FAIL(err, WEIR_ECONFLICT, "another process leads study '%s' now", settings->study);
    if (status == WEIR_OK) status = finish(&search, why, ret_board, err);
    if (status != WEIR_OK && search.source && search.watch) (void)!weir_trial_source_end(search.source, "failed", weir_watch_elapsed_s(search.watch), &ending);
    search_done(&search);
    return status;
}

weir_status weir_automl_help(const weir_automl_settings *settings, int *ret_trials, weir_err *err) {
    weir_search search = {0};
    weir_automl_settings joined = *settings;
    weir_automl_kept kept;
    cJSON *definition = NULL;
    const char *why;
    int count = 0;
    if (!settings->set || !settings->pg_url || !settings->pipeline || !settings->study || !settings->worker || settings->threads < 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "to help with a search needs its training set, a database, a pipeline, a study, a worker and a thread");
    if (!(joined.budget_s > 0)) joined.budget_s = HELP_MAX_S;
    weir_status status = weir_trial_source_join(&joined, &kept, &definition, err);
    if (status == WEIR_OK) status = search_init(&search, &joined, definition, err);
    if (status == WEIR_OK) status = run_trials(&search, false, &count, &why, err);
    search_done(&search);
    cJSON_Delete(definition);
    if (status == WEIR_OK) *ret_trials = count;
    return status;
}
