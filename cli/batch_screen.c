#include "cli/batch_screen.h"

#include <string.h>

#include "cli/stop.h"
#include "cli/table.h"
#include "core/page.h"

static void show(void *context, int64_t done, int64_t total) {
    weir_batch_screen *screen = context;
    if (!screen->progress.shown_us) screen->progress.begun = done > 0 ? done : total;
    if (done >= 0) {
        screen->progress.total = total;
        weir_progress_show_at_times(&screen->progress, done);
    } else {
        screen->progress.total = -1;
        weir_progress_show(&screen->progress, total, "all are scored; writes the file");
    }
}

static void note(void *context, const char *sentence) {
    weir_batch_screen *screen = context;
    weir_progress_end(&screen->progress);
    fprintf(stderr, "%s\n", sentence);
}

weir_status weir_batch_screen_begin(weir_batch_screen *screen, const weir_batch_flags *flags, weir_batch_job *job, weir_err *err) {
    enum { NAMES = sizeof screen->names / sizeof *screen->names - 1 };
    if (!flags->file || !flags->out) return WEIR_FAIL(err, WEIR_EINVAL, "--%s is missing", flags->file ? "out" : "file");
    weir_status status = flags->columns ? weir_names_split(flags->columns, screen->names, NAMES, err) : WEIR_OK;
    if (status) return status;
    job->path = flags->file;
    job->format = flags->format;
    job->out = flags->out;
    job->errors = flags->errors;
    job->prefix = flags->prefix;
    job->columns = flags->columns ? screen->names : NULL;
    job->threads = (int)flags->threads;
    job->memory_bytes = flags->max_memory_mib << 20;
    job->part_rows = flags->part_rows;
    job->cancel = &screen->cancel;
    job->progress = show;
    job->note = note;
    job->context = screen;
    screen->cancel = false;
    weir_progress_init(&screen->progress, stderr, "rows", -1);
    (void)weir_stop_flag();
    weir_stop_sets(&screen->cancel);
    return WEIR_OK;
}

static weir_status print_json(const weir_batch_job *job, const weir_batch_result *result, double seconds, weir_err *err) {
    cJSON *json = cJSON_CreateObject(), *reasons = NULL;
    bool ok = json && cJSON_AddStringToObject(json, "model", job->model_name ? job->model_name : "") &&
              (!job->version || cJSON_AddNumberToObject(json, "version", job->version)) && cJSON_AddStringToObject(json, "out", job->out) &&
              cJSON_AddNumberToObject(json, "rows", (double)result->rows) && cJSON_AddNumberToObject(json, "rejected", (double)result->rejected) &&
              cJSON_AddNumberToObject(json, "resumed", (double)result->resumed) && cJSON_AddNumberToObject(json, "seconds", seconds) &&
              (reasons = cJSON_AddArrayToObject(json, "reasons"));
    for (int i = 0; ok && i < result->reason_count; i++) ok = cJSON_AddItemToArray(reasons, cJSON_CreateString(result->reasons[i]));
    weir_status status = ok ? weir_json_print(json, stdout, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what was done");
    cJSON_Delete(json);
    return status;
}

static void print_text(const weir_batch_job *job, const weir_batch_result *result, double seconds) {
    char took[WEIR_WORDS_MAX], version[32] = "";
    if (job->version) snprintf(version, sizeof version, " version %d", job->version);
    int64_t scored = result->rows - result->rejected, now = result->rows - result->resumed;
    printf("%lld rows with %s of %s%s in %s, %s (%.0f rows/s)\n", (long long)(job->errors ? scored : result->rows),
           job->form == WEIR_BATCH_PREDICTIONS ? "predictions" : "scores", job->model_name ? job->model_name : "the model", version, job->out,
           weir_words_duration(seconds, took), seconds > 0 ? (double)now / seconds : 0);
    if (!result->rejected) return;
    fprintf(stderr, "%lld of %lld rows could not be scored; they are in %s\n", (long long)result->rejected, (long long)result->rows,
            job->errors ? job->errors : "their places, without a score and with the reason in column error");
    for (int i = 0; i < result->reason_count; i++) fprintf(stderr, "  %s\n", result->reasons[i]);
    if (result->rejected > result->reason_count) fprintf(stderr, "  …\n");
}

weir_status weir_batch_screen_end(weir_batch_screen *screen, const weir_batch_job *job, const weir_batch_result *result, weir_output output, int *ret_exit,
                                  weir_status status, weir_err *err) {
    double seconds = weir_progress_seconds(&screen->progress);
    weir_progress_end(&screen->progress);
    weir_stop_sets(NULL);
    if (status == WEIR_ETIMEOUT && screen->cancel) {
        fprintf(stderr, "stopped; what is finished is kept, and the same command goes on from there\n");
        *ret_exit = 1;
        return WEIR_OK;
    }
    if (status) return status;
    if (result->rejected) *ret_exit = 1;
    if (output == WEIR_OUTPUT_JSON) return print_json(job, result, seconds, err);
    print_text(job, result, seconds);
    return WEIR_OK;
}
