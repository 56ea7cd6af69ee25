/* store: what the topics say goes to the offline store, each record once.
 *
 *   <pipeline>.features.<view>  → table features_<view> (values and corrections; snapshots repeat a value)
 *   <pipeline>.labels           → table labels          (accepted labels only: ingest has the others in the dead letters)
 *   <pipeline>.predictions      → table predictions
 *   <pipeline>.shadows          → table shadows         (what challengers scored beside the champion)
 *
 * Rows and offsets are one PostgreSQL transaction, so the offsets that PostgreSQL has are the truth: an assignment starts there, not at Kafka's commits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/compaction.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "features/offline.h"
#include "models/recipe.h"

typedef enum store_kind { STORE_FEATURES, STORE_LABELS, STORE_PREDICTIONS, STORE_SHADOWS } store_kind;

enum { FLUSH_TIMEOUT_MS = 30000, ASK_TIMEOUT_MS = 10000, FLUSH_BYTES = 16 << 20 };

/* One topic and the table it fills. */
typedef struct store_sink {
    store_kind kind;
    char *topic;
    weir_features_codec features;
    weir_event_codec labels; /* or shadows: what has a schema of its own */
    weir_prediction_codec predictions;
    weir_datum *row;
    weir_serde *serde; /* of one of the codecs */
    weir_offline_table *table;
    weir_metric *rows;
    int64_t pending; /* rows not flushed yet */
    int64_t *next; /* [partitions] offsets before it are in PostgreSQL */
    int64_t *epochs, *stored_epochs; /* [partitions] of the features' writers: records of lower ones are void; as in PostgreSQL */
} store_sink;

typedef struct store {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_offline *offline;
    weir_recipe recipe;
    store_sink sinks[WEIR_VIEWS_MAX + 3];
    int sink_count;
    weir_metric *repeats;
    weir_compaction *compaction; /* NULL: none */
} store;

static weir_status add_sink(store *s, weir_registry *registry, store_kind kind, const weir_view_def *view, weir_err *err) {
    store_sink *sink = &s->sinks[s->sink_count++];
    sink->kind = kind;
    weir_status status = WEIR_OK;
    char table[128];
    const weir_schema *schema = NULL;
    const char *const skip[] = {"state", "epoch", "record", NULL}; /* "record" says whether its columns are there; record_… are stored */
    switch (kind) {
    case STORE_FEATURES:
        snprintf(table, sizeof table, "features_%s", view->name);
        sink->topic = weir_topic_features(s->pipeline, view);
        status = weir_features_codec_init(&sink->features, registry, s->pipeline, view, err);
        sink->row = sink->features.row;
        sink->serde = sink->features.codec.serde;
        schema = sink->features.codec.schema;
        break;
    case STORE_LABELS:
        snprintf(table, sizeof table, "labels");
        if (!(sink->topic = strdup(s->pipeline->labels.topic))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a topic name");
        status = weir_event_codec_init_json(&sink->labels, registry, weir_schema_json(s->pipeline->labels.schema), sink->topic, err);
        if (!status) {
            schema = sink->labels.schema;
            sink->row = calloc((size_t)weir_schema_field_count(schema), sizeof *sink->row);
            sink->serde = sink->labels.serde;
        }
        break;
    case STORE_PREDICTIONS:
        snprintf(table, sizeof table, "predictions");
        sink->topic = weir_topic_of(s->pipeline, "predictions");
        status = weir_prediction_codec_init(&sink->predictions, registry, s->pipeline, s->recipe.columns, s->recipe.column_count, err);
        sink->row = sink->predictions.row;
        sink->serde = sink->predictions.codec.serde;
        schema = sink->predictions.codec.schema;
        break;
    case STORE_SHADOWS:
        snprintf(table, sizeof table, "shadows");
        if (!(sink->topic = weir_topic_of(s->pipeline, "shadows"))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a topic name");
        status = weir_event_codec_init(&sink->labels, registry, "schemas/shadow.avsc", sink->topic, err);
        if (!status) {
            schema = sink->labels.schema;
            sink->row = calloc(SHADOW_COUNT, sizeof *sink->row);
            sink->serde = sink->labels.serde;
        }
        break;
    }
    if (status) return status;
    sink->next = calloc((size_t)s->pipeline->partitions, sizeof *sink->next);
    sink->epochs = calloc((size_t)s->pipeline->partitions, sizeof *sink->epochs);
    sink->stored_epochs = calloc((size_t)s->pipeline->partitions, sizeof *sink->stored_epochs);
    if (!sink->topic || !sink->row || !sink->next || !sink->epochs || !sink->stored_epochs)
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the sink of table %s", table);
    sink->rows = WEIR_METRIC("weir_store_rows_total", s->pipeline->name, table);
    return weir_offline_table_open(s->offline, table, schema, skip, &sink->table, err);
}

static void store_done(void *context) {
    store *s = context;
    if (!s) return;
    if (!weir_compaction_free(s->compaction)) { /* what it uses stays until the process ends */
        WEIR_WARN("a compaction did not stop in time; the day under way will be done again");
        weir_worker_abandon(s->worker);
        return;
    }
    for (int i = 0; i < s->sink_count; i++) {
        store_sink *sink = &s->sinks[i];
        if (sink->kind == STORE_LABELS || sink->kind == STORE_SHADOWS) free(sink->row);
        weir_features_codec_done(&sink->features);
        weir_event_codec_done(&sink->labels);
        weir_prediction_codec_done(&sink->predictions);
        free(sink->topic);
        free(sink->next);
        free(sink->epochs);
        free(sink->stored_epochs);
    }
    weir_offline_free(s->offline);
    weir_recipe_done(&s->recipe);
    free(s);
}

static weir_status store_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    weir_shared *shared = env->shared;
    store *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the store worker");
    *ret_context = s;
    s->worker = worker;
    s->pipeline = shared->pipeline;
    s->clock = env->clock;
    s->repeats = WEIR_METRIC("weir_store_repeats_total", s->pipeline->name);
    bool trains = weir_pipeline_trains(s->pipeline);
    weir_status status = trains ? weir_recipe_load(s->pipeline, &s->recipe, err) : WEIR_OK;
    if (!status) status = weir_offline_new(env->pg_url, s->pipeline, &s->offline, err);
    if (!status) status = weir_compaction_new(s->pipeline, env, &s->compaction, err);
    for (int v = 0; !status && v < s->pipeline->view_count; v++) status = add_sink(s, shared->registry, STORE_FEATURES, &s->pipeline->views[v], err);
    if (!status && s->pipeline->labels.topic) status = add_sink(s, shared->registry, STORE_LABELS, NULL, err);
    if (!status && trains) status = add_sink(s, shared->registry, STORE_PREDICTIONS, NULL, err);
    if (!status && trains) status = add_sink(s, shared->registry, STORE_SHADOWS, NULL, err);
    if (!status) status = weir_shared_set_deadletter(shared, worker, err);
    const char *topics[WEIR_VIEWS_MAX + 3];
    for (int i = 0; i < s->sink_count; i++) topics[i] = s->sinks[i].topic;
    return status ? status : weir_worker_subscribe(worker, topics, (size_t)s->sink_count, err);
}

/* The partition starts where PostgreSQL says. */
static weir_status place(store *s, weir_partition *at, weir_err *err) {
    int64_t next = -1, first = 0, end = 0;
    if (at->partition >= s->pipeline->partitions)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", at->topic, (int)at->partition,
                         s->pipeline->partitions);
    weir_status status = weir_offline_offset(s->offline, WEIR_STORE_SINK, at->topic, at->partition, &next, err);
    if (!status && next > 0) status = weir_consumer_range(weir_worker_consumer(s->worker), at->topic, at->partition, &first, &end, ASK_TIMEOUT_MS, err);
    if (status) return status;
    if (next > end) /* it would take all that is there for repeats and say nothing */
        return WEIR_FAIL(err, WEIR_ECONFLICT, "the offline store is ahead of %s [%d] (%lld > %lld): the topic was made anew; `weir reset` clears both",
                         at->topic, (int)at->partition, (long long)next, (long long)end);
    if (next >= 0) at->offset = next;
    store_sink *sink = &s->sinks[at->topic_index];
    sink->next[at->partition] = next;
    if (sink->kind != STORE_FEATURES) return WEIR_OK;
    int64_t epoch = -1;
    status = weir_offline_offset(s->offline, WEIR_STORE_EPOCH_SINK, at->topic, at->partition, &epoch, err);
    sink->epochs[at->partition] = sink->stored_epochs[at->partition] = epoch < 0 ? 0 : epoch;
    return status;
}

static weir_status store_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) status = place(context, &partitions[i], err);
    return status;
}

/* The columns that every row has, for labels, whose own schema does not have them. */
static weir_status label_meta(const store *s, const weir_bus_record *record, const weir_datum *row, char key[WEIR_KEY_MAX], weir_offline_meta *ret_meta,
                              weir_err *err) {
    const weir_feed_def *feed = &s->pipeline->labels;
    size_t len;
    weir_status status = weir_key_make(feed, feed->key_index, feed->key_count, row, key, &len, err);
    if (status) return status;
    const char *slash = memchr(key, '/', len);
    *ret_meta = (weir_offline_meta){
        .tenant = key,
        .tenant_len = (size_t)(slash - key),
        .entity = slash + 1,
        .entity_len = len - (size_t)(slash - key) - 1,
        .event_time_us = row[feed->time_index].i,
        .available_time_us = row[feed->available_index >= 0 ? feed->available_index : feed->time_index].i,
        .source_partition = record->partition,
        .source_offset = record->offset,
    };
    return WEIR_OK;
}

/* Whether a feature record is a row: no snapshot, and not written behind the fence of another writer. */
static bool is_row(store_sink *sink, const weir_bus_record *record) {
    int64_t *epoch = &sink->epochs[record->partition];
    if (sink->row[FEAT_EPOCH].i < *epoch) return false;
    *epoch = sink->row[FEAT_EPOCH].i;
    return weir_features_kind_of(&sink->features, sink->row) != WEIR_FEATURES_SNAPSHOT;
}

static weir_status add_record(store *s, store_sink *sink, const weir_bus_record *record, weir_err *err) {
    int32_t fence = sink->kind == STORE_FEATURES ? weir_features_fence_of(record) : -1;
    if (fence > sink->epochs[record->partition]) sink->epochs[record->partition] = fence;
    if (!record->value) return WEIR_OK; /* a tombstone removes an entity from the online store; history stays */
    weir_err why;
    weir_status status = weir_serde_decode(sink->serde, record->value, record->value_len, sink->row, NULL, &why);
    if (sink->kind == STORE_LABELS) {
        char key[WEIR_KEY_MAX];
        const char *error_class;
        weir_offline_meta meta;
        if (!status && record->value_len > (size_t)s->pipeline->labels.max_bytes) return WEIR_OK;
        if (!status) status = weir_pipeline_check(s->pipeline, WEIR_FROM_LABELS, sink->row, weir_clock_wall_us(s->clock), &error_class, &why);
        if (!status) status = label_meta(s, record, sink->row, key, &meta, &why);
        if (!status) status = weir_offline_add(sink->table, sink->row, &meta, &why);
        if (status && why.action == WEIR_ACTION_REJECT) return WEIR_OK; /* ingest reads the same topic and has it in the dead letters */
    } else {
        /* The one column that predictions lack; of feature records everything is their own. */
        const weir_offline_meta predicted = {.available_time_us = sink->row[PRED_PREDICTED_AT].i};
        /* Of shadows there are several for one event, so their source is their own record. */
        if (!status && sink->kind == STORE_FEATURES && !is_row(sink, record)) return WEIR_OK;
        const weir_offline_meta shadow = {
            .available_time_us = sink->row[SHADOW_PREDICTED_AT].i, .source_partition = record->partition, .source_offset = record->offset};
        const weir_offline_meta *const metas[] = {[STORE_FEATURES] = NULL, [STORE_PREDICTIONS] = &predicted, [STORE_SHADOWS] = &shadow};
        if (!status) status = weir_offline_add(sink->table, sink->row, metas[sink->kind], &why);
        if (status && why.action == WEIR_ACTION_REJECT) return weir_worker_reject(s->worker, record, "decode", &why, err);
    }
    if (status) {
        if (err) *err = why;
        return status;
    }
    sink->pending++;
    return WEIR_OK;
}

/* What has been added so far, with its offsets, becomes durable. */
static weir_status flush(store *s, const weir_bus_record *records, size_t count, weir_err *err) {
    int64_t repeats = 0;
    /* Rejects first: offsets that PostgreSQL has are never read again. */
    weir_status status = weir_producer_flush(weir_worker_producer(s->worker), FLUSH_TIMEOUT_MS, err);
    if (!status) status = weir_offline_flush(s->offline, NULL, &repeats, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) s->sinks[records[i].topic_index].next[records[i].partition] = records[i].offset + 1;
    weir_metric_add(s->repeats, (double)repeats);
    for (int i = 0; i < s->sink_count; i++) {
        weir_metric_add(s->sinks[i].rows, (double)s->sinks[i].pending);
        s->sinks[i].pending = 0;
        memcpy(s->sinks[i].stored_epochs, s->sinks[i].epochs, sizeof *s->sinks[i].epochs * (size_t)s->pipeline->partitions);
    }
    return WEIR_OK;
}

/* The batch comes again from where the last flush was. */
static void discard(store *s) {
    weir_offline_discard(s->offline);
    for (int i = 0; i < s->sink_count; i++) memcpy(s->sinks[i].epochs, s->sinks[i].stored_epochs, sizeof *s->sinks[i].epochs * (size_t)s->pipeline->partitions);
}

static weir_status add(store *s, const weir_bus_record *record, weir_err *err) {
    store_sink *sink = &s->sinks[record->topic_index];
    /* A batch that failed after its first flush comes again from its start. */
    if (record->offset < sink->next[record->partition]) return WEIR_OK;
    weir_status status = add_record(s, sink, record, err);
    if (!status && sink->kind == STORE_FEATURES)
        status = weir_offline_add_offset(s->offline, WEIR_STORE_EPOCH_SINK, record->topic, record->partition, sink->epochs[record->partition], err);
    return status ? status : weir_offline_add_offset(s->offline, WEIR_STORE_SINK, record->topic, record->partition, record->offset + 1, err);
}

static weir_status store_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    store *s = context;
    weir_status status = WEIR_OK;
    size_t bytes = 0, flushed = 0;
    for (int i = 0; i < s->sink_count; i++) s->sinks[i].pending = 0;
    for (size_t i = 0; !status && i < count; i++) {
        status = add(s, &records[i], err);
        bytes += records[i].value_len;
        if (status || bytes < FLUSH_BYTES) continue;
        status = flush(s, records, i + 1, err);
        bytes = 0;
        flushed = i + 1;
    }
    if (!status && flushed < count) status = flush(s, records, count, err);
    if (status) discard(s);
    return status;
}

static weir_status store_tick(void *context, int64_t mono_us, weir_err *err) {
    (void)err;
    weir_compaction_tick(((store *)context)->compaction, mono_us);
    return WEIR_OK;
}

const weir_worker_ops weir_store_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "store",
    .doc = "writes features, labels and predictions to the offline store",
    .init = store_init,
    .assigned = store_assigned,
    .batch = store_batch,
    .tick = store_tick,
    .done = store_done,
};
