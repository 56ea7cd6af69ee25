#include "models/signature.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "models/json.h"

typedef struct range {
    double min, max;
    int64_t missing;
} range;

static range range_of(const weir_matrix *m, int column) {
    range r = {INFINITY, -INFINITY, 0};
    for (int64_t row = 0; row < m->row_count; row++) {
        double value = m->values[(size_t)row * (size_t)m->column_count + (size_t)column];
        if (isnan(value)) {
            r.missing++;
        } else {
            r.min = value < r.min ? value : r.min;
            r.max = value > r.max ? value : r.max;
        }
    }
    return r;
}

static bool add_range(cJSON *input, const weir_matrix *m, int column) {
    static const char *const members[] = {"min", "max", "missing"};
    range r = range_of(m, column);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) cJSON_DeleteItemFromObjectCaseSensitive(input, members[i]);
    bool bounded = r.missing < m->row_count && isfinite(r.min) && isfinite(r.max) && strcmp(weir_json_text(input, "type"), "category") != 0;
    if (bounded && !(cJSON_AddNumberToObject(input, "min", r.min) && cJSON_AddNumberToObject(input, "max", r.max))) return false;
    return cJSON_AddNumberToObject(input, "missing", m->row_count ? (double)r.missing / (double)m->row_count : 1);
}

weir_status weir_signature_add_ranges(cJSON *signature, const weir_matrix *train, weir_err *err) {
    cJSON *input, *inputs = cJSON_GetObjectItemCaseSensitive(signature, "inputs");
    if (!cJSON_IsArray(inputs)) return WEIR_FAIL(err, WEIR_EINVAL, "signature.inputs: found %s, expected an array", weir_json_kind(inputs));
    cJSON_ArrayForEach(input, inputs) {
        int column = 0;
        while (column < train->column_count && strcmp(train->column_names[column], weir_json_text(input, "name")) != 0) column++;
        if (column < train->column_count && !add_range(input, train, column)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the ranges of a signature");
    }
    return WEIR_OK;
}
