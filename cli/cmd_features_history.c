/* `weir features history`: labels with the features as of their times. */
#include <string.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "core/mem.h"
#include "features/history.h"

typedef struct history_options {
    char *pipeline, *labels, *tenant, *out, *time_column;
    char **features;
    int64_t from_us, to_us, as_of_us, memory_mib, threads;
} history_options;

enum { FEATURES_MAX = 1024 };

#define FIELD(member) .offset = offsetof(history_options, member)

static const weir_conf_item history_table[] = {
    WEIR_PIPELINE_ITEM(history_options, pipeline),
    {.name = "labels",
     .type = WEIR_CONF_STRING,
     FIELD(labels),
     .doc = "rows to be joined to, a file (Parquet, CSV, JSON lines) or schema.table in PostgreSQL: entity columns and a time; not given: the events, each "
            "with its label"},
    {.name = "features", .type = WEIR_CONF_LIST, FIELD(features), .doc = "features wanted, of any views; not given: all"},
    {.name = "time",
     .type = WEIR_CONF_STRING,
     FIELD(time_column),
     .doc = "the labels' time column; not given: the events' time column, event_time, event_timestamp or time"},
    {.name = "tenant", .type = WEIR_CONF_STRING, FIELD(tenant), .doc = "only this tenant"},
    {.name = "from", .type = WEIR_CONF_TIME, FIELD(from_us), .doc = "only labels (or events) from this time on"},
    {.name = "to", .type = WEIR_CONF_TIME, FIELD(to_us), .doc = "only labels (or events) before this time"},
    {.name = "as_of", .type = WEIR_CONF_TIME, FIELD(as_of_us), .doc = "as if it were this time: nothing that became available later"},
    {.name = "out", .type = WEIR_CONF_STRING, FIELD(out), .flags = WEIR_CONF_REQUIRED, .doc = "file to write: .parquet, .csv, .jsonl"},
    {.name = "memory",
     .type = WEIR_CONF_INT,
     FIELD(memory_mib),
     .min = 128,
     .max = 1 << 20,
     .fallback = "1024",
     .unit = "MiB",
     .doc = "memory; what is more spills to $TMPDIR"},
    {.name = "threads", .type = WEIR_CONF_INT, FIELD(threads), .min = 1, .max = 64, .fallback = "2", .doc = "threads that join"},
    {.name = NULL},
};

static void show(void *context, const char *step, int64_t rows, int64_t total) {
    weir_progress *progress = context;
    progress->total = total;
    weir_progress_show(progress, rows, step);
}

static weir_status run_history(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const history_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_progress progress;
    int64_t rows = 0;
    (void)ret_exit;
    const char *names[FEATURES_MAX + 1];
    weir_status st = weir_names_split(o->features, names, FEATURES_MAX, err);
    if (!st) st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (st) return st;
    weir_progress_init(&progress, stderr, "rows", -1);
    const weir_history_query query = {
        .from_us = o->from_us ? o->from_us : INT64_MIN,
        .to_us = o->to_us ? o->to_us : INT64_MAX,
        .as_of_us = o->as_of_us ? o->as_of_us : INT64_MAX,
        .tenant = o->tenant,
        .columns = *names ? names : NULL,
        .objects_dir = settings->objects_dir,
        .labels = o->labels,
        .time_column = o->time_column,
        .memory_bytes = o->memory_mib << 20,
        .thread_count = (int)o->threads,
        .progress = show,
        .progress_context = &progress,
    };
    st = weir_history_write(settings->pg_url, pipeline, &query, o->out, &rows, err);
    double seconds = weir_progress_seconds(&progress);
    weir_progress_end(&progress);
    if (!st) fprintf(stderr, "%lld rows in %.1f s (%.0f rows/s) in %s\n", (long long)rows, seconds, seconds > 0 ? (double)rows / seconds : 0.0, o->out);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_features_history = {
    .name = "features history",
    .args = "PIPELINE [--labels FILE|TABLE] [--features A,B…] [--tenant T] [--from T] [--to T] [--as-of T] --out FILE",
    .doc = "Writes labels, each with the features as of its time: nothing that happened or became known later.\n"
           "Without --labels the events are written, each with its label as far as it is known: a training set.",
    .options = history_table,
    .options_size = sizeof(history_options),
    .run = run_history,
};
