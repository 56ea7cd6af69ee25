/* Typed configuration tables: validation, --help, JSON Schema and docs come from one source. */
#ifndef WEIR_CORE_CONF_H
#define WEIR_CORE_CONF_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

typedef enum weir_conf_type {
    WEIR_CONF_BOOL, /* bool */
    WEIR_CONF_INT, /* int64_t */
    WEIR_CONF_NUMBER, /* double */
    WEIR_CONF_STRING, /* char *, heap, owned by the object */
    WEIR_CONF_DURATION, /* int64_t microseconds, written "7d" */
    WEIR_CONF_TIME, /* int64_t microseconds since 1970, written as ISO 8601 */
    WEIR_CONF_ENUM, /* int, index into choices */
    WEIR_CONF_LIST, /* char **, heap, NULL-terminated; a JSON array of strings, a repeatable flag */
} weir_conf_type;

enum { WEIR_CONF_REQUIRED = 1, WEIR_CONF_SECRET = 2, WEIR_CONF_RELOADABLE = 4, WEIR_CONF_POSITIONAL = 8, WEIR_CONF_MANY = 16 };

/* One setting. Tables end with an item whose name is NULL. */
typedef struct weir_conf_item {
    const char *name; /* snake_case; the flag is --kebab-case, the environment variable WEIR_UPPER_CASE */
    weir_conf_type type;
    size_t offset; /* of the field in the object */
    double min, max; /* INT and NUMBER, when min < max */
    const char *const *choices; /* ENUM, NULL-terminated */
    const char *fallback; /* default as text; NULL: zero, empty */
    const char *unit; /* shown in help; NULL when it has none */
    unsigned flags;
    const char *doc; /* one line */
} weir_conf_item;

/** Frees what the object owns and sets every field to its default. The object is zeroed memory at first. */
weir_status weir_conf_defaults(const weir_conf_item *table, void *object, weir_err *err) WEIR_MUST_CHECK;
void weir_conf_done(const weir_conf_item *table, void *object);
/** Sets one field from text; a LIST is split at commas. Errors name the setting, what was found, what was expected; an unknown name suggests the nearest. */
weir_status weir_conf_set(const weir_conf_item *table, void *object, const char *name, const char *text, weir_err *err) WEIR_MUST_CHECK;
/** Takes every WEIR_… environment variable that the table knows and that is set and not empty. */
weir_status weir_conf_from_env(const weir_conf_item *table, void *object, weir_err *err) WEIR_MUST_CHECK;
/** Takes a JSON object; path ("$.source") prefixes messages; unknown keys are errors; "${NAME}" in strings is the environment's. */
weir_status weir_conf_from_json(const weir_conf_item *table, void *object, const cJSON *json, const char *path, weir_err *err) WEIR_MUST_CHECK;
/** Takes --flag value, --flag=value, --bool, --no-bool and positionals from argv[0 … argc), the program's and the command's names left out. A LIST's first flag replaces what was
 *  there, further ones add to it; a MANY one takes every value up
 *  to the next option; a positional LIST takes all the rest. *ret_help is set when --help was there; what follows it is then not read. */
weir_status weir_conf_from_args(const weir_conf_item *table, void *object, int argc, char **argv, bool *ret_help, weir_err *err) WEIR_MUST_CHECK;
/** Fails with WEIR_EINVAL when a REQUIRED field is empty: no text, no elements, 0 (of a BOOL or ENUM no value is empty). */
weir_status weir_conf_check(const weir_conf_item *table, const void *object, weir_err *err) WEIR_MUST_CHECK;
void weir_conf_help(const weir_conf_item *table, FILE *out);
/** {"type":"object","properties":…,"additionalProperties":false}; the caller deletes it. NULL when memory ran out. */
cJSON *weir_conf_json_schema(const weir_conf_item *table);
/** A Markdown table of the settings, for docs/. */
void weir_conf_markdown(const weir_conf_item *table, FILE *out);

/** Replaces ${NAME} by the environment's value; an unset name is WEIR_EINVAL. *ret_text is heap. */
weir_status weir_conf_expand(const char *text, char **ret_text, weir_err *err) WEIR_MUST_CHECK;
/** The candidate nearest to word by edit distance (≤ 3), or NULL. candidates is NULL-terminated. */
const char *weir_conf_nearest(const char *word, const char *const *candidates);

#endif
