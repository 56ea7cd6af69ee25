/* HTML text and readable numbers; see page.h. */
#include "core/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"

#define THIN "\u202f" /* narrow no-break space */
#define DASH "\u2013"
#define MINUS "\u2212"

void weir_page_put(weir_page *page, const char *literal) {
    if (!page->failed && !weir_buf_append(page->buf, literal, strlen(literal))) page->failed = true;
}

void weir_page_printf(weir_page *page, const char *format, ...) {
    if (page->failed) return;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len < 0 || !weir_buf_reserve(page->buf, (size_t)len)) {
        page->failed = true;
    } else {
        vsnprintf(page->buf->data + page->buf->len, (size_t)len + 1, format, again);
        page->buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

void weir_page_text(weir_page *page, const char *text) {
    for (const char *p = text ? text : ""; *p;) {
        size_t plain = strcspn(p, "&<>\"'");
        if (!page->failed && plain && !weir_buf_append(page->buf, p, plain)) page->failed = true;
        p += plain;
        switch (*p) {
        case '&': weir_page_put(page, "&amp;"); break;
        case '<': weir_page_put(page, "&lt;"); break;
        case '>': weir_page_put(page, "&gt;"); break;
        case '"': weir_page_put(page, "&quot;"); break;
        case '\'': weir_page_put(page, "&#39;"); break;
        default: return;
        }
        p++;
    }
}

char *weir_words_count(int64_t count, char text[WEIR_WORDS_MAX]) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)count);
    const char *p = digits;
    char *out = text;
    if (*p == '-') {
        out = stpcpy(out, MINUS);
        p++;
        len--;
    }
    for (; len > 0; len--) {
        *out++ = *p++;
        if (len > 1 && (len - 1) % 3 == 0) out = stpcpy(out, THIN);
    }
    *out = 0;
    return text;
}

char *weir_words_rate(double per_second, char text[WEIR_WORDS_MAX]) {
    if (!isfinite(per_second) || fabs(per_second) > 1e15) return strcpy(text, DASH);
    if (per_second >= 10 || per_second == 0) return weir_words_count(llround(per_second), text);
    snprintf(text, WEIR_WORDS_MAX, "%.1f", per_second);
    return text;
}

char *weir_words_ratio(double value, int digits, char text[WEIR_WORDS_MAX]) {
    if (!isfinite(value) || fabs(value) > 1e15) return strcpy(text, DASH);
    snprintf(text, WEIR_WORDS_MAX, "%s%.*f", value < 0 ? MINUS : "", digits, fabs(value));
    return text;
}

char *weir_words_number(double value, int digits, char text[WEIR_WORDS_MAX]) {
    if (!isfinite(value)) return strcpy(text, DASH);
    double size = fabs(value);
    if (size != 0 && (size < 1e-4 || size >= 1e12)) {
        int exponent = (int)floor(log10(size));
        double mantissa = size / pow(10, exponent);
        snprintf(text, WEIR_WORDS_MAX, "%s%.*fe%s%d", value < 0 ? MINUS : "", digits > 1 ? digits - 1 : 0, mantissa, exponent < 0 ? MINUS : "", abs(exponent));
        return text;
    }
    int whole = size < 1 ? 0 : (int)floor(log10(size)) + 1, after = digits - whole;
    if (size > 0 && size < 1) after = digits - 1 - (int)floor(log10(size));
    if (after <= 0) return weir_words_count(llround(value), text);
    if (whole < 4) return weir_words_ratio(value, size == 0 ? 0 : after, text);
    double integer, fraction = modf(size, &integer);
    int scale = (int)pow(10, after), tail = (int)lround(fraction * scale);
    if (tail == scale) integer++, tail = 0;
    char head[WEIR_WORDS_MAX];
    snprintf(text, WEIR_WORDS_MAX, "%s%s.%0*d", value < 0 ? MINUS : "", weir_words_count((int64_t)integer, head), after, tail);
    return text;
}

char *weir_words_axis(double value, double step, char text[WEIR_WORDS_MAX]) {
    static const struct {
        double factor;
        const char *letter;
    } units[] = {{1e9, THIN "G"}, {1e6, THIN "M"}};
    if (!isfinite(value)) return strcpy(text, DASH);
    if (fabs(value) < step * 1e-6) return strcpy(text, "0");
    for (int i = 0; i < 2 && fabs(value) < 1e13; i++)
        if (step >= units[i].factor / 10 && fabs(value) >= units[i].factor) {
            char number[WEIR_WORDS_MAX];
            weir_words_ratio(value / units[i].factor, step >= units[i].factor ? 0 : 1, number);
            snprintf(text, WEIR_WORDS_MAX, "%.40s%s", number, units[i].letter);
            return text;
        }
    if (step < 1e-5 || fabs(value) >= 1e13) return weir_words_number(value, 2, text);
    if (step >= 1) return weir_words_count(llround(value), text);
    return weir_words_ratio(value, (int)ceil(-log10(step) - 1e-9), text);
}

char *weir_words_difference(double value, int digits, char text[WEIR_WORDS_MAX]) {
    if (!isfinite(value) || fabs(value) > 1e15) return strcpy(text, DASH);
    snprintf(text, WEIR_WORDS_MAX, "%s%.*f", value < 0 ? MINUS : "+", digits, fabs(value));
    return text;
}

char *weir_words_duration(double seconds, char text[WEIR_WORDS_MAX]) {
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) return strcpy(text, DASH);
    long long whole = llround(seconds);
    if (seconds < 9.95)
        snprintf(text, WEIR_WORDS_MAX, "%.1f s", seconds);
    else if (whole < 60)
        snprintf(text, WEIR_WORDS_MAX, "%lld s", whole);
    else if (whole < 3600)
        snprintf(text, WEIR_WORDS_MAX, "%lld min %lld s", whole / 60, whole % 60);
    else if (whole < 48 * 3600)
        snprintf(text, WEIR_WORDS_MAX, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
    else
        snprintf(text, WEIR_WORDS_MAX, "%.3g days", seconds / 86400);
    return text;
}

static bool broken_down(int64_t time_us, struct tm *ret_tm) {
    int64_t s = time_us / WEIR_SECOND_US - (time_us % WEIR_SECOND_US < 0);
    time_t t = (time_t)s;
    return time_us != INT64_MIN && time_us != INT64_MAX && gmtime_r(&t, ret_tm);
}

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

char *weir_words_date(int64_t time_us, char text[WEIR_WORDS_MAX]) {
    struct tm tm;
    if (!broken_down(time_us, &tm)) return strcpy(text, DASH);
    snprintf(text, WEIR_WORDS_MAX, "%d %s %d", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900);
    return text;
}

char *weir_words_day(int64_t time_us, char text[WEIR_WORDS_MAX]) {
    struct tm tm;
    if (!broken_down(time_us, &tm)) return strcpy(text, DASH);
    snprintf(text, WEIR_WORDS_MAX, "%d %s", tm.tm_mday, months[tm.tm_mon]);
    return text;
}

char *weir_words_moment(int64_t time_us, char text[WEIR_WORDS_MAX]) {
    struct tm tm;
    if (!broken_down(time_us, &tm)) return strcpy(text, DASH);
    snprintf(text, WEIR_WORDS_MAX, "%d %s %d, %02d:%02d UTC", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min);
    return text;
}
