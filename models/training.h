/* One training run: window → point-in-time training set → fitted candidates → registered versions → aliases; and, when the labels of the test days are in, their evaluation. */
#ifndef WEIR_MODELS_TRAINING_H
#define WEIR_MODELS_TRAINING_H

#include "features/history.h"
#include "models/distributed.h"
#include "models/recipe.h"
#include "models/registry.h"
#include "models/spec.h"
#include "models/trainset.h"

/* The periods of a run. Labels take up to `delay` to become known, so the model that is fitted at `deploy` knows every label of the training days and none of the test days. */
typedef struct weir_training_periods {
    int64_t train_from_us, train_to_us; /* fitted on [from, to) */
    int64_t deploy_us; /* = test_from: train_to + delay */
    int64_t test_to_us;
} weir_training_periods;

typedef struct weir_training {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    const char *pg_url, *objects_dir;
    const char *run_id;
    int64_t as_of_us; /* fitted on nothing that became known later; INT64_MAX: everything */
    const _Atomic bool *cancel; /* may be NULL; once true, what is under way ends with RETRY before its next step */
    const _Atomic bool *time_over; /* may be NULL; true when cancel is because of max_training_time_minutes: candidates that were fitted before count */
    void (*tell)(void *context, const char *what, int done, int of); /* what begins, after `done` of `of` steps; may be NULL */
    void *context;
    weir_training_periods window;
    const weir_distributed *distributed; /* of candidates with "workers"; NULL: processes of this host, with checkpoints below objects_dir */
    bool tenants; /* sets know the tenant of every row */
} weir_training;

/** Windows of the recipe's lengths from train_from; INT64_MIN: the newest ones whose test days' labels can all be known. WEIR_ENOTFOUND when there is no data. */
weir_status weir_training_window(const weir_pipeline *pipeline, const weir_recipe *recipe, const char *pg_url, int64_t train_from_us,
                                 weir_training_periods *ret_window, weir_err *err) WEIR_MUST_CHECK;
/** Windows of the recipe's lengths for a model of now: fitted on the newest days whose labels can all be known, tested on days that are still to come. WEIR_ENOTFOUND when there
 *  is no data, or no label. */
weir_status weir_training_window_newest(const weir_pipeline *pipeline, const weir_recipe *recipe, const char *pg_url, weir_training_periods *ret_window,
                                        weir_err *err) WEIR_MUST_CHECK;
/** The newest periods of which everything is known before known_us. */
weir_training_periods weir_training_periods_until(const weir_recipe *recipe, int64_t known_us);
/** How the recipe's candidates are fitted. Borrowed from training. */
weir_fit_options weir_training_fit_options(const weir_training *training);
/** The threshold of a candidate of a binary task by the recipe's rule; where that looks at scores, out of fold on the rows of the training set, never on the test days. Errors: those of
 *  weir_crossval_run and weir_threshold_choose. */
weir_status weir_training_threshold(const weir_training *training, const weir_candidate *candidate, const weir_trainset *set, double *ret_threshold,
                                    weir_err *err) WEIR_MUST_CHECK;
/** The rows of training->window: those to fit on, with what was known at deploy (and by as_of); or, test, those of the test days with everything that is known since, without the rows that
 *  exclude_known leaves out. Errors: those of the history and of weir_trainset_make; WEIR_ENOTFOUND when no row has a label. */
weir_status weir_training_set(const weir_training *training, bool test, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
/** Adds to metrics all of the task that scores (as weir_model_predict gives them, of all rows of the set) have there, and "rows". threshold: of a binary task. */
weir_status weir_training_measure(const weir_training *training, const weir_trainset *set, const double *scores, double threshold, cJSON *metrics,
                                  weir_err *err) WEIR_MUST_CHECK;
/** Fits every candidate, writes artifacts, registers versions, moves aliases (the champion only where there is none). Merges into detail: window, dataset, versions[], durations, and
 *  not_fitted[] when max_training_time_minutes were over before the last candidate. Who sets time_over then stops the candidate that is under way; were it the first, the error is its. */
weir_status weir_training_fit(const weir_training *training, weir_pg *pg, cJSON *detail, weir_err *err) WEIR_MUST_CHECK;
/** Are all events of the test days there and labelled, or is the last label overdue by a day? */
weir_status weir_training_labels_complete(const weir_training *training, bool *ret_complete, weir_err *err) WEIR_MUST_CHECK;
/** Scores the test days with the versions named in detail and stores their metrics with them. */
weir_status weir_training_evaluate(const weir_training *training, weir_pg *pg, cJSON *detail, weir_err *err) WEIR_MUST_CHECK;

#endif
