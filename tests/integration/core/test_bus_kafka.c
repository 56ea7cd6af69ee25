/* The bus against a real Kafka: what the broker in the process cannot show. Needs WEIR_BROKERS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/bus.h"

static const char *brokers;
static char topic[64];

static void must(weir_status status, const weir_err *err) {
    if (status) fail_msg("%s: %s", err->where, err->message);
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int make_topic(void **state) {
    (void)state;
    weir_err err = {0};
    (void)snprintf(topic, sizeof topic, "test-bus-%d-%lld", (int)getpid(), (long long)now_ms());
    if (!weir_bus_topics_create(brokers, &(weir_topic_spec){.name = topic, .partitions = 4, .retention_ms = -1}, 1, &err)) return 0;
    print_error("%s\n", err.message);
    return -1;
}

static int drop_topic(void **state) {
    (void)state;
    weir_err err = {0};
    const char *names[] = {topic};
    if (!weir_bus_groups_delete(brokers, names, 1, &err) && !weir_bus_topics_delete(brokers, names, 1, &err)) return 0;
    print_error("%s\n", err.message);
    return -1;
}

static void produce(int count) {
    weir_producer *producer;
    weir_err err = {0};
    must(weir_producer_new(brokers, "test", &producer, &err), &err);
    for (int i = 0; i < count; i++) must(weir_producer_send(producer, topic, i % 4, NULL, 0, &i, sizeof i, NULL, 0, 0, &err), &err);
    must(weir_producer_flush(producer, 30000, &err), &err);
    weir_producer_free(producer);
}

static void topics_are_created_once_and_deleted(void **state) {
    (void)state;
    weir_err err = {0};
    int count = 0;
    char other[80];
    (void)snprintf(other, sizeof other, "%s-compact", topic);
    const weir_topic_spec specs[] = {{.name = topic, .partitions = 4, .retention_ms = -1},
                                     {.name = other, .partitions = 2, .compact = true, .retention_ms = -1, .max_message_bytes = 2 << 20}};
    must(weir_bus_topics_create(brokers, specs, 2, &err), &err);
    must(weir_bus_partitions(brokers, other, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(weir_bus_topics_create(brokers, &(weir_topic_spec){.name = other, .partitions = 3}, 1, &err), WEIR_ECONFLICT);
    assert_int_equal(err.action, WEIR_ACTION_FATAL);
    assert_non_null(strstr(err.message, "has 2 partitions, expected 3"));
    const char *names[] = {other, "test-bus-never-was"};
    must(weir_bus_topics_delete(brokers, names, 2, &err), &err);
    assert_int_equal(weir_bus_partitions(brokers, other, &count, &err), WEIR_ENOTFOUND);
    must(weir_bus_groups_delete(brokers, names, 2, &err), &err);
}

/* Members come and go while records are read; every record's offset is stored, so each is handed out exactly once. */
static void rebalances_lose_and_repeat_nothing_that_was_stored(void **state) {
    (void)state;
    enum { RECORDS = 40000, MEMBERS = 3 };
    weir_consumer *members[MEMBERS] = {NULL};
    weir_bus_record records[200];
    weir_err err = {0};
    int64_t next[4] = {0}, until = now_ms() + 120000;
    int handled = 0, joined = 0;
    produce(RECORDS);
    while (handled < RECORDS) {
        if (now_ms() > until) fail_msg("only %d records within two minutes", handled);
        if (joined < MEMBERS && handled >= joined * 6000)
            must(weir_consumer_new(brokers, topic, (const char *const[]){topic}, 1, NULL, &members[joined++], &err), &err);
        if (joined == MEMBERS && members[0] && handled > 24000) {
            weir_consumer_free(members[0]);
            members[0] = NULL;
        }
        for (int m = 0; m < MEMBERS; m++) {
            size_t count = 0;
            if (members[m]) must(weir_consumer_poll(members[m], records, 20, 5, &count, &err), &err);
            for (size_t i = 0; i < count; i++) {
                int p = records[i].partition;
                assert_int_equal(records[i].offset, next[p]);
                next[p]++;
                must(weir_consumer_store(members[m], topic, p, next[p], &err), &err);
            }
            handled += (int)count;
            if (members[m]) weir_consumer_release(members[m], records, count);
        }
    }
    assert_int_equal(joined, MEMBERS);
    for (int m = 0; m < MEMBERS; m++) weir_consumer_free(members[m]);
}

/* Random seeks, pauses and polls of random size: each partition's records come one after the other from where it was put. */
static void seeks_and_pauses_leave_no_gap(void **state) {
    (void)state;
    enum { RECORDS = 40000, EACH = RECORDS / 4 };
    weir_consumer *consumer;
    weir_bus_record records[500];
    weir_err err = {0};
    int64_t next[4] = {0}, until = now_ms() + 120000;
    produce(RECORDS);
    srand(7);
    must(weir_consumer_new_tail(brokers, (const char *const[]){topic}, 1, false, &consumer, &err), &err);
    for (int step = 0; step < 400 || next[0] + next[1] + next[2] + next[3] < RECORDS; step++) {
        size_t count;
        if (now_ms() > until) fail_msg("stuck after %d steps", step);
        bool pause = step < 400 && rand() % 4 == 0;
        if (pause) {
            must(weir_consumer_pause_all(consumer, &err), &err);
            must(weir_consumer_poll(consumer, records, 500, rand() % 5, &count, &err), &err);
            assert_int_equal(count, 0);
        }
        if (step < 400 && rand() % 4 == 0) {
            int p = rand() % 4;
            next[p] = rand() % EACH;
            must(weir_consumer_seek(consumer, topic, p, next[p], &err), &err);
        }
        if (pause) must(weir_consumer_resume_all(consumer, &err), &err);
        must(weir_consumer_poll(consumer, records, (size_t)(1 + rand() % 500), 50, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(records[i].offset, next[records[i].partition]);
            next[records[i].partition]++;
        }
        weir_consumer_release(consumer, records, count);
    }
    weir_consumer_free(consumer);
}

/* A worker that backs off has paused; the group may take its partitions and give them back meanwhile. */
static void a_pause_does_not_outlive_a_rebalance(void **state) {
    (void)state;
    enum { RECORDS = 400 };
    weir_consumer *first, *second;
    weir_bus_record records[RECORDS];
    weir_err err = {0};
    size_t count = 0, seen = 0;
    int64_t until = now_ms() + 60000;
    produce(RECORDS);
    must(weir_consumer_new(brokers, topic, (const char *const[]){topic}, 1, NULL, &first, &err), &err);
    while (!count && now_ms() < until) must(weir_consumer_poll(first, records, 1, 100, &count, &err), &err);
    assert_int_equal(count, 1);
    weir_consumer_release(first, records, count);
    must(weir_consumer_pause_all(first, &err), &err);
    must(weir_consumer_new(brokers, topic, (const char *const[]){topic}, 1, NULL, &second, &err), &err);
    while (weir_consumer_assignment(second, NULL, 0) != 2 && now_ms() < until) {
        must(weir_consumer_poll(first, records, RECORDS, 10, &count, &err), &err);
        assert_int_equal(count, 0);
        must(weir_consumer_poll(second, records, RECORDS, 10, &count, &err), &err);
        weir_consumer_release(second, records, count);
    }
    assert_int_equal(weir_consumer_assignment(second, NULL, 0), 2);
    weir_consumer_free(second);
    must(weir_consumer_resume_all(first, &err), &err);
    while (seen < RECORDS && now_ms() < until) {
        must(weir_consumer_poll(first, records, RECORDS, 100, &count, &err), &err);
        weir_consumer_release(first, records, count);
        seen += count;
    }
    assert_true(seen >= RECORDS); /* nothing was stored, so all come again */
    weir_consumer_free(first);
}

int main(void) {
    brokers = getenv("WEIR_BROKERS");
    if (!brokers) {
        (void)fprintf(stderr, "WEIR_BROKERS is not set: this test needs a running stack (./run up)\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {
#define WITH_TOPIC(test) cmocka_unit_test_setup_teardown(test, make_topic, drop_topic)
        WITH_TOPIC(topics_are_created_once_and_deleted),
        WITH_TOPIC(rebalances_lose_and_repeat_nothing_that_was_stored),
        WITH_TOPIC(seeks_and_pauses_leave_no_gap),
        WITH_TOPIC(a_pause_does_not_outlive_a_rebalance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
