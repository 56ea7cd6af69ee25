/* Being told to stop: SIGTERM and SIGINT, for commands that are not workers (core/worker.h has its own). */
#ifndef WEIR_CLI_STOP_H
#define WEIR_CLI_STOP_H

#include <stdbool.h>

/** Installs the handlers and returns the flag that they set. A signal that comes again a second later ends the process the usual way; at once it is the same one, which shells and
 *  supervisors like to send to the process and to its group. */
const volatile int *weir_stop_flag(void);
/** From now on a signal sets *flag too, and no other one that was named here before; NULL: none. *flag must live until then. */
void weir_stop_sets(_Atomic bool *flag);

#endif
