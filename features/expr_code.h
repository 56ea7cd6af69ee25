/* What the parser, the compiler and the tables of expressions share. Private to features/expr*.c. */
#ifndef WEIR_FEATURES_EXPR_CODE_H
#define WEIR_FEATURES_EXPR_CODE_H

#include <stdint.h>

#include "core/mem.h"
#include "features/expr.h"

enum {
    EXPR_TEXT_MAX = 8192, /* bytes of an expression */
    EXPR_NESTING_MAX = 64, /* parentheses, calls, signs within each other */
    EXPR_HEIGHT_MAX = 512, /* of the tree: also of a + b + c + ... */
    EXPR_ARGS_MAX = 6, /* of what is computed in one step */
    EXPR_REGISTERS_MAX = 256 /* constants, variables and intermediate values together */
};

/* Instructions. Their meaning, for one value and for blocks, is in expr_eval.c. */
typedef enum expr_op {
    EXPR_ADD,
    EXPR_SUB,
    EXPR_MUL,
    EXPR_DIV,
    EXPR_NEG,
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_AND,
    EXPR_OR,
    EXPR_NOT,
    EXPR_IS_NULL,
    EXPR_IF,
    EXPR_COALESCE,
    EXPR_NULLIF,
    EXPR_MIN,
    EXPR_MAX,
    EXPR_LEAST,
    EXPR_GREATEST,
    EXPR_ABS,
    EXPR_SIGN,
    EXPR_SQRT,
    EXPR_CLIP,
    EXPR_IN,
    EXPR_CALL,
    EXPR_CONSTANT, /* a function of a text that is known when it is compiled; never an instruction */
} expr_op;

/* A function of the language. */
typedef struct expr_function {
    weir_expr_function doc;
    /* One letter an argument: n number, c condition, a any value (all of them, and the result, of one type), x anything, z an offset from UTC as text, d a duration as text,
     * t a time as text. What follows '?' may be left out (of an n: 0), a '+' at the end repeats the last. */
    const char *args;
    expr_op op;
    double (*call)(const double *args); /* EXPR_CALL: no argument is null; a result that is not finite is null */
} expr_function;

extern const expr_function expr_functions[]; /* ended by one without a name */
const expr_function *expr_function_find(const char *name);
extern const expr_function expr_modulo, expr_power; /* what % and ^ are */

typedef struct expr_set {
    const double *values; /* [count] ascending */
    int count;
} expr_set;

typedef struct expr_instruction {
    uint8_t op, arg_count;
    uint16_t to, args[EXPR_ARGS_MAX]; /* registers; args that are not used are 0 */
    union {
        double (*call)(const double *args); /* EXPR_CALL */
        expr_set set; /* EXPR_IN */
    };
} expr_instruction;

/* A compiled expression: registers are constants, then variables, then intermediate values. One allocation. */
struct weir_expr {
    int code_count, constant_count, variable_count, register_count;
    int result; /* register */
    bool is_text;
    const expr_instruction *code; /* [code_count] */
    const double *constants; /* [constant_count] */
    const int *variables; /* [variable_count] ascending */
    const char *text; /* canonical */
};

/** What an instruction gives for these values of its arguments. */
double expr_apply(const expr_instruction *instruction, const double *args);

typedef enum expr_type { EXPR_NUMBER, EXPR_TEXT, EXPR_NULL } expr_type; /* of NULL is the literal null, which goes with both */
typedef enum expr_kind { EXPR_LITERAL, EXPR_VARIABLE, EXPR_UNARY, EXPR_BINARY, EXPR_FUNCTION, EXPR_MEMBER } expr_kind;

/* A node of the tree. */
typedef struct expr_node expr_node;
struct expr_node {
    expr_kind kind;
    expr_type type;
    expr_op op; /* UNARY, BINARY */
    const expr_function *function; /* FUNCTION; BINARY % and ^ */
    bool negated; /* MEMBER: not in; UNARY IS_NULL: is not null */
    double value; /* LITERAL: NaN for null; a text's number */
    int variable; /* VARIABLE */
    const char *word; /* LITERAL: the text, or true, false, null; VARIABLE: its name; MEMBER: the list's name or NULL */
    expr_set list; /* MEMBER of a named list */
    expr_node *first, *next; /* operands; MEMBER: the tested value, then literals */
    int count, height;
};

/** Parses and checks; nodes and texts live in the arena. */
weir_status expr_parse(const char *text, const weir_expr_names *names, weir_arena *arena, expr_node **ret_root, weir_err *err) WEIR_MUST_CHECK;
/** Appends the canonical text. False when memory ran out. */
bool expr_print(const expr_node *node, weir_buf *out) WEIR_MUST_CHECK;
/** "-06:00", "+05:30", "Z" → µs east of UTC. */
bool expr_zone_parse(const char *text, double *ret_us);

#endif
