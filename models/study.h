/* A study: the search for the best point of a space. ask hands out the next trial, tell takes what came of it.
 *
 *     running ──→ complete    tell with values; values that are not finite: failed
 *        │  └───→ pruned      tell after weir_study_judge said so
 *        └──────→ failed      tell; the note says why (a timeout, say)
 *
 * A study lives in memory. What it will ask next follows from its settings and its trials alone, so a study that is made anew and given the same trials with
 * weir_study_restore goes on as the first would have. One thread at a time. */
#ifndef WEIR_MODELS_STUDY_H
#define WEIR_MODELS_STUDY_H

#include "core/clock.h"
#include "models/pruner.h"
#include "models/sampler.h"

typedef struct weir_study weir_study;

typedef struct weir_study_settings {
    const cJSON *space; /* as models/space.h says; copied */
    const char *sampler; /* NULL: "tpe" */
    const cJSON *sampler_settings; /* object or NULL */
    const char *pruner; /* NULL: "none"; with one objective only */
    const cJSON *pruner_settings; /* object or NULL */
    int objective_count; /* 0: 1 */
    bool maximise[WEIR_OBJECTIVES_MAX];
    const cJSON *
        first; /* array of parameters as ask gives them: the first trials, before the sampler is asked; not with a sampler that goes through every point; copied; or NULL */
    double cost_weight; /* with one objective: what is searched for is value − weight × cost when maximising, value + weight × cost when minimising */
    uint64_t seed;
    int trial_max; /* no further asks after so many trials; 0: no maximum */
    int64_t time_max_us; /* nor so long after the first ask; 0: no maximum */
    int64_t trial_time_max_us; /* what weir_study_overdue compares with; 0: no maximum */
    weir_clock *clock; /* NULL: the system's; borrowed */
} weir_study_settings;

/** path ("$.tuning") prefixes messages: path.space, path.sampler_settings, path.pruner_settings, path.first[2]. Errors: WEIR_EINVAL, WEIR_ENOMEM. */
weir_status weir_study_new(const weir_study_settings *settings, const char *path, weir_study **ret_study, weir_err *err) WEIR_MUST_CHECK;
/** The same from a file's section, {"space": {…}, "sampler": "tpe", "sampler_settings": {…}, "pruner": "median", "pruner_settings": {…}, "directions":
 *  ["maximise"], "cost_weight": 0.1, "seed": 42, "trials": 50, "time": "30m", "trial_time": "2m", "first": [{…}], "about": {…}}: all but the space may be left
 *  out, the direction is then "minimise". "about" is anything that two studies must agree in to be the same (what they are run on, say). clock NULL: the system's. Errors: WEIR_EINVAL with the path, what was found and what was expected; WEIR_ENOMEM. */
weir_status weir_study_from_json(const cJSON *json, const char *path, weir_clock *clock, weir_study **ret_study, weir_err *err) WEIR_MUST_CHECK;
void weir_study_free(weir_study *study);
const weir_space *weir_study_space(const weir_study *study);
/** All trials; borrowed, until the next ask or restore. */
const weir_trials *weir_study_history(const weir_study *study);

/** NULL while more trials may be asked for, else why not: "trials", "time", "space" (every point of a grid was handed out). Static storage. */
const char *weir_study_over(const weir_study *study);
/** The next trial, now running. *ret_params is the caller's to delete. Errors: WEIR_ELIMIT when the study is over, WEIR_ENOMEM; the study is then as
 *  before. */
weir_status weir_study_ask(weir_study *study, int *ret_number, cJSON **ret_params, weir_err *err) WEIR_MUST_CHECK;
/** An intermediate value of a running trial. Steps ascend, from 0. Errors: WEIR_ENOTFOUND, WEIR_ECONFLICT when it does not run, WEIR_EINVAL, WEIR_ENOMEM. */
weir_status weir_study_report(weir_study *study, int number, int64_t step, double value, weir_err *err) WEIR_MUST_CHECK;
/** Should the trial be told as pruned now? Judged by its latest report; false without one. */
weir_status weir_study_judge(const weir_study *study, int number, bool *ret_prune, weir_err *err) WEIR_MUST_CHECK;
/** Has the running trial had more time than trial_time_max_us? */
bool weir_study_overdue(const weir_study *study, int number);

/* What came of a trial. */
typedef struct weir_outcome {
    weir_trial_state state; /* not RUNNING */
    double values[WEIR_OBJECTIVES_MAX]; /* COMPLETE: one an objective */
    double cost; /* in the unit that cost_weight is for; seconds, say */
    const char *note; /* why it failed; may be NULL; cut to 63 bytes */
} weir_outcome;

/** Ends a running trial. COMPLETE with a value or cost that is not finite is recorded as FAILED, and WEIR_OK. Errors: WEIR_ENOTFOUND, WEIR_ECONFLICT when it
 *  does not run, WEIR_EINVAL. */
weir_status weir_study_tell(weir_study *study, int number, const weir_outcome *outcome, weir_err *err) WEIR_MUST_CHECK;
/** Appends a trial from elsewhere: number must be the count of trials so far. outcome NULL: it runs. reports [report_count]: as given to weir_study_report,
 *  loss holding the value. Errors: as for report and tell; WEIR_EDATA when params do not belong to the space. The study is then as before. */
weir_status weir_study_restore(weir_study *study, int number, const cJSON *params, const weir_report *reports, int report_count, const weir_outcome *outcome,
                               weir_err *err) WEIR_MUST_CHECK;
/** Forgets the trials from number `count` on. */
void weir_study_truncate(weir_study *study, int count);
/** Takes the time since the study's first ask from elsewhere: it began `elapsed_us` ago. */
void weir_study_began(weir_study *study, int64_t elapsed_us);

/** The complete trial with the smallest loss of the first objective, the earliest of equals. Errors: WEIR_ENOTFOUND when none is complete. */
weir_status weir_study_best(const weir_study *study, int *ret_number, weir_err *err) WEIR_MUST_CHECK;
/** Complete trials that no other dominates, ascending; equal ones all. ret_numbers [trial count]. Errors: WEIR_ENOMEM. */
weir_status weir_study_front(const weir_study *study, int *ret_numbers, int *ret_count, weir_err *err) WEIR_MUST_CHECK;

typedef enum weir_selection_rule {
    WEIR_SELECT_WEIGHTS, /* smallest weighted sum of losses, each scaled to 0 … 1 over the front */
    WEIR_SELECT_LEXICOGRAPHIC, /* best in the first objective of `order`; among those within its tolerance best in the next, and so on */
    WEIR_SELECT_KNEE, /* farthest below the hyperplane through the front's ends, losses scaled to 0 … 1: Das, On characterizing the "knee" of the Pareto curve, 1999 */
} weir_selection_rule;

typedef struct weir_selection {
    weir_selection_rule rule;
    double weights[WEIR_OBJECTIVES_MAX]; /* WEIGHTS: ≥ 0, one at least is more than 0 */
    int order[WEIR_OBJECTIVES_MAX]; /* LEXICOGRAPHIC: every objective once */
    double tolerance[WEIR_OBJECTIVES_MAX]; /* LEXICOGRAPHIC: by objective, ≥ 0, in its unit */
} weir_selection;

/** One trial of the front; the earliest of equals. Errors: WEIR_EINVAL, WEIR_ENOTFOUND when no trial is complete, WEIR_ENOMEM. */
weir_status weir_study_select(const weir_study *study, const weir_selection *selection, int *ret_number, weir_err *err) WEIR_MUST_CHECK;

#endif
