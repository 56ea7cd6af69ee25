/* What is scored: each value of the primary view's features topic, and each request; with the inputs of models, and by which model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "consumers/score_parts.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a batch of vectors");
}

static const char *keep_text(score *s, const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = weir_arena_alloc(weir_worker_scratch(s->worker), len);
    return copy ? memcpy(copy, text, len) : "no memory to say why";
}

/* ---- inputs ---- */

/* Of a view that the record does not bring: from the replica, as of its time. A request need not say which entity it is for every view. */
static weir_status read_view(score *s, scored *r, int view, bool is_event, double *out, weir_err *err) {
    const weir_view_def *def = &s->pipeline->views[view];
    char key[WEIR_KEY_MAX];
    size_t key_len;
    bool named = true;
    for (int i = 0; i < def->entity_count; i++) named &= r->event[s->entity_columns[view][i]].type != WEIR_T_NULL;
    if (!named && score_is_request(r)) {
        for (int f = 0; f < def->feature_count; f++) out[f] = NAN;
        r->read[view] = (weir_view_read){.newest_us = INT64_MIN, .answer = WEIR_ANSWER_NO_RECORD};
    } else {
        const weir_datum *row = is_event && def->from == WEIR_FROM_EVENTS ? r->event : NULL;
        weir_status status = weir_key_make(&s->pipeline->events, s->entity_columns[view], def->entity_count, r->event, key, &key_len, err);
        if (!status) status = weir_serving_read_view(s->reader, view, key, key_len, r->t_us, row, out, &r->read[view], err);
        if (status) return weir_err_prefix(err, "view %s", def->name);
    }
    weir_metric_add(s->answers[view][r->read[view].answer], 1);
    if (r->read[view].found) weir_metric_observe(s->age[view], (double)(r->t_us - r->read[view].event_time_us) / 1e6);
    return WEIR_OK;
}

/* Event columns, own features from the record (features: of a feature record), other views from the replica. */
static weir_status gather(score *s, scored *r, const weir_datum *features, bool is_event, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; i < s->features.record_count; i++) r->inputs[i] = weir_datum_number(&r->event[i]);
    for (int v = 0; !status && v < s->pipeline->view_count; v++) {
        double *out = r->inputs + weir_serving_input_of_view(s->serving, v);
        if (!features || v != s->primary) {
            status = read_view(s, r, v, is_event, out, err);
            continue;
        }
        weir_features_values(&s->features, &s->pipeline->views[v], features, out);
        r->read[v] = (weir_view_read){true, r->source, r->t_us, features[FEAT_VERSION].i};
    }
    return status;
}

/* ---- models ---- */

weir_status score_add_to_arm(score *s, score_arm *arm, const scored *r, int record, size_t batch, weir_err *err) {
    int columns = weir_model_column_count(arm->served->model);
    if (!arm->rows) {
        weir_arena *scratch = weir_worker_scratch(s->worker);
        arm->rows = weir_arena_alloc(scratch, sizeof(double) * (size_t)columns * batch);
        arm->outputs = weir_arena_alloc(scratch, sizeof(double) * batch * (size_t)weir_model_output_count(arm->served->model));
        arm->record = weir_arena_alloc(scratch, sizeof(int) * batch);
        if (!arm->rows || !arm->outputs || !arm->record) {
            arm->rows = NULL;
            return no_memory(err);
        }
    }
    double *row = arm->rows + (size_t)arm->count * (size_t)columns;
    for (int i = 0; i < columns; i++) row[i] = r->inputs[arm->served->columns[i]];
    arm->record[arm->count++] = record;
    return WEIR_OK;
}

/* A model that is no arm, once a batch: what could not be had is remembered, too. */
static weir_status find_other(score *s, score_run *run, const char *what, const char *label, score_arm **ret_arm, weir_err *err) {
    score_arm *other = run->others;
    while (other && (strcmp(other->what, what) != 0 || strcmp(other->label, label) != 0)) other = other->next;
    if (!other) {
        weir_err why;
        if (!(other = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *other))) return no_memory(err);
        *other = (score_arm){.what = keep_text(s, what), .label = label, .next = run->others};
        if (weir_serving_find(s->serving, what, label, &other->owned, &why)) other->why = keep_text(s, why.message);
        other->served = other->owned;
        run->others = other;
    }
    *ret_arm = other;
    return WEIR_OK;
}

/* A tenant's own model, where an alias says that it has one. One that cannot be loaded is stood in for by the arms. */
static weir_status choose_own(score *s, score_run *run, scored *r, weir_err *err) {
    char alias[160];
    score_arm *own;
    if (!s->pipeline->serving.tenants) return WEIR_OK;
    snprintf(alias, sizeof alias, "tenant:%.*s", (int)r->tenant.len, r->tenant.p);
    weir_status status = find_other(s, run, alias, "tenant", &own, err);
    if (status || !own->served) return status;
    own->for_champion = true;
    r->served = own->served;
    r->propensity = 1;
    r->drawn = false;
    return WEIR_OK;
}

/* Who is to score: the model that a request names, the tenant's own, or the arm that is drawn. */
static weir_status choose(score *s, score_run *run, scored *r, const weir_datum *named, weir_err *err) {
    weir_status status = WEIR_OK;
    r->bucket = weir_arms_bucket(run->arms, r->event);
    if (named && named->type == WEIR_T_STR) {
        char what[WEIR_REQUEST_MODEL_MAX + 1];
        score_arm *other;
        snprintf(what, sizeof what, "%.*s", (int)named->len, named->p);
        if ((status = find_other(s, run, what, "request", &other, err))) return status;
        r->served = other->served;
        r->propensity = 1;
        r->drawn = false;
        if (!r->served) score_abstain(r, other->why);
        return WEIR_OK;
    }
    if ((status = choose_own(s, run, r, err)) || r->served) return status;
    r->served = weir_arms_choose(run->arms, r->bucket, r->record->key, r->record->key_len, r->t_us, &r->propensity);
    if (r->served) return WEIR_OK;
    if (score_is_request(r))
        score_abstain(r, "no model serves");
    else
        weir_metric_add(s->unserved, 1);
    return WEIR_OK;
}

/* Views of which the model reads a feature that the request does not give itself. */
static unsigned views_read(const score *s, const scored *r) {
    unsigned views = 0;
    if (!r->given) return r->served->views;
    for (int i = 0; i < weir_model_column_count(r->served->model); i++) {
        int at = r->served->columns[i];
        for (int v = 0; v < s->pipeline->view_count && !r->given[at]; v++) {
            int first = weir_serving_input_of_view(s->serving, v);
            if (at >= first && at < first + s->pipeline->views[v].feature_count) views |= 1u << v;
        }
    }
    return views;
}

/* A model refuses a vector that is not finite, and with it the batch: whoever asks so has an answer that says it. */
static bool is_infinite(score *s, scored *r) {
    char why[160];
    for (int i = 0; i < weir_model_column_count(r->served->model); i++) {
        if (!isinf(r->inputs[r->served->columns[i]])) continue;
        snprintf(why, sizeof why, "input %.100s is infinite", weir_model_columns(r->served->model)[i]);
        score_abstain(r, keep_text(s, why));
        return true;
    }
    return false;
}

/* What serving.features says of what is missing or late. */
static weir_status apply_policy(score *s, score_run *run, scored *r, weir_err *err) {
    const weir_policy_verdict verdict = weir_policy_judge(s->pipeline, views_read(s, r), r->read, r->t_us);
    score_arm *other;
    r->oldest_s = verdict.oldest_s;
    if (*verdict.reason) r->reason = keep_text(s, verdict.reason);
    if (verdict.policy == WEIR_POLICY_ABSTAIN) score_abstain(r, r->reason);
    if (verdict.policy != WEIR_POLICY_FALLBACK) return WEIR_OK;
    weir_status status = find_other(s, run, s->pipeline->serving.fallback, "fallback", &other, err);
    if (status) return status;
    if (!other->served) {
        char why[WEIR_REASON_MAX + 300];
        snprintf(why, sizeof why, "%s; and no fallback: %.280s", verdict.reason, other->why);
        score_abstain(r, keep_text(s, why));
        return WEIR_OK;
    }
    r->served = other->served;
    r->propensity = 1;
    r->drawn = false;
    r->outcome = SCORE_FALLBACK;
    r->oldest_s = weir_policy_judge(s->pipeline, views_read(s, r), r->read, r->t_us).oldest_s;
    return WEIR_OK;
}

static score_arm *arm_of(score_run *run, const weir_served *served) {
    for (int a = 0; a <= WEIR_CHALLENGERS_MAX; a++) {
        if (run->arm[a].served == served) return &run->arm[a];
    }
    score_arm *other = run->others;
    while (other->served != served) other = other->next;
    return other;
}

/* ---- records ---- */

/* *ret_row NULL: it is no new event. Corrections and snapshots are none, and what a former owner wrote behind its successor's fence is void. */
static weir_status read_features(score *s, scored *r, weir_datum **ret_row, weir_err *err) {
    const weir_bus_record *record = r->record;
    int32_t *epoch = &s->batch_epochs[record->partition], fence = weir_features_fence_of(record);
    *ret_row = NULL;
    if (fence > *epoch) *epoch = fence;
    if (!record->value || !record->key) return WEIR_OK;
    weir_datum *row = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof *row * (size_t)s->features.column_count);
    if (!row) return no_memory(err);
    weir_status status = weir_serde_decode(s->features.codec.serde, record->value, record->value_len, row, NULL, err);
    if (status || weir_features_kind_of(&s->features, row) != WEIR_FEATURES_VALUE || row[FEAT_EPOCH].i < *epoch) return status;
    *epoch = (int32_t)row[FEAT_EPOCH].i;
    r->tenant = row[FEAT_TENANT];
    r->entity = row[FEAT_ENTITY];
    r->t_us = row[FEAT_EVENT_TIME].i;
    r->source = (weir_source){(int32_t)row[FEAT_SOURCE_PARTITION].i, row[FEAT_SOURCE_OFFSET].i};
    r->event = row + FEAT_RECORD;
    *ret_row = row;
    return WEIR_OK;
}

static weir_status prepare_features(score *s, score_run *run, scored *r, int64_t *at_us, const char **ret_class, weir_err *err) {
    weir_datum *row;
    *ret_class = "decode";
    weir_status status = read_features(s, r, &row, err);
    score_passed(s, run, SCORE_DECODE, at_us);
    if (status || !row || (status = choose(s, run, r, NULL, err)) || !r->served) return status;
    if ((status = gather(s, r, row, false, err))) return status;
    r->answered = true;
    return apply_policy(s, run, r, err);
}

/* A request that has its answer already is passed over; see consumers/answered.h. */
static weir_status prepare_request(score *s, score_run *run, scored *r, int64_t *at_us, const char **ret_class, weir_err *err) {
    weir_arena *scratch = weir_worker_scratch(s->worker);
    weir_request request;
    if (weir_answered_has(&s->answered[r->record->partition], r->record->offset)) {
        weir_metric_add(s->outcomes[SCORE_TOPIC_REQUESTS][SCORE_REPEATED], 1);
        return WEIR_OK;
    }
    size_t inputs = (size_t)weir_serving_input_count(s->serving);
    weir_datum *event = weir_arena_alloc(scratch, sizeof *event * (size_t)s->features.record_count);
    char *key = weir_arena_alloc(scratch, WEIR_KEY_MAX);
    bool *given = weir_arena_alloc(scratch, inputs);
    if (!event || !key || !given) return no_memory(err);
    weir_status status = weir_requests_read(&s->requests, r->record, weir_clock_wall_us(s->env->clock), event, key, &request, ret_class, err);
    score_passed(s, run, SCORE_DECODE, at_us);
    if (status) return status;
    r->event = event;
    r->tenant = weir_str(key, request.tenant_len);
    r->entity = weir_str(key + request.tenant_len + 1, request.key_len - request.tenant_len - 1);
    r->t_us = request.t_us;
    r->source = (weir_source){-1 - r->record->partition, r->record->offset};
    r->request_id = request.id;
    r->answered = true;
    if ((status = choose(s, run, r, &request.model, err)) || (status = gather(s, r, NULL, request.is_event, err))) return status;
    memset(given, 0, inputs);
    if (weir_requests_override(&s->requests, r->inputs, given)) r->given = given;
    if (r->served && !is_infinite(s, r)) status = apply_policy(s, run, r, err);
    return status;
}

weir_status score_prepare(score *s, score_run *run, const weir_bus_record *records, weir_err *err) {
    size_t inputs = (size_t)weir_serving_input_count(s->serving);
    weir_status status = WEIR_OK;
    int64_t at_us = weir_clock_mono_us(s->env->clock);
    for (size_t i = 0; !status && i < run->count; i++) {
        scored *r = &run->rows[i];
        weir_err why;
        const char *class = "decode";
        *r = (scored){.record = &records[i], .drawn = true, .propensity = 1, .class = -1, .oldest_s = NAN};
        if (!(r->inputs = weir_arena_alloc(weir_worker_scratch(s->worker), sizeof(double) * inputs))) return no_memory(err);
        status = records[i].topic_index == SCORE_TOPIC_REQUESTS ? prepare_request(s, run, r, &at_us, &class, &why)
                                                                : prepare_features(s, run, r, &at_us, &class, &why);
        if (status && why.action == WEIR_ACTION_REJECT) {
            *r = (scored){.record = &records[i]};
            status = weir_worker_reject(s->worker, &records[i], class, &why, &why);
            if (!status) weir_metric_add(s->outcomes[records[i].topic_index == SCORE_TOPIC_REQUESTS][SCORE_REFUSED], 1);
        }
        if (!status && r->served) status = score_add_to_arm(s, arm_of(run, r->served), r, (int)i, run->count, &why);
        if (status && err) *err = why;
        score_passed(s, run, SCORE_LOOKUP, &at_us);
    }
    return status;
}
