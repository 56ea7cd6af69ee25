/* The drift report: one HTML page that needs nothing else. */
#ifndef WEIR_CLI_DRIFT_PAGE_H
#define WEIR_CLI_DRIFT_PAGE_H

#include "features/drift.h"

/* Texts are borrowed. */
typedef struct weir_drift_page {
    const char *name; /* what was compared: "payments.parquet", "fraud" */
    const char *reference_name, *current_name; /* "training:fraud-boosted/3", "2026-01-01..2026-01-08" */
    const weir_drift_table *reference, *current;
    const weir_drift_report *report;
    double high_share, critical_share;
    int64_t made_at_us;
} weir_drift_page;

/** Appends the page: what was found, every column's tests, and both distributions of each. Errors: WEIR_ENOMEM. */
weir_status weir_drift_page_write(const weir_drift_page *page, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
