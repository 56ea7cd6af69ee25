/* The views of the pipeline file: entities and their features. */
#include "features/pipeline_file.h"

#include <stdlib.h>

#include "core/conf.h"

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

static weir_status parse_at(const cJSON *json, const char *at, weir_view_at *ret_at, weir_err *err) {
    static const char *const times[] = {"read", "event", NULL};
    const char *text = "read";
    weir_status status = pf_get_text(json, at, "at", false, &text, err);
    if (status) return status;
    *ret_at = strcmp(text, "event") ? WEIR_AT_READ : WEIR_AT_EVENT;
    return strcmp(text, "event") && strcmp(text, "read") ? pf_unknown(pf_below(at, "at").text, "time of reading", text, times, err) : WEIR_OK;
}

static weir_status parse_view(weir_pipeline *p, const cJSON *json, int index, weir_err *err) {
    static const char *const keys[] = {"name", "entity", "from", "ttl", "at", "features", "doc", NULL};
    weir_view_def *view = &p->views[index];
    pf_path here = pf_item("$.views", index), below_name = pf_below(here.text, "name");
    const char *at = here.text;
    weir_status status;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "name", true, &view->name, err)) ||
        (status = pf_check_name(view->name, below_name.text, true, PF_NAME_MAX - 16, err)) || (status = pf_parse_from(p, json, at, "from", &view->from, err)) ||
        (status = parse_entity(p, json, at, view, err)) || (status = pf_get_duration(json, at, "ttl", &view->ttl_us, err)) ||
        (status = parse_at(json, at, &view->at, err)))
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
        if ((status = pf_parse_feature(p, view, child, pf_item(list.text, i).text, &view->features[i], err))) return status;
    }
    return pf_check_expressions(p, view, list.text, err);
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
