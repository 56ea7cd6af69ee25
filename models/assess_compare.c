/* The models beside each other, whether they can be told apart, and slices of the test rows on which the chosen one is worse. See docs/evaluation.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/distributions.h"
#include "core/p_values.h"
#include "models/assess_internal.h"
#include "models/memory.h"
#include "models/significance.h"

enum { SLICES = 60, VALUES = 12, PARTS = 4, SLICE_ROWS_MIN = 30, TENANTS = 40 };

/* ---- table ---- */

static weir_status put_metrics(weir_assess_state *s, cJSON *parent, int model, weir_err *err) {
    double *column = weir_models_calloc((size_t)s->replicates, sizeof *column);
    if (!column) return weir_assess_no_memory(err);
    cJSON *metrics = weir_assess_object(s, parent, "metrics");
    for (int i = 0; i < s->metric_count; i++) {
        double low = NAN, high = NAN;
        for (int k = 0; k < s->replicates; k++) column[k] = s->replicate[model][(size_t)k * (size_t)s->metric_count + (size_t)i];
        if (strcmp(s->metric_name[i], "max_error")) weir_assess_ends(column, s->replicates, &low, &high); /* the bootstrap says nothing about an extreme */
        cJSON *metric = weir_assess_object(s, metrics, s->metric_name[i]);
        weir_assess_number(s, metric, "value", s->value[model][i]);
        weir_assess_number(s, metric, "low", low);
        weir_assess_number(s, metric, "high", high);
    }
    weir_models_free(column);
    return WEIR_OK;
}

static void put_validation(weir_assess_state *s, cJSON *parent, const weir_crossval *v) {
    if (!v) return;
    cJSON *object = weir_assess_object(s, parent, "validation"), *values = weir_assess_array(s, object, "values");
    double fit = 0;
    weir_assess_number(s, object, "folds", v->done_count);
    weir_assess_number(s, object, "mean", v->mean);
    weir_assess_number(s, object, "deviation", v->deviation);
    for (int i = 0; i < v->done_count; i++) {
        weir_assess_number(s, values, NULL, v->folds[i].value);
        fit += v->folds[i].fit_s;
    }
    weir_assess_number(s, object, "fit_seconds", v->done_count ? fit / v->done_count : NAN);
}

weir_status weir_assess_models(weir_assess_state *s, weir_err *err) {
    cJSON *array = weir_assess_array(s, s->json, "models");
    weir_status status = WEIR_OK;
    for (int m = 0; !status && m < s->a->model_count; m++) {
        const weir_assessed *model = &s->a->models[m];
        char text[512] = "";
        cJSON *object = weir_assess_object(s, array, NULL);
        if (model->spec) weir_spec_describe(model->spec, text, sizeof text);
        weir_assess_text(s, object, "name", model->name);
        if (model->version > 0) weir_assess_number(s, object, "model_version", model->version);
        weir_assess_flag(s, object, "chosen", m == 0);
        weir_assess_text(s, object, "algorithm", weir_model_algorithm(model->model));
        weir_assess_text(s, object, "description", text[0] ? text : weir_model_algorithm(model->model));
        weir_assess_text(s, object, "digest", weir_model_digest(model->model));
        weir_assess_copy(s, object, "spec", model->spec);
        if (s->task == WEIR_TASK_BINARY) {
            weir_assess_number(s, object, "threshold", s->threshold[m]);
            weir_assess_text(s, object, "threshold_chosen", s->threshold_how[m]);
        }
        status = put_metrics(s, object, m, err);
        put_validation(s, object, model->validation);
    }
    return status;
}

/* ---- comparisons ---- */

/* What a row costs a model: squared error, or −log of the probability of what happened. */
static double loss_of(const weir_assess_state *s, int model, int64_t row) {
    double label = weir_assess_label(s, row);
    const double *score = s->score[model] + row * s->width;
    if (s->task == WEIR_TASK_REGRESSION) return (label - score[0]) * (label - score[0]);
    double p = s->task == WEIR_TASK_MULTICLASS ? score[(int)label] : label == 1 ? score[0] : 1 - score[0];
    return -log(fmin(fmax(p, 0x1p-52), 1));
}

/* Mean loss of a unit, so that rows that belong together count as one observation. loss [units.count]; count [units.count] is scratch. */
static void losses(const weir_assess_state *s, int model, double *loss, double *count) {
    for (uint32_t u = 0; u < s->units.count; u++) loss[u] = count[u] = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        loss[s->units.of_row[r]] += loss_of(s, model, r);
        count[s->units.of_row[r]]++;
    }
    for (uint32_t u = 0; u < s->units.count; u++) loss[u] /= fmax(count[u], 1);
}

typedef struct contest {
    double difference, low, high, p_test; /* of the metric, other − chosen; p by the deviation of the replicates */
    double p_rows, p_folds; /* Wilcoxon over units, corrected t over folds; NaN: not possible */
} contest;

static weir_status compare_folds(const weir_assess_state *s, int m, contest *c, weir_err *err) {
    const weir_crossval *base = s->a->models[0].validation, *other = s->a->models[m].validation;
    c->p_folds = NAN;
    if (!base || !other || base->done_count != other->done_count) return WEIR_OK;
    double *values = weir_models_calloc((size_t)base->done_count, 2 * sizeof *values);
    if (!values) return weir_assess_no_memory(err);
    int n = 0;
    for (int i = 0; i < base->done_count; i++)
        if (isfinite(base->folds[i].value) && isfinite(other->folds[i].value)) {
            values[n] = base->folds[i].value;
            values[base->done_count + n++] = other->folds[i].value;
        }
    weir_paired_t t;
    weir_status status = WEIR_OK;
    if (n >= 2 && isfinite(base->test_to_train)) {
        status = weir_paired_t_test(values, values + base->done_count, n, base->test_to_train, &t, err);
        if (!status) c->p_folds = t.p;
    }
    weir_models_free(values);
    return status;
}

static weir_status compare(weir_assess_state *s, int m, contest *c, weir_err *err) {
    size_t units = s->units.count, n = (size_t)s->replicates;
    double *loss = weir_models_calloc(units, 3 * sizeof *loss), *difference = weir_models_calloc(n, sizeof *difference), mean = 0, squares = 0;
    weir_status status = loss && difference ? WEIR_OK : weir_assess_no_memory(err);
    *c = (contest){.difference = s->value[m][s->metric] - s->value[0][s->metric], .low = NAN, .high = NAN, .p_test = NAN, .p_rows = NAN, .p_folds = NAN};
    size_t finite = 0;
    for (size_t k = 0; !status && k < n; k++) {
        size_t at = k * (size_t)s->metric_count + (size_t)s->metric;
        difference[k] = s->replicate[m][at] - s->replicate[0][at];
        if (!isfinite(difference[k])) continue;
        double before = difference[k] - mean;
        mean += before / (double)++finite;
        squares += before * (difference[k] - mean);
    }
    if (!status && finite >= 20) {
        double error = sqrt(squares / (double)(finite - 1));
        c->p_test = error > 0 ? weir_normal_two_sided(c->difference / error) : c->difference == 0 ? 1 : 0;
        weir_assess_ends(difference, s->replicates, &c->low, &c->high);
    }
    if (!status && s->replicates) {
        weir_wilcoxon w;
        losses(s, 0, loss, loss + 2 * units);
        losses(s, m, loss + units, loss + 2 * units);
        status = weir_wilcoxon_test(loss, loss + units, (int64_t)units, &w, err);
        if (!status) c->p_rows = w.p;
    }
    if (!status) status = compare_folds(s, m, c, err);
    weir_models_free(loss);
    weir_models_free(difference);
    return status;
}

/* Holm's correction over those that there are; the others stay NaN. */
static weir_status adjust(double *p, int count, weir_err *err) {
    double known[WEIR_ASSESSED_MAX];
    int n = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(p[i])) known[n++] = p[i];
    weir_status status = n ? weir_holm_adjust(known, n, known, err) : WEIR_OK;
    for (int i = 0, k = 0; !status && i < count; i++)
        if (!isnan(p[i])) p[i] = known[k++];
    return status;
}

weir_status weir_assess_comparisons(weir_assess_state *s, weir_err *err) {
    contest c[WEIR_ASSESSED_MAX];
    double p[3][WEIR_ASSESSED_MAX];
    int count = s->a->model_count - 1;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < count; i++) {
        status = compare(s, i + 1, &c[i], err);
        p[0][i] = c[i].p_test, p[1][i] = c[i].p_rows, p[2][i] = c[i].p_folds;
    }
    for (int k = 0; !status && k < 3; k++) status = adjust(p[k], count, err);
    if (status || !count) return status;
    cJSON *array = weir_assess_array(s, s->json, "comparisons");
    for (int i = 0; i < count; i++) {
        bool better = (c[i].difference > 0) == s->greater[s->metric];
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_text(s, object, "model", s->a->models[i + 1].name);
        weir_assess_number(s, object, "difference", c[i].difference);
        weir_assess_number(s, object, "low", c[i].low);
        weir_assess_number(s, object, "high", c[i].high);
        weir_assess_number(s, object, "p_test", c[i].p_test);
        weir_assess_number(s, object, "p_test_adjusted", p[0][i]);
        weir_assess_text(s, object, "loss", s->task == WEIR_TASK_REGRESSION ? "squared error" : "log loss");
        weir_assess_number(s, object, "p_wilcoxon_adjusted", p[1][i]);
        weir_assess_number(s, object, "p_folds_adjusted", p[2][i]);
        weir_assess_text(s, object, "verdict", isnan(p[0][i]) ? "not known" : p[0][i] >= 0.05 ? "not told apart" : better ? "better" : "worse");
    }
    return WEIR_OK;
}

/* ---- slices ---- */

typedef struct slice {
    char column[128], value[128];
    int64_t rows;
    double metric, low, high, rest, p; /* rest: of all other rows; p: of the difference */
} slice;

typedef struct slices {
    slice *list; /* [SLICES] */
    int16_t *of_row; /* [rows] of the column at hand: its slice, −1: none */
    int count;
    int64_t left_out; /* of a column or tenants with too many */
    double *label, *score; /* room for a replicate of one part */
    uint32_t *times;
} slices;

static void slices_done(slices *x) {
    weir_models_free(x->list);
    weir_models_free(x->of_row);
    weir_models_free(x->label);
    weir_models_free(x->score);
    weir_models_free(x->times);
}

static double metric_on(const weir_assess_state *s, slices *x, int which, bool inside, bool drawn, weir_status *status, weir_err *err) {
    int64_t n = 0;
    double values[WEIR_ASSESS_METRICS];
    for (int64_t r = 0; r < s->rows; r++) {
        if ((x->of_row[r] == which) != inside) continue;
        uint32_t times = drawn ? x->times[s->units.of_row[r]] : 1;
        for (uint32_t t = 0; t < times && n < 2 * s->rows; t++, n++) {
            x->label[n] = weir_assess_label(s, r);
            memcpy(x->score + n * s->width, s->score[0] + r * s->width, (size_t)s->width * sizeof *x->score);
        }
    }
    if (*status || n == 0) return NAN;
    *status = weir_assess_measure(s, x->label, x->score, n, s->threshold[0], values, err);
    return *status ? NAN : values[s->metric];
}

/* Replicates of the slice and of the rest at once: a difference keeps what both have in common. */
static weir_status judge(const weir_assess_state *s, slices *x, int which, weir_err *err) {
    slice *at = &x->list[which];
    weir_status status = WEIR_OK;
    at->low = at->high = at->p = NAN;
    at->metric = metric_on(s, x, which, true, false, &status, err);
    at->rest = metric_on(s, x, which, false, false, &status, err);
    int replicates = s->replicates ? (int)fmin(fmax(4e6 / (double)(s->rows * s->width), 60), 300) : 0, finite = 0;
    double *values = weir_models_calloc((size_t)replicates, sizeof *values), mean = 0, squares = 0;
    if (!values) return weir_assess_no_memory(err);
    for (int k = 0; !status && at->rows >= SLICE_ROWS_MIN && k < replicates; k++) {
        weir_assess_draw(s, k, x->times);
        values[k] = metric_on(s, x, which, true, true, &status, err);
        double difference = values[k] - metric_on(s, x, which, false, true, &status, err);
        if (!isfinite(difference)) continue;
        double before = difference - mean;
        mean += before / ++finite;
        squares += before * (difference - mean);
    }
    if (!status && finite >= replicates / 2 && finite >= 20) {
        double error = sqrt(squares / (finite - 1));
        at->p = error > 0 ? weir_normal_two_sided((at->metric - at->rest) / error) : NAN;
        weir_assess_ends(values, replicates, &at->low, &at->high);
    }
    weir_models_free(values);
    return status ? status : weir_assess_cancelled(s, err);
}

static int add_slice(slices *x, const char *column, const char *value) {
    if (x->count >= SLICES) {
        x->left_out++;
        return -1;
    }
    slice *at = &x->list[x->count];
    snprintf(at->column, sizeof at->column, "%s", column);
    snprintf(at->value, sizeof at->value, "%s", value);
    return x->count++;
}

static weir_status judge_from(const weir_assess_state *s, slices *x, int first, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int64_t r = 0; r < s->rows; r++)
        if (x->of_row[r] >= 0) x->list[x->of_row[r]].rows++;
    for (int i = first; !status && i < x->count; i++) status = judge(s, x, i, err);
    return status;
}

static weir_status slice_tenants(const weir_assess_state *s, slices *x, weir_err *err) {
    int first = x->count, of[TENANTS];
    if (!s->test->tenant || s->test->tenant_count < 2) return WEIR_OK;
    for (uint32_t t = 0; t < s->test->tenant_count && t < TENANTS; t++) of[t] = add_slice(x, "tenant", s->test->tenant_names[t]);
    for (int64_t r = 0; r < s->rows; r++) x->of_row[r] = s->test->tenant[r] < TENANTS ? (int16_t)of[s->test->tenant[r]] : -1;
    if (s->test->tenant_count > TENANTS) x->left_out += s->test->tenant_count - TENANTS;
    return judge_from(s, x, first, err);
}

/* The values of a column by how often they occur, or the quarters of a number with many of them. */
static weir_status slice_column(const weir_assess_state *s, slices *x, int column, weir_err *err) {
    const weir_matrix *m = &s->test->matrix;
    double *sorted = weir_models_calloc((size_t)s->rows, sizeof *sorted), values[VALUES], edges[PARTS + 1];
    int of[VALUES + 1], distinct = 0, first = x->count;
    int64_t known = 0;
    if (!sorted) return weir_assess_no_memory(err);
    for (int64_t r = 0; r < s->rows; r++)
        if (!isnan(m->values[r * m->column_count + column])) sorted[known++] = m->values[r * m->column_count + column];
    qsort(sorted, (size_t)known, sizeof *sorted, weir_assess_by_value);
    for (int64_t i = 0; i < known && distinct <= VALUES; i++)
        if (i == 0 || sorted[i] != sorted[i - 1]) {
            if (distinct < VALUES) values[distinct] = sorted[i];
            distinct++;
        }
    bool parts = distinct > VALUES && !weir_assess_is_category(m, column);
    for (int i = 0; i <= PARTS; i++) edges[i] = weir_assess_quantile(sorted, known, i / (double)PARTS);
    weir_models_free(sorted);
    int count = parts ? PARTS : distinct < VALUES ? distinct : VALUES;
    for (int i = 0; i < count; i++) {
        char text[64], range[96];
        snprintf(range, sizeof range, "%.4g to %.4g", edges[parts ? i : 0], edges[parts ? i + 1 : 0]);
        of[i] = add_slice(x, m->column_names[column], parts ? range : weir_assess_value_words(m, column, values[i], text));
    }
    if (distinct > VALUES && !parts) x->left_out++;
    of[VALUES] = known < s->rows ? add_slice(x, m->column_names[column], "missing") : -1;
    for (int64_t r = 0; r < s->rows; r++) {
        double v = m->values[r * m->column_count + column];
        int place = -1;
        for (int i = 0; i < count && place < 0; i++)
            if (parts ? v >= edges[i] && (v < edges[i + 1] || i == count - 1) : v == values[i]) place = of[i];
        x->of_row[r] = (int16_t)(isnan(v) ? of[VALUES] : place);
    }
    return judge_from(s, x, first, err);
}

static weir_status slice_named(const weir_assess_state *s, slices *x, const char *name, weir_err *err) {
    for (int c = 0; c < s->test->matrix.column_count; c++)
        if (!strcmp(s->test->matrix.column_names[c], name)) return slice_column(s, x, c, err);
    return WEIR_FAIL(err, WEIR_EINVAL, "slices by %s, which is no column of the test rows", name);
}

static weir_status put_slices(weir_assess_state *s, const slices *x, weir_err *err) {
    double p[SLICES] = {0}, known[SLICES];
    int n = 0;
    for (int i = 0; i < x->count; i++)
        if (!isnan(x->list[i].p)) known[n++] = x->list[i].p;
    weir_status status = n ? weir_holm_adjust(known, n, known, err) : WEIR_OK;
    if (status) return status;
    cJSON *object = weir_assess_object(s, s->json, "slices"), *array = weir_assess_array(s, object, "list");
    weir_assess_text(s, object, "metric", s->metric_name[s->metric]);
    weir_assess_number(s, object, "left_out", (double)x->left_out);
    for (int i = 0, k = 0; i < x->count && !s->no_memory; i++) {
        const slice *at = &x->list[i];
        p[i] = isnan(at->p) ? NAN : known[k++];
        bool lower = at->metric < at->rest;
        cJSON *row = weir_assess_object(s, array, NULL);
        weir_assess_text(s, row, "column", at->column);
        weir_assess_text(s, row, "value", at->value);
        weir_assess_number(s, row, "rows", (double)at->rows);
        weir_assess_number(s, row, "metric", at->metric);
        weir_assess_number(s, row, "low", at->low);
        weir_assess_number(s, row, "high", at->high);
        weir_assess_number(s, row, "rest", at->rest);
        weir_assess_number(s, row, "p_adjusted", p[i]);
        weir_assess_flag(s, row, "worse", p[i] < 0.05 && lower == s->greater[s->metric]);
    }
    return WEIR_OK;
}

weir_status weir_assess_slices(weir_assess_state *s, weir_err *err) {
    size_t n = (size_t)s->rows;
    if (s->rows < 2 * SLICE_ROWS_MIN) {
        if (s->a->slices || s->test->tenant_count > 1) weir_assess_none(s, s->json, "slices", "there are fewer than 60 test rows");
        return WEIR_OK;
    }
    slices x = {.list = weir_models_calloc(SLICES, sizeof *x.list), .of_row = weir_models_calloc(n, sizeof *x.of_row)};
    x.label = weir_models_calloc(2 * n, sizeof *x.label);
    x.score = weir_models_calloc(2 * n * (size_t)s->width, sizeof *x.score);
    x.times = weir_models_calloc(s->units.count, sizeof *x.times);
    weir_status status = x.list && x.of_row && x.label && x.score && x.times ? WEIR_OK : weir_assess_no_memory(err);
    if (!status) status = slice_tenants(s, &x, err);
    for (const char *const *name = s->a->slices; !status && name && *name; name++) status = slice_named(s, &x, *name, err);
    if (!status && x.count) status = put_slices(s, &x, err);
    slices_done(&x);
    return status;
}
