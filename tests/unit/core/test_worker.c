/* The worker loop against a broker in the process, on a clock that does not wait. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/metrics.h"
#include "core/worker.h"

enum { RECORDS = 300, PARTITIONS = 2 };

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
    (void)rd_kafka_mock_topic_create(b->cluster, "in", PARTITIONS, 1);
    (void)rd_kafka_mock_topic_create(b->cluster, "dead", 1, 1);
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

/* A clock whose sleep is over at once. */
typedef struct quick_clock {
    weir_clock base;
    int64_t slept_us;
} quick_clock;
static int64_t quick_wall(weir_clock *clock) {
    (void)clock;
    return weir_clock_wall_us(weir_clock_system());
}
static int64_t quick_mono(weir_clock *clock) {
    return weir_clock_mono_us(weir_clock_system()) + ((quick_clock *)clock)->slept_us;
}
static void quick_sleep(weir_clock *clock, int64_t duration_us) {
    ((quick_clock *)clock)->slept_us += duration_us;
}

/* What the worker under test does, and what it saw. */
typedef struct plan {
    weir_worker *worker;
    int init_failures; /* RETRY from the first inits */
    int batch_failures; /* RETRY from batches that hold record fail_at of partition 0 */
    bool stop_after_failures;
    int fail_at, reject_at; /* numbers; -1: none */
    int blame_at; /* a batch with it returns REJECT */
    int fatal_at; /* a batch with it returns FATAL */
    bool confirms; /* asks whether it is a member still before anything of a batch counts */
    int away_at; /* in a batch with it the process is stopped for longer than a session, once, and the group does not want it back at first */
    rd_kafka_mock_cluster_t *cluster;
    int refusals; /* by the group */
    int rejects, stop_rejects; /* how often record reject_at was rejected; how often at least before stopping */
    int next[PARTITIONS]; /* numbers that are durable */
    int batches, ticks, dones, revoked, inits;
    int stop_at; /* total of durable records */
} plan;

static weir_status plan_init(weir_worker *worker, void **ret_context, weir_err *err) {
    plan *p = weir_worker_setup(worker);
    p->worker = worker;
    p->inits++;
    if (p->init_failures-- > 0) return WEIR_RETRY(err, WEIR_ENET, "the database is away");
    *ret_context = p;
    weir_worker_set_deadletter(worker, "dead");
    return weir_worker_subscribe(worker, (const char *const[]){"in"}, 1, err);
}

static weir_status plan_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)partitions, (void)lost, (void)err;
    ((plan *)context)->revoked += (int)count;
    return WEIR_OK;
}

static int number_of(const weir_bus_record *record) {
    int number;
    assert_int_equal(record->value_len, sizeof number);
    memcpy(&number, record->value, sizeof number);
    return number;
}

static weir_status confirm(plan *p, const weir_bus_record *records, size_t count, weir_err *err) {
    bool away = false;
    for (size_t i = 0; i < count; i++) away = away || (records[i].partition == 0 && number_of(&records[i]) == p->away_at);
    if (away) {
        p->away_at = -1;
        weir_clock_sleep_us(weir_worker_env_of(p->worker)->clock, 15000000);
        rd_kafka_mock_push_request_errors(p->cluster, 8 /* OffsetCommit */, 3, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                                          RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    }
    weir_status status = weir_worker_confirm(p->worker, &records[0], err);
    if (status) {
        assert_int_equal(err->action, WEIR_ACTION_RETRY);
        p->refusals++;
    }
    return status;
}

static weir_status plan_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    plan *p = context;
    int next[PARTITIONS];
    memcpy(next, p->next, sizeof next);
    p->batches++;
    weir_status member = p->confirms ? confirm(p, records, count, err) : WEIR_OK;
    if (member) return member;
    for (size_t i = 0; i < count; i++) {
        int number = number_of(&records[i]);
        /* Whatever failed before: each partition goes on exactly where it is durable. Only where the loop's own flush is made to fail does a batch that was fine here
         * come again. */
        if (p->stop_rejects && number < next[records[i].partition]) next[records[i].partition] = number;
        assert_int_equal(number, next[records[i].partition]);
        next[records[i].partition]++;
        if (records[i].partition) continue;
        if (number == p->fail_at && p->batch_failures > 0) {
            if (!--p->batch_failures && p->stop_after_failures) weir_worker_stop(p->worker);
            return WEIR_RETRY(err, WEIR_EIO, "the store is away");
        }
        if (number == p->fatal_at) return WEIR_FAIL(err, WEIR_EINTERNAL, "broken");
        if (number == p->blame_at) return WEIR_REJECT(err, WEIR_EDATA, "one of these is bad");
        if (number == p->reject_at) {
            weir_err why = {0};
            (void)WEIR_REJECT(&why, WEIR_EDATA, "amount is negative");
            weir_status status = weir_worker_reject(p->worker, &records[i], "check", &why, err);
            if (status) return status;
            p->rejects++;
        }
    }
    assert_non_null(weir_arena_alloc(weir_worker_scratch(p->worker), 100));
    memcpy(p->next, next, sizeof next);
    if (next[0] + next[1] >= p->stop_at && p->rejects >= p->stop_rejects) weir_worker_stop(p->worker);
    return WEIR_OK;
}

static weir_status plan_tick(void *context, int64_t mono_us, weir_err *err) {
    (void)mono_us, (void)err;
    ((plan *)context)->ticks++;
    return WEIR_OK;
}

static void plan_done(void *context) {
    if (context) ((plan *)context)->dones++;
}

static const weir_worker_ops plan_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "ingest",
    .doc = "test",
    .init = plan_init,
    .revoked = plan_revoked,
    .batch = plan_batch,
    .tick = plan_tick,
    .done = plan_done,
};

static void produce(const char *brokers, int first, int end) {
    weir_producer *producer;
    weir_err err;
    const weir_bus_header headers[] = {{"traceparent", "00-1", 4}, {"weir.attempt", "2", 1}};
    must(weir_producer_new(brokers, "test", &producer, &err), &err);
    for (int p = 0; p < PARTITIONS; p++)
        for (int i = first; i < end; i++) must(weir_producer_send(producer, "in", p, "key", 3, &i, sizeof i, headers, 2, 1000 + i, &err), &err);
    must(weir_producer_flush(producer, 10000, &err), &err);
    weir_producer_free(producer);
}

static weir_status run_plan(const broker *b, plan *p, weir_err *err) {
    quick_clock clock = {{quick_wall, quick_mono, quick_sleep}, 0};
    const weir_worker_env env = {.brokers = b->brokers, .clock = &clock.base, .batch_max = 50, .poll_ms = 20, .drain_ms = 5000};
    weir_worker *worker;
    must(weir_worker_new(&plan_ops, &env, "fraud", p, &worker, err), err);
    assert_false(weir_worker_ready(worker));
    weir_status status = weir_worker_run(worker, err);
    assert_false(weir_worker_ready(worker));
    weir_worker_free(worker);
    return status;
}

static plan plan_all(void) {
    return (plan){.fail_at = -1, .reject_at = -1, .blame_at = -1, .fatal_at = -1, .stop_at = PARTITIONS * RECORDS};
}

static double metric(const char *name, const char *const *labels) {
    return weir_metric_value(weir_metric_get(name, labels));
}

static void every_record_is_handled_once_and_the_next_run_goes_on_after_them(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    double before = metric("weir_worker_records_total", (const char *const[]){"fraud", "ingest", "in", NULL});
    produce(b->brokers, 0, RECORDS);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.next[0], RECORDS);
    assert_int_equal(p.next[1], RECORDS);
    assert_int_equal(p.dones, 1);
    assert_int_equal(p.revoked, PARTITIONS);
    assert_true(p.ticks > 0);
    assert_true(metric("weir_worker_records_total", (const char *const[]){"fraud", "ingest", "in", NULL}) - before == PARTITIONS * RECORDS);

    produce(b->brokers, RECORDS, RECORDS + 10);
    p.stop_at = PARTITIONS * (RECORDS + 10);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.next[0], RECORDS + 10);
    assert_int_equal(p.dones, 2);
}

static void failing_batch_is_delivered_again_from_its_first_record(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.fail_at = 123;
    p.batch_failures = 9;
    double before = metric("weir_worker_retries_total", (const char *const[]){"fraud", "ingest", NULL});
    produce(b->brokers, 0, RECORDS);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.next[0], RECORDS);
    assert_int_equal(p.next[1], RECORDS);
    assert_true(metric("weir_worker_retries_total", (const char *const[]){"fraud", "ingest", NULL}) - before == 9);
}

static void a_worker_that_was_away_writes_nothing_before_the_group_says_that_it_is_a_member(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.confirms = true;
    p.away_at = 123;
    p.cluster = b->cluster;
    produce(b->brokers, 0, RECORDS);
    must(run_plan(b, &p, &err), &err);
    assert_true(p.refusals >= 1 && p.refusals <= 3); /* commits in the background may have met the others */
    assert_int_equal(p.next[0], RECORDS); /* each record once: what was refused came again */
    assert_int_equal(p.next[1], RECORDS);
}

static void stop_during_a_retry_stores_nothing_of_the_batch(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.fail_at = 0;
    p.batch_failures = 3;
    p.stop_after_failures = true;
    produce(b->brokers, 0, 20);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.batch_failures, 0);
    assert_int_equal(p.next[0], 0);

    plan again = plan_all();
    again.next[1] = p.next[1];
    again.stop_at = PARTITIONS * 20;
    must(run_plan(b, &again, &err), &err);
    assert_int_equal(again.next[0], 20);
}

/* A worker with checkpoints: next[] is in memory, durable[] is what its checkpoints made so. */
typedef struct begun {
    weir_worker *worker;
    int next[PARTITIONS], durable[PARTITIONS];
    int checkpoints, checkpoint_failures, resets, reset_failures, batches;
    int batch_fails_at; /* a batch that reaches it in partition 0 gives RETRY, once; -1 */
    int most_batches; /* the loop is told to stop then; 0: never */
} begun;

static weir_status begun_init(weir_worker *worker, void **ret_context, weir_err *err) {
    begun *g = weir_worker_setup(worker);
    g->worker = worker;
    memcpy(g->next, g->durable, sizeof g->next);
    *ret_context = g;
    return weir_worker_subscribe(worker, (const char *const[]){"in"}, 1, err);
}

static weir_status begun_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    begun *g = context;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(number_of(&records[i]), g->next[records[i].partition]); /* nothing left out, nothing twice but after a reset */
        g->next[records[i].partition]++;
    }
    if (++g->batches == g->most_batches) weir_worker_stop(g->worker);
    if (g->batch_fails_at >= 0 && g->next[0] > g->batch_fails_at) {
        g->batch_fails_at = -1;
        return WEIR_RETRY(err, WEIR_EIO, "the store is away");
    }
    if (g->next[0] + g->next[1] == PARTITIONS * RECORDS) weir_worker_checkpoint_soon(g->worker);
    return WEIR_OK;
}

static weir_status begun_checkpoint(void *context, weir_err *err) {
    begun *g = context;
    g->checkpoints++;
    if (g->checkpoint_failures && g->checkpoint_failures--) return WEIR_RETRY(err, WEIR_EIO, "the disk is away");
    memcpy(g->durable, g->next, sizeof g->next);
    if (g->durable[0] + g->durable[1] == PARTITIONS * RECORDS) weir_worker_stop(g->worker);
    return WEIR_OK;
}

static weir_status begun_reset(void *context, weir_err *err) {
    begun *g = context;
    if (g->reset_failures && g->reset_failures--) return WEIR_RETRY(err, WEIR_ENET, "the changelog is away");
    g->resets++;
    memcpy(g->next, g->durable, sizeof g->next);
    return WEIR_OK;
}

static weir_status run_begun(const broker *b, begun *g, int checkpoint_ms, weir_err *err) {
    static const weir_worker_ops ops = {
        .abi = WEIR_WORKER_ABI,
        .name = "begun",
        .doc = "test",
        .init = begun_init,
        .batch = begun_batch,
        .checkpoint = begun_checkpoint,
        .reset = begun_reset,
    };
    quick_clock clock = {{quick_wall, quick_mono, quick_sleep}, 0};
    const weir_worker_env env = {.brokers = b->brokers, .clock = &clock.base, .batch_max = 20, .poll_ms = 20, .drain_ms = 5000, .checkpoint_ms = checkpoint_ms};
    weir_worker *worker;
    must(weir_worker_new(&ops, &env, "fraud", g, &worker, err), err);
    weir_status status = weir_worker_run(worker, err);
    weir_worker_free(worker);
    return status;
}

static void what_a_checkpoint_did_not_take_comes_again_after_a_reset(void **state) {
    broker *b = *state;
    weir_err err = {0};
    begun g = {.batch_fails_at = 100, .checkpoint_failures = 2, .reset_failures = 1};
    double before = metric("weir_worker_records_total", (const char *const[]){"fraud", "begun", "in", NULL});
    produce(b->brokers, 0, RECORDS);
    must(run_begun(b, &g, 60000, &err), &err); /* due only when it is asked for */
    assert_int_equal(g.durable[0] + g.durable[1], PARTITIONS * RECORDS);
    assert_int_equal(g.resets, 3); /* one batch, two checkpoints */
    assert_int_equal(g.checkpoints, 3);
    assert_int_equal(g.checkpoint_failures + g.reset_failures, 0);
    assert_true(metric("weir_worker_records_total", (const char *const[]){"fraud", "begun", "in", NULL}) - before == PARTITIONS * RECORDS);
}

static void a_clean_stop_ends_with_a_checkpoint_and_the_next_run_goes_on_behind_it(void **state) {
    broker *b = *state;
    weir_err err = {0};
    begun g = {.batch_fails_at = -1, .most_batches = 3};
    produce(b->brokers, 0, RECORDS);
    must(run_begun(b, &g, 60000, &err), &err);
    assert_int_equal(g.checkpoints, 1);
    int done = g.durable[0] + g.durable[1];
    assert_true(done > 0 && done < PARTITIONS * RECORDS);
    assert_memory_equal(g.durable, g.next, sizeof g.next);

    begun again = {.batch_fails_at = -1};
    memcpy(again.durable, g.durable, sizeof g.durable);
    must(run_begun(b, &again, 1, &err), &err);
    assert_int_equal(again.durable[0] + again.durable[1], PARTITIONS * RECORDS);
    assert_true(again.checkpoints >= 1 && again.resets == 0);
}

/* The dead letter that was written last. */
static void read_dead(const broker *b, int expected, void (*check)(const weir_bus_record *)) {
    weir_consumer *consumer;
    weir_err err;
    int got = 0;
    must(weir_consumer_new_tail(b->brokers, (const char *const[]){"dead"}, 1, false, &consumer, &err), &err);
    for (int empty = 0; empty < 10 && got <= expected;) {
        weir_bus_record record;
        size_t count;
        must(weir_consumer_poll(consumer, &record, 1, 100, &count, &err), &err);
        if (count) check(&record);
        empty += !count;
        got += (int)count;
        weir_consumer_release(consumer, &record, count);
    }
    assert_int_equal(got, expected);
    weir_consumer_free(consumer);
}

static void has_header(const weir_bus_record *record, const char *name, const char *value) {
    weir_bus_header header;
    if (!weir_bus_header_get(record, name, &header)) fail_msg("no header %s", name);
    assert_int_equal(header.len, strlen(value));
    assert_memory_equal(header.value, value, header.len);
}

static void check_dead(const weir_bus_record *record) {
    size_t attempts = 0;
    weir_bus_header header;
    assert_int_equal(number_of(record), 77);
    assert_memory_equal(record->key, "key", 3);
    has_header(record, "weir.error.class", "check");
    has_header(record, "weir.error.message", "amount is negative");
    has_header(record, "weir.source.topic", "in");
    has_header(record, "weir.source.partition", "0");
    has_header(record, "weir.source.offset", "77");
    has_header(record, "weir.source.timestamp", "1077");
    has_header(record, "weir.attempt", "3");
    has_header(record, "traceparent", "00-1");
    for (size_t i = 0; weir_bus_header_at(record, i, &header); i++) attempts += !strcmp(header.name, "weir.attempt");
    assert_int_equal(attempts, 1);
}

static void rejected_record_goes_to_the_dead_letters_with_its_reason(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.reject_at = 77;
    double before = metric("weir_worker_deadletters_total", (const char *const[]){"fraud", "ingest", "in", "check", NULL});
    produce(b->brokers, 0, RECORDS);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.next[0], RECORDS);
    assert_true(metric("weir_worker_deadletters_total", (const char *const[]){"fraud", "ingest", "in", "check", NULL}) - before == 1);
    read_dead(b, 1, check_dead);
}

static void check_blamed(const weir_bus_record *record) {
    assert_int_equal(number_of(record), 88);
    has_header(record, "weir.error.class", "data");
    has_header(record, "weir.error.message", "one of these is bad");
}

/* The batch function always refuses record 88, so number_of's order check is satisfied by advancing past it. */
static weir_status blaming_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    plan *p = context;
    for (size_t i = 0; i < count; i++)
        if (!records[i].partition && number_of(&records[i]) == p->blame_at) return WEIR_REJECT(err, WEIR_EDATA, "one of these is bad");
    for (size_t i = 0; i < count; i++) {
        assert_true(number_of(&records[i]) >= p->next[records[i].partition]);
        p->next[records[i].partition] = number_of(&records[i]) + 1;
        p->batches++;
    }
    if (p->batches >= p->stop_at) weir_worker_stop(p->worker);
    return WEIR_OK;
}

static void batch_that_blames_one_record_is_taken_apart(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.blame_at = 88;
    p.stop_at = PARTITIONS * RECORDS - 1;
    quick_clock clock = {{quick_wall, quick_mono, quick_sleep}, 0};
    const weir_worker_env env = {.brokers = b->brokers, .clock = &clock.base, .batch_max = 50, .poll_ms = 20, .drain_ms = 5000};
    weir_worker_ops ops = plan_ops;
    ops.batch = blaming_batch;
    weir_worker *worker;
    produce(b->brokers, 0, RECORDS);
    must(weir_worker_new(&ops, &env, "fraud", &p, &worker, &err), &err);
    must(weir_worker_run(worker, &err), &err);
    weir_worker_free(worker);
    assert_int_equal(p.next[0], RECORDS);
    assert_int_equal(p.next[1], RECORDS);
    read_dead(b, 1, check_blamed);
}

static void init_is_tried_again_until_it_succeeds(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.init_failures = 3;
    p.stop_at = PARTITIONS;
    produce(b->brokers, 0, 1);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.inits, 4);
}

static void fatal_error_ends_the_worker_and_stores_nothing_of_the_batch(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.fatal_at = 10;
    produce(b->brokers, 0, 20);
    assert_int_equal(run_plan(b, &p, &err), WEIR_EINTERNAL);
    assert_string_equal(err.message, "broken");
    assert_int_equal(p.dones, 1);
    int durable[PARTITIONS] = {p.next[0], p.next[1]};
    assert_true(durable[0] <= 10);
    p = plan_all();
    memcpy(p.next, durable, sizeof durable);
    p.stop_at = PARTITIONS * 20;
    must(run_plan(b, &p, &err), &err);
}

static void check_undelivered(const weir_bus_record *record) {
    assert_int_equal(number_of(record), 5);
    has_header(record, "weir.error.class", "check");
}

/* The broker refuses what the batch queued: the loop's flush fails, and the batch is done again, in whatever pieces the records come. */
static void undelivered_dead_letter_is_sent_again(void **state) {
    broker *b = *state;
    weir_err err = {0};
    plan p = plan_all();
    p.reject_at = 5;
    p.stop_rejects = 2;
    p.stop_at = PARTITIONS * 20;
    produce(b->brokers, 0, 20);
    rd_kafka_mock_push_request_errors(b->cluster, 0 /* Produce */, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    must(run_plan(b, &p, &err), &err);
    assert_int_equal(p.next[0], 20);
    assert_int_equal(p.next[1], 20);
    assert_int_equal(p.rejects, 2);
    read_dead(b, 1, check_undelivered);
}

/* ---- several workers in one process ---- */

typedef struct idler {
    int ticks, dones, fail_at_tick;
    weir_worker *worker; /* what a test needs to know of itself */
} idler;
static weir_worker *volatile abandoned; /* as in life, its memory stays until the process ends */

static weir_status idle_init(weir_worker *worker, void **ret_context, weir_err *err) {
    (void)err;
    *ret_context = weir_worker_setup(worker);
    return WEIR_OK;
}
static weir_status idle_tick(void *context, int64_t mono_us, weir_err *err) {
    (void)mono_us;
    idler *i = context;
    if (++i->ticks == i->fail_at_tick) return WEIR_FAIL(err, WEIR_EIO, "disk full");
    return WEIR_OK;
}
static void idle_done(void *context) {
    if (context) ((idler *)context)->dones++;
}
static const weir_worker_ops idle_ops = {.abi = WEIR_WORKER_ABI, .name = "trigger", .init = idle_init, .tick = idle_tick, .done = idle_done, .tick_ms = 5};

static weir_status run_idlers(const broker *b, idler idlers[2], bool with_http, weir_err *err) {
    weir_http_server *http = NULL;
    weir_worker *workers[2];
    if (with_http) must(weir_http_server_start("127.0.0.1", 0, 1, 1024, &http, err), err);
    const weir_worker_env env = {.brokers = b->brokers, .clock = weir_clock_system(), .http = http, .drain_ms = 1000};
    for (int i = 0; i < 2; i++) must(weir_worker_new(&idle_ops, &env, i ? "two" : "one", &idlers[i], &workers[i], err), err);
    weir_status status = weir_workers_run(workers, 2, err);
    for (int i = 0; i < 2; i++) weir_worker_free(workers[i]);
    weir_http_server_stop(http);
    return status;
}

static weir_status signalling_tick(void *context, int64_t mono_us, weir_err *err) {
    idler *i = context;
    if (i->ticks == 3) (void)kill(getpid(), SIGTERM);
    return idle_tick(context, mono_us, err);
}

static void signal_stops_all_workers(void **state) {
    broker *b = *state;
    weir_err err = {0};
    idler idlers[2] = {{0}, {0}};
    weir_worker_ops ops = idle_ops;
    ops.tick = signalling_tick;
    const weir_worker_env env = {.brokers = b->brokers, .clock = weir_clock_system(), .drain_ms = 1000};
    weir_worker *workers[2];
    must(weir_worker_new(&idle_ops, &env, "one", &idlers[0], &workers[0], &err), &err);
    must(weir_worker_new(&ops, &env, "two", &idlers[1], &workers[1], &err), &err);
    must(weir_workers_run(workers, 2, &err), &err);
    for (int i = 0; i < 2; i++) weir_worker_free(workers[i]);
    assert_int_equal(idlers[0].dones, 1);
    assert_int_equal(idlers[1].dones, 1);
}

static void *sleep_until_told(void *context) {
    while (!atomic_load((_Atomic bool *)context)) (void)usleep(1000);
    return NULL;
}

typedef struct library_thread {
    idler base;
    pthread_t thread;
} library_thread;

static weir_status signalling_library_tick(void *context, int64_t mono_us, weir_err *err) {
    library_thread *l = context;
    if (l->base.ticks == 3) (void)pthread_kill(l->thread, SIGTERM);
    return idle_tick(context, mono_us, err);
}

/* Libraries have threads that block nothing; the kernel may give the process's signal to one of them. */
static void signal_that_a_library_s_thread_gets_stops_the_workers(void **state) {
    broker *b = *state;
    weir_err err = {0};
    _Atomic bool done = false;
    library_thread l = {0};
    assert_int_equal(pthread_create(&l.thread, NULL, sleep_until_told, &done), 0);
    weir_worker_ops ops = idle_ops;
    ops.tick = signalling_library_tick;
    const weir_worker_env env = {.brokers = b->brokers, .clock = weir_clock_system(), .drain_ms = 1000};
    weir_worker *worker;
    must(weir_worker_new(&ops, &env, "one", &l, &worker, &err), &err);
    must(weir_workers_run(&worker, 1, &err), &err);
    weir_worker_free(worker);
    atomic_store(&done, true);
    (void)pthread_join(l.thread, NULL);
    assert_int_equal(l.base.dones, 1);
}

/* The thread of a worker's own that could not be stopped may use everything still. */
static void abandoning_done(void *context) {
    idler *i = context;
    if (!i) return;
    i->dones++;
    weir_worker_abandon(i->worker);
}

static void abandoned_worker_is_said_to_be(void **state) {
    broker *b = *state;
    weir_err err = {0};
    idler i = {0};
    weir_worker_ops ops = idle_ops;
    ops.tick = signalling_tick;
    ops.done = abandoning_done;
    const weir_worker_env env = {.brokers = b->brokers, .clock = weir_clock_system(), .drain_ms = 1000};
    must(weir_worker_new(&ops, &env, "one", &i, &i.worker, &err), &err);
    assert_false(weir_worker_abandoned(i.worker));
    must(weir_workers_run(&i.worker, 1, &err), &err);
    assert_int_equal(i.dones, 1);
    assert_true(weir_worker_abandoned(i.worker));
    weir_worker_free(i.worker); /* frees nothing */
    assert_true(weir_worker_abandoned(i.worker));
    abandoned = i.worker;
}

static void failure_of_one_stops_all_and_is_returned(void **state) {
    broker *b = *state;
    weir_err err = {0};
    idler idlers[2] = {{0}, {.fail_at_tick = 3}};
    assert_int_equal(run_idlers(b, idlers, true, &err), WEIR_EIO);
    assert_string_equal(err.message, "disk full");
    assert_int_equal(idlers[0].dones, 1);
    assert_int_equal(idlers[1].dones, 1);
}

typedef struct watcher {
    idler base;
    int port, ready_status, health_status;
    char ready[256];
} watcher;

/* Asks the process about itself once both workers run, then ends everything. */
static weir_status watching_tick(void *context, int64_t mono_us, weir_err *err) {
    watcher *w = context;
    weir_buf body = {0};
    char url[64];
    if (++w->base.ticks < 5) return WEIR_OK;
    (void)mono_us;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/healthz", w->port);
    weir_status status = weir_http_call("GET", url, NULL, NULL, 0, 2000, &w->health_status, &body, err);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/readyz", w->port);
    if (!status) status = weir_http_call("GET", url, NULL, NULL, 0, 2000, &w->ready_status, &body, err);
    if (!status) (void)snprintf(w->ready, sizeof w->ready, "%s", body.data);
    weir_buf_done(&body);
    (void)kill(getpid(), SIGTERM);
    return status;
}

static void health_and_readiness_are_served(void **state) {
    broker *b = *state;
    weir_err err = {0};
    weir_http_server *http;
    weir_worker *worker;
    must(weir_http_server_start("127.0.0.1", 0, 1, 1024, &http, &err), &err);
    watcher w = {.port = weir_http_server_port(http)};
    weir_worker_ops ops = idle_ops;
    ops.tick = watching_tick;
    const weir_worker_env env = {.brokers = b->brokers, .clock = weir_clock_system(), .http = http, .drain_ms = 1000};
    must(weir_worker_new(&ops, &env, "one", &w, &worker, &err), &err);
    must(weir_workers_run(&worker, 1, &err), &err);
    assert_int_equal(w.health_status, 200);
    assert_int_equal(w.ready_status, 200);
    assert_string_equal(w.ready, "{\"status\":\"ready\",\"workers\":{\"one/trigger\":true}}\n");
    weir_worker_free(worker);
    weir_http_server_stop(http);
}

int main(void) {
    weir_log_init(fopen("/dev/null", "w"), WEIR_LOG_JSON, WEIR_LOG_ERROR);
    const struct CMUnitTest tests[] = {
#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, start_broker, stop_broker)
        WITH_BROKER(every_record_is_handled_once_and_the_next_run_goes_on_after_them),
        WITH_BROKER(failing_batch_is_delivered_again_from_its_first_record),
        WITH_BROKER(a_worker_that_was_away_writes_nothing_before_the_group_says_that_it_is_a_member),
        WITH_BROKER(stop_during_a_retry_stores_nothing_of_the_batch),
        WITH_BROKER(what_a_checkpoint_did_not_take_comes_again_after_a_reset),
        WITH_BROKER(a_clean_stop_ends_with_a_checkpoint_and_the_next_run_goes_on_behind_it),
        WITH_BROKER(rejected_record_goes_to_the_dead_letters_with_its_reason),
        WITH_BROKER(batch_that_blames_one_record_is_taken_apart),
        WITH_BROKER(init_is_tried_again_until_it_succeeds),
        WITH_BROKER(fatal_error_ends_the_worker_and_stores_nothing_of_the_batch),
        WITH_BROKER(undelivered_dead_letter_is_sent_again),
        WITH_BROKER(signal_stops_all_workers),
        WITH_BROKER(signal_that_a_library_s_thread_gets_stops_the_workers),
        WITH_BROKER(abandoned_worker_is_said_to_be),
        WITH_BROKER(failure_of_one_stops_all_and_is_returned),
        WITH_BROKER(health_and_readiness_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
