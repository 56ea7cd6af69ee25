/* Least squares and ridge against cases that can be worked by hand, and conditions that their solutions must satisfy. */
#include "fixture.h"

static fixture data;
static const char *const names[] = {"a", "b", "c"};

static weir_matrix regression(int64_t rows, int columns, const double *x, const double *y) {
    return (weir_matrix){.row_count = rows, .column_count = columns, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
}

static double predict_one(weir_model *model, const double *row) {
    double score;
    weir_err err;
    assert_int_equal(weir_model_predict(model, row, 1, &score, &err), WEIR_OK);
    return score;
}

/* Σ (x − 2)(y − 5/3) / Σ (x − 2)² = 1/2, through the means. */
static void one_column_gives_the_textbook_line(void **state) {
    (void)state;
    const double x[] = {1, 2, 3}, y[] = {1, 2, 2}, four = 4, missing = NAN;
    const weir_matrix train = regression(3, 1, x, y);
    weir_model *model = fit_model("linear", NULL, &train);
    assert_float_equal(predict_one(model, &four), 5.0 / 3 + 0.5 * 2, 1e-14);
    assert_float_equal(predict_one(model, &missing), 5.0 / 3, 1e-14);
    weir_model_free(model);
}

/* Σ xy / Σ x² = 11/14. */
static void without_an_intercept_the_line_goes_through_zero(void **state) {
    (void)state;
    const double x[] = {1, 2, 3}, y[] = {1, 2, 2}, zero = 0, four = 4;
    const weir_matrix train = regression(3, 1, x, y);
    weir_model *model = fit_model("linear", "{\"intercept\": false}", &train);
    assert_float_equal(predict_one(model, &zero), 0, 1e-14);
    assert_float_equal(predict_one(model, &four), 4 * 11.0 / 14, 1e-14);
    weir_model_free(model);
}

/* x = −1, 1 is standardised already: b minimises 2 (1 − b)² + alpha b². The intercept carries no penalty. */
static void the_penalty_of_ridge_is_alpha_times_the_square(void **state) {
    (void)state;
    const double x[] = {-1, 1}, y[] = {99, 101};
    const weir_matrix train = regression(2, 1, x, y);
    weir_model *model = fit_model("ridge", "{\"alpha\": 2}", &train);
    assert_float_equal(predict_one(model, &x[1]), 100.5, 1e-12);
    assert_float_equal(predict_one(model, &x[0]), 99.5, 1e-12);
    weir_model_free(model);
}

/* At the minimum of least squares, what is left of the labels is orthogonal to every column. */
static void residuals_are_orthogonal_to_the_columns(void **state) {
    (void)state;
    double scores[ROWS], sums[4] = {0};
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("linear", NULL, &train);
    predict_all(model, &train, scores);
    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < 3; c++) sums[c] += (scores[r] - data.target[r]) * data.values[r * COLUMNS + c];
        sums[3] += scores[r] - data.target[r];
    }
    for (int i = 0; i < 4; i++) assert_float_equal(sums[i], 0, 1e-7);
    weir_model_free(model);
}

/* The column b is a, and c is 3 a + 5: each gets a third of the slope in its own standardised units. */
static void dependent_columns_share_the_smallest_coefficients(void **state) {
    (void)state;
    const double x[] = {1, 1, 8, 2, 2, 11, 3, 3, 14, 4, 4, 17}, y[] = {2, 4, 6, 8}, one_up[] = {3.5, 2.5, 12.5}, other[] = {2.5, 3.5, 12.5},
                 third[] = {2.5, 2.5, 15.5};
    const weir_matrix train = regression(4, 3, x, y);
    weir_model *model = fit_model("linear", NULL, &train);
    assert_float_equal(predict_one(model, one_up), 5 + 2.0 / 3, 1e-12);
    assert_float_equal(predict_one(model, other), 5 + 2.0 / 3, 1e-12);
    assert_float_equal(predict_one(model, third), 5 + 2.0 / 3, 1e-12);
    weir_model_free(model);
}

static void more_columns_than_rows_fit_exactly(void **state) {
    (void)state;
    const double x[] = {1, 5, 2, 3, 1, 7}, y[] = {10, 20};
    const weir_matrix two = regression(2, 3, x, y), one = regression(1, 3, x, y);
    weir_model *model = fit_model("linear", NULL, &two);
    assert_float_equal(predict_one(model, x), 10, 1e-12);
    assert_float_equal(predict_one(model, x + 3), 20, 1e-12);
    weir_model_free(model);
    for (int i = 0; i < 2; i++) {
        weir_model *constant = fit_model(i ? "ridge" : "linear", NULL, &one);
        assert_float_equal(predict_one(constant, x + 3), 10, 1e-12);
        weir_model_free(constant);
    }
}

static void columns_without_value_or_variation_are_ignored(void **state) {
    (void)state;
    const double x[] = {1, NAN, 0.1, 2, NAN, 0.1, 3, NAN, 0.1}, y[] = {1, 2, 2}, row[] = {4, 1000, -1000};
    const weir_matrix train = regression(3, 3, x, y);
    weir_model *model = fit_model("linear", NULL, &train);
    assert_float_equal(predict_one(model, row), 5.0 / 3 + 1, 1e-10);
    weir_model_free(model);
    model = fit_model("ridge", "{\"alpha\": 1e-9}", &train);
    assert_float_equal(predict_one(model, row), 5.0 / 3 + 1, 1e-7);
    weir_model_free(model);
}

/* A row that weighs 3 counts as three rows, one that weighs 0 as none: in the standardisation too. */
static void weights_are_repetitions(void **state) {
    (void)state;
    static const char *const algorithms[][2] = {{"linear", NULL},
                                                {"linear", "{\"intercept\": false}"},
                                                {"ridge", "{\"alpha\": 50}"},
                                                {"lasso", "{\"tol\": 1e-12}"},
                                                {"elastic_net", "{\"tol\": 1e-12}"}};
    static double weight[ROWS], values[2 * ROWS * COLUMNS], target[2 * ROWS];
    weir_matrix weighted = fixture_matrix(&data, WEIR_TASK_REGRESSION), repeated = weighted;
    int64_t rows = 0;
    for (int r = 0; r < ROWS; r++) {
        weight[r] = r % 4 == 1 ? 3 : r % 4 == 2 ? 0 : 1;
        for (int i = 0; i < weight[r] && rows < 2 * ROWS; i++, rows++) {
            memcpy(values + rows * COLUMNS, data.values + r * COLUMNS, COLUMNS * sizeof(double));
            target[rows] = data.target[r];
        }
    }
    weighted.weight = weight;
    repeated.values = values;
    repeated.label = target;
    repeated.row_count = rows;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        double a[ROWS], b[ROWS];
        weir_model *one = fit_model(algorithms[i][0], algorithms[i][1], &weighted), *other = fit_model(algorithms[i][0], algorithms[i][1], &repeated);
        predict_all(one, &weighted, a);
        predict_all(other, &weighted, b);
        for (int r = 0; r < ROWS; r++) assert_float_equal(a[r], b[r], 1e-8);
        weir_model_free(one);
        weir_model_free(other);
    }
}

/* Times as microseconds since 1970 and labels with a large offset: nothing is lost to cancellation. */
static void offsets_of_columns_and_labels_do_no_harm(void **state) {
    (void)state;
    enum { N = 3000 };
    static double x[N], y[N];
    for (int r = 0; r < N; r++) {
        x[r] = 1.5e15 + 1e6 * r;
        y[r] = 1e9 + 0.25 * r;
    }
    const weir_matrix train = regression(N, 1, x, y);
    weir_model *model = fit_model("linear", NULL, &train);
    for (int r = 0; r < N; r += 100) assert_float_equal(predict_one(model, &x[r]), y[r], 1e-5);
    weir_model_free(model);
}

static void expect_refusal(const char *algorithm, const char *params, const weir_matrix *train, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = params ? cJSON_Parse(params) : NULL;
    assert_int_equal(weir_model_fit(algorithm, json, NULL, train, NULL, 1, 1, &artifact, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

static void numbers_that_leave_the_finite_ones_are_an_error(void **state) {
    (void)state;
    static const char *const algorithms[] = {"linear", "ridge", "lasso", "elastic_net"};
    const double x[] = {1, 2, 3, 5}, y[] = {1.7e308, -1.7e308, 1.7e308, 1.7e308};
    const weir_matrix train = regression(4, 1, x, y);
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) expect_refusal(algorithms[i], NULL, &train, WEIR_ENUMERIC, "too large");
}

static void hyperparameters_outside_their_range_are_refused(void **state) {
    (void)state;
    const double x[] = {1, 2, 3}, y[] = {1, 2, 2};
    const weir_matrix train = regression(3, 1, x, y);
    expect_refusal("ridge", "{\"alpha\": 0}", &train, WEIR_EINVAL, "alpha");
    expect_refusal("linear", "{\"intercept\": 1}", &train, WEIR_EINVAL, "intercept");
    expect_refusal("lasso", "{\"l1_ratio\": 1}", &train, WEIR_EINVAL, "l1_ratio");
    expect_refusal("elastic_net", "{\"l1_ratio\": 0}", &train, WEIR_EINVAL, "l1_ratio");
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_column_gives_the_textbook_line),
        cmocka_unit_test(without_an_intercept_the_line_goes_through_zero),
        cmocka_unit_test(the_penalty_of_ridge_is_alpha_times_the_square),
        cmocka_unit_test(residuals_are_orthogonal_to_the_columns),
        cmocka_unit_test(dependent_columns_share_the_smallest_coefficients),
        cmocka_unit_test(more_columns_than_rows_fit_exactly),
        cmocka_unit_test(columns_without_value_or_variation_are_ignored),
        cmocka_unit_test(weights_are_repetitions),
        cmocka_unit_test(offsets_of_columns_and_labels_do_no_harm),
        cmocka_unit_test(numbers_that_leave_the_finite_ones_are_an_error),
        cmocka_unit_test(hyperparameters_outside_their_range_are_refused),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
