#include "models/degradation.h"

#include <math.h>
#include <string.h>

#include "core/distributions.h"
#include "models/memory.h"

/* A copy of the rows, without a group or with all. */
typedef struct columns {
    double *label, *score;
} columns;

bool weir_degradation_comparable(const weir_model_metric *metric) {
    return strcmp(metric->name, "precision_at_k") != 0 && strcmp(metric->name, "max_error") != 0;
}

int64_t weir_degradation_look(int64_t labelled, int64_t min_rows) {
    return labelled > 0 ? labelled / min_rows : 0;
}

/* splitmix64's finaliser: neighbouring numbers go to unrelated groups. */
static int group_of(uint32_t entity) {
    uint64_t x = entity + UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (int)((x ^ (x >> 31)) % WEIR_DEGRADATION_GROUPS);
}

static bool is_one_class(const double *label, int64_t count) {
    for (int64_t i = 1; i < count; i++) {
        if (label[i] != label[0]) return false;
    }
    return true;
}

/* The metric without group `without` (-1: none is left out); NaN where it is undefined. */
static weir_status measure_without(const weir_degradation_settings *s, const weir_outcomes *rows, const uint32_t *group, int without, const columns *kept,
                                   double *ret_value, weir_err *err) {
    weir_outcomes part = *rows;
    part.row_count = 0;
    for (int64_t i = 0; i < rows->row_count; i++) {
        if (isnan(rows->label[i]) || group_of(group[i]) == without) continue;
        kept->label[part.row_count] = rows->label[i];
        kept->score[part.row_count++] = rows->score[i];
    }
    part.label = kept->label;
    part.score = kept->score;
    part.threshold = s->threshold;
    *ret_value = NAN;
    if (!part.row_count || (s->metric->task == WEIR_TASK_BINARY && is_one_class(kept->label, part.row_count))) return WEIR_OK;
    return weir_model_metric_measure(s->metric, &part, ret_value, err);
}

/* The t with P(T > t) = tail, by bisection. */
static double student_quantile(double tail, double degrees) {
    double low = 0, high = 1;
    while (weir_student_two_sided(high, degrees) / 2 > tail && high < 1e6) high *= 2;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (weir_student_two_sided(middle, degrees) / 2 > tail)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* Wilson's bounds of a proportion, as far as they are from it. */
static void wilson(double successes, double trials, double z, double *ret_down, double *ret_up) {
    double p = successes / trials, shrink = 1 + z * z / trials, centre = (p + z * z / (2 * trials)) / shrink;
    double half = z / shrink * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials));
    *ret_down = fmax(p - (centre - half), 0);
    *ret_up = fmax(centre + half - p, 0);
}

/* How far the bounds of a metric that is a proportion are from it at least; 0 for others. */
static void proportion_bounds(const weir_degradation_settings *s, const weir_outcomes *rows, double value, double z, double *ret_down, double *ret_up) {
    double tp = 0, fp = 0, fn = 0, all = 0;
    const char *name = s->metric->name;
    *ret_down = *ret_up = 0;
    if (s->metric->task != WEIR_TASK_BINARY) return;
    for (int64_t i = 0; i < rows->row_count; i++) {
        if (isnan(rows->label[i])) continue;
        bool called = rows->score[i] >= s->threshold, is = rows->label[i] == 1;
        tp += called && is;
        fp += called && !is;
        fn += !called && is;
        all++;
    }
    if (!strcmp(name, "precision") && tp + fp > 0) wilson(tp, tp + fp, z, ret_down, ret_up);
    if (!strcmp(name, "recall") && tp + fn > 0) wilson(tp, tp + fn, z, ret_down, ret_up);
    if (!strcmp(name, "accuracy")) wilson(value * all, all, z, ret_down, ret_up);
    if (!strcmp(name, "f1") && tp + fp + fn > 0) {
        double jaccard = tp / (tp + fp + fn), down, up;
        wilson(tp, tp + fp + fn, z, &down, &up);
        *ret_down = value - 2 * (jaccard - down) / (1 + jaccard - down);
        *ret_up = 2 * (jaccard + up) / (1 + jaccard + up) - value;
    }
}

/* Rows, or of a binary task the positive ones, which are the fewer and decide how sure one can be. */
static double live_count(const weir_degradation_settings *s, const weir_outcomes *rows) {
    double count = 0;
    for (int64_t i = 0; i < rows->row_count; i++) count += !isnan(rows->label[i]) && (s->metric->task != WEIR_TASK_BINARY || rows->label[i] == 1);
    return count;
}

static weir_status check(const weir_degradation_settings *s, int64_t look, weir_err *err) {
    bool ok = isfinite(s->reference) && s->drop >= 0 && s->drop < 1 && s->min_rows >= 1 && s->alpha > 0 && s->alpha < 1 && look >= 1 && s->reference_count >= 0;
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "a reference, drop, alpha, number of rows or look is out of range");
}

/* value, and its jackknife standard error; NaN: undefined somewhere. */
static weir_status jackknife(const weir_degradation_settings *s, const weir_outcomes *rows, const uint32_t *group, const columns *kept, double *ret_value,
                             double *ret_error, weir_err *err) {
    double part[WEIR_DEGRADATION_GROUPS], mean = 0, squares = 0;
    weir_status status = measure_without(s, rows, group, -1, kept, ret_value, err);
    for (int g = 0; !status && g < WEIR_DEGRADATION_GROUPS; g++) {
        status = measure_without(s, rows, group, g, kept, &part[g], err);
        if (!status) mean += part[g] / WEIR_DEGRADATION_GROUPS;
    }
    if (status) return status;
    for (int g = 0; g < WEIR_DEGRADATION_GROUPS; g++) squares += (part[g] - mean) * (part[g] - mean);
    *ret_error = sqrt(squares * (WEIR_DEGRADATION_GROUPS - 1) / WEIR_DEGRADATION_GROUPS);
    return WEIR_OK;
}

static void conclude(const weir_degradation_settings *s, const weir_outcomes *rows, int64_t look, double error, weir_degradation *d) {
    bool greater = s->metric->greater_is_better;
    double tail = s->alpha / ((double)look * ((double)look + 1)), t = student_quantile(tail, WEIR_DEGRADATION_GROUPS - 1), down, up;
    double of_reference = s->reference_count > 0 ? t * error * sqrt(live_count(s, rows) / s->reference_count) : 0;
    proportion_bounds(s, rows, d->value, -weir_normal_inverse(tail), &down, &up);
    d->limit = greater ? s->reference - s->drop * fabs(s->reference) : s->reference + s->drop * fabs(s->reference);
    d->share = (greater ? s->reference - d->value : d->value - s->reference) / fabs(s->reference);
    d->low = isnan(error) ? NAN : d->value - hypot(fmax(t * error, down), of_reference);
    d->high = isnan(error) ? NAN : d->value + hypot(fmax(t * error, up), of_reference);
    d->worse = greater ? d->high < d->limit : d->low > d->limit; /* false for NaN */
}

weir_status weir_degradation_judge(const weir_degradation_settings *settings, const weir_outcomes *rows, const uint32_t *group, int64_t look,
                                   weir_degradation *ret_degradation, weir_err *err) {
    size_t room = rows->row_count > 0 ? (size_t)rows->row_count : 1;
    weir_degradation d = {.rows = rows->row_count};
    double error = NAN;
    weir_status status = check(settings, look, err);
    if (status) return status;
    const columns kept = {weir_mem.realloc(NULL, room * sizeof(double)), weir_mem.realloc(NULL, room * sizeof(double))};
    status = kept.label && kept.score ? WEIR_OK : WEIR_RETRY(err, WEIR_ENOMEM, "no memory to judge %zu rows", room);
    if (!status) status = jackknife(settings, rows, group, &kept, &d.value, &error, err);
    weir_models_free(kept.label);
    weir_models_free(kept.score);
    if (status) return status;
    conclude(settings, rows, look, error, &d);
    *ret_degradation = d;
    return WEIR_OK;
}
