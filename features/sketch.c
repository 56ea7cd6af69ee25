#include "features/sketch.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/** Puts value into the ascending values [*held] unless it is there and repeats are not wanted. */
static void insert_sorted(double *values, uint32_t *held, double value, bool repeats) {
    uint32_t low = 0, high = *held;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (values[mid] < value)
            low = mid + 1;
        else
            high = mid;
    }
    if (!repeats && low < *held && values[low] == value) return;
    memmove(values + low + 1, values + low, (*held - low) * sizeof(*values));
    values[low] = value;
    ++*held;
}

/* --- Distinct values --- */

size_t weir_distinct_size(int precision) {
    return sizeof(weir_distinct) + ((size_t)1 << precision);
}

void weir_distinct_init(weir_distinct *sketch, int precision) {
    assert(precision >= WEIR_DISTINCT_PRECISION_MIN && precision <= WEIR_DISTINCT_PRECISION_MAX);
    memset(sketch, 0, weir_distinct_size(precision));
    sketch->precision = (uint32_t)precision;
}

/* MurmurHash3's 64-bit finalizer (Appleby): every bit of the double reaches every bit of the hash. */
static uint64_t hash(double value) {
    uint64_t h;
    memcpy(&h, &value, sizeof(h));
    h ^= UINT64_C(0x9e3779b97f4a7c15); /* else 0 would have hash 0, which looks like a rare value */
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static void raise_register(weir_distinct *sketch, uint32_t index, unsigned char rank) {
    unsigned char *reg = &sketch->body[index];
    if (*reg >= rank) return;
    sketch->registers_at[*reg]--;
    sketch->registers_at[rank]++;
    *reg = rank;
}

static void add_to_registers(weir_distinct *sketch, double value) {
    uint64_t h = hash(value), rest = h << sketch->precision | UINT64_C(1) << (sketch->precision - 1);
    raise_register(sketch, (uint32_t)(h >> (64 - sketch->precision)), (unsigned char)(__builtin_clzll(rest) + 1));
}

static void sketch_distinct(weir_distinct *sketch) {
    double values[1 << (WEIR_DISTINCT_PRECISION_MAX - 3)];
    size_t bytes = (size_t)1 << sketch->precision;
    memcpy(values, sketch->body, bytes);
    memset(sketch->body, 0, bytes);
    sketch->registers_at[0] = (uint32_t)bytes;
    for (uint32_t i = 0; i < sketch->held; i++) add_to_registers(sketch, values[i]);
    sketch->held = 0;
    sketch->sketched = 1;
}

void weir_distinct_add(weir_distinct *sketch, double value) {
    value += 0.0; /* -0 + 0 = 0 */
    if (!sketch->sketched) {
        uint32_t room = UINT32_C(1) << (sketch->precision - 3);
        const double *values = (const double *)(const void *)sketch->body;
        if (sketch->held < room) {
            insert_sorted((double *)(void *)sketch->body, &sketch->held, value, false);
            return;
        }
        for (uint32_t i = 0; i < room; i++)
            if (values[i] == value) return;
        sketch_distinct(sketch);
    }
    add_to_registers(sketch, value);
}

void weir_distinct_add_many(weir_distinct *sketch, const double *values, int count) {
    int i = 0;
    while (i < count && !sketch->sketched) weir_distinct_add(sketch, values[i++]);
    for (; i < count; i++) add_to_registers(sketch, values[i] + 0.0);
}

void weir_distinct_merge(weir_distinct *sketch, const weir_distinct *other) {
    assert(sketch->precision == other->precision);
    if (!other->sketched) {
        for (uint32_t i = 0; i < other->held; i++) weir_distinct_add(sketch, ((const double *)(const void *)other->body)[i]);
        return;
    }
    if (!sketch->sketched) sketch_distinct(sketch);
    for (uint32_t i = 0; i < UINT32_C(1) << sketch->precision; i++) raise_register(sketch, i, other->body[i]);
}

/* Ertl's sigma and tau: what registers at 0 and at the highest value stand for. */
static double sigma(double x) {
    if (x == 1) return INFINITY;
    double sum = x, before, y = 1;
    do {
        x *= x;
        before = sum;
        sum += x * y;
        y += y;
    } while (sum != before);
    return sum;
}

static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double sum = 1 - x, before, y = 1;
    do {
        x = sqrt(x);
        before = sum;
        y /= 2;
        sum -= (1 - x) * (1 - x) * y;
    } while (sum != before);
    return sum / 3;
}

double weir_distinct_value(const weir_distinct *sketch) {
    if (!sketch->sketched) return sketch->held;
    int m = 1 << sketch->precision, top = 64 - (int)sketch->precision;
    const uint32_t *counts = sketch->registers_at;
    double z = m * tau(1 - (double)counts[top + 1] / m);
    for (int k = top; k >= 1; k--) z = (z + counts[k]) / 2;
    z += m * sigma((double)counts[0] / m);
    return round((double)m * m / (2 * log(2) * z));
}

/* --- Quantiles --- */

size_t weir_quantiles_size(int bins) {
    return sizeof(weir_quantiles) + sizeof(uint32_t) * (size_t)bins;
}

void weir_quantiles_init(weir_quantiles *sketch, int bins, double error) {
    assert(bins >= WEIR_QUANTILES_BINS_MIN && bins <= WEIR_QUANTILES_BINS_MAX && bins % 2 == 0 && error > 0 && error < 1);
    memset(sketch, 0, weir_quantiles_size(bins));
    sketch->bins = (uint32_t)bins;
    sketch->error = error;
    sketch->min = INFINITY;
    sketch->max = -INFINITY;
}

/** log of the ratio between bins before any collapse. */
static double log_gamma0(const weir_quantiles *sketch) {
    return log1p(sketch->error) - log1p(-sketch->error);
}

/** ceil(index / 2^levels). */
static int32_t coarser(int32_t index, uint32_t levels) {
    return -(int32_t)(-(int64_t)index >> levels);
}

/** Counts of a side by distance from its top; the sides share the body from its two ends. */
static uint32_t *bin(weir_quantiles *sketch, int side, uint32_t from_top) {
    return (uint32_t *)(void *)sketch->body + (side ? sketch->bins - 1 - from_top : from_top);
}

static uint32_t bin_count(const weir_quantiles *sketch, int side, uint32_t from_top) {
    return ((const uint32_t *)(const void *)sketch->body)[side ? sketch->bins - 1 - from_top : from_top];
}

static void count_up(uint32_t *count, uint32_t by) {
    *count = *count > UINT32_MAX - by ? UINT32_MAX : *count + by;
}

/* Bins 2i - 1 and 2i become bin i. From the top down, no bin moves farther from it, so it works in place. */
static void unite_bins(weir_quantiles *sketch) {
    for (int side = 0; side < 2; side++) {
        weir_quantiles_side *s = &sketch->side[side];
        int32_t top = coarser(s->top, 1);
        uint32_t last = 0;
        for (uint32_t k = 0; k < s->span; k++) {
            uint32_t count = *bin(sketch, side, k);
            *bin(sketch, side, k) = 0;
            last = (uint32_t)(top - coarser(s->top - (int32_t)k, 1));
            count_up(bin(sketch, side, last), count);
        }
        if (s->span) *s = (weir_quantiles_side){top, last + 1};
    }
    sketch->level++;
}

static uint32_t span_with(const weir_quantiles_side *s, int32_t index) {
    if (!s->span) return 1;
    int64_t low = (int64_t)s->top - s->span + 1, high = s->top;
    return (uint32_t)((index > high ? index : high) - (index < low ? index : low) + 1);
}

/** Adds to the bin that holds the index of a level not above the sketch's. */
static void add_to_bin(weir_quantiles *sketch, int side, int32_t index, uint32_t index_level, uint32_t by) {
    weir_quantiles_side *s = &sketch->side[side];
    int32_t at;
    while (span_with(s, at = coarser(index, sketch->level - index_level)) + sketch->side[!side].span > sketch->bins) unite_bins(sketch);
    uint32_t span = span_with(s, at), up = s->span && at > s->top ? (uint32_t)(at - s->top) : 0;
    for (uint32_t k = s->span; up && k-- > 0;) {
        *bin(sketch, side, k + up) = *bin(sketch, side, k);
        *bin(sketch, side, k) = 0;
    }
    *s = (weir_quantiles_side){s->span && s->top > at ? s->top : at, span};
    count_up(bin(sketch, side, (uint32_t)(s->top - at)), by);
}

/** ceil, of what fits. */
static int32_t next_whole(double x) {
    int32_t towards_0 = (int32_t)x;
    return towards_0 + (x > towards_0);
}

/* log_gamma is log_gamma0, which takes longer than all the rest. */
static void add_sketched(weir_quantiles *sketch, double value, double log_gamma) {
    double magnitude = fabs(value);
    if (magnitude < 0x1p-1022) {
        sketch->zeros++;
        return;
    }
    int side = value > 0;
    const weir_quantiles_side *s = &sketch->side[side];
    int32_t index = next_whole(log(magnitude) / log_gamma), at = coarser(index, sketch->level);
    if (s->span && at <= s->top && at > s->top - (int32_t)s->span)
        count_up(bin(sketch, side, (uint32_t)(s->top - at)), 1);
    else
        add_to_bin(sketch, side, index, 0, 1);
}

static void sketch_quantiles(weir_quantiles *sketch) {
    double values[WEIR_QUANTILES_BINS_MAX / 2];
    uint32_t held = sketch->held;
    memcpy(values, sketch->body, held * sizeof(*values));
    memset(sketch->body, 0, sketch->bins * sizeof(uint32_t));
    sketch->held = 0;
    sketch->sketched = 1;
    double log_gamma = log_gamma0(sketch);
    for (uint32_t i = 0; i < held; i++) add_sketched(sketch, values[i], log_gamma);
}

void weir_quantiles_add(weir_quantiles *sketch, double value) {
    value += 0.0;
    sketch->count++;
    sketch->min = fmin(sketch->min, value);
    sketch->max = fmax(sketch->max, value);
    if (!sketch->sketched && sketch->held == sketch->bins / 2) sketch_quantiles(sketch);
    if (sketch->sketched)
        add_sketched(sketch, value, log_gamma0(sketch));
    else
        insert_sorted((double *)(void *)sketch->body, &sketch->held, value, true);
}

void weir_quantiles_add_many(weir_quantiles *sketch, const double *values, int count) {
    int i = 0;
    while (i < count && !sketch->sketched) weir_quantiles_add(sketch, values[i++]);
    if (i == count) return;
    double log_gamma = log_gamma0(sketch), low = sketch->min, high = sketch->max;
    sketch->count += (uint64_t)(count - i);
    for (; i < count; i++) {
        double value = values[i] + 0.0;
        low = value < low ? value : low;
        high = value > high ? value : high;
        add_sketched(sketch, value, log_gamma);
    }
    sketch->min = low;
    sketch->max = high;
}

void weir_quantiles_merge(weir_quantiles *sketch, const weir_quantiles *other) {
    assert(sketch->bins == other->bins && sketch->error == other->error);
    if (!other->sketched) {
        for (uint32_t i = 0; i < other->held; i++) weir_quantiles_add(sketch, ((const double *)(const void *)other->body)[i]);
        return;
    }
    if (!sketch->sketched) sketch_quantiles(sketch);
    while (sketch->level < other->level) unite_bins(sketch);
    for (int side = 0; side < 2; side++)
        for (uint32_t k = 0; k < other->side[side].span; k++)
            if (bin_count(other, side, k)) add_to_bin(sketch, side, other->side[side].top - (int32_t)k, other->level, bin_count(other, side, k));
    sketch->count += other->count;
    sketch->zeros += other->zeros;
    sketch->min = fmin(sketch->min, other->min);
    sketch->max = fmax(sketch->max, other->max);
}

double weir_quantiles_error(const weir_quantiles *sketch) {
    return sketch->sketched ? tanh(ldexp(log_gamma0(sketch), (int)sketch->level) / 2) : 0;
}

/** The value of a bin that is off by the same share of itself at both of its ends: 2 gamma^i / (gamma + 1). */
static double bin_value(const weir_quantiles *sketch, int side, uint32_t from_top) {
    double log_gamma = ldexp(log_gamma0(sketch), (int)sketch->level);
    double magnitude = exp(log_gamma * (sketch->side[side].top - (int32_t)from_top) - log((1 + exp(log_gamma)) / 2));
    return fmin(fmax(side ? magnitude : -magnitude, sketch->min), sketch->max);
}

/** The value of a rank, 0 the smallest. */
static double value_at(const weir_quantiles *sketch, uint64_t rank) {
    if (!sketch->sketched) return ((const double *)(const void *)sketch->body)[rank];
    if (rank == 0) return sketch->min;
    if (rank + 1 >= sketch->count) return sketch->max;
    uint64_t before = 0;
    for (uint32_t k = 0; k < sketch->side[0].span; k++)
        if ((before += bin_count(sketch, 0, k)) > rank) return bin_value(sketch, 0, k);
    if ((before += sketch->zeros) > rank) return 0;
    for (uint32_t k = sketch->side[1].span; k-- > 0;)
        if ((before += bin_count(sketch, 1, k)) > rank) return bin_value(sketch, 1, k);
    return sketch->max; /* bins that are full */
}

double weir_lerp(double below, double above, double share) {
    return share < 0.5 ? below + (above - below) * share : above - (above - below) * (1 - share);
}

double weir_quantiles_value(const weir_quantiles *sketch, double q) {
    if (!sketch->count) return NAN;
    double at = (double)(sketch->count - 1) * q, rank = floor(at);
    double below = value_at(sketch, (uint64_t)rank);
    return at == rank ? below : weir_lerp(below, value_at(sketch, (uint64_t)rank + 1), at - rank);
}

/* --- Most frequent values --- */

size_t weir_frequent_size(int slots) {
    return sizeof(weir_frequent) + (size_t)slots * sizeof(weir_frequent_slot);
}

void weir_frequent_init(weir_frequent *sketch, int slots) {
    assert(slots >= WEIR_FREQUENT_SLOTS_MIN && slots <= WEIR_FREQUENT_SLOTS_MAX);
    memset(sketch, 0, weir_frequent_size(slots));
    sketch->slots = (uint32_t)slots;
}

/** Takes `by` off every count and drops the slots that reach 0. Returns how many are left. */
static uint32_t take_off(weir_frequent_slot *slots, uint32_t held, uint64_t by) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < held; i++) {
        if (slots[i].count <= by) continue;
        slots[left] = slots[i];
        slots[left++].count -= by;
    }
    memset(slots + left, 0, (held - left) * sizeof(*slots));
    return left;
}

void weir_frequent_add(weir_frequent *sketch, double value) {
    value += 0.0;
    sketch->records++;
    uint32_t low = 0, high = sketch->held;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (sketch->slot[mid].value < value)
            low = mid + 1;
        else
            high = mid;
    }
    weir_frequent_slot *at = &sketch->slot[low];
    if (low < sketch->held && at->value == value) {
        at->count++;
        at->newest = sketch->records;
    } else if (sketch->held < sketch->slots) {
        memmove(at + 1, at, (sketch->held - low) * sizeof(*at));
        *at = (weir_frequent_slot){value, 1, sketch->records};
        sketch->held++;
    } else {
        sketch->held = take_off(sketch->slot, sketch->held, 1);
    }
}

/** The count of the slot that is rank-th from the highest, 0 first; `held` is at most 2 × WEIR_FREQUENT_SLOTS_MAX. */
static uint64_t count_of_rank(const weir_frequent_slot *slots, uint32_t held, uint32_t rank) {
    uint64_t low = 0, high = UINT64_MAX; /* the largest c that more than rank slots reach */
    while (low < high) {
        uint64_t mid = high - (high - low) / 2;
        uint32_t reach = 0;
        for (uint32_t i = 0; i < held; i++) reach += slots[i].count >= mid;
        if (reach > rank)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

void weir_frequent_merge(weir_frequent *sketch, const weir_frequent *later) {
    assert(sketch->slots == later->slots);
    weir_frequent_slot both[2 * WEIR_FREQUENT_SLOTS_MAX];
    uint32_t held = 0, i = 0, k = 0;
    while (i < sketch->held || k < later->held) {
        const weir_frequent_slot *a = i < sketch->held ? &sketch->slot[i] : NULL, *b = k < later->held ? &later->slot[k] : NULL;
        bool from_a = a && (!b || a->value <= b->value), from_b = b && (!a || b->value <= a->value);
        both[held++] = (weir_frequent_slot){from_a ? a->value : b->value, (from_a ? a->count : 0) + (from_b ? b->count : 0),
                                            from_b ? sketch->records + b->newest : a->newest};
        i += from_a;
        k += from_b;
    }
    if (held > sketch->slots) held = take_off(both, held, count_of_rank(both, held, sketch->slots));
    memcpy(sketch->slot, both, held * sizeof(*both));
    if (held < sketch->held) memset(sketch->slot + held, 0, (sketch->held - held) * sizeof(*both));
    sketch->held = held;
    sketch->records += later->records;
}

const weir_frequent_slot *weir_frequent_top(const weir_frequent *sketch) {
    const weir_frequent_slot *top = NULL;
    for (uint32_t i = 0; i < sketch->held; i++) {
        const weir_frequent_slot *s = &sketch->slot[i];
        if (!top || s->count > top->count || (s->count == top->count && s->newest > top->newest)) top = s;
    }
    return top;
}
