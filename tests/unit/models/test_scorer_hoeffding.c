/* Compiled Hoeffding trees: the bits of models/hoeffding.c, on rows of every kind and for whatever numbers a leaf holds; what is not in order in a file. */
#include "trainset_fixture.h"

#include "models/export.h"
#include "models/hoeffding.h"
#include "models/model_parts.h"
#include "models/random.h"
#include "models/scorer/internal.h"
#include "models/scorer_compile.h"
#include "models/scorer_gate.h"

static const char *const many_leaves = "{\"grace_period\": 40, \"tie_threshold\": 0.9}", *const one_leaf = "{\"max_depth\": 0}";
static const char *const tree_spec = "{\"algorithm\": \"hoeffding_tree\", \"params\": {\"grace_period\": 40, \"tie_threshold\": 0.9}}";

static fixture data;
static uint64_t random_state;

/* The tree of a model: it is changed here, and compiled once more. */
static weir_hoeffding *tree_of(const weir_model *model) {
    return (weir_hoeffding *)(uintptr_t)weir_model_inside(model).predictor;
}

static weir_scorer compiled(weir_model *model) {
    weir_scorer scorer = {0};
    weir_err err;
    if (weir_scorer_make(model, &scorer, &err)) fail_msg("%s", err.message);
    return scorer;
}

static const score_model *first_model(const weirscore *scorer) {
    return &scorer->models[0];
}

/* What a span of a file that is looked at as changeable leads to. */
static void *part(const weirscore *scorer, score_span span) {
    return (void *)(uintptr_t)score_at(scorer, span);
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

/* Rows go to the tree and to its compiled form as they are; how many scores were finite. */
static int expect_same(weir_model *model, const weirscore *scorer, const double *rows, int n) {
    enum { AT_MOST = 64 * CLASSES };
    weir_model_parts parts = weir_model_inside(model);
    double library[AT_MOST], alone[AT_MOST], together[AT_MOST];
    int outputs = parts.fitted.output_count, finite = 0;
    weir_err err;
    assert_true(n * outputs <= AT_MOST);
    assert_int_equal(parts.algorithm->predict(tree_of(model), rows, n, &parts.fitted, library, &err), WEIR_OK);
    score_fitted_rows(scorer, first_model(scorer), rows, (size_t)n, together);
    for (int r = 0; r < n; r++) score_fitted_rows(scorer, first_model(scorer), rows + r * parts.fitted.column_count, 1, alone + r * outputs);
    for (int i = 0; i < n * outputs; i++) {
        if (!same(library[i], alone[i]) || !same(library[i], together[i]))
            fail_msg("score %d: %.17g, alone %.17g, together %.17g", i, library[i], alone[i], together[i]);
        finite += isfinite(library[i]) != 0;
    }
    return finite;
}

/* ---- models that were trained ---- */

static int leaves_by_bayes(const weirscore *scorer) {
    const score_bayes_leaf *leaves = score_at(scorer, first_model(scorer)->leaves);
    int count = 0;
    for (uint64_t i = 0; i < first_model(scorer)->leaves.count; i++) count += leaves[i].bayes == 1;
    return count;
}

static void trained_trees_give_their_own_bits(void **state) {
    (void)state;
    for (int task = WEIR_TASK_BINARY; task <= WEIR_TASK_MULTICLASS; task++) {
        const weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
        weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
        const weirscore *scorer = weir_model_scorer(model);
        weir_gate_count count;
        weir_err err;
        assert_non_null(scorer);
        int leaves = (int)first_model(scorer)->leaves.count, bayes = leaves_by_bayes(scorer);
        assert_true(leaves > 8 && bayes > 0 && bayes < leaves);
        if (weir_scorer_gate(model, matrix.values, ROWS, &count, &err)) fail_msg("%s", err.message);
        assert_int_equal(count.training_rows, ROWS);
        assert_int_equal(count.thresholds, leaves - 1);
        assert_int_equal(count.splits, leaves - 1);
        for (int r = 0; r + 64 <= ROWS; r += 64) assert_true(expect_same(model, scorer, matrix.values + r * COLUMNS, 64) > 0);
        weir_model_free(model);
    }
}

/* Two classes of three and one rows in one column: N(0, 1), and nothing but 5. Worked by hand: with x = 5, log 3/4 − 25/2 against log 1/4. */
static void a_leaf_worked_by_hand(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *model = fit_model("hoeffding_tree", one_leaf, &matrix);
    weir_hoeffding *tree = tree_of(model);
    weir_hoeffding_leaf leaf = weir_hoeffding_leaf_of(tree, tree->nodes);
    leaf.right[0] = 1;
    leaf.right[1] = 2;
    for (int k = 0; k < 2; k++) leaf.own[k] = leaf.inherited[k] = k ? 0.5 : 1.5;
    for (int c = 0; c < COLUMNS; c++) leaf.range[2 * c] = leaf.range[2 * c + 1] = 0;
    leaf.range[0] = -1;
    leaf.range[1] = 5;
    leaf.observed[0] = (weir_hoeffding_normal){3, 0, 2};
    leaf.observed[1] = (weir_hoeffding_normal){1, 5, 0};
    weir_scorer scorer = compiled(model);
    const struct { double x, score; } cases[] = {{0, 0}, {5, 1 / (1 + 3 * exp(-12.5))}, {NAN, 0.25}, {-1e300, 0.25 /* no class is likely */}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double row[COLUMNS] = {cases[i].x, 1, 2, 3, 4}, score;
        assert_int_equal(weirscore_score(scorer.model, row, 1, &score), WEIRSCORE_OK);
        assert_true(fabs(score - cases[i].score) < 1e-15);
        expect_same(model, scorer.model, row, 1);
    }
    assert_int_equal(first_model(scorer.model)->columns.count, 1);
    weir_scorer_done(&scorer);
    weir_model_free(model);
}

/* ---- whatever stands in a leaf ---- */

static double pick(const double *values, size_t count) {
    return values[weir_models_random_below(&random_state, count)];
}
#define PICK(...) pick((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static double some_number(void) {
    double x = 2 * uniform(&random_state) - 1;
    return uniform(&random_state) < 0.6 ? x : PICK(0, -0.0, 1, 1e-310, -1e-310, 1e-160, 1e160, -1e160, 1.7e308, -1.7e308, x * 1e9);
}

static void scribble(const weir_hoeffding *t, weir_hoeffding_leaf leaf) {
    leaf.right[0] = PICK(0, 1);
    leaf.right[1] = PICK(0, 1, 1, 2);
    for (int k = 0; k < t->k; k++) {
        leaf.inherited[k] = uniform(&random_state) < 0.3 ? 0 : fabs(some_number());
        leaf.own[k] = uniform(&random_state) < 0.3 ? 0 : uniform(&random_state) < 0.03 ? some_number() : fabs(some_number());
    }
    for (int c = 0; c < t->p; c++) {
        leaf.range[2 * c] = PICK(0, -1, 1);
        leaf.range[2 * c + 1] = PICK(0, 1, 2);
        for (int k = 0; k < t->k; k++)
            leaf.observed[c * t->k + k] =
                (weir_hoeffding_normal){PICK(0, 0.5, 1, 1.0000000000000002, 2, 77, 1e300, -1), some_number(), PICK(0, 0, 5e-324, 1, 3, 1e-200, 1.7e308, -1)};
    }
}

/* Near the means and splits of the tree, so that something is likely now and then. */
static double value_of(const weir_hoeffding *t, int column) {
    const weir_hoeffding_node *n = &t->nodes[weir_models_random_below(&random_state, (uint64_t)t->count)];
    double kind = uniform(&random_state);
    if (kind < 0.1) return NAN;
    if (kind < 0.4) return some_number();
    if (n->left > 0) return n->threshold;
    double mean = weir_hoeffding_leaf_of(t, n).observed[column * t->k + (int)weir_models_random_below(&random_state, (uint64_t)t->k)].mean;
    return kind < 0.7 ? mean : nextafter(mean, PICK(-1e308, 1e308));
}

static void whatever_a_leaf_holds(void **state) {
    (void)state;
    enum { ROUNDS = 200, TRIED = 64 };
    int finite = 0, bayes = 0;
    random_state = 3;
    for (int task = WEIR_TASK_BINARY; task <= WEIR_TASK_MULTICLASS; task++) {
        const weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
        weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
        weir_hoeffding *t = tree_of(model);
        for (int round = 0; round < ROUNDS; round++) {
            double rows[TRIED * COLUMNS];
            for (int i = 0; i < t->count; i++)
                if (t->nodes[i].left == 0) scribble(t, weir_hoeffding_leaf_of(t, &t->nodes[i]));
            for (int i = 0; i < TRIED * COLUMNS; i++) rows[i] = value_of(t, i % COLUMNS);
            weir_scorer scorer = compiled(model);
            finite += expect_same(model, scorer.model, rows, TRIED);
            bayes += leaves_by_bayes(scorer.model);
            weir_scorer_done(&scorer);
        }
        weir_model_free(model);
    }
    assert_true(finite > ROUNDS * TRIED && bayes > ROUNDS);
}

/* A body may have children anywhere behind their parent, both sides the same, or nodes that nothing leads to. */
static void children_may_stand_anywhere_behind(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
    weir_hoeffding *t = tree_of(model);
    random_state = 4;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < t->count; i++) {
            weir_hoeffding_node *n = &t->nodes[i];
            if (n->left == 0) continue;
            n->left = i + 1 + (double)weir_models_random_below(&random_state, (uint64_t)(t->count - 1 - i));
            n->right = i + 1 + (double)weir_models_random_below(&random_state, (uint64_t)(t->count - 1 - i));
            n->missing_left = PICK(0, 1);
        }
        weir_scorer scorer = compiled(model);
        expect_same(model, scorer.model, matrix.values + 64 * (round % 30) * COLUMNS, 64);
        weir_scorer_done(&scorer);
    }
    weir_model_free(model);
}

/* ---- the gate ---- */

typedef enum change { THRESHOLD_ABOVE, THRESHOLD_BELOW, MISSING, SIDES, SHARE, LOG_SHARE, MEAN, VARIANCE, LOG_VARIANCE, LOOKED_AT, BY_SHARES, CHANGES } change;

static void change_by_a_bit(const weirscore *scorer, change what) {
    const score_model *m = first_model(scorer);
    score_bayes_node *root = part(scorer, m->nodes);
    score_bayes_leaf *leaf = part(scorer, m->leaves);
    while (what == SHARE ? leaf->bayes : !leaf->column_count) leaf++;
    double *numbers = (double *)part(scorer, m->numbers) + leaf->first_number;
    uint32_t *columns = (uint32_t *)part(scorer, m->columns) + leaf->first_column, left = root->left;
    switch (what) {
    case THRESHOLD_ABOVE: root->threshold = nextafter(root->threshold, INFINITY); break;
    case THRESHOLD_BELOW: root->threshold = nextafter(root->threshold, -INFINITY); break;
    case MISSING: root->missing ^= root->left ^ root->right; break;
    case SIDES: root->left = root->right, root->right = left; break;
    case SHARE: numbers[1] *= 1 + 1e-15; break;
    case LOG_SHARE: numbers[2] *= 1 + 1e-15; break;
    case MEAN: numbers[4] *= 1 + 1e-15; break;
    case VARIANCE: numbers[6] *= 1 + 1e-15; break;
    case LOG_VARIANCE: numbers[8] *= 1 + 1e-15; break;
    case LOOKED_AT: columns[0]++; break;
    default: leaf->bayes = 0; break;
    }
}

static void the_gate_refuses_a_tree_that_differs_by_a_bit(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    for (change what = 0; what < CHANGES; what++) {
        weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
        weir_gate_count count;
        weir_err err;
        assert_int_equal(weir_scorer_gate(model, matrix.values, ROWS, &count, &err), WEIR_OK);
        change_by_a_bit(weir_model_scorer(model), what);
        if (weir_scorer_gate(model, matrix.values, ROWS, &count, &err) != WEIR_EDATA) fail_msg("change %d passed", (int)what);
        assert_non_null(strstr(err.message, "hoeffding_tree itself gives"));
        weir_model_free(model);
    }
}

/* ---- files ---- */

typedef enum damage {
    SELF_CHILD,
    CHILD_BEYOND,
    RIGHT_BEFORE,
    MISSING_ELSEWHERE,
    COLUMN_BEYOND,
    THRESHOLD_NAN,
    LEAF_BEYOND,
    NUMBERS_BEYOND,
    NUMBERS_FAR_BEYOND,
    COLUMNS_BEYOND,
    MANY_COLUMNS,
    NO_FLAG,
    LEAF_COLUMN_BEYOND,
    NO_NODES,
    FEWER_NUMBERS,
    OUTSIDE,
    A_REGRESSION,
    DAMAGES
} damage;

static void damage_file(const weirscore *scorer, damage what) {
    score_model *m = (score_model *)(uintptr_t)first_model(scorer);
    score_bayes_node *nodes = part(scorer, m->nodes), *split = &nodes[0], *end = &nodes[m->nodes.count - 1];
    score_bayes_leaf *leaves = part(scorer, m->leaves), *leaf = &leaves[m->leaves.count - 1];
    assert_true(split->left && !end->left);
    switch (what) {
    case SELF_CHILD: nodes[split->left] = (score_bayes_node){.left = split->left, .right = split->left, .missing = split->left}; break;
    case CHILD_BEYOND: split->missing = split->left = (uint32_t)m->nodes.count; break;
    case RIGHT_BEFORE: split->right = 0; break;
    case MISSING_ELSEWHERE: split->missing = split->right + 1; break;
    case COLUMN_BEYOND: split->column = m->fitted_count; break;
    case THRESHOLD_NAN: split->threshold = NAN; break;
    case LEAF_BEYOND: end->leaf = (uint32_t)m->leaves.count; break;
    case NUMBERS_BEYOND: leaf->first_number++; break;
    case NUMBERS_FAR_BEYOND: leaf->first_number = UINT64_MAX; break;
    case COLUMNS_BEYOND: leaf->first_column = m->columns.count + 1; break;
    case MANY_COLUMNS: leaf->bayes = 1, leaf->column_count = UINT32_MAX; break;
    case NO_FLAG: leaf->bayes = 2; break;
    case LEAF_COLUMN_BEYOND: ((uint32_t *)part(scorer, m->columns))[0] = m->fitted_count; break;
    case NO_NODES: m->nodes.count = 0; break;
    case FEWER_NUMBERS: m->numbers.count--; break;
    case OUTSIDE: m->leaves.count = UINT64_C(1) << 60; break;
    default: m->task = SCORE_REGRESSION; break;
    }
}

static void what_is_not_in_order_in_a_file_is_refused(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
    for (damage what = 0; what < DAMAGES; what++) {
        weir_scorer scorer = compiled(model);
        char message[WEIRSCORE_MESSAGE_MAX] = "";
        weirscore *opened = NULL;
        uint8_t *bytes = (uint8_t *)(uintptr_t)scorer.model->bytes;
        damage_file(scorer.model, what);
        score_digest(bytes, scorer.len, ((score_head *)(void *)bytes)->digest);
        if (weirscore_open_memory(bytes, scorer.len, &opened, message, sizeof message) != WEIRSCORE_DAMAGED) fail_msg("damage %d passed", (int)what);
        assert_non_null(strstr(message, "model 0: "));
        assert_null(opened);
        weir_scorer_done(&scorer);
    }
    weir_model_free(model);
}

static uint32_t version_of(const weir_model *model) {
    return weir_model_scorer(model)->head->version;
}

static void a_file_with_such_a_tree_has_a_version_of_its_own(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_BINARY);
    weir_model *tree = fit_model("hoeffding_tree", NULL, &matrix), *other = fit_model("logistic", NULL, &matrix);
    assert_int_equal(version_of(tree), 3);
    assert_int_equal(version_of(other), 1);
    weir_model_free(tree);
    weir_model_free(other);
}

static void an_exported_file_scores_as_the_model_does(void **state) {
    (void)state;
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    static double expected[ROWS * CLASSES], found[ROWS * CLASSES];
    weir_model *model = fit_model("hoeffding_tree", many_leaves, &matrix);
    weir_buf file = {0};
    weir_err err;
    char message[WEIRSCORE_MESSAGE_MAX];
    weirscore *opened = NULL;
    assert_int_equal(weir_model_export(model, WEIR_EXPORT_SCORE, &file, &err), WEIR_OK);
    void *copy = aligned_alloc(SCORE_ALIGN, (file.len + SCORE_ALIGN - 1) / SCORE_ALIGN * SCORE_ALIGN);
    assert_non_null(copy);
    memcpy(copy, file.data, file.len);
    assert_int_equal(weirscore_open_memory(copy, file.len, &opened, message, sizeof message), WEIRSCORE_OK);
    if (weir_model_predict_by_library(model, matrix.values, ROWS, expected, &err)) fail_msg("%s", err.message);
    assert_int_equal(weirscore_score(opened, matrix.values, ROWS, found), WEIRSCORE_OK);
    assert_memory_equal(found, expected, sizeof found);
    assert_int_equal(weir_model_export(model, WEIR_EXPORT_ONNX, &file, &err), WEIR_EINVAL);
    weirscore_close(opened);
    free(copy);
    weir_buf_done(&file);
    weir_model_free(model);
}

/* ---- members ---- */

static void members_of_ensembles_are_compiled(void **state) {
    (void)state;
    static const char *const kinds[] = {"average", "weighted", "stacking"};
    static const weir_split blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 3};
    const weir_fit_options options = {.split = &blocks, .seed = 1, .threads = 1};
    for (int i = 0; i < 6; i++) {
        weir_task task = i % 2 ? WEIR_TASK_MULTICLASS : WEIR_TASK_BINARY;
        weir_trainset set = fixture_set(&data, task, 0, ROWS, false);
        char text[512];
        weir_gate_count count;
        weir_err err;
        snprintf(text, sizeof text, "{\"ensemble\": \"%s\", \"members\": [%s, {\"algorithm\": \"logistic\", \"preprocessing\": [{\"impute\": \"mean\"}]}]}",
                 kinds[i / 2], tree_spec);
        weir_model *model = spec_model(text, &set, &options);
        assert_non_null(weir_model_scorer(model));
        assert_int_equal(version_of(model), 3);
        if (weir_scorer_gate(model, set.matrix.values, ROWS, &count, &err)) fail_msg("%s: %s", text, err.message);
        assert_true(count.thresholds > 8 && count.splits == count.thresholds);
        weir_model_free(model);
        weir_trainset_done(&set);
    }
}

static int set_up(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_trees_give_their_own_bits),
        cmocka_unit_test(a_leaf_worked_by_hand),
        cmocka_unit_test(whatever_a_leaf_holds),
        cmocka_unit_test(children_may_stand_anywhere_behind),
        cmocka_unit_test(the_gate_refuses_a_tree_that_differs_by_a_bit),
        cmocka_unit_test(what_is_not_in_order_in_a_file_is_refused),
        cmocka_unit_test(a_file_with_such_a_tree_has_a_version_of_its_own),
        cmocka_unit_test(an_exported_file_scores_as_the_model_does),
        cmocka_unit_test(members_of_ensembles_are_compiled),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
