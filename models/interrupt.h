/* A wish to stop, for fits that take long and whose interface has no place for it: set for the calling thread, looked at between two trees, rounds, sweeps or
 * chunks of rows. */
#ifndef WEIR_MODELS_INTERRUPT_H
#define WEIR_MODELS_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/err.h"

/** Fits in this thread stop soon after *cancel is true; NULL: they run to their end. Borrowed until the next call of this or the other. */
void weir_interrupt_set(const _Atomic bool *cancel);
/** The same by a function, which is called often: fits stop after it has said true. NULL: they run to their end. */
void weir_interrupt_ask(bool (*wanted)(void *context), void *context);
/** WEIR_ETIMEOUT, RETRY, once the fit that runs in this thread is to stop. Cheap enough for every thousandth row. */
weir_status weir_interrupt_check(weir_err *err) WEIR_MUST_CHECK;

#endif
