/* A boosted model or a forest trained as one of several: this worker has a part of the rows, and XGBoost's collective adds what all have found. Every worker ends with the same model.
 *
 * What a model depends on is the rows, the parameters, the seed and the number of workers, never on when it was interrupted:
 *   rows a tree sees       drawn here, by seed, round and the row's number among all rows, as weights of 0 or 1: the library would draw by places in a part, other rows for each number of workers
 *   columns a tree sees    the library's draws begin anew with every round, from seed and round, so that a round does not need to know of those before it
 *   thresholds             quantiles of all parts' rows, from sketches that are merged; they depend on the number of workers where a column has more values than bins
 * Scores of rows are sums over trees in order, whether they are kept between rounds or made from a checkpoint. */
#ifndef WEIR_MODELS_XGB_PART_H
#define WEIR_MODELS_XGB_PART_H

#include "models/xgb_common.h"

/* What is trained, the same for all workers but for `rank`. */
typedef struct weir_xgb_work {
    weir_xgb_params params; /* whole, but for subsample; names borrowed */
    int rounds, early_stopping_rounds; /* 0: nothing is held out */
    int checkpoint_rounds; /* after every so many */
    bool forest; /* as in weir_xgb_plan */
    bool weighted; /* rows weigh what they weigh, not 1 */
    bool samples_columns;
    double subsample, base;
    uint64_t seed;
    int threads, column_count, target_count; /* labels a row: of a forest of several classes an indicator each, else 1 */
    const char *const *column_names;
    int rank, workers;
} weir_xgb_work;

/* Rows of a part: every `workers`-th of all, from number `rank` on. */
typedef struct weir_xgb_rows {
    int64_t count;
    float *values, *label, *weight; /* [count][column_count], [count][target_count], [count] */
} weir_xgb_rows;

/* How far a training is. */
typedef struct weir_xgb_progress {
    int round; /* rounds that are done */
    int best_round; /* of early stopping: the place of the best */
    double best; /* its loss; infinite: none yet */
    double loss; /* of the last round; NaN: nothing is held out */
} weir_xgb_progress;

/* Where the collective meets. */
typedef struct weir_xgb_meeting {
    const char *address, *token;
    int port;
} weir_xgb_meeting;

typedef struct weir_xgb_part {
    const weir_xgb_work *work;
    weir_xgb_rows rows[2]; /* fitted, held out */
    weir_xgb_meeting meeting;
    weir_xgb_progress from; /* round 0: from nothing */
    const void *checkpoint; /* [checkpoint_len] the model after from.round rounds */
    size_t checkpoint_len;
    /** Called by rank 0 after a round, with the model where it is time for a checkpoint (else NULL); an error ends the training. */
    weir_status (*done_round)(void *context, const weir_xgb_progress *progress, const weir_buf *checkpoint, weir_err *err);
    void *context;
} weir_xgb_part;

/** Trains with the others and appends the model, the same bytes at all of them. A worker that is lost is WEIR_ENET, RETRY, as is every failure of the library after which this process can train no more.
 *  Blocks while it waits for the others. */
weir_status weir_xgb_part_train(const weir_xgb_part *part, weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;
/** Is a row among those that a tree of this round sees? */
bool weir_xgb_row_is_drawn(uint64_t seed, int round, int64_t row, double subsample);

#endif
