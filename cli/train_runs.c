#include "cli/train_runs.h"

#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "consumers/train_queue.h"

enum { RUNS_SHOWN = 50 };

/* "fraud-xgb (2 of 4)", in place of the object. */
static bool put_progress_text(cJSON *run) {
    char text[200] = "";
    const cJSON *progress = cJSON_GetObjectItemCaseSensitive(run, "progress"), *what = cJSON_GetObjectItemCaseSensitive(progress, "what");
    const cJSON *done = cJSON_GetObjectItemCaseSensitive(progress, "done"), *of = cJSON_GetObjectItemCaseSensitive(progress, "of");
    if (!cJSON_IsString(what)) return true;
    if (cJSON_IsNumber(done) && cJSON_IsNumber(of))
        snprintf(text, sizeof text, "%.150s (%d of %d)", what->valuestring, done->valueint + 1, of->valueint);
    else
        snprintf(text, sizeof text, "%.150s", what->valuestring);
    cJSON *item = cJSON_CreateString(text);
    if (item && cJSON_ReplaceItemInObjectCaseSensitive(run, "progress", item)) return true;
    cJSON_Delete(item);
    return false;
}

weir_status weir_train_runs_print(const weir_settings *settings, const char *pipeline, weir_output output, weir_err *err) {
    static const weir_table_column columns[] = {{"id", "run"},
                                                {"status", "status"},
                                                {"step", "to do"},
                                                {"requested_at", "requested at"},
                                                {"reason", "reason"},
                                                {"attempts", "attempts"},
                                                {"host", "host"},
                                                {"progress", "progress"},
                                                {"running_s", "running [s]"},
                                                {"left_s", "left [s]"},
                                                {"retry_in_s", "again in [s]"},
                                                {"error", "error"},
                                                {NULL, NULL}};
    weir_pg *pg = NULL;
    cJSON *runs = NULL, *run;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_train_queue_list(pg, pipeline, RUNS_SHOWN, &runs, err);
    if (output == WEIR_OUTPUT_TABLE) cJSON_ArrayForEach(run, runs) {
            if (!status && !put_progress_text(run)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the runs");
        }
    if (!status) status = weir_table_print(runs, columns, output, stdout, err);
    cJSON_Delete(runs);
    weir_pg_free(pg);
    return status;
}

weir_status weir_train_runs_cancel(const weir_settings *settings, const char *pipeline, const char *run_id, const char *reason, int *ret_exit, weir_err *err) {
    static const char *const answers[] = {[WEIR_TRAIN_CANCELLED_NOW] = "is cancelled",
                                          [WEIR_TRAIN_CANCEL_ASKED] = "is under way; its worker ends it",
                                          [WEIR_TRAIN_CANCEL_LATE] = "is over already and stays as it is"};
    const char *user = getenv("USER");
    weir_train_cancelled how;
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_train_queue_cancel(pg, pipeline, run_id, user && *user ? user : "operator", reason ? reason : "", &how, err);
    if (!status) printf("%s %s\n", run_id, answers[how]);
    if (!status) *ret_exit = how == WEIR_TRAIN_CANCEL_LATE;
    weir_pg_free(pg);
    return status;
}
