/* Drawing the live view; see demo_live.h.
 *
 *   Weir demo · fraud                                              1 min 42 s
 *   transactions.parquet: 719 307 payments, 1 Apr to 14 Jun 2018
 *
 *   ✓ load      538 402 payments known by 29 May                       38 s
 *   ✓ train     3 models, fitted on 15 to 21 May                       12 s
 *   ▸ serve     ━━━━━━━━━━━━━━━━━━━──────────  72 %  5 Jun 2018        21 s
 *   · evaluate
 *
 *   payments    512 004    9 812/s        waiting         120
 *   features  1 012 334   19 400/s        dead letters      0
 *   outcomes    430 120
 *
 *               predictions    labelled     AUC      AP
 *   champion         80 112      41 003   0.912   0.601   fraud-logistic v1
 *   challenger       79 993      40 874   0.921   0.655   fraud-boosted v1
 *
 * A frame is one write: cursor up, each line with "erase to its end", erase below. Terminals that know synchronized output show it at once. */
#include "cli/demo_live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/page.h"

#define FRAME_US (WEIR_SECOND_US / 4)
#define LINE_US (2 * WEIR_SECOND_US)
enum { WIDEST = 96, NARROWEST = 20, LINE_MAX_BYTES = 1024 };

void weir_live_view_init(weir_live_view *view) {
    static const char *const names[WEIR_LIVE_PHASES] = {"load", "train", "serve", "evaluate"};
    static const char *const arms[WEIR_LIVE_ARMS] = {"champion", "challenger"};
    *view = (weir_live_view){.progress = NAN, .event_time_us = INT64_MIN, .events_per_s = NAN, .features_per_s = NAN, .predictions_per_s = NAN};
    for (int i = 0; i < WEIR_LIVE_PHASES; i++) view->phases[i].name = names[i];
    for (int i = 0; i < WEIR_LIVE_ARMS; i++) {
        view->arms[i].arm = arms[i];
        view->arms[i].auc = view->arms[i].average_precision = NAN;
    }
}

/* ---- a line of limited width ---- */

/* Bytes of a line and the columns that they take; colours take none. */
typedef struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
    int columns, max_columns;
    const weir_live_style *style;
} line;

/* Appends as much as fits. Every character here is one column wide. Without UTF-8, others than ASCII become '-', the narrow space a plain one. */
static void put(line *l, const char *text) {
    for (const char *p = text; *p && l->columns < l->max_columns && l->len + 8 < sizeof l->text;) {
        int bytes = (unsigned char)*p < 0x80 ? 1 : (unsigned char)*p < 0xe0 ? 2 : (unsigned char)*p < 0xf0 ? 3 : 4;
        if ((int)strnlen(p, 4) < bytes) return;
        bool thin = !strncmp(p, "\u202f", 3);
        if (thin)
            l->text[l->len++] = ' ';
        else if (bytes > 1 && !l->style->utf8)
            l->text[l->len++] = '-';
        else if (bytes == 1 && (unsigned char)*p < 0x20)
            l->text[l->len++] = ' '; /* a name with control characters must not steer the terminal */
        else
            for (int i = 0; i < bytes; i++) l->text[l->len++] = p[i];
        l->columns++;
        p += bytes;
    }
    l->text[l->len] = 0;
}

static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void spaces(line *l, int count) {
    while (count-- > 0) put(l, " ");
}

static void put_right(line *l, int width, const char *text) {
    spaces(l, width - width_of(text));
    put(l, text);
}

static void put_left(line *l, int width, const char *text) {
    put(l, text);
    spaces(l, width - width_of(text));
}

/* SGR code; counted as no columns. */
static void paint(line *l, const char *code) {
    if (!l->style->color || l->len + 16 >= sizeof l->text) return;
    l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "\033[%sm", code);
}

/* Puts text at the right edge when there is room for it, after at least two spaces. */
static void put_at_edge(line *l, const char *text) {
    int gap = l->max_columns - l->columns - width_of(text);
    if (gap < 2) return;
    spaces(l, gap);
    put(l, text);
}

/* ---- the block ---- */

typedef struct block {
    weir_buf *out;
    const weir_live_style *style;
    int lines;
    bool failed;
    line line;
} block;

static line *begin(block *b) {
    int columns = b->style->columns < NARROWEST ? NARROWEST : b->style->columns > WIDEST ? WIDEST : b->style->columns;
    b->line.len = 0;
    b->line.text[0] = 0;
    b->line.columns = 0;
    b->line.max_columns = columns - 1; /* the last column is left free: some terminals wrap when it is written */
    b->line.style = b->style;
    return &b->line;
}

static void end(block *b) {
    if (b->lines + 1 >= b->style->rows || b->failed) return;
    while (b->line.len && b->line.text[b->line.len - 1] == ' ') b->line.len--;
    b->failed = !weir_buf_append(b->out, b->line.text, b->line.len) || !weir_buf_append(b->out, "\n", 1);
    b->lines++;
}

static void put_bar(line *l, double progress, int width) {
    int full = (int)lround(fmin(fmax(progress, 0), 1) * width);
    paint(l, "36");
    for (int i = 0; i < full; i++) put(l, l->style->utf8 ? "\u2501" : "#");
    paint(l, "0;2");
    for (int i = full; i < width; i++) put(l, l->style->utf8 ? "\u2500" : ".");
    paint(l, "0");
}

static void put_phase(block *b, const weir_live_view *view, int index) {
    static const char *const signs[] = {"\u00b7", "\u25b8", "\u2713", "\u2717"}, *const plain[] = {".", ">", "*", "!"},
                             *const colors[] = {"2", "1;36", "32", "31"};
    weir_live_state state = view->phases[index].state;
    char words[WEIR_WORDS_MAX], percent[16];
    line *l = begin(b);
    paint(l, colors[state]);
    put(l, b->style->utf8 ? signs[state] : plain[state]);
    put(l, " ");
    put_left(l, 10, view->phases[index].name);
    paint(l, "0");
    if (state == WEIR_LIVE_RUNNING && isfinite(view->progress)) {
        int width = l->max_columns - 48;
        if (width >= 8) put_bar(l, view->progress, width > 30 ? 30 : width);
        snprintf(percent, sizeof percent, "%3d %%", (int)floor(100 * fmin(fmax(view->progress, 0), 1)));
        put_right(l, 7, percent);
        put(l, "  ");
        if (view->event_time_us != INT64_MIN) put(l, weir_words_date(view->event_time_us, words));
    } else {
        put(l, view->phases[index].text);
    }
    if (state != WEIR_LIVE_WAITING) put_at_edge(l, weir_words_duration(view->phases[index].seconds, words));
    end(b);
}

/* name, count, rate; then a second pair where the line is wide enough. */
static void put_flow(block *b, const char *name, int64_t count, double rate, const char *other, int64_t other_count, bool alert) {
    char words[WEIR_WORDS_MAX];
    line *l = begin(b);
    put_left(l, 12, name);
    put_right(l, 10, weir_words_count(count, words));
    if (isfinite(rate)) {
        put_right(l, 10, weir_words_rate(rate, words));
        put(l, "/s");
    } else {
        spaces(l, 12);
    }
    if (other && l->max_columns >= 64) {
        spaces(l, 6);
        if (alert) paint(l, "33");
        put_left(l, 14, other);
        put_right(l, 9, weir_words_count(other_count, words));
        if (alert) paint(l, "0");
    }
    end(b);
}

static void put_arms(block *b, const weir_live_view *view) {
    char words[WEIR_WORDS_MAX], model[96];
    line *l = begin(b);
    paint(l, "2");
    put_left(l, 12, "");
    put_right(l, 12, "predictions");
    put_right(l, 12, "labelled");
    put_right(l, 8, "AUC");
    put_right(l, 8, "AP");
    paint(l, "0");
    end(b);
    for (int i = 0; i < WEIR_LIVE_ARMS; i++) {
        l = begin(b);
        paint(l, i ? "33" : "34");
        put_left(l, 12, view->arms[i].arm);
        paint(l, "0");
        put_right(l, 12, weir_words_count(view->arms[i].predictions, words));
        put_right(l, 12, weir_words_count(view->arms[i].labelled, words));
        put_right(l, 8, weir_words_ratio(view->arms[i].auc, 3, words));
        put_right(l, 8, weir_words_ratio(view->arms[i].average_precision, 3, words));
        if (view->arms[i].model[0]) {
            snprintf(model, sizeof model, "   %s v%d", view->arms[i].model, view->arms[i].version);
            paint(l, "2");
            put(l, model);
            paint(l, "0");
        }
        end(b);
    }
}

bool weir_live_block(const weir_live_view *view, const weir_live_style *style, weir_buf *out) {
    char words[WEIR_WORDS_MAX];
    block b = {.out = out, .style = style};
    line *l = begin(&b);
    paint(l, "1");
    put(l, view->title);
    paint(l, "0");
    put_at_edge(l, weir_words_duration(view->elapsed_s, words));
    end(&b);
    l = begin(&b);
    paint(l, "2");
    put(l, view->source);
    paint(l, "0");
    end(&b);
    begin(&b), end(&b);
    for (int i = 0; i < WEIR_LIVE_PHASES; i++) put_phase(&b, view, i);
    begin(&b), end(&b);
    put_flow(&b, "payments", view->events, view->events_per_s, "waiting", view->lag, false);
    put_flow(&b, "features", view->features, view->features_per_s, "dead letters", view->dead_letters, view->dead_letters > 0);
    put_flow(&b, "outcomes", view->labels, NAN, NULL, 0, false);
    put_flow(&b, "predictions", view->arms[0].predictions + view->arms[1].predictions, view->predictions_per_s, NULL, 0, false);
    begin(&b), end(&b);
    put_arms(&b, view);
    return !b.failed;
}

bool weir_live_line(const weir_live_view *view, weir_buf *out) {
    char w[6][WEIR_WORDS_MAX];
    int at = WEIR_LIVE_PHASES - 1;
    while (at > 0 && view->phases[at].state == WEIR_LIVE_WAITING) at--;
    weir_page page = {.buf = out};
    weir_page_printf(&page, "%7.1f s  %-8s", view->elapsed_s, view->phases[at].name);
    if (view->phases[at].state == WEIR_LIVE_RUNNING && isfinite(view->progress))
        weir_page_printf(&page, "  %3d %%  %s", (int)floor(100 * fmin(fmax(view->progress, 0), 1)), weir_words_date(view->event_time_us, w[0]));
    else
        weir_page_printf(&page, "  %s", view->phases[at].text);
    weir_page_printf(&page, "  payments %lld", (long long)view->events);
    if (isfinite(view->events_per_s)) weir_page_printf(&page, " (%.0f/s)", view->events_per_s);
    weir_page_printf(&page, ", features %lld, waiting %lld, dead letters %lld", (long long)view->features, (long long)view->lag, (long long)view->dead_letters);
    for (int i = 0; i < WEIR_LIVE_ARMS; i++) {
        if (!view->arms[i].predictions) continue;
        weir_page_printf(&page, ", %s %lld", view->arms[i].arm, (long long)view->arms[i].predictions);
        if (isfinite(view->arms[i].auc))
            weir_page_printf(&page, " (AUC %s, AP %s)", weir_words_ratio(view->arms[i].auc, 3, w[1]),
                             weir_words_ratio(view->arms[i].average_precision, 3, w[2]));
    }
    return !page.failed;
}

/* ---- the terminal ---- */

static bool environment_is_utf8(void) {
    const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strcasestr(value, "UTF-8") || strcasestr(value, "utf8");
    }
    return false;
}

static void measure(weir_live *live) {
    struct winsize size;
    live->style.columns = 80;
    live->style.rows = 24;
    if (ioctl(fileno(live->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        live->style.columns = size.ws_col;
        live->style.rows = size.ws_row;
    }
}

void weir_live_start(weir_live *live, FILE *out) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    *live = (weir_live){.out = out};
    live->terminal = isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
    live->style.color = live->terminal && !(no_color && *no_color);
    live->style.utf8 = environment_is_utf8();
    if (live->terminal) {
        fputs("\033[?25l", out);
        fflush(out);
    }
}

static void draw_block(weir_live *live, const weir_live_view *view) {
    weir_buf text = {0}, *frame = &live->buf;
    measure(live);
    weir_buf_clear(frame);
    bool ok = weir_live_block(view, &live->style, &text) && weir_buf_printf(frame, "\033[?2026h\r");
    if (ok && live->drawn_lines) ok = weir_buf_printf(frame, "\033[%dA", live->drawn_lines);
    int lines = 0;
    for (const char *p = text.data; ok && p && *p; lines++) {
        const char *newline = strchr(p, '\n');
        ok = weir_buf_printf(frame, "%.*s\033[K\n", (int)(newline - p), p);
        p = newline + 1;
    }
    ok = ok && weir_buf_printf(frame, "\033[J\033[?2026l");
    if (ok) {
        fwrite(frame->data, 1, frame->len, live->out);
        fflush(live->out);
        live->drawn_lines = lines;
    }
    weir_buf_done(&text);
}

/* A pipe hears of every phase once when it begins and once when it ends, and of numbers now and then. */
static bool phases_changed(weir_live *live, const weir_live_view *view) {
    char now[sizeof live->last_phase] = "";
    for (int i = 0; i < WEIR_LIVE_PHASES; i++) {
        size_t len = strlen(now);
        snprintf(now + len, sizeof now - len, "%d", (int)view->phases[i].state);
    }
    bool changed = strcmp(now, live->last_phase) != 0;
    memcpy(live->last_phase, now, sizeof now);
    return changed;
}

static void draw_lines(weir_live *live, const weir_live_view *view) {
    weir_buf_clear(&live->buf);
    if (!weir_live_line(view, &live->buf)) return;
    fprintf(live->out, "%s\n", live->buf.data);
    fflush(live->out);
}

void weir_live_draw(weir_live *live, const weir_live_view *view, int64_t mono_us, bool force) {
    if (!live->terminal && phases_changed(live, view)) force = true;
    if (!force && mono_us < live->next_us) return;
    live->next_us = mono_us + (live->terminal ? FRAME_US : LINE_US);
    if (live->terminal)
        draw_block(live, view);
    else
        draw_lines(live, view);
}

void weir_live_stop(weir_live *live) {
    if (live->terminal && live->out) {
        fputs("\033[?25h", live->out);
        fflush(live->out);
    }
    weir_buf_done(&live->buf);
    live->terminal = false;
}
