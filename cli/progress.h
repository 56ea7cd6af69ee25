/* Progress of long work on a terminal: one line that is rewritten. In a pipe it prints nothing. */
#ifndef WEIR_CLI_PROGRESS_H
#define WEIR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct weir_progress {
    FILE *out;
    bool on; /* out is a terminal */
    const char *what; /* "events" */
    int64_t total; /* -1: not known */
    int64_t started_us, shown_us;
    int64_t begun; /* done before it started: of no account for the rate */
    bool shown;
} weir_progress;

void weir_progress_init(weir_progress *progress, FILE *out, const char *what, int64_t total);
/** Rewrites the line: done so far, rate, what remains; note (may be NULL) is appended. */
void weir_progress_show(weir_progress *progress, int64_t done, const char *note);
/** The same, but ten times a second at most: for work that tells of itself more often. */
void weir_progress_show_at_times(weir_progress *progress, int64_t done);
/** Clears the line. */
void weir_progress_end(weir_progress *progress);
/** Seconds since weir_progress_init. */
double weir_progress_seconds(const weir_progress *progress);

#endif
