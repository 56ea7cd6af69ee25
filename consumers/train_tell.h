/* What the queue of training runs has to tell: events on weir.training.runs for each change of a run, alerts when one has failed. From rows of PostgreSQL, so that nothing is lost with a worker, and
 * by any train worker of the pipeline, one at a time, so that it comes in order. */
#ifndef WEIR_CONSUMERS_TRAIN_TELL_H
#define WEIR_CONSUMERS_TRAIN_TELL_H

#include "consumers/events.h"
#include "core/pg.h"

typedef struct weir_train_teller {
    weir_pg *pg; /* borrowed, as pipeline is */
    const char *pipeline;
    weir_producer *producer; /* borrowed; set before the first weir_train_tell */
    weir_event_codec runs, alerts;
} weir_train_teller;

weir_status weir_train_teller_init(weir_train_teller *teller, weir_pg *pg, const char *pipeline, weir_registry *registry, weir_err *err) WEIR_MUST_CHECK;
void weir_train_teller_done(weir_train_teller *teller);
/** Sends what there is and forgets it once it is delivered; nothing when another worker does just now. An event may come twice, with the same ce_id. */
weir_status weir_train_tell(weir_train_teller *teller, weir_err *err) WEIR_MUST_CHECK;

#endif
