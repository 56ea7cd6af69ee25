/* Dead letters: key and value unchanged, the record's own headers passed on, and what went wrong beside them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/worker_internal.h"

enum { OWN_HEADERS = 7, PASSED_ON_MAX = 200, ATTEMPT_DIGITS_MAX = 9 };

static const char *const own_names[OWN_HEADERS] = {"weir.error.class",   "weir.error.message",    "weir.source.topic", "weir.source.partition",
                                                   "weir.source.offset", "weir.source.timestamp", "weir.attempt"};

static bool is_own(const char *name) {
    for (int i = 0; i < OWN_HEADERS; i++)
        if (!strcmp(name, own_names[i])) return true;
    return false;
}

/* 1, or one more than the record says when it has been a dead letter before. */
static int attempt_of(const weir_bus_record *record) {
    weir_bus_header header;
    if (!weir_bus_header_get(record, "weir.attempt", &header) || !header.len || header.len > ATTEMPT_DIGITS_MAX) return 1;
    int attempt = 0;
    for (size_t i = 0; i < header.len; i++) {
        char digit = ((const char *)header.value)[i];
        if (digit < '0' || digit > '9') return 1;
        attempt = attempt * 10 + (digit - '0');
    }
    return attempt + 1;
}

static void note_reject(weir_worker *worker, const char *topic, const char *error_class) {
    for (size_t i = 0; i < worker->reject_kinds; i++) {
        weir_reject_count *kind = &worker->rejects[i];
        if (strcmp(kind->topic, topic) || strncmp(kind->class, error_class, sizeof kind->class - 1)) continue;
        kind->count++;
        return;
    }
    if (worker->reject_kinds == WEIR_REJECT_KINDS_MAX) {
        weir_metric_add(WEIR_METRIC("weir_worker_deadletters_total", worker->pipeline, worker->ops->name, topic, "other"), 1);
        return;
    }
    weir_reject_count *kind = &worker->rejects[worker->reject_kinds++];
    *kind = (weir_reject_count){.topic = topic, .count = 1};
    (void)snprintf(kind->class, sizeof kind->class, "%s", error_class);
}

void weir_worker_settle_rejects(weir_worker *worker, bool durable) {
    for (size_t i = 0; durable && i < worker->reject_kinds; i++) {
        const weir_reject_count *kind = &worker->rejects[i];
        weir_metric_add(WEIR_METRIC("weir_worker_deadletters_total", worker->pipeline, worker->ops->name, kind->topic, kind->class), (double)kind->count);
    }
    worker->reject_kinds = 0;
}

/* A flood of bad records makes one line a second. */
static void log_reject(weir_worker *worker, const weir_bus_record *record, const char *error_class, const char *message) {
    int64_t now_us = weir_clock_mono_us(worker->env->clock);
    worker->rejects_unlogged++;
    if (worker->reject_log_us && now_us - worker->reject_log_us < WEIR_SECOND_US) return;
    WEIR_WARN("record to the dead letters", WEIR_S("topic", record->topic), WEIR_I("partition", record->partition), WEIR_I("offset", record->offset),
              WEIR_S("class", error_class), WEIR_S("reason", message), WEIR_I("records", (int64_t)worker->rejects_unlogged));
    worker->reject_log_us = now_us;
    worker->rejects_unlogged = 0;
}

weir_status weir_worker_reject(weir_worker *worker, const weir_bus_record *record, const char *error_class, const weir_err *why, weir_err *err) {
    if (!worker->deadletter[0]) return WEIR_FAIL(err, WEIR_EINTERNAL, "worker %s has no topic for dead letters", worker->ops->name);
    weir_bus_header headers[PASSED_ON_MAX + OWN_HEADERS];
    size_t count = 0;
    for (size_t i = 0; count < PASSED_ON_MAX && weir_bus_header_at(record, i, &headers[count]); i++)
        if (!is_own(headers[count].name)) count++;
    char partition[16], offset[24], timestamp[24], attempt[16];
    (void)snprintf(partition, sizeof partition, "%d", record->partition);
    (void)snprintf(offset, sizeof offset, "%" PRId64, record->offset);
    (void)snprintf(timestamp, sizeof timestamp, "%" PRId64, record->timestamp_ms);
    (void)snprintf(attempt, sizeof attempt, "%d", attempt_of(record));
    const char *message = why && why->message[0] ? why->message : error_class;
    const char *const values[OWN_HEADERS] = {error_class, message, record->topic, partition, offset, timestamp, attempt};
    for (int i = 0; i < OWN_HEADERS; i++) headers[count++] = (weir_bus_header){own_names[i], values[i], strlen(values[i])};
    weir_status status =
        weir_producer_send(worker->producer, worker->deadletter, -1, record->key, record->key_len, record->value, record->value_len, headers, count, 0, err);
    if (status) return status;
    note_reject(worker, record->topic, error_class);
    log_reject(worker, record, error_class, message);
    return WEIR_OK;
}
