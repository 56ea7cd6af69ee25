/* `weir replay-predictions PIPELINE`: recorded inputs through the model again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "models/json.h"
#include "models/registry.h"
#include "models/rescore.h"

enum { SHOWN_MAX = 10 };

typedef struct replay_options {
    char *pipeline, *tenant, *model, *offsets;
    int64_t from, to;
    int output;
} replay_options;

#define FIELD(member) .offset = offsetof(replay_options, member)

static const weir_conf_item replay_table[] = {
    WEIR_PIPELINE_ITEM(replay_options, pipeline),
    {.name = "from", .type = WEIR_CONF_TIME, FIELD(from), .fallback = "0001-01-01", .doc = "event time of the first prediction"},
    {.name = "to", .type = WEIR_CONF_TIME, FIELD(to), .fallback = "9999-12-31", .doc = "event time behind the last prediction"},
    {.name = "offsets",
     .type = WEIR_CONF_STRING,
     FIELD(offsets),
     .doc = "PARTITION:FIRST-LAST: only predictions of these events, by where they are in the events' topic"},
    {.name = "tenant", .type = WEIR_CONF_STRING, FIELD(tenant), .doc = "only this tenant's; not given: all"},
    {.name = "model",
     .type = WEIR_CONF_STRING,
     FIELD(model),
     .doc = "another version: MODEL, MODEL/VERSION, or an alias; not given: the version that made each prediction, which must give the same bits"},
    WEIR_OUTPUT_ITEM(replay_options, output),
    {.name = NULL},
};

/* Predictions whose score came out different, as far as they are shown; and what progress is shown on. */
typedef struct shown {
    cJSON *mismatches;
    bool failed;
    weir_progress progress;
    bool started;
} shown;

static void on_mismatch(void *context, const char *prediction, double recorded, double again) {
    shown *s = context;
    if (cJSON_GetArraySize(s->mismatches) >= SHOWN_MAX) return;
    cJSON *item = cJSON_CreateObject(), *was = weir_json_exact(recorded), *is = weir_json_exact(again);
    bool ok = item && was && is && cJSON_AddStringToObject(item, "prediction", prediction);
    if (ok) {
        cJSON_AddItemToObject(item, "recorded", was);
        cJSON_AddItemToObject(item, "again", is);
        cJSON_AddItemToArray(s->mismatches, item);
        return;
    }
    s->failed = true;
    cJSON_Delete(item);
    cJSON_Delete(was);
    cJSON_Delete(is);
}

static void on_progress(void *context, int64_t done, int64_t total) {
    shown *s = context;
    if (!s->started) weir_progress_init(&s->progress, stderr, "predictions", total);
    s->started = true;
    weir_progress_show(&s->progress, done, NULL);
}

/* "MODEL", "MODEL/VERSION" or an alias: the model's name into name, its version. */
static weir_status find_model(const weir_settings *settings, const weir_pipeline *pipeline, const char *text, char name[128], int *ret_version, weir_err *err) {
    const char *slash = strchr(text, '/');
    weir_pg *pg = NULL;
    cJSON *aliases = NULL;
    const cJSON *alias, *found = NULL;
    snprintf(name, 128, "%.*s", slash ? (int)(slash - text) : 127, text);
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status && !slash) status = weir_alias_list(pg, pipeline->name, &aliases, err);
    cJSON_ArrayForEach(alias, aliases) {
        const char *is = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(alias, "alias"));
        if (is && !strcmp(is, text)) found = alias;
    }
    if (found) {
        snprintf(name, 128, "%s", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(found, "model")));
        *ret_version = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(found, "version"));
    } else if (!status) {
        status = weir_version_resolve(pg, pipeline->name, name, slash ? slash + 1 : NULL, ret_version, err);
    }
    cJSON_Delete(aliases);
    weir_pg_free(pg);
    return status;
}

static weir_status read_offsets(const char *text, weir_rescore_query *query, weir_err *err) {
    long long partition, first, last;
    char rest;
    if (!text || !*text) return WEIR_OK;
    if (sscanf(text, "%lld:%lld-%lld%c", &partition, &first, &last, &rest) != 3 || partition < 0 || partition > INT32_MAX || first < 0 || last < first)
        return WEIR_FAIL(err, WEIR_EINVAL, "--offsets: found '%s', expected PARTITION:FIRST-LAST, such as 0:1000-1999", text);
    query->by_offset = true;
    query->partition = (int32_t)partition;
    query->first_offset = first;
    query->last_offset = last;
    return WEIR_OK;
}

/* ---- what is printed ---- */

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the report");
}

static bool add_number(cJSON *out, const char *name, double value) {
    cJSON *item = weir_json_exact(value);
    if (item && cJSON_AddItemToObject(out, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool add_estimate(cJSON *out, const char *name, const weir_estimate *e) {
    cJSON *json = cJSON_AddObjectToObject(out, name);
    return json && add_number(json, "value", e->value) && add_number(json, "standard_error", e->standard_error) && add_number(json, "low", e->low) &&
           add_number(json, "high", e->high);
}

static bool add_outcome(cJSON *out, const weir_rescore_result *r) {
    if (!r->has_outcome) return cJSON_AddNullToObject(out, "outcome") != NULL;
    cJSON *outcome = cJSON_AddObjectToObject(out, "outcome");
    return outcome && add_estimate(outcome, "ips", &r->outcome.ips) && add_estimate(outcome, "snips", &r->outcome.snips) &&
           add_number(outcome, "effective_count", r->outcome.effective_count) && cJSON_AddBoolToObject(outcome, "extreme", r->outcome.extreme);
}

static weir_status print_json(const weir_rescore_query *q, const weir_rescore_result *r, const cJSON *mismatches, weir_err *err) {
    cJSON *out = cJSON_CreateObject();
    bool ok = out && add_number(out, "predictions", (double)r->predictions) && add_number(out, "scored", (double)r->scored) &&
              add_number(out, "equal", (double)r->equal) && cJSON_AddItemToObject(out, "versions", cJSON_Duplicate(r->versions, true));
    if (!q->model) {
        ok =
            ok && add_number(out, "mismatches", (double)(r->scored - r->equal)) && cJSON_AddItemToObject(out, "differences", cJSON_Duplicate(mismatches, true));
    } else {
        ok = ok && cJSON_AddStringToObject(out, "model", q->model) && add_number(out, "version", q->version) &&
             add_number(out, "mean_recorded", r->mean_recorded) && add_number(out, "mean_again", r->mean_again) &&
             add_number(out, "mean_difference", r->mean_difference) && add_number(out, "mean_absolute_difference", r->mean_absolute_difference) &&
             add_number(out, "max_absolute_difference", r->max_absolute_difference) && add_number(out, "decisions", (double)r->decisions) &&
             add_number(out, "decisions_changed", (double)r->decisions_changed) && add_number(out, "yes_recorded", (double)r->yes_recorded) &&
             add_number(out, "yes_again", (double)r->yes_again) && add_number(out, "labelled", (double)r->labelled) &&
             add_number(out, "measured", (double)r->measured) && add_outcome(out, r) &&
             cJSON_AddItemToObject(out, "metrics", r->metrics ? cJSON_Duplicate(r->metrics, true) : cJSON_CreateNull());
    }
    weir_status status = ok ? weir_json_print(out, stdout, err) : no_memory(err);
    cJSON_Delete(out);
    return status;
}

static void print_metrics(const cJSON *metrics) {
    const cJSON *recorded, *all = cJSON_GetObjectItemCaseSensitive(metrics, "recorded"), *again = cJSON_GetObjectItemCaseSensitive(metrics, "again");
    cJSON_ArrayForEach(recorded, all) {
        double was = weir_json_value(recorded), is = weir_json_value(cJSON_GetObjectItemCaseSensitive(again, recorded->string));
        printf("  %-20s %10.4f → %10.4f\n", recorded->string, was, is);
    }
}

static void print_other(const weir_rescore_query *q, const weir_rescore_result *r) {
    printf("%s version %d on %lld predictions\n", q->model, q->version, (long long)r->scored);
    if (!r->scored) return;
    printf("  %-20s %10.4f → %10.4f, difference %+.4f on average, %.4f without sign, %.4f at most\n", "mean score", r->mean_recorded, r->mean_again,
           r->mean_difference, r->mean_absolute_difference, r->max_absolute_difference);
    if (r->decisions)
        printf("  %-20s %10lld → %10lld of %lld, %lld (%.2f %%) would have been other ones\n", "positive decisions", (long long)r->yes_recorded,
               (long long)r->yes_again, (long long)r->decisions, (long long)r->decisions_changed, 100.0 * (double)r->decisions_changed / (double)r->decisions);
    if (r->metrics) {
        printf("on the %lld whose label is known%s:\n", (long long)r->measured, r->measured < r->labelled ? " (the first ones)" : "");
        print_metrics(r->metrics);
        if (r->has_outcome)
            printf("mean label if this version had answered all: %.4f [%.4f, %.4f] by inverse propensities, %.4f [%.4f, %.4f] self-normalised%s\n",
                   r->outcome.ips.value, r->outcome.ips.low, r->outcome.ips.high, r->outcome.snips.value, r->outcome.snips.low, r->outcome.snips.high,
                   r->outcome.extreme ? "; few of the predictions say so" : "");
    } else {
        printf("none of them has a label yet\n");
    }
}

static weir_status print_same(const weir_rescore_result *r, const cJSON *mismatches, weir_err *err) {
    static const weir_table_column columns[] = {
        {"model", "MODEL"}, {"version", "VERSION"}, {"digest_short", "DIGEST"}, {"predictions", "PREDICTIONS"}, {"missing", "NOT SCORED BECAUSE"},
        {NULL, NULL}};
    cJSON *version;
    const cJSON *item;
    cJSON_ArrayForEach(version, r->versions) {
        char digest[13];
        snprintf(digest, sizeof digest, "%s", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(version, "digest")));
        if (!cJSON_AddStringToObject(version, "digest_short", digest)) return no_memory(err);
    }
    weir_status status = weir_table_print(r->versions, columns, WEIR_OUTPUT_TABLE, stdout, err);
    printf("%lld of %lld predictions scored again: %lld equal bit for bit, %lld different\n", (long long)r->scored, (long long)r->predictions,
           (long long)r->equal, (long long)(r->scored - r->equal));
    cJSON_ArrayForEach(item, mismatches)
        printf("  %s: recorded %.17g, again %.17g\n", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "prediction")),
               weir_json_value(cJSON_GetObjectItemCaseSensitive(item, "recorded")), weir_json_value(cJSON_GetObjectItemCaseSensitive(item, "again")));
    return status;
}

/* ---- the command ---- */

static weir_status replay(const weir_settings *settings, const weir_pipeline *pipeline, const replay_options *o, int *ret_exit, weir_err *err) {
    char model[128];
    shown s = {.mismatches = cJSON_CreateArray()};
    weir_rescore_result result = {0};
    weir_rescore_query query = {.from_us = o->from,
                                .to_us = o->to,
                                .tenant = o->tenant && *o->tenant ? o->tenant : NULL,
                                .objects_dir = settings->objects_dir,
                                .on_mismatch = on_mismatch,
                                .progress = on_progress,
                                .context = &s};
    weir_status status = s.mismatches ? read_offsets(o->offsets, &query, err) : no_memory(err);
    if (!status && o->model && *o->model) {
        status = find_model(settings, pipeline, o->model, model, &query.version, err);
        query.model = model;
    }
    if (!status) status = weir_rescore(settings->pg_url, pipeline, &query, &result, err);
    if (s.started) weir_progress_end(&s.progress);
    if (!status && s.failed) status = no_memory(err);
    if (!status && !result.predictions) fprintf(stderr, "the offline store has no predictions of pipeline %s in this range\n", pipeline->name);
    if (!status && o->output == WEIR_OUTPUT_JSON)
        status = print_json(&query, &result, s.mismatches, err);
    else if (!status && query.model)
        print_other(&query, &result);
    else if (!status)
        status = print_same(&result, s.mismatches, err);
    if (!status && (!result.predictions || (!query.model && result.equal != result.predictions))) *ret_exit = 1;
    weir_rescore_result_done(&result);
    cJSON_Delete(s.mismatches);
    return status;
}

static weir_status run_replay_predictions(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const replay_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_status status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status) status = replay(settings, pipeline, o, ret_exit, err);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_replay_predictions = {
    .name = "replay-predictions",
    .args = "PIPELINE [--from T] [--to T] [--offsets P:FIRST-LAST] [--tenant T] [--model MODEL[/VERSION]|ALIAS] [--output table|json]",
    .doc = "Scores recorded inputs again: by the versions that made the predictions, or by another one to see what it would have said.\n"
           "Exit code 1: a score is not the recorded one bit for bit, a version is not there any more, or there are no predictions.\n"
           "docs/lineage.md tells more.",
    .options = replay_table,
    .options_size = sizeof(replay_options),
    .run = run_replay_predictions,
};
