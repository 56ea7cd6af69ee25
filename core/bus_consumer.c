/* The consumer: batches off librdkafka's consumer queue, with a table of the held partitions beside it.
 *
 * Three things of librdkafka 2.0.2 shape this file:
 * - rd_kafka_consume_batch_queue lingers until the batch is full, and a rebalance served in the middle of it leaves records of lost partitions in the batch. Records
 *   are therefore taken one by one (measured: no slower) and those taken before a rebalance are dropped.
 * - Pausing forgets fetched records and goes on after the last record handed out; with none handed out yet it goes on after the last *fetched* one. So every start
 *   offset is made explicit, and pausing is always followed by a seek to the position.
 * - Resuming a partition that is not paused drops records. So each partition's state is kept, and partitions that arrive during a pause are started after it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bus_internal.h"
#include "core/mem.h"

enum { ASK_TIMEOUT_MS = 5000, SEEK_TIMEOUT_MS = 5000, TOPICS_MAX = 256 };

typedef struct held {
    const char *topic; /* the consumer's own copy */
    int topic_index;
    int32_t partition;
    int64_t position; /* next to be handed out; RD_KAFKA_OFFSET_BEGINNING before the first record of a partition without a start offset */
    bool paused; /* by weir_consumer_pause_all */
    const rd_kafka_topic_t *handle; /* of its records, once one was seen: makes finding it a comparison */
} held;

struct weir_consumer {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    weir_consumer_events events;
    char **topics;
    int topic_count;
    bool in_group;
    held *held;
    int held_count;
    int last; /* index of the partition that the last record was of */
    /* Partitions that the group gave but that are not read yet: `assigned` failed, or everything is paused. */
    rd_kafka_topic_partition_list_t *waiting;
    bool paused;
    bool rebalanced; /* since the flag was cleared */
    weir_status callback_status;
    weir_err callback_err;
};

/* ---- the table ---- */

static int topic_index_of(const weir_consumer *consumer, const char *topic) {
    for (int i = 0; i < consumer->topic_count; i++)
        if (!strcmp(consumer->topics[i], topic)) return i;
    return -1;
}

static held *find_held(weir_consumer *consumer, const char *topic, int32_t partition) {
    for (int i = 0; i < consumer->held_count; i++)
        if (consumer->held[i].partition == partition && !strcmp(consumer->held[i].topic, topic)) return &consumer->held[i];
    return NULL;
}

static held *held_of(weir_consumer *consumer, const rd_kafka_message_t *message) {
    held *h = consumer->last < consumer->held_count ? &consumer->held[consumer->last] : NULL;
    if (h && h->handle == message->rkt && h->partition == message->partition) return h;
    h = find_held(consumer, rd_kafka_topic_name(message->rkt), message->partition);
    if (!h) return NULL;
    h->handle = message->rkt;
    consumer->last = (int)(h - consumer->held);
    return h;
}

static void drop_held(weir_consumer *consumer) {
    (void)weir_mem.realloc(consumer->held, 0);
    consumer->held = NULL;
    consumer->held_count = 0;
    consumer->last = 0;
}

/* Replaces the table by the list; its offsets are where reading starts. */
static weir_status take_held(weir_consumer *consumer, const rd_kafka_topic_partition_list_t *list, weir_err *err) {
    held *table = weir_mem.realloc(NULL, (size_t)list->cnt * sizeof *table + 1);
    if (!table) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for partitions");
    int n = 0;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        int index = topic_index_of(consumer, p->topic);
        if (index < 0) continue;
        table[n++] = (held){.topic = consumer->topics[index], .topic_index = index, .partition = p->partition, .position = p->offset};
    }
    drop_held(consumer);
    consumer->held = table;
    consumer->held_count = n;
    return WEIR_OK;
}

/* ---- assignment ---- */

/* Puts into the list where each partition starts: what is committed, else its beginning. */
static weir_status ask_committed(weir_consumer *consumer, rd_kafka_topic_partition_list_t *list, weir_err *err) {
    rd_kafka_resp_err_t error = rd_kafka_committed(consumer->client, list, ASK_TIMEOUT_MS);
    for (int i = 0; !error && i < list->cnt; i++) error = list->elems[i].err;
    if (error) return weir_bus_fail(err, __func__, error, "committed offsets of", list->cnt ? list->elems[0].topic : "nothing");
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].offset < 0) list->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
    return WEIR_OK;
}

static weir_partition *to_partitions(const weir_consumer *consumer, const rd_kafka_topic_partition_list_t *list) {
    weir_partition *partitions = weir_mem.realloc(NULL, (size_t)list->cnt * sizeof *partitions + 1);
    for (int i = 0; partitions && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        int index = topic_index_of(consumer, p->topic);
        partitions[i] = (weir_partition){index < 0 ? p->topic : consumer->topics[index], index, p->partition, p->offset < 0 ? -1 : p->offset};
    }
    return partitions;
}

static weir_status tell_assigned(weir_consumer *consumer, rd_kafka_topic_partition_list_t *list, weir_err *err) {
    if (!consumer->events.assigned) return WEIR_OK;
    weir_partition *partitions = to_partitions(consumer, list);
    if (!partitions) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for partitions");
    weir_status status = consumer->events.assigned(consumer->events.context, partitions, (size_t)list->cnt, err);
    for (int i = 0; !status && i < list->cnt; i++) list->elems[i].offset = partitions[i].offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : partitions[i].offset;
    (void)weir_mem.realloc(partitions, 0);
    return status;
}

static weir_status assign(weir_consumer *consumer, const rd_kafka_topic_partition_list_t *list, weir_err *err) {
    weir_status status = take_held(consumer, list, err);
    if (status) return status;
    rd_kafka_resp_err_t error = rd_kafka_assign(consumer->client, list);
    if (!error) return WEIR_OK;
    drop_held(consumer);
    return weir_bus_fail(err, __func__, error, "assignment of", list->cnt ? list->elems[0].topic : "nothing");
}

/* Starts the waiting partitions; they go on waiting when something about it fails. */
static weir_status start_waiting(weir_consumer *consumer, weir_err *err) {
    rd_kafka_topic_partition_list_t *list = consumer->waiting;
    if (!list || consumer->paused) return WEIR_OK;
    weir_status status = ask_committed(consumer, list, err);
    if (!status) status = tell_assigned(consumer, list, err);
    if (!status) status = assign(consumer, list, err);
    if (status) return status;
    rd_kafka_topic_partition_list_destroy(list);
    consumer->waiting = NULL;
    return WEIR_OK;
}

static weir_status tell_revoked(weir_consumer *consumer, const rd_kafka_topic_partition_list_t *list, weir_err *err) {
    if (!consumer->events.revoked || !list->cnt) return WEIR_OK;
    weir_partition *partitions = to_partitions(consumer, list);
    if (!partitions) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for partitions");
    for (int i = 0; i < list->cnt; i++) {
        const held *h = find_held(consumer, partitions[i].topic, partitions[i].partition);
        partitions[i].offset = h && h->position >= 0 ? h->position : -1;
    }
    bool lost = rd_kafka_assignment_lost(consumer->client);
    weir_status status = consumer->events.revoked(consumer->events.context, partitions, (size_t)list->cnt, lost, err);
    (void)weir_mem.realloc(partitions, 0);
    return status;
}

static void forget_waiting(weir_consumer *consumer) {
    if (consumer->waiting) rd_kafka_topic_partition_list_destroy(consumer->waiting);
    consumer->waiting = NULL;
}

/* librdkafka keeps a partition's pause over its revocation: one that comes back later would stay silent for ever. */
static void lift_pauses(weir_consumer *consumer) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(consumer->held_count);
    for (int i = 0; i < consumer->held_count; i++)
        if (consumer->held[i].paused) (void)rd_kafka_topic_partition_list_add(list, consumer->held[i].topic, consumer->held[i].partition);
    if (list->cnt) (void)rd_kafka_resume_partitions(consumer->client, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The eager protocol: everything is revoked, then everything is assigned anew. Runs inside poll (or close), on the polling thread. */
static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t *list, void *opaque) {
    weir_consumer *consumer = opaque;
    weir_err err = {0};
    weir_status status = WEIR_OK;
    consumer->rebalanced = true;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        forget_waiting(consumer);
        consumer->waiting = rd_kafka_topic_partition_list_copy(list);
        status = start_waiting(consumer, &err);
        /* librdkafka waits for an answer: nothing for now. */
        if (consumer->waiting) (void)rd_kafka_assign(client, NULL);
    } else {
        if (!consumer->waiting) status = tell_revoked(consumer, list, &err);
        /* Before the next owner asks for it. When it fails, the next owner repeats what was not committed, which sinks can take. */
        if (!rd_kafka_assignment_lost(client)) (void)rd_kafka_commit(client, NULL, 0);
        forget_waiting(consumer);
        lift_pauses(consumer);
        (void)rd_kafka_assign(client, NULL);
        drop_held(consumer);
    }
    if (status && !consumer->callback_status) {
        consumer->callback_status = status;
        consumer->callback_err = err;
    }
}

/* ---- life ---- */

static weir_status copy_topics(weir_consumer *consumer, const char *const *topics, size_t count, weir_err *err) {
    if (count > TOPICS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "a consumer reads at most %d topics, not %zu", TOPICS_MAX, count);
    consumer->topics = weir_mem.realloc(NULL, count * sizeof *consumer->topics + 1);
    if (!consumer->topics) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(topics[i]) + 1;
        char *copy = weir_mem.realloc(NULL, len);
        if (!copy) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
        consumer->topics[consumer->topic_count++] = memcpy(copy, topics[i], len);
    }
    return WEIR_OK;
}

/* group NULL: no member of a group. librdkafka wants a name for its handler of assignments all the same; nothing is committed under it. */
static weir_status open_consumer(const char *brokers, const char *group, const char *const *topics, size_t topic_count, const weir_consumer_events *events,
                                 weir_consumer **ret_consumer, weir_err *err) {
    const weir_bus_setting settings[] = {
        {"client.id", group ? group : "weir-tail"},
        {"group.id", group ? group : "weir-tail"},
        {"partition.assignment.strategy", "range"},
        {"enable.auto.offset.store", "false"},
        {"enable.auto.commit", group ? "true" : "false"},
        {"auto.commit.interval.ms", "1000"},
        {"auto.offset.reset", "earliest"},
        {"session.timeout.ms", "10000"},
        {"heartbeat.interval.ms", "1000"},
        {"fetch.wait.max.ms", "20"},
        {"fetch.error.backoff.ms", "10"},
        /* Small pieces of each partition in turn: a backlog is then read with its partitions side by side, not one far ahead of the others in event time. */
        {"max.partition.fetch.bytes", "131072"},
        {"queued.min.messages", "200000"},
        {"queued.max.messages.kbytes", "65536"},
        {NULL, NULL},
    };
    weir_consumer *consumer = weir_mem.realloc(NULL, sizeof *consumer);
    if (!consumer) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a consumer");
    *consumer = (weir_consumer){.in_group = group != NULL};
    if (events) consumer->events = *events;
    weir_status status = copy_topics(consumer, topics, topic_count, err);
    if (!status) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_conf_set_opaque(conf, consumer);
        if (group) rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
        status = weir_bus_client_new(RD_KAFKA_CONSUMER, brokers, conf, settings, &consumer->client, err);
    }
    if (status) {
        weir_consumer_free(consumer);
        return status;
    }
    (void)rd_kafka_poll_set_consumer(consumer->client);
    consumer->queue = rd_kafka_queue_get_consumer(consumer->client);
    *ret_consumer = consumer;
    return WEIR_OK;
}

weir_status weir_consumer_new(const char *brokers, const char *group, const char *const *topics, size_t topic_count, const weir_consumer_events *events,
                              weir_consumer **ret_consumer, weir_err *err) {
    weir_consumer *consumer;
    weir_status status = open_consumer(brokers, group, topics, topic_count, events, &consumer, err);
    if (status) return status;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topic_count);
    for (size_t i = 0; i < topic_count; i++) (void)rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(consumer->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error) {
        weir_consumer_free(consumer);
        return weir_bus_fail(err, __func__, error, "subscription to", topic_count ? topics[0] : "no topic");
    }
    *ret_consumer = consumer;
    return WEIR_OK;
}

/* The end is asked for now, so that a record written after this call is read for sure. */
static weir_status add_tail_topic(weir_consumer *consumer, const char *topic, bool from_end, rd_kafka_topic_partition_list_t *list, weir_err *err) {
    int count = 0;
    weir_status status = weir_bus_ask_partitions(consumer->client, topic, ASK_TIMEOUT_MS, &count, err);
    for (int i = 0; !status && i < count; i++) {
        int64_t first, end = RD_KAFKA_OFFSET_BEGINNING;
        rd_kafka_resp_err_t error =
            from_end ? rd_kafka_query_watermark_offsets(consumer->client, topic, i, &first, &end, ASK_TIMEOUT_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
        if (error) status = weir_bus_fail(err, __func__, error, "end of topic", topic);
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = end;
    }
    return status;
}

weir_status weir_consumer_new_tail(const char *brokers, const char *const *topics, size_t topic_count, bool from_end, weir_consumer **ret_consumer,
                                   weir_err *err) {
    weir_consumer *consumer;
    weir_status status = open_consumer(brokers, NULL, topics, topic_count, NULL, &consumer, err);
    if (status) return status;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; !status && i < topic_count; i++) status = add_tail_topic(consumer, topics[i], from_end, list, err);
    if (!status) status = assign(consumer, list, err);
    rd_kafka_topic_partition_list_destroy(list);
    if (status)
        weir_consumer_free(consumer);
    else
        *ret_consumer = consumer;
    return status;
}

/* Topics in the order of their first partition; topic_index of the given partitions is what counts. */
weir_status weir_consumer_new_assigned(const char *brokers, const weir_partition *partitions, size_t count, weir_consumer **ret_consumer, weir_err *err) {
    const char *topics[TOPICS_MAX] = {NULL};
    size_t topic_count = 0;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < topic_count && strcmp(topics[k], partitions[i].topic)) k++;
        if (k == TOPICS_MAX) {
            rd_kafka_topic_partition_list_destroy(list);
            return WEIR_FAIL(err, WEIR_ELIMIT, "a consumer reads at most %d topics", TOPICS_MAX);
        }
        if (k == topic_count) topics[topic_count++] = partitions[i].topic;
        rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)->offset =
            partitions[i].offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : partitions[i].offset;
    }
    weir_consumer *consumer = NULL;
    weir_status status = open_consumer(brokers, NULL, topics, topic_count, NULL, &consumer, err);
    if (!status) status = assign(consumer, list, err);
    rd_kafka_topic_partition_list_destroy(list);
    for (size_t i = 0; !status && i < count; i++) {
        held *h = find_held(consumer, partitions[i].topic, partitions[i].partition);
        if (h) h->topic_index = partitions[i].topic_index;
    }
    if (status)
        weir_consumer_free(consumer);
    else
        *ret_consumer = consumer;
    return status;
}

void weir_consumer_free(weir_consumer *consumer) {
    if (!consumer) return;
    if (consumer->queue) rd_kafka_queue_destroy(consumer->queue);
    if (consumer->client) {
        (void)rd_kafka_consumer_close(consumer->client);
        rd_kafka_destroy(consumer->client);
    }
    forget_waiting(consumer);
    drop_held(consumer);
    for (int i = 0; i < consumer->topic_count; i++) (void)weir_mem.realloc(consumer->topics[i], 0);
    (void)weir_mem.realloc(consumer->topics, 0);
    (void)weir_mem.realloc(consumer, 0);
}

/* ---- records ---- */

static void fill_record(held *h, rd_kafka_message_t *message, weir_bus_record *record) {
    *record = (weir_bus_record){
        .topic = h->topic,
        .topic_index = h->topic_index,
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
        .key = message->key,
        .key_len = message->key_len,
        .value = message->payload,
        .value_len = message->len,
        .raw = message,
    };
    h->position = message->offset + 1;
}

/* The next record of a held partition. False when there is none within the time; callbacks run in here. */
static bool next_record(weir_consumer *consumer, int timeout_ms, weir_bus_record *record) {
    rd_kafka_message_t *message;
    while (rd_kafka_consume_batch_queue(consumer->queue, timeout_ms, &message, 1) == 1) {
        held *h = message->err ? NULL : held_of(consumer, message);
        if (h) {
            fill_record(h, message, record);
            return true;
        }
        /* A broker or topic that is away, told as a message: librdkafka goes on trying by itself. */
        rd_kafka_message_destroy(message);
        timeout_ms = 0;
    }
    return false;
}

/* What a callback said. Records that came after it are handed out first: dropping them would lose them. */
static weir_status callback_result(weir_consumer *consumer, size_t count, weir_err *err) {
    weir_status status = consumer->callback_status;
    if (!status || count) return WEIR_OK;
    if (err) *err = consumer->callback_err;
    consumer->callback_status = WEIR_OK;
    return status;
}

weir_status weir_consumer_poll(weir_consumer *consumer, weir_bus_record *records, size_t max, int timeout_ms, size_t *ret_count, weir_err *err) {
    size_t count = 0;
    bool rebalanced = false;
    *ret_count = 0;
    while (count < max) {
        consumer->rebalanced = false;
        bool got = next_record(consumer, count || consumer->callback_status ? 0 : timeout_ms, &records[count]);
        rebalanced |= consumer->rebalanced;
        if (consumer->rebalanced && count) {
            /* What was taken before belongs to the assignment that ended. */
            weir_consumer_release(consumer, records, count);
            if (got) records[0] = records[count];
            count = 0;
        }
        if (!got) break;
        count++;
    }
    char fatal[256];
    weir_status status = callback_result(consumer, count, err);
    if (!status && !count && rd_kafka_fatal_error(consumer->client, fatal, sizeof fatal))
        status = WEIR_FAIL(err, WEIR_ENET, "the consumer cannot go on: %s", fatal);
    if (!status && consumer->waiting && !rebalanced) status = start_waiting(consumer, err);
    if (!status) *ret_count = count;
    return status;
}

void weir_consumer_release(weir_consumer *consumer, weir_bus_record *records, size_t count) {
    (void)consumer;
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_destroy(records[i].raw);
        records[i].raw = NULL;
    }
}

bool weir_bus_header_get(const weir_bus_record *record, const char *name, weir_bus_header *ret_header) {
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(record->raw, &headers) || rd_kafka_header_get_last(headers, name, &value, &len)) return false;
    *ret_header = (weir_bus_header){name, value, len};
    return true;
}

bool weir_bus_header_at(const weir_bus_record *record, size_t i, weir_bus_header *ret_header) {
    rd_kafka_headers_t *headers;
    return !rd_kafka_message_headers(record->raw, &headers) && !rd_kafka_header_get_all(headers, i, &ret_header->name, &ret_header->value, &ret_header->len);
}

/* ---- offsets ---- */

static weir_status not_held(const char *topic, int32_t partition, weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOTFOUND, "partition %d of topic %s is not held", partition, topic);
}

weir_status weir_consumer_store(weir_consumer *consumer, const char *topic, int32_t partition, int64_t next_offset, weir_err *err) {
    if (!find_held(consumer, topic, partition)) return not_held(topic, partition, err);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = next_offset;
    rd_kafka_resp_err_t error = rd_kafka_offsets_store(consumer->client, list);
    if (error && list->elems[0].err) error = list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    return error ? weir_bus_fail(err, __func__, error, "storing the offset of", topic) : WEIR_OK;
}

weir_status weir_consumer_commit(weir_consumer *consumer, weir_err *err) {
    rd_kafka_resp_err_t error = rd_kafka_commit(consumer->client, NULL, 0);
    if (!error || error == RD_KAFKA_RESP_ERR__NO_OFFSET) return WEIR_OK;
    return weir_bus_fail(err, __func__, error, "committing offsets of", consumer->topic_count ? consumer->topics[0] : "nothing");
}

/* librdkafka answers once fetching goes on from there; from this call on, records fetched before are outdated. (rd_kafka_seek_partitions takes its time-out for
 * microseconds in this version.) */
static weir_status seek_to(weir_consumer *consumer, held *h, int64_t offset, weir_err *err) {
    rd_kafka_topic_t *handle = rd_kafka_topic_new(consumer->client, h->topic, NULL);
    rd_kafka_resp_err_t error = handle ? rd_kafka_seek(handle, h->partition, offset, SEEK_TIMEOUT_MS) : rd_kafka_last_error();
    if (handle) rd_kafka_topic_destroy(handle);
    if (error) return weir_bus_fail(err, __func__, error, "seeking in", h->topic);
    h->position = offset;
    return WEIR_OK;
}

weir_status weir_consumer_seek(weir_consumer *consumer, const char *topic, int32_t partition, int64_t offset, weir_err *err) {
    held *h = find_held(consumer, topic, partition);
    return h ? seek_to(consumer, h, offset, err) : not_held(topic, partition, err);
}

static weir_status set_paused(weir_consumer *consumer, held *h, bool paused, weir_err *err) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, h->topic, h->partition);
    rd_kafka_resp_err_t error = paused ? rd_kafka_pause_partitions(consumer->client, list) : rd_kafka_resume_partitions(consumer->client, list);
    if (!error) error = list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    if (error) return weir_bus_fail(err, __func__, error, paused ? "pausing" : "resuming", h->topic);
    h->paused = paused;
    return paused ? seek_to(consumer, h, h->position, err) : WEIR_OK;
}

weir_status weir_consumer_pause_all(weir_consumer *consumer, weir_err *err) {
    consumer->paused = true;
    weir_status first = WEIR_OK;
    for (int i = 0; i < consumer->held_count; i++) {
        if (consumer->held[i].paused) continue;
        weir_status status = set_paused(consumer, &consumer->held[i], true, first ? NULL : err);
        if (!first) first = status;
    }
    return first;
}

weir_status weir_consumer_resume_all(weir_consumer *consumer, weir_err *err) {
    consumer->paused = false;
    weir_status first = WEIR_OK;
    for (int i = 0; i < consumer->held_count; i++) {
        if (!consumer->held[i].paused) continue;
        weir_status status = set_paused(consumer, &consumer->held[i], false, first ? NULL : err);
        if (!first) first = status;
    }
    return first;
}

size_t weir_consumer_assignment(weir_consumer *consumer, weir_partition *partitions, size_t max) {
    for (int i = 0; i < consumer->held_count && (size_t)i < max; i++) {
        const held *h = &consumer->held[i];
        partitions[i] = (weir_partition){h->topic, h->topic_index, h->partition, h->position < 0 ? -1 : h->position};
    }
    return (size_t)consumer->held_count;
}

int64_t weir_consumer_end_cached(weir_consumer *consumer, const char *topic, int32_t partition) {
    int64_t first, end;
    rd_kafka_resp_err_t error = rd_kafka_get_watermark_offsets(consumer->client, topic, partition, &first, &end);
    return error || end < 0 ? -1 : end;
}

weir_status weir_consumer_range(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_first, int64_t *ret_end, int timeout_ms,
                                weir_err *err) {
    int64_t first, end;
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(consumer->client, topic, partition, &first, &end, timeout_ms);
    if (error) return weir_bus_fail(err, __func__, error, "range of topic", topic);
    *ret_first = first;
    *ret_end = end;
    return WEIR_OK;
}

weir_status weir_consumer_ends(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) {
    if (!count) return WEIR_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    /* Asked for the offset at a time, the protocol takes -1 for the end. */
    for (size_t i = 0; i < count; i++) rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)->offset = RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(consumer->client, list, timeout_ms);
    weir_status status = error ? weir_bus_fail(err, __func__, error, "ends of", partitions[0].topic) : WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        const rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_find(list, partitions[i].topic, partitions[i].partition);
        if (!p || p->err)
            status = weir_bus_fail(err, __func__, p ? p->err : RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "end of", partitions[i].topic);
        else
            partitions[i].offset = p->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}
