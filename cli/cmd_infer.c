/* `weir infer DIR MODEL`: predictions for a file by a version of a folder of models. */
#include <stdio.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "core/page.h"
#include "models/training_file.h"

typedef struct infer_options {
    char *dir, *model, *version, *file, *format, *out;
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
    {.name = "file",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(infer_options, file),
     .flags = WEIR_CONF_REQUIRED,
     .doc = "rows to predict: a file, a folder of files or a pattern"},
    {.name = "format",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(infer_options, format),
     .fallback = "auto",
     .doc = "parquet, csv, json, or auto: what they are"},
    {.name = "out",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(infer_options, out),
     .flags = WEIR_CONF_REQUIRED,
     .doc = "file for the rows with their predictions; .parquet, .csv or .json say the form"},
    WEIR_OUTPUT_ITEM(infer_options, output),
    {0},
};

/* Rows are read while predictions are written, and nobody wants their file replaced. */
static weir_status check_out(const infer_options *o, weir_err *err) {
    struct stat in, out;
    bool same = !stat(o->file, &in) && !stat(o->out, &out) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
    return same ? WEIR_FAIL(err, WEIR_EINVAL, "--out %s is what --file names, expected another file", o->out) : WEIR_OK;
}

static weir_status infer(const weir_settings *settings, const void *object, int *ret_exit, weir_err *err) {
    const infer_options *o = object;
    weir_progress progress;
    int64_t rows = 0;
    (void)settings, (void)ret_exit;
    weir_progress_init(&progress, stderr, "rows", -1);
    weir_status status = check_out(o, err);
    if (!status) status = weir_training_file_infer(o->dir, o->model, o->version, o->file, o->format, o->out, &rows, err);
    if (status) return status;
    double seconds = weir_progress_seconds(&progress);
    if (o->output == WEIR_OUTPUT_JSON) {
        cJSON *json = cJSON_CreateObject();
        bool ok = json && cJSON_AddStringToObject(json, "model", o->model) && cJSON_AddStringToObject(json, "out", o->out) &&
                  cJSON_AddNumberToObject(json, "rows", (double)rows) && cJSON_AddNumberToObject(json, "seconds", seconds);
        status = ok ? weir_json_print(json, stdout, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what was done");
        cJSON_Delete(json);
        return status;
    }
    char took[WEIR_WORDS_MAX];
    printf("%lld rows with predictions of %s in %s, %s\n", (long long)rows, o->model, o->out, weir_words_duration(seconds, took));
    return WEIR_OK;
}

const weir_command weir_command_infer = {
    .name = "infer",
    .args = "DIR MODEL --file F --out G [--version V]",
    .doc = "Predictions for a file by a version of a folder of models.",
    .options = infer_table,
    .options_size = sizeof(infer_options),
    .run = infer,
};
