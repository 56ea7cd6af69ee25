/* The features of a view at a time, from a state. */
#include "features/view.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "features/view_internal.h"

/* One evaluation. */
typedef struct view_eval {
    const weir_view *view;
    weir_state *state;
    int64_t t_us;
    const weir_source *upto;
    int without; /* position of a record that is missing for the moment; INT_MAX */
    int end; /* behind the records that count at t */
    double *scratch; /* of the thread; NULL: nothing needs it */
    double *out;
} view_eval;

/* The records of a range: [low, end) of the tail, and what the window says of time. */
typedef struct view_span {
    int low, end;
    int64_t start_us, end_us;
} view_span;

/* Position behind the records that count at t - delay. */
static int end_at(const view_eval *e, int64_t delay_us) {
    return delay_us ? state_upper_bound(e->state, time_minus(e->t_us, delay_us), NULL) : e->end;
}

static void closed_span(const view_eval *e, const view_range *r, int64_t end_us, view_span *ret_span) {
    ret_span->end_us = end_us;
    ret_span->start_us = time_minus(end_us, r->size_us);
    ret_span->end = state_lower_bound(e->state, end_us, ret_span->end);
    ret_span->low = state_lower_bound(e->state, ret_span->start_us, ret_span->end);
}

static void find_span(const view_eval *e, const view_range *r, int end, view_span *ret_span) {
    int64_t now = time_minus(e->t_us, r->delay_us);
    *ret_span = (view_span){.end = end, .end_us = now, .start_us = now};
    switch (r->kind) {
    case WEIR_WINDOW_TUMBLING: closed_span(e, r, floor_to(now, r->size_us), ret_span); break;
    case WEIR_WINDOW_HOPPING: closed_span(e, r, floor_to(now, r->every_us), ret_span); break;
    case WEIR_WINDOW_TO_DATE:
        ret_span->start_us = floor_to(now, r->size_us);
        ret_span->low = state_lower_bound(e->state, ret_span->start_us, end);
        break;
    case WEIR_WINDOW_LAST:
        ret_span->low = end > r->last_n ? end - r->last_n : 0;
        if (ret_span->low < end) {
            ret_span->start_us = e->state->time[e->state->first + ret_span->low];
            ret_span->end_us = e->state->time[e->state->first + end - 1];
        }
        break;
    default: /* (now - size, now]: in whole microseconds it starts one later */
        ret_span->start_us = time_minus(now, r->size_us);
        ret_span->low = state_lower_bound(e->state, time_minus(now, r->size_us - 1), end);
        break;
    }
}

static void find_spans(const view_eval *e, view_span *spans) {
    int end = 0;
    for (int i = 0; i < e->view->range_count; i++) {
        const view_range *r = &e->view->ranges[i];
        if (!i || r->delay_us != r[-1].delay_us) end = end_at(e, r->delay_us);
        find_span(e, r, end, &spans[i]);
    }
}

static void put_value(const view_eval *e, int feature, double value) {
    e->out[feature] = isfinite(value) ? value : e->view->fallbacks[feature];
}

/* --- aggregates in one pass --- */

/* What is known of records [at, end) of one slot, added newest first. */
typedef struct running {
    int at;
    int64_t count; /* not null, and meeting the condition */
    double sum, min, max;
} running;

/* Without branches, for nulls and conditions come as they like. Adding 0 changes no bit: the sum is never -0, having started at 0. */
static void extend(const view_eval *e, const agg_step *s, int low, running *r) {
    const double *values = s->slot >= 0 ? state_slot(e->state, s->slot) : NULL, *where = s->where >= 0 ? state_slot(e->state, s->where) : NULL;
    double sum = r->sum, min = r->min, max = r->max;
    int64_t count = r->count;
    for (int i = r->at - 1; i >= low; i--) {
        double v = values ? values[i] : 0;
        if (where && !is_true(where[i])) v = NAN;
        count += v == v;
        sum += v == v ? v : 0;
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    *r = (running){.at = low < r->at ? low : r->at, .count = count, .sum = sum, .min = min, .max = max};
}

/* The same for what most views ask for: no condition, no minimum or maximum. */
static void extend_sum(const view_eval *e, const agg_step *s, int low, running *r) {
    const double *values = state_slot(e->state, s->slot);
    double sum = r->sum;
    for (int i = r->at - 1; i >= low; i--) sum += values[i];
    if (isnan(sum)) { /* there is a null among them: once more, with care */
        extend(e, s, low, r);
        return;
    }
    r->count += low < r->at ? r->at - low : 0;
    r->at = low < r->at ? low : r->at;
    r->sum = sum;
}

static double agg_value(const agg_step *s, const running *r) {
    if (s->agg == AGG_COUNT) return (double)r->count;
    if (!r->count) return NAN;
    switch (s->agg) {
    case AGG_SUM: return r->sum;
    case AGG_MEAN: return r->sum / (double)r->count;
    case AGG_MIN: return r->min;
    default: return r->max;
    }
}

static void eval_aggs(const view_eval *e, const view_span *spans) {
    running r = {0};
    for (int i = 0; i < e->view->agg_count; i++) {
        const agg_step *s = &e->view->aggs[i];
        const view_span *span = &spans[s->range];
        if (s->slot < 0 && s->where < 0) {
            put_value(e, s->feature, span->end - span->low);
            continue;
        }
        if (s->begins) r = (running){.at = span->end, .min = INFINITY, .max = -INFINITY};
        if (s->where < 0 && !e->view->agg_minmax)
            extend_sum(e, s, span->low, &r);
        else
            extend(e, s, span->low, &r);
        put_value(e, s->feature, agg_value(s, &r));
    }
}

/* --- operators over windows --- */

static double fold_over(const weir_operator *op, const weir_params *params, const weir_window *w, int in_count, int64_t t_us) {
    _Alignas(16) unsigned char acc[WEIR_ACC_MAX];
    double in[WEIR_INPUTS_MAX];
    op->init(acc, params);
    for (int i = 0; i < w->count; i++) {
        for (int k = 0; k < in_count; k++) in[k] = w->in[k][i];
        op->add(acc, w->time_us[i], in_count ? in : NULL, params);
    }
    return op->value(acc, t_us, params);
}

/* Records that meet the condition, copied together. */
typedef struct gathered {
    int64_t *time_us;
    double *in[WEIR_INPUTS_MAX];
    int count;
} gathered;

static gathered gather_into(double *scratch, int room) {
    gathered g = {.time_us = (int64_t *)(void *)scratch};
    for (int i = 0; i < WEIR_INPUTS_MAX; i++) g.in[i] = scratch + (size_t)(i + 1) * (size_t)room;
    return g;
}

static void gather(const view_eval *e, const window_step *s, int position, gathered *g) {
    g->time_us[g->count] = e->state->time[e->state->first + position];
    for (int i = 0; i < s->in_count; i++) g->in[i][g->count] = state_slot(e->state, s->in[i])[position];
    g->count++;
}

/* The newest n that meet the condition, from the tail and, before it, from the base. */
static void gather_last(const view_eval *e, const window_step *s, const view_fold *fold, gathered *g) {
    int end = end_at(e, fold->delay_us), n = 0, from = end;
    while (from > 0 && n < fold->ring) n += state_matches(e->state, s->where, --from);
    const fold_block *base = fold_base(e->state, fold);
    int kept = base ? base->count : 0;
    for (int i = n + kept > fold->ring ? n + kept - fold->ring : 0; i < kept; i++) {
        unsigned char *entry = fold_entry(fold, base, i);
        const double *in = fold_payload(entry);
        g->time_us[g->count] = fold_key(entry);
        for (int k = 0; k < s->in_count; k++) g->in[k][g->count] = in[k];
        g->count++;
    }
    for (; from < end; from++) {
        if (state_matches(e->state, s->where, from)) gather(e, s, from, g);
    }
}

static double eval_window(const view_eval *e, const window_step *s, const view_span *spans) {
    int room = e->state->count + (int)(e->view->block_max / sizeof(double)) + 1;
    const view_fold *fold = s->range < 0 ? &e->view->folds[s->fold] : NULL;
    int64_t delay_us = fold ? fold->delay_us : e->view->ranges[s->range].delay_us;
    weir_window w = {.scratch = e->scratch + (size_t)(WEIR_INPUTS_MAX + 1) * (size_t)room};
    if (s->where >= 0) {
        gathered g = gather_into(e->scratch, room);
        if (fold) {
            gather_last(e, s, fold, &g);
        } else {
            for (int i = spans[s->range].low; i < spans[s->range].end; i++) {
                if (state_matches(e->state, s->where, i)) gather(e, s, i, &g);
            }
        }
        w.count = g.count;
        w.time_us = g.time_us;
        for (int i = 0; i < s->in_count; i++) w.in[i] = g.in[i];
    } else {
        const view_span *span = &spans[s->range];
        w.count = span->end - span->low;
        w.time_us = e->state->time + e->state->first + span->low;
        for (int i = 0; i < s->in_count; i++) w.in[i] = state_slot(e->state, s->in[i]) + span->low;
    }
    w.start_us = fold ? time_minus(e->t_us, delay_us) : spans[s->range].start_us;
    w.end_us = fold ? w.start_us : spans[s->range].end_us;
    if (fold && w.count) {
        w.start_us = w.time_us[0];
        w.end_us = w.time_us[w.count - 1];
    }
    return s->op->eval ? s->op->eval(&w, s->params) : fold_over(s->op, s->params, &w, s->in_count, time_minus(e->t_us, delay_us));
}

/* --- all of them --- */

static void eval_folds(const view_eval *e) {
    int end = 0;
    for (int i = 0; i < e->view->fold_step_count; i++) {
        const fold_step *s = &e->view->fold_steps[i];
        const view_fold *f = &e->view->folds[s->fold];
        if (!i || f->delay_us != e->view->folds[s[-1].fold].delay_us) end = end_at(e, f->delay_us);
        put_value(e, s->feature, fold_value(f, fold_upto(e->view, e->state, s->fold, end, e->without, e->scratch), e->t_us));
    }
}

static void eval_exprs(const view_eval *e) {
    double vars[WEIR_FEATURES_MAX + 1 + VIEW_SLOTS_MAX];
    const weir_view *view = e->view;
    int n = view->def->feature_count, newest = e->end - 1;
    memcpy(vars, e->out, (size_t)n * sizeof(*vars));
    vars[n] = newest >= 0 ? (double)e->state->time[e->state->first + newest] : NAN;
    for (int i = 0; i < view->expr_slot_count; i++) {
        int slot = view->expr_slots[i];
        vars[n + 1 + slot] = newest >= 0 ? state_slot(e->state, slot)[newest] : NAN;
    }
    for (int i = 0; i < view->expr_count; i++) {
        put_value(e, view->exprs[i].feature, weir_expr_eval(view->exprs[i].expr, vars));
        vars[view->exprs[i].feature] = e->out[view->exprs[i].feature];
    }
}

/* Stands in for a state without records, so that there are arrays to point into. */
static int64_t no_time;
static weir_source no_source;
static double no_value;
static weir_state no_records = {.time = &no_time, .source = &no_source, .values = &no_value};

static void eval(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, int without, double *out) {
    if (!state->count) state = &no_records;
    view_eval e = {.view = view, .state = state, .t_us = t_us, .upto = upto, .without = without, .out = out};
    view_span spans[WEIR_FEATURES_MAX];
    if (view->gathers && !(e.scratch = state_scratch(view, state))) abort(); /* never where the state was made: it was reserved there */
    e.end = state_upper_bound(state, t_us, upto);
    find_spans(&e, spans);
    eval_aggs(&e, spans);
    for (int i = 0; i < view->window_count; i++) put_value(&e, view->windows[i].feature, eval_window(&e, &view->windows[i], spans));
    if (view->fold_step_count) eval_folds(&e);
    if (view->expr_count) eval_exprs(&e);
}

void weir_view_eval(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, double *out) {
    eval(view, state, t_us, upto, INT_MAX, out);
}

/* The record goes to the end of the arrays, out of sight, and back. */
static void rotate(const weir_view *view, weir_state *state, int from, int to) {
    size_t at = (size_t)(state->first + from), target = (size_t)(state->first + to);
    size_t low = at < target ? at : target, n = at < target ? target - at : at - target;
    size_t source = at < target ? low + 1 : low, into = at < target ? low : low + 1;
    int64_t time = state->time[at];
    weir_source record_source = state->source[at];
    uint32_t seq = state->seq[at];
    memmove(state->time + into, state->time + source, n * sizeof(time));
    memmove(state->source + into, state->source + source, n * sizeof(record_source));
    memmove(state->seq + into, state->seq + source, n * sizeof(seq));
    state->time[target] = time;
    state->source[target] = record_source;
    state->seq[target] = seq;
    for (int s = 0; s < view->slot_count; s++) {
        double *values = state->values + (size_t)s * (size_t)state->capacity, value = values[at];
        memmove(values + into, values + source, n * sizeof(value));
        values[target] = value;
    }
}

void weir_view_eval_without(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, int without, double *out) {
    rotate(view, state, without, state->count - 1);
    state->count--;
    eval(view, state, t_us, upto, without, out);
    state->count++;
    rotate(view, state, state->count - 1, without);
}

bool weir_view_reaches(const weir_view *view, const weir_state *state, int64_t t_us) {
    if (!state->count || t_us >= time_minus(state->max_time, view->feed->allowed_lateness_us)) return true;
    return state->version == (uint32_t)state->count && !state_leaving(view, state, state->max_time);
}

bool weir_view_expired(const weir_view *view, int64_t newest_us, int64_t t_us) {
    return view->def->ttl_us && newest_us < time_minus(t_us, view->def->ttl_us);
}

weir_answer weir_view_ask(const weir_view *view, weir_state *state, int64_t t_us, const weir_source *upto, double *out, int64_t *ret_newest_us) {
    int end = state_upper_bound(state, t_us, upto);
    *ret_newest_us = end ? state->time[state->first + end - 1] : INT64_MIN;
    weir_answer answer = !weir_view_reaches(view, state, t_us)           ? WEIR_ANSWER_OUT_OF_REACH
                         : !end                                          ? WEIR_ANSWER_NO_RECORD
                         : weir_view_expired(view, *ret_newest_us, t_us) ? WEIR_ANSWER_EXPIRED
                                                                         : WEIR_ANSWER_PRESENT;
    bool at_read = view->def->at == WEIR_AT_READ;
    if (answer == WEIR_ANSWER_PRESENT || (answer == WEIR_ANSWER_NO_RECORD && at_read))
        weir_view_eval(view, state, at_read ? t_us : *ret_newest_us, upto, out);
    else
        for (int i = 0; i < view->def->feature_count; i++) out[i] = NAN;
    return answer;
}
