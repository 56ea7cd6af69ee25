/* `weir demo PIPELINE --scenario drift|harm`: shows that a pipeline looks after itself. Workers do all of it; the scenario publishes a simulated world, asks for a first champion, and tells what
 * happens.
 *
 *   drift  from a day on, measured numbers grow: drift is judged, training decided, a new version gets 10, 50 and 100 % of the traffic by the evidence of outcomes
 *   harm   a version whose scores are no numbers, and one that says the contrary, get 10 % of the traffic, and lose it */
#ifndef WEIR_CLI_DEMO_SCENARIO_H
#define WEIR_CLI_DEMO_SCENARIO_H

#include "cli/settings.h"
#include "core/err.h"

typedef enum weir_scenario_kind { WEIR_SCENARIO_NONE, WEIR_SCENARIO_DRIFT, WEIR_SCENARIO_HARM } weir_scenario_kind;
extern const char *const weir_scenario_names[]; /* "none", "drift", "harm"; NULL-terminated */

typedef struct weir_scenario_options {
    weir_scenario_kind kind;
    const char *pipeline; /* name or path */
    const char *domain; /* simulator; empty: the pipeline's name */
    const char *out; /* folder of the report */
    int64_t entities, days, seed, start_us; /* 0: the scenario's own */
} weir_scenario_options;

/** Writes a pipeline file for a scenario to path: the pipeline with one candidate, drift judged day by day (but for harm, where nothing else should be rolled out), and a rollout in steps. Its
 *  workers are to run when the scenario is played.
 *  Errors: those of loading the pipeline; WEIR_EIO. */
weir_status weir_scenario_prepare(const char *pipeline, weir_scenario_kind kind, const char *path, weir_err *err) WEIR_MUST_CHECK;
/** Plays it. *ret_exit: 1 when the way was not gone to its end while the data lasted, or somebody stopped it. */
weir_status weir_scenario_play(const weir_settings *settings, const weir_scenario_options *options, int *ret_exit, weir_err *err) WEIR_MUST_CHECK;

#endif
