/* Charts as inline SVG; see chart.h. Every chart is one <svg> with a viewBox, so it grows and shrinks with the page. */
#include "core/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/chart_svg.h"
#include "core/clock.h"

double weir_chart_step(double span, int max_ticks) {
    if (!isfinite(span) || span <= 0 || max_ticks < 1) return 1;
    double power = pow(10, floor(log10(span / max_ticks)));
    static const double steps[] = {1, 2, 5, 10};
    for (int i = 0; i < 4; i++)
        if (span / (steps[i] * power) <= max_ticks + 1e-9) return steps[i] * power;
    return 20 * power;
}

static void series_path(weir_page *page, const weir_svg_frame *f, const weir_chart_series *series, int index) {
    char class[24];
    snprintf(class, sizeof class, "line s%d", index);
    weir_svg_path(page, f, series->points, series->count, class);
}

void weir_chart_unit(weir_page *page, const char *title, const char *x_label, const char *y_label, const weir_chart_series *series, int series_count,
                     bool diagonal) {
    weir_svg_frame f = {.left = 46, .top = 12, .width = WEIR_SVG_HALF - 60, .height = 330, .x1 = 1, .y1 = 1};
    weir_svg_open(page, title, WEIR_SVG_HALF, 390);
    weir_svg_grid_y(page, &f, 0.2, false);
    for (int i = 0; i <= 5; i++) {
        char words[WEIR_WORDS_MAX];
        weir_svg_text(page, weir_svg_x(&f, i / 5.0), f.top + f.height + 18, "tick", "middle", weir_words_ratio(i / 5.0, 1, words));
    }
    if (diagonal) weir_svg_line(page, weir_svg_x(&f, 0), weir_svg_y(&f, 0), weir_svg_x(&f, 1), weir_svg_y(&f, 1), "chance");
    for (int i = 0; i < series_count; i++) series_path(page, &f, &series[i], i);
    weir_svg_labels(page, &f, x_label, y_label);
    weir_page_put(page, "</svg>");
}

/* Day labels below the frame, thinned out so that they do not touch. */
static void axis_days(weir_page *page, const weir_svg_frame *f, const int64_t *day_us, int day_count) {
    int every = (day_count * 56 + (int)f->width - 1) / (int)f->width;
    if (every < 1) every = 1;
    for (int i = 0; i < day_count; i += every) {
        char words[WEIR_WORDS_MAX];
        weir_svg_text(page, weir_svg_x(f, i), f->top + f->height + 18, "tick", "middle", weir_words_day(day_us[i], words));
    }
}

static void widen(const weir_chart_series *series, int count, double *low, double *high) {
    for (int s = 0; s < count; s++)
        for (int i = 0; i < series[s].count; i++)
            if (isfinite(series[s].points[i].y)) {
                *low = fmin(*low, series[s].points[i].y);
                *high = fmax(*high, series[s].points[i].y);
            }
}

void weir_chart_days(weir_page *page, const char *title, const int64_t *day_us, int day_count, const weir_chart_series *lines, const weir_chart_series *dots,
                     int series_count) {
    double low = INFINITY, high = -INFINITY;
    widen(lines, series_count, &low, &high);
    if (dots) widen(dots, series_count, &low, &high);
    if (!isfinite(low)) low = 0, high = 1;
    double step = weir_chart_step(fmax(high - low, 0.02), 5);
    weir_svg_frame f = {.left = 46,
                        .top = 12,
                        .width = WEIR_SVG_HALF - 66,
                        .height = 210,
                        .x0 = -0.5,
                        .x1 = fmax(day_count - 0.5, 0.5),
                        .y0 = floor(low / step) * step,
                        .y1 = ceil(high / step) * step};
    if (f.y1 <= f.y0) f.y1 = f.y0 + step;
    weir_svg_open(page, title, WEIR_SVG_HALF, 250);
    weir_svg_grid_y(page, &f, step, false);
    axis_days(page, &f, day_us, day_count);
    for (int s = 0; s < series_count; s++) {
        for (int i = 0; dots && i < dots[s].count; i++)
            if (isfinite(dots[s].points[i].y))
                weir_page_printf(page, "<circle class=\"dot f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", s, weir_svg_x(&f, dots[s].points[i].x),
                                 weir_svg_y(&f, dots[s].points[i].y));
        series_path(page, &f, &lines[s], s);
    }
    weir_page_put(page, "</svg>");
}

void weir_chart_stack(weir_page *page, const char *title, const int64_t *day_us, int day_count, const char *const *names, const int64_t *counts,
                      int series_count) {
    int64_t highest = 1;
    for (int d = 0; d < day_count; d++) {
        int64_t sum = 0;
        for (int s = 0; s < series_count; s++) sum += counts[s * day_count + d];
        if (sum > highest) highest = sum;
    }
    double step = fmax(weir_chart_step((double)highest, 5), 1);
    weir_svg_frame f = {.left = 56,
                        .top = 12,
                        .width = WEIR_SVG_HALF - 76,
                        .height = 210,
                        .x0 = -0.5,
                        .x1 = fmax(day_count - 0.5, 0.5),
                        .y1 = ceil((double)highest / step) * step};
    weir_svg_open(page, title, WEIR_SVG_HALF, 250);
    weir_svg_grid_y(page, &f, step, true);
    axis_days(page, &f, day_us, day_count);
    double bar = fmin(f.width / fmax(day_count, 1) * 0.72, 40);
    for (int d = 0; d < day_count; d++) {
        double base = 0;
        for (int s = 0; s < series_count; s++) {
            double count = (double)counts[s * day_count + d];
            char day[WEIR_WORDS_MAX], words[WEIR_WORDS_MAX];
            weir_page_printf(page, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s, ", s, weir_svg_x(&f, d) - bar / 2,
                             weir_svg_y(&f, base + count), bar, weir_svg_y(&f, base) - weir_svg_y(&f, base + count), weir_words_day(day_us[d], day));
            weir_page_text(page, names[s]);
            weir_page_printf(page, ": %s</title></rect>", weir_words_count(counts[s * day_count + d], words));
            base += count;
        }
    }
    weir_page_put(page, "</svg>");
}

void weir_chart_histogram(weir_page *page, const char *title, double low, double high, const int64_t *counts, int count) {
    int64_t highest = 1;
    for (int i = 0; i < count; i++) highest = counts[i] > highest ? counts[i] : highest;
    weir_svg_frame f = {.left = 4, .top = 6, .width = WEIR_SVG_HALF - 8, .height = 110, .x0 = low, .x1 = high, .y1 = (double)highest};
    double width = f.width / count;
    weir_svg_open(page, title, WEIR_SVG_HALF, 142);
    for (int i = 0; i < count; i++) {
        char words[WEIR_WORDS_MAX];
        double from = low + (high - low) * i / count, to = low + (high - low) * (i + 1) / count;
        weir_page_printf(page, "<rect class=\"f0\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%.5g to %.5g: %s</title></rect>",
                         f.left + width * i, weir_svg_y(&f, (double)counts[i]), fmax(width - 1, 1), weir_svg_y(&f, 0) - weir_svg_y(&f, (double)counts[i]), from,
                         to, weir_words_count(counts[i], words));
    }
    weir_svg_line(page, f.left, weir_svg_y(&f, 0), f.left + f.width, weir_svg_y(&f, 0), "axis");
    for (int i = 0; i < 3; i++) {
        char number[32];
        snprintf(number, sizeof number, "%.4g", low + (high - low) * i / 2);
        weir_svg_text(page, f.left + f.width * i / 2, f.top + f.height + 20, "tick", i == 0 ? "start" : i == 1 ? "middle" : "end", number);
    }
    weir_page_put(page, "</svg>");
}

/* One row of differences: whisker, point, numbers at the right. */
static void interval_row(weir_page *page, const weir_svg_frame *f, const weir_chart_interval *row, double y) {
    char value[WEIR_WORDS_MAX], low[WEIR_WORDS_MAX], high[WEIR_WORDS_MAX];
    weir_svg_text(page, 0, y + 5, "strong", "start", row->name);
    if (!isfinite(row->value)) {
        weir_svg_text(page, WEIR_SVG_WIDE, y + 5, "label", "end", "not known yet");
        return;
    }
    const char *side = row->low > 0 ? "f1" : row->high < 0 ? "f0" : "fn";
    const char *stroke = row->low > 0 ? "whisker s1" : row->high < 0 ? "whisker s0" : "whisker sn";
    if (isfinite(row->low) && isfinite(row->high)) {
        weir_svg_line(page, weir_svg_x(f, row->low), y, weir_svg_x(f, row->high), y, stroke);
        weir_svg_line(page, weir_svg_x(f, row->low), y - 6, weir_svg_x(f, row->low), y + 6, stroke);
        weir_svg_line(page, weir_svg_x(f, row->high), y - 6, weir_svg_x(f, row->high), y + 6, stroke);
    }
    weir_page_printf(page, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>", side, weir_svg_x(f, row->value), y);
    weir_page_printf(page, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" class=\"label\"><tspan class=\"strong\">%s</tspan> (%s to %s)</text>", WEIR_SVG_WIDE,
                     y + 5, weir_words_difference(row->value, 3, value), weir_words_difference(row->low, 3, low), weir_words_difference(row->high, 3, high));
}

void weir_chart_intervals(weir_page *page, const char *title, const weir_chart_interval *rows, int row_count, const char *left, const char *right) {
    double reach = 0.005;
    for (int i = 0; i < row_count; i++) {
        const double ends[] = {rows[i].value, rows[i].low, rows[i].high};
        for (int k = 0; k < 3; k++)
            if (isfinite(ends[k])) reach = fmax(reach, fabs(ends[k]));
    }
    reach *= 1.12;
    int height = 74 + 44 * row_count;
    weir_svg_frame f = {.left = 170, .top = 30, .width = WEIR_SVG_WIDE - 170 - 210, .height = 44.0 * row_count, .x0 = -reach, .x1 = reach, .y1 = 1};
    weir_svg_open(page, title, WEIR_SVG_WIDE, height);
    double step = weir_chart_step(2 * reach, 6);
    int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    for (long long i = (long long)ceil(-reach / step); (double)i * step <= reach; i++) {
        char words[WEIR_WORDS_MAX];
        double x = weir_svg_x(&f, (double)i * step);
        weir_svg_line(page, x, f.top, x, f.top + f.height, i ? "grid" : "zero");
        weir_svg_text(page, x, f.top + f.height + 18, "tick", "middle", i ? weir_words_difference((double)i * step, digits, words) : "0");
    }
    weir_svg_text(page, weir_svg_x(&f, 0) - 14, 18, "label", "end", left);
    weir_svg_text(page, weir_svg_x(&f, 0) + 14, 18, "label", "start", right);
    for (int i = 0; i < row_count; i++) interval_row(page, &f, &rows[i], f.top + 22 + 44 * i);
    weir_page_put(page, "</svg>");
}

/* The names of the bands stand in them where they fit; marks have their own line, moved left at the right edge. */
void weir_chart_timeline(weir_page *page, const char *title, int64_t from_us, int64_t to_us, const weir_chart_span *spans, int span_count,
                         const weir_chart_mark *marks, int mark_count) {
    if (to_us <= from_us) return;
    weir_svg_frame f = {
        .left = 1, .top = 28.0 + 20.0 * mark_count, .width = WEIR_SVG_WIDE - 2, .height = 46, .x0 = 0, .x1 = (double)(to_us - from_us), .y1 = 1};
    weir_svg_open(page, title, WEIR_SVG_WIDE, (int)f.top + 78);
    for (int i = 0; i < span_count; i++) {
        int64_t from = spans[i].from_us < from_us ? from_us : spans[i].from_us, to = spans[i].to_us > to_us ? to_us : spans[i].to_us;
        if (to <= from) continue;
        double x = weir_svg_x(&f, (double)(from - from_us)), width = weir_svg_x(&f, (double)(to - from_us)) - x;
        char day[WEIR_WORDS_MAX];
        weir_page_printf(page, "<rect class=\"band %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", spans[i].style, x, f.top, fmax(width - 2, 1),
                         f.height);
        if (width > 8.0 * (double)strlen(spans[i].name) + 8) weir_svg_text(page, x + width / 2 - 1, f.top + 28, "band-name", "middle", spans[i].name);
        if (width > 44) weir_svg_text(page, x, f.top + f.height + 20, "tick", "start", weir_words_day(from, day));
    }
    char last[WEIR_WORDS_MAX];
    weir_svg_text(page, WEIR_SVG_WIDE - 1, f.top + f.height + 20, "tick", "end", weir_words_day(to_us, last));
    for (int i = 0; i < mark_count; i++) {
        if (marks[i].at_us < from_us || marks[i].at_us > to_us) continue;
        double x = weir_svg_x(&f, (double)(marks[i].at_us - from_us)), y = 16 + 20.0 * i;
        bool flip = x + 7.5 * (double)strlen(marks[i].name) > WEIR_SVG_WIDE;
        weir_svg_line(page, x, y - 10, x, f.top, "mark");
        weir_svg_text(page, flip ? x - 8 : x + 8, y, "label", flip ? "end" : "start", marks[i].name);
    }
    weir_page_put(page, "</svg>");
}

void weir_chart_parts(weir_page *page, const char *title, const char *const *names, const double *seconds, int count) {
    double total = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(seconds[i]) && seconds[i] > 0) total += seconds[i];
    if (total <= 0) return;
    weir_svg_open(page, title, WEIR_SVG_WIDE, 82);
    double x = 0;
    for (int i = 0; i < count; i++) {
        if (!isfinite(seconds[i]) || seconds[i] <= 0) continue;
        char words[WEIR_WORDS_MAX];
        double width = seconds[i] / total * WEIR_SVG_WIDE;
        weir_page_printf(page, "<rect class=\"part p%d\" x=\"%.1f\" y=\"4\" width=\"%.1f\" height=\"30\"/>", i, x, fmax(width - 2, 1));
        bool narrow = width<90, last = x + width> WEIR_SVG_WIDE - 60;
        if (width >= 60 || !narrow) {
            weir_svg_text(page, last && narrow ? x + width - 2 : x, 54, "strong", last && narrow ? "end" : "start", names[i]);
            weir_svg_text(page, last && narrow ? x + width - 2 : x, 72, "label", last && narrow ? "end" : "start", weir_words_duration(seconds[i], words));
        }
        x += width;
    }
    weir_page_put(page, "</svg>");
}
