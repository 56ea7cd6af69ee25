#include "consumers/train_tell.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/alert.h"
#include "core/log.h"

enum { FLUSH_TIMEOUT_MS = 30000 };

enum { EVENT_ID, EVENT_RUN, EVENT_STATUS, EVENT_AT, EVENT_DETAIL, EVENT_REQUEST };
enum { ALARM_RUN, ALARM_FIRING, ALARM_AT, ALARM_SUMMARY };

static weir_status send_event(weir_train_teller *t, const PGresult *rows, int i, weir_err *err) {
    int64_t at_us = atoll(PQgetvalue(rows, i, EVENT_AT));
    const char *run_id = PQgetvalue(rows, i, EVENT_RUN), *request_id = PQgetvalue(rows, i, EVENT_REQUEST);
    char id[80];
    const weir_datum row[RUN_COUNT] = {
        [RUN_ID] = weir_text(run_id),
        [RUN_PIPELINE] = weir_text(t->pipeline),
        [RUN_STATUS] = weir_text(PQgetvalue(rows, i, EVENT_STATUS)),
        [RUN_AT] = weir_i64(at_us),
        [RUN_REQUEST_ID] = *request_id ? weir_text(request_id) : weir_null(),
        [RUN_DETAIL] = weir_text(PQgetvalue(rows, i, EVENT_DETAIL)),
    };
    snprintf(id, sizeof id, "%.40s-%.20s", run_id, PQgetvalue(rows, i, EVENT_ID));
    weir_status status = weir_event_send(&t->runs, t->producer, WEIR_TOPIC_RUNS, run_id, "weir.training.run", id, at_us, row, err);
    if (!status) WEIR_INFO("training run", WEIR_S("run", run_id), WEIR_S("status", PQgetvalue(rows, i, EVENT_STATUS)));
    return status;
}

static weir_status tell_runs(weir_train_teller *t, weir_err *err) {
    PGresult *rows = NULL;
    weir_status status =
        weir_pg_exec(t->pg,
                     "SELECT e.id, e.run_id, e.status, (extract(epoch FROM e.at) * 1000000)::int8, e.detail, coalesce(q.request_id, '') FROM weir.run_events e"
                     " LEFT JOIN weir.run_queue q USING (run_id) WHERE e.pipeline = $1 ORDER BY e.id LIMIT 100",
                     1, &t->pipeline, &rows, err);
    if (status) return status;
    int count = PQntuples(rows);
    for (int i = 0; !status && i < count; i++) status = send_event(t, rows, i, err);
    if (!status && count) status = weir_producer_flush(t->producer, FLUSH_TIMEOUT_MS, err);
    /* By id one after the other: one with a lower id may be committed only now, by a slower transaction. */
    for (int i = 0; !status && i < count; i++)
        status = weir_pg_exec(t->pg, "DELETE FROM weir.run_events WHERE id = $1::int8", 1, (const char *const[]){PQgetvalue(rows, i, EVENT_ID)}, NULL, err);
    PQclear(rows);
    return status;
}

static weir_status tell_alarm(weir_train_teller *t, weir_err *err) {
    PGresult *rows = NULL;
    char id[200];
    weir_status status =
        weir_pg_exec(t->pg,
                     "SELECT run_id, firing, (extract(epoch FROM changed_at) * 1000000)::int8, summary FROM weir.training_failures WHERE pipeline = $1 AND"
                     " sent_at IS NULL FOR UPDATE",
                     1, &t->pipeline, &rows, err);
    if (!status && PQntuples(rows)) {
        cJSON *detail = cJSON_CreateObject();
        snprintf(id, sizeof id, "%.120s/training", t->pipeline);
        const weir_alert alert = {
            .id = id,
            .name = "WeirTrainingFailed",
            .summary = PQgetvalue(rows, 0, ALARM_SUMMARY),
            .runbook = "training-failed.md",
            .firing = *PQgetvalue(rows, 0, ALARM_FIRING) == 't',
            .detail = detail,
        };
        status = cJSON_AddStringToObject(detail, "run_id", PQgetvalue(rows, 0, ALARM_RUN))
                     ? weir_alert_send(&t->alerts, t->producer, t->pipeline, &alert, atoll(PQgetvalue(rows, 0, ALARM_AT)), err)
                     : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for an alert");
        cJSON_Delete(detail);
        if (!status) status = weir_producer_flush(t->producer, FLUSH_TIMEOUT_MS, err);
        if (!status)
            status = weir_pg_exec(t->pg, "UPDATE weir.training_failures SET sent_at = clock_timestamp() WHERE pipeline = $1", 1, &t->pipeline, NULL, err);
    }
    PQclear(rows);
    return status;
}

/* A step of a transaction. */
static weir_status tell(void *context, weir_err *err) {
    weir_train_teller *t = context;
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(t->pg, "SELECT pg_try_advisory_xact_lock(hashtext('weir.run_events'), hashtext($1))", 1, &t->pipeline, &result, err);
    if (status) return status;
    bool mine = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!mine) return WEIR_OK;
    status = tell_runs(t, err);
    return status ? status : tell_alarm(t, err);
}

weir_status weir_train_tell(weir_train_teller *teller, weir_err *err) {
    return weir_pg_transaction(teller->pg, tell, teller, err);
}

weir_status weir_train_teller_init(weir_train_teller *teller, weir_pg *pg, const char *pipeline, weir_registry *registry, weir_err *err) {
    *teller = (weir_train_teller){.pg = pg, .pipeline = pipeline};
    weir_status status = weir_event_codec_init(&teller->runs, registry, "schemas/training_run.avsc", WEIR_TOPIC_RUNS, err);
    return status ? status : weir_alert_codec_init(&teller->alerts, registry, err);
}

void weir_train_teller_done(weir_train_teller *teller) {
    weir_event_codec_done(&teller->runs);
    weir_event_codec_done(&teller->alerts);
}
