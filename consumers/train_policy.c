#include "consumers/train_policy.h"

#include <string.h>

int weir_train_free_slots(const weir_train_limits *limits, int running_host, int running_overall) {
    int host = limits->runs_host - running_host, overall = limits->runs_overall - running_overall;
    int slots = host < overall ? host : overall;
    return slots > 0 ? slots : 0;
}

int64_t weir_train_backoff_us(const weir_train_limits *limits, int failures, double u) {
    int64_t wait_us = limits->retry_first_us < limits->retry_most_us ? limits->retry_first_us : limits->retry_most_us;
    for (int i = 1; i < failures && wait_us < limits->retry_most_us; i++) wait_us = wait_us > limits->retry_most_us / 2 ? limits->retry_most_us : 2 * wait_us;
    int64_t half_us = wait_us / 2;
    return wait_us - half_us + (int64_t)(u * (double)half_us);
}

const char *weir_train_outcome_name(weir_train_outcome outcome) {
    static const char *const names[WEIR_TRAIN_OUTCOMES] = {"done", "transient", "failed", "timed_out", "cancelled", "interrupted", "lost"};
    return names[outcome];
}

/* XGBoost and DuckDB say it in words. */
static bool lacks_memory(const weir_err *err) {
    return err->code == WEIR_ENOMEM || strstr(err->message, "bad_alloc") || strstr(err->message, "Out of Memory");
}

static bool may_pass(const weir_err *err) {
    if (err->action == WEIR_ACTION_RETRY || lacks_memory(err)) return true;
    return err->code == WEIR_EIO || err->code == WEIR_ENET || err->code == WEIR_ETIMEOUT || err->code == WEIR_ECONFLICT;
}

weir_train_outcome weir_train_judge(const weir_train_ending *ending) {
    if (ending->reported && !ending->err->code) return WEIR_TRAIN_DONE;
    if (ending->cancelled) return WEIR_TRAIN_CANCELLED;
    if (ending->timed_out) return WEIR_TRAIN_TIMED_OUT;
    if (ending->reported && !may_pass(ending->err)) return WEIR_TRAIN_FAILED;
    return ending->stopping ? WEIR_TRAIN_INTERRUPTED : WEIR_TRAIN_TRANSIENT;
}

bool weir_train_counts(weir_train_outcome outcome) {
    return outcome == WEIR_TRAIN_TRANSIENT || outcome == WEIR_TRAIN_LOST;
}

weir_train_next weir_train_next_of(const weir_train_limits *limits, weir_train_outcome outcome, int failures) {
    switch (outcome) {
    case WEIR_TRAIN_DONE: return WEIR_TRAIN_GOES_ON;
    case WEIR_TRAIN_INTERRUPTED: return WEIR_TRAIN_AGAIN;
    case WEIR_TRAIN_TRANSIENT:
    case WEIR_TRAIN_LOST: return failures + 1 < limits->failures_max ? WEIR_TRAIN_AGAIN : WEIR_TRAIN_FAILS;
    case WEIR_TRAIN_CANCELLED: return WEIR_TRAIN_IS_CANCELLED;
    default: return WEIR_TRAIN_FAILS;
    }
}
