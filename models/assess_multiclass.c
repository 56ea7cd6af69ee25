/* Several classes: how well each is told from the rest, what is taken for what, and whether confidence means anything. See docs/evaluation.md. */
#include <math.h>

#include "models/assess_internal.h"
#include "models/curves.h"
#include "models/memory.h"

enum { CONFUSION_MAX = 30, BINS = 10 };

static int called_class(const weir_assess_state *s, int64_t row) {
    const double *scores = s->score[0] + row * s->width;
    int best = 0;
    for (int k = 1; k < s->width; k++)
        if (scores[k] > scores[best]) best = k;
    return best;
}

static void per_class(weir_assess_state *s, cJSON *parent, const weir_metrics_classes *m) {
    cJSON *array = weir_assess_array(s, parent, "classes");
    for (int k = 0; k < s->width && !s->no_memory; k++) {
        char text[64];
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_text(s, object, "name", weir_assess_class_name(s, k, text));
        bool occurs = m->classes[k].support > 0; /* else there is nothing to find */
        weir_assess_number(s, object, "rows", m->classes[k].support);
        weir_assess_number(s, object, "precision", occurs ? m->classes[k].precision : NAN);
        weir_assess_number(s, object, "recall", occurs ? m->classes[k].recall : NAN);
        weir_assess_number(s, object, "f1", occurs ? m->classes[k].f1 : NAN);
        weir_assess_number(s, object, "auc", m->classes[k].auc);
        if (!occurs) weir_assess_text(s, object, "none", "no test row has this class");
    }
    if (s->width <= CONFUSION_MAX)
        weir_assess_numbers(s, parent, "confusion", m->confusion, s->width * s->width);
    else
        weir_assess_none(s, parent, "confusion", "more than 30 classes: too many for a table");
}

/* The score of the called class against how often it is right. */
static weir_status confidence(weir_assess_state *s, cJSON *parent, weir_err *err) {
    double *label = weir_models_calloc((size_t)s->rows, 2 * sizeof *label);
    weir_calibration *c = weir_models_calloc(1, sizeof *c);
    weir_status status = label && c ? WEIR_OK : weir_assess_no_memory(err);
    bool probabilities = true;
    for (int64_t r = 0; !status && r < s->rows; r++) {
        int called = called_class(s, r);
        label[r] = weir_assess_label(s, r) == called;
        label[s->rows + r] = s->score[0][r * s->width + called];
        probabilities = probabilities && label[s->rows + r] >= 0 && label[s->rows + r] <= 1;
    }
    if (!status && !probabilities) {
        weir_assess_none(s, parent, "confidence", "the scores are no probabilities");
    } else if (!status) {
        weir_outcomes o = {.row_count = s->rows, .label = label, .score = label + s->rows};
        status = weir_calibrate(&o, WEIR_BINS_EQUAL_COUNT, BINS, c, err);
        cJSON *object = weir_assess_object(s, parent, "confidence"), *bins = weir_assess_array(s, object, "bins");
        weir_assess_number(s, object, "expected_error", c->expected_error);
        for (int i = 0; !status && i < c->count; i++) {
            cJSON *bin = weir_assess_object(s, bins, NULL);
            weir_assess_number(s, bin, "rows", (double)c->bins[i].rows);
            weir_assess_number(s, bin, "confidence", c->bins[i].mean_score);
            weir_assess_number(s, bin, "right", c->bins[i].positive_share);
        }
    }
    weir_models_free(label);
    weir_models_free(c);
    return status;
}

weir_status weir_assess_multiclass(weir_assess_state *s, weir_err *err) {
    weir_outcomes o = {.row_count = s->rows, .class_count = s->width, .label = s->test->matrix.label, .score = s->score[0]};
    weir_metrics_classes m;
    weir_status status = weir_measure_classes(&o, &m, err);
    if (status) return status;
    cJSON *object = weir_assess_object(s, s->json, "multiclass");
    weir_assess_number(s, object, "rows", (double)s->rows);
    per_class(s, object, &m);
    weir_metrics_classes_done(&m);
    return confidence(s, object, err);
}
