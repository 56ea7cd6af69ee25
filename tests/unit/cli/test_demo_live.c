/* The live view: what fits, what is left out, and that nothing in a name can steer the terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/demo_live.h"

static weir_live_view sample(void) {
    weir_live_view v;
    weir_live_view_init(&v);
    snprintf(v.title, sizeof v.title, "Weir demo \u00b7 fraud");
    snprintf(v.source, sizeof v.source, "transactions.parquet: 719\u202f307 payments, 1 Apr 2018 to 14 Jun 2018");
    v.phases[0].state = WEIR_LIVE_DONE;
    snprintf(v.phases[0].text, sizeof v.phases[0].text, "538\u202f402 payments, known by 29 May 2018");
    v.phases[0].seconds = 38;
    v.phases[1].state = WEIR_LIVE_RUNNING;
    v.phases[1].seconds = 4;
    v.progress = 0.5;
    v.event_time_us = INT64_C(1528157039000000);
    v.events = 512004;
    v.features = 1012334;
    v.dead_letters = 3;
    v.events_per_s = 9812;
    v.arms[0].predictions = 80112;
    v.arms[0].auc = 0.912;
    v.arms[0].version = 1;
    snprintf(v.arms[0].model, sizeof v.arms[0].model, "fraud-logistic");
    v.elapsed_s = 102;
    return v;
}

/* Columns that a line takes on a terminal: characters, without colours. */
static int width(const char *line, size_t len) {
    int columns = 0;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\033') {
            while (i < len && line[i] != 'm') i++;
            continue;
        }
        columns += ((unsigned char)line[i] & 0xc0) != 0x80;
    }
    return columns;
}

static void test_block_fits_every_terminal(void **state) {
    (void)state;
    weir_live_view view = sample();
    for (int columns = 20; columns <= 200; columns++)
        for (int mode = 0; mode < 4; mode++) {
            const weir_live_style style = {.columns = columns, .rows = columns % 30 + 2, .color = mode & 1, .utf8 = mode & 2};
            weir_buf out = {0};
            assert_true(weir_live_block(&view, &style, &out));
            int lines = 0;
            for (const char *p = out.data; p && *p; lines++) {
                const char *newline = strchr(p, '\n');
                assert_non_null(newline);
                assert_in_range(width(p, (size_t)(newline - p)), 0, columns - 1);
                p = newline + 1;
            }
            assert_in_range(lines, 1, style.rows - 1);
            weir_buf_done(&out);
        }
}

static void test_block_without_color_and_utf8_is_plain_ascii(void **state) {
    (void)state;
    weir_live_view view = sample();
    const weir_live_style style = {.columns = 100, .rows = 40};
    weir_buf out = {0};
    assert_true(weir_live_block(&view, &style, &out));
    for (size_t i = 0; i < out.len; i++) assert_true(out.data[i] == '\n' || (out.data[i] >= 0x20 && out.data[i] < 0x7f));
    assert_non_null(strstr(out.data, "512 004"));
    assert_non_null(strstr(out.data, "0.912"));
    assert_non_null(strstr(out.data, "50 %"));
    assert_non_null(strstr(out.data, "5 Jun 2018"));
    assert_non_null(strstr(out.data, "fraud-logistic v1"));
    assert_null(strstr(out.data, "nan"));
    weir_buf_done(&out);
}

static void test_names_cannot_steer_the_terminal(void **state) {
    (void)state;
    weir_live_view view = sample();
    const weir_live_style style = {.columns = 100, .rows = 40, .utf8 = true};
    weir_buf out = {0};
    snprintf(view.source, sizeof view.source, "bad\033[2J\nname\r.csv\xe2\x82");
    assert_true(weir_live_block(&view, &style, &out));
    assert_null(strchr(out.data, '\033'));
    assert_null(strchr(out.data, '\r'));
    assert_non_null(strstr(out.data, "bad [2J name .csv\n"));
    weir_buf_done(&out);
}

static void test_pipe_gets_a_line_at_each_change_and_every_two_seconds(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *pipe = tmpfile();
    assert_non_null(pipe);
    weir_live live;
    weir_live_view view = sample();
    weir_live_start(&live, pipe);
    assert_false(live.terminal);
    for (int64_t t = 0; t < 5000000; t += 100000) weir_live_draw(&live, &view, t, false); /* at 0, 2 and 4 s */
    view.phases[1].state = WEIR_LIVE_DONE;
    weir_live_draw(&live, &view, 5000001, false);
    weir_live_draw(&live, &view, 5000002, false);
    weir_live_stop(&live);
    weir_live_stop(&live);
    rewind(pipe);
    int lines = 0;
    while (getline(&text, &len, pipe) > 0) {
        lines++;
        assert_null(strchr(text, '\033'));
        assert_non_null(strstr(text, "payments 512004"));
    }
    assert_int_equal(lines, 4);
    free(text);
    fclose(pipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_fits_every_terminal),
        cmocka_unit_test(test_block_without_color_and_utf8_is_plain_ascii),
        cmocka_unit_test(test_names_cannot_steer_the_terminal),
        cmocka_unit_test(test_pipe_gets_a_line_at_each_change_and_every_two_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
