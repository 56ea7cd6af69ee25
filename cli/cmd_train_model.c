/* `train_model`: boosted trees from a training table, measured on a test table, logged as a run of an experiment. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lifecycle.h"
#include "models/artifact_file.h"
#include "models/evaluate.h"
#include "models/lifecycle_frame.h"
#include "models/memory.h"
#include "models/metrics.h"
#include "models/scorer_gate.h"
#include "models/signature.h"

enum { LEFT_OUT_MAX = 1600, THREADS = 1 /* sums in one order, so that the same rows give the same bytes on every machine */ };
static const char algorithm[] = "xgboost";
static const double threshold = 0.5;

typedef struct train_options {
    char *catalog, *schema, *environment, *model_name;
    char *train_table, *test_table, *target_col, *experiment_name;
    char **exclude_columns;
    double baseline_f1, learning_rate;
    int64_t max_depth, n_estimators, random_seed;
} train_options;

#define FIELD(member) .offset = offsetof(train_options, member)

static const weir_conf_item train_table[] = {
    WEIR_CATALOG_ITEM(train_options, catalog, WEIR_CONF_REQUIRED),
    WEIR_SCHEMA_ITEM(train_options, schema, WEIR_CONF_REQUIRED),
    WEIR_ENVIRONMENT_ITEM(train_options, environment, WEIR_CONF_REQUIRED),
    WEIR_MODEL_NAME_ITEM(train_options, model_name),
    {.name = "train_table",
     .type = WEIR_CONF_STRING,
     FIELD(train_table),
     .fallback = "train_set",
     .doc = "table to learn from; its newest version, or one of them: train_set__v1"},
    {.name = "test_table", .type = WEIR_CONF_STRING, FIELD(test_table), .fallback = "test_set", .doc = "table to measure by"},
    {.name = "target_col", .type = WEIR_CONF_STRING, FIELD(target_col), .fallback = "target", .doc = "column to predict; all others are inputs"},
    {.name = "exclude_columns",
     .type = WEIR_CONF_LIST,
     FIELD(exclude_columns),
     .flags = WEIR_CONF_MANY,
     .doc = "columns that are no inputs, one after the other"},
    {.name = "baseline_f1",
     .type = WEIR_CONF_NUMBER,
     FIELD(baseline_f1),
     .min = 0,
     .max = 1,
     .fallback = "0.0",
     .doc = "F1 score to beat: exit code 0 when the model is better, 1 when it is not"},
    {.name = "max_depth", .type = WEIR_CONF_INT, FIELD(max_depth), .min = 1, .max = 30, .fallback = "5", .doc = "levels of a tree"},
    {.name = "n_estimators", .type = WEIR_CONF_INT, FIELD(n_estimators), .min = 1, .max = 10000, .fallback = "100", .doc = "trees"},
    {.name = "learning_rate",
     .type = WEIR_CONF_NUMBER,
     FIELD(learning_rate),
     .min = 1e-4,
     .max = 1,
     .fallback = "0.1",
     .doc = "share of each tree that is kept"},
    {.name = "random_seed", .type = WEIR_CONF_INT, FIELD(random_seed), .min = 0, .max = INT32_MAX, .fallback = "42", .doc = "same rows and seed: same model"},
    {.name = "experiment_name",
     .type = WEIR_CONF_STRING,
     FIELD(experiment_name),
     .doc = "experiment that the run is logged in; not given: /Shared/CATALOG/SCHEMA/training"},
    {.name = NULL},
};

enum { TEST_F1, METRIC_COUNT = 5 };
static const char *const metric_names[METRIC_COUNT] = {"test_f1", "test_accuracy", "test_precision", "test_recall", "test_roc_auc"};

/* A table that was read, and what is logged of it. */
typedef struct part {
    weir_table table;
    weir_frame frame;
    weir_run_dataset logged;
} part;

typedef struct training {
    const train_options *o;
    const char *objects_dir, *experiment;
    weir_pg *pg;
    char space[WEIR_NAME_MAX + 1], experiment_text[WEIR_NAME_MAX + 32];
    part train, test;
    cJSON *signature;
    weir_buf artifact;
    weir_model *model;
    char artifact_path[512];
    double metrics[METRIC_COUNT];
} training;

static weir_status check_options(training *t, weir_err *err) {
    weir_status status = weir_space_make(t->o->catalog, t->o->schema, t->space, err);
    if (!status) status = weir_environment_check(t->o->environment, err);
    if (!status) status = weir_model_name_check(t->o->model_name, err);
    t->experiment = t->o->experiment_name && *t->o->experiment_name ? t->o->experiment_name : weir_default_experiment(t->space, t->experiment_text);
    return status;
}

/* ---- tables ---- */

static weir_status open_part(training *t, const char *name, part *p, weir_err *err) {
    weir_table_name full;
    weir_status status = weir_table_name_parse(name, t->space, &full, err);
    if (!status) status = weir_table_open(t->pg, &full, &p->table, err);
    p->logged.table = &p->table;
    return status ? status : weir_table_digest(t->pg, &p->table, &p->logged.row_count, p->logged.digest, err);
}

static weir_status read_part(training *t, part *p, weir_err *err) {
    weir_status status = weir_frame_read(t->pg, &p->table, t->signature, true, 0, &p->frame, err);
    if (status) return status;
    if (p->frame.without_target)
        fprintf(stderr, "%s: %" PRId64 " rows without %s are left out\n", p->table.name.full, p->frame.without_target, t->o->target_col);
    if (!p->frame.matrix.row_count) return WEIR_FAIL(err, WEIR_EDATA, "%s has no rows with %s", p->table.name.full, t->o->target_col);
    return WEIR_OK;
}

static weir_status read_tables(training *t, weir_err *err) {
    const char *left_out[LEFT_OUT_MAX + 1];
    weir_status status = weir_names_split(t->o->exclude_columns, left_out, LEFT_OUT_MAX, err);
    if (!status) status = weir_tables_begin(t->pg, true, err);
    if (!status) status = open_part(t, t->o->train_table, &t->train, err);
    if (!status) status = open_part(t, t->o->test_table, &t->test, err);
    if (!status) status = weir_signature_make(t->pg, &t->train.table, t->o->target_col, left_out, &t->signature, err);
    if (!status) status = read_part(t, &t->train, err);
    if (!status) status = read_part(t, &t->test, err);
    weir_pg_rollback(t->pg); /* nothing was written */
    return status;
}

/* ---- fit ---- */

static cJSON *model_params(const train_options *o) {
    cJSON *params = cJSON_CreateObject();
    cJSON_AddNumberToObject(params, "rounds", (double)o->n_estimators);
    cJSON_AddNumberToObject(params, "max_depth", (double)o->max_depth);
    cJSON_AddNumberToObject(params, "eta", o->learning_rate);
    return params;
}

/* The artifact names what its inputs mean: two models with other categories are not the same. */
static weir_status hash_signature(const cJSON *signature, char hash[65], weir_err *err) {
    char *text = cJSON_PrintUnformatted(signature);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    weir_sha256_hex(text, strlen(text), hash);
    cJSON_free(text);
    return WEIR_OK;
}

static weir_status fit(training *t, weir_err *err) {
    char hash[65];
    weir_gate_count compared;
    cJSON *params = model_params(t->o);
    weir_status status = hash_signature(t->signature, hash, err);
    if (!status) status = weir_model_fit(algorithm, params, NULL, &t->train.frame.matrix, hash, (uint64_t)t->o->random_seed, THREADS, &t->artifact, err);
    if (!status) status = weir_model_load(t->artifact.data, t->artifact.len, &t->model, err); /* what is logged has been read back */
    if (!status) status = weir_scorer_gate(t->model, t->train.frame.matrix.values, t->train.frame.matrix.row_count, &compared, err);
    cJSON_Delete(params);
    if (status) return weir_err_prefix(err, "%s", t->train.table.name.full);
    snprintf(t->artifact_path, sizeof t->artifact_path, "models/%s/%s/%s.weirmodel", t->space, t->o->model_name, weir_model_digest(t->model));
    return weir_artifact_write(t->objects_dir, t->artifact_path, &t->artifact, err);
}

static weir_status measure_two(training *t, const weir_matrix *test, const double *scores, weir_err *err) {
    const weir_eval_input input = {.row_count = test->row_count, .score = scores, .label = test->label, .threshold = threshold};
    weir_metrics_binary m;
    weir_status status = weir_evaluate_binary(&input, &m, err);
    if (!status) memcpy(t->metrics, (const double[METRIC_COUNT]){m.f1, m.accuracy, m.precision, m.recall, m.auc_roc}, sizeof t->metrics);
    return status;
}

/* Means over the classes, each against the rest. */
static weir_status measure_classes(training *t, const weir_matrix *test, const double *scores, weir_err *err) {
    const weir_outcomes outcomes = {.row_count = test->row_count, .class_count = test->class_count, .label = test->label, .score = scores};
    weir_metrics_classes m;
    weir_status status = weir_measure_classes(&outcomes, &m, err);
    if (status) return status;
    memcpy(t->metrics, (const double[METRIC_COUNT]){m.f1_macro, m.accuracy, m.precision_macro, m.recall_macro, m.auc_macro}, sizeof t->metrics);
    weir_metrics_classes_done(&m);
    return WEIR_OK;
}

static weir_status evaluate(training *t, weir_err *err) {
    const weir_matrix *test = &t->test.frame.matrix;
    double *scores = weir_models_calloc((size_t)test->row_count * (size_t)weir_model_output_count(t->model), sizeof *scores);
    if (!scores) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for scores of %" PRId64 " rows", test->row_count);
    weir_status status = weir_model_predict(t->model, test->values, test->row_count, scores, err);
    if (!status) status = test->task == WEIR_TASK_BINARY ? measure_two(t, test, scores, err) : measure_classes(t, test, scores, err);
    weir_models_free(scores);
    return status ? weir_err_prefix(err, "%s", t->test.table.name.full) : WEIR_OK;
}

/* ---- log ---- */

static cJSON *params_json(const training *t) {
    const train_options *o = t->o;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "algorithm", algorithm);
    cJSON_AddNumberToObject(json, "max_depth", (double)o->max_depth);
    cJSON_AddNumberToObject(json, "n_estimators", (double)o->n_estimators);
    cJSON_AddNumberToObject(json, "learning_rate", o->learning_rate);
    cJSON_AddNumberToObject(json, "random_seed", (double)o->random_seed);
    cJSON_AddNumberToObject(json, "baseline_f1", o->baseline_f1);
    cJSON_AddNumberToObject(json, "threshold", threshold);
    cJSON_AddStringToObject(json, "target_col", o->target_col);
    cJSON_AddStringToObject(json, "train_table", o->train_table);
    cJSON_AddStringToObject(json, "test_table", o->test_table);
    return json;
}

/* A metric that is not defined for these rows is null. */
static cJSON *metrics_json(const training *t) {
    cJSON *json = cJSON_CreateObject();
    for (int i = 0; i < METRIC_COUNT; i++)
        cJSON_AddItemToObject(json, metric_names[i], isnan(t->metrics[i]) ? cJSON_CreateNull() : cJSON_CreateNumber(t->metrics[i]));
    return json;
}

static cJSON *tags_json(const training *t) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "environment", t->o->environment);
    cJSON_AddStringToObject(json, "model_name", t->o->model_name);
    return json;
}

static weir_status finish_run(training *t, const char *run_id, weir_err *err) {
    weir_status ranged = weir_signature_add_ranges(t->signature, &t->train.frame.matrix, err);
    if (ranged) return ranged;
    cJSON *params = params_json(t), *metrics = metrics_json(t), *tags = tags_json(t);
    const weir_run_result result = {
        .algorithm = algorithm,
        .digest = weir_model_digest(t->model),
        .artifact_path = t->artifact_path,
        .signature = t->signature,
        .params = params,
        .metrics = metrics,
        .tags = tags,
        .train = t->train.logged,
        .test = t->test.logged,
        .beats_baseline = t->metrics[TEST_F1] > t->o->baseline_f1,
    };
    weir_status status = weir_lifecycle_run_finish(t->pg, run_id, &result, err);
    cJSON_Delete(params);
    cJSON_Delete(metrics);
    cJSON_Delete(tags);
    return status;
}

/* The run tells why it failed, as far as that can still be told. */
static void fail_run(training *t, const char *run_id, const weir_err *why) {
    weir_err late;
    cJSON *detail = cJSON_CreateObject();
    cJSON_AddStringToObject(detail, "message", why->message);
    if (weir_run_update(t->pg, run_id, "failed", detail, &late)) fprintf(stderr, "run %s could not be ended: %s\n", run_id, late.message);
    cJSON_Delete(detail);
}

static void print_part(const char *what, const part *p) {
    printf("%-8s%s", what, p->table.name.full);
    if (p->table.version) printf(" version %d", p->table.version);
    printf(": %" PRId64 " rows\n", p->frame.matrix.row_count);
}

static void print_result(const training *t, const char *run_id) {
    printf("%-8s%s in %s\n", "run", run_id, t->experiment);
    print_part("train", &t->train);
    print_part("test", &t->test);
    printf("%-8s%s.%s, %d inputs, digest %s\n", "model", t->space, t->o->model_name, weir_model_column_count(t->model), weir_model_digest(t->model));
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (isnan(t->metrics[i]))
            printf("%-16snot defined for one class\n", metric_names[i]);
        else
            printf("%-16s%.6f\n", metric_names[i], t->metrics[i]);
    }
    printf("F1 %.6f %s the baseline %g\n", t->metrics[TEST_F1], t->metrics[TEST_F1] > t->o->baseline_f1 ? "beats" : "does not beat", t->o->baseline_f1);
}

static weir_status run_logged(training *t, weir_err *err) {
    weir_run run = {0};
    cJSON *request = params_json(t);
    weir_status status = weir_lifecycle_run_start(t->pg, t->space, t->o->model_name, t->experiment, request, &run, err);
    cJSON_Delete(request);
    if (status) return status;
    status = fit(t, err);
    if (!status) status = evaluate(t, err);
    if (!status) status = finish_run(t, run.id, err);
    if (status)
        fail_run(t, run.id, err);
    else
        print_result(t, run.id);
    return status;
}

static weir_status run_train(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    training t = {.o = options, .objects_dir = settings->objects_dir};
    weir_status status = check_options(&t, err);
    if (!status) status = weir_lifecycle_connect(settings, &t.pg, err);
    if (!status) status = read_tables(&t, err);
    if (!status) status = run_logged(&t, err);
    if (!status) *ret_exit = t.metrics[TEST_F1] > t.o->baseline_f1 ? 0 : 1;
    weir_frame_done(&t.train.frame);
    weir_frame_done(&t.test.frame);
    weir_table_done(&t.train.table);
    weir_table_done(&t.test.table);
    weir_buf_done(&t.artifact);
    weir_model_free(t.model);
    cJSON_Delete(t.signature);
    weir_pg_free(t.pg);
    return weir_lifecycle_failed(status, err);
}

const weir_command weir_command_train_model = {
    .name = "train_model",
    .args =
        "--catalog C --schema S --environment E --model-name M [--target-col COLUMN] [--baseline-f1 X] [--max-depth N] [--n-estimators N] [--learning-rate X]",
    .doc = "Trains a model on the training table, measures it on the test table, logs both as a run.\n"
           "Exit code 0: its F1 is better than --baseline-f1; 1: it is not, and the run is logged all the same. docs/lifecycle.md tells how columns become "
           "inputs, and what F1 is with more than two classes.",
    .options = train_table,
    .options_size = sizeof(train_options),
    .run = run_train,
};
