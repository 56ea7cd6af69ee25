/* What each instruction of an expression means, for one value and for blocks of them. Both come from one definition, so their bits are equal; a block's loops are simple enough
 * for the compiler to make vectors of them. */
#include <math.h>
#include <stdlib.h>

#include "features/expr_code.h"

enum { BLOCK = 128 }; /* values an instruction works on at once: a register is 1 KiB, so those of most expressions stay in the first-level cache */

/* NaN has many bit patterns; null has one. */
static inline double or_null(double x) {
    return fabs(x) <= __DBL_MAX__ ? x : NAN;
}
static inline double truth(int holds, double a, double b) {
    double v = holds ? 1.0 : 0.0;
    return __builtin_isunordered(a, b) ? NAN : v;
}

static inline double op_add(double a, double b, double c) {
    (void)c;
    return or_null(a + b);
}
static inline double op_sub(double a, double b, double c) {
    (void)c;
    return or_null(a - b);
}
static inline double op_mul(double a, double b, double c) {
    (void)c;
    return or_null(a * b);
}
static inline double op_div(double a, double b, double c) {
    (void)c;
    return b == 0 ? NAN : or_null(a / b); /* also where a is infinite */
}
static inline double op_neg(double a, double b, double c) {
    (void)b, (void)c;
    return -a;
}
static inline double op_eq(double a, double b, double c) {
    (void)c;
    return truth(a == b, a, b);
}
static inline double op_ne(double a, double b, double c) {
    (void)c;
    return truth(a != b, a, b);
}
static inline double op_lt(double a, double b, double c) {
    (void)c;
    return truth(__builtin_isless(a, b), a, b);
}
static inline double op_le(double a, double b, double c) {
    (void)c;
    return truth(__builtin_islessequal(a, b), a, b);
}
/* null and false is false, null and true is null */
static inline double op_and(double a, double b, double c) {
    (void)c;
    double v = __builtin_isunordered(a, b) ? NAN : 1.0;
    return ((a == 0) | (b == 0)) ? 0.0 : v;
}
static inline double op_or(double a, double b, double c) {
    (void)c;
    double v = __builtin_isunordered(a, b) ? NAN : 0.0;
    return (__builtin_islessgreater(a, 0) | __builtin_islessgreater(b, 0)) ? 1.0 : v;
}
static inline double op_not(double a, double b, double c) {
    (void)b, (void)c;
    return truth(a == 0, a, a);
}
static inline double op_is_null(double a, double b, double c) {
    (void)b, (void)c;
    return isnan(a) ? 1.0 : 0.0;
}
static inline double op_if(double a, double b, double c) {
    return __builtin_islessgreater(a, 0) ? b : c;
}
static inline double op_coalesce(double a, double b, double c) {
    (void)c;
    return isnan(a) ? b : a;
}
static inline double op_nullif(double a, double b, double c) {
    (void)c;
    return a == b ? NAN : a;
}
/* Of -0 and 0 the first. */
static inline double op_min(double a, double b, double c) {
    (void)c;
    double v = __builtin_isless(b, a) ? b : a;
    return __builtin_isunordered(a, b) ? NAN : v;
}
static inline double op_max(double a, double b, double c) {
    (void)c;
    double v = __builtin_isgreater(b, a) ? b : a;
    return __builtin_isunordered(a, b) ? NAN : v;
}
static inline double op_least(double a, double b, double c) {
    (void)c;
    return (__builtin_isless(b, a) | isnan(a)) ? b : a;
}
static inline double op_greatest(double a, double b, double c) {
    (void)c;
    return (__builtin_isgreater(b, a) | isnan(a)) ? b : a;
}
static inline double op_abs(double a, double b, double c) {
    (void)b, (void)c;
    return fabs(a);
}
static inline double op_sign(double a, double b, double c) {
    (void)b, (void)c;
    double v = __builtin_isless(a, 0) ? -1.0 : 0.0;
    v = __builtin_isgreater(a, 0) ? 1.0 : v;
    return isnan(a) ? NAN : v;
}
static inline double op_sqrt(double a, double b, double c) {
    (void)b, (void)c;
    return or_null(sqrt(a));
}
static inline double op_clip(double a, double b, double c) {
    return op_min(op_max(a, b, 0), c, 0);
}

/* Instructions that are one expression of up to three values. */
#define EACH_OP(X)                                                                                                                                             \
    X(EXPR_ADD, op_add(a, b, c))                                                                                                                               \
    X(EXPR_SUB, op_sub(a, b, c))                                                                                                                               \
    X(EXPR_MUL, op_mul(a, b, c))                                                                                                                               \
    X(EXPR_DIV, op_div(a, b, c))                                                                                                                               \
    X(EXPR_NEG, op_neg(a, b, c))                                                                                                                               \
    X(EXPR_EQ, op_eq(a, b, c))                                                                                                                                 \
    X(EXPR_NE, op_ne(a, b, c))                                                                                                                                 \
    X(EXPR_LT, op_lt(a, b, c))                                                                                                                                 \
    X(EXPR_LE, op_le(a, b, c))                                                                                                                                 \
    X(EXPR_GT, op_lt(b, a, c))                                                                                                                                 \
    X(EXPR_GE, op_le(b, a, c))                                                                                                                                 \
    X(EXPR_AND, op_and(a, b, c))                                                                                                                               \
    X(EXPR_OR, op_or(a, b, c))                                                                                                                                 \
    X(EXPR_NOT, op_not(a, b, c))                                                                                                                               \
    X(EXPR_IS_NULL, op_is_null(a, b, c))                                                                                                                       \
    X(EXPR_IF, op_if(a, b, c))                                                                                                                                 \
    X(EXPR_COALESCE, op_coalesce(a, b, c))                                                                                                                     \
    X(EXPR_NULLIF, op_nullif(a, b, c))                                                                                                                         \
    X(EXPR_MIN, op_min(a, b, c))                                                                                                                               \
    X(EXPR_MAX, op_max(a, b, c))                                                                                                                               \
    X(EXPR_LEAST, op_least(a, b, c))                                                                                                                           \
    X(EXPR_GREATEST, op_greatest(a, b, c))                                                                                                                     \
    X(EXPR_ABS, op_abs(a, b, c))                                                                                                                               \
    X(EXPR_SIGN, op_sign(a, b, c))                                                                                                                             \
    X(EXPR_SQRT, op_sqrt(a, b, c))                                                                                                                             \
    X(EXPR_CLIP, op_clip(a, b, c))

static double find_in(expr_set set, double x) {
    if (isnan(x)) return NAN;
    int low = 0, high = set.count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (set.values[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set.count && set.values[low] == x;
}

static double call(const expr_instruction *in, const double *args) {
    for (int k = 0; k < in->arg_count; k++) {
        if (isnan(args[k])) return NAN;
    }
    return or_null(in->call(args));
}

/* args: [3] at least unless it is a call */
static inline double apply(const expr_instruction *in, double a, double b, double c) {
    switch ((expr_op)in->op) {
#define ONE(op, value)                                                                                                                                         \
    case op: return value;
        EACH_OP(ONE)
#undef ONE
    case EXPR_IN: return find_in(in->set, a);
    case EXPR_CALL:
    case EXPR_CONSTANT: break;
    }
    abort();
}

double expr_apply(const expr_instruction *instruction, const double *args) {
    if (instruction->op == EXPR_CALL) return call(instruction, args);
    double a = args[0], b = instruction->arg_count > 1 ? args[1] : 0, c = instruction->arg_count > 2 ? args[2] : 0;
    return apply(instruction, a, b, c);
}

double weir_expr_eval(const weir_expr *expr, const double *vars) {
    double r[EXPR_REGISTERS_MAX];
    int n = 0;
    for (int i = 0; i < expr->constant_count; i++) r[n++] = expr->constants[i];
    for (int i = 0; i < expr->variable_count; i++) r[n++] = vars[expr->variables[i]];
    for (const expr_instruction *in = expr->code, *end = in + expr->code_count; in < end; in++) {
        if (in->op == EXPR_CALL) {
            double args[EXPR_ARGS_MAX];
            for (int k = 0; k < in->arg_count; k++) args[k] = r[in->args[k]];
            r[in->to] = call(in, args);
        } else {
            r[in->to] = apply(in, r[in->args[0]], r[in->args[1]], r[in->args[2]]);
        }
    }
    double value = r[expr->result];
    return isnan(value) ? NAN : value;
}

/* --- blocks --- */

static void call_block(const expr_instruction *in, const double *const *r, int n, double *to) {
    for (int i = 0; i < n; i++) {
        double args[EXPR_ARGS_MAX];
        for (int k = 0; k < in->arg_count; k++) args[k] = r[in->args[k]][i];
        to[i] = call(in, args);
    }
}

/* `to` may be one of the arguments: each value depends on those of its own place only, which the compiler is told. */
#ifdef __clang__
#define INDEPENDENT /* it looks at run time */
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

static void run_block(const expr_instruction *in, const double *const *r, int n, double *to) {
    const double *x = r[in->args[0]], *y = r[in->args[1]], *z = r[in->args[2]];
    switch ((expr_op)in->op) {
#define EVERY(op, value)                                                                                                                                       \
    case op:                                                                                                                                                   \
        INDEPENDENT for (int i = 0; i < n; i++) {                                                                                                              \
            double a = x[i], b = y[i], c = z[i];                                                                                                               \
            to[i] = value;                                                                                                                                     \
        }                                                                                                                                                      \
        return;
        EACH_OP(EVERY)
#undef EVERY
    case EXPR_IN:
        for (int i = 0; i < n; i++) to[i] = find_in(in->set, x[i]);
        return;
    case EXPR_CALL: call_block(in, r, n, to); return;
    case EXPR_CONSTANT: break;
    }
    abort();
}

void weir_expr_eval_batch(const weir_expr *expr, const double *const *columns, int n, double *out) {
    int constants = expr->constant_count, first = constants + expr->variable_count, width = n < BLOCK ? n : BLOCK;
    double blocks[constants + expr->register_count - first + 1][BLOCK]; /* the variables' registers are the columns themselves */
    const double *r[EXPR_REGISTERS_MAX];
    for (int i = 0; i < constants; i++) {
        for (int k = 0; k < width; k++) blocks[i][k] = expr->constants[i];
        r[i] = blocks[i];
    }
    for (int i = first; i < expr->register_count; i++) r[i] = blocks[constants + i - first];
    for (int at = 0; at < n; at += BLOCK) {
        int count = n - at < BLOCK ? n - at : BLOCK;
        for (int i = 0; i < expr->variable_count; i++) r[constants + i] = columns[expr->variables[i]] + at;
        for (int i = 0; i < expr->code_count; i++) run_block(&expr->code[i], r, count, blocks[constants + expr->code[i].to - first]);
        const double *result = r[expr->result];
        for (int k = 0; k < count; k++) out[at + k] = isnan(result[k]) ? NAN : result[k];
    }
}
