/* ingest: raw records in, features out.
 *
 *   events, labels ──decode, check──> is the entity's partition held here? ──yes──> state ∪ record ──> features of the record ──> <pipeline>.features.<view>
 *                        │                               └──no──> <pipeline>.repartition.<view> ──> (its owner reads it there)
 *                        └──> <pipeline>.deadletter
 *
 * Partition p of every topic of the pipeline belongs to one worker (range assignor, equal counts), which therefore owns the entities whose key hashes to p, whichever
 * partition or topic their records come through. The partitions of a feed are read side by side in event time (ingest_align.c) and the records of a batch are applied in that
 * order, whatever partitions they came from, so that a backlog of several partitions does not make late what was in time. A record that comes after newer ones of its entity, within the allowed lateness, has its own value and corrects
 * theirs. The state of an entity is made from the set of its records (features/view.h), so a record that comes twice changes nothing and gives nothing.
 *
 * States are in memory (features/entities.h) and features are produced at once; a checkpoint every second makes durable what was done since the last (ingest_checkpoint.c). Killed
 * anywhere, a worker has its states from the last checkpoint and from the features topic, which is the changelog (ingest_restore.c), and goes on from the offsets of that
 * checkpoint: what comes again is in the states already. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/ingest_internal.h"
#include "consumers/kinds.h"
#include "core/log.h"

enum { PREFETCH_AHEAD = 12, PREFETCH_ENTITY_AHEAD = 8, PREFETCH_STATE_AHEAD = 4 };
#define STATS_EVERY_US (5 * WEIR_SECOND_US)
#define ONLINE_MAX_BYTES (INT64_C(64) << 30)
#define MEMORY_BYTES (INT64_C(1) << 30)

#define HEADER_SOURCE_PARTITION "weir.source.partition"
#define HEADER_SOURCE_OFFSET "weir.source.offset"
#define HEADER_SOURCE_KEY "weir.source.key"

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
    weir_check_hits hits; /* checks that it failed */
    bool refused; /* by a check that looks at other records: no view takes it */
    bool rejected; /* for at least one view: it is in the dead letters */
} ingest_record;

/* A record for one view. */
typedef struct ingest_item {
    ingest_record *record;
    const char *key; /* NUL-terminated */
    uint32_t key_len, hash;
    int32_t partition; /* that owns the entity */
    int view;
} ingest_item;

/* What a batch is sorted by: event time, then the order in which the records were polled. */
typedef struct ingest_place {
    int64_t event_time_us;
    uint32_t item;
} ingest_place;

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
    r->topic->counts[OUTCOME_REJECTED]++;
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
            status = weir_pipeline_check_hits(g->pipeline, r->topic->feed, row, g->now_us, &r->hits, &error_class, &why);
            if (r->topic->view < 0) ingest_checks_count(g, r->topic->feed, &r->hits, r->source); /* one that was re-keyed was counted before */
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
static weir_status rekey(ingest *g, const ingest_item *item, weir_err *err) {
    const ingest_record *r = item->record;
    char partition[16], offset[24];
    weir_bus_header headers[4] = {
        {HEADER_SOURCE_PARTITION, partition, (size_t)snprintf(partition, sizeof partition, "%d", (int)r->source.partition)},
        {HEADER_SOURCE_OFFSET, offset, (size_t)snprintf(offset, sizeof offset, "%lld", (long long)r->source.offset)},
    };
    size_t count = 2;
    if (r->topic->view >= 0) /* on its way again: the key is not its producer's */
        count += weir_bus_header_get(r->record, HEADER_SOURCE_KEY, &headers[count]);
    else if (r->record->key)
        headers[count++] = (weir_bus_header){HEADER_SOURCE_KEY, r->record->key, r->record->key_len};
    if (weir_bus_header_get(r->record, INGEST_HEADER_TRACE, &headers[count])) count++;
    r->topic->counts[OUTCOME_REKEYED]++;
    return weir_producer_send(weir_worker_producer(g->worker), g->views[item->view].repartition, -1, item->key, item->key_len, r->record->value,
                              r->record->value_len, headers, count, 0, err);
}

/* The state of the item's entity, in memory. */
static weir_status load(ingest *g, const ingest_item *item, weir_entity **ret_entity, weir_err *err) {
    ingest_view *v = &g->views[item->view];
    if ((*ret_entity = weir_entities_find(v->entities, item->hash, item->key, item->key_len))) return WEIR_OK;
    weir_status status = g->reading ? WEIR_OK : weir_online_read_begin(g->reader, err);
    if (status) return status;
    g->reading = true;
    return weir_changelog_load(v->log, item->hash, item->key, item->key_len, item->partition, g->reader, ret_entity, err);
}

static weir_status reject_late(ingest *g, const ingest_item *item, const weir_entity *entity, weir_err *err) {
    char time[WEIR_TIME_TEXT_MAX], newest[WEIR_TIME_TEXT_MAX];
    weir_err why;
    (void)WEIR_REJECT(&why, WEIR_EDATA, "event time %s of %s is more than the allowed lateness behind its newest, %s (view %s)",
                      weir_time_format(item->record->event_time_us, time), item->key, weir_time_format(entity->state.max_time, newest),
                      g->views[item->view].def->name);
    return reject(g, item->record, "late", &why, err);
}

static void add_hits(weir_check_hits *hits, const weir_check_hits *more) {
    hits->any |= more->any;
    for (size_t i = 0; more->any && i < sizeof hits->bits / sizeof *hits->bits; i++) hits->bits[i] |= more->bits[i];
}

/* Adds the record to its entity's state; the features go out, and what it corrects. */
static weir_status apply(ingest *g, const ingest_item *item, weir_err *err) {
    ingest_record *r = item->record;
    ingest_view *v = &g->views[item->view];
    weir_entity *entity;
    weir_applied applied;
    int position = 0;
    weir_err why;
    weir_status status = load(g, item, &entity, err);
    if (status) return status;
    if (weir_view_has_checks(v->view)) {
        weir_check_hits hits = {0};
        status = weir_view_check(v->view, &entity->state, r->event_time_us, r->source, r->row, &hits, &why);
        ingest_checks_count(g, r->topic->feed, &hits, r->source);
        if (status) {
            r->refused = true;
            return reject(g, r, "check", &why, err);
        }
        add_hits(&r->hits, &hits);
    }
    weir_view_slots(v->view, r->row, v->slots);
    status = weir_view_apply(v->view, &entity->state, r->event_time_us, r->source, v->slots, 0, &applied, &position, &why);
    if (status && why.action == WEIR_ACTION_REJECT) return reject(g, r, "limit", &why, err);
    if (status) {
        if (err) *err = why;
        return weir_err_prefix(err, "state of %s in view %s", item->key, v->def->name);
    }
    if (applied == WEIR_LATE) return reject_late(g, item, entity, err);
    if (applied == WEIR_DUPLICATE) {
        r->topic->counts[OUTCOME_DUPLICATE]++;
        return WEIR_OK;
    }
    weir_entities_resized(v->entities, entity);
    weir_bus_header trace;
    bool traced = weir_bus_header_get(r->record, INGEST_HEADER_TRACE, &trace);
    const ingest_origin origin = {
        .source = r->source,
        .event_time_us = r->event_time_us,
        .available_us = r->row[v->feed->available_index >= 0 ? v->feed->available_index : v->feed->time_index].i,
        .row = r->row,
        .hits = &r->hits,
        .trace = traced ? &trace : NULL,
    };
    status = ingest_emit_value(g, v, entity, &origin, err);
    if (status || !weir_view_affected(v->view, &entity->state, position)) return status;
    return ingest_emit_corrections(g, v, entity, position, &origin, err);
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
            topic->counts[OUTCOME_REJECTED]++;
            return weir_worker_reject(g->worker, record, "decode", &why, err);
        }
    }
    return accept(g, r, err);
}

/* Whether it is an item for a view. With checks that look at other records, the owner of the primary view's entity decides on a record for all views: one that came under
 * another key than that view's goes to that owner alone, and from there to the others. */
static bool is_for(const ingest *g, const ingest_record *r, int view, bool elsewhere) {
    bool primary = view == g->pipeline->primary_view;
    if (g->views[view].def->from != r->topic->feed) return false;
    if (r->topic->view >= 0 && r->topic->view != view) return g->has_checks && r->topic->view == g->pipeline->primary_view;
    return primary || !elsewhere;
}

/* The record as an item for each view that takes it, the primary first, for its checks decide. A key that cannot be made is rejected. */
static weir_status list_items(ingest *g, ingest_record *r, ingest_item *items, size_t *count, weir_err *err) {
    bool elsewhere = false;
    for (int k = 0; k < g->pipeline->view_count; k++) {
        int primary = g->pipeline->primary_view, i = !k ? primary : k <= primary ? k - 1 : k;
        const ingest_view *v = &g->views[i];
        if (!is_for(g, r, i, elsewhere)) continue;
        char key[WEIR_KEY_MAX];
        size_t len;
        weir_err why;
        weir_status status = weir_key_make(v->feed, weir_view_entity_columns(v->view), v->def->entity_count, r->row, key, &len, &why);
        if (status && why.action == WEIR_ACTION_REJECT)
            status = reject(g, r, "key", &why, &why);
        else if (!status) {
            ingest_item *item = &items[*count];
            *item = (ingest_item){.record = r, .key_len = (uint32_t)len, .view = i};
            if (!(item->key = weir_arena_copy(weir_worker_scratch(g->worker), key, len)))
                return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the keys of a batch");
            item->hash = weir_entities_hash(key, len);
            item->partition = weir_bus_partition_of(key, len, g->pipeline->partitions);
            if (i == primary && g->has_checks) elsewhere = !g->held[item->partition];
            ++*count;
        }
        if (status) {
            if (err) *err = why;
            return status;
        }
    }
    return WEIR_OK;
}

static int by_place(const void *a, const void *b) {
    const ingest_place *x = a, *y = b;
    if (x->event_time_us != y->event_time_us) return x->event_time_us < y->event_time_us ? -1 : 1;
    return x->item < y->item ? -1 : 1;
}

/* A live stream is in order mostly, a backlog of several partitions is not. */
static void sort_places(ingest_place *places, size_t count) {
    size_t i = 1;
    while (i < count && places[i - 1].event_time_us <= places[i].event_time_us) i++;
    if (i < count) qsort(places, count, sizeof *places, by_place);
}

static weir_status handle_items(ingest *g, const ingest_item *items, const ingest_place *places, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        if (i + PREFETCH_AHEAD < count) {
            const ingest_item *ahead = &items[places[i + PREFETCH_AHEAD].item];
            weir_entities_prefetch(g->views[ahead->view].entities, ahead->hash);
        }
        if (i + PREFETCH_ENTITY_AHEAD < count) {
            const ingest_item *ahead = &items[places[i + PREFETCH_ENTITY_AHEAD].item];
            weir_entities_prefetch_entity(g->views[ahead->view].entities, ahead->hash);
        }
        if (i + PREFETCH_STATE_AHEAD < count) {
            const ingest_item *ahead = &items[places[i + PREFETCH_STATE_AHEAD].item];
            weir_entities_prefetch_state(g->views[ahead->view].entities, ahead->hash);
        }
        const ingest_item *item = &items[places[i].item];
        if (item->record->refused) continue;
        if (g->held[item->partition])
            status = apply(g, item, err);
        else if (g->has_checks) /* the entity's state decides here, before the record goes on to other views */
            status = rekey(g, item, err);
    }
    return status;
}

/* In the order of their offsets, not of event time: who receives them takes what has a lower offset than he has seen, and is late, for a repeat. */
static weir_status rekey_items(ingest *g, const ingest_item *items, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++)
        if (!g->held[items[i].partition]) status = rekey(g, &items[i], err);
    return status;
}

static weir_status handle_all(ingest *g, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_arena *scratch = weir_worker_scratch(g->worker);
    size_t most = count * (size_t)g->pipeline->view_count, item_count = 0;
    ingest_record *taken = weir_arena_alloc(scratch, sizeof *taken * count);
    ingest_item *items = weir_arena_alloc(scratch, sizeof *items * most);
    ingest_place *places = weir_arena_alloc(scratch, sizeof *places * most);
    if (!taken || !items || !places) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu records", count);
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        status = take(g, &records[i], &taken[i], err);
        if (!status && taken[i].row) status = list_items(g, &taken[i], items, &item_count, err);
    }
    if (!status && !g->has_checks) status = rekey_items(g, items, item_count, err);
    for (size_t i = 0; i < item_count; i++) places[i] = (ingest_place){items[i].record->event_time_us, (uint32_t)i};
    if (!status) {
        sort_places(places, item_count);
        status = handle_items(g, items, places, item_count, err);
    }
    for (size_t i = 0; !status && i < count; i++) {
        const ingest_record *r = &taken[i];
        if (!r->row || r->rejected) continue;
        r->topic->counts[OUTCOME_ACCEPTED]++;
        if (r->topic->view < 0) ingest_checks_see(g, r->topic->feed, r->row);
        if (r->event_time_us > r->topic->newest_us) r->topic->newest_us = r->event_time_us;
    }
    return status;
}

static void tell_counts(ingest *g) {
    for (int i = 0; i < g->topic_count; i++) {
        ingest_topic *t = &g->topics[i];
        for (int k = 0; k < OUTCOME_COUNT; k++) {
            if (t->counts[k]) weir_metric_add(t->outcomes[k], (double)t->counts[k]);
            t->counts[k] = 0;
        }
        if (t->newest_us > INT64_MIN) weir_metric_set(t->event_time, (double)t->newest_us / 1e6);
    }
    for (int i = 0; i < g->pipeline->view_count; i++) {
        ingest_view *v = &g->views[i];
        if (v->feature_count) weir_metric_add(v->features, (double)v->feature_count);
        if (v->correction_count) weir_metric_add(v->corrections, (double)v->correction_count);
        v->feature_count = v->correction_count = 0;
    }
    ingest_checks_tell(g);
}

static weir_status ingest_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    ingest *g = context;
    g->now_us = weir_clock_wall_us(g->env->clock);
    weir_status status = handle_all(g, records, count, err);
    if (!status) status = ingest_send(g, err);
    if (g->reading) weir_online_read_end(g->reader);
    g->reading = false;
    tell_counts(g);
    for (int i = 0; i < g->pipeline->view_count; i++) weir_entities_evict(g->views[i].entities);
    g->batch_at_us = weir_clock_mono_us(g->env->clock);
    g->failed |= status != WEIR_OK;
    if (!status && ingest_needs_checkpoint(g)) weir_worker_checkpoint_soon(g->worker);
    return status;
}

static void tell_freshness(const ingest *g) {
    int64_t now_us = weir_clock_wall_us(g->env->clock);
    for (int i = 0; i < g->topic_count; i++) {
        const ingest_topic *t = &g->topics[i];
        if (t->freshness && t->newest_us > INT64_MIN) weir_metric_set(t->freshness, (double)(now_us - t->newest_us) / 1e6);
    }
}

static weir_status ingest_tick(void *context, int64_t mono_us, weir_err *err) {
    ingest *g = context;
    if (ingest_needs_checkpoint(g)) weir_worker_checkpoint_soon(g->worker);
    if (mono_us < g->stats_at_us) return WEIR_OK;
    g->stats_at_us = mono_us + STATS_EVERY_US;
    ingest_checks_tick(g);
    tell_freshness(g);
    int64_t bytes = 0;
    for (int i = 0; i < g->pipeline->view_count; i++) {
        int64_t entities = 0, of_view = 0;
        weir_status status = weir_online_stats(g->online, i, &entities, &of_view, err);
        if (status) return status;
        bytes += of_view;
        weir_metric_set(g->views[i].stored, (double)entities);
        weir_metric_set(g->views[i].memory, (double)weir_entities_bytes(g->views[i].entities));
    }
    weir_metric_set(g->online_bytes, (double)bytes);
    return WEIR_OK;
}

/* ---- life ---- */

static void ingest_done(void *context) {
    ingest *g = context;
    if (!g) return;
    for (int i = 0; i < WEIR_VIEWS_MAX; i++) {
        ingest_view *v = &g->views[i];
        weir_changelog_free(v->log);
        weir_entities_free(v->entities);
        weir_view_free(v->view);
        weir_features_codec_done(&v->codec);
        weir_buf_done(&v->outbox);
        free(v->slots);
        free(v->values);
        free(v->values_without);
        free(v->ends);
        free(v->begun);
        free(v->topic);
        free(v->repartition);
    }
    for (int f = 0; f < 2; f++) {
        weir_serde_free(g->serde[f]);
        ingest_align_free(g->align[f]);
    }
    ingest_checks_done(g);
    weir_online_reader_free(g->reader);
    weir_online_close(g->online);
    weir_buf_done(&g->pending_bytes);
    free(g->pending);
    free(g->ends);
    free(g->assigned);
    free(g->held);
    free(g);
}

/* A value that was restored at a place that is not the last: its corrections may not have reached the topic. */
static weir_status restored_late(void *context, int view, weir_entity *entity, int position, const weir_datum *row, weir_err *err) {
    ingest *g = context;
    ingest_view *v = &g->views[view];
    const ingest_origin origin = {.source = entity->source, .event_time_us = row[FEAT_EVENT_TIME].i, .available_us = row[FEAT_AVAILABLE_TIME].i};
    return ingest_emit_corrections(g, v, entity, position, &origin, err);
}

/* What needs the online store. */
static weir_status init_state(ingest *g, ingest_view *v, size_t memory_bytes, weir_err *err) {
    weir_status status = weir_entities_new(memory_bytes, &v->entities, err);
    if (status) return status;
    return weir_changelog_new(v->view, &v->codec, g->online, v->index, v->entities, g->pipeline->partitions, restored_late, g, &v->log, err);
}

static weir_status init_view(ingest *g, weir_registry *registry, int index, weir_err *err) {
    ingest_view *v = &g->views[index];
    v->def = &g->pipeline->views[index];
    v->index = index;
    v->topic = weir_topic_features(g->pipeline, v->def);
    v->repartition = weir_topic_repartition(g->pipeline, v->def);
    v->values = calloc((size_t)v->def->feature_count + 1, sizeof *v->values);
    v->values_without = calloc((size_t)v->def->feature_count + 1, sizeof *v->values);
    v->ends = calloc((size_t)g->pipeline->partitions, sizeof *v->ends);
    v->begun = calloc((size_t)g->pipeline->partitions, sizeof *v->begun);
    if (!v->topic || !v->repartition || !v->values || !v->values_without || !v->ends || !v->begun)
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", v->def->name);
    v->features = WEIR_METRIC("weir_ingest_features_total", g->pipeline->name, v->def->name);
    v->corrections = WEIR_METRIC("weir_ingest_corrections_total", g->pipeline->name, v->def->name);
    v->stored = WEIR_METRIC("weir_online_entities", g->pipeline->name, v->def->name, "ingest");
    v->memory = WEIR_METRIC("weir_ingest_memory_bytes", g->pipeline->name, v->def->name);
    weir_status status = weir_view_new(g->pipeline, v->def, &v->view, err);
    if (status) return status;
    v->feed = weir_view_feed(v->view);
    if (!(v->slots = calloc((size_t)weir_view_slot_count(v->view) + 1, sizeof *v->slots)))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", v->def->name);
    return weir_features_codec_init(&v->codec, registry, g->pipeline, v->def, err);
}

static void add_topic(ingest *g, const char *name, weir_feed feed, int view) {
    static const char *const outcomes[OUTCOME_COUNT] = {"accepted", "duplicate", "rekeyed", "rejected"};
    ingest_topic *topic = &g->topics[g->topic_count++];
    *topic = (ingest_topic){
        .feed = feed, .view = view, .event_time = WEIR_METRIC("weir_ingest_event_time_seconds", g->pipeline->name, name), .newest_us = INT64_MIN};
    if (view < 0) topic->freshness = WEIR_METRIC("weir_ingest_freshness_seconds", g->pipeline->name, name);
    for (int k = 0; k < OUTCOME_COUNT; k++) topic->outcomes[k] = WEIR_METRIC("weir_ingest_events_total", g->pipeline->name, name, outcomes[k]);
}

/* Whether records of one entity come through several partitions. */
static bool is_spread(const weir_pipeline *pipeline, weir_feed feed) {
    for (int i = 0; i < pipeline->view_count; i++)
        if (pipeline->views[i].from == feed && pipeline->views[i].rekeyed) return true;
    return false;
}

static weir_status init_feed(ingest *g, weir_registry *registry, weir_feed feed, weir_err *err) {
    const weir_feed_def *def = feed_of(g, feed);
    char subject[300];
    snprintf(subject, sizeof subject, "%s-value", def->topic);
    g->columns[feed] = weir_schema_field_count(def->schema);
    weir_status status = weir_serde_new(registry, subject, def->schema, &g->serde[feed], err);
    /* Registered here, so that an outside producer finds the schema before the first record. */
    uint32_t id;
    if (!status) status = weir_registry_register(registry, subject, weir_schema_json(def->schema), &id, err);
    return status || !is_spread(g->pipeline, feed) ? status : ingest_align_new(g, def, registry, &g->align[feed], err);
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
    g->checkpoint_seconds = WEIR_METRIC("weir_ingest_checkpoint_seconds", pipeline->name);
    g->restore_left = WEIR_METRIC("weir_ingest_restore_records", pipeline->name);
    g->held = calloc((size_t)pipeline->partitions, sizeof *g->held);
    g->assigned = calloc((size_t)pipeline->partitions, sizeof *g->assigned);
    g->ends = calloc((size_t)pipeline->partitions * (size_t)pipeline->view_count + 1, sizeof *g->ends);
    if (!g->held || !g->assigned || !g->ends) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d partitions", pipeline->partitions);

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
    if (status || (status = ingest_checks_init(g, err))) return status;
    g->has_checks = weir_view_has_checks(g->views[pipeline->primary_view].view);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%s/ingest-%s", env->state_dir, pipeline->name, env->instance);
    if ((status = weir_online_open(dir, ONLINE_MAX_BYTES, &g->online, err))) return status;
    if ((status = weir_online_reader_new(g->online, &g->reader, err))) return status;
    size_t memory = (size_t)(env->memory_bytes > 0 ? env->memory_bytes : MEMORY_BYTES) / (size_t)(pipeline->view_count ? pipeline->view_count : 1);
    g->dirty_most = memory / 4 * 3;
    for (int i = 0; i < pipeline->view_count; i++)
        if ((status = init_state(g, &g->views[i], memory, err))) return status;
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
    .checkpoint = ingest_checkpoint,
    .reset = ingest_reset,
    .tick = ingest_tick,
    .done = ingest_done,
};
