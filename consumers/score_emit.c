/* What is written: predictions, and what challengers say in shadow. */
#include <stdio.h>
#include <string.h>

#include "consumers/outputs.h"
#include "consumers/score_parts.h"
#include "core/decimal.h"
#include "core/log.h"

enum { SHADOW_PORTION = 64, SHADOW_PENDING_MAX = 20000, PREDICTION_ID_MAX = 256 };
#define SHADOW_BUDGET_US (50 * WEIR_SECOND_US / 1000) /* of a batch, for all shadows together; no new portion is begun after it */

/* By the place of the event in its topic, or of the request in its. */
static weir_datum prediction_id(const score *s, const scored *r, char id[PREDICTION_ID_MAX]) {
    static const char request[] = "-request";
    bool is_request = score_is_request(r);
    char *end = id + PREDICTION_ID_MAX, *p = weir_decimal_before(end, is_request ? r->record->offset : r->source.offset);
    *--p = '-';
    p = weir_decimal_before(p, is_request ? r->record->partition : r->source.partition);
    *--p = '-';
    if (is_request) p = memcpy(p - (sizeof request - 1), request, sizeof request - 1);
    size_t len = strlen(s->pipeline->name);
    p = memcpy(p - len, s->pipeline->name, len);
    return weir_str(p, (size_t)(end - p));
}

static weir_datum number_or_null(double value) {
    return value == value ? weir_f64(value) : weir_null();
}

/* A column of the event that identifies it to its label, as text. */
static weir_datum join_id(const score *s, const weir_datum *event, char text[WEIR_DECIMAL_MAX]) {
    if (s->join_column < 0) return weir_null();
    const weir_datum *d = &event[s->join_column];
    if (d->type == WEIR_T_STR) return *d;
    if (d->type != WEIR_T_I64) return weir_null();
    char *end = text + WEIR_DECIMAL_MAX, *p = weir_decimal_before(end, d->i);
    return weir_str(p, (size_t)(end - p));
}

/* All scores as text, from the memory of the batch; null where one is all there is. */
static weir_status scores_of(score *s, const weir_served *served, const double *outputs, weir_datum *ret_scores, weir_err *err) {
    *ret_scores = weir_null();
    if (weir_model_output_count(served->model) == 1) return WEIR_OK;
    weir_buf_clear(&s->text);
    if (!weir_outputs_json(served->model, outputs, &s->text)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the scores of a prediction");
    *ret_scores = weir_str(s->text.data, s->text.len);
    return WEIR_OK;
}

/* Sends what is in the buffer, with the trace of the record that it was made from; the answer to a request with its offset. */
static weir_status send(weir_producer *producer, const char *topic, const scored *r, const weir_buf *buf, weir_err *err) {
    const weir_bus_record *record = r->record;
    weir_bus_header headers[2];
    char offset[WEIR_DECIMAL_MAX], *end = offset + sizeof offset;
    size_t count = weir_bus_header_get(record, "traceparent", &headers[0]) ? 1 : 0;
    if (score_is_request(r)) {
        const char *digits = weir_decimal_before(end, record->offset);
        headers[count++] = (weir_bus_header){WEIR_HEADER_REQUEST, digits, (size_t)(end - digits)};
    }
    return weir_producer_send(producer, topic, record->partition, record->key, record->key_len, buf->data, buf->len, headers, count, 0, err);
}

/* Who scored, and what it said; nobody did where the prediction abstains. */
static weir_status fill_scorer(score *s, const weir_arms *arms, const scored *r, char number[16], weir_datum *out, weir_err *err) {
    const weir_served *served = r->served;
    const char *policy = arms->splits[r->bucket].policy;
    bool drawn = served && r->drawn && *policy;
    out[PRED_MODEL] = weir_text(served ? served->name : "");
    out[PRED_VERSION] = weir_i64(served ? served->version : 0);
    out[PRED_DIGEST] = weir_text(served ? weir_model_digest(served->model) : "");
    out[PRED_ARM] = weir_text(served ? served->arm : "none");
    out[PRED_PROPENSITY] = weir_f64(served ? r->propensity : 1);
    out[PRED_SCORE] = served ? weir_f64(r->score) : weir_null();
    out[PRED_DECISION] = served ? weir_served_decision(served, r->score) : weir_null();
    out[PRED_CLASS] = served ? weir_outputs_class(served->model, r->class, number) : weir_null();
    out[PRED_SCORES] = weir_null();
    out[PRED_POLICY] = drawn ? weir_text(policy) : weir_null();
    out[PRED_BUCKET] = arms->bucket_count ? weir_i64(r->bucket) : weir_null();
    return served ? scores_of(s, served, r->outputs, &out[PRED_SCORES], err) : WEIR_OK;
}

static void fill_views(const score *s, const scored *r, weir_datum *out) {
    for (int v = 0; v < s->pipeline->view_count; v++) {
        weir_datum *view = out + PRED_VIEWS + PRED_VIEW_COLUMNS * v;
        const weir_view_read *read = &r->read[v];
        for (int i = 0; i < PRED_VIEW_COLUMNS; i++) view[i] = weir_null();
        if (!read->found) continue;
        view[PRED_VIEW_PARTITION] = weir_i64(read->source.partition);
        view[PRED_VIEW_OFFSET] = weir_i64(read->source.offset);
        view[PRED_VIEW_TIME] = weir_i64(read->event_time_us);
        view[PRED_VIEW_AGE] = weir_f64((double)(r->t_us - read->event_time_us) / 1e6);
        view[PRED_VIEW_VERSION] = weir_i64(read->version);
    }
}

weir_status score_emit(score *s, const weir_arms *arms, const scored *r, int64_t now_us, weir_err *err) {
    static const char *const outcomes[] = {[SCORE_SCORED] = "scored", [SCORE_FALLBACK] = "fallback", [SCORE_ABSTAINED] = "abstained"};
    weir_datum *out = s->predictions.row;
    char id[PREDICTION_ID_MAX], join[WEIR_DECIMAL_MAX], number[16];
    weir_status status = fill_scorer(s, arms, r, number, out, err);
    if (status) return status;
    out[PRED_ID] = prediction_id(s, r, id);
    out[PRED_TENANT] = r->tenant;
    out[PRED_ENTITY] = r->entity;
    out[PRED_JOIN_ID] = join_id(s, r->event, join);
    out[PRED_EVENT_TIME] = weir_i64(r->t_us);
    out[PRED_SOURCE_PARTITION] = weir_i64(r->source.partition);
    out[PRED_SOURCE_OFFSET] = weir_i64(r->source.offset);
    out[PRED_PREDICTED_AT] = weir_i64(now_us);
    out[PRED_FEATURE_HASH] = weir_text(s->pipeline->feature_hash);
    out[PRED_OUTCOME] = weir_text(outcomes[r->outcome]);
    out[PRED_REASON] = r->reason ? weir_text(r->reason) : weir_null();
    out[PRED_AGE] = number_or_null(r->oldest_s);
    out[PRED_REQUEST] = r->request_id;
    fill_views(s, r, out);
    for (int i = 0; i < s->predictions.input_count; i++) out[s->predictions.input_base + i] = number_or_null(r->inputs[s->input_columns[i]]);
    weir_buf *buf = &s->predictions.codec.buf;
    weir_buf_clear(buf);
    status = weir_serde_encode(s->predictions.codec.serde, out, buf, err);
    return status ? status : send(weir_worker_producer(s->worker), s->topic, r, buf, err);
}

/* ---- shadows ---- */

/* What a challenger says of one row beside the champion. */
typedef struct shadow_row {
    double score;
    const double *outputs;
    int class;
} shadow_row;

static weir_status emit_shadow(score *s, const weir_served *served, double share, const scored *r, const shadow_row *said, int64_t now_us, weir_err *err) {
    char id[PREDICTION_ID_MAX], join[WEIR_DECIMAL_MAX], number[16];
    weir_buf *buf = &s->shadows.buf;
    weir_datum scores;
    weir_status status = scores_of(s, served, said->outputs, &scores, err);
    if (status) return status;
    const weir_datum row[SHADOW_COUNT] = {
        [SHADOW_PREDICTION_ID] = prediction_id(s, r, id),
        [SHADOW_TENANT] = r->tenant,
        [SHADOW_ENTITY] = r->entity,
        [SHADOW_JOIN_ID] = join_id(s, r->event, join),
        [SHADOW_EVENT_TIME] = weir_i64(r->t_us),
        [SHADOW_PARTITION] = weir_i64(r->source.partition),
        [SHADOW_OFFSET] = weir_i64(r->source.offset),
        [SHADOW_PREDICTED_AT] = weir_i64(now_us),
        [SHADOW_MODEL] = weir_text(served->name),
        [SHADOW_VERSION] = weir_i64(served->version),
        [SHADOW_DIGEST] = weir_text(weir_model_digest(served->model)),
        [SHADOW_ARM] = weir_text("shadow"),
        [SHADOW_PROPENSITY] = weir_f64(share),
        [SHADOW_SCORE] = weir_f64(said->score),
        [SHADOW_DECISION] = weir_served_decision(served, said->score),
        [SHADOW_CLASS] = weir_outputs_class(served->model, said->class, number),
        [SHADOW_SCORES] = scores,
    };
    weir_buf_clear(buf);
    status = weir_serde_encode(s->shadows.serde, row, buf, err);
    return status ? status : send(s->shadow_producer, s->shadow_topic, r, buf, err);
}

static void count_shadows(const score *s, const weir_served *served, const char *outcome, int count) {
    if (count > 0) weir_metric_add(WEIR_METRIC("weir_score_shadows_total", s->pipeline->name, served->name, outcome), count);
}

/* Scores and writes a portion. That a model fails is counted, told to its guard, and no failure of the batch; that Kafka does is. */
static weir_status shadow_portion(score *s, const weir_served *served, double share, const scored *const *portion, int count, weir_err *err) {
    size_t columns = (size_t)weir_model_column_count(served->model), width = (size_t)weir_model_output_count(served->model);
    double *rows = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *rows * columns * (size_t)count), scores[SHADOW_PORTION];
    double *outputs = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *outputs * width * (size_t)count);
    int classes[SHADOW_PORTION];
    if (!rows || !outputs) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d vectors in shadow", count);
    for (int i = 0; i < count; i++)
        for (size_t c = 0; c < columns; c++) rows[(size_t)i * columns + c] = portion[i]->inputs[served->columns[c]];
    weir_err why;
    weir_status failed = score_predict(s, served, rows, count, outputs, scores, classes, &why), status = WEIR_OK;
    int written = 0;
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    for (int i = 0; !status && !failed && i < count; i++) {
        if (scores[i] != scores[i]) continue;
        const shadow_row said = {scores[i], outputs + (size_t)i * width, classes[i]};
        status = emit_shadow(s, served, share, portion[i], &said, now_us, err);
        written += !status;
    }
    count_shadows(s, served, "written", written);
    if (!status) count_shadows(s, served, "failed", count - written);
    return status;
}

/* What one challenger scores beside the champion. */
static weir_status shadow_challenger(score *s, const weir_arms *arms, int challenger, const scored *batch, size_t count, int64_t until_us, weir_err *err) {
    const weir_served *served = arms->challengers[challenger];
    const scored *portion[SHADOW_PORTION];
    int waiting = 0, skipped = 0;
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        const scored *r = &batch[i];
        if (r->served != arms->champion || !r->served || score_is_request(r)) continue;
        if (!weir_arms_shadows(arms, challenger, r->record->key, r->record->key_len, r->t_us)) continue;
        if (weir_clock_mono_us(s->env->clock) > until_us) {
            skipped++;
            continue;
        }
        portion[waiting++] = r;
        if (waiting < SHADOW_PORTION) continue;
        status = shadow_portion(s, served, arms->shadows[challenger], portion, waiting, err);
        waiting = 0;
    }
    if (!status && waiting) status = shadow_portion(s, served, arms->shadows[challenger], portion, waiting, err);
    count_shadows(s, served, "skipped", skipped);
    return status;
}

static bool has_shadows(const weir_arms *arms) {
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        if (arms->challengers[c] && arms->shadows[c] > 0) return true;
    }
    return false;
}

void score_shadows(score *s, const weir_arms *arms, const scored *batch, size_t count) {
    char client[128];
    weir_err err;
    if (!has_shadows(arms)) return;
    snprintf(client, sizeof client, "weir-shadows-%.64s", s->pipeline->name);
    weir_status status = s->shadow_producer ? WEIR_OK : weir_producer_new(s->env->brokers, client, &s->shadow_producer, &err);
    if (!status && weir_producer_pending(s->shadow_producer) > SHADOW_PENDING_MAX)
        status = WEIR_RETRY(&err, WEIR_ELIMIT, "%d scores still wait to be written", SHADOW_PENDING_MAX);
    int64_t until_us = weir_clock_mono_us(s->env->clock) + SHADOW_BUDGET_US;
    for (int c = 0; !status && c < WEIR_CHALLENGERS_MAX; c++) {
        if (arms->challengers[c] && arms->shadows[c] > 0) status = shadow_challenger(s, arms, c, batch, count, until_us, &err);
    }
    if (status) weir_log_err(WEIR_LOG_WARN, "a batch is not scored in shadow", &err);
}
