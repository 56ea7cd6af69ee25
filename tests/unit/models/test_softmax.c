/* Multinomial logistic regression against cases that can be worked by hand, and conditions that its solution must satisfy. */
#include "models/softmax.h"

#include "fixture.h"

static fixture data;
static const char *const names[] = {"x"};

static void predict_one(weir_model *model, const double *row, double *out) {
    weir_err err;
    assert_int_equal(weir_model_predict(model, row, 1, out, &err), WEIR_OK);
}

static weir_matrix classes_of(int64_t rows, const double *x, const double *y, int classes) {
    return (weir_matrix){
        .row_count = rows, .column_count = 1, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_MULTICLASS, .class_count = classes};
}

static void softmax_neither_overflows_nor_loses_its_sum(void **state) {
    (void)state;
    double huge[] = {1e308, 1e308, -1e308}, plain[] = {log(1), log(2), log(5)};
    assert_float_equal(weir_softmax(plain, 3), log(8), 1e-15);
    assert_float_equal(plain[0], 1.0 / 8, 1e-15);
    assert_float_equal(plain[2], 5.0 / 8, 1e-15);
    assert_true(weir_softmax(huge, 3) == 1e308);
    assert_true(huge[0] == 0.5 && huge[1] == 0.5 && huge[2] == 0);
}

/* One 0/1 column and next to no penalty: the probabilities are the shares in the two groups, (1/4, 1/2, 1/4) and (1/5, 1/5, 3/5). */
static void a_binary_column_gives_the_shares_of_its_groups(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1, 1, 1, 1}, y[] = {0, 1, 1, 2, 0, 1, 2, 2, 2}, expected[2][3] = {{0.25, 0.5, 0.25}, {0.2, 0.2, 0.6}};
    const weir_matrix train = classes_of(9, x, y, 3);
    weir_model *model = fit_model("logistic", "{\"l2\": 1e-9}", &train);
    for (int g = 0; g < 2; g++) {
        double out[3], group = g;
        predict_one(model, &group, out);
        for (int k = 0; k < 3; k++) assert_float_equal(out[k], expected[g][k], 1e-8);
    }
    weir_model_free(model);
}

/* Of two classes with w_1 = −w_0 the score is σ(2 w z), and the penalty l2 w²: that of a binary fit with half the penalty on its coefficient 2 w. */
static void two_classes_are_the_binary_model_of_half_the_penalty(void **state) {
    (void)state;
    weir_matrix two = data.matrix;
    two.task = WEIR_TASK_MULTICLASS;
    two.class_count = 2;
    static double both[2 * ROWS], one[ROWS];
    weir_model *classes = fit_model("logistic", "{\"l2\": 50}", &two), *binary = fit_model("logistic", "{\"l2\": 25}", &data.matrix);
    predict_all(classes, &two, both);
    predict_all(binary, &data.matrix, one);
    for (int r = 0; r < ROWS; r++) assert_float_equal(both[2 * r + 1], one[r], 1e-9);
    weir_model_free(classes);
    weir_model_free(binary);
}

/* At the minimum the intercepts, without penalty, make the mean probability of each class its share of the rows, whatever the penalty on the rest. */
static void the_intercepts_are_not_penalised(void **state) {
    (void)state;
    static double scores[ROWS * CLASSES];
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    weir_model *model = fit_model("logistic", "{\"l2\": 1e6}", &train);
    predict_all(model, &train, scores);
    for (int k = 0; k < CLASSES; k++) {
        double mean = 0, share = 0;
        for (int r = 0; r < ROWS; r++) {
            mean += scores[r * CLASSES + k] / ROWS;
            share += (train.label[r] == k) / (double)ROWS;
        }
        assert_float_equal(mean, share, 1e-9);
        assert_float_equal(scores[k], share, 0.01);
    }
    weir_model_free(model);
}

static void weights_are_repetitions(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6}, y[] = {0, 1, 0, 2, 1, 2}, weight[] = {1, 2, 1, 0, 1, 3};
    const double repeated_x[] = {1, 2, 2, 3, 5, 6, 6, 6}, repeated_y[] = {0, 1, 1, 0, 1, 2, 2, 2};
    weir_matrix weighted = classes_of(6, x, y, 3), repeated = classes_of(8, repeated_x, repeated_y, 3);
    weighted.weight = weight;
    weir_model *one = fit_model("logistic", NULL, &weighted), *other = fit_model("logistic", NULL, &repeated);
    for (int r = 0; r < 6; r++) {
        double a[3], b[3];
        predict_one(one, &x[r], a);
        predict_one(other, &x[r], b);
        for (int k = 0; k < 3; k++) assert_float_equal(a[k], b[k], 1e-9);
    }
    weir_model_free(one);
    weir_model_free(other);
}

/* Nothing in the rows tells the classes apart: their shares are all there is. */
static void columns_that_do_not_vary_leave_the_shares(void **state) {
    (void)state;
    const double x[] = {NAN, NAN, NAN, NAN}, y[] = {0, 1, 2, 2};
    const weir_matrix train = classes_of(4, x, y, 3);
    double out[3];
    weir_model *model = fit_model("logistic", NULL, &train);
    predict_one(model, x, out);
    assert_float_equal(out[0], 0.25, 1e-9);
    assert_float_equal(out[2], 0.5, 1e-9);
    weir_model_free(model);
}

static void separable_classes_fit_and_a_fit_that_does_not_converge_is_an_error(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6}, y[] = {0, 0, 1, 1, 2, 2};
    const weir_matrix train = classes_of(6, x, y, 3);
    weir_buf artifact = {0};
    weir_err err;
    double out[3];
    weir_model *model = fit_model("logistic", "{\"l2\": 1e-4}", &train);
    for (int r = 0; r < 6; r++) {
        predict_one(model, &x[r], out);
        assert_true(out[(int)y[r]] > 0.95);
    }
    weir_model_free(model);
    cJSON *json = cJSON_Parse("{\"l2\": 1e-4, \"max_iterations\": 2}");
    assert_int_equal(weir_model_fit("logistic", json, NULL, &train, NULL, 1, 1, &artifact, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "no convergence in 2"));
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
        cmocka_unit_test(softmax_neither_overflows_nor_loses_its_sum),
        cmocka_unit_test(a_binary_column_gives_the_shares_of_its_groups),
        cmocka_unit_test(two_classes_are_the_binary_model_of_half_the_penalty),
        cmocka_unit_test(the_intercepts_are_not_penalised),
        cmocka_unit_test(weights_are_repetitions),
        cmocka_unit_test(columns_that_do_not_vary_leave_the_shares),
        cmocka_unit_test(separable_classes_fit_and_a_fit_that_does_not_converge_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
