/* The random numbers of splits and bootstraps: a seed is a stream, the same on every machine. */
#ifndef WEIR_MODELS_RANDOM_H
#define WEIR_MODELS_RANDOM_H

#include <stdint.h>

/** splitmix64: a counter and a finalizer; *state is the seed at first. Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014. */
static inline uint64_t weir_models_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/** In [0, n), unbiased; n ≥ 1. */
static inline uint64_t weir_models_random_below(uint64_t *state, uint64_t n) {
    uint64_t first = -n % n, r; /* 2^64 mod n values at the start are left out, so that the rest divide evenly */
    do {
        r = weir_models_random(state);
    } while (r < first);
    return r % n;
}

#endif
