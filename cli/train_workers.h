/* `weir train PIPELINE --workers N`, and `weir train --join ADDRESS:PORT`. */
#ifndef WEIR_CLI_TRAIN_WORKERS_H
#define WEIR_CLI_TRAIN_WORKERS_H

#include "cli/settings.h"
#include "core/err.h"
#include "models/recipe.h"

typedef struct weir_train_workers {
    int workers, remote;
    const char *listen; /* "ADDRESS" or "ADDRESS:PORT"; NULL: this host's loopback */
    const char *candidate; /* NULL: the first that can be */
    int64_t train_from_us, as_of_us; /* 0: not given */
    int64_t wait_us; /* for workers of other hosts */
} weir_train_workers;

/** Fits one candidate by several workers, with what happens on stderr. *ret_run is the run; the caller deletes it. */
weir_status weir_train_workers_run(const weir_settings *settings, const weir_train_workers *asked, const weir_pipeline *pipeline, const weir_recipe *recipe,
                                   cJSON **ret_run, weir_err *err) WEIR_MUST_CHECK;
/** Is a worker of a training that another process leads, and comes again when its group broke, for as long as a leader is found within wait_us. 0: it comes once. */
weir_status weir_train_join(const char *leader, int64_t wait_us, int *ret_exit, weir_err *err) WEIR_MUST_CHECK;

#endif
