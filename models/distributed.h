/* One model of trees trained by several processes, on one host or several, through XGBoost's collective.
 *
 * The leader has the rows, prepared, and every part gets its own: of N workers, worker k has rows k, k + N, k + 2N, … of those that are fitted, and of those that are held out. Before anything is trained
 * the parts' counts and digests must add up to those of all rows. The leader does not train: it starts processes of this program, gives them their parts, keeps checkpoints, and begins anew from the
 * last one, with all rows dealt out again, when a worker is lost. What comes out is the body of an ordinary model, the same bytes whether workers were lost or not (models/xgb_part.h).
 *
 * Workers of other hosts join by address and token (`weir train --join`). The collective itself knows no passwords: whoever can reach the workers' ports can disturb a training, so it belongs into a
 * network of one's own; by default everything listens at 127.0.0.1. */
#ifndef WEIR_MODELS_DISTRIBUTED_H
#define WEIR_MODELS_DISTRIBUTED_H

#include <stdbool.h>

#include "models/tracker.h"
#include "models/xgb_common.h"

enum { WEIR_DISTRIBUTED_MAX = WEIR_TRACKER_WORKERS_MAX, WEIR_DISTRIBUTED_TOKEN_MAX = WEIR_TRACKER_TOKEN_MAX };
#define WEIR_DISTRIBUTED_TOKEN_VARIABLE "WEIR_TRAINING_TOKEN"

typedef enum weir_distributed_what {
    WEIR_DISTRIBUTED_LISTENS, /* number: the port, words: the address */
    WEIR_DISTRIBUTED_STARTED, /* number: the process, a child */
    WEIR_DISTRIBUTED_JOINED, /* number: the rank, words: from where */
    WEIR_DISTRIBUTED_TRAINS, /* all parts are loaded and add up; number: the round that it begins after */
    WEIR_DISTRIBUTED_ROUND, /* number: rounds that are done */
    WEIR_DISTRIBUTED_CHECKPOINT, /* number: the same; words: "found" of an earlier leader's, or why it is in memory only; else NULL */
    WEIR_DISTRIBUTED_LOST, /* words: why; number: how often by now */
} weir_distributed_what;

/* How fits are distributed. Members that are not named are zero, which means what is said in brackets. */
typedef struct weir_distributed {
    int workers; /* 1 to WEIR_DISTRIBUTED_MAX */
    int remote; /* of them, how many come from other hosts; the others are started here [none] */
    const char *address; /* numeric, of this host, at which leader, tracker and workers meet [127.0.0.1] */
    int port; /* of the leader [any] */
    const char *token; /* what who joins must know, letters and digits [drawn] */
    const char *program; /* that is started as PROGRAM train --join ADDRESS:PORT --wait 0s with WEIR_TRAINING_TOKEN [this one] */
    const char *objects_dir; /* checkpoints are also kept below it, so that the same fit goes on after a crash of the leader [in memory only] */
    int checkpoint_rounds; /* [10] */
    int restart_max; /* [3]; -1: none */
    int wait_s; /* for all workers to come [120] */
    void (*tell)(void *context, weir_distributed_what what, int64_t number, const char *words); /* [nobody] */
    void *context;
} weir_distributed;

/** Fits of models of trees in this thread are distributed from now on; NULL: they run in this process. Borrowed until the next call. */
void weir_distributed_set(const weir_distributed *how);
const weir_distributed *weir_distributed_now(void); /* NULL: not distributed */

/** Can workers fit it together? Boosted trees and forests; not the objectives absolute_error and quantile, whose leaves are quantiles of all rows. name is an algorithm's, params its hyperparameters or NULL.
 *  Errors: WEIR_EINVAL, which says what can be. */
weir_status weir_distributed_check(const char *algorithm, const cJSON *params, weir_err *err) WEIR_MUST_CHECK;

/* What is fitted; everything is borrowed. */
typedef struct weir_distributed_job {
    const weir_xgb_plan *plan;
    const weir_xgb_params *params; /* the plan's, whole */
    double base;
    const weir_matrix *train;
    int64_t fitted; /* rows before this are fitted, the others held out */
    uint64_t seed;
    int threads; /* of all workers together; each has one at least */
} weir_distributed_job;

/** Fits as weir_distributed_now() says, and appends the body. Looks at models/interrupt.h; its processes end with it, whatever the end.
 *  Errors: WEIR_EINVAL for what cannot be distributed; WEIR_EDATA when workers outnumber rows; WEIR_ENET when an address cannot be had, workers do not come or are lost too often (RETRY); WEIR_ETIMEOUT, RETRY,
 *  when it was asked to stop; WEIR_EINTERNAL when parts do not add up, or models are not equal. */
weir_status weir_distributed_fit(const weir_distributed_job *job, weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;

/* How a part ended. */
typedef enum weir_part_end {
    WEIR_PART_DONE,
    WEIR_PART_ANEW, /* the leader is not through: come again, in a new process */
} weir_part_end;
/** A part: joins the leader at "ADDRESS:PORT" and trains what it is given. This process then ends: the library's collective cannot be begun again after it broke. wait_s: how long to try to reach the leader.
 *  Where the leader goes away while the library waits for others, the process exits by itself, with code WEIR_PART_EXIT_ANEW.
 *  Errors: WEIR_EINVAL (address), WEIR_ENET (no leader), WEIR_EDENIED (token), WEIR_EDATA (the leader said something else than expected). */
weir_status weir_distributed_part(const char *leader, const char *token, int wait_s, weir_part_end *ret_end, weir_err *err) WEIR_MUST_CHECK;
enum { WEIR_PART_EXIT_ANEW = 75 };

#endif
