/* See pipeline_file.h. */
#include "features/pipeline_file.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/conf.h"

#define DURATION_MAX_US (INT64_C(36600) * WEIR_DAY_US)

pf_path pf_path_of(const char *format, ...) {
    pf_path p;
    va_list args;
    va_start(args, format);
    vsnprintf(p.text, sizeof(p.text), format, args);
    va_end(args);
    return p;
}

pf_path pf_below(const char *at, const char *key) {
    return pf_path_of("%s.%s", at, key);
}
pf_path pf_item(const char *at, int index) {
    return pf_path_of("%s[%d]", at, index);
}

/* --- reading JSON --- */

/* What was found, for messages; text holds it when it must be made. */
const char *pf_found(const cJSON *json, char text[64]) {
    if (!json) return "nothing";
    if (cJSON_IsObject(json)) return "an object";
    if (cJSON_IsArray(json)) return "an array";
    if (cJSON_IsNull(json)) return "null";
    if (cJSON_IsBool(json)) return cJSON_IsTrue(json) ? "true" : "false";
    if (cJSON_IsNumber(json))
        snprintf(text, 64, "%.15g", json->valuedouble);
    else
        snprintf(text, 64, "\"%.50s\"", cJSON_GetStringValue(json));
    return text;
}

weir_status pf_wrong(const cJSON *json, const char *at, const char *expected, weir_err *err) {
    char text[64];
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected %s", at, pf_found(json, text), expected);
}

/* "found X, expected one of the …; did you mean Y?" */
weir_status pf_unknown(const char *at, const char *what, const char *word, const char *const *candidates, weir_err *err) {
    const char *near = weir_conf_nearest(word, candidates);
    if (near) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"%.64s\" is no %s; did you mean \"%s\"?", at, word, what, near);
    weir_buf list = {0};
    bool ok = true;
    for (int i = 0; ok && candidates[i] && list.len < 200; i++) ok = weir_buf_printf(&list, "%s%s", i ? ", " : "", candidates[i]);
    weir_status status = WEIR_FAIL(err, WEIR_EINVAL, "%s: \"%.64s\" is no %s; expected one of: %s", at, word, what, list.data ? list.data : "(none)");
    weir_buf_done(&list);
    return status;
}

weir_status pf_need_object(const cJSON *json, const char *at, const char *const *keys, weir_err *err) {
    if (!cJSON_IsObject(json)) return pf_wrong(json, at, "an object", err);
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = 0;
        while (keys[i] && strcmp(keys[i], child->string)) i++;
        if (!keys[i]) return pf_unknown(at, "known key", child->string, keys, err);
    }
    return WEIR_OK;
}

const cJSON *pf_get(const cJSON *json, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

/* Leaves *ret as it is when the key is absent, unless it is required. */
weir_status pf_get_text(const cJSON *json, const char *at, const char *key, bool required, const char **ret, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value && !required) return WEIR_OK;
    const char *text = cJSON_GetStringValue(value);
    if (!text || !*text) return pf_wrong(value, pf_below(at, key).text, "a text", err);
    *ret = text;
    return WEIR_OK;
}

weir_status pf_get_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value) return WEIR_OK;
    const char *text = cJSON_GetStringValue(value);
    int64_t us;
    if (!text || weir_duration_parse(text, &us, NULL) || us > DURATION_MAX_US)
        return pf_wrong(value, pf_below(at, key).text, "a duration such as \"90s\", \"15m\", \"12h\" or \"7d\", of at most a hundred years", err);
    *ret_us = us;
    return WEIR_OK;
}

weir_status pf_get_int(const cJSON *json, const char *at, const char *key, int64_t min, int64_t max, int64_t *ret, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value) return WEIR_OK;
    double v = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    if (!(v >= (double)min && v <= (double)max) || v != floor(v))
        return pf_wrong(value, pf_below(at, key).text, pf_path_of("a whole number from %" PRId64 " to %" PRId64, min, max).text, err);
    *ret = (int64_t)v;
    return WEIR_OK;
}

weir_status pf_get_number(const cJSON *json, const char *at, const char *key, bool *ret_has, double *ret, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value) return WEIR_OK;
    if (!cJSON_IsNumber(value)) return pf_wrong(value, pf_below(at, key).text, "a number", err);
    if (ret_has) *ret_has = true;
    *ret = value->valuedouble;
    return WEIR_OK;
}

weir_status pf_get_bool(const cJSON *json, const char *at, const char *key, bool *ret, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value) return WEIR_OK;
    if (!cJSON_IsBool(value)) return pf_wrong(value, pf_below(at, key).text, "true or false", err);
    *ret = cJSON_IsTrue(value);
    return WEIR_OK;
}

/* An array of 1 to max texts; ret [max]. */
weir_status pf_get_texts(const cJSON *json, const char *at, const char *key, int max, const char **ret, int *ret_count, weir_err *err) {
    const cJSON *value = pf_get(json, key), *child;
    pf_path here = pf_below(at, key);
    int n = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
    if (n < 1 || n > max) return pf_wrong(value, here.text, pf_path_of("an array of 1 to %d texts", max).text, err);
    int i = 0;
    cJSON_ArrayForEach(child, value) {
        if (!cJSON_IsString(child) || !*child->valuestring) return pf_wrong(child, pf_item(here.text, i).text, "a text", err);
        ret[i++] = child->valuestring;
    }
    *ret_count = n;
    return WEIR_OK;
}

/* Names become parts of topics, Avro names and SQL identifiers, so they are kept to what all of these take. */
weir_status pf_check_name(const char *name, const char *at, bool lower, size_t max_len, weir_err *err) {
    bool ok = strlen(name) <= max_len && !isdigit((unsigned char)name[0]);
    for (const char *p = name; ok && *p; p++) ok = isdigit((unsigned char)*p) || *p == '_' || (*p >= 'a' && *p <= 'z') || (!lower && *p >= 'A' && *p <= 'Z');
    if (ok) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.64s\", expected at most %zu %sletters, digits and '_', not starting with a digit", at, name, max_len,
                     lower ? "lower-case " : "");
}

/* --- the feeds --- */

/* Column by name, with its nearest neighbours in the complaint. */
weir_status pf_find_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) {
    *ret_index = weir_schema_find(schema, name);
    if (*ret_index >= 0) return WEIR_OK;
    int n = weir_schema_field_count(schema);
    const char **names = weir_mem.realloc(NULL, sizeof(*names) * ((size_t)n + 1));
    if (!names) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the columns of %s", weir_schema_name(schema));
    for (int i = 0; i < n; i++) names[i] = weir_schema_field_at(schema, i)->name;
    names[n] = NULL;
    weir_status status = pf_unknown(at, pf_path_of("column of %s", weir_schema_name(schema)).text, name, names, err);
    free(names);
    return status;
}

weir_status pf_time_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) {
    weir_status status = pf_find_column(schema, name, at, ret_index, err);
    if (status) return status;
    const weir_schema_field *f = weir_schema_field_at(schema, *ret_index);
    if (f->is_timestamp && !f->nullable) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "%s: column %s is no timestamp that is always there; expected {\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}", at, name);
}

weir_status pf_key_columns(const weir_schema *schema, const char *const *names, int count, const char *at, int *ret_index, weir_err *err) {
    for (int i = 0; i < count; i++) {
        pf_path here = pf_item(at, i);
        weir_status status = pf_find_column(schema, names[i], here.text, &ret_index[i], err);
        if (status) return status;
        weir_type type = weir_schema_field_at(schema, ret_index[i])->type;
        if (type != WEIR_T_STR && type != WEIR_T_I64)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s cannot be a key; expected a string, an int or a long", here.text, names[i]);
        for (int j = 0; j < i; j++) {
            if (ret_index[j] == ret_index[i]) return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s stands there twice", here.text, names[i]);
        }
    }
    return WEIR_OK;
}

weir_status pf_parse_from(const weir_pipeline *p, const cJSON *json, const char *at, const char *key, weir_feed *ret, weir_err *err) {
    static const char *const feeds[] = {"events", "labels", NULL};
    const char *text = "events";
    weir_status status = pf_get_text(json, at, key, false, &text, err);
    if (status) return status;
    pf_path here = pf_below(at, key);
    if (strcmp(text, "events") && strcmp(text, "labels")) return pf_unknown(here.text, "feed", text, feeds, err);
    *ret = strcmp(text, "labels") ? WEIR_FROM_EVENTS : WEIR_FROM_LABELS;
    if (*ret == WEIR_FROM_LABELS && !p->labels.topic) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"labels\", but the pipeline has no labels", here.text);
    return WEIR_OK;
}

bool pf_is_numeric(const weir_schema_field *f) {
    return f->type == WEIR_T_BOOL || f->type == WEIR_T_I64 || f->type == WEIR_T_F64;
}
