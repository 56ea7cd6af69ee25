/* `weir features backfill`: history from files, tables and topics, once, ahead of what comes live. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/stop.h"
#include "core/mem.h"
#include "producers/backfill.h"

typedef struct backfill_options {
    char *pipeline, *name;
    char **from, **map, **set;
    int64_t until_us;
    double rate;
    bool beside_live;
} backfill_options;

#define FIELD(member) .offset = offsetof(backfill_options, member)

static const weir_conf_item backfill_table[] = {
    WEIR_PIPELINE_ITEM(backfill_options, pipeline),
    {.name = "from",
     .type = WEIR_CONF_LIST,
     FIELD(from),
     .flags = WEIR_CONF_REQUIRED,
     .doc = "Parquet, CSV or JSON lines (.gz too), or schema.table in PostgreSQL; several are one history. Or topic:NAME, another topic of events, with or "
            "without labels:NAME"},
    {.name = "map", .type = WEIR_CONF_LIST, FIELD(map), .doc = "COLUMN=name: a column of the files or tables and what the pipeline calls it"},
    {.name = "set",
     .type = WEIR_CONF_LIST,
     FIELD(set),
     .doc = "COLUMN=EXPRESSION: a column of the pipeline, computed by SQL (DuckDB's) from those of the file"},
    {.name = "until", .type = WEIR_CONF_TIME, FIELD(until_us), .doc = "the cut: only what was known before; from then on records come live"},
    {.name = "name", .type = WEIR_CONF_STRING, FIELD(name), .fallback = "history", .doc = "of this backfill: one of a name is done once"},
    {.name = "rate", .type = WEIR_CONF_NUMBER, FIELD(rate), .min = 0, .max = 1e9, .unit = "events/s", .doc = "pace; 0: as fast as possible"},
    {.name = "beside_live", .type = WEIR_CONF_BOOL, FIELD(beside_live), .doc = "although the events topic holds other records already"},
    {.name = NULL},
};

static void show(void *context, int64_t events, int64_t labels, int64_t at_us) {
    char at[WEIR_TIME_TEXT_MAX];
    (void)labels;
    weir_progress_show(context, events, at_us ? weir_time_format(at_us, at) : NULL);
}

static weir_status run(const weir_settings *settings, const backfill_options *o, const weir_pipeline *pipeline, weir_records *records, int *ret_exit,
                       weir_err *err) {
    const weir_backfill backfill = {.name = o->name, .pg_url = settings->pg_url, .beside_live = o->beside_live};
    weir_progress progress;
    weir_backfilled done = {0};
    const volatile int *stop = weir_stop_flag();
    weir_progress_init(&progress, stderr, "events", records->event_count);
    const weir_publish_conf conf = {.brokers = settings->brokers,
                                    .registry_url = settings->registry_url,
                                    .rate = o->rate,
                                    .until_us = o->until_us,
                                    .progress = show,
                                    .progress_context = &progress};
    weir_status st = weir_pipeline_create_topics(pipeline, settings->brokers, err);
    if (!st) st = weir_backfill_run(pipeline, &backfill, &conf, records, stop, &done, err);
    weir_progress_end(&progress);
    if (!st && done.was_done)
        fprintf(stderr, "backfill %s was done before\n", o->name);
    else if (!st)
        fprintf(stderr, "%lld events and %lld labels published in %.1f s, %lld by runs before%s\n", (long long)done.events, (long long)done.labels,
                weir_progress_seconds(&progress), (long long)done.before, done.handover ? "; live from:" : "; stopped, run it again");
    if (!st && done.handover) printf("%s", done.handover);
    if (!st && !done.handover) *ret_exit = 1;
    free(done.handover);
    return st;
}

/* NULL: it is not of that kind. */
static const char *after_prefix(const char *from, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(from, prefix, len) ? NULL : from + len;
}

static weir_status open_records(const weir_settings *settings, const backfill_options *o, const weir_pipeline *pipeline, weir_records **ret_records,
                                weir_err *err) {
    const char *events = NULL, *labels = NULL;
    size_t topics = 0, count = 0;
    for (; o->from[count]; count++) {
        const char *event_topic = after_prefix(o->from[count], "topic:"), *label_topic = after_prefix(o->from[count], "labels:");
        topics += event_topic || label_topic;
        if ((event_topic && events) || (label_topic && labels))
            return WEIR_FAIL(err, WEIR_EINVAL, "--from names two topics of %s, expected one: %s", event_topic ? "events" : "labels", o->from[count]);
        if (event_topic) events = event_topic;
        if (label_topic) labels = label_topic;
    }
    if (!topics)
        return weir_records_from_tables(pipeline, settings->pg_url, (const char *const *)o->from, (const char *const *)o->map, (const char *const *)o->set,
                                        ret_records, err);
    if (topics < count) return WEIR_FAIL(err, WEIR_EINVAL, "--from names topics and others, expected either: their records cannot be ordered together");
    if ((o->map && *o->map) || (o->set && *o->set))
        return WEIR_FAIL(err, WEIR_EINVAL, "--map and --set are for files and tables: records of a topic have a schema");
    if (events && !strcmp(events, pipeline->events.topic))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s is the pipeline's own topic: what is there is read anyway, and `weir features rebuild` does it anew", events);
    return weir_records_from_topics(pipeline, settings->brokers, settings->registry_url, events, labels, o->until_us, ret_records, err);
}

static weir_status run_backfill(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const backfill_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_records *records = NULL;
    weir_status st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!st) st = open_records(settings, o, pipeline, &records, err);
    if (!st) st = run(settings, o, pipeline, records, ret_exit, err);
    weir_records_free(records);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_features_backfill = {
    .name = "features backfill",
    .args = "PIPELINE --from F… [--until T] [--map COLUMN=name…] [--name N] [--rate N] [--beside-live]",
    .doc =
        "Publishes history from files, tables or topics, once, ahead of live records: the workers make features and states of it as of any record.\n"
        "Killed and run again it goes on where it was; run once more it does nothing. Prints, for each partition, the offset from which on everything is live.",
    .options = backfill_table,
    .options_size = sizeof(backfill_options),
    .run = run_backfill,
};
