/* Publishing against librdkafka's broker in the process and a registry that numbers what it is given: order, keys, pacing on a clock that stands still, stopping, outages. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/http.h"
#include "producers/records.h"

enum { E_TENANT, E_ID, E_TIME, E_CUSTOMER, E_TERMINAL, E_AMOUNT };
#define APRIL INT64_C(1522540800000000) /* 2018-04-01 */
#define STEP_US (INT64_C(60) * WEIR_SECOND_US)

typedef struct stage {
    rd_kafka_t *client;
    rd_kafka_mock_cluster_t *cluster;
    weir_http_server *http;
    char registry_url[64];
    weir_pipeline *pipeline;
} stage;

/* A source of `count` events a minute apart, each labelled seven days later. */
typedef struct made {
    const weir_pipeline *pipeline;
    int64_t events, labels, count;
    weir_datum event[6], label[8];
    char id[24];
} made;

static weir_status made_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    (void)err;
    made *m = context;
    int64_t event_us = APRIL + m->events * STEP_US, label_us = APRIL + m->labels * STEP_US + 7 * WEIR_DAY_US;
    bool label = m->labels < m->events && (m->events == m->count || label_us <= event_us);
    *ret_more = m->events < m->count || m->labels < m->count;
    if (!*ret_more) return WEIR_OK;
    int64_t n = label ? m->labels++ : m->events++, at_us = APRIL + n * STEP_US;
    snprintf(m->id, sizeof m->id, "%lld", (long long)n);
    weir_datum tenant = weir_text("default"), id = weir_text(m->id);
    if (label)
        memcpy(m->label, (weir_datum[]){tenant, id, weir_i64(at_us), id, id, weir_i64(label_us), weir_bool(n % 2), weir_null()}, sizeof m->label);
    else
        memcpy(m->event, (weir_datum[]){tenant, id, weir_i64(at_us), id, id, weir_f64(1.5)}, sizeof m->event);
    *ret_record = (weir_record){.feed = label ? WEIR_FROM_LABELS : WEIR_FROM_EVENTS, .at_us = label ? label_us : at_us, .row = label ? m->label : m->event};
    return WEIR_OK;
}

static const weir_records_ops made_ops = {.next = made_next};

static void registry(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)context;
    if (!weir_buf_printf(&response->body, "{\"id\":%d}", strstr(request->path, "labels") ? 2 : 1)) response->status = 500;
}

static void must(weir_status status, const weir_err *err) {
    if (status) fail_msg("%s: %s", err->where, err->message);
}

static int start(void **state) {
    char text[256];
    weir_err err = {0};
    stage *s = calloc(1, sizeof *s);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text);
    s->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    s->cluster = rd_kafka_mock_cluster_new(s->client, 1);
    (void)rd_kafka_mock_topic_create(s->cluster, "fraud.events", 4, 1);
    (void)rd_kafka_mock_topic_create(s->cluster, "fraud.labels", 4, 1);
    must(weir_http_server_start("127.0.0.1", 0, 1, 1 << 20, &s->http, &err), &err);
    must(weir_http_server_route(s->http, &(weir_http_route){.method = "*", .path = "/*", .handler = registry}, &err), &err);
    snprintf(s->registry_url, sizeof s->registry_url, "http://127.0.0.1:%d", weir_http_server_port(s->http));
    must(weir_pipeline_load("fraud", &s->pipeline, &err), &err);
    *state = s;
    return 0;
}

static int end(void **state) {
    stage *s = *state;
    weir_pipeline_free(s->pipeline);
    weir_http_server_stop(s->http);
    rd_kafka_mock_cluster_destroy(s->cluster);
    rd_kafka_destroy(s->client);
    free(s);
    return 0;
}

static weir_publisher *open_publisher(const stage *s, weir_publish_conf conf) {
    weir_publisher *publisher = NULL;
    weir_err err = {0};
    conf.brokers = rd_kafka_mock_cluster_bootstraps(s->cluster);
    conf.registry_url = s->registry_url;
    must(weir_publisher_new(s->pipeline, &conf, &publisher, &err), &err);
    return publisher;
}

static weir_records source(made *m, const stage *s, int64_t count) {
    *m = (made){.pipeline = s->pipeline, .count = count};
    return (weir_records){.ops = &made_ops, .context = m, .event_count = count};
}

/* Reads a topic until nothing comes any more: how often each id was seen. Checks keys, partitions and schema ids. */
static int64_t read_topic(const stage *s, bool labels, unsigned char *seen, int64_t count) {
    const weir_feed_def *feed = labels ? &s->pipeline->labels : &s->pipeline->events;
    weir_consumer *consumer = NULL;
    weir_avro_plan *plan = NULL;
    weir_err err = {0};
    int64_t total = 0, last[4] = {-1, -1, -1, -1};
    must(weir_consumer_new_tail(rd_kafka_mock_cluster_bootstraps(s->cluster), (const char *const[]){feed->topic}, 1, false, &consumer, &err), &err);
    must(weir_avro_plan_new(feed->schema, feed->schema, &plan, &err), &err);
    memset(seen, 0, (size_t)count);
    for (int quiet = 0; quiet < 3;) {
        weir_bus_record records[500];
        size_t n = 0;
        must(weir_consumer_poll(consumer, records, 500, total ? 300 : 2000, &n, &err), &err);
        quiet = n ? 0 : quiet + 1;
        for (size_t i = 0; i < n; i++) {
            weir_datum row[8];
            char key[64];
            assert_memory_equal(records[i].value, labels ? "\0\0\0\0\2" : "\0\0\0\0\1", 5);
            must(weir_avro_decode(plan, (const char *)records[i].value + 5, records[i].value_len - 5, row, &err), &err);
            int key_len = snprintf(key, sizeof key, "default/%.*s", (int)row[E_CUSTOMER].len, row[E_CUSTOMER].p);
            assert_int_equal(records[i].key_len, key_len);
            assert_memory_equal(records[i].key, key, key_len);
            assert_int_equal(records[i].partition, weir_bus_partition_of(key, (size_t)key_len, 4));
            int64_t id = strtoll(key + 8, NULL, 10);
            assert_true(id > last[records[i].partition]); /* in order within a partition */
            last[records[i].partition] = id;
            assert_true(id < count);
            seen[id]++;
            total++;
        }
        weir_consumer_release(consumer, records, n);
    }
    weir_avro_plan_free(plan);
    weir_consumer_free(consumer);
    return total;
}

static void assert_each_once(const stage *s, bool labels, int64_t count) {
    unsigned char *seen = calloc((size_t)count, 1);
    assert_int_equal(read_topic(s, labels, seen, count), count);
    for (int64_t i = 0; i < count; i++) assert_int_equal(seen[i], 1);
    free(seen);
}

static void events_and_labels_arrive_once_by_key_and_in_order(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    weir_records records = source(&m, s, 12000); /* more than seven days: labels in between */
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){0});
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err);
    assert_int_equal(weir_publisher_events(publisher), 12000);
    assert_int_equal(weir_publisher_labels(publisher), 12000);
    weir_publisher_free(publisher);
    assert_each_once(s, false, 12000);
    assert_each_once(s, true, 12000);
}

static void until_leaves_the_rest_for_the_next_run(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    weir_records records = source(&m, s, 100);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.until_us = APRIL + 80 * STEP_US});
    must(weir_publisher_run(publisher, &records, APRIL, NULL, &err), &err);
    assert_int_equal(weir_publisher_events(publisher), 0);
    must(weir_publisher_run(publisher, &records, APRIL + 30 * STEP_US, NULL, &err), &err);
    assert_int_equal(weir_publisher_events(publisher), 30);
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err);
    assert_int_equal(weir_publisher_events(publisher), 80); /* conf.until_us holds for all runs */
    weir_publisher_free(publisher);
    assert_each_once(s, false, 80);
}

static void rate_paces_events(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 1000);
    weir_records records = source(&m, s, 1000);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.rate = 100, .clock = &clock.base});
    must(weir_publisher_run(publisher, &records, APRIL + 500 * STEP_US, NULL, &err), &err);
    assert_true(fabs((double)clock.now_us / 1e6 - 5) < 0.02); /* 500 at 100/s */
    int64_t before_us = clock.now_us;
    weir_publisher_set_rate(publisher, 1000);
    must(weir_publisher_run(publisher, &records, APRIL + 1000 * STEP_US, NULL, &err), &err);
    assert_true(fabs((double)(clock.now_us - before_us) / 1e6 - 0.5) < 0.02);
    before_us = clock.now_us;
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err); /* labels take no tokens */
    assert_int_equal(clock.now_us, before_us);
    assert_int_equal(weir_publisher_labels(publisher), 1000);
    weir_publisher_free(publisher);
}

static void speed_paces_by_event_time(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 1000);
    weir_records records = source(&m, s, 61);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.speed = 3600, .clock = &clock.base});
    must(weir_publisher_run(publisher, &records, APRIL + WEIR_DAY_US, NULL, &err), &err);
    assert_int_equal(weir_publisher_events(publisher), 61);
    assert_true(fabs((double)(clock.now_us - 1000) - 1e6) < 100); /* an hour of events in a second */
    weir_publisher_free(publisher);
}

typedef struct shown {
    int calls;
    int64_t events, labels, at_us;
    int stop_after;
    volatile int stop;
} shown;

static void show(void *context, int64_t events, int64_t labels, int64_t at_us) {
    shown *p = context;
    p->calls++, p->events = events, p->labels = labels, p->at_us = at_us;
    if (p->stop_after && events >= p->stop_after) p->stop = 1;
}

static void progress_is_told_ten_times_a_second_and_at_the_end(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    shown progress = {0};
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 1000);
    weir_records records = source(&m, s, 200);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.rate = 100, .clock = &clock.base, .progress = show, .progress_context = &progress});
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err);
    assert_in_range(progress.calls, 18, 24);
    assert_int_equal(progress.events, 200);
    assert_int_equal(progress.labels, 200);
    assert_int_equal(progress.at_us, APRIL + 199 * STEP_US + 7 * WEIR_DAY_US);
    weir_publisher_free(publisher);
}

static void stop_ends_it_and_what_was_sent_is_acknowledged(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    shown progress = {.stop_after = 50};
    weir_clock_manual clock;
    weir_clock_manual_init(&clock, 1000);
    weir_records records = source(&m, s, 200);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.rate = 100, .clock = &clock.base, .progress = show, .progress_context = &progress});
    must(weir_publisher_run(publisher, &records, INT64_MAX, &progress.stop, &err), &err);
    int64_t sent = weir_publisher_events(publisher);
    assert_in_range(sent, 50, 65);
    assert_each_once(s, false, sent);
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err); /* and it goes on where it was */
    assert_int_equal(weir_publisher_events(publisher), 200);
    weir_publisher_free(publisher);
    assert_each_once(s, false, 200);
}

static void *outage(void *context) {
    stage *s = context;
    usleep(20000);
    (void)rd_kafka_mock_broker_set_down(s->cluster, 1);
    usleep(1500000);
    (void)rd_kafka_mock_broker_set_up(s->cluster, 1);
    return NULL;
}

static void an_outage_loses_nothing_and_repeats_nothing(void **state) {
    stage *s = *state;
    made m;
    weir_err err = {0};
    pthread_t thread;
    weir_records records = source(&m, s, 20000);
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){.rate = 100000});
    assert_int_equal(pthread_create(&thread, NULL, outage, s), 0);
    must(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), &err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    weir_publisher_free(publisher);
    assert_each_once(s, false, 20000);
    assert_each_once(s, true, 20000);
}

static void a_missing_registry_is_told_at_the_start(void **state) {
    stage *s = *state;
    weir_err err = {0};
    weir_publisher *publisher = NULL;
    weir_publish_conf conf = {.brokers = rd_kafka_mock_cluster_bootstraps(s->cluster), .registry_url = "http://127.0.0.1:1"};
    assert_int_equal(weir_publisher_new(s->pipeline, &conf, &publisher, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_null(publisher);
}

static weir_status keyless_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    weir_status st = made_next(context, ret_record, ret_more, err);
    ((made *)context)->event[E_CUSTOMER] = weir_null();
    return st;
}

static void a_record_without_a_key_fails_and_names_itself(void **state) {
    static const weir_records_ops keyless = {.next = keyless_next};
    stage *s = *state;
    made m;
    weir_err err = {0};
    weir_records records = source(&m, s, 1);
    records.ops = &keyless;
    weir_publisher *publisher = open_publisher(s, (weir_publish_conf){0});
    assert_int_equal(weir_publisher_run(publisher, &records, INT64_MAX, NULL, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "record of fraud.events known at 2018-04-01T00:00:00"));
    assert_int_equal(weir_publisher_events(publisher), 0);
    weir_publisher_free(publisher);
}

int main(void) {
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, start, end)
    const struct CMUnitTest tests[] = {
        ON_STAGE(events_and_labels_arrive_once_by_key_and_in_order),
        ON_STAGE(until_leaves_the_rest_for_the_next_run),
        ON_STAGE(rate_paces_events),
        ON_STAGE(speed_paces_by_event_time),
        ON_STAGE(progress_is_told_ten_times_a_second_and_at_the_end),
        ON_STAGE(stop_ends_it_and_what_was_sent_is_acknowledged),
        ON_STAGE(an_outage_loses_nothing_and_repeats_nothing),
        ON_STAGE(a_missing_registry_is_told_at_the_start),
        ON_STAGE(a_record_without_a_key_fails_and_names_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
