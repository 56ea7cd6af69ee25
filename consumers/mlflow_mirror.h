/* What MLflow shows of runs and model versions. Each function looks at what PostgreSQL says now, and at what the server has, and brings the server up to date: so doing it again, late,
 * or in another order comes to the same, and nothing appears twice.
 *
 *   weir                                MLflow
 *   experiment                          experiment of the same name
 *   run                                 run with the tag weir.run_id
 *   params, metrics with steps, tags    the same; times of metrics are those of the log, so that a repeat is the same point
 *   data sets                           inputs of the run, context in mlflow.data.context
 *   artifacts                           artifacts, through the server's proxy
 *   pipeline P, model M                 registered model "P.M"
 *   version                             model version with the tag weir.version
 *   alias                               alias */
#ifndef WEIR_CONSUMERS_MLFLOW_MIRROR_H
#define WEIR_CONSUMERS_MLFLOW_MIRROR_H

#include "consumers/mlflow_api.h"
#include "core/pg.h"

typedef struct weir_mirror {
    weir_mlflow api;
    weir_pg *pg;
    const char *objects_dir;
} weir_mirror;

/** A run and its artifacts. Nothing is done for a run that is queued still, is not there any more, or that somebody deleted in MLflow. */
weir_status weir_mirror_run(const weir_mirror *mirror, const char *run_id, weir_err *err) WEIR_MUST_CHECK;
/** A version, its run first; one that was deleted is deleted. */
weir_status weir_mirror_version(const weir_mirror *mirror, const char *pipeline, const char *model, int version, weir_err *err) WEIR_MUST_CHECK;
/** An alias of a pipeline, or (model not NULL) of a model of the lifecycle commands: where it points, and that no other model of the pipeline has it. */
weir_status weir_mirror_alias(const weir_mirror *mirror, const char *pipeline, const char *model, const char *alias, weir_err *err) WEIR_MUST_CHECK;

#endif
