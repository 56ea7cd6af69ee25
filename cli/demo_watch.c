/* Reading OpenMetrics text; see demo_watch.h. */
#include "cli/demo_watch.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/http.h"

enum { FETCH_TIMEOUT_MS = 3000 };

static void series_done(weir_series *series) {
    free((char *)series->text);
    free((char *)series->name);
    for (int i = 0; i < series->label_count; i++) {
        free((char *)series->label[i]);
        free((char *)series->label_value[i]);
    }
    *series = (weir_series){0};
}

void weir_watch_done(weir_watch *watch) {
    for (int i = 0; i < watch->count; i++) series_done(&watch->series[i]);
    free(watch->series);
    *watch = (weir_watch){0};
}

/* Copies a label's value up to its closing quote, without the escapes of the text format (\\ \" \n). *at moves behind the quote; NULL when there is none. */
static char *take_value(const char **at, const char *end) {
    char *value = malloc((size_t)(end - *at) + 1), *out = value;
    for (const char *p = *at; value && p < end; p++) {
        if (*p == '"') {
            *out = 0;
            *at = p + 1;
            return value;
        }
        if (*p == '\\' && p + 1 < end) {
            p++;
            *out++ = *p == 'n' ? '\n' : *p;
        } else {
            *out++ = *p;
        }
    }
    free(value);
    return NULL;
}

/* text is name{label="value",…}. False when it is not, or memory ran out: the series is then freed. */
static bool series_parse(weir_series *series, const char *text, size_t len) {
    const char *end = text + len, *brace = memchr(text, '{', len);
    *series = (weir_series){.text = strndup(text, len), .name = strndup(text, brace ? (size_t)(brace - text) : len)};
    bool ok = series->text && series->name;
    for (const char *p = brace ? brace + 1 : end; ok && p < end && *p != '}';) {
        const char *equals = memchr(p, '=', (size_t)(end - p));
        ok = equals && equals + 1 < end && equals[1] == '"' && series->label_count < WEIR_WATCH_LABELS_MAX;
        if (!ok) break;
        char *name = strndup(p, (size_t)(equals - p));
        p = equals + 2;
        char *value = take_value(&p, end);
        series->label[series->label_count] = name;
        series->label_value[series->label_count++] = value;
        ok = name && value;
        if (ok && p < end && *p == ',') p++;
    }
    if (!ok) series_done(series);
    return ok;
}

static bool ends_with(const char *text, size_t len, const char *end) {
    size_t end_len = strlen(end);
    return len >= end_len && !memcmp(text + len - end_len, end, end_len);
}

/* Texts come in the same order each time, so the series is nearly always the one after that of the line before. */
static weir_series *find(weir_watch *watch, const char *text, size_t len, int *hint) {
    for (int i = 0; i < watch->count; i++) {
        int at = (*hint + i) % watch->count;
        if (!strncmp(watch->series[at].text, text, len) && !watch->series[at].text[len]) {
            *hint = at + 1;
            return &watch->series[at];
        }
    }
    return NULL;
}

static weir_status add_series(weir_watch *watch, const char *text, size_t len, size_t name_len, weir_series **ret_series, weir_err *err) {
    if (watch->count == WEIR_WATCH_SERIES_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "the workers have more than %d time series", WEIR_WATCH_SERIES_MAX);
    if (watch->count == watch->capacity) {
        int capacity = watch->capacity ? 2 * watch->capacity : 256;
        weir_series *series = realloc(watch->series, (size_t)capacity * sizeof *series);
        if (!series) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d time series", capacity);
        watch->series = series;
        watch->capacity = capacity;
    }
    weir_series *series = &watch->series[watch->count];
    *ret_series = NULL;
    if (!series_parse(series, text, len)) return WEIR_OK; /* not a sample */
    series->counter = ends_with(text, name_len, "_total");
    watch->count++;
    *ret_series = series;
    return WEIR_OK;
}

/* A counter that went back began again in a new process. */
static void set_value(weir_series *series, double raw, bool fresh, bool begun) {
    if (!series->counter)
        series->value = raw;
    else if (fresh)
        series->value = begun ? raw : 0;
    else
        series->value += raw >= series->raw ? raw - series->raw : raw;
    series->raw = raw;
    series->present = true;
}

/* Where the name and labels of a sample end: at the space that is not inside quotes. 0 when this is no sample. */
static size_t sample_length(const char *line, size_t len) {
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && line[i] == '\\') {
            i++;
        } else if (line[i] == '"') {
            quoted = !quoted;
        } else if (line[i] == ' ' && !quoted) {
            return i;
        }
    }
    return 0;
}

static weir_status take_line(weir_watch *watch, const char *line, size_t len, int *hint, weir_err *err) {
    char number[64], *end;
    size_t text_len = sample_length(line, len), name_len = 0;
    if (len < 5 || memcmp(line, "weir_", 5) != 0 || !text_len) return WEIR_OK;
    while (name_len < text_len && line[name_len] != '{') name_len++;
    if (ends_with(line, name_len, "_bucket") || ends_with(line, name_len, "_created")) return WEIR_OK;
    size_t rest = len - text_len - 1;
    if (rest == 0 || rest >= sizeof number) return WEIR_OK;
    memcpy(number, line + text_len + 1, rest);
    number[rest] = 0;
    double raw = strtod(number, &end);
    if (end == number || (*end && !isspace((unsigned char)*end))) return WEIR_OK;
    weir_series *series = find(watch, line, text_len, hint);
    bool fresh = !series;
    weir_status status = fresh ? add_series(watch, line, text_len, name_len, &series, err) : WEIR_OK;
    if (!status && series) set_value(series, raw, fresh, watch->begun);
    return status;
}

weir_status weir_watch_take(weir_watch *watch, const char *text, size_t len, weir_err *err) {
    weir_status status = WEIR_OK;
    int hint = 0;
    for (int i = 0; i < watch->count; i++) watch->series[i].present = false;
    for (const char *p = text, *end = text + len; !status && p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t line_len = newline ? (size_t)(newline - p) : (size_t)(end - p);
        status = take_line(watch, p, line_len, &hint, err);
        p += line_len + 1;
    }
    if (!status) watch->begun = true;
    return status;
}

weir_status weir_watch_fetch(weir_watch *watch, const char *url, weir_err *err) {
    weir_buf body = {0};
    int http_status = 0;
    weir_status status = weir_http_call("GET", url, NULL, NULL, 0, FETCH_TIMEOUT_MS, &http_status, &body, err);
    if (!status && http_status != 200) status = WEIR_RETRY(err, WEIR_ENET, "%s answered with status %d", url, http_status);
    if (!status) status = weir_watch_take(watch, body.data ? body.data : "", body.len, err);
    weir_buf_done(&body);
    return status;
}

const char *weir_series_label(const weir_series *series, const char *name) {
    for (int i = 0; i < series->label_count; i++)
        if (!strcmp(series->label[i], name)) return series->label_value[i];
    return "";
}

static bool matches(const weir_series *series, const char *name, const weir_watch_label *labels) {
    if (strcmp(series->name, name) != 0 || (!series->present && !series->counter)) return false;
    for (; labels->name; labels++)
        if (strcmp(weir_series_label(series, labels->name), labels->value) != 0) return false;
    return true;
}

const weir_series *weir_watch_next(const weir_watch *watch, const char *name, const weir_watch_label *labels, const weir_series *after) {
    for (const weir_series *s = after ? after + 1 : watch->series; s && s < watch->series + watch->count; s++)
        if (matches(s, name, labels)) return s;
    return NULL;
}

double weir_watch_sum(const weir_watch *watch, const char *name, const weir_watch_label *labels) {
    double sum = 0;
    for (const weir_series *s = NULL; (s = weir_watch_next(watch, name, labels, s));) sum += s->value;
    return sum;
}
