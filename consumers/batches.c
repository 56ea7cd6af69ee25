#include "consumers/batches.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/due.h"
#include "consumers/shared.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/batch_model.h"
#include "models/pg_json.h"

enum { ATTEMPTS_MAX = 8, NAME_ROOM = 64, WORKER_MAX = 400, LEASE_EVERY_US = 5 * 1000 * 1000, LOOK_EVERY_US = 1000 * 1000 };
#define LEASE "interval '60 s'"

/* A run that is under way; the thread writes what stands below, this side reads it when over is set. */
typedef struct batch_run {
    const weir_batch_def *def;
    char due[WEIR_TIME_TEXT_MAX];
    int attempts;
    int64_t started_us, renewed_us; /* monotonic */
    weir_buf file, out, errors;
    pthread_t thread;
    bool has_thread;
    _Atomic bool cancel, over;
    weir_batch_model model;
    weir_batch_result result;
    char digest[65];
    weir_status status;
    weir_err err;
} batch_run;

typedef struct planned_batch {
    weir_cron cron;
    weir_zone *zone;
    int64_t last_us; /* what was due up to here is decided; INT64_MIN: not read from the database yet */
} planned_batch;

struct weir_batches {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_pg *pg;
    char name[WORKER_MAX]; /* who holds a lease */
    weir_buf names; /* {a,b}: the batches of the file, as an array of SQL's */
    planned_batch planned[WEIR_BATCHES_MAX];
    batch_run *run; /* NULL: none is under way */
    int64_t looked_us;
};

weir_status weir_schedule_stands(weir_pg *pg, const char *pipeline, const char *schedule, const char *cron, const char *time_zone, int64_t now_us,
                                 const char *newest_sql, int64_t *ret_last_us, weir_err *err) {
    char now[WEIR_TIME_TEXT_MAX], sql[400];
    const char *params[] = {pipeline, schedule, cron, time_zone, weir_time_format(now_us, now)};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "INSERT INTO weir.schedules AS s VALUES ($1, $2, $3, $4, $5::timestamptz) ON CONFLICT (pipeline, schedule) DO UPDATE SET "
                                      "since = CASE WHEN (s.cron, s.time_zone) = ($3, $4) THEN s.since ELSE $5::timestamptz END, cron = $3, time_zone = $4",
                                      5, params, NULL, err);
    snprintf(sql, sizeof sql, "SELECT (extract(epoch FROM greatest(since, (%s))) * 1000000)::int8 FROM weir.schedules WHERE pipeline = $1 AND schedule = $2",
             newest_sql);
    if (!status) status = weir_pg_exec(pg, sql, 2, params, &result, err);
    if (status) return status;
    if (PQntuples(result) == 1) *ret_last_us = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_batch_runs_list(weir_pg *pg, const char *pipeline, int most, cJSON **ret_runs, weir_err *err) {
    char limit[16];
    snprintf(limit, sizeof limit, "%d", most);
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('batch', batch, 'due_at', " WEIR_PG_TIME(
            "due_at") ", 'status', status, 'attempts', attempts, 'worker', worker, 'file', file, "
                      "'out', out, 'model', model, 'version', version, 'rows', rows, 'rejected', rejected, 'resumed', resumed, 'missed', missed, "
                      "'started_at', " WEIR_PG_TIME("started_at") ", 'ended_at', " WEIR_PG_TIME(
                          "ended_at") ", 'took_s', round(extract(epoch FROM ended_at - started_at)::numeric, 1), 'again_in_s', CASE WHEN status = 'due' THEN "
                                      "round(greatest(extract(epoch FROM not_before - clock_timestamp()), 0)::numeric, 1) END, 'message', message) ORDER BY "
                                      "due_at DESC, batch), '[]') "
                                      "FROM (SELECT * FROM weir.batch_runs WHERE pipeline = $1 ORDER BY due_at DESC, batch LIMIT $2::int) newest",
        2, (const char *const[]){pipeline, limit}, ret_runs, err);
}

/* ---- what is due ---- */

/* A batch may be named as a schedule is. */
static weir_status read_last(weir_batches *b, int i, weir_err *err) {
    const weir_batch_def *def = &b->pipeline->batches[i];
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "batch/%s", def->name);
    return weir_schedule_stands(b->pg, b->pipeline->name, name, def->cron, def->time_zone, weir_clock_wall_us(b->env->clock),
                                "SELECT max(due_at) FROM weir.batch_runs WHERE (pipeline, 'batch/' || batch) = ($1, $2)", &b->planned[i].last_us, err);
}

static weir_status insert_run(weir_batches *b, const weir_batch_def *def, const weir_due *due, weir_err *err) {
    char at[WEIR_TIME_TEXT_MAX], missed[16];
    snprintf(missed, sizeof missed, "%d", due->missed);
    const char *params[] = {b->pipeline->name, def->name, weir_time_format(due->at_us, at), missed};
    return weir_pg_exec(b->pg, "INSERT INTO weir.batch_runs (pipeline, batch, due_at, missed) VALUES ($1, $2, $3::timestamptz, $4::int) ON CONFLICT DO NOTHING",
                        4, params, NULL, err);
}

static weir_status look(weir_batches *b, int i, weir_err *err) {
    const weir_batch_def *def = &b->pipeline->batches[i];
    planned_batch *p = &b->planned[i];
    weir_due due[WEIR_DUE_MAX];
    weir_status status = p->last_us == INT64_MIN ? read_last(b, i, err) : WEIR_OK;
    if (status || !weir_schedule_due(&p->cron, p->zone, def->catch_up, p->last_us, weir_clock_wall_us(b->env->clock), due)) return status;
    int missed = due->missed + !due->told;
    if (due->told) status = insert_run(b, def, due, err);
    if (status) return status;
    p->last_us = due->at_us;
    if (missed) {
        weir_metric_add(WEIR_METRIC("weir_batch_runs_total", b->pipeline->name, "missed"), missed);
        WEIR_WARN("due times of a batch were missed", WEIR_S("batch", def->name), WEIR_I("count", missed));
    }
    return WEIR_OK;
}

/* ---- a run ---- */

static weir_status find_model(weir_batches *b, batch_run *run, weir_err *err) {
    weir_pg *pg = NULL; /* the worker's is another thread's */
    weir_status status = weir_pg_new(b->env->pg_url, &pg, err);
    if (!status) status = weir_batch_model_find(pg, b->env->objects_dir, b->pipeline, run->def->model, run->def->version, &run->model, err);
    weir_pg_free(pg);
    if (!status) snprintf(run->digest, sizeof run->digest, "%s", weir_model_digest(run->model.model));
    return status;
}

typedef struct run_context {
    weir_batches *batches;
    batch_run *run;
} run_context;

static void *run_batch(void *context) {
    run_context *c = context;
    batch_run *run = c->run;
    weir_batch_job job = {.path = run->file.data,
                          .format = run->def->format,
                          .out = run->out.data,
                          .errors = run->errors.data,
                          .columns = run->def->column_count ? run->def->columns : NULL,
                          .cancel = &run->cancel};
    run->status = find_model(c->batches, run, &run->err);
    if (!run->status) {
        weir_batch_model_use(&run->model, &job);
        run->status = weir_batch_file(&job, &run->result, &run->err);
    }
    free(c);
    run->over = true;
    return NULL;
}

static void run_free(batch_run *run) {
    if (!run) return;
    run->cancel = true;
    if (run->has_thread) pthread_join(run->thread, NULL);
    weir_batch_model_done(&run->model);
    weir_buf_done(&run->file);
    weir_buf_done(&run->out);
    weir_buf_done(&run->errors);
    weir_mem.realloc(run, 0);
}

static weir_status make_paths(weir_batches *b, batch_run *run, int64_t due_us, weir_err *err) {
    const weir_batch_def *def = run->def;
    const weir_zone *zone = b->planned[def - b->pipeline->batches].zone;
    int64_t local_us = due_us + weir_zone_offset(zone, due_us / WEIR_SECOND_US) * WEIR_SECOND_US;
    weir_status status = weir_batch_path(def->file, local_us, &run->file, err);
    if (!status) status = weir_batch_path(def->out, local_us, &run->out, err);
    if (!status && def->errors) status = weir_batch_path(def->errors, local_us, &run->errors, err);
    return status;
}

static weir_status begin(weir_batches *b, const weir_batch_def *def, int64_t due_us, int attempts, weir_err *err) {
    batch_run *run = weir_mem.realloc(NULL, sizeof *run);
    run_context *context = malloc(sizeof *context);
    if (!run || !context) {
        weir_mem.realloc(run, 0);
        free(context);
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a run of batch %s", def->name);
    }
    memset(run, 0, sizeof *run);
    run->def = def;
    run->attempts = attempts;
    run->started_us = run->renewed_us = weir_clock_mono_us(b->env->clock);
    weir_time_format(due_us, run->due);
    *context = (run_context){b, run};
    weir_status status = make_paths(b, run, due_us, err);
    if (!status && pthread_create(&run->thread, NULL, run_batch, context)) status = WEIR_RETRY(err, WEIR_EIO, "there is no thread for batch %s", def->name);
    if (status) {
        free(context);
        run_free(run);
        return status;
    }
    run->has_thread = true;
    b->run = run;
    WEIR_INFO("a batch begins", WEIR_S("batch", def->name), WEIR_S("due", run->due), WEIR_S("file", run->file.data), WEIR_S("out", run->out.data));
    return WEIR_OK;
}

/* The oldest one that nobody does, or did until he was gone. */
static weir_status claim(weir_batches *b, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {b->pipeline->name, b->name, b->names.data};
    weir_status status = weir_pg_exec(
        b->pg,
        "UPDATE weir.batch_runs SET status = 'running', worker = $2, lease_until = clock_timestamp() + " LEASE ", started_at = clock_timestamp(), "
        "attempts = attempts + 1 WHERE (pipeline, batch, due_at) = (SELECT pipeline, batch, due_at FROM weir.batch_runs WHERE pipeline = $1 AND batch = ANY "
        "($3::text[]) AND (status = 'due' AND not_before <= clock_timestamp() OR status = 'running' AND lease_until < clock_timestamp()) ORDER BY due_at LIMIT "
        "1 "
        "FOR UPDATE SKIP LOCKED) RETURNING batch, (extract(epoch FROM due_at) * 1000000)::int8, attempts",
        3, params, &result, err);
    if (status) return status;
    for (int i = 0; PQntuples(result) && i < b->pipeline->batch_count; i++)
        if (!strcmp(b->pipeline->batches[i].name, PQgetvalue(result, 0, 0)))
            status = begin(b, &b->pipeline->batches[i], atoll(PQgetvalue(result, 0, 1)), atoi(PQgetvalue(result, 0, 2)), err);
    PQclear(result);
    return status;
}

static weir_status renew(weir_batches *b, int64_t now_us, weir_err *err) {
    const char *params[] = {b->pipeline->name, b->run->def->name, b->run->due, b->name};
    if (now_us - b->run->renewed_us < LEASE_EVERY_US) return WEIR_OK;
    b->run->renewed_us = now_us;
    return weir_pg_exec(b->pg,
                        "UPDATE weir.batch_runs SET lease_until = clock_timestamp() + " LEASE
                        " WHERE pipeline = $1 AND batch = $2 AND due_at = $3::timestamptz AND "
                        "status = 'running' AND worker = $4",
                        4, params, NULL, err);
}

/* ---- how it ended ---- */

/* What may be otherwise later: a file that is still to come, a model that is still to be trained, services and disks. */
static bool may_pass(const batch_run *run) {
    weir_status s = run->status;
    return run->err.action == WEIR_ACTION_RETRY || s == WEIR_ENOTFOUND || s == WEIR_EIO || s == WEIR_ENET || s == WEIR_ENOMEM || s == WEIR_ECONFLICT ||
           s == WEIR_ETIMEOUT;
}

static const char *outcome_of(const batch_run *run) {
    if (!run->status) return "succeeded";
    return run->cancel || (may_pass(run) && run->attempts < ATTEMPTS_MAX) ? "due" : "failed";
}

/* In the row: what it was about and what came of it. A stop of the scheduler is no attempt. */
static weir_status write_end(weir_batches *b, const char *status_text, weir_err *err) {
    const batch_run *run = b->run;
    char version[16], rows[24], rejected[24], resumed[24];
    bool done = !run->status;
    snprintf(version, sizeof version, "%d", run->model.version);
    snprintf(rows, sizeof rows, "%lld", (long long)run->result.rows);
    snprintf(rejected, sizeof rejected, "%lld", (long long)run->result.rejected);
    snprintf(resumed, sizeof resumed, "%lld", (long long)run->result.resumed);
    const char *message = !done ? run->err.message : run->result.reason_count ? run->result.reasons[0] : NULL;
    const char *params[] = {b->pipeline->name,
                            run->def->name,
                            run->due,
                            b->name,
                            status_text,
                            run->file.data,
                            run->out.data,
                            run->model.model ? run->model.name : NULL,
                            run->model.model ? version : NULL,
                            run->model.model ? run->digest : NULL,
                            done ? rows : NULL,
                            done ? rejected : NULL,
                            done ? resumed : NULL,
                            message,
                            run->cancel && !done ? "1" : "0"};
    return weir_pg_exec(
        b->pg,
        "UPDATE weir.batch_runs SET status = $5, lease_until = NULL, ended_at = CASE WHEN $5 = 'due' THEN NULL ELSE clock_timestamp() END, file = $6, "
        "out = $7, model = $8, version = $9::int, digest = $10, rows = $11::int8, rejected = $12::int8, resumed = $13::int8, message = $14, "
        "attempts = attempts - $15::int, not_before = clock_timestamp() + CASE WHEN $15 = '1' THEN interval '0' ELSE interval '15 s' * 2 ^ attempts END "
        "WHERE pipeline = $1 AND batch = $2 AND due_at = $3::timestamptz AND status = 'running' AND worker = $4",
        15, params, NULL, err);
}

static void tell(const weir_batches *b, const char *outcome) {
    const batch_run *run = b->run;
    const char *pipeline = b->pipeline->name;
    double seconds = (double)(weir_clock_mono_us(b->env->clock) - run->started_us) / 1e6;
    bool again = !strcmp(outcome, "due");
    weir_metric_add(WEIR_METRIC("weir_batch_runs_total", pipeline, again ? "retried" : outcome), 1);
    if (!again) weir_metric_observe(WEIR_METRIC("weir_batch_run_seconds", pipeline), seconds);
    if (run->status) {
        weir_log_err(again ? WEIR_LOG_WARN : WEIR_LOG_ERROR, again ? "a batch did not end, and will be tried again" : "a batch failed", &run->err);
        return;
    }
    weir_metric_add(WEIR_METRIC("weir_batch_rows_total", pipeline, "scored"), (double)(run->result.rows - run->result.rejected));
    weir_metric_add(WEIR_METRIC("weir_batch_rows_total", pipeline, "rejected"), (double)run->result.rejected);
    WEIR_INFO("a batch ended", WEIR_S("batch", run->def->name), WEIR_S("due", run->due), WEIR_S("model", run->model.name),
              WEIR_I("version", run->model.version), WEIR_I("rows", run->result.rows), WEIR_I("rejected", run->result.rejected), WEIR_F("seconds", seconds));
}

/* Until its row is written it stays, and is written with the next tick. */
static weir_status finish(weir_batches *b, weir_err *err) {
    const char *outcome = outcome_of(b->run);
    weir_status status = write_end(b, outcome, err);
    if (status) return status;
    tell(b, outcome);
    run_free(b->run);
    b->run = NULL;
    return WEIR_OK;
}

/* ---- life ---- */

weir_status weir_batches_tick(weir_batches *b, weir_err *err) {
    int64_t now_us = weir_clock_mono_us(b->env->clock);
    weir_status status = WEIR_OK;
    if (b->run && b->run->over) status = finish(b, err);
    if (!status && b->run) status = renew(b, now_us, err);
    if (status || (b->looked_us && now_us - b->looked_us < LOOK_EVERY_US)) return status;
    for (int i = 0; !status && i < b->pipeline->batch_count; i++) status = look(b, i, err);
    if (!status && !b->run) status = claim(b, err);
    if (!status) b->looked_us = now_us;
    return status;
}

static weir_status init(weir_batches *b, weir_err *err) {
    char host[128] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(b->name, sizeof b->name, "%s/%.128s/%ld", host, b->env->instance ? b->env->instance : "", (long)getpid());
    bool ok = weir_buf_append(&b->names, "{", 1);
    for (int i = 0; i < b->pipeline->batch_count; i++) {
        const weir_batch_def *def = &b->pipeline->batches[i];
        b->planned[i].last_us = INT64_MIN;
        ok = ok && weir_buf_printf(&b->names, "%s%s", i ? "," : "", def->name); /* letters, digits, '_' and '-' */
        weir_status status = weir_cron_parse(def->cron, &b->planned[i].cron, err);
        if (!status) status = weir_zone_load(def->time_zone, &b->planned[i].zone, err);
        if (status) return weir_err_prefix(err, "batch %s", def->name);
    }
    return ok && weir_buf_printf(&b->names, "}") ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the names of batches");
}

weir_status weir_batches_new(weir_worker *worker, weir_pg *pg, weir_batches **ret_batches, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    weir_batches *b = weir_mem.realloc(NULL, sizeof *b);
    if (!b) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for scheduled batches");
    memset(b, 0, sizeof *b);
    b->worker = worker;
    b->env = env;
    b->pipeline = ((const weir_shared *)env->shared)->pipeline;
    b->pg = pg;
    weir_status status = init(b, err);
    if (status)
        weir_batches_free(b);
    else
        *ret_batches = b;
    return status;
}

void weir_batches_free(weir_batches *b) {
    if (!b) return;
    weir_err err;
    if (b->run) {
        b->run->cancel = true;
        pthread_join(b->run->thread, NULL);
        b->run->has_thread = false;
        if (finish(b, &err)) weir_log_err(WEIR_LOG_WARN, "a batch that was stopped waits until its lease is over", &err);
        run_free(b->run);
    }
    for (int i = 0; i < WEIR_BATCHES_MAX; i++) weir_zone_free(b->planned[i].zone);
    weir_buf_done(&b->names);
    weir_mem.realloc(b, 0);
}
