/* Lineage on weir.lineage, for whoever collects OpenLineage events. */
#ifndef WEIR_CONSUMERS_LINEAGE_H
#define WEIR_CONSUMERS_LINEAGE_H

#include "consumers/events.h"
#include "core/pg.h"

/** Sends the events of models/lineage.h and waits until they are acknowledged. run_id: only those of this training run; NULL: of all runs and deployments. codec: of schemas/lineage.avsc.
 *  Sent again they have the same ids. *ret_events (may be NULL) is what was sent; the caller deletes it. Errors: those of the database and of weir_producer_flush. */
weir_status weir_lineage_send(weir_pg *pg, const weir_pipeline *pipeline, const char *brokers, const char *run_id, weir_event_codec *codec,
                              weir_producer *producer, cJSON **ret_events, weir_err *err) WEIR_MUST_CHECK;

#endif
