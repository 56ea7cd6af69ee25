/* score: each feature record of the primary view becomes one prediction.
 *
 * The record brings its own view's features, so the vector has exactly the event in it that is scored; the other views are read from the replica as of the event's
 * time, and the prediction says from which state. Champion and challengers are each scored as one batch. What challengers score in shadow comes when the predictions are acknowledged, in small
 * portions and within a budget of time, and goes to a topic of its own: it answers nobody, and one that fails or is slow harms nobody. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/outputs.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/recipe.h"

enum { FLUSH_TIMEOUT_MS = 30000, SHADOW_FLUSH_MS = 1000, SHADOW_PORTION = 64, SHADOW_PENDING_MAX = 20000 };
#define SHADOW_BUDGET_US (50 * WEIR_SECOND_US / 1000) /* of a batch, for all shadows together; no new portion is begun after it */

/* The vectors of one batch that one served version scores; in the scratch arena. */
typedef struct score_arm {
    const weir_served *served;
    double *rows, *outputs; /* [count][columns], [count][outputs of the model] */
    int *record; /* [count] which record of the batch each row is */
    int count;
} score_arm;

typedef struct score {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_shared *shared;
    weir_serving *serving;
    weir_serving_reader *reader;
    weir_recipe recipe;
    weir_features_codec features;
    int32_t *epochs, *batch_epochs; /* [partitions] of the features' writers; and as far as the batch has gone */
    weir_prediction_codec predictions;
    weir_event_codec shadows;
    weir_buf text; /* the scores of a prediction */
    weir_producer *shadow_producer; /* NULL until there is a shadow: its own, so that what fails there is not taken for a failure of predictions */
    char *topic, *shadow_topic, *source_topic;
    int primary, join_column;
    int *entity_columns[WEIR_VIEWS_MAX]; /* of each view, in the events' schema */
    int *input_columns; /* [recipe.column_count] index into the inputs */
    weir_metric *unserved, *latency, *age[WEIR_VIEWS_MAX], *answers[WEIR_VIEWS_MAX][WEIR_ANSWERS];
} score;

/* What is known of one record of the batch; in the scratch arena. */
typedef struct scored {
    const weir_bus_record *record;
    const weir_served *served; /* NULL: not scored */
    bool drawn; /* the arm was: no challenger failed before the champion */
    int bucket; /* by whose shares it was drawn */
    double propensity, score;
    const double *outputs; /* of the model that answers: score is one of them, or all there is */
    int class; /* that is called; -1: the model knows none */
    weir_datum *row; /* the feature record */
    double *inputs; /* [input_count] */
    weir_view_read read[WEIR_VIEWS_MAX];
} scored;

/* Fills the inputs: event columns, own features from the record, other views from the replica. */
static weir_status gather(score *s, scored *r, weir_err *err) {
    const weir_datum *event = r->row + FEAT_RECORD;
    int64_t t_us = r->row[FEAT_EVENT_TIME].i;
    for (int i = 0; i < s->features.record_count; i++) r->inputs[i] = weir_datum_number(&event[i]);
    for (int v = 0; v < s->pipeline->view_count; v++) {
        double *out = r->inputs + weir_serving_input_of_view(s->serving, v);
        if (v == s->primary) {
            weir_features_values(&s->features, &s->pipeline->views[v], r->row, out);
            r->read[v] = (weir_view_read){true, {(int32_t)r->row[FEAT_SOURCE_PARTITION].i, r->row[FEAT_SOURCE_OFFSET].i}, t_us, r->row[FEAT_VERSION].i};
            continue;
        }
        char key[WEIR_KEY_MAX];
        size_t key_len;
        weir_status status = weir_key_make(&s->pipeline->events, s->entity_columns[v], s->pipeline->views[v].entity_count, event, key, &key_len, err);
        if (!status) status = weir_serving_read_view(s->reader, v, key, key_len, t_us, NULL, out, &r->read[v], err);
        if (status) return weir_err_prefix(err, "view %s", s->pipeline->views[v].name);
        weir_metric_add(s->answers[v][r->read[v].answer], 1);
        if (r->read[v].found) weir_metric_observe(s->age[v], (double)(t_us - r->read[v].event_time_us) / 1e6);
    }
    return WEIR_OK;
}

static weir_status add_to_arm(weir_arena *scratch, score_arm *arm, const scored *r, int record, size_t batch, weir_err *err) {
    int columns = weir_model_column_count(arm->served->model);
    if (!arm->rows) {
        arm->rows = weir_arena_alloc(scratch, sizeof(double) * (size_t)columns * batch);
        arm->outputs = weir_arena_alloc(scratch, sizeof(double) * batch * (size_t)weir_model_output_count(arm->served->model));
        arm->record = weir_arena_alloc(scratch, sizeof(int) * batch);
        if (!arm->rows || !arm->outputs || !arm->record) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu vectors", batch);
    }
    double *row = arm->rows + (size_t)arm->count * (size_t)columns;
    for (int i = 0; i < columns; i++) row[i] = r->inputs[arm->served->columns[i]];
    arm->record[arm->count++] = record;
    return WEIR_OK;
}

/* Scores and classes of rows, and tells the guards how that went. Shapes: outputs [count][outputs of the model], scores, classes [count]. */
static weir_status predict_noted(score *s, const weir_served *served, const double *rows, int count, double *outputs, double *scores, int *classes,
                                 weir_err *err) {
    size_t width = (size_t)weir_model_output_count(served->model);
    memset(outputs, 0, sizeof *outputs * width * (size_t)count);
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = weir_model_predict(served->model, rows, count, outputs, err);
    for (int i = 0; i < count; i++) scores[i] = weir_outputs_score(served->model, outputs + (size_t)i * width, &classes[i]);
    const weir_guard_rows went = weir_guard_rows_of(status, scores, count, weir_clock_mono_us(s->env->clock) - began_us);
    weir_serving_note(s->serving, served, &went);
    return status;
}

static weir_status predict_arm(score *s, score_arm *arm, scored *batch, weir_err *err) {
    if (!arm->count) return WEIR_OK;
    double *scores = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *scores * (size_t)arm->count);
    int *classes = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *classes * (size_t)arm->count);
    if (!scores || !classes) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d scores", arm->count);
    weir_status status = predict_noted(s, arm->served, arm->rows, arm->count, arm->outputs, scores, classes, err);
    if (status) return weir_err_prefix(err, "model %s version %d", arm->served->name, arm->served->version);
    const char *pipeline = s->pipeline->name;
    weir_metric *errors = WEIR_METRIC("weir_score_errors_total", pipeline, arm->served->name, arm->served->arm);
    weir_metric *predictions = WEIR_METRIC("weir_score_predictions_total", pipeline, arm->served->name, arm->served->arm);
    for (int i = 0; i < arm->count; i++) {
        scored *r = &batch[arm->record[i]];
        r->score = scores[i];
        r->class = classes[i];
        r->outputs = arm->outputs + (size_t)i * (size_t)weir_model_output_count(arm->served->model);
        if (r->score == r->score) {
            weir_metric_add(predictions, 1);
        } else {
            weir_metric_add(errors, 1);
            r->served = NULL;
        }
    }
    return WEIR_OK;
}

static int prediction_id(const score *s, const scored *r, char id[256]) {
    return snprintf(id, 256, "%s-%d-%lld", s->pipeline->name, (int)r->row[FEAT_SOURCE_PARTITION].i, (long long)r->row[FEAT_SOURCE_OFFSET].i);
}

static weir_datum number_or_null(double value) {
    return value == value ? weir_f64(value) : weir_null();
}

/* A column of the event that identifies it to its label, as text. */
static weir_datum join_id(const score *s, const weir_datum *event, char text[32]) {
    if (s->join_column < 0) return weir_null();
    const weir_datum *d = &event[s->join_column];
    if (d->type == WEIR_T_STR) return *d;
    if (d->type != WEIR_T_I64) return weir_null();
    return weir_str(text, (size_t)snprintf(text, 32, "%lld", (long long)d->i));
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

/* Sends what is in the buffer, with the trace of the record that it was made from. */
static weir_status send(weir_producer *producer, const char *topic, const weir_bus_record *record, const weir_buf *buf, weir_err *err) {
    weir_bus_header trace;
    size_t headers = weir_bus_header_get(record, "traceparent", &trace) ? 1 : 0;
    return weir_producer_send(producer, topic, record->partition, record->key, record->key_len, buf->data, buf->len, &trace, headers, 0, err);
}

static weir_status emit(score *s, const weir_arms *arms, const scored *r, int64_t now_us, weir_err *err) {
    weir_datum *out = s->predictions.row;
    const weir_datum *in = r->row;
    char id[256], join[32], number[16];
    int id_len = prediction_id(s, r, id);
    out[PRED_ID] = weir_str(id, (size_t)id_len);
    out[PRED_TENANT] = in[FEAT_TENANT];
    out[PRED_ENTITY] = in[FEAT_ENTITY];
    out[PRED_JOIN_ID] = join_id(s, in + FEAT_RECORD, join);
    out[PRED_EVENT_TIME] = in[FEAT_EVENT_TIME];
    out[PRED_SOURCE_PARTITION] = in[FEAT_SOURCE_PARTITION];
    out[PRED_SOURCE_OFFSET] = in[FEAT_SOURCE_OFFSET];
    out[PRED_PREDICTED_AT] = weir_i64(now_us);
    out[PRED_MODEL] = weir_text(r->served->name);
    out[PRED_VERSION] = weir_i64(r->served->version);
    out[PRED_DIGEST] = weir_text(weir_model_digest(r->served->model));
    out[PRED_ARM] = weir_text(r->served->arm);
    out[PRED_PROPENSITY] = weir_f64(r->propensity);
    out[PRED_SCORE] = weir_f64(r->score);
    out[PRED_DECISION] = weir_served_decision(r->served, r->score);
    out[PRED_FEATURE_HASH] = weir_text(s->pipeline->feature_hash);
    const char *policy = arms->splits[r->bucket].policy;
    out[PRED_POLICY] = r->drawn && *policy ? weir_text(policy) : weir_null();
    out[PRED_CLASS] = weir_outputs_class(r->served->model, r->class, number);
    weir_status status = scores_of(s, r->served, r->outputs, &out[PRED_SCORES], err);
    if (status) return status;
    out[PRED_BUCKET] = arms->bucket_count ? weir_i64(r->bucket) : weir_null();
    for (int v = 0; v < s->pipeline->view_count; v++) {
        weir_datum *view = out + PRED_VIEWS + PRED_VIEW_COLUMNS * v;
        const weir_view_read *read = &r->read[v];
        for (int i = 0; i < PRED_VIEW_COLUMNS; i++) view[i] = weir_null();
        if (!read->found) continue;
        view[PRED_VIEW_PARTITION] = weir_i64(read->source.partition);
        view[PRED_VIEW_OFFSET] = weir_i64(read->source.offset);
        view[PRED_VIEW_TIME] = weir_i64(read->event_time_us);
        view[PRED_VIEW_AGE] = weir_f64((double)(in[FEAT_EVENT_TIME].i - read->event_time_us) / 1e6);
        view[PRED_VIEW_VERSION] = weir_i64(read->version);
    }
    for (int i = 0; i < s->predictions.input_count; i++) out[s->predictions.input_base + i] = number_or_null(r->inputs[s->input_columns[i]]);
    weir_buf *buf = &s->predictions.codec.buf;
    weir_buf_clear(buf);
    status = weir_serde_encode(s->predictions.codec.serde, out, buf, err);
    return status ? status : send(weir_worker_producer(s->worker), s->topic, r->record, buf, err);
}

/* Challengers come first. One that fails, or gives what is no number, must not cost anybody a prediction: such vectors go to the champion, with certainty from there on. */
static weir_status predict_challenger(score *s, score_arm *arm, score_arm *champion, scored *batch, size_t count, weir_err *err) {
    weir_err why;
    weir_status failed = predict_arm(s, arm, batch, &why), status = WEIR_OK;
    if (failed) {
        weir_log_err(WEIR_LOG_ERROR, "the challenger failed, the champion answers for it", &why);
        weir_metric_add(WEIR_METRIC("weir_score_errors_total", s->pipeline->name, arm->served->name, arm->served->arm), arm->count);
    }
    for (int i = 0; !status && i < arm->count; i++) {
        scored *r = &batch[arm->record[i]];
        if (!failed && r->served) continue;
        r->served = champion->served;
        r->drawn = false;
        r->propensity = 1;
        status = add_to_arm(weir_worker_scratch(s->worker), champion, r, arm->record[i], count, err);
    }
    return status;
}

/* ---- shadows ---- */

/* What a challenger says of one row beside the champion. */
typedef struct shadow_row {
    double score;
    const double *outputs;
    int class;
} shadow_row;

static weir_status emit_shadow(score *s, const weir_served *served, double share, const scored *r, const shadow_row *said, int64_t now_us, weir_err *err) {
    char id[256], join[32], number[16];
    const weir_datum *in = r->row;
    weir_buf *buf = &s->shadows.buf;
    weir_datum scores;
    weir_status status = scores_of(s, served, said->outputs, &scores, err);
    if (status) return status;
    const weir_datum row[SHADOW_COUNT] = {
        [SHADOW_PREDICTION_ID] = weir_str(id, (size_t)prediction_id(s, r, id)),
        [SHADOW_TENANT] = in[FEAT_TENANT],
        [SHADOW_ENTITY] = in[FEAT_ENTITY],
        [SHADOW_JOIN_ID] = join_id(s, in + FEAT_RECORD, join),
        [SHADOW_EVENT_TIME] = in[FEAT_EVENT_TIME],
        [SHADOW_PARTITION] = in[FEAT_SOURCE_PARTITION],
        [SHADOW_OFFSET] = in[FEAT_SOURCE_OFFSET],
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
    return status ? status : send(s->shadow_producer, s->shadow_topic, r->record, buf, err);
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
    weir_status failed = predict_noted(s, served, rows, count, outputs, scores, classes, &why), status = WEIR_OK;
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
        if (r->served != arms->champion || !r->served || !weir_arms_shadows(arms, challenger, r->record->key, r->record->key_len, r->row[FEAT_EVENT_TIME].i))
            continue;
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

/* After the predictions are acknowledged. What is not written here is lost, and that is no reason to score the batch again: shadows are for comparison only. When Kafka does not take them
 * as fast as they come, none are scored: nobody waits for them. */
static void score_shadows(score *s, const weir_arms *arms, const scored *batch, size_t count) {
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

/* Decodes, chooses arms, gathers inputs. Records that cannot be decoded go to the dead letters. */
static weir_status prepare(score *s, const weir_arms *arms, const weir_bus_record *records, size_t count, scored *batch, score_arm *arm, weir_err *err) {
    weir_arena *scratch = weir_worker_scratch(s->worker);
    size_t inputs = (size_t)weir_serving_input_count(s->serving);
    for (size_t i = 0; i < count; i++) {
        scored *r = &batch[i];
        *r = (scored){.record = &records[i], .drawn = true};
        int32_t *epoch = &s->batch_epochs[records[i].partition], fence = weir_features_fence_of(&records[i]);
        if (fence > *epoch) *epoch = fence;
        if (!records[i].value || !records[i].key) continue;
        r->row = weir_arena_alloc(scratch, sizeof(weir_datum) * (size_t)s->features.column_count);
        r->inputs = weir_arena_alloc(scratch, sizeof(double) * inputs);
        if (!r->row || !r->inputs) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu vectors", count);
        weir_err why;
        weir_status status = weir_serde_decode(s->features.codec.serde, records[i].value, records[i].value_len, r->row, NULL, &why);
        /* Corrections and snapshots are no new events, and what a former owner wrote behind its successor's fence is void. */
        if (!status && (weir_features_kind_of(&s->features, r->row) != WEIR_FEATURES_VALUE || r->row[FEAT_EPOCH].i < *epoch)) continue;
        if (!status) *epoch = (int32_t)r->row[FEAT_EPOCH].i;
        if (!status) r->bucket = weir_arms_bucket(arms, r->row + FEAT_RECORD);
        if (!status && !(r->served = weir_arms_choose(arms, r->bucket, records[i].key, records[i].key_len, r->row[FEAT_EVENT_TIME].i, &r->propensity))) {
            weir_metric_add(s->unserved, 1);
            continue;
        }
        if (!status) status = gather(s, r, &why);
        if (status && why.action == WEIR_ACTION_REJECT) {
            r->served = NULL;
            status = weir_worker_reject(s->worker, &records[i], "decode", &why, &why);
            if (!status) continue;
        }
        int of = 0;
        while (of < WEIR_CHALLENGERS_MAX && r->served != arm[of].served) of++;
        if (!status) status = add_to_arm(scratch, &arm[of], r, (int)i, count, &why);
        if (status) {
            if (err) *err = why;
            return status;
        }
    }
    return WEIR_OK;
}

/* Fences are in the log; what stands before the position needs none. */
static weir_status score_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    score *s = context;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].partition >= s->pipeline->partitions)
            return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", partitions[i].topic,
                             (int)partitions[i].partition, s->pipeline->partitions);
        s->epochs[partitions[i].partition] = 0;
    }
    return WEIR_OK;
}

static weir_status score_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    score *s = context;
    weir_status status = weir_serving_check(s->serving, err);
    if (status) return status;
    scored *batch = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *batch * count);
    if (!batch) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu records", count);
    memcpy(s->batch_epochs, s->epochs, sizeof *s->epochs * (size_t)s->pipeline->partitions); /* a batch that fails comes again */
    weir_arms *arms = weir_serving_arms(s->serving);
    score_arm arm[1 + WEIR_CHALLENGERS_MAX] = {{.served = arms->champion}};
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) arm[1 + c].served = arms->challengers[c];
    status = weir_serving_read_begin(s->reader, err);
    if (!status) {
        status = prepare(s, arms, records, count, batch, arm, err);
        weir_serving_read_end(s->reader);
    }
    for (int a = 1; !status && a <= WEIR_CHALLENGERS_MAX; a++) status = predict_challenger(s, &arm[a], &arm[0], batch, count, err);
    if (!status) status = predict_arm(s, &arm[0], batch, err);
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    for (size_t i = 0; !status && i < count; i++)
        if (batch[i].served) status = emit(s, arms, &batch[i], now_us, err);
    if (!status) status = weir_producer_flush(weir_worker_producer(s->worker), FLUSH_TIMEOUT_MS, err);
    if (!status) memcpy(s->epochs, s->batch_epochs, sizeof *s->epochs * (size_t)s->pipeline->partitions);
    now_us = weir_clock_wall_us(s->env->clock);
    for (size_t i = 0; !status && i < count; i++)
        if (batch[i].served) weir_metric_observe(s->latency, (double)(now_us / 1000 - records[i].timestamp_ms) / 1e3);
    if (!status) score_shadows(s, arms, batch, count);
    weir_arms_drop(arms);
    return status;
}

/* ---- life ---- */

static void score_done(void *context) {
    score *s = context;
    if (!s) return;
    weir_err err;
    if (s->shadow_producer && weir_producer_flush(s->shadow_producer, SHADOW_FLUSH_MS, &err))
        weir_log_err(WEIR_LOG_WARN, "the last scores in shadow were not written", &err);
    weir_producer_free(s->shadow_producer);
    weir_serving_reader_free(s->reader);
    weir_shared_drop_serving(s->shared, &s->serving);
    weir_features_codec_done(&s->features);
    weir_prediction_codec_done(&s->predictions);
    weir_event_codec_done(&s->shadows);
    weir_buf_done(&s->text);
    weir_recipe_done(&s->recipe);
    for (int v = 0; v < WEIR_VIEWS_MAX; v++) free(s->entity_columns[v]);
    free(s->input_columns);
    free(s->topic);
    free(s->shadow_topic);
    free(s->source_topic);
    free(s->epochs);
    free(s->batch_epochs);
    free(s);
}

/* Which columns of the event name the entity of each view, and which inputs the prediction record shows. */
static weir_status resolve_columns(score *s, weir_err *err) {
    for (int v = 0; v < s->pipeline->view_count; v++) {
        const weir_view_def *def = &s->pipeline->views[v];
        if (!(s->entity_columns[v] = calloc((size_t)def->entity_count, sizeof(int)))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", def->name);
        for (int i = 0; i < def->entity_count; i++) {
            s->entity_columns[v][i] = weir_schema_find(s->pipeline->events.schema, def->entity[i]);
            if (s->entity_columns[v][i] < 0)
                return WEIR_FAIL(err, WEIR_EINVAL, "view %s cannot be joined to an event: the events have no column %s", def->name, def->entity[i]);
        }
        if (v == s->primary) continue; /* it is never behind */
        static const char *const names[WEIR_ANSWERS] = {"present", "no_record", "expired", "out_of_reach"};
        s->age[v] = WEIR_METRIC("weir_score_feature_age_seconds", s->pipeline->name, def->name);
        for (int a = 0; a < WEIR_ANSWERS; a++) s->answers[v][a] = WEIR_METRIC("weir_score_view_answers_total", s->pipeline->name, def->name, names[a]);
    }
    if (!(s->input_columns = calloc((size_t)s->recipe.column_count + 1, sizeof(int)))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the inputs");
    for (int i = 0; i < s->recipe.column_count; i++) {
        s->input_columns[i] = -1;
        for (int j = 0; j < weir_serving_input_count(s->serving); j++)
            if (!strcmp(weir_serving_input_name(s->serving, j), s->recipe.columns[i])) s->input_columns[i] = j;
        if (s->input_columns[i] < 0)
            return WEIR_FAIL(err, WEIR_EINVAL, "$.training.columns[%d]: %s is neither a feature nor a column of the events", i, s->recipe.columns[i]);
    }
    return WEIR_OK;
}

static weir_status score_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    score *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the score worker");
    *ret_context = s;
    s->worker = worker;
    s->env = env;
    s->shared = env->shared;
    s->pipeline = s->shared->pipeline;
    s->primary = s->pipeline->primary_view;
    s->join_column = s->pipeline->label_join[0];
    s->unserved = WEIR_METRIC("weir_score_unserved_total", s->pipeline->name);
    s->latency = WEIR_METRIC("weir_score_latency_seconds", s->pipeline->name);
    const weir_view_def *primary = &s->pipeline->views[s->primary];
    s->topic = weir_topic_of(s->pipeline, "predictions");
    s->shadow_topic = weir_topic_of(s->pipeline, "shadows");
    s->source_topic = weir_topic_features(s->pipeline, primary);
    s->epochs = calloc((size_t)s->pipeline->partitions, sizeof *s->epochs);
    s->batch_epochs = calloc((size_t)s->pipeline->partitions, sizeof *s->batch_epochs);
    if (!s->epochs || !s->batch_epochs) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d partitions", s->pipeline->partitions);
    if (!s->topic || !s->shadow_topic || !s->source_topic) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for topic names");
    weir_status status = weir_recipe_load(s->pipeline, &s->recipe, err);
    if (!status) status = weir_features_codec_init(&s->features, s->shared->registry, s->pipeline, primary, err);
    if (!status) status = weir_prediction_codec_init(&s->predictions, s->shared->registry, s->pipeline, s->recipe.columns, s->recipe.column_count, err);
    if (!status) status = weir_event_codec_init(&s->shadows, s->shared->registry, "schemas/shadow.avsc", s->shadow_topic, err);
    if (!status) status = weir_shared_take_serving(s->shared, env, &s->serving, err);
    if (!status) status = resolve_columns(s, err);
    if (!status) status = weir_serving_reader_new(s->serving, &s->reader, err);
    /* Scoring before the replica has caught up would use states older than the features topics have; before the champion is there, events would go unscored for good. */
    while (!status && !(weir_serving_ready(s->serving) && weir_serving_settled(s->serving)) && !weir_worker_stopping(worker)) {
        weir_clock_sleep_us(env->clock, 20000);
        status = weir_serving_check(s->serving, err);
    }
    if (status) return status;
    if ((status = weir_shared_set_deadletter(s->shared, worker, err))) return status;
    const char *topic = s->source_topic;
    return weir_worker_subscribe(worker, &topic, 1, err);
}

const weir_worker_ops weir_score_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "score",
    .doc = "scores feature records with champion and challengers, writes predictions",
    .init = score_init,
    .assigned = score_assigned,
    .batch = score_batch,
    .done = score_done,
    .needs_training = true,
};
