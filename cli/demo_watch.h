/* Watching running workers from outside, through their /metrics: what a Prometheus would see, for one program that does not want to need one. */
#ifndef WEIR_CLI_DEMO_WATCH_H
#define WEIR_CLI_DEMO_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"

enum { WEIR_WATCH_LABELS_MAX = 8, WEIR_WATCH_SERIES_MAX = 20000 };

/* One time series. Strings are owned by the watch. */
typedef struct weir_series {
    const char *text; /* name and labels as they were printed: what makes it itself */
    const char *name;
    int label_count;
    const char *label[WEIR_WATCH_LABELS_MAX], *label_value[WEIR_WATCH_LABELS_MAX];
    double value; /* counters: since the watch began, restarts of the workers notwithstanding; gauges: as it is */
    double raw; /* as printed last */
    bool present; /* in the newest text */
    bool counter;
} weir_series;

typedef struct weir_watch {
    weir_series *series;
    int count, capacity;
    bool begun; /* a first text was taken: counters that are new after it count from zero */
} weir_watch;

void weir_watch_done(weir_watch *watch);
/** Takes one OpenMetrics text. Only the weir_ families are kept, histograms without their buckets. Lines that are no samples are skipped.
 *  Errors: WEIR_ENOMEM; WEIR_ELIMIT beyond WEIR_WATCH_SERIES_MAX. */
weir_status weir_watch_take(weir_watch *watch, const char *text, size_t len, weir_err *err) WEIR_MUST_CHECK;
/** Fetches url and takes it. Errors: as weir_http_call; another status than 200 is WEIR_ENET. */
weir_status weir_watch_fetch(weir_watch *watch, const char *url, weir_err *err) WEIR_MUST_CHECK;

/* What to look for: labels are pairs of name and value; the first NULL name ends them. */
typedef struct weir_watch_label {
    const char *name, *value;
} weir_watch_label;
#define WEIR_WATCH_WITH(...) ((const weir_watch_label[]){__VA_ARGS__, {NULL, NULL}})
#define WEIR_WATCH_ANY ((const weir_watch_label[]){{NULL, NULL}})

/** The next series of this name that has these labels and is there, after `after` (NULL: the first); NULL when there is none. A gauge that is gone is skipped. */
const weir_series *weir_watch_next(const weir_watch *watch, const char *name, const weir_watch_label *labels, const weir_series *after);
/** Sum over all matching series; 0 when there is none. */
double weir_watch_sum(const weir_watch *watch, const char *name, const weir_watch_label *labels);
/** Value of a label; "" when it has no such label. */
const char *weir_series_label(const weir_series *series, const char *name);

#endif
