#include "models/spec.h"

#include <stdio.h>
#include <string.h>

#include "models/class_weight.h"
#include "models/composite_fit.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/prepared.h"

enum { PATH_MAX_BYTES = 256 };

weir_status weir_fit_may_go_on(const weir_fit_options *options, weir_err *err) {
    return options->cancel && *options->cancel ? WEIR_RETRY(err, WEIR_ETIMEOUT, "fitting was asked to stop") : WEIR_OK;
}

static const char *text_of(const cJSON *spec, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(spec, key));
}

/* ---- one algorithm ---- */

/* columns NULL: they are not known yet, and the preprocessing is not looked at. */
static weir_status check_class_weight(const cJSON *spec, const char *path, weir_task task, weir_err *err) {
    const cJSON *weight = cJSON_GetObjectItemCaseSensitive(spec, "class_weight");
    if (!weight) return WEIR_OK;
    if (!cJSON_IsString(weight) || strcmp(weight->valuestring, "balanced") != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.class_weight: found %s, expected \"balanced\"", path,
                         cJSON_IsString(weight) ? weight->valuestring : weir_json_kind(weight));
    return task == WEIR_TASK_REGRESSION ? WEIR_FAIL(err, WEIR_EINVAL, "%s.class_weight: a regression has no classes", path) : WEIR_OK;
}

int weir_spec_workers(const cJSON *spec) {
    const cJSON *workers = cJSON_GetObjectItemCaseSensitive(spec, "workers");
    return cJSON_IsNumber(workers) ? workers->valueint : 0;
}

static weir_status check_workers(const cJSON *spec, const char *path, weir_err *err) {
    const cJSON *workers = cJSON_GetObjectItemCaseSensitive(spec, "workers");
    if (!workers) return WEIR_OK;
    if (!cJSON_IsNumber(workers)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.workers: found %s, expected a number", path, weir_json_kind(workers));
    if (workers->valuedouble < 1 || workers->valuedouble > WEIR_DISTRIBUTED_MAX || workers->valuedouble != workers->valueint)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.workers: found %g, expected a whole number from 1 to %d", path, workers->valuedouble, WEIR_DISTRIBUTED_MAX);
    weir_status status = weir_distributed_check(text_of(spec, "algorithm"), cJSON_GetObjectItemCaseSensitive(spec, "params"), err);
    return status ? weir_err_prefix(err, "%s.workers", path) : WEIR_OK;
}

static weir_status check_single(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    static const char *const keys[] = {"name", "algorithm", "params", "preprocessing", "class_weight", "workers", NULL};
    const weir_algorithm *algorithm = NULL;
    char at[PATH_MAX_BYTES];
    weir_status status = weir_json_check_keys(spec, path, keys, err);
    if (status) return status;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(spec, "name"), *given = cJSON_GetObjectItemCaseSensitive(spec, "algorithm");
    if (name && !cJSON_IsString(name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.name: found %s, expected a string", path, weir_json_kind(name));
    if (!cJSON_IsString(given)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.algorithm: found %s, expected the name of one", path, weir_json_kind(given));
    if (weir_algorithm_for_task(given->valuestring, task, &algorithm, err)) return weir_err_prefix(err, "%s.algorithm", path);
    if ((status = check_class_weight(spec, path, task, err)) || (status = check_workers(spec, path, err))) return status;
    snprintf(at, sizeof at, "%s.params", path);
    status = weir_algorithm_check_params(algorithm, cJSON_GetObjectItemCaseSensitive(spec, "params"), at, err);
    snprintf(at, sizeof at, "%s.preprocessing", path);
    if (!status && columns) status = weir_prepared_check(cJSON_GetObjectItemCaseSensitive(spec, "preprocessing"), at, NULL, columns, column_count, err);
    return status;
}

static weir_status one_target_only(const weir_trainset *set, weir_err *err) {
    if (set->target_count == 1) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "the training set has %d targets, one model tells one: write {\"targets\": …} around it", set->target_count);
}

static weir_status fit_single(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    weir_matrix matrix = set->matrix;
    double *weight = NULL;
    weir_status status = WEIR_OK;
    weir_distributed how = options->distributed ? *options->distributed : (weir_distributed){0};
    how.workers = weir_spec_workers(spec);
    if (cJSON_GetObjectItemCaseSensitive(spec, "class_weight")) {
        int classes = matrix.task == WEIR_TASK_MULTICLASS ? matrix.class_count : 2;
        weight = weir_models_calloc((size_t)matrix.row_count, sizeof *weight);
        status = weight ? weir_class_weight_rows(matrix.label, matrix.weight, matrix.row_count, classes, weight, err)
                        : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the weights of %lld rows", (long long)matrix.row_count);
        matrix.weight = weight;
    }
    weir_distributed_set(how.workers ? &how : NULL);
    if (!status)
        status = weir_model_fit(text_of(spec, "algorithm"), cJSON_GetObjectItemCaseSensitive(spec, "params"),
                                cJSON_GetObjectItemCaseSensitive(spec, "preprocessing"), &matrix, options->feature_hash, options->seed, options->threads,
                                ret_artifact, err);
    weir_distributed_set(NULL);
    weir_models_free(weight);
    return status;
}

static weir_status check_meta(const cJSON *meta, const char *path, weir_task task, int members, weir_err *err) {
    weir_prep_column columns[WEIR_SPEC_MEMBERS_MAX];
    char names[WEIR_SPEC_MEMBERS_MAX][8];
    if (!cJSON_IsObject(meta)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object that says what to fit", path, weir_json_kind(meta));
    for (int i = 0; i < members; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i % 100);
        columns[i] = (weir_prep_column){.name = names[i], .kind = WEIR_PREP_NUMBER};
    }
    /* of several classes the columns have the classes' names, which only the rows know: fitting checks that preprocessing */
    return check_single(meta, path, task, task == WEIR_TASK_MULTICLASS ? NULL : columns, members, err);
}

static weir_status check_members(const cJSON *members, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    int count = cJSON_IsArray(members) ? cJSON_GetArraySize(members) : 0, i = 0;
    const cJSON *member;
    char at[PATH_MAX_BYTES];
    if (count < 1 || count > WEIR_SPEC_MEMBERS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.members: found %s of %d, expected an array of 1 to %d", path, weir_json_kind(members), count,
                         WEIR_SPEC_MEMBERS_MAX);
    cJSON_ArrayForEach(member, members) {
        snprintf(at, sizeof at, "%s.members[%d]", path, i++);
        if (cJSON_GetObjectItemCaseSensitive(member, "ensemble") || cJSON_GetObjectItemCaseSensitive(member, "targets"))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: found an ensemble or targets, expected one algorithm: a member is a single model", at);
        if (!cJSON_IsObject(member)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object that says what to fit", at, weir_json_kind(member));
        weir_status status = check_single(member, at, task, columns, column_count, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status check_folds(const cJSON *spec, const char *path, weir_err *err) {
    const cJSON *folds = cJSON_GetObjectItemCaseSensitive(spec, "folds");
    if (!folds) return WEIR_OK;
    if (!cJSON_IsNumber(folds)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.folds: found %s, expected a number", path, weir_json_kind(folds));
    if (folds->valuedouble >= 2 && folds->valuedouble <= WEIR_FOLDS_MAX && folds->valuedouble == folds->valueint) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.folds: found %g, expected a whole number from 2 to %d", path, folds->valuedouble, WEIR_FOLDS_MAX);
}

static weir_status check_ensemble(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    static const char *const keys[] = {"name", "ensemble", "members", "meta", "folds", NULL};
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(spec, "ensemble"), *members = cJSON_GetObjectItemCaseSensitive(spec, "members");
    const cJSON *meta = cJSON_GetObjectItemCaseSensitive(spec, "meta");
    const char *found = cJSON_GetStringValue(given);
    weir_composition kind = WEIR_MODEL_SINGLE;
    char at[PATH_MAX_BYTES];
    weir_status status = weir_json_check_keys(spec, path, keys, err);
    if (status) return status;
    if (!found || !weir_ensemble_find(found, &kind))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.ensemble: found %s%s%s, expected average, weighted or stacking", path, found ? "\"" : "",
                         found ? found : weir_json_kind(given), found ? "\"" : "");
    status = check_members(members, path, task, columns, column_count, err);
    if (!status) status = check_folds(spec, path, err);
    if (status || !meta) return status;
    if (kind != WEIR_MODEL_STACKING) return WEIR_FAIL(err, WEIR_EINVAL, "%s.meta: found one with \"%s\", expected it with stacking only", path, found);
    snprintf(at, sizeof at, "%s.meta", path);
    return check_meta(meta, at, task, cJSON_GetArraySize(members), err);
}

static weir_status check_targets(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    static const char *const keys[] = {"name", "targets", NULL};
    const cJSON *each = cJSON_GetObjectItemCaseSensitive(spec, "targets");
    char at[PATH_MAX_BYTES];
    weir_status status = weir_json_check_keys(spec, path, keys, err);
    if (status) return status;
    if (task != WEIR_TASK_REGRESSION) return WEIR_FAIL(err, WEIR_EINVAL, "%s.targets: found with a %s task, expected a regression", path, weir_task_name(task));
    snprintf(at, sizeof at, "%s.targets", path);
    if (cJSON_GetObjectItemCaseSensitive(each, "targets"))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found targets in targets, expected a model or an ensemble", at);
    return weir_spec_check(each, at, task, columns, column_count, err);
}

/* ---- all kinds ---- */

weir_status weir_spec_check(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    if (!cJSON_IsObject(spec)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object that says what to fit", path, weir_json_kind(spec));
    if (cJSON_GetObjectItemCaseSensitive(spec, "ensemble")) return check_ensemble(spec, path, task, columns, column_count, err);
    if (cJSON_GetObjectItemCaseSensitive(spec, "targets")) return check_targets(spec, path, task, columns, column_count, err);
    return check_single(spec, path, task, columns, column_count, err);
}

void weir_spec_describe(const cJSON *spec, char *text, size_t size) {
    const cJSON *targets = cJSON_GetObjectItemCaseSensitive(spec, "targets"), *member;
    const char *ensemble = text_of(spec, "ensemble"), *algorithm = text_of(spec, "algorithm");
    if (!size) return;
    if (!ensemble) {
        if (targets)
            weir_spec_describe(targets, text, size);
        else
            snprintf(text, size, "%s", algorithm ? algorithm : "?");
        if (targets && strlen(text) + 1 < size) snprintf(text + strlen(text), size - strlen(text), " a target");
        return;
    }
    const char *before = " of ";
    snprintf(text, size, "%s", !strcmp(ensemble, "weighted") ? "weighted average" : ensemble);
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(spec, "members")) {
        const char *name = text_of(member, "algorithm");
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s", before, name ? name : "?");
        before = ", ";
    }
}

weir_status weir_spec_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    weir_status status = weir_spec_check(spec, "$", set->matrix.task, set->matrix.kinds, set->matrix.column_count, err);
    if (!status) status = weir_fit_may_go_on(options, err);
    if (status) return status;
    if (cJSON_GetObjectItemCaseSensitive(spec, "targets")) return weir_targets_fit(spec, set, options, ret_artifact, err);
    status = one_target_only(set, err);
    if (status) return status;
    if (cJSON_GetObjectItemCaseSensitive(spec, "ensemble")) return weir_ensemble_fit(spec, set, options, ret_artifact, err);
    return fit_single(spec, set, options, ret_artifact, err);
}
