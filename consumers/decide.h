/* To train or not: the rules of triggers.policy, without database and topics. */
#ifndef WEIR_CONSUMERS_DECIDE_H
#define WEIR_CONSUMERS_DECIDE_H

#include "core/err.h"
#include "features/pipeline_decisions.h"

typedef enum weir_cause { WEIR_CAUSE_SCHEDULE, WEIR_CAUSE_DRIFT, WEIR_CAUSE_PERFORMANCE, WEIR_CAUSE_VOLUME, WEIR_CAUSE_MANUAL, WEIR_CAUSE_EVENT } weir_cause;
extern const char *const weir_cause_names[]; /* "schedule", …; NULL-terminated */

/* What is known when it is decided. */
typedef struct weir_decision_state {
    int64_t now_us, asked_us; /* when the cause came about */
    int64_t last_asked_us; /* when a run was asked for last; INT64_MIN: never */
    int runs_in_period; /* that were asked for within policy.per_us */
    bool pending; /* one that was asked for has not been fitted yet */
    bool rolling_out; /* what one made is being compared with the champion */
    double expected_drop; /* of the metric, as it is without training: in its unit, above 0 worse; NaN: unknown */
    double predictions_ahead; /* until training would come anyway; NaN: unknown */
    int64_t changed_us; /* event time from which on records look different; INT64_MIN: unknown */
    int64_t train_from_us, train_to_us; /* what a run would learn from now */
} weir_decision_state;

typedef struct weir_decision {
    bool train;
    double gain, cost; /* NaN: not weighed */
    char why[200]; /* one sentence */
} weir_decision;

/* A worker that was away, or is new, meets old events. */
#define WEIR_CAUSE_MAX_AGE_US (INT64_C(24) * 3600 * 1000000)

/** Rules, the first that applies decides: a cause older than WEIR_CAUSE_MAX_AGE_US is over; a person's word holds; a run that is pending is enough; a rollout that has not ended and
 *  policy.cool_down, for which schedules need not wait; policy.max_runs; labels of the days since the change, while less than half of what would be learnt from is of them; a gain, where
 *  drop, predictions and metric_value are known, that does not exceed the cost. gain = drop × metric_value × predictions_ahead / 1000. */
weir_decision weir_decide_training(const weir_trigger_policy *policy, weir_cause cause, const weir_decision_state *state);

/** How long a model serves that is trained now: until the next firing of a schedule that trains, at most policy.per_us. */
int64_t weir_until_training_us(const weir_triggers *triggers, int64_t now_us);

#endif
