#include "models/semver.h"

#include <stdio.h>
#include <string.h>

static bool parse_part(const char **text, char end, int *ret_part) {
    const char *p = *text;
    long part = 0;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9')) return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        part = part * 10 + (*p - '0');
        if (part > WEIR_SEMVER_PART_MAX) return false;
    }
    if (*p != end) return false;
    *text = p + (end != 0);
    *ret_part = (int)part;
    return true;
}

bool weir_semver_parse(const char *text, weir_semver *ret_version) {
    weir_semver version;
    if (*text == 'v') text++;
    if (!parse_part(&text, '.', &version.major) || !parse_part(&text, '.', &version.minor) || !parse_part(&text, 0, &version.patch)) return false;
    *ret_version = version;
    return true;
}

const char *weir_semver_format(const weir_semver *version, char *text) {
    snprintf(text, WEIR_SEMVER_TEXT_MAX, "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

int weir_semver_compare(const weir_semver *a, const weir_semver *b) {
    if (a->major != b->major) return a->major < b->major ? -1 : 1;
    if (a->minor != b->minor) return a->minor < b->minor ? -1 : 1;
    return a->patch == b->patch ? 0 : a->patch < b->patch ? -1 : 1;
}

weir_semver weir_semver_next(const weir_semver *before, weir_semver_change change) {
    weir_semver next = *before;
    if (change == WEIR_SEMVER_MAJOR) {
        next = (weir_semver){before->major + 1, 0, 0};
    } else if (change == WEIR_SEMVER_MINOR) {
        next.minor++;
        next.patch = 0;
    } else {
        next.patch++;
    }
    return next;
}

/* ---- the rule ---- */

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(item) ? NULL : item;
}

static bool same_text(const char *a, const char *b) {
    return !strcmp(a ? a : "", b ? b : "");
}

static bool same_json(const cJSON *a, const cJSON *b) {
    return (!a && !b) || (a && b && cJSON_Compare(a, b, true));
}

static bool same_member(const cJSON *a, const cJSON *b, const char *name) {
    return same_json(member(a, name), member(b, name));
}

static const cJSON *find_input(const cJSON *signature, const char *name) {
    const cJSON *input;
    cJSON_ArrayForEach(input, member(signature, "inputs")) if (same_text(cJSON_GetStringValue(member(input, "name")), name)) return input;
    return NULL;
}

/* Categories and ranges come from the rows of the training set; a caller sends texts and numbers all the same. */
static bool needs_more(const cJSON *before, const cJSON *after) {
    const cJSON *input;
    cJSON_ArrayForEach(input, member(after, "inputs")) {
        const cJSON *old = find_input(before, cJSON_GetStringValue(member(input, "name")));
        if (!old || !same_text(cJSON_GetStringValue(member(old, "type")), cJSON_GetStringValue(member(input, "type")))) return true;
    }
    return false;
}

static bool same_inputs(const cJSON *before, const cJSON *after) {
    const cJSON *a = member(before, "inputs"), *b = member(after, "inputs");
    if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b)) return false;
    for (a = a ? a->child : NULL, b = b ? b->child : NULL; a && b; a = a->next, b = b->next)
        if (!same_text(cJSON_GetStringValue(member(a, "name")), cJSON_GetStringValue(member(b, "name")))) return false;
    return true;
}

/* By what a run of train_model is judged is not what it fits. */
static bool is_judgement(const cJSON *param) {
    return !strcmp(param->string, "baseline_f1");
}

static bool has_all(const cJSON *params, const cJSON *others) {
    const cJSON *param;
    cJSON_ArrayForEach(param, others) if (!is_judgement(param) && !same_json(member(params, param->string), cJSON_IsNull(param) ? NULL : param)) return false;
    return true;
}

static bool same_params(const cJSON *before, const cJSON *after) {
    const cJSON *a = member(before, "params"), *b = member(after, "params");
    return has_all(a, b) && has_all(b, a);
}

/* The name of a data set, or the names of the tables, one after the other. Which version of it and which days is what a refit changes. */
static bool same_source(const cJSON *before, const cJSON *after) {
    if (!same_member(member(before, "dataset"), member(after, "dataset"), "name")) return false;
    const cJSON *a = member(before, "datasets"), *b = member(after, "datasets");
    if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b)) return false;
    for (a = a ? a->child : NULL, b = b ? b->child : NULL; a && b; a = a->next, b = b->next)
        if (!same_member(a, b, "dataset")) return false;
    return true;
}

weir_semver_change weir_semver_change_of(const weir_semver_facts *before, const weir_semver_facts *after, const char **ret_why) {
    const cJSON *a = before->signature, *b = after->signature;
    const struct {
        bool differs;
        weir_semver_change change;
        const char *why;
    } rules[] = {
        {needs_more(a, b), WEIR_SEMVER_MAJOR, "it needs an input that the version before did not, or one of another type"},
        {!same_member(a, b, "target"), WEIR_SEMVER_MAJOR, "another target"},
        {!same_member(a, b, "output"), WEIR_SEMVER_MAJOR, "another output"},
        {!same_inputs(a, b), WEIR_SEMVER_MINOR, "fewer inputs, or in another order"},
        {!same_text(before->feature_hash, after->feature_hash), WEIR_SEMVER_MINOR, "other features"},
        {!same_text(before->algorithm, after->algorithm), WEIR_SEMVER_MINOR, "another algorithm"},
        {!same_params(before->lineage, after->lineage), WEIR_SEMVER_MINOR, "other parameters"},
        {!same_member(before->lineage, after->lineage, "spec"), WEIR_SEMVER_MINOR, "another spec"},
        {!same_member(before->lineage, after->lineage, "preprocessing"), WEIR_SEMVER_MINOR, "other preprocessing"},
        {!same_source(before->lineage, after->lineage), WEIR_SEMVER_MINOR, "another data set"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].differs) continue;
        if (ret_why) *ret_why = rules[i].why;
        return rules[i].change;
    }
    if (ret_why) *ret_why = "fitted again";
    return WEIR_SEMVER_PATCH;
}
