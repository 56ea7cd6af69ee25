#include "cli/check_parity.h"

#include <math.h>

#include "cli/table.h"
#include "core/clock.h"
#include "features/parity.h"

enum { EXAMPLES_MAX = 10 };

/* The first differences, as rows of a table. */
typedef struct examples {
    cJSON *rows;
    bool failed;
} examples;

static bool add_value(cJSON *row, const char *key, double value) {
    return isnan(value) ? cJSON_AddNullToObject(row, key) != NULL : cJSON_AddNumberToObject(row, key, value) != NULL;
}

static void keep_example(void *context, const weir_parity_difference *d) {
    examples *e = context;
    if (e->failed || cJSON_GetArraySize(e->rows) == EXAMPLES_MAX) return;
    char time[WEIR_TIME_TEXT_MAX];
    cJSON *row = cJSON_CreateObject();
    e->failed = !row || !cJSON_AddItemToArray(e->rows, row) || !cJSON_AddStringToObject(row, "prediction", d->prediction) ||
                !cJSON_AddStringToObject(row, "view", d->view) || !cJSON_AddStringToObject(row, "entity", d->entity) ||
                !cJSON_AddStringToObject(row, "event_time", weir_time_format(d->event_time_us, time)) ||
                !cJSON_AddNumberToObject(row, "version", (double)d->version) || !cJSON_AddStringToObject(row, "feature", d->feature) ||
                !add_value(row, "served", d->served) || !add_value(row, "recomputed", d->recomputed);
}

static const weir_table_column columns[] = {{"prediction", "PREDICTION"},
                                            {"view", "VIEW"},
                                            {"entity", "ENTITY"},
                                            {"event_time", "EVENT TIME"},
                                            {"version", "VERSION"},
                                            {"feature", "FEATURE"},
                                            {"served", "SERVED"},
                                            {"recomputed", "RECOMPUTED"},
                                            {NULL, NULL}};

static weir_status print(const weir_parity_result *r, cJSON *rows, weir_output output, weir_err *err) {
    if (output == WEIR_OUTPUT_TABLE) {
        printf("%lld vectors, %lld values computed again from history: %lld differ\n", (long long)r->vectors, (long long)r->values, (long long)r->mismatches);
        if (r->incomplete) printf("%lld vectors not compared: the offline store does not have all records that they read\n", (long long)r->incomplete);
        if (r->other_definitions) printf("%lld predictions not compared: made under other feature definitions\n", (long long)r->other_definitions);
        return cJSON_GetArraySize(rows) ? weir_table_print(rows, columns, output, stdout, err) : WEIR_OK;
    }
    cJSON *json = cJSON_CreateObject();
    bool ok = json && cJSON_AddNumberToObject(json, "vectors", (double)r->vectors) && cJSON_AddNumberToObject(json, "values", (double)r->values) &&
              cJSON_AddNumberToObject(json, "mismatches", (double)r->mismatches) && cJSON_AddNumberToObject(json, "incomplete", (double)r->incomplete) &&
              cJSON_AddNumberToObject(json, "other_definitions", (double)r->other_definitions) && cJSON_AddItemReferenceToObject(json, "differences", rows);
    weir_status status = ok ? weir_json_print(json, stdout, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to print the result");
    cJSON_Delete(json);
    return status;
}

weir_status weir_check_parity(const weir_settings *settings, const weir_pipeline *pipeline, const weir_recipe *recipe, int64_t from_us, int64_t to_us,
                              uint32_t one_in, weir_output output, int *ret_exit, weir_err *err) {
    const weir_parity_query query = {
        .from_us = from_us,
        .to_us = to_us,
        .predicted_from_us = WEIR_TIME_MIN_US,
        .predicted_to_us = WEIR_TIME_MAX_US,
        .one_in = one_in,
        .inputs = recipe->columns,
        .objects_dir = settings->objects_dir,
    };
    examples e = {.rows = cJSON_CreateArray()};
    weir_parity_result result;
    weir_status status = e.rows ? weir_parity_run(settings->pg_url, pipeline, &query, keep_example, &e, &result, err)
                                : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the differences");
    if (!status && e.failed) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the differences");
    if (!status) status = print(&result, e.rows, output, err);
    if (!status && (result.mismatches || result.incomplete)) *ret_exit = 1;
    cJSON_Delete(e.rows);
    return status;
}
