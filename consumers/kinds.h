/* The workers' vtables, each at the bottom of its own file. */
#ifndef WEIR_CONSUMERS_KINDS_H
#define WEIR_CONSUMERS_KINDS_H

#include "core/worker.h"

extern const weir_worker_ops weir_ingest_ops, weir_store_ops, weir_train_ops, weir_score_ops, weir_serve_ops, weir_experiment_ops, weir_parity_ops,
    weir_mlflow_ops, weir_schedule_ops, weir_trigger_ops, weir_drift_ops, weir_rollout_ops;

#endif
