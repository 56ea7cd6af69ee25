/* Hard guards: what a scorer watches of its challenger itself, so that harm ends at once and waits for nobody. */
#ifndef WEIR_CONSUMERS_ROLLOUT_GUARD_H
#define WEIR_CONSUMERS_ROLLOUT_GUARD_H

#include "core/err.h"
#include "features/pipeline_decisions.h"

/* How the scoring of some rows went. */
typedef struct weir_guard_rows {
    int64_t rows, failed, nan; /* failed + nan ≤ rows */
    int64_t took_us; /* for all of them */
} weir_guard_rows;

/** How a call of weir_model_predict for `count` rows of one score each went. Scores that were 0 before and are no number now are `nan`, also where they are why it failed; a call that
 *  failed for another reason failed for all rows. */
weir_guard_rows weir_guard_rows_of(weir_status status, const double *scores, int64_t count, int64_t took_us);

/* The newest rows of an arm: rings of the same length. */
typedef struct weir_guard_window {
    uint8_t *kind; /* [capacity] */
    int64_t *took_ns; /* [capacity] */
    int64_t count, at, failed, nan, sum_ns;
} weir_guard_window;

/* One thread at a time. */
typedef struct weir_guard {
    const weir_rollout_def *def; /* borrowed */
    weir_guard_window champion, challenger;
} weir_guard;

weir_status weir_guard_init(weir_guard *guard, const weir_rollout_def *def, weir_err *err) WEIR_MUST_CHECK;
void weir_guard_done(weir_guard *guard);
/** Forgets all rows: another challenger. */
void weir_guard_reset(weir_guard *guard);
/** Takes in rows of one arm; of more than rollout.guards.rows the last count. Returns the guard that is broken now, "errors", "nan" or "latency", or NULL. Rates are of
 *  rollout.guards.rows rows also while there are fewer, so one bad row of a few breaks nothing that allows one; the latency is looked at when both arms have that
 *  many. O(rows), no allocation. */
const char *weir_guard_add(weir_guard *guard, bool challenger, const weir_guard_rows *rows);

#endif
