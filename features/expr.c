/* Tree to instructions. What depends on constants only is computed here, once. */
#include "features/expr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "features/expr_code.h"

enum { SCRATCH_BYTES_MAX = 16 << 20 };

/* Where a value is while code is made. Registers are numbered by kind; finish() puts the kinds behind each other. */
typedef enum place_kind { IN_CONSTANT, IN_VARIABLE, IN_TEMPORARY } place_kind;
typedef struct place {
    place_kind kind;
    int index; /* VARIABLE, TEMPORARY */
    double value; /* CONSTANT: gets a register when an instruction needs one */
} place;
enum { KIND_STEP = 1 << 12 }; /* of a register before that: kind × KIND_STEP + index */

typedef struct compiler {
    weir_arena *arena;
    weir_buf code, constants, variables; /* of expr_instruction, double, int ascending */
    int temporaries; /* most that were in use at once */
    weir_err *err;
} compiler;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an expression");
}

static int count_of(const weir_buf *buf, size_t size) {
    return (int)(buf->len / size);
}

static int by_number(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Every variable of the tree, ascending, each once. */
static bool gather_variables(const expr_node *node, weir_buf *out) {
    bool ok = node->kind != EXPR_VARIABLE || weir_buf_append(out, &node->variable, sizeof(node->variable));
    for (const expr_node *operand = node->first; ok && operand; operand = operand->next) ok = gather_variables(operand, out);
    return ok;
}
static weir_status find_variables(compiler *c, const expr_node *root) {
    if (!gather_variables(root, &c->variables)) return no_memory(c->err);
    int n = count_of(&c->variables, sizeof(int)), kept = 0, *all = (void *)c->variables.data;
    if (n) qsort(all, (size_t)n, sizeof(*all), by_number);
    for (int i = 0; i < n; i++) {
        if (!kept || all[kept - 1] != all[i]) all[kept++] = all[i];
    }
    c->variables.len = sizeof(*all) * (size_t)kept;
    return WEIR_OK;
}

static place variable(const compiler *c, int number) {
    const int *all = (const void *)c->variables.data;
    int i = 0;
    while (all[i] != number) i++;
    return (place){IN_VARIABLE, i, 0};
}

static place constant(double value) {
    return (place){IN_CONSTANT, 0, isnan(value) ? NAN : value};
}

/* --- instructions --- */

/* The register of a place; equal constants share one. */
static weir_status register_of(compiler *c, place at, uint16_t *ret_register) {
    int n = count_of(&c->constants, sizeof(double)), i = at.index;
    if (at.kind == IN_CONSTANT) {
        for (i = 0; i < n && memcmp(c->constants.data + (size_t)i * sizeof(double), &at.value, sizeof(double));) i++;
        if (i == n && !weir_buf_append(&c->constants, &at.value, sizeof(double))) return no_memory(c->err);
    }
    if (i >= EXPR_REGISTERS_MAX)
        return WEIR_FAIL(c->err, WEIR_EINVAL, "the expression needs more than %d constants, names or values at once", EXPR_REGISTERS_MAX);
    *ret_register = (uint16_t)(at.kind * KIND_STEP + i);
    return WEIR_OK;
}

/* Adds one, or computes it here when its arguments are constants. Temporaries below `top` are in use. */
static weir_status emit(compiler *c, expr_instruction in, const place *args, int count, int top, place *ret_place) {
    double values[EXPR_ARGS_MAX] = {0};
    bool known = true;
    in.arg_count = (uint8_t)count;
    for (int i = 0; i < count; i++) {
        values[i] = args[i].value;
        known = known && args[i].kind == IN_CONSTANT;
    }
    if (known) {
        *ret_place = constant(expr_apply(&in, values));
        return WEIR_OK;
    }
    weir_status status = WEIR_OK;
    place to = {IN_TEMPORARY, top, 0};
    for (int i = 0; !status && i < count; i++) status = register_of(c, args[i], &in.args[i]);
    if (status || (status = register_of(c, to, &in.to))) return status;
    if (c->temporaries <= top) c->temporaries = top + 1;
    *ret_place = to;
    return weir_buf_append(&c->code, &in, sizeof(in)) ? WEIR_OK : no_memory(c->err);
}

static weir_status emit_op(compiler *c, expr_op op, const place *args, int count, int top, place *ret_place) {
    return emit(c, (expr_instruction){.op = (uint8_t)op}, args, count, top, ret_place);
}

static weir_status compile(compiler *c, const expr_node *node, int top, place *ret_place);

/* Operands one after the other; what they leave in temporaries stays in use until the last is there. */
static weir_status compile_operands(compiler *c, const expr_node *first, int count, int top, place *ret_places) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < count; i++, first = first->next) {
        status = compile(c, first, top, &ret_places[i]);
        if (!status && ret_places[i].kind == IN_TEMPORARY) top = ret_places[i].index + 1;
    }
    return status;
}

/* f(x, y, z) as f(f(x, y), z). */
static weir_status compile_chain(compiler *c, const expr_node *node, int top, place *ret_place) {
    weir_status status = compile(c, node->first, top, ret_place);
    for (const expr_node *next = node->first->next; !status && next; next = next->next) {
        place pair[2] = {*ret_place};
        status = compile(c, next, pair[0].kind == IN_TEMPORARY ? top + 1 : top, &pair[1]);
        if (!status) status = emit_op(c, node->function->op, pair, 2, top, ret_place);
    }
    return status;
}

/* A time in another zone is a time so much later. */
static weir_status compile_zoned(compiler *c, const expr_node *node, int top, place *ret_place) {
    place sum[2];
    weir_status status = compile(c, node->first, top, &sum[0]);
    if (!status && node->count > 1) {
        sum[1] = constant(node->first->next->value);
        status = emit_op(c, EXPR_ADD, sum, 2, top, &sum[0]);
    }
    return status ? status : emit(c, (expr_instruction){.op = EXPR_CALL, .call = node->function->call}, sum, 1, top, ret_place);
}

static weir_status compile_function(compiler *c, const expr_node *node, int top, place *ret_place) {
    const expr_function *f = node->function;
    place args[EXPR_ARGS_MAX];
    int count = node->count;
    if (f->op == EXPR_CONSTANT) {
        *ret_place = constant(node->first->value);
        return WEIR_OK;
    }
    if (strchr(f->args, '+')) return compile_chain(c, node, top, ret_place);
    if (strchr(f->args, 'z')) return compile_zoned(c, node, top, ret_place);
    weir_status status = compile_operands(c, node->first, count, top, args);
    if (strchr(f->args, '?') && f->args[count] == '?') args[count++] = constant(0);
    return status ? status : emit(c, (expr_instruction){.op = (uint8_t)f->op, .call = f->call}, args, count, top, ret_place);
}

static weir_status compile_binary(compiler *c, const expr_node *node, int top, place *ret_place) {
    place args[2];
    weir_status status = compile_operands(c, node->first, 2, top, args);
    if (status) return status;
    bool square = node->function == &expr_power && args[1].kind == IN_CONSTANT && args[1].value == 2;
    if (square) return emit_op(c, EXPR_MUL, (place[]){args[0], args[0]}, 2, top, ret_place);
    if (node->function) return emit(c, (expr_instruction){.op = EXPR_CALL, .call = node->function->call}, args, 2, top, ret_place);
    return emit_op(c, node->op, args, 2, top, ret_place);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static weir_status compile_member(compiler *c, const expr_node *node, int top, place *ret_place) {
    expr_instruction in = {.op = EXPR_IN, .set = node->list};
    if (!node->word) {
        double *values = weir_arena_alloc(c->arena, sizeof(*values) * (size_t)node->count);
        if (!values) return no_memory(c->err);
        int n = 0;
        for (const expr_node *item = node->first->next; item; item = item->next) values[n++] = item->value;
        qsort(values, (size_t)n, sizeof(*values), by_value);
        in.set = (expr_set){values, n};
    }
    place value;
    weir_status status = compile(c, node->first, top, &value);
    if (!status) status = emit(c, in, &value, 1, top, ret_place);
    return status || !node->negated ? status : emit_op(c, EXPR_NOT, ret_place, 1, top, ret_place);
}

static weir_status compile_unary(compiler *c, const expr_node *node, int top, place *ret_place) {
    place operand;
    weir_status status = compile(c, node->first, top, &operand);
    if (!status) status = emit_op(c, node->op, &operand, 1, top, ret_place);
    return status || !node->negated ? status : emit_op(c, EXPR_NOT, ret_place, 1, top, ret_place);
}

static weir_status compile(compiler *c, const expr_node *node, int top, place *ret_place) {
    switch (node->kind) {
    case EXPR_LITERAL: *ret_place = constant(node->value); return WEIR_OK;
    case EXPR_VARIABLE: *ret_place = variable(c, node->variable); return WEIR_OK;
    case EXPR_UNARY: return compile_unary(c, node, top, ret_place);
    case EXPR_BINARY: return compile_binary(c, node, top, ret_place);
    case EXPR_FUNCTION: return compile_function(c, node, top, ret_place);
    case EXPR_MEMBER: break;
    }
    return compile_member(c, node, top, ret_place);
}

/* --- the finished expression --- */

/* Copies to where the parts of the one allocation are, and moves on. */
static void *take(char **at, const void *from, size_t bytes) {
    void *to = *at;
    if (bytes) memcpy(to, from, bytes);
    *at += (bytes + 7) / 8 * 8;
    return to;
}

static uint16_t final_register(const weir_expr *e, int before) {
    int kind = before / KIND_STEP, first = kind == IN_CONSTANT ? 0 : kind == IN_VARIABLE ? e->constant_count : e->constant_count + e->variable_count;
    return (uint16_t)(first + before % KIND_STEP);
}

static weir_status finish(compiler *c, place result, const weir_buf *text, bool is_text, weir_expr **ret_expr) {
    uint16_t last;
    weir_status status = register_of(c, result, &last);
    if (status) return status;
    weir_expr e = {.code_count = count_of(&c->code, sizeof(expr_instruction)),
                   .constant_count = count_of(&c->constants, sizeof(double)),
                   .variable_count = count_of(&c->variables, sizeof(int)),
                   .is_text = is_text};
    e.register_count = e.constant_count + e.variable_count + c->temporaries;
    if (e.register_count > EXPR_REGISTERS_MAX)
        return WEIR_FAIL(c->err, WEIR_EINVAL, "the expression needs %d constants, names and values at once, expected at most %d", e.register_count,
                         EXPR_REGISTERS_MAX);
    const expr_instruction *code = (const void *)c->code.data;
    size_t bytes = sizeof(e) + c->code.len + c->constants.len + c->variables.len + text->len + 1 + 4 * 8;
    for (int i = 0; i < e.code_count; i++) bytes += code[i].op == EXPR_IN ? sizeof(double) * (size_t)code[i].set.count : 0;
    char *block = weir_mem.realloc(NULL, bytes), *at = block;
    if (!block) return no_memory(c->err);
    weir_expr *expr = take(&at, &e, sizeof(e));
    expr_instruction *final = take(&at, code, c->code.len);
    expr->code = final;
    expr->constants = take(&at, c->constants.data, c->constants.len);
    expr->variables = take(&at, c->variables.data, c->variables.len);
    for (expr_instruction *in = final; in < final + e.code_count; in++) {
        in->to = final_register(&e, in->to);
        for (int k = 0; k < in->arg_count; k++) in->args[k] = final_register(&e, in->args[k]);
        if (in->op == EXPR_IN) in->set.values = take(&at, in->set.values, sizeof(double) * (size_t)in->set.count);
    }
    expr->text = take(&at, text->data, text->len + 1);
    expr->result = final_register(&e, last);
    *ret_expr = expr;
    return WEIR_OK;
}

weir_status weir_expr_new(const char *text, const weir_expr_names *names, weir_expr **ret_expr, weir_err *err) {
    weir_arena arena;
    weir_arena_init(&arena, SCRATCH_BYTES_MAX);
    compiler c = {.arena = &arena, .err = err};
    weir_buf canonical = {0};
    expr_node *root = NULL;
    place result;
    weir_status status = expr_parse(text, names, &arena, &root, err);
    if (!status && !expr_print(root, &canonical)) status = no_memory(err);
    if (!status && !(status = find_variables(&c, root)) && !(status = compile(&c, root, 0, &result)))
        status = finish(&c, result, &canonical, root->type == EXPR_TEXT, ret_expr);
    weir_buf_done(&c.code);
    weir_buf_done(&c.constants);
    weir_buf_done(&c.variables);
    weir_buf_done(&canonical);
    weir_arena_done(&arena);
    return status;
}

void weir_expr_free(weir_expr *expr) {
    weir_mem.realloc(expr, 0);
}

const int *weir_expr_variables(const weir_expr *expr, int *ret_count) {
    *ret_count = expr->variable_count;
    return expr->variables;
}
const char *weir_expr_text(const weir_expr *expr) {
    return expr->text;
}
bool weir_expr_is_text(const weir_expr *expr) {
    return expr->is_text;
}
