/* Reduction of least squares to a triangle by a QR decomposition that takes a chunk of rows at a time.
 *
 * With the label as one more column, [R t; 0 rest] is the triangular factor of [√v Z, √v y]. A further chunk B of rows is absorbed by the decomposition of the
 * triangle with B below it, whose factor is that of all rows so far (LAPACK's dtpqrt, which knows that the upper part is a triangle). Householder reflections
 * are backward stable: nothing is squared, unlike in the normal equations, and the memory does not grow with the rows.
 *
 * Sources: Golub and Van Loan, Matrix Computations, 4th ed., 5.3.3 (least squares by QR), 6.5.3 (appended rows); Demmel, Grigori, Hoemmen, Langou,
 * Communication-optimal parallel and sequential QR and LU factorizations, 2012 (the sequential TSQR). */
#include "models/least_squares.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "models/interrupt.h"
#include "models/memory.h"

enum { REFLECTOR_BLOCK = 32 };
static const char body_magic[8] = {'L', 'I', 'N', 'R', 'E', 'G', '0', '1'};

static weir_least_squares *system_new(int column_count) {
    size_t q = (size_t)column_count + 1, size = q * q + REFLECTOR_BLOCK * q + WEIR_CHUNK_ROWS * q;
    weir_least_squares *s = weir_models_calloc(1, sizeof *s + size * sizeof(double));
    if (!s) return NULL;
    s->column_count = column_count;
    s->stride = column_count + 1;
    s->r = (double *)(s + 1);
    s->target = s->r + (size_t)column_count * q; /* the last column, above the corner that becomes rest */
    s->reflectors = s->r + q * q;
    s->chunk = s->reflectors + REFLECTOR_BLOCK * q;
    return s;
}

/* Takes the rows of s->chunk, column-major with WEIR_CHUNK_ROWS numbers a column, into the triangle. */
static weir_status absorb_chunk(weir_least_squares *s, int rows, weir_err *err) {
    int q = s->stride, block = q < REFLECTOR_BLOCK ? q : REFLECTOR_BLOCK;
    lapack_int info = LAPACKE_dtpqrt(LAPACK_COL_MAJOR, rows, q, 0, block, s->r, q, s->chunk, WEIR_CHUNK_ROWS, s->reflectors, block);
    if (info == LAPACK_WORK_MEMORY_ERROR) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a QR decomposition of %d columns", s->column_count);
    s->rest = fabs(s->target[s->column_count]);
    if (info == 0 && isfinite(s->rest)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers: the labels or weights are too large");
}

weir_status weir_least_squares_penalise(weir_least_squares *s, double l2, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int from = 0; from < s->column_count && status == WEIR_OK; from += WEIR_CHUNK_ROWS) {
        int n = weir_chunk_size(s->column_count, from);
        memset(s->chunk, 0, (size_t)s->stride * WEIR_CHUNK_ROWS * sizeof(double));
        for (int i = 0; i < n; i++) s->chunk[(size_t)(from + i) * WEIR_CHUNK_ROWS + (size_t)i] = sqrt(l2);
        status = absorb_chunk(s, n, err);
    }
    return status;
}

/* One row of [√v Z, √v y] into row i of the chunk. */
static void load_row(weir_least_squares *s, const weir_linear_form *form, bool centred, const weir_matrix *train, int64_t row, int i) {
    const double *x = train->values + row * s->column_count, root = sqrt(weir_matrix_weight(train, row));
    double *out = s->chunk + i;
    for (int c = 0; c < s->column_count; c++, out += WEIR_CHUNK_ROWS) {
        double value = isnan(x[c]) ? form->mean[c] : x[c];
        *out = root * ((centred ? value - form->mean[c] : value) / form->scale[c]);
    }
    *out = root * (train->label[row] - s->label_mean);
}

static weir_status reduce(const weir_matrix *train, const weir_linear_form *form, bool centred, weir_least_squares *s, weir_err *err) {
    long double labels = 0, total = 0;
    for (int64_t r = 0; r < train->row_count; r++) {
        labels += (long double)weir_matrix_weight(train, r) * train->label[r];
        total += weir_matrix_weight(train, r);
    }
    s->row_count = train->row_count;
    s->total_weight = (double)total;
    s->label_mean = centred ? (double)(labels / total) : 0;
    weir_status status = WEIR_OK;
    for (int64_t from = 0; from < train->row_count && status == WEIR_OK; from += WEIR_CHUNK_ROWS) {
        int n = weir_chunk_size(train->row_count, from);
        for (int i = 0; i < n; i++) load_row(s, form, centred, train, from + i, i);
        status = weir_interrupt_check(err);
        if (status == WEIR_OK) status = absorb_chunk(s, n, err);
    }
    return status;
}

static weir_status fit_form(const weir_matrix *train, bool intercept, weir_least_squares_solver solve, const void *params, weir_linear_form *form,
                            weir_err *err) {
    weir_least_squares *system = system_new(train->column_count);
    if (!system) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %d columns", train->column_count);
    weir_linear_form_standardise(train, form);
    weir_status status = reduce(train, form, intercept, system, err);
    if (status == WEIR_OK) status = solve(system, params, form->coefficient, err);
    form->intercept[0] = system->label_mean;
    for (int c = 0; !intercept && c < form->column_count; c++) form->intercept[0] += form->coefficient[c] * (form->mean[c] / form->scale[c]);
    weir_models_free(system);
    return status;
}

weir_status weir_least_squares_fit(const weir_matrix *train, bool intercept, weir_least_squares_solver solve, const void *params, weir_buf *ret_body,
                                   weir_err *err) {
    weir_one_blas_thread();
    weir_linear_form *form = weir_linear_form_new(train->column_count, 1);
    if (!form) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", train->column_count);
    weir_status status = fit_form(train, intercept, solve, params, form, err);
    if (status == WEIR_OK) status = weir_linear_form_append(form, body_magic, ret_body, err);
    weir_models_free(form);
    return status;
}

weir_status weir_least_squares_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    weir_linear_form *form = NULL;
    weir_status status = weir_linear_form_parse(body, len, body_magic, shape, &form, err);
    if (status == WEIR_OK) *ret_predictor = form;
    return status;
}

weir_status weir_least_squares_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    for (int64_t r = 0; r < row_count; r++) weir_linear_form_score(predictor, rows + r * shape->column_count, &out[r]);
    return WEIR_OK;
}
