/* Scores of a compiled model: preprocessing, then what its kind does, in blocks of rows that fit the stack. Every sum has the order that it has in the library that trained the model. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "models/scorer/internal.h"

/* ---- preprocessing ---- */

/* Place of a level among the ascending ones, −1: none. */
static int find_level(const double *values, uint32_t count, double x) {
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (values[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && values[low] == x ? (int)low : -1;
}

/* The bucket of a category: a mix of its bits. Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014, the finalizer of SplitMix64. */
static double bucket_of(double x, double count) {
    uint64_t z;
    x += 0.0; /* −0 is 0 */
    memcpy(&z, &x, sizeof z);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) % (uint64_t)count);
}

static double step_value(const weirscore *s, const score_model *m, const score_step *step, double x) {
    const double *levels = (const double *)score_at(s, m->level_values) + step->levels;
    const uint32_t *codes = (const uint32_t *)score_at(s, m->level_codes) + step->levels;
    double a = step->a, b = step->b;
    int place;
    switch (step->op) {
    case SCORE_STEP_FILL: return isnan(x) ? a : x;
    case SCORE_STEP_MISSING: return isnan(x);
    case SCORE_STEP_CLIP: return x < a ? a : x > b ? b : x;
    case SCORE_STEP_NULL: return x < a || x > b ? NAN : x;
    case SCORE_STEP_OUTSIDE: return x < a || x > b;
    case SCORE_STEP_SCALE: return (x - a) / b;
    case SCORE_STEP_STRETCH: return x * a + b;
    case SCORE_STEP_EQUALS: return x == a;
    case SCORE_STEP_OTHER: return isnan(x) ? a : find_level(levels, step->level_count, x) < 0;
    case SCORE_STEP_CODE:
        if (isnan(x)) return b;
        place = find_level(levels, step->level_count, x);
        return place < 0 ? a : (double)codes[place];
    case SCORE_STEP_BUCKET: return !isnan(x) && bucket_of(x, a) == b;
    default: return x;
    }
}

/* No deeper than SCORE_PREP_DEPTH_MAX. */
static double evaluate(const weirscore *s, const score_model *m, uint32_t index, const double *row) {
    const score_step *step = (const score_step *)score_at(s, m->steps) + index;
    return step->parent < 0 ? row[step->input] : step_value(s, m, step, evaluate(s, m, (uint32_t)step->parent, row));
}

/* Levels of a category stand together, and their parent is worked out once. */
static void prepare_row(const weirscore *s, const score_model *m, const double *row, double *out) {
    const score_step *steps = score_at(s, m->steps);
    const uint32_t *outputs = score_at(s, m->step_outputs);
    int32_t known = -1;
    double x = 0;
    for (uint32_t o = 0; o < m->fitted_count; o++) {
        const score_step *step = &steps[outputs[o]];
        if (step->parent < 0) {
            out[o] = row[step->input];
            continue;
        }
        if (step->parent != known) x = evaluate(s, m, (uint32_t)(known = step->parent), row);
        out[o] = step_value(s, m, step, x);
    }
}

/* ---- links ---- */

/* As XGBoost does them, in float32. */
static float logistic_float(float x) {
    float negative = -x < 88.7f ? -x : 88.7f; /* e to a larger one overflows */
    return 1.0f / (expf(negative) + 1.0f + 1e-16f);
}

static void softmax_floats(float *scores, uint32_t count) {
    float largest = scores[0];
    double sum = 0;
    for (uint32_t k = 1; k < count; k++) largest = fmaxf(scores[k], largest);
    for (uint32_t k = 0; k < count; k++) sum += (double)(scores[k] = expf(scores[k] - largest));
    for (uint32_t k = 0; k < count; k++) scores[k] /= (float)sum;
}

/* float32 leaves a probability a little off its bounds and its sum. Classes that no tree votes for are equally likely. */
static void finish_trees(const score_model *m, float *sums, double *out) {
    uint32_t count = m->output_count;
    double total = 0;
    if (m->link == SCORE_LINK_SOFTMAX) softmax_floats(sums, count);
    for (uint32_t k = 0; k < count; k++) {
        if (m->link == SCORE_LINK_LOGISTIC) sums[k] = logistic_float(sums[k]);
        if (m->link == SCORE_LINK_EXP) sums[k] = expf(sums[k]);
        out[k] = m->task == SCORE_REGRESSION ? (double)sums[k] : fmin(fmax((double)sums[k], 0), 1);
        total += out[k];
    }
    if (m->task != SCORE_CLASSES) return;
    for (uint32_t k = 0; k < count; k++) out[k] = total == 0 ? 1.0 / count : out[k] / total;
}

static void softmax(double *scores, uint32_t count) {
    double largest = scores[0], sum = 0;
    for (uint32_t k = 1; k < count; k++) largest = fmax(largest, scores[k]);
    for (uint32_t k = 0; k < count; k++) sum += scores[k] = exp(scores[k] - largest);
    for (uint32_t k = 0; k < count; k++) scores[k] /= sum;
}

static void finish_linear(const score_model *m, double *out) {
    if (m->link == SCORE_LINK_AFFINE) out[0] = m->link_a + m->link_b * out[0];
    if (m->link == SCORE_LINK_PLAIN_LOGISTIC) out[0] = 1 / (1 + exp(-out[0]));
    if (m->link == SCORE_LINK_LOGISTIC) {
        double e = exp(-fabs(out[0]));
        out[0] = out[0] >= 0 ? 1 / (1 + e) : e / (1 + e);
    }
    if (m->link == SCORE_LINK_SOFTMAX) softmax(out, m->output_count);
}

/* ---- kinds ---- */

static void score_one_by_trees(const weirscore *s, const score_model *m, const double *row, double *out) {
    float values[SCORE_SLOTS_MAX], sums[SCORE_OUTPUTS_MAX];
    score_fill_slots(s, m, row, values);
    score_trees_row(s, m, values, sums);
    finish_trees(m, sums, out);
}

/* Rows of many classes go one by one: their sums would not fit the first cache. */
enum { BLOCK_OUTPUTS_MAX = 64 };

static void score_by_trees(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    float sums[BLOCK_OUTPUTS_MAX * SCORE_BLOCK_ROWS], one[BLOCK_OUTPUTS_MAX];
    uint32_t outputs = m->output_count;
    if (n <= SCORE_ALONE_ROWS || outputs > BLOCK_OUTPUTS_MAX) {
        for (size_t r = 0; r < n; r++) score_one_by_trees(s, m, rows + r * m->fitted_count, out + r * outputs);
        return;
    }
    score_trees_block(s, m, rows, n, sums);
    for (size_t r = 0; r < n; r++) {
        for (uint32_t k = 0; k < outputs; k++) one[k] = sums[k * SCORE_BLOCK_ROWS + r];
        finish_trees(m, one, out + r * outputs);
    }
}

static void score_by_wide_trees(const weirscore *s, const score_model *m, const double *row, double *out) {
    score_wide_row(s, m, row, out);
    for (uint32_t k = 0; k < m->output_count; k++) out[k] /= m->link_b;
    if (m->link == SCORE_LINK_PLAIN_LOGISTIC) out[0] = 1 / (1 + exp(-m->link_a * out[0]));
    if (m->link == SCORE_LINK_EXP) out[0] = exp(out[0]);
    if (m->link == SCORE_LINK_SOFTMAX) softmax(out, m->output_count);
}

static void score_by_form(const weirscore *s, const score_model *m, const double *row, double *out) {
    uint32_t p = m->fitted_count;
    const double *intercept = score_at(s, m->numbers), *mean = intercept + m->output_count, *scale = mean + p, *coefficient = scale + p;
    for (uint32_t k = 0; k < m->output_count; k++, coefficient += p) {
        double sum = intercept[k];
        for (uint32_t c = 0; c < p; c++)
            if (!isnan(row[c])) sum += coefficient[c] * ((row[c] - mean[c]) / scale[c]);
        out[k] = sum;
    }
    finish_linear(m, out);
}

/* Kernels as libsvm numbers them: linear, polynomial, radial, sigmoid. */
static double kernel_of(const score_model *m, const double *a, const double *b) {
    double sum = 0;
    for (uint32_t c = 0; c < m->fitted_count; c++) sum += m->kernel == 2 ? (a[c] - b[c]) * (a[c] - b[c]) : a[c] * b[c];
    switch (m->kernel) {
    case 1: return pow(m->gamma * sum + m->coef0, m->degree);
    case 2: return exp(-m->gamma * sum);
    case 3: return tanh(m->gamma * sum + m->coef0);
    default: return sum;
    }
}

static void score_by_vectors(const weirscore *s, const score_model *m, const double *row, double *out) {
    double z[SCORE_COLUMNS_MAX], sum = m->intercept;
    uint32_t p = m->fitted_count;
    uint64_t count = (m->numbers.count - 2 * (uint64_t)p) / (p + 1);
    const double *mean = score_at(s, m->numbers), *scale = mean + p, *coefficient = scale + p, *vector = coefficient + count;
    for (uint32_t c = 0; c < p; c++) z[c] = isnan(row[c]) ? 0 : (row[c] - mean[c]) / scale[c];
    for (uint64_t i = 0; i < count; i++) sum += coefficient[i] * kernel_of(m, vector + i * p, z);
    out[0] = sum;
}

/* ---- models of several ---- */

/* A member's score that is not finite is no score of the whole, whatever a weight or a meta model, to which it would be a missing value, makes of it. */
static void mark_bad(const double *scores, size_t n, size_t outputs, bool *bad) {
    for (size_t r = 0; r < n; r++)
        for (size_t k = 0; k < outputs; k++) bad[r] |= !isfinite(scores[r * outputs + k]);
}

static void spoil_bad(const bool *bad, size_t n, size_t outputs, double *out) {
    for (size_t i = 0; i < n * outputs; i++)
        if (bad[i / outputs]) out[i] = NAN;
}

static void score_mean(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    double scores[SCORE_SCRATCH_NUMBERS];
    bool bad[SCORE_BLOCK_ROWS] = {false};
    const double *weights = score_at(s, m->numbers);
    size_t count = n * m->output_count;
    memset(out, 0, count * sizeof *out);
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (weights[i] == 0) continue;
        score_model_rows(s, &s->models[m->first_member + i], rows, n, scores);
        mark_bad(scores, n, m->output_count, bad);
        for (size_t k = 0; k < count; k++) out[k] += weights[i] * scores[k];
    }
    for (size_t k = 0; m->task != SCORE_REGRESSION && k < count; k++) out[k] = fmin(out[k], 1); /* weights sum to 1 but for rounding */
    spoil_bad(bad, n, m->output_count, out);
}

static void score_stack(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    double scores[SCORE_SCRATCH_NUMBERS], features[SCORE_SCRATCH_NUMBERS];
    bool bad[SCORE_BLOCK_ROWS] = {false};
    size_t outputs = m->output_count, members = m->member_count - 1, width = members * outputs;
    for (size_t i = 0; i < members; i++) {
        score_model_rows(s, &s->models[m->first_member + i], rows, n, scores);
        mark_bad(scores, n, outputs, bad);
        for (size_t r = 0; r < n; r++) memcpy(features + r * width + i * outputs, scores + r * outputs, outputs * sizeof *scores);
    }
    score_model_rows(s, &s->models[m->first_member + members], features, n, out);
    spoil_bad(bad, n, outputs, out);
}

static void score_targets(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    double scores[SCORE_BLOCK_ROWS];
    for (size_t i = 0; i < m->member_count; i++) {
        score_model_rows(s, &s->models[m->first_member + i], rows, n, scores);
        for (size_t r = 0; r < n; r++) out[r * m->member_count + i] = scores[r];
    }
}

static void score_block(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    switch (m->kind) {
    case SCORE_TREES: score_by_trees(s, m, rows, n, out); return;
    case SCORE_MEAN: score_mean(s, m, rows, n, out); return;
    case SCORE_STACK: score_stack(s, m, rows, n, out); return;
    case SCORE_TARGETS: score_targets(s, m, rows, n, out); return;
    default: break;
    }
    for (size_t r = 0; r < n; r++) {
        const double *row = rows + r * m->fitted_count;
        double *scores = out + r * m->output_count;
        if (m->kind == SCORE_LINEAR)
            score_by_form(s, m, row, scores);
        else if (m->kind == SCORE_WIDE)
            score_by_wide_trees(s, m, row, scores);
        else if (m->kind == SCORE_BAYES)
            score_bayes_row(s, m, row, scores);
        else
            score_by_vectors(s, m, row, scores);
    }
}

/* As many rows as the scores of a model of several have room for, and SCORE_BLOCK_ROWS at most. */
static size_t rows_at_once(const score_model *m) {
    size_t a_row = m->kind == SCORE_MEAN ? m->output_count : m->kind == SCORE_STACK ? (size_t)m->member_count * m->output_count : 1;
    size_t fit = SCORE_SCRATCH_NUMBERS / a_row;
    return fit < 1 ? 1 : fit < SCORE_BLOCK_ROWS ? fit : SCORE_BLOCK_ROWS;
}

void score_fitted_rows(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    size_t at_once = rows_at_once(m);
    for (size_t r = 0; r < n; r += at_once) score_block(s, m, rows + r * m->fitted_count, n - r < at_once ? n - r : at_once, out + r * m->output_count);
}

static void score_prepared(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    double block[SCORE_SCRATCH_NUMBERS];
    size_t fit = SCORE_SCRATCH_NUMBERS / m->fitted_count, at_once = fit < SCORE_BLOCK_ROWS ? fit : SCORE_BLOCK_ROWS;
    for (size_t from = 0; from < n; from += at_once) {
        size_t count = n - from < at_once ? n - from : at_once;
        for (size_t r = 0; r < count; r++) prepare_row(s, m, rows + (from + r) * m->input_count, block + r * m->fitted_count);
        score_fitted_rows(s, m, block, count, out + from * m->output_count);
    }
}

void score_model_rows(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out) {
    if (m->steps.count)
        score_prepared(s, m, rows, n, out);
    else
        score_fitted_rows(s, m, rows, n, out);
}

/* Missing values are none. */
static bool has_infinity(const double *values, size_t count) {
    bool found = false;
    for (size_t i = 0; i < count; i++) found |= fabs(values[i]) > DBL_MAX;
    return found;
}

static bool all_finite(const double *values, size_t count) {
    bool good = true;
    for (size_t i = 0; i < count; i++) good &= fabs(values[i]) <= DBL_MAX;
    return good;
}

int weirscore_score(const weirscore *s, const double *rows, size_t row_count, double *out) {
    const score_model *whole = &s->models[0];
    if (has_infinity(rows, row_count * whole->input_count)) return WEIRSCORE_INFINITE;
    score_model_rows(s, whole, rows, row_count, out);
    return all_finite(out, row_count * whole->output_count) ? WEIRSCORE_OK : WEIRSCORE_INFINITE;
}
