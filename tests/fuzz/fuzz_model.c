/* libFuzzer (-DWEIR_SANITIZE=fuzz): weir_model_load on arbitrary bytes must refuse or load, never crash.
 *
 * Input goes in as it is, and again with a right checksum behind it, which leads past the first gate. The second way stops at bodies of XGBoost, whose reader trusts its input: the checksum is
 * what keeps damage away from it, and artifacts come from the registry only. The third way is for models of several: the input is the body of an ensemble up to its members (the first byte says
 * which of both kinds), or that of its second member, and whole artifacts follow it. */
#include <math.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "models/model_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load_and_score(const void *bytes, size_t len) {
    weir_model *model = NULL;
    weir_err err;
    if (weir_model_load(bytes, len, &model, &err) != WEIR_OK) {
        if (err.code == WEIR_OK || !*err.message || model) abort();
        return;
    }
    int columns = weir_model_column_count(model), outputs = weir_model_output_count(model);
    bool probabilities = weir_model_task(model) != WEIR_TASK_REGRESSION;
    double *row = calloc((size_t)columns, sizeof *row), *score = calloc((size_t)outputs, sizeof *score);
    if (!row || !score) abort();
    bool scored = weir_model_predict(model, row, 1, score, &err) == WEIR_OK;
    for (int k = 0; scored && k < outputs; k++)
        if (!isfinite(score[k]) || (probabilities && !(score[k] >= 0 && score[k] <= 1))) abort();
    free(score);
    free(row);
    weir_model_free(model);
}

/* ---- models of several ---- */

static void must(bool ok) {
    if (!ok) abort();
}

static void append(weir_buf *buf, const void *bytes, size_t len) {
    must(weir_buf_append(buf, bytes, len));
}

static void append_number(weir_buf *buf, uint64_t value, int bytes) {
    unsigned char le[8];
    weir_put_le(le, value, bytes);
    append(buf, le, (size_t)bytes);
}

/* A member as it should be: least squares on one column. */
static const weir_buf *good_member(void) {
    static weir_buf artifact;
    const double values[] = {1, 2, 3}, label[] = {2, 4, 7};
    const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 3, .column_count = 1, .values = values, .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_err err;
    if (!artifact.len) must(weir_model_fit("linear", NULL, NULL, &train, NULL, 1, 1, &artifact, &err) == WEIR_OK);
    return &artifact;
}

static void append_member(weir_buf *body, const void *artifact, size_t len) {
    append_number(body, len, 8);
    append(body, artifact, len);
}

static void load_around(const weir_buf *body, bool targets) {
    const double value = 1;
    const char *const names[] = {"x"}, *const target_names[] = {"a", "b"};
    const weir_matrix like = {.row_count = 1, .column_count = 1, .values = &value, .column_names = names, .task = WEIR_TASK_REGRESSION};
    cJSON *params = cJSON_CreateObject();
    const weir_artifact_header header = {.algorithm = targets ? &weir_algorithm_multi_target : &weir_algorithm_ensemble,
                                         .params = params,
                                         .train = &like,
                                         .targets = target_names,
                                         .target_count = targets ? 2 : 0,
                                         .threads = 1};
    weir_buf artifact = {0};
    weir_err err;
    must(weir_artifact_append(&header, body, &artifact, &err) == WEIR_OK);
    load_and_score(artifact.data, artifact.len);
    weir_buf_done(&artifact);
    cJSON_Delete(params);
}

static void load_members(const uint8_t *data, size_t size) {
    if (size < 1) return;
    const weir_buf *good = good_member();
    bool targets = data[0] & 1;
    weir_buf front = {0}, body = {0};
    weir_err err;
    append(&front, data + 1, size - 1);
    for (int i = 0; i < 2; i++) append_member(&front, good->data, good->len);
    load_around(&front, targets);
    weir_buf_done(&front);
    /* the second of two members is the input, with a right checksum */
    const weir_buf members[] = {*good, {0}};
    const double weights[] = {0.5, 0.5};
    uint8_t *sealed = malloc(size + SHA256_DIGEST_LENGTH);
    must(sealed && weir_composite_write(targets ? WEIR_MODEL_TARGETS : WEIR_MODEL_WEIGHTED, members, 2, weights, NULL, &body, &err) == WEIR_OK);
    memcpy(sealed, data, size);
    SHA256(data, size, sealed + size);
    body.len -= 8; /* of the member without bytes */
    append_member(&body, sealed, size + SHA256_DIGEST_LENGTH);
    load_around(&body, targets);
    free(sealed);
    weir_buf_done(&body);
}

static bool names_trees(const uint8_t *data, size_t size) {
    return memmem(data, size, "xgb", 3) || memmem(data, size, "random", 6) || memmem(data, size, "\\u", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    load_and_score(data, size);
    if (names_trees(data, size)) return 0;
    uint8_t *sealed = malloc(size + SHA256_DIGEST_LENGTH);
    if (!sealed) abort();
    memcpy(sealed, data, size);
    SHA256(data, size, sealed + size);
    load_and_score(sealed, size + SHA256_DIGEST_LENGTH);
    free(sealed);
    load_members(data, size);
    return 0;
}
