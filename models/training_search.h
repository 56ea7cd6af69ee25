/* The search that a training file asks for: every point of the grids of its models, or some of them, then ensembles of the best. */
#ifndef WEIR_MODELS_TRAINING_SEARCH_H
#define WEIR_MODELS_TRAINING_SEARCH_H

#include "models/automl.h"
#include "models/training_file.h"

/* Members that are not named are zero, which means what is said in brackets. */
typedef struct weir_training_search {
    int threads; /* fits at a time where the file says parallel_training [processors]; the results do not depend on it */
    double budget_s; /* after which the best so far is the result [max_training_time_minutes] */
    const char
        *folder; /* of trials.jsonl: points that ended, found again by a search that goes on; the caller sees to it that file and rows are the same [none] */
    const _Atomic bool *cancel; /* once true the search ends with the best so far [never] */
    void (*progress)(void *context, const weir_automl_progress *progress); /* from one thread at a time [nobody is told] */
    void *progress_context;
} weir_training_search;

/** Judges every model of the file by its primary metric: over the folds of sets->train, or, where cross_validation is not enabled, on sets->validation. Each
 *  model gets its first point before any gets its second. After max_training_time_minutes, or when cancelled, fits that are under way stop and the best so
 *  far are the result; ended is "space" (all was tried), "budget" or
 *  "cancelled". A point that cannot be fitted is counted as failed. Specs have the name that the file gives their model.
 *  Errors: WEIR_ENOTFOUND when nothing could be judged, with the last reason; WEIR_EDATA for folds that the rows do not give. */
weir_status weir_training_file_search(const weir_training_file *file, const weir_training_sets *sets, const weir_training_search *search,
                                      weir_leaderboard *ret_board, weir_err *err) WEIR_MUST_CHECK;
/** The folds that the file's cross_validation names. */
weir_split weir_training_file_split(const weir_training_file *file, weir_task task);
/** A metric of scores [rows][target_count], or of classes as models give them. each [target_count] may be NULL; *ret_mean is over the targets.
 *  Errors: WEIR_EDATA when it has no value; WEIR_ENOMEM. */
weir_status weir_training_file_measure(const weir_model_metric *metric, const weir_trainset *set, const double *scores, double *each, double *ret_mean,
                                       weir_err *err) WEIR_MUST_CHECK;

#endif
