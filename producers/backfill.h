/* Backfill: history that is published to a pipeline's topics, once, and from there goes the way of live records: same workers, same operators, same states, so that what follows
 * live continues exactly where it ends. Which records of it are in the topics is known from the topics themselves (header weir.backfill), so a run that was killed anywhere goes on
 * where it was, and a run that was completed does nothing. */
#ifndef WEIR_PRODUCERS_BACKFILL_H
#define WEIR_PRODUCERS_BACKFILL_H

#include "producers/records.h"

typedef struct weir_backfill {
    const char *name; /* of the backfill, unique in the pipeline */
    const char *pg_url;
    bool beside_live; /* the topics may hold records of others already */
} weir_backfill;

typedef struct weir_backfilled {
    int64_t events, labels; /* published by this run */
    int64_t before; /* by runs before it */
    bool was_done;
    char *handover; /* "topic partition offset" lines, heap: from where on everything is live */
} weir_backfilled;

/** Publishes what of the records is not in the topics yet; conf as for weir_publisher_new, its headers and skip are set here. Topics must exist.
 *  Errors: WEIR_ECONFLICT when the events topic holds other records and beside_live is false: the past would be late behind them. *stop is no error: run it again. Memory: 60
 *  bytes for each record that an interrupted run had published. */
weir_status weir_backfill_run(const weir_pipeline *pipeline, const weir_backfill *backfill, const weir_publish_conf *conf, weir_records *records,
                              const volatile int *stop, weir_backfilled *ret_done, weir_err *err) WEIR_MUST_CHECK;

#endif
