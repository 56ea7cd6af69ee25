/* The bus against librdkafka's broker in the process: nothing lost and nothing stale over seeks, pauses, rebalances and failed deliveries. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/bus.h"

typedef struct broker {
    rd_kafka_t *client;
    rd_kafka_mock_cluster_t *cluster;
    const char *brokers;
} broker;

static int start_broker(void **state) {
    char text[256];
    broker *b = calloc(1, sizeof *b);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text);
    b->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    b->cluster = rd_kafka_mock_cluster_new(b->client, 1);
    b->brokers = rd_kafka_mock_cluster_bootstraps(b->cluster);
    (void)rd_kafka_mock_topic_create(b->cluster, "t", 2, 1);
    (void)rd_kafka_mock_topic_create(b->cluster, "u", 2, 1);
    *state = b;
    return 0;
}

static int stop_broker(void **state) {
    broker *b = *state;
    rd_kafka_mock_cluster_destroy(b->cluster);
    rd_kafka_destroy(b->client);
    free(b);
    return 0;
}

static void must(weir_status status, const weir_err *err) {
    if (status) fail_msg("%s: %s", err->where, err->message);
}

/* Records first..end of a partition, whose values are their numbers. */
static void produce(const char *brokers, const char *topic, int partition, int first, int end) {
    weir_producer *producer;
    weir_err err;
    must(weir_producer_new(brokers, "test", &producer, &err), &err);
    for (int i = first; i < end; i++) must(weir_producer_send(producer, topic, partition, "k", 1, &i, sizeof i, NULL, 0, 0, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    weir_producer_free(producer);
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Polls until `end` is the next number of every partition that is held, checking that each partition's numbers come one after the other. */
static void read_to(weir_consumer *consumer, int64_t next[2], int64_t end) {
    weir_bus_record records[100];
    weir_err err;
    int64_t until = now_ms() + 20000;
    while (next[0] < end || next[1] < end) {
        size_t count;
        if (now_ms() > until) fail_msg("stuck at %lld and %lld", (long long)next[0], (long long)next[1]);
        must(weir_consumer_poll(consumer, records, 100, 100, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            int number;
            assert_int_equal(records[i].value_len, sizeof number);
            memcpy(&number, records[i].value, sizeof number);
            assert_int_equal(records[i].offset, number);
            assert_int_equal(number, next[records[i].partition]);
            next[records[i].partition]++;
        }
        weir_consumer_release(consumer, records, count);
    }
}

static void partitioner_is_kafkas_murmur2(void **state) {
    (void)state;
    /* Hashes from Kafka's UtilsTest.testMurmur2, sign bit cleared. */
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(weir_bus_partition_of(cases[i].key, strlen(cases[i].key), 1000), (cases[i].hash & 0x7fffffff) % 1000);
}

static void record_arrives_as_it_was_sent(void **state) {
    broker *b = *state;
    weir_producer *producer;
    weir_consumer *consumer;
    weir_bus_record record;
    weir_err err;
    size_t count = 0;
    const weir_bus_header headers[] = {{"a", "1", 1}, {"b", "xyz", 3}, {"a", "2", 1}};
    must(weir_producer_new(b->brokers, "test", &producer, &err), &err);
    must(weir_producer_send(producer, "u", -1, "key", 3, NULL, 0, headers, 3, 1526342400123, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    must(weir_consumer_new_tail(b->brokers, (const char *const[]){"t", "u"}, 2, false, &consumer, &err), &err);
    while (!count) must(weir_consumer_poll(consumer, &record, 1, 1000, &count, &err), &err);
    assert_string_equal(record.topic, "u");
    assert_int_equal(record.topic_index, 1);
    assert_int_equal(record.partition, weir_bus_partition_of("key", 3, 2));
    assert_int_equal(record.offset, 0);
    assert_int_equal(record.timestamp_ms, 1526342400123);
    assert_memory_equal(record.key, "key", 3);
    assert_null(record.value);
    weir_bus_header header;
    assert_true(weir_bus_header_get(&record, "a", &header));
    assert_memory_equal(header.value, "2", 1);
    assert_false(weir_bus_header_get(&record, "c", &header));
    assert_true(weir_bus_header_at(&record, 1, &header));
    assert_string_equal(header.name, "b");
    assert_int_equal(header.len, 3);
    assert_false(weir_bus_header_at(&record, 3, &header));
    weir_consumer_release(consumer, &record, 1);
    weir_consumer_free(consumer);
    weir_producer_free(producer);
}

static void seek_back_hands_out_no_stale_record(void **state) {
    broker *b = *state;
    weir_consumer *consumer;
    weir_err err;
    int64_t next[2] = {0, 0};
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 3000);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &consumer, &err), &err);
    read_to(consumer, next, 500);
    for (int round = 0; round < 20; round++) {
        for (int p = 0; p < 2; p++) {
            next[p] = round * 20;
            must(weir_consumer_seek(consumer, "t", p, next[p], &err), &err);
        }
        read_to(consumer, next, 500 + round);
    }
    read_to(consumer, next, 3000);
    assert_int_equal(weir_consumer_end_cached(consumer, "t", 0), 3000);
    weir_partition held[2];
    assert_int_equal(weir_consumer_assignment(consumer, held, 2), 2);
    assert_int_equal(held[0].offset, 3000);
    assert_int_equal(weir_consumer_seek(consumer, "t", 7, 0, &err), WEIR_ENOTFOUND);
    weir_consumer_free(consumer);
}

static void nothing_is_handed_out_while_paused_and_nothing_is_lost(void **state) {
    broker *b = *state;
    weir_consumer *consumer;
    weir_bus_record records[10];
    weir_err err;
    size_t count;
    int64_t next[2] = {0, 0};
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 2000);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &consumer, &err), &err);
    /* Paused before the group gave anything, and again before the first record was handed out. */
    must(weir_consumer_pause_all(consumer, &err), &err);
    for (int i = 0; i < 8; i++) {
        must(weir_consumer_poll(consumer, records, 10, 100, &count, &err), &err);
        assert_int_equal(count, 0);
    }
    must(weir_consumer_resume_all(consumer, &err), &err);
    must(weir_consumer_poll(consumer, records, 0, 0, &count, &err), &err);
    for (int round = 1; round <= 20; round++) {
        must(weir_consumer_pause_all(consumer, &err), &err);
        must(weir_consumer_pause_all(consumer, &err), &err);
        for (int i = 0; i < 3; i++) {
            must(weir_consumer_poll(consumer, records, 10, 10, &count, &err), &err);
            assert_int_equal(count, 0);
        }
        if (round % 3 == 0) must(weir_consumer_seek(consumer, "t", 1, next[1] = 5, &err), &err);
        must(weir_consumer_resume_all(consumer, &err), &err);
        must(weir_consumer_resume_all(consumer, &err), &err);
        read_to(consumer, next, round * 100);
    }
    weir_consumer_free(consumer);
}

static void stored_offsets_are_where_the_next_member_starts(void **state) {
    broker *b = *state;
    weir_consumer *consumer;
    weir_err err;
    int64_t next[2] = {0, 0};
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 100);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &consumer, &err), &err);
    read_to(consumer, next, 100);
    must(weir_consumer_store(consumer, "t", 0, 40, &err), &err);
    must(weir_consumer_commit(consumer, &err), &err);
    must(weir_consumer_store(consumer, "t", 1, 60, &err), &err);
    assert_int_equal(weir_consumer_store(consumer, "u", 0, 1, &err), WEIR_ENOTFOUND);
    weir_consumer_free(consumer);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &consumer, &err), &err);
    next[0] = 40;
    next[1] = 60;
    read_to(consumer, next, 100);
    weir_consumer_free(consumer);
}

typedef struct group_log {
    int assigned, revoked, fail_first;
    int64_t start;
    weir_partition last_revoked[2];
} group_log;

static weir_status note_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    group_log *log = context;
    if (log->fail_first > 0) {
        log->fail_first--;
        return WEIR_RETRY(err, WEIR_EIO, "the store is away");
    }
    log->assigned += (int)count;
    for (size_t i = 0; i < count; i++) partitions[i].offset = log->start;
    return WEIR_OK;
}

static weir_status note_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)err;
    group_log *log = context;
    assert_false(lost);
    assert_true(count <= 2);
    log->revoked += (int)count;
    memcpy(log->last_revoked, partitions, count * sizeof *partitions);
    return WEIR_OK;
}

static void assigned_may_change_the_start_and_is_asked_again_after_failing(void **state) {
    broker *b = *state;
    weir_consumer *consumer;
    weir_bus_record record;
    weir_err err = {0};
    size_t count;
    group_log log = {.start = 70, .fail_first = 2};
    int64_t next[2] = {70, 70};
    int failures = 0;
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 100);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, &(weir_consumer_events){note_assigned, note_revoked, &log}, &consumer, &err), &err);
    for (int64_t until = now_ms() + 20000; failures < 2 && now_ms() < until;) {
        weir_status status = weir_consumer_poll(consumer, &record, 1, 100, &count, &err);
        if (!status) {
            assert_int_equal(count, 0);
            continue;
        }
        assert_int_equal(err.action, WEIR_ACTION_RETRY);
        failures++;
    }
    assert_int_equal(failures, 2);
    read_to(consumer, next, 100);
    assert_int_equal(log.assigned, 2);
    weir_consumer_free(consumer);
    assert_int_equal(log.revoked, 2);
    assert_int_equal(log.last_revoked[0].offset, 100);
}

/* Two members. This broker refuses commits during a rebalance, so the second may repeat; what it must not do is leave a gap. */
static void rebalance_leaves_no_gap(void **state) {
    broker *b = *state;
    weir_consumer *members[2] = {NULL, NULL};
    weir_bus_record records[50];
    weir_err err;
    int64_t done[2] = {0, 0};
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 4000);
    must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &members[0], &err), &err);
    int64_t until = now_ms() + 60000;
    bool shared = false;
    while (done[0] < 4000 || done[1] < 4000) {
        if (now_ms() > until) fail_msg("stuck at %lld and %lld", (long long)done[0], (long long)done[1]);
        if (!members[1] && done[0] + done[1] > 1000) must(weir_consumer_new(b->brokers, "g", (const char *const[]){"t"}, 1, NULL, &members[1], &err), &err);
        for (int m = 0; m < 2 && members[m]; m++) {
            size_t count, max = members[1] && !shared && m == 0 ? 1 : 50; /* slow enough for the second to join in time */
            must(weir_consumer_poll(members[m], records, max, 20, &count, &err), &err);
            for (size_t i = 0; i < count; i++) {
                int p = records[i].partition;
                assert_true(records[i].offset <= done[p]);
                done[p] = records[i].offset + 1;
                must(weir_consumer_store(members[m], "t", p, done[p], &err), &err);
            }
            if (m == 1 && count) shared = true;
            weir_consumer_release(members[m], records, count);
        }
    }
    assert_true(shared);
    weir_consumer_free(members[0]);
    weir_consumer_free(members[1]);
}

static void failed_delivery_is_retry_and_the_next_attempt_succeeds(void **state) {
    broker *b = *state;
    weir_producer *producer;
    weir_err err = {0};
    int value = 1;
    must(weir_producer_new(b->brokers, "test", &producer, &err), &err);
    must(weir_producer_send(producer, "t", 0, NULL, 0, &value, sizeof value, NULL, 0, 0, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    (void)rd_kafka_mock_broker_set_down(b->cluster, 1);
    must(weir_producer_send(producer, "t", 0, NULL, 0, &value, sizeof value, NULL, 0, 0, &err), &err);
    assert_int_not_equal(weir_producer_flush(producer, 500, &err), WEIR_OK);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    (void)rd_kafka_mock_broker_set_up(b->cluster, 1);
    must(weir_producer_send(producer, "t", 0, NULL, 0, &value, sizeof value, NULL, 0, 0, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    weir_producer_free(producer);
}

static void record_for_a_partition_that_is_not_there_is_refused_with_its_headers(void **state) {
    broker *b = *state;
    weir_producer *producer;
    weir_err err = {0};
    const weir_bus_header header = {"a", "1", 1};
    must(weir_producer_new(b->brokers, "test", &producer, &err), &err);
    must(weir_producer_send(producer, "t", 0, "k", 1, "v", 1, &header, 1, 0, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    assert_int_equal(weir_producer_send(producer, "t", 9, "k", 1, "v", 1, &header, 1, 0, &err), WEIR_ENOTFOUND);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_producer_free(producer);
}

static void record_that_is_too_large_is_rejected(void **state) {
    broker *b = *state;
    weir_producer *producer;
    weir_err err = {0};
    size_t len = 5 << 20;
    char *value = calloc(1, len);
    must(weir_producer_new(b->brokers, "test", &producer, &err), &err);
    assert_int_equal(weir_producer_send(producer, "t", 0, NULL, 0, value, len, NULL, 0, 0, &err), WEIR_ELIMIT);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    weir_producer_free(producer);
    free(value);
}

static void tail_from_the_end_and_from_offsets(void **state) {
    broker *b = *state;
    weir_consumer *tail, *part;
    weir_err err;
    int64_t next[2] = {50, 50}, first, end, from[2] = {30, 100};
    int count;
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 0, 50);
    must(weir_consumer_new_tail(b->brokers, (const char *const[]){"t"}, 1, true, &tail, &err), &err);
    for (int p = 0; p < 2; p++) produce(b->brokers, "t", p, 50, 100);
    read_to(tail, next, 100);
    must(weir_consumer_range(tail, "t", 1, &first, &end, 5000, &err), &err);
    assert_int_equal(first, 0);
    assert_int_equal(end, 100);
    weir_partition both[2] = {{.topic = "t", .partition = 0}, {.topic = "t", .partition = 1}};
    must(weir_consumer_ends(tail, both, 2, 5000, &err), &err);
    assert_true(both[0].offset == 100 && both[1].offset == 100);
    must(weir_consumer_firsts(tail, both, 2, 5000, &err), &err);
    assert_true(both[0].offset == 0 && both[1].offset == 0);
    weir_consumer_free(tail);

    must(weir_consumer_new_assigned(b->brokers, &(weir_partition){.topic = "t", .topic_index = 5, .partition = 0, .offset = 30}, 1, &part, &err), &err);
    read_to(part, from, 100);
    weir_partition held;
    assert_int_equal(weir_consumer_assignment(part, &held, 1), 1);
    assert_int_equal(held.topic_index, 5);
    weir_consumer_free(part);

    must(weir_bus_partitions(b->brokers, "u", &count, &err), &err);
    assert_int_equal(count, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitioner_is_kafkas_murmur2),
#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, start_broker, stop_broker)
        WITH_BROKER(record_arrives_as_it_was_sent),
        WITH_BROKER(seek_back_hands_out_no_stale_record),
        WITH_BROKER(nothing_is_handed_out_while_paused_and_nothing_is_lost),
        WITH_BROKER(stored_offsets_are_where_the_next_member_starts),
        WITH_BROKER(assigned_may_change_the_start_and_is_asked_again_after_failing),
        WITH_BROKER(rebalance_leaves_no_gap),
        WITH_BROKER(failed_delivery_is_retry_and_the_next_attempt_succeeds),
        WITH_BROKER(record_for_a_partition_that_is_not_there_is_refused_with_its_headers),
        WITH_BROKER(record_that_is_too_large_is_rejected),
        WITH_BROKER(tail_from_the_end_and_from_offsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
