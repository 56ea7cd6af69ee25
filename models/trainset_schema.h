/* How columns of a file become numbers; see models/trainset_file.h. Private to what reads files for models. */
#ifndef WEIR_MODELS_TRAINSET_SCHEMA_H
#define WEIR_MODELS_TRAINSET_SCHEMA_H

#include "models/data_file.h"

/** "number", "boolean", "time", "category". */
const char *weir_schema_type_name(weir_target target);
bool weir_schema_type_find(const char *name, weir_target *ret_target); /* false: there is none of this name */

/** A DOUBLE column of the cursor's chunk; null and what is not finite become NaN. Returns how many were infinite. */
int64_t weir_schema_take_numbers(weir_duck_cursor *cursor, int column, int64_t rows, double *out);
/** A VARCHAR column of the cursor's chunk as weir_text_number; null becomes NaN. */
void weir_schema_take_texts(weir_duck_cursor *cursor, int column, int64_t rows, double *out);

#endif
