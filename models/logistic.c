/* Logistic regression with an L2 penalty. A binary task is fitted here, by Newton's method (iteratively reweighted least squares); a multiclass one by
 * models/softmax.c.
 *
 * Minimises  f(w, b) = Σ_i v_i [ln(1 + e^{η_i}) − y_i η_i] + l2/2 · w'w,  η_i = b + w'z_i;  v_i is the row's weight, z_i the standardised row
 * (models/linear_form.h: the standardisation belongs to the model); the intercept b carries no penalty. With l2 = 1/C that is scikit-learn's LogisticRegression
 * objective.
 *
 * Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed., 4.4.1 (eq. 4.26–4.28), with the ridge term of 3.4.1.
 *
 * The body of the artifact is a linear form: "LOGREG01" of a binary task, "SOFTMAX1" of several classes. */
#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/interrupt.h"
#include "models/linear_form.h"
#include "models/memory.h"
#include "models/softmax.h"

enum { LINE_SEARCH_MAX = 40 };
static const char binary_magic[8] = {'L', 'O', 'G', 'R', 'E', 'G', '0', '1'}, classes_magic[8] = {'S', 'O', 'F', 'T', 'M', 'A', 'X', '1'};

typedef struct logistic_params {
    double l2;
    int64_t max_iterations;
} logistic_params;

static const weir_conf_item params_table[] = {
    {.name = "l2",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(logistic_params, l2),
     .min = 1e-9, /* without any, separable classes have no minimum and dependent columns no unique one */
     .max = 1e12,
     .fallback = "1",
     .doc = "penalty on the squared coefficients of the standardised columns; 1/C of scikit-learn"},
    {.name = "max_iterations",
     .type = WEIR_CONF_INT,
     .offset = offsetof(logistic_params, max_iterations),
     .min = 1,
     .max = 10000,
     .fallback = "100",
     .doc = "Newton steps before the fit is given up"},
    {.name = NULL},
};

/* Everything that one fit needs. q = p + 1: the last parameter is the intercept. All matrices row-major. */
typedef struct newton {
    const weir_matrix *train;
    const weir_linear_form *form; /* the standardisation */
    double l2;
    int q;
    double *z; /* [WEIR_CHUNK_ROWS][q] standardised rows, 1 in the last column */
    double *eta; /* [WEIR_CHUNK_ROWS] */
    double *residual; /* [WEIR_CHUNK_ROWS] v (p − y) */
    double *w, *trial, *gradient, *step; /* [q] */
    double *hessian; /* [q][q], upper triangle */
} newton;

static double sigmoid(double eta) {
    double e = exp(-fabs(eta));
    return eta >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* ln(1 + e^η) − y η without overflow. */
static double row_loss(double eta, double y) {
    return fmax(eta, 0) + log1p(exp(-fabs(eta))) - y * eta;
}

static double penalty(const newton *s, const double *w) {
    return s->l2 / 2 * cblas_ddot(s->q - 1, w, 1, w, 1);
}

static weir_status objective(const newton *s, const double *w, double *ret_objective, weir_err *err) {
    double loss = 0;
    for (int64_t from = 0; from < s->train->row_count; from += WEIR_CHUNK_ROWS) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        int n = weir_chunk_size(s->train->row_count, from);
        weir_linear_form_chunk(s->form, s->train->values + from * s->train->column_count, n, s->z);
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, s->q, 1, s->z, s->q, w, 1, 0, s->eta, 1);
        for (int i = 0; i < n; i++) loss += weir_matrix_weight(s->train, from + i) * row_loss(s->eta[i], s->train->label[from + i]);
    }
    *ret_objective = loss + penalty(s, w);
    return WEIR_OK;
}

/* Gradient Z' v(p − y) + l2 w and Hessian Z' diag(v p(1 − p)) Z + l2 I at s->w, a chunk of rows at a time, and the objective there. */
static weir_status differentiate(newton *s, double *ret_objective, weir_err *err) {
    int q = s->q;
    double loss = 0;
    memset(s->gradient, 0, (size_t)q * sizeof(double));
    memset(s->hessian, 0, (size_t)q * (size_t)q * sizeof(double));
    for (int64_t from = 0; from < s->train->row_count; from += WEIR_CHUNK_ROWS) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        int n = weir_chunk_size(s->train->row_count, from);
        weir_linear_form_chunk(s->form, s->train->values + from * s->train->column_count, n, s->z);
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, q, 1, s->z, q, s->w, 1, 0, s->eta, 1);
        for (int i = 0; i < n; i++) {
            double y = s->train->label[from + i], v = weir_matrix_weight(s->train, from + i);
            loss += v * row_loss(s->eta[i], y);
            s->residual[i] = v * (sigmoid(s->eta[i]) - y);
        }
        cblas_dgemv(CblasRowMajor, CblasTrans, n, q, 1, s->z, q, s->residual, 1, 1, s->gradient, 1);
        for (int i = 0; i < n; i++) {
            double v = weir_matrix_weight(s->train, from + i);
            cblas_dscal(q, sqrt(v * sigmoid(s->eta[i]) * sigmoid(-s->eta[i])), s->z + (size_t)i * (size_t)q, 1);
        }
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, q, n, 1, s->z, q, 1, s->hessian, q);
    }
    for (int c = 0; c < q - 1; c++) {
        s->gradient[c] += s->l2 * s->w[c];
        s->hessian[(size_t)c * (size_t)q + (size_t)c] += s->l2;
    }
    *ret_objective = loss + penalty(s, s->w);
    return WEIR_OK;
}

/* Halves the step until the objective does not grow; the tolerance lets the last steps through, whose gain is below the rounding of the sum. */
static weir_status line_search(newton *s, double at_w, bool *ret_moved, weir_err *err) {
    double length = 1, there;
    *ret_moved = false;
    for (int halving = 0; halving < LINE_SEARCH_MAX; halving++, length /= 2) {
        cblas_dcopy(s->q, s->w, 1, s->trial, 1);
        cblas_daxpy(s->q, -length, s->step, 1, s->trial, 1);
        weir_status status = objective(s, s->trial, &there, err);
        if (status != WEIR_OK) return status;
        if (there <= at_w + 1e-12 * fabs(at_w)) {
            cblas_dcopy(s->q, s->trial, 1, s->w, 1);
            *ret_moved = true;
            return WEIR_OK;
        }
    }
    return WEIR_OK;
}

/* Newton decrement g' H⁻¹ g, twice the gain that the quadratic model still promises: convergence is quadratic, so the step taken at this size leaves nothing to
 * gain. */
static weir_status minimise(newton *s, int64_t max_iterations, weir_err *err) {
    for (int64_t iteration = 0; iteration < max_iterations; iteration++) {
        double loss;
        bool moved;
        weir_status status = differentiate(s, &loss, err);
        if (status != WEIR_OK) return status;
        cblas_dcopy(s->q, s->gradient, 1, s->step, 1);
        lapack_int info = LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', s->q, 1, s->hessian, s->q, s->step, 1);
        if (info != 0)
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the columns are linearly dependent (Cholesky stopped at parameter %d): a larger l2 helps", (int)info);
        double decrement = cblas_ddot(s->q, s->gradient, 1, s->step, 1);
        if (!isfinite(loss) || !isfinite(decrement))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers at Newton step %lld", (long long)iteration);
        if ((status = line_search(s, loss, &moved, err)) != WEIR_OK) return status;
        if (decrement <= 1e-16 * (1 + loss)) return WEIR_OK;
        if (!moved) return WEIR_FAIL(err, WEIR_ENUMERIC, "Newton step %lld found no descent (decrement %g)", (long long)iteration, decrement);
    }
    return WEIR_FAIL(err, WEIR_ENUMERIC, "no convergence in %lld Newton steps; a larger l2 or more max_iterations help", (long long)max_iterations);
}

static weir_status run_newton(const logistic_params *params, const weir_matrix *train, weir_linear_form *form, weir_err *err) {
    size_t q = (size_t)form->column_count + 1;
    double *block = weir_models_calloc(WEIR_CHUNK_ROWS * (q + 2) + 4 * q + q * q, sizeof *block);
    if (!block) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %d columns", form->column_count);
    newton s = {.train = train, .form = form, .l2 = params->l2, .q = (int)q, .z = block};
    s.eta = s.z + WEIR_CHUNK_ROWS * q;
    s.residual = s.eta + WEIR_CHUNK_ROWS;
    s.w = s.residual + WEIR_CHUNK_ROWS;
    s.trial = s.w + q;
    s.gradient = s.trial + q;
    s.step = s.gradient + q;
    s.hessian = s.step + q;
    weir_status status = minimise(&s, params->max_iterations, err);
    memcpy(form->coefficient, s.w, (q - 1) * sizeof *s.w);
    form->intercept[0] = s.w[q - 1];
    weir_models_free(block);
    return status;
}

static weir_status fit(const void *object, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads; /* the minimum is unique: nothing is drawn */
    const logistic_params *params = object;
    bool classes = train->task == WEIR_TASK_MULTICLASS;
    weir_one_blas_thread();
    weir_linear_form *form = weir_linear_form_new(train->column_count, classes ? train->class_count : 1);
    if (!form) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", train->column_count);
    weir_linear_form_standardise(train, form);
    weir_status status = classes ? weir_softmax_fit(train, params->l2, params->max_iterations, form, err) : run_newton(params, train, form, err);
    if (status == WEIR_OK) status = weir_linear_form_append(form, classes ? classes_magic : binary_magic, ret_body, err);
    weir_models_free(form);
    return status;
}

static weir_status load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    weir_linear_form *form = NULL;
    weir_status status = weir_linear_form_parse(body, len, shape->task == WEIR_TASK_MULTICLASS ? classes_magic : binary_magic, shape, &form, err);
    if (status == WEIR_OK) *ret_predictor = form;
    return status;
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    for (int64_t r = 0; r < row_count; r++, out += shape->output_count) {
        weir_linear_form_score(predictor, rows + r * shape->column_count, out);
        if (shape->task == WEIR_TASK_MULTICLASS)
            weir_softmax(out, shape->output_count);
        else
            *out = sigmoid(*out);
    }
    return WEIR_OK;
}

const weir_algorithm weir_algorithm_logistic = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "logistic",
    .doc = "Logistic regression on standardised columns with an L2 penalty, by Newton's method; of several classes multinomial",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS),
    .params = params_table,
    .params_size = sizeof(logistic_params),
    .fit = fit,
    .load = load,
    .predict = predict,
    .unload = weir_models_free,
    .preprocessing = "missing values become the column's training mean; columns are standardised to training mean 0 and deviation 1",
};
