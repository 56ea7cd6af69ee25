/* Distances between two empirical distributions, and how likely so large a distance is by chance. docs/drift.md says how well the p-values hold. */
#include <math.h>

#include "core/distributions.h"
#include "features/drift_internal.h"

static double square(double x) {
    return x * x;
}

static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

/* --- Kolmogorov and Smirnov --- */

/* n m D, a whole number. */
static double ks_steps(const drift_pair *pair) {
    double reference = 0, current = 0, largest = 0;
    for (int i = 0; i < pair->count; i++) {
        reference += pair->reference[i];
        current += pair->current[i];
        largest = fmax(largest, fabs(reference * pair->m - current * pair->n));
    }
    return largest;
}

double drift_ks(const drift_pair *pair) {
    return ks_steps(pair) / (pair->n * pair->m);
}

/* P(K ≥ λ) of Kolmogorov's distribution: theta functions; each series where it converges fast. */
static double kolmogorov_tail(double lambda) {
    double sum = 0;
    if (lambda <= 0) return 1;
    if (lambda < 1) {
        for (int k = 1; k <= 9; k += 2) sum += exp(-square(k * M_PI / lambda) / 8);
        return 1 - sqrt(2 * M_PI) / lambda * sum;
    }
    for (int k = 1; k <= 6; k++) sum += (k % 2 ? 2 : -2) * exp(-2 * square(k * lambda));
    return sum;
}

/* The share of all ways to order n + m values that lead to a distance of `steps` at least. share[j]: of the ways to order the first i of n and j of m; the last of them is one
 * of the n in i / (i + j) of the cases. Only sums of positive terms, so that small shares keep their digits.
 * Source: J. Hodges, The significance probability of the Smirnov two-sample test, Arkiv för Matematik 3 (1958). */
static double exact_ks_p(int n, int m, double steps, double *share) {
    for (int j = 0; j <= m; j++) share[j] = (double)j * n >= steps;
    for (int i = 1; i <= n; i++) {
        double at = (double)i * m;
        int low = at < steps ? 0 : (int)floor((at - steps) / n) + 1, high = (int)fmin(m, ceil((at + steps) / n) - 1);
        if (low > 0) share[low - 1] = 1;
        for (int j = low; j <= high; j++) {
            double left = j ? share[j - 1] : 0;
            share[j] = (i * share[j] + j * left) / (i + j);
        }
    }
    return share[m];
}

/* Beyond the sizes of samples, and where p is below 10⁻²⁰: Kolmogorov's limit with Stephens's correction for finite sizes. Source: M. Stephens, Use of the
 * Kolmogorov-Smirnov, Cramér-von Mises and related statistics without extensive tables, Journal of the Royal Statistical Society B 32 (1970). */
weir_status drift_ks_p(const drift_pair *pair, double *ret_p, weir_err *err) {
    double steps = ks_steps(pair), root = sqrt(pair->n * pair->m / (pair->n + pair->m)), lambda = root * drift_ks(pair);
    *ret_p = 1;
    if (steps == 0) return WEIR_OK;
    if (pair->n > WEIR_DRIFT_SAMPLE || pair->m > WEIR_DRIFT_SAMPLE || lambda > 5) {
        *ret_p = kolmogorov_tail((root + 0.12 + 0.11 / root) * drift_ks(pair));
        return WEIR_OK;
    }
    double *share = weir_mem.realloc(NULL, ((size_t)pair->m + 1) * sizeof(*share));
    if (!share) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the distribution of a distance");
    *ret_p = fmin(1, exact_ks_p((int)pair->n, (int)pair->m, steps, share));
    weir_mem.realloc(share, 0);
    return WEIR_OK;
}

/* --- Wasserstein --- */

double drift_wasserstein(const drift_pair *pair) {
    double reference = 0, current = 0, area = 0;
    for (int i = 0; i + 1 < pair->count; i++) {
        reference += pair->reference[i];
        current += pair->current[i];
        double apart = fabs(reference / pair->n - current / pair->m);
        if (apart > 0) area += apart * (pair->value[i + 1] - pair->value[i]);
    }
    return area;
}

/* --- shares of bins and categories --- */

/* PSI of shares that are at least 10⁻⁴, as weir_bins_psi. */
double drift_psi(const drift_pair *pair) {
    double psi = 0;
    for (int i = 0; i < pair->count; i++) {
        double e = fmax(pair->reference[i] / pair->n, 1e-4), a = fmax(pair->current[i] / pair->m, 1e-4);
        psi += (a - e) * log(a / e);
    }
    return psi;
}

double drift_jensen_shannon(const drift_pair *pair) {
    double divergence = 0;
    for (int i = 0; i < pair->count; i++) {
        double p = pair->reference[i] / pair->n, q = pair->current[i] / pair->m, middle = (p + q) / 2;
        if (p > 0) divergence += p * log2(p / middle);
        if (q > 0) divergence += q * log2(q / middle);
    }
    return sqrt(fmax(divergence, 0) / 2);
}

double drift_chi_squared(const drift_pair *pair) {
    double chi_squared = 0;
    for (int i = 0; i < pair->count; i++) {
        double both = pair->reference[i] + pair->current[i], expected = both * pair->n / (pair->n + pair->m);
        if (both > 0) chi_squared += square(pair->reference[i] - expected) * (1 / expected + 1 / (both - expected));
    }
    return chi_squared;
}

/* PSI and the Jensen-Shannon divergence are, to second order in the differences of the shares, multiples of χ² with one degree of freedom less than there are cells (PSI:
 * Yurdakul, 2018). Their means in samples of n and m, to the next order (delta method; moments of the multinomial distribution), correct the scale as Bartlett's factor does. */
static double psi_mean(const drift_pair *pair) {
    double w = 1 / pair->n + 1 / pair->m, w2 = square(1 / pair->n) + square(1 / pair->m), mean = 0;
    for (int i = 0; i < pair->count; i++) {
        double p = (pair->reference[i] + pair->current[i]) / (pair->n + pair->m);
        mean += (1 - p) * (w + w2 / (2 * p));
    }
    return mean;
}

/* Of 8 ln 2 times the divergence in bits. */
static double jensen_shannon_mean(const drift_pair *pair) {
    double n = pair->n, m = pair->m, w = 1 / n + 1 / m, w2 = square(1 / n) + square(1 / m), mean = 0;
    for (int i = 0; i < pair->count; i++) {
        double p = (pair->reference[i] + pair->current[i]) / (n + m);
        mean += (1 - p) * (w - w2 * (1 - 2 * p) / (2 * p) + (1 - p) / p * ((3 * w2 - 2 / (n * m)) / 4 + square(w) / 8));
    }
    return mean;
}

double drift_chi_squared_p(const drift_pair *pair, double value) {
    return pair->count > 1 ? weir_chi_square_tail(value, pair->count - 1) : 1;
}

/* Never below Pearson's p over the same cells: logarithms of shares have the heavier tails in small samples. */
static double scaled_p(const drift_pair *pair, double value, double mean) {
    if (pair->count < 2) return 1;
    return fmax(weir_chi_square_tail(value / mean * (pair->count - 1), pair->count - 1), drift_chi_squared_p(pair, drift_chi_squared(pair)));
}

double drift_psi_p(const drift_pair *pair, double value) {
    return scaled_p(pair, value, psi_mean(pair));
}

double drift_jensen_shannon_p(const drift_pair *pair, double value) {
    return scaled_p(pair, 8 * M_LN2 * square(value), jensen_shannon_mean(pair));
}

/* --- proportions --- */

double drift_proportion(double x, double n, double y, double m) {
    double both = (x + y) / (n + m), variance = both * (1 - both) * (1 / n + 1 / m);
    return variance > 0 ? (y / m - x / n) / sqrt(variance) : 0;
}

double drift_cohen_h(double x, double n, double y, double m) {
    return fabs(2 * asin(sqrt(y / m)) - 2 * asin(sqrt(x / n)));
}

/* Up to so many of the rarer outcome Fisher's exact test, which never exceeds its level; beyond it, the normal approximation holds. */
static const double EXACT_MAX = 10000;

/* log of C(n, x) C(m, k - x) / C(n + m, k) */
static double log_hypergeometric(double x, double n, double k, double m) {
    return log_gamma(n + 1) - log_gamma(x + 1) - log_gamma(n - x + 1) + log_gamma(m + 1) - log_gamma(k - x + 1) - log_gamma(m - k + x + 1) -
           log_gamma(n + m + 1) + log_gamma(k + 1) + log_gamma(n + m - k + 1);
}

/* The probability of all tables with these margins that are no more likely than the one seen. Source: R. Fisher, Statistical Methods for Research Workers (1934), § 21.02. */
static double fisher_p(double x, double n, double k, double m) {
    double seen = log_hypergeometric(x, n, k, m), p = 0;
    for (double i = fmax(0, k - m); i <= fmin(n, k); i++) {
        double log_p = log_hypergeometric(i, n, k, m);
        if (log_p <= seen + 1e-7) p += exp(log_p);
    }
    return fmin(1, p);
}

double drift_proportion_p(double x, double n, double y, double m) {
    if (x + y > (n + m) / 2) {
        x = n - x;
        y = m - y;
    }
    return x + y > EXACT_MAX ? weir_normal_two_sided(drift_proportion(x, n, y, m)) : fisher_p(x, n, x + y, m);
}

/* --- values that the reference has not --- */

double drift_unseen(const drift_pair *pair) {
    double unseen = 0;
    for (int i = 0; i < pair->count; i++) unseen += pair->reference[i] == 0 ? pair->current[i] : 0;
    return unseen;
}

/* log of the chance that all `times` of a category are on the side of m. */
static double log_all_current(double times, double n, double m) {
    return times > m ? -INFINITY : log_gamma(m + 1) - log_gamma(m - times + 1) - log_gamma(n + m + 1) + log_gamma(n + m - times + 1);
}

/* ln E e^{sU}, and its slope: the mean of U when large ones are favoured so. */
static double log_moments(const drift_pair *pair, double s, double *ret_slope) {
    double sum = 0, slope = 0;
    for (int i = 0; i < pair->count; i++) {
        double times = pair->reference[i] + pair->current[i], chance = pair->value[i], tilted = chance + s * times;
        if (chance == -INFINITY) continue;
        double stays = log1p(-exp(chance)), whole = fmax(stays, tilted) + log1p(exp(-fabs(tilted - stays)));
        sum += whole;
        slope += times * exp(tilted - whole);
    }
    *ret_slope = slope;
    return sum;
}

/* Chernoff's bound of P(U ≥ unseen). Categories are unseen less often together than independent ones would be, so that it holds. */
static double unseen_bound(const drift_pair *pair, double unseen) {
    double low = 0, high = 1, slope;
    while (high < 64 && (log_moments(pair, high, &slope), slope < unseen)) high *= 2;
    for (int i = 0; i < 40; i++) {
        double s = (low + high) / 2;
        log_moments(pair, s, &slope);
        if (slope < unseen)
            low = s;
        else
            high = s;
    }
    return exp(fmin(0, log_moments(pair, low, &slope) - low * unseen));
}

static double permuted_unseen(const drift_pair *pair, uint64_t *random) {
    double unseen = 0;
    for (int i = 0; i < pair->count; i++) {
        double at = (double)(drift_random(random) >> 11) * 0x1p-53;
        if (pair->value[i] > -40 && at < exp(pair->value[i])) unseen += pair->reference[i] + pair->current[i];
    }
    return unseen;
}

/* With no drift each category is unseen when all its values happen to be current ones. value[i] becomes the log of that chance. */
double drift_unseen_p(drift_pair *pair, int permutations, uint64_t seed) {
    drift_permuting p = {.value = drift_unseen(pair)};
    if (p.value == 0) return 1;
    for (int i = 0; i < pair->count; i++) pair->value[i] = log_all_current(pair->reference[i] + pair->current[i], pair->n, pair->m);
    while (p.made < permutations && drift_permuted(&p, permuted_unseen(pair, &seed))) {
    }
    return p.as_far ? drift_permuting_p(&p) : fmin(drift_permuting_p(&p), unseen_bound(pair, p.value));
}
