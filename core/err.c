#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut must not end in half a UTF-8 sequence: it travels in JSON and in Kafka headers. */
static void trim_partial_utf8(char *text, size_t len) {
    size_t tail = 0;
    while (tail < 3 && tail < len && ((unsigned char)text[len - 1 - tail] & 0xC0) == 0x80) tail++;
    if (tail == len) return;
    unsigned char lead = (unsigned char)text[len - 1 - tail];
    size_t need = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (need > tail) text[len - 1 - tail] = 0;
}

static void format_message(char *text, size_t size, const char *format, va_list args) {
    int written = vsnprintf(text, size, format, args);
    if (written < 0) text[0] = 0;
    if (written >= (int)size) trim_partial_utf8(text, size - 1);
}

weir_status weir_err_set(weir_err *err, weir_status code, weir_action action, const char *where, const char *format, ...) {
    if (!err) return code;
    err->code = code;
    err->action = action;
    err->where = where;
    /* Formatted aside: an argument may be err->message itself. */
    char text[WEIR_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    format_message(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->message, text, strlen(text) + 1);
    return code;
}

weir_status weir_err_prefix(weir_err *err, const char *format, ...) {
    if (!err) return WEIR_EINTERNAL;
    char text[WEIR_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    format_message(text, sizeof text, format, args);
    va_end(args);

    size_t prefix_len = strlen(text), message_len = strlen(err->message), room = sizeof text - 1;
    if (prefix_len + 2 > room) prefix_len = room - 2;
    memcpy(text + prefix_len, ": ", 2);
    size_t start = prefix_len + 2;
    size_t kept = message_len < room - start ? message_len : room - start;
    memcpy(text + start, err->message, kept);
    text[start + kept] = 0;
    if (kept < message_len) trim_partial_utf8(text, start + kept);
    memcpy(err->message, text, strlen(text) + 1);
    return err->code;
}

const char *weir_status_name(weir_status code) {
    switch (code) {
    case WEIR_OK: return "ok";
    case WEIR_EINVAL: return "invalid";
    case WEIR_EDATA: return "data";
    case WEIR_ENOTFOUND: return "notfound";
    case WEIR_ECONFLICT: return "conflict";
    case WEIR_EIO: return "io";
    case WEIR_ENET: return "net";
    case WEIR_ETIMEOUT: return "timeout";
    case WEIR_ELIMIT: return "limit";
    case WEIR_ENOMEM: return "nomem";
    case WEIR_ENUMERIC: return "numeric";
    case WEIR_EDENIED: return "denied";
    case WEIR_EINTERNAL: return "internal";
    }
    return "internal";
}

int weir_status_exit(weir_status code) {
    switch (code) {
    case WEIR_OK: return 0;
    case WEIR_EINVAL: return 2;
    case WEIR_EIO:
    case WEIR_ENET:
    case WEIR_ETIMEOUT: return 3;
    default: return 1;
    }
}
