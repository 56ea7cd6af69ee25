/* The training file: one JSON document that says what to train on, which models with which hyperparameters, how to judge them and where they go;
 * docs/training-file.md describes it. */
#ifndef WEIR_MODELS_TRAINING_FILE_H
#define WEIR_MODELS_TRAINING_FILE_H

#include "models/batch_file.h"
#include "models/crossval.h"
#include "models/export.h"
#include "models/layout.h"
#include "models/training_models.h"
#include "models/trainset_file.h"

enum { WEIR_TRAINING_METRICS_MAX = 16, WEIR_TRAINING_ENSEMBLES_MAX = 3 };

typedef enum weir_versioning { WEIR_VERSIONING_SEMANTIC, WEIR_VERSIONING_SEQUENTIAL } weir_versioning;

/* The sections as they are written; texts and lists are the object's. */
typedef struct weir_training_data {
    char *source, *format;
    double train_ratio, val_ratio, test_ratio;
    char **feature_columns, **target_columns, **categorical_columns;
    char *time_column, *tenant_column, *entity_column, *task;
} weir_training_data;

typedef struct weir_training_settings {
    char *primary_metric;
    bool parallel_training;
    double max_training_time_minutes;
    int search; /* place in "grid", "random", "tpe" */
    int64_t search_iterations, random_state;
} weir_training_settings;

typedef struct weir_training_validation {
    bool enabled, shuffle;
    int64_t folds, random_state;
} weir_training_validation;

typedef struct weir_training_evaluation {
    char **metrics;
    bool generate_plots, prediction_intervals, residual_analysis, model_comparison;
} weir_training_evaluation;

typedef struct weir_training_persistence {
    bool save_models;
    int versioning_strategy; /* weir_versioning */
    char *model_registry_path, *hdfs_model_path;
    char **export_formats;
} weir_training_persistence;

typedef struct weir_training_file {
    cJSON *json; /* the whole file, with the environment's values and overrides */
    cJSON *notes; /* sentences about what the file says that has no effect here, or another one than might be thought */
    weir_training_data data;
    weir_training_models models;
    weir_training_settings training;
    weir_training_validation validation;
    weir_training_evaluation evaluation;
    weir_training_persistence persistence;
    const cJSON *preprocessing; /* a chain (models/prep.h) for every model; NULL: categories become a column each, else nothing */
    const char *ensembles[WEIR_TRAINING_ENSEMBLES_MAX]; /* "average", "stacking" … */
    int ensemble_count;
    bool exports[WEIR_EXPORT_FORMAT_COUNT];
    unsigned tasks; /* WEIR_TASK_BIT of each task that the primary metric is for */
} weir_training_file;

/** Reads and validates. environment: a name of the section "environments", whose keys go over the rest of the file; NULL: the one that the file's
 *  "environment" names, if any. "${NAME}" in a text is the environment variable's value; a text that is nothing else becomes a number or boolean where the
 *  value is one.
 *  Errors: WEIR_ENOTFOUND, WEIR_EIO for the file; WEIR_EINVAL with the JSON path, what was found and what was expected. */
weir_status weir_training_file_load(const char *path, const char *environment, weir_training_file **ret_file, weir_err *err) WEIR_MUST_CHECK;
/** The same of a document; json is borrowed. */
weir_status weir_training_file_read(const cJSON *json, const char *environment, weir_training_file **ret_file, weir_err *err) WEIR_MUST_CHECK;
void weir_training_file_free(weir_training_file *file);
/** How each section is read, for docs: Markdown tables. */
weir_status weir_training_file_markdown(weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

/* The data of a file, read and split. Parts without rows have row_count 0 and need no _done. */
typedef struct weir_training_sets {
    weir_trainset whole; /* all rows: what quality is judged on */
    weir_trainset train, validation, test, fit; /* fit: train and validation together, for the model that is kept */
    cJSON *schema; /* models/trainset_file.h */
    const weir_model_metric *metric; /* the primary one */
    const weir_model_metric *metrics[WEIR_TRAINING_METRICS_MAX]; /* of evaluation */
    int metric_count;
} weir_training_sets;

/** Reads the data and splits it by the ratios: by time where there is a time column, rows of one time together, else at random, classes in proportion; the
 *  seed is training.random_state.
 *  Errors: those of weir_trainset_from_file; WEIR_EINVAL for metrics that are not of the task, or models that cannot do it; WEIR_EDATA when a part gets no
 *  row. */
weir_status weir_training_file_sets(const weir_training_file *file, weir_training_sets *ret_sets, weir_err *err) WEIR_MUST_CHECK;
void weir_training_sets_done(weir_training_sets *sets);

/** The spec of a candidate with these parameters of its grid over its own (NULL: its own alone), for these columns. The caller deletes it. */
weir_status weir_training_file_spec(const weir_training_file *file, int candidate, const cJSON *params, const weir_trainset *set, cJSON **ret_spec,
                                    weir_err *err) WEIR_MUST_CHECK;
/** The seed of a candidate: its random_state, or the file's. */
uint64_t weir_training_file_seed(const weir_training_file *file, int candidate);

/* ---- what comes of it (models/training_keep.c) ---- */

/* A model that is to be kept. Borrowed. */
typedef struct weir_training_kept {
    const char *name; /* "random_forest" */
    const weir_buf *artifact;
    const cJSON *spec, *schema, *metrics; /* metrics {"rmse": 1.5} */
    const char *dataset_digest, *run_id;
    const cJSON *more; /* keys that metadata gets too: description, tags …; may be NULL */
    const weir_layout_file *files; /* "artifacts/…" beside the model and its exports */
    size_t file_count;
} weir_training_kept;

/** Where the file says that models go: persistence.hdfs_model_path, else model_registry_path; NULL when save_models is false. */
const char *weir_training_file_store(const weir_training_file *file);
/** Writes the next version of a model to the folder, with the exports that the file asks for: by the rule of models/semver.h, or counted (1.0.0, 2.0.0, …). A
 *  model that is byte for byte the latest one is not written again. version [WEIR_SEMVER_TEXT_MAX] is the one that holds it then. metadata.json has "algorithm",
 *  "spec", "data_schema", "metrics", "signature", "lineage", "created_at", "version_reason", and "exports_left_out" where a format cannot hold the model. */
weir_status weir_training_file_persist(const weir_training_file *file, const weir_training_kept *kept, char *version, weir_err *err) WEIR_MUST_CHECK;
/** Scores a file by a version ("1.0.0", "latest" or NULL) of a model of the folder. Of the job the model, its names and threshold are set here; see weir_batch_file. */
weir_status weir_training_file_infer(const char *dir, const char *model, const char *version, const weir_batch_job *job, weir_batch_result *ret_result,
                                     weir_err *err) WEIR_MUST_CHECK;

#endif
