/* Linear models that learn row by row, in the order of the rows, and can go on where they stopped: stochastic gradient descent and FTRL-proximal. Logistic loss (of several classes
 * softmax), of a regression half the squared error.
 *
 * Of a row x with label y and weight v: z the standardised row, η = b + w'z, g = v ∂loss/∂η; the gradient of coordinate c is g_c = g z_c, of the intercept g.
 *
 *   sgd   constant, inverse_scaling:  w := max(0, 1 − ε l2) w − ε g z,  b := b − ε g;  ε = rate, or rate / t^power for the t-th row: scikit-learn's SGDClassifier and
 *         SGDRegressor with learning_rate "constant" or "invscaling", alpha = l2, one pass without shuffling.
 *         adagrad:  n_c := n_c + g_c²,  w_c := w_c − rate / √n_c · g_c with g_c = g z_c + v l2 w_c. Source: Duchi, Hazan, Singer, Adaptive subgradient methods, 2011, eq. 1.
 *   ftrl  σ = (√(n_c + g_c²) − √n_c) / alpha,  u_c := u_c + g_c − σ w_c,  n_c := n_c + g_c²,
 *         w_c = 0 where |u_c| ≤ l1, else −(u_c − sgn(u_c) l1) / ((beta + √n_c) / alpha + l2); the intercept has neither l1 nor l2.
 *         Source: McMahan et al., Ad click prediction: a view from the trenches, KDD 2013, algorithm 1.
 *
 * Standardisation goes with the stream: each row first enters the running means and variances of its columns (West, Updating mean and variance estimates, CACM 1979), then is
 * standardised by them; a missing value is the mean. Labels of a regression likewise. Without `standardise` values are as they come, a missing one 0.
 *
 * The body: a linear form ("ONLINSGD", "ONLIFTRL"), then the numbers of struct online, all float64. */
#include <math.h>
#include <string.h>

#include "models/online_linear.h"

#include "models/algorithms.h"
#include "models/interrupt.h"
#include "models/linear_form.h"
#include "models/memory.h"
#include "models/softmax.h"

static const char sgd_magic[8] = {'O', 'N', 'L', 'I', 'N', 'S', 'G', 'D'}, ftrl_magic[8] = {'O', 'N', 'L', 'I', 'F', 'T', 'R', 'L'};
#define SLOPE_MAX 1e12 /* of ∂loss/∂η, as scikit-learn's MAX_DLOSS: one wild row does not end the stream */

typedef enum sgd_schedule { SGD_ADAGRAD, SGD_CONSTANT, SGD_INVERSE_SCALING } sgd_schedule;
static const char *const schedules[] = {[SGD_ADAGRAD] = "adagrad", [SGD_CONSTANT] = "constant", [SGD_INVERSE_SCALING] = "inverse_scaling", NULL};

typedef struct sgd_params {
    int schedule;
    double rate, power, l2;
    bool standardise;
} sgd_params;

typedef struct ftrl_params {
    double alpha, beta, l1, l2;
    bool standardise;
} ftrl_params;

enum { ROWS, LABEL_WEIGHT, LABEL_MEAN, LABEL_SQUARES, LABEL_SCALE, HEAD_COUNT };

/* A model while it learns, and as a predictor. numbers, in the order of the body; coordinate p of p + 1 is the intercept. */
typedef struct online {
    weir_task task;
    int p, k;
    weir_linear_form *form;
    double *numbers;
    double *head; /* [HEAD_COUNT] rows that were learnt; running statistics of the label */
    double *column_weight, *column_squares; /* [p] of the values that were there: weight, sum of squares about the mean */
    double *squares; /* [k][p + 1] n: sums of squared gradients */
    double *sums; /* [k][p + 1] u of ftrl */
} online;

static size_t number_count(int p, int k) {
    return HEAD_COUNT + 2 * (size_t)p + 2 * (size_t)k * ((size_t)p + 1);
}

static void online_free(void *object) {
    online *o = object;
    if (!o) return;
    weir_models_free(o->form);
    weir_models_free(o->numbers);
    weir_models_free(o);
}

/* form: taken; NULL: of a model that knows nothing yet. */
static online *online_new(const weir_model_shape *shape, weir_linear_form *form) {
    online *o = weir_models_calloc(1, sizeof *o);
    int p = shape->column_count, k = shape->output_count;
    if (o) *o = (online){.task = shape->task, .p = p, .k = k, .numbers = weir_models_calloc(number_count(p, k), sizeof(double))};
    if (o && !form && (form = weir_linear_form_new(p, k)))
        for (int c = 0; c < p; c++) form->scale[c] = 1;
    if (!o || !form || !o->numbers) {
        weir_models_free(form);
        online_free(o);
        return NULL;
    }
    o->form = form;
    o->head = o->numbers;
    o->head[LABEL_SCALE] = 1;
    o->column_weight = o->head + HEAD_COUNT;
    o->column_squares = o->column_weight + p;
    o->squares = o->column_squares + p;
    o->sums = o->squares + (size_t)k * ((size_t)p + 1);
    return o;
}

/* ---- the body ---- */

static weir_status append_online(const online *o, const char magic[8], weir_buf *body, weir_err *err) {
    size_t count = number_count(o->p, o->k);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(o->numbers[i])) return WEIR_FAIL(err, WEIR_ENUMERIC, "learning left the finite numbers: values, labels, weights or rates are too large");
    weir_status status = weir_linear_form_append(o->form, magic, body, err);
    if (status) return status;
    return weir_buf_append(body, o->numbers, count * sizeof(double)) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a body of %d columns", o->p);
}

static weir_status parse_online(const void *body, size_t len, const char magic[8], const weir_model_shape *shape, online **ret_online, weir_err *err) {
    size_t count = number_count(shape->column_count, shape->output_count), bytes = count * sizeof(double);
    weir_linear_form *form = NULL;
    if (len < bytes) return WEIR_FAIL(err, WEIR_EDATA, "the body has %zu bytes, expected more than %zu", len, bytes);
    weir_status status = weir_linear_form_parse(body, len - bytes, magic, shape, &form, err);
    if (status) return status;
    online *o = online_new(shape, form);
    if (!o) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", shape->column_count);
    memcpy(o->numbers, (const char *)body + len - bytes, bytes);
    bool good = o->head[LABEL_SCALE] > 0;
    for (size_t i = 0; good && i < count; i++) good = isfinite(o->numbers[i]) && (o->numbers[i] >= 0 || i == LABEL_MEAN || o->numbers + i >= o->sums);
    if (!good) {
        online_free(o);
        return WEIR_FAIL(err, WEIR_EDATA, "the body holds a number that is not finite, or a sum of squares below 0");
    }
    *ret_online = o;
    return WEIR_OK;
}

/* ---- learning ---- */

/* A value enters running statistics; *scale stays 1 while nothing varies beyond rounding. */
static void enter(double x, double weight, double *total, double *mean, double *squares, double *scale) {
    *total += weight;
    double before = x - *mean;
    *mean += before * (weight / *total);
    *squares += weight * before * (x - *mean);
    double variance = *squares / *total;
    *scale = variance > 1e-24 * *mean * *mean ? sqrt(variance) : 1;
}

static void enter_row(online *o, const double *x, double y, double weight) {
    weir_linear_form *f = o->form;
    for (int c = 0; c < o->p; c++)
        if (!isnan(x[c])) enter(x[c], weight, &o->column_weight[c], &f->mean[c], &o->column_squares[c], &f->scale[c]);
    if (o->task == WEIR_TASK_REGRESSION) enter(y, weight, &o->head[LABEL_WEIGHT], &o->head[LABEL_MEAN], &o->head[LABEL_SQUARES], &o->head[LABEL_SCALE]);
}

/* η to what is scored, on the scale that is learnt on. */
static void link_scores(weir_task task, int k, double *scores) {
    if (task == WEIR_TASK_MULTICLASS) weir_softmax(scores, k);
    if (task == WEIR_TASK_BINARY) *scores = 1 / (1 + exp(-*scores));
}

/* slope [k]: v ∂loss/∂η; z [p + 1] the row, 1 for the intercept. */
static void differentiate(const online *o, const double *x, double y, double weight, double *z, double *slope) {
    weir_linear_form_row(o->form, x, z);
    z[o->p] = 1;
    for (int k = 0; k < o->k; k++) {
        const double *w = o->form->coefficient + (size_t)k * (size_t)o->p;
        slope[k] = o->form->intercept[k];
        for (int c = 0; c < o->p; c++) slope[k] += w[c] * z[c];
    }
    link_scores(o->task, o->k, slope);
    double target = o->task == WEIR_TASK_REGRESSION ? (y - o->head[LABEL_MEAN]) / o->head[LABEL_SCALE] : y;
    for (int k = 0; k < o->k; k++) {
        slope[k] -= o->task == WEIR_TASK_MULTICLASS ? y == k : target;
        slope[k] = weight * fmin(fmax(slope[k], -SLOPE_MAX), SLOPE_MAX);
    }
}

static void sgd_step(const void *object, online *o, int k, double slope, double weight, const double *z) {
    const sgd_params *params = object;
    double *w = o->form->coefficient + (size_t)k * (size_t)o->p, *b = &o->form->intercept[k], *n = o->squares + (size_t)k * ((size_t)o->p + 1);
    if (params->schedule == SGD_ADAGRAD) {
        for (int c = 0; c <= o->p; c++) {
            double *at = c < o->p ? &w[c] : b, gradient = slope * z[c] + (c < o->p ? weight * params->l2 * w[c] : 0);
            n[c] += gradient * gradient;
            if (n[c] > 0) *at -= params->rate / sqrt(n[c]) * gradient;
        }
        return;
    }
    double rate = params->schedule == SGD_CONSTANT ? params->rate : params->rate / pow(o->head[ROWS], params->power), shrink = fmax(0, 1 - rate * params->l2);
    for (int c = 0; c < o->p; c++) w[c] = w[c] * shrink - rate * slope * z[c];
    *b -= rate * slope;
}

static void ftrl_step(const void *object, online *o, int k, double slope, double weight, const double *z) {
    (void)weight;
    const ftrl_params *params = object;
    double *w = o->form->coefficient + (size_t)k * (size_t)o->p, *b = &o->form->intercept[k], *n = o->squares + (size_t)k * ((size_t)o->p + 1);
    double *u = o->sums + (size_t)k * ((size_t)o->p + 1);
    for (int c = 0; c <= o->p; c++) {
        double *at = c < o->p ? &w[c] : b, gradient = slope * z[c], l1 = c < o->p ? params->l1 : 0, l2 = c < o->p ? params->l2 : 0;
        double more = n[c] + gradient * gradient, sigma = (sqrt(more) - sqrt(n[c])) / params->alpha;
        u[c] += gradient - sigma * *at;
        n[c] = more;
        *at = fabs(u[c]) <= l1 ? 0 : -(u[c] - copysign(l1, u[c])) / ((params->beta + sqrt(n[c])) / params->alpha + l2);
    }
}

typedef void (*step_function)(const void *params, online *o, int k, double slope, double weight, const double *z);

static weir_status learn_rows(const void *params, bool standardise, step_function step, online *o, const weir_matrix *rows, weir_err *err) {
    double *z = weir_models_calloc((size_t)o->p + 1 + (size_t)o->k, sizeof *z);
    if (!z) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %d columns", o->p);
    double *slope = z + o->p + 1;
    weir_status status = WEIR_OK;
    for (int64_t r = 0; r < rows->row_count; r++) {
        if (r % WEIR_CHUNK_ROWS == 0 && (status = weir_interrupt_check(err))) break;
        double weight = weir_matrix_weight(rows, r);
        const double *x = rows->values + r * rows->column_count;
        if (weight == 0) continue;
        o->head[ROWS]++;
        if (standardise) enter_row(o, x, rows->label[r], weight);
        differentiate(o, x, rows->label[r], weight, z, slope);
        for (int k = 0; k < o->k; k++) step(params, o, k, slope[k], weight, z);
    }
    weir_models_free(z);
    return status;
}

/* body NULL: from nothing. */
static weir_status go_on(bool ftrl, const void *params, const void *body, size_t len, const weir_model_shape *shape, const weir_matrix *rows,
                         weir_buf *ret_body, weir_err *err) {
    online *o = NULL;
    const char *magic = ftrl ? ftrl_magic : sgd_magic;
    bool standardise = ftrl ? ((const ftrl_params *)params)->standardise : ((const sgd_params *)params)->standardise;
    weir_status status = WEIR_OK;
    if (body)
        status = parse_online(body, len, magic, shape, &o, err);
    else if (!(o = online_new(shape, NULL)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d columns", shape->column_count);
    if (!status) status = learn_rows(params, standardise, ftrl ? ftrl_step : sgd_step, o, rows, err);
    if (!status) status = append_online(o, magic, ret_body, err);
    online_free(o);
    return status;
}

static weir_model_shape shape_of(const weir_matrix *train) {
    return (weir_model_shape){
        .column_count = train->column_count, .task = train->task, .output_count = train->task == WEIR_TASK_MULTICLASS ? train->class_count : 1};
}

static weir_status sgd_fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads; /* rows are taken in their order: nothing is drawn */
    weir_model_shape shape = shape_of(train);
    return go_on(false, params, NULL, 0, &shape, train, ret_body, err);
}

static weir_status ftrl_fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads;
    weir_model_shape shape = shape_of(train);
    return go_on(true, params, NULL, 0, &shape, train, ret_body, err);
}

static weir_status sgd_learn(const void *params, const void *body, size_t len, const weir_model_shape *shape, const weir_matrix *more, weir_buf *ret_body,
                             weir_err *err) {
    return go_on(false, params, body, len, shape, more, ret_body, err);
}

static weir_status ftrl_learn(const void *params, const void *body, size_t len, const weir_model_shape *shape, const weir_matrix *more, weir_buf *ret_body,
                              weir_err *err) {
    return go_on(true, params, body, len, shape, more, ret_body, err);
}

/* ---- scoring ---- */

static weir_status sgd_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    online *o = NULL;
    weir_status status = parse_online(body, len, sgd_magic, shape, &o, err);
    if (!status) *ret_predictor = o;
    return status;
}

static weir_status ftrl_load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    online *o = NULL;
    weir_status status = parse_online(body, len, ftrl_magic, shape, &o, err);
    if (!status) *ret_predictor = o;
    return status;
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    const online *o = predictor;
    for (int64_t r = 0; r < row_count; r++, out += shape->output_count) {
        weir_linear_form_score(o->form, rows + r * shape->column_count, out);
        link_scores(shape->task, shape->output_count, out);
        if (shape->task == WEIR_TASK_REGRESSION) *out = o->head[LABEL_MEAN] + o->head[LABEL_SCALE] * *out;
    }
    return WEIR_OK;
}

void weir_online_scale(const void *predictor, const weir_linear_form **ret_form, double *ret_mean, double *ret_scale) {
    const online *o = predictor;
    *ret_form = o->form;
    *ret_mean = o->head[LABEL_MEAN];
    *ret_scale = o->head[LABEL_SCALE];
}

#define EVERY_TASK (WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION))
#define STANDARDISE_DOC "columns, and labels of a regression, are standardised by the mean and deviation of the rows so far"
static const char preprocessing[] =
    "missing values become the column's running mean; columns are standardised by what the rows so far say, where `standardise` is on";

#define AT(field) offsetof(sgd_params, field)
static const weir_conf_item sgd_table[] = {
    {.name = "schedule",
     .type = WEIR_CONF_ENUM,
     .offset = AT(schedule),
     .choices = schedules,
     .fallback = "adagrad",
     .doc =
         "how steps become smaller: adagrad by each column's gradients so far, inverse_scaling by rate / t^power, constant never: it keeps following a drift"},
    {.name = "rate", .type = WEIR_CONF_NUMBER, .offset = AT(rate), .min = 1e-9, .max = 1e3, .fallback = "0.1", .doc = "size of the first step"},
    {.name = "power", .type = WEIR_CONF_NUMBER, .offset = AT(power), .min = 0, .max = 2, .fallback = "0.25", .doc = "of inverse_scaling"},
    {.name = "l2", .type = WEIR_CONF_NUMBER, .offset = AT(l2), .min = 0, .max = 1e6, .fallback = "0.0001", .doc = "penalty on squared coefficients, a row"},
    {.name = "standardise", .type = WEIR_CONF_BOOL, .offset = AT(standardise), .fallback = "true", .doc = STANDARDISE_DOC},
    {.name = NULL},
};
#undef AT

#define AT(field) offsetof(ftrl_params, field)
static const weir_conf_item ftrl_table[] = {
    {.name = "alpha", .type = WEIR_CONF_NUMBER, .offset = AT(alpha), .min = 1e-9, .max = 1e3, .fallback = "0.1", .doc = "size of the steps"},
    {.name = "beta", .type = WEIR_CONF_NUMBER, .offset = AT(beta), .min = 0, .max = 1e6, .fallback = "1", .doc = "makes the first steps of a column smaller"},
    {.name = "l1",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(l1),
     .min = 0,
     .max = 1e9,
     .fallback = "0",
     .doc = "penalty on coefficients, which leaves columns out"},
    {.name = "l2", .type = WEIR_CONF_NUMBER, .offset = AT(l2), .min = 0, .max = 1e9, .fallback = "0", .doc = "penalty on squared coefficients"},
    {.name = "standardise", .type = WEIR_CONF_BOOL, .offset = AT(standardise), .fallback = "true", .doc = STANDARDISE_DOC},
    {.name = NULL},
};
#undef AT

const weir_algorithm weir_algorithm_sgd = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "sgd",
    .doc = "Linear or logistic regression learnt row by row by stochastic gradient descent; goes on learning from a stream",
    .tasks = EVERY_TASK,
    .params = sgd_table,
    .params_size = sizeof(sgd_params),
    .fit = sgd_fit,
    .load = sgd_load,
    .predict = predict,
    .unload = online_free,
    .preprocessing = preprocessing,
    .learn = sgd_learn,
};

const weir_algorithm weir_algorithm_ftrl = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "ftrl",
    .doc = "Linear or logistic regression learnt row by row by FTRL-proximal, a step size a column, with few coefficients where l1 is set; goes on learning "
           "from a stream",
    .tasks = EVERY_TASK,
    .params = ftrl_table,
    .params_size = sizeof(ftrl_params),
    .fit = ftrl_fit,
    .load = ftrl_load,
    .predict = predict,
    .unload = online_free,
    .preprocessing = preprocessing,
    .learn = ftrl_learn,
};
