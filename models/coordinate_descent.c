/* Lasso and elastic net by cyclic coordinate descent.
 *
 * Both minimise, with W = Σ_i v_i, the row's weight v_i, the standardised row z_i and the label y_i as it is,
 *
 *   1/(2W) Σ_i v_i (y_i − b_0 − b'z_i)² + alpha · l1_ratio · |b|₁ + alpha · (1 − l1_ratio)/2 · b'b
 *
 * which is the objective of scikit-learn's ElasticNet; l1_ratio is 1 for lasso. The rows have been reduced to the triangle of models/least_squares.h, on which
 * the same descent runs: a sweep costs p² whatever the number of rows. One coordinate at a time is put at its minimum,
 *
 *   b_c = S(r_c'e + |r_c|² b_c, W alpha l1_ratio) / (|r_c|² + W alpha (1 − l1_ratio)),   S(x, t) = sign(x) max(|x| − t, 0)
 *
 * where r_c is a column of the triangle and e what the coefficients leave of the target, until the duality gap, which bounds how far the objective is from its
 * minimum, is at most tol times the sum of squares of the label about its mean.
 *
 * Sources: Friedman, Hastie, Tibshirani, Regularization paths for generalized linear models via coordinate descent, 2010, eq. 5–6; Kim, Koh, Lustig, Boyd,
 * Gorinevsky, An interior-point method for large-scale l1-regularized least squares, 2007, III.A (duality gap). */
#include <cblas.h>
#include <math.h>

#include "models/algorithms.h"
#include "models/interrupt.h"
#include "models/least_squares.h"
#include "models/memory.h"

typedef struct elastic_net_params {
    double alpha, tol, l1_ratio;
    int64_t max_iterations;
} elastic_net_params;

/* Lasso has all but the first. */
static const weir_conf_item params_table[] = {
    {.name = "l1_ratio",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(elastic_net_params, l1_ratio),
     .min = 0.001, /* the duality gap needs an L1 penalty; algorithm ridge is what 0 would be */
     .max = 1,
     .fallback = "0.5",
     .doc = "share of the L1 penalty, which leaves columns out; the rest is L2"},
    {.name = "alpha",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(elastic_net_params, alpha),
     .min = 1e-9, /* algorithm linear is what 0 would be */
     .max = 1e12,
     .fallback = "1",
     .doc = "weight of the penalty, as scikit-learn's"},
    {.name = "tol",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(elastic_net_params, tol),
     .min = 1e-14,
     .max = 0.1,
     .fallback = "1e-4",
     .doc = "duality gap, as a share of the label's sum of squares, at which the descent ends"},
    {.name = "max_iterations",
     .type = WEIR_CONF_INT,
     .offset = offsetof(elastic_net_params, max_iterations),
     .min = 1,
     .max = 1e9,
     .fallback = "10000",
     .doc = "sweeps over the columns before the fit is given up"},
    {.name = NULL},
};

typedef struct descent {
    const weir_least_squares *system;
    double l1, l2; /* penalties, multiplied by W as the sum of squares is */
    double *coefficient, *residual, *square; /* [p]: b, e, |r_c|² */
} descent;

static const double *column_of(const descent *d, int c) {
    return d->system->r + (size_t)c * (size_t)d->system->stride;
}

static double shrink(double x, double threshold) {
    return copysign(fmax(fabs(x) - threshold, 0), x);
}

/* A column of the triangle ends at its diagonal. One that does not vary has no length but what rounding gives it; the others have W. */
static void sweep(descent *d) {
    for (int c = 0; c < d->system->column_count; c++) {
        if (d->square[c] <= 1e-9 * d->system->total_weight) continue;
        const double *r = column_of(d, c);
        double old = d->coefficient[c], pull = cblas_ddot(c + 1, r, 1, d->residual, 1) + d->square[c] * old;
        d->coefficient[c] = shrink(pull, d->l1) / (d->square[c] + d->l2);
        if (d->coefficient[c] != old) cblas_daxpy(c + 1, old - d->coefficient[c], r, 1, d->residual, 1);
    }
}

/* Objective less its dual at the residual, scaled to be feasible there; both times W. */
static double duality_gap(const descent *d) {
    int p = d->system->column_count;
    double rest = d->system->rest * d->system->rest, left = cblas_ddot(p, d->residual, 1, d->residual, 1) + rest;
    double with_label = cblas_ddot(p, d->residual, 1, d->system->target, 1) + rest;
    double squares = cblas_ddot(p, d->coefficient, 1, d->coefficient, 1), largest = 0;
    for (int c = 0; c < p; c++) largest = fmax(largest, fabs(cblas_ddot(c + 1, column_of(d, c), 1, d->residual, 1) - d->l2 * d->coefficient[c]));
    double scale = largest > d->l1 ? d->l1 / largest : 1;
    return 0.5 * left * (1 + scale * scale) + d->l1 * cblas_dasum(p, d->coefficient, 1) - scale * with_label + 0.5 * d->l2 * (1 + scale * scale) * squares;
}

static weir_status descend(descent *d, const elastic_net_params *params, weir_err *err) {
    int p = d->system->column_count;
    double enough = params->tol * (cblas_ddot(p, d->system->target, 1, d->system->target, 1) + d->system->rest * d->system->rest), gap = 0;
    for (int c = 0; c < p; c++) d->square[c] = cblas_ddot(c + 1, column_of(d, c), 1, column_of(d, c), 1);
    cblas_dcopy(p, d->system->target, 1, d->residual, 1);
    for (int64_t i = 0; i < params->max_iterations; i++) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        sweep(d);
        gap = duality_gap(d);
        if (gap <= enough) return WEIR_OK;
        if (!isfinite(gap))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers in sweep %lld: the labels or weights are too large", (long long)i);
    }
    return WEIR_FAIL(err, WEIR_ENUMERIC, "no convergence in %lld sweeps (duality gap %g, expected %g); a larger alpha, tol or max_iterations help",
                     (long long)params->max_iterations, gap, enough);
}

static weir_status solve(weir_least_squares *system, const void *object, double *coefficient, weir_err *err) {
    const elastic_net_params *params = object;
    size_t p = (size_t)system->column_count;
    double *block = weir_models_calloc(2 * p, sizeof *block), penalty = params->alpha * system->total_weight;
    if (!block) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %zu columns", p);
    descent d = {.system = system,
                 .l1 = penalty * params->l1_ratio,
                 .l2 = penalty * (1 - params->l1_ratio),
                 .coefficient = coefficient,
                 .residual = block,
                 .square = block + p};
    weir_status status = descend(&d, params, err);
    weir_models_free(block);
    return status;
}

/* Nothing is drawn: the descent begins at 0 and takes the columns as they come. */
static weir_status fit_elastic_net(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads;
    return weir_least_squares_fit(train, true, solve, params, ret_body, err);
}

static weir_status fit_lasso(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    elastic_net_params params = *(const elastic_net_params *)object;
    params.l1_ratio = 1;
    return fit_elastic_net(&params, train, seed, threads, ret_body, err);
}

const weir_algorithm weir_algorithm_lasso = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "lasso",
    .doc = "Linear regression on standardised columns with an L1 penalty, by coordinate descent",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table + 1,
    .params_size = sizeof(elastic_net_params),
    .fit = fit_lasso,
    .load = weir_least_squares_load,
    .predict = weir_least_squares_predict,
    .unload = weir_models_free,
    .preprocessing = WEIR_LEAST_SQUARES_PREPROCESSING,
};

const weir_algorithm weir_algorithm_elastic_net = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "elastic_net",
    .doc = "Linear regression on standardised columns with L1 and L2 penalties, by coordinate descent",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table,
    .params_size = sizeof(elastic_net_params),
    .fit = fit_elastic_net,
    .load = weir_least_squares_load,
    .predict = weir_least_squares_predict,
    .unload = weir_models_free,
    .preprocessing = WEIR_LEAST_SQUARES_PREPROCESSING,
};
