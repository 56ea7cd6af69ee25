/* The search in memory: spaces, budgets, failures, what the leaderboard says. Shared studies: tests/integration/models/test_automl_shared.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/automl_internal.h"
#include "models/memory.h"
#include "tests/unit/models/fixture.h"
#include "tests/unit/starve.h"

enum { FEW = 300 };

static fixture all;

/* The first `rows` rows of the fixture; its column 1 as a category of three when asked for. */
static weir_trainset set_of(weir_task task, int rows, bool category) {
    static double columns[COLUMNS][ROWS];
    const double *values[COLUMNS];
    weir_prep_column kinds[COLUMNS];
    weir_matrix m = fixture_matrix(&all, task);
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < rows; r++) columns[c][r] = category && c == 1 ? floor(3 * all.values[r * COLUMNS + c]) : all.values[r * COLUMNS + c];
        values[c] = columns[c];
        kinds[c] = (weir_prep_column){.name = m.column_names[c], .kind = category && c == 1 ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER};
    }
    const weir_trainset_source source = {.row_count = rows,
                                         .column_count = COLUMNS,
                                         .columns = kinds,
                                         .values = values,
                                         .task = task,
                                         .class_count = m.class_count,
                                         .target_count = 1,
                                         .target_names = (const char *const[]){"y"},
                                         .targets = &m.label};
    weir_trainset set;
    weir_err err;
    if (weir_trainset_make(&source, &set, &err) != WEIR_OK) fail_msg("%s", err.message);
    return set;
}

static const weir_split folds3 = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 3, .shuffle = true, .seed = 5};

static weir_automl_settings settings_of(const weir_trainset *set, const char *metric) {
    return (weir_automl_settings){
        .set = set, .split = &folds3, .metric = weir_model_metric_find(set->matrix.task, metric), .budget_s = 600, .seed = 3, .threads = 1};
}

static weir_leaderboard search(const weir_automl_settings *settings) {
    weir_leaderboard board;
    weir_err err;
    if (weir_automl_run(settings, &board, &err) != WEIR_OK) fail_msg("%s", err.message);
    return board;
}

static const char *const quick_ones[] = {"ridge", "linear", NULL}, *const just_logistic[] = {"logistic", NULL};

/* ---- the space ---- */

static bool has(const cJSON *space, const char *name) {
    return cJSON_HasObjectItem(space, name);
}

static cJSON *space_of(const weir_trainset *set, const char *const *algorithms) {
    cJSON *space;
    weir_err err;
    if (weir_automl_space(set, algorithms, &space, &err) != WEIR_OK) fail_msg("%s", err.message);
    return space;
}

/* Every algorithm's defaults and 200 random points of every task's space are specs that pass the check. */
static void every_point_of_the_default_space_is_a_valid_spec(void **state) {
    (void)state;
    for (int task = 0; task < 3; task++) {
        weir_trainset set = set_of(task, FEW, true);
        cJSON *space = space_of(&set, NULL), *first, *params;
        weir_err err;
        assert_int_equal(weir_automl_first(&set, space, "$", &first, &err), WEIR_OK);
        /* one an algorithm, of boosted trees a quick one before it */
        assert_int_equal(cJSON_GetArraySize(first), 1 + cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetObjectItem(space, "algorithm"), "choice")));
        weir_study *study;
        weir_study_settings s = {.space = space, .sampler = "random", .first = first, .seed = 8};
        if (weir_study_new(&s, "$", &study, &err) != WEIR_OK) fail_msg("%s", err.message);
        for (int i = 0; i < 200; i++) {
            int number;
            cJSON *spec;
            assert_int_equal(weir_study_ask(study, &number, &params, &err), WEIR_OK);
            assert_int_equal(weir_automl_spec(&set, params, &spec, &err), WEIR_OK);
            if (weir_spec_check(spec, "$", task, set.matrix.kinds, COLUMNS, &err) != WEIR_OK) fail_msg("%s in %s", err.message, cJSON_Print(spec));
            cJSON_Delete(params);
            cJSON_Delete(spec);
        }
        weir_study_free(study);
        cJSON_Delete(first);
        cJSON_Delete(space);
        weir_trainset_done(&set);
    }
}

static void the_space_has_what_the_set_needs_and_no_more(void **state) {
    (void)state;
    weir_trainset binary = set_of(WEIR_TASK_BINARY, FEW, false), real = set_of(WEIR_TASK_REGRESSION, FEW, true),
                  large = set_of(WEIR_TASK_REGRESSION, ROWS, false);
    cJSON *space = space_of(&binary, NULL);
    assert_true(has(space, "logistic.l2") && has(space, "xgboost.eta") && has(space, "random_forest.trees") && has(space, "impute") && has(space, "outliers"));
    assert_false(has(space, "ridge.alpha") || has(space, "encode") || has(space, "scale") || has(space, "select"));
    char *when = cJSON_PrintUnformatted(cJSON_GetObjectItem(cJSON_GetObjectItem(space, "impute"), "when"));
    assert_string_equal(when, "{\"algorithm\":[\"logistic\"]}"); /* trees learn where gaps go */
    cJSON_free(when);
    cJSON_Delete(space);
    space = space_of(&real, NULL);
    assert_true(has(space, "encode") && has(space, "svr.c") && has(space, "ridge.alpha"));
    cJSON_Delete(space);
    space = space_of(&real, (const char *const[]){"xgboost", NULL});
    assert_true(has(space, "encode") && has(space, "xgboost.rounds"));
    assert_false(has(space, "impute") || has(space, "outliers") || has(space, "ridge.alpha") || has(space, "xgboost.scale_pos_weight"));
    cJSON_Delete(space);
    weir_err err;
    assert_int_equal(weir_automl_space(&binary, quick_ones, &space, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "algorithm 'ridge' cannot do a binary task");
    assert_int_equal(weir_automl_space(&binary, (const char *const[]){"magic", NULL}, &space, &err), WEIR_EINVAL);
    weir_trainset_done(&binary);
    weir_trainset_done(&real);
    weir_trainset_done(&large);
}

static void rare_positives_bring_their_weight_into_the_space(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, FEW, false);
    for (int r = 0; r < FEW; r++) set.targets[r] = r % 10 == 0;
    cJSON *space = space_of(&set, NULL), *weight = cJSON_GetObjectItem(space, "xgboost.scale_pos_weight");
    assert_non_null(weight);
    assert_true(cJSON_GetArrayItem(cJSON_GetObjectItem(weight, "float"), 1)->valuedouble == 9);
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

static void a_point_becomes_a_spec(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, FEW, true);
    static const struct {
        const char *params, *spec;
    } cases[] = {
        {"{\"algorithm\": \"logistic\", \"logistic.l2\": 2, \"xgboost.eta\": 0.1, \"outliers\": \"iqr\", \"encode\": \"ordinal\", \"impute\": \"median\", "
         "\"indicator\": true, "
         "\"select\": \"relevance\", \"select_fdr\": 0.1}",
         "{\"algorithm\":\"logistic\",\"params\":{\"l2\":2},\"preprocessing\":[{\"outliers\":\"iqr\",\"factor\":3,\"action\":\"clip\"},{\"encode\":\"ordinal\","
         "\"missing\":"
         "\"own\"},{\"impute\":\"median\",\"columns\":[\"gaps\"],\"indicator\":true},{\"select\":\"relevance\",\"fdr\":0.1}]}"},
        {"{\"algorithm\": \"xgboost\", \"eta\": 0.2, \"select\": \"none\"}", "{\"algorithm\":\"xgboost\",\"params\":{\"eta\":0.2}}"},
        {"{\"algorithm\": \"logistic\", \"preprocessing\": [{\"scale\": \"robust\"}]}",
         "{\"algorithm\":\"logistic\",\"preprocessing\":[{\"scale\":\"robust\"}]}"},
        {"{\"algorithm\": \"logistic\", \"scale\": \"minmax\", \"select\": \"correlation\"}",
         "{\"algorithm\":\"logistic\",\"preprocessing\":[{\"scale\":\"minmax\"},{\"select\":\"correlation\",\"threshold\":0.95}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *params = cJSON_Parse(cases[i].params), *spec;
        weir_err err;
        assert_int_equal(weir_automl_spec(&set, params, &spec, &err), WEIR_OK);
        char *text = cJSON_PrintUnformatted(spec);
        assert_string_equal(text, cases[i].spec);
        cJSON_free(text);
        cJSON_Delete(spec);
        cJSON_Delete(params);
    }
    cJSON *params = cJSON_Parse("{\"eta\": 1}"), *spec;
    weir_err err;
    assert_int_equal(weir_automl_spec(&set, params, &spec, &err), WEIR_EINVAL);
    cJSON_Delete(params);
    weir_trainset_done(&set);
}

/* ---- searching ---- */

static char *without_times(const weir_leaderboard *board) {
    cJSON *json = weir_leaderboard_json(board), *item;
    cJSON_ArrayForEach(item, json) cJSON_DeleteItemFromObject(item, "fit_seconds");
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

static void equal_seeds_give_equal_leaderboards(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    s.algorithms = (const char *const[]){"ridge", "lasso", "elastic_net", NULL};
    s.trial_max = 20;
    weir_leaderboard one = search(&s), two = search(&s);
    s.seed = 4;
    weir_leaderboard other = search(&s);
    char *a = without_times(&one), *b = without_times(&two), *c = without_times(&other);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_string_equal(one.ended, "trials");
    assert_int_equal(one.trials, 20);
    assert_true(one.count >= 2);
    for (int i = 1; i < one.count; i++) assert_true(one.leaders[i - 1].mean <= one.leaders[i].mean);
    free(a);
    free(b);
    free(c);
    weir_leaderboard_done(&one);
    weir_leaderboard_done(&two);
    weir_leaderboard_done(&other);
    weir_trainset_done(&set);
}

/* The label is a logistic function of columns 0 and 1: its AUC on rows that were not fitted is 0.75 for the true function (by scikit-learn on the same rows:
 * 0.7525). */
static void a_search_finds_a_model_as_good_as_the_truth(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, 1000, false);
    weir_automl_settings s = settings_of(&set, "roc_auc");
    s.trial_max = 12;
    s.ensembles = true;
    weir_leaderboard board = search(&s);
    double score[1000];
    for (int r = 0; r < 1000; r++) score[r] = 0.05 * (set.matrix.values[r * COLUMNS] - 50) + 3 * (set.matrix.values[r * COLUMNS + 1] - 0.5);
    double truth;
    weir_err err;
    const weir_outcomes outcomes = {.row_count = 1000, .label = set.matrix.label, .score = score, .threshold = 0.5};
    assert_int_equal(weir_model_metric_measure(s.metric, &outcomes, &truth, &err), WEIR_OK);
    assert_true(board.leaders[0].mean > truth - 0.02);
    assert_true(board.leaders[0].mean < truth + 0.02); /* more would be a leak */
    assert_true(isnan(board.leaders[0].p_worse));
    weir_leaderboard_done(&board);
    weir_trainset_done(&set);
}

static void failures_are_recorded_and_counted_and_nothing_more(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    /* lasso with alpha far too small for one sweep does not converge */
    cJSON *space = cJSON_Parse(
        "{\"algorithm\": [\"ridge\", \"lasso\"], \"max_iterations\": {\"int\": [1, 1], \"when\": {\"algorithm\": [\"lasso\"]}}, \"tol\": {\"float\": [1e-14, "
        "1e-13], \"when\": {\"algorithm\": [\"lasso\"]}}, \"alpha\": {\"float\": [0.001, 0.01]}}");
    cJSON *candidates = cJSON_Parse("[{\"algorithm\": \"nothing\"}, {\"algorithm\": \"ridge\", \"params\": {\"alpha\": 7}}]");
    s.space = space;
    s.candidates = candidates;
    s.pruner = "none";
    s.trial_max = 10;
    weir_leaderboard board = search(&s);
    assert_int_equal(board.trials, 10);
    assert_true(board.failed > 0 && board.failed < 10);
    int with_candidate = 0;
    for (int i = 0; i < board.count; i++) {
        assert_string_equal(board.leaders[i].name, "ridge");
        with_candidate += board.leaders[i].trial == -1;
    }
    assert_int_equal(with_candidate, 1);
    assert_int_equal(board.count, board.trials - board.failed + 1);
    weir_leaderboard_done(&board);
    cJSON_Delete(space);
    cJSON_Delete(candidates);
    weir_trainset_done(&set);
}

/* A name, and parameters that are the defaults, make no other model. */
static void a_candidate_that_a_trial_was_is_not_fitted_again(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    cJSON *candidates =
        cJSON_Parse("[{\"name\": \"mine\", \"algorithm\": \"ridge\"}, {\"algorithm\": \"ridge\", \"params\": {\"alpha\": 1}, \"preprocessing\": []}]");
    cJSON *space = cJSON_Parse("{\"algorithm\": [\"ridge\"]}");
    s.space = space;
    s.candidates = candidates;
    s.ensembles = false;
    s.trial_max = 1;
    weir_leaderboard board = search(&s);
    assert_int_equal(board.count, 1);
    assert_int_equal(board.leaders[0].trial, 0);
    weir_leaderboard_done(&board);
    cJSON_Delete(space);
    cJSON_Delete(candidates);
    weir_trainset_done(&set);
}

static void expect_texts(const char *a, const char *b, bool equal) {
    cJSON *x = cJSON_Parse(a), *y = cJSON_Parse(b);
    char *one = weir_automl_text(x), *two = weir_automl_text(y);
    assert_true(one && two);
    if (!strcmp(one, two) != equal) fail_msg("%s\n%s", one, two);
    cJSON_free(one);
    cJSON_free(two);
    cJSON_Delete(x);
    cJSON_Delete(y);
}

static void specs_that_say_the_same_have_one_text(void **state) {
    (void)state;
    expect_texts("{\"algorithm\": \"xgboost\"}", "{\"params\": {\"eta\": 0.1}, \"algorithm\": \"xgboost\", \"name\": \"x\"}", true);
    expect_texts("{\"algorithm\": \"xgboost\"}", "{\"params\": {\"eta\": 0.2}, \"algorithm\": \"xgboost\"}", false);
    expect_texts("{\"algorithm\": \"xgboost\"}", "{\"algorithm\": \"xgboost\", \"class_weight\": \"balanced\"}", false);
    expect_texts("{\"algorithm\": \"ridge\"}", "{\"algorithm\": \"lasso\"}", false);
    expect_texts("{\"targets\": {\"algorithm\": \"ridge\"}}", "{\"targets\": {\"algorithm\": \"ridge\", \"params\": {\"alpha\": 1}}}", true);
    expect_texts("{\"algorithm\": \"nothing\"}", "{\"algorithm\": \"nothing\", \"params\": {\"a\": 1}}", false);
    expect_texts("{\"ensemble\": \"average\", \"members\": [{\"algorithm\": \"ridge\"}]}",
                 "{\"ensemble\": \"average\", \"members\": [{\"algorithm\": \"lasso\"}]}", false);
}

/* The first trial is the good one: with five trials the median prunes none yet, but those that lose to it on the first folds end there. */
static void trials_that_lose_to_the_best_of_their_algorithm_are_dropped(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    cJSON *space = cJSON_Parse("{\"algorithm\": [\"ridge\"], \"alpha\": {\"float\": [1, 1e7], \"log\": true}}");
    s.space = space;
    s.ensembles = false;
    s.trial_max = 5;
    for (int i = 0; i < 2; i++) {
        s.pruner = i ? "none" : NULL;
        weir_leaderboard board = search(&s);
        assert_int_equal(board.trials, 5);
        if ((board.pruned > 0) != (i == 0)) fail_msg("%d trials pruned, pruner %s", board.pruned, i ? "none" : "the usual one");
        assert_int_equal(board.leaders[0].trial, 0);
        weir_leaderboard_done(&board);
    }
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

static int leaders_of(const weir_leaderboard *board, const char *algorithm) {
    int count = 0;
    for (int i = 0; i < board->count; i++) count += !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(board->leaders[i].spec, "algorithm")), algorithm);
    return count;
}

/* Ridge has one flat optimum and is at first the better one; the trees get better with more rounds. */
static void an_algorithm_that_gains_nothing_any_more_is_passed_over(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    cJSON *space = cJSON_Parse(
        "{\"algorithm\": [\"ridge\", \"xgboost\"], \"ridge.alpha\": {\"float\": [1e-6, 1e-2], \"log\": true, \"when\": {\"algorithm\": [\"ridge\"]}},"
        " \"xgboost.rounds\": {\"int\": [1, 20], \"when\": {\"algorithm\": [\"xgboost\"]}}}");
    int fitted[2], trees[2];
    assert_non_null(space);
    s.space = space;
    s.ensembles = false;
    s.trial_max = 90;
    for (int i = 0; i < 2; i++) {
        s.pruner = i ? "none" : NULL;
        weir_leaderboard board = search(&s);
        assert_int_equal(board.trials, 90);
        fitted[i] = leaders_of(&board, "ridge");
        trees[i] = leaders_of(&board, "xgboost");
        weir_leaderboard_done(&board);
    }
    if (fitted[0] >= fitted[1] || trees[0] <= trees[1])
        fail_msg("%d fits of ridge and %d of trees on the board, %d and %d without passing over", fitted[0], trees[0], fitted[1], trees[1]);
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

static void nothing_that_fits_is_an_error_with_the_last_reason(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, ROWS, false);
    weir_automl_settings s = settings_of(&set, "roc_auc");
    s.algorithms = (const char *const[]){"xgboost", NULL};
    s.trial_s = 0.001;
    s.trial_max = 2;
    weir_leaderboard board;
    weir_err err;
    assert_int_equal(weir_automl_run(&s, &board, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "; the last one: it took longer than a trial may"));
    weir_trainset_done(&set);
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Many rounds: interrupted between two of them. Without that one fit would take over a minute. */
static void a_trial_that_takes_too_long_is_interrupted(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, ROWS, false);
    weir_automl_settings s = settings_of(&set, "roc_auc");
    cJSON *space = cJSON_Parse("{\"algorithm\": [\"logistic\", \"xgboost\"], \"rounds\": {\"int\": [10000, 10000], \"when\": {\"algorithm\": [\"xgboost\"]}}, "
                               "\"max_depth\": {\"int\": "
                               "[12, 12], \"when\": {\"algorithm\": [\"xgboost\"]}}}");
    s.space = space;
    s.trial_s = 0.3;
    s.trial_max = 2;
    double began = seconds_now();
    weir_leaderboard board = search(&s);
    assert_true(seconds_now() - began < 5);
    assert_int_equal(board.count, 1);
    assert_string_equal(board.leaders[0].name, "logistic");
    assert_int_equal(board.failed, 1);
    weir_leaderboard_done(&board);
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

static void a_budget_is_kept(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, ROWS, false);
    weir_automl_settings s = settings_of(&set, "roc_auc");
    s.budget_s = 1.5;
    s.algorithms = (const char *const[]){"logistic", "xgboost", NULL};
    s.ensembles = true;
    double began = seconds_now();
    weir_leaderboard board = search(&s);
    double took = seconds_now() - began;
    assert_string_equal(board.ended, "budget");
    assert_true(took < 3); /* a busy machine */
    assert_true(board.trials >= 2);
    weir_leaderboard_done(&board);
    weir_trainset_done(&set);
}

typedef struct told {
    _Atomic bool cancel;
    int calls, last_done;
    double best;
    bool named;
} told;

static void on_progress(void *context, const weir_automl_progress *p) {
    told *t = context;
    t->calls++;
    assert_true(p->trials_done >= t->last_done);
    t->last_done = p->trials_done;
    if (!isnan(p->best)) {
        assert_true(isnan(t->best) || p->best >= t->best);
        t->best = p->best;
        t->named = *p->best_name != 0;
    }
    if (p->trials_done >= 3) t->cancel = true;
}

static void a_cancelled_search_ends_with_the_best_so_far(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, FEW, false);
    weir_automl_settings s = settings_of(&set, "roc_auc");
    told t = {.best = NAN};
    s.algorithms = just_logistic;
    s.cancel = &t.cancel;
    s.progress = on_progress;
    s.progress_context = &t;
    weir_leaderboard board = search(&s);
    assert_string_equal(board.ended, "cancelled");
    assert_int_equal(board.trials, 3);
    assert_true(t.named && t.calls >= 3);
    assert_true(board.leaders[0].mean == t.best);
    weir_leaderboard_done(&board);
    t.cancel = true;
    weir_err err;
    assert_int_equal(weir_automl_run(&s, &board, &err), WEIR_ENOTFOUND); /* before anything was fitted */
    weir_trainset_done(&set);
}

/* "linear" has nothing to choose: its one point is fitted once, told again from memory, and the search sees that there is no more. */
static void a_space_of_one_point_ends_the_search(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    cJSON *space = cJSON_Parse("{\"algorithm\": [\"linear\"]}");
    s.space = space;
    weir_leaderboard board = search(&s);
    assert_string_equal(board.ended, "space");
    assert_int_equal(board.count, 1);
    weir_leaderboard_done(&board);
    s.sampler = "grid";
    board = search(&s);
    assert_string_equal(board.ended, "space");
    assert_int_equal(board.trials, 1);
    weir_leaderboard_done(&board);
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

static void pruned_trials_are_counted_and_not_on_the_board(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    for (int halving = 0; halving < 2; halving++) {
        weir_automl_settings s = settings_of(&set, "rmse");
        cJSON *space = cJSON_Parse("{\"algorithm\": [\"ridge\"], \"alpha\": {\"float\": [0.001, 1e6], \"log\": true}}");
        s.space = space;
        s.pruner = halving ? "halving" : "median";
        s.sampler = "random";
        s.trial_max = 25;
        weir_leaderboard board = search(&s);
        assert_true(board.pruned > 3 && board.failed == 0);
        assert_int_equal(board.count + board.pruned, 25);
        weir_leaderboard_done(&board);
        cJSON_Delete(space);
    }
    weir_trainset_done(&set);
}

static void several_objectives_give_a_front_to_select_from(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    cJSON *space = cJSON_Parse("{\"algorithm\": [\"ridge\"], \"alpha\": {\"float\": [0.001, 1e6], \"log\": true}}");
    s.space = space;
    s.trial_max = 15;
    s.objectives = (const char *const[]){"mae", "predict_seconds", NULL};
    s.selection = (weir_selection){.rule = WEIR_SELECT_LEXICOGRAPHIC, .order = {1, 0, 2}};
    weir_leaderboard board = search(&s);
    assert_int_equal(board.pruned, 0);
    /* the one with the least mean absolute error: judged again here from its spec */
    double least = INFINITY;
    int expected = -1;
    for (int i = 0; i < board.count; i++) {
        weir_split_plan *plan;
        const weir_split_rows rows = weir_trainset_split_rows(&set);
        weir_crossval result;
        weir_err err;
        assert_int_equal(weir_split_plan_new(&folds3, &rows, &plan, &err), WEIR_OK);
        const weir_crossval_options options = {.fit = {.seed = 3, .threads = 1}, .metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "mae")};
        assert_int_equal(weir_crossval_run(board.leaders[i].spec, &set, plan, &options, &result, &err), WEIR_OK);
        if (result.mean < least) {
            least = result.mean;
            expected = i;
        }
        weir_crossval_done(&result);
        weir_split_plan_free(plan);
    }
    assert_int_equal(board.winner, expected);
    weir_leaderboard_done(&board);
    s.objectives = (const char *const[]){"beauty", NULL};
    weir_err err;
    assert_int_equal(weir_automl_run(&s, &board, &err), WEIR_EINVAL);
    cJSON_Delete(space);
    weir_trainset_done(&set);
}

/* ---- ensembles ---- */

/* Contenders whose scores out of fold are given. */
static weir_search search_of_scores(const weir_automl_settings *settings, int rows, int folds, bool by_time) {
    weir_search s = {.settings = settings, .fold_count = folds, .output_count = 1, .test_to_train = 0.5, .train_share = 0.5, .by_time = by_time};
    s.fold_of = weir_models_calloc((size_t)rows, sizeof *s.fold_of);
    for (int r = 0; r < rows; r++) s.fold_of[r] = r * folds / rows;
    weir_err err;
    assert_int_equal(weir_watch_start(settings, NULL, &s.watch, &err), WEIR_OK);
    return s;
}

static void add_scores(weir_search *s, const char *algorithm, int rows, const double *scores) {
    char text[64];
    snprintf(text, sizeof text, "{\"algorithm\": \"%s\"}", algorithm);
    weir_contender c = {.spec = cJSON_Parse(text), .trial = s->count};
    weir_err err;
    c.fold_values = weir_models_calloc((size_t)s->fold_count, sizeof *c.fold_values);
    c.scores = weir_models_calloc((size_t)rows, sizeof *c.scores);
    memcpy(c.scores, scores, (size_t)rows * sizeof *scores);
    assert_int_equal(weir_search_measure(s, s->settings->metric, scores, c.fold_values, &err), WEIR_OK);
    weir_search_summary(c.fold_values, s->fold_count, &c.mean, &c.deviation);
    assert_int_equal(weir_search_add(s, &c, &err), WEIR_OK);
}

static void free_scores(weir_search *s) {
    weir_watch_stop(s->watch);
    for (int i = 0; i < s->count; i++) weir_contender_done(&s->contenders[i]);
    weir_models_free(s->contenders);
    weir_models_free(s->fold_of);
}

static const weir_contender *ensemble_of(const weir_search *s, const char *kind) {
    for (int i = 0; i < s->count; i++) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(s->contenders[i].spec, "ensemble"));
        if (name && !strcmp(name, kind)) return &s->contenders[i];
    }
    return NULL;
}

/* Two members whose errors are +e and −e in fold 0, +e and −3e in fold 1, +e and +e in fold 2. Squared error of the average: 0, e², e².
 * Weights (of the first) that were fitted on the other folds' rows, each fold half the rows that are seen:
 *   fold 0 is judged by those of folds 1 and 2:  min (w − 3(1 − w))² + 1 → 3/4, error e(3/4 − 1/4) = e/2
 *   fold 1 by folds 0 and 2:  min (2w − 1)² + 1 → 1/2, error e(1/2 − 3/2) = −e
 *   fold 2 by folds 0 and 1:  min (2w − 1)² + (4w − 3)² → 2(2(2w − 1) + 4(4w − 3)) = 0 → 20 w = 14 → 7/10, error e
 * Fitted on all rows, as must not be, the weight would be one number. Forward in time: fold 0 by the plain average, error 0; fold 1 by fold 0: 1/2, error −e;
 * fold 2 as above. */
static void weights_are_judged_on_rows_that_they_were_not_fitted_on(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, FEW, false);
    weir_automl_settings settings = settings_of(&set, "rmse");
    const double e = 0.5, first[3] = {e, e, e}, second[3] = {-e, -3 * e, e};
    for (int by_time = 0; by_time < 2; by_time++) {
        weir_search s = search_of_scores(&settings, FEW, 3, by_time);
        double a[FEW], b[FEW];
        weir_err err;
        for (int r = 0; r < FEW; r++) {
            a[r] = set.matrix.label[r] + first[s.fold_of[r]];
            b[r] = set.matrix.label[r] + second[s.fold_of[r]];
        }
        add_scores(&s, "ridge", FEW, a);
        add_scores(&s, "lasso", FEW, b);
        if (weir_search_ensembles(&s, &err) != WEIR_OK) fail_msg("%s", err.message);
        const weir_contender *average = ensemble_of(&s, "average"), *weighted = ensemble_of(&s, "weighted"), *stacking = ensemble_of(&s, "stacking");
        assert_true(average && weighted && stacking);
        const double of_average[3] = {0, e, e}, of_weighted[3] = {by_time ? 0 : e / 2, e, e};
        for (int f = 0; f < 3; f++) {
            assert_true(fabs(average->fold_values[f] - of_average[f]) < 1e-9);
            assert_true(fabs(weighted->fold_values[f] - of_weighted[f]) < 1e-4);
        }
        if (by_time) assert_true(fabs(stacking->fold_values[0]) < 1e-9); /* nothing comes before: the plain average */
        assert_int_equal(weighted->trial, -1);
        free_scores(&s);
    }
    weir_trainset_done(&set);
}

/* Members that are noise: weights and stacks that were judged on the rows they were fitted on would look better than chance. 40 rows, 5 members, 60 draws: the
 * mean AUC of the stack is that of chance. Fitted on all rows and judged on them it would be 0.70 (scikit-learn's LogisticRegression, 600 draws). */
static void a_stack_of_noise_is_no_better_than_chance(void **state) {
    (void)state;
    enum { SMALL = 40, DRAWS = 60 };
    weir_trainset set = set_of(WEIR_TASK_BINARY, SMALL, false);
    weir_automl_settings settings = settings_of(&set, "roc_auc");
    static const char *const names[] = {"logistic", "xgboost", "random_forest", "svr", "ridge"};
    uint64_t random = 99;
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        weir_search s = search_of_scores(&settings, SMALL, 4, false);
        weir_err err;
        for (int r = 0; r < SMALL; r++) set.targets[r] = (r + r / 10) % 2; /* both classes in every fold */
        for (int m = 0; m < 5; m++) {
            double scores[SMALL];
            for (int r = 0; r < SMALL; r++) scores[r] = uniform(&random);
            add_scores(&s, names[m], SMALL, scores);
        }
        assert_int_equal(weir_search_ensembles(&s, &err), WEIR_OK);
        sum += ensemble_of(&s, "stacking")->mean;
        free_scores(&s);
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 0.06);
    weir_trainset_done(&set);
}

static void ensembles_are_on_the_board_and_can_be_fitted(void **state) {
    (void)state;
    for (int task = 0; task < 3; task++) {
        weir_trainset set = set_of(task, FEW, true);
        weir_automl_settings s = settings_of(&set, task == WEIR_TASK_BINARY ? "log_loss" : task == WEIR_TASK_MULTICLASS ? "accuracy" : "rmse");
        cJSON *space =
            cJSON_Parse(task == WEIR_TASK_REGRESSION ? "{\"algorithm\": [\"ridge\", \"linear\"], \"encode\": [\"one_hot\"]}"
                                                     : "{\"algorithm\": [\"logistic\"], \"l2\": {\"float\": [0.1, 100]}, \"encode\": [\"one_hot\"]}");
        s.space = space;
        s.trial_max = 4;
        s.ensembles = true;
        weir_leaderboard board = search(&s);
        int fitted = 0;
        for (int i = 0; i < board.count; i++) {
            weir_buf artifact = {0};
            weir_err err;
            if (!cJSON_HasObjectItem(board.leaders[i].spec, "ensemble")) continue;
            const weir_fit_options options = {.split = &folds3, .seed = 3, .threads = 1};
            if (weir_spec_fit(board.leaders[i].spec, &set, &options, &artifact, &err) != WEIR_OK) fail_msg("%s", err.message);
            weir_buf_done(&artifact);
            fitted++;
        }
        assert_int_equal(fitted, 3);
        weir_leaderboard_done(&board);
        cJSON_Delete(space);
        weir_trainset_done(&set);
    }
}

/* ---- the leaderboard ---- */

static void add(weir_search *s, const char *spec, int trial, double fit_s, const double *folds) {
    weir_contender c = {.spec = cJSON_Parse(spec), .trial = trial, .fit_s = fit_s};
    weir_err err;
    c.fold_values = weir_models_calloc((size_t)s->fold_count, sizeof *c.fold_values);
    memcpy(c.fold_values, folds, (size_t)s->fold_count * sizeof *folds);
    weir_search_summary(folds, s->fold_count, &c.mean, &c.deviation);
    assert_int_equal(weir_search_add(s, &c, &err), WEIR_OK);
}

/* Oracle: scipy.stats. With five folds, ratio 1/4: t = mean(d) / sqrt((1/5 + 1/4) var(d, ddof=1)), p = 2 t.sf(|t|, 4), Holm over the three p.
 *   d1 = −(.01 .02 .015 .012 .018), d2 = −(.001 .03 −.02 .01 .004), d3 = −(.1 .11 .09 .12 .1)
 *   p  = 0.00560487, 0.699619, 0.000169367  →  Holm 0.0112097, 0.699619, 0.000508102 */
static void the_board_tells_who_is_worse_beyond_chance(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, FEW, false);
    weir_automl_settings settings = settings_of(&set, "roc_auc");
    weir_search s = {.settings = &settings, .fold_count = 5, .output_count = 1, .test_to_train = 0.25};
    const double best[5] = {0.8, 0.82, 0.79, 0.81, 0.8}, d[3][5] = {{.01, .02, .015, .012, .018}, {.001, .03, -.02, .01, .004}, {.1, .11, .09, .12, .1}};
    double folds[3][5];
    for (int i = 0; i < 3; i++)
        for (int f = 0; f < 5; f++) folds[i][f] = best[f] - d[i][f];
    add(&s, "{\"algorithm\": \"random_forest\"}", 4, 0.1, folds[2]);
    add(&s, "{\"algorithm\": \"xgboost\"}", 1, 10, best);
    add(&s, "{\"algorithm\": \"logistic\"}", 2, 4, folds[0]);
    add(&s, "{\"algorithm\": \"logistic\", \"params\": {\"l2\": 3}}", 3, 4.5, folds[1]);
    weir_leaderboard board;
    weir_err err;
    assert_int_equal(weir_search_board(&s, -1, &board, &err), WEIR_OK);
    const int trials[] = {1, 3, 2, 4};
    const double p[] = {NAN, 0.699619, 0.0112097, 0.000508102};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(board.leaders[i].trial, trials[i]);
        if (i) assert_true(fabs(board.leaders[i].p_worse / p[i] - 1) < 2e-5);
    }
    assert_true(isnan(board.leaders[0].p_worse));
    assert_int_equal(board.winner, 0);
    weir_leaderboard_done(&board);
    assert_int_equal(weir_search_board(&s, 4, &board, &err), WEIR_OK);
    assert_int_equal(board.winner, 3); /* chosen from a front */
    weir_leaderboard_done(&board);
    cJSON *ensemble = cJSON_Parse("{\"ensemble\": \"average\", \"members\": []}");
    for (int i = 0; i < s.count; i++) {
        if (s.contenders[i].trial != 1) continue;
        cJSON_Delete(s.contenders[i].spec);
        s.contenders[i].spec = ensemble;
    }
    assert_int_equal(weir_search_board(&s, -1, &board, &err), WEIR_OK);
    assert_int_equal(board.winner, 1); /* the best single model is not told apart from the ensemble, and within one standard error */
    weir_leaderboard_done(&board);
    for (int i = 0; i < s.count; i++) weir_contender_done(&s.contenders[i]);
    weir_models_free(s.contenders);
    weir_trainset_done(&set);
}

static void bad_settings_are_refused(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_BINARY, FEW, false);
    weir_leaderboard board;
    weir_err err;
    for (int i = 0; i < 7; i++) {
        weir_automl_settings s = settings_of(&set, "roc_auc");
        cJSON *space = cJSON_Parse("{\"algorithm\": [\"logistic\"], \"x\": {\"int\": [2, 1]}}");
        if (i == 0) s.budget_s = 0;
        if (i == 1) s.metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
        if (i == 2) s.threads = 0;
        if (i == 3) s.sampler = "oracle";
        if (i == 4) s.pruner = "shears";
        if (i == 5) s.pg_url = "postgresql://nowhere";
        if (i == 6) s.space = space;
        assert_int_equal(weir_automl_run(&s, &board, &err), WEIR_EINVAL);
        if (i == 6) assert_non_null(strstr(err.message, "$.tuning.space.x"));
        cJSON_Delete(space);
    }
    weir_trainset_done(&set);
}

/* ---- a section of a file ---- */

static weir_status read_section(const char *text, weir_automl_kept *kept, weir_automl_settings *settings, cJSON **ret_json, weir_err *err) {
    *ret_json = cJSON_Parse(text);
    assert_non_null(*ret_json);
    *settings = (weir_automl_settings){.seed = 42, .threads = 2, .budget_s = 60, .trial_max = 9};
    return weir_automl_settings_from_json(*ret_json, "$.training.tuning", weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse"), kept, settings, err);
}

static void a_section_of_a_file_makes_settings(void **state) {
    (void)state;
    weir_automl_kept kept;
    weir_automl_settings s;
    cJSON *json;
    weir_err err;
    const char *text =
        "{\"budget\": \"30m\", \"trials\": 50, \"trial_time\": \"2m\", \"algorithms\": [\"xgboost\", \"ridge\"], \"ensembles\": true, \"seed\": 7, "
        "\"sampler\": \"random\", \"validation\": {\"scheme\": \"k_fold\", \"folds\": 4}, \"objectives\": [\"mae\", \"fit_seconds\"], "
        "\"selection\": {\"rule\": \"lexicographic\", \"order\": [\"mae\", \"fit_seconds\", \"rmse\"], \"tolerance\": [0, 0.5, 1]}}";
    if (read_section(text, &kept, &s, &json, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_true(s.budget_s == 1800 && s.trial_max == 50 && s.trial_s == 120 && s.ensembles && s.seed == 7 && s.threads == 2);
    assert_string_equal(s.algorithms[1], "ridge");
    assert_null(s.algorithms[2]);
    assert_string_equal(s.sampler, "random");
    assert_int_equal(s.split->folds, 4);
    assert_string_equal(s.objectives[1], "fit_seconds");
    assert_int_equal(s.selection.rule, WEIR_SELECT_LEXICOGRAPHIC);
    assert_true(s.selection.order[0] == 1 && s.selection.order[1] == 2 && s.selection.order[2] == 0 && s.selection.tolerance[1] == 0.5);
    cJSON_Delete(json);
    assert_int_equal(read_section("{}", &kept, &s, &json, &err), WEIR_OK); /* what is not named stays */
    assert_true(s.budget_s == 60 && s.trial_max == 9 && s.seed == 42 && !s.algorithms && !s.split);
    cJSON_Delete(json);
}

static void a_bad_section_is_refused_with_path_found_and_expected(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"{\"buget\": \"1m\"}", "$.training.tuning.buget: unknown key; did you mean 'budget'?"},
        {"{\"budget\": 30}", "$.training.tuning.budget: found a number, expected a duration"},
        {"{\"budget\": \"0s\"}", "$.training.tuning.budget: found '0s', expected a duration of more than 0"},
        {"{\"trials\": 1.5}", "$.training.tuning.trials: found 1.5, expected a whole number"},
        {"{\"algorithms\": [\"xgbost\"]}", "$.training.tuning.algorithms[0]: there is no 'xgbost'; did you mean 'xgboost'?"},
        {"{\"algorithms\": []}", "$.training.tuning.algorithms: found an array of 0"},
        {"{\"algorithms\": [\"ridge\"], \"space\": {\"algorithm\": [\"ridge\"]}}", "$.training.tuning.algorithms: found them with a \"space\""},
        {"{\"sampler\": \"tp\"}", "$.training.tuning.sampler: there is no 'tp'; did you mean 'tpe'?"},
        {"{\"pruner\": \"medium\"}", "$.training.tuning.pruner: there is no 'medium'"},
        {"{\"space\": {\"algorithm\": [\"ridge\"], \"alpha\": {\"float\": [2, 1]}}}", "$.training.tuning.space.alpha"},
        {"{\"validation\": {\"scheme\": \"fold\"}}", "$.training.tuning.validation"},
        {"{\"objectives\": [\"beauty\"]}", "$.training.tuning.objectives[0]: found 'beauty'"},
        {"{\"objectives\": [\"mae\"], \"cost_weight\": 1}", "$.training.tuning.cost_weight: found 1 with several objectives"},
        {"{\"selection\": {\"rule\": \"knee\"}}", "$.training.tuning.selection: found one without \"objectives\""},
        {"{\"objectives\": [\"mae\"], \"selection\": {\"rule\": \"weights\", \"weights\": [1]}}", "$.training.tuning.selection.weights: found an array of 1"},
        {"{\"objectives\": [\"mae\"], \"selection\": {\"rule\": \"lexicographic\", \"order\": [\"mae\", \"mae\"]}}",
         "$.training.tuning.selection.order[1]: found 'mae'"},
        {"{\"objectives\": [\"mae\"], \"selection\": {\"rule\": \"need\"}}", "$.training.tuning.selection.rule: there is no 'need'; did you mean 'knee'?"},
        {"{\"ensembles\": 1}", "$.training.tuning.ensembles: found a number, expected true or false"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_automl_kept kept;
        weir_automl_settings s;
        cJSON *json;
        weir_err err;
        assert_int_equal(read_section(bad[i].text, &kept, &s, &json, &err), WEIR_EINVAL);
        if (strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) fail_msg("found: %s\nexpected: %s", err.message, bad[i].message);
        assert_true(s.budget_s == 60 && !s.split);
        cJSON_Delete(json);
    }
}

static void memory_that_runs_out_leaves_nothing_behind(void **state) {
    (void)state;
    weir_trainset set = set_of(WEIR_TASK_REGRESSION, 60, false);
    weir_automl_settings s = settings_of(&set, "rmse");
    s.algorithms = quick_ones;
    s.trial_max = 2;
    s.ensembles = true;
    weir_leaderboard board;
    weir_err err;
    void *(*usual)(void *, size_t) = weir_mem.realloc;
    int refused = 0;
    for (int n = 0; n < 3000; n += n < 100 ? 1 : 17) {
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_automl_run(&s, &board, &err);
        weir_mem.realloc = usual;
        if (status == WEIR_OK)
            weir_leaderboard_done(&board);
        else
            refused++;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM || status == WEIR_ENOTFOUND);
    }
    assert_true(refused > 20);
    weir_trainset_done(&set);
}

static int set_up(void **state) {
    (void)state;
    fixture_init(&all);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_of_the_default_space_is_a_valid_spec),
        cmocka_unit_test(the_space_has_what_the_set_needs_and_no_more),
        cmocka_unit_test(rare_positives_bring_their_weight_into_the_space),
        cmocka_unit_test(a_point_becomes_a_spec),
        cmocka_unit_test(equal_seeds_give_equal_leaderboards),
        cmocka_unit_test(a_search_finds_a_model_as_good_as_the_truth),
        cmocka_unit_test(failures_are_recorded_and_counted_and_nothing_more),
        cmocka_unit_test(nothing_that_fits_is_an_error_with_the_last_reason),
        cmocka_unit_test(a_trial_that_takes_too_long_is_interrupted),
        cmocka_unit_test(a_budget_is_kept),
        cmocka_unit_test(a_cancelled_search_ends_with_the_best_so_far),
        cmocka_unit_test(a_space_of_one_point_ends_the_search),
        cmocka_unit_test(pruned_trials_are_counted_and_not_on_the_board),
        cmocka_unit_test(a_candidate_that_a_trial_was_is_not_fitted_again),
        cmocka_unit_test(specs_that_say_the_same_have_one_text),
        cmocka_unit_test(trials_that_lose_to_the_best_of_their_algorithm_are_dropped),
        cmocka_unit_test(an_algorithm_that_gains_nothing_any_more_is_passed_over),
        cmocka_unit_test(several_objectives_give_a_front_to_select_from),
        cmocka_unit_test(weights_are_judged_on_rows_that_they_were_not_fitted_on),
        cmocka_unit_test(a_stack_of_noise_is_no_better_than_chance),
        cmocka_unit_test(ensembles_are_on_the_board_and_can_be_fitted),
        cmocka_unit_test(the_board_tells_who_is_worse_beyond_chance),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(a_section_of_a_file_makes_settings),
        cmocka_unit_test(a_bad_section_is_refused_with_path_found_and_expected),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
