/* Scores that are linear in standardised columns: what the linear methods share. */
#ifndef WEIR_MODELS_LINEAR_FORM_H
#define WEIR_MODELS_LINEAR_FORM_H

#include "models/model.h"

/* score_k = intercept_k + Σ_c coefficient_kc (x_c − mean_c) / scale_c; a missing x_c adds nothing. One block of memory, freed by weir_models_free. */
typedef struct weir_linear_form {
    int column_count, output_count;
    double *intercept; /* [output_count] */
    double *mean, *scale; /* [column_count] */
    double *coefficient; /* [output_count][column_count], on the standardised scale */
} weir_linear_form;

/* Rows are worked on in chunks of at most this many, so that a fit needs memory for few of them. */
enum { WEIR_CHUNK_ROWS = 1024 };

static inline int weir_chunk_size(int64_t row_count, int64_t from) {
    return row_count - from < WEIR_CHUNK_ROWS ? (int)(row_count - from) : WEIR_CHUNK_ROWS;
}

static inline double weir_matrix_weight(const weir_matrix *m, int64_t row) {
    return m->weight ? m->weight[row] : 1;
}

/** OpenBLAS on one thread from here on. It would start one per core for every process-wide call; Weir's parallelism is its workers, and sums must not depend on
 *  how many cores a machine has. Every fit that calls BLAS or LAPACK calls this first. */
void weir_one_blas_thread(void);

/** All numbers 0; NULL when memory ran out. */
weir_linear_form *weir_linear_form_new(int column_count, int output_count);

/** Sets mean and scale from the training rows, each weighing what it weighs:
 *    mean_c   over the rows that have a value in column c; 0 where none has
 *    missing  (NaN) becomes mean_c, in training and in scoring
 *    scale_c  standard deviation (divisor: the sum of weights) of the column after that; 1 for a column that does not vary
 *  which is scikit-learn's SimpleImputer("mean") followed by StandardScaler. */
void weir_linear_form_standardise(const weir_matrix *train, weir_linear_form *form);

/** z [column_count]: the standardised row. */
void weir_linear_form_row(const weir_linear_form *form, const double *x, double *z);

/** z [count][column_count + 1]: standardised rows with a 1 behind each, for the intercept. */
void weir_linear_form_chunk(const weir_linear_form *form, const double *rows, int count, double *z);

/** out [output_count] for one row x [column_count]. */
void weir_linear_form_score(const weir_linear_form *form, const double *x, double *out);

/** The body, little-endian: magic | double intercept [k] | double mean [p] | double scale [p] | double coefficient [k][p]. */
weir_status weir_linear_form_append(const weir_linear_form *form, const char magic[8], weir_buf *body, weir_err *err) WEIR_MUST_CHECK;
/** WEIR_EDATA when the body is not of this magic and shape, or holds a number that is not finite or a scale that is not positive. */
weir_status weir_linear_form_parse(const void *body, size_t len, const char magic[8], const weir_model_shape *shape, weir_linear_form **ret_form,
                                   weir_err *err) WEIR_MUST_CHECK;

#endif
