/* Cross-validation: the same figures as scikit-learn's, and nothing of a tested row in what it is judged by. */
#include "models/prepared.h"
#include "tests/unit/starve.h"
#include "trainset_fixture.h"

static fixture data;
static const weir_split five_blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 5};

static weir_crossval_options judged_by(weir_task task, const char *metric) {
    weir_crossval_options options = {.fit = {.seed = 1, .threads = 1}, .metric = weir_model_metric_find(task, metric)};
    assert_non_null(options.metric);
    return options;
}

static void expect_folds(const char *spec, weir_task task, const char *metric, const double *expected) {
    weir_trainset set = fixture_set(&data, task, 0, ROWS, false);
    const weir_crossval_options options = judged_by(task, metric);
    weir_crossval result = validated(spec, &set, five_blocks, &options);
    double mean = 0, squares = 0;
    assert_int_equal(result.fold_count, 5);
    assert_int_equal(result.done_count, 5);
    for (int f = 0; f < 5; f++) {
        assert_float_equal(result.folds[f].value, expected[f], 1e-8);
        assert_int_equal(result.folds[f].rows.test_count, ROWS / 5);
        assert_int_equal(result.folds[f].rows.train_count, ROWS / 5 * 4);
        assert_true(result.folds[f].fit_s >= 0 && result.folds[f].predict_s >= 0);
        mean += expected[f] / 5;
    }
    for (int f = 0; f < 5; f++) squares += (expected[f] - mean) * (expected[f] - mean);
    assert_float_equal(result.mean, mean, 1e-8);
    assert_float_equal(result.deviation, sqrt(squares / 4), 1e-8);
    assert_float_equal(result.test_to_train, 0.25, 1e-15);
    for (int r = 0; r < ROWS; r++) assert_true(isfinite(result.scores[r]));
    weir_crossval_done(&result);
    weir_trainset_done(&set);
}

/* cross_val_score(make_pipeline(SimpleImputer(), StandardScaler(), M), X, y, cv=KFold(5)), M = Ridge(1), or LogisticRegression(C=1, tol=1e-12,
 * solver="newton-cholesky"), scikit-learn, on the rows of the fixture, which a Python splitmix64 makes alike. */
static void figures_are_those_of_scikit_learn(void **state) {
    (void)state;
    const double r2[] = {0.970673292782, 0.9695680659, 0.971178406716, 0.97418687553, 0.968683671277};
    const double log_loss[] = {0.466122409687, 0.476310000555, 0.528562068577, 0.463506854469, 0.490674975076};
    const double auc[] = {0.85811421116, 0.857124978098, 0.816073761431, 0.862720088035, 0.840452545569};
    expect_folds("{\"algorithm\": \"ridge\"}", WEIR_TASK_REGRESSION, "r2", r2);
    expect_folds("{\"algorithm\": \"logistic\"}", WEIR_TASK_BINARY, "log_loss", log_loss);
    expect_folds("{\"algorithm\": \"logistic\"}", WEIR_TASK_BINARY, "roc_auc", auc);
}

/* Measured once more at another threshold, folds have the figures that they would have had with it. */
static void folds_are_measured_at_another_threshold(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_BINARY, 0, 500, false);
    weir_crossval_options options = judged_by(WEIR_TASK_BINARY, "f1");
    weir_split_plan *plan = plan_of(&set, five_blocks);
    weir_crossval at_half = validated("{\"algorithm\": \"logistic\"}", &set, five_blocks, &options);
    options.threshold = 0.3;
    weir_crossval lower = validated("{\"algorithm\": \"logistic\"}", &set, five_blocks, &options);
    weir_err err;
    assert_true(at_half.mean != lower.mean);
    if (weir_crossval_measure(&set, plan, options.metric, 0.3, &at_half, &err)) fail_msg("%s", err.message);
    for (int f = 0; f < 5; f++) {
        assert_true(at_half.folds[f].value == lower.folds[f].value);
        assert_string_equal(at_half.folds[f].digest, lower.folds[f].digest);
    }
    assert_true(at_half.mean == lower.mean && at_half.deviation == lower.deviation && at_half.test_to_train == lower.test_to_train);
    if (weir_crossval_measure(&set, plan, options.metric, 0, &at_half, &err)) fail_msg("%s", err.message);
    for (int f = 0; f < 5; f++) { /* a score of 0 or more is positive: all rows are */
        double positive = 0;
        for (int r = 100 * f; r < 100 * (f + 1); r++) positive += set.matrix.label[r];
        assert_float_equal(at_half.folds[f].value, 2 * positive / (positive + 100), 1e-12);
    }
    const double before = at_half.mean;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    int failures = 0;
    for (weir_status status = WEIR_ENOMEM; status; failures += status != WEIR_OK) {
        allocations_left = failures;
        weir_mem.realloc = failing_realloc;
        status = weir_crossval_measure(&set, plan, options.metric, 0.5, &at_half, &err);
        weir_mem.realloc = real;
        if (status) assert_true(status == WEIR_ENOMEM && at_half.mean == before);
    }
    assert_true(failures > 5);
    weir_split_plan_free(plan);
    weir_crossval_done(&at_half);
    weir_crossval_done(&lower);
    weir_trainset_done(&set);
}

static void a_fold_is_what_its_training_rows_alone_would_give(void **state) {
    (void)state;
    static const char spec[] = "{\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 5, \"max_bin\": 64}, \"preprocessing\": [{\"impute\": \"median\"}]}";
    weir_trainset set = fixture_set(&data, WEIR_TASK_MULTICLASS, 0, 300, true);
    const weir_split forward = {.scheme = WEIR_SPLIT_WALK_FORWARD, .folds = 2};
    const weir_crossval_options options = judged_by(WEIR_TASK_MULTICLASS, "accuracy");
    weir_crossval result = validated(spec, &set, forward, &options);
    int64_t rows[200];
    weir_err err;
    assert_int_equal(result.output_count, CLASSES);
    for (int i = 0; i < 100 * CLASSES; i++) assert_true(isnan(result.scores[i])); /* before the first test window */
    for (int f = 0; f < 2; f++) {
        weir_trainset train = {0};
        for (int r = 0; r < 100 * (f + 1); r++) rows[r] = r;
        assert_int_equal(weir_trainset_take(&set, rows, 100 * (f + 1), &train, &err), WEIR_OK);
        weir_model *model = spec_model(spec, &train, &options.fit);
        double scores[100 * CLASSES];
        assert_string_equal(weir_model_digest(model), result.folds[f].digest);
        assert_int_equal(weir_model_predict(model, set.matrix.values + (100 * (ptrdiff_t)f + 100) * COLUMNS, 100, scores, &err), WEIR_OK);
        assert_memory_equal(scores, result.scores + (100 * (ptrdiff_t)f + 100) * CLASSES, sizeof scores);
        weir_model_free(model);
        weir_trainset_done(&train);
    }
    weir_crossval_done(&result);
    weir_trainset_done(&set);
}

/* ---- leaks ---- */

enum { LEAK_ROWS = 240, LEAK_COLUMNS = 4 };

/* Three numbers with gaps and outliers, and a category whose levels 100 … 104 come and go. */
typedef struct leak_rows {
    double columns[LEAK_COLUMNS][LEAK_ROWS], label[LEAK_ROWS];
    int64_t time_us[LEAK_ROWS], until_us[LEAK_ROWS];
    uint32_t entity[LEAK_ROWS];
} leak_rows;

static leak_rows make_leak_rows(weir_task task) {
    leak_rows rows;
    uint64_t random = 11;
    for (int r = 0; r < LEAK_ROWS; r++) {
        for (int c = 0; c < 3; c++) rows.columns[c][r] = uniform(&random) < 0.1 ? NAN : exp(3 * uniform(&random));
        rows.columns[3][r] = 100 + floor(5 * uniform(&random));
        double y = (isnan(rows.columns[0][r]) ? 5 : rows.columns[0][r]) + rows.columns[3][r] - 102 + 4 * uniform(&random);
        rows.label[r] = task == WEIR_TASK_BINARY ? y > 8 : y;
        rows.time_us[r] = INT64_C(1000000) * r;
        rows.until_us[r] = rows.time_us[r] + 2500000;
        rows.entity[r] = (uint32_t)(r % 24);
    }
    return rows;
}

static weir_trainset leak_set(const leak_rows *rows, weir_task task) {
    static const weir_prep_column kinds[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "kind", .kind = WEIR_PREP_CATEGORY}};
    static const char *const names[] = {"y"};
    const double *values[LEAK_COLUMNS], *const targets[] = {rows->label};
    for (int c = 0; c < LEAK_COLUMNS; c++) values[c] = rows->columns[c];
    const weir_trainset_source source = {.row_count = LEAK_ROWS,
                                         .column_count = LEAK_COLUMNS,
                                         .columns = kinds,
                                         .values = values,
                                         .task = task,
                                         .target_names = names,
                                         .targets = targets,
                                         .time_us = rows->time_us,
                                         .label_until_us = rows->until_us,
                                         .entity = rows->entity,
                                         .entity_count = 24};
    weir_trainset set;
    weir_err err;
    if (weir_trainset_make(&source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

/* Changes the values and labels of the rows that have a role in a fold: new levels, far values, gaps, other labels. */
static void change_rows(leak_rows *rows, const uint8_t *role, weir_role changed, weir_task task) {
    uint64_t random = 5;
    for (int r = 0; r < LEAK_ROWS; r++) {
        if (role[r] != changed) continue;
        for (int c = 0; c < 3; c++) rows->columns[c][r] = uniform(&random) < 0.5 ? 1e6 * uniform(&random) : NAN;
        rows->columns[3][r] = 200 + floor(3 * uniform(&random));
        rows->label[r] = task == WEIR_TASK_BINARY ? 1 - rows->label[r] : 1e5 * uniform(&random);
    }
}

static void expect_no_leak(const char *spec, weir_task task, weir_split split) {
    const leak_rows rows = make_leak_rows(task);
    weir_trainset set = leak_set(&rows, task);
    const weir_crossval_options options = {.fit = {.seed = 3, .threads = 1}};
    weir_crossval whole = validated(spec, &set, split, &options);
    weir_split_plan *plan = plan_of(&set, split);
    for (int f = 0; f < whole.fold_count; f++) {
        uint8_t role[LEAK_ROWS];
        weir_fold counts;
        weir_err err;
        assert_int_equal(weir_split_plan_roles(plan, f, role, &counts, &err), WEIR_OK);
        for (int changed = WEIR_ROLE_NONE; changed <= WEIR_ROLE_TEST; changed++) {
            leak_rows other = rows;
            change_rows(&other, role, (weir_role)changed, task);
            weir_trainset other_set = leak_set(&other, task);
            weir_crossval again = validated(spec, &other_set, split, &options);
            if (changed == WEIR_ROLE_TRAIN)
                assert_string_not_equal(again.folds[f].digest, whole.folds[f].digest);
            else
                assert_string_equal(again.folds[f].digest, whole.folds[f].digest);
            weir_crossval_done(&again);
            weir_trainset_done(&other_set);
        }
    }
    weir_split_plan_free(plan);
    weir_crossval_done(&whole);
    weir_trainset_done(&set);
}

#define EVERY_STEP                                                                                                                                             \
    "\"preprocessing\": [{\"impute\": \"median\", \"columns\": [\"a\", \"b\", \"c\"], \"indicator\": true}, {\"outliers\": \"iqr\", \"action\": \"clip\", "    \
    "\"columns\": [\"a\", \"b\"]}, "                                                                                                                           \
    "{\"encode\": \"one_hot\", \"columns\": [\"kind\"]}, {\"scale\": \"standard\"}, {\"select\": \"mutual_information\", \"k\": 6}]"

static void what_is_tested_changes_nothing_of_what_is_fitted(void **state) {
    (void)state;
    static const char *const regressions[] = {
        "{\"algorithm\": \"ridge\", " EVERY_STEP "}",
        "{\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 4, \"max_bin\": 16}, " EVERY_STEP "}",
        "{\"ensemble\": \"stacking\", \"folds\": 3, \"members\": [{\"algorithm\": \"ridge\", " EVERY_STEP "}, {\"algorithm\": \"linear\", " EVERY_STEP "}]}",
        "{\"ensemble\": \"weighted\", \"folds\": 3, \"members\": [{\"algorithm\": \"ridge\", " EVERY_STEP "}, {\"algorithm\": \"linear\", " EVERY_STEP "}]}",
    };
    const weir_split schemes[] = {
        {.scheme = WEIR_SPLIT_K_FOLD, .folds = 3, .shuffle = true, .seed = 9},
        {.scheme = WEIR_SPLIT_GROUPED_K_FOLD, .folds = 3},
        {.scheme = WEIR_SPLIT_WALK_FORWARD, .folds = 3, .gap_rows = 3},
        {.scheme = WEIR_SPLIT_PURGED_K_FOLD, .folds = 3, .embargo_us = 3000000},
    };
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
        for (size_t i = 0; i < sizeof regressions / sizeof *regressions; i++) expect_no_leak(regressions[i], WEIR_TASK_REGRESSION, schemes[s]);
        expect_no_leak("{\"algorithm\": \"logistic\", " EVERY_STEP "}", WEIR_TASK_BINARY, schemes[s]);
    }
    static const char permuted[] = "{\"algorithm\": \"ridge\", \"preprocessing\": [{\"encode\": \"one_hot\"}, {\"impute\": \"median\"}, "
                                   "{\"select\": \"permutation\", \"fdr\": 1, \"permutations\": 3}]}"; /* p-values stand in the artifact */
    expect_no_leak(permuted, WEIR_TASK_REGRESSION, schemes[0]);
    expect_no_leak(permuted, WEIR_TASK_REGRESSION, schemes[3]);
}

/* Fifty rows, a thousand columns and labels, all by the toss of a coin: there is nothing to be learnt. */
enum { COIN_ROWS = 50, COIN_COLUMNS = 1000, COIN_SETS = 6 };

static weir_trainset coin_set(uint64_t seed) {
    static double columns[COIN_COLUMNS][COIN_ROWS], label[COIN_ROWS];
    static char names[COIN_COLUMNS][8];
    static const char *const target = "y";
    weir_prep_column kinds[COIN_COLUMNS];
    const double *values[COIN_COLUMNS], *labels = label;
    uint64_t random = seed;
    for (int c = 0; c < COIN_COLUMNS; c++) {
        for (int r = 0; r < COIN_ROWS; r++) columns[c][r] = uniform(&random) + uniform(&random) + uniform(&random);
        snprintf(names[c], sizeof names[c], "x%d", c);
        kinds[c] = (weir_prep_column){.name = names[c]};
        values[c] = columns[c];
    }
    for (int r = 0; r < COIN_ROWS; r++) label[r] = r % 2;
    const weir_trainset_source source = {
        .row_count = COIN_ROWS, .column_count = COIN_COLUMNS, .columns = kinds, .values = values, .target_names = &target, .targets = &labels};
    weir_trainset set;
    weir_err err;
    if (weir_trainset_make(&source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

/* What selecting columns by all rows first, and validating afterwards, would look like. */
static weir_trainset selected_outside(const weir_trainset *set) {
    cJSON *chain = spec_of("[{\"select\": \"mutual_information\", \"k\": 20, \"bins\": 4}]");
    static const char *const target = "y";
    weir_prep_column kinds[20];
    double columns[20][COIN_ROWS], *values[20];
    const double *labels = set->matrix.label;
    weir_prepared prepared;
    weir_err err;
    if (weir_prepared_make(chain, "$", &set->matrix, &prepared, &err)) fail_msg("%s", err.message);
    assert_int_equal(prepared.matrix.column_count, 20);
    for (int c = 0; c < 20; c++) {
        for (int r = 0; r < COIN_ROWS; r++) columns[c][r] = prepared.values[r * 20 + c];
        values[c] = columns[c];
        kinds[c] = (weir_prep_column){.name = prepared.matrix.column_names[c]};
    }
    const weir_trainset_source source = {
        .row_count = COIN_ROWS, .column_count = 20, .columns = kinds, .values = (const double *const *)values, .target_names = &target, .targets = &labels};
    weir_trainset selected;
    if (weir_trainset_make(&source, &selected, &err)) fail_msg("%s", err.message);
    weir_prepared_done(&prepared);
    cJSON_Delete(chain);
    return selected;
}

/* Sources: Ambroise and McLachlan, Selection bias in gene extraction on the basis of microarray gene-expression data, PNAS 99, 2002; Hastie, Tibshirani,
 * Friedman, The Elements of Statistical Learning, 2nd ed., 7.10.2 "The wrong and right way to do cross-validation". */
static void selection_inside_the_fold_finds_nothing_where_nothing_is(void **state) {
    (void)state;
    const weir_split split = {.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD, .folds = 5};
    const weir_crossval_options options = judged_by(WEIR_TASK_BINARY, "roc_auc");
    double inside = 0, outside = 0;
    for (int i = 0; i < COIN_SETS; i++) {
        weir_trainset set = coin_set(100 + (uint64_t)i), selected = selected_outside(&set);
        weir_crossval right = validated("{\"algorithm\": \"logistic\", \"preprocessing\": [{\"select\": \"mutual_information\", \"k\": 20, \"bins\": 4}]}",
                                        &set, split, &options);
        weir_crossval wrong = validated("{\"algorithm\": \"logistic\"}", &selected, split, &options);
        inside += right.mean / COIN_SETS;
        outside += wrong.mean / COIN_SETS;
        weir_crossval_done(&right);
        weir_crossval_done(&wrong);
        weir_trainset_done(&set);
        weir_trainset_done(&selected);
    }
    print_message("area below the ROC curve of coins: %.3f selected outside of the folds, %.3f inside\n", outside, inside);
    assert_true(outside > 0.75);
    assert_true(fabs(inside - 0.5) < 0.1);
}

/* ---- edges ---- */

typedef struct watch {
    int calls, stop_after;
} watch;

static bool watch_folds(void *context, int fold, const weir_crossval *so_far) {
    watch *w = context;
    assert_int_equal(fold, w->calls);
    assert_int_equal(so_far->done_count, ++w->calls);
    assert_true(isfinite(so_far->mean));
    return w->calls != w->stop_after;
}

static void the_caller_may_stop_after_a_fold(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 200, false);
    watch w = {.stop_after = 2};
    weir_crossval_options options = judged_by(WEIR_TASK_REGRESSION, "rmse");
    options.on_fold = watch_folds;
    options.context = &w;
    weir_crossval result = validated("{\"algorithm\": \"ridge\"}", &set, five_blocks, &options);
    assert_int_equal(result.done_count, 2);
    assert_int_equal(w.calls, 2);
    assert_float_equal(result.mean, (result.folds[0].value + result.folds[1].value) / 2, 1e-15);
    assert_true(isnan(result.folds[2].value));
    assert_true(isfinite(result.scores[79]) && isnan(result.scores[80]));
    weir_crossval_done(&result);
    weir_trainset_done(&set);
}

static void a_fold_without_a_value_is_kept(void **state) {
    (void)state;
    fixture one_sided = data;
    for (int r = 0; r < 200; r++) one_sided.label[r] = r >= 40 && r % 2; /* the first test block has no positive row */
    weir_trainset set = fixture_set(&one_sided, WEIR_TASK_BINARY, 0, 200, false);
    const weir_crossval_options options = judged_by(WEIR_TASK_BINARY, "roc_auc");
    weir_crossval result = validated("{\"algorithm\": \"logistic\"}", &set, five_blocks, &options);
    assert_true(isnan(result.folds[0].value) && isfinite(result.folds[1].value));
    assert_float_equal(result.mean, (result.folds[1].value + result.folds[2].value + result.folds[3].value + result.folds[4].value) / 4, 1e-15);
    weir_crossval_done(&result);
    weir_trainset_done(&set);
}

static weir_status run(const char *text, const weir_trainset *set, const weir_crossval_options *options, weir_err *err) {
    cJSON *spec = spec_of(text);
    weir_split_plan *plan = plan_of(set, five_blocks);
    weir_crossval result = {0};
    weir_status status = weir_crossval_run(spec, set, plan, options, &result, err);
    weir_crossval_done(&result);
    weir_split_plan_free(plan);
    cJSON_Delete(spec);
    return status;
}

static void what_fails_names_its_fold(void **state) {
    (void)state;
    fixture one_sided = data;
    for (int r = 0; r < 200; r++) one_sided.label[r] = r < 40;
    weir_trainset set = fixture_set(&one_sided, WEIR_TASK_BINARY, 0, 200, false);
    weir_crossval_options options = judged_by(WEIR_TASK_BINARY, "roc_auc");
    _Atomic bool cancel = true;
    weir_err err;
    assert_int_equal(run("{\"algorithm\": \"logistic\"}", &set, &options, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "fold 1: 0 of the 160 training rows are positive"));
    assert_int_equal(run("{\"algorithm\": \"logistic\", \"params\": {\"l3\": 1}}", &set, &options, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "l3"));
    options.metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "r2");
    assert_int_equal(run("{\"algorithm\": \"logistic\"}", &set, &options, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "metric r2 is of a regression task"));
    options.metric = NULL;
    options.fit.cancel = &cancel;
    assert_int_equal(run("{\"algorithm\": \"logistic\"}", &set, &options, &err), WEIR_ETIMEOUT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_trainset_done(&set);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 60, false);
    const weir_crossval_options options = judged_by(WEIR_TASK_REGRESSION, "rmse");
    weir_allocator whole = weir_mem;
    cJSON *spec = spec_of("{\"algorithm\": \"ridge\", \"preprocessing\": [{\"impute\": \"mean\"}]}");
    weir_split_plan *plan = plan_of(&set, five_blocks);
    int failures = 0;
    for (int n = 0;; n++) {
        weir_crossval result = {0};
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = n;
        weir_status status = weir_crossval_run(spec, &set, plan, &options, &result, &err);
        weir_mem = whole;
        weir_crossval_done(&result);
        if (!status) break;
        if (status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        failures++;
    }
    assert_true(failures > 50);
    weir_split_plan_free(plan);
    cJSON_Delete(spec);
    weir_trainset_done(&set);
}

static int set_up(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_scikit_learn),
        cmocka_unit_test(folds_are_measured_at_another_threshold),
        cmocka_unit_test(a_fold_is_what_its_training_rows_alone_would_give),
        cmocka_unit_test(what_is_tested_changes_nothing_of_what_is_fitted),
        cmocka_unit_test(selection_inside_the_fold_finds_nothing_where_nothing_is),
        cmocka_unit_test(the_caller_may_stop_after_a_fold),
        cmocka_unit_test(a_fold_without_a_value_is_kept),
        cmocka_unit_test(what_fails_names_its_fold),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
