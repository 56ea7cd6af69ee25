#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"

static void system_clock_moves_forward(void **state) {
    (void)state;
    weir_clock *clock = weir_clock_system();
    int64_t before = weir_clock_mono_us(clock);
    weir_clock_sleep_us(clock, 2000);
    assert_true(weir_clock_mono_us(clock) - before >= 2000);
    weir_clock_sleep_us(clock, -1);
    int64_t wall = weir_clock_wall_us(clock), now = (int64_t)time(NULL) * WEIR_SECOND_US;
    assert_true(wall >= now - 2 * WEIR_SECOND_US && wall <= now + 2 * WEIR_SECOND_US);
}

static void manual_clock_stands_until_it_sleeps(void **state) {
    (void)state;
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 100);
    assert_int_equal(weir_clock_wall_us(&clock.base), 100);
    weir_clock_sleep_us(&clock.base, 50);
    assert_int_equal(weir_clock_mono_us(&clock.base), 150);
    weir_clock_sleep_us(&clock.base, -50);
    assert_int_equal(weir_clock_mono_us(&clock.base), 150);
    clock.now_us = 7;
    assert_int_equal(weir_clock_wall_us(&clock.base), 7);
}

static void durations_parse_in_every_unit(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {{"250ms", 250000},       {"90s", 90000000},        {"15m", 900000000}, {"12h", INT64_C(43200000000)},
                 {"7d", 7 * WEIR_DAY_US}, {"2w", 14 * WEIR_DAY_US}, {"0s", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t us = -1;
        assert_int_equal(weir_duration_parse(cases[i].text, &us, NULL), WEIR_OK);
        assert_int_equal(us, cases[i].us);
    }
}

static void durations_of_any_other_form_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",          "7",    "d",   "-1d", "+1d", "1.5h", " 7d", "7d ", "7 d", "7D", "7days", "1us", "9223372036854775808s", "9223372036854775807s",
        "15250285w", "1d2h", "0x1s"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t us = 42;
        weir_err err = {0};
        assert_int_equal(weir_duration_parse(texts[i], &us, &err), WEIR_EINVAL);
        assert_int_equal(us, 42);
        assert_int_equal(err.action, WEIR_ACTION_FATAL);
        assert_true(*err.message);
    }
}

static void times_parse_in_every_form(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01", 0},
        {"2018-05-15", INT64_C(1526342400000000)},
        {"2018-05-15 10:00:00", INT64_C(1526378400000000)},
        {"2018-05-15T10:00:00Z", INT64_C(1526378400000000)},
        {"2018-05-15T10:00:00+00:00", INT64_C(1526378400000000)},
        {"2018-05-15 10:00:00.5", INT64_C(1526378400500000)},
        {"2018-05-15 10:00:00.000001Z", INT64_C(1526378400000001)},
        {"2000-02-29", INT64_C(951782400000000)},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"0001-01-01", INT64_C(-62135596800000000)},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t us = 42;
        assert_int_equal(weir_time_parse(cases[i].text, &us, NULL), WEIR_OK);
        assert_int_equal(us, cases[i].us);
    }
}

static void times_that_do_not_exist_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "2018",
                                        "2018-05",
                                        "2018-5-15",
                                        "2018-13-01",
                                        "2018-00-01",
                                        "2018-02-29",
                                        "1900-02-29",
                                        "2018-04-31",
                                        "2018-05-00",
                                        "0000-01-01",
                                        "2018-05-15T",
                                        "2018-05-15 10:00",
                                        "2018-05-15 24:00:00",
                                        "2018-05-15 10:60:00",
                                        "2018-05-15 10:00:60",
                                        "2018-05-15 10:00:00.",
                                        "2018-05-15 10:00:00.1234567",
                                        "2018-05-15 10:00:00+02:00",
                                        "2018-05-15Z",
                                        "2018-05-15x",
                                        "-018-05-15",
                                        " 2018-05-15"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t us = 42;
        weir_err err = {0};
        assert_int_equal(weir_time_parse(texts[i], &us, &err), WEIR_EINVAL);
        assert_int_equal(us, 42);
        assert_true(*err.message);
    }
}

static void times_format_as_iso_8601(void **state) {
    (void)state;
    char text[WEIR_TIME_TEXT_MAX];
    assert_string_equal(weir_time_format(0, text), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(weir_time_format(INT64_C(1526378400000001), text), "2018-05-15T10:00:00.000001Z");
    assert_string_equal(weir_time_format(-1, text), "1969-12-31T23:59:59.999999Z");
    assert_string_equal(weir_time_format(INT64_MAX, text), "294247-01-10T04:00:54.775807Z");
    assert_string_equal(weir_time_format(INT64_MIN, text), "-290308-12-21T19:59:05.224192Z");
}

/* libc's calendar is the oracle, from year 1 to 9999. */
static void times_agree_with_libc_both_ways(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int64_t second = (int64_t)(random >> 20) % INT64_C(315537897600) - INT64_C(62135596800);
        time_t libc_second = second;
        struct tm parts;
        gmtime_r(&libc_second, &parts);
        char expected[64], text[WEIR_TIME_TEXT_MAX];
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.000000Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                 parts.tm_min, parts.tm_sec);
        assert_string_equal(weir_time_format(second * WEIR_SECOND_US, text), expected);
        int64_t back = 0;
        assert_int_equal(weir_time_parse(text, &back, NULL), WEIR_OK);
        assert_int_equal(back, second * WEIR_SECOND_US);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_clock_moves_forward),    cmocka_unit_test(manual_clock_stands_until_it_sleeps),
        cmocka_unit_test(durations_parse_in_every_unit), cmocka_unit_test(durations_of_any_other_form_are_refused),
        cmocka_unit_test(times_parse_in_every_form),     cmocka_unit_test(times_that_do_not_exist_are_refused),
        cmocka_unit_test(times_format_as_iso_8601),      cmocka_unit_test(times_agree_with_libc_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
