/* Fitting models of several: what models/spec.c does with "ensemble" and "targets". */
#ifndef WEIR_MODELS_COMPOSITE_FIT_H
#define WEIR_MODELS_COMPOSITE_FIT_H

#include "models/composite.h"
#include "models/spec.h"

/** False, and *ret_kind untouched, for none of "average", "weighted", "stacking". */
bool weir_ensemble_find(const char *name, weir_composition *ret_kind) WEIR_MUST_CHECK;

/** spec has been checked. */
weir_status weir_ensemble_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact,
                              weir_err *err) WEIR_MUST_CHECK;
weir_status weir_targets_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact,
                             weir_err *err) WEIR_MUST_CHECK;

#endif
