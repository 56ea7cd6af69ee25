/* Plugins with algorithms, metrics and stores: what a good one brings, and what is said of a bad one. What each thing has to keep is tested with the built-in ones: test_model.c,
 * test_metrics.c, test_artifact_store.c. */
#include "fixture.h"

#include "core/plugin.h"
#include "models/artifact_store.h"
#include "models/metrics.h"

#define PLUGIN(name) WEIR_PLUGINS_DIR "/" name ".so"

static void load(const char *path) {
    weir_err err;
    if (weir_plugin_load(path, &err) != WEIR_OK) fail_msg("%s", err.message);
}

static int count_algorithms(void) {
    int count = 0;
    while (weir_algorithms()[count]) count++;
    return count;
}

static int count_metrics(void) {
    int count = 0;
    while (weir_model_metric_at(count)) count++;
    return count;
}

static int count_stores(void) {
    int count = 0;
    while (weir_artifact_store_at(count)) count++;
    return count;
}

static void what_a_plugin_brings_is_found_and_only_once(void **state) {
    (void)state;
    int algorithms = count_algorithms(), metrics = count_metrics(), stores = count_stores();
    const weir_algorithm *const *before = weir_algorithms();
    assert_null(weir_algorithm_find("nearest_centroid"));
    assert_null(weir_model_metric_find(WEIR_TASK_REGRESSION, "pinball_90"));
    assert_null(weir_artifact_store_find("content"));
    for (int i = 0; i < 2; i++) {
        load(PLUGIN("nearest_centroid"));
        load(PLUGIN("pinball"));
        load(PLUGIN("content_addressed"));
        assert_int_equal(count_algorithms(), algorithms + 1);
        assert_int_equal(count_metrics(), metrics + 5);
        assert_int_equal(count_stores(), stores + 1);
    }
    assert_ptr_equal(weir_algorithms()[algorithms], weir_algorithm_find("nearest_centroid"));
    assert_null(before[algorithms]); /* who walks an older list is not disturbed */
    assert_non_null(weir_model_metric_find(WEIR_TASK_REGRESSION, "pinball_90"));
    assert_null(weir_model_metric_find(WEIR_TASK_BINARY, "pinball_90"));
    assert_string_equal(weir_artifact_store_find("content")->name, "content");
}

static void what_is_wrong_with_a_plugin_is_said_and_nothing_of_it_is_added(void **state) {
    (void)state;
    static const struct {
        const char *path, *part;
    } cases[] = {
        {PLUGIN("algorithm_abi"), "algorithm of_yesterday has ABI 2, expected 3"},
        {PLUGIN("metric_clash"), "there is a metric brier of a binary task already"},
        {PLUGIN("store_incomplete"), "store nowhere lacks a method (open, write, read, remove, list or close)"},
        {PLUGIN("half_good"), "algorithm half_bad lacks a text (doc or preprocessing)"},
        {PLUGIN("returns_nothing"), "function weir_plugin_metrics returns nothing"},
        {PLUGIN("wrong_abi"), "operator of_tomorrow has ABI 2, expected 1"},
        {PLUGIN("no_function"), "it has none of the functions"},
        {PLUGIN("no_such_file"), "cannot be loaded"},
    };
    int algorithms = count_algorithms(), metrics = count_metrics(), stores = count_stores();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_err err;
        assert_int_equal(weir_plugin_load(cases[i].path, &err), WEIR_EINVAL);
        if (!strstr(err.message, cases[i].part) || !strstr(err.message, cases[i].path)) fail_msg("'%s' is not in '%s'", cases[i].part, err.message);
        assert_int_equal(count_algorithms(), algorithms);
        assert_int_equal(count_metrics(), metrics);
        assert_int_equal(count_stores(), stores);
    }
    assert_null(weir_model_metric_find(WEIR_TASK_REGRESSION, "half_good"));
}

/* Columns divided by their deviation sd; score of class 1 = 1 / (1 + exp((d1² − d0²) / 2)). Centroids 1 and 5; x has mean 3 and deviation
 * √(28/6). At x = 3 both are equally far; at 5, d0² = 16 · 6/28, d1² = 0. */
static void the_nearest_centroid_is_as_worked_by_hand(void **state) {
    (void)state;
    const double x[] = {0, 1, 2, 4, 5, 6}, y[] = {0, 0, 0, 1, 1, 1}, asked[] = {3, 5, NAN};
    const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 6, .column_count = 1, .values = x, .label = y, .column_names = names};
    double scores[3];
    weir_err err;
    load(PLUGIN("nearest_centroid"));
    weir_model *model = fit_model("nearest_centroid", NULL, &train);
    assert_int_equal(weir_model_predict(model, asked, 3, scores, &err), WEIR_OK);
    assert_float_equal(scores[0], 0.5, 1e-15);
    assert_float_equal(scores[1], 1 / (1 + exp(-16.0 * 6 / 28 / 2)), 1e-15);
    assert_float_equal(scores[2], 0.5, 1e-15);
    weir_model_free(model);
}

/* By hand: y − q = 2, −1 with a = 0.9: 1.8, 0.1; weights 1 and 3. scikit-learn 1.x: mean_pinball_loss([3, 1], [1, 2], alpha=0.9) = 0.95. */
static void the_pinball_loss_is_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {3, 1, NAN}, score[] = {1, 2, 7}, weight[] = {1, 3, 1};
    weir_outcomes o = {.row_count = 3, .label = label, .score = score};
    double value;
    weir_err err;
    load(PLUGIN("pinball"));
    const weir_model_metric *metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "pinball_90");
    assert_int_equal(weir_model_metric_measure(metric, &o, &value, &err), WEIR_OK);
    assert_float_equal(value, 0.95, 1e-15);
    o.weight = weight;
    assert_int_equal(weir_model_metric_measure(metric, &o, &value, &err), WEIR_OK);
    assert_float_equal(value, 2.1 / 4, 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_plugin_brings_is_found_and_only_once),
        cmocka_unit_test(what_is_wrong_with_a_plugin_is_said_and_nothing_of_it_is_added),
        cmocka_unit_test(the_nearest_centroid_is_as_worked_by_hand),
        cmocka_unit_test(the_pinball_loss_is_as_worked_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
