/* The process of a training run, as its worker sees it: what it is given, what it reports, how it may die. Small shell programs stand for the real one. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "consumers/train_process.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

static char program[64];
static const char *const variables[] = {"WEIR_TEST_WORD=given", NULL};
static const weir_train_service service = {.program = program, .environment = variables};
static cJSON *order;

static weir_train_process *begin(const char *body) {
    weir_train_process *process = NULL;
    weir_err err;
    FILE *file = fopen(program, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", body);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(program, 0700), 0);
    assert_int_equal(weir_train_process_start(&service, order, &process, &err), WEIR_OK);
    return process;
}

static void wait_end(weir_train_process *process) {
    weir_err err;
    for (bool ended = false; !ended;) {
        assert_int_equal(weir_train_process_poll(process, &ended, &err), WEIR_OK);
        if (!ended) weir_clock_sleep_us(weir_clock_system(), 2000);
    }
}

static const char *report_text(const weir_train_process *process, const char *name) {
    weir_err err;
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(weir_train_process_report(process, &err), name));
}

static void it_reads_its_order_and_reports(void **state) {
    (void)state;
    weir_train_process *process =
        begin("printf '{\"code\": 0, \"order\": %s, \"word\": \"%s\", \"called\": \"%s\"}' \"$(cat)\" \"$WEIR_TEST_WORD\" \"$1\" >&4");
    weir_err err;
    wait_end(process);
    const cJSON *report = weir_train_process_report(process, &err);
    assert_non_null(report);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, "order"), "run_id")), "run-1");
    assert_string_equal(report_text(process, "word"), "given");
    assert_string_equal(report_text(process, "called"), "train-run");
    assert_true(weir_train_process_usage(process).peak_bytes > 0 && weir_train_process_usage(process).cpu_s >= 0);
    weir_train_process_free(process);
}

static void a_long_report_comes_whole(void **state) {
    (void)state;
    weir_train_process *process = begin("printf '{\"text\": \"' >&4; head -c 1000000 /dev/zero | tr '\\000' x >&4; printf '\"}' >&4");
    wait_end(process);
    assert_int_equal(strlen(report_text(process, "text")), 1000000);
    weir_train_process_free(process);
}

static void it_is_told_to_stop(void **state) {
    (void)state;
    weir_train_process *process = begin("read word <&3; printf '{\"message\": \"%s\"}' \"$word\" >&4");
    weir_err err;
    bool ended;
    assert_int_equal(weir_train_process_poll(process, &ended, &err), WEIR_OK);
    assert_false(ended);
    weir_train_process_stop(process);
    wait_end(process);
    assert_string_equal(report_text(process, "message"), "stop");
    weir_train_process_stop(process); /* nobody hears it any more */
    weir_train_process_free(process);
}

static void one_that_dies_says_how(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {{"kill -9 $$", "signal 9"}, {"exit 7", "code 7"}, {"printf '{\"code\": ' >&4", "no report"}, {"exec 4>&-; exit 0", "code 0 and no report"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_train_process *process = begin(cases[i].body);
        weir_err err = {0};
        wait_end(process);
        assert_null(weir_train_process_report(process, &err));
        assert_int_equal(err.action, WEIR_ACTION_RETRY);
        if (!strstr(err.message, cases[i].words)) fail_msg("'%s' lacks '%s'", err.message, cases[i].words);
        weir_train_process_free(process);
    }
}

static void one_that_lives_is_killed_with_its_handle(void **state) {
    (void)state;
    weir_train_process *process = begin("exec sleep 1000");
    weir_train_process_kill(process);
    wait_end(process);
    weir_train_process_kill(process);
    weir_train_process_free(process);
    weir_train_process_free(begin("exec sleep 1000"));
    weir_train_process_free(NULL);
}

static void a_program_that_is_not_there_may_come(void **state) {
    (void)state;
    const weir_train_service nobody = {.program = "/nowhere/weir", .environment = variables};
    weir_train_process *process = NULL;
    weir_err err;
    assert_int_equal(weir_train_process_start(&nobody, order, &process, &err), WEIR_ELIMIT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_non_null(strstr(err.message, "/nowhere/weir"));
    assert_null(process);
}

static void want_of_memory_is_an_error(void **state) {
    (void)state;
    weir_allocator usual = weir_mem;
    weir_train_process *process = NULL;
    weir_err err;
    bool ended = false;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    assert_int_equal(weir_train_process_start(&service, order, &process, &err), WEIR_ENOMEM);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_mem = usual;
    process = begin("printf '{\"message\": \"whole\"}' >&4");
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    while (!weir_train_process_poll(process, &ended, &err)) assert_false(ended);
    assert_int_equal(err.code, WEIR_ENOMEM);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_mem = usual;
    wait_end(process); /* nothing of the report is lost by that */
    assert_string_equal(report_text(process, "message"), "whole");
    weir_train_process_free(process);
}

static int set_up(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    snprintf(program, sizeof program, "/tmp/weir-test-process-%ld", (long)getpid());
    order = cJSON_CreateObject();
    return !cJSON_AddStringToObject(order, "run_id", "run-1");
}

static int tear_down(void **state) {
    (void)state;
    cJSON_Delete(order);
    return unlink(program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reads_its_order_and_reports),
        cmocka_unit_test(a_long_report_comes_whole),
        cmocka_unit_test(it_is_told_to_stop),
        cmocka_unit_test(one_that_dies_says_how),
        cmocka_unit_test(one_that_lives_is_killed_with_its_handle),
        cmocka_unit_test(a_program_that_is_not_there_may_come),
        cmocka_unit_test(want_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
