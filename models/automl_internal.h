/* What the parts of the search share. Not for use outside of models/automl*.c. */
#ifndef WEIR_MODELS_AUTOML_INTERNAL_H
#define WEIR_MODELS_AUTOML_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "models/automl.h"
#include "models/study_store.h"

enum { WEIR_RACE_FOLDS = 2 }; /* of a trial, before it may fall out of the race against the best */
enum { WEIR_AUTOML_NAME_MAX = 160, WEIR_AUTOML_NOTE_MAX = 64 };

/* ---- automl_space.c ---- */

/** The points that a search over the space begins with: of each algorithm its defaults, in the order of its names; of boosted trees a quick model before them. The caller deletes the array. */
weir_status weir_automl_first(const weir_trainset *set, const cJSON *space, const char *path, cJSON **ret_first, weir_err *err) WEIR_MUST_CHECK;

/** What a spec says, as text: of algorithms with all their parameters, without names and empty parts. The caller frees it (cJSON_free); NULL: no memory. */
char *weir_automl_text(const cJSON *spec);

/* ---- automl_trials.c: where trials come from ---- */

typedef struct weir_trial_source weir_trial_source;

/** The study that settings describe, in memory or in PostgreSQL. joined: the definition of one that another leads; NULL: this process
 *  leads it, and decides when it is over. Errors: WEIR_EINVAL with "$.tuning" paths, WEIR_ECONFLICT for
 *  a study of another set or space, or one that another leads. */
weir_status weir_trial_source_open(const weir_automl_settings *settings, int fold_count, const cJSON *joined, weir_trial_source **ret_source,
                                   weir_err *err) WEIR_MUST_CHECK;
/** Settings of a study that another leads: *settings, of which those remain that are this process's own, is filled from its definition. kept as for
 *  weir_automl_settings_from_json. Errors: WEIR_ENOTFOUND when there is no such study that goes on; WEIR_ECONFLICT when it is about other rows. */
weir_status weir_trial_source_join(weir_automl_settings *settings, weir_automl_kept *kept, cJSON **ret_definition, weir_err *err) WEIR_MUST_CHECK;
void weir_trial_source_close(weir_trial_source *source);
/** Seconds that the search took in processes before this one. */
double weir_trial_source_spent(const weir_trial_source *source);
int weir_trial_source_objectives(const weir_trial_source *source);
/** WEIR_ELIMIT when no more are to be asked for. */
weir_status weir_trial_source_claim(weir_trial_source *source, int *ret_number, cJSON **ret_params, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_trial_source_report(weir_trial_source *source, int number, int step, double value, bool *ret_prune, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_trial_source_tell(weir_trial_source *source, int number, const weir_outcome *outcome, weir_err *err) WEIR_MUST_CHECK;
/** Gives a trial back, for another worker to take; in memory it fails. */
weir_status weir_trial_source_release(weir_trial_source *source, int number, weir_err *err) WEIR_MUST_CHECK;
/** The study as it is now; until the next call. */
weir_status weir_trial_source_load(weir_trial_source *source, const weir_study **ret_study, weir_err *err) WEIR_MUST_CHECK;
/** The leader says that the search is over, and why; trials that still run are failed. */
weir_status weir_trial_source_end(weir_trial_source *source, const char *why, double spent_s, weir_err *err) WEIR_MUST_CHECK;

typedef enum weir_stop { WEIR_GO_ON, WEIR_STOP_CANCELLED, WEIR_STOP_TOO_LONG, WEIR_STOP_LOST, WEIR_STOP_OVER } weir_stop;
/** A sign of life, from a second thread: keeps the trial (−1: none) and the leader's place. LOST: the trial is another worker's now. OVER: the study was
 *  ended, or its leader is gone; of a leader: another leads it. A database that is away is no reason to stop. */
weir_stop weir_trial_source_beat(weir_trial_source *source, int number, double spent_s);
double weir_trial_source_beat_s(const weir_trial_source *source); /* so often; 0: no need */

/* ---- automl_watch.c: what goes on beside a trial ---- */

typedef struct weir_watch weir_watch;

/** A thread that ends what takes too long, gives signs of life, and tells about progress. source may be NULL. settings and source are borrowed. */
weir_status weir_watch_start(const weir_automl_settings *settings, weir_trial_source *source, weir_watch **ret_watch, weir_err *err) WEIR_MUST_CHECK;
void weir_watch_stop(weir_watch *watch);
/** What is under way from now on. now is for people; number −1: no trial of the study. limit_s: after so long it is to stop; 0: never. */
void weir_watch_begin(weir_watch *watch, const char *now, int number, double limit_s);
/** Nothing is under way any more. Returns the seconds that it took; *ret_stop: why it was to stop. */
double weir_watch_end(weir_watch *watch, weir_stop *ret_stop);
/** True once what is under way is to stop: for weir_fit_options. */
const _Atomic bool *weir_watch_cancel(const weir_watch *watch);
/** Was the whole search to stop: cancelled, over, or another's? */
weir_stop weir_watch_stopped(const weir_watch *watch);
/** New counts, told at once. */
void weir_watch_tell(weir_watch *watch, const weir_automl_progress *counts);
double weir_watch_elapsed_s(const weir_watch *watch); /* what processes before this one took included */

/* ---- automl.c ---- */

/* Something that was tried: a trial, a candidate or an ensemble. */
typedef struct weir_contender {
    cJSON *spec;
    char *text; /* the spec as JSON, without its name and with what its algorithm takes by default: equal texts are one contender */
    int trial; /* −1: none */
    bool failed;
    double mean, deviation, fit_s, predict_s; /* seconds of a mean fold */
    double *fold_values; /* [fold_count]; NaN: not known */
    double *scores; /* [row_count][output_count] out of fold; NULL: not at hand */
    char note[64]; /* why it failed */
} weir_contender;

/* How far an algorithm got. */
typedef struct weir_kind_progress {
    char algorithm[32];
    double best; /* merit when it last grew by more than chance */
    int since; /* trials since then */
} weir_kind_progress;

typedef struct weir_search {
    const weir_automl_settings *settings;
    weir_split_plan *plan;
    int fold_count, output_count;
    int *fold_of; /* [row_count] the last fold that tests the row; −1: none */
    bool by_time; /* folds go forward in time: what is judged on one may be fitted on earlier ones only */
    double test_to_train; /* of a mean fold */
    double train_share; /* of the rows, in a mean fold */
    weir_trial_source *source;
    weir_watch *watch;
    weir_contender *contenders;
    int count, room;
    int done, failed, pruned; /* trials that ended, of which failed and pruned; of the whole study where it is shared */
    double *seconds; /* [seconds_count] that trials took which were fitted here */
    int seconds_count;
    weir_kind_progress kinds[WEIR_TUNING_ALGORITHMS_MAX]; /* [kind_count] of the algorithms that trials had here */
    int kind_count, passed; /* trials passed over, one after the other */
    weir_err last; /* why the last one failed */
} weir_search;

/** Value and seconds in one number, more is better: what contenders are ranked by. */
double weir_search_merit(const weir_search *search, const weir_contender *contender);
/** Contenders that did not fail, by merit, best first, of equals the earlier one. order [count]. Returns how many. */
int weir_search_rank(const weir_search *search, int *order);
/** Adds a contender with all that it owns, in any case. Errors: WEIR_ENOMEM. */
weir_status weir_search_add(weir_search *search, weir_contender *contender, weir_err *err) WEIR_MUST_CHECK;
void weir_contender_done(weir_contender *contender);
/** Fits and judges a contender that has a spec; sets all that follows from that. limit_s as in weir_watch_begin. Errors: why not. */
weir_status weir_search_judge(weir_search *search, weir_contender *contender, double limit_s, weir_err *err) WEIR_MUST_CHECK;
/** A metric of scores [row_count][output_count] fold by fold; rows whose scores are NaN are left out. ret_values [fold_count], NaN where there is none. */
weir_status weir_search_measure(const weir_search *search, const weir_model_metric *metric, const double *scores, double *ret_values,
                                weir_err *err) WEIR_MUST_CHECK;
/** Mean and deviation of values [count] that are numbers; NaN of none, and the deviation of one. */
void weir_search_summary(const double *values, int count, double *ret_mean, double *ret_deviation);
double weir_search_left_s(const weir_search *search);

/* ---- automl_ensemble.c ---- */

/** Judges ensembles of the best contenders, by rows that nothing in them was fitted on, and adds those for whose final fit there is time. */
weir_status weir_search_ensembles(weir_search *search, weir_err *err) WEIR_MUST_CHECK;

/* ---- automl_board.c ---- */

/** *ret_board is made of the contenders; ended, elapsed_s and the counts of trials are not set. chosen: the number of the trial to take; −1: by the rule of
 *  the header. */
weir_status weir_search_board(const weir_search *search, int chosen, weir_leaderboard *ret_board, weir_err *err) WEIR_MUST_CHECK;

#endif
