/* Lasso and elastic net against cases that can be worked by hand, and conditions that their solutions must satisfy. */
#include "fixture.h"

static fixture data;
static const char *const names[] = {"a", "b"};

static weir_matrix regression(int64_t rows, int columns, const double *x, const double *y) {
    return (weir_matrix){.row_count = rows, .column_count = columns, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
}

static double predict_one(weir_model *model, const double *row) {
    double score;
    weir_err err;
    assert_int_equal(weir_model_predict(model, row, 1, &score, &err), WEIR_OK);
    return score;
}

/* Columns that are orthogonal and standardised: b_c = S(z_c'y / n, alpha l1) / (1 + alpha (1 − l1)), with z'y / n = 3 and 1/2. */
static void orthogonal_columns_are_shrunk_one_by_one(void **state) {
    (void)state;
    const double x[] = {-1, -1, -1, 1, 1, -1, 1, 1}, y[] = {96.5, 97.5, 102.5, 103.5};
    const weir_matrix train = regression(4, 2, x, y);
    weir_model *lasso = fit_model("lasso", "{\"alpha\": 0.25}", &train);
    assert_float_equal(predict_one(lasso, x), 100 - 2.75 - 0.25, 1e-12);
    assert_float_equal(predict_one(lasso, x + 2), 100 - 2.75 + 0.25, 1e-12);
    weir_model_free(lasso);
    lasso = fit_model("lasso", "{\"alpha\": 1}", &train); /* leaves the second column out */
    assert_float_equal(predict_one(lasso, x), 98, 1e-12);
    assert_true(predict_one(lasso, x) == predict_one(lasso, x + 2));
    weir_model_free(lasso);
    weir_model *net = fit_model("elastic_net", "{\"alpha\": 0.5, \"l1_ratio\": 0.5}", &train);
    assert_float_equal(predict_one(net, x), 100 - 2.75 / 1.25 - 0.25 / 1.25, 1e-12);
    weir_model_free(net);
}

static void a_penalty_above_every_correlation_leaves_the_mean(void **state) {
    (void)state;
    double scores[ROWS];
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("lasso", "{\"alpha\": 1000}", &train);
    predict_all(model, &train, scores);
    for (int r = 1; r < ROWS; r++) assert_true(scores[r] == scores[0]);
    weir_model_free(model);
}

/* At the minimum the residual's mean product with a standardised column is alpha in size where the column counts, and no more where it does not. Columns 0 and
 * 1 count; 2 is noise. */
static void the_residual_of_lasso_meets_its_conditions(void **state) {
    (void)state;
    double scores[ROWS];
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("lasso", "{\"alpha\": 2, \"tol\": 1e-12}", &train);
    predict_all(model, &train, scores);
    for (int c = 0; c < 3; c++) {
        double mean = 0, variance = 0, product = 0;
        for (int r = 0; r < ROWS; r++) mean += data.values[r * COLUMNS + c] / ROWS;
        for (int r = 0; r < ROWS; r++) variance += (data.values[r * COLUMNS + c] - mean) * (data.values[r * COLUMNS + c] - mean) / ROWS;
        for (int r = 0; r < ROWS; r++) product += (data.values[r * COLUMNS + c] - mean) / sqrt(variance) * (data.target[r] - scores[r]) / ROWS;
        if (c < 2)
            assert_float_equal(fabs(product), 2, 1e-6);
        else
            assert_true(fabs(product) < 2);
    }
    weir_model_free(model);
}

static void an_elastic_net_of_l1_alone_is_lasso(void **state) {
    (void)state;
    double a[ROWS], b[ROWS];
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *lasso = fit_model("lasso", "{\"alpha\": 0.5}", &train), *net = fit_model("elastic_net", "{\"alpha\": 0.5, \"l1_ratio\": 1}", &train);
    predict_all(lasso, &train, a);
    predict_all(net, &train, b);
    assert_memory_equal(a, b, sizeof a);
    weir_model_free(lasso);
    weir_model_free(net);
}

static void labels_that_do_not_vary_and_single_rows_fit(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4}, y[] = {7, 7};
    const weir_matrix two = regression(2, 2, x, y), one = regression(1, 2, x, y);
    for (int i = 0; i < 2; i++) {
        weir_model *model = fit_model("lasso", NULL, i ? &one : &two);
        assert_true(predict_one(model, x + 2) == 7);
        weir_model_free(model);
    }
}

static void a_fit_that_does_not_converge_is_an_error(void **state) {
    (void)state;
    const double x[] = {1, 1.1, 2, 2.3, 3, 2.9, 4, 4.2}, y[] = {1, 3, 2, 5};
    const weir_matrix train = regression(4, 2, x, y);
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse("{\"alpha\": 1e-3, \"tol\": 1e-14, \"max_iterations\": 2}");
    assert_int_equal(weir_model_fit("lasso", json, NULL, &train, NULL, 1, 1, &artifact, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "no convergence in 2 sweeps"));
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orthogonal_columns_are_shrunk_one_by_one),    cmocka_unit_test(a_penalty_above_every_correlation_leaves_the_mean),
        cmocka_unit_test(the_residual_of_lasso_meets_its_conditions),  cmocka_unit_test(an_elastic_net_of_l1_alone_is_lasso),
        cmocka_unit_test(labels_that_do_not_vary_and_single_rows_fit), cmocka_unit_test(a_fit_that_does_not_converge_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
