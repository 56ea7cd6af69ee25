/* rollout: gives challengers their traffic step by step, promotes one or takes it back from them, by evidence that may be looked at all the time.
 *
 *   weir.rollouts (ask.…) ──┐
 *   aliases ────────────────┼──> weir.rollouts, .rollout_events (PostgreSQL) ──> weir.rollouts, weir.alerts; aliases ──> weir.models
 *   predictions ⋈ labels ───┘
 *
 * What an outcome did to the evidence, that it was counted, what was decided and the event that tells it are one transaction. Aliases are moved after it, by compare-and-set, and as often as it takes. So killed
 * anywhere each outcome counts once, and an event that is sent twice has the same id. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/alert.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/rollout_rows.h"
#include "consumers/shared.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/registry.h"
#include "models/task.h"

enum { FLUSH_MS = 10000, REST_FACTOR = 4, EVENT_ID_MAX = 256 };
#define LOOK_EVERY_US (WEIR_SECOND_US / 2)
#define FAILED_WAIT_US (10 * WEIR_SECOND_US)
#define ASK_MAX_AGE_US WEIR_DAY_US
#define ACTOR "weir"

typedef struct rollout_worker {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    weir_event_codec events, alerts;
    bool leads; /* holds the partition of weir.rollouts: of several workers one decides */
    int64_t seen; /* sum of the store's offsets when outcomes were looked for last; -1: not yet */
    int64_t look_at_us, feed_at_us;
} rollout_worker;

/* What somebody asked for on weir.rollouts. */
typedef struct ask {
    char id[EVENT_ID_MAX], type[32], actor[64], reason[WEIR_ROLLOUT_REASON_MAX];
    weir_rollout_version challengers[WEIR_CHALLENGERS_MAX]; /* of a start several, of other questions at most one */
    int count; /* 0: those that there are */
    bool shadow;
} ask;

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(rollout_worker *w, weir_status status, weir_err *err) {
    if (!status) status = weir_pg_commit(w->pg, err);
    if (status) weir_pg_rollback(w->pg);
    return status;
}

/* ---- metrics ---- */

static void set_metrics(const rollout_worker *w, const weir_rollout_record *r) {
    const char *pipeline = w->pipeline->name;
    const weir_rollout *rollout = &r->rollout;
    const weir_arms_settings settings = weir_rollout_settings(&w->pipeline->rollout);
    const weir_arms_test *most = &rollout->arms[0].test;
    weir_e_values e = {0};
    double split = 0;
    for (int s = 0; s < WEIR_ROLLOUT_STATES; s++)
        weir_metric_set(WEIR_METRIC("weir_rollout_state", pipeline, weir_rollout_state_names[s]), (int)rollout->state == s);
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        const weir_e_values of = weir_arms_e(&settings, &arm->test);
        weir_metric_set(WEIR_METRIC("weir_rollout_share_ratio", pipeline, weir_challenger_names[a]), arm->share);
        weir_metric_set(WEIR_METRIC("weir_rollout_outcomes", pipeline, weir_challenger_names[a]), arm->test.count[1]);
        weir_metric_set(WEIR_METRIC("weir_rollout_loss_value", pipeline, weir_challenger_names[a]), arm->test.mean[1]);
        if (arm->test.count[0] > most->count[0]) most = &arm->test;
        e.better_peak = fmax(e.better_peak, of.better_peak);
        e.worse_peak = fmax(e.worse_peak, of.worse_peak);
        split = fmax(split, weir_rollout_ratio_e(arm));
    }
    weir_metric_set(WEIR_METRIC("weir_rollout_share_ratio", pipeline, "champion"), weir_rollout_champion_share(rollout));
    weir_metric_set(WEIR_METRIC("weir_rollout_outcomes", pipeline, "champion"), most->count[0]);
    weir_metric_set(WEIR_METRIC("weir_rollout_loss_value", pipeline, "champion"), most->mean[0]);
    weir_metric_set(WEIR_METRIC("weir_rollout_e_value", pipeline, "better"), e.better_peak);
    weir_metric_set(WEIR_METRIC("weir_rollout_e_value", pipeline, "worse"), e.worse_peak);
    weir_metric_set(WEIR_METRIC("weir_rollout_e_value", pipeline, "split"), split);
}

/* ---- changing a rollout ---- */

/* Inside a transaction: the change, if there is one, is in the row and in an event; else the row alone is written. */
static weir_status keep(rollout_worker *w, weir_rollout_record *r, const weir_rollout_change *change, const char *actor, weir_err *err) {
    if (!change->type) return weir_rollout_save(w->pg, r, err);
    weir_metric_add(WEIR_METRIC("weir_rollout_changes_total", w->pipeline->name, change->type), 1);
    WEIR_INFO("rollout", WEIR_S("change", change->type), WEIR_S("rollout_id", r->id), WEIR_S("why", change->reason));
    return weir_rollout_note(w->pg, w->pipeline, r, change, actor, err);
}

/* Who is compared from its start on. */
typedef struct beginning {
    const weir_rollout_version *champion, *challengers;
    int count; /* of challengers */
    bool shadow;
    const char *actor, *reason;
} beginning;

/* Inside a transaction. WEIR_ECONFLICT: another worker was quicker. */
static weir_status begin_rollout(rollout_worker *w, const beginning *b, weir_rollout_record *ret_record, weir_err *err) {
    weir_rollout_record r = {.champion = *b->champion};
    weir_rollout_change change = {.type = "started"};
    int64_t now_us = weir_clock_wall_us(w->clock);
    weir_status status = weir_rollout_begin(&w->pipeline->rollout, b->count, b->shadow, now_us, &r.rollout, err);
    if (status) return status;
    memcpy(r.challengers, b->challengers, (size_t)b->count * sizeof *r.challengers);
    snprintf(r.id, sizeof r.id, "%.60s-%.60s-%d-%lld", w->pipeline->name, r.challengers[0].model, r.challengers[0].version, (long long)now_us);
    snprintf(change.reason, sizeof change.reason, "%s", b->reason);
    weir_rollout_settings_text(&w->pipeline->rollout, r.settings);
    status = weir_rollout_insert(w->pg, w->pipeline->name, &r, err);
    if (!status) status = keep(w, &r, &change, b->actor, err);
    if (!status) *ret_record = r;
    return status;
}

/* ---- aliases ---- */

static bool is_same(const weir_rollout_version *a, const weir_rollout_version *b) {
    return a->version && b->version && !strcmp(a->digest, b->digest);
}

static weir_status move(rollout_worker *w, const char *alias, const weir_rollout_version *from, const weir_rollout_version *to, const char *reason,
                        weir_err *err) {
    return weir_alias_move(w->pg, w->pipeline->name, alias, from->digest, to ? to->model : NULL, to ? to->version : 0, ACTOR, reason, err);
}

/* Moves the aliases to where the decision wants them. One that points neither where the rollout left it nor where it should was moved by somebody else, who is right. */
static weir_status move_aliases(rollout_worker *w, const weir_rollout_record *r, weir_err *err) {
    weir_rollout_aliases now;
    const weir_rollout *rollout = &r->rollout;
    const weir_rollout_version *winner = rollout->winner == WEIR_ROLLOUT_NOBODY ? NULL : &r->challengers[rollout->winner];
    weir_status status = weir_rollout_read_aliases(w->pg, w->pipeline->name, &now, err);
    bool promote = rollout->state == WEIR_ROLLOUT_PROMOTED && winner && is_same(&now.champion, &r->champion);
    bool restore = rollout->state == WEIR_ROLLOUT_ROLLED_BACK && winner && is_same(&now.champion, winner);
    if (!status && promote) status = move(w, "champion", &r->champion, winner, r->reason, err);
    if (!status && restore) status = move(w, "champion", winner, &r->champion, r->reason, err);
    for (int a = 0; !status && a < rollout->arm_count; a++) {
        bool goes = !weir_rollout_active(rollout) || rollout->arms[a].stopped;
        if (goes && is_same(&now.challengers[a], &r->challengers[a])) status = move(w, weir_challenger_names[a], &r->challengers[a], NULL, r->reason, err);
    }
    return status;
}

static weir_status settle(rollout_worker *w, const weir_rollout_record *r, weir_err *err) {
    const char *params[] = {r->id};
    weir_status status = move_aliases(w, r, err);
    if (status == WEIR_ECONFLICT) return WEIR_OK; /* somebody moved one just now: look again */
    if (status == WEIR_ENOTFOUND) {
        weir_log_err(WEIR_LOG_ERROR, "an alias cannot be moved to where the rollout wants it", err);
        status = WEIR_OK;
    }
    /* Nothing is counted any more, so nobody asks what was. */
    if (!status && !weir_rollout_active(&r->rollout))
        status = weir_pg_exec(w->pg, "DELETE FROM weir.rollout_outcomes WHERE rollout_id = $1", 1, params, NULL, err);
    if (status) return status;
    return weir_pg_exec(w->pg, "UPDATE weir.rollouts SET aliases_due = false WHERE rollout_id = $1", 1, params, NULL, err);
}

/* ---- evidence ---- */

/* Grows with every prediction and label that the store has written. */
static weir_status read_progress(rollout_worker *w, int64_t *ret_progress, weir_err *err) {
    PGresult *result = NULL;
    char *predictions = weir_topic_of(w->pipeline, "predictions"), *shadows = weir_topic_of(w->pipeline, "shadows");
    const char *params[] = {w->pipeline->name, predictions, shadows, w->pipeline->labels.topic ? w->pipeline->labels.topic : predictions};
    weir_status status =
        predictions && shadows
            ? weir_pg_exec(w->pg, "SELECT coalesce(sum(next_offset), 0)::int8 FROM weir.sink_offsets WHERE pipeline = $1 AND topic IN ($2, $3, $4)", 4, params,
                           &result, err)
            : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a topic name");
    free(predictions);
    free(shadows);
    if (status) return status;
    *ret_progress = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

/* Why the rollout cannot go on, if so: its arms are no more what it compares. */
static const char *ended_by(const rollout_worker *w, const weir_rollout_record *r, const weir_rollout_aliases *now, char reason[WEIR_ROLLOUT_REASON_MAX]) {
    char settings[WEIR_ROLLOUT_SETTINGS_MAX];
    weir_rollout_settings_text(&w->pipeline->rollout, settings);
    if (!is_same(&now->champion, &r->champion)) return "the alias champion was moved";
    for (int a = 0; a < r->rollout.arm_count; a++) {
        if (r->rollout.arms[a].stopped || is_same(&now->challengers[a], &r->challengers[a])) continue;
        snprintf(reason, WEIR_ROLLOUT_REASON_MAX, "the alias %s was moved", weir_challenger_names[a]);
        return reason;
    }
    if (strcmp(settings, r->settings))
        return "loss, alpha, margin, split or context of the pipeline file was changed: what was seen under the others means nothing";
    return NULL;
}

/* Inside a transaction: new outcomes, and what follows from them. */
static weir_status judge(rollout_worker *w, weir_rollout_record *r, bool feed, int *ret_count, weir_err *err) {
    weir_err why = {0};
    int bad = 0;
    char reason[WEIR_ROLLOUT_REASON_MAX];
    const char *task = weir_json_text(weir_json_at(w->pipeline->json, "training"), "task");
    if (task && !strcmp(task, weir_task_name(WEIR_TASK_MULTICLASS))) {
        const weir_rollout_change held = weir_rollout_hold(&r->rollout, "arms of several classes are not compared: promote or roll back by hand");
        return held.type ? keep(w, r, &held, ACTOR, err) : WEIR_OK;
    }
    weir_status status = feed ? weir_rollout_feed(w->pg, w->pipeline, r, ret_count, &bad, &why, err) : WEIR_OK;
    if (status) return status;
    weir_rollout_change change = {0};
    if (bad) {
        snprintf(reason, sizeof reason, "%d outcomes cannot be judged: %.180s", bad, why.message);
        change = weir_rollout_hold(&r->rollout, reason);
    }
    if (!change.type) change = weir_rollout_decide(&w->pipeline->rollout, &r->rollout, weir_clock_wall_us(w->clock));
    if (!change.type && feed && (status = weir_rollout_route(&w->pipeline->rollout, &r->rollout, &change, err))) return status;
    return feed || change.type ? keep(w, r, &change, ACTOR, err) : WEIR_OK;
}

/* What it is judged by cannot be had: that is no reason to promote, nor to stop the worker. */
static weir_status hold(rollout_worker *w, const char *why, weir_err *err) {
    char reason[WEIR_ROLLOUT_REASON_MAX];
    weir_rollout_record r;
    snprintf(reason, sizeof reason, "outcomes cannot be had: %.200s", why);
    weir_status status = weir_pg_begin(w->pg, err);
    if (status) return status;
    status = weir_rollout_newest(w->pg, w->pipeline, true, &r, err);
    weir_rollout_change change = {0};
    if (!status && *r.id) change = weir_rollout_hold(&r.rollout, reason);
    if (!status && change.type) status = keep(w, &r, &change, ACTOR, err);
    return end(w, status, err);
}

/* ---- looking ---- */

/* Versions that became challengers and wait: "challenger", and those after it without a gap. */
static int count_new(const weir_rollout_aliases *now) {
    int count = 0;
    while (count < WEIR_CHALLENGERS_MAX && now->is_new[count] && !is_same(&now->champion, &now->challengers[count])) count++;
    return now->champion.version ? count : 0;
}

/* Inside a transaction. */
static weir_status look_at(rollout_worker *w, weir_rollout_record *r, bool feed, int *ret_count, weir_err *err) {
    weir_rollout_aliases now;
    char reason[WEIR_ROLLOUT_REASON_MAX];
    weir_status status = weir_rollout_read_aliases(w->pg, w->pipeline->name, &now, err);
    if (status) return status;
    if (!*r->id || !weir_rollout_active(&r->rollout)) {
        const beginning b = {&now.champion, now.challengers, count_new(&now), w->pipeline->rollout.shadow, ACTOR, "a version became challenger"};
        return w->pipeline->rollout.automatic && b.count ? begin_rollout(w, &b, r, err) : WEIR_OK;
    }
    const char *over = ended_by(w, r, &now, reason);
    if (!over) return judge(w, r, feed, ret_count, err);
    const weir_rollout_change change = weir_rollout_do(&r->rollout, WEIR_ROLLOUT_ABORT, WEIR_ROLLOUT_NOBODY, over);
    return keep(w, r, &change, ACTOR, err);
}

static weir_status look(rollout_worker *w, int64_t mono_us, weir_err *err) {
    weir_rollout_record r;
    int64_t progress = w->seen;
    int count = 0;
    weir_status status = mono_us >= w->feed_at_us ? read_progress(w, &progress, err) : WEIR_OK;
    bool feed = progress != w->seen;
    if (!status) status = weir_pg_begin(w->pg, err);
    if (status) return status;
    status = weir_rollout_newest(w->pg, w->pipeline, true, &r, err);
    if (!status && !r.aliases_due) status = look_at(w, &r, feed, &count, err);
    status = end(w, status, err);
    if (status && err->action == WEIR_ACTION_FATAL && *r.id && weir_rollout_active(&r.rollout)) {
        weir_log_err(WEIR_LOG_ERROR, "a rollout cannot be judged", err);
        w->feed_at_us = mono_us + FAILED_WAIT_US;
        char why[WEIR_ROLLOUT_REASON_MAX];
        snprintf(why, sizeof why, "%.250s", err->message);
        return hold(w, why, err);
    }
    if (status) return status == WEIR_ECONFLICT ? WEIR_OK : status;
    if (feed && count < WEIR_ROLLOUT_FEED_MAX) w->seen = progress;
    if (feed) w->feed_at_us = mono_us + REST_FACTOR * (weir_clock_mono_us(w->clock) - mono_us); /* joining takes at most one part in five of the time */
    if (*r.id) set_metrics(w, &r);
    return r.aliases_due ? settle(w, &r, err) : WEIR_OK;
}

/* ---- telling ---- */

enum {
    EVENT_ID,
    EVENT_ROLLOUT,
    EVENT_AT,
    EVENT_TYPE,
    EVENT_STATE,
    EVENT_CHAMPION,
    EVENT_CHALLENGER,
    EVENT_SHARE,
    EVENT_ACTOR,
    EVENT_REASON,
    EVENT_EVIDENCE,
    EVENT_ARMS,
    EVENT_SHADOW,
    EVENT_RESOLVES
};

/* A rollback is an alert until the next rollout begins. */
static weir_status send_alert(rollout_worker *w, const PGresult *result, int i, weir_err *err) {
    const char *type = PQgetvalue(result, i, EVENT_TYPE);
    bool firing = !strcmp(type, "rolled_back");
    char id[EVENT_ID_MAX], summary[WEIR_ROLLOUT_REASON_MAX + 200];
    if (!firing && *PQgetvalue(result, i, EVENT_RESOLVES) != 't') return WEIR_OK;
    snprintf(id, sizeof id, "%.64s/rollout", w->pipeline->name);
    snprintf(summary, sizeof summary, firing ? "challenger %.150s was rolled back: %s" : "a rollout of %.150s began: %s",
             PQgetvalue(result, i, EVENT_CHALLENGER), PQgetvalue(result, i, EVENT_REASON));
    cJSON *detail = cJSON_Parse(PQgetvalue(result, i, EVENT_EVIDENCE));
    const weir_alert alert = {.id = id, .name = "WeirRolledBack", .summary = summary, .runbook = "rollback.md", .firing = firing, .detail = detail};
    weir_status status = weir_alert_send(&w->alerts, weir_worker_producer(w->worker), w->pipeline->name, &alert, atoll(PQgetvalue(result, i, EVENT_AT)), err);
    cJSON_Delete(detail);
    return status;
}

static weir_status send_event(rollout_worker *w, const PGresult *result, int i, weir_err *err) {
    const char *id = PQgetvalue(result, i, EVENT_ID), *type = PQgetvalue(result, i, EVENT_TYPE);
    char event_type[64];
    int64_t at_us = atoll(PQgetvalue(result, i, EVENT_AT));
    const weir_datum row[ROLL_COUNT] = {
        [ROLL_EVENT_ID] = weir_text(id),
        [ROLL_ROLLOUT_ID] = weir_text(PQgetvalue(result, i, EVENT_ROLLOUT)),
        [ROLL_PIPELINE] = weir_text(w->pipeline->name),
        [ROLL_AT] = weir_i64(at_us),
        [ROLL_TYPE] = weir_text(type),
        [ROLL_STATE] = weir_text(PQgetvalue(result, i, EVENT_STATE)),
        [ROLL_CHAMPION] = weir_text(PQgetvalue(result, i, EVENT_CHAMPION)),
        [ROLL_CHALLENGER] = weir_text(PQgetvalue(result, i, EVENT_CHALLENGER)),
        [ROLL_SHARE] = weir_f64(atof(PQgetvalue(result, i, EVENT_SHARE))),
        [ROLL_ACTOR] = weir_text(PQgetvalue(result, i, EVENT_ACTOR)),
        [ROLL_REASON] = weir_text(PQgetvalue(result, i, EVENT_REASON)),
        [ROLL_EVIDENCE] = weir_text(PQgetvalue(result, i, EVENT_EVIDENCE)),
        [ROLL_ARMS] = weir_text(PQgetvalue(result, i, EVENT_ARMS)),
        [ROLL_SHADOW] = weir_bool(*PQgetvalue(result, i, EVENT_SHADOW) == 't'),
    };
    snprintf(event_type, sizeof event_type, "weir.rollout.%s", type);
    weir_status status = weir_event_send(&w->events, weir_worker_producer(w->worker), WEIR_TOPIC_ROLLOUTS, w->pipeline->name, event_type, id, at_us, row, err);
    return status ? status : send_alert(w, result, i, err);
}

static weir_status send_waiting(void *context, weir_err *err) {
    rollout_worker *w = context;
    static const char sql[] =
        "SELECT e.event_id, e.rollout_id, (extract(epoch FROM e.at) * 1000000)::int8, e.type, e.state, r.champion_model || '/' || r.champion_version, "
        "r.challenger_model || '/' || r.challenger_version, e.share, e.actor, e.reason, e.evidence, e.arms, r.shadow, e.type = 'started' AND (SELECT p.state = "
        "'rolled_back' "
        "FROM "
        "weir.rollouts p WHERE p.pipeline = $1 AND p.started_at < r.started_at ORDER BY p.started_at DESC LIMIT 1) FROM weir.rollout_events e JOIN "
        "weir.rollouts r "
        "USING (rollout_id) WHERE e.pipeline = $1 AND e.sent_at IS NULL ORDER BY e.at, e.event_id LIMIT 100 FOR UPDATE OF e";
    PGresult *result = NULL;
    const char *params[] = {w->pipeline->name};
    weir_status status = weir_pg_exec(w->pg, sql, 1, params, &result, err);
    if (status) return status;
    int count = PQntuples(result);
    for (int i = 0; !status && i < count; i++) status = send_event(w, result, i, err);
    if (!status && count) status = weir_producer_flush(weir_worker_producer(w->worker), FLUSH_MS, err);
    for (int i = 0; !status && i < count; i++) {
        const char *id = PQgetvalue(result, i, EVENT_ID);
        status = weir_pg_exec(w->pg, "UPDATE weir.rollout_events SET sent_at = clock_timestamp() WHERE event_id = $1", 1, &id, NULL, err);
    }
    PQclear(result);
    return status;
}

static weir_status tell(rollout_worker *w, weir_err *err) {
    return weir_pg_transaction(w->pg, send_waiting, w, err);
}

/* ---- asked ---- */

static bool has_text(const weir_datum *d) {
    return d->type == WEIR_T_STR && d->len;
}

static bool is_text(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static void copy_text(char *out, size_t size, const weir_datum *d) {
    snprintf(out, size, "%.*s", d->type == WEIR_T_STR ? (int)d->len : 0, d->type == WEIR_T_STR ? d->p : "");
}

/* MODEL/VERSION or MODEL:VERSION. */
static weir_status parse_version(char *text, weir_rollout_version *ret_version, weir_err *err) {
    char *split = strrchr(text, '/'), *end_of;
    if (!split) split = strrchr(text, ':');
    long version = split ? strtol(split + 1, &end_of, 10) : 0;
    if (version <= 0 || version > INT32_MAX || *end_of || split == text || split - text >= (long)sizeof ret_version->model)
        return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" is no MODEL/VERSION", text);
    *split = 0;
    *ret_version = (weir_rollout_version){.version = (int)version};
    snprintf(ret_version->model, sizeof ret_version->model, "%.63s", text);
    return WEIR_OK;
}

/* Several, separated by commas. */
static weir_status parse_versions(const weir_datum *d, ask *a, weir_err *err) {
    char text[WEIR_CHALLENGERS_MAX * 128], *rest = NULL;
    weir_status status = d->len < sizeof text ? WEIR_OK : WEIR_REJECT(err, WEIR_EDATA, "%u bytes of versions are too many", (unsigned)d->len);
    if (!status) copy_text(text, sizeof text, d);
    for (char *one = status ? NULL : strtok_r(text, ",", &rest); !status && one; one = strtok_r(NULL, ",", &rest)) {
        if (a->count == WEIR_CHALLENGERS_MAX) return WEIR_REJECT(err, WEIR_EDATA, "more than %d challengers", WEIR_CHALLENGERS_MAX);
        status = parse_version(one, &a->challengers[a->count++], err);
    }
    return status;
}

/* Notes the question with its answer; ret_new false: it was answered before. Inside a transaction. */
static weir_status note_ask(rollout_worker *w, const ask *a, bool *ret_new, weir_err *err) {
    const char *params[] = {a->id, w->pipeline->name, a->type, a->actor, a->reason};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(w->pg,
                     "INSERT INTO weir.rollout_events (event_id, pipeline, type, state, share, actor, reason, sent_at) VALUES ($1, $2, $3, '', "
                     "0, $4, $5, clock_timestamp()) ON CONFLICT DO NOTHING RETURNING 1",
                     5, params, &result, err);
    if (status) return status;
    *ret_new = PQntuples(result) == 1;
    PQclear(result);
    return WEIR_OK;
}

static weir_status note_answer(rollout_worker *w, const ask *a, const char *rollout_id, const char *answer, weir_err *err) {
    const char *params[] = {a->id, *rollout_id ? rollout_id : NULL, answer};
    WEIR_INFO("rollout", WEIR_S("asked", a->type), WEIR_S("answer", answer));
    return weir_pg_exec(w->pg, "UPDATE weir.rollout_events SET rollout_id = $2, answer = $3 WHERE event_id = $1", 3, params, NULL, err);
}

static bool is_of(const weir_rollout_version *a, const weir_rollout_version *b) {
    return a->version == b->version && !strcmp(a->model, b->model);
}

/* How many of the aliases are the challengers of a question; −1: they are not. */
static int count_asked(const ask *a, const weir_rollout_aliases *now) {
    int count = 0;
    if (!a->count) {
        while (count < WEIR_CHALLENGERS_MAX && now->challengers[count].version) count++;
        return count;
    }
    for (; count < a->count; count++) {
        if (!is_of(&now->challengers[count], &a->challengers[count])) return -1;
    }
    return count;
}

/* Inside a transaction. */
static weir_status start_asked(rollout_worker *w, const ask *a, const weir_rollout_record *newest, weir_err *err) {
    weir_rollout_aliases now;
    weir_rollout_record r;
    if (*newest->id && weir_rollout_active(&newest->rollout)) return note_answer(w, a, newest->id, "refused: a rollout is active", err);
    weir_status status = weir_rollout_read_aliases(w->pg, w->pipeline->name, &now, err);
    if (status) return status;
    int count = count_asked(a, &now);
    if (!now.champion.version) return note_answer(w, a, "", "refused: there is no champion", err);
    if (!count) return note_answer(w, a, "", "refused: there is no challenger", err);
    if (count < 0) return note_answer(w, a, "", "refused: the version could not be made challenger", err);
    for (int i = 0; i < count; i++) {
        if (is_same(&now.champion, &now.challengers[i])) return note_answer(w, a, "", "refused: the champion is this version", err);
        for (int j = 0; j < i; j++) {
            if (is_same(&now.challengers[j], &now.challengers[i])) return note_answer(w, a, "", "refused: a version is named twice", err);
        }
    }
    const beginning b = {&now.champion, now.challengers, count, a->shadow || w->pipeline->rollout.shadow, a->actor, a->reason};
    status = begin_rollout(w, &b, &r, err);
    return status ? status : note_answer(w, a, r.id, "done", err);
}

/* A version that no rollout is about, but that has traffic by the pipeline file's share: it begins and ends at once, so that its alias goes, and everybody is told. */
static weir_status roll_back_unrolled(rollout_worker *w, const ask *a, weir_err *err) {
    weir_rollout_aliases now;
    weir_rollout_record r;
    weir_status status = weir_rollout_read_aliases(w->pg, w->pipeline->name, &now, err);
    if (status) return status;
    if (!now.champion.version || !is_of(&now.challengers[0], &a->challengers[0]))
        return note_answer(w, a, "", "refused: this version is not the challenger", err);
    const beginning b = {&now.champion, now.challengers, 1, false, a->actor, "asked to roll back"};
    if ((status = begin_rollout(w, &b, &r, err))) return status;
    const weir_rollout_change change = weir_rollout_do(&r.rollout, WEIR_ROLLOUT_ROLLBACK, WEIR_ROLLOUT_NOBODY, a->reason);
    if ((status = keep(w, &r, &change, a->actor, err))) return status;
    return note_answer(w, a, r.id, "done", err);
}

/* The challenger that is meant; WEIR_ROLLOUT_NOBODY: none of them. */
static int slot_meant(const ask *a, const weir_rollout_record *r) {
    for (int slot = 0; a->count && slot < r->rollout.arm_count; slot++) {
        if (is_of(&r->challengers[slot], &a->challengers[0])) return slot;
    }
    return WEIR_ROLLOUT_NOBODY;
}

/* Inside a transaction. */
static weir_status do_asked(rollout_worker *w, const ask *a, weir_rollout_record *r, weir_err *err) {
    int command = 0, slot = slot_meant(a, r);
    while (weir_rollout_command_names[command] && strcmp(weir_rollout_command_names[command], a->type + 4) != 0) command++;
    if (command == WEIR_ROLLOUT_COMMANDS) return note_answer(w, a, r->id, "refused: no such command", err);
    bool about_it = *r->id && (!a->count || slot != WEIR_ROLLOUT_NOBODY);
    /* One that is over, and whose version became challenger once more. */
    if (about_it && a->count && !r->aliases_due && !weir_rollout_active(&r->rollout) && r->rollout.state != WEIR_ROLLOUT_PROMOTED) about_it = false;
    if (!about_it && a->count && command == WEIR_ROLLOUT_ROLLBACK && !(*r->id && weir_rollout_active(&r->rollout))) return roll_back_unrolled(w, a, err);
    if (!about_it) return note_answer(w, a, r->id, *r->id ? "refused: the rollout is of another version" : "refused: there is no rollout", err);
    const weir_rollout_change change = weir_rollout_do(&r->rollout, (weir_rollout_command)command, slot, a->reason);
    if (!change.type) return note_answer(w, a, r->id, change.reason, err);
    weir_status status = keep(w, r, &change, a->actor, err);
    return status ? status : note_answer(w, a, r->id, "done", err);
}

/* Versions that are to be rolled out are made challengers first; twice is as once. */
static weir_status make_challengers(rollout_worker *w, const ask *a, weir_err *err) {
    weir_rollout_aliases now;
    weir_rollout_record newest;
    weir_status status = weir_rollout_newest(w->pg, w->pipeline, false, &newest, err);
    if (status || !a->count || (*newest.id && (newest.aliases_due || weir_rollout_active(&newest.rollout)))) return status;
    status = weir_rollout_read_aliases(w->pg, w->pipeline->name, &now, err);
    for (int slot = 0; !status && slot < a->count; slot++) {
        const weir_rollout_version *asked = &a->challengers[slot], *held = &now.challengers[slot];
        if (is_of(&now.champion, asked)) return WEIR_OK;
        status = weir_alias_move(w->pg, w->pipeline->name, weir_challenger_names[slot], held->version ? held->digest : NULL, asked->model, asked->version,
                                 a->actor, a->reason, err);
    }
    if (status == WEIR_ECONFLICT) return WEIR_RETRY(err, WEIR_ECONFLICT, "an alias was moved meanwhile");
    return status == WEIR_ENOTFOUND ? WEIR_OK : status; /* which is then refused */
}

static weir_status was_answered(rollout_worker *w, const ask *a, bool *ret_answered, weir_err *err) {
    const char *params[] = {a->id};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(w->pg, "SELECT FROM weir.rollout_events WHERE event_id = $1", 1, params, &result, err);
    if (status) return status;
    *ret_answered = PQntuples(result) > 0;
    PQclear(result);
    return WEIR_OK;
}

static weir_status answer(rollout_worker *w, const ask *a, weir_err *err) {
    weir_rollout_record newest;
    bool start = !strcmp(a->type, "ask.start"), answered = false, is_new = false;
    weir_status status = was_answered(w, a, &answered, err);
    if (!status && !answered && start) status = make_challengers(w, a, err);
    if (!status && !answered) status = weir_pg_begin(w->pg, err);
    if (status || answered) return status;
    status = weir_rollout_newest(w->pg, w->pipeline, true, &newest, err);
    if (!status) status = note_ask(w, a, &is_new, err);
    if (!status && is_new) status = start ? start_asked(w, a, &newest, err) : do_asked(w, a, &newest, err);
    if (status == WEIR_ECONFLICT) status = WEIR_RETRY(err, WEIR_ECONFLICT, "another rollout began meanwhile");
    return end(w, status, err);
}

static weir_status take_record(rollout_worker *w, const weir_bus_record *record, weir_err *err) {
    weir_datum row[ROLL_COUNT];
    weir_err why;
    ask a = {0};
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(w->events.serde, record->value, record->value_len, row, NULL, &why);
    if (!status && (!is_text(&row[ROLL_PIPELINE], w->pipeline->name) || row[ROLL_TYPE].len < 4 || memcmp(row[ROLL_TYPE].p, "ask.", 4) ||
                    weir_clock_wall_us(w->clock) - row[ROLL_AT].i > ASK_MAX_AGE_US))
        return WEIR_OK;
    if (!status && has_text(&row[ROLL_CHALLENGER])) status = parse_versions(&row[ROLL_CHALLENGER], &a, &why);
    if (status && why.action == WEIR_ACTION_REJECT) return weir_worker_reject(w->worker, record, "decode", &why, err);
    if (status) {
        *err = why;
        return status;
    }
    a.shadow = row[ROLL_SHADOW].i != 0;
    copy_text(a.id, sizeof a.id, &row[ROLL_EVENT_ID]);
    copy_text(a.type, sizeof a.type, &row[ROLL_TYPE]);
    copy_text(a.actor, sizeof a.actor, &row[ROLL_ACTOR]);
    copy_text(a.reason, sizeof a.reason, &row[ROLL_REASON]);
    return answer(w, &a, err);
}

/* ---- the worker ---- */

static weir_status rollout_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) status = take_record(context, &records[i], err);
    ((rollout_worker *)context)->look_at_us = 0;
    return status;
}

static weir_status rollout_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    (void)partitions, (void)err;
    ((rollout_worker *)context)->leads = count > 0;
    return WEIR_OK;
}

static weir_status rollout_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    (void)partitions, (void)count, (void)lost, (void)err;
    ((rollout_worker *)context)->leads = false;
    return WEIR_OK;
}

static weir_status rollout_tick(void *context, int64_t mono_us, weir_err *err) {
    rollout_worker *w = context;
    if (!w->leads || mono_us < w->look_at_us) return WEIR_OK;
    w->look_at_us = mono_us + LOOK_EVERY_US;
    weir_status status = look(w, mono_us, err);
    return status ? status : tell(w, err);
}

static void rollout_done(void *context) {
    rollout_worker *w = context;
    if (!w) return;
    weir_event_codec_done(&w->events);
    weir_event_codec_done(&w->alerts);
    weir_pg_free(w->pg);
    free(w);
}

static weir_status rollout_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    rollout_worker *w = weir_mem.realloc(NULL, sizeof *w);
    if (!w) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the rollout worker");
    *w = (rollout_worker){.worker = worker, .pipeline = shared->pipeline, .clock = env->clock, .seen = -1};
    *ret_context = w;
    uint32_t id; /* so that anybody can ask before anything was told */
    weir_rollout trial;
    weir_status status = weir_rollout_begin(&w->pipeline->rollout, 1, false, 0, &trial, err); /* can any begin? */
    if (status) return weir_err_prefix(err, "$.rollout");
    status = weir_pg_new(env->pg_url, &w->pg, err);
    if (!status) status = weir_pg_migrate(w->pg, err);
    if (!status) status = weir_event_codec_init(&w->events, shared->registry, "schemas/rollout.avsc", WEIR_TOPIC_ROLLOUTS, err);
    if (!status) status = weir_registry_register(shared->registry, WEIR_TOPIC_ROLLOUTS "-value", weir_schema_json(w->events.schema), &id, err);
    if (!status) status = weir_alert_codec_init(&w->alerts, shared->registry, err);
    if (!status) status = weir_shared_set_deadletter(shared, worker, err);
    const char *topic = WEIR_TOPIC_ROLLOUTS;
    return status ? status : weir_worker_subscribe(worker, &topic, 1, err);
}

const weir_worker_ops weir_rollout_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "rollout",
    .doc = "gives challengers their traffic, promotes one or takes it back",
    .init = rollout_init,
    .assigned = rollout_assigned,
    .revoked = rollout_revoked,
    .batch = rollout_batch,
    .tick = rollout_tick,
    .done = rollout_done,
    .needs_training = true,
};
