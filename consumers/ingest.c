/* ingest: raw records in, features out.
 *
 *   events, labels ──decode, check──> is the entity's partition held here? ──yes──> state ∪ record ──> features of the record ──> <pipeline>.features.<view>
 *                        │                               └──no──> <pipeline>.repartition.<view> ──> (its owner reads it there)
 *                        └──> <pipeline>.deadletter
 *
 * Partition p of every topic of the pipeline belongs to one worker (range assignor, equal counts), which therefore owns the entities whose key hashes to p, whichever
 * partition or topic their records come through. The records of a batch are applied in order of event time, whatever partitions they came from, so that a backlog of
 * several partitions does not make late what was in time. The state of an entity is the set of its records (features/view.h), so a record that comes twice changes nothing.
 *
 * One batch: open an LMDB transaction → apply and produce → flush the producer → commit LMDB → the loop stores the offsets. Killed anywhere, the same records come
 * again: those whose state was committed are duplicates and produce nothing; the others produce the same feature records again, which readers drop by source offset.
 *
 * The features topic is the changelog: a worker that gets a partition first reads there what it has not seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "features/online.h"

enum { FLUSH_TIMEOUT_MS = 30000, RESTORE_BATCH = 4096 };
#define CHECKPOINT_EVERY_US (5 * WEIR_SECOND_US)
#define ONLINE_MAX_BYTES (INT64_C(64) << 30)

#define HEADER_SOURCE_PARTITION "weir.source.partition"
#define HEADER_SOURCE_OFFSET "weir.source.offset"
#define HEADER_SOURCE_KEY "weir.source.key"
#define HEADER_TRACE "traceparent"

/* One view and everything its records pass through. */
typedef struct ingest_view {
    const weir_view_def *def;
    weir_view *view;
    weir_features_codec codec;
    char *topic, *repartition;
    double *values, *slots; /* [feature_count], [slot_count] */
    weir_state state;
    weir_buf state_bytes;
    weir_metric *features, *entities;
} ingest_view;

/* One consumed topic: a feed, or the repartition topic of a view (which carries records of that view's feed). */
typedef struct ingest_topic {
    weir_feed feed;
    int view; /* -1: every view of the feed */
    weir_metric *accepted, *duplicate, *rekeyed, *rejected, *event_time;
    int64_t newest_us;
} ingest_topic;

typedef struct ingest {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_online *online;
    weir_serde *serde[2]; /* by weir_feed */
    int columns[2]; /* of a row, by weir_feed */
    ingest_view views[WEIR_VIEWS_MAX];
    ingest_topic topics[WEIR_VIEWS_MAX + 2];
    int topic_count;
    weir_metric *online_bytes;
    int64_t checkpoint_at_us; /* monotonic */
    bool *held; /* [partitions] assigned and restored */
} ingest;

static const weir_feed_def *feed_of(const ingest *g, weir_feed feed) {
    return feed == WEIR_FROM_EVENTS ? &g->pipeline->events : &g->pipeline->labels;
}

/* ---- one record ---- */

/* A record with where it first came from: for one that was re-keyed, the headers say. */
typedef struct ingest_record {
    const weir_bus_record *record;
    ingest_topic *topic;
    weir_source source;
    const weir_datum *row; /* in the scratch arena; NULL: rejected already */
    int64_t event_time_us;
    bool rejected; /* for at least one view: it is in the dead letters */
} ingest_record;

static int64_t header_int(const weir_bus_record *record, const char *name, int64_t fallback) {
    weir_bus_header header;
    char text[24];
    if (!weir_bus_header_get(record, name, &header) || !header.len || header.len >= sizeof text) return fallback;
    memcpy(text, header.value, header.len);
    text[header.len] = 0;
    char *end;
    int64_t value = strtoll(text, &end, 10);
    return *end ? fallback : value;
}

static weir_status reject(ingest *g, ingest_record *r, const char *error_class, const weir_err *why, weir_err *err) {
    if (r->rejected) return WEIR_OK; /* once is enough */
    r->rejected = true;
    weir_metric_add(r->topic->rejected, 1);
    if (r->topic->view < 0) return weir_worker_reject(g->worker, r->record, error_class, why, err);
    /* Re-keyed on the way: the dead letter must carry the record as its producer sent it. */
    weir_bus_record original = *r->record;
    weir_bus_header key;
    original.topic = feed_of(g, r->topic->feed)->topic;
    original.partition = r->source.partition;
    original.offset = r->source.offset;
    bool has_key = weir_bus_header_get(r->record, HEADER_SOURCE_KEY, &key);
    original.key = has_key ? key.value : NULL;
    original.key_len = has_key ? key.len : 0;
    return weir_worker_reject(g->worker, &original, error_class, why, err);
}

/* Decodes and checks. *ret_row NULL: it was rejected. */
static weir_status accept(ingest *g, ingest_record *r, weir_err *err) {
    const weir_feed_def *feed = feed_of(g, r->topic->feed);
    weir_err why = {0};
    weir_status status = WEIR_OK;
    const char *error_class = "decode";
    weir_datum *row = weir_arena_alloc(weir_worker_scratch(g->worker), sizeof *row * (size_t)g->columns[r->topic->feed]);
    if (!row) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the rows of a batch");
    if (!r->record->value) {
        status = WEIR_REJECT(&why, WEIR_EDATA, "the record has no value, expected %s in Confluent wire format", weir_schema_name(feed->schema));
    } else if (r->record->value_len > (size_t)feed->max_bytes) {
        error_class = "oversize";
        status = WEIR_REJECT(&why, WEIR_ELIMIT, "the value has %zu bytes, at most %lld are taken", r->record->value_len, (long long)feed->max_bytes);
    } else {
        status = weir_serde_decode(g->serde[r->topic->feed], r->record->value, r->record->value_len, row, NULL, &why);
        if (status == WEIR_ENOTFOUND) error_class = "schema";
        if (!status) {
            status = weir_pipeline_check(g->pipeline, r->topic->feed, row, weir_clock_wall_us(g->env->clock), &error_class, &why);
            if (!status) {
                r->row = row;
                r->event_time_us = row[feed->time_index].i;
                return WEIR_OK;
            }
        }
    }
    if (why.action == WEIR_ACTION_REJECT) return reject(g, r, error_class, &why, err);
    if (err) *err = why;
    return status;
}

/* Sends the record on to the partition that owns the entity, as it came, with where it came from. */
static weir_status rekey(ingest *g, const ingest_record *r, const ingest_view *v, const char *key, size_t key_len, weir_err *err) {
    char partition[16], offset[24];
    weir_bus_header headers[4] = {
        {HEADER_SOURCE_PARTITION, partition, (size_t)snprintf(partition, sizeof partition, "%d", (int)r->source.partition)},
        {HEADER_SOURCE_OFFSET, offset, (size_t)snprintf(offset, sizeof offset, "%lld", (long long)r->source.offset)},
    };
    size_t count = 2;
    if (r->record->key) headers[count++] = (weir_bus_header){HEADER_SOURCE_KEY, r->record->key, r->record->key_len};
    if (weir_bus_header_get(r->record, HEADER_TRACE, &headers[count])) count++;
    weir_metric_add(r->topic->rekeyed, 1);
    return weir_producer_send(weir_worker_producer(g->worker), v->repartition, -1, key, key_len, r->record->value, r->record->value_len, headers, count, 0,
                              err);
}

static weir_status emit(ingest *g, const ingest_record *r, ingest_view *v, int32_t partition, const char *key, size_t key_len, weir_err *err) {
    const weir_feed_def *feed = feed_of(g, r->topic->feed);
    weir_datum *out = v->codec.row;
    const char *slash = memchr(key, '/', key_len);
    weir_view_eval(v->view, &v->state, r->event_time_us, &r->source, v->values);
    out[FEAT_TENANT] = weir_str(key, (size_t)(slash - key));
    out[FEAT_ENTITY] = weir_str(slash + 1, key_len - (size_t)(slash - key) - 1);
    out[FEAT_EVENT_TIME] = weir_i64(r->event_time_us);
    out[FEAT_AVAILABLE_TIME] = weir_i64(r->row[feed->available_index >= 0 ? feed->available_index : feed->time_index].i);
    out[FEAT_SOURCE_PARTITION] = weir_i64(r->source.partition);
    out[FEAT_SOURCE_OFFSET] = weir_i64(r->source.offset);
    memcpy(out + FEAT_RECORD, r->row, sizeof *out * (size_t)v->codec.record_count);
    for (int i = 0; i < v->codec.feature_count; i++) out[v->codec.feature_base + i] = v->values[i] == v->values[i] ? weir_f64(v->values[i]) : weir_null();
    out[v->codec.state_index] = weir_bytes(v->state_bytes.data, v->state_bytes.len);
    weir_buf_clear(&v->codec.codec.buf);
    weir_status status = weir_serde_encode(v->codec.codec.serde, out, &v->codec.codec.buf, err);
    if (status) return status;
    weir_bus_header trace;
    size_t headers = weir_bus_header_get(r->record, HEADER_TRACE, &trace) ? 1 : 0;
    weir_metric_add(v->features, 1);
    return weir_producer_send(weir_worker_producer(g->worker), v->topic, partition, key, key_len, v->codec.codec.buf.data, v->codec.codec.buf.len, &trace,
                              headers, 0, err);
}

/* Adds the record to its entity's state, in the open transaction, and produces the features. *ret_late: it came too late for this view. */
static weir_status apply(ingest *g, const ingest_record *r, int index, int32_t partition, const char *key, size_t key_len, bool *ret_late, weir_err *err) {
    ingest_view *v = &g->views[index];
    weir_online_value stored;
    weir_status status = weir_online_get_own(g->online, index, key, key_len, &stored, err);
    if (status == WEIR_ENOTFOUND) {
        weir_state_clear(&v->state);
    } else {
        if (!status) status = weir_state_decode(v->view, stored.state, stored.state_len, &v->state, err);
        if (status) return weir_err_prefix(err, "state of %.*s in view %s", (int)key_len, key, v->def->name);
    }
    weir_applied applied;
    weir_view_slots(v->view, r->row, v->slots);
    if ((status = weir_view_apply(v->view, &v->state, r->event_time_us, r->source, v->slots, 0, &applied, NULL, err))) return status;
    *ret_late = applied == WEIR_LATE;
    if (applied != WEIR_APPLIED) {
        if (applied == WEIR_DUPLICATE) weir_metric_add(r->topic->duplicate, 1);
        return WEIR_OK;
    }
    weir_buf_clear(&v->state_bytes);
    if (!weir_state_encode(v->view, &v->state, &v->state_bytes)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the state of %.*s", (int)key_len, key);
    if ((status = emit(g, r, v, partition, key, key_len, err))) return status;
    const weir_online_value value = {.event_time_us = r->event_time_us, .source = r->source, .state = v->state_bytes.data, .state_len = v->state_bytes.len};
    return weir_online_put(g->online, index, key, key_len, &value, err);
}

static weir_status handle_view(ingest *g, ingest_record *r, int index, weir_err *err) {
    ingest_view *v = &g->views[index];
    char key[WEIR_KEY_MAX];
    size_t key_len;
    bool late = false;
    weir_err why;
    weir_status status = weir_key_make(weir_view_feed(v->view), weir_view_entity_columns(v->view), v->def->entity_count, r->row, key, &key_len, &why);
    if (!status) {
        int32_t partition = weir_bus_partition_of(key, key_len, g->pipeline->partitions);
        if (!g->held[partition]) return rekey(g, r, v, key, key_len, err);
        status = apply(g, r, index, partition, key, key_len, &late, &why);
    }
    if (status && why.action != WEIR_ACTION_REJECT) {
        if (err) *err = why;
        return status;
    }
    if (status) return reject(g, r, status == WEIR_ELIMIT ? "limit" : "key", &why, err);
    if (late) {
        char time[WEIR_TIME_TEXT_MAX], newest[WEIR_TIME_TEXT_MAX];
        (void)WEIR_REJECT(&why, WEIR_EDATA, "event time %s of %.*s is more than the allowed lateness behind its newest, %s (view %s)",
                          weir_time_format(r->event_time_us, time), (int)key_len, key, weir_time_format(v->state.max_time, newest), v->def->name);
        return reject(g, r, "late", &why, err);
    }
    return WEIR_OK;
}

/* Where the record first came from, then decoded and checked. */
static weir_status take(ingest *g, const weir_bus_record *record, ingest_record *r, weir_err *err) {
    ingest_topic *topic = &g->topics[record->topic_index];
    *r = (ingest_record){.record = record, .topic = topic, .source = {record->partition, record->offset}};
    if (topic->view >= 0) {
        r->source.partition = (int32_t)header_int(record, HEADER_SOURCE_PARTITION, -1);
        r->source.offset = header_int(record, HEADER_SOURCE_OFFSET, -1);
        if (r->source.partition < 0 || r->source.offset < 0) {
            weir_err why;
            (void)WEIR_REJECT(&why, WEIR_EDATA, "a record of %s without its headers " HEADER_SOURCE_PARTITION " and " HEADER_SOURCE_OFFSET, record->topic);
            weir_metric_add(topic->rejected, 1);
            return weir_worker_reject(g->worker, record, "decode", &why, err);
        }
    }
    return accept(g, r, err);
}

static weir_status handle(ingest *g, ingest_record *r, weir_err *err) {
    ingest_topic *topic = r->topic;
    weir_status status = WEIR_OK;
    if (topic->view >= 0) {
        status = handle_view(g, r, topic->view, err);
    } else {
        for (int i = 0; !status && i < g->pipeline->view_count; i++)
            if (g->views[i].def->from == topic->feed) status = handle_view(g, r, i, err);
    }
    if (status || r->rejected) return status;
    weir_metric_add(topic->accepted, 1);
    if (r->event_time_us > topic->newest_us) topic->newest_us = r->event_time_us;
    return WEIR_OK;
}

/* By event time; equal ones as they were polled (the records of a batch stand in one array). */
static int by_event_time(const void *a, const void *b) {
    const ingest_record *x = *(ingest_record *const *)a, *y = *(ingest_record *const *)b;
    if (x->event_time_us != y->event_time_us) return x->event_time_us < y->event_time_us ? -1 : 1;
    return x < y ? -1 : 1;
}

static weir_status handle_all(ingest *g, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_arena *scratch = weir_worker_scratch(g->worker);
    ingest_record *taken = weir_arena_alloc(scratch, sizeof *taken * count), **order = weir_arena_alloc(scratch, sizeof *order * count);
    if (!taken || !order) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu records", count);
    size_t accepted = 0;
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        status = take(g, &records[i], &taken[i], err);
        if (taken[i].row) order[accepted++] = &taken[i];
    }
    if (status) return status;
    qsort(order, accepted, sizeof *order, by_event_time);
    for (size_t i = 0; !status && i < accepted; i++) status = handle(g, order[i], err);
    return status;
}

static weir_status ingest_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    ingest *g = context;
    weir_status status = weir_online_begin(g->online, err);
    if (status) return status;
    status = handle_all(g, records, count, err);
    if (!status) status = weir_producer_flush(weir_worker_producer(g->worker), FLUSH_TIMEOUT_MS, err);
    if (status) {
        weir_online_abort(g->online);
        return status;
    }
    for (int i = 0; i < g->topic_count; i++)
        if (g->topics[i].newest_us > INT64_MIN) weir_metric_set(g->topics[i].event_time, (double)g->topics[i].newest_us / 1e6);
    return weir_online_commit(g->online, err);
}

/* ---- the changelog ---- */

/* Takes the feature record that the view's codec has just decoded into the state. */
static weir_status restore_record(ingest *g, ingest_view *v, int index, const weir_bus_record *record, weir_err *err) {
    const weir_datum *row = v->codec.row;
    const weir_online_value value = {
        .event_time_us = row[FEAT_EVENT_TIME].i,
        .source = {(int32_t)row[FEAT_SOURCE_PARTITION].i, row[FEAT_SOURCE_OFFSET].i},
        .state = row[v->codec.state_index].p,
        .state_len = row[v->codec.state_index].len,
    };
    return weir_online_put(g->online, index, record->key, record->key_len, &value, err);
}

/* Takes one batch of feature records into the state, with the positions reached. */
static weir_status restore_batch(ingest *g, ingest_view *v, int index, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = weir_online_begin(g->online, err);
    if (status) return status;
    for (size_t i = 0; !status && i < count; i++) {
        const weir_bus_record *record = &records[i];
        if (record->value && record->key) {
            weir_err why;
            status = weir_serde_decode(v->codec.codec.serde, record->value, record->value_len, v->codec.row, NULL, &why);
            if (status && why.action == WEIR_ACTION_REJECT) { /* somebody else's bytes on the changelog must not stop ingest */
                weir_log_err(WEIR_LOG_WARN, "an unreadable feature record was passed over", &why);
                status = WEIR_OK;
            } else if (status) {
                if (err) *err = why;
                break;
            } else {
                status = restore_record(g, v, index, record, err);
            }
        }
        if (!status) status = weir_online_put_offset(g->online, record->topic, record->partition, record->offset + 1, err);
    }
    if (!status) return weir_online_commit(g->online, err);
    weir_online_abort(g->online);
    return weir_err_prefix(err, "restoring view %s", v->def->name);
}

static void hold_nothing(ingest *g) {
    memset(g->held, 0, sizeof *g->held * (size_t)g->pipeline->partitions);
}

/* Reads partition p of a view's features topic from where this store has it up to its end. */
static weir_status restore_view(ingest *g, int index, int32_t partition, weir_err *err) {
    ingest_view *v = &g->views[index];
    int64_t next = -1, first = 0, end = 0, restored = 0;
    weir_consumer *consumer = NULL;
    weir_bus_record *records = NULL;
    weir_partition at = {.topic = v->topic, .partition = partition};
    weir_status status = weir_online_offset(g->online, v->topic, partition, &next, err);
    if (!status) status = weir_consumer_range(weir_worker_consumer(g->worker), v->topic, partition, &first, &end, 10000, err);
    if (status) return status;
    if (next > end)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "the local state is ahead of %s [%d] (%lld > %lld): the topic was made anew; remove the state directory",
                         v->topic, partition, (long long)next, (long long)end);
    at.offset = next < first ? first : next;
    if (at.offset >= end) return WEIR_OK;
    if (!(records = calloc(RESTORE_BATCH, sizeof *records))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to restore %s", v->topic);
    status = weir_consumer_new_assigned(g->env->brokers, &at, 1, &consumer, err);
    while (!status && at.offset < end && !weir_worker_stopping(g->worker)) {
        size_t count = 0;
        if ((status = weir_consumer_poll(consumer, records, RESTORE_BATCH, 200, &count, err))) break;
        if (count) {
            status = restore_batch(g, v, index, records, count, err);
            at.offset = records[count - 1].offset + 1;
            restored += (int64_t)count;
        } else {
            /* Compaction and control records leave gaps: the position tells where the reader stands. */
            weir_partition position;
            if (weir_consumer_assignment(consumer, &position, 1) == 1 && position.offset > at.offset) at.offset = position.offset;
        }
        weir_consumer_release(consumer, records, count);
    }
    /* Half a state must neither be used nor be marked as whole. */
    if (!status && at.offset < end) status = WEIR_RETRY(err, WEIR_ETIMEOUT, "stopped while restoring %s [%d]", v->topic, (int)partition);
    weir_consumer_free(consumer);
    free(records);
    if (!status && restored)
        WEIR_INFO("restored state from the changelog", WEIR_S("topic", v->topic), WEIR_I("partition", partition), WEIR_I("records", restored));
    return status;
}

/* Remembers that everything in the features topics so far came from here, so that a restart restores little. */
static weir_status checkpoint(ingest *g, weir_err *err) {
    weir_status status = weir_online_begin(g->online, err);
    if (status) return status;
    for (int i = 0; !status && i < g->pipeline->view_count; i++) {
        for (int32_t p = 0; !status && p < g->pipeline->partitions; p++) {
            int64_t first, end;
            if (!g->held[p]) continue;
            status = weir_consumer_range(weir_worker_consumer(g->worker), g->views[i].topic, p, &first, &end, 5000, err);
            if (!status) status = weir_online_put_offset(g->online, g->views[i].topic, p, end, err);
        }
    }
    if (!status) return weir_online_commit(g->online, err);
    weir_online_abort(g->online);
    return status;
}

static weir_status restore_partition(ingest *g, const weir_partition *partition, weir_err *err) {
    int32_t p = partition->partition;
    if (p >= g->pipeline->partitions)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", partition->topic, (int)p,
                         g->pipeline->partitions);
    weir_status status = WEIR_OK;
    if (g->held[p]) return WEIR_OK;
    for (int v = 0; !status && v < g->pipeline->view_count; v++) status = restore_view(g, v, p, err);
    if (!status) g->held[p] = true;
    return status;
}

/* Held is what is restored, and nothing after a failure: then nothing is read, the assignment is tried again or taken away without a word, and a checkpoint in between
 * would mark as known what this store has never read. */
static weir_status ingest_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    ingest *g = context;
    weir_status status = WEIR_OK;
    hold_nothing(g);
    for (size_t i = 0; !status && i < count; i++) status = restore_partition(g, &partitions[i], err);
    if (status) hold_nothing(g);
    return status;
}

static weir_status ingest_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)partitions, (void)count;
    ingest *g = context;
    weir_err why;
    weir_status status = lost ? WEIR_OK : checkpoint(g, &why);
    hold_nothing(g);
    /* Without the checkpoint the next start reads more of the changelog, no more than that. */
    if (!status || why.action == WEIR_ACTION_RETRY) return WEIR_OK;
    if (err) *err = why;
    return status;
}

static weir_status ingest_tick(void *context, int64_t mono_us, weir_err *err) {
    ingest *g = context;
    if (mono_us < g->checkpoint_at_us) return WEIR_OK;
    g->checkpoint_at_us = mono_us + CHECKPOINT_EVERY_US;
    int64_t bytes = 0;
    for (int i = 0; i < g->pipeline->view_count; i++) {
        int64_t entities = 0, of_view = 0;
        weir_status status = weir_online_stats(g->online, i, &entities, &of_view, err);
        if (status) return status;
        bytes += of_view;
        weir_metric_set(g->views[i].entities, (double)entities);
    }
    weir_metric_set(g->online_bytes, (double)bytes);
    return checkpoint(g, err);
}

/* ---- life ---- */

static void ingest_done(void *context) {
    ingest *g = context;
    if (!g) return;
    for (int i = 0; i < WEIR_VIEWS_MAX; i++) {
        ingest_view *v = &g->views[i];
        weir_view_free(v->view);
        weir_features_codec_done(&v->codec);
        weir_state_done(&v->state);
        weir_buf_done(&v->state_bytes);
        free(v->values);
        free(v->slots);
        free(v->topic);
        free(v->repartition);
    }
    for (int f = 0; f < 2; f++) weir_serde_free(g->serde[f]);
    weir_online_close(g->online);
    free(g->held);
    free(g);
}

static weir_status init_view(ingest *g, weir_registry *registry, int index, weir_err *err) {
    ingest_view *v = &g->views[index];
    v->def = &g->pipeline->views[index];
    v->topic = weir_topic_features(g->pipeline, v->def);
    v->repartition = weir_topic_repartition(g->pipeline, v->def);
    v->values = calloc((size_t)v->def->feature_count + 1, sizeof *v->values);
    if (!v->topic || !v->repartition || !v->values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", v->def->name);
    v->features = WEIR_METRIC("weir_ingest_features_total", g->pipeline->name, v->def->name);
    v->entities = WEIR_METRIC("weir_online_entities", g->pipeline->name, v->def->name, "ingest");
    weir_status status = weir_view_new(g->pipeline, v->def, &v->view, err);
    if (status) return status;
    v->slots = calloc((size_t)weir_view_slot_count(v->view) + 1, sizeof *v->slots);
    return v->slots ? weir_features_codec_init(&v->codec, registry, g->pipeline, v->def, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", v->def->name);
}

static void add_topic(ingest *g, const char *name, weir_feed feed, int view) {
    const char *pipeline = g->pipeline->name;
    g->topics[g->topic_count++] = (ingest_topic){
        .feed = feed,
        .view = view,
        .accepted = WEIR_METRIC("weir_ingest_events_total", pipeline, name, "accepted"),
        .duplicate = WEIR_METRIC("weir_ingest_events_total", pipeline, name, "duplicate"),
        .rekeyed = WEIR_METRIC("weir_ingest_events_total", pipeline, name, "rekeyed"),
        .rejected = WEIR_METRIC("weir_ingest_events_total", pipeline, name, "rejected"),
        .event_time = WEIR_METRIC("weir_ingest_event_time_seconds", pipeline, name),
        .newest_us = INT64_MIN,
    };
}

static weir_status init_feed(ingest *g, weir_registry *registry, weir_feed feed, weir_err *err) {
    const weir_feed_def *def = feed_of(g, feed);
    char subject[300];
    snprintf(subject, sizeof subject, "%s-value", def->topic);
    g->columns[feed] = weir_schema_field_count(def->schema);
    weir_status status = weir_serde_new(registry, subject, def->schema, &g->serde[feed], err);
    /* Registered here, so that an outside producer finds the schema before the first record. */
    uint32_t id;
    return status ? status : weir_registry_register(registry, subject, weir_schema_json(def->schema), &id, err);
}

static weir_status ingest_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    weir_shared *shared = env->shared;
    const weir_pipeline *pipeline = shared->pipeline;
    ingest *g = calloc(1, sizeof *g);
    if (!g) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the ingest worker");
    *ret_context = g;
    g->worker = worker;
    g->env = env;
    g->pipeline = pipeline;
    g->online_bytes = WEIR_METRIC("weir_online_bytes", pipeline->name, "ingest");
    if (!(g->held = calloc((size_t)pipeline->partitions, sizeof *g->held)))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d partitions", pipeline->partitions);

    const char *topics[WEIR_VIEWS_MAX + 2];
    add_topic(g, topics[0] = pipeline->events.topic, WEIR_FROM_EVENTS, -1);
    weir_status status = init_feed(g, shared->registry, WEIR_FROM_EVENTS, err);
    if (!status && pipeline->labels.topic) {
        add_topic(g, topics[g->topic_count] = pipeline->labels.topic, WEIR_FROM_LABELS, -1);
        status = init_feed(g, shared->registry, WEIR_FROM_LABELS, err);
    }
    for (int i = 0; !status && i < pipeline->view_count; i++) {
        if ((status = init_view(g, shared->registry, i, err))) break;
        add_topic(g, topics[g->topic_count] = g->views[i].repartition, pipeline->views[i].from, i);
    }
    if (status) return status;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%s/ingest-%s", env->state_dir, pipeline->name, env->instance);
    if ((status = weir_online_open(dir, ONLINE_MAX_BYTES, &g->online, err))) return status;
    if ((status = weir_shared_set_deadletter(shared, worker, err))) return status;
    return weir_worker_subscribe(worker, topics, (size_t)g->topic_count, err);
}

const weir_worker_ops weir_ingest_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "ingest",
    .doc = "validates records, keeps entity states, produces features",
    .init = ingest_init,
    .assigned = ingest_assigned,
    .revoked = ingest_revoked,
    .batch = ingest_batch,
    .tick = ingest_tick,
    .done = ingest_done,
};
