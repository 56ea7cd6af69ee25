/* `weir schedule PIPELINE`: the schedule worker; with --next, when the schedules are due; with --runs, what became of the batches that were. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/table.h"
#include "cli/workers.h"
#include "consumers/batches.h"
#include "core/clock.h"
#include "core/cron.h"
#include "features/pipeline.h"

enum { NEXT_MAX = 1000, RUNS_SHOWN = 50 };

typedef struct schedule_options {
    char *pipeline;
    int64_t next, from_us;
    bool runs;
    int output;
} schedule_options;

static const weir_conf_item schedule_table[] = {
    WEIR_PIPELINE_ITEM(schedule_options, pipeline),
    {.name = "next",
     .type = WEIR_CONF_INT,
     .offset = offsetof(schedule_options, next),
     .min = 0,
     .max = NEXT_MAX,
     .doc = "print so many of the times at which each schedule is due next, and end"},
    {.name = "from", .type = WEIR_CONF_TIME, .offset = offsetof(schedule_options, from_us), .doc = "with --next: after this time instead of now"},
    {.name = "runs",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(schedule_options, runs),
     .doc = "print the newest runs of the batches (serving.batches), and end"},
    WEIR_OUTPUT_ITEM(schedule_options, output),
    {.name = NULL},
};

/* As a clock in the zone shows it, and how far that is from UTC. */
static void local_text(const weir_zone *zone, int64_t at_us, char text[48]) {
    char utc[WEIR_TIME_TEXT_MAX];
    int64_t offset_s = weir_zone_offset(zone, at_us / WEIR_SECOND_US), minutes = offset_s / 60;
    weir_time_format(at_us + offset_s * WEIR_SECOND_US, utc);
    snprintf(text, 48, "%.19s%c%02d:%02d", utc, minutes < 0 ? '-' : '+', (int)(minutes < 0 ? -minutes : minutes) / 60,
             (int)(minutes < 0 ? -minutes : minutes) % 60);
}

static weir_status add_times(cJSON *rows, const weir_schedule_def *def, int64_t after_us, int64_t count, weir_err *err) {
    weir_cron cron;
    weir_zone *zone = NULL;
    weir_status status = weir_cron_parse(def->cron, &cron, err);
    if (!status) status = weir_zone_load(def->time_zone, &zone, err);
    for (int64_t i = 0; !status && i < count; i++) {
        char utc[WEIR_TIME_TEXT_MAX], local[48];
        cJSON *row = cJSON_CreateObject();
        after_us = weir_cron_next(&cron, zone, after_us);
        local_text(zone, after_us, local);
        bool ok = row && cJSON_AddStringToObject(row, "schedule", def->name) && cJSON_AddStringToObject(row, "cron", def->cron) &&
                  cJSON_AddStringToObject(row, "time_zone", def->time_zone) && cJSON_AddStringToObject(row, "action", def->action) &&
                  cJSON_AddStringToObject(row, "due_at", weir_time_format(after_us, utc)) && cJSON_AddStringToObject(row, "local", local);
        if (ok) ok = cJSON_AddItemToArray(rows, row);
        if (ok) continue;
        cJSON_Delete(row);
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the times of schedule %s", def->name);
    }
    weir_zone_free(zone);
    return status;
}

static weir_status print_next(const schedule_options *o, const weir_pipeline *pipeline, weir_err *err) {
    const weir_triggers *triggers = &pipeline->triggers;
    static const weir_table_column columns[] = {
        {"schedule", "SCHEDULE"}, {"action", "ACTION"}, {"due_at", "DUE (UTC)"}, {"local", "LOCAL"}, {"time_zone", "TIME ZONE"},
        {"cron", "CRON"},         {NULL, NULL}};
    cJSON *rows = cJSON_CreateArray();
    weir_status status = rows ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the schedules");
    int64_t after_us = o->from_us ? o->from_us : weir_clock_wall_us(weir_clock_system());
    for (int i = 0; !status && i < triggers->schedule_count; i++) status = add_times(rows, &triggers->schedules[i], after_us, o->next, err);
    for (int i = 0; !status && i < pipeline->batch_count; i++) {
        const weir_batch_def *batch = &pipeline->batches[i];
        const weir_schedule_def as_schedule = {.name = batch->name, .cron = batch->cron, .time_zone = batch->time_zone, .action = "batch"};
        status = add_times(rows, &as_schedule, after_us, o->next, err);
    }
    if (!status) status = weir_table_print(rows, columns, (weir_output)o->output, stdout, err);
    cJSON_Delete(rows);
    return status;
}

static weir_status print_runs(const weir_settings *settings, const weir_pipeline *pipeline, weir_output output, weir_err *err) {
    static const weir_table_column columns[] = {{"batch", "BATCH"},       {"due_at", "DUE (UTC)"},      {"status", "STATUS"},   {"rows", "ROWS"},
                                                {"rejected", "REJECTED"}, {"model", "MODEL"},           {"version", "VERSION"}, {"took_s", "TOOK S"},
                                                {"attempts", "ATTEMPTS"}, {"again_in_s", "AGAIN IN S"}, {"message", "MESSAGE"}, {NULL, NULL}};
    weir_pg *pg = NULL;
    cJSON *runs = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_batch_runs_list(pg, pipeline->name, RUNS_SHOWN, &runs, err);
    if (!status) status = weir_table_print(runs, columns, output, stdout, err);
    cJSON_Delete(runs);
    weir_pg_free(pg);
    return status;
}

static weir_status run_schedule(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const schedule_options *o = options;
    weir_pipeline *pipeline = NULL;
    (void)ret_exit;
    weir_status status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status && !pipeline->triggers.schedule_count && !pipeline->batch_count)
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s has no schedule: expected $.triggers.schedule, $.triggers.schedules or $.serving.batches", pipeline->path);
    if (!status && o->next && o->runs) status = WEIR_FAIL(err, WEIR_EINVAL, "--next and --runs: one of them at a time");
    if (!status && o->next) status = print_next(o, pipeline, err);
    if (!status && o->runs) status = print_runs(settings, pipeline, (weir_output)o->output, err);
    weir_pipeline_free(pipeline);
    return status || o->next || o->runs ? status : weir_run_workers(settings, o->pipeline, "schedule", err);
}

static bool is_once(const void *options) {
    const schedule_options *o = options;
    return o->next > 0 || o->runs;
}

const weir_command weir_command_schedule = {
    .name = "schedule",
    .args = "PIPELINE [--next N | --runs]",
    .doc = "Runs the schedule worker: says on weir.schedule when a schedule of the pipeline is due, and scores the files of its batches (serving.batches).\n"
           "With --next it prints when that will be, with --runs what became of the batches.",
    .options = schedule_table,
    .options_size = sizeof(schedule_options),
    .is_service = true,
    .is_once = is_once,
    .run = run_schedule,
};
