/* The registry of feature operators: own families, then those of plugins. */
#include "features/operator.h"

#include <string.h>

#include "core/plugin.h"

static const weir_operator *const families[] = {weir_ops_aggregate, weir_ops_order,    weir_ops_decay,    weir_ops_market, weir_ops_indicators,
                                                weir_ops_series,    weir_ops_dynamics, weir_ops_spectrum, weir_ops_group};
enum { FAMILY_COUNT = sizeof(families) / sizeof(*families) };

static weir_plugin_kind plugins;

const weir_operator *weir_operator_at(int index) {
    int groups = FAMILY_COUNT + plugins.count;
    for (int g = 0; g < groups; g++) {
        for (const weir_operator *op = g < FAMILY_COUNT ? families[g] : plugins.tables[g - FAMILY_COUNT]; op->name; op++) {
            if (!index--) return op;
        }
    }
    return NULL;
}

const weir_operator *weir_operator_find(const char *name) {
    const weir_operator *op;
    for (int i = 0; (op = weir_operator_at(i)); i++) {
        if (!strcmp(op->name, name)) return op;
    }
    return NULL;
}

double weir_text_number(const void *text, size_t len) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a, 64 bits */
    for (const unsigned char *p = text; len--; p++) hash = (hash ^ *p) * UINT64_C(1099511628211);
    return (double)((hash >> 53 ^ hash) & ((UINT64_C(1) << 53) - 1)); /* folded to what a double holds exactly */
}

/* What is missing in an operator; NULL when it is complete. */
static const char *incomplete(const weir_operator *op) {
    bool folds = op->acc_size || op->init || op->add || op->value;
    if (!op->doc || !op->formula || !op->unit || !op->edges || !op->source) return "a text (doc, formula, unit, edges or source)";
    if (op->inputs_min < 0 || op->inputs_max < op->inputs_min || op->inputs_max > WEIR_INPUTS_MAX) return "a valid number of inputs";
    if (!(op->windows & WEIR_WINDOWS_EVERY)) return "windows";
    if (folds && !(op->acc_size && op->init && op->add && op->value)) return "a part of fold (acc_size, init, add, value)";
    if (!folds && !op->eval) return "eval and fold";
    return NULL;
}

static weir_status check_operators(const char *path, const void *table, weir_err *err) {
    const weir_operator *ops = table;
    for (const weir_operator *op = ops; op->name; op++) {
        const char *missing;
        if (op->abi != WEIR_OPERATOR_ABI)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: operator %s has ABI %d, expected %d", path, op->name, op->abi, WEIR_OPERATOR_ABI);
        if ((missing = incomplete(op))) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: operator %s lacks %s", path, op->name, missing);
        if (weir_operator_find(op->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: there is an operator %s already", path, op->name);
        for (const weir_operator *other = ops; other < op; other++) {
            if (!strcmp(other->name, op->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: it has two operators %s", path, op->name);
        }
    }
    return WEIR_OK;
}

static const void *call(void *function) {
    const weir_operator *(*operators)(void);
    *(void **)&operators = function; /* as POSIX has it */
    return operators();
}

static weir_plugin_kind plugins = {.function = WEIR_PLUGIN_OPERATORS, .call = call, .check = check_operators};

__attribute__((constructor)) static void name_kind(void) {
    weir_plugin_kind_add(&plugins);
}
