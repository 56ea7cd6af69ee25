/* What the tests of operator families share: an operator with its parameters, run over records given as arrays. */
#ifndef WEIR_TESTS_OPERATORS_H
#define WEIR_TESTS_OPERATORS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "features/operator.h"

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)
enum { RECORDS_MAX = 1200 };

typedef struct records {
    int count;
    int64_t time_us[RECORDS_MAX];
    double in[WEIR_INPUTS_MAX][RECORDS_MAX];
} records;

typedef struct setting {
    const weir_operator *op;
    weir_params params;
} setting;

static inline const weir_operator *operator_of(const weir_operator *family, const char *name) {
    for (const weir_operator *op = family; op->name; op++)
        if (!strcmp(op->name, name)) return op;
    fail_msg("no operator %s", name);
    return NULL;
}

static inline void set(setting *s, const char *param, double value) {
    for (int i = 0; s->op->params && s->op->params[i].name; i++) {
        if (strcmp(s->op->params[i].name, param) != 0) continue;
        s->params.value[i] = value;
        s->params.given[i] = true;
        return;
    }
    fail_msg("%s has no parameter %s", s->op->name, param);
}

/** The operator with its parameters' defaults; required ones are to be set. */
static inline setting setting_of(const weir_operator *op) {
    setting s = {.op = op};
    for (int i = 0; op->params && op->params[i].name; i++) s.params.value[i] = op->params[i].fallback;
    return s;
}

static inline setting use(const weir_operator *family, const char *name) {
    return setting_of(operator_of(family, name));
}

static inline double eval(const setting *s, const records *r) {
    double scratch[2 * RECORDS_MAX];
    weir_window window = {.count = r->count, .time_us = r->time_us, .scratch = scratch};
    for (int i = 0; i < s->op->inputs_max; i++) window.in[i] = r->in[i];
    if (r->count) {
        window.start_us = r->time_us[0];
        window.end_us = r->time_us[r->count - 1];
    }
    return s->op->eval(&window, &s->params);
}

/** An accumulator over records [from, to), to be freed; its bytes before init are `garbage`. */
static inline void *fold_from(const setting *s, const records *r, int from, int to, int garbage) {
    size_t size = s->op->acc_size(&s->params);
    void *acc = malloc(size);
    assert_non_null(acc);
    assert_in_range(size, 1, WEIR_ACC_MAX);
    assert_int_equal(size % 8, 0);
    memset(acc, garbage, size);
    s->op->init(acc, &s->params);
    for (int k = from; k < to; k++) {
        double in[WEIR_INPUTS_MAX];
        for (int i = 0; i < WEIR_INPUTS_MAX; i++) in[i] = r->in[i][k];
        s->op->add(acc, r->time_us[k], in, &s->params);
    }
    return acc;
}

static inline double fold(const setting *s, const records *r, int64_t t_us) {
    void *acc = fold_from(s, r, 0, r->count, 0xAA);
    double value = s->op->value(acc, t_us, &s->params);
    free(acc);
    return value;
}

static inline double merged(const setting *s, const records *r, int split, int64_t t_us) {
    void *acc = fold_from(s, r, 0, split, 0), *later = fold_from(s, r, split, r->count, 0);
    s->op->merge(acc, later, &s->params);
    double value = s->op->value(acc, t_us, &s->params);
    free(acc);
    free(later);
    return value;
}

#define assert_value(got, want) assert_float_equal(got, want, 1e-12)
#define assert_nan(got) assert_true(isnan(got))

/** Settings of required parameters that every value in range suits. */
static inline void set_required(setting *s) {
    for (int i = 0; s->op->params && s->op->params[i].name; i++) {
        const weir_param_def *def = &s->op->params[i];
        if (def->required) set(s, def->name, isfinite(def->min) && isfinite(def->max) ? fmin(def->max, fmax(def->min, 1)) : 0);
    }
}

/** Every operator of a family says what it is, keeps to the limits at every end of its parameters' ranges, and gives equal bits for equal records. */
static inline void check_family(const weir_operator *family, const records *r) {
    for (const weir_operator *op = family; op->name; op++) {
        print_message("%s\n", op->name);
        assert_int_equal(op->abi, WEIR_OPERATOR_ABI);
        const char *const texts[] = {op->doc, op->formula, op->unit, op->edges, op->source};
        for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) assert_true(texts[i] && *texts[i]);
        assert_true(op->windows && !(op->windows & ~WEIR_WINDOWS_EVERY) && op->inputs_min <= op->inputs_max && op->inputs_max <= WEIR_INPUTS_MAX);
        assert_true(op->eval || op->acc_size);
        assert_true(op->acc_size || !(op->windows & (1u << WEIR_WINDOW_ALL | 1u << WEIR_WINDOW_SESSION))); /* records without a bound are folded */
        setting s = setting_of(op);
        set_required(&s);
        if (op->eval) {
            records with_future = *r; /* behind the window stands what comes later */
            for (int k = r->count; k < RECORDS_MAX; k++) {
                with_future.time_us[k] = k * DAY;
                for (int i = 0; i < WEIR_INPUTS_MAX; i++) with_future.in[i][k] = 1e6 * k;
            }
            double once = eval(&s, r), again = eval(&s, r), before = eval(&s, &with_future);
            assert_memory_equal(&once, &again, sizeof(once));
            assert_memory_equal(&once, &before, sizeof(once));
        }
        for (int i = -1; op->acc_size && i < WEIR_PARAMS_MAX && (i < 0 || (op->params && op->params[i].name)); i++) {
            setting most = s;
            if (i >= 0 && op->params[i].type != WEIR_PARAM_CHOICE && isfinite(op->params[i].max)) most.params.value[i] = op->params[i].max;
            void *a = fold_from(&most, r, 0, r->count, 0xAA), *b = fold_from(&most, r, 0, r->count, 0x55);
            assert_memory_equal(a, b, op->acc_size(&most.params));
            free(a);
            free(b);
        }
    }
}

#endif
