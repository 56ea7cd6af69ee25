/* Is one set of scores better than another, and how sure is that? Bootstrap intervals of differences between two independent samples. */
#ifndef WEIR_MODELS_COMPARE_H
#define WEIR_MODELS_COMPARE_H

#include <stdint.h>

#include "core/err.h"

/* Scores with what happened. label 0 or 1; rows whose label is NaN are left out. */
typedef struct weir_sample {
    int64_t row_count;
    const double *score; /* [row_count] */
    const double *label; /* [row_count] */
} weir_sample;

typedef struct weir_interval {
    double value; /* from the samples as they are */
    double low, high; /* percentile interval; NaN when fewer than half of the replicates counted: too few of a class to say */
} weir_interval;

typedef struct weir_comparison {
    weir_interval auc; /* ROC AUC of other − base */
    weir_interval ap; /* average precision of other − base */
    int counted; /* replicates in which both samples had both classes; the rest says nothing and is left out */
} weir_comparison;

enum { WEIR_REPLICATES_MIN = 100, WEIR_REPLICATES_MAX = 100000 };

/** Poisson bootstrap: in every replicate each row weighs as much as a Poisson(1) variate says (drawn with 16 bits of precision), which is the multinomial bootstrap
 *  without a fixed sample size. Ties count half in the AUC; average precision steps over distinct scores, as in weir_evaluate_binary.
 *  Same samples, replicates and seed, same bits. level: e.g. 0.95.
 *  O((n + m) log (n + m)) once, O(n + m) a replicate; 17 bytes a row.
 *  Errors: WEIR_EDATA when a sample lacks one of the classes or a label is neither 0 nor 1, WEIR_ENUMERIC for a score that is not finite, WEIR_EINVAL for a level or a
 *  number of replicates out of range, WEIR_ENOMEM. *ret_comparison is then untouched.
 *  Source: Chamandy, Muralidharan, Najmi, Naidu, Estimating Uncertainty for Massive Data Streams, 2012, section 2. */
weir_status weir_compare_independent(const weir_sample *base, const weir_sample *other, int replicates, uint64_t seed, double level,
                                     weir_comparison *ret_comparison, weir_err *err) WEIR_MUST_CHECK;

#endif
