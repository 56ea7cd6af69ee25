/* Time zones of the tz database: what a clock on the wall shows at an instant, and at which instants it shows a given time. Independent of the process's TZ, and safe from any
 * thread. Read from the folder in TZDIR, or /usr/share/zoneinfo. Format: RFC 8536, versions 1 to 4, without leap seconds. */
#ifndef WEIR_CORE_ZONE_H
#define WEIR_CORE_ZONE_H

#include <stdint.h>

#include "core/err.h"

typedef struct weir_zone weir_zone;

/** name: "Europe/Athens"; "UTC" needs no file. Errors: WEIR_EINVAL (no such zone, or a file that is none), WEIR_ENOMEM. Free with weir_zone_free. */
weir_status weir_zone_load(const char *name, weir_zone **ret_zone, weir_err *err) WEIR_MUST_CHECK;
/** The same from the bytes of a file. */
weir_status weir_zone_parse(const char *name, const unsigned char *bytes, size_t size, weir_zone **ret_zone, weir_err *err) WEIR_MUST_CHECK;
void weir_zone_free(weir_zone *zone);

/** Seconds that local time is ahead of UTC at an instant (seconds since 1970). */
int64_t weir_zone_offset(const weir_zone *zone, int64_t utc_s);

/* Local time as seconds since 1970-01-01 00:00 on the wall. */
typedef struct weir_zone_instants {
    int count; /* 1; 2 where the clock is set back over that time; 0 where it is set forward over it */
    int64_t utc_s[2]; /* ascending */
    int64_t gap_end_s; /* count 0: the instant at which the clock is set forward */
} weir_zone_instants;
weir_zone_instants weir_zone_instants_of(const weir_zone *zone, int64_t local_s);

#endif
