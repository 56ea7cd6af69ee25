/* The core of point-in-time joins: for each label, an entity and a time, what was known of the entity then.
 *
 * Rows and labels are dealt into partitions by entity, by its dense number, so that each partition is small; in a partition both are put together by entity (counting sort), each
 * entity's are brought into the order of time (mostly they are in it already), and one pass walks both:
 *
 *     labels  ──┐ deal by entity   ┌─ partition 0: entity 0 | 256 | 512 …  ─┐
 *               ├─────────────────>├─ partition 1: entity 1 | 257 | …       ├─> walk: rows that became known enter; a label asks for the newest of them at its time
 *     rows    ──┘ (spills to disk) └─ …                                     ┘   (partitions are shared by threads)
 *
 * A row counts for a label when it was known by the label's cutoff and its event time is not after the label's time. */
#ifndef WEIR_FEATURES_ASOF_H
#define WEIR_FEATURES_ASOF_H

#include "features/spill.h"

enum { WEIR_ASOF_THREADS_MAX = 64 };

typedef struct weir_asof_label {
    uint32_t entity;
    int32_t upto_partition; /* rows at exactly `time_us` count only if their source is not after this one; */
    int64_t upto_offset; /* INT32_MAX, INT64_MAX: all of them */
    int64_t time_us, cutoff_us;
    int64_t row; /* the label's number */
} weir_asof_label;

/* Followed by the doubles that the join was made for. Rows of one event time are ordered by source, rows of one source by version, and the last counts. */
typedef struct weir_asof_row {
    uint32_t entity;
    int32_t partition;
    int64_t event_us, known_us, offset, version;
    int64_t place; /* the caller's: where the rest of the row is */
    double values[];
} weir_asof_row;

typedef struct weir_asof_conf {
    int value_count; /* doubles of a row */
    int64_t ttl_us; /* 0: none; a newest row older than this before the label's time has expired */
    int thread_count;
    weir_budget *budget;
} weir_asof_conf;

/* What is done with what was found; called by `thread` (0 … thread_count - 1) for one entity at a time. */
typedef struct weir_asof_ops {
    void (*begin)(void *context, int thread); /* another entity; may be NULL */
    /** A row became known, in the order of known times; repeats are possible. May be NULL. */
    weir_status (*enter)(void *context, int thread, const weir_asof_row *row, weir_err *err);
    /** A label, in the order of cutoffs. newest: of the rows that count; NULL: there is none, or (expired) it is too old. */
    weir_status (*at)(void *context, int thread, const weir_asof_label *label, const weir_asof_row *newest, bool expired, weir_err *err);
} weir_asof_ops;

typedef struct weir_asof weir_asof;
weir_status weir_asof_new(const weir_asof_conf *conf, weir_asof **ret_asof, weir_err *err) WEIR_MUST_CHECK;
void weir_asof_free(weir_asof *asof);
weir_status weir_asof_add_label(weir_asof *asof, const weir_asof_label *label, weir_err *err) WEIR_MUST_CHECK;
/** The row to be filled, values included; NULL with *err set. Entities are those of labels: numbers from 0, without gaps worth mention. */
weir_asof_row *weir_asof_add_row(weir_asof *asof, uint32_t entity, weir_err *err) WEIR_MUST_CHECK;
int64_t weir_asof_row_count(const weir_asof *asof);
/** Walks everything and empties the join. Memory beyond the budget: thread_count times the largest partition, a 256th of everything when entities are alike. */
weir_status weir_asof_run(weir_asof *asof, const weir_asof_ops *ops, void *context, weir_err *err) WEIR_MUST_CHECK;

#endif
