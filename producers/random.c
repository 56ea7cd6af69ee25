/* xoshiro256++ and the distributions that simulators need. frexp and sqrt are exact or correctly rounded by IEEE 754; nothing else of libm is used, and the build
 * forbids contraction into fused operations, so a seed gives the same stream on any machine. */
#include "producers/random.h"

#include <assert.h>
#include <math.h>

static uint64_t rotate_left(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

void weir_random_init(weir_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        random->s[i] = z ^ (z >> 31);
    }
}

uint64_t weir_random_next(weir_random *random) {
    uint64_t *s = random->s, result = rotate_left(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t weir_random_below(weir_random *random, uint64_t n) {
    assert(n > 0);
    uint64_t first = -n % n, r; /* 2^64 mod n values at the start are left out, so that the rest divide evenly */
    do {
        r = weir_random_next(random);
    } while (r < first);
    return r % n;
}

double weir_random_unit(weir_random *random) {
    return ((double)(weir_random_next(random) >> 12) + 0.5) * 0x1p-52;
}

double weir_random_uniform(weir_random *random, double low, double high) {
    return low + (high - low) * weir_random_unit(random);
}

double weir_portable_log(double x) {
    assert(x > 0 && isfinite(x));
    int exponent;
    double m = frexp(x, &exponent); /* [0.5, 1) */
    if (m < 0x1.6a09e667f3bcdp-1) { /* to [sqrt(1/2), sqrt(2)) */
        m *= 2;
        exponent--;
    }
    /* ln m = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + …); |s| < 0.1716, so 12 terms reach 1e-19 */
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 3; k -= 2) sum = (sum + 1.0 / k) * s2;
    const double ln2_high = 0x1.62e42fefa3800p-1, ln2_low = 0x1.ef35793c76730p-45; /* exponent × high is exact */
    return exponent * ln2_high + (2 * s + (2 * s * sum + exponent * ln2_low));
}

static double polynomial(const double c[8], double x) {
    double y = c[7];
    for (int i = 6; i >= 0; i--) y = y * x + c[i];
    return y;
}

double weir_portable_normal_quantile(double p) {
    assert(p > 0 && p < 1);
    static const double a[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[8] = {1.0,
                                4.2313330701600911252e+1,
                                6.8718700749205790830e+2,
                                5.3941960214247511077e+3,
                                2.1213794301586595867e+4,
                                3.9307895800092710610e+4,
                                2.8729085735721942674e+4,
                                5.2264952788528545610e+3};
    static const double c[8] = {1.42343711074968357734e0, 4.63033784615654529590e0,  5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    double r = sqrt(-weir_portable_log(q < 0 ? p : 1 - p));
    double z = r <= 5 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6) : polynomial(e, r - 5) / polynomial(f, r - 5);
    return q < 0 ? -z : z;
}

double weir_random_normal(weir_random *random, double mean, double deviation) {
    return mean + deviation * weir_portable_normal_quantile(weir_random_unit(random));
}

uint32_t weir_random_poisson(weir_random *random, double lambda) {
    assert(lambda >= 0 && lambda <= 1000);
    uint32_t count = 0;
    for (double sum = -weir_portable_log(weir_random_unit(random)); sum <= lambda; sum -= weir_portable_log(weir_random_unit(random))) count++;
    return count;
}
