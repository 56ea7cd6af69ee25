/* Thompson sampling whose propensities are integrals over the posteriors. */
#include "models/bandit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/distributions.h"

enum { STEPS = 29, CUTS_MAX = WEIR_BANDIT_ARMS_MAX * (2 * STEPS + 1), NODES = 8 };

static const double SUM_SLACK = 1e-4, MEMORY_MIN = 10;
static const double PRIOR_SHAPE = 1; /* of the inverse gamma: two degrees of freedom before the first reward */

/* Gauss and Legendre, 8 nodes on [−1, 1], symmetric: M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, table 25.4. */
static const double NODE[NODES / 2] = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363};
static const double WEIGHT[NODES / 2] = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763};

static weir_status check(const weir_bandit_settings *s, weir_err *err) {
    if (s->arms < 2 || s->arms > WEIR_BANDIT_ARMS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d arms, expected 2 to %d", s->arms, WEIR_BANDIT_ARMS_MAX);
    if (!(s->floor > 0 && s->floor * s->arms < 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "least propensity is %g for each of %d arms, expected a positive number and their sum below 1", s->floor, s->arms);
    if (s->reward != WEIR_REWARD_BERNOULLI && s->reward != WEIR_REWARD_GAUSSIAN) return WEIR_FAIL(err, WEIR_EINVAL, "reward %d is not known", (int)s->reward);
    if (s->memory != 0 && !(s->memory >= MEMORY_MIN && isfinite(s->memory)))
        return WEIR_FAIL(err, WEIR_EINVAL, "memory of %g rewards, expected 0 (all of them) or at least %g", s->memory, MEMORY_MIN);
    if (s->reward == WEIR_REWARD_GAUSSIAN && !(isfinite(s->prior_mean) && isfinite(s->prior_deviation) && s->prior_deviation > 0))
        return WEIR_FAIL(err, WEIR_EINVAL, "prior mean %g and deviation %g, expected finite numbers, the deviation positive", s->prior_mean,
                         s->prior_deviation);
    return WEIR_OK;
}

weir_status weir_bandit_add(const weir_bandit_settings *settings, weir_bandit *bandit, int arm, double reward, weir_err *err) {
    weir_status status = check(settings, err);
    if (status != WEIR_OK) return status;
    if (arm < 0 || arm >= settings->arms) return WEIR_FAIL(err, WEIR_EINVAL, "arm %d, expected 0 to %d", arm, settings->arms - 1);
    if (!isfinite(reward)) return WEIR_FAIL(err, WEIR_ENUMERIC, "reward is %g, expected a finite number", reward);
    if (settings->reward == WEIR_REWARD_BERNOULLI && !(reward >= 0 && reward <= 1)) return WEIR_FAIL(err, WEIR_EDATA, "reward is %g, expected 0 to 1", reward);
    if (settings->memory > 0 && bandit->count[arm] + 1 > settings->memory) { /* what is known shrinks so that the new one still fits */
        double keep = (settings->memory - 1) / bandit->count[arm];
        bandit->count[arm] *= keep;
        bandit->deviations[arm] *= keep;
    }
    double step = reward - bandit->mean[arm];
    bandit->mean[arm] += step / ++bandit->count[arm];
    bandit->deviations[arm] += step * (reward - bandit->mean[arm]);
    return WEIR_OK;
}

/* ---- posteriors of an arm's mean ---- */

typedef struct posterior {
    bool is_beta;
    double a, b; /* Beta(a, b) */
    double mean, scale, degrees; /* Student's t otherwise */
    double log_norm; /* of the density */
    double low, high; /* support that matters */
} posterior;

static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static posterior beta_posterior(double count, double mean) {
    posterior p = {.is_beta = true, .a = 1 + count * mean, .b = 1 + count * (1 - mean), .low = 0, .high = 1};
    p.mean = p.a / (p.a + p.b);
    p.scale = sqrt(p.mean * (1 - p.mean) / (p.a + p.b + 1));
    p.log_norm = log_gamma(p.a + p.b) - log_gamma(p.a) - log_gamma(p.b);
    return p;
}

/* Normal-inverse-gamma with one reward's weight on the prior mean: the marginal of the mean is Student's t with 2 a degrees, squared scale b / (a κ). */
static posterior student_posterior(const weir_bandit_settings *s, double count, double mean, double deviations) {
    double kappa = 1 + count, a = PRIOR_SHAPE + count / 2, gap = mean - s->prior_mean;
    double b = PRIOR_SHAPE * s->prior_deviation * s->prior_deviation + deviations / 2 + count * gap * gap / (2 * kappa);
    posterior p = {.mean = (s->prior_mean + count * mean) / kappa, .scale = sqrt(b / (a * kappa)), .degrees = 2 * a, .low = -INFINITY, .high = INFINITY};
    p.log_norm = log_gamma(a + 0.5) - log_gamma(a) - 0.5 * log(p.degrees * M_PI) - log(p.scale);
    return p;
}

static double density(const posterior *p, double x) {
    if (p->is_beta) return x <= 0 || x >= 1 ? 0 : exp(p->log_norm + (p->a - 1) * log(x) + (p->b - 1) * log1p(-x));
    double t = (x - p->mean) / p->scale;
    return exp(p->log_norm - (p->degrees + 1) / 2 * log1p(t * t / p->degrees));
}

static double below(const posterior *p, double x) {
    if (p->is_beta) return weir_beta_lower(x, p->a, p->b);
    double t = (x - p->mean) / p->scale, tail = weir_student_two_sided(t, p->degrees) / 2;
    return t < 0 ? tail : 1 - tail;
}

/* ---- quadrature ---- */

/* How far cut i lies from the mean, in scales: half steps over the bulk, then doubling out to where a tail of two degrees has 1e-9. */
static double distance(int i) {
    return i <= 16 ? i * 0.5 : 8 * ldexp(1, i - 16);
}

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Ends of the pieces to integrate over: around every posterior's mean, so that none is stepped over, however narrow. */
static int make_cuts(const posterior *arms, int count, double cuts[CUTS_MAX]) {
    int made = 0;
    for (int a = 0; a < count; a++)
        for (int i = -STEPS; i <= STEPS; i++) {
            double away = distance(abs(i)) * arms[a].scale;
            cuts[made++] = fmin(fmax(arms[a].mean + (i < 0 ? -away : away), arms[a].low), arms[a].high);
        }
    qsort(cuts, (size_t)made, sizeof *cuts, by_size);
    return made;
}

/* Adds the weighted chance of each arm to be the greatest at x. */
static void add_node(const posterior *arms, int count, double x, double weight, double *chances) {
    double densities[WEIR_BANDIT_ARMS_MAX], belows[WEIR_BANDIT_ARMS_MAX], greatest = 0;
    for (int a = 0; a < count; a++) greatest = fmax(greatest, densities[a] = density(&arms[a], x));
    if (greatest * weight < 1e-15) return;
    for (int a = 0; a < count; a++) belows[a] = below(&arms[a], x);
    for (int a = 0; a < count; a++) {
        double product = densities[a] * weight;
        for (int b = 0; b < count; b++) product *= b == a ? 1 : belows[b];
        chances[a] += product;
    }
}

static void integrate(const posterior *arms, int count, double *chances) {
    double cuts[CUTS_MAX];
    int made = make_cuts(arms, count, cuts);
    for (int c = 1; c < made; c++) {
        double half = (cuts[c] - cuts[c - 1]) / 2, middle = cuts[c - 1] + half;
        if (!(half > 0)) continue;
        for (int i = 0; i < NODES / 2; i++) {
            add_node(arms, count, middle - NODE[i] * half, WEIGHT[i] * half, chances);
            add_node(arms, count, middle + NODE[i] * half, WEIGHT[i] * half, chances);
        }
    }
}

weir_status weir_bandit_propensities(const weir_bandit_settings *settings, const weir_bandit *bandit, double *propensities, weir_err *err) {
    weir_status status = check(settings, err);
    if (status != WEIR_OK) return status;
    posterior arms[WEIR_BANDIT_ARMS_MAX];
    double chances[WEIR_BANDIT_ARMS_MAX] = {0}, sum = 0;
    for (int a = 0; a < settings->arms; a++) {
        arms[a] = settings->reward == WEIR_REWARD_BERNOULLI ? beta_posterior(bandit->count[a], bandit->mean[a])
                                                            : student_posterior(settings, bandit->count[a], bandit->mean[a], bandit->deviations[a]);
    }
    integrate(arms, settings->arms, chances);
    for (int a = 0; a < settings->arms; a++) sum += chances[a];
    if (!(fabs(sum - 1) <= SUM_SLACK)) return WEIR_FAIL(err, WEIR_ENUMERIC, "chances of %d arms sum to %g, expected 1", settings->arms, sum);
    for (int a = 0; a < settings->arms; a++) propensities[a] = settings->floor + (1 - settings->arms * settings->floor) * chances[a] / sum;
    return WEIR_OK;
}

int weir_bandit_route(const double *propensities, int arms, double point) {
    double upto = 0;
    for (int a = 0; a + 1 < arms; a++) {
        upto += propensities[a];
        if (point < upto) return a;
    }
    return arms - 1;
}
