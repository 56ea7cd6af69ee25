/* The algorithms: own ones, then those of plugins. */
#include "models/algorithms.h"

#include <string.h>

#include "core/plugin.h"

enum { ALGORITHMS_MAX = 128 };

static const weir_algorithm *const own[] = {&weir_algorithm_logistic, &weir_algorithm_xgboost, &weir_algorithm_forest,      &weir_algorithm_linear,
                                            &weir_algorithm_ridge,    &weir_algorithm_lasso,   &weir_algorithm_elastic_net, &weir_algorithm_svr,
                                            &weir_algorithm_sgd,      &weir_algorithm_ftrl,    &weir_algorithm_hoeffding,   NULL};

static weir_plugin_kind plugins;

/* One list after each plugin: whoever walks an older one is not disturbed. lists[0] is not used, `own` stands for it. */
static const weir_algorithm *lists[WEIR_PLUGINS_MAX + 1][ALGORITHMS_MAX + 1];
static _Atomic(const weir_algorithm *const *) newest = own;

const weir_algorithm *const *weir_algorithms(void) {
    return newest;
}

const weir_algorithm *weir_algorithm_find(const char *name) {
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        if (!strcmp((*a)->name, name)) return *a;
    return NULL;
}

static bool good_params(const weir_conf_item *params) {
    for (; params->name; params++)
        if (params->type != WEIR_CONF_BOOL && params->type != WEIR_CONF_INT && params->type != WEIR_CONF_NUMBER && params->type != WEIR_CONF_ENUM) return false;
    return true;
}

/* What is missing in an algorithm; NULL when it is complete. */
static const char *incomplete(const weir_algorithm *a) {
    if (!a->doc || !a->preprocessing) return "a text (doc or preprocessing)";
    if (!a->tasks || a->tasks >> WEIR_TASK_COUNT) return "a valid set of tasks";
    if (!a->params || !a->params_size) return "hyperparameters (params and params_size; an empty table has one item without a name)";
    if (!good_params(a->params)) return "a valid hyperparameter (they are switches, whole numbers, numbers or choices)";
    if (!a->fit || !a->load || !a->predict || !a->unload) return "a method (fit, load, predict or unload)";
    return NULL;
}

static weir_status check_algorithms(const char *path, const void *table, weir_err *err) {
    const weir_algorithm *algorithms = table;
    int count = 0;
    while (weir_algorithms()[count]) count++;
    for (const weir_algorithm *a = algorithms; a->name; a++, count++) {
        const char *missing;
        if (a->abi != WEIR_ALGORITHM_ABI)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: algorithm %s has ABI %d, expected %d", path, a->name, a->abi, WEIR_ALGORITHM_ABI);
        if ((missing = incomplete(a))) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: algorithm %s lacks %s", path, a->name, missing);
        if (weir_algorithm_find(a->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: there is an algorithm %s already", path, a->name);
        for (const weir_algorithm *other = algorithms; other < a; other++)
            if (!strcmp(other->name, a->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: it has two algorithms %s", path, a->name);
        if (count == ALGORITHMS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "plugin %s: there are more than %d algorithms with its own", path, ALGORITHMS_MAX);
    }
    return WEIR_OK;
}

static const void *call(void *function) {
    const weir_algorithm *(*algorithms)(void);
    *(void **)&algorithms = function; /* as POSIX has it */
    return algorithms();
}

static void added(const void *table) {
    const weir_algorithm **list = lists[plugins.count];
    int count = 0;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) list[count++] = *a;
    for (const weir_algorithm *a = table; a->name; a++) list[count++] = a;
    newest = list;
}

static weir_plugin_kind plugins = {.function = WEIR_PLUGIN_ALGORITHMS, .call = call, .check = check_algorithms, .added = added};

__attribute__((constructor)) static void name_kind(void) {
    weir_plugin_kind_add(&plugins);
}
