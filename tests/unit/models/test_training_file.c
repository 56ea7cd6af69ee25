/* The training file: what is read from it, what is refused, and that what it asks for is done. Numbers of the search are those of scikit-learn 1.9 on the
 * same rows:
 *
 *   i = np.arange(300); x1 = ((i*37)%101)/10; x2 = ((i*53)%89)/7; x3 = ((i*17)%23)/3; y = 3*x1-2*x2+x1*x3/4+5*np.sin(i); z = 10-x1+np.cos(i); X = np.c_[x1,x2,x3]
 *   v = []; for a, b in KFold(5).split(X[:210]): m.fit(X[a], y[a]); v.append(np.sqrt(np.mean((m.predict(X[b])-y[b])**2)))
 *   np.mean(v) for LinearRegression(), LinearRegression(fit_intercept=False), make_pipeline(StandardScaler(), Ridge(alpha=20)) */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../starve.h"
#include "models/training_search.h"
#include "predict_file.h"

#define FOLDS_LINEAR 4.05876542535789
#define FOLDS_LINEAR_DEVIATION 0.3403988126229777
#define FOLDS_NO_INTERCEPT 4.299531332376214
#define FOLDS_TWO_TARGETS 2.385234929442057
#define FOLDS_RIDGE 4.320649080292546
#define VALIDATION_LINEAR 3.822657039127462
#define TEST_LINEAR 3.448181474640048

/* As published, but for its paths. */
static const char published[] =
    "{\"data\": {\"source\": \"%s\", \"format\": \"parquet\", \"train_ratio\": 0.7, \"val_ratio\": 0.2, \"test_ratio\": 0.1, \"feature_columns\": "
    "[\"auto_detect\"],"
    " \"target_columns\": [\"traffic_volume\", \"avg_speed\"], \"time_column\": \"timestamp\"},"
    " \"models\": {\"linear_regression\": {\"enabled\": true, \"hyperparameters\": {\"fit_intercept\": true, \"normalize\": false}, \"hyperparameter_tuning\": "
    "true,"
    "   \"hyperparameter_grid\": {\"fit_intercept\": [true, false], \"normalize\": [true, false]}},"
    "  \"random_forest\": {\"enabled\": true, \"hyperparameters\": {\"n_estimators\": 100, \"max_depth\": 10, \"random_state\": 42}, "
    "\"hyperparameter_tuning\": true,"
    "   \"hyperparameter_grid\": {\"n_estimators\": [50, 100, 200], \"max_depth\": [5, 10, 15, null]}}},"
    " \"training\": {\"primary_metric\": \"rmse\", \"cross_validation\": {\"enabled\": true, \"folds\": 5, \"shuffle\": true, \"random_state\": 42},"
    "  \"parallel_training\": true, \"max_training_time_minutes\": 120},"
    " \"evaluation\": {\"metrics\": [\"rmse\", \"mae\", \"mape\", \"r2\"], \"generate_plots\": true, \"prediction_intervals\": true, \"residual_analysis\": "
    "true, \"model_comparison\": true},"
    " \"persistence\": {\"save_models\": true, \"versioning_strategy\": \"semantic\", \"model_registry_path\": \"model_registry\", \"hdfs_model_path\": \"%s\","
    "  \"export_formats\": [\"pickle\", \"onnx\", \"pmml\"]}}";

static char folder[64];

static int make_rows(void **state) {
    (void)state;
    char path[160];
    snprintf(folder, sizeof folder, "/tmp/weir-training-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/rows.csv", folder);
    FILE *file = fopen(path, "w");
    if (!file) return -1;
    fputs("timestamp,x1,x2,x3,traffic_volume,avg_speed,busy\n", file);
    for (int i = 0; i < 300; i++) {
        double x1 = i * 37 % 101 / 10.0, x2 = i * 53 % 89 / 7.0, x3 = i * 17 % 23 / 3.0, y = 3 * x1 - 2 * x2 + x1 * x3 / 4 + 5 * sin(i);
        fprintf(file, "%d,%.17g,%.17g,%.17g,%.17g,%.17g,%s\n", 1700000000 + 60 * i, x1, x2, x3, y, 10 - x1 + cos(i), y > 5 ? "high" : "low");
    }
    return fclose(file);
}

static int remove_rows(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) ? -1 : 0;
}

static const char *path_of(const char *name) {
    static char paths[16][160];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static cJSON *parse(const char *text) {
    cJSON *json = cJSON_Parse(text);
    if (!json) fail_msg("no JSON: %s", text);
    return json;
}

/* A small file with these models and sections; sections begin with a comma. */
static cJSON *document(const char *models, const char *data, const char *sections) {
    static char text[8192];
    snprintf(text, sizeof text,
             "{\"data\": {\"source\": \"%s/rows.csv\", \"target_columns\": [\"traffic_volume\"], \"feature_columns\": [\"x1\", \"x2\", \"x3\"], "
             "\"time_column\": \"timestamp\"%s},"
             " \"models\": %s%s}",
             folder, data, models, sections);
    return parse(text);
}

static weir_training_file *read_json(cJSON *json, const char *environment) {
    weir_training_file *file = NULL;
    weir_err err;
    if (weir_training_file_read(json, environment, &file, &err)) fail_msg("%s", err.message);
    cJSON_Delete(json);
    return file;
}

static void expect_json(const cJSON *found, const char *expected) {
    cJSON *json = parse(expected);
    if (!cJSON_Compare(found, json, true)) fail_msg("%s, expected %s", cJSON_PrintUnformatted(found), expected);
    cJSON_Delete(json);
}

static bool says(const cJSON *notes, const char *words) {
    const cJSON *note;
    cJSON_ArrayForEach(note, notes) {
        if (strstr(note->valuestring, words)) return true;
    }
    return false;
}

static void the_published_file_is_read(void **state) {
    (void)state;
    char text[4096];
    snprintf(text, sizeof text, published, path_of("features"), path_of("models"));
    weir_training_file *f = read_json(parse(text), NULL);
    assert_int_equal(f->models.count, 2);
    assert_string_equal(f->models.items[0].name, "linear_regression");
    expect_json(f->models.items[0].params, "{\"intercept\": true}");
    expect_json(f->models.items[0].grid, "{\"intercept\": [true, false]}");
    expect_json(f->models.items[1].params, "{\"max_depth\": 10, \"colsample_bynode\": 1, \"trees\": 100}");
    expect_json(f->models.items[1].grid, "{\"trees\": [50, 100, 200], \"max_depth\": [5, 10, 15, 100]}");
    assert_true(f->models.items[1].seeded && f->models.items[1].seed == 42);
    assert_true(f->data.train_ratio == 0.7 && f->data.val_ratio == 0.2 && f->data.test_ratio == 0.1);
    assert_string_equal(f->data.target_columns[1], "avg_speed");
    assert_true(f->validation.enabled && f->validation.folds == 5 && f->validation.shuffle && f->validation.random_state == 42);
    assert_true(f->training.parallel_training && f->training.max_training_time_minutes == 120);
    assert_true(f->exports[WEIR_EXPORT_NATIVE] && f->exports[WEIR_EXPORT_ONNX] && f->exports[WEIR_EXPORT_PMML] && !f->exports[WEIR_EXPORT_JSON]);
    assert_string_equal(weir_training_file_store(f), path_of("models"));
    assert_int_equal(f->persistence.versioning_strategy, WEIR_VERSIONING_SEMANTIC);
    assert_int_equal(f->tasks, WEIR_TASK_BIT(WEIR_TASK_REGRESSION));
    assert_true(says(f->notes, "pickle") && says(f->notes, "$.models.linear_regression: normalize has no effect") && says(f->notes, "shuffled folds"));
    weir_training_file_free(f);
}

static void each_parameter_becomes_what_stands_for_it(void **state) {
    (void)state;
    static const struct {
        const char *model, *given, *params, *grid, *grid_becomes;
    } cases[] = {
        {"xgboost",
         "{\"n_estimators\": 7, \"learning_rate\": 0.05, \"reg_lambda\": 2, \"max_depth\": null, \"objective\": \"reg:squarederror\", \"reg_alpha\": 0}",
         "{\"rounds\": 7, \"eta\": 0.05, \"l2\": 2, \"max_depth\": 30, \"min_child_weight\": 1, \"subsample\": 1, \"colsample_bytree\": 1}",
         "{\"gamma\": [0, 1, 1]}", "{\"gamma\": [0, 1]}"},
        {"gradient_boosting",
         "{\"n_iter_no_change\": 5, \"validation_fraction\": 0.2, \"subsample\": 0.5, \"min_samples_leaf\": 3, \"loss\": \"squared_error\"}",
         "{\"rounds\": 100, \"max_depth\": 3, \"min_child_weight\": 3, \"subsample\": 0.5, \"colsample_bytree\": 1, \"l2\": 0, \"early_stopping_rounds\": 5, "
         "\"validation_share\": 0.2}",
         "{\"max_depth\": [2, null]}", "{\"max_depth\": [2, 30]}"},
        {"random_forest", "{\"max_features\": \"sqrt\", \"bootstrap\": false, \"min_samples_leaf\": 2, \"n_jobs\": -1}",
         "{\"max_depth\": 100, \"colsample_bynode\": \"sqrt\", \"subsample\": 1, \"min_child_weight\": 2}",
         "{\"max_features\": [\"log2\", 0.5, 2, null], \"bootstrap\": [true, false]}",
         "{\"colsample_bynode\": [\"log2\", 0.5, -2, 1], \"subsample\": [0.632, 1]}"},
        {"ridge", "{\"alpha\": 0.5, \"solver\": \"cholesky\", \"fit_intercept\": true}", "{\"alpha\": 0.5}", "{\"alpha\": [0.1, 10]}",
         "{\"alpha\": [0.1, 10]}"},
        {"lasso", "{\"alpha\": 0.5, \"max_iter\": 500, \"tol\": 0.001}", "{\"alpha\": 0.5, \"max_iterations\": 500, \"tol\": 0.001}", "{\"alpha\": [1]}",
         "{\"alpha\": [1]}"},
        {"elasticnet", "{\"l1_ratio\": 0.3}", "{\"l1_ratio\": 0.3}", "{\"l1_ratio\": [0.1, 0.9]}", "{\"l1_ratio\": [0.1, 0.9]}"},
        {"svr", "{\"C\": 10, \"kernel\": \"poly\", \"gamma\": \"scale\", \"degree\": 2, \"cache_size\": 500}",
         "{\"c\": 10, \"kernel\": \"poly\", \"gamma\": 0, \"degree\": 2}", "{\"gamma\": [\"auto\", 0.1], \"kernel\": [\"rbf\", \"linear\"]}",
         "{\"gamma\": [\"auto\", 0.1], \"kernel\": [\"rbf\", \"linear\"]}"},
        {"logistic_regression", "{\"C\": 4, \"penalty\": \"l2\"}", "{\"l2\": 0.25}", "{\"C\": [0.5, 2]}", "{\"l2\": [2, 0.5]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char models[1024];
        snprintf(models, sizeof models, "{\"%s\": {\"hyperparameters\": %s, \"hyperparameter_grid\": %s}}", cases[i].model, cases[i].given, cases[i].grid);
        weir_training_file *f = read_json(document(models, "", ""), NULL);
        expect_json(f->models.items[0].params, cases[i].params);
        expect_json(f->models.items[0].grid, cases[i].grid_becomes);
        weir_training_file_free(f);
    }
    /* what waits for the columns: of 9 the square root is 3, log2 3.17; half a column more keeps the library from rounding one away */
    cJSON *params = parse("{\"colsample_bynode\": \"sqrt\", \"gamma\": \"auto\"}"), *count = parse("{\"colsample_bynode\": -2}");
    weir_err err;
    assert_int_equal(weir_training_params_settle(params, 9, &err), WEIR_OK);
    assert_int_equal(weir_training_params_settle(count, 9, &err), WEIR_OK);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(params, "colsample_bynode")) == 3.5 / 9 &&
                cJSON_GetNumberValue(cJSON_GetObjectItem(params, "gamma")) == 1.0 / 9);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(count, "colsample_bynode")) == 2.5 / 9);
    cJSON_Delete(params);
    cJSON_Delete(count);
}

static void what_is_wrong_is_named_with_its_path(void **state) {
    (void)state;
    static const struct {
        const char *models, *data, *sections, *words;
    } cases[] = {
        {"{\"linear_regresion\": {}}", "", "", "$.models.linear_regresion: unknown model; did you mean 'linear_regression'?"},
        {"{\"random_forest\": {\"hyperparameters\": {\"n_estimator\": 5}}}", "", "",
         "$.models.random_forest.hyperparameters.n_estimator: random_forest has no such parameter here; did you mean 'n_estimators'?"},
        {"{\"random_forest\": {\"hyperparameters\": {\"min_samples_split\": 5}}}", "", "", "found 5, expected one of [2]: it has no counterpart here"},
        {"{\"random_forest\": {\"hyperparameters\": {\"n_estimators\": -5}}}", "", "", "$.models.random_forest.hyperparameters.n_estimators: found \"-5\""},
        {"{\"random_forest\": {\"hyperparameter_grid\": {\"n_estimators\": [5, \"many\"]}}}", "", "",
         "$.models.random_forest.hyperparameter_grid.n_estimators[1].trees"},
        {"{\"random_forest\": {\"hyperparameter_grid\": {\"n_estimators\": 5}}}", "", "", "found 5, expected a list of values"},
        {"{\"random_forest\": {\"hyperparameter_tuning\": true}}", "", "", "there is no hyperparameter_grid"},
        {"{\"random_forest\": {\"enable\": true}}", "", "", "$.models.random_forest.enable: unknown key; did you mean 'enabled'?"},
        {"{\"random_forest\": {\"enabled\": \"yes\"}}", "", "", "$.models.random_forest.enabled: found a string, expected true or false"},
        {"{\"random_forest\": {\"enabled\": false}}", "", "", "$.models: no model is enabled"},
        {"{\"ridge\": {\"hyperparameters\": {\"normalize\": false}}}", "", "", "columns are always standardised"},
        {"{\"svr\": {\"hyperparameters\": {\"gamma\": \"big\"}}}", "", "",
         "$.models.svr.hyperparameters.gamma: found \"big\", expected a number, \"scale\" or \"auto\""},
        {"{\"ridge\": {}}", ", \"tarin_ratio\": 0.5", "", "$.data.tarin_ratio"},
        {"{\"ridge\": {}}", ", \"train_ratio\": 0.5", "", "add up to 0.8, expected 1"},
        {"{\"ridge\": {}}", ", \"categorical_columns\": [\"a\", \"b\", \"a\"]", "", "$.data.categorical_columns[2]: 'a' is there already"},
        {"{\"ridge\": {}}", ", \"train_ratio\": \"most\"", "", "$.data.train_ratio"},
        {"{\"ridge\": {}}", ", \"val_ratio\": 0, \"train_ratio\": 0.9", "", "nothing is left to choose a model by"},
        {"{\"ridge\": {}}", ", \"task\": \"forecast\"", "", "$.data.task: found 'forecast'"},
        {"{\"ridge\": {}}", "", ", \"training\": {\"primary_metric\": \"rmsee\"}",
         "$.training.primary_metric: there is no metric 'rmsee'; did you mean 'rmse'?"},
        {"{\"ridge\": {}}", "", ", \"training\": {\"cross_validation\": {\"folds\": 1}}", "$.training.cross_validation.folds"},
        {"{\"ridge\": {}}", "", ", \"training\": {\"cross_validation\": {\"fold\": 3}}", "did you mean \"folds\"?"},
        {"{\"ridge\": {}}", "", ", \"evaluation\": {\"metrics\": [\"rmse\", \"mea\"]}",
         "$.evaluation.metrics[1]: there is no metric 'mea'; did you mean 'mae'?"},
        {"{\"ridge\": {}}", "", ", \"persistence\": {\"versioning_strategy\": \"semantics\"}", "$.persistence.versioning_strategy"},
        {"{\"ridge\": {}}", "", ", \"persistence\": {\"export_formats\": [\"onxx\"]}", "did you mean 'onnx'?"},
        {"{\"ridge\": {}}", "", ", \"persistence\": {\"hdfs_model_path\": \"hdfs://namenode:9000/models\"}", "such as \"/data/models\""},
        {"{\"ridge\": {}}", "", ", \"model_selection\": {\"ensemble_models\": [\"blending\"]}", "found blending, expected average, weighted or stacking"},
        {"{\"ridge\": {}}", "", ", \"persistance\": {}", "$.persistance: unknown key; did you mean 'persistence'?"},
        {"{\"ridge\": {}}", "", ", \"environments\": {\"dev\": 5}", "$.environments.dev: found a number"},
        {"{\"ridge\": {}}", "", ", \"environment\": \"pord\", \"environments\": {\"prod\": {}}", "no environment 'pord'; did you mean 'prod'?"},
        {"{\"ridge\": {\"hyperparameters\": {\"alpha\": \"${WEIR_TEST_UNSET}\"}}}", "", "", "$.models.ridge.hyperparameters.alpha"},
        {"[]", "", "", "$.models: found an array, expected an object of models"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_training_file *f = NULL;
        weir_err err = {0};
        cJSON *json = document(cases[i].models, cases[i].data, cases[i].sections);
        weir_status status = weir_training_file_read(json, NULL, &f, &err);
        if (status != WEIR_EINVAL || !strstr(err.message, cases[i].words))
            fail_msg("%s %s: '%s' does not say '%s'", cases[i].models, cases[i].sections, err.message, cases[i].words);
        cJSON_Delete(json);
    }
    weir_training_file *f = NULL;
    weir_err err;
    char text[4096];
    snprintf(text, sizeof text, published, "hdfs://namenode:9000/processed_features", "hdfs://namenode:9000/models");
    cJSON *json = parse(text);
    assert_int_equal(weir_training_file_read(json, NULL, &f, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "$.data.source: found 'hdfs://namenode:9000/processed_features'"));
    assert_non_null(strstr(err.message, "such as \"/data/processed_features\"; nothing else in the file has to change"));
    cJSON_Delete(json);
    FILE *bad = fopen(path_of("bad.json"), "w");
    fputs("{\n  \"data\": {,\n", bad);
    fclose(bad);
    assert_int_equal(weir_training_file_load(path_of("bad.json"), NULL, &f, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "from line 2 on"));
    assert_int_equal(weir_training_file_load(path_of("none.json"), NULL, &f, &err), WEIR_ENOTFOUND);
}

static void environments_go_over_the_file(void **state) {
    (void)state;
    static const char sections[] =
        ", \"training\": {\"max_training_time_minutes\": \"${WEIR_TEST_MINUTES}\", \"parallel_training\": \"${WEIR_TEST_PARALLEL}\", \"random_state\": 1},"
        " \"persistence\": {\"model_registry_path\": \"${WEIR_TEST_HOME}/models\"}, \"environment\": \"dev\","
        " \"environments\": {\"dev\": {\"training\": {\"random_state\": 2}}, \"prod\": {\"training\": {\"random_state\": 3}, \"models\": {\"ridge\": "
        "{\"hyperparameters\": {\"alpha\": 9}}}}}";
    setenv("WEIR_TEST_MINUTES", "2.5", 1);
    setenv("WEIR_TEST_PARALLEL", "true", 1);
    setenv("WEIR_TEST_HOME", "/srv", 1);
    weir_training_file *f = read_json(document("{\"ridge\": {\"hyperparameters\": {\"alpha\": 4}}}", "", sections), NULL);
    assert_true(f->training.max_training_time_minutes == 2.5 && f->training.parallel_training && f->training.random_state == 2);
    assert_string_equal(f->persistence.model_registry_path, "/srv/models");
    expect_json(f->models.items[0].params, "{\"alpha\": 4}");
    weir_training_file_free(f);
    f = read_json(document("{\"ridge\": {\"hyperparameters\": {\"alpha\": 4}}}", "", sections), "prod");
    assert_int_equal(f->training.random_state, 3);
    expect_json(f->models.items[0].params, "{\"alpha\": 9}");
    weir_training_file_free(f);
}

/* The page's tables are those that are read by: weir_training_file_markdown and weir_training_models_markdown. */
static void the_page_says_what_is_read(void **state) {
    (void)state;
    weir_buf page = {0}, settings = {0}, models = {0};
    weir_err err;
    char piece[4096];
    size_t n;
    FILE *file = fopen("docs/training-file.md", "r");
    if (!file) skip(); /* not run from the source folder */
    while ((n = fread(piece, 1, sizeof piece, file)) > 0) assert_true(weir_buf_append(&page, piece, n));
    fclose(file);
    assert_int_equal(weir_training_file_markdown(&settings, &err), WEIR_OK);
    assert_int_equal(weir_training_models_markdown(&models, &err), WEIR_OK);
    models.data[models.len - 1] = 0; /* the empty line at the end */
    assert_non_null(strstr(page.data, settings.data));
    assert_non_null(strstr(page.data, models.data));
    weir_buf_done(&page);
    weir_buf_done(&settings);
    weir_buf_done(&models);
}

/* ---- doing it ---- */

static weir_training_sets read_sets(const weir_training_file *f) {
    weir_training_sets sets = {0};
    weir_err err;
    if (weir_training_file_sets(f, &sets, &err)) fail_msg("%s", err.message);
    return sets;
}

static weir_leaderboard search(const weir_training_file *f, const weir_training_sets *sets, int threads) {
    weir_leaderboard board = {0};
    weir_err err;
    if (weir_training_file_search(f, sets, &(weir_training_search){.threads = threads}, &board, &err)) fail_msg("%s", err.message);
    return board;
}

static void near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance * fabs(expected))) fail_msg("%.17g, expected %.17g", found, expected);
}

static void folds_of_linear_models_are_scikit_learns(void **state) {
    (void)state;
    weir_training_file *f = read_json(
        document("{\"linear_regression\": {\"hyperparameter_grid\": {\"fit_intercept\": [true, false]}}, \"ridge\": {\"hyperparameters\": {\"alpha\": 20}}}",
                 "", ", \"training\": {\"cross_validation\": {\"enabled\": true}}, \"evaluation\": {\"metrics\": [\"rmse\", \"r2_score\"]}"),
        NULL);
    weir_training_sets sets = read_sets(f);
    assert_true(sets.train.matrix.row_count == 210 && sets.validation.matrix.row_count == 60 && sets.test.matrix.row_count == 30 &&
                sets.fit.matrix.row_count == 270);
    assert_true(sets.test.time_us[0] > sets.validation.time_us[59] && sets.validation.time_us[0] > sets.train.time_us[209]);
    assert_true(sets.metric_count == 2 && !strcmp(sets.metrics[1]->name, "r2"));
    weir_leaderboard board = search(f, &sets, 1);
    assert_int_equal(board.count, 3);
    assert_int_equal(board.fold_count, 5);
    assert_string_equal(board.ended, "space");
    near(board.leaders[0].mean, FOLDS_LINEAR, 1e-9);
    near(board.leaders[0].deviation, FOLDS_LINEAR_DEVIATION, 1e-9);
    near(board.leaders[1].mean, FOLDS_NO_INTERCEPT, 1e-9);
    near(board.leaders[2].mean, FOLDS_RIDGE, 1e-9);
    assert_string_equal(board.leaders[0].name, "linear_regression");
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void without_folds_the_validation_rows_judge(void **state) {
    (void)state;
    weir_training_file *f = read_json(document("{\"linear_regression\": {}}", "", ""), NULL);
    weir_training_sets sets = read_sets(f);
    weir_leaderboard board = search(f, &sets, 1);
    assert_int_equal(board.fold_count, 1);
    near(board.leaders[0].mean, VALIDATION_LINEAR, 1e-9);
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void two_targets_are_judged_by_their_mean(void **state) {
    (void)state;
    cJSON *json = document("{\"linear_regression\": {}}", "", ", \"training\": {\"cross_validation\": {}}, \"model_selection\": {\"ensemble_models\": false}");
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "data"), "target_columns", parse("[\"traffic_volume\", \"avg_speed\"]"));
    weir_training_file *f = read_json(json, NULL);
    weir_training_sets sets = read_sets(f);
    weir_leaderboard board = search(f, &sets, 1);
    near(board.leaders[0].mean, FOLDS_TWO_TARGETS, 1e-9);
    assert_non_null(cJSON_GetObjectItem(board.leaders[0].spec, "targets"));
    weir_leaderboard_done(&board);
    f->validation.enabled = false;
    board = search(f, &sets, 1);
    assert_true(isfinite(board.leaders[0].mean) && board.leaders[0].mean < VALIDATION_LINEAR);
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static const char several_models[] = "{\"random_forest\": {\"hyperparameters\": {\"n_estimators\": 10}, \"hyperparameter_grid\": {\"max_depth\": [2, 4, null], "
                                     "\"max_features\": [1.0, \"sqrt\"]}},"
                                     " \"xgboost\": {\"hyperparameters\": {\"n_estimators\": 10}, \"hyperparameter_grid\": {\"max_depth\": [2, 3]}},"
                                     " \"linear_regression\": {}, \"svr\": {\"enabled\": false}}";

static void parallel_workers_find_what_one_finds(void **state) {
    (void)state;
    weir_training_file *f = read_json(document(several_models, "",
                                               ", \"training\": {\"parallel_training\": true, \"cross_validation\": {\"folds\": 3, \"shuffle\": true}},"
                                               " \"model_selection\": {\"ensemble_models\": true}"),
                                      NULL);
    weir_training_sets sets = read_sets(f);
    weir_leaderboard one = search(f, &sets, 1), four = search(f, &sets, 4);
    assert_int_equal(one.trials, 6 + 2 + 1 + 2);
    assert_int_equal(one.failed, 0);
    assert_int_equal(one.count, four.count);
    int ensembles = 0;
    for (int i = 0; i < one.count; i++) {
        assert_string_equal(one.leaders[i].name, four.leaders[i].name);
        assert_true(one.leaders[i].mean == four.leaders[i].mean && one.leaders[i].trial == four.leaders[i].trial);
        ensembles += one.leaders[i].trial < 0;
    }
    assert_int_equal(ensembles, 2);
    weir_leaderboard_done(&one);
    weir_leaderboard_done(&four);
    f->training.search = 1; /* random */
    f->training.search_iterations = 2;
    one = search(f, &sets, 2);
    assert_int_equal(one.trials, 2 + 2 + 1 + 2);
    weir_leaderboard_done(&one);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void the_time_limit_ends_the_search_with_the_best_so_far(void **state) {
    (void)state;
    static const char slow[] = "{\"linear_regression\": {}, \"xgboost\": {\"hyperparameters\": {\"max_depth\": 12}, \"hyperparameter_grid\": "
                               "{\"n_estimators\": [10000, 9999, 9998, 9997]}}}";
    weir_training_file *f = read_json(document(slow, "", ", \"training\": {\"max_training_time_minutes\": 0.01, \"cross_validation\": {}}"), NULL);
    weir_training_sets sets = read_sets(f);
    weir_leaderboard board = search(f, &sets, 1);
    assert_string_equal(board.ended, "budget");
    assert_true(board.elapsed_s >= 0.6 && board.elapsed_s < 30);
    assert_string_equal(board.leaders[0].name, "linear_regression");
    near(board.leaders[0].mean, FOLDS_LINEAR, 1e-9);
    weir_leaderboard_done(&board);
    /* nothing in time, and cancelled at once */
    weir_err err;
    _Atomic bool cancel = true;
    assert_int_equal(weir_training_file_search(f, &sets, &(weir_training_search){.threads = 1, .cancel = &cancel}, &board, &err), WEIR_ENOTFOUND);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void classes_are_chosen_by_their_metric(void **state) {
    (void)state;
    cJSON *json = document(
        "{\"logistic_regression\": {}, \"random_forest\": {\"hyperparameters\": {\"n_estimators\": 20}}}", "",
        ", \"training\": {\"primary_metric\": \"f1\", \"cross_validation\": {\"folds\": 3}}, \"evaluation\": {\"metrics\": [\"accuracy\", \"roc_auc\"]}");
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "data"), "target_columns", parse("[\"busy\"]"));
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(json, "data"), "time_column");
    weir_training_file *f = read_json(json, NULL);
    weir_training_sets sets = read_sets(f);
    assert_string_equal(sets.whole.class_names[1], "low");
    double share[3] = {0};
    const weir_trainset *parts[] = {&sets.whole, &sets.train, &sets.test};
    for (int i = 0; i < 3; i++)
        for (int64_t r = 0; r < parts[i]->matrix.row_count; r++) share[i] += parts[i]->matrix.label[r] / (double)parts[i]->matrix.row_count;
    assert_true(fabs(share[1] - share[0]) < 0.01 && fabs(share[2] - share[0]) < 0.04); /* drawn by class */
    assert_int_equal(sets.train.matrix.row_count + sets.validation.matrix.row_count + sets.test.matrix.row_count, 300);
    weir_leaderboard board = search(f, &sets, 2);
    assert_true(board.count == 2 && board.leaders[0].mean > 0.8 && board.leaders[0].mean >= board.leaders[1].mean);
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
    /* a metric that is not of the target's task, and a model that cannot do it */
    weir_err err;
    json = document("{\"ridge\": {}}", "", ", \"training\": {\"primary_metric\": \"accuracy\"}");
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "data"), "target_columns", parse("[\"busy\"]"));
    f = read_json(json, NULL);
    assert_int_equal(weir_training_file_sets(f, &sets, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "$.models.ridge: it cannot do a binary task"));
    weir_training_file_free(f);
    f = read_json(document("{\"random_forest\": {}}", "", ", \"training\": {\"primary_metric\": \"accuracy\"}"), NULL);
    assert_int_equal(weir_training_file_sets(f, &sets, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "'accuracy' is no metric of a regression task"));
    weir_training_file_free(f);
}

/* Parquet, as the file says, from the rows of the tests. */
static void to_parquet(const char *to) {
    weir_duck *duck = NULL;
    weir_err err;
    char sql[400];
    snprintf(sql, sizeof sql, "COPY (SELECT to_timestamp(timestamp) AS timestamp, * EXCLUDE timestamp FROM '%s') TO '%s' (FORMAT parquet)", path_of("rows.csv"),
             to);
    if (weir_duck_new(&duck, &err) || weir_duck_exec(duck, sql, &err)) fail_msg("%s", err.message);
    weir_duck_free(duck);
}

static void the_published_file_runs(void **state) {
    (void)state;
    char text[4096], parquet[200];
    snprintf(parquet, sizeof parquet, "mkdir -p '%s'", path_of("features"));
    assert_int_equal(system(parquet), 0);
    to_parquet(path_of("features/part-0.parquet"));
    snprintf(text, sizeof text, published, path_of("features"), path_of("models"));
    FILE *out = fopen(path_of("published.json"), "w");
    fputs(text, out);
    fclose(out);
    weir_training_file *f = NULL;
    weir_err err;
    if (weir_training_file_load(path_of("published.json"), NULL, &f, &err)) fail_msg("%s", err.message);
    weir_training_sets sets = read_sets(f);
    assert_int_equal(sets.whole.target_count, 2);
    assert_int_equal(sets.whole.matrix.column_count, 4); /* x1, x2, x3, busy */
    assert_int_equal(sets.metric_count, 4);
    weir_leaderboard board = search(f, &sets, 2);
    assert_int_equal(board.trials, 2 + 12);
    assert_true(board.count == 14 && !board.failed);
    assert_string_equal(board.leaders[0].name, "linear_regression"); /* so the rows are made, all but noise */
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

/* Real rows, where they are at hand: hours of traffic on a road, and its temperature as a second target. */
static void traffic_of_a_road_is_learnt(void **state) {
    (void)state;
    const char *data = getenv("WEIR_TEST_DATA");
    char text[2048], path[512];
    snprintf(path, sizeof path, "%s/traffic/metro_i94_2012-2017.csv.gz", data && *data ? data : "../shared/data");
    if (access(path, R_OK)) skip();
    snprintf(text, sizeof text,
             "{\"data\": {\"source\": \"%s\", \"target_columns\": [\"traffic_volume\", \"temp\"], \"time_column\": \"date_time\"},"
             " \"models\": {\"linear_regression\": {}, \"gradient_boosting\": {\"hyperparameters\": {\"n_estimators\": 20}, \"hyperparameter_grid\": "
             "{\"max_depth\": [2, 4]}}},"
             " \"training\": {\"cross_validation\": {\"folds\": 3}, \"parallel_training\": true, \"max_training_time_minutes\": 5}}",
             path);
    weir_training_file *f = read_json(parse(text), NULL);
    weir_training_sets sets = read_sets(f);
    assert_true(sets.whole.matrix.row_count > 30000 && sets.whole.target_count == 2);
    const char *const expected[] = {"holiday", "rain_1h", "snow_1h", "clouds_all", "weather_main", "weather_description"};
    assert_int_equal(sets.whole.matrix.column_count, 6);
    for (int c = 0; c < 6; c++) assert_string_equal(sets.whole.matrix.column_names[c], expected[c]);
    weir_leaderboard board = search(f, &sets, 2);
    assert_true(board.count == 3 && !strcmp(board.leaders[0].name, "gradient_boosting"));
    assert_true(board.leaders[0].mean < board.leaders[2].mean);
    weir_leaderboard_done(&board);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

/* ---- keeping it ---- */

static weir_buf fit(const weir_training_file *f, const weir_training_sets *sets, cJSON **ret_spec) {
    weir_buf artifact = {0};
    weir_err err;
    if (weir_training_file_spec(f, 0, NULL, &sets->fit, ret_spec, &err) ||
        weir_spec_fit(*ret_spec, &sets->fit, &(weir_fit_options){.seed = 1, .threads = 1}, &artifact, &err))
        fail_msg("%s", err.message);
    return artifact;
}

static void keep(const weir_training_file *f, const weir_training_sets *sets, const char *expected) {
    cJSON *spec = NULL, *metrics = parse("{\"rmse\": 1.5}");
    weir_buf artifact = fit(f, sets, &spec), report = {0};
    assert_true(weir_buf_printf(&report, "report"));
    weir_layout_file files[] = {{"artifacts/report.html", &report}};
    const weir_training_kept kept = {.name = "linear",
                                     .artifact = &artifact,
                                     .spec = spec,
                                     .schema = sets->schema,
                                     .metrics = metrics,
                                     .dataset_digest = sets->whole.digest,
                                     .run_id = "r1",
                                     .files = files,
                                     .file_count = 1};
    char version[WEIR_SEMVER_TEXT_MAX];
    weir_err err;
    if (weir_training_file_persist(f, &kept, version, &err)) fail_msg("%s", err.message);
    assert_string_equal(version, expected);
    weir_buf_done(&artifact);
    weir_buf_done(&report);
    cJSON_Delete(spec);
    cJSON_Delete(metrics);
}

static void versions_follow_what_changed_and_score_files(void **state) {
    (void)state;
    char persistence[256];
    snprintf(persistence, sizeof persistence,
             ", \"persistence\": {\"hdfs_model_path\": \"%s\", \"export_formats\": [\"pickle\", \"onnx\", \"pmml\", \"json\"]}", path_of("kept"));
    weir_training_file *f = read_json(document("{\"linear_regression\": {}}", "", persistence), NULL);
    weir_training_sets sets = read_sets(f);
    keep(f, &sets, "1.0.0");
    static const char *const written[] = {"kept/linear/v1.0.0/model.weirmodel", "kept/linear/v1.0.0/model.onnx",    "kept/linear/v1.0.0/model.pmml",
                                          "kept/linear/v1.0.0/model.json",      "kept/linear/v1.0.0/metadata.json", "kept/linear/v1.0.0/artifacts/report.html",
                                          "kept/linear/latest/model.onnx",      "kept/model_registry.json",         "kept/global_metrics.json"};
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (access(path_of(written[i]), R_OK)) fail_msg("no %s", written[i]);
    keep(f, &sets, "1.0.0"); /* the same bytes */
    weir_trainset whole_fit = sets.fit;
    sets.fit = sets.train;
    keep(f, &sets, "1.0.1"); /* other rows */
    sets.fit = whole_fit;
    assert_non_null(cJSON_AddFalseToObject(f->models.items[0].params, "intercept"));
    keep(f, &sets, "1.1.0"); /* another spec */
    f->persistence.versioning_strategy = WEIR_VERSIONING_SEQUENTIAL;
    sets.fit = sets.train;
    keep(f, &sets, "2.0.0");
    sets.fit = whole_fit;
    weir_err err;
    cJSON *schema = NULL;
    static const char *const prediction[] = {"prediction", NULL};
    const weir_batch_job job = {.path = path_of("rows.csv"), .out = path_of("scored.parquet"), .form = WEIR_BATCH_PREDICTIONS, .strict = true};
    weir_batch_result result = {0};
    if (weir_training_file_infer(path_of("kept"), "linear", "1.0.0", &job, &result, &err)) fail_msg("%s", err.message);
    assert_int_equal(result.rows, 300);
    weir_trainset scored = {0};
    assert_int_equal(weir_trainset_from_file(&(weir_file_query){.path = path_of("scored.parquet"), .targets = prediction, .time_column = "timestamp"}, &scored,
                                             &schema, &err),
                     WEIR_OK);
    double squares = 0; /* on the test rows, the root mean squared error is scikit-learn's */
    for (int i = 0; i < 30; i++) squares += pow(scored.matrix.label[270 + i] - sets.test.matrix.label[i], 2) / 30;
    near(sqrt(squares), TEST_LINEAR, 1e-9);
    assert_int_equal(weir_training_file_infer(path_of("kept"), "linear", "9.0.0", &job, &result, &err), WEIR_ENOTFOUND);
    weir_trainset_done(&scored);
    cJSON_Delete(schema);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void two_targets_are_predicted_side_by_side(void **state) {
    (void)state;
    cJSON *json = document("{\"linear_regression\": {}}", "", ""), *spec = NULL, *schema = NULL;
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "data"), "target_columns", parse("[\"traffic_volume\", \"avg_speed\"]"));
    weir_training_file *f = read_json(json, NULL);
    weir_training_sets sets = read_sets(f);
    weir_buf artifact = fit(f, &sets, &spec);
    weir_model *model = NULL;
    weir_err err;
    int64_t rows = 0;
    static const char *const predicted[] = {"prediction_traffic_volume", "prediction_avg_speed", NULL};
    assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_OK);
    if (predict_file(sets.schema, model, path_of("rows.csv"), path_of("two.csv"), &rows, &err)) fail_msg("%s", err.message);
    weir_trainset out = {0};
    assert_int_equal(
        weir_trainset_from_file(&(weir_file_query){.path = path_of("two.csv"), .targets = predicted, .time_column = "timestamp"}, &out, &schema, &err),
        WEIR_OK);
    double expected[2];
    assert_int_equal(weir_model_predict(model, sets.test.matrix.values, 1, expected, &err), WEIR_OK);
    near(out.targets[270], expected[0], 1e-12);
    near(out.targets[300 + 270], expected[1], 1e-12);
    weir_trainset_done(&out);
    cJSON_Delete(schema);
    cJSON_Delete(spec);
    weir_model_free(model);
    weir_buf_done(&artifact);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void a_version_is_whole_or_not_there(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    char persistence[256], version[WEIR_SEMVER_TEXT_MAX];
    snprintf(persistence, sizeof persistence, ", \"persistence\": {\"model_registry_path\": \"%s\", \"export_formats\": [\"onnx\"]}", path_of("starved"));
    weir_training_file *f = read_json(document("{\"linear_regression\": {}}", "", persistence), NULL);
    weir_training_sets sets = read_sets(f);
    cJSON *spec = NULL;
    weir_buf artifact = fit(f, &sets, &spec);
    const weir_training_kept kept = {.name = "linear", .artifact = &artifact, .spec = spec, .schema = sets.schema};
    int failures = 0;
    for (int n = 0, done = 0; !done; n++) {
        weir_err err;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_training_file_persist(f, &kept, version, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        failures += status != WEIR_OK;
        done = !status;
    }
    assert_true(failures > 5);
    assert_int_equal(access(path_of("starved/linear/v1.0.0/model.onnx"), R_OK), 0);
    f->persistence.save_models = false;
    weir_err err;
    assert_int_equal(weir_training_file_persist(f, &kept, version, &err), WEIR_EINVAL);
    cJSON_Delete(spec);
    weir_buf_done(&artifact);
    weir_training_sets_done(&sets);
    weir_training_file_free(f);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    cJSON *json = document("{\"linear_regression\": {}}", "", ", \"training\": {\"cross_validation\": {\"folds\": 2}}");
    int failures = 0;
    for (int n = 0, done = 0; !done; n += 1 + n / 8) {
        weir_training_file *f = NULL;
        weir_training_sets sets = {0};
        weir_leaderboard board = {0};
        weir_err err = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_training_file_read(json, NULL, &f, &err);
        if (!status) status = weir_training_file_sets(f, &sets, &err);
        if (!status) status = weir_training_file_search(f, &sets, &(weir_training_search){.threads = 1}, &board, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM && !(status == WEIR_ENOTFOUND && strstr(err.message, "memory"))) fail_msg("%d: %s", n, err.message);
        failures += status != WEIR_OK;
        done = !status;
        weir_leaderboard_done(&board);
        weir_training_sets_done(&sets);
        weir_training_file_free(f);
    }
    assert_true(failures > 10);
    cJSON_Delete(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_file_is_read),
        cmocka_unit_test(each_parameter_becomes_what_stands_for_it),
        cmocka_unit_test(what_is_wrong_is_named_with_its_path),
        cmocka_unit_test(environments_go_over_the_file),
        cmocka_unit_test(the_page_says_what_is_read),
        cmocka_unit_test(folds_of_linear_models_are_scikit_learns),
        cmocka_unit_test(without_folds_the_validation_rows_judge),
        cmocka_unit_test(two_targets_are_judged_by_their_mean),
        cmocka_unit_test(parallel_workers_find_what_one_finds),
        cmocka_unit_test(the_time_limit_ends_the_search_with_the_best_so_far),
        cmocka_unit_test(classes_are_chosen_by_their_metric),
        cmocka_unit_test(the_published_file_runs),
        cmocka_unit_test(traffic_of_a_road_is_learnt),
        cmocka_unit_test(versions_follow_what_changed_and_score_files),
        cmocka_unit_test(two_targets_are_predicted_side_by_side),
        cmocka_unit_test(a_version_is_whole_or_not_there),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_rows, remove_rows);
}
