/* What errors of a regression look like: tests of what is left in them, pictures, and prediction intervals with the share of test rows that they hold. See
 * docs/evaluation.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/distributions.h"
#include "models/assess_internal.h"
#include "models/conformal.h"
#include "models/memory.h"
#include "models/residuals.h"

enum { POINTS = 800, CELLS = 40, BINS = 30, QUANTILES = 99, BUCKETS = 60, TENTHS = 10, LAGS = 24, SHOWN_ROWS = 168 };

/* The chosen model's errors. */
typedef struct errors {
    double *residual; /* [rows] label − prediction */
    double *sorted; /* [rows] the same, ascending */
    double *scratch; /* [rows] */
    double *ordered; /* [2][rows] label and prediction, neighbours of one entity beside each other */
    int64_t *order; /* [rows] */
    const char *order_name;
    double mean, deviation;
} errors;

static const double *prediction_of(const weir_assess_state *s) {
    return s->score[0];
}

/* ---- order: entity by entity, each by time, where entities are few and long; else as the rows are, which is by time ---- */

static bool by_entity(const weir_assess_state *s) {
    return s->test->entity && s->test->entity_count > 1 && s->units.count < s->rows && s->test->entity_count * 5LL <= s->rows;
}

static bool make_order(const weir_assess_state *s, errors *e) {
    e->order_name = s->test->time_us ? "time" : "the rows' own order";
    if (!by_entity(s)) {
        for (int64_t r = 0; r < s->rows; r++) e->order[r] = r;
        return true;
    }
    int64_t *place = weir_models_calloc((size_t)s->test->entity_count + 1, sizeof *place);
    if (!place) return false;
    for (int64_t r = 0; r < s->rows; r++) place[s->test->entity[r] + 1]++;
    for (uint32_t i = 0; i < s->test->entity_count; i++) place[i + 1] += place[i];
    for (int64_t r = 0; r < s->rows; r++) e->order[place[s->test->entity[r]]++] = r;
    weir_models_free(place);
    e->order_name = "entity, then time";
    return true;
}

static void errors_done(errors *e) {
    weir_models_free(e->residual);
    weir_models_free(e->sorted);
    weir_models_free(e->scratch);
    weir_models_free(e->ordered);
    weir_models_free(e->order);
}

static bool errors_new(const weir_assess_state *s, errors *e) {
    size_t n = (size_t)s->rows;
    *e = (errors){.residual = weir_models_calloc(n, sizeof(double)),
                  .sorted = weir_models_calloc(n, sizeof(double)),
                  .scratch = weir_models_calloc(n, sizeof(double)),
                  .ordered = weir_models_calloc(n, 2 * sizeof(double)),
                  .order = weir_models_calloc(n, sizeof(int64_t))};
    if (!e->residual || !e->sorted || !e->scratch || !e->ordered || !e->order || !make_order(s, e)) return false;
    for (int64_t r = 0; r < s->rows; r++) {
        e->residual[r] = e->sorted[r] = weir_assess_label(s, r) - prediction_of(s)[r];
        e->ordered[r] = weir_assess_label(s, e->order[r]);
        e->ordered[s->rows + r] = prediction_of(s)[e->order[r]];
    }
    qsort(e->sorted, n, sizeof(double), weir_assess_by_value);
    return true;
}

/* ---- tests ---- */

static void put_test(weir_assess_state *s, cJSON *parent, const char *key, weir_test test, const char *found, const char *not_found) {
    cJSON *object = weir_assess_object(s, parent, key);
    weir_assess_number(s, object, "statistic", test.statistic);
    weir_assess_number(s, object, "p", test.p);
    weir_assess_text(s, object, "words", isnan(test.p) ? "Nothing to test: the errors do not vary." : test.p < 0.05 ? found : not_found);
}

static void put_autocorrelation(weir_assess_state *s, cJSON *parent, const errors *e) {
    double r[LAGS] = {0};
    int lags = (int)fmin(LAGS, (double)s->rows / 4);
    double squares = 0;
    for (int64_t i = 0; i < s->rows; i++) {
        e->scratch[i] = e->residual[e->order[i]] - e->mean;
        squares += e->scratch[i] * e->scratch[i];
    }
    if (!(squares > 0)) return;
    for (int k = 1; k <= lags; k++) {
        for (int64_t i = k; i < s->rows; i++) r[k - 1] += e->scratch[i] * e->scratch[i - k];
        r[k - 1] /= squares;
    }
    weir_assess_numbers(s, parent, "autocorrelation", r, lags);
    weir_assess_number(s, parent, "autocorrelation_bound", 1.96 / sqrt((double)s->rows));
}

static weir_status tests(weir_assess_state *s, cJSON *parent, errors *e, weir_err *err) {
    weir_residuals t;
    int lags = (int)fmin(10, (double)s->rows / 5);
    weir_status status = weir_residuals_test(e->ordered, e->ordered + s->rows, s->rows, lags, &t, err);
    if (status) return status;
    cJSON *object = weir_assess_object(s, parent, "residuals");
    e->mean = t.mean;
    e->deviation = t.deviation;
    weir_assess_text(s, object, "order", e->order_name);
    weir_assess_number(s, object, "mean", t.mean);
    weir_assess_number(s, object, "deviation", t.deviation);
    weir_assess_number(s, object, "skewness", t.skewness);
    weir_assess_number(s, object, "excess_kurtosis", t.excess_kurtosis);
    cJSON *durbin = weir_assess_object(s, object, "durbin_watson");
    weir_assess_number(s, durbin, "statistic", t.durbin_watson);
    weir_assess_text(s, durbin, "words",
                     isnan(t.durbin_watson)  ? "Nothing to test: the errors do not vary."
                     : t.durbin_watson < 1.5 ? "Below 1.5: an error tends to be followed by one of the same sign."
                     : t.durbin_watson > 2.5 ? "Above 2.5: an error tends to be followed by one of the other sign."
                                             : "Between 1.5 and 2.5: neighbouring errors follow on each other little, if at all.");
    put_test(s, object, "ljung_box", t.ljung_box, "Errors can be told in part from earlier errors: the model leaves some of what time knows unused.",
             "No sign that errors follow on earlier errors.");
    weir_assess_number(s, cJSON_GetObjectItem(object, "ljung_box"), "lags", lags);
    put_test(s, object, "breusch_pagan", t.breusch_pagan,
             "The size of errors depends on the prediction: one width of interval is too wide for some rows and too narrow for others.",
             "No sign that the size of errors depends on the prediction.");
    put_test(s, object, "jarque_bera", t.jarque_bera, "Errors are not normally distributed: intervals that assume it are off; the conformal ones do not.",
             "No sign that errors are not normally distributed.");
    put_autocorrelation(s, object, e);
    return WEIR_OK;
}

/* ---- pictures ---- */

/* Pairs of numbers: points when they are few, else counts in cells. */
static void put_cloud(weir_assess_state *s, cJSON *parent, const char *key, const double *x, const double *y, double *counts) {
    cJSON *object = weir_assess_object(s, parent, key);
    if (s->rows <= POINTS) {
        cJSON *points = weir_assess_array(s, object, "points");
        for (int64_t r = 0; r < s->rows && !s->no_memory; r++) weir_assess_pair(s, points, x[r], y[r]);
        return;
    }
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int64_t r = 0; r < s->rows; r++) {
        low[0] = fmin(low[0], x[r]), high[0] = fmax(high[0], x[r]);
        low[1] = fmin(low[1], y[r]), high[1] = fmax(high[1], y[r]);
    }
    for (int i = 0; i < CELLS * CELLS; i++) counts[i] = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        int column = high[0] > low[0] ? (int)fmin((x[r] - low[0]) / (high[0] - low[0]) * CELLS, CELLS - 1) : 0;
        int row = high[1] > low[1] ? (int)fmin((y[r] - low[1]) / (high[1] - low[1]) * CELLS, CELLS - 1) : 0;
        counts[row * CELLS + column]++;
    }
    weir_assess_number(s, object, "x_low", low[0]);
    weir_assess_number(s, object, "x_high", high[0]);
    weir_assess_number(s, object, "y_low", low[1]);
    weir_assess_number(s, object, "y_high", high[1]);
    weir_assess_number(s, object, "columns", CELLS);
    weir_assess_numbers(s, object, "counts", counts, CELLS * CELLS);
}

static void put_histogram(weir_assess_state *s, cJSON *parent, const errors *e) {
    double counts[BINS] = {0}, low = weir_assess_quantile(e->sorted, s->rows, 0.002), high = weir_assess_quantile(e->sorted, s->rows, 0.998);
    cJSON *object = weir_assess_object(s, parent, "histogram");
    int64_t outside = 0;
    for (int64_t i = 0; i < s->rows; i++) {
        outside += e->sorted[i] < low || e->sorted[i] > high;
        if (high > low && e->sorted[i] >= low && e->sorted[i] <= high) counts[(int)fmin((e->sorted[i] - low) / (high - low) * BINS, BINS - 1)]++;
    }
    weir_assess_number(s, object, "low", low);
    weir_assess_number(s, object, "high", high);
    weir_assess_number(s, object, "outside", (double)outside);
    weir_assess_numbers(s, object, "counts", counts, BINS);
    cJSON *qq = weir_assess_array(s, parent, "quantiles");
    for (int i = 1; i <= QUANTILES && e->deviation > 0; i++) {
        double q = i / (QUANTILES + 1.0);
        weir_assess_pair(s, qq, weir_normal_inverse(q), (weir_assess_quantile(e->sorted, s->rows, q) - e->mean) / e->deviation);
    }
}

static void put_over_time(weir_assess_state *s, cJSON *parent, const errors *e) {
    const int64_t *t = s->test->time_us;
    if (!t || t[s->rows - 1] == t[0]) {
        weir_assess_none(s, parent, "over_time", "the test rows have no times");
        return;
    }
    int buckets = (int)fmin(BUCKETS, fmax((double)s->rows / 20, 2));
    double span = (double)(t[s->rows - 1] - t[0]);
    cJSON *array = weir_assess_array(s, parent, "over_time");
    for (int64_t r = 0, b = 0; b < buckets; b++) {
        double sum = 0, squares = 0, n = 0;
        for (; r < s->rows && (b == buckets - 1 || (double)(t[r] - t[0]) < span * (double)(b + 1) / buckets); r++, n++) {
            sum += e->residual[r];
            squares += e->residual[r] * e->residual[r];
        }
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_time(s, object, "time_us", t[0] + (int64_t)(span * ((double)b + 0.5) / buckets));
        weir_assess_number(s, object, "rows", n);
        weir_assess_number(s, object, "mean_error", n > 0 ? sum / n : NAN);
        weir_assess_number(s, object, "rmse", n > 0 ? sqrt(squares / n) : NAN);
    }
}

/* ---- prediction intervals ---- */

/* Rows whose error the radius is taken from: training rows out of fold, else the first half of the test rows, and the others measure. */
typedef struct held {
    double *label, *score; /* one block */
    int64_t rows, measured_from;
    const char *name;
} held;

static weir_status hold(const weir_assess_state *s, held *h, weir_err *err) {
    const weir_crossval *v = s->a->models[0].validation;
    int64_t n = s->train->matrix.row_count, known = 0, room = n > s->rows ? n : s->rows;
    h->label = weir_models_calloc((size_t)room, 2 * sizeof *h->label);
    if (!h->label) return weir_assess_no_memory(err);
    h->score = h->label + room;
    for (int64_t r = 0; v && v->scores && r < n; r++)
        if (isfinite(v->scores[r * v->output_count])) {
            h->label[known] = s->train->matrix.label[r];
            h->score[known++] = v->scores[r * v->output_count];
        }
    h->name = "training rows, out of fold";
    if (known < WEIR_ASSESS_ROWS_MIN) {
        for (known = 0; known < s->rows / 2; known++) {
            h->label[known] = weir_assess_label(s, known);
            h->score[known] = prediction_of(s)[known];
        }
        h->measured_from = known;
        h->name = "first half of the test rows; the other half measures";
    }
    h->rows = known;
    return WEIR_OK;
}

static double deviation_of(const held *h) {
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < h->rows; r++) sum += h->label[r] - h->score[r];
    for (int64_t r = 0; r < h->rows; r++) squares += pow(h->label[r] - h->score[r] - sum / (double)h->rows, 2);
    return sqrt(squares / (double)(h->rows - 1));
}

/* Test rows in order of their prediction, in ten parts: does the interval hold everywhere what it holds on the whole? */
static void put_coverage_by_prediction(weir_assess_state *s, cJSON *parent, const errors *e, double radius) {
    double *sorted = e->scratch;
    for (int64_t r = 0; r < s->rows; r++) sorted[r] = prediction_of(s)[r];
    qsort(sorted, (size_t)s->rows, sizeof *sorted, weir_assess_by_value);
    cJSON *array = weir_assess_array(s, parent, "by_prediction");
    for (int b = 0; b < TENTHS; b++) {
        double low = weir_assess_quantile(sorted, s->rows, b / (double)TENTHS), high = weir_assess_quantile(sorted, s->rows, (b + 1) / (double)TENTHS);
        double in = 0, n = 0, sum = 0;
        for (int64_t r = 0; r < s->rows; r++) {
            double p = prediction_of(s)[r];
            if (p < low || p > high || (p == high && b < TENTHS - 1)) continue;
            in += fabs(e->residual[r]) <= radius;
            sum += p;
            n++;
        }
        if (n == 0) continue;
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_number(s, object, "prediction", sum / n);
        weir_assess_number(s, object, "rows", n);
        weir_assess_number(s, object, "coverage", in / n);
    }
}

/* The last rows of the entity that has the last row. */
static void put_shown_rows(weir_assess_state *s, cJSON *parent, double radius) {
    const uint32_t *entity = s->test->entity;
    bool one = by_entity(s);
    if (!s->test->time_us || (entity && s->test->entity_count > 1 && !one)) return; /* rows of many entities make no line */
    uint32_t of = one ? entity[s->rows - 1] : 0;
    int64_t first = s->rows;
    for (int shown = 0; first > 0 && shown < SHOWN_ROWS; shown += !one || entity[first] == of) first--;
    cJSON *array = weir_assess_array(s, parent, "last_rows");
    for (int64_t r = first; r < s->rows && !s->no_memory; r++) {
        if (one && entity[r] != of) continue;
        cJSON *row = weir_assess_object(s, array, NULL);
        weir_assess_time(s, row, "time_us", s->test->time_us[r]);
        weir_assess_number(s, row, "label", weir_assess_label(s, r));
        weir_assess_number(s, row, "prediction", prediction_of(s)[r]);
        weir_assess_number(s, row, "low", prediction_of(s)[r] - radius);
        weir_assess_number(s, row, "high", prediction_of(s)[r] + radius);
    }
}

static weir_status put_coverage(weir_assess_state *s, cJSON *object, const errors *e, const held *h, double radius, weir_err *err) {
    int64_t from = h->measured_from, n = s->rows - from;
    int64_t *row = weir_models_calloc((size_t)n, sizeof *row);
    double coverage = NAN, low = NAN, high = NAN;
    if (!row) return weir_assess_no_memory(err);
    for (int64_t i = 0; i < n; i++) {
        row[i] = from + i;
        e->scratch[i] = fabs(e->residual[from + i]) <= radius;
    }
    weir_status status = weir_conformal_coverage(s->test->matrix.label + from, prediction_of(s) + from, NULL, n, radius, &coverage, err);
    if (!status) status = weir_assess_mean_interval(s, e->scratch, n, row, &low, &high, err);
    weir_models_free(row);
    weir_assess_number(s, object, "radius", radius);
    weir_assess_number(s, object, "coverage", coverage);
    weir_assess_number(s, object, "coverage_low", low);
    weir_assess_number(s, object, "coverage_high", high);
    return status;
}

static weir_status intervals(weir_assess_state *s, cJSON *parent, const errors *e, weir_err *err) {
    held h = {0};
    double radius = NAN, level = s->a->interval_level > 0 ? s->a->interval_level : 0.9;
    weir_status status = hold(s, &h, err);
    if (!status) status = weir_conformal_radius(h.label, h.score, h.rows, level, &radius, err);
    if (!status && !isfinite(radius)) {
        weir_assess_none(s, parent, "intervals", "too few rows to take a radius from");
    } else if (!status) {
        cJSON *object = weir_assess_object(s, parent, "intervals");
        weir_assess_text(s, object, "method", "split conformal");
        weir_assess_number(s, object, "level", level);
        weir_assess_text(s, object, "radius_from", h.name);
        weir_assess_number(s, object, "radius_rows", (double)h.rows);
        weir_assess_number(s, object, "measured_rows", (double)(s->rows - h.measured_from));
        status = put_coverage(s, object, e, &h, radius, err);
        double normal = weir_normal_inverse(0.5 + level / 2) * deviation_of(&h);
        if (!status) status = put_coverage(s, weir_assess_object(s, object, "normal"), e, &h, normal, err);
        put_coverage_by_prediction(s, object, e, radius);
        put_shown_rows(s, object, radius);
    }
    weir_models_free(h.label);
    return status;
}

/* ---- targets ---- */

static weir_status targets(weir_assess_state *s, cJSON *parent, weir_err *err) {
    weir_model *model = s->a->models[0].model;
    int count = s->test->target_count;
    if (count < 2 || weir_model_output_count(model) != count || !s->test->targets) return WEIR_OK;
    double *all = weir_models_calloc((size_t)(s->rows * count), sizeof *all), *one = weir_models_calloc((size_t)s->rows, sizeof *one);
    weir_status status = all && one ? weir_model_predict(model, s->test->matrix.values, s->rows, all, err) : weir_assess_no_memory(err);
    cJSON *array = weir_assess_array(s, parent, "targets");
    for (int t = 0; !status && t < count; t++) {
        double values[WEIR_ASSESS_METRICS];
        for (int64_t r = 0; r < s->rows; r++) one[r] = all[r * count + t];
        status = weir_assess_measure(s, s->test->targets + t * s->rows, one, s->rows, 0, values, err);
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_text(s, object, "name", s->test->target_names[t]);
        for (int i = 0; !status && i < s->metric_count; i++) weir_assess_number(s, object, s->metric_name[i], values[i]);
    }
    weir_models_free(all);
    weir_models_free(one);
    return status;
}

weir_status weir_assess_regression(weir_assess_state *s, weir_err *err) {
    errors e = {0};
    double *counts = weir_models_calloc(CELLS * CELLS, sizeof *counts);
    weir_status status = counts && errors_new(s, &e) ? WEIR_OK : weir_assess_no_memory(err);
    cJSON *object = weir_assess_object(s, s->json, "regression");
    if (!status) {
        int64_t zero = 0;
        for (int64_t r = 0; r < s->rows; r++) zero += weir_assess_label(s, r) == 0;
        weir_assess_number(s, object, "rows_of_zero", (double)zero);
        status = tests(s, object, &e, err);
    }
    if (!status) {
        put_cloud(s, object, "predicted", prediction_of(s), s->test->matrix.label, counts);
        put_cloud(s, object, "residuals_by_prediction", prediction_of(s), e.residual, counts);
        put_histogram(s, object, &e);
        put_over_time(s, object, &e);
        status = intervals(s, object, &e, err);
    }
    if (!status) status = targets(s, object, err);
    errors_done(&e);
    weir_models_free(counts);
    return status;
}
