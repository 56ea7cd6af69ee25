/* Checks that look at other records of an entity: the tail of the primary view has them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/checks.h"
#include "features/view_internal.h"

static bool looks_back(const weir_check_def *check) {
    return check->kind == WEIR_CHECK_PREVIOUS || check->kind == WEIR_CHECK_UNIQUE;
}

/* --- what the state must keep for them --- */

static weir_status keep_column(weir_view *view, int column, weir_err *err) {
    return column == view->feed->time_index ? WEIR_OK : view_column_slot(view, column, &view->check_slots[column], err);
}

static weir_status keep_previous(weir_view *view, const weir_check_def *check, weir_err *err) {
    int count, columns = weir_schema_field_count(view->feed->schema);
    const int *read = weir_expr_variables(check->expr, &count);
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < count; i++) {
        if (read[i] >= columns && read[i] < 2 * columns) status = keep_column(view, read[i] - columns, err);
    }
    return status;
}

weir_status view_compile_checks(weir_view *view, weir_err *err) {
    const weir_pipeline *p = view->pipeline;
    bool previous = false;
    weir_status status = WEIR_OK;
    if (view->def != &p->views[p->primary_view]) return WEIR_OK;
    for (int i = 0; !status && i < p->check_count; i++) {
        const weir_check_def *check = &p->checks[i];
        if (!looks_back(check)) continue;
        view->has_checks = true;
        if (check->kind == WEIR_CHECK_PREVIOUS) {
            previous = true;
            status = keep_previous(view, check, err);
            continue;
        }
        for (int k = 0; !status && k < check->unique_count; k++) status = keep_column(view, check->unique[k], err);
        if (check->within_us > view->keep_us) view->keep_us = check->within_us;
    }
    if (!status && previous) view_keep_newest(view, 0, 1);
    return status;
}

/* --- one record --- */

/* A record that is about to be added. */
typedef struct candidate {
    const weir_view *view;
    const weir_state *state;
    int64_t t_us;
    const weir_datum *row;
    int before; /* position of the record before, -1: there is none */
} candidate;

static double kept(const candidate *c, int column, int position) {
    int i = c->state->first + position;
    if (column == c->view->feed->time_index) return (double)c->state->time[i];
    return state_slot(c->state, c->view->check_slots[column])[position];
}

static weir_status check_previous(const candidate *c, const weir_check_def *check, weir_err *err) {
    double vars[WEIR_CHECK_VARIABLES_MAX];
    const weir_schema *schema = c->view->feed->schema;
    int count, columns = weir_schema_field_count(schema);
    const int *read = weir_expr_variables(check->expr, &count);
    if (c->before < 0) return WEIR_OK; /* whatever not_null says: there is nothing to compare with */
    for (int i = 0; i < count; i++) {
        int v = read[i];
        if (v < columns)
            vars[v] = weir_check_number(&c->row[v]);
        else if (v == weir_check_time_variable(columns, false))
            vars[v] = (double)c->t_us;
        else
            vars[v] = kept(c, v < 2 * columns ? v - columns : c->view->feed->time_index, c->before);
    }
    return weir_check_is_good(check, weir_expr_eval(check->expr, vars)) ? WEIR_OK : weir_check_rule_failed(check, schema, vars, err);
}

static bool same_values(const candidate *c, const weir_check_def *check, const double *values, int position) {
    for (int i = 0; i < check->unique_count; i++) {
        if (kept(c, check->unique[i], position) != values[i]) return false;
    }
    return true;
}

static weir_status check_unique(const candidate *c, const weir_check_def *check, weir_err *err) {
    int64_t within = check->within_us < 0 ? c->view->keep_us : check->within_us;
    double values[WEIR_UNIQUE_COLUMNS_MAX];
    for (int i = 0; i < check->unique_count; i++) {
        values[i] = weir_check_number(&c->row[check->unique[i]]);
        if (isnan(values[i])) return WEIR_OK; /* as in SQL, null is like nothing */
        if (check->unique[i] == c->view->feed->time_index) within = 0; /* the same time is asked for */
    }
    int low = state_lower_bound(c->state, time_minus(c->t_us, within), c->state->count);
    int64_t until;
    if (__builtin_add_overflow(c->t_us, within, &until)) until = INT64_MAX;
    for (int i = low; i < c->state->count && c->state->time[c->state->first + i] <= until; i++) {
        if (!same_values(c, check, values, i)) continue;
        char time[WEIR_TIME_TEXT_MAX];
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found the values of the record of %s (partition %" PRId32 ", offset %" PRId64 "), expected others",
                           check->name, weir_time_format(c->state->time[c->state->first + i], time), c->state->source[c->state->first + i].partition,
                           c->state->source[c->state->first + i].offset);
    }
    return WEIR_OK;
}

bool weir_view_has_checks(const weir_view *view) {
    return view->has_checks;
}

weir_status weir_view_check(const weir_view *view, const weir_state *state, int64_t event_time_us, weir_source source, const weir_datum *row,
                            weir_check_hits *hits, weir_err *err) {
    const weir_pipeline *p = view->pipeline;
    if (!view->has_checks || !state->count) return WEIR_OK;
    int end = state_upper_bound(state, event_time_us, NULL);
    if (state_is_there(state, event_time_us, source) || event_time_us < time_minus(state->max_time, view->feed->allowed_lateness_us)) return WEIR_OK;
    const candidate c = {.view = view, .state = state, .t_us = event_time_us, .row = row, .before = end - 1};
    for (int i = 0; i < p->check_count; i++) {
        const weir_check_def *check = &p->checks[i];
        if (!looks_back(check)) continue;
        weir_err why;
        weir_status status = check->kind == WEIR_CHECK_PREVIOUS ? check_previous(&c, check, &why) : check_unique(&c, check, &why);
        if (!status) continue;
        weir_check_hit(hits, i);
        if (check->severity != WEIR_REJECTS) continue;
        if (err) *err = why;
        return status;
    }
    return WEIR_OK;
}
