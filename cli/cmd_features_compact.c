/* `weir features compact`: closed days of the offline store become Parquet files. */
#include "cli/command.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/mem.h"
#include "features/compact.h"

typedef struct compact_options {
    char *pipeline;
    int64_t older_than_us;
} compact_options;

static const weir_conf_item compact_table[] = {
    WEIR_PIPELINE_ITEM(compact_options, pipeline),
    {.name = "older_than",
     .type = WEIR_CONF_DURATION,
     .offset = offsetof(compact_options, older_than_us),
     .fallback = "2d",
     .doc = "days of event time that ended at least so long ago; what comes for them later is compacted into a further file"},
    {.name = NULL},
};

static void show(void *context, const char *table, int64_t rows) {
    weir_progress_show(context, rows, table);
}

static weir_status run_compact(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const compact_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_progress progress;
    weir_compacted done = {0};
    (void)ret_exit;
    weir_status st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (st) return st;
    weir_progress_init(&progress, stderr, "rows", -1);
    const weir_compact_conf conf = {.pg_url = settings->pg_url,
                                    .objects_dir = settings->objects_dir,
                                    .before_us = weir_clock_wall_us(weir_clock_system()) - o->older_than_us,
                                    .progress = show,
                                    .progress_context = &progress};
    st = weir_compact(pipeline, &conf, &done, err);
    weir_progress_end(&progress);
    fprintf(stderr, "%lld days: %lld rows in %lld files of %.1f MB\n", (long long)done.days, (long long)done.rows, (long long)done.files,
            (double)done.bytes / 1e6);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_features_compact = {
    .name = "features compact",
    .args = "PIPELINE [--older-than 2d]",
    .doc = "Moves closed days of features from PostgreSQL to Parquet files in the objects folder, from where they are read as before.",
    .options = compact_table,
    .options_size = sizeof(compact_options),
    .run = run_compact,
};
