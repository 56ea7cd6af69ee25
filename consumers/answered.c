#include "consumers/answered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { BATCH = 1024, POLL_MS = 100, ASK_TIMEOUT_MS = 10000, APART_MS = 10 * 60 * 1000 };
#define READ_TIMEOUT_US (60 * WEIR_SECOND_US)

void weir_answered_done(weir_answered *answered) {
    if (answered->offsets) weir_mem.realloc(answered->offsets, 0);
    *answered = (weir_answered){0};
}

void weir_answered_forget(weir_answered *answered) {
    answered->known = false;
    answered->count = 0;
}

/* The first place whose offset is not below. */
static int place_of(const weir_answered *answered, int64_t offset) {
    int low = 0, high = answered->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (answered->offsets[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool weir_answered_has(const weir_answered *answered, int64_t offset) {
    int at = place_of(answered, offset);
    return at < answered->count && answered->offsets[at] == offset;
}

weir_status weir_answered_add(weir_answered *answered, int64_t offset, weir_err *err) {
    int at = place_of(answered, offset);
    if (at < answered->count && answered->offsets[at] == offset) return WEIR_OK;
    if (answered->count == answered->capacity) {
        int capacity = answered->capacity ? 2 * answered->capacity : 256;
        int64_t *offsets = weir_mem.realloc(answered->offsets, sizeof *offsets * (size_t)capacity);
        if (!offsets) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d answered requests", capacity);
        answered->offsets = offsets;
        answered->capacity = capacity;
    }
    memmove(&answered->offsets[at + 1], &answered->offsets[at], sizeof *answered->offsets * (size_t)(answered->count - at));
    answered->offsets[at] = offset;
    answered->count++;
    return WEIR_OK;
}

/* -1: it answers no request. */
static int64_t offset_of(const weir_bus_record *record) {
    weir_bus_header header;
    char text[24], *end;
    if (!weir_bus_header_get(record, WEIR_HEADER_REQUEST, &header) || !header.len || header.len >= sizeof text) return -1;
    memcpy(text, header.value, header.len);
    text[header.len] = 0;
    long long offset = strtoll(text, &end, 10);
    return *end || offset < 0 ? -1 : offset;
}

static weir_status take(weir_answered *answered, const weir_bus_record *records, size_t count, int64_t first_offset, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        int64_t offset = offset_of(&records[i]);
        if (offset >= first_offset) status = weir_answered_add(answered, offset, err);
    }
    return status;
}

/* To the end as it was found; the consumer's position says so even when what stands last is no record. */
static weir_status read_until(weir_answered *answered, weir_consumer *consumer, weir_clock *clock, int64_t first_offset, int64_t end, weir_err *err) {
    weir_bus_record *records = weir_mem.realloc(NULL, sizeof *records * BATCH);
    weir_status status = records ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory to read answers");
    int64_t until_us = weir_clock_mono_us(clock) + READ_TIMEOUT_US;
    for (bool done = false; !status && !done;) {
        size_t count = 0;
        weir_partition position;
        status = weir_consumer_poll(consumer, records, BATCH, POLL_MS, &count, err);
        if (!status) status = take(answered, records, count, first_offset, err);
        if (count) until_us = weir_clock_mono_us(clock) + READ_TIMEOUT_US;
        weir_consumer_release(consumer, records, count);
        done = weir_consumer_assignment(consumer, &position, 1) == 1 && position.offset >= end;
        if (!status && !done && weir_clock_mono_us(clock) > until_us) status = WEIR_RETRY(err, WEIR_ETIMEOUT, "answers to requests could not be read back");
    }
    if (records) weir_mem.realloc(records, 0);
    return status;
}

weir_status weir_answered_read(weir_answered *answered, weir_consumer *asker, const char *brokers, weir_clock *clock, const char *predictions_topic,
                               int32_t partition, int64_t first_offset, int64_t since_ms, weir_err *err) {
    weir_partition from = {.topic = predictions_topic, .partition = partition};
    weir_consumer *consumer = NULL;
    int64_t first = 0, end = 0, now_ms = weir_clock_wall_us(clock) / 1000;
    int64_t asked_ms = (since_ms > 0 && since_ms < now_ms ? since_ms : now_ms) - APART_MS;
    weir_answered_forget(answered);
    weir_status status = weir_consumer_range(asker, predictions_topic, partition, &first, &end, ASK_TIMEOUT_MS, err);
    from.offset = since_ms > 0 && asked_ms > 0 ? asked_ms : 0;
    if (!status) status = weir_consumer_at(asker, &from, 1, ASK_TIMEOUT_MS, err);
    bool none = !status && (from.offset < 0 || from.offset >= end);
    if (from.offset < first) from.offset = first;
    if (!status && !none) status = weir_consumer_new_assigned(brokers, &from, 1, &consumer, err);
    if (!status && !none) status = read_until(answered, consumer, clock, first_offset, end, err);
    weir_consumer_free(consumer);
    if (status)
        weir_answered_forget(answered);
    else
        answered->known = true;
    return status;
}
