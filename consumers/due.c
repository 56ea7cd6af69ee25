#include "consumers/due.h"

#include <limits.h>

/* All of them as one: the last is told, or, when it was missed and nobody wants that, none. A schedule of every minute that was away for years takes a second here. */
static int as_one(const weir_cron *cron, const weir_zone *zone, bool missed_too, int64_t at_us, int64_t now_us, weir_due *due) {
    *due = (weir_due){.at_us = at_us};
    for (int64_t next_us; (next_us = weir_cron_next(cron, zone, due->at_us)) <= now_us;) {
        due->at_us = next_us;
        if (due->missed < INT_MAX) due->missed++;
    }
    due->told = missed_too || now_us - due->at_us <= WEIR_SCHEDULE_GRACE_US;
    if (due->told && !missed_too) due->missed = 0; /* those before passed unheard */
    return 1;
}

int weir_schedule_due(const weir_cron *cron, const weir_zone *zone, weir_catch_up catch_up, int64_t last_us, int64_t now_us, weir_due *due) {
    int64_t at_us = weir_cron_next(cron, zone, last_us);
    int count = 0;
    if (at_us > now_us) return 0;
    if (catch_up != WEIR_CATCH_UP_ALL) return as_one(cron, zone, catch_up == WEIR_CATCH_UP_LAST, at_us, now_us, due);
    for (; at_us <= now_us && count < WEIR_DUE_MAX; at_us = weir_cron_next(cron, zone, at_us)) due[count++] = (weir_due){.at_us = at_us, .told = true};
    return count;
}
