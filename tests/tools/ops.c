/* Feature operators over lines on stdin, for tests that compare them with an independent implementation. Values are separated by white space; nan is null.
 *
 *   records COUNT INPUTS                       followed by COUNT lines "TIME_US VALUE…", oldest first; replaces the records before
 *   OP OF WINDOW T_US [PARAM=VALUE…]           one line on stdout: eval, fold and merge, each a number or - where the operator has none; "error: …" when the
 *                                              operator refuses its parameters
 *
 * OF: the inputs' numbers, comma-separated, or - for none. WINDOW: all, last:N, sliding:US, tumbling:US, hopping:SIZE_US:EVERY_US, to_date:US, session:GAP_US.
 * A parameter's value: a number; of a duration its µs; of a choice its name; of a text its number. Only records at or before T_US are seen.
 * merge: the window's records in three tiles, folded each on its own, then merged from the oldest to the newest. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"

enum { LINE_MAX_BYTES = 4096, TILES = 3 };

typedef struct records {
    int count, inputs;
    int64_t *time;
    double *in[WEIR_INPUTS_MAX];
    double *scratch;
} records;

static _Noreturn void fail(const char *what, const char *found) {
    fprintf(stderr, "ops: %s: %s\n", what, found);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *bytes = calloc(count ? count : 1, size);
    if (!bytes) fail("no memory", "");
    return bytes;
}

static void read_records(records *r, const char *line) {
    int count, inputs;
    if (sscanf(line, "records %d %d", &count, &inputs) != 2 || count < 0 || inputs < 0 || inputs > WEIR_INPUTS_MAX) fail("not understood", line);
    free(r->time);
    free(r->scratch);
    for (int i = 0; i < WEIR_INPUTS_MAX; i++) free(r->in[i]);
    *r = (records){count, inputs, allocate((size_t)count, sizeof(int64_t)), {NULL}, allocate(2 * (size_t)count, sizeof(double))};
    for (int i = 0; i < inputs; i++) r->in[i] = allocate((size_t)count, sizeof(double));
    for (int k = 0; k < count; k++) {
        if (scanf("%" SCNd64, &r->time[k]) != 1) fail("a record is missing", line);
        for (int i = 0; i < inputs; i++)
            if (scanf("%lf", &r->in[i][k]) != 1) fail("a value is missing", line);
    }
}

/** Index of the first record after t (or at it, too). */
static int first_after(const records *r, int64_t t, bool at) {
    int k = 0;
    while (k < r->count && (r->time[k] < t || (!at && r->time[k] == t))) k++;
    return k;
}

static int64_t floor_to(int64_t t, int64_t step) {
    int64_t over = t % step;
    return t - (over < 0 ? over + step : over);
}

/** The window's records as [*ret_first, + count). */
static weir_window window_at(const records *r, const char *spec, int64_t t, int *ret_first) {
    int64_t a = 0, b = 0;
    int from = 0, to = first_after(r, t, false);
    weir_window w = {.scratch = r->scratch};
    bool by_time = true, closed = false;
    if (sscanf(spec, "sliding:%" SCNd64, &a) == 1) {
        w.start_us = t - a;
        w.end_us = t;
    } else if (sscanf(spec, "tumbling:%" SCNd64, &a) == 1) {
        w.end_us = floor_to(t, a);
        w.start_us = w.end_us - a;
        closed = true;
    } else if (sscanf(spec, "hopping:%" SCNd64 ":%" SCNd64, &a, &b) == 2) {
        w.end_us = floor_to(t, b);
        w.start_us = w.end_us - a;
        closed = true;
    } else if (sscanf(spec, "to_date:%" SCNd64, &a) == 1) {
        w.start_us = floor_to(t, a);
        w.end_us = t;
    } else {
        by_time = false;
        if (sscanf(spec, "last:%" SCNd64, &a) == 1)
            from = to > a ? to - (int)a : 0;
        else if (sscanf(spec, "session:%" SCNd64, &a) == 1)
            for (from = to ? to - 1 : 0; from > 0 && r->time[from] - r->time[from - 1] <= a;) from--;
        else if (strcmp(spec, "all") != 0)
            fail("no such window", spec);
    }
    if (by_time) {
        from = first_after(r, w.start_us, closed || !strncmp(spec, "to_date", 7));
        if (closed) to = first_after(r, w.end_us, true);
    } else if (to > from) {
        w.start_us = r->time[from];
        w.end_us = r->time[to - 1];
    }
    w.count = to - from;
    w.time_us = r->time + from;
    *ret_first = from;
    return w;
}

static void set_param(const weir_operator *op, weir_params *params, char *text) {
    char *value = strchr(text, '=');
    if (!value) fail("not PARAM=VALUE", text);
    *value++ = '\0';
    for (int i = 0; op->params && op->params[i].name; i++) {
        const weir_param_def *def = &op->params[i];
        if (strcmp(def->name, text) != 0) continue;
        params->given[i] = true;
        if (def->type == WEIR_PARAM_CHOICE) {
            int choice = 0;
            while (def->choices[choice] && strcmp(def->choices[choice], value) != 0) choice++;
            if (!def->choices[choice]) fail("no such choice", value);
            params->value[i] = choice;
        } else {
            char *end;
            params->value[i] = strtod(value, &end);
            if (end == value || *end) fail("not a number", value);
            if (def->type != WEIR_PARAM_TEXT && !(params->value[i] >= def->min && params->value[i] <= def->max)) fail("out of range", text);
        }
        return;
    }
    fail("no such parameter", text);
}

static void *folded(const weir_operator *op, const weir_params *params, const weir_window *w, int from, int to) {
    double in[WEIR_INPUTS_MAX] = {0};
    void *acc = malloc(op->acc_size(params));
    if (!acc) fail("no memory", op->name);
    op->init(acc, params);
    for (int k = from; k < to; k++) {
        for (int i = 0; i < WEIR_INPUTS_MAX; i++) in[i] = w->in[i] ? w->in[i][k] : NAN;
        op->add(acc, w->time_us[k], w->in[0] ? in : NULL, params);
    }
    return acc;
}

static void print_value(const char *separator, bool there, double value) {
    if (there)
        printf("%s%.17g", separator, value);
    else
        printf("%s-", separator);
}

static void evaluate(const weir_operator *op, const weir_params *params, const weir_window *w, int64_t t) {
    bool folds = op->acc_size != NULL && op->acc_size(params) > 0;
    print_value("", op->eval != NULL, op->eval ? op->eval(w, params) : NAN);
    void *acc = folds ? folded(op, params, w, 0, w->count) : NULL;
    print_value(" ", folds, folds ? op->value(acc, t, params) : NAN);
    free(acc);
    bool merges = folds && op->merge != NULL;
    acc = merges ? folded(op, params, w, 0, w->count / TILES) : NULL;
    for (int tile = 1; merges && tile < TILES; tile++) {
        void *later = folded(op, params, w, w->count * tile / TILES, w->count * (tile + 1) / TILES);
        op->merge(acc, later, params);
        free(later);
    }
    print_value(" ", merges, merges ? op->value(acc, t, params) : NAN);
    free(acc);
    putchar('\n');
}

static void run(const records *r, char *line) {
    static const char space[] = " \t\r\n";
    char *rest = NULL;
    const char *name = strtok_r(line, space, &rest);
    char *of = strtok_r(NULL, space, &rest);
    const char *spec = strtok_r(NULL, space, &rest), *time = strtok_r(NULL, space, &rest);
    if (!time) fail("not OP OF WINDOW T_US", name);
    const weir_operator *op = weir_operator_find(name);
    if (!op) fail("no such operator", name);
    weir_params params = {0};
    for (int i = 0; op->params && op->params[i].name; i++) params.value[i] = op->params[i].fallback;
    for (char *word; (word = strtok_r(NULL, space, &rest));) set_param(op, &params, word);
    for (int i = 0; op->params && op->params[i].name; i++)
        if (op->params[i].required && !params.given[i]) fail("a parameter is missing", op->params[i].name);
    const char *wrong = op->prepare ? op->prepare(&params) : NULL;
    if (wrong) {
        printf("error: %s\n", wrong);
        return;
    }
    int64_t t = strtoll(time, NULL, 10);
    int first, inputs = 0;
    weir_window w = window_at(r, spec, t, &first);
    for (char *word = strtok_r(of, ",", &rest); word && strcmp(word, "-") != 0; word = strtok_r(NULL, ",", &rest)) {
        int column = atoi(word);
        if (inputs == op->inputs_max || column < 0 || column >= r->inputs) fail("no such input", word);
        w.in[inputs++] = r->in[column] + first;
    }
    if (inputs < op->inputs_min) fail("inputs are missing", name);
    evaluate(op, &params, &w, t);
}

int main(void) {
    records r = {0};
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof(line), stdin)) {
        if (line[strspn(line, " \t\r\n")] == '\0') continue;
        if (!strncmp(line, "records ", 8))
            read_records(&r, line);
        else
            run(&r, line);
    }
    if (ferror(stdin)) fail("stdin cannot be read", "");
    free(r.time);
    free(r.scratch);
    for (int i = 0; i < WEIR_INPUTS_MAX; i++) free(r.in[i]);
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
