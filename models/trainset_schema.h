/* How columns of a file become numbers; see models/trainset_file.h. Private to what reads files for models. */
#ifndef WEIR_MODELS_TRAINSET_SCHEMA_H
#define WEIR_MODELS_TRAINSET_SCHEMA_H

#include <cjson/cJSON.h>

#include "models/data_file.h"

/** "number", "boolean", "time", "category". */
const char *weir_schema_type_name(weir_target target);

/** A DOUBLE column of the cursor's chunk; null and what is not finite become NaN. Returns how many were infinite. */
int64_t weir_schema_take_numbers(weir_duck_cursor *cursor, int column, int64_t rows, double *out);
/** A VARCHAR column of the cursor's chunk as weir_text_number; null becomes NaN. */
void weir_schema_take_texts(weir_duck_cursor *cursor, int column, int64_t rows, double *out);

typedef weir_status (*weir_schema_rows_fn)(void *context, const double *rows, int64_t row_count, weir_err *err);

/** The rows of a file as a schema's inputs [row_count][input_count], in their order, a chunk at a time.
 *  Errors: WEIR_EDATA for a column that is not there or holds other things than the schema says; those of on_rows. */
weir_status weir_schema_scan(const cJSON *schema, const weir_data_file *file, weir_schema_rows_fn on_rows, void *context, weir_err *err) WEIR_MUST_CHECK;

#endif
