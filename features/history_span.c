/* What the offline store holds: from when to when, and how much of it has labels. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/history.h"

enum { SQL_MAX = 2048 };

static weir_status has_tables(weir_pg *pg, const weir_pipeline *p, bool *ret_features, bool *ret_labels, weir_err *err) {
    char name[64];
    snprintf(name, sizeof(name), "features_%s", p->views[p->primary_view].name);
    *ret_labels = false;
    weir_status status = weir_offline_has_table(pg, p, name, ret_features, err);
    if (!status && p->labels.topic) status = weir_offline_has_table(pg, p, "labels", ret_labels, err);
    return status;
}

/* INT64_MIN for SQL's NULL. */
static int64_t number_at(const PGresult *result, int column) {
    return PQgetisnull(result, 0, column) ? INT64_MIN : strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

/* Up to two numbers of a query's only row. */
static weir_status ask(weir_pg *pg, const char *sql, int64_t *ret_first, int64_t *ret_second, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, 0, NULL, &result, err);
    if (status) return status;
    *ret_first = number_at(result, 0);
    if (ret_second) *ret_second = number_at(result, 1);
    PQclear(result);
    return WEIR_OK;
}

static weir_status span_of(weir_pg *pg, const weir_pipeline *p, int64_t *ret_first, int64_t *ret_last, int64_t *ret_until, weir_err *err) {
    char sql[SQL_MAX];
    bool features, labels;
    weir_status status = has_tables(pg, p, &features, &labels, err);
    if (!status && features) {
        snprintf(
            sql, sizeof(sql),
            "SELECT (extract(epoch FROM min(event_time)) * 1000000)::int8, (extract(epoch FROM max(event_time)) * 1000000)::int8 FROM \"%s\".\"features_%s\"",
            p->name, p->views[p->primary_view].name);
        status = ask(pg, sql, ret_first, ret_last, err);
    }
    if (status || !labels) return status;
    /* The label that became known last is of an event at most max_delay older than the newest: only those days are read. */
    snprintf(sql, sizeof(sql),
             "SELECT (extract(epoch FROM max(available_time)) * 1000000)::int8 FROM \"%s\".labels "
             "WHERE event_time >= (SELECT max(event_time) FROM \"%s\".labels) - interval '%" PRId64 " microseconds'",
             p->name, p->name, p->max_delay_us);
    return ask(pg, sql, ret_until, NULL, err);
}

weir_status weir_history_span(const char *pg_url, const weir_pipeline *pipeline, int64_t *ret_first_us, int64_t *ret_last_us, int64_t *ret_labels_until_us,
                              weir_err *err) {
    int64_t first = INT64_MIN, last = INT64_MIN, until = INT64_MIN;
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(pg_url, &pg, err);
    if (!status) status = span_of(pg, pipeline, &first, &last, &until, err);
    weir_pg_free(pg);
    if (status) return status;
    if (ret_first_us) *ret_first_us = first;
    if (ret_last_us) *ret_last_us = last;
    if (ret_labels_until_us) *ret_labels_until_us = until;
    return WEIR_OK;
}

/* As features/offline.h names columns. */
static void name_column(const weir_schema *schema, int column, char name[64]) {
    snprintf(name, 64, "%s", weir_schema_field_at(schema, column)->name);
    for (char *p = name; *p; p++) *p = *p == '.' ? '_' : *p;
}

static int64_t within(int64_t us) {
    return us < WEIR_TIME_MIN_US ? WEIR_TIME_MIN_US : us > WEIR_TIME_MAX_US ? WEIR_TIME_MAX_US : us;
}

static weir_status coverage_of(weir_pg *pg, const weir_pipeline *p, int64_t from_us, int64_t to_us, int64_t *ret_events, int64_t *ret_labelled, weir_err *err) {
    char sql[SQL_MAX], joined[SQL_MAX / 2] = "", from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX], until[WEIR_TIME_TEXT_MAX], event_id[64], label_id[64];
    bool features, labels;
    weir_status status = has_tables(pg, p, &features, &labels, err);
    if (status || !features) return status;
    weir_time_format(from_us, from);
    weir_time_format(to_us, to);
    weir_time_format(to_us > WEIR_TIME_MAX_US - p->max_delay_us ? WEIR_TIME_MAX_US : to_us + p->max_delay_us, until);
    if (labels) {
        name_column(p->events.schema, p->label_join[0], event_id);
        name_column(p->labels.schema, p->label_join[1], label_id);
        snprintf(joined, sizeof(joined),
                 " LEFT JOIN (SELECT DISTINCT tenant, \"%s\" AS id FROM \"%s\".labels WHERE event_time >= '%s' AND event_time < '%s') l "
                 "ON l.tenant = f.tenant AND l.id = f.\"record_%s\"",
                 label_id, p->name, from, until, event_id);
    }
    snprintf(sql, sizeof(sql), "SELECT count(*), %s FROM \"%s\".\"features_%s\" f%s WHERE f.event_time >= '%s' AND f.event_time < '%s'",
             labels ? "count(l.id)" : "0", p->name, p->views[p->primary_view].name, joined, from, to);
    return ask(pg, sql, ret_events, ret_labelled, err);
}

weir_status weir_history_coverage(const char *pg_url, const weir_pipeline *pipeline, int64_t from_us, int64_t to_us, int64_t *ret_events, int64_t *ret_labelled,
                                  weir_err *err) {
    int64_t events = 0, labelled = 0;
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(pg_url, &pg, err);
    if (!status) status = coverage_of(pg, pipeline, within(from_us), within(to_us), &events, &labelled, err);
    weir_pg_free(pg);
    if (status) return status;
    *ret_events = events;
    *ret_labelled = labelled;
    return WEIR_OK;
}
