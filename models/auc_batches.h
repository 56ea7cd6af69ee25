/* The difference of two models' ROC AUC as a stream of values for models/sequential.h: one unbiased difference for every batch of rows that is full.
 *
 * An AUC is about pairs of rows, so its running estimate is no mean of independent values. Disjoint batches are: given its labels, a batch's AUC has the mean
 * that the AUC of all rows has, and lies in [0, 1]. The price: pairs across batches are not looked at (near an AUC of 0.7 that is a tenth more variance with 8
 * rows of each class, a twentieth with 16), rows of the more frequent class beyond WEIR_AUC_ROWS_MAX of a batch are left out, and nothing is said before a
 * batch is full. */
#ifndef WEIR_MODELS_AUC_BATCHES_H
#define WEIR_MODELS_AUC_BATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum { WEIR_AUC_ROWS_MIN = 2, WEIR_AUC_ROWS_MAX = 64 };

/* Plain data of fixed size, no pointers; zero-initialise and set rows_wanted. */
typedef struct weir_auc_batches {
    int32_t rows_wanted; /* of each class (and arm), WEIR_AUC_ROWS_MIN to _MAX: a batch is full when all have as many */
    int32_t count[2][2]; /* [arm][class]; paired rows count in both arms */
    int64_t left_out; /* rows of a class that had no room in their batch */
    double scores[2][2][WEIR_AUC_ROWS_MAX];
} weir_auc_batches;

/** A row that only the arm it was routed to scored. label 0 or 1. *ret_full: the batch is full, *ret_difference is AUC of challenger − champion in [−1, 1], and the
 *  next batch begins. Ties count half. O(1), O(WEIR_AUC_ROWS_MAX²) when full.
 *  Errors: WEIR_EDATA for a label; WEIR_ENUMERIC for a score that is not finite; WEIR_EINVAL for rows_wanted or counts out of range. */
weir_status weir_auc_add(weir_auc_batches *batches, bool challenger, double score, double label, bool *ret_full, double *ret_difference,
                         weir_err *err) WEIR_MUST_CHECK;

/** A row that both scored (shadow): less variance. Do not mix with weir_auc_add. */
weir_status weir_auc_add_paired(weir_auc_batches *batches, double champion_score, double challenger_score, double label, bool *ret_full, double *ret_difference,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
