#include "models/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"

const char *weir_json_kind(const cJSON *item) {
    if (!item) return "nothing";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsBool(item)) return "true or false";
    if (cJSON_IsArray(item)) return "an array";
    return cJSON_IsObject(item) ? "an object" : "null";
}

weir_status weir_json_check_keys(const cJSON *object, const char *path, const char *const *known, weir_err *err) {
    const cJSON *item;
    if (!cJSON_IsObject(object)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object", path, weir_json_kind(object));
    cJSON_ArrayForEach(item, object) {
        const char *const *k = known;
        while (*k && strcmp(*k, item->string) != 0) k++;
        if (!*k) {
            const char *near = weir_conf_nearest(item->string, known);
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: unknown key%s%s%s", path, item->string, near ? "; did you mean '" : "", near ? near : "",
                             near ? "'?" : "");
        }
        if (cJSON_GetObjectItemCaseSensitive(object, item->string) != item)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: the key is there twice", path, item->string);
    }
    return WEIR_OK;
}

cJSON *weir_json_exact(double value) {
    char text[32];
    if (!isfinite(value)) return cJSON_CreateNull();
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) == value) return cJSON_CreateNumber(value);
    snprintf(text, sizeof text, "%.17g", value);
    return cJSON_CreateRaw(text);
}

double weir_json_value(const cJSON *item) {
    if (cJSON_IsNumber(item)) return item->valuedouble;
    return cJSON_IsRaw(item) ? strtod(item->valuestring, NULL) : NAN;
}
