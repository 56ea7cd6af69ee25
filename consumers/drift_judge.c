/* Windows against their references; see drift_judge.h. */
#include "consumers/drift_judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/alert.h"
#include "consumers/drift_reference.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"

enum { FLUSH_MS = 30000, ID_MAX = 400, REFERENCE_MAX = 200 };

const char *const weir_drift_kind_names[] = {"features", "predictions", "labels"};

struct weir_drift_judge {
    weir_drift_bench b;
    weir_drift_table *training; /* reference of the version that training_name is about */
    char training_name[REFERENCE_MAX];
    bool may_wait; /* something may be unsent */
};

/* A window, and what came of it. */
typedef struct verdict {
    weir_drift_kind kind;
    char id[ID_MAX];
    const char *cause;
    int64_t from_us, to_us, records, reference_records;
    char reference[REFERENCE_MAX], why[320]; /* why: it was skipped */
    weir_drift_report *report; /* NULL: skipped */
    const char *severity;
    int columns, drifted;
    double share;
    weir_buf detail;
} verdict;

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to judge drift");
}

weir_status weir_drift_judge_new(const weir_drift_bench *bench, weir_drift_judge **ret_judge, weir_err *err) {
    weir_drift_judge *j = weir_mem.realloc(NULL, sizeof *j);
    if (!j) return no_memory(err);
    *j = (weir_drift_judge){.b = *bench, .may_wait = true};
    *ret_judge = j;
    return WEIR_OK;
}

void weir_drift_judge_free(weir_drift_judge *j) {
    if (!j) return;
    weir_drift_table_free(j->training);
    weir_mem.realloc(j, 0);
}

/* ---- what is due ---- */

#define MICROS(column) "(extract(epoch FROM " column ") * 1000000)::int8"

static int64_t int8_at(const PGresult *result, int row, int column) {
    return PQgetisnull(result, row, column) ? INT64_MIN : atoll(PQgetvalue(result, row, column));
}

/* SQL list of the kind's streams. */
static bool put_streams(const weir_drift_judge *j, weir_drift_kind kind, char *text, size_t size) {
    size_t used = 0;
    bool any = false;
    for (int i = 0; i < j->b.stream_count && used < size; i++) {
        if (j->b.kinds[i] != kind) continue;
        used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", any ? "," : "{", j->b.streams[i].name);
        any = true;
    }
    if (used < size) used += (size_t)snprintf(text + used, size - used, "}");
    return any && used < size;
}

static int count_streams(const weir_drift_judge *j, weir_drift_kind kind) {
    int count = 0;
    for (int i = 0; i < j->b.stream_count; i++) count += j->b.kinds[i] == kind;
    return count;
}

static weir_status read_watermark(weir_drift_judge *j, weir_drift_kind kind, const char *streams, int64_t *ret_us, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name, streams};
    weir_status status = weir_pg_exec(j->b.pg,
                                      "SELECT " MICROS("newest_at") ", " MICROS("moved_at") ", " MICROS(
                                          "caught_up_at") " FROM weir.drift_offsets WHERE pipeline = $1 AND stream = ANY($2::text[])",
                                      2, params, &result, err);
    if (status) return status;
    int count = PQntuples(result), expected = count_streams(j, kind) * j->b.pipeline->partitions;
    weir_drift_progress *progress = weir_mem.realloc(NULL, ((size_t)count + 1) * sizeof *progress);
    for (int i = 0; progress && i < count; i++) progress[i] = (weir_drift_progress){int8_at(result, i, 0), int8_at(result, i, 1), int8_at(result, i, 2)};
    PQclear(result);
    if (!progress) return no_memory(err);
    *ret_us = count < expected ? INT64_MIN : weir_drift_watermark(progress, count, weir_clock_wall_us(j->b.clock));
    weir_mem.realloc(progress, 0);
    return WEIR_OK;
}

/* Slots before the newest judged window's end were judged, but those that came late. */
static weir_status read_due(weir_drift_judge *j, weir_drift_kind kind, const char *streams, weir_drift_due *ret_due, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name, streams, weir_drift_kind_names[kind]};
    weir_status status =
        weir_pg_exec(j->b.pg,
                     "WITH judged AS (SELECT max(window_to) AS at FROM weir.drift_results WHERE pipeline = $1 AND kind = $3 AND cause = 'window') "
                     "SELECT " MICROS("judged.at") ", " MICROS("min(slot_at)") ", " MICROS(
                         "max(slot_at)") " FROM judged LEFT JOIN weir.drift_slots ON "
                                         "pipeline = $1 AND stream = ANY($2::text[]) AND slot_at >= coalesce(judged.at, '-infinity') GROUP BY judged.at",
                     3, params, &result, err);
    if (status) return status;
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    *ret_due = (weir_drift_due){def->every_us, def->window_us, int8_at(result, 0, 0), int8_at(result, 0, 1), int8_at(result, 0, 2)};
    PQclear(result);
    return WEIR_OK;
}

/* ---- the two sides ---- */

static weir_status new_table(const weir_drift_judge *j, weir_drift_kind kind, weir_drift_table **ret_table, weir_err *err) {
    if (kind == WEIR_DRIFT_FEATURES) return weir_drift_columns_table(j->b.columns, -1, 1, ret_table, err);
    for (int i = 0; i < j->b.stream_count; i++)
        if (j->b.kinds[i] == kind) return weir_drift_table_new(j->b.streams[i].fields, j->b.streams[i].field_count, 1, ret_table, err);
    return WEIR_FAIL(err, WEIR_EINTERNAL, "nothing is known of %s", weir_drift_kind_names[kind]);
}

/* One stream's columns of the whole table. */
static weir_status merge_stream(weir_drift_table *whole, const weir_drift_table *table, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < weir_drift_table_count(table); i++) {
        int at = weir_drift_table_find(whole, weir_drift_table_field(table, i).name);
        if (at >= 0) status = weir_drift_profile_merge(weir_drift_table_profile(whole, at), weir_drift_table_profile(table, i), err);
    }
    return status;
}

/* *ret_records: of the stream that has most. A view's records are as many as the events. */
static weir_status read_window(weir_drift_judge *j, weir_drift_kind kind, int64_t from_us, int64_t to_us, weir_drift_table **ret_table, int64_t *ret_records,
                               weir_err *err) {
    weir_drift_table *whole = NULL;
    weir_status status = new_table(j, kind, &whole, err);
    *ret_records = 0;
    for (int i = 0; !status && i < j->b.stream_count; i++) {
        const weir_drift_stream *of = &j->b.streams[i];
        weir_drift_table *table = NULL;
        int64_t records = 0;
        if (j->b.kinds[i] != kind) continue;
        status = weir_drift_table_new(of->fields, of->field_count, 1, &table, err);
        if (!status) status = weir_drift_slots_read(j->b.pg, j->b.pipeline->name, of->name, from_us, to_us, table, &records, err);
        if (!status) status = merge_stream(whole, table, err);
        weir_drift_table_free(table);
        if (records > *ret_records) *ret_records = records;
    }
    if (status)
        weir_drift_table_free(whole);
    else
        *ret_table = whole;
    return status;
}

/* The champion's training set; read before the window's transaction, because it may take long the first time. No champion, or no history of its training: why says it. */
static weir_status read_training(weir_drift_judge *j, verdict *v, weir_err *err) {
    weir_drift_training training;
    char name[REFERENCE_MAX];
    bool found = false;
    weir_status status = weir_drift_training_find(j->b.pg, j->b.pipeline, &training, &found, err);
    if (status) return status;
    if (!found) {
        snprintf(v->why, sizeof v->why, "there is no champion whose training period is known");
        return WEIR_OK;
    }
    snprintf(name, sizeof name, "training:%.150s/%d", training.model, training.version);
    /* What came before says nothing about whether the champion still fits: who learnt last month is not wrong about last year. */
    if (v->to_us <= training.to_us) {
        char to[WEIR_TIME_TEXT_MAX];
        snprintf(v->why, sizeof v->why, "the window is over before the training period of %s, which ends at %s", name, weir_time_format(training.to_us, to));
        return WEIR_OK;
    }
    if (!j->training || strcmp(name, j->training_name) != 0) {
        weir_drift_table *table = NULL;
        int64_t records = 0;
        status = weir_drift_training_table(j->b.pg, j->b.pg_url, j->b.objects_dir, j->b.columns, &training, &table, &records, err);
        if (status == WEIR_ENOTFOUND) {
            snprintf(v->why, sizeof v->why, "%.300s", err->message);
            return WEIR_OK;
        }
        if (status) return status;
        weir_drift_table_free(j->training);
        j->training = table;
        snprintf(j->training_name, sizeof j->training_name, "%s", name);
    }
    snprintf(v->reference, sizeof v->reference, "%s", name);
    return WEIR_OK;
}

static bool by_training(const weir_drift_judge *j, weir_drift_kind kind) {
    return kind == WEIR_DRIFT_FEATURES && !j->b.pipeline->triggers.drift.against_window;
}

/* ---- comparing ---- */

static void sum_up(verdict *v) {
    const weir_drift_report *r = v->report;
    bool features = v->kind == WEIR_DRIFT_FEATURES;
    for (int i = 0; i < r->column_count; i++) {
        v->columns += r->columns[i].tested;
        v->drifted += r->columns[i].drifted;
    }
    v->share = v->columns ? (double)v->drifted / v->columns : 0;
    /* Scores follow the model, and labels that are still to come look like fewer of them: a reason to look, none to train. */
    v->severity = features ? weir_drift_severity_word(r->severity) : v->drifted ? "low" : "none";
}

static weir_status compare(weir_drift_judge *j, verdict *v, const weir_drift_table *reference, const weir_drift_table *current, weir_err *err) {
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    weir_drift_settings settings = weir_drift_defaults;
    weir_err why = {0};
    settings.alpha = def->false_alarm_rate;
    settings.high_share = def->alert_share;
    settings.critical_share = def->critical_share;
    weir_status status = weir_drift_compare(reference, current, NULL, &settings, &v->report, &why);
    if (status == WEIR_EINVAL) { /* a column is of another type than in the reference: nobody can judge that */
        snprintf(v->why, sizeof v->why, "%.300s", why.message);
        return WEIR_OK;
    }
    if (status) {
        if (err) *err = why;
        return status;
    }
    v->reference_records = v->report->reference_records;
    sum_up(v);
    return weir_drift_report_json(v->report, &v->detail) ? WEIR_OK : no_memory(err);
}

static weir_status judge_window(weir_drift_judge *j, verdict *v, weir_err *err) {
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    weir_drift_table *current = NULL, *before = NULL;
    const weir_drift_table *reference = j->training;
    int64_t records = INT64_MAX;
    weir_status status = read_window(j, v->kind, v->from_us, v->to_us, &current, &v->records, err);
    if (!status && !by_training(j, v->kind)) {
        char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
        int64_t from_us = v->from_us - (v->to_us - v->from_us);
        snprintf(v->reference, sizeof v->reference, "window:%s/%s", weir_time_format(from_us, from), weir_time_format(v->from_us, to));
        status = read_window(j, v->kind, from_us, v->from_us, &before, &records, err);
        reference = before;
    }
    if (!status && !*v->why && (v->records < def->min_rows || records < def->min_rows))
        snprintf(v->why, sizeof v->why, "too few records: %" PRId64 "%s, needed are %" PRId64, v->records < records ? v->records : records,
                 v->records < records ? "" : " in the window before", def->min_rows);
    if (!status && !*v->why) status = compare(j, v, reference, current, err);
    if (!status && *v->why) {
        v->severity = "skipped";
        if (!weir_buf_printf(&v->detail, "{\"why\": \"") || !weir_buf_json_escape(&v->detail, v->why, strlen(v->why)) || !weir_buf_printf(&v->detail, "\"}"))
            status = no_memory(err);
    }
    weir_drift_table_free(current);
    weir_drift_table_free(before);
    return status;
}

/* ---- results ---- */

static bool is_firing(const char *severity) {
    return !strcmp(severity, "high") || !strcmp(severity, "critical");
}

/* What the alert's change of state is, by the last one that was told. A skipped window says nothing. */
static weir_status change_of(weir_drift_judge *j, const verdict *v, const char **ret_change, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name, weir_drift_kind_names[v->kind]};
    *ret_change = NULL;
    if (!v->report) return WEIR_OK;
    weir_status status =
        weir_pg_exec(j->b.pg,
                     "SELECT alert, severity FROM weir.drift_results WHERE pipeline = $1 AND kind = $2 AND alert IS NOT NULL ORDER BY judged_at DESC "
                     "LIMIT 1",
                     2, params, &result, err);
    if (status) return status;
    bool was = PQntuples(result) && !strcmp(PQgetvalue(result, 0, 0), "firing"), is = is_firing(v->severity);
    if (is && (!was || strcmp(PQgetvalue(result, 0, 1), v->severity) != 0)) *ret_change = "firing";
    if (!is && was) *ret_change = "resolved";
    PQclear(result);
    return WEIR_OK;
}

static weir_status insert_result(weir_drift_judge *j, const verdict *v, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], records[24], reference_records[24], columns[16], drifted[16], share[32], rate[32];
    const char *change = NULL;
    weir_status status = change_of(j, v, &change, err);
    if (status) return status;
    snprintf(records, sizeof records, "%" PRId64, v->records);
    snprintf(reference_records, sizeof reference_records, "%" PRId64, v->reference_records);
    snprintf(columns, sizeof columns, "%d", v->columns);
    snprintf(drifted, sizeof drifted, "%d", v->drifted);
    snprintf(share, sizeof share, "%.17g", v->share);
    snprintf(rate, sizeof rate, "%.17g", j->b.pipeline->triggers.drift.false_alarm_rate);
    const char *params[] = {v->id,
                            j->b.pipeline->name,
                            weir_drift_kind_names[v->kind],
                            v->cause,
                            weir_time_format(v->from_us, from),
                            weir_time_format(v->to_us, to),
                            v->severity,
                            *v->reference ? v->reference : NULL,
                            records,
                            reference_records,
                            columns,
                            drifted,
                            share,
                            rate,
                            v->detail.data,
                            change};
    return weir_pg_exec(
        j->b.pg,
        "INSERT INTO weir.drift_results (drift_id, pipeline, kind, cause, window_from, window_to, severity, reference, records, reference_records, columns, "
        "drifted, share, false_alarm_rate, detail, alert, sent_at) VALUES ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz, $7, $8, $9::int8, $10::int8, "
        "$11::int, $12::int, $13::float8, $14::float8, $15::jsonb, $16, CASE WHEN $7 = 'skipped' THEN clock_timestamp() END) ON CONFLICT DO NOTHING",
        16, params, NULL, err);
}

/* A window, and the one before that it may be compared with. */
static weir_status delete_old(weir_drift_judge *j, const verdict *v, const char *streams, weir_err *err) {
    char before[WEIR_TIME_TEXT_MAX];
    const char *params[] = {j->b.pipeline->name, streams, weir_time_format(v->to_us - 2 * j->b.pipeline->triggers.drift.window_us, before)};
    return weir_pg_exec(j->b.pg, "DELETE FROM weir.drift_slots WHERE pipeline = $1 AND stream = ANY($2::text[]) AND slot_at < $3::timestamptz", 3, params, NULL,
                        err);
}

static weir_status settle(weir_drift_judge *j, verdict *v, weir_err *err) {
    char streams[4096];
    weir_status status = weir_drift_slots_lock(j->b.pg, j->b.pipeline->name, err);
    if (!put_streams(j, v->kind, streams, sizeof streams)) return WEIR_FAIL(err, WEIR_EINTERNAL, "too many views to be judged together");
    bool ends_slots = !strcmp(v->cause, "window");
    for (int i = 0; !status && ends_slots && i < j->b.stream_count; i++)
        if (j->b.kinds[i] == v->kind) status = weir_drift_slots_join(j->b.pg, j->b.pipeline->name, &j->b.streams[i], v->to_us, err);
    if (!status) status = judge_window(j, v, err);
    if (!status) status = insert_result(j, v, err);
    if (!status && ends_slots) status = delete_old(j, v, streams, err);
    return status;
}

static void show(const weir_drift_judge *j, const verdict *v) {
    const char *pipeline = j->b.pipeline->name, *kind = weir_drift_kind_names[v->kind];
    char to[WEIR_TIME_TEXT_MAX];
    weir_metric_add(WEIR_METRIC("weir_drift_windows_total", pipeline, kind, v->severity), 1);
    if (v->report) {
        weir_metric_set(WEIR_METRIC("weir_drift_share_ratio", pipeline, kind), v->share);
        weir_metric_set(WEIR_METRIC("weir_drift_columns", pipeline, kind, "drifted"), v->drifted);
        weir_metric_set(WEIR_METRIC("weir_drift_columns", pipeline, kind, "same"), v->columns - v->drifted);
    }
    WEIR_INFO("drift of a window", WEIR_S("kind", kind), WEIR_S("until", weir_time_format(v->to_us, to)), WEIR_S("severity", v->severity),
              WEIR_I("columns", v->columns), WEIR_I("drifted", v->drifted), WEIR_I("records", v->records), WEIR_S("why", v->why));
}

/* One transaction: the window's slots cannot change meanwhile, and are as they were when it fails. */
static weir_status judge(weir_drift_judge *j, verdict *v, weir_err *err) {
    weir_status status = by_training(j, v->kind) ? read_training(j, v, err) : WEIR_OK;
    if (!status) status = weir_pg_begin(j->b.pg, err);
    if (!status) status = settle(j, v, err);
    if (!status) status = weir_pg_commit(j->b.pg, err);
    if (status) weir_pg_rollback(j->b.pg);
    if (!status) show(j, v);
    if (!status) j->may_wait = true;
    weir_drift_report_free(v->report);
    weir_buf_done(&v->detail);
    return status;
}

weir_status weir_drift_judge_due(weir_drift_judge *j, bool *ret_more, weir_err *err) {
    char streams[4096], to[WEIR_TIME_TEXT_MAX];
    weir_status status = WEIR_OK;
    *ret_more = false;
    for (weir_drift_kind kind = 0; !status && kind < WEIR_DRIFT_KINDS; kind++) {
        int64_t watermark_us = INT64_MIN;
        weir_drift_due due;
        verdict v = {.kind = kind, .cause = "window"};
        if (!put_streams(j, kind, streams, sizeof streams)) continue;
        status = read_watermark(j, kind, streams, &watermark_us, err);
        if (!status) status = read_due(j, kind, streams, &due, err);
        if (status || !weir_drift_next(&due, watermark_us, &v.to_us)) continue;
        v.from_us = v.to_us - due.window_us;
        snprintf(v.id, sizeof v.id, "%.100s-%s-%s", j->b.pipeline->name, weir_drift_kind_names[kind], weir_time_format(v.to_us, to));
        status = judge(j, &v, err);
        *ret_more = true;
    }
    return status;
}

static weir_status newest_slot(weir_drift_judge *j, const char *streams, int64_t *ret_us, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name, streams};
    weir_status status = weir_pg_exec(j->b.pg, "SELECT " MICROS("max(slot_at)") " FROM weir.drift_slots WHERE pipeline = $1 AND stream = ANY($2::text[])", 2,
                                      params, &result, err);
    if (status) return status;
    *ret_us = int8_at(result, 0, 0);
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_drift_judge_now(weir_drift_judge *j, const char *schedule, const char *firing_id, weir_err *err) {
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    char streams[4096];
    weir_status status = WEIR_OK;
    for (weir_drift_kind kind = 0; !status && kind < WEIR_DRIFT_KINDS; kind++) {
        int64_t slot_us = INT64_MIN;
        verdict v = {.kind = kind, .cause = !strcmp(schedule, "window") ? "schedule" : schedule};
        if (!put_streams(j, kind, streams, sizeof streams)) continue;
        if ((status = newest_slot(j, streams, &slot_us, err)) || slot_us == INT64_MIN) continue;
        v.to_us = slot_us + def->every_us;
        v.from_us = v.to_us - def->window_us;
        snprintf(v.id, sizeof v.id, "%.100s-%s-%.200s", j->b.pipeline->name, weir_drift_kind_names[kind], firing_id);
        status = judge(j, &v, err);
    }
    return status;
}

/* ---- telling ---- */

enum {
    SENT_ID,
    SENT_KIND,
    SENT_AT,
    SENT_FROM,
    SENT_TO,
    SENT_SEVERITY,
    SENT_REFERENCE,
    SENT_RECORDS,
    SENT_REFERENCE_RECORDS,
    SENT_COLUMNS,
    SENT_DRIFTED,
    SENT_SHARE,
    SENT_RATE,
    SENT_DETAIL,
    SENT_ALERT
};

static weir_status send_alert(weir_drift_judge *j, const PGresult *r, int i, weir_err *err) {
    char id[ID_MAX], summary[400];
    const char *kind = PQgetvalue(r, i, SENT_KIND), *severity = PQgetvalue(r, i, SENT_SEVERITY);
    cJSON *detail = cJSON_CreateObject();
    bool ok = detail && cJSON_AddStringToObject(detail, "drift_id", PQgetvalue(r, i, SENT_ID)) &&
              cJSON_AddNumberToObject(detail, "share", atof(PQgetvalue(r, i, SENT_SHARE))) &&
              cJSON_AddStringToObject(detail, "reference", PQgetvalue(r, i, SENT_REFERENCE)) && cJSON_AddStringToObject(detail, "severity", severity);
    snprintf(id, sizeof id, "%.150s/drift/%s", j->b.pipeline->name, kind);
    snprintf(summary, sizeof summary, "%s of %s columns of the %s of pipeline %.100s no longer look like %.120s", PQgetvalue(r, i, SENT_DRIFTED),
             PQgetvalue(r, i, SENT_COLUMNS), kind, j->b.pipeline->name, PQgetvalue(r, i, SENT_REFERENCE));
    const weir_alert alert = {.id = id,
                              .name = "WeirDrift",
                              .summary = summary,
                              .runbook = "drift.md",
                              .critical = !strcmp(severity, "critical"),
                              .firing = !strcmp(PQgetvalue(r, i, SENT_ALERT), "firing"),
                              .detail = detail};
    weir_status status = ok ? weir_alert_send(j->b.alerts, j->b.producer, j->b.pipeline->name, &alert, int8_at(r, i, SENT_AT), err) : no_memory(err);
    cJSON_Delete(detail);
    return status;
}

static weir_status send_result(weir_drift_judge *j, const PGresult *r, int i, weir_err *err) {
    const char *id = PQgetvalue(r, i, SENT_ID);
    int64_t at_us = int8_at(r, i, SENT_AT);
    const weir_datum row[DRIFT_COUNT] = {
        [DRIFT_DRIFT_ID] = weir_text(id),
        [DRIFT_PIPELINE] = weir_text(j->b.pipeline->name),
        [DRIFT_AT] = weir_i64(at_us),
        [DRIFT_KIND] = weir_text(PQgetvalue(r, i, SENT_KIND)),
        [DRIFT_TENANT] = weir_null(),
        [DRIFT_WINDOW_FROM] = weir_i64(int8_at(r, i, SENT_FROM)),
        [DRIFT_WINDOW_TO] = weir_i64(int8_at(r, i, SENT_TO)),
        [DRIFT_REFERENCE] = weir_text(PQgetvalue(r, i, SENT_REFERENCE)),
        [DRIFT_ROWS] = weir_i64(int8_at(r, i, SENT_RECORDS)),
        [DRIFT_REFERENCE_ROWS] = weir_i64(int8_at(r, i, SENT_REFERENCE_RECORDS)),
        [DRIFT_COLUMNS] = weir_i64(int8_at(r, i, SENT_COLUMNS)),
        [DRIFT_DRIFTED] = weir_i64(int8_at(r, i, SENT_DRIFTED)),
        [DRIFT_SHARE] = weir_f64(atof(PQgetvalue(r, i, SENT_SHARE))),
        [DRIFT_SEVERITY] = weir_text(PQgetvalue(r, i, SENT_SEVERITY)),
        [DRIFT_FALSE_ALARM_RATE] = weir_f64(atof(PQgetvalue(r, i, SENT_RATE))),
        [DRIFT_DETAIL] = weir_text(PQgetvalue(r, i, SENT_DETAIL)),
    };
    weir_status status = weir_event_send(j->b.events, j->b.producer, WEIR_TOPIC_DRIFT, j->b.pipeline->name, "weir.drift.judged", id, at_us, row, err);
    return status || PQgetisnull(r, i, SENT_ALERT) ? status : send_alert(j, r, i, err);
}

static weir_status send_waiting(weir_drift_judge *j, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name};
    weir_status status =
        weir_pg_exec(j->b.pg,
                     "SELECT drift_id, kind, " MICROS("judged_at") ", " MICROS("window_from") ", " MICROS(
                         "window_to") ", severity, reference, records, reference_records, columns, drifted, share, false_alarm_rate, detail, alert FROM "
                                      "weir.drift_results WHERE pipeline = $1 AND sent_at IS NULL ORDER BY judged_at LIMIT 100 FOR UPDATE SKIP LOCKED",
                     1, params, &result, err);
    if (status) return status;
    int count = PQntuples(result);
    j->may_wait = count > 0;
    for (int i = 0; !status && i < count; i++) status = send_result(j, result, i, err);
    if (!status && count) status = weir_producer_flush(j->b.producer, FLUSH_MS, err);
    for (int i = 0; !status && i < count; i++) {
        const char *id[] = {PQgetvalue(result, i, SENT_ID)};
        status = weir_pg_exec(j->b.pg, "UPDATE weir.drift_results SET sent_at = clock_timestamp() WHERE drift_id = $1", 1, id, NULL, err);
    }
    PQclear(result);
    return status;
}

weir_status weir_drift_judge_send(weir_drift_judge *j, weir_err *err) {
    if (!j->may_wait) return WEIR_OK;
    weir_status status = weir_pg_begin(j->b.pg, err);
    if (!status) status = send_waiting(j, err);
    if (!status) status = weir_pg_commit(j->b.pg, err);
    if (status) {
        weir_pg_rollback(j->b.pg);
        j->may_wait = true;
    }
    return status;
}
