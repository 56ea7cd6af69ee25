/* The compiled form of models: the bits of the library that trained them, on rows of every kind; files that are refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/plugin.h"
#include "models/model_parts.h"
#include "models/scorer/internal.h"
#include "models/scorer_compile.h"
#include "models/scorer_gate.h"
#include "models/spec.h"
#include "tests/unit/starve.h"

static fixture data;

static const char *const chain_text =
    "[{\"impute\": \"median\", \"indicator\": true, \"columns\": [\"gaps\"]}, {\"outliers\": \"iqr\", \"columns\": [\"amount\"]}, {\"scale\": \"robust\"}]";

static weir_model *fit_chain(const char *algorithm, const char *params_text, const weir_matrix *matrix, bool chained) {
    cJSON *params = params_text ? cJSON_Parse(params_text) : NULL, *chain = chained ? cJSON_Parse(chain_text) : NULL;
    weir_buf artifact = {0};
    weir_err err;
    assert_true(!chained || chain);
    if (weir_model_fit(algorithm, params, chain, matrix, "hash", 1, 1, &artifact, &err)) fail_msg("%s: %s", algorithm, err.message);
    weir_model *model = load_artifact(&artifact);
    weir_buf_done(&artifact);
    cJSON_Delete(params);
    cJSON_Delete(chain);
    return model;
}

static weir_gate_count pass(weir_model *model, const weir_matrix *matrix) {
    weir_gate_count count;
    weir_err err;
    assert_non_null(weir_model_scorer(model));
    if (weir_scorer_gate(model, matrix->values, matrix->row_count, &count, &err)) fail_msg("%s: %s", weir_model_algorithm(model), err.message);
    assert_int_equal(count.training_rows, matrix->row_count);
    assert_true(count.random_rows > 0);
    return count;
}

static void every_algorithm_and_task_gives_its_library_s_bits(void **state) {
    (void)state;
    int compiled = 0;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        for (int task = 0; task < WEIR_TASK_COUNT; task++) {
            if (!weir_algorithm_can(*a, (weir_task)task)) continue;
            for (int chained = 0; chained < 2; chained++) {
                weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
                if (!strcmp((*a)->name, "svr")) matrix.row_count = 300;
                weir_model *model = fit_chain((*a)->name, quick((*a)->name), &matrix, chained);
                weir_gate_count count = pass(model, &matrix);
                assert_true(!weir_model_has_trees(model) || (count.thresholds > 10 && count.splits > 10));
                weir_model_free(model);
                compiled++;
            }
        }
    }
    assert_true(compiled >= 2 * (2 * 6 + 6));
}

static void trees_of_every_depth(void **state) {
    (void)state;
    char params[160];
    for (int depth = 1; depth <= 12; depth++) {
        for (int task = 0; task < WEIR_TASK_COUNT; task++) {
            const weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
            snprintf(params, sizeof params, "{\"rounds\": 12, \"max_depth\": %d, \"max_bin\": %d, \"min_child_weight\": 0.01}", depth, depth % 3 ? 1000 : 16);
            weir_model *model = fit_model("xgboost", params, &matrix);
            pass(model, &matrix);
            weir_model_free(model);
        }
    }
}

static void every_objective_of_a_regression(void **state) {
    (void)state;
    static const char *const objectives[] = {"squared_error", "absolute_error", "huber", "poisson", "tweedie", "gamma", "quantile"};
    char params[160];
    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++) {
        const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
        snprintf(params, sizeof params, "{\"rounds\": 12, \"objective\": \"%s\"}", objectives[i]);
        weir_model *model = fit_model("xgboost", params, &matrix);
        pass(model, &matrix);
        weir_model_free(model);
    }
}

static void trees_without_a_split(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    weir_model *model = fit_model("xgboost", "{\"rounds\": 3, \"gamma\": 1e9}", &matrix);
    weir_gate_count count = pass(model, &matrix);
    assert_int_equal(count.thresholds, 0);
    weir_model_free(model);
}

static void a_model_without_compiled_form_is_scored_by_its_library(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_gate_count count;
    weir_err err;
    weir_buf file = {0};
    double score;
    if (weir_plugin_load(WEIR_PLUGINS_DIR "/nearest_centroid.so", &err)) fail_msg("%s", err.message);
    weir_model *model = fit_model("nearest_centroid", NULL, &matrix);
    assert_null(weir_model_scorer(model));
    assert_int_equal(weir_scorer_gate(model, matrix.values, 5, &count, &err), WEIR_OK);
    assert_int_equal(count.training_rows, 0);
    assert_int_equal(weir_model_predict(model, matrix.values, 1, &score, &err), WEIR_OK);
    assert_int_equal(weir_scorer_compile(model, &file, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "nearest_centroid"));
    assert_int_equal(file.len, 0);
    weir_buf_done(&file);
    weir_model_free(model);
}

/* One bit of the compiled form is another: a threshold a float32 higher, a leaf, a side of missing values, a coefficient. */
static void the_gate_refuses_a_form_that_differs_by_a_bit(void **state) {
    (void)state;
    static const struct {
        const char *algorithm, *params;
        int part;
    } cases[] = {{"xgboost", "{\"rounds\": 15, \"max_depth\": 4}", 0},
                 {"xgboost", "{\"rounds\": 15, \"max_depth\": 4}", 1},
                 {"xgboost", "{\"rounds\": 15, \"max_depth\": 4}", 2},
                 {"xgboost", "{\"rounds\": 15, \"max_depth\": 4}", 3},
                 {"random_forest", "{\"trees\": 5}", 4},
                 {"logistic", NULL, 5}};
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_model *model = fit_model(cases[i].algorithm, cases[i].params, &matrix);
        const weirscore *scorer = weir_model_scorer(model);
        const score_model *m = &scorer->models[0];
        score_node *nodes = (score_node *)(uintptr_t)score_at(scorer, m->nodes);
        score_slice *slices = (score_slice *)(uintptr_t)score_at(scorer, m->slices);
        weir_gate_count count;
        weir_err err;
        assert_int_equal(weir_scorer_gate(model, matrix.values, ROWS, &count, &err), WEIR_OK);
        assert_true(cases[i].part > 3 || (m->perfect && m->slices.count));
        switch (cases[i].part) {
        case 0: nodes[0].threshold = nextafterf(nodes[0].threshold, INFINITY); break;
        case 1: ((float *)(uintptr_t)score_at(scorer, m->leaves))[3] *= 1.0000002f; break;
        case 2: nodes[0].slot ^= 1; break;
        case 3: slices[0].rank++; break;
        case 4: ((score_link_node *)(void *)nodes)[0].threshold = nextafterf(((score_link_node *)(void *)nodes)[0].threshold, -INFINITY); break;
        default: ((double *)(uintptr_t)score_at(scorer, m->numbers))[0] *= 1 + 1e-15; break;
        }
        if (weir_scorer_gate(model, matrix.values, ROWS, &count, &err) != WEIR_EDATA) fail_msg("change %d of %s passed", cases[i].part, cases[i].algorithm);
        assert_non_null(strstr(err.message, cases[i].algorithm));
        weir_model_free(model);
    }
}

/* ---- files ---- */

static void *aligned_copy(const weir_buf *file) {
    void *copy = aligned_alloc(SCORE_ALIGN, (file->len + SCORE_ALIGN - 1) / SCORE_ALIGN * SCORE_ALIGN);
    assert_non_null(copy);
    return memcpy(copy, file->data, file->len);
}

static weir_buf compile(weir_model *model) {
    weir_buf file = {0};
    weir_err err;
    if (weir_scorer_compile(model, &file, &err)) fail_msg("%s", err.message);
    return file;
}

static void a_file_scores_as_the_model_does(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    weir_model *model = fit_model("xgboost", quick("xgboost"), &matrix);
    weir_buf file = compile(model), again = compile(model);
    double expected[ROWS * CLASSES], found[ROWS * CLASSES];
    char path[] = "/tmp/weir-score-XXXXXX", message[WEIRSCORE_MESSAGE_MAX];
    weirscore *opened = NULL;
    int fd = mkstemp(path);
    assert_true(file.len == again.len && !memcmp(file.data, again.data, file.len));
    assert_int_equal(write(fd, file.data, file.len), file.len);
    close(fd);
    assert_int_equal(weirscore_open(path, &opened, message, sizeof message), WEIRSCORE_OK);
    assert_string_equal(weirscore_digest(opened), weir_model_digest(model));
    assert_int_equal(weirscore_input_count(opened), COLUMNS);
    assert_int_equal(weirscore_output_count(opened), CLASSES);
    assert_string_equal(weirscore_input_name(opened, 3), "gaps");
    assert_string_equal(weirscore_output_name(opened, 0), "score");
    assert_null(weirscore_input_name(opened, COLUMNS));
    predict_all(model, &matrix, expected);
    assert_int_equal(weirscore_score(opened, matrix.values, ROWS, found), WEIRSCORE_OK);
    assert_memory_equal(found, expected, sizeof found);
    double row[COLUMNS] = {INFINITY};
    assert_int_equal(weirscore_score(opened, row, 1, found), WEIRSCORE_INFINITE);
    weirscore_close(opened);
    unlink(path);
    weir_buf_done(&file);
    weir_buf_done(&again);
    weir_model_free(model);
}

static int open_copy(const weir_buf *file, size_t len, bool sign, char *message) {
    uint8_t *copy = aligned_copy(file);
    weirscore *opened = NULL;
    if (sign) score_digest(copy, len, ((score_head *)(void *)copy)->digest);
    int code = weirscore_open_memory(copy, len, &opened, message, WEIRSCORE_MESSAGE_MAX);
    double row[COLUMNS] = {1, NAN, -3, 0.5, 2}, out[SCORE_OUTPUTS_MAX];
    if (!code) {
        assert_true(weirscore_input_count(opened) > 0);
        if (weirscore_input_count(opened) <= COLUMNS) (void)weirscore_score(opened, row, 1, out); /* it may say anything, but must come back */
        weirscore_close(opened);
    }
    free(copy);
    return code;
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *model = fit_chain("xgboost", quick("xgboost"), &matrix, true);
    weir_buf file = compile(model);
    char message[WEIRSCORE_MESSAGE_MAX] = "";
    assert_int_equal(open_copy(&file, file.len, false, message), WEIRSCORE_OK);
    for (size_t len = 0; len < file.len; len += 97) assert_int_not_equal(open_copy(&file, len, false, message), WEIRSCORE_OK);
    for (size_t i = 0; i < file.len; i += 41) {
        file.data[i] ^= 0x10;
        assert_int_not_equal(open_copy(&file, file.len, false, message), WEIRSCORE_OK);
        assert_true(strlen(message) > 10);
        file.data[i] ^= 0x10;
    }
    file.data[8] = 9;
    assert_int_equal(open_copy(&file, file.len, true, message), WEIRSCORE_VERSION);
    assert_non_null(strstr(message, "version 9, expected 1 to 3"));
    weir_buf_done(&file);
    weir_model_free(model);
}

/* A digest that fits does not make a file safe: whatever stands in it, opening and scoring come back. */
static void signed_nonsense_does_no_harm(void **state) {
    (void)state;
    static const char *const algorithms[] = {"xgboost", "random_forest", "logistic", "hoeffding_tree"};
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    char message[WEIRSCORE_MESSAGE_MAX];
    uint64_t random = 5;
    int refused = 0;
    for (int a = 0; a < 4; a++) {
        weir_model *model = fit_chain(algorithms[a], quick(algorithms[a]), &matrix, a != 1);
        weir_buf file = compile(model);
        const score_head *head = (const score_head *)(const void *)file.data;
        for (int i = 0; i < 1500; i++) {
            size_t at = uniform(&random) < 0.5 ? (size_t)head->models + (size_t)(uniform(&random) * sizeof(score_model))
                                               : (size_t)(uniform(&random) * (double)file.len);
            char before = file.data[at];
            file.data[at] = (char)(uniform(&random) * 256);
            refused += open_copy(&file, file.len, true, message) != WEIRSCORE_OK;
            file.data[at] = before;
        }
        weir_buf_done(&file);
        weir_model_free(model);
    }
    assert_true(refused > 500);
}

static void files_that_are_none(void **state) {
    (void)state;
    weirscore *opened = NULL;
    char message[WEIRSCORE_MESSAGE_MAX];
    assert_int_equal(weirscore_open("/nowhere/model.score", &opened, message, sizeof message), WEIRSCORE_IO);
    assert_non_null(strstr(message, "/nowhere/model.score"));
    assert_int_equal(weirscore_open("/dev/null", &opened, message, sizeof message), WEIRSCORE_DAMAGED);
    assert_int_equal(weirscore_open("README.md", &opened, message, sizeof message), WEIRSCORE_DAMAGED);
    assert_non_null(strstr(message, "WEIRSCR1"));
    assert_int_equal(weirscore_open("README.md", &opened, NULL, 0), WEIRSCORE_DAMAGED);
    assert_null(opened);
    weirscore_close(NULL);
}

static void check_starving(const char *algorithm) {
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *model = fit_chain(algorithm, quick(algorithm), &matrix, true);
    weir_buf file = {0};
    weir_gate_count count;
    weir_err err;
    weir_status status = WEIR_ENOMEM;
    void *(*usual)(void *, size_t) = weir_mem.realloc;
    for (int n = 0; status; n++) {
        assert_true(n < 2000);
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_scorer_compile(model, &file, &err);
        if (!status) status = weir_scorer_gate(model, matrix.values, 100, &count, &err);
        weir_mem.realloc = usual;
        if (status) assert_int_equal(status, WEIR_ENOMEM);
        weir_buf_done(&file);
    }
    weir_model_free(model);
}

static void memory_may_run_out(void **state) {
    (void)state;
    check_starving("xgboost");
    check_starving("hoeffding_tree");
}

static int set_up(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_and_task_gives_its_library_s_bits),
        cmocka_unit_test(trees_of_every_depth),
        cmocka_unit_test(every_objective_of_a_regression),
        cmocka_unit_test(trees_without_a_split),
        cmocka_unit_test(a_model_without_compiled_form_is_scored_by_its_library),
        cmocka_unit_test(the_gate_refuses_a_form_that_differs_by_a_bit),
        cmocka_unit_test(a_file_scores_as_the_model_does),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(signed_nonsense_does_no_harm),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
