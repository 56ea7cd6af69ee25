/* What a model version was trained on, as a reference for drift. */
#ifndef WEIR_CONSUMERS_DRIFT_REFERENCE_H
#define WEIR_CONSUMERS_DRIFT_REFERENCE_H

#include "core/pg.h"
#include "features/drift_columns.h"

typedef struct weir_drift_training {
    char model[128];
    int version;
    int64_t from_us, to_us, as_of_us; /* of its training rows; as_of INT64_MAX: whatever was known */
} weir_drift_training;

/** Of the champion of the pipeline. *ret_found is false when there is none, or its lineage does not say on what it was trained. */
weir_status weir_drift_training_find(weir_pg *pg, const weir_pipeline *pipeline, weir_drift_training *ret_training, bool *ret_found,
                                     weir_err *err) WEIR_MUST_CHECK;
/** Profiles of the records of its training period, of one tenant or (NULL) of all: those kept in weir.drift_references, or made from history now and kept. Outside of a transaction. Errors: those of reading; WEIR_ENOTFOUND when history has no record of that period any more; of a tenant that has none *ret_records is 0. */
weir_status weir_drift_training_table(weir_pg *pg, const char *pg_url, const char *objects_dir, const weir_drift_columns *columns,
                                      const weir_drift_training *training, const char *tenant, weir_drift_table **ret_table, int64_t *ret_records,
                                      weir_err *err) WEIR_MUST_CHECK;
/** The same as far as it is kept, in any transaction; *ret_table NULL: it is not. */
weir_status weir_drift_training_kept(weir_pg *pg, const weir_drift_columns *columns, const weir_drift_training *training, const char *tenant,
                                     weir_drift_table **ret_table, int64_t *ret_records, weir_err *err) WEIR_MUST_CHECK;

#endif
