/* Numbers, dates and durations as people read them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/chart.h"
#include "core/page.h"

static void assert_near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", value, tolerance, expected);
}

static void test_counts_are_grouped(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_count(0, text), "0");
    assert_string_equal(weir_words_count(999, text), "999");
    assert_string_equal(weir_words_count(719307, text), "719\u202f307");
    assert_string_equal(weir_words_count(-1000000, text), "\u22121\u202f000\u202f000");
    assert_true(strlen(weir_words_count(INT64_MIN, text)) < WEIR_WORDS_MAX);
}

static void test_what_is_no_number_is_a_dash(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_ratio(NAN, 3, text), "\u2013");
    assert_string_equal(weir_words_ratio(INFINITY, 3, text), "\u2013");
    assert_string_equal(weir_words_difference(-INFINITY, 3, text), "\u2013");
    assert_string_equal(weir_words_rate(NAN, text), "\u2013");
    assert_string_equal(weir_words_duration(-1, text), "\u2013");
    assert_string_equal(weir_words_date(INT64_MIN, text), "\u2013");
    assert_string_equal(weir_words_moment(INT64_MAX, text), "\u2013");
}

static void test_numbers_keep_the_digits_that_matter(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_ratio(0.8951, 3, text), "0.895");
    assert_string_equal(weir_words_difference(0.012, 3, text), "+0.012");
    assert_string_equal(weir_words_difference(-0.0041, 3, text), "\u22120.004");
    assert_string_equal(weir_words_rate(19410.4, text), "19\u202f410");
    assert_string_equal(weir_words_rate(8.23, text), "8.2");
}

static void test_durations_take_the_unit_that_fits(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_duration(0.84, text), "0.8 s");
    assert_string_equal(weir_words_duration(9.99, text), "10 s");
    assert_string_equal(weir_words_duration(59.6, text), "1 min 0 s");
    assert_string_equal(weir_words_duration(192, text), "3 min 12 s");
    assert_string_equal(weir_words_duration(7260, text), "2 h 1 min");
    assert_string_equal(weir_words_duration(7 * 86400, text), "7 days");
}

static void test_dates_are_utc_before_1970_too(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_date(INT64_C(1528157039000000), text), "5 Jun 2018");
    assert_string_equal(weir_words_moment(INT64_C(1528157039000000), text), "5 Jun 2018, 00:03 UTC");
    assert_string_equal(weir_words_day(-1, text), "31 Dec");
}

static void test_text_is_escaped(void **state) {
    (void)state;
    weir_buf buf = {0};
    weir_page page = {.buf = &buf};
    weir_page_text(&page, "a<b>&\"c'd");
    weir_page_text(&page, NULL);
    weir_page_text(&page, "");
    weir_page_printf(&page, "|%d", 7);
    assert_false(page.failed);
    assert_string_equal(buf.data, "a&lt;b&gt;&amp;&quot;c&#39;d|7");
    weir_buf_done(&buf);
}

static void test_steps_are_round_and_few(void **state) {
    (void)state;
    assert_near(weir_chart_step(10, 5), 2, 1e-12);
    assert_near(weir_chart_step(9590, 5), 2000, 1e-9);
    assert_near(weir_chart_step(0.21, 6), 0.05, 1e-12);
    assert_near(weir_chart_step(0, 5), 1, 0);
    assert_near(weir_chart_step(NAN, 5), 1, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_grouped),
        cmocka_unit_test(test_what_is_no_number_is_a_dash),
        cmocka_unit_test(test_numbers_keep_the_digits_that_matter),
        cmocka_unit_test(test_durations_take_the_unit_that_fits),
        cmocka_unit_test(test_dates_are_utc_before_1970_too),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_steps_are_round_and_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
