/* Jobs: steps in order, records on disk, going on after failures and deaths, retries, and one process at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/job.h"

typedef struct work {
    char said[256]; /* a letter a call */
    int fail_second; /* calls of the second step that fail */
    weir_action action;
    bool die;
    _Atomic bool cancel;
    char watched[512];
} work;

static void say(work *w, char letter) {
    size_t len = strlen(w->said);
    if (len + 1 < sizeof w->said) w->said[len] = letter;
}

static weir_status load(void *context, cJSON *result, weir_err *err) {
    (void)err;
    say(context, 'l');
    assert_non_null(cJSON_AddNumberToObject(result, "rows", 10));
    return WEIR_OK;
}

static weir_status fit(void *context, cJSON *result, weir_err *err) {
    work *w = context;
    say(w, 'f');
    assert_non_null(cJSON_AddStringToObject(result, "partial", "half"));
    if (w->die) _exit(9);
    if (w->fail_second-- > 0) return weir_err_set(err, WEIR_ENET, w->action, __func__, "no answer");
    return WEIR_OK;
}

static weir_status report(void *context, cJSON *result, weir_err *err) {
    (void)result, (void)err;
    say(context, 'r');
    return WEIR_OK;
}

static const weir_job_step steps[] = {
    {.name = "load", .every_time = true, .run = load}, {.name = "fit", .advice = "Start the database.", .run = fit}, {.name = "report", .run = report}, {0}};
static const weir_job_step twice[] = {{.name = "load", .run = load}, {.name = "report", .run = report}, {0}};

static void watch(void *context, const char *step, int number, int count, double seconds, const weir_err *error) {
    work *w = context;
    size_t len = strlen(w->watched);
    snprintf(w->watched + len, sizeof w->watched - len, "%s %d/%d%s%s;", step, number, count, seconds < 0 ? "" : " ended", error ? " badly" : "");
}

static char folder[256];
static weir_clock_manual clock_;
static cJSON *request;

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-job-XXXXXX");
    weir_clock_manual_init(&clock_, 0);
    request = cJSON_Parse("{\"budget\": 30}");
    return !mkdtemp(folder) || !request;
}

static int teardown(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/job.json", folder);
    unlink(path);
    cJSON_Delete(request);
    return rmdir(folder);
}

static weir_job *open_job(void) {
    weir_job *job = NULL;
    weir_err err;
    if (weir_job_open(folder, "run-1", request, steps, &clock_.base, &job, &err)) fail_msg("%s", err.message);
    return job;
}

static const char *text_of(const weir_job *job, int step, const char *name) {
    return cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(weir_job_record(job), "steps"), step), name));
}

static const char *status_of(const weir_job *job) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(weir_job_record(job), "status"));
}

static void steps_run_in_order_and_leave_results(void **state) {
    (void)state;
    work w = {0};
    weir_err err;
    weir_job *job = open_job();
    assert_int_equal(weir_job_run(job, &w, NULL, watch, &err), WEIR_OK);
    assert_string_equal(w.said, "lfr");
    assert_string_equal(w.watched, "load 0/3;load 0/3 ended;fit 1/3;fit 1/3 ended;report 2/3;report 2/3 ended;");
    assert_string_equal(status_of(job), "succeeded");
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(weir_job_result(job, "load"), "rows")), 10);
    assert_null(weir_job_result(job, "nothing"));
    weir_job_close(job);
}

static void a_failed_job_goes_on_at_the_step_that_failed(void **state) {
    (void)state;
    work w = {.fail_second = 1, .action = WEIR_ACTION_FATAL}, again = {0};
    weir_err err;
    weir_job *job = open_job();
    assert_int_equal(weir_job_run(job, &w, NULL, NULL, &err), WEIR_ENET);
    assert_string_equal(err.message, "step fit: no answer. Start the database.");
    assert_string_equal(w.said, "lf");
    assert_null(weir_job_result(job, "fit"));
    weir_job_close(job);
    job = open_job(); /* as another process reads it from the disk */
    assert_string_equal(status_of(job), "failed");
    assert_string_equal(text_of(job, 1, "status"), "failed");
    assert_string_equal(text_of(job, 1, "error"), "step fit: no answer. Start the database.");
    assert_int_equal(weir_job_run(job, &again, NULL, NULL, &err), WEIR_OK);
    assert_string_equal(again.said, "lfr"); /* load fills memory only, so it is done every time */
    assert_null(text_of(job, 1, "error"));
    weir_job_close(job);
    job = open_job();
    memset(again.said, 0, sizeof again.said);
    assert_int_equal(weir_job_run(job, &again, NULL, NULL, &err), WEIR_OK);
    assert_string_equal(again.said, "l");
    weir_job_close(job);
}

static void what_can_be_tried_again_is_with_pauses(void **state) {
    (void)state;
    work w = {.fail_second = 2, .action = WEIR_ACTION_RETRY}, more = {.fail_second = 3, .action = WEIR_ACTION_RETRY};
    weir_err err;
    weir_job *job = open_job();
    assert_int_equal(weir_job_run(job, &w, NULL, NULL, &err), WEIR_OK);
    assert_string_equal(w.said, "lfffr");
    assert_int_equal(clock_.now_us, 3 * WEIR_SECOND_US);
    weir_job_close(job);
    assert_int_equal(teardown(NULL), 0);
    assert_int_equal(setup(NULL), 0);
    job = open_job();
    assert_int_equal(weir_job_run(job, &more, NULL, NULL, &err), WEIR_ENET);
    assert_string_equal(more.said, "lfff");
    weir_job_close(job);
}

static void a_cancelled_job_is_interrupted_not_tried_again(void **state) {
    (void)state;
    work w = {.fail_second = 1, .action = WEIR_ACTION_RETRY, .cancel = true};
    weir_err err;
    weir_job *job = open_job();
    assert_int_equal(weir_job_run(job, &w, &w.cancel, NULL, &err), WEIR_ENET);
    assert_string_equal(w.said, "lf");
    assert_string_equal(status_of(job), "interrupted");
    weir_job_close(job);
}

static void a_process_that_dies_leaves_a_job_that_goes_on(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        work w = {.die = true};
        weir_err err;
        weir_job *job = NULL;
        if (!weir_job_open(folder, "run-1", request, steps, &clock_.base, &job, &err)) (void)!weir_job_run(job, &w, NULL, NULL, &err);
        _exit(1);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(WEXITSTATUS(ended), 9);
    work w = {0};
    weir_err err;
    weir_job *job = open_job();
    assert_string_equal(text_of(job, 1, "status"), "running");
    assert_int_equal(weir_job_run(job, &w, NULL, NULL, &err), WEIR_OK);
    assert_string_equal(w.said, "lfr");
    weir_job_close(job);
}

static void a_second_process_another_request_and_other_steps_are_refused(void **state) {
    (void)state;
    weir_err err;
    weir_job *job = open_job(), *other = NULL;
    assert_int_equal(weir_job_open(folder, "run-1", request, steps, NULL, &other, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "another process"));
    weir_job_close(job);
    cJSON *longer = cJSON_Parse("{\"budget\": 60}");
    assert_int_equal(weir_job_open(folder, "run-1", longer, steps, NULL, &other, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "another request"));
    cJSON_Delete(longer);
    assert_int_equal(weir_job_open(folder, "run-1", request, twice, NULL, &other, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "has 3 steps, expected 2"));
    assert_null(other);
}

static void a_record_that_is_none_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "{", "{\"steps\": 3}", "[]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char path[300];
        weir_job *job = NULL;
        weir_err err;
        snprintf(path, sizeof path, "%s/job.json", folder);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(weir_job_open(folder, "run-1", request, steps, NULL, &job, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, folder));
        assert_null(job);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_run_in_order_and_leave_results, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_job_goes_on_at_the_step_that_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_can_be_tried_again_is_with_pauses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_job_is_interrupted_not_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_that_dies_leaves_a_job_that_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_process_another_request_and_other_steps_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_that_is_none_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
