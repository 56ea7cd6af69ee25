/* `weir replay`: files of the user, published in order of event time. */
#include "cli/command.h"
#include "cli/publishing.h"

typedef struct replay_options {
    char *pipeline;
    char **file, **map, **set;
    weir_publishing how;
    int64_t from_us;
} replay_options;

#define FIELD(member) .offset = offsetof(replay_options, member)

static const weir_conf_item replay_table[] = {
    WEIR_PIPELINE_ITEM(replay_options, pipeline),
    {.name = "file", .type = WEIR_CONF_LIST, FIELD(file), .flags = WEIR_CONF_REQUIRED, .doc = "Parquet, CSV or JSON lines (.gz too); several are one stream"},
    {.name = "map", .type = WEIR_CONF_LIST, FIELD(map), .doc = "COLUMN=name: a column of the files and what the pipeline calls it"},
    {.name = "set",
     .type = WEIR_CONF_LIST,
     FIELD(set),
     .doc = "COLUMN=EXPRESSION: a column of the pipeline, computed by SQL (DuckDB's) from those of the file, such as sector='energy'"},
    {.name = "rate", .type = WEIR_CONF_NUMBER, FIELD(how.rate), .min = 0, .max = 1e9, .unit = "events/s", .doc = "pace; 0: as fast as possible"},
    {.name = "speed",
     .type = WEIR_CONF_NUMBER,
     FIELD(how.speed),
     .min = 0,
     .max = 1e9,
     .unit = "times",
     .doc = "pace by event time: 3600 makes an hour a second; 0: not"},
    {.name = "from", .type = WEIR_CONF_TIME, FIELD(from_us), .doc = "leave out what is known before: an event by its time, a label by when it arrives"},
    {.name = "until", .type = WEIR_CONF_TIME, FIELD(how.until_us), .doc = "stop before what is known at or after"},
    {.name = NULL},
};

static weir_status run_replay(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const replay_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_records *records = NULL;
    weir_status st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!st) st = weir_records_from_files(pipeline, (const char *const *)o->file, (const char *const *)o->map, (const char *const *)o->set, &records, err);
    if (!st && o->from_us) {
        weir_records *all = records;
        records = NULL;
        st = weir_records_skip_before(&all, o->from_us, &records, err);
    }
    if (!st) st = weir_publish_records(settings, pipeline, records, &o->how, ret_exit, err);
    weir_records_free(records);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_replay = {
    .name = "replay",
    .args = "PIPELINE --file F… [--map COLUMN=name…] [--set COLUMN=SQL…] [--rate N | --speed X] [--from T] [--until T]",
    .doc = "Publishes files as events (and labels) in order of event time.\n\nRows may be in any order. Columns are matched by name, ignoring case, then by "
           "the pipeline's aliases; --map comes first. A column that a file lacks may be\n"
           "computed: by --set, or as source.derive of the pipeline says. Where the files have the\n"
           "label column, each label follows its event after the pipeline's max_delay. Topics are created where absent. A value that cannot be used stops it "
           "before\n"
           "anything is published.",
    .options = replay_table,
    .options_size = sizeof(replay_options),
    .run = run_replay,
};
