/* libFuzzer (-DWEIR_SANITIZE=fuzz): weir_model_load on arbitrary bytes must refuse or load, never crash.
 *
 * Input goes in as it is, and again with a right checksum behind it, which leads past the first gate. The second way stops at bodies of XGBoost, whose reader trusts its input: the checksum is
 * what keeps damage away from it, and artifacts come from the registry only. */
#include <math.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "models/model.h"

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
    return 0;
}
