/* A plugin: classes by the nearest centroid. An example of an algorithm to begin from; docs/plugins.md goes through it.
 *
 *   cc -shared -fPIC -O2 -ffp-contract=off -I. -o nearest_centroid.so docs/examples/nearest_centroid.c -lm
 *
 * Columns are put on one scale by their deviation; the score of a class is the softmax of −sharpness/2 times the squared distance to the mean of its rows.
 * Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed., 18.2 (without shrinkage). Of Weir it calls weir_buf_append and weir_err_set. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/model.h"

typedef struct params {
    double sharpness;
} params;

static const weir_conf_item params_table[] = {
    {.name = "sharpness",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(params, sharpness),
     .min = 1e-6,
     .max = 1e6,
     .fallback = "1",
     .doc = "how fast the probability falls with the distance"},
    {.name = NULL},
};

/* The body as it is: sharpness, [columns] scale, [classes][columns] centroid; as a predictor the same numbers. */
static size_t number_count(int columns, int classes) {
    return 1 + (size_t)columns + (size_t)columns * (size_t)classes;
}

static int class_count(const weir_model_shape *shape) {
    return shape->task == WEIR_TASK_MULTICLASS ? shape->output_count : 2;
}

static double weight_of(const weir_matrix *m, int64_t row) {
    return m->weight ? m->weight[row] : 1;
}

/* Mean of a column over the rows of one class (−1: of all), in `total` the weight of those that have a value; 0 where none has. */
static double mean_of(const weir_matrix *m, int column, int class, double *total) {
    double sum = 0;
    *total = 0;
    for (int64_t r = 0; r < m->row_count; r++) {
        double x = m->values[r * m->column_count + column];
        if (isnan(x) || (class >= 0 && m->label[r] != class)) continue;
        *total += weight_of(m, r);
        sum += weight_of(m, r) * x;
    }
    return *total > 0 ? sum / *total : 0;
}

static double deviation_of(const weir_matrix *m, int column) {
    double total, mean = mean_of(m, column, -1, &total), squares = 0;
    for (int64_t r = 0; r < m->row_count; r++) {
        double x = m->values[r * m->column_count + column];
        if (!isnan(x)) squares += weight_of(m, r) * (x - mean) * (x - mean);
    }
    double deviation = total > 0 ? sqrt(squares / total) : 0;
    return deviation > 1e-12 * fabs(mean) ? deviation : 1; /* a column that does not vary */
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads; /* nothing is drawn, and one thread is enough */
    int columns = train->column_count, classes = train->task == WEIR_TASK_MULTICLASS ? train->class_count : 2;
    size_t count = number_count(columns, classes);
    double *numbers = calloc(count, sizeof *numbers), total;
    if (!numbers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d centroids", classes);
    numbers[0] = ((const params *)object)->sharpness;
    for (int c = 0; c < columns; c++) {
        numbers[1 + c] = deviation_of(train, c);
        for (int k = 0; k < classes; k++) numbers[1 + columns + k * columns + c] = mean_of(train, c, k, &total);
    }
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && !status; i++)
        if (!isfinite(numbers[i])) status = WEIR_FAIL(err, WEIR_ENUMERIC, "values or weights are too large for a mean");
    if (!status && !weir_buf_append(ret_body, numbers, count * sizeof *numbers)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the body");
    free(numbers);
    return status;
}

/* The body comes from a file: nothing in it may be believed. */
static weir_status load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    size_t count = number_count(shape->column_count, class_count(shape)), bytes = count * sizeof(double);
    if (len != bytes) return WEIR_FAIL(err, WEIR_EDATA, "the body has %zu bytes, expected %zu", len, bytes);
    double *numbers = malloc(bytes);
    if (!numbers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %zu bytes", bytes);
    memcpy(numbers, body, bytes);
    for (size_t i = 0; i < count; i++) {
        bool positive = i > (size_t)shape->column_count || numbers[i] > 0; /* the sharpness and the scales */
        if (isfinite(numbers[i]) && positive) continue;
        free(numbers);
        return WEIR_FAIL(err, WEIR_EDATA, "number %zu of the body is not finite, or is not above 0", i);
    }
    *ret_predictor = numbers;
    return WEIR_OK;
}

/* scores [classes]: softmax of −sharpness/2 · squared distance; a missing value tells nothing. */
static void score_row(const double *numbers, const double *row, int columns, int classes, double *scores) {
    const double *scale = numbers + 1, *centroid = scale + columns;
    double least = INFINITY, sum = 0;
    for (int k = 0; k < classes; k++) {
        scores[k] = 0;
        for (int c = 0; c < columns; c++) {
            double away = isnan(row[c]) ? 0 : (row[c] - centroid[k * columns + c]) / scale[c];
            scores[k] += numbers[0] / 2 * away * away;
        }
        if (!(scores[k] < 1e300)) scores[k] = 1e300; /* beyond all: still finite */
        least = fmin(least, scores[k]);
    }
    for (int k = 0; k < classes; k++) sum += scores[k] = exp(least - scores[k]);
    for (int k = 0; k < classes; k++) scores[k] /= sum;
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    double both[2];
    for (int64_t r = 0; r < row_count; r++) {
        const double *row = rows + r * shape->column_count;
        bool binary = shape->task == WEIR_TASK_BINARY;
        score_row(predictor, row, shape->column_count, class_count(shape), binary ? both : out + r * shape->output_count);
        if (binary) out[r] = both[1];
    }
    return WEIR_OK;
}

static const weir_algorithm algorithms[] = {
    {
        .abi = WEIR_ALGORITHM_ABI,
        .name = "nearest_centroid",
        .doc = "The class whose mean row is nearest",
        .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS),
        .params = params_table,
        .params_size = sizeof(params),
        .fit = fit,
        .load = load,
        .predict = predict,
        .unload = free,
        .preprocessing = "columns are divided by their deviation; missing values are left out of distances",
    },
    {.name = NULL},
};

const weir_algorithm *weir_plugin_algorithms(void) {
    return algorithms;
}
