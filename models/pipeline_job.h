/* The workshop for a pipeline: rows of its history, the training section of its file, versions in its registry. */
#ifndef WEIR_MODELS_PIPELINE_JOB_H
#define WEIR_MODELS_PIPELINE_JOB_H

#include "models/training.h"
#include "models/workshop.h"

typedef struct weir_pipeline_job {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    const char *pg_url, *objects_dir;
    const char *go_on; /* id of a job to go on with; NULL: a new one. What was asked then is taken from its record */
    int64_t train_from_us; /* INT64_MIN: the newest days whose labels can all be known */
    int64_t as_of_us; /* INT64_MAX: everything that is known */
    double budget_s; /* 0: the recipe's, else half an hour */
    int trial_max; /* 0: the recipe's, else as many as the budget allows */
    const char *environment; /* whose baseline the winner must reach to become challenger; NULL: none */
    const _Atomic bool *end_search, *abort; /* as in weir_workshop */
    void (*progress)(void *context, const weir_automl_progress *progress);
    void (*watch)(void *context, const char *step, int number, int count, double seconds, const weir_err *error);
    void (*note)(void *context, const char *words); /* as in weir_workshop; may be NULL */
    void *context; /* of all three */
    /** The search can be joined from here on by who has the same rows; may be NULL. */
    void (*opened)(void *context, const weir_training *training, const char *study, const weir_trainset *train);
    void *opened_context;
} weir_pipeline_job;

/* What came of it. */
typedef struct weir_pipeline_job_end {
    char id[40];
    char folder[4096]; /* objects_dir/runs/<id> */
    cJSON *record; /* job.json; the caller deletes it */
    bool reaches_baseline; /* true where there is none */
} weir_pipeline_job_end;

/** Runs a job, or goes on with one. Where the recipe's training or test days have no rows, or too few to judge by, because most rows have one time, the test rows are drawn from all rows there are
 *  (weir_holdout_draw), which the job's record and report say. The run is one of the registry's, from "running" to "succeeded" or "failed"; the winner becomes a version of the model "<pipeline>-auto"
 *  with its test metrics, challenger of the pipeline, and champion where there is none. Alias moves keep to the baseline of the environment.
 *  Errors: those of weir_workshop_run; WEIR_ENOTFOUND when there is no job to go on with. *ret_end is filled as far as the job came. */
weir_status weir_pipeline_job_run(const weir_pipeline_job *job, weir_pipeline_job_end *ret_end, weir_err *err) WEIR_MUST_CHECK;

#endif
