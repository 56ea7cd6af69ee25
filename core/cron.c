#include "core/cron.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"

enum { FIELD_COUNT = 5, DAY_S = 86400, EVERY_HOUR = (1 << 24) - 1 };

typedef struct cron_field {
    const char *name;
    int least, most;
    const char *const *words; /* of least, least + 1, …; NULL */
} cron_field;

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const cron_field fields[FIELD_COUNT] = {
    {"minute", 0, 59, NULL}, {"hour", 0, 23, NULL}, {"day of month", 1, 31, NULL}, {"month", 1, 12, months}, {"day of week", 0, 7, weekdays},
};

/* ---- reading ---- */

static bool read_value(const cron_field *field, const char **p, int *ret) {
    if (isdigit((unsigned char)**p)) {
        char *end;
        long value = strtol(*p, &end, 10);
        *p = end;
        *ret = (int)value;
        return value >= field->least && value <= field->most;
    }
    for (int i = 0; field->words && field->words[i]; i++) {
        if (strncasecmp(*p, field->words[i], 3) != 0) continue;
        *p += 3;
        *ret = field->least + i;
        return true;
    }
    return false;
}

/* One item of a list: `*`, a, a-b, with or without a step. */
static bool read_item(const cron_field *field, const char **p, uint64_t *bits) {
    int low = field->least, high = field->most, step = 1;
    bool whole = **p == '*';
    if (whole) {
        (*p)++;
        if (field->words == weekdays) high = 6;
    } else {
        if (!read_value(field, p, &low)) return false;
        high = low;
        if (**p == '-' && ((*p)++, !read_value(field, p, &high))) return false;
    }
    if (**p == '/') {
        bool ranged = whole || high > low;
        (*p)++;
        if (!ranged || !isdigit((unsigned char)**p)) return false;
        char *end;
        long value = strtol(*p, &end, 10);
        *p = end;
        if (value < 1 || value > field->most) return false;
        step = (int)value;
    }
    for (int value = low; value <= high; value += step) *bits |= UINT64_C(1) << value;
    return low <= high;
}

static weir_status read_field(const cron_field *field, const char *text, uint64_t *ret_bits, weir_err *err) {
    const char *p = text;
    bool ok;
    *ret_bits = 0;
    do ok = read_item(field, &p, ret_bits);
    while (ok && *p == ',' && *++p);
    if (ok && !*p && p[-1] != ',') return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.40s\", expected *, numbers from %d to %d%s, ranges such as %d-%d, steps such as */2, or a list of these",
                     field->name, text, field->least, field->most, field->words ? " or names of three letters" : "", field->least, field->least + 1);
}

/* A day that some month in the expression has. */
static bool may_come(const weir_cron *cron) {
    static const int longest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!cron->any_weekday) return true; /* days of the week come in any month */
    for (int month = 1; month <= 12; month++) {
        if (!(cron->months >> month & 1)) continue;
        for (int day = 1; day <= longest[month - 1]; day++) {
            if (cron->days >> day & 1) return true;
        }
    }
    return false;
}

static const char *of_nickname(const char *text) {
    static const char *const names[][2] = {
        {"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"}, {"@weekly", "0 0 * * 0"}, {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(text, names[i][0])) return names[i][1];
    }
    return text;
}

weir_status weir_cron_parse(const char *text, weir_cron *ret_cron, weir_err *err) {
    char copy[256], *save = NULL, *words[FIELD_COUNT + 1];
    uint64_t bits[FIELD_COUNT];
    int count = 0;
    if (snprintf(copy, sizeof copy, "%s", of_nickname(text)) >= (int)sizeof copy)
        return WEIR_FAIL(err, WEIR_EINVAL, "a cron expression has at most %zu bytes", sizeof copy - 1);
    for (char *word = strtok_r(copy, " \t", &save); word && count <= FIELD_COUNT; word = strtok_r(NULL, " \t", &save)) words[count++] = word;
    if (count != FIELD_COUNT)
        return WEIR_FAIL(
            err, WEIR_EINVAL,
            "found \"%.60s\", expected five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly", text);
    for (int i = 0; i < FIELD_COUNT; i++) {
        weir_status status = read_field(&fields[i], words[i], &bits[i], err);
        if (status) return status;
    }
    weir_cron cron = {.minutes = bits[0],
                      .hours = (uint32_t)bits[1],
                      .days = (uint32_t)bits[2],
                      .months = (uint32_t)bits[3],
                      .weekdays = (uint32_t)((bits[4] & 127) | (bits[4] >> 7 & 1)),
                      .any_day = *words[2] == '*',
                      .any_weekday = *words[4] == '*',
                      .every_hour = bits[1] == EVERY_HOUR};
    if (!may_come(&cron)) return WEIR_FAIL(err, WEIR_EINVAL, "\"%.60s\": there is no such day in these months", text);
    *ret_cron = cron;
    return WEIR_OK;
}

/* ---- the next time ---- */

static bool is_due_on(const weir_cron *cron, int64_t days) {
    int64_t year;
    int month, day;
    weir_civil_from_days(days, &year, &month, &day);
    bool of_month = cron->days >> day & 1, of_week = cron->weekdays >> (((days + 4) % 7 + 7) % 7) & 1;
    if (!(cron->months >> month & 1)) return false;
    return cron->any_day || cron->any_weekday ? of_month && of_week : of_month || of_week;
}

static void take_earliest(int64_t utc_s, int64_t after_s, int64_t *best) {
    if (utc_s > after_s && utc_s < *best) *best = utc_s;
}

/* The earliest instant after after_s at which it is due on a local day; INT64_MAX: none. */
static int64_t first_on(const weir_cron *cron, const weir_zone *zone, int64_t days, int64_t after_s) {
    int64_t best = INT64_MAX;
    for (int minute = 0; minute < 24 * 60; minute++) {
        if (!(cron->hours >> (minute / 60) & 1) || !(cron->minutes >> (minute % 60) & 1)) continue;
        weir_zone_instants at = weir_zone_instants_of(zone, days * DAY_S + minute * 60);
        if (!at.count) at.utc_s[0] = at.gap_end_s;
        take_earliest(at.utc_s[0], after_s, &best);
        if (at.count == 2 && cron->every_hour) take_earliest(at.utc_s[1], after_s, &best);
    }
    return best;
}

int64_t weir_cron_next(const weir_cron *cron, const weir_zone *zone, int64_t after_us) {
    int64_t after_s = after_us / WEIR_SECOND_US - (after_us % WEIR_SECOND_US < 0);
    int64_t local_s = after_s + weir_zone_offset(zone, after_s), days = local_s / DAY_S - (local_s % DAY_S < 0);
    for (days--;; days++) { /* ends: weir_cron_parse lets no expression through that is never due */
        int64_t due_s = is_due_on(cron, days) ? first_on(cron, zone, days, after_s) : INT64_MAX;
        if (due_s != INT64_MAX) return due_s * WEIR_SECOND_US;
    }
}
