/* Balanced classes: against scikit-learn, and what cannot be balanced. */
#include "fixture.h"

#include "models/class_weight.h"
#include "tests/unit/starve.h"

static const double label[] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 2};

static void expect_near(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-15)) fail_msg("%.17g, expected %.17g", value, expected);
}

/* scikit-learn 1.x: compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*7 + [1]*2 + [2]) */
static void balanced_weights_are_those_of_scikit_learn(void **state) {
    (void)state;
    double weight[3];
    weir_err err;
    assert_int_equal(weir_class_weights(label, NULL, 10, 3, weight, &err), WEIR_OK);
    expect_near(weight[0], 0.47619047619047616);
    expect_near(weight[1], 1.6666666666666667);
    expect_near(weight[2], 3.3333333333333335);
}

/* Classes weigh 14, 3 and 3 of 20; each is to weigh 20/3. */
static void weights_of_rows_count(void **state) {
    (void)state;
    double row[] = {2, 2, 2, 2, 2, 2, 2, 3, 0, 3}, sums[3] = {0}, weight[3];
    weir_err err;
    assert_int_equal(weir_class_weights(label, row, 10, 3, weight, &err), WEIR_OK);
    expect_near(weight[0], 20.0 / 42);
    expect_near(weight[1], 20.0 / 9);
    assert_int_equal(weir_class_weight_rows(label, row, 10, 3, row, &err), WEIR_OK);
    for (int r = 0; r < 10; r++) sums[(int)label[r]] += row[r];
    for (int k = 0; k < 3; k++) assert_float_equal(sums[k], 20.0 / 3, 1e-6);
    assert_true(row[8] == 0);
    assert_int_equal(weir_class_weight_rows(label, NULL, 10, 3, row, &err), WEIR_OK);
    expect_near(row[9], 3.3333333333333335);
}

/* Where nothing tells the classes apart, a model of balanced rows is undecided. */
static void a_balanced_model_is_undecided_where_nothing_is_known(void **state) {
    (void)state;
    static const double nothing[10], y[] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 0};
    static const char *const names[] = {"x"};
    double weight[10], score[10];
    weir_err err;
    weir_matrix train = {.row_count = 10, .column_count = 1, .values = nothing, .label = y, .column_names = names};
    weir_model *model = fit_model("logistic", NULL, &train);
    predict_all(model, &train, score);
    assert_float_equal(score[0], 0.2, 1e-6);
    weir_model_free(model);
    assert_int_equal(weir_class_weight_rows(y, NULL, 10, 2, weight, &err), WEIR_OK);
    train.weight = weight;
    model = fit_model("logistic", NULL, &train);
    predict_all(model, &train, score);
    assert_float_equal(score[0], 0.5, 1e-6);
    weir_model_free(model);
}

static void expect_refusal(const double *labels, const double *weight, int classes, weir_status expected, const char *part) {
    double out[10] = {-7, -7, -7};
    weir_err err;
    assert_int_equal(weir_class_weights(labels, weight, 10, classes, out, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(weir_class_weight_rows(labels, weight, 10, classes, out, &err), expected);
    assert_true(out[0] == -7 && out[1] == -7);
}

static void what_cannot_be_balanced_is_refused(void **state) {
    (void)state;
    const double odd[] = {0, 0, 0, 0, 0.5, 0, 0, 1, 1, 2}, unknown[] = {NAN, 0, 0, 0, 0, 0, 0, 1, 1, 2}, negative[] = {1, 1, 1, -1, 1, 1, 1, 1, 1, 1};
    const double endless[] = {1, 1, 1, INFINITY, 1, 1, 1, 1, 1, 1}, none[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 0}, huge[] = {1e308, 1e308, 1, 1, 1, 1, 1, 1, 1, 1};
    expect_refusal(odd, NULL, 3, WEIR_EDATA, "label of row 4 is 0.5, expected a whole number from 0 to 2");
    expect_refusal(unknown, NULL, 3, WEIR_EDATA, "label of row 0 is nan");
    expect_refusal(label, NULL, 2, WEIR_EDATA, "label of row 9 is 2");
    expect_refusal(label, NULL, 4, WEIR_EDATA, "no row of class 3");
    expect_refusal(label, negative, 3, WEIR_EDATA, "weight of row 3 is -1");
    expect_refusal(label, endless, 3, WEIR_EDATA, "weight of row 3 is inf");
    expect_refusal(label, none, 3, WEIR_EDATA, "no row of class 2");
    expect_refusal(label, huge, 3, WEIR_ENUMERIC, "more than a double");
    expect_refusal(label, NULL, 1, WEIR_EINVAL, "1 classes");
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    double out[10];
    weir_allocator real = weir_mem;
    weir_status status[3];
    weir_mem.realloc = failing_realloc;
    for (int n = 0; n < 3; n++) {
        allocations_left = n;
        status[n] = weir_class_weight_rows(label, NULL, 10, 3, out, NULL);
    }
    weir_mem = real;
    assert_int_equal(status[0], WEIR_ENOMEM);
    assert_int_equal(status[1], WEIR_ENOMEM);
    assert_int_equal(status[2], WEIR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balanced_weights_are_those_of_scikit_learn),
        cmocka_unit_test(weights_of_rows_count),
        cmocka_unit_test(a_balanced_model_is_undecided_where_nothing_is_known),
        cmocka_unit_test(what_cannot_be_balanced_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
