/* Pictures with two axes, bars, points and heat tables; see chart.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/chart_svg.h"
#include "core/clock.h"

enum { LEFT = 62, RIGHT = 14, BELOW = 50, ROW = 26, NAME_HALF = 176, NAME_WIDE = 240, TEXT_HALF = 66, TEXT_WIDE = 200, CELL_HEIGHT = 40 };

static weir_svg_frame frame_of(const weir_chart_plot *p) {
    return (weir_svg_frame){.left = p->left, .top = p->top, .width = p->width, .height = p->height, .x0 = p->x0, .x1 = p->x1, .y0 = p->y0, .y1 = p->y1};
}

static double between(double value, double low, double high) {
    return fmin(fmax(value, low), high);
}

/* ---- ticks in time ---- */

enum { DAY_S = 86400, MONTH_S = 30 * DAY_S, YEAR_S = 365 * DAY_S };

/* The smallest step with at most max_ticks of them, in seconds; whole months and years are marked by their length in MONTH_S and YEAR_S. */
static int64_t time_step(double span_s, int max_ticks) {
    static const int64_t steps[] = {60,         300,     900,         3600,        3 * 3600,    6 * 3600, 12 * 3600,  DAY_S,      2 * DAY_S,  7 * DAY_S,
                                    14 * DAY_S, MONTH_S, 2 * MONTH_S, 3 * MONTH_S, 6 * MONTH_S, YEAR_S,   2 * YEAR_S, 5 * YEAR_S, 10 * YEAR_S};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (span_s / (double)steps[i] <= max_ticks) return steps[i];
    return 50 * (int64_t)YEAR_S;
}

/* The first whole step at or after a time, and then the one that follows *t. Days, months and years begin at midnight UTC. */
static int64_t time_tick(int64_t t_s, int64_t step, bool next) {
    if (step < MONTH_S) {
        int64_t origin = step == 7 * DAY_S || step == 14 * DAY_S ? 4 * DAY_S : 0; /* 5 January 1970 was a Monday */
        if (next) return t_s + step;
        int64_t from = t_s - origin, rest = ((from % step) + step) % step;
        return rest ? t_s + step - rest : t_s;
    }
    int months = (int)(step >= YEAR_S ? step / YEAR_S * 12 : step / MONTH_S);
    time_t at = (time_t)t_s;
    struct tm tm;
    gmtime_r(&at, &tm);
    int month = tm.tm_year * 12 + tm.tm_mon, first = month - ((month + 1900 * 12) % months + months) % months;
    for (;; first += months) {
        struct tm start = {.tm_year = first >= 0 ? first / 12 : -((11 - first) / 12), .tm_mday = 1};
        start.tm_mon = first - start.tm_year * 12;
        int64_t s = (int64_t)timegm(&start);
        if (next ? s > t_s : s >= t_s) return s;
    }
}

static void time_words(int64_t t_s, int64_t step, char text[WEIR_WORDS_MAX]) {
    time_t at = (time_t)t_s;
    struct tm tm;
    char day[WEIR_WORDS_MAX];
    if (!gmtime_r(&at, &tm)) {
        text[0] = 0;
        return;
    }
    weir_words_day(t_s * WEIR_SECOND_US, day);
    if (step >= YEAR_S) {
        snprintf(text, WEIR_WORDS_MAX, "%d", tm.tm_year + 1900);
    } else if (step >= MONTH_S) {
        const char *month = strchr(day, ' ');
        snprintf(text, WEIR_WORDS_MAX, "%.10s %d", month ? month + 1 : day, tm.tm_year + 1900);
    } else if (step >= DAY_S || (tm.tm_hour == 0 && tm.tm_min == 0)) {
        snprintf(text, WEIR_WORDS_MAX, "%.20s", day);
    } else {
        snprintf(text, WEIR_WORDS_MAX, "%02d:%02d", tm.tm_hour, tm.tm_min);
    }
}

static void axis_time(weir_page *page, const weir_svg_frame *f) {
    int64_t from = (int64_t)ceil(f->x0 / WEIR_SECOND_US), to = (int64_t)floor(f->x1 / WEIR_SECOND_US);
    int64_t step = time_step((double)(to - from), (int)(f->width / 74));
    for (int64_t t = time_tick(from, step, false); t <= to; t = time_tick(t, step, true)) {
        char words[WEIR_WORDS_MAX];
        double x = weir_svg_x(f, (double)t * WEIR_SECOND_US);
        time_words(t, step, words);
        weir_svg_line(page, x, f->top + f->height, x, f->top + f->height + 4, "axis");
        weir_svg_text(page, x, f->top + f->height + 18, "tick", "middle", words);
    }
}

/* ---- axes ---- */

static void axis_x(weir_page *page, const weir_svg_frame *f) {
    double step = weir_chart_step(f->x1 - f->x0, (int)(f->width / 62));
    for (long long i = (long long)ceil(f->x0 / step - 1e-9); (double)i * step <= f->x1 + 1e-9 * step; i++) {
        char words[WEIR_WORDS_MAX];
        double x = weir_svg_x(f, (double)i * step);
        weir_svg_line(page, x, f->top + f->height, x, f->top + f->height + 4, "axis");
        weir_svg_text(page, x, f->top + f->height + 18, "tick", "middle", weir_words_axis((double)i * step, step, words));
    }
}

static void axis_y(weir_page *page, const weir_svg_frame *f, double step) {
    for (long long i = (long long)ceil(f->y0 / step - 1e-9); (double)i * step <= f->y1 + 1e-9 * step; i++) {
        char words[WEIR_WORDS_MAX];
        double y = weir_svg_y(f, (double)i * step);
        weir_svg_line(page, f->left, y, f->left + f->width, y, i == 0 ? "axis" : "grid");
        weir_svg_text(page, f->left - 8, y + 4, "tick", "end", weir_words_axis((double)i * step, step, words));
    }
}

/* Makes a range that can be divided by, of whole steps unless it is exact. */
static double settle(double *low, double *high, bool exact, int ticks) {
    if (!isfinite(*low) || !isfinite(*high)) *low = 0, *high = 1;
    if (!(*high - *low > 1e-12 * fmax(fabs(*low), fabs(*high)))) {
        double half = *low == 0 ? 0.5 : fabs(*low) * 0.05;
        *low -= half;
        *high += half;
    }
    double step = weir_chart_step(*high - *low, ticks);
    if (exact) return step;
    *low = floor(*low / step + 1e-9) * step;
    *high = ceil(*high / step - 1e-9) * step;
    return step;
}

void weir_chart_plot_open(weir_page *page, weir_chart_plot *plot) {
    if (plot->height <= 0) plot->height = 250;
    int width = plot->wide ? WEIR_SVG_WIDE : WEIR_SVG_HALF;
    plot->left = LEFT;
    plot->top = 10;
    plot->width = width - LEFT - RIGHT;
    settle(&plot->x0, &plot->x1, plot->exact_x || plot->x_time, (int)(plot->width / 62));
    double step = settle(&plot->y0, &plot->y1, plot->exact_y, 5);
    weir_svg_frame f = frame_of(plot);
    weir_svg_open(page, plot->title, width, plot->height + 10 + BELOW);
    axis_y(page, &f, step);
    if (plot->x_time)
        axis_time(page, &f);
    else
        axis_x(page, &f);
    weir_svg_line(page, f.left, f.top + f.height, f.left + f.width, f.top + f.height, "axis");
    weir_svg_labels(page, &f, plot->x_label, plot->y_label);
}

void weir_chart_plot_close(weir_page *page) {
    weir_page_put(page, "</svg>");
}

/* ---- layers ---- */

void weir_chart_plot_line(weir_page *page, const weir_chart_plot *plot, const weir_point *points, int count, int series) {
    weir_svg_frame f = frame_of(plot);
    bool down = false;
    weir_page_printf(page, "<path class=\"line s%d\" d=\"", series);
    for (int i = 0; i < count; i++) {
        if (!isfinite(points[i].x) || !isfinite(points[i].y) || points[i].x < plot->x0 || points[i].x > plot->x1) {
            down = false;
            continue;
        }
        weir_page_printf(page, "%c%.1f %.1f", down ? 'L' : 'M', weir_svg_x(&f, points[i].x), weir_svg_y(&f, between(points[i].y, plot->y0, plot->y1)));
        down = true;
    }
    weir_page_put(page, "\"/>");
}

void weir_chart_plot_rule(weir_page *page, const weir_chart_plot *plot, double x1, double y1, double x2, double y2, const char *class) {
    weir_svg_frame f = frame_of(plot);
    if (!isfinite(x1 + y1 + x2 + y2)) return;
    if (fmax(x1, x2) < plot->x0 || fmin(x1, x2) > plot->x1 || fmax(y1, y2) < plot->y0 || fmin(y1, y2) > plot->y1) return;
    /* Liang and Barsky: the part of the line that lies inside. */
    double from = 0, to = 1, dx = x2 - x1, dy = y2 - y1;
    const double p[] = {-dx, dx, -dy, dy}, q[] = {x1 - plot->x0, plot->x1 - x1, y1 - plot->y0, plot->y1 - y1};
    for (int i = 0; i < 4; i++) {
        if (p[i] < 0) from = fmax(from, q[i] / p[i]);
        if (p[i] > 0) to = fmin(to, q[i] / p[i]);
    }
    if (from > to) return;
    weir_svg_line(page, weir_svg_x(&f, x1 + from * dx), weir_svg_y(&f, y1 + from * dy), weir_svg_x(&f, x1 + to * dx), weir_svg_y(&f, y1 + to * dy), class);
}

static bool inside(const weir_chart_plot *plot, double x, double y) {
    return isfinite(x) && isfinite(y) && x >= plot->x0 && x <= plot->x1 && y >= plot->y0 && y <= plot->y1;
}

void weir_chart_plot_dots(weir_page *page, const weir_chart_plot *plot, const weir_point *points, int count, int series, double radius, double opacity) {
    weir_svg_frame f = frame_of(plot);
    weir_page_printf(page, "<g class=\"f%d\" opacity=\"%.2f\">", series, opacity);
    for (int i = 0; i < count; i++)
        if (inside(plot, points[i].x, points[i].y))
            weir_page_printf(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", weir_svg_x(&f, points[i].x), weir_svg_y(&f, points[i].y), radius);
    weir_page_put(page, "</g>");
}

/* One polygon: the highs from left to right, the lows back. */
void weir_chart_plot_band(weir_page *page, const weir_chart_plot *plot, const weir_chart_range *ranges, int count, int series) {
    weir_svg_frame f = frame_of(plot);
    bool any = false;
    for (int i = 0; i < count && !any; i++) any = isfinite(ranges[i].low + ranges[i].high);
    if (!any) return;
    weir_page_printf(page, "<polygon class=\"band f%d\" points=\"", series);
    for (int i = 0; i < 2 * count; i++) {
        const weir_chart_range *r = &ranges[i < count ? i : 2 * count - 1 - i];
        double y = i < count ? r->high : r->low;
        if (isfinite(r->low + r->high)) weir_page_printf(page, "%.1f,%.1f ", weir_svg_x(&f, r->x), weir_svg_y(&f, between(y, plot->y0, plot->y1)));
    }
    weir_page_put(page, "\"/>");
}

void weir_chart_plot_whiskers(weir_page *page, const weir_chart_plot *plot, const weir_chart_range *ranges, int count, int series) {
    weir_svg_frame f = frame_of(plot);
    char class[24];
    snprintf(class, sizeof class, "whisker s%d", series);
    for (int i = 0; i < count; i++) {
        if (!isfinite(ranges[i].low + ranges[i].high)) continue;
        double x = weir_svg_x(&f, ranges[i].x), low = between(ranges[i].low, plot->y0, plot->y1), high = between(ranges[i].high, plot->y0, plot->y1);
        weir_svg_line(page, x, weir_svg_y(&f, low), x, weir_svg_y(&f, high), class);
    }
}

void weir_chart_plot_bars(weir_page *page, const weir_chart_plot *plot, double low, double high, const double *value, int count, int series, int side) {
    weir_svg_frame f = frame_of(plot);
    for (int i = 0; i < count; i++) {
        if (!isfinite(value[i]) || value[i] == 0) continue;
        double from = low + (high - low) * i / count, to = low + (high - low) * (i + 1) / count;
        double x = weir_svg_x(&f, from), width = weir_svg_x(&f, to) - x;
        if (side) {
            width /= 2;
            if (side > 0) x += width;
        }
        double top = weir_svg_y(&f, between(fmax(value[i], 0), plot->y0, plot->y1)), bottom = weir_svg_y(&f, between(fmin(value[i], 0), plot->y0, plot->y1));
        weir_page_printf(page, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", series, x + 0.5, top, fmax(width - 1, 0.8),
                         bottom - top);
    }
}

void weir_chart_plot_cells(weir_page *page, const weir_chart_plot *plot, const weir_chart_range x, const weir_chart_range y, const double *counts, int columns,
                           int rows, int series) {
    weir_svg_frame f = frame_of(plot);
    double most = 0;
    for (int i = 0; i < columns * rows; i++) most = fmax(most, counts[i]);
    double width = (x.high - x.low) / columns, height = (y.high - y.low) / rows;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            double count = counts[r * columns + c];
            if (!(count > 0)) continue;
            double left = weir_svg_x(&f, x.low + c * width), right = weir_svg_x(&f, x.low + (c + 1) * width);
            double top = weir_svg_y(&f, y.low + (r + 1) * height), bottom = weir_svg_y(&f, y.low + r * height);
            weir_page_printf(page, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.2f\" opacity=\"%.2f\"/>", series, left, top,
                             right - left + 0.2, bottom - top + 0.2, 0.12 + 0.88 * sqrt(count / most));
        }
}

/* ---- rows with names ---- */

/* A name of at most so many characters, whole UTF-8 characters, with an ellipsis when it is longer. */
static const char *shortened(const char *name, int characters, char text[256]) {
    int seen = 0;
    const char *p = name ? name : "";
    for (const char *cut = p; *p; p++) {
        if ((*p & 0xc0) != 0x80) {
            if (seen == characters - 1) cut = p;
            if (seen == characters) {
                snprintf(text, 256, "%.*s\u2026", (int)(cut - name > 240 ? 240 : cut - name), name);
                return text;
            }
            seen++;
        }
    }
    snprintf(text, 256, "%.250s", name ? name : "");
    return text;
}

typedef struct rows_layout {
    weir_svg_frame frame;
    int width, height;
    int characters; /* of a name */
} rows_layout;

static rows_layout lay_rows(int count, bool wide, double low, double high, int below) {
    int name = wide ? NAME_WIDE : NAME_HALF, text = wide ? TEXT_WIDE : TEXT_HALF;
    rows_layout l = {.width = wide ? WEIR_SVG_WIDE : WEIR_SVG_HALF, .characters = wide ? 34 : 25};
    l.height = 6 + ROW * count + below;
    l.frame = (weir_svg_frame){.left = name, .top = 4, .width = l.width - name - text, .height = (double)ROW * count, .x0 = low, .x1 = high, .y1 = 1};
    return l;
}

/* digits: after the point, where no text is given. */
static void row_words(weir_page *page, const rows_layout *l, const weir_chart_bar *bar, double y, int digits) {
    char name[256], words[WEIR_WORDS_MAX];
    weir_page_printf(page, "<text x=\"0\" y=\"%.1f\" text-anchor=\"start\"><title>", y + 5);
    weir_page_text(page, bar->name);
    weir_page_put(page, "</title>");
    weir_page_text(page, shortened(bar->name, l->characters, name));
    weir_page_put(page, "</text>");
    weir_svg_text(page, l->width, y + 5, "label", "end", bar->text ? bar->text : weir_words_ratio(bar->value, digits, words));
}

static void row_whisker(weir_page *page, const weir_svg_frame *f, const weir_chart_bar *bar, double y, const char *class) {
    if (!isfinite(bar->low + bar->high)) return;
    double low = weir_svg_x(f, bar->low), high = weir_svg_x(f, bar->high);
    weir_svg_line(page, low, y, high, y, class);
    weir_svg_line(page, low, y - 4, low, y + 4, class);
    weir_svg_line(page, high, y - 4, high, y + 4, class);
}

/* So many digits that the largest has three, and all are aligned. */
static int common_digits(double low, double high) {
    double size = fmax(fabs(low), fabs(high));
    return isfinite(size) && size > 0 ? (int)fmin(fmax(2 - floor(log10(size)), 0), 9) : 0;
}

static void reach(const weir_chart_bar *bars, int count, double *low, double *high) {
    for (int i = 0; i < count; i++) {
        const double ends[] = {bars[i].value, bars[i].low, bars[i].high};
        for (int k = 0; k < 3; k++)
            if (isfinite(ends[k])) {
                *low = fmin(*low, ends[k]);
                *high = fmax(*high, ends[k]);
            }
    }
}

void weir_chart_bars(weir_page *page, const char *title, const weir_chart_bar *bars, int count, bool wide) {
    double low = 0, high = 0;
    reach(bars, count, &low, &high);
    if (low == high) high = 1;
    rows_layout l = lay_rows(count, wide, low, high, 4);
    weir_svg_open(page, title, l.width, l.height);
    for (int i = 0; i < count; i++) {
        double y = l.frame.top + ROW * (i + 0.5), zero = weir_svg_x(&l.frame, 0);
        if (isfinite(bars[i].value)) {
            double x = weir_svg_x(&l.frame, bars[i].value);
            weir_page_printf(page, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"1.5\"/>", bars[i].series, fmin(x, zero), y - 7,
                             fmax(fabs(x - zero), 0.5));
            row_whisker(page, &l.frame, &bars[i], y, "whisker sn");
        }
        row_words(page, &l, &bars[i], y, common_digits(low, high));
    }
    weir_svg_line(page, weir_svg_x(&l.frame, 0), l.frame.top, weir_svg_x(&l.frame, 0), l.frame.top + l.frame.height, "zero");
    weir_page_put(page, "</svg>");
}

void weir_chart_points(weir_page *page, const char *title, const weir_chart_bar *rows, int count, double reference, bool wide) {
    double low = INFINITY, high = -INFINITY;
    reach(rows, count, &low, &high);
    if (isfinite(reference)) low = fmin(low, reference), high = fmax(high, reference);
    double step = settle(&low, &high, false, wide ? 7 : 3);
    rows_layout l = lay_rows(count, wide, low, high, 28);
    weir_svg_open(page, title, l.width, l.height);
    for (long long i = (long long)ceil(low / step - 1e-9); (double)i * step <= high + 1e-9 * step; i++) {
        char words[WEIR_WORDS_MAX];
        double x = weir_svg_x(&l.frame, (double)i * step);
        weir_svg_line(page, x, l.frame.top, x, l.frame.top + l.frame.height, "grid");
        weir_svg_text(page, x, l.frame.top + l.frame.height + 18, "tick", "middle", weir_words_axis((double)i * step, step, words));
    }
    if (isfinite(reference)) {
        double x = weir_svg_x(&l.frame, reference);
        weir_svg_line(page, x, l.frame.top, x, l.frame.top + l.frame.height, "chance");
    }
    for (int i = 0; i < count; i++) {
        double y = l.frame.top + ROW * (i + 0.5);
        char class[24];
        snprintf(class, sizeof class, "whisker s%d", rows[i].series);
        if (isfinite(rows[i].value)) {
            row_whisker(page, &l.frame, &rows[i], y, class);
            weir_page_printf(page, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>", rows[i].series, weir_svg_x(&l.frame, rows[i].value), y);
        }
        row_words(page, &l, &rows[i], y, common_digits(low, high));
    }
    weir_page_put(page, "</svg>");
}

void weir_chart_heat(weir_page *page, const char *title, const char *row_label, const char *column_label, const char *const *names, const double *value,
                     int count) {
    enum { NAME = 118, HEAD = 44 };
    double width = (double)(WEIR_SVG_HALF - NAME) / count, height = count <= 4 ? 1.6 * CELL_HEIGHT : count <= 8 ? CELL_HEIGHT : 30;
    char name[256];
    weir_svg_open(page, title, WEIR_SVG_HALF, (int)(HEAD + height * count + 8));
    weir_svg_text(page, NAME + width * count / 2, 14, "label", "middle", column_label);
    weir_svg_text(page, 0, 34, "label", "start", row_label);
    for (int c = 0; c < count; c++) weir_svg_text(page, NAME + width * (c + 0.5), 34, "tick", "middle", shortened(names[c], (int)fmax(width / 7, 3), name));
    for (int r = 0; r < count; r++) {
        double sum = 0, y = HEAD + height * r;
        for (int c = 0; c < count; c++) sum += value[r * count + c];
        weir_svg_text(page, 0, y + height / 2 + 5, "strong", "start", shortened(names[r], 15, name));
        for (int c = 0; c < count; c++) {
            char words[WEIR_WORDS_MAX], text[2 * WEIR_WORDS_MAX];
            double v = value[r * count + c], share = sum > 0 ? v / sum : 0, x = NAME + width * c;
            weir_page_printf(page, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" opacity=\"%.2f\"/>", r == c ? 0 : 1, x + 1, y + 1,
                             width - 2, height - 2, 0.06 + 0.5 * share);
            weir_words_count(llround(v), words);
            bool small = count > 4;
            weir_svg_text(page, x + width / 2, y + height / 2 + (small ? 4 : -1), small ? "tick" : "strong", "middle", words);
            snprintf(text, sizeof text, "%.1f\u00a0%%", 100 * share);
            if (!small) weir_svg_text(page, x + width / 2, y + height / 2 + 16, "tick", "middle", text);
        }
    }
    weir_page_put(page, "</svg>");
}
