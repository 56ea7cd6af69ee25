/* Exports and explanations over files, for tests that compare them with other programs. Arrays are raw little-endian files of float64.
 *
 *   fit SPEC values labels artifact      SPEC: a JSON file {"algorithm", "params", "preprocessing" or null, "task", "classes", "columns": [{"name", "kind": "number" | "category"}]}
 *   export artifact FORMAT file
 *   explain artifact values out          contributions [rows][outputs][columns + 1]
 *   importance artifact out
 *   import file COLUMNS artifact         what XGBoost or LightGBM saved, past the gate; COLUMNS: a JSON array, or null
 *   combine KIND WEIGHTS artifact member…        a model of several; KIND: average, weighted, stacking (the last member is the meta model), targets; WEIGHTS: a JSON array */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/explain.h"
#include "models/export.h"
#include "models/import_model.h"
#include "models/model_internal.h"
#include "models/prep.h"
#include "models/scorer_gate.h"
#include "tests/tools/files.h"

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void read_columns(const cJSON *columns, weir_prep_column *kinds, const char **names) {
    const cJSON *column;
    int c = 0;
    cJSON_ArrayForEach(column, columns) {
        names[c] = cJSON_GetStringValue(member(column, "name"));
        bool category = !strcmp(cJSON_GetStringValue(member(column, "kind")), "category");
        kinds[c] = (weir_prep_column){.name = names[c], .kind = category ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER};
        c++;
    }
}

static void fit(char **args) {
    size_t len, label_len;
    cJSON *spec = cJSON_Parse(read_file(args[0], &len));
    if (!spec) fail("spec");
    int columns = cJSON_GetArraySize(member(spec, "columns"));
    weir_prep_column *kinds = keep(calloc((size_t)columns, sizeof *kinds));
    const char **names = keep(calloc((size_t)columns, sizeof *names));
    read_columns(member(spec, "columns"), kinds, names);
    weir_matrix train = {.column_count = columns, .column_names = names, .kinds = kinds, .class_count = (int)cJSON_GetNumberValue(member(spec, "classes"))};
    train.values = (const double *)read_file(args[1], &len);
    train.label = (const double *)read_file(args[2], &label_len);
    train.row_count = (int64_t)(label_len / sizeof(double));
    if (!weir_task_find(cJSON_GetStringValue(member(spec, "task")), &train.task)) fail("task");
    const cJSON *chain = member(spec, "preprocessing");
    weir_buf artifact = {0};
    weir_err err;
    must(weir_model_fit(cJSON_GetStringValue(member(spec, "algorithm")), member(spec, "params"), cJSON_IsArray(chain) ? chain : NULL, &train, "", 1, 1,
                        &artifact, &err),
         &err);
    write_file(args[3], artifact.data, artifact.len);
    weir_buf_done(&artifact);
    cJSON_Delete(spec);
}

static weir_model *load(const char *path) {
    weir_model *model;
    weir_err err;
    must(weir_model_load_file(path, &model, &err), &err);
    return model;
}

static void export(char **args) {
    weir_model *model = load(args[0]);
    weir_export_format format;
    weir_buf bytes = {0};
    weir_err err;
    if (!weir_export_format_find(args[1], &format)) fail("format");
    must(weir_model_export(model, format, &bytes, &err), &err);
    write_file(args[2], bytes.data, bytes.len);
    weir_buf_done(&bytes);
    weir_model_free(model);
}

static void explain(char **args) {
    weir_model *model = load(args[0]);
    size_t len, columns = (size_t)weir_model_column_count(model), width = (size_t)weir_model_output_count(model) * (columns + 1);
    double *values = (double *)read_file(args[1], &len);
    size_t rows = len / sizeof *values / columns;
    double *out = calloc(rows * width, sizeof *out);
    weir_err err;
    if (!out) fail("memory");
    for (size_t r = 0; r < rows; r++) must(weir_explain_row(model, values + r * columns, out + r * width, &err), &err);
    write_file(args[2], out, rows * width * sizeof *out);
    free(out);
    weir_model_free(model);
}

static void importance(char **args) {
    weir_model *model = load(args[0]);
    size_t columns = (size_t)weir_model_column_count(model);
    double *out = calloc(columns, sizeof *out);
    weir_err err;
    if (!out) fail("memory");
    must(weir_explain_importance(model, out, &err), &err);
    write_file(args[1], out, columns * sizeof *out);
    free(out);
    weir_model_free(model);
}

static void import(char **args) {
    size_t len;
    char *bytes = read_file(args[0], &len);
    cJSON *list = cJSON_Parse(args[1]);
    const char *columns[WEIR_MODEL_COLUMNS_MAX + 1] = {NULL};
    for (int c = 0; c < cJSON_GetArraySize(list); c++) columns[c] = cJSON_GetStringValue(cJSON_GetArrayItem(list, c));
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_gate_count compared;
    weir_err err;
    must(weir_import_model(bytes, len, cJSON_IsArray(list) ? columns : NULL, "", &artifact, &err), &err);
    must(weir_model_load(artifact.data, artifact.len, &model, &err), &err);
    must(weir_scorer_gate(model, NULL, 0, &compared, &err), &err);
    write_file(args[2], artifact.data, artifact.len);
    weir_model_free(model);
    weir_buf_done(&artifact);
    cJSON_Delete(list);
}

static weir_composition find_kind(const char *name) {
    for (int kind = WEIR_MODEL_AVERAGE; kind <= WEIR_MODEL_TARGETS; kind++)
        if (!strcmp(weir_composition_name((weir_composition)kind), name)) return (weir_composition)kind;
    fail("kind");
}

static void combine(char **args, int count) {
    static const char *const targets[] = {"t0", "t1", "t2", "t3"};
    weir_composition kind = find_kind(args[0]);
    cJSON *given = cJSON_Parse(args[1]);
    weir_buf members[WEIR_MODEL_MEMBERS_MAX] = {0}, body = {0}, artifact = {0};
    double weights[WEIR_MODEL_MEMBERS_MAX] = {0};
    weir_err err;
    for (int i = 0; i < count; i++) {
        size_t len;
        char *bytes = read_file(args[3 + i], &len);
        if (!weir_buf_append(&members[i], bytes, len)) fail("memory");
        weights[i] = cJSON_GetNumberValue(cJSON_GetArrayItem(given, i));
    }
    bool stacking = kind == WEIR_MODEL_STACKING, several = kind == WEIR_MODEL_TARGETS;
    weir_model *first = load(args[3]);
    const weir_matrix train = {.column_count = weir_model_column_count(first),
                               .column_names = weir_model_columns(first),
                               .task = weir_model_task(first),
                               .class_count = weir_model_output_count(first)};
    cJSON *params = cJSON_CreateObject();
    const weir_artifact_header header = {.params = params,
                                         .algorithm = several ? &weir_algorithm_multi_target : &weir_algorithm_ensemble,
                                         .train = &train,
                                         .targets = several ? targets : NULL,
                                         .target_count = several ? count : 0};
    must(weir_composite_write(kind, members, count - stacking, stacking || several ? NULL : weights, stacking ? &members[count - 1] : NULL, &body, &err), &err);
    must(weir_artifact_append(&header, &body, &artifact, &err), &err);
    write_file(args[2], artifact.data, artifact.len);
    for (int i = 0; i < count; i++) weir_buf_done(&members[i]);
    weir_buf_done(&body);
    weir_buf_done(&artifact);
    cJSON_Delete(given);
    cJSON_Delete(params);
    weir_model_free(first);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int args;
        void (*run)(char **args);
    } commands[] = {{"fit", 4, fit}, {"export", 3, export}, {"explain", 3, explain}, {"importance", 2, importance}, {"import", 3, import}};
    if (argc > 6 && !strcmp(argv[1], "combine")) {
        combine(argv + 2, argc - 5);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) != 0 || argc != commands[i].args + 2) continue;
        commands[i].run(argv + 2);
        return 0;
    }
    fail("see the top of tests/tools/export.c");
}
