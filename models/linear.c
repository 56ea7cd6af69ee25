/* Linear regression: ordinary least squares and ridge.
 *
 *   linear  minimises  Σ_i v_i (y_i − b_0 − b'z_i)²
 *   ridge   minimises  Σ_i v_i (y_i − b_0 − b'z_i)² + alpha · b'b
 *
 * v_i is the row's weight, z_i the standardised row (models/linear_form.h), y_i the label as it is: scikit-learn's LinearRegression and Ridge behind its
 * SimpleImputer and StandardScaler.
 *
 * Both begin with the triangle of models/least_squares.h. `linear` solves it by its singular value decomposition: where columns depend on each other there are
 * many solutions, and it takes the one with the least b'b in the standardised columns, so that equal columns share what one would get and a column that does
 * not vary gets 0. A singular value counts as none below max(n, p) · 2⁻⁵² of the largest. `ridge` appends the rows √alpha · I, after which the triangle has an
 * inverse.
 *
 * Sources: Golub and Van Loan, Matrix Computations, 4th ed., 5.5.2 (eq. 5.5.3); Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed.,
 * 3.2 and 3.4.1 (eq. 3.41). */
#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/least_squares.h"
#include "models/memory.h"

typedef struct linear_params {
    bool intercept;
} linear_params;

static const weir_conf_item linear_table[] = {
    {.name = "intercept",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(linear_params, intercept),
     .fallback = "true",
     .doc = "without one, a row of zeros scores 0"},
    {.name = NULL},
};

typedef struct ridge_params {
    double alpha;
} ridge_params;

static const weir_conf_item ridge_table[] = {
    {.name = "alpha",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(ridge_params, alpha),
     .min = 1e-9, /* algorithm linear is what 0 would be */
     .max = 1e12,
     .fallback = "1",
     .doc = "penalty on the squared coefficients of the standardised columns, as scikit-learn's"},
    {.name = NULL},
};

static weir_status solve_linear(weir_least_squares *s, const void *params, double *coefficient, weir_err *err) {
    (void)params;
    int p = s->column_count;
    lapack_int rank;
    double *singular_values = weir_models_calloc((size_t)p, sizeof *singular_values);
    if (!singular_values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %d columns", p);
    double smallest = fmax((double)s->row_count, p) * DBL_EPSILON;
    lapack_int info = LAPACKE_dgelsd(LAPACK_COL_MAJOR, p, p, 1, s->r, s->stride, s->target, p, singular_values, smallest, &rank);
    weir_models_free(singular_values);
    if (info == LAPACK_WORK_MEMORY_ERROR) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a decomposition of %d columns", p);
    if (info != 0) return WEIR_FAIL(err, WEIR_ENUMERIC, "the singular value decomposition did not converge (%d)", (int)info);
    memcpy(coefficient, s->target, (size_t)p * sizeof *coefficient);
    return WEIR_OK;
}

static weir_status solve_ridge(weir_least_squares *s, const void *params, double *coefficient, weir_err *err) {
    const ridge_params *ridge = params;
    weir_status status = weir_least_squares_penalise(s, ridge->alpha, err);
    if (status != WEIR_OK) return status;
    cblas_dtrsv(CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, s->column_count, s->r, s->stride, s->target, 1);
    memcpy(coefficient, s->target, (size_t)s->column_count * sizeof *coefficient);
    return WEIR_OK;
}

/* Nothing is drawn, and the minimum is unique or made so. */
static weir_status fit_linear(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads;
    const linear_params *params = object;
    return weir_least_squares_fit(train, params->intercept, solve_linear, params, ret_body, err);
}

static weir_status fit_ridge(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads;
    return weir_least_squares_fit(train, true, solve_ridge, params, ret_body, err);
}

const weir_algorithm weir_algorithm_linear = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "linear",
    .doc =
        "Linear regression by least squares; of the solutions that dependent columns leave, the one with the smallest coefficients on the standardised columns",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = linear_table,
    .params_size = sizeof(linear_params),
    .fit = fit_linear,
    .load = weir_least_squares_load,
    .predict = weir_least_squares_predict,
    .unload = weir_models_free,
    .preprocessing = WEIR_LEAST_SQUARES_PREPROCESSING,
};

const weir_algorithm weir_algorithm_ridge = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "ridge",
    .doc = "Linear regression on standardised columns with an L2 penalty",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = ridge_table,
    .params_size = sizeof(ridge_params),
    .fit = fit_ridge,
    .load = weir_least_squares_load,
    .predict = weir_least_squares_predict,
    .unload = weir_models_free,
    .preprocessing = WEIR_LEAST_SQUARES_PREPROCESSING,
};
