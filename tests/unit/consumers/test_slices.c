/* Slices of an arm's rows: tenants, values, quarters, what is missing; small ones are left out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/slices.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

enum { ROWS = 200 };

static double score[ROWS], label[ROWS], plan[ROWS], amount[ROWS];
static int64_t time_us[ROWS];
static uint32_t entity[ROWS];
static int32_t tenant[ROWS];
static const char *const tenants[] = {"acme", "globex", "tiny"}, *const names[] = {"plan", "amount"};
static const double *const columns[] = {plan, amount};
static weir_arm_rows rows;
static const weir_arm_measure arm = {.arm = "champion", .model = "m", .digest = "d", .version = 4, .predictions = 900};

/* Of plan 1 the scores are right, of plan 2 wrong; five rows have none. Tenant "tiny" has ten rows. Amounts are 0 … 199. */
static int setup(void **state) {
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        label[i] = i % 2;
        plan[i] = i >= 195 ? NAN : i % 4 < 2 ? 1 : 2;
        score[i] = plan[i] == 2 ? 1 - label[i] : label[i];
        amount[i] = i;
        tenant[i] = i < 10 ? 2 : i % 3 == 0;
        entity[i] = (uint32_t)i;
    }
    rows = (weir_arm_rows){.count = ROWS,
                           .score = score,
                           .label = label,
                           .time_us = time_us,
                           .known_us = time_us,
                           .entity = entity,
                           .entity_count = ROWS,
                           .tenant = tenant,
                           .tenants = tenants,
                           .tenant_count = 3,
                           .column_names = names,
                           .columns = columns,
                           .column_count = 2,
                           .threshold = 0.5};
    return 0;
}

static const weir_slice *find(const weir_slices *slices, const char *name) {
    for (int i = 0; i < slices->count; i++)
        if (!strcmp(slices->list[i].name, name)) return &slices->list[i];
    return NULL;
}

static void each_slice_is_measured_on_its_own_rows(void **state) {
    (void)state;
    weir_slices slices = {0};
    weir_err err;
    if (weir_slices_add(&slices, &arm, &rows, WEIR_TASK_BINARY, 0, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_int_equal(slices.count, 2 + 2 + 4); /* tenants, plans, quarters; "tiny" and "plan missing" are too small */
    const weir_slice *right = find(&slices, "plan=1"), *wrong = find(&slices, "plan=2"), *first = find(&slices, "amount in quarter 1"),
                     *last = find(&slices, "amount in quarter 4");
    assert_true(right && wrong && first && last && find(&slices, "tenant=acme") && find(&slices, "tenant=globex"));
    assert_true(right->measure.metrics.auc_roc == 1 && wrong->measure.metrics.auc_roc == 0);
    assert_true(right->measure.labelled + wrong->measure.labelled == 195);
    assert_true(first->measure.labelled == 50 && last->measure.labelled == 50);
    assert_true(right->measure.version == 4 && !strcmp(right->measure.arm, "champion") && right->measure.predictions == 0);
    assert_int_equal(find(&slices, "tenant=acme")->measure.labelled + find(&slices, "tenant=globex")->measure.labelled, 190);
    weir_slices_done(&slices);
}

static void one_tenant_and_no_column_is_no_slice(void **state) {
    (void)state;
    weir_slices slices = {0};
    rows.tenant_count = 1;
    rows.column_count = 0;
    assert_int_equal(weir_slices_add(&slices, &arm, &rows, WEIR_TASK_BINARY, 0, NULL), WEIR_OK);
    assert_int_equal(slices.count, 0);
    assert_null(slices.list);
}

static void what_is_missing_is_a_slice_and_a_regression_has_errors(void **state) {
    (void)state;
    weir_slices slices = {0};
    rows.tenant_count = 1;
    rows.column_count = 1;
    for (int i = 100; i < ROWS; i++) plan[i] = NAN;
    assert_int_equal(weir_slices_add(&slices, &arm, &rows, WEIR_TASK_REGRESSION, 0, NULL), WEIR_OK);
    assert_int_equal(slices.count, 3);
    assert_int_equal(find(&slices, "plan missing")->measure.labelled, 100);
    assert_true(find(&slices, "plan=1")->measure.errors.rmse == 0 && find(&slices, "plan=2")->measure.errors.rmse == 1);
    weir_slices_done(&slices);
}

static void too_many_are_counted(void **state) {
    (void)state;
    weir_slices slices = {0};
    weir_err err;
    int added = 0;
    while (!slices.left_out) {
        assert_int_equal(weir_slices_add(&slices, &arm, &rows, WEIR_TASK_BINARY, 0, &err), WEIR_OK);
        added += 8;
    }
    assert_int_equal(slices.count, WEIR_SLICES_LIST_MAX);
    assert_int_equal(slices.count + slices.left_out, added);
    weir_slices_done(&slices);
}

static void without_memory_it_says_so(void **state) {
    (void)state;
    weir_status status = WEIR_ENOMEM;
    weir_mem.realloc = failing_realloc;
    for (int room = 0; status != WEIR_OK && room < 100; room++) {
        weir_slices slices = {0};
        weir_err err = {0};
        allocations_left = room;
        status = weir_slices_add(&slices, &arm, &rows, WEIR_TASK_REGRESSION, 0, &err);
        assert_true(status == WEIR_OK || (status == WEIR_ENOMEM && *err.message));
        weir_slices_done(&slices);
    }
    weir_mem.realloc = realloc;
    assert_int_equal(status, WEIR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_slice_is_measured_on_its_own_rows, setup),
        cmocka_unit_test_setup(one_tenant_and_no_column_is_no_slice, setup),
        cmocka_unit_test_setup(what_is_missing_is_a_slice_and_a_regression_has_errors, setup),
        cmocka_unit_test_setup(too_many_are_counted, setup),
        cmocka_unit_test_setup(without_memory_it_says_so, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
