#include "models/prep_importance.h"

#include <math.h>
#include <string.h>

#include "models/explain.h"
#include "models/memory.h"

enum { ROUNDS = 10, SEED = 1 };
static const double SETTLED = 1e-3, ALPHA_MIN = 1e-9;

static weir_status fit_and_load(const char *algorithm, const cJSON *params, const weir_matrix *train, weir_model **ret_model, weir_err *err) {
    weir_buf artifact = {0};
    weir_status status = weir_model_fit(algorithm, params, NULL, train, NULL, SEED, 1, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, ret_model, err);
    weir_buf_done(&artifact);
    return status;
}

static weir_status by_forest(const weir_matrix *train, double *ret_importance, weir_err *err) {
    weir_model *model = NULL;
    cJSON *params = cJSON_Parse("{\"trees\": 64, \"max_depth\": 12, \"max_bin\": 256}");
    weir_status status = params ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the settings of a forest");
    if (!status) status = fit_and_load("random_forest", params, train, &model, err);
    if (!status) status = weir_explain_importance(model, ret_importance, err);
    cJSON_Delete(params);
    weir_model_free(model);
    return status;
}

/* The root of the mean square of what scores leave of the labels. */
static double deviation(const weir_matrix *train, const double *scores) {
    double squares = 0;
    for (int64_t r = 0; r < train->row_count; r++) squares += (train->label[r] - scores[r]) * (train->label[r] - scores[r]);
    return sqrt(squares / (double)train->row_count);
}

static weir_status fit_lasso(const weir_matrix *train, double alpha, double *scores, weir_model **ret_model, weir_err *err) {
    cJSON *params = cJSON_CreateObject();
    weir_status status = WEIR_OK;
    if (!cJSON_AddNumberToObject(params, "alpha", fmax(alpha, ALPHA_MIN))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the settings of a lasso");
    if (!status) status = fit_and_load("lasso", params, train, ret_model, err);
    if (!status) status = weir_model_predict(*ret_model, train->values, train->row_count, scores, err);
    cJSON_Delete(params);
    return status;
}

static weir_status by_lasso(const weir_matrix *train, double *ret_importance, weir_err *err) {
    double *scores = weir_models_calloc((size_t)train->row_count, sizeof *scores), mean = 0;
    double penalty = sqrt(2 * log(fmax(train->column_count, 2)) / (double)train->row_count);
    weir_model *model = NULL;
    weir_status status = scores ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a lasso of %lld rows", (long long)train->row_count);
    if (status) return status;
    for (int64_t r = 0; r < train->row_count; r++) mean += train->label[r] / (double)train->row_count;
    for (int64_t r = 0; r < train->row_count; r++) scores[r] = mean;
    double noise = deviation(train, scores), before = INFINITY;
    for (int round = 0; !status && round < ROUNDS && fabs(before - noise) > SETTLED * noise; round++) {
        weir_model_free(model);
        model = NULL;
        status = fit_lasso(train, noise * penalty, scores, &model, err);
        before = noise;
        if (!status) noise = deviation(train, scores);
    }
    if (!status && model) status = weir_explain_importance(model, ret_importance, err);
    for (int c = 0; !status && !model && c < train->column_count; c++) ret_importance[c] = 0; /* labels that do not vary depend on nothing */
    weir_model_free(model);
    weir_models_free(scores);
    return status;
}

weir_status weir_model_column_importance(void *context, const char *method, const double *values, const double *label, const char *const *names,
                                         int64_t row_count, int column_count, double *ret_importance, weir_err *err) {
    const weir_matrix *whole = context;
    bool l1 = !strcmp(method, "l1");
    if (l1 && whole->task == WEIR_TASK_MULTICLASS)
        return WEIR_FAIL(err, WEIR_EINVAL, "selection by l1 is of a binary task or a regression, found %d classes: select by importance or mutual_information",
                         whole->class_count);
    if (column_count > WEIR_MODEL_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "%d columns to select from by a model, expected at most %d", column_count, WEIR_MODEL_COLUMNS_MAX);
    const weir_matrix train = {.row_count = row_count,
                               .column_count = column_count,
                               .values = values,
                               .label = label,
                               .column_names = names,
                               .task = l1 ? WEIR_TASK_REGRESSION : whole->task,
                               .class_count = whole->class_count};
    weir_status status = l1 ? by_lasso(&train, ret_importance, err) : by_forest(&train, ret_importance, err);
    return status && err ? weir_err_prefix(err, "selection by %s", method) : status;
}
