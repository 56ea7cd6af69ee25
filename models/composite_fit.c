#include "models/composite_fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/crossval.h"
#include "models/ensemble_weights.h"
#include "models/memory.h"
#include "models/model_internal.h"

enum { FOLDS = 5, NAME_MAX_BYTES = 272 };

/* The members' artifacts, and what they say of rows that they were not fitted on. */
typedef struct ensemble {
    const cJSON *members;
    weir_composition kind;
    int count, outputs;
    weir_buf artifacts[WEIR_SPEC_MEMBERS_MAX], meta;
    double weights[WEIR_SPEC_MEMBERS_MAX];
    double *scores; /* [count][row_count][outputs] out of fold; NaN: in no test part */
    double *label; /* [row_count]; NaN: no scores */
} ensemble;

bool weir_ensemble_find(const char *name, weir_composition *ret_kind) {
    for (weir_composition kind = WEIR_MODEL_AVERAGE; kind <= WEIR_MODEL_STACKING; kind++) {
        if (strcmp(name, weir_composition_name(kind)) != 0) continue;
        *ret_kind = kind;
        return true;
    }
    return false;
}

static void ensemble_done(ensemble *e) {
    for (int i = 0; i < e->count; i++) weir_buf_done(&e->artifacts[i]);
    weir_buf_done(&e->meta);
    weir_models_free(e->scores);
    weir_models_free(e->label);
}

/* ---- out of fold ---- */

static weir_status plan_folds(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_split_plan **ret_plan, weir_err *err) {
    const cJSON *folds = cJSON_GetObjectItemCaseSensitive(spec, "folds");
    weir_split split = options->split ? *options->split : weir_trainset_default_split(set, folds ? folds->valueint : FOLDS, options->seed);
    const weir_split_rows rows = weir_trainset_split_rows(set);
    weir_status status = weir_split_plan_new(&split, &rows, ret_plan, err);
    return status ? weir_err_prefix(err, "folds of an ensemble") : WEIR_OK;
}

static weir_status score_member(const ensemble *e, int i, const weir_trainset *set, const weir_split_plan *plan, const weir_fit_options *options,
                                weir_err *err) {
    const weir_crossval_options cv = {.fit = *options};
    weir_crossval result = {0};
    weir_status status = weir_crossval_run(cJSON_GetArrayItem(e->members, i), set, plan, &cv, &result, err);
    if (status) return weir_err_prefix(err, "member %d", i);
    size_t size = (size_t)set->matrix.row_count * (size_t)e->outputs;
    memcpy(e->scores + (size_t)i * size, result.scores, size * sizeof *e->scores);
    weir_crossval_done(&result);
    return WEIR_OK;
}

/* All members by the same folds: a row has scores of all, or of none. */
static weir_status score_members(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, ensemble *e, weir_err *err) {
    size_t rows = (size_t)set->matrix.row_count;
    weir_split_plan *plan = NULL;
    e->scores = weir_models_calloc((size_t)e->count * rows * (size_t)e->outputs, sizeof *e->scores);
    e->label = weir_models_calloc(rows, sizeof *e->label);
    if (!e->scores || !e->label) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what %d members say of %zu rows", e->count, rows);
    weir_status status = plan_folds(spec, set, options, &plan, err);
    for (int i = 0; !status && i < e->count; i++) status = score_member(e, i, set, plan, options, err);
    for (size_t r = 0; !status && r < rows; r++) e->label[r] = isnan(e->scores[r * (size_t)e->outputs]) ? NAN : set->matrix.label[r];
    weir_split_plan_free(plan);
    return status;
}

/* ---- weights ---- */

/* Rows with scores move up, those of every member by themselves. */
static weir_status fit_weights(const weir_trainset *set, ensemble *e, weir_err *err) {
    size_t rows = (size_t)set->matrix.row_count, outputs = (size_t)e->outputs, n = 0;
    double *label = weir_models_calloc(rows, sizeof *label), *weight = weir_models_calloc(rows, sizeof *weight);
    double *scores = weir_models_calloc((size_t)e->count * rows * outputs, sizeof *scores);
    weir_status status = label && weight && scores ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the weights of %d members", e->count);
    for (size_t r = 0; !status && r < rows; r++) n += !isnan(e->label[r]);
    for (size_t r = 0, to = 0; !status && r < rows; r++) {
        if (isnan(e->label[r])) continue;
        label[to] = e->label[r];
        weight[to] = set->matrix.weight ? set->matrix.weight[r] : 1;
        for (size_t i = 0; i < (size_t)e->count; i++) memcpy(scores + (i * n + to) * outputs, e->scores + (i * rows + r) * outputs, outputs * sizeof *scores);
        to++;
    }
    const weir_ensemble_scores given = {
        .row_count = (int64_t)n, .member_count = e->count, .output_count = e->outputs, .scores = scores, .label = label, .weight = weight};
    if (!status) status = weir_ensemble_weights(set->matrix.task, &given, e->weights, err);
    weir_models_free(label);
    weir_models_free(weight);
    weir_models_free(scores);
    return status;
}

/* ---- stacking ---- */

/* A column a member and score, and what a set is made of. */
typedef struct meta_rows {
    weir_prep_column *columns;
    char (*names)[NAME_MAX_BYTES];
    double *values; /* [columns][row_count] */
    const double **pointers;
    weir_trainset set;
} meta_rows;

static void meta_rows_done(meta_rows *m) {
    weir_models_free(m->columns);
    weir_models_free(m->names);
    weir_models_free(m->values);
    weir_models_free(m->pointers);
    weir_trainset_done(&m->set);
}

static void name_column(const weir_trainset *set, int member, int output, char name[NAME_MAX_BYTES]) {
    if (set->matrix.task != WEIR_TASK_MULTICLASS)
        snprintf(name, NAME_MAX_BYTES, "m%d", member);
    else if (set->class_names)
        snprintf(name, NAME_MAX_BYTES, "m%d=%s", member, set->class_names[output]);
    else
        snprintf(name, NAME_MAX_BYTES, "m%d=%d", member, output);
}

static weir_status fill_meta_rows(const weir_trainset *set, const ensemble *e, meta_rows *m, weir_err *err) {
    size_t rows = (size_t)set->matrix.row_count, outputs = (size_t)e->outputs, width = (size_t)e->count * outputs;
    m->columns = weir_models_calloc(width, sizeof *m->columns);
    m->names = weir_models_calloc(width, sizeof *m->names);
    m->values = weir_models_calloc(width * rows, sizeof *m->values);
    m->pointers = weir_models_calloc(width, sizeof *m->pointers);
    if (!m->columns || !m->names || !m->values || !m->pointers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a meta model of %zu columns", width);
    for (size_t c = 0; c < width; c++) {
        name_column(set, (int)(c / outputs), (int)(c % outputs), m->names[c]);
        m->columns[c] = (weir_prep_column){.name = m->names[c], .kind = WEIR_PREP_NUMBER};
        m->pointers[c] = m->values + c * rows;
        for (size_t r = 0; r < rows; r++) m->values[c * rows + r] = e->scores[(c / outputs * rows + r) * outputs + c % outputs];
    }
    const double *label = e->label;
    const weir_trainset_source source = {
        .row_count = set->matrix.row_count,
        .column_count = (int)width,
        .columns = m->columns,
        .values = m->pointers,
        .task = set->matrix.task,
        .class_count = set->matrix.class_count,
        .class_names = (const char *const *)set->class_names,
        .target_names = (const char *const *)set->target_names,
        .targets = &label,
        .weight = set->matrix.weight,
        .time_us = set->time_us,
        .label_until_us = set->label_until_us,
        .entity = set->entity,
        .entity_count = set->entity_count,
        .source = set->source,
        .query = set->query,
    };
    return weir_trainset_make(&source, &m->set, err);
}

static weir_status fit_meta(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, ensemble *e, weir_err *err) {
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(spec, "meta");
    cJSON *own = NULL;
    meta_rows m = {0};
    if (!given) {
        own = cJSON_CreateObject();
        bool ok = cJSON_AddStringToObject(own, "algorithm", set->matrix.task == WEIR_TASK_REGRESSION ? "ridge" : "logistic") != NULL;
        if (!ok) {
            cJSON_Delete(own);
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a meta model");
        }
    }
    weir_status status = fill_meta_rows(set, e, &m, err);
    if (!status) status = weir_spec_fit(given ? given : own, &m.set, options, &e->meta, err);
    meta_rows_done(&m);
    cJSON_Delete(own);
    return status ? weir_err_prefix(err, "meta model") : WEIR_OK;
}

/* ---- artifacts ---- */

static weir_status append(weir_composition kind, const weir_buf *members, int count, const double *weights, const weir_buf *meta, const weir_trainset *set,
                          const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    bool targets = kind == WEIR_MODEL_TARGETS;
    weir_buf body = {0};
    cJSON *params = cJSON_CreateObject();
    weir_artifact_header header = {
        .algorithm = targets ? &weir_algorithm_multi_target : &weir_algorithm_ensemble,
        .params = params,
        .train = &set->matrix,
        .targets = (const char *const *)set->target_names,
        .target_count = targets ? count : 0,
        .feature_hash = options->feature_hash,
        .seed = options->seed,
        .threads = options->threads,
    };
    bool ok = params && (targets || cJSON_AddStringToObject(params, "ensemble", weir_composition_name(kind)));
    weir_status status = ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %d members", count);
    if (!status) status = weir_composite_write(kind, members, count, weights, meta, &body, err);
    if (!status) status = weir_artifact_append(&header, &body, ret_artifact, err);
    cJSON_Delete(params);
    weir_buf_done(&body);
    return status;
}

weir_status weir_ensemble_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    ensemble e = {.members = cJSON_GetObjectItemCaseSensitive(spec, "members"),
                  .outputs = set->matrix.task == WEIR_TASK_MULTICLASS ? set->matrix.class_count : 1};
    weir_status status = WEIR_OK;
    if (!weir_ensemble_find(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(spec, "ensemble")), &e.kind))
        return WEIR_FAIL(err, WEIR_EINTERNAL, "an ensemble was not checked before it was fitted");
    e.count = cJSON_GetArraySize(e.members);
    for (int i = 0; i < e.count; i++) e.weights[i] = 1.0 / e.count;
    if (e.kind != WEIR_MODEL_AVERAGE) status = score_members(spec, set, options, &e, err);
    if (!status && e.kind == WEIR_MODEL_WEIGHTED) status = fit_weights(set, &e, err);
    if (!status && e.kind == WEIR_MODEL_STACKING) status = fit_meta(spec, set, options, &e, err);
    for (int i = 0; !status && i < e.count; i++) {
        status = weir_spec_fit(cJSON_GetArrayItem(e.members, i), set, options, &e.artifacts[i], err);
        if (status) status = weir_err_prefix(err, "member %d", i);
    }
    const double *weights = e.kind == WEIR_MODEL_STACKING ? NULL : e.weights;
    if (!status) status = append(e.kind, e.artifacts, e.count, weights, e.kind == WEIR_MODEL_STACKING ? &e.meta : NULL, set, options, ret_artifact, err);
    ensemble_done(&e);
    return status;
}

weir_status weir_targets_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) {
    weir_buf artifacts[WEIR_TRAINSET_TARGETS_MAX] = {0};
    const cJSON *each = cJSON_GetObjectItemCaseSensitive(spec, "targets");
    weir_status status = WEIR_OK;
    for (int t = 0; !status && t < set->target_count; t++) {
        const weir_trainset one = weir_trainset_one_target(set, t);
        status = weir_spec_fit(each, &one, options, &artifacts[t], err);
        if (status) status = weir_err_prefix(err, "target '%s'", set->target_names[t]);
    }
    if (!status) status = append(WEIR_MODEL_TARGETS, artifacts, set->target_count, NULL, NULL, set, options, ret_artifact, err);
    for (int t = 0; t < set->target_count; t++) weir_buf_done(&artifacts[t]);
    return status;
}
