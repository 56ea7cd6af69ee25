/* What the charts are drawn with. Not for use outside of core/chart*.c. */
#ifndef WEIR_CORE_CHART_SVG_H
#define WEIR_CORE_CHART_SVG_H

#include "core/chart.h"

enum { WEIR_SVG_HALF = 460, WEIR_SVG_WIDE = 952 };

/* Where data lies in a picture. */
typedef struct weir_svg_frame {
    double left, top, width, height;
    double x0, x1, y0, y1;
} weir_svg_frame;

static inline double weir_svg_x(const weir_svg_frame *f, double x) {
    return f->left + (x - f->x0) / (f->x1 - f->x0) * f->width;
}
static inline double weir_svg_y(const weir_svg_frame *f, double y) {
    return f->top + f->height - (y - f->y0) / (f->y1 - f->y0) * f->height;
}

void weir_svg_open(weir_page *page, const char *title, int width, int height);
void weir_svg_text(weir_page *page, double x, double y, const char *class, const char *anchor, const char *text);
void weir_svg_line(weir_page *page, double x1, double y1, double x2, double y2, const char *class);
/** Horizontal grid with labels; digits after the point follow the step. */
void weir_svg_grid_y(weir_page *page, const weir_svg_frame *f, double step, bool counts);
/** One path; a NaN lifts the pen. */
void weir_svg_path(weir_page *page, const weir_svg_frame *f, const weir_point *points, int count, const char *class);
/** The label of the x axis below its ticks, and of the y axis turned at the left edge. */
void weir_svg_labels(weir_page *page, const weir_svg_frame *f, const char *x_label, const char *y_label);

#endif
