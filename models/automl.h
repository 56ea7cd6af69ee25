/* The search for the best model that a budget allows: preprocessing × algorithm × parameters, then ensembles of the best. */
#ifndef WEIR_MODELS_AUTOML_H
#define WEIR_MODELS_AUTOML_H

#include "core/pg.h"
#include "models/crossval.h"
#include "models/study.h"

enum { WEIR_LEADERS_MAX = 64 };

/* How it goes, told after every trial and about once a second in between. */
typedef struct weir_automl_progress {
    int trials_done, trials_running, trials_failed, trials_pruned;
    double best; /* value of the metric, NaN before there is one */
    const char *best_name; /* weir_spec_describe of it */
    double elapsed_s, left_s; /* left_s: of the budget */
    const char *now; /* what is done at the moment, for people */
} weir_automl_progress;

typedef struct weir_automl_settings {
    const weir_trainset *set; /* what may be searched on: the rows that judge the winner in the end are not among them */
    const weir_split *split;
    const weir_model_metric *metric;
    double budget_s; /* of the whole search, ensembles and final fits included; > 0 */
    int trial_max; /* 0: as many as the budget allows */
    double trial_s; /* time limit of one trial; 0: a quarter of the budget */
    double cost_weight; /* value − weight × seconds of fitting; 0: cost does not matter */
    const cJSON *space; /* what may be chosen (models/space.h), NULL: weir_automl_space of the set */
    const char *const *algorithms; /* NULL-terminated names that may be chosen; NULL: all that can do the task and are no online learners */
    const cJSON *candidates; /* array of specs to try soon: the recipe's; may be NULL */
    bool ensembles;
    const char *sampler, *pruner; /* NULL: "tpe", and the race of each algorithm alone; "median" where there are settings of a pruner */
    const cJSON *sampler_settings, *pruner_settings; /* objects; NULL: what suits folds */
    /* What is wanted beside the metric, NULL-terminated, or NULL: names of other metrics of the task, "fit_seconds", "predict_seconds" (of a mean fold). With
     * any of them the winner is what `selection` takes from the front, trials are not pruned, and cost_weight is 0. */
    const char *const *objectives;
    weir_selection selection; /* objective 0 is the metric */
    uint64_t seed; /* below 2^53 */
    int threads;
    const _Atomic bool *cancel; /* may be NULL; once true the search ends cleanly, with the best so far */
    void (*progress)(void *context, const weir_automl_progress *progress); /* from one thread at a time, not always the caller's; may be NULL */
    void *progress_context;
    /* Where trials are kept, so that a search goes on after a crash and other workers take trials too; pg_url NULL: in memory. */
    const char *pg_url, *pipeline, *study;
    const char *worker; /* a name that no other has */
    void (*opened)(void *context); /* the leader's study is open from here on: the moment to invite others; may be NULL */
    void *opened_context;
    double lease_s; /* a worker that gives no sign of life for so long loses its trial to another; 0: 30 */
} weir_automl_settings;

/* A contender, best first. */
typedef struct weir_leader {
    cJSON *spec;
    char *name; /* weir_spec_describe */
    int trial; /* number; −1: a candidate or ensemble */
    double mean, deviation; /* of the metric over the folds */
    double fit_s; /* mean of a fold */
    double *fold_values; /* [fold_count] */
    /* Two-sided corrected paired test against the first, Holm-adjusted over the leaderboard; NaN for the first and where fewer than two folds say anything. */
    double p_worse;
    bool close; /* no more than one standard error of that test below the first */
} weir_leader;

typedef struct weir_leaderboard {
    weir_leader *leaders; /* [count], best first */
    int count, fold_count;
    int trials, failed, pruned; /* counted over the whole study */
    const char *ended; /* "budget", "trials", "space", "cancelled" */
    double elapsed_s;
    /* Index of the one to take: the first; where that is an ensemble, the best single model if it is close to it and not told apart (p ≥ 0.05); or what settings.selection took. */
    int winner;
} weir_leaderboard;

/** The default space over a set: {"algorithm": choice, "encode", "outliers", "impute", "indicator", "select" where the set and the algorithms have a use for
 *  them, and every algorithm's own parameters, "xgboost.eta", behind conditions}. algorithms as in the settings. The caller deletes it. docs/tuning.md says
 *  what is in it when. */
weir_status weir_automl_space(const weir_trainset *set, const char *const *algorithms, cJSON **ret_space, weir_err *err) WEIR_MUST_CHECK;
/** The spec that a point of such a space stands for; the caller deletes it. */
weir_status weir_automl_spec(const weir_trainset *set, const cJSON *params, cJSON **ret_spec, weir_err *err) WEIR_MUST_CHECK;
enum { WEIR_TUNING_ALGORITHMS_MAX = 32 };
/* What settings that were read from a file point into, beside the JSON itself. */
typedef struct weir_automl_kept {
    weir_split split;
    const char *algorithms[WEIR_TUNING_ALGORITHMS_MAX + 1];
    const char *objectives[WEIR_OBJECTIVES_MAX];
} weir_automl_kept;

/** Reads a file's section into settings; what it does not name stays as it is. path ("$.training.tuning") prefixes messages.
 *
 *    {"budget": "30m", "trials": 50, "trial_time": "2m", "algorithms": ["xgboost", "ridge"], "space": {…}, "ensembles": true, "cost_weight": 0.01, "seed": 42,
 *     "sampler": "tpe", "sampler_settings": {…}, "pruner": "halving", "pruner_settings": {…}, "validation": {"scheme": "walk_forward", …},
 *     "objectives": ["fit_seconds"], "selection": {"rule": "weights", "weights": [2, 1]}}
 *
 *  A selection is {"rule": "weights", "weights": [one an objective, the metric first]}, {"rule": "lexicographic", "order": ["mae", "rmse"], "tolerance": [0.1,
 *  0]}, or
 *  {"rule": "knee"}, which is what there is without one. metric: its name is the first objective. Names of samplers and so on are checked here; what depends
 *  on the training set (whether an algorithm can do its task) when the search begins. tuning and kept are borrowed as long as settings are used; ret_settings
 *  is untouched on failure.
 *  Errors: WEIR_EINVAL with the path, what was found and what was expected. */
weir_status weir_automl_settings_from_json(const cJSON *tuning, const char *path, const weir_model_metric *metric, weir_automl_kept *kept,
                                           weir_automl_settings *ret_settings, weir_err *err) WEIR_MUST_CHECK;

/** Searches. A trial that fails, or takes longer than it may, is a failed trial and nothing more. Errors: WEIR_EINVAL (settings), WEIR_ENOTFOUND when nothing
 *  at all could be fitted in the budget (with the last trial's reason), those of the database that retries did not mend. */
weir_status weir_automl_run(const weir_automl_settings *settings, weir_leaderboard *ret_board, weir_err *err) WEIR_MUST_CHECK;
/** Runs trials of a study that another process leads, until it is over, abandoned or cancelled: *ret_trials of them. Of settings it takes set, pg_url,
 *  pipeline, study, worker, threads, trial_s, cancel, progress, and budget_s where it is more than 0; all else is as the leader has it. Errors: WEIR_ENOTFOUND
 *  when no such study goes on; WEIR_ECONFLICT when it is about other rows (by digest); those of the database that retries did not mend. */
weir_status weir_automl_help(const weir_automl_settings *settings, int *ret_trials, weir_err *err) WEIR_MUST_CHECK;
void weir_leaderboard_done(weir_leaderboard *board);
/** [{"rank", "name", "spec", "mean", "deviation", "fit_seconds", "folds": […], "p_worse", "winner"}]; the caller deletes it; NULL: no memory. */
cJSON *weir_leaderboard_json(const weir_leaderboard *board) WEIR_MUST_CHECK;

#endif
