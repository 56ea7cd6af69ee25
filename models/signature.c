#include "models/signature.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "models/json.h"
#include "models/memory.h"

typedef struct range {
    double min, max;
    int64_t missing;
} range;

/* Of every column. */
static range *find_ranges(const weir_matrix *m) {
    range *ranges = weir_models_calloc((size_t)m->column_count, sizeof *ranges);
    if (!ranges) return NULL;
    for (int c = 0; c < m->column_count; c++) ranges[c] = (range){INFINITY, -INFINITY, 0};
    for (int64_t row = 0; row < m->row_count; row++) {
        const double *values = m->values + (size_t)row * (size_t)m->column_count;
        for (int c = 0; c < m->column_count; c++) {
            range *r = &ranges[c];
            r->missing += isnan(values[c]);
            r->min = values[c] < r->min ? values[c] : r->min; /* no value is below or above anything */
            r->max = values[c] > r->max ? values[c] : r->max;
        }
    }
    return ranges;
}

static bool add_range(cJSON *input, const range *r, int64_t row_count) {
    static const char *const members[] = {"min", "max", "missing"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) cJSON_DeleteItemFromObjectCaseSensitive(input, members[i]);
    bool bounded = r->missing < row_count && isfinite(r->min) && isfinite(r->max) && strcmp(weir_json_text(input, "type"), "category") != 0;
    if (bounded && !(cJSON_AddNumberToObject(input, "min", r->min) && cJSON_AddNumberToObject(input, "max", r->max))) return false;
    return cJSON_AddNumberToObject(input, "missing", row_count ? (double)r->missing / (double)row_count : 1);
}

weir_status weir_signature_add_ranges(cJSON *signature, const weir_matrix *train, weir_err *err) {
    cJSON *input, *inputs = cJSON_GetObjectItemCaseSensitive(signature, "inputs");
    if (!cJSON_IsArray(inputs)) return WEIR_FAIL(err, WEIR_EINVAL, "signature.inputs: found %s, expected an array", weir_json_kind(inputs));
    range *ranges = find_ranges(train);
    bool ok = ranges != NULL;
    cJSON_ArrayForEach(input, inputs) {
        int column = 0;
        while (column < train->column_count && strcmp(train->column_names[column], weir_json_text(input, "name")) != 0) column++;
        if (ok && column < train->column_count) ok = add_range(input, &ranges[column], train->row_count);
    }
    weir_models_free(ranges);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the ranges of a signature");
}

weir_input_range weir_signature_range(const cJSON *signature, const char *name) {
    const cJSON *input;
    cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(signature, "inputs")) {
        if (strcmp(weir_json_text(input, "name"), name) != 0) continue;
        return (weir_input_range){weir_json_number(input, "min", NAN), weir_json_number(input, "max", NAN), weir_json_number(input, "missing", NAN)};
    }
    return (weir_input_range){NAN, NAN, NAN};
}
