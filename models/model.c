/* The artifact: what a fitted model is on disk.
 *
 *   offset        bytes
 *   0             8       "WEIRMOD1"
 *   8             4       format version, 1
 *   12            4       length H of the header
 *   16            H       header, a JSON object in UTF-8
 *   16+H          8       length B of the body
 *   24+H          B       body, the algorithm's own format
 *   24+H+B        32      SHA-256 of all bytes before it
 *
 * Numbers are little-endian. The digest of a model is the SHA-256 of the whole file. The body of a model of several holds the artifacts of its members
 * (models/composite.h).
 * A header without `task` is of a binary model: there were no others once. */
#include "models/model.h"

#include <math.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>

#include "models/artifact_file.h"
#include "models/distributed.h"
#include "models/lightgbm.h"
#include "models/memory.h"
#include "models/model_internal.h"
#include "models/model_parts.h"
#include "models/prepared.h"
#include "models/scorer_compile.h"

enum { FORMAT_VERSION = 1, HEADER_AT = 16, HEADER_MAX = 16 << 20 };
static const char magic[8] = {'W', 'E', 'I', 'R', 'M', 'O', 'D', '1'};

struct weir_model {
    const weir_algorithm *algorithm;
    _Atomic(void *) predictor; /* what the algorithm loaded; of trees NULL until somebody asks for the library's own scores: the compiled form does without */
    cJSON *header; /* columns and names point into it */
    const char **columns, **classes, **targets; /* the latter two may be NULL */
    unsigned char *artifact; /* as it was loaded */
    size_t artifact_len;
    const unsigned char *body; /* of a single model: its part of the artifact */
    size_t body_len;
    weir_model_shape shape; /* of the rows that are scored */
    weir_prep *prep; /* NULL: rows go to the algorithm as they are */
    weir_model_shape fitted; /* of the rows that the algorithm was fitted on */
    _Atomic(weir_trees *) trees; /* read from the body by whoever needs them first */
    weir_scorer scorer; /* what scores; none of members, and where an algorithm has no compiled form: then its own predict does */
    char digest[65];
};

void weir_sha256_hex(const void *bytes, size_t len, char text[65]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256(bytes, len, sum);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        text[2 * i] = digits[sum[i] >> 4];
        text[2 * i + 1] = digits[sum[i] & 15];
    }
    text[64] = 0;
}

/* ---- fitting ---- */

static weir_status check_columns(const weir_matrix *m, weir_err *err) {
    if (m->column_count < 1 || m->column_count > WEIR_MODEL_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "the training set has %d columns, expected 1 to %d", m->column_count, WEIR_MODEL_COLUMNS_MAX);
    for (int c = 0; c < m->column_count; c++) {
        if (!m->column_names[c] || !*m->column_names[c]) return WEIR_FAIL(err, WEIR_EINVAL, "column %d has no name", c);
        for (int other = 0; other < c; other++)
            if (!strcmp(m->column_names[c], m->column_names[other])) return WEIR_FAIL(err, WEIR_EINVAL, "column '%s' is there twice", m->column_names[c]);
    }
    return WEIR_OK;
}

static int class_count(const weir_matrix *m) {
    return m->task == WEIR_TASK_MULTICLASS ? m->class_count : m->task == WEIR_TASK_BINARY ? 2 : 0;
}

static weir_status check_weight(const weir_matrix *m, int64_t r, weir_err *err) {
    if (m->weight[r] >= 0 && isfinite(m->weight[r])) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number from 0", (long long)r, m->weight[r]);
}

static weir_status check_values(const weir_matrix *m, int64_t r, weir_err *err) {
    const double *row = m->values + r * m->column_count;
    for (int c = 0; c < m->column_count; c++)
        if (isinf(row[c])) return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has an infinite value in column '%s'", (long long)r, m->column_names[c]);
    return WEIR_OK;
}

static weir_status bad_label(const weir_matrix *m, int64_t r, weir_err *err) {
    if (m->task == WEIR_TASK_REGRESSION) return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a finite number", (long long)r, m->label[r]);
    if (m->task == WEIR_TASK_BINARY) return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected 0 or 1", (long long)r, m->label[r]);
    return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a whole number from 0 to %d", (long long)r, m->label[r], m->class_count - 1);
}

/* counted: the rows of each class that weigh anything. */
static weir_status check_counts(const weir_matrix *m, const int64_t *counted, int classes, weir_err *err) {
    const char *weigh = m->weight ? " that weigh anything" : "";
    if (m->task == WEIR_TASK_BINARY && (!counted[0] || !counted[1]))
        return WEIR_FAIL(err, WEIR_EDATA, "%lld of the %lld training rows%s are positive, expected rows of both classes", (long long)counted[1],
                         (long long)(counted[0] + counted[1]), weigh);
    for (int k = 0; k < classes; k++)
        if (!counted[k]) return WEIR_FAIL(err, WEIR_EDATA, "no training row%s has class %d, expected some of each of the %d classes", weigh, k, classes);
    return WEIR_OK;
}

/* Labels, weights and values. A regression counts all its rows as those of one class. complete: there are rows, and of every class. */
static weir_status check_rows(const weir_matrix *m, bool complete, weir_err *err) {
    int64_t counted[WEIR_MODEL_CLASSES_MAX] = {0};
    int classes = m->task == WEIR_TASK_REGRESSION ? 1 : class_count(m);
    if (classes > WEIR_MODEL_CLASSES_MAX || (m->task == WEIR_TASK_MULTICLASS && classes < 2))
        return WEIR_FAIL(err, WEIR_EINVAL, "the training set has %d classes, expected 2 to %d", classes, WEIR_MODEL_CLASSES_MAX);
    for (int64_t r = 0; r < m->row_count; r++) {
        double y = m->label[r];
        bool good = m->task == WEIR_TASK_REGRESSION ? isfinite(y) : y >= 0 && y < classes && y == floor(y);
        if (!good) return bad_label(m, r, err);
        weir_status status = m->weight ? check_weight(m, r, err) : WEIR_OK;
        if (status == WEIR_OK) status = check_values(m, r, err);
        if (status != WEIR_OK) return status;
        if (!m->weight || m->weight[r] > 0) counted[m->task == WEIR_TASK_REGRESSION ? 0 : (int)y]++;
    }
    if (!complete) return WEIR_OK;
    if (m->task == WEIR_TASK_REGRESSION && !counted[0]) return WEIR_FAIL(err, WEIR_EDATA, "0 training rows%s", m->weight ? " that weigh anything" : "");
    return check_counts(m, counted, classes, err);
}

weir_status weir_algorithm_for_task(const char *name, weir_task task, const weir_algorithm **ret_algorithm, weir_err *err) {
    const weir_algorithm *algorithm = weir_algorithm_find(name);
    char names[256];
    int len = 0;
    if ((int)task < 0 || (int)task >= WEIR_TASK_COUNT) return WEIR_FAIL(err, WEIR_EINVAL, "there is no task %d", (int)task);
    *ret_algorithm = algorithm;
    if (algorithm && weir_algorithm_can(algorithm, task)) return WEIR_OK;
    for (const weir_algorithm *const *a = weir_algorithms(); *a && len < (int)sizeof names; a++)
        if (weir_algorithm_can(*a, task)) len += snprintf(names + len, sizeof names - (size_t)len, "%s%s", len ? ", " : "", (*a)->name);
    if (!algorithm) return WEIR_FAIL(err, WEIR_EINVAL, "there is no algorithm '%s'; for a %s task there are %s", name, weir_task_name(task), names);
    return WEIR_FAIL(err, WEIR_EINVAL, "algorithm %s cannot do a %s task; those that can are %s", name, weir_task_name(task), names);
}

weir_status weir_algorithm_check_params(const weir_algorithm *algorithm, const cJSON *params, const char *path, weir_err *err) {
    void *object = weir_models_calloc(1, algorithm->params_size);
    if (!object) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for hyperparameters");
    weir_status status = weir_conf_defaults(algorithm->params, object, err);
    if (status == WEIR_OK && params) status = weir_conf_from_json(algorithm->params, object, params, path, err);
    weir_conf_done(algorithm->params, object);
    weir_models_free(object);
    return status;
}

/* The hyperparameters that were in force, defaults included: an artifact then means the same when defaults change. */
static cJSON *params_to_json(const weir_conf_item *table, const void *params) {
    cJSON *json = cJSON_CreateObject();
    bool ok = json != NULL;
    for (const weir_conf_item *item = table; ok && item->name; item++) {
        const char *field = (const char *)params + item->offset;
        switch (item->type) {
        case WEIR_CONF_BOOL: ok = cJSON_AddBoolToObject(json, item->name, *(const bool *)field); break;
        case WEIR_CONF_INT: ok = cJSON_AddNumberToObject(json, item->name, (double)*(const int64_t *)field); break;
        case WEIR_CONF_NUMBER: ok = cJSON_AddNumberToObject(json, item->name, *(const double *)field); break;
        case WEIR_CONF_ENUM: ok = cJSON_AddStringToObject(json, item->name, item->choices[*(const int *)field]); break;
        default: ok = false; /* hyperparameters are numbers, switches and choices; the contract test fits every algorithm */
        }
    }
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

static bool add_raw(cJSON *header, const char *name, const char *text) {
    return cJSON_AddRawToObject(header, name, text) != NULL;
}

/* Takes the array over. */
static bool add_texts(cJSON *header, const char *name, const char *const *texts, int count) {
    cJSON *array = cJSON_CreateStringArray(texts, count);
    if (array && cJSON_AddItemToObject(header, name, array)) return true;
    cJSON_Delete(array);
    return false;
}

static char *header_text(const weir_artifact_header *h) {
    const weir_matrix *train = h->train;
    int classes = class_count(train);
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)h->seed); /* a JSON number made from a double would lose digits */
    cJSON *header = cJSON_CreateObject();
    bool ok = header && cJSON_AddStringToObject(header, "algorithm", h->algorithm->name) &&
              cJSON_AddStringToObject(header, "task", weir_task_name(train->task)) && cJSON_AddNumberToObject(header, "class_count", classes) &&
              (!classes || !train->class_names || add_texts(header, "classes", train->class_names, classes)) &&
              (!h->target_count || add_texts(header, "targets", h->targets, h->target_count)) &&
              add_texts(header, "columns", train->column_names, train->column_count) && cJSON_AddItemReferenceToObject(header, "params", (cJSON *)h->params) &&
              add_raw(header, "seed", number) && cJSON_AddNumberToObject(header, "threads", h->threads) && (!h->chain || add_raw(header, "chain", h->chain)) &&
              cJSON_AddStringToObject(header, "preprocessing", h->algorithm->preprocessing) &&
              cJSON_AddStringToObject(header, "feature_hash", h->feature_hash ? h->feature_hash : "");
    char *text = ok ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    return text;
}

static weir_status append_parts(const char *header, const weir_buf *body, weir_buf *artifact, weir_err *err) {
    unsigned char front[8], body_len[8], sum[SHA256_DIGEST_LENGTH];
    size_t start = artifact->len, header_len = strlen(header);
    weir_put_le(front, FORMAT_VERSION, 4);
    weir_put_le(front + 4, header_len, 4);
    weir_put_le(body_len, body->len, 8);
    bool ok = header_len <= HEADER_MAX && weir_buf_append(artifact, magic, sizeof magic) && weir_buf_append(artifact, front, sizeof front) &&
              weir_buf_append(artifact, header, header_len) && weir_buf_append(artifact, body_len, sizeof body_len) &&
              weir_buf_append(artifact, body->data, body->len);
    if (ok) {
        SHA256((const unsigned char *)artifact->data + start, artifact->len - start, sum);
        ok = weir_buf_append(artifact, sum, sizeof sum);
    }
    if (ok) return WEIR_OK;
    artifact->len = start;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an artifact with a body of %zu bytes", body->len);
}

weir_status weir_artifact_append(const weir_artifact_header *header, const weir_buf *body, weir_buf *artifact, weir_err *err) {
    char *text = header_text(header);
    weir_status status = text ? append_parts(text, body, artifact, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a header");
    cJSON_free(text);
    return status;
}

/* What the algorithm is fitted on: the training rows, or what a chain makes of them; then its text goes into the header. */
static weir_status prepare(const cJSON *chain, const weir_matrix *train, weir_prepared *prepared, weir_buf *text, weir_err *err) {
    prepared->matrix = *train;
    if (!chain) return WEIR_OK;
    const weir_distributed *how = weir_distributed_now();
    weir_distributed_set(NULL); /* the forests by which columns are chosen are small */
    weir_status status = weir_prepared_make(chain, "$.preprocessing", train, prepared, err);
    weir_distributed_set(how);
    if (status == WEIR_OK && prepared->matrix.column_count > WEIR_MODEL_FITTED_MAX)
        status = WEIR_FAIL(err, WEIR_EINVAL, "$.preprocessing makes %d columns, expected at most %d", prepared->matrix.column_count, WEIR_MODEL_FITTED_MAX);
    if (status == WEIR_OK) status = check_rows(&prepared->matrix, true, err); /* a class may be gone with the rows that were dropped */
    if (status == WEIR_OK) status = weir_prep_to_json(prepared->prep, text, err);
    if (status == WEIR_OK && !weir_buf_append(text, "", 1)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the fitted preprocessing");
    return status;
}

weir_status weir_model_fit(const char *algorithm_name, const cJSON *params_json, const cJSON *chain, const weir_matrix *train, const char *feature_hash,
                           uint64_t seed, int threads, weir_buf *ret_artifact, weir_err *err) {
    const weir_algorithm *algorithm = NULL;
    weir_status status = weir_algorithm_for_task(algorithm_name, train->task, &algorithm, err);
    if (status == WEIR_OK && threads < 1) status = WEIR_FAIL(err, WEIR_EINVAL, "%d threads, expected at least 1", threads);
    if (status == WEIR_OK) status = check_columns(train, err);
    if (status == WEIR_OK) status = check_rows(train, true, err);
    if (status == WEIR_OK) status = weir_prepared_check(chain, "$.preprocessing", train->column_names, train->kinds, train->column_count, err);
    if (status != WEIR_OK) return status;
    void *params = weir_models_calloc(1, algorithm->params_size);
    cJSON *in_force = NULL;
    weir_buf body = {0}, text = {0};
    weir_prepared prepared = {0};
    if (!params) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for hyperparameters");
    status = weir_conf_defaults(algorithm->params, params, err);
    if (status == WEIR_OK && params_json) status = weir_conf_from_json(algorithm->params, params, params_json, "$.params", err);
    if (status == WEIR_OK) status = prepare(chain, train, &prepared, &text, err);
    if (status == WEIR_OK && !(in_force = params_to_json(algorithm->params, params))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a header");
    if (status == WEIR_OK) status = algorithm->fit(params, &prepared.matrix, seed, threads, &body, err);
    const weir_artifact_header header = {
        .algorithm = algorithm, .params = in_force, .train = train, .chain = text.data, .feature_hash = feature_hash, .seed = seed, .threads = threads};
    if (status == WEIR_OK) status = weir_artifact_append(&header, &body, ret_artifact, err);
    cJSON_Delete(in_force);
    weir_prepared_done(&prepared);
    weir_buf_done(&text);
    weir_buf_done(&body);
    weir_conf_done(algorithm->params, params);
    weir_models_free(params);
    return status;
}

/* ---- loading ---- */

typedef struct artifact_parts {
    const char *header;
    size_t header_len;
    const unsigned char *body;
    size_t body_len;
} artifact_parts;

/* Finds the parts of a file image and verifies the checksum; nothing is interpreted before that. */
static weir_status split_artifact(const unsigned char *bytes, size_t len, artifact_parts *ret_parts, weir_err *err) {
    unsigned char sum[SHA256_DIGEST_LENGTH];
    if (len < HEADER_AT) return WEIR_FAIL(err, WEIR_EDATA, "the artifact ends after %zu bytes, inside its first %d", len, HEADER_AT);
    if (memcmp(bytes, magic, sizeof magic) != 0) return WEIR_FAIL(err, WEIR_EDATA, "the artifact does not begin with WEIRMOD1");
    uint64_t version = weir_get_le(bytes + 8, 4), header_len = weir_get_le(bytes + 12, 4);
    if (version != FORMAT_VERSION)
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact has format version %llu, expected %d", (unsigned long long)version, FORMAT_VERSION);
    size_t rest = len - HEADER_AT;
    if (header_len > HEADER_MAX || rest < header_len + 8)
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header claims %llu bytes, %zu are left", (unsigned long long)header_len, rest);
    rest -= header_len + 8;
    uint64_t body_len = weir_get_le(bytes + HEADER_AT + header_len, 8);
    if (rest < sizeof sum || body_len != rest - sizeof sum)
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact's body claims %llu bytes, %zu are left for body and checksum", (unsigned long long)body_len, rest);
    SHA256(bytes, len - sizeof sum, sum);
    if (memcmp(bytes + len - sizeof sum, sum, sizeof sum) != 0) return WEIR_FAIL(err, WEIR_EDATA, "the artifact's checksum does not match its contents");
    *ret_parts =
        (artifact_parts){.header = (const char *)bytes + HEADER_AT, .header_len = header_len, .body = bytes + HEADER_AT + header_len + 8, .body_len = body_len};
    return WEIR_OK;
}

/* Texts of the header's array, with a NULL after them; borrowed from the header. */
static weir_status read_texts(const weir_model *model, const char *name, int min, int max, const char ***ret_texts, int *ret_count, weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(model->header, name), *item;
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0, n = 0;
    if (count < min || count > max) return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header lists %d %s, expected %d to %d", count, name, min, max);
    const char **texts = *ret_texts = weir_models_calloc((size_t)count + 1, sizeof *texts);
    if (!texts) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d %s", count, name);
    cJSON_ArrayForEach(item, array) {
        if (!(texts[n] = cJSON_GetStringValue(item))) return WEIR_FAIL(err, WEIR_EDATA, "item %d of %s in the artifact's header is not a string", n, name);
        n++;
    }
    *ret_count = n;
    return WEIR_OK;
}

static weir_status read_task(weir_model *model, weir_err *err) {
    const cJSON *task = cJSON_GetObjectItemCaseSensitive(model->header, "task");
    const char *name = task ? cJSON_GetStringValue(task) : weir_task_name(WEIR_TASK_BINARY);
    weir_model_shape *shape = &model->shape;
    if (!name || !weir_task_find(name, &shape->task)) return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header names the unknown task '%s'", name ? name : "");
    if (!weir_algorithm_can(model->algorithm, shape->task))
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header claims a %s task, which algorithm %s cannot do", name, model->algorithm->name);
    shape->output_count = 1;
    if (model->algorithm == &weir_algorithm_multi_target)
        return read_texts(model, "targets", 1, WEIR_MODEL_MEMBERS_MAX, &model->targets, &shape->output_count, err);
    if (shape->task != WEIR_TASK_MULTICLASS) return WEIR_OK;
    double classes = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(model->header, "class_count"));
    if (!(classes >= 2 && classes <= WEIR_MODEL_CLASSES_MAX && classes == floor(classes)))
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header claims %g classes, expected a whole number from 2 to %d", classes, WEIR_MODEL_CLASSES_MAX);
    shape->output_count = (int)classes;
    return WEIR_OK;
}

static weir_status read_classes(weir_model *model, weir_err *err) {
    int count = model->shape.task == WEIR_TASK_BINARY ? 2 : model->shape.output_count;
    if (!cJSON_GetObjectItemCaseSensitive(model->header, "classes") || model->shape.task == WEIR_TASK_REGRESSION) return WEIR_OK;
    return read_texts(model, "classes", count, count, &model->classes, &count, err);
}

static weir_status read_chain(weir_model *model, weir_err *err) {
    const cJSON *chain = cJSON_GetObjectItemCaseSensitive(model->header, "chain");
    model->fitted = model->shape;
    if (!chain) return WEIR_OK;
    weir_status status = weir_prep_from_json(chain, &model->prep, err);
    if (status != WEIR_OK) return weir_err_prefix(err, "the artifact's preprocessing");
    bool same = weir_prep_input_count(model->prep) == model->shape.column_count;
    for (int c = 0; same && c < model->shape.column_count; c++) same = !strcmp(weir_prep_input_names(model->prep)[c], model->columns[c]);
    if (!same) return WEIR_FAIL(err, WEIR_EDATA, "the artifact's preprocessing has other columns than its header");
    model->fitted.column_count = weir_prep_output_count(model->prep);
    if (model->fitted.column_count > WEIR_MODEL_FITTED_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "the artifact's preprocessing makes %d columns, expected at most %d", model->fitted.column_count,
                         WEIR_MODEL_FITTED_MAX);
    return WEIR_OK;
}

/* Which algorithm it is; models of several only where they may be. */
typedef enum nesting { ANYTHING, MEMBER_OF_TARGETS, MEMBER_OF_ENSEMBLE } nesting;

static weir_status find_algorithm(weir_model *model, nesting where, weir_err *err) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(model->header, "algorithm"));
    const weir_algorithm *composites[] = {&weir_algorithm_ensemble, &weir_algorithm_multi_target};
    if (name) model->algorithm = weir_algorithm_find(name);
    for (int i = 0; name && !model->algorithm && i < 2; i++) {
        if (strcmp(composites[i]->name, name) != 0) continue;
        if (where == MEMBER_OF_ENSEMBLE || (where == MEMBER_OF_TARGETS && i == 1))
            return WEIR_FAIL(err, WEIR_EDATA, "the artifact is a member, and of the kind %s: models of several do not go so deep", name);
        model->algorithm = composites[i];
    }
    if (name && !model->algorithm && !strcmp(name, weir_algorithm_lightgbm.name)) model->algorithm = &weir_algorithm_lightgbm;
    return model->algorithm ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the artifact's header names the unknown algorithm '%s'", name ? name : "");
}

static weir_status read_header(weir_model *model, const artifact_parts *parts, nesting where, weir_err *err) {
    model->header = cJSON_ParseWithLength(parts->header, parts->header_len);
    if (!cJSON_IsObject(model->header)) return WEIR_FAIL(err, WEIR_EDATA, "the artifact's header is not a JSON object");
    weir_status status = find_algorithm(model, where, err);
    if (status == WEIR_OK) status = read_task(model, err);
    if (status == WEIR_OK) status = read_classes(model, err);
    if (status == WEIR_OK) status = read_texts(model, "columns", 1, WEIR_MODEL_COLUMNS_MAX, &model->columns, &model->shape.column_count, err);
    return status == WEIR_OK ? read_chain(model, err) : status;
}

static const weir_composite *composite_of(const weir_model *model) {
    return model->algorithm == &weir_algorithm_ensemble || model->algorithm == &weir_algorithm_multi_target ? model->predictor : NULL;
}

static weir_status keep_artifact(weir_model *model, const void *artifact, size_t len, weir_err *err) {
    if (!(model->artifact = weir_models_calloc(len, 1))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an artifact of %zu bytes", len);
    memcpy(model->artifact, artifact, model->artifact_len = len);
    return WEIR_OK;
}

/* The members of a model of several must take the columns that the header lists. */
static weir_status read_body(weir_model *model, const artifact_parts *parts, weir_err *err) {
    void *predictor = NULL;
    const weir_trees *trees;
    if (weir_model_has_trees(model)) {
        model->body = model->artifact + model->artifact_len - SHA256_DIGEST_LENGTH - parts->body_len;
        model->body_len = parts->body_len;
        return weir_model_trees(model, &trees, err);
    }
    weir_status status = model->algorithm->load(parts->body, parts->body_len, &model->fitted, &predictor, err);
    if (status) return status;
    model->predictor = predictor;
    for (int i = 0; i < weir_model_member_count(model); i++)
        for (int c = 0; c < model->shape.column_count; c++)
            if (strcmp(weir_model_member(model, i)->columns[c], model->columns[c]) != 0)
                return WEIR_FAIL(err, WEIR_EDATA, "member %d of the model takes column '%s', expected '%s'", i, weir_model_member(model, i)->columns[c],
                                 model->columns[c]);
    if (composite_of(model)) return WEIR_OK;
    model->body = model->artifact + model->artifact_len - SHA256_DIGEST_LENGTH - parts->body_len;
    model->body_len = parts->body_len;
    return WEIR_OK;
}

static weir_status load_artifact(const void *artifact, size_t len, nesting where, weir_model **ret_model, weir_err *err) {
    artifact_parts parts = {0};
    weir_status status = split_artifact(artifact, len, &parts, err);
    if (status != WEIR_OK) return status;
    weir_model *model = weir_models_calloc(1, sizeof *model);
    if (!model) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model");
    weir_sha256_hex(artifact, len, model->digest);
    status = keep_artifact(model, artifact, len, err);
    if (status == WEIR_OK) status = read_header(model, &parts, where, err);
    if (status == WEIR_OK) status = read_body(model, &parts, err);
    if (status == WEIR_OK && where == ANYTHING && weir_scorer_can(model)) {
        status = weir_scorer_make(model, &model->scorer, err);
        weir_trees_free(atomic_exchange(&model->trees, NULL)); /* whoever explains or exports the model reads them once more */
    }
    if (status != WEIR_OK) {
        weir_model_free(model);
        return status;
    }
    *ret_model = model;
    return WEIR_OK;
}

weir_status weir_model_load(const void *artifact, size_t len, weir_model **ret_model, weir_err *err) {
    return load_artifact(artifact, len, ANYTHING, ret_model, err);
}

weir_status weir_model_load_member(const void *artifact, size_t len, bool may_be_ensemble, weir_model **ret_model, weir_err *err) {
    return load_artifact(artifact, len, may_be_ensemble ? MEMBER_OF_TARGETS : MEMBER_OF_ENSEMBLE, ret_model, err);
}

weir_status weir_model_load_file(const char *path, weir_model **ret_model, weir_err *err) {
    weir_buf bytes = {0};
    weir_status status = weir_artifact_read_file(path, &bytes, err);
    if (status == WEIR_OK) {
        status = weir_model_load(bytes.data ? bytes.data : "", bytes.len, ret_model, err);
        if (status != WEIR_OK && err) status = weir_err_prefix(err, "%s", path);
    }
    weir_buf_done(&bytes);
    return status;
}

void weir_model_free(weir_model *model) {
    if (!model) return;
    weir_scorer_done(&model->scorer);
    if (model->predictor) model->algorithm->unload(model->predictor);
    weir_prep_free(model->prep);
    weir_trees_free(model->trees);
    weir_models_free(model->columns);
    weir_models_free(model->classes);
    weir_models_free(model->targets);
    weir_models_free(model->artifact);
    cJSON_Delete(model->header);
    weir_models_free(model);
}

int weir_model_column_count(const weir_model *model) {
    return model->shape.column_count;
}
const char *const *weir_model_columns(const weir_model *model) {
    return model->columns;
}
const char *weir_model_algorithm(const weir_model *model) {
    return model->algorithm->name;
}
const char *weir_model_digest(const weir_model *model) {
    return model->digest;
}

weir_task weir_model_task(const weir_model *model) {
    return model->shape.task;
}
int weir_model_output_count(const weir_model *model) {
    return model->shape.output_count;
}

weir_composition weir_model_composition(const weir_model *model) {
    const weir_composite *c = composite_of(model);
    return c ? c->kind : WEIR_MODEL_SINGLE;
}
int weir_model_member_count(const weir_model *model) {
    const weir_composite *c = composite_of(model);
    return c ? c->member_count : 0;
}
weir_model *weir_model_member(const weir_model *model, int i) {
    return composite_of(model)->members[i];
}
const double *weir_model_weights(const weir_model *model) {
    const weir_composite *c = composite_of(model);
    return c && (c->kind == WEIR_MODEL_AVERAGE || c->kind == WEIR_MODEL_WEIGHTED) ? c->weights : NULL;
}
weir_model *weir_model_meta(const weir_model *model) {
    const weir_composite *c = composite_of(model);
    return c ? c->meta : NULL;
}
const cJSON *weir_model_header(const weir_model *model) {
    return model->header;
}
const cJSON *weir_model_params(const weir_model *model) {
    return cJSON_GetObjectItemCaseSensitive(model->header, "params");
}
const weir_prep *weir_model_chain(const weir_model *model) {
    return model->prep;
}
int weir_model_fitted_count(const weir_model *model) {
    return model->fitted.column_count;
}
const char *const *weir_model_fitted_columns(const weir_model *model) {
    return model->prep ? weir_prep_output_names(model->prep) : model->columns;
}
const void *weir_model_body(const weir_model *model, size_t *ret_len) {
    *ret_len = model->body_len;
    return model->body;
}
const char *const *weir_model_class_names(const weir_model *model) {
    return model->classes;
}
const char *const *weir_model_target_names(const weir_model *model) {
    return model->targets;
}

weir_model_parts weir_model_inside(const weir_model *model) {
    return (weir_model_parts){.algorithm = model->algorithm,
                              .predictor = model->predictor,
                              .header = model->header,
                              .prep = model->prep,
                              .shape = model->shape,
                              .fitted = model->fitted,
                              .artifact = model->artifact,
                              .artifact_len = model->artifact_len,
                              .body = model->body,
                              .body_len = model->body_len};
}

/* Two threads may both read them; those of the second are thrown away. */
weir_status weir_model_trees(weir_model *model, const weir_trees **ret_trees, weir_err *err) {
    weir_trees *trees = model->trees, *none = NULL;
    if (!trees) {
        weir_status status = weir_trees_parse(model->body, model->body_len, &model->fitted, &trees, err);
        if (status != WEIR_OK) return status;
        if (!atomic_compare_exchange_strong(&model->trees, &none, trees)) {
            weir_trees_free(trees);
            trees = none;
        }
    }
    *ret_trees = trees;
    return WEIR_OK;
}

int64_t weir_model_memory_bytes(const weir_model *model) {
    const weir_model *meta = weir_model_meta(model);
    /* Trees are held compiled; of other algorithms what they loaded is about as large as the body. */
    int64_t bytes = (int64_t)(sizeof *model + model->artifact_len + model->scorer.len + (weir_model_has_trees(model) ? 0 : model->body_len));
    for (int i = 0; i < weir_model_member_count(model); i++) bytes += weir_model_memory_bytes(weir_model_member(model, i));
    return bytes + (meta ? weir_model_memory_bytes(meta) : 0);
}

weir_status weir_model_check_single_output(const weir_model *model, weir_err *err) {
    if (model->shape.output_count == 1) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "the model is %s and gives %d scores a row, expected one", weir_task_name(model->shape.task), model->shape.output_count);
}

/* Two threads may both load it; that of the second is thrown away. */
weir_status weir_model_predictor(weir_model *model, void **ret_predictor, weir_err *err) {
    void *predictor = model->predictor, *none = NULL;
    if (!predictor) {
        weir_status status = model->algorithm->load(model->body, model->body_len, &model->fitted, &predictor, err);
        if (status != WEIR_OK) return status;
        if (!atomic_compare_exchange_strong(&model->predictor, &none, predictor)) {
            model->algorithm->unload(predictor);
            predictor = none;
        }
    }
    *ret_predictor = predictor;
    return WEIR_OK;
}

/* As many rows at a time as their columns fit into a block on the stack. */
static weir_status predict_prepared(weir_model *model, void *predictor, const double *rows, int64_t row_count, double *out, weir_err *err) {
    double block[WEIR_MODEL_FITTED_MAX];
    int64_t at_once = WEIR_MODEL_FITTED_MAX / model->fitted.column_count;
    weir_status status = WEIR_OK;
    for (int64_t r = 0; status == WEIR_OK && r < row_count; r += at_once) {
        int64_t n = row_count - r < at_once ? row_count - r : at_once;
        weir_prep_apply(model->prep, rows + r * model->shape.column_count, n, block);
        status = model->algorithm->predict(predictor, block, n, &model->fitted, out + r * model->shape.output_count, err);
    }
    return status;
}

static weir_status check_row_values(const weir_model *model, const double *rows, int64_t row_count, weir_err *err) {
    int columns = model->shape.column_count;
    for (int64_t i = 0; i < row_count * columns; i++)
        if (isinf(rows[i]))
            return WEIR_REJECT(err, WEIR_ENUMERIC, "row %lld has an infinite value in column '%s'", (long long)(i / columns), model->columns[i % columns]);
    return WEIR_OK;
}

static weir_status check_scores(const weir_model *model, const double *scores, int64_t row_count, weir_err *err) {
    int outputs = model->shape.output_count;
    for (int64_t i = 0; i < row_count * outputs; i++)
        if (!isfinite(scores[i])) return WEIR_REJECT(err, WEIR_ENUMERIC, "the score of row %lld is %g", (long long)(i / outputs), scores[i]);
    return WEIR_OK;
}

weir_status weir_model_predict_by_library(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) {
    void *predictor = NULL;
    weir_status status = check_row_values(model, rows, row_count, err);
    if (status == WEIR_OK) status = weir_model_predictor(model, &predictor, err);
    if (status == WEIR_OK)
        status = model->prep ? predict_prepared(model, predictor, rows, row_count, out, err)
                             : model->algorithm->predict(predictor, rows, row_count, &model->shape, out, err);
    return status == WEIR_OK ? check_scores(model, out, row_count, err) : status;
}

weir_status weir_model_predict(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) {
    if (!model->scorer.model) return weir_model_predict_by_library(model, rows, row_count, out, err);
    if (weirscore_score(model->scorer.model, rows, (size_t)row_count, out) == WEIRSCORE_OK) return WEIR_OK;
    weir_status status = check_row_values(model, rows, row_count, err);
    return status == WEIR_OK ? check_scores(model, out, row_count, err) : status;
}

const struct weirscore *weir_model_scorer(const weir_model *model) {
    return model->scorer.model;
}

/* ---- going on ---- */

static weir_status check_continues(const weir_model *model, const weir_matrix *more, weir_err *err) {
    int classes = model->shape.task == WEIR_TASK_MULTICLASS ? model->shape.output_count : more->class_count;
    if (!model->algorithm->learn) return WEIR_FAIL(err, WEIR_EINVAL, "algorithm %s cannot go on learning", model->algorithm->name);
    if (more->task != model->shape.task || more->class_count != classes)
        return WEIR_FAIL(err, WEIR_EINVAL, "the rows are for a %s task with %d classes, the model's is %s with %d", weir_task_name(more->task),
                         more->class_count, weir_task_name(model->shape.task), classes);
    if (more->column_count != model->shape.column_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "the rows have %d columns, the model %d", more->column_count, model->shape.column_count);
    for (int c = 0; c < more->column_count; c++)
        if (strcmp(more->column_names[c], model->columns[c]) != 0)
            return WEIR_FAIL(err, WEIR_EINVAL, "column %d of the rows is '%s', the model's is '%s'", c, more->column_names[c], model->columns[c]);
    return check_rows(more, false, err);
}

/* The rows as the algorithm sees them: *ret_values is heap when there is a chain, otherwise untouched. */
static weir_status prepare_more(const weir_model *model, const weir_matrix *more, weir_matrix *ret_rows, double **ret_values, weir_err *err) {
    *ret_rows = *more;
    if (!model->prep) return WEIR_OK;
    ret_rows->column_count = model->fitted.column_count;
    ret_rows->column_names = weir_prep_output_names(model->prep);
    double *values = weir_models_calloc((size_t)more->row_count * (size_t)ret_rows->column_count, sizeof *values);
    if (!values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to prepare %lld rows", (long long)more->row_count);
    weir_prep_apply(model->prep, more->values, more->row_count, values);
    ret_rows->values = *ret_values = values;
    return check_rows(ret_rows, false, err);
}

/* The header's text as it was, so that no number is written anew, with "continues" as its last key; of an artifact that has it, as it is. */
static weir_status continued_header(const weir_model *model, const artifact_parts *parts, weir_buf *ret_text, weir_err *err) {
    bool again = cJSON_GetObjectItemCaseSensitive(model->header, "continues") != NULL;
    bool ok = weir_buf_append(ret_text, parts->header, parts->header_len - !again) &&
              (again ? weir_buf_append(ret_text, "", 1) : weir_buf_printf(ret_text, ",\"continues\":\"%s\"}", model->digest));
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a header");
}

static weir_status learn_more(const weir_model *model, const artifact_parts *parts, const weir_matrix *rows, weir_buf *ret_body, weir_err *err) {
    const weir_algorithm *algorithm = model->algorithm;
    void *params = weir_models_calloc(1, algorithm->params_size);
    if (!params) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for hyperparameters");
    weir_status status = weir_conf_defaults(algorithm->params, params, err);
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(model->header, "params");
    if (status == WEIR_OK && given) status = weir_conf_from_json(algorithm->params, params, given, "$.params", err);
    if (status == WEIR_OK) status = algorithm->learn(params, parts->body, parts->body_len, &model->fitted, rows, ret_body, err);
    weir_conf_done(algorithm->params, params);
    weir_models_free(params);
    return status;
}

weir_status weir_model_continue(const void *artifact, size_t len, const weir_matrix *more, weir_buf *ret_artifact, weir_err *err) {
    artifact_parts parts = {0};
    weir_model *model = NULL;
    weir_matrix rows;
    double *values = NULL;
    weir_buf body = {0}, header = {0};
    weir_status status = weir_model_load(artifact, len, &model, err);
    if (status == WEIR_OK) status = split_artifact(artifact, len, &parts, err);
    if (status == WEIR_OK) status = check_continues(model, more, err);
    if (status == WEIR_OK) status = prepare_more(model, more, &rows, &values, err);
    if (status == WEIR_OK) status = learn_more(model, &parts, &rows, &body, err);
    if (status == WEIR_OK) status = continued_header(model, &parts, &header, err);
    if (status == WEIR_OK) status = append_parts(header.data, &body, ret_artifact, err);
    weir_buf_done(&header);
    weir_buf_done(&body);
    weir_models_free(values);
    weir_model_free(model);
    return status;
}
