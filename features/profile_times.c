/* Gaps and coverage of time; see profile_internal.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/profile_internal.h"

struct profile_times {
    weir_duck *duck;
    weir_duck_appender *appender;
    int time, entity; /* entity -1: all rows are one */
};

weir_status profile_times_new(int time, int entity, profile_times **ret_times, weir_err *err) {
    profile_times *times = weir_mem.realloc(NULL, sizeof(*times));
    if (!times) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for times");
    *times = (profile_times){.time = time, .entity = entity};
    weir_status status = weir_duck_new(&times->duck, err);
    if (!status) status = weir_duck_exec(times->duck, "CREATE TABLE times (e VARCHAR, t BIGINT)", err);
    if (!status) status = weir_duck_append_to(times->duck, "times", &times->appender, err);
    if (status)
        profile_times_free(times);
    else
        *ret_times = times;
    return status;
}

void profile_times_free(profile_times *times) {
    if (!times) return;
    if (times->appender) (void)!weir_duck_append_end(times->appender, NULL);
    weir_duck_free(times->duck);
    free(times);
}

weir_status profile_times_add(profile_times *times, const weir_datum *row, weir_err *err) {
    weir_datum values[2] = {weir_text(""), row[times->time]};
    char digits[32];
    if (values[1].type != WEIR_T_I64) return WEIR_OK;
    if (times->entity >= 0) values[0] = row[times->entity];
    if (values[0].type == WEIR_T_NULL) return WEIR_OK;
    if (values[0].type != WEIR_T_STR) { /* a number that names an entity */
        int n = snprintf(digits, sizeof(digits), "%.17g", weir_datum_number(&values[0]));
        values[0] = weir_str(digits, (size_t)n);
    }
    return weir_duck_append(times->appender, values, 2, err);
}

/* One row of numbers; a null is NaN. */
static weir_status ask(profile_times *times, const char *sql, double *out, int count, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_status status = weir_duck_query(times->duck, sql, &cursor, err);
    if (!status) status = weir_duck_next(cursor, &more, err);
    for (int i = 0; !status && i < count; i++) {
        weir_datum value = more ? weir_duck_get(cursor, i) : weir_null();
        out[i] = weir_datum_number(&value);
    }
    weir_duck_cursor_free(cursor);
    return status;
}

static weir_status list_gaps(profile_times *times, weir_profile_coverage *c, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_sql sql = {0};
    weir_sql_add(&sql, "SELECT e, t - d, t FROM steps WHERE d > %.17g ORDER BY d DESC, e, t LIMIT %d", 5e6 * c->step_s, WEIR_PROFILE_GAPS_MAX);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(times->duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        weir_datum entity = weir_duck_get(cursor, 0), from = weir_duck_get(cursor, 1), to = weir_duck_get(cursor, 2);
        weir_profile_gap *gap = &c->gaps[c->gaps_shown];
        if (!(gap->entity = weir_mem.realloc(NULL, (size_t)entity.len + 1))) {
            status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for gaps");
            break;
        }
        memcpy(gap->entity, entity.p, entity.len);
        gap->entity[entity.len] = 0;
        gap->from_us = from.i;
        gap->to_us = to.i;
        c->gaps_shown++;
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

/* Coverage: times with a record over places for one: an entity's first time and then as many as its steps are long. Entities with one time only say nothing. */
static weir_status find_gaps(profile_times *times, weir_profile_coverage *c, weir_err *err) {
    double out[2];
    weir_sql sql = {0};
    weir_sql_add(
        &sql,
        "SELECT count(*) FILTER (d > %.17g)::DOUBLE, (count(*) + count(DISTINCT e))::DOUBLE / (sum(greatest(round(d / %.17g), 1)) + count(DISTINCT e)) "
        "FROM steps WHERE d > 0",
        5e6 * c->step_s, 1e6 * c->step_s);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = ask(times, sql.text.data, out, 2, err);
    weir_sql_done(&sql);
    if (status) return status;
    c->gap_count = (int64_t)out[0];
    c->coverage = out[1];
    return list_gaps(times, c, err);
}

weir_status profile_times_end(profile_times *times, weir_profile_coverage *c, weir_err *err) {
    double all[4], records[3], steps[3];
    weir_status status = weir_duck_append_end(times->appender, err);
    times->appender = NULL;
    if (status || (status = ask(times, "SELECT count(*)::DOUBLE, count(DISTINCT e)::DOUBLE, min(t)::DOUBLE, max(t)::DOUBLE FROM times", all, 4, err)))
        return status;
    c->known = all[0] > 0;
    if (!c->known) return WEIR_OK;
    c->entities = (int64_t)all[1];
    c->first_us = (int64_t)all[2];
    c->last_us = (int64_t)all[3];
    if ((status = ask(times, "SELECT min(n)::DOUBLE, median(n)::DOUBLE, max(n)::DOUBLE FROM (SELECT count(*) AS n FROM times GROUP BY e)", records, 3, err)) ||
        (status = weir_duck_exec(
             times->duck,
             "CREATE TABLE steps AS SELECT e, t, d FROM (SELECT e, t, t - lag(t) OVER (PARTITION BY e ORDER BY t) AS d FROM times) WHERE d IS NOT NULL",
             err)) ||
        (status = ask(times,
                      "WITH m AS (SELECT median(d) AS step FROM steps WHERE d > 0) SELECT count(*) FILTER (d = 0)::DOUBLE, (any_value(step) / 1e6)::DOUBLE, "
                      "(count(*) FILTER (d > 0 AND abs(d - step) <= step / 10) / nullif(count(*) FILTER (d > 0), 0))::DOUBLE FROM steps, m",
                      steps, 3, err)))
        return status;
    c->fewest = (int64_t)records[0];
    c->median_records = records[1];
    c->most = (int64_t)records[2];
    c->repeated_times = (int64_t)steps[0];
    c->step_s = steps[1];
    c->regular = steps[2];
    c->coverage = NAN;
    return c->regular >= 0.5 ? find_gaps(times, c, err) : WEIR_OK;
}
