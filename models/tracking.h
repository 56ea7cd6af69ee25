/* What runs log, in PostgreSQL (schema weir): the experiment that a run belongs to, its parameters, metrics over steps, tags, data sets and artifacts.
 * Training of pipelines and the
 * lifecycle commands log through this alike; consumers/mlflow.c shows it to an MLflow server.
 *
 * A log is collected in memory and written in one transaction. Writing the same again changes nothing, so a step that is repeated after a failure may log
 * again. */
#ifndef WEIR_MODELS_TRACKING_H
#define WEIR_MODELS_TRACKING_H

#include "models/registry.h"

enum { WEIR_TRACK_ROWS_MAX = 200000 /* between two writes */, WEIR_TRACK_NAME_MAX = 250 /* bytes of a name: as MLflow's */, WEIR_EXPERIMENT_NAME_MAX = 300 };

/** The experiment of a pipeline's training runs: "/PIPELINE/training". text [WEIR_EXPERIMENT_NAME_MAX + 1] */
const char *weir_track_default_experiment(const char *pipeline, char *text);

/** The experiment of the runs that train models for all tenants: what `training.experiment` names (models/use_cases.h, with WEIR_TENANTS_ALL for {tenant}). Without it
 *  weir_track_default_experiment, and of a use case that is not `training` itself "/PIPELINE/USE_CASE". training: the section of the pipeline's file.
 *  text [WEIR_EXPERIMENT_NAME_MAX + 1]. Errors: those of weir_use_case_experiment. */
weir_status weir_track_experiment(const cJSON *training, const char *pipeline, const char *use_case, char *text, weir_err *err) WEIR_MUST_CHECK;
#define WEIR_TENANTS_ALL "all"

/** Makes the run one of an experiment, which is made when it is new. Any name will do, such as "/maritime_fleet_guardian/acme/eta". model: NULL when the run
 *  makes
 *  several. Inside or outside a transaction. A run that has an experiment keeps it. Errors: WEIR_EINVAL (a name that is none). */
weir_status weir_track_attach(weir_pg *pg, const char *run_id, const char *experiment, const char *model, weir_err *err) WEIR_MUST_CHECK;
/** Starts a run of an experiment: weir_run_start and weir_track_attach in one transaction. End it with weir_run_update. */
weir_status weir_track_start(weir_pg *pg, const char *pipeline, const char *experiment, const char *model, const cJSON *request, weir_run *ret_run,
                             weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_track weir_track;
weir_status weir_track_new(const char *run_id, weir_track **ret_track, weir_err *err) WEIR_MUST_CHECK;
void weir_track_free(weir_track *track);

/* Each takes one thing, or all members of an object; members of members get names with dots ("window.train_from"). A later value of the same name takes the
 * place of an earlier one.
 * Errors: WEIR_EINVAL (an empty or too long name), WEIR_ELIMIT (WEIR_TRACK_ROWS_MAX; write and go on), WEIR_ENOMEM. prefix goes before every name with a dot;
 * NULL: none. */
weir_status weir_track_param(weir_track *track, const char *name, const char *value, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_track_params(weir_track *track, const char *prefix, const cJSON *values, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_track_tag(weir_track *track, const char *name, const char *value, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_track_tags(weir_track *track, const cJSON *values, weir_err *err) WEIR_MUST_CHECK;
/** A value that is not finite is kept as null: not defined here. step 0 … 2^53. The metric's value as such is the one at its highest step. */
weir_status weir_track_metric(weir_track *track, const char *name, int64_t step, double value, weir_err *err) WEIR_MUST_CHECK;
/** Numbers and nulls, at step 0; other members are passed over. */
weir_status weir_track_metrics(weir_track *track, const char *prefix, const cJSON *values, weir_err *err) WEIR_MUST_CHECK;
/** path: relative to the objects directory. digest (SHA-256) may be NULL, bytes −1 when not known. */
weir_status weir_track_artifact(weir_track *track, const char *kind, const char *path, const char *digest, int64_t bytes, weir_err *err) WEIR_MUST_CHECK;

enum { WEIR_DATASET_UNVERSIONED = 0, WEIR_DATASET_BY_DIGEST = -1 };
typedef struct weir_track_dataset {
    const char *context; /* "train", "validation", "test" */
    const char *space, *name; /* the pipeline, or "catalog.schema"; of this the data set or table */
    int version; /* BY_DIGEST: the number that rows of this digest have had before, else the next one */
    const char *query; /* what gave the rows; NULL: the table itself */
    const char *digest;
    int64_t rows;
} weir_track_dataset;
weir_status weir_track_dataset_add(weir_track *track, const weir_track_dataset *dataset, weir_err *err) WEIR_MUST_CHECK;

/** Writes what was collected, in the transaction that is open, and forgets it on success. */
weir_status weir_track_write(weir_track *track, weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;
/** The same in a transaction of its own. */
weir_status weir_track_flush(weir_track *track, weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;

/** Logs what a training run of a pipeline gave, from its request and detail (models/training.h, models/continue_job.h): parameters and metrics of each version, times, windows, data
 *  sets, artifacts. experiment NULL: weir_track_default_experiment. */
weir_status weir_track_pipeline_run(weir_pg *pg, const char *pipeline, const char *run_id, const char *experiment, const cJSON *request, const cJSON *detail,
                                    weir_err *err) WEIR_MUST_CHECK;

/* A search, or what there is of one that failed. */
typedef struct weir_track_search {
    const char *pipeline, *run_id, *use_case, *experiment, *model;
    const char *metric; /* that was searched by */
    const char *report; /* path of its page, relative to the objects directory; NULL: there is none */
    const char *error; /* why it failed; NULL: it did not */
    const cJSON *request, *record; /* record: of models/job.h; NULL: it did not come so far */
} weir_track_search;
/** Logs a search: what was asked, how long its steps took, its rows, the winner's metrics and artifact, and each complete trial as a step of the metric "trial.METRIC" (its value) and
 *  of "trial.cost" (seconds), the step being the trial's number. */
weir_status weir_track_search_run(weir_pg *pg, const weir_track_search *search, weir_err *err) WEIR_MUST_CHECK;

/** All of a run: {id, pipeline, experiment, model, status, code_version, started_us, ended_us, request, detail, params{}, metrics{}, steps[{name, step, value,
 *  at_us}], tags{},
 *  datasets[{context, name, version, query, digest, rows}], artifacts[{kind, path, digest, bytes}], versions[{model, version, semver}]}. WEIR_ENOTFOUND. */
weir_status weir_track_read(weir_pg *pg, const char *run_id, cJSON **ret_run, weir_err *err) WEIR_MUST_CHECK;

#endif
