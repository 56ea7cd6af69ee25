/* Profiles, comparisons and spreads for people and pages. What is not known is null; numbers have all their digits. */
#include <math.h>
#include <stdlib.h>

#include "features/drift_internal.h"

static const double quantiles[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
enum { QUANTILES = sizeof(quantiles) / sizeof(*quantiles), TOP = 20 };

/* JSON in the making; after the first failed allocation nothing more is appended. */
typedef struct maker {
    weir_buf *out;
    bool failed, begun; /* begun: a member is there, a comma comes before the next */
} maker;

static void put(maker *m, const char *text) {
    m->failed = m->failed || !weir_buf_append(m->out, text, strlen(text));
}

static void put_text(maker *m, const char *text) {
    put(m, "\"");
    m->failed = m->failed || !weir_buf_json_escape(m->out, text, strlen(text));
    put(m, "\"");
}

static void put_number(maker *m, double value) {
    if (isfinite(value))
        m->failed = m->failed || !weir_buf_printf(m->out, "%.17g", value);
    else
        put(m, "null");
}

static void next(maker *m, const char *key) {
    if (m->begun) put(m, ",");
    m->begun = true;
    if (!key) return;
    put_text(m, key);
    put(m, ":");
}

static void open(maker *m, const char *key, const char *bracket) {
    next(m, key);
    put(m, bracket);
    m->begun = false;
}

static void close(maker *m, const char *bracket) {
    put(m, bracket);
    m->begun = true;
}

static void number(maker *m, const char *key, double value) {
    next(m, key);
    put_number(m, value);
}

static void text(maker *m, const char *key, const char *value) {
    next(m, key);
    put_text(m, value);
}

static void boolean(maker *m, const char *key, bool value) {
    next(m, key);
    put(m, value ? "true" : "false");
}

static bool made(maker *m, size_t begin) {
    if (m->failed && m->out->data) {
        m->out->len = begin;
        m->out->data[begin] = 0;
    }
    return !m->failed;
}

/* --- profiles --- */

static int by_count(const void *left, const void *right) {
    const weir_frequent_slot *a = left, *b = right;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return (a->value > b->value) - (a->value < b->value);
}

/* Counts of a category with more different values than slots are too small by what the sketch says at most. */
static void put_top(maker *m, const weir_drift_profile *p) {
    const weir_frequent *f = drift_frequent(p);
    weir_frequent_slot slots[WEIR_DRIFT_VALUES];
    char name[WEIR_DRIFT_TEXT_MAX + 1];
    memcpy(slots, f->slot, f->held * sizeof(*slots));
    qsort(slots, f->held, sizeof(*slots), by_count);
    open(m, "top", "[");
    for (uint32_t i = 0; i < f->held && i < TOP; i++) {
        open(m, NULL, "{");
        if (p->type == WEIR_DRIFT_CATEGORY)
            text(m, "value", weir_drift_profile_text(p, slots[i].value, name));
        else
            number(m, "value", slots[i].value);
        number(m, "count", (double)slots[i].count);
        close(m, "}");
    }
    close(m, "]");
    number(m, "top_error", drift_counts_all(p) ? 0 : floor((double)drift_value_count(p) / (WEIR_DRIFT_VALUES + 1)));
}

static void put_profile(maker *m, const weir_drift_profile *p, const char *name) {
    weir_drift_summary s = weir_drift_profile_summary(p);
    open(m, NULL, "{");
    text(m, "name", name);
    text(m, "type", weir_drift_type_names[s.type]);
    text(m, "role", weir_drift_role_names[s.role]);
    number(m, "count", (double)s.count);
    number(m, "missing", (double)s.missing);
    number(m, "zeros", (double)s.zeros);
    number(m, "min", s.min);
    number(m, "max", s.max);
    number(m, "mean", s.mean);
    number(m, "std", s.std);
    number(m, "distinct", s.distinct);
    number(m, "distinct_error", s.distinct_error);
    open(m, "quantiles", "[");
    for (int i = 0; i < QUANTILES; i++) {
        open(m, NULL, "{");
        number(m, "q", quantiles[i]);
        number(m, "value", weir_drift_profile_quantile(p, quantiles[i]));
        close(m, "}");
    }
    close(m, "]");
    number(m, "quantile_error", s.quantile_error);
    number(m, "sampled", s.sampled);
    boolean(m, "exact", s.exact);
    put_top(m, p);
    close(m, "}");
}

bool weir_drift_profile_json(const weir_drift_profile *profile, const char *name, weir_buf *out) {
    maker m = {.out = out};
    size_t begin = out->len;
    put_profile(&m, profile, name);
    return made(&m, begin);
}

bool weir_drift_table_json(const weir_drift_table *t, weir_buf *out) {
    maker m = {.out = out};
    size_t begin = out->len;
    open(&m, NULL, "{");
    open(&m, "columns", "[");
    for (int i = 0; i < t->count; i++) put_profile(&m, &t->profiles[i], t->fields[i].name);
    close(&m, "]");
    close(&m, "}");
    return made(&m, begin);
}

/* --- comparisons --- */

static void put_test(maker *m, const weir_drift_test *t) {
    open(m, NULL, "{");
    text(m, "statistic", weir_drift_statistic_names[t->statistic]);
    number(m, "value", t->value);
    number(m, "p", t->p);
    number(m, "adjusted_p", t->adjusted_p);
    number(m, "effect", t->effect);
    number(m, "threshold", t->threshold);
    number(m, "reference_count", (double)t->reference_count);
    number(m, "current_count", (double)t->current_count);
    boolean(m, "sampled", t->sampled);
    boolean(m, "drifted", t->drifted);
    close(m, "}");
}

static void put_column(maker *m, const weir_drift_column *c) {
    open(m, NULL, "{");
    text(m, "name", c->name);
    text(m, "type", weir_drift_type_names[c->type]);
    text(m, "role", weir_drift_role_names[c->role]);
    boolean(m, "tested", c->tested);
    boolean(m, "drifted", c->drifted);
    text(m, "reason", c->reason);
    open(m, "tests", "[");
    for (int i = 0; i < c->test_count; i++) put_test(m, &c->tests[i]);
    close(m, "]");
    close(m, "}");
}

bool weir_drift_report_json(const weir_drift_report *report, weir_buf *out) {
    maker m = {.out = out};
    size_t begin = out->len;
    open(&m, NULL, "{");
    text(&m, "severity", weir_drift_severity_names[report->severity]);
    number(&m, "share", report->share);
    number(&m, "features", report->features);
    number(&m, "drifted_features", report->drifted_features);
    boolean(&m, "score_drifted", report->score_drifted);
    boolean(&m, "label_drifted", report->label_drifted);
    number(&m, "alpha", report->alpha);
    number(&m, "reference_records", (double)report->reference_records);
    number(&m, "current_records", (double)report->current_records);
    open(&m, "columns", "[");
    for (int i = 0; i < report->column_count; i++) put_column(&m, &report->columns[i]);
    close(&m, "]");
    close(&m, "}");
    return made(&m, begin);
}
