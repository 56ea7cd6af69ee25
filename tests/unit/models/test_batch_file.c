/* A batch job that is stopped, goes on, begins anew, and runs out of memory. What its scores are is held against XGBoost's own in tests/integration/cli/test_score_file.py. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "../starve.h"
#include "models/batch_file.h"

enum { FILE_ROWS = 20000, PART_ROWS = 4096 };

static char folder[64];
static weir_model *model;
static const weir_batch_input inputs[] = {{.name = "a", .target = WEIR_TARGET_NUMBER}, {.name = "b", .target = WEIR_TARGET_NUMBER}};

static const char *path_of(const char *name) {
    static char paths[16][160];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_rows(const char *name, int rows, const char *last) {
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs("id,a,b\n", file);
    for (int i = 0; i < rows; i++) fprintf(file, "%05d,%d,%d\n", i, i % 17, i % 13);
    fputs(last, file);
    fclose(file);
}

static int set_up(void **state) {
    (void)state;
    static double values[200][2], label[200];
    static const char *const names[] = {"a", "b"};
    weir_buf artifact = {0};
    weir_err err;
    snprintf(folder, sizeof folder, "/tmp/weir-batch-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    for (int r = 0; r < 200; r++) {
        values[r][0] = r % 17;
        values[r][1] = r % 13;
        label[r] = 3 * values[r][0] - values[r][1] + 1;
    }
    const weir_matrix train = {.row_count = 200, .column_count = 2, .values = values[0], .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION};
    weir_status status = weir_model_fit("linear", NULL, NULL, &train, NULL, 1, 1, &artifact, &err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
    weir_buf_done(&artifact);
    write_rows("rows.csv", FILE_ROWS, "");
    return status;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    weir_model_free(model);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) ? -1 : 0;
}

/* ---- what a job says ---- */

typedef struct listener {
    _Atomic bool cancel;
    int64_t cancel_at; /* rows; 0: never */
    char said[256];
} listener;

static void progress(void *context, int64_t done, int64_t total) {
    listener *l = context;
    (void)total;
    if (l->cancel_at && done >= l->cancel_at) l->cancel = true;
}

static void note(void *context, const char *sentence) {
    listener *l = context;
    snprintf(l->said, sizeof l->said, "%s", sentence);
}

static weir_batch_job job_of(listener *l, const char *out) {
    return (weir_batch_job){.model = model,
                            .inputs = inputs,
                            .path = path_of("rows.csv"),
                            .out = out,
                            .threshold = NAN,
                            .threads = 2,
                            .part_rows = PART_ROWS,
                            .cancel = &l->cancel,
                            .progress = progress,
                            .note = note,
                            .context = l};
}

/* Rows of the output whose score is what the function says, in the order of their ids. */
static int64_t right_rows(const char *path) {
    weir_duck *duck = NULL;
    weir_err err;
    int64_t count = 0;
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM (SELECT *, row_number() OVER () AS n FROM read_csv('%s', all_varchar=true)) WHERE abs(score::DOUBLE - (3 * a::INT - b::INT "
             "+ 1)) < "
             "1e-9 AND n = id::INT + 1 AND error IS NULL",
             path);
    if (weir_duck_new(&duck, &err) || weir_duck_number(duck, sql, &count, &err)) fail_msg("%s", err.message);
    weir_duck_free(duck);
    return count;
}

static void stop_at(const char *out, int64_t rows) {
    listener l = {.cancel_at = rows};
    weir_batch_job job = job_of(&l, out);
    weir_batch_result result;
    weir_err err;
    assert_int_equal(weir_batch_file(&job, &result, &err), WEIR_ETIMEOUT);
    assert_int_not_equal(access(out, F_OK), 0);
}

static void a_stopped_job_goes_on_behind_its_last_part(void **state) {
    (void)state;
    const char *out = path_of("stopped.csv");
    listener l = {0};
    weir_batch_job job = job_of(&l, out);
    weir_batch_result result;
    weir_err err;
    stop_at(out, 2 * PART_ROWS);
    job.threads = 1; /* how many score is no part of what a job is */
    if (weir_batch_file(&job, &result, &err)) fail_msg("%s", err.message);
    assert_true(result.resumed >= PART_ROWS /* the second may not have been finished */ && result.resumed < FILE_ROWS);
    assert_non_null(strstr(l.said, "goes on behind row"));
    assert_int_equal(result.rows, FILE_ROWS);
    assert_int_equal(right_rows(out), FILE_ROWS);
    assert_int_not_equal(access(path_of(".stopped.csv.parts"), F_OK), 0);
    l.said[0] = 0;
    if (weir_batch_file(&job, &result, &err)) fail_msg("%s", err.message);
    assert_int_equal(result.resumed, 0);
    assert_string_equal(l.said, "");
}

static void what_has_changed_begins_anew(void **state) {
    (void)state;
    static const char *const turned[] = {"b", "a", "id", NULL};
    const char *out = path_of("changed.csv");
    weir_batch_result result;
    weir_err err;
    for (int what = 0; what < 3; what++) {
        listener l = {0};
        weir_batch_job job = job_of(&l, out);
        remove(out);
        stop_at(out, PART_ROWS);
        if (what == 0) job.columns = turned;
        if (what == 1) write_rows("rows.csv", FILE_ROWS, "");
        if (what == 2) {
            FILE *damaged = fopen(path_of(".changed.csv.parts/part-000001.parquet"), "w");
            assert_non_null(damaged);
            fclose(damaged);
        }
        if (weir_batch_file(&job, &result, &err)) fail_msg("%s", err.message);
        assert_int_equal(result.resumed, 0);
        static const char *const words[] = {"columns or options have changed", "the input has changed", "a part of it cannot be read"};
        assert_non_null(strstr(l.said, words[what]));
        assert_int_equal(right_rows(out), FILE_ROWS);
    }
}

static void a_row_that_is_none_ends_a_strict_job_only(void **state) {
    (void)state;
    listener l = {0};
    weir_batch_job job = job_of(&l, path_of("bad-out.csv"));
    weir_batch_result result = {0};
    weir_err err;
    write_rows("bad.csv", 9000, "09000,much,1\n");
    job.path = path_of("bad.csv");
    job.strict = true;
    assert_int_equal(weir_batch_file(&job, &result, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "row 9001: column 'a': found 'much', expected a number"));
    assert_int_not_equal(access(path_of(".bad-out.csv.parts"), F_OK), 0);
    job.strict = false;
    if (weir_batch_file(&job, &result, &err)) fail_msg("%s", err.message);
    assert_int_equal(result.rows, 9001);
    assert_int_equal(result.rejected, 1);
    assert_string_equal(result.reasons[0], "row 9001: column 'a': found 'much', expected a number");
    assert_int_equal(right_rows(job.out), 9000);
}

static void memory_that_runs_out_leaves_no_half_file(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    char out[160];
    weir_batch_result result;
    weir_err err;
    int failures = 0;
    snprintf(out, sizeof out, "%s", path_of("starved.csv"));
    for (int n = 0, done = 0; !done && n < 100000; n += 1 + n / 6) {
        listener l = {0};
        weir_batch_job job = job_of(&l, out);
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_batch_file(&job, &result, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        assert_true(!status || access(out, F_OK));
        failures += status != WEIR_OK;
        done = !status;
    }
    assert_true(failures > 5);
    assert_int_equal(right_rows(out), FILE_ROWS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_job_goes_on_behind_its_last_part),
        cmocka_unit_test(what_has_changed_begins_anew),
        cmocka_unit_test(a_row_that_is_none_ends_a_strict_job_only),
        cmocka_unit_test(memory_that_runs_out_leaves_no_half_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
