/* The queue of training runs in PostgreSQL (schemas/sql/020_training_service.sql): workers of any number of processes and hosts take runs from it, and what one that dies leaves is another's.
 *
 *   add ──> to do ──claim──> attempt ──settle──┬──> to do again, after a wait (settle)
 *            │                  │ renew         ├──> its next step, when labels are there (evaluate)
 *            └──cancel──────────┴───────────────┴──> over: succeeded, failed, cancelled
 *
 * Claims take turns by a lock, count the attempts whose lease holds, and so never exceed the limits; times are the database's. Every change of a run's status writes what
 * weir.training.runs is to hear in the same transaction (consumers/train_tell.h). */
#ifndef WEIR_CONSUMERS_TRAIN_QUEUE_H
#define WEIR_CONSUMERS_TRAIN_QUEUE_H

#include <cjson/cJSON.h>

#include "consumers/train_identity.h"
#include "consumers/train_policy.h"
#include "core/pg.h"

/** Adds a run for a request, {"request_id", …}. A request that has one already changes nothing. */
weir_status weir_train_queue_add(weir_pg *pg, const char *pipeline, const cJSON *request, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_train_look {
    int waiting, ready; /* runs of the pipeline that nobody works on, and those of them that may be taken now */
    int running_host, running_overall; /* attempts of all pipelines whose lease holds */
    bool untold; /* there is something to tell */
    bool lost; /* an attempt at a run of the pipeline has lost its worker */
} weir_train_look;
/** Ends leases of processes of this machine that are gone, and counts. */
weir_status weir_train_queue_look(weir_pg *pg, const char *pipeline, const weir_train_identity *identity, weir_train_look *ret_look,
                                  weir_err *err) WEIR_MUST_CHECK;

/* What a worker has taken. */
typedef struct weir_train_claim {
    char run_id[40];
    int attempt;
    bool evaluates; /* else it fits */
    int failures; /* of this step, before */
    double waited_s; /* since it was ready */
    cJSON *request, *detail; /* of the run */
} weir_train_claim;
void weir_train_claim_done(weir_train_claim *claim); /* accepts a zeroed one */
/** Takes the run of the pipeline that was asked for first, if the limits leave room for one; run_id is empty when there is none. time_us: what the attempt may take. */
weir_status weir_train_queue_claim(weir_pg *pg, const char *pipeline, const weir_train_limits *limits, const weir_train_identity *identity, int64_t time_us,
                                   weir_train_claim *ret_claim, weir_err *err) WEIR_MUST_CHECK;
/** Renews the lease of a claim. progress may be NULL: as before; is_news: weir.training.runs hears of it. *ret_held false: the run is somebody else's, or nobody's.
 *  *ret_cancel: it is to end. */
weir_status weir_train_queue_renew(weir_pg *pg, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                                   const cJSON *progress, bool is_news, bool *ret_held, bool *ret_cancel, weir_err *err) WEIR_MUST_CHECK;

/* How an attempt ended. */
typedef struct weir_train_settlement {
    const char *run_id;
    int attempt;
    weir_train_outcome outcome;
    const char *error; /* unless it is done */
    const char *goes_on_as; /* the run's status when it is done: "awaiting_labels", "succeeded" */
    const cJSON *detail; /* of the run, once its status is final or it goes on; may be NULL */
    double wait_s; /* before the next attempt, if there is one */
} weir_train_settlement;
/** Stores it, with what becomes of the run. identity NULL: the worker is gone (outcome LOST). *ret_held false: it was not this worker's any more, and nothing changed. */
weir_status weir_train_queue_settle(weir_pg *pg, const weir_train_limits *limits, const weir_train_identity *identity, const weir_train_settlement *settlement,
                                    bool *ret_held, weir_train_next *ret_next, weir_err *err) WEIR_MUST_CHECK;
typedef struct weir_train_lost {
    int attempts, failed, cancelled; /* all of them; those whose run thereby failed, or was cancelled */
} weir_train_lost;
/** Settles attempts at runs of the pipeline whose lease is over. ret_lost counts also what was settled before an error. */
weir_status weir_train_queue_settle_lost(weir_pg *pg, const char *pipeline, const weir_train_limits *limits, weir_train_lost *ret_lost,
                                         weir_err *err) WEIR_MUST_CHECK;
/** Runs that await labels and have nothing to do, oldest first: a JSON array of {"id", "detail"}. */
weir_status weir_train_queue_awaiting(weir_pg *pg, const char *pipeline, cJSON **ret_runs, weir_err *err) WEIR_MUST_CHECK;
/** Its labels are there: a run that awaits them is to be evaluated; one that has this to do already is left alone. */
weir_status weir_train_queue_evaluate(weir_pg *pg, const char *run_id, weir_err *err) WEIR_MUST_CHECK;
/** A run that nobody works on has failed. */
weir_status weir_train_queue_give_up(weir_pg *pg, const char *run_id, const char *error, weir_err *err) WEIR_MUST_CHECK;

typedef enum weir_train_cancelled { WEIR_TRAIN_CANCELLED_NOW, WEIR_TRAIN_CANCEL_ASKED, WEIR_TRAIN_CANCEL_LATE } weir_train_cancelled;
/** A run that nobody works on is cancelled now; the worker of another ends it within seconds; one that is over stays as it is. Errors: WEIR_ENOTFOUND: the pipeline has no such run, or one
 *  that was not requested but is led by the command that began it. */
weir_status weir_train_queue_cancel(weir_pg *pg, const char *pipeline, const char *run_id, const char *by, const char *reason, weir_train_cancelled *ret_how,
                                    weir_err *err) WEIR_MUST_CHECK;

/** Runs of the pipeline, newest first, at most `most`: a JSON array of {id, status, step, reason, requested_at, ended_at, attempts, host, worker, progress {what, done, of}, running_s, left_s,
 *  limit_s, retry_in_s, cancelling, error}. left_s is what such attempts took lately less running_s; what is not known or does not apply is null. */
weir_status weir_train_queue_list(weir_pg *pg, const char *pipeline, int most, cJSON **ret_runs, weir_err *err) WEIR_MUST_CHECK;

#endif
