/* A training run made again from its record: the same rows, the same fits, the same digests. */
#ifndef WEIR_MODELS_REPRODUCE_H
#define WEIR_MODELS_REPRODUCE_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "features/pipeline.h"

/** Reads the training set again by the recorded window, as_of and columns, fits each version's recorded spec on it with the recorded seed, and compares digests. Nothing is written.
 *  *ret_report {run, equal, why, dataset: {recorded, again, equal, rows}, versions: [{model, version, recorded, again, equal, why}]}; why says what kept it from being made again, else null;
 *  the caller deletes it. Threads are those of the version's artifact, else the recipe's; folds of stacking and weighted ensembles are the recipe's.
 *  A run in which a version went on learning begins with that version's artifact. Errors: WEIR_ENOTFOUND (no such run, one that made no versions, a search), those of the recipe and of reading history. */
weir_status weir_reproduce(const char *pg_url, const char *objects_dir, const weir_pipeline *pipeline, const char *run_id, cJSON **ret_report,
                           weir_err *err) WEIR_MUST_CHECK;

#endif
