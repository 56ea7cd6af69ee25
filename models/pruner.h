/* Pruners: should a running trial be given up, judged by the intermediate values of all trials? Like samplers they keep nothing between calls. */
#ifndef WEIR_MODELS_PRUNER_H
#define WEIR_MODELS_PRUNER_H

#include "models/sampler.h"

#define WEIR_PRUNER_ABI 1
typedef struct weir_pruner {
    int abi;
    const char *name; /* "none", "median", "halving" */
    const char *doc;
    const weir_conf_item *settings; /* config table of an object of settings_size bytes */
    size_t settings_size;
    /** Decides after the trial's latest report, of which there is at least one. Errors: WEIR_ENOMEM. */
    weir_status (*judge)(const void *settings, const weir_trials *history, const weir_trial *trial, bool *ret_prune, weir_err *err);
} weir_pruner;

/** The registered pruners, NULL-terminated. */
const weir_pruner *const *weir_pruners(void);
const weir_pruner *weir_pruner_find(const char *name); /* NULL when there is none */

#endif
