/* What every algorithm and every artifact must keep. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "models/evaluate.h"

static fixture data;

static void every_algorithm_learns_and_says_what_it_is(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        assert_int_equal((*a)->abi, WEIR_ALGORITHM_ABI);
        assert_ptr_equal(weir_algorithm_find((*a)->name), *a);
        weir_model *model = fit_model((*a)->name, quick((*a)->name), &data.matrix);
        assert_string_equal(weir_model_algorithm(model), (*a)->name);
        assert_int_equal(weir_model_column_count(model), COLUMNS);
        for (int c = 0; c < COLUMNS; c++) assert_string_equal(weir_model_columns(model)[c], data.matrix.column_names[c]);
        assert_null(weir_model_columns(model)[COLUMNS]);
        assert_int_equal(strlen(weir_model_digest(model)), 64);
        double scores[ROWS];
        predict_all(model, &data.matrix, scores);
        for (int r = 0; r < ROWS; r++) assert_true(scores[r] >= 0 && scores[r] <= 1);
        weir_metrics_binary m;
        weir_err err;
        weir_eval_input input = {.row_count = ROWS, .score = scores, .label = data.label, .threshold = 0.5};
        assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_OK);
        assert_true(m.auc_roc > 0.8);
        weir_model_free(model);
    }
    assert_null(weir_algorithm_find("no_such_thing"));
}

static void the_same_input_gives_the_same_bytes_and_another_seed_says_so(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int threads = 1; threads <= 2; threads++) {
            weir_buf one = fit_artifact((*a)->name, quick((*a)->name), &data.matrix, 5, threads),
                     two = fit_artifact((*a)->name, quick((*a)->name), &data.matrix, 5, threads);
            weir_buf other = fit_artifact((*a)->name, quick((*a)->name), &data.matrix, 6, threads);
            assert_int_equal(one.len, two.len);
            assert_memory_equal(one.data, two.data, one.len);
            assert_true(one.len != other.len || memcmp(one.data, other.data, one.len) != 0);
            weir_buf_done(&one);
            weir_buf_done(&two);
            weir_buf_done(&other);
        }
}

static void rows_score_the_same_alone_and_together(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        weir_model *model = fit_model((*a)->name, quick((*a)->name), &data.matrix);
        double together[ROWS], alone;
        weir_err err;
        predict_all(model, &data.matrix, together);
        for (int r = 0; r < 50; r++) {
            assert_int_equal(weir_model_predict(model, data.values + r * COLUMNS, 1, &alone, &err), WEIR_OK);
            assert_true(alone == together[r]);
        }
        assert_int_equal(weir_model_predict(model, data.values, 0, &alone, &err), WEIR_OK);
        weir_model_free(model);
    }
}

typedef struct scorer {
    weir_model *model;
    const double *expected;
    int differences;
} scorer;

static void *score_many_times(void *context) {
    scorer *s = context;
    double out[ROWS];
    weir_err err;
    for (int round = 0; round < 10; round++) {
        if (weir_model_predict(s->model, data.values, ROWS, out, &err) != WEIR_OK || memcmp(out, s->expected, sizeof out) != 0) s->differences++;
        for (int r = 0; r < 100; r++)
            if (weir_model_predict(s->model, data.values + r * COLUMNS, 1, out, &err) != WEIR_OK || out[0] != s->expected[r]) s->differences++;
    }
    return NULL;
}

static void threads_may_score_at_once(void **state) {
    (void)state;
    enum { THREADS = 4 };
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        weir_model *model = fit_model((*a)->name, quick((*a)->name), &data.matrix);
        double expected[ROWS];
        pthread_t threads[THREADS];
        scorer scorers[THREADS];
        predict_all(model, &data.matrix, expected);
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
}

static void missing_values_score_and_infinite_ones_are_rejected(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        weir_model *model = fit_model((*a)->name, quick((*a)->name), &data.matrix);
        const double missing[COLUMNS] = {NAN, NAN, NAN, NAN, NAN}, huge[COLUMNS] = {1e300, -1e300, 0, 0, 0}, infinite[COLUMNS] = {1, 2, INFINITY, 4, 5};
        double score = -1;
        weir_err err;
        assert_int_equal(weir_model_predict(model, missing, 1, &score, &err), WEIR_OK);
        assert_true(score >= 0 && score <= 1);
        assert_int_equal(weir_model_predict(model, huge, 1, &score, &err), WEIR_OK);
        assert_true(score >= 0 && score <= 1);
        assert_int_equal(weir_model_predict(model, infinite, 1, &score, &err), WEIR_ENUMERIC);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        assert_non_null(strstr(err.message, "noise"));
        weir_model_free(model);
    }
}

static void expect_fit_error(const char *algorithm, const char *params, const weir_matrix *matrix, int threads, weir_status expected, const char *part) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = params ? cJSON_Parse(params) : NULL;
    assert_int_equal(weir_model_fit(algorithm, json, matrix, NULL, 1, threads, &artifact, &err), expected);
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
        {"{\"algorithm\": \"xgboost\", \"columns\": [\"a\"]}", "", "empty"},
        {"{\"algorithm\": \"xgboost\", \"columns\": [\"a\"]}", "not a model", "XGBoost"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_buf forged = forge(cases[i].header, cases[i].body, strlen(cases[i].body));
        expect_damage(forged.data, forged.len, cases[i].part);
        weir_buf_done(&forged);
    }
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

static void memory_that_runs_out_anywhere_is_an_error(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        int n = 0;
        cJSON *params = quick((*a)->name) ? cJSON_Parse(quick((*a)->name)) : NULL;
        for (bool done = false; !done; n++) {
            weir_buf artifact = {0};
            weir_model *model = NULL;
            weir_err err;
            real = weir_mem;
            allocations_left = n;
            weir_mem.realloc = failing_realloc;
            weir_status status = weir_model_fit((*a)->name, params, &data.matrix, NULL, 1, 1, &artifact, &err);
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
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_learns_and_says_what_it_is),
        cmocka_unit_test(the_same_input_gives_the_same_bytes_and_another_seed_says_so),
        cmocka_unit_test(rows_score_the_same_alone_and_together),
        cmocka_unit_test(threads_may_score_at_once),
        cmocka_unit_test(missing_values_score_and_infinite_ones_are_rejected),
        cmocka_unit_test(bad_training_input_is_refused),
        cmocka_unit_test(a_damaged_artifact_is_refused_wherever_it_is_damaged),
        cmocka_unit_test(a_well_formed_artifact_with_wrong_contents_is_refused),
        cmocka_unit_test(files_load_and_their_errors_name_them),
        cmocka_unit_test(digest_is_sha256),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
