/* Latency from the time an event is due to the time a consumer has its features record.
 * Arguments: brokers, input topic, output topic, schema id, events a second, seconds, warm-up seconds, format of the output: weir (tenant, entity, event time first), prediction
 * (an id, tenant, entity, the label's id or none, event time) or plain (key, event time); and how many milliseconds the sender's batches linger, unless it is 2. Prints one JSON line. Events carry their due time as event time, which both outputs repeat; nothing is left out when the sender falls behind. */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CUSTOMERS = 5000, TERMINALS = 10007, DRAIN_S = 30 };

typedef struct run {
    const char *brokers, *in, *out, *linger_ms;
    uint32_t schema;
    long rate, total, warm;
    int texts, optional; /* before the event time: texts, then perhaps one that may be null */
    int64_t start_us;
    int64_t *latency_us;
    long received;
    atomic_int sent_all, ready;
} run;

static void die(const char *why) {
    fprintf(stderr, "paced: %s\n", why);
    exit(1);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

static uint8_t *put_long(uint8_t *p, int64_t v) {
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; u > 0x7f; u >>= 7) *p++ = (uint8_t)(u | 0x80);
    *p++ = (uint8_t)u;
    return p;
}

static uint8_t *put_text(uint8_t *p, const char *text) {
    size_t n = strlen(text);
    p = put_long(p, (int64_t)n);
    memcpy(p, text, n);
    return p + n;
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

static size_t encode(const run *r, long i, int64_t due_us, const char *customer, uint8_t *value) {
    char id[24], terminal[24];
    double amount = (double)(i % 9973) / 100;
    snprintf(id, sizeof id, "%ld", i);
    snprintf(terminal, sizeof terminal, "%ld", i * 7919 % TERMINALS);
    value[0] = 0;
    for (int b = 0; b < 4; b++) value[1 + b] = (uint8_t)(r->schema >> (24 - 8 * b));
    uint8_t *p = put_text(put_text(value + 5, "default"), id);
    p = put_text(put_text(put_long(p, due_us), customer), terminal);
    memcpy(p, &amount, sizeof amount);
    return (size_t)(p + sizeof amount - value);
}

static void *receive(void *context) {
    run *r = context;
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", r->brokers);
    set(conf, "group.id", "paced");
    set(conf, "isolation.level", "read_committed");
    set(conf, "fetch.wait.max.ms", "100");
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!consumer) die(why);
    rd_kafka_poll_set_consumer(consumer);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, r->out, NULL);
    if (rd_kafka_metadata(consumer, 0, topic, &metadata, 10000)) die("no metadata of the output topic");
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(8);
    for (int p = 0; p < metadata->topics[0].partition_cnt; p++) rd_kafka_topic_partition_list_add(all, r->out, p)->offset = RD_KAFKA_OFFSET_END;
    rd_kafka_metadata_destroy(metadata);
    if (rd_kafka_assign(consumer, all)) die("cannot read the output topic");
    rd_kafka_topic_partition_list_destroy(all);
    for (int i = 0; i < 20; i++) { /* the end of the topic is looked up */
        rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 100);
        if (m) rd_kafka_message_destroy(m);
    }
    atomic_store(&r->ready, 1);
    int64_t deadline = INT64_MAX;
    while (r->received < r->total && now_us() < deadline) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 50);
        if (atomic_load(&r->sent_all) && deadline == INT64_MAX) deadline = now_us() + DRAIN_S * INT64_C(1000000);
        if (!m) continue;
        if (!m->err && m->len > 10) {
            const uint8_t *p = (const uint8_t *)m->payload + 5;
            for (int i = 0; i < r->texts; i++) skip_text(&p);
            if (r->optional && get_long(&p)) skip_text(&p);
            int64_t due_us = get_long(&p);
            /* A snapshot repeats a value with the state behind it: its due time is long known. */
            long index = (long)(((due_us - r->start_us) * r->rate + 500000) / 1000000);
            if (index >= 0 && index < r->total && r->latency_us[index] < 0) {
                r->latency_us[index] = now_us() - due_us;
                r->received++;
            }
        }
        rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
    return NULL;
}

static void send_all(run *r) {
    char why[256], customer[32], key[48];
    uint8_t value[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", r->brokers);
    set(conf, "linger.ms", r->linger_ms);
    set(conf, "partitioner", "murmur2_random");
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!producer) die(why);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, r->in, NULL);
    for (long i = 0; i < r->total; i++) {
        int64_t due_us = r->start_us + i * INT64_C(1000000) / r->rate;
        while (now_us() < due_us) {
            struct timespec rest = {0, 200000};
            rd_kafka_poll(producer, 0);
            nanosleep(&rest, NULL);
        }
        snprintf(customer, sizeof customer, "%ld", i * 7919 % CUSTOMERS);
        int key_len = snprintf(key, sizeof key, "default/%s", customer);
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, encode(r, i, due_us, customer, value), key, (size_t)key_len, NULL))
            rd_kafka_poll(producer, 10);
    }
    if (rd_kafka_flush(producer, 30000)) die("events were not delivered");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    atomic_store(&r->sent_all, 1);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 9 && argc != 10)
        die("arguments: brokers, input topic, output topic, schema id, rate, seconds, warm-up seconds, weir|prediction|plain [linger ms]");
    run r = {.brokers = argv[1],
             .in = argv[2],
             .out = argv[3],
             .linger_ms = argc > 9 ? argv[9] : "2",
             .schema = (uint32_t)atol(argv[4]),
             .rate = atol(argv[5]),
             .texts = !strcmp(argv[8], "prediction") ? 3
                      : !strcmp(argv[8], "weir")     ? 2
                                                     : 1,
             .optional = !strcmp(argv[8], "prediction")};
    r.warm = r.rate * atol(argv[7]);
    r.total = r.rate * atol(argv[6]) + r.warm;
    r.latency_us = malloc((size_t)r.total * sizeof *r.latency_us);
    if (!r.latency_us) die("no memory");
    for (long i = 0; i < r.total; i++) r.latency_us[i] = -1;
    pthread_t receiver;
    if (pthread_create(&receiver, NULL, receive, &r)) die("no thread");
    while (!atomic_load(&r.ready)) nanosleep(&(struct timespec){0, 1000000}, NULL);
    r.start_us = now_us() + 100000;
    send_all(&r);
    pthread_join(receiver, NULL);
    long kept = 0;
    for (long i = r.warm; i < r.total; i++) {
        if (r.latency_us[i] >= 0) r.latency_us[kept++] = r.latency_us[i];
    }
    if (!kept) die("nothing came out");
    qsort(r.latency_us, (size_t)kept, sizeof *r.latency_us, by_value);
    printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"missing\": %ld}\n", (double)r.latency_us[kept / 2] / 1e3, (double)r.latency_us[kept * 99 / 100] / 1e3,
           r.total - r.warm - kept);
    return 0;
}
