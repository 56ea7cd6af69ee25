#include "cli/models_compare.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(item) ? NULL : item;
}

/* A value as it is shown: numbers and texts as they are, what is nested as JSON. */
static bool add_value(cJSON *row, const char *name, const cJSON *value) {
    if (!value) return cJSON_AddNullToObject(row, name);
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) return cJSON_AddItemToObject(row, name, cJSON_Duplicate(value, true));
    char *text = cJSON_PrintUnformatted(value);
    bool added = text && cJSON_AddStringToObject(row, name, text);
    cJSON_free(text);
    return added;
}

static bool add_row(cJSON *rows, const char *what, const char *name, const cJSON *a, const cJSON *b) {
    cJSON *row = cJSON_CreateObject();
    bool added =
        row && cJSON_AddStringToObject(row, "what", what) && cJSON_AddStringToObject(row, "name", name) && add_value(row, "a", a) && add_value(row, "b", b);
    if (added && cJSON_IsNumber(a) && cJSON_IsNumber(b))
        added = a->valuedouble == b->valuedouble || cJSON_AddNumberToObject(row, "change", b->valuedouble - a->valuedouble);
    else if (added && !(!a && !b) && !(a && b && cJSON_Compare(a, b, true)))
        added = cJSON_AddStringToObject(row, "change", "other");
    if (added && cJSON_AddItemToArray(rows, row)) return true;
    cJSON_Delete(row);
    return false;
}

/* Members of both objects, in the order of the first, then those that only the second has. */
static bool add_members(cJSON *rows, const char *what, const cJSON *a, const cJSON *b) {
    const cJSON *item;
    bool added = true;
    cJSON_ArrayForEach(item, a) added = added && add_row(rows, what, item->string, member(a, item->string), member(b, item->string));
    cJSON_ArrayForEach(item, b) added =
        added && (cJSON_GetObjectItemCaseSensitive(a, item->string) || add_row(rows, what, item->string, NULL, member(b, item->string)));
    return added;
}

static const cJSON *find_input(const cJSON *version, const char *name) {
    const cJSON *input;
    cJSON_ArrayForEach(input, member(member(version, "signature"), "inputs")) {
        const char *text = cJSON_GetStringValue(member(input, "name"));
        if (text && !strcmp(text, name)) return input;
    }
    return NULL;
}

/* The type of each input, and that one has it not. only_new: those that the other version has not. */
static bool add_columns(cJSON *rows, const cJSON *from, const cJSON *a, const cJSON *b, bool only_new) {
    const cJSON *input;
    bool added = true;
    cJSON_ArrayForEach(input, member(member(from, "signature"), "inputs")) {
        const char *name = cJSON_GetStringValue(member(input, "name"));
        if (!added || !name || (only_new && find_input(a, name))) continue;
        added = add_row(rows, "column", name, member(find_input(a, name), "type"), member(find_input(b, name), "type"));
    }
    return added;
}

static bool add_size(cJSON *rows, double a_bytes, double b_bytes) {
    cJSON *a = a_bytes < 0 ? NULL : cJSON_CreateNumber(a_bytes), *b = b_bytes < 0 ? NULL : cJSON_CreateNumber(b_bytes);
    bool added = add_row(rows, "version", "artifact_bytes", a, b);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return added;
}

static bool add_facts(cJSON *rows, const cJSON *a, const cJSON *b) {
    static const char *const facts[] = {"algorithm", "created_at", "feature_hash", "dataset_digest", "run_id", "digest"};
    const cJSON *of_a = member(a, "lineage"), *of_b = member(b, "lineage");
    bool added = true;
    for (size_t i = 0; added && i < sizeof facts / sizeof *facts; i++) added = add_row(rows, "version", facts[i], member(a, facts[i]), member(b, facts[i]));
    added = added && add_row(rows, "version", "dataset_rows", member(member(of_a, "dataset"), "rows"), member(member(of_b, "dataset"), "rows"));
    return added && add_row(rows, "version", "window", member(of_a, "window"), member(of_b, "window"));
}

static bool add_side(cJSON *comparison, const char *name, const cJSON *version) {
    cJSON *side = cJSON_AddObjectToObject(comparison, name);
    return side && add_value(side, "model", member(version, "model")) && add_value(side, "version", member(version, "version")) &&
           add_value(side, "semver", member(version, "semver"));
}

weir_status weir_models_compare(const cJSON *a, const cJSON *b, double a_bytes, double b_bytes, cJSON **ret_comparison, weir_err *err) {
    const cJSON *of_a = member(a, "lineage"), *of_b = member(b, "lineage");
    cJSON *comparison = cJSON_CreateObject(), *rows = NULL;
    bool made = comparison && add_side(comparison, "a", a) && add_side(comparison, "b", b) && (rows = cJSON_AddArrayToObject(comparison, "rows")) &&
                add_facts(rows, a, b) && add_size(rows, a_bytes, b_bytes) && add_members(rows, "metric", member(a, "metrics"), member(b, "metrics")) &&
                add_members(rows, "parameter", member(of_a, "params"), member(of_b, "params")) &&
                add_row(rows, "parameter", "preprocessing", member(of_a, "preprocessing"), member(of_b, "preprocessing")) &&
                add_columns(rows, a, a, b, false) && add_columns(rows, b, a, b, true);
    if (!made) {
        cJSON_Delete(comparison);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a comparison");
    }
    *ret_comparison = comparison;
    return WEIR_OK;
}
