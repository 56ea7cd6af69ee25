/* Search spaces: the hyperparameters that tuning may choose, from JSON, and points of them.
 *
 *     {"max_depth": {"int": [2, 10]},                                  whole numbers; "log": true or "step": n
 *      "eta":       {"float": [0.01, 0.3], "log": true},              numbers; with "step" low, low + step, …
 *      "kernel":    {"choice": ["rbf", "poly"]},                       any JSON values
 *      "degree":    {"int": [2, 5], "when": {"kernel": ["poly"]}},     only there while every named choice is one of those listed
 *      "max_iter":  [100, 200, null]}                                  the same as a choice: the grid of a training file
 *
 * A point is one double a parameter: the number itself, the index of a choice, NaN while a condition does not hold. Parameters are in the order of their
 * names with parents before what depends on them, so the order of keys in a file, or what a jsonb column made of it, changes nothing. */
#ifndef WEIR_MODELS_SPACE_H
#define WEIR_MODELS_SPACE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum { WEIR_SPACE_PARAMS_MAX = 64, WEIR_SPACE_CHOICES_MAX = 1024, WEIR_SPACE_CONDITIONS_MAX = 8 };

typedef enum weir_space_kind { WEIR_SPACE_FLOAT, WEIR_SPACE_INT, WEIR_SPACE_CHOICE } weir_space_kind;

/* Holds while the parent's choice is one of those allowed. */
typedef struct weir_condition {
    int parent; /* index of a choice parameter, smaller than this parameter's */
    const bool *allowed; /* [choices of the parent] */
} weir_condition;

typedef struct weir_param {
    const char *name;
    weir_space_kind kind;
    double low, high; /* both may be chosen; with a step high is low + a whole number of steps; of a choice 0 and count − 1 */
    double step; /* 0: continuous; an INT's is at least 1, a CHOICE's is 1 */
    bool log;
    const cJSON *choices; /* CHOICE: array */
    weir_condition conditions[WEIR_SPACE_CONDITIONS_MAX];
    int condition_count;
} weir_param;

typedef struct weir_space weir_space;

/** Validates and copies. path ("$.tuning.space") prefixes messages. Errors: WEIR_EINVAL with the path, what was found and what was expected; WEIR_ENOMEM. */
weir_status weir_space_new(const cJSON *json, const char *path, weir_space **ret_space, weir_err *err) WEIR_MUST_CHECK;
void weir_space_free(weir_space *space);
int weir_space_size(const weir_space *space); /* number of parameters, at least 1 */
const weir_param *weir_space_at(const weir_space *space, int index);

/** Do the conditions of parameter `index` hold? Looks at the point's values before it only. */
bool weir_space_active(const weir_space *space, int index, const double *point);
/** How many values parameter `index` has; 0: too many to list (continuous). */
int64_t weir_param_count(const weir_param *param);
/** The value nearest to x that is within the parameter's bounds and on its steps. */
double weir_param_clamp(const weir_param *param, double x);
/** weir_param_clamp, rounded to 15 significant digits, so that JSON gives it back as it was. */
double weir_param_snap(const weir_param *param, double x);

/** {"max_depth": 5, …} of the active parameters; the caller deletes it. NULL when memory ran out. */
cJSON *weir_space_params(const weir_space *space, const double *point) WEIR_MUST_CHECK;
/** The point of such an object. Every active parameter must be there and no other. ret_point [size] is untouched on failure. Errors: WEIR_EDATA. */
weir_status weir_space_point(const weir_space *space, const cJSON *params, double *ret_point, weir_err *err) WEIR_MUST_CHECK;

#endif
