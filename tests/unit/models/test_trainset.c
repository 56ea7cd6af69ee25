/* Training sets: which rows are in one, in which order, and how they are cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/trainset.h"
#include "tests/unit/starve.h"

/* Six rows, not in the order of time; row 4 has no label. By time they are 3, 1, 0, 2, 5: time 10, 20, 20, 30, 40. */
static const double size[6] = {1, 2, 3, NAN, 5, 6}, colour[6] = {100, 101, 100, 101, 100, 101}, label[6] = {0, 1, 0, 1, NAN, 1}, other[6] = {5, 6, 7, 8, 9, 10};
static const double *const values[] = {size, colour}, *const targets[] = {label, other};
static const char *const levels[] = {"red", "blue", NULL}, *const classes[] = {"no", "yes"}, *const target_names[] = {"bought", "price"};
static const char *const tenants[] = {"a", "b"};
static const int64_t when[6] = {20, 20, 30, 10, 25, 40}, until[6] = {25, 20, 50, 45, 30, 40};
static const uint32_t entity[6] = {0, 1, 0, 2, 3, 1}, tenant[6] = {0, 0, 0, 0, 1, 1};
static const weir_prep_column columns[] = {{.name = "size"}, {.name = "colour", .kind = WEIR_PREP_CATEGORY, .texts = levels}};

static weir_trainset_source six_rows(void) {
    return (weir_trainset_source){
        .row_count = 6,
        .column_count = 2,
        .columns = columns,
        .values = values,
        .class_names = classes,
        .target_names = target_names,
        .targets = targets,
        .time_us = when,
        .label_until_us = until,
        .entity = entity,
        .entity_count = 4,
        .tenant = tenant,
        .tenant_count = 2,
        .tenant_names = tenants,
        .source = "six.csv",
        .query = "all of six.csv",
    };
}

static weir_trainset made(const weir_trainset_source *source) {
    weir_trainset set = {0};
    weir_err err;
    if (weir_trainset_make(source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

static void rows_with_a_label_are_taken_in_the_order_of_time(void **state) {
    (void)state;
    const weir_trainset_source source = six_rows();
    weir_trainset set = made(&source);
    const double expected[] = {NAN, 101, 1, 100, 2, 101, 3, 100, 6, 101}, expected_label[] = {1, 0, 1, 0, 1};
    const int64_t expected_time[] = {10, 20, 20, 30, 40}, expected_until[] = {45, 25, 20, 50, 40};
    const uint32_t expected_entity[] = {2, 0, 1, 0, 1}, expected_tenant[] = {0, 0, 0, 0, 1};
    assert_int_equal(set.matrix.row_count, 5);
    assert_int_equal(set.without_label, 1);
    assert_true(isnan(set.matrix.values[0]));
    assert_memory_equal(set.matrix.values + 1, expected + 1, sizeof expected - sizeof *expected);
    assert_memory_equal(set.matrix.label, expected_label, sizeof expected_label);
    assert_memory_equal(set.time_us, expected_time, sizeof expected_time);
    assert_memory_equal(set.label_until_us, expected_until, sizeof expected_until);
    assert_memory_equal(set.entity, expected_entity, sizeof expected_entity);
    assert_memory_equal(set.tenant, expected_tenant, sizeof expected_tenant);
    assert_int_equal(set.entity_count, 4);
    assert_int_equal(set.entities_seen, 3);
    assert_string_equal(set.matrix.column_names[1], "colour");
    assert_null(set.matrix.column_names[2]);
    assert_int_equal(set.matrix.kinds[1].kind, WEIR_PREP_CATEGORY);
    assert_string_equal(set.matrix.kinds[1].texts[1], "blue");
    assert_string_equal(set.class_names[1], "yes");
    assert_string_equal(set.tenant_names[1], "b");
    assert_string_equal(set.target_names[0], "bought");
    assert_string_equal(set.source, "six.csv");
    assert_string_equal(set.query, "all of six.csv");
    assert_int_equal(strlen(set.digest), 64);
    weir_trainset_done(&set);
}

static void the_digest_is_of_what_changes_a_fit(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    weir_trainset set = made(&source);
    double size2[6], label2[6], order2[6];
    memcpy(size2, size, sizeof size);
    memcpy(label2, label, sizeof label);
    memcpy(order2, size, sizeof size);
    size2[5] = 6.5;
    label2[5] = 0;
    size2[3] = size[3];
    const double *const values2[] = {size2, colour}, *const same_values[] = {order2, colour}, *const targets2[] = {label2};
    weir_prep_column renamed[] = {{.name = "height"}, columns[1]}, plain[] = {columns[0], {.name = "colour"}};
    weir_trainset_source changed[5] = {source, source, source, source, source};
    changed[0].values = values2;
    changed[1].targets = targets2;
    changed[2].columns = renamed;
    changed[3].columns = plain;
    changed[4].entity = NULL;
    for (int i = 0; i < 5; i++) {
        weir_trainset different = made(&changed[i]);
        assert_string_not_equal(different.digest, set.digest);
        weir_trainset_done(&different);
    }
    source.values = same_values;
    source.source = "elsewhere.csv";
    order2[3] = -NAN; /* a NaN is a NaN */
    order2[4] = 77; /* of the row without a label */
    weir_trainset same = made(&source);
    assert_string_equal(same.digest, set.digest);
    weir_trainset_done(&same);
    weir_trainset_done(&set);
}

static void several_targets_are_of_a_regression(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    weir_err err;
    weir_trainset set = {0};
    source.target_count = 2;
    source.class_names = NULL;
    assert_int_equal(weir_trainset_make(&source, &set, &err), WEIR_EINVAL);
    source.task = WEIR_TASK_REGRESSION;
    set = made(&source);
    const double expected[] = {8, 5, 6, 7, 10};
    assert_int_equal(set.target_count, 2);
    assert_ptr_equal(set.matrix.label, set.targets);
    assert_memory_equal(set.targets + 5, expected, sizeof expected);
    weir_trainset one = weir_trainset_one_target(&set, 1);
    assert_memory_equal(one.matrix.label, expected, sizeof expected);
    assert_string_equal(one.target_names[0], "price");
    assert_int_equal(one.target_count, 1);
    weir_trainset_done(&set);
}

static void classes_are_counted_where_nobody_did(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    weir_err err;
    weir_trainset set = {0};
    const double three[6] = {0, 2, 1, 0, NAN, 2}, half[6] = {0, 0.5, 1, 0, 1, 2};
    const double *const of_three[] = {three}, *const of_half[] = {half};
    source.task = WEIR_TASK_MULTICLASS;
    source.class_names = NULL;
    source.targets = of_three;
    set = made(&source);
    assert_int_equal(set.matrix.class_count, 3);
    weir_trainset_done(&set);
    source.targets = of_half;
    assert_int_equal(weir_trainset_make(&source, &set, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "'bought' of row 1 is 0.5"));
}

static void expect_refusal(const weir_trainset_source *source, weir_status expected, const char *message) {
    weir_trainset set = {0};
    weir_err err;
    assert_int_equal(weir_trainset_make(source, &set, &err), expected);
    if (!strstr(err.message, message)) fail_msg("found \"%s\", expected \"%s\"", err.message, message);
    assert_null(set.memory);
}

static void what_is_none_is_refused(void **state) {
    (void)state;
    const weir_trainset_source good = six_rows();
    weir_trainset_source bad = good;
    const double infinite[6] = {1, INFINITY, 3, 4, 5, 6}, none[6] = {NAN, NAN, NAN, NAN, NAN, NAN}, two[6] = {0, 2, 0, 1, 0, 1},
                 negative[6] = {1, -1, 1, 1, 1, 1};
    const double *const bad_values[] = {infinite, colour}, *const no_label[] = {none}, *const bad_label[] = {two};
    const weir_prep_column twice[] = {{.name = "size"}, {.name = "size"}};
    const int64_t early[6] = {20, 19, 30, 10, 25, 40};
    bad.values = bad_values;
    expect_refusal(&bad, WEIR_ENUMERIC, "column 'size' holds the infinite value inf");
    bad = good;
    bad.targets = no_label;
    expect_refusal(&bad, WEIR_ENOTFOUND, "none of the 6 rows has a label 'bought'");
    bad.targets = bad_label;
    expect_refusal(&bad, WEIR_EDATA, "label 'bought' of row 1 is 2, expected a whole number from 0 to 1");
    bad = good;
    bad.columns = twice;
    expect_refusal(&bad, WEIR_EINVAL, "column 'size' is there twice");
    bad = good;
    bad.column_count = 0;
    expect_refusal(&bad, WEIR_EINVAL, "0 columns");
    bad = good;
    bad.label_until_us = early;
    expect_refusal(&bad, WEIR_EDATA, "label of row 1 is known 1 us before");
    bad = good;
    bad.weight = negative;
    expect_refusal(&bad, WEIR_EDATA, "weight of row 1 is -1");
    bad = good;
    bad.entity_count = 1;
    expect_refusal(&bad, WEIR_EDATA, "entity of row 1 is 1, expected one below 1");
    bad = good;
    bad.time_us = NULL;
    expect_refusal(&bad, WEIR_EINVAL, "no times of the rows");
}

static void rows_are_taken_as_they_are_named(void **state) {
    (void)state;
    const weir_trainset_source source = six_rows();
    weir_trainset set = made(&source), part = {0}, reversed = {0};
    weir_err err;
    const int64_t rows[] = {1, 3}, backwards[] = {3, 1};
    const double expected[] = {1, 100, 3, 100};
    assert_int_equal(weir_trainset_take(&set, rows, 2, &part, &err), WEIR_OK);
    assert_int_equal(weir_trainset_take(&set, backwards, 2, &reversed, &err), WEIR_OK);
    assert_memory_equal(part.matrix.values, expected, sizeof expected);
    assert_int_equal(part.time_us[1], 30);
    assert_int_equal(part.entity_count, 4);
    assert_int_equal(part.entities_seen, 1);
    assert_string_equal(part.matrix.kinds[1].texts[0], "red");
    assert_string_not_equal(part.digest, set.digest);
    assert_string_not_equal(part.digest, reversed.digest);
    assert_int_equal(reversed.time_us[0], 30);
    assert_int_equal(weir_trainset_take(&set, rows, 0, &part, &err), WEIR_EINVAL);
    weir_trainset_done(&set);
    assert_string_equal(part.matrix.column_names[0], "size"); /* it stands alone */
    weir_trainset_done(&part);
    weir_trainset_done(&reversed);
}

/* times 10, 20, 20, 30, 40; labels known at 45, 25, 20, 50, 40 */
static void expect_cut(const weir_trainset *set, double share, int64_t gap_us, int64_t first_rows, int64_t last_rows, int64_t last_begins) {
    weir_trainset first = {0}, last = {0};
    weir_err err;
    if (weir_trainset_cut(set, share, gap_us, &first, &last, &err)) fail_msg("%s", err.message);
    assert_int_equal(first.matrix.row_count, first_rows);
    assert_int_equal(last.matrix.row_count, last_rows);
    if (set->time_us) assert_int_equal(last.time_us[0], last_begins);
    weir_trainset_done(&first);
    weir_trainset_done(&last);
}

static void a_cut_never_parts_rows_of_one_time(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    weir_trainset set, nothing = {0};
    weir_err err;
    source.label_until_us = NULL;
    set = made(&source);
    expect_cut(&set, 0.4, 0, 3, 2, 30);
    expect_cut(&set, 0.6, 0, 1, 4, 20); /* its place is between the two rows at 20 */
    expect_cut(&set, 0.2, 0, 4, 1, 40);
    expect_cut(&set, 0.2, 10, 3, 1, 40); /* the row at 30 is within the gap */
    expect_cut(&set, 0.2, 9, 4, 1, 40);
    expect_cut(&set, 0.999, 0, 1, 4, 20);
    assert_int_equal(weir_trainset_cut(&set, 0.2, 1000, &nothing, &nothing, &err), WEIR_EDATA);
    assert_int_equal(weir_trainset_cut(&set, 1, 0, &nothing, &nothing, &err), WEIR_EINVAL);
    weir_trainset_done(&set);
    source.label_until_us = until;
    set = made(&source);
    expect_cut(&set, 0.4, 0, 2, 2, 30); /* the label of the row at 10 is known at 45 only */
    weir_trainset_done(&set);
    source.time_us = source.label_until_us = NULL;
    set = made(&source);
    expect_cut(&set, 0.4, 0, 3, 2, 0);
    weir_trainset_done(&set);
}

static void rows_of_one_time_only_cannot_be_cut(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    const int64_t same[6] = {7, 7, 7, 7, 7, 7};
    weir_trainset nothing = {0};
    weir_err err;
    source.time_us = same;
    source.label_until_us = NULL;
    weir_trainset set = made(&source);
    assert_int_equal(weir_trainset_cut(&set, 0.5, 0, &nothing, &nothing, &err), WEIR_EDATA);
    weir_trainset_done(&set);
}

static void the_default_scheme_follows_what_is_known(void **state) {
    (void)state;
    weir_trainset_source source = six_rows();
    const uint32_t once[6] = {0, 1, 2, 3, 3, 5};
    weir_trainset set = made(&source);
    const int64_t span_us = set.time_us[set.matrix.row_count - 1] - set.time_us[0];
    assert_int_equal(weir_trainset_default_split(&set, 2, 1).scheme, WEIR_SPLIT_WALK_FORWARD); /* labels are known too late for purging to leave rows */
    assert_int_equal(weir_trainset_default_split(&set, 4, 1).scheme,
                     WEIR_SPLIT_STRATIFIED_K_FOLD); /* four times are too few for four folds, three entities too */
    weir_trainset_done(&set);
    int64_t soon[6];
    for (int r = 0; r < 6; r++) soon[r] = when[r] + span_us / 8;
    source.label_until_us = soon;
    set = made(&source);
    assert_int_equal(weir_trainset_default_split(&set, 2, 1).scheme, WEIR_SPLIT_PURGED_K_FOLD);
    weir_trainset_done(&set);
    source.label_until_us = when;
    set = made(&source);
    weir_split split = weir_trainset_default_split(&set, 3, 1);
    assert_int_equal(split.scheme, WEIR_SPLIT_STRATIFIED_K_FOLD); /* rows of one time stay together, so the first window would have one class */
    assert_int_equal(split.folds, 2); /* of which one has two rows */
    split = weir_trainset_default_split(&set, 2, 1);
    assert_int_equal(split.scheme, WEIR_SPLIT_WALK_FORWARD);
    assert_int_equal(split.folds, 2);
    weir_split_rows rows = weir_trainset_split_rows(&set);
    weir_split_plan *plan = NULL;
    weir_err err;
    assert_int_equal(weir_split_plan_new(&split, &rows, &plan, &err), WEIR_OK);
    assert_int_equal(weir_split_plan_folds(plan), 2);
    weir_split_plan_free(plan);
    weir_trainset_done(&set);
    source.time_us = source.label_until_us = NULL;
    set = made(&source);
    assert_int_equal(weir_trainset_default_split(&set, 3, 1).scheme, WEIR_SPLIT_STRATIFIED_K_FOLD); /* one entity has all rows of a class */
    weir_trainset_done(&set);
    weir_trainset_source amounts = source;
    amounts.task = WEIR_TASK_REGRESSION;
    amounts.class_names = NULL;
    set = made(&amounts);
    assert_int_equal(weir_trainset_default_split(&set, 3, 1).scheme, WEIR_SPLIT_GROUPED_K_FOLD);
    weir_trainset_done(&set);
    source.entity = once;
    source.entity_count = 6;
    set = made(&source);
    assert_int_equal(weir_trainset_default_split(&set, 3, 1).scheme, WEIR_SPLIT_STRATIFIED_K_FOLD);
    weir_trainset_done(&set);
    source.task = WEIR_TASK_REGRESSION;
    source.class_names = NULL;
    source.entity = NULL;
    set = made(&source);
    split = weir_trainset_default_split(&set, 3, UINT64_MAX);
    assert_int_equal(split.scheme, WEIR_SPLIT_K_FOLD);
    assert_true(split.shuffle && split.seed >= 0);
    weir_trainset_done(&set);
}

/* Sixty rows a second apart, whose positives are rows 24 and 30 and then every third: the usual first window of ten rows would have none. */
static void the_first_window_has_every_class(void **state) {
    (void)state;
    enum { N = 60 };
    double x[N], y[N];
    int64_t times[N];
    const double *const some_values[] = {x}, *const some_targets[] = {y};
    const weir_prep_column column = {.name = "x"};
    for (int r = 0; r < N; r++) {
        x[r] = r;
        y[r] = r == 24 || (r >= 30 && r % 3 == 0);
        times[r] = INT64_C(1000000) * r;
    }
    const weir_trainset_source source = {
        .row_count = N, .column_count = 1, .columns = &column, .values = some_values, .target_names = target_names, .targets = some_targets, .time_us = times};
    weir_trainset set = made(&source);
    weir_split split = weir_trainset_default_split(&set, 5, 1);
    assert_int_equal(split.scheme, WEIR_SPLIT_WALK_FORWARD);
    assert_int_equal(split.test_rows, 7); /* (60 − 25) / 5 */
    weir_split_rows rows = weir_trainset_split_rows(&set);
    weir_split_plan *plan = NULL;
    weir_fold fold;
    uint8_t role[N];
    weir_err err;
    assert_int_equal(weir_split_plan_new(&split, &rows, &plan, &err), WEIR_OK);
    assert_int_equal(weir_split_plan_roles(plan, 0, role, &fold, &err), WEIR_OK);
    assert_int_equal(role[24], WEIR_ROLE_TRAIN);
    assert_int_equal(fold.train_count, 25);
    weir_split_plan_free(plan);
    weir_trainset_done(&set);
    for (int r = 0; r < N; r++) y[r] = r >= N - 2; /* only at the very end: no window is left to go forward */
    set = made(&source);
    assert_int_equal(weir_trainset_default_split(&set, 5, 1).scheme, WEIR_SPLIT_STRATIFIED_K_FOLD);
    weir_trainset_done(&set);
}

static void a_history_becomes_a_set(void **state) {
    (void)state;
    double history_values[] = {1, 2, 3, 10, 20, 30}, history_label[] = {0, NAN, 1};
    int64_t times[] = {1000, 2000, 3000};
    uint32_t entities[] = {0, 1, 1};
    char *names[] = {"a", "b"};
    char query[] = "what was asked";
    const weir_history history = {.row_count = 3,
                                  .column_count = 2,
                                  .column_names = names,
                                  .values = history_values,
                                  .event_time_us = times,
                                  .label = history_label,
                                  .entity = entities,
                                  .entity_count = 2,
                                  .query_text = query};
    const double expected[] = {1, 10, 3, 30};
    weir_trainset set = {0};
    weir_err err;
    assert_int_equal(weir_trainset_from_history(&history, "fraud", "is_fraud", WEIR_TASK_BINARY, 500, &set, &err), WEIR_OK);
    assert_int_equal(set.matrix.row_count, 2);
    assert_memory_equal(set.matrix.values, expected, sizeof expected);
    assert_int_equal(set.label_until_us[1], 3500);
    assert_int_equal(set.without_label, 1);
    assert_string_equal(set.query, query);
    assert_string_equal(set.target_names[0], "is_fraud");
    weir_trainset_done(&set);
    assert_int_equal(weir_trainset_from_history(&history, "fraud", "is_fraud", WEIR_TASK_BINARY, 0, &set, &err), WEIR_OK);
    assert_null(set.label_until_us);
    weir_trainset_done(&set);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    const weir_trainset_source source = six_rows();
    weir_allocator whole = weir_mem;
    int failures = 0;
    for (int n = 0;; n++) {
        weir_trainset set = {0}, first = {0}, last = {0};
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = n;
        weir_status status = weir_trainset_make(&source, &set, &err);
        if (!status) status = weir_trainset_cut(&set, 0.4, 0, &first, &last, &err);
        weir_trainset_done(&first);
        weir_trainset_done(&last);
        weir_trainset_done(&set);
        weir_mem = whole;
        if (!status) break;
        assert_int_equal(status, WEIR_ENOMEM);
        failures++;
    }
    assert_true(failures > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_with_a_label_are_taken_in_the_order_of_time),
        cmocka_unit_test(the_digest_is_of_what_changes_a_fit),
        cmocka_unit_test(several_targets_are_of_a_regression),
        cmocka_unit_test(classes_are_counted_where_nobody_did),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(rows_are_taken_as_they_are_named),
        cmocka_unit_test(a_cut_never_parts_rows_of_one_time),
        cmocka_unit_test(rows_of_one_time_only_cannot_be_cut),
        cmocka_unit_test(the_default_scheme_follows_what_is_known),
        cmocka_unit_test(the_first_window_has_every_class),
        cmocka_unit_test(a_history_becomes_a_set),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
