/* How full the file systems are that a process writes to. */
#ifndef WEIR_CORE_DISK_H
#define WEIR_CORE_DISK_H

#include "core/err.h"

/** Free share of the file system that a folder is in, of what an unprivileged process may use: 0 to 1. A folder that is not made yet counts as the nearest one above it.
 *  Errors: WEIR_EIO, WEIR_EINVAL (name too long). */
weir_status weir_disk_free(const char *folder, double *ret_free_ratio, weir_err *err) WEIR_MUST_CHECK;

/* A folder whose file system is looked at. Borrowed. */
typedef struct weir_disk_place {
    const char *name; /* the metric's label: "state" */
    const char *folder;
} weir_disk_place;

typedef struct weir_disk_watch weir_disk_watch;

/** Sets weir_disk_free_ratio{place} now and every 10 s from a thread of its own, until weir_disk_watch_stop. places [count], count ≤ 4. A place that cannot be looked at is not shown.
 *  Errors: WEIR_ENOMEM; WEIR_EIO when there is no thread. */
weir_status weir_disk_watch_start(const weir_disk_place *places, int count, weir_disk_watch **ret_watch, weir_err *err) WEIR_MUST_CHECK;
void weir_disk_watch_stop(weir_disk_watch *watch); /* accepts NULL; waits for the thread */

#endif
