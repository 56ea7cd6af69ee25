#include "models/training_trials.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "models/artifact_file.h"
#include "models/memory.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the points of a search");
}

static weir_status take_lines(weir_training_trials *trials, char *text, size_t len, weir_err *err) {
    if (!(trials->known = cJSON_CreateArray())) return no_memory(err);
    for (char *line = text, *end; line < text + len; line = end + 1) {
        if (!(end = memchr(line, '\n', (size_t)(text + len - line)))) {
            if (!truncate(trials->path, line - text)) break;
            return WEIR_FAIL(err, WEIR_EIO, "cannot shorten %s: %s", trials->path, strerror(errno));
        }
        cJSON *trial = cJSON_ParseWithLength(line, (size_t)(end - line));
        if (trial) cJSON_AddItemToArray(trials->known, trial); /* a line that is none costs the time to judge its point again */
    }
    return WEIR_OK;
}

weir_status weir_training_trials_open(const char *folder, weir_training_trials *ret_trials, weir_err *err) {
    weir_training_trials trials = {0};
    weir_buf text = {0};
    *ret_trials = trials;
    if (!folder) return WEIR_OK;
    if (snprintf(trials.path, sizeof trials.path, "%s/trials.jsonl", folder) >= (int)sizeof trials.path)
        return WEIR_FAIL(err, WEIR_EINVAL, "the name of the folder for points of the search is too long");
    weir_status status = weir_artifact_read_file(trials.path, &text, err);
    if (status == WEIR_ENOTFOUND)
        status = WEIR_OK;
    else if (!status && text.len)
        status = take_lines(&trials, text.data, text.len, err);
    weir_buf_done(&text);
    if (status)
        weir_training_trials_done(&trials);
    else
        *ret_trials = trials;
    return status;
}

void weir_training_trials_done(weir_training_trials *trials) {
    cJSON_Delete(trials->known);
    trials->known = NULL;
}

bool weir_training_trials_recall(const weir_training_trials *trials, const cJSON *spec, int fold_count, weir_contender *ret_contender,
                                 double *ret_test_to_train) {
    const cJSON *trial, *value;
    cJSON_ArrayForEach(trial, trials->known) {
        const cJSON *values = cJSON_GetObjectItemCaseSensitive(trial, "fold_values");
        int f = 0;
        if (cJSON_GetArraySize(values) != fold_count || !isfinite(weir_json_number(trial, "mean", NAN))) continue;
        if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(trial, "spec"), spec, true)) continue;
        double *copy = weir_models_calloc((size_t)fold_count, sizeof *copy);
        if (!copy) return false; /* then it is judged again, and says itself that memory ran out */
        cJSON_ArrayForEach(value, values) copy[f++] = cJSON_IsNumber(value) ? value->valuedouble : NAN;
        ret_contender->fold_values = copy;
        ret_contender->mean = weir_json_number(trial, "mean", NAN);
        ret_contender->deviation = weir_json_number(trial, "deviation", NAN);
        ret_contender->fit_s = weir_json_number(trial, "fit_s", NAN);
        ret_contender->predict_s = weir_json_number(trial, "predict_s", NAN);
        *ret_test_to_train = weir_json_number(trial, "test_to_train", NAN);
        return true;
    }
    return false;
}

static weir_status append_line(const char *path, char *text, weir_err *err) {
    size_t len = strlen(text);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    text[len] = '\n'; /* in the place of the NUL: one write, so that a line is there or cut off */
    bool ok = file >= 0 && write(file, text, len + 1) == (ssize_t)(len + 1) && !fdatasync(file);
    weir_status status = ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno));
    if (file >= 0) close(file);
    return status;
}

weir_status weir_training_trials_keep(const weir_training_trials *trials, const weir_contender *c, int fold_count, double test_to_train, weir_err *err) {
    if (!*trials->path) return WEIR_OK;
    cJSON *trial = cJSON_CreateObject(), *spec = cJSON_Duplicate(c->spec, true), *values = cJSON_CreateDoubleArray(c->fold_values, fold_count);
    bool ok = trial && spec && values && cJSON_AddItemToObject(trial, "spec", spec);
    if (ok) spec = NULL;
    ok = ok && cJSON_AddItemToObject(trial, "fold_values", values);
    if (ok) values = NULL;
    ok = ok && cJSON_AddNumberToObject(trial, "mean", c->mean) && cJSON_AddNumberToObject(trial, "deviation", c->deviation) &&
         cJSON_AddNumberToObject(trial, "fit_s", c->fit_s) && cJSON_AddNumberToObject(trial, "predict_s", c->predict_s) &&
         cJSON_AddNumberToObject(trial, "test_to_train", test_to_train);
    char *text = ok ? cJSON_PrintUnformatted(trial) : NULL;
    weir_status status = text ? append_line(trials->path, text, err) : no_memory(err);
    cJSON_free(text);
    cJSON_Delete(trial);
    cJSON_Delete(spec);
    cJSON_Delete(values);
    return status;
}
