#include "models/interrupt.h"

static _Thread_local const _Atomic bool *wish;

void weir_interrupt_set(const _Atomic bool *cancel) {
    wish = cancel;
}

weir_status weir_interrupt_check(weir_err *err) {
    return wish && *wish ? WEIR_RETRY(err, WEIR_ETIMEOUT, "fitting was asked to stop") : WEIR_OK;
}
