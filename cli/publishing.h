/* What `weir replay` and `weir simulate` share: creating the topics, publishing with progress, saying what was done. */
#ifndef WEIR_CLI_PUBLISHING_H
#define WEIR_CLI_PUBLISHING_H

#include "cli/settings.h"
#include "producers/records.h"

typedef struct weir_publishing {
    double rate, speed;
    int64_t until_us; /* 0: all */
} weir_publishing;

/** Publishes all of records until the end or a signal. Stopped by a signal: *ret_exit is 1. */
weir_status weir_publish_records(const weir_settings *settings, const weir_pipeline *pipeline, weir_records *records, const weir_publishing *how, int *ret_exit,
                                 weir_err *err) WEIR_MUST_CHECK;

#endif
