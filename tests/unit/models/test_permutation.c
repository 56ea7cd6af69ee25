/* Importance by permutation. */
#include "models/explain.h"
#include "models/metrics.h"
#include "tests/unit/models/fixture.h"
#include "tests/unit/starve.h"

static fixture data;

/* A model that is linear in its columns: without column c the mean squared error grows by 2 b² Var(x_c) in the mean over permutations; so the RMSE from e to
 * √(e² + 2 b² Var). */
static void test_a_linear_model_loses_what_its_coefficients_say(void **state) {
    (void)state;
    enum { N = 2000 };
    static double values[N * 2], label[N];
    static const char *const names[] = {"strong", "none"};
    uint64_t random = 3;
    double mean = 0, variance = 0;
    for (int r = 0; r < N; r++) {
        values[2 * r] = uniform(&random);
        values[2 * r + 1] = uniform(&random);
        label[r] = 3 * values[2 * r];
        mean += values[2 * r] / N;
    }
    for (int r = 0; r < N; r++) variance += (values[2 * r] - mean) * (values[2 * r] - mean) / N;
    weir_matrix m = {.row_count = N, .column_count = 2, .values = values, .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_model *model = fit_model("linear", NULL, &m);
    double drop[2], deviation[2], again[2], other[2];
    weir_err err;
    const weir_model_metric *rmse = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
    assert_int_equal(weir_explain_permutation(model, &m, rmse, 20, 5, drop, deviation, &err), WEIR_OK);
    assert_true(fabs(drop[0] - sqrt(2 * 9 * variance)) < 0.02); /* labels are exact: e = 0 */
    assert_true(deviation[0] > 0 && deviation[0] < 0.05);
    assert_true(fabs(drop[1]) < 1e-9);
    assert_int_equal(weir_explain_permutation(model, &m, rmse, 20, 5, again, other, &err), WEIR_OK);
    assert_memory_equal(drop, again, sizeof drop);
    assert_memory_equal(deviation, other, sizeof deviation);
    assert_int_equal(weir_explain_permutation(model, &m, rmse, 1, 5, again, other, &err), WEIR_OK);
    assert_true(isnan(other[0]));
    weir_model_free(model);
}

/* Of a metric that should be high, positive is a loss too; the columns that the labels depend on come first. */
static void test_columns_that_matter_come_first(void **state) {
    (void)state;
    weir_model *model = fit_model("xgboost", quick("xgboost"), &data.matrix);
    double drop[COLUMNS], deviation[COLUMNS];
    weir_err err;
    assert_int_equal(weir_explain_permutation(model, &data.matrix, weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc"), 3, 1, drop, deviation, &err), WEIR_OK);
    for (int c = 2; c < COLUMNS; c++) assert_true(drop[0] > drop[c] && drop[1] > drop[c]);
    assert_true(drop[4] == 0); /* a column that never varies */
    weir_model_free(model);
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    weir_model *model = fit_model("logistic", NULL, &data.matrix);
    weir_matrix narrow = data.matrix, unlabelled = data.matrix;
    const weir_model_metric *auc = weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc"), *rmse = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
    double drop[COLUMNS] = {7}, deviation[COLUMNS];
    weir_err err;
    narrow.column_count = 3;
    unlabelled.label = NULL;
    assert_int_equal(weir_explain_permutation(model, &narrow, auc, 1, 1, drop, deviation, &err), WEIR_EINVAL);
    assert_int_equal(weir_explain_permutation(model, &unlabelled, auc, 1, 1, drop, deviation, &err), WEIR_EINVAL);
    assert_int_equal(weir_explain_permutation(model, &data.matrix, rmse, 1, 1, drop, deviation, &err), WEIR_EINVAL);
    assert_int_equal(weir_explain_permutation(model, &data.matrix, auc, 0, 1, drop, deviation, &err), WEIR_EINVAL);
    assert_true(drop[0] == 7);
    weir_model_free(model);
}

static void test_without_memory(void **state) {
    (void)state;
    weir_model *model = fit_model("logistic", NULL, &data.matrix);
    weir_matrix few = data.matrix;
    few.row_count = 50;
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    weir_status status = WEIR_ENOMEM;
    for (int n = 0; status != WEIR_OK; n++) {
        double drop[COLUMNS], deviation[COLUMNS];
        weir_err err;
        allocations_left = n;
        status = weir_explain_permutation(model, &few, weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc"), 2, 1, drop, deviation, &err);
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        assert_true(n < 1000);
    }
    weir_mem = before;
    weir_model_free(model);
}

int main(void) {
    fixture_init(&data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_linear_model_loses_what_its_coefficients_say),
        cmocka_unit_test(test_columns_that_matter_come_first),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
