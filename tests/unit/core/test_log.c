#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"

static FILE *out;
static char *text;
static size_t text_len;

static int open_log(void **state) {
    (void)state;
    out = open_memstream(&text, &text_len);
    weir_log_context(NULL, 0);
    weir_log_init(out, WEIR_LOG_JSON, WEIR_LOG_INFO);
    return out ? 0 : -1;
}

static int close_log(void **state) {
    (void)state;
    weir_log_context(NULL, 0);
    weir_log_init(stderr, WEIR_LOG_AUTO, WEIR_LOG_INFO);
    fclose(out);
    free(text);
    return 0;
}

static const char *member(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(json, name));
}

static void json_line_has_time_level_message_and_fields(void **state) {
    (void)state;
    WEIR_INFO("batch \"done\"\n", WEIR_S("topic", "fraud.events"), WEIR_I("offset", INT64_MAX), WEIR_F("rate", 0.5), WEIR_S("none", NULL));
    assert_int_equal(text[text_len - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + text_len - 1);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    assert_int_equal(strlen(member(json, "time")), strlen("2018-05-15T10:00:00.000000Z"));
    assert_string_equal(member(json, "level"), "info");
    assert_string_equal(member(json, "message"), "batch \"done\"\n");
    assert_string_equal(member(json, "topic"), "fraud.events");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "none")));
    assert_non_null(strstr(text, "\"offset\":9223372036854775807,\"rate\":0.5"));
    cJSON_Delete(json);
}

static void numbers_json_cannot_say_become_text(void **state) {
    (void)state;
    WEIR_WARN("odd", WEIR_F("a", NAN), WEIR_F("b", INFINITY), WEIR_F("c", -INFINITY));
    assert_non_null(strstr(text, "\"a\":\"NaN\",\"b\":\"+Inf\",\"c\":\"-Inf\"}"));
}

static void lines_below_the_level_are_dropped(void **state) {
    (void)state;
    WEIR_LOG(WEIR_LOG_DEBUG, "quiet");
    fflush(out);
    assert_int_equal(text_len, 0);
    WEIR_ERROR("loud");
    assert_non_null(strstr(text, "\"level\":\"error\""));
}

static void context_is_copied_carried_and_overridden(void **state) {
    (void)state;
    char worker[] = "ingest";
    weir_log_context((const weir_log_field[]){WEIR_S("worker", worker), WEIR_I("partition", 3)}, 2);
    memset(worker, 'x', sizeof worker - 1);
    WEIR_INFO("first");
    assert_non_null(strstr(text, "\"worker\":\"ingest\",\"partition\":3"));
    WEIR_INFO("second", WEIR_I("partition", 9));
    const char *second = strstr(text, "second");
    assert_non_null(strstr(second, "\"partition\":9"));
    assert_null(strstr(second, "\"partition\":3"));
}

static void context_that_is_too_long_is_cut(void **state) {
    (void)state;
    char value[700];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    weir_log_field fields[10];
    for (int i = 0; i < 10; i++) fields[i] = WEIR_S("key", value);
    weir_log_context(fields, 10);
    WEIR_INFO("still valid");
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    cJSON_Delete(json);
}

static void logfmt_quotes_only_what_needs_it(void **state) {
    (void)state;
    weir_log_init(out, WEIR_LOG_LOGFMT, WEIR_LOG_INFO);
    WEIR_INFO("two words", WEIR_S("topic", "fraud.events"), WEIR_S("empty", ""), WEIR_S("odd", "a=b"), WEIR_S("line", "a\nb"), WEIR_I("n", -1));
    assert_memory_equal(text, "time=", 5);
    assert_non_null(strstr(text, " level=info message=\"two words\" topic=fraud.events empty=\"\" odd=\"a=b\" line=\"a\\nb\" n=-1\n"));
}

static void errors_carry_code_place_and_message(void **state) {
    (void)state;
    weir_err err;
    (void)WEIR_RETRY(&err, WEIR_ENET, "broker is away");
    weir_log_err(WEIR_LOG_WARN, "batch failed", &err);
    assert_non_null(
        strstr(text, "\"message\":\"batch failed\",\"code\":\"net\",\"where\":\"errors_carry_code_place_and_message\",\"error\":\"broker is away\"}"));
}

static void *failing_realloc(void *old, size_t size) {
    if (size) return NULL;
    free(old);
    return NULL;
}

static void out_of_memory_is_told_without_memory(void **state) {
    (void)state;
    weir_allocator real = weir_mem;
    weir_mem.realloc = failing_realloc;
    WEIR_INFO("unsayable");
    weir_mem = real;
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    assert_string_equal(member(json, "message"), "a log line was lost: out of memory");
    cJSON_Delete(json);
}

static void *write_lines(void *id) {
    weir_log_context(&WEIR_S("thread", id), 1);
    for (int i = 0; i < 500; i++) WEIR_INFO("a line that must stay in one piece", WEIR_I("i", i));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    pthread_t threads[4];
    static char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        assert_non_null(member(json, "thread"));
        cJSON_Delete(json);
    }
    assert_int_equal(lines, 2000);
}

static void levels_parse_by_name(void **state) {
    (void)state;
    weir_log_level level = WEIR_LOG_DEBUG;
    assert_int_equal(weir_log_level_parse("warn", &level, NULL), WEIR_OK);
    assert_int_equal(level, WEIR_LOG_WARN);
    weir_err err;
    assert_int_equal(weir_log_level_parse("WARN", &level, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "debug, info, warn or error"));
    assert_int_equal(level, WEIR_LOG_WARN);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
    const struct CMUnitTest tests[] = {
        TEST(json_line_has_time_level_message_and_fields),
        TEST(numbers_json_cannot_say_become_text),
        TEST(lines_below_the_level_are_dropped),
        TEST(context_is_copied_carried_and_overridden),
        TEST(context_that_is_too_long_is_cut),
        TEST(logfmt_quotes_only_what_needs_it),
        TEST(errors_carry_code_place_and_message),
        TEST(out_of_memory_is_told_without_memory),
        TEST(lines_of_threads_do_not_mix),
        TEST(levels_parse_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
