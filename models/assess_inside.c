/* What the chosen model goes by: importance of its inputs, what more rows would bring, and why some rows got their scores. See docs/evaluation.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/assess_internal.h"
#include "models/explain.h"
#include "models/memory.h"
#include "models/random.h"

enum { REPEATS = 5, PERMUTED_MAX = 5000, PERMUTED_MIN = 300, SHARES = 5, CONTRIBUTIONS = 10 };

/* ---- importance ---- */

static bool decides(const char *metric) {
    static const char *const names[] = {"f1", "precision", "recall", "accuracy", "balanced_accuracy", "mcc"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], metric)) return true;
    return false;
}

/* Permutation decides at 0.5, so of metrics that depend on the threshold it takes the ranking one. */
static const weir_model_metric *permuted_metric(const weir_assess_state *s) {
    bool swap = s->task == WEIR_TASK_BINARY && decides(s->a->metric->name);
    return swap ? weir_model_metric_find(WEIR_TASK_BINARY, "average_precision") : s->a->metric;
}

/* At most so many rows, evenly chosen, so that many columns do not take for ever. values, label: one block. */
static weir_status thin(const weir_assess_state *s, weir_matrix *ret_matrix, double **ret_block, weir_err *err) {
    const weir_matrix *m = &s->test->matrix;
    int64_t most = (int64_t)fmin(fmax(2e6 / ((double)m->column_count * REPEATS), PERMUTED_MIN), PERMUTED_MAX);
    int64_t n = s->rows < most ? s->rows : most;
    double *block = weir_models_calloc((size_t)(n * (m->column_count + 1)), sizeof *block);
    if (!block) return weir_assess_no_memory(err);
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i * s->rows / n;
        memcpy(block + i * m->column_count, m->values + r * m->column_count, (size_t)m->column_count * sizeof *block);
        block[n * m->column_count + i] = m->label[r];
    }
    *ret_matrix = *m;
    ret_matrix->row_count = n;
    ret_matrix->values = block;
    ret_matrix->label = block + n * m->column_count;
    ret_matrix->weight = NULL;
    *ret_block = block;
    return WEIR_OK;
}

/* mean and deviation [columns] stay NaN where a permutation is not wanted or not possible. */
static weir_status permute(weir_assess_state *s, cJSON *object, double *mean, double *deviation, weir_err *err) {
    weir_matrix few;
    double *block = NULL;
    const weir_model_metric *metric = permuted_metric(s);
    if (!s->a->permutation || s->rows < WEIR_ASSESS_ROWS_MIN || s->test->target_count > 1) return WEIR_OK;
    weir_status status = thin(s, &few, &block, err);
    if (!status) status = weir_explain_permutation(s->a->models[0].model, &few, metric, REPEATS, s->a->seed, mean, deviation, err);
    weir_models_free(block);
    weir_assess_text(s, object, "permutation_metric", metric->name);
    weir_assess_number(s, object, "permutation_rows", status ? NAN : (double)few.row_count);
    weir_assess_number(s, object, "permutation_repeats", REPEATS);
    return status;
}

static weir_status gain(weir_assess_state *s, cJSON *object, double *importance, weir_err *err) {
    weir_err why = {0};
    weir_status status = weir_explain_importance(s->a->models[0].model, importance, &why);
    if (status == WEIR_EINVAL) {
        weir_assess_text(s, object, "no_gain", why.message);
        for (int c = 0; c < s->test->matrix.column_count; c++) importance[c] = NAN;
        return WEIR_OK;
    }
    if (status && err) *err = why;
    return status;
}

weir_status weir_assess_importance(weir_assess_state *s, weir_err *err) {
    int columns = s->test->matrix.column_count;
    double *numbers = weir_models_calloc((size_t)columns, 3 * sizeof *numbers);
    if (!numbers) return weir_assess_no_memory(err);
    double *mean = numbers + columns, *deviation = numbers + 2 * columns;
    for (int c = 0; c < 3 * columns; c++) numbers[c] = NAN;
    cJSON *object = weir_assess_object(s, s->json, "importance");
    weir_status status = gain(s, object, numbers, err);
    if (!status) status = permute(s, object, mean, deviation, err);
    cJSON *array = weir_assess_array(s, object, "columns");
    for (int c = 0; !status && c < columns; c++) {
        cJSON *column = weir_assess_object(s, array, NULL);
        weir_assess_text(s, column, "name", s->test->matrix.column_names[c]);
        weir_assess_number(s, column, "gain", numbers[c]);
        weir_assess_number(s, column, "permutation", mean[c]);
        weir_assess_number(s, column, "permutation_deviation", deviation[c]);
    }
    weir_models_free(numbers);
    return status;
}

/* ---- learning curve ---- */

typedef struct pupil {
    const weir_assess_state *s;
    weir_trainset held; /* never fitted on */
    int64_t *order; /* rows that may be fitted on: the first of them are taken */
    int64_t count;
    bool by_time;
} pupil;

static weir_status score_on(const weir_assess_state *s, weir_model *model, const weir_trainset *set, double *ret_value, weir_err *err) {
    int outputs = weir_model_output_count(model);
    int64_t n = set->matrix.row_count;
    double *scores = weir_models_calloc((size_t)(n * outputs), sizeof *scores), values[WEIR_ASSESS_METRICS];
    weir_status status = scores ? weir_model_predict(model, set->matrix.values, n, scores, err) : weir_assess_no_memory(err);
    for (int64_t r = 0; !status && outputs > s->width && r < n; r++) scores[r] = scores[r * outputs];
    if (!status) status = weir_assess_measure(s, set->matrix.label, scores, n, s->threshold[0], values, err);
    if (!status) *ret_value = values[s->metric];
    weir_models_free(scores);
    return status;
}

/* Fits on the first `rows` of the order. */
static weir_status learn(const pupil *p, int64_t rows, double *ret_train, double *ret_held, weir_err *err) {
    const weir_assess_state *s = p->s;
    weir_trainset set = {0};
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_fit_options options = {.seed = s->a->seed, .threads = s->a->threads > 0 ? s->a->threads : 1, .cancel = s->a->cancel};
    int64_t *sorted = weir_models_calloc((size_t)p->count, sizeof *sorted), n = 0;
    uint8_t *taken = weir_models_calloc((size_t)s->train->matrix.row_count, 1);
    weir_status status = sorted && taken ? WEIR_OK : weir_assess_no_memory(err);
    for (int64_t i = 0; !status && i < rows; i++) taken[p->order[i]] = 1;
    for (int64_t r = 0; !status && r < s->train->matrix.row_count; r++)
        if (taken[r]) sorted[n++] = r; /* rows ascend by time */
    if (!status) status = weir_trainset_take(s->train, sorted, rows, &set, err);
    if (!status) status = weir_spec_fit(s->a->models[0].spec, &set, &options, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    if (!status) status = score_on(s, model, &set, ret_train, err);
    if (!status) status = score_on(s, model, &p->held, ret_held, err);
    weir_model_free(model);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
    weir_models_free(sorted);
    weir_models_free(taken);
    return status;
}

/* The last fold of the scheme that the rows ask for is held out. What is fitted on grows back in time where the scheme goes by time, else by chance. */
static weir_status prepare(pupil *p, weir_err *err) {
    const weir_trainset *train = p->s->train;
    int64_t n = train->matrix.row_count, held = 0;
    weir_split split = weir_trainset_default_split(train, 5, p->s->a->seed);
    weir_split_rows rows = weir_trainset_split_rows(train);
    weir_split_plan *plan = NULL;
    weir_fold fold;
    uint8_t *role = weir_models_calloc((size_t)n, 1);
    int64_t *tested = weir_models_calloc((size_t)n, sizeof *tested);
    p->order = weir_models_calloc((size_t)n, sizeof *p->order);
    weir_status status = role && tested && p->order ? weir_split_plan_new(&split, &rows, &plan, err) : weir_assess_no_memory(err);
    if (!status) status = weir_split_plan_roles(plan, weir_split_plan_folds(plan) - 1, role, &fold, err);
    for (int64_t r = n - 1; !status && r >= 0; r--) {
        if (role[r] == WEIR_ROLE_TRAIN) p->order[p->count++] = r;
        if (role[r] == WEIR_ROLE_TEST) tested[n - ++held] = r;
    }
    p->by_time = weir_split_schemes()[split.scheme].needs_time;
    uint64_t random = p->s->a->seed;
    for (int64_t i = p->count - 1; !status && !p->by_time && i > 0; i--) {
        int64_t other = (int64_t)weir_models_random_below(&random, (uint64_t)i + 1), row = p->order[i];
        p->order[i] = p->order[other];
        p->order[other] = row;
    }
    if (!status) status = weir_trainset_take(train, tested + n - held, held, &p->held, err);
    weir_split_plan_free(plan);
    weir_models_free(role);
    weir_models_free(tested);
    return status;
}

weir_status weir_assess_learning(weir_assess_state *s, weir_err *err) {
    static const double shares[SHARES] = {0.1, 0.2, 0.4, 0.7, 1};
    if (!s->a->learning_curve || !s->a->models[0].spec) return WEIR_OK;
    if (s->train->matrix.row_count < 20 * WEIR_ASSESS_ROWS_MIN) {
        weir_assess_none(s, s->json, "learning_curve", "fewer than 200 training rows");
        return WEIR_OK;
    }
    pupil p = {.s = s};
    weir_status status = prepare(&p, err);
    cJSON *object = weir_assess_object(s, s->json, "learning_curve"), *points = weir_assess_array(s, object, "points");
    weir_assess_text(s, object, "metric", s->metric_name[s->metric]);
    weir_assess_text(s, object, "grows", p.by_time ? "back in time from the newest rows" : "by rows drawn by chance");
    weir_assess_number(s, object, "held_rows", (double)p.held.matrix.row_count);
    for (int i = 0; !status && i < SHARES; i++) {
        double train = NAN, held = NAN;
        weir_err why = {0};
        int64_t rows = (int64_t)(shares[i] * (double)p.count + 0.5);
        status = weir_assess_cancelled(s, err);
        if (!status) status = learn(&p, rows, &train, &held, &why);
        if (status == WEIR_EDATA && i < SHARES - 1) status = WEIR_OK; /* a small part may lack a class: that point is left out */
        if (status && err && why.code) *err = why;
        cJSON *point = weir_assess_object(s, points, NULL);
        weir_assess_number(s, point, "share", shares[i]);
        weir_assess_number(s, point, "rows", (double)rows);
        weir_assess_number(s, point, "train", train);
        weir_assess_number(s, point, "held", held);
    }
    weir_trainset_done(&p.held);
    weir_models_free(p.order);
    return status;
}

/* ---- single rows ---- */

typedef struct told {
    const char *why;
    int64_t row;
    int output; /* whose contributions */
} told;

static int top_class(const double *scores, int width) {
    int best = 0;
    for (int k = 1; k < width; k++)
        if (scores[k] > scores[best]) best = k;
    return best;
}

/* What a row is sorted by: its score, of several classes that of the called one. */
static double height_of(const weir_assess_state *s, int64_t row) {
    const double *scores = s->score[0] + row * s->width;
    return scores[top_class(scores, s->width)];
}

/* Too high positive, too low negative: of classes how sure the model was of a wrong one. */
static double error_of(const weir_assess_state *s, int64_t row) {
    const double *scores = s->score[0] + row * s->width;
    double label = weir_assess_label(s, row);
    if (s->task != WEIR_TASK_MULTICLASS) return scores[0] - label;
    return top_class(scores, s->width) == (int)label ? 0 : scores[top_class(scores, s->width)];
}

static int choose_rows(const weir_assess_state *s, told rows[5]) {
    int64_t lowest = 0, highest = 0, over = 0, under = 0, middle = 0;
    double nearest = INFINITY, *sorted = weir_models_calloc((size_t)s->rows, sizeof *sorted);
    if (!sorted) return -1;
    for (int64_t r = 0; r < s->rows; r++) {
        sorted[r] = height_of(s, r);
        if (height_of(s, r) < height_of(s, lowest)) lowest = r;
        if (height_of(s, r) > height_of(s, highest)) highest = r;
        if (error_of(s, r) > error_of(s, over)) over = r;
        if (error_of(s, r) < error_of(s, under)) under = r;
    }
    qsort(sorted, (size_t)s->rows, sizeof *sorted, weir_assess_by_value);
    double median = weir_assess_quantile(sorted, s->rows, 0.5);
    weir_models_free(sorted);
    for (int64_t r = 0; r < s->rows; r++)
        if (fabs(height_of(s, r) - median) < nearest) {
            nearest = fabs(height_of(s, r) - median);
            middle = r;
        }
    bool classes = s->task == WEIR_TASK_MULTICLASS;
    int count = 0;
    rows[count++] = (told){classes ? "most certain" : s->task == WEIR_TASK_BINARY ? "highest score" : "highest prediction", highest, 0};
    rows[count++] = (told){classes ? "least certain" : s->task == WEIR_TASK_BINARY ? "lowest score" : "lowest prediction", lowest, 0};
    rows[count++] = (told){"in the middle", middle, 0};
    if (error_of(s, over) > 0) rows[count++] = (told){classes ? "most certain of a wrong class" : "furthest too high", over, 0};
    if (error_of(s, under) < 0) rows[count++] = (told){"furthest too low", under, 0};
    for (int i = 0; classes && i < count; i++) rows[i].output = top_class(s->score[0] + rows[i].row * s->width, s->width);
    return count;
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b; /* pairs of contribution and column */
    return (fabs(x[0]) < fabs(y[0])) - (fabs(x[0]) > fabs(y[0]));
}

/* pairs [columns + 1][2] is scratch. */
static void put_row(weir_assess_state *s, cJSON *array, const told *t, const double *contributions, double *pairs) {
    const weir_matrix *m = &s->test->matrix;
    const double *own = contributions + (ptrdiff_t)t->output * (m->column_count + 1);
    char text[64];
    cJSON *object = weir_assess_object(s, array, NULL);
    weir_assess_text(s, object, "why", t->why);
    weir_assess_number(s, object, "row", (double)t->row);
    if (s->test->time_us) weir_assess_time(s, object, "time_us", s->test->time_us[t->row]);
    if (s->task == WEIR_TASK_REGRESSION)
        weir_assess_number(s, object, "label", weir_assess_label(s, t->row));
    else
        weir_assess_text(s, object, "label", weir_assess_class_name(s, (int)weir_assess_label(s, t->row), text));
    if (s->task == WEIR_TASK_MULTICLASS) weir_assess_text(s, object, "called", weir_assess_class_name(s, t->output, text));
    weir_assess_number(s, object, "score", s->score[0][t->row * s->width + t->output]);
    weir_assess_number(s, object, "expected", own[m->column_count]);
    double rest = 0, sum = own[m->column_count];
    for (int c = 0; c < m->column_count; c++) {
        pairs[2 * c] = own[c];
        pairs[2 * c + 1] = c;
        sum += own[c];
    }
    qsort(pairs, (size_t)m->column_count, 2 * sizeof *pairs, by_size);
    weir_assess_number(s, object, "margin", sum);
    cJSON *list = weir_assess_array(s, object, "contributions");
    for (int i = 0; i < m->column_count; i++) {
        int c = (int)pairs[2 * i + 1];
        if (i >= CONTRIBUTIONS) {
            rest += pairs[2 * i];
            continue;
        }
        cJSON *one = weir_assess_object(s, list, NULL);
        weir_assess_text(s, one, "column", m->column_names[c]);
        weir_assess_text(s, one, "value", weir_assess_value_words(m, c, m->values[t->row * m->column_count + c], text));
        weir_assess_number(s, one, "contribution", pairs[2 * i]);
    }
    if (m->column_count > CONTRIBUTIONS) weir_assess_number(s, object, "others", rest);
}

weir_status weir_assess_explanations(weir_assess_state *s, weir_err *err) {
    if (s->rows < WEIR_ASSESS_ROWS_MIN) return WEIR_OK;
    weir_model *model = s->a->models[0].model;
    size_t columns = (size_t)s->test->matrix.column_count, outputs = (size_t)weir_model_output_count(model);
    double *contributions = weir_models_calloc(outputs * (columns + 1), sizeof *contributions), *pairs = weir_models_calloc(columns + 1, 2 * sizeof *pairs);
    told rows[5];
    weir_err why = {0};
    int count = contributions && pairs ? choose_rows(s, rows) : -1;
    weir_status status = count < 0 ? weir_assess_no_memory(err) : WEIR_OK;
    cJSON *object = weir_assess_object(s, s->json, "explanations"), *array = NULL;
    for (int i = 0; !status && i < count; i++) {
        status = weir_explain_row(model, s->test->matrix.values + rows[i].row * (int64_t)columns, contributions, &why);
        if (status == WEIR_EINVAL && i == 0) {
            weir_assess_text(s, object, "none", why.message);
            status = WEIR_OK;
            break;
        }
        if (status && err) *err = why;
        if (!status && !array) array = weir_assess_array(s, object, "rows");
        if (!status) put_row(s, array, &rows[i], contributions, pairs);
    }
    weir_models_free(contributions);
    weir_models_free(pairs);
    return status;
}
