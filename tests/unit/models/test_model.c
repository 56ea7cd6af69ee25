/* What every algorithm and every artifact must keep. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/plugin.h"
#include "models/evaluate.h"

static fixture data;

/* Runs a check on every algorithm with each task that it can do. */
static void for_each_task(void (*check)(const weir_algorithm *algorithm, const weir_matrix *matrix)) {
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int task = 0; task < WEIR_TASK_COUNT; task++) {
            if (!weir_algorithm_can(*a, (weir_task)task)) continue;
            weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
            check(*a, &matrix);
        }
}

static void expect_probabilities(const double *scores, int count) {
    double sum = 0;
    for (int k = 0; k < count; k++) {
        assert_true(scores[k] >= 0 && scores[k] <= 1);
        sum += scores[k];
    }
    if (count > 1) assert_float_equal(sum, 1, 1e-12);
}

static void expect_good_binary(const double *scores) {
    weir_metrics_binary m;
    weir_err err;
    weir_eval_input input = {.row_count = ROWS, .score = scores, .label = data.label, .threshold = 0.5};
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_OK);
    assert_true(m.auc_roc > 0.8);
    for (int r = 0; r < ROWS; r++) expect_probabilities(&scores[r], 1);
}

static void expect_good_classes(const double *scores) {
    int right = 0;
    for (int r = 0; r < ROWS; r++) {
        const double *row = scores + r * CLASSES;
        expect_probabilities(row, CLASSES);
        bool best = true;
        for (int k = 0; k < CLASSES; k++) best = best && row[k] <= row[(int)data.label_of_class[r]];
        right += best;
    }
    assert_true(right > 0.75 * ROWS);
}

static void expect_good_values(const double *scores) {
    double mean = 0, squares = 0, left = 0;
    for (int r = 0; r < ROWS; r++) mean += data.target[r] / ROWS;
    for (int r = 0; r < ROWS; r++) {
        squares += (data.target[r] - mean) * (data.target[r] - mean);
        left += (data.target[r] - scores[r]) * (data.target[r] - scores[r]);
    }
    assert_true(left < 0.2 * squares);
}

static void check_learning(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    static void (*const expect_good[])(const double *scores) = {
        [WEIR_TASK_BINARY] = expect_good_binary, [WEIR_TASK_MULTICLASS] = expect_good_classes, [WEIR_TASK_REGRESSION] = expect_good_values};
    double scores[ROWS * CLASSES];
    weir_err err;
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), matrix);
    assert_string_equal(weir_model_algorithm(model), algorithm->name);
    assert_int_equal(weir_model_task(model), matrix->task);
    assert_int_equal(weir_model_output_count(model), matrix->task == WEIR_TASK_MULTICLASS ? CLASSES : 1);
    assert_int_equal(weir_model_check_single_output(model, &err), matrix->task == WEIR_TASK_MULTICLASS ? WEIR_EDATA : WEIR_OK);
    assert_int_equal(weir_model_column_count(model), COLUMNS);
    for (int c = 0; c < COLUMNS; c++) assert_string_equal(weir_model_columns(model)[c], data.matrix.column_names[c]);
    assert_null(weir_model_columns(model)[COLUMNS]);
    assert_int_equal(strlen(weir_model_digest(model)), 64);
    predict_all(model, matrix, scores);
    expect_good[matrix->task](scores);
    weir_model_free(model);
}

static void every_algorithm_learns_and_says_what_it_is(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        assert_int_equal((*a)->abi, WEIR_ALGORITHM_ABI);
        assert_ptr_equal(weir_algorithm_find((*a)->name), *a);
        assert_true((*a)->tasks != 0);
    }
    assert_null(weir_algorithm_find("no_such_thing"));
    assert_non_null(weir_algorithm_find("nearest_centroid"));
    for_each_task(check_learning);
}

static void check_bytes(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    const char *name = algorithm->name;
    for (int threads = 1; threads <= 2; threads++) {
        weir_buf one = fit_artifact(name, quick(name), matrix, 5, threads), two = fit_artifact(name, quick(name), matrix, 5, threads);
        weir_buf other = fit_artifact(name, quick(name), matrix, 6, threads);
        assert_int_equal(one.len, two.len);
        assert_memory_equal(one.data, two.data, one.len);
        assert_true(one.len != other.len || memcmp(one.data, other.data, one.len) != 0);
        weir_buf_done(&one);
        weir_buf_done(&two);
        weir_buf_done(&other);
    }
}

static void the_same_input_gives_the_same_bytes_and_another_seed_says_so(void **state) {
    (void)state;
    for_each_task(check_bytes);
}

static void check_rows_alone(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), matrix);
    double together[ROWS * CLASSES], alone[CLASSES];
    weir_err err;
    int outputs = weir_model_output_count(model);
    predict_all(model, matrix, together);
    for (int r = 0; r < 50; r++) {
        assert_int_equal(weir_model_predict(model, data.values + r * COLUMNS, 1, alone, &err), WEIR_OK);
        assert_memory_equal(alone, together + r * outputs, (size_t)outputs * sizeof(double));
    }
    assert_int_equal(weir_model_predict(model, data.values, 0, alone, &err), WEIR_OK);
    weir_model_free(model);
}

static void rows_score_the_same_alone_and_together(void **state) {
    (void)state;
    for_each_task(check_rows_alone);
}

typedef struct scorer {
    weir_model *model;
    const double *expected;
    int differences;
} scorer;

static void *score_many_times(void *context) {
    scorer *s = context;
    double out[ROWS * CLASSES];
    weir_err err;
    size_t row_bytes = (size_t)weir_model_output_count(s->model) * sizeof *out;
    for (int round = 0; round < 10; round++) {
        if (weir_model_predict(s->model, data.values, ROWS, out, &err) != WEIR_OK || memcmp(out, s->expected, ROWS * row_bytes) != 0) s->differences++;
        for (int r = 0; r < 100; r++) {
            const char *expected = (const char *)s->expected + (size_t)r * row_bytes;
            if (weir_model_predict(s->model, data.values + r * COLUMNS, 1, out, &err) != WEIR_OK || memcmp(out, expected, row_bytes) != 0) s->differences++;
        }
    }
    return NULL;
}

static void check_threads(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    enum { THREADS = 4 };
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), matrix);
    double expected[ROWS * CLASSES];
    pthread_t threads[THREADS];
    scorer scorers[THREADS];
    predict_all(model, matrix, expected);
    for (int t = 0; t < THREADS; t++) {
        scorers[t] = (scorer){.model = model, .expected = expected};
        assert_int_equal(pthread_create(&threads[t], NULL, score_many_times, &scorers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_int_equal(scorers[t].differences, 0);
    }
    weir_model_free(model);
}

static void threads_may_score_at_once(void **state) {
    (void)state;
    for_each_task(check_threads);
}

static void check_odd_rows(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), matrix);
    const double missing[COLUMNS] = {NAN, NAN, NAN, NAN, NAN}, huge[COLUMNS] = {1e300, -1e300, 0, 0, 0}, infinite[COLUMNS] = {1, 2, INFINITY, 4, 5};
    double scores[CLASSES];
    weir_err err;
    assert_int_equal(weir_model_predict(model, missing, 1, scores, &err), WEIR_OK);
    if (matrix->task != WEIR_TASK_REGRESSION) expect_probabilities(scores, weir_model_output_count(model));
    assert_int_equal(weir_model_predict(model, huge, 1, scores, &err), WEIR_OK);
    if (matrix->task != WEIR_TASK_REGRESSION) expect_probabilities(scores, weir_model_output_count(model));
    assert_int_equal(weir_model_predict(model, infinite, 1, scores, &err), WEIR_ENUMERIC);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_non_null(strstr(err.message, "noise"));
    weir_model_free(model);
}

static void missing_values_score_and_infinite_ones_are_rejected(void **state) {
    (void)state;
    for_each_task(check_odd_rows);
}

/* One row a class, or one row alone: nothing varies that a column could explain. */
static void check_smallest(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    const double label[] = {0, 1, 2}, target = -7.25;
    weir_matrix small = *matrix;
    double scores[CLASSES * CLASSES];
    bool regression = matrix->task == WEIR_TASK_REGRESSION;
    small.row_count = regression ? 1 : matrix->task == WEIR_TASK_BINARY ? 2 : CLASSES;
    small.label = regression ? &target : label;
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), &small);
    predict_all(model, &small, scores);
    if (regression) assert_float_equal(scores[0], target, 0.1);
    for (int r = 0; !regression && r < small.row_count; r++) expect_probabilities(scores + r * weir_model_output_count(model), weir_model_output_count(model));
    weir_model_free(model);
}

static void the_smallest_training_sets_fit(void **state) {
    (void)state;
    for_each_task(check_smallest);
}

static void check_constant_label(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    static double label[ROWS], scores[ROWS];
    if (matrix->task != WEIR_TASK_REGRESSION) return;
    for (int r = 0; r < ROWS; r++) label[r] = 1234.5;
    weir_matrix constant = *matrix;
    constant.label = label;
    weir_model *model = fit_model(algorithm->name, quick(algorithm->name), &constant);
    predict_all(model, &constant, scores);
    for (int r = 0; r < ROWS; r++) assert_float_equal(scores[r], 1234.5, 0.1);
    weir_model_free(model);
}

static void a_label_that_does_not_vary_is_the_score(void **state) {
    (void)state;
    for_each_task(check_constant_label);
}

static void check_heavy_rows(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    static double weight[ROWS];
    for (int r = 0; r < ROWS; r++) weight[r] = 1e305;
    weir_matrix heavy = *matrix;
    weir_buf artifact = {0};
    weir_err err;
    heavy.weight = weight;
    cJSON *params = quick(algorithm->name) ? cJSON_Parse(quick(algorithm->name)) : NULL;
    weir_status status = weir_model_fit(algorithm->name, params, NULL, &heavy, NULL, 1, 1, &artifact, &err);
    if (status == WEIR_OK)
        weir_model_free(load_artifact(&artifact));
    else
        assert_true(status == WEIR_ENUMERIC || (status == WEIR_EINVAL && strstr(err.message, "cannot weigh")));
    weir_buf_done(&artifact);
    cJSON_Delete(params);
}

static void weights_near_the_end_of_the_numbers_fit_or_are_an_error(void **state) {
    (void)state;
    for_each_task(check_heavy_rows);
}

static void expect_fit_error(const char *algorithm, const char *params, const weir_matrix *matrix, int threads, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = params ? cJSON_Parse(params) : NULL;
    assert_int_equal(weir_model_fit(algorithm, json, NULL, matrix, NULL, 1, threads, &artifact, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(artifact.len, 0);
    cJSON_Delete(json);
}

static void bad_training_input_is_refused(void **state) {
    (void)state;
    double values[] = {1, 2, 3, 4}, label[] = {0, 1}, ones[] = {1, 1}, odd[] = {0, 0.5}, unknown[] = {NAN, 1}, infinite[] = {1, 2, -INFINITY, 4};
    const char *const names[] = {"a", "b"}, *const same[] = {"a", "a"}, *const empty[] = {"a", ""};
    const weir_matrix good = {.row_count = 2, .column_count = 2, .values = values, .label = label, .column_names = names};
    weir_matrix m = good;
    expect_fit_error("oracle", NULL, &good, 1, WEIR_EINVAL, "oracle");
    expect_fit_error("logistic", "{\"l3\": 1}", &good, 1, WEIR_EINVAL, "l3");
    expect_fit_error("logistic", "{\"l2\": -1}", &good, 1, WEIR_EINVAL, "l2");
    expect_fit_error("random_forest", "{\"trees\": \"many\"}", &good, 1, WEIR_EINVAL, "trees");
    expect_fit_error("logistic", NULL, &good, 0, WEIR_EINVAL, "threads");
    m.label = ones;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "both classes");
    m.label = odd;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "0.5");
    m.label = unknown;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "nan");
    m = good;
    m.values = infinite;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_ENUMERIC, "'a'");
    m = good;
    m.column_names = same;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EINVAL, "twice");
    m.column_names = empty;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EINVAL, "no name");
    m = good;
    m.row_count = 0;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "0 training rows");
    m.column_count = 0;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EINVAL, "columns");
}

static void labels_are_checked_by_task(void **state) {
    (void)state;
    double values[] = {1, 2, 3, 4}, infinite[] = {1, 2, INFINITY, 4}, beyond[] = {1, 2, 3, 0}, half[] = {0, 1, 1.5, 2}, negative[] = {0, 1, 2, -1};
    double classes[] = {0, 1, 2, 1}, gap[] = {0, 2, 0, 2};
    const char *const names[] = {"a"};
    const weir_matrix good = {
        .row_count = 4, .column_count = 1, .values = values, .label = classes, .column_names = names, .task = WEIR_TASK_MULTICLASS, .class_count = 3};
    weir_matrix m = good;
    m.label = beyond;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "label of row 2 is 3, expected a whole number from 0 to 2");
    m.label = half;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "label of row 2 is 1.5");
    m.label = negative;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "label of row 3 is -1");
    m.label = gap;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "class 1");
    m = good;
    m.class_count = 1;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EINVAL, "1 classes");
    m.class_count = WEIR_MODEL_CLASSES_MAX + 1;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EINVAL, "1025 classes");
    m = good;
    m.task = WEIR_TASK_REGRESSION;
    m.label = infinite;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "label of row 2 is inf, expected a finite number");
    m.label = values;
    m.row_count = 0;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "0 training rows");
    m.task = (weir_task)WEIR_TASK_COUNT;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EINVAL, "no task 3");
}

static void weights_are_checked_and_rows_that_weigh_nothing_do_not_count(void **state) {
    (void)state;
    double values[] = {1, 2, 3, 4}, label[] = {0, 0, 1, 0}, negative[] = {1, 1, -1, 1}, unknown[] = {1, NAN, 1, 1}, one_class[] = {1, 1, 0, 1},
           none[] = {0, 0, 0, 0};
    const char *const names[] = {"a"};
    weir_matrix m = {.row_count = 4, .column_count = 1, .values = values, .label = label, .column_names = names, .weight = negative};
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "weight of row 2 is -1");
    m.weight = unknown;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "weight of row 1 is nan");
    m.weight = one_class;
    expect_fit_error("logistic", NULL, &m, 1, WEIR_EDATA, "0 of the 3 training rows that weigh anything are positive");
    m.task = WEIR_TASK_REGRESSION;
    m.weight = none;
    expect_fit_error("xgboost", NULL, &m, 1, WEIR_EDATA, "0 training rows that weigh anything");
}

static void a_task_that_an_algorithm_cannot_do_is_refused_with_those_that_can(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int task = 0; task < WEIR_TASK_COUNT; task++) {
            if (weir_algorithm_can(*a, (weir_task)task)) continue;
            weir_matrix matrix = fixture_matrix(&data, (weir_task)task);
            char part[64];
            snprintf(part, sizeof part, "%s cannot do a %s task", (*a)->name, weir_task_name((weir_task)task));
            expect_fit_error((*a)->name, NULL, &matrix, 1, WEIR_EINVAL, part);
            expect_fit_error((*a)->name, NULL, &matrix, 1, WEIR_EINVAL, "xgboost, random_forest");
        }
    weir_task task = WEIR_TASK_REGRESSION;
    assert_false(weir_task_find("ranking", &task));
    assert_int_equal(task, WEIR_TASK_REGRESSION);
    assert_true(weir_task_find("multiclass", &task));
    assert_int_equal(task, WEIR_TASK_MULTICLASS);
}

static void expect_damage(const char *bytes, size_t len, const char *part) {
    weir_model *model = NULL;
    weir_err err;
    assert_int_equal(weir_model_load(bytes, len, &model, &err), WEIR_EDATA);
    assert_null(model);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
}

static void a_damaged_artifact_is_refused_wherever_it_is_damaged(void **state) {
    (void)state;
    weir_buf good = fit_artifact("logistic", NULL, &data.matrix, 1, 1);
    uint32_t header_len;
    memcpy(&header_len, good.data + 12, 4);
    const struct {
        size_t at;
        const char *part;
    } flips[] = {{0, "WEIRMOD1"},
                 {7, "WEIRMOD1"},
                 {8, "version"},
                 {14, "header"},
                 {12, ""}, /* a header that is a byte longer moves the body's length */
                 {20, "checksum"},
                 {16 + header_len + 3, "body"},
                 {16 + header_len + 20, "checksum"},
                 {good.len - 1, "checksum"}};
    for (size_t i = 0; i < sizeof flips / sizeof *flips; i++) {
        good.data[flips[i].at] ^= 0x11;
        expect_damage(good.data, good.len, flips[i].part);
        good.data[flips[i].at] ^= 0x11;
    }
    for (size_t at = 0; at < good.len; at++) {
        good.data[at] ^= 1;
        expect_damage(good.data, good.len, "");
        good.data[at] ^= 1;
    }
    for (size_t len = 0; len < good.len; len++) expect_damage(good.data, len, "");
    assert_true(weir_buf_append(&good, "x", 1));
    expect_damage(good.data, good.len, "body");
    weir_buf_done(&good);
}

/* Rebuilds an artifact around another header and body, with a right checksum. */
static weir_buf forge(const char *header, const void *body, size_t body_len) {
    weir_buf out = {0};
    uint32_t version = 1, header_len = (uint32_t)strlen(header);
    uint64_t len = body_len;
    char hex[65];
    assert_true(weir_buf_append(&out, "WEIRMOD1", 8) && weir_buf_append(&out, &version, 4) && weir_buf_append(&out, &header_len, 4) &&
                weir_buf_append(&out, header, header_len) && weir_buf_append(&out, &len, 8) && weir_buf_append(&out, body, body_len));
    weir_sha256_hex(out.data, out.len, hex);
    for (int i = 0; i < 32; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        assert_true(weir_buf_append(&out, &(unsigned char){(unsigned char)byte}, 1));
    }
    return out;
}

static void a_well_formed_artifact_with_wrong_contents_is_refused(void **state) {
    (void)state;
    const struct {
        const char *header, *body, *part;
    } cases[] = {
        {"[]", "", "JSON"},
        {"{\"algorithm\"", "", "JSON"},
        {"{\"algorithm\": \"oracle\", \"columns\": [\"a\"]}", "", "oracle"},
        {"{\"algorithm\": \"logistic\"}", "", "columns"},
        {"{\"algorithm\": \"logistic\", \"columns\": []}", "", "columns"},
        {"{\"algorithm\": \"logistic\", \"columns\": [1]}", "", "string"},
        {"{\"algorithm\": \"logistic\", \"columns\": [\"a\"]}", "", "LOGREG01"},
        {"{\"algorithm\": \"logistic\", \"columns\": [\"a\"]}", "LOGREG01\xff\xff\xff\xff\xff\xff\xff\xff................", "LOGREG01"},
        {"{\"algorithm\": \"logistic\", \"columns\": [\"a\"]}", "LOGREG01\xff\xff\xff\xff\xff\xff\xff\xff........................", "finite"},
        {"{\"algorithm\": \"logistic\", \"task\": \"ranking\", \"columns\": [\"a\"]}", "", "ranking"},
        {"{\"algorithm\": \"logistic\", \"task\": 1, \"columns\": [\"a\"]}", "", "unknown task"},
        {"{\"algorithm\": \"logistic\", \"task\": \"regression\", \"columns\": [\"a\"]}", "", "cannot do"},
        {"{\"algorithm\": \"xgboost\", \"task\": \"multiclass\", \"columns\": [\"a\"]}", "", "classes"},
        {"{\"algorithm\": \"xgboost\", \"task\": \"multiclass\", \"class_count\": 1, \"columns\": [\"a\"]}", "", "1 classes"},
        {"{\"algorithm\": \"xgboost\", \"task\": \"multiclass\", \"class_count\": 2.5, \"columns\": [\"a\"]}", "", "2.5 classes"},
        {"{\"algorithm\": \"xgboost\", \"columns\": [\"a\"]}", "", "empty"},
        {"{\"algorithm\": \"xgboost\", \"columns\": [\"a\"]}", "not a model", "XGBoost"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_buf forged = forge(cases[i].header, cases[i].body, strlen(cases[i].body));
        expect_damage(forged.data, forged.len, cases[i].part);
        weir_buf_done(&forged);
    }
}

/* Artifacts that were written before there were tasks. score = σ(1 + 2 (x − 3) / 4) */
static void an_artifact_without_a_task_is_a_binary_model(void **state) {
    (void)state;
    const struct {
        char magic[8];
        double intercept, mean, scale, coefficient;
    } body = {{'L', 'O', 'G', 'R', 'E', 'G', '0', '1'}, 1, 3, 4, 2};
    const double x = 5;
    double score;
    weir_err err;
    weir_buf forged = forge("{\"algorithm\": \"logistic\", \"columns\": [\"a\"], \"params\": {}, \"seed\": 1}", &body, sizeof body);
    weir_model *model = load_artifact(&forged);
    assert_int_equal(weir_model_task(model), WEIR_TASK_BINARY);
    assert_int_equal(weir_model_output_count(model), 1);
    assert_int_equal(weir_model_predict(model, &x, 1, &score, &err), WEIR_OK);
    assert_float_equal(score, 1 / (1 + exp(-2.0)), 1e-15);
    weir_model_free(model);
    weir_buf_done(&forged);
}

static void files_load_and_their_errors_name_them(void **state) {
    (void)state;
    weir_buf artifact = fit_artifact("logistic", NULL, &data.matrix, 1, 1);
    weir_model *model = load_artifact(&artifact), *from_file = NULL;
    char path[] = "/tmp/weir-test-model-XXXXXX";
    weir_err err;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, artifact.data, artifact.len) == (ssize_t)artifact.len);
    assert_int_equal(weir_model_load_file(path, &from_file, &err), WEIR_OK);
    assert_string_equal(weir_model_digest(from_file), weir_model_digest(model));
    weir_model_free(from_file);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(weir_model_load_file(path, &from_file, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(weir_model_load_file(path, &from_file, &err), WEIR_EDATA);
    close(fd);
    unlink(path);
    assert_int_equal(weir_model_load_file(path, &from_file, &err), WEIR_ENOTFOUND);
    assert_int_equal(weir_model_load_file("/", &from_file, &err), WEIR_EDATA);
    weir_model_free(model);
    weir_model_free(NULL);
    weir_buf_done(&artifact);
}

static void digest_is_sha256(void **state) {
    (void)state;
    char text[65];
    weir_sha256_hex("abc", 3, text); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static weir_allocator real;
static int allocations_left;

static void *failing_realloc(void *old, size_t size) {
    if (size && allocations_left-- <= 0) return NULL;
    return real.realloc(old, size);
}

static void check_starving(const weir_algorithm *algorithm, const weir_matrix *matrix) {
    int n = 0;
    cJSON *params = quick(algorithm->name) ? cJSON_Parse(quick(algorithm->name)) : NULL;
    for (bool done = false; !done; n++) {
        weir_buf artifact = {0};
        weir_model *model = NULL;
        weir_err err;
        real = weir_mem;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_model_fit(algorithm->name, params, NULL, matrix, NULL, 1, 1, &artifact, &err);
        if (status == WEIR_OK) status = weir_model_load(artifact.data, artifact.len, &model, &err);
        weir_mem = real;
        done = status == WEIR_OK;
        if (!done) assert_int_equal(status, WEIR_ENOMEM);
        weir_model_free(model);
        weir_buf_done(&artifact);
    }
    cJSON_Delete(params);
    assert_true(n > 4);
}

static void memory_that_runs_out_anywhere_is_an_error(void **state) {
    (void)state;
    for_each_task(check_starving);
}

/* With the algorithm of the example plugin, which has the same to keep. */
static int prepare(void **state) {
    (void)state;
    weir_err err;
    fixture_init(&data);
    if (weir_plugin_load(WEIR_PLUGINS_DIR "/nearest_centroid.so", &err) != WEIR_OK) fail_msg("%s", err.message);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_learns_and_says_what_it_is),
        cmocka_unit_test(the_same_input_gives_the_same_bytes_and_another_seed_says_so),
        cmocka_unit_test(rows_score_the_same_alone_and_together),
        cmocka_unit_test(threads_may_score_at_once),
        cmocka_unit_test(missing_values_score_and_infinite_ones_are_rejected),
        cmocka_unit_test(the_smallest_training_sets_fit),
        cmocka_unit_test(a_label_that_does_not_vary_is_the_score),
        cmocka_unit_test(weights_near_the_end_of_the_numbers_fit_or_are_an_error),
        cmocka_unit_test(bad_training_input_is_refused),
        cmocka_unit_test(labels_are_checked_by_task),
        cmocka_unit_test(weights_are_checked_and_rows_that_weigh_nothing_do_not_count),
        cmocka_unit_test(a_task_that_an_algorithm_cannot_do_is_refused_with_those_that_can),
        cmocka_unit_test(a_damaged_artifact_is_refused_wherever_it_is_damaged),
        cmocka_unit_test(a_well_formed_artifact_with_wrong_contents_is_refused),
        cmocka_unit_test(an_artifact_without_a_task_is_a_binary_model),
        cmocka_unit_test(files_load_and_their_errors_name_them),
        cmocka_unit_test(digest_is_sha256),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
