/* schedule: the clock of a pipeline. When a schedule of its file is due, one event goes to weir.schedule, however many schedulers run and whichever of them is killed.
 *
 *   due ──insert──> weir.schedule_firings (one row a firing) ──locked, sent, flushed, marked──> weir.schedule
 *
 * A scheduler that dies between flush and mark leaves a firing that another tells again, under the same id: who reads drops what it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/batches.h"
#include "consumers/due.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/pg.h"

enum { TICK_MS = 500, FLUSH_MS = 10000 };

typedef struct planned {
    const weir_schedule_def *def;
    weir_cron cron;
    weir_zone *zone;
    int64_t last_us; /* what was due up to here is decided; INT64_MIN: not read from the database yet */
} planned;

typedef struct schedule {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    weir_event_codec codec;
    bool codec_ready;
    bool may_wait; /* firings whose event is not sent yet: at start, and after each insert */
    planned planned[WEIR_SCHEDULES_MAX];
    weir_batches *batches; /* NULL: the pipeline has none */
} schedule;

/* ---- what is due ---- */

/* Where this schedule stands: at its newest firing, or at the time it was first seen as it is now. */
static weir_status read_last(schedule *s, planned *p, weir_err *err) {
    return weir_schedule_stands(s->pg, s->pipeline->name, p->def->name, p->def->cron, p->def->time_zone, weir_clock_wall_us(s->clock),
                                "SELECT max(due_at) FROM weir.schedule_firings WHERE (pipeline, schedule) = ($1, $2)", &p->last_us, err);
}

/* Another scheduler may have decided it already: then its row stays as it is. */
static weir_status decide_firing(schedule *s, const planned *p, const weir_due *due, weir_err *err) {
    char at[WEIR_TIME_TEXT_MAX], missed[16];
    snprintf(missed, sizeof missed, "%d", due->missed);
    const char *params[] = {s->pipeline->name, p->def->name, weir_time_format(due->at_us, at), missed, due->told ? "true" : "false"};
    return weir_pg_exec(s->pg,
                        "INSERT INTO weir.schedule_firings (pipeline, schedule, due_at, missed, told) VALUES ($1, $2, $3::timestamptz, $4::int, $5::bool) "
                        "ON CONFLICT DO NOTHING",
                        5, params, NULL, err);
}

static weir_status look(schedule *s, planned *p, weir_err *err) {
    weir_due due[WEIR_DUE_MAX];
    weir_status status = p->last_us == INT64_MIN ? read_last(s, p, err) : WEIR_OK;
    int count = status ? 0 : weir_schedule_due(&p->cron, p->zone, p->def->catch_up, p->last_us, weir_clock_wall_us(s->clock), due);
    for (int i = 0; !status && i < count; i++) {
        if ((status = decide_firing(s, p, &due[i], err))) break;
        p->last_us = due[i].at_us;
        s->may_wait = true;
        if (!due[i].told || due[i].missed) {
            weir_metric_add(WEIR_METRIC("weir_schedule_firings_total", s->pipeline->name, "missed"), due[i].missed + !due[i].told);
            WEIR_WARN("firings of a schedule were missed", WEIR_S("schedule", p->def->name), WEIR_I("count", due[i].missed + !due[i].told));
        }
    }
    return status;
}

/* ---- telling ---- */

static const planned *planned_of(const schedule *s, const char *name) {
    for (int i = 0; i < s->pipeline->triggers.schedule_count; i++) {
        if (!strcmp(s->planned[i].def->name, name)) return &s->planned[i];
    }
    return NULL;
}

static weir_status send_firing(schedule *s, const planned *p, int64_t due_us, int missed, weir_err *err) {
    char id[256], due[WEIR_TIME_TEXT_MAX], *payload = p->def->payload ? cJSON_PrintUnformatted(p->def->payload) : NULL;
    if (p->def->payload && !payload) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for an event of schedule %s", p->def->name);
    int64_t now_us = weir_clock_wall_us(s->clock);
    snprintf(id, sizeof id, "%s/%s/%s", s->pipeline->name, p->def->name, weir_time_format(due_us, due));
    const weir_datum row[SCHED_COUNT] = {
        [SCHED_FIRING_ID] = weir_text(id),          [SCHED_PIPELINE] = weir_text(s->pipeline->name),
        [SCHED_SCHEDULE] = weir_text(p->def->name), [SCHED_ACTION] = weir_text(p->def->action),
        [SCHED_DUE_AT] = weir_i64(due_us),          [SCHED_FIRED_AT] = weir_i64(now_us),
        [SCHED_MISSED] = weir_i64(missed),          [SCHED_PAYLOAD] = weir_text(payload ? payload : "{}"),
    };
    weir_status status =
        weir_event_send(&s->codec, weir_worker_producer(s->worker), WEIR_TOPIC_SCHEDULE, s->pipeline->name, "weir.schedule.fired", id, now_us, row, err);
    cJSON_free(payload);
    if (status) return status;
    WEIR_INFO("a schedule fired", WEIR_S("schedule", p->def->name), WEIR_S("action", p->def->action), WEIR_S("due", due));
    weir_metric_add(WEIR_METRIC("weir_schedule_firings_total", s->pipeline->name, "fired"), 1);
    weir_metric_observe(WEIR_METRIC("weir_schedule_delay_seconds", s->pipeline->name), (double)(now_us - due_us) / 1e6);
    return WEIR_OK;
}

/* Those that nobody else is telling just now. A schedule that is no longer in the file has no event. */
static weir_status send_waiting(void *context, weir_err *err) {
    schedule *s = context;
    PGresult *result = NULL;
    const char *params[] = {s->pipeline->name};
    weir_status status = weir_pg_exec(s->pg,
                                      "SELECT schedule, (extract(epoch FROM due_at) * 1000000)::int8, missed, due_at FROM weir.schedule_firings "
                                      "WHERE pipeline = $1 AND told AND sent_at IS NULL ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED",
                                      1, params, &result, err);
    if (status) return status;
    s->may_wait = PQntuples(result) > 0;
    for (int i = 0; !status && i < PQntuples(result); i++) {
        const planned *p = planned_of(s, PQgetvalue(result, i, 0));
        if (p) status = send_firing(s, p, atoll(PQgetvalue(result, i, 1)), atoi(PQgetvalue(result, i, 2)), err);
    }
    if (!status && s->may_wait) status = weir_producer_flush(weir_worker_producer(s->worker), FLUSH_MS, err);
    for (int i = 0; !status && i < PQntuples(result); i++) {
        const char *row[] = {s->pipeline->name, PQgetvalue(result, i, 0), PQgetvalue(result, i, 3)};
        status = weir_pg_exec(s->pg,
                              "UPDATE weir.schedule_firings SET sent_at = clock_timestamp() WHERE pipeline = $1 AND schedule = $2 AND due_at = $3::timestamptz",
                              3, row, NULL, err);
    }
    PQclear(result);
    return status;
}

/* ---- the worker ---- */

static weir_status schedule_tick(void *context, int64_t mono_us, weir_err *err) {
    schedule *s = context;
    weir_status status = WEIR_OK;
    (void)mono_us;
    for (int i = 0; !status && i < s->pipeline->triggers.schedule_count; i++) status = look(s, &s->planned[i], err);
    if (!status && s->may_wait && (status = weir_pg_transaction(s->pg, send_waiting, s, err))) s->may_wait = true;
    return status || !s->batches ? status : weir_batches_tick(s->batches, err);
}

static void schedule_done(void *context) {
    schedule *s = context;
    if (!s) return;
    weir_batches_free(s->batches);
    if (s->codec_ready) weir_event_codec_done(&s->codec);
    for (int i = 0; i < WEIR_SCHEDULES_MAX; i++) weir_zone_free(s->planned[i].zone);
    weir_pg_free(s->pg);
    free(s);
}

static weir_status schedule_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    const weir_triggers *triggers = &shared->pipeline->triggers;
    schedule *s = weir_mem.realloc(NULL, sizeof *s);
    if (!s) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the schedule worker");
    *s = (schedule){.worker = worker, .pipeline = shared->pipeline, .clock = env->clock, .may_wait = true};
    *ret_context = s;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < triggers->schedule_count; i++) {
        planned *p = &s->planned[i];
        *p = (planned){.def = &triggers->schedules[i], .last_us = INT64_MIN};
        if ((status = weir_cron_parse(p->def->cron, &p->cron, err)) || (status = weir_zone_load(p->def->time_zone, &p->zone, err)))
            return weir_err_prefix(err, "schedule %s", p->def->name);
    }
    if ((status = weir_pg_new(env->pg_url, &s->pg, err)) || (status = weir_pg_migrate(s->pg, err))) return status;
    if ((status = weir_event_codec_init(&s->codec, shared->registry, "schemas/schedule.avsc", WEIR_TOPIC_SCHEDULE, err))) return status;
    s->codec_ready = true;
    return s->pipeline->batch_count ? weir_batches_new(worker, s->pg, &s->batches, err) : WEIR_OK;
}

const weir_worker_ops weir_schedule_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "schedule",
    .doc = "says when a schedule of the pipeline is due, and scores the files of its batches",
    .init = schedule_init,
    .tick = schedule_tick,
    .done = schedule_done,
    .tick_ms = TICK_MS,
};
