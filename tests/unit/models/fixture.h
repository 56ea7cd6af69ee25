/* A small training set that every algorithm can learn, and helpers around fitting it. */
#ifndef WEIR_TESTS_MODELS_FIXTURE_H
#define WEIR_TESTS_MODELS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "models/model.h"

enum { ROWS = 2000, COLUMNS = 5, CLASSES = 3 };

typedef struct fixture {
    double values[ROWS * COLUMNS], label[ROWS], label_of_class[ROWS], target[ROWS];
    weir_matrix matrix; /* the binary task; fixture_matrix gives the others */
} fixture;

/* splitmix64: uniform in [0, 1). Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014. */
static inline double uniform(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* The labels depend on columns 0 and 1, with noise; column 3 has missing values, column 4 never varies. */
static inline void fixture_init(fixture *f) {
    static const char *const names[COLUMNS] = {"amount", "rate", "noise", "gaps", "constant"};
    uint64_t random = 7;
    for (int r = 0; r < ROWS; r++) {
        double *x = f->values + r * COLUMNS;
        for (int c = 0; c < 4; c++) x[c] = uniform(&random);
        x[0] *= 100;
        if (uniform(&random) < 0.2) x[3] = NAN;
        x[4] = 0.1;
        double eta = 0.05 * (x[0] - 50) + 3 * (x[1] - 0.5);
        f->label[r] = uniform(&random) < 1 / (1 + exp(-eta));
        double noise = uniform(&random) - 0.5;
        f->label_of_class[r] = eta + noise < -1 ? 0 : eta + noise < 1 ? 2 : 1;
        f->target[r] = 100 + 10 * (eta + noise);
    }
    f->matrix = (weir_matrix){.row_count = ROWS, .column_count = COLUMNS, .values = f->values, .label = f->label, .column_names = names};
}

static inline weir_matrix fixture_matrix(const fixture *f, weir_task task) {
    weir_matrix m = f->matrix;
    m.task = task;
    m.class_count = task == WEIR_TASK_MULTICLASS ? CLASSES : 0;
    m.label = task == WEIR_TASK_MULTICLASS ? f->label_of_class : task == WEIR_TASK_REGRESSION ? f->target : f->label;
    return m;
}

/* Hyperparameters that fit in a moment. */
static inline const char *quick(const char *algorithm) {
    if (!strcmp(algorithm, "random_forest")) return "{\"trees\": 10, \"max_bin\": 64}";
    if (!strcmp(algorithm, "xgboost")) return "{\"rounds\": 15, \"max_bin\": 64}";
    return NULL;
}

static inline weir_buf fit_artifact(const char *algorithm, const char *params, const weir_matrix *matrix, uint64_t seed, int threads) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = params ? cJSON_Parse(params) : NULL;
    assert_true(json || !params);
    if (weir_model_fit(algorithm, json, NULL, matrix, "hash", seed, threads, &artifact, &err) != WEIR_OK) fail_msg("%s: %s", algorithm, err.message);
    cJSON_Delete(json);
    return artifact;
}

static inline weir_model *load_artifact(const weir_buf *artifact) {
    weir_model *model = NULL;
    weir_err err;
    if (weir_model_load(artifact->data, artifact->len, &model, &err) != WEIR_OK) fail_msg("%s", err.message);
    return model;
}

static inline weir_model *fit_model(const char *algorithm, const char *params, const weir_matrix *matrix) {
    weir_buf artifact = fit_artifact(algorithm, params, matrix, 1, 1);
    weir_model *model = load_artifact(&artifact);
    weir_buf_done(&artifact);
    return model;
}

static inline void predict_all(weir_model *model, const weir_matrix *matrix, double *out) {
    weir_err err;
    if (weir_model_predict(model, matrix->values, matrix->row_count, out, &err) != WEIR_OK) fail_msg("%s", err.message);
}

#endif
