/* The drift report: says what was found, needs nothing else, and escapes what it shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/drift_page.h"
#include "tests/unit/starve.h"

static weir_drift_table *make(double shift, bool with_gone) {
    static const weir_drift_field fields[] = {{"amount", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE},
                                              {"<way>", WEIR_DRIFT_CATEGORY, WEIR_DRIFT_FEATURE},
                                              {"night", WEIR_DRIFT_BOOL, WEIR_DRIFT_FEATURE},
                                              {"gone", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}};
    weir_drift_table *t = NULL;
    weir_err err = {0};
    if (weir_drift_table_new(fields, with_gone ? 4 : 3, 1, &t, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2000; i++) {
        char text[8];
        snprintf(text, sizeof text, "w&%d", i % 20);
        const weir_datum row[] = {weir_f64(i % 100 + shift), weir_text(text), weir_bool(i % 3 == 0), weir_f64(i)};
        weir_drift_table_add_row(t, row);
    }
    return t;
}

static weir_status write(weir_drift_page *page, weir_buf *out, weir_err *err) {
    weir_drift_report *report = NULL;
    weir_drift_settings settings = weir_drift_defaults;
    settings.permutations = 99;
    weir_status status = weir_drift_compare(page->reference, page->current, NULL, &settings, &report, err);
    page->report = report;
    if (!status) status = weir_drift_page_write(page, out, err);
    weir_drift_report_free(report);
    return status;
}

static void the_page_shows_every_column_and_stands_alone(void **state) {
    (void)state;
    weir_drift_table *reference = make(0, true), *current = make(60, false);
    weir_drift_page page = {"a <b> file", "then", "now & here", reference, current, NULL, 0.3, 0.5, 1700000000000000};
    weir_buf out = {0};
    weir_err err = {0};
    assert_int_equal(write(&page, &out, &err), WEIR_OK);
    assert_non_null(strstr(out.data, "2 of 4 columns no longer look like the reference"));
    assert_non_null(strstr(out.data, "a &lt;b&gt; file"));
    assert_non_null(strstr(out.data, "now &amp; here"));
    assert_non_null(strstr(out.data, "&lt;way&gt;"));
    assert_non_null(strstr(out.data, "w&amp;"));
    assert_non_null(strstr(out.data, "the column is gone"));
    assert_non_null(strstr(out.data, "all others"));
    assert_true(strstr(out.data, "gone") < strstr(out.data, "&lt;way&gt;")); /* what drifted comes first */
    assert_null(strstr(out.data, "<script"));
    assert_null(strstr(out.data, "http"));
    assert_null(strstr(out.data, "nan"));
    weir_buf_done(&out);
    weir_drift_table_free(reference);
    weir_drift_table_free(current);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    weir_drift_table *reference = make(0, true), *current = make(60, false);
    weir_allocator usual = weir_mem;
    for (int n = 0;; n++) {
        weir_drift_page page = {"file", "then", "now", reference, current, NULL, 0.3, 0.5, 0};
        weir_buf out = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = write(&page, &out, NULL);
        weir_buf_done(&out);
        weir_mem = usual;
        if (!status) break;
        assert_int_equal(status, WEIR_ENOMEM);
        assert_true(n < 1000);
    }
    weir_drift_table_free(reference);
    weir_drift_table_free(current);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_shows_every_column_and_stands_alone),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
