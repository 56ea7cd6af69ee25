/* Learners of streams: what they learn, and that going on from an artifact is as if the rows had come at once. */
#include "fixture.h"

#include <stdlib.h>

#include "models/random.h"
#include "tests/unit/starve.h"

#define SKLEARN_TREE 0.898

static fixture data;
static const char *const names[] = {"a", "b", "c"};

/* cmocka's own comparison is one of floats. */
static void expect_near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g, expected %.17g", value, expected);
}

/* ---- against other programs ---- */

enum { SMALL = 200 };
static double small_x[SMALL * 3], small_label[SMALL], small_target[SMALL], small_weight[SMALL];

/* The same numbers as those that the oracles below were computed on. */
static void make_small(void) {
    uint64_t random = 3;
    for (int r = 0; r < SMALL; r++) {
        double *x = small_x + 3 * r;
        for (int c = 0; c < 3; c++) x[c] = 2 * uniform(&random) - 1;
        double eta = 3 * x[0] - 2 * x[1] + 0.5;
        small_label[r] = uniform(&random) < 1 / (1 + exp(-eta));
        small_target[r] = eta + uniform(&random) - 0.5;
        small_weight[r] = 0.5 + uniform(&random);
    }
}

/* Coefficients and intercept, read from the scores of the unit rows and of 0. */
static void expect_coefficients(const char *algorithm, const char *params, weir_task task, bool weighted, const double expected[4]) {
    static const double asked[] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    const weir_matrix train = {.row_count = SMALL,
                               .column_count = 3,
                               .values = small_x,
                               .label = task == WEIR_TASK_BINARY ? small_label : small_target,
                               .column_names = names,
                               .weight = weighted ? small_weight : NULL,
                               .task = task};
    double score[4];
    weir_err err;
    weir_model *model = fit_model(algorithm, params, &train);
    assert_int_equal(weir_model_predict(model, asked, 4, score, &err), WEIR_OK);
    for (int i = 0; i < 4 && task == WEIR_TASK_BINARY; i++) score[i] = log(score[i] / (1 - score[i]));
    for (int i = 0; i < 3; i++) expect_near(score[i] - score[3], expected[i], 1e-12);
    expect_near(score[3], expected[3], 1e-12);
    weir_model_free(model);
}

/* scikit-learn 1.x on the same rows: SGDClassifier(loss="log_loss") and SGDRegressor(loss="squared_error") with penalty="l2", shuffle=False, max_iter=1, tol=None and
 * learning_rate="constant", eta0=0.05, alpha=0.01; or learning_rate="invscaling", eta0=0.5, power_t=0.25, alpha=0.001; with sample_weight where `weighted`. */
static void gradient_descent_takes_the_steps_of_scikit_learn(void **state) {
    (void)state;
    const char *const constant = "{\"schedule\": \"constant\", \"rate\": 0.05, \"l2\": 0.01, \"standardise\": false}";
    const char *const scaled = "{\"schedule\": \"inverse_scaling\", \"rate\": 0.5, \"power\": 0.25, \"l2\": 0.001, \"standardise\": false}";
    const struct {
        const char *params;
        weir_task task;
        bool weighted;
        double expected[4];
    } cases[] = {
        {constant, WEIR_TASK_BINARY, false, {1.0827831277017703, -0.48162198739264839, -0.10002568614533595, 0.39976331131978737}},
        {constant, WEIR_TASK_REGRESSION, false, {2.8751476774562854, -1.8263138355448505, 0.020670716108849015, 0.41409059285243294}},
        {constant, WEIR_TASK_BINARY, true, {1.0779323896658057, -0.47863252843458381, -0.14288303258444826, 0.40366618572682744}},
        {constant, WEIR_TASK_REGRESSION, true, {2.8510533514179692, -1.8205330470327681, 0.023217605766854693, 0.40812356832036151}},
        {scaled, WEIR_TASK_BINARY, false, {2.2082582609441799, -1.0598871976731277, -0.27492863027722442, 0.77005455082529006}},
        {scaled, WEIR_TASK_REGRESSION, false, {3.0294645358684327, -1.9806323982660543, 0.0099372345179234867, 0.3728447640613769}},
        {scaled, WEIR_TASK_BINARY, true, {2.2090898415154219, -1.0799740471572425, -0.35690638343171388, 0.73000833889291228}},
        {scaled, WEIR_TASK_REGRESSION, true, {3.0225819104409264, -1.9997054769326761, 0.02368617529050282, 0.34869233973441466}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_coefficients("sgd", cases[i].params, cases[i].task, cases[i].weighted, cases[i].expected);
}

/* A numpy implementation of McMahan et al. 2013, algorithm 1, written for this test: w made from z and n before each row, as there; the intercept without l1 and l2. */
static void ftrl_takes_the_steps_of_its_paper(void **state) {
    (void)state;
    expect_coefficients("ftrl", "{\"alpha\": 0.3, \"standardise\": false}", WEIR_TASK_BINARY, false,
                        (double[]){1.6613126472020809, -0.81748282279211315, -0.21044647807248176, 0.42500312363379977});
    expect_coefficients("ftrl", "{\"alpha\": 0.3, \"l1\": 3, \"l2\": 0.5, \"standardise\": false}", WEIR_TASK_BINARY, true,
                        (double[]){1.3969101849199237, -0.56743802098184326, -0.042035612944282527, 0.4209883752531689});
    expect_coefficients("ftrl", "{\"alpha\": 0.3, \"l1\": 0.2, \"l2\": 0.1, \"standardise\": false}", WEIR_TASK_REGRESSION, false,
                        (double[]){2.8002916239992723, -1.8252126368670363, 0, 0.44311444529137295});
}

/* Two rows, rate 1, adagrad, no penalty, by hand: p = 1/2, slope −1/2: with n = g² each coordinate moves by exactly the rate against its sign: w = 1, b = 1. Then η = −2 + 1 = −1
 * for x = −2 with label 0: slope σ(−1) = s, g_w = −2 s, g_b = s: w = 1 + 2 s / √(1 + 4 s²) (with g = ½ · 2 = 1 before), b = 1 − s / √(¼ + s²). */
static void adagrad_is_as_worked_by_hand(void **state) {
    (void)state;
    const double x[] = {2, -2}, y[] = {1, 0}, asked[] = {0, 1};
    const weir_matrix train = {.row_count = 2, .column_count = 1, .values = x, .label = y, .column_names = names};
    double s = 1 / (1 + exp(1.0)), w = 1 + 2 * s / sqrt(1 + 4 * s * s), b = 1 - s / sqrt(0.25 + s * s), score[2];
    weir_err err;
    weir_model *model = fit_model("sgd", "{\"rate\": 1, \"l2\": 0, \"standardise\": false}", &train);
    assert_int_equal(weir_model_predict(model, asked, 2, score, &err), WEIR_OK);
    expect_near(score[0], 1 / (1 + exp(-b)), 1e-14);
    expect_near(score[1], 1 / (1 + exp(-b - w)), 1e-14);
    weir_model_free(model);
}

/* ---- going on ---- */

static void for_each_learner(void (*check)(const weir_algorithm *algorithm, const weir_matrix *matrix)) {
    int learners = 0;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int task = 0; (*a)->learn && task < WEIR_TASK_COUNT; task++) {
            if (!weir_algorithm_can(*a, (weir_task)task)) continue;
            weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
            check(*a, &matrix);
            learners++;
        }
    assert_int_equal(learners, 8);
}

static weir_matrix slice(const weir_matrix *m, int64_t from, int64_t to) {
    weir_matrix part = *m;
    part.row_count = to - from;
    part.values += from * m->column_count;
    part.label += from;
    if (m->weight) part.weight += from;
    return part;
}

/* Takes the artifact. */
static weir_buf go_on(weir_buf artifact, const weir_matrix *more) {
    weir_buf next = {0};
    weir_err err;
    if (weir_model_continue(artifact.data, artifact.len, more, &next, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_buf_done(&artifact);
    return next;
}

static void check_parts(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    static double weight[ROWS], once[ROWS * CLASSES], parts[ROWS * CLASSES];
    weir_matrix weighted = *matrix;
    for (int r = 0; r < ROWS; r++) weight[r] = r % 3;
    weighted.weight = weight;
    weir_buf whole = fit_artifact(algorithm->name, NULL, &weighted, 1, 1);
    weir_matrix first = slice(&weighted, 0, 700), second = slice(&weighted, 700, 701), none = slice(&weighted, 701, 701), last = slice(&weighted, 701, ROWS);
    weir_buf artifact = fit_artifact(algorithm->name, NULL, &first, 1, 1);
    artifact = go_on(go_on(go_on(artifact, &second), &none), &last);
    weir_model *a = load_artifact(&whole), *b = load_artifact(&artifact);
    predict_all(a, &weighted, once);
    predict_all(b, &weighted, parts);
    assert_memory_equal(once, parts, (size_t)ROWS * (size_t)weir_model_output_count(a) * sizeof(double));
    /* the header has one key more, however often it went on: ,"continues":"<64>" */
    assert_int_equal(artifact.len, whole.len + 79);
    weir_model_free(a);
    weir_model_free(b);
    weir_buf_done(&whole);
    weir_buf_done(&artifact);
}

static void rows_in_parts_give_what_they_give_at_once(void **state) {
    (void)state;
    for_each_learner(check_parts);
}

static void the_header_says_what_was_continued_and_parts_give_the_bytes_of_the_whole(void **state) {
    (void)state;
    weir_matrix first = slice(&data.matrix, 0, 500), second = slice(&data.matrix, 500, 600), third = slice(&data.matrix, 600, 650),
                both = slice(&data.matrix, 500, 650);
    weir_buf artifact = fit_artifact("ftrl", "{\"alpha\": 0.25}", &first, 9007199254740993, 1), next = {0};
    weir_err err;
    weir_model *model = load_artifact(&artifact), *more = NULL;
    char part[100];
    assert_int_equal(weir_model_continue(artifact.data, artifact.len, &second, &next, &err), WEIR_OK);
    snprintf(part, sizeof part, "\"continues\":\"%s\"}", weir_model_digest(model));
    assert_non_null(memmem(next.data, next.len, part, strlen(part)));
    assert_non_null(memmem(next.data, next.len, "9007199254740993", 16)); /* no digit of the seed is lost */
    assert_non_null(memmem(next.data, next.len, "\"alpha\":0.25", 12));
    more = load_artifact(&next);
    assert_string_not_equal(weir_model_digest(more), weir_model_digest(model));
    next = go_on(next, &third); /* it is still the fitted one that is named: */
    assert_non_null(memmem(next.data, next.len, part, strlen(part)));
    artifact = go_on(artifact, &both);
    assert_int_equal(next.len, artifact.len); /* so parts give the bytes of the whole */
    assert_memory_equal(next.data, artifact.data, next.len);
    weir_model_free(model);
    weir_model_free(more);
    weir_buf_done(&artifact);
    weir_buf_done(&next);
}

static void expect_refusal(const weir_buf *artifact, const weir_matrix *more, weir_status expected, const char *part) {
    weir_buf next = {0};
    weir_err err;
    assert_int_equal(weir_model_continue(artifact->data, artifact->len, more, &next, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(next.len, 0);
}

static void rows_that_do_not_belong_to_the_model_are_refused(void **state) {
    (void)state;
    static const char *const other[COLUMNS] = {"amount", "noise", "rate", "gaps", "constant"};
    static double weight[ROWS] = {1, -1};
    weir_buf artifact = fit_artifact("sgd", NULL, &data.matrix, 1, 1), fixed = fit_artifact("logistic", NULL, &data.matrix, 1, 1);
    weir_matrix m = data.matrix;
    expect_refusal(&fixed, &m, WEIR_EINVAL, "algorithm logistic cannot go on learning");
    m.column_names = other;
    expect_refusal(&artifact, &m, WEIR_EINVAL, "column 1 of the rows is 'noise', the model's is 'rate'");
    m = data.matrix, m.column_count = 4;
    expect_refusal(&artifact, &m, WEIR_EINVAL, "the rows have 4 columns, the model 5");
    m = fixture_matrix(&data, WEIR_TASK_REGRESSION);
    expect_refusal(&artifact, &m, WEIR_EINVAL, "the rows are for a regression task");
    m = data.matrix, m.label = data.target;
    expect_refusal(&artifact, &m, WEIR_EDATA, "label of row 0");
    m = data.matrix, m.weight = weight;
    expect_refusal(&artifact, &m, WEIR_EDATA, "weight of row 1");
    artifact.data[artifact.len - 1] ^= 1;
    expect_refusal(&artifact, &data.matrix, WEIR_EDATA, "checksum");
    weir_buf_done(&artifact);
    weir_buf_done(&fixed);
    weir_matrix classes = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    artifact = fit_artifact("ftrl", NULL, &classes, 1, 1);
    classes.class_count = CLASSES + 1;
    expect_refusal(&artifact, &classes, WEIR_EINVAL, "with 4 classes, the model's is multiclass with 3");
    weir_buf_done(&artifact);
}

/* A stream may bring one class alone for a while. The fitted preprocessing stays what it was. */
static void a_chain_is_applied_as_it_was_fitted_and_classes_may_be_missing(void **state) {
    (void)state;
    static double label[ROWS], x[ROWS * COLUMNS], scores[2];
    cJSON *chain = cJSON_Parse("[{\"impute\": \"mean\"}, {\"scale\": \"standard\"}]");
    weir_buf artifact = {0};
    weir_err err;
    if (weir_model_fit("sgd", NULL, chain, &data.matrix, NULL, 1, 1, &artifact, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_model *before = load_artifact(&artifact);
    for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = 40;
    weir_matrix more = data.matrix;
    more.label = label; /* 0 for each row at one place, far from all others */
    more.values = x;
    artifact = go_on(artifact, &more);
    weir_model *after = load_artifact(&artifact);
    assert_int_equal(weir_model_predict(before, x, 1, &scores[0], &err), WEIR_OK);
    assert_int_equal(weir_model_predict(after, x, 1, &scores[1], &err), WEIR_OK);
    assert_true(scores[0] > 0.9 && scores[1] < 0.1);
    weir_model_free(before);
    weir_model_free(after);
    weir_buf_done(&artifact);
    cJSON_Delete(chain);
}

static void check_starving(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    weir_matrix first = slice(matrix, 0, 300), second = slice(matrix, 300, ROWS);
    weir_buf artifact = fit_artifact(algorithm->name, NULL, &first, 1, 1);
    weir_allocator real = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status == WEIR_ENOMEM; n++) {
        weir_buf next = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_model_continue(artifact.data, artifact.len, &second, &next, NULL);
        weir_mem = real;
        weir_buf_done(&next);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 5);
    weir_buf_done(&artifact);
}

static void memory_that_runs_out_while_going_on_is_an_error(void **state) {
    (void)state;
    for_each_learner(check_starving);
}

/* A body comes from a file: whatever stands in it, it loads and scores, or is refused. */
static void check_bodies(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    weir_model_shape shape = {COLUMNS, matrix->task, matrix->task == WEIR_TASK_MULTICLASS ? CLASSES : 1};
    weir_buf body = {0};
    weir_err err;
    double scores[CLASSES];
    uint64_t random = 5;
    char params[256] = {0};
    assert_int_equal(weir_conf_defaults(algorithm->params, params, &err), WEIR_OK);
    assert_int_equal(algorithm->fit(params, matrix, 1, 1, &body, &err), WEIR_OK);
    for (size_t i = 0; i < 3000; i++) {
        void *predictor = NULL;
        weir_buf bad = {0};
        assert_true(weir_buf_append(&bad, body.data, body.len));
        const double kinds[] = {NAN, INFINITY, -1, 0, 1e300, 3}, put = kinds[i % 6];
        size_t at = 8 + 8 * weir_models_random_below(&random, i < 1500 && body.len > 900 ? 100 : (body.len - 8) / 8);
        memcpy(bad.data + at, &put, sizeof put);
        weir_status status = algorithm->load(bad.data, bad.len, &shape, &predictor, &err);
        if (status == WEIR_OK) {
            assert_true(isfinite(put));
            assert_int_equal(algorithm->predict(predictor, data.values, 1, &shape, scores, &err), WEIR_OK);
            algorithm->unload(predictor);
        } else {
            assert_int_equal(status, WEIR_EDATA);
        }
        assert_int_equal(algorithm->load(bad.data, weir_models_random_below(&random, body.len), &shape, &predictor, &err), WEIR_EDATA);
        weir_buf_done(&bad);
    }
    weir_buf_done(&body);
}

static void a_body_with_anything_in_it_loads_or_is_refused(void **state) {
    (void)state;
    for_each_learner(check_bodies);
}

/* ---- Hoeffding trees ---- */

/* Two groups around ∓1, 0.05 apart from their middle, so far from each other that between them normal distributions leave nothing on the wrong side: the gain of the third threshold,
 * −1.05 + 3 · 2.1 / 11, is exactly 1 bit; the second best, no split, has 0. With n = 200, ε = √(ln(1/δ) / 400) is below 1 for δ = 1e-173 (398.35) and above for 1e-174 (400.65). */
static double node_count(const char *params, int rows, double *ret_threshold) {
    static double x[400 * 2], y[400];
    for (int r = 0; r < rows; r++) {
        y[r] = r % 2;
        x[2 * r] = 7; /* a column that does not vary is never chosen */
        x[2 * r + 1] = (r % 2 ? 1 : -1) + (r / 2 % 2 ? 0.05 : -0.05);
    }
    const weir_matrix train = {.row_count = rows, .column_count = 2, .values = x, .label = y, .column_names = names};
    weir_buf artifact = fit_artifact("hoeffding_tree", params, &train, 1, 1);
    const char *body = memmem(artifact.data, artifact.len, "HOEFFD01", 8);
    double count, column;
    assert_non_null(body);
    memcpy(&count, body + 8, sizeof count);
    memcpy(&column, body + 16, sizeof column);
    memcpy(ret_threshold, body + 24, sizeof *ret_threshold);
    if (count > 1) assert_true(column == 1);
    weir_buf_done(&artifact);
    return count;
}

static void a_leaf_splits_when_the_bound_says_so(void **state) {
    (void)state;
    double threshold;
    assert_true(node_count("{\"delta\": 1e-173, \"tie_threshold\": 0}", 199, &threshold) == 1); /* within the grace period */
    assert_true(node_count("{\"delta\": 1e-173, \"tie_threshold\": 0}", 200, &threshold) == 3);
    expect_near(threshold, -1.05 + 3 * 2.1 / 11, 1e-12);
    assert_true(node_count("{\"delta\": 1e-174, \"tie_threshold\": 0}", 200, &threshold) == 1);
    assert_true(node_count("{\"delta\": 1e-174, \"tie_threshold\": 0}", 400, &threshold) == 3); /* twice the rows, and the bound is 0.708 */
    assert_true(node_count("{\"delta\": 1e-7, \"max_leaves\": 1}", 400, &threshold) == 1);
    assert_true(node_count("{\"delta\": 1e-7, \"max_depth\": 0}", 400, &threshold) == 1);
}

enum { STREAM = 105000, TRAINED = 100000 };
static double stream_x[STREAM * 3], stream_y[STREAM];

static double accuracy(weir_model *model, const double *x, const double *y, int rows) {
    double score;
    weir_err err;
    int right = 0;
    for (int r = 0; r < rows; r++) {
        assert_int_equal(weir_model_predict(model, x + 3 * r, 1, &score, &err), WEIR_OK);
        right += (score >= 0.5) == y[r];
    }
    return (double)right / rows;
}

/* y is x1 > 0 where x0 > 0.3, elsewhere x2 > 0.5; a tenth is turned round, so that nothing gets more than 0.9 right. scikit-learn 1.x,
 * DecisionTreeClassifier(min_samples_leaf=100, random_state=0), trained on the same 100 000 rows: SKLEARN_TREE of the last 5000. */
static void a_tree_of_a_stream_is_nearly_as_good_as_one_of_all_rows(void **state) {
    (void)state;
    uint64_t random = 11;
    for (int r = 0; r < STREAM; r++) {
        double *x = stream_x + 3 * r;
        for (int c = 0; c < 3; c++) x[c] = 2 * uniform(&random) - 1;
        bool y = x[0] > 0.3 ? x[1] > 0 : x[2] > 0.5;
        stream_y[r] = uniform(&random) < 0.1 ? !y : y;
    }
    weir_matrix train = {.row_count = TRAINED, .column_count = 3, .values = stream_x, .label = stream_y, .column_names = names};
    weir_model *model = fit_model("hoeffding_tree", NULL, &train);
    double reached = accuracy(model, stream_x + 3 * TRAINED, stream_y + TRAINED, STREAM - TRAINED);
    if (reached < SKLEARN_TREE - 0.03) fail_msg("accuracy %g, a tree of scikit-learn has %g", reached, SKLEARN_TREE);
    weir_model_free(model);
}

/* ---- drift ---- */

/* From row 10 000 on the direction of the boundary turns by 90° within 5000 rows. Every batch is scored before it is learnt. */
static void check_drift(const char *algorithm, const char *params) {
    enum { FIRST = 10000, BATCH = 500, DRIFTING = 30000 };
    uint64_t random = 13;
    for (int r = 0; r < DRIFTING; r++) {
        double *x = stream_x + 3 * r, turn = fmin(fmax((r - FIRST) / 5000.0, 0), 1) * acos(0);
        for (int c = 0; c < 3; c++) x[c] = 2 * uniform(&random) - 1;
        stream_y[r] = uniform(&random) < 1 / (1 + exp(-6 * (cos(turn) * x[0] + sin(turn) * x[1])));
    }
    weir_matrix all = {.row_count = DRIFTING, .column_count = 3, .values = stream_x, .label = stream_y, .column_names = names}, first = slice(&all, 0, FIRST);
    weir_buf artifact = fit_artifact(algorithm, params, &first, 1, 1);
    weir_model *frozen = load_artifact(&artifact);
    double frozen_sum = 0, sum = 0;
    int batches = 0;
    for (int at = FIRST; at < DRIFTING; at += BATCH, batches++) {
        weir_model *now = load_artifact(&artifact);
        weir_matrix batch = slice(&all, at, at + BATCH);
        frozen_sum += accuracy(frozen, batch.values, batch.label, BATCH);
        sum += accuracy(now, batch.values, batch.label, BATCH);
        artifact = go_on(artifact, &batch);
        weir_model_free(now);
    }
    if (sum / batches < frozen_sum / batches + 0.1) fail_msg("%s: %g with learning on, %g without", algorithm, sum / batches, frozen_sum / batches);
    weir_model_free(frozen);
    weir_buf_done(&artifact);
}

static void a_model_that_goes_on_follows_a_drift(void **state) {
    (void)state;
    check_drift("sgd", "{\"schedule\": \"constant\", \"rate\": 0.02}");
    check_drift("ftrl", NULL);
    check_drift("hoeffding_tree", NULL);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    make_small();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_descent_takes_the_steps_of_scikit_learn),
        cmocka_unit_test(ftrl_takes_the_steps_of_its_paper),
        cmocka_unit_test(adagrad_is_as_worked_by_hand),
        cmocka_unit_test(rows_in_parts_give_what_they_give_at_once),
        cmocka_unit_test(the_header_says_what_was_continued_and_parts_give_the_bytes_of_the_whole),
        cmocka_unit_test(rows_that_do_not_belong_to_the_model_are_refused),
        cmocka_unit_test(a_chain_is_applied_as_it_was_fitted_and_classes_may_be_missing),
        cmocka_unit_test(memory_that_runs_out_while_going_on_is_an_error),
        cmocka_unit_test(a_body_with_anything_in_it_loads_or_is_refused),
        cmocka_unit_test(a_leaf_splits_when_the_bound_says_so),
        cmocka_unit_test(a_tree_of_a_stream_is_nearly_as_good_as_one_of_all_rows),
        cmocka_unit_test(a_model_that_goes_on_follows_a_drift),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
