/* Numbers, dates and durations as people read them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void test_numbers_have_digits_that_matter(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_number(0.012345, 3, text), "0.0123");
    assert_string_equal(weir_words_number(421.4, 3, text), "421");
    assert_string_equal(weir_words_number(-12345.6, 3, text), "\u221212\u202f346");
    assert_string_equal(weir_words_number(1234.56, 6, text), "1\u202f234.56");
    assert_string_equal(weir_words_number(1999.996, 6, text), "2\u202f000.00");
    assert_string_equal(weir_words_number(1.23e-7, 3, text), "1.23e\u22127");
    assert_string_equal(weir_words_number(0, 3, text), "0");
    assert_string_equal(weir_words_number(NAN, 3, text), "\u2013");
    assert_true(strlen(weir_words_number(-1.7e308, 17, text)) < WEIR_WORDS_MAX);
}

static void test_ticks_follow_their_step(void **state) {
    (void)state;
    char text[WEIR_WORDS_MAX];
    assert_string_equal(weir_words_axis(0.30000000000000004, 0.1, text), "0.3");
    assert_string_equal(weir_words_axis(1e-18, 0.1, text), "0");
    assert_string_equal(weir_words_axis(6000, 2000, text), "6\u202f000");
    assert_string_equal(weir_words_axis(2000000, 1000000, text), "2\u202fM");
    assert_string_equal(weir_words_axis(1500000, 500000, text), "1.5\u202fM");
    assert_string_equal(weir_words_axis(-3e9, 1e9, text), "\u22123\u202fG");
    assert_string_equal(weir_words_axis(INFINITY, 1, text), "\u2013");
}

/* How often a piece of text occurs. */
static int count_of(const weir_buf *buf, const char *piece) {
    int count = 0;
    for (const char *p = strstr(buf->data, piece); p; p = strstr(p + 1, piece)) count++;
    return count;
}

static void test_what_is_no_number_or_outside_is_not_drawn(void **state) {
    (void)state;
    weir_buf buf = {0};
    weir_page page = {.buf = &buf};
    const weir_point points[] = {{0, 0}, {1, 1}, {NAN, 1}, {2, INFINITY}, {3, 2}, {99, 1}};
    weir_chart_plot plot = {.title = "t<", .x_label = "x", .y_label = "y", .x0 = 0, .x1 = 4, .y0 = 0, .y1 = 2};
    weir_chart_plot_open(&page, &plot);
    weir_chart_plot_dots(&page, &plot, points, 6, 1, 2, 1);
    weir_chart_plot_line(&page, &plot, points, 6, 0);
    weir_chart_plot_rule(&page, &plot, -10, -10, 10, 10, "chance"); /* cut to the part inside: from (0, 0) to (2, 2) */
    weir_chart_plot_rule(&page, &plot, 5, 0, 6, 1, "mark");
    weir_chart_plot_close(&page);
    assert_false(page.failed);
    assert_int_equal(count_of(&buf, "<circle"), 3);
    assert_int_equal(count_of(&buf, "M"), 2); /* the pen is lifted once */
    assert_int_equal(count_of(&buf, "class=\"mark\""), 0);
    char expected[128];
    snprintf(expected, sizeof expected, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"chance\"/>", plot.left, plot.top + plot.height,
             plot.left + plot.width / 2, plot.top);
    if (!strstr(buf.data, expected)) fail_msg("no %s in %s", expected, buf.data);
    assert_int_equal(count_of(&buf, "t&lt;"), 1);
    assert_int_equal(count_of(&buf, "nan") + count_of(&buf, "inf"), 0);
    weir_buf_done(&buf);
}

static void test_a_range_without_extent_is_widened(void **state) {
    (void)state;
    weir_buf buf = {0};
    weir_page page = {.buf = &buf};
    weir_chart_plot same = {.title = "", .x0 = 5, .x1 = 5, .y0 = NAN, .y1 = INFINITY},
                    times = {.title = "", .x0 = 0, .x1 = 400 * 86400e6, .y1 = 1, .x_time = true, .wide = true};
    weir_chart_plot_open(&page, &same);
    assert_true(same.x0 < 5 && same.x1 > 5 && same.y0 == 0 && same.y1 == 1);
    weir_buf_clear(&buf);
    weir_chart_plot_open(&page, &times); /* thirteen months, at most one label in 74 units */
    assert_int_equal(count_of(&buf, "Jan 1970") + count_of(&buf, "Jan 1971"), 2);
    assert_int_equal(count_of(&buf, "Mar 1970"), 1);
    assert_int_equal(count_of(&buf, "Feb 1970"), 0);
    weir_buf_done(&buf);
}

static void test_bars_points_and_tables(void **state) {
    (void)state;
    weir_buf buf = {0};
    weir_page page = {.buf = &buf};
    const weir_chart_bar bars[] = {
        {"a name that is much longer than there is room for it", NULL, 2, 1, 3, 0}, {"b", "text", -1, NAN, NAN, 1}, {"c", NULL, NAN, NAN, NAN, 0}};
    weir_chart_bars(&page, "bars", bars, 3, false);
    assert_int_equal(count_of(&buf, "<rect"), 2);
    assert_int_equal(count_of(&buf, "whisker"), 3);
    assert_int_equal(count_of(&buf, "\u2026"), 1);
    assert_int_equal(count_of(&buf, ">2.00<"), 1);
    weir_buf_clear(&buf);
    weir_chart_points(&page, "points", bars, 3, 2, true);
    assert_int_equal(count_of(&buf, "<circle"), 2);
    assert_int_equal(count_of(&buf, "chance"), 1);
    weir_buf_clear(&buf);
    const char *const names[] = {"x", "y"};
    weir_chart_heat(&page, "heat", "actual", "called", names, (const double[]){3, 1, 0, 0}, 2); /* a row of nothing */
    assert_int_equal(count_of(&buf, "75.0\u00a0%"), 1);
    assert_int_equal(count_of(&buf, "nan"), 0);
    weir_buf_done(&buf);
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
        cmocka_unit_test(test_numbers_have_digits_that_matter),
        cmocka_unit_test(test_ticks_follow_their_step),
        cmocka_unit_test(test_what_is_no_number_or_outside_is_not_drawn),
        cmocka_unit_test(test_a_range_without_extent_is_widened),
        cmocka_unit_test(test_bars_points_and_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
