/* Slots, watermarks and the next window. */
#include "consumers/drift_windows.h"

int64_t weir_drift_slot_of(int64_t time_us, int64_t every_us) {
    int64_t past = time_us % every_us;
    return time_us - past - (past < 0 ? every_us : 0);
}

int64_t weir_drift_watermark(const weir_drift_progress *partitions, int count, int64_t now_us) {
    int64_t least_us = now_us;
    for (int i = 0; i < count; i++) {
        const weir_drift_progress *p = &partitions[i];
        bool seen = p->caught_up_us != INT64_MIN && p->caught_up_us >= now_us - 3 * WEIR_DRIFT_LOOK_US;
        if (seen && p->moved_us <= now_us - WEIR_DRIFT_IDLE_US && p->caught_up_us >= p->moved_us) continue;
        if (p->newest_us < least_us) least_us = p->newest_us;
    }
    return count > 0 ? least_us : INT64_MIN;
}

bool weir_drift_next(const weir_drift_due *due, int64_t watermark_us, int64_t *ret_to_us) {
    if (due->first_us == INT64_MIN || watermark_us == INT64_MIN) return false;
    bool is_first = due->judged_us == INT64_MIN;
    int64_t to_us = is_first ? weir_drift_slot_of(due->first_us, due->every_us) + due->window_us : due->judged_us + due->every_us;
    if (!is_first) {
        int64_t next_us = due->first_us + due->every_us;
        if (next_us > to_us) to_us = next_us; /* nothing new before */
        int64_t side_us = due->judged_us + due->window_us, newest_us = due->last_us + due->every_us;
        if (side_us > newest_us) side_us = newest_us; /* a full window that ends with the newest records, rather than one that is partly empty */
        if (watermark_us - to_us >= due->window_us && side_us > to_us) to_us = side_us;
    }
    if (to_us > watermark_us) return false;
    *ret_to_us = to_us;
    return true;
}
