/* `weir score PIPELINE`: the score worker; with --file, scores for the rows of a file. */
#include <math.h>

#include "cli/batch_screen.h"
#include "cli/workers.h"
#include "models/batch_model.h"

typedef struct score_options {
    char *pipeline;
    weir_batch_flags batch;
    char *model, *version, *model_file, *out_format;
    double threshold;
    int output;
} score_options;

static const weir_conf_item score_table[] = {
    {.name = "pipeline",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(score_options, pipeline),
     .flags = WEIR_CONF_POSITIONAL,
     .doc = "name of a pipeline, or path of its file; not needed with --model-file"},
    WEIR_BATCH_ITEMS(score_options, batch),
    {.name = "out_format",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(score_options, out_format),
     .doc = "parquet, csv or json; not given: as --out is named"},
    {.name = "model",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(score_options, model),
     .doc = "with --file: a model of the pipeline's registry; not given: the one that --version points at"},
    {.name = "version",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(score_options, version),
     .doc = "with --file: of --model 3, 1.2.0, latest or an alias (not given: latest); without --model an alias (not given: champion)"},
    {.name = "model_file", .type = WEIR_CONF_STRING, .offset = offsetof(score_options, model_file), .doc = "with --file: a model's file, without a database"},
    {.name = "threshold",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(score_options, threshold),
     .min = -1,
     .max = 1,
     .fallback = "-1",
     .doc = "with --file: score from which the decision is yes; -1: that of the version, the pipeline's, or 0.5"},
    WEIR_OUTPUT_ITEM(score_options, output),
    {.name = NULL},
};

static bool is_batch(const score_options *o) {
    return o->batch.file || o->batch.out || o->model_file;
}

static weir_status check_options(const score_options *o, weir_err *err) {
    if (!o->pipeline && !o->model_file) return WEIR_FAIL(err, WEIR_EINVAL, "score needs the name of a pipeline, or --model-file");
    if (!is_batch(o) && (o->model || o->version || o->batch.errors || o->batch.columns))
        return WEIR_FAIL(err, WEIR_EINVAL, "--model, --version, --errors and --columns are for --file");
    if (o->model_file && (o->model || o->version)) return WEIR_FAIL(err, WEIR_EINVAL, "--model-file names the model; --model and --version do, too");
    return WEIR_OK;
}

static weir_status find_model(const weir_settings *settings, const score_options *o, const weir_pipeline *pipeline, weir_batch_model *model, weir_err *err) {
    if (o->model_file) return weir_batch_model_load(o->model_file, pipeline, model, err);
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_batch_model_find(pg, settings->objects_dir, pipeline, o->model, o->version, model, err);
    weir_pg_free(pg);
    return status;
}

static weir_status score_file(const weir_settings *settings, const score_options *o, int *ret_exit, weir_err *err) {
    weir_pipeline *pipeline = NULL;
    weir_batch_model model = {0};
    weir_batch_screen screen = {0};
    weir_batch_job job = {.out_format = o->out_format};
    weir_batch_result result = {0};
    weir_status status = o->pipeline ? weir_pipeline_load(o->pipeline, &pipeline, err) : WEIR_OK;
    if (!status) status = find_model(settings, o, pipeline, &model, err);
    if (!status) status = weir_batch_screen_begin(&screen, &o->batch, &job, err);
    if (!status) {
        weir_batch_model_use(&model, &job);
        if (o->threshold >= 0) job.threshold = o->threshold;
        status = weir_batch_file(&job, &result, err);
        status = weir_batch_screen_end(&screen, &job, &result, (weir_output)o->output, ret_exit, status, err);
    }
    weir_batch_model_done(&model);
    weir_pipeline_free(pipeline);
    return status;
}

static weir_status run_score(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const score_options *o = options;
    weir_status status = check_options(o, err);
    if (status) return status;
    return is_batch(o) ? score_file(settings, o, ret_exit, err) : weir_run_workers(settings, o->pipeline, "score", err);
}

static bool is_once(const void *options) {
    return is_batch(options);
}

const weir_command weir_command_score = {
    .name = "score",
    .args = "PIPELINE [--file F --out G [--model M --version V | --model-file M]]",
    .doc = "Runs the score worker: scores feature records with champion and challenger; or scores the rows of a file.\n"
           "With --file it ends with the file: larger than memory, on all processors; a job that was stopped or killed goes on with the same command. Exit "
           "code 1: some rows could not be scored.",
    .options = score_table,
    .options_size = sizeof(score_options),
    .is_service = true,
    .is_once = is_once,
    .run = run_score,
};
