/* The models module over files, for tests that compare it with an independent implementation. Arrays are raw little-endian files: float64 unless said otherwise.
 *
 *   fit ALGORITHM PARAMS SEED THREADS COLUMNS values labels artifact      artifact is written
 *   together WORKERS CHECKPOINT_ROUNDS …as fit_task                           by so many processes of WEIR_BINARY
 *   fit_task TASK CLASSES weights ALGORITHM …as fit                       of any task; weights may be "-": none
 *   predict artifact values scores                                        scores is written, as many a row as the model gives
 *   evaluate THRESHOLD CARD_K ENTITIES scores labels times entities       metrics as JSON on stdout; times int64, entities uint32
 *   exclude TRAIN_FROM TRAIN_TO DELAY_DAYS TEST_FROM TEST_TO ENTITIES times labels entities keep     keep is written, a byte a row
 *   threshold scores labels                                               the best F1 threshold on stdout */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/distributed.h"
#include "models/evaluate.h"
#include "models/model.h"

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static void *read_array(const char *path, size_t size, int64_t *ret_count) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail(path);
    long bytes = ftell(file);
    rewind(file);
    void *array = malloc((size_t)bytes + 1);
    if (!array || fread(array, 1, (size_t)bytes, file) != (size_t)bytes) fail(path);
    fclose(file);
    *ret_count = bytes / (long)size;
    return array;
}

static void write_file(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) fail(path);
}

/* template: the task, the number of classes and the weights. */
static void fit_matrix(weir_matrix template, char **args) {
    int columns = atoi(args[4]);
    int64_t values_count, rows;
    double *values = read_array(args[5], sizeof *values, &values_count), *labels = read_array(args[6], sizeof *labels, &rows);
    if (columns < 1 || values_count != rows * columns) fail("values and labels do not fit together");
    char(*names)[16] = calloc((size_t)columns, sizeof *names);
    const char **pointers = calloc((size_t)columns, sizeof *pointers);
    cJSON *params = cJSON_Parse(args[1]);
    if (!names || !pointers || !params) fail("params");
    for (int c = 0; c < columns; c++) {
        snprintf(names[c], sizeof names[c], "c%d", c);
        pointers[c] = names[c];
    }
    weir_matrix train = template;
    train.row_count = rows;
    train.column_count = columns;
    train.values = values;
    train.label = labels;
    train.column_names = pointers;
    weir_buf artifact = {0};
    weir_err err;
    must(weir_model_fit(args[0], params, NULL, &train, "", strtoull(args[2], NULL, 10), atoi(args[3]), &artifact, &err), &err);
    write_file(args[7], artifact.data, artifact.len);
    weir_buf_done(&artifact);
    cJSON_Delete(params);
    free(pointers);
    free(names);
    free(labels);
    free(values);
}

static void fit(char **args) {
    fit_matrix((weir_matrix){0}, args);
}

static void fit_task(char **args) {
    int64_t count = 0;
    double *weights = strcmp(args[2], "-") != 0 ? read_array(args[2], sizeof *weights, &count) : NULL;
    weir_matrix template = {.weight = weights, .class_count = atoi(args[1])};
    if (!weir_task_find(args[0], &template.task)) fail("no such task");
    fit_matrix(template, args + 3);
    free(weights);
}

static void together(char **args) {
    const weir_distributed how = {.workers = atoi(args[0]), .checkpoint_rounds = atoi(args[1]), .program = getenv("WEIR_BINARY")};
    weir_distributed_set(&how);
    fit_task(args + 2);
    weir_distributed_set(NULL);
}

static void predict(char **args) {
    int64_t count;
    weir_model *model;
    weir_err err;
    must(weir_model_load_file(args[0], &model, &err), &err);
    double *values = read_array(args[1], sizeof *values, &count);
    int64_t rows = count / weir_model_column_count(model);
    size_t bytes = (size_t)rows * (size_t)weir_model_output_count(model) * sizeof(double);
    double *scores = malloc(bytes + 1);
    if (!scores) fail("memory");
    must(weir_model_predict(model, values, rows, scores, &err), &err);
    write_file(args[2], scores, bytes);
    free(scores);
    free(values);
    weir_model_free(model);
}

/* NaN is no JSON; Python reads this spelling of it. */
static void print_number(const char *name, double value, const char *end) {
    if (isnan(value))
        printf("\"%s\": NaN%s", name, end);
    else
        printf("\"%s\": %.17g%s", name, value, end);
}

static void evaluate(char **args) {
    int64_t rows, labels_count, times_count, entities_count;
    double *scores = read_array(args[3], sizeof *scores, &rows), *labels = read_array(args[4], sizeof *labels, &labels_count);
    int64_t *times = read_array(args[5], sizeof *times, &times_count);
    uint32_t *entities = read_array(args[6], sizeof *entities, &entities_count);
    if (labels_count != rows || times_count != rows || entities_count != rows) fail("the arrays differ in length");
    weir_eval_input input = {.row_count = rows,
                             .score = scores,
                             .label = labels,
                             .event_time_us = times,
                             .entity = entities,
                             .entity_count = (uint32_t)atol(args[2]),
                             .threshold = atof(args[0]),
                             .card_k = atoi(args[1])};
    weir_metrics_binary m;
    weir_err err;
    must(weir_evaluate_binary(&input, &m, &err), &err);
    printf("{\"rows\": %" PRId64 ", \"positives\": %" PRId64 ", ", m.rows, m.positives);
    print_number("auc_roc", m.auc_roc, ", ");
    print_number("average_precision", m.average_precision, ", ");
    print_number("f1", m.f1, ", ");
    print_number("precision", m.precision, ", ");
    print_number("recall", m.recall, ", ");
    print_number("accuracy", m.accuracy, ", ");
    print_number("log_loss", m.log_loss, ", ");
    print_number("brier", m.brier, ", ");
    print_number("card_precision", m.card_precision, "}\n");
    free(entities);
    free(times);
    free(labels);
    free(scores);
}

static void exclude(char **args) {
    int64_t rows, labels_count, entities_count;
    int64_t *times = read_array(args[6], sizeof *times, &rows);
    double *labels = read_array(args[7], sizeof *labels, &labels_count);
    uint32_t *entities = read_array(args[8], sizeof *entities, &entities_count);
    if (labels_count != rows || entities_count != rows) fail("the arrays differ in length");
    bool *keep = malloc((size_t)rows + 1);
    if (!keep) fail("memory");
    weir_err err;
    must(weir_exclude_known_positives(times, labels, entities, rows, (uint32_t)atol(args[5]), atoll(args[0]), atoll(args[1]), atoi(args[2]), atoll(args[3]),
                                      atoll(args[4]), keep, &err),
         &err);
    write_file(args[9], keep, (size_t)rows);
    free(keep);
    free(entities);
    free(labels);
    free(times);
}

static void threshold(char **args) {
    int64_t rows, labels_count;
    double *scores = read_array(args[0], sizeof *scores, &rows), *labels = read_array(args[1], sizeof *labels, &labels_count), best;
    if (labels_count != rows) fail("the arrays differ in length");
    weir_err err;
    must(weir_best_f1_threshold(scores, labels, rows, &best, &err), &err);
    printf("%.17g\n", best);
    free(labels);
    free(scores);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int args;
        void (*run)(char **args);
    } commands[] = {{"fit", 8, fit},           {"fit_task", 11, fit_task}, {"together", 13, together}, {"predict", 3, predict},
                    {"evaluate", 7, evaluate}, {"exclude", 10, exclude},   {"threshold", 2, threshold}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (argc < 2 || strcmp(argv[1], commands[i].name) != 0) continue;
        if (argc != 2 + commands[i].args) fail("wrong number of arguments");
        commands[i].run(argv + 2);
        return 0;
    }
    fail("expected fit, fit_task, together, predict, evaluate, exclude or threshold");
}
