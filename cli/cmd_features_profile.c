/* `weir features profile`: the quality of a data file, or of what a pipeline has stored. */
#include <string.h>

#include "cli/command.h"
#include "cli/profile_html.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "core/clock.h"
#include "core/folder.h"
#include "features/profile.h"

typedef struct profile_options {
    char *what, *time_column, *entity_column, *out_dir;
    char **columns;
    int64_t from_us, to_us;
} profile_options;

#define FIELD(member) .offset = offsetof(profile_options, member)

static const weir_conf_item profile_table[] = {
    {.name = "what",
     .type = WEIR_CONF_STRING,
     FIELD(what),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "a data file (Parquet, CSV, JSON lines), or a pipeline: then the records of its primary view in the offline store, with their features"},
    {.name = "columns", .type = WEIR_CONF_LIST, FIELD(columns), .doc = "columns wanted; not given: all"},
    {.name = "time",
     .type = WEIR_CONF_STRING,
     FIELD(time_column),
     .doc = "of a file: the column of times, for gaps and coverage; not given: the first that holds times"},
    {.name = "entity",
     .type = WEIR_CONF_STRING,
     FIELD(entity_column),
     .doc = "of a file: the column of entities, for gaps and coverage; not given: all rows are one"},
    {.name = "from", .type = WEIR_CONF_TIME, FIELD(from_us), .doc = "only rows from this time on"},
    {.name = "to", .type = WEIR_CONF_TIME, FIELD(to_us), .doc = "only rows before this time"},
    {.name = "out_dir", .type = WEIR_CONF_STRING, FIELD(out_dir), .fallback = ".", .doc = "folder for quality.html and quality.json"},
    {.name = NULL},
};

static void show(void *context, const char *step, int64_t rows) {
    weir_progress_show(context, rows, step);
}

static weir_status write_pages(const profile_options *o, const weir_profile *profile, weir_err *err) {
    weir_buf json = {0}, html = {0};
    const char *slash = strrchr(o->what, '/'), *name = slash ? slash + 1 : o->what;
    weir_status status = weir_profile_json(profile, name, &json, err);
    if (!status) status = weir_profile_html(profile, name, weir_clock_wall_us(weir_clock_system()), &html, err);
    if (!status) status = weir_folder_make(o->out_dir, err);
    if (!status) status = weir_report_write_file(o->out_dir, "quality.json", &json, err);
    if (!status) status = weir_report_write_file(o->out_dir, "quality.html", &html, err);
    weir_buf_done(&json);
    weir_buf_done(&html);
    return status;
}

static weir_status run_profile(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const profile_options *o = options;
    const char *names[WEIR_PROFILE_COLUMNS_MAX + 1];
    const weir_profile_query query = {
        .columns = names, .time_column = o->time_column, .entity_column = o->entity_column, .from_us = o->from_us, .to_us = o->to_us};
    weir_pipeline *pipeline = NULL;
    weir_profile_input *input = NULL;
    weir_profile *profile = NULL;
    weir_progress progress;
    weir_status status;
    (void)ret_exit;
    if ((status = weir_names_split(o->columns, names, WEIR_PROFILE_COLUMNS_MAX, err))) return status;
    size_t len = strlen(o->what);
    bool is_pipeline =
        weir_file_format_of(o->what) == WEIR_FILE_UNKNOWN || (len > 5 && !strcmp(o->what + len - 5, ".json") && !weir_pipeline_load(o->what, &pipeline, NULL));
    if (is_pipeline && !pipeline && (status = weir_pipeline_load(o->what, &pipeline, err))) return status;
    status = pipeline ? weir_profile_open_store(settings->pg_url, settings->objects_dir, pipeline, &query, &input, err)
                      : weir_profile_open_file(o->what, &query, &input, err);
    if (!status) {
        weir_progress_init(&progress, stderr, "rows", -1);
        weir_profile_input_set_progress(input, show, &progress);
        status = weir_profile_make(weir_profile_input_source(input), &profile, err);
        weir_progress_end(&progress);
    }
    if (!status) status = write_pages(o, profile, err);
    if (!status)
        fprintf(stderr, "%lld rows, %d columns, %d findings in %s/quality.html\n", (long long)profile->rows, profile->column_count, profile->verdict_count,
                o->out_dir);
    weir_profile_free(profile);
    weir_profile_input_free(input);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_features_profile = {
    .name = "features profile",
    .args = "FILE|PIPELINE [--columns A,B…] [--time C] [--entity C] [--from T] [--to T] [--out-dir D]",
    .doc = "Writes quality.html and quality.json: what is missing, odd or repeated, distributions, correlations, gaps in time.\n"
           "\"distribution\" checks of a pipeline compare the stream with a quality.json.",
    .options = profile_table,
    .options_size = sizeof(profile_options),
    .run = run_profile,
};
