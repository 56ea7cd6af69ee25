/* The consumer: batches off the queues of the held partitions.
 *
 *   librdkafka ──events──> the consumer's queue ──> rebalances, errors ┐
 *      │                                                               ├─ each wakes the waiting poll through one eventfd
 *      └──records──> a queue a partition ──[read ahead, if aligned]──> ┘ shares of a batch
 *
 * Things of librdkafka 2.0.2 that shape this file:
 * - A partition's queue that the application has told not to be forwarded stays so, over assignments too. Such queues hold records and errors only: a rebalance is served in the
 *   consumer's queue alone, which a poll empties before it takes a record. So a batch never holds records from before a rebalance, and a queue is emptied in batches.
 * - A queue tells once that it has something, and again only after it was served. So a poll waits only after it has found all queues empty.
 * - Fetching stops by the length of each partition's queue: a partition that is not read costs nothing but that.
 * - Pausing forgets fetched records and goes on after the last record taken from the queue; with none taken yet it goes on after the last *fetched* one. So every start
 *   offset is made explicit, and pausing is always followed by a seek to the position.
 * - Resuming a partition that is not paused drops records. So each partition's state is kept, and partitions that arrive during a pause are started after it.
 * - Where transactions end there are offsets without a record: only librdkafka's own position knows that they were passed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/bus_align.h"
#include "core/bus_internal.h"
#include "core/clock.h"
#include "core/mem.h"

enum { ASK_TIMEOUT_MS = 5000, SEEK_TIMEOUT_MS = 5000, TOPICS_MAX = 256, CHUNK = 256, AHEAD_MAX = 1024, HELD_BACK_MS = 10 };
#define PACE_US INT64_C(500000) /* what a pace is measured over, and after which silence a topic was asleep */

/* Records of an aligned partition that were taken from its queue and are not handed out yet. */
typedef struct ahead {
    rd_kafka_message_t *messages[AHEAD_MAX];
    int64_t times[AHEAD_MAX], keys[AHEAD_MAX];
    int first, count; /* [first, first + count) */
} ahead;

typedef struct held {
    const char *topic; /* the consumer's own copy */
    int topic_index;
    int32_t partition;
    int64_t position; /* next to be handed out; RD_KAFKA_OFFSET_BEGINNING before the first record of a partition without a start offset */
    bool paused; /* by weir_consumer_pause_all */
    rd_kafka_queue_t *queue;
    ahead *ahead; /* NULL: not aligned with others */
    int64_t passed_us, given_at_us; /* see weir_align_leg */
    bool slow;
    int64_t pace_from_us, pace_at_us; /* its time, and when that was */
} held;

typedef struct read_topic {
    char *name;
    bool aligned;
    weir_alignment alignment;
    int64_t given_at_us, woke_at_us; /* see weir_align_rules */
    size_t turn; /* the last in which its aligned partitions gave */
} read_topic;

struct weir_consumer {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue; /* events; no records */
    int wakeups; /* eventfd */
    weir_consumer_events events;
    read_topic *topics;
    int topic_count;
    bool in_group;
    held *held;
    int held_count;
    weir_align_leg *legs; /* [held_count] scratch */
    held **leg_held; /* [held_count] scratch */
    size_t turn; /* whose share comes first */
    bool held_back; /* a record was not handed out, that time alone may release */
    /* Partitions that the group gave but that are not read yet: `assigned` failed, or everything is paused. */
    rd_kafka_topic_partition_list_t *waiting;
    bool paused;
    bool rebalanced; /* since the flag was cleared */
    weir_status callback_status;
    weir_err callback_err;
};

static int64_t mono_us(void) {
    return weir_clock_mono_us(weir_clock_system());
}

/* ---- the table ---- */

static int topic_index_of(const weir_consumer *consumer, const char *topic) {
    for (int i = 0; i < consumer->topic_count; i++)
        if (!strcmp(consumer->topics[i].name, topic)) return i;
    return -1;
}

static held *find_held(weir_consumer *consumer, const char *topic, int32_t partition) {
    for (int i = 0; i < consumer->held_count; i++)
        if (consumer->held[i].partition == partition && !strcmp(consumer->held[i].topic, topic)) return &consumer->held[i];
    return NULL;
}

static void forget_ahead(held *h) {
    for (int i = 0; h->ahead && i < h->ahead->count; i++) rd_kafka_message_destroy(h->ahead->messages[h->ahead->first + i]);
    if (h->ahead) h->ahead->first = h->ahead->count = 0;
}

/* From here on it is as one that was just assigned. */
static void begin_alignment(held *h) {
    forget_ahead(h);
    h->passed_us = h->pace_from_us = WEIR_ALIGN_NO_TIME;
    h->given_at_us = mono_us();
    h->slow = false;
}

/* What a partition's queue holds that is outdated (after a revocation all of it is) is freed when it is met, so this empties it. */
static void empty_queue(rd_kafka_queue_t *queue) {
    rd_kafka_message_t *messages[CHUNK];
    ssize_t count;
    while ((count = rd_kafka_consume_batch_queue(queue, 0, messages, CHUNK)) > 0)
        for (ssize_t i = 0; i < count; i++) rd_kafka_message_destroy(messages[i]);
}

static void done_held(held *table, int count) {
    for (int i = 0; i < count; i++) {
        forget_ahead(&table[i]);
        (void)weir_mem.realloc(table[i].ahead, 0);
        if (!table[i].queue) continue;
        rd_kafka_queue_io_event_enable(table[i].queue, -1, NULL, 0);
        empty_queue(table[i].queue);
        rd_kafka_queue_destroy(table[i].queue);
    }
    (void)weir_mem.realloc(table, 0);
}

/* After the assignment has ended: what was fetched under it is dropped. */
static void drop_held(weir_consumer *consumer) {
    done_held(consumer->held, consumer->held_count);
    (void)weir_mem.realloc(consumer->legs, 0);
    (void)weir_mem.realloc(consumer->leg_held, 0);
    consumer->held = NULL;
    consumer->legs = NULL;
    consumer->leg_held = NULL;
    consumer->held_count = 0;
}

static void enable_wakeups(const weir_consumer *consumer, rd_kafka_queue_t *queue) {
    const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, consumer->wakeups, &one, sizeof one);
}

/* A partition alone has nothing to be aligned with. */
static bool is_aligned(const weir_consumer *consumer, const held *table, int count, int topic_index) {
    int of_topic = 0;
    for (int i = 0; i < count; i++) of_topic += table[i].topic_index == topic_index;
    return consumer->topics[topic_index].aligned && of_topic > 1;
}

static weir_status align_held(const weir_consumer *consumer, held *table, int count, weir_err *err) {
    for (int i = 0; i < count; i++) {
        held *h = &table[i];
        if (h->ahead || !is_aligned(consumer, table, count, h->topic_index)) continue;
        if (!(h->ahead = weir_mem.realloc(NULL, sizeof *h->ahead))) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for partitions");
        h->ahead->first = h->ahead->count = 0;
        begin_alignment(h);
    }
    return WEIR_OK;
}

static weir_status open_held(weir_consumer *consumer, held *table, int count, weir_err *err) {
    for (int i = 0; i < count; i++) {
        held *h = &table[i];
        if (!(h->queue = rd_kafka_queue_get_partition(consumer->client, h->topic, h->partition)))
            return WEIR_FAIL(err, WEIR_ENET, "no queue for partition %d of topic %s", h->partition, h->topic);
        rd_kafka_queue_forward(h->queue, NULL);
        enable_wakeups(consumer, h->queue);
    }
    return align_held(consumer, table, count, err);
}

/* Replaces the table by the list; its offsets are where reading starts. Before the assignment: its records find their queues. */
static weir_status take_held(weir_consumer *consumer, const rd_kafka_topic_partition_list_t *list, weir_err *err) {
    drop_held(consumer);
    held *table = weir_mem.realloc(NULL, (size_t)list->cnt * sizeof *table + 1);
    consumer->legs = weir_mem.realloc(NULL, (size_t)list->cnt * sizeof *consumer->legs + 1);
    consumer->leg_held = weir_mem.realloc(NULL, (size_t)list->cnt * sizeof(held *) + 1);
    int n = 0;
    for (int i = 0; table && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        int index = topic_index_of(consumer, p->topic);
        if (index < 0) continue;
        table[n++] = (held){.topic = consumer->topics[index].name, .topic_index = index, .partition = p->partition, .position = p->offset};
    }
    weir_status status =
        table && consumer->legs && consumer->leg_held ? open_held(consumer, table, n, err) : WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for partitions");
    if (status) {
        if (table) done_held(table, n);
        drop_held(consumer);
        return status;
    }
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
        partitions[i] = (weir_partition){index < 0 ? p->topic : consumer->topics[index].name, index, p->partition, p->offset < 0 ? -1 : p->offset};
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
        consumer->topics[consumer->topic_count++] = (read_topic){.name = memcpy(copy, topics[i], len)};
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
        {"session.timeout.ms", "10000"}, /* the timeouts of producers and WEIR_WORKER_AWAY_MS go by it */
        {"heartbeat.interval.ms", "1000"},
        {"fetch.wait.max.ms", "20"},
        {"fetch.error.backoff.ms", "10"},
        /* Of each partition; too little and the consumer waits for the next fetch. */
        {"queued.min.messages", "100000"},
        {"queued.max.messages.kbytes", "32768"},
        {NULL, NULL},
    };
    weir_consumer *consumer = weir_mem.realloc(NULL, sizeof *consumer);
    if (!consumer) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a consumer");
    *consumer = (weir_consumer){.in_group = group != NULL, .wakeups = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (events) consumer->events = *events;
    weir_status status = consumer->wakeups < 0 ? WEIR_FAIL(err, WEIR_EIO, "no eventfd: %s", strerror(errno)) : copy_topics(consumer, topics, topic_count, err);
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
    enable_wakeups(consumer, consumer->queue);
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
    if (consumer->queue) {
        rd_kafka_queue_io_event_enable(consumer->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(consumer->queue);
    }
    if (consumer->client) (void)rd_kafka_consumer_close(consumer->client);
    forget_waiting(consumer);
    drop_held(consumer);
    if (consumer->client) rd_kafka_destroy(consumer->client);
    if (consumer->wakeups >= 0) (void)close(consumer->wakeups);
    for (int i = 0; i < consumer->topic_count; i++) (void)weir_mem.realloc(consumer->topics[i].name, 0);
    (void)weir_mem.realloc(consumer->topics, 0);
    (void)weir_mem.realloc(consumer, 0);
}

/* ---- records ---- */

static void fill_record(const held *h, rd_kafka_message_t *message, weir_bus_record *record) {
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
}

static void hand_out(held *h, rd_kafka_message_t *message, weir_bus_record *record) {
    fill_record(h, message, record);
    h->position = message->offset + 1;
}

/* What the queue of a partition gives. A broker or topic that is away is told as a message: librdkafka goes on trying by itself. */
static int take_messages(rd_kafka_queue_t *queue, rd_kafka_message_t **messages, int max) {
    ssize_t count = rd_kafka_consume_batch_queue(queue, 0, messages, (size_t)max);
    int kept = 0;
    for (ssize_t i = 0; i < count; i++)
        if (messages[i]->err)
            rd_kafka_message_destroy(messages[i]);
        else
            messages[kept++] = messages[i];
    return kept;
}

static size_t take_plain(held *h, weir_bus_record *records, size_t max) {
    rd_kafka_message_t *messages[CHUNK];
    size_t count = 0;
    while (count < max && rd_kafka_queue_length(h->queue)) {
        int n = take_messages(h->queue, messages, max - count < CHUNK ? (int)(max - count) : CHUNK);
        for (int i = 0; i < n; i++) hand_out(h, messages[i], &records[count++]);
    }
    return count;
}

/* ---- aligned partitions ---- */

static int64_t time_of(const weir_alignment *alignment, const held *h, rd_kafka_message_t *message) {
    weir_bus_record record;
    int64_t time_us;
    fill_record(h, message, &record);
    return alignment->time_of(alignment->context, &record, &time_us) ? time_us : WEIR_ALIGN_NO_TIME;
}

/* Keeps enough in sight that one record with a wrong time, far ahead of the others, does not stop those behind it. */
static void read_ahead(weir_consumer *consumer, held *h, int64_t now_us) {
    ahead *a = h->ahead;
    read_topic *t = &consumer->topics[h->topic_index];
    if (a->count > AHEAD_MAX / 2 || !rd_kafka_queue_length(h->queue)) return;
    memmove(a->messages, a->messages + a->first, (size_t)a->count * sizeof(rd_kafka_message_t *));
    memmove(a->times, a->times + a->first, (size_t)a->count * sizeof *a->times);
    a->first = 0;
    int got = take_messages(h->queue, a->messages + a->count, AHEAD_MAX - a->count);
    for (int i = a->count; i < a->count + got; i++) a->times[i] = time_of(&t->alignment, h, a->messages[i]);
    a->count += got;
    weir_align_keys(a->times, a->keys, a->count);
    if (!got) return;
    if (!t->given_at_us || now_us - t->given_at_us > PACE_US) t->woke_at_us = now_us;
    t->given_at_us = h->given_at_us = now_us;
}

/* Whether it has records that are not here yet. An end that is not known is asked for already: the answer to the first fetch has it. */
static bool is_behind(weir_consumer *consumer, const held *h) {
    int64_t first, end;
    if (rd_kafka_get_watermark_offsets(consumer->client, h->topic, h->partition, &first, &end) || end < 0) return true;
    if (h->position >= end || first >= end) return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, h->topic, h->partition);
    rd_kafka_resp_err_t error = rd_kafka_position(consumer->client, list);
    bool behind = error || list->elems[0].offset < end;
    rd_kafka_topic_partition_list_destroy(list);
    return behind;
}

static weir_align_leg leg_of(weir_consumer *consumer, const held *h) {
    const ahead *a = h->ahead;
    bool there = a->count > 0;
    return (weir_align_leg){
        .there = there,
        .time_us = there ? a->keys[a->first] : h->passed_us,
        .behind = !there && is_behind(consumer, h),
        .given_at_us = h->given_at_us,
        .slow = h->slow,
    };
}

static void note_passed(held *h, int64_t key_us, int64_t now_us) {
    if (key_us == WEIR_ALIGN_NO_TIME) return;
    h->passed_us = key_us;
    bool first = h->pace_from_us == WEIR_ALIGN_NO_TIME;
    if (!first && now_us - h->pace_at_us < PACE_US) return;
    if (!first) h->slow = weir_align_is_slow(h->pace_from_us, key_us, now_us - h->pace_at_us);
    h->pace_from_us = key_us;
    h->pace_at_us = now_us;
}

/* Records of all partitions of a topic, merged. */
static size_t take_aligned(weir_consumer *consumer, int topic_index, weir_bus_record *records, size_t max) {
    const weir_alignment *alignment = &consumer->topics[topic_index].alignment;
    int64_t now_us = mono_us(), limit_us;
    int count = 0, next = -1;
    size_t taken = 0;
    for (int i = 0; i < consumer->held_count; i++) {
        held *h = &consumer->held[i];
        if (h->topic_index != topic_index || h->paused) continue;
        read_ahead(consumer, h, now_us);
        consumer->leg_held[count] = h;
        consumer->legs[count++] = leg_of(consumer, h);
    }
    const weir_align_rules rules = {
        .slack_us = alignment->slack_us,
        .live_after_us = weir_clock_wall_us(weir_clock_system()) - alignment->live_us,
        .now_us = now_us,
        .woke_at_us = consumer->topics[topic_index].woke_at_us,
    };
    while (taken < max && (next = weir_align_next(consumer->legs, count, &rules, &limit_us)) >= 0) {
        held *h = consumer->leg_held[next];
        ahead *a = h->ahead;
        int64_t key_us = WEIR_ALIGN_NO_TIME;
        for (; taken < max && a->count && a->keys[a->first] <= limit_us; a->first++, a->count--) {
            key_us = a->keys[a->first];
            hand_out(h, a->messages[a->first], &records[taken++]);
        }
        note_passed(h, key_us, now_us);
        read_ahead(consumer, h, now_us);
        consumer->legs[next] = leg_of(consumer, h);
    }
    for (int i = 0; next < 0 && i < count; i++) consumer->held_back |= consumer->legs[i].there;
    return taken;
}

/* ---- polling ---- */

static bool has_records(const held *h) {
    return !h->paused && ((h->ahead && h->ahead->count) || rd_kafka_queue_length(h->queue));
}

/* A partition gives its share; aligned ones give those of all of them together, as runs that are as long as the slack lets them be. */
static size_t take_share(weir_consumer *consumer, held *h, weir_bus_record *records, size_t share, size_t max) {
    read_topic *t = &consumer->topics[h->topic_index];
    if (!h->ahead) return has_records(h) ? take_plain(h, records, share < max ? share : max) : 0;
    if (t->turn == consumer->turn) return 0;
    t->turn = consumer->turn;
    size_t givers = 0;
    for (int i = 0; i < consumer->held_count; i++) givers += consumer->held[i].topic_index == h->topic_index && has_records(&consumer->held[i]);
    return givers ? take_aligned(consumer, h->topic_index, records, share * givers < max ? share * givers : max) : 0;
}

/* Each partition that has records gives its share, in turn; what some lack others give. */
static size_t take_shares(weir_consumer *consumer, weir_bus_record *records, size_t max) {
    size_t count = 0, held_count = (size_t)consumer->held_count;
    for (bool more = true; more && count < max;) {
        size_t before = count, givers = 0, first = ++consumer->turn;
        for (size_t i = 0; i < held_count; i++) givers += has_records(&consumer->held[i]);
        if (!givers) break;
        size_t share = (max - count + givers - 1) / givers;
        for (size_t i = 0; i < held_count && count < max; i++)
            count += take_share(consumer, &consumer->held[(first + i) % held_count], records + count, share, max - count);
        more = count > before;
    }
    return count;
}

/* Callbacks run in here, and errors are forgotten: librdkafka goes on trying by itself. It also tells librdkafka that this member lives. */
static weir_status serve_events(weir_consumer *consumer, weir_err *err) {
    consumer->rebalanced = false;
    empty_queue(consumer->queue);
    weir_status status = consumer->callback_status;
    if (status) {
        if (err) *err = consumer->callback_err;
        consumer->callback_status = WEIR_OK;
        return status;
    }
    return consumer->waiting && !consumer->rebalanced ? start_waiting(consumer, err) : WEIR_OK;
}

static weir_status check_fatal(const weir_consumer *consumer, weir_err *err) {
    char fatal[256];
    return rd_kafka_fatal_error(consumer->client, fatal, sizeof fatal) ? WEIR_FAIL(err, WEIR_ENET, "the consumer cannot go on: %s", fatal) : WEIR_OK;
}

static void wait_for_events(const weir_consumer *consumer, int64_t most_us) {
    struct pollfd fd = {.fd = consumer->wakeups, .events = POLLIN};
    int64_t most_ms = (most_us + 999) / 1000;
    (void)poll(&fd, 1, consumer->held_back && most_ms > HELD_BACK_MS ? HELD_BACK_MS : (int)most_ms);
}

weir_status weir_consumer_poll(weir_consumer *consumer, weir_bus_record *records, size_t max, int timeout_ms, size_t *ret_count, weir_err *err) {
    int64_t until_us = mono_us() + timeout_ms * INT64_C(1000), left_us;
    *ret_count = 0;
    for (;;) {
        eventfd_t told;
        (void)eventfd_read(consumer->wakeups, &told); /* before the queues are looked into, so that nothing is missed */
        weir_status status = serve_events(consumer, err);
        if (status) return status;
        consumer->held_back = false;
        if ((*ret_count = take_shares(consumer, records, max))) return WEIR_OK;
        if ((status = check_fatal(consumer, err))) return status;
        if (!max || (left_us = until_us - mono_us()) <= 0) return WEIR_OK;
        wait_for_events(consumer, left_us);
    }
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
    return weir_bus_fail(err, __func__, error, "committing offsets of", consumer->topic_count ? consumer->topics[0].name : "nothing");
}

weir_status weir_consumer_confirm(weir_consumer *consumer, const weir_bus_record *record, weir_err *err) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, record->topic, record->partition)->offset = record->offset;
    rd_kafka_queue_t *answers = rd_kafka_queue_new(consumer->client);
    rd_kafka_resp_err_t error = rd_kafka_commit_queue(consumer->client, list, answers, NULL, NULL);
    if (!error) {
        rd_kafka_event_t *answer = rd_kafka_queue_poll(answers, ASK_TIMEOUT_MS);
        error = answer ? rd_kafka_event_error(answer) : RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (answer) rd_kafka_event_destroy(answer);
    }
    rd_kafka_queue_destroy(answers);
    rd_kafka_topic_partition_list_destroy(list);
    if (!error) return WEIR_OK;
    return WEIR_RETRY(err, WEIR_ECONFLICT, "another process may have partition %d of %s: %s", record->partition, record->topic, rd_kafka_err2str(error));
}

/* librdkafka answers once fetching goes on from there; from this call on, records fetched before are outdated. (rd_kafka_seek_partitions takes its time-out for
 * microseconds in this version.) */
static weir_status seek_to(weir_consumer *consumer, held *h, int64_t offset, weir_err *err) {
    rd_kafka_topic_t *handle = rd_kafka_topic_new(consumer->client, h->topic, NULL);
    rd_kafka_resp_err_t error = handle ? rd_kafka_seek(handle, h->partition, offset, SEEK_TIMEOUT_MS) : rd_kafka_last_error();
    if (handle) rd_kafka_topic_destroy(handle);
    if (error) return weir_bus_fail(err, __func__, error, "seeking in", h->topic);
    begin_alignment(h);
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

weir_status weir_consumer_align(weir_consumer *consumer, const char *topic_name, const weir_alignment *alignment, weir_err *err) {
    int index = topic_index_of(consumer, topic_name);
    if (index < 0) return WEIR_OK;
    consumer->topics[index].aligned = true;
    consumer->topics[index].alignment = *alignment;
    return align_held(consumer, consumer->held, consumer->held_count, err);
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

weir_status weir_consumer_at(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) {
    if (!count) return WEIR_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)->offset = partitions[i].offset;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(consumer->client, list, timeout_ms);
    weir_status status = error ? weir_bus_fail(err, __func__, error, "offsets of", partitions[0].topic) : WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        const rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_find(list, partitions[i].topic, partitions[i].partition);
        if (!p || p->err)
            status = weir_bus_fail(err, __func__, p ? p->err : RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "an offset of", partitions[i].topic);
        else
            partitions[i].offset = p->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

/* Asked for the offset at a time, the protocol takes -2 for the first and -1 for the end. */
weir_status weir_consumer_firsts(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) {
    for (size_t i = 0; i < count; i++) partitions[i].offset = RD_KAFKA_OFFSET_BEGINNING;
    return weir_consumer_at(consumer, partitions, count, timeout_ms, err);
}

weir_status weir_consumer_ends(weir_consumer *consumer, weir_partition *partitions, size_t count, int timeout_ms, weir_err *err) {
    for (size_t i = 0; i < count; i++) partitions[i].offset = RD_KAFKA_OFFSET_END;
    return weir_consumer_at(consumer, partitions, count, timeout_ms, err);
}
