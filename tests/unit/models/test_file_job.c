/* The job of a training file without its command: what it keeps, and what it does when memory runs out. What it computes is compared with others in
 * test_training_file.c and tests/integration/cli/test_training_file.py. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../starve.h"
#include "models/artifact_file.h"
#include "models/file_job.h"
#include "models/json_file.h"
#include "models/training_trials.h"

static char folder[64];

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int make_rows(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-file-job-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    FILE *file = fopen(path_of("rows.csv"), "w");
    if (!file) return -1;
    fputs("at,x1,x2,y,z\n", file);
    for (int i = 0; i < 120; i++)
        fprintf(file, "%d,%.17g,%d,%.17g,%.17g\n", 1700000000 + 60 * i, i * 37 % 101 / 10.0, i * 53 % 89, i * 37 % 101 * 0.3 + sin(i), 10 + cos(i));
    return fclose(file);
}

static int remove_rows(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static weir_training_file *file_for(const char *store) {
    char text[1024], rows[256];
    weir_training_file *f = NULL;
    weir_err err;
    snprintf(rows, sizeof rows, "%s", path_of("rows.csv"));
    snprintf(
        text, sizeof text,
        "{\"data\": {\"source\": \"%s\", \"target_columns\": [\"y\", \"z\"], \"time_column\": \"at\"}, \"models\": {\"linear_regression\": "
        "{\"hyperparameter_grid\": {\"fit_intercept\": [true, false]}}, \"ridge\": {}}, \"training\": {\"cross_validation\": {\"folds\": 2}}, \"evaluation\": "
        "{\"metrics\": [\"rmse\", \"mape\"]}, \"persistence\": {\"model_registry_path\": \"%s/%s\", \"export_formats\": [\"json\", \"pmml\"]}}",
        rows, folder, store);
    cJSON *json = cJSON_Parse(text);
    if (!json || weir_training_file_read(json, NULL, &f, &err)) fail_msg("%s", json ? err.message : text);
    cJSON_Delete(json);
    return f;
}

static const cJSON *at(const cJSON *json, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static void a_job_leaves_versions_and_results(void **state) {
    (void)state;
    weir_training_file *f = file_for("store");
    weir_file_job_end end;
    weir_err err;
    char out[256];
    snprintf(out, sizeof out, "%s", path_of("jobs"));
    weir_file_job job = {.file = f, .out_dir = out};
    if (weir_file_job_run(&job, &end, &err)) fail_msg("%s", err.message);
    assert_string_equal(at(end.results, "status")->valuestring, "completed");
    const cJSON *models = at(at(end.results, "model_evaluation"), "models");
    assert_int_equal(cJSON_GetArraySize(models), 2); /* the best of each, not both points of one */
    const cJSON *metrics = at(cJSON_GetArrayItem(models, 0), "metrics");
    double y = at(metrics, "rmse_y")->valuedouble, z = at(metrics, "rmse_z")->valuedouble;
    assert_true(fabs(at(metrics, "rmse")->valuedouble - (y + z) / 2) < 1e-12);
    assert_true(y > 0.3 && y < 1.5 && z > 0.3 && z < 1.5); /* a sine and a cosine are what no column tells: 0.7 each */
    assert_int_equal(access(path_of("store/ridge/v1.0.0/model.json"), R_OK), 0);
    assert_int_equal(access(path_of("store/linear_regression/latest/artifacts/report.html"), R_OK), 0);
    weir_file_job_end again;
    job.go_on = "latest";
    if (weir_file_job_run(&job, &again, &err)) fail_msg("%s", err.message);
    assert_string_equal(again.id, end.id);
    job.go_on = "ml_pipeline_0";
    weir_file_job_end none;
    assert_int_equal(weir_file_job_run(&job, &none, &err), WEIR_ENOTFOUND);
    assert_null(none.results);
    job.out_dir = path_of("nowhere");
    job.go_on = "latest";
    assert_int_equal(weir_file_job_run(&job, &none, &err), WEIR_ENOTFOUND);
    cJSON_Delete(end.record);
    cJSON_Delete(end.results);
    cJSON_Delete(again.record);
    cJSON_Delete(again.results);
    weir_training_file_free(f);
}

/* This step of the job, and all after it, are to be done again. */
static void undo_from(const char *job, const char *step) {
    cJSON *record = NULL, *each;
    bool after = false;
    weir_err err;
    assert_int_equal(weir_json_file_read(job, "job.json", &record, &err), WEIR_OK);
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(record, "steps")) {
        after = after || !strcmp(at(each, "name")->valuestring, step);
        if (after) cJSON_SetValuestring(cJSON_GetObjectItemCaseSensitive(each, "status"), "failed");
    }
    assert_int_equal(weir_json_file_write(job, "job.json", record, &err), WEIR_OK);
    cJSON_Delete(record);
}

static void copy_file(const char *from, const char *to) {
    weir_buf bytes = {0};
    weir_err err;
    assert_int_equal(weir_artifact_read_file(from, &bytes, &err), WEIR_OK);
    FILE *file = fopen(to, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
    weir_buf_done(&bytes);
}

static weir_status go_on(weir_file_job *job, weir_err *err) {
    weir_file_job_end end = {0};
    weir_status status = weir_file_job_run(job, &end, err);
    cJSON_Delete(end.record);
    cJSON_Delete(end.results);
    return status;
}

static void what_was_damaged_between_two_steps_is_made_again_or_refused(void **state) {
    (void)state;
    weir_training_file *f = file_for("damaged");
    weir_file_job_end end = {0};
    weir_err err;
    char out[256], first[4200], second[4200], whole[4200], kept[4200];
    snprintf(out, sizeof out, "%s", path_of("damaged-jobs"));
    weir_file_job job = {.file = f, .out_dir = out};
    if (weir_file_job_run(&job, &end, &err)) fail_msg("%s", err.message);
    job.go_on = end.id;
    snprintf(first, sizeof first, "%s/1.weirmodel", end.folder);
    snprintf(second, sizeof second, "%s/2.weirmodel", end.folder);
    snprintf(whole, sizeof whole, "%s/whole", end.folder);
    copy_file(first, whole);
    /* cut off, lost, another model's: fitted again, to the same bytes */
    for (int damage = 0; damage < 3; damage++) {
        undo_from(end.folder, damage == 1 ? "persist" : "assess");
        if (damage == 0) assert_int_equal(truncate(first, 100), 0);
        if (damage == 1) assert_int_equal(unlink(first), 0);
        if (damage == 2) copy_file(second, first);
        if (go_on(&job, &err)) fail_msg("damage %d: %s", damage, err.message);
        weir_buf a = {0}, b = {0};
        assert_int_equal(weir_artifact_read_file(first, &a, &err), WEIR_OK);
        assert_int_equal(weir_artifact_read_file(whole, &b, &err), WEIR_OK);
        assert_true(a.len == b.len && !memcmp(a.data, b.data, a.len));
        weir_buf_done(&a);
        weir_buf_done(&b);
    }
    /* documents of another hand */
    static const struct {
        const char *file, *step, *text, *words;
    } cases[] = {
        {"report.json", "persist", "{}", "report.json is not the report of these 2 models"},
        {"report.json", "report", "{\"models\": [{\"name\": \"m\", \"metrics\": {}}, {}]}", "report.json is not the report of these 2 models"},
        {"leaderboard.json", "fit", "[]", "leaderboard.json names no winner"},
        {"leaderboard.json", "fit", "[{\"winner\": true}]", "leaderboard.json: entry 0 has no \"name\" or no \"spec\""},
        {"leaderboard.json", "fit", "[{\"winner\": true, \"name\": \"m\", \"spec\": {\"algorithm\": \"x\"}}]", "leaderboard.json: m"},
        {"leaderboard.json", "fit", "{", "leaderboard.json is no JSON"},
    };
    snprintf(kept, sizeof kept, "%s/kept", end.folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", end.folder, cases[i].file);
        copy_file(path, kept);
        undo_from(end.folder, cases[i].step);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(cases[i].text, file);
        assert_int_equal(fclose(file), 0);
        assert_int_not_equal(go_on(&job, &err), WEIR_OK);
        if (!strstr(err.message, cases[i].words)) fail_msg("case %zu: %s", i, err.message);
        copy_file(kept, path);
    }
    if (go_on(&job, &err)) fail_msg("%s", err.message);
    cJSON_Delete(end.record);
    cJSON_Delete(end.results);
    weir_training_file_free(f);
}

static void a_training_file_is_told_from_a_pipeline(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is;
    } cases[] = {{"{\"data\": {}, \"models\": {}}", true},
                 {"{\"models\": {}}", true},
                 {"{\"pipeline\": \"p\", \"models\": {}}", false},
                 {"{}", false},
                 {"[1]", false},
                 {"", false},
                 {"{", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file("some.json", cases[i].text);
        if (weir_file_job_is(path_of("some.json")) != cases[i].is) fail_msg("%s", cases[i].text);
    }
    assert_false(weir_file_job_is(folder));
    assert_false(weir_file_job_is("fraud"));
}

/* ---- points that are found again ---- */

static void points_are_found_again(void **state) {
    (void)state;
    weir_training_trials trials;
    weir_err err;
    double values[] = {1.0 / 3, NAN}, ratio = 0;
    cJSON *spec = cJSON_Parse("{\"algorithm\": \"ridge\", \"params\": {\"alpha\": 0.1}}"), *other = cJSON_Parse("{\"algorithm\": \"ridge\"}");
    weir_contender c = {.spec = spec, .mean = 1.0 / 3, .deviation = NAN, .fit_s = 2, .predict_s = 3, .fold_values = values}, found = {.spec = spec};
    assert_int_equal(weir_training_trials_open(folder, &trials, &err), WEIR_OK);
    assert_false(weir_training_trials_recall(&trials, spec, 2, &found, &ratio));
    assert_int_equal(weir_training_trials_keep(&trials, &c, 2, 0.25, &err), WEIR_OK);
    weir_training_trials_done(&trials);
    FILE *file = fopen(path_of("trials.jsonl"), "a");
    assert_non_null(file);
    fputs("no JSON\n{\"spec\"", file);
    fclose(file);
    assert_int_equal(weir_training_trials_open(folder, &trials, &err), WEIR_OK);
    assert_false(weir_training_trials_recall(&trials, other, 2, &found, &ratio));
    assert_false(weir_training_trials_recall(&trials, spec, 3, &found, &ratio)); /* other folds */
    assert_true(weir_training_trials_recall(&trials, spec, 2, &found, &ratio));
    assert_true(found.mean == 1.0 / 3 && isnan(found.deviation) && found.fit_s == 2 && found.predict_s == 3 && ratio == 0.25);
    assert_true(found.fold_values[0] == 1.0 / 3 && isnan(found.fold_values[1]));
    weir_mem.realloc(found.fold_values, 0);
    c.spec = other;
    assert_int_equal(weir_training_trials_keep(&trials, &c, 2, 0.25, &err), WEIR_OK); /* behind what was cut off, which is gone */
    weir_training_trials_done(&trials);
    assert_int_equal(weir_training_trials_open(folder, &trials, &err), WEIR_OK);
    assert_true(weir_training_trials_recall(&trials, other, 2, &found, &ratio));
    weir_mem.realloc(found.fold_values, 0);
    weir_training_trials_done(&trials);
    assert_int_equal(weir_training_trials_open(NULL, &trials, &err), WEIR_OK);
    assert_int_equal(weir_training_trials_keep(&trials, &c, 2, 0.25, &err), WEIR_OK);
    assert_int_equal(weir_training_trials_open(path_of("not/there"), &trials, &err), WEIR_OK);
    assert_int_equal(weir_training_trials_keep(&trials, &c, 2, 0.25, &err), WEIR_EIO);
    weir_training_trials_done(&trials);
    cJSON_Delete(spec);
    cJSON_Delete(other);
}

/* ---- memory ---- */

/* A new job each time, so that every step meets it; where there are thousands of allocations, not at each of them. */
static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    weir_training_file *f = file_for("starved");
    char out[256];
    int failures = 0;
    snprintf(out, sizeof out, "%s", path_of("starved-jobs"));
    const weir_file_job job = {.file = f, .out_dir = out};
    for (int n = 0, done = 0; !done; n += 1 + n / 8) {
        weir_file_job_end end;
        weir_err err = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_file_job_run(&job, &end, &err);
        weir_mem.realloc = real;
        if (status && !err.message[0]) fail_msg("after %d allocations: no message", n);
        failures += status != WEIR_OK;
        done = allocations_left > 0;
        if (done) assert_int_equal(status, WEIR_OK);
        cJSON_Delete(end.record);
        cJSON_Delete(end.results);
    }
    assert_true(failures > 20);
    weir_training_file_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_leaves_versions_and_results),       cmocka_unit_test(what_was_damaged_between_two_steps_is_made_again_or_refused),
        cmocka_unit_test(a_training_file_is_told_from_a_pipeline), cmocka_unit_test(points_are_found_again),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_rows, remove_rows);
}
