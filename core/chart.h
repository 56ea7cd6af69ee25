/* Charts as inline SVG. Colours, fonts and dark mode come from the page's style sheet through classes: series i is "c<i>" (stroke "s<i>", fill "f<i>"). */
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

/** Values by day: x is a day's number from 0, labelled day_us[x]. lines are drawn as lines, dots (may be NULL; as many as lines) as faint dots of the same series.
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

/** A step 1, 2 or 5 times a power of ten, so that span / step is at most max_ticks. */
double weir_chart_step(double span, int max_ticks);

#endif
