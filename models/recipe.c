/* Reads and validates the `training` section of a pipeline file. */
#include "models/recipe.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/prepared.h"

enum { THREADS_MAX = 256, CARD_K_MAX = 1000000 };

static weir_status read_text(const cJSON *object, const char *path, const char *key, bool required, const char **ret_text, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item && !required) return WEIR_OK;
    const char *text = cJSON_GetStringValue(item);
    if (!text || !*text)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected a string that is not empty", path, key, text ? "an empty string" : weir_json_kind(item));
    *ret_text = text;
    return WEIR_OK;
}

static weir_status read_whole(const cJSON *object, const char *key, double min, double max, double *ret_number, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item) return WEIR_OK;
    if (!cJSON_IsNumber(item)) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s: found %s, expected a whole number", key, weir_json_kind(item));
    double n = item->valuedouble;
    if (!(n >= min && n <= max) || n != floor(n))
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s: found %g, expected a whole number from %g to %g", key, n, min, max);
    *ret_number = n;
    return WEIR_OK;
}

/* Whole days: the evaluation counts in days. */
static weir_status read_days(const cJSON *split, const char *key, bool may_be_zero, int64_t *ret_us, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(split, key);
    if (!item) return WEIR_OK;
    const char *text = cJSON_GetStringValue(item);
    int64_t us = 0;
    if (!text) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.split.%s: found %s, expected days, such as \"7d\"", key, weir_json_kind(item));
    weir_status status = weir_duration_parse(text, &us, err);
    if (status == WEIR_OK && (us % WEIR_DAY_US != 0 || (us == 0 && !may_be_zero)))
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.split.%s: found \"%s\", expected whole days, such as \"7d\"", key, text);
    if (status == WEIR_OK)
        *ret_us = us;
    else if (err)
        status = weir_err_prefix(err, "$.training.split.%s", key);
    return status;
}

static weir_status read_split(const cJSON *training, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"train", "delay", "test", "exclude_known", NULL};
    const cJSON *split = cJSON_GetObjectItemCaseSensitive(training, "split");
    if (!split) return WEIR_OK;
    weir_status status = weir_json_check_keys(split, "$.training.split", keys, err);
    if (status == WEIR_OK) status = read_days(split, "train", false, &r->train_us, err);
    if (status == WEIR_OK) status = read_days(split, "delay", true, &r->delay_us, err);
    if (status == WEIR_OK) status = read_days(split, "test", false, &r->test_us, err);
    const cJSON *exclude = cJSON_GetObjectItemCaseSensitive(split, "exclude_known");
    if (status != WEIR_OK || !exclude) return status;
    if (!cJSON_IsBool(exclude)) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.split.exclude_known: found %s, expected true or false", weir_json_kind(exclude));
    r->exclude_known = cJSON_IsTrue(exclude);
    return WEIR_OK;
}

/* A column of the events, or a feature of a view. */
static bool has_column(const weir_pipeline *pipeline, const char *name) {
    for (int v = 0; v < pipeline->view_count; v++)
        for (int f = 0; f < pipeline->views[v].feature_count; f++)
            if (!strcmp(pipeline->views[v].features[f].name, name)) return true;
    return weir_schema_find(pipeline->events.schema, name) >= 0;
}

/* What is learnt is what the labels say happened. */
static weir_status check_target(const weir_pipeline *pipeline, const char *target, weir_err *err) {
    if (!pipeline->labels.topic) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: found '%s', but the pipeline has no labels to learn from", target);
    const char *label = weir_schema_field_at(pipeline->labels.schema, pipeline->label_column)->name;
    if (!strcmp(target, label)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: found '%s', expected '%s', the column of the labels", target, label);
}

static weir_status read_columns(const weir_pipeline *pipeline, const cJSON *training, weir_recipe *r, weir_err *err) {
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(training, "columns"), *item;
    int count = cJSON_IsArray(columns) ? cJSON_GetArraySize(columns) : 0;
    if (count < 1 || count > WEIR_MODEL_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns: found %s of %d, expected an array of 1 to %d names", weir_json_kind(columns), count,
                         WEIR_MODEL_COLUMNS_MAX);
    r->columns = weir_models_calloc((size_t)count + 1, sizeof *r->columns);
    if (!r->columns) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", count);
    cJSON_ArrayForEach(item, columns) {
        const char *name = cJSON_GetStringValue(item);
        int i = r->column_count;
        if (!name) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns[%d]: found %s, expected a name", i, weir_json_kind(item));
        if (!strcmp(name, r->target)) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns[%d]: '%s' is the target", i, name);
        if (!has_column(pipeline, name))
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns[%d]: '%s' is neither a feature nor a column of the events", i, name);
        for (int other = 0; other < i; other++)
            if (!strcmp(name, r->columns[other])) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns[%d]: '%s' is there twice", i, name);
        r->columns[r->column_count++] = name;
    }
    return WEIR_OK;
}

static weir_status read_candidate(const cJSON *item, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"name", "algorithm", "params", NULL};
    weir_candidate *c = &r->candidates[r->candidate_count];
    char path[64], params_path[80];
    snprintf(path, sizeof path, "$.training.candidates[%d]", r->candidate_count);
    snprintf(params_path, sizeof params_path, "%s.params", path);
    weir_status status = weir_json_check_keys(item, path, keys, err);
    if (status == WEIR_OK) status = read_text(item, path, "name", true, &c->name, err);
    if (status == WEIR_OK) status = read_text(item, path, "algorithm", true, &c->algorithm, err);
    if (status != WEIR_OK) return status;
    for (int other = 0; other < r->candidate_count; other++)
        if (!strcmp(c->name, r->candidates[other].name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.name: '%s' is there twice", path, c->name);
    const weir_algorithm *algorithm = weir_algorithm_find(c->algorithm);
    if (!algorithm) {
        const char *names[16] = {NULL};
        for (int i = 0; weir_algorithms()[i] && i < 15; i++) names[i] = weir_algorithms()[i]->name;
        const char *near = weir_conf_nearest(c->algorithm, names);
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.algorithm: there is no '%s'%s%s%s", path, c->algorithm, near ? "; did you mean '" : "", near ? near : "",
                         near ? "'?" : "");
    }
    if (!weir_algorithm_can(algorithm, WEIR_TASK_BINARY)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.algorithm: '%s' cannot do a binary task", path, c->algorithm);
    c->params = cJSON_GetObjectItemCaseSensitive(item, "params");
    r->candidate_count++;
    /* unknown or bad hyperparameters should fail when the file is read, not in the middle of a run */
    return weir_algorithm_check_params(algorithm, c->params, params_path, err);
}

static weir_status read_candidates(const cJSON *training, weir_recipe *r, weir_err *err) {
    const cJSON *candidates = cJSON_GetObjectItemCaseSensitive(training, "candidates"), *item;
    int count = cJSON_IsArray(candidates) ? cJSON_GetArraySize(candidates) : 0;
    if (count < 1 || count > WEIR_CANDIDATES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.candidates: found %s of %d, expected an array of 1 to %d candidates", weir_json_kind(candidates), count,
                         WEIR_CANDIDATES_MAX);
    cJSON_ArrayForEach(item, candidates) {
        weir_status status = read_candidate(item, r, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* The candidate that first takes an alias: the one named, or the one at `fallback`. */
static weir_status read_alias(const cJSON *training, const weir_recipe *r, const char *alias, int fallback, const char **ret_name, weir_err *err) {
    if (fallback < r->candidate_count) *ret_name = r->candidates[fallback].name;
    weir_status status = read_text(training, "$.training", alias, false, ret_name, err);
    if (status != WEIR_OK || !*ret_name) return status;
    for (int i = 0; i < r->candidate_count; i++)
        if (!strcmp(*ret_name, r->candidates[i].name)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s: '%s' is not the name of a candidate", alias, *ret_name);
}

static weir_status read_preprocessing(const cJSON *training, weir_recipe *r, weir_err *err) {
    r->preprocessing = cJSON_GetObjectItemCaseSensitive(training, "preprocessing");
    return r->preprocessing ? weir_prepared_check(r->preprocessing, "$.training.preprocessing", r->columns, NULL, r->column_count, err) : WEIR_OK;
}

static weir_status read_recipe(const weir_pipeline *pipeline, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"task", "target",  "columns",    "preprocessing", "split",      "card_k",
                                       "seed", "threads", "candidates", "champion",      "challenger", NULL};
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(pipeline->json, "training");
    const char *task = "binary";
    double card_k = r->card_k, seed = (double)r->seed, threads = r->threads;
    if (!training) return WEIR_FAIL(err, WEIR_EINVAL, "$.training: found nothing, expected an object: this pipeline trains no models");
    weir_status status = weir_json_check_keys(training, "$.training", keys, err);
    if (status == WEIR_OK) status = read_text(training, "$.training", "task", false, &task, err);
    if (status == WEIR_OK && strcmp(task, "binary") != 0) status = WEIR_FAIL(err, WEIR_EINVAL, "$.training.task: found '%s', expected 'binary'", task);
    if (status == WEIR_OK) status = read_text(training, "$.training", "target", true, &r->target, err);
    if (status == WEIR_OK) status = check_target(pipeline, r->target, err);
    if (status == WEIR_OK) status = read_columns(pipeline, training, r, err);
    if (status == WEIR_OK) status = read_preprocessing(training, r, err);
    if (status == WEIR_OK) status = read_split(training, r, err);
    if (status == WEIR_OK) status = read_whole(training, "card_k", 0, CARD_K_MAX, &card_k, err);
    if (status == WEIR_OK) status = read_whole(training, "seed", 0, 0x1p53, &seed, err);
    if (status == WEIR_OK) status = read_whole(training, "threads", 1, THREADS_MAX, &threads, err);
    if (status == WEIR_OK) status = read_candidates(training, r, err);
    if (status == WEIR_OK) status = read_alias(training, r, "champion", 0, &r->champion, err);
    if (status == WEIR_OK) status = read_alias(training, r, "challenger", 1, &r->challenger, err);
    r->card_k = (int)card_k;
    r->seed = (uint64_t)seed;
    r->threads = (int)threads;
    return status;
}

weir_status weir_recipe_load(const weir_pipeline *pipeline, weir_recipe *ret_recipe, weir_err *err) {
    weir_recipe recipe = {
        .train_us = 7 * WEIR_DAY_US, .delay_us = 7 * WEIR_DAY_US, .test_us = 7 * WEIR_DAY_US, .card_k = 100, .exclude_known = true, .seed = 42, .threads = 1};
    weir_status status = read_recipe(pipeline, &recipe, err);
    if (status == WEIR_OK)
        *ret_recipe = recipe;
    else
        weir_recipe_done(&recipe);
    return status;
}

void weir_recipe_done(weir_recipe *recipe) {
    weir_models_free(recipe->columns);
    *recipe = (weir_recipe){0};
}
