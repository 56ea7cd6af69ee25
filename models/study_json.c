/* Studies as a section of a file. */
#include <math.h>
#include <string.h>

#include "models/json.h"
#include "models/study.h"

enum { TRIALS_MAX = 1000000 };

static weir_status read_text(const cJSON *json, const char *path, const char *key, const char **ret_text, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!item) return WEIR_OK;
    *ret_text = cJSON_GetStringValue(item);
    return *ret_text ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected a string", path, key, weir_json_kind(item));
}

static weir_status read_number(const cJSON *json, const char *path, const char *key, bool whole, double max, double *ret_number, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    const char *expected = whole ? "a whole number" : "a number";
    if (!item) return WEIR_OK;
    if (!cJSON_IsNumber(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected %s", path, key, weir_json_kind(item), expected);
    double x = item->valuedouble;
    if (!(x >= 0 && x <= max) || (whole && x != floor(x)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %g, expected %s from 0 to %g", path, key, x, expected, max);
    *ret_number = x;
    return WEIR_OK;
}

static weir_status read_duration(const cJSON *json, const char *path, const char *key, int64_t *ret_us, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    const char *text = cJSON_GetStringValue(item);
    if (!item) return WEIR_OK;
    if (!text) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected a duration, such as \"30m\"", path, key, weir_json_kind(item));
    weir_status status = weir_duration_parse(text, ret_us, err);
    if (status != WEIR_OK && err) status = weir_err_prefix(err, "%s.%s", path, key);
    return status;
}

static weir_status read_directions(const cJSON *json, const char *path, weir_study_settings *s, weir_err *err) {
    const cJSON *directions = cJSON_GetObjectItemCaseSensitive(json, "directions"), *item;
    int count = cJSON_GetArraySize(directions), i = 0;
    if (!directions) return WEIR_OK;
    if (!cJSON_IsArray(directions) || count < 1 || count > WEIR_OBJECTIVES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.directions: found %s of %d, expected an array of 1 to %d", path, weir_json_kind(directions), count,
                         WEIR_OBJECTIVES_MAX);
    s->objective_count = count;
    cJSON_ArrayForEach(item, directions) {
        const char *text = cJSON_GetStringValue(item);
        if (!text || (strcmp(text, "minimise") != 0 && strcmp(text, "maximise") != 0))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.directions[%d]: found %s, expected 'minimise' or 'maximise'", path, i, text ? text : weir_json_kind(item));
        s->maximise[i++] = !strcmp(text, "maximise");
    }
    return WEIR_OK;
}

weir_status weir_study_from_json(const cJSON *json, const char *path, weir_clock *clock, weir_study **ret_study, weir_err *err) {
    static const char *const known[] = {"space",  "sampler", "sampler_settings", "pruner", "pruner_settings", "directions", "cost_weight", "seed",
                                        "trials", "time",    "trial_time",       "first",  "about",           NULL};
    double seed = 0, trials = 0;
    weir_study_settings s = {.space = cJSON_GetObjectItemCaseSensitive(json, "space"),
                             .sampler_settings = cJSON_GetObjectItemCaseSensitive(json, "sampler_settings"),
                             .pruner_settings = cJSON_GetObjectItemCaseSensitive(json, "pruner_settings"),
                             .first = cJSON_GetObjectItemCaseSensitive(json, "first"),
                             .clock = clock};
    weir_status status = weir_json_check_keys(json, path, known, err);
    if (status == WEIR_OK) status = read_text(json, path, "sampler", &s.sampler, err);
    if (status == WEIR_OK) status = read_text(json, path, "pruner", &s.pruner, err);
    if (status == WEIR_OK) status = read_directions(json, path, &s, err);
    if (status == WEIR_OK) status = read_number(json, path, "cost_weight", false, 1e300, &s.cost_weight, err);
    if (status == WEIR_OK) status = read_number(json, path, "seed", true, 0x1p53, &seed, err);
    if (status == WEIR_OK) status = read_number(json, path, "trials", true, TRIALS_MAX, &trials, err);
    if (status == WEIR_OK) status = read_duration(json, path, "time", &s.time_max_us, err);
    if (status == WEIR_OK) status = read_duration(json, path, "trial_time", &s.trial_time_max_us, err);
    if (status != WEIR_OK) return status;
    s.seed = (uint64_t)seed;
    s.trial_max = (int)trials;
    return weir_study_new(&s, path, ret_study, err);
}
