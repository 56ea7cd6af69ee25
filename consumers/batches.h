/* Scheduled batches (serving.batches): part of the schedule worker. A due time is a row of weir.batch_runs, inserted by whichever scheduler sees it first; a run is done by the one that holds
 * its lease, on a thread of its own, and goes on where it stopped when that scheduler is gone (models/batch_file.h). One run at a time in each scheduler.
 *
 *     due ──lease──> running ──> succeeded
 *      ^                │ └────> failed: the file or the model is none, or it was tried often enough
 *      └── not_before ──┘  what may pass: the file is not there yet, the disk is full, the scheduler stops */
#ifndef WEIR_CONSUMERS_BATCHES_H
#define WEIR_CONSUMERS_BATCHES_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "core/worker.h"

typedef struct weir_batches weir_batches;

/** pg is the worker's, and borrowed. */
weir_status weir_batches_new(weir_worker *worker, weir_pg *pg, weir_batches **ret_batches, weir_err *err) WEIR_MUST_CHECK;
/** Notes what is due, begins a run, or renews its lease, or writes down how it ended. */
weir_status weir_batches_tick(weir_batches *batches, weir_err *err) WEIR_MUST_CHECK;
/** A run that is under way stops and is due again, at once, for whoever comes. */
void weir_batches_free(weir_batches *batches);

/** The newest `most` runs of a pipeline's batches, by due time: objects with batch, due_at, status, attempts, worker, file, out, model, version, rows, rejected, resumed, missed,
 *  started_at, ended_at, took_s, again_in_s (of one that is due and waits) and message; what is not there is null. The caller deletes the array. Errors: those of weir_pg_exec. */
weir_status weir_batch_runs_list(weir_pg *pg, const char *pipeline, int most, cJSON **ret_runs, weir_err *err) WEIR_MUST_CHECK;

/** Where a schedule stands: at the newest due time that newest_sql (of $1 pipeline, $2 schedule) knows of, or at the time it was first seen with this expression and zone. */
weir_status weir_schedule_stands(weir_pg *pg, const char *pipeline, const char *schedule, const char *cron, const char *time_zone, int64_t now_us,
                                 const char *newest_sql, int64_t *ret_last_us, weir_err *err) WEIR_MUST_CHECK;

#endif
