/* A training job as a person sees it: a line a step, one that is rewritten while models are tried, and a summary. In a pipe only the lines of ended steps. */
#ifndef WEIR_CLI_JOB_SCREEN_H
#define WEIR_CLI_JOB_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"
#include "models/workshop.h"

enum { WEIR_JOB_NOTES_MAX = 2048 };

typedef struct weir_job_screen {
    FILE *out;
    bool on; /* out is a terminal */
    bool searching, shown;
    const volatile int *stop; /* set by SIGINT and SIGTERM */
    _Atomic bool end_search; /* asked to stop while it searched: the best so far is taken */
    _Atomic bool abort; /* asked to stop at any other time: the job ends and can go on later */
    const char *metric;
    char notes[WEIR_JOB_NOTES_MAX]; /* of the step at hand, shown under its line */
} weir_job_screen;

/** Installs the handlers of SIGINT and SIGTERM. metric: its name, borrowed. */
void weir_job_screen_init(weir_job_screen *screen, FILE *out, const char *metric);
/** No signal reaches the screen from here on. */
void weir_job_screen_done(weir_job_screen *screen);
/** For weir_workshop.watch, with the screen as context. */
void weir_job_screen_watch(void *screen, const char *step, int number, int count, double seconds, const weir_err *error);
/** For weir_workshop.note, with the screen as context: shown under the line of the step, broken into lines. */
void weir_job_screen_note(void *screen, const char *words);
/** For weir_automl_settings.progress, with the screen as context. */
void weir_job_screen_progress(void *screen, const weir_automl_progress *progress);
/** Prints what a job in this folder made: leaderboard, the chosen model on the test rows, where the report is; or the record as JSON. */
weir_status weir_job_summary_print(const char *folder, const cJSON *record, weir_output output, FILE *out, weir_err *err) WEIR_MUST_CHECK;

#endif
