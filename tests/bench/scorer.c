/* What a score costs, without anything around it. ./run bench runs it.
 *
 *   one row      30 columns, depth 6, 100 and 500 trees: a call by itself, each row another one; median and 99th of a hundred    ceiling: XGBoost's C call for the same row
 *   10 000 rows  the same models, one core: rows a second                                                                ceiling: XGBoost's in-place prediction, one thread
 *   a Hoeffding tree of the same rows, alone and 10 000 of them                                                            ceiling: its own code, which was all there was once
 *   three models 100 trees each, for the same row and for the same 10 000: what a pass through all of them at once could save   ceiling: one model of 300 trees, which is such a pass
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

static weir_model *fit_by(const char *algorithm, const char *params_text, const double *values, const double *label) {
    char names[COLUMNS][16];
    const char *pointers[COLUMNS];
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    cJSON *params = cJSON_Parse(params_text);
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(names[c], sizeof names[c], "c%d", c);
        pointers[c] = names[c];
    }
    const weir_matrix train = {
        .row_count = FIT_ROWS, .column_count = COLUMNS, .values = values, .label = label, .column_names = pointers, .task = WEIR_TASK_BINARY};
    die_on(weir_model_fit(algorithm, params, NULL, &train, NULL, 1, 2, &artifact, &err), &err);
    die_on(weir_model_load(artifact.data, artifact.len, &model, &err), &err);
    cJSON_Delete(params);
    weir_buf_done(&artifact);
    return model;
}

static weir_model *fit(int trees, const double *values, const double *label) {
    char params[128];
    snprintf(params, sizeof params, "{\"rounds\": %d, \"max_depth\": 6, \"eta\": 0.1}", trees);
    return fit_by("xgboost", params, values, label);
}

typedef struct side {
    double p50[RUNS], p99[RUNS], rate[RUNS];
} side;

/* models: one, or three for by_each_of_three. */
typedef weir_status (*predict_fn)(weir_model *const *models, const double *rows, int64_t row_count, double *out, weir_err *err);

static weir_status by_scorer(weir_model *const *models, const double *rows, int64_t row_count, double *out, weir_err *err) {
    (void)err;
    return weirscore_score(weir_model_scorer(*models), rows, (size_t)row_count, out) ? WEIR_ENUMERIC : WEIR_OK;
}

static weir_status by_each_of_three(weir_model *const *models, const double *rows, int64_t row_count, double *out, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < 3; i++) status = by_scorer(models + i, rows, row_count, out, err);
    return status;
}

static weir_status by_library(weir_model *const *models, const double *rows, int64_t row_count, double *out, weir_err *err) {
    return weir_model_predict_by_library(*models, rows, row_count, out, err);
}

static void measure(predict_fn predict, weir_model *const *models, const double *rows, side *s, int run) {
    static double took[ROWS], out[ROWS];
    weir_err err;
    for (int warm = 0; warm < 2; warm++) {
        for (int i = 0; i < ROWS; i++) {
            uint64_t from = now_ns();
            die_on(predict(models, rows + i * COLUMNS, 1, &out[i], &err), &err);
            took[i] = (double)(now_ns() - from);
        }
    }
    qsort(took, ROWS, sizeof *took, by_value);
    s->p50[run] = took[ROWS / 2] / 1e3;
    s->p99[run] = took[ROWS * 99 / 100] / 1e3;
    uint64_t from = now_ns();
    int times = 0;
    do {
        die_on(predict(models, rows, ROWS, out, &err), &err);
        times++;
    } while (now_ns() - from < 200000000u);
    s->rate[run] = (double)times * ROWS / ((double)(now_ns() - from) / 1e9);
}

static double median(double *values) {
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

static void show(const char *what, double *own, const char *unit, const char *of, double *ceiling) {
    double value = median(own), other = median(ceiling);
    printf("%-34s %14.3f %-10s  %-32s %14.3f  ratio %.2f\n", what, value, unit, of, other, value / other);
    fflush(stdout);
}

static void show_all(const char *what, side *own, const char *of, side *ceiling) {
    char line[96];
    snprintf(line, sizeof line, "%s: one row, median", what);
    show(line, own->p50, "us", of, ceiling->p50);
    snprintf(line, sizeof line, "%s: one row, 99 %%", what);
    show(line, own->p99, "us", of, ceiling->p99);
    snprintf(line, sizeof line, "%s: 10 000 rows, one core", what);
    show(line, own->rate, "rows/s", of, ceiling->rate);
}

static void compare(weir_model *model, const char *what, const char *of, const double *rows) {
    side own, library;
    for (int run = 0; run < RUNS; run++) {
        measure(by_scorer, &model, rows, &own, run);
        measure(by_library, &model, rows, &library, run);
    }
    show_all(what, &own, of, &library);
    weir_model_free(model);
}

static void compare_three(const double *values, const double *label, const double *rows) {
    weir_model *three[3], *one = fit(300, values, label);
    side apart, together;
    for (int i = 0; i < 3; i++) three[i] = fit(100, values, label);
    for (int run = 0; run < RUNS; run++) {
        measure(by_each_of_three, three, rows, &apart, run);
        measure(by_scorer, &one, rows, &together, run);
    }
    show_all("3 x 100 trees", &apart, "one model of 300 trees", &together);
    for (int i = 0; i < 3; i++) weir_model_free(three[i]);
    weir_model_free(one);
}

int main(void) {
    double *values = calloc((size_t)FIT_ROWS * COLUMNS, sizeof *values), *label = calloc(FIT_ROWS, sizeof *label),
           *rows = calloc((size_t)ROWS * COLUMNS, sizeof *rows), *unused = calloc(ROWS, sizeof *unused);
    if (!values || !label || !rows || !unused) return 1;
    fill(values, label, FIT_ROWS, 7);
    fill(rows, unused, ROWS, 11);
    compare(fit(100, values, label), "100 trees", "XGBoost's C API", rows);
    compare(fit(500, values, label), "500 trees", "XGBoost's C API", rows);
    compare(fit_by("hoeffding_tree", "{\"grace_period\": 100, \"tie_threshold\": 0.2}", values, label), "Hoeffding tree", "its own code", rows);
    compare_three(values, label, rows);
    free(values);
    free(label);
    free(rows);
    free(unused);
    return 0;
}
