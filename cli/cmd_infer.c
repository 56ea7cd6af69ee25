/* `weir infer DIR MODEL`: predictions for a file by a version of a folder of models. */
#include "cli/batch_screen.h"
#include "models/training_file.h"

typedef struct infer_options {
    char *dir, *model, *version;
    weir_batch_flags batch;
    int output;
} infer_options;

static const weir_conf_item infer_table[] = {
    {.name = "dir",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(infer_options, dir),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "folder of versions: what persistence of the training file names"},
    {.name = "model",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(infer_options, model),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "its name: random_forest"},
    {.name = "version", .type = WEIR_CONF_STRING, .offset = offsetof(infer_options, version), .fallback = "latest", .doc = "1.0.0, or latest"},
    WEIR_BATCH_ITEMS(infer_options, batch),
    WEIR_OUTPUT_ITEM(infer_options, output),
    {0},
};

/* A value that is none fails the whole, unless there is a place for its row. */
static weir_status infer(const weir_settings *settings, const void *object, int *ret_exit, weir_err *err) {
    const infer_options *o = object;
    weir_batch_screen screen = {0};
    weir_batch_job job = {.form = WEIR_BATCH_PREDICTIONS, .strict = !o->batch.errors};
    weir_batch_result result = {0};
    (void)settings;
    weir_status status = weir_batch_screen_begin(&screen, &o->batch, &job, err);
    if (status) return status;
    status = weir_training_file_infer(o->dir, o->model, o->version, &job, &result, err);
    job.model_name = o->model;
    return weir_batch_screen_end(&screen, &job, &result, (weir_output)o->output, ret_exit, status, err);
}

const weir_command weir_command_infer = {
    .name = "infer",
    .args = "DIR MODEL --file F --out G [--version V]",
    .doc = "Predictions for a file by a version of a folder of models: larger than memory, on all processors.\n"
           "A job that was stopped or killed goes on with the same command. Exit code 1: some rows were not predicted, and are in --errors.",
    .options = infer_table,
    .options_size = sizeof(infer_options),
    .run = infer,
};
