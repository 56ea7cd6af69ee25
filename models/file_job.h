/* The workshop for a training file (models/training_file.h): rows of its files, the search of its grids, versions in its folder. No database, no Kafka.
 *
 * The folder of a job has, beside what every job's has (models/workshop.h), trials.jsonl with the points that were judged, and results.json:
 *
 *   {"pipeline_id", "status": "completed" | "failed" | "interrupted", "error", "data_preparation": {…}, "model_training": {…}, "model_evaluation": {…},
 *    "model_persistence": {…}, "final_report": {…}, "pipeline_duration": seconds}
 *
 * where a part that was not reached is null. */
#ifndef WEIR_MODELS_FILE_JOB_H
#define WEIR_MODELS_FILE_JOB_H

#include "models/training_file.h"
#include "models/workshop.h"

#define WEIR_FILE_JOB_FOLDER "ml_training_results"

typedef struct weir_file_job {
    const weir_training_file *file;
    const char *out_dir; /* what jobs' folders are in; NULL: WEIR_FILE_JOB_FOLDER */
    const char *go_on; /* id of a job to go on with, or "latest"; NULL: a new one */
    const _Atomic bool *end_search, *abort; /* as in weir_workshop */
    void (*progress)(void *context, const weir_automl_progress *progress);
    void (*watch)(void *context, const char *step, int number, int count, double seconds, const weir_err *error);
    void *context; /* of both */
} weir_file_job;

typedef struct weir_file_job_end {
    char id[80]; /* "ml_pipeline_<seconds since 1970>" */
    char folder[4096]; /* out_dir/<id> */
    cJSON *record, *results; /* job.json and results.json; the caller deletes both */
} weir_file_job_end;

/** Whether a path is that of a training file rather than of a pipeline's: an object with "data" or "models" and no "pipeline". */
bool weir_file_job_is(const char *path);
/** Runs a job, or goes on with one. Every model's best point becomes a version where the file says save_models. *ret_end is filled as far as the job came.
 *  Errors: those of weir_workshop_run; WEIR_ENOTFOUND when there is no job to go on with. */
weir_status weir_file_job_run(const weir_file_job *job, weir_file_job_end *ret_end, weir_err *err) WEIR_MUST_CHECK;

#endif
