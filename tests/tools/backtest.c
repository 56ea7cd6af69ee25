/* A spec cross-validated over time and what its scores out of fold would have earned, for tests that look for an edge where there is none.
 *
 *   backtest SPEC SPLIT COLUMNS SYMBOLS times symbols values returns
 *
 * Raw little-endian files, rows by time: times int64 in microseconds, symbols uint32, values float64 [rows][COLUMNS], returns float64 until the symbol's next
 * row, which is when they are known. The label is a return above 0; long from a score of 0.5 on, else short, at no cost. JSON on stdout. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/backtest.h"
#include "models/crossval.h"

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static void *read_array(const char *path, size_t size, int64_t *ret_count) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail(path);
    long bytes = ftell(file);
    rewind(file);
    void *array = malloc((size_t)bytes + 1);
    if (!array || fread(array, 1, (size_t)bytes, file) != (size_t)bytes) fail(path);
    fclose(file);
    *ret_count = bytes / (long)size;
    return array;
}

static weir_trainset make_set(int columns, int64_t rows, const double *values, const double *returns, const int64_t *times) {
    weir_prep_column *kinds = calloc((size_t)columns, sizeof *kinds);
    char(*names)[16] = calloc((size_t)columns, sizeof *names);
    double *by_column = malloc(sizeof *by_column * (size_t)(rows * columns)), *label = malloc(sizeof *label * (size_t)rows);
    const double **pointers = calloc((size_t)columns, sizeof *pointers);
    if (!kinds || !names || !by_column || !label || !pointers) fail("no memory");
    for (int c = 0; c < columns; c++) {
        snprintf(names[c], sizeof names[c], "c%d", c);
        kinds[c] = (weir_prep_column){.name = names[c], .kind = WEIR_PREP_NUMBER};
        pointers[c] = by_column + c * rows;
        for (int64_t r = 0; r < rows; r++) by_column[c * rows + r] = values[r * columns + c];
    }
    for (int64_t r = 0; r < rows; r++) label[r] = returns[r] > 0;
    const char *target = "up";
    const double *targets[] = {label};
    weir_trainset set;
    weir_err err;
    must(weir_trainset_make(&(weir_trainset_source){.row_count = rows,
                                                    .column_count = columns,
                                                    .columns = kinds,
                                                    .values = pointers,
                                                    .task = WEIR_TASK_BINARY,
                                                    .target_count = 1,
                                                    .target_names = &target,
                                                    .targets = targets,
                                                    .time_us = times},
                            &set, &err),
         &err);
    free(pointers);
    free(label);
    free(by_column);
    free(names);
    free(kinds);
    return set;
}

static weir_crossval validate(const char *spec_text, const char *split_text, const weir_trainset *set) {
    cJSON *spec = cJSON_Parse(spec_text), *split_json = cJSON_Parse(split_text);
    weir_split split;
    weir_split_plan *plan = NULL;
    weir_crossval result;
    weir_err err;
    must(weir_split_from_json(split_json, "$", &split, &err), &err);
    const weir_split_rows rows = weir_trainset_split_rows(set);
    must(weir_split_plan_new(&split, &rows, &plan, &err), &err);
    const weir_crossval_options options = {.fit = {.seed = 1, .threads = 1}, .metric = weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc")};
    must(weir_crossval_run(spec, set, plan, &options, &result, &err), &err);
    weir_split_plan_free(plan);
    cJSON_Delete(split_json);
    cJSON_Delete(spec);
    return result;
}

/* Of the rows that have a score. */
static weir_backtest trade(const weir_crossval *v, int64_t rows, const int64_t *times, uint32_t *symbols, uint32_t symbol_count, const double *returns) {
    int64_t first = 0;
    while (first < rows && isnan(v->scores[first])) first++; /* walking forward, only the first rows are in no test part */
    const weir_backtest_rule rule = {.upper = 0.5, .lower = 0.5, .with_short = true};
    const weir_backtest_input input = {.row_count = rows - first,
                                       .time_us = times + first,
                                       .symbol = symbols + first,
                                       .symbol_count = symbol_count,
                                       .score = v->scores + first,
                                       .next_return = returns + first};
    weir_backtest backtest;
    weir_err err;
    must(weir_backtest_run(&input, &rule, 500, 1, &backtest, &err), &err);
    return backtest;
}

int main(int argc, char **argv) {
    int64_t rows, symbol_rows, value_count, return_rows;
    if (argc != 9) fail("backtest SPEC SPLIT COLUMNS SYMBOLS times symbols values returns");
    int columns = atoi(argv[3]);
    int64_t *times = read_array(argv[5], sizeof *times, &rows);
    uint32_t *symbols = read_array(argv[6], sizeof *symbols, &symbol_rows);
    double *values = read_array(argv[7], sizeof *values, &value_count), *returns = read_array(argv[8], sizeof *returns, &return_rows);
    if (columns < 1 || symbol_rows != rows || return_rows != rows || value_count != rows * columns) fail("the files do not fit together");
    weir_trainset set = make_set(columns, rows, values, returns, times);
    weir_crossval v = validate(argv[1], argv[2], &set);
    weir_backtest b = trade(&v, rows, times, symbols, (uint32_t)atoi(argv[4]), returns);
    printf("{\"auc\": [");
    for (int f = 0; f < v.fold_count; f++) printf("%s%.17g", f ? ", " : "", v.folds[f].value);
    printf("], \"sharpe\": %.17g, \"sharpe_error\": %.17g, \"sharpe_p\": %.17g, \"periods\": %lld}\n", b.strategy.sharpe, b.strategy.sharpe_error,
           b.strategy.sharpe_p, (long long)b.count);
    weir_backtest_done(&b);
    weir_crossval_done(&v);
    weir_trainset_done(&set);
    free(returns);
    free(values);
    free(symbols);
    free(times);
    return 0;
}
