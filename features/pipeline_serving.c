/* `serving` of the pipeline file. Read when the views are known, which it names. */
#include "features/pipeline_serving.h"

#include <string.h>

#include "features/pipeline_file.h"

#define MODEL_MEMORY_MIB 1024

enum { REFERENCE_MAX = 96, MIB = 1 << 20 };

const char *const weir_feature_policy_names[] = {[WEIR_POLICY_SCORE] = "score", [WEIR_POLICY_FALLBACK] = "fallback", [WEIR_POLICY_ABSTAIN] = "abstain", NULL};

static weir_status get_policy(const cJSON *json, const char *at, const char *key, weir_feature_policy *ret_policy, weir_err *err) {
    const char *word = NULL;
    weir_status status = pf_get_text(json, at, key, false, &word, err);
    if (status || !word) return status;
    for (int i = 0; weir_feature_policy_names[i]; i++) {
        if (strcmp(weir_feature_policy_names[i], word) != 0) continue;
        *ret_policy = (weir_feature_policy)i;
        return WEIR_OK;
    }
    return pf_unknown(pf_below(at, key).text, "policy", word, weir_feature_policy_names, err);
}

static weir_status get_view_policy(const cJSON *json, const char *at, weir_view_policy *policy, weir_err *err) {
    weir_status status;
    if ((status = get_policy(json, at, "missing", &policy->missing, err)) || (status = get_policy(json, at, "late", &policy->late, err)) ||
        (status = pf_get_duration(json, at, "max_age", &policy->max_age_us, err)))
        return status;
    if (pf_get(json, "max_age") && policy->max_age_us <= 0)
        return pf_wrong(pf_get(json, "max_age"), pf_below(at, "max_age").text, "a duration longer than 0", err);
    if (pf_get(json, "late") && !policy->max_age_us) return pf_wrong(pf_get(json, "late"), pf_below(at, "late").text, "a \"max_age\" beside it", err);
    return WEIR_OK;
}

static weir_status parse_views(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.serving.features.views";
    static const char *const keys[] = {"missing", "late", "max_age", "doc", NULL};
    const char *names[WEIR_VIEWS_MAX + 1] = {NULL};
    for (int v = 0; v < p->view_count; v++) names[v] = p->views[v].name;
    weir_status status = json ? pf_need_object(json, at, names, err) : WEIR_OK;
    for (int v = 0; !status && v < p->view_count; v++) {
        const cJSON *own = pf_get(json, names[v]);
        if (!own) continue;
        const pf_path here = pf_below(at, names[v]);
        status = pf_need_object(own, here.text, keys, err);
        if (!status) status = get_view_policy(own, here.text, &p->serving.views[v], err);
    }
    return status;
}

/* The policy of all views, then what single ones say else. */
static weir_status parse_features(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.serving.features";
    static const char *const keys[] = {"missing", "late", "max_age", "fallback", "views", "doc", NULL};
    weir_serving_def *serving = &p->serving;
    weir_view_policy all = {0};
    weir_status status;
    if (!json) return WEIR_OK;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_get_text(json, at, "fallback", false, &serving->fallback, err)) ||
        (status = get_view_policy(json, at, &all, err)))
        return status;
    if (serving->fallback && (!*serving->fallback || strlen(serving->fallback) >= REFERENCE_MAX))
        return pf_wrong(pf_get(json, "fallback"), "$.serving.features.fallback", "an alias, MODEL or MODEL/VERSION", err);
    for (int v = 0; v < p->view_count; v++) serving->views[v] = all;
    if ((status = parse_views(p, pf_get(json, "views"), err))) return status;
    for (int v = 0; v < p->view_count && !serving->fallback; v++) {
        const weir_view_policy *policy = &serving->views[v];
        if (policy->missing == WEIR_POLICY_FALLBACK || policy->late == WEIR_POLICY_FALLBACK)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.fallback: found nothing, expected the model that view %s falls back to", at, p->views[v].name);
    }
    return WEIR_OK;
}

weir_status pf_parse_serving(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char at[] = "$.serving";
    static const char *const keys[] = {"threshold", "features", "requests", "tenants", "model_memory_mib", "batches", "doc", NULL};
    weir_serving_def *serving = &p->serving;
    const cJSON *threshold = pf_get(json, "threshold");
    int64_t memory_mib = MODEL_MEMORY_MIB;
    serving->model_memory_bytes = memory_mib * MIB;
    size_t bytes = sizeof *serving->views * (size_t)(p->view_count + 1);
    if (!(serving->views = weir_mem.realloc(NULL, bytes))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the serving section");
    memset(serving->views, 0, bytes);
    weir_status status = json ? pf_need_object(json, at, keys, err) : WEIR_OK;
    if (status || !json) return status;
    if (threshold && !(cJSON_IsNumber(threshold) && threshold->valuedouble >= 0 && threshold->valuedouble <= 1))
        return pf_wrong(threshold, "$.serving.threshold", "a number from 0 to 1", err);
    if ((status = pf_get_bool(json, at, "requests", &serving->requests, err)) || (status = pf_get_bool(json, at, "tenants", &serving->tenants, err)) ||
        (status = pf_get_int(json, at, "model_memory_mib", 1, 1 << 20, &memory_mib, err)))
        return status;
    serving->model_memory_bytes = memory_mib * MIB;
    return parse_features(p, pf_get(json, "features"), err);
}
