/* Fixed-horizon tests of two samples and their sample sizes. */
#include "models/horizon.h"

#include <math.h>
#include <stdbool.h>

#include "core/distributions.h"

enum { BISECTIONS = 200 };

static bool is_count(double count) {
    return count >= 0 && count <= 0x1p53 && count == floor(count);
}

static weir_status check_level(double level, weir_err *err) {
    if (!(level > 0 && level < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "level is %g, expected a number between 0 and 1", level);
    return WEIR_OK;
}

/* ---- means ---- */

static weir_status check_moments(const char *arm, const weir_moments *m, weir_err *err) {
    if (!(m->count >= 2 && is_count(m->count)))
        return WEIR_FAIL(err, WEIR_EDATA, "%s arm has %g outcomes, expected a whole number of at least 2", arm, m->count);
    if (!isfinite(m->mean) || !isfinite(m->variance) || m->variance < 0)
        return WEIR_FAIL(err, WEIR_ENUMERIC, "%s arm has mean %g and variance %g, expected finite numbers, the variance not negative", arm, m->mean,
                         m->variance);
    return WEIR_OK;
}

/* The t > 0 that |T| exceeds with probability p, by bisection; Cauchy's is the heaviest tail: t < 1 / p for one degree or more. */
static double student_two_sided_inverse(double p, double degrees) {
    double low = 0, high = 1 / p;
    for (int i = 0; i < BISECTIONS && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (middle == low || middle == high) break;
        if (weir_student_two_sided(middle, degrees) > p)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

weir_status weir_welch_test(const weir_moments *base, const weir_moments *other, double level, weir_two_sample *ret_test, weir_err *err) {
    weir_status status = check_moments("base", base, err);
    if (status == WEIR_OK) status = check_moments("other", other, err);
    if (status == WEIR_OK) status = check_level(level, err);
    if (status != WEIR_OK) return status;
    double a = base->variance / base->count, b = other->variance / other->count;
    weir_two_sample test = {.difference = other->mean - base->mean, .standard_error = sqrt(a + b)};
    if (!isfinite(test.difference) || !isfinite(test.standard_error))
        return WEIR_FAIL(err, WEIR_ENUMERIC, "means %g and %g are too far apart", base->mean, other->mean);
    double share = a + b > 0 ? a / (a + b) : 0.5; /* of the variance: squares of tiny variances would vanish */
    test.degrees = 1 / (share * share / (base->count - 1) + (1 - share) * (1 - share) / (other->count - 1));
    test.statistic = test.difference == 0 ? 0 : test.difference / test.standard_error;
    test.p = weir_student_two_sided(test.statistic, test.degrees);
    double half = test.standard_error * student_two_sided_inverse(1 - level, test.degrees);
    test.low = test.difference - half;
    test.high = test.difference + half;
    *ret_test = test;
    return WEIR_OK;
}

/* ---- proportions ---- */

static weir_status check_trials(const char *arm, double successes, double trials, weir_err *err) {
    if (!(trials >= 1 && is_count(trials) && is_count(successes) && successes <= trials))
        return WEIR_FAIL(err, WEIR_EDATA, "%s arm has %g successes in %g trials, expected whole numbers, no more successes than trials", arm, successes,
                         trials);
    return WEIR_OK;
}

/* Wilson's score interval. */
static void wilson(double successes, double trials, double z, double *ret_low, double *ret_high) {
    double p = successes / trials, square = z * z, centre = p + square / (2 * trials), half = z * sqrt(p * (1 - p) / trials + square / (4 * trials * trials));
    *ret_low = successes == 0 ? 0 : (centre - half) / (1 + square / trials);
    *ret_high = successes == trials ? 1 : (centre + half) / (1 + square / trials);
}

weir_status weir_proportions_test(double base_successes, double base_trials, double other_successes, double other_trials, double level,
                                  weir_two_sample *ret_test, weir_err *err) {
    weir_status status = check_trials("base", base_successes, base_trials, err);
    if (status == WEIR_OK) status = check_trials("other", other_successes, other_trials, err);
    if (status == WEIR_OK) status = check_level(level, err);
    if (status != WEIR_OK) return status;
    double base = base_successes / base_trials, other = other_successes / other_trials;
    double pooled = (base_successes + other_successes) / (base_trials + other_trials);
    weir_two_sample test = {.difference = other - base, .degrees = INFINITY};
    test.standard_error = sqrt(pooled * (1 - pooled) * (1 / base_trials + 1 / other_trials));
    test.statistic = test.difference == 0 ? 0 : test.difference / test.standard_error;
    test.p = weir_normal_two_sided(test.statistic);
    double z = weir_normal_inverse(0.5 + level / 2), base_low, base_high, other_low, other_high;
    wilson(base_successes, base_trials, z, &base_low, &base_high);
    wilson(other_successes, other_trials, z, &other_low, &other_high);
    test.low = test.difference - hypot(other - other_low, base_high - base);
    test.high = test.difference + hypot(other_high - other, base - base_low);
    *ret_test = test;
    return WEIR_OK;
}

/* ---- sample sizes ---- */

static weir_status check_power(const weir_power *power, weir_err *err) {
    if (!(power->alpha > 0 && power->alpha < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "alpha is %g, expected a number between 0 and 1", power->alpha);
    if (!(power->power > power->alpha / 2 && power->power < 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "power is %g, expected a number above alpha / 2 and below 1", power->power);
    if (!(power->ratio > 0 && isfinite(power->ratio))) return WEIR_FAIL(err, WEIR_EINVAL, "ratio of the arms is %g, expected a positive number", power->ratio);
    return WEIR_OK;
}

static weir_status whole_rows(double base, double ratio, weir_sample_size *ret_size, weir_err *err) {
    weir_sample_size size = {.base = fmax(2, ceil(base)), .other = fmax(2, ceil(base * ratio))};
    if (!(size.base <= 0x1p53 && size.other <= 0x1p53)) return WEIR_FAIL(err, WEIR_ELIMIT, "the effect takes more than 2^53 rows to find");
    *ret_size = size;
    return WEIR_OK;
}

weir_status weir_size_for_means(double base_variance, double other_variance, double effect, const weir_power *power, weir_sample_size *ret_size,
                                weir_err *err) {
    weir_status status = check_power(power, err);
    if (status != WEIR_OK) return status;
    if (!(base_variance >= 0 && other_variance >= 0 && isfinite(base_variance) && isfinite(other_variance)))
        return WEIR_FAIL(err, WEIR_EINVAL, "variances are %g and %g, expected finite numbers, not negative", base_variance, other_variance);
    if (!isfinite(effect) || effect == 0) return WEIR_FAIL(err, WEIR_EINVAL, "effect is %g, expected a finite number other than 0", effect);
    double z = weir_normal_inverse(1 - power->alpha / 2) + weir_normal_inverse(power->power), deviations = z / effect;
    return whole_rows(deviations * deviations * (base_variance + other_variance / power->ratio), power->ratio, ret_size, err);
}

weir_status weir_size_for_proportions(double base, double effect, const weir_power *power, weir_sample_size *ret_size, weir_err *err) {
    weir_status status = check_power(power, err);
    if (status != WEIR_OK) return status;
    double other = base + effect, r = power->ratio;
    if (!(base >= 0 && base <= 1 && other >= 0 && other <= 1) || effect == 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "proportions are %g and %g, expected different numbers from 0 to 1", base, other);
    double pooled = (base + r * other) / (1 + r);
    double without = weir_normal_inverse(1 - power->alpha / 2) * sqrt(pooled * (1 - pooled) * (1 + 1 / r));
    double with = weir_normal_inverse(power->power) * sqrt(base * (1 - base) + other * (1 - other) / r);
    return whole_rows((without + with) / effect * ((without + with) / effect), r, ret_size, err);
}
