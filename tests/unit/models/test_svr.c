/* Support vector regression against cases that can be worked by hand. */
#include "fixture.h"

#include <stdlib.h>

#include "models/svr.h"
#include "tests/unit/starve.h"

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

/* x = −1, 1 is standardised already. The flattest line that passes y = −3, 3 within 1 has the slope 2; C = 10 is enough to hold it there. */
static void the_flattest_line_within_epsilon_is_found(void **state) {
    (void)state;
    const double x[] = {-1, 1}, y[] = {97, 103}, zero = 0, missing = NAN;
    const weir_matrix train = regression(2, 1, x, y);
    weir_model *model = fit_model("svr", "{\"kernel\": \"linear\", \"c\": 10, \"epsilon\": 1, \"tol\": 1e-9}", &train);
    assert_float_equal(predict_one(model, &x[1]), 102, 1e-6);
    assert_float_equal(predict_one(model, &x[0]), 98, 1e-6);
    assert_float_equal(predict_one(model, &zero), 100, 1e-6);
    assert_float_equal(predict_one(model, &missing), 100, 1e-6);
    weir_model_free(model);
}

/* The slope is at most C times the sum of |x|, here 2 C. */
static void c_bounds_what_a_row_can_do(void **state) {
    (void)state;
    const double x[] = {-1, 1}, y[] = {-3, 3};
    const weir_matrix train = regression(2, 1, x, y);
    weir_model *model = fit_model("svr", "{\"kernel\": \"linear\", \"c\": 0.25, \"epsilon\": 0, \"tol\": 1e-9}", &train);
    assert_float_equal(predict_one(model, &x[1]) - predict_one(model, &x[0]), 2 * 0.5, 1e-6);
    weir_model_free(model);
}

/* Two support vectors ±c and kernel values K(s, s), K(s, −s): with enough C both labels are met, and between them f is (K(1, x) − K(−1, x)) / (K(1, 1) − K(−1,
 * 1)). gamma 0 is 1 here. */
static void every_kernel_is_what_it_says(void **state) {
    (void)state;
    const double x[] = {-1, 1}, y[] = {-1, 1}, at = 0.5;
    const weir_matrix train = regression(2, 1, x, y);
    const struct {
        const char *params;
        double expected;
    } cases[] = {
        {"{\"kernel\": \"rbf\", \"c\": 1e3, \"epsilon\": 0, \"tol\": 1e-9}", (exp(-0.25) - exp(-2.25)) / (1 - exp(-4))},
        {"{\"kernel\": \"rbf\", \"gamma\": 0.5, \"c\": 1e3, \"epsilon\": 0, \"tol\": 1e-9}", (exp(-0.125) - exp(-1.125)) / (1 - exp(-2))},
        {"{\"kernel\": \"poly\", \"degree\": 3, \"coef0\": 2, \"c\": 1e3, \"epsilon\": 0, \"tol\": 1e-9}", (pow(2.5, 3) - pow(1.5, 3)) / (27 - 1)},
        {"{\"kernel\": \"sigmoid\", \"coef0\": 0.5, \"gamma\": 0.25, \"c\": 1e3, \"epsilon\": 0, \"tol\": 1e-9}",
         (tanh(0.625) - tanh(0.375)) / (tanh(0.75) - tanh(0.25))},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_model *model = fit_model("svr", cases[i].params, &train);
        assert_float_equal(predict_one(model, &x[1]), 1, 1e-6);
        assert_float_equal(predict_one(model, &at), cases[i].expected, 1e-6);
        weir_model_free(model);
    }
}

/* No support vectors at all: every label is within epsilon of one value. */
static void labels_within_epsilon_leave_a_constant(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4}, y[] = {5, 5.05};
    const weir_matrix two = regression(2, 2, x, y), one = regression(1, 2, x, y);
    for (int i = 0; i < 2; i++) {
        weir_model *model = fit_model("svr", NULL, i ? &one : &two);
        assert_float_equal(predict_one(model, x), 5, 0.1);
        assert_true(predict_one(model, x) == predict_one(model, x + 2));
        weir_model_free(model);
    }
}

static void expect_refusal(const char *params, const weir_matrix *train, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse(params);
    assert_int_equal(weir_model_fit("svr", json, NULL, train, NULL, 1, 1, &artifact, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

static void weights_huge_labels_and_bad_hyperparameters_are_refused(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4}, y[] = {5, 1e200}, weight[] = {1, 2};
    weir_matrix train = regression(2, 2, x, y);
    expect_refusal("{}", &train, WEIR_ENUMERIC, "label of row 1");
    expect_refusal("{\"kernel\": \"cubic\"}", &train, WEIR_EINVAL, "cubic");
    expect_refusal("{\"c\": 0}", &train, WEIR_EINVAL, "c");
    train.weight = weight;
    expect_refusal("{}", &train, WEIR_EINVAL, "cannot weigh");
}

static void a_damaged_body_is_refused(void **state) {
    (void)state;
    const weir_algorithm *svr = weir_algorithm_find("svr");
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    const weir_model_shape shape = {COLUMNS, WEIR_TASK_REGRESSION, 1};
    enum { HEAD = 8 + 2 * COLUMNS * 8 };
    void *params = calloc(1, svr->params_size), *predictor = NULL;
    weir_buf body = {0};
    weir_err err;
    assert_non_null(params);
    assert_int_equal(weir_conf_defaults(svr->params, params, &err), WEIR_OK);
    assert_int_equal(svr->fit(params, &train, 1, 1, &body, &err), WEIR_OK);
    for (size_t len = 0; len < body.len; len += len < 400 ? 1 : 977) {
        assert_int_equal(svr->load(body.data, len, &shape, &predictor, &err), WEIR_EDATA);
        assert_null(predictor);
    }
    const struct {
        size_t at;
        const char *part;
    } spoilt[] = {{0, "WEIRSVR1"}, {HEAD, "kernel"}, {HEAD + 4, "degree"}, {HEAD + 32, "support vectors"}, {HEAD + 39, "support vectors"}};
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        body.data[spoilt[i].at] ^= 0x7f;
        assert_int_equal(svr->load(body.data, body.len, &shape, &predictor, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, spoilt[i].part));
        body.data[spoilt[i].at] ^= 0x7f;
    }
    const double unknown = NAN;
    memcpy(body.data + body.len - sizeof unknown, &unknown, sizeof unknown);
    assert_int_equal(svr->load(body.data, body.len, &shape, &predictor, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "finite"));
    weir_buf_done(&body);
    weir_conf_done(svr->params, params);
    free(params);
}

/* With room for two rows of the kernel nearly every one is computed again; the numbers are those with room for all. */
static void what_is_found_does_not_depend_on_the_cache(void **state) {
    (void)state;
    enum { N = 300 };
    const weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    const weir_svr_head rbf = {.kernel = WEIR_SVR_RBF, .degree = 1, .gamma = 0.5};
    static double z[N * 2], coefficients[3][N];
    const double rooms[3] = {1e8, 1, 50 * N * sizeof(float)};
    double intercepts[3];
    weir_err err;
    for (int r = 0; r < N; r++)
        for (int c = 0; c < 2; c++) z[2 * r + c] = train.values[r * COLUMNS + c] / (c ? 1 : 100);
    for (int i = 0; i < 3; i++) {
        const weir_svr_problem problem = {
            .kernel = &rbf, .z = z, .label = train.label, .row_count = N, .column_count = 2, .c = 10, .epsilon = 0.5, .tol = 1e-3, .cache_bytes = rooms[i]};
        assert_int_equal(weir_svr_solve(&problem, coefficients[i], &intercepts[i], &err), WEIR_OK);
        assert_memory_equal(coefficients[i], coefficients[0], sizeof coefficients[0]);
        assert_true(intercepts[i] == intercepts[0]);
    }
}

static void a_fit_without_memory_is_an_error(void **state) {
    (void)state;
    weir_matrix train = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_allocator real = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    train.row_count = 50;
    for (; status == WEIR_ENOMEM; n++) {
        weir_buf artifact = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_model_fit("svr", NULL, NULL, &train, NULL, 1, 1, &artifact, NULL);
        weir_mem = real;
        weir_buf_done(&artifact);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 6);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_flattest_line_within_epsilon_is_found),
        cmocka_unit_test(c_bounds_what_a_row_can_do),
        cmocka_unit_test(every_kernel_is_what_it_says),
        cmocka_unit_test(labels_within_epsilon_leave_a_constant),
        cmocka_unit_test(weights_huge_labels_and_bad_hyperparameters_are_refused),
        cmocka_unit_test(a_damaged_body_is_refused),
        cmocka_unit_test(what_is_found_does_not_depend_on_the_cache),
        cmocka_unit_test(a_fit_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
