/* Two versions side by side, for `weir models compare`. */
#ifndef WEIR_CLI_MODELS_COMPARE_H
#define WEIR_CLI_MODELS_COMPARE_H

#include <cjson/cJSON.h>

#include "core/err.h"

/** {"a": {model, version, semver}, "b": …, "rows": [{what, name, a, b, change}]}: what is "version", "metric", "parameter" or "column". change is b − a where both are numbers, "other"
 *  where they differ in another way, and absent where they are equal. Versions as weir_version_list gives them; bytes of their artifacts, −1: not known. */
weir_status weir_models_compare(const cJSON *a, const cJSON *b, double a_bytes, double b_bytes, cJSON **ret_comparison, weir_err *err) WEIR_MUST_CHECK;

#endif
