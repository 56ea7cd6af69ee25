/* What every operator has to keep, whatever it computes; and helpers to call one. Included by the tests of the operators' families, after <cmocka.h>. */
#ifndef WEIR_TESTS_OPS_CONTRACT_H
#define WEIR_TESTS_OPS_CONTRACT_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"

enum { CONTRACT_ROWS = 96 };
#define NONE ((double)NAN)

/* By name; families [count]. */
static const weir_operator *operator_of(const weir_operator *const *families, int count, const char *name) {
    for (int f = 0; f < count; f++)
        for (const weir_operator *op = families[f]; op->name; op++)
            if (!strcmp(op->name, name)) return op;
    fail_msg("no operator %s", name);
    return NULL;
}

/* "n=5 output=upper" over the defaults; required ones that are not named get their smallest value. */
static weir_params params_of(const weir_operator *op, const char *text) {
    weir_params params = {0};
    for (int i = 0; op->params && op->params[i].name; i++) {
        const weir_param_def *def = &op->params[i];
        char key[64];
        params.value[i] = def->required ? def->min : def->fallback;
        int length = snprintf(key, sizeof(key), "%s=", def->name);
        const char *at = text;
        while ((at = strstr(at, key)) && at != text && at[-1] != ' ') at++;
        if (!at) continue;
        params.given[i] = true;
        if (def->type != WEIR_PARAM_CHOICE) {
            params.value[i] = strtod(at + length, NULL);
            assert_true(params.value[i] >= def->min && params.value[i] <= def->max);
            continue;
        }
        int choice = 0;
        size_t chosen = strcspn(at + length, " ");
        while (def->choices[choice] && (strlen(def->choices[choice]) != chosen || strncmp(def->choices[choice], at + length, chosen) != 0)) choice++;
        assert_non_null(def->choices[choice]);
        params.value[i] = choice;
    }
    if (op->prepare) assert_null(op->prepare(&params));
    return params;
}

/* Folds rows [from, to) of columns into acc. */
static void fold_rows(const weir_operator *op, const weir_params *params, void *acc, const int64_t *time_us, const double *const *columns, int from, int to) {
    for (int row = from; row < to; row++) {
        double in[WEIR_INPUTS_MAX];
        for (int i = 0; i < WEIR_INPUTS_MAX; i++) in[i] = NAN;
        for (int i = 0; i < op->inputs_min; i++) in[i] = columns[i][row];
        op->add(acc, time_us[row], in, params);
    }
}

static void *new_acc(const weir_operator *op, const weir_params *params, int garbage) {
    size_t size = op->acc_size(params);
    assert_in_range(size, 1, WEIR_ACC_MAX);
    void *acc = malloc(size);
    memset(acc, garbage, size);
    op->init(acc, params);
    return acc;
}

static double folded(const weir_operator *op, const weir_params *params, const int64_t *time_us, const double *const *columns, int count) {
    void *acc = new_acc(op, params, 0xaa);
    fold_rows(op, params, acc, time_us, columns, 0, count);
    double value = op->value(acc, count ? time_us[count - 1] : 0, params);
    free(acc);
    return value;
}

/* Exactly 2 * count doubles of scratch, so that the address sanitizer sees one too many; nothing in it to build on. */
static double evaluated(const weir_operator *op, const weir_params *params, const int64_t *time_us, const double *const *columns, int count) {
    weir_window window = {.count = count, .time_us = time_us, .scratch = malloc(2 * (size_t)count * sizeof(double))};
    for (int i = 0; i < 2 * count; i++) window.scratch[i] = i % 2 ? 1e300 : NAN;
    for (int i = 0; i < op->inputs_min; i++) window.in[i] = columns[i];
    if (count) {
        window.start_us = time_us[0];
        window.end_us = time_us[count - 1];
    }
    double value = op->eval(&window, params);
    free(window.scratch);
    return value;
}

/* The operator's value over rows that are a second apart. */
static double value_of(const weir_operator *op, const char *params_text, const double *const *columns, int count) {
    weir_params params = params_of(op, params_text);
    int64_t time_us[4096];
    assert_true(count <= 4096);
    for (int i = 0; i < count; i++) time_us[i] = INT64_C(1600000000000000) + i * INT64_C(1000000);
    return op->eval ? evaluated(op, &params, time_us, columns, count) : folded(op, &params, time_us, columns, count);
}

static double value_of_one(const weir_operator *op, const char *params_text, const double *x, int count) {
    assert_int_equal(op->inputs_min, 1);
    return value_of(op, params_text, (const double *const[]){x}, count);
}

static void assert_close(const char *name, double found, double expected) {
    if (isnan(expected) ? isnan(found) : fabs(found - expected) <= 1e-12 * fmax(1, fabs(expected))) return;
    fail_msg("%s: %.17g, expected %.17g", name, found, expected);
}

static bool same_bits(double a, double b) {
    return !memcmp(&a, &b, sizeof(a));
}

static void check_description(const weir_operator *op) {
    assert_int_equal(op->abi, WEIR_OPERATOR_ABI);
    const char *const texts[] = {op->doc, op->formula, op->unit, op->edges, op->source};
    for (int i = 0; i < 5; i++) {
        if (!texts[i] || !*texts[i]) fail_msg("%s: description %d is missing", op->name, i);
    }
    assert_in_range(op->inputs_min, 1, WEIR_INPUTS_MAX);
    assert_in_range(op->inputs_max, op->inputs_min, WEIR_INPUTS_MAX);
    assert_true(op->windows != 0 && (op->windows & ~WEIR_WINDOWS_EVERY) == 0);
    if (!op->eval) assert_non_null(op->acc_size);
    int count = 0;
    for (; op->params && op->params[count].name; count++) {
        const weir_param_def *def = &op->params[count];
        assert_non_null(def->doc);
        if (def->type == WEIR_PARAM_CHOICE) assert_non_null(def->choices);
        if (def->type != WEIR_PARAM_CHOICE && !(def->min < def->max)) fail_msg("%s %s: no range", op->name, def->name);
    }
    assert_in_range(count, 0, WEIR_PARAMS_MAX);
}

/* Rows of four columns: positive, different, with a trend; the first above the second, so that they can be high, low, close and volume, or quotes. */
typedef struct contract_rows {
    int64_t time_us[2 * CONTRACT_ROWS];
    double column[WEIR_INPUTS_MAX][2 * CONTRACT_ROWS];
    const double *in[WEIR_INPUTS_MAX];
    int count;
} contract_rows;

static contract_rows *rows_new(int count) {
    contract_rows *rows = calloc(1, sizeof(*rows));
    rows->count = count;
    for (int i = 0; i < WEIR_INPUTS_MAX; i++) rows->in[i] = rows->column[i];
    for (int row = 0; row < count; row++) {
        double base = 20 + 0.05 * row + 3 * sin(row * 0.7) + (row * 7919 % 101) / 50.0;
        rows->time_us[row] = INT64_C(1600000000000000) + row * INT64_C(1000000);
        rows->column[0][row] = base + 1 + row % 3;
        rows->column[1][row] = base - 1;
        rows->column[2][row] = base;
        rows->column[3][row] = 100 + row * 31 % 57;
    }
    return rows;
}

static double rows_value(const weir_operator *op, const weir_params *params, const contract_rows *rows, bool fold) {
    const double *const *in = (const double *const *)rows->in;
    return fold ? folded(op, params, rows->time_us, in, rows->count) : evaluated(op, params, rows->time_us, in, rows->count);
}

/* Nulls between the records change nothing, and a window of nulls only is an empty one. */
static void check_nulls(const weir_operator *op, const weir_params *params, bool fold) {
    contract_rows *rows = rows_new(CONTRACT_ROWS), *holes = rows_new(0), *nulls = rows_new(CONTRACT_ROWS);
    holes->count = 2 * CONTRACT_ROWS;
    for (int row = 0; row < 2 * CONTRACT_ROWS; row++) {
        holes->time_us[row] = rows->time_us[0] + row * INT64_C(500000);
        for (int i = 0; i < op->inputs_min; i++) holes->column[i][row] = row % 2 ? rows->column[i][row / 2] : row % 3 && i ? 5 : NAN;
    }
    for (int i = 0; i < op->inputs_min; i++)
        for (int row = 0; row < CONTRACT_ROWS; row++) nulls->column[i][row] = NAN;
    double value = rows_value(op, params, rows, fold);
    if (isnan(value) || isinf(value)) fail_msg("%s: %g over %d records", op->name, value, CONTRACT_ROWS);
    if (!same_bits(rows_value(op, params, holes, fold), value)) fail_msg("%s: nulls between the records change its value", op->name);
    if (!isnan(rows_value(op, params, nulls, fold))) fail_msg("%s: a value of nulls", op->name);
    nulls->count = 0;
    if (!isnan(rows_value(op, params, nulls, fold))) fail_msg("%s: a value of no records", op->name);
    free(rows);
    free(holes);
    free(nulls);
}

/* A single record, equal records and infinite ones are taken without damage (the sanitizers watch); equal records give no infinity. */
static void check_odd_rows(const weir_operator *op, const weir_params *params, bool fold) {
    contract_rows *rows = rows_new(1);
    for (rows->count = 1; rows->count < 8; rows->count++) assert_false(isinf(rows_value(op, params, rows, fold)));
    rows->count = CONTRACT_ROWS;
    for (int kind = 0; kind < 3; kind++) {
        const double values[] = {0.1, 0, -3};
        for (int i = 0; i < WEIR_INPUTS_MAX; i++)
            for (int row = 0; row < CONTRACT_ROWS; row++) rows->column[i][row] = values[kind];
        if (isinf(rows_value(op, params, rows, fold))) fail_msg("%s: infinite over records that are all %g", op->name, values[kind]);
    }
    for (int i = 0; i < WEIR_INPUTS_MAX; i++) {
        rows->column[i][3] = INFINITY;
        rows->column[i][70] = -INFINITY;
        rows->column[i][80] = 1e308;
    }
    rows_value(op, params, rows, fold);
    free(rows);
}

/* Every byte of an accumulator is written, records give equal bytes every time, and any split in three merges to the same value. */
static void check_fold(const weir_operator *op, const weir_params *params) {
    contract_rows *rows = rows_new(CONTRACT_ROWS);
    const double *const *in = (const double *const *)rows->in;
    size_t size = op->acc_size(params);
    void *one = new_acc(op, params, 0xaa), *other = new_acc(op, params, 0x55);
    assert_memory_equal(one, other, size);
    fold_rows(op, params, one, rows->time_us, in, 0, rows->count);
    fold_rows(op, params, other, rows->time_us, in, 0, rows->count);
    assert_memory_equal(one, other, size);
    double value = op->value(one, 0, params);
    for (int first = 0; op->merge && first <= rows->count; first += 5)
        for (int second = first; second <= rows->count; second += 7) {
            const int edges[] = {0, first, second, rows->count};
            op->init(one, params);
            for (int part = 0; part < 3; part++) {
                op->init(other, params);
                fold_rows(op, params, other, rows->time_us, in, edges[part], edges[part + 1]);
                op->merge(one, other, params);
            }
            assert_close(op->name, op->value(one, 0, params), value);
        }
    free(one);
    free(other);
    free(rows);
}

static void check_contract(const weir_operator *op, const char *params_text) {
    weir_params params = params_of(op, params_text);
    check_description(op);
    for (int fold = 0; fold < 2; fold++) {
        if (fold ? !op->acc_size : !op->eval) continue;
        check_nulls(op, &params, fold);
        check_odd_rows(op, &params, fold);
    }
    if (op->acc_size) check_fold(op, &params);
}

#endif
