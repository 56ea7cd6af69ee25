/* Metrics of several classes, from the confusion matrix and the ranking of each class's scores. */
#include "models/memory.h"
#include "models/outcomes.h"

static int called_class(const double *score, int classes) {
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (score[c] > score[best]) best = c;
    return best;
}

static bool are_probabilities(const double *score, int classes) {
    double sum = 0;
    for (int c = 0; c < classes; c++) {
        if (score[c] < 0 || score[c] > 1) return false;
        sum += score[c];
    }
    return fabs(sum - 1) <= 1e-5;
}

/* Confusion matrix, and the logarithmic loss. */
static void count_rows(const weir_outcomes *o, weir_metrics_classes *m) {
    int classes = o->class_count;
    bool probabilities = true;
    long double loss = 0, total = 0;
    for (int64_t r = 0; r < o->row_count; r++) {
        if (!weir_outcomes_counts(o, r)) continue;
        const double *score = o->score + r * classes;
        int label = (int)o->label[r];
        double weight = weir_outcomes_weight(o, r), p = fmin(fmax(score[label], 0x1p-52), 1 - 0x1p-52);
        m->confusion[label * classes + called_class(score, classes)] += weight;
        probabilities = probabilities && are_probabilities(score, classes);
        loss -= weight * (long double)log(p);
        total += weight;
    }
    m->log_loss = probabilities ? (double)(loss / total) : NAN;
}

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

/* One class's numbers; *ret_called is the weight of the rows called so. */
static weir_class_metrics judge_class(const weir_metrics_classes *m, int c, double *ret_called) {
    weir_class_metrics k = {0};
    double called = 0, hits = m->confusion[c * m->class_count + c];
    for (int other = 0; other < m->class_count; other++) {
        k.support += m->confusion[c * m->class_count + other];
        called += m->confusion[other * m->class_count + c];
    }
    k.precision = ratio(hits, called);
    k.recall = ratio(hits, k.support);
    k.f1 = ratio(2 * hits, called + k.support);
    *ret_called = called;
    return k;
}

static void judge_classes(weir_metrics_classes *m) {
    double hits = 0, by_chance = 0, occurring = 0, total = 0; /* total: added as supports are, so that one class alone has all of it */
    for (int i = 0; i < m->class_count * m->class_count; i++) total += m->confusion[i];
    for (int c = 0; c < m->class_count; c++) {
        double called;
        weir_class_metrics k = m->classes[c] = judge_class(m, c, &called);
        hits += m->confusion[c * m->class_count + c];
        by_chance += k.support / total * (called / total);
        m->precision_weighted += k.precision * k.support / total;
        m->recall_weighted += k.recall * k.support / total;
        m->f1_weighted += k.f1 * k.support / total;
        if (k.support == 0 && called == 0) continue;
        occurring++;
        m->precision_macro += k.precision;
        m->recall_macro += k.recall;
        m->f1_macro += k.f1;
    }
    m->accuracy = hits / total;
    m->precision_macro /= occurring;
    m->recall_macro /= occurring;
    m->f1_macro /= occurring;
    m->cohen_kappa = by_chance < 1 ? (m->accuracy - by_chance) / (1 - by_chance) : NAN;
}

/* ranked [rows] is scratch. */
static void rank_classes(const weir_outcomes *o, weir_ranked *ranked, weir_metrics_classes *m) {
    double sum = 0;
    int measured = 0;
    for (int c = 0; c < m->class_count; c++) {
        int64_t n = 0;
        for (int64_t r = 0; r < o->row_count; r++)
            if (weir_outcomes_counts(o, r)) ranked[n++] = (weir_ranked){o->score[r * m->class_count + c], weir_outcomes_weight(o, r), o->label[r] == c};
        weir_ranked_sort(ranked, n);
        m->classes[c].auc = weir_ranked_auc(ranked, n);
        if (isnan(m->classes[c].auc)) continue;
        sum += m->classes[c].auc;
        measured++;
    }
    m->auc_macro = measured ? sum / measured : NAN;
}

weir_status weir_measure_classes(const weir_outcomes *o, weir_metrics_classes *ret_metrics, weir_err *err) {
    weir_metrics_classes m = {.class_count = o->class_count};
    weir_status status = weir_outcomes_check(o, WEIR_TASK_MULTICLASS, &m.rows, err);
    if (status != WEIR_OK) return status;
    size_t classes = (size_t)o->class_count;
    m.confusion = weir_models_calloc(classes * classes, sizeof *m.confusion);
    m.classes = weir_models_calloc(classes, sizeof *m.classes);
    weir_ranked *ranked = weir_models_calloc((size_t)m.rows, sizeof *ranked);
    if (m.confusion && m.classes && ranked) {
        count_rows(o, &m);
        judge_classes(&m);
        rank_classes(o, ranked, &m);
        *ret_metrics = m;
    } else {
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d classes of %lld rows", o->class_count, (long long)m.rows);
        weir_metrics_classes_done(&m);
    }
    weir_models_free(ranked);
    return status;
}

void weir_metrics_classes_done(weir_metrics_classes *metrics) {
    weir_models_free(metrics->confusion);
    weir_models_free(metrics->classes);
    *metrics = (weir_metrics_classes){0};
}
