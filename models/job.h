/* A job of several steps that can be interrupted: each step's state is on disk before and after it, and a job that is run again goes on at the step that did not end.
 *
 *   pending ──> running ──> done                     run again: done steps are skipped, but for those that only fill memory
 *                 │  ↑ └──> failed ──> running       run again, or tried again where its error says so
 *                 └──┘      a process that died leaves "running", which counts as failed
 *
 * The record is <folder>/job.json: {"id", "status": "running" | "succeeded" | "failed" | "interrupted", "started_at", "ended_at", "seconds", "request": {…}, "error",
 * "steps": [{"name", "status", "attempts", "started_at", "seconds", "error", "result": {…}}]}. One process at a time runs a job: its folder is locked. */
#ifndef WEIR_MODELS_JOB_H
#define WEIR_MODELS_JOB_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/clock.h"
#include "core/err.h"

enum { WEIR_JOB_STEPS_MAX = 16, WEIR_JOB_ATTEMPTS = 3 };

typedef struct weir_job_step {
    const char *name;
    const char *advice; /* what a person does when it fails; a sentence, appended to the error that is recorded */
    bool every_time; /* what it makes lives in memory: it is done again when a job goes on */
    /** Does it. result is an empty object that the step fills with what later steps and people read; kept in the record when it returns WEIR_OK, partial when not. */
    weir_status (*run)(void *context, cJSON *result, weir_err *err);
} weir_job_step;

/* Told when a step begins (seconds < 0) and ends. */
typedef void weir_job_watch(void *context, const char *step, int number, int count, double seconds, const weir_err *error);

typedef struct weir_job weir_job;

/** Opens the record in folder (made when absent), or begins one: id and request are then kept; request of an old record must be the same.
 *  steps end with one without a name and are borrowed. clock NULL: the system's.
 *  Errors: WEIR_ECONFLICT when another process runs it, the request differs, or it has other steps; WEIR_EDATA for a record that is none; WEIR_EIO. */
weir_status weir_job_open(const char *folder, const char *id, const cJSON *request, const weir_job_step *steps, weir_clock *clock, weir_job **ret_job,
                          weir_err *err) WEIR_MUST_CHECK;
/** Runs what is left. A step whose error says RETRY is tried WEIR_JOB_ATTEMPTS times, 1, 2, … seconds apart, unless *cancel is true. The error names the step, and has the
 *  step's advice. After a failure, opening and running the job again goes on at that step. */
weir_status weir_job_run(weir_job *job, void *context, const _Atomic bool *cancel, weir_job_watch *watch, weir_err *err) WEIR_MUST_CHECK;
const cJSON *weir_job_record(const weir_job *job); /* borrowed */
/** What a step has left; NULL when it is not done. Borrowed. */
const cJSON *weir_job_result(const weir_job *job, const char *step);
void weir_job_close(weir_job *job);

#endif
