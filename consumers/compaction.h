/* Compaction that a worker runs beside its stream: on a thread of its own, now and then, one process of the pipeline at a time. */
#ifndef WEIR_CONSUMERS_COMPACTION_H
#define WEIR_CONSUMERS_COMPACTION_H

#include "core/worker.h"
#include "features/pipeline.h"

typedef struct weir_compaction weir_compaction;

/** *ret_compaction is NULL when the pipeline's compact_after is "never". pipeline and env are borrowed. */
weir_status weir_compaction_new(const weir_pipeline *pipeline, const weir_worker_env *env, weir_compaction **ret_compaction, weir_err *err) WEIR_MUST_CHECK;
/** Begins a run that is due and takes account of one that has ended; does not wait. What goes wrong is logged and counted, and tried again. NULL is fine. */
void weir_compaction_tick(weir_compaction *compaction, int64_t mono_us);
/** Ends the run between two days. False: that took longer than the worker may drain, and the thread runs on with what it borrows; nothing was freed. NULL is fine. */
bool weir_compaction_free(weir_compaction *compaction);

#endif
