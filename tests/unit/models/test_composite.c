/* Models of several: what they tell, as one artifact that is loaded and scored like any other. */
#include "models/composite.h"
#include "models/ensemble_weights.h"
#include "models/model_internal.h"
#include "tests/unit/starve.h"
#include "trainset_fixture.h"

static fixture data;
static const weir_split five_blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 5};
static const weir_fit_options plain = {.split = &five_blocks, .seed = 1, .threads = 1};

static weir_model *fitted(const char *spec, weir_task task) {
    weir_trainset set = fixture_set(&data, task, 0, ROWS, false);
    weir_model *model = spec_model(spec, &set, &plain);
    weir_trainset_done(&set);
    return model;
}

static void expect_scores(weir_model *model, const double *expected, int count, double tolerance) {
    double scores[ROWS * CLASSES];
    predict_all(model, &data.matrix, scores);
    for (int r = 0; r < count; r++) assert_float_equal(scores[r], expected[r], tolerance);
}

#define TWO_RIDGES "\"members\": [{\"algorithm\": \"ridge\"}, {\"algorithm\": \"ridge\", \"params\": {\"alpha\": 3000}}]"
#define TWO_LOGISTICS "\"members\": [{\"algorithm\": \"logistic\"}, {\"algorithm\": \"logistic\", \"params\": {\"l2\": 2000}}]"

/* scikit-learn's VotingRegressor, VotingClassifier(voting="soft") on Ridge(1), Ridge(3000), LogisticRegression(C=1), (C=1/2000) behind SimpleImputer and StandardScaler; rows 0 to 3. */
static void an_average_is_that_of_its_members(void **state) {
    (void)state;
    const double votes[] = {85.9282409961, 86.2853396493, 113.767511453, 82.9310584451},
                 chances[] = {0.256129227748, 0.259883731179, 0.710481284806, 0.232090038235};
    weir_model *model = fitted("{\"ensemble\": \"average\", " TWO_RIDGES "}", WEIR_TASK_REGRESSION);
    expect_scores(model, votes, 4, 1e-8);
    assert_string_equal(weir_model_algorithm(model), "ensemble");
    assert_int_equal(weir_model_composition(model), WEIR_MODEL_AVERAGE);
    assert_int_equal(weir_model_member_count(model), 2);
    assert_float_equal(weir_model_weights(model)[1], 0.5, 0);
    assert_null(weir_model_meta(model));
    assert_null(weir_model_chain(model));
    size_t len;
    assert_null(weir_model_body(model, &len));
    assert_string_equal(weir_model_algorithm(weir_model_member(model, 1)), "ridge");
    assert_float_equal(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(weir_model_params(weir_model_member(model, 1)), "alpha")), 3000, 0);
    assert_non_null(weir_model_body(weir_model_member(model, 1), &len));
    assert_true(len > 0);
    weir_model_free(model);
    model = fitted("{\"ensemble\": \"average\", " TWO_LOGISTICS "}", WEIR_TASK_BINARY);
    expect_scores(model, chances, 4, 1e-8);
    weir_model_free(model);
}

/* StackingRegressor, StackingClassifier(stack_method="predict_proba") of the same members with cv=KFold(5), over make_pipeline(StandardScaler(), Ridge(1) or Ridge(50) or
 * LogisticRegression(C=1)). */
static void stacking_is_that_of_scikit_learn(void **state) {
    (void)state;
    const double one[] = {79.1459080992, 79.675905255, 120.430014491, 74.7030681675}, fifty[] = {78.6429828816, 79.1805756259, 120.948876419, 74.0673545569};
    const double chances[] = {0.0975196647304, 0.100433086814, 0.888310016916, 0.0713166123256};
    weir_model *model = fitted("{\"ensemble\": \"stacking\", " TWO_RIDGES "}", WEIR_TASK_REGRESSION);
    expect_scores(model, one, 4, 1e-6);
    assert_int_equal(weir_model_composition(model), WEIR_MODEL_STACKING);
    assert_null(weir_model_weights(model));
    assert_string_equal(weir_model_columns(weir_model_meta(model))[1], "m1");
    weir_model_free(model);
    model = fitted("{\"ensemble\": \"stacking\", " TWO_RIDGES ", \"meta\": {\"algorithm\": \"ridge\", \"params\": {\"alpha\": 50}}}", WEIR_TASK_REGRESSION);
    expect_scores(model, fifty, 4, 1e-6);
    weir_model_free(model);
    model = fitted("{\"ensemble\": \"stacking\", " TWO_LOGISTICS "}", WEIR_TASK_BINARY);
    expect_scores(model, chances, 4, 1e-6);
    weir_model_free(model);
}

/* Each member sees one column, and one that does not vary. */
#define ONLY(algorithm, a, b, c)                                                                                                                               \
    "{\"algorithm\": \"" algorithm "\", \"preprocessing\": [{\"select\": \"variance\", \"threshold\": 1e9, \"columns\": [\"" a "\", \"" b "\", \"" c "\"]}]}"
#define THREE(algorithm)                                                                                                                                       \
    "{\"ensemble\": \"weighted\", \"members\": [" ONLY(algorithm, "rate", "noise", "gaps") ", " ONLY(algorithm, "amount", "noise", "gaps") ", " ONLY(          \
        algorithm, "amount", "rate", "gaps") "]}"

/* SciPy's SLSQP over the simplex, on cross_val_predict of the same members with KFold(5). */
static void weights_are_the_best_on_the_simplex(void **state) {
    (void)state;
    const double squares[] = {0.739223062093, 0.260776938, 0}, chances[] = {0.827157606118, 0.172842393882, 0};
    weir_model *model = fitted(THREE("ridge"), WEIR_TASK_REGRESSION);
    for (int i = 0; i < 3; i++) assert_float_equal(weir_model_weights(model)[i], squares[i], 1e-7);
    assert_true(weir_model_weights(model)[2] == 0);
    assert_int_equal(weir_model_fitted_count(weir_model_member(model, 0)), 2);
    assert_string_equal(weir_model_fitted_columns(weir_model_member(model, 1))[0], "rate");
    weir_model_free(model);
    model = fitted(THREE("logistic"), WEIR_TASK_BINARY);
    for (int i = 0; i < 3; i++) assert_float_equal(weir_model_weights(model)[i], chances[i], 1e-5);
    weir_model_free(model);
}

/* y = 0 1 2 3: a member that is right, one that is wrong by 1, one that mirrors the latter. */
static void weights_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {0, 1, 2, 3};
    const double right_first[] = {0, 1, 2, 3, 1, 2, 3, 4}, mirrored[] = {1, 2, 3, 4, -1, 0, 1, 2}, alike[] = {1, 1, 2, 2, 1, 1, 2, 2};
    double w[3];
    weir_err err;
    weir_ensemble_scores s = {.row_count = 4, .member_count = 2, .output_count = 1, .scores = right_first, .label = label};
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_REGRESSION, &s, w, &err), WEIR_OK);
    assert_true(w[0] == 1 && w[1] == 0);
    s.scores = mirrored;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_REGRESSION, &s, w, &err), WEIR_OK);
    assert_float_equal(w[0], 0.5, 1e-12);
    s.scores = alike;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_REGRESSION, &s, w, &err), WEIR_OK);
    assert_float_equal(w[0] + w[1], 1, 1e-15);
    /* −3 ln w − ln (1 − w) is least at w = 3/4: three rows that only the first member knows, one that only the second does */
    const double sure[] = {1, 1, 1, 0, 0, 0, 0, 1}, ones[] = {1, 1, 1, 1}, weight[] = {1, 0, 0, 1}, nothing[] = {0, 0, 0, 0};
    s.scores = sure;
    s.label = ones;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_BINARY, &s, w, &err), WEIR_OK);
    assert_float_equal(w[0], 0.75, 1e-6);
    s.weight = weight;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_BINARY, &s, w, &err), WEIR_OK);
    assert_float_equal(w[0], 0.5, 1e-6);
    s.weight = nothing;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_BINARY, &s, w, &err), WEIR_EDATA);
    s.member_count = 0;
    assert_int_equal(weir_ensemble_weights(WEIR_TASK_BINARY, &s, w, &err), WEIR_EINVAL);
}

/* Whatever the members say, no weights that are drawn are better than those that are found. */
static void no_weights_that_are_drawn_are_better(void **state) {
    (void)state;
    enum { N = 200, M = 6 };
    double scores[M * N], label[N], w[M];
    uint64_t random = 77;
    for (int trial = 0; trial < 20; trial++) {
        for (int r = 0; r < N; r++) label[r] = 10 * uniform(&random);
        for (int i = 0; i < M; i++)
            for (int r = 0; r < N; r++)
                scores[i * N + r] = i && uniform(&random) < 0.9 ? scores[r] : label[r] * uniform(&random) + 3 * uniform(&random) * i; /* alike */
        const weir_ensemble_scores s = {.row_count = N, .member_count = M, .output_count = 1, .scores = scores, .label = label};
        weir_err err;
        double best = 0, sum = 0;
        assert_int_equal(weir_ensemble_weights(WEIR_TASK_REGRESSION, &s, w, &err), WEIR_OK);
        for (int i = 0; i < M; i++) {
            assert_true(w[i] >= 0);
            sum += w[i];
        }
        assert_float_equal(sum, 1, 1e-14);
        for (int draw = -1; draw < 300; draw++) {
            double drawn[M], total = 0, error = 0;
            for (int i = 0; i < M; i++) total += drawn[i] = draw < 0 ? w[i] : -log(1 - uniform(&random)) * (uniform(&random) < 0.5);
            if (total == 0) continue;
            for (int r = 0; r < N; r++) {
                double left = label[r];
                for (int i = 0; i < M; i++) left -= drawn[i] / total * scores[i * N + r];
                error += left * left;
            }
            if (draw < 0) best = error;
            assert_true(best <= error * (1 + 1e-9));
        }
    }
}

static void every_target_has_its_model(void **state) {
    (void)state;
    double scores[ROWS * 2];
    weir_err err;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, ROWS, false);
    double *both = malloc(2 * ROWS * sizeof *both);
    char *names[] = {"target", "twice", NULL};
    assert_non_null(both);
    for (int r = 0; r < ROWS; r++) both[r] = set.targets[r], both[ROWS + r] = 2 * set.targets[r] - 1;
    weir_trainset two = set;
    two.target_count = 2;
    two.targets = both;
    two.target_names = names;
    two.memory = NULL;
    weir_buf artifact = {0};
    cJSON *one_model = spec_of("{\"algorithm\": \"ridge\"}");
    assert_int_equal(weir_spec_fit(one_model, &two, &plain, &artifact, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "has 2 targets"));
    cJSON_Delete(one_model);
    weir_model *alone = spec_model("{\"algorithm\": \"ridge\"}", &set, &plain), *model = spec_model("{\"targets\": {\"algorithm\": \"ridge\"}}", &two, &plain);
    double single[ROWS];
    predict_all(model, &set.matrix, scores);
    predict_all(alone, &set.matrix, single);
    for (int r = 0; r < ROWS; r++) {
        assert_float_equal(scores[2 * r], single[r], 0);
        assert_float_equal(scores[2 * r + 1], 2 * single[r] - 1, 1e-8);
    }
    assert_int_equal(weir_model_composition(model), WEIR_MODEL_TARGETS);
    assert_int_equal(weir_model_task(model), WEIR_TASK_REGRESSION);
    assert_int_equal(weir_model_output_count(model), 2);
    assert_int_equal(weir_model_check_single_output(model, &err), WEIR_EDATA);
    assert_string_equal(weir_model_target_names(model)[1], "twice");
    assert_string_equal(weir_model_algorithm(model), "multi_target");
    assert_null(weir_model_target_names(alone));
    weir_model_free(alone);
    weir_model_free(model);
    /* an ensemble a target, judged over all of them */
    const weir_crossval_options options = {.fit = plain, .metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "r2")};
    weir_crossval result = validated("{\"targets\": {\"ensemble\": \"stacking\", " TWO_RIDGES "}}", &two, five_blocks, &options);
    assert_int_equal(result.output_count, 2);
    assert_true(result.mean > 0.96 && result.mean < 0.98);
    weir_crossval_done(&result);
    free(both);
    weir_trainset_done(&set);
}

static void classes_are_averaged_and_stacked(void **state) {
    (void)state;
    static const char *const kinds[] = {"average", "weighted", "stacking"};
    char spec[300];
    for (int i = 0; i < 3; i++) {
        double scores[ROWS * CLASSES];
        int right = 0;
        snprintf(spec, sizeof spec,
                 "{\"ensemble\": \"%s\", \"members\": [{\"algorithm\": \"logistic\"}, {\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 5}}]}", kinds[i]);
        weir_model *model = fitted(spec, WEIR_TASK_MULTICLASS);
        assert_int_equal(weir_model_output_count(model), CLASSES);
        assert_string_equal(weir_model_class_names(model)[2], "middle");
        assert_string_equal(weir_model_class_names(weir_model_member(model, 0))[1], "high");
        if (i == 2) assert_string_equal(weir_model_columns(weir_model_meta(model))[CLASSES + 1], "m1=high");
        predict_all(model, &data.matrix, scores);
        for (int r = 0; r < ROWS; r++) {
            const double *row = scores + r * CLASSES;
            assert_float_equal(row[0] + row[1] + row[2], 1, 1e-12);
            int called = row[0] >= row[1] && row[0] >= row[2] ? 0 : row[1] >= row[2] ? 1 : 2;
            right += called == data.label_of_class[r];
        }
        assert_true(right > 0.8 * ROWS);
        weir_model_free(model);
    }
}

/* With walk_forward the first rows have no scores out of fold: weights are found without them. */
static void rows_without_scores_out_of_fold_are_left_out(void **state) {
    (void)state;
    const weir_split forward = {.scheme = WEIR_SPLIT_WALK_FORWARD, .folds = 3};
    weir_fit_options options = {.split = &forward, .seed = 1, .threads = 1};
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 400, true);
    cJSON *member = spec_of("{\"algorithm\": \"ridge\"}");
    weir_crossval_options cv = {.fit = options};
    weir_crossval result = validated("{\"algorithm\": \"ridge\"}", &set, forward, &cv);
    double sum = 0, n = 0;
    for (int r = 0; r < 400; r++) {
        if (r < 100) assert_true(isnan(result.scores[r]));
        if (r >= 100) sum += result.scores[r], n++;
    }
    weir_model *model = spec_model("{\"ensemble\": \"stacking\", \"members\": [{\"algorithm\": \"ridge\"}]}", &set, &options);
    /* the meta model is standardised by what it was fitted on: a missing input is the mean of the 300 rows that have scores */
    double missing = NAN, mean = sum / n, at_missing, at_mean;
    weir_err err;
    assert_int_equal(weir_model_predict(weir_model_meta(model), &missing, 1, &at_missing, &err), WEIR_OK);
    assert_int_equal(weir_model_predict(weir_model_meta(model), &mean, 1, &at_mean, &err), WEIR_OK);
    assert_float_equal(at_missing, at_mean, 1e-9);
    weir_model *whole = spec_model("{\"algorithm\": \"ridge\"}", &set, &options);
    assert_string_equal(weir_model_digest(weir_model_member(model, 0)), weir_model_digest(whole)); /* members are fitted on all rows */
    weir_model_free(whole);
    weir_model_free(model);
    weir_crossval_done(&result);
    cJSON_Delete(member);
    weir_trainset_done(&set);
}

/* ---- every kind ---- */

#define MIXED                                                                                                                                                  \
    "\"members\": [{\"algorithm\": \"ridge\", \"preprocessing\": [{\"impute\": \"mean\"}]}, {\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 5, "         \
    "\"max_bin\": 32}}]"
static const char *const kinds_of_spec[] = {
    "{\"algorithm\": \"ridge\", \"preprocessing\": [{\"impute\": \"mean\"}]}",
    "{\"ensemble\": \"average\", " MIXED "}",
    "{\"ensemble\": \"weighted\", " MIXED "}",
    "{\"ensemble\": \"stacking\", " MIXED "}",
    "{\"targets\": {\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 5}}}",
    "{\"targets\": {\"ensemble\": \"stacking\", " MIXED "}}",
};
enum { KINDS = sizeof kinds_of_spec / sizeof *kinds_of_spec };

static void expect_same_bytes(const char *spec, const weir_trainset *set, const weir_fit_options *options) {
    weir_buf one = spec_artifact(spec, set, options), two = spec_artifact(spec, set, options);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    weir_buf_done(&one);
    weir_buf_done(&two);
}

static void same_spec_rows_seed_and_threads_give_the_same_bytes(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 500, false);
    const weir_fit_options two_threads = {.split = &five_blocks, .seed = 1, .threads = 2}, shuffled = {.seed = 1, .threads = 1};
    for (int i = 0; i < KINDS; i++) {
        expect_same_bytes(kinds_of_spec[i], &set, &plain);
        expect_same_bytes(kinds_of_spec[i], &set, &two_threads);
        expect_same_bytes(kinds_of_spec[i], &set, &shuffled);
    }
    weir_trainset_done(&set);
}

static void other_folds_give_other_weights(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 500, false);
    const weir_fit_options shuffled = {.seed = 1, .threads = 1}, otherwise = {.seed = 2, .threads = 1};
    weir_model *one = spec_model(THREE("ridge"), &set, &shuffled), *two = spec_model(THREE("ridge"), &set, &otherwise);
    assert_true(weir_model_weights(one)[0] != weir_model_weights(two)[0]);
    weir_model_free(one);
    weir_model_free(two);
    weir_trainset_done(&set);
}

static void a_row_alone_scores_as_among_others(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        weir_model *model = fitted(kinds_of_spec[i], WEIR_TASK_REGRESSION);
        double scores[ROWS], alone;
        weir_err err;
        predict_all(model, &data.matrix, scores);
        for (int r = 0; r < ROWS; r += 37) {
            assert_int_equal(weir_model_predict(model, data.values + (ptrdiff_t)r * COLUMNS, 1, &alone, &err), WEIR_OK);
            assert_memory_equal(&alone, &scores[r], sizeof alone);
        }
        double infinite[COLUMNS] = {1, INFINITY, 0, 0, 0};
        assert_int_equal(weir_model_predict(model, infinite, 1, &alone, &err), WEIR_ENUMERIC);
        weir_model_free(model);
    }
}

static void fitting_stops_when_it_is_told_to(void **state) {
    (void)state;
    _Atomic bool cancel = true;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 200, false);
    weir_fit_options options = plain;
    options.cancel = &cancel;
    for (int i = 0; i < KINDS; i++) {
        cJSON *spec = spec_of(kinds_of_spec[i]);
        weir_buf artifact = {0};
        weir_err err;
        assert_int_equal(weir_spec_fit(spec, &set, &options, &artifact, &err), WEIR_ETIMEOUT);
        assert_int_equal(err.action, WEIR_ACTION_RETRY);
        assert_int_equal(artifact.len, 0);
        cJSON_Delete(spec);
    }
    weir_trainset_done(&set);
}

static void errors_say_which_member(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 4, false);
    cJSON *spec = spec_of("{\"ensemble\": \"weighted\", \"folds\": 5, \"members\": [{\"algorithm\": \"ridge\"}]}");
    const weir_fit_options options = {.seed = 1, .threads = 1};
    weir_buf artifact = {0};
    weir_err err;
    assert_int_equal(weir_spec_fit(spec, &set, &options, &artifact, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "folds of an ensemble"));
    cJSON_Delete(spec);
    spec = spec_of("{\"ensemble\": \"average\", \"members\": [{\"algorithm\": \"ridge\"}, {\"algorithm\": \"ridge\", \"preprocessing\": [{\"select\": "
                   "\"variance\", \"threshold\": 1e9}]}]}");
    assert_int_equal(weir_spec_fit(spec, &set, &options, &artifact, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "member 1: "));
    cJSON_Delete(spec);
    weir_trainset_done(&set);
}

/* ---- artifacts that are none ---- */

/* An artifact of these members around a body; the header is right. */
static weir_buf wrapped(const weir_algorithm *algorithm, const weir_trainset *set, const weir_buf *body, int targets) {
    cJSON *params = cJSON_CreateObject();
    const char *const names[] = {"a", "b"};
    const weir_artifact_header header = {
        .algorithm = algorithm, .params = params, .train = &set->matrix, .targets = names, .target_count = targets, .seed = 1, .threads = 1};
    weir_buf artifact = {0};
    weir_err err;
    assert_int_equal(weir_artifact_append(&header, body, &artifact, &err), WEIR_OK);
    cJSON_Delete(params);
    return artifact;
}

static void expect_refused(const weir_algorithm *algorithm, const weir_trainset *set, const weir_buf *body, int targets, const char *message) {
    weir_buf artifact = wrapped(algorithm, set, body, targets);
    weir_model *model = NULL;
    weir_err err;
    assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_EDATA);
    if (!strstr(err.message, message)) fail_msg("found \"%s\", expected \"%s\"", err.message, message);
    assert_null(model);
    weir_buf_done(&artifact);
}

static weir_buf body_of(weir_composition kind, const weir_buf *members, int count, const double *weights, const weir_buf *meta) {
    weir_buf body = {0};
    weir_err err;
    assert_int_equal(weir_composite_write(kind, members, count, weights, meta, &body, &err), WEIR_OK);
    return body;
}

static void expect_refused_members(const weir_trainset *set, weir_composition kind, const weir_buf *members, int count, const double *weights,
                                   const weir_buf *meta, const char *message) {
    weir_buf body = body_of(kind, members, count, weights, meta);
    bool targets = kind == WEIR_MODEL_TARGETS;
    expect_refused(targets ? &weir_algorithm_multi_target : &weir_algorithm_ensemble, set, &body, targets ? 2 : 0, message);
    weir_buf_done(&body);
}

static void what_no_fit_would_write_is_refused(void **state) {
    (void)state;
    const double half[] = {0.5, 0.5}, far[] = {1.5, -0.5}, nan[] = {NAN, 1}, more[] = {0.5, 0.6};
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 100, false), binary = fixture_set(&data, WEIR_TASK_BINARY, 0, 100, false);
    weir_buf ridge = spec_artifact("{\"algorithm\": \"ridge\"}", &set, &plain), logistic = spec_artifact("{\"algorithm\": \"logistic\"}", &binary, &plain);
    weir_buf ensemble = spec_artifact("{\"ensemble\": \"average\", \"members\": [{\"algorithm\": \"ridge\"}]}", &set, &plain);
    weir_buf targets = spec_artifact("{\"targets\": {\"algorithm\": \"ridge\"}}", &set, &plain);
    weir_trainset renamed = set;
    const char *other_names[COLUMNS];
    memcpy(other_names, set.matrix.column_names, sizeof other_names);
    other_names[2] = "other";
    renamed.matrix.column_names = other_names;
    renamed.matrix.kinds = NULL;
    weir_buf elsewhere = fit_artifact("ridge", NULL, &renamed.matrix, 1, 1);
    const weir_buf good[] = {ridge, ridge}, mixed[] = {ridge, logistic}, nested[] = {ridge, ensemble}, deep[] = {ridge, targets},
                   columns[] = {ridge, elsewhere};
    expect_refused_members(&set, WEIR_MODEL_WEIGHTED, good, 2, far, NULL, "no shares that sum to 1");
    expect_refused_members(&set, WEIR_MODEL_WEIGHTED, good, 2, nan, NULL, "no shares that sum to 1");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, good, 2, more, NULL, "no shares that sum to 1");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, mixed, 2, half, NULL, "member 1: it is binary");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, nested, 2, half, NULL, "member 1: the artifact is a member, and of the kind ensemble");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, deep, 2, half, NULL, "of the kind multi_target");
    expect_refused_members(&set, WEIR_MODEL_TARGETS, deep, 2, NULL, NULL, "of the kind multi_target");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, columns, 2, half, NULL, "member 1 of the model takes column 'other', expected 'noise'");
    expect_refused_members(&set, WEIR_MODEL_STACKING, good, 2, NULL, &ridge, "meta model: it is regression, from 5 columns");
    expect_refused_members(&set, WEIR_MODEL_STACKING, good, 2, NULL, NULL, "has 0 meta models");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, good, 2, half, &ridge, "has 1 meta models");
    expect_refused_members(&set, WEIR_MODEL_TARGETS, good, 1, NULL, NULL, "1 members, expected 2");
    expect_refused_members(&set, WEIR_MODEL_AVERAGE, good, 0, NULL, NULL, "0 members");
    expect_refused_members(&set, WEIR_MODEL_SINGLE, good, 1, half, NULL, "unknown kind 0");
    weir_buf nothing = {0}, longer = body_of(WEIR_MODEL_AVERAGE, good, 2, half, NULL);
    expect_refused(&weir_algorithm_ensemble, &set, &nothing, 0, "0 bytes, expected at least 16");
    for (size_t len = 1; len < longer.len; len += len < 40 ? 1 : 97) { /* cut anywhere, with a right checksum */
        weir_buf cut = longer;
        cut.len = len;
        expect_refused(&weir_algorithm_ensemble, &set, &cut, 0, "");
    }
    assert_true(weir_buf_append(&longer, "x", 1));
    expect_refused(&weir_algorithm_ensemble, &set, &longer, 0, "1 bytes are left");
    longer.data[0] = 2;
    expect_refused(&weir_algorithm_ensemble, &set, &longer, 0, "format version 2");
    weir_buf_done(&longer);
    weir_buf_done(&ridge);
    weir_buf_done(&logistic);
    weir_buf_done(&ensemble);
    weir_buf_done(&targets);
    weir_buf_done(&elsewhere);
    weir_trainset_done(&set);
    weir_trainset_done(&binary);
}

static void every_changed_byte_is_noticed(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 100, false);
    weir_buf artifact = spec_artifact("{\"ensemble\": \"average\", \"members\": [{\"algorithm\": \"ridge\"}]}", &set, &plain);
    for (size_t i = 0; i < artifact.len; i++) {
        weir_model *model = NULL;
        weir_err err;
        artifact.data[i] ^= 1;
        assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_EDATA);
        artifact.data[i] ^= 1;
    }
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
}

static void no_recipe_can_fit_one_directly(void **state) {
    (void)state;
    weir_buf artifact = {0};
    weir_err err;
    assert_null(weir_algorithm_find("ensemble"));
    assert_null(weir_algorithm_find("multi_target"));
    assert_int_equal(weir_model_fit("ensemble", NULL, NULL, &data.matrix, NULL, 1, 1, &artifact, &err), WEIR_EINVAL);
    assert_int_equal(weir_algorithm_ensemble.fit(NULL, &data.matrix, 1, 1, &artifact, &err), WEIR_EINVAL);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_trainset set = fixture_set(&data, WEIR_TASK_REGRESSION, 0, 40, false);
    const weir_split two_blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 2};
    const weir_fit_options options = {.split = &two_blocks, .seed = 1, .threads = 1};
    static const char *const specs[] = {"{\"ensemble\": \"weighted\", \"members\": [{\"algorithm\": \"ridge\"}, {\"algorithm\": \"linear\"}]}",
                                        "{\"targets\": {\"ensemble\": \"stacking\", \"members\": [{\"algorithm\": \"ridge\"}]}}"};
    weir_allocator whole = weir_mem;
    for (int i = 0; i < 2; i++) {
        cJSON *spec = spec_of(specs[i]);
        for (int n = 0;; n++) {
            weir_buf artifact = {0};
            weir_model *model = NULL;
            double scores[40];
            weir_err err;
            weir_mem.realloc = failing_realloc;
            allocations_left = n;
            weir_status status = weir_spec_fit(spec, &set, &options, &artifact, &err);
            if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
            if (!status) status = weir_model_predict(model, set.matrix.values, 40, scores, &err);
            weir_mem = whole;
            weir_model_free(model);
            weir_buf_done(&artifact);
            if (!status) break;
            if (status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
            assert_true(n < 5000);
        }
        cJSON_Delete(spec);
    }
    weir_trainset_done(&set);
}

static int set_up(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_average_is_that_of_its_members),
        cmocka_unit_test(stacking_is_that_of_scikit_learn),
        cmocka_unit_test(weights_are_the_best_on_the_simplex),
        cmocka_unit_test(weights_worked_by_hand),
        cmocka_unit_test(no_weights_that_are_drawn_are_better),
        cmocka_unit_test(every_target_has_its_model),
        cmocka_unit_test(classes_are_averaged_and_stacked),
        cmocka_unit_test(rows_without_scores_out_of_fold_are_left_out),
        cmocka_unit_test(same_spec_rows_seed_and_threads_give_the_same_bytes),
        cmocka_unit_test(other_folds_give_other_weights),
        cmocka_unit_test(a_row_alone_scores_as_among_others),
        cmocka_unit_test(fitting_stops_when_it_is_told_to),
        cmocka_unit_test(errors_say_which_member),
        cmocka_unit_test(what_no_fit_would_write_is_refused),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(no_recipe_can_fit_one_directly),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
