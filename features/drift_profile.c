/* Profiles of columns: moments, sketches, a uniform sample.
 *
 * The sample: every value draws a random tag, and the values with the smallest tags are kept. Which values these are does not depend on how the stream was cut, so that the
 * union of two samples, cut to the smallest tags again, is the sample of both streams. Source: bottom-k sampling, Cohen and Kaplan, Summarizing data using bottom-k sketches
 * (PODC 2007). */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "features/drift_internal.h"
#include "features/operator.h"

const char *const weir_drift_type_names[] = {"number", "boolean", "category"};
const char *const weir_drift_role_names[] = {"feature", "score", "label"};

/* --- life --- */

void drift_profile_init(weir_drift_profile *p, weir_drift_type type, weir_drift_role role, uint64_t seed) {
    const size_t sample = offsetof(weir_drift_profile, sample), rest = offsetof(weir_drift_profile, name);
    memset(p, 0, sample);
    memset((char *)p + rest, 0, sizeof(*p) - rest); /* of the sample only what is held is read: most of a profile's memory is taken when values come */
    p->type = type;
    p->role = role;
    p->min = INFINITY;
    p->max = -INFINITY;
    p->random = drift_mix(seed);
    weir_quantiles_init(drift_quantiles(p), DRIFT_BINS, DRIFT_ERROR);
    weir_distinct_init(drift_distinct(p), DRIFT_PRECISION);
    weir_frequent_init(drift_frequent(p), WEIR_DRIFT_VALUES);
}

weir_drift_profile *weir_drift_profile_new(weir_drift_type type, weir_drift_role role, uint64_t seed) {
    weir_drift_profile *p = weir_mem.realloc(NULL, sizeof(*p));
    if (p) drift_profile_init(p, type, role, seed);
    return p;
}

void weir_drift_profile_free(weir_drift_profile *profile) {
    if (profile) weir_mem.realloc(profile, 0);
}

void weir_drift_profile_clear(weir_drift_profile *profile, uint64_t seed) {
    drift_profile_init(profile, profile->type, profile->role, seed);
}

/* --- the sample --- */

static void sift_down(drift_draw *heap, int32_t held, int32_t at) {
    drift_draw moved = heap[at];
    for (int32_t child; (child = 2 * at + 1) < held; at = child) {
        if (child + 1 < held) child += heap[child + 1].tag > heap[child].tag; /* either as likely: no branch */
        if (heap[child].tag <= moved.tag) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void draw(weir_drift_profile *p, uint64_t tag, double value) {
    if (p->held < WEIR_DRIFT_SAMPLE) {
        p->sample[p->held++] = (drift_draw){tag, value};
        if (p->held < WEIR_DRIFT_SAMPLE) return;
        for (int32_t i = p->held / 2; i-- > 0;) sift_down(p->sample, p->held, i);
    } else if (tag < p->sample[0].tag) {
        p->sample[0] = (drift_draw){tag, value};
        sift_down(p->sample, p->held, 0);
    }
}

/* --- values --- */

/* Source: B. P. Welford, Technometrics 4 (1962). */
static void add_moments(weir_drift_profile *p, double value) {
    double n = (double)drift_value_count(p), from_mean = value - p->mean;
    p->min = value < p->min ? value : p->min;
    p->max = value > p->max ? value : p->max;
    p->mean += from_mean / n;
    p->m2 += from_mean * (value - p->mean);
}

/* A number with many values needs no counts: they are what its sample is for. */
static void forget_counts(weir_drift_profile *p) {
    if (drift_frequent(p)->records) weir_frequent_init(drift_frequent(p), WEIR_DRIFT_VALUES);
}

void weir_drift_profile_add(weir_drift_profile *p, double value) {
    p->count++;
    if (!isfinite(value)) {
        p->missing++;
        return;
    }
    value += 0.0; /* -0 + 0 = 0 */
    p->zeros += value == 0;
    draw(p, drift_random(&p->random), value);
    weir_distinct_add(drift_distinct(p), value);
    if (p->type == WEIR_DRIFT_CATEGORY || drift_counts_all(p))
        weir_frequent_add(drift_frequent(p), value);
    else
        forget_counts(p);
    if (p->type == WEIR_DRIFT_CATEGORY) return;
    add_moments(p, value);
    if (p->type == WEIR_DRIFT_NUMBER) weir_quantiles_add(drift_quantiles(p), value);
}

/* --- many values --- */

enum { LANES = 4 };

/* Mean and sum of squares from it in two passes, in lanes so that they do not wait for one another; then as merge_moments. Rounding differs from Welford's recurrence in the last digits. */
static void add_block_moments(weir_drift_profile *p, const double *values, int count) {
    double sum[LANES] = {0}, squares[LANES] = {0}, low = values[0], high = values[0], share = 1.0 / count;
    for (int i = 0; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
        sum[i % LANES] += values[i] * share; /* the sum of the values could overflow */
    }
    double mean = sum[0] + sum[1] + sum[2] + sum[3];
    for (int i = 0; i < count; i++) squares[i % LANES] += (values[i] - mean) * (values[i] - mean);
    double m = count, n = (double)drift_value_count(p) - m, between = mean - p->mean;
    p->min = low < p->min ? low : p->min;
    p->max = high > p->max ? high : p->max;
    p->m2 += squares[0] + squares[1] + squares[2] + squares[3] + between * between * n * (m / (n + m));
    p->mean = n == 0 ? mean : p->mean + between * (m / (n + m));
}

/* Finite values, -0 among them as 0, which are counted already. */
static void add_block(weir_drift_profile *p, const double *values, int count) {
    int counted = 0;
    if (!count) return;
    for (int i = 0; i < count; i++) p->zeros += values[i] == 0;
    for (int i = 0; i < count; i++) {
        uint64_t tag = drift_random(&p->random);
        if (p->held < WEIR_DRIFT_SAMPLE || tag < p->sample[0].tag) draw(p, tag, values[i]);
    }
    for (; counted < count && (p->type == WEIR_DRIFT_CATEGORY || drift_counts_all(p)); counted++) {
        weir_distinct_add(drift_distinct(p), values[counted]);
        if (p->type == WEIR_DRIFT_CATEGORY || drift_counts_all(p)) weir_frequent_add(drift_frequent(p), values[counted]);
    }
    if (p->type == WEIR_DRIFT_CATEGORY) return;
    if (!drift_counts_all(p)) forget_counts(p);
    weir_distinct_add_many(drift_distinct(p), values + counted, count - counted);
    add_block_moments(p, values, count);
    if (p->type == WEIR_DRIFT_NUMBER) weir_quantiles_add_many(drift_quantiles(p), values, count);
}

void weir_drift_profile_add_many(weir_drift_profile *p, const double *values, int64_t count, int64_t stride) {
    enum { BLOCK = 512 };
    double block[BLOCK];
    while (count) {
        int held = 0;
        for (; count && held < BLOCK; count--, values += stride) {
            p->count++;
            if (isfinite(*values))
                block[held++] = *values + 0.0;
            else
                p->missing++;
        }
        add_block(p, block, held);
    }
}

/* --- texts --- */

const drift_name *drift_name_find(const weir_drift_profile *p, double code) {
    uint64_t bits;
    memcpy(&bits, &code, sizeof(bits));
    for (uint64_t at = drift_mix(bits), i = 0; i < DRIFT_NAME_SLOTS; i++) {
        const drift_name *name = &p->name[(at + i) % DRIFT_NAME_SLOTS];
        if (!*name->text || name->code == code) return name;
    }
    return NULL;
}

static void remember(weir_drift_profile *p, double code, const char *text, size_t len) {
    drift_name *name = (drift_name *)drift_name_find(p, code);
    if (p->names == DRIFT_NAMES || !name || *name->text || !len || memchr(text, 0, len)) return;
    if (len > WEIR_DRIFT_TEXT_MAX) {
        for (len = WEIR_DRIFT_TEXT_MAX; len && ((unsigned char)text[len] & 0xc0) == 0x80;) len--; /* not within a character */
        if (!len) return;
    }
    name->code = code;
    memcpy(name->text, text, len);
    p->names++;
}

void weir_drift_profile_add_text(weir_drift_profile *p, const char *text, size_t len) {
    double code = weir_text_number(text, len);
    if (p->names < DRIFT_NAMES) remember(p, code, text, len);
    weir_drift_profile_add(p, code);
}

char *weir_drift_profile_text(const weir_drift_profile *p, double value, char *buffer) {
    const drift_name *name = drift_name_find(p, value);
    if (name && *name->text)
        memcpy(buffer, name->text, sizeof(name->text));
    else
        snprintf(buffer, WEIR_DRIFT_TEXT_MAX + 1, "%.17g", value);
    return buffer;
}

/* --- merging --- */

/* Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1982). */
static void merge_moments(weir_drift_profile *p, const weir_drift_profile *other) {
    double n = (double)drift_value_count(p), m = (double)drift_value_count(other), between = other->mean - p->mean;
    if (m == 0) return;
    p->min = fmin(p->min, other->min);
    p->max = fmax(p->max, other->max);
    p->m2 += other->m2 + between * between * n * (m / (n + m));
    p->mean = n == 0 ? other->mean : p->mean + between * (m / (n + m));
}

weir_status weir_drift_profile_merge(weir_drift_profile *p, const weir_drift_profile *other, weir_err *err) {
    assert(p != other);
    if (p->type != other->type || p->role != other->role)
        return WEIR_FAIL(err, WEIR_EINVAL, "a profile of a %s (%s) cannot take in one of a %s (%s)", weir_drift_type_names[p->type],
                         weir_drift_role_names[p->role], weir_drift_type_names[other->type], weir_drift_role_names[other->role]);
    merge_moments(p, other);
    weir_quantiles_merge(drift_quantiles(p), drift_quantiles(other));
    weir_distinct_merge(drift_distinct(p), drift_distinct(other));
    if (p->type == WEIR_DRIFT_CATEGORY || drift_counts_all(p))
        weir_frequent_merge(drift_frequent(p), drift_frequent(other));
    else
        forget_counts(p);
    for (int32_t i = 0; i < other->held; i++) draw(p, other->sample[i].tag, other->sample[i].value);
    for (int i = 0; i < DRIFT_NAME_SLOTS; i++)
        if (*other->name[i].text) remember(p, other->name[i].code, other->name[i].text, strlen(other->name[i].text));
    p->count += other->count;
    p->missing += other->missing;
    p->zeros += other->zeros;
    return WEIR_OK;
}

/* --- reading --- */

weir_drift_summary weir_drift_profile_summary(const weir_drift_profile *p) {
    int64_t values = drift_value_count(p);
    bool moments = p->type != WEIR_DRIFT_CATEGORY && values;
    return (weir_drift_summary){
        .type = p->type,
        .role = p->role,
        .count = p->count,
        .missing = p->missing,
        .zeros = p->zeros,
        .min = moments ? p->min : NAN,
        .max = moments ? p->max : NAN,
        .mean = moments ? p->mean : NAN,
        .std = moments && values > 1 ? sqrt(p->m2 / (double)(values - 1)) : NAN,
        .distinct = weir_distinct_value(drift_distinct(p)),
        .distinct_error = drift_counts_all(p) ? 0 : 1.04 / sqrt(1 << DRIFT_PRECISION),
        .quantile_error = weir_quantiles_error(drift_quantiles(p)),
        .sampled = p->held,
        .exact = drift_counts_all(p) || values == p->held,
    };
}

double weir_drift_profile_quantile(const weir_drift_profile *p, double q) {
    return weir_quantiles_value(drift_quantiles(p), q);
}
