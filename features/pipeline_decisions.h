/* `triggers` and `rollout` of the pipeline file: what starts training, and how a new version gets traffic. Texts belong to the pipeline's JSON. */
#ifndef WEIR_FEATURES_PIPELINE_DECISIONS_H
#define WEIR_FEATURES_PIPELINE_DECISIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    WEIR_SCHEDULES_MAX = 16,
    WEIR_ROLLOUT_STEPS_MAX = 8,
    WEIR_SALT_MAX = 63,
    WEIR_DRIFT_TENANTS_MAX = 64,
    WEIR_BUCKETS_MAX = 17 /* of a context: one for what is missing, 16 for values */
};

typedef enum weir_catch_up { WEIR_CATCH_UP_LAST, WEIR_CATCH_UP_ALL, WEIR_CATCH_UP_NONE } weir_catch_up; /* of firings that were missed */
extern const char *const weir_catch_up_names[]; /* "last", "all", "none" */

/* One of triggers.schedules. */
typedef struct weir_schedule_def {
    const char *name; /* unique in the pipeline */
    const char *cron; /* five fields: minute, hour, day of month, month, day of week */
    const char *time_zone; /* of the tz database; "UTC" */
    const char *action; /* "train", "drift", "score", "compact" */
    weir_catch_up catch_up;
    const cJSON *payload; /* object that goes with the event; NULL */
} weir_schedule_def;

/* triggers.drift: when and how the drift worker judges. */
typedef struct weir_drift_def {
    bool enabled;
    int64_t every_us, window_us; /* a window of that length is judged so often; 1 h, 1 d */
    bool against_window; /* "reference": "window" (the one before); else "training", the champion's training set */
    double false_alarm_rate; /* of the columns of a window together; 0.01 */
    double alert_share, critical_share; /* of columns that drifted, above which severity is high and critical; 0.3, 0.5 */
    int64_t min_rows; /* fewer are not judged; 200 */
    int64_t tenants; /* so many are also judged each by itself; 0 */
} weir_drift_def;

/* triggers.performance: when a version is worse than it was when it was registered. */
typedef struct weir_degradation_def {
    bool enabled;
    const char *metric; /* NULL: the metric of the training section */
    double drop; /* relative to the test metric, beyond its confidence interval; 0.05 */
    int64_t min_rows; /* labelled; 500 */
} weir_degradation_def;

/* triggers.policy: what keeps training from being started too often, or for nothing. */
typedef struct weir_trigger_policy {
    int64_t cool_down_us; /* after a run was asked for; 6 h */
    int max_runs; /* within per_us; 0: any number; 8 in 7 d */
    int64_t per_us;
    double training_cost; /* of one run, in the user's unit; 0 */
    double metric_value; /* worth of 1.0 of the metric for a thousand predictions, in the same unit; NaN: gain is not weighed, any cause trains */
} weir_trigger_policy;

typedef struct weir_triggers {
    weir_schedule_def schedules[WEIR_SCHEDULES_MAX];
    int schedule_count;
    weir_drift_def drift;
    weir_degradation_def performance;
    int64_t volume_rows; /* labelled rows since the last training; 0: no trigger */
    weir_trigger_policy policy;
} weir_triggers;

typedef enum weir_loss { WEIR_LOSS_LOG, WEIR_LOSS_BRIER, WEIR_LOSS_ERROR, WEIR_LOSS_SQUARED, WEIR_LOSS_ABSOLUTE } weir_loss;
extern const char *const weir_loss_names[]; /* "log_loss", "brier", "error", "squared_error", "absolute_error" */

/* rollout: traffic of a challenger, and by what it is judged. */
typedef struct weir_rollout_def {
    const char *salt; /* the pipeline's name when not given */
    double challenger_share; /* while no rollout says otherwise; the first of steps where they are given, else 0.1 */
    bool automatic; /* a version that becomes challenger is rolled out; false: only when asked. True where steps are given */
    bool by_request; /* "split": "request"; else an entity keeps its arm */
    bool shadow; /* a rollout begins with challengers that score beside the champion, answer nobody, and are judged by pairs */
    double shadow_share; /* of the requests that they score beside it; 1 */
    bool thompson; /* "routing": "thompson", by what the arms have earned; else "steps" */
    double floor; /* thompson: least share of every arm; 0.05 */
    const char *context; /* thompson: column of the events by whose value requests are routed, each bucket of values by itself; NULL: all alike */
    int context_index; /* of that column; -1 */
    int64_t buckets; /* that its values share; 8 */
    double steps[WEIR_ROLLOUT_STEPS_MAX]; /* rising shares from 0.001; the first is below 1; 0.1, 0.5, 1 */
    int step_count;
    weir_loss loss; /* of one labelled prediction; log_loss, of a regression squared_error */
    double alpha; /* of false promotion and false rollback together, however often anyone looks; 0.05 */
    double margin; /* the challenger may be worse by this much of the loss and still be promoted; 0 */
    int64_t min_rows; /* labelled ones of the challenger before a step; 200 */
    int64_t patience_us; /* without a decision by then the champion is kept; 14 d */
    /* Guards; hard ones roll back at once. */
    double max_error_rate; /* of the challenger's predictions that fail; 0.01 */
    double max_nan_rate; /* 0 */
    double max_latency_s; /* mean time to score, over the champion's; 0.005 */
    int64_t guard_rows; /* newest predictions that a guard looks at; 200 */
} weir_rollout_def;

/** Buckets of a rollout's context, with the one for requests without a value; 0: without context. */
static inline int weir_rollout_bucket_count(const weir_rollout_def *def) {
    return def->context ? 1 + (int)def->buckets : 0;
}

#endif
