/* Scores of rows of CSV by a compiled model, in a program of one's own.
 *
 *   weir models export fraud fraud-xgboost --format score --out fraud.score
 *   cc -O2 -Imodels/scorer -o score docs/examples/embed/score.c -Lbuild -lweirscore
 *   ./score fraud.score < rows.csv
 *
 * The first line of the input names its columns, in any order; the model's must be among them. An empty field is a missing value. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weirscore.h"

enum { LINE_MAX_BYTES = 1 << 16, FIELDS_MAX = 4096, OUTPUTS_MAX = 1024 };

/* Cuts a line at its commas. */
static int cut(char *line, char *fields[FIELDS_MAX]) {
    int count = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *field; count < FIELDS_MAX && (field = strsep(&line, ","));) fields[count++] = field;
    return count;
}

/* Where each input of the model stands in a line. */
static int find_inputs(const weirscore *model, char *header, int *places) {
    char *names[FIELDS_MAX];
    int count = cut(header, names);
    for (size_t i = 0; i < weirscore_input_count(model); i++) {
        for (places[i] = 0; places[i] < count && strcmp(names[places[i]], weirscore_input_name(model, i)) != 0;) places[i]++;
        if (places[i] < count) continue;
        fprintf(stderr, "there is no column %s\n", weirscore_input_name(model, i));
        return 0;
    }
    return 1;
}

static int score_lines(const weirscore *model, const int *places, char *line) {
    double row[FIELDS_MAX], scores[OUTPUTS_MAX];
    char *fields[FIELDS_MAX];
    while (fgets(line, LINE_MAX_BYTES, stdin)) {
        int count = cut(line, fields);
        for (size_t i = 0; i < weirscore_input_count(model); i++) row[i] = places[i] < count && *fields[places[i]] ? strtod(fields[places[i]], NULL) : NAN;
        if (weirscore_score(model, row, 1, scores)) {
            fprintf(stderr, "a value or score is not finite\n");
            return 1;
        }
        for (size_t k = 0; k < weirscore_output_count(model); k++) printf("%s%.17g", k ? "," : "", scores[k]);
        putchar('\n');
    }
    return 0;
}

int main(int argc, char **argv) {
    static char line[LINE_MAX_BYTES];
    char why[WEIRSCORE_MESSAGE_MAX];
    int places[FIELDS_MAX];
    weirscore *model;
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.score < ROWS.csv\n", argv[0]);
        return 2;
    }
    if (weirscore_open(argv[1], &model, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    if (weirscore_input_count(model) > FIELDS_MAX || weirscore_output_count(model) > OUTPUTS_MAX || !fgets(line, sizeof line, stdin) ||
        !find_inputs(model, line, places)) {
        weirscore_close(model);
        return 1;
    }
    for (size_t k = 0; k < weirscore_output_count(model); k++) printf("%s%s", k ? "," : "", weirscore_output_name(model, k));
    putchar('\n');
    int failed = score_lines(model, places, line);
    weirscore_close(model);
    return failed;
}
