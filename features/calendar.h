/* The proleptic Gregorian calendar, UTC. Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013; ISO 8601 for weeks. */
#ifndef WEIR_FEATURES_CALENDAR_H
#define WEIR_FEATURES_CALENDAR_H

#include <stdint.h>

typedef struct weir_calendar {
    int64_t day; /* since 1970-01-01 */
    int year, month, day_of_month; /* 1 to 12, 1 to 31 */
    int day_of_year; /* 1 to 366 */
    int weekday; /* 0 Monday to 6 Sunday */
    int week; /* of ISO 8601, 1 to 53 */
} weir_calendar;

weir_calendar weir_calendar_of_day(int64_t day);
int weir_calendar_weekday(int64_t day); /* the same without the rest */
/** The day of a time and the microseconds that have passed of it. */
int64_t weir_calendar_day(int64_t time_us, int64_t *ret_of_day_us);

#endif
