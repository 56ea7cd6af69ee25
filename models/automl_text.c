/* When two specs are one: the text by which the search knows that it has tried something. A recipe's candidate with a name and no parameters, and the trial that
 * begins with all defaults, are the same model. */
#include <stdlib.h>
#include <string.h>

#include "models/automl_internal.h"

/* A fallback of the table as JSON would have it. */
static cJSON *fallback_of(const weir_conf_item *item) {
    char *end;
    double number = strtod(item->fallback, &end);
    if (end != item->fallback && !*end) return cJSON_CreateNumber(number);
    bool yes = !strcmp(item->fallback, "true");
    return yes || !strcmp(item->fallback, "false") ? cJSON_CreateBool(yes) : cJSON_CreateString(item->fallback);
}

static bool put(cJSON *object, const char *key, cJSON *value) {
    if (value && cJSON_AddItemToObject(object, key, value)) return true;
    cJSON_Delete(value);
    return false;
}

/* In the order of the algorithm's table. */
static bool put_params(cJSON *said, const weir_algorithm *algorithm, const cJSON *given) {
    cJSON *all = cJSON_AddObjectToObject(said, "params");
    bool ok = all;
    for (const weir_conf_item *item = algorithm->params; ok && item->name; item++) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(given, item->name);
        if (own || item->fallback) ok = put(all, item->name, own ? cJSON_Duplicate(own, true) : fallback_of(item));
    }
    return ok;
}

/* Whatever else a spec says stays as it is. */
static bool put_rest(cJSON *said, const cJSON *spec) {
    static const char *const known[] = {"name", "algorithm", "params", NULL};
    const cJSON *item;
    cJSON_ArrayForEach(item, spec) {
        bool left_out = (cJSON_IsArray(item) || cJSON_IsObject(item)) && !cJSON_GetArraySize(item);
        for (int i = 0; known[i]; i++) left_out = left_out || !strcmp(item->string, known[i]);
        if (!left_out && !put(said, item->string, cJSON_Duplicate(item, true))) return false;
    }
    return true;
}

/* Of what is no algorithm: an ensemble, or a name that nobody knows. */
static bool put_own(cJSON *said, const cJSON *spec) {
    const cJSON *algorithm = cJSON_GetObjectItemCaseSensitive(spec, "algorithm"), *params = cJSON_GetObjectItemCaseSensitive(spec, "params");
    return (!algorithm || put(said, "algorithm", cJSON_Duplicate(algorithm, true))) && (!params || put(said, "params", cJSON_Duplicate(params, true)));
}

/* NULL: no memory. */
static cJSON *canonical(const cJSON *spec) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(spec, "algorithm"));
    const weir_algorithm *algorithm = name ? weir_algorithm_find(name) : NULL;
    const cJSON *several = cJSON_GetObjectItemCaseSensitive(spec, "targets");
    cJSON *said = cJSON_CreateObject();
    bool ok = said;
    if (ok && cJSON_IsObject(several) && cJSON_GetArraySize(spec) == 1)
        ok = put(said, "targets", canonical(several));
    else if (ok && algorithm)
        ok = cJSON_AddStringToObject(said, "algorithm", algorithm->name) && put_params(said, algorithm, cJSON_GetObjectItemCaseSensitive(spec, "params")) &&
             put_rest(said, spec);
    else if (ok)
        ok = put_rest(said, spec) && put_own(said, spec);
    if (ok) return said;
    cJSON_Delete(said);
    return NULL;
}

char *weir_automl_text(const cJSON *spec) {
    cJSON *said = canonical(spec);
    char *text = said ? cJSON_PrintUnformatted(said) : NULL;
    cJSON_Delete(said);
    return text;
}
