/* Counting records of topics; see topic_count.h. */
#include "cli/topic_count.h"

#include <stdio.h>

#include "core/bus.h"
#include "core/clock.h"

enum { RANGE_TIMEOUT_MS = 10000, POLL_MS = 200, BATCH = 256 };
#define PATIENCE_US (20 * WEIR_SECOND_US)

static weir_status count_with(weir_consumer *consumer, const char *brokers, const char *topic, int64_t *ret_count, weir_err *err) {
    int partitions = 0;
    int64_t total = 0;
    weir_status status = weir_bus_partitions(brokers, topic, &partitions, err);
    for (int p = 0; !status && p < partitions; p++) {
        int64_t first = 0, end = 0;
        status = weir_consumer_range(consumer, topic, p, &first, &end, RANGE_TIMEOUT_MS, err);
        total += end - first;
    }
    if (!status) *ret_count = total;
    return status;
}

weir_status weir_topic_count(const char *brokers, const char *topic, int64_t *ret_count, weir_err *err) {
    weir_consumer *consumer = NULL;
    weir_status status = weir_consumer_new_tail(brokers, &topic, 1, true, &consumer, err);
    if (!status) status = count_with(consumer, brokers, topic, ret_count, err);
    weir_consumer_free(consumer);
    return status;
}

static void add_class(const weir_bus_record *record, weir_report_counts *counts) {
    weir_bus_header header;
    char name[64] = "unknown";
    if (weir_bus_header_get(record, "weir.error.class", &header)) snprintf(name, sizeof name, "%.*s", (int)header.len, (const char *)header.value);
    weir_report_count(counts, name, 1);
}

static weir_status read_all(weir_consumer *consumer, int64_t wanted, weir_report_counts *counts, weir_err *err) {
    weir_clock *clock = weir_clock_system();
    weir_bus_record records[BATCH];
    int64_t moved_us = weir_clock_mono_us(clock);
    for (int64_t got = 0; got < wanted;) {
        size_t count = 0;
        weir_status status = weir_consumer_poll(consumer, records, BATCH, POLL_MS, &count, err);
        if (status) return status;
        for (size_t i = 0; i < count; i++) add_class(&records[i], counts);
        if (count) {
            weir_consumer_release(consumer, records, count);
            got += (int64_t)count;
            moved_us = weir_clock_mono_us(clock);
        } else if (weir_clock_mono_us(clock) - moved_us > PATIENCE_US) {
            return WEIR_RETRY(err, WEIR_ETIMEOUT, "only %lld of %lld dead letters could be read", (long long)got, (long long)wanted);
        }
    }
    return WEIR_OK;
}

weir_status weir_deadletters_count(const char *brokers, const char *topic, weir_report_counts *counts, weir_err *err) {
    weir_consumer *consumer = NULL;
    int64_t wanted = 0;
    weir_status status = weir_consumer_new_tail(brokers, &topic, 1, false, &consumer, err);
    if (!status) status = count_with(consumer, brokers, topic, &wanted, err);
    if (!status) status = read_all(consumer, wanted, counts, err);
    weir_consumer_free(consumer);
    return status;
}
