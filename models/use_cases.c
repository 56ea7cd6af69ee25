/* See the header for what a use case is. */
#include "models/use_cases.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/conf.h"
#include "models/json.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a use case");
}

const char *weir_use_case_default(const cJSON *training) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(training, "use_case"));
    return name && *name ? name : WEIR_USE_CASE_DEFAULT;
}

/* Names become part of names of models and of files. */
static weir_status check_name(const char *path, const char *name, weir_err *err) {
    size_t len = strlen(name), i = 0;
    while (i < len && (islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]) || (i && (name[i] == '_' || name[i] == '-')))) i++;
    if (len && len <= WEIR_USE_CASE_NAME_MAX && i == len) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found '%.80s', expected a name of 1 to %d letters a-z, digits, _ and -", path, name, WEIR_USE_CASE_NAME_MAX);
}

static weir_status check_names(const cJSON *training, const cJSON *cases, weir_err *err) {
    const cJSON *item, *own = cJSON_GetObjectItemCaseSensitive(training, "use_case");
    if (own && !cJSON_IsString(own)) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.use_case: found %s, expected a name", weir_json_kind(own));
    weir_status status = own ? check_name("$.training.use_case", own->valuestring, err) : WEIR_OK;
    if (status || !cases) return status;
    if (!cJSON_IsObject(cases) || cJSON_GetArraySize(cases) > WEIR_USE_CASES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.use_cases: found %s, expected an object of at most %d use cases", weir_json_kind(cases),
                         WEIR_USE_CASES_MAX);
    cJSON_ArrayForEach(item, cases) {
        if ((status = check_name("$.training.use_cases", item->string, err))) return status;
        if (!strcmp(item->string, weir_use_case_default(training)))
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.use_cases.%s: this is the name of the training section itself", item->string);
        if (!cJSON_IsObject(item))
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.use_cases.%s: found %s, expected an object", item->string, weir_json_kind(item));
        if (cJSON_GetObjectItemCaseSensitive(item, "use_cases") || cJSON_GetObjectItemCaseSensitive(item, "use_case") ||
            cJSON_GetObjectItemCaseSensitive(item, "experiment"))
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.use_cases.%s: use_case, use_cases and experiment stand in $.training only", item->string);
    }
    return WEIR_OK;
}

static weir_status unknown(const cJSON *training, const cJSON *cases, const char *name, weir_err *err) {
    const char *names[WEIR_USE_CASES_MAX + 2] = {weir_use_case_default(training)};
    char list[400];
    const cJSON *item;
    int count = 1;
    size_t used = (size_t)snprintf(list, sizeof list, "%s", names[0]);
    cJSON_ArrayForEach(item, cases) {
        names[count++] = item->string;
        if (used < sizeof list) used += (size_t)snprintf(list + used, sizeof list - used, ", %s", item->string);
    }
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no use case '%.80s'; there are %s%s%s%s", name, list, near ? "; did you mean '" : "", near ? near : "",
                     near ? "'?" : "");
}

static bool names_any(const cJSON *use_case, const char *a, const char *b) {
    return cJSON_GetObjectItemCaseSensitive(use_case, a) || (b && cJSON_GetObjectItemCaseSensitive(use_case, b));
}

/* Whether a key of `training` speaks of something that the use case says otherwise. */
static bool is_of_another(const char *key, const cJSON *use_case) {
    static const char *const of_target[] = {"classes", "metric", "baseline", "threshold"}, *const of_candidates[] = {"champion", "challenger"};
    if (!strcmp(key, "use_cases") || !strcmp(key, "use_case") || !strcmp(key, "experiment")) return true;
    for (size_t i = 0; i < sizeof of_target / sizeof *of_target; i++)
        if (!strcmp(key, of_target[i])) return names_any(use_case, "task", "target");
    for (size_t i = 0; i < sizeof of_candidates / sizeof *of_candidates; i++)
        if (!strcmp(key, of_candidates[i])) return names_any(use_case, "candidates", NULL);
    return false;
}

static bool add_copy(cJSON *section, const cJSON *item) {
    cJSON *copy = cJSON_Duplicate(item, true);
    if (copy && cJSON_AddItemToObject(section, item->string, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

static bool merge(const cJSON *training, const cJSON *use_case, cJSON *section) {
    const cJSON *item;
    cJSON_ArrayForEach(item, use_case) if (!add_copy(section, item)) return false;
    cJSON_ArrayForEach(item, training) {
        if (cJSON_GetObjectItemCaseSensitive(use_case, item->string) || is_of_another(item->string, use_case)) continue;
        if (!add_copy(section, item)) return false;
    }
    if (names_any(use_case, "task", "target") && !names_any(use_case, "split", NULL))
        cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(section, "split"), "exclude_known");
    return true;
}

weir_status weir_use_case_section(const cJSON *training, const char *name, cJSON **ret_section, weir_err *err) {
    static const cJSON nothing = {.type = cJSON_Object};
    const cJSON *cases = cJSON_GetObjectItemCaseSensitive(training, "use_cases"), *found = cJSON_GetObjectItemCaseSensitive(cases, name);
    if (!cJSON_IsObject(training)) return WEIR_FAIL(err, WEIR_EINVAL, "$.training: found %s, expected an object", weir_json_kind(training));
    weir_status status = check_names(training, cases, err);
    if (status) return status;
    if (!strcmp(name, weir_use_case_default(training))) found = &nothing;
    if (!found) return unknown(training, cases, name, err);
    cJSON *section = cJSON_CreateObject();
    if (section && merge(training, found, section)) {
        *ret_section = section;
        return WEIR_OK;
    }
    cJSON_Delete(section);
    return no_memory(err);
}

weir_status weir_use_case_experiment(const cJSON *training, const char *pipeline, const char *tenant, const char *use_case, char *text, weir_err *err) {
    const char *const names[] = {"{pipeline}", "{tenant}", "{use_case}"}, *const values[] = {pipeline, tenant, use_case};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(training, "experiment");
    const char *from = item ? cJSON_GetStringValue(item) : "/{pipeline}/{use_case}";
    if (!from || !*from) return WEIR_FAIL(err, WEIR_EINVAL, "$.training.experiment: found %s, expected a text that is not empty", weir_json_kind(item));
    const char *at = from;
    for (size_t used = 0; *at;) {
        const char *put = at;
        size_t len = 1, step = 1;
        for (int i = 0; *at == '{' && i < 3; i++) {
            if (strncmp(at, names[i], strlen(names[i])) != 0) continue;
            put = values[i];
            len = strlen(put);
            step = strlen(names[i]);
        }
        if (*at == '{' && step == 1)
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.experiment: found '%.40s', expected {pipeline}, {tenant} or {use_case}", at);
        if (used + len > WEIR_EXPERIMENT_MAX)
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.experiment: the name for tenant '%.60s' is longer than %d bytes", tenant, WEIR_EXPERIMENT_MAX);
        memcpy(text + used, put, len);
        used += len;
        text[used] = '\0';
        at += step;
    }
    return WEIR_OK;
}
