/* What every reader of a JSON section checks, with messages that say what was found and what was expected. */
#ifndef WEIR_MODELS_JSON_H
#define WEIR_MODELS_JSON_H

#include <cjson/cJSON.h>

#include "core/err.h"

/** "nothing" (NULL), "a string", "a number", "true or false", "an array", "an object", "null". */
const char *weir_json_kind(const cJSON *item);
/** An object with no other keys than known (NULL-terminated), each once. path ("$.tuning") prefixes messages; an unknown key suggests the nearest. Errors:
 *  WEIR_EINVAL. */
weir_status weir_json_check_keys(const cJSON *object, const char *path, const char *const *known, weir_err *err) WEIR_MUST_CHECK;

/** A number that prints with all its digits (cJSON prints 15 where that is near enough), null when it is not finite. NULL: no memory. */
cJSON *weir_json_exact(double value) WEIR_MUST_CHECK;
/** The value of a number, or of what weir_json_exact made; else NaN. */
double weir_json_value(const cJSON *item);

#endif
