/* The checks of the pipeline file: what a record must be like to be taken in, and the stream to be trusted. */
#include "features/pipeline_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/conf.h"
#include "features/checks.h"

enum { VALUES_MAX = 4096, LENGTH_MAX = 1 << 20 };

const char *const weir_severity_names[] = {[WEIR_REJECTS] = "reject", [WEIR_MARKS] = "mark", [WEIR_WARNS] = "warn", NULL};

/* Which keys go with which kind; a check has exactly one of the first column, except that conditions on a column are many. */
static const char *const kind_keys[] = {[WEIR_CHECK_COLUMN] = "column",
                                        [WEIR_CHECK_RULE] = "rule",
                                        [WEIR_CHECK_PREVIOUS] = "monotone",
                                        [WEIR_CHECK_UNIQUE] = "unique",
                                        [WEIR_CHECK_FRESHNESS] = "freshness",
                                        [WEIR_CHECK_COMPLETENESS] = "completeness",
                                        [WEIR_CHECK_DISTRIBUTION] = "distribution"};
#define COMMON_KEYS "on", "name", "severity", "doc"
static const char *const column_keys[] = {COMMON_KEYS, "column", "not_null", "min", "max", "in", "not_in", "matches", "min_length", "max_length", NULL};
static const char *const rule_keys[] = {COMMON_KEYS, "rule", "not_null", NULL};
static const char *const monotone_keys[] = {COMMON_KEYS, "monotone", "strict", NULL};
static const char *const unique_keys[] = {COMMON_KEYS, "unique", "within", NULL};
static const char *const freshness_keys[] = {COMMON_KEYS, "freshness", NULL};
static const char *const completeness_keys[] = {COMMON_KEYS, "completeness", NULL};
static const char *const distribution_keys[] = {COMMON_KEYS, "distribution", NULL};

/* What a check is parsed from. */
typedef struct source {
    weir_pipeline *pipeline;
    const char *base_dir;
    const cJSON *json;
    const char *at;
    const weir_schema *schema;
    weir_check_def *check;
} source;

static weir_status find_checked(const source *s, const char *at, weir_err *err) {
    return pf_find_column(s->schema, s->check->column, at, &s->check->column_index, err);
}

static const weir_schema_field *checked_field(const source *s) {
    return weir_schema_field_at(s->schema, s->check->column_index);
}

/* --- conditions on one column --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static weir_status wrong_kind(const source *s, const char *at, bool texts, weir_err *err) {
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, but column %s holds %s", at, texts ? "texts" : "numbers", s->check->column, texts ? "none" : "texts");
}

static weir_status named_list(const source *s, const char *name, const char *at, weir_check_values *values, weir_err *err) {
    const char *names[64 + 1];
    bool texts;
    int n = s->pipeline->list_count;
    values->text = name;
    if (weir_pipeline_find_list(s->pipeline, name, (const double **)&values->values, &values->count, &texts))
        return texts == (checked_field(s)->type == WEIR_T_STR) ? WEIR_OK : wrong_kind(s, at, texts, err);
    for (int i = 0; i < n; i++) names[i] = s->pipeline->lists[i].name;
    names[n] = NULL;
    return pf_unknown(at, "list", name, names, err);
}

static weir_status one_value(const source *s, const cJSON *json, const char *at, double *ret_value, weir_err *err) {
    bool texts = checked_field(s)->type == WEIR_T_STR;
    const char *text = cJSON_GetStringValue(json);
    if (!(texts ? text && *text : cJSON_IsNumber(json)))
        return pf_wrong(json, at, texts ? "a text, as the column holds" : "a number, as the column holds", err);
    *ret_value = text ? weir_text_number(text, strlen(text)) : json->valuedouble;
    return WEIR_OK;
}

static weir_status parse_values(const source *s, const char *key, weir_check_values *values, weir_err *err) {
    const cJSON *json = pf_get(s->json, key), *child;
    pf_path at = pf_below(s->at, key);
    if (!json) return WEIR_OK;
    if (checked_field(s)->type == WEIR_T_BYTES) return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s holds neither texts nor numbers", at.text, s->check->column);
    if (cJSON_IsString(json)) return named_list(s, json->valuestring, at.text, values, err);
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;
    if (n < 1 || n > VALUES_MAX)
        return pf_wrong(json, at.text, pf_path_of("an array of 1 to %d texts or numbers, or the name of a list", VALUES_MAX).text, err);
    if (!(values->owned = weir_mem.realloc(NULL, sizeof(*values->owned) * (size_t)n))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d values", n);
    values->text = cJSON_GetStringValue(cJSON_GetArrayItem(json, 0));
    cJSON_ArrayForEach(child, json) {
        weir_status status = one_value(s, child, pf_item(at.text, values->count).text, &values->owned[values->count], err);
        if (status) return status;
        values->count++;
    }
    qsort(values->owned, (size_t)n, sizeof(*values->owned), by_value);
    values->values = values->owned;
    return WEIR_OK;
}

static weir_status parse_text_conditions(const source *s, weir_err *err) {
    weir_check_def *check = s->check;
    const char *pattern = NULL;
    weir_status status;
    if ((status = pf_get_text(s->json, s->at, "matches", false, &pattern, err)) ||
        (status = pf_get_int(s->json, s->at, "min_length", 0, LENGTH_MAX, &check->min_length, err)) ||
        (status = pf_get_int(s->json, s->at, "max_length", 1, LENGTH_MAX, &check->max_length, err)))
        return status;
    if (!pattern && !check->min_length && !check->max_length) return WEIR_OK;
    if (checked_field(s)->type != WEIR_T_STR)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"matches\", \"min_length\" and \"max_length\" are for texts; column %s has none", s->at, check->column);
    if (check->max_length && check->min_length > check->max_length)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: min_length %lld is above max_length %lld", s->at, (long long)check->min_length, (long long)check->max_length);
    if (pattern && (status = weir_pattern_new(pattern, &check->matches, err))) return weir_err_prefix(err, "%s", pf_below(s->at, "matches").text);
    return WEIR_OK;
}

static weir_status parse_column(const source *s, weir_err *err) {
    weir_check_def *check = s->check;
    const cJSON *json = s->json;
    weir_status status;
    if ((status = pf_get_text(json, s->at, "column", true, &check->column, err)) || (status = find_checked(s, pf_below(s->at, "column").text, err)) ||
        (status = pf_get_bool(json, s->at, "not_null", &check->not_null, err)) ||
        (status = pf_get_number(json, s->at, "min", &check->has_min, &check->min, err)) ||
        (status = pf_get_number(json, s->at, "max", &check->has_max, &check->max, err)) || (status = parse_values(s, "in", &check->in, err)) ||
        (status = parse_values(s, "not_in", &check->not_in, err)) || (status = parse_text_conditions(s, err)))
        return status;
    if ((check->has_min || check->has_max) && !pf_is_numeric(checked_field(s)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"min\" and \"max\" are for numbers; column %s has none", s->at, check->column);
    if (check->has_min && check->has_max && check->min > check->max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: min %g is above max %g", s->at, check->min, check->max);
    if (check->not_null || check->has_min || check->has_max || check->in.values || check->not_in.values || check->matches || check->min_length ||
        check->max_length)
        return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "%s: it checks nothing; expected \"not_null\", \"min\", \"max\", \"in\", \"not_in\", \"matches\", \"min_length\" or \"max_length\"",
                     s->at);
}

/* --- rules --- */

#define PREVIOUS "previous."

static int rule_variable(const weir_schema *schema, const char *name, bool previous, bool *ret_text) {
    int columns = weir_schema_field_count(schema), column = weir_schema_find(schema, name);
    *ret_text = false;
    if (column < 0) return strcmp(name, "event_time") ? -1 : weir_check_time_variable(columns, previous);
    weir_type type = weir_schema_field_at(schema, column)->type;
    *ret_text = type == WEIR_T_STR;
    return type == WEIR_T_BYTES ? -1 : weir_check_variable(columns, previous, column); /* bytes have no value to compute with */
}

static int find_name(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    const source *s = context;
    const size_t prefix = sizeof(PREVIOUS) - 1;
    *ret_hint = NULL;
    int variable = rule_variable(s->schema, name, false, ret_text);
    if (variable >= 0) return variable;
    if (!strncmp(name, PREVIOUS, prefix)) variable = rule_variable(s->schema, name + prefix, true, ret_text);
    if (variable >= 0) {
        s->check->kind = WEIR_CHECK_PREVIOUS;
        return variable;
    }
    const char *names[1024 + 2];
    int n = 0, columns = weir_schema_field_count(s->schema);
    for (; n < columns && n < 1024; n++) names[n] = weir_schema_field_at(s->schema, n)->name;
    names[n++] = "event_time";
    names[n] = NULL;
    *ret_hint = weir_conf_nearest(strncmp(name, PREVIOUS, prefix) ? name : name + prefix, names);
    return -1;
}

static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    const source *s = context;
    return weir_pipeline_find_list(s->pipeline, name, ret_values, ret_count, ret_texts);
}

/* Of the events, with their time in the primary view's state, as views have them: records before are known of these only. */
static weir_status need_events(const source *s, const char *what, weir_err *err) {
    if (s->check->on == WEIR_FROM_EVENTS) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: %s is for events; no other records of an entity are at hand when labels are checked", s->at, what);
}

static weir_status compile_rule(const source *s, const char *at, const char *text, weir_err *err) {
    weir_check_def *check = s->check;
    const weir_expr_names names = {.context = (void *)(uintptr_t)s, .find = find_name, .find_list = find_list};
    check->kind = WEIR_CHECK_RULE;
    if (weir_schema_field_count(s->schema) > 1024) return WEIR_FAIL(err, WEIR_EINVAL, "%s: rules are for schemas of at most 1024 columns", at);
    weir_status status = weir_expr_new(text, &names, &check->expr, err);
    if (status) return weir_err_prefix(err, "%s", at);
    if (weir_expr_is_text(check->expr))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found an expression whose value is a text, expected one that is true or false", at);
    int count;
    (void)weir_expr_variables(check->expr, &count);
    if (!count) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found an expression that reads no column", at);
    return check->kind == WEIR_CHECK_PREVIOUS ? need_events(s, "a rule over the record before", err) : WEIR_OK;
}

static weir_status parse_rule(const source *s, weir_err *err) {
    weir_check_def *check = s->check;
    weir_status status;
    if ((status = pf_get_text(s->json, s->at, "rule", true, &check->rule, err)) || (status = pf_get_bool(s->json, s->at, "not_null", &check->not_null, err)))
        return status;
    return compile_rule(s, pf_below(s->at, "rule").text, check->rule, err);
}

static weir_status parse_monotone(const source *s, weir_err *err) {
    weir_check_def *check = s->check;
    pf_path at = pf_below(s->at, "monotone");
    bool strict = false;
    char text[512];
    weir_status status;
    if ((status = pf_get_text(s->json, s->at, "monotone", true, &check->column, err)) || (status = find_checked(s, at.text, err)) ||
        (status = pf_get_bool(s->json, s->at, "strict", &strict, err)))
        return status;
    if (!pf_is_numeric(checked_field(s))) return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s has no numbers", at.text, check->column);
    check->rule = strict ? "it is above the one before" : "it is not below the one before";
    if (snprintf(text, sizeof(text), "`%s` %s `" PREVIOUS "%s`", check->column, strict ? ">" : ">=", check->column) >= (int)sizeof(text))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: the column's name is too long", at.text);
    return compile_rule(s, at.text, text, err);
}

static weir_status parse_unique(const source *s, weir_err *err) {
    weir_check_def *check = s->check;
    pf_path at = pf_below(s->at, "unique");
    const char *names[WEIR_UNIQUE_COLUMNS_MAX];
    check->within_us = -1;
    weir_status status;
    if ((status = pf_get_texts(s->json, s->at, "unique", WEIR_UNIQUE_COLUMNS_MAX, names, &check->unique_count, err)) ||
        (status = pf_get_duration(s->json, s->at, "within", &check->within_us, err)) || (status = need_events(s, "\"unique\"", err)))
        return status;
    for (int i = 0; i < check->unique_count; i++) {
        pf_path here = pf_item(at.text, i);
        if ((status = pf_find_column(s->schema, names[i], here.text, &check->unique[i], err))) return status;
        if (weir_schema_field_at(s->schema, check->unique[i])->type == WEIR_T_BYTES)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s holds neither texts nor numbers", here.text, names[i]);
    }
    return WEIR_OK;
}

/* --- the stream --- */

static weir_status need_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) {
    weir_status status = pf_get_duration(json, at, key, ret_us, err);
    if (status || *ret_us > 0) return status;
    return pf_wrong(pf_get(json, key), pf_below(at, key).text, "a duration such as \"15m\"", err);
}

static weir_status parse_freshness(const source *s, weir_err *err) {
    return need_duration(s->json, s->at, "freshness", &s->check->duration_us, err);
}

static weir_status need_number(const cJSON *json, const char *at, const char *key, double min, double max, double *ret, weir_err *err) {
    bool has = false;
    weir_status status = pf_get_number(json, at, key, &has, ret, err);
    if (status || (has && *ret > min && *ret <= max)) return status;
    return pf_wrong(pf_get(json, key), pf_below(at, key).text, pf_path_of("a number above %g, at most %g", min, max).text, err);
}

static weir_status parse_completeness(const source *s, weir_err *err) {
    static const char *const keys[] = {"column", "min_share", "window", NULL};
    weir_check_def *check = s->check;
    const cJSON *json = pf_get(s->json, "completeness");
    pf_path at = pf_below(s->at, "completeness");
    weir_status status;
    if ((status = pf_need_object(json, at.text, keys, err)) || (status = pf_get_text(json, at.text, "column", true, &check->column, err)) ||
        (status = find_checked(s, pf_below(at.text, "column").text, err)) || (status = need_number(json, at.text, "min_share", 0, 1, &check->min_share, err)))
        return status;
    return need_duration(json, at.text, "window", &check->duration_us, err);
}

static weir_status parse_distribution(const source *s, weir_err *err) {
    static const char *const keys[] = {"column", "profile", "max_psi", "records", NULL};
    weir_check_def *check = s->check;
    const cJSON *json = pf_get(s->json, "distribution");
    pf_path at = pf_below(s->at, "distribution"), at_profile = pf_below(at.text, "profile");
    const char *profile = NULL;
    char path[PATH_MAX];
    weir_status status;
    check->max_psi = 0.25;
    check->records = 10000;
    if ((status = pf_need_object(json, at.text, keys, err)) || (status = pf_get_text(json, at.text, "column", true, &check->column, err)) ||
        (status = find_checked(s, pf_below(at.text, "column").text, err)) || (status = pf_get_text(json, at.text, "profile", true, &profile, err)) ||
        (status = pf_get_int(json, at.text, "records", 100, INT32_MAX, &check->records, err)))
        return status;
    if (pf_get(json, "max_psi") && (status = need_number(json, at.text, "max_psi", 0, 1000, &check->max_psi, err))) return status;
    weir_type type = checked_field(s)->type;
    if (type == WEIR_T_BYTES) return WEIR_FAIL(err, WEIR_EINVAL, "%s.column: column %s holds neither texts nor numbers", at.text, check->column);
    if (snprintf(path, sizeof(path), "%s%s%s",
                 *profile == '/' ? ""
                 : s->base_dir   ? s->base_dir
                                 : ".",
                 *profile == '/' ? "" : "/", profile) >= (int)sizeof(path))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: the path is longer than %d bytes", at_profile.text, PATH_MAX - 1);
    status = weir_bins_read(path, check->column, type == WEIR_T_STR, &check->bins, err);
    return status ? weir_err_prefix(err, "%s", at_profile.text) : WEIR_OK;
}

/* --- a check --- */

typedef struct kind {
    const char *const *keys;
    weir_status (*parse)(const source *s, weir_err *err);
    bool only_warns;
    const char *needs_name; /* why; NULL: the column's name will do */
} kind;

static const kind kinds[] = {
    [WEIR_CHECK_COLUMN] = {column_keys, parse_column, false, NULL},
    [WEIR_CHECK_RULE] = {rule_keys, parse_rule, false, "a rule"},
    [WEIR_CHECK_PREVIOUS] = {monotone_keys, parse_monotone, false, NULL},
    [WEIR_CHECK_UNIQUE] = {unique_keys, parse_unique, false, "\"unique\""},
    [WEIR_CHECK_FRESHNESS] = {freshness_keys, parse_freshness, true, NULL},
    [WEIR_CHECK_COMPLETENESS] = {completeness_keys, parse_completeness, true, NULL},
    [WEIR_CHECK_DISTRIBUTION] = {distribution_keys, parse_distribution, true, NULL},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static weir_status parse_severity(const source *s, const kind *k, weir_err *err) {
    pf_path at = pf_below(s->at, "severity");
    const char *text = weir_severity_names[k->only_warns ? WEIR_WARNS : WEIR_REJECTS];
    weir_status status = pf_get_text(s->json, s->at, "severity", false, &text, err);
    if (status) return status;
    int i = 0;
    while (weir_severity_names[i] && strcmp(weir_severity_names[i], text)) i++;
    if (!weir_severity_names[i]) return pf_unknown(at.text, "severity", text, weir_severity_names, err);
    s->check->severity = (weir_severity)i;
    if (k->only_warns && i != WEIR_WARNS)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%s\", expected \"warn\": the check is about the stream, not about a record", at.text, text);
    return WEIR_OK;
}

/* Rejected and warned of under its name; marks are lists of names. */
static weir_status parse_name(const source *s, const kind *k, weir_err *err) {
    weir_check_def *check = s->check;
    pf_path at = pf_below(s->at, "name");
    check->name = check->column ? check->column : "freshness";
    weir_status status = pf_get_text(s->json, s->at, "name", false, &check->name, err);
    if (status) return status;
    if (k->needs_name && !pf_get(s->json, "name"))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found nothing, expected a text, for %s has no other name", at.text, k->needs_name);
    if (strlen(check->name) > 64 && (check->severity == WEIR_MARKS || strlen(check->name) > 200))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found a name of %zu bytes, expected at most %d", at.text, strlen(check->name),
                         check->severity == WEIR_MARKS ? 64 : 200);
    if (check->severity == WEIR_MARKS && strchr(check->name, ','))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.64s\", expected a name without ',', which separates the names of marks", at.text, check->name);
    return WEIR_OK;
}

static bool has_view_of(const weir_pipeline *p, weir_feed feed) {
    for (int i = 0; i < p->view_count; i++) {
        if (p->views[i].from == feed) return true;
    }
    return false;
}

static weir_status parse_check(weir_pipeline *p, const cJSON *json, const char *base_dir, const char *at, weir_check_def *check, weir_err *err) {
    int found = -1;
    if (!cJSON_IsObject(json)) return pf_wrong(json, at, "an object", err);
    for (int i = 0; i < KINDS; i++) {
        if (!pf_get(json, kind_keys[i])) continue;
        if (found >= 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%s\" and \"%s\", expected one of them", at, kind_keys[found], kind_keys[i]);
        found = i;
    }
    if (found < 0) {
        weir_status status = pf_need_object(json, at, column_keys, err);
        return status ? status
                      : WEIR_FAIL(
                            err, WEIR_EINVAL,
                            "%s: found none of \"column\", \"rule\", \"monotone\", \"unique\", \"freshness\", \"completeness\", \"distribution\", expected one",
                            at);
    }
    const kind *k = &kinds[found];
    source s = {.pipeline = p, .base_dir = base_dir, .json = json, .at = at, .check = check};
    weir_status status;
    check->kind = (weir_check_kind)found;
    if ((status = pf_need_object(json, at, k->keys, err)) || (status = pf_parse_from(p, json, at, "on", &check->on, err)) ||
        (status = parse_severity(&s, k, err)))
        return status;
    s.schema = check->on == WEIR_FROM_LABELS ? p->labels.schema : p->events.schema;
    if ((status = k->parse(&s, err)) || (status = parse_name(&s, k, err))) return status;
    if (check->severity == WEIR_MARKS && !has_view_of(p, check->on))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.severity: found \"mark\", but marks go into the features of a record, and no view is from the labels", at);
    return WEIR_OK;
}

weir_status pf_parse_checks(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) {
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
        weir_status status = parse_check(p, child, base_dir, pf_item("$.checks", i).text, &p->checks[i], err);
        if (status) return status;
    }
    return WEIR_OK;
}

void pf_free_checks(weir_pipeline *p) {
    for (int i = 0; i < p->check_count; i++) {
        weir_check_def *check = &p->checks[i];
        free(check->in.owned);
        free(check->not_in.owned);
        weir_pattern_free(check->matches);
        weir_expr_free(check->expr);
        free(check->bins);
    }
    free(p->checks);
}
