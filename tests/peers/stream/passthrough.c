/* The ceiling: consume, decode Avro by hand, produce one record of about 70 bytes for each event; plain librdkafka, no state, no guarantee.
 * Arguments: brokers, input topic, output topic, group, linger ms. Runs until SIGTERM. */
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4096, VALUE_MAX = 640 };

static volatile sig_atomic_t stopping;
static long failed;

static void on_signal(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static void die(const char *why) {
    fprintf(stderr, "passthrough: %s\n", why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

static void delivered(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *context) {
    (void)kafka, (void)context;
    failed += message->err != 0;
}

static rd_kafka_t *consumer_new(const char *brokers, const char *group, const char *topic) {
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", group);
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "queued.min.messages", "1000000");
    set(conf, "fetch.message.max.bytes", "4194304");
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!kafka) die(why);
    rd_kafka_poll_set_consumer(kafka);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(kafka, topics)) die("cannot subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    return kafka;
}

static rd_kafka_t *producer_new(const char *brokers, const char *linger_ms) {
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "linger.ms", linger_ms);
    set(conf, "batch.num.messages", "10000");
    set(conf, "batch.size", "262144");
    set(conf, "acks", "all");
    set(conf, "delivery.report.only.error", "true");
    set(conf, "queue.buffering.max.messages", "500000");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!kafka) die(why);
    return kafka;
}

static int64_t get_long(const uint8_t **p) {
    uint64_t u = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;
        u |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    }
}

static void skip_text(const uint8_t **p) {
    int64_t n = get_long(p);
    *p += n;
}

static uint8_t *put_long(uint8_t *p, int64_t v) {
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; u > 0x7f; u >>= 7) *p++ = (uint8_t)(u | 0x80);
    *p++ = (uint8_t)u;
    return p;
}

static size_t convert(const rd_kafka_message_t *in, uint8_t *out) {
    const uint8_t *p = (const uint8_t *)in->payload + 5;
    double amount, values[6];
    skip_text(&p); /* tenant */
    skip_text(&p); /* transaction_id */
    int64_t time = get_long(&p);
    skip_text(&p); /* customer_id */
    skip_text(&p); /* terminal_id */
    memcpy(&amount, p, sizeof amount);
    for (int i = 0; i < 6; i++) values[i] = amount;
    uint8_t *to = out;
    memcpy(to, "\0\0\0\0\2", 5);
    to = put_long(to + 5, (int64_t)in->key_len);
    memcpy(to, in->key, in->key_len);
    to = put_long(put_long(put_long(to + in->key_len, time), in->partition), in->offset);
    memcpy(to, values, sizeof values);
    return (size_t)(to + sizeof values - out);
}

static void produce(rd_kafka_t *producer, rd_kafka_topic_t *topic, rd_kafka_message_t *batch, int count) {
    while (count) {
        if (rd_kafka_produce_batch(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_PARTITION, batch, count) == count) return;
        int left = 0; /* those that found the queue full, of any partition, come again */
        for (int i = 0; i < count; i++) {
            if (!batch[i].err) continue;
            batch[left] = batch[i];
            batch[left++].err = 0;
        }
        count = left;
        rd_kafka_poll(producer, 5);
    }
}

int main(int argc, char **argv) {
    static rd_kafka_message_t *in[BATCH], out[BATCH];
    static uint8_t values[BATCH][VALUE_MAX];
    if (argc != 6) die("arguments: brokers, input topic, output topic, group, linger ms");
    signal(SIGTERM, on_signal);
    rd_kafka_t *consumer = consumer_new(argv[1], argv[4], argv[2]), *producer = producer_new(argv[1], argv[5]);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, argv[3], NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    while (!stopping) {
        int count = 0;
        rd_kafka_message_t *first = rd_kafka_consumer_poll(consumer, 20);
        ssize_t got = 0;
        if (first) {
            in[0] = first;
            got = rd_kafka_consume_batch_queue(queue, 0, in + 1, BATCH - 1);
            got = (got < 0 ? 0 : got) + 1;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (in[i]->err || in[i]->len < 20 || in[i]->key_len > 500) continue;
            out[count] = (rd_kafka_message_t){
                .payload = values[count], .len = convert(in[i], values[count]), .key = in[i]->key, .key_len = in[i]->key_len, .partition = in[i]->partition};
            count++;
        }
        produce(producer, topic, out, count);
        for (ssize_t i = 0; i < got; i++) rd_kafka_message_destroy(in[i]);
        rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, 30000);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    if (failed) die("records were not delivered");
    return 0;
}
