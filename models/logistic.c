/* Logistic regression with an L2 penalty, fitted by Newton's method (iteratively reweighted least squares).
 *
 * Minimises  f(w, b) = Σ_i [ln(1 + e^{η_i}) − y_i η_i] + l2/2 · w'w,  η_i = b + w'z_i;  the intercept b carries no penalty. With l2 = 1/C that is scikit-learn's
 * LogisticRegression objective. z is the standardised row; the standardisation belongs to the model:
 *   mean_c   over the training rows that have a value in column c
 *   missing  (NaN) becomes mean_c, in training and in scoring: it then adds nothing to the score
 *   scale_c  standard deviation (divisor n) of the column after that; 1 for a column that does not vary
 * which is scikit-learn's SimpleImputer("mean") followed by StandardScaler.
 *
 * Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd ed., 4.4.1 (eq. 4.26–4.28), with the ridge term of 3.4.1.
 *
 * Body of the artifact, little-endian:  "LOGREG01" | double intercept | double mean [p] | double scale [p] | double coefficient [p] (on the standardised scale). */
#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/memory.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the body is written as it lies in memory: this needs a little-endian machine"
#endif

enum { CHUNK_ROWS = 1024, LINE_SEARCH_MAX = 40 };
static const char body_magic[8] = {'L', 'O', 'G', 'R', 'E', 'G', '0', '1'};

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

/* A fitted model; also the predictor. The arrays follow it in the same block. */
typedef struct logistic_model {
    int column_count;
    double intercept;
    double *mean, *scale, *coefficient; /* [column_count] each */
} logistic_model;

/* Everything that one fit needs. q = p + 1: the last parameter is the intercept. All matrices row-major. */
typedef struct newton {
    const weir_matrix *train;
    const logistic_model *model; /* the standardisation */
    double l2;
    int q;
    double *z; /* [CHUNK_ROWS][q] standardised rows, 1 in the last column */
    double *eta; /* [CHUNK_ROWS] */
    double *residual; /* [CHUNK_ROWS] p − y */
    double *w, *trial, *gradient, *step; /* [q] */
    double *hessian; /* [q][q], upper triangle */
} newton;

/* OpenBLAS would start a thread per core for every process-wide call. Weir's parallelism is its workers, and sums must not depend on how many cores a machine has. */
static void one_blas_thread(void) {
    openblas_set_num_threads(1);
}

static logistic_model *model_new(int column_count) {
    size_t p = (size_t)column_count;
    logistic_model *m = weir_models_calloc(1, sizeof *m + 3 * p * sizeof(double));
    if (!m) return NULL;
    m->column_count = column_count;
    m->mean = (double *)(m + 1);
    m->scale = m->mean + p;
    m->coefficient = m->scale + p;
    return m;
}

/* Two passes: the sum of squares about the mean loses nothing to cancellation. A spread below what rounding of the mean can cause counts as none. */
static void standardise(const weir_matrix *train, logistic_model *m) {
    for (int c = 0; c < train->column_count; c++) {
        long double sum = 0, squares = 0;
        int64_t present = 0;
        for (int64_t r = 0; r < train->row_count; r++) {
            double x = train->values[r * train->column_count + c];
            if (isnan(x)) continue;
            sum += x;
            present++;
        }
        double mean = present ? (double)(sum / present) : 0;
        for (int64_t r = 0; r < train->row_count; r++) {
            double x = train->values[r * train->column_count + c];
            if (!isnan(x)) squares += (long double)(x - mean) * (x - mean);
        }
        double n = (double)train->row_count, variance = (double)(squares / n), rounding = n * mean * DBL_EPSILON;
        m->mean[c] = mean;
        m->scale[c] = variance > rounding * rounding ? sqrt(variance) : 1;
    }
}

static void load_chunk(const newton *s, int64_t from, int count) {
    const logistic_model *m = s->model;
    int p = m->column_count;
    for (int i = 0; i < count; i++) {
        const double *x = s->train->values + (from + i) * p;
        double *z = s->z + (size_t)i * (size_t)s->q;
        for (int c = 0; c < p; c++) z[c] = isnan(x[c]) ? 0 : (x[c] - m->mean[c]) / m->scale[c];
        z[p] = 1;
    }
}

static int chunk_size(const newton *s, int64_t from) {
    int64_t left = s->train->row_count - from;
    return left < CHUNK_ROWS ? (int)left : CHUNK_ROWS;
}

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

static double objective(const newton *s, const double *w) {
    double loss = 0;
    for (int64_t from = 0; from < s->train->row_count; from += CHUNK_ROWS) {
        int n = chunk_size(s, from);
        load_chunk(s, from, n);
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, s->q, 1, s->z, s->q, w, 1, 0, s->eta, 1);
        for (int i = 0; i < n; i++) loss += row_loss(s->eta[i], s->train->label[from + i]);
    }
    return loss + penalty(s, w);
}

/* Gradient Z'(p − y) + l2 w and Hessian Z' diag(p(1 − p)) Z + l2 I at s->w, a chunk of rows at a time. Returns the objective there. */
static double differentiate(newton *s) {
    int q = s->q;
    double loss = 0;
    memset(s->gradient, 0, (size_t)q * sizeof(double));
    memset(s->hessian, 0, (size_t)q * (size_t)q * sizeof(double));
    for (int64_t from = 0; from < s->train->row_count; from += CHUNK_ROWS) {
        int n = chunk_size(s, from);
        load_chunk(s, from, n);
        cblas_dgemv(CblasRowMajor, CblasNoTrans, n, q, 1, s->z, q, s->w, 1, 0, s->eta, 1);
        for (int i = 0; i < n; i++) {
            double y = s->train->label[from + i];
            loss += row_loss(s->eta[i], y);
            s->residual[i] = sigmoid(s->eta[i]) - y;
        }
        cblas_dgemv(CblasRowMajor, CblasTrans, n, q, 1, s->z, q, s->residual, 1, 1, s->gradient, 1);
        for (int i = 0; i < n; i++) cblas_dscal(q, sqrt(sigmoid(s->eta[i]) * sigmoid(-s->eta[i])), s->z + (size_t)i * (size_t)q, 1);
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, q, n, 1, s->z, q, 1, s->hessian, q);
    }
    for (int c = 0; c < q - 1; c++) {
        s->gradient[c] += s->l2 * s->w[c];
        s->hessian[(size_t)c * (size_t)q + (size_t)c] += s->l2;
    }
    return loss + penalty(s, s->w);
}

/* Halves the step until the objective does not grow; the tolerance lets the last steps through, whose gain is below the rounding of the sum. */
static bool line_search(newton *s, double at_w) {
    double length = 1;
    for (int halving = 0; halving < LINE_SEARCH_MAX; halving++, length /= 2) {
        cblas_dcopy(s->q, s->w, 1, s->trial, 1);
        cblas_daxpy(s->q, -length, s->step, 1, s->trial, 1);
        if (objective(s, s->trial) <= at_w + 1e-12 * fabs(at_w)) {
            cblas_dcopy(s->q, s->trial, 1, s->w, 1);
            return true;
        }
    }
    return false;
}

/* Newton decrement g' H⁻¹ g, twice the gain that the quadratic model still promises: convergence is quadratic, so the step taken at this size leaves nothing to gain. */
static weir_status minimise(newton *s, int64_t max_iterations, weir_err *err) {
    for (int64_t iteration = 0; iteration < max_iterations; iteration++) {
        double loss = differentiate(s);
        cblas_dcopy(s->q, s->gradient, 1, s->step, 1);
        lapack_int info = LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', s->q, 1, s->hessian, s->q, s->step, 1);
        if (info != 0)
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the columns are linearly dependent (Cholesky stopped at parameter %d): a larger l2 helps", (int)info);
        double decrement = cblas_ddot(s->q, s->gradient, 1, s->step, 1);
        if (!isfinite(loss) || !isfinite(decrement))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers at Newton step %lld", (long long)iteration);
        bool moved = line_search(s, loss);
        if (decrement <= 1e-16 * (1 + loss)) return WEIR_OK;
        if (!moved) return WEIR_FAIL(err, WEIR_ENUMERIC, "Newton step %lld found no descent (decrement %g)", (long long)iteration, decrement);
    }
    return WEIR_FAIL(err, WEIR_ENUMERIC, "no convergence in %lld Newton steps; a larger l2 or more max_iterations help", (long long)max_iterations);
}

static weir_status run_newton(const logistic_params *params, const weir_matrix *train, logistic_model *m, weir_err *err) {
    size_t q = (size_t)m->column_count + 1;
    double *block = weir_models_calloc(CHUNK_ROWS * (q + 2) + 4 * q + q * q, sizeof *block);
    if (!block) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fit of %d columns", m->column_count);
    newton s = {.train = train, .model = m, .l2 = params->l2, .q = (int)q, .z = block};
    s.eta = s.z + CHUNK_ROWS * q;
    s.residual = s.eta + CHUNK_ROWS;
    s.w = s.residual + CHUNK_ROWS;
    s.trial = s.w + q;
    s.gradient = s.trial + q;
    s.step = s.gradient + q;
    s.hessian = s.step + q;
    weir_status status = minimise(&s, params->max_iterations, err);
    memcpy(m->coefficient, s.w, (q - 1) * sizeof *s.w);
    m->intercept = s.w[q - 1];
    weir_models_free(block);
    return status;
}

static weir_status fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)seed; /* the minimum is unique: nothing is drawn */
    (void)threads;
    pthread_once(&once, one_blas_thread);
    logistic_model *m = model_new(train->column_count);
    if (!m) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", train->column_count);
    standardise(train, m);
    weir_status status = run_newton(params, train, m, err);
    size_t column_bytes = (size_t)m->column_count * sizeof(double);
    if (status == WEIR_OK && !(weir_buf_append(ret_body, body_magic, sizeof body_magic) && weir_buf_append(ret_body, &m->intercept, sizeof m->intercept) &&
                               weir_buf_append(ret_body, m->mean, column_bytes) && weir_buf_append(ret_body, m->scale, column_bytes) &&
                               weir_buf_append(ret_body, m->coefficient, column_bytes)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the body of a model of %d columns", m->column_count);
    weir_models_free(m);
    return status;
}

static weir_status load(const void *body, size_t len, int column_count, void **ret_predictor, weir_err *err) {
    const char *bytes = body;
    size_t column_bytes = (size_t)column_count * sizeof(double), expected = sizeof body_magic + sizeof(double) + 3 * column_bytes;
    if (len != expected || memcmp(bytes, body_magic, sizeof body_magic) != 0)
        return WEIR_FAIL(err, WEIR_EDATA, "the body has %zu bytes, expected %zu that begin with LOGREG01", len, expected);
    logistic_model *m = model_new(column_count);
    if (!m) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", column_count);
    memcpy(&m->intercept, bytes + sizeof body_magic, sizeof m->intercept);
    memcpy(m->mean, bytes + sizeof body_magic + sizeof(double), 3 * column_bytes);
    bool good = isfinite(m->intercept);
    for (int c = 0; c < column_count; c++) good = good && isfinite(m->mean[c]) && isfinite(m->scale[c]) && m->scale[c] > 0 && isfinite(m->coefficient[c]);
    if (!good) {
        weir_models_free(m);
        return WEIR_FAIL(err, WEIR_EDATA, "the body holds a number that is not finite or a scale that is not positive");
    }
    *ret_predictor = m;
    return WEIR_OK;
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, int column_count, double *out, weir_err *err) {
    (void)err;
    const logistic_model *m = predictor;
    for (int64_t r = 0; r < row_count; r++) {
        const double *x = rows + r * column_count;
        double eta = m->intercept;
        for (int c = 0; c < column_count; c++)
            if (!isnan(x[c])) eta += m->coefficient[c] * ((x[c] - m->mean[c]) / m->scale[c]);
        out[r] = sigmoid(eta);
    }
    return WEIR_OK;
}

const weir_algorithm weir_algorithm_logistic = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "logistic",
    .doc = "Logistic regression on standardised columns with an L2 penalty, by Newton's method",
    .params = params_table,
    .params_size = sizeof(logistic_params),
    .fit = fit,
    .load = load,
    .predict = predict,
    .unload = weir_models_free,
    .preprocessing = "missing values become the column's training mean; columns are standardised to training mean 0 and deviation 1",
};
