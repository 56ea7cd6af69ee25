/* Reads and validates a training file. Sections are configuration tables, so that unknown keys, types and ranges are found in one way. */
#include "models/training_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/training_metrics.h"

#define IN(type, field) .offset = offsetof(type, field)
static const weir_conf_item data_table[] = {
    {.name = "source", .type = WEIR_CONF_STRING, IN(weir_training_data, source), .flags = WEIR_CONF_REQUIRED, .doc = "a file, a folder of files or a pattern"},
    {.name = "format", .type = WEIR_CONF_STRING, IN(weir_training_data, format), .fallback = "auto", .doc = "parquet, csv, json, or auto: what the files are"},
    {.name = "train_ratio",
     .type = WEIR_CONF_NUMBER,
     IN(weir_training_data, train_ratio),
     .min = 0,
     .max = 1,
     .fallback = "0.7",
     .doc = "share of the rows that models are fitted on"},
    {.name = "val_ratio",
     .type = WEIR_CONF_NUMBER,
     IN(weir_training_data, val_ratio),
     .min = 0,
     .max = 1,
     .fallback = "0.2",
     .doc = "share that they are chosen by where there are no folds"},
    {.name = "test_ratio",
     .type = WEIR_CONF_NUMBER,
     IN(weir_training_data, test_ratio),
     .min = 0,
     .max = 1,
     .fallback = "0.1",
     .doc = "share that the chosen one is judged by: the last rows by time"},
    {.name = "feature_columns",
     .type = WEIR_CONF_LIST,
     IN(weir_training_data, feature_columns),
     .fallback = "auto_detect",
     .doc = "inputs; auto_detect: every column that can be one"},
    {.name = "target_columns",
     .type = WEIR_CONF_LIST,
     IN(weir_training_data, target_columns),
     .flags = WEIR_CONF_REQUIRED,
     .doc = "what is predicted; several of a regression"},
    {.name = "categorical_columns", .type = WEIR_CONF_LIST, IN(weir_training_data, categorical_columns), .doc = "inputs whose numbers are names"},
    {.name = "time_column", .type = WEIR_CONF_STRING, IN(weir_training_data, time_column), .doc = "time of a row; with it the split is by time"},
    {.name = "tenant_column", .type = WEIR_CONF_STRING, IN(weir_training_data, tenant_column), .doc = "whose the row is"},
    {.name = "entity_column", .type = WEIR_CONF_STRING, IN(weir_training_data, entity_column), .doc = "what the row is about, for grouped folds"},
    {.name = "task",
     .type = WEIR_CONF_STRING,
     IN(weir_training_data, task),
     .doc = "binary, multiclass or regression; without: that of the metric, else of the target"},
    {.name = NULL},
};

static const char *const searches[] = {"grid", "random", "tpe", NULL};
static const weir_conf_item training_table[] = {
    {.name = "primary_metric", .type = WEIR_CONF_STRING, IN(weir_training_settings, primary_metric), .fallback = "rmse", .doc = "what models are chosen by"},
    {.name = "parallel_training",
     .type = WEIR_CONF_BOOL,
     IN(weir_training_settings, parallel_training),
     .fallback = "false",
     .doc = "as many fits at once as there are processors"},
    {.name = "max_training_time_minutes",
     .type = WEIR_CONF_NUMBER,
     IN(weir_training_settings, max_training_time_minutes),
     .min = 0.001,
     .max = 1e6,
     .fallback = "120",
     .unit = "min",
     .doc = "after which the search ends with the best so far"},
    {.name = "search",
     .type = WEIR_CONF_ENUM,
     IN(weir_training_settings, search),
     .choices = searches,
     .fallback = "grid",
     .doc = "every point of a grid, points drawn from it, or chosen by those before"},
    {.name = "search_iterations",
     .type = WEIR_CONF_INT,
     IN(weir_training_settings, search_iterations),
     .min = 1,
     .max = 100000,
     .fallback = "20",
     .doc = "points a model of random and tpe"},
    {.name = "random_state",
     .type = WEIR_CONF_INT,
     IN(weir_training_settings, random_state),
     .min = 0,
     .max = 9e15,
     .fallback = "42",
     .doc = "seed of the split, the search and of models that name none"},
    {.name = NULL},
};

static const weir_conf_item validation_table[] = {
    {.name = "enabled",
     .type = WEIR_CONF_BOOL,
     IN(weir_training_validation, enabled),
     .fallback = "true",
     .doc = "folds of the training rows; else the validation rows"},
    {.name = "folds",
     .type = WEIR_CONF_INT,
     IN(weir_training_validation, folds),
     .min = 2,
     .max = 100,
     .fallback = "5",
     .doc = "parts that each are left out once"},
    {.name = "shuffle",
     .type = WEIR_CONF_BOOL,
     IN(weir_training_validation, shuffle),
     .fallback = "false",
     .doc = "rows are drawn; else blocks in their order"},
    {.name = "random_state",
     .type = WEIR_CONF_INT,
     IN(weir_training_validation, random_state),
     .min = 0,
     .max = 9e15,
     .fallback = "42",
     .doc = "seed of the shuffle"},
    {.name = NULL},
};

static const weir_conf_item evaluation_table[] = {
    {.name = "metrics", .type = WEIR_CONF_LIST, IN(weir_training_evaluation, metrics), .doc = "that are reported; without: all of the task"},
    {.name = "generate_plots", .type = WEIR_CONF_BOOL, IN(weir_training_evaluation, generate_plots), .fallback = "true", .doc = "the page with figures"},
    {.name = "prediction_intervals",
     .type = WEIR_CONF_BOOL,
     IN(weir_training_evaluation, prediction_intervals),
     .fallback = "true",
     .doc = "with their measured coverage"},
    {.name = "residual_analysis", .type = WEIR_CONF_BOOL, IN(weir_training_evaluation, residual_analysis), .fallback = "true", .doc = "what errors depend on"},
    {.name = "model_comparison",
     .type = WEIR_CONF_BOOL,
     IN(weir_training_evaluation, model_comparison),
     .fallback = "true",
     .doc = "tests of the models against each other"},
    {.name = NULL},
};

static const char *const strategies[] = {"semantic", "sequential", NULL};
static const weir_conf_item persistence_table[] = {
    {.name = "save_models", .type = WEIR_CONF_BOOL, IN(weir_training_persistence, save_models), .fallback = "true", .doc = "write versions"},
    {.name = "versioning_strategy",
     .type = WEIR_CONF_ENUM,
     IN(weir_training_persistence, versioning_strategy),
     .choices = strategies,
     .fallback = "semantic",
     .doc = "by what changed, or counted"},
    {.name = "model_registry_path",
     .type = WEIR_CONF_STRING,
     IN(weir_training_persistence, model_registry_path),
     .fallback = "model_registry",
     .doc = "folder of versions where hdfs_model_path names none"},
    {.name = "hdfs_model_path", .type = WEIR_CONF_STRING, IN(weir_training_persistence, hdfs_model_path), .doc = "folder of versions"},
    {.name = "export_formats",
     .type = WEIR_CONF_LIST,
     IN(weir_training_persistence, export_formats),
     .doc = "native (pickle is taken for it), json, onnx, pmml, score"},
    {.name = NULL},
};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a training file");
}

static weir_status add_note(weir_training_file *f, const char *text, weir_err *err) {
    return cJSON_AddItemToArray(f->notes, cJSON_CreateString(text)) ? WEIR_OK : no_memory(err);
}

/* ---- environment: overrides and values ---- */

/* Objects go into objects; anything else takes the place of what was there. */
static bool merge(cJSON *into, const cJSON *over) {
    const cJSON *item;
    cJSON_ArrayForEach(item, over) {
        cJSON *there = cJSON_GetObjectItemCaseSensitive(into, item->string);
        if (there && cJSON_IsObject(there) && cJSON_IsObject(item)) {
            if (!merge(there, item)) return false;
            continue;
        }
        cJSON *copy = cJSON_Duplicate(item, true);
        if (!copy) return false;
        if (there ? !cJSON_ReplaceItemInObjectCaseSensitive(into, item->string, copy) : !cJSON_AddItemToObject(into, item->string, copy)) return false;
    }
    return true;
}

static weir_status apply_environment(weir_training_file *f, const char *asked, weir_err *err) {
    cJSON *all = cJSON_DetachItemFromObjectCaseSensitive(f->json, "environments"), *own = cJSON_DetachItemFromObjectCaseSensitive(f->json, "environment"),
          *item;
    const char *name = asked ? asked : cJSON_GetStringValue(own), *names[64] = {NULL};
    weir_status status = WEIR_OK;
    int n = 0;
    if (own && !cJSON_IsString(own)) status = WEIR_FAIL(err, WEIR_EINVAL, "$.environment: found %s, expected the name of an environment", weir_json_kind(own));
    if (!status && all && !cJSON_IsObject(all)) status = WEIR_FAIL(err, WEIR_EINVAL, "$.environments: found %s, expected an object", weir_json_kind(all));
    cJSON_ArrayForEach(item, all) {
        if (n < 63) names[n++] = item->string;
        if (!status && !cJSON_IsObject(item))
            status = WEIR_FAIL(err, WEIR_EINVAL, "$.environments.%s: found %s, expected an object", item->string, weir_json_kind(item));
    }
    if (!status && name) {
        const cJSON *over = cJSON_GetObjectItemCaseSensitive(all, name);
        const char *near = over ? NULL : weir_conf_nearest(name, names);
        if (!over)
            status = WEIR_FAIL(err, WEIR_EINVAL, "$.environments: there is no environment '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
                               near ? "'?" : "");
        else if (!merge(f->json, over))
            status = no_memory(err);
    }
    cJSON_Delete(all);
    cJSON_Delete(own);
    return status;
}

/* The value of a text that is one "${NAME}" and nothing else may be meant as a number. */
static cJSON *plain_value(const char *given, const char *text) {
    size_t len = strlen(given);
    bool alone = len > 3 && !strncmp(given, "${", 2) && strchr(given, '}') == given + len - 1;
    cJSON *value = alone ? cJSON_Parse(text) : NULL;
    if (value && (cJSON_IsNumber(value) || cJSON_IsBool(value))) return value;
    cJSON_Delete(value);
    return cJSON_CreateString(text);
}

static weir_status expand(cJSON *node, const char *path, weir_err *err) {
    cJSON *item, *next;
    int i = 0;
    for (item = node->child; item; item = next, i++) {
        char at[256];
        next = item->next;
        if (item->string)
            snprintf(at, sizeof at, "%s.%s", path, item->string);
        else
            snprintf(at, sizeof at, "%s[%d]", path, i);
        weir_status status = expand(item, at, err);
        if (status) return status;
        if (!cJSON_IsString(item) || !strstr(item->valuestring, "${")) continue;
        char *text = NULL;
        if ((status = weir_conf_expand(item->valuestring, &text, err))) return weir_err_prefix(err, "%s", at);
        cJSON *value = plain_value(item->valuestring, text);
        free(text);
        if (!value) return no_memory(err);
        char *key = item->string; /* the replacement takes the name over */
        if (key && !(value->string = cJSON_malloc(strlen(key) + 1))) {
            cJSON_Delete(value);
            return no_memory(err);
        }
        if (key) strcpy(value->string, key);
        if (!cJSON_ReplaceItemViaPointer(node, item, value)) return no_memory(err);
    }
    return WEIR_OK;
}

/* ---- sections ---- */

/* A section without the keys that are null, which is as if they were not there, and without `apart`, which is read by itself. A text where a list is expected
 * is a list of it. */
static cJSON *plain_section(const cJSON *section, const char *apart) {
    static const char *const lists[] = {"feature_columns", "target_columns", "categorical_columns", "metrics", "export_formats", NULL};
    cJSON *copy = cJSON_Duplicate(section, true), *item, *next;
    for (item = copy ? copy->child : NULL; item; item = next) {
        next = item->next;
        if (cJSON_IsNull(item) || (apart && !strcmp(item->string, apart))) {
            cJSON_Delete(cJSON_DetachItemViaPointer(copy, item));
            continue;
        }
        for (int i = 0; cJSON_IsString(item) && lists[i]; i++) {
            if (strcmp(item->string, lists[i]) != 0) continue;
            cJSON *list = cJSON_CreateStringArray((const char *const *)&item->valuestring, 1);
            if (list && cJSON_ReplaceItemInObjectCaseSensitive(copy, item->string, list)) break;
            cJSON_Delete(copy);
            return NULL;
        }
    }
    return copy;
}

static weir_status read_section(const weir_training_file *f, const char *name, const char *apart, const weir_conf_item *table, void *object, weir_err *err) {
    const cJSON *section = cJSON_GetObjectItemCaseSensitive(f->json, name);
    char path[64];
    weir_status status = weir_conf_defaults(table, object, err);
    if (status || !section) return status;
    snprintf(path, sizeof path, "$.%s", name);
    if (!cJSON_IsObject(section)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object", path, weir_json_kind(section));
    cJSON *plain = plain_section(section, apart);
    if (!plain) return no_memory(err);
    status = weir_conf_from_json(table, object, plain, path, err);
    cJSON_Delete(plain);
    return status;
}

/* Files and folders only: another store's address can be neither read nor written here. */
static weir_status check_folder(const char *key, const char *path, weir_err *err) {
    const char *scheme = path ? strstr(path, "://") : NULL;
    if (!scheme || !strncmp(path, "file://", 7)) return WEIR_OK;
    const char *rest = strchr(scheme + 3, '/');
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "$.%s: found '%s', expected a path here: Weir reads and writes files and folders, mounted ones too, and has no client of %.*s. Give the "
                     "path where it lies, such as "
                     "\"/data%s\"; nothing else in the file has to change",
                     key, path, (int)(scheme - path), path, rest ? rest : "");
}

static weir_status check_once(const char *key, char *const *names, weir_err *err) {
    for (int i = 0; names && names[i]; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(names[k], names[i])) return WEIR_FAIL(err, WEIR_EINVAL, "$.data.%s[%d]: '%s' is there already", key, i, names[i]);
    return WEIR_OK;
}

static weir_status read_data(weir_training_file *f, weir_err *err) {
    weir_training_data *d = &f->data;
    weir_task task;
    weir_status status = read_section(f, "data", NULL, data_table, d, err);
    if (status) return status;
    if (!d->source || !*d->source) return WEIR_FAIL(err, WEIR_EINVAL, "$.data.source: found nothing, expected a file or folder");
    if ((status = check_folder("data.source", d->source, err))) return status;
    if (!d->target_columns || !d->target_columns[0]) return WEIR_FAIL(err, WEIR_EINVAL, "$.data.target_columns: found nothing, expected a column to predict");
    if ((status = check_once("target_columns", d->target_columns, err)) || (status = check_once("feature_columns", d->feature_columns, err)) ||
        (status = check_once("categorical_columns", d->categorical_columns, err)))
        return status;
    if (fabs(d->train_ratio + d->val_ratio + d->test_ratio - 1) > 1e-6)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.data: train_ratio, val_ratio and test_ratio add up to %g, expected 1",
                         d->train_ratio + d->val_ratio + d->test_ratio);
    if (d->train_ratio <= 0 || d->test_ratio <= 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.data: train_ratio is %g and test_ratio %g, expected both above 0", d->train_ratio, d->test_ratio);
    if (d->task && !weir_task_find(d->task, &task))
        return WEIR_FAIL(err, WEIR_EINVAL, "$.data.task: found '%s', expected binary, multiclass or regression", d->task);
    return WEIR_OK;
}

const char *weir_training_metric_name(const char *name) {
    static const char *const others[][2] = {{"root_mean_squared_error", "rmse"},
                                            {"neg_root_mean_squared_error", "rmse"},
                                            {"mean_absolute_error", "mae"},
                                            {"neg_mean_absolute_error", "mae"},
                                            {"mean_absolute_percentage_error", "mape"},
                                            {"r2_score", "r2"},
                                            {"auc", "roc_auc"},
                                            {"logloss", "log_loss"},
                                            {"roc_auc_ovr", "auc_ovr_macro"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(others[i][0], name)) return others[i][1];
    return name;
}

static unsigned tasks_of_metric(const char *name) {
    unsigned tasks = 0;
    for (int t = 0; t < WEIR_TASK_COUNT; t++)
        if (weir_model_metric_find((weir_task)t, weir_training_metric_name(name))) tasks |= WEIR_TASK_BIT(t);
    return tasks;
}

static weir_status unknown_metric(const char *path, const char *name, weir_err *err) {
    const char *names[128] = {NULL};
    int n = 0;
    for (const weir_model_metric *m = weir_model_metrics(); m->name && n < 127; m++) names[n++] = m->name;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no metric '%s'%s%s%s", path, name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static weir_status read_training(weir_training_file *f, weir_err *err) {
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(f->json, "training"), *folds = cJSON_GetObjectItemCaseSensitive(training, "cross_validation");
    weir_status status = read_section(f, "training", "cross_validation", training_table, &f->training, err);
    if (!status) status = weir_conf_defaults(validation_table, &f->validation, err);
    if (!status && folds && !cJSON_IsNull(folds)) status = weir_conf_from_json(validation_table, &f->validation, folds, "$.training.cross_validation", err);
    if (status) return status;
    if (!folds || cJSON_IsNull(folds)) f->validation.enabled = false;
    if (!(f->tasks = tasks_of_metric(f->training.primary_metric))) return unknown_metric("$.training.primary_metric", f->training.primary_metric, err);
    if (!f->validation.enabled && f->data.val_ratio <= 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.cross_validation: there are no folds, and data.val_ratio is 0: nothing is left to choose a model by");
    if (f->validation.enabled && f->validation.shuffle && f->data.time_column)
        return add_note(f,
                        "$.training.cross_validation: shuffled folds over rows with times let a model be judged on times between those it was fitted on; the "
                        "test rows are later ones all the same",
                        err);
    return WEIR_OK;
}

static weir_status read_evaluation(weir_training_file *f, weir_err *err) {
    weir_status status = read_section(f, "evaluation", NULL, evaluation_table, &f->evaluation, err);
    int i = 0;
    for (; !status && f->evaluation.metrics && f->evaluation.metrics[i]; i++) {
        char path[48];
        snprintf(path, sizeof path, "$.evaluation.metrics[%d]", i);
        if (i == WEIR_TRAINING_METRICS_MAX)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: more than %d metrics, expected at most that many", path, WEIR_TRAINING_METRICS_MAX);
        if (!tasks_of_metric(f->evaluation.metrics[i])) return unknown_metric(path, f->evaluation.metrics[i], err);
    }
    return status;
}

static weir_status read_persistence(weir_training_file *f, weir_err *err) {
    weir_status status = read_section(f, "persistence", NULL, persistence_table, &f->persistence, err);
    if (!status && f->persistence.save_models) status = check_folder("persistence.hdfs_model_path", f->persistence.hdfs_model_path, err);
    if (!status && f->persistence.save_models) status = check_folder("persistence.model_registry_path", f->persistence.model_registry_path, err);
    for (int i = 0; !status && f->persistence.export_formats && f->persistence.export_formats[i]; i++) {
        const char *name = f->persistence.export_formats[i], *near;
        static const char *const formats[] = {"native", "pickle", "json", "onnx", "pmml", "score", NULL};
        static const weir_export_format places[] = {WEIR_EXPORT_NATIVE, WEIR_EXPORT_NATIVE, WEIR_EXPORT_JSON,
                                                    WEIR_EXPORT_ONNX,   WEIR_EXPORT_PMML,   WEIR_EXPORT_SCORE};
        int k = 0;
        while (formats[k] && strcmp(formats[k], name) != 0) k++;
        near = formats[k] ? NULL : weir_conf_nearest(name, formats);
        if (!formats[k])
            return WEIR_FAIL(err, WEIR_EINVAL, "$.persistence.export_formats[%d]: found '%s', expected native, pickle, json, onnx, pmml or score%s%s%s", i,
                             name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        f->exports[places[k]] = true;
        if (!strcmp(name, "pickle"))
            status = add_note(f, "$.persistence.export_formats: pickle is Python's; the native format " WEIR_LAYOUT_MODEL_FILE " is written in its place", err);
    }
    f->exports[WEIR_EXPORT_NATIVE] = true;
    return status;
}

static weir_status read_ensembles(weir_training_file *f, weir_err *err) {
    static const char *const keys[] = {"ensemble_models", NULL}, *const kinds[] = {"average", "weighted", "stacking", NULL};
    const cJSON *section = cJSON_GetObjectItemCaseSensitive(f->json, "model_selection"), *wanted = cJSON_GetObjectItemCaseSensitive(section, "ensemble_models"),
                *item;
    if (!section) return WEIR_OK;
    weir_status status = weir_json_check_keys(section, "$.model_selection", keys, err);
    if (status) return status;
    if (cJSON_IsTrue(wanted)) {
        f->ensembles[f->ensemble_count++] = kinds[0];
        f->ensembles[f->ensemble_count++] = kinds[2];
    } else if (wanted && !cJSON_IsFalse(wanted) && !cJSON_IsNull(wanted) && !cJSON_IsArray(wanted)) {
        return WEIR_FAIL(err, WEIR_EINVAL, "$.model_selection.ensemble_models: found %s, expected true, false or a list of average, weighted, stacking",
                         weir_json_kind(wanted));
    }
    if (!cJSON_IsArray(wanted)) return WEIR_OK;
    cJSON_ArrayForEach(item, wanted) {
        const char *name = cJSON_GetStringValue(item);
        int k = 0;
        if (name && !strcmp(name, "voting")) name = "average";
        while (kinds[k] && (!name || strcmp(kinds[k], name) != 0)) k++;
        if (!kinds[k])
            return WEIR_FAIL(err, WEIR_EINVAL, "$.model_selection.ensemble_models: found %s, expected average, weighted or stacking",
                             name ? name : weir_json_kind(item));
        for (int i = 0; i < f->ensemble_count; i++)
            if (f->ensembles[i] == kinds[k]) return WEIR_FAIL(err, WEIR_EINVAL, "$.model_selection.ensemble_models: '%s' is there twice", name);
        f->ensembles[f->ensemble_count++] = kinds[k];
    }
    return WEIR_OK;
}

static weir_status read_file(weir_training_file *f, const char *environment, weir_err *err) {
    static const char *const keys[] = {"data",  "models", "training",    "evaluation", "persistence", "preprocessing", "model_selection",
                                       "spark", "name",   "description", NULL};
    weir_status status = cJSON_IsObject(f->json) ? apply_environment(f, environment, err)
                                                 : WEIR_FAIL(err, WEIR_EINVAL, "$: found %s, expected an object", weir_json_kind(f->json));
    if (!status) status = expand(f->json, "$", err);
    if (!status) status = weir_json_check_keys(f->json, "$", keys, err);
    if (!status && !cJSON_GetObjectItemCaseSensitive(f->json, "data")) status = WEIR_FAIL(err, WEIR_EINVAL, "$.data: found nothing, expected an object");
    if (!status) status = read_data(f, err);
    if (!status) status = weir_training_models_read(cJSON_GetObjectItemCaseSensitive(f->json, "models"), "$.models", f->notes, &f->models, err);
    if (!status) status = read_training(f, err);
    if (!status) status = read_evaluation(f, err);
    if (!status) status = read_persistence(f, err);
    if (!status) status = read_ensembles(f, err);
    f->preprocessing = cJSON_GetObjectItemCaseSensitive(f->json, "preprocessing");
    if (!status && f->preprocessing && !cJSON_IsArray(f->preprocessing))
        status = WEIR_FAIL(err, WEIR_EINVAL, "$.preprocessing: found %s, expected a list of steps", weir_json_kind(f->preprocessing));
    if (!status && cJSON_GetObjectItemCaseSensitive(f->json, "spark")) status = add_note(f, "$.spark has no effect: nothing here runs on Spark", err);
    return status;
}

weir_status weir_training_file_read(const cJSON *json, const char *environment, weir_training_file **ret_file, weir_err *err) {
    weir_training_file *f = weir_models_calloc(1, sizeof *f);
    if (!f) return no_memory(err);
    f->json = cJSON_Duplicate(json, true);
    f->notes = cJSON_CreateArray();
    weir_status status = f->json && f->notes ? read_file(f, environment, err) : no_memory(err);
    if (status)
        weir_training_file_free(f);
    else
        *ret_file = f;
    return status;
}

static weir_status read_text(const char *path, weir_buf *ret_text, weir_err *err) {
    char piece[4096];
    size_t n;
    FILE *file = fopen(path, "rb");
    if (!file) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    weir_status status = WEIR_OK;
    while (!status && (n = fread(piece, 1, sizeof piece, file)) > 0)
        if (!weir_buf_append(ret_text, piece, n)) status = no_memory(err);
    if (!status && ferror(file)) status = WEIR_FAIL(err, WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    fclose(file);
    return status;
}

weir_status weir_training_file_load(const char *path, const char *environment, weir_training_file **ret_file, weir_err *err) {
    weir_buf text = {0};
    const char *end = NULL;
    weir_status status = read_text(path, &text, err);
    cJSON *json = status || !text.len ? NULL : cJSON_ParseWithOpts(text.data, &end, true);
    if (!status && !json) {
        int line = 1;
        for (const char *c = text.data; c && end && c < end; c++) line += *c == '\n';
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s: it is no JSON, from line %d on", path, line);
    }
    if (!status && (status = weir_training_file_read(json, environment, ret_file, err)) && status != WEIR_ENOMEM) (void)weir_err_prefix(err, "%s", path);
    cJSON_Delete(json);
    weir_buf_done(&text);
    return status;
}

void weir_training_file_free(weir_training_file *f) {
    if (!f) return;
    weir_conf_done(data_table, &f->data);
    weir_conf_done(training_table, &f->training);
    weir_conf_done(validation_table, &f->validation);
    weir_conf_done(evaluation_table, &f->evaluation);
    weir_conf_done(persistence_table, &f->persistence);
    weir_training_models_done(&f->models);
    cJSON_Delete(f->json);
    cJSON_Delete(f->notes);
    weir_models_free(f);
}

weir_status weir_training_file_markdown(weir_buf *out, weir_err *err) {
    static const struct {
        const char *name;
        const weir_conf_item *table;
    } sections[] = {{"data", data_table},
                    {"training", training_table},
                    {"training.cross_validation", validation_table},
                    {"evaluation", evaluation_table},
                    {"persistence", persistence_table}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *stream = open_memstream(&text, &len);
        if (!stream) return no_memory(err);
        weir_conf_markdown(sections[i].table, stream);
        bool ok = !fclose(stream) && weir_buf_printf(out, "### %s\n\n", sections[i].name) && weir_buf_append(out, text, len) && weir_buf_append(out, "\n", 1);
        free(text);
        if (!ok) return no_memory(err);
    }
    return WEIR_OK;
}

uint64_t weir_training_file_seed(const weir_training_file *file, int candidate) {
    const weir_training_candidate *c = &file->models.items[candidate];
    return c->seeded ? c->seed : (uint64_t)file->training.random_state;
}

weir_status weir_training_file_spec(const weir_training_file *file, int candidate, const cJSON *params, const weir_trainset *set, cJSON **ret_spec,
                                    weir_err *err) {
    const weir_training_candidate *c = &file->models.items[candidate];
    cJSON *spec = cJSON_CreateObject(), *own = cJSON_Duplicate(c->params, true), *chain = NULL;
    bool ok = spec && own && merge(own, params), categories = false;
    for (int i = 0; i < set->matrix.column_count; i++) categories |= set->matrix.kinds[i].kind == WEIR_PREP_CATEGORY;
    if (file->preprocessing)
        ok = ok && (chain = cJSON_Duplicate(file->preprocessing, true));
    else if (categories)
        ok = ok && (chain = cJSON_Parse("[{\"encode\": \"one_hot\"}]"));
    ok = ok && cJSON_AddStringToObject(spec, "algorithm", c->algorithm->name);
    weir_status status = ok ? weir_training_params_settle(own, set->matrix.column_count, err) : no_memory(err);
    if (!status && own->child) {
        ok = cJSON_AddItemToObject(spec, "params", own);
        own = NULL;
    }
    if (!status && ok && chain) {
        ok = cJSON_AddItemToObject(spec, "preprocessing", chain);
        chain = NULL;
    }
    if (!status && ok && set->target_count > 1) {
        cJSON *several = cJSON_CreateObject();
        ok = several && cJSON_AddItemToObject(several, "targets", spec);
        spec = several;
    }
    ok = ok && (status || cJSON_AddStringToObject(spec, "name", c->name));
    cJSON_Delete(own);
    cJSON_Delete(chain);
    if (!status && !ok) status = no_memory(err);
    if (status)
        cJSON_Delete(spec);
    else
        *ret_spec = spec;
    return status;
}
