#include "models/stage.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/json.h"
#include "models/metrics.h"

const char *const weir_stage_environments[] = {"dev", "aut", "prod", NULL};
static const double f1_baselines[] = {0.70, 0.80, 0.85}; /* of the lifecycle commands, in that order */

typedef struct rule {
    const char *metric;
    bool greater;
    const cJSON *limit; /* NULL: no rule */
} rule;

/* The metric by which the pipeline chooses; as the recipe's default where none is named. */
static const char *metric_of(const cJSON *training) {
    const char *task = weir_json_text(training, "task"), *metric = weir_json_text(training, "metric");
    if (*metric) return metric;
    return !strcmp(task, "regression") ? "rmse" : !strcmp(task, "multiclass") ? "f1_macro" : "roc_auc";
}

static bool is_greater_better(const char *metric) {
    for (const weir_model_metric *m = weir_model_metrics(); m->name; m++)
        if (!strcmp(m->name, metric)) return m->greater_is_better;
    return true;
}

static weir_status rule_of(const cJSON *training, const char *environment, rule *ret_rule, weir_err *err) {
    const cJSON *limit = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(training, "baseline"), environment);
    if (limit && !cJSON_IsNumber(limit))
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.baseline.%s: found %s, expected a number", environment, weir_json_kind(limit));
    const char *metric = metric_of(training);
    *ret_rule = (rule){.metric = metric, .greater = is_greater_better(metric), .limit = limit};
    return WEIR_OK;
}

/* Versions of pipelines and of train_model call the same metric by different names. */
static const cJSON *find_metric(const cJSON *metrics, const char *name) {
    static const char *const same[][2] = {{"roc_auc", "auc_roc"}, {"auc_roc", "roc_auc"}};
    char longer[80];
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(metrics, name);
    for (size_t i = 0; !found && i < sizeof same / sizeof *same; i++)
        if (!strcmp(name, same[i][0])) found = cJSON_GetObjectItemCaseSensitive(metrics, same[i][1]);
    snprintf(longer, sizeof longer, "test_%s", name);
    return found ? found : cJSON_GetObjectItemCaseSensitive(metrics, longer);
}

static cJSON *make_verdict(const char *environment, const rule *r, double limit, const cJSON *metrics) {
    const cJSON *value = r ? find_metric(metrics, r->metric) : NULL;
    bool known = cJSON_IsNumber(value);
    bool passed = !r || (known && (r->greater ? value->valuedouble >= limit : value->valuedouble <= limit));
    cJSON *verdict = cJSON_CreateObject();
    bool made = cJSON_AddStringToObject(verdict, "environment", environment) && cJSON_AddBoolToObject(verdict, "passed", passed);
    if (r)
        made = made && cJSON_AddStringToObject(verdict, "metric", r->metric) && cJSON_AddNumberToObject(verdict, "limit", limit) &&
               cJSON_AddStringToObject(verdict, "better", r->greater ? "greater" : "smaller") &&
               (known ? cJSON_AddNumberToObject(verdict, "value", value->valuedouble) : cJSON_AddNullToObject(verdict, "value"));
    if (made) return verdict;
    cJSON_Delete(verdict);
    return NULL;
}

weir_status weir_stage_check(const cJSON *training, const char *environment, const cJSON *metrics, cJSON **ret_verdict, weir_err *err) {
    rule r = {.metric = "f1", .greater = true};
    int e = 0;
    while (weir_stage_environments[e] && strcmp(weir_stage_environments[e], environment) != 0) e++;
    if (!weir_stage_environments[e]) return WEIR_FAIL(err, WEIR_EINVAL, "there is no environment '%s'; expected dev, aut or prod", environment);
    double limit = f1_baselines[e];
    if (training) {
        weir_status status = rule_of(training, environment, &r, err);
        if (status != WEIR_OK) return status;
        if (r.limit) limit = r.limit->valuedouble;
    }
    *ret_verdict = make_verdict(environment, training && !r.limit ? NULL : &r, limit, metrics);
    return *ret_verdict ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a verdict");
}

bool weir_stage_passed(const cJSON *verdict) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(verdict, "passed"));
}

void weir_stage_describe(const cJSON *verdict, char *text, size_t size) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(verdict, "value");
    const char *environment = weir_json_text(verdict, "environment"), *metric = weir_json_text(verdict, "metric");
    double limit = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(verdict, "limit"));
    const char *bound = strcmp(weir_json_text(verdict, "better"), "smaller") ? "at least" : "at most";
    if (!*metric)
        snprintf(text, size, "%s has no rule", environment);
    else if (cJSON_IsNumber(value))
        snprintf(text, size, "%s is %.6g; %s needs %s %g", metric, value->valuedouble, environment, bound, limit);
    else
        snprintf(text, size, "%s is not known; %s needs %s %g", metric, environment, bound, limit);
}
