/* Training sets of the fixture's rows, and specs from text. */
#ifndef WEIR_TESTS_MODELS_TRAINSET_FIXTURE_H
#define WEIR_TESTS_MODELS_TRAINSET_FIXTURE_H

#include <stdlib.h>

#include "fixture.h"
#include "models/crossval.h"

/* Rows from `first` on; times: a second apart, or none. */
static inline weir_trainset fixture_set(const fixture *f, weir_task task, int first, int count, bool timed) {
    static double columns[COLUMNS][ROWS], twice[ROWS];
    static int64_t times[ROWS];
    static const char *const classes[] = {"low", "high", "middle"}, *const target_names[] = {"target", "twice"};
    const double *values[COLUMNS], *label = (task == WEIR_TASK_MULTICLASS ? f->label_of_class : task == WEIR_TASK_REGRESSION ? f->target : f->label) + first;
    const double *const targets[] = {label, twice};
    weir_prep_column kinds[COLUMNS];
    weir_trainset set;
    weir_err err;
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < count; r++) columns[c][r] = f->values[(first + r) * COLUMNS + c];
        values[c] = columns[c];
        kinds[c] = (weir_prep_column){.name = f->matrix.column_names[c], .kind = WEIR_PREP_NUMBER};
    }
    for (int r = 0; r < count; r++) {
        times[r] = INT64_C(1000000) * r;
        twice[r] = 2 * label[r] - 1;
    }
    const weir_trainset_source source = {
        .row_count = count,
        .column_count = COLUMNS,
        .columns = kinds,
        .values = values,
        .task = task,
        .class_count = task == WEIR_TASK_MULTICLASS ? CLASSES : 0,
        .class_names = task == WEIR_TASK_MULTICLASS ? classes : NULL,
        .target_names = target_names,
        .targets = targets,
        .target_count = 1,
        .time_us = timed ? times : NULL,
    };
    if (weir_trainset_make(&source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

static inline cJSON *spec_of(const char *text) {
    cJSON *spec = cJSON_Parse(text);
    if (!spec) fail_msg("no JSON: %s", text);
    return spec;
}

static inline weir_buf spec_artifact(const char *text, const weir_trainset *set, const weir_fit_options *options) {
    cJSON *spec = spec_of(text);
    weir_buf artifact = {0};
    weir_err err;
    if (weir_spec_fit(spec, set, options, &artifact, &err)) fail_msg("%s: %s", text, err.message);
    cJSON_Delete(spec);
    return artifact;
}

static inline weir_model *spec_model(const char *text, const weir_trainset *set, const weir_fit_options *options) {
    weir_buf artifact = spec_artifact(text, set, options);
    weir_model *model = load_artifact(&artifact);
    weir_buf_done(&artifact);
    return model;
}

static inline weir_split_plan *plan_of(const weir_trainset *set, weir_split split) {
    const weir_split_rows rows = weir_trainset_split_rows(set);
    weir_split_plan *plan = NULL;
    weir_err err;
    if (weir_split_plan_new(&split, &rows, &plan, &err)) fail_msg("%s", err.message);
    return plan;
}

static inline weir_crossval validated(const char *text, const weir_trainset *set, weir_split split, const weir_crossval_options *options) {
    cJSON *spec = spec_of(text);
    weir_split_plan *plan = plan_of(set, split);
    weir_crossval result = {0};
    weir_err err;
    if (weir_crossval_run(spec, set, plan, options, &result, &err)) fail_msg("%s: %s", text, err.message);
    weir_split_plan_free(plan);
    cJSON_Delete(spec);
    return result;
}

#endif
