/* When a cron expression is due: "0 2 * * 0" in a time zone. Minute, hour, day of month, month, day of week; each a `*`, a number or a name (JAN, SUN), a range a-b, a step
 * a-b/n, or a list of these. 0 and 7 are Sunday. Where both day of month and day of week are restricted, either will do (as in Vixie cron). Also @hourly, @daily,
 * @weekly, @monthly, @yearly. */
#ifndef WEIR_CORE_CRON_H
#define WEIR_CORE_CRON_H

#include <stdbool.h>

#include "core/zone.h"

/* Bit n: value n is in. */
typedef struct weir_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday; /* the field begins with `*` */
    bool every_hour;
} weir_cron;

/** Errors: WEIR_EINVAL that names the field, what was found and what was expected; also for days that never come, such as 30 February. */
weir_status weir_cron_parse(const char *text, weir_cron *ret_cron, weir_err *err) WEIR_MUST_CHECK;

/** The first time after after_us at which it is due, µs since 1970, by the wall clock of the zone. Where the clock is set forward over a due time, it is due when that
 *  happens; where it is set back over one, it is due the first time, unless it is due in every hour: then both times. */
int64_t weir_cron_next(const weir_cron *cron, const weir_zone *zone, int64_t after_us);

#endif
