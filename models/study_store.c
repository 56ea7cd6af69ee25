/* Studies in PostgreSQL: leases on trials, and a study in memory made from rows. */
#include "models/study_store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"

enum { NUMBER_TEXT = 32, VALUES_TEXT = WEIR_OBJECTIVES_MAX * NUMBER_TEXT + 2 };

struct weir_study_store {
    weir_pg *pg;
    char *pipeline, *name, *worker;
    cJSON *definition;
    int objective_count;
    char lease[NUMBER_TEXT]; /* "12.5", seconds */
    weir_study *study; /* as last read, or NULL */
    int ended_count; /* its first trials, which have all ended: they are as they will stay */
};

/* ---- text of parameters and results ---- */

static const char *number_text(double x, char text[NUMBER_TEXT]) {
    if (isnan(x))
        snprintf(text, NUMBER_TEXT, "NaN");
    else
        snprintf(text, NUMBER_TEXT, "%.17g", x);
    return text;
}

/* '{0.5,NaN}' */
static const char *values_text(const double *values, int count, char text[VALUES_TEXT]) {
    char *end = text;
    for (int i = 0; i < count; i++) {
        char number[NUMBER_TEXT];
        end += snprintf(end, (size_t)(text + VALUES_TEXT - end), "%s%s", i ? "," : "{", number_text(values[i], number));
    }
    snprintf(end, (size_t)(text + VALUES_TEXT - end), "}");
    return text;
}

static void read_values(const char *text, double values[WEIR_OBJECTIVES_MAX]) {
    for (int i = 0; i < WEIR_OBJECTIVES_MAX && (*text == '{' || *text == ','); i++) {
        char *end;
        values[i] = strtod(text + 1, &end);
        text = end;
    }
}

/* Commits after success; leaves no transaction open in either case. */
static weir_status end(weir_pg *pg, weir_status status, weir_err *err) {
    if (status == WEIR_OK) status = weir_pg_commit(pg, err);
    if (status != WEIR_OK) weir_pg_rollback(pg);
    return status;
}

/* ---- the study from its rows ---- */

static weir_status add_row(weir_study *study, const PGresult *trials, int row, const weir_report *reports, int report_count, weir_err *err) {
    static const char *const states[] = {"running", "complete", "pruned", "failed"};
    weir_outcome outcome = {.cost = strtod(PQgetvalue(trials, row, 4), NULL), .note = PQgetvalue(trials, row, 5)};
    while (outcome.state < WEIR_TRIAL_FAILED && strcmp(states[outcome.state], PQgetvalue(trials, row, 1)) != 0) outcome.state++;
    read_values(PQgetvalue(trials, row, 3), outcome.values);
    cJSON *params = cJSON_Parse(PQgetvalue(trials, row, 2));
    if (!params) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the parameters of a trial");
    weir_status status =
        weir_study_restore(study, atoi(PQgetvalue(trials, row, 0)), params, reports, report_count, outcome.state == WEIR_TRIAL_RUNNING ? NULL : &outcome, err);
    cJSON_Delete(params);
    return status;
}

/* Both results are in the order of trials, reports within a trial in the order of steps. */
static weir_status add_rows(weir_study *study, const PGresult *trials, const PGresult *reports, weir_err *err) {
    int count = PQntuples(reports), at = 0;
    weir_report *own = weir_models_calloc((size_t)count, sizeof *own);
    weir_status status = own ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d reports", count);
    for (int row = 0; status == WEIR_OK && row < PQntuples(trials); row++) {
        int own_count = 0;
        for (; at < count && !strcmp(PQgetvalue(reports, at, 0), PQgetvalue(trials, row, 0)); at++)
            own[own_count++] = (weir_report){strtoll(PQgetvalue(reports, at, 1), NULL, 10), strtod(PQgetvalue(reports, at, 2), NULL)};
        status = add_row(study, trials, row, own, own_count, err);
    }
    weir_models_free(own);
    return status;
}

/* The trials from number `from` on, in one transaction, of repeatable reads unless the study's row is locked: the three queries must see the same trials. */
static weir_status read_from(weir_study_store *s, weir_study *study, int from, weir_err *err) {
    char from_text[NUMBER_TEXT];
    snprintf(from_text, sizeof from_text, "%d", from);
    const char *const params[] = {s->pipeline, s->name, from_text};
    PGresult *began = NULL, *trials = NULL, *reports = NULL;
    weir_status status =
        weir_pg_exec(s->pg, "SELECT (extract(epoch FROM clock_timestamp() - began_at) * 1000000)::bigint FROM weir.studies WHERE pipeline = $1 AND name = $2",
                     2, params, &began, err);
    if (status == WEIR_OK)
        status = weir_pg_exec(
            s->pg, "SELECT number, state, params, objectives, cost, note FROM weir.trials WHERE pipeline = $1 AND study = $2 AND number >= $3 ORDER BY number",
            3, params, &trials, err);
    if (status == WEIR_OK)
        status =
            weir_pg_exec(s->pg, "SELECT number, step, value FROM weir.trial_reports WHERE pipeline = $1 AND study = $2 AND number >= $3 ORDER BY number, step",
                         3, params, &reports, err);
    if (status == WEIR_OK) status = add_rows(study, trials, reports, err);
    if (status == WEIR_OK && PQntuples(began) == 1 && !PQgetisnull(began, 0, 0)) weir_study_began(study, strtoll(PQgetvalue(began, 0, 0), NULL, 10));
    PQclear(began);
    PQclear(trials);
    PQclear(reports);
    return status;
}

/* The study as it is now, in s->study; what is not known to have ended is read anew. In a transaction as read_from. */
static weir_status refresh(weir_study_store *s, weir_err *err) {
    weir_status status = s->study ? WEIR_OK : weir_study_from_json(s->definition, "$", NULL, &s->study, err);
    if (status != WEIR_OK) return status;
    weir_study_truncate(s->study, s->ended_count);
    status = read_from(s, s->study, s->ended_count, err);
    const weir_trials *history = weir_study_history(s->study);
    while (s->ended_count < history->trial_count && history->trials[s->ended_count].state != WEIR_TRIAL_RUNNING) s->ended_count++;
    return status;
}

weir_status weir_study_store_load(weir_study_store *s, weir_study **ret_study, weir_err *err) {
    weir_study *study = NULL;
    weir_status status = weir_study_from_json(s->definition, "$", NULL, &study, err);
    if (status == WEIR_OK) status = weir_pg_begin(s->pg, err);
    if (status == WEIR_OK) status = weir_pg_exec(s->pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", 0, NULL, NULL, err);
    if (status == WEIR_OK) status = read_from(s, study, 0, err);
    status = end(s->pg, status, err);
    if (status == WEIR_OK)
        *ret_study = study;
    else
        weir_study_free(study);
    return status;
}

/* ---- opening ---- */

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = weir_models_calloc(size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* Makes the row, or finds one with the same definition. */
static weir_status put_study(weir_study_store *s, weir_err *err) {
    char *definition = cJSON_PrintUnformatted(s->definition);
    if (!definition) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the definition of a study");
    const char *const params[] = {s->pipeline, s->name, definition};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(s->pg, "INSERT INTO weir.studies (pipeline, name, definition) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3, params, NULL, err);
    if (status == WEIR_OK)
        status = weir_pg_exec(s->pg, "SELECT 1 FROM weir.studies WHERE pipeline = $1 AND name = $2 AND definition = $3::jsonb", 3, params, &result, err);
    bool same = status == WEIR_OK && PQntuples(result) == 1;
    PQclear(result);
    cJSON_free(definition);
    if (status == WEIR_OK && !same)
        status =
            WEIR_FAIL(err, WEIR_ECONFLICT, "study '%s' of pipeline '%s' was made with another definition; a new one needs a new name", s->name, s->pipeline);
    return status;
}

weir_status weir_study_store_open(weir_pg *pg, const char *pipeline, const char *name, const cJSON *definition, const char *worker, int64_t lease_us,
                                  weir_study_store **ret_store, weir_err *err) {
    weir_study *study = NULL;
    if (!*name || !*worker) return WEIR_FAIL(err, WEIR_EINVAL, "found an empty name of a %s, expected one that is not empty", *name ? "worker" : "study");
    if (lease_us < WEIR_SECOND_US) return WEIR_FAIL(err, WEIR_EINVAL, "found a lease of %" PRId64 " µs, expected at least a second", lease_us);
    weir_status status = weir_study_from_json(definition, "$", NULL, &study, err);
    if (status != WEIR_OK) return status;
    weir_study_store *s = weir_models_calloc(1, sizeof *s);
    if (s)
        *s = (weir_study_store){
            pg, copy_text(pipeline), copy_text(name), copy_text(worker), cJSON_Duplicate(definition, true), weir_study_history(study)->objective_count, ""};
    weir_study_free(study);
    if (!s || !s->pipeline || !s->name || !s->worker || !s->definition) {
        weir_study_store_close(s);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a study");
    }
    snprintf(s->lease, sizeof s->lease, "%.6f", (double)lease_us / WEIR_SECOND_US);
    status = put_study(s, err);
    if (status == WEIR_OK)
        *ret_store = s;
    else
        weir_study_store_close(s);
    return status;
}

void weir_study_store_close(weir_study_store *s) {
    if (!s) return;
    weir_models_free(s->pipeline);
    weir_models_free(s->name);
    weir_models_free(s->worker);
    cJSON_Delete(s->definition);
    weir_study_free(s->study);
    weir_models_free(s);
}

/* ---- claiming ---- */

/* A trial whose lease has run out: *ret_number −1 when there is none. Rows that somebody else is taking at this moment are passed over. */
static weir_status take_over(weir_study_store *s, int *ret_number, cJSON **ret_params, weir_err *err) {
    const char *const params[] = {s->pipeline, s->name, s->worker, s->lease};
    char attempts[NUMBER_TEXT];
    snprintf(attempts, sizeof attempts, "%d", WEIR_TRIAL_ATTEMPTS_MAX);
    PGresult *result = NULL;
    *ret_number = -1;
    weir_status status = weir_pg_exec(s->pg,
                                      "UPDATE weir.trials SET state = 'failed', note = 'its workers went away', ended_at = clock_timestamp(), lease_until = "
                                      "NULL WHERE (pipeline, study, number) IN "
                                      "(SELECT pipeline, study, number FROM weir.trials WHERE pipeline = $1 AND study = $2 AND state = 'running' AND "
                                      "lease_until < clock_timestamp() AND attempts >= $3 "
                                      "FOR UPDATE SKIP LOCKED)",
                                      3, (const char *const[]){s->pipeline, s->name, attempts}, NULL, err);
    if (status == WEIR_OK)
        status = weir_pg_exec(
            s->pg,
            "UPDATE weir.trials SET worker = $3, attempts = attempts + 1, started_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs "
            "=> $4) "
            "WHERE (pipeline, study, number) = (SELECT pipeline, study, number FROM weir.trials WHERE pipeline = $1 AND study = $2 AND state = 'running' "
            "AND lease_until < clock_timestamp() ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING number, params",
            4, params, &result, err);
    if (status == WEIR_OK && PQntuples(result) == 1) {
        /* the new worker begins at the first step */
        status = weir_pg_exec(s->pg, "DELETE FROM weir.trial_reports WHERE pipeline = $1 AND study = $2 AND number = $3", 3,
                              (const char *const[]){s->pipeline, s->name, PQgetvalue(result, 0, 0)}, NULL, err);
        *ret_number = atoi(PQgetvalue(result, 0, 0));
        *ret_params = cJSON_Parse(PQgetvalue(result, 0, 1));
        if (status == WEIR_OK && !*ret_params) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the parameters of a trial");
    }
    PQclear(result);
    return status;
}

static weir_status put_trial(weir_study_store *s, int number, const cJSON *trial_params, weir_err *err) {
    char number_as_text[NUMBER_TEXT], *text = cJSON_PrintUnformatted(trial_params);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the parameters of a trial");
    snprintf(number_as_text, sizeof number_as_text, "%d", number);
    const char *const params[] = {s->pipeline, s->name, number_as_text, text, s->worker, s->lease};
    weir_status status = weir_pg_exec(s->pg,
                                      "INSERT INTO weir.trials (pipeline, study, number, state, params, worker, lease_until) "
                                      "VALUES ($1, $2, $3, 'running', $4, $5, clock_timestamp() + make_interval(secs => $6))",
                                      6, params, NULL, err);
    cJSON_free(text);
    if (status != WEIR_OK) return status;
    return weir_pg_exec(s->pg, "UPDATE weir.studies SET began_at = clock_timestamp() WHERE pipeline = $1 AND name = $2 AND began_at IS NULL", 2, params, NULL,
                        err);
}

/* Locks the study's row. Errors: WEIR_ELIMIT when it was ended or its leader is gone. */
static weir_status lock_open_study(weir_study_store *s, int *ret_trial_max, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(s->pg,
                                      "SELECT coalesce(trial_max, 0), coalesce(ended, CASE WHEN leader_until < clock_timestamp() THEN 'abandoned' END) "
                                      "FROM weir.studies WHERE pipeline = $1 AND name = $2 FOR UPDATE",
                                      2, (const char *const[]){s->pipeline, s->name}, &result, err);
    if (status == WEIR_OK && PQntuples(result) == 1) {
        *ret_trial_max = atoi(PQgetvalue(result, 0, 0));
        if (!PQgetisnull(result, 0, 1)) status = WEIR_FAIL(err, WEIR_ELIMIT, "study '%s' is over: %.100s", s->name, PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return status;
}

/* A new trial. Whoever asks waits for the one before: the sampler must know all trials. */
static weir_status add_trial(weir_study_store *s, int *ret_number, cJSON **ret_params, weir_err *err) {
    int trial_max = 0;
    weir_status status = lock_open_study(s, &trial_max, err);
    if (status == WEIR_OK) status = refresh(s, err);
    if (status == WEIR_OK && trial_max && weir_study_history(s->study)->trial_count >= trial_max)
        return WEIR_FAIL(err, WEIR_ELIMIT, "study '%s' has the %d trials that its leader wants", s->name, trial_max);
    if (status == WEIR_OK) status = weir_study_ask(s->study, ret_number, ret_params, err);
    if (status == WEIR_OK) status = put_trial(s, *ret_number, *ret_params, err);
    return status;
}

weir_status weir_study_store_claim(weir_study_store *s, int *ret_number, cJSON **ret_params, weir_err *err) {
    int number = -1;
    cJSON *params = NULL;
    weir_status status = weir_pg_begin(s->pg, err);
    if (status == WEIR_OK) status = take_over(s, &number, &params, err);
    status = end(s->pg, status, err);
    if (status == WEIR_OK && number < 0) { /* another transaction: what was given up stays so when the study is over */
        status = weir_pg_begin(s->pg, err);
        if (status == WEIR_OK) status = add_trial(s, &number, &params, err);
        status = end(s->pg, status, err);
    }
    if (status != WEIR_OK) {
        cJSON_Delete(params);
        return status;
    }
    *ret_number = number;
    *ret_params = params;
    return WEIR_OK;
}

/* ---- what a worker tells ---- */

/* One statement on a trial that is this worker's: $1 … $4 are pipeline, study, number, worker. */
static weir_status change_own(weir_study_store *s, const char *sql, int number, int more_count, const char *const *more, weir_err *err) {
    char text[NUMBER_TEXT];
    snprintf(text, sizeof text, "%d", number);
    const char *params[10] = {s->pipeline, s->name, text, s->worker};
    for (int i = 0; i < more_count; i++) params[4 + i] = more[i];
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(s->pg, sql, 4 + more_count, params, &result, err);
    bool changed = status == WEIR_OK && PQntuples(result) == 1;
    PQclear(result);
    if (status == WEIR_OK && !changed)
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "trial %d of study '%s' is not run by '%s' any more", number, s->name, s->worker);
    return status;
}

weir_status weir_study_store_renew(weir_study_store *s, int number, weir_err *err) {
    const char *const more[] = {s->lease};
    return change_own(
        s,
        "UPDATE weir.trials SET lease_until = clock_timestamp() + make_interval(secs => $5) WHERE pipeline = $1 AND study = $2 AND number = $3 AND worker = $4 "
        "AND state = 'running' RETURNING 1",
        number, 1, more, err);
}

weir_status weir_study_store_release(weir_study_store *s, int number, weir_err *err) {
    return change_own(s,
                      "UPDATE weir.trials SET lease_until = clock_timestamp(), attempts = attempts - 1 WHERE pipeline = $1 AND study = $2 AND number = $3 AND "
                      "worker = $4 AND state = 'running' RETURNING 1",
                      number, 0, NULL, err);
}

static weir_status put_report(weir_study_store *s, int number, int64_t step, double value, weir_err *err) {
    char number_as_text[NUMBER_TEXT], step_text[NUMBER_TEXT], value_as_text[NUMBER_TEXT];
    snprintf(number_as_text, sizeof number_as_text, "%d", number);
    snprintf(step_text, sizeof step_text, "%" PRId64, step);
    const char *const params[] = {s->pipeline, s->name, number_as_text, step_text, number_text(value, value_as_text)};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(
        s->pg,
        "INSERT INTO weir.trial_reports (pipeline, study, number, step, value) SELECT $1, $2, $3::integer, $4::bigint, $5::double precision WHERE $4::bigint > "
        "(SELECT coalesce(max(step), -1) FROM weir.trial_reports WHERE pipeline = $1 AND study = $2 AND number = $3::integer) RETURNING 1",
        5, params, &result, err);
    bool put = status == WEIR_OK && PQntuples(result) == 1;
    PQclear(result);
    if (status == WEIR_OK && !put) status = WEIR_FAIL(err, WEIR_EINVAL, "trial %d reports step %" PRId64 ", expected steps that ascend from 0", number, step);
    return status;
}

weir_status weir_study_store_report(weir_study_store *s, int number, int64_t step, double value, bool *ret_prune, weir_err *err) {
    bool prune = false;
    weir_status status = weir_pg_begin(s->pg, err);
    if (status == WEIR_OK) status = weir_pg_exec(s->pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", 0, NULL, NULL, err);
    if (status == WEIR_OK) status = weir_study_store_renew(s, number, err);
    if (status == WEIR_OK) status = put_report(s, number, step, value, err);
    if (status == WEIR_OK && cJSON_GetObjectItemCaseSensitive(s->definition, "pruner")) {
        status = refresh(s, err);
        if (status == WEIR_OK) status = weir_study_judge(s->study, number, &prune, err);
    }
    status = end(s->pg, status, err);
    if (status == WEIR_OK) *ret_prune = prune;
    return status;
}

weir_status weir_study_store_tell(weir_study_store *s, int number, const weir_outcome *outcome, weir_err *err) {
    const char *state = outcome->state == WEIR_TRIAL_COMPLETE ? "complete" : outcome->state == WEIR_TRIAL_PRUNED ? "pruned" : "failed";
    const char *note = outcome->note ? outcome->note : "";
    char values[VALUES_TEXT], cost[NUMBER_TEXT];
    bool finite = isfinite(outcome->cost);
    if (outcome->state == WEIR_TRIAL_RUNNING) return WEIR_FAIL(err, WEIR_EINVAL, "trial %d is told as running, expected complete, pruned or failed", number);
    for (int i = 0; i < s->objective_count; i++) finite = finite && isfinite(outcome->values[i]);
    if (outcome->state == WEIR_TRIAL_COMPLETE && !finite) {
        state = "failed";
        note = "a value is not finite";
    }
    const char *const more[] = {state, strcmp(state, "complete") ? NULL : values_text(outcome->values, s->objective_count, values),
                                number_text(outcome->cost, cost), note};
    return change_own(s,
                      "UPDATE weir.trials SET state = $5, objectives = $6::double precision[], cost = $7::double precision, note = $8, ended_at = "
                      "clock_timestamp(), lease_until = NULL "
                      "WHERE pipeline = $1 AND study = $2 AND number = $3 AND worker = $4 AND state = 'running' RETURNING 1",
                      number, 4, more, err);
}

/* ---- who leads ---- */

/* One statement on the study's row that must find it: $1 … $3 are pipeline, study, worker. *ret_result may be NULL. */
static weir_status change_led(weir_study_store *s, const char *sql, int more_count, const char *const *more, PGresult **ret_result, weir_err *err) {
    const char *params[6] = {s->pipeline, s->name, s->worker};
    for (int i = 0; i < more_count; i++) params[3 + i] = more[i];
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(s->pg, sql, 3 + more_count, params, &result, err);
    if (status == WEIR_OK && PQntuples(result) != 1) status = WEIR_FAIL(err, WEIR_ECONFLICT, "study '%s' is not led by '%s'", s->name, s->worker);
    if (status == WEIR_OK && ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return status;
}

weir_status weir_study_store_lead(weir_study_store *s, int trial_max, double *ret_spent_s, weir_err *err) {
    char max_text[NUMBER_TEXT];
    PGresult *result = NULL;
    snprintf(max_text, sizeof max_text, "%d", trial_max);
    const char *const more[] = {trial_max > 0 ? max_text : NULL, s->lease};
    weir_status status =
        change_led(s,
                   "UPDATE weir.studies SET leader = $3, trial_max = $4::integer, leader_until = clock_timestamp() + make_interval(secs => $5), "
                   "ended = NULL WHERE pipeline = $1 AND name = $2 AND "
                   "(leader IS NULL OR leader = $3 OR ended IS NOT NULL OR leader_until < clock_timestamp()) RETURNING spent_s",
                   2, more, &result, err);
    if (status == WEIR_OK && ret_spent_s) *ret_spent_s = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    return status;
}

weir_status weir_study_store_lead_on(weir_study_store *s, double spent_s, weir_err *err) {
    char spent[NUMBER_TEXT];
    const char *const more[] = {number_text(spent_s, spent), s->lease};
    return change_led(s,
                      "UPDATE weir.studies SET spent_s = $4, leader_until = clock_timestamp() + make_interval(secs => $5) "
                      "WHERE pipeline = $1 AND name = $2 AND leader = $3 AND ended IS NULL RETURNING 1",
                      2, more, NULL, err);
}

weir_status weir_study_store_end(weir_study_store *s, const char *why, double spent_s, weir_err *err) {
    char spent[NUMBER_TEXT];
    const char *const more[] = {number_text(spent_s, spent), why};
    weir_status status = weir_pg_begin(s->pg, err);
    if (status == WEIR_OK)
        status =
            change_led(s, "UPDATE weir.studies SET spent_s = $4, ended = $5 WHERE pipeline = $1 AND name = $2 AND leader = $3 RETURNING 1", 2, more, NULL, err);
    if (status == WEIR_OK)
        status = weir_pg_exec(s->pg,
                              "UPDATE weir.trials SET state = 'failed', note = 'the search ended', ended_at = clock_timestamp(), lease_until = NULL "
                              "WHERE pipeline = $1 AND study = $2 AND state = 'running'",
                              2, (const char *const[]){s->pipeline, s->name}, NULL, err);
    return end(s->pg, status, err);
}

weir_status weir_study_store_over(weir_study_store *s, char why[32], weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(s->pg,
                                      "SELECT coalesce(ended, CASE WHEN leader_until < clock_timestamp() THEN 'abandoned' ELSE '' END) FROM weir.studies "
                                      "WHERE pipeline = $1 AND name = $2",
                                      2, (const char *const[]){s->pipeline, s->name}, &result, err);
    if (status == WEIR_OK) snprintf(why, 32, "%.31s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "abandoned");
    PQclear(result);
    return status;
}

weir_status weir_study_store_definition(weir_pg *pg, const char *pipeline, const char *name, cJSON **ret_definition, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT definition FROM weir.studies WHERE pipeline = $1 AND name = $2 AND ended IS NULL AND "
                                      "(leader_until IS NULL OR leader_until >= clock_timestamp())",
                                      2, (const char *const[]){pipeline, name}, &result, err);
    if (status == WEIR_OK && PQntuples(result) != 1) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline '%s' has no study '%s' that goes on", pipeline, name);
    cJSON *definition = status == WEIR_OK ? cJSON_Parse(PQgetvalue(result, 0, 0)) : NULL;
    if (status == WEIR_OK && !definition) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the definition of a study");
    PQclear(result);
    if (status == WEIR_OK) *ret_definition = definition;
    return status;
}
