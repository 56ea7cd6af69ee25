/* One row at a time and 10 000 rows by libraries with a C interface, each at its fastest for one thread. tests/peers/scorer.py compiles and reads it.
 *
 *   bench FOLDER RUNS XGBOOST_SO LIGHTGBM_SO WEIRSCORE_SO       FOLDER: rows.f32, rows.f64 [ROWS][COLUMNS]; for each N trees xgb-N.ubj, lgb-N.txt, N.score, xgb-N.so, lgb-N.so
 *
 * A line a library, model and measure: "NAME TREES MEASURE value value …", a value a run; the libraries take turns. Rows are what each wants: float32, or float64; the entries that TL2cgen
 * wants are made outside of the measured time, because its code may leave them as they were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 10000, COLUMNS = 30, RUNS_MAX = 64, CONTESTANTS = 5, MEASURES = 3, BATCH_NS = 300000000 };

static float rows32[ROWS * COLUMNS];
static double rows64[ROWS * COLUMNS];

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void stop(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) stop(dlerror());
    return found;
}

static void *load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) stop(dlerror());
    return library;
}

static void read_rows(const char *folder, const char *name, void *rows, size_t bytes) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fread(rows, 1, bytes, file) != bytes) stop(path);
    fclose(file);
}

/* ---- contestants ---- */

typedef struct contestant {
    const char *name;
    double (*one)(struct contestant *c, int row);
    void (*all)(struct contestant *c, double *out);
    void *model, *more; /* the library's own */
} contestant;

static int (*weir_score)(const void *, const double *, size_t, double *);
static double weir_one(contestant *c, int row) {
    double score;
    if (weir_score(c->model, rows64 + row * COLUMNS, 1, &score)) stop("weirscore");
    return score;
}
static void weir_all(contestant *c, double *out) {
    if (weir_score(c->model, rows64, ROWS, out)) stop("weirscore");
}

static int (*xgb_dense)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *, const float **);
static const float *xgb_rows(contestant *c, const float *rows, int count) {
    static const char config[] =
        "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";
    char array[160];
    const uint64_t *shape;
    uint64_t dimensions;
    const float *scores;
    snprintf(array, sizeof array, "{\"data\":[%zu,true],\"shape\":[%d,%d],\"typestr\":\"<f4\",\"version\":3}", (size_t)rows, count, COLUMNS);
    if (xgb_dense(c->model, array, config, NULL, &shape, &dimensions, &scores)) stop("XGBoosterPredictFromDense");
    return scores;
}
static double xgb_one(contestant *c, int row) {
    return *xgb_rows(c, rows32 + row * COLUMNS, 1);
}
static void xgb_all(contestant *c, double *out) {
    const float *scores = xgb_rows(c, rows32, ROWS);
    for (int i = 0; i < ROWS; i++) out[i] = scores[i];
}

static int (*lgb_fast)(void *, const void *, int64_t *, double *);
static int (*lgb_mat)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *);
static double lgb_one(contestant *c, int row) {
    int64_t count;
    double score;
    if (lgb_fast(c->more, rows64 + row * COLUMNS, &count, &score)) stop("LGBM_BoosterPredictForMatSingleRowFast");
    return score;
}
static void lgb_all(contestant *c, double *out) {
    int64_t count;
    if (lgb_mat(c->model, rows64, 1, ROWS, COLUMNS, 1, 0, 0, 0, "num_threads=1", &count, out)) stop("LGBM_BoosterPredictForMat");
}

/* The code takes entries in place of rows, and adds to the result. */
typedef union {
    int missing;
    float value;
} entry32;
typedef union {
    int missing;
    double value;
} entry64;
static entry32 entries32[ROWS * COLUMNS];
static entry64 entries64[ROWS * COLUMNS];
static double tl32_one(contestant *c, int row) {
    float score = 0;
    ((void (*)(entry32 *, int, float *))c->model)(entries32 + row * COLUMNS, 0, &score);
    return (double)score;
}
static double tl64_one(contestant *c, int row) {
    double score = 0;
    ((void (*)(entry64 *, int, double *))c->model)(entries64 + row * COLUMNS, 0, &score);
    return score;
}
static void tl_all(contestant *c, double *out) {
    for (int i = 0; i < ROWS; i++) out[i] = c->one(c, i);
}

static void set_up(contestant c[CONTESTANTS], const char *folder, int trees, char **libraries) {
    char path[1024], message[256] = "";
    void *xgb = load(libraries[0]), *lgb = load(libraries[1]), *weir = load(libraries[2]);
    int rounds;
    c[0] = (contestant){.name = "weir", .one = weir_one, .all = weir_all};
    weir_score = symbol(weir, "weirscore_score");
    snprintf(path, sizeof path, "%s/%d.score", folder, trees);
    if (((int (*)(const char *, void **, char *, size_t))symbol(weir, "weirscore_open"))(path, &c[0].model, message, sizeof message)) stop(message);

    c[1] = (contestant){.name = "xgboost", .one = xgb_one, .all = xgb_all};
    xgb_dense = symbol(xgb, "XGBoosterPredictFromDense");
    snprintf(path, sizeof path, "%s/xgb-%d.ubj", folder, trees);
    if (((int (*)(const void *, uint64_t, void **))symbol(xgb, "XGBoosterCreate"))(NULL, 0, &c[1].model) ||
        ((int (*)(void *, const char *))symbol(xgb, "XGBoosterLoadModel"))(c[1].model, path) ||
        ((int (*)(void *, const char *, const char *))symbol(xgb, "XGBoosterSetParam"))(c[1].model, "nthread", "1"))
        stop("XGBoost does not load its model");

    c[2] = (contestant){.name = "lightgbm", .one = lgb_one, .all = lgb_all};
    lgb_fast = symbol(lgb, "LGBM_BoosterPredictForMatSingleRowFast");
    lgb_mat = symbol(lgb, "LGBM_BoosterPredictForMat");
    snprintf(path, sizeof path, "%s/lgb-%d.txt", folder, trees);
    if (((int (*)(const char *, int *, void **))symbol(lgb, "LGBM_BoosterCreateFromModelfile"))(path, &rounds, &c[2].model) ||
        ((int (*)(void *, int, int, int, int, int32_t, const char *, void **))symbol(lgb, "LGBM_BoosterPredictForMatSingleRowFastInit"))(
            c[2].model, 0, 0, 0, 1, COLUMNS, "num_threads=1", &c[2].more))
        stop("LightGBM does not load its model");

    snprintf(path, sizeof path, "%s/xgb-%d.so", folder, trees);
    c[3] = (contestant){.name = "tl2cgen", .one = tl32_one, .all = tl_all, .model = symbol(load(path), "predict")};
    snprintf(path, sizeof path, "%s/lgb-%d.so", folder, trees);
    c[4] = (contestant){.name = "tl2cgen-lightgbm", .one = tl64_one, .all = tl_all, .model = symbol(load(path), "predict")};
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void measure(contestant *c, double ret_values[MEASURES]) {
    static double took[ROWS], out[ROWS];
    volatile double sum = 0;
    for (int warm = 0; warm < 2; warm++) {
        for (int i = 0; i < ROWS; i++) {
            uint64_t from = now_ns();
            sum = c->one(c, i);
            took[i] = (double)(now_ns() - from);
        }
    }
    (void)sum;
    qsort(took, ROWS, sizeof *took, by_value);
    ret_values[0] = took[ROWS / 2] / 1e3;
    ret_values[1] = took[ROWS * 99 / 100] / 1e3;
    uint64_t from = now_ns();
    int times = 0;
    for (; now_ns() - from < BATCH_NS; times++) c->all(c, out);
    ret_values[2] = (double)times * ROWS / ((double)(now_ns() - from) / 1e9);
}

static void compare(const char *folder, int trees, int runs, char **libraries) {
    static const char *const names[MEASURES] = {"row_p50_us", "row_p99_us", "rows_per_s"};
    static double values[CONTESTANTS][MEASURES][RUNS_MAX];
    contestant c[CONTESTANTS];
    set_up(c, folder, trees, libraries);
    for (int i = 0; i < ROWS; i++) {
        double score = c[0].one(&c[0], i), library = c[1].one(&c[1], i);
        if ((float)score != (float)library) stop("Weir and XGBoost give different scores");
    }
    for (int run = 0; run < runs; run++)
        for (int k = 0; k < CONTESTANTS; k++) {
            double found[MEASURES];
            measure(&c[k], found);
            for (int m = 0; m < MEASURES; m++) values[k][m][run] = found[m];
        }
    for (int k = 0; k < CONTESTANTS; k++)
        for (int m = 0; m < MEASURES; m++) {
            printf("%s %d %s", c[k].name, trees, names[m]);
            for (int run = 0; run < runs; run++) printf(" %.6g", values[k][m][run]);
            printf("\n");
        }
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[2]) < 1 || atoi(argv[2]) > RUNS_MAX) stop("usage: bench FOLDER RUNS XGBOOST_SO LIGHTGBM_SO WEIRSCORE_SO");
    read_rows(argv[1], "rows.f32", rows32, sizeof rows32);
    read_rows(argv[1], "rows.f64", rows64, sizeof rows64);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        entries32[i].value = rows32[i];
        entries64[i].value = rows64[i];
    }
    compare(argv[1], 100, atoi(argv[2]), argv + 3);
    compare(argv[1], 500, atoi(argv[2]), argv + 3);
    return 0;
}
