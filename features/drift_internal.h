/* The parts of drift detection, private to features/drift*.c. */
#ifndef WEIR_FEATURES_DRIFT_INTERNAL_H
#define WEIR_FEATURES_DRIFT_INTERNAL_H

#include "features/drift.h"
#include "features/sketch.h"

/* The sketch of distinct values is exact to WEIR_DRIFT_VALUES of them: while it is, the slots hold the count of every value. */
enum { DRIFT_PRECISION = 10, DRIFT_BINS = 1024, DRIFT_NAME_SLOTS = 256, DRIFT_NAMES = 192 };
_Static_assert((1 << DRIFT_PRECISION) / 8 == WEIR_DRIFT_VALUES, "exact distinct values are exact counts");
#define DRIFT_ERROR 0.005

typedef struct drift_draw {
    uint64_t tag; /* uniform; the smallest tags of all are the sample */
    double value;
} drift_draw;

typedef struct drift_name {
    double code;
    char text[WEIR_DRIFT_TEXT_MAX + 1]; /* "": free */
} drift_name;

struct weir_drift_profile {
    weir_drift_type type;
    weir_drift_role role;
    int64_t count, missing, zeros;
    double min, max, mean, m2; /* of numbers and booleans */
    uint64_t random; /* of the next tag */
    int32_t held, names;
    drift_draw sample[WEIR_DRIFT_SAMPLE]; /* in order of arrival until full, then a heap with the largest tag in front */
    drift_name name[DRIFT_NAME_SLOTS]; /* a hash table with linear probing; all zero until a text comes */
    _Alignas(8) unsigned char quantiles[sizeof(weir_quantiles) + DRIFT_BINS * sizeof(uint32_t)]; /* of numbers */
    _Alignas(8) unsigned char distinct[sizeof(weir_distinct) + (1 << DRIFT_PRECISION)];
    _Alignas(8) unsigned char frequent[sizeof(weir_frequent) + WEIR_DRIFT_VALUES * sizeof(weir_frequent_slot)]; /* of a number with more values: nothing */
};

static inline weir_quantiles *drift_quantiles(const weir_drift_profile *p) {
    return (weir_quantiles *)(void *)p->quantiles;
}
static inline weir_distinct *drift_distinct(const weir_drift_profile *p) {
    return (weir_distinct *)(void *)p->distinct;
}
static inline weir_frequent *drift_frequent(const weir_drift_profile *p) {
    return (weir_frequent *)(void *)p->frequent;
}
static inline int64_t drift_value_count(const weir_drift_profile *p) {
    return p->count - p->missing;
}
/** Whether the slots hold the count of every value. */
static inline bool drift_counts_all(const weir_drift_profile *p) {
    return !drift_distinct(p)->sketched;
}

/* splitmix64's finalizer: Steele, Lea, Flood, Fast splittable pseudorandom number generators (2014). */
static inline uint64_t drift_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static inline uint64_t drift_random(uint64_t *state) {
    return drift_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

void drift_profile_init(weir_drift_profile *profile, weir_drift_type type, weir_drift_role role, uint64_t seed);
/** The place of a code in the hash table, or a free one; NULL: there is none. */
const drift_name *drift_name_find(const weir_drift_profile *profile, double code);

struct weir_drift_table {
    int count;
    weir_drift_field *fields; /* [count] names are ours */
    weir_drift_profile *profiles; /* [count] */
};

/* --- drift_bytes.c: what profiles, tables and detectors are as bytes; numbers are little-endian --- */

/* "WDP", "WDT", "WDD" and the format's number. */
enum { DRIFT_PROFILE_MAGIC = 0x01504457, DRIFT_TABLE_MAGIC = 0x01544457, DRIFT_DETECTOR_MAGIC = 0x01444457 };

/** Appends: u32 magic | u64 bytes of the contents | contents | u64 FNV-1a of all before it. begin returns where the frame begins; after a failure out is cut to it. */
size_t drift_frame_begin(weir_buf *out, uint32_t magic, bool *failed);
bool drift_frame_end(weir_buf *out, size_t begin, bool failed);
void drift_put(weir_buf *out, bool *failed, const void *bytes, size_t len);
void drift_put_u32(weir_buf *out, bool *failed, uint32_t v);
void drift_put_u64(weir_buf *out, bool *failed, uint64_t v);
void drift_put_f64(weir_buf *out, bool *failed, double v);

typedef struct drift_reader {
    const unsigned char *p, *end;
    bool failed; /* a read went beyond the end, or what was read is not what it should be; then zeros are read */
} drift_reader;
/** The contents of a frame that fills all bytes; failed when it does not. */
drift_reader drift_frame_open(const void *bytes, size_t len, uint32_t magic);
const void *drift_get(drift_reader *r, size_t len);
uint32_t drift_get_u32(drift_reader *r);
uint64_t drift_get_u64(drift_reader *r);
double drift_get_f64(drift_reader *r);
/** A count of things, at most max. */
uint32_t drift_get_count(drift_reader *r, uint32_t max);

/* --- drift_test.c --- */

/** Errors: WEIR_EINVAL. */
weir_status drift_settings_check(const weir_drift_settings *settings, weir_err *err) WEIR_MUST_CHECK;

/* --- drift_values.c: the values of two columns side by side --- */

/* Different values of both, ascending, with the number of each. */
typedef struct drift_pair {
    int count;
    double *value, *reference, *current; /* [count] */
    double n, m; /* sums of reference and current */
    bool sampled;
} drift_pair;
/** individuals: windows of more values than the sample are taken from the sample, even where counts are exact. Errors: WEIR_ENOMEM. */
weir_status drift_pair_make(const weir_drift_profile *reference, const weir_drift_profile *current, bool individuals, drift_pair *ret_pair,
                            weir_err *err) WEIR_MUST_CHECK;
void drift_pair_done(drift_pair *pair);
/** Unites values of numbers into bins by quantiles of the reference, those of categories that are rare; in place. */
void drift_pair_bin(drift_pair *pair, int bins);
void drift_pair_pool(drift_pair *pair, double expected_min);

/* --- drift_permute.c: what chance does, by permutations of the values between the sides --- */

typedef struct drift_permuting {
    double value; /* that was seen */
    int made, as_far; /* as far apart as what was seen */
    double sum, squares;
} drift_permuting;
/** Takes the value of one more permutation; false when there are enough. */
bool drift_permuted(drift_permuting *permuting, double value);
double drift_permuting_p(const drift_permuting *permuting);
/** n and m at most WEIR_DRIFT_SAMPLE. */
double drift_wasserstein_p(const drift_pair *pair, int permutations, uint64_t seed);

/* --- drift_statistics.c: values and p-values; of a pair --- */

double drift_ks(const drift_pair *pair);
/** Errors: WEIR_ENOMEM. */
weir_status drift_ks_p(const drift_pair *pair, double *ret_p, weir_err *err) WEIR_MUST_CHECK;
double drift_wasserstein(const drift_pair *pair);
double drift_psi(const drift_pair *pair);
double drift_psi_p(const drift_pair *pair, double value);
double drift_jensen_shannon(const drift_pair *pair);
double drift_jensen_shannon_p(const drift_pair *pair, double value);
double drift_chi_squared(const drift_pair *pair);
double drift_chi_squared_p(const drift_pair *pair, double value);
/** z of x of n against y of m; positive: the second share is larger. */
double drift_proportion(double x, double n, double y, double m);
double drift_proportion_p(double x, double n, double y, double m);
/** Cohen's h, not negative. */
double drift_cohen_h(double x, double n, double y, double m);
/** How many of current are values that reference has not. */
double drift_unseen(const drift_pair *pair);
/** The pair's values are lost. */
double drift_unseen_p(drift_pair *pair, int permutations, uint64_t seed);

#endif
