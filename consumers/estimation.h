/* How good a version probably is on predictions whose labels have not come, and how far such estimates were off where they have. Part of the experiment worker. */
#ifndef WEIR_CONSUMERS_ESTIMATION_H
#define WEIR_CONSUMERS_ESTIMATION_H

#include "consumers/measure.h"

typedef struct weir_estimation_input {
    const weir_model_metric *metric; /* of binary tasks, else nothing is estimated */
    double threshold;
    int64_t min_rows, max_rows; /* predictions without labels: fewer are not estimated of, more are not read */
    int64_t count; /* labelled rows, the newest first */
    const double *score, *label; /* [count] */
    int64_t labelled_until_us; /* event time of the newest labelled prediction */
} weir_estimation_input;

typedef struct weir_estimation {
    int64_t rows; /* predictions without labels */
    double value; /* estimated metric of these; NaN: not estimated */
    double
        error; /* |estimated − realised| on the newer half of the labelled rows, estimated as if they had no labels, by what the older half taught; NaN: unknown */
} weir_estimation;

/** Scores of predictions that are newer than any labelled one come from the offline store; calibration is learned from all labelled rows. Errors of the database are RETRY; WEIR_ENOMEM. */
weir_status weir_estimation_make(weir_pg *pg, const weir_pipeline *pipeline, const weir_arm_measure *arm, const weir_estimation_input *input,
                                 weir_estimation *ret_estimation, weir_err *err) WEIR_MUST_CHECK;

#endif
