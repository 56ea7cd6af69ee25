/* One candidate of a pipeline, fitted by several workers together, here and now: the rows and the run are those of the train worker (models/training.h). */
#ifndef WEIR_MODELS_WORKERS_JOB_H
#define WEIR_MODELS_WORKERS_JOB_H

#include "models/distributed.h"
#include "models/recipe.h"

typedef struct weir_workers_job {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    const char *pg_url, *objects_dir;
    const char *candidate; /* NULL: the first that several workers can fit */
    weir_distributed distributed; /* its workers take the place of the candidate's own number; checkpoints are below objects_dir */
    int64_t train_from_us; /* INT64_MIN: the newest days whose labels can all be known */
    int64_t as_of_us; /* INT64_MAX: everything that is known */
    const _Atomic bool *cancel; /* may be NULL */
} weir_workers_job;

/** Fits, registers, moves the aliases that the recipe gives this candidate, and measures the version on the test days when their labels are in; otherwise the run awaits them, and the train worker does
 *  that. *ret_run is the run as weir_run_list has it; the caller deletes it.
 *  Errors: those of weir_training_fit and weir_distributed_fit; WEIR_EINVAL naming the candidates. A job that ended early goes on from its last checkpoint when it is run again. */
weir_status weir_workers_job_run(const weir_workers_job *job, cJSON **ret_run, weir_err *err) WEIR_MUST_CHECK;

#endif
