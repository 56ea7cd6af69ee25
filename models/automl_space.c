/* What may be chosen: the default space over a training set, and the specs that its points stand for.
 *
 * Every linear method standardises its columns itself, and trees do not mind how a column is scaled, so the default space does not scale: it would be the same
 * model under several names. For trees it neither fills gaps (each split learns a side for them) nor clips. Ranges that are in units of the label are
 * multiples of its standard deviation. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/automl_internal.h"
#include "models/json.h"
#include "models/memory.h"

enum { SVR_ROWS_MAX = 5000, SELECT_COLUMNS_MIN = 8, NAME_MAX_BYTES = 192 };
#define IMBALANCE_MIN 3 /* negative rows a positive one before its weight is searched for */

typedef enum range_unit { PLAIN, OF_LABEL, OF_COLUMNS } range_unit; /* as it is; × standard deviation of the label; ÷ columns */

typedef struct range {
    const char *algorithm, *param;
    double low, high;
    bool whole, log;
    double start; /* where the search begins; 0: at the algorithm's default */
    double quick; /* and where a model begins that is good for its time; 0: as start. An algorithm with any of them begins twice, with this one first */
    range_unit unit;
} range;

static const range ranges[] = {
    {"logistic", "l2", 1e-3, 1e4, .log = true},
    {"ridge", "alpha", 1e-3, 1e5, .log = true},
    {"lasso", "alpha", 1e-4, 1, .log = true, .start = 0.01, .unit = OF_LABEL},
    {"elastic_net", "alpha", 1e-4, 1, .log = true, .start = 0.01, .unit = OF_LABEL},
    {"elastic_net", "l1_ratio", 0.05, 1},
    {"xgboost", "rounds", 50, 1000, .whole = true, .log = true, .quick = 100},
    {"xgboost", "max_depth", 2, 10, .whole = true, .quick = 7},
    {"xgboost", "eta", 0.01, 0.3, .log = true, .quick = 0.12},
    {"xgboost", "min_child_weight", 0.5, 64, .log = true, .quick = 5},
    {"xgboost", "subsample", 0.5, 1},
    {"xgboost", "colsample_bytree", 0.4, 1},
    {"xgboost", "l2", 0.01, 100, .log = true},
    {"xgboost", "max_bin", 128, 1024, .whole = true, .log = true, .quick = 256}, /* of deep trees most of the time goes into bins: with 256 it is half */
    {"random_forest", "trees", 50, 200, .whole = true, .log = true, .start = 50},
    {"random_forest", "max_depth", 4, 24, .whole = true, .log = true, .start = 12},
    {"random_forest", "min_child_weight", 1, 64, .log = true, .start = 2},
    {"random_forest", "colsample_bynode", 0.1, 1, .start = 0.4},
    /* The default of 4096 takes ten times as long as 256 (50 trees of depth 12 on 36 000 x 30 traffic rows: 47 s against 5 s, R2 0.9817 against 0.9816). */
    {"random_forest", "max_bin", 128, 1024, .whole = true, .log = true, .start = 256},
    {"svr", "c", 0.1, 100, .log = true, .start = 1, .unit = OF_LABEL},
    {"svr", "epsilon", 1e-3, 0.5, .log = true, .start = 0.1, .unit = OF_LABEL},
    {"svr", "gamma", 0.05, 20, .log = true, .start = 1, .unit = OF_COLUMNS},
    {0},
};

/* In the order in which they are tried: a linear model for the comparison, then boosted trees, which are the best of most tables, what takes longest last. The
 * names are also those that are taken when nobody named any. */
static const char *const usual[] = {"ridge", "logistic", "xgboost", "linear", "lasso", "elastic_net", "random_forest", "svr", NULL};

static const char *const reserved[] = {"algorithm", "preprocessing", "encode",   "outliers",   "impute",           "indicator",
                                       "scale",     "select",        "select_k", "select_fdr", "select_threshold", NULL};

static bool is_tree(const char *algorithm) {
    return !strcmp(algorithm, "xgboost") || !strcmp(algorithm, "random_forest");
}

static bool is_among(const char *name, const char *const *names) {
    for (; *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

/* What of the set decides about its space. */
typedef struct facts {
    bool missing; /* in a column of numbers */
    int numbers, categories;
    double deviation; /* of the label */
    double negatives_per_positive;
} facts;

static bool is_category(const weir_trainset *set, int column) {
    return set->matrix.kinds && set->matrix.kinds[column].kind == WEIR_PREP_CATEGORY;
}

static bool has_gaps(const weir_trainset *set, int column) {
    const weir_matrix *m = &set->matrix;
    for (int64_t r = 0; r < m->row_count; r++)
        if (isnan(m->values[r * m->column_count + column])) return true;
    return false;
}

static facts look_at(const weir_trainset *set) {
    const weir_matrix *m = &set->matrix;
    facts f = {0};
    double mean = 0, squares = 0, positives = 0;
    for (int c = 0; c < m->column_count; c++) {
        bool category = is_category(set, c);
        f.categories += category;
        f.numbers += !category;
        f.missing = f.missing || (!category && has_gaps(set, c));
    }
    for (int64_t r = 0; r < m->row_count; r++) { /* Welford 1962 */
        double before = m->label[r] - mean;
        mean += before / (double)(r + 1);
        squares += before * (m->label[r] - mean);
        positives += m->label[r] == 1;
    }
    f.deviation = m->row_count ? sqrt(squares / (double)m->row_count) : 0;
    if (!(f.deviation > 0) || !isfinite(f.deviation)) f.deviation = 1;
    f.negatives_per_positive = positives > 0 ? ((double)m->row_count - positives) / positives : 1;
    return f;
}

/* Six digits are enough for a bound, and JSON keeps them. */
static double rounded(double x) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", x);
    return strtod(text, NULL);
}

/* ---- the space ---- */

/* "when": {parent: [values …]}; values is copied. */
static bool add_condition(cJSON *item, const char *parent, const cJSON *values) {
    cJSON *when = cJSON_AddObjectToObject(item, "when"), *copy = cJSON_Duplicate(values, true);
    if (when && copy && cJSON_AddItemToObject(when, parent, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

static bool add_choice(cJSON *space, const char *name, const char *const *values, const char *parent, const cJSON *parent_values) {
    cJSON *item = cJSON_AddObjectToObject(space, name), *choice = item ? cJSON_AddArrayToObject(item, "choice") : NULL;
    for (int i = 0; choice && values[i]; i++) {
        cJSON *value = !strcmp(values[i], "false") || !strcmp(values[i], "true") ? cJSON_CreateBool(values[i][0] == 't') : cJSON_CreateString(values[i]);
        if (!value || !cJSON_AddItemToArray(choice, value)) return false;
    }
    return choice && (!parent || add_condition(item, parent, parent_values));
}

static bool add_range(cJSON *space, const char *name, double low, double high, bool whole, bool log, const char *parent, const cJSON *parent_values) {
    const double bounds[2] = {whole ? floor(low) : rounded(low), whole ? floor(high) : rounded(high)};
    cJSON *item = cJSON_AddObjectToObject(space, name), *array = cJSON_CreateDoubleArray(bounds, 2);
    if (!item || !array || !cJSON_AddItemToObject(item, whole ? "int" : "float", array)) {
        cJSON_Delete(array);
        return false;
    }
    return (!log || cJSON_AddTrueToObject(item, "log")) && add_condition(item, parent, parent_values);
}

static bool add_one_value(cJSON *array, const char *value) {
    cJSON *text = cJSON_CreateString(value);
    return text && cJSON_AddItemToArray(array, text);
}

static double unit_of(const range *r, const weir_trainset *set, const facts *f) {
    return r->unit == OF_LABEL ? f->deviation : r->unit == OF_COLUMNS ? 1.0 / set->matrix.column_count : 1;
}

static bool add_parameters(cJSON *space, const char *algorithm, const weir_trainset *set, const facts *f) {
    cJSON *own = cJSON_CreateArray();
    bool ok = own && add_one_value(own, algorithm);
    char name[NAME_MAX_BYTES];
    for (const range *r = ranges; ok && r->algorithm; r++) {
        if (strcmp(r->algorithm, algorithm) != 0) continue;
        snprintf(name, sizeof name, "%s.%s", algorithm, r->param);
        ok = add_range(space, name, r->low * unit_of(r, set, f), r->high * unit_of(r, set, f), r->whole, r->log, "algorithm", own);
    }
    if (ok && !strcmp(algorithm, "xgboost") && set->matrix.task == WEIR_TASK_BINARY && f->negatives_per_positive > IMBALANCE_MIN)
        ok = add_range(space, "xgboost.scale_pos_weight", 1, fmin(f->negatives_per_positive, 1e5), false, true, "algorithm", own);
    cJSON_Delete(own);
    return ok;
}

static bool add_selection(cJSON *space, const weir_trainset *set) {
    static const char *const by_label[] = {"none", "relevance", "mutual_information", NULL}, *const without[] = {"none", "correlation", NULL};
    int columns = set->matrix.column_count;
    if (columns < SELECT_COLUMNS_MIN) return true;
    if (set->matrix.task == WEIR_TASK_MULTICLASS) return add_choice(space, "select", without, NULL, NULL);
    cJSON *relevance = cJSON_CreateArray(), *information = cJSON_CreateArray();
    bool ok = relevance && information && add_one_value(relevance, "relevance") && add_one_value(information, "mutual_information") &&
              add_choice(space, "select", by_label, NULL, NULL) && add_range(space, "select_fdr", 1e-3, 0.2, false, true, "select", relevance) &&
              add_range(space, "select_k", fmax(2, columns / 8.0), columns - 1, true, true, "select", information);
    cJSON_Delete(relevance);
    cJSON_Delete(information);
    return ok;
}

static bool add_preparation(cJSON *space, const char *const *algorithms, const weir_trainset *set, const facts *f) {
    static const char *const encoders[] = {"one_hot", "ordinal", "hashing", NULL}, *const clips[] = {"none", "iqr", "zscore", NULL};
    static const char *const fills[] = {"mean", "median", "constant", NULL}, *const indicator[] = {"false", "true", NULL};
    cJSON *numeric = cJSON_CreateArray();
    bool ok = numeric != NULL;
    for (int i = 0; ok && algorithms[i]; i++) ok = is_tree(algorithms[i]) || add_one_value(numeric, algorithms[i]);
    if (ok && f->categories) ok = add_choice(space, "encode", encoders, NULL, NULL);
    if (ok && cJSON_GetArraySize(numeric) && f->numbers) ok = add_choice(space, "outliers", clips, "algorithm", numeric);
    if (ok && cJSON_GetArraySize(numeric) && f->missing)
        ok = add_choice(space, "impute", fills, "algorithm", numeric) && add_choice(space, "indicator", indicator, "algorithm", numeric);
    cJSON_Delete(numeric);
    return ok && add_selection(space, set);
}

/* Names that may be chosen [WEIR_CANDIDATES of them], NULL-terminated. */
static weir_status choose_algorithms(const weir_trainset *set, const char *const *wanted, const char **names, int room, weir_err *err) {
    weir_task task = set->matrix.task;
    int count = 0;
    for (int i = 0; !wanted && usual[i]; i++) {
        const weir_algorithm *a = weir_algorithm_find(usual[i]);
        bool slow = !strcmp(usual[i], "svr") && set->matrix.row_count > SVR_ROWS_MAX;
        if (a && weir_algorithm_can(a, task) && !slow) names[count++] = a->name;
    }
    for (int i = 0; wanted && wanted[i]; i++) {
        const weir_algorithm *a = weir_algorithm_find(wanted[i]);
        if (!a) return WEIR_FAIL(err, WEIR_EINVAL, "there is no algorithm '%s'", wanted[i]);
        if (!weir_algorithm_can(a, task)) return WEIR_FAIL(err, WEIR_EINVAL, "algorithm '%s' cannot do a %s task", wanted[i], weir_task_name(task));
        if (count + 1 >= room) return WEIR_FAIL(err, WEIR_ELIMIT, "found more than %d algorithms", room - 1);
        names[count] = NULL;
        if (!is_among(a->name, names)) names[count++] = a->name;
    }
    names[count] = NULL;
    return count ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "found no algorithm for a %s task", weir_task_name(task));
}

weir_status weir_automl_space(const weir_trainset *set, const char *const *algorithms, cJSON **ret_space, weir_err *err) {
    const char *names[WEIR_LEADERS_MAX];
    weir_status status = choose_algorithms(set, algorithms, names, WEIR_LEADERS_MAX, err);
    if (status != WEIR_OK) return status;
    facts f = look_at(set);
    cJSON *space = cJSON_CreateObject();
    bool ok = space && add_choice(space, "algorithm", names, NULL, NULL) && add_preparation(space, names, set, &f);
    for (int i = 0; ok && names[i]; i++) ok = add_parameters(space, names[i], set, &f);
    if (!ok) {
        cJSON_Delete(space);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search space");
    }
    *ret_space = space;
    return WEIR_OK;
}

/* ---- where to begin ---- */

static double from_table(const char *algorithm, const char *param) {
    const weir_algorithm *a = weir_algorithm_find(algorithm);
    for (const weir_conf_item *item = a ? a->params : NULL; item && item->name; item++)
        if (!strcmp(item->name, param) && item->fallback) {
            char *end;
            double x = strtod(item->fallback, &end);
            if (end != item->fallback && !*end) return x;
        }
    return NAN;
}

/* A number to begin with: of our own range, else the algorithm's default, else the middle. */
static double start_of(const weir_param *p, const char *algorithm, bool quick, const weir_trainset *set, const facts *f) {
    const char *dot = strchr(p->name, '.'), *param = dot ? dot + 1 : p->name;
    for (const range *r = ranges; dot && r->algorithm; r++) {
        double start = quick && r->quick > 0 ? r->quick : r->start;
        if (!strcmp(r->algorithm, algorithm) && !strcmp(r->param, param) && start > 0) return start * unit_of(r, set, f);
    }
    double x = algorithm ? from_table(algorithm, param) : NAN;
    if (!isnan(x)) return x;
    return p->log ? sqrt(p->low) * sqrt(p->high) : p->low / 2 + p->high / 2;
}

/* quick: where `quick` of the ranges says. What is there already is not added. */
static weir_status add_first(const weir_trainset *set, const weir_space *space, const facts *f, int choice, bool quick, cJSON *first, weir_err *err) {
    double point[WEIR_SPACE_PARAMS_MAX];
    const char *algorithm = NULL;
    for (int pass = 0; pass < 2; pass++) /* the algorithm may stand behind others that do not depend on it */
        for (int i = 0; i < weir_space_size(space); i++) {
            const weir_param *p = weir_space_at(space, i);
            bool chooses = !strcmp(p->name, "algorithm") && p->kind == WEIR_SPACE_CHOICE;
            point[i] = !weir_space_active(space, i, point) ? NAN
                       : p->kind == WEIR_SPACE_CHOICE      ? (chooses ? choice : 0)
                                                           : weir_param_snap(p, weir_param_clamp(p, start_of(p, algorithm, quick, set, f)));
            if (chooses) algorithm = cJSON_GetStringValue(cJSON_GetArrayItem(p->choices, choice));
        }
    cJSON *params = weir_space_params(space, point), *seen;
    cJSON_ArrayForEach(seen, first) {
        if (!params || !cJSON_Compare(seen, params, true)) continue;
        cJSON_Delete(params);
        return WEIR_OK;
    }
    if (params && cJSON_AddItemToArray(first, params)) return WEIR_OK;
    cJSON_Delete(params);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the first trials");
}

weir_status weir_automl_first(const weir_trainset *set, const cJSON *space_json, const char *path, cJSON **ret_first, weir_err *err) {
    weir_space *space = NULL;
    facts f = look_at(set);
    int choices = 1;
    weir_status status = weir_space_new(space_json, path, &space, err);
    if (status != WEIR_OK) return status;
    for (int i = 0; i < weir_space_size(space); i++) {
        const weir_param *p = weir_space_at(space, i);
        if (!strcmp(p->name, "algorithm") && p->kind == WEIR_SPACE_CHOICE) choices = cJSON_GetArraySize(p->choices);
    }
    cJSON *first = cJSON_CreateArray();
    if (!first) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the first trials");
    for (int i = 0; status == WEIR_OK && i < 2 * choices; i++) status = add_first(set, space, &f, i / 2, i % 2 == 0, first, err);
    weir_space_free(space);
    if (status == WEIR_OK)
        *ret_first = first;
    else
        cJSON_Delete(first);
    return status;
}

/* ---- a point as a spec ---- */

static const char *text_of(const cJSON *params, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, name));
    return text && strcmp(text, "none") != 0 ? text : NULL;
}

static bool put_copy(cJSON *object, const char *name, const cJSON *value) {
    cJSON *copy = cJSON_Duplicate(value, true);
    if (copy && cJSON_AddItemToObject(object, name, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

/* A new step {verb: method} at the end of the chain; NULL: no memory. */
static cJSON *add_step(cJSON *chain, const char *verb, const char *method) {
    cJSON *step = cJSON_CreateObject();
    if (step && cJSON_AddStringToObject(step, verb, method) && cJSON_AddItemToArray(chain, step)) return step;
    cJSON_Delete(step);
    return NULL;
}

/* Of the columns of numbers in which values are missing: an indicator of any other would never vary. */
static bool add_imputation(cJSON *chain, const weir_trainset *set, const char *method, bool indicator) {
    cJSON *columns = cJSON_CreateArray(), *step = NULL;
    bool ok = columns != NULL;
    for (int c = 0; ok && c < set->matrix.column_count; c++)
        if (!is_category(set, c) && has_gaps(set, c)) ok = add_one_value(columns, set->matrix.column_names[c]);
    if (!ok || !cJSON_GetArraySize(columns)) {
        cJSON_Delete(columns);
        return ok;
    }
    if ((step = add_step(chain, "impute", method)) && cJSON_AddItemToObject(step, "columns", columns))
        return !indicator || cJSON_AddTrueToObject(step, "indicator");
    cJSON_Delete(columns);
    return false;
}

static bool add_steps(cJSON *chain, const weir_trainset *set, const cJSON *params) {
    const char *outliers = text_of(params, "outliers"), *encode = text_of(params, "encode"), *impute = text_of(params, "impute");
    const char *scale = text_of(params, "scale"), *selection = text_of(params, "select");
    const cJSON *item;
    bool categories = false;
    cJSON *step;
    for (int c = 0; c < set->matrix.column_count; c++) categories = categories || is_category(set, c);
    if (outliers && (!(step = add_step(chain, "outliers", outliers)) || !cJSON_AddNumberToObject(step, strcmp(outliers, "iqr") ? "threshold" : "factor", 3) ||
                     !cJSON_AddStringToObject(step, "action", "clip")))
        return false;
    if (encode && categories && (!(step = add_step(chain, "encode", encode)) || !cJSON_AddStringToObject(step, "missing", "own"))) return false;
    if (impute && !add_imputation(chain, set, impute, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(params, "indicator")))) return false;
    if (scale && !add_step(chain, "scale", scale)) return false;
    if (!selection) return true;
    if (!(step = add_step(chain, "select", selection))) return false;
    if (!strcmp(selection, "correlation") && !cJSON_HasObjectItem(params, "select_threshold")) return cJSON_AddNumberToObject(step, "threshold", 0.95);
    static const char *const keys[] = {"k", "fdr", "threshold", NULL};
    for (int i = 0; keys[i]; i++) {
        char name[32];
        snprintf(name, sizeof name, "select_%s", keys[i]);
        if ((item = cJSON_GetObjectItemCaseSensitive(params, name)) && !put_copy(step, keys[i], item)) return false;
    }
    return true;
}

/* "ALGORITHM.name" of this algorithm, and names without a dot, are its parameters; those of other algorithms are left out. */
static bool add_own_params(cJSON *own, const char *algorithm, const cJSON *params) {
    const cJSON *item;
    size_t length = strlen(algorithm);
    cJSON_ArrayForEach(item, params) {
        if (is_among(item->string, reserved)) continue;
        bool prefixed = !strncmp(item->string, algorithm, length) && item->string[length] == '.';
        if (!prefixed && strchr(item->string, '.')) continue;
        if (!put_copy(own, prefixed ? item->string + length + 1 : item->string, item)) return false;
    }
    return true;
}

weir_status weir_automl_spec(const weir_trainset *set, const cJSON *params, cJSON **ret_spec, weir_err *err) {
    const char *algorithm = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "algorithm"));
    const cJSON *chain = cJSON_GetObjectItemCaseSensitive(params, "preprocessing");
    if (!algorithm)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.tuning.space: found a point without an algorithm, expected \"algorithm\" to be a choice, such as [\"xgboost\"]");
    cJSON *spec = cJSON_CreateObject(), *own = NULL, *steps = NULL;
    bool ok = spec && cJSON_AddStringToObject(spec, "algorithm", algorithm) && (own = cJSON_AddObjectToObject(spec, "params")) != NULL &&
              add_own_params(own, algorithm, params);
    if (ok && !cJSON_GetArraySize(own)) cJSON_DeleteItemFromObject(spec, "params");
    if (ok && chain && !cJSON_IsNull(chain)) {
        ok = put_copy(spec, "preprocessing", chain);
    } else if (ok) {
        ok = (steps = cJSON_AddArrayToObject(spec, "preprocessing")) != NULL && add_steps(steps, set, params);
        if (ok && !cJSON_GetArraySize(steps)) cJSON_DeleteItemFromObject(spec, "preprocessing");
    }
    if (ok && set->target_count > 1) {
        cJSON *all = cJSON_CreateObject();
        ok = all && cJSON_AddItemToObject(all, "targets", spec);
        spec = ok ? all : spec;
        if (!ok) cJSON_Delete(all);
    }
    if (ok) {
        *ret_spec = spec;
        return WEIR_OK;
    }
    cJSON_Delete(spec);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a spec");
}
