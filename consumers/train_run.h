/* One attempt at a training run, carried out in a process of its own (consumers/train_process.h says why).
 *
 * Order: {"run_id", "attempt", "evaluates", "request", "detail", "pipeline" (the file's content as the worker read it), "path" (the file's), "host", "process" (of the worker, whose the claim is),
 * "lease_us", "time_us", "memory_bytes", "threads", "nice"}.
 * Report: {"code", "action", "message", "asked", "detail"}; asked: "cancel", "time", "stop" when it was to end for that, else "". */
#ifndef WEIR_CONSUMERS_TRAIN_RUN_H
#define WEIR_CONSUMERS_TRAIN_RUN_H

#include <cjson/cJSON.h>

#include "consumers/train_policy.h"
#include "consumers/train_queue.h"
#include "features/pipeline.h"

/** The order for what was claimed; time_us: what it may take. NULL: no memory. */
cJSON *weir_train_order(const weir_pipeline *pipeline, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                        int64_t time_us);

/** Carries out the order on WEIR_TRAIN_ORDER_FD, with low priority and within its limits, reports how it ended, and ends the process. Returns only when there is no order. */
weir_status weir_train_run(const char *pg_url, const char *objects_dir, weir_err *err) WEIR_MUST_CHECK;

/** Less of the processors and disks than those who serve get: this thread, and those that it starts, from now on. nice: 0 … 19. What the system does not allow is left out. */
void weir_train_lower_priority(int nice);

#endif
