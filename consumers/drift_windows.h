/* Which windows of event time the drift worker judges, and when. Pure: no clock, no store. */
#ifndef WEIR_CONSUMERS_DRIFT_WINDOWS_H
#define WEIR_CONSUMERS_DRIFT_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

/** Start of the slot [k × every, (k + 1) × every) that holds the time; slots begin at 1970, UTC. every_us > 0. */
int64_t weir_drift_slot_of(int64_t time_us, int64_t every_us);

/* How far one partition of a topic is counted. Times by the clock but for newest. */
typedef struct weir_drift_progress {
    int64_t newest_us; /* newest event time; INT64_MIN: no record yet */
    int64_t moved_us; /* when a record last came */
    int64_t caught_up_us; /* when it was last seen without a record that waits; INT64_MIN: never */
} weir_drift_progress;
/* A partition is idle when nothing came for so long although somebody looks: it holds no window back. */
#define WEIR_DRIFT_IDLE_US (INT64_C(30) * 1000000)
/* Who reads a partition looks at least so often. */
#define WEIR_DRIFT_LOOK_US (INT64_C(10) * 1000000)

/** The event time before which all partitions are counted: the least of the newest times of those that are not idle, but not beyond now (a stray record from the future must
 *  close nothing); now when all are idle. INT64_MIN: not known, because a partition is behind, or nobody reads it. */
int64_t weir_drift_watermark(const weir_drift_progress *partitions, int count, int64_t now_us);

/* What is there to judge. */
typedef struct weir_drift_due {
    int64_t every_us, window_us; /* window_us ≥ every_us */
    int64_t judged_us; /* end of the newest window that was judged; INT64_MIN: none */
    int64_t first_us, last_us; /* first and newest slot with records that no judged window has; INT64_MIN: there is none */
} weir_drift_due;
/** End of the next window to be judged when event time has come to watermark_us; false: none yet. The first window is full. Windows without new records are passed over, and who
 *  is more than a window behind judges windows side by side, so that every record is judged, but not in every window that could hold it. */
bool weir_drift_next(const weir_drift_due *due, int64_t watermark_us, int64_t *ret_to_us);

#endif
