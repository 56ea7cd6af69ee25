/* Seeded random numbers that are the same bits on every machine: integers and IEEE arithmetic only, no libm function whose last bit may differ. */
#ifndef WEIR_PRODUCERS_RANDOM_H
#define WEIR_PRODUCERS_RANDOM_H

#include <stdint.h>

typedef struct weir_random {
    uint64_t s[4];
} weir_random;

/** Any seed will do: the state is spread by splitmix64. */
void weir_random_init(weir_random *random, uint64_t seed);
/** xoshiro256++ 1.0. Source: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47 (2021). */
uint64_t weir_random_next(weir_random *random);
/** In [0, n), unbiased; n ≥ 1. */
uint64_t weir_random_below(weir_random *random, uint64_t n);
/** In (0, 1): never an end. */
double weir_random_unit(weir_random *random);
double weir_random_uniform(weir_random *random, double low, double high);
/** Inverse of the distribution function. Source: M. Wichura, algorithm AS 241 (PPND16), Applied Statistics 37 (1988), 477-484. */
double weir_random_normal(weir_random *random, double mean, double deviation);
/** Count of unit exponential steps that fit into lambda; O(lambda). 0 ≤ lambda ≤ 1000. */
uint32_t weir_random_poisson(weir_random *random, double lambda);

/** Natural logarithm of x > 0 (finite, normal), within 2 ulp, the same bits everywhere. */
double weir_portable_log(double x);
/** Quantile of the standard normal distribution, 0 < p < 1; relative error about 1e-15. */
double weir_portable_normal_quantile(double p);

#endif
