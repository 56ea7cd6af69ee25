/* `weir train PIPELINE --runs` and `--cancel RUN`. */
#ifndef WEIR_CLI_TRAIN_RUNS_H
#define WEIR_CLI_TRAIN_RUNS_H

#include "cli/command.h"

/** Prints the newest training runs of a pipeline: what they do, where, how far they are. */
weir_status weir_train_runs_print(const weir_settings *settings, const char *pipeline, weir_output output, weir_err *err) WEIR_MUST_CHECK;
/** Cancels a run and says what comes of it. *ret_exit 1: it is over already. WEIR_ENOTFOUND: there is no such run that was requested. */
weir_status weir_train_runs_cancel(const weir_settings *settings, const char *pipeline, const char *run_id, const char *reason, int *ret_exit,
                                   weir_err *err) WEIR_MUST_CHECK;

#endif
