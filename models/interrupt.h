/* A wish to stop, for fits that take long and whose interface has no place for it: set for the calling thread, looked at between two rounds or sweeps. */
#ifndef WEIR_MODELS_INTERRUPT_H
#define WEIR_MODELS_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/err.h"

/** Fits in this thread stop soon after *cancel is true; NULL: they run to their end. Borrowed until the next call. */
void weir_interrupt_set(const _Atomic bool *cancel);
/** WEIR_ETIMEOUT, RETRY, once the fit that runs in this thread is to stop. */
weir_status weir_interrupt_check(weir_err *err) WEIR_MUST_CHECK;

#endif
