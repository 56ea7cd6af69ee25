/* Scores blocks of rows with several threads while more are read and those before are written: one thread reads, `threads` score, the caller's thread takes the
 * blocks back in their order.
 *
 *     next ──> read ──> scored by whichever thread is free ──> take, in the order of next
 *
 * Knows no files: where rows come from and go to is the caller's. */
#ifndef WEIR_MODELS_BATCH_SCORER_H
#define WEIR_MODELS_BATCH_SCORER_H

#include "models/model.h"

enum { WEIR_BATCH_THREADS_MAX = 256, WEIR_BATCH_REASON_MAX = 200 };

/* What was scored. Borrowed until take returns. */
typedef struct weir_batch_scores {
    int64_t row_count;
    const double *scores; /* [row_count][output_count]; NaN in a row that could not be scored */
    char *const *reasons; /* [row_count] why it could not; NULL: it was scored */
    int64_t rejected; /* rows with a reason */
} weir_batch_scores;

typedef struct weir_batch_ops {
    /** The next block; *ret_block NULL past the end. Called by one thread. */
    weir_status (*next)(void *context, void **ret_block, int64_t *ret_row_count, weir_err *err);
    /** The block's rows [row_count][column_count], NaN is missing. A row that is none is told by weir_batch_reject. Called by several threads, for different blocks. */
    weir_status (*fill)(void *context, void *block, double *rows, char **reasons, weir_err *err);
    /** Takes scores in the order of the blocks. Called by the thread of weir_batch_score. */
    weir_status (*take)(void *context, void *block, const weir_batch_scores *scores, weir_err *err);
    /** Frees a block, in any thread. */
    void (*drop)(void *context, void *block);
} weir_batch_ops;

typedef struct weir_batch_how {
    int threads; /* that score, from 1 */
    bool infinite_is_missing; /* else a row with an infinite value cannot be scored */
    const _Atomic bool *cancel; /* may be NULL */
} weir_batch_how;

/** Notes why a row cannot be scored; the first reason stays. false: no memory. */
bool weir_batch_reject(char **reasons, int64_t row, const char *format, ...) WEIR_PRINTF(3, 4);

/** Scores all blocks. At most 2 · threads + 2 blocks are in memory at once. A row is the same bits whatever the blocks and threads. An error of any of them stops all; of several the first is
 *  told. Errors: those of ops and of weir_model_predict, but rows that it rejects are rejected one by one; WEIR_ETIMEOUT when cancelled; WEIR_EIO when there is no thread; WEIR_ENOMEM. */
weir_status weir_batch_score(weir_model *model, const weir_batch_ops *ops, void *context, const weir_batch_how *how, weir_err *err) WEIR_MUST_CHECK;

#endif
