/* The producer: idempotent, acks=all. Only failures are reported back, so a delivered record costs the sender nothing more than its copy.
 *
 * Two things of librdkafka 2.0.2 shape this file:
 * - A partition has at most five requests under way. While it does and a batch is due, the sending thread polls without a pause; with a short linger.ms that is most of the
 *   time at full speed (measured: half of its CPU). So batches linger for long, and whoever has nothing more to send for now says so: weir_producer_push.
 * - rd_kafka_flush looks every 10 ms whether everything is acknowledged when reports come by callback, and waits for just that when they come as events. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bus_internal.h"
#include "core/mem.h"

enum {
    TOPICS_MAX = 64,
    HEADERS_MAX = 256,
    ROOM_STEP_MS = 5,
    ROOM_TIMEOUT_MS = 10000,
    PURGE_TIMEOUT_MS = 5000,
    FLUSH_STEP_MS = 50,
    PUSH_MS = 1,
    SEND_BATCH = 256
};

static const char *compression = "lz4";

void weir_bus_set_compression(const char *codec) {
    compression = codec;
}

struct weir_producer {
    rd_kafka_t *client;
    rd_kafka_queue_t *events;
    /* Handles of topics in use; append-only, read without the lock up to topic_count. */
    rd_kafka_topic_t *topics[TOPICS_MAX];
    _Atomic int topic_count;
    _Atomic uint64_t failed; /* records that were not delivered since the last flush */
    pthread_mutex_t lock;
    char reason[256]; /* of the first of them */
};

static void note_failure(weir_producer *producer, const rd_kafka_message_t *message) {
    if (!message->err || atomic_fetch_add(&producer->failed, 1) != 0) return;
    (void)pthread_mutex_lock(&producer->lock);
    (void)snprintf(producer->reason, sizeof producer->reason, "topic %s: %s", rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
    (void)pthread_mutex_unlock(&producer->lock);
}

/* Takes what is reported, waiting for the first of it. */
static void serve_events(weir_producer *producer, int timeout_ms) {
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(producer->events, timeout_ms))) {
        const rd_kafka_message_t *message;
        while ((message = rd_kafka_event_message_next(event))) note_failure(producer, message);
        rd_kafka_event_destroy(event);
        timeout_ms = 0;
    }
}

static weir_status make(const char *brokers, const char *client_id, const char *delivery_timeout_ms, const char *linger_ms, weir_producer **ret_producer,
                        weir_err *err) {
    /* message.max.bytes leaves room for a dead letter: the largest record that a topic takes, and headers. */
    const weir_bus_setting settings[] = {
        {"client.id", client_id},
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"compression.codec", compression},
        {"batch.size", "1000000"},
        {"linger.ms", linger_ms},
        {"partitioner", "murmur2_random"},
        {"message.max.bytes", "4194304"},
        {"queue.buffering.max.messages", "500000"},
        {"queue.buffering.max.kbytes", "262144"},
        {"delivery.timeout.ms", delivery_timeout_ms},
        {"request.timeout.ms", "5000"},
        {"retry.backoff.ms", "50"},
        {"delivery.report.only.error", "true"},
        {NULL, NULL},
    };
    weir_producer *producer = weir_mem.realloc(NULL, sizeof *producer);
    if (!producer) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a producer");
    memset(producer, 0, sizeof *producer);
    (void)pthread_mutex_init(&producer->lock, NULL);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
    weir_status status = weir_bus_client_new(RD_KAFKA_PRODUCER, brokers, conf, settings, &producer->client, err);
    if (status) {
        weir_producer_free(producer);
        return status;
    }
    producer->events = rd_kafka_queue_get_main(producer->client);
    *ret_producer = producer;
    return WEIR_OK;
}

/* The delivery timeout turns an outage of the broker into RETRY. Shorter than a consumer's session by more than WEIR_WORKER_AWAY_MS and a heartbeat: what a process that was stopped
 * for longer has in its queue, while another owns its partitions, is given up when it goes on. Large batches: fewer requests for the same records. */
weir_status weir_producer_new(const char *brokers, const char *client_id, weir_producer **ret_producer, weir_err *err) {
    return make(brokers, client_id, "6000", "20", ret_producer, err);
}

weir_status weir_producer_new_patient(const char *brokers, const char *client_id, weir_producer **ret_producer, weir_err *err) {
    return make(brokers, client_id, "0", "2", ret_producer, err); /* 0: no limit */
}

size_t weir_producer_pending(weir_producer *producer) {
    serve_events(producer, 0); /* what has failed counts until its report is taken */
    return (size_t)rd_kafka_outq_len(producer->client);
}

void weir_producer_free(weir_producer *producer) {
    if (!producer) return;
    for (int i = 0; i < atomic_load(&producer->topic_count); i++) rd_kafka_topic_destroy(producer->topics[i]);
    if (producer->events) rd_kafka_queue_destroy(producer->events);
    if (producer->client) {
        (void)rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(producer->client);
    }
    (void)pthread_mutex_destroy(&producer->lock);
    (void)weir_mem.realloc(producer, 0);
}

static rd_kafka_topic_t *find_topic(const weir_producer *producer, const char *name) {
    int count = atomic_load_explicit(&producer->topic_count, memory_order_acquire);
    for (int i = 0; i < count; i++)
        if (!strcmp(rd_kafka_topic_name(producer->topics[i]), name)) return producer->topics[i];
    return NULL;
}

static weir_status topic_for(weir_producer *producer, const char *name, rd_kafka_topic_t **ret_topic, weir_err *err) {
    rd_kafka_topic_t *topic = find_topic(producer, name);
    weir_status status = WEIR_OK;
    if (!topic) {
        (void)pthread_mutex_lock(&producer->lock);
        int count = atomic_load(&producer->topic_count);
        topic = find_topic(producer, name);
        if (!topic && count == TOPICS_MAX)
            status = WEIR_FAIL(err, WEIR_ELIMIT, "a producer writes to at most %d topics", TOPICS_MAX);
        else if (!topic && !(topic = rd_kafka_topic_new(producer->client, name, NULL)))
            status = weir_bus_fail(err, __func__, rd_kafka_last_error(), "topic", name);
        else if (topic && !find_topic(producer, name)) {
            producer->topics[count] = topic;
            atomic_store_explicit(&producer->topic_count, count + 1, memory_order_release);
        }
        (void)pthread_mutex_unlock(&producer->lock);
    }
    *ret_topic = topic;
    return status;
}

static weir_status refused(weir_producer *producer, rd_kafka_resp_err_t error, const char *topic, size_t len, weir_err *err) {
    char text[256];
    switch (error) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return WEIR_RETRY(err, WEIR_ELIMIT, "topic %s: the queue to Kafka has been full for %d s", topic, ROOM_TIMEOUT_MS / 1000);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return WEIR_REJECT(err, WEIR_ELIMIT, "topic %s: a record of %zu bytes is too large", topic, len);
    case RD_KAFKA_RESP_ERR__FATAL:
        (void)rd_kafka_fatal_error(producer->client, text, sizeof text);
        return WEIR_FAIL(err, WEIR_ENET, "topic %s: %s", topic, text);
    default: return weir_bus_fail(err, __func__, error, "topic", topic);
    }
}

/* A list of our own: librdkafka 2.0.2 frees one that it makes itself twice when it refuses the record. */
static weir_status make_headers(const char *topic, const weir_bus_header *headers, size_t count, rd_kafka_headers_t **ret_list, weir_err *err) {
    *ret_list = NULL;
    if (count > HEADERS_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "topic %s: a record with %zu headers, more than %d", topic, count, HEADERS_MAX);
    if (count) *ret_list = rd_kafka_headers_new(count);
    for (size_t i = 0; i < count; i++) (void)rd_kafka_header_add(*ret_list, headers[i].name, -1, headers[i].value, (ssize_t)headers[i].len);
    return WEIR_OK;
}

weir_status weir_producer_send(weir_producer *producer, const char *topic, int32_t partition, const void *key, size_t key_len, const void *value,
                               size_t value_len, const weir_bus_header *headers, size_t header_count, int64_t timestamp_ms, weir_err *err) {
    rd_kafka_vu_t args[7];
    rd_kafka_topic_t *handle;
    rd_kafka_headers_t *list;
    weir_status status = topic_for(producer, topic, &handle, err);
    if (!status) status = make_headers(topic, headers, header_count, &list, err);
    if (status) return status;
    size_t n = 0;
    args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = handle};
    args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition < 0 ? RD_KAFKA_PARTITION_UA : partition};
    args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
    args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)key, key_len}};
    args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)value, value_len}};
    if (timestamp_ms) args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_ms};
    if (list) args[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = list};
    for (int waited_ms = 0;; waited_ms += ROOM_STEP_MS) {
        rd_kafka_error_t *error = rd_kafka_produceva(producer->client, args, n);
        if (!error) return WEIR_OK; /* the list is librdkafka's now */
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || waited_ms >= ROOM_TIMEOUT_MS) {
            if (list) rd_kafka_headers_destroy(list);
            return refused(producer, code, topic, key_len + value_len, err);
        }
        serve_events(producer, ROOM_STEP_MS);
    }
}

/* Returns how many of the records are queued; *ret_error is of the one behind them. librdkafka takes no more once its queue is full. */
static size_t queue_batch(rd_kafka_topic_t *handle, const weir_bus_out *records, size_t count, rd_kafka_resp_err_t *ret_error) {
    rd_kafka_message_t batch[SEND_BATCH];
    size_t n = 0;
    for (; n < count && n < SEND_BATCH; n++)
        batch[n] = (rd_kafka_message_t){.partition = records[n].partition < 0 ? RD_KAFKA_PARTITION_UA : records[n].partition,
                                        .payload = (void *)records[n].value,
                                        .len = records[n].value_len,
                                        .key = (void *)records[n].key,
                                        .key_len = records[n].key_len};
    *ret_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t queued = (size_t)rd_kafka_produce_batch(handle, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_PARTITION, batch, (int)n);
    for (size_t i = 0; queued < n && i < n; i++) {
        if (!batch[i].err) continue;
        *ret_error = batch[i].err;
        return i;
    }
    return n;
}

weir_status weir_producer_send_all(weir_producer *producer, const char *topic, const weir_bus_out *records, size_t count, weir_err *err) {
    rd_kafka_topic_t *handle;
    weir_status status = topic_for(producer, topic, &handle, err);
    if (status) return status;
    for (int waited_ms = 0; count;) {
        rd_kafka_resp_err_t error;
        size_t queued = queue_batch(handle, records, count, &error);
        records += queued;
        count -= queued;
        if (queued) waited_ms = 0;
        if (!error) continue;
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || waited_ms >= ROOM_TIMEOUT_MS)
            return refused(producer, error, topic, records->key_len + records->value_len, err);
        serve_events(producer, ROOM_STEP_MS);
        waited_ms += ROOM_STEP_MS;
    }
    return WEIR_OK;
}

/* Forgets what is queued or under way, so that the caller's next attempt starts from nothing. */
static void forget_queue(weir_producer *producer) {
    (void)rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int waited_ms = 0; rd_kafka_outq_len(producer->client) > 0 && waited_ms < PURGE_TIMEOUT_MS; waited_ms += 10) serve_events(producer, 10);
    atomic_store(&producer->failed, 0);
}

/* Until everything is acknowledged or has failed. Returns how many records are neither after the time. */
static int await_all(weir_producer *producer, int timeout_ms) {
    for (int left_ms = timeout_ms;; left_ms -= FLUSH_STEP_MS) {
        (void)rd_kafka_flush(producer->client, left_ms < FLUSH_STEP_MS ? left_ms : FLUSH_STEP_MS);
        serve_events(producer, 0); /* what has failed counts until its report is taken */
        int left = rd_kafka_outq_len(producer->client);
        if (!left || left_ms <= FLUSH_STEP_MS) return left;
    }
}

weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) {
    char text[256] = "";
    int left = await_all(producer, timeout_ms);
    uint64_t failed = atomic_load(&producer->failed);
    if (!left && !failed) return WEIR_OK;
    (void)pthread_mutex_lock(&producer->lock);
    if (failed) (void)snprintf(text, sizeof text, "%s", producer->reason);
    (void)pthread_mutex_unlock(&producer->lock);
    forget_queue(producer);
    char fatal[200];
    if (rd_kafka_fatal_error(producer->client, fatal, sizeof fatal)) return WEIR_FAIL(err, WEIR_ENET, "the producer cannot go on: %s", fatal);
    if (!failed) return WEIR_RETRY(err, WEIR_ETIMEOUT, "%d records were not acknowledged within %d ms", left, timeout_ms);
    return WEIR_RETRY(err, WEIR_ENET, "%" PRIu64 " records were not delivered; %s", failed, text);
}

/* Batches count as full while somebody flushes: the sending threads, which it wakes, see that within its time. */
void weir_producer_push(weir_producer *producer) {
    if (rd_kafka_outq_len(producer->client) > 0) (void)rd_kafka_flush(producer->client, PUSH_MS);
}
