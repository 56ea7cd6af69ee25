/* XGBoost's C API, wrapped once. */
#include "models/xgb_common.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xgboost/c_api.h>

#include "models/memory.h"

/* Rows are scored in pieces of this many float32 values, which fit the stack and the first cache: scoring allocates nothing of ours. */
enum { PIECE_VALUES = 8192 };

#define ARRAY_INTERFACE "{\"data\": [%" PRIuPTR ", true], \"shape\": [%" PRId64 ", %d], \"typestr\": \"<f4\", \"version\": 3}"
enum { ARRAY_INTERFACE_MAX = 160 };

/* XGBoost's threads are OpenMP's, and those spin while they wait for each other: with a busy core beside it a fit of 2 s took 20 s. OMP_WAIT_POLICY=passive makes them sleep, but the
 * OpenMP library reads it when it is loaded, before any code of ours. Hence a program that was started without it starts itself once more; where that is impossible it goes on, slower. */
__attribute__((constructor)) static void wait_passively(int argc, char **argv) {
    if (argc < 1 || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0) execv("/proc/self/exe", argv);
}

/* The library's message is followed by a stack trace, a line each. */
static int message_length(const char *message) {
    return (int)strcspn(message, "\n");
}

static weir_status library_failed(const char *what, weir_err *err) {
    const char *message = XGBGetLastError();
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

/* The one place where values become float32, for training and scoring alike. XGBoost refuses infinity, so what float32 cannot hold becomes its largest number: on the same side of every
 * threshold. */
static float narrow(double value) {
    if (value > FLT_MAX) return FLT_MAX;
    if (value < -FLT_MAX) return -FLT_MAX;
    return (float)value;
}

static void narrow_all(const double *values, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = narrow(values[i]);
}

static weir_status matrix_new(const weir_matrix *train, int threads, DMatrixHandle *ret_matrix, weir_err *err) {
    size_t rows = (size_t)train->row_count, count = rows * (size_t)train->column_count;
    float *values = weir_models_calloc(count + rows, sizeof *values);
    if (!values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu values in float32", count);
    float *labels = values + count;
    char array[ARRAY_INTERFACE_MAX], config[64];
    narrow_all(train->values, count, values);
    narrow_all(train->label, rows, labels);
    snprintf(array, sizeof array, ARRAY_INTERFACE, (uintptr_t)values, train->row_count, train->column_count);
    snprintf(config, sizeof config, "{\"missing\": NaN, \"nthread\": %d}", threads);
    DMatrixHandle matrix = NULL;
    weir_status status = WEIR_OK;
    if (XGDMatrixCreateFromDense(array, config, &matrix) != 0 || XGDMatrixSetFloatInfo(matrix, "label", labels, rows) != 0)
        status = library_failed("training matrix", err);
    weir_models_free(values);
    if (status == WEIR_OK)
        *ret_matrix = matrix;
    else
        XGDMatrixFree(matrix);
    return status;
}

static weir_status booster_set(BoosterHandle booster, const weir_xgb_params *params, uint64_t seed, int threads, weir_err *err) {
    weir_xgb_params all = *params;
    weir_xgb_put(&all, "nthread", "%d", threads); /* never the default, which is every core */
    weir_xgb_put(&all, "seed", "%" PRIu64, seed & INT32_MAX); /* the library's seed is an int */
    weir_xgb_put(&all, "verbosity", "0");
    for (int i = 0; i < all.count; i++)
        if (XGBoosterSetParam(booster, all.items[i].name, all.items[i].value) != 0) return library_failed(all.items[i].name, err);
    return WEIR_OK;
}

static weir_status train_rounds(BoosterHandle booster, DMatrixHandle matrix, int rounds, const weir_matrix *train, weir_buf *ret_body, weir_err *err) {
    for (int round = 0; round < rounds; round++)
        if (XGBoosterUpdateOneIter(booster, round, matrix) != 0) return library_failed("training", err);
    const char *image = NULL;
    bst_ulong len = 0;
    const char **names = (const char **)train->column_names; /* the API forgot a const; it copies */
    if (XGBoosterSetStrFeatureInfo(booster, "feature_name", names, (bst_ulong)train->column_count) != 0) return library_failed("feature names", err);
    if (XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &len, &image) != 0) return library_failed("saving", err);
    if (!weir_buf_append(ret_body, image, len)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %" PRIu64 " bytes", (uint64_t)len);
    return WEIR_OK;
}

weir_status weir_xgb_train(const weir_xgb_params *params, int rounds, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    DMatrixHandle matrix = NULL;
    BoosterHandle booster = NULL;
    weir_status status = matrix_new(train, threads, &matrix, err);
    if (status != WEIR_OK) return status;
    if (XGBoosterCreate(&matrix, 1, &booster) != 0) status = library_failed("booster", err);
    if (status == WEIR_OK) status = booster_set(booster, params, seed, threads, err);
    if (status == WEIR_OK) status = train_rounds(booster, matrix, rounds, train, ret_body, err);
    if (booster) XGBoosterFree(booster);
    XGDMatrixFree(matrix);
    return status;
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
    if (XGBoosterCreate(NULL, 0, &booster) != 0) return library_failed("booster", err);
    weir_status status = WEIR_OK;
    /* One thread: rows are scored by many callers at once, and a team of threads for a handful of rows costs more than it gives. */
    if (XGBoosterSetParam(booster, "nthread", "1") != 0 || XGBoosterSetParam(booster, "verbosity", "0") != 0) status = library_failed("parameters", err);
    if (status == WEIR_OK && (XGBoosterLoadModelFromBuffer(booster, body, len) != 0 || XGBoosterGetNumFeature(booster, &features) != 0))
        status = WEIR_FAIL(err, WEIR_EDATA, "the body is not a model of XGBoost: %.*s", message_length(XGBGetLastError()), XGBGetLastError());
    if (status == WEIR_OK && features != (bst_ulong)shape->column_count)
        status = WEIR_FAIL(err, WEIR_EDATA, "the body has %" PRIu64 " columns, the header %d", (uint64_t)features, shape->column_count);
    if (status == WEIR_OK) status = warm_up(booster, shape, err);
    if (status == WEIR_OK)
        *ret_predictor = booster;
    else
        XGBoosterFree(booster);
    return status;
}

/* In-place prediction: the result lies in storage that belongs to this thread and booster, until the next call. */
static weir_status predict_piece(BoosterHandle booster, const float *values, int64_t row_count, int column_count, double *out, weir_err *err) {
    static const char config[] =
        "{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": true, \"cache_id\": 0, \"missing\": NaN}";
    char array[ARRAY_INTERFACE_MAX];
    const bst_ulong *shape = NULL;
    const float *scores = NULL;
    bst_ulong dimensions = 0;
    snprintf(array, sizeof array, ARRAY_INTERFACE, (uintptr_t)values, row_count, column_count);
    if (XGBoosterPredictFromDense(booster, array, config, NULL, &shape, &dimensions, &scores) != 0) return library_failed("scoring", err);
    if (dimensions != 2 || shape[0] != (bst_ulong)row_count || shape[1] != 1) return WEIR_FAIL(err, WEIR_EDATA, "the model does not give one score a row");
    for (int64_t r = 0; r < row_count; r++) out[r] = isnan(scores[r]) ? NAN : fmin(fmax((double)scores[r], 0), 1);
    return WEIR_OK;
}

weir_status weir_xgb_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    float values[PIECE_VALUES];
    _Static_assert((int)WEIR_MODEL_COLUMNS_MAX <= (int)PIECE_VALUES, "a row must fit a piece");
    int column_count = shape->column_count;
    int64_t piece = PIECE_VALUES / column_count;
    for (int64_t from = 0; from < row_count; from += piece) {
        int64_t n = row_count - from < piece ? row_count - from : piece;
        narrow_all(rows + from * column_count, (size_t)(n * column_count), values);
        weir_status status = predict_piece(predictor, values, n, column_count, out + from, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

void weir_xgb_unload(void *predictor) {
    XGBoosterFree(predictor);
}
