/* score: each feature record of the primary view becomes one prediction, and each request, where the pipeline takes any, has one as its answer.
 *
 * The record brings its own view's features, so the vector has exactly the event in it that is scored; the other views are read from the replica as of the event's
 * time, and the prediction says from which state. Champion and challengers are each scored as one batch. What challengers score in shadow comes when the predictions are acknowledged, in small
 * portions and within a budget of time, and goes to a topic of its own: it answers nobody, and one that fails or is slow harms nobody.
 *
 * A batch is done when its predictions are acknowledged; until its offsets are committed it may come again, after a crash or to another member of the group. Of feature
 * records there may then be a second prediction, with the same source. Of requests there is none: whoever begins with a partition, and whoever tries a batch again, first looks which requests
 * have their answers. What remains is a member that was stopped, lost its partitions and goes on with a batch before it notices: then an answer may stand there twice, with the
 * same source. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kinds.h"
#include "consumers/outputs.h"
#include "consumers/score_parts.h"
#include "core/log.h"

enum { FLUSH_TIMEOUT_MS = 30000, SHADOW_FLUSH_MS = 1000 };

/* One row that has no finite score must not cost the others theirs: its outputs are NaN. */
static weir_status predict_apart(const weir_served *served, const double *rows, int count, double *outputs, weir_err *err) {
    size_t columns = (size_t)weir_model_column_count(served->model), width = (size_t)weir_model_output_count(served->model);
    for (size_t i = 0; i < (size_t)count; i++) {
        weir_status status = weir_model_predict(served->model, rows + i * columns, 1, outputs + i * width, err);
        if (status && status != WEIR_ENUMERIC) return status;
        for (size_t o = 0; status && o < width; o++) outputs[i * width + o] = NAN;
    }
    return WEIR_OK;
}

weir_status score_predict(score *s, const weir_served *served, const double *rows, int count, double *outputs, double *scores, int *classes, weir_err *err) {
    size_t width = (size_t)weir_model_output_count(served->model);
    memset(outputs, 0, sizeof *outputs * width * (size_t)count);
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = weir_model_predict(served->model, rows, count, outputs, err);
    if (status == WEIR_ENUMERIC) status = predict_apart(served, rows, count, outputs, err);
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
    weir_status status = score_predict(s, arm->served, arm->rows, arm->count, arm->outputs, scores, classes, err);
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
            if (score_is_request(r))
                score_abstain(r, "the model's score is no number");
            else
                r->answered = false;
        }
    }
    return WEIR_OK;
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
        r->answered = true;
        r->drawn = false;
        r->propensity = 1;
        if (r->outcome == SCORE_ABSTAINED) { /* it did, as the challenger's score was none */
            r->outcome = SCORE_SCORED;
            r->reason = NULL;
        }
        status = score_add_to_arm(s, champion, r, arm->record[i], count, err);
    }
    return status;
}

/* A model that was asked for by name, or stands in for late features, has nobody behind it. */
static void predict_named(score *s, score_arm *arm, scored *batch) {
    weir_err why;
    if (!predict_arm(s, arm, batch, &why)) return;
    weir_log_err(WEIR_LOG_ERROR, "a model failed, its rows are not scored", &why);
    weir_metric_add(WEIR_METRIC("weir_score_errors_total", s->pipeline->name, arm->served->name, arm->served->arm), arm->count);
    for (int i = 0; i < arm->count; i++) score_abstain(&batch[arm->record[i]], "the model failed");
}

/* Those who are stood in for come first. */
static weir_status predict_all(score *s, score_run *run, weir_err *err) {
    weir_status status = WEIR_OK;
    score_arm *champion = &run->arm[0];
    for (int a = 1; !status && a <= WEIR_CHALLENGERS_MAX; a++) status = predict_challenger(s, &run->arm[a], champion, run->rows, run->count, err);
    for (score_arm *other = run->others; !status && other; other = other->next) {
        if (!other->count) continue;
        if (other->for_champion && champion->served)
            status = predict_challenger(s, other, champion, run->rows, run->count, err);
        else
            predict_named(s, other, run->rows);
    }
    return status ? status : predict_arm(s, champion, run->rows, err);
}

/* Fences are in the log; what stands before the position needs none. Which requests are answered is looked up when the first one comes. */
static weir_status score_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    score *s = context;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].partition >= s->pipeline->partitions)
            return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", partitions[i].topic,
                             (int)partitions[i].partition, s->pipeline->partitions);
        if (partitions[i].topic_index == SCORE_TOPIC_REQUESTS)
            weir_answered_forget(&s->answered[partitions[i].partition]);
        else
            s->epochs[partitions[i].partition] = 0;
    }
    return WEIR_OK;
}

/* Of the partitions in the batch, once: from the first request of each that is not known to be answered or not. */
static weir_status look_for_answers(score *s, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        weir_answered *answered = &s->answered[records[i].partition];
        if (records[i].topic_index != SCORE_TOPIC_REQUESTS || answered->known) continue;
        status = weir_producer_flush(weir_worker_producer(s->worker), FLUSH_TIMEOUT_MS, err);
        if (!status)
            status = weir_answered_read(answered, weir_worker_consumer(s->worker), s->env->brokers, s->env->clock, s->topic, records[i].partition,
                                        records[i].offset, records[i].timestamp_ms, err);
    }
    return status;
}

static weir_status write_batch(score *s, const score_run *run, weir_err *err) {
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < run->count; i++)
        if (run->rows[i].answered && !(status = weir_worker_confirm(s->worker, run->rows[0].record, err)))
            status = score_emit(s, run->arms, &run->rows[i], now_us, err);
    return status ? status : weir_producer_flush(weir_worker_producer(s->worker), FLUSH_TIMEOUT_MS, err);
}

static void count_batch(score *s, const score_run *run) {
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    for (int stage = 0; stage < SCORE_STAGES; stage++) weir_metric_observe(s->stages[stage], (double)run->took_us[stage] / 1e6);
    weir_metric_observe(s->batch_rows, (double)run->count);
    for (size_t i = 0; i < run->count; i++) {
        const scored *r = &run->rows[i];
        weir_bus_header trace = {0};
        if (!r->answered) continue;
        (void)weir_bus_header_get(r->record, "traceparent", &trace);
        weir_metric_observe_traced(s->latency, ((double)now_us - (double)weir_bus_time_us(r->record)) / 1e6, trace.value, trace.len);
        weir_metric_observe(s->oldest, r->oldest_s);
        weir_metric_add(s->outcomes[score_is_request(r)][r->outcome], 1);
    }
}

static weir_status score_run_batch(score *s, score_run *run, const weir_bus_record *records, weir_err *err) {
    weir_status status = look_for_answers(s, records, run->count, err);
    if (!status) status = weir_serving_read_begin(s->reader, err);
    if (status) return status;
    status = score_prepare(s, run, records, err);
    weir_serving_read_end(s->reader);
    int64_t at_us = weir_clock_mono_us(s->env->clock);
    if (!status) status = predict_all(s, run, err);
    score_passed(s, run, SCORE_SCORE, &at_us);
    if (!status) status = write_batch(s, run, err);
    score_passed(s, run, SCORE_EMIT, &at_us);
    return status;
}

static weir_status score_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    score *s = context;
    weir_status status = weir_serving_check(s->serving, err);
    if (status) return status;
    score_run run = {.count = count, .rows = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *run.rows * count)};
    if (!run.rows) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of %zu records", count);
    memcpy(s->batch_epochs, s->epochs, sizeof *s->epochs * (size_t)s->pipeline->partitions); /* a batch that fails comes again */
    run.arms = weir_serving_arms(s->serving);
    run.arm[0].served = run.arms->champion;
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) run.arm[1 + c].served = run.arms->challengers[c];
    status = score_run_batch(s, &run, records, err);
    if (!status) {
        memcpy(s->epochs, s->batch_epochs, sizeof *s->epochs * (size_t)s->pipeline->partitions);
        count_batch(s, &run);
        score_shadows(s, run.arms, run.rows, count);
    }
    for (size_t i = 0; status && i < count; i++) /* some answers of it may have been written */
        if (records[i].topic_index == SCORE_TOPIC_REQUESTS) weir_answered_forget(&s->answered[records[i].partition]);
    for (score_arm *other = run.others; other; other = other->next) weir_served_drop(other->owned);
    weir_arms_drop(run.arms);
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
    weir_requests_done(&s->requests);
    for (int p = 0; s->answered && p < s->pipeline->partitions; p++) weir_answered_done(&s->answered[p]);
    free(s->answered);
    free(s->requests_topic);
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
        if (v == s->primary && !s->pipeline->serving.requests) continue; /* a feature record brings it */
        s->age[v] = WEIR_METRIC("weir_score_feature_age_seconds", s->pipeline->name, def->name);
        for (int a = 0; a < WEIR_ANSWERS; a++)
            s->answers[v][a] = WEIR_METRIC("weir_score_view_answers_total", s->pipeline->name, def->name, weir_answer_names[a]);
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

/* What is asked, where the pipeline takes requests: the schema is there for whoever asks first. */
static weir_status init_requests(score *s, weir_err *err) {
    static const char *const sources[] = {"events", "requests"};
    static const char *const outcomes[SCORE_OUTCOMES] = {"scored", "fallback", "abstained", "refused", "repeated"};
    const weir_pipeline *pipeline = s->pipeline;
    char subject[300];
    uint32_t id;
    for (int t = 0; t <= pipeline->serving.requests; t++)
        for (int o = 0; o < SCORE_OUTCOMES; o++) s->outcomes[t][o] = WEIR_METRIC("weir_score_outcomes_total", pipeline->name, sources[t], outcomes[o]);
    if (!(s->answered = calloc((size_t)pipeline->partitions, sizeof *s->answered)) || !(s->requests_topic = weir_topic_of(pipeline, "requests")))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for requests");
    if (!pipeline->serving.requests) return WEIR_OK;
    weir_status status = weir_requests_init(&s->requests, s->shared->registry, pipeline, s->recipe.columns, s->input_columns, s->recipe.column_count, err);
    snprintf(subject, sizeof subject, "%s-value", s->requests_topic);
    return status ? status : weir_registry_register(s->shared->registry, subject, weir_schema_json(s->requests.codec.schema), &id, err);
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
    static const char *const stages[SCORE_STAGES] = {[SCORE_DECODE] = "decode", [SCORE_LOOKUP] = "lookup", [SCORE_SCORE] = "score", [SCORE_EMIT] = "emit"};
    for (int stage = 0; stage < SCORE_STAGES; stage++) s->stages[stage] = WEIR_METRIC("weir_score_stage_seconds", s->pipeline->name, stages[stage]);
    s->batch_rows = WEIR_METRIC("weir_score_batch_rows", s->pipeline->name);
    s->oldest = WEIR_METRIC("weir_score_oldest_feature_seconds", s->pipeline->name);
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
    if (!status) status = init_requests(s, err);
    if (!status) status = weir_serving_reader_new(s->serving, &s->reader, err);
    /* Scoring before the replica has caught up would use states older than the features topics have; before the champion is there, events would go unscored for good. */
    while (!status && !(weir_serving_ready(s->serving) && weir_serving_settled(s->serving)) && !weir_worker_stopping(worker)) {
        weir_clock_sleep_us(env->clock, 20000);
        status = weir_serving_check(s->serving, err);
    }
    if (status) return status;
    if ((status = weir_shared_set_deadletter(s->shared, worker, err))) return status;
    const char *const topics[] = {[SCORE_TOPIC_FEATURES] = s->source_topic, [SCORE_TOPIC_REQUESTS] = s->requests_topic};
    return weir_worker_subscribe(worker, topics, s->pipeline->serving.requests ? 2 : 1, err);
}

const weir_worker_ops weir_score_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "score",
    .doc = "scores feature records with champion and challengers, answers requests, writes predictions",
    .init = score_init,
    .assigned = score_assigned,
    .batch = score_batch,
    .done = score_done,
    .needs_training = true,
};
