/* The document of an assessment, and small things that its parts share; see assess_internal.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"
#include "models/assess_internal.h"

/* Owns the item, whether it could be added or not. */
static cJSON *attach(weir_assess_state *s, cJSON *parent, const char *key, cJSON *item) {
    bool added = parent && item && (key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item));
    if (added) return item;
    cJSON_Delete(item);
    s->no_memory = true;
    return NULL;
}

cJSON *weir_assess_object(weir_assess_state *s, cJSON *parent, const char *key) {
    return attach(s, parent, key, cJSON_CreateObject());
}

cJSON *weir_assess_array(weir_assess_state *s, cJSON *parent, const char *key) {
    return attach(s, parent, key, cJSON_CreateArray());
}

void weir_assess_number(weir_assess_state *s, cJSON *parent, const char *key, double value) {
    attach(s, parent, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

void weir_assess_text(weir_assess_state *s, cJSON *parent, const char *key, const char *text) {
    if (text) attach(s, parent, key, cJSON_CreateString(text));
}

void weir_assess_flag(weir_assess_state *s, cJSON *parent, const char *key, bool value) {
    attach(s, parent, key, cJSON_CreateBool(value));
}

void weir_assess_time(weir_assess_state *s, cJSON *parent, const char *key, int64_t time_us) {
    attach(s, parent, key, cJSON_CreateNumber((double)time_us));
}

void weir_assess_copy(weir_assess_state *s, cJSON *parent, const char *key, const cJSON *item) {
    if (item) attach(s, parent, key, cJSON_Duplicate(item, true));
}

static double rounded(double value) {
    char text[32];
    if (!isfinite(value)) return value;
    snprintf(text, sizeof text, "%.6g", value);
    return strtod(text, NULL);
}

void weir_assess_numbers(weir_assess_state *s, cJSON *parent, const char *key, const double *values, int count) {
    cJSON *array = weir_assess_array(s, parent, key);
    for (int i = 0; i < count && !s->no_memory; i++) weir_assess_number(s, array, NULL, rounded(values[i]));
}

void weir_assess_pair(weir_assess_state *s, cJSON *array, double x, double y) {
    cJSON *pair = weir_assess_array(s, array, NULL);
    weir_assess_number(s, pair, NULL, fabs(x) > 1e9 ? x : rounded(x)); /* times keep their digits */
    weir_assess_number(s, pair, NULL, rounded(y));
}

void weir_assess_none(weir_assess_state *s, cJSON *parent, const char *key, const char *why) {
    weir_assess_text(s, weir_assess_object(s, parent, key), "none", why);
}

const char *weir_assess_class_name(const weir_assess_state *s, int class, char text[64]) {
    const char *name = s->test->class_names ? s->test->class_names[class] : s->train->class_names ? s->train->class_names[class] : NULL;
    if (name) return name;
    snprintf(text, 64, "%d", class);
    return text;
}

bool weir_assess_is_category(const weir_matrix *m, int column) {
    return m->kinds && m->kinds[column].kind == WEIR_PREP_CATEGORY;
}

const char *weir_assess_value_words(const weir_matrix *m, int column, double value, char text[64]) {
    if (isnan(value)) return "missing";
    if (weir_assess_is_category(m, column) && m->kinds[column].texts)
        for (const char *const *t = m->kinds[column].texts; *t; t++)
            if (weir_text_number(*t, strlen(*t)) == value) return *t;
    snprintf(text, 64, "%.5g", value);
    return text;
}

int weir_assess_by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double weir_assess_quantile(const double *sorted, int64_t count, double q) {
    if (count < 1) return NAN;
    double place = q * (double)(count - 1);
    int64_t at = (int64_t)place;
    if (at >= count - 1) return sorted[count - 1];
    return sorted[at] + (place - (double)at) * (sorted[at + 1] - sorted[at]);
}

weir_status weir_assess_cancelled(const weir_assess_state *s, weir_err *err) {
    return s->a->cancel && *s->a->cancel ? WEIR_RETRY(err, WEIR_ETIMEOUT, "the assessment was cancelled") : WEIR_OK;
}

weir_status weir_assess_no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the assessment");
}
