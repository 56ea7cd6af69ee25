/* ingest, states back: what a worker does with partitions that it is given, or has to begin again with.
 *
 *   features topics from where this store has them up to their ends → fences of a new epoch → flush → what came in between → newest values and corrections reissued → held
 *
 * Snapshots go straight into the online store; a value is applied in memory and makes its entity dirty until a snapshot of it is met. What is dirty at the end is what the
 * last owner had not put into a checkpoint. It is part of this worker's next one, and the offset that the online store keeps meanwhile is that of the oldest such value.
 *
 * A former owner may still be writing. What it wrote before the fence is read here and counts; what it writes behind the fence is void for every reader of the topic, and its
 * records come again here, since it can no longer commit their offsets. */
#include <stdlib.h>
#include <string.h>

#include "consumers/ingest_internal.h"
#include "core/log.h"

enum { RESTORE_BATCH = 32768, RESTORE_POLL_MS = 200, ASK_TIMEOUT_MS = 10000 };
#define PROGRESS_EVERY_US (5 * WEIR_SECOND_US)

/* A partition of a features topic that is read. */
typedef struct leg {
    weir_partition at; /* offset: next to read; topic_index: the view */
    int64_t end;
} leg;

typedef struct restore {
    ingest *g;
    leg *legs;
    size_t count;
    weir_bus_record *records; /* [RESTORE_BATCH] */
    int64_t read, started_us, told_us;
} restore;

size_t ingest_list_held(ingest *g) {
    size_t count = 0;
    for (int v = 0; v < g->pipeline->view_count; v++)
        for (int32_t p = 0; p < g->pipeline->partitions; p++)
            if (g->held[p]) g->ends[count++] = (weir_partition){.topic = g->views[v].topic, .topic_index = v, .partition = p};
    return count;
}

static void hold_nothing(ingest *g) {
    memset(g->held, 0, sizeof *g->held * (size_t)g->pipeline->partitions);
    for (int i = 0; i < g->pipeline->view_count; i++) {
        ingest_view *v = &g->views[i];
        weir_entities_clear(v->entities);
        v->out_count = 0;
        weir_buf_clear(&v->outbox);
    }
    g->pending_count = 0;
    weir_buf_clear(&g->pending_bytes);
    g->failed = false;
}

/* ---- reading ---- */

static leg *leg_of(restore *r, const weir_bus_record *record) {
    for (size_t i = 0; i < r->count; i++)
        if (r->legs[i].at.topic_index == record->topic_index && r->legs[i].at.partition == record->partition) return &r->legs[i];
    return NULL;
}

static int64_t left(const restore *r) {
    int64_t records = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->legs[i].end > r->legs[i].at.offset) records += r->legs[i].end - r->legs[i].at.offset;
    return records;
}

/* A value that no snapshot covers yet has to be read again after a crash. */
static int64_t uncovered(const ingest *g, const leg *l) {
    int64_t since = weir_entities_since(g->views[l->at.topic_index].entities, l->at.partition);
    return since < l->at.offset ? since : l->at.offset;
}

/* Corrections of values that are in a snapshot are in the topic before it. Has to happen before any entity is evicted. */
static void drop_settled(ingest *g) {
    size_t kept = 0, bytes = 0;
    for (size_t i = 0; i < g->pending_count; i++) {
        ingest_pending p = g->pending[i];
        if (!p.entity->dirty) continue;
        memmove(g->pending_bytes.data + bytes, g->pending_bytes.data + p.at, p.len);
        p.at = bytes;
        bytes += p.len;
        g->pending[kept++] = p;
    }
    g->pending_count = kept;
    g->pending_bytes.len = bytes;
}

/* Records of one poll: runs of one topic each. */
static weir_status take_batch(restore *r, size_t count, weir_err *err) {
    ingest *g = r->g;
    weir_status status = weir_online_begin(g->online, err);
    if (status) return status;
    for (size_t i = 0, first = 0; !status && i < count; first = i) {
        while (i < count && r->records[i].topic_index == r->records[first].topic_index) i++;
        ingest_view *v = &g->views[r->records[first].topic_index];
        if ((status = weir_changelog_apply(v->log, r->records + first, i - first, err))) (void)weir_err_prefix(err, "restoring view %s", v->def->name);
    }
    for (size_t i = 0; !status && i < count; i++) {
        leg *l = leg_of(r, &r->records[i]);
        if (l) l->at.offset = r->records[i].offset + 1;
    }
    for (size_t i = 0; !status && i < r->count; i++) {
        const leg *l = &r->legs[i];
        int64_t from = uncovered(g, l);
        status = weir_online_put_offset(g->online, l->at.topic, l->at.partition, from, err);
        /* Else the one that was kept is low enough for what will be read again. */
        if (!status && from == l->at.offset) status = weir_changelog_put_epoch(g->views[l->at.topic_index].log, l->at.topic, l->at.partition, err);
    }
    if (status) {
        weir_online_abort(g->online);
        return status;
    }
    if ((status = weir_online_commit(g->online, err))) return status;
    drop_settled(g);
    for (int v = 0; v < g->pipeline->view_count; v++) weir_entities_evict(g->views[v].entities);
    r->read += (int64_t)count;
    return WEIR_OK;
}

static void tell(restore *r) {
    int64_t now_us = weir_clock_mono_us(r->g->env->clock), records = left(r);
    weir_metric_set(r->g->restore_left, (double)records);
    if (now_us - r->told_us < PROGRESS_EVERY_US) return;
    r->told_us = now_us;
    WEIR_INFO("restoring states from the changelog", WEIR_I("records", r->read), WEIR_I("left", records),
              WEIR_I("records_per_second", r->read * WEIR_SECOND_US / (now_us - r->started_us + 1)));
}

/* Compaction and control records leave gaps: the position tells where the reader stands. */
static void note_positions(restore *r, weir_consumer *consumer, weir_partition *positions) {
    size_t count = weir_consumer_assignment(consumer, positions, r->count);
    for (size_t i = 0; i < count && i < r->count; i++)
        for (size_t k = 0; k < r->count; k++) {
            leg *l = &r->legs[k];
            if (l->at.partition == positions[i].partition && !strcmp(l->at.topic, positions[i].topic) && positions[i].offset > l->at.offset)
                l->at.offset = positions[i].offset;
        }
}

/* Reads every leg to its end. */
static weir_status run(restore *r, weir_err *err) {
    ingest *g = r->g;
    if (!left(r)) return WEIR_OK;
    weir_partition *from = calloc(r->count, sizeof *from);
    weir_consumer *consumer = NULL;
    size_t open = 0;
    if (!from) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to restore %zu partitions", r->count);
    for (size_t i = 0; i < r->count; i++)
        if (r->legs[i].at.offset < r->legs[i].end) from[open++] = r->legs[i].at;
    weir_status status = weir_consumer_new_assigned(g->env->brokers, from, open, &consumer, err);
    while (!status && left(r)) {
        size_t count = 0;
        if (weir_worker_stopping(g->worker)) /* half a state must neither be used nor be marked as whole */
            status = WEIR_RETRY(err, WEIR_ETIMEOUT, "stopped while restoring states");
        else
            status = weir_consumer_poll(consumer, r->records, RESTORE_BATCH, RESTORE_POLL_MS, &count, err);
        if (status) break;
        if (count)
            status = take_batch(r, count, err);
        else
            note_positions(r, consumer, from);
        weir_consumer_release(consumer, r->records, count);
        tell(r);
    }
    weir_consumer_free(consumer);
    free(from);
    return status;
}

/* ---- a partition's states ---- */

/* Where each leg starts and ends. */
static weir_status place(restore *r, weir_err *err) {
    ingest *g = r->g;
    for (size_t i = 0; i < r->count; i++) {
        leg *l = &r->legs[i];
        int64_t next = -1, first = 0;
        weir_status status = weir_online_offset(g->online, l->at.topic, l->at.partition, &next, err);
        if (!status) status = weir_changelog_get_epoch(g->views[l->at.topic_index].log, l->at.topic, l->at.partition, err);
        if (!status) status = weir_consumer_range(weir_worker_consumer(g->worker), l->at.topic, l->at.partition, &first, &l->end, ASK_TIMEOUT_MS, err);
        if (status) return status;
        if (next > l->end)
            return WEIR_FAIL(err, WEIR_ECONFLICT, "the local state is ahead of %s [%d] (%lld > %lld): the topic was made anew; remove the state directory",
                             l->at.topic, l->at.partition, (long long)next, (long long)l->end);
        l->at.offset = next < first ? first : next;
    }
    return WEIR_OK;
}

/* From here on what others write is void. */
static weir_status put_fences(restore *r, weir_err *err) {
    ingest *g = r->g;
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < r->count; i++) {
        const weir_partition *at = &r->legs[i].at;
        weir_changelog *log = g->views[at->topic_index].log;
        weir_changelog_set_epoch(log, at->partition, weir_changelog_epoch(log, at->partition) + 1);
        status = weir_features_fence(weir_worker_producer(g->worker), at->topic, at->partition, weir_changelog_epoch(log, at->partition), err);
    }
    return status ? status : weir_producer_flush(weir_worker_producer(g->worker), INGEST_FLUSH_MS, err);
}

/* The second ends, which are behind the fences. */
static weir_status extend(restore *r, weir_err *err) {
    ingest *g = r->g;
    for (size_t i = 0; i < r->count; i++) g->ends[i] = r->legs[i].at;
    weir_status status = weir_consumer_ends(weir_worker_consumer(g->worker), g->ends, r->count, ASK_TIMEOUT_MS, err);
    for (size_t i = 0; !status && i < r->count; i++) {
        leg *l = &r->legs[i];
        bool alone = g->ends[i].offset == l->end + 1; /* nothing but the fence: no need to read it */
        l->end = g->ends[i].offset;
        g->views[l->at.topic_index].ends[l->at.partition] = g->views[l->at.topic_index].begun[l->at.partition] = l->end;
        if (alone) l->at.offset = l->end;
    }
    return status;
}

/* A value is only there if those before it are, or a snapshot behind it: else somebody took records out of the topic. */
static weir_status check_gaps(const ingest *g, weir_err *err) {
    for (int v = 0; v < g->pipeline->view_count; v++)
        for (int segment = 0; segment < WEIR_ENTITY_SEGMENTS; segment++)
            for (size_t i = 0; i < weir_entities_dirty_in(g->views[v].entities, segment); i++) {
                const weir_entity *entity = weir_entities_dirty_at(g->views[v].entities, segment, i);
                if (entity->gap)
                    return WEIR_FAIL(
                        err, WEIR_EDATA,
                        "%s [%d] lacks the values of %s before its newest one, and has no snapshot after it: the state cannot be restored; `weir reset` and a "
                        "replay of the events make it anew",
                        g->views[v].topic, entity->partition, entity->key);
            }
    return WEIR_OK;
}

static weir_status restore_legs(restore *r, weir_err *err) {
    weir_status status = place(r, err);
    if (!status) status = run(r, err);
    if (!status) status = put_fences(r, err);
    if (!status) status = extend(r, err);
    if (!status) status = run(r, err);
    if (!status) status = check_gaps(r->g, err);
    if (!status) status = ingest_reissue(r->g, err);
    return status;
}

/* All assigned partitions, at once. */
static weir_status restore_assigned(ingest *g, weir_err *err) {
    restore r = {.g = g, .started_us = weir_clock_mono_us(g->env->clock)};
    size_t most = (size_t)g->pipeline->view_count * (size_t)g->pipeline->partitions;
    r.told_us = r.started_us;
    r.legs = calloc(most, sizeof *r.legs);
    r.records = calloc(RESTORE_BATCH, sizeof *r.records);
    weir_status status = r.legs && r.records ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory to restore %zu partitions", most);
    for (int v = 0; !status && v < g->pipeline->view_count; v++)
        for (int32_t p = 0; p < g->pipeline->partitions; p++)
            if (g->assigned[p]) r.legs[r.count++].at = (weir_partition){.topic = g->views[v].topic, .topic_index = v, .partition = p};
    g->restoring = true;
    if (!status) status = restore_legs(&r, err);
    g->restoring = false;
    weir_metric_set(g->restore_left, 0);
    if (!status && r.read) {
        int64_t took_us = weir_clock_mono_us(g->env->clock) - r.started_us;
        WEIR_INFO("restored states from the changelog", WEIR_I("partitions", (int64_t)r.count), WEIR_I("records", r.read), WEIR_I("ms", took_us / 1000));
    }
    free(r.legs);
    free(r.records);
    if (status) return status;
    memcpy(g->held, g->assigned, sizeof *g->held * (size_t)g->pipeline->partitions);
    return WEIR_OK;
}

/* Held is what is restored, and nothing after a failure: then nothing is read, and the assignment is tried again or taken away without a word. */
weir_status ingest_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    ingest *g = context;
    hold_nothing(g);
    memset(g->assigned, 0, sizeof *g->assigned * (size_t)g->pipeline->partitions);
    weir_status status = WEIR_OK;
    for (int f = 0; !status && f < 2; f++)
        if (g->align[f]) status = ingest_align_start(g->align[f], err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].partition >= g->pipeline->partitions)
            return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", partitions[i].topic,
                             (int)partitions[i].partition, g->pipeline->partitions);
        g->assigned[partitions[i].partition] = true;
    }
    status = restore_assigned(g, err);
    if (status) hold_nothing(g);
    return status;
}

weir_status ingest_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)partitions, (void)count, (void)err;
    ingest *g = context;
    weir_err why;
    /* So that the next owner, and this worker when it gets them back, has little to read. Nothing depends on it. */
    if (!lost && ingest_write_all_back(g, &why)) weir_log_err(WEIR_LOG_WARN, "dirty entities were not written back", &why);
    hold_nothing(g);
    memset(g->assigned, 0, sizeof *g->assigned * (size_t)g->pipeline->partitions);
    return WEIR_OK;
}

/* What was queued and not acknowledged may be in the topics or come there still: with a new epoch it either is in front of the fence, or is void. */
weir_status ingest_reset(void *context, weir_err *err) {
    ingest *g = context;
    hold_nothing(g);
    weir_status status = restore_assigned(g, err);
    if (status) hold_nothing(g);
    return status;
}
