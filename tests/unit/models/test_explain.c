/* Contributions and importance through whole models: linear ones by hand, trees by XGBoost's C library, chains, and what is refused. */
#include "fixture.h"

#include <stdlib.h>

#include "models/explain.h"
#include "models/model_parts.h"
#include "models/xgb_common.h"
#include "models/xgb_library.h"
#include "tests/unit/starve.h"

static fixture data;

static void assert_near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("%.17g, expected %.17g", found, expected);
}

static weir_model *fit_chain(const char *algorithm, const char *chain, const weir_matrix *matrix) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *steps = cJSON_Parse(chain), *params = quick(algorithm) ? cJSON_Parse(quick(algorithm)) : NULL;
    if (weir_model_fit(algorithm, params, steps, matrix, "", 1, 1, &artifact, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_model *model = load_artifact(&artifact);
    weir_buf_done(&artifact);
    cJSON_Delete(steps);
    cJSON_Delete(params);
    return model;
}

static void explain(weir_model *model, const double *row, double *contributions) {
    weir_err err;
    if (weir_explain_row(model, row, contributions, &err) != WEIR_OK) fail_msg("%s", err.message);
}

/* y = 3 + 2 a − 5 b exactly; the means are 2 and 10/3, so that the mean prediction is 3 + 4 − 50/3. A missing value stands at its mean and adds nothing. */
static void a_line_is_its_terms_about_the_means(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b"};
    const double x[] = {1, 2, 2, 5, 3, 3}, y[] = {3 + 2 - 10, 3 + 4 - 25, 3 + 6 - 15};
    const weir_matrix train = {.row_count = 3, .column_count = 2, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_model *model = fit_model("linear", NULL, &train);
    double found[3];
    explain(model, (const double[]){7, 1}, found);
    assert_near(found[0], 2 * (7 - 2), 1e-9);
    assert_near(found[1], -5 * (1 - 10.0 / 3), 1e-9);
    assert_near(found[2], 3 + 4 - 50.0 / 3, 1e-9);
    explain(model, (const double[]){NAN, 1}, found);
    assert_true(found[0] == 0);
    weir_model_free(model);
}

/* Deviations of the columns above are √(2/3) and √(14/9); importance is |coefficient| times those. */
static void importance_of_a_line(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b"};
    const double x[] = {1, 2, 2, 5, 3, 3}, y[] = {3 + 2 - 10, 3 + 4 - 25, 3 + 6 - 15};
    const weir_matrix train = {.row_count = 3, .column_count = 2, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_model *model = fit_model("linear", NULL, &train);
    double found[2], a = 2 * sqrt(2.0 / 3), b = 5 * sqrt(14.0 / 9);
    weir_err err;
    assert_int_equal(weir_explain_importance(model, found, &err), WEIR_OK);
    assert_near(found[0], a / (a + b), 1e-9);
    assert_near(found[1], b / (a + b), 1e-9);
    weir_model_free(model);
}

/* XGBoosterPredictFromDMatrix of type 2; rows [ROWS][COLUMNS] → [ROWS][outputs][COLUMNS + 1], the library's until the next call. */
static const float *library_contributions(BoosterHandle booster, const weir_matrix *matrix, DMatrixHandle *rows) {
    static float values[ROWS * COLUMNS];
    const bst_ulong *shape;
    const float *found;
    bst_ulong dimensions;
    for (int i = 0; i < ROWS * COLUMNS; i++) values[i] = weir_xgb_narrow(matrix->values[i]);
    assert_int_equal(weir_xgb.XGDMatrixCreateFromMat(values, ROWS, COLUMNS, NAN, rows), 0);
    const char *config = "{\"type\": 2, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": true}";
    assert_int_equal(weir_xgb.XGBoosterPredictFromDMatrix(booster, *rows, config, &shape, &dimensions, &found), 0);
    assert_int_equal(dimensions, 3);
    return found;
}

static void compare_with_library(const char *algorithm, const weir_matrix *matrix) {
    weir_model *model = fit_model(algorithm, quick(algorithm), matrix);
    DMatrixHandle rows;
    void *booster = NULL;
    weir_err load_err;
    if (weir_model_predictor(model, &booster, &load_err)) fail_msg("%s", load_err.message);
    const float *expected = library_contributions(booster, matrix, &rows);
    int outputs = weir_model_output_count(model), width = outputs * (COLUMNS + 1);
    double largest = 0;
    for (int i = 0; i < 300 * width; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (int r = 0; r < 300; r++) {
        double found[CLASSES * (COLUMNS + 1)];
        explain(model, matrix->values + r * COLUMNS, found);
        for (int i = 0; i < width; i++) assert_near(found[i], (double)expected[r * width + i], 1e-5 * largest);
    }
    weir_xgb.XGDMatrixFree(rows);
    weir_model_free(model);
}

static void trees_contribute_as_the_library_says(void **state) {
    (void)state;
    static const char *const algorithms[] = {"xgboost", "random_forest"};
    for (int a = 0; a < 2; a++)
        for (int task = 0; task < WEIR_TASK_COUNT; task++) {
            const weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
            compare_with_library(algorithms[a], &matrix);
        }
}

/* The indicator of missing values is the column's own, and what is scaled is explained in units of the score all the same. */
static void a_chain_gives_contributions_to_its_inputs(void **state) {
    (void)state;
    static const char chain[] = "[{\"impute\": \"median\", \"indicator\": true}, {\"scale\": \"robust\"}]";
    static const char *const algorithms[] = {"ridge", "xgboost"};
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    for (int a = 0; a < 2; a++) {
        weir_model *model = fit_chain(algorithms[a], chain, &matrix);
        assert_true(weir_model_inside(model).fitted.column_count > COLUMNS);
        for (int r = 0; r < 50; r++) {
            double found[COLUMNS + 1], sum = 0, score;
            weir_err err;
            explain(model, matrix.values + r * COLUMNS, found);
            for (int c = 0; c <= COLUMNS; c++) sum += found[c];
            assert_int_equal(weir_model_predict(model, matrix.values + r * COLUMNS, 1, &score, &err), WEIR_OK);
            assert_near(sum, score, 1e-4);
            assert_true(found[4] == 0); /* the column that never varies */
        }
        double importance[COLUMNS], all = 0;
        weir_err err;
        assert_int_equal(weir_explain_importance(model, importance, &err), WEIR_OK);
        for (int c = 0; c < COLUMNS; c++) all += importance[c];
        assert_near(all, 1, 1e-12);
        assert_true(importance[0] > importance[2] && importance[1] > importance[2]); /* the label depends on the first two, not on noise */
        weir_model_free(model);
    }
}

/* A label that nothing explains: no split, and no column of any importance. */
static void a_model_that_uses_nothing_has_no_importance(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    const double x[] = {1, 2, 3, 4}, y[] = {5, 5, 5, 5};
    const weir_matrix train = {.row_count = 4, .column_count = 1, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_model *model = fit_model("xgboost", quick("xgboost"), &train);
    double importance = 1, found[2];
    weir_err err;
    assert_int_equal(weir_explain_importance(model, &importance, &err), WEIR_OK);
    assert_true(importance == 0);
    explain(model, x, found);
    assert_true(found[0] == 0);
    assert_near(found[1], 5, 1e-5);
    weir_model_free(model);
}

static void kernels_are_refused_but_for_the_linear_one(void **state) {
    (void)state;
    weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    double found[COLUMNS + 1], sum = 0, score;
    weir_err err;
    train.row_count = 200;
    weir_model *model = fit_model("svr", NULL, &train);
    assert_int_equal(weir_explain_row(model, train.values, found, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "svr"));
    assert_int_equal(weir_explain_importance(model, found, &err), WEIR_EINVAL);
    weir_model_free(model);
    model = fit_model("svr", "{\"kernel\": \"linear\"}", &train);
    explain(model, train.values, found);
    for (int c = 0; c <= COLUMNS; c++) sum += found[c];
    assert_int_equal(weir_model_predict(model, train.values, 1, &score, &err), WEIR_OK);
    assert_near(sum, score, 1e-9);
    weir_model_free(model);
}

static void an_infinite_value_is_rejected(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("ridge", NULL, &matrix);
    double row[COLUMNS] = {1, INFINITY}, found[COLUMNS + 1];
    weir_err err;
    assert_int_equal(weir_explain_row(model, row, found, &err), WEIR_ENUMERIC);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_non_null(strstr(err.message, "'rate'"));
    weir_model_free(model);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0;
    for (; status != WEIR_OK && tries < 1000; tries++) {
        weir_model *model = fit_chain("xgboost", "[{\"impute\": \"mean\"}]", &matrix); /* anew: what was read stays with a model */
        double found[COLUMNS + 1];
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = tries;
        status = weir_explain_row(model, matrix.values, found, &err);
        if (status == WEIR_OK) status = weir_explain_importance(model, found, &err);
        weir_mem = kept;
        weir_model_free(model);
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        if (tries == 3) tries = 140; /* between these are only the arrays of the trees, which test_trees starves */
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(tries > 140);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_its_terms_about_the_means),
        cmocka_unit_test(importance_of_a_line),
        cmocka_unit_test(trees_contribute_as_the_library_says),
        cmocka_unit_test(a_chain_gives_contributions_to_its_inputs),
        cmocka_unit_test(a_model_that_uses_nothing_has_no_importance),
        cmocka_unit_test(kernels_are_refused_but_for_the_linear_one),
        cmocka_unit_test(an_infinite_value_is_rejected),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
