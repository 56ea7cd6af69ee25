/* The features of the pipeline file: operators over windows, and expressions. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/expr.h"
#include "features/pipeline_file.h"

enum { LAST_MAX = 1 << 15 }; /* half of what a state may hold, so that late records find room beside them */

static const char *const operator_keys[] = {"name", "op", "agg", "of", "where", "window", "delay", "default", "hidden", "was", "unit", "doc", NULL};
static const char *const expr_keys[] = {"name", "expr", "default", "hidden", "was", "unit", "doc", NULL};

/* --- names in expressions --- */

/* Variables: columns of the feed, then the event time, then the view's features. */
typedef struct scope {
    const weir_pipeline *pipeline;
    const weir_feed_def *feed;
    const weir_view_def *view; /* NULL: columns only, as in "of" and "where" */
} scope;

static const char *nearest_name(const scope *s, const char *name) {
    int columns = weir_schema_field_count(s->feed->schema), features = s->view ? s->view->feature_count : 0, n = 0;
    const char **all = weir_mem.realloc(NULL, sizeof(*all) * (size_t)(columns + features + 2));
    if (!all) return NULL; /* the complaint does without */
    for (int i = 0; i < columns; i++) all[n++] = weir_schema_field_at(s->feed->schema, i)->name;
    for (int i = 0; i < features; i++) all[n++] = s->view->features[i].name;
    if (s->view) all[n++] = "event_time";
    all[n] = NULL;
    const char *near = weir_conf_nearest(name, all);
    free(all);
    return near;
}

static int find_name(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    const scope *s = context;
    int columns = weir_schema_field_count(s->feed->schema), column = weir_schema_find(s->feed->schema, name);
    *ret_text = false;
    *ret_hint = NULL;
    if (column >= 0) {
        weir_type type = weir_schema_field_at(s->feed->schema, column)->type;
        *ret_text = type == WEIR_T_STR;
        return type == WEIR_T_BYTES ? -1 : column; /* bytes have no value to compute with */
    }
    if (s->view && !strcmp(name, "event_time")) return columns;
    for (int i = 0; s->view && i < s->view->feature_count; i++) {
        if (!strcmp(s->view->features[i].name, name)) return columns + 1 + i;
    }
    *ret_hint = nearest_name(s, name);
    return -1;
}

static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    const scope *s = context;
    return weir_pipeline_find_list((void *)(uintptr_t)s->pipeline, name, ret_values, ret_count, ret_texts);
}

/* Compiles, to see whether it can be. texts: it may be one. */
static weir_status compile(const scope *s, const char *text, const char *at, bool texts, weir_expr **ret_expr, weir_err *err) {
    weir_expr_names names = {.context = (void *)(uintptr_t)s, .find = find_name, .find_list = find_list};
    weir_status status = weir_expr_new(text, &names, ret_expr, err);
    if (status) return weir_err_prefix(err, "%s", at);
    if (!weir_expr_is_text(*ret_expr) || texts) return WEIR_OK;
    weir_expr_free(*ret_expr);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found a text (%.64s), expected a number", at, text);
}

static weir_status check_expr(const scope *s, const char *text, const char *at, bool texts, weir_err *err) {
    weir_expr *expr;
    weir_status status = compile(s, text, at, texts, &expr, err);
    if (!status) weir_expr_free(expr);
    return status;
}

/* --- windows --- */

static const char *const window_keys[] = {"sliding", "last", "tumbling", "hopping", "session", "to_date", "every", "tile", NULL};
static const struct {
    const char *name;
    weir_window_kind kind;
} windows[] = {{"sliding", WEIR_WINDOW_SLIDING}, {"last", WEIR_WINDOW_LAST},       {"tumbling", WEIR_WINDOW_TUMBLING},
               {"hopping", WEIR_WINDOW_HOPPING}, {"session", WEIR_WINDOW_SESSION}, {"to_date", WEIR_WINDOW_TO_DATE},
               {"all", WEIR_WINDOW_ALL}};
enum { WINDOW_KINDS = sizeof(windows) / sizeof(*windows) };

#define WINDOW_FORMS "a duration, \"all\", or an object with one of \"sliding\", \"last\", \"tumbling\", \"hopping\", \"session\", \"to_date\""

static const char *window_name(weir_window_kind kind) {
    int i = 0;
    while (windows[i].kind != kind) i++;
    return windows[i].name;
}

static weir_status positive_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) {
    weir_status status = pf_get_duration(json, at, key, ret_us, err);
    return status || *ret_us > 0 ? status : pf_wrong(pf_get(json, key), pf_below(at, key).text, "a duration above 0", err);
}

/* {"hopping": "1h", "every": "10m"} and its like. */
static weir_status parse_window_object(const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    const char *kind = NULL;
    int64_t n = 0;
    weir_status status = pf_need_object(json, at, window_keys, err);
    for (int i = 0; !status && i < WINDOW_KINDS; i++) {
        if (!pf_get(json, windows[i].name)) continue;
        if (kind) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%s\" and \"%s\", expected one of them", at, kind, windows[i].name);
        kind = windows[i].name;
        f->window = windows[i].kind;
    }
    if (status) return status;
    if (!kind) return pf_wrong(json, at, WINDOW_FORMS, err);
    if (pf_get(json, "every") && f->window != WEIR_WINDOW_HOPPING)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: it goes with \"hopping\", not with \"%s\"", pf_below(at, "every").text, kind);
    if (pf_get(json, "tile") && f->window != WEIR_WINDOW_SLIDING)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: it goes with \"sliding\", not with \"%s\"", pf_below(at, "tile").text, kind);
    if (f->window == WEIR_WINDOW_LAST) {
        if ((status = pf_get_int(json, at, kind, 1, LAST_MAX, &n, err))) return status;
        f->last_n = (int)n;
        return WEIR_OK;
    }
    if ((status = positive_duration(json, at, kind, &f->window_us, err))) return status;
    if (f->window == WEIR_WINDOW_HOPPING) {
        status = positive_duration(json, at, "every", &f->every_us, err);
        if (!status && f->every_us > f->window_us) status = pf_wrong(pf_get(json, "every"), pf_below(at, "every").text, "no more than the window", err);
    }
    if (!pf_get(json, "tile") || (status = positive_duration(json, at, "tile", &f->tile_us, err))) return status;
    if (!f->op->merge) return WEIR_FAIL(err, WEIR_EINVAL, "%s: operator %s cannot be put together from tiles", pf_below(at, "tile").text, f->op->name);
    return f->window_us % f->tile_us
               ? pf_wrong(pf_get(json, "tile"), pf_below(at, "tile").text, "a part that fits into the window a whole number of times", err)
               : WEIR_OK;
}

/* Index of an operator's parameter, -1 when it has none of that name. */
static int find_param(const weir_operator *op, const char *name) {
    for (int i = 0; op->params && op->params[i].name; i++) {
        if (!strcmp(op->params[i].name, name)) return i;
    }
    return -1;
}

/* Records that the parameters imply; 0: none. */
static double implied_records(const weir_feature_def *f) {
    int n = find_param(f->op, "n");
    if (!(f->op->windows & 1u << WEIR_WINDOW_LAST)) return 0;
    if (f->op->records) return f->op->records(&f->params);
    return n < 0 ? 0 : f->params.value[n];
}

/* Without "window": there is only "all", or parameters that imply a count of records. */
static weir_status implied_window(const char *at, weir_feature_def *f, weir_err *err) {
    double records = implied_records(f);
    f->window = WEIR_WINDOW_ALL;
    if (f->op->windows == 1u << WEIR_WINDOW_ALL) return WEIR_OK;
    if (records < 1) return pf_wrong(NULL, pf_below(at, "window").text, WINDOW_FORMS, err);
    if (records > LAST_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found parameters that take %g records, expected at most %d", at, records, LAST_MAX);
    f->window = WEIR_WINDOW_LAST;
    f->last_n = (int)records;
    return WEIR_OK;
}

static weir_status parse_window(const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    const cJSON *window = pf_get(json, "window");
    const char *text = cJSON_GetStringValue(window);
    pf_path here = pf_below(at, "window");
    weir_status status = WEIR_OK;
    if (!window)
        status = implied_window(at, f, err);
    else if (cJSON_IsObject(window))
        status = parse_window_object(window, here.text, f, err);
    else if (!text)
        status = pf_wrong(window, here.text, WINDOW_FORMS, err);
    else if (strcmp(text, "all"))
        status = positive_duration(json, at, "window", &f->window_us, err);
    else
        f->window = WEIR_WINDOW_ALL;
    if (status || f->op->windows & 1u << f->window) return status;
    char offered[128] = "";
    for (int i = 0, len = 0; i < WINDOW_KINDS; i++) {
        if (f->op->windows & 1u << windows[i].kind) len += snprintf(offered + len, sizeof(offered) - (size_t)len, "%s%s", len ? ", " : "", windows[i].name);
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: operator %s has no window \"%s\"; expected one of: %s", here.text, f->op->name, window_name(f->window), offered);
}

/* How far before its value's time a feature reaches; counts, sessions and "all" reach as far as there are records. */
static int64_t reach_us(const weir_feature_def *f) {
    int64_t beyond = f->window == WEIR_WINDOW_TUMBLING  ? f->window_us
                     : f->window == WEIR_WINDOW_HOPPING ? f->every_us
                                                        : 0; /* a closed window ended that long ago at most */
    return f->window_us + beyond + f->delay_us;
}

/* --- parameters --- */

static weir_status in_range(const cJSON *json, const char *at, const weir_param_def *def, double value, weir_err *err) {
    if (def->min >= def->max || (value >= def->min && value <= def->max)) return WEIR_OK;
    bool duration = def->type == WEIR_PARAM_DURATION, from = isfinite(def->min), to = isfinite(def->max);
    const char *what = duration ? "a duration" : def->type == WEIR_PARAM_WHOLE ? "a whole number" : "a number", *unit = duration ? "s" : "";
    double low = duration ? def->min / 1e6 : def->min, high = duration ? def->max / 1e6 : def->max;
    pf_path expected = from && to ? pf_path_of("%s from %.15g%s to %.15g%s", what, low, unit, high, unit)
                                  : pf_path_of("%s of at %s %.15g%s", what, from ? "least" : "most", from ? low : high, unit);
    return pf_wrong(json, at, expected.text, err);
}

static weir_status parse_choice(const cJSON *json, const char *at, const weir_param_def *def, double *ret_value, weir_err *err) {
    const char *text = cJSON_GetStringValue(json);
    if (!text) return pf_wrong(json, at, "a text", err);
    int i = 0;
    while (def->choices[i] && strcmp(def->choices[i], text)) i++;
    *ret_value = i;
    return def->choices[i] ? WEIR_OK : pf_unknown(at, def->name, text, def->choices, err);
}

static weir_status parse_param(const cJSON *json, const char *at, const weir_param_def *def, double *ret_value, weir_err *err) {
    pf_path here = pf_below(at, def->name);
    const cJSON *value = pf_get(json, def->name);
    const char *text = cJSON_GetStringValue(value);
    int64_t us = 0;
    weir_status status;
    switch (def->type) {
    case WEIR_PARAM_NUMBER:
    case WEIR_PARAM_WHOLE:
        if (!cJSON_IsNumber(value) || (def->type == WEIR_PARAM_WHOLE && value->valuedouble != floor(value->valuedouble)))
            return pf_wrong(value, here.text, def->type == WEIR_PARAM_WHOLE ? "a whole number" : "a number", err);
        *ret_value = value->valuedouble;
        return in_range(value, here.text, def, *ret_value, err);
    case WEIR_PARAM_DURATION:
        if ((status = pf_get_duration(json, at, def->name, &us, err))) return status;
        *ret_value = (double)us;
        return in_range(value, here.text, def, *ret_value, err);
    case WEIR_PARAM_CHOICE: return parse_choice(value, here.text, def, ret_value, err);
    case WEIR_PARAM_TEXT: break;
    }
    if (!text) return pf_wrong(value, here.text, "a text", err);
    *ret_value = weir_text_number(text, strlen(text));
    return WEIR_OK;
}

static weir_status parse_params(const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    const weir_param_def *defs = f->op->params;
    for (int i = 0; defs && defs[i].name; i++) {
        f->params.value[i] = defs[i].fallback;
        f->params.given[i] = pf_get(json, defs[i].name) != NULL;
        if (!f->params.given[i] && defs[i].required)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: found nothing, expected what operator %s needs: %s", pf_below(at, defs[i].name).text, f->op->name,
                             defs[i].doc);
        weir_status status = f->params.given[i] ? parse_param(json, at, &defs[i], &f->params.value[i], err) : WEIR_OK;
        if (status) return status;
    }
    const char *wrong = f->op->prepare ? f->op->prepare(&f->params) : NULL;
    return wrong ? WEIR_FAIL(err, WEIR_EINVAL, "%s: operator %s: %s", at, f->op->name, wrong) : WEIR_OK;
}

/* --- operators --- */

static weir_status find_operator(const char *name, const char *at, const weir_operator **ret_op, weir_err *err) {
    *ret_op = weir_operator_find(name);
    if (*ret_op) return WEIR_OK;
    int n = 0;
    while (weir_operator_at(n)) n++;
    const char **all = weir_mem.realloc(NULL, sizeof(*all) * (size_t)(n + 1));
    if (!all) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the names of operators");
    for (int i = 0; i < n; i++) all[i] = weir_operator_at(i)->name;
    all[n] = NULL;
    weir_status status = pf_unknown(at, "operator", name, all, err);
    free(all);
    return status;
}

static weir_status check_operator_keys(const cJSON *json, const char *at, const weir_operator *op, weir_err *err) {
    const char *keys[sizeof(operator_keys) / sizeof(*operator_keys) + WEIR_PARAMS_MAX];
    int n = 0;
    for (; operator_keys[n]; n++) keys[n] = operator_keys[n];
    for (int i = 0; op->params && op->params[i].name && i < WEIR_PARAMS_MAX; i++) keys[n++] = op->params[i].name;
    keys[n] = NULL;
    return pf_need_object(json, at, keys, err);
}

static weir_status parse_inputs(const scope *s, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    const cJSON *of = pf_get(json, "of");
    const weir_operator *op = f->op;
    pf_path here = pf_below(at, "of");
    bool array = cJSON_IsArray(of);
    weir_status status = WEIR_OK;
    if (array)
        status = pf_get_texts(json, at, "of", WEIR_INPUTS_MAX, f->of, &f->of_count, err);
    else if (!(status = pf_get_text(json, at, "of", false, &f->of[0], err)))
        f->of_count = of != NULL;
    if (status) return status;
    if (f->of_count < op->inputs_min || f->of_count > op->inputs_max) {
        if (op->inputs_min == op->inputs_max)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %d, expected %d, what operator %s is computed from", here.text, f->of_count, op->inputs_min,
                             op->name);
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %d, expected %d to %d, what operator %s is computed from", here.text, f->of_count, op->inputs_min,
                         op->inputs_max, op->name);
    }
    for (int i = 0; !status && i < f->of_count; i++) status = check_expr(s, f->of[i], array ? pf_item(here.text, i).text : here.text, op->texts, err);
    return status;
}

static weir_status parse_operator(const weir_pipeline *p, const weir_view_def *view, const cJSON *json, const char *at, const char *key, weir_feature_def *f,
                                  weir_err *err) {
    scope s = {.pipeline = p, .feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events};
    const char *name = NULL;
    weir_status status;
    if ((status = pf_get_text(json, at, key, true, &name, err)) || (status = find_operator(name, pf_below(at, key).text, &f->op, err)) ||
        (status = check_operator_keys(json, at, f->op, err)) || (status = parse_params(json, at, f, err)) || (status = parse_inputs(&s, json, at, f, err)) ||
        (status = pf_get_text(json, at, "where", false, &f->where, err)) || (status = parse_window(json, at, f, err)) ||
        (status = pf_get_duration(json, at, "delay", &f->delay_us, err)))
        return status;
    if (f->where && (status = check_expr(&s, f->where, pf_below(at, "where").text, false, err))) return status;
    if (!view->ttl_us || reach_us(f) <= view->ttl_us) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: its window and delay reach further back than the view's ttl, so it would be cut", at);
}

/* --- features --- */

/* A column of that name would make names in expressions and "columns" of training ambiguous, another feature too; the stores have columns of their own. */
static weir_status check_unique(const weir_pipeline *p, const weir_view_def *view, const weir_feature_def *f, const char *at, weir_err *err) {
    static const char *const taken[] = {"tenant", "entity", "event_time", "available_time", "source_partition", "source_offset", "seq", "version", NULL};
    for (int i = 0; taken[i]; i++) {
        if (!strcmp(taken[i], f->name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"%s\" is a column of every table of features", at, f->name);
    }
    if (weir_schema_find(p->events.schema, f->name) >= 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s: a column of the events is named \"%s\" already", at, f->name);
    if (view->from == WEIR_FROM_LABELS && weir_schema_find(p->labels.schema, f->name) >= 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: a column of the labels is named \"%s\" already", at, f->name);
    for (int v = 0; v < p->view_count; v++) {
        for (int i = 0; i < p->views[v].feature_count; i++) {
            const weir_feature_def *other = &p->views[v].features[i];
            if (other != f && other->name && !strcmp(other->name, f->name))
                return WEIR_FAIL(err, WEIR_EINVAL, "%s: view %s has a feature named \"%s\" already", at, p->views[v].name, f->name);
        }
    }
    return WEIR_OK;
}

weir_status pf_parse_feature(const weir_pipeline *p, const weir_view_def *view, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    if (!cJSON_IsObject(json)) return pf_wrong(json, at, "an object", err);
    const char *key = pf_get(json, "op") ? "op" : pf_get(json, "agg") ? "agg" : pf_get(json, "expr") ? "expr" : NULL;
    int ways = (pf_get(json, "op") != NULL) + (pf_get(json, "agg") != NULL) + (pf_get(json, "expr") != NULL);
    weir_status status;
    f->fallback = NAN;
    if ((status = pf_get_text(json, at, "name", true, &f->name, err)) ||
        (status = pf_check_name(f->name, pf_below(at, "name").text, false, PF_NAME_MAX, err)) ||
        (status = check_unique(p, view, f, pf_below(at, "name").text, err)))
        return status;
    if (ways != 1) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected exactly one of \"op\" (or \"agg\") and \"expr\"", at, ways ? "several" : "none");
    if (strcmp(key, "expr"))
        status = parse_operator(p, view, json, at, key, f, err);
    else if (!(status = pf_need_object(json, at, expr_keys, err)))
        status = pf_get_text(json, at, "expr", true, &f->expr, err);
    if (status || (status = pf_get_number(json, at, "default", NULL, &f->fallback, err)) || (status = pf_get_bool(json, at, "hidden", &f->hidden, err)) ||
        (status = pf_get_text(json, at, "was", false, &f->was, err)) || (status = pf_get_text(json, at, "unit", false, &f->unit, err)))
        return status;
    return pf_get_text(json, at, "doc", false, &f->doc, err);
}

/* --- expressions over features --- */

typedef enum visit { NOT_VISITED, VISITING, VISITED } visit;

/* Depth first; a feature that is met while it is visited is computed from itself. */
static int find_cycle(weir_expr *const *exprs, int columns, int feature, visit *visits) {
    visits[feature] = VISITING;
    int count = 0;
    const int *variables = exprs[feature] ? weir_expr_variables(exprs[feature], &count) : NULL;
    for (int i = 0; i < count; i++) {
        int other = variables[i] - columns - 1;
        if (other < 0 || visits[other] == VISITED) continue;
        int found = visits[other] == VISITING ? other : find_cycle(exprs, columns, other, visits);
        if (found >= 0) return found;
    }
    visits[feature] = VISITED;
    return -1;
}

weir_status pf_check_expressions(const weir_pipeline *p, const weir_view_def *view, const char *at, weir_err *err) {
    scope s = {.pipeline = p, .feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events, .view = view};
    weir_expr *exprs[WEIR_FEATURES_MAX] = {NULL};
    visit visits[WEIR_FEATURES_MAX] = {NOT_VISITED};
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < view->feature_count; i++) {
        if (view->features[i].expr) status = compile(&s, view->features[i].expr, pf_below(pf_item(at, i).text, "expr").text, false, &exprs[i], err);
        if (status) exprs[i] = NULL;
    }
    for (int i = 0; !status && i < view->feature_count; i++) {
        int cycle = visits[i] == NOT_VISITED ? find_cycle(exprs, weir_schema_field_count(s.feed->schema), i, visits) : -1;
        if (cycle >= 0)
            status = WEIR_FAIL(err, WEIR_EINVAL, "%s: feature %s is computed from itself, by way of other features or at once",
                               pf_below(pf_item(at, cycle).text, "expr").text, view->features[cycle].name);
    }
    for (int i = 0; i < view->feature_count; i++) weir_expr_free(exprs[i]);
    return status;
}
