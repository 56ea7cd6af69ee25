/* The steps of a training job on rows in memory: what each leaves, and where a job goes on that did not end. What the steps compute is tested with their modules. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../starve.h"
#include "models/folds.h"
#include "models/json_file.h"
#include "models/workshop.h"
#include "trainset_fixture.h"

enum { TRAIN = 400, TEST = 200, STEPS = 7, SEEN_MAX = 64 };

static fixture data;
static char folder[64];
static int folders;

/* A workshop's surroundings: rows of the fixture, a search that is counted, and versions that are kept in memory. */
typedef struct place {
    const fixture *rows;
    weir_task task;
    int train; /* rows */
    bool timed, fail_search, fail_persist;
    int reads, searches, persists, notes;
    char seen[SEEN_MAX][16]; /* steps that began */
    int seen_count;
    char noted[WEIR_FOLDS_WORDS];
    double threshold[2], f1[2], f1_at_half[2]; /* of the finalists; f1 as measured here */
    double told_f1[2]; /* as the job says */
    int finalists;
    char path[256];
    void *(*plenty)(void *, size_t);
} place;

static weir_status read_rows(void *context, weir_trainset *ret_train, weir_trainset *ret_test, cJSON *result, weir_err *err) {
    place *p = context;
    const weir_allocator before = weir_mem;
    (void)err;
    p->reads++;
    weir_mem.realloc = p->plenty ? p->plenty : weir_mem.realloc; /* the fixture's own memory does not run out */
    *ret_train = fixture_set(p->rows, p->task, 0, p->train, p->timed);
    *ret_test = fixture_set(p->rows, p->task, ROWS - TEST, TEST, p->timed);
    weir_mem = before;
    cJSON *split = cJSON_AddObjectToObject(result, "split");
    cJSON_AddStringToObject(split, "scheme", "by hand");
    cJSON_AddStringToObject(split, "words", "the last rows are tested");
    return WEIR_OK;
}

static weir_status search(void *context, const weir_automl_settings *settings, weir_leaderboard *ret_board, weir_err *err) {
    place *p = context;
    p->searches++;
    if (p->fail_search) return WEIR_FAIL(err, WEIR_EIO, "the cellar is full of water");
    return weir_automl_run(settings, ret_board, err);
}

/* F1 on the test rows, from the model itself. */
static double f1_of(const place *p, weir_model *model, double threshold) {
    static double scores[ROWS];
    weir_trainset test = fixture_set(p->rows, p->task, ROWS - TEST, TEST, p->timed);
    weir_err err;
    double value = NAN;
    if (weir_model_predict(model, test.matrix.values, TEST, scores, &err)) fail_msg("%s", err.message);
    const weir_outcomes outcomes = {.row_count = TEST, .label = test.matrix.label, .score = scores, .threshold = threshold};
    assert_int_equal(weir_model_metric_measure(weir_model_metric_find(WEIR_TASK_BINARY, "f1"), &outcomes, &value, &err), WEIR_OK);
    weir_trainset_done(&test);
    return value;
}

static weir_status persist(void *context, const weir_finalist *finalists, int count, const cJSON *report, cJSON *result, weir_err *err) {
    place *p = context;
    p->persists++;
    if (p->fail_persist) return WEIR_FAIL(err, WEIR_EIO, "no room on the shelf");
    p->finalists = count;
    for (int i = 0; p->task == WEIR_TASK_BINARY && i < count && i < 2; i++) {
        p->threshold[i] = finalists[i].threshold;
        p->f1[i] = f1_of(p, finalists[i].model, finalists[i].threshold);
        p->f1_at_half[i] = f1_of(p, finalists[i].model, 0.5);
        p->told_f1[i] = cJSON_GetNumberValue(cJSON_GetObjectItem(finalists[i].metrics, "f1"));
    }
    assert_string_equal(cJSON_GetObjectItem(report, "format")->valuestring, "weir-assessment");
    cJSON_AddStringToObject(result, "shelf", "upper");
    return WEIR_OK;
}

static void watch(void *context, const char *step, int number, int count, double seconds, const weir_err *error) {
    place *p = context;
    (void)error;
    assert_int_equal(count, STEPS);
    assert_in_range(number, 0, STEPS - 1);
    if (seconds < 0 && p->seen_count < SEEN_MAX) snprintf(p->seen[p->seen_count++], sizeof p->seen[0], "%s", step);
}

static void note(void *context, const char *words) {
    place *p = context;
    p->notes++;
    snprintf(p->noted, sizeof p->noted, "%s", words);
}

static cJSON *candidates(void) {
    return spec_of("[{\"algorithm\": \"logistic\"}, {\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 8, \"max_bin\": 32}}]");
}

static weir_workshop workshop_in(place *p, const cJSON *specs) {
    static const char *const algorithms[] = {"logistic", "xgboost", NULL};
    return (weir_workshop){
        .id = "job-1",
        .folder = p->path,
        .source = {.read = read_rows, .search = search, .persist = persist, .context = p},
        .budget_s = 600,
        .search = {.metric = weir_model_metric_find(p->task, p->task == WEIR_TASK_BINARY ? "roc_auc" : "f1_macro"),
                   .trial_max = 2,
                   .candidates = specs,
                   .algorithms = algorithms,
                   .seed = 3,
                   .threads = 1},
        .assess = {.title = "a job"},
        .threshold = {.rule = WEIR_THRESHOLD_BEST_F1, .value = 0.5},
        .watch = watch,
        .note = note,
        .watch_context = p,
    };
}

/* In a folder of its own. */
static place place_for(weir_task task, const fixture *rows) {
    place p = {.rows = rows, .task = task, .train = TRAIN};
    snprintf(p.path, sizeof p.path, "%s/%d", folder, folders++);
    return p;
}

static weir_status run(place *p, cJSON **ret_record, weir_err *err) {
    cJSON *specs = candidates(), *request = spec_of("{\"asked\": \"politely\"}");
    weir_workshop w = workshop_in(p, specs);
    w.request = request;
    weir_status status = weir_workshop_run(&w, ret_record, err);
    cJSON_Delete(specs);
    cJSON_Delete(request);
    return status;
}

static bool has_file(const place *p, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", p->path, name);
    return access(path, R_OK) == 0;
}

static cJSON *file_of(const place *p, const char *name) {
    cJSON *json = NULL;
    weir_err err;
    if (weir_json_file_read(p->path, name, &json, &err)) fail_msg("%s", err.message);
    return json;
}

static const cJSON *at(const cJSON *json, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(at(json, name));
    return text ? text : "";
}

static const cJSON *step_of(const cJSON *record, const char *name) {
    const cJSON *step;
    cJSON_ArrayForEach(step, at(record, "steps")) if (!strcmp(text_of(step, "name"), name)) return step;
    fail_msg("no step %s", name);
    return NULL;
}

static void expect_steps(const place *p, int from, const char *const *names) {
    int i = 0;
    for (; names[i]; i++) assert_string_equal(p->seen[from + i], names[i]);
    assert_int_equal(p->seen_count, from + i);
}

/* ---- a job that ends ---- */

static void steps_are_done_in_order_and_leave_their_files(void **state) {
    (void)state;
    static const char *const order[] = {"data", "quality", "search", "fit", "assess", "persist", "report", NULL};
    place p = place_for(WEIR_TASK_BINARY, &data);
    cJSON *record = NULL;
    weir_err err;
    if (run(&p, &record, &err)) fail_msg("%s", err.message);
    expect_steps(&p, 0, order);
    assert_string_equal(text_of(record, "status"), "succeeded");
    for (int i = 0; order[i]; i++) assert_string_equal(text_of(step_of(record, order[i]), "status"), "done");
    static const char *const files[] = {"job.json", "quality.json", "leaderboard.json", "1.weirmodel", "2.weirmodel", "report.json", "report.html"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!has_file(&p, files[i])) fail_msg("no %s", files[i]);
    const cJSON *found = at(step_of(record, "data"), "result");
    assert_int_equal(at(at(found, "train"), "rows")->valueint, TRAIN);
    assert_int_equal(at(at(found, "test"), "rows")->valueint, TEST);
    assert_string_equal(text_of(at(found, "folds"), "scheme"), "stratified_k_fold");
    assert_int_equal(at(at(found, "folds"), "count")->valueint, 5);
    cJSON *report = file_of(&p, "report.json");
    assert_string_equal(text_of(at(at(report, "split"), "test"), "words"), "the last rows are tested");
    assert_string_equal(text_of(at(at(report, "split"), "folds"), "words"), "stratified_k_fold, 5 folds");
    assert_string_equal(text_of(at(report, "kept"), "shelf"), "upper");
    assert_int_equal(p.notes, 2); /* how rows were told apart, and which folds nobody had asked for */
    cJSON_Delete(report);
    cJSON_Delete(record);
}

static void every_finalist_is_measured_at_its_own_threshold(void **state) {
    (void)state;
    place p = place_for(WEIR_TASK_BINARY, &data);
    cJSON *record = NULL;
    weir_err err;
    if (run(&p, &record, &err)) fail_msg("%s", err.message);
    cJSON *report = file_of(&p, "report.json");
    assert_int_equal(p.finalists, 2);
    for (int i = 0; i < 2; i++) {
        const cJSON *model = cJSON_GetArrayItem(at(report, "models"), i);
        assert_true(at(model, "threshold")->valuedouble == p.threshold[i] && p.threshold[i] != 0.5);
        assert_string_equal(text_of(model, "threshold_chosen"), "best F1 on the training rows, out of fold");
        assert_float_equal(at(at(at(model, "metrics"), "f1"), "value")->valuedouble, p.f1[i], 1e-12);
        assert_float_equal(p.told_f1[i], p.f1[i], 1e-12);
        assert_true(p.f1[i] != p.f1_at_half[i]);
    }
    assert_true(p.threshold[0] != p.threshold[1]);
    assert_true(at(at(at(report, "binary"), "threshold"), "value")->valuedouble == p.threshold[0]);
    cJSON_Delete(report);
    cJSON_Delete(record);
}

/* ---- a job that goes on ---- */

static void a_job_goes_on_at_the_step_that_failed(void **state) {
    (void)state;
    place p = place_for(WEIR_TASK_BINARY, &data);
    cJSON *record = NULL, *before, *after;
    weir_err err;
    p.fail_persist = true;
    assert_int_equal(run(&p, &record, &err), WEIR_EIO);
    assert_non_null(strstr(err.message, "step persist"));
    assert_non_null(strstr(err.message, "no room on the shelf"));
    assert_non_null(strstr(err.message, "Run the job again"));
    assert_string_equal(text_of(record, "status"), "failed");
    assert_string_equal(text_of(step_of(record, "persist"), "status"), "failed");
    assert_string_equal(text_of(step_of(record, "report"), "status"), "pending");
    assert_true(has_file(&p, "1.weirmodel") && has_file(&p, "report.json") && !has_file(&p, "report.html"));
    cJSON_Delete(record);
    before = file_of(&p, "report.json");
    int seen = p.seen_count, searches = p.searches;
    p.fail_persist = false;
    if (run(&p, &record, &err)) fail_msg("%s", err.message);
    static const char *const rest[] = {"data", "persist", "report", NULL};
    expect_steps(&p, seen, rest);
    assert_int_equal(p.searches, searches);
    assert_int_equal(p.reads, 2);
    after = file_of(&p, "report.json");
    assert_true(cJSON_Compare(at(before, "models"), at(after, "models"), true));
    for (int i = 0; i < 2; i++) { /* the second one's threshold is not lost either */
        assert_true(at(cJSON_GetArrayItem(at(after, "models"), i), "threshold")->valuedouble == p.threshold[i]);
        assert_float_equal(p.told_f1[i], p.f1[i], 1e-12);
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    cJSON_Delete(record);
}

static void a_search_that_failed_is_done_again_with_the_rows_it_had(void **state) {
    (void)state;
    place p = place_for(WEIR_TASK_BINARY, &data);
    cJSON *record = NULL;
    weir_err err;
    p.fail_search = true;
    assert_int_equal(run(&p, &record, &err), WEIR_EIO);
    assert_non_null(strstr(err.message, "step search: the cellar is full of water"));
    assert_non_null(strstr(err.message, "trials that are done are not done again"));
    assert_true(has_file(&p, "quality.json") && !has_file(&p, "leaderboard.json"));
    cJSON_Delete(record);
    p.fail_search = false;
    p.train = TRAIN - 1; /* other rows than it began with */
    assert_int_equal(run(&p, &record, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "step data: the train rows are not those that the job began with"));
    cJSON_Delete(record);
    p.train = TRAIN;
    int seen = p.seen_count;
    if (run(&p, &record, &err)) fail_msg("%s", err.message);
    static const char *const rest[] = {"data", "search", "fit", "assess", "persist", "report", NULL};
    expect_steps(&p, seen, rest);
    cJSON_Delete(record);
}

static void a_job_that_is_asked_to_stop_is_interrupted(void **state) {
    (void)state;
    place p = place_for(WEIR_TASK_BINARY, &data);
    cJSON *specs = candidates(), *request = spec_of("{}"), *record = NULL;
    weir_workshop w = workshop_in(&p, specs);
    _Atomic bool stop = true;
    weir_err err;
    w.request = request;
    w.abort = &stop;
    assert_int_not_equal(weir_workshop_run(&w, &record, &err), WEIR_OK);
    assert_string_equal(text_of(record, "status"), "interrupted");
    assert_int_equal(p.searches, 0);
    cJSON_Delete(record);
    stop = false;
    if (weir_workshop_run(&w, &record, &err)) fail_msg("%s", err.message);
    assert_string_equal(text_of(record, "status"), "succeeded");
    cJSON_Delete(record);
    cJSON_Delete(specs);
    cJSON_Delete(request);
}

/* ---- rare classes ---- */

/* So many rows of class "high" among those that are learnt from; none is tested. */
static fixture with_rare_class(int rows) {
    fixture f = data;
    int left = rows;
    for (int r = 0; r < ROWS; r++)
        if (f.label_of_class[r] == 1 && (r >= TRAIN || left-- <= 0)) f.label_of_class[r] = 2;
    return f;
}

static void a_rare_class_means_fewer_folds(void **state) {
    (void)state;
    fixture rare = with_rare_class(3);
    place p = place_for(WEIR_TASK_MULTICLASS, &rare);
    cJSON *record = NULL;
    weir_err err;
    if (run(&p, &record, &err)) fail_msg("%s", err.message);
    cJSON *report = file_of(&p, "report.json"), *board = file_of(&p, "leaderboard.json");
    const cJSON *folds = at(at(report, "split"), "folds"), *class = cJSON_GetArrayItem(at(at(report, "multiclass"), "classes"), 1);
    assert_int_equal(at(folds, "count")->valueint, 3);
    assert_string_equal(text_of(folds, "words"), "stratified_k_fold, 3 folds instead of 5, for class 'high' has 3 training rows");
    assert_string_equal(p.noted, text_of(folds, "words"));
    assert_int_equal(cJSON_GetArraySize(at(cJSON_GetArrayItem(board, 0), "folds")), 3);
    assert_string_equal(text_of(class, "none"), "no test row has this class");
    assert_true(cJSON_IsNull(at(class, "recall")) && cJSON_IsNull(at(class, "f1")) && cJSON_IsNull(at(class, "auc")));
    assert_true(cJSON_IsNumber(at(at(at(cJSON_GetArrayItem(at(report, "models"), 0), "metrics"), "f1_macro"), "value")));
    cJSON_Delete(report);
    cJSON_Delete(board);
    cJSON_Delete(record);
}

static void a_class_with_too_few_rows_is_refused_at_once(void **state) {
    (void)state;
    static const char *const words[] = {"class 'high' of target has 0 training rows of 400", "class 'high' of target has 1 training row of 400"};
    for (int rows = 0; rows < 2; rows++) {
        fixture rare = with_rare_class(rows);
        place p = place_for(WEIR_TASK_MULTICLASS, &rare);
        cJSON *record = NULL;
        weir_err err;
        assert_int_equal(run(&p, &record, &err), WEIR_EDATA);
        if (!strstr(err.message, words[rows]) || !strstr(err.message, "step data")) fail_msg("%s", err.message);
        assert_int_equal(p.searches, 0);
        cJSON_Delete(record);
    }
}

/* ---- memory ---- */

/* A new job each time, so that every step meets it; where there are thousands of allocations, not at each of them. */
static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    int failures = 0;
    place p = place_for(WEIR_TASK_REGRESSION, &data);
    cJSON *specs = spec_of("[{\"algorithm\": \"ridge\"}]"), *request = spec_of("{}");
    static const char *const algorithms[] = {"ridge", NULL};
    p.train = 60;
    p.plenty = real;
    for (int n = 0, done = 0; !done; n += 1 + n / 4) {
        weir_workshop w = workshop_in(&p, specs);
        cJSON *record = NULL;
        weir_err err = {0};
        w.search.metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
        w.search.algorithms = algorithms;
        w.search.trial_max = 1;
        w.request = request;
        p.seen_count = 0;
        snprintf(p.path, sizeof p.path, "%s/%d", folder, folders++);
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_workshop_run(&w, &record, &err);
        weir_mem.realloc = real;
        if (status && !err.message[0]) fail_msg("after %d allocations: no message", n);
        failures += status != WEIR_OK;
        done = allocations_left > 0;
        if (done && status) fail_msg("%s", err.message);
        cJSON_Delete(record);
    }
    assert_true(failures > 10);
    cJSON_Delete(specs);
    cJSON_Delete(request);
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-workshop-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    fixture_init(&data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_done_in_order_and_leave_their_files), cmocka_unit_test(every_finalist_is_measured_at_its_own_threshold),
        cmocka_unit_test(a_job_goes_on_at_the_step_that_failed),         cmocka_unit_test(a_search_that_failed_is_done_again_with_the_rows_it_had),
        cmocka_unit_test(a_job_that_is_asked_to_stop_is_interrupted),    cmocka_unit_test(a_rare_class_means_fewer_folds),
        cmocka_unit_test(a_class_with_too_few_rows_is_refused_at_once),  cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
