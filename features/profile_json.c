/* quality.json. What is not known is null; numbers have all their digits. */
#include <math.h>
#include <stdio.h>

#include "core/clock.h"
#include "features/profile.h"

/* JSON in the making; after the first failed allocation nothing more is appended. */
typedef struct maker {
    weir_buf *out;
    bool failed;
    bool begun; /* the object or array has a member: a comma comes first */
} maker;

static void put(maker *m, const char *text) {
    m->failed |= !m->failed && !weir_buf_append(m->out, text, strlen(text));
}

static void text(maker *m, const char *value) {
    put(m, "\"");
    m->failed |= !m->failed && !weir_buf_json_escape(m->out, value, strlen(value));
    put(m, "\"");
}

static void next(maker *m) {
    if (m->begun) put(m, ",");
    m->begun = true;
}

static void key(maker *m, const char *name) {
    next(m);
    text(m, name);
    put(m, ":");
}

static void open(maker *m, const char *bracket) {
    put(m, bracket);
    m->begun = false;
}

static void close(maker *m, const char *bracket) {
    put(m, bracket);
    m->begun = true;
}

static void number(maker *m, double value) {
    if (isfinite(value))
        m->failed |= !m->failed && !weir_buf_printf(m->out, "%.17g", value);
    else
        put(m, "null");
}

static void add(maker *m, const char *name, double value) {
    key(m, name);
    number(m, value);
}

static void add_text(maker *m, const char *name, const char *value) {
    key(m, name);
    text(m, value);
}

static void add_bool(maker *m, const char *name, bool value) {
    key(m, name);
    put(m, value ? "true" : "false");
}

static void add_time(maker *m, const char *name, int64_t time_us) {
    char when[WEIR_TIME_TEXT_MAX];
    add_text(m, name, weir_time_format(time_us, when));
}

static void put_bins(maker *m, const weir_profile_column *c) {
    const weir_bins *bins = &c->bins;
    key(m, "bins");
    open(m, "{");
    key(m, bins->texts ? "values" : "edges");
    open(m, "[");
    for (int i = 0; i < bins->count - 1; i++) {
        next(m);
        if (bins->texts)
            text(m, c->top[i].text ? c->top[i].text : "");
        else
            number(m, bins->edges[i]);
    }
    close(m, "]");
    key(m, "shares");
    open(m, "[");
    for (int i = 0; i < bins->count; i++) {
        next(m);
        number(m, bins->expected[i]);
    }
    close(m, "]");
    close(m, "}");
}

static void put_numbers(maker *m, const weir_profile_column *c) {
    char name[16];
    add(m, "min", c->min);
    add(m, "max", c->max);
    add(m, "mean", c->mean);
    add(m, "std", c->std);
    key(m, "quantiles");
    open(m, "{");
    for (int i = 0; i < WEIR_PROFILE_QUANTILES; i++) {
        snprintf(name, sizeof(name), "%g", weir_profile_quantiles[i]);
        add(m, name, c->quantiles[i]);
    }
    close(m, "}");
    add(m, "quantile_error", c->quantile_error);
    add(m, "zeros", (double)c->zeros);
    add(m, "outliers_iqr", (double)c->iqr_outliers);
    add(m, "outliers_z", (double)c->z_outliers);
    key(m, "histogram");
    open(m, "{");
    add(m, "low", c->histogram_low);
    add(m, "high", c->histogram_high);
    key(m, "counts");
    open(m, "[");
    for (int i = 0; i < WEIR_PROFILE_HISTOGRAM; i++) {
        next(m);
        number(m, (double)c->histogram[i]);
    }
    close(m, "]");
    close(m, "}");
}

static void put_top(maker *m, const weir_profile_column *c) {
    key(m, "top");
    open(m, "[");
    for (int i = 0; i < WEIR_PROFILE_TOP && c->top[i].count; i++) {
        next(m);
        open(m, "{");
        if (c->top[i].text)
            add_text(m, "value", c->top[i].text);
        else
            add(m, "value", c->top[i].number);
        add(m, "count", (double)c->top[i].count);
        close(m, "}");
    }
    close(m, "]");
}

static void put_column(maker *m, const weir_profile *p, const weir_profile_column *c) {
    bool any = c->missing < p->rows;
    next(m);
    open(m, "{");
    add_text(m, "name", c->field.name);
    add_text(m, "type", weir_profile_type_names[c->field.type]);
    add(m, "missing", (double)c->missing);
    add(m, "missing_share", (double)c->missing / (double)p->rows);
    add(m, "distinct", c->distinct);
    add(m, "distinct_error", c->distinct_error);
    if (any && (c->field.type == WEIR_PROFILE_NUMBER || c->field.type == WEIR_PROFILE_BOOL)) put_numbers(m, c);
    if (any && c->field.type == WEIR_PROFILE_TIME) {
        add_time(m, "min", (int64_t)c->min);
        add_time(m, "max", (int64_t)c->max);
    }
    if (any && c->field.type == WEIR_PROFILE_TEXT) {
        add(m, "min_length", (double)c->min_length);
        add(m, "max_length", (double)c->max_length);
    }
    put_top(m, c);
    if (c->bins.count) put_bins(m, c);
    close(m, "}");
}

static void put_matrix(maker *m, const char *name, const double *values, int n) {
    key(m, name);
    open(m, "[");
    for (int i = 0; i < n; i++) {
        next(m);
        open(m, "[");
        for (int k = 0; k < n; k++) {
            next(m);
            number(m, values[i * n + k]);
        }
        close(m, "]");
    }
    close(m, "]");
}

static void put_correlations(maker *m, const weir_profile *p) {
    key(m, "correlations");
    open(m, "{");
    key(m, "columns");
    open(m, "[");
    for (int i = 0; i < p->pair_count; i++) {
        next(m);
        text(m, p->columns[p->pair_columns[i]].field.name);
    }
    close(m, "]");
    add(m, "rows", (double)p->sample_rows);
    add_bool(m, "sampled", p->sample_rows < p->rows);
    put_matrix(m, "pearson", p->pearson, p->pair_count);
    put_matrix(m, "spearman", p->spearman, p->pair_count);
    close(m, "}");
}

static void put_coverage(maker *m, const weir_profile_coverage *c) {
    key(m, "coverage");
    open(m, "{");
    add(m, "entities", (double)c->entities);
    add_time(m, "first", c->first_us);
    add_time(m, "last", c->last_us);
    add(m, "records_min", (double)c->fewest);
    add(m, "records_median", c->median_records);
    add(m, "records_max", (double)c->most);
    add(m, "repeated_times", (double)c->repeated_times);
    add(m, "step_seconds", c->step_s);
    add(m, "regular_share", c->regular);
    add(m, "gaps", (double)c->gap_count);
    add(m, "coverage", c->coverage);
    key(m, "longest_gaps");
    open(m, "[");
    for (int i = 0; i < c->gaps_shown; i++) {
        next(m);
        open(m, "{");
        add_text(m, "entity", c->gaps[i].entity);
        add_time(m, "from", c->gaps[i].from_us);
        add_time(m, "to", c->gaps[i].to_us);
        close(m, "}");
    }
    close(m, "]");
    close(m, "}");
}

weir_status weir_profile_json(const weir_profile *p, const char *name, weir_buf *out, weir_err *err) {
    maker m = {.out = out};
    open(&m, "{");
    add_text(&m, "profile", name);
    add(&m, "rows", (double)p->rows);
    add(&m, "duplicates", (double)p->duplicates);
    add_bool(&m, "duplicates_exact", p->duplicates_exact);
    key(&m, "verdicts");
    open(&m, "[");
    for (int i = 0; i < p->verdict_count; i++) {
        next(&m);
        text(&m, p->verdicts[i]);
    }
    close(&m, "]");
    key(&m, "columns");
    open(&m, "[");
    for (int i = 0; i < p->column_count; i++) put_column(&m, p, &p->columns[i]);
    close(&m, "]");
    put_correlations(&m, p);
    if (p->coverage.known) put_coverage(&m, &p->coverage);
    close(&m, "}");
    put(&m, "\n");
    return m.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for quality.json") : WEIR_OK;
}
