/* What scores of two classes are worth at every threshold, whether they are probabilities, and what the chosen threshold decides. See docs/evaluation.md. */
#include <math.h>

#include "models/assess_internal.h"
#include "models/curves.h"
#include "models/memory.h"

enum { CURVES = 5, BINS = 20, CALIBRATION_BINS = 10, THRESHOLDS = 100 };

static weir_outcomes outcomes_of(const weir_assess_state *s, int model) {
    return (weir_outcomes){.row_count = s->rows, .label = s->test->matrix.label, .score = s->score[model], .threshold = s->threshold[model]};
}

static int64_t positives_of(const weir_assess_state *s) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rows; r++) n += weir_assess_label(s, r) == 1;
    return n;
}

/* ---- curves ---- */

typedef weir_status (*curve_maker)(const weir_outcomes *, int, weir_curve *, weir_err *);

static weir_status curve(weir_assess_state *s, cJSON *array, int model, curve_maker make, weir_err *err) {
    weir_outcomes o = outcomes_of(s, model);
    weir_curve c;
    weir_status status = make(&o, 250, &c, err);
    if (status == WEIR_ELIMIT) status = make(&o, WEIR_CURVE_POINTS_MAX, &c, err); /* a curve with more corners */
    if (status) return status;
    cJSON *object = weir_assess_object(s, array, NULL);
    weir_assess_text(s, object, "model", s->a->models[model].name);
    weir_assess_number(s, object, "area", c.area);
    cJSON *points = weir_assess_array(s, object, "points");
    for (int i = 0; i < c.count && !s->no_memory; i++) weir_assess_pair(s, points, c.points[i].x, c.points[i].y);
    weir_curve_done(&c);
    return WEIR_OK;
}

static weir_status curves(weir_assess_state *s, cJSON *parent, weir_err *err) {
    weir_status status = WEIR_OK;
    cJSON *roc = weir_assess_array(s, parent, "roc"), *pr = weir_assess_array(s, parent, "precision_recall");
    for (int m = 0; !status && m < s->a->model_count && m < CURVES; m++) {
        status = curve(s, roc, m, weir_roc_curve, err);
        if (!status) status = curve(s, pr, m, weir_precision_recall_curve, err);
    }
    return status;
}

/* ---- calibration ---- */

/* Wilson's interval of a share, at 95 %. Source: E. B. Wilson, JASA 22 (1927). */
static void wilson(double share, double n, double *ret_low, double *ret_high) {
    const double z = 1.959963984540054;
    double middle = (share + z * z / (2 * n)) / (1 + z * z / n), half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n);
    *ret_low = fmax(middle - half, 0);
    *ret_high = fmin(middle + half, 1);
}

static weir_status calibration(weir_assess_state *s, cJSON *parent, weir_err *err) {
    weir_outcomes o = outcomes_of(s, 0);
    for (int64_t r = 0; r < s->rows; r++)
        if (o.score[r] < 0 || o.score[r] > 1) {
            weir_assess_none(s, parent, "calibration", "the scores are no probabilities");
            return WEIR_OK;
        }
    weir_calibration *c = weir_models_calloc(1, sizeof *c);
    if (!c) return weir_assess_no_memory(err);
    weir_status status = weir_calibrate(&o, WEIR_BINS_EQUAL_INFORMATION, CALIBRATION_BINS, c, err);
    cJSON *object = weir_assess_object(s, parent, "calibration"), *bins = weir_assess_array(s, object, "bins");
    for (int i = 0; !status && i < c->count; i++) {
        const weir_calibration_bin *b = &c->bins[i];
        double low, high;
        wilson(b->positive_share, (double)b->rows, &low, &high);
        cJSON *bin = weir_assess_object(s, bins, NULL);
        weir_assess_number(s, bin, "rows", (double)b->rows);
        weir_assess_number(s, bin, "mean_score", b->mean_score);
        weir_assess_number(s, bin, "positive_share", b->positive_share);
        weir_assess_number(s, bin, "low", low);
        weir_assess_number(s, bin, "high", high);
    }
    weir_models_free(c);
    return status;
}

/* ---- decisions ---- */

static void confusion(weir_assess_state *s, cJSON *parent) {
    double cells[4] = {0};
    for (int64_t r = 0; r < s->rows; r++) cells[(weir_assess_label(s, r) == 1) * 2 + (s->score[0][r] >= s->threshold[0])]++;
    weir_assess_numbers(s, parent, "confusion", cells, 4);
}

static double cost_at(const weir_assess_state *s, double threshold, double false_positive, double false_negative) {
    double cost = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        bool positive = weir_assess_label(s, r) == 1, called = s->score[0][r] >= threshold;
        cost += called && !positive ? false_positive : !called && positive ? false_negative : 0;
    }
    return cost;
}

static weir_status threshold(weir_assess_state *s, cJSON *parent, weir_err *err) {
    double fp = s->a->cost_false_positive, fn = s->a->cost_false_negative, sorted[THRESHOLDS + 1];
    if (fp == 0 && fn == 0) fp = fn = 1;
    weir_outcomes o = outcomes_of(s, 0);
    weir_cost_choice best;
    weir_status status = weir_threshold_by_cost(&o, fp, fn, &best, err);
    if (status) return status;
    cJSON *object = weir_assess_object(s, parent, "threshold");
    weir_assess_number(s, object, "value", s->threshold[0]);
    weir_assess_text(s, object, "chosen", s->threshold_how[0]);
    weir_assess_number(s, object, "cost_false_positive", fp);
    weir_assess_number(s, object, "cost_false_negative", fn);
    weir_assess_number(s, object, "cost", cost_at(s, s->threshold[0], fp, fn));
    weir_assess_number(s, object, "cost_at_half", cost_at(s, 0.5, fp, fn));
    weir_assess_number(s, object, "cost_of_none", cost_at(s, INFINITY, fp, fn));
    weir_assess_number(s, object, "cost_of_all", cost_at(s, -INFINITY, fp, fn));
    weir_assess_number(s, object, "least_on_test", best.cost);
    double low = INFINITY, high = -INFINITY;
    for (int64_t r = 0; r < s->rows; r++) low = fmin(low, s->score[0][r]), high = fmax(high, s->score[0][r]);
    cJSON *points = weir_assess_array(s, object, "points");
    for (int i = 0; i <= THRESHOLDS; i++) {
        sorted[i] = low + (high - low) * i / THRESHOLDS;
        weir_assess_pair(s, points, sorted[i], cost_at(s, sorted[i], fp, fn));
    }
    return WEIR_OK;
}

static weir_status precision_at(weir_assess_state *s, cJSON *parent, weir_err *err) {
    static const int64_t steps[] = {10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};
    double positives = (double)positives_of(s);
    cJSON *array = weir_assess_array(s, parent, "precision_at_k");
    for (size_t i = 0; i < sizeof steps / sizeof *steps && steps[i] <= s->rows; i++) {
        weir_outcomes o = outcomes_of(s, 0);
        weir_metrics_decisions m;
        o.k = steps[i];
        weir_status status = weir_measure_decisions(&o, &m, err);
        if (status) return status;
        double found = m.precision_at_k * (double)steps[i];
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_number(s, object, "k", (double)steps[i]);
        weir_assess_number(s, object, "precision", m.precision_at_k);
        weir_assess_number(s, object, "recall", positives > 0 ? found / positives : NAN);
        weir_assess_number(s, object, "lift", positives > 0 ? m.precision_at_k / (positives / (double)s->rows) : NAN);
    }
    return WEIR_OK;
}

static void score_histogram(weir_assess_state *s, cJSON *parent) {
    double counts[2][BINS] = {{0}}, low = 0, high = 1;
    for (int64_t r = 0; r < s->rows; r++) low = fmin(low, s->score[0][r]), high = fmax(high, s->score[0][r]);
    for (int64_t r = 0; r < s->rows; r++) counts[weir_assess_label(s, r) == 1][(int)fmin((s->score[0][r] - low) / (high - low) * BINS, BINS - 1)]++;
    cJSON *object = weir_assess_object(s, parent, "scores");
    weir_assess_number(s, object, "low", low);
    weir_assess_number(s, object, "high", high);
    weir_assess_numbers(s, object, "negative", counts[0], BINS);
    weir_assess_numbers(s, object, "positive", counts[1], BINS);
}

weir_status weir_assess_binary(weir_assess_state *s, weir_err *err) {
    int64_t positives = positives_of(s);
    cJSON *object = weir_assess_object(s, s->json, "binary");
    weir_assess_number(s, object, "rows", (double)s->rows);
    weir_assess_number(s, object, "positives", (double)positives);
    weir_status status = WEIR_OK;
    if (positives == 0 || positives == s->rows) {
        weir_assess_none(s, object, "roc", "all test rows are of one class");
        weir_assess_none(s, object, "precision_recall", "all test rows are of one class");
    } else {
        status = curves(s, object, err);
    }
    if (!status) status = calibration(s, object, err);
    if (!status) status = threshold(s, object, err);
    if (!status) status = precision_at(s, object, err);
    confusion(s, object);
    score_histogram(s, object);
    return status;
}
