/* Expressions over lines on stdin, for tests that compare them with an independent implementation. Values are separated by white space; nan is null.
 *
 *   columns NAME…            replaces the columns; a name that begins with text_ is a text column. Forgets the rows
 *   row VALUE…               one for each column; of a text column its text, without white space, or nan
 *   list NAME VALUE…         numbers, ascending
 *   expr TEXT                one line on stdout: a value for each row, or "error: …" */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/expr.h"
#include "features/operator.h"

enum { LINE_BYTES_MAX = 1 << 16, COLUMNS_MAX = 32, ROWS_MAX = 4096, LISTS_MAX = 8, LIST_MAX = 64 };

static char names[COLUMNS_MAX][64], list_names[LISTS_MAX][64];
static int column_count, row_count, list_count, list_counts[LISTS_MAX];
static double data[COLUMNS_MAX][ROWS_MAX], lists[LISTS_MAX][LIST_MAX];

static bool is_text(int column) {
    return !strncmp(names[column], "text_", 5);
}

static int find(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    (void)context;
    *ret_hint = NULL;
    for (int i = 0; i < column_count; i++) {
        *ret_text = is_text(i);
        if (!strcmp(names[i], name)) return i;
    }
    return -1;
}

static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    (void)context;
    *ret_texts = false;
    for (int i = 0; i < list_count; i++) {
        *ret_values = lists[i];
        *ret_count = list_counts[i];
        if (!strcmp(list_names[i], name)) return true;
    }
    return false;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "expr: %s\n", what);
    exit(1);
}

static void read_columns(char *rest) {
    column_count = row_count = 0;
    for (char *save, *word = strtok_r(rest, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        if (column_count == COLUMNS_MAX) fail("too many columns");
        snprintf(names[column_count++], sizeof(names[0]), "%s", word);
    }
}

static void read_row(char *rest) {
    int i = 0;
    if (row_count == ROWS_MAX) fail("too many rows");
    for (char *save, *word = strtok_r(rest, " \n", &save); word; word = strtok_r(NULL, " \n", &save), i++) {
        if (i == column_count) fail("a row has too many values");
        data[i][row_count] = is_text(i) && strcmp(word, "nan") ? weir_text_number(word, strlen(word)) : strtod(word, NULL);
    }
    if (i < column_count) fail("a row has too few values");
    row_count++;
}

static void read_list(char *rest) {
    char *save, *word = strtok_r(rest, " \n", &save);
    if (!word || list_count == LISTS_MAX) fail("a list without a name, or too many");
    snprintf(list_names[list_count], sizeof(list_names[0]), "%s", word);
    int *count = &list_counts[list_count];
    for (*count = 0; (word = strtok_r(NULL, " \n", &save)) && *count < LIST_MAX; ++*count) lists[list_count][*count] = strtod(word, NULL);
    list_count++;
}

static void evaluate(char *text) {
    static double out[ROWS_MAX];
    const weir_expr_names scope = {.find = find, .find_list = find_list};
    const double *columns[COLUMNS_MAX];
    weir_expr *expr;
    weir_err err = {0};
    text[strcspn(text, "\n")] = 0;
    if (weir_expr_new(text, &scope, &expr, &err)) {
        printf("error: %s\n", err.message);
        return;
    }
    for (int i = 0; i < column_count; i++) columns[i] = data[i];
    weir_expr_eval_batch(expr, columns, row_count, out);
    for (int i = 0; i < row_count; i++) printf("%s%.17g", i ? " " : "", out[i]);
    printf("\n");
    weir_expr_free(expr);
}

int main(void) {
    static char line[LINE_BYTES_MAX];
    static const struct {
        const char *word;
        void (*handle)(char *rest);
    } commands[] = {{"columns ", read_columns}, {"row ", read_row}, {"list ", read_list}, {"expr ", evaluate}};
    while (fgets(line, sizeof(line), stdin)) {
        size_t i = 0;
        while (i < 4 && strncmp(line, commands[i].word, strlen(commands[i].word))) i++;
        if (i == 4) fail("a line is not understood");
        commands[i].handle(line + strlen(commands[i].word));
    }
    return 0;
}
