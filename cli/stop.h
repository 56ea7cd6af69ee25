/* Being told to stop: SIGTERM and SIGINT, for commands that are not workers (core/worker.h has its own). */
#ifndef WEIR_CLI_STOP_H
#define WEIR_CLI_STOP_H

/** Installs the handlers and returns the flag that they set. A second signal ends the process the usual way. */
const volatile int *weir_stop_flag(void);

#endif
