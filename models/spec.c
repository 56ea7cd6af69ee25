#include "models/spec.h"

#include <stdio.h>
#include <string.h>

#include "models/json.h"
#include "models/prepared.h"

enum { PATH_MAX_BYTES = 256 };

weir_status weir_fit_may_go_on(const weir_fit_options *options, weir_err *err) {
    return options->cancel && *options->cancel ? WEIR_RETRY(err, WEIR_ETIMEOUT, "fitting was asked to stop") : WEIR_OK;
}

static const char *text_of(const cJSON *spec, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(spec, key));
}

/* ---- one algorithm ---- */

static weir_status check_single(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    static const char *const keys[] = {"name", "algorithm", "params", "preprocessing", NULL};
    const weir_algorithm *algorithm = NULL;
    char at[PATH_MAX_BYTES];
    weir_status status = weir_json_check_keys(spec, path, keys, err);
    if (status) return status;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(spec, "name"), *given = cJSON_GetObjectItemCaseSensitive(spec, "algorithm");
    if (name && !cJSON_IsString(name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.name: found %s, expected a string", path, weir_json_kind(name));
    if (!cJSON_IsString(given)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.algorithm: found %s, expected the name of one", path, weir_json_kind(given));
    if (weir_algorithm_for_task(given->valuestring, task, &algorithm, err)) return weir_err_prefix(err, "%s.algorithm", path);
    snprintf(at, sizeof at, "%s.params", path);
    status = weir_algorithm_check_params(algorithm, cJSON_GetObjectItemCaseSensitive(spec, "params"), at, err);
    snprintf(at, sizeof at, "%s.preprocessing", path);
    if (!status) status = weir_prepared_check(cJSON_GetObjectItemCaseSensitive(spec, "preprocessing"), at, NULL, columns, column_count, err);
    return status;
}

static weir_status fit_single(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    if (set->target_count > 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "the training set has %d targets, one model tells one: write {\"targets\": …} around it", set->target_count);
    return weir_model_fit(text_of(spec, "algorithm"), cJSON_GetObjectItemCaseSensitive(spec, "params"), cJSON_GetObjectItemCaseSensitive(spec, "preprocessing"),
                          &set->matrix, options->feature_hash, options->seed, options->threads, ret_artifact, err);
}

/* ---- all kinds ---- */

weir_status weir_spec_check(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count, weir_err *err) {
    if (!cJSON_IsObject(spec)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object that says what to fit", path, weir_json_kind(spec));
    return check_single(spec, path, task, columns, column_count, err);
}

void weir_spec_describe(const cJSON *spec, char *text, size_t size) {
    const char *algorithm = text_of(spec, "algorithm");
    snprintf(text, size, "%s", algorithm ? algorithm : "?");
}

weir_status weir_spec_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    weir_status status = weir_spec_check(spec, "$", set->matrix.task, set->matrix.kinds, set->matrix.column_count, err);
    if (!status) status = weir_fit_may_go_on(options, err);
    return status ? status : fit_single(spec, set, options, ret_artifact, err);
}
