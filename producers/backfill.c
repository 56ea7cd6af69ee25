#include "producers/backfill.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pg.h"
#include "features/intern.h"

enum {
    ASK_TIMEOUT_MS = 10000,
    POLL_MS = 200,
    POLL_MAX = 4096,
    PARTITIONS_MAX = 4096,
    DIGEST_BYTES = 16,
    SILENT_POLLS_MAX = 150,
    SETTLE_US = 2000000,
    ATTEMPTS_MAX = 50,
    RETRY_US = 200000
};

static const char header_name[] = "weir.backfill";

/* What interrupted runs have published: digests of values, with how often. */
typedef struct published {
    weir_intern digests[2]; /* by weir_feed */
    uint32_t *counts[2];
    uint32_t capacity[2];
    int64_t records;
} published;

static void published_done(published *p) {
    for (int f = 0; f < 2; f++) {
        weir_intern_done(&p->digests[f]);
        free(p->counts[f]);
    }
}

/* Half of SHA-256: two values of a billion are taken for one with a probability below 1e-20. */
static void digest_of(const void *value, size_t len, unsigned char digest[SHA256_DIGEST_LENGTH]) {
    SHA256(value, len, digest);
}

static weir_status remember(published *p, int feed, const weir_bus_record *record, weir_err *err) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    digest_of(record->value, record->value_len, digest);
    uint32_t n = weir_intern_add(&p->digests[feed], (const char *)digest, DIGEST_BYTES);
    if (n != WEIR_INTERN_NONE && n >= p->capacity[feed]) {
        uint32_t capacity = n < 1024 ? 2048 : 2 * n;
        uint32_t *counts = weir_mem.realloc(p->counts[feed], capacity * sizeof *counts);
        if (counts) {
            memset(counts + p->capacity[feed], 0, (capacity - p->capacity[feed]) * sizeof *counts);
            p->counts[feed] = counts;
            p->capacity[feed] = capacity;
        }
    }
    if (n == WEIR_INTERN_NONE || n >= p->capacity[feed]) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what the backfill has published before");
    p->counts[feed][n]++;
    p->records++;
    return WEIR_OK;
}

static bool is_published(void *context, weir_feed feed, const void *value, size_t len) {
    published *p = context;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!p->digests[feed].count) return false;
    digest_of(value, len, digest);
    uint32_t n = weir_intern_find(&p->digests[feed], (const char *)digest, DIGEST_BYTES);
    if (n == WEIR_INTERN_NONE || !p->counts[feed][n]) return false;
    p->counts[feed][n]--;
    return true;
}

/* --- offsets --- */

typedef struct ends {
    weir_partition at[PARTITIONS_MAX];
    size_t count;
} ends;

static weir_status ask_once(const weir_pipeline *p, const char *brokers, ends *e, weir_err *err) {
    const char *topics[] = {p->events.topic, p->labels.topic};
    weir_consumer *consumer = NULL;
    weir_status status = WEIR_OK;
    e->count = 0;
    for (int f = 0; !status && f < 2 && topics[f]; f++) {
        int partitions = 0;
        status = weir_bus_partitions(brokers, topics[f], &partitions, err);
        if (!status && e->count + (size_t)partitions > PARTITIONS_MAX) status = WEIR_FAIL(err, WEIR_ELIMIT, "more than %d partitions", PARTITIONS_MAX);
        for (int i = 0; !status && i < partitions; i++) e->at[e->count++] = (weir_partition){.topic = topics[f], .topic_index = f, .partition = i, .offset = 0};
    }
    if (!status) status = weir_consumer_new_assigned(brokers, e->at, e->count, &consumer, err);
    if (!status) status = weir_consumer_ends(consumer, e->at, e->count, ASK_TIMEOUT_MS, err);
    weir_consumer_free(consumer);
    return status;
}

/* Partitions that were made a moment ago have no leader yet. */
static weir_status ask_ends(const weir_pipeline *p, const char *brokers, ends *e, weir_err *err) {
    weir_status status;
    for (int attempt = 0; (status = ask_once(p, brokers, e, err)) && err->action == WEIR_ACTION_RETRY && attempt < ATTEMPTS_MAX; attempt++)
        weir_clock_sleep_us(weir_clock_system(), RETRY_US);
    return status;
}

static weir_status write_ends(const ends *e, weir_buf *text, weir_err *err) {
    bool ok = true;
    for (size_t i = 0; ok && i < e->count; i++) ok = weir_buf_printf(text, "%s %d %" PRId64 "\n", e->at[i].topic, (int)e->at[i].partition, e->at[i].offset);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for offsets");
}

/* The offsets of the text that write_ends wrote; a partition that it lacks starts at 0. */
static void read_ends(const char *text, ends *e) {
    for (size_t i = 0; i < e->count; i++) {
        char line[512];
        snprintf(line, sizeof line, "%s %d ", e->at[i].topic, (int)e->at[i].partition);
        const char *found = strstr(text, line);
        e->at[i].offset = found ? strtoll(found + strlen(line), NULL, 10) : 0;
    }
}

/* --- what is there --- */

static weir_status take_batch(const weir_pipeline *p, const char *name, const weir_bus_record *records, size_t count, ends *from, published *into,
                              weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        const weir_bus_record *record = &records[i];
        int feed = p->labels.topic && !strcmp(record->topic, p->labels.topic);
        weir_bus_header header;
        for (size_t k = 0; k < from->count; k++)
            if (from->at[k].topic_index == feed && from->at[k].partition == record->partition) from->at[k].offset = record->offset + 1;
        if (!record->value || !weir_bus_header_get(record, header_name, &header)) continue;
        if (header.len == strlen(name) && !memcmp(header.value, name, header.len)) status = remember(into, feed, record, err);
    }
    return status;
}

static bool is_before(const ends *from, const ends *until) {
    for (size_t i = 0; i < from->count; i++)
        if (from->at[i].offset < until->at[i].offset) return true;
    return false;
}

/* Everything between the offsets at which it started and now. */
static weir_status scan(const weir_pipeline *p, const char *brokers, const char *name, ends *from, const ends *until, published *into, weir_err *err) {
    weir_consumer *consumer = NULL;
    weir_bus_record *records = weir_mem.realloc(NULL, POLL_MAX * sizeof *records);
    weir_status status = records ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for reading topics");
    if (!status) status = weir_consumer_new_assigned(brokers, from->at, from->count, &consumer, err);
    for (int silent = 0; !status && is_before(from, until) && silent < SILENT_POLLS_MAX;) {
        size_t count;
        status = weir_consumer_poll(consumer, records, POLL_MAX, POLL_MS, &count, err);
        if (status) break;
        silent = count ? 0 : silent + 1;
        status = take_batch(p, name, records, count, from, into, err);
        weir_consumer_release(consumer, records, count);
    }
    if (!status && is_before(from, until)) status = WEIR_RETRY(err, WEIR_ETIMEOUT, "the topics could not be read to their end");
    weir_consumer_free(consumer);
    free(records);
    return status;
}

static weir_status refuse_others(const weir_pipeline *p, const weir_backfill *b, const ends *now, weir_err *err) {
    int64_t there = 0;
    for (size_t i = 0; i < now->count; i++) there += now->at[i].topic_index == 0 ? now->at[i].offset : 0;
    if (!there || b->beside_live) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ECONFLICT,
                     "topic %s holds records already: what is older than allowed_lateness behind its entity's newest would go to the dead letters. Backfill "
                     "before live records "
                     "come, or say --beside-live",
                     p->events.topic);
}

/* --- the run --- */

typedef struct backfill_run {
    const weir_pipeline *pipeline;
    const weir_backfill *backfill;
    const char *brokers;
    weir_pg *pg;
    ends first, now;
    published published;
} backfill_run;

/* Finds the backfill's row, or makes it, before anything is published. */
static weir_status begin(backfill_run *r, weir_backfilled *done, weir_err *err) {
    const char *params[] = {r->pipeline->name, r->backfill->name, NULL};
    PGresult *result = NULL;
    weir_buf text = {0};
    weir_status status = weir_pg_exec(r->pg, "SELECT first, handover FROM weir.backfills WHERE pipeline = $1 AND name = $2", 2, params, &result, err);
    if (status) return status;
    bool known = PQntuples(result) > 0;
    done->was_done = known && !PQgetisnull(result, 0, 1);
    if (done->was_done) {
        done->handover = strdup(PQgetvalue(result, 0, 1));
    } else {
        /* What a run that was killed a moment ago had handed to the broker may still be on its way into the log. */
        if (known) weir_clock_sleep_us(weir_clock_system(), SETTLE_US);
        status = ask_ends(r->pipeline, r->brokers, &r->now, err);
    }
    if (!status && !done->was_done) {
        r->first = r->now;
        if (known) {
            read_ends(PQgetvalue(result, 0, 0), &r->first);
            status = scan(r->pipeline, r->brokers, r->backfill->name, &r->first, &r->now, &r->published, err);
        } else if (!(status = refuse_others(r->pipeline, r->backfill, &r->now, err)) && !(status = write_ends(&r->now, &text, err))) {
            params[2] = text.data;
            status = weir_pg_exec(r->pg, "INSERT INTO weir.backfills (pipeline, name, first) VALUES ($1, $2, $3)", 3, params, NULL, err);
        }
    }
    PQclear(result);
    weir_buf_done(&text);
    return status;
}

static weir_status finish(backfill_run *r, weir_backfilled *done, weir_err *err) {
    weir_buf text = {0};
    weir_status status = ask_ends(r->pipeline, r->brokers, &r->now, err);
    if (!status) status = write_ends(&r->now, &text, err);
    const char *params[] = {r->pipeline->name, r->backfill->name, text.data};
    if (!status)
        status = weir_pg_exec(r->pg, "UPDATE weir.backfills SET handover = $3, finished_at = now() WHERE pipeline = $1 AND name = $2", 3, params, NULL, err);
    done->handover = text.data;
    return status;
}

static weir_status publish(backfill_run *r, const weir_publish_conf *how, weir_records *records, const volatile int *stop, weir_backfilled *done,
                           weir_err *err) {
    const weir_bus_header header = {.name = header_name, .value = r->backfill->name, .len = strlen(r->backfill->name)};
    weir_publish_conf conf = *how;
    weir_publisher *publisher = NULL;
    conf.headers = &header;
    conf.header_count = 1;
    conf.skip = is_published;
    conf.skip_context = &r->published;
    weir_status status = weir_publisher_new(r->pipeline, &conf, &publisher, err);
    if (!status) status = weir_publisher_run(publisher, records, INT64_MAX, stop, err);
    if (publisher) {
        done->events = weir_publisher_events(publisher);
        done->labels = weir_publisher_labels(publisher);
    }
    weir_publisher_free(publisher);
    return status;
}

weir_status weir_backfill_run(const weir_pipeline *pipeline, const weir_backfill *backfill, const weir_publish_conf *conf, weir_records *records,
                              const volatile int *stop, weir_backfilled *ret_done, weir_err *err) {
    *ret_done = (weir_backfilled){0};
    backfill_run *r = calloc(1, sizeof *r);
    if (!r) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a backfill");
    r->pipeline = pipeline;
    r->backfill = backfill;
    r->brokers = conf->brokers;
    PGresult *turn = NULL;
    const char *params[] = {pipeline->name};
    weir_status status = weir_pg_new(backfill->pg_url, &r->pg, err);
    if (!status) status = weir_pg_migrate(r->pg, err);
    if (!status) status = weir_pg_exec(r->pg, "SELECT pg_try_advisory_lock(hashtextextended('weir.backfill.' || $1, 0))", 1, params, &turn, err);
    if (!status && PQgetvalue(turn, 0, 0)[0] != 't') status = WEIR_FAIL(err, WEIR_ECONFLICT, "another backfill of pipeline %s is under way", pipeline->name);
    PQclear(turn);
    if (!status) status = begin(r, ret_done, err);
    ret_done->before = r->published.records;
    if (!status && !ret_done->was_done && !(status = publish(r, conf, records, stop, ret_done, err)) && !(stop && *stop)) status = finish(r, ret_done, err);
    published_done(&r->published);
    weir_pg_free(r->pg);
    free(r);
    return status;
}
