/* The pipeline file that scenarios run with: what is decided, and how fast, made fit for a world that passes in a minute. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "cli/demo_scenario.h"
#include "core/folder.h"
#include "core/mem.h"
#include "models/recipe.h"

static bool put(cJSON *object, const char *name, cJSON *item) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (item && cJSON_AddItemToObject(object, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *object_at(cJSON *json, const char *name) {
    cJSON *object = cJSON_GetObjectItemCaseSensitive(json, name);
    return object ? object : cJSON_AddObjectToObject(json, name);
}

/* One candidate, which is champion first, and whose later versions challenge it: what a new version is better by is then what the world has changed by. */
static bool keep_challenger(cJSON *training, const weir_recipe *recipe) {
    cJSON *candidates = cJSON_GetObjectItemCaseSensitive(training, "candidates");
    const char *name = recipe->challenger ? recipe->challenger : recipe->champion;
    for (int i = cJSON_GetArraySize(candidates) - 1; i >= 0; i--) {
        const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(candidates, i), "name"));
        if (!found || strcmp(found, name) != 0) cJSON_DeleteItemFromArray(candidates, i);
    }
    return put(training, "champion", cJSON_CreateString(name)) && put(training, "challenger", cJSON_CreateString(name));
}

static bool set_decisions(cJSON *json, const weir_pipeline *pipeline, weir_scenario_kind kind) {
    static const char drift[] = "{\"every\": \"1d\", \"window\": \"7d\", \"alert_share\": 0.25}";
    /* A machine that everything runs on at once stalls at times, which is not the challenger's fault: only then is latency given so much. */
    static const char rollout[] =
        "{\"steps\": [0.1, 0.5, 1], \"split\": \"request\", \"loss\": \"brier\", \"min_rows\": 100, \"guards\": {\"latency\": \"100ms\"}}";
    cJSON *triggers = object_at(json, "triggers"), *parsed = cJSON_Parse(rollout);
    bool ok = triggers && parsed && cJSON_AddStringToObject(parsed, "salt", pipeline->rollout.salt);
    if (kind == WEIR_SCENARIO_HARM)
        cJSON_DeleteItemFromObjectCaseSensitive(triggers, "drift");
    else
        ok = ok && put(triggers, "drift", cJSON_Parse(drift));
    return put(json, "rollout", parsed) && ok;
}

weir_status weir_scenario_prepare(const char *name, weir_scenario_kind kind, const char *path, weir_err *err) {
    weir_pipeline *pipeline = NULL;
    weir_recipe recipe = {0};
    weir_buf text = {0};
    weir_status status = weir_pipeline_load(name, &pipeline, err);
    if (!status) status = weir_recipe_load(pipeline, &recipe, err);
    cJSON *json = status ? NULL : cJSON_Duplicate(pipeline->json, true);
    bool ok = json && keep_challenger(cJSON_GetObjectItemCaseSensitive(json, "training"), &recipe) && set_decisions(json, pipeline, kind);
    char *printed = ok ? cJSON_Print(json) : NULL;
    if (!status && !(printed && weir_buf_printf(&text, "%s\n", printed))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the pipeline of a scenario");
    if (!status) status = weir_folder_make_above(path, err);
    if (!status) {
        FILE *file = fopen(path, "w");
        bool written = file && fwrite(text.data, 1, text.len, file) == text.len;
        if ((file && fclose(file)) || !written) status = WEIR_FAIL(err, WEIR_EIO, "cannot write %s", path);
    }
    cJSON_free(printed);
    cJSON_Delete(json);
    weir_buf_done(&text);
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    return status;
}
