/* The runs that a train worker has taken from the queue (consumers/train_queue.h) and carries out, each by a process (consumers/train_process.h). Part of the train worker; one thread. */
#ifndef WEIR_CONSUMERS_TRAIN_JOBS_H
#define WEIR_CONSUMERS_TRAIN_JOBS_H

#include "core/pg.h"
#include "core/worker.h"
#include "models/recipe.h"

typedef struct weir_train_jobs weir_train_jobs;

/** What it is given is borrowed until weir_train_jobs_free, as the worker's shared object is. */
weir_status weir_train_jobs_new(weir_worker *worker, weir_pg *pg, const weir_recipe *recipe, weir_train_jobs **ret_jobs, weir_err *err) WEIR_MUST_CHECK;
int weir_train_jobs_count(const weir_train_jobs *jobs);
/** Stores what became of attempts that have ended, and what comes of it for their runs. */
weir_status weir_train_jobs_tend(weir_train_jobs *jobs, int64_t mono_us, weir_err *err) WEIR_MUST_CHECK;
/** Looks into the queue: takes what the limits leave room for, settles what others left, tells what is to be told. */
weir_status weir_train_jobs_look(weir_train_jobs *jobs, weir_err *err) WEIR_MUST_CHECK;
/** Stops all, within drain_ms, and puts back what is not done. Accepts NULL. */
void weir_train_jobs_free(weir_train_jobs *jobs);

#endif
