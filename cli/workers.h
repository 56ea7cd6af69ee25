/* Starting workers from a command. */
#ifndef WEIR_CLI_WORKERS_H
#define WEIR_CLI_WORKERS_H

#include "cli/settings.h"

/** Loads the pipeline, prepares database and topics, serves HTTP, runs the workers until SIGTERM. only: one kind; NULL: all. */
weir_status weir_run_workers(const weir_settings *settings, const char *pipeline, const char *only, weir_err *err) WEIR_MUST_CHECK;

#endif
