/* The command line: dispatch, help, settings from environment and flags, exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/table.h"

typedef struct greet_options {
    char *who;
    int64_t times;
    int output;
} greet_options;

static const weir_conf_item greet_table[] = {
    {.name = "who",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(greet_options, who),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "whom to greet"},
    {.name = "times", .type = WEIR_CONF_INT, .offset = offsetof(greet_options, times), .min = 1, .max = 9, .fallback = "1", .doc = "how often"},
    WEIR_OUTPUT_ITEM(greet_options, output),
    {.name = NULL},
};

/* What the last run was given. */
static struct {
    int runs;
    char who[32], brokers[64];
    int64_t times, http_port;
    int output;
} last;
static weir_status next_status;
static int next_exit;

static weir_status greet(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const greet_options *o = options;
    last.runs++;
    snprintf(last.who, sizeof last.who, "%s", o->who);
    snprintf(last.brokers, sizeof last.brokers, "%s", settings->brokers);
    last.times = o->times, last.http_port = settings->http_port, last.output = o->output;
    *ret_exit = next_exit;
    return next_status ? WEIR_FAIL(err, next_status, "the reason") : WEIR_OK;
}

static weir_status rest(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)settings, (void)options, (void)ret_exit, (void)err;
    last.runs++;
    return WEIR_OK;
}

static const weir_command greeting = {.name = "greet",
                                      .args = "WHO [--times N]",
                                      .doc = "Greets.\n\nAs often as told.",
                                      .options = greet_table,
                                      .options_size = sizeof(greet_options),
                                      .run = greet};
static const weir_command resting = {.name = "rest", .args = "", .doc = "Does nothing.", .run = rest};
static const weir_command *const commands[] = {&greeting, &resting, NULL};

static char out[65536], complaints[4096];

/* Words are separated by spaces; the first is what the program is called by. */
static int call(const char *line) {
    char words[256], *argv[32] = {NULL};
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *save = NULL, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) argv[argc++] = word;
    memset(out, 0, sizeof out);
    memset(complaints, 0, sizeof complaints);
    FILE *o = fmemopen(out, sizeof out - 1, "w"), *c = fmemopen(complaints, sizeof complaints - 1, "w");
    assert_true(o && c);
    int code = weir_command_main(commands, argc, argv, o, c);
    fclose(o);
    fclose(c);
    return code;
}

static int weir(const char *line) {
    char words[256];
    snprintf(words, sizeof words, "weir %s", line);
    return call(words);
}

static void assert_has(const char *text, const char *words) {
    if (!strstr(text, words)) fail_msg("expected '%s' in: %s", words, text);
}

static int reset(void **state) {
    (void)state;
    memset(&last, 0, sizeof last);
    next_status = WEIR_OK;
    next_exit = 0;
    unsetenv("WEIR_BROKERS");
    unsetenv("WEIR_HTTP_PORT");
    unsetenv("WEIR_TIMES");
    return 0;
}

static void a_command_gets_its_options_and_the_settings(void **state) {
    (void)state;
    assert_int_equal(weir("greet you --times 3 --brokers=k:1 --output json"), 0);
    assert_string_equal(last.who, "you");
    assert_int_equal(last.times, 3);
    assert_int_equal(last.output, WEIR_OUTPUT_JSON);
    assert_string_equal(last.brokers, "k:1");
    assert_int_equal(last.http_port, 18400);
    assert_string_equal(complaints, "");
    assert_int_equal(weir("rest"), 0); /* a command without options */
    assert_int_equal(last.runs, 2);
}

static void a_program_called_by_the_name_of_a_command_is_that_command(void **state) {
    (void)state;
    assert_int_equal(call("/usr/local/bin/greet you --times 3"), 0);
    assert_string_equal(last.who, "you");
    assert_int_equal(last.times, 3);
    assert_int_equal(call("greet --help"), 0);
    assert_has(out, "usage: weir greet");
    assert_int_equal(call("greet"), 2); /* its own complaint, not the list of commands */
    assert_has(complaints, "weir greet: who is missing");
    assert_int_equal(call("/greet/weir rest"), 0); /* a folder's name is nothing */
    assert_int_equal(last.runs, 2);
}

static void the_environment_sets_settings_and_flags_win(void **state) {
    (void)state;
    setenv("WEIR_BROKERS", "env:1", 1);
    setenv("WEIR_HTTP_PORT", "0", 1);
    setenv("WEIR_TIMES", "7", 1); /* options are said on the command line only */
    assert_int_equal(weir("greet you"), 0);
    assert_string_equal(last.brokers, "env:1");
    assert_int_equal(last.http_port, 0);
    assert_int_equal(last.times, 1);
    assert_int_equal(weir("greet you --brokers flag:1"), 0);
    assert_string_equal(last.brokers, "flag:1");
    setenv("WEIR_HTTP_PORT", "99999", 1);
    assert_int_equal(weir("greet you"), 2);
    assert_has(complaints, "99999");
}

static void wrong_use_is_exit_2_and_says_where_help_is(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"gret you", "did you mean 'greet'?"}, {"greet", "who is missing"},     {"greet you --tmies 3", "times"},
        {"greet you --times ten", "ten"},      {"greet you --times 10", "10"},  {"greet you again", "again"},
        {"greet you --output xml", "xml"},     {"--nonsense", "not a command"}, {"help nonsense", "not a command"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(weir(cases[i].line), 2);
        assert_has(complaints, cases[i].says);
        assert_has(complaints, "--help`");
        assert_string_equal(out, "");
    }
    assert_int_equal(weir(""), 2);
    assert_has(complaints, "usage: weir COMMAND");
    assert_int_equal(last.runs, 0);
}

static void errors_become_exit_codes(void **state) {
    (void)state;
    static const struct {
        weir_status status;
        int code;
    } cases[] = {{WEIR_EINVAL, 2}, {WEIR_EDATA, 1}, {WEIR_ENOTFOUND, 1}, {WEIR_ENET, 3}, {WEIR_EIO, 3}, {WEIR_ETIMEOUT, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        next_status = cases[i].status;
        assert_int_equal(weir("greet you"), cases[i].code);
        assert_has(complaints, "weir greet: the reason\n");
    }
    next_status = WEIR_OK;
    next_exit = 1; /* the answer is no */
    assert_int_equal(weir("greet you"), 1);
    assert_string_equal(complaints, "");
}

static void help_is_made_from_the_tables(void **state) {
    (void)state;
    assert_int_equal(weir("--help"), 0);
    assert_has(out, "greet  Greets.\n");
    assert_has(out, "rest   Does nothing.\n");
    static const char *const lines[] = {"greet --help", "greet -h", "help greet", "greet you --times 3 --help"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(weir(lines[i]), 0);
        assert_has(out, "usage: weir greet WHO [--times N]\n\nGreets.\n\nAs often as told.\n");
        assert_has(out, "--times");
        assert_has(out, "how often");
        assert_has(out, "--brokers");
        assert_has(out, "WEIR_BROKERS");
    }
    assert_int_equal(last.runs, 0);
    assert_int_equal(weir("--version"), 0);
    assert_has(out, "weir " WEIR_VERSION "\n");
}

/* Every command of the program, by its own table. */
static void every_command_explains_itself(void **state) {
    (void)state;
    for (const weir_command *const *c = weir_commands(); *c; c++) {
        assert_true((*c)->name && *(*c)->name && (*c)->doc && *(*c)->doc && (*c)->args && (*c)->run);
        size_t sentence = strcspn((*c)->doc, "\n"); /* all that the list of commands shows */
        if ((*c)->doc[sentence - 1] != '.' || sentence > 150) fail_msg("%s: the first line of its doc is no short sentence", (*c)->name);
        for (const weir_command *const *d = weir_commands(); d != c; d++) assert_string_not_equal((*c)->name, (*d)->name);
        char *argv[] = {"weir", (char *)(*c)->name, "--help", NULL};
        memset(out, 0, sizeof out);
        FILE *o = fmemopen(out, sizeof out - 1, "w");
        assert_int_equal(weir_command_main(weir_commands(), 3, argv, o, stderr), 0);
        fclose(o);
        for (const weir_conf_item *item = (*c)->options; item && item->name; item++) assert_has(out, item->doc);
    }
}

static void an_action_is_found_or_suggested(void **state) {
    (void)state;
    static const char *const actions[] = {"list", "show", NULL};
    weir_err err;
    int at = -1;
    assert_int_equal(weir_action_find("show", actions, &at, &err), WEIR_OK);
    assert_int_equal(at, 1);
    assert_int_equal(weir_action_find("lsit", actions, &at, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "'lsit' is none of list, show; did you mean 'list'?");
    assert_int_equal(at, 1);
}

static void a_table_aligns_and_json_is_as_it_was(void **state) {
    (void)state;
    static const weir_table_column columns[] = {{"name", "NAME"}, {"n.count", "COUNT"}, {"tags", "TAGS"}, {"ok", "OK"}, {NULL, NULL}};
    weir_err err;
    cJSON *rows = cJSON_Parse("[{\"name\":\"naïve\",\"n\":{\"count\":12},\"tags\":[\"a\",\"b\"],\"ok\":true},{\"name\":\"x\",\"n\":{\"count\":0.25}},{\"name\":"
                              "\"long name\",\"tags\":[]}]");
    memset(out, 0, sizeof out);
    FILE *o = fmemopen(out, sizeof out - 1, "w");
    assert_int_equal(weir_table_print(rows, columns, WEIR_OUTPUT_TABLE, o, &err), WEIR_OK);
    fclose(o);
    assert_string_equal(out, "NAME        COUNT  TAGS  OK\n"
                             "naïve          12  a,b   yes\n"
                             "x          0.2500  -     -\n"
                             "long name       -  -     -\n");
    memset(out, 0, sizeof out);
    o = fmemopen(out, sizeof out - 1, "w");
    assert_int_equal(weir_table_print(rows, columns, WEIR_OUTPUT_JSON, o, &err), WEIR_OK);
    fclose(o);
    cJSON *again = cJSON_Parse(out);
    assert_true(cJSON_Compare(rows, again, true));
    cJSON_Delete(again);
    cJSON_Delete(rows);
}

static void output_that_does_not_arrive_is_a_failure(void **state) {
    (void)state;
    char *argv[] = {"weir", "rest", NULL};
    FILE *o = fopen("/dev/full", "w"), *c = fmemopen(complaints, sizeof complaints - 1, "w");
    if (!o) skip(); /* a system without it */
    assert_non_null(c);
    fputs("a table", o);
    assert_int_equal(weir_command_main(commands, 2, argv, o, c), 3);
    fclose(c);
    fclose(o);
    assert_non_null(strstr(complaints, "cannot write the output: No space left on device"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_command_gets_its_options_and_the_settings, reset),
        cmocka_unit_test_setup(a_program_called_by_the_name_of_a_command_is_that_command, reset),
        cmocka_unit_test_setup(the_environment_sets_settings_and_flags_win, reset),
        cmocka_unit_test_setup(wrong_use_is_exit_2_and_says_where_help_is, reset),
        cmocka_unit_test_setup(errors_become_exit_codes, reset),
        cmocka_unit_test_setup(help_is_made_from_the_tables, reset),
        cmocka_unit_test_setup(every_command_explains_itself, reset),
        cmocka_unit_test(output_that_does_not_arrive_is_a_failure),
        cmocka_unit_test(an_action_is_found_or_suggested),
        cmocka_unit_test(a_table_aligns_and_json_is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
