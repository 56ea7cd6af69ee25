/* Predictions for the rows of a file by a model and the schema it was fitted with, as `weir infer` writes them. */
#ifndef WEIR_TESTS_PREDICT_FILE_H
#define WEIR_TESTS_PREDICT_FILE_H

#include "models/batch_model.h"

static weir_status predict_file(const cJSON *schema, weir_model *model, const char *path, const char *out, int64_t *ret_rows, weir_err *err) {
    weir_batch_model m = {0};
    weir_batch_job job = {.path = path, .out = out, .form = WEIR_BATCH_PREDICTIONS, .strict = true, .threads = 2};
    weir_batch_result result = {0};
    weir_status status = weir_batch_model_of_schema(model, schema, &m, err);
    if (status) return status;
    weir_batch_model_use(&m, &job);
    status = weir_batch_file(&job, &result, err);
    weir_batch_model_done(&m);
    if (!status) *ret_rows = result.rows;
    return status;
}

#endif
