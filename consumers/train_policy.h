/* What the training service decides without its database and its processes: how many runs may run, when one is tried again, and what an attempt that ended means for its run. */
#ifndef WEIR_CONSUMERS_TRAIN_POLICY_H
#define WEIR_CONSUMERS_TRAIN_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum { WEIR_TRAIN_RUNS_MAX = 16 }; /* of one host */

/* Texts are borrowed. */
typedef struct weir_train_limits {
    const char *host; /* whose runs count together */
    int runs_host, runs_overall; /* at once; the host's at most WEIR_TRAIN_RUNS_MAX */
    int failures_max; /* attempts that end by what may pass, until the run has failed; ≥ 1 */
    int64_t retry_first_us, retry_most_us; /* waits between them */
    int64_t time_us; /* of an attempt, where the pipeline's file has no max_training_time_minutes */
    int64_t lease_us;
    int64_t memory_bytes; /* resident memory of a run, without that of files; 0: no limit */
    int threads; /* of a run, at most; 0: as many as the pipeline's file says */
    int nice; /* added to the worker's own; 0 … 19 */
} weir_train_limits;

/** How many runs more may begin, of running_host on this host and running_overall anywhere; ≥ 0. */
int weir_train_free_slots(const weir_train_limits *limits, int running_host, int running_overall);

/** The wait before the next attempt, after failures (≥ 1) of them: first · 2^(failures − 1), at most retry_most_us; of that the upper half is drawn by u in [0, 1), so that what failed
 *  together does not come back together. Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015 ("equal jitter"). */
int64_t weir_train_backoff_us(const weir_train_limits *limits, int failures, double u);

/* How an attempt ended, as its worker saw it. */
typedef struct weir_train_ending {
    bool cancelled, timed_out, stopping; /* asked to end: by a person, because its time was over, because the worker stops */
    bool reported; /* it said how it ended: with err, of code WEIR_OK when it is done. Else its process ended without a word */
    const weir_err *err;
} weir_train_ending;

typedef enum weir_train_outcome {
    WEIR_TRAIN_DONE,
    WEIR_TRAIN_TRANSIENT, /* tried again after a wait, failures_max times in all */
    WEIR_TRAIN_FAILED,
    WEIR_TRAIN_TIMED_OUT,
    WEIR_TRAIN_CANCELLED,
    WEIR_TRAIN_INTERRUPTED, /* through no fault of its own: anybody may take it at once */
    WEIR_TRAIN_LOST, /* its worker is gone; as transient, without a wait */
    WEIR_TRAIN_OUTCOMES
} weir_train_outcome;
/** As in weir.run_attempts: "done", "transient", … */
const char *weir_train_outcome_name(weir_train_outcome outcome);

/** What is done counts as done whatever was asked of it meanwhile. Trouble of a database, broker, store or disk, want of memory and a process that died may pass; data and configuration that are
 *  wrong do not. */
weir_train_outcome weir_train_judge(const weir_train_ending *ending);

/* What becomes of a run. */
typedef enum weir_train_next { WEIR_TRAIN_GOES_ON, WEIR_TRAIN_AGAIN, WEIR_TRAIN_FAILS, WEIR_TRAIN_IS_CANCELLED } weir_train_next;
/** GOES_ON: to its next step, or it has succeeded. failures: of its step so far, this one not included. */
weir_train_next weir_train_next_of(const weir_train_limits *limits, weir_train_outcome outcome, int failures);
/** Whether the outcome counts as a failure of the step. */
bool weir_train_counts(weir_train_outcome outcome);

#endif
