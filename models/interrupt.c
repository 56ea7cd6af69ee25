#include "models/interrupt.h"

#include <stddef.h>

/* One of the two at most. */
typedef struct wish {
    const _Atomic bool *cancel;
    bool (*wanted)(void *context);
    void *context;
} wish;

static _Thread_local wish now;

void weir_interrupt_set(const _Atomic bool *cancel) {
    now = (wish){.cancel = cancel};
}

void weir_interrupt_ask(bool (*wanted)(void *context), void *context) {
    now = (wish){.wanted = wanted, .context = context};
}

weir_status weir_interrupt_check(weir_err *err) {
    bool stop = now.cancel ? *now.cancel : now.wanted && now.wanted(now.context);
    return stop ? WEIR_RETRY(err, WEIR_ETIMEOUT, "fitting was asked to stop") : WEIR_OK;
}
