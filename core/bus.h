/* Kafka over librdkafka: topics, an idempotent producer, a consumer that hands out batches. */
#ifndef WEIR_CORE_BUS_H
#define WEIR_CORE_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

typedef struct weir_bus_header {
    const char *name; /* NUL-terminated */
    const void *value;
    size_t len;
} weir_bus_header;

/* A consumed record; everything is borrowed until the batch is released. */
typedef struct weir_bus_record {
    const char *topic;
    int topic_index; /* into the consumer's topic list */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* Kafka's record timestamp */
    const void *key; /* NULL when there is none */
    size_t key_len;
    const void *value; /* NULL for a tombstone */
    size_t value_len;
    void *raw; /* rd_kafka_message_t */
} weir_bus_record;

/** The record's timestamp in microseconds. Whoever writes the record sets it, to anything: what is out of range is the end of the range. */
static inline int64_t weir_bus_time_us(const weir_bus_record *record) {
    return record->timestamp_ms > INT64_MAX / 1000 ? INT64_MAX : record->timestamp_ms < INT64_MIN / 1000 ? INT64_MIN : record->timestamp_ms * 1000;
}

/** Header of a consumed record by name (the last of that name); false when it has none. */
bool weir_bus_header_get(const weir_bus_record *record, const char *name, weir_bus_header *ret_header);
/** The i-th header; false past the end. */
bool weir_bus_header_at(const weir_bus_record *record, size_t i, weir_bus_header *ret_header);

/* ---- admin ---- */
typedef struct weir_topic_spec {
    const char *name;
    int partitions;
    bool compact;
    int64_t retention_ms; /* -1: for ever */
    int64_t max_message_bytes; /* 0: the broker's */
} weir_topic_spec;
/** Creates what is absent; a topic that exists with another partition count is WEIR_ECONFLICT FATAL naming both counts. Broker away: RETRY. */
weir_status weir_bus_topics_create(const char *brokers, const weir_topic_spec *specs, size_t count, weir_err *err) WEIR_MUST_CHECK;
/** Deletes what exists and waits until it is gone. */
weir_status weir_bus_topics_delete(const char *brokers, const char *const *names, size_t count, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_bus_groups_delete(const char *brokers, const char *const *groups, size_t count, weir_err *err) WEIR_MUST_CHECK;
/** How many members a consumer group has now; one that was killed counts until its session ends. 0 for a group that does not exist. */
weir_status weir_bus_group_members(const char *brokers, const char *group, int *ret_count, weir_err *err) WEIR_MUST_CHECK;
/** Partition count of a topic; WEIR_ENOTFOUND when there is no such topic. */
weir_status weir_bus_partitions(const char *brokers, const char *topic, int *ret_count, weir_err *err) WEIR_MUST_CHECK;
/** Kafka's default partitioner (murmur2 of the key, sign bit cleared, modulo), as Java clients use. librdkafka producers are set to the same. */
int32_t weir_bus_partition_of(const void *key, size_t key_len, int partition_count);

/* ---- producer: idempotent, acks=all; thread-safe ---- */
/** How all producers that are made from now on compress their batches: "none", "lz4" (at first), "zstd", "snappy" or "gzip". Not thread-safe: for the start of a process.
 *  The text is kept, not copied. */
void weir_bus_set_compression(const char *codec);
typedef struct weir_producer weir_producer;
weir_status weir_producer_new(const char *brokers, const char *client_id, weir_producer **ret_producer, weir_err *err) WEIR_MUST_CHECK;
/** As weir_producer_new, but an outage of the broker never makes it give a record up: for producers that must not send a record twice and so cannot send it again. */
weir_status weir_producer_new_patient(const char *brokers, const char *client_id, weir_producer **ret_producer, weir_err *err) WEIR_MUST_CHECK;
/** Records that are queued or under way, neither acknowledged nor failed. */
size_t weir_producer_pending(weir_producer *producer);
void weir_producer_free(weir_producer *producer);
/** Queues one record (bytes are copied). partition -1: by key. timestamp_ms 0: now. A full queue waits for room (bounded), then RETRY. */
weir_status weir_producer_send(weir_producer *producer, const char *topic, int32_t partition, const void *key, size_t key_len, const void *value,
                               size_t value_len, const weir_bus_header *headers, size_t header_count, int64_t timestamp_ms, weir_err *err) WEIR_MUST_CHECK;
/** A record for weir_producer_send_all: no headers, timestamp now; partition as there. */
typedef struct weir_bus_out {
    const void *key, *value;
    size_t key_len, value_len;
    int32_t partition;
} weir_bus_out;
/** Many records to one topic, in their order, for less than as many calls of weir_producer_send. When it fails, some of them
 *  are queued and some are not. */
weir_status weir_producer_send_all(weir_producer *producer, const char *topic, const weir_bus_out *records, size_t count, weir_err *err) WEIR_MUST_CHECK;
/** Waits until everything sent so far by anybody is acknowledged. An undelivered record since the last flush: RETRY (or FATAL when librdkafka says so), naming topic and reason.
 *  After a RETRY the queue is purged: the caller sends its batch again. */
weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) WEIR_MUST_CHECK;
/** Sends what waits for its batch to fill; for a sender that has nothing to add for now. Takes at most a millisecond, less when everything is acknowledged sooner. */
void weir_producer_push(weir_producer *producer);

/* ---- consumer ---- */
typedef struct weir_consumer weir_consumer;
typedef struct weir_partition {
    const char *topic;
    int topic_index;
    int32_t partition;
    int64_t offset; /* next to read; -1: committed or beginning */
} weir_partition;

/* Called from weir_consumer_poll, on the polling thread. assigned may change offset of each partition (e.g. to what its store says). An error fails the poll. */
typedef struct weir_consumer_events {
    weir_status (*assigned)(void *context, weir_partition *partitions, size_t count, weir_err *err);
    weir_status (*revoked)(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err);
    void *context;
} weir_consumer_events;

/** A member of a consumer group: range assignor (so that partitions of co-partitioned topics stay together), no auto store, stored offsets committed every second and on close,
 *  from the beginning where nothing is committed. events may be NULL. */
weir_status weir_consumer_new(const char *brokers, const char *group, const char *const *topics, size_t topic_count, const weir_consumer_events *events,
                              weir_consumer **ret_consumer, weir_err *err) WEIR_MUST_CHECK;
/** No group: reads every partition of the topics from the beginning (or from the end). Used by replicas and tails. */
weir_status weir_consumer_new_tail(const char *brokers, const char *const *topics, size_t topic_count, bool from_end, weir_consumer **ret_consumer,
                                   weir_err *err) WEIR_MUST_CHECK;
/** A tail that reads just these partitions from their offsets. */
weir_status weir_consumer_new_assigned(const char *brokers, const weir_partition *partitions, size_t count, weir_consumer **ret_consumer,
                                       weir_err *err) WEIR_MUST_CHECK;
void weir_consumer_free(weir_consumer *consumer); /* leaves the group, commits what is stored */

/** Up to max records, after at most timeout_ms; *ret_count may be 0. Records are borrowed until weir_consumer_release. Broker away is not an error: it returns 0 records
 *  and keeps trying. Fatal client errors are FATAL. */
weir_status weir_consumer_poll(weir_consumer *consumer, weir_bus_record *records, size_t max, int timeout_ms, size_t *ret_count, weir_err *err) WEIR_MUST_CHECK;
void weir_consumer_release(weir_consumer *consumer, weir_bus_record *records, size_t count);
/** Marks records before `offset` of the partition as done; committed in the background. */
weir_status weir_consumer_store(weir_consumer *consumer, const char *topic, int32_t partition, int64_t next_offset, weir_err *err) WEIR_MUST_CHECK;
/** Commits what is stored, now. */
weir_status weir_consumer_commit(weir_consumer *consumer, weir_err *err) WEIR_MUST_CHECK;
/** Asks the group whether this consumer is a member still, by committing that what is before the record is done. It is one for another 10 s when the call
 *  returns WEIR_OK. RETRY: the group goes on without it, or did not answer in time. */
weir_status weir_consumer_confirm(weir_consumer *consumer, const weir_bus_record *record, weir_err *err) WEIR_MUST_CHECK;
/* Partitions of one topic are handed out side by side in time, however far one is ahead in the order of fetching (core/bus_align.c says how, and whom they wait for). */
typedef struct weir_alignment {
    /** The time of a record; false: it has none, or one that must not count. Called on the polling thread, once a record. */
    bool (*time_of)(void *context, const weir_bus_record *record, int64_t *ret_time_us);
    void *context;
    int64_t slack_us; /* how far one partition may be ahead of another */
    int64_t live_us; /* a record whose time is not longer ago than this waits for no partition that is at its end */
} weir_alignment;
/** Of a topic's partitions, from now on. Their positions are those of what was handed out. Changes nothing for a partition that is held alone, or for a topic that is not
 *  read. */
weir_status weir_consumer_align(weir_consumer *consumer, const char *topic, const weir_alignment *alignment, weir_err *err) WEIR_MUST_CHECK;
/** Goes back (or on) to offset; fetched records before it are dropped. */
weir_status weir_consumer_seek(weir_consumer *consumer, const char *topic, int32_t partition, int64_t offset, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_consumer_pause_all(weir_consumer *consumer, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_consumer_resume_all(weir_consumer *consumer, weir_err *err) WEIR_MUST_CHECK;
/** Partitions held now; returns how many there are, fills at most max. offset is the position (next to be read), -1 when nothing was read. */
size_t weir_consumer_assignment(weir_consumer *consumer, weir_partition *partitions, size_t max);
/** Newest known end of a held partition without a network call (-1 unknown). */
int64_t weir_consumer_end_cached(weir_consumer *consumer, const char *topic, int32_t partition);
/** Puts the next-to-be-written offset of each partition into its offset: one request a broker. */
weir_status weir_consumer_ends(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) WEIR_MUST_CHECK;
/** As weir_consumer_ends, the offset of its first record. */
weir_status weir_consumer_firsts(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) WEIR_MUST_CHECK;
/** Of each partition, whose offset is a time in milliseconds, the offset of the first record with that timestamp or a later one; -1 where there is none. */
weir_status weir_consumer_at(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) WEIR_MUST_CHECK;
/** First and next-to-be-written offset, asked of the broker. */
weir_status weir_consumer_range(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_first, int64_t *ret_end, int timeout_ms,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
