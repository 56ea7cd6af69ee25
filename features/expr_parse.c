/* Text to tree: words, then operators by their binding (Pratt, "Top Down Operator Precedence", 1973), with types checked on the way. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "features/expr_code.h"
#include "features/operator.h"

typedef enum token_kind { TOKEN_END, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_NAME, TOKEN_SIGN } token_kind;

typedef struct token {
    token_kind kind;
    const char *start;
    size_t len;
    double number;
    const char *word; /* of a NAME or TEXT what it says; NULL of a NAME in backquotes that is asked for as a word of the language */
    bool quoted; /* a NAME in backquotes: never a word of the language */
} token;

typedef struct parser {
    const char *text, *at; /* at: behind the next token */
    token next;
    const weir_expr_names *names;
    weir_arena *arena;
    int nesting;
    weir_err *err;
} parser;

/* How tightly things bind. */
enum { BIND_NOTHING, BIND_OR, BIND_AND, BIND_NOT, BIND_COMPARE, BIND_ADD, BIND_MULTIPLY, BIND_MINUS, BIND_POWER, BIND_ATOM };

typedef struct infix {
    const char *sign;
    int binds;
    expr_op op;
    const expr_function *function;
} infix;

/* Of two for one operation the first is the canonical one. */
static const infix infixes[] = {
    {"or", BIND_OR, EXPR_OR},
    {"and", BIND_AND, EXPR_AND},
    {"=", BIND_COMPARE, EXPR_EQ},
    {"==", BIND_COMPARE, EXPR_EQ},
    {"!=", BIND_COMPARE, EXPR_NE},
    {"<>", BIND_COMPARE, EXPR_NE},
    {"<=", BIND_COMPARE, EXPR_LE},
    {">=", BIND_COMPARE, EXPR_GE},
    {"<", BIND_COMPARE, EXPR_LT},
    {">", BIND_COMPARE, EXPR_GT},
    {"+", BIND_ADD, EXPR_ADD},
    {"-", BIND_ADD, EXPR_SUB},
    {"*", BIND_MULTIPLY, EXPR_MUL},
    {"/", BIND_MULTIPLY, EXPR_DIV},
    {"%", BIND_MULTIPLY, EXPR_CALL, &expr_modulo},
    {"^", BIND_POWER, EXPR_CALL, &expr_power},
    {NULL},
};
static const char *const keywords[] = {"or", "and", "not", "in", "is", "null", "true", "false", NULL};

/* --- complaints --- */

/* Columns count characters, from 1. */
static weir_status WEIR_PRINTF(3, 4) complain(const parser *p, const char *where, const char *format, ...) {
    int column = 1;
    for (const char *c = p->text; c < where; c++) column += ((unsigned char)*c & 0xc0) != 0x80;
    char message[WEIR_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return WEIR_FAIL(p->err, WEIR_EINVAL, "column %d: %s", column, message);
}

static weir_status no_memory(const parser *p) {
    return WEIR_FAIL(p->err, WEIR_ENOMEM, "no memory for an expression");
}

static weir_status expected(const parser *p, const char *what) {
    const token *t = &p->next;
    if (t->kind == TOKEN_END) return complain(p, t->start, "found the end, expected %s", what);
    return complain(p, t->start, "found %.*s, expected %s", t->len > 40 ? 40 : (int)t->len, t->start, what);
}

/* --- words --- */

static bool begins_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool continues_name(char c) {
    return begins_name(c) || is_digit(c) || c == '.'; /* members of nested records are columns with dots */
}

/* A text or a name in quotes; a quote that stands there twice is one of its characters. */
static weir_status read_quoted(parser *p, token *t) {
    char quote = *p->at, *word = weir_arena_alloc(p->arena, strlen(p->at) + 1);
    if (!word) return no_memory(p);
    size_t n = 0;
    const char *c = p->at + 1;
    for (; *c && (*c != quote || c[1] == quote); c++) {
        if (*c == quote) c++;
        word[n++] = *c;
    }
    if (!*c) return complain(p, t->start, "a text begins here and does not end; expected %c", quote);
    word[n] = 0;
    t->kind = quote == '`' ? TOKEN_NAME : TOKEN_TEXT;
    t->quoted = quote == '`';
    t->word = word;
    p->at = c + 1;
    return WEIR_OK;
}

/* Digits, a fraction, an exponent. strtod alone would take hexadecimal numbers, infinities and the locale's comma. */
static weir_status read_number(parser *p, token *t) {
    const char *c = p->at;
    while (is_digit(*c)) c++;
    if (*c == '.') {
        c++;
        while (is_digit(*c)) c++;
    }
    if (*c == 'e' || *c == 'E') {
        const char *digits = c + 1 + (c[1] == '+' || c[1] == '-');
        if (is_digit(*digits)) {
            c = digits;
            while (is_digit(*c)) c++;
        }
    }
    if (continues_name(*c)) {
        while (continues_name(*c)) c++;
        return complain(p, t->start, "found %.*s, expected a number; lengths of time are written duration(\"7d\")",
                        c - t->start > 40 ? 40 : (int)(c - t->start), t->start);
    }
    t->kind = TOKEN_NUMBER;
    t->number = strtod(p->at, NULL);
    if (!isfinite(t->number)) return complain(p, t->start, "the number is too large");
    p->at = c;
    return WEIR_OK;
}

static weir_status read_sign(parser *p, token *t) {
    static const char *const signs[] = {"<=", ">=", "!=", "<>", "==", "=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", ",", NULL};
    t->kind = TOKEN_SIGN;
    for (int i = 0; signs[i]; i++) {
        size_t n = strlen(signs[i]);
        if (strncmp(p->at, signs[i], n)) continue;
        p->at += n;
        return WEIR_OK;
    }
    if (!strncmp(p->at, "&&", 2) || !strncmp(p->at, "||", 2)) return complain(p, p->at, "found %.2s, expected \"%s\"", p->at, *p->at == '&' ? "and" : "or");
    int n = 1;
    while (((unsigned char)p->at[n] & 0xc0) == 0x80) n++;
    return complain(p, p->at, "found %.*s, which is no part of an expression", n, p->at);
}

/* Reads the next token. */
static weir_status advance(parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
    token t = {.start = p->at};
    weir_status status = WEIR_OK;
    if (!*p->at)
        t.kind = TOKEN_END;
    else if (is_digit(*p->at) || (*p->at == '.' && is_digit(p->at[1])))
        status = read_number(p, &t);
    else if (*p->at == '"' || *p->at == '\'' || *p->at == '`')
        status = read_quoted(p, &t);
    else if (begins_name(*p->at)) {
        t.kind = TOKEN_NAME;
        while (continues_name(*p->at)) p->at++;
        if (!(t.word = weir_arena_copy(p->arena, t.start, (size_t)(p->at - t.start)))) return no_memory(p);
    } else {
        status = read_sign(p, &t);
    }
    t.len = (size_t)(p->at - t.start);
    p->next = t;
    return status;
}

/* Whether the next token is this sign or word of the language. */
static bool next_is(const parser *p, const char *sign) {
    const token *t = &p->next;
    if (t->kind != TOKEN_SIGN && (t->kind != TOKEN_NAME || t->quoted)) return false;
    return strlen(sign) == t->len && !memcmp(sign, t->start, t->len);
}
static weir_status need(parser *p, const char *sign, const char *what) {
    return next_is(p, sign) ? advance(p) : expected(p, what);
}

/* --- nodes --- */

static weir_status new_node(const parser *p, expr_kind kind, expr_node **ret_node) {
    expr_node *node = weir_arena_alloc(p->arena, sizeof(*node));
    if (!node) return no_memory(p);
    *node = (expr_node){.kind = kind, .height = 1};
    *ret_node = node;
    return WEIR_OK;
}

static weir_status add_operand(const parser *p, expr_node *node, expr_node *operand) {
    expr_node **end = &node->first;
    while (*end) end = &(*end)->next;
    *end = operand;
    node->count++;
    if (operand->height >= node->height) node->height = operand->height + 1;
    return node->height <= EXPR_HEIGHT_MAX ? WEIR_OK : complain(p, p->next.start, "the expression is deeper than %d operators", EXPR_HEIGHT_MAX);
}

static const char *type_name(expr_type type) {
    return type == EXPR_TEXT ? "a text" : "a number";
}

static weir_status want_number(const parser *p, const expr_node *node, const char *where, const char *what) {
    if (node->type != EXPR_TEXT) return WEIR_OK;
    return complain(p, where, "found a text, expected a number for %s", what);
}

/* Two values that are compared or chosen from are of one type. */
static weir_status unite(const parser *p, expr_type *type, const expr_node *node, const char *where) {
    if (*type == EXPR_NULL) *type = node->type;
    if (node->type == EXPR_NULL || node->type == *type) return WEIR_OK;
    return complain(p, where, "found %s, expected %s as before", type_name(node->type), type_name(*type));
}

static weir_status parse_binding(parser *p, int binds, expr_node **ret_node);

/* One level deeper in the parser's own calls. */
static weir_status parse_inner(parser *p, int binds, expr_node **ret_node) {
    if (p->nesting == EXPR_NESTING_MAX) return complain(p, p->next.start, "nested deeper than %d levels", EXPR_NESTING_MAX);
    p->nesting++;
    weir_status status = parse_binding(p, binds, ret_node);
    p->nesting--;
    return status;
}

/* --- literals and names --- */

static weir_status parse_literal(parser *p, expr_node **ret_node) {
    weir_status status = new_node(p, EXPR_LITERAL, ret_node);
    if (status) return status;
    expr_node *node = *ret_node;
    const token *t = &p->next;
    node->type = t->kind == TOKEN_TEXT ? EXPR_TEXT : next_is(p, "null") ? EXPR_NULL : EXPR_NUMBER;
    node->word = t->word;
    node->value = t->kind == TOKEN_NUMBER ? t->number
                  : t->kind == TOKEN_TEXT ? weir_text_number(t->word, strlen(t->word))
                  : next_is(p, "null")    ? NAN
                                          : next_is(p, "true");
    return advance(p);
}

static weir_status parse_name(parser *p, const token *name, expr_node **ret_node) {
    bool text = false;
    const char *hint = NULL;
    int variable = p->names->find(p->names->context, name->word, &text, &hint);
    if (variable < 0) {
        if (!hint) hint = weir_conf_nearest(name->word, keywords);
        return hint ? complain(p, name->start, "there is no \"%.64s\"; did you mean \"%.64s\"?", name->word, hint)
                    : complain(p, name->start, "there is no \"%.64s\"; expected a column, a feature or a function with its parentheses", name->word);
    }
    weir_status status = new_node(p, EXPR_VARIABLE, ret_node);
    if (status) return status;
    (*ret_node)->variable = variable;
    (*ret_node)->type = text ? EXPR_TEXT : EXPR_NUMBER;
    (*ret_node)->word = name->word;
    return WEIR_OK;
}

/* --- functions --- */

static weir_status unknown_function(const parser *p, const token *name) {
    const char *all[128];
    int n = 0;
    for (const expr_function *f = expr_functions; f->doc.name && n < 127; f++) all[n++] = f->doc.name;
    all[n] = NULL;
    const char *near = weir_conf_nearest(name->word, all);
    return near ? complain(p, name->start, "there is no function \"%.64s\"; did you mean \"%s\"?", name->word, near)
                : complain(p, name->start, "there is no function \"%.64s\"; docs/operators.md lists them", name->word);
}

/* The value of a text that a function takes as it is written. */
static weir_status text_argument(const parser *p, char kind, expr_node *arg, const char *where) {
    int64_t us = 0;
    const char *word = arg->kind == EXPR_LITERAL && arg->type == EXPR_TEXT ? arg->word : NULL;
    bool ok = word && (kind == 'z'   ? expr_zone_parse(word, &arg->value)
                       : kind == 'd' ? weir_duration_parse(word, &us, NULL) == WEIR_OK
                                     : weir_time_parse(word, &us, NULL) == WEIR_OK);
    if (ok && kind != 'z') arg->value = (double)us;
    if (ok) return WEIR_OK;
    const char *what = kind == 'z'   ? "an offset from UTC such as \"-06:00\""
                       : kind == 'd' ? "a duration such as \"7d\""
                                     : "a time such as \"2018-05-15T10:00:00Z\"";
    return word ? complain(p, where, "found \"%.40s\", expected %s", word, what) : complain(p, where, "expected %s in quotes", what);
}

static weir_status check_argument(const parser *p, const expr_function *f, char kind, expr_node *arg, expr_type *type, const char *where) {
    switch (kind) {
    case 'n':
    case 'c': return want_number(p, arg, where, f->doc.signature);
    case 'a': return unite(p, type, arg, where);
    case 'x': return WEIR_OK;
    default: return text_argument(p, kind, arg, where);
    }
}

/* Behind the opening parenthesis. */
static weir_status parse_arguments(parser *p, const token *name, expr_node *node) {
    const expr_function *f = node->function;
    const char *kinds = f->args;
    char kind = 0;
    bool optional = false;
    expr_type type = EXPR_NULL;
    weir_status status = WEIR_OK;
    while (!status && !next_is(p, ")")) {
        if (*kinds == '?') kinds++, optional = true;
        if (!*kinds) return complain(p, p->next.start, "there are too many arguments for %s", f->doc.signature);
        if (*kinds != '+') kind = *kinds++;
        const char *where = p->next.start;
        expr_node *arg;
        if ((status = parse_inner(p, BIND_NOTHING, &arg)) || (status = check_argument(p, f, kind, arg, &type, where)) || (status = add_operand(p, node, arg)))
            return status;
        if (next_is(p, ")")) break;
        status = need(p, ",", "\",\" or \")\"");
        if (!status && next_is(p, ")")) return expected(p, "an argument");
    }
    if (status) return status;
    if (*kinds && *kinds != '?' && *kinds != '+' && !optional) return complain(p, name->start, "there are too few arguments; expected %s", f->doc.signature);
    node->type = strchr(f->args, 'a') ? type : EXPR_NUMBER;
    return advance(p);
}

static weir_status parse_call(parser *p, const token *name, expr_node **ret_node) {
    const expr_function *f = expr_function_find(name->word);
    if (!f) return unknown_function(p, name);
    weir_status status = new_node(p, EXPR_FUNCTION, ret_node);
    if (status || (status = advance(p))) return status;
    (*ret_node)->function = f;
    return parse_arguments(p, name, *ret_node);
}

/* --- operators --- */

static weir_status parse_prefix(parser *p, expr_op op, int binds, expr_node **ret_node) {
    weir_status status = new_node(p, EXPR_UNARY, ret_node);
    if (status || (status = advance(p))) return status;
    const char *where = p->next.start;
    expr_node *operand;
    (*ret_node)->op = op;
    if ((status = parse_inner(p, binds, &operand)) || (status = want_number(p, operand, where, op == EXPR_NEG ? "-" : "\"not\""))) return status;
    return add_operand(p, *ret_node, operand);
}

/* What a value can begin with. */
static weir_status parse_value(parser *p, expr_node **ret_node) {
    token t = p->next;
    if (t.kind == TOKEN_NUMBER || t.kind == TOKEN_TEXT || next_is(p, "null") || next_is(p, "true") || next_is(p, "false")) return parse_literal(p, ret_node);
    if (next_is(p, "-")) return parse_prefix(p, EXPR_NEG, BIND_MINUS, ret_node);
    if (next_is(p, "not")) return parse_prefix(p, EXPR_NOT, BIND_NOT, ret_node);
    if (next_is(p, "(")) {
        weir_status status = advance(p);
        if (!status) status = parse_inner(p, BIND_NOTHING, ret_node);
        return status ? status : need(p, ")", "an operator or \")\"");
    }
    if (t.kind != TOKEN_NAME || next_is(p, "or") || next_is(p, "and") || next_is(p, "in") || next_is(p, "is")) return expected(p, "a value");
    weir_status status = advance(p);
    if (status) return status;
    return next_is(p, "(") && !t.quoted ? parse_call(p, &t, ret_node) : parse_name(p, &t, ret_node);
}

/* Behind the opening parenthesis of `x in (...)`: literals of the type of x. */
static weir_status parse_members(parser *p, expr_node *node) {
    expr_type type = node->first->type;
    for (;;) {
        const char *where = p->next.start;
        bool negative = next_is(p, "-");
        weir_status status = negative ? advance(p) : WEIR_OK;
        if (status) return status;
        if (p->next.kind != TOKEN_NUMBER && (negative || p->next.kind != TOKEN_TEXT)) return expected(p, "a number or a text");
        expr_node *item = NULL;
        if ((status = parse_literal(p, &item)) || (status = unite(p, &type, item, where)) || (status = add_operand(p, node, item))) return status;
        if (negative) item->value = -item->value;
        if (next_is(p, ")")) return advance(p);
        if ((status = need(p, ",", "\",\" or \")\""))) return status;
    }
}

static weir_status parse_list(parser *p, expr_node *node, const char *where) {
    const token *t = &p->next;
    bool texts = false;
    if (t->kind != TOKEN_NAME) return expected(p, "\"(\" or the name of a list");
    if (!p->names->find_list || !p->names->find_list(p->names->context, t->word, &node->list.values, &node->list.count, &texts))
        return complain(p, t->start, "there is no list \"%.64s\"; expected one of \"lists\" of the pipeline file, or values in parentheses", t->word);
    if (node->first->type != EXPR_NULL && texts != (node->first->type == EXPR_TEXT))
        return complain(p, where, "found %s, but the list \"%.64s\" holds %s", type_name(node->first->type), t->word, texts ? "texts" : "numbers or dates");
    node->word = t->word;
    return advance(p);
}

/* x [not] in ...; x is [not] null. The first word is the next token. */
static weir_status parse_test(parser *p, expr_node *operand, const char *where, expr_node **ret_node) {
    bool is = next_is(p, "is"), negated = next_is(p, "not");
    weir_status status = new_node(p, is ? EXPR_UNARY : EXPR_MEMBER, ret_node);
    expr_node *node = *ret_node;
    if (status || (status = add_operand(p, node, operand)) || (status = advance(p))) return status;
    if (is && next_is(p, "not") && (status = advance(p), negated = true, status)) return status;
    node->negated = negated;
    if (is) {
        node->op = EXPR_IS_NULL;
        return need(p, "null", negated ? "\"null\"" : "\"null\" or \"not null\"");
    }
    if (negated && (status = need(p, "in", "\"in\""))) return status;
    if (!next_is(p, "(")) return parse_list(p, node, where);
    return (status = advance(p)) ? status : parse_members(p, node);
}

static const infix *next_infix(const parser *p) {
    for (const infix *i = infixes; i->sign; i++) {
        if (next_is(p, i->sign)) return i;
    }
    return NULL;
}

static weir_status parse_infix(parser *p, const infix *sign, expr_node *left, const char *left_at, expr_node **ret_node) {
    const char *sign_at = p->next.start;
    weir_status status = new_node(p, EXPR_BINARY, ret_node);
    if (status || (status = advance(p))) return status;
    const char *right_at = p->next.start;
    expr_node *node = *ret_node, *right;
    node->op = sign->op;
    node->function = sign->function;
    if ((status = parse_inner(p, sign->binds == BIND_POWER ? BIND_MINUS : sign->binds, &right))) return status;
    if (sign->op == EXPR_EQ || sign->op == EXPR_NE) {
        expr_type type = left->type;
        status = unite(p, &type, right, right_at);
    } else if (sign->binds == BIND_COMPARE && (left->type == EXPR_TEXT || right->type == EXPR_TEXT)) {
        status = complain(p, sign_at, "texts have no order; expected =, != or \"in\"");
    } else if (!(status = want_number(p, left, left_at, sign->sign))) {
        status = want_number(p, right, right_at, sign->sign);
    }
    if (status || (status = add_operand(p, node, left))) return status;
    return add_operand(p, node, right);
}

/* A value and every operator behind it that binds tighter than `binds`. */
static weir_status parse_binding(parser *p, int binds, expr_node **ret_node) {
    const char *left_at = p->next.start;
    expr_node *left;
    bool compared = false;
    weir_status status = parse_value(p, &left);
    while (!status) {
        const infix *sign = next_infix(p);
        bool test = next_is(p, "in") || next_is(p, "is") || next_is(p, "not");
        int next_binds = sign ? sign->binds : test ? BIND_COMPARE : BIND_NOTHING;
        if (next_binds <= binds) break;
        if (next_binds == BIND_COMPARE && compared)
            return complain(p, p->next.start, "comparisons do not chain; expected \"and\" between them, or parentheses");
        compared = next_binds == BIND_COMPARE;
        expr_node *operand = left;
        status = sign ? parse_infix(p, sign, operand, left_at, &left) : parse_test(p, operand, left_at, &left);
    }
    *ret_node = left;
    return status;
}

weir_status expr_parse(const char *text, const weir_expr_names *names, weir_arena *arena, expr_node **ret_root, weir_err *err) {
    parser p = {.text = text, .at = text, .names = names, .arena = arena, .err = err};
    if (strlen(text) > EXPR_TEXT_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "the expression is longer than %d bytes", EXPR_TEXT_MAX);
    weir_status status = advance(&p);
    if (!status) status = parse_binding(&p, BIND_NOTHING, ret_root);
    if (status || p.next.kind == TOKEN_END) return status;
    return expected(&p, "an operator or the end");
}

/* --- tree to canonical text --- */

static int binding_of(const expr_node *node) {
    switch (node->kind) {
    case EXPR_UNARY: return node->op == EXPR_NEG ? BIND_MINUS : node->op == EXPR_NOT ? BIND_NOT : BIND_COMPARE;
    case EXPR_MEMBER: return BIND_COMPARE;
    case EXPR_BINARY: break;
    default: return BIND_ATOM;
    }
    const infix *i = infixes;
    while (i->op != node->op || i->function != node->function) i++;
    return i->binds;
}

static bool print_quoted(const char *word, char quote, weir_buf *out) {
    bool ok = weir_buf_append(out, &quote, 1);
    for (; ok && *word; word++) ok = weir_buf_append(out, word, 1) && (*word != quote || weir_buf_append(out, word, 1));
    return ok && weir_buf_append(out, &quote, 1);
}

/* The shortest digits that are read back as the same number. */
static bool print_number(double value, weir_buf *out) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return weir_buf_append(out, text, strlen(text));
}

static bool print_name(const char *name, weir_buf *out) {
    bool plain = begins_name(*name);
    for (int i = 0; keywords[i]; i++) plain = plain && strcmp(name, keywords[i]) != 0;
    for (const char *c = name; *c; c++) plain = plain && continues_name(*c);
    return plain ? weir_buf_append(out, name, strlen(name)) : print_quoted(name, '`', out);
}

static bool print_literal(const expr_node *node, weir_buf *out) {
    if (node->type == EXPR_TEXT) return print_quoted(node->word, '"', out);
    return node->word ? weir_buf_append(out, node->word, strlen(node->word)) : print_number(node->value, out);
}

/* With parentheses where it binds less than is asked for. */
static bool print_within(const expr_node *node, int binds, weir_buf *out) {
    bool closed = binding_of(node) < binds;
    return (!closed || weir_buf_append(out, "(", 1)) && expr_print(node, out) && (!closed || weir_buf_append(out, ")", 1));
}

static bool print_items(const expr_node *first, weir_buf *out) {
    bool ok = weir_buf_append(out, "(", 1);
    for (const expr_node *item = first; ok && item; item = item->next) ok = expr_print(item, out) && (!item->next || weir_buf_append(out, ", ", 2));
    return ok && weir_buf_append(out, ")", 1);
}

static bool print_unary(const expr_node *node, weir_buf *out) {
    if (node->op == EXPR_NEG) return weir_buf_append(out, "-", 1) && print_within(node->first, BIND_MINUS, out);
    if (node->op == EXPR_NOT) return weir_buf_append(out, "not ", 4) && print_within(node->first, BIND_NOT, out);
    return print_within(node->first, BIND_COMPARE + 1, out) && weir_buf_printf(out, node->negated ? " is not null" : " is null");
}

static bool print_binary(const expr_node *node, weir_buf *out) {
    const infix *i = infixes;
    while (i->op != node->op || i->function != node->function) i++;
    bool from_right = i->binds == BIND_POWER, alone = i->binds == BIND_COMPARE;
    return print_within(node->first, i->binds + (from_right || alone), out) && weir_buf_printf(out, " %s ", i->sign) &&
           print_within(node->first->next, from_right ? i->binds : i->binds + 1, out);
}

bool expr_print(const expr_node *node, weir_buf *out) {
    switch (node->kind) {
    case EXPR_LITERAL: return print_literal(node, out);
    case EXPR_VARIABLE: return print_name(node->word, out);
    case EXPR_UNARY: return print_unary(node, out);
    case EXPR_BINARY: return print_binary(node, out);
    case EXPR_FUNCTION: return weir_buf_append(out, node->function->doc.name, strlen(node->function->doc.name)) && print_items(node->first, out);
    case EXPR_MEMBER: break;
    }
    return print_within(node->first, BIND_COMPARE + 1, out) && weir_buf_printf(out, node->negated ? " not in " : " in ") &&
           (node->word ? print_name(node->word, out) : print_items(node->first->next, out));
}
