/* Time zones and cron: what is refused, how allocations fail, and the rules of the clock changes. Against Python's zoneinfo and croniter: tests/integration/core/test_cron_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/cron.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

static weir_zone *zone_of(const char *name) {
    weir_zone *zone = NULL;
    weir_err err;
    if (weir_zone_load(name, &zone, &err)) fail_msg("%s", err.message);
    return zone;
}

static int64_t time_of(const char *text) {
    int64_t us = 0;
    assert_int_equal(weir_time_parse(text, &us, NULL), WEIR_OK);
    return us;
}

/* The next due times after `after`, each at the time that is written (UTC). */
static void check_due(const char *expression, const char *zone_name, const char *after, const char *const *expected) {
    weir_zone *zone = zone_of(zone_name);
    weir_cron cron;
    weir_err err;
    char text[WEIR_TIME_TEXT_MAX];
    if (weir_cron_parse(expression, &cron, &err)) fail_msg("%s: %s", expression, err.message);
    int64_t at_us = time_of(after);
    for (int i = 0; expected[i]; i++) {
        at_us = weir_cron_next(&cron, zone, at_us);
        text[0] = 0;
        if (at_us != time_of(expected[i])) fail_msg("%s in %s: due at %s, expected %s", expression, zone_name, weir_time_format(at_us, text), expected[i]);
    }
    weir_zone_free(zone);
}

static void sundays_at_two(void **state) {
    (void)state;
    check_due("0 2 * * 0", "UTC", "2026-11-22T01:59:59Z", (const char *const[]){"2026-11-22T02:00:00Z", "2026-11-29T02:00:00Z", NULL});
    check_due("0 2 * * SUN", "UTC", "2026-11-22T02:00:00Z", (const char *const[]){"2026-11-29T02:00:00Z", NULL});
    check_due("@weekly", "Asia/Kolkata", "2026-11-22T00:00:00Z", (const char *const[]){"2026-11-28T18:30:00Z", NULL});
}

/* Greece: 2026-03-29 03:00 → 04:00 at 01:00 UTC; 2026-10-25 04:00 → 03:00 at 01:00 UTC. */
static void a_time_that_the_clock_leaps_over_is_due_when_it_leaps(void **state) {
    (void)state;
    check_due("30 3 * * *", "Europe/Athens", "2026-03-28T12:00:00Z", (const char *const[]){"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", NULL});
    check_due("*/30 * * * *", "Europe/Athens", "2026-03-29T00:15:00Z",
              (const char *const[]){"2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", NULL});
}

static void a_time_that_comes_twice_is_due_once_unless_every_hour_is(void **state) {
    (void)state;
    check_due("30 3 * * *", "Europe/Athens", "2026-10-24T12:00:00Z", (const char *const[]){"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", NULL});
    check_due("30 * * * *", "Europe/Athens", "2026-10-25T00:00:00Z",
              (const char *const[]){"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", NULL});
}

static void either_day_will_do_where_both_are_restricted(void **state) {
    (void)state;
    check_due("0 0 13 * FRI", "UTC", "2026-11-01T00:00:00Z",
              (const char *const[]){"2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z", NULL});
    check_due("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", (const char *const[]){"2104-02-29T00:00:00Z", NULL});
}

static void rules_of_the_footer_hold_after_the_table(void **state) {
    (void)state;
    check_due("0 2 * * *", "Europe/Athens", "2077-07-01T12:00:00Z", (const char *const[]){"2077-07-01T23:00:00Z", NULL});
    check_due("0 2 * * *", "Europe/Athens", "2077-12-01T12:00:00Z", (const char *const[]){"2077-12-02T00:00:00Z", NULL});
    check_due("0 2 * * *", "Australia/Sydney", "2077-12-01T00:00:00Z", (const char *const[]){"2077-12-01T15:00:00Z", NULL});
}

static void what_is_no_cron_expression_is_refused(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "five fields"},
        {"* * * *", "five fields"},
        {"* * * * * *", "five fields"},
        {"60 * * * *", "minute: found \"60\""},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of month"},
        {"* * * 13 *", "month"},
        {"* * * * 8", "day of week"},
        {"5-1 * * * *", "minute"},
        {"*/0 * * * *", "minute"},
        {"5/2 * * * *", "minute"},
        {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"},
        {"a * * * *", "minute"},
        {"* * * foo *", "month"},
        {"-1 * * * *", "minute"},
        {"1-2-3 * * * *", "minute"},
        {"0 0 30 2 *", "no such day"},
        {"0 0 31 4,6 *", "no such day"},
        {"@often", "five fields"},
        {"99999999999999999999 * * * *", "minute"},
        {"* * * jan-xyz *", "month"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_cron cron;
        weir_err err = {0};
        assert_int_equal(weir_cron_parse(cases[i].text, &cron, &err), WEIR_EINVAL);
        if (!strstr(err.message, cases[i].says)) fail_msg("\"%s\": %s", cases[i].text, err.message);
    }
}

static void what_is_no_zone_is_refused(void **state) {
    static const char *const names[] = {"", "Europe/Nowhere", "../etc/passwd", "/etc/passwd", "Europe/../UTC", "Europe//Athens", "Europe", "a b", "tzdata.zi"};
    weir_zone *zone = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        weir_err err = {0};
        assert_int_equal(weir_zone_load(names[i], &zone, &err), WEIR_EINVAL);
        assert_true(strlen(err.message) > 10);
        assert_null(zone);
    }
}

static void a_damaged_zone_is_refused(void **state) {
    unsigned char bytes[65536];
    FILE *file = fopen("/usr/share/zoneinfo/Europe/Athens", "rb");
    (void)state;
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    weir_zone *zone = NULL;
    for (size_t cut = 0; cut < size; cut++) assert_int_not_equal(weir_zone_parse("cut", bytes, cut, &zone, NULL), WEIR_OK);
    assert_int_equal(weir_zone_parse("whole", bytes, size, &zone, NULL), WEIR_OK);
    weir_zone_free(zone);
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    void *(*before)(void *, size_t) = weir_mem.realloc;
    weir_status status = WEIR_ENOMEM;
    weir_mem.realloc = failing_realloc;
    for (int n = 0; status; n++) {
        weir_zone *zone = NULL;
        allocations_left = n;
        status = weir_zone_load("Europe/Athens", &zone, NULL);
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        weir_zone_free(zone);
        assert_in_range(n, 0, 10);
    }
    weir_mem.realloc = before;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sundays_at_two),
        cmocka_unit_test(a_time_that_the_clock_leaps_over_is_due_when_it_leaps),
        cmocka_unit_test(a_time_that_comes_twice_is_due_once_unless_every_hour_is),
        cmocka_unit_test(either_day_will_do_where_both_are_restricted),
        cmocka_unit_test(rules_of_the_footer_hold_after_the_table),
        cmocka_unit_test(what_is_no_cron_expression_is_refused),
        cmocka_unit_test(what_is_no_zone_is_refused),
        cmocka_unit_test(a_damaged_zone_is_refused),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
