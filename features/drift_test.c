/* One column against its reference: which statistic, its value, p-value and effect. */
#include <math.h>

#include "features/drift_internal.h"

const char *const weir_drift_statistic_names[] = {"auto", "ks", "wasserstein", "psi", "jensen_shannon", "chi_squared", "proportion", "missing", "unseen"};

const weir_drift_settings weir_drift_defaults = {
    .alpha = 0.05,
    .threshold = {[WEIR_DRIFT_KS] = 0.05,
                  [WEIR_DRIFT_WASSERSTEIN] = 0.1,
                  [WEIR_DRIFT_PSI] = 0.1,
                  [WEIR_DRIFT_JENSEN_SHANNON] = 0.1,
                  [WEIR_DRIFT_CHI_SQUARED] = 0.1,
                  [WEIR_DRIFT_PROPORTION] = 0.1,
                  [WEIR_DRIFT_MISSING] = 0.2,
                  [WEIR_DRIFT_UNSEEN] = 0.01},
    .high_share = 0.3,
    .critical_share = 0.5,
    .values_min = 30,
    .small = 1000,
    .bins = 10,
    .permutations = 1999,
    .seed = 1,
};

enum { FEW_VALUES = 5, VALUES_PER_BIN = 20 };
/* Of a category, on the smaller side, if it is not to be pooled. Source: W. Cochran, Some methods for strengthening the common χ² tests, Biometrics 10 (1954). */
static const double EXPECTED_MIN = 5;

int weir_drift_statistic_find(const char *name) {
    for (int i = 0; i < WEIR_DRIFT_MISSING; i++)
        if (!strcmp(weir_drift_statistic_names[i], name)) return i;
    return -1;
}

bool weir_drift_statistic_fits(weir_drift_statistic statistic, weir_drift_type type) {
    switch (statistic) {
    case WEIR_DRIFT_AUTO:
    case WEIR_DRIFT_MISSING: return true;
    case WEIR_DRIFT_KS:
    case WEIR_DRIFT_WASSERSTEIN: return type == WEIR_DRIFT_NUMBER;
    case WEIR_DRIFT_PSI:
    case WEIR_DRIFT_JENSEN_SHANNON:
    case WEIR_DRIFT_CHI_SQUARED: return type != WEIR_DRIFT_BOOL;
    case WEIR_DRIFT_PROPORTION: return type == WEIR_DRIFT_BOOL;
    case WEIR_DRIFT_UNSEEN: return type == WEIR_DRIFT_CATEGORY;
    default: return false;
    }
}

static bool few_values(const weir_drift_profile *p) {
    return drift_counts_all(p) && drift_distinct(p)->held <= FEW_VALUES;
}

static int64_t smaller(const weir_drift_profile *reference, const weir_drift_profile *current) {
    int64_t n = drift_value_count(reference), m = drift_value_count(current);
    return n < m ? n : m;
}

weir_drift_statistic weir_drift_choose(const weir_drift_profile *reference, const weir_drift_profile *current, const weir_drift_settings *settings) {
    bool small = smaller(reference, current) <= settings->small;
    if (reference->type == WEIR_DRIFT_BOOL) return WEIR_DRIFT_PROPORTION;
    if (reference->type == WEIR_DRIFT_CATEGORY || (few_values(reference) && few_values(current)))
        return small ? WEIR_DRIFT_CHI_SQUARED : WEIR_DRIFT_JENSEN_SHANNON;
    return small ? WEIR_DRIFT_KS : WEIR_DRIFT_WASSERSTEIN;
}

weir_status drift_settings_check(const weir_drift_settings *s, weir_err *err) {
    bool thresholds = true;
    for (int i = 0; i < WEIR_DRIFT_STATISTICS; i++) thresholds = thresholds && s->threshold[i] >= 0 && isfinite(s->threshold[i]);
    if (!thresholds) return WEIR_FAIL(err, WEIR_EINVAL, "a drift threshold is negative or no finite number");
    if (!(s->alpha > 0 && s->alpha < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "alpha is %g, expected more than 0 and less than 1", s->alpha);
    if (!(s->high_share >= 0 && s->high_share <= s->critical_share && s->critical_share <= 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "shares of high and critical drift are %g and %g, expected 0 ≤ high ≤ critical ≤ 1", s->high_share,
                         s->critical_share);
    if (s->values_min < 1) return WEIR_FAIL(err, WEIR_EINVAL, "values_min is %lld, expected at least 1", (long long)s->values_min);
    if (s->bins < 2 || s->bins > WEIR_DRIFT_BINS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "bins is %d, expected 2 to %d", s->bins, WEIR_DRIFT_BINS_MAX);
    if (s->permutations < 19) return WEIR_FAIL(err, WEIR_EINVAL, "permutations is %d, expected at least 19", s->permutations);
    return WEIR_OK;
}

/* --- pairs of values --- */

static weir_status test_distance(const drift_pair *pair, const weir_drift_settings *settings, weir_drift_test *t, double scale, weir_err *err) {
    if (t->statistic == WEIR_DRIFT_KS) {
        t->value = t->effect = drift_ks(pair);
        return drift_ks_p(pair, &t->p, err);
    }
    t->value = drift_wasserstein(pair);
    t->effect = t->value > 0 ? t->value / scale : 0;
    t->p = drift_wasserstein_p(pair, settings->permutations, settings->seed);
    return WEIR_OK;
}

static void test_cells(drift_pair *pair, bool by_quantiles, const weir_drift_settings *settings, weir_drift_test *t) {
    if (by_quantiles) drift_pair_bin(pair, (int)fmin(settings->bins, fmax(2, floor(fmin(pair->n, pair->m) / VALUES_PER_BIN))));
    drift_pair_pool(pair, EXPECTED_MIN);
    if (t->statistic == WEIR_DRIFT_PSI) {
        t->value = t->effect = drift_psi(pair);
        t->p = drift_psi_p(pair, t->value);
    } else if (t->statistic == WEIR_DRIFT_JENSEN_SHANNON) {
        t->value = t->effect = drift_jensen_shannon(pair);
        t->p = drift_jensen_shannon_p(pair, t->value);
    } else {
        t->value = drift_chi_squared(pair);
        t->effect = sqrt(t->value * (1 / pair->n + 1 / pair->m));
        /* Bins whose edges come from a small reference make χ² too large: it is divided by the current side's shares, which then vary most. PSI has no such side. */
        t->p = by_quantiles ? drift_psi_p(pair, drift_psi(pair)) : drift_chi_squared_p(pair, t->value);
    }
}

static void test_unseen(drift_pair *pair, const weir_drift_settings *settings, weir_drift_test *t) {
    t->value = t->effect = drift_unseen(pair) / pair->m;
    t->p = drift_unseen_p(pair, settings->permutations, settings->seed);
}

/* Of the reference; of both when that does not vary. */
static double scale_of(const weir_drift_profile *reference, const weir_drift_profile *current) {
    double std = weir_drift_profile_summary(reference).std;
    if (std > 0) return std;
    double n = (double)drift_value_count(reference), m = (double)drift_value_count(current), between = current->mean - reference->mean;
    return sqrt((reference->m2 + current->m2 + between * between * n * (m / (n + m))) / (n + m));
}

static weir_status test_values(const weir_drift_profile *reference, const weir_drift_profile *current, const weir_drift_settings *settings, weir_drift_test *t,
                               weir_err *err) {
    drift_pair pair = {0};
    weir_status status = drift_pair_make(reference, current, t->statistic == WEIR_DRIFT_WASSERSTEIN, &pair, err);
    if (status != WEIR_OK) return status;
    t->reference_count = (int64_t)pair.n;
    t->current_count = (int64_t)pair.m;
    t->sampled = pair.sampled;
    if (t->statistic == WEIR_DRIFT_KS || t->statistic == WEIR_DRIFT_WASSERSTEIN)
        status = test_distance(&pair, settings, t, scale_of(reference, current), err);
    else if (t->statistic == WEIR_DRIFT_UNSEEN)
        test_unseen(&pair, settings, t);
    else
        test_cells(&pair, reference->type == WEIR_DRIFT_NUMBER && !(few_values(reference) && few_values(current)), settings, t);
    drift_pair_done(&pair);
    return status;
}

/* --- pairs of shares --- */

static void test_shares(const weir_drift_profile *reference, const weir_drift_profile *current, weir_drift_test *t) {
    bool missing = t->statistic == WEIR_DRIFT_MISSING;
    double n = (double)(missing ? reference->count : drift_value_count(reference)), x = (double)(missing ? reference->missing : n - reference->zeros);
    double m = (double)(missing ? current->count : drift_value_count(current)), y = (double)(missing ? current->missing : m - current->zeros);
    t->reference_count = (int64_t)n;
    t->current_count = (int64_t)m;
    t->value = drift_proportion(x, n, y, m);
    t->effect = drift_cohen_h(x, n, y, m);
    t->p = drift_proportion_p(x, n, y, m);
}

weir_status weir_drift_test_columns(const weir_drift_profile *reference, const weir_drift_profile *current, weir_drift_statistic statistic,
                                    const weir_drift_settings *settings, weir_drift_test *ret_test, weir_err *err) {
    weir_status status = drift_settings_check(settings, err);
    if (status != WEIR_OK) return status;
    if (reference->type != current->type)
        return WEIR_FAIL(err, WEIR_EINVAL, "a %s cannot be compared with a %s", weir_drift_type_names[reference->type], weir_drift_type_names[current->type]);
    if (!weir_drift_statistic_fits(statistic, reference->type))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s is not for a %s", weir_drift_statistic_names[statistic], weir_drift_type_names[reference->type]);
    bool missing = statistic == WEIR_DRIFT_MISSING;
    int64_t n = missing ? reference->count : drift_value_count(reference), m = missing ? current->count : drift_value_count(current);
    if (n < settings->values_min || m < settings->values_min)
        return WEIR_FAIL(err, WEIR_EDATA, "%lld values in the reference and %lld now, expected at least %lld", (long long)n, (long long)m,
                         (long long)settings->values_min);
    weir_drift_test t = {.statistic = statistic == WEIR_DRIFT_AUTO ? weir_drift_choose(reference, current, settings) : statistic, .adjusted_p = NAN};
    t.threshold = settings->threshold[t.statistic];
    if (t.statistic == WEIR_DRIFT_PROPORTION || missing)
        test_shares(reference, current, &t);
    else
        status = test_values(reference, current, settings, &t, err);
    if (status == WEIR_OK) *ret_test = t;
    return status;
}
