/* Support vector regression (ε-SVR).
 *
 * Minimises, over functions f(z) = w'φ(z) + b,  ½ w'w + C Σ_i max(|y_i − f(z_i)| − ε, 0)  with φ given by its kernel K(a, b) = φ(a)'φ(b) and z_i the
 * standardised row (models/linear_form.h):
 *
 *   linear   a'b            poly      (γ a'b + coef0)^degree
 *   rbf      e^{−γ|a − b|²}  sigmoid   tanh(γ a'b + coef0)
 *
 * γ = 0 stands for 1/(p · variance of all standardised values), which is scikit-learn's "scale". The label is taken as it is, so that C and ε are in its units.
 * What is kept is the rows with a coefficient other than 0, the support vectors s_j:  f(z) = b + Σ_j c_j K(s_j, z).
 *
 * Training (models/svr_solver.c) takes a time between the square and the cube of the number of rows, scoring one kernel a support vector: meant for tens of
 * thousands of rows. It knows no weights of rows.
 *
 * Sources: Smola and Schölkopf, A tutorial on support vector regression, 2004 (eq. 3); Chang and Lin, LIBSVM: a library for support vector machines, 2011, 2.4;
 * the kernels have its names and numbers.
 *
 * Body of the artifact, little-endian:  the standardisation, a linear form without outputs, "WEIRSVR1" | int32 kernel | int32 degree | double gamma |
 * double coef0 | double b | int64 count | double c [count] | double s [count][p]. */
#include <math.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/memory.h"
#include "models/svr.h"

enum { DEGREE_MAX = 10 };
#define CACHE_BYTES 1e8
#define LABEL_MAX 1e100 /* beyond, sums of squares in training would leave the finite numbers */
static const char body_magic[8] = {'W', 'E', 'I', 'R', 'S', 'V', 'R', '1'};

typedef struct svr_params {
    int kernel; /* weir_svr_kernel_kind */
    double c, epsilon, gamma, coef0, tol;
    int64_t degree;
} svr_params;

static const char *const kernels[] = {[WEIR_SVR_LINEAR] = "linear", [WEIR_SVR_POLY] = "poly", [WEIR_SVR_RBF] = "rbf", [WEIR_SVR_SIGMOID] = "sigmoid", NULL};

#define AT(field) offsetof(svr_params, field)
static const weir_conf_item params_table[] = {
    {.name = "kernel", .type = WEIR_CONF_ENUM, .offset = AT(kernel), .choices = kernels, .fallback = "rbf", .doc = "how alike two rows are"},
    {.name = "c",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(c),
     .min = 1e-9,
     .max = 1e9,
     .fallback = "1",
     .doc = "weight of the errors against the flatness of the function"},
    {.name = "epsilon",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(epsilon),
     .min = 0,
     .max = 1e12,
     .fallback = "0.1",
     .doc = "errors up to it cost nothing; in units of the label"},
    {.name = "gamma",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(gamma),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .doc = "of poly, rbf and sigmoid; 0: 1/(columns x variance), scikit-learn's \"scale\""},
    {.name = "coef0", .type = WEIR_CONF_NUMBER, .offset = AT(coef0), .min = -1e6, .max = 1e6, .fallback = "0", .doc = "constant of poly and sigmoid"},
    {.name = "degree", .type = WEIR_CONF_INT, .offset = AT(degree), .min = 1, .max = DEGREE_MAX, .fallback = "3", .doc = "of poly"},
    {.name = "tol",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(tol),
     .min = 1e-9,
     .max = 1,
     .fallback = "1e-3",
     .doc = "violation of the conditions of a minimum at which training ends"},
    {.name = NULL},
};

/* ---- fit ---- */

static double scale_gamma(const double *z, size_t count, int column_count) {
    long double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += z[i];
    for (size_t i = 0; i < count; i++) squares += (z[i] - sum / count) * (z[i] - sum / count);
    double variance = (double)(squares / count);
    return variance > 0 ? 1 / (column_count * variance) : 1;
}

/* The rows with a coefficient other than 0. */
static weir_status append_machine(weir_svr_head head, const double *coefficient, const double *z, int64_t row_count, int column_count, weir_buf *body,
                                  weir_err *err) {
    bool finite = isfinite(head.intercept), ok;
    for (int64_t r = 0; r < row_count; r++) {
        finite = finite && isfinite(coefficient[r]);
        head.count += coefficient[r] != 0;
    }
    if (!finite) return WEIR_FAIL(err, WEIR_ENUMERIC, "the fit left the finite numbers");
    ok = weir_buf_append(body, &head, sizeof head);
    for (int64_t r = 0; ok && r < row_count; r++) ok = coefficient[r] == 0 || weir_buf_append(body, &coefficient[r], sizeof coefficient[r]);
    for (int64_t r = 0; ok && r < row_count; r++) ok = coefficient[r] == 0 || weir_buf_append(body, z + r * column_count, (size_t)column_count * sizeof *z);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the body of a model of %lld support vectors", (long long)head.count);
}

static weir_status train_machine(const svr_params *p, const weir_matrix *train, const double *z, weir_buf *body, weir_err *err) {
    size_t rows = (size_t)train->row_count, columns = (size_t)train->column_count;
    weir_svr_head head = {.kernel = p->kernel,
                          .degree = (int32_t)p->degree,
                          .gamma = p->gamma > 0 ? p->gamma : scale_gamma(z, rows * columns, train->column_count),
                          .coef0 = p->coef0};
    const weir_svr_problem problem = {.kernel = &head,
                                      .z = z,
                                      .label = train->label,
                                      .row_count = train->row_count,
                                      .column_count = train->column_count,
                                      .c = p->c,
                                      .epsilon = p->epsilon,
                                      .tol = p->tol,
                                      .cache_bytes = CACHE_BYTES};
    double *coefficient = weir_models_calloc(rows, sizeof *coefficient);
    if (!coefficient) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu coefficients", rows);
    weir_status status = weir_svr_solve(&problem, coefficient, &head.intercept, err);
    if (status == WEIR_OK) status = append_machine(head, coefficient, z, train->row_count, train->column_count, body, err);
    weir_models_free(coefficient);
    return status;
}

static weir_status check_rows(const weir_matrix *train, weir_err *err) {
    if (train->weight) return WEIR_FAIL(err, WEIR_EINVAL, "algorithm svr cannot weigh rows");
    for (int64_t r = 0; r < train->row_count; r++)
        if (fabs(train->label[r]) > LABEL_MAX)
            return WEIR_FAIL(err, WEIR_ENUMERIC, "label of row %lld is %g, expected at most %g in size", (long long)r, train->label[r], LABEL_MAX);
    return WEIR_OK;
}

/* Nothing is drawn. */
static weir_status fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads;
    weir_status status = check_rows(train, err);
    if (status != WEIR_OK) return status;
    size_t p = (size_t)train->column_count;
    weir_linear_form *form = weir_linear_form_new(train->column_count, 0);
    double *z = weir_models_calloc((size_t)train->row_count * p, sizeof *z);
    if (!form || !z) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows of %zu columns", (long long)train->row_count, p);
    if (status == WEIR_OK) {
        weir_linear_form_standardise(train, form);
        for (size_t r = 0; r < (size_t)train->row_count; r++) weir_linear_form_row(form, train->values + r * p, z + r * p);
        status = weir_linear_form_append(form, body_magic, ret_body, err);
    }
    if (status == WEIR_OK) status = train_machine(params, train, z, ret_body, err);
    weir_models_free(z);
    weir_models_free(form);
    return status;
}

/* ---- scoring ---- */

static void unload(void *predictor) {
    weir_svr *m = predictor;
    if (!m) return;
    weir_models_free(m->form);
    weir_models_free(m->coefficient);
    weir_models_free(m);
}

/* What follows the standardisation in a body. */
static weir_status read_machine(weir_svr *m, const char *bytes, size_t len, weir_err *err) {
    size_t p = (size_t)m->form->column_count, row_bytes = (p + 1) * sizeof(double);
    if (len < sizeof m->head) return WEIR_FAIL(err, WEIR_EDATA, "the body ends after its standardisation");
    memcpy(&m->head, bytes, sizeof m->head);
    len -= sizeof m->head;
    const weir_svr_head *h = &m->head;
    if (h->kernel < WEIR_SVR_LINEAR || h->kernel > WEIR_SVR_SIGMOID || h->degree < 1 || h->degree > DEGREE_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "the body has kernel %d of degree %d, expected 0 to 3 and 1 to %d", h->kernel, h->degree, DEGREE_MAX);
    if (h->count < 0 || len % row_bytes != 0 || (uint64_t)h->count != len / row_bytes)
        return WEIR_FAIL(err, WEIR_EDATA, "the body claims %lld support vectors, %zu bytes are left for them", (long long)h->count, len);
    m->coefficient = weir_models_calloc(1, len);
    if (!m->coefficient) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld support vectors", (long long)h->count);
    m->vector = m->coefficient + h->count;
    memcpy(m->coefficient, bytes + sizeof m->head, len);
    bool good = isfinite(h->gamma) && isfinite(h->coef0) && isfinite(h->intercept);
    for (size_t i = 0; i < len / sizeof(double); i++) good = good && isfinite(m->coefficient[i]);
    return good ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the body holds a number that is not finite");
}

static weir_status load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    const weir_model_shape standardisation = {.column_count = shape->column_count, .output_count = 0};
    size_t front = sizeof body_magic + 2 * (size_t)shape->column_count * sizeof(double);
    weir_svr *m = weir_models_calloc(1, sizeof *m);
    if (!m) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model");
    weir_status status = weir_linear_form_parse(body, len < front ? len : front, body_magic, &standardisation, &m->form, err);
    if (status == WEIR_OK) status = read_machine(m, (const char *)body + front, len - front, err);
    if (status == WEIR_OK)
        *ret_predictor = m;
    else
        unload(m);
    return status;
}

static double dot(const double *a, const double *b, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

static double squared_distance(const double *a, const double *b, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

double weir_svr_kernel(const weir_svr_head *h, const double *a, const double *b, int count) {
    switch (h->kernel) {
    case WEIR_SVR_POLY: return pow(h->gamma * dot(a, b, count) + h->coef0, h->degree);
    case WEIR_SVR_RBF: return exp(-h->gamma * squared_distance(a, b, count));
    case WEIR_SVR_SIGMOID: return tanh(h->gamma * dot(a, b, count) + h->coef0);
    default: return dot(a, b, count);
    }
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    const weir_svr *m = predictor;
    double z[WEIR_MODEL_FITTED_MAX];
    int p = shape->column_count;
    for (int64_t r = 0; r < row_count; r++) {
        weir_linear_form_row(m->form, rows + r * p, z);
        double score = m->head.intercept;
        for (int64_t j = 0; j < m->head.count; j++) score += m->coefficient[j] * weir_svr_kernel(&m->head, m->vector + j * p, z, p);
        out[r] = score;
    }
    return WEIR_OK;
}

const weir_algorithm weir_algorithm_svr = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "svr",
    .doc = "Support vector regression on standardised columns, for up to tens of thousands of rows; knows no weights of rows",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = params_table,
    .params_size = sizeof(svr_params),
    .fit = fit,
    .load = load,
    .predict = predict,
    .unload = unload,
    .preprocessing = "missing values become the column's training mean; columns are standardised to training mean 0 and deviation 1",
};
