/* Permutations of the values of two columns between the sides. */
#include <assert.h>
#include <math.h>

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

static int mark_word(line *l, int word, uint64_t bits) {
    int left = l->count - word * WORD;
    if (left < WORD) bits &= (UINT64_C(1) << left) - 1;
    l->of_reference[word] = bits;
    return __builtin_popcountll(bits);
}

/* n of the values, each choice as likely as any other. Each value is marked with a chance near n / (n + m), made of SHARE_BITS random words: from the lowest bit of the share on, a 1 is an or, a 0 an
 * and. Given how many were marked all choices of so many are equally likely, and they stay so when marks are set or taken away at random until there are n. */
static void choose_reference(line *l, uint64_t *random) {
    unsigned share = (unsigned)lround(ldexp((double)l->n / l->count, SHARE_BITS));
    int marked = 0;
    for (int word = 0; word * WORD < l->count; word++) {
        uint64_t bits = share >> SHARE_BITS ? ~UINT64_C(0) : 0;
        for (int k = share ? __builtin_ctz(share) : SHARE_BITS; k < SHARE_BITS; k++)
            bits = share >> k & 1 ? bits | drift_random(random) : bits & drift_random(random);
        marked += mark_word(l, word, bits);
    }
    while (marked != l->n) {
        uint64_t at = (drift_random(random) >> 32) * (uint64_t)l->count >> 32, bit = UINT64_C(1) << at % WORD;
        bool is_marked = l->of_reference[at / WORD] & bit;
        if (is_marked != (marked > l->n)) continue;
        l->of_reference[at / WORD] ^= bit;
        marked += is_marked ? -1 : 1;
    }
}

/* Four values at a time. */
typedef int32_t four __attribute__((vector_size(16)));
typedef double four_real __attribute__((vector_size(32)));

/* What four values add to n m times the difference of the distribution functions, one after the other: m for a value of the reference, -n for another. By their bits. */
static void make_steps(const line *l, four steps[16]) {
    for (unsigned bits = 0; bits < 16; bits++) {
        int32_t apart = 0;
        for (int k = 0; k < 4; k++) {
            apart += (bits >> k & 1 ? l->m : -l->n);
            steps[bits][k] = apart;
        }
    }
}

/* Area between the distribution functions; n m times their difference is a whole number below 2^25. */
static double area_of(const line *l, const four steps[16]) {
    four_real area = {0};
    four apart = {0};
    for (int word = 0; word * WORD < l->count; word++) {
        uint64_t bits = l->of_reference[word];
        const double *gap = l->gap + word * WORD; /* 0 behind the last value */
        for (int i = 0; i < WORD; i += 4, bits >>= 4) {
            four at = steps[bits & 15] + apart, sign = at >> 31;
            four_real gaps;
            apart = __builtin_shufflevector(at, at, 3, 3, 3, 3);
            memcpy(&gaps, gap + i, sizeof gaps);
            area += __builtin_convertvector((at ^ sign) - sign, four_real) * gaps;
        }
    }
    return (area[0] + area[1] + area[2] + area[3]) / ((double)l->n * l->m);
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
    four steps[16];
    if (p.value == 0) return 1;
    draw_line(pair, &l);
    make_steps(&l, steps);
    double variance = pooled_variance(pair) * (1 / pair->n + 1 / pair->m);
    for (bool more = true; more && p.made < permutations;) {
        choose_reference(&l, &seed);
        more = drift_permuted(&p, area_of(&l, steps));
        /* More of them could not say less than the bound already does. */
        if (p.made == ENOUGH_FOR_BOUND && !p.as_far && bound_of(&p, variance) < 1 / (permutations + 1.0)) break;
    }
    double share = drift_permuting_p(&p);
    return p.as_far ? share : fmin(bound_of(&p, variance), share);
}
