/* Values of columns as the types of a schema. */
#include "models/trainset_schema.h"

#include <math.h>
#include <string.h>

#include "features/operator.h"

static const struct {
    const char *name;
    weir_target target;
} types[] = {{"number", WEIR_TARGET_NUMBER}, {"boolean", WEIR_TARGET_BOOL}, {"time", WEIR_TARGET_TIME}, {"category", WEIR_TARGET_TEXT}};
enum { TYPE_COUNT = sizeof types / sizeof *types };

const char *weir_schema_type_name(weir_target target) {
    int i = 0;
    while (i < TYPE_COUNT - 1 && types[i].target != target) i++;
    return types[i].name;
}

bool weir_schema_type_find(const char *name, weir_target *ret_target) {
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(types[i].name, name) != 0) continue;
        *ret_target = types[i].target;
        return true;
    }
    return false;
}

int64_t weir_schema_take_numbers(weir_duck_cursor *cursor, int column, int64_t rows, double *out) {
    const uint64_t *valid;
    const double *values = weir_duck_values(cursor, column, &valid);
    int64_t infinite = 0;
    for (int64_t i = 0; i < rows; i++) {
        double v = weir_duck_bit(valid, i) ? values[i] : NAN;
        infinite += isinf(v) != 0;
        out[i] = isfinite(v) ? v : NAN;
    }
    return infinite;
}

void weir_schema_take_texts(weir_duck_cursor *cursor, int column, int64_t rows, double *out) {
    for (int64_t i = 0; i < rows; i++) {
        weir_duck_seek(cursor, i);
        weir_datum text = weir_duck_get(cursor, column);
        out[i] = text.type == WEIR_T_NULL ? NAN : weir_text_number(text.p, text.len);
    }
}
