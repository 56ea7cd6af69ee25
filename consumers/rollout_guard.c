#include "consumers/rollout_guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { KIND_FINE, KIND_FAILED, KIND_NAN };

static weir_status window_init(weir_guard_window *window, int64_t capacity, weir_err *err) {
    window->kind = weir_mem.realloc(NULL, (size_t)capacity * sizeof *window->kind);
    window->took_ns = weir_mem.realloc(NULL, (size_t)capacity * sizeof *window->took_ns);
    return window->kind && window->took_ns ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to watch %lld rows of a challenger", (long long)capacity);
}

weir_status weir_guard_init(weir_guard *guard, const weir_rollout_def *def, weir_err *err) {
    *guard = (weir_guard){.def = def};
    weir_status status = window_init(&guard->champion, def->guard_rows, err);
    if (!status) status = window_init(&guard->challenger, def->guard_rows, err);
    if (status) weir_guard_done(guard);
    return status;
}

void weir_guard_done(weir_guard *guard) {
    weir_guard_window *const windows[] = {&guard->champion, &guard->challenger};
    for (int i = 0; i < 2; i++) {
        free(windows[i]->kind);
        free(windows[i]->took_ns);
        *windows[i] = (weir_guard_window){0};
    }
}

void weir_guard_reset(weir_guard *guard) {
    weir_guard_window *const windows[] = {&guard->champion, &guard->challenger};
    for (int i = 0; i < 2; i++) windows[i]->count = windows[i]->at = windows[i]->failed = windows[i]->nan = windows[i]->sum_ns = 0;
}

weir_guard_rows weir_guard_rows_of(weir_status status, const double *scores, int64_t count, int64_t took_us) {
    weir_guard_rows rows = {.rows = count, .took_us = took_us};
    for (int64_t i = 0; i < count; i++) rows.nan += !isfinite(scores[i]);
    rows.failed = status && !rows.nan ? count : 0;
    return rows;
}

static void push(weir_guard_window *window, int64_t capacity, uint8_t kind, int64_t took_ns) {
    if (window->count == capacity) {
        window->failed -= window->kind[window->at] == KIND_FAILED;
        window->nan -= window->kind[window->at] == KIND_NAN;
        window->sum_ns -= window->took_ns[window->at];
    } else {
        window->count++;
    }
    window->kind[window->at] = kind;
    window->took_ns[window->at] = took_ns;
    window->failed += kind == KIND_FAILED;
    window->nan += kind == KIND_NAN;
    window->sum_ns += took_ns;
    if (++window->at == capacity) window->at = 0;
}

const char *weir_guard_add(weir_guard *guard, bool challenger, const weir_guard_rows *rows) {
    const weir_rollout_def *def = guard->def;
    weir_guard_window *window = challenger ? &guard->challenger : &guard->champion;
    int64_t capacity = def->guard_rows, skipped = rows->rows > capacity ? rows->rows - capacity : 0;
    for (int64_t i = skipped; i < rows->rows; i++) {
        int64_t left = rows->rows - i; /* the bad ones come last, so that none of them is skipped */
        push(window, capacity, left <= rows->failed ? KIND_FAILED : left <= rows->failed + rows->nan ? KIND_NAN : KIND_FINE, rows->took_us * 1000 / rows->rows);
    }
    const weir_guard_window *now = &guard->challenger;
    if ((double)now->failed > def->max_error_rate * (double)capacity) return "errors";
    if ((double)now->nan > def->max_nan_rate * (double)capacity) return "nan";
    if (now->count < capacity || guard->champion.count < capacity) return NULL;
    double over_s = (double)(now->sum_ns - guard->champion.sum_ns) / (double)capacity / 1e9;
    return over_s > def->max_latency_s ? "latency" : NULL;
}
