/* From a question to models that are kept: the steps of one training job, whatever its rows come from.
 *
 *   data ──> quality ──> search ──> fit ──> assess ──> persist ──> report
 *
 * A job has a folder: job.json (models/job.h), quality.json, leaderboard.json, 1.weirmodel (the winner), 2.weirmodel, …, report.json and report.html. What a step
 * made stays when a later one fails; a job that is run again goes on at the step that did not end, and a search with the trials that it had. */
#ifndef WEIR_MODELS_WORKSHOP_H
#define WEIR_MODELS_WORKSHOP_H

#include "models/assessment.h"
#include "models/job.h"
#include "models/threshold.h"

enum { WEIR_FINALISTS_MAX = 40 };

/* A model of the job, the winner first. */
typedef struct weir_finalist {
    const char *name; /* weir_spec_describe of the spec */
    const cJSON *spec;
    weir_model *model; /* fitted on all training rows */
    const char *path; /* of its artifact */
    double threshold; /* binary: from which score on a row is called positive, its own; else NaN */
    const char *threshold_how; /* how it was found, for people */
    double validation_mean, validation_deviation; /* of the metric over the folds */
    double fit_s;
    const cJSON *metrics; /* on the test rows, by name: part of the report */
} weir_finalist;

/* Where rows come from, and where models go. */
typedef struct weir_workshop_source {
    /** The rows to learn from, and the others that judge in the end and are touched by nothing before. result: what there is to say of them; what it keeps as
     *  "split" {"scheme", "drawn", "words"}, how they were told apart, is shown and reported. */
    weir_status (*read)(void *context, weir_trainset *ret_train, weir_trainset *ret_test, cJSON *result, weir_err *err);
    /** Finds the best specs; NULL: weir_automl_run with the job's settings. */
    weir_status (*search)(void *context, const weir_automl_settings *settings, weir_leaderboard *ret_board, weir_err *err);
    /** Keeps the finalists: registers versions, writes files. */
    weir_status (*persist)(void *context, const weir_finalist *finalists, int count, const cJSON *report, cJSON *result, weir_err *err);
    /** The seed that a spec is fitted with; NULL: the search's. */
    uint64_t (*seed)(void *context, const cJSON *spec);
    /** Leaves parts of the report out before it is kept; NULL: all of it stays. */
    weir_status (*trim)(void *context, cJSON *report, weir_err *err);
    void *context;
} weir_workshop_source;

/* A job's settings. search, assess: what is not about rows and models is taken from here, the rest is filled by the job. */
typedef struct weir_workshop {
    const char *id, *folder;
    const cJSON *request; /* what was asked: kept in job.json; a job that goes on must be asked the same */
    weir_workshop_source source;
    const weir_split *validation; /* folds of the training rows as far as these allow it (models/folds.h); NULL: default ones, 5 */
    double budget_s; /* of the whole job; most of it is the search's */
    weir_automl_settings search;
    weir_assessment assess;
    weir_threshold threshold; /* of a binary task */
    const char *feature_hash; /* may be NULL */
    int finalists; /* models that are fitted, assessed and kept, the winner's among them; 1 … WEIR_FINALISTS_MAX; 0: 2 */
    bool by_name; /* the others are the best of each "name" of a spec; else of each algorithm */
    bool no_page; /* report.json only */
    const _Atomic bool
        *abort; /* may be NULL; once true the job ends as interrupted. search.cancel only ends the search, which then has a winner all the same */
    void (*opened)(void *context, const weir_trainset *train); /* the search can be joined from here on; may be NULL */
    void *opened_context;
    void (*watch)(void *context, const char *step, int number, int count, double seconds, const weir_err *error); /* as weir_job_watch; may be NULL */
    void (*note)(void *context, const char *words); /* told what a step has to say for people: one sentence, no newline; may be NULL */
    void *watch_context; /* of watch and note */
} weir_workshop;

/** Runs the job, or what is left of it. *ret_record is its job.json, also when it failed after it was opened (else NULL); the caller deletes it.
 *  Errors: those of the steps, with the step's name and what to do; WEIR_ECONFLICT when the rows are not those that the job began with. */
weir_status weir_workshop_run(const weir_workshop *workshop, cJSON **ret_record, weir_err *err) WEIR_MUST_CHECK;

#endif
