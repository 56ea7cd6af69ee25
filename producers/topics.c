/* Records from topics of somebody else: an archive of events, of another cluster's mirror or from before, and one of labels beside it. Each is read from its beginning to where
 * it ended when it was opened, its partitions merged by event time (core/bus_align.c), the two by when a record becomes known. */
#include <inttypes.h>
#include <string.h>

#include "producers/records.h"

enum { BATCH = 4096, POLL_MS = 100, ASK_TIMEOUT_MS = 10000, SILENT_POLLS_MAX = 300 };

typedef struct topic_stream {
    const char *topic;
    const weir_feed_def *feed;
    weir_feed kind;
    weir_consumer *consumer;
    weir_serde *serde;
    weir_datum *row;
    int time_index; /* when a record is known: column of the schema */
    int64_t *ends, *passed; /* [partitions] where it ends for us; up to where it was looked at */
    weir_partition *positions; /* [partitions] scratch */
    int partitions;
    weir_bus_record batch[BATCH];
    size_t count, at;
    bool has_row, ended;
    int64_t at_us; /* of the row */
} topic_stream;

typedef struct topic_source {
    weir_registry *registry;
    topic_stream *streams[2]; /* by weir_feed; NULL: none */
    int64_t until_us, at_us;
} topic_source;

/* ---- one topic ---- */

static weir_status where(const weir_bus_record *record, weir_err *err) {
    return weir_err_prefix(err, "%s [%d] at %" PRId64, record->topic, (int)record->partition, record->offset);
}

static weir_status decode(topic_stream *s, const weir_bus_record *record, weir_err *err) {
    if (!record->value) return WEIR_FAIL(err, WEIR_EDATA, "the record has no value, expected %s in Confluent wire format", weir_schema_name(s->feed->schema));
    return weir_serde_decode(s->serde, record->value, record->value_len, s->row, NULL, err);
}

static bool time_of(void *context, const weir_bus_record *record, int64_t *ret_time_us) {
    topic_stream *s = context;
    weir_err why; /* told when it is its turn */
    if (decode(s, record, &why) || s->row[s->time_index].type != WEIR_T_I64) return false;
    *ret_time_us = s->row[s->time_index].i;
    return true;
}

/* Offsets without a record, of a compacted topic and behind transactions, are passed too: the position tells. */
static bool is_at_end(topic_stream *s) {
    size_t count = weir_consumer_assignment(s->consumer, s->positions, (size_t)s->partitions);
    for (size_t i = 0; i < count && i < (size_t)s->partitions; i++) {
        const weir_partition *p = &s->positions[i];
        if (p->partition < s->partitions && p->offset > s->passed[p->partition]) s->passed[p->partition] = p->offset;
    }
    for (int i = 0; i < s->partitions; i++)
        if (s->passed[i] < s->ends[i]) return false;
    return true;
}

static weir_status fetch(topic_stream *s, weir_err *err) {
    weir_consumer_release(s->consumer, s->batch, s->count);
    s->count = s->at = 0;
    for (int silent = 0; !s->count; silent++) {
        if ((s->ended = is_at_end(s))) return WEIR_OK;
        if (silent == SILENT_POLLS_MAX)
            return WEIR_RETRY(err, WEIR_ETIMEOUT, "topic %s: no record for %d s, and it is not read to its end", s->topic, SILENT_POLLS_MAX * POLL_MS / 1000);
        weir_status status = weir_consumer_poll(s->consumer, s->batch, BATCH, POLL_MS, &s->count, err);
        if (status) return status;
    }
    return WEIR_OK;
}

/* The next row that was known before the cut, if there is one. */
static weir_status look(topic_stream *s, int64_t until_us, weir_err *err) {
    while (s && !s->has_row && !s->ended) {
        if (s->at == s->count) {
            weir_status status = fetch(s, err);
            if (status) return status;
            continue;
        }
        const weir_bus_record *record = &s->batch[s->at++];
        if (record->offset >= s->ends[record->partition]) continue;
        if (decode(s, record, err)) return where(record, err);
        if (s->row[s->time_index].type != WEIR_T_I64) {
            (void)WEIR_FAIL(err, WEIR_EDATA, "field \"%s\" is null, expected a time", weir_schema_field_at(s->feed->schema, s->time_index)->name);
            return where(record, err);
        }
        s->at_us = s->row[s->time_index].i;
        s->has_row = s->at_us < until_us;
    }
    return WEIR_OK;
}

/* ---- both ---- */

/* What is known at t counts for an event at t: the label goes first. A record out of order in its partition comes as it is; its time is then that of the one before. */
static weir_status source_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    topic_source *source = context;
    for (int f = 0; f < 2; f++) {
        weir_status status = look(source->streams[f], source->until_us, err);
        if (status) return status;
    }
    topic_stream *e = source->streams[WEIR_FROM_EVENTS], *l = source->streams[WEIR_FROM_LABELS];
    bool has_event = e && e->has_row, has_label = l && l->has_row;
    *ret_more = has_event || has_label;
    if (!*ret_more) return WEIR_OK;
    topic_stream *s = has_label && (!has_event || l->at_us <= e->at_us) ? l : e;
    if (s->at_us > source->at_us) source->at_us = s->at_us;
    s->has_row = false;
    *ret_record = (weir_record){.feed = s->kind, .at_us = source->at_us, .row = s->row};
    return WEIR_OK;
}

static void stream_free(topic_stream *s) {
    if (!s) return;
    if (s->consumer) weir_consumer_release(s->consumer, s->batch, s->count);
    weir_consumer_free(s->consumer);
    weir_serde_free(s->serde);
    weir_mem.realloc(s->row, 0);
    weir_mem.realloc(s->ends, 0);
    weir_mem.realloc(s->passed, 0);
    weir_mem.realloc(s->positions, 0);
    weir_mem.realloc(s, 0);
}

static void source_done(void *context) {
    topic_source *source = context;
    for (int f = 0; f < 2; f++) stream_free(source->streams[f]);
    weir_registry_free(source->registry);
    weir_mem.realloc(source, 0);
}

static const weir_records_ops source_ops = {.next = source_next, .done = source_done};

/* ---- opening ---- */

static weir_status ask_ends(topic_stream *s, weir_err *err) {
    for (int i = 0; i < s->partitions; i++) {
        weir_status status = weir_consumer_range(s->consumer, s->topic, i, &s->passed[i], &s->ends[i], ASK_TIMEOUT_MS, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status open_stream(topic_source *source, const char *brokers, const char *topic, const weir_feed_def *feed, weir_feed kind, weir_err *err) {
    topic_stream *s = weir_mem.realloc(NULL, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read topic %s", topic);
    memset(s, 0, sizeof *s);
    source->streams[kind] = s;
    s->topic = topic;
    s->feed = feed;
    s->kind = kind;
    s->time_index = feed->available_index >= 0 ? feed->available_index : feed->time_index;
    weir_status status = weir_bus_partitions(brokers, topic, &s->partitions, err);
    if (status) return weir_err_prefix(err, "topic %s", topic);
    size_t n = (size_t)s->partitions;
    s->row = weir_mem.realloc(NULL, (size_t)weir_schema_field_count(feed->schema) * sizeof *s->row);
    s->ends = weir_mem.realloc(NULL, n * sizeof *s->ends);
    s->passed = weir_mem.realloc(NULL, n * sizeof *s->passed);
    s->positions = weir_mem.realloc(NULL, n * sizeof *s->positions);
    if (!s->row || !s->ends || !s->passed || !s->positions) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read topic %s", topic);
    status = weir_serde_new(source->registry, NULL, feed->schema, &s->serde, err);
    if (!status) status = weir_consumer_new_tail(brokers, &topic, 1, false, &s->consumer, err);
    if (!status) status = weir_consumer_align(s->consumer, topic, &(weir_alignment){.time_of = time_of, .context = s}, err);
    return status ? status : ask_ends(s, err);
}

weir_status weir_records_from_topics(const weir_pipeline *pipeline, const char *brokers, const char *registry_url, const char *events, const char *labels,
                                     int64_t until_us, weir_records **ret_records, weir_err *err) {
    if (labels && !pipeline->labels.topic) return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no labels, found topic %s of labels", pipeline->name, labels);
    weir_records *records = weir_mem.realloc(NULL, sizeof *records);
    topic_source *source = weir_mem.realloc(NULL, sizeof *source);
    if (!records || !source) {
        weir_mem.realloc(records, 0);
        weir_mem.realloc(source, 0);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a source of records");
    }
    *source = (topic_source){.until_us = until_us ? until_us : INT64_MAX, .at_us = INT64_MIN};
    *records = (weir_records){.ops = &source_ops, .context = source, .event_count = -1};
    weir_status status = weir_registry_new(registry_url, &source->registry, err);
    if (!status && events) status = open_stream(source, brokers, events, &pipeline->events, WEIR_FROM_EVENTS, err);
    if (!status && labels) status = open_stream(source, brokers, labels, &pipeline->labels, WEIR_FROM_LABELS, err);
    if (status)
        weir_records_free(records);
    else
        *ret_records = records;
    return status;
}
