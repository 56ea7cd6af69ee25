/* Permutations of the values of two columns between the sides. */
#include <assert.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <math.h>
#include <stdlib.h>

#include "features/drift_internal.h"

/* After so many permutations that are as far apart, p is known well enough: it is the share until then. Without that many, (as far + 1) / (all + 1).
 * Source: J. Besag, P. Clifford, Sequential Monte Carlo p-values, Biometrika 78 (1991). */
enum { AS_FAR_ENOUGH = 20 };

bool drift_permuted(drift_permuting *p, double value) {
    p->made++;
    p->sum += value;
    p->squares += value * value;
    p->as_far += value >= p->value * (1 - 1e-12);
    return p->as_far < AS_FAR_ENOUGH;
}

double drift_permuting_p(const drift_permuting *p) {
    return p->as_far < AS_FAR_ENOUGH ? (p->as_far + 1.0) / (p->made + 1.0) : (double)p->as_far / p->made;
}

/* --- which values are of the reference, as bits --- */

enum { WORD = 64, VALUES_MAX = 2 * WEIR_DRIFT_SAMPLE, WORDS_MAX = VALUES_MAX / WORD, SHARE_BITS = 8 };

/* Values in their order, equal ones side by side. */
typedef struct line {
    int n, m, count; /* count = n + m */
    double gap[VALUES_MAX]; /* from a value to the next; 0 behind the last */
    uint64_t of_reference[WORDS_MAX];
} line;

static void draw_line(const drift_pair *pair, line *l) {
    *l = (line){.n = (int)pair->n, .m = (int)pair->m, .count = (int)(pair->n + pair->m)};
    assert(l->count <= VALUES_MAX);
    int at = 0;
    for (int i = 0; i < pair->count; i++) {
        at += (int)(pair->reference[i] + pair->current[i]);
        if (i + 1 < pair->count) l->gap[at - 1] = pair->value[i + 1] - pair->value[i];
    }
}

#define INLINED __attribute__((always_inline)) inline /* into functions for other processors, too */

static INLINED int mark_word(line *l, int word, uint64_t bits) {
    int left = l->count - word * WORD;
    if (left < WORD) bits &= (UINT64_C(1) << left) - 1;
    l->of_reference[word] = bits;
    return __builtin_popcountll(bits);
}

/* n of the values, each choice as likely as any other. Each value is marked with a chance near n / (n + m), made of SHARE_BITS random words: from the lowest bit of the share on, a 1 is an or, a 0 an
 * and. Given how many were marked all choices of so many are equally likely, and they stay so when marks are set or taken away at random until there are n. */
static INLINED void choose_reference(line *l, uint64_t *random) {
    unsigned share = (unsigned)lround(ldexp((double)l->n / l->count, SHARE_BITS));
    int marked = 0;
    for (int word = 0; word * WORD < l->count; word++) {
        uint64_t bits = share >> SHARE_BITS ? ~UINT64_C(0) : 0;
        for (int k = share ? __builtin_ctz(share) : SHARE_BITS; k < SHARE_BITS; k++)
            bits = share >> k & 1 ? bits | drift_random(random) : bits & drift_random(random);
        marked += mark_word(l, word, bits);
    }
    while (marked != l->n) {
        uint64_t at = (drift_random(random) >> 32) * (uint64_t)l->count >> 32, *word = &l->of_reference[at / WORD], too_many = marked > l->n;
        uint64_t changes = (*word >> at % WORD & 1) == too_many; /* as likely as not: no branch */
        *word ^= changes << at % WORD;
        marked += too_many ? -(int)changes : (int)changes;
    }
}

enum { LANES = 8, BYTE_VALUES = 256 };

/* What eight values add to n m times the difference of the distribution functions, one after the other: m for a value of the reference, -n for another. By their bits. */
static void make_steps(const line *l, int32_t steps[BYTE_VALUES][LANES]) {
    for (unsigned bits = 0; bits < BYTE_VALUES; bits++) {
        int32_t apart = 0;
        for (int k = 0; k < LANES; k++) {
            apart += (bits >> k & 1 ? l->m : -l->n);
            steps[bits][k] = apart;
        }
    }
}

/* Area between the distribution functions; n m times their difference is a whole number below 2^25. */
static double area_of(const line *l, const int32_t steps[BYTE_VALUES][LANES]) {
    double area[LANES] = {0};
    int32_t apart = 0;
    for (int word = 0; word * WORD < l->count; word++) {
        uint64_t bits = l->of_reference[word];
        const double *gap = l->gap + word * WORD; /* 0 behind the last value */
        for (int i = 0; i < WORD; i += LANES, bits >>= LANES) {
            const int32_t *step = steps[bits % BYTE_VALUES];
            for (int k = 0; k < LANES; k++) area[k] += abs(apart + step[k]) * gap[i + k];
            apart += step[LANES - 1];
        }
    }
    return (((area[0] + area[4]) + (area[1] + area[5])) + ((area[2] + area[6]) + (area[3] + area[7]))) / ((double)l->n * l->m);
}

/* Area of another permutation. */
typedef double (*permuted_fn)(line *l, const int32_t steps[BYTE_VALUES][LANES], uint64_t *random);
static double permuted(line *l, const int32_t steps[BYTE_VALUES][LANES], uint64_t *random) {
    choose_reference(l, random);
    return area_of(l, steps);
}

#ifdef __x86_64__
/* The same, to the bit (neither fuses multiplication and addition), where a register holds eight whole numbers. */
__attribute__((target("avx2"))) static double area_avx2(const line *l, const int32_t steps[BYTE_VALUES][LANES]) {
    const __m256i last = _mm256_set1_epi32(LANES - 1);
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    __m256i apart = _mm256_setzero_si256();
    for (int word = 0; word * WORD < l->count; word++) {
        uint64_t bits = l->of_reference[word];
        const double *gap = l->gap + word * WORD;
        for (int i = 0; i < WORD; i += LANES, bits >>= LANES) {
            __m256i at = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(const void *)steps[bits % BYTE_VALUES]), apart), size = _mm256_abs_epi32(at);
            apart = _mm256_permutevar8x32_epi32(at, last);
            low = _mm256_add_pd(low, _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(size)), _mm256_loadu_pd(gap + i)));
            high = _mm256_add_pd(high, _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_extracti128_si256(size, 1)), _mm256_loadu_pd(gap + i + LANES / 2)));
        }
    }
    __m256d area = _mm256_add_pd(low, high);
    return ((area[0] + area[1]) + (area[2] + area[3])) / ((double)l->n * l->m);
}

__attribute__((target("avx2,popcnt"))) static double permuted_avx2(line *l, const int32_t steps[BYTE_VALUES][LANES], uint64_t *random) {
    choose_reference(l, random);
    return area_avx2(l, steps);
}
#endif

static permuted_fn permuted_here(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return permuted_avx2;
#endif
    return permuted;
}

/* --- p --- */

static double square(double x) {
    return x * x;
}

static double pooled_variance(const drift_pair *pair) {
    double n = 0, mean = 0, m2 = 0;
    for (int i = 0; i < pair->count; i++) {
        double count = pair->reference[i] + pair->current[i], from_mean = pair->value[i] - mean;
        n += count;
        mean += from_mean * count / n;
        m2 += from_mean * count * (pair->value[i] - mean);
    }
    return m2 / n;
}

/* Permutations alone give no p below 1 / (permutations + 1), which is not enough among many columns. √(nm / (n + m)) W1 is in the limit the largest value over all functions
 * of slope at most 1 of a Gaussian process, whose variance is largest, σ², for the identity: it exceeds its mean by t with a probability of at most exp(-t² / 2σ²). The mean is that of the permutations,
 * and three of its standard errors.
 * Source: Borell, Tsirelson, Ibragimov, Sudakov: R. Adler, J. Taylor, Random Fields and Geometry (2007), theorem 2.1.1. */
static double bound_of(const drift_permuting *p, double variance) {
    double mean = p->sum / p->made, error = sqrt(fmax(p->squares / p->made - mean * mean, 0) / p->made);
    return exp(-square(fmax(p->value - mean - 3 * error, 0)) / (2 * variance));
}

double drift_wasserstein_p(const drift_pair *pair, int permutations, uint64_t seed) {
    enum { ENOUGH_FOR_BOUND = 49 };
    drift_permuting p = {.value = drift_wasserstein(pair)};
    line l;
    int32_t steps[BYTE_VALUES][LANES];
    if (p.value == 0) return 1;
    draw_line(pair, &l);
    make_steps(&l, steps);
    double variance = pooled_variance(pair) * (1 / pair->n + 1 / pair->m);
    permuted_fn next = permuted_here();
    for (bool more = true; more && p.made < permutations;) {
        more = drift_permuted(&p, next(&l, steps, &seed));
        /* More of them could not say less than the bound already does. */
        if (p.made == ENOUGH_FOR_BOUND && !p.as_far && bound_of(&p, variance) < 1 / (permutations + 1.0)) break;
    }
    double share = drift_permuting_p(&p);
    return p.as_far ? share : fmin(bound_of(&p, variance), share);
}
