/* What Weir costs before and around the library that fits. ./run bench runs it first.
 *
 *   training overhead    200 000 rows × 30 columns, 50 trees of depth 6: weir_model_fit, from the matrix to the artifact     ceiling: XGBoost's C API on the same matrix, to a saved model
 *   features to matrix   a history of 1 000 000 rows × 30 columns to a training set: rows without a label left out, columns turned into rows, digest; nothing to compare with
 *
 * Medians of RUNS, the two of the first taking turns. CPU seconds, which a busy machine does not stretch as it does wall time: all of it is one thread. Needs nothing but memory. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xgboost/c_api.h>

#include "models/trainset.h"
#include "tests/bench/harness.h"

enum { RUNS = 3, COLUMNS = 30, FIT_ROWS = 200000, TREES = 50, TURN_ROWS = 1000000 };
static const char *const params[][2] = {{"objective", "binary:logistic"},
                                        {"base_score", "0.5"},
                                        {"tree_method", "hist"},
                                        {"max_bin", "256"},
                                        {"max_depth", "6"},
                                        {"learning_rate", "0.1"},
                                        {"min_child_weight", "2"},
                                        {"subsample", "0.8"},
                                        {"colsample_bytree", "0.8"},
                                        {"reg_lambda", "1"},
                                        {"gamma", "0"},
                                        {"scale_pos_weight", "1"},
                                        {"nthread", "1"},
                                        {"seed", "1"},
                                        {"verbosity", "0"}};
static const char same_params[] = "{\"rounds\": 50, \"max_bin\": 256, \"max_depth\": 6, \"eta\": 0.1}";

static double median(double *values) {
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

static double uniform(uint64_t *random) {
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*random >> 11) * 0x1p-53;
}

/* columns: values one column after the other, as a history has them; else one row after the other. */
static void fill(double *values, double *label, int64_t rows, bool columns) {
    uint64_t random = 7;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < COLUMNS; c++) {
            double x = uniform(&random);
            sum += c < 6 ? x : 0;
            values[columns ? c * rows + r : r * COLUMNS + c] = uniform(&random) < 0.02 ? NAN : x;
        }
        label[r] = sum + uniform(&random) > 4;
    }
}

static void *room(size_t count) {
    void *block = calloc(count, sizeof(double));
    if (!block) exit(1);
    return block;
}

static void name_columns(char names[COLUMNS][8], const char **pointers) {
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(names[c], sizeof names[c], "x%d", c);
        pointers[c] = names[c];
    }
}

/* ---- overhead ---- */

static void must(int failed) {
    if (!failed) return;
    fprintf(stderr, "bench: XGBoost: %s\n", XGBGetLastError());
    exit(3);
}

/* Seconds from the matrix to a saved model; *ret_len its bytes. */
static double fit_directly(const weir_matrix *m, size_t *ret_len) {
    char array[160];
    const char *image;
    bst_ulong len;
    DMatrixHandle matrix;
    BoosterHandle booster;
    double start = cpu_s();
    float *labels = room((size_t)m->row_count);
    for (int64_t r = 0; r < m->row_count; r++) labels[r] = (float)m->label[r];
    snprintf(array, sizeof array, "{\"data\": [%" PRIuPTR ", true], \"shape\": [%" PRId64 ", %d], \"typestr\": \"<f8\", \"version\": 3}", (uintptr_t)m->values,
             m->row_count, COLUMNS);
    must(XGDMatrixCreateFromDense(array, "{\"missing\": NaN, \"nthread\": 1}", &matrix));
    must(XGDMatrixSetFloatInfo(matrix, "label", labels, (bst_ulong)m->row_count));
    must(XGBoosterCreate(&matrix, 1, &booster));
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) must(XGBoosterSetParam(booster, params[i][0], params[i][1]));
    for (int round = 0; round < TREES; round++) must(XGBoosterUpdateOneIter(booster, round, matrix));
    must(XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &len, &image));
    double took = cpu_s() - start;
    *ret_len = len;
    XGBoosterFree(booster);
    XGDMatrixFree(matrix);
    free(labels);
    return took;
}

static double fit_by_weir(const weir_matrix *m) {
    weir_buf artifact = {0};
    weir_err err;
    cJSON *json = cJSON_Parse(same_params);
    double start = cpu_s();
    die_on(weir_model_fit("xgboost", json, NULL, m, NULL, 1, 1, &artifact, &err), &err);
    double took = cpu_s() - start;
    weir_buf_done(&artifact);
    cJSON_Delete(json);
    return took;
}

static void bench_overhead(void) {
    char names[COLUMNS][8];
    const char *pointers[COLUMNS];
    double *values = room((size_t)FIT_ROWS * COLUMNS), *label = room(FIT_ROWS), direct[RUNS], weir[RUNS];
    size_t len;
    name_columns(names, pointers);
    fill(values, label, FIT_ROWS, false);
    const weir_matrix m = {.row_count = FIT_ROWS, .column_count = COLUMNS, .values = values, .label = label, .column_names = pointers};
    for (int run = 0; run < RUNS; run++) {
        direct[run] = fit_directly(&m, &len);
        weir[run] = fit_by_weir(&m);
    }
    double ceiling = median(direct), took = median(weir);
    printf("%-34s %14.2f %-10s  %-28s %14.2f  ratio %.2f\n", "training overhead", took, "CPU s", "XGBoost's C API, CPU s", ceiling, took / ceiling);
    free(values);
    free(label);
}

/* ---- features to matrix ---- */

static void bench_turn(void) {
    char names[COLUMNS][8], query[] = "bench";
    const char *pointers[COLUMNS];
    double *values = room((size_t)TURN_ROWS * COLUMNS), *label = room(TURN_ROWS), took[RUNS];
    int64_t *times = room(TURN_ROWS);
    uint32_t *entity = room(TURN_ROWS);
    uint64_t random = 3;
    name_columns(names, pointers);
    fill(values, label, TURN_ROWS, true);
    for (int64_t r = 0; r < TURN_ROWS; r++) {
        times[r] = r / 3 * 1000;
        entity[r] = (uint32_t)(10000 * uniform(&random));
        if (uniform(&random) < 0.05) label[r] = NAN;
    }
    const weir_history history = {.row_count = TURN_ROWS,
                                  .column_count = COLUMNS,
                                  .column_names = (char **)pointers,
                                  .values = values,
                                  .event_time_us = times,
                                  .label = label,
                                  .entity = entity,
                                  .entity_count = 10000,
                                  .query_text = query};
    for (int run = 0; run < RUNS; run++) {
        weir_trainset set;
        weir_err err;
        double start = cpu_s();
        die_on(weir_trainset_from_history(&history, "bench", "label", WEIR_TASK_BINARY, 0, &set, &err), &err);
        took[run] = cpu_s() - start;
        weir_trainset_done(&set);
    }
    printf("%-34s %14.2f CPU s, of 1 000 000 rows x 30 columns\n", "features to matrix", median(took));
    free(values);
    free(label);
    free(times);
    free(entity);
}

int main(void) {
    bench_overhead();
    bench_turn();
    return 0;
}
