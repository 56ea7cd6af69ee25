/* The views of the pipeline file: entities and their features. */
#include "features/pipeline_file.h"

#include <math.h>
#include <stdlib.h>

#include "core/conf.h"

static weir_status parse_agg(const weir_feed_def *feed, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const aggs[] = {"count", "mean", "sum", "min", "max", NULL};
    weir_status status;
    int i = 0, column;
    while (aggs[i] && strcmp(aggs[i], f->agg)) i++;
    if (!aggs[i]) return pf_unknown(pf_below(at, "agg").text, "aggregate", f->agg, aggs, err);
    if (pf_get(json, "from") || pf_get(json, "to")) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"from\" and \"to\" belong to \"op\": \"hour_between\"", at);
    if ((status = pf_get_duration(json, at, "window", &f->window_us, err)) || (status = pf_get_duration(json, at, "delay", &f->delay_us, err)) ||
        (status = pf_get_number(json, at, "default", NULL, &f->fallback, err)))
        return status;
    if (f->window_us <= 0) return pf_wrong(pf_get(json, "window"), pf_below(at, "window").text, "a duration above 0", err);
    if (!f->of) return strcmp(f->agg, "count") ? pf_wrong(NULL, pf_below(at, "of").text, "a column to aggregate", err) : WEIR_OK;
    if ((status = pf_find_column(feed->schema, f->of, pf_below(at, "of").text, &column, err))) return status;
    if (pf_is_numeric(weir_schema_field_at(feed->schema, column))) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no number or boolean", pf_below(at, "of").text, f->of);
}

static weir_status parse_op(const weir_view_def *view, const weir_feed_def *feed, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const ops[] = {"weekend", "hour_between", NULL};
    static const char *const agg_keys[] = {"window", "delay", "default", NULL};
    int column;
    weir_status status;
    if (strcmp(f->op, "weekend") && strcmp(f->op, "hour_between")) return pf_unknown(pf_below(at, "op").text, "operator", f->op, ops, err);
    if (view->from != WEIR_FROM_EVENTS)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: operators of the record itself belong to views of the events", pf_below(at, "op").text);
    for (int i = 0; agg_keys[i]; i++) {
        if (pf_get(json, agg_keys[i])) return WEIR_FAIL(err, WEIR_EINVAL, "%s: it goes with \"agg\", not with \"op\"", pf_below(at, agg_keys[i]).text);
    }
    if (f->of && (status = pf_find_column(feed->schema, f->of, pf_below(at, "of").text, &column, err))) return status;
    if (f->of && !weir_schema_field_at(feed->schema, column)->is_timestamp)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no timestamp", pf_below(at, "of").text, f->of);
    bool hours = !strcmp(f->op, "hour_between");
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "to" : "from";
        if (hours && !pf_get(json, key)) return pf_wrong(NULL, pf_below(at, key).text, "an hour from 0 to 23", err);
        if (!hours && pf_get(json, key)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: it belongs to \"hour_between\"", pf_below(at, key).text);
        if ((status = pf_get_int(json, at, key, 0, 23, i ? &f->to : &f->from, err))) return status;
    }
    return WEIR_OK;
}

/* A column of the events of that name would make "columns" of training ambiguous, another feature too. */
static weir_status check_unique(const weir_pipeline *p, const weir_feature_def *f, const char *at, weir_err *err) {
    if (weir_schema_find(p->events.schema, f->name) >= 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s: a column of the events is named \"%s\" already", at, f->name);
    for (int v = 0; v < p->view_count; v++) {
        for (int i = 0; i < p->views[v].feature_count; i++) {
            const weir_feature_def *other = &p->views[v].features[i];
            if (other != f && other->name && !strcmp(other->name, f->name))
                return WEIR_FAIL(err, WEIR_EINVAL, "%s: view %s has a feature named \"%s\" already", at, p->views[v].name, f->name);
        }
    }
    return WEIR_OK;
}

static weir_status parse_feature(const weir_pipeline *p, const weir_view_def *view, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const keys[] = {"name", "agg", "op", "of", "window", "delay", "from", "to", "default", "unit", "doc", NULL};
    const weir_feed_def *feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events;
    weir_status status;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "name", true, &f->name, err)) ||
        (status = pf_check_name(f->name, pf_below(at, "name").text, false, PF_NAME_MAX, err)) ||
        (status = check_unique(p, f, pf_below(at, "name").text, err)) || (status = pf_get_text(json, at, "agg", false, &f->agg, err)) ||
        (status = pf_get_text(json, at, "op", false, &f->op, err)) || (status = pf_get_text(json, at, "of", false, &f->of, err)) ||
        (status = pf_get_text(json, at, "unit", false, &f->unit, err)) || (status = pf_get_text(json, at, "doc", false, &f->doc, err)))
        return status;
    f->fallback = NAN;
    if (!f->agg == !f->op) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected exactly one of \"agg\" and \"op\"", at, f->agg ? "both" : "neither");
    return f->agg ? parse_agg(feed, json, at, f, err) : parse_op(view, feed, json, at, f, err);
}

/* Scoring finds a view's entity in the event, so the event has the same columns. */
static weir_status parse_entity(const weir_pipeline *p, const cJSON *json, const char *at, weir_view_def *view, weir_err *err) {
    const weir_feed_def *feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events;
    int index[WEIR_KEY_COLUMNS_MAX], in_event[WEIR_KEY_COLUMNS_MAX];
    pf_path here = pf_below(at, "entity");
    weir_status status;
    if ((status = pf_get_texts(json, at, "entity", WEIR_KEY_COLUMNS_MAX, view->entity, &view->entity_count, err)) ||
        (status = pf_key_columns(feed->schema, view->entity, view->entity_count, here.text, index, err)) ||
        (status = pf_key_columns(p->events.schema, view->entity, view->entity_count, here.text, in_event, err)))
        return status;
    view->rekeyed = view->entity_count != feed->key_count || memcmp(index, feed->key_index, sizeof(*index) * (size_t)view->entity_count) != 0;
    for (int i = 0; i < view->entity_count; i++) {
        if (weir_schema_field_at(feed->schema, index[i])->type != weir_schema_field_at(p->events.schema, in_event[i])->type)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s[%d]: column %s has another type in the events", here.text, i, view->entity[i]);
    }
    return WEIR_OK;
}

static weir_status parse_view(weir_pipeline *p, const cJSON *json, int index, weir_err *err) {
    static const char *const keys[] = {"name", "entity", "from", "ttl", "features", "doc", NULL};
    weir_view_def *view = &p->views[index];
    pf_path here = pf_item("$.views", index), below_name = pf_below(here.text, "name");
    const char *at = here.text;
    weir_status status;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "name", true, &view->name, err)) ||
        (status = pf_check_name(view->name, below_name.text, true, PF_NAME_MAX - 16, err)) || (status = pf_parse_from(p, json, at, "from", &view->from, err)) ||
        (status = parse_entity(p, json, at, view, err)) || (status = pf_get_duration(json, at, "ttl", &view->ttl_us, err)))
        return status;
    for (int i = 0; i < index; i++) {
        if (!strcmp(p->views[i].name, view->name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: a view is named \"%s\" already", below_name.text, view->name);
    }
    const cJSON *features = pf_get(json, "features"), *child;
    pf_path list = pf_below(at, "features");
    int n = cJSON_IsArray(features) ? cJSON_GetArraySize(features) : 0;
    if (n < 1 || n > WEIR_FEATURES_MAX) return pf_wrong(features, list.text, pf_path_of("an array of 1 to %d features", WEIR_FEATURES_MAX).text, err);
    view->features = weir_mem.realloc(NULL, (size_t)n * sizeof(*view->features));
    if (!view->features) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d features", n);
    memset(view->features, 0, (size_t)n * sizeof(*view->features));
    cJSON_ArrayForEach(child, features) {
        int i = view->feature_count++;
        if ((status = parse_feature(p, view, child, pf_item(list.text, i).text, &view->features[i], err))) return status;
        const weir_feature_def *f = &view->features[i];
        if (view->ttl_us && f->window_us + f->delay_us > view->ttl_us)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.ttl: it is shorter than the delay and window of feature %s, which would be cut", at, f->name);
    }
    return WEIR_OK;
}

weir_status pf_parse_views(weir_pipeline *p, const cJSON *json, weir_err *err) {
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0, features = 0;
    if (n < 1 || n > WEIR_VIEWS_MAX) return pf_wrong(json, "$.views", pf_path_of("an array of 1 to %d views", WEIR_VIEWS_MAX).text, err);
    p->views = weir_mem.realloc(NULL, (size_t)n * sizeof(*p->views));
    if (!p->views) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d views", n);
    memset(p->views, 0, (size_t)n * sizeof(*p->views));
    p->primary_view = -1;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = p->view_count++;
        weir_status status = parse_view(p, child, i, err);
        if (status) return status;
        features += p->views[i].feature_count;
        if (p->primary_view < 0 && p->views[i].from == WEIR_FROM_EVENTS && !p->views[i].rekeyed) p->primary_view = i;
    }
    if (features > WEIR_FEATURES_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "$.views: found %d features, expected at most %d", features, WEIR_FEATURES_MAX);
    if (p->primary_view >= 0) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.views: no view from the events has their key as its entity; one must, for its records are what is scored");
}

void pf_free_views(weir_pipeline *p) {
    for (int i = 0; i < p->view_count; i++) free(p->views[i].features);
    free(p->views);
}
