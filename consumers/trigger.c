/* trigger: from what happens to training requests, and from each of these a decision that says why, or why not.
 *
 *   weir.schedule (action train), weir.drift (high, critical), weir.alerts (WeirDegradation), labelled rows ──> weir.training_decisions
 *        ──> weir.training.decisions, and where the answer is yes weir.training.requests
 *
 * A decision is a row, unique by its cause; its events are sent from the row, under ids made from the cause. So killed anywhere nothing is decided twice, and what is sent twice has the
 * same id: the train worker drops a request that it has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/decide.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/pg.h"
#include "models/model.h"
#include "models/training.h"

enum { FLUSH_MS = 10000, ID_MAX = 40, CAUSE_ID_MAX = 256, TOPIC_SCHEDULE = 0, TOPIC_DRIFT, TOPIC_ALERTS, TOPIC_COUNT };
#define VOLUME_EVERY_US (60 * WEIR_SECOND_US)
#define SEND_EVERY_US (WEIR_SECOND_US / 2)

typedef struct trigger {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    const char *pg_url;
    weir_recipe recipe;
    weir_event_codec schedules, drifts, alerts, decisions, requests;
    bool leads; /* holds the topics' partitions: of several trigger workers one decides about volume */
    bool may_wait; /* decisions whose events are not sent yet */
    int64_t volume_at_us, send_at_us;
} trigger;

/* What asks whether to train. Texts are borrowed. */
typedef struct cause {
    weir_cause kind;
    char id[CAUSE_ID_MAX];
    int64_t at_us;
    double drop; /* of the metric; NaN: not known */
    const char *evidence; /* JSON object */
} cause;

/* ---- what is known ---- */

static weir_status one_row(trigger *t, const char *sql, int count, const char *const *params, PGresult **ret_result, weir_err *err) {
    weir_status status = weir_pg_exec(t->pg, sql, count, params, ret_result, err);
    if (status || PQntuples(*ret_result) == 1) return status;
    PQclear(*ret_result);
    *ret_result = NULL;
    return WEIR_FAIL(err, WEIR_EINTERNAL, "a query for the state of %s gave no row", t->pipeline->name);
}

/* The store worker makes a pipeline's tables when it first runs. */
static weir_status has_table(trigger *t, const char *table, bool *ret_has, weir_err *err) {
    char name[128];
    const char *params[] = {name};
    PGresult *result = NULL;
    snprintf(name, sizeof name, "\"%s\".%s", t->pipeline->name, table);
    weir_status status = one_row(t, "SELECT to_regclass($1) IS NOT NULL", 1, params, &result, err);
    if (status) return status;
    *ret_has = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return WEIR_OK;
}

/* As many as in the last day, for as long as it takes until training comes anyway. */
static weir_status read_predictions(trigger *t, weir_decision_state *state, weir_err *err) {
    PGresult *result = NULL;
    char sql[256];
    state->predictions_ahead = NAN;
    if (isnan(t->pipeline->triggers.policy.metric_value) || isnan(state->expected_drop)) return WEIR_OK;
    bool has = false;
    weir_status status = has_table(t, "predictions", &has, err);
    if (status || !has) return status;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\".predictions WHERE predicted_at > clock_timestamp() - interval '1 day'", t->pipeline->name);
    if ((status = one_row(t, sql, 0, NULL, &result, err))) return status;
    state->predictions_ahead = atof(PQgetvalue(result, 0, 0)) * (double)weir_until_training_us(&t->pipeline->triggers, state->now_us) / (double)WEIR_DAY_US;
    PQclear(result);
    return WEIR_OK;
}

/* The end of the last window that had not drifted is when the drift began, as far as windows can tell. */
static weir_status read_change(trigger *t, const cause *c, weir_decision_state *state, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {t->pipeline->name, c->id};
    if (c->kind != WEIR_CAUSE_DRIFT) return WEIR_OK;
    weir_status status = one_row(
        t,
        "WITH judged AS (SELECT window_to, severity IN ('high', 'critical') AS drifted FROM weir.drift_results WHERE pipeline = $1 AND kind = 'features' AND "
        "tenant IS NULL AND cause = 'window' AND severity <> 'skipped' AND window_to <= (SELECT window_to FROM weir.drift_results WHERE drift_id = $2)) "
        "SELECT (extract(epoch FROM min(window_to)) * 1000000)::int8 FROM judged WHERE drifted AND window_to > coalesce((SELECT max(window_to) FROM judged "
        "WHERE NOT drifted), '-infinity')",
        2, params, &result, err);
    if (status) return status;
    if (!PQgetisnull(result, 0, 0)) state->changed_us = atoll(PQgetvalue(result, 0, 0)) - t->pipeline->triggers.drift.every_us;
    PQclear(result);
    return WEIR_OK;
}

/* What a run would learn from now. Where the world has changed, days before it do not even say how good a model is; else the train worker chooses days that do, tested ones. Without
 * history there is nothing to say. */
static weir_status read_window(trigger *t, const cause *c, weir_decision_state *state, weir_err *err) {
    weir_training_periods window;
    if (c->kind != WEIR_CAUSE_DRIFT && c->kind != WEIR_CAUSE_PERFORMANCE) return WEIR_OK;
    weir_status status = weir_training_window_newest(t->pipeline, &t->recipe, t->pg_url, &window, err);
    if (status == WEIR_ENOTFOUND) {
        state->changed_us = INT64_MIN;
        return WEIR_OK;
    }
    if (status) return status;
    state->train_from_us = window.train_from_us;
    state->train_to_us = window.train_to_us;
    return WEIR_OK;
}

/* A yes whose run does not exist yet counts as pending: its request is on the way. */
static weir_status read_state(trigger *t, const cause *c, weir_decision_state *ret_state, weir_err *err) {
    *ret_state = (weir_decision_state){
        .now_us = weir_clock_wall_us(t->clock), .asked_us = c->at_us, .last_asked_us = INT64_MIN, .expected_drop = c->drop, .changed_us = INT64_MIN};
    char since[WEIR_TIME_TEXT_MAX];
    const char *params[] = {t->pipeline->name, weir_time_format(ret_state->now_us - t->pipeline->triggers.policy.per_us, since)};
    PGresult *result = NULL;
    weir_status status = one_row(
        t,
        "WITH asked AS (SELECT decision_id, decided_at FROM weir.training_decisions WHERE pipeline = $1 AND train) "
        "SELECT (extract(epoch FROM (SELECT max(decided_at) FROM asked)) * 1000000)::int8, (SELECT count(*) FROM asked WHERE decided_at > $2::timestamptz), "
        "EXISTS (SELECT FROM weir.runs WHERE pipeline = $1 AND status IN ('queued', 'running')) OR EXISTS (SELECT FROM asked a WHERE NOT EXISTS "
        "(SELECT FROM weir.runs r WHERE r.pipeline = $1 AND r.request ->> 'request_id' = a.decision_id)), "
        "EXISTS (SELECT FROM weir.rollouts WHERE pipeline = $1 AND state IN ('running', 'paused'))",
        2, params, &result, err);
    if (status) return status;
    if (!PQgetisnull(result, 0, 0)) ret_state->last_asked_us = atoll(PQgetvalue(result, 0, 0));
    ret_state->runs_in_period = atoi(PQgetvalue(result, 0, 1));
    ret_state->pending = *PQgetvalue(result, 0, 2) == 't';
    ret_state->rolling_out = *PQgetvalue(result, 0, 3) == 't';
    PQclear(result);
    if ((status = read_change(t, c, ret_state, err)) || (status = read_window(t, c, ret_state, err))) return status;
    return read_predictions(t, ret_state, err);
}

/* ---- deciding ---- */

static const char *number_text(double value, char text[32]) {
    if (!isfinite(value)) return NULL;
    snprintf(text, 32, "%.17g", value);
    return text;
}

/* Of pipeline, kind and id: the same for the same cause, and short enough for the id of a request. */
static void decision_id_of(const trigger *t, const cause *c, char id[ID_MAX]) {
    char text[CAUSE_ID_MAX + 128], digest[65];
    int len = snprintf(text, sizeof text, "%s\n%s\n%s", t->pipeline->name, weir_cause_names[c->kind], c->id);
    weir_sha256_hex(text, (size_t)len, digest);
    snprintf(id, ID_MAX, "decision-%.24s", digest);
}

static void add_day(cJSON *to, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    cJSON_AddStringToObject(to, name, weir_time_format(time_us, text));
}

/* The cause's evidence, with what would be learnt from: the request is made from it, so that it is the same whenever it is sent. NULL: no memory. */
static char *evidence_text(const cause *c, const weir_decision_state *state) {
    cJSON *json = cJSON_Parse(c->evidence), *training = NULL;
    if (json && state->train_to_us > state->train_from_us && (training = cJSON_AddObjectToObject(json, "training"))) {
        add_day(training, "from", state->train_from_us);
        add_day(training, "to", state->train_to_us);
        if (state->changed_us != INT64_MIN) add_day(training, "changed", state->changed_us);
    }
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return text;
}

static weir_status decide(trigger *t, const cause *c, weir_err *err) {
    weir_decision_state state;
    weir_status status = read_state(t, c, &state, err);
    if (status) return status;
    char *evidence = evidence_text(c, &state);
    if (!evidence) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the evidence of a decision");
    weir_decision d = weir_decide_training(&t->pipeline->triggers.policy, c->kind, &state);
    char id[ID_MAX], at[WEIR_TIME_TEXT_MAX], gain[32], cost[32];
    PGresult *result = NULL;
    decision_id_of(t, c, id);
    const char *params[] = {id,
                            t->pipeline->name,
                            weir_time_format(state.now_us, at),
                            weir_cause_names[c->kind],
                            c->id,
                            d.train ? "true" : "false",
                            d.why,
                            number_text(d.gain, gain),
                            number_text(d.cost, cost),
                            evidence};
    status = weir_pg_exec(
        t->pg,
        "INSERT INTO weir.training_decisions (decision_id, pipeline, decided_at, cause, cause_id, train, why, expected_gain, expected_cost, evidence) "
        "VALUES ($1, $2, $3::timestamptz, $4, $5, $6::bool, $7, $8::float8, $9::float8, $10::jsonb) ON CONFLICT DO NOTHING RETURNING 1",
        10, params, &result, err);
    cJSON_free(evidence);
    if (status) return status;
    bool is_new = PQntuples(result) == 1;
    PQclear(result);
    t->may_wait = true;
    if (!is_new) return WEIR_OK;
    weir_metric_add(WEIR_METRIC("weir_trigger_decisions_total", t->pipeline->name, weir_cause_names[c->kind], d.train ? "train" : "wait"), 1);
    WEIR_INFO("whether to train", WEIR_S("cause", weir_cause_names[c->kind]), WEIR_S("decision", d.train ? "train" : "wait"), WEIR_S("why", d.why));
    return WEIR_OK;
}

/* ---- causes ---- */

static bool is_text(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static void copy_text(char *out, size_t size, const weir_datum *d) {
    snprintf(out, size, "%.*s", (int)d->len, d->p);
}

/* The event's detail is the evidence; what is no JSON object is not passed on. */
static weir_status ask(trigger *t, weir_cause kind, int64_t at_us, const weir_datum *id, const weir_datum *detail, weir_err *err) {
    cause c = {.kind = kind, .at_us = at_us, .drop = NAN};
    cJSON *json = cJSON_ParseWithLength(detail->p, detail->len);
    const cJSON *drop = cJSON_GetObjectItemCaseSensitive(json, "expected_drop");
    char *text = cJSON_IsObject(json) ? cJSON_PrintUnformatted(json) : NULL;
    copy_text(c.id, sizeof c.id, id);
    if (cJSON_IsNumber(drop)) c.drop = drop->valuedouble;
    c.evidence = text ? text : "{}";
    weir_status status = decide(t, &c, err);
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

/* A schedule of the file, a person, or another system that writes to the topic. */
static weir_status take_schedule(trigger *t, const weir_datum *row, weir_err *err) {
    const weir_triggers *triggers = &t->pipeline->triggers;
    weir_cause kind = is_text(&row[SCHED_SCHEDULE], "manual") ? WEIR_CAUSE_MANUAL : WEIR_CAUSE_EVENT;
    if (!is_text(&row[SCHED_ACTION], "train")) return WEIR_OK;
    for (int i = 0; i < triggers->schedule_count; i++) {
        if (is_text(&row[SCHED_SCHEDULE], triggers->schedules[i].name)) kind = WEIR_CAUSE_SCHEDULE;
    }
    return ask(t, kind, row[SCHED_FIRED_AT].i, &row[SCHED_FIRING_ID], &row[SCHED_PAYLOAD], err);
}

/* The champion serves all tenants: what drifts at one alone is told by an alert, and no cause to train. */
static weir_status take_drift(trigger *t, const weir_datum *row, weir_err *err) {
    bool of_all = row[DRIFT_TENANT].type == WEIR_T_NULL;
    bool asks = of_all && t->pipeline->triggers.drift.enabled && (is_text(&row[DRIFT_SEVERITY], "high") || is_text(&row[DRIFT_SEVERITY], "critical"));
    return asks ? ask(t, WEIR_CAUSE_DRIFT, row[DRIFT_AT].i, &row[DRIFT_DRIFT_ID], &row[DRIFT_DETAIL], err) : WEIR_OK;
}

/* Of one condition each time it begins is a cause of its own. */
static weir_status take_alert(trigger *t, const weir_datum *row, weir_err *err) {
    char id[CAUSE_ID_MAX];
    if (!t->pipeline->triggers.performance.enabled || !is_text(&row[ALERT_NAME], "WeirDegradation") || !is_text(&row[ALERT_STATE], "firing")) return WEIR_OK;
    snprintf(id, sizeof id, "%.*s-%lld", (int)(row[ALERT_ALERT_ID].len < 200 ? row[ALERT_ALERT_ID].len : 200), row[ALERT_ALERT_ID].p,
             (long long)row[ALERT_AT].i);
    const weir_datum id_text = weir_text(id);
    return ask(t, WEIR_CAUSE_PERFORMANCE, row[ALERT_AT].i, &id_text, &row[ALERT_DETAIL], err);
}

static weir_status take_record(trigger *t, const weir_bus_record *record, weir_err *err) {
    enum { ROW_MAX = 32 };
    _Static_assert((int)DRIFT_COUNT <= (int)ROW_MAX && (int)ALERT_COUNT <= (int)ROW_MAX && (int)SCHED_COUNT <= (int)ROW_MAX, "rows fit");
    static const int pipeline_at[TOPIC_COUNT] = {SCHED_PIPELINE, DRIFT_PIPELINE, ALERT_PIPELINE};
    weir_event_codec *const codecs[TOPIC_COUNT] = {&t->schedules, &t->drifts, &t->alerts};
    weir_datum row[ROW_MAX];
    weir_err why;
    int topic = record->topic_index;
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(codecs[topic]->serde, record->value, record->value_len, row, NULL, &why);
    if (!status && !is_text(&row[pipeline_at[topic]], t->pipeline->name)) return WEIR_OK;
    if (!status) status = topic == TOPIC_SCHEDULE ? take_schedule(t, row, &why) : topic == TOPIC_DRIFT ? take_drift(t, row, &why) : take_alert(t, row, &why);
    if (status && why.action == WEIR_ACTION_REJECT) return weir_worker_reject(t->worker, record, "decode", &why, err);
    if (status && err) *err = why;
    return status;
}

/* Labelled rows that became known since a run was last asked for; each such number of them is a cause. */
static weir_status look_at_volume(trigger *t, weir_err *err) {
    char sql[512], rows[24], *evidence = NULL;
    PGresult *result = NULL;
    bool has = false;
    weir_status status = has_table(t, "labels", &has, err);
    if (status || !has) return status;
    snprintf(rows, sizeof rows, "%lld", (long long)t->pipeline->triggers.volume_rows);
    snprintf(sql, sizeof sql,
             "WITH newest AS (SELECT max(started_at) AS at, coalesce(max(id), 'none') AS id FROM weir.runs WHERE pipeline = $1) SELECT (SELECT count(*) FROM "
             "(SELECT FROM \"%s\".labels WHERE available_time > coalesce((SELECT at FROM newest), '-infinity') LIMIT $2::int8) l), (SELECT id FROM newest)",
             t->pipeline->name);
    const char *params[] = {t->pipeline->name, rows};
    if ((status = one_row(t, sql, 2, params, &result, err))) return status;
    if (atoll(PQgetvalue(result, 0, 0)) >= t->pipeline->triggers.volume_rows) {
        cause c = {.kind = WEIR_CAUSE_VOLUME, .at_us = weir_clock_wall_us(t->clock), .drop = NAN};
        snprintf(c.id, sizeof c.id, "%s rows since %s", rows, PQgetvalue(result, 0, 1));
        if (asprintf(&evidence, "{\"labelled_rows\": %s}", rows) < 0) evidence = NULL;
        c.evidence = evidence ? evidence : "{}";
        status = decide(t, &c, err);
        free(evidence);
    }
    PQclear(result);
    return status;
}

/* ---- telling ---- */

enum { ROW_ID, ROW_AT, ROW_CAUSE, ROW_CAUSE_ID, ROW_TRAIN, ROW_WHY, ROW_GAIN, ROW_COST, ROW_EVIDENCE };

static weir_datum double_or_null(const PGresult *result, int i, int column) {
    return PQgetisnull(result, i, column) ? weir_null() : weir_f64(atof(PQgetvalue(result, i, column)));
}

/* Null: the train worker chooses. */
static weir_datum train_from(const char *evidence) {
    cJSON *json = cJSON_Parse(evidence);
    const char *from = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "training"), "from"));
    int64_t from_us;
    weir_datum found = from && !weir_time_parse(from, &from_us, NULL) ? weir_i64(from_us) : weir_null();
    cJSON_Delete(json);
    return found;
}

static weir_status send_decision(trigger *t, const PGresult *result, int i, weir_err *err) {
    const char *id = PQgetvalue(result, i, ROW_ID), *cause_name = PQgetvalue(result, i, ROW_CAUSE);
    int64_t at_us = atoll(PQgetvalue(result, i, ROW_AT));
    bool train = *PQgetvalue(result, i, ROW_TRAIN) == 't';
    weir_producer *producer = weir_worker_producer(t->worker);
    const weir_datum row[DECIDE_COUNT] = {
        [DECIDE_DECISION_ID] = weir_text(id),
        [DECIDE_PIPELINE] = weir_text(t->pipeline->name),
        [DECIDE_AT] = weir_i64(at_us),
        [DECIDE_CAUSE] = weir_text(cause_name),
        [DECIDE_CAUSE_ID] = weir_text(PQgetvalue(result, i, ROW_CAUSE_ID)),
        [DECIDE_TRAIN] = weir_bool(train),
        [DECIDE_WHY] = weir_text(PQgetvalue(result, i, ROW_WHY)),
        [DECIDE_REQUEST_ID] = train ? weir_text(id) : weir_null(),
        [DECIDE_EXPECTED_GAIN] = double_or_null(result, i, ROW_GAIN),
        [DECIDE_EXPECTED_COST] = double_or_null(result, i, ROW_COST),
        [DECIDE_EVIDENCE] = weir_text(PQgetvalue(result, i, ROW_EVIDENCE)),
    };
    weir_status status = weir_event_send(&t->decisions, producer, WEIR_TOPIC_DECISIONS, t->pipeline->name, "weir.training.decided", id, at_us, row, err);
    if (status || !train) return status;
    weir_datum request[REQ_COUNT] = {0};
    for (int k = 0; k < REQ_COUNT; k++) request[k] = weir_null();
    request[REQ_ID] = weir_text(id);
    request[REQ_PIPELINE] = weir_text(t->pipeline->name);
    request[REQ_REASON] = weir_text(cause_name);
    request[REQ_REQUESTED_AT] = weir_i64(at_us);
    request[REQ_TRAIN_FROM] = train_from(PQgetvalue(result, i, ROW_EVIDENCE));
    return weir_event_send(&t->requests, producer, WEIR_TOPIC_REQUESTS, t->pipeline->name, "weir.training.requested", id, at_us, request, err);
}

static weir_status send_waiting(void *context, weir_err *err) {
    trigger *t = context;
    PGresult *result = NULL;
    const char *params[] = {t->pipeline->name};
    weir_status status =
        weir_pg_exec(t->pg,
                     "SELECT decision_id, (extract(epoch FROM decided_at) * 1000000)::int8, cause, cause_id, train, why, expected_gain, expected_cost, "
                     "evidence FROM weir.training_decisions WHERE pipeline = $1 AND sent_at IS NULL ORDER BY decided_at LIMIT 100 FOR UPDATE SKIP LOCKED",
                     1, params, &result, err);
    if (status) return status;
    int count = PQntuples(result);
    t->may_wait = count > 0;
    for (int i = 0; !status && i < count; i++) status = send_decision(t, result, i, err);
    if (!status && count) status = weir_producer_flush(weir_worker_producer(t->worker), FLUSH_MS, err);
    for (int i = 0; !status && i < count; i++) {
        const char *row[] = {PQgetvalue(result, i, ROW_ID)};
        status = weir_pg_exec(t->pg, "UPDATE weir.training_decisions SET sent_at = clock_timestamp() WHERE decision_id = $1", 1, row, NULL, err);
    }
    PQclear(result);
    return status;
}

/* ---- the worker ---- */

static weir_status trigger_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) status = take_record(context, &records[i], err);
    return status;
}

static weir_status trigger_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    (void)partitions, (void)err;
    ((trigger *)context)->leads = count > 0;
    return WEIR_OK;
}

static weir_status trigger_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)partitions, (void)count, (void)lost, (void)err;
    ((trigger *)context)->leads = false;
    return WEIR_OK;
}

static weir_status trigger_tick(void *context, int64_t mono_us, weir_err *err) {
    trigger *t = context;
    weir_status status = WEIR_OK;
    if (!t->leads) return WEIR_OK;
    if (t->pipeline->triggers.volume_rows && mono_us >= t->volume_at_us) {
        t->volume_at_us = mono_us + VOLUME_EVERY_US;
        status = look_at_volume(t, err);
    }
    if (status || !t->may_wait || mono_us < t->send_at_us) return status;
    t->send_at_us = mono_us + SEND_EVERY_US;
    status = weir_pg_transaction(t->pg, send_waiting, t, err);
    if (status) t->may_wait = true;
    return status;
}

static void trigger_done(void *context) {
    trigger *t = context;
    if (!t) return;
    weir_event_codec *const codecs[] = {&t->schedules, &t->drifts, &t->alerts, &t->decisions, &t->requests};
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) weir_event_codec_done(codecs[i]);
    weir_recipe_done(&t->recipe);
    weir_pg_free(t->pg);
    free(t);
}

static weir_status trigger_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    trigger *t = calloc(1, sizeof *t);
    if (!t) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the trigger worker");
    *ret_context = t;
    t->worker = worker;
    t->pipeline = shared->pipeline;
    t->clock = env->clock;
    t->may_wait = true;
    const struct {
        weir_event_codec *codec;
        const char *schema, *topic;
    } codecs[] = {
        {&t->schedules, "schemas/schedule.avsc", WEIR_TOPIC_SCHEDULE},
        {&t->drifts, "schemas/drift.avsc", WEIR_TOPIC_DRIFT},
        {&t->alerts, "schemas/alert.avsc", WEIR_TOPIC_ALERTS},
        {&t->decisions, "schemas/training_decision.avsc", WEIR_TOPIC_DECISIONS},
        {&t->requests, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS},
    };
    t->pg_url = env->pg_url;
    weir_status status = weir_recipe_load(t->pipeline, &t->recipe, err);
    if (!status) status = weir_pg_new(env->pg_url, &t->pg, err);
    if (!status) status = weir_pg_migrate(t->pg, err);
    for (size_t i = 0; !status && i < sizeof codecs / sizeof *codecs; i++)
        status = weir_event_codec_init(codecs[i].codec, shared->registry, codecs[i].schema, codecs[i].topic, err);
    uint32_t id; /* so that other systems can write events before any schedule fired */
    if (!status) status = weir_registry_register(shared->registry, WEIR_TOPIC_SCHEDULE "-value", weir_schema_json(t->schedules.schema), &id, err);
    if (!status) status = weir_shared_set_deadletter(shared, worker, err);
    if (status) return status;
    return weir_worker_subscribe(
        worker, (const char *const[]){[TOPIC_SCHEDULE] = WEIR_TOPIC_SCHEDULE, [TOPIC_DRIFT] = WEIR_TOPIC_DRIFT, [TOPIC_ALERTS] = WEIR_TOPIC_ALERTS},
        TOPIC_COUNT, err);
}

const weir_worker_ops weir_trigger_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "trigger",
    .doc = "decides whether to train, and asks for it",
    .init = trigger_init,
    .assigned = trigger_assigned,
    .revoked = trigger_revoked,
    .batch = trigger_batch,
    .tick = trigger_tick,
    .done = trigger_done,
    .needs_training = true,
};
