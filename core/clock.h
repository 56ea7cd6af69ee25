/* Time, injectable so that tests never sleep. All times are microseconds; wall time is UTC since 1970. */
#ifndef WEIR_CORE_CLOCK_H
#define WEIR_CORE_CLOCK_H

#include <stdint.h>

#include "core/err.h"

#define WEIR_SECOND_US INT64_C(1000000)
#define WEIR_DAY_US (INT64_C(86400) * WEIR_SECOND_US)

typedef struct weir_clock weir_clock;
struct weir_clock {
    int64_t (*wall_us)(weir_clock *clock);
    int64_t (*mono_us)(weir_clock *clock);
    void (*sleep_us)(weir_clock *clock, int64_t duration_us);
};

/** The machine's clock; process-wide. */
weir_clock *weir_clock_system(void);

/* A clock that stands still until it is told; sleeping advances it. */
typedef struct weir_clock_manual {
    weir_clock base;
    int64_t now_us;
} weir_clock_manual;
void weir_clock_manual_init(weir_clock_manual *clock, int64_t now_us);

static inline int64_t weir_clock_wall_us(weir_clock *clock) {
    return clock->wall_us(clock);
}
static inline int64_t weir_clock_mono_us(weir_clock *clock) {
    return clock->mono_us(clock);
}
static inline void weir_clock_sleep_us(weir_clock *clock, int64_t duration_us) {
    clock->sleep_us(clock, duration_us);
}

/** Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
int64_t weir_days_from_civil(int64_t year, int month, int day);
void weir_civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

/** "90s", "15m", "12h", "7d", "2w", "250ms" → microseconds. Anything else, negative or overflowing: WEIR_EINVAL. */
weir_status weir_duration_parse(const char *text, int64_t *ret_us, weir_err *err) WEIR_MUST_CHECK;
/** "2018-05-15", "2018-05-15 10:00:00[.ffffff]", "2018-05-15T10:00:00Z" (UTC) → microseconds since 1970. */
weir_status weir_time_parse(const char *text, int64_t *ret_us, weir_err *err) WEIR_MUST_CHECK;
#define WEIR_TIME_TEXT_MAX 32
/** ISO 8601 UTC, "2018-05-15T10:00:00.000000Z". Returns text. */
char *weir_time_format(int64_t time_us, char text[WEIR_TIME_TEXT_MAX]);

#endif
