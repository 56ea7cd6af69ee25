/* Charts as inline SVG. Colours, fonts and dark mode come from the page's style sheet through classes: series i, 0 to 5, has stroke "s<i>" and fill "f<i>". */
#ifndef WEIR_CORE_CHART_H
#define WEIR_CORE_CHART_H

#include <stdbool.h>

#include "core/page.h"

typedef struct weir_point {
    double x, y; /* a point with a NaN breaks the line */
} weir_point;

typedef struct weir_chart_series {
    const char *name;
    const weir_point *points;
    int count;
} weir_chart_series;

/** Curves in the unit square (ROC, precision-recall), with the diagonal of chance when asked. */
void weir_chart_unit(weir_page *page, const char *title, const char *x_label, const char *y_label, const weir_chart_series *series, int series_count,
                     bool diagonal);

/** Values by day: x is a day's number from 0, labelled day_us[x]. lines are drawn as lines, dots (may be NULL; as many as lines) as faint dots of the same
 *  series.
 *  The y axis spans what is shown. */
void weir_chart_days(weir_page *page, const char *title, const int64_t *day_us, int day_count, const weir_chart_series *lines, const weir_chart_series *dots,
                     int series_count);

/** Stacked bars by day: counts [series_count][day_count] row-major. */
void weir_chart_stack(weir_page *page, const char *title, const int64_t *day_us, int day_count, const char *const *names, const int64_t *counts,
                      int series_count);

/** Bars of equal width from low to high: counts [count]. Small, for many on a page; no digits on the y axis. */
void weir_chart_histogram(weir_page *page, const char *title, double low, double high, const int64_t *counts, int count);

/* A difference with its interval. */
typedef struct weir_chart_interval {
    const char *name;
    double value, low, high;
} weir_chart_interval;
/** Differences around a zero line; left and right say who is better on which side. */
void weir_chart_intervals(weir_page *page, const char *title, const weir_chart_interval *rows, int row_count, const char *left, const char *right);

/* A stretch of a timeline. style: class of the rectangle. */
typedef struct weir_chart_span {
    const char *name, *style;
    int64_t from_us, to_us;
} weir_chart_span;
typedef struct weir_chart_mark {
    const char *name;
    int64_t at_us;
} weir_chart_mark;
/** Event time from left to right: spans as a band with names, marks above it. */
void weir_chart_timeline(weir_page *page, const char *title, int64_t from_us, int64_t to_us, const weir_chart_span *spans, int span_count,
                         const weir_chart_mark *marks, int mark_count);

/** How a total is made of its parts, in seconds, as one segmented bar with a legend. Parts that are not finite are left out. */
void weir_chart_parts(weir_page *page, const char *title, const char *const *names, const double *seconds, int count);

/* A picture with two axes that layers are drawn into, the lowest first: open, layers, close. What is not finite is left out, what lies outside is cut off. */
typedef struct weir_chart_plot {
    const char *title, *x_label, *y_label;
    double x0, x1, y0, y1; /* what is to be seen; open widens them to whole steps of the grid unless they are exact, and when there is nothing between them */
    bool x_time; /* x is in µs since 1970, UTC */
    bool exact_x, exact_y;
    bool wide; /* as wide as the page; else half */
    int height; /* of the data, in units of a picture 460 or 952 wide; 0: 250 */
    double left, top, width; /* where open put the data */
} weir_chart_plot;
typedef struct weir_chart_range {
    double x, low, high;
} weir_chart_range;

void weir_chart_plot_open(weir_page *page, weir_chart_plot *plot);
void weir_chart_plot_close(weir_page *page);
void weir_chart_plot_line(weir_page *page, const weir_chart_plot *plot, const weir_point *points, int count, int series);
/** Class "chance" (dashed), "zero" or "mark" from one point to another. */
void weir_chart_plot_rule(weir_page *page, const weir_chart_plot *plot, double x1, double y1, double x2, double y2, const char *class);
void weir_chart_plot_dots(weir_page *page, const weir_chart_plot *plot, const weir_point *points, int count, int series, double radius, double opacity);
void weir_chart_plot_band(weir_page *page, const weir_chart_plot *plot, const weir_chart_range *ranges, int count, int series);
void weir_chart_plot_whiskers(weir_page *page, const weir_chart_plot *plot, const weir_chart_range *ranges, int count, int series);
/** Bars of equal width over [low, high] from 0 up; value [count]. side: 0 the whole width, −1 and 1 its left and right half, for two series. */
void weir_chart_plot_bars(weir_page *page, const weir_chart_plot *plot, double low, double high, const double *value, int count, int series, int side);
/** Counts of a two-dimensional histogram over the ranges [x_low, x_high] and [y_low, y_high]: counts [rows][columns], the lowest y first. Empty cells stay
 *  empty. */
void weir_chart_plot_cells(weir_page *page, const weir_chart_plot *plot, const weir_chart_range x, const weir_chart_range y, const double *counts, int columns,
                           int rows, int series);

/* A bar from zero to the left or right, with a whisker from low to high where these are finite. text: what stands at its right; NULL: the value. */
typedef struct weir_chart_bar {
    const char *name, *text;
    double value, low, high;
    int series;
} weir_chart_bar;
/** Horizontal bars one below the other around a common zero. */
void weir_chart_bars(weir_page *page, const char *title, const weir_chart_bar *bars, int count, bool wide);
/** The same rows as points with whiskers, on an axis of their own: where values are to be compared that are all far from zero. reference: a line through
 *  all; NaN: none. */
void weir_chart_points(weir_page *page, const char *title, const weir_chart_bar *rows, int count, double reference, bool wide);

/** A table of amounts, darker where the share of its row is larger: a confusion matrix. value [count][count] row-major. */
void weir_chart_heat(weir_page *page, const char *title, const char *row_label, const char *column_label, const char *const *names, const double *value,
                     int count);

/** A step 1, 2 or 5 times a power of ten, so that span / step is at most max_ticks. */
double weir_chart_step(double span, int max_ticks);

#endif
