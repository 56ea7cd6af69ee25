/* What features of the pipeline file refer to: named lists, and plugins. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/plugin.h"
#include "features/pipeline_file.h"

enum { LISTS_MAX = 64, LIST_VALUES_MAX = 100000 };

typedef enum value_kind { KIND_NUMBER, KIND_DATE, KIND_TEXT } value_kind;
static const char *const kind_names[] = {[KIND_NUMBER] = "a number", [KIND_DATE] = "a date", [KIND_TEXT] = "a text"};

/* YYYY-MM-DD as days since 1970. */
static bool is_date(const char *text, double *ret_day) {
    int64_t us;
    if (strlen(text) != 10 || weir_time_parse(text, &us, NULL)) return false;
    *ret_day = (double)(us / WEIR_DAY_US); /* a whole number of days, so before 1970 too */
    return true;
}

static weir_status parse_value(const cJSON *json, const char *at, double *ret_value, value_kind *ret_kind, weir_err *err) {
    const char *text = cJSON_GetStringValue(json);
    *ret_kind = KIND_NUMBER;
    if (cJSON_IsNumber(json)) {
        *ret_value = json->valuedouble;
        return WEIR_OK;
    }
    if (!text) return pf_wrong(json, at, "a number, a date or a text", err);
    *ret_kind = is_date(text, ret_value) ? KIND_DATE : KIND_TEXT;
    if (*ret_kind == KIND_TEXT) *ret_value = weir_text_number(text, strlen(text));
    return WEIR_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static weir_status parse_list(const cJSON *json, const char *at, weir_list_def *list, weir_err *err) {
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0, i = 0;
    if (n < 1 || n > LIST_VALUES_MAX) return pf_wrong(json, at, pf_path_of("an array of 1 to %d numbers, dates or texts", LIST_VALUES_MAX).text, err);
    list->values = weir_mem.realloc(NULL, sizeof(*list->values) * (size_t)n);
    if (!list->values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d values", n);
    const cJSON *child;
    value_kind first = KIND_NUMBER, kind;
    cJSON_ArrayForEach(child, json) {
        pf_path here = pf_item(at, i);
        weir_status status = parse_value(child, here.text, &list->values[i], &kind, err);
        if (status) return status;
        if (!i++) first = kind;
        if (kind != first) return pf_wrong(child, here.text, pf_path_of("%s like the first", kind_names[first]).text, err);
    }
    qsort(list->values, (size_t)n, sizeof(*list->values), by_value);
    for (i = 0; i < n; i++) {
        if (!list->count || list->values[list->count - 1] != list->values[i]) list->values[list->count++] = list->values[i];
    }
    list->texts = first == KIND_TEXT;
    return WEIR_OK;
}

weir_status pf_parse_lists(weir_pipeline *p, const cJSON *json, weir_err *err) {
    if (!json) return WEIR_OK;
    int n = cJSON_IsObject(json) ? cJSON_GetArraySize(json) : -1;
    if (n < 0 || n > LISTS_MAX) return pf_wrong(json, "$.lists", pf_path_of("an object of at most %d named lists", LISTS_MAX).text, err);
    if (!n) return WEIR_OK;
    p->lists = weir_mem.realloc(NULL, sizeof(*p->lists) * (size_t)n);
    if (!p->lists) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d lists", n);
    memset(p->lists, 0, sizeof(*p->lists) * (size_t)n);
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        pf_path here = pf_below("$.lists", child->string);
        weir_list_def *list = &p->lists[p->list_count++];
        list->name = child->string;
        weir_status status = pf_check_name(list->name, here.text, false, PF_NAME_MAX, err);
        if (!status) status = parse_list(child, here.text, list, err);
        if (status) return status;
    }
    return WEIR_OK;
}

void pf_free_lists(weir_pipeline *p) {
    for (int i = 0; i < p->list_count; i++) free(p->lists[i].values);
    free(p->lists);
}

bool weir_pipeline_find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    const weir_pipeline *p = context;
    for (int i = 0; i < p->list_count; i++) {
        const weir_list_def *list = &p->lists[i];
        if (strcmp(list->name, name)) continue;
        *ret_values = list->values;
        *ret_count = list->count;
        *ret_texts = list->texts;
        return true;
    }
    return false;
}

weir_status pf_load_plugins(const cJSON *json, const char *base_dir, weir_err *err) {
    if (!json) return WEIR_OK;
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1, i = 0;
    if (n < 0 || n > WEIR_PLUGINS_MAX) return pf_wrong(json, "$.plugins", pf_path_of("an array of at most %d paths", WEIR_PLUGINS_MAX).text, err);
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        pf_path here = pf_item("$.plugins", i++);
        const char *text = cJSON_GetStringValue(child);
        char path[PATH_MAX];
        if (!text || !*text) return pf_wrong(child, here.text, "the path of a shared object", err);
        /* With a '/' in it: without one the loader would look along its own path. */
        if (snprintf(path, sizeof(path), "%s%s%s", *text == '/' ? "" : base_dir ? base_dir : ".", *text == '/' ? "" : "/", text) >= (int)sizeof(path))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: the path is longer than %d bytes", here.text, PATH_MAX - 1);
        weir_status status = weir_plugin_load(path, err);
        if (status) return weir_err_prefix(err, "%s", here.text);
    }
    return WEIR_OK;
}
