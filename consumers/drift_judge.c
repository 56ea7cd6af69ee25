/* Windows against their references; see drift_judge.h. */
#include "consumers/drift_judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/alert.h"
#include "consumers/drift_reference.h"
#include "consumers/drift_tenants.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"

enum { FLUSH_MS = 30000, ID_MAX = 480, REFERENCE_MAX = 200 };
#define TENANTS_KEPT_US (30 * WEIR_DAY_US)

const char *const weir_drift_kind_names[] = {"features", "predictions", "labels"};
static const char *const severities[] = {"skipped", "none", "low", "high", "critical"};

struct weir_drift_judge {
    weir_drift_bench b;
    weir_drift_table *training; /* reference of the version that training_name is about */
    char training_name[REFERENCE_MAX];
    weir_drift_training trained; /* that version */
    bool may_wait; /* something may be unsent */
};

/* A window of one tenant or of all, and what came of it. */
typedef struct verdict {
    weir_drift_kind kind;
    const char *tenant; /* NULL: all together */
    double alpha; /* chance of a false alarm among its columns */
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

/* Tenants that are judged each by itself in a window. */
typedef struct tenants {
    int count;
    struct {
        char name[WEIR_DRIFT_TENANT_NAME_MAX + 1];
        const char *severity; /* one of severities */
        int columns, drifted;
    } list[WEIR_DRIFT_TENANTS_MAX];
} tenants;

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
    weir_status status = weir_pg_exec(
        j->b.pg,
        "WITH judged AS (SELECT max(window_to) AS at FROM weir.drift_results WHERE pipeline = $1 AND kind = $3 AND tenant IS NULL AND cause = 'window') "
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
static weir_status read_window(weir_drift_judge *j, const verdict *v, int64_t from_us, int64_t to_us, weir_drift_table **ret_table, int64_t *ret_records,
                               weir_err *err) {
    weir_drift_kind kind = v->kind;
    weir_drift_table *whole = NULL;
    weir_status status = new_table(j, kind, &whole, err);
    *ret_records = 0;
    for (int i = 0; !status && i < j->b.stream_count; i++) {
        const weir_drift_stream *of = &j->b.streams[i];
        weir_drift_table *table = NULL;
        int64_t records = 0;
        if (j->b.kinds[i] != kind) continue;
        status = weir_drift_table_new(of->fields, of->field_count, 1, &table, err);
        if (!status) status = weir_drift_slots_read(j->b.pg, j->b.pipeline->name, of->name, from_us, to_us, v->tenant, table, &records, err);
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
        status = weir_drift_training_table(j->b.pg, j->b.pg_url, j->b.objects_dir, j->b.columns, &training, NULL, &table, &records, err);
        if (status == WEIR_ENOTFOUND) {
            snprintf(v->why, sizeof v->why, "%.300s", err->message);
            return WEIR_OK;
        }
        if (status) return status;
        weir_drift_table_free(j->training);
        j->training = table;
        snprintf(j->training_name, sizeof j->training_name, "%s", name);
    }
    j->trained = training;
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
    settings.alpha = v->alpha;
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

/* Of one tenant: it was made before the window's transaction. */
static weir_status read_tenant_training(weir_drift_judge *j, const verdict *v, weir_drift_table **ret_table, int64_t *ret_records, weir_err *err) {
    weir_status status = weir_drift_training_kept(j->b.pg, j->b.columns, &j->trained, v->tenant, ret_table, ret_records, err);
    if (status || *ret_table) return status;
    return WEIR_RETRY(err, WEIR_ECONFLICT, "what %s was trained on was replaced while its window was judged", v->tenant);
}

/* What the window is compared with. *ret_own: it is not the judge's. *ret_records: INT64_MAX where it is known that there are enough. */
static weir_status read_reference(weir_drift_judge *j, verdict *v, weir_drift_table **ret_own, int64_t *ret_records, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    int64_t from_us = v->from_us - (v->to_us - v->from_us);
    *ret_records = INT64_MAX;
    if (by_training(j, v->kind)) return v->tenant ? read_tenant_training(j, v, ret_own, ret_records, err) : WEIR_OK;
    snprintf(v->reference, sizeof v->reference, "window:%s/%s", weir_time_format(from_us, from), weir_time_format(v->from_us, to));
    return read_window(j, v, from_us, v->from_us, ret_own, ret_records, err);
}

static weir_status judge_window(weir_drift_judge *j, verdict *v, weir_err *err) {
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    weir_drift_table *current = NULL, *own = NULL;
    int64_t records = INT64_MAX;
    weir_status status = read_window(j, v, v->from_us, v->to_us, &current, &v->records, err);
    if (!status) status = read_reference(j, v, &own, &records, err);
    const char *where = v->records < records ? "" : by_training(j, v->kind) ? " in the training period" : " in the window before";
    if (!status && !*v->why && (v->records < def->min_rows || records < def->min_rows))
        snprintf(v->why, sizeof v->why, "too few records: %" PRId64 "%s, needed are %" PRId64, v->records < records ? v->records : records, where,
                 def->min_rows);
    if (!status && !*v->why) status = compare(j, v, own ? own : j->training, current, err);
    if (!status && *v->why) {
        v->severity = "skipped";
        if (!weir_buf_printf(&v->detail, "{\"why\": \"") || !weir_buf_json_escape(&v->detail, v->why, strlen(v->why)) || !weir_buf_printf(&v->detail, "\"}"))
            status = no_memory(err);
    }
    weir_drift_table_free(current);
    weir_drift_table_free(own);
    return status;
}

/* ---- tenants ---- */

/* Those that have a name and enough records in the window. */
static weir_status list_tenants(weir_drift_judge *j, const verdict *v, const char *streams, tenants *ret_tenants, weir_err *err) {
    const weir_drift_def *def = &j->b.pipeline->triggers.drift;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], most[24], least[24];
    PGresult *result = NULL;
    if (!def->tenants || *v->why) return WEIR_OK;
    snprintf(most, sizeof most, "%" PRId64, def->tenants);
    snprintf(least, sizeof least, "%" PRId64, def->min_rows);
    const char *params[] = {j->b.pipeline->name, streams, weir_time_format(v->from_us, from), weir_time_format(v->to_us, to), most, least};
    weir_status status =
        weir_pg_exec(j->b.pg,
                     "WITH named AS (SELECT number, tenant FROM weir.drift_tenants WHERE pipeline = $1 ORDER BY number LIMIT $5::int8), "
                     "counted AS (SELECT tenant, sum(records) AS records FROM weir.drift_slots WHERE pipeline = $1 AND stream = ANY($2::text[]) AND slot_at >= "
                     "$3::timestamptz AND slot_at < $4::timestamptz GROUP BY tenant, stream) "
                     "SELECT tenant FROM named JOIN counted USING (tenant) GROUP BY number, tenant HAVING max(records) >= $6::int8 ORDER BY number",
                     6, params, &result, err);
    if (status) return status;
    for (int i = 0; i < PQntuples(result) && i < WEIR_DRIFT_TENANTS_MAX; i++)
        snprintf(ret_tenants->list[ret_tenants->count++].name, sizeof ret_tenants->list->name, "%s", PQgetvalue(result, i, 0));
    PQclear(result);
    return WEIR_OK;
}

/* Before the window's transaction, for it may take long the first time. */
static weir_status make_references(weir_drift_judge *j, const verdict *v, const tenants *t, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < t->count && by_training(j, v->kind); i++) {
        weir_drift_table *table = NULL;
        int64_t records = 0;
        status = weir_drift_training_table(j->b.pg, j->b.pg_url, j->b.objects_dir, j->b.columns, &j->trained, t->list[i].name, &table, &records, err);
        weir_drift_table_free(table);
    }
    return status;
}

/* ---- results ---- */

static bool is_firing(const char *severity) {
    return !strcmp(severity, "high") || !strcmp(severity, "critical");
}

/* What the alert's change of state is, by the last one that was told. A skipped window says nothing. */
static weir_status change_of(weir_drift_judge *j, const verdict *v, const char **ret_change, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {j->b.pipeline->name, weir_drift_kind_names[v->kind], v->tenant};
    *ret_change = NULL;
    if (!v->report) return WEIR_OK;
    weir_status status = weir_pg_exec(j->b.pg,
                                      "SELECT alert, severity FROM weir.drift_results WHERE pipeline = $1 AND kind = $2 AND tenant IS NOT DISTINCT FROM $3 AND "
                                      "alert IS NOT NULL ORDER BY judged_at DESC LIMIT 1",
                                      3, params, &result, err);
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
    snprintf(rate, sizeof rate, "%.17g", v->alpha);
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
                            change,
                            v->tenant};
    return weir_pg_exec(
        j->b.pg,
        "INSERT INTO weir.drift_results (drift_id, pipeline, kind, cause, window_from, window_to, severity, reference, records, reference_records, columns, "
        "drifted, share, false_alarm_rate, detail, alert, tenant, sent_at) VALUES ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz, $7, $8, $9::int8, "
        "$10::int8, "
        "$11::int, $12::int, $13::float8, $14::float8, $15::jsonb, $16, $17, CASE WHEN $7 = 'skipped' THEN clock_timestamp() END) ON CONFLICT DO NOTHING",
        17, params, NULL, err);
}

/* A window, and the one before that it may be compared with. */
static weir_status delete_old(weir_drift_judge *j, const verdict *v, const char *streams, weir_err *err) {
    char before[WEIR_TIME_TEXT_MAX];
    const char *params[] = {j->b.pipeline->name, streams, weir_time_format(v->to_us - 2 * j->b.pipeline->triggers.drift.window_us, before)};
    return weir_pg_exec(j->b.pg, "DELETE FROM weir.drift_slots WHERE pipeline = $1 AND stream = ANY($2::text[]) AND slot_at < $3::timestamptz", 3, params, NULL,
                        err);
}

/* Of tenants there are many results: those that told no alert are kept for some time only. */
static weir_status delete_old_results(weir_drift_judge *j, const verdict *v, weir_err *err) {
    char before[WEIR_TIME_TEXT_MAX];
    const char *params[] = {j->b.pipeline->name, weir_drift_kind_names[v->kind], weir_time_format(v->to_us - TENANTS_KEPT_US, before)};
    if (!j->b.pipeline->triggers.drift.tenants) return WEIR_OK;
    return weir_pg_exec(
        j->b.pg,
        "DELETE FROM weir.drift_results WHERE pipeline = $1 AND kind = $2 AND tenant IS NOT NULL AND window_to < $3::timestamptz AND alert IS NULL "
        "AND sent_at IS NOT NULL",
        3, params, NULL, err);
}

/* All of them are judged, or none: a tenant's chance of a false alarm is its share of the window's, so that of any of them is at most that (Bonferroni). */
static weir_status settle_tenant(weir_drift_judge *j, const verdict *whole, tenants *t, int i, weir_err *err) {
    const char *name = t->list[i].name;
    verdict v = {.kind = whole->kind,
                 .tenant = name,
                 .alpha = weir_drift_share_of_rate(whole->alpha, t->count),
                 .cause = whole->cause,
                 .from_us = whole->from_us,
                 .to_us = whole->to_us};
    snprintf(v.id, sizeof v.id, "%.340s-%s", whole->id, name);
    snprintf(v.reference, sizeof v.reference, "%s", whole->reference);
    weir_status status = judge_window(j, &v, err);
    if (!status) status = insert_result(j, &v, err);
    t->list[i].severity = v.severity;
    t->list[i].columns = v.columns;
    t->list[i].drifted = v.drifted;
    weir_drift_report_free(v.report);
    weir_buf_done(&v.detail);
    return status;
}

static weir_status settle(weir_drift_judge *j, verdict *v, const char *streams, tenants *t, weir_err *err) {
    weir_status status = weir_drift_slots_lock(j->b.pg, j->b.pipeline->name, err);
    bool ends_slots = !strcmp(v->cause, "window");
    for (int i = 0; !status && ends_slots && i < j->b.stream_count; i++)
        if (j->b.kinds[i] == v->kind) status = weir_drift_slots_join(j->b.pg, j->b.pipeline->name, &j->b.streams[i], v->to_us, err);
    if (!status) status = judge_window(j, v, err);
    if (!status) status = insert_result(j, v, err);
    if (!v->report) t->count = 0; /* nor can parts of it be judged */
    for (int i = 0; !status && i < t->count; i++) status = settle_tenant(j, v, t, i, err);
    if (!status && ends_slots) status = delete_old(j, v, streams, err);
    if (!status && ends_slots) status = delete_old_results(j, v, err);
    return status;
}

/* t NULL: nothing is known of any. */
static void count_tenants(const weir_drift_judge *j, const char *kind, const tenants *t) {
    for (size_t k = 0; k < sizeof severities / sizeof *severities; k++) {
        int count = 0;
        for (int i = 0; t && i < t->count; i++) count += !strcmp(t->list[i].severity, severities[k]);
        weir_metric_set(WEIR_METRIC("weir_drift_tenants", j->b.pipeline->name, kind, severities[k]), count);
    }
}

static void show_tenants(const weir_drift_judge *j, const verdict *v, const tenants *t) {
    const char *kind = weir_drift_kind_names[v->kind];
    char to[WEIR_TIME_TEXT_MAX];
    if (j->b.pipeline->triggers.drift.tenants) count_tenants(j, kind, t);
    for (int i = 0; i < t->count; i++)
        if (t->list[i].drifted)
            WEIR_INFO("drift of a tenant", WEIR_S("tenant", t->list[i].name), WEIR_S("kind", kind), WEIR_S("until", weir_time_format(v->to_us, to)),
                      WEIR_S("severity", t->list[i].severity), WEIR_I("columns", t->list[i].columns), WEIR_I("drifted", t->list[i].drifted));
}

void weir_drift_judge_leave(weir_drift_judge *j) {
    for (weir_drift_kind kind = 0; kind < WEIR_DRIFT_KINDS; kind++)
        if (j->b.pipeline->triggers.drift.tenants && count_streams(j, kind)) count_tenants(j, weir_drift_kind_names[kind], NULL);
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
static weir_status judge(weir_drift_judge *j, verdict *v, const char *streams, weir_err *err) {
    tenants t = {.count = 0};
    weir_status status = by_training(j, v->kind) ? read_training(j, v, err) : WEIR_OK;
    if (!status) status = list_tenants(j, v, streams, &t, err);
    if (!status) status = make_references(j, v, &t, err);
    if (!status) status = weir_pg_begin(j->b.pg, err);
    if (!status) status = settle(j, v, streams, &t, err);
    if (!status) status = weir_pg_commit(j->b.pg, err);
    if (status) weir_pg_rollback(j->b.pg);
    if (!status) show(j, v);
    if (!status) show_tenants(j, v, &t);
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
        verdict v = {.kind = kind, .alpha = j->b.pipeline->triggers.drift.false_alarm_rate, .cause = "window"};
        if (!put_streams(j, kind, streams, sizeof streams)) continue;
        status = read_watermark(j, kind, streams, &watermark_us, err);
        if (!status) status = read_due(j, kind, streams, &due, err);
        if (status || !weir_drift_next(&due, watermark_us, &v.to_us)) continue;
        v.from_us = v.to_us - due.window_us;
        snprintf(v.id, sizeof v.id, "%.100s-%s-%s", j->b.pipeline->name, weir_drift_kind_names[kind], weir_time_format(v.to_us, to));
        status = judge(j, &v, streams, err);
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
        verdict v = {.kind = kind, .alpha = def->false_alarm_rate, .cause = !strcmp(schedule, "window") ? "schedule" : schedule};
        if (!put_streams(j, kind, streams, sizeof streams)) continue;
        if ((status = newest_slot(j, streams, &slot_us, err)) || slot_us == INT64_MIN) continue;
        v.to_us = slot_us + def->every_us;
        v.from_us = v.to_us - def->window_us;
        snprintf(v.id, sizeof v.id, "%.100s-%s-%.200s", j->b.pipeline->name, weir_drift_kind_names[kind], firing_id);
        status = judge(j, &v, streams, err);
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
    SENT_ALERT,
    SENT_TENANT
};

static weir_status send_alert(weir_drift_judge *j, const PGresult *r, int i, weir_err *err) {
    char id[ID_MAX], summary[560];
    const char *kind = PQgetvalue(r, i, SENT_KIND), *severity = PQgetvalue(r, i, SENT_SEVERITY), *tenant = PQgetvalue(r, i, SENT_TENANT);
    bool of_all = PQgetisnull(r, i, SENT_TENANT);
    cJSON *detail = cJSON_CreateObject();
    bool ok = detail && cJSON_AddStringToObject(detail, "drift_id", PQgetvalue(r, i, SENT_ID)) &&
              cJSON_AddNumberToObject(detail, "share", atof(PQgetvalue(r, i, SENT_SHARE))) &&
              cJSON_AddStringToObject(detail, "reference", PQgetvalue(r, i, SENT_REFERENCE)) && cJSON_AddStringToObject(detail, "severity", severity) &&
              (of_all || cJSON_AddStringToObject(detail, "tenant", tenant));
    snprintf(id, sizeof id, "%.150s/drift/%s%s%s", j->b.pipeline->name, kind, of_all ? "" : "/", tenant);
    snprintf(summary, sizeof summary, "%s of %s columns of the %s of %s%s%spipeline %.100s no longer look like %.120s", PQgetvalue(r, i, SENT_DRIFTED),
             PQgetvalue(r, i, SENT_COLUMNS), kind, of_all ? "" : "tenant ", tenant, of_all ? "" : " in ", j->b.pipeline->name,
             PQgetvalue(r, i, SENT_REFERENCE));
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
        [DRIFT_TENANT] = PQgetisnull(r, i, SENT_TENANT) ? weir_null() : weir_text(PQgetvalue(r, i, SENT_TENANT)),
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
    weir_status status = weir_pg_exec(
        j->b.pg,
        "SELECT drift_id, kind, " MICROS("judged_at") ", " MICROS("window_from") ", " MICROS(
            "window_to") ", severity, reference, records, reference_records, columns, drifted, share, false_alarm_rate, detail, alert, tenant FROM "
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
