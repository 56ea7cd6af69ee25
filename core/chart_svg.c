/* See chart_svg.h. */
#include "core/chart_svg.h"

#include <math.h>

void weir_svg_open(weir_page *page, const char *title, int width, int height) {
    weir_page_printf(page, "<svg class=\"%s\" viewBox=\"0 0 %d %d\" role=\"img\"><title>", width == WEIR_SVG_WIDE ? "wide" : "half", width, height);
    weir_page_text(page, title);
    weir_page_put(page, "</title>");
}

void weir_svg_text(weir_page *page, double x, double y, const char *class, const char *anchor, const char *text) {
    weir_page_printf(page, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
    weir_page_text(page, text);
    weir_page_put(page, "</text>");
}

void weir_svg_line(weir_page *page, double x1, double y1, double x2, double y2, const char *class) {
    weir_page_printf(page, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>", x1, y1, x2, y2, class);
}

void weir_svg_grid_y(weir_page *page, const weir_svg_frame *f, double step, bool counts) {
    int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    for (long long i = (long long)ceil(f->y0 / step - 1e-9); (double)i * step <= f->y1 + 1e-9 * step; i++) {
        double y = (double)i * step;
        char words[WEIR_WORDS_MAX];
        weir_svg_line(page, f->left, weir_svg_y(f, y), f->left + f->width, weir_svg_y(f, y), i == 0 ? "axis" : "grid");
        weir_svg_text(page, f->left - 8, weir_svg_y(f, y) + 4, "tick", "end",
                      counts ? weir_words_count((int64_t)llround(y), words) : weir_words_ratio(y, digits, words));
    }
}

void weir_svg_path(weir_page *page, const weir_svg_frame *f, const weir_point *points, int count, const char *class) {
    bool down = false;
    weir_page_printf(page, "<path class=\"%s\" d=\"", class);
    for (int i = 0; i < count; i++) {
        if (!isfinite(points[i].x) || !isfinite(points[i].y)) {
            down = false;
            continue;
        }
        weir_page_printf(page, "%c%.1f %.1f", down ? 'L' : 'M', weir_svg_x(f, points[i].x), weir_svg_y(f, points[i].y));
        down = true;
    }
    weir_page_put(page, "\"/>");
}

void weir_svg_labels(weir_page *page, const weir_svg_frame *f, const char *x_label, const char *y_label) {
    if (x_label) weir_svg_text(page, f->left + f->width / 2, f->top + f->height + 40, "label", "middle", x_label);
    if (!y_label) return;
    weir_page_printf(page, "<text transform=\"translate(12 %.1f) rotate(-90)\" class=\"label\" text-anchor=\"middle\">", f->top + f->height / 2);
    weir_page_text(page, y_label);
    weir_page_put(page, "</text>");
}
