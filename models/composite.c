#include "models/composite.h"

#include <math.h>
#include <string.h>

#include "models/memory.h"
#include "models/model_internal.h"

enum { FORMAT_VERSION = 1, FRONT = 16, SCRATCH = 4096 };

static const char *const names[] = {"single", "average", "weighted", "stacking", "targets"};

const char *weir_composition_name(weir_composition kind) {
    return names[kind];
}

/* ---- writing ---- */

static bool put_artifact(weir_buf *body, const weir_buf *artifact) {
    unsigned char len[8];
    weir_put_le(len, artifact->len, 8);
    return weir_buf_append(body, len, sizeof len) && weir_buf_append(body, artifact->data, artifact->len);
}

weir_status weir_composite_write(weir_composition kind, const weir_buf *members, int member_count, const double *weights, const weir_buf *meta,
                                 weir_buf *ret_body, weir_err *err) {
    unsigned char front[FRONT], weight[8];
    weir_put_le(front, FORMAT_VERSION, 4);
    weir_put_le(front + 4, kind, 4);
    weir_put_le(front + 8, (uint64_t)member_count, 4);
    weir_put_le(front + 12, meta != NULL, 4);
    bool ok = weir_buf_append(ret_body, front, sizeof front);
    for (int i = 0; ok && i < member_count; i++) {
        uint64_t bits = 0;
        if (weights) memcpy(&bits, &weights[i], sizeof bits);
        weir_put_le(weight, bits, 8);
        ok = weir_buf_append(ret_body, weight, sizeof weight);
    }
    for (int i = 0; ok && i < member_count; i++) ok = put_artifact(ret_body, &members[i]);
    if (ok && meta) ok = put_artifact(ret_body, meta);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d members", member_count);
}

/* ---- loading ---- */

static void unload(void *predictor) {
    weir_composite *c = predictor;
    if (!c) return;
    for (int i = 0; c->members && i < c->member_count; i++) weir_model_free(c->members[i]);
    weir_model_free(c->meta);
    weir_models_free(c->members);
    weir_models_free(c->weights);
    weir_models_free(c);
}

/* What is left of a body. */
typedef struct reader {
    const unsigned char *at;
    size_t left;
} reader;

static weir_status read_front(reader *r, weir_composite *c, bool targets, const weir_model_shape *shape, weir_err *err) {
    if (r->left < FRONT) return WEIR_FAIL(err, WEIR_EDATA, "the body of a model of several has %zu bytes, expected at least %d", r->left, FRONT);
    uint64_t version = weir_get_le(r->at, 4), kind = weir_get_le(r->at + 4, 4), count = weir_get_le(r->at + 8, 4), metas = weir_get_le(r->at + 12, 4);
    if (version != FORMAT_VERSION)
        return WEIR_FAIL(err, WEIR_EDATA, "the body of a model of several has format version %llu, expected %d", (unsigned long long)version, FORMAT_VERSION);
    bool known = targets ? kind == WEIR_MODEL_TARGETS : kind == WEIR_MODEL_AVERAGE || kind == WEIR_MODEL_WEIGHTED || kind == WEIR_MODEL_STACKING;
    if (!known) return WEIR_FAIL(err, WEIR_EDATA, "the body of a model of several has the unknown kind %llu", (unsigned long long)kind);
    if (count < 1 || count > WEIR_MODEL_MEMBERS_MAX || (targets && count != (uint64_t)shape->output_count))
        return WEIR_FAIL(err, WEIR_EDATA, "a model of several has %llu members, expected %d", (unsigned long long)count,
                         targets ? shape->output_count : WEIR_MODEL_MEMBERS_MAX);
    if (metas != (kind == WEIR_MODEL_STACKING))
        return WEIR_FAIL(err, WEIR_EDATA, "a model of kind %s has %llu meta models", names[kind], (unsigned long long)metas);
    if (r->left < FRONT + 8 * count) return WEIR_FAIL(err, WEIR_EDATA, "the body of a model of several ends inside its weights");
    c->kind = (weir_composition)kind;
    c->member_count = (int)count;
    r->at += FRONT;
    r->left -= FRONT;
    return WEIR_OK;
}

static weir_status read_weights(reader *r, weir_composite *c, weir_err *err) {
    double sum = 0;
    bool good = true;
    for (int i = 0; i < c->member_count; i++, r->at += 8, r->left -= 8) {
        uint64_t bits = weir_get_le(r->at, 8);
        memcpy(&c->weights[i], &bits, sizeof bits);
        good = good && c->weights[i] >= 0 && c->weights[i] <= 1;
        sum += c->weights[i];
    }
    if (c->kind == WEIR_MODEL_STACKING || c->kind == WEIR_MODEL_TARGETS) return WEIR_OK;
    return good && fabs(sum - 1) < 1e-9 ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the weights of an ensemble are no shares that sum to 1");
}

static weir_status read_model(reader *r, bool may_be_ensemble, weir_model **ret_model, weir_err *err) {
    uint64_t len = r->left < 8 ? 0 : weir_get_le(r->at, 8);
    if (r->left < 8 || len > r->left - 8) return WEIR_FAIL(err, WEIR_EDATA, "its artifact claims %llu bytes, %zu are left", (unsigned long long)len, r->left);
    weir_status status = weir_model_load_member(r->at + 8, (size_t)len, may_be_ensemble, ret_model, err);
    r->at += 8 + len;
    r->left -= 8 + (size_t)len;
    return status;
}

/* A member gives what the whole one does, or one target of it, from rows as wide. */
static weir_status check_member(const weir_model *m, int columns, weir_task task, int outputs, weir_err *err) {
    if (weir_model_column_count(m) == columns && weir_model_task(m) == task && weir_model_output_count(m) == outputs) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "it is %s, from %d columns to %d scores, expected %s, from %d to %d", weir_task_name(weir_model_task(m)),
                     weir_model_column_count(m), weir_model_output_count(m), weir_task_name(task), columns, outputs);
}

static weir_status read_members(reader *r, weir_composite *c, const weir_model_shape *shape, weir_err *err) {
    bool targets = c->kind == WEIR_MODEL_TARGETS;
    int outputs = targets ? 1 : shape->output_count;
    for (int i = 0; i < c->member_count; i++) {
        weir_status status = read_model(r, targets, &c->members[i], err);
        if (!status) status = check_member(c->members[i], shape->column_count, shape->task, outputs, err);
        if (status) return weir_err_prefix(err, "member %d", i);
    }
    if (c->kind != WEIR_MODEL_STACKING) return WEIR_OK;
    weir_status status = read_model(r, false, &c->meta, err);
    if (!status) status = check_member(c->meta, c->member_count * outputs, shape->task, outputs, err);
    return status ? weir_err_prefix(err, "meta model") : WEIR_OK;
}

static weir_status load(const void *body, size_t len, bool targets, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    reader r = {body, len};
    weir_composite *c = weir_models_calloc(1, sizeof *c);
    if (!c) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of several");
    weir_status status = read_front(&r, c, targets, shape, err);
    if (!status) {
        c->members = weir_models_calloc((size_t)c->member_count, sizeof *c->members);
        c->weights = weir_models_calloc((size_t)c->member_count, sizeof *c->weights);
        if (!c->members || !c->weights) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d members", c->member_count);
    }
    if (!status) status = read_weights(&r, c, err);
    if (!status) status = read_members(&r, c, shape, err);
    if (!status && r.left) status = WEIR_FAIL(err, WEIR_EDATA, "%zu bytes are left behind the last member", r.left);
    if (status)
        unload(c);
    else
        *ret_predictor = c;
    return status;
}

static weir_status load_ensemble(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    return load(body, len, false, shape, ret_predictor, err);
}

static weir_status load_targets(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    return load(body, len, true, shape, ret_predictor, err);
}

/* ---- scoring ---- */

/* n rows at a time. scores [n][outputs] is scratch; features [n][members][outputs] of stacking too. */
static weir_status predict_member(const weir_composite *c, int i, const double *rows, int64_t n, double *scores, weir_err *err) {
    weir_status status = weir_model_predict(c->members[i], rows, n, scores, err);
    return status && err ? weir_err_prefix(err, "member %d, %s", i, weir_model_algorithm(c->members[i])) : status;
}

static weir_status average_block(const weir_composite *c, const double *rows, int64_t n, const weir_model_shape *shape, double *scores, double *out,
                                 weir_err *err) {
    int64_t count = n * shape->output_count;
    memset(out, 0, (size_t)count * sizeof *out);
    for (int i = 0; i < c->member_count; i++) {
        if (c->weights[i] == 0) continue;
        weir_status status = predict_member(c, i, rows, n, scores, err);
        if (status) return status;
        for (int64_t k = 0; k < count; k++) out[k] += c->weights[i] * scores[k];
    }
    if (shape->task == WEIR_TASK_REGRESSION) return WEIR_OK;
    for (int64_t k = 0; k < count; k++) out[k] = fmin(out[k], 1); /* weights sum to 1 but for rounding */
    return WEIR_OK;
}

static weir_status stack_block(const weir_composite *c, const double *rows, int64_t n, const weir_model_shape *shape, double *scores, double *features,
                               double *out, weir_err *err) {
    int outputs = shape->output_count, width = c->member_count * outputs;
    for (int i = 0; i < c->member_count; i++) {
        weir_status status = predict_member(c, i, rows, n, scores, err);
        if (status) return status;
        for (int64_t r = 0; r < n; r++) memcpy(features + r * width + (ptrdiff_t)i * outputs, scores + r * outputs, (size_t)outputs * sizeof *scores);
    }
    weir_status status = weir_model_predict(c->meta, features, n, out, err);
    return status && err ? weir_err_prefix(err, "meta model") : status;
}

static weir_status targets_block(const weir_composite *c, const double *rows, int64_t n, double *scores, double *out, weir_err *err) {
    for (int i = 0; i < c->member_count; i++) {
        weir_status status = predict_member(c, i, rows, n, scores, err);
        if (status) return status;
        for (int64_t r = 0; r < n; r++) out[r * c->member_count + i] = scores[r];
    }
    return WEIR_OK;
}

/* As many rows at a time as their scores fit into a block on the stack; only where those of one row do not, memory comes from the heap. */
static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    const weir_composite *c = predictor;
    double block[SCRATCH], *scratch = block;
    int outputs = shape->output_count, a_row = c->kind == WEIR_MODEL_TARGETS ? 1 : c->kind == WEIR_MODEL_STACKING ? (c->member_count + 1) * outputs : outputs;
    int64_t at_once = a_row <= SCRATCH ? SCRATCH / a_row : 1;
    if (a_row > SCRATCH && !(scratch = weir_models_calloc((size_t)a_row, sizeof *scratch)))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d scores of members", a_row);
    weir_status status = WEIR_OK;
    for (int64_t r = 0; !status && r < row_count; r += at_once) {
        int64_t n = row_count - r < at_once ? row_count - r : at_once;
        const double *from = rows + r * shape->column_count;
        double *to = out + r * outputs;
        if (c->kind == WEIR_MODEL_TARGETS)
            status = targets_block(c, from, n, scratch, to, err);
        else if (c->kind == WEIR_MODEL_STACKING)
            status = stack_block(c, from, n, shape, scratch, scratch + n * outputs, to, err);
        else
            status = average_block(c, from, n, shape, scratch, to, err);
    }
    if (scratch != block) weir_models_free(scratch);
    return status;
}

static weir_status refuse_fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)params, (void)train, (void)seed, (void)threads, (void)ret_body;
    return WEIR_FAIL(err, WEIR_EINVAL, "a model of several is fitted member by member");
}

static const weir_conf_item no_params[] = {{.name = NULL}};

#define PREPROCESSING "each member's own"

const weir_algorithm weir_algorithm_ensemble = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "ensemble",
    .doc = "Average, weighted average or stacking of models",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = no_params,
    .fit = refuse_fit,
    .load = load_ensemble,
    .predict = predict,
    .unload = unload,
    .preprocessing = PREPROCESSING,
};

const weir_algorithm weir_algorithm_multi_target = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "multi_target",
    .doc = "A model a target",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = no_params,
    .fit = refuse_fit,
    .load = load_targets,
    .predict = predict,
    .unload = unload,
    .preprocessing = PREPROCESSING,
};
