/* `weir trigger PIPELINE`: the trigger worker; --train asks it for a run, --list shows what was decided, --replay what other policies would have cost. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/range.h"
#include "cli/table.h"
#include "cli/workers.h"
#include "consumers/events.h"
#include "consumers/trigger_replay.h"
#include "core/clock.h"
#include "core/pg.h"
#include "features/pipeline.h"
#include "models/spec.h"

enum { LIST_MAX = 10000, FLUSH_MS = 10000 };

typedef struct trigger_options {
    char *pipeline, *train, *replay;
    int64_t list;
    int output;
} trigger_options;

static const weir_conf_item trigger_table[] = {
    WEIR_PIPELINE_ITEM(trigger_options, pipeline),
    {.name = "train",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(trigger_options, train),
     .doc = "ask for a training run, say why, and end; the worker answers on weir.training.decisions"},
    {.name = "list",
     .type = WEIR_CONF_INT,
     .offset = offsetof(trigger_options, list),
     .min = 0,
     .max = LIST_MAX,
     .doc = "print so many of the newest decisions, and end"},
    {.name = "replay",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(trigger_options, replay),
     .doc = "FROM..TO (\"..\" is all there is): walk through these days of history, and print what the pipeline's triggers, weekly training, training at every "
            "drift alarm and none would have cost"},
    WEIR_OUTPUT_ITEM(trigger_options, output),
    {.name = NULL},
};

static weir_status print_decisions(const weir_settings *settings, const weir_pipeline *pipeline, const trigger_options *o, weir_err *err) {
    static const weir_table_column columns[] = {{"decided_at", "DECIDED (UTC)"}, {"cause", "CAUSE"}, {"decision", "DECISION"}, {"why", "WHY"}, {"run", "RUN"},
                                                {"run_status", "STATUS"},        {NULL, NULL}};
    char limit[24];
    const char *params[] = {pipeline->name, limit};
    weir_pg *pg = NULL;
    PGresult *result = NULL;
    cJSON *rows = NULL;
    snprintf(limit, sizeof limit, "%lld", (long long)o->list);
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_pg_migrate(pg, err);
    if (!status)
        status = weir_pg_exec(pg,
                              "SELECT coalesce(json_agg(d ORDER BY decided_at DESC), '[]') FROM (SELECT decision_id, to_char(decided_at AT TIME ZONE 'UTC', "
                              "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS "
                              "decided_at, cause, cause_id, CASE WHEN train THEN 'train' ELSE 'wait' END AS decision, why, expected_gain, expected_cost, "
                              "evidence, r.id AS run, r.status AS "
                              "run_status FROM weir.training_decisions d LEFT JOIN weir.runs r ON r.pipeline = d.pipeline AND r.request ->> 'request_id' = "
                              "d.decision_id WHERE d.pipeline = $1 "
                              "ORDER BY d.decided_at DESC LIMIT $2::int) d",
                              2, params, &result, err);
    if (!status && !(rows = cJSON_Parse(PQgetvalue(result, 0, 0)))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the decisions of %s", pipeline->name);
    if (!status) status = weir_table_print(rows, columns, (weir_output)o->output, stdout, err);
    cJSON_Delete(rows);
    PQclear(result);
    weir_pg_free(pg);
    return status;
}

static weir_status send_wish(const weir_pipeline *pipeline, const char *why, weir_event_codec *codec, weir_producer *producer, weir_err *err) {
    char id[256], now[WEIR_TIME_TEXT_MAX];
    int64_t now_us = weir_clock_wall_us(weir_clock_system());
    cJSON *payload = cJSON_CreateObject();
    char *text = cJSON_AddStringToObject(payload, "why", why) ? cJSON_PrintUnformatted(payload) : NULL;
    cJSON_Delete(payload);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the event");
    snprintf(id, sizeof id, "%s/manual/%s", pipeline->name, weir_time_format(now_us, now));
    const weir_datum row[SCHED_COUNT] = {
        [SCHED_FIRING_ID] = weir_text(id),      [SCHED_PIPELINE] = weir_text(pipeline->name),
        [SCHED_SCHEDULE] = weir_text("manual"), [SCHED_ACTION] = weir_text("train"),
        [SCHED_DUE_AT] = weir_i64(now_us),      [SCHED_FIRED_AT] = weir_i64(now_us),
        [SCHED_MISSED] = weir_i64(0),           [SCHED_PAYLOAD] = weir_text(text),
    };
    weir_status status = weir_event_send(codec, producer, WEIR_TOPIC_SCHEDULE, pipeline->name, "weir.schedule.fired", id, now_us, row, err);
    if (!status) status = weir_producer_flush(producer, FLUSH_MS, err);
    if (!status)
        fprintf(stderr, "asked for a run of %s; `weir trigger %s --list 1` shows the answer once a trigger worker has it\n", pipeline->name, pipeline->name);
    cJSON_free(text);
    return status;
}

static weir_status ask_for_run(const weir_settings *settings, const weir_pipeline *pipeline, const char *why, weir_err *err) {
    weir_registry *registry = NULL;
    weir_event_codec codec = {0};
    weir_producer *producer = NULL;
    weir_status status = weir_pipeline_create_topics(pipeline, settings->brokers, err);
    if (!status) status = weir_registry_new(settings->registry_url, &registry, err);
    if (!status) status = weir_event_codec_init(&codec, registry, "schemas/schedule.avsc", WEIR_TOPIC_SCHEDULE, err);
    if (!status) status = weir_producer_new(settings->brokers, "weir-trigger", &producer, err);
    if (!status) status = send_wish(pipeline, why, &codec, producer, err);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    weir_registry_free(registry);
    return status;
}

/* ---- replay ---- */

static void show_day(void *context, int64_t day_us, int fits) {
    char day[WEIR_TIME_TEXT_MAX];
    weir_time_format(day_us, day);
    day[10] = 0;
    weir_progress_show(context, fits, day);
}

/* Every labelled row of the days that are replayed and of those that the first model needs, with its inputs as of its time. */
static weir_status read_rows(const weir_settings *settings, const trigger_options *o, weir_trigger_replay *replay, weir_trainset *ret_rows, weir_err *err) {
    const weir_recipe *recipe = replay->recipe;
    weir_history *history = NULL;
    weir_status status;
    if (!weir_range_parse(o->replay, &replay->from_us, &replay->to_us, &status, err))
        return WEIR_FAIL(err, WEIR_EINVAL, "--replay is \"%s\", expected FROM..TO", o->replay);
    if (status) return status;
    const weir_history_query query = {
        .from_us = replay->from_us > WEIR_TIME_MIN_US ? replay->from_us - weir_replay_lead_us(replay) : WEIR_TIME_MIN_US,
        .to_us = replay->to_us,
        .as_of_us = INT64_MAX,
        .columns = recipe->columns,
        .label = recipe->is_default ? NULL : recipe->target,
        .objects_dir = settings->objects_dir,
    };
    status = weir_history_read(settings->pg_url, replay->pipeline, &query, &history, err);
    if (!status)
        status = weir_trainset_from_history(history, replay->pipeline->name, recipe->target, recipe->task, replay->pipeline->max_delay_us, ret_rows, err);
    weir_history_free(history);
    return status;
}

static weir_status print_replay(const weir_replay_result *result, const weir_pipeline *pipeline, const trigger_options *o, weir_err *err) {
    static const weir_table_column columns[] = {{"policy", "POLICY"},    {"retrains", "RETRAINS"}, {"training_cost", "TRAINING"}, {"metric", "METRIC"},
                                                {"lost", "METRIC LOST"}, {"total", "TOTAL"},       {"regret", "REGRET"},          {NULL, NULL}};
    const weir_trigger_policy *policy = &pipeline->triggers.policy;
    char from[WEIR_TIME_TEXT_MAX];
    cJSON *json = weir_replay_result_json(result, pipeline);
    if (!json) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the result");
    weir_status status = o->output == WEIR_OUTPUT_JSON
                             ? weir_json_print(json, stdout, err)
                             : weir_table_print(cJSON_GetObjectItemCaseSensitive(json, "policies"), columns, WEIR_OUTPUT_TABLE, stdout, err);
    cJSON_Delete(json);
    if (status || o->output == WEIR_OUTPUT_JSON) return status;
    printf(
        "\n%d days from %.10s; metric %s, mean of days; a run costs %g, 1.0 of the metric is worth %g for a thousand predictions; %d models fitted in %.1f s\n",
        result->day_count, weir_time_format(result->from_us, from), result->metric->name, policy->training_cost, policy->metric_value, result->fits,
        result->fit_s);
    return WEIR_OK;
}

static weir_status replay_triggers(const weir_settings *settings, const weir_pipeline *pipeline, const trigger_options *o, weir_err *err) {
    weir_recipe recipe = {0};
    weir_trainset rows = {0};
    weir_replay_result result = {0};
    weir_progress progress;
    weir_trigger_replay replay = {.pipeline = pipeline, .recipe = &recipe, .rows = &rows, .progress = show_day, .progress_context = &progress};
    if (!weir_pipeline_trains(pipeline)) return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s does not train: there is nothing to decide", pipeline->name);
    weir_status status = weir_recipe_load(pipeline, &recipe, err);
    weir_progress_init(&progress, stderr, "models", -1);
    if (!status) status = read_rows(settings, o, &replay, &rows, err);
    if (!status) status = weir_trigger_replay_run(&replay, &result, err);
    weir_progress_end(&progress);
    if (!status) status = print_replay(&result, pipeline, o, err);
    weir_replay_result_done(&result);
    weir_trainset_done(&rows);
    weir_recipe_done(&recipe);
    return status;
}

static bool is_once(const void *options) {
    const trigger_options *o = options;
    return o->list || (o->train && *o->train) || (o->replay && *o->replay);
}

static weir_status run_trigger(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const trigger_options *o = options;
    weir_pipeline *pipeline = NULL;
    (void)ret_exit;
    if (!is_once(o)) return weir_run_workers(settings, o->pipeline, "trigger", err);
    weir_status status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status && o->train && *o->train) status = ask_for_run(settings, pipeline, o->train, err);
    if (!status && o->list) status = print_decisions(settings, pipeline, o, err);
    if (!status && o->replay && *o->replay) status = replay_triggers(settings, pipeline, o, err);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_trigger = {
    .name = "trigger",
    .args = "PIPELINE [--train WHY | --list N | --replay FROM..TO]",
    .doc = "Runs the trigger worker: decides whether to train when a schedule, drift, performance, new labels or somebody asks for it, and says why.\n"
           "--replay does not change anything: it reads the offline store, fits models and prints what each policy would have cost.",
    .options = trigger_table,
    .options_size = sizeof(trigger_options),
    .is_service = true,
    .is_once = is_once,
    .run = run_trigger,
};
