/* One rollout as a state machine: what evidence and commands make of it, without database and topics.
 *
 *            start                       one is better, at the last step
 *              │  ┌─ resume ── paused      │
 *              v  v             ^          v
 *           running ── pause ───┘──────> promoted ── rollback ──┐
 *              ├── all worse (also while paused), guard, rollback ─> rolled_back
 *              ├── abort ──> aborted
 *              └── patience ──> kept
 *
 * One champion and up to WEIR_CHALLENGERS_MAX challengers, each compared with the champion by itself: by the outcomes that either answered, and before that, where it begins in
 * shadow, by pairs: both scored the request, the champion answered. A step raises shares when min_rows outcomes of each challenger at its present share are known, but not of one that
 * looks worse. A challenger that is worse is stopped; what it had goes back to the champion.
 *
 * Only promotion and stopping are claims, and only they are made by anytime-valid tests (models/sequential.h). Of n challengers each has alpha / n (Bonferroni: whatever they have to do
 * with each other, the chance of any false promotion or stop is at most alpha), half for either claim; one that began in shadow shares the half for "worse" between both its tests.
 *
 * With a context the claims are still about all requests together. They are acted on where no bucket speaks against them: a challenger is not stopped while it is the best of a bucket, none is
 * promoted while another arm is, with a posterior probability above 0.95 and when the bucket has min_rows / buckets outcomes. That is less often than claims are made, so the bound holds. */
#ifndef WEIR_CONSUMERS_ROLLOUT_STATE_H
#define WEIR_CONSUMERS_ROLLOUT_STATE_H

#include "consumers/split.h"
#include "features/pipeline_decisions.h"
#include "models/bandit.h"
#include "models/offpolicy.h"
#include "models/sequential.h"

typedef enum weir_rollout_state {
    WEIR_ROLLOUT_RUNNING,
    WEIR_ROLLOUT_PAUSED,
    WEIR_ROLLOUT_PROMOTED,
    WEIR_ROLLOUT_ROLLED_BACK,
    WEIR_ROLLOUT_ABORTED,
    WEIR_ROLLOUT_KEPT,
    WEIR_ROLLOUT_STATES
} weir_rollout_state;
extern const char *const weir_rollout_state_names[]; /* "running", "paused", …; NULL-terminated */

typedef enum weir_rollout_command {
    WEIR_ROLLOUT_PAUSE,
    WEIR_ROLLOUT_RESUME,
    WEIR_ROLLOUT_PROMOTE,
    WEIR_ROLLOUT_ABORT,
    WEIR_ROLLOUT_ROLLBACK,
    WEIR_ROLLOUT_COMMANDS
} weir_rollout_command;
extern const char *const weir_rollout_command_names[]; /* "pause", …; NULL-terminated. "start" makes a rollout, so it is none */

/* Aliases of the challengers, and the arms that their predictions name: "challenger", "challenger-2", … "challenger-7". */
extern const char *const weir_challenger_names[WEIR_CHALLENGERS_MAX];

enum {
    WEIR_ROLLOUT_SUMS_BYTES = 88,
    WEIR_ROLLOUT_ARM_BYTES = WEIR_ARMS_TEST_BYTES + 2 * WEIR_EVIDENCE_BYTES + WEIR_ROLLOUT_SUMS_BYTES,
    WEIR_ROLLOUT_REASON_MAX = 256,
    WEIR_ROLLOUT_SHADOW_STEP = -1,
    WEIR_ROLLOUT_NOBODY = -1,
    WEIR_ROLLOUT_NO_BUCKET = -1,
    WEIR_ROLLOUT_BUCKET_BYTES = 8 * (WEIR_CHALLENGERS_MAX + 3 * WEIR_BANDIT_ARMS_MAX),
    WEIR_ROLLOUT_BUCKETS_BYTES = WEIR_BUCKETS_MAX * WEIR_ROLLOUT_BUCKET_BYTES
};

/* The chance that a challenger whose split is right ever pauses the rollout because of its split. */
#define WEIR_ROLLOUT_RATIO_ALPHA 0.001

/* One challenger. */
typedef struct weir_rollout_arm {
    double share; /* of the traffic; with a context: of what comes if it falls into the buckets as the outcomes did that were known when shares moved last */
    bool stopped; /* answers nobody any more; the others go on */
    double step_rows; /* outcomes that were drawn at the present share */
    double left_out; /* outcomes whose arm was not drawn: the champion answered for a challenger that failed, or an arm had all the traffic */
    weir_arms_test test; /* losses of the champion and of this challenger, of requests that either was drawn for */
    weir_evidence ratio; /* (challenger ? 1 : 0) − propensity of the same requests: mean 0 when both got their shares */
    weir_evidence pairs; /* shadow: the champion's loss − the challenger's, of the same request */
    weir_offpolicy all; /* the loss if it had all the traffic, by every request of the rollout */
} weir_rollout_arm;

/* Requests whose context has one of some values. Doubles alone: so it is written. */
typedef struct weir_rollout_bucket {
    double shares[WEIR_CHALLENGERS_MAX]; /* of its requests */
    weir_bandit earned; /* rewards; arm 0 is the champion, 1 + a is challenger a */
} weir_rollout_bucket;

typedef struct weir_rollout {
    weir_rollout_state state;
    int step; /* index into the steps; WEIR_ROLLOUT_SHADOW_STEP before them */
    bool shadow; /* it began, or may still be, in shadow */
    int64_t started_us;
    int winner; /* which challenger was promoted; WEIR_ROLLOUT_NOBODY */
    int arm_count; /* of challengers, stopped ones included */
    weir_rollout_arm arms[WEIR_CHALLENGERS_MAX];
    weir_offpolicy champion; /* its loss if it had all the traffic */
    int bucket_count; /* 0: every request alike */
    weir_rollout_bucket buckets[WEIR_BUCKETS_MAX];
} weir_rollout;

/* What became of a rollout. */
typedef struct weir_rollout_change {
    const char *type; /* "stepped", "routed", "stopped", "paused", "resumed", "promoted", "rolled_back", "aborted", "kept"; NULL: nothing */
    char reason[WEIR_ROLLOUT_REASON_MAX]; /* why, or why a command was refused */
} weir_rollout_change;

/* What answered, and the label. */
typedef struct weir_rollout_score {
    double score;
    bool decision; /* by the version's own threshold; for the loss "error" */
} weir_rollout_score;

/* A prediction that was served, and its label. */
typedef struct weir_rollout_row {
    int arm; /* which challenger answered; WEIR_ROLLOUT_NOBODY: the champion */
    int bucket; /* of its context; WEIR_ROLLOUT_NO_BUCKET, or one that the rollout has not: evidence, but of no bucket */
    double champion_share, shares[WEIR_CHALLENGERS_MAX]; /* as they were when the arm was drawn; champion_share 1: it was not drawn */
    weir_rollout_score answer;
    double label;
} weir_rollout_row;

/* A request that the champion answered and a challenger scored in its shadow. */
typedef struct weir_rollout_pair {
    int arm;
    weir_rollout_score champion, challenger;
    double label;
} weir_rollout_pair;

/** Bounds of a loss, margins and method by the pipeline file. log_loss, brier and error are tested by betting within their bounds (log_loss clipped at ln 1000);
 *  squared_error and absolute_error have none, so by the asymptotic test after 100 effective outcomes of each arm. */
weir_arms_settings weir_rollout_settings(const weir_rollout_def *def);
/** The same of the differences of pairs. */
weir_evidence_settings weir_rollout_pair_settings(const weir_rollout_def *def);
/** Errors: WEIR_EDATA for a score, label or loss that is not finite. */
weir_status weir_rollout_loss(weir_loss loss, const weir_rollout_score *answer, double label, double *ret_loss, weir_err *err) WEIR_MUST_CHECK;

/** At the first step, or before it in shadow. 1 ≤ challengers ≤ WEIR_CHALLENGERS_MAX. Errors: WEIR_EINVAL for a margin that no loss can reach, or a number of challengers. */
weir_status weir_rollout_begin(const weir_rollout_def *def, int challengers, bool shadow, int64_t now_us, weir_rollout *ret_rollout,
                               weir_err *err) WEIR_MUST_CHECK;
/** Feeds one outcome; in the order in which they become known, each once. Errors: WEIR_EDATA, WEIR_ENUMERIC for a value that is no number; nothing is changed then, and
 *  who calls pauses the rollout. */
weir_status weir_rollout_add(const weir_rollout_def *def, weir_rollout *rollout, const weir_rollout_row *row, weir_err *err) WEIR_MUST_CHECK;
/** The same of a request that a challenger scored in shadow. */
weir_status weir_rollout_add_pair(const weir_rollout_def *def, weir_rollout *rollout, const weir_rollout_pair *pair, weir_err *err) WEIR_MUST_CHECK;
/** What follows from the evidence, at most one change a call; rollout is changed accordingly. */
weir_rollout_change weir_rollout_decide(const weir_rollout_def *def, weir_rollout *rollout, int64_t now_us);
/** Thompson sampling: shares by what was fed so far, of those that are not stopped, each at least the floor; with a context, of each bucket by its own outcomes. A function of the evidence
 *  alone. The change "routed" when a share (of any bucket) moved by 0.01 or more; else nothing is changed. Errors: of weir_bandit_propensities. */
weir_status weir_rollout_route(const weir_rollout_def *def, weir_rollout *rollout, weir_rollout_change *ret_change, weir_err *err) WEIR_MUST_CHECK;
/** What follows from a command; a refused one changes nothing. arm: the challenger that is meant, WEIR_ROLLOUT_NOBODY for all of them: promoting wants one where several are compared; one
 *  of several that is rolled back is "stopped". */
weir_rollout_change weir_rollout_do(weir_rollout *rollout, weir_rollout_command command, int arm, const char *reason);
/** Pauses a running rollout for a reason of the worker's: something that it would judge by failed. */
weir_rollout_change weir_rollout_hold(weir_rollout *rollout, const char *reason);

/** The e-values at which a challenger of this rollout is promoted, and stopped. */
double weir_rollout_better_needed(const weir_rollout_def *def, const weir_rollout *rollout);
double weir_rollout_worse_needed(const weir_rollout_def *def, const weir_rollout *rollout);
/** The greatest e-value so far against "the challenger and the champion got their shares". */
double weir_rollout_ratio_e(const weir_rollout_arm *arm);
/** Challengers that are not stopped. */
int weir_rollout_compared(const weir_rollout *rollout);
/** Of the traffic. */
double weir_rollout_champion_share(const weir_rollout *rollout);
/** Of a bucket's requests: what an arm (WEIR_ROLLOUT_NOBODY: the champion) is to get, how many outcomes it has had, and their mean loss, NaN before there is one. */
double weir_rollout_bucket_share(const weir_rollout *rollout, int bucket, int arm);
double weir_rollout_bucket_outcomes(const weir_rollout *rollout, int bucket, int arm);
double weir_rollout_bucket_loss(const weir_rollout_def *def, const weir_rollout *rollout, int bucket, int arm);
/** The first bucket that speaks against the promotion of a challenger, or else against stopping it; WEIR_ROLLOUT_NO_BUCKET: none. Up to 20 ms for each bucket. */
int weir_rollout_opposing_bucket(const weir_rollout_def *def, const weir_rollout *rollout, int challenger, bool promotion);

static inline bool weir_rollout_active(const weir_rollout *rollout) {
    return rollout->state == WEIR_ROLLOUT_RUNNING || rollout->state == WEIR_ROLLOUT_PAUSED;
}
/** Whether a challenger is to score beside the champion. */
static inline bool weir_rollout_shadows(const weir_rollout *rollout, int arm) {
    return weir_rollout_active(rollout) && rollout->shadow && !rollout->arms[arm].stopped && rollout->arms[arm].share == 0;
}

/* test, ratio and pairs, one behind the other, as models/sequential.h encodes them, then the doubles of `all`, little-endian, in order. */
void weir_rollout_encode(const weir_rollout_arm *arm, uint8_t bytes[WEIR_ROLLOUT_ARM_BYTES]);
/** Sets these four. Bytes that end after ratio, as they were written before there were pairs, leave the others as they are. Errors: WEIR_EDATA. */
weir_status weir_rollout_decode(const uint8_t *bytes, size_t len, weir_rollout_arm *arm, weir_err *err) WEIR_MUST_CHECK;
void weir_rollout_encode_sums(const weir_offpolicy *sums, uint8_t bytes[WEIR_ROLLOUT_SUMS_BYTES]);
/** Errors: WEIR_EDATA for a length, or a number that is not finite. */
weir_status weir_rollout_decode_sums(const uint8_t *bytes, size_t len, weir_offpolicy *ret_sums, weir_err *err) WEIR_MUST_CHECK;
/** Of each bucket its shares, counts, means and deviations, little-endian doubles. Returns how many bytes that are: 0 without a context. */
size_t weir_rollout_encode_buckets(const weir_rollout *rollout, uint8_t bytes[WEIR_ROLLOUT_BUCKETS_BYTES]);
/** Sets bucket_count and buckets. Errors: WEIR_EDATA for a length, or a number that is not finite. */
weir_status weir_rollout_decode_buckets(const uint8_t *bytes, size_t len, weir_rollout *rollout, weir_err *err) WEIR_MUST_CHECK;

#endif
