/* A chain of preprocessing as part of a model: fitted with it, kept in its artifact, applied to every row it scores. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/prepared.h"
#include "tests/unit/models/fixture.h"
#include "tests/unit/starve.h"

static fixture data;
static const char chain_text[] =
    "[{\"impute\": \"median\", \"indicator\": true}, {\"outliers\": \"zscore\", \"threshold\": 1.5, \"action\": \"clip\"}, {\"scale\": \"robust\"}]";

static weir_status fit(const char *algorithm, const char *chain, const weir_matrix *matrix, weir_buf *artifact, weir_err *err) {
    cJSON *params = quick(algorithm) ? cJSON_Parse(quick(algorithm)) : NULL, *steps = chain ? cJSON_Parse(chain) : NULL;
    assert_true(steps || !chain);
    weir_status status = weir_model_fit(algorithm, params, steps, matrix, "hash", 3, 1, artifact, err);
    cJSON_Delete(params);
    cJSON_Delete(steps);
    return status;
}

static weir_model *fitted(const char *algorithm, const char *chain, const weir_matrix *matrix) {
    weir_buf artifact = {0}, again = {0};
    weir_err err;
    if (fit(algorithm, chain, matrix, &artifact, &err)) fail_msg("%s: %s", algorithm, err.message);
    assert_int_equal(fit(algorithm, chain, matrix, &again, &err), WEIR_OK);
    assert_int_equal(artifact.len, again.len);
    assert_memory_equal(artifact.data, again.data, artifact.len);
    weir_model *model = load_artifact(&artifact);
    weir_buf_done(&artifact);
    weir_buf_done(&again);
    return model;
}

static double *scores_of(weir_model *model, const double *rows, int64_t count) {
    double *out = calloc((size_t)(count * weir_model_output_count(model)), sizeof *out);
    weir_err err;
    if (weir_model_predict(model, rows, count, out, &err)) fail_msg("%s", err.message);
    return out;
}

/* What the algorithm gives by itself for rows that were prepared outside of the model. */
static double *scores_outside(const char *algorithm, const weir_matrix *matrix) {
    weir_prepared prepared;
    weir_err err;
    cJSON *steps = cJSON_Parse(chain_text);
    assert_int_equal(weir_prepared_make(steps, "$", matrix, &prepared, &err), WEIR_OK);
    assert_int_equal(prepared.matrix.row_count, ROWS);
    assert_int_equal(prepared.matrix.column_count, 2 * COLUMNS); /* with an indicator each */
    assert_string_equal(prepared.matrix.column_names[0], "amount");
    weir_model *model = fitted(algorithm, NULL, &prepared.matrix);
    double *scores = scores_of(model, prepared.matrix.values, ROWS);
    weir_model_free(model);
    weir_prepared_done(&prepared);
    cJSON_Delete(steps);
    return scores;
}

static void check_chain(const char *algorithm, weir_task task) {
    weir_matrix matrix = fixture_matrix(&data, task);
    weir_model *model = fitted(algorithm, chain_text, &matrix);
    assert_int_equal(weir_model_column_count(model), COLUMNS);
    assert_string_equal(weir_model_columns(model)[3], "gaps");
    size_t outputs = (size_t)weir_model_output_count(model);
    double *inside = scores_of(model, data.values, ROWS), *outside = scores_outside(algorithm, &matrix), *plain = NULL;
    assert_memory_equal(inside, outside, ROWS * outputs * sizeof *inside);
    for (int r = 0; r < ROWS; r += 97) {
        double *alone = scores_of(model, data.values + (ptrdiff_t)r * COLUMNS, 1);
        assert_memory_equal(alone, inside + (size_t)r * outputs, outputs * sizeof *alone);
        free(alone);
    }
    weir_model *without = fitted(algorithm, NULL, &matrix);
    plain = scores_of(without, data.values, ROWS);
    assert_true(memcmp(plain, inside, ROWS * outputs * sizeof *plain) != 0); /* the chain does something */
    weir_model_free(without);
    weir_model_free(model);
    free(inside);
    free(outside);
    free(plain);
}

static void a_chain_is_part_of_the_model(void **state) {
    (void)state;
    check_chain("logistic", WEIR_TASK_BINARY);
    check_chain("xgboost", WEIR_TASK_BINARY);
    check_chain("xgboost", WEIR_TASK_MULTICLASS);
    check_chain("ridge", WEIR_TASK_REGRESSION);
}

/* What a model is fitted on, judged on and scores has its gaps filled with the same number, whatever the rows around it. */
static void gaps_are_filled_in_training_as_in_scoring(void **state) {
    (void)state;
    static const char *const chains[] = {"[{\"impute\": \"median\"}]", "[{\"impute\": \"forward_fill\"}]", "[{\"impute\": \"interpolate\"}]"};
    enum { GAPS = 3 };
    weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    double *by_median = NULL;
    for (int i = 0; i < 3; i++) {
        cJSON *steps = cJSON_Parse(chains[i]);
        weir_prepared prepared;
        weir_err err;
        assert_int_equal(weir_prepared_make(steps, "$", &matrix, &prepared, &err), WEIR_OK);
        for (int r = 0; r < ROWS; r++) {
            double alone[COLUMNS];
            weir_prep_apply(prepared.prep, data.values + (ptrdiff_t)r * COLUMNS, 1, alone);
            assert_memory_equal(alone, prepared.values + (ptrdiff_t)r * COLUMNS, sizeof alone);
            assert_true(isfinite(alone[GAPS]));
        }
        weir_model *model = fitted("logistic", chains[i], &matrix);
        double *scores = scores_of(model, data.values, ROWS);
        if (by_median) assert_memory_equal(scores, by_median, ROWS * sizeof *scores);
        if (by_median) free(scores);
        by_median = by_median ? by_median : scores;
        weir_model_free(model);
        weir_prepared_done(&prepared);
        cJSON_Delete(steps);
    }
    free(by_median);
}

static void rows_may_be_left_out_of_training_but_not_of_scoring(void **state) {
    (void)state;
    static const char drop[] = "[{\"outliers\": \"zscore\", \"columns\": [\"amount\"], \"threshold\": 1, \"action\": \"drop_rows\"}]";
    weir_prepared prepared;
    weir_err err;
    double label[ROWS], weight[ROWS];
    weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    for (int r = 0; r < ROWS; r++) weight[r] = 1 + r;
    matrix.weight = weight;
    cJSON *steps = cJSON_Parse(drop);
    assert_int_equal(weir_prepared_make(steps, "$", &matrix, &prepared, &err), WEIR_OK);
    int64_t n = prepared.matrix.row_count;
    assert_in_range(n, ROWS / 3, ROWS - 1);
    for (int64_t r = 0, from = 0; r < n; r++, from++) { /* of a kept row all stays together */
        while (data.values[from * COLUMNS] != prepared.values[r * COLUMNS]) from++;
        assert_true(prepared.weight[r] == weight[from] && prepared.label[r] == data.label[from]);
    }
    weir_prepared_done(&prepared);
    weir_model *model = fitted("xgboost", drop, &matrix);
    free(scores_of(model, data.values, ROWS));
    weir_model_free(model);
    /* where only far values are positive no class of them is left */
    for (int r = 0; r < ROWS; r++) label[r] = data.values[(ptrdiff_t)r * COLUMNS] > 95;
    matrix.label = label;
    weir_buf artifact = {0};
    assert_int_equal(fit("xgboost", drop, &matrix, &artifact, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "expected rows of both classes"));
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(steps);
}

static void a_bad_chain_is_refused_with_its_path(void **state) {
    (void)state;
    static const char *const bad[][2] = {{"[{\"scale\": \"huge\"}]", "$.preprocessing[0].scale"},
                                         {"[{\"impute\": \"mean\", \"columns\": [\"nothing\"]}]", "nothing"},
                                         {"{\"impute\": \"mean\"}", "$.preprocessing"}};
    weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_buf artifact = {0};
        weir_err err;
        assert_int_equal(fit("logistic", bad[i][0], &matrix, &artifact, &err), WEIR_EINVAL);
        if (!strstr(err.message, bad[i][1])) fail_msg("'%s' is not in '%s'", bad[i][1], err.message);
        assert_int_equal(artifact.len, 0);
    }
}

enum { WIDE = 3000, FEW = 12 };

/* FEW rows of WIDE columns, each of which has missing values. */
static weir_matrix wide_matrix(weir_task task) {
    static char text[WIDE][12];
    static const char *names[WIDE];
    static double values[WIDE * FEW], label[FEW];
    for (int c = 0; c < WIDE; c++) {
        snprintf(text[c], sizeof text[c], "c%d", c);
        names[c] = text[c];
    }
    for (int i = 0; i < WIDE * FEW; i++) values[i] = i / WIDE == i % FEW ? NAN : i % 37;
    for (int r = 0; r < FEW; r++) label[r] = r % 2;
    return (weir_matrix){.row_count = FEW, .column_count = WIDE, .values = values, .label = label, .column_names = names, .task = task};
}

/* Rows that are wider than the block on the stack, and than any row before preprocessing. */
static void wide_rows_are_prepared_one_by_one(void **state) {
    (void)state;
    static const char *const algorithms[] = {"random_forest", "svr"};
    for (int a = 0; a < 2; a++) {
        const weir_matrix matrix = wide_matrix(a ? WEIR_TASK_REGRESSION : WEIR_TASK_BINARY);
        weir_model *model = fitted(algorithms[a], "[{\"impute\": \"mean\", \"indicator\": true}]", &matrix);
        double *all = scores_of(model, matrix.values, FEW), *last = scores_of(model, matrix.values + (ptrdiff_t)(FEW - 1) * WIDE, 1);
        assert_true(all[FEW - 1] == last[0]);
        free(all);
        free(last);
        weir_model_free(model);
    }
}

static void a_chain_that_makes_too_many_columns_is_refused(void **state) {
    (void)state;
    const weir_matrix matrix = wide_matrix(WEIR_TASK_BINARY);
    weir_buf artifact = {0};
    weir_err err;
    const char *chain = "[{\"impute\": \"mean\", \"indicator\": true}, {\"outliers\": \"iqr\", \"action\": \"mark\"}]";
    assert_int_equal(fit("random_forest", chain, &matrix, &artifact, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "makes 9000 columns"));
    assert_int_equal(artifact.len, 0);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status != WEIR_OK && n < 2000; n++) {
        weir_buf artifact = {0};
        weir_model *model = NULL;
        weir_err err;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = fit("logistic", chain_text, &matrix, &artifact, &err);
        if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
        weir_mem = kept;
        if (status) assert_int_equal(status, WEIR_ENOMEM);
        weir_model_free(model);
        weir_buf_done(&artifact);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 20);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

static void expect_selected(const char *algorithm, const char *chain, weir_task task, int count, const char *first, const char *second) {
    weir_matrix matrix = fixture_matrix(&data, task);
    weir_model *model = fitted(algorithm, chain, &matrix);
    assert_int_equal(weir_model_fitted_count(model), count);
    assert_string_equal(weir_model_fitted_columns(model)[0], first);
    assert_string_equal(weir_model_fitted_columns(model)[1], second);
    weir_model_free(model);
}

/* Of amount, rate, noise, gaps and constant, the first two make the labels. */
static void models_select_the_columns_that_matter(void **state) {
    (void)state;
    static const char forest[] = "[{\"select\": \"importance\", \"k\": 2}]", l1[] = "[{\"select\": \"l1\"}]";
    expect_selected("ridge", forest, WEIR_TASK_REGRESSION, 2, "amount", "rate");
    expect_selected("logistic", forest, WEIR_TASK_BINARY, 2, "amount", "rate");
    expect_selected("logistic", forest, WEIR_TASK_MULTICLASS, 2, "amount", "rate");
    expect_selected("ridge", l1, WEIR_TASK_REGRESSION, 2, "amount", "rate");
    expect_selected("logistic", l1, WEIR_TASK_BINARY, 2, "amount", "rate");
    weir_matrix classes = fixture_matrix(&data, WEIR_TASK_MULTICLASS), flat = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_buf artifact = {0};
    weir_err err;
    double label[ROWS] = {0};
    expect_selected("logistic", "[{\"select\": \"mutual_information\", \"k\": 2}]", WEIR_TASK_MULTICLASS, 2, "amount", "rate");
    assert_int_equal(fit("logistic", "[{\"select\": \"relevance\"}]", &classes, &artifact, &err), WEIR_EINVAL);
    assert_int_equal(fit("logistic", l1, &classes, &artifact, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "selection by l1"));
    flat.label = label; /* what never varies depends on no column */
    assert_int_equal(fit("ridge", l1, &flat, &artifact, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "leaves no column"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_part_of_the_model),
        cmocka_unit_test(gaps_are_filled_in_training_as_in_scoring),
        cmocka_unit_test(rows_may_be_left_out_of_training_but_not_of_scoring),
        cmocka_unit_test(a_bad_chain_is_refused_with_its_path),
        cmocka_unit_test(wide_rows_are_prepared_one_by_one),
        cmocka_unit_test(a_chain_that_makes_too_many_columns_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(models_select_the_columns_that_matter),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
