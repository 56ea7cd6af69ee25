/* A registered version of an online learner, brought up to date: it learns the rows that have come since its training data ended, and becomes a new version. */
#ifndef WEIR_MODELS_CONTINUE_JOB_H
#define WEIR_MODELS_CONTINUE_JOB_H

#include "core/pg.h"
#include "models/recipe.h"

typedef struct weir_continue_job {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe; /* of the use case that the version is of */
    const char *pg_url, *objects_dir;
    const char *version; /* an alias of the pipeline ("champion"), "MODEL:VERSION", or, where the pipeline has one model, VERSION: 3, 1.2.0, latest */
    int64_t as_of_us; /* learns nothing that became known later; INT64_MAX: everything */
    const char *run_id; /* the run that this is, which the caller updates and tracks; NULL: one is started when there are rows, tracked and ended */
    const _Atomic bool *cancel; /* may be NULL */
    void (*tell)(void *context, const char *step); /* what begins; may be NULL */
    void *context;
} weir_continue_job;

/** Goes on from the version, or from the newest version that went on from it: doing it twice finds nothing new. The rows are those from the end of its training data (lineage.window) to
 *  the last day of which every label is known or overdue by a day, in the order of event time, each with what was known labels.max_delay after the last of them. The new version has the
 *  name, columns, preprocessing, hyperparameters and threshold of the old one; its lineage says what it continues, and its metrics are the prequential ones (models/learn_on.h). No alias
 *  moves. Equal rows give an equal artifact, in however many steps they are learnt.
 *
 *  *ret_detail, the caller's, is the run's detail: {"continues": {"model", "version", "digest", "algorithm", "from", "to", "as_of", "rows", "days"}, "window", "dataset", "versions" (as
 *  models/training.h has it), "prequential", "delayed", "unchanged" (metrics), "dataset_seconds", "learn_seconds", "run"}. When there is nothing new, rows is 0, "nothing_new" is a sentence
 *  that says why, and there are no versions.
 *  Errors: WEIR_EINVAL for a version that is not there, of an algorithm that cannot go on (naming it and those that can), of other features than the pipeline's file has, of one tenant, of
 *  another use case, with class weights, or that does not say where its training data ends; those of weir_training_set, weir_learn_on and the registry. *ret_detail is then NULL. */
weir_status weir_continue_job_run(const weir_continue_job *job, cJSON **ret_detail, weir_err *err) WEIR_MUST_CHECK;

#endif
