/* Structured logs: one line an event, JSON, or logfmt on a terminal. Workers and main log; library code returns errors. */
#ifndef WEIR_CORE_LOG_H
#define WEIR_CORE_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

typedef enum weir_log_level { WEIR_LOG_DEBUG, WEIR_LOG_INFO, WEIR_LOG_WARN, WEIR_LOG_ERROR } weir_log_level;
typedef enum weir_log_format { WEIR_LOG_AUTO, WEIR_LOG_JSON, WEIR_LOG_LOGFMT } weir_log_format;

typedef struct weir_log_field {
    const char *key;
    enum { WEIR_LOG_STR, WEIR_LOG_INT, WEIR_LOG_NUM } type;
    union {
        const char *s;
        int64_t i;
        double f;
    };
} weir_log_field;

#define WEIR_S(k, v) ((weir_log_field){.key = (k), .type = WEIR_LOG_STR, .s = (v)})
#define WEIR_I(k, v) ((weir_log_field){.key = (k), .type = WEIR_LOG_INT, .i = (v)})
#define WEIR_F(k, v) ((weir_log_field){.key = (k), .type = WEIR_LOG_NUM, .f = (v)})

/** Process-wide; call once at start. AUTO: logfmt when out is a terminal. */
void weir_log_init(FILE *out, weir_log_format format, weir_log_level least);
weir_status weir_log_level_parse(const char *text, weir_log_level *ret_level, weir_err *err) WEIR_MUST_CHECK;
/** Fields that every line of this thread carries from now on (worker, pipeline); copied; n ≤ 8. */
void weir_log_context(const weir_log_field *fields, size_t n);
void weir_log_write(weir_log_level level, const char *message, const weir_log_field *fields, size_t n);
/** Logs an error value with its code, place and message besides the fields. */
void weir_log_err(weir_log_level level, const char *message, const weir_err *err);

#define WEIR_LOG(level, message, ...)                                                                                                                          \
    weir_log_write((level), (message), (const weir_log_field[]){WEIR_I(NULL, 0), ##__VA_ARGS__} + 1,                                                           \
                   sizeof((const weir_log_field[]){WEIR_I(NULL, 0), ##__VA_ARGS__}) / sizeof(weir_log_field) - 1)
#define WEIR_INFO(...) WEIR_LOG(WEIR_LOG_INFO, __VA_ARGS__)
#define WEIR_WARN(...) WEIR_LOG(WEIR_LOG_WARN, __VA_ARGS__)
#define WEIR_ERROR(...) WEIR_LOG(WEIR_LOG_ERROR, __VA_ARGS__)

#endif
