/* Which partition of a topic may hand a record out next, so that its partitions are read side by side in time. Internal to core; no Kafka in here. */
#ifndef WEIR_CORE_BUS_ALIGN_H
#define WEIR_CORE_BUS_ALIGN_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ALIGN_NO_TIME INT64_MIN

/* A held partition of the topic. Times of records are microseconds of whatever clock they carry; *_at_us are monotonic. */
typedef struct weir_align_leg {
    bool there; /* it has a record to hand out */
    int64_t time_us; /* there: when that record may go, see weir_align_keys; else the same of the last one handed out; WEIR_ALIGN_NO_TIME: none */
    bool behind; /* not there: as far as is known it has records that were not fetched yet */
    int64_t given_at_us; /* when it last gave records, or was assigned */
    bool slow; /* its time runs no faster than the clock */
} weir_align_leg;

typedef struct weir_align_rules {
    int64_t slack_us; /* how far one partition may be ahead of another */
    int64_t live_after_us; /* records after this time are not catching up with anything */
    int64_t now_us; /* monotonic */
    int64_t woke_at_us; /* monotonic: when records came after a time without any */
} weir_align_rules;

/** The leg that hands out next, and the time up to which it may go on before this is asked again; -1: none may now. */
int weir_align_next(const weir_align_leg *legs, int count, const weir_align_rules *rules, int64_t *ret_limit_us);

/** When each of the records read ahead of a partition may go: with the earliest of itself and those behind it, since they wait for it. A record without a time goes with what
 *  is behind it, or at once. Shapes: times, keys [count], in the order of their offsets. */
void weir_align_keys(const int64_t *times, int64_t *keys, int count);

/** Whether a partition's time ran no faster than the clock, over an interval in which it went from one time to another. */
bool weir_align_is_slow(int64_t from_us, int64_t to_us, int64_t took_us);

#endif
