/* `weir features rebuild`: states and stored values as if the definition of now had always held. */
#include "cli/command.h"
#include "cli/progress.h"
#include "consumers/rebuild.h"
#include "core/mem.h"

typedef struct rebuild_options {
    char *pipeline;
} rebuild_options;

static const weir_conf_item rebuild_table[] = {
    WEIR_PIPELINE_ITEM(rebuild_options, pipeline),
    {.name = NULL},
};

static void show(void *context, const char *view, int64_t records) {
    weir_progress_show(context, records, view);
}

static weir_status run_rebuild(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const rebuild_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_progress progress;
    weir_rebuilt done;
    (void)ret_exit;
    weir_status st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (st) return st;
    weir_progress_init(&progress, stderr, "records", -1);
    const weir_rebuild_conf conf = {.brokers = settings->brokers,
                                    .registry_url = settings->registry_url,
                                    .pg_url = settings->pg_url,
                                    .objects_dir = settings->objects_dir,
                                    .progress = show,
                                    .progress_context = &progress};
    st = weir_rebuild_run(pipeline, &conf, &done, err);
    double seconds = weir_progress_seconds(&progress);
    weir_progress_end(&progress);
    if (!st)
        fprintf(stderr, "%lld records of %lld entities in %.1f s: %lld rows changed, %lld corrections added; ingest may be started\n", (long long)done.records,
                (long long)done.entities, seconds, (long long)done.rows, (long long)done.corrections);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_features_rebuild = {
    .name = "features rebuild",
    .args = "PIPELINE",
    .doc = "Makes states and stored values of the whole history anew, after features were added or changed.\n"
           "The live operators make them, as if the definition of now had always held. Ingest must be stopped; records wait in their topics, and it goes on "
           "from where it was. Run it again when it was killed.",
    .options = rebuild_table,
    .options_size = sizeof(rebuild_options),
    .run = run_rebuild,
};
