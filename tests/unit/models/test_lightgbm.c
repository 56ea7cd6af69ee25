/* Models of LightGBM: a small one worked by hand, the compiled form, texts that are refused, and memory that runs out. That scores are LightGBM's own is tests/integration/models/test_import.py's. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/import_model.h"
#include "models/lightgbm.h"
#include "models/scorer/internal.h"
#include "models/scorer_compile.h"
#include "models/scorer_gate.h"
#include "tests/unit/starve.h"

/* a at most 1.5, else b in {1, 3, 32}: leaves 1, 10, 100; missing of a goes right. The second tree: b, where 0 and missing go left, at most −2. */
static const char text[] =
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=regression\nfeature_names=a b\n\n"
    "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nthreshold=1.5 0\ndecision_type=8 1\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=1 10 100\n"
    "cat_boundaries=0 2\ncat_threshold=10 1\nis_linear=0\nshrinkage=1\n\n\n"
    "Tree=1\nnum_leaves=2\nnum_cat=0\nsplit_feature=1\nthreshold=-2\ndecision_type=6\nleft_child=-1\nright_child=-2\nleaf_value=0.25 0.5\nis_linear=0\n\n\n"
    "end of trees\n\nfeature_importances:\na=1\n";

static weir_model *import(const char *model_text) {
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    if (weir_import_model(model_text, strlen(model_text), NULL, "", &artifact, &err)) fail_msg("%s", err.message);
    if (weir_model_load(artifact.data, artifact.len, &model, &err)) fail_msg("%s", err.message);
    weir_buf_done(&artifact);
    return model;
}

static void scores_are_those_worked_by_hand(void **state) {
    (void)state;
    static const double rows[][2] = {{1.5, 5}, {1.5000000000000002, 3},  {NAN, 3},   {2, 32},    {2, 33}, {2, NAN}, {2, -1}, {2, 0},
                                     {1, -2},  {1, -1.9999999999999998}, {1, 1e-36}, {2, 1e300}, {2, 3.9}};
    static const double expected[] = {1.5, 10.5, 10.5, 10.5, 100.5, 100.25, 100.5, 100.25, 1.25, 1.5, 1.25, 100.5, 10.5};
    weir_model *model = import(text);
    weir_gate_count count;
    weir_err err;
    double found[2 * sizeof expected / sizeof *expected];
    int n = sizeof expected / sizeof *expected;
    assert_string_equal(weir_model_algorithm(model), "lightgbm");
    assert_string_equal(weir_model_columns(model)[1], "b");
    assert_non_null(weir_model_scorer(model));
    assert_int_equal(weir_model_predict(model, rows[0], n, found, &err), WEIR_OK);
    assert_int_equal(weir_model_predict_by_library(model, rows[0], n, found + n, &err), WEIR_OK);
    for (int r = 0; r < n; r++)
        if (found[r] != expected[r] || found[n + r] != expected[r]) fail_msg("row %d: %g and %g, expected %g", r, found[r], found[n + r], expected[r]);
    assert_int_equal(weir_scorer_gate(model, rows[0], n, &count, &err), WEIR_OK);
    assert_int_equal(count.splits, 3);
    weir_model_free(model);
}

/* The text with one part exchanged. */
static char *with(const char *part, const char *other) {
    char *changed = calloc(1, sizeof text + strlen(other) + 1);
    const char *at = strstr(text, part);
    assert_non_null(changed);
    assert_non_null(at);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, other, at + strlen(part));
    return changed;
}

static void damaged_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *part, *other, *message;
    } cases[] = {{"version=v4", "version=v2", "version=v3 or v4"},
                 {"max_feature_idx=1", "max_feature_idx=-1", "max_feature_idx"},
                 {"objective=regression", "objective=lambdarank", "lambdarank"},
                 {"objective=regression", "objective=regression sqrt", "sqrt"},
                 {"objective=regression", "objective=binary sigmoid:0", "sigmoid"},
                 {"objective=regression\n", "", "no objective"},
                 {"objective=regression", "objective=multiclass num_class:3", "trees an iteration"},
                 {"feature_names=a b", "feature_names=a b c", "3 names, expected 2"},
                 {"num_leaves=3", "num_leaves=0", "tree 0: num_leaves"},
                 {"split_feature=0 1", "split_feature=0 2", "split_feature has 2"},
                 {"threshold=1.5 0", "threshold=1.5", "threshold has 1 numbers"},
                 {"threshold=1.5 0", "threshold=nan 0", "threshold has 0 numbers"},
                 {"threshold=1.5 0", "threshold=1.5 1", "names set 1 of 1"},
                 {"decision_type=8 1", "decision_type=16 1", "decision_type has 16"},
                 {"decision_type=8 1", "decision_type=12 1", "decision_type 12"},
                 {"left_child=-1 -2", "left_child=0 -2", "split 0 has child 0"},
                 {"left_child=-1 -2", "left_child=-1 -4", "left_child"},
                 {"right_child=1 -3", "right_child=1 1", "split 1 has child 1"},
                 {"leaf_value=1 10", "leaf_value=1 inf", "leaf_value has 1 numbers"},
                 {"cat_boundaries=0 2", "cat_boundaries=1 2", "ascend from 0"},
                 {"cat_boundaries=0 2", "cat_boundaries=0 3", "cat_threshold has 2 numbers"},
                 {"cat_threshold=10 1", "cat_threshold=10 4294967296", "words of 32 bits"},
                 {"is_linear=0", "is_linear=1", "linear"},
                 {"end of trees", "the end", "end of trees"},
                 {"Tree=1", "Trees=1", "end of trees"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *changed = with(cases[i].part, cases[i].other);
        weir_lgb *model = NULL;
        weir_err err;
        assert_int_equal(weir_lgb_parse(changed, strlen(changed), &model, &err), WEIR_EDATA);
        if (!strstr(err.message, cases[i].message)) fail_msg("'%s' is not in '%s'", cases[i].message, err.message);
        assert_null(model);
        free(changed);
    }
}

/* Whatever is left out or exchanged, the reader comes back; what it takes can be scored. */
static void texts_cut_or_changed_anywhere_do_no_harm(void **state) {
    (void)state;
    static const double row[] = {1, 2};
    uint64_t random = 3;
    for (size_t i = 0; i < 4000; i++) {
        char changed[sizeof text];
        size_t len = i < sizeof text ? i : sizeof text - 1;
        weir_buf artifact = {0};
        weir_model *model = NULL;
        weir_err err;
        double score;
        memcpy(changed, text, sizeof text);
        for (int k = i < sizeof text ? 0 : 2; k > 0; k--) changed[(size_t)(uniform(&random) * (double)len)] = "0129-=\n .eN"[(int)(uniform(&random) * 11)];
        changed[len] = 0;
        bool good = !strncmp(changed, "tree\n", 5) && !weir_import_model(changed, len, NULL, "", &artifact, &err);
        if (good) assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_OK);
        if (good && weir_model_column_count(model) == 2) assert_int_equal(weir_model_predict(model, row, 1, &score, &err), WEIR_OK);
        weir_model_free(model);
        weir_buf_done(&artifact);
    }
}

/* The compiled form with any byte changed, and a digest that fits: it is refused, or scores something. */
static void signed_nonsense_does_no_harm(void **state) {
    (void)state;
    static const double row[] = {1, 3};
    weir_model *model = import(text);
    weir_buf file = {0};
    weir_err err;
    char message[WEIRSCORE_MESSAGE_MAX];
    uint64_t random = 9;
    int refused = 0;
    assert_int_equal(weir_scorer_compile(model, &file, &err), WEIR_OK);
    size_t room = (file.len + SCORE_ALIGN - 1) / SCORE_ALIGN * SCORE_ALIGN;
    for (size_t i = 0; i < 2 * file.len; i++) {
        uint8_t *copy = aligned_alloc(SCORE_ALIGN, room);
        weirscore *opened = NULL;
        double out[SCORE_OUTPUTS_MAX];
        assert_non_null(copy);
        memcpy(copy, file.data, file.len);
        copy[i % file.len] = (uint8_t)(uniform(&random) * 256);
        score_digest(copy, file.len, ((score_head *)(void *)copy)->digest);
        int code = weirscore_open_memory(copy, file.len, &opened, message, sizeof message);
        refused += code != 0;
        if (!code && weirscore_input_count(opened) == 2) (void)weirscore_score(opened, row, 1, out);
        weirscore_close(opened);
        free(copy);
    }
    assert_true(refused > 200);
    weir_buf_done(&file);
    weir_model_free(model);
}

static void memory_may_run_out(void **state) {
    (void)state;
    void *(*usual)(void *, size_t) = weir_mem.realloc;
    weir_status status = WEIR_ENOMEM;
    for (int n = 0; status; n++) {
        weir_buf artifact = {0};
        weir_err err;
        assert_true(n < 1000);
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_import_model(text, strlen(text), NULL, "", &artifact, &err);
        weir_mem.realloc = usual;
        if (status) assert_int_equal(artifact.len, 0);
        weir_buf_done(&artifact);
    }
}

static void columns_may_be_renamed(void **state) {
    (void)state;
    static const char *const names[] = {"x", "y", NULL}, *const one[] = {"x", NULL};
    weir_buf artifact = {0};
    weir_err err;
    assert_int_equal(weir_import_model(text, strlen(text), one, "", &artifact, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "1 columns are named, the model has 2"));
    assert_int_equal(weir_import_model(text, strlen(text), names, "", &artifact, &err), WEIR_OK);
    weir_model *model = NULL;
    assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_OK);
    assert_string_equal(weir_model_columns(model)[0], "x");
    weir_model_free(model);
    weir_buf_done(&artifact);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_are_those_worked_by_hand),
                                       cmocka_unit_test(damaged_texts_are_refused),
                                       cmocka_unit_test(texts_cut_or_changed_anywhere_do_no_harm),
                                       cmocka_unit_test(signed_nonsense_does_no_harm),
                                       cmocka_unit_test(memory_may_run_out),
                                       cmocka_unit_test(columns_may_be_renamed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
