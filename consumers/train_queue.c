#include "consumers/train_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "models/pg_json.h"
#include "models/registry.h"

enum { NUMBER_TEXT = 32 };

/* Who takes runs holds this lock while it counts and takes: any fixed number; "weirrun" in ASCII. */
#define CLAIM_LOCK_SQL "SELECT pg_advisory_xact_lock(33607096218318190)"
#define OPEN "a.ended_at IS NULL"
#define HOLDS OPEN " AND a.lease_until > clock_timestamp()"

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for what is known of a training run");
}

static const char *whole(char text[NUMBER_TEXT], long number) {
    snprintf(text, NUMBER_TEXT, "%ld", number);
    return text;
}

static const char *seconds(char text[NUMBER_TEXT], int64_t us) {
    snprintf(text, NUMBER_TEXT, "%.6f", (double)us / 1e6);
    return text;
}

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(weir_pg *pg, weir_status status, weir_err *err) {
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    return status;
}

/* For weir.training.runs. detail may be NULL. */
static weir_status tell(weir_pg *pg, const char *run_id, const char *run_status, const cJSON *detail, weir_err *err) {
    char *text = detail ? cJSON_PrintUnformatted(detail) : NULL;
    if (detail && !text) return no_memory(err);
    weir_status status =
        weir_pg_exec(pg, "INSERT INTO weir.run_events (run_id, pipeline, status, detail) SELECT id, pipeline, $2, $3::jsonb FROM weir.runs WHERE id = $1", 3,
                     (const char *const[]){run_id, run_status, text ? text : "{}"}, NULL, err);
    cJSON_free(text);
    return status;
}

static weir_status set_status(weir_pg *pg, const char *run_id, const char *run_status, const cJSON *detail, weir_err *err) {
    weir_status status = weir_run_update(pg, run_id, run_status, detail, err);
    return status ? status : tell(pg, run_id, run_status, detail, err);
}

/* ---- adding ---- */

/* Two who read the same request at once both get here: the second waits for the first at the unique index, and its own run goes with its transaction. */
static weir_status put_run(weir_pg *pg, const char *pipeline, const char *request_id, const cJSON *request, bool *ret_new, weir_err *err) {
    weir_run run;
    PGresult *result = NULL;
    weir_status status = weir_run_start(pg, pipeline, request, &run, err);
    if (!status)
        status =
            weir_pg_exec(pg, "INSERT INTO weir.run_queue (run_id, pipeline, request_id, step) VALUES ($1, $2, $3, 'fit') ON CONFLICT DO NOTHING RETURNING 1", 3,
                         (const char *const[]){run.id, pipeline, request_id}, &result, err);
    if (status) return status;
    *ret_new = PQntuples(result) == 1;
    PQclear(result);
    return *ret_new ? set_status(pg, run.id, "queued", NULL, err) : WEIR_OK;
}

weir_status weir_train_queue_add(weir_pg *pg, const char *pipeline, const cJSON *request, weir_err *err) {
    const char *request_id = weir_json_text(request, "request_id");
    PGresult *result = NULL;
    bool is_new = false;
    weir_status status =
        weir_pg_exec(pg, "SELECT FROM weir.run_queue WHERE pipeline = $1 AND request_id = $2", 2, (const char *const[]){pipeline, request_id}, &result, err);
    if (status) return status;
    bool known = PQntuples(result) > 0;
    PQclear(result);
    if (known) return WEIR_OK;
    status = weir_pg_begin(pg, err);
    if (!status) status = put_run(pg, pipeline, request_id, request, &is_new, err);
    if (!status && !is_new) {
        weir_pg_rollback(pg);
        return WEIR_OK;
    }
    return end(pg, status, err);
}

/* ---- looking ---- */

/* Of this machine we see at once who is gone; of others when the lease is over. */
static weir_status expire_gone(weir_pg *pg, const cJSON *open, const weir_train_identity *identity, bool *ret_any, weir_err *err) {
    const cJSON *attempt;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(attempt, open) {
        if (status || !weir_train_identity_gone(identity, weir_json_text(attempt, "process"))) continue;
        status = weir_pg_exec(pg, "UPDATE weir.run_attempts a SET lease_until = clock_timestamp() WHERE process = $1 AND " HOLDS, 1,
                              (const char *const[]){weir_json_text(attempt, "process")}, NULL, err);
        *ret_any = true;
    }
    return status;
}

static weir_status look(weir_pg *pg, const char *pipeline, const weir_train_identity *identity, cJSON **ret_look, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT json_build_object('waiting', count(*), 'ready', count(*) FILTER (WHERE not_before <= clock_timestamp() AND cancel_at IS NULL),"
        " 'host', (SELECT count(*) FROM weir.run_attempts a WHERE host = $2 AND " HOLDS "), 'overall', (SELECT count(*) FROM weir.run_attempts a WHERE " HOLDS
        "),"
        " 'open', (SELECT json_agg(DISTINCT jsonb_build_object('process', process)) FROM weir.run_attempts a WHERE " HOLDS "),"
        " 'lost', EXISTS (SELECT FROM weir.run_attempts a JOIN weir.run_queue q USING (run_id) WHERE pipeline = $1 AND " OPEN
        " AND lease_until <= clock_timestamp()),"
        " 'untold', EXISTS (SELECT FROM weir.run_events WHERE pipeline = $1) OR EXISTS (SELECT FROM weir.training_failures WHERE pipeline = $1 AND sent_at IS "
        "NULL))"
        " FROM weir.run_queue q WHERE pipeline = $1 AND step IS NOT NULL AND NOT EXISTS (SELECT FROM weir.run_attempts a WHERE a.run_id = q.run_id AND " OPEN
        ")",
        2, (const char *const[]){pipeline, identity->host}, ret_look, err);
}

weir_status weir_train_queue_look(weir_pg *pg, const char *pipeline, const weir_train_identity *identity, weir_train_look *ret_look, weir_err *err) {
    cJSON *json = NULL;
    bool expired = false;
    weir_status status = look(pg, pipeline, identity, &json, err);
    if (!status) status = expire_gone(pg, weir_json_at(json, "open"), identity, &expired, err);
    if (!status && expired) {
        cJSON_Delete(json);
        json = NULL;
        status = look(pg, pipeline, identity, &json, err);
    }
    if (!status)
        *ret_look = (weir_train_look){
            .waiting = (int)weir_json_number(json, "waiting", 0),
            .ready = (int)weir_json_number(json, "ready", 0),
            .running_host = (int)weir_json_number(json, "host", 0),
            .running_overall = (int)weir_json_number(json, "overall", 0),
            .untold = cJSON_IsTrue(weir_json_at(json, "untold")),
            .lost = cJSON_IsTrue(weir_json_at(json, "lost")),
        };
    cJSON_Delete(json);
    return status;
}

/* ---- taking ---- */

void weir_train_claim_done(weir_train_claim *claim) {
    cJSON_Delete(claim->request);
    cJSON_Delete(claim->detail);
    *claim = (weir_train_claim){0};
}

static weir_status has_room(weir_pg *pg, const weir_train_limits *limits, const weir_train_identity *identity, bool *ret_room, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT count(*) FILTER (WHERE host = $1), count(*) FROM weir.run_attempts a WHERE " HOLDS, 1,
                                      (const char *const[]){identity->host}, &result, err);
    if (status) return status;
    *ret_room = weir_train_free_slots(limits, atoi(PQgetvalue(result, 0, 0)), atoi(PQgetvalue(result, 0, 1))) > 0;
    PQclear(result);
    return WEIR_OK;
}

/* {run_id, attempt, step, failures, waited_s, request, detail} of the run that is next, or null. */
static weir_status find_next(weir_pg *pg, const char *pipeline, cJSON **ret_next, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce((SELECT json_build_object('run_id', q.run_id, 'step', q.step, 'failures', q.failures, 'request', r.request, 'detail', r.detail,"
        " 'waited_s', extract(epoch FROM clock_timestamp() - q.not_before),"
        " 'attempt', 1 + (SELECT coalesce(max(attempt), 0) FROM weir.run_attempts a WHERE a.run_id = q.run_id))"
        " FROM weir.run_queue q JOIN weir.runs r ON r.id = q.run_id"
        " WHERE q.pipeline = $1 AND step IS NOT NULL AND cancel_at IS NULL AND not_before <= clock_timestamp()"
        " AND NOT EXISTS (SELECT FROM weir.run_attempts a WHERE a.run_id = q.run_id AND " OPEN ")"
        " ORDER BY q.run_id LIMIT 1 FOR UPDATE OF q SKIP LOCKED), 'null')",
        1, (const char *const[]){pipeline}, ret_next, err);
}

static void fill_claim(weir_train_claim *claim, cJSON *next) {
    snprintf(claim->run_id, sizeof claim->run_id, "%s", weir_json_text(next, "run_id"));
    claim->attempt = (int)weir_json_number(next, "attempt", 0);
    claim->evaluates = !strcmp(weir_json_text(next, "step"), "evaluate");
    claim->failures = (int)weir_json_number(next, "failures", 0);
    claim->waited_s = weir_json_number(next, "waited_s", 0);
    claim->request = cJSON_DetachItemFromObjectCaseSensitive(next, "request");
    claim->detail = cJSON_DetachItemFromObjectCaseSensitive(next, "detail");
}

static weir_status begin_attempt(weir_pg *pg, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                                 int64_t time_us, weir_err *err) {
    char attempt[NUMBER_TEXT], lease[NUMBER_TEXT], time[NUMBER_TEXT];
    const char *const params[] = {claim->run_id,
                                  whole(attempt, claim->attempt),
                                  claim->evaluates ? "evaluate" : "fit",
                                  identity->host,
                                  identity->worker,
                                  identity->process,
                                  seconds(lease, limits->lease_us),
                                  seconds(time, time_us)};
    weir_status status =
        weir_pg_exec(pg,
                     "INSERT INTO weir.run_attempts (run_id, attempt, step, host, worker, process, lease_until, limit_at) VALUES ($1, $2::int, $3, $4, $5, $6,"
                     " clock_timestamp() + make_interval(secs => $7), clock_timestamp() + make_interval(secs => $8))",
                     8, params, NULL, err);
    if (status || claim->evaluates) return status; /* which goes on as awaiting labels until it is done */
    cJSON *detail = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(detail, "attempt", claim->attempt) && cJSON_AddStringToObject(detail, "host", identity->host) &&
              cJSON_AddStringToObject(detail, "worker", identity->worker);
    status = ok ? weir_run_update(pg, claim->run_id, "running", NULL, err) : no_memory(err);
    if (!status) status = tell(pg, claim->run_id, "running", detail, err);
    cJSON_Delete(detail);
    return status;
}

weir_status weir_train_queue_claim(weir_pg *pg, const char *pipeline, const weir_train_limits *limits, const weir_train_identity *identity, int64_t time_us,
                                   weir_train_claim *ret_claim, weir_err *err) {
    weir_train_claim claim = {0};
    cJSON *next = NULL;
    bool room = false;
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_pg_exec(pg, CLAIM_LOCK_SQL, 0, NULL, NULL, err);
    if (!status) status = has_room(pg, limits, identity, &room, err);
    if (!status && room) status = find_next(pg, pipeline, &next, err);
    if (!status && cJSON_IsObject(next)) {
        fill_claim(&claim, next);
        status = begin_attempt(pg, &claim, limits, identity, time_us, err);
    }
    cJSON_Delete(next);
    status = end(pg, status, err);
    if (status)
        weir_train_claim_done(&claim);
    else
        *ret_claim = claim;
    return status;
}

/* ---- working ---- */

static weir_status tell_progress(weir_pg *pg, const weir_train_claim *claim, const weir_train_identity *identity, const cJSON *progress, weir_err *err) {
    cJSON *detail = cJSON_CreateObject(), *copy = cJSON_Duplicate(progress, true);
    bool ok = copy && cJSON_AddItemToObject(detail, "progress", copy);
    if (!ok) cJSON_Delete(copy);
    ok = ok && cJSON_AddNumberToObject(detail, "attempt", claim->attempt) && cJSON_AddStringToObject(detail, "host", identity->host);
    weir_status status = ok ? tell(pg, claim->run_id, claim->evaluates ? "awaiting_labels" : "running", detail, err) : no_memory(err);
    cJSON_Delete(detail);
    return status;
}

weir_status weir_train_queue_renew(weir_pg *pg, const weir_train_claim *claim, const weir_train_limits *limits, const weir_train_identity *identity,
                                   const cJSON *progress, bool is_news, bool *ret_held, bool *ret_cancel, weir_err *err) {
    char attempt[NUMBER_TEXT], lease[NUMBER_TEXT], *text = progress ? cJSON_PrintUnformatted(progress) : NULL;
    if (progress && !text) return no_memory(err);
    const char *const params[] = {claim->run_id, whole(attempt, claim->attempt), identity->process, seconds(lease, limits->lease_us), text};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "UPDATE weir.run_attempts a SET lease_until = clock_timestamp() + make_interval(secs => $4), progress = coalesce($5::jsonb, progress)"
                     " WHERE run_id = $1 AND attempt = $2::int AND process = $3 AND " HOLDS
                     " RETURNING (SELECT cancel_at IS NOT NULL FROM weir.run_queue q WHERE q.run_id = a.run_id)",
                     5, params, &result, err);
    cJSON_free(text);
    if (status) return status;
    *ret_held = PQntuples(result) == 1;
    *ret_cancel = *ret_held && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return *ret_held && progress && is_news ? tell_progress(pg, claim, identity, progress, err) : WEIR_OK;
}

/* ---- ending ---- */

/* Of the queue's row, once it is locked. */
typedef struct queued {
    bool evaluates, cancelling;
    int failures;
    char pipeline[128], by[128], why[256];
} queued;

static weir_status lock_row(weir_pg *pg, const char *run_id, bool *ret_there, queued *ret_row, weir_err *err) {
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT coalesce(step, '') = 'evaluate', cancel_at IS NOT NULL, failures, pipeline, coalesce(cancel_by, ''), coalesce(cancel_reason, '')"
                     " FROM weir.run_queue WHERE run_id = $1 FOR UPDATE",
                     1, &run_id, &result, err);
    if (status) return status;
    *ret_there = PQntuples(result) == 1;
    if (*ret_there) {
        ret_row->evaluates = *PQgetvalue(result, 0, 0) == 't';
        ret_row->cancelling = *PQgetvalue(result, 0, 1) == 't';
        ret_row->failures = atoi(PQgetvalue(result, 0, 2));
        snprintf(ret_row->pipeline, sizeof ret_row->pipeline, "%s", PQgetvalue(result, 0, 3));
        snprintf(ret_row->by, sizeof ret_row->by, "%s", PQgetvalue(result, 0, 4));
        snprintf(ret_row->why, sizeof ret_row->why, "%s", PQgetvalue(result, 0, 5));
    }
    PQclear(result);
    return WEIR_OK;
}

static weir_status end_attempt(weir_pg *pg, const weir_train_identity *identity, const weir_train_settlement *s, bool *ret_held, weir_err *err) {
    char attempt[NUMBER_TEXT];
    const char *const params[] = {s->run_id, whole(attempt, s->attempt), identity ? identity->process : NULL, weir_train_outcome_name(s->outcome), s->error};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "UPDATE weir.run_attempts a SET ended_at = clock_timestamp(), lease_until = NULL, outcome = $4, error = $5 WHERE run_id = $1 AND"
                     " attempt = $2::int AND " OPEN " AND CASE WHEN $3::text IS NULL THEN lease_until <= clock_timestamp() ELSE process = $3 END RETURNING 1",
                     5, params, &result, err);
    if (status) return status;
    *ret_held = PQntuples(result) == 1;
    PQclear(result);
    return WEIR_OK;
}

static weir_status set_alarm(weir_pg *pg, const char *pipeline, const char *run_id, bool firing, const char *summary, weir_err *err) {
    const char *const params[] = {pipeline, run_id, summary};
    return firing ? weir_pg_exec(pg,
                                 "INSERT INTO weir.training_failures AS f (pipeline, run_id, firing, summary) VALUES ($1, $2, true, $3) ON CONFLICT (pipeline) "
                                 "DO UPDATE SET"
                                 " run_id = $2, firing = true, summary = $3, changed_at = clock_timestamp(), sent_at = NULL",
                                 3, params, NULL, err)
                  : weir_pg_exec(
                        pg,
                        "UPDATE weir.training_failures SET run_id = $2, firing = false, summary = $3, changed_at = clock_timestamp(), sent_at = NULL WHERE"
                        " pipeline = $1 AND firing",
                        3, params, NULL, err);
}

/* Nothing is to be done for the run now; forget_failures: what comes next begins anew. */
static weir_status take_off(weir_pg *pg, const char *run_id, bool forget_failures, weir_err *err) {
    return weir_pg_exec(pg, "UPDATE weir.run_queue SET step = NULL, failures = CASE WHEN $2 THEN 0 ELSE failures END WHERE run_id = $1", 2,
                        (const char *const[]){run_id, forget_failures ? "t" : "f"}, NULL, err);
}

static weir_status goes_on(weir_pg *pg, const queued *row, const weir_train_settlement *s, weir_err *err) {
    char summary[200];
    snprintf(summary, sizeof summary, "training run %s is done", s->run_id);
    weir_status status = take_off(pg, s->run_id, true, err);
    if (!status) status = set_status(pg, s->run_id, s->goes_on_as, s->detail, err);
    return status ? status : set_alarm(pg, row->pipeline, s->run_id, false, summary, err);
}

static weir_status again(weir_pg *pg, const queued *row, const weir_train_settlement *s, weir_err *err) {
    char failures[NUMBER_TEXT], wait[NUMBER_TEXT];
    const char *run_status = row->evaluates ? "awaiting_labels" : "queued";
    snprintf(wait, sizeof wait, "%.6f", s->wait_s);
    weir_status status =
        weir_pg_exec(pg, "UPDATE weir.run_queue SET failures = $2::int, not_before = clock_timestamp() + make_interval(secs => $3) WHERE run_id = $1", 3,
                     (const char *const[]){s->run_id, whole(failures, row->failures + weir_train_counts(s->outcome)), wait}, NULL, err);
    if (!status) status = weir_run_update(pg, s->run_id, run_status, NULL, err);
    if (status) return status;
    cJSON *detail = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(detail, "attempt", s->attempt) && cJSON_AddStringToObject(detail, "outcome", weir_train_outcome_name(s->outcome)) &&
              cJSON_AddStringToObject(detail, "error", s->error ? s->error : "") && cJSON_AddNumberToObject(detail, "retry_in_seconds", s->wait_s);
    status = ok ? tell(pg, s->run_id, run_status, detail, err) : no_memory(err);
    cJSON_Delete(detail);
    return status;
}

static weir_status fails(weir_pg *pg, const char *pipeline, const char *run_id, const char *error, const cJSON *so_far, weir_err *err) {
    char summary[WEIR_ERR_MESSAGE_MAX + 100];
    cJSON *detail = so_far ? cJSON_Duplicate(so_far, true) : cJSON_CreateObject();
    snprintf(summary, sizeof summary, "training run %s failed: %s", run_id, error);
    cJSON_DeleteItemFromObjectCaseSensitive(detail, "error");
    weir_status status = cJSON_AddStringToObject(detail, "error", error) ? take_off(pg, run_id, false, err) : no_memory(err);
    if (!status) status = set_status(pg, run_id, "failed", detail, err);
    if (!status) status = set_alarm(pg, pipeline, run_id, true, summary, err);
    cJSON_Delete(detail);
    return status;
}

static weir_status is_cancelled(weir_pg *pg, const queued *row, const char *run_id, const cJSON *so_far, weir_err *err) {
    cJSON *detail = so_far ? cJSON_Duplicate(so_far, true) : cJSON_CreateObject(), *cancelled = cJSON_AddObjectToObject(detail, "cancelled");
    bool ok = cJSON_AddStringToObject(cancelled, "by", row->by) && cJSON_AddStringToObject(cancelled, "reason", row->why);
    weir_status status = ok ? take_off(pg, run_id, false, err) : no_memory(err);
    if (!status) status = set_status(pg, run_id, "cancelled", detail, err);
    cJSON_Delete(detail);
    return status;
}

/* Inside a transaction. */
static weir_status settle(weir_pg *pg, const weir_train_limits *limits, const weir_train_identity *identity, const weir_train_settlement *s, bool *ret_held,
                          weir_train_next *ret_next, weir_err *err) {
    queued row = {0};
    weir_status status = lock_row(pg, s->run_id, ret_held, &row, err);
    if (!status && *ret_held) status = end_attempt(pg, identity, s, ret_held, err);
    if (status || !*ret_held) return status;
    weir_train_next next = weir_train_next_of(limits, s->outcome, row.failures);
    bool is_over = next == WEIR_TRAIN_GOES_ON && !strcmp(s->goes_on_as, "succeeded");
    if (row.cancelling && !is_over && next != WEIR_TRAIN_FAILS) next = WEIR_TRAIN_IS_CANCELLED;
    *ret_next = next;
    switch (next) {
    case WEIR_TRAIN_GOES_ON: return goes_on(pg, &row, s, err);
    case WEIR_TRAIN_AGAIN: return again(pg, &row, s, err);
    case WEIR_TRAIN_IS_CANCELLED: return is_cancelled(pg, &row, s->run_id, s->detail, err);
    default: return fails(pg, row.pipeline, s->run_id, s->error ? s->error : "", s->detail, err);
    }
}

weir_status weir_train_queue_settle(weir_pg *pg, const weir_train_limits *limits, const weir_train_identity *identity, const weir_train_settlement *settlement,
                                    bool *ret_held, weir_train_next *ret_next, weir_err *err) {
    *ret_held = false;
    *ret_next = WEIR_TRAIN_AGAIN;
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = settle(pg, limits, identity, settlement, ret_held, ret_next, err);
    return end(pg, status, err);
}

weir_status weir_train_queue_settle_lost(weir_pg *pg, const char *pipeline, const weir_train_limits *limits, weir_train_lost *ret_lost, weir_err *err) {
    *ret_lost = (weir_train_lost){0};
    PGresult *rows = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT a.run_id, a.attempt, 'worker ' || a.worker || ' went away' FROM weir.run_attempts a JOIN weir.run_queue q USING (run_id)"
                     " WHERE q.pipeline = $1 AND " OPEN " AND a.lease_until <= clock_timestamp()",
                     1, &pipeline, &rows, err);
    if (status) return status;
    for (int i = 0; !status && i < PQntuples(rows); i++) {
        const weir_train_settlement lost = {
            .run_id = PQgetvalue(rows, i, 0), .attempt = atoi(PQgetvalue(rows, i, 1)), .outcome = WEIR_TRAIN_LOST, .error = PQgetvalue(rows, i, 2)};
        weir_train_next next;
        bool held;
        status = weir_train_queue_settle(pg, limits, NULL, &lost, &held, &next, err);
        if (status || !held) continue;
        ret_lost->attempts++;
        ret_lost->failed += next == WEIR_TRAIN_FAILS;
        ret_lost->cancelled += next == WEIR_TRAIN_IS_CANCELLED;
    }
    PQclear(rows);
    return status;
}

weir_status weir_train_queue_awaiting(weir_pg *pg, const char *pipeline, cJSON **ret_runs, weir_err *err) {
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('id', r.id, 'detail', r.detail) ORDER BY r.id), '[]') FROM weir.run_queue q JOIN weir.runs r ON"
        " r.id = q.run_id WHERE q.pipeline = $1 AND r.status = 'awaiting_labels' AND q.step IS NULL AND q.cancel_at IS NULL",
        1, &pipeline, ret_runs, err);
}

weir_status weir_train_queue_evaluate(weir_pg *pg, const char *run_id, weir_err *err) {
    return weir_pg_exec(pg,
                        "UPDATE weir.run_queue q SET step = 'evaluate', failures = 0, not_before = clock_timestamp() WHERE run_id = $1 AND step IS NULL AND "
                        "cancel_at IS NULL AND"
                        " EXISTS (SELECT FROM weir.runs r WHERE r.id = q.run_id AND r.status = 'awaiting_labels')",
                        1, &run_id, NULL, err);
}

weir_status weir_train_queue_give_up(weir_pg *pg, const char *run_id, const char *error, weir_err *err) {
    queued row;
    bool there = false;
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = lock_row(pg, run_id, &there, &row, err);
    if (!status && there) status = fails(pg, row.pipeline, run_id, error, NULL, err);
    return end(pg, status, err);
}

/* ---- cancelling ---- */

/* 'over', 'held' (by a worker whose lease holds), 'free', or none. */
static weir_status state_of(weir_pg *pg, const char *pipeline, const char *run_id, char state[8], weir_err *err) {
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT CASE WHEN r.ended_at IS NOT NULL THEN 'over' WHEN EXISTS (SELECT FROM weir.run_attempts a WHERE a.run_id = r.id AND " HOLDS
                     ") THEN 'held' ELSE 'free' END FROM weir.run_queue q JOIN weir.runs r ON r.id = q.run_id WHERE q.pipeline = $1 AND q.run_id = $2"
                     " FOR UPDATE OF q",
                     2, (const char *const[]){pipeline, run_id}, &result, err);
    if (status) return status;
    snprintf(state, 8, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "none");
    PQclear(result);
    return WEIR_OK;
}

static weir_status cancel_free(weir_pg *pg, const char *run_id, const char *by, const char *reason, weir_err *err) {
    queued row = {0};
    snprintf(row.by, sizeof row.by, "%s", by);
    snprintf(row.why, sizeof row.why, "%s", reason);
    weir_status status =
        weir_pg_exec(pg, "UPDATE weir.run_attempts a SET ended_at = clock_timestamp(), lease_until = NULL, outcome = 'lost' WHERE run_id = $1 AND " OPEN, 1,
                     &run_id, NULL, err);
    return status ? status : is_cancelled(pg, &row, run_id, NULL, err);
}

static weir_status cancel(weir_pg *pg, const char *pipeline, const char *run_id, const char *by, const char *reason, weir_train_cancelled *ret_how,
                          weir_err *err) {
    char state[8];
    weir_status status = state_of(pg, pipeline, run_id, state, err);
    if (status) return status;
    *ret_how = !strcmp(state, "over") ? WEIR_TRAIN_CANCEL_LATE : !strcmp(state, "held") ? WEIR_TRAIN_CANCEL_ASKED : WEIR_TRAIN_CANCELLED_NOW;
    if (!strcmp(state, "none"))
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no requested run %s; what a command trains by itself ends with that command", pipeline, run_id);
    if (*ret_how == WEIR_TRAIN_CANCEL_LATE) return WEIR_OK;
    status =
        weir_pg_exec(pg, "UPDATE weir.run_queue SET cancel_at = clock_timestamp(), cancel_by = $2, cancel_reason = $3 WHERE run_id = $1 AND cancel_at IS NULL",
                     3, (const char *const[]){run_id, by, reason}, NULL, err);
    return status || *ret_how == WEIR_TRAIN_CANCEL_ASKED ? status : cancel_free(pg, run_id, by, reason, err);
}

weir_status weir_train_queue_cancel(weir_pg *pg, const char *pipeline, const char *run_id, const char *by, const char *reason, weir_train_cancelled *ret_how,
                                    weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = cancel(pg, pipeline, run_id, by, reason, ret_how, err);
    return end(pg, status, err);
}

/* ---- listing ---- */

weir_status weir_train_queue_list(weir_pg *pg, const char *pipeline, int most, cJSON **ret_runs, weir_err *err) {
    char limit[NUMBER_TEXT];
    return weir_pg_query_json(
        pg,
        "WITH newest AS (SELECT r.*, q.step, q.not_before, q.cancel_at FROM weir.runs r LEFT JOIN weir.run_queue q ON q.run_id = r.id WHERE r.pipeline = $1"
        " ORDER BY r.started_at DESC, r.id DESC LIMIT $2::int),"
        " usual AS (SELECT step, percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS s FROM (SELECT a.step, extract(epoch FROM a.ended_at - a.started_at) AS s,"
        " row_number() OVER (PARTITION BY a.step ORDER BY a.ended_at DESC) AS n FROM weir.run_attempts a JOIN weir.run_queue q USING (run_id)"
        " WHERE q.pipeline = $1 AND a.outcome = 'done') lately WHERE n <= 5 GROUP BY step),"
        " last AS (SELECT DISTINCT ON (run_id) a.*, extract(epoch FROM clock_timestamp() - a.started_at) AS s FROM weir.run_attempts a JOIN newest n ON n.id = "
        "a.run_id"
        " ORDER BY run_id, attempt DESC)"
        " SELECT coalesce(json_agg(json_build_object('id', n.id, 'status', n.status, 'step', n.step, 'reason', n.request ->> 'reason', "
        "'requested_at', " WEIR_PG_TIME("n.started_at") ", 'ended_at', " WEIR_PG_TIME(
            "n.ended_at") ", 'attempts', coalesce(l.attempt, 0), 'host', l.host, 'worker', CASE WHEN l.ended_at IS NULL THEN l.worker END,"
                          " 'progress', CASE WHEN l.ended_at IS NULL THEN l.progress END,"
                          " 'running_s', round(CASE WHEN l.ended_at IS NULL THEN l.s END::numeric, 1),"
                          " 'left_s', round(CASE WHEN l.ended_at IS NULL THEN greatest(u.s - l.s, 0) END::numeric, 1),"
                          " 'limit_s', round(CASE WHEN l.ended_at IS NULL THEN extract(epoch FROM l.limit_at - clock_timestamp()) END::numeric, 1),"
                          " 'retry_in_s', round(CASE WHEN n.step IS NOT NULL AND l.ended_at IS NOT NULL THEN greatest(extract(epoch FROM n.not_before - "
                          "clock_timestamp()), 0)"
                          " END::numeric, 1),"
                          " 'cancelling', n.cancel_at IS NOT NULL AND n.ended_at IS NULL, 'error', coalesce(n.detail ->> 'error', CASE WHEN n.step IS NOT NULL "
                          "THEN l.error END))"
                          " ORDER BY n.started_at DESC, n.id DESC), '[]')"
                          " FROM newest n LEFT JOIN last l ON l.run_id = n.id LEFT JOIN usual u ON u.step = l.step",
        2, (const char *const[]){pipeline, whole(limit, most)}, ret_runs, err);
}
