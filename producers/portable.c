/* See portable.h. Reduced to a short range, then Taylor's series; both ends as in J.-M. Muller, "Elementary Functions", 3rd ed., chapters 3 and 11. */
#include "producers/portable.h"

#include <assert.h>
#include <math.h>

#define PI 0x1.921fb54442d18p1
/* π/2 in three parts of 33 bits, so that whole multiples below 2^20 of the first two are exact. Source: W. Cody, W. Waite, "Software Manual for the Elementary Functions", 1980. */
#define HALF_PI_1 0x1.921fb544p0
#define HALF_PI_2 0x1.0b4611a6p-34
#define HALF_PI_3 0x1.3198a2e037073p-69

/* Of |x| ≤ π/4. */
static double sin_short(double x) {
    double x2 = x * x, term = x, sum = x;
    for (int k = 2; k <= 18; k += 2) {
        term = -term * x2 / (k * (k + 1));
        sum += term;
    }
    return sum;
}

static double cos_short(double x) {
    double x2 = x * x, term = 1, sum = 1;
    for (int k = 1; k <= 19; k += 2) {
        term = -term * x2 / (k * (k + 1));
        sum += term;
    }
    return sum;
}

/* sin(x + quarter · π/2) */
static double quarter_sin(double x, int quarter) {
    assert(fabs(x) <= 1e6);
    double n = floor(x / (PI / 2) + 0.5);
    double r = ((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3;
    switch (((int)n + quarter) & 3) {
    case 0: return sin_short(r);
    case 1: return cos_short(r);
    case 2: return -sin_short(r);
    default: return -cos_short(r);
    }
}

double weir_portable_sin(double x) {
    return quarter_sin(x, 0);
}
double weir_portable_cos(double x) {
    return quarter_sin(x, 1);
}

/* arctan of 0 ≤ t ≤ 1: halved twice by arctan t = 2 arctan(t / (1 + sqrt(1 + t²))), so t < 0.2. */
static double atan_unit(double t) {
    for (int i = 0; i < 2; i++) t /= 1 + sqrt(1 + t * t);
    double t2 = t * t, sum = 0;
    for (int k = 25; k >= 1; k -= 2) sum = 1.0 / k - t2 * sum;
    return 4 * t * sum;
}

double weir_portable_atan2(double y, double x) {
    double ax = fabs(x), ay = fabs(y);
    if (ax == 0 && ay == 0) return 0;
    double angle = ay <= ax ? atan_unit(ay / ax) : PI / 2 - atan_unit(ax / ay);
    if (x < 0) angle = PI - angle;
    return y < 0 ? -angle : angle;
}

double weir_portable_exp(double x) {
    assert(fabs(x) <= 700);
    const double ln2_high = 0x1.62e42fefa3800p-1, ln2_low = 0x1.ef35793c76730p-45; /* n × high is exact */
    double n = floor(x / 0x1.62e42fefa39efp-1 + 0.5);
    double r = (x - n * ln2_high) - n * ln2_low, sum = 1;
    for (int k = 18; k >= 1; k--) sum = 1 + sum * r / k;
    return ldexp(sum, (int)n);
}

double weir_portable_cbrt(double x) {
    assert(x >= 0);
    if (x == 0) return 0;
    int exponent;
    double m = frexp(x, &exponent); /* [0.5, 1) */
    while (exponent % 3) m /= 2, exponent++; /* [0.125, 1) */
    double y = 0.4 + 0.6 * m;
    for (int i = 0; i < 6; i++) y -= (y * y * y - m) / (3 * y * y);
    return ldexp(y, exponent / 3);
}
