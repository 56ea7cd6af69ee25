/* What was made from what: topics → views → training set → run → model version → deployment → predictions. Nothing of it is kept twice: it is read from the registry, the pipeline file and
 * the offline store. */
#ifndef WEIR_MODELS_LINEAGE_H
#define WEIR_MODELS_LINEAGE_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "features/pipeline.h"

/* Layers of the graph, from left to right. */
typedef enum weir_lineage_kind {
    WEIR_LINEAGE_DATA,
    WEIR_LINEAGE_FEATURES,
    WEIR_LINEAGE_DATASET,
    WEIR_LINEAGE_RUN,
    WEIR_LINEAGE_VERSION,
    WEIR_LINEAGE_DEPLOYMENT,
    WEIR_LINEAGE_PREDICTIONS,
    WEIR_LINEAGE_KINDS
} weir_lineage_kind;
extern const char *const weir_lineage_kinds[]; /* "data", "features", "dataset", "run", "version", "deployment", "predictions"; NULL-terminated */

/* Whose lineage. NULL, 0: not given; nothing given: the versions that aliases point at, else those of the newest run that made any. */
typedef struct weir_lineage_query {
    const char *run;
    const char *model;
    int version; /* of model */
    const char *prediction; /* id */
} weir_lineage_query;

/** *ret_graph {pipeline, nodes: [{id, kind, title, lines: [text, …], detail: {…}}], edges: [{from, to}]}; the caller deletes it. Nodes are in the order of their kinds; lines are for people,
 *  detail has all that is known. Versions that were deleted are told, too, and those
 *  that one went on learning from. Errors: WEIR_ENOTFOUND when there is no such run, version or prediction, or no version at all. */
weir_status weir_lineage_read(weir_pg *pg, const weir_pipeline *pipeline, const weir_lineage_query *query, cJSON **ret_graph, weir_err *err) WEIR_MUST_CHECK;

/** Every training run that is over, and every deployment, as run events of OpenLineage 2-0-2 (openlineage.io): JSON array of {id, run_id, job, at (ISO 8601), event}, oldest first; the
 *  caller deletes it. A run is a START and a COMPLETE (or FAIL) event of job PIPELINE.train, a move of an alias the same of PIPELINE.deploy.ALIAS. Ids, and the UUIDs of runs, follow from
 *  what is told, so that telling it again gives the same events. brokers: the namespace of topics, kafka://HOST:PORT of the first. run_id: only
 *  the events of this training run; NULL: all. */
weir_status weir_lineage_events(weir_pg *pg, const weir_pipeline *pipeline, const char *brokers, const char *run_id, cJSON **ret_events,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
