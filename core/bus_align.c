/* The order in which the partitions of a topic hand out their records: a merge by time, as far as the times are known.
 *
 *   partition 0   ──9──8──7──┐                      7 goes: it is the earliest, and not more than the slack after 6, the last of partition 2,
 *   partition 1   ────12─12──┼─> 7 8 9 12 …         for which more is on its way
 *   partition 2   (fetching)─┘ last was 6
 *
 * Whom the others wait for is what this decides. A partition that has a record takes part in the merge. One that has none
 * - but has a backlog: is waited for, unless it has given nothing for WAIT_BACKLOG_US (its broker is away, a transaction stays open);
 * - and is at its end: somebody may be writing history at full speed, and this partition's next batch is still under way to the broker. It is waited for a moment after its
 *   last record, or after records began to come at all; but not if its time runs no faster than the clock, and not by records that are as young as live ones: then the
 *   stream is live, and a live stream is not delayed.
 * Records without a time wait for nobody, and nobody waits for them. */
#include "core/bus_align.h"

#define WAIT_BACKLOG_US INT64_C(30000000)
#define WAIT_AT_END_US INT64_C(500000)
#define FASTER 2 /* than the clock: catching up */

static bool is_waited_for(const weir_align_leg *leg, int64_t time_us, const weir_align_rules *rules) {
    if (leg->behind) return rules->now_us - leg->given_at_us < WAIT_BACKLOG_US;
    if (time_us > rules->live_after_us) return false;
    return rules->now_us - rules->woke_at_us < WAIT_AT_END_US || (!leg->slow && rules->now_us - leg->given_at_us < WAIT_AT_END_US);
}

static int64_t later(int64_t time_us, int64_t by_us) {
    return time_us == WEIR_ALIGN_NO_TIME || time_us > INT64_MAX - by_us ? time_us : time_us + by_us;
}

int weir_align_next(const weir_align_leg *legs, int count, const weir_align_rules *rules, int64_t *ret_limit_us) {
    int next = -1;
    for (int i = 0; i < count; i++)
        if (legs[i].there && (next < 0 || legs[i].time_us < legs[next].time_us)) next = i;
    if (next < 0) return -1;
    int64_t limit_us = INT64_MAX;
    for (int i = 0; i < count; i++) {
        if (i == next || (!legs[i].there && !is_waited_for(&legs[i], legs[next].time_us, rules))) continue;
        int64_t most_us = later(legs[i].time_us, rules->slack_us);
        if (most_us < limit_us) limit_us = most_us;
    }
    if (legs[next].time_us > limit_us) return -1;
    *ret_limit_us = limit_us;
    return next;
}

void weir_align_keys(const int64_t *times, int64_t *keys, int count) {
    int64_t earliest = WEIR_ALIGN_NO_TIME;
    for (int i = count - 1; i >= 0; i--) {
        if (times[i] != WEIR_ALIGN_NO_TIME && (earliest == WEIR_ALIGN_NO_TIME || times[i] < earliest)) earliest = times[i];
        keys[i] = earliest;
    }
}

bool weir_align_is_slow(int64_t from_us, int64_t to_us, int64_t took_us) {
    return to_us < later(from_us, FASTER * took_us);
}
