/* Experiments and registered models of the commands prepare_data, train_model, register_model and validate_model, in the schema weir of PostgreSQL.
 *
 * Runs and versions are those of models/registry.h, where the pipeline is the space "catalog.schema"; what these have beside it is here: the experiment that a run belongs to, its
 * parameters, metrics, tags and datasets; the description, tags and aliases of a version. */
#ifndef WEIR_MODELS_LIFECYCLE_H
#define WEIR_MODELS_LIFECYCLE_H

#include "models/lifecycle_tables.h"
#include "models/registry.h"

/** Brings the tables up to date where the login may do that; where not, checks that it may use them: WEIR_EDENIED says what helps. */
weir_status weir_lifecycle_open(weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;

/** Starts a run of an experiment, which is made when it is new. request: what the run was asked. Runs of the model whose process went away are failed from then on. */
weir_status weir_lifecycle_run_start(weir_pg *pg, const char *space, const char *model, const char *experiment, const cJSON *request, weir_run *ret_run,
                                     weir_err *err) WEIR_MUST_CHECK;

/* A table that a run read. */
typedef struct weir_run_dataset {
    const weir_table *table;
    int64_t row_count;
    char digest[33];
} weir_run_dataset;

/* What a run gave. Strings are borrowed. */
typedef struct weir_run_result {
    const char *algorithm, *digest, *artifact_path;
    const cJSON *signature, *params, *metrics, *tags; /* objects of scalars, but the signature */
    weir_run_dataset train, test;
    bool beats_baseline;
} weir_run_result;

/** Logs what a run gave and ends it as succeeded, all or nothing. */
weir_status weir_lifecycle_run_finish(weir_pg *pg, const char *run_id, const weir_run_result *result, weir_err *err) WEIR_MUST_CHECK;
/** The run with this id, or (NULL) the newest of the model in the experiment that succeeded and beat its baseline:
 *  {id, experiment, model, space, started_at, algorithm, digest, artifact_path, signature, beats_baseline, params{}, metrics{}, tags{}, datasets[{context, dataset, version, rows, digest}]}.
 *  WEIR_ENOTFOUND: no such experiment or run, one of another model, one that did not succeed; the message says which. */
weir_status weir_lifecycle_run_find(weir_pg *pg, const char *space, const char *model, const char *experiment, const char *run_id, cJSON **ret_run,
                                    weir_err *err) WEIR_MUST_CHECK;

/** Sets tags (an object of texts) and the description of a version, and points the alias (NULL: none) at it, all or nothing. description NULL: `generated`, unless there is one already. */
weir_status weir_lifecycle_version_describe(weir_pg *pg, const char *space, const char *model, int version, const char *alias, const cJSON *tags,
                                            const char *description, const char *generated, weir_err *err) WEIR_MUST_CHECK;
/** The spaces that have a registered model of this name, in order; catalog and schema limit them (NULL: any). A JSON array of texts. */
weir_status weir_lifecycle_spaces(weir_pg *pg, const char *model, const char *catalog, const char *schema, cJSON **ret_spaces, weir_err *err) WEIR_MUST_CHECK;
/** A version, by its number or (0) by alias: {version, run_id, algorithm, digest, artifact_path, signature, metrics, lineage, created_at, description, tags{}, aliases[], run_status}.
 *  WEIR_ENOTFOUND names the model and what it has. */
weir_status weir_lifecycle_version_find(weir_pg *pg, const char *space, const char *model, int version, const char *alias, cJSON **ret_version,
                                        weir_err *err) WEIR_MUST_CHECK;

#endif
