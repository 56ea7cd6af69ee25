/* A compiled view: entity state and its features. Pure computation: no Kafka, no stores.
 *
 * The state of an entity is made from the set of its records, each once, in the order (event time, source partition, source offset), whatever order they arrived in:
 *   tail  the records themselves, as far back as a window, a count or the allowed lateness reaches;
 *   base  accumulators of operators without an end, and tiles, over all records older than the tail (nothing can change among those any more);
 *   seen  per source partition the highest offset that was applied, so that what left the tail and comes again is known as a repeat.
 * Applying is a set union, so replays and duplicates change nothing, and values depend on event time only, not on the order of arrival within allowed_lateness.
 *
 * Of a record the state keeps `slots`: numbers computed from the row once, when it is applied (columns, expressions in "of" and "where"; texts as weir_text_number). */
#ifndef WEIR_FEATURES_VIEW_H
#define WEIR_FEATURES_VIEW_H

#include "core/mem.h"
#include "features/pipeline.h"

typedef struct weir_view weir_view;

/* Where a record came from. */
typedef struct weir_source {
    int32_t partition;
    int64_t offset;
} weir_source;

/** Borrowed: pipeline and def outlive the view. */
weir_status weir_view_new(const weir_pipeline *pipeline, const weir_view_def *def, weir_view **ret_view, weir_err *err) WEIR_MUST_CHECK;
void weir_view_free(weir_view *view);
const weir_view_def *weir_view_def_of(const weir_view *view);
const weir_feed_def *weir_view_feed(const weir_view *view);
const int *weir_view_entity_columns(const weir_view *view); /* [def->entity_count] columns of the feed's schema */
/** How far behind a value's time its records reach, in µs; INT64_MAX when an operator has no end ("all", sessions, counts). */
int64_t weir_view_horizon_us(const weir_view *view);

/* Slots. */
int weir_view_slot_count(const weir_view *view);
const char *weir_view_slot_text(const weir_view *view, int slot); /* canonical expression; a column's name for a plain column */
int weir_view_slot_column(const weir_view *view, int slot); /* column of the feed's schema, or -1: computed */
/** Columns of the feed that slots are computed from, ascending: [*ret_count]. */
const int *weir_view_columns(const weir_view *view, int *ret_count);
/** slots [slot_count] of one row; NaN: null, as are infinite values. Thread-safe, no allocation. */
void weir_view_slots(const weir_view *view, const weir_datum *row, double *slots);

/* Decoded, mutable state of one entity. Zero-initialised is empty. Fields are for the engine's own files; readers use the functions. */
typedef struct weir_state {
    int first, count, capacity; /* the tail is [first, first + count) of the arrays */
    int64_t *time; /* [capacity] ascending; one allocation with what follows */
    weir_source *source; /* [capacity] */
    double *values; /* [slot][capacity]; NaN: null */
    uint32_t *seq; /* [capacity] arrival number in this entity, from 1 */
    int64_t max_time; /* newest event time ever applied; of no meaning while count is 0, which it is only before the first record */
    uint32_t version; /* records applied so far = newest seq */
    int seen_count, seen_capacity;
    weir_source *seen; /* highest applied offset by partition */
    int64_t dropped; /* records that left the tail in this memory: tail position + dropped numbers a record for as long as it is there */
    unsigned char *base; /* what is kept of the records that left, by fold (view_internal.h); NULL or not base_used: nothing */
    unsigned char *head; /* base followed by the tail as far as values were asked for, while records come in order */
    unsigned char *anchors; /* heads as they were a while ago, for records that come out of order into a long tail */
    bool base_used, head_valid, anchors_valid;
    int slot_count; /* that the arrays have room for; with the two below: an empty state may be filled by another view */
    size_t base_bytes, head_bytes, anchor_bytes;
    size_t bytes; /* of heap memory that it holds */
} weir_state;
void weir_state_done(weir_state *state);
void weir_state_clear(weir_state *state); /* empty, keeps memory; any view may fill it then */
size_t weir_state_bytes(const weir_state *state); /* of memory that it holds, itself included */

typedef enum weir_applied { WEIR_APPLIED, WEIR_DUPLICATE, WEIR_LATE } weir_applied;
enum { WEIR_STATE_RECORDS_MAX = 1 << 16 };

/** Adds one record and folds or drops what left the tail. seq: 0 to number it by arrival; else (a record read back from the features topic) the number it had: then one
 *  that is ≤ state->version is a duplicate.
 *  LATE: event time is more than allowed_lateness behind state->max_time and it was not seen before; nothing changed. *ret_position (may be NULL): index in the tail where
 *  it stands, for weir_view_affected. Errors: WEIR_ELIMIT REJECT when the tail has WEIR_STATE_RECORDS_MAX records; WEIR_ENOMEM. */
weir_status weir_view_apply(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *slots, uint32_t seq,
                            weir_applied *ret_applied, int *ret_position, weir_err *err) WEIR_MUST_CHECK;

/** Whether the pipeline has checks that look at other records of an entity: true for the primary view only. */
bool weir_view_has_checks(const weir_view *view);
/** Runs them for a record that weir_view_apply is about to be given. A record that is there already, or that comes too late, is left to that function: OK.
 *  What failed goes into *hits (added to what is there). Errors: WEIR_EDATA REJECT from the first that failed and rejects. The state is not changed.
 *  "previous" is the newest record in the state at or before the event time; a first record has none and passes. */
weir_status weir_view_check(const weir_view *view, const weir_state *state, int64_t event_time_us, weir_source source, const weir_datum *row,
                            weir_check_hits *hits, weir_err *err) WEIR_MUST_CHECK;

/** Adds one record without regard to lateness or WEIR_STATE_RECORDS_MAX, folds and drops nothing, as retrieval from history does; slots [slot_count]. One that is there already
 *  changes nothing. Errors: WEIR_ENOMEM; WEIR_ELIMIT beyond 2^28 records. */
weir_status weir_state_add(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *slots,
                           weir_err *err) WEIR_MUST_CHECK;

/* A record in the tail. */
typedef struct weir_tail_record {
    int64_t event_time_us;
    weir_source source;
    uint32_t seq;
} weir_tail_record;
/** The record at a position of the tail, 0 oldest; false behind the end. */
bool weir_state_at(const weir_state *state, int position, weir_tail_record *ret_record);
/** Whether a record that was put at `position` may have changed values at later records: true unless it is the last. Those at position + 1 and later are to be evaluated
 *  again and, where a value's bits differ from those without the new record, sent as corrections: weir_view_eval_without gives the values as they were. */
bool weir_view_affected(const weir_view *view, const weir_state *state, int position);

/** Features at time t. Shapes: out [feature_count of the def]; NaN: null. Hidden features have their place, too.
 *  upto: records at exactly t count only if their (partition, offset) is not after *upto (NULL: all of them), as when they are computed record by record.
 *  Columns in expressions are those of the newest record that counts, event_time its time. Values are those of the whole set for t ≥ the newest event time -
 *  allowed_lateness; before that, windows miss what left the tail, and accumulators have what is in the base already.
 *  No allocation on the thread that applied, added or decoded (on another one scratch memory may have to grow; where there is none, the process ends). Thread-safe only with
 *  a state of the thread's own: the head is kept in it.
 *  Windowed sums have an order that depends on the records and t only, so equal sets give equal bits. */
void weir_view_eval(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, double *out);
/** The same as if the record at `without` (a position of the tail) were not there. */
void weir_view_eval_without(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, int without, double *out);
/** Whether the state answers for time t: false when t lies before the newest record by more than the allowed lateness and there are records that have left the tail: some that a
 *  window at t has may be gone. Where they were only added (weir_state_add), the answer is that of a state to which they were applied. */
bool weir_view_reaches(const weir_view *view, const weir_state *state, int64_t t_us);

typedef enum weir_answer {
    WEIR_ANSWER_PRESENT,
    WEIR_ANSWER_NO_RECORD, /* none at or before t: what the operators say of no records where the view is evaluated when it is read, else all null */
    WEIR_ANSWER_EXPIRED, /* the newest record at or before t is older than the view's ttl: all null */
    WEIR_ANSWER_OUT_OF_REACH, /* the state does not reach back to t: all null */
    WEIR_ANSWERS
} weir_answer;
/** What a model or a client that asks at time t is given: weir_view_eval at t or (WEIR_AT_EVENT) at the newest record at or before t, by the rules of "at" and "ttl" that
 *  retrieval from history follows, too. upto, out: as there. *ret_newest_us: event time of the newest record at or before t; INT64_MIN: there is none. */
weir_answer weir_view_ask(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, double *out, int64_t *ret_newest_us);
/** The same for what is known without a state: whether the newest record at or before t has expired. */
bool weir_view_expired(const weir_view *view, int64_t newest_us, int64_t t_us);

/** Appends the state's bytes: format in state.c. Equal sets in equal order of arrival give equal bytes. */
bool weir_state_encode(const weir_view *view, const weir_state *state, weir_buf *out) WEIR_MUST_CHECK;
/** Replaces *state. Slots that the bytes lack are null, slots that the view lacks are dropped, so features may be added and removed; an accumulator whose operator or
 *  parameters changed starts empty. Errors: WEIR_EDATA for damaged bytes; WEIR_ENOMEM. */
weir_status weir_state_decode(const weir_view *view, const void *bytes, size_t len, weir_state *state, weir_err *err) WEIR_MUST_CHECK;
/** Newest source and event time in the state, for "what did this read"; false when empty. */
bool weir_state_newest(const weir_state *state, weir_source *ret_source, int64_t *ret_time_us);

#endif
