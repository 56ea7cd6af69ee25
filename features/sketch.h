/* Sketches of fixed size: distinct values, quantiles, most frequent values. Plain bytes without pointers, every byte set, 8-aligned: they are stored and sent as they are.
 * Each is exact while few values have come, then within its stated error. The same values give the same bytes of the first two, in whatever order they came and however they
 * were merged; the third is so while exact. Values must be finite; -0 counts as 0. */
#ifndef WEIR_FEATURES_SKETCH_H
#define WEIR_FEATURES_SKETCH_H

#include <stddef.h>
#include <stdint.h>

/* Distinct values: exact to 2^precision / 8 of them, then HyperLogLog with 2^precision registers: standard error 1.04 / sqrt(2^precision).
 * Source: Flajolet, Fusy, Gandouet, Meunier, HyperLogLog (2007); estimator: Ertl, New cardinality estimation algorithms for HyperLogLog sketches (2017), algorithm 6. */
enum { WEIR_DISTINCT_PRECISION_MIN = 4, WEIR_DISTINCT_PRECISION_MAX = 13, WEIR_DISTINCT_RANKS = 62 };
typedef struct weir_distinct {
    uint32_t precision;
    uint32_t held; /* exact values, ascending in body; 0 once sketched */
    uint64_t sketched; /* 0 or 1 */
    uint32_t registers_at[WEIR_DISTINCT_RANKS]; /* once sketched: how many registers have each value */
    unsigned char body[]; /* [2^precision]: double [held] or registers */
} weir_distinct;
size_t weir_distinct_size(int precision);
void weir_distinct_init(weir_distinct *sketch, int precision);
void weir_distinct_add(weir_distinct *sketch, double value);
/** values [count], one after the other: the same bytes. */
void weir_distinct_add_many(weir_distinct *sketch, const double *values, int count);
/** sketch := union of both; equal precisions. */
void weir_distinct_merge(weir_distinct *sketch, const weir_distinct *other);
double weir_distinct_value(const weir_distinct *sketch);

/* Quantiles: exact to bins / 2 values, then DDSketch with uniform collapse: a value is known to within the relative error `error` as long as
 * all magnitudes fit the bins (bins × ln((1 + error) / (1 - error)) ≥ ln(largest / smallest), for positive and negative ones together); each time they do not, neighbouring
 * bins are united and the error a becomes 2a / (1 + a²). Magnitudes below 2.3e-308 count as 0. A bin counts to 2^32 - 1.
 * Source: Masson, Rim, Lee, DDSketch (VLDB 2019); collapse: Epicoco, Melle, Cafaro, Pulimeno, Morleo, UDDSketch (IEEE Access 2020). */
enum { WEIR_QUANTILES_BINS_MIN = 64, WEIR_QUANTILES_BINS_MAX = 4000 };
typedef struct weir_quantiles_side {
    int32_t top; /* index of the bin of the largest magnitude */
    uint32_t span; /* bins from there down; 0: no value */
} weir_quantiles_side;
typedef struct weir_quantiles {
    double error; /* of the bins before any collapse */
    double min, max;
    uint64_t count, zeros;
    uint32_t bins; /* even */
    uint32_t held; /* exact values, ascending in body; 0 once sketched */
    uint32_t level; /* how often bins were united */
    uint32_t sketched; /* 0 or 1 */
    weir_quantiles_side side[2]; /* negative values, bins from the front of the body; positive ones, bins from its back */
    unsigned char body[]; /* [4 × bins]: double [held] or uint32_t [bins] */
} weir_quantiles;
size_t weir_quantiles_size(int bins);
void weir_quantiles_init(weir_quantiles *sketch, int bins, double error);
void weir_quantiles_add(weir_quantiles *sketch, double value);
/** values [count], one after the other: the same bytes. */
void weir_quantiles_add_many(weir_quantiles *sketch, const double *values, int count);
/** sketch := both together; equal bins and error. */
void weir_quantiles_merge(weir_quantiles *sketch, const weir_quantiles *other);
/** The q-quantile, 0 ≤ q ≤ 1, with linear interpolation between neighbours (type 7 of Hyndman and Fan); NaN when empty. */
double weir_quantiles_value(const weir_quantiles *sketch, double q);
/** The relative error that holds now: 0 while exact. */
double weir_quantiles_error(const weir_quantiles *sketch);

/** Linear interpolation between the two neighbours of a quantile, share ∈ [0, 1) of the way; in NumPy's order of operations, so that the bits are NumPy's. */
double weir_lerp(double below, double above, double share);

/* Most frequent values: exact to `slots` different ones, then Misra-Gries: a count is too small by at most records / (slots + 1), so a value with a larger share is never missed.
 * Source: Misra, Gries, Finding repeated elements (1982); merge: Agarwal et al., Mergeable summaries (2012). */
enum { WEIR_FREQUENT_SLOTS_MIN = 2, WEIR_FREQUENT_SLOTS_MAX = 600 };
typedef struct weir_frequent_slot {
    double value;
    uint64_t count, newest; /* newest: number of the value's newest record, from 1 */
} weir_frequent_slot;
typedef struct weir_frequent {
    uint64_t records;
    uint32_t slots, held;
    weir_frequent_slot slot[]; /* [slots], ascending by value to held, then zero */
} weir_frequent;
size_t weir_frequent_size(int slots);
void weir_frequent_init(weir_frequent *sketch, int slots);
void weir_frequent_add(weir_frequent *sketch, double value);
/** sketch := sketch followed by later; equal slots. */
void weir_frequent_merge(weir_frequent *sketch, const weir_frequent *later);
/** The slot with the highest count, of equal ones the newest; NULL when empty. */
const weir_frequent_slot *weir_frequent_top(const weir_frequent *sketch);

#endif
