/* Which columns are watched for drift, and profiles of any source's rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "features/drift_columns.h"
#include "tests/unit/starve.h"

static weir_pipeline *load(void) {
    weir_pipeline *p = NULL;
    weir_err err = {0};
    if (weir_pipeline_load("fraud", &p, &err)) fail_msg("%s", err.message);
    return p;
}

static void named_columns_are_grouped_by_view_and_typed(void **state) {
    (void)state;
    weir_pipeline *p = load();
    weir_drift_columns c = {0};
    weir_err err = {0};
    const char *const names[] = {"terminal_tx_count_1d", "amount", "tx_during_night", "terminal_id", "tx_time", NULL}; /* a time is left out */
    assert_int_equal(weir_drift_columns_init(p, names, &c, &err), WEIR_OK);
    assert_int_equal(c.count, 4);
    int customer = p->primary_view, terminal = -1;
    for (int v = 0; v < p->view_count; v++)
        if (!strcmp(p->views[v].name, "terminal")) terminal = v;
    assert_int_equal(c.first[customer + 1] - c.first[customer], 3);
    assert_int_equal(c.first[terminal + 1] - c.first[terminal], 1);
    assert_string_equal(c.fields[c.first[terminal]].name, "terminal_tx_count_1d");
    for (int i = 0; i < c.count; i++) {
        assert_true((c.places[i].feature < 0) != (c.places[i].event < 0));
        assert_int_equal(c.fields[i].type, strcmp(c.fields[i].name, "terminal_id") ? WEIR_DRIFT_NUMBER : WEIR_DRIFT_CATEGORY);
        assert_int_equal(c.fields[i].role, WEIR_DRIFT_FEATURE);
    }
    weir_drift_columns_done(&c);
    weir_pipeline_free(p);
}

static void without_names_every_visible_feature_is_watched(void **state) {
    (void)state;
    weir_pipeline *p = load();
    weir_drift_columns c = {0};
    int visible = 0;
    for (int v = 0; v < p->view_count; v++)
        for (int i = 0; i < p->views[v].feature_count; i++) visible += !p->views[v].features[i].hidden;
    assert_int_equal(weir_drift_columns_init(p, NULL, &c, NULL), WEIR_OK);
    assert_int_equal(c.count, visible);
    weir_drift_columns_done(&c);
    weir_pipeline_free(p);
}

static void an_unknown_name_is_refused_with_the_nearest(void **state) {
    (void)state;
    weir_pipeline *p = load();
    weir_drift_columns c = {0};
    weir_err err = {0};
    const char *const names[] = {"amount", "tx_during_nigth", NULL};
    assert_int_equal(weir_drift_columns_init(p, names, &c, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "did you mean \"tx_during_night\""));
    assert_null(c.fields);
    const char *const times[] = {"tx_time", NULL};
    assert_int_equal(weir_drift_columns_init(p, times, &c, &err), WEIR_EINVAL);
    weir_pipeline_free(p);
}

/* 100 rows: a number, a truth, a category of two, an identifier, a time. */
static weir_status scan_rows(void *context, weir_profile_row_fn on_row, void *row_context, weir_err *err) {
    weir_status status = WEIR_OK;
    int from = *(int *)context;
    for (int i = 0; !status && i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "row-%d", from + i);
        const weir_datum row[] = {i % 10 ? weir_f64(i) : weir_null(), weir_bool(i % 2), weir_text(i % 4 ? "card" : "cash"), weir_text(text), weir_i64(i)};
        status = on_row(row_context, row, err);
    }
    return status;
}

static weir_profile_source source_of(int *from) {
    static char names[5][8] = {"number", "truth", "way", "id", "at"};
    static const weir_profile_field fields[] = {{names[0], WEIR_PROFILE_NUMBER},
                                                {names[1], WEIR_PROFILE_BOOL},
                                                {names[2], WEIR_PROFILE_TEXT},
                                                {names[3], WEIR_PROFILE_TEXT},
                                                {names[4], WEIR_PROFILE_TIME}};
    return (weir_profile_source){.fields = fields, .field_count = 5, .time = 4, .entity = -1, .scan = scan_rows, .context = from};
}

static void a_source_becomes_a_table_without_times(void **state) {
    (void)state;
    int from = 0;
    weir_profile_source source = source_of(&from);
    weir_drift_table *table = NULL;
    int64_t rows = 0;
    assert_int_equal(weir_drift_scan_source(&source, &table, &rows, NULL), WEIR_OK);
    assert_int_equal(rows, 100);
    assert_int_equal(weir_drift_table_count(table), 4);
    weir_drift_summary number = weir_drift_profile_summary(weir_drift_table_profile(table, 0));
    assert_true(number.count == 100 && number.missing == 10 && number.type == WEIR_DRIFT_NUMBER && number.max == 99);
    assert_int_equal(weir_drift_table_field(table, 1).type, WEIR_DRIFT_BOOL);
    assert_true(weir_drift_profile_summary(weir_drift_table_profile(table, 2)).distinct == 2);
    weir_drift_table_free(table);
    source.fields += 4;
    source.field_count = 1;
    assert_int_equal(weir_drift_scan_source(&source, &table, &rows, NULL), WEIR_EINVAL);
}

static void identifiers_leave_both_sides(void **state) {
    (void)state;
    int from = 0, later = 1000, left = 0;
    weir_profile_source one = source_of(&from), other = source_of(&later);
    weir_drift_table *reference = NULL, *current = NULL;
    int64_t rows;
    assert_int_equal(weir_drift_scan_source(&one, &reference, &rows, NULL), WEIR_OK);
    assert_int_equal(weir_drift_scan_source(&other, &current, &rows, NULL), WEIR_OK);
    assert_int_equal(weir_drift_leave_identifiers(&reference, &current, &left, NULL), WEIR_OK);
    assert_int_equal(left, 1);
    assert_true(weir_drift_table_find(reference, "id") < 0 && weir_drift_table_find(current, "id") < 0);
    assert_int_equal(weir_drift_table_count(current), 3);
    assert_int_equal(weir_drift_profile_summary(weir_drift_table_profile(reference, weir_drift_table_find(reference, "way"))).count, 100);
    bool only[] = {false, false, true};
    weir_drift_table *way = NULL;
    assert_int_equal(weir_drift_table_choose(reference, only, &way, NULL), WEIR_OK);
    assert_int_equal(weir_drift_table_count(way), 1);
    char text[WEIR_DRIFT_TEXT_MAX + 1];
    assert_string_equal(weir_drift_profile_text(weir_drift_table_profile(way, 0), weir_drift_profile_quantile(weir_drift_table_profile(way, 0), 0.5), text),
                        text);
    weir_drift_table_free(way);
    weir_drift_table_free(reference);
    weir_drift_table_free(current);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    weir_allocator usual = weir_mem;
    weir_pipeline *p = load();
    for (int n = 0;; n++) {
        int from = 0, left = 0;
        int64_t rows;
        weir_profile_source source = source_of(&from);
        weir_drift_table *a = NULL, *b = NULL;
        weir_drift_columns c = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_drift_columns_init(p, NULL, &c, NULL);
        if (!status) status = weir_drift_scan_source(&source, &a, &rows, NULL);
        if (!status) status = weir_drift_scan_source(&source, &b, &rows, NULL);
        if (!status) status = weir_drift_leave_identifiers(&a, &b, &left, NULL);
        weir_drift_table_free(a);
        weir_drift_table_free(b);
        weir_drift_columns_done(&c);
        weir_mem = usual;
        if (!status) break;
        assert_int_equal(status, WEIR_ENOMEM);
        assert_true(n < 1000);
    }
    weir_pipeline_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_columns_are_grouped_by_view_and_typed),
        cmocka_unit_test(without_names_every_visible_feature_is_watched),
        cmocka_unit_test(an_unknown_name_is_refused_with_the_nearest),
        cmocka_unit_test(a_source_becomes_a_table_without_times),
        cmocka_unit_test(identifiers_leave_both_sides),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
