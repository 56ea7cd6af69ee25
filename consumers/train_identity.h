/* Who works on a run: a process that another process of the same machine can see to be gone, so that its runs need not wait until their leases are over. */
#ifndef WEIR_CONSUMERS_TRAIN_IDENTITY_H
#define WEIR_CONSUMERS_TRAIN_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

typedef struct weir_train_identity {
    char host[128]; /* whose limit it counts for */
    char worker[256]; /* "host/instance/process id", for people */
    char process
        [128]; /* "BOOT/NAMESPACE/PID/START": of the kernel's boot, the namespace of process ids, the process in it, and when it began in ticks since the boot */
    size_t machine_len; /* of "BOOT/NAMESPACE/" */
} weir_train_identity;

/** Of this process. host NULL or "": the machine's name. Errors: WEIR_EIO when /proc cannot be read. */
weir_status weir_train_identity_init(weir_train_identity *identity, const char *host, const char *instance, weir_err *err) WEIR_MUST_CHECK;
/** Whether process (as above) is of this machine and there no more. One of another machine is not known to be gone. */
bool weir_train_identity_gone(const weir_train_identity *identity, const char *process);

#endif
