/* Members of a JSON object, by their exact name. NULL objects have none. */
#ifndef WEIR_CORE_JSON_H
#define WEIR_CORE_JSON_H

#include <cjson/cJSON.h>

static inline const cJSON *weir_json_at(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/** Borrowed from the object; "" where there is no text of this name. */
static inline const char *weir_json_text(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(weir_json_at(object, name));
    return text ? text : "";
}

static inline double weir_json_number(const cJSON *object, const char *name, double otherwise) {
    const cJSON *item = weir_json_at(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

#endif
