/* A search as a section of a file. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/automl.h"
#include "models/json.h"

enum { PATH_MAX_BYTES = 160, TRIALS_MAX = 1000000 };

static weir_status read_text(const cJSON *json, const char *path, const char *key, const char **ret_text, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!item) return WEIR_OK;
    if (!cJSON_IsString(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected a string", path, key, weir_json_kind(item));
    *ret_text = item->valuestring;
    return WEIR_OK;
}

static weir_status read_number(const cJSON *item, const char *at, bool whole, double max, double *ret_number, weir_err *err) {
    if (!cJSON_IsNumber(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected a number", at, weir_json_kind(item));
    double x = item->valuedouble;
    if (!(x >= 0 && x <= max) || (whole && x != floor(x)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %g, expected a %snumber from 0 to %g", at, x, whole ? "whole " : "", max);
    *ret_number = x;
    return WEIR_OK;
}

static weir_status read_number_at(const cJSON *json, const char *path, const char *key, bool whole, double max, double *ret_number, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    char at[PATH_MAX_BYTES];
    snprintf(at, sizeof at, "%s.%s", path, key);
    return item ? read_number(item, at, whole, max, ret_number, err) : WEIR_OK;
}

static weir_status read_duration(const cJSON *json, const char *path, const char *key, double *ret_s, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    int64_t us = 0;
    if (!item) return WEIR_OK;
    if (!cJSON_IsString(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected a duration, such as \"30m\"", path, key, weir_json_kind(item));
    if (weir_duration_parse(item->valuestring, &us, err) != WEIR_OK) return weir_err_prefix(err, "%s.%s", path, key);
    if (us <= 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found '%s', expected a duration of more than 0", path, key, item->valuestring);
    *ret_s = (double)us / 1e6;
    return WEIR_OK;
}

static weir_status read_bool(const cJSON *json, const char *path, const char *key, bool *ret_bool, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!item) return WEIR_OK;
    if (!cJSON_IsBool(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected true or false", path, key, weir_json_kind(item));
    *ret_bool = cJSON_IsTrue(item);
    return WEIR_OK;
}

/* An array of names into names [max + 1], NULL-terminated. */
static weir_status read_names(const cJSON *array, const char *at, int max, const char **names, weir_err *err) {
    const cJSON *item;
    int count = 0;
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) < 1 || cJSON_GetArraySize(array) > max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s of %d, expected an array of 1 to %d names", at, weir_json_kind(array), cJSON_GetArraySize(array), max);
    cJSON_ArrayForEach(item, array) {
        if (!cJSON_IsString(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s[%d]: found %s, expected a name", at, count, weir_json_kind(item));
        names[count++] = item->valuestring;
    }
    names[count] = NULL;
    return WEIR_OK;
}

static weir_status unknown_name(const char *at, const char *name, const char *const *known, weir_err *err) {
    const char *near = weir_conf_nearest(name, known);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no '%s'%s%s%s", at, name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static weir_status read_algorithms(const cJSON *tuning, const char *path, weir_automl_kept *kept, weir_automl_settings *s, weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(tuning, "algorithms");
    const char *known[64] = {NULL};
    char at[PATH_MAX_BYTES];
    if (!array) return WEIR_OK;
    snprintf(at, sizeof at, "%s.algorithms", path);
    weir_status status = read_names(array, at, WEIR_TUNING_ALGORITHMS_MAX, kept->algorithms, err);
    if (status != WEIR_OK) return status;
    for (int i = 0; weir_algorithms()[i] && i < 63; i++) known[i] = weir_algorithms()[i]->name;
    for (int i = 0; kept->algorithms[i]; i++) {
        snprintf(at, sizeof at, "%.120s.algorithms[%d]", path, i);
        if (!weir_algorithm_find(kept->algorithms[i])) return unknown_name(at, kept->algorithms[i], known, err);
    }
    s->algorithms = kept->algorithms;
    return WEIR_OK;
}

static weir_status read_objectives(const cJSON *tuning, const char *path, const weir_model_metric *metric, weir_automl_kept *kept, weir_automl_settings *s,
                                   weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(tuning, "objectives");
    char at[PATH_MAX_BYTES];
    if (!array) return WEIR_OK;
    snprintf(at, sizeof at, "%s.objectives", path);
    weir_status status = read_names(array, at, WEIR_OBJECTIVES_MAX - 1, kept->objectives, err);
    for (int i = 0; status == WEIR_OK && kept->objectives[i]; i++) {
        const char *name = kept->objectives[i];
        if (strcmp(name, "fit_seconds") != 0 && strcmp(name, "predict_seconds") != 0 && !weir_model_metric_find(metric->task, name))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.objectives[%d]: found '%s', expected 'fit_seconds', 'predict_seconds' or a metric of a %s task", path, i,
                             name, weir_task_name(metric->task));
    }
    if (status == WEIR_OK) s->objectives = kept->objectives;
    return status;
}

/* ---- selection ---- */

static weir_status read_numbers(const cJSON *json, const char *path, const char *key, int count, double *ret_numbers, weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, key);
    char at[PATH_MAX_BYTES + 32];
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != count)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s of %d, expected an array of %d numbers, one an objective, the metric first", path, key,
                         weir_json_kind(array), cJSON_GetArraySize(array), count);
    for (int i = 0; i < count; i++) {
        snprintf(at, sizeof at, "%.120s.%.20s[%d]", path, key, i);
        weir_status status = read_number(cJSON_GetArrayItem(array, i), at, false, 1e300, &ret_numbers[i], err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status read_order(const cJSON *selection, const char *path, const char *const *names, int count, int *ret_order, weir_err *err) {
    const char *order[WEIR_OBJECTIVES_MAX + 1];
    char at[PATH_MAX_BYTES + 32];
    snprintf(at, sizeof at, "%.150s.order", path);
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(selection, "order");
    weir_status status = read_names(array, at, WEIR_OBJECTIVES_MAX, order, err);
    if (status != WEIR_OK) return status;
    if (cJSON_GetArraySize(array) != count)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %d names, expected each of %d objectives once", at, cJSON_GetArraySize(array), count);
    for (int i = 0; i < count; i++) {
        int place = 0;
        while (place < count && strcmp(names[place], order[i]) != 0) place++;
        for (int k = 0; k < i; k++)
            if (ret_order[k] == place) place = count;
        snprintf(at, sizeof at, "%.150s.order[%d]", path, i);
        if (place == count)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: found '%s', expected each objective once: the metric '%s' and those of \"objectives\"", at, order[i],
                             names[0]);
        ret_order[i] = place;
    }
    return WEIR_OK;
}

static weir_status read_selection(const cJSON *tuning, const char *path, const weir_model_metric *metric, weir_automl_settings *s, weir_err *err) {
    static const char *const keys[] = {"rule", "weights", "order", "tolerance", NULL}, *const rules[] = {"weights", "lexicographic", "knee", NULL};
    const cJSON *selection = cJSON_GetObjectItemCaseSensitive(tuning, "selection");
    const char *names[WEIR_OBJECTIVES_MAX] = {metric->name}, *rule = NULL;
    char at[PATH_MAX_BYTES];
    int count = 1;
    s->selection = (weir_selection){.rule = WEIR_SELECT_KNEE};
    if (!selection) return WEIR_OK;
    snprintf(at, sizeof at, "%s.selection", path);
    if (!s->objectives) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found one without \"objectives\", expected several to select by", at);
    for (; s->objectives[count - 1]; count++) names[count] = s->objectives[count - 1];
    weir_status status = weir_json_check_keys(selection, at, keys, err);
    if (status == WEIR_OK) status = read_text(selection, at, "rule", &rule, err);
    if (status != WEIR_OK) return status;
    if (rule && !strcmp(rule, "weights")) {
        s->selection.rule = WEIR_SELECT_WEIGHTS;
        return read_numbers(selection, at, "weights", count, s->selection.weights, err);
    }
    if (rule && !strcmp(rule, "lexicographic")) {
        s->selection.rule = WEIR_SELECT_LEXICOGRAPHIC;
        status = read_order(selection, at, names, count, s->selection.order, err);
        if (status != WEIR_OK || !cJSON_HasObjectItem(selection, "tolerance")) return status;
        return read_numbers(selection, at, "tolerance", count, s->selection.tolerance, err);
    }
    if (rule && !strcmp(rule, "knee")) return WEIR_OK;
    snprintf(at, sizeof at, "%s.selection.rule", path);
    return rule ? unknown_name(at, rule, rules, err) : WEIR_FAIL(err, WEIR_EINVAL, "%s: found nothing, expected 'weights', 'lexicographic' or 'knee'", at);
}

/* ---- names of samplers and pruners, and what only a study can check ---- */

static weir_status check_study(const char *path, const weir_automl_settings *s, weir_err *err) {
    weir_study *study = NULL;
    cJSON *any = cJSON_Parse("{\"algorithm\": [1, 2]}");
    weir_study_settings settings = {.space = s->space ? s->space : any,
                                    .sampler = s->sampler,
                                    .sampler_settings = s->sampler_settings,
                                    .pruner = s->pruner ? s->pruner : "median",
                                    .pruner_settings = s->pruner_settings,
                                    .objective_count = 1};
    weir_status status = any ? weir_study_new(&settings, path, &study, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a study");
    weir_study_free(study);
    cJSON_Delete(any);
    return status;
}

static weir_status read_all(const cJSON *tuning, const char *path, const weir_model_metric *metric, weir_automl_kept *kept, weir_automl_settings *s,
                            weir_err *err) {
    const cJSON *validation = cJSON_GetObjectItemCaseSensitive(tuning, "validation");
    double trials = s->trial_max, seed = (double)s->seed;
    char at[PATH_MAX_BYTES];
    weir_status status = read_duration(tuning, path, "budget", &s->budget_s, err);
    if (status == WEIR_OK) status = read_number_at(tuning, path, "trials", true, TRIALS_MAX, &trials, err);
    if (status == WEIR_OK) status = read_duration(tuning, path, "trial_time", &s->trial_s, err);
    if (status == WEIR_OK) status = read_number_at(tuning, path, "cost_weight", false, 1e300, &s->cost_weight, err);
    if (status == WEIR_OK) status = read_number_at(tuning, path, "seed", true, 0x1p53, &seed, err);
    if (status == WEIR_OK) status = read_bool(tuning, path, "ensembles", &s->ensembles, err);
    if (status == WEIR_OK) status = read_text(tuning, path, "sampler", &s->sampler, err);
    if (status == WEIR_OK) status = read_text(tuning, path, "pruner", &s->pruner, err);
    if (status == WEIR_OK) status = read_algorithms(tuning, path, kept, s, err);
    if (status == WEIR_OK) status = read_objectives(tuning, path, metric, kept, s, err);
    if (status == WEIR_OK) status = read_selection(tuning, path, metric, s, err);
    snprintf(at, sizeof at, "%s.validation", path);
    if (status == WEIR_OK && validation && (status = weir_split_from_json(validation, at, &kept->split, err)) == WEIR_OK) s->split = &kept->split;
    if (status != WEIR_OK) return status;
    s->trial_max = (int)trials;
    if (cJSON_HasObjectItem(tuning, "seed")) s->seed = (uint64_t)seed;
    const cJSON *space = cJSON_GetObjectItemCaseSensitive(tuning, "space");
    if (space) s->space = space;
    if (space && s->algorithms && cJSON_HasObjectItem(tuning, "algorithms"))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.algorithms: found them with a \"space\", expected the space to say it: {\"algorithm\": […]}", path);
    s->sampler_settings = cJSON_GetObjectItemCaseSensitive(tuning, "sampler_settings");
    s->pruner_settings = cJSON_GetObjectItemCaseSensitive(tuning, "pruner_settings");
    if (s->objectives && s->cost_weight > 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.cost_weight: found %g with several objectives, expected 0: let \"fit_seconds\" be one of them", path,
                         s->cost_weight);
    return check_study(path, s, err);
}

weir_status weir_automl_settings_from_json(const cJSON *tuning, const char *path, const weir_model_metric *metric, weir_automl_kept *kept,
                                           weir_automl_settings *ret_settings, weir_err *err) {
    static const char *const keys[] = {"budget",  "trials",           "trial_time", "algorithms",      "space",      "ensembles",  "cost_weight", "seed",
                                       "sampler", "sampler_settings", "pruner",     "pruner_settings", "validation", "objectives", "selection",   NULL};
    weir_automl_settings s = *ret_settings;
    weir_status status = weir_json_check_keys(tuning, path, keys, err);
    if (status == WEIR_OK) status = read_all(tuning, path, metric, kept, &s, err);
    if (status == WEIR_OK) *ret_settings = s;
    return status;
}
