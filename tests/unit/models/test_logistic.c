/* Logistic regression against cases that can be worked by hand, and conditions that its solution must satisfy. */
#include "fixture.h"

static fixture data;

static double predict_one(weir_model *model, const double *row) {
    double score;
    weir_err err;
    assert_int_equal(weir_model_predict(model, row, 1, &score, &err), WEIR_OK);
    return score;
}

/* One 0/1 column, next to no penalty: the fitted probabilities are the shares in the two groups, 1/4 and 2/3. */
static void a_binary_column_gives_the_shares_of_its_groups(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1, 1}, y[] = {0, 0, 0, 1, 1, 1, 0}, zero = 0, one = 1;
    const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 7, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *model = fit_model("logistic", "{\"l2\": 1e-9}", &train);
    assert_float_equal(predict_one(model, &zero), 1.0 / 4, 1e-9);
    assert_float_equal(predict_one(model, &one), 2.0 / 3, 1e-9);
    weir_model_free(model);
}

/* x = −1, 1 is standardised already. By symmetry the intercept is 0, and w solves 2 (σ(w) − 1) + l2 w = 0: w = 0.6 for l2 = 2 (1 − σ(0.6)) / 0.6. */
static void the_penalty_is_half_l2_times_the_square(void **state) {
    (void)state;
    const double x[] = {-1, 1}, y[] = {0, 1};
    const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 2, .column_count = 1, .values = x, .label = y, .column_names = names};
    double sigma = 1 / (1 + exp(-0.6));
    char params[64];
    snprintf(params, sizeof params, "{\"l2\": %.17g}", 2 * (1 - sigma) / 0.6);
    weir_model *model = fit_model("logistic", params, &train);
    assert_float_equal(predict_one(model, &x[1]), sigma, 1e-12);
    assert_float_equal(predict_one(model, &x[0]), 1 - sigma, 1e-12);
    weir_model_free(model);
}

/* The intercept carries no penalty: however large that on the slope, the mean score is the share of positives. */
static void the_intercept_is_not_penalised(void **state) {
    (void)state;
    double scores[ROWS], mean = 0, share = 0;
    weir_model *model = fit_model("logistic", "{\"l2\": 1e9}", &data.matrix);
    predict_all(model, &data.matrix, scores);
    for (int r = 0; r < ROWS; r++) {
        mean += scores[r] / ROWS;
        share += data.label[r] / ROWS;
    }
    assert_float_equal(mean, share, 1e-9);
    assert_float_equal(scores[0], share, 1e-3);
    weir_model_free(model);
}

/* At the minimum the residuals balance: their sum is 0, and without penalty so is their product with every column that has all its values. */
static void residuals_balance_at_the_solution(void **state) {
    (void)state;
    double scores[ROWS], sums[4] = {0};
    weir_model *model = fit_model("logistic", "{\"l2\": 1e-9}", &data.matrix);
    predict_all(model, &data.matrix, scores);
    for (int r = 0; r < ROWS; r++) {
        double residual = scores[r] - data.label[r];
        for (int c = 0; c < 3; c++) sums[c] += residual * data.values[r * COLUMNS + c];
        sums[3] += residual;
    }
    for (int i = 0; i < 4; i++) assert_float_equal(sums[i], 0, 1e-6);
    weir_model_free(model);
}

static void a_missing_value_scores_as_the_mean_of_its_column(void **state) {
    (void)state;
    double mean = 0, row[COLUMNS], present = 0;
    for (int r = 0; r < ROWS; r++) {
        double x = data.values[r * COLUMNS + 3];
        if (isnan(x)) continue;
        mean += x;
        present++;
    }
    memcpy(row, data.values, sizeof row);
    row[3] = mean / present;
    weir_model *model = fit_model("logistic", NULL, &data.matrix);
    double with_mean = predict_one(model, row);
    row[3] = NAN;
    assert_float_equal(predict_one(model, row), with_mean, 1e-12);
    row[3] = 5; /* the column does count */
    assert_true(fabs(predict_one(model, row) - with_mean) > 1e-6);
    weir_model_free(model);
}

static void units_of_a_column_do_not_matter(void **state) {
    (void)state;
    static fixture scaled;
    fixture_init(&scaled);
    for (int r = 0; r < ROWS; r++) scaled.values[r * COLUMNS] = 1e9 + 1e6 * scaled.values[r * COLUMNS];
    double a[ROWS], b[ROWS];
    weir_model *plain = fit_model("logistic", NULL, &data.matrix), *other = fit_model("logistic", NULL, &scaled.matrix);
    predict_all(plain, &data.matrix, a);
    predict_all(other, &scaled.matrix, b);
    for (int r = 0; r < ROWS; r++) assert_float_equal(a[r], b[r], 1e-9);
    weir_model_free(plain);
    weir_model_free(other);
}

static void a_column_without_any_value_or_variation_is_ignored(void **state) {
    (void)state;
    static fixture empty;
    fixture_init(&empty);
    for (int r = 0; r < ROWS; r++) empty.values[r * COLUMNS + 3] = NAN;
    weir_model *model = fit_model("logistic", NULL, &empty.matrix);
    double row[COLUMNS];
    memcpy(row, empty.values, sizeof row);
    double score = predict_one(model, row);
    row[3] = 1000;
    row[4] = -1000;
    assert_true(predict_one(model, row) == score);
    weir_model_free(model);
}

static void extreme_rows_score_near_the_ends_and_stay_finite(void **state) {
    (void)state;
    weir_model *model = fit_model("logistic", NULL, &data.matrix);
    double high[COLUMNS] = {1e6, 1e6, 0, 0, 0.1}, low[COLUMNS] = {-1e6, -1e6, 0, 0, 0.1};
    assert_float_equal(predict_one(model, high), 1, 1e-12);
    assert_float_equal(predict_one(model, low), 0, 1e-12);
    weir_model_free(model);
}

static void expect_refusal(const weir_matrix *train, const char *params, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse(params);
    assert_int_equal(weir_model_fit("logistic", json, NULL, train, NULL, 1, 1, &artifact, &err), expected);
    assert_non_null(strstr(err.message, part));
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

/* Separable classes have no minimum without penalty: there is always one. */
static void separable_classes_fit_with_a_penalty_and_none_is_refused(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4}, y[] = {0, 0, 1, 1};
    const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 4, .column_count = 1, .values = x, .label = y, .column_names = names};
    expect_refusal(&train, "{\"l2\": 0}", WEIR_EINVAL, "l2");
    weir_model *model = fit_model("logistic", "{\"l2\": 1e-6}", &train);
    assert_true(predict_one(model, &x[1]) < 0.01);
    assert_true(predict_one(model, &x[2]) > 0.99);
    weir_model_free(model);
}

/* Two equal columns share what one would get: the scores depend on their sum alone. */
static void equal_columns_share_their_weight(void **state) {
    (void)state;
    const double x[] = {1, 1, 2, 2, 3, 3, 4, 4}, y[] = {0, 1, 0, 1}, left[] = {4, 2}, right[] = {2, 4};
    const char *const names[] = {"a", "b"};
    const weir_matrix train = {.row_count = 4, .column_count = 2, .values = x, .label = y, .column_names = names};
    weir_model *model = fit_model("logistic", "{\"l2\": 0.01}", &train);
    assert_float_equal(predict_one(model, left), predict_one(model, right), 1e-9);
    assert_true(predict_one(model, left) > predict_one(model, x));
    weir_model_free(model);
}

/* A row that weighs 3 counts as three rows, one that weighs 0 as none: in the standardisation too. */
static void weights_are_repetitions(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, NAN, 6}, y[] = {0, 1, 0, 1, 1, 1}, weight[] = {1, 3, 2, 1, 2, 0};
    const double repeated_x[] = {1, 2, 2, 2, 3, 3, 4, NAN, NAN}, repeated_y[] = {0, 1, 1, 1, 0, 0, 1, 1, 1};
    const char *const names[] = {"x"};
    const weir_matrix weighted = {.row_count = 6, .column_count = 1, .values = x, .label = y, .column_names = names, .weight = weight};
    const weir_matrix repeated = {.row_count = 9, .column_count = 1, .values = repeated_x, .label = repeated_y, .column_names = names};
    weir_model *one = fit_model("logistic", NULL, &weighted), *other = fit_model("logistic", NULL, &repeated);
    for (int r = 0; r < 6; r++) assert_float_equal(predict_one(one, &x[r]), predict_one(other, &x[r]), 1e-12);
    weir_model_free(one);
    weir_model_free(other);
}

static void a_fit_that_does_not_converge_is_an_error(void **state) {
    (void)state;
    expect_refusal(&data.matrix, "{\"max_iterations\": 2}", WEIR_ENUMERIC, "no convergence in 2");
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_binary_column_gives_the_shares_of_its_groups),
        cmocka_unit_test(the_penalty_is_half_l2_times_the_square),
        cmocka_unit_test(the_intercept_is_not_penalised),
        cmocka_unit_test(residuals_balance_at_the_solution),
        cmocka_unit_test(a_missing_value_scores_as_the_mean_of_its_column),
        cmocka_unit_test(units_of_a_column_do_not_matter),
        cmocka_unit_test(a_column_without_any_value_or_variation_is_ignored),
        cmocka_unit_test(extreme_rows_score_near_the_ends_and_stay_finite),
        cmocka_unit_test(separable_classes_fit_with_a_penalty_and_none_is_refused),
        cmocka_unit_test(equal_columns_share_their_weight),
        cmocka_unit_test(weights_are_repetitions),
        cmocka_unit_test(a_fit_that_does_not_converge_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
