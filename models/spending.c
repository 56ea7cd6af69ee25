/* Bounds of group-sequential tests by alpha spending, from the density of the statistic on the way that has not been stopped. */
#include <math.h>
#include <string.h>

#include "core/distributions.h"
#include "models/horizon.h"
#include "models/memory.h"

enum {
    NODES = 513, /* odd, for Simpson */
    BISECTIONS = 60,
};

static const double BEYOND = 8.5; /* standard normal deviations; what lies farther has probability 2e-17 */

/* The statistic as a Brownian path B(t), |B| < edge at the last look, with its density at NODES points from −edge to edge. */
typedef struct path {
    double t, edge;
    double density[NODES];
} path;

static double normal_density(double x) {
    return exp(-x * x / 2) * 0.3989422804014327; /* 1 / √(2 π) */
}

static double normal_tail(double x) {
    return 0.5 * erfc(x / M_SQRT2);
}

static double simpson_weight(int i) {
    return i == 0 || i == NODES - 1 ? 1 : i % 2 ? 4 : 2;
}

/* The chance that the path is still inside and has |B(t)| ≥ edge at the next look. */
static double exit_probability(const path *p, double t, double edge) {
    if (p->t == 0) return 2 * normal_tail(edge / sqrt(t));
    double step = 2 * p->edge / (NODES - 1), deviation = sqrt(t - p->t), sum = 0;
    for (int i = 0; i < NODES; i++) {
        double at = -p->edge + step * i;
        sum += simpson_weight(i) * p->density[i] * (normal_tail((edge - at) / deviation) + normal_tail((edge + at) / deviation));
    }
    return sum * step / 3;
}

static void advance(const path *p, double t, double edge, path *ret_next) {
    double step = p->t == 0 ? 0 : 2 * p->edge / (NODES - 1), deviation = sqrt(t - p->t), next_step = 2 * edge / (NODES - 1);
    for (int j = 0; j < NODES; j++) {
        double at = -edge + next_step * j, sum = 0;
        if (p->t == 0) {
            ret_next->density[j] = normal_density(at / deviation) / deviation;
            continue;
        }
        for (int i = 0; i < NODES; i++) sum += simpson_weight(i) * p->density[i] * normal_density((at + p->edge - step * i) / deviation);
        ret_next->density[j] = sum * step / 3 / deviation;
    }
    ret_next->t = t;
    ret_next->edge = edge;
}

static double spent(weir_spending spending, double alpha, double t) {
    if (spending == WEIR_POCOCK) return alpha * log1p((M_E - 1) * t);
    return 4 * normal_tail(weir_normal_inverse(1 - alpha / 4) / sqrt(t));
}

static weir_status check(weir_spending spending, double alpha, const double *fractions, int looks, weir_err *err) {
    if (spending != WEIR_OBRIEN_FLEMING && spending != WEIR_POCOCK) return WEIR_FAIL(err, WEIR_EINVAL, "spending function %d is not known", (int)spending);
    if (!(alpha > 0 && alpha <= 0.5)) return WEIR_FAIL(err, WEIR_EINVAL, "alpha is %g, expected above 0 to 0.5", alpha);
    if (looks < 1 || looks > WEIR_LOOKS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d looks, expected 1 to %d", looks, WEIR_LOOKS_MAX);
    for (int i = 0; i < looks; i++)
        if (!(fractions[i] >= (i ? fractions[i - 1] : 0) + WEIR_LOOK_STEP_MIN && fractions[i] <= 1))
            return WEIR_FAIL(err, WEIR_EINVAL, "look %d is at fraction %g, expected at most 1 and %g above the look before", i + 1, fractions[i],
                             WEIR_LOOK_STEP_MIN);
    return WEIR_OK;
}

/* The |z| that lets out as much as may still be spent at t. */
static double bound_at(const path *p, double t, double to_spend) {
    double low = 0, high = BEYOND;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (exit_probability(p, t, middle * sqrt(t)) > to_spend)
            low = middle;
        else
            high = middle;
    }
    return high;
}

weir_status weir_spending_bounds(weir_spending spending, double alpha, const double *fractions, int looks, double *bounds, weir_err *err) {
    weir_status status = check(spending, alpha, fractions, looks, err);
    if (status != WEIR_OK) return status;
    path *paths = weir_models_calloc(2, sizeof *paths);
    if (!paths) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the bounds of %d looks", looks);
    path *now = &paths[0], *next = &paths[1];
    double before = 0;
    for (int i = 0; i < looks; i++) {
        double t = fractions[i], total = spent(spending, alpha, t);
        bounds[i] = bound_at(now, t, total - before);
        before = total;
        if (i + 1 == looks) break;
        advance(now, t, bounds[i] * sqrt(t), next);
        path *free_one = now;
        now = next;
        next = free_one;
    }
    weir_models_free(paths);
    return WEIR_OK;
}
