#include "models/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/folder.h"
#include "core/json.h"
#include "models/json_file.h"
#include "models/memory.h"

struct weir_job {
    char folder[4096];
    const weir_job_step *steps;
    int step_count;
    weir_clock *clock;
    cJSON *record;
    int lock; /* of the folder, held while the job is open */
};

/* ---- the record ---- */

static cJSON *record_of(const weir_job *job, int step) {
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(job->record, "steps"), step);
}

static bool set_text(cJSON *object, const char *name, const char *text) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    return cJSON_AddStringToObject(object, name, text);
}

static bool set_number(cJSON *object, const char *name, double number) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    return cJSON_AddNumberToObject(object, name, number);
}

static bool set_now(const weir_job *job, cJSON *object, const char *name) {
    char text[WEIR_TIME_TEXT_MAX];
    return set_text(object, name, weir_time_format(weir_clock_wall_us(job->clock), text));
}

static weir_status save(const weir_job *job, weir_err *err) {
    return weir_json_file_write(job->folder, "job.json", job->record, err);
}

/* ---- opening ---- */

static weir_status lock_folder(weir_job *job, weir_err *err) {
    weir_status status = weir_folder_make(job->folder, err);
    if (status) return status;
    job->lock = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job->lock < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot open the folder %s: %s", job->folder, strerror(errno));
    if (!flock(job->lock, LOCK_EX | LOCK_NB)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ECONFLICT, "job %s is being run by another process", job->folder);
}

static weir_status check_record(const weir_job *job, const cJSON *request, weir_err *err) {
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(job->record, "steps");
    if (!cJSON_IsArray(steps)) return WEIR_FAIL(err, WEIR_EDATA, "%s/job.json: found no array \"steps\", expected the record of a job", job->folder);
    if (cJSON_GetArraySize(steps) != job->step_count)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "job %s has %d steps, expected %d: another version of Weir began it", job->folder, cJSON_GetArraySize(steps),
                         job->step_count);
    for (int i = 0; i < job->step_count; i++) {
        if (strcmp(weir_json_text(record_of(job, i), "name"), job->steps[i].name) != 0)
            return WEIR_FAIL(err, WEIR_ECONFLICT, "step %d of job %s is '%s', expected '%s': another version of Weir began it", i, job->folder,
                             weir_json_text(record_of(job, i), "name"), job->steps[i].name);
    }
    if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(job->record, "request"), request, true))
        return WEIR_FAIL(err, WEIR_ECONFLICT, "job %s was begun with another request; see \"request\" in its job.json", job->folder);
    return WEIR_OK;
}

static bool begin_record(weir_job *job, const char *id, const cJSON *request) {
    job->record = cJSON_CreateObject();
    bool ok = set_text(job->record, "id", id) && set_text(job->record, "status", "running") && set_now(job, job->record, "started_at");
    ok = ok && set_number(job->record, "seconds", 0);
    cJSON *copy = cJSON_Duplicate(request, true);
    if (!copy || !cJSON_AddItemToObject(job->record, "request", copy)) {
        cJSON_Delete(copy);
        return false;
    }
    cJSON *steps = cJSON_AddArrayToObject(job->record, "steps");
    for (int i = 0; ok && i < job->step_count; i++) {
        cJSON *step = cJSON_CreateObject();
        ok = step && cJSON_AddItemToArray(steps, step) && set_text(step, "name", job->steps[i].name) && set_text(step, "status", "pending");
        ok = ok && set_number(step, "attempts", 0);
    }
    return ok && steps;
}

static weir_status open_record(weir_job *job, const char *id, const cJSON *request, weir_err *err) {
    weir_status status = lock_folder(job, err);
    if (status) return status;
    status = weir_json_file_read(job->folder, "job.json", &job->record, err);
    if (!status) return check_record(job, request, err);
    if (status != WEIR_ENOTFOUND) return status;
    return begin_record(job, id, request) ? save(job, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the record of job %s", id);
}

weir_status weir_job_open(const char *folder, const char *id, const cJSON *request, const weir_job_step *steps, weir_clock *clock, weir_job **ret_job,
                          weir_err *err) {
    weir_job *job = weir_models_calloc(1, sizeof *job);
    if (!job) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a job");
    job->steps = steps;
    while (steps[job->step_count].name) job->step_count++;
    job->clock = clock ? clock : weir_clock_system();
    job->lock = -1;
    weir_status status = WEIR_OK;
    if (snprintf(job->folder, sizeof job->folder, "%s", folder) >= (int)sizeof job->folder - 16)
        status = WEIR_FAIL(err, WEIR_EINVAL, "the name of the job's folder is too long");
    if (!status) status = open_record(job, id, request, err);
    if (status)
        weir_job_close(job);
    else
        *ret_job = job;
    return status;
}

void weir_job_close(weir_job *job) {
    if (!job) return;
    cJSON_Delete(job->record);
    if (job->lock >= 0) close(job->lock);
    weir_models_free(job);
}

const cJSON *weir_job_record(const weir_job *job) {
    return job->record;
}

const cJSON *weir_job_result(const weir_job *job, const char *step) {
    for (int i = 0; i < job->step_count; i++) {
        const cJSON *record = record_of(job, i);
        if (!strcmp(job->steps[i].name, step) && !strcmp(weir_json_text(record, "status"), "done")) return cJSON_GetObjectItemCaseSensitive(record, "result");
    }
    return NULL;
}

/* ---- running ---- */

static double seconds_since(const weir_job *job, int64_t mono_us) {
    return (double)(weir_clock_mono_us(job->clock) - mono_us) / 1e6;
}

static weir_status begin_step(const weir_job *job, int i, weir_err *err) {
    cJSON *record = record_of(job, i), *attempts = cJSON_GetObjectItemCaseSensitive(record, "attempts");
    bool ok = set_text(record, "status", "running") && set_now(job, record, "started_at");
    ok = ok && set_number(record, "attempts", cJSON_IsNumber(attempts) ? attempts->valuedouble + 1 : 1);
    cJSON_DeleteItemFromObjectCaseSensitive(record, "error");
    return ok ? save(job, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the record of step %s", job->steps[i].name);
}

/* Takes result over. */
static weir_status end_step(const weir_job *job, int i, double seconds, cJSON *result, const weir_err *error, weir_err *err) {
    cJSON *record = record_of(job, i);
    cJSON_DeleteItemFromObjectCaseSensitive(record, "result");
    bool ok = cJSON_AddItemToObject(record, "result", result);
    if (!ok) cJSON_Delete(result);
    ok = ok && set_text(record, "status", error ? "failed" : "done") && set_number(record, "seconds", seconds);
    if (error) ok = ok && set_text(record, "error", error->message);
    return ok ? save(job, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the record of step %s", job->steps[i].name);
}

static weir_status try_step(const weir_job *job, int i, void *context, double *ret_seconds, weir_err *err) {
    const weir_job_step *step = &job->steps[i];
    weir_err ending;
    int64_t started = weir_clock_mono_us(job->clock);
    weir_status status = begin_step(job, i, err);
    if (status) return status;
    cJSON *result = cJSON_CreateObject();
    if (!result) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the result of step %s", step->name);
    status = step->run(context, result, err);
    if (status) weir_err_prefix(err, "step %s", step->name);
    if (status && step->advice && err->action != WEIR_ACTION_RETRY) {
        size_t len = strlen(err->message);
        snprintf(err->message + len, sizeof err->message - len, ". %s", step->advice);
    }
    *ret_seconds = seconds_since(job, started);
    weir_status ended = end_step(job, i, *ret_seconds, result, status ? err : NULL, &ending);
    if (status || !ended) return status; /* why the step failed matters more than that this could not be written */
    *err = ending;
    return ended;
}

static weir_status run_step(const weir_job *job, int i, void *context, const _Atomic bool *cancel, weir_job_watch *watch, weir_err *err) {
    weir_status status = WEIR_EINTERNAL;
    for (int attempt = 0; attempt < WEIR_JOB_ATTEMPTS; attempt++) {
        double seconds = 0;
        if (watch) watch(context, job->steps[i].name, i, job->step_count, -1, NULL);
        status = try_step(job, i, context, &seconds, err);
        if (watch) watch(context, job->steps[i].name, i, job->step_count, seconds, status ? err : NULL);
        bool again = status && err->action == WEIR_ACTION_RETRY && attempt + 1 < WEIR_JOB_ATTEMPTS && !(cancel && *cancel);
        if (!again) break;
        weir_clock_sleep_us(job->clock, WEIR_SECOND_US << attempt);
    }
    return status;
}

weir_status weir_job_run(weir_job *job, void *context, const _Atomic bool *cancel, weir_job_watch *watch, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_err ending;
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(job->record, "seconds");
    double seconds = cJSON_IsNumber(before) ? before->valuedouble : 0;
    int64_t started = weir_clock_mono_us(job->clock);
    if (!set_text(job->record, "status", "running")) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the record of the job");
    cJSON_DeleteItemFromObjectCaseSensitive(job->record, "error");
    for (int i = 0; !status && i < job->step_count; i++) {
        bool done = !strcmp(weir_json_text(record_of(job, i), "status"), "done") && !job->steps[i].every_time;
        if (!done) status = run_step(job, i, context, cancel, watch, err);
    }
    const char *end = !status ? "succeeded" : cancel && *cancel ? "interrupted" : "failed";
    bool ok = set_text(job->record, "status", end) && set_now(job, job->record, "ended_at");
    ok = ok && set_number(job->record, "seconds", seconds + seconds_since(job, started));
    if (status) ok = ok && set_text(job->record, "error", err->message);
    weir_status saved = ok ? save(job, &ending) : WEIR_FAIL(&ending, WEIR_ENOMEM, "no memory for the record of the job");
    if (!status && saved) *err = ending;
    return status ? status : saved;
}
