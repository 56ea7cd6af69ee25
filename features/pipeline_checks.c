/* The checks of the pipeline file: what a record must be like to be taken in. */
#include "features/pipeline_file.h"

#include <stdlib.h>

#include "core/conf.h"

static weir_status parse_check(const weir_pipeline *p, const cJSON *json, const char *at, weir_check_def *check, weir_err *err) {
    static const char *const keys[] = {"on", "column", "not_null", "min", "max", "in", "name", "doc", NULL};
    weir_status status;
    if ((status = pf_need_object(json, at, keys, err)) || (status = pf_parse_from(p, json, at, "on", &check->on, err)) ||
        (status = pf_get_text(json, at, "column", true, &check->column, err)))
        return status;
    const weir_schema *schema = check->on == WEIR_FROM_LABELS ? p->labels.schema : p->events.schema;
    check->name = check->column;
    if ((status = pf_find_column(schema, check->column, pf_below(at, "column").text, &check->column_index, err)) ||
        (status = pf_get_text(json, at, "name", false, &check->name, err)) || (status = pf_get_bool(json, at, "not_null", &check->not_null, err)) ||
        (status = pf_get_number(json, at, "min", &check->has_min, &check->min, err)) ||
        (status = pf_get_number(json, at, "max", &check->has_max, &check->max, err)))
        return status;
    const weir_schema_field *f = weir_schema_field_at(schema, check->column_index);
    const cJSON *in = pf_get(json, "in");
    if ((check->has_min || check->has_max) && !pf_is_numeric(f))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"min\" and \"max\" are for numbers; column %s has none", at, f->name);
    if (check->has_min && check->has_max && check->min > check->max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: min %g is above max %g", at, check->min, check->max);
    if (in && f->type != WEIR_T_STR) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"in\" is for texts; column %s has none", at, f->name);
    if (!in && !check->not_null && !check->has_min && !check->has_max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: it checks nothing; expected \"not_null\", \"min\", \"max\" or \"in\"", at);
    if (!in) return WEIR_OK;
    int n = cJSON_IsArray(in) ? cJSON_GetArraySize(in) : 0, count;
    check->in = weir_mem.realloc(NULL, sizeof(*check->in) * ((size_t)n + 1));
    if (!check->in) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d texts", n);
    memset(check->in, 0, sizeof(*check->in) * ((size_t)n + 1));
    return pf_get_texts(json, at, "in", 4096, check->in, &count, err);
}

weir_status pf_parse_checks(weir_pipeline *p, const cJSON *json, weir_err *err) {
    if (!json) return WEIR_OK;
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1;
    if (n < 0 || n > WEIR_CHECKS_MAX) return pf_wrong(json, "$.checks", pf_path_of("an array of at most %d checks", WEIR_CHECKS_MAX).text, err);
    if (!n) return WEIR_OK;
    p->checks = weir_mem.realloc(NULL, (size_t)n * sizeof(*p->checks));
    if (!p->checks) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d checks", n);
    memset(p->checks, 0, (size_t)n * sizeof(*p->checks));
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = p->check_count++;
        weir_status status = parse_check(p, child, pf_item("$.checks", i).text, &p->checks[i], err);
        if (status) return status;
    }
    return WEIR_OK;
}

void pf_free_checks(weir_pipeline *p) {
    for (int i = 0; i < p->check_count; i++) free(p->checks[i].in);
    free(p->checks);
}
