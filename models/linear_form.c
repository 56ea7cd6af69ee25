/* Scores that are linear in standardised columns: see the header. */
#include "models/linear_form.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "models/memory.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the body is written as it lies in memory: this needs a little-endian machine"
#endif

static void set_one_thread(void) {
    openblas_set_num_threads(1);
}

void weir_one_blas_thread(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_one_thread);
}

/* The numbers of a form, in the order in which a body has them. */
static size_t number_count(int column_count, int output_count) {
    size_t p = (size_t)column_count, k = (size_t)output_count;
    return k + 2 * p + k * p;
}

weir_linear_form *weir_linear_form_new(int column_count, int output_count) {
    weir_linear_form *f = weir_models_calloc(1, sizeof *f + number_count(column_count, output_count) * sizeof(double));
    if (!f) return NULL;
    f->column_count = column_count;
    f->output_count = output_count;
    f->intercept = (double *)(f + 1);
    f->mean = f->intercept + output_count;
    f->scale = f->mean + column_count;
    f->coefficient = f->scale + column_count;
    return f;
}

static void standardise_column(const weir_matrix *train, int c, double *ret_mean, double *ret_scale) {
    long double sum = 0, squares = 0, present = 0, total = 0;
    for (int64_t r = 0; r < train->row_count; r++) {
        double x = train->values[r * train->column_count + c], w = weir_matrix_weight(train, r);
        total += w;
        if (isnan(x)) continue;
        sum += (long double)w * x;
        present += w;
    }
    double mean = present > 0 ? (double)(sum / present) : 0;
    for (int64_t r = 0; r < train->row_count; r++) {
        double x = train->values[r * train->column_count + c];
        if (!isnan(x)) squares += weir_matrix_weight(train, r) * ((long double)x - mean) * ((long double)x - mean);
    }
    long double variance = squares / total, rounding = (long double)train->row_count * mean * DBL_EPSILON;
    double scale = variance > rounding * rounding ? (double)sqrtl(variance) : 0;
    *ret_mean = mean;
    *ret_scale = scale > 0 ? scale : 1;
}

/* Two passes: the sum of squares about the mean loses nothing to cancellation. A spread below what rounding of the mean can cause counts as none. */
void weir_linear_form_standardise(const weir_matrix *train, weir_linear_form *form) {
    for (int c = 0; c < train->column_count; c++) standardise_column(train, c, &form->mean[c], &form->scale[c]);
}

void weir_linear_form_row(const weir_linear_form *form, const double *x, double *z) {
    for (int c = 0; c < form->column_count; c++) z[c] = isnan(x[c]) ? 0 : (x[c] - form->mean[c]) / form->scale[c];
}

void weir_linear_form_chunk(const weir_linear_form *form, const double *rows, int count, double *z) {
    size_t p = (size_t)form->column_count;
    for (size_t i = 0; i < (size_t)count; i++) {
        weir_linear_form_row(form, rows + i * p, z + i * (p + 1));
        z[i * (p + 1) + p] = 1;
    }
}

void weir_linear_form_score(const weir_linear_form *form, const double *x, double *out) {
    for (int k = 0; k < form->output_count; k++) {
        const double *coefficient = form->coefficient + (size_t)k * (size_t)form->column_count;
        double score = form->intercept[k];
        for (int c = 0; c < form->column_count; c++)
            if (!isnan(x[c])) score += coefficient[c] * ((x[c] - form->mean[c]) / form->scale[c]);
        out[k] = score;
    }
}

weir_status weir_linear_form_append(const weir_linear_form *form, const char magic[8], weir_buf *body, weir_err *err) {
    size_t count = number_count(form->column_count, form->output_count);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(form->intercept[i])) return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers: the values or labels are too large");
    if (weir_buf_append(body, magic, 8) && weir_buf_append(body, form->intercept, count * sizeof(double))) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the body of a model of %d columns", form->column_count);
}

weir_status weir_linear_form_parse(const void *body, size_t len, const char magic[8], const weir_model_shape *shape, weir_linear_form **ret_form,
                                   weir_err *err) {
    size_t count = number_count(shape->column_count, shape->output_count), expected = 8 + count * sizeof(double);
    if (len != expected || memcmp(body, magic, 8) != 0)
        return WEIR_FAIL(err, WEIR_EDATA, "the body has %zu bytes, expected %zu that begin with %.8s", len, expected, magic);
    weir_linear_form *f = weir_linear_form_new(shape->column_count, shape->output_count);
    if (!f) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", shape->column_count);
    memcpy(f->intercept, (const char *)body + 8, count * sizeof(double));
    bool good = true;
    for (size_t i = 0; i < count; i++) good = good && isfinite(f->intercept[i]);
    for (int c = 0; c < f->column_count; c++) good = good && f->scale[c] > 0;
    if (!good) {
        weir_models_free(f);
        return WEIR_FAIL(err, WEIR_EDATA, "the body holds a number that is not finite or a scale that is not positive");
    }
    *ret_form = f;
    return WEIR_OK;
}
