/* The two algorithms on XGBoost: what a leaf is, what the parameters do, what the environment must be. */
#include "fixture.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/model_parts.h"
#include "tests/unit/starve.h"

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

/* The first tree of each of three classes begins at p = 1/3, where a row's second derivative is 2 p (1 − p) = 4/9: of pure rows of the class a leaf is (1 −
 * 1/3) / (4/9) = 3/2, of others −3/4. */
static void a_round_of_boosting_several_classes_is_one_newton_step_of_the_softmax(void **state) {
    (void)state;
    const double x[] = {0, 0, 1, 1, 2, 2}, y[] = {0, 0, 1, 1, 2, 2};
    const weir_matrix train = {
        .row_count = 6, .column_count = 1, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_MULTICLASS, .class_count = 3};
    weir_model *model =
        fit_model("xgboost", "{\"rounds\": 1, \"eta\": 1, \"l2\": 0, \"min_child_weight\": 0, \"subsample\": 1, \"colsample_bytree\": 1}", &train);
    double scores[18], total = exp(1.5) + 2 * exp(-0.75);
    predict_all(model, &train, scores);
    for (int r = 0; r < 6; r++)
        for (int k = 0; k < 3; k++) assert_float_equal(scores[3 * r + k], (y[r] == k ? exp(1.5) : exp(-0.75)) / total, 1e-6);
    weir_model_free(model);
}

static void leaves_of_a_regression_are_mean_labels(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 1, 1}, y[] = {1, 2, 6, 10, 20}, weight[] = {1, 1, 2, 3, 1};
    weir_matrix train = {.row_count = 5, .column_count = 1, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
    const char *const boosted = "{\"rounds\": 1, \"eta\": 1, \"l2\": 0, \"min_child_weight\": 0, \"subsample\": 1, \"colsample_bytree\": 1}";
    const char *const forest = "{\"trees\": 1, \"subsample\": 1}";
    for (int i = 0; i < 2; i++) {
        train.weight = NULL;
        weir_model *plain = fit_model(i ? "random_forest" : "xgboost", i ? forest : boosted, &train);
        assert_float_equal(predict_one(plain, 0), 3, 1e-6);
        assert_float_equal(predict_one(plain, 1), 15, 1e-6);
        weir_model_free(plain);
        train.weight = weight;
        weir_model *weighted = fit_model(i ? "random_forest" : "xgboost", i ? forest : boosted, &train);
        assert_float_equal(predict_one(weighted, 0), 3.75, 1e-6);
        assert_float_equal(predict_one(weighted, 1), 12.5, 1e-6);
        weir_model_free(weighted);
    }
}

/* Shares of the classes on each side of the one split that helps. */
static void a_forest_of_several_classes_gives_their_shares(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1}, y[] = {0, 0, 0, 1, 2, 2}, zero = 0;
    const weir_matrix train = {
        .row_count = 6, .column_count = 1, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_MULTICLASS, .class_count = 3};
    weir_model *model = fit_model("random_forest", "{\"trees\": 2, \"subsample\": 1}", &train);
    double scores[3];
    weir_err err;
    assert_int_equal(weir_model_predict(model, &zero, 1, scores, &err), WEIR_OK);
    const double expected[] = {0.75, 0.25, 0};
    for (int k = 0; k < 3; k++) assert_float_equal(scores[k], expected[k], 1e-6);
    weir_model_free(model);
}

/* Weighing the positive rows twice and counting them twice come to the same. */
static void scale_pos_weight_weighs_positive_rows(void **state) {
    (void)state;
    const double x[] = {0, 0, 0, 0, 1, 1, 1}, y[] = {0, 0, 0, 1, 1, 1, 0}, weight[] = {1, 1, 1, 2, 2, 2, 1};
    weir_matrix train = {.row_count = 7, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *scaled = fit_model("xgboost", "{\"scale_pos_weight\": 2, \"subsample\": 1, \"colsample_bytree\": 1, \"min_child_weight\": 0}", &train);
    train.weight = weight;
    weir_model *weighted = fit_model("xgboost", "{\"subsample\": 1, \"colsample_bytree\": 1, \"min_child_weight\": 0}", &train);
    assert_float_equal(predict_one(scaled, 0), predict_one(weighted, 0), 1e-6);
    assert_float_equal(predict_one(scaled, 0), 2.0 / 5, 0.05);
    weir_model_free(scaled);
    weir_model_free(weighted);
}

static void expect_refusal(const char *params, const weir_matrix *train, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse(params);
    assert_int_equal(weir_model_fit("xgboost", json, NULL, train, NULL, 1, 1, &artifact, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

/* The last 100 rows contradict the others: every round makes them worse, so that the first alone is kept. Were the model not cut, it would score like that of
 * 50 rounds. */
static void training_stops_when_the_held_out_rows_get_worse(void **state) {
    (void)state;
    enum { N = 1000 };
    static double x[N], y[N];
    for (int r = 0; r < N; r++) {
        x[r] = r % 2;
        y[r] = r < N - 100 ? x[r] : 1 - x[r];
    }
    weir_matrix train = {.row_count = N, .column_count = 1, .values = x, .label = y, .column_names = names};
    const char *const stopping = "{\"rounds\": 50, \"early_stopping_rounds\": 5, \"validation_share\": 0.1, \"subsample\": 1}";
    weir_model *stopped = fit_model("xgboost", stopping, &train);
    train.row_count = N - 100;
    weir_model *one = fit_model("xgboost", "{\"rounds\": 1, \"subsample\": 1}", &train);
    assert_true(predict_one(stopped, 0) == predict_one(one, 0));
    assert_true(predict_one(stopped, 1) == predict_one(one, 1));
    assert_true(predict_one(one, 1) < 0.6);
    weir_model_free(stopped);
    weir_model_free(one);
}

/* Held-out rows that agree stop nothing: all rounds are kept. */
static void training_goes_on_while_the_held_out_rows_get_better(void **state) {
    (void)state;
    enum { N = 1000 };
    static double x[N], y[N];
    for (int r = 0; r < N; r++) y[r] = x[r] = r % 2;
    weir_matrix train = {.row_count = N, .column_count = 1, .values = x, .label = y, .column_names = names};
    weir_model *stopped = fit_model("xgboost", "{\"rounds\": 20, \"early_stopping_rounds\": 1, \"validation_share\": 0.5, \"subsample\": 1}", &train);
    train.row_count = N / 2;
    weir_model *all = fit_model("xgboost", "{\"rounds\": 20, \"subsample\": 1}", &train);
    assert_true(predict_one(stopped, 1) == predict_one(all, 1));
    weir_model_free(stopped);
    weir_model_free(all);
}

static void what_cannot_be_boosted_is_refused(void **state) {
    (void)state;
    const double x[] = {0, 1, 2, 3}, y[] = {0, 1, 0, 1}, huge[] = {1, 2, 1e39, 3}, last_weighs_nothing[] = {1, 1, 1, 0}, first_weigh_nothing[] = {0, 0, 0, 1};
    weir_matrix train = {.row_count = 4, .column_count = 1, .values = x, .label = y, .column_names = names};
    expect_refusal("{\"early_stopping_rounds\": 1}", &train, WEIR_EDATA, "holds out 0 of 4 rows");
    train.weight = last_weighs_nothing;
    expect_refusal("{\"early_stopping_rounds\": 1, \"validation_share\": 0.25}", &train, WEIR_EDATA, "weigh nothing");
    train.task = WEIR_TASK_REGRESSION;
    train.weight = first_weigh_nothing;
    expect_refusal("{\"early_stopping_rounds\": 1, \"validation_share\": 0.25}", &train, WEIR_EDATA, "weigh nothing");
    train.weight = NULL;
    expect_refusal("{\"scale_pos_weight\": 2}", &train, WEIR_EINVAL, "scale_pos_weight");
    train.label = huge;
    expect_refusal("{}", &train, WEIR_ENUMERIC, "label of row 2");
}

/* A body of three classes below a header of two, or of a regression. */
static void a_body_with_other_outputs_is_refused(void **state) {
    (void)state;
    const weir_algorithm *boosted = weir_algorithm_find("xgboost");
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    void *params = calloc(1, boosted->params_size), *predictor = NULL;
    weir_buf body = {0};
    weir_err err;
    assert_non_null(params);
    assert_int_equal(weir_conf_defaults(boosted->params, params, &err), WEIR_OK);
    assert_int_equal(boosted->fit(params, &train, 1, 1, &body, &err), WEIR_OK);
    assert_int_equal(boosted->load(body.data, body.len, &(weir_model_shape){COLUMNS, WEIR_TASK_MULTICLASS, 2}, &predictor, &err), WEIR_EDATA);
    assert_int_equal(boosted->load(body.data, body.len, &(weir_model_shape){COLUMNS, WEIR_TASK_REGRESSION, 1}, &predictor, &err), WEIR_EDATA);
    assert_null(predictor);
    weir_buf_done(&body);
    weir_conf_done(boosted->params, params);
    free(params);
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

/* ---- objectives of a regression ---- */

enum { SPREAD_ROWS = 8000, SPREAD_TRAINED = 4000 };
static double spread_x[SPREAD_ROWS * 3], spread_y[SPREAD_ROWS];

/* y = 2 sin(3 x0) + x1 + (0.2 + x0) e with normal e (Box–Muller): its spread grows fivefold with x0; x2 is noise. */
static weir_matrix spread_matrix(int from, int to) {
    static const char *const columns[] = {"a", "b", "c"};
    uint64_t random = 21;
    for (int r = 0; r < SPREAD_ROWS; r++) {
        double *x = spread_x + 3 * r, u, e;
        for (int c = 0; c < 3; c++) x[c] = uniform(&random);
        u = 1 - uniform(&random);
        e = sqrt(-2 * log(u)) * cos(2 * acos(-1) * uniform(&random));
        spread_y[r] = 2 * sin(3 * x[0]) + x[1] + (0.2 + x[0]) * e;
    }
    return (weir_matrix){.row_count = to - from,
                         .column_count = 3,
                         .values = spread_x + 3 * from,
                         .label = spread_y + from,
                         .column_names = columns,
                         .task = WEIR_TASK_REGRESSION};
}

static double pinball(const double *score, const double *label, int rows, double quantile) {
    double sum = 0;
    for (int r = 0; r < rows; r++) sum += fmax(quantile * (label[r] - score[r]), (quantile - 1) * (label[r] - score[r]));
    return sum / rows;
}

/* Of 4000 rows that were not trained on; the true quantiles would have 90 % between them. The losses of scikit-learn 1.x, GradientBoostingRegressor(loss="quantile", alpha=…,
 * n_estimators=150, max_depth=3, learning_rate=0.1, min_samples_leaf=50, random_state=0), on the same rows: 0.075968, 0.284982, 0.076662, with 0.868 between its outer quantiles; those of
 * the true quantiles: 0.071797, 0.280872, 0.073496. */
#define QUANTILE_PARAMS(q) "{\"objective\": \"quantile\", \"quantile\": " #q ", \"max_depth\": 3, \"min_child_weight\": 50}"

static void quantiles_have_the_share_of_labels_below_them_that_they_name(void **state) {
    (void)state;
    static double low[SPREAD_TRAINED], middle[SPREAD_TRAINED], high[SPREAD_TRAINED];
    const struct {
        const char *params;
        double quantile, *score, sklearn;
    } cases[] = {
        {QUANTILE_PARAMS(0.05), 0.05, low, 0.075968},
        {QUANTILE_PARAMS(0.5), 0.5, middle, 0.284982},
        {QUANTILE_PARAMS(0.95), 0.95, high, 0.076662},
    };
    weir_matrix train = spread_matrix(0, SPREAD_TRAINED), test = spread_matrix(SPREAD_TRAINED, SPREAD_ROWS);
    for (size_t i = 0; i < 3; i++) {
        weir_model *model = fit_model("xgboost", cases[i].params, &train);
        predict_all(model, &test, cases[i].score);
        double loss = pinball(cases[i].score, test.label, SPREAD_TRAINED, cases[i].quantile);
        if (loss > 1.03 * cases[i].sklearn) fail_msg("quantile %g: loss %g, of scikit-learn %g", cases[i].quantile, loss, cases[i].sklearn);
        weir_model_free(model);
    }
    double inside = 0, below = 0, widths[2] = {0}, counts[2] = {0};
    for (int r = 0; r < SPREAD_TRAINED; r++) {
        bool wide = test.values[3 * r] > 0.5;
        inside += test.label[r] >= low[r] && test.label[r] <= high[r];
        below += test.label[r] < middle[r];
        widths[wide] += high[r] - low[r];
        counts[wide]++;
    }
    inside /= SPREAD_TRAINED;
    below /= SPREAD_TRAINED;
    if (inside < 0.86 || inside > 0.93) fail_msg("%g of the labels are between the quantiles, expected 0.9", inside);
    if (below < 0.47 || below > 0.53) fail_msg("%g of the labels are below the median, expected 0.5", below);
    /* (0.2 + x0) has mean 0.45 below x0 = 0.5, and 0.95 above */
    double ratio = widths[1] / counts[1] / (widths[0] / counts[0]);
    if (ratio < 1.7 || ratio > 2.5) fail_msg("the interval is %g times as wide where it should be 2.1 times", ratio);
}

static const double sides_x[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, sides_y[] = {1, 2, 3, 4, 10, 20, 21, 22, 23, 44};
static const weir_matrix sides = {.row_count = 10, .column_count = 1, .values = sides_x, .label = sides_y, .column_names = names, .task = WEIR_TASK_REGRESSION};

static void expect_sides(const char *objective, double left, double right, double tolerance) {
    char params[256];
    snprintf(params, sizeof params,
             "{%s, \"rounds\": 400, \"eta\": 0.3, \"l2\": 0, \"min_child_weight\": 0, \"subsample\": 1, \"colsample_bytree\": 1, \"max_depth\": 1}", objective);
    weir_model *model = fit_model("xgboost", params, &sides);
    double a = predict_one(model, 0), b = predict_one(model, 1);
    if (fabs(a - left) > tolerance || fabs(b - right) > tolerance) fail_msg("%s: %g and %g, expected %g and %g", objective, a, b, left, right);
    weir_model_free(model);
}

/* What each loss is least at, of the labels 1 2 3 4 10 and 20 21 22 23 44: the mean, 4 and 26, of squared errors and of every deviance; the median, 3 and 22, of absolute ones. Huber's is
 * the mean for errors far below its slope and the median for errors far above. The quantile 0.3 of five labels is the second. */
static void each_objective_ends_where_its_loss_is_least(void **state) {
    (void)state;
    expect_sides("\"objective\": \"squared_error\"", 4, 26, 1e-2);
    expect_sides("\"objective\": \"absolute_error\"", 3, 22, 1e-2);
    expect_sides("\"objective\": \"huber\", \"huber_slope\": 1000", 4, 26, 1e-2);
    expect_sides("\"objective\": \"poisson\"", 4, 26, 1e-2);
    expect_sides("\"objective\": \"tweedie\"", 4, 26, 1e-2);
    expect_sides("\"objective\": \"tweedie\", \"tweedie_power\": 1.2", 4, 26, 1e-2);
    expect_sides("\"objective\": \"gamma\"", 4, 26, 1e-2);
    expect_sides("\"objective\": \"quantile\", \"quantile\": 0.3", 2, 21, 0.5);
}

static void expect_objective_error(const char *params, const weir_matrix *train, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse(params);
    assert_non_null(json);
    assert_int_equal(weir_model_fit("xgboost", json, NULL, train, NULL, 1, 1, &artifact, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    cJSON_Delete(json);
}

static void parameters_and_labels_that_do_not_fit_the_objective_are_refused(void **state) {
    (void)state;
    const double negative[] = {1, 2, 3, 4, -1, 1, 1, 1, 1, 1}, zero[] = {1, 2, 3, 0, 1, 1, 1, 1, 1, 1}, zeros[10] = {0};
    weir_matrix m = sides;
    expect_objective_error("{\"quantile\": 0.9}", &m, WEIR_EINVAL, "quantile is 0.9 with objective squared_error, expected objective quantile");
    expect_objective_error("{\"objective\": \"quantile\", \"quantile\": 0}", &m, WEIR_EINVAL, "quantile");
    expect_objective_error("{\"objective\": \"quantile\", \"quantile\": 1}", &m, WEIR_EINVAL, "quantile");
    expect_objective_error("{\"huber_slope\": 2}", &m, WEIR_EINVAL, "expected objective huber");
    expect_objective_error("{\"objective\": \"poisson\", \"tweedie_power\": 1.2}", &m, WEIR_EINVAL, "tweedie_power is 1.2 with objective poisson");
    expect_objective_error("{\"objective\": \"tweedie\", \"tweedie_power\": 2}", &m, WEIR_EINVAL, "tweedie_power");
    expect_objective_error("{\"objective\": \"median\"}", &m, WEIR_EINVAL, "objective");
    expect_objective_error("{\"objective\": \"poisson\"}", &data.matrix, WEIR_EINVAL, "objective is poisson, expected none: a binary task has its own");
    m.label = negative;
    expect_objective_error("{\"objective\": \"poisson\"}", &m, WEIR_EDATA, "label of row 4 is -1, expected a number from 0: objective is poisson");
    expect_objective_error("{\"objective\": \"tweedie\"}", &m, WEIR_EDATA, "label of row 4");
    m.label = zero;
    expect_objective_error("{\"objective\": \"gamma\"}", &m, WEIR_EDATA, "label of row 3 is 0, expected a number above 0: objective is gamma");
    m.label = zeros;
    expect_objective_error("{\"objective\": \"poisson\"}", &m, WEIR_EDATA, "no label is above 0");
}

static void quantiles_are_the_same_bytes_again_and_stop_early(void **state) {
    (void)state;
    weir_matrix train = spread_matrix(0, SPREAD_TRAINED);
    const char *const stopping = "{\"objective\": \"quantile\", \"quantile\": 0.9, \"rounds\": 2000, \"early_stopping_rounds\": 10}";
    weir_buf one = fit_artifact("xgboost", stopping, &train, 4, 1), two = fit_artifact("xgboost", stopping, &train, 4, 1);
    weir_buf few = fit_artifact("xgboost", "{\"objective\": \"quantile\", \"quantile\": 0.9, \"rounds\": 400}", &train, 4, 1);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    assert_true(one.len < few.len); /* fewer trees than 400 of 2000 */
    weir_buf_done(&one);
    weir_buf_done(&two);
    weir_buf_done(&few);
}

/* Labels that are all the same, rows that weigh nothing. */
static void a_quantile_of_labels_that_do_not_vary_is_the_label(void **state) {
    (void)state;
    static const double same[] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 99}, weight[] = {1, 2, 1, 1, 1, 1, 1, 1, 1, 0};
    weir_matrix m = sides;
    m.label = same;
    m.weight = weight;
    weir_model *model = fit_model("xgboost", "{\"objective\": \"quantile\", \"quantile\": 0.95, \"subsample\": 1}", &m);
    assert_float_equal(predict_one(model, 0), 7, 1e-6);
    assert_float_equal(predict_one(model, 1), 7, 1e-6);
    weir_model_free(model);
}

static void a_quantile_without_memory_is_an_error(void **state) {
    (void)state;
    cJSON *params = cJSON_Parse("{\"objective\": \"quantile\", \"rounds\": 3}");
    weir_allocator real = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status == WEIR_ENOMEM; n++) {
        weir_buf artifact = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_model_fit("xgboost", params, NULL, &sides, NULL, 1, 1, &artifact, NULL);
        weir_mem = real;
        weir_buf_done(&artifact);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 8);
    cJSON_Delete(params);
}

/* The trees that explanations and exports are made from give the scores' bits where a score is a sum of leaves, and what its exponential is taken of where it is e^sum. */
static void trees_of_an_objective_are_its_scores(void **state) {
    (void)state;
    static const char *const objectives[] = {"squared_error", "absolute_error", "huber", "quantile", "poisson", "tweedie", "gamma"};
    char params[80];
    weir_err err;
    for (size_t i = 0; i < 7; i++) {
        snprintf(params, sizeof params, "{\"objective\": \"%s\", \"rounds\": 20}", objectives[i]);
        weir_model *model = fit_model("xgboost", params, &sides);
        const weir_trees *trees = NULL;
        assert_int_equal(weir_model_trees(model, &trees, &err), WEIR_OK);
        for (float x = 0; x < 2; x++) {
            float margin;
            double score = predict_one(model, (double)x);
            weir_trees_margin(trees, &x, &margin);
            if (i < 4)
                assert_true((double)margin == score);
            else
                assert_true(fabs(exp((double)margin) - score) <= 1e-6 * score); /* the library takes it in float32 */
        }
        weir_model_free(model);
    }
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
        cmocka_unit_test(a_round_of_boosting_several_classes_is_one_newton_step_of_the_softmax),
        cmocka_unit_test(leaves_of_a_regression_are_mean_labels),
        cmocka_unit_test(a_forest_of_several_classes_gives_their_shares),
        cmocka_unit_test(scale_pos_weight_weighs_positive_rows),
        cmocka_unit_test(training_stops_when_the_held_out_rows_get_worse),
        cmocka_unit_test(training_goes_on_while_the_held_out_rows_get_better),
        cmocka_unit_test(what_cannot_be_boosted_is_refused),
        cmocka_unit_test(a_body_with_other_outputs_is_refused),
        cmocka_unit_test(a_body_of_another_width_is_refused),
        cmocka_unit_test(the_openmp_threads_of_this_process_wait_passively),
        cmocka_unit_test(quantiles_have_the_share_of_labels_below_them_that_they_name),
        cmocka_unit_test(each_objective_ends_where_its_loss_is_least),
        cmocka_unit_test(parameters_and_labels_that_do_not_fit_the_objective_are_refused),
        cmocka_unit_test(quantiles_are_the_same_bytes_again_and_stop_early),
        cmocka_unit_test(a_quantile_of_labels_that_do_not_vary_is_the_label),
        cmocka_unit_test(a_quantile_without_memory_is_an_error),
        cmocka_unit_test(trees_of_an_objective_are_its_scores),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
