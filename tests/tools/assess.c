/* Assessments over files, for tests that compare them with other programs.
 *
 *   DESCRIPTION values report.json report.html
 *
 * DESCRIPTION is a JSON file: {"title", "task", "metric", "columns": [{"name", "texts": […] of a category}], "target", "classes": […], "time", "entity",
 * "tenants": […], "returns": whether
 * the rows have them, "test_share", "folds": 0 for no cross-validation, "models": [{"name", "spec"}], "slices": […], "learning_curve", "permutation",
 * "threshold", "cost_false_positive",
 * "cost_false_negative", "seed", "run"}. values: raw float64, [rows][columns, label, time in seconds, entity, tenant, return], the last four where there are
 * some; of a category the place
 * in its texts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"
#include "models/assessment.h"
#include "tests/tools/files.h"

enum { COLUMNS_MAX = 256, MODELS_MAX = 16, TEXTS_MAX = 256 };

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static const cJSON *get(const cJSON *json, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

static double number(const cJSON *json, const char *key, double otherwise) {
    const cJSON *item = get(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static const char **texts_of(const cJSON *array) {
    if (!cJSON_GetArraySize(array)) return NULL;
    const char **texts = keep(calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof *texts));
    for (int i = 0; i < cJSON_GetArraySize(array); i++) texts[i] = cJSON_GetArrayItem(array, i)->valuestring;
    return texts;
}

typedef struct input {
    const cJSON *json;
    double *raw, *values[COLUMNS_MAX], *label, *returns;
    int64_t rows, *time_us;
    uint32_t *entity, *tenant, entity_count;
    int columns, width;
    weir_prep_column kinds[COLUMNS_MAX];
} input;

static double *field(const input *in, int place) {
    double *out = calloc((size_t)in->rows + 1, sizeof *out);
    for (int64_t r = 0; r < in->rows; r++) out[r] = in->raw[r * in->width + place];
    return out;
}

static uint32_t *numbers_of(const input *in, int place, uint32_t *ret_count) {
    uint32_t *out = calloc((size_t)in->rows + 1, sizeof *out);
    for (int64_t r = 0; r < in->rows; r++) {
        out[r] = (uint32_t)in->raw[r * in->width + place];
        if (ret_count && out[r] >= *ret_count) *ret_count = out[r] + 1;
    }
    return out;
}

static void read_columns(input *in) {
    for (int c = 0; c < in->columns; c++) {
        const cJSON *column = cJSON_GetArrayItem(get(in->json, "columns"), c);
        const char **texts = texts_of(get(column, "texts"));
        in->kinds[c] = (weir_prep_column){.name = get(column, "name")->valuestring, .kind = texts ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER, .texts = texts};
        in->values[c] = field(in, c);
        for (int64_t r = 0; texts && r < in->rows; r++)
            if (!isnan(in->values[c][r])) in->values[c][r] = weir_text_number(texts[(int)in->values[c][r]], strlen(texts[(int)in->values[c][r]]));
    }
}

static void read_input(const char *description, const char *values, input *in) {
    size_t len;
    in->json = cJSON_Parse(read_file(description, &len));
    if (!in->json) fail("the description is no JSON");
    in->columns = cJSON_GetArraySize(get(in->json, "columns"));
    if (in->columns < 1 || in->columns > COLUMNS_MAX) fail("too few or too many columns");
    bool time = cJSON_IsTrue(get(in->json, "time")), entity = cJSON_IsTrue(get(in->json, "entity")), tenants = get(in->json, "tenants"),
         returns = cJSON_IsTrue(get(in->json, "returns"));
    in->width = in->columns + 1 + time + entity + tenants + returns;
    in->raw = (double *)(void *)read_file(values, &len);
    in->rows = (int64_t)(len / sizeof(double)) / in->width;
    read_columns(in);
    int place = in->columns;
    in->label = field(in, place++);
    if (time) {
        in->time_us = calloc((size_t)in->rows + 1, sizeof *in->time_us);
        for (int64_t r = 0; r < in->rows; r++) in->time_us[r] = (int64_t)(in->raw[r * in->width + place] * 1e6);
        place++;
    }
    if (entity) in->entity = numbers_of(in, place++, &in->entity_count);
    if (tenants) in->tenant = numbers_of(in, place++, NULL);
    if (returns) in->returns = field(in, place);
}

static void make_set(const input *in, weir_trainset *ret_set) {
    weir_err err;
    const double *targets[] = {in->label};
    const char *const names[] = {get(in->json, "target")->valuestring};
    weir_trainset_source source = {.row_count = in->rows,
                                   .column_count = in->columns,
                                   .columns = in->kinds,
                                   .values = (const double *const *)in->values,
                                   .class_names = texts_of(get(in->json, "classes")),
                                   .class_count = cJSON_GetArraySize(get(in->json, "classes")),
                                   .target_names = names,
                                   .targets = targets,
                                   .time_us = in->time_us,
                                   .entity = in->entity,
                                   .entity_count = in->entity_count,
                                   .tenant = in->tenant,
                                   .tenant_count = (uint32_t)cJSON_GetArraySize(get(in->json, "tenants")),
                                   .tenant_names = texts_of(get(in->json, "tenants")),
                                   .source = "a file of the test"};
    if (!weir_task_find(get(in->json, "task")->valuestring, &source.task)) fail("no such task");
    if (source.task != WEIR_TASK_MULTICLASS) source.class_count = 0;
    must(weir_trainset_make(&source, ret_set, &err), &err);
}

static void fit(const input *in, const cJSON *item, const weir_trainset *train, const weir_model_metric *metric, weir_assessed *model, weir_crossval *folds) {
    weir_err err;
    weir_buf artifact = {0};
    weir_crossval_options options = {.fit = {.seed = 1, .threads = 1}, .metric = metric};
    int count = (int)number(in->json, "folds", 0);
    *model = (weir_assessed){.name = get(item, "name")->valuestring, .spec = get(item, "spec")};
    must(weir_spec_fit(model->spec, train, &options.fit, &artifact, &err), &err);
    must(weir_model_load(artifact.data, artifact.len, &model->model, &err), &err);
    weir_buf_done(&artifact);
    if (!count) return;
    weir_split split = weir_trainset_default_split(train, count, 1);
    weir_split_rows rows = weir_trainset_split_rows(train);
    weir_split_plan *plan = NULL;
    must(weir_split_plan_new(&split, &rows, &plan, &err), &err);
    must(weir_crossval_run(model->spec, train, plan, &options, folds, &err), &err);
    weir_split_plan_free(plan);
    model->validation = folds;
}

int main(int argc, char **argv) {
    static input in;
    static weir_crossval folds[MODELS_MAX];
    static weir_trainset set, train, test;
    static weir_assessed models[MODELS_MAX];
    static weir_buf html;
    static cJSON *json;
    weir_err err;
    if (argc != 5) fail("usage: weir_tool_assess DESCRIPTION values report.json report.html");
    read_input(argv[1], argv[2], &in);
    make_set(&in, &set);
    must(weir_trainset_cut(&set, number(in.json, "test_share", 0.3), 0, &train, &test, &err), &err);
    int count = cJSON_GetArraySize(get(in.json, "models"));
    const weir_model_metric *metric = weir_model_metric_find(set.matrix.task, get(in.json, "metric")->valuestring);
    if (!metric || count < 1 || count > MODELS_MAX) fail("no such metric, or too few or too many models");
    for (int m = 0; m < count; m++) fit(&in, cJSON_GetArrayItem(get(in.json, "models"), m), &train, metric, &models[m], &folds[m]);
    weir_assessment a = {.title = get(in.json, "title")->valuestring, .train = &train, .test = &test, .models = models, .model_count = count, .metric = metric};
    a.threshold = number(in.json, "threshold", NAN);
    a.cost_false_positive = number(in.json, "cost_false_positive", 0);
    a.cost_false_negative = number(in.json, "cost_false_negative", 0);
    a.slices = texts_of(get(in.json, "slices"));
    a.learning_curve = cJSON_IsTrue(get(in.json, "learning_curve"));
    a.permutation = cJSON_IsTrue(get(in.json, "permutation"));
    a.market = in.returns;
    a.test_returns = in.returns ? in.returns + (set.matrix.row_count - test.matrix.row_count) : NULL; /* rows come in the order of time and all have labels */
    a.run = get(in.json, "run");
    a.seed = (uint64_t)number(in.json, "seed", 1);
    must(weir_assess(&a, &json, &err), &err);
    must(weir_assessment_page(json, &html, &err), &err);
    char *text = keep(cJSON_PrintUnformatted(json));
    write_file(argv[3], text, strlen(text));
    write_file(argv[4], html.data, html.len);
    return 0; /* what is left is the system's to free */
}
