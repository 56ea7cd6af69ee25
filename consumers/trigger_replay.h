/* Retraining when it pays, looked at in hindsight: a pipeline's history is walked through day by day, each policy decides at the beginning of each day from what was known by then, and what it decides
 * is done: a model is fitted, and scores the rows from there on.
 *
 * A policy's own decisions come from the code that decides live: schedules (core/cron.h), drift of the day against the rows that the policy's model was fitted on (features/drift.h), degradation of its
 * model on the rows whose labels are known (models/degradation.h), new labels, and the rules of triggers.policy (consumers/decide.h). Where the pipeline rolls versions out by itself, what a run made is
 * rolled out (consumers/rollout_state.h) from that day on, and answers what its share says; otherwise it takes over at once. What differs from live: it is looked at once a day, a model is there as soon
 * as it is asked for, and arms are drawn by row. */
#ifndef WEIR_CONSUMERS_TRIGGER_REPLAY_H
#define WEIR_CONSUMERS_TRIGGER_REPLAY_H

#include "consumers/decide.h"
#include "models/recipe.h"
#include "models/trainset.h"

typedef enum weir_replay_policy {
    WEIR_REPLAY_NEVER, /* the first model stays */
    WEIR_REPLAY_WEEKLY, /* Sunday 02:00 UTC */
    WEIR_REPLAY_DRIFT, /* whenever drift of features is high or critical; neither cool-down nor budget nor cost */
    WEIR_REPLAY_PIPELINE, /* all of the pipeline's triggers, by its policy */
    WEIR_REPLAY_POLICIES
} weir_replay_policy;
extern const char *const weir_replay_policy_names[]; /* "never", "weekly", "drift", "pipeline" */

/* Borrowed. */
typedef struct weir_trigger_replay {
    const weir_pipeline *pipeline;
    const weir_recipe *recipe; /* binary or regression; its first candidate is what is fitted */
    const weir_trainset *rows; /* the history with its times, inputs as of each row's time. A label is known at label_until_us; without it at the row's time */
    int64_t from_us, to_us; /* days that are replayed, as far as there are rows, and enough of them before for the first model */
    const _Atomic bool *cancel; /* may be NULL */
    void (*progress)(void *context, int64_t day_us, int fits); /* may be NULL */
    void *progress_context;
} weir_trigger_replay;

typedef struct weir_replay_decision {
    int64_t at_us;
    weir_cause cause;
    weir_decision decision;
} weir_replay_decision;

/* Costs in the unit of triggers.policy. */
typedef struct weir_replay_outcome {
    int retrains; /* without the first model, which each has */
    int failed; /* of these: nothing could be fitted, and the model stayed */
    int promoted; /* by a rollout */
    double metric; /* mean over days, a day counting by its predictions */
    double training; /* retrains × training_cost */
    double lost; /* metric_value × predictions / 1000 × what the metric is worse than the best policy's */
    double total, regret; /* training + lost; the same less the smallest total */
    double *daily; /* [day_count] NaN where the metric has no value */
    weir_replay_decision *decisions; /* [decision_count] */
    int decision_count;
} weir_replay_outcome;

typedef struct weir_replay_result {
    const weir_model_metric *metric;
    int64_t from_us; /* the first day's beginning, UTC */
    int day_count;
    int64_t *predictions; /* [day_count] */
    int fits; /* models that were fitted: policies that train on the same day share one */
    double fit_s; /* seconds that took, drift references with it */
    weir_replay_outcome outcomes[WEIR_REPLAY_POLICIES];
} weir_replay_result;

/** Replays. Nothing that is known only after a day began has a part in its decisions and its models: rows and labels after it may change, and everything before stays as it is.
 *  Errors: WEIR_EINVAL without metric_value, for a task with several scores a row, or a metric that cannot be compared between sets of different sizes; WEIR_ENOTFOUND when no day is left after the
 *  first training; of the first fit those of weir_spec_fit; WEIR_ETIMEOUT, RETRY, when cancelled; WEIR_ENOMEM. */
weir_status weir_trigger_replay_run(const weir_trigger_replay *replay, weir_replay_result *ret_result, weir_err *err) WEIR_MUST_CHECK;
void weir_replay_result_done(weir_replay_result *result);
/** The result with every decision and the metric of each day. The caller deletes it; NULL: no memory. */
cJSON *weir_replay_result_json(const weir_replay_result *result, const weir_pipeline *pipeline) WEIR_MUST_CHECK;

/* ---- the models of a replay (trigger_replay_models.c): one a day at most ---- */

/* What a version fitted at the beginning of a day is. */
typedef struct weir_replay_model {
    bool tried;
    weir_model *model; /* NULL: could not be fitted */
    double threshold;
    double reference, reference_count; /* the metric on its test rows, NaN: not known; test rows, of a binary task the positive ones */
    struct weir_drift_table *trained; /* profiles of the columns of its training rows */
} weir_replay_model;

typedef struct weir_replay_shop {
    const weir_trigger_replay *replay;
    const weir_model_metric *metric;
    struct weir_drift_field *fields; /* [field_count] of the columns that are watched */
    int *columns; /* [field_count] where these are in the rows' matrix */
    int field_count;
} weir_replay_shop;

weir_status weir_replay_shop_init(const weir_trigger_replay *replay, const weir_model_metric *metric, weir_replay_shop *ret_shop,
                                  weir_err *err) WEIR_MUST_CHECK;
void weir_replay_shop_done(weir_replay_shop *shop);
/** The days before the first one on which a model can be fitted: training, delay, test, and the labels of the test. */
int64_t weir_replay_lead_us(const weir_trigger_replay *replay);
/** Fits the model of a day, as a run that is asked for at that moment would. WEIR_ENOTFOUND and WEIR_EDATA when the rows do not allow it; ret_model->model is then NULL. */
weir_status weir_replay_fit(const weir_replay_shop *shop, int64_t now_us, weir_replay_model *ret_model, weir_err *err) WEIR_MUST_CHECK;
void weir_replay_model_done(weir_replay_model *model);
/** Profiles of rows first … end - 1. */
weir_status weir_replay_table(const weir_replay_shop *shop, int64_t first, int64_t end, struct weir_drift_table **ret_table, weir_err *err) WEIR_MUST_CHECK;
/** The first row that is not before a time. */
int64_t weir_replay_row_at(const weir_trainset *rows, int64_t time_us);

#endif
