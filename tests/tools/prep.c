/* Preprocessing chains over files, for tests that compare them with an independent implementation. Arrays are raw little-endian files; "-" stands for none.
 *
 *   fit SPEC COLUMNS TASK values times entities labels json keep     json (the fitted chain) and keep (a byte a row) are written
 *   apply json values out                                            out is written, a row at a time; names of columns on stdout
 *   batch json values times entities out                             likewise, all rows together
 *
 * SPEC: JSON of the chain. COLUMNS: [{"name": "temp", "kind": "number"}, {"name": "sky", "kind": "category", "texts": ["Rain"]}]. TASK: none, binary or real.
 * values, labels, out float64; times int64; entities uint32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/prep.h"
#include "models/prep_importance.h"

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static void *read_array(const char *path, size_t size, int64_t *ret_count) {
    if (!strcmp(path, "-")) return NULL;
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail(path);
    long bytes = ftell(file);
    rewind(file);
    char *array = calloc((size_t)bytes + 1, 1);
    if (!array || fread(array, 1, (size_t)bytes, file) != (size_t)bytes) fail(path);
    fclose(file);
    if (ret_count) *ret_count = bytes / (long)size;
    return array;
}

static void write_file(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) fail(path);
}

static const char *const *read_texts(const cJSON *texts) {
    if (!texts) return NULL;
    int count = cJSON_GetArraySize(texts);
    const char **list = calloc((size_t)count + 1, sizeof *list);
    for (int i = 0; list && i < count; i++) list[i] = cJSON_GetStringValue(cJSON_GetArrayItem(texts, i));
    return list;
}

static weir_prep_column *read_columns(const cJSON *json, int count) {
    weir_prep_column *columns = calloc((size_t)count + 1, sizeof *columns);
    for (int c = 0; columns && c < count; c++) {
        const cJSON *item = cJSON_GetArrayItem(json, c);
        columns[c].name = cJSON_GetStringValue(cJSON_GetObjectItem(item, "name"));
        columns[c].kind = strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "kind")), "category") ? WEIR_PREP_NUMBER : WEIR_PREP_CATEGORY;
        columns[c].texts = read_texts(cJSON_GetObjectItem(item, "texts"));
    }
    return columns;
}

static void fit(char **args) {
    cJSON *spec = cJSON_Parse(args[0]), *json = cJSON_Parse(args[1]);
    int count = cJSON_GetArraySize(json);
    weir_prep_column *columns = read_columns(json, count);
    int64_t cells;
    double *values = read_array(args[3], sizeof *values, &cells), *label = read_array(args[6], sizeof *label, NULL);
    int64_t *times = read_array(args[4], sizeof *times, NULL);
    uint32_t *entities = read_array(args[5], sizeof *entities, NULL);
    weir_prep_rows rows = {.row_count = cells / count, .values = values, .time_us = times, .entity = entities, .label = label};
    rows.task = !strcmp(args[2], "binary") ? WEIR_PREP_BINARY : !strcmp(args[2], "real") ? WEIR_PREP_REAL : WEIR_PREP_NO_TASK;
    const weir_matrix whole = {.task = rows.task == WEIR_PREP_BINARY ? WEIR_TASK_BINARY : WEIR_TASK_REGRESSION};
    rows.importance = weir_model_column_importance;
    rows.importance_context = (void *)&whole;
    bool *keep = calloc((size_t)rows.row_count + 1, sizeof *keep);
    weir_prep *prep = NULL;
    weir_buf out = {0};
    weir_err err;
    must(weir_prep_fit(spec, "$", columns, count, &rows, &prep, keep, &err), &err);
    must(weir_prep_to_json(prep, &out, &err), &err);
    write_file(args[7], out.data, out.len);
    write_file(args[8], keep, (size_t)rows.row_count);
    weir_buf_done(&out);
    weir_prep_free(prep);
    free(keep);
    free(entities);
    free(times);
    free(label);
    free(values);
    for (int c = 0; c < count; c++) free((void *)columns[c].texts);
    free(columns);
    cJSON_Delete(json);
    cJSON_Delete(spec);
}

static weir_prep *read_prep(const char *path) {
    char *text = read_array(path, 1, NULL);
    cJSON *json = cJSON_Parse(text);
    weir_prep *prep = NULL;
    weir_err err;
    must(weir_prep_from_json(json, &prep, &err), &err);
    cJSON_Delete(json);
    free(text);
    return prep;
}

static void print_names(const weir_prep *prep) {
    for (int o = 0; o < weir_prep_output_count(prep); o++) printf("%s\n", weir_prep_output_names(prep)[o]);
}

static void apply(char **args) {
    weir_prep *prep = read_prep(args[0]);
    int64_t cells, inputs = weir_prep_input_count(prep), outputs = weir_prep_output_count(prep);
    double *values = read_array(args[1], sizeof *values, &cells), *out = calloc((size_t)(cells / inputs * outputs) + 1, sizeof *out);
    for (int64_t r = 0; r < cells / inputs; r++) weir_prep_apply(prep, values + r * inputs, 1, out + r * outputs);
    write_file(args[2], out, (size_t)(cells / inputs * outputs) * sizeof *out);
    print_names(prep);
    free(out);
    free(values);
    weir_prep_free(prep);
}

static void batch(char **args) {
    weir_prep *prep = read_prep(args[0]);
    int64_t cells, inputs = weir_prep_input_count(prep), outputs = weir_prep_output_count(prep);
    double *values = read_array(args[1], sizeof *values, &cells), *out = calloc((size_t)(cells / inputs * outputs) + 1, sizeof *out);
    int64_t *times = read_array(args[2], sizeof *times, NULL);
    uint32_t *entities = read_array(args[3], sizeof *entities, NULL);
    weir_err err;
    must(weir_prep_apply_batch(prep, &(weir_prep_rows){.row_count = cells / inputs, .values = values, .time_us = times, .entity = entities}, out, &err), &err);
    write_file(args[4], out, (size_t)(cells / inputs * outputs) * sizeof *out);
    print_names(prep);
    free(entities);
    free(times);
    free(out);
    free(values);
    weir_prep_free(prep);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int args;
        void (*run)(char **args);
    } commands[] = {{"fit", 9, fit}, {"apply", 3, apply}, {"batch", 5, batch}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (argc < 2 || strcmp(argv[1], commands[i].name) != 0) continue;
        if (argc != 2 + commands[i].args) fail("wrong number of arguments");
        commands[i].run(argv + 2);
        return 0;
    }
    fail("expected fit, apply or batch");
}
