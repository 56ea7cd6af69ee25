#include "core/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * WEIR_SECOND_US + now.tv_nsec / 1000;
}

static int64_t system_wall_us(weir_clock *clock) {
    (void)clock;
    return read_us(CLOCK_REALTIME);
}

static int64_t system_mono_us(weir_clock *clock) {
    (void)clock;
    return read_us(CLOCK_MONOTONIC);
}

static void system_sleep_us(weir_clock *clock, int64_t duration_us) {
    (void)clock;
    if (duration_us <= 0) return;
    struct timespec left = {.tv_sec = duration_us / WEIR_SECOND_US, .tv_nsec = duration_us % WEIR_SECOND_US * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

weir_clock *weir_clock_system(void) {
    static weir_clock clock = {.wall_us = system_wall_us, .mono_us = system_mono_us, .sleep_us = system_sleep_us};
    return &clock;
}

/* Atomic, because a test may move the time under a running worker. */
static int64_t manual_now_us(weir_clock *clock) {
    return __atomic_load_n(&((weir_clock_manual *)clock)->now_us, __ATOMIC_SEQ_CST);
}

static void manual_sleep_us(weir_clock *clock, int64_t duration_us) {
    if (duration_us > 0) __atomic_add_fetch(&((weir_clock_manual *)clock)->now_us, duration_us, __ATOMIC_SEQ_CST);
}

void weir_clock_manual_init(weir_clock_manual *clock, int64_t now_us) {
    *clock = (weir_clock_manual){.base = {.wall_us = manual_now_us, .mono_us = manual_now_us, .sleep_us = manual_sleep_us}, .now_us = now_us};
}

weir_status weir_duration_parse(const char *text, int64_t *ret_us, weir_err *err) {
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"ms", 1000}, {"s", WEIR_SECOND_US}, {"m", 60 * WEIR_SECOND_US}, {"h", 3600 * WEIR_SECOND_US}, {"d", WEIR_DAY_US}, {"w", 7 * WEIR_DAY_US}};
    const char *at = text;
    int64_t count = 0;
    bool overflow = false;
    for (; *at >= '0' && *at <= '9'; at++) overflow |= __builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, *at - '0', &count);
    for (size_t i = 0; at > text && i < sizeof units / sizeof *units; i++) {
        if (strcmp(at, units[i].name) != 0) continue;
        int64_t us;
        if (overflow || __builtin_mul_overflow(count, units[i].us, &us)) return WEIR_FAIL(err, WEIR_EINVAL, "the duration \"%.40s\" is too long", text);
        *ret_us = us;
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "\"%.40s\" is not a duration; expected a whole number and a unit, as in 250ms, 90s, 15m, 12h, 7d or 2w", text);
}

int64_t weir_days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

void weir_civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *ret_month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

/* Exactly `width` digits at *at, moved past; -1 when there are others. */
static int take_digits(const char **at, int width) {
    int value = 0;
    for (int i = 0; i < width; i++, (*at)++) {
        if (**at < '0' || **at > '9') return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool take_char(const char **at, char expected) {
    if (**at != expected) return false;
    (*at)++;
    return true;
}

static int month_days(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **at, int64_t *ret_days) {
    int year = take_digits(at, 4);
    if (year < 1 || !take_char(at, '-')) return false;
    int month = take_digits(at, 2);
    if (month < 1 || month > 12 || !take_char(at, '-')) return false;
    int day = take_digits(at, 2);
    if (day < 1 || day > month_days(year, month)) return false;
    *ret_days = weir_days_from_civil(year, month, day);
    return true;
}

static bool take_time_of_day(const char **at, int64_t *ret_us) {
    int hour = take_digits(at, 2);
    if (hour < 0 || hour > 23 || !take_char(at, ':')) return false;
    int minute = take_digits(at, 2);
    if (minute < 0 || minute > 59 || !take_char(at, ':')) return false;
    int second = take_digits(at, 2);
    if (second < 0 || second > 59) return false;
    int64_t fraction_us = 0;
    if (take_char(at, '.')) {
        int digit, count = 0;
        for (int64_t scale = 100000; count < 6 && (digit = take_digits(at, 1)) >= 0; count++, scale /= 10) fraction_us += digit * scale;
        if (count == 0) return false;
        /* take_digits leaves the place when it fails, so after fewer than six digits *at is at the first other character. */
    }
    *ret_us = (hour * INT64_C(3600) + minute * 60 + second) * WEIR_SECOND_US + fraction_us;
    return true;
}

weir_status weir_time_parse(const char *text, int64_t *ret_us, weir_err *err) {
    const char *at = text;
    int64_t days = 0, day_us = 0;
    bool ok = take_date(&at, &days);
    if (ok && *at) {
        ok = (take_char(&at, 'T') || take_char(&at, ' ')) && take_time_of_day(&at, &day_us);
        /* UTC is the only zone; other programs spell it in these ways. */
        ok = ok && (!*at || !strcmp(at, "Z") || !strcmp(at, "+00:00") || !strcmp(at, "+00"));
    }
    if (!ok) return WEIR_FAIL(err, WEIR_EINVAL, "\"%.40s\" is not a UTC time; expected 2018-05-15, 2018-05-15 10:00:00 or 2018-05-15T10:00:00.000000Z", text);
    *ret_us = days * WEIR_DAY_US + day_us;
    return WEIR_OK;
}

/* Writes the separator and `width` digits; returns what follows them. */
/* separator 0: none */
static char *put_digits(char *at, char separator, int value, int width) {
    if (separator) *at++ = separator;
    for (int i = width - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
    return at + width;
}

char *weir_time_format(int64_t time_us, char text[WEIR_TIME_TEXT_MAX]) {
    int64_t days = time_us / WEIR_DAY_US, day_us = time_us % WEIR_DAY_US;
    if (day_us < 0) {
        day_us += WEIR_DAY_US;
        days--;
    }
    int64_t year;
    int month, day;
    weir_civil_from_days(days, &year, &month, &day);
    int second = (int)(day_us / WEIR_SECOND_US);
    char *at = year >= 0 && year <= 9999 ? put_digits(text, 0, (int)year, 4) : text + snprintf(text, WEIR_TIME_TEXT_MAX, "%04d", (int)year);
    at = put_digits(at, '-', month, 2);
    at = put_digits(at, '-', day, 2);
    at = put_digits(at, 'T', second / 3600, 2);
    at = put_digits(at, ':', second / 60 % 60, 2);
    at = put_digits(at, ':', second % 60, 2);
    at = put_digits(at, '.', (int)(day_us % WEIR_SECOND_US), 6);
    memcpy(at, "Z", 2);
    return text;
}
