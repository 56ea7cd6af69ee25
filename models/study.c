/* Studies: the trials, and what follows from them. */
#include "models/study.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/json.h"
#include "models/memory.h"
#include "models/pareto.h"

struct weir_study {
    weir_space *space;
    weir_trials history; /* of trials below */
    weir_trial *trials; /* [trial_room] */
    int trial_room;
    const weir_sampler *sampler;
    const weir_pruner *pruner;
    void *sampler_settings, *pruner_settings;
    weir_study_settings settings; /* without what is borrowed */
    double *first; /* [first_count][space size] */
    int first_count;
    int64_t size; /* points of the space when the sampler counts them, else 0 */
    int64_t began_us; /* of the clock; meaningful once has_begun */
    bool has_begun;
};

static weir_status read_settings(const weir_conf_item *table, size_t size, const cJSON *json, const char *path, void **ret_object, weir_err *err) {
    void *object = *ret_object = weir_models_calloc(1, size);
    if (!object) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for settings");
    weir_status status = weir_conf_defaults(table, object, err);
    return status == WEIR_OK && json ? weir_conf_from_json(table, object, json, path, err) : status;
}

static weir_status unknown_name(const char *path, const char *name, const char *const *names, weir_err *err) {
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no '%s'%s%s%s", path, name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static weir_status set_sampler(weir_study *study, const weir_study_settings *s, const char *path, weir_err *err) {
    const char *names[8] = {NULL};
    char at[96];
    const char *name = s->sampler ? s->sampler : "tpe";
    for (int i = 0; weir_samplers()[i] && i < 7; i++) names[i] = weir_samplers()[i]->name;
    snprintf(at, sizeof at, "%.64s.sampler", path);
    study->sampler = weir_sampler_find(name);
    if (!study->sampler) return unknown_name(at, name, names, err);
    snprintf(at, sizeof at, "%.64s.sampler_settings", path);
    weir_status status = read_settings(study->sampler->settings, study->sampler->settings_size, s->sampler_settings, at, &study->sampler_settings, err);
    if (status == WEIR_OK && study->sampler->check && (status = study->sampler->check(study->space, err)) != WEIR_OK && err)
        status = weir_err_prefix(err, "%s.space", path);
    if (status == WEIR_OK && study->sampler->size) study->size = study->sampler->size(study->space);
    return status;
}

static weir_status set_pruner(weir_study *study, const weir_study_settings *s, const char *path, weir_err *err) {
    const char *names[8] = {NULL};
    char at[96];
    const char *name = s->pruner ? s->pruner : "none";
    for (int i = 0; weir_pruners()[i] && i < 7; i++) names[i] = weir_pruners()[i]->name;
    snprintf(at, sizeof at, "%.64s.pruner", path);
    study->pruner = weir_pruner_find(name);
    if (!study->pruner) return unknown_name(at, name, names, err);
    if (study->settings.objective_count > 1 && strcmp(name, "none") != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found '%s' with %d objectives, expected 'none': trials are pruned by one objective", at, name,
                         study->settings.objective_count);
    snprintf(at, sizeof at, "%.64s.pruner_settings", path);
    return read_settings(study->pruner->settings, study->pruner->settings_size, s->pruner_settings, at, &study->pruner_settings, err);
}

static weir_status check_settings(const weir_study_settings *s, const char *path, weir_err *err) {
    if (s->objective_count < 1 || s->objective_count > WEIR_OBJECTIVES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %d objectives, expected 1 to %d", path, s->objective_count, WEIR_OBJECTIVES_MAX);
    if (!isfinite(s->cost_weight) || s->cost_weight < 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.cost_weight: found %g, expected a number from 0", path, s->cost_weight);
    if (s->cost_weight > 0 && s->objective_count > 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.cost_weight: found %g with %d objectives, expected 0: let the cost be one of them", path, s->cost_weight,
                         s->objective_count);
    if (s->trial_max < 0 || s->time_max_us < 0 || s->trial_time_max_us < 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found a budget below 0, expected 0 (none) or more", path);
    return WEIR_OK;
}

static weir_status set_first(weir_study *study, const cJSON *first, const char *path, weir_err *err) {
    const cJSON *params;
    size_t width = (size_t)weir_space_size(study->space);
    if (!first) return WEIR_OK;
    if (!cJSON_IsArray(first)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.first: found %s, expected an array of parameters", path, weir_json_kind(first));
    if (study->size && cJSON_GetArraySize(first))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.first: found %d, expected none: the sampler '%s' goes through every point", path, cJSON_GetArraySize(first),
                         study->sampler->name);
    study->first = weir_models_calloc((size_t)cJSON_GetArraySize(first) * width, sizeof *study->first);
    if (!study->first) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d first trials", cJSON_GetArraySize(first));
    cJSON_ArrayForEach(params, first) {
        weir_err why;
        weir_status status = weir_space_point(study->space, params, study->first + (size_t)study->first_count * width, &why);
        if (status != WEIR_OK)
            return WEIR_FAIL(err, status == WEIR_EDATA ? WEIR_EINVAL : status, "%s.first[%d]: %.400s", path, study->first_count, why.message);
        study->first_count++;
    }
    return WEIR_OK;
}

weir_status weir_study_new(const weir_study_settings *settings, const char *path, weir_study **ret_study, weir_err *err) {
    weir_study *study = weir_models_calloc(1, sizeof *study);
    if (!study) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a study");
    char space_path[96];
    snprintf(space_path, sizeof space_path, "%.64s.space", path);
    study->settings = *settings;
    if (!settings->objective_count) study->settings.objective_count = 1;
    if (!settings->clock) study->settings.clock = weir_clock_system();
    weir_status status = check_settings(&study->settings, path, err);
    if (status == WEIR_OK) status = weir_space_new(settings->space, space_path, &study->space, err);
    if (status == WEIR_OK) status = set_sampler(study, settings, path, err);
    if (status == WEIR_OK) status = set_pruner(study, settings, path, err);
    if (status == WEIR_OK) status = set_first(study, settings->first, path, err);
    if (status != WEIR_OK) {
        weir_study_free(study);
        return status;
    }
    study->settings.space = study->settings.sampler_settings = study->settings.pruner_settings = study->settings.first = NULL;
    study->settings.sampler = study->settings.pruner = NULL;
    study->history = (weir_trials){.space = study->space, .objective_count = study->settings.objective_count};
    *ret_study = study;
    return WEIR_OK;
}

static void free_trial(weir_trial *trial) {
    weir_models_free(trial->point);
    weir_models_free(trial->reports);
}

void weir_study_free(weir_study *study) {
    if (!study) return;
    for (int i = 0; i < study->history.trial_count; i++) free_trial(&study->trials[i]);
    weir_models_free(study->trials);
    weir_models_free(study->first);
    if (study->sampler_settings) weir_conf_done(study->sampler->settings, study->sampler_settings);
    if (study->pruner_settings) weir_conf_done(study->pruner->settings, study->pruner_settings);
    weir_models_free(study->sampler_settings);
    weir_models_free(study->pruner_settings);
    weir_space_free(study->space);
    weir_models_free(study);
}

const weir_space *weir_study_space(const weir_study *study) {
    return study->space;
}

const weir_trials *weir_study_history(const weir_study *study) {
    return &study->history;
}

static int64_t now_us(const weir_study *study) {
    return weir_clock_mono_us(study->settings.clock);
}

const char *weir_study_over(const weir_study *study) {
    const weir_study_settings *s = &study->settings;
    if (study->size && study->history.trial_count >= study->size) return "space";
    if (s->trial_max && study->history.trial_count >= s->trial_max) return "trials";
    if (s->time_max_us && study->has_begun && now_us(study) - study->began_us >= s->time_max_us) return "time";
    return NULL;
}

static weir_status choose_point(weir_study *study, int number, double *point, weir_err *err) {
    size_t width = (size_t)weir_space_size(study->space);
    if (number >= study->first_count) return study->sampler->suggest(study->sampler_settings, &study->history, number, study->settings.seed, point, err);
    memcpy(point, study->first + (size_t)number * width, width * sizeof *point);
    return WEIR_OK;
}

/* A trial of its own memory that is not among the others yet; room for it among them. */
static weir_status make_trial(weir_study *study, weir_trial *ret_trial, weir_err *err) {
    int count = study->history.trial_count;
    if (count == study->trial_room) {
        int room = count ? 2 * count : 64;
        weir_trial *grown = room > count ? weir_mem.realloc(study->trials, (size_t)room * sizeof *grown) : NULL;
        if (!grown) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d trials", room);
        study->history.trials = study->trials = grown;
        study->trial_room = room;
    }
    *ret_trial = (weir_trial){.number = count};
    ret_trial->point = weir_models_calloc((size_t)weir_space_size(study->space), sizeof *ret_trial->point);
    return ret_trial->point ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a trial");
}

static void add_trial(weir_study *study, const weir_trial *trial) {
    if (!study->has_begun) weir_study_began(study, 0);
    study->trials[study->history.trial_count++] = *trial;
}

void weir_study_began(weir_study *study, int64_t elapsed_us) {
    study->began_us = now_us(study) - elapsed_us;
    study->has_begun = true;
}

weir_status weir_study_ask(weir_study *study, int *ret_number, cJSON **ret_params, weir_err *err) {
    const char *over = weir_study_over(study);
    if (over) return WEIR_FAIL(err, WEIR_ELIMIT, "the study is over after %d trials: its budget of %s is spent", study->history.trial_count, over);
    weir_trial trial = {0};
    cJSON *params = NULL;
    weir_status status = make_trial(study, &trial, err);
    if (status == WEIR_OK) status = choose_point(study, trial.number, trial.point, err);
    if (status == WEIR_OK) {
        params = weir_space_params(study->space, trial.point);
        if (!params) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the parameters of trial %d", trial.number);
    }
    if (status != WEIR_OK) {
        free_trial(&trial);
        return status;
    }
    trial.started_us = now_us(study);
    add_trial(study, &trial);
    *ret_number = trial.number;
    *ret_params = params;
    return WEIR_OK;
}

static weir_status find_running(const weir_study *study, int number, weir_trial **ret_trial, weir_err *err) {
    static const char *const states[] = {"running", "complete", "pruned", "failed"};
    if (number < 0 || number >= study->history.trial_count)
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no trial %d among %d", number, study->history.trial_count);
    weir_trial *trial = &study->trials[number];
    if (trial->state != WEIR_TRIAL_RUNNING) return WEIR_FAIL(err, WEIR_ECONFLICT, "trial %d is %s, expected a running one", number, states[trial->state]);
    *ret_trial = trial;
    return WEIR_OK;
}

static weir_status add_report(const weir_study *study, weir_trial *trial, int64_t step, double value, weir_err *err) {
    int64_t least = trial->report_count ? trial->reports[trial->report_count - 1].step + 1 : 0;
    if (step < least)
        return WEIR_FAIL(err, WEIR_EINVAL, "trial %d reports step %lld, expected at least %lld", trial->number, (long long)step, (long long)least);
    if (trial->report_count == trial->report_room) {
        int room = trial->report_count ? 2 * trial->report_count : 16;
        weir_report *grown = room > trial->report_count ? weir_mem.realloc(trial->reports, (size_t)room * sizeof *grown) : NULL;
        if (!grown) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d reports of trial %d", room, trial->number);
        trial->reports = grown;
        trial->report_room = room;
    }
    trial->reports[trial->report_count++] = (weir_report){step, study->settings.maximise[0] ? -value : value};
    return WEIR_OK;
}

weir_status weir_study_report(weir_study *study, int number, int64_t step, double value, weir_err *err) {
    weir_trial *trial = NULL;
    weir_status status = find_running(study, number, &trial, err);
    return status == WEIR_OK ? add_report(study, trial, step, value, err) : status;
}

weir_status weir_study_judge(const weir_study *study, int number, bool *ret_prune, weir_err *err) {
    weir_trial *trial = NULL;
    weir_status status = find_running(study, number, &trial, err);
    if (status != WEIR_OK) return status;
    bool prune = false;
    if (trial->report_count) status = study->pruner->judge(study->pruner_settings, &study->history, trial, &prune, err);
    if (status == WEIR_OK) *ret_prune = prune;
    return status;
}

bool weir_study_overdue(const weir_study *study, int number) {
    if (!study->settings.trial_time_max_us || number < 0 || number >= study->history.trial_count) return false;
    const weir_trial *trial = &study->trials[number];
    return trial->state == WEIR_TRIAL_RUNNING && now_us(study) - trial->started_us > study->settings.trial_time_max_us;
}

/* Values and losses of a complete trial; false when one of them is not finite. */
static bool set_values(const weir_study *study, weir_trial *trial, const double *values) {
    bool finite = true;
    for (int i = 0; i < study->history.objective_count; i++) {
        trial->values[i] = values[i];
        trial->loss[i] = study->settings.maximise[i] ? -values[i] : values[i];
        if (i == 0 && study->settings.cost_weight > 0) trial->loss[i] += study->settings.cost_weight * trial->cost;
        finite = finite && isfinite(trial->loss[i]);
    }
    return finite;
}

static weir_status end_trial(const weir_study *study, weir_trial *trial, const weir_outcome *outcome, weir_err *err) {
    if (outcome->state == WEIR_TRIAL_RUNNING || (unsigned)outcome->state > WEIR_TRIAL_FAILED)
        return WEIR_FAIL(err, WEIR_EINVAL, "trial %d is told as state %d, expected complete, pruned or failed", trial->number, (int)outcome->state);
    const char *note = outcome->note ? outcome->note : "";
    trial->state = outcome->state;
    trial->cost = outcome->cost;
    if (outcome->state == WEIR_TRIAL_COMPLETE && (!isfinite(outcome->cost) || !set_values(study, trial, outcome->values))) {
        trial->state = WEIR_TRIAL_FAILED;
        note = "a value is not finite";
    }
    snprintf(trial->note, sizeof trial->note, "%s", note);
    trial->ended_us = now_us(study);
    return WEIR_OK;
}

weir_status weir_study_tell(weir_study *study, int number, const weir_outcome *outcome, weir_err *err) {
    weir_trial *trial = NULL;
    weir_status status = find_running(study, number, &trial, err);
    return status == WEIR_OK ? end_trial(study, trial, outcome, err) : status;
}

weir_status weir_study_restore(weir_study *study, int number, const cJSON *params, const weir_report *reports, int report_count, const weir_outcome *outcome,
                               weir_err *err) {
    if (number != study->history.trial_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "found trial %d, expected trial %d: trials are restored in their order", number, study->history.trial_count);
    weir_trial trial = {0};
    weir_status status = make_trial(study, &trial, err);
    if (status == WEIR_OK && (status = weir_space_point(study->space, params, trial.point, err)) != WEIR_OK && err)
        status = weir_err_prefix(err, "trial %d", number);
    trial.started_us = now_us(study);
    for (int i = 0; status == WEIR_OK && i < report_count; i++) status = add_report(study, &trial, reports[i].step, reports[i].loss, err);
    if (status == WEIR_OK && outcome) status = end_trial(study, &trial, outcome, err);
    if (status == WEIR_OK)
        add_trial(study, &trial);
    else
        free_trial(&trial);
    return status;
}

void weir_study_truncate(weir_study *study, int count) {
    while (study->history.trial_count > count) free_trial(&study->trials[--study->history.trial_count]);
}

weir_status weir_study_best(const weir_study *study, int *ret_number, weir_err *err) {
    int best = -1;
    for (int i = 0; i < study->history.trial_count; i++) {
        const weir_trial *t = &study->trials[i];
        if (t->state == WEIR_TRIAL_COMPLETE && (best < 0 || t->loss[0] < study->trials[best].loss[0])) best = i;
    }
    if (best < 0) return WEIR_FAIL(err, WEIR_ENOTFOUND, "none of %d trials is complete", study->history.trial_count);
    *ret_number = best;
    return WEIR_OK;
}

weir_status weir_study_front(const weir_study *study, int *ret_numbers, int *ret_count, weir_err *err) {
    int width = study->history.objective_count, complete = 0, front = 0, count = study->history.trial_count;
    double *loss = weir_models_calloc((size_t)count * (size_t)width, sizeof *loss);
    int *rank = weir_models_calloc((size_t)count, sizeof *rank), *numbers = weir_models_calloc((size_t)count, sizeof *numbers);
    weir_status status = loss && rank && numbers ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a front of %d trials", count);
    for (int i = 0; status == WEIR_OK && i < count; i++) {
        if (study->trials[i].state != WEIR_TRIAL_COMPLETE) continue;
        memcpy(&loss[complete * width], study->trials[i].loss, (size_t)width * sizeof *loss);
        numbers[complete++] = i;
    }
    if (status == WEIR_OK) status = weir_pareto_rank(loss, complete, width, rank, err);
    for (int i = 0; status == WEIR_OK && i < complete; i++)
        if (rank[i] == 0) ret_numbers[front++] = numbers[i];
    if (status == WEIR_OK) *ret_count = front;
    weir_models_free(numbers);
    weir_models_free(rank);
    weir_models_free(loss);
    return status;
}

static weir_status check_selection(const weir_selection *s, int objective_count, weir_err *err) {
    bool seen[WEIR_OBJECTIVES_MAX] = {false};
    double sum = 0;
    for (int i = 0; i < objective_count; i++) {
        int objective = s->order[i];
        if (s->rule == WEIR_SELECT_WEIGHTS && !(isfinite(s->weights[i]) && s->weights[i] >= 0))
            return WEIR_FAIL(err, WEIR_EINVAL, "weights[%d]: found %g, expected a number from 0", i, s->weights[i]);
        sum += s->weights[i];
        if (s->rule != WEIR_SELECT_LEXICOGRAPHIC) continue;
        if (objective < 0 || objective >= objective_count || seen[objective])
            return WEIR_FAIL(err, WEIR_EINVAL, "order[%d]: found %d, expected each of 0 to %d once", i, objective, objective_count - 1);
        seen[objective] = true;
        if (!(s->tolerance[objective] >= 0))
            return WEIR_FAIL(err, WEIR_EINVAL, "tolerance[%d]: found %g, expected a number from 0", objective, s->tolerance[objective]);
    }
    if (s->rule == WEIR_SELECT_WEIGHTS && !(sum > 0)) return WEIR_FAIL(err, WEIR_EINVAL, "weights: found only zeros, expected one that is more");
    return WEIR_OK;
}

/* The hyperplane through the ends (1, 0, …), (0, 1, …) is where the scaled losses add up to 1, so the knee is the smallest sum with equal weights. */
static int select_by_sum(const weir_study *study, const int *front, int count, const double *weights) {
    int width = study->history.objective_count, best = -1;
    double low[WEIR_OBJECTIVES_MAX], high[WEIR_OBJECTIVES_MAX], least = INFINITY;
    for (int m = 0; m < width; m++) {
        low[m] = high[m] = study->trials[front[0]].loss[m];
        for (int i = 1; i < count; i++) {
            low[m] = fmin(low[m], study->trials[front[i]].loss[m]);
            high[m] = fmax(high[m], study->trials[front[i]].loss[m]);
        }
    }
    for (int i = 0; i < count; i++) {
        double sum = 0;
        for (int m = 0; m < width; m++)
            if (high[m] > low[m])
                sum += weights[m] * (study->trials[front[i]].loss[m] / 2 - low[m] / 2) / (high[m] / 2 - low[m] / 2); /* halves do not overflow */
        if (best < 0 || sum < least) {
            best = front[i];
            least = sum;
        }
    }
    return best;
}

/* front [count] is thinned out objective by objective. */
static int select_in_order(const weir_study *study, int *front, int count, const weir_selection *s) {
    for (int m = 0; m < study->history.objective_count && count > 1; m++) {
        int objective = s->order[m], left = 0, best = 0;
        bool last = m + 1 == study->history.objective_count;
        for (int i = 1; i < count; i++)
            if (study->trials[front[i]].loss[objective] < study->trials[front[best]].loss[objective]) best = i;
        if (last) return front[best];
        double bound = study->trials[front[best]].loss[objective] + s->tolerance[objective];
        for (int i = 0; i < count; i++)
            if (study->trials[front[i]].loss[objective] <= bound) front[left++] = front[i];
        count = left;
    }
    return front[0];
}

weir_status weir_study_select(const weir_study *study, const weir_selection *selection, int *ret_number, weir_err *err) {
    static const double equal[WEIR_OBJECTIVES_MAX] = {1, 1, 1, 1};
    int count = 0;
    weir_status status = check_selection(selection, study->history.objective_count, err);
    if (status != WEIR_OK) return status;
    int *front = weir_models_calloc((size_t)study->history.trial_count, sizeof *front);
    if (!front) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a front of %d trials", study->history.trial_count);
    status = weir_study_front(study, front, &count, err);
    if (status == WEIR_OK && !count) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "none of %d trials is complete", study->history.trial_count);
    if (status == WEIR_OK && selection->rule == WEIR_SELECT_LEXICOGRAPHIC)
        *ret_number = select_in_order(study, front, count, selection);
    else if (status == WEIR_OK)
        *ret_number = select_by_sum(study, front, count, selection->rule == WEIR_SELECT_WEIGHTS ? selection->weights : equal);
    weir_models_free(front);
    return status;
}
