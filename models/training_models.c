/* One table a model: its parameters by their foreign name, and what each becomes. */
#include "models/training_models.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/conf.h"
#include "models/json.h"
#include "models/memory.h"

typedef enum conversion {
    SAME, /* the value as it is; null: the default */
    UNBOUNDED, /* a depth; null (and XGBoost's 0) is as deep as there can be, `text` */
    ROWS, /* rows of a leaf: a whole number */
    INVERSE, /* 1 / value */
    COLUMNS, /* max_features: a share, a number of columns, "sqrt", "log2", null for all */
    BOOTSTRAP, /* true: the default share of rows; false: all of them */
    GAMMA, /* of a kernel: a number, "scale", "auto" */
    SEED,
    ONLY, /* one of the values of `text`, a JSON array, which is what happens anyway */
    NO_EFFECT, /* whatever it is, the model is the same */
} conversion;

typedef struct parameter {
    const char *theirs, *ours;
    conversion how;
    const char *text;
    const char *doc; /* why not, or what it means here */
} parameter;

typedef struct known_model {
    const char *names[4]; /* the first is shown */
    const char *algorithm;
    const char *base; /* defaults of the library that the name is from, where they are not ours */
    const parameter *parameters; /* ended by one without a name */
} known_model;

#define SCALED "columns are always standardised, and penalties are on that scale"
#define EXACT "the minimum is found, however it is searched for"
#define RUN_ONLY "about running, not about the model"
#define UNPENALISED "the intercept is always fitted, without penalty"

static const parameter linear_parameters[] = {
    {"fit_intercept", "intercept", SAME, NULL, ""},
    {"normalize", NULL, NO_EFFECT, NULL, "least squares predict the same whatever the scale of columns"},
    {"positive", NULL, ONLY, "[false]", "coefficients cannot be bounded"},
    {"copy_X", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"n_jobs", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {NULL},
};
static const parameter ridge_parameters[] = {
    {"alpha", "alpha", SAME, NULL, ""},          {"fit_intercept", NULL, ONLY, "[true]", UNPENALISED},
    {"normalize", NULL, ONLY, "[true]", SCALED}, {"positive", NULL, ONLY, "[false]", "coefficients cannot be bounded"},
    {"solver", NULL, NO_EFFECT, NULL, EXACT},    {"tol", NULL, NO_EFFECT, NULL, EXACT},
    {"max_iter", NULL, NO_EFFECT, NULL, EXACT},  {"copy_X", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"random_state", NULL, SEED, NULL, ""},      {NULL},
};
#define DESCENT                                                                                                                                                \
    {"alpha", "alpha", SAME, NULL, ""}, {"fit_intercept", NULL, ONLY, "[true]", UNPENALISED}, {"normalize", NULL, ONLY, "[true]", SCALED},                     \
        {"max_iter", "max_iterations", SAME, NULL, ""}, {"tol", "tol", SAME, NULL, "of the label's sum of squares"},                                           \
        {"positive", NULL, ONLY, "[false]", "coefficients cannot be bounded"}, {"selection", NULL, NO_EFFECT, NULL, EXACT},                                    \
        {"precompute", NULL, NO_EFFECT, NULL, RUN_ONLY}, {"warm_start", NULL, NO_EFFECT, NULL, RUN_ONLY}, {"copy_X", NULL, NO_EFFECT, NULL, RUN_ONLY}, {       \
        "random_state", NULL, SEED, NULL, ""                                                                                                                   \
    }
static const parameter lasso_parameters[] = {DESCENT, {NULL}};
static const parameter elastic_net_parameters[] = {{"l1_ratio", "l1_ratio", SAME, NULL, ""}, DESCENT, {NULL}};
static const parameter logistic_parameters[] = {
    {"C", "l2", INVERSE, NULL, "l2 = 1 / C"},
    {"max_iter", "max_iterations", SAME, NULL, ""},
    {"penalty", NULL, ONLY, "[\"l2\"]", "the penalty is on squared coefficients"},
    {"fit_intercept", NULL, ONLY, "[true]", UNPENALISED},
    {"class_weight", NULL, ONLY, "[null]", "classes weigh as many rows as they have"},
    {"l1_ratio", NULL, ONLY, "[null, 0]", "the penalty is on squared coefficients"},
    {"solver", NULL, NO_EFFECT, NULL, EXACT},
    {"tol", NULL, NO_EFFECT, NULL, EXACT},
    {"multi_class", NULL, NO_EFFECT, NULL, "several classes are always fitted together"},
    {"n_jobs", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"verbose", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"random_state", NULL, SEED, NULL, ""},
    {NULL},
};
static const parameter forest_parameters[] = {
    {"n_estimators", "trees", SAME, NULL, ""},
    {"max_depth", "max_depth", UNBOUNDED, "100", "null: until leaves are pure"},
    {"min_samples_leaf", "min_child_weight", ROWS, NULL, ""},
    {"max_features", "colsample_bynode", COLUMNS, NULL, "share of the columns tried at a split"},
    {"bootstrap", "subsample", BOOTSTRAP, "0.632", "true: a tree sees 63.2 % of the rows, drawn without replacement; false: all"},
    {"max_samples", "subsample", SAME, NULL, "a share of the rows"},
    {"random_state", NULL, SEED, NULL, ""},
    {"criterion", NULL, ONLY, "[\"squared_error\", \"mse\", \"gini\"]", "splits lower the squared error, or Gini's impurity"},
    {"min_samples_split", NULL, ONLY, "[2]", "a split asks for rows in its leaves only: min_samples_leaf"},
    {"max_leaf_nodes", NULL, ONLY, "[null]", "leaves are not counted: max_depth, min_samples_leaf"},
    {"min_impurity_decrease", NULL, ONLY, "[0]", "a split needs no least gain"},
    {"min_weight_fraction_leaf", NULL, ONLY, "[0]", "leaves are bounded in rows: min_samples_leaf"},
    {"ccp_alpha", NULL, ONLY, "[0]", "trees are not pruned"},
    {"class_weight", NULL, ONLY, "[null]", "classes weigh as many rows as they have"},
    {"oob_score", NULL, NO_EFFECT, NULL, "models are judged by folds"},
    {"warm_start", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"n_jobs", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"verbose", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {NULL},
};
static const parameter xgboost_parameters[] = {
    {"n_estimators", "rounds", SAME, NULL, ""},
    {"num_boost_round", "rounds", SAME, NULL, ""},
    {"learning_rate", "eta", SAME, NULL, ""},
    {"max_depth", "max_depth", UNBOUNDED, "30", "0 and null: as deep as there can be, 30 levels"},
    {"reg_lambda", "l2", SAME, NULL, ""},
    {"lambda", "l2", SAME, NULL, ""},
    {"min_split_loss", "gamma", SAME, NULL, ""},
    {"random_state", NULL, SEED, NULL, ""},
    {"seed", NULL, SEED, NULL, ""},
    {"reg_alpha", NULL, ONLY, "[0, null]", "the penalty is on squared leaf values: reg_lambda"},
    {"alpha", NULL, ONLY, "[0, null]", "the penalty is on squared leaf values: reg_lambda"},
    {"colsample_bylevel", NULL, ONLY, "[1, null]", "columns are sampled by tree: colsample_bytree"},
    {"colsample_bynode", NULL, ONLY, "[1, null]", "columns are sampled by tree: colsample_bytree"},
    {"booster", NULL, ONLY, "[\"gbtree\"]", "the boosted models are trees"},
    {"tree_method", NULL, ONLY, "[\"hist\", \"auto\"]", "thresholds come from histograms: max_bin"},
    {"objective", NULL, ONLY, "[\"reg:squarederror\", \"binary:logistic\", \"multi:softprob\", \"multi:softmax\"]", "the loss follows from the task"},
    {"eval_metric", NULL, NO_EFFECT, NULL, "early stopping watches the loss that is fitted"},
    {"n_jobs", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"nthread", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"verbosity", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"use_label_encoder", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {NULL},
};
static const parameter boosting_parameters[] = {
    {"n_estimators", "rounds", SAME, NULL, ""},
    {"learning_rate", "eta", SAME, NULL, ""},
    {"max_depth", "max_depth", UNBOUNDED, "30", "null: as deep as there can be, 30 levels"},
    {"min_samples_leaf", "min_child_weight", ROWS, NULL, "of classes the sum of p(1 - p) of a leaf's rows"},
    {"n_iter_no_change", "early_stopping_rounds", SAME, NULL, "null: no early stopping"},
    {"validation_fraction", "validation_share", SAME, NULL, "the last rows, not drawn ones"},
    {"random_state", NULL, SEED, NULL, ""},
    {"loss", NULL, ONLY, "[\"squared_error\", \"ls\", \"log_loss\", \"deviance\"]", "squared error, or log loss of classes"},
    {"criterion", NULL, ONLY, "[\"friedman_mse\", \"squared_error\"]", "splits lower the loss"},
    {"max_features", NULL, ONLY, "[null, 1.0]", "columns are sampled by tree: colsample_bytree"},
    {"min_samples_split", NULL, ONLY, "[2]", "a split asks for rows in its leaves only: min_samples_leaf"},
    {"max_leaf_nodes", NULL, ONLY, "[null]", "leaves are not counted: max_depth"},
    {"min_impurity_decrease", NULL, ONLY, "[0]", "gamma is the least gain of a split"},
    {"min_weight_fraction_leaf", NULL, ONLY, "[0]", "leaves are bounded in rows: min_samples_leaf"},
    {"ccp_alpha", NULL, ONLY, "[0]", "trees are not pruned"},
    {"tol", NULL, ONLY, "[0.0001]", "any lower loss counts"},
    {"init", NULL, ONLY, "[null]", "boosting begins at the mean label"},
    {"warm_start", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"verbose", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {NULL},
};
static const parameter svr_parameters[] = {
    {"C", "c", SAME, NULL, ""},
    {"gamma", "gamma", GAMMA, NULL, "\"scale\": 1 / (columns x variance); \"auto\": 1 / columns"},
    {"shrinking", NULL, NO_EFFECT, NULL, EXACT},
    {"cache_size", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {"max_iter", NULL, ONLY, "[-1]", "training goes on until tol is reached"},
    {"verbose", NULL, NO_EFFECT, NULL, RUN_ONLY},
    {NULL},
};
static const parameter no_parameters[] = {{"random_state", NULL, SEED, NULL, ""}, {NULL}};

#define SCIKIT_FOREST "{\"max_depth\": 100, \"colsample_bynode\": 1}"
#define LIBRARY_XGBOOST "{\"rounds\": 100, \"max_depth\": 6, \"eta\": 0.3, \"min_child_weight\": 1, \"subsample\": 1, \"colsample_bytree\": 1}"
#define SCIKIT_BOOSTING "{\"rounds\": 100, \"max_depth\": 3, \"min_child_weight\": 1, \"subsample\": 1, \"colsample_bytree\": 1, \"l2\": 0}"
static const known_model known_models[] = {
    {{"linear_regression", "linear"}, "linear", NULL, linear_parameters},
    {{"ridge", "ridge_regression"}, "ridge", NULL, ridge_parameters},
    {{"lasso", "lasso_regression"}, "lasso", NULL, lasso_parameters},
    {{"elastic_net", "elasticnet", "elastic_net_regression"}, "elastic_net", NULL, elastic_net_parameters},
    {{"random_forest"}, "random_forest", SCIKIT_FOREST, forest_parameters},
    {{"xgboost", "xgb"}, "xgboost", LIBRARY_XGBOOST, xgboost_parameters},
    {{"gradient_boosting", "gbm", "gbt"}, "xgboost", SCIKIT_BOOSTING, boosting_parameters},
    {{"svr", "support_vector_regression", "support_vector_machine"}, "svr", NULL, svr_parameters},
    {{"logistic_regression", "logistic"}, "logistic", NULL, logistic_parameters},
};
enum { KNOWN = sizeof known_models / sizeof *known_models, NAMES_MAX = 160 };

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the models of a training file");
}

/* ---- values ---- */

static weir_status refuse(const char *path, const cJSON *value, const char *expected, weir_err *err) {
    char *text = cJSON_PrintUnformatted(value);
    weir_status status = WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected %s", path, text ? text : weir_json_kind(value), expected);
    cJSON_free(text);
    return status;
}

static bool set(cJSON *out, const char *name, cJSON *value) {
    if (!value) return false;
    cJSON_DeleteItemFromObjectCaseSensitive(out, name);
    if (cJSON_AddItemToObject(out, name, value)) return true;
    cJSON_Delete(value);
    return false;
}

static weir_status convert_columns(const parameter *p, const char *path, const cJSON *value, cJSON **ret_value, weir_err *err) {
    const char *text = cJSON_GetStringValue(value);
    double n = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    if (cJSON_IsNull(value) || (text && !strcmp(text, "auto")))
        *ret_value = cJSON_CreateNumber(1);
    else if (text && (!strcmp(text, "sqrt") || !strcmp(text, "log2")))
        *ret_value = cJSON_CreateString(text); /* settled when the columns are known */
    else if (n > 0 && n <= 1)
        *ret_value = cJSON_CreateNumber(n);
    else if (n > 1 && n == floor(n))
        *ret_value = cJSON_CreateNumber(-n); /* settled too: a number of columns */
    else
        return refuse(path, value, "a share, a number of columns, \"sqrt\", \"log2\" or null", err);
    (void)p;
    return WEIR_OK;
}

static weir_status convert_gamma(const char *path, const cJSON *value, cJSON **ret_value, weir_err *err) {
    const char *text = cJSON_GetStringValue(value);
    if (text && !strcmp(text, "scale"))
        *ret_value = cJSON_CreateNumber(0);
    else if (text && !strcmp(text, "auto"))
        *ret_value = cJSON_CreateString(text);
    else if (cJSON_IsNumber(value))
        *ret_value = cJSON_CreateNumber(value->valuedouble);
    else
        return refuse(path, value, "a number, \"scale\" or \"auto\"", err);
    return WEIR_OK;
}

static weir_status check_only(const parameter *p, const char *path, const cJSON *value, weir_err *err) {
    cJSON *allowed = cJSON_Parse(p->text), *item;
    bool ok = false;
    char expected[200];
    if (!allowed) return no_memory(err);
    cJSON_ArrayForEach(item, allowed) ok |= cJSON_Compare(item, value, true);
    cJSON_Delete(allowed);
    snprintf(expected, sizeof expected, "one of %s: it has no counterpart here, %s", p->text, p->doc);
    return ok ? WEIR_OK : refuse(path, value, expected, err);
}

/* What a value becomes: *ret_value is NULL where nothing of the algorithm's is set. */
static weir_status convert(const parameter *p, const char *path, const cJSON *value, cJSON **ret_value, weir_err *err) {
    double n = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    weir_status status = WEIR_OK;
    *ret_value = NULL;
    switch (p->how) {
    case NO_EFFECT: return WEIR_OK;
    case ONLY: return check_only(p, path, value, err);
    case SEED: return cJSON_IsNull(value) || (n >= 0 && n == floor(n) && n <= 0x1p53) ? WEIR_OK : refuse(path, value, "a whole number from 0, or null", err);
    case COLUMNS: status = convert_columns(p, path, value, ret_value, err); break;
    case GAMMA: status = convert_gamma(path, value, ret_value, err); break;
    case BOOTSTRAP:
        if (!cJSON_IsBool(value)) return refuse(path, value, "true or false", err);
        *ret_value = cJSON_IsTrue(value) ? cJSON_CreateRaw(p->text) : cJSON_CreateNumber(1);
        break;
    case UNBOUNDED: *ret_value = cJSON_IsNull(value) || n == 0 ? cJSON_CreateRaw(p->text) : cJSON_Duplicate(value, true); break;
    case ROWS:
        if (!(n >= 1 && n == floor(n))) return refuse(path, value, "a whole number of rows from 1", err);
        *ret_value = cJSON_CreateNumber(n);
        break;
    case INVERSE:
        if (!(n > 0)) return refuse(path, value, "a number above 0", err);
        *ret_value = cJSON_CreateNumber(1 / n);
        break;
    case SAME:
        if (cJSON_IsNull(value)) return WEIR_OK;
        *ret_value = cJSON_Duplicate(value, true);
        break;
    }
    if (!status && !*ret_value) return no_memory(err);
    if (!status && cJSON_IsRaw(*ret_value)) { /* as a number, so that it is checked and compared as one */
        cJSON *number = cJSON_Parse((*ret_value)->valuestring);
        cJSON_Delete(*ret_value);
        *ret_value = number;
        if (!number) return no_memory(err);
    }
    return status;
}

/* ---- names ---- */

static const known_model *find_model(const char *name, known_model *room) {
    for (int m = 0; m < KNOWN; m++)
        for (int i = 0; i < 4 && known_models[m].names[i]; i++)
            if (!strcmp(known_models[m].names[i], name)) return &known_models[m];
    const weir_algorithm *algorithm = weir_algorithm_find(name); /* one that only Weir has: its own parameters */
    if (!algorithm) return NULL;
    *room = (known_model){.names = {algorithm->name}, .algorithm = algorithm->name, .parameters = no_parameters};
    return room;
}

static weir_status unknown_model(const char *path, const char *name, weir_err *err) {
    const char *names[NAMES_MAX] = {NULL};
    int n = 0;
    for (int m = 0; m < KNOWN; m++)
        for (int i = 0; i < 4 && known_models[m].names[i]; i++) names[n++] = known_models[m].names[i];
    for (int i = 0; weir_algorithms()[i] && n < NAMES_MAX - 1; i++) names[n++] = weir_algorithms()[i]->name;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "%s.%s: unknown model%s%s%s; expected linear_regression, ridge, lasso, elastic_net, random_forest, xgboost, gradient_boosting, svr, "
                     "logistic_regression or an "
                     "algorithm of Weir's",
                     path, name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static const parameter *find_parameter(const known_model *model, const weir_algorithm *algorithm, const char *name, parameter *room) {
    for (const parameter *p = model->parameters; p->theirs; p++)
        if (!strcmp(p->theirs, name)) return p;
    for (const weir_conf_item *item = algorithm->params; item->name; item++) {
        if (strcmp(item->name, name) != 0) continue;
        *room = (parameter){item->name, item->name, SAME, NULL, ""};
        return room;
    }
    return NULL;
}

static weir_status unknown_parameter(const known_model *model, const weir_algorithm *algorithm, const char *path, const char *name, weir_err *err) {
    const char *names[NAMES_MAX] = {NULL};
    int n = 0;
    for (const parameter *p = model->parameters; p->theirs && n < NAMES_MAX - 1; p++) names[n++] = p->theirs;
    for (const weir_conf_item *item = algorithm->params; item->name && n < NAMES_MAX - 1; item++) names[n++] = item->name;
    const char *near = weir_conf_nearest(name, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: %s has no such parameter here%s%s%s", path, name, model->names[0], near ? "; did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
}

/* ---- a model ---- */

typedef struct reading {
    const known_model *model;
    weir_training_candidate *candidate;
    cJSON *notes;
    const char *path; /* "$.models.ridge" */
} reading;

static weir_status note(const reading *r, const parameter *p, weir_err *err) {
    char text[240];
    snprintf(text, sizeof text, "%s: %s has no effect: %s", r->path, p->theirs, p->doc);
    const cJSON *said;
    cJSON_ArrayForEach(said, r->notes) if (!strcmp(said->valuestring, text)) return WEIR_OK; /* of the hyperparameters and of the grid */
    return cJSON_AddItemToArray(r->notes, cJSON_CreateString(text)) ? WEIR_OK : no_memory(err);
}

/* The algorithm's own check, so that a value out of range is found when the file is read. What waits for the number of columns is left out. */
static weir_status check_params(const reading *r, const cJSON *params, const char *path, weir_err *err) {
    const weir_algorithm *algorithm = r->candidate->algorithm;
    void *object = weir_models_calloc(1, algorithm->params_size);
    cJSON *settled = cJSON_Duplicate(params, true);
    weir_status status = object && settled ? WEIR_OK : no_memory(err);
    if (!status) status = weir_training_params_settle(settled, 4, err);
    if (!status && !(status = weir_conf_defaults(algorithm->params, object, err))) status = weir_conf_from_json(algorithm->params, object, settled, path, err);
    if (object) weir_conf_done(algorithm->params, object);
    weir_models_free(object);
    cJSON_Delete(settled);
    return status;
}

/* The algorithm knows the parameter by another name than the file. */
static void name_as_given(const reading *r, const cJSON *given, const char *path, weir_err *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, given) {
        char ours[300];
        parameter room;
        const parameter *p = find_parameter(r->model, r->candidate->algorithm, item->string, &room);
        int len = p && p->ours ? snprintf(ours, sizeof ours, "%s.%s:", path, p->ours) : 0;
        if (!len || len >= (int)sizeof ours || strncmp(err->message, ours, (size_t)len) != 0) continue;
        const weir_err as_ours = *err;
        snprintf(err->message, sizeof err->message, "%s.%s:%s", path, item->string, as_ours.message + len);
        return;
    }
}

static weir_status read_params(reading *r, const cJSON *given, weir_err *err) {
    char path[200], at[300];
    const cJSON *item;
    weir_training_candidate *c = r->candidate;
    snprintf(path, sizeof path, "%s.hyperparameters", r->path);
    c->params = cJSON_Parse(r->model->base ? r->model->base : "{}");
    if (!c->params) return no_memory(err);
    if (given && !cJSON_IsObject(given)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object", path, weir_json_kind(given));
    cJSON_ArrayForEach(item, given) {
        parameter room;
        const parameter *p = find_parameter(r->model, c->algorithm, item->string, &room);
        cJSON *value;
        if (!p) return unknown_parameter(r->model, c->algorithm, path, item->string, err);
        snprintf(at, sizeof at, "%s.%s", path, item->string);
        weir_status status = convert(p, at, item, &value, err);
        if (!status && value && !set(c->params, p->ours, value)) status = no_memory(err);
        if (!status && p->how == NO_EFFECT) status = note(r, p, err);
        if (status) return status;
        if (p->how == SEED && cJSON_IsNumber(item)) {
            c->seeded = true;
            c->seed = (uint64_t)item->valuedouble;
        }
    }
    weir_status status = check_params(r, c->params, path, err);
    if (status) name_as_given(r, given, path, err);
    return status;
}

static bool holds(const cJSON *list, const cJSON *value) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (cJSON_Compare(item, value, true)) return true;
    }
    return false;
}

/* The values of one parameter. Those that become the same are tried once; those of a parameter without effect not at all. */
static weir_status read_values(reading *r, const parameter *p, const cJSON *given, const char *path, cJSON *grid, weir_err *err) {
    cJSON *values = cJSON_CreateArray(), *probe = cJSON_Duplicate(r->candidate->params, true), *value;
    const cJSON *item;
    weir_status status = values && probe ? WEIR_OK : no_memory(err);
    int i = 0;
    cJSON_ArrayForEach(item, given) {
        char at[340];
        if (status) break;
        snprintf(at, sizeof at, "%s[%d]", path, i++);
        status = convert(p, at, item, &value, err);
        if (status || !value) {
            if (!status && p->how == SAME) status = refuse(at, item, "a value", err);
            continue;
        }
        bool is_new = !holds(values, value);
        if (!set(probe, p->ours, cJSON_Duplicate(value, true)))
            status = no_memory(err);
        else
            status = check_params(r, probe, at, err);
        if (!status && is_new && !cJSON_AddItemToArray(values, value)) status = no_memory(err);
        if (!status && is_new) continue;
        cJSON_Delete(value);
    }
    cJSON_Delete(probe);
    if (!status && p->how == NO_EFFECT) status = note(r, p, err);
    if (!status && cJSON_GetArraySize(values) && !set(grid, p->ours, values)) return no_memory(err);
    if (status || !cJSON_GetArraySize(values)) cJSON_Delete(values);
    return status;
}

static weir_status read_grid(reading *r, const cJSON *given, weir_err *err) {
    char path[200], at[300];
    const cJSON *item;
    snprintf(path, sizeof path, "%s.hyperparameter_grid", r->path);
    if (!cJSON_IsObject(given)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object of lists", path, weir_json_kind(given));
    if (!(r->candidate->grid = cJSON_CreateObject())) return no_memory(err);
    cJSON_ArrayForEach(item, given) {
        parameter room;
        const parameter *p = find_parameter(r->model, r->candidate->algorithm, item->string, &room);
        if (!p) return unknown_parameter(r->model, r->candidate->algorithm, path, item->string, err);
        snprintf(at, sizeof at, "%s.%s", path, item->string);
        if (!cJSON_IsArray(item) || !cJSON_GetArraySize(item)) return refuse(at, item, "a list of values", err);
        if (p->how == SEED) return refuse(at, item, "nothing: seeds are not searched", err);
        if (p->ours && cJSON_GetObjectItemCaseSensitive(r->candidate->grid, p->ours))
            return refuse(at, item, "each parameter once: another name of it is there already", err);
        weir_status status = read_values(r, p, item, at, r->candidate->grid, err);
        if (status) return status;
    }
    if (r->candidate->grid->child) return WEIR_OK;
    cJSON_Delete(r->candidate->grid);
    r->candidate->grid = NULL;
    return WEIR_OK;
}

static weir_status read_flag(const cJSON *object, const char *path, const char *key, bool fallback, bool *ret_flag, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item && !cJSON_IsBool(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %s, expected true or false", path, key, weir_json_kind(item));
    *ret_flag = item ? cJSON_IsTrue(item) : fallback;
    return WEIR_OK;
}

static void candidate_done(weir_training_candidate *c) {
    weir_models_free(c->name);
    cJSON_Delete(c->params);
    cJSON_Delete(c->grid);
    *c = (weir_training_candidate){0};
}

static weir_status read_model(reading *r, const cJSON *given, bool *ret_enabled, weir_err *err) {
    static const char *const keys[] = {"enabled", "hyperparameters", "hyperparameter_tuning", "hyperparameter_grid", NULL};
    bool tuning = false;
    const cJSON *grid = cJSON_GetObjectItemCaseSensitive(given, "hyperparameter_grid");
    weir_training_candidate *c = r->candidate;
    weir_status status = weir_json_check_keys(given, r->path, keys, err);
    if (!status) status = read_flag(given, r->path, "enabled", true, ret_enabled, err);
    if (!status) status = read_flag(given, r->path, "hyperparameter_tuning", grid != NULL, &tuning, err);
    if (status) return status;
    size_t len = strlen(given->string);
    if (!(c->algorithm = weir_algorithm_find(r->model->algorithm)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: algorithm '%s' is not there", r->path, r->model->algorithm);
    if (!(c->name = weir_models_calloc(1, len + 1))) return no_memory(err);
    memcpy(c->name, given->string, len);
    status = read_params(r, cJSON_GetObjectItemCaseSensitive(given, "hyperparameters"), err);
    if (!status && tuning && !grid) return WEIR_FAIL(err, WEIR_EINVAL, "%s: hyperparameter_tuning is true and there is no hyperparameter_grid", r->path);
    if (!status && grid) status = read_grid(r, grid, err);
    if (status || tuning) return status;
    cJSON_Delete(c->grid); /* read for its mistakes only */
    c->grid = NULL;
    return WEIR_OK;
}

weir_status weir_training_models_read(const cJSON *section, const char *path, cJSON *notes, weir_training_models *ret_models, weir_err *err) {
    weir_training_models models = {0};
    const cJSON *item;
    weir_status status =
        cJSON_IsObject(section) ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object of models", path, weir_json_kind(section));
    cJSON_ArrayForEach(item, section) {
        char at[160];
        bool enabled = false;
        known_model room;
        if (status) break;
        if (models.count == WEIR_TRAINING_MODELS_MAX) {
            status = WEIR_FAIL(err, WEIR_EINVAL, "%s: more than %d models are enabled, expected at most that many", path, WEIR_TRAINING_MODELS_MAX);
            break;
        }
        snprintf(at, sizeof at, "%s.%s", path, item->string);
        reading r = {.model = find_model(item->string, &room), .candidate = &models.items[models.count], .notes = notes, .path = at};
        status = !r.model ? unknown_model(path, item->string, err) : read_model(&r, item, &enabled, err);
        if (!status && enabled)
            models.count++;
        else
            candidate_done(r.candidate);
    }
    if (!status && !models.count) status = WEIR_FAIL(err, WEIR_EINVAL, "%s: no model is enabled, expected at least one", path);
    if (status)
        weir_training_models_done(&models);
    else
        *ret_models = models;
    return status;
}

void weir_training_models_done(weir_training_models *models) {
    for (int i = 0; i < models->count; i++) candidate_done(&models->items[i]);
    *models = (weir_training_models){0};
}

weir_status weir_training_params_settle(cJSON *params, int column_count, weir_err *err) {
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(params, "colsample_bynode"), *gamma = cJSON_GetObjectItemCaseSensitive(params, "gamma");
    const char *text = cJSON_GetStringValue(columns);
    double n = text                                                  ? !strcmp(text, "sqrt") ? floor(sqrt(column_count)) : floor(log2(column_count))
                                                                : cJSON_IsNumber(columns) && columns->valuedouble < 0 ? -columns->valuedouble
                                                                     : 0;
    if ((text || n > 0) && !set(params, "colsample_bynode", cJSON_CreateNumber(fmin(1, (fmax(n, 1) + 0.5) / column_count))))
        return no_memory(err); /* half a column more: it is rounded down */
    if (cJSON_IsString(gamma) && !set(params, "gamma", cJSON_CreateNumber(1.0 / column_count))) return no_memory(err);
    return WEIR_OK;
}

/* ---- docs ---- */

static bool put_parameter(const parameter *p, weir_buf *out) {
    if (!weir_buf_printf(out, "| `%s` | ", p->theirs)) return false;
    switch (p->how) {
    case NO_EFFECT: return weir_buf_printf(out, "no effect | %s |\n", p->doc);
    case SEED: return weir_buf_printf(out, "the seed | |\n");
    case ONLY: return weir_buf_printf(out, "only %s | %s |\n", p->text, p->doc);
    default: return weir_buf_printf(out, "`%s` | %s |\n", p->ours, p->doc);
    }
}

weir_status weir_training_models_markdown(weir_buf *out, weir_err *err) {
    bool ok = true;
    for (int m = 0; ok && m < KNOWN; m++) {
        const known_model *model = &known_models[m];
        ok = weir_buf_printf(out, "### %s\n\n", model->names[0]);
        for (int i = 1; ok && i < 4 && model->names[i]; i++)
            ok = weir_buf_printf(out, "%s`%s`%s", i == 1 ? "Also " : ", ", model->names[i], i < 3 && model->names[i + 1] ? "" : ". ");
        ok = ok && weir_buf_printf(out, "Algorithm `%s`", model->algorithm) && (!model->base || weir_buf_printf(out, ", beginning with `%s`", model->base)) &&
             weir_buf_printf(out, ".\n\n| parameter | becomes | |\n|---|---|---|\n");
        for (const parameter *p = model->parameters; ok && p->theirs; p++) ok = put_parameter(p, out);
        ok = ok && weir_buf_printf(out, "\n");
    }
    return ok ? WEIR_OK : no_memory(err);
}
