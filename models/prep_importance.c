#include "models/prep_importance.h"

#include <math.h>
#include <string.h>

#include "models/explain.h"
#include "models/memory.h"
#include "models/metrics.h"

enum { ROUNDS = 10, SEED = 1, REPEATS = 2, PART = 3 /* a row in so many is not fitted on */ };
static const double SETTLED = 1e-3, ALPHA_MIN = 1e-9;

static weir_status fit_and_load(const char *algorithm, const cJSON *params, const weir_matrix *train, weir_model **ret_model, weir_err *err) {
    weir_buf artifact = {0};
    weir_status status = weir_model_fit(algorithm, params, NULL, train, NULL, SEED, 1, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, ret_model, err);
    weir_buf_done(&artifact);
    return status;
}

static weir_status fit_forest(const char *settings, const weir_matrix *train, weir_model **ret_model, weir_err *err) {
    cJSON *params = cJSON_Parse(settings);
    weir_status status = params ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the settings of a forest");
    if (!status) status = fit_and_load("random_forest", params, train, ret_model, err);
    cJSON_Delete(params);
    return status;
}

static weir_status by_forest(const weir_matrix *train, double *ret_importance, weir_err *err) {
    weir_model *model = NULL;
    weir_status status = fit_forest("{\"trees\": 64, \"max_depth\": 12, \"max_bin\": 256}", train, &model, err);
    if (!status) status = weir_explain_importance(model, ret_importance, err);
    weir_model_free(model);
    return status;
}

/* The rows in two parts. */
typedef struct parts {
    double *values, *label; /* the rows that are fitted on, then the others */
    int64_t *seen; /* [classes] rows so far of each class */
    double *code; /* [classes] numbers from 0 of the classes that there are rows of */
    weir_matrix fitted, held;
} parts;

static void parts_done(parts *p) {
    weir_models_free(p->values);
    weir_models_free(p->label);
    weir_models_free(p->seen);
    weir_models_free(p->code);
}

/* Every third row of a class is held out, so that each class has rows that are fitted on. */
static bool is_held(int64_t *seen, const weir_matrix *rows, double label) {
    int class = rows->task == WEIR_TASK_REGRESSION ? 0 : (int)label;
    return ++seen[class] % PART == 0;
}

static weir_status split_rows(const weir_matrix *rows, int classes, parts *ret_parts, weir_err *err) {
    size_t n = (size_t)rows->row_count, width = (size_t)rows->column_count, known = 0;
    parts p = {.fitted = *rows};
    p.values = weir_models_calloc(n, width * sizeof *p.values);
    p.label = weir_models_calloc(n, sizeof *p.label);
    p.seen = weir_models_calloc((size_t)classes, sizeof *p.seen);
    p.code = weir_models_calloc((size_t)classes, sizeof *p.code);
    *ret_parts = p;
    if (!p.values || !p.label || !p.seen || !p.code) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %zu rows", n);
    size_t fitted = 0, held = n;
    for (size_t r = 0; r < n; r++) {
        if (rows->task == WEIR_TASK_MULTICLASS && !(rows->label[r] >= 0 && rows->label[r] < classes))
            return WEIR_FAIL(err, WEIR_EDATA, "found label %g, expected the number of one of %d classes", rows->label[r], classes);
        size_t to = is_held(p.seen, rows, rows->label[r]) ? --held : fitted++;
        memcpy(p.values + to * width, rows->values + r * width, width * sizeof *p.values);
        p.label[to] = rows->label[r];
    }
    for (int c = 0; c < classes; c++)
        if (p.seen[c]) p.code[c] = (double)known++;
    bool many = rows->task == WEIR_TASK_MULTICLASS;
    for (size_t r = 0; many && r < n; r++) p.label[r] = p.code[(int)p.label[r]];
    ret_parts->fitted.task = many ? WEIR_TASK_MULTICLASS : WEIR_TASK_REGRESSION;
    ret_parts->fitted.class_count = many ? (int)known : 0;
    ret_parts->held = ret_parts->fitted;
    ret_parts->fitted.row_count = (int64_t)fitted;
    ret_parts->fitted.values = p.values;
    ret_parts->fitted.label = p.label;
    ret_parts->held.row_count = (int64_t)(n - fitted);
    ret_parts->held.values = p.values + fitted * width;
    ret_parts->held.label = p.label + fitted;
    return WEIR_OK;
}

static weir_status by_permutation(const weir_matrix *rows, double *ret_importance, weir_err *err) {
    int classes = rows->task == WEIR_TASK_MULTICLASS ? rows->class_count : 2;
    double *deviation = weir_models_calloc((size_t)rows->column_count, sizeof *deviation);
    weir_model *model = NULL;
    parts p = {0};
    weir_status status = deviation ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", rows->column_count);
    if (!status) status = split_rows(rows, classes, &p, err);
    if (!status) status = fit_forest("{\"trees\": 32, \"max_depth\": 6, \"max_bin\": 64, \"min_child_weight\": 5}", &p.fitted, &model, err);
    const weir_model_metric *loss = weir_model_metric_find(p.fitted.task, p.fitted.task == WEIR_TASK_REGRESSION ? "rmse" : "log_loss");
    if (!status) status = weir_explain_permutation(model, &p.held, loss, REPEATS, SEED, ret_importance, deviation, err);
    weir_model_free(model);
    parts_done(&p);
    weir_models_free(deviation);
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
    weir_status (*by)(const weir_matrix *, double *, weir_err *) = l1 ? by_lasso : !strcmp(method, "permutation") ? by_permutation : by_forest;
    weir_status status = by(&train, ret_importance, err);
    return status && err ? weir_err_prefix(err, "selection by %s", method) : status;
}
