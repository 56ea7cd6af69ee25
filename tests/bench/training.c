/* What Weir costs before and around the library that fits. ./run bench runs it first.
 *
 *   training overhead    200 000 rows × 30 columns, 50 trees of depth 6: weir_model_fit, from the matrix to the artifact     ceiling: XGBoost's C API on the
 *                        same matrix, to a saved model
 *   features to matrix   1 000 000 rows × 30 columns to a training set or frame: rows without a label left out, one row after the other, digest
 *     from a history     columns in memory, as point-in-time retrieval leaves them     ceiling: they are copied into rows and nothing else
 *     from Parquet       a file, as a training file names it                           ceiling: DuckDB's columns of the same file, copied into rows
 *     from PostgreSQL    a table, as train_model reads it; with WEIR_PG_URL only       ceiling: COPY BINARY of the same table, its numbers copied into rows
 *   ask of TPE           the next trial of a study of 6 and of 20 parameters that has 500     ceiling: the same study with the random sampler
 *
 * Medians of RUNS, the two sides taking turns. CPU seconds of this process, which a busy machine does not stretch as it does wall time; what PostgreSQL's own
 * process takes is in the wall time beside. Needs nothing but memory, but for the table. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/lifecycle_frame.h"
#include "models/study.h"
#include "models/trainset_file.h"
#include "models/xgb_library.h"
#include "tests/bench/harness.h"

enum { RUNS = 3, COLUMNS = 30, FIT_ROWS = 200000, TREES = 50, TURN_ROWS = 1000000, ASK_TRIALS = 500, ASKS = 20 };
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

static void show(const char *what, double *took, const char *unit, const char *ceiling_name, double *ceiling) {
    double value = median(took), least = median(ceiling);
    printf("%-34s %14.3f %-10s  %-32s %14.3f  ratio %.2f\n", what, value, unit, ceiling_name, least, value / least);
    fflush(stdout);
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
    fprintf(stderr, "bench: XGBoost: %s\n", weir_xgb.XGBGetLastError());
    exit(3);
}

/* Seconds from the matrix to a saved model; *ret_len its bytes. */
static double fit_directly(const weir_matrix *m, size_t *ret_len) {
    char array[160];
    const char *image;
    bst_ulong len;
    DMatrixHandle matrix;
    BoosterHandle booster;
    weir_err err;
    die_on(weir_xgb_load_library(&err), &err);
    double start = cpu_s();
    float *labels = room((size_t)m->row_count);
    for (int64_t r = 0; r < m->row_count; r++) labels[r] = (float)m->label[r];
    snprintf(array, sizeof array, "{\"data\": [%" PRIuPTR ", true], \"shape\": [%" PRId64 ", %d], \"typestr\": \"<f8\", \"version\": 3}", (uintptr_t)m->values,
             m->row_count, COLUMNS);
    must(weir_xgb.XGDMatrixCreateFromDense(array, "{\"missing\": NaN, \"nthread\": 1}", &matrix));
    must(weir_xgb.XGDMatrixSetFloatInfo(matrix, "label", labels, (bst_ulong)m->row_count));
    must(weir_xgb.XGBoosterCreate(&matrix, 1, &booster));
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) must(weir_xgb.XGBoosterSetParam(booster, params[i][0], params[i][1]));
    for (int round = 0; round < TREES; round++) must(weir_xgb.XGBoosterUpdateOneIter(booster, round, matrix));
    must(weir_xgb.XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &len, &image));
    double took = cpu_s() - start;
    *ret_len = len;
    weir_xgb.XGBoosterFree(booster);
    weir_xgb.XGDMatrixFree(matrix);
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
    show("training overhead", weir, "CPU s", "XGBoost's C API", direct);
    free(values);
    free(label);
}

/* ---- features to matrix ---- */

/* What any way to a matrix must do at least. */
static double copy_columns(const double *columns, double *rows) {
    double start = cpu_s();
    for (int64_t r = 0; r < TURN_ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) rows[r * COLUMNS + c] = columns[c * (int64_t)TURN_ROWS + r];
    return cpu_s() - start;
}

static void bench_history(void) {
    char names[COLUMNS][8], query[] = "bench";
    const char *pointers[COLUMNS];
    double *values = room((size_t)TURN_ROWS * COLUMNS), *rows = room((size_t)TURN_ROWS * COLUMNS), *label = room(TURN_ROWS), took[RUNS], copied[RUNS];
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
        copied[run] = copy_columns(values, rows);
        double start = cpu_s();
        die_on(weir_trainset_from_history(&history, "bench", "label", WEIR_TASK_BINARY, 0, &set, &err), &err);
        took[run] = cpu_s() - start;
        weir_trainset_done(&set);
    }
    show("features to matrix, from a history", took, "CPU s", "columns copied into rows", copied);
    free(values);
    free(rows);
    free(label);
    free(times);
    free(entity);
}

/* SQL of both databases: x0, …, x29 and a label of TURN_ROWS rows, 2 % of the numbers and 5 % of the labels missing. */
static void make_rows(weir_sql *sql) {
    weir_sql_add(sql, "SELECT ");
    for (int c = 0; c < COLUMNS; c++) weir_sql_add(sql, "CASE WHEN random() >= 0.02 THEN random() END AS x%d, ", c);
    weir_sql_add(sql, "CASE WHEN random() >= 0.05 THEN CAST(random() < 0.3 AS INTEGER) END AS label FROM generate_series(1, %d)", TURN_ROWS);
}

static weir_duck *open_duck(void) {
    weir_duck *duck = NULL;
    weir_err err;
    die_on(weir_duck_new(&duck, &err), &err);
    return duck;
}

static void make_file(const char *path) {
    weir_duck *duck = open_duck();
    weir_sql sql = {0};
    weir_err err;
    weir_sql_add(&sql, "COPY (");
    make_rows(&sql);
    weir_sql_add(&sql, ") TO '%s' (FORMAT parquet, COMPRESSION zstd)", path);
    die_on(weir_sql_end(&sql, &err), &err);
    die_on(weir_duck_exec(duck, sql.text.data, &err), &err);
    weir_sql_done(&sql);
    weir_duck_free(duck);
}

/* Seconds of DuckDB's reading, its columns copied into rows. */
static double scan_file(const char *path, double *rows) {
    char sql[320];
    weir_duck_cursor *cursor = NULL;
    weir_err err;
    int64_t done = 0, count;
    snprintf(sql, sizeof sql, "SELECT * FROM read_parquet('%s')", path);
    double start = cpu_s();
    weir_duck *duck = open_duck();
    die_on(weir_duck_query(duck, sql, &cursor, &err), &err);
    for (;; done += count) {
        die_on(weir_duck_next_chunk(cursor, &count, &err), &err);
        if (!count) break;
        for (int c = 0; c < COLUMNS; c++) {
            const uint64_t *valid;
            const double *values = weir_duck_values(cursor, c, &valid);
            for (int64_t r = 0; r < count; r++) rows[(done + r) * COLUMNS + c] = weir_duck_bit(valid, r) ? values[r] : NAN;
        }
    }
    weir_duck_cursor_free(cursor);
    weir_duck_free(duck);
    return cpu_s() - start;
}

static void bench_file(void) {
    char path[256];
    static const char *const targets[] = {"label", NULL};
    const weir_file_query query = {.path = path, .targets = targets, .task_known = true, .task = WEIR_TASK_BINARY};
    double *rows = room((size_t)TURN_ROWS * COLUMNS), took[RUNS], scanned[RUNS];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/weir-bench-XXXXXX.parquet", folder ? folder : "/tmp");
    int fd = mkstemps(path, (int)strlen(".parquet"));
    if (fd < 0) exit(3);
    close(fd);
    make_file(path);
    for (int run = 0; run < RUNS; run++) {
        weir_trainset set;
        cJSON *schema = NULL;
        weir_err err;
        scanned[run] = scan_file(path, rows);
        double start = cpu_s();
        weir_status status = weir_trainset_from_file(&query, &set, &schema, &err);
        took[run] = cpu_s() - start;
        if (status) unlink(path);
        die_on(status, &err);
        cJSON_Delete(schema);
        weir_trainset_done(&set);
    }
    unlink(path);
    show("features to matrix, from Parquet", took, "CPU s", "DuckDB's columns, into rows", scanned);
    free(rows);
}

typedef struct copying {
    double *rows;
    int64_t count;
} copying;

static weir_status take_copied(void *context, const weir_pg_field *fields, int count, weir_err *err) {
    copying *c = context;
    (void)count, (void)err;
    for (int i = 0; i < COLUMNS; i++) c->rows[c->count * COLUMNS + i] = fields[i].len < 0 ? NAN : weir_pg_get_float8(&fields[i]);
    c->count++;
    return WEIR_OK;
}

static void make_table(weir_pg *pg) {
    weir_sql sql = {0};
    weir_err err;
    weir_sql_add(&sql, "DROP SCHEMA IF EXISTS \"bench.training\" CASCADE; CREATE SCHEMA \"bench.training\"; CREATE TABLE \"bench.training\".rows AS ");
    make_rows(&sql);
    weir_sql_add(&sql, "; ANALYZE \"bench.training\".rows");
    die_on(weir_sql_end(&sql, &err), &err);
    die_on(weir_pg_script(pg, sql.text.data, &err), &err);
    weir_sql_done(&sql);
}

static void read_frame(weir_pg *pg) {
    weir_table_name name;
    weir_table table = {0};
    weir_frame frame = {0};
    cJSON *signature = NULL;
    weir_err err;
    die_on(weir_table_name_parse("bench.training.rows", "bench.training", &name, &err), &err);
    die_on(weir_tables_begin(pg, true, &err), &err);
    die_on(weir_table_open(pg, &name, &table, &err), &err);
    die_on(weir_signature_make(pg, &table, "label", NULL, &signature, &err), &err);
    die_on(weir_frame_read(pg, &table, signature, true, 0, &frame, &err), &err);
    die_on(weir_pg_commit(pg, &err), &err);
    weir_frame_done(&frame);
    cJSON_Delete(signature);
    weir_table_done(&table);
}

static void bench_table(const char *url) {
    weir_pg *pg = NULL;
    weir_err err;
    copying copied = {.rows = room((size_t)TURN_ROWS * COLUMNS)};
    double took[RUNS], wall[RUNS], bare[RUNS], bare_wall[RUNS];
    die_on(weir_pg_new(url, &pg, &err), &err);
    die_on(weir_pg_migrate(pg, &err), &err);
    make_table(pg);
    for (int run = 0; run < RUNS; run++) {
        double start = cpu_s(), start_wall = now_s();
        copied.count = 0;
        die_on(weir_pg_copy_out(pg, "COPY \"bench.training\".rows TO STDOUT (FORMAT binary)", take_copied, &copied, &err), &err);
        bare[run] = cpu_s() - start;
        bare_wall[run] = now_s() - start_wall;
        start = cpu_s(), start_wall = now_s();
        read_frame(pg);
        took[run] = cpu_s() - start;
        wall[run] = now_s() - start_wall;
    }
    die_on(weir_pg_script(pg, "DROP SCHEMA \"bench.training\" CASCADE", &err), &err);
    weir_pg_free(pg);
    show("features to matrix, from PostgreSQL", took, "CPU s", "COPY BINARY, into rows", bare);
    show("  with the server's part", wall, "s", "COPY BINARY, into rows", bare_wall);
    free(copied.rows);
}

/* ---- asks ---- */

/* Mean milliseconds of the last ASKS asks. */
static double ask_ms(const cJSON *space, const char *sampler, int run) {
    const weir_study_settings settings = {.space = space, .sampler = sampler, .seed = (uint64_t)run + 1};
    weir_study *study = NULL;
    weir_err err;
    double took = 0;
    die_on(weir_study_new(&settings, "$", &study, &err), &err);
    for (int i = 0; i < ASK_TRIALS + ASKS; i++) {
        int trial;
        cJSON *point;
        weir_outcome outcome = {.state = WEIR_TRIAL_COMPLETE};
        double start = cpu_s();
        die_on(weir_study_ask(study, &trial, &point, &err), &err);
        if (i >= ASK_TRIALS) took += cpu_s() - start;
        for (const cJSON *item = point->child; item; item = item->next) outcome.values[0] += (item->valuedouble - 0.3) * (item->valuedouble - 0.3);
        die_on(weir_study_tell(study, trial, &outcome, &err), &err);
        cJSON_Delete(point);
    }
    weir_study_free(study);
    return 1e3 * took / ASKS;
}

static void bench_asks(int param_count) {
    cJSON *space = cJSON_CreateObject();
    double tpe[RUNS], random[RUNS];
    char what[40], name[16];
    for (int i = 0; i < param_count; i++) {
        snprintf(name, sizeof name, "x%d", i);
        cJSON_AddItemToObject(space, name, cJSON_Parse("{\"float\": [0, 1]}"));
    }
    for (int run = 0; run < RUNS; run++) {
        random[run] = ask_ms(space, "random", run);
        tpe[run] = ask_ms(space, "tpe", run);
    }
    snprintf(what, sizeof what, "ask of TPE, %d parameters", param_count);
    show(what, tpe, "CPU ms", "random sampler, CPU ms", random);
    cJSON_Delete(space);
}

int main(void) {
    const char *url = getenv("WEIR_PG_URL");
    bench_overhead();
    bench_history();
    bench_file();
    if (url) bench_table(url);
    bench_asks(6);
    bench_asks(20);
    return 0;
}
