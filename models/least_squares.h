/* Least squares in standardised columns, reduced to a triangle: what the linear regressions share. */
#ifndef WEIR_MODELS_LEAST_SQUARES_H
#define WEIR_MODELS_LEAST_SQUARES_H

#include "models/linear_form.h"

/* Σ_i v_i (y_i − label_mean − b'z_i)² = |target − R b|² + rest², whatever b: all that n rows say about p coefficients. R is p × p, upper triangular, zeros
 * below, column-major with `stride` numbers from column to column. */
typedef struct weir_least_squares {
    int column_count, stride;
    int64_t row_count;
    double *r, *target; /* target [column_count] */
    double rest, total_weight, label_mean;
    double *chunk, *reflectors; /* scratch of the reduction */
} weir_least_squares;

/** Adds l2 · b'b to the sum of squares. O(p³). */
weir_status weir_least_squares_penalise(weir_least_squares *system, double l2, weir_err *err) WEIR_MUST_CHECK;

/** Finds coefficient [column_count]; may use up the system. */
typedef weir_status (*weir_least_squares_solver)(weir_least_squares *system, const void *params, double *coefficient, weir_err *err);

/** A fit of weir_algorithm: standardises, reduces, solves and appends the body, a linear form "LINREG01". With intercept the columns and the label are centred
 *  and the intercept is what that leaves, without penalty; without one the columns are divided by their scale only, and a row of zeros scores 0. Memory: p² and
 *  a chunk of rows.
 *  Errors: WEIR_ENUMERIC when the numbers are too large. */
weir_status weir_least_squares_fit(const weir_matrix *train, bool intercept, weir_least_squares_solver solve, const void *params, weir_buf *ret_body,
                                   weir_err *err) WEIR_MUST_CHECK;
/* load and predict of weir_algorithm; unload is weir_models_free. */
weir_status weir_least_squares_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_least_squares_predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out,
                                       weir_err *err) WEIR_MUST_CHECK;

#define WEIR_LEAST_SQUARES_PREPROCESSING "missing values become the column's training mean; columns are standardised to training mean 0 and deviation 1"

#endif
