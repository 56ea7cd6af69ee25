/* Points of a search as they end, one JSON line each, so that a search that was interrupted does not judge them again. Failed points are not kept. */
#ifndef WEIR_MODELS_TRAINING_TRIALS_H
#define WEIR_MODELS_TRAINING_TRIALS_H

#include "models/automl_internal.h"

typedef struct weir_training_trials {
    char path[4096]; /* empty: nothing is kept */
    cJSON *known; /* those of an earlier process */
} weir_training_trials;

/** Reads folder/trials.jsonl, if it is there; a last line that was cut off is dropped from the file. folder NULL: nothing is kept.
 *  Errors: WEIR_EIO, WEIR_ENOMEM. */
weir_status weir_training_trials_open(const char *folder, weir_training_trials *ret_trials, weir_err *err) WEIR_MUST_CHECK;
void weir_training_trials_done(weir_training_trials *trials);
/** What a spec was worth. False: it is not known, or was judged over another number of folds. Threads may call it at once. */
bool weir_training_trials_recall(const weir_training_trials *trials, const cJSON *spec, int fold_count, weir_contender *ret_contender,
                                 double *ret_test_to_train);
/** Appends one; one thread at a time. Errors: WEIR_EIO, WEIR_ENOMEM. */
weir_status weir_training_trials_keep(const weir_training_trials *trials, const weir_contender *contender, int fold_count, double test_to_train,
                                      weir_err *err) WEIR_MUST_CHECK;

#endif
