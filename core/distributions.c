/* Incomplete gamma and beta functions, by series and continued fractions. */
#include "core/distributions.h"

#include <float.h>
#include <math.h>

enum { TERMS_MAX = 100000 }; /* never reached for parameters up to 1e4: both converge in about √a terms where they are used */

static const double TINY = 1e-300; /* stands for 0 in a denominator (Lentz) */

/* lgamma writes the sign of its result to a global; lgamma_r does not. */
static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

/* γ(a, x) / Γ(a) = x^a e^−x / Γ(a + 1) · Σ x^n / ((a + 1) … (a + n)) */
static double gamma_series(double a, double x) {
    double term = 1, sum = 1;
    for (int n = 1; n < TERMS_MAX && term > sum * DBL_EPSILON / 4; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * exp(a * log(x) - x - log_gamma(a + 1));
}

static double nonzero(double x) {
    return fabs(x) < TINY ? TINY : x;
}

/* Γ(a, x) / Γ(a) = x^a e^−x / Γ(a) · 1 / (x + 1 − a − 1 (1 − a) / (x + 3 − a − 2 (2 − a) / (x + 5 − a − …))), by Lentz's method. */
static double gamma_fraction(double a, double x) {
    double b = x + 1 - a, c = 1 / TINY, d = 1 / nonzero(b), fraction = d;
    for (int n = 1; n < TERMS_MAX; n++) {
        double numerator = -n * (n - a);
        b += 2;
        d = 1 / nonzero(numerator * d + b);
        c = nonzero(b + numerator / c);
        fraction *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON) break;
    }
    return fraction * exp(a * log(x) - x - log_gamma(a));
}

double weir_gamma_upper(double a, double x) {
    if (isnan(a) || isnan(x)) return NAN;
    if (x <= 0) return 1;
    if (isinf(x)) return 0;
    return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

/* The continued fraction of DLMF 8.17.22, by Lentz's method; it converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b) {
    double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), fraction = d;
    for (int m = 1; m < TERMS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / nonzero(1 + even * d);
        c = nonzero(1 + even / c);
        fraction *= c * d;
        d = 1 / nonzero(1 + odd * d);
        c = nonzero(1 + odd / c);
        fraction *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON) break;
    }
    return fraction;
}

/* I_x(a, b) with y = 1 − x given apart, since it may be too small to be seen in x. */
static double beta_lower(double x, double y, double a, double b) {
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    double front = exp(a * log(x) + b * log(y) + log_gamma(a + b) - log_gamma(a) - log_gamma(b));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a : 1 - front * beta_fraction(y, b, a) / b;
}

double weir_beta_lower(double x, double a, double b) {
    if (isnan(x) || isnan(a) || isnan(b)) return NAN;
    return beta_lower(x, 1 - x, a, b);
}

double weir_chi_square_tail(double x, double degrees) {
    return weir_gamma_upper(degrees / 2, x / 2);
}

double weir_student_two_sided(double t, double degrees) {
    if (isnan(t) || isnan(degrees)) return NAN;
    if (isinf(t)) return 0;
    double square = t * t;
    return beta_lower(degrees / (degrees + square), square / (degrees + square), degrees / 2, 0.5);
}

double weir_normal_two_sided(double z) {
    return erfc(fabs(z) / sqrt(2));
}

double weir_normal_inverse(double p) {
    if (!(p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return p == 0 ? -INFINITY : INFINITY;
    double tail = p < 0.5 ? p : 1 - p, low = 0, high = 40; /* the tail above x falls in x; on this side it has all its digits */
    for (int i = 0; i < 64; i++) {
        double middle = (low + high) / 2;
        if (0.5 * erfc(middle / sqrt(2)) > tail)
            low = middle;
        else
            high = middle;
    }
    return p < 0.5 ? -high : high;
}
