/* Rebuild: after the definition of a pipeline's features changed, states and stored values as they would be had they always been made by the definition of now.
 *
 *   offline store: records of each entity by arrival number ──live operators──> values, corrections ──> into the rows of the offline store (one transaction)
 *                                                                       └──> states ──> snapshots on <pipeline>.features.<view> ──> ingest and serving begin with them
 *
 * The records come in the order in which they arrived then, under their numbers, so versions mean what they meant: predictions say by them what they were made of. No worker
 * ingests meanwhile: records wait in their topics, and ingest goes on from its committed offsets with the new states; nothing is missed or counted twice. */
#ifndef WEIR_CONSUMERS_REBUILD_H
#define WEIR_CONSUMERS_REBUILD_H

#include "features/pipeline.h"

typedef struct weir_rebuild_conf {
    const char *brokers, *registry_url, *pg_url;
    const char *objects_dir; /* where compacted days are; NULL: there are none */
    void (*progress)(void *context, const char *view, int64_t records); /* may be NULL */
    void *progress_context;
} weir_rebuild_conf;

typedef struct weir_rebuilt {
    int64_t records, entities; /* of all views */
    int64_t rows; /* whose values are others than before */
    int64_t corrections; /* new ones */
} weir_rebuilt;

/** Every view. Killed anywhere and run again it does all of it again, with the same result. Rows of compacted days stay as they are (files are never changed), though their records
 *  count. Errors: WEIR_ECONFLICT when ingest runs, or ran meanwhile, or when another rebuild is under way; WEIR_ETIMEOUT RETRY when the store worker does not get to the end of the
 *  features topics; WEIR_EDATA when the offline store lacks a record of an entity. */
weir_status weir_rebuild_run(const weir_pipeline *pipeline, const weir_rebuild_conf *conf, weir_rebuilt *ret_done, weir_err *err) WEIR_MUST_CHECK;

#endif
