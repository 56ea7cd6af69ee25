/* Prometheus metrics. Every metric is declared once, in metrics.c's table; handles are fetched at start, updates are lock-free. */
#ifndef WEIR_CORE_METRICS_H
#define WEIR_CORE_METRICS_H

#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

typedef enum weir_metric_type { WEIR_COUNTER, WEIR_GAUGE, WEIR_HISTOGRAM } weir_metric_type;

#define WEIR_METRIC_LABELS_MAX 5

typedef struct weir_metric_def {
    const char *name; /* full, "weir_ingest_records_total" */
    weir_metric_type type;
    const char *help;
    const char *labels[WEIR_METRIC_LABELS_MAX + 1]; /* NULL-terminated */
} weir_metric_def;

/** The declared table, NULL-name-terminated; the source of docs/reference.md and of the check on monitoring/. */
extern const weir_metric_def weir_metric_table[];

/* One time series of one metric. Never freed before exit; safe to update from any thread. */
typedef struct weir_metric weir_metric;

/** The series of `name` with these label values (in the declared order, as many as declared). The same values give the same series.
 *  Asserts that name is declared. Takes a lock: fetch handles at start, never per event. */
weir_metric *weir_metric_get(const char *name, const char *const *label_values);
#define WEIR_METRIC(name, ...) weir_metric_get((name), (const char *const[]){__VA_ARGS__, NULL})

void weir_metric_add(weir_metric *metric, double amount); /* counter, gauge */
void weir_metric_set(weir_metric *metric, double value); /* gauge */
/** Histogram. Buckets are fixed, in seconds: 1-2-5 from 1 µs to 100 s, then coarser to 10^7 s (116 days). */
void weir_metric_observe(weir_metric *metric, double value);
/** The same with an exemplar: the trace in which it was measured. traceparent as in W3C Trace Context (not NUL-terminated; NULL: none); of those that are sampled each bucket shows
 *  the last one. No lock: where two threads write one bucket's at once, one of them is kept. */
void weir_metric_observe_traced(weir_metric *metric, double value, const char *traceparent, size_t len);
double weir_metric_value(const weir_metric *metric); /* histogram: its count */
/** Removes a gauge series from the output (a model that is no longer served, a partition that left). */
void weir_metric_hide(weir_metric *metric);

/** Appends the OpenMetrics text (ends with "# EOF"), process metrics included. */
weir_status weir_metrics_render(weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
