/* From the definition of a view to what is computed for a record and when it is read. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/checks.h"
#include "features/view_internal.h"

static weir_status no_memory(const weir_view_def *def, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", def->name);
}

/* --- slots --- */

static int slot_index(const weir_view *view, const char *text) {
    for (int i = 0; i < view->slot_count; i++) {
        if (!strcmp(view->slots[i].text, text)) return i;
    }
    return -1;
}

/* Takes expr. */
static weir_status add_slot(weir_view *view, const char *text, int column, weir_expr *expr, int *ret_slot, weir_err *err) {
    size_t len = strlen(text) + 1;
    view_slot slot = {.column = column, .expr = expr, .hash = view_hash(VIEW_HASH_START, text, len)};
    weir_status status = WEIR_OK;
    if (view->slot_count == VIEW_SLOTS_MAX)
        status = WEIR_FAIL(err, WEIR_EINVAL, "view %s reads more than %d columns and expressions", view->def->name, VIEW_SLOTS_MAX);
    for (int i = 0; !status && i < view->slot_count; i++) { /* stored states could not tell them apart */
        if (view->slots[i].hash == slot.hash)
            status = WEIR_FAIL(err, WEIR_EINVAL, "view %s: \"%s\" and \"%s\" have the same hash; write one of them in another way", view->def->name,
                               view->slots[i].text, text);
    }
    if (!status && !(slot.text = weir_mem.realloc(NULL, len))) status = no_memory(view->def, err);
    if (status) {
        weir_expr_free(expr);
        return status;
    }
    memcpy(slot.text, text, len);
    *ret_slot = view->slot_count;
    view->slots[view->slot_count++] = slot;
    return WEIR_OK;
}

weir_status view_column_slot(weir_view *view, int column, int *ret_slot, weir_err *err) {
    const char *name = weir_schema_field_at(view->feed->schema, column)->name;
    *ret_slot = slot_index(view, name);
    return *ret_slot >= 0 ? WEIR_OK : add_slot(view, name, column, NULL, ret_slot, err);
}

static int find_column(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    const weir_view *view = context;
    int column = weir_schema_find(view->feed->schema, name);
    *ret_hint = NULL;
    if (column >= 0) *ret_text = weir_schema_field_at(view->feed->schema, column)->type == WEIR_T_STR;
    return column;
}

/* Lists belong to the pipeline; names are found by whoever knows the columns. */
typedef struct name_scope {
    weir_view *view;
    weir_status status; /* of slots that were added for names */
    weir_err *err;
} name_scope;

static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    const name_scope *scope = context;
    return weir_pipeline_find_list((void *)(uintptr_t)scope->view->pipeline, name, ret_values, ret_count, ret_texts);
}

static int find_in_feed(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    return find_column(((name_scope *)context)->view, name, ret_text, ret_hint);
}

/* The slot of an "of" or "where". */
static weir_status text_slot(weir_view *view, const char *text, int *ret_slot, weir_err *err) {
    int column = weir_schema_find(view->feed->schema, text);
    if (column >= 0) return view_column_slot(view, column, ret_slot, err);
    name_scope scope = {.view = view};
    const weir_expr_names names = {.context = &scope, .find = find_in_feed, .find_list = find_list};
    weir_expr *expr;
    weir_status status = weir_expr_new(text, &names, &expr, err);
    if (status) return weir_err_prefix(err, "view %s: \"%.100s\"", view->def->name, text);
    const char *canonical = weir_expr_text(expr);
    column = weir_schema_find(view->feed->schema, canonical);
    *ret_slot = slot_index(view, canonical);
    if (*ret_slot < 0 && column < 0) return add_slot(view, canonical, -1, expr, ret_slot, err);
    weir_expr_free(expr);
    return *ret_slot >= 0 ? WEIR_OK : view_column_slot(view, column, ret_slot, err);
}

static int compare_ints(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static void add_once(int *list, int *count, int value) {
    for (int i = 0; i < *count; i++) {
        if (list[i] == value) return;
    }
    list[(*count)++] = value;
}

static weir_status list_columns(weir_view *view, weir_err *err) {
    int n = weir_schema_field_count(view->feed->schema);
    if (n > VIEW_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "view %s: the schema has %d columns, at most %d are read", view->def->name, n, VIEW_COLUMNS_MAX);
    for (int i = 0; i < view->slot_count; i++) {
        const view_slot *slot = &view->slots[i];
        int count = 0;
        const int *read = slot->expr ? weir_expr_variables(slot->expr, &count) : NULL;
        if (!slot->expr) add_once(view->columns, &view->column_count, slot->column);
        for (int k = 0; k < count; k++) {
            add_once(view->columns, &view->column_count, read[k]);
            add_once(view->expr_columns, &view->expr_column_count, read[k]);
        }
    }
    qsort(view->columns, (size_t)view->column_count, sizeof(*view->columns), compare_ints);
    return WEIR_OK;
}

/* --- features --- */

static int compare_ranges(const void *a, const void *b) {
    const view_range *x = a, *y = b;
    if (x->delay_us != y->delay_us) return x->delay_us < y->delay_us ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->size_us != y->size_us) return x->size_us < y->size_us ? -1 : 1;
    if (x->every_us != y->every_us) return x->every_us < y->every_us ? -1 : 1;
    return x->last_n - y->last_n;
}

static int range_index(weir_view *view, const weir_feature_def *f) {
    view_range range = {.kind = f->window, .delay_us = f->delay_us, .size_us = f->window_us, .every_us = f->every_us};
    if (f->window == WEIR_WINDOW_LAST) range = (view_range){.kind = f->window, .delay_us = f->delay_us, .last_n = f->last_n};
    for (int i = 0; i < view->range_count; i++) {
        if (!compare_ranges(&view->ranges[i], &range)) return i;
    }
    view->ranges[view->range_count] = range;
    return view->range_count++;
}

static view_agg agg_of(const weir_feature_def *f) {
    static const char *const names[] = {[AGG_COUNT] = "count", [AGG_SUM] = "sum", [AGG_MEAN] = "mean", [AGG_MIN] = "min", [AGG_MAX] = "max"};
    if (f->window != WEIR_WINDOW_SLIDING) return AGG_NONE;
    for (int i = 0; i < AGG_NONE; i++) {
        if (!strcmp(names[i], f->op->name)) return (view_agg)i;
    }
    return AGG_NONE;
}

static uint32_t hash_slot(const weir_view *view, int slot, uint32_t hash) {
    const char *text = slot >= 0 ? view->slots[slot].text : "";
    return view_hash(hash, text, strlen(text) + 1);
}

static uint32_t hash_fold(const weir_view *view, const view_fold *f) {
    int64_t numbers[] = {f->kind, f->delay_us, f->size_us, f->window_us, f->kind == WEIR_WINDOW_LAST ? f->ring : 0, f->in_count, (int64_t)f->acc_size};
    uint32_t hash = view_hash(VIEW_HASH_START, numbers, sizeof(numbers));
    if (f->acc_size) {
        hash = view_hash(hash, f->op->name, strlen(f->op->name) + 1);
        hash = view_hash(hash, f->params->value, sizeof(f->params->value));
    }
    for (int i = 0; i < f->in_count; i++) hash = hash_slot(view, f->in[i], hash);
    return hash_slot(view, f->where, hash);
}

/* Equal folds are kept once. */
static weir_status add_fold(weir_view *view, const weir_feature_def *def, view_fold fold, int *ret_fold, weir_err *err) {
    fold.payload = fold.acc_size ? (fold.acc_size + 7) / 8 * 8 : (size_t)fold.in_count * sizeof(double);
    fold.hash = hash_fold(view, &fold);
    for (*ret_fold = 0; *ret_fold < view->fold_count; ++*ret_fold) {
        if (view->folds[*ret_fold].hash == fold.hash) return WEIR_OK;
    }
    size_t size = fold_block_size(&fold);
    if (size > VIEW_BLOCK_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: its %d %s of %zu bytes are more than the %d bytes that a state may hold for one feature%s", def->name,
                         fold.ring, fold.acc_size ? "tiles" : "records", fold_entry_size(&fold), VIEW_BLOCK_MAX, fold.acc_size ? "; take larger tiles" : "");
    fold.offset = view->fold_bytes;
    view->fold_bytes += size;
    if (size > view->block_max) view->block_max = size;
    view->folds[view->fold_count++] = fold;
    return WEIR_OK;
}

static weir_status compile_fold(weir_view *view, int feature, view_fold fold, weir_err *err) {
    const weir_feature_def *f = &view->def->features[feature];
    fold_step *step = &view->fold_steps[view->fold_step_count];
    if (!f->op->acc_size || !f->op->add)
        return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: operator %s needs its records at hand, it has no value over a window without an end", f->name,
                         f->op->name);
    fold.acc_size = f->op->acc_size(&f->params);
    if (!fold.acc_size || fold.acc_size > WEIR_ACC_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: operator %s asks for an accumulator of %zu bytes, expected 1 to %d", f->name, f->op->name,
                         fold.acc_size, WEIR_ACC_MAX);
    if (fold.kind == WEIR_WINDOW_SLIDING) {
        if (!f->op->merge) return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: operator %s cannot be merged from tiles", f->name, f->op->name);
        int64_t tiles = f->window_us / f->tile_us + 2;
        if (tiles > VIEW_BLOCK_MAX)
            return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: %" PRId64 " tiles are more than a state may hold; take larger tiles", f->name, tiles);
        fold.ring = (int)tiles;
        fold.size_us = f->tile_us;
        fold.window_us = f->window_us;
    }
    view->gathers = true;
    view->fold_step_count++;
    step->feature = feature;
    if (f->delay_us > view->keep_us) view->keep_us = f->delay_us;
    return add_fold(view, f, fold, &step->fold, err);
}

static int64_t plus(int64_t a, int64_t b) {
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

/* How far back records count, from the time of the value; INT64_MAX: without an end. */
static int64_t reach_of(const weir_feature_def *f) {
    switch (f->window) {
    case WEIR_WINDOW_SLIDING: return plus(f->delay_us, plus(f->window_us, f->tile_us));
    case WEIR_WINDOW_TUMBLING: return plus(f->delay_us, plus(f->window_us, f->window_us));
    case WEIR_WINDOW_HOPPING: return plus(f->delay_us, plus(f->window_us, f->every_us));
    case WEIR_WINDOW_TO_DATE: return plus(f->delay_us, f->window_us);
    default: return INT64_MAX;
    }
}

void view_keep_newest(weir_view *view, int64_t delay_us, int n) {
    for (int i = 0; i < view->keep_count; i++) {
        keep_last *keep = &view->keeps[i];
        if (keep->delay_us != delay_us) continue;
        if (n > keep->n) keep->n = n;
        return;
    }
    view->keeps[view->keep_count++] = (keep_last){.delay_us = delay_us, .n = n};
}

static weir_status compile_window(weir_view *view, int feature, view_fold fold, weir_err *err) {
    const weir_feature_def *f = &view->def->features[feature];
    view_agg agg = agg_of(f);
    window_step step = {.range = -1, .op = f->op, .params = &f->params, .in_count = f->of_count, .where = fold.where, .feature = feature};
    memcpy(step.in, fold.in, sizeof(step.in));
    if (f->window == WEIR_WINDOW_LAST && fold.where >= 0) {
        fold.ring = f->last_n;
        if (f->delay_us > view->keep_us) view->keep_us = f->delay_us;
        weir_status status = add_fold(view, f, fold, &step.fold, err);
        if (status) return status;
    } else {
        step.range = range_index(view, f);
        if (f->window == WEIR_WINDOW_LAST)
            view_keep_newest(view, f->delay_us, f->last_n);
        else if (reach_of(f) > view->keep_us)
            view->keep_us = reach_of(f);
    }
    if (agg != AGG_NONE) {
        view->agg_minmax |= agg == AGG_MIN || agg == AGG_MAX;
        view->aggs[view->agg_count++] =
            (agg_step){.range = step.range, .slot = f->of_count ? step.in[0] : -1, .where = step.where, .agg = agg, .feature = feature};
        return WEIR_OK;
    }
    view->gathers = true;
    view->windows[view->window_count++] = step;
    return WEIR_OK;
}

static weir_status compile_operator(weir_view *view, int feature, weir_err *err) {
    const weir_feature_def *f = &view->def->features[feature];
    view_fold fold = {.kind = f->window,
                      .op = f->op,
                      .params = &f->params,
                      .in_count = f->of_count,
                      .where = -1,
                      .delay_us = f->delay_us,
                      .size_us = f->window == WEIR_WINDOW_SESSION || f->window == WEIR_WINDOW_TO_DATE ? f->window_us : 0,
                      .ring = 1};
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < f->of_count; i++) status = text_slot(view, f->of[i], &fold.in[i], err);
    if (!status && f->where) status = text_slot(view, f->where, &fold.where, err);
    if (status) return weir_err_prefix(err, "feature %s", f->name);
    if (reach_of(f) > view->horizon_us) view->horizon_us = reach_of(f);
    bool folded = f->window == WEIR_WINDOW_ALL || f->window == WEIR_WINDOW_SESSION || (f->window == WEIR_WINDOW_TO_DATE && f->op->add) ||
                  (f->window == WEIR_WINDOW_SLIDING && f->tile_us);
    return folded ? compile_fold(view, feature, fold, err) : compile_window(view, feature, fold, err);
}

/* --- expressions over features --- */

/* Variables: features by index, then the event time, then slots; those of columns are made as they are found. */
static int find_name(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    name_scope *scope = context;
    weir_view *view = scope->view;
    int n = view->def->feature_count, slot, column = find_column(view, name, ret_text, ret_hint);
    if (column >= 0) {
        if (!scope->status) scope->status = view_column_slot(view, column, &slot, scope->err);
        if (scope->status) return -1;
        add_once(view->expr_slots, &view->expr_slot_count, slot);
        return n + 1 + slot;
    }
    *ret_text = false;
    if (!strcmp(name, "event_time")) return n;
    for (int i = 0; i < n; i++) {
        if (!strcmp(view->def->features[i].name, name)) return i;
    }
    return -1;
}

static weir_status compile_expr(weir_view *view, int feature, weir_err *err) {
    const weir_feature_def *f = &view->def->features[feature];
    name_scope scope = {.view = view, .err = err};
    const weir_expr_names names = {.context = &scope, .find = find_name, .find_list = find_list};
    expr_step *step = &view->exprs[view->expr_count];
    weir_err why = {0}; /* apart from err, which may hold why a slot could not be made: the parser then complains of a name that it knows */
    weir_status status = weir_expr_new(f->expr, &names, &step->expr, &why);
    if (scope.status) {
        if (!status) weir_expr_free(step->expr);
        return scope.status;
    }
    if (status) {
        if (err) *err = why;
        return weir_err_prefix(err, "feature %s", f->name);
    }
    step->feature = feature;
    view->expr_count++;
    return WEIR_OK;
}

static int expr_of(const weir_view *view, int from, int feature) {
    for (int i = from; i < view->expr_count; i++) {
        if (view->exprs[i].feature == feature) return i;
    }
    return -1;
}

/* The first of exprs [done, count) that is read by none before it and reads none behind it; -1: they go round in circles. */
static int next_ready(const weir_view *view, int done) {
    for (int i = done; i < view->expr_count; i++) {
        int count;
        const int *read = weir_expr_variables(view->exprs[i].expr, &count);
        bool ready = true;
        for (int k = 0; k < count; k++) ready &= expr_of(view, done, read[k]) < 0;
        if (ready) return i;
    }
    return -1;
}

/* Names the features of a circle among exprs [done, count), of which each reads another. */
static weir_status circle(const weir_view *view, int done, weir_err *err) {
    char text[256] = "";
    int at = done;
    for (int steps = 0; steps < 2 * view->expr_count; steps++) {
        int count, next = -1;
        const int *read = weir_expr_variables(view->exprs[at].expr, &count);
        for (int k = 0; next < 0 && k < count; k++) next = expr_of(view, done, read[k]);
        if (steps >= view->expr_count) { /* whoever comes after so many is in the circle */
            const char *name = view->def->features[view->exprs[at].feature].name;
            size_t len = strlen(text);
            if (strstr(text, name)) break;
            snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "", name);
        }
        at = next;
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "view %s: features read each other in a circle: %s", view->def->name, text);
}

static weir_status order_exprs(weir_view *view, weir_err *err) {
    for (int done = 0; done < view->expr_count; done++) {
        int i = next_ready(view, done);
        if (i < 0) return circle(view, done, err);
        expr_step first = view->exprs[i];
        memmove(view->exprs + done + 1, view->exprs + done, (size_t)(i - done) * sizeof(first));
        view->exprs[done] = first;
    }
    return WEIR_OK;
}

/* --- order of evaluation --- */

/* Ranges by delay; steps follow their range to its new place. */
static weir_status order_ranges(weir_view *view, weir_err *err) {
    size_t n = (size_t)view->range_count;
    if (!n) return WEIR_OK;
    view_range *old = weir_mem.realloc(NULL, n * sizeof(*old));
    if (!old) return no_memory(view->def, err);
    memcpy(old, view->ranges, n * sizeof(*old));
    qsort(view->ranges, n, sizeof(*view->ranges), compare_ranges);
    for (int i = 0; i < view->agg_count + view->window_count; i++) {
        int *range = i < view->agg_count ? &view->aggs[i].range : &view->windows[i - view->agg_count].range, at = 0;
        if (*range < 0) continue;
        while (compare_ranges(&view->ranges[at], &old[*range])) at++;
        *range = at;
    }
    free(old);
    return WEIR_OK;
}

/* Ranges are ordered by delay, then size: so are the steps of a slot, by their index. */
static int compare_aggs(const void *a, const void *b) {
    const agg_step *x = a, *y = b;
    if (x->where != y->where) return x->where - y->where;
    if (x->slot != y->slot) return x->slot - y->slot;
    if (x->range != y->range) return x->range - y->range;
    return x->feature - y->feature;
}

/* A pass begins where condition, slot or delay change. */
static void order_aggs(weir_view *view) {
    qsort(view->aggs, (size_t)view->agg_count, sizeof(*view->aggs), compare_aggs);
    for (int i = 0; i < view->agg_count; i++) {
        agg_step *s = &view->aggs[i];
        s->begins = !i || s[-1].where != s->where || s[-1].slot != s->slot || view->ranges[s[-1].range].delay_us != view->ranges[s->range].delay_us;
    }
}

/* Steps have at most as many as there are features, so insertion does. */
static void order_fold_steps(weir_view *view) {
    for (int i = 1; i < view->fold_step_count; i++) {
        fold_step step = view->fold_steps[i];
        int at = i;
        for (; at > 0 && view->folds[view->fold_steps[at - 1].fold].delay_us > view->folds[step.fold].delay_us; at--)
            view->fold_steps[at] = view->fold_steps[at - 1];
        view->fold_steps[at] = step;
    }
}

/* --- the view --- */

static void *array(size_t count, size_t size) {
    void *p = weir_mem.realloc(NULL, count * size);
    return p ? memset(p, 0, count * size) : NULL;
}

static weir_status allocate(weir_view *view, weir_err *err) {
    size_t n = (size_t)view->def->feature_count + 1, fields = (size_t)weir_schema_field_count(view->feed->schema) + 1;
    bool ok = (view->slots = array(VIEW_SLOTS_MAX, sizeof(*view->slots))) && (view->columns = array(fields, sizeof(int))) &&
              (view->expr_columns = array(fields, sizeof(int))) && (view->ranges = array(n, sizeof(*view->ranges))) &&
              (view->aggs = array(n, sizeof(*view->aggs))) && (view->windows = array(n, sizeof(*view->windows))) &&
              (view->folds = array(n, sizeof(*view->folds))) && (view->fold_steps = array(n, sizeof(*view->fold_steps))) &&
              (view->exprs = array(n, sizeof(*view->exprs))) && (view->expr_slots = array(VIEW_SLOTS_MAX, sizeof(int))) &&
              (view->keeps = array(n, sizeof(*view->keeps))) && (view->check_slots = array(fields, sizeof(int))) &&
              (view->fallbacks = array(n, sizeof(double)));
    return ok ? WEIR_OK : no_memory(view->def, err);
}

static weir_status compile(weir_view *view, weir_err *err) {
    const weir_view_def *def = view->def;
    weir_status status = allocate(view, err);
    for (int i = 0; !status && i < def->entity_count; i++) {
        view->entity_columns[i] = weir_schema_find(view->feed->schema, def->entity[i]);
        if (view->entity_columns[i] < 0) status = WEIR_FAIL(err, WEIR_EINVAL, "view %s: the schema has no column %s", def->name, def->entity[i]);
    }
    for (int i = 0; !status && i < def->feature_count; i++) {
        view->fallbacks[i] = def->features[i].fallback;
        status = def->features[i].op ? compile_operator(view, i, err) : compile_expr(view, i, err);
    }
    if (!status) status = view_compile_checks(view, err);
    if (!status) status = list_columns(view, err);
    if (!status) status = order_exprs(view, err);
    if (!status) status = order_ranges(view, err);
    if (status) return status;
    order_aggs(view);
    order_fold_steps(view);
    return WEIR_OK;
}

weir_status weir_view_new(const weir_pipeline *pipeline, const weir_view_def *def, weir_view **ret_view, weir_err *err) {
    weir_view *view = weir_mem.realloc(NULL, sizeof(*view));
    if (!view) return no_memory(def, err);
    *view = (weir_view){.pipeline = pipeline, .def = def, .feed = def->from == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events};
    weir_status status = compile(view, err);
    if (status)
        weir_view_free(view);
    else
        *ret_view = view;
    return status;
}

void weir_view_free(weir_view *view) {
    if (!view) return;
    for (int i = 0; i < view->slot_count; i++) {
        free(view->slots[i].text);
        weir_expr_free(view->slots[i].expr);
    }
    for (int i = 0; i < view->expr_count; i++) weir_expr_free(view->exprs[i].expr);
    free(view->slots);
    free(view->columns);
    free(view->expr_columns);
    free(view->ranges);
    free(view->aggs);
    free(view->windows);
    free(view->folds);
    free(view->fold_steps);
    free(view->exprs);
    free(view->expr_slots);
    free(view->keeps);
    free(view->check_slots);
    free(view->fallbacks);
    free(view);
}

const weir_view_def *weir_view_def_of(const weir_view *view) {
    return view->def;
}
const weir_feed_def *weir_view_feed(const weir_view *view) {
    return view->feed;
}
const int *weir_view_entity_columns(const weir_view *view) {
    return view->entity_columns;
}
int64_t weir_view_horizon_us(const weir_view *view) {
    return view->horizon_us;
}
int weir_view_slot_count(const weir_view *view) {
    return view->slot_count;
}
const char *weir_view_slot_text(const weir_view *view, int slot) {
    return view->slots[slot].text;
}
int weir_view_slot_column(const weir_view *view, int slot) {
    return view->slots[slot].column;
}
const int *weir_view_columns(const weir_view *view, int *ret_count) {
    *ret_count = view->column_count;
    return view->columns;
}

void weir_view_slots(const weir_view *view, const weir_datum *row, double *slots) {
    double vars[VIEW_COLUMNS_MAX];
    for (int i = 0; i < view->expr_column_count; i++) vars[view->expr_columns[i]] = weir_check_number(&row[view->expr_columns[i]]);
    for (int i = 0; i < view->slot_count; i++) {
        const view_slot *slot = &view->slots[i];
        slots[i] = slot->expr ? weir_expr_eval(slot->expr, vars) : weir_check_number(&row[slot->column]);
    }
}
