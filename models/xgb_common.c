/* XGBoost's C API, wrapped once. */
#include "models/xgb_common.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/distributed.h"
#include "models/interrupt.h"
#include "models/memory.h"
#include "models/xgb_internal.h"

/* Rows are scored in pieces of this many float32 values, which fit the stack and the first cache: scoring allocates nothing of ours. */
enum { PIECE_VALUES = 8192 };

/* The library's message is followed by a stack trace, a line each. */
static int message_length(const char *message) {
    return (int)strcspn(message, "\n");
}

weir_status weir_xgb_failed(const char *what, weir_err *err) {
    const char *message = weir_xgb.XGBGetLastError();
    return WEIR_FAIL(err, WEIR_EINTERNAL, "XGBoost: %s: %.*s", what, message_length(message), message);
}

void weir_xgb_put(weir_xgb_params *params, const char *name, const char *format, ...) {
    weir_xgb_param *item = &params->items[params->count++];
    va_list args;
    va_start(args, format);
    item->name = name;
    vsnprintf(item->value, sizeof item->value, format, args);
    va_end(args);
}

static void narrow_all(const double *values, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = weir_xgb_narrow(values[i]);
}

/* Rows [from, to) of the training set. */
typedef struct row_range {
    int64_t from, to;
} row_range;

/* 1 where the row is of the class, otherwise 0. */
static void indicate_classes(const weir_matrix *train, row_range range, float *out) {
    for (int64_t r = range.from; r < range.to; r++)
        for (int k = 0; k < train->class_count; k++) *out++ = train->label[r] == k;
}

static weir_status set_row_infos(DMatrixHandle matrix, const weir_matrix *train, row_range range, bool one_target_a_class, float *labels, weir_err *err) {
    bst_ulong rows = (bst_ulong)(range.to - range.from);
    char array[WEIR_XGB_ARRAY_MAX];
    if (one_target_a_class) {
        indicate_classes(train, range, labels);
        snprintf(array, sizeof array, WEIR_XGB_ARRAY, (uintptr_t)labels, (int64_t)rows, train->class_count);
        if (weir_xgb.XGDMatrixSetInfoFromInterface(matrix, "label", array) != 0) return weir_xgb_failed("labels", err);
    } else {
        narrow_all(train->label + range.from, rows, labels);
        if (weir_xgb.XGDMatrixSetFloatInfo(matrix, "label", labels, rows) != 0) return weir_xgb_failed("labels", err);
    }
    if (!train->weight) return WEIR_OK;
    narrow_all(train->weight + range.from, rows, labels); /* the library has its own copy of the labels */
    return weir_xgb.XGDMatrixSetFloatInfo(matrix, "weight", labels, rows) == 0 ? WEIR_OK : weir_xgb_failed("weights", err);
}

static weir_status matrix_new(const weir_matrix *train, row_range range, bool one_target_a_class, int threads, DMatrixHandle *ret_matrix, weir_err *err) {
    size_t rows = (size_t)(range.to - range.from), count = rows * (size_t)train->column_count,
           label_count = one_target_a_class ? (size_t)train->class_count : 1;
    float *values = weir_models_calloc(count + rows * label_count, sizeof *values);
    if (!values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu values in float32", count);
    char array[WEIR_XGB_ARRAY_MAX], config[64];
    narrow_all(train->values + range.from * train->column_count, count, values);
    snprintf(array, sizeof array, WEIR_XGB_ARRAY, (uintptr_t)values, (int64_t)rows, train->column_count);
    snprintf(config, sizeof config, "{\"missing\": NaN, \"nthread\": %d}", threads);
    DMatrixHandle matrix = NULL;
    weir_status status = weir_xgb.XGDMatrixCreateFromDense(array, config, &matrix) == 0 ? WEIR_OK : weir_xgb_failed("training matrix", err);
    if (status == WEIR_OK) status = set_row_infos(matrix, train, range, one_target_a_class, values + count, err);
    weir_models_free(values);
    if (status == WEIR_OK)
        *ret_matrix = matrix;
    else
        weir_xgb.XGDMatrixFree(matrix);
    return status;
}

weir_status weir_xgb_booster_set(BoosterHandle booster, const weir_xgb_params *params, uint64_t seed, int threads, weir_err *err) {
    weir_xgb_params all = *params;
    weir_xgb_put(&all, "nthread", "%d", threads); /* never the default, which is every core */
    weir_xgb_put(&all, "seed", "%" PRIu64, seed & INT32_MAX); /* the library's seed is an int */
    weir_xgb_put(&all, "verbosity", "0");
    for (int i = 0; i < all.count; i++)
        if (weir_xgb.XGBoosterSetParam(booster, all.items[i].name, all.items[i].value) != 0) return weir_xgb_failed(all.items[i].name, err);
    return WEIR_OK;
}

weir_status weir_xgb_append_model(BoosterHandle booster, const char *const *column_names, int column_count, weir_buf *ret_body, weir_err *err) {
    const char *image = NULL;
    bst_ulong len = 0;
    const char **names = (const char **)column_names; /* the API forgot a const; it copies */
    if (weir_xgb.XGBoosterSetStrFeatureInfo(booster, "feature_name", names, (bst_ulong)column_count) != 0) return weir_xgb_failed("feature names", err);
    if (weir_xgb.XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &len, &image) != 0) return weir_xgb_failed("saving", err);
    if (!weir_buf_append(ret_body, image, len)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %" PRIu64 " bytes", (uint64_t)len);
    return WEIR_OK;
}

/* The library says it in text: "[12]<tab>validation-rmse:0.25000000000000000". */
weir_status weir_xgb_measure(BoosterHandle booster, int round, DMatrixHandle validation, double *ret_loss, weir_err *err) {
    const char *name = "validation", *text = NULL;
    if (weir_xgb.XGBoosterEvalOneIter(booster, round, &validation, &name, 1, &text) != 0) return weir_xgb_failed("validation", err);
    const char *number = strrchr(text, ':');
    double loss = number ? strtod(number + 1, NULL) : NAN;
    if (!isfinite(loss)) return WEIR_FAIL(err, WEIR_ENUMERIC, "the loss of the held-out rows is not finite (%s)", text);
    *ret_loss = loss;
    return WEIR_OK;
}

/* What a fit works on: rows that are fitted and rows that are held out, as the library has them (the second may be NULL) and as they came. */
typedef struct fit_data {
    const weir_matrix *train;
    row_range rows[2];
    DMatrixHandle matrices[2];
    float base; /* what scores begin at */
    int target_count; /* gradients a row */
    float *gradient, *second; /* [fitted rows][target_count] where they are ours: of quantiles and forests; otherwise NULL */
} fit_data;

/* Scores of all rows of a matrix so far, in storage of the library until the next call. */
static weir_status predict_matrix(BoosterHandle booster, DMatrixHandle matrix, const float **ret_scores, weir_err *err) {
    static const char config[] = "{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": false}";
    const bst_ulong *shape = NULL;
    bst_ulong dimensions = 0;
    return weir_xgb.XGBoosterPredictFromDMatrix(booster, matrix, config, &shape, &dimensions, ret_scores) == 0 ? WEIR_OK : weir_xgb_failed("scoring", err);
}

static weir_status train_round(const weir_xgb_plan *plan, BoosterHandle booster, const fit_data *data, int round, weir_err *err) {
    if (!data->gradient) return weir_xgb.XGBoosterUpdateOneIter(booster, round, data->matrices[0]) == 0 ? WEIR_OK : weir_xgb_failed("training", err);
    const float *scores = NULL;
    row_range fitted = data->rows[0];
    bst_ulong count = (bst_ulong)(fitted.to - fitted.from) * (bst_ulong)data->target_count;
    weir_status status = plan->quantile ? predict_matrix(booster, data->matrices[0], &scores, err) : WEIR_OK;
    if (status == WEIR_OK && plan->quantile)
        status = weir_xgb_quantile_gradients(data->train, fitted.from, fitted.to, plan->quantile, scores, data->gradient, data->second, err);
    if (status == WEIR_OK && weir_xgb.XGBoosterBoostOneIter(booster, data->matrices[0], data->gradient, data->second, count) != 0)
        status = weir_xgb_failed("training", err);
    return status;
}

static weir_status measure_held(const weir_xgb_plan *plan, BoosterHandle booster, const fit_data *data, int round, double *ret_loss, weir_err *err) {
    if (!plan->quantile) return weir_xgb_measure(booster, round, data->matrices[1], ret_loss, err);
    const float *scores = NULL;
    weir_status status = predict_matrix(booster, data->matrices[1], &scores, err);
    if (status == WEIR_OK) *ret_loss = weir_xgb_quantile_loss(data->train, data->rows[1].from, data->rows[1].to, plan->quantile, scores);
    return status;
}

/* The loss that is watched is that of the objective: log loss, root mean squared error, deviance, pinball; less is better. */
static weir_status train_rounds(const weir_xgb_plan *plan, BoosterHandle booster, const fit_data *data, int *ret_kept, weir_err *err) {
    DMatrixHandle validation = data->matrices[1];
    double best = INFINITY;
    int best_round = 0, round = 0;
    for (; round < plan->rounds; round++) {
        double loss = 0;
        weir_status status = weir_interrupt_check(err);
        if (status == WEIR_OK) status = train_round(plan, booster, data, round, err);
        if (status == WEIR_OK && validation) status = measure_held(plan, booster, data, round, &loss, err);
        if (status != WEIR_OK) return status;
        if (!validation) continue;
        if (loss < best) {
            best = loss;
            best_round = round;
        } else if (round - best_round >= plan->early_stopping_rounds) {
            break;
        }
    }
    *ret_kept = validation ? best_round + 1 : plan->rounds;
    return WEIR_OK;
}

static weir_status train_and_append(const weir_xgb_plan *plan, BoosterHandle booster, const fit_data *data, weir_buf *ret_body, weir_err *err) {
    const weir_matrix *train = data->train;
    int kept = 0;
    weir_status status = train_rounds(plan, booster, data, &kept, err);
    if (status != WEIR_OK || !data->matrices[1])
        return status == WEIR_OK ? weir_xgb_append_model(booster, train->column_names, train->column_count, ret_body, err) : status;
    BoosterHandle best = NULL;
    if (weir_xgb.XGBoosterSlice(booster, 0, kept, 1, &best) != 0) return weir_xgb_failed("keeping the best rounds", err);
    status = weir_xgb_append_model(best, train->column_names, train->column_count, ret_body, err);
    weir_xgb.XGBoosterFree(best);
    return status;
}

static bool weighs_anything(const weir_matrix *train, row_range range) {
    for (int64_t r = range.from; r < range.to; r++)
        if (!train->weight || train->weight[r] > 0) return true;
    return false;
}

/* Which rows are fitted and which, the last ones, are held out. */
static weir_status split_rows(const weir_xgb_plan *plan, const weir_matrix *train, row_range *ret_fitted, row_range *ret_held, weir_err *err) {
    int64_t n = train->row_count, held = plan->early_stopping_rounds ? (int64_t)floor(plan->validation_share * (double)n) : 0;
    if (plan->early_stopping_rounds && (held < 1 || held >= n))
        return WEIR_FAIL(err, WEIR_EDATA, "early stopping holds out %lld of %lld rows, expected at least one to hold out and one to fit", (long long)held,
                         (long long)n);
    *ret_fitted = (row_range){0, n - held};
    *ret_held = (row_range){n - held, n};
    if (!weighs_anything(train, *ret_fitted) || (held && !weighs_anything(train, *ret_held)))
        return WEIR_FAIL(err, WEIR_EDATA, "the last %lld rows are held out; they or those before them weigh nothing", (long long)held);
    return WEIR_OK;
}

static weir_status check_labels(const weir_matrix *train, weir_err *err) {
    for (int64_t r = 0; r < train->row_count; r++)
        if (fabs(train->label[r]) > FLT_MAX)
            return WEIR_FAIL(err, WEIR_ENUMERIC, "label of row %lld is %g, more than float32 can hold", (long long)r, train->label[r]);
    return WEIR_OK;
}

/* Trees of a regression begin at the mean label, or a quantile, as those of later versions of the library do; 1.7 would begin at 0.5. */
static weir_status begin_at_labels(const weir_xgb_plan *plan, const weir_matrix *train, row_range fitted, float *ret_base, weir_err *err) {
    long double sum = 0, total = 0;
    double begin = 0;
    for (int64_t r = fitted.from; r < fitted.to; r++) {
        double w = train->weight ? train->weight[r] : 1;
        sum += (long double)w * train->label[r];
        total += w;
    }
    weir_status status = plan->begin ? weir_xgb_label_quantile(train, fitted.from, fitted.to, plan->begin, &begin, err) : WEIR_OK;
    *ret_base = (float)(plan->begin ? begin : (double)(sum / total));
    return status;
}

/* Those of w/2 (base − y)², of several classes with an indicator of each as its y: w (base − y), w. */
static weir_status forest_gradients(const weir_xgb_plan *plan, fit_data *data, weir_err *err) {
    const weir_matrix *train = data->train;
    size_t at = 0;
    for (int64_t r = data->rows[0].from; r < data->rows[0].to; r++) {
        float weight = train->weight ? weir_xgb_narrow(train->weight[r]) : 1;
        for (int k = 0; k < data->target_count; k++, at++) {
            float y = plan->one_target_a_class ? (float)(train->label[r] == k) : weir_xgb_narrow(train->label[r]);
            data->gradient[at] = weight * (data->base - y);
            data->second[at] = weight;
            if (!isfinite(data->gradient[at]))
                return WEIR_FAIL(err, WEIR_ENUMERIC, "the gradient of row %lld is not finite: labels or weights are too large", (long long)r);
        }
    }
    return WEIR_OK;
}

/* Room for the gradients that the library does not make itself; those of a forest, which stay. */
static weir_status make_gradients(const weir_xgb_plan *plan, fit_data *data, weir_err *err) {
    data->target_count = plan->one_target_a_class ? data->train->class_count : 1;
    size_t count = (size_t)(data->rows[0].to - data->rows[0].from) * (size_t)data->target_count;
    if (!plan->quantile && !plan->forest) return WEIR_OK;
    data->gradient = weir_models_calloc(2 * count, sizeof *data->gradient);
    if (!data->gradient) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu gradients", count);
    data->second = data->gradient + count;
    return plan->forest ? forest_gradients(plan, data, err) : WEIR_OK;
}

static weir_status fit_here(const weir_xgb_plan *plan, const weir_xgb_params *params, fit_data *data, uint64_t seed, int threads, weir_buf *ret_body,
                            weir_err *err) {
    DMatrixHandle *matrices = data->matrices;
    BoosterHandle booster = NULL;
    weir_status status = weir_xgb_load_library(err);
    if (!status) status = make_gradients(plan, data, err);
    for (int i = 0; i < 2 && status == WEIR_OK; i++)
        if (data->rows[i].from < data->rows[i].to) status = matrix_new(data->train, data->rows[i], plan->one_target_a_class, threads, &matrices[i], err);
    /* the booster keeps the predictions of both between rounds */
    if (status == WEIR_OK && weir_xgb.XGBoosterCreate(matrices, matrices[1] ? 2 : 1, &booster) != 0) status = weir_xgb_failed("booster", err);
    if (status == WEIR_OK) status = weir_xgb_booster_set(booster, params, seed, threads, err);
    if (status == WEIR_OK) status = train_and_append(plan, booster, data, ret_body, err);
    if (booster) weir_xgb.XGBoosterFree(booster);
    for (int i = 0; i < 2; i++)
        if (matrices[i]) weir_xgb.XGDMatrixFree(matrices[i]);
    weir_models_free(data->gradient);
    return status;
}

weir_status weir_xgb_train(const weir_xgb_plan *plan, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    fit_data data = {.train = train, .base = (float)plan->base};
    weir_xgb_params params = plan->params;
    weir_status status = split_rows(plan, train, &data.rows[0], &data.rows[1], err);
    if (status == WEIR_OK) status = check_labels(train, err);
    if (status == WEIR_OK && train->task == WEIR_TASK_REGRESSION) status = begin_at_labels(plan, train, data.rows[0], &data.base, err);
    weir_xgb_put(&params, "base_score", "%.9g", (double)data.base);
    if (status != WEIR_OK) return status;
    if (!weir_distributed_now()) return fit_here(plan, &params, &data, seed, threads, ret_body, err);
    const weir_distributed_job job = {
        .plan = plan, .params = &params, .base = data.base, .train = train, .fitted = data.rows[0].to, .seed = seed, .threads = threads};
    return weir_distributed_fit(&job, ret_body, err);
}

/* The booster configures itself at the first prediction; doing that here leaves later, concurrent ones with nothing to change. */
static weir_status warm_up(BoosterHandle booster, const weir_model_shape *shape, weir_err *err) {
    size_t columns = (size_t)shape->column_count;
    double *row = weir_models_calloc(columns + (size_t)shape->output_count, sizeof *row);
    if (!row) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %d columns", shape->column_count);
    weir_status status = weir_xgb_predict(booster, row, 1, shape, row + columns, err);
    weir_models_free(row);
    return status;
}

weir_status weir_xgb_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    BoosterHandle booster = NULL;
    bst_ulong features = 0;
    if (len == 0) return WEIR_FAIL(err, WEIR_EDATA, "the body is empty");
    weir_status status = weir_xgb_load_library(err);
    if (status) return status;
    if (weir_xgb.XGBoosterCreate(NULL, 0, &booster) != 0) return weir_xgb_failed("booster", err);
    /* One thread: rows are scored by many callers at once, and a team of threads for a handful of rows costs more than it gives. */
    if (weir_xgb.XGBoosterSetParam(booster, "nthread", "1") != 0 || weir_xgb.XGBoosterSetParam(booster, "verbosity", "0") != 0)
        status = weir_xgb_failed("parameters", err);
    if (status == WEIR_OK && (weir_xgb.XGBoosterLoadModelFromBuffer(booster, body, len) != 0 || weir_xgb.XGBoosterGetNumFeature(booster, &features) != 0))
        status = WEIR_FAIL(err, WEIR_EDATA, "the body is not a model of XGBoost: %.*s", message_length(weir_xgb.XGBGetLastError()), weir_xgb.XGBGetLastError());
    if (status == WEIR_OK && features != (bst_ulong)shape->column_count)
        status = WEIR_FAIL(err, WEIR_EDATA, "the body has %" PRIu64 " columns, the header %d", (uint64_t)features, shape->column_count);
    if (status == WEIR_OK) status = warm_up(booster, shape, err);
    if (status == WEIR_OK)
        *ret_predictor = booster;
    else
        weir_xgb.XGBoosterFree(booster);
    return status;
}

/* float32 leaves a probability a little off its bounds and its sum. Classes that no tree votes for are equally likely. */
static void finish_row(const weir_model_shape *shape, const float *scores, double *out) {
    double sum = 0;
    for (int k = 0; k < shape->output_count; k++) {
        bool keep = shape->task == WEIR_TASK_REGRESSION || isnan(scores[k]);
        out[k] = keep ? (double)scores[k] : fmin(fmax((double)scores[k], 0), 1);
        sum += out[k];
    }
    if (shape->task != WEIR_TASK_MULTICLASS) return;
    for (int k = 0; k < shape->output_count; k++) out[k] = sum == 0 ? 1.0 / shape->output_count : out[k] / sum;
}

/* In-place prediction: the result lies in storage that belongs to this thread and booster, until the next call. */
static weir_status predict_piece(BoosterHandle booster, const float *values, int64_t row_count, const weir_model_shape *model_shape, double *out,
                                 weir_err *err) {
    static const char config[] =
        "{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": true, \"cache_id\": 0, \"missing\": NaN}";
    char array[WEIR_XGB_ARRAY_MAX];
    const bst_ulong *shape = NULL;
    const float *scores = NULL;
    bst_ulong dimensions = 0;
    int outputs = model_shape->output_count;
    snprintf(array, sizeof array, WEIR_XGB_ARRAY, (uintptr_t)values, row_count, model_shape->column_count);
    if (weir_xgb.XGBoosterPredictFromDense(booster, array, config, NULL, &shape, &dimensions, &scores) != 0) return weir_xgb_failed("scoring", err);
    if (dimensions != 2 || shape[0] != (bst_ulong)row_count || shape[1] != (bst_ulong)outputs)
        return WEIR_FAIL(err, WEIR_EDATA, "the model does not give %d score%s a row", outputs, outputs == 1 ? "" : "s");
    for (int64_t r = 0; r < row_count; r++) finish_row(model_shape, scores + r * outputs, out + r * outputs);
    return WEIR_OK;
}

weir_status weir_xgb_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    float values[PIECE_VALUES];
    _Static_assert((int)WEIR_MODEL_FITTED_MAX <= (int)PIECE_VALUES, "a row must fit a piece");
    int64_t piece = PIECE_VALUES / shape->column_count;
    for (int64_t from = 0; from < row_count; from += piece) {
        int64_t n = row_count - from < piece ? row_count - from : piece;
        narrow_all(rows + from * shape->column_count, (size_t)(n * shape->column_count), values);
        weir_status status = predict_piece(predictor, values, n, shape, out + from * shape->output_count, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

void weir_xgb_unload(void *predictor) {
    weir_xgb.XGBoosterFree(predictor);
}
