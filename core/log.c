#include "core/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

enum { CONTEXT_MAX = 8, CONTEXT_TEXT_MAX = 512, VALUE_MAX = 4096 };

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

/* Set once before other threads start. */
static struct {
    FILE *out;
    bool logfmt;
    weir_log_level least;
} config = {.least = WEIR_LOG_INFO};

/* Keys and values point into text. */
static _Thread_local struct {
    weir_log_field fields[CONTEXT_MAX];
    size_t count;
    char text[CONTEXT_TEXT_MAX];
} context;

void weir_log_init(FILE *out, weir_log_format format, weir_log_level least) {
    config.out = out;
    config.logfmt = format == WEIR_LOG_LOGFMT || (format == WEIR_LOG_AUTO && isatty(fileno(out)));
    config.least = least;
}

weir_status weir_log_level_parse(const char *text, weir_log_level *ret_level, weir_err *err) {
    for (int i = 0; level_names[i]; i++) {
        if (strcmp(text, level_names[i]) != 0) continue;
        *ret_level = (weir_log_level)i;
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "\"%.40s\" is not a log level; expected debug, info, warn or error", text);
}

/* Copies what fits of text; the rest of an overlong context is cut, never the line. */
static const char *keep_text(size_t *used, const char *text) {
    size_t room = CONTEXT_TEXT_MAX - 1 - *used, len = strlen(text);
    if (len > room) len = room;
    char *copy = context.text + *used;
    memcpy(copy, text, len);
    copy[len] = 0;
    *used += len + (*used + len < CONTEXT_TEXT_MAX - 1);
    return copy;
}

void weir_log_context(const weir_log_field *fields, size_t n) {
    context.count = n < CONTEXT_MAX ? n : CONTEXT_MAX;
    size_t used = 0;
    for (size_t i = 0; i < context.count; i++) {
        weir_log_field *kept = &context.fields[i];
        *kept = fields[i];
        kept->key = keep_text(&used, fields[i].key);
        if (kept->type == WEIR_LOG_STR && kept->s) kept->s = keep_text(&used, fields[i].s);
    }
}

static bool needs_quotes(const char *text) {
    if (!*text) return true;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7F || *text == '"' || *text == '=' || *text == '\\') return true;
    return false;
}

static bool append_text(weir_buf *line, const char *text) {
    if (!text) return weir_buf_append(line, "null", 4);
    size_t len = strnlen(text, VALUE_MAX);
    if (config.logfmt && !needs_quotes(text)) return weir_buf_append(line, text, len);
    return weir_buf_append(line, "\"", 1) && weir_buf_json_escape(line, text, len) && weir_buf_append(line, "\"", 1);
}

static bool append_key(weir_buf *line, const char *key) {
    if (config.logfmt) return weir_buf_printf(line, "%s%s=", line->len ? " " : "", key);
    return weir_buf_append(line, line->len ? ",\"" : "{\"", 2) && weir_buf_json_escape(line, key, strlen(key)) && weir_buf_append(line, "\":", 2);
}

static bool append_field(weir_buf *line, const weir_log_field *field) {
    if (!append_key(line, field->key)) return false;
    switch (field->type) {
    case WEIR_LOG_STR: return append_text(line, field->s);
    case WEIR_LOG_INT: return weir_buf_printf(line, "%" PRId64, field->i);
    case WEIR_LOG_NUM:
        /* JSON has no word for these. */
        if (!isfinite(field->f)) return append_text(line, isnan(field->f) ? "NaN" : field->f > 0 ? "+Inf" : "-Inf");
        return weir_buf_printf(line, "%.9g", field->f);
    }
    return false;
}

static bool has_key(const weir_log_field *fields, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(fields[i].key, key)) return true;
    return false;
}

static bool build_line(weir_buf *line, weir_log_level level, const char *message, const weir_log_field *fields, size_t n) {
    char time[WEIR_TIME_TEXT_MAX];
    weir_time_format(weir_clock_wall_us(weir_clock_system()), time);
    const weir_log_field head[] = {WEIR_S("time", time), WEIR_S("level", level_names[level]), WEIR_S("message", message)};
    bool ok = true;
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) ok = ok && append_field(line, &head[i]);
    /* A field of the line wins over the thread's, so that no key comes twice. */
    for (size_t i = 0; i < context.count; i++) ok = ok && (has_key(fields, n, context.fields[i].key) || append_field(line, &context.fields[i]));
    for (size_t i = 0; i < n; i++) ok = ok && append_field(line, &fields[i]);
    return ok && weir_buf_append(line, config.logfmt ? "\n" : "}\n", config.logfmt ? 1 : 2);
}

void weir_log_write(weir_log_level level, const char *message, const weir_log_field *fields, size_t n) {
    if (level < config.least) return;
    static const char lost[] = "{\"level\":\"error\",\"message\":\"a log line was lost: out of memory\"}\n";
    FILE *out = config.out ? config.out : stderr;
    weir_buf line = {0};
    /* One fwrite holds the stream's lock, so lines of different threads never mix. */
    if (build_line(&line, level, message, fields, n))
        fwrite(line.data, 1, line.len, out);
    else
        fwrite(lost, 1, sizeof lost - 1, out);
    fflush(out);
    weir_buf_done(&line);
}

void weir_log_err(weir_log_level level, const char *message, const weir_err *err) {
    const weir_log_field fields[] = {WEIR_S("code", weir_status_name(err->code)), WEIR_S("where", err->where), WEIR_S("error", err->message)};
    weir_log_write(level, message, fields, sizeof fields / sizeof *fields);
}
