/* See calendar.h. */
#include "features/calendar.h"

#include <stdbool.h>

#include "core/clock.h"

int64_t weir_calendar_day(int64_t time_us, int64_t *ret_of_day_us) {
    int64_t day = time_us / WEIR_DAY_US, rest = time_us % WEIR_DAY_US;
    if (rest < 0) {
        day--;
        rest += WEIR_DAY_US;
    }
    *ret_of_day_us = rest;
    return day;
}

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Weeks of an ISO year: 53 when it begins on a Thursday, or is a leap year that begins on a Wednesday. */
static int weeks_of(int64_t year, int first_weekday) {
    return first_weekday == 3 || (first_weekday == 2 && is_leap(year)) ? 53 : 52;
}

int weir_calendar_weekday(int64_t day) {
    return (int)(((day + 3) % 7 + 7) % 7); /* 1970 began on a Thursday */
}

weir_calendar weir_calendar_of_day(int64_t day) {
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097; /* years begin in March, so that leap days end them */
    int64_t of_era = z - era * 146097, year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), month = (5 * from_march + 2) / 153;
    int64_t year = year_of_era + era * 400 + (month >= 10);
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    weir_calendar c = {.day = day, .year = (int)year, .month = (int)(month < 10 ? month + 3 : month - 9)};
    c.day_of_month = (int)(from_march - (153 * month + 2) / 5 + 1);
    c.day_of_year = before[c.month - 1] + c.day_of_month + (c.month > 2 && is_leap(year));
    c.weekday = weir_calendar_weekday(day);
    int first = ((c.weekday - (c.day_of_year - 1)) % 7 + 7) % 7; /* weekday of January 1st */
    c.week = (c.day_of_year - 1 - c.weekday + 10) / 7; /* the week of its Thursday */
    if (c.week < 1) {
        int before_first = ((first - (is_leap(year - 1) ? 366 : 365)) % 7 + 7) % 7;
        c.week = weeks_of(year - 1, before_first);
    } else if (c.week > weeks_of(year, first)) {
        c.week = 1;
    }
    return c;
}
