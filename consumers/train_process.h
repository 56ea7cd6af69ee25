/* The process that carries out one attempt at a training run, as its worker sees it.
 *
 *   worker ── order (a file, fd 0) ──────────> process ──> PostgreSQL: it renews its lease, tells progress, and looks whether it is cancelled
 *          ── leash (a pipe, fd 3): "stop" ──>            or its end: the worker is no more, and the process ends at once
 *          <─ report (a pipe, fd 4) ──────────            one line of JSON: how it ended
 *
 * A process of its own, not a thread: a crash, a run-away allocation or the system's killing of whoever has too much memory ends one attempt and not the worker with everything else that runs in
 * it (`weir run` serves predictions); limits of memory and low priority are set for it alone; what does not stop when it is asked to can be killed; and its memory goes back to the system whole.
 * It keeps its lease itself: a worker whose broker is away may wait for half a minute, and the run does not depend on that. Starting one costs some 20 ms, against runs of seconds to hours. */
#ifndef WEIR_CONSUMERS_TRAIN_PROCESS_H
#define WEIR_CONSUMERS_TRAIN_PROCESS_H

#include <cjson/cJSON.h>

#include "consumers/train_service.h"

enum { WEIR_TRAIN_ORDER_FD = 0, WEIR_TRAIN_LEASH_FD = 3, WEIR_TRAIN_REPORT_FD = 4 };

typedef struct weir_train_process weir_train_process;

/** Errors are RETRY: the system may have the means later. */
weir_status weir_train_process_start(const weir_train_service *service, const cJSON *order, weir_train_process **ret_process, weir_err *err) WEIR_MUST_CHECK;
/** Asks it to end soon. It reports that it was stopped, or that it was done before. */
void weir_train_process_stop(weir_train_process *process);
void weir_train_process_kill(weir_train_process *process);

/** Takes in what it has reported. Never waits. *ret_ended: it is no more, and has been waited for. */
weir_status weir_train_process_poll(weir_train_process *process, bool *ret_ended, weir_err *err) WEIR_MUST_CHECK;
/** Once it has ended: its report {"code", "action", "message", "asked", "detail"} (consumers/train_run.h), or NULL when it ended without one; *err then says how it died. */
const cJSON *weir_train_process_report(const weir_train_process *process, weir_err *err);

typedef struct weir_train_usage {
    double cpu_s;
    double peak_bytes; /* resident */
} weir_train_usage;
/** Once it has ended. */
weir_train_usage weir_train_process_usage(const weir_train_process *process);
/** Kills it if it lives. Accepts NULL. */
void weir_train_process_free(weir_train_process *process);

#endif
