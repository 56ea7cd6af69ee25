/* The live view of a demo: one calm block on a terminal, redrawn in place; plain lines in a pipe. */
#ifndef WEIR_CLI_DEMO_LIVE_H
#define WEIR_CLI_DEMO_LIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/mem.h"

typedef enum weir_live_state { WEIR_LIVE_WAITING, WEIR_LIVE_RUNNING, WEIR_LIVE_DONE, WEIR_LIVE_FAILED } weir_live_state;
enum { WEIR_LIVE_PHASES = 4, WEIR_LIVE_ARMS = 2 };

/* What is shown. Numbers that are not known are NaN, counts −1. */
typedef struct weir_live_view {
    char title[64], source[160];
    struct {
        const char *name;
        char text[160]; /* what it is doing or has done */
        weir_live_state state;
        double seconds;
    } phases[WEIR_LIVE_PHASES];
    double progress; /* of the running phase, 0 to 1; NaN: no bar */
    int64_t event_time_us; /* where the stream stands; INT64_MIN */
    int64_t events, features, labels, dead_letters, lag;
    double events_per_s, features_per_s, predictions_per_s;
    struct {
        const char *arm;
        char model[64];
        int version;
        int64_t predictions, labelled;
        double auc, average_precision;
    } arms[WEIR_LIVE_ARMS];
    double elapsed_s;
} weir_live_view;

void weir_live_view_init(weir_live_view *view);

/* How it may be drawn. */
typedef struct weir_live_style {
    int columns, rows;
    bool color, utf8;
} weir_live_style;
/** The block, lines ended by '\n', none wider than columns, at most rows − 1 of them. False when memory ran out. */
bool weir_live_block(const weir_live_view *view, const weir_live_style *style, weir_buf *out) WEIR_MUST_CHECK;
/** One plain line, without '\n'. */
bool weir_live_line(const weir_live_view *view, weir_buf *out) WEIR_MUST_CHECK;

/* Where it is drawn. */
typedef struct weir_live {
    FILE *out;
    bool terminal;
    weir_live_style style;
    int drawn_lines; /* of the block on the terminal now */
    int64_t next_us; /* monotonic: not before this */
    char last_phase[16]; /* pipe: states of the phases in the last line */
    weir_buf buf;
} weir_live;
/** Finds out what out is (a terminal that can move the cursor, NO_COLOR, UTF-8) and hides the cursor. */
void weir_live_start(weir_live *live, FILE *out);
/** Draws when it is time: about 4 times a second on a terminal, every 2 s and when a phase changes in a pipe. force: now. */
void weir_live_draw(weir_live *live, const weir_live_view *view, int64_t mono_us, bool force);
/** Leaves the last block where it is and gives the cursor back. Safe to call twice. */
void weir_live_stop(weir_live *live);

#endif
