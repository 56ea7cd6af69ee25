/* Ensembles of what a search found, judged without fitting a member again: by the scores that each member gave to rows outside of its fold.
 *
 * An average has nothing that is fitted. Weights and the model of a stack are fitted on scores, so those that judge fold f are fitted on the scores of other folds'
 * rows only (cross-fitting), where folds go forward in time of earlier folds' only; with none before it a fold is judged by the plain average. That mirrors what
 * weir_spec_fit does for the final model, which fits them on scores out of fold too.
 *
 * Which members there are was chosen by the same folds, and so was the best single model: both are a little too good by that, which only rows that nobody has
 * looked at can tell. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/automl_internal.h"
#include "models/ensemble_weights.h"
#include "models/memory.h"

enum { MEMBERS_MAX = 5, OF_ONE_ALGORITHM = 2, NAME_MAX_BYTES = 48 };
#define FINAL_FIT_MARGIN 1.2

typedef enum blend { BLEND_AVERAGE, BLEND_WEIGHTED, BLEND_STACKING } blend;
static const char *const blend_names[] = {"average", "weighted", "stacking"};

/* The rows that every member has scores of. */
typedef struct pool {
    int members[MEMBERS_MAX]; /* indices of contenders, best first */
    int count, outputs;
    size_t rows;
    size_t *row; /* [rows] its place in the set */
    int *fold; /* [rows] */
    double *label, *weight; /* [rows] */
    double *scores; /* [count][rows][outputs] */
} pool;

static void pool_done(pool *p) {
    weir_models_free(p->row);
    weir_models_free(p->fold);
    weir_models_free(p->label);
    weir_models_free(p->weight);
    weir_models_free(p->scores);
}

/* ---- members ---- */

/* Time to judge it again, for the scores that another process has. */
static bool is_affordable(const weir_search *search, const weir_contender *c) {
    return FINAL_FIT_MARGIN * (c->fit_s + c->predict_s) * search->fold_count < weir_search_left_s(search) / 2;
}

static weir_status choose_members(weir_search *search, pool *p, weir_err *err) {
    int *order = weir_models_calloc((size_t)search->count, sizeof *order);
    if (!order) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %d models", search->count);
    int ranked = weir_search_rank(search, order);
    for (int i = 0; i < ranked && p->count < MEMBERS_MAX; i++) {
        weir_contender *c = &search->contenders[order[i]];
        const char *algorithm = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->spec, "algorithm"));
        int alike = 0;
        for (int m = 0; algorithm && m < p->count; m++)
            alike += !strcmp(algorithm, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(search->contenders[p->members[m]].spec, "algorithm")));
        if (!algorithm || alike == OF_ONE_ALGORITHM) continue;
        weir_err why;
        if (!c->scores && (!is_affordable(search, c) || weir_search_judge(search, c, weir_search_left_s(search) / 2, &why) != WEIR_OK)) continue;
        p->members[p->count++] = order[i];
    }
    weir_models_free(order);
    return WEIR_OK;
}

static bool has_all_scores(const weir_search *search, const pool *p, size_t row) {
    for (int m = 0; m < p->count; m++)
        if (isnan(search->contenders[p->members[m]].scores[row * (size_t)p->outputs])) return false;
    return search->fold_of[row] >= 0;
}

static weir_status fill_pool(const weir_search *search, pool *p, weir_err *err) {
    const weir_matrix *matrix = &search->settings->set->matrix;
    size_t rows = (size_t)matrix->row_count, outputs = (size_t)p->outputs, at = 0;
    for (size_t r = 0; r < rows; r++) p->rows += has_all_scores(search, p, r);
    size_t n = p->rows;
    p->row = weir_models_calloc(n, sizeof *p->row);
    p->fold = weir_models_calloc(n, sizeof *p->fold);
    p->label = weir_models_calloc(n, sizeof *p->label);
    p->weight = weir_models_calloc(n, sizeof *p->weight);
    p->scores = weir_models_calloc(n * (size_t)p->count * outputs, sizeof *p->scores);
    if (!p->row || !p->fold || !p->label || !p->weight || !p->scores) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for ensembles over %zu rows", n);
    for (size_t r = 0; r < rows; r++) {
        if (!has_all_scores(search, p, r)) continue;
        p->row[at] = r;
        p->fold[at] = search->fold_of[r];
        p->label[at] = matrix->label[r];
        p->weight[at] = matrix->weight ? matrix->weight[r] : 1;
        for (size_t m = 0; m < (size_t)p->count; m++)
            memcpy(p->scores + (m * n + at) * outputs, search->contenders[p->members[m]].scores + r * outputs, outputs * sizeof *p->scores);
        at++;
    }
    return WEIR_OK;
}

/* ---- blending ---- */

/* Which rows are seen when fold f is judged. */
static bool is_seen(const weir_search *search, const pool *p, size_t i, int f) {
    return search->by_time ? p->fold[i] < f : p->fold[i] != f;
}

/* The rows that are seen for fold f, by themselves; the first `count` members. Shares row and fold with nothing: they stay NULL. */
static weir_status take_seen(const weir_search *search, const pool *p, int count, int f, pool *ret_seen, weir_err *err) {
    size_t outputs = (size_t)p->outputs, n = 0, all = p->rows;
    pool seen = {.count = count, .outputs = p->outputs};
    for (size_t i = 0; i < p->rows; i++) seen.rows += is_seen(search, p, i, f);
    size_t rows = seen.rows;
    seen.label = weir_models_calloc(rows, sizeof *seen.label);
    seen.weight = weir_models_calloc(rows, sizeof *seen.weight);
    seen.scores = weir_models_calloc(rows * (size_t)count * outputs, sizeof *seen.scores);
    if (!seen.label || !seen.weight || !seen.scores) {
        pool_done(&seen);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for ensembles over %zu rows", rows);
    }
    for (size_t i = 0; i < all; i++) {
        if (!is_seen(search, p, i, f)) continue;
        seen.label[n] = p->label[i];
        seen.weight[n] = p->weight[i];
        for (size_t m = 0; m < (size_t)count; m++)
            memcpy(seen.scores + (m * rows + n) * outputs, p->scores + (m * all + i) * outputs, outputs * sizeof *seen.scores);
        n++;
    }
    *ret_seen = seen;
    return WEIR_OK;
}

/* Weighted sums of the members' scores of the fold's rows, into out [row_count of the set][outputs]. */
static void blend_fold(const pool *p, int count, const double *weights, int f, double *out) {
    size_t outputs = (size_t)p->outputs, rows = p->rows;
    for (size_t i = 0; i < rows; i++) {
        if (p->fold[i] != f) continue;
        double *to = out + p->row[i] * outputs;
        for (size_t k = 0; k < outputs; k++) {
            to[k] = 0;
            for (size_t m = 0; m < (size_t)count; m++) to[k] += weights[m] * p->scores[(m * rows + i) * outputs + k];
        }
    }
}

/* A row of the model on top: every member's scores. */
static void fill_meta_row(const pool *p, size_t i, int count, double *row) {
    size_t outputs = (size_t)p->outputs;
    for (size_t m = 0; m < (size_t)count; m++) memcpy(row + m * outputs, p->scores + (m * p->rows + i) * outputs, outputs * sizeof *row);
}

static weir_status fit_meta(const weir_search *search, const pool *seen, weir_model **ret_model, weir_err *err) {
    const weir_automl_settings *s = search->settings;
    const weir_matrix *whole = &s->set->matrix;
    size_t outputs = (size_t)seen->outputs, width = (size_t)seen->count * outputs;
    char(*names)[NAME_MAX_BYTES] = weir_models_calloc(width, sizeof *names);
    const char **pointers = weir_models_calloc(width, sizeof *pointers);
    double *values = weir_models_calloc(seen->rows * width, sizeof *values);
    weir_buf artifact = {0};
    weir_status status = names && pointers && values ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a stack over %zu rows", seen->rows);
    for (size_t c = 0; status == WEIR_OK && c < width; c++) {
        snprintf(names[c], NAME_MAX_BYTES, "m%zu=%zu", c / outputs, c % outputs);
        pointers[c] = names[c];
    }
    for (size_t i = 0; status == WEIR_OK && i < seen->rows; i++) fill_meta_row(seen, i, seen->count, values + i * width);
    const weir_matrix train = {.row_count = (int64_t)seen->rows,
                               .column_count = (int)width,
                               .values = values,
                               .label = seen->label,
                               .column_names = pointers,
                               .weight = whole->weight ? seen->weight : NULL,
                               .task = whole->task,
                               .class_count = whole->class_count};
    if (status == WEIR_OK)
        status = weir_model_fit(whole->task == WEIR_TASK_REGRESSION ? "ridge" : "logistic", NULL, NULL, &train, NULL, s->seed, s->threads, &artifact, err);
    if (status == WEIR_OK) status = weir_model_load(artifact.data, artifact.len, ret_model, err);
    weir_buf_done(&artifact);
    weir_models_free(names);
    weir_models_free(pointers);
    weir_models_free(values);
    return status;
}

static weir_status stack_fold(const weir_search *search, const pool *p, const pool *seen, int f, double *out, weir_err *err) {
    size_t width = (size_t)seen->count * (size_t)seen->outputs, outputs = (size_t)p->outputs;
    weir_model *model = NULL;
    double *row = weir_models_calloc(width, sizeof *row);
    weir_status status = row ? fit_meta(search, seen, &model, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %zu scores", width);
    for (size_t i = 0; status == WEIR_OK && i < p->rows; i++) {
        if (p->fold[i] != f) continue;
        fill_meta_row(p, i, seen->count, row);
        status = weir_model_predict(model, row, 1, out + p->row[i] * outputs, err);
    }
    weir_model_free(model);
    weir_models_free(row);
    return status;
}

static weir_status judge_fold(const weir_search *search, const pool *p, blend kind, int count, int f, double *out, weir_err *err) {
    double weights[MEMBERS_MAX];
    pool seen = {0};
    weir_status status = WEIR_OK;
    for (int m = 0; m < count; m++) weights[m] = 1.0 / count;
    if (kind != BLEND_AVERAGE) status = take_seen(search, p, count, f, &seen, err);
    if (status == WEIR_OK && kind == BLEND_WEIGHTED && seen.rows) {
        const weir_ensemble_scores scores = {(int64_t)seen.rows, count,      p->outputs,
                                             seen.scores,        seen.label, search->settings->set->matrix.weight ? seen.weight : NULL};
        status = weir_ensemble_weights(search->settings->set->matrix.task, &scores, weights, err);
    }
    if (status == WEIR_OK && kind == BLEND_STACKING && seen.rows)
        status = stack_fold(search, p, &seen, f, out, err);
    else if (status == WEIR_OK)
        blend_fold(p, count, weights, f, out);
    pool_done(&seen);
    return status;
}

/* ---- contenders ---- */

static cJSON *make_spec(const weir_search *search, const pool *p, blend kind, int count) {
    cJSON *spec = cJSON_CreateObject(), *members = NULL;
    bool ok = spec && cJSON_AddStringToObject(spec, "ensemble", blend_names[kind]) && (members = cJSON_AddArrayToObject(spec, "members")) != NULL;
    for (int m = 0; ok && m < count; m++) {
        cJSON *member = cJSON_Duplicate(search->contenders[p->members[m]].spec, true);
        ok = member && cJSON_AddItemToArray(members, member);
        if (!ok) cJSON_Delete(member);
    }
    if (ok) return spec;
    cJSON_Delete(spec);
    return NULL;
}

/* Members are fitted once, and for weights or a stack once more in every fold. */
static void set_times(const weir_search *search, const pool *p, blend kind, int count, weir_contender *c) {
    for (int m = 0; m < count; m++) {
        c->fit_s += search->contenders[p->members[m]].fit_s;
        c->predict_s += search->contenders[p->members[m]].predict_s;
    }
    if (kind != BLEND_AVERAGE) c->fit_s *= 1 + search->fold_count * search->train_share;
}

/* One that cannot be judged, or for whose final fit there is no time, is left out. Errors: WEIR_ENOMEM. */
static weir_status judge_ensemble(weir_search *search, const pool *p, blend kind, int count, weir_err *err) {
    weir_contender c = {.trial = -1};
    const weir_matrix *matrix = &search->settings->set->matrix;
    size_t size = (size_t)matrix->row_count * (size_t)p->outputs;
    set_times(search, p, kind, count, &c);
    if (FINAL_FIT_MARGIN * c.fit_s / search->train_share > weir_search_left_s(search)) return WEIR_OK;
    double *out = weir_models_calloc(size, sizeof *out);
    c.spec = make_spec(search, p, kind, count);
    c.fold_values = weir_models_calloc((size_t)search->fold_count, sizeof *c.fold_values);
    weir_status status =
        out && c.spec && c.fold_values ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an ensemble over %lld rows", (long long)matrix->row_count);
    for (size_t i = 0; out && i < size; i++) out[i] = NAN;
    for (int f = 0; status == WEIR_OK && f < search->fold_count; f++) status = judge_fold(search, p, kind, count, f, out, err);
    if (status == WEIR_OK) status = weir_search_measure(search, search->settings->metric, out, c.fold_values, err);
    weir_models_free(out);
    if (status == WEIR_OK) weir_search_summary(c.fold_values, search->fold_count, &c.mean, &c.deviation);
    if (status == WEIR_OK && isfinite(c.mean)) return weir_search_add(search, &c, err);
    weir_contender_done(&c);
    return status == WEIR_ENOMEM ? status : WEIR_OK;
}

weir_status weir_search_ensembles(weir_search *search, weir_err *err) {
    pool p = {.outputs = search->output_count};
    weir_stop stop;
    if (search->settings->set->target_count > 1) return WEIR_OK;
    weir_status status = choose_members(search, &p, err);
    if (status != WEIR_OK || p.count < 2) return status;
    weir_watch_begin(search->watch, "ensembles", -1, 0);
    status = fill_pool(search, &p, err);
    for (int count = 2; status == WEIR_OK && p.rows && count <= p.count; count++) status = judge_ensemble(search, &p, BLEND_AVERAGE, count, err);
    for (int kind = BLEND_WEIGHTED; status == WEIR_OK && p.rows && search->fold_count > 1 && kind <= BLEND_STACKING; kind++)
        status = judge_ensemble(search, &p, (blend)kind, p.count, err);
    (void)weir_watch_end(search->watch, &stop);
    pool_done(&p);
    return status;
}
