/* How far labels have caught up with events. */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/history.h"

/* Rows of a table with event time in [from, to). */
static weir_status count_rows(weir_pg *pg, const weir_pipeline *pipeline, const char *table, int64_t from_us, int64_t to_us, int64_t *ret_count, weir_err *err) {
    char sql[512], from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    const char *params[] = {weir_time_format(from_us, from), weir_time_format(to_us, to)};
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\".\"%s\" WHERE event_time >= $1::timestamptz AND event_time < $2::timestamptz", pipeline->name, table);
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, 2, params, &result, err);
    if (!status) *ret_count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return status;
}

weir_status weir_history_coverage(const char *pg_url, const weir_pipeline *pipeline, int64_t from_us, int64_t to_us, int64_t *ret_events, int64_t *ret_labelled,
                                  weir_err *err) {
    char events[128];
    weir_pg *pg = NULL;
    snprintf(events, sizeof events, "features_%s", pipeline->views[pipeline->primary_view].name);
    weir_status status = weir_pg_new(pg_url, &pg, err);
    if (!status) status = count_rows(pg, pipeline, events, from_us, to_us, ret_events, err);
    if (!status) status = count_rows(pg, pipeline, "labels", from_us, to_us, ret_labelled, err);
    weir_pg_free(pg);
    return status;
}
