/* Any text as an expression: refused with a message, or one that can be evaluated, whose canonical text means the same, and whose blocks have the bits of single values. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "features/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARIABLES = 26, ROWS = 130 };

/* a to z; those from w on are texts. */
static int find(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    (void)context;
    *ret_hint = "a";
    *ret_text = *name >= 'w';
    return *name >= 'a' && *name <= 'z' && !name[1] ? *name - 'a' : -1;
}

static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    static const double values[] = {-1, 0, 2.5, 15341};
    (void)context;
    *ret_values = values;
    *ret_count = 4;
    *ret_texts = *name == 'w';
    return *name == 'l' || *name == 'w';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const double special[] = {0, 1, -1, 0.5, 1e300, 1.5e15, -3.25};
    static double values[VARIABLES][ROWS], out[ROWS];
    const weir_expr_names names = {.find = find, .find_list = find_list};
    const double *columns[VARIABLES];
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    for (int v = 0; v < VARIABLES; v++) {
        columns[v] = values[v];
        for (int i = 0; i < ROWS; i++) values[v][i] = (v + i) % 8 == 7 ? NAN : special[(v + i) % 8];
    }
    weir_expr *expr = NULL, *again = NULL;
    weir_err err = {0};
    if (weir_expr_new(text, &names, &expr, &err)) {
        if (!err.message[0] || expr) abort();
    } else {
        /* Spaces and parentheses of the canonical text may make it longer than an expression may be. */
        if (!weir_expr_new(weir_expr_text(expr), &names, &again, &err) && strcmp(weir_expr_text(expr), weir_expr_text(again))) abort();
        if (!again && size < 2000) abort();
        weir_expr_eval_batch(expr, columns, ROWS, out);
        for (int i = 0; i < ROWS; i++) {
            double row[VARIABLES];
            for (int v = 0; v < VARIABLES; v++) row[v] = values[v][i];
            double one = weir_expr_eval(expr, row), canonical = again ? weir_expr_eval(again, row) : one;
            if (memcmp(&one, &out[i], sizeof(one)) || memcmp(&one, &canonical, sizeof(one))) abort();
        }
        weir_expr_free(again);
        weir_expr_free(expr);
    }
    free(text);
    return 0;
}
