/* Ensembles of trees: reading XGBoost's bodies, margins, and contributions against their definition. */
#include "fixture.h"

#include <stdlib.h>

#include "models/model_parts.h"
#include "models/trees.h"
#include "models/xgb_common.h"
#include "tests/unit/starve.h"
#include "tree_body.h"

/* cmocka compares float32. */
static void assert_near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("%.17g, expected %.17g", found, expected);
}

static fixture data;
static const double first_output[] = {0, 0};

static const weir_model_shape two_columns = {.column_count = 2, .task = WEIR_TASK_REGRESSION, .output_count = 1};

/* 4 where both columns are at least 1/2, else 0; of four training rows one came to each quarter. */
static raw_nodes conjunction(void) {
    raw_nodes t = {0};
    add_split(&t, 1, 2, 0, 0.5, true, 4);
    add_leaf(&t, 0, 2);
    add_split(&t, 3, 4, 1, 0.5, false, 2);
    add_leaf(&t, 0, 1);
    add_leaf(&t, 4, 1);
    return t;
}

static weir_trees *parse(const raw_nodes *raw, int count, const weir_model_shape *shape, const char *objective, const char *base) {
    weir_buf body = tree_body(raw, count, first_output, shape->column_count, objective, base);
    weir_trees *trees = NULL;
    weir_err err;
    if (weir_trees_parse(body.data, body.len, shape, &trees, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_buf_done(&body);
    return trees;
}

static void margins_are_base_and_leaves(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "1E1");
    const float rows[][2] = {{1, 1}, {0.5f, 0.5f}, {0.25f, 1}, {1, NAN}, {NAN, 1}};
    const float expected[] = {14, 14, 10, 14, 10};
    for (int r = 0; r < 5; r++) {
        float margin;
        weir_trees_margin(trees, rows[r], &margin);
        assert_true(margin == expected[r]);
    }
    assert_int_equal(trees->depth, 2);
    assert_int_equal(trees->link, WEIR_LINK_VALUE);
    assert_true(trees->trees[0].mean == 1);
    weir_trees_free(trees);
}

/* {2, 33} of column 0 goes right, to {0} of column 1; what is missing there goes right too. */
static raw_nodes sets(void) {
    raw_nodes t = {0};
    add_split(&t, 1, 2, 0, NAN, true, 4);
    add_leaf(&t, 1, 2);
    add_split(&t, 3, 4, 1, NAN, false, 2);
    add_leaf(&t, 10, 1);
    add_leaf(&t, 100, 1);
    add_set(&t, 0, (const double[]){2, 33}, 2);
    add_set(&t, 2, (const double[]){0}, 1);
    return t;
}

/* Numbers are cut to whole ones; below 0, from 2^24 on and beyond the largest known there is no category. */
static void categories_in_a_set_go_right(void **state) {
    (void)state;
    raw_nodes raw = sets();
    weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "0");
    const float rows[][2] = {{2, 0},     {33, 0},          {2.9f, -0.0f}, {2, -0.5f}, {2, 0.99f}, {2, NAN}, {2, 1},     {NAN, 0},
                             {1.99f, 0}, {16777216.0f, 0}, {34, 0},       {-2, 0},    {64, 0},    {1, 0},   {3e38f, 0}, {33, 4294967296.0f}};
    const float expected[] = {100, 100, 100, 10, 100, 100, 10, 1, 1, 1, 1, 1, 1, 1, 1, 10};
    for (size_t r = 0; r < sizeof expected / sizeof *expected; r++) {
        float margin;
        weir_trees_margin(trees, rows[r], &margin);
        if (margin != expected[r]) fail_msg("row %zu: %g, expected %g", r, (double)margin, (double)expected[r]);
    }
    assert_int_equal(trees->set_count, 2);
    assert_int_equal(trees->set_words, 3);
    weir_trees_thresholds thresholds;
    weir_err err;
    assert_int_equal(weir_trees_thresholds_of(trees, &thresholds, &err), WEIR_OK);
    assert_int_equal(thresholds.first[2], 0);
    weir_trees_thresholds_done(&thresholds);
    weir_trees_free(trees);
}

/* base_score is a score: the margin begins with what the link makes of it. */
static void objectives_have_links(void **state) {
    (void)state;
    static const struct {
        const char *objective, *base;
        weir_trees_link link;
        double margin;
    } known[] = {{"reg:squarederror", "3", WEIR_LINK_VALUE, 3},     {"reg:absoluteerror", "3", WEIR_LINK_VALUE, 3},
                 {"reg:pseudohubererror", "3", WEIR_LINK_VALUE, 3}, {"count:poisson", "3", WEIR_LINK_EXP, 1.0986123},
                 {"reg:tweedie", "3", WEIR_LINK_EXP, 1.0986123},    {"reg:gamma", "3", WEIR_LINK_EXP, 1.0986123}};
    raw_nodes raw = conjunction();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        weir_trees *trees = parse(&raw, 1, &two_columns, known[i].objective, known[i].base);
        assert_int_equal(trees->link, known[i].link);
        assert_near((double)trees->base, known[i].margin, 1e-6);
        weir_trees_free(trees);
    }
    weir_model_shape binary = two_columns;
    binary.task = WEIR_TASK_BINARY;
    weir_trees *trees = parse(&raw, 1, &binary, "binary:logistic", "7.5E-1"); /* ln 3 */
    assert_int_equal(trees->link, WEIR_LINK_LOGISTIC);
    assert_near((double)trees->base, 1.0986123, 1e-6);
    weir_trees_free(trees);
    trees = parse(&raw, 1, &binary, "reg:squarederror", "0");
    assert_int_equal(trees->link, WEIR_LINK_SHARES);
    weir_trees_free(trees);
}

/* By hand: nothing known 1; column 0 known to be 1, or column 1: 2; both: 4. Each gets half of (2 − 1) + (4 − 2). In row (0, 1): column 0 known: 0, column 1: 2, both: 0;
 * column 0 gets half of (0 − 1) + (0 − 2), column 1 half of (2 − 1) + (0 − 0). */
static void contributions_of_a_conjunction(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "0");
    double found[3];
    weir_err err;
    assert_int_equal(weir_trees_contributions(trees, (const float[]){1, 1}, found, &err), WEIR_OK);
    assert_near(found[0], 1.5, 1e-12);
    assert_near(found[1], 1.5, 1e-12);
    assert_near(found[2], 1, 1e-12);
    assert_int_equal(weir_trees_contributions(trees, (const float[]){0, 1}, found, &err), WEIR_OK);
    assert_near(found[0], -1.5, 1e-12);
    assert_near(found[1], 0.5, 1e-12);
    weir_trees_free(trees);
}

/* ---- against the definition ---- */

enum { MANY = 5, LEVELS = 5 };

/* A subtree of random splits; columns come again on the way down. Returns its cover. */
static double grow(raw_nodes *t, int depth, uint64_t *random) {
    int place = add_leaf(t, uniform(random) * 4 - 2, 1 + floor(uniform(random) * 9));
    if (depth == 0 || t->count > 50 || uniform(random) < 0.15) return t->of[5][place];
    bool missing_left = uniform(random) < 0.5;
    t->of[2][place] = floor(uniform(random) * MANY);
    t->of[3][place] = (float)uniform(random);
    t->of[4][place] = missing_left;
    t->of[0][place] = t->count;
    double left = grow(t, depth - 1, random);
    t->of[1][place] = t->count;
    double right = grow(t, depth - 1, random);
    return t->of[5][place] = left + right;
}

/* What the tree gives when only the columns of the set are known. */
static double value_of_set(const weir_tree *tree, int place, const float *row, unsigned known) {
    const weir_tree_node *n = &tree->nodes[place];
    if (weir_tree_is_leaf(n)) return (double)n->value;
    if (known >> n->column & 1) return value_of_set(tree, weir_tree_child(n, row[n->column]), row, known);
    double left = (double)tree->nodes[n->left].cover, right = (double)tree->nodes[n->right].cover;
    return (left * value_of_set(tree, n->left, row, known) + right * value_of_set(tree, n->right, row, known)) / (left + right);
}

/* Σ over sets S without the column of |S|! (n − |S| − 1)! / n! · (v(S with it) − v(S)). Source: Shapley, A value for n-person games, 1953. */
static double shapley(const weir_tree *tree, const float *row, int column) {
    static const double factorial[] = {1, 1, 2, 6, 24, 120};
    double sum = 0;
    for (unsigned set = 0; set < 1u << MANY; set++) {
        int size = __builtin_popcount(set);
        if (set >> column & 1) continue;
        double gain = value_of_set(tree, 0, row, set | 1u << column) - value_of_set(tree, 0, row, set);
        sum += factorial[size] * factorial[MANY - size - 1] / factorial[MANY] * gain;
    }
    return sum;
}

static void contributions_are_shapley_values(void **state) {
    (void)state;
    const weir_model_shape shape = {.column_count = MANY, .task = WEIR_TASK_REGRESSION, .output_count = 1};
    uint64_t random = 11;
    int repeated = 0;
    for (int round = 0; round < 60; round++) {
        raw_nodes raw[2] = {0};
        float row[MANY];
        double found[MANY + 1], sum = 0;
        weir_err err;
        grow(&raw[0], LEVELS, &random);
        grow(&raw[1], LEVELS, &random);
        weir_trees *trees = parse(raw, 2, &shape, "reg:squarederror", "2.5E-1");
        for (int c = 0; c < MANY; c++) row[c] = uniform(&random) < 0.2 ? NAN : (float)uniform(&random);
        assert_int_equal(weir_trees_contributions(trees, row, found, &err), WEIR_OK);
        for (int c = 0; c < MANY; c++) assert_near(found[c], shapley(&trees->trees[0], row, c) + shapley(&trees->trees[1], row, c), 1e-12);
        float margin;
        weir_trees_margin(trees, row, &margin);
        for (int c = 0; c <= MANY; c++) sum += found[c];
        assert_near(sum, (double)margin, 1e-5);
        for (int i = 1; i < trees->trees[0].node_count; i++) repeated += trees->trees[0].nodes[i].column == trees->trees[0].nodes[0].column;
        weir_trees_free(trees);
    }
    assert_true(repeated > 20); /* else the case of a column that is split twice was not tried */
}

/* Both sides without any training row: neither is more likely. */
static void branches_without_cover_count_alike(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    for (int i = 0; i < raw.count; i++) raw.of[5][i] = 0;
    weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "0");
    double found[3];
    weir_err err;
    assert_int_equal(weir_trees_contributions(trees, (const float[]){1, 1}, found, &err), WEIR_OK);
    assert_near(found[0] + found[1] + found[2], 4, 1e-12);
    assert_near(found[2], 1, 1e-12);
    weir_trees_free(trees);
}

/* ---- what XGBoost trained ---- */

static void margins_are_the_library_s_bits(void **state) {
    (void)state;
    static const char *const algorithms[] = {"xgboost", "random_forest"};
    const weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    static double scores[ROWS];
    for (int a = 0; a < 2; a++) {
        weir_model *model = fit_model(algorithms[a], quick(algorithms[a]), &matrix);
        const weir_trees *trees = NULL, *again = NULL;
        weir_err err;
        assert_int_equal(weir_model_trees(model, &trees, &err), WEIR_OK);
        assert_int_equal(weir_model_trees(model, &again, &err), WEIR_OK);
        assert_ptr_equal(trees, again);
        predict_all(model, &matrix, scores);
        for (int r = 0; r < ROWS; r++) {
            float row[COLUMNS], margin;
            for (int c = 0; c < COLUMNS; c++) row[c] = weir_xgb_narrow(matrix.values[r * COLUMNS + c]);
            weir_trees_margin(trees, row, &margin);
            assert_true((double)margin == scores[r]);
        }
        weir_model_free(model);
    }
}

/* ---- damage ---- */

static weir_status parse_status(const raw_nodes *raw, const weir_model_shape *shape, const char *objective, const char *base, weir_err *err) {
    weir_buf body = tree_body(raw, 1, first_output, 2, objective, base);
    weir_trees *trees = NULL;
    weir_status status = weir_trees_parse(body.data, body.len, shape, &trees, err);
    weir_trees_free(trees);
    weir_buf_done(&body);
    return status;
}

static void expect_damage(const raw_nodes *raw, const char *part) {
    weir_err err;
    assert_int_equal(parse_status(raw, &two_columns, "reg:squarederror", "0", &err), WEIR_EDATA);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
}

static void damaged_nodes_are_refused(void **state) {
    (void)state;
    const struct {
        int field, node;
        double value;
        const char *part;
    } spoilt[] = {{0, 2, 0, "reached twice"}, {0, 2, 1, "reached twice"}, {0, 2, 5, "not there"},       {1, 2, -1, "not there"},
                  {1, 2, 3.5, "not there"},   {1, 1, 2, "one child"},     {2, 0, 2, "splits a column"}, {3, 4, NAN, "finite"},
                  {7, 2, 1, "categories"},    {0, 0, 1e300, "not there"}, {2, 2, -1, "splits a column"}};
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        raw_nodes raw = conjunction();
        raw.of[spoilt[i].field][spoilt[i].node] = spoilt[i].value;
        expect_damage(&raw, spoilt[i].part);
    }
}

static void damaged_sets_are_refused_by_the_name_of_their_field(void **state) {
    (void)state;
    const struct {
        size_t field;
        int at;
        double value;
        const char *part;
    } spoilt[] = {{offsetof(raw_nodes, set_nodes), 0, 2, "number 1 of categories_nodes"},
                  {offsetof(raw_nodes, set_nodes), 0, 3, "number 0 of categories_nodes"},
                  {offsetof(raw_nodes, set_nodes), 1, 5, "number 1 of categories_nodes"},
                  {offsetof(raw_nodes, set_nodes), 1, NAN, "number 1 of categories_nodes"},
                  {offsetof(raw_nodes, set_nodes), 0, -1, "number 0 of categories_nodes"},
                  {offsetof(raw_nodes, set_first), 0, 1, "number 0 of categories_segments"},
                  {offsetof(raw_nodes, set_first), 1, -3, "number 1 of categories_segments"},
                  {offsetof(raw_nodes, set_first), 1, 1e300, "number 1 of categories_segments"},
                  {offsetof(raw_nodes, set_sizes), 0, 4, "number 0 of categories_sizes"},
                  {offsetof(raw_nodes, set_sizes), 1, 0, "number 1 of categories_sizes"},
                  {offsetof(raw_nodes, set_sizes), 1, 1e18, "number 1 of categories_sizes"},
                  {offsetof(raw_nodes, categories), 1, -1, "number 1 of categories"},
                  {offsetof(raw_nodes, categories), 2, 16777216, "number 2 of categories"},
                  {offsetof(raw_nodes, categories), 2, 0.5, "number 2 of categories"}};
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        raw_nodes raw = sets();
        ((double *)(void *)((char *)&raw + spoilt[i].field))[spoilt[i].at] = spoilt[i].value;
        expect_damage(&raw, spoilt[i].part);
    }
    raw_nodes raw = sets();
    raw.category_count++;
    expect_damage(&raw, "categories_sizes of tree 0 add up to 3, the tree has 4");
    raw = sets();
    raw.of[7][1] = 1;
    expect_damage(&raw, "node 1 of tree 0 has split_type 1 and is not among categories_nodes");
}

/* Scores do not depend on covers and gains; explanations do. */
static void trees_with_impossible_covers_score_and_are_not_explained(void **state) {
    (void)state;
    const struct {
        int field, node;
        double value;
    } spoilt[] = {{5, 0, INFINITY}, {5, 1, -1}, {6, 0, NAN}};
    const float row[] = {1, 1};
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        raw_nodes raw = conjunction();
        float margin;
        weir_err err;
        raw.of[spoilt[i].field][spoilt[i].node] = spoilt[i].value;
        weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "1E1");
        weir_trees_margin(trees, row, &margin);
        assert_true(margin == 14);
        assert_int_equal(weir_trees_check_explainable(trees, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, "tree 0"));
        weir_trees_free(trees);
    }
}

static void other_kinds_of_models_are_refused(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    weir_model_shape shape = two_columns;
    weir_err err;
    assert_int_equal(parse_status(&raw, &shape, "rank:pairwise", "0", &err), WEIR_EDATA);
    assert_int_equal(parse_status(&raw, &shape, "binary:logistic", "5E-1", &err), WEIR_EDATA); /* the task is a regression */
    assert_int_equal(parse_status(&raw, &shape, "reg:squarederror", "one", &err), WEIR_EDATA);
    shape.task = WEIR_TASK_BINARY;
    assert_int_equal(parse_status(&raw, &shape, "binary:logistic", "5E-1", &err), WEIR_OK);
    assert_int_equal(parse_status(&raw, &shape, "binary:logistic", "0", &err), WEIR_EDATA); /* log odds of 0 */
    shape.task = WEIR_TASK_REGRESSION;
    assert_int_equal(parse_status(&raw, &shape, "reg:gamma", "0", &err), WEIR_EDATA); /* its logarithm */
    shape.task = WEIR_TASK_BINARY;
    shape.column_count = 3;
    assert_int_equal(parse_status(&raw, &shape, "binary:logistic", "5E-1", &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "2 columns, the header 3"));
}

static void a_tree_for_an_output_that_is_not_there_is_refused(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    weir_buf body = tree_body(&raw, 1, (const double[]){1}, 2, "reg:squarederror", "0");
    weir_trees *trees = NULL;
    weir_err err;
    assert_int_equal(weir_trees_parse(body.data, body.len, &two_columns, &trees, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "outputs"));
    weir_buf_done(&body);
}

static void a_chain_of_splits_deeper_than_allowed_is_refused(void **state) {
    (void)state;
    enum { DEEP = WEIR_TREES_DEPTH_MAX + 2, NODES = 2 * DEEP + 1 };
    static double fields[TREE_FIELDS][NODES];
    weir_buf body = {0}, front = {0};
    raw_nodes raw = conjunction();
    for (int i = 0; i < DEEP; i++) {
        fields[0][2 * i] = 2 * i + 1;
        fields[1][2 * i] = 2 * i + 2;
    }
    for (int i = 1; i <= DEEP; i++) fields[0][2 * i - 1] = fields[1][2 * i - 1] = -1;
    fields[0][2 * DEEP] = fields[1][2 * DEEP] = -1;
    /* the front of a body with another tree, up to the tree */
    front = tree_body(&raw, 1, first_output, 2, "reg:squarederror", "0");
    const char *tree = memmem(front.data, front.len, "left_children", 13);
    assert_non_null(tree);
    body_bytes(&body, front.data, (size_t)(tree - front.data) - 9);
    for (int f = 0; f < TREE_FIELDS; f++) body_numbers(&body, tree_fields[f], fields[f], NODES);
    body_bytes(&body, "}}}}}", 5);
    weir_trees *trees = NULL;
    weir_err err;
    assert_int_equal(weir_trees_parse(body.data, body.len, &two_columns, &trees, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "too deep"));
    weir_buf_done(&front);
    weir_buf_done(&body);
}

static void nodes_that_were_pruned_are_left_out(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    add_leaf(&raw, 99, 1);
    weir_trees *trees = parse(&raw, 1, &two_columns, "reg:squarederror", "0");
    assert_int_equal(trees->trees[0].node_count, 5);
    weir_trees_free(trees);
}

static void a_body_that_ends_early_is_refused(void **state) {
    (void)state;
    raw_nodes raw = conjunction();
    weir_buf body = tree_body(&raw, 1, first_output, 2, "reg:squarederror", "0");
    for (size_t len = 0; len + 4 < body.len; len++) { /* the last four bytes only close objects */
        weir_trees *trees = NULL;
        weir_err err;
        char *cut = malloc(len + 1); /* of its own, so that reading on is seen */
        assert_non_null(cut);
        memcpy(cut, body.data, len);
        if (weir_trees_parse(cut, len, &two_columns, &trees, &err) != WEIR_EDATA) fail_msg("%zu of %zu bytes were taken", len, body.len);
        assert_null(trees);
        free(cut);
    }
    weir_buf_done(&body);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    raw_nodes raw = sets();
    weir_buf body = tree_body(&raw, 1, first_output, 2, "reg:squarederror", "0");
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0;
    for (; status != WEIR_OK && tries < 100; tries++) {
        weir_trees *trees = NULL;
        double found[3];
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = tries;
        status = weir_trees_parse(body.data, body.len, &two_columns, &trees, &err);
        if (status == WEIR_OK) status = weir_trees_contributions(trees, (const float[]){1, 1}, found, &err);
        weir_trees_free(trees);
        weir_mem = kept;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(tries > 10);
    weir_buf_done(&body);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins_are_base_and_leaves),
        cmocka_unit_test(categories_in_a_set_go_right),
        cmocka_unit_test(objectives_have_links),
        cmocka_unit_test(contributions_of_a_conjunction),
        cmocka_unit_test(contributions_are_shapley_values),
        cmocka_unit_test(branches_without_cover_count_alike),
        cmocka_unit_test(margins_are_the_library_s_bits),
        cmocka_unit_test(damaged_nodes_are_refused),
        cmocka_unit_test(damaged_sets_are_refused_by_the_name_of_their_field),
        cmocka_unit_test(trees_with_impossible_covers_score_and_are_not_explained),
        cmocka_unit_test(other_kinds_of_models_are_refused),
        cmocka_unit_test(a_tree_for_an_output_that_is_not_there_is_refused),
        cmocka_unit_test(a_chain_of_splits_deeper_than_allowed_is_refused),
        cmocka_unit_test(nodes_that_were_pruned_are_left_out),
        cmocka_unit_test(a_body_that_ends_early_is_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
