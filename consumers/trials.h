/* Trials of a search on several machines: who leads a search invites over weir.training.trials, and train workers that are idle build the same training set and run trials of
 * its study (models/automl.h) until it is over.
 *
 *   leader ── invitation ──> weir.training.trials ──> every train worker (no group: all hear of it)
 *      └────────── study in PostgreSQL: claims, leases, reports, results ──────────┘
 *
 * An invitation is no order: it may be heard by nobody, twice or late, and what a trial is and who runs it is decided in the study alone. */
#ifndef WEIR_CONSUMERS_TRIALS_H
#define WEIR_CONSUMERS_TRIALS_H

#include "consumers/events.h"
#include "core/worker.h"
#include "models/automl.h"
#include "models/recipe.h"

/* Texts are borrowed. */
typedef struct weir_trial_invitation {
    const char *study, *pipeline, *run_id, *target, *dataset_digest;
    weir_task task;
    int64_t from_us, to_us;
    int64_t as_of_us; /* INT64_MAX: everything */
    int64_t label_delay_us;
} weir_trial_invitation;

/** For weir_automl_settings.opened: before the study is open nobody can join it. Sends an invitation and waits until it is delivered. pipeline: whose training section it is about. */
weir_status weir_trials_invite(weir_registry *registry, weir_producer *producer, const weir_pipeline *pipeline, const weir_trial_invitation *invitation,
                               weir_err *err) WEIR_MUST_CHECK;

/* How a worker comes to the rows that an invitation is about. */
typedef struct weir_trials_rows {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    const char *pg_url, *objects_dir;
} weir_trials_rows;
/** The rows of a pipeline's history. Leader and helpers must come to the same: digests are compared. */
weir_status weir_trials_read_rows(const weir_trials_rows *rows, const weir_trial_invitation *invitation, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_trial_helper weir_trial_helper;

/** Hears invitations for a pipeline from now on, those of before that are still open included. recipe and pipeline are borrowed. */
weir_status weir_trial_helper_new(weir_worker *worker, const weir_pipeline *pipeline, const weir_recipe *recipe, weir_registry *registry,
                                  weir_trial_helper **ret_trials, weir_err *err) WEIR_MUST_CHECK;
/** Looks for invitations, and helps in a thread of its own while idle; gives its trial back once it is not. Never waits. */
weir_status weir_trial_helper_tick(weir_trial_helper *trials, bool idle, weir_err *err) WEIR_MUST_CHECK;
/** Ends helping. False: the thread did not stop in time; what it uses must stay until the process ends. */
bool weir_trial_helper_free(weir_trial_helper *trials, int drain_ms) WEIR_MUST_CHECK;

#endif
