/* Grid search: every combination, in the order of the space's parameters, the last one varying fastest.
 *
 * A parameter whose condition does not hold takes part in one combination only. {"a": [x, y], "b": {"int": [1, 2], "when": {"a": ["y"]}}}:
 *
 *     number  a  b
 *     0       x  –
 *     1       y  1
 *     2       y  2 */
#include <math.h>

#include "models/sampler.h"

enum { GRID_MAX = 100000 };

static double value_at(const weir_param *p, int64_t index) {
    return weir_param_snap(p, p->low + (double)index * (p->step > 0 ? p->step : 0));
}

/* Parameters from `from` on at their first values. */
static void reset(const weir_space *space, int from, int64_t *digits, double *point) {
    for (int i = from; i < weir_space_size(space); i++) {
        digits[i] = 0;
        point[i] = weir_space_active(space, i, point) ? value_at(weir_space_at(space, i), 0) : NAN;
    }
}

/* The next combination; false after the last one. */
static bool advance(const weir_space *space, int64_t *digits, double *point) {
    for (int i = weir_space_size(space) - 1; i >= 0; i--) {
        const weir_param *p = weir_space_at(space, i);
        if (isnan(point[i]) || digits[i] + 1 == weir_param_count(p)) continue;
        point[i] = value_at(p, ++digits[i]);
        reset(space, i + 1, digits, point);
        return true;
    }
    return false;
}

/* All combinations, but at most GRID_MAX + 1. */
static int64_t size(const weir_space *space) {
    int64_t digits[WEIR_SPACE_PARAMS_MAX], count = 1;
    double point[WEIR_SPACE_PARAMS_MAX];
    reset(space, 0, digits, point);
    while (count <= GRID_MAX && advance(space, digits, point)) count++;
    return count;
}

static weir_status check(const weir_space *space, weir_err *err) {
    for (int i = 0; i < weir_space_size(space); i++) {
        const weir_param *p = weir_space_at(space, i);
        if (!weir_param_count(p))
            return WEIR_FAIL(err, WEIR_EINVAL, "a grid cannot list the values of '%s': expected a step, whole numbers or choices", p->name);
    }
    if (size(space) > GRID_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "a grid has more than %d combinations, which is the most", GRID_MAX);
    return WEIR_OK;
}

/* Counted up from the first: at most GRID_MAX cheap steps, where a formula would have to know the conditions. */
static weir_status suggest(const void *settings, const weir_trials *history, int number, uint64_t seed, double *ret_point, weir_err *err) {
    (void)settings;
    (void)seed;
    int64_t digits[WEIR_SPACE_PARAMS_MAX];
    double point[WEIR_SPACE_PARAMS_MAX];
    reset(history->space, 0, digits, point);
    for (int i = 0; i < number; i++)
        if (!advance(history->space, digits, point)) return WEIR_FAIL(err, WEIR_ELIMIT, "the grid has %d combinations, all of them were handed out", i + 1);
    for (int i = 0; i < weir_space_size(history->space); i++) ret_point[i] = point[i];
    return WEIR_OK;
}

static const weir_conf_item no_settings[] = {{0}};

const weir_sampler weir_sampler_grid = {
    .abi = WEIR_SAMPLER_ABI,
    .name = "grid",
    .doc = "every combination of values, once",
    .settings = no_settings,
    .settings_size = 1,
    .check = check,
    .size = size,
    .suggest = suggest,
};
