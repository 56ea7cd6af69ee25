/* The two algorithms on XGBoost: what a leaf is, what the parameters do, what the environment must be. */
#include "fixture.h"

#include <float.h>
#include <stdlib.h>

static fixture data;

static double predict_one(weir_model *model, double x) {
    double score;
    weir_err err;
    assert_int_equal(weir_model_predict(model, &x, 1, &score, &err), WEIR_OK);
    return score;
}

static const char *const names[] = {"x"};

/* One tree that sees every row and one split that helps: each leaf is the share of positives on its side, 1/4 and 2/3. */
static void a_leaf_of_the_forest_is_the_share_of_positives(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1, 1}, y[] = {0, 0, 0, 1, 1, 1, 0};
    const weir_matrix train = {.row_count = 7, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *model = fit_model("random_forest", "{\"trees\": 1, \"subsample\": 1}", &train);
    assert_float_equal(predict_one(model, 0), 1.0 / 4, 1e-7);
    assert_float_equal(predict_one(model, 1), 2.0 / 3, 1e-7);
    weir_model_free(model);
}

/* Trees that see every row grow until their leaves are pure. */
static void the_trees_of_the_forest_grow_until_they_are_pure(void **state) {
    (void)state;
    double scores[ROWS];
    weir_model *model = fit_model("random_forest", "{\"trees\": 3, \"subsample\": 1, \"colsample_bynode\": 1}", &data.matrix);
    predict_all(model, &data.matrix, scores);
    for (int r = 0; r < ROWS; r++) assert_float_equal(scores[r], data.label[r], 1e-6);
    weir_model_free(model);
}

/* The first tree starts at p = 1/2. With l2 = 0 a leaf moves the margin by eta · Σ(y − ½) / Σ ¼: left (0, 0, 0, 1) by −eta, right (1, 1, 0) by eta · 2/3. */
static void a_round_of_boosting_is_one_newton_step_in_each_leaf(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1, 1}, y[] = {0, 0, 0, 1, 1, 1, 0};
    const weir_matrix train = {.row_count = 7, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *model =
        fit_model("xgboost", "{\"rounds\": 1, \"eta\": 0.5, \"l2\": 0, \"min_child_weight\": 0, \"subsample\": 1, \"colsample_bytree\": 1}", &train);
    assert_float_equal(predict_one(model, 0), 1 / (1 + exp(0.5)), 1e-6);
    assert_float_equal(predict_one(model, 1), 1 / (1 + exp(-0.5 * 2 / 3)), 1e-6);
    weir_model_free(model);
}

/* Missing values go to the side that fits them: here they are all positive. */
static void missing_values_have_a_side_of_their_own_choice(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 1, 1, 1, NAN, NAN}, y[] = {0, 0, 0, 1, 1, 1, 1, 1};
    const weir_matrix train = {.row_count = 8, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *model = fit_model("random_forest", "{\"trees\": 1, \"subsample\": 1}", &train);
    assert_float_equal(predict_one(model, NAN), 1, 1e-7);
    assert_float_equal(predict_one(model, 0), 0, 1e-7);
    weir_model_free(model);
}

/* float32 ends at 3.4e38; what lies beyond stays on its side of every threshold, in training and in scoring. */
static void values_beyond_float32_keep_their_side(void **state) {
    (void)state;
    const double x[] = {-1e300, -1e40, 0, 1, 1e40, 1e300}, y[] = {1, 1, 0, 0, 1, 1};
    const weir_matrix train = {.row_count = 6, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *model = fit_model("random_forest", "{\"trees\": 1, \"subsample\": 1}", &train);
    for (int r = 0; r < 6; r++) assert_float_equal(predict_one(model, x[r]), y[r], 1e-7);
    weir_model_free(model);
}

/* More rows than one piece of scoring holds, and a width that does not divide it. */
static void long_inputs_are_scored_in_pieces(void **state) {
    (void)state;
    enum { COPIES = 3 };
    static double many[COPIES * ROWS * COLUMNS], scores[COPIES * ROWS];
    double once[ROWS];
    weir_err err;
    weir_model *model = fit_model("xgboost", quick("xgboost"), &data.matrix);
    for (int i = 0; i < COPIES; i++) memcpy(many + i * ROWS * COLUMNS, data.values, sizeof data.values);
    predict_all(model, &data.matrix, once);
    assert_int_equal(weir_model_predict(model, many, (int64_t)COPIES * ROWS, scores, &err), WEIR_OK);
    for (int i = 0; i < COPIES; i++) assert_memory_equal(scores + i * ROWS, once, sizeof once);
    weir_model_free(model);
}

static void a_body_of_another_width_is_refused(void **state) {
    (void)state;
    const weir_algorithm *forest = weir_algorithm_find("random_forest");
    const double x[] = {0, 1}, y[] = {0, 1};
    const weir_matrix train = {.row_count = 2, .column_count = 1, .values = x, .label = y, .column_names = names};
    void *params = calloc(1, forest->params_size), *predictor = NULL;
    weir_buf body = {0};
    weir_err err;
    assert_non_null(params);
    assert_int_equal(weir_conf_defaults(forest->params, params, &err), WEIR_OK);
    assert_int_equal(forest->fit(params, &train, 1, 1, &body, &err), WEIR_OK);
    assert_int_equal(forest->load(body.data, body.len, &(weir_model_shape){2, WEIR_TASK_BINARY, 1}, &predictor, &err), WEIR_EDATA);
    assert_null(predictor);
    assert_int_equal(forest->load(body.data, body.len, &(weir_model_shape){1, WEIR_TASK_BINARY, 1}, &predictor, &err), WEIR_OK);
    forest->unload(predictor);
    weir_buf_done(&body);
    weir_conf_done(forest->params, params);
    free(params);
}

/* Without it two threads on a busy machine are several times slower than one. */
static void the_openmp_threads_of_this_process_wait_passively(void **state) {
    (void)state;
    assert_string_equal(getenv("OMP_WAIT_POLICY"), "passive");
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_of_the_forest_is_the_share_of_positives),
        cmocka_unit_test(the_trees_of_the_forest_grow_until_they_are_pure),
        cmocka_unit_test(a_round_of_boosting_is_one_newton_step_in_each_leaf),
        cmocka_unit_test(missing_values_have_a_side_of_their_own_choice),
        cmocka_unit_test(values_beyond_float32_keep_their_side),
        cmocka_unit_test(long_inputs_are_scored_in_pieces),
        cmocka_unit_test(a_body_of_another_width_is_refused),
        cmocka_unit_test(the_openmp_threads_of_this_process_wait_passively),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
