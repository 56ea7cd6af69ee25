/* Point-in-time joins where only the newest row counts and a label's cutoff is its own time: for each label, an entity and a time, the newest row that was known by then.
 *
 * Nothing of the rows is kept: labels lie in memory, by entity and time, and each row, in whatever order and from whatever thread it comes, is offered to the first label that may
 * see it, which keeps the best offer. In the end each label takes what the one before it found, if that is newer:
 *
 *     entity 7:   label 10:00 ── label 12:00 ── label 15:00
 *     rows:        9:10  9:50     11:30          (none)          of event 9:50 known at 10:20: offered to 12:00
 *     kept:        9:50           11:30          -
 *     found:       9:50           11:30          11:30
 *
 * Labels that are in place serve for one set of rows after the other (views of one entity).
 *
 * Time: rows × log(labels of an entity). For labels with cutoffs of their own, and for more labels than fit into memory, see asof.h. */
#ifndef WEIR_FEATURES_LATEST_H
#define WEIR_FEATURES_LATEST_H

#include <stdint.h>

#include "core/mem.h"

/* Rows of one event time are ordered by source, rows of one source by version, and the last counts. */
typedef struct weir_latest_row {
    int64_t event_us, known_us, offset, version;
    int64_t place; /* the caller's: where the row is; not negative */
    int32_t partition;
    uint32_t entity;
} weir_latest_row;

/* A row that was found, for a label. */
typedef struct weir_latest_match {
    int64_t place, label;
} weir_latest_match;

typedef struct weir_latest weir_latest;
/** Memory for so many labels, matches included. */
int64_t weir_latest_bytes(int64_t label_count);
/** Room for at most label_count labels. Errors: WEIR_ENOMEM, WEIR_ELIMIT (2³² labels). */
weir_status weir_latest_new(int64_t label_count, weir_latest **ret_latest, weir_err *err) WEIR_MUST_CHECK;
void weir_latest_free(weir_latest *latest);
/** label: its number, given back with its match. Entities are numbers from 0, without gaps worth mention. */
void weir_latest_add(weir_latest *latest, uint32_t entity, int64_t time_us, int64_t label);
/** After the last label, before the first row. */
weir_status weir_latest_start(weir_latest *latest, uint32_t entity_count, weir_err *err) WEIR_MUST_CHECK;
/** From several threads at once; many rows in one call wait less for memory. */
void weir_latest_offer(weir_latest *latest, const weir_latest_row *rows, int count);
/** After the last row: what was found, by place, then by the label's time; heap, the caller's. The labels then have nothing again. ttl_us: rows older than this before the label's
 *  time are none; 0: any age. */
weir_status weir_latest_end(weir_latest *latest, int64_t ttl_us, weir_latest_match **ret_matches, int64_t *ret_count, weir_err *err) WEIR_MUST_CHECK;

#endif
