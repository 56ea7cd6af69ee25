/* What a scenario leaves behind: its timeline and the steps of its way, as JSON and as a page. */
#ifndef WEIR_CLI_SCENARIO_REPORT_H
#define WEIR_CLI_SCENARIO_REPORT_H

#include "cli/demo_story.h"

enum { WEIR_SCENARIO_STEPS_MAX = 32, WEIR_SCENARIO_TOLD_MAX = 2000 };

/* One line of the timeline. */
typedef struct weir_scenario_told {
    double wall_s; /* since the scenario began */
    int64_t stream_us; /* event time up to which was published; INT64_MIN: nothing yet */
    weir_story_entry entry;
} weir_scenario_told;

/* A step of the way that has to be gone, in this order. */
typedef struct weir_scenario_step {
    const char *name;
    bool done;
    weir_scenario_told told; /* when it is done */
} weir_scenario_step;

typedef struct weir_scenario_report {
    const char *pipeline, *scenario;
    char source[200], outcome[400];
    int64_t first_us, live_us, changed_us, last_us; /* event times: of the data, of the first champion, of the injected drift (INT64_MIN: none), of the end */
    bool complete;
    weir_scenario_told *told; /* heap */
    int told_count;
    weir_scenario_step steps[WEIR_SCENARIO_STEPS_MAX];
    int step_count;
} weir_scenario_report;

/** Writes report.json and report.html to the folder, which is made where it is not. Errors: WEIR_EIO, WEIR_ENOMEM. */
weir_status weir_scenario_report_write(const weir_scenario_report *report, const char *folder, weir_err *err) WEIR_MUST_CHECK;

#endif
