/* What `weir demo` and `weir reset` refuse before they touch any service: data that does not reach, and names that are not theirs to delete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/command.h"

static const weir_command *const commands[] = {&weir_command_demo, &weir_command_reset, NULL};

/* Runs a command line; *ret_said is what it complained, heap. */
static int run(char **argv, char **ret_said) {
    int argc = 0;
    size_t len = 0;
    while (argv[argc]) argc++;
    FILE *complaints = open_memstream(ret_said, &len), *out = tmpfile();
    assert_non_null(complaints);
    assert_non_null(out);
    int code = weir_command_main(commands, argc, argv, out, complaints);
    fclose(complaints);
    fclose(out);
    return code;
}

static void expect(char **argv, int code, const char *sentence) {
    char *said = NULL;
    int got = run(argv, &said);
    if (got != code || !strstr(said, sentence)) fail_msg("exit %d (expected %d), said: %s", got, code, said);
    free(said);
}

#define ARGS(...) ((char *[]){"weir", __VA_ARGS__, NULL})

static void test_too_few_days_are_refused_with_the_day_that_is_needed(void **state) {
    (void)state;
    expect(ARGS("demo", "fraud", "--entities", "10", "--days", "14", "--start", "2020-01-01"), 2, "needs it to reach 16 Jan 2020");
}

static void test_training_days_before_the_data_are_refused(void **state) {
    (void)state;
    expect(ARGS("demo", "fraud", "--entities", "10", "--days", "40", "--start", "2020-01-01", "--train-from", "2019-12-30"), 2,
           "after the first training day, 30 Dec 2019");
}

static void test_training_days_too_late_in_the_data_are_refused(void **state) {
    (void)state;
    expect(ARGS("demo", "fraud", "--entities", "10", "--days", "40", "--start", "2020-01-01", "--train-from", "2020-02-01"), 2, "the data ends on");
}

static void test_a_file_that_is_not_there_is_named(void **state) {
    (void)state;
    char *said = NULL;
    int code = run(ARGS("demo", "fraud", "--data", "/no/such/payments.csv"), &said);
    assert_int_not_equal(code, 0);
    assert_non_null(strstr(said, "/no/such/payments.csv"));
    free(said);
}

static void test_a_scenario_needs_a_world_and_a_pipeline_that_decides(void **state) {
    (void)state;
    expect(ARGS("demo", "churn", "--scenario", "drift"), 2, "there is no scenario for 'churn'; --domain names one of fraud, maritime");
    expect(ARGS("demo", "fraud", "--scenario", "drift"), 2, "has no triggers.drift; `weir demo fraud --scenario drift --prepare FILE` writes");
    expect(ARGS("demo", "fraud", "--scenario", "harm"), 2, "has no rollout.steps; `weir demo fraud --scenario harm --prepare FILE` writes");
    expect(ARGS("demo", "fraud", "--scenario", "drift", "--data", "x.csv"), 2, "--data does not go with it");
    expect(ARGS("demo", "fraud", "--scenario", "drought"), 2, "drift");
}

/* A pipeline file may have any name that is lower case; what is deleted is named after it. */
static void test_reset_does_not_delete_what_is_not_a_pipelines(void **state) {
    (void)state;
    char *text = NULL, path[] = "/tmp/weir_reset_XXXXXX.json", changed[65536];
    FILE *in = fopen("pipelines/fraud.json", "r");
    assert_non_null(in);
    size_t len = fread(changed, 1, sizeof changed - 1, in);
    fclose(in);
    changed[len] = 0;
    char *name = strstr(changed, "\"pipeline\": \"fraud\"");
    assert_non_null(name);
    memcpy(name, "\"pipeline\": \"weir\" ", 19);
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, changed, strlen(changed)), (ssize_t)strlen(changed));
    close(fd);
    int code = run(ARGS("reset", path), &text);
    unlink(path);
    assert_int_equal(code, 2);
    if (!strstr(text, "\"weir\" is not a name of a pipeline")) fail_msg("said: %s", text);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_few_days_are_refused_with_the_day_that_is_needed), cmocka_unit_test(test_training_days_before_the_data_are_refused),
        cmocka_unit_test(test_training_days_too_late_in_the_data_are_refused),       cmocka_unit_test(test_a_file_that_is_not_there_is_named),
        cmocka_unit_test(test_a_scenario_needs_a_world_and_a_pipeline_that_decides), cmocka_unit_test(test_reset_does_not_delete_what_is_not_a_pipelines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
