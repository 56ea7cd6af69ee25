/* One model for all tenants and one for each, of one use case: compared, fitted on the training days, measured on the test days, registered. */
#ifndef WEIR_MODELS_TENANT_JOB_H
#define WEIR_MODELS_TENANT_JOB_H

#include "core/mem.h"
#include "models/recipe.h"

typedef struct weir_tenant_job {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    const char *pg_url, *objects_dir;
    const char *candidate; /* name of what is fitted; NULL: the recipe's first */
    int64_t train_from_us; /* INT64_MIN: the newest days whose labels can all be known */
    int64_t as_of_us; /* INT64_MAX: everything that is known */
    const _Atomic bool *cancel; /* may be NULL */
    void (*tell)(void *context, const char *step); /* what begins; may be NULL */
    void *context;
} weir_tenant_job;

/** Compares (models/shared_models.h), then registers the shared model as "<pipeline>-<use case>" and the tenants' own as "<pipeline>-<use case>-<tenant>", each
 *  fitted on all its training rows. Each is a run of the experiment that training.experiment names (tenant "all" for the shared one), with parameters, metrics,
 *  rows, and the tags tenant_id, use_case, training_mode (shared, tenant), feature_count, trained_until, which its version carries too. No alias moves: a
 *  recommendation is a person's to follow. A tenant whose own model cannot be fitted has a failed run that says why.
 *  *ret_json is what weir_shared_json gives, with {"pipeline", "use_case", "candidate", "window", "rows", "test_rows", "models": [{"tenant", "training_mode",
 *  "model", "version", "experiment", "run", "rows", "test_metrics", "error"}]}; *text the table for people, appended.
 *  Errors: those of weir_training_set, weir_shared_compare and the registry; WEIR_EINVAL naming the candidates. */
weir_status weir_tenant_job_run(const weir_tenant_job *job, cJSON **ret_json, weir_buf *text, weir_err *err) WEIR_MUST_CHECK;

#endif
