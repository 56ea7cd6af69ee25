/* Any text as a pipeline file, a flag's value, a duration, a time: a status or a value, never a crash or a leak.
 * clang -fsanitize=fuzzer,address,undefined, linked with weir_core; a seed is any pipelines/NAME.json. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct settings {
    bool flag;
    int64_t count, window_us, since_us;
    double ratio;
    char *topic;
    int format;
    char **files;
} settings;

static const char *const formats[] = {"table", "json", NULL};

static const weir_conf_item table[] = {
    {"flag", WEIR_CONF_BOOL, offsetof(settings, flag), .doc = "a switch"},
    {"count", WEIR_CONF_INT, offsetof(settings, count), .min = -5, .max = 1e6, .doc = "a count"},
    {"window", WEIR_CONF_DURATION, offsetof(settings, window_us), .doc = "a duration"},
    {"since", WEIR_CONF_TIME, offsetof(settings, since_us), .doc = "a time"},
    {"ratio", WEIR_CONF_NUMBER, offsetof(settings, ratio), .doc = "a ratio"},
    {"topic", WEIR_CONF_STRING, offsetof(settings, topic), .flags = WEIR_CONF_POSITIONAL, .doc = "a text"},
    {"format", WEIR_CONF_ENUM, offsetof(settings, format), .choices = formats, .doc = "a choice"},
    {"files", WEIR_CONF_LIST, offsetof(settings, files), .doc = "a list"},
    {.name = NULL},
};

static void try_json(const char *text) {
    cJSON *json = cJSON_Parse(text);
    if (!json) return;
    settings s = {0};
    weir_err err;
    if (weir_conf_from_json(table, &s, json, "$", &err) == WEIR_OK && weir_conf_check(table, &s, &err) != WEIR_OK) abort(); /* nothing is required */
    weir_conf_done(table, &s);
    cJSON_Delete(json);
}

/* The text's lines are the arguments. */
static void try_args(char *text) {
    char *argv[16], *rest = NULL;
    int argc = 0;
    for (char *line = strtok_r(text, "\n", &rest); line && argc < 16; line = strtok_r(NULL, "\n", &rest)) argv[argc++] = line;
    settings s = {0};
    weir_err err;
    bool help;
    if (weir_conf_from_args(table, &s, argc, argv, &help, &err) != WEIR_OK && !*err.message) abort();
    weir_conf_done(table, &s);
}

static void try_values(const char *text) {
    int64_t us = 0, again = 0;
    weir_err err;
    if (weir_duration_parse(text, &us, &err) == WEIR_OK && us < 0) abort();
    if (weir_time_parse(text, &us, &err) == WEIR_OK) {
        char formatted[WEIR_TIME_TEXT_MAX];
        if (weir_time_parse(weir_time_format(us, formatted), &again, &err) != WEIR_OK || again != us) abort();
    }
    char *expanded;
    if (weir_conf_expand(text, &expanded, &err) == WEIR_OK) weir_mem.realloc(expanded, 0);
    (void)weir_conf_nearest(text, formats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_buf text = {0};
    if (!weir_buf_append(&text, data, size)) return 0;
    try_values(text.data);
    try_json(text.data);
    try_args(text.data);
    weir_buf_done(&text);
    return 0;
}
