/* Multinomial logistic regression with an L2 penalty, fitted by a truncated Newton method.
 *
 * Minimises  f(w, b) = Σ_i v_i [ln Σ_k e^{η_ik} − η_i,y_i] + l2/2 · Σ_k w_k'w_k,  η_ik = b_k + w_k'z_i;  v_i is the row's weight, z_i the standardised row
 * (models/linear_form.h). Every class has coefficients of its own; the penalty makes them unique, and of the intercepts, which carry none and are determined up
 * to a common constant, those that sum to 0 are taken. With l2 = 1/C that is scikit-learn's LogisticRegression objective for several classes.
 *
 * A Newton step solves H s = g by conjugate gradients, which need H only in products with vectors and stop early while the step is still long: a pass over the
 * rows each,
 *   (H s)_k = Σ_i v_i p_ik (u_ik − Σ_j p_ij u_ij) z_i + l2 s_k,   u_ik = s_k'z_i
 * with p the probabilities at w. Nothing of the size of H, (k p)², is ever held.
 *
 * Sources: Böhning, Multinomial logistic regression algorithm, 1992 (gradient and Hessian); Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.1
 * (line search Newton-CG). */
#include "models/softmax.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "models/interrupt.h"
#include "models/memory.h"

enum { LINE_SEARCH_MAX = 40 };

/* Everything that one fit needs. q = p + 1: the last parameter of a class is its intercept. All matrices row-major; size = classes · q. */
typedef struct newton {
    const weir_matrix *train;
    const weir_linear_form *form; /* the standardisation */
    double l2;
    int classes, q, size;
    double *z; /* [WEIR_CHUNK_ROWS][q] standardised rows, 1 in the last column */
    double *eta; /* [WEIR_CHUNK_ROWS][classes] */
    double *probability; /* [row_count][classes] at w */
    double *w, *trial, *gradient, *step; /* [classes][q] */
    double *residual, *direction, *product; /* [classes][q], of the conjugate gradients */
} newton;

double weir_softmax(double *score, int count) {
    double largest = score[0], sum = 0;
    for (int k = 1; k < count; k++) largest = fmax(largest, score[k]);
    for (int k = 0; k < count; k++) sum += score[k] = exp(score[k] - largest);
    for (int k = 0; k < count; k++) score[k] /= sum;
    return largest + log(sum);
}

/* eta = Z w' for a chunk of rows; returns how many those are. */
static int score_chunk(newton *s, int64_t from, const double *w) {
    int n = weir_chunk_size(s->train->row_count, from);
    weir_linear_form_chunk(s->form, s->train->values + from * s->train->column_count, n, s->z);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, s->classes, s->q, 1, s->z, s->q, w, s->q, 0, s->eta, s->classes);
    return n;
}

/* out += eta' Z for the chunk in z. */
static void add_chunk(const newton *s, int n, double *out) {
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, s->classes, s->q, n, 1, s->eta, s->classes, s->z, s->q, 1, out, s->q);
}

/* Turns the scores of a row into probabilities; returns its loss. */
static double row_loss(const newton *s, int64_t row, double *eta) {
    double of_label = eta[(int)s->train->label[row]];
    return weir_matrix_weight(s->train, row) * (weir_softmax(eta, s->classes) - of_label);
}

static double penalty(const newton *s, const double *w) {
    double squares = 0;
    for (int k = 0; k < s->classes; k++) squares += cblas_ddot(s->q - 1, w + k * s->q, 1, w + k * s->q, 1);
    return s->l2 / 2 * squares;
}

static weir_status objective(newton *s, const double *w, double *ret_objective, weir_err *err) {
    double loss = 0;
    for (int64_t from = 0; from < s->train->row_count; from += WEIR_CHUNK_ROWS) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        int n = score_chunk(s, from, w);
        for (int i = 0; i < n; i++) loss += row_loss(s, from + i, s->eta + (size_t)i * (size_t)s->classes);
    }
    *ret_objective = loss + penalty(s, w);
    return WEIR_OK;
}

/* Adds the penalty's part at w, and takes what rounding left along the one direction in which f does not change: the same for every intercept. */
static void finish(const newton *s, const double *w, double *out) {
    double mean = 0;
    for (int k = 0; k < s->classes; k++) {
        cblas_daxpy(s->q - 1, s->l2, w + k * s->q, 1, out + k * s->q, 1);
        mean += out[k * s->q + s->q - 1] / s->classes;
    }
    for (int k = 0; k < s->classes; k++) out[k * s->q + s->q - 1] -= mean;
}

/* Probabilities and gradient at s->w, and the objective there. */
static weir_status differentiate(newton *s, double *ret_objective, weir_err *err) {
    double loss = 0;
    memset(s->gradient, 0, (size_t)s->size * sizeof(double));
    for (int64_t from = 0; from < s->train->row_count; from += WEIR_CHUNK_ROWS) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        int n = score_chunk(s, from, s->w);
        for (int i = 0; i < n; i++) {
            double *eta = s->eta + (size_t)i * (size_t)s->classes;
            loss += row_loss(s, from + i, eta);
            memcpy(s->probability + (from + i) * s->classes, eta, (size_t)s->classes * sizeof *eta);
            eta[(int)s->train->label[from + i]] -= 1;
            cblas_dscal(s->classes, weir_matrix_weight(s->train, from + i), eta, 1);
        }
        add_chunk(s, n, s->gradient);
    }
    finish(s, s->w, s->gradient);
    *ret_objective = loss + penalty(s, s->w);
    return WEIR_OK;
}

/* s->product = H s->direction. */
static weir_status multiply_hessian(newton *s, weir_err *err) {
    memset(s->product, 0, (size_t)s->size * sizeof(double));
    for (int64_t from = 0; from < s->train->row_count; from += WEIR_CHUNK_ROWS) {
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        int n = score_chunk(s, from, s->direction);
        for (int i = 0; i < n; i++) {
            double *u = s->eta + (size_t)i * (size_t)s->classes, v = weir_matrix_weight(s->train, from + i);
            const double *p = s->probability + (from + i) * s->classes;
            double mean = cblas_ddot(s->classes, p, 1, u, 1);
            for (int k = 0; k < s->classes; k++) u[k] = v * p[k] * (u[k] - mean);
        }
        add_chunk(s, n, s->product);
    }
    finish(s, s->direction, s->product);
    return WEIR_OK;
}

/* s->step ≈ H⁻¹ g: until the residual is `accuracy` times the gradient, or has been followed along as many directions as there are parameters. */
static weir_status solve_step(newton *s, double accuracy, weir_err *err) {
    memset(s->step, 0, (size_t)s->size * sizeof(double));
    cblas_dcopy(s->size, s->gradient, 1, s->residual, 1);
    cblas_dcopy(s->size, s->gradient, 1, s->direction, 1);
    double squares = cblas_ddot(s->size, s->residual, 1, s->residual, 1), enough = accuracy * accuracy * squares;
    for (int i = 0; i < s->size && squares > enough; i++) {
        weir_status status = multiply_hessian(s, err);
        if (status != WEIR_OK) return status;
        double curvature = cblas_ddot(s->size, s->direction, 1, s->product, 1);
        if (!(curvature > 0)) return WEIR_OK; /* of a convex function only by rounding */
        cblas_daxpy(s->size, squares / curvature, s->direction, 1, s->step, 1);
        cblas_daxpy(s->size, -squares / curvature, s->product, 1, s->residual, 1);
        double before = squares;
        squares = cblas_ddot(s->size, s->residual, 1, s->residual, 1);
        cblas_dscal(s->size, squares / before, s->direction, 1);
        cblas_daxpy(s->size, 1, s->residual, 1, s->direction, 1);
    }
    return WEIR_OK;
}

/* Halves the step until the objective does not grow; the tolerance lets the last steps through, whose gain is below the rounding of the sum. */
static weir_status line_search(newton *s, double at_w, bool *ret_moved, weir_err *err) {
    double length = 1, there;
    *ret_moved = false;
    for (int halving = 0; halving < LINE_SEARCH_MAX; halving++, length /= 2) {
        cblas_dcopy(s->size, s->w, 1, s->trial, 1);
        cblas_daxpy(s->size, -length, s->step, 1, s->trial, 1);
        weir_status status = objective(s, s->trial, &there, err);
        if (status != WEIR_OK) return status;
        if (there <= at_w + 1e-12 * fabs(at_w)) {
            cblas_dcopy(s->size, s->trial, 1, s->w, 1);
            *ret_moved = true;
            return WEIR_OK;
        }
    }
    return WEIR_OK;
}

/* g's, twice the gain that the quadratic model promises, ends the search when there is nothing to gain. The nearer the minimum, the more exact the steps:
 * convergence is faster than linear. */
static weir_status minimise(newton *s, int64_t max_iterations, weir_err *err) {
    double first = 0;
    for (int64_t iteration = 0; iteration < max_iterations; iteration++) {
        double loss;
        bool moved;
        weir_status status = differentiate(s, &loss, err);
        if (status != WEIR_OK) return status;
        double slope = cblas_dnrm2(s->size, s->gradient, 1);
        if (iteration == 0) first = slope;
        if (slope == 0) return WEIR_OK;
        if ((status = solve_step(s, fmin(0.1, sqrt(slope / first)), err)) != WEIR_OK) return status;
        double decrement = cblas_ddot(s->size, s->gradient, 1, s->step, 1);
        if (!isfinite(loss) || !isfinite(decrement))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers at Newton step %lld", (long long)iteration);
        if ((status = line_search(s, loss, &moved, err)) != WEIR_OK) return status;
        if (decrement <= 1e-16 * (1 + loss)) return WEIR_OK;
        if (!moved) return WEIR_FAIL(err, WEIR_ENUMERIC, "Newton step %lld found no descent (decrement %g)", (long long)iteration, decrement);
    }
    return WEIR_FAIL(err, WEIR_ENUMERIC, "no convergence in %lld Newton steps; a larger l2 or more max_iterations help", (long long)max_iterations);
}

weir_status weir_softmax_fit(const weir_matrix *train, double l2, int64_t max_iterations, weir_linear_form *form, weir_err *err) {
    size_t q = (size_t)form->column_count + 1, k = (size_t)form->output_count, size = k * q, rows = (size_t)train->row_count;
    double *block = weir_models_calloc(WEIR_CHUNK_ROWS * (q + k) + 7 * size + rows * k, sizeof *block);
    if (!block) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %zu rows, %d columns and %zu classes", rows, form->column_count, k);
    newton s = {.train = train, .form = form, .l2 = l2, .classes = (int)k, .q = (int)q, .size = (int)size, .z = block};
    s.eta = s.z + WEIR_CHUNK_ROWS * q;
    s.w = s.eta + WEIR_CHUNK_ROWS * k;
    s.trial = s.w + size;
    s.gradient = s.trial + size;
    s.step = s.gradient + size;
    s.residual = s.step + size;
    s.direction = s.residual + size;
    s.product = s.direction + size;
    s.probability = s.product + size;
    weir_status status = minimise(&s, max_iterations, err);
    for (size_t i = 0; i < k; i++) {
        memcpy(form->coefficient + i * (q - 1), s.w + i * q, (q - 1) * sizeof *s.w);
        form->intercept[i] = s.w[i * q + q - 1];
    }
    weir_models_free(block);
    return status;
}
