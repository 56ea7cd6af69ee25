/* The gate over models of random configuration: data of random shape (missing values, ties, whole numbers, columns of any size or none that varies), algorithm, parameters, preprocessing,
 * ensembles and targets. WEIR_GATE_MODELS says how many (else MODELS), WEIR_GATE_SEED where the series begins. */
#include "models/scorer_gate.h"
#include "models/spec.h"
#include "trainset_fixture.h"

enum { MODELS = 150, RANDOM_COLUMNS_MAX = 24, RANDOM_ROWS_MAX = 400, NAME_BYTES = 16 };

typedef struct rows_of_any_kind {
    double values[RANDOM_COLUMNS_MAX][RANDOM_ROWS_MAX], targets[2][RANDOM_ROWS_MAX];
    char names[RANDOM_COLUMNS_MAX][NAME_BYTES];
    weir_prep_column columns[RANDOM_COLUMNS_MAX];
    weir_trainset set;
} rows_of_any_kind;

static rows_of_any_kind data;
static uint64_t random_state;

static int below(int n) {
    return (int)(uniform(&random_state) * n);
}

static bool chance(double p) {
    return uniform(&random_state) < p;
}

/* ---- rows ---- */

static void fill_column(int c, int rows) {
    double size = ldexp(1, below(61) - 30), gaps = chance(0.5) ? 0 : uniform(&random_state) * 0.6;
    int kind = below(5); /* fine, few values, whole numbers, never varies, steep */
    for (int r = 0; r < rows; r++) {
        double u = uniform(&random_state), x = kind == 1   ? (double)below(3)
                                               : kind == 2 ? floor(u * 100)
                                               : kind == 3 ? 1
                                               : kind == 4 ? u * u * u * size
                                                           : (u - 0.5) * size;
        data.values[c][r] = uniform(&random_state) < gaps ? NAN : x;
    }
}

/* Labels follow the ranks of two columns, with noise, so that there is something to learn. */
static double signal(int r, int columns) {
    double a = data.values[0][r], b = data.values[columns - 1][r];
    return (isnan(a) ? 0.3 : atan(a)) + (isnan(b) ? -0.2 : sin(b)) + uniform(&random_state);
}

static weir_status make_data(weir_task task, int classes, int target_count, weir_err *err) {
    int columns = 1 + below(RANDOM_COLUMNS_MAX), rows = 60 + below(RANDOM_ROWS_MAX - 60);
    const double *values[RANDOM_COLUMNS_MAX], *const targets[] = {data.targets[0], data.targets[1]};
    static const char *const target_names[] = {"y", "z"};
    for (int c = 0; c < columns; c++) {
        fill_column(c, rows);
        snprintf(data.names[c], NAME_BYTES, "c%d", c);
        data.columns[c] = (weir_prep_column){.name = data.names[c], .kind = WEIR_PREP_NUMBER};
        values[c] = data.values[c];
    }
    for (int r = 0; r < rows; r++) {
        double y = signal(r, columns);
        data.targets[0][r] = task == WEIR_TASK_REGRESSION ? 5 + y : r < 2 * classes ? r % classes : fmin(fmax(floor(y * classes / 2), 0), classes - 1);
        data.targets[1][r] = 3 + y * y;
    }
    const weir_trainset_source source = {.row_count = rows,
                                         .column_count = columns,
                                         .columns = data.columns,
                                         .values = values,
                                         .task = task,
                                         .class_count = task == WEIR_TASK_MULTICLASS ? classes : 0,
                                         .target_names = target_names,
                                         .targets = targets,
                                         .target_count = target_count};
    return weir_trainset_make(&source, &data.set, err);
}

/* ---- specs ---- */

static void add_trees(cJSON *params, bool forest, weir_task task) {
    static const char *const objectives[] = {"squared_error", "absolute_error", "huber", "poisson", "tweedie", "gamma", "quantile"};
    cJSON_AddNumberToObject(params, forest ? "trees" : "rounds", 1 + below(30));
    cJSON_AddNumberToObject(params, "max_depth", 1 + below(chance(0.2) ? 20 : 8));
    cJSON_AddNumberToObject(params, "max_bin", 2 << below(10));
    cJSON_AddNumberToObject(params, "min_child_weight", forest ? 1 + below(5) : 0.01 + uniform(&random_state));
    if (forest) return;
    cJSON_AddNumberToObject(params, "eta", 0.02 + uniform(&random_state) * 0.6);
    if (task == WEIR_TASK_REGRESSION) cJSON_AddStringToObject(params, "objective", objectives[below(7)]);
}

/* Splits that hardly have to be proved: there are few rows. */
static void add_hoeffding(cJSON *params) {
    cJSON_AddNumberToObject(params, "grace_period", 5 + below(60));
    cJSON_AddNumberToObject(params, "tie_threshold", uniform(&random_state));
    cJSON_AddNumberToObject(params, "delta", 0.01 + 0.5 * uniform(&random_state));
    cJSON_AddNumberToObject(params, "max_depth", below(12));
}

static cJSON *random_chain(void) {
    static const char *const imputations[] = {"{\"impute\": \"median\"}", "{\"impute\": \"mean\", \"indicator\": true}",
                                              "{\"impute\": \"constant\", \"value\": -3}"};
    static const char *const others[] = {
        "{\"outliers\": \"iqr\"}",   "{\"outliers\": \"zscore\", \"action\": \"null\"}", "{\"outliers\": \"iqr\", \"action\": \"mark\"}",
        "{\"scale\": \"standard\"}", "{\"scale\": \"minmax\", \"clip\": true}",          "{\"scale\": \"robust\"}"};
    cJSON *chain = cJSON_CreateArray();
    if (chance(0.6)) cJSON_AddItemToArray(chain, cJSON_Parse(imputations[below(3)]));
    if (chance(0.5)) cJSON_AddItemToArray(chain, cJSON_Parse(others[below(3)]));
    if (chance(0.5)) cJSON_AddItemToArray(chain, cJSON_Parse(others[3 + below(3)]));
    return chain;
}

static cJSON *random_single(weir_task task) {
    static const char *const names[WEIR_TASK_COUNT][8] = {[WEIR_TASK_BINARY] = {"xgboost", "random_forest", "logistic", "sgd", "ftrl", "hoeffding_tree"},
                                                          [WEIR_TASK_MULTICLASS] = {"xgboost", "random_forest", "logistic", "sgd", "ftrl", "hoeffding_tree"},
                                                          [WEIR_TASK_REGRESSION] = {"xgboost", "random_forest", "ridge", "lasso", "svr", "sgd", "elastic_net"}};
    cJSON *spec = cJSON_CreateObject(), *chain = chance(0.5) ? random_chain() : NULL;
    int count = task == WEIR_TASK_REGRESSION ? 7 : 6, which = chance(0.6) ? below(2) : below(count);
    const char *name = names[task][which];
    cJSON_AddStringToObject(spec, "algorithm", name);
    if (which < 2) add_trees(cJSON_AddObjectToObject(spec, "params"), which == 1, task);
    if (!strcmp(name, "hoeffding_tree")) add_hoeffding(cJSON_AddObjectToObject(spec, "params"));
    if (cJSON_GetArraySize(chain)) {
        cJSON_AddItemToObject(spec, "preprocessing", chain);
    } else {
        cJSON_Delete(chain);
    }
    return spec;
}

static cJSON *random_spec(weir_task task, int target_count) {
    static const char *const kinds[] = {"average", "weighted", "stacking"};
    cJSON *spec, *members;
    if (target_count > 1) {
        spec = cJSON_CreateObject();
        cJSON_AddItemToObject(spec, "targets", random_spec(task, 1));
        return spec;
    }
    if (chance(0.8)) return random_single(task);
    spec = cJSON_CreateObject();
    cJSON_AddStringToObject(spec, "ensemble", kinds[below(3)]);
    members = cJSON_AddArrayToObject(spec, "members");
    for (int i = 2 + below(2); i > 0; i--) cJSON_AddItemToArray(members, random_single(task));
    return spec;
}

/* ---- the gate ---- */

static const char *fit_and_pass(const cJSON *spec, weir_gate_count *total, char *text, size_t size) {
    static const weir_split blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 3};
    const weir_fit_options options = {.split = &blocks, .seed = random_state, .threads = 1};
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_gate_count count = {0};
    weir_err err;
    weir_status fit = weir_spec_fit(spec, &data.set, &options, &artifact, &err), status = fit;
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
    if (!status && !weir_model_scorer(model)) fail_msg("a model has no compiled form");
    if (!status) status = weir_scorer_gate(model, data.set.matrix.values, data.set.matrix.row_count, &count, &err);
    weir_model_free(model);
    weir_buf_done(&artifact);
    if (status) snprintf(text, size, "%s", err.message);
    if (fit) return "fit";
    total->training_rows += count.training_rows;
    total->random_rows += count.random_rows;
    total->thresholds += count.thresholds;
    total->splits += count.splits;
    return status ? "gate" : NULL;
}

static int from_environment(const char *name, int fallback) {
    const char *text = getenv(name);
    return text ? atoi(text) : fallback;
}

static void models_of_random_configuration_give_their_library_s_bits(void **state) {
    (void)state;
    int models = from_environment("WEIR_GATE_MODELS", MODELS), first = from_environment("WEIR_GATE_SEED", 1), passed = 0, unfit = 0;
    weir_gate_count total = {0};
    for (int i = 0; i < models; i++) {
        char why[WEIR_ERR_MESSAGE_MAX] = "";
        random_state = (uint64_t)(first + i) * UINT64_C(0x9e3779b97f4a7c15);
        weir_task task = (weir_task)below(WEIR_TASK_COUNT);
        int targets = task == WEIR_TASK_REGRESSION && chance(0.15) ? 2 : 1;
        weir_err err;
        if (make_data(task, task == WEIR_TASK_MULTICLASS ? 3 + below(4) : 2, targets, &err)) fail_msg("model %d: %s", first + i, err.message);
        cJSON *spec = random_spec(task, targets);
        const char *failed = fit_and_pass(spec, &total, why, sizeof why);
        if (failed && !strcmp(failed, "gate")) {
            char *json = cJSON_PrintUnformatted(spec);
            fail_msg("model %d, %s: %s", first + i, json, why);
        }
        passed += !failed;
        unfit += failed != NULL; /* some chains and data leave nothing to fit */
        if (failed && getenv("WEIR_GATE_SEED")) print_message("model %d cannot be fitted: %s\n", first + i, why);
        cJSON_Delete(spec);
        weir_trainset_done(&data.set);
    }
    print_message("%d models passed, %d could not be fitted; compared: %lld training rows, %lld random rows, %lld thresholds, %lld splits\n", passed, unfit,
                  (long long)total.training_rows, (long long)total.random_rows, (long long)total.thresholds, (long long)total.splits);
    assert_true(passed > models * 9 / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_of_random_configuration_give_their_library_s_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
