/* What the offline store holds: from when to when. */
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
        snprintf(sql, sizeof(sql),
                 "SELECT (extract(epoch FROM min(first)) * 1000000)::int8, (extract(epoch FROM max(last)) * 1000000)::int8 FROM "
                 "(SELECT min(event_time) AS first, max(event_time) AS last FROM \"%s\".\"features_%s\" UNION ALL "
                 "SELECT min(first_time), max(last_time) FROM weir.offline_files WHERE pipeline = '%s' AND table_name = 'features_%s') both_stores",
                 p->name, p->views[p->primary_view].name, p->name, p->views[p->primary_view].name);
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
    if (!status) status = weir_pg_migrate(pg, err);
    if (!status) status = span_of(pg, pipeline, &first, &last, &until, err);
    weir_pg_free(pg);
    if (status) return status;
    if (ret_first_us) *ret_first_us = first;
    if (ret_last_us) *ret_last_us = last;
    if (ret_labels_until_us) *ret_labels_until_us = until;
    return WEIR_OK;
}
