/* What a score costs, without anything around it. ./run bench runs it.
 *
 *   one row      30 columns, depth 6, 100 and 500 trees: a call by itself, each row another one; median and 99th of a hundred    ceiling: XGBoost's C call for the same row
 *   10 000 rows  the same models, one core: rows a second                                                                ceiling: XGBoost's in-place prediction, one thread
 *   open         from a file to the first score                                                                           ceiling: XGBoost reads its own file
 *
 * Medians of RUNS, the two sides taking turns. The clock is read around every single call: what reading it costs (some 25 ns) is part of the figures. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "models/model.h"
#include "models/scorer_compile.h"
#include "tests/bench/harness.h"

enum { RUNS = 5, COLUMNS = 30, FIT_ROWS = 20000, ROWS = 10000, PATH_BYTES = 64 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double uniform(uint64_t *random) {
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*random >> 11) * 0x1p-53;
}

/* Labels that depend on several columns, so that trees grow; one value in fifty is missing. */
static void fill(double *values, double *label, int rows, uint64_t random) {
    for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < COLUMNS; c++) {
            double x = uniform(&random) + uniform(&random) - 1;
            sum += x * sin(c + 1) + (c % 3 ? 0 : x * x);
            values[r * COLUMNS + c] = uniform(&random) < 0.02 ? NAN : x;
        }
        label[r] = sum + uniform(&random) > 1.5;
    }
}

static weir_model *fit(int trees, const double *values, const double *label) {
    char params_text[128], names[COLUMNS][16];
    const char *pointers[COLUMNS];
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    snprintf(params_text, sizeof params_text, "{\"rounds\": %d, \"max_depth\": 6, \"eta\": 0.1}", trees);
    cJSON *params = cJSON_Parse(params_text);
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(names[c], sizeof names[c], "c%d", c);
        pointers[c] = names[c];
    }
    const weir_matrix train = {
        .row_count = FIT_ROWS, .column_count = COLUMNS, .values = values, .label = label, .column_names = pointers, .task = WEIR_TASK_BINARY};
    die_on(weir_model_fit("xgboost", params, NULL, &train, NULL, 1, 2, &artifact, &err), &err);
    die_on(weir_model_load(artifact.data, artifact.len, &model, &err), &err);
    cJSON_Delete(params);
    weir_buf_done(&artifact);
    return model;
}

typedef struct side {
    double p50[RUNS], p99[RUNS], rate[RUNS];
} side;

typedef weir_status (*predict_fn)(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err);

static weir_status by_scorer(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) {
    (void)err;
    return weirscore_score(weir_model_scorer(model), rows, (size_t)row_count, out) ? WEIR_ENUMERIC : WEIR_OK;
}

static void measure(predict_fn predict, weir_model *model, const double *rows, side *s, int run) {
    static double took[ROWS], out[ROWS];
    weir_err err;
    for (int warm = 0; warm < 2; warm++) {
        for (int i = 0; i < ROWS; i++) {
            uint64_t from = now_ns();
            die_on(predict(model, rows + i * COLUMNS, 1, &out[i], &err), &err);
            took[i] = (double)(now_ns() - from);
        }
    }
    qsort(took, ROWS, sizeof *took, by_value);
    s->p50[run] = took[ROWS / 2] / 1e3;
    s->p99[run] = took[ROWS * 99 / 100] / 1e3;
    uint64_t from = now_ns();
    int times = 0;
    do {
        die_on(predict(model, rows, ROWS, out, &err), &err);
        times++;
    } while (now_ns() - from < 200000000u);
    s->rate[run] = (double)times * ROWS / ((double)(now_ns() - from) / 1e9);
}

static double median(double *values) {
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

static void show(const char *what, double *own, const char *unit, double *ceiling) {
    double value = median(own), other = median(ceiling);
    printf("%-34s %14.3f %-10s  %-32s %14.3f  ratio %.2f\n", what, value, unit, "XGBoost's C API", other, value / other);
    fflush(stdout);
}

static void compare(int trees, const double *values, const double *label, const double *rows) {
    weir_model *model = fit(trees, values, label);
    side own, library;
    char what[64];
    for (int run = 0; run < RUNS; run++) {
        measure(by_scorer, model, rows, &own, run);
        measure(weir_model_predict_by_library, model, rows, &library, run);
    }
    snprintf(what, sizeof what, "%d trees: one row, median", trees);
    show(what, own.p50, "us", library.p50);
    snprintf(what, sizeof what, "%d trees: one row, 99 %%", trees);
    show(what, own.p99, "us", library.p99);
    snprintf(what, sizeof what, "%d trees: 10 000 rows, one core", trees);
    show(what, own.rate, "rows/s", library.rate);
    weir_model_free(model);
}

int main(void) {
    double *values = calloc((size_t)FIT_ROWS * COLUMNS, sizeof *values), *label = calloc(FIT_ROWS, sizeof *label),
           *rows = calloc((size_t)ROWS * COLUMNS, sizeof *rows), *unused = calloc(ROWS, sizeof *unused);
    if (!values || !label || !rows || !unused) return 1;
    fill(values, label, FIT_ROWS, 7);
    fill(rows, unused, ROWS, 11);
    compare(100, values, label, rows);
    compare(500, values, label, rows);
    free(values);
    free(label);
    free(rows);
    free(unused);
    return 0;
}
