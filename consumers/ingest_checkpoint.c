/* ingest, what becomes durable: checkpoints, and entities written back.
 *
 * A checkpoint: some dirty entities are written back, that is, snapshots of them are queued and their states go into a transaction of the online store → the producer is
 * flushed → the positions of the features topics go into the transaction → commit → the loop stores the consumer's offsets. Killed before the flush, some values and
 * snapshots are in the topic, and restoring takes them in; before the commit, all are; before the offsets, records come again whose sources the states have.
 *
 * What is not written back is in the topic: the position of a partition is the offset of the oldest value whose entity is still dirty, and restoring goes on from there. So a
 * checkpoint need not write every entity that a record has touched, which with millions of them would be one snapshot and one page of the store for every value. Segments
 * (features/entities.h) are written back
 *   when it costs little: their values since the last time are many times what they are written with;
 *   in turn, one after REPLAY_VALUES / 256 values or REPLAY_US / 256: so much at most is read again after a crash, and a snapshot is there long before compaction;
 *   when dirty entities take too much of the memory; when no records come; and all that half of drain_ms suffices for before the partitions go to another. */
#include <stdlib.h>
#include <string.h>

#include "consumers/ingest_internal.h"

enum {
    ENDS_TIMEOUT_MS = 10000,
    WRITE_ALL_MS = 5000, /* where no drain_ms is given */
    REPLAY_VALUES = 16 << 20,
    WORTH = 2,
    IDLE_SEGMENTS = 16,
    PREFETCH_ENTITY_AHEAD = 12,
    PREFETCH_STATE_AHEAD = 6,
    WRITTEN_MOST = 64 << 20, /* bytes a checkpoint: what LMDB does for a page grows with those that its transaction has */
};
#define REPLAY_US (300 * WEIR_SECOND_US)
#define IDLE_US (WEIR_SECOND_US / 4)

/* What a segment is sorted by. */
typedef struct place {
    uint32_t hash;
    weir_entity *entity;
} place;

/* The newest value, whose last byte is the null of `state`, and the state in its place: branch 1 of the union, length, bytes. */
static weir_status snapshot(ingest *g, ingest_view *v, weir_entity *entity, weir_err *err) {
    weir_buf *out = &v->codec.codec.buf;
    const weir_buf *state;
    weir_status status = weir_changelog_put(v->log, entity, &state, err);
    if (status) return status;
    weir_buf_clear(out);
    unsigned char head[12];
    size_t n = 0;
    head[n++] = 2;
    uint64_t len = 2 * (uint64_t)state->len;
    for (; len >= 0x80; len >>= 7) head[n++] = (unsigned char)(len | 0x80);
    head[n++] = (unsigned char)len;
    if (!weir_buf_append(out, weir_entities_value(v->entities, entity), entity->value_len - 1) || !weir_buf_append(out, head, n) ||
        !weir_buf_append(out, state->data, state->len))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the snapshot of %s", entity->key);
    return ingest_post(g, v, entity, out, NULL, err);
}

static int by_hash(const void *a, const void *b) {
    uint32_t x = ((const place *)a)->hash, y = ((const place *)b)->hash;
    return (x > y) - (x < y);
}

/* In the order of the online store's keys. */
static weir_status write_back(ingest *g, ingest_view *v, int segment, weir_err *err) {
    size_t count = weir_entities_dirty_in(v->entities, segment);
    if (!count) return WEIR_OK;
    weir_arena_reset(weir_worker_scratch(g->worker));
    place *places = weir_arena_alloc(weir_worker_scratch(g->worker), count * sizeof *places);
    if (!places) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a checkpoint of %zu entities", count);
    for (size_t i = 0; i < count; i++) {
        weir_entity *entity = weir_entities_dirty_at(v->entities, segment, i);
        places[i] = (place){entity->hash, entity};
    }
    qsort(places, count, sizeof *places, by_hash);
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) { /* most have not been touched for long */
        if (i + PREFETCH_ENTITY_AHEAD < count) __builtin_prefetch(places[i + PREFETCH_ENTITY_AHEAD].entity);
        if (i + PREFETCH_STATE_AHEAD < count) weir_entities_prefetch_written(v->entities, places[i + PREFETCH_STATE_AHEAD].entity);
        status = snapshot(g, v, places[i].entity, err);
    }
    if (status) return weir_err_prefix(err, "checkpoint of view %s", v->def->name);
    weir_entities_clean_segment(v->entities, segment);
    return WEIR_OK;
}

static weir_status write_next(ingest *g, ingest_view *v, weir_err *err) {
    weir_status status = write_back(g, v, v->next_segment, err);
    v->next_segment = (v->next_segment + 1) % WEIR_ENTITY_SEGMENTS;
    return status;
}

static weir_status write_worthy(ingest *g, ingest_view *v, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < WEIR_ENTITY_SEGMENTS; i++)
        if (WORTH * weir_entities_segment_bytes(v->entities, i) <= weir_entities_segment_values(v->entities, i)) status = write_back(g, v, i, err);
    return status;
}

/* How many segments are next in turn. */
static int segments_due(const ingest *g, ingest_view *v, int64_t now_us) {
    const int64_t step_us = REPLAY_US / WEIR_ENTITY_SEGMENTS, step_values = REPLAY_VALUES / WEIR_ENTITY_SEGMENTS;
    int64_t by_time = (now_us - v->swept_at_us) / step_us, by_values = v->values_unswept / step_values, due = by_time > by_values ? by_time : by_values;
    if (due) {
        v->swept_at_us = now_us;
        v->values_unswept %= step_values;
    }
    if (now_us - g->batch_at_us >= IDLE_US && due < IDLE_SEGMENTS) due = IDLE_SEGMENTS;
    return due < WEIR_ENTITY_SEGMENTS ? (int)due : WEIR_ENTITY_SEGMENTS;
}

static bool too_dirty(const ingest *g, const ingest_view *v, size_t most) {
    return weir_entities_dirty_bytes(v->entities) > most || (weir_entities_full(v->entities) && weir_entities_dirty_bytes(v->entities) > g->dirty_most / 2);
}

static weir_status write_view(ingest *g, ingest_view *v, bool all, weir_err *err) {
    weir_status status = write_worthy(g, v, err);
    int due = all ? WEIR_ENTITY_SEGMENTS : segments_due(g, v, weir_clock_mono_us(g->env->clock));
    bool relieve = too_dirty(g, v, g->dirty_most);
    size_t bytes = 0;
    for (int i = 0; !status && bytes < WRITTEN_MOST && weir_entities_dirty_count(v->entities); i++) {
        if (i >= due && !(relieve && too_dirty(g, v, g->dirty_most - g->dirty_most / 4))) break;
        bytes += weir_entities_segment_bytes(v->entities, v->next_segment);
        status = write_next(g, v, err);
    }
    return status;
}

/* Everything that is in the features topics by now is known here, if they end where what was sent must end. They do not when somebody else wrote, an owner from before who
 * does not know that it is one: its fence would make void what is sent from here on; or when a broker acknowledged what it does not have (it went away that moment). Either
 * way the states are restored from the topics, under a new epoch, and what was not committed comes again. */
static weir_status put_positions(ingest *g, weir_err *err) {
    size_t count = ingest_list_held(g);
    weir_status status = weir_consumer_ends(weir_worker_consumer(g->worker), g->ends, count, ENDS_TIMEOUT_MS, err);
    for (size_t i = 0; !status && i < count; i++) {
        const weir_partition *p = &g->ends[i];
        const ingest_view *v = &g->views[p->topic_index];
        if (p->offset != v->ends[p->partition])
            return WEIR_RETRY(err, WEIR_ECONFLICT, "%s [%d] ends at %lld, expected %lld: somebody else wrote to it, or acknowledged records are not there",
                              p->topic, (int)p->partition, (long long)p->offset, (long long)v->ends[p->partition]);
        int64_t since = weir_entities_since(v->entities, p->partition), position = since < p->offset ? since : p->offset;
        status = weir_online_put_offset(g->online, p->topic, p->partition, position, err);
        /* Else the one that was kept is low enough for what would be read again. */
        if (!status && position >= v->begun[p->partition]) status = weir_changelog_put_epoch(v->log, p->topic, p->partition, err);
    }
    return status;
}

static weir_status checkpoint(ingest *g, bool all, weir_err *err) {
    int64_t start_us = weir_clock_mono_us(g->env->clock);
    weir_status status = weir_online_begin(g->online, err);
    if (status) return status;
    for (int i = 0; !status && i < g->pipeline->view_count; i++) status = write_view(g, &g->views[i], all, err);
    if (!status) status = ingest_send(g, err);
    if (!status) status = weir_producer_flush(weir_worker_producer(g->worker), INGEST_FLUSH_MS, err);
    if (!status) status = put_positions(g, err);
    if (status) {
        weir_online_abort(g->online);
        return status;
    }
    if ((status = weir_online_commit(g->online, err))) return status;
    for (int i = 0; i < g->pipeline->view_count; i++) weir_entities_evict(g->views[i].entities);
    weir_metric_observe(g->checkpoint_seconds, (double)(weir_clock_mono_us(g->env->clock) - start_us) / 1e6);
    return WEIR_OK;
}

weir_status ingest_checkpoint(void *context, weir_err *err) {
    ingest *g = context;
    weir_status status = checkpoint(g, false, err);
    g->failed |= status != WEIR_OK;
    return status;
}

static bool is_dirty(const ingest *g) {
    bool dirty = false;
    for (int i = 0; i < g->pipeline->view_count; i++) dirty |= weir_entities_dirty_count(g->views[i].entities) > 0;
    return dirty;
}

weir_status ingest_write_all_back(ingest *g, weir_err *err) {
    weir_status status = WEIR_OK;
    int64_t until_us = weir_clock_mono_us(g->env->clock) + (g->env->drain_ms > 0 ? g->env->drain_ms / 2 : WRITE_ALL_MS) * INT64_C(1000);
    while (!status && !g->failed && is_dirty(g) && weir_clock_mono_us(g->env->clock) < until_us) status = checkpoint(g, true, err);
    return status;
}

bool ingest_needs_checkpoint(const ingest *g) {
    for (int i = 0; i < g->pipeline->view_count; i++)
        if (too_dirty(g, &g->views[i], g->dirty_most)) return true;
    return weir_clock_mono_us(g->env->clock) - g->batch_at_us >= IDLE_US && !g->failed && is_dirty(g);
}
