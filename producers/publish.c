/* Publishes a source of records to the topics of its pipeline, as fast as it can or paced. Nothing is allocated per record. */
#include "producers/records.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/bus.h"

enum {
    STEP_US = 100000, /* longest sleep: stop, a new rate and progress are looked at this often */
    PROGRESS_EVERY = 1024, /* records between looks at the clock when nothing is paced */
    RETRY_US = 500000, /* registry away */
    STOPPED_FLUSH_MS = 10000, /* told to stop while the broker is away: how long what is queued may still take */
    FLUSH_MS = 30000,
};
#define BURST_S 0.1 /* what the bucket holds: what a late wake-up may catch up with */

struct weir_publisher {
    const weir_pipeline *pipeline;
    weir_publish_conf conf;
    weir_clock *clock;
    weir_registry *registry;
    weir_serde *serdes[2]; /* by weir_feed; labels NULL when the pipeline has none */
    weir_producer *producer;
    weir_buf value;
    weir_record ahead; /* taken from the records, known after until_us */
    bool has_ahead;
    _Atomic double rate;
    double tokens;
    int64_t filled_us; /* when the bucket was filled last */
    int64_t first_at_us, first_us; /* the run's first record: its time, and when that was; pairs event time and wall time */
    bool has_first;
    _Atomic int64_t events, labels;
    int64_t at_us, told_us;
    const volatile int *stop;
};

static const weir_feed_def *feed_of(const weir_publisher *p, weir_feed feed) {
    return feed == WEIR_FROM_EVENTS ? &p->pipeline->events : &p->pipeline->labels;
}

static weir_status open_feed(weir_publisher *p, weir_feed which, weir_err *err) {
    const weir_feed_def *feed = feed_of(p, which);
    if (!feed->topic) return WEIR_OK;
    int partitions;
    uint32_t id;
    weir_buf subject = {0};
    if (!weir_buf_printf(&subject, "%s-value", feed->topic)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a subject");
    weir_status st = weir_bus_partitions(p->conf.brokers, feed->topic, &partitions, err);
    if (!st) st = weir_registry_register(p->registry, subject.data, weir_schema_json(feed->schema), &id, err);
    if (!st) st = weir_serde_new(p->registry, subject.data, feed->schema, &p->serdes[which], err);
    weir_buf_done(&subject);
    return st;
}

weir_status weir_publisher_new(const weir_pipeline *pipeline, const weir_publish_conf *conf, weir_publisher **ret_publisher, weir_err *err) {
    weir_publisher *p = weir_mem.realloc(NULL, sizeof *p);
    if (!p) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a publisher");
    memset(p, 0, sizeof *p);
    p->pipeline = pipeline;
    p->conf = *conf;
    p->clock = conf->clock ? conf->clock : weir_clock_system();
    p->rate = conf->rate;
    weir_status st = weir_registry_new(conf->registry_url, &p->registry, err);
    if (!st) st = open_feed(p, WEIR_FROM_EVENTS, err);
    if (!st) st = open_feed(p, WEIR_FROM_LABELS, err);
    if (!st) st = weir_producer_new_patient(conf->brokers, "weir-publish", &p->producer, err);
    if (st) {
        weir_publisher_free(p);
        return st;
    }
    *ret_publisher = p;
    return WEIR_OK;
}

void weir_publisher_free(weir_publisher *p) {
    if (!p) return;
    weir_producer_free(p->producer);
    weir_serde_free(p->serdes[0]);
    weir_serde_free(p->serdes[1]);
    weir_registry_free(p->registry);
    weir_buf_done(&p->value);
    weir_mem.realloc(p, 0);
}

int64_t weir_publisher_events(const weir_publisher *p) {
    return p->events;
}
int64_t weir_publisher_labels(const weir_publisher *p) {
    return p->labels;
}
void weir_publisher_set_rate(weir_publisher *p, double rate) {
    p->rate = rate;
}

/* ---- time ---- */

static bool stopping(const weir_publisher *p) {
    return p->stop && *p->stop;
}

static void tell(weir_publisher *p, bool now) {
    if (!p->conf.progress) return;
    int64_t mono_us = weir_clock_mono_us(p->clock);
    if (!now && p->told_us && mono_us - p->told_us < STEP_US) return;
    p->told_us = mono_us;
    p->conf.progress(p->conf.progress_context, p->events, p->labels, p->at_us);
}

static void rest(weir_publisher *p, double wanted_us) {
    weir_clock_sleep_us(p->clock, wanted_us < STEP_US ? (int64_t)ceil(wanted_us) : STEP_US);
    tell(p, false);
}

/* Token bucket of events; labels ride along. */
static void wait_for_token(weir_publisher *p) {
    for (double rate; (rate = p->rate) > 0 && p->tokens < 1 && !stopping(p);) {
        int64_t now_us = weir_clock_mono_us(p->clock);
        double most = fmax(1, rate * BURST_S);
        if (!p->filled_us) p->filled_us = now_us, p->tokens = 1;
        p->tokens = fmin(most, p->tokens + rate * (double)(now_us - p->filled_us) / 1e6);
        p->filled_us = now_us;
        if (p->tokens < 1) rest(p, (1 - p->tokens) / rate * 1e6);
    }
    p->tokens -= 1;
    if (p->tokens < 0) p->tokens = 0; /* not paced */
}

static void wait_for_event_time(weir_publisher *p, int64_t at_us) {
    if (!p->has_first) {
        p->has_first = true;
        p->first_at_us = at_us;
        p->first_us = weir_clock_mono_us(p->clock);
    }
    while (!stopping(p)) {
        double due_us = (double)(at_us - p->first_at_us) / p->conf.speed, passed_us = (double)(weir_clock_mono_us(p->clock) - p->first_us);
        if (passed_us >= due_us) return;
        rest(p, due_us - passed_us);
    }
}

/* ---- sending ---- */

static weir_status encode(weir_publisher *p, const weir_record *record, weir_err *err) {
    for (;;) {
        weir_buf_clear(&p->value);
        weir_status st = weir_serde_encode(p->serdes[record->feed], record->row, &p->value, err);
        if (!st || err->action != WEIR_ACTION_RETRY || stopping(p)) return st;
        weir_clock_sleep_us(p->clock, RETRY_US);
    }
}

static weir_status send_record(weir_publisher *p, const weir_record *record, weir_err *err) {
    const weir_feed_def *feed = feed_of(p, record->feed);
    char key[WEIR_KEY_MAX], at[WEIR_TIME_TEXT_MAX];
    size_t key_len;
    if (!p->serdes[record->feed]) return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no labels topic to publish to", p->pipeline->name);
    weir_status st = weir_key_make(feed, feed->key_index, feed->key_count, record->row, key, &key_len, err);
    if (!st) st = encode(p, record, err);
    if (st) return weir_err_prefix(err, "record of %s known at %s", feed->topic, weir_time_format(record->at_us, at));
    p->at_us = record->at_us;
    if (p->conf.skip && p->conf.skip(p->conf.skip_context, record->feed, p->value.data, p->value.len)) return WEIR_OK;
    for (;;) { /* a full queue: the broker is slow or away */
        st = weir_producer_send(p->producer, feed->topic, -1, key, key_len, p->value.data, p->value.len, p->conf.headers, p->conf.header_count, 0, err);
        if (!st || err->action != WEIR_ACTION_RETRY || stopping(p)) break;
        tell(p, false);
    }
    if (st) return st;
    *(record->feed == WEIR_FROM_EVENTS ? &p->events : &p->labels) += 1;
    return WEIR_OK;
}

/* Waits for as long as the broker takes; weir_producer_flush would throw away what is late. */
static weir_status acknowledge(weir_publisher *p, weir_err *err) {
    while (weir_producer_pending(p->producer) && !stopping(p)) {
        weir_clock_sleep_us(weir_clock_system(), 2000); /* real time, whatever clock paces */
        tell(p, false);
    }
    weir_status st = weir_producer_flush(p->producer, stopping(p) ? STOPPED_FLUSH_MS : FLUSH_MS, err);
    if (st) err->action = WEIR_ACTION_FATAL; /* what came before it is published: the caller cannot simply run again */
    return st;
}

static weir_status publish(weir_publisher *p, weir_records *records, int64_t until_us, weir_err *err) {
    for (int64_t sent = 0; !stopping(p); sent++) {
        weir_status st = WEIR_OK;
        if (!p->has_ahead) st = weir_records_next(records, &p->ahead, &p->has_ahead, err);
        if (st) return st;
        if (!p->has_ahead || p->ahead.at_us >= until_us) return WEIR_OK;
        if (p->conf.speed > 0) wait_for_event_time(p, p->ahead.at_us);
        if (p->ahead.feed == WEIR_FROM_EVENTS && p->rate > 0) wait_for_token(p);
        if (stopping(p)) return WEIR_OK; /* the record stays ahead */
        st = send_record(p, &p->ahead, err);
        if (st) return stopping(p) && err->action == WEIR_ACTION_RETRY ? WEIR_OK : st;
        p->has_ahead = false;
        if (sent % PROGRESS_EVERY == 0) tell(p, false);
    }
    return WEIR_OK;
}

weir_status weir_publisher_run(weir_publisher *p, weir_records *records, int64_t until_us, const volatile int *stop, weir_err *err) {
    p->stop = stop;
    p->has_first = false;
    if (p->conf.until_us && p->conf.until_us < until_us) until_us = p->conf.until_us;
    weir_err late;
    weir_status st = publish(p, records, until_us, err), flushed = acknowledge(p, st ? &late : err);
    tell(p, true);
    return st ? st : flushed;
}
