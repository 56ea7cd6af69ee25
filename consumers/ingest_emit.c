/* ingest, what goes out as records come in: values and corrections. Snapshots: ingest_checkpoint.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/corrections.h"
#include "consumers/ingest_internal.h"

/* ---- the outbox ---- */

static weir_status send_view(ingest *g, ingest_view *v, weir_err *err) {
    weir_bus_out records[INGEST_OUTBOX];
    for (size_t i = 0; i < v->out_count; i++) {
        const ingest_out *o = &v->outs[i];
        records[i] = (weir_bus_out){
            .key = o->entity->key, .key_len = o->entity->key_len, .value = v->outbox.data + o->at, .value_len = o->len, .partition = o->entity->partition};
    }
    size_t count = v->out_count;
    v->out_count = 0;
    return weir_producer_send_all(weir_worker_producer(g->worker), v->topic, records, count, err);
}

weir_status ingest_send(ingest *g, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < g->pipeline->view_count; i++) {
        if (g->views[i].out_count) status = send_view(g, &g->views[i], err);
        weir_buf_clear(&g->views[i].outbox);
    }
    return status;
}

/* What was written to the end of the outbox, from `at` on, is a record. One with a header goes alone, behind what came before it. */
static weir_status post(ingest *g, ingest_view *v, const weir_entity *entity, size_t at, const weir_bus_header *trace, weir_err *err) {
    size_t len = v->outbox.len - at;
    v->ends[entity->partition]++;
    if (!trace) v->outs[v->out_count++] = (ingest_out){entity, at, len};
    if (!trace && v->out_count < INGEST_OUTBOX) return WEIR_OK;
    weir_status status = send_view(g, v, err);
    if (!status && trace)
        status = weir_producer_send(weir_worker_producer(g->worker), v->topic, entity->partition, entity->key, entity->key_len, v->outbox.data + at, len, trace,
                                    1, 0, err);
    weir_buf_clear(&v->outbox);
    return status;
}

weir_status ingest_post(ingest *g, ingest_view *v, const weir_entity *entity, const weir_buf *bytes, const weir_bus_header *trace, weir_err *err) {
    size_t at = v->outbox.len;
    if (!weir_buf_append(&v->outbox, bytes->data, bytes->len)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a record of %s", entity->key);
    return post(g, v, entity, at, trace, err);
}

/* ---- values ---- */

/* What is the same in values and corrections. */
static void fill(ingest_view *v, const weir_entity *entity, const double *values) {
    weir_datum *out = v->codec.row;
    const char *slash = memchr(entity->key, '/', entity->key_len);
    size_t tenant_len = (size_t)(slash - entity->key);
    out[FEAT_TENANT] = weir_str(entity->key, tenant_len);
    out[FEAT_ENTITY] = weir_str(slash + 1, entity->key_len - tenant_len - 1);
    out[FEAT_EPOCH] = weir_i64(weir_changelog_epoch(v->log, entity->partition));
    out[FEAT_MARKS] = weir_null();
    out[v->codec.state_index] = weir_null();
    weir_datum *features = out + v->codec.feature_base;
    for (int i = 0; i < v->codec.feature_count; i++) {
        double value = values[v->codec.features[i]];
        features[i] = value == value ? weir_f64(value) : weir_null();
    }
}

static weir_status encode(ingest_view *v, weir_err *err) {
    weir_buf_clear(&v->codec.codec.buf);
    return weir_serde_encode(v->codec.codec.serde, v->codec.row, &v->codec.codec.buf, err);
}

weir_status ingest_emit_value(ingest *g, ingest_view *v, weir_entity *entity, const ingest_origin *origin, weir_err *err) {
    weir_datum *out = v->codec.row;
    weir_view_eval(v->view, &entity->state, origin->event_time_us, &origin->source, v->values);
    fill(v, entity, v->values);
    out[FEAT_EVENT_TIME] = weir_i64(origin->event_time_us);
    out[FEAT_AVAILABLE_TIME] = weir_i64(origin->available_us);
    out[FEAT_SOURCE_PARTITION] = weir_i64(origin->source.partition);
    out[FEAT_SOURCE_OFFSET] = weir_i64(origin->source.offset);
    out[FEAT_SEQ] = out[FEAT_VERSION] = weir_i64(entity->state.version);
    out[FEAT_HAS_RECORD] = weir_bool(true);
    char marks[WEIR_MARKS_MAX];
    size_t marks_len = origin->hits && origin->hits->any ? weir_check_marks(g->pipeline, origin->hits, marks) : 0;
    if (marks_len) out[FEAT_MARKS] = weir_str(marks, marks_len);
    memcpy(out + FEAT_RECORD, origin->row, sizeof *out * (size_t)v->codec.record_count);
    size_t at = v->outbox.len;
    weir_status status = weir_serde_encode(v->codec.codec.serde, out, &v->outbox, err);
    if (status) return status;
    size_t len = v->outbox.len - at;
    entity->event_time_us = origin->event_time_us;
    entity->source = origin->source;
    v->feature_count++;
    v->values_unswept++;
    if (!weir_entities_touch(v->entities, entity, v->ends[entity->partition], v->outbox.data + at, len))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the newest value of %s", entity->key);
    return post(g, v, entity, at, origin->trace, err);
}

/* ---- corrections ---- */

static weir_status keep(ingest *g, ingest_view *v, weir_entity *entity, weir_err *err) {
    const weir_buf *bytes = &v->codec.codec.buf;
    if (g->pending_count == g->pending_capacity) {
        size_t capacity = g->pending_capacity ? 2 * g->pending_capacity : 256;
        ingest_pending *pending = realloc(g->pending, capacity * sizeof *pending);
        if (!pending) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for corrections");
        g->pending = pending;
        g->pending_capacity = capacity;
    }
    size_t at = g->pending_bytes.len;
    if (!weir_buf_append(&g->pending_bytes, bytes->data, bytes->len)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for corrections");
    g->pending[g->pending_count++] = (ingest_pending){v, entity, at, bytes->len};
    return WEIR_OK;
}

weir_status ingest_emit_corrections(ingest *g, ingest_view *v, weir_entity *entity, int position, const ingest_origin *late, weir_err *err) {
    weir_corrections changed = {.view = v->view,
                                .codec = &v->codec,
                                .state = &entity->state,
                                .position = position,
                                .late_us = late->event_time_us,
                                .values = v->values,
                                .values_without = v->values_without,
                                .at = position};
    weir_tail_record at;
    weir_datum *out = v->codec.row;
    weir_status status = WEIR_OK;
    while (!status && weir_corrections_next(&changed, &at)) {
        fill(v, entity, v->values);
        out[FEAT_EVENT_TIME] = weir_i64(at.event_time_us);
        out[FEAT_AVAILABLE_TIME] = weir_i64(weir_correction_available_us(late->available_us, &at));
        out[FEAT_SOURCE_PARTITION] = weir_i64(at.source.partition);
        out[FEAT_SOURCE_OFFSET] = weir_i64(at.source.offset);
        out[FEAT_SEQ] = weir_i64(at.seq);
        out[FEAT_VERSION] = weir_i64(entity->state.version);
        out[FEAT_HAS_RECORD] = weir_bool(false);
        if ((status = encode(v, err))) return status;
        v->correction_count++;
        status = g->restoring ? keep(g, v, entity, err) : ingest_post(g, v, entity, &v->codec.codec.buf, late->trace, err);
    }
    return status;
}

/* ---- a new epoch ---- */

/* The same record as written by the owner of now, into the codec's buffer. */
static weir_status reissue(ingest_view *v, const weir_entity *entity, const void *bytes, size_t len, weir_err *err) {
    weir_status status = weir_serde_decode(v->codec.codec.serde, bytes, len, v->codec.row, NULL, err);
    if (status) return weir_err_prefix(err, "newest value of %s", entity->key);
    v->codec.row[FEAT_EPOCH] = weir_i64(weir_changelog_epoch(v->log, entity->partition));
    return encode(v, err);
}

static weir_status reissue_value(ingest_view *v, weir_entity *entity, weir_err *err) {
    weir_status status = reissue(v, entity, weir_entities_value(v->entities, entity), entity->value_len, err);
    const weir_buf *bytes = &v->codec.codec.buf;
    if (status) return status;
    if (!weir_entities_touch(v->entities, entity, 0, bytes->data, bytes->len))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the newest value of %s", entity->key);
    return WEIR_OK;
}

weir_status ingest_reissue(ingest *g, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < g->pipeline->view_count; i++) {
        ingest_view *v = &g->views[i];
        for (int segment = 0; segment < WEIR_ENTITY_SEGMENTS; segment++)
            for (size_t k = 0; !status && k < weir_entities_dirty_in(v->entities, segment); k++)
                status = reissue_value(v, weir_entities_dirty_at(v->entities, segment, k), err);
    }
    for (size_t i = 0; !status && i < g->pending_count; i++) {
        const ingest_pending *p = &g->pending[i];
        if (!p->entity->dirty) continue;
        status = reissue(p->view, p->entity, g->pending_bytes.data + p->at, p->len, err);
        if (!status) status = ingest_post(g, p->view, p->entity, &p->view->codec.codec.buf, NULL, err);
    }
    g->pending_count = 0;
    weir_buf_clear(&g->pending_bytes);
    return status ? status : ingest_send(g, err);
}
