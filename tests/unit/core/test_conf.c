#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/mem.h"

typedef struct settings {
    char *pipeline, *brokers, *password;
    char **data;
    int64_t port, interval_us, since_us;
    double ratio;
    bool follow, color;
    int format;
    int64_t pin;
} settings;

static const char *const formats[] = {"table", "json", "csv", NULL};

#define AT(field) offsetof(settings, field)
static const weir_conf_item table[] = {
    {"pipeline", WEIR_CONF_STRING, AT(pipeline), .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED, .doc = "name of the pipeline"},
    {"brokers", WEIR_CONF_STRING, AT(brokers), .fallback = "localhost:9092", .doc = "Kafka | bootstrap servers"},
    {"broker_password", WEIR_CONF_STRING, AT(password), .fallback = "hunter2", .flags = WEIR_CONF_SECRET, .doc = "its password"},
    {"data", WEIR_CONF_LIST, AT(data), .fallback = "a.csv,b.csv", .doc = "files to read"},
    {"port", WEIR_CONF_INT, AT(port), .min = 1, .max = 65535, .fallback = "8080", .doc = "port to listen on"},
    {"interval", WEIR_CONF_DURATION, AT(interval_us), .fallback = "15s", .flags = WEIR_CONF_RELOADABLE, .doc = "time between two looks"},
    {"since", WEIR_CONF_TIME, AT(since_us), .doc = "first event time"},
    {"ratio", WEIR_CONF_NUMBER, AT(ratio), .min = 0, .max = 1, .fallback = "0.5", .unit = "parts of one", .doc = "share of the challenger"},
    {"follow", WEIR_CONF_BOOL, AT(follow), .doc = "go on reading"},
    {"color", WEIR_CONF_BOOL, AT(color), .fallback = "true", .doc = "colours on a terminal"},
    {"output_format", WEIR_CONF_ENUM, AT(format), .choices = formats, .fallback = "json", .doc = "how to print"},
    {"pin", WEIR_CONF_INT, AT(pin), .flags = WEIR_CONF_SECRET, .doc = "a secret number"},
    {.name = NULL},
};

static settings s;
static weir_err err;

static int set_up(void **state) {
    (void)state;
    memset(&s, 0, sizeof s);
    return weir_conf_defaults(table, &s, &err) == WEIR_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    weir_conf_done(table, &s);
    return 0;
}

static weir_status from_json(const char *text) {
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    weir_status status = weir_conf_from_json(table, &s, json, "$.x", &err);
    cJSON_Delete(json);
    return status;
}

static bool help_seen;

#define FROM_ARGS(...) weir_conf_from_args(table, &s, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__}, &help_seen, &err)

static void defaults_fill_every_type(void **state) {
    (void)state;
    assert_null(s.pipeline);
    assert_string_equal(s.brokers, "localhost:9092");
    assert_string_equal(s.data[0], "a.csv");
    assert_string_equal(s.data[1], "b.csv");
    assert_null(s.data[2]);
    assert_int_equal(s.port, 8080);
    assert_int_equal(s.interval_us, 15 * WEIR_SECOND_US);
    assert_int_equal(s.since_us, 0);
    assert_true(s.ratio == 0.5);
    assert_false(s.follow);
    assert_true(s.color);
    assert_int_equal(s.format, 1);
    /* Again over what was changed: freed and reset. */
    assert_int_equal(weir_conf_set(table, &s, "brokers", "other:1", &err), WEIR_OK);
    assert_int_equal(weir_conf_defaults(table, &s, &err), WEIR_OK);
    assert_string_equal(s.brokers, "localhost:9092");
    weir_conf_done(table, &s);
    assert_null(s.brokers);
    assert_null(s.data);
    assert_int_equal(s.port, 0);
}

static void values_are_parsed_by_type(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"port", "65535"}, {"ratio", "1e-3"},        {"interval", "2w"}, {"since", "2018-05-15"}, {"follow", "yes"},
                                           {"color", "0"},    {"output_format", "csv"}, {"data", "x,,y,"},  {"pipeline", ""},        {"output-format", "csv"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) assert_int_equal(weir_conf_set(table, &s, pairs[i][0], pairs[i][1], &err), WEIR_OK);
    assert_int_equal(s.port, 65535);
    assert_true(s.ratio == 1e-3);
    assert_int_equal(s.interval_us, 14 * WEIR_DAY_US);
    assert_int_equal(s.since_us, INT64_C(1526342400000000));
    assert_true(s.follow);
    assert_false(s.color);
    assert_int_equal(s.format, 2);
    assert_string_equal(s.data[1], "y");
    assert_null(s.data[2]);
    assert_string_equal(s.pipeline, "");
    assert_int_equal(weir_conf_set(table, &s, "data", "", &err), WEIR_OK);
    assert_true(!s.data || !s.data[0]);
}

static void wrong_values_are_named_and_change_nothing(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"port", "0", "port: found \"0\", expected a whole number from 1 to 65535"},
        {"port", "65536", "port: found \"65536\""},
        {"port", "80a", "port: found \"80a\""},
        {"port", "", "port: found \"\""},
        {"port", " 80", "port: found \" 80\""},
        {"port", "99999999999999999999", "port: found"},
        {"port", "8e3", "port: found"},
        {"ratio", "1.5", "ratio: found \"1.5\", expected a number from 0 to 1"},
        {"ratio", "nan", "ratio: found \"nan\""},
        {"ratio", "", "ratio: found \"\""},
        {"ratio", "inf", "ratio: found"},
        {"interval", "15", "interval: found \"15\", expected a duration"},
        {"since", "yesterday", "since: found \"yesterday\", expected a UTC time"},
        {"follow", "maybe", "follow: found \"maybe\", expected true or false"},
        {"output_format", "xml", "output_format: found \"xml\", expected table, json or csv"},
    };
    settings before = s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(weir_conf_set(table, &s, cases[i][0], cases[i][1], &err), WEIR_EINVAL);
        if (strncmp(err.message, cases[i][2], strlen(cases[i][2])) != 0) fail_msg("%s", err.message);
        assert_memory_equal(&s, &before, sizeof s);
    }
}

static void unknown_names_suggest_the_nearest(void **state) {
    (void)state;
    assert_int_equal(weir_conf_set(table, &s, "broker", "x", &err), WEIR_EINVAL);
    assert_string_equal(err.message, "broker: unknown setting; did you mean \"brokers\"?");
    assert_int_equal(from_json("{\"prot\": 1}"), WEIR_EINVAL);
    assert_string_equal(err.message, "$.x.prot: unknown key; did you mean \"port\"?");
    assert_int_equal(FROM_ARGS("--output-fromat=json"), WEIR_EINVAL);
    assert_string_equal(err.message, "--output-fromat: unknown option; did you mean \"--output-format\"?");
    assert_int_equal(FROM_ARGS("--zzzzzzzzzzz"), WEIR_EINVAL);
    assert_string_equal(err.message, "--zzzzzzzzzzz: unknown option");
}

static void secrets_are_never_shown(void **state) {
    (void)state;
    assert_int_equal(weir_conf_set(table, &s, "pin", "s3cret", &err), WEIR_EINVAL);
    assert_null(strstr(err.message, "s3cret"));
    assert_int_equal(from_json("{\"pin\": \"s3cret\"}"), WEIR_EINVAL);
    assert_null(strstr(err.message, "s3cret"));
    assert_int_equal(from_json("{\"pin\": 3.25}"), WEIR_EINVAL);
    assert_null(strstr(err.message, "3.25"));
    assert_int_equal(FROM_ARGS("--pin=s3cret"), WEIR_EINVAL);
    assert_null(strstr(err.message, "s3cret"));

    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    weir_conf_help(table, out);
    weir_conf_markdown(table, out);
    fclose(out);
    cJSON *schema = weir_conf_json_schema(table);
    char *schema_text = cJSON_Print(schema);
    assert_non_null(strstr(text, "broker_password"));
    assert_null(strstr(text, "hunter2"));
    assert_null(strstr(schema_text, "hunter2"));
    free(schema_text);
    cJSON_Delete(schema);
    free(text);
}

static void environment_is_taken_by_upper_case_name(void **state) {
    (void)state;
    setenv("WEIR_PORT", "9999", 1);
    setenv("WEIR_OUTPUT_FORMAT", "table", 1);
    setenv("WEIR_DATA", "p,q", 1);
    setenv("WEIR_BROKERS", "", 1);
    weir_status status = weir_conf_from_env(table, &s, &err);
    setenv("WEIR_PORT", "high", 1);
    weir_status wrong = weir_conf_from_env(table, &s, &err);
    unsetenv("WEIR_PORT");
    unsetenv("WEIR_OUTPUT_FORMAT");
    unsetenv("WEIR_DATA");
    unsetenv("WEIR_BROKERS");
    assert_int_equal(status, WEIR_OK);
    assert_int_equal(s.port, 9999);
    assert_int_equal(s.format, 0);
    assert_string_equal(s.data[1], "q");
    assert_string_equal(s.brokers, "localhost:9092");
    assert_int_equal(wrong, WEIR_EINVAL);
    assert_memory_equal(err.message, "WEIR_PORT: found \"high\"", 23);
}

static void json_fills_every_type(void **state) {
    (void)state;
    setenv("WEIR_TEST_CONF_HOST", "kafka", 1);
    setenv("WEIR_TEST_CONF_PORT", "1234", 1);
    assert_int_equal(from_json("{\"brokers\": \"${WEIR_TEST_CONF_HOST}:${WEIR_TEST_CONF_PORT}\", \"port\": \"${WEIR_TEST_CONF_PORT}\", \"ratio\": 1, "
                               "\"follow\": true, \"interval\": \"1h\","
                               " \"since\": \"2018-05-15T00:00:00Z\", \"output_format\": \"csv\", \"data\": [\"${WEIR_TEST_CONF_HOST}.csv\", \"a,b\"]}"),
                     WEIR_OK);
    assert_string_equal(s.brokers, "kafka:1234");
    assert_int_equal(s.port, 1234);
    assert_true(s.ratio == 1);
    assert_true(s.follow);
    assert_int_equal(s.interval_us, 3600 * WEIR_SECOND_US);
    assert_int_equal(s.since_us, INT64_C(1526342400000000));
    assert_int_equal(s.format, 2);
    assert_string_equal(s.data[0], "kafka.csv");
    assert_string_equal(s.data[1], "a,b");
    assert_null(s.data[2]);
    assert_int_equal(from_json("{\"data\": []}"), WEIR_OK);
    assert_null(s.data);
}

static void json_of_the_wrong_kind_names_its_path(void **state) {
    (void)state;
    setenv("WEIR_TEST_CONF_HOST", "kafka", 1);
    static const char *const cases[][2] = {
        {"{\"port\": \"80\"}", "$.x.port: found \"80\", expected a whole number from 1 to 65535"},
        {"{\"port\": 80.5}", "$.x.port: found \"80.5\", expected"},
        {"{\"port\": 1e300}", "$.x.port: found"},
        {"{\"port\": null}", "$.x.port: found \"null\", expected"},
        {"{\"port\": \"${WEIR_TEST_CONF_HOST}\"}", "$.x.port: found \"${WEIR_TEST_CONF_HOST}\", expected"},
        {"{\"ratio\": 2}", "$.x.ratio: found \"2\", expected a number from 0 to 1"},
        {"{\"ratio\": true}", "$.x.ratio: found \"true\", expected"},
        {"{\"brokers\": 1}", "$.x.brokers: found \"1\", expected a text"},
        {"{\"brokers\": {}}", "$.x.brokers: found \"an object\", expected a text"},
        {"{\"follow\": \"true\"}", "$.x.follow: found \"true\", expected true or false"},
        {"{\"follow\": 1}", "$.x.follow: found \"1\", expected true or false"},
        {"{\"interval\": 90}", "$.x.interval: found \"90\", expected a duration"},
        {"{\"data\": \"a\"}", "$.x.data: found \"a\", expected a list of texts"},
        {"{\"data\": [\"a\", 1]}", "$.x.data: found \"a number\", expected a list of texts"},
        {"{\"data\": [\"${WEIR_TEST_CONF_UNSET}\"]}", "$.x.data: the environment variable WEIR_TEST_CONF_UNSET is not set"},
        {"{\"brokers\": \"${WEIR_TEST_CONF_UNSET}\"}", "$.x.brokers: the environment variable WEIR_TEST_CONF_UNSET is not set"},
        {"{\"port\": 1, \"port\": 2}", "$.x.port: the key is there twice"},
        {"[]", "$.x: found an array, expected an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(from_json(cases[i][0]), WEIR_EINVAL);
        if (strncmp(err.message, cases[i][1], strlen(cases[i][1])) != 0) fail_msg("%s: %s", cases[i][0], err.message);
    }
    assert_string_equal(s.brokers, "localhost:9092");
    assert_string_equal(s.data[0], "a.csv");
}

static void flags_fill_every_type(void **state) {
    (void)state;
    assert_int_equal(FROM_ARGS("--port", "1", "fraud", "--ratio=0.25", "--follow", "--no-color", "--data", "one,two.csv", "--data=three", "--since",
                               "2018-05-15", "--output_format", "csv"),
                     WEIR_OK);
    assert_false(help_seen);
    assert_string_equal(s.pipeline, "fraud");
    assert_int_equal(s.port, 1);
    assert_true(s.ratio == 0.25);
    assert_true(s.follow);
    assert_false(s.color);
    assert_string_equal(s.data[0], "one,two.csv");
    assert_string_equal(s.data[1], "three");
    assert_null(s.data[2]);
    assert_int_equal(s.format, 2);
    assert_int_equal(FROM_ARGS("--follow=false", "--interval=", "x"), WEIR_EINVAL);
    assert_false(s.follow);
    assert_memory_equal(err.message, "--interval: found \"\"", 20);
}

static void flags_used_wrongly_are_told(void **state) {
    (void)state;
    assert_int_equal(FROM_ARGS("--port"), WEIR_EINVAL);
    assert_string_equal(err.message, "--port: needs a value");
    assert_int_equal(FROM_ARGS("--brokers", "--follow"), WEIR_EINVAL);
    assert_string_equal(err.message, "--brokers: needs a value");
    assert_int_equal(FROM_ARGS("fraud", "churn"), WEIR_EINVAL);
    assert_string_equal(err.message, "\"churn\" is one argument too many");
    assert_int_equal(FROM_ARGS("-p", "1"), WEIR_EINVAL);
    assert_int_equal(FROM_ARGS("--no-port"), WEIR_EINVAL);
    assert_int_equal(FROM_ARGS("--no-folow"), WEIR_EINVAL);
    assert_int_equal(FROM_ARGS("--follow=perhaps"), WEIR_EINVAL);
    assert_int_equal(FROM_ARGS("--=x"), WEIR_EINVAL);
}

static void help_stops_reading(void **state) {
    (void)state;
    assert_int_equal(FROM_ARGS("--port", "1", "--help", "--nonsense"), WEIR_OK);
    assert_true(help_seen);
    assert_int_equal(FROM_ARGS("-h"), WEIR_OK);
    assert_true(help_seen);
    assert_int_equal(FROM_ARGS("--", "--help"), WEIR_OK);
    assert_false(help_seen);
    assert_string_equal(s.pipeline, "--help");
}

static void positional_list_takes_the_rest(void **state) {
    (void)state;
    struct two {
        char *first;
        char **rest;
    } two = {0};
    static const weir_conf_item items[] = {
        {"first", WEIR_CONF_STRING, offsetof(struct two, first), .flags = WEIR_CONF_POSITIONAL, .doc = "one"},
        {"rest", WEIR_CONF_LIST, offsetof(struct two, rest), .flags = WEIR_CONF_POSITIONAL, .doc = "others"},
        {.name = NULL},
    };
    assert_int_equal(weir_conf_from_args(items, &two, 4, (char *[]){"a", "b", "-", "c"}, &help_seen, &err), WEIR_OK);
    assert_string_equal(two.first, "a");
    assert_string_equal(two.rest[0], "b");
    assert_string_equal(two.rest[1], "-");
    assert_string_equal(two.rest[2], "c");
    assert_null(two.rest[3]);
    weir_conf_done(items, &two);
}

static void a_list_of_many_takes_values_up_to_the_next_option(void **state) {
    (void)state;
    struct many {
        char **columns;
        char *table;
    } many = {0};
    static const weir_conf_item items[] = {
        {"columns", WEIR_CONF_LIST, offsetof(struct many, columns), .flags = WEIR_CONF_MANY, .doc = "columns"},
        {"table", WEIR_CONF_STRING, offsetof(struct many, table), .doc = "their table"},
        {.name = NULL},
    };
    char *args[] = {"--columns", "a", "b", "--table", "t", "--columns", "c"};
    assert_int_equal(weir_conf_from_args(items, &many, 7, args, &help_seen, &err), WEIR_OK);
    assert_string_equal(many.table, "t");
    for (int i = 0; i < 3; i++) assert_string_equal(many.columns[i], ((const char *[]){"a", "b", "c"})[i]);
    assert_null(many.columns[3]);
    assert_int_equal(weir_conf_from_args(items, &many, 2, (char *[]){"--columns", "--table"}, &help_seen, &err), WEIR_EINVAL);
    weir_conf_done(items, &many);
}

static void missing_required_settings_are_named(void **state) {
    (void)state;
    assert_int_equal(weir_conf_check(table, &s, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "pipeline is missing: name of the pipeline");
    assert_int_equal(weir_conf_set(table, &s, "pipeline", "", &err), WEIR_OK);
    assert_int_equal(weir_conf_check(table, &s, &err), WEIR_EINVAL);
    assert_int_equal(weir_conf_set(table, &s, "pipeline", "fraud", &err), WEIR_OK);
    assert_int_equal(weir_conf_check(table, &s, &err), WEIR_OK);
}

static void help_shows_flags_defaults_and_ranges(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    weir_conf_help(table, out);
    fclose(out);
    assert_ptr_equal(strstr(text, "  PIPELINE                      name of the pipeline (required)\n"), text);
    assert_non_null(strstr(text, "  --port N                      port to listen on; 1 to 65535 [8080]\n"));
    assert_non_null(strstr(text, "  --no-color                    colours on a terminal\n"));
    assert_non_null(strstr(text, "  --data TEXT ...               files to read [a.csv,b.csv]\n"));
    assert_non_null(strstr(text, "  --output-format WORD          how to print: table, json, csv [json]\n"));
    assert_non_null(strstr(text, "  --ratio X                     share of the challenger; 0 to 1; in parts of one [0.5]\n"));
    free(text);
}

static void markdown_has_a_row_for_every_setting(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    weir_conf_markdown(table, out);
    fclose(out);
    assert_non_null(strstr(text, "| `brokers` | text | `localhost:9092` | Kafka \\| bootstrap servers |\n"));
    assert_non_null(strstr(text, "| `interval` | duration | `15s` | time between two looks (reloadable) |\n"));
    assert_non_null(strstr(text, "| `pipeline` | text | required | name of the pipeline |\n"));
    int rows = 0;
    for (const char *c = text; *c; c++) rows += *c == '\n';
    assert_int_equal(rows, 2 + (int)(sizeof table / sizeof *table) - 1);
    free(text);
}

static void schema_describes_the_table(void **state) {
    (void)state;
    cJSON *schema = weir_conf_json_schema(table);
    assert_non_null(schema);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(schema, "additionalProperties")));
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(schema, "required"), 0)), "pipeline");
    cJSON *properties = cJSON_GetObjectItem(schema, "properties");
    assert_int_equal(cJSON_GetArraySize(properties), (int)(sizeof table / sizeof *table) - 1);
    cJSON *port = cJSON_GetObjectItem(properties, "port");
    char *text = cJSON_PrintUnformatted(port);
    assert_string_equal(text, "{\"type\":[\"integer\",\"string\"],\"pattern\":\"\\\\$\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}\",\"description\":\"port to listen "
                              "on\",\"default\":8080,\"minimum\":1,\"maximum\":"
                              "65535}");
    free(text);
    text = cJSON_PrintUnformatted(cJSON_GetObjectItem(properties, "output_format"));
    assert_string_equal(text, "{\"type\":\"string\",\"enum\":[\"table\",\"json\",\"csv\"],\"description\":\"how to print\",\"default\":\"json\"}");
    free(text);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(properties, "broker_password"), "writeOnly")));
    cJSON_Delete(schema);
}

static void expand_replaces_names(void **state) {
    (void)state;
    setenv("WEIR_TEST_CONF_HOST", "kafka", 1);
    unsetenv("WEIR_TEST_CONF_UNSET");
    static const char *const good[][2] = {{"", ""},
                                          {"plain $5 {x} $", "plain $5 {x} $"},
                                          {"${WEIR_TEST_CONF_HOST}", "kafka"},
                                          {"a${WEIR_TEST_CONF_HOST}${WEIR_TEST_CONF_HOST}b", "akafkakafkab"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char *text = NULL;
        assert_int_equal(weir_conf_expand(good[i][0], &text, &err), WEIR_OK);
        assert_string_equal(text, good[i][1]);
        free(text);
    }
    static const char *const bad[] = {"${WEIR_TEST_CONF_UNSET}", "${", "${}", "${WEIR_TEST_CONF_HOST", "${1A}", "${A B}", "a${b${WEIR_TEST_CONF_HOST}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = NULL;
        assert_int_equal(weir_conf_expand(bad[i], &text, &err), WEIR_EINVAL);
        assert_null(text);
    }
}

static void nearest_is_by_edit_distance(void **state) {
    (void)state;
    static const char *const words[] = {"customer", "terminal", "topic", "x", NULL};
    assert_string_equal(weir_conf_nearest("topic", words), "topic");
    assert_string_equal(weir_conf_nearest("tpoic", words), "topic");
    assert_string_equal(weir_conf_nearest("costumers", words), "customer");
    assert_string_equal(weir_conf_nearest("termina", words), "terminal");
    assert_null(weir_conf_nearest("weather", words));
    assert_null(weir_conf_nearest("y", words));
    assert_null(weir_conf_nearest("", words));
    assert_null(weir_conf_nearest("topic", (const char *const[]){NULL}));
    char longer[200];
    memset(longer, 't', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(weir_conf_nearest(longer, words));
}

/* ---- every allocation fails once ---- */

static weir_allocator real;
static int allocations, fail_at;

static void *counting_realloc(void *old, size_t size) {
    if (size && ++allocations == fail_at) return NULL;
    return real.realloc(old, size);
}

static void failed_allocations_leak_and_break_nothing(void **state) {
    (void)state;
    setenv("WEIR_TEST_CONF_HOST", "kafka", 1);
    cJSON *json = cJSON_Parse("{\"brokers\": \"${WEIR_TEST_CONF_HOST}\", \"data\": [\"a\", \"b\"], \"port\": \"${WEIR_TEST_CONF_HOST}\"}");
    real = weir_mem;
    weir_mem.realloc = counting_realloc;
    int failures = 0;
    weir_status status = WEIR_ENOMEM;
    for (fail_at = 1; fail_at < 100 && status != WEIR_EINVAL; fail_at++) {
        allocations = 0;
        status = weir_conf_defaults(table, &s, NULL);
        if (status == WEIR_OK) status = weir_conf_from_args(table, &s, 2, (char *[]){"--data=q", "--data=r"}, &help_seen, NULL);
        if (status == WEIR_OK) status = weir_conf_from_json(table, &s, json, "$", NULL);
        failures += status == WEIR_ENOMEM;
    }
    weir_mem = real;
    cJSON_Delete(json);
    assert_true(failures > 10);
    assert_int_equal(status, WEIR_EINVAL); /* the wrong port, once memory sufficed */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(defaults_fill_every_type),
        TEST(values_are_parsed_by_type),
        TEST(wrong_values_are_named_and_change_nothing),
        TEST(unknown_names_suggest_the_nearest),
        TEST(secrets_are_never_shown),
        TEST(environment_is_taken_by_upper_case_name),
        TEST(json_fills_every_type),
        TEST(json_of_the_wrong_kind_names_its_path),
        TEST(flags_fill_every_type),
        TEST(flags_used_wrongly_are_told),
        TEST(help_stops_reading),
        TEST(positional_list_takes_the_rest),
        TEST(a_list_of_many_takes_values_up_to_the_next_option),
        TEST(missing_required_settings_are_named),
        TEST(help_shows_flags_defaults_and_ranges),
        TEST(markdown_has_a_row_for_every_setting),
        TEST(schema_describes_the_table),
        TEST(expand_replaces_names),
        TEST(nearest_is_by_edit_distance),
        TEST(failed_allocations_leak_and_break_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
