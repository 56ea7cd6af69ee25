/* Reads and validates the `training` section of a pipeline file. */
#include "models/recipe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "models/automl.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/prepared.h"
#include "models/spec.h"
#include "models/use_cases.h"

enum { THREADS_MAX = 256, CARD_K_MAX = 1000000, MINUTES_MAX = 7 * 24 * 60 };

const char *const weir_environments[WEIR_ENVIRONMENTS] = {"dev", "aut", "prod"};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the training section");
}

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
    if (r->exclude_known && r->task != WEIR_TASK_BINARY)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.split.exclude_known: a %s task has no positive rows to be known", weir_task_name(r->task));
    return WEIR_OK;
}

/* A column of the events, or a feature of a view. */
static bool has_column(const weir_pipeline *pipeline, const char *name) {
    for (int v = 0; v < pipeline->view_count; v++)
        for (int f = 0; f < pipeline->views[v].feature_count; f++)
            if (!strcmp(pipeline->views[v].features[f].name, name)) return true;
    return weir_schema_find(pipeline->events.schema, name) >= 0;
}

/* What is learnt is what the labels say happened: what is served and measured is their column of the pipeline, other use cases have others. */
static weir_status check_target(const weir_pipeline *pipeline, weir_recipe *r, weir_err *err) {
    if (!pipeline->labels.topic) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: found '%s', but the pipeline has no labels to learn from", r->target);
    const weir_schema *schema = pipeline->labels.schema;
    const char *label = weir_schema_field_at(schema, pipeline->label_column)->name;
    if (r->is_default && strcmp(r->target, label) != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: found '%s', expected '%s', the column of the labels", r->target, label);
    int index = weir_schema_find(schema, r->target);
    if (index < 0) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: '%s' is no column of the labels", r->target);
    const weir_schema_field *field = weir_schema_field_at(schema, index);
    r->label_is_text = field->type == WEIR_T_STR;
    if (r->label_is_text && r->task != WEIR_TASK_MULTICLASS)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: '%s' is a text, which a %s task cannot learn; a multiclass task with classes can", r->target,
                         weir_task_name(r->task));
    bool number = (field->type == WEIR_T_BOOL || field->type == WEIR_T_I64 || field->type == WEIR_T_F64) && !field->is_timestamp;
    if (!r->label_is_text && !number) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.target: '%s' is neither a number, a boolean nor a text", r->target);
    return WEIR_OK;
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

/* ---- candidates ---- */

static weir_status give_preprocessing(const weir_recipe *r, cJSON *spec, weir_err *err) {
    if (!r->preprocessing || !cJSON_IsObject(spec) || cJSON_GetObjectItemCaseSensitive(spec, "preprocessing")) return WEIR_OK;
    cJSON *copy = cJSON_Duplicate(r->preprocessing, true);
    if (copy && cJSON_AddItemToObject(spec, "preprocessing", copy)) return WEIR_OK;
    cJSON_Delete(copy);
    return no_memory(err);
}

/* Names of candidates among the members become their specs, and members are prepared as candidates are. */
static weir_status complete_members(const weir_recipe *r, cJSON *members, const char *path, weir_err *err) {
    for (int i = 0; i < cJSON_GetArraySize(members); i++) {
        cJSON *member = cJSON_GetArrayItem(members, i), *copy = NULL;
        const char *name = cJSON_GetStringValue(member), *names[WEIR_CANDIDATES_MAX + 1] = {NULL};
        if (!name) {
            weir_status status = give_preprocessing(r, member, err);
            if (status != WEIR_OK) return status;
            continue;
        }
        for (int c = 0; c < r->candidate_count; c++) {
            names[c] = r->candidates[c].name;
            if (!strcmp(name, names[c]) && !(copy = cJSON_Duplicate(r->candidates[c].spec, true))) return no_memory(err);
        }
        if (!copy) {
            const char *near = weir_conf_nearest(name, names);
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.members[%d]: '%s' is not the name of a candidate before this one%s%s%s", path, i, name,
                             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
        cJSON_ReplaceItemInArray(members, i, copy);
    }
    return WEIR_OK;
}

/* What is fitted: the candidate without its name. */
static weir_status make_spec(const weir_recipe *r, const cJSON *item, const char *path, cJSON **ret_spec, weir_err *err) {
    cJSON *spec = cJSON_Duplicate(item, true);
    if (!spec) return no_memory(err);
    *ret_spec = spec;
    cJSON_DeleteItemFromObjectCaseSensitive(spec, "name");
    if (!cJSON_GetObjectItemCaseSensitive(spec, "ensemble")) return give_preprocessing(r, spec, err);
    return complete_members(r, cJSON_GetObjectItemCaseSensitive(spec, "members"), path, err);
}

static weir_status check_spec(const weir_recipe *r, const cJSON *spec, const char *path, weir_err *err) {
    weir_prep_column *columns = weir_models_calloc((size_t)r->column_count, sizeof *columns);
    if (!columns) return no_memory(err);
    for (int i = 0; i < r->column_count; i++) columns[i] = (weir_prep_column){.name = r->columns[i], .kind = WEIR_PREP_NUMBER};
    weir_status status = weir_spec_check(spec, path, r->task, columns, r->column_count, err);
    weir_models_free(columns);
    return status;
}

static weir_status read_candidate(const cJSON *item, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"name", "algorithm", "params", "preprocessing", "class_weight", "workers", "ensemble", "members", "meta", "folds", NULL};
    weir_candidate *c = &r->candidates[r->candidate_count];
    char path[64];
    snprintf(path, sizeof path, "$.training.candidates[%d]", r->candidate_count);
    weir_status status = weir_json_check_keys(item, path, keys, err);
    if (status == WEIR_OK) status = read_text(item, path, "name", true, &c->name, err);
    if (status != WEIR_OK) return status;
    for (int other = 0; other < r->candidate_count; other++)
        if (!strcmp(c->name, r->candidates[other].name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.name: '%s' is there twice", path, c->name);
    bool ensemble = cJSON_GetObjectItemCaseSensitive(item, "ensemble") != NULL;
    status = read_text(item, path, ensemble ? "ensemble" : "algorithm", true, &c->algorithm, err);
    if (status == WEIR_OK) status = make_spec(r, item, path, &c->spec, err);
    if (status == WEIR_OK) status = check_spec(r, c->spec, path, err);
    if (status == WEIR_OK)
        r->candidate_count++;
    else
        cJSON_Delete(c->spec);
    return status;
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

/* ---- task, and how models are judged ---- */

static weir_status unknown(const char *path, const char *found, const char *kind, const char *const *names, weir_err *err) {
    const char *near = weir_conf_nearest(found, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no %s '%s'%s%s%s", path, kind, found, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* An array of 1 to `most` different texts. */
static weir_status read_texts(const cJSON *training, const char *key, int most, const char ***ret_texts, int *ret_count, weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(training, key), *item;
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    if (!array) return WEIR_OK;
    if (count < 1 || count > most)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s: found %s of %d, expected an array of 1 to %d texts", key, weir_json_kind(array), count, most);
    const char **texts = *ret_texts = weir_models_calloc((size_t)count + 1, sizeof *texts);
    if (!texts) return no_memory(err);
    cJSON_ArrayForEach(item, array) {
        const char *text = cJSON_GetStringValue(item);
        int i = *ret_count;
        if (!text || !*text)
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s[%d]: found %s, expected a text that is not empty", key, i,
                             text ? "an empty one" : weir_json_kind(item));
        for (int other = 0; other < i; other++)
            if (!strcmp(text, texts[other])) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.%s[%d]: '%s' is there twice", key, i, text);
        texts[(*ret_count)++] = text;
    }
    return WEIR_OK;
}

static weir_status read_task(const cJSON *training, weir_recipe *r, weir_err *err) {
    const char *task = weir_task_name(r->task), *names[WEIR_TASK_COUNT + 1] = {NULL};
    for (int t = 0; t < WEIR_TASK_COUNT; t++) names[t] = weir_task_name((weir_task)t);
    weir_status status = read_text(training, "$.training", "task", false, &task, err);
    if (status == WEIR_OK && !weir_task_find(task, &r->task)) status = unknown("$.training.task", task, "task", names, err);
    if (status == WEIR_OK) status = read_texts(training, "classes", WEIR_METRIC_CLASSES_MAX, &r->classes, &r->class_count, err);
    if (status != WEIR_OK) return status;
    if (r->task == WEIR_TASK_MULTICLASS && r->class_count < 2)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.classes: found %d, expected the names of 2 classes or more, that of label 0 first", r->class_count);
    if (r->task != WEIR_TASK_MULTICLASS && r->classes)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.classes: found %d names, but the task is %s", r->class_count, weir_task_name(r->task));
    return WEIR_OK;
}

static weir_status read_metric(const cJSON *training, weir_recipe *r, weir_err *err) {
    static const char *const defaults[WEIR_TASK_COUNT] = {"roc_auc", "f1_macro", "rmse"};
    const char *name = defaults[r->task], *names[64] = {NULL};
    int count = 0;
    weir_status status = read_text(training, "$.training", "metric", false, &name, err);
    if (status != WEIR_OK) return status;
    if (r->task == WEIR_TASK_BINARY && !strcmp(name, "auc_roc")) name = "roc_auc"; /* as the metrics of versions call it */
    if ((r->metric = weir_model_metric_find(r->task, name))) return WEIR_OK;
    for (const weir_model_metric *m = weir_model_metrics(); m->name && count < 63; m++)
        if (m->task == r->task) names[count++] = m->name;
    return unknown("$.training.metric", name,
                   r->task == WEIR_TASK_BINARY       ? "binary metric"
                   : r->task == WEIR_TASK_MULTICLASS ? "multiclass metric"
                                                     : "regression metric",
                   names, err);
}

/* {"dev": 0.8, "aut": 0.82, "prod": 0.85} */
static weir_status read_baseline(const cJSON *training, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"dev", "aut", "prod", NULL};
    const cJSON *baseline = cJSON_GetObjectItemCaseSensitive(training, "baseline");
    weir_status status = baseline ? weir_json_check_keys(baseline, "$.training.baseline", keys, err) : WEIR_OK;
    for (int e = 0; status == WEIR_OK && e < WEIR_ENVIRONMENTS; e++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(baseline, weir_environments[e]);
        if (item && !cJSON_IsNumber(item))
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.baseline.%s: found %s, expected the least value of %s", weir_environments[e], weir_json_kind(item),
                             r->metric->name);
        if (item) r->baseline[e] = item->valuedouble;
    }
    return status;
}

static weir_status bad_threshold(const cJSON *found, weir_err *err) {
    const char *text = cJSON_GetStringValue(found);
    char number[32];
    if (cJSON_IsNumber(found)) snprintf(number, sizeof number, "%g", found->valuedouble);
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "$.training.threshold: found %s, expected a number from 0 to 1, \"best_f1\", or {\"cost\": [of a false positive, of a false negative]}, "
                     "neither below 0 and not both 0",
                     text                    ? text
                     : cJSON_IsNumber(found) ? number
                                             : weir_json_kind(found));
}

/* What stands here goes before serving.threshold, which stays what versions without one of their own are served with. */
static weir_status read_threshold(const weir_pipeline *pipeline, const cJSON *training, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"cost", NULL};
    const cJSON *of_serving = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(pipeline->json, "serving"), "threshold");
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(training, "threshold");
    r->threshold.value = cJSON_IsNumber(of_serving) ? of_serving->valuedouble : 0.5;
    if (!item) return WEIR_OK;
    if (r->task != WEIR_TASK_BINARY) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.threshold: a %s task has none", weir_task_name(r->task));
    if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= 1) {
        r->threshold.rule = WEIR_THRESHOLD_FIXED;
        r->threshold.value = item->valuedouble;
    } else if (cJSON_IsString(item) && !strcmp(item->valuestring, "best_f1")) {
        r->threshold.rule = WEIR_THRESHOLD_BEST_F1;
    } else if (cJSON_IsObject(item)) {
        weir_status status = weir_json_check_keys(item, "$.training.threshold", keys, err);
        if (status != WEIR_OK) return status;
        const cJSON *cost = cJSON_GetObjectItemCaseSensitive(item, "cost");
        const cJSON *fp = cJSON_GetArrayItem(cost, 0), *fn = cJSON_GetArrayItem(cost, 1);
        if (cJSON_GetArraySize(cost) != 2 || !cJSON_IsNumber(fp) || !cJSON_IsNumber(fn) || fp->valuedouble < 0 || fn->valuedouble < 0 ||
            fp->valuedouble + fn->valuedouble <= 0)
            return bad_threshold(item, err);
        r->threshold.rule = WEIR_THRESHOLD_COST;
        r->threshold.cost_false_positive = fp->valuedouble;
        r->threshold.cost_false_negative = fn->valuedouble;
    } else {
        return bad_threshold(item, err);
    }
    return WEIR_OK;
}

static weir_status read_slices(const weir_pipeline *pipeline, const cJSON *training, weir_recipe *r, weir_err *err) {
    int count = 0;
    weir_status status = read_texts(training, "slices", WEIR_SLICES_MAX, &r->slices, &count, err);
    for (int i = 0; status == WEIR_OK && i < count; i++)
        if (!has_column(pipeline, r->slices[i]))
            status = WEIR_FAIL(err, WEIR_EINVAL, "$.training.slices[%d]: '%s' is neither a feature nor a column of the events", i, r->slices[i]);
    return status;
}

static weir_status read_limit(const cJSON *training, weir_recipe *r, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(training, "max_training_time_minutes");
    if (!item) return WEIR_OK;
    if (!cJSON_IsNumber(item) || !(item->valuedouble > 0 && item->valuedouble <= MINUTES_MAX))
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.max_training_time_minutes: found %s, expected a number above 0 and at most %d",
                         cJSON_IsNumber(item) ? "one out of range" : weir_json_kind(item), MINUTES_MAX);
    r->max_training_s = item->valuedouble * 60;
    return WEIR_OK;
}

/* What a search would be told by the section: read here so that the file's mistakes are found when it is read. */
static weir_status check_tuning(const weir_recipe *r, weir_err *err) {
    weir_automl_settings settings = {.metric = r->metric};
    weir_automl_kept kept;
    return weir_automl_settings_from_json(r->tuning, "$.training.tuning", r->metric, &kept, &settings, err);
}

static weir_status read_judgement(const weir_pipeline *pipeline, const cJSON *training, weir_recipe *r, weir_err *err) {
    const cJSON *validation = cJSON_GetObjectItemCaseSensitive(training, "validation");
    r->tuning = cJSON_GetObjectItemCaseSensitive(training, "tuning");
    r->has_validation = validation != NULL;
    weir_status status = read_metric(training, r, err);
    if (status == WEIR_OK && validation) status = weir_split_from_json(validation, "$.training.validation", &r->validation, err);
    if (status == WEIR_OK && r->tuning) status = check_tuning(r, err);
    if (status == WEIR_OK) status = read_baseline(training, r, err);
    if (status == WEIR_OK) status = read_threshold(pipeline, training, r, err);
    if (status == WEIR_OK) status = read_slices(pipeline, training, r, err);
    return status == WEIR_OK ? read_limit(training, r, err) : status;
}

static weir_status read_recipe(const weir_pipeline *pipeline, const cJSON *training, weir_recipe *r, weir_err *err) {
    static const char *const keys[] = {"task",       "classes",  "target",     "columns",  "preprocessing", "split",      "card_k", "seed",
                                       "threads",    "metric",   "validation", "tuning",   "baseline",      "threshold",  "slices", "max_training_time_minutes",
                                       "candidates", "champion", "challenger", "use_case", "use_cases",     "experiment", NULL};
    double card_k = r->card_k, seed = (double)r->seed, threads = r->threads;
    weir_status status = weir_json_check_keys(training, "$.training", keys, err);
    if (status == WEIR_OK) status = read_task(training, r, err);
    r->exclude_known = r->task == WEIR_TASK_BINARY;
    if (status == WEIR_OK) status = read_text(training, "$.training", "target", true, &r->target, err);
    if (status == WEIR_OK) status = check_target(pipeline, r, err);
    if (status == WEIR_OK) status = read_columns(pipeline, training, r, err);
    if (status == WEIR_OK) status = read_preprocessing(training, r, err);
    if (status == WEIR_OK) status = read_split(training, r, err);
    if (status == WEIR_OK) status = read_judgement(pipeline, training, r, err);
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

/* A use case's section stands in two places of the file. */
static weir_status name_use_case(weir_status status, const weir_recipe *recipe, weir_err *err) {
    return status && !recipe->is_default ? weir_err_prefix(err, "use case %s, with $.training.use_cases.%s for $.training", recipe->use_case, recipe->use_case)
                                         : status;
}

weir_status weir_recipe_load_use_case(const weir_pipeline *pipeline, const char *use_case, weir_recipe *ret_recipe, weir_err *err) {
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(pipeline->json, "training");
    weir_recipe recipe = {.train_us = 7 * WEIR_DAY_US,
                          .delay_us = 7 * WEIR_DAY_US,
                          .test_us = 7 * WEIR_DAY_US,
                          .card_k = 100,
                          .seed = 42,
                          .threads = 1,
                          .baseline = {NAN, NAN, NAN}};
    char experiment[WEIR_EXPERIMENT_MAX + 1];
    if (!training) return WEIR_FAIL(err, WEIR_EINVAL, "$.training: found nothing, expected an object: this pipeline trains no models");
    recipe.use_case = use_case ? use_case : weir_use_case_default(training);
    recipe.is_default = !strcmp(recipe.use_case, weir_use_case_default(training));
    weir_status status = weir_use_case_section(training, recipe.use_case, &recipe.section, err);
    if (status) return status;
    if (recipe.is_default) {
        cJSON_Delete(recipe.section);
        recipe.section = NULL;
        status = weir_use_case_experiment(training, "p", "t", recipe.use_case, experiment, err);
    } else {
        recipe.use_case = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(training, "use_cases"), use_case)->string;
    }
    if (!status) status = name_use_case(read_recipe(pipeline, recipe.section ? recipe.section : training, &recipe, err), &recipe, err);
    if (status == WEIR_OK)
        *ret_recipe = recipe;
    else
        weir_recipe_done(&recipe);
    return status;
}

weir_status weir_recipe_load(const weir_pipeline *pipeline, weir_recipe *ret_recipe, weir_err *err) {
    return weir_recipe_load_use_case(pipeline, NULL, ret_recipe, err);
}

cJSON *weir_recipe_signature(const weir_recipe *recipe, double threshold) {
    cJSON *signature = cJSON_CreateObject(), *inputs = cJSON_AddArrayToObject(signature, "inputs");
    for (int j = 0; j < recipe->column_count; j++) {
        cJSON *input = cJSON_CreateObject();
        cJSON_AddStringToObject(input, "name", recipe->columns[j]);
        cJSON_AddStringToObject(input, "type", "double");
        cJSON_AddItemToArray(inputs, input);
    }
    cJSON_AddStringToObject(signature, "task", weir_task_name(recipe->task));
    if (recipe->classes) cJSON_AddItemToObject(signature, "classes", cJSON_CreateStringArray(recipe->classes, recipe->class_count));
    if (recipe->threshold.rule != WEIR_THRESHOLD_SERVING) cJSON_AddNumberToObject(signature, "threshold", threshold);
    return signature;
}

void weir_recipe_done(weir_recipe *recipe) {
    cJSON_Delete(recipe->section);
    weir_models_free(recipe->columns);
    weir_models_free(recipe->classes);
    weir_models_free(recipe->slices);
    for (int i = 0; i < recipe->candidate_count; i++) cJSON_Delete(recipe->candidates[i].spec);
    *recipe = (weir_recipe){0};
}
