/* Models of XGBoost that split by sets of categories, random ones trained by the library: their compiled form past the gate, and nonsense in their files. That scores are those of XGBoost's
 * own package is tests/integration/models/test_import.py's. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/explain.h"
#include "models/import_model.h"
#include "models/model_parts.h"
#include "models/scorer/internal.h"
#include "models/scorer_compile.h"
#include "models/scorer_gate.h"
#include "models/xgb_common.h"
#include "models/xgb_library.h"
#include "tests/unit/starve.h"

enum { TRAINED = 400, WIDTH = 4, MODELS = 40 };

static uint64_t random_state;

static int below(int end) {
    return (int)(uniform(&random_state) * end);
}

/* Rows [TRAINED][WIDTH] of which any column may be one of categories. */
typedef struct set {
    double values[TRAINED * WIDTH];
    float narrow[TRAINED * WIDTH], label[TRAINED];
    const char *types[WIDTH];
    int classes;
} set;

static set random_set(void) {
    set s = {.classes = below(2) ? 0 : 2 + below(3)};
    int known[WIDTH];
    for (int c = 0; c < WIDTH; c++) {
        s.types[c] = c == 0 || below(2) ? "c" : "q";
        known[c] = 2 + below(below(2) ? 8 : 150);
    }
    for (int i = 0; i < TRAINED * WIDTH; i++) {
        int c = i % WIDTH;
        s.values[i] = uniform(&random_state) < 0.1 ? NAN : s.types[c][0] == 'c' ? below(known[c]) : floor(uniform(&random_state) * 1000) / 7;
        s.narrow[i] = weir_xgb_narrow(s.values[i]);
    }
    for (int r = 0; r < TRAINED; r++) {
        double x = isnan(s.values[r * WIDTH]) ? 3 : s.values[r * WIDTH], y = 1 + sin(x) + uniform(&random_state);
        s.label[r] = s.classes ? (float)(r < s.classes ? r : fmin(floor(y * s.classes / 3), s.classes - 1)) : (float)y;
    }
    return s;
}

static void must(int code) {
    if (code) fail_msg("%s", weir_xgb.XGBGetLastError());
}

static void put(BoosterHandle booster, const char *name, int value) {
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    must(weir_xgb.XGBoosterSetParam(booster, name, text));
}

static weir_buf train(const set *s, const char *format) {
    static const char *const names[WIDTH] = {"a", "b", "c", "d"};
    DMatrixHandle matrix;
    BoosterHandle booster;
    bst_ulong len;
    const char *bytes;
    weir_buf file = {0};
    weir_err err;
    assert_int_equal(weir_xgb_load_library(&err), WEIR_OK);
    must(weir_xgb.XGDMatrixCreateFromMat(s->narrow, TRAINED, WIDTH, NAN, &matrix));
    must(weir_xgb.XGDMatrixSetFloatInfo(matrix, "label", s->label, TRAINED));
    must(weir_xgb.XGDMatrixSetStrFeatureInfo(matrix, "feature_type", (const char **)(uintptr_t)s->types, WIDTH));
    must(weir_xgb.XGBoosterCreate(&matrix, 1, &booster));
    must(weir_xgb.XGBoosterSetParam(booster, "objective", s->classes == 2 ? "binary:logistic" : s->classes ? "multi:softprob" : "reg:squarederror"));
    must(weir_xgb.XGBoosterSetParam(booster, "tree_method", below(2) ? "hist" : "approx"));
    must(weir_xgb.XGBoosterSetParam(booster, "min_child_weight", "0.1"));
    if (s->classes > 2) put(booster, "num_class", s->classes);
    put(booster, "nthread", 1);
    put(booster, "max_depth", 1 + below(9));
    put(booster, "max_cat_to_onehot", below(2) ? 1 : 20);
    for (int rounds = 1 + below(12); rounds > 0; rounds--) must(weir_xgb.XGBoosterUpdateOneIter(booster, rounds, matrix));
    must(weir_xgb.XGBoosterSetStrFeatureInfo(booster, "feature_name", (const char **)(uintptr_t)names, WIDTH));
    must(weir_xgb.XGBoosterSaveModelToBuffer(booster, format, &len, &bytes));
    assert_true(weir_buf_append(&file, bytes, len));
    weir_xgb.XGBoosterFree(booster);
    weir_xgb.XGDMatrixFree(matrix);
    return file;
}

static weir_model *import(const weir_buf *file) {
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    if (weir_import_model(file->data, file->len, NULL, "", &artifact, &err)) fail_msg("%s", err.message);
    if (weir_model_load(artifact.data, artifact.len, &model, &err)) fail_msg("%s", err.message);
    weir_buf_done(&artifact);
    return model;
}

static weir_model *random_model(uint64_t seed, set *ret_set) {
    random_state = seed;
    *ret_set = random_set();
    weir_buf file = train(ret_set, below(2) ? "{\"format\": \"json\"}" : "{\"format\": \"ubj\"}");
    weir_model *model = import(&file);
    weir_buf_done(&file);
    return model;
}

static void random_models_pass_the_gate(void **state) {
    (void)state;
    static set s;
    int64_t splits = 0, sets = 0;
    for (int i = 0; i < MODELS; i++) {
        weir_model *model = random_model(1000 + (uint64_t)i, &s);
        weir_gate_count count;
        weir_err err;
        if (weir_scorer_gate(model, s.values, TRAINED, &count, &err)) fail_msg("model %d: %s", i, err.message);
        splits += count.splits;
        sets += (int64_t)weir_model_scorer(model)->models[0].slots.count;
        weir_model_free(model);
    }
    assert_true(splits > 20 * MODELS);
    assert_true(sets > 10 * MODELS);
}

static void contributions_sum_to_the_margin(void **state) {
    (void)state;
    static set s;
    weir_model *model = NULL;
    for (uint64_t seed = 1; !model; seed++) {
        model = random_model(seed, &s);
        if (s.classes == 0) break;
        weir_model_free(model);
        model = NULL;
    }
    for (int r = 0; r < 50; r++) {
        double parts[WIDTH + 1], score, sum = 0;
        weir_err err;
        assert_int_equal(weir_explain_row(model, s.values + r * WIDTH, parts, &err), WEIR_OK);
        assert_int_equal(weir_model_predict(model, s.values + r * WIDTH, 1, &score, &err), WEIR_OK);
        for (int c = 0; c <= WIDTH; c++) sum += parts[c];
        assert_true(fabs(sum - score) < 1e-4);
    }
    weir_model_free(model);
}

/* A category more or less in a set, a side of missing values, another set. */
static void the_gate_refuses_sets_that_differ_by_a_bit(void **state) {
    (void)state;
    static set s;
    for (int change = 0; change < 3; change++) {
        weir_model *model = random_model(1003, &s);
        const weirscore *scorer = weir_model_scorer(model);
        const score_model *m = &scorer->models[0];
        score_link_node *root = (score_link_node *)(uintptr_t)score_at(scorer, m->nodes);
        const score_slot *sets = score_at(scorer, m->slots);
        uint32_t *words = (uint32_t *)(uintptr_t)score_at(scorer, m->words);
        weir_gate_count count;
        weir_err err;
        assert_true(isnan(root->threshold));
        assert_int_equal(weir_scorer_gate(model, s.values, TRAINED, &count, &err), WEIR_OK);
        if (change == 0) words[sets[root->set].first_word] ^= 1;
        if (change == 1) root->slot ^= 1;
        if (change == 2) words[sets[root->set].first_word] = ~words[sets[root->set].first_word];
        assert_int_equal(weir_scorer_gate(model, NULL, 0, &count, &err), WEIR_EDATA);
        weir_model_free(model);
    }
}

/* Any byte of a compiled file is another, and the digest fits: it is refused or scores something. */
static void signed_nonsense_does_no_harm(void **state) {
    (void)state;
    static set s;
    static const double row[WIDTH] = {3, 1, 0, 2};
    weir_model *model = random_model(1003, &s);
    weir_buf file = {0};
    weir_err err;
    char message[WEIRSCORE_MESSAGE_MAX];
    int refused = 0;
    assert_int_equal(weir_scorer_compile(model, &file, &err), WEIR_OK);
    assert_int_equal(((const score_head *)(const void *)file.data)->version, SCORE_VERSION_SETS);
    size_t room = (file.len + SCORE_ALIGN - 1) / SCORE_ALIGN * SCORE_ALIGN, models = ((const score_head *)(const void *)file.data)->models;
    for (int i = 0; i < 3000; i++) {
        uint8_t *copy = aligned_alloc(SCORE_ALIGN, room);
        weirscore *opened = NULL;
        double out[SCORE_OUTPUTS_MAX];
        assert_non_null(copy);
        memcpy(copy, file.data, file.len);
        copy[i % 2 ? models + (size_t)below(sizeof(score_model)) : (size_t)below((int)file.len)] = (uint8_t)below(256);
        score_digest(copy, file.len, ((score_head *)(void *)copy)->digest);
        int code = weirscore_open_memory(copy, file.len, &opened, message, sizeof message);
        refused += code != 0;
        if (!code && weirscore_input_count(opened) == WIDTH) (void)weirscore_score(opened, row, 1, out);
        weirscore_close(opened);
        free(copy);
    }
    assert_true(refused > 300);
    weir_buf_done(&file);
    weir_model_free(model);
}

/* The library would read on behind the arrays. */
static void changed_arrays_do_no_harm(void **state) {
    (void)state;
    static set s;
    static const double row[WIDTH] = {3, 1, 0, 2};
    random_state = 5;
    s = random_set();
    weir_buf file = train(&s, "{\"format\": \"json\"}");
    char *begin = strstr(file.data, "\"categories\""), *end = strstr(begin, "\"default_left\"");
    int refused = 0;
    for (int i = 0; i < 600; i++) {
        char *at = begin + below((int)(end - begin)), before = *at;
        weir_buf artifact = {0};
        weir_model *model = NULL;
        weir_err err;
        double out[8];
        *at = "0129-,[]e"[below(9)];
        if (weir_import_model(file.data, file.len, NULL, "", &artifact, &err)) {
            refused++;
            assert_true(*err.message);
        } else if (weir_model_load(artifact.data, artifact.len, &model, &err) == WEIR_OK) {
            assert_int_equal(weir_model_predict(model, row, 1, out, &err), WEIR_OK);
        }
        weir_model_free(model);
        weir_buf_done(&artifact);
        *at = before;
    }
    assert_true(refused > 100);
    weir_buf_done(&file);
}

static void memory_may_run_out(void **state) {
    (void)state;
    static set s;
    random_state = 1003;
    s = random_set();
    weir_buf file = train(&s, "{\"format\": \"json\"}"), compiled = {0};
    weir_status status = WEIR_ENOMEM;
    void *(*usual)(void *, size_t) = weir_mem.realloc;
    for (int n = 0; status; n += n < 200 ? 1 : 37) {
        weir_buf artifact = {0};
        weir_model *model = NULL;
        weir_gate_count count;
        weir_err err;
        assert_true(n < 20000);
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_import_model(file.data, file.len, NULL, "", &artifact, &err);
        if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
        if (!status) status = weir_scorer_compile(model, &compiled, &err);
        if (!status) status = weir_scorer_gate(model, s.values, 10, &count, &err);
        weir_model_free(model);
        weir_buf_done(&artifact);
        weir_buf_done(&compiled);
        weir_mem.realloc = usual;
        if (status && status != WEIR_ENOMEM) fail_msg("after %d allocations: %s", n, err.message);
    }
    weir_buf_done(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_models_pass_the_gate),
        cmocka_unit_test(contributions_sum_to_the_margin),
        cmocka_unit_test(the_gate_refuses_sets_that_differ_by_a_bit),
        cmocka_unit_test(signed_nonsense_does_no_harm),
        cmocka_unit_test(changed_arrays_do_no_harm),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
