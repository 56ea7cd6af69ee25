/* `triggers` and `rollout` of the pipeline file. */
#include <math.h>
#include <string.h>

#include "core/cron.h"
#include "features/pipeline_file.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US (24 * HOUR_US)
#define SHARE_COMPARED_MAX                                                                                                                                     \
    0.999 /* beyond, a single outcome of the champion would decide: WEIR_PROPENSITY_MAX of models/sequential.h, which is above this layer */
#define SHARE_COMPARED_MIN 0.001
#define FLOOR_MAX 0.1 /* with seven challengers the floors take most of the traffic then */

enum { NAME_MAX_BYTES = 48, ROWS_MAX = 1000000000 };

const char *const weir_catch_up_names[] = {[WEIR_CATCH_UP_LAST] = "last", [WEIR_CATCH_UP_ALL] = "all", [WEIR_CATCH_UP_NONE] = "none", NULL};
const char *const weir_loss_names[] = {[WEIR_LOSS_LOG] = "log_loss",
                                       [WEIR_LOSS_BRIER] = "brier",
                                       [WEIR_LOSS_ERROR] = "error",
                                       [WEIR_LOSS_SQUARED] = "squared_error",
                                       [WEIR_LOSS_ABSOLUTE] = "absolute_error",
                                       NULL};

/* ---- values ---- */

static weir_status get_between(const cJSON *json, const char *at, const char *key, double min, double max, double *ret, weir_err *err) {
    const cJSON *value = pf_get(json, key);
    if (!value) return WEIR_OK;
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= min && value->valuedouble <= max))
        return pf_wrong(value, pf_below(at, key).text, pf_path_of("a number from %g to %g", min, max).text, err);
    *ret = value->valuedouble;
    return WEIR_OK;
}

/* The place of the word among names (NULL-terminated). */
static weir_status get_choice(const cJSON *json, const char *at, const char *key, const char *const *names, int *ret, weir_err *err) {
    const char *word = NULL;
    weir_status status = pf_get_text(json, at, key, false, &word, err);
    if (status || !word) return status;
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], word)) continue;
        *ret = i;
        return WEIR_OK;
    }
    return pf_unknown(pf_below(at, key).text, "choice", word, names, err);
}

static weir_status get_positive_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) {
    weir_status status = pf_get_duration(json, at, key, ret_us, err);
    if (!status && pf_get(json, key) && *ret_us <= 0) return pf_wrong(pf_get(json, key), pf_below(at, key).text, "a duration longer than 0", err);
    return status;
}

/* ---- triggers ---- */

/* What the schedule worker would stumble over should be known before it starts. */
static weir_status check_cron(const weir_schedule_def *schedule, const char *cron_at, const char *zone_at, weir_err *err) {
    weir_cron cron;
    weir_zone *zone = NULL;
    weir_status status = weir_cron_parse(schedule->cron, &cron, err);
    if (status) return weir_err_prefix(err, "%s", cron_at);
    status = weir_zone_load(schedule->time_zone, &zone, err);
    weir_zone_free(zone);
    return status ? weir_err_prefix(err, "%s", zone_at) : WEIR_OK;
}

static weir_status parse_schedule(weir_triggers *triggers, const cJSON *json, const char *at, weir_err *err) {
    static const char *const keys[] = {"name", "cron", "time_zone", "action", "catch_up", "payload", "doc", NULL};
    static const char *const actions[] = {"train", "drift", "score", "compact", NULL};
    weir_schedule_def schedule = {.time_zone = "UTC"};
    int action = 0, catch_up = WEIR_CATCH_UP_LAST;
    weir_status status;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "name", true, &schedule.name, err)) ||
        (status = pf_check_name(schedule.name, pf_below(at, "name").text, false, NAME_MAX_BYTES, err)) ||
        (status = pf_get_text(json, at, "cron", true, &schedule.cron, err)) || (status = pf_get_text(json, at, "time_zone", false, &schedule.time_zone, err)) ||
        (status = get_choice(json, at, "action", actions, &action, err)) || (status = get_choice(json, at, "catch_up", weir_catch_up_names, &catch_up, err)) ||
        (status = check_cron(&schedule, pf_below(at, "cron").text, pf_below(at, "time_zone").text, err)))
        return status;
    schedule.action = actions[action];
    schedule.catch_up = (weir_catch_up)catch_up;
    schedule.payload = pf_get(json, "payload");
    if (schedule.payload && !cJSON_IsObject(schedule.payload)) return pf_wrong(schedule.payload, pf_below(at, "payload").text, "an object", err);
    for (int i = 0; i < triggers->schedule_count; i++) {
        if (!strcmp(triggers->schedules[i].name, schedule.name))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: a schedule before it is called %s, too", pf_below(at, "name").text, schedule.name);
    }
    triggers->schedules[triggers->schedule_count++] = schedule;
    return WEIR_OK;
}

/* A cron expression alone trains. */
static weir_status parse_schedules(weir_triggers *triggers, const cJSON *json, weir_err *err) {
    const char *cron = NULL;
    weir_status status = pf_get_text(json, "$.triggers", "schedule", false, &cron, err);
    if (!status && cron) {
        triggers->schedules[triggers->schedule_count++] = (weir_schedule_def){.name = "train", .cron = cron, .time_zone = "UTC", .action = "train"};
        status = check_cron(&triggers->schedules[0], "$.triggers.schedule", "$.triggers", err);
    }
    const cJSON *list = pf_get(json, "schedules"), *child;
    if (!status && list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > WEIR_SCHEDULES_MAX - triggers->schedule_count))
        return pf_wrong(list, "$.triggers.schedules", pf_path_of("an array of at most %d schedules", WEIR_SCHEDULES_MAX - triggers->schedule_count).text, err);
    int i = 0;
    cJSON_ArrayForEach(child, list) {
        if (status) break;
        status = parse_schedule(triggers, child, pf_item("$.triggers.schedules", i++).text, err);
    }
    return status;
}

static weir_status parse_drift(weir_drift_def *drift, const cJSON *json, weir_err *err) {
    static const char at[] = "$.triggers.drift";
    static const char *const keys[] = {"every", "window", "reference", "false_alarm_rate", "alert_share", "critical_share", "min_rows", "tenants", "doc", NULL};
    static const char *const references[] = {"training", "window", NULL};
    int reference = 0;
    weir_status status;
    *drift = (weir_drift_def){.enabled = json != NULL,
                              .every_us = HOUR_US,
                              .window_us = DAY_US,
                              .false_alarm_rate = 0.01,
                              .alert_share = 0.3,
                              .critical_share = 0.5,
                              .min_rows = 200};
    if (!json) return WEIR_OK;
    if ((status = pf_need_object(json, at, keys, err)) || (status = get_positive_duration(json, at, "every", &drift->every_us, err)) ||
        (status = get_positive_duration(json, at, "window", &drift->window_us, err)) ||
        (status = get_choice(json, at, "reference", references, &reference, err)) ||
        (status = get_between(json, at, "false_alarm_rate", 1e-9, 0.5, &drift->false_alarm_rate, err)) ||
        (status = get_between(json, at, "alert_share", 0, 1, &drift->alert_share, err)) ||
        (status = get_between(json, at, "critical_share", 0, 1, &drift->critical_share, err)) ||
        (status = pf_get_int(json, at, "min_rows", 10, ROWS_MAX, &drift->min_rows, err)) ||
        (status = pf_get_int(json, at, "tenants", 0, WEIR_DRIFT_TENANTS_MAX, &drift->tenants, err)))
        return status;
    drift->against_window = reference == 1;
    if (drift->critical_share < drift->alert_share)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.critical_share: found %g, expected at least alert_share, %g", at, drift->critical_share, drift->alert_share);
    return WEIR_OK;
}

static weir_status parse_degradation(weir_degradation_def *performance, const cJSON *json, weir_err *err) {
    static const char at[] = "$.triggers.performance";
    static const char *const keys[] = {"metric", "drop", "min_rows", "doc", NULL};
    weir_status status;
    *performance = (weir_degradation_def){.enabled = json != NULL, .drop = 0.05, .min_rows = 500};
    if (!json) return WEIR_OK;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "metric", false, &performance->metric, err)) ||
        (status = get_between(json, at, "drop", 0, 1, &performance->drop, err)))
        return status;
    return pf_get_int(json, at, "min_rows", 10, ROWS_MAX, &performance->min_rows, err);
}

static weir_status parse_policy(weir_trigger_policy *policy, const cJSON *json, weir_err *err) {
    static const char at[] = "$.triggers.policy";
    static const char *const keys[] = {"cool_down", "max_runs", "per", "training_cost", "metric_value", "doc", NULL};
    int64_t max_runs = 8;
    weir_status status;
    *policy = (weir_trigger_policy){.cool_down_us = 6 * HOUR_US, .max_runs = (int)max_runs, .per_us = 7 * DAY_US, .metric_value = NAN};
    if (!json) return WEIR_OK;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_duration(json, at, "cool_down", &policy->cool_down_us, err)) ||
        (status = pf_get_int(json, at, "max_runs", 0, 1000000, &max_runs, err)) || (status = get_positive_duration(json, at, "per", &policy->per_us, err)) ||
        (status = get_between(json, at, "training_cost", 0, 1e12, &policy->training_cost, err)))
        return status;
    policy->max_runs = (int)max_runs;
    return get_between(json, at, "metric_value", 0, 1e12, &policy->metric_value, err);
}

weir_status pf_parse_triggers(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.triggers";
    static const char *const keys[] = {"schedule", "schedules", "drift", "performance", "volume", "policy", "doc", NULL};
    weir_triggers *triggers = &p->triggers;
    weir_status status = json ? pf_need_object(json, at, keys, err) : WEIR_OK;
    if (status || (status = parse_schedules(triggers, json, err)) || (status = parse_drift(&triggers->drift, pf_get(json, "drift"), err)) ||
        (status = parse_degradation(&triggers->performance, pf_get(json, "performance"), err)) ||
        (status = pf_get_int(json, at, "volume", 1, INT64_C(1) << 50, &triggers->volume_rows, err)))
        return status;
    if (triggers->drift.tenants && !pf_get(pf_get(p->json, "source"), "tenant"))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.drift.tenants: the events have no tenant: $.source.tenant names no column", at);
    return parse_policy(&triggers->policy, pf_get(json, "policy"), err);
}

/* ---- rollout ---- */

static weir_status parse_steps(weir_rollout_def *rollout, const cJSON *json, weir_err *err) {
    static const double usual[] = {0.1, 0.5, 1};
    const cJSON *steps = pf_get(json, "steps"), *child;
    if (!steps) {
        memcpy(rollout->steps, usual, sizeof usual);
        rollout->step_count = 3;
        return WEIR_OK;
    }
    int count = cJSON_IsArray(steps) ? cJSON_GetArraySize(steps) : 0;
    if (count < 1 || count > WEIR_ROLLOUT_STEPS_MAX)
        return pf_wrong(steps, "$.rollout.steps", pf_path_of("an array of 1 to %d shares", WEIR_ROLLOUT_STEPS_MAX).text, err);
    double before = 0;
    cJSON_ArrayForEach(child, steps) {
        double share = cJSON_IsNumber(child) ? child->valuedouble : NAN;
        if (!(share > before && share >= SHARE_COMPARED_MIN && share <= 1))
            return pf_wrong(child, pf_item("$.rollout.steps", rollout->step_count).text, pf_path_of("a share above %g, at most 1", before).text, err);
        rollout->steps[rollout->step_count++] = before = share;
    }
    if (rollout->steps[0] > SHARE_COMPARED_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.rollout.steps[0]: found %g, expected a share of at most %g: champion and challenger are to be compared",
                         rollout->steps[0], SHARE_COMPARED_MAX);
    return WEIR_OK;
}

static weir_status parse_guards(weir_rollout_def *rollout, const cJSON *json, weir_err *err) {
    static const char at[] = "$.rollout.guards";
    static const char *const keys[] = {"error_rate", "nan_rate", "latency", "rows", "doc", NULL};
    int64_t latency_us = 5000;
    weir_status status;
    rollout->max_error_rate = 0.01;
    rollout->guard_rows = 200;
    if (json &&
        ((status = pf_need_object(json, at, keys, err)) || (status = get_between(json, at, "error_rate", 0, 1, &rollout->max_error_rate, err)) ||
         (status = get_between(json, at, "nan_rate", 0, 1, &rollout->max_nan_rate, err)) || (status = pf_get_duration(json, at, "latency", &latency_us, err)) ||
         (status = pf_get_int(json, at, "rows", 1, 1000000, &rollout->guard_rows, err))))
        return status;
    rollout->max_latency_s = (double)latency_us / 1e6;
    return WEIR_OK;
}

/* By which column requests are routed, each bucket of its values by itself. */
static weir_status parse_context(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.rollout.context";
    weir_rollout_def *rollout = &p->rollout;
    const cJSON *context = pf_get(json, "context"), *buckets = pf_get(json, "buckets");
    weir_status status = pf_get_text(json, "$.rollout", "context", false, &rollout->context, err);
    if (!status) status = pf_get_int(json, "$.rollout", "buckets", 2, WEIR_BUCKETS_MAX - 1, &rollout->buckets, err);
    if (status) return status;
    if (!context) return buckets ? pf_wrong(buckets, "$.rollout.buckets", "a \"context\" beside it", err) : WEIR_OK;
    if (!rollout->thompson) return pf_wrong(context, at, "\"routing\": \"thompson\" beside it", err);
    if ((status = pf_find_column(p->events.schema, rollout->context, at, &rollout->context_index, err))) return status;
    const weir_schema_field *f = weir_schema_field_at(p->events.schema, rollout->context_index);
    if (f->type == WEIR_T_STR || f->type == WEIR_T_BOOL || (f->type == WEIR_T_I64 && !f->is_timestamp)) return WEIR_OK;
    return pf_wrong(context, at, "a column of texts, booleans or whole numbers", err);
}

weir_status pf_parse_rollout(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.rollout";
    static const char *const keys[] = {"salt",     "challenger_share", "automatic", "split", "shadow", "shadow_share", "routing",
                                       "floor",    "context",          "buckets",   "steps", "loss",   "alpha",        "margin",
                                       "min_rows", "patience",         "guards",    "doc",   NULL};
    static const char *const splits[] = {"entity", "request", NULL}, *const routings[] = {"steps", "thompson", NULL};
    weir_rollout_def *rollout = &p->rollout;
    const char *task = cJSON_GetStringValue(pf_get(pf_get(p->json, "training"), "task"));
    int split = 0, routing = 0, loss = task && !strcmp(task, "regression") ? WEIR_LOSS_SQUARED : WEIR_LOSS_LOG;
    weir_status status;
    *rollout = (weir_rollout_def){
        .salt = p->name, .alpha = 0.05, .min_rows = 200, .patience_us = 14 * DAY_US, .shadow_share = 1, .floor = 0.05, .context_index = -1, .buckets = 8};
    if (json && (status = pf_need_object(json, at, keys, err))) return status;
    if ((status = parse_steps(rollout, json, err))) return status;
    rollout->automatic = pf_get(json, "steps") != NULL; /* who only states a share wants both arms side by side, for as long as he likes */
    rollout->challenger_share = rollout->automatic ? rollout->steps[0] : 0.1;
    if ((status = pf_get_text(json, at, "salt", false, &rollout->salt, err)) ||
        (status = get_between(json, at, "challenger_share", 0, 1, &rollout->challenger_share, err)) ||
        (status = pf_get_bool(json, at, "automatic", &rollout->automatic, err)) || (status = get_choice(json, at, "split", splits, &split, err)) ||
        (status = pf_get_bool(json, at, "shadow", &rollout->shadow, err)) ||
        (status = get_between(json, at, "shadow_share", SHARE_COMPARED_MIN, 1, &rollout->shadow_share, err)) ||
        (status = get_choice(json, at, "routing", routings, &routing, err)) ||
        (status = get_between(json, at, "floor", SHARE_COMPARED_MIN, FLOOR_MAX, &rollout->floor, err)) ||
        (status = get_choice(json, at, "loss", weir_loss_names, &loss, err)) || (status = get_between(json, at, "alpha", 1e-6, 0.5, &rollout->alpha, err)) ||
        (status = get_between(json, at, "margin", 0, 1e12, &rollout->margin, err)) ||
        (status = pf_get_int(json, at, "min_rows", 1, ROWS_MAX, &rollout->min_rows, err)) ||
        (status = get_positive_duration(json, at, "patience", &rollout->patience_us, err)) || (status = parse_guards(rollout, pf_get(json, "guards"), err)))
        return status;
    rollout->by_request = split == 1;
    rollout->thompson = routing == 1;
    if (rollout->thompson && !rollout->by_request) /* shares that move all the time would move entities between arms all the time */
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.routing: thompson needs \"split\": \"request\"", at);
    rollout->loss = (weir_loss)loss;
    if (strlen(rollout->salt) > WEIR_SALT_MAX) return pf_wrong(pf_get(json, "salt"), "$.rollout.salt", pf_path_of("at most %d bytes", WEIR_SALT_MAX).text, err);
    return parse_context(p, json, err);
}
