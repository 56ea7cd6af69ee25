/* The weights of an ensemble: those that make the average of its members' out-of-fold predictions best. */
#ifndef WEIR_MODELS_ENSEMBLE_WEIGHTS_H
#define WEIR_MODELS_ENSEMBLE_WEIGHTS_H

#include <stdint.h>

#include "models/task.h"

enum { WEIR_ENSEMBLE_MAX = 64 };

/* Predictions of every member for the same rows. */
typedef struct weir_ensemble_scores {
    int64_t row_count;
    int member_count;
    int output_count; /* scores a row and member */
    const double *scores; /* [member_count][row_count][output_count] */
    const double *label; /* [row_count] */
    const double *weight; /* [row_count]; NULL: 1 each */
} weir_ensemble_scores;

/** ret_weights [member_count]: none negative, sum 1, with the least squared error of a regression, or log loss of classes (probabilities below 2^−52 count as
 *  2^−52). Where several are as good, members that come first. Deterministic. O(rows · members²) times at most 50.
 *  Errors: WEIR_EDATA when no row weighs anything; WEIR_ENOMEM. */
weir_status weir_ensemble_weights(weir_task task, const weir_ensemble_scores *scores, double *ret_weights, weir_err *err) WEIR_MUST_CHECK;

#endif
