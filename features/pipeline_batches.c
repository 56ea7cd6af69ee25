/* `serving.batches` of the pipeline file. */
#include "features/pipeline_batches.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/cron.h"
#include "features/pipeline_file.h"

weir_status weir_batch_path(const char *pattern, int64_t local_us, weir_buf *ret_path, weir_err *err) {
    time_t seconds = (time_t)(local_us / WEIR_SECOND_US);
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    for (const char *p = pattern; *p; p++) {
        char text[16], format[3] = {'%', p[1], 0};
        size_t len = 1;
        if (*p == '%' && (!p[1] || !strchr("YmdHMj%", p[1])))
            return WEIR_FAIL(err, WEIR_EINVAL, "found '%s', expected %%Y, %%m, %%d, %%H, %%M, %%j or %%%% where there is a '%%'", pattern);
        if (*p == '%') len = strftime(text, sizeof text, format, &parts);
        if (!weir_buf_append(ret_path, *p == '%' ? text : p, len)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a path");
        if (*p == '%') p++;
    }
    return WEIR_OK;
}

static weir_status get_path(const cJSON *json, const char *at, const char *key, bool required, const char **ret, weir_err *err) {
    weir_buf path = {0};
    weir_status status = pf_get_text(json, at, key, required, ret, err);
    if (status || !*ret) return status;
    if ((status = weir_batch_path(*ret, 0, &path, err))) status = weir_err_prefix(err, "%s", pf_below(at, key).text);
    weir_buf_done(&path);
    return status;
}

static weir_status check_schedule(const weir_batch_def *batch, const char *at, weir_err *err) {
    weir_cron cron;
    weir_zone *zone = NULL;
    weir_status status = weir_cron_parse(batch->cron, &cron, err);
    if (status) return weir_err_prefix(err, "%s", pf_below(at, "schedule").text);
    status = weir_zone_load(batch->time_zone, &zone, err);
    weir_zone_free(zone);
    return status ? weir_err_prefix(err, "%s", pf_below(at, "time_zone").text) : WEIR_OK;
}

static weir_status get_choices(weir_batch_def *batch, const cJSON *json, const char *at, weir_err *err) {
    static const char *const formats[] = {"auto", "parquet", "csv", "json", NULL};
    const char *catch_up = "last";
    weir_status status;
    int i = 0;
    if ((status = pf_get_text(json, at, "catch_up", false, &catch_up, err)) || (status = pf_get_text(json, at, "format", false, &batch->format, err)))
        return status;
    if (strcmp(catch_up, "last") != 0 && strcmp(catch_up, "none") != 0)
        return pf_wrong(pf_get(json, "catch_up"), pf_below(at, "catch_up").text, "\"last\" or \"none\"", err);
    batch->catch_up = strcmp(catch_up, "last") ? WEIR_CATCH_UP_NONE : WEIR_CATCH_UP_LAST;
    while (formats[i] && strcmp(formats[i], batch->format)) i++;
    return formats[i] ? WEIR_OK : pf_unknown(pf_below(at, "format").text, "format", batch->format, formats, err);
}

static weir_status parse_batch(weir_pipeline *p, const cJSON *json, const char *at, weir_err *err) {
    static const char *const keys[] = {"name",   "schedule", "time_zone", "catch_up", "file", "format", "out",
                                       "errors", "model",    "version",   "columns",  "doc",  NULL};
    weir_batch_def *b = &p->batches[p->batch_count];
    weir_status status;
    b->time_zone = "UTC";
    b->format = "auto";
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "name", true, &b->name, err)) ||
        (status = pf_check_name(b->name, pf_below(at, "name").text, false, PF_NAME_MAX, err)) ||
        (status = pf_get_text(json, at, "schedule", true, &b->cron, err)) || (status = pf_get_text(json, at, "time_zone", false, &b->time_zone, err)) ||
        (status = get_path(json, at, "file", true, &b->file, err)) || (status = get_path(json, at, "out", true, &b->out, err)) ||
        (status = get_path(json, at, "errors", false, &b->errors, err)) || (status = pf_get_text(json, at, "model", false, &b->model, err)) ||
        (status = pf_get_text(json, at, "version", false, &b->version, err)) || (status = get_choices(b, json, at, err)) ||
        (pf_get(json, "columns") && (status = pf_get_texts(json, at, "columns", WEIR_BATCH_COLUMNS_MAX, b->columns, &b->column_count, err))))
        return status;
    for (int i = 0; i < p->batch_count; i++) {
        if (!strcmp(p->batches[i].name, b->name))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: a batch before it is called %s, too", pf_below(at, "name").text, b->name);
        if (!strcmp(p->batches[i].out, b->out)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: batch %s writes it, too", pf_below(at, "out").text, p->batches[i].name);
    }
    p->batch_count++;
    return check_schedule(b, at, err);
}

weir_status pf_parse_batches(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.serving.batches";
    if (!json) return WEIR_OK;
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1, i = 0;
    if (n < 0 || n > WEIR_BATCHES_MAX) return pf_wrong(json, at, pf_path_of("an array of at most %d batches", WEIR_BATCHES_MAX).text, err);
    if (n && !weir_pipeline_trains(p)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the pipeline has no training section, and so no model to score with", at);
    size_t size = sizeof(*p->batches) * ((size_t)n + 1);
    if (!(p->batches = weir_mem.realloc(NULL, size))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d batches", n);
    memset(p->batches, 0, size);
    const cJSON *child;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(child, json) {
        if (!status) status = parse_batch(p, child, pf_item(at, i++).text, err);
    }
    return status;
}

void pf_free_batches(weir_pipeline *p) {
    free(p->batches);
}
