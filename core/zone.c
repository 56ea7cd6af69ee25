#include "core/zone.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { HEADER_BYTES = 44, TYPE_BYTES = 6, FILE_MAX = 1 << 20, NAME_MAX_BYTES = 64, FOOTER_MAX = 128, DAY_S = 86400 };
#define OFFSET_MAX_S (26 * 3600) /* RFC 8536: no offset is larger */

/* On which day of a year, and at which local second of it, a rule of the footer changes the clock. */
typedef enum day_form { DAY_JULIAN /* 1 … 365, never 29 February */, DAY_OF_YEAR /* 0 … 365 */, DAY_OF_WEEK /* the week-th weekday of a month */ } day_form;
typedef struct change_rule {
    day_form form;
    int day, week, month; /* day: of the year, or of the week from Sunday, 0 */
    int64_t second;
} change_rule;

struct weir_zone {
    int64_t *at; /* [count] instants of change, ascending */
    int32_t *offset; /* [count] in force from then on */
    int count;
    int32_t first; /* offset before them */
    /* after the last of them */
    bool has_rule, has_summer;
    int32_t standard, summer;
    change_rule to_summer, to_standard;
};

/* ---- calendar ---- */

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static bool is_leap(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970 on which the rule changes the clock in a year. */
static int64_t change_day(const change_rule *rule, int64_t year) {
    int64_t january = weir_days_from_civil(year, 1, 1);
    if (rule->form == DAY_OF_YEAR) return january + rule->day;
    if (rule->form == DAY_JULIAN) return january + rule->day - 1 + (is_leap(year) && rule->day >= 60);
    int64_t first = weir_days_from_civil(year, rule->month, 1),
            next = rule->month == 12 ? weir_days_from_civil(year + 1, 1, 1) : weir_days_from_civil(year, rule->month + 1, 1);
    int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (rule->day - weekday + 7) % 7 + 7 * (rule->week - 1);
    return day < next ? day : day - 7; /* week 5: the last one */
}

static int32_t rule_offset(const weir_zone *zone, int64_t utc_s) {
    if (!zone->has_summer) return zone->standard;
    int64_t year;
    int month, day;
    weir_civil_from_days(floor_div(utc_s + zone->standard, DAY_S), &year, &month, &day);
    int64_t to_summer = change_day(&zone->to_summer, year) * DAY_S + zone->to_summer.second - zone->standard;
    int64_t to_standard = change_day(&zone->to_standard, year) * DAY_S + zone->to_standard.second - zone->summer;
    bool is_summer = to_summer < to_standard ? utc_s >= to_summer && utc_s < to_standard : utc_s >= to_summer || utc_s < to_standard;
    return is_summer ? zone->summer : zone->standard;
}

int64_t weir_zone_offset(const weir_zone *zone, int64_t utc_s) {
    if (zone->count == 0 || utc_s < zone->at[0]) return zone->count == 0 && zone->has_rule ? rule_offset(zone, utc_s) : zone->first;
    if (zone->has_rule && utc_s >= zone->at[zone->count - 1]) return rule_offset(zone, utc_s);
    int low = 0, high = zone->count - 1; /* the last change at or before */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (zone->at[middle] <= utc_s)
            low = middle;
        else
            high = middle - 1;
    }
    return zone->offset[low];
}

weir_zone_instants weir_zone_instants_of(const weir_zone *zone, int64_t local_s) {
    weir_zone_instants instants = {0};
    int64_t early = weir_zone_offset(zone, local_s - OFFSET_MAX_S), late = weir_zone_offset(zone, local_s + OFFSET_MAX_S);
    int64_t larger = early > late ? early : late, smaller = early > late ? late : early;
    const int64_t offsets[] = {larger, smaller}; /* a larger offset is an earlier instant */
    for (int i = 0; i < (larger == smaller ? 1 : 2); i++) {
        if (weir_zone_offset(zone, local_s - offsets[i]) == offsets[i]) instants.utc_s[instants.count++] = local_s - offsets[i];
    }
    if (instants.count) return instants;
    int64_t before = local_s - larger, after = local_s - smaller; /* the change lies in (before, after] */
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (weir_zone_offset(zone, middle) == early)
            before = middle;
        else
            after = middle;
    }
    instants.gap_end_s = after;
    return instants;
}

/* ---- the footer: a rule as POSIX writes TZ ---- */

static bool read_number(const char **p, int most, int *ret) {
    int value = 0, digits = 0;
    for (; digits < 4 && isdigit((unsigned char)**p); (*p)++, digits++) value = 10 * value + (**p - '0');
    *ret = value;
    return digits > 0 && value <= most;
}

/* [+-]hh[:mm[:ss]] as seconds. */
static bool read_time(const char **p, int64_t *ret_s) {
    int sign = **p == '-' ? -1 : 1, part, unit = 3600;
    int64_t seconds = 0;
    if (**p == '-' || **p == '+') (*p)++;
    do {
        if (!read_number(p, unit == 3600 ? 167 : 59, &part)) return false;
        seconds += (int64_t)part * unit;
        unit /= 60;
    } while (unit && **p == ':' && (*p)++);
    *ret_s = sign * seconds;
    return true;
}

/* "EET" or "<+03>". */
static bool skip_name(const char **p) {
    const char *start = *p;
    if (**p == '<') {
        while (**p && **p != '>') (*p)++;
        return *(*p) == '>' && (*p)++ > start + 1;
    }
    while (isalpha((unsigned char)**p)) (*p)++;
    return *p - start >= 3;
}

static bool read_rule(const char **p, change_rule *rule) {
    *rule = (change_rule){.form = DAY_OF_YEAR, .second = 2 * 3600};
    if (*(*p)++ != ',') return false;
    if (**p == 'M') {
        rule->form = DAY_OF_WEEK;
        (*p)++;
        if (!read_number(p, 12, &rule->month) || rule->month < 1 || *(*p)++ != '.' || !read_number(p, 5, &rule->week) || rule->week < 1 || *(*p)++ != '.' ||
            !read_number(p, 6, &rule->day))
            return false;
    } else {
        if (**p == 'J') {
            rule->form = DAY_JULIAN;
            (*p)++;
        }
        if (!read_number(p, 365, &rule->day) || (rule->form == DAY_JULIAN && rule->day < 1)) return false;
    }
    if (**p != '/') return true;
    (*p)++;
    return read_time(p, &rule->second);
}

/* POSIX counts west of Greenwich. */
static bool read_footer(const char *text, weir_zone *zone) {
    const char *p = text;
    int64_t west = 0, summer_west;
    if (!skip_name(&p) || !read_time(&p, &west)) return false;
    zone->standard = (int32_t)-west;
    zone->has_rule = true;
    if (!*p) return true;
    if (!skip_name(&p)) return false;
    zone->summer = zone->standard + 3600;
    if (*p && *p != ',') {
        if (!read_time(&p, &summer_west)) return false;
        zone->summer = (int32_t)-summer_west;
    }
    zone->has_summer = true;
    return read_rule(&p, &zone->to_summer) && read_rule(&p, &zone->to_standard) && !*p;
}

/* ---- the file ---- */

static int64_t big_endian(const unsigned char *bytes, int size) {
    uint64_t value = bytes[0] & 0x80 ? ~UINT64_C(0) : 0;
    for (int i = 0; i < size; i++) value = value << 8 | bytes[i];
    return (int64_t)value;
}

typedef struct block {
    int64_t isut, isstd, leaps, changes, types, letters;
    int time_bytes;
    size_t size; /* with its header */
} block;

/* The header at bytes, and how large what belongs to it is. */
static bool read_header(const unsigned char *bytes, size_t size, int time_bytes, block *ret) {
    if (size < HEADER_BYTES || memcmp(bytes, "TZif", 4)) return false;
    *ret = (block){.time_bytes = time_bytes};
    int64_t *const counts[] = {&ret->isut, &ret->isstd, &ret->leaps, &ret->changes, &ret->types, &ret->letters};
    for (int i = 0; i < 6; i++) {
        *counts[i] = big_endian(bytes + 20 + 4 * i, 4);
        if (*counts[i] < 0 || *counts[i] > FILE_MAX) return false;
    }
    ret->size = (size_t)(HEADER_BYTES + ret->changes * (time_bytes + 1) + ret->types * TYPE_BYTES + ret->letters + ret->leaps * (time_bytes + 4) + ret->isstd +
                         ret->isut);
    return ret->types > 0 && ret->size <= size;
}

static weir_status read_changes(weir_zone *zone, const unsigned char *bytes, const block *b, const char *name, weir_err *err) {
    const unsigned char *times = bytes + HEADER_BYTES, *kinds = times + b->changes * b->time_bytes, *types = kinds + b->changes;
    zone->first = (int32_t)big_endian(types, 4);
    zone->at = weir_mem.realloc(NULL, sizeof *zone->at * (size_t)(b->changes + 1));
    zone->offset = weir_mem.realloc(NULL, sizeof *zone->offset * (size_t)(b->changes + 1));
    if (!zone->at || !zone->offset) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for time zone %s", name);
    for (int64_t i = 0; i < b->changes; i++) {
        int64_t at = big_endian(times + i * b->time_bytes, b->time_bytes);
        if (kinds[i] >= b->types || (i && at <= zone->at[i - 1])) return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: change %d is damaged", name, (int)i);
        zone->at[i] = at;
        zone->offset[i] = (int32_t)big_endian(types + TYPE_BYTES * kinds[i], 4);
        zone->count++;
    }
    for (int64_t i = 0; i < b->types; i++) {
        int64_t offset = big_endian(types + TYPE_BYTES * i, 4);
        if (offset < -OFFSET_MAX_S || offset > OFFSET_MAX_S) return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: an offset of %lld s", name, (long long)offset);
    }
    return WEIR_OK;
}

static weir_status read_zone(weir_zone *zone, const char *name, const unsigned char *bytes, size_t size, weir_err *err) {
    block b;
    if (!read_header(bytes, size, 4, &b)) return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: its file is not in the format TZif", name);
    if (bytes[4] < '2') return read_changes(zone, bytes, &b, name, err);
    const unsigned char *second = bytes + b.size;
    size_t left = size - b.size;
    if (!read_header(second, left, 8, &b)) return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: its file ends within its 64-bit part", name);
    const char *footer = (const char *)second + b.size, *end = left > b.size + 1 ? memchr(footer + 1, '\n', left - b.size - 1) : NULL;
    char text[FOOTER_MAX] = "";
    if (!end || *footer != '\n' || end - footer > FOOTER_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: its file has no footer", name);
    memcpy(text, footer + 1, (size_t)(end - footer - 1));
    if (*text && !read_footer(text, zone))
        return WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: found the rule \"%s\", expected one such as EET-2EEST,M3.5.0/3,M10.5.0/4", name, text);
    return read_changes(zone, second, &b, name, err);
}

weir_status weir_zone_parse(const char *name, const unsigned char *bytes, size_t size, weir_zone **ret_zone, weir_err *err) {
    weir_zone *zone = weir_mem.realloc(NULL, sizeof *zone);
    if (!zone) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for time zone %s", name);
    *zone = (weir_zone){0};
    weir_status status = read_zone(zone, name, bytes, size, err);
    if (status)
        weir_zone_free(zone);
    else
        *ret_zone = zone;
    return status;
}

/* Letters, digits and the signs of names; no way out of the folder. */
static bool is_zone_name(const char *name) {
    size_t length = strlen(name);
    if (!length || length > NAME_MAX_BYTES || *name == '/' || strstr(name, "..") || strstr(name, "//")) return false;
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("/_+-", *p)) return false;
    }
    return true;
}

static weir_status read_file(const char *path, const char *name, unsigned char **ret_bytes, size_t *ret_size, weir_err *err) {
    FILE *file = fopen(path, "rb");
    if (!file) return WEIR_FAIL(err, WEIR_EINVAL, "there is no time zone \"%s\" (%s); expected one of the tz database, such as Europe/Athens", name, path);
    unsigned char *bytes = weir_mem.realloc(NULL, FILE_MAX);
    size_t size = bytes ? fread(bytes, 1, FILE_MAX, file) : 0;
    bool ok = bytes && !ferror(file);
    (void)fclose(file);
    if (!ok) {
        free(bytes);
        return bytes ? WEIR_FAIL(err, WEIR_EINVAL, "time zone %s: cannot read %s", name, path)
                     : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for time zone %s", name);
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return WEIR_OK;
}

weir_status weir_zone_load(const char *name, weir_zone **ret_zone, weir_err *err) {
    static const unsigned char utc[HEADER_BYTES + TYPE_BYTES + 4] = {'T', 'Z', 'i', 'f', [39] = 1, [43] = 4, [50] = 'U', 'T', 'C'};
    const char *folder = getenv("TZDIR");
    char path[512];
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (!strcmp(name, "UTC")) return weir_zone_parse(name, utc, sizeof utc, ret_zone, err);
    if (!is_zone_name(name)) return WEIR_FAIL(err, WEIR_EINVAL, "\"%.64s\" is no name of a time zone; expected one such as Europe/Athens", name);
    if (snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "/usr/share/zoneinfo", name) >= (int)sizeof path)
        return WEIR_FAIL(err, WEIR_EINVAL, "the path in TZDIR is too long");
    weir_status status = read_file(path, name, &bytes, &size, err);
    if (!status) status = weir_zone_parse(name, bytes, size, ret_zone, err);
    free(bytes);
    return status;
}

void weir_zone_free(weir_zone *zone) {
    if (!zone) return;
    free(zone->at);
    free(zone->offset);
    free(zone);
}
